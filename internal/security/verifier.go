package security

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/stringprep"
)

// The form of what is kept of passwords, as PostgreSQL's.
const (
	verifierPrefix = "SCRAM-SHA-256$"
	// Iterations is the work of a guess of a new password.
	Iterations    = 4096
	maxIterations = 10_000_000
	saltBytes     = 16
	maxPassword   = 1024 // bytes of a password
	maxVerifier   = 1024 // bytes of a verifier's text
)

// Login is what there is to know of a role that wants to log in.
type Login struct {
	Allowed  bool   // it may log in at all
	Verifier string // of its password; empty: it has none
}

// Verifier proves a password without holding it (RFC 5802).
type Verifier struct {
	Iterations           int
	Salt                 []byte
	StoredKey, ServerKey []byte // 32 bytes each
}

// ErrPassword says that a password cannot be one.
var ErrPassword = errors.New("not a usable password")

// NewVerifier makes the verifier of a password, with a salt of its own. The password is
// normalised as RFC 4013 says, or taken as it is where that does not work, as PostgreSQL does.
func NewVerifier(password string) (*Verifier, error) {
	if password == "" || len(password) > maxPassword || strings.IndexByte(password, 0) >= 0 {
		return nil, fmt.Errorf("%w: want 1 to %d bytes other than 0", ErrPassword, maxPassword)
	}
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	return derive(password, salt, Iterations)
}

func derive(password string, salt []byte, iterations int) (*Verifier, error) {
	if p, err := stringprep.SASLprep.Prepare(password); err == nil && p != "" {
		password = p
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	return &Verifier{Iterations: iterations, Salt: salt, StoredKey: stored[:], ServerKey: sign(salted, "Server Key")}, nil
}

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// String is the verifier in PostgreSQL's form: SCRAM-SHA-256$4096:salt$StoredKey:ServerKey.
func (v *Verifier) String() string {
	b := base64.StdEncoding
	return fmt.Sprintf("%s%d:%s$%s:%s", verifierPrefix, v.Iterations, b.EncodeToString(v.Salt), b.EncodeToString(v.StoredKey), b.EncodeToString(v.ServerKey))
}

// ParseVerifier reads what String writes. Its errors do not repeat the text.
func ParseVerifier(text string) (*Verifier, error) {
	bad := errors.New("not a SCRAM-SHA-256 verifier")
	rest, ok := strings.CutPrefix(text, verifierPrefix)
	if !ok || len(text) > maxVerifier {
		return nil, bad
	}
	head, keys, ok1 := strings.Cut(rest, "$")
	count, salt, ok2 := strings.Cut(head, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	n, err := strconv.Atoi(count)
	if !ok1 || !ok2 || !ok3 || err != nil || n < 1 || n > maxIterations {
		return nil, bad
	}
	v := &Verifier{Iterations: n}
	for _, f := range []struct {
		to   *[]byte
		text string
		size int // 0: any
	}{{&v.Salt, salt, 0}, {&v.StoredKey, stored, sha256.Size}, {&v.ServerKey, server, sha256.Size}} {
		*f.to, err = base64.StdEncoding.Strict().DecodeString(f.text)
		if err != nil || len(*f.to) == 0 || f.size > 0 && len(*f.to) != f.size {
			return nil, bad
		}
	}
	return v, nil
}

// IsVerifier reports whether text is a verifier and not a password.
func IsVerifier(text string) bool {
	_, err := ParseVerifier(text)
	return err == nil
}

// Check reports whether password is the one, in the same time whether or not. It costs
// the verifier's iterations.
func (v *Verifier) Check(password string) bool {
	if len(password) > maxPassword {
		return false
	}
	got, err := derive(password, v.Salt, v.Iterations)
	return err == nil && hmac.Equal(got.StoredKey, v.StoredKey)
}

// Mock makes verifiers of roles that do not exist or have no password: the same for the
// same name for as long as it lives, so that answers do not tell them from others. No
// password is theirs.
type Mock struct{ secret []byte }

// NewMock returns one with a secret of its own.
func NewMock() *Mock {
	m := &Mock{secret: make([]byte, 32)}
	_, _ = rand.Read(m.secret) // never fails, see crypto/rand
	return m
}

// Verifier returns the one of a name.
func (m *Mock) Verifier(name string) *Verifier {
	never := make([]byte, sha256.Size)
	_, _ = rand.Read(never) // a key that nobody knows
	return &Verifier{Iterations: Iterations, Salt: sign(m.secret, name)[:saltBytes], StoredKey: never, ServerKey: never}
}
