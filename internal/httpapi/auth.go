package httpapi

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/security"
	"github.com/tidemill/tidemill/internal/types"
)

// Authenticator knows the roles. It is safe for concurrent use.
type Authenticator interface {
	// LoginRole returns what is known of a role that wants to log in; known is false if
	// there is none of that name. An error, with a SQLSTATE, says that it cannot be told now.
	LoginRole(name string) (login security.Login, known bool, err error)
}

// The bounds of what is remembered of logins.
const (
	loginLife = time.Minute // for how long a password that was right need not be proved again
	maxLogins = 1000
)

// open paths need no password: probes, and joining, which has tokens.
var openPaths = map[string]bool{"/livez": true, "/readyz": true, security.JoinPath: true}

// doorman lets requests in.
type doorman struct {
	mock    *security.Mock
	limiter security.Limiter
	secret  []byte // of the keys of right

	mu    sync.Mutex
	right map[[sha256.Size]byte]proved // by user and password
}

// proved says that a password was right for a verifier.
type proved struct {
	verifier string
	until    time.Time
}

func newDoorman() *doorman {
	d := &doorman{mock: security.NewMock(), secret: make([]byte, 32), right: map[[sha256.Size]byte]proved{}}
	_, _ = rand.Read(d.secret) // never fails, see crypto/rand
	return d
}

// userKey is the key of a request's user in its context.
type userKey struct{}

// admit returns the request with its user, or nil after it has answered why not. Who is
// on this machine is trusted unless the configuration says otherwise; everybody else comes
// over TLS and is a node of the cluster or has a password.
func (a *API) admit(w http.ResponseWriter, r *http.Request) *http.Request {
	if a.cfg.Auth == nil {
		return r
	}
	from := textAddr(r.RemoteAddr)
	local := security.Local(from)
	if !local && r.TLS == nil && !a.cfg.AllowPlaintext {
		hint := "Ask by https."
		if a.cfg.TLS == nil {
			hint = "This node has no certificates: make them with tidemill cert."
		}
		writeError(w, http.StatusForbidden, &types.Error{Code: "28000", Message: fmt.Sprintf("request from host %q refused, no encryption", security.AddrOf(from)), Hint: hint})
		return nil
	}
	switch {
	case openPaths[r.URL.Path], local && !a.cfg.RequirePassword, r.TLS != nil && a.cfg.IsNode != nil && a.cfg.IsNode(r.TLS):
		return r
	}
	user, password, given := r.BasicAuth()
	if !given {
		a.ask(w, &types.Error{Code: "28P01", Message: "a user and a password are needed", Hint: "Send them as Authorization: Basic."})
		return nil
	}
	if !a.door.limiter.Allow(from, user) {
		w.Header().Set("Retry-After", "60")
		writeError(w, http.StatusTooManyRequests, &types.Error{Code: "28000", Message: fmt.Sprintf("too many failed logins of user %q from this address", user), Hint: "Try again in a minute."})
		return nil
	}
	login, _, err := a.cfg.Auth.LoginRole(user)
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return nil
	}
	if !a.door.knows(user, password, login.Verifier) {
		a.door.limiter.Failed(from, user)
		a.ask(w, &types.Error{Code: "28P01", Message: fmt.Sprintf("password authentication failed for user %q", user)})
		return nil
	}
	if !login.Allowed {
		writeError(w, http.StatusForbidden, &types.Error{Code: "28000", Message: fmt.Sprintf("role %q is not permitted to log in", user)})
		return nil
	}
	return r.WithContext(context.WithValue(r.Context(), userKey{}, user))
}

// ask answers that a password is needed.
func (a *API) ask(w http.ResponseWriter, e *types.Error) {
	w.Header().Set("WWW-Authenticate", `Basic realm="tidemill", charset="UTF-8"`)
	writeError(w, http.StatusUnauthorized, e)
}

// user is who sends r.
func (a *API) user(r *http.Request) string {
	if u, ok := r.Context().Value(userKey{}).(string); ok {
		return u
	}
	return a.cfg.User
}

// knows reports whether password is that of the verifier. To compute that takes about a
// millisecond, so it is remembered for a minute, unless the verifier becomes another. A role
// without one takes as long as others.
func (d *doorman) knows(user, password, verifier string) bool {
	key, now := d.key(user, password), time.Now()
	d.mu.Lock()
	p, ok := d.right[key]
	d.mu.Unlock()
	if ok && p.verifier == verifier && now.Before(p.until) && verifier != "" {
		return true
	}
	v, err := security.ParseVerifier(verifier)
	if err != nil {
		v = d.mock.Verifier(user)
	}
	if !v.Check(password) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.right) >= maxLogins {
		clear(d.right)
	}
	d.right[key] = proved{verifier, now.Add(loginLife)}
	return true
}

// key hides what it is made of, should memory ever be read.
func (d *doorman) key(user, password string) (out [sha256.Size]byte) {
	h := hmac.New(sha256.New, d.secret)
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(user))))
	h.Write([]byte(user))
	h.Write([]byte(password))
	h.Sum(out[:0])
	return out
}

// textAddr is an address that is known by its text.
type textAddr string

// Network implements net.Addr.
func (textAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (a textAddr) String() string { return string(a) }
