package engine

import (
	"errors"
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/security"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// LoginRole says what there is to know, at the last step this node has, of a role that
// wants to log in; known is false if there is none of that name. While the pipeline starts
// it is an error.
func (e *Engine) LoginRole(name string) (login security.Login, known bool, err error) {
	snap := e.Snapshot()
	if snap == nil {
		return security.Login{}, false, &types.Error{Code: "57P03", Message: "the database system is starting up"}
	}
	r := snap.Catalog.Role(name)
	if r == nil {
		return security.Login{}, false, nil
	}
	return security.Login{Allowed: r.Login, Verifier: r.Verifier}, true, nil
}

// withoutPasswords returns p with verifiers in the place of passwords, so that a password
// goes no further than this: not to the log, not to other nodes, not into errors.
func (s *Session) withoutPasswords(p *prepared) (*prepared, error) {
	stmt, found, err := sql.Passwords(p.stmt, s.verifier)
	if err != nil || !found {
		return p, err
	}
	out := *p
	// The text is written anew, and read again for its positions.
	out.text = sql.Format(stmt)
	list, err := sql.Parse(out.text, sql.Options{})
	if err != nil || len(list) != 1 {
		return nil, &types.Error{Code: types.CodeInternal, Message: "the statement of a role could not be written anew"}
	}
	out.stmt = list[0]
	return &out, nil
}

// verifier is what is kept of a password; a verifier is kept as it is.
func (s *Session) verifier(password string) (string, error) {
	if security.IsVerifier(password) {
		return password, nil
	}
	switch {
	case password == "":
		s.notice("NOTICE", "00000", "empty string is not a valid password, clearing password")
		return "", nil
	case len(password) == 35 && strings.HasPrefix(password, "md5"):
		return "", &types.Error{Code: types.CodeFeature, Message: "MD5 passwords are not supported", Hint: "Give the password itself, or a SCRAM-SHA-256 verifier."}
	case strings.HasPrefix(password, catalog.VerifierPrefix):
		return "", &types.Error{Code: types.CodeInvalidParameter, Message: "the SCRAM-SHA-256 verifier is not right"}
	}
	v, err := security.NewVerifier(password)
	if errors.Is(err, security.ErrPassword) {
		return "", &types.Error{Code: types.CodeInvalidParameter, Message: err.Error()}
	}
	if err != nil {
		return "", err
	}
	return v.String(), nil
}

// superuser is the value of is_superuser for a session of this user.
func (e *Engine) superuser(user string) string {
	if snap := e.Snapshot(); snap != nil {
		if r := snap.Catalog.Role(user); r != nil && r.Super {
			return "on"
		}
	}
	return "off"
}
