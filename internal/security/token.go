package security

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// tokenPrefix begins every token and names its version.
const tokenPrefix = "tidemill1."

// The bounds of a token.
const (
	maxTokenBytes = 8 << 10
	maxTokenAddrs = 64
)

// Errors of tokens.
var (
	ErrTokenExpired = errors.New("the join token has expired")
	ErrTokenInvalid = errors.New("the join token is not right")
)

// Token is what a join token says. Whoever has the text may have a node's
// certificate of the cluster until it expires; it holds no key.
type Token struct {
	Cluster string    `json:"cluster"`
	CA      string    `json:"ca"`               // SHA-256 of the authority's certificate, hexadecimal
	Expires time.Time `json:"expires"`          // to the second
	Addrs   []string  `json:"addrs,omitempty"`  // HTTP addresses where one can join
	Routes  []string  `json:"routes,omitempty"` // of nodes, for the new one's --routes
	ID      string    `json:"id"`               // random, for the log
}

// NewToken makes a token of the cluster whose authority's key is in dir, good for ttl (0
// means DefaultTokenLife): one line of text without blanks. addrs are HTTP addresses of
// nodes that have the key, routes those that the new node will need.
func NewToken(dir string, ttl time.Duration, addrs, routes []string) (string, error) {
	ca, err := loadCA(dir)
	if err != nil {
		return "", fmt.Errorf("make join token: %w", err)
	}
	return ca.newToken(time.Now(), ttl, addrs, routes)
}

func (a *authority) newToken(now time.Time, ttl time.Duration, addrs, routes []string) (string, error) {
	if ttl == 0 {
		ttl = DefaultTokenLife
	}
	if ttl < 0 || ttl > MaxTokenLife {
		return "", fmt.Errorf("make join token: life of %s: want more than 0 and at most %s", ttl, MaxTokenLife)
	}
	if len(addrs)+len(routes) > maxTokenAddrs {
		return "", fmt.Errorf("make join token: %d addresses: at most %d", len(addrs)+len(routes), maxTokenAddrs)
	}
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails, see crypto/rand
	body, err := json.Marshal(Token{Cluster: a.cert.Subject.CommonName, CA: fingerprint(a.cert),
		Expires: now.Add(ttl).UTC().Truncate(time.Second), Addrs: addrs, Routes: routes, ID: hex.EncodeToString(id)})
	if err != nil {
		return "", fmt.Errorf("make join token: %w", err)
	}
	mac, err := a.mac(body)
	if err != nil {
		return "", fmt.Errorf("make join token: %w", err)
	}
	text := tokenPrefix + base64.RawURLEncoding.EncodeToString(body) + "." + base64.RawURLEncoding.EncodeToString(mac)
	if len(text) > maxTokenBytes {
		return "", fmt.Errorf("make join token: it would have %d bytes: at most %d", len(text), maxTokenBytes)
	}
	return text, nil
}

// mac authenticates the body of a token by a key that is derived from the authority's.
func (a *authority) mac(body []byte) ([]byte, error) {
	secret, err := a.key.Bytes()
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "tidemill join token 1", sha256.Size)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, key)
	h.Write(body)
	return h.Sum(nil), nil
}

// check returns what a token says, if this authority made it and it has not expired.
func (a *authority) check(text string, now time.Time) (*Token, error) {
	t, body, mac, err := splitToken(text)
	if err != nil {
		return nil, err
	}
	want, err := a.mac(body)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, want) {
		return nil, fmt.Errorf("%w: it was not made with the key of cluster %q", ErrTokenInvalid, a.cert.Subject.CommonName)
	}
	if now.After(t.Expires) {
		return nil, fmt.Errorf("%w at %s", ErrTokenExpired, stamp(t.Expires))
	}
	return t, nil
}

// ParseToken returns what a token says, without knowing whether it is genuine: only who
// has the authority's key can tell.
func ParseToken(text string) (*Token, error) {
	t, _, _, err := splitToken(text)
	return t, err
}

func splitToken(text string) (t *Token, body, mac []byte, err error) {
	text = strings.TrimSpace(text)
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(text) > maxTokenBytes {
		return nil, nil, nil, fmt.Errorf("%w: it begins with %q and is one line", ErrTokenInvalid, tokenPrefix)
	}
	b64, m64, ok := strings.Cut(rest, ".")
	if !ok {
		return nil, nil, nil, fmt.Errorf("%w: its end is missing", ErrTokenInvalid)
	}
	if body, err = base64.RawURLEncoding.DecodeString(b64); err == nil {
		mac, err = base64.RawURLEncoding.DecodeString(m64)
	}
	if err == nil {
		t = &Token{}
		err = json.Unmarshal(body, t)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrTokenInvalid, err)
	}
	return t, body, mac, nil
}
