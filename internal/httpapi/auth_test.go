package httpapi_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/security"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// roles is an Authenticator that can be changed.
type roles struct {
	mu     sync.Mutex
	logins map[string]security.Login
	err    error
}

func (r *roles) LoginRole(name string) (security.Login, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.logins[name]
	return l, ok, r.err
}

func (r *roles) set(t *testing.T, name, password string, allowed bool) {
	t.Helper()
	l := security.Login{Allowed: allowed}
	if password != "" {
		v, err := security.NewVerifier(password)
		if err != nil {
			t.Fatal(err)
		}
		l.Verifier = v.String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logins[name] = l
}

// people are ann with the password "wönderland", bob without one, and idle, who may not log in.
func people(t *testing.T) *roles {
	t.Helper()
	r := &roles{logins: map[string]security.Login{}}
	r.set(t, "ann", "wönderland", true)
	r.set(t, "bob", "", true)
	r.set(t, "idle", "wönderland", false)
	return r
}

// whoEngine remembers who opened the last session.
type whoEngine struct {
	*fakeEngine
	mu  sync.Mutex
	who string
}

func (e *whoEngine) OpenSession(ctx context.Context, opt session.Options) (session.Session, error) {
	e.mu.Lock()
	e.who = opt.User
	e.mu.Unlock()
	return e.fakeEngine.OpenSession(ctx, opt)
}

// abroad makes clients look as if they were on another machine.
type abroad struct{ net.Listener }

func (l abroad) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return foreigner{c}, nil
}

type foreigner struct{ net.Conn }

func (foreigner) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP("2001:db8::9"), Port: 1}
}

// guarded serves an API to this machine or, with far, to clients of another.
func guarded(t *testing.T, e *whoEngine, far bool, cfg httpapi.Config) (addr string) {
	t.Helper()
	cfg.Backend, cfg.User, cfg.Database = e, "tidemill", "tidemill"
	cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics\n") })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	if far {
		ln = abroad{ln}
	}
	api := httpapi.New(cfg)
	s := api.Server()
	s.ErrorLog = log.New(io.Discard, "", 0)
	done := make(chan error, 1)
	go func() { done <- s.Serve(api.Listener(ln)) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return addr
}

// certs makes certificates of a node.
func certs(t *testing.T) (dir string, c *security.Certs) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "certs")
	if err := security.CreateCA(dir, "blue"); err != nil {
		t.Fatal(err)
	}
	if err := security.Issue(dir, "a", nil); err != nil {
		t.Fatal(err)
	}
	c, err := security.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, c
}

// send sends a request with a user and password, unless the user is empty.
func send(t *testing.T, conf *tls.Config, method, url, user, password string) (*http.Response, string) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: conf}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("SELECT 1"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/plain")
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	res, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func TestOtherMachinesNeedTLSAndAPassword(t *testing.T) {
	dir, c := certs(t)
	conf, err := security.ClientConfig(filepath.Join(dir, security.CACertFile))
	if err != nil {
		t.Fatal(err)
	}
	e, who := &whoEngine{fakeEngine: &fakeEngine{}}, people(t)
	addr := guarded(t, e, true, httpapi.Config{TLS: c.Server(), Auth: who, IsNode: c.IsNode, Join: security.JoinHandler(dir)})
	want := func(status int, text, method, url, user, password string) *http.Response {
		t.Helper()
		res, got := send(t, conf, method, url, user, password)
		if res.StatusCode != status || !strings.Contains(got, text) {
			t.Errorf("%s %s as %q: %d %s, want %d %s", method, url, user, res.StatusCode, got, status, text)
		}
		return res
	}
	sql := "https://" + addr + "/v1/sql"
	for range 2 { // computed, and remembered
		want(200, `"rows"`, "POST", sql, "ann", "wönderland")
	}
	if e.who != "ann" {
		t.Errorf("the session is that of %q", e.who)
	}
	res := want(401, "28P01", "POST", sql, "", "")
	if res.Header.Get("WWW-Authenticate") == "" {
		t.Error("a browser would not know to ask")
	}
	for _, user := range []string{"ann", "bob", "nobody"} {
		want(401, `password authentication failed for user \"`+user, "POST", sql, user, "wonderland")
	}
	want(401, "28P01", "POST", sql, "bob", "")
	want(403, "not permitted to log in", "POST", sql, "idle", "wönderland")
	want(401, "28P01", "GET", "https://"+addr+"/metrics", "", "")
	want(200, "metrics", "GET", "https://"+addr+"/metrics", "ann", "wönderland")
	want(200, "ok", "GET", "https://"+addr+"/readyz", "", "")
	want(403, "no encryption", "POST", "http://"+addr+"/v1/sql", "ann", "wönderland")
	want(400, "read request to join", "POST", "https://"+addr+security.JoinPath, "", "")

	// Another password counts at once, and the old one no longer.
	who.set(t, "ann", "other", true)
	want(401, "28P01", "POST", sql, "ann", "wönderland")
	want(200, `"rows"`, "POST", sql, "ann", "other")

	who.mu.Lock()
	who.err = &types.Error{Code: "57P03", Message: "starting up"}
	who.mu.Unlock()
	want(503, "starting up", "POST", sql, "ann", "other")

	// A node of the cluster needs no password; it acts for the system.
	if res, text := send(t, c.Peer(), "POST", sql, "", ""); res.StatusCode != 200 {
		t.Errorf("a node: %d %s", res.StatusCode, text)
	}
	if e.who != "tidemill" {
		t.Errorf("a node's session is that of %q", e.who)
	}
}

func TestThisMachineIsTrusted(t *testing.T) {
	dir, c := certs(t)
	conf, err := security.ClientConfig(filepath.Join(dir, security.CACertFile))
	if err != nil {
		t.Fatal(err)
	}
	addr := guarded(t, &whoEngine{fakeEngine: &fakeEngine{}}, false, httpapi.Config{TLS: c.Server(), Auth: people(t)})
	for _, scheme := range []string{"http://", "https://"} { // one port for both
		if res, text := send(t, conf, "POST", scheme+addr+"/v1/sql", "", ""); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", scheme, res.StatusCode, text)
		}
	}
	addr = guarded(t, &whoEngine{fakeEngine: &fakeEngine{}}, false, httpapi.Config{Auth: people(t), RequirePassword: true})
	if res, text := send(t, nil, "POST", "http://"+addr+"/v1/sql", "", ""); res.StatusCode != 401 {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	addr = guarded(t, &whoEngine{fakeEngine: &fakeEngine{}}, true, httpapi.Config{Auth: people(t), AllowPlaintext: true})
	if res, text := send(t, nil, "POST", "http://"+addr+"/v1/sql", "ann", "wönderland"); res.StatusCode != 200 {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

func TestGuessingIsBounded(t *testing.T) {
	addr := guarded(t, &whoEngine{fakeEngine: &fakeEngine{}}, true, httpapi.Config{Auth: people(t), AllowPlaintext: true})
	for range security.MaxFailures {
		if res, text := send(t, nil, "POST", "http://"+addr+"/v1/sql", "ann", "x"); res.StatusCode != 401 {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
	}
	res, text := send(t, nil, "POST", "http://"+addr+"/v1/sql", "ann", "wönderland")
	if res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

// Clients that say nothing keep neither others out nor the listener from closing.
func TestSilentClients(t *testing.T) {
	_, c := certs(t)
	addr := guarded(t, &whoEngine{fakeEngine: &fakeEngine{}}, false, httpapi.Config{TLS: c.Server(), Auth: people(t)})
	for range 300 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	for range 3 {
		if res, text := send(t, nil, "POST", "http://"+addr+"/v1/sql", "", ""); res.StatusCode != 200 {
			t.Errorf("%d %s", res.StatusCode, text)
		}
	}
}
