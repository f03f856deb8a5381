package security

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cluster makes an authority and a node's certificate in a new directory.
func cluster(t *testing.T, name, node string, hosts ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "certs")
	if err := CreateCA(dir, name); err != nil {
		t.Fatal(err)
	}
	if err := Issue(dir, node, hosts); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir string) *Certs {
	t.Helper()
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shake has a client and a server greet each other and returns both errors.
func shake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	a, b := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	done := make(chan error, 1)
	go func() {
		s := tls.Server(b, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		_ = b.Close()
		done <- err
	}()
	c := tls.Client(a, client)
	err := c.Handshake()
	if err == nil { // with TLS 1.3 the client learns only now that it was refused
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	_ = a.Close()
	return err, <-done
}

func TestNodesOfOneClusterTalk(t *testing.T) {
	dir := cluster(t, "blue", "a", "db.example.org", "192.0.2.7")
	other := filepath.Join(t.TempDir(), "b")
	if err := IssueTo(dir, other, "b", nil); err != nil {
		t.Fatal(err)
	}
	a, b := open(t, dir), open(t, other)
	if a.Node() != "a" || b.Node() != "b" || b.Cluster() != "blue" {
		t.Errorf("names: %q %q %q", a.Node(), b.Node(), b.Cluster())
	}
	if c, s := shake(t, a.Peer(), b.Peer()); c != nil || s != nil {
		t.Errorf("a to b: %v, %v", c, s)
	}
	if CanIssue(other) {
		t.Error("the key of the authority left its directory")
	}
	for _, f := range []string{CAKeyFile, NodeKeyFile} {
		info, err := os.Stat(filepath.Join(dir, f))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
	if d := time.Until(a.Expires()); d > NodeLife || d < NodeLife-time.Minute {
		t.Errorf("expires in %s", d)
	}
}

func TestRoutesRefuseWhoIsNotANode(t *testing.T) {
	dir := cluster(t, "blue", "a")
	a := open(t, dir)
	stranger := open(t, cluster(t, "blue", "a")) // the same names, another authority
	c, s := shake(t, stranger.Peer(), a.Peer())
	if c == nil || s == nil {
		t.Errorf("another authority: %v, %v", c, s)
	}
	if _, s := shake(t, &tls.Config{InsecureSkipVerify: true}, a.Peer()); s == nil {
		t.Error("no certificate at all is accepted")
	}
	// Of the same authority, but for a program that is not a node.
	ca, err := loadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "a", Organization: []string{"client"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	if _, s := shake(t, conf, a.Peer()); s == nil || !strings.Contains(s.Error(), `"a" is not a node's`) {
		t.Errorf("a client's certificate on a route: %v", s)
	}
	if c, s := shake(t, conf, a.Server()); c != nil || s != nil {
		t.Errorf("a client's certificate on a server: %v, %v", c, s)
	}
	conf.Certificates = []tls.Certificate{stranger.current().cert}
	if _, s := shake(t, conf, a.Server()); s == nil {
		t.Error("a certificate of another authority on a server is accepted")
	}
}

func TestServerIsVerifiedByName(t *testing.T) {
	dir := cluster(t, "blue", "a", "db.example.org", "192.0.2.7")
	conf, err := ClientConfig(filepath.Join(dir, CACertFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"db.example.org": true, "a": true, "localhost": true, "192.0.2.7": true, "127.0.0.1": true,
		"192.0.2.8": false, "evil.example.org": false} {
		conf := conf.Clone()
		conf.ServerName = name
		if c, s := shake(t, conf, open(t, dir).Server()); (c == nil) != want {
			t.Errorf("%s: %v, %v", name, c, s)
		}
	}
}

func TestRenewedFilesAreTakenUp(t *testing.T) {
	dir := cluster(t, "blue", "a")
	c := open(t, dir)
	now := time.Now()
	c.now = func() time.Time { return now }
	first := c.current().leaf.SerialNumber
	if err := Renew(dir); err != nil {
		t.Fatal(err)
	}
	if c.current().leaf.SerialNumber.Cmp(first) != 0 {
		t.Error("files are read at each handshake")
	}
	now = now.Add(checkEvery)
	if c.current().leaf.SerialNumber.Cmp(first) == 0 {
		t.Error("the renewed certificate is not taken up")
	}
	if s, _ := shake(t, c.Peer(), c.Peer()); s != nil {
		t.Error(s)
	}
}

func TestBadNewFilesAreNotTaken(t *testing.T) {
	dir := cluster(t, "blue", "a")
	c := open(t, dir)
	now := time.Now()
	c.now = func() time.Time { return now }
	var told []error
	c.OnProblem(func(err error) { told = append(told, err) })
	good, err := os.ReadFile(filepath.Join(dir, NodeCertFile))
	if err != nil {
		t.Fatal(err)
	}
	stranger := cluster(t, "blue", "a")
	foreign, _ := os.ReadFile(filepath.Join(stranger, NodeCertFile))
	for _, bad := range [][]byte{[]byte("nonsense"), foreign, nil} {
		told = nil
		if bad == nil {
			err = os.Remove(filepath.Join(dir, NodeCertFile))
		} else {
			err = os.WriteFile(filepath.Join(dir, NodeCertFile), bad, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(checkEvery)
		if a, b := shake(t, c.Peer(), c.Peer()); a != nil || b != nil {
			t.Fatalf("the old certificate is lost: %v, %v", a, b)
		}
		if len(told) != 0 {
			t.Error("told of files that may just be being replaced")
		}
		for range 3 {
			now = now.Add(checkEvery)
			c.current()
		}
		if len(told) != 1 || !strings.Contains(told[0].Error(), "node.crt") {
			t.Errorf("told %v", told)
		}
		if c.Problem() == nil {
			t.Error("no problem is shown")
		}
	}
	if err := os.WriteFile(filepath.Join(dir, NodeCertFile), good, 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(checkEvery)
	if err := c.Problem(); err != nil {
		t.Error(err)
	}
	now = now.Add(NodeLife + time.Hour) // what has expired is of no use any more, and is said to be so
	if a, _ := shake(t, c.Peer(), c.Peer()); a == nil || !strings.Contains(a.Error(), "has expired at") {
		t.Errorf("an expired certificate: %v", a)
	}
}

// A cluster changes its authority by having both in ca.crt for a while.
func TestTwoAuthorities(t *testing.T) {
	old, fresh := cluster(t, "blue", "a"), cluster(t, "blue", "b")
	one, _ := os.ReadFile(filepath.Join(old, CACertFile))
	two, _ := os.ReadFile(filepath.Join(fresh, CACertFile))
	for _, dir := range []string{old, fresh} {
		if err := os.WriteFile(filepath.Join(dir, CACertFile), slices.Concat(one, two), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := shake(t, open(t, old).Peer(), open(t, fresh).Peer()); a != nil || b != nil {
		t.Errorf("%v, %v", a, b)
	}
	if err := Renew(fresh); err != nil { // by its own key, though the other comes first
		t.Fatal(err)
	}
	if err := open(t, fresh).Problem(); err != nil {
		t.Error(err)
	}
}

func TestNamesAndWhatIsThere(t *testing.T) {
	dir := cluster(t, "blue", "a")
	if err := CreateCA(dir, "blue"); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("an authority replaced: %v", err)
	}
	for _, bad := range []string{"", "a b", "-a", "a/b", strings.Repeat("a", 64), "a\n"} {
		if Issue(dir, bad, nil) == nil || CreateCA(t.TempDir(), bad) == nil {
			t.Errorf("name %q is accepted", bad)
		}
	}
	for _, bad := range []string{"a:80", "a b", "", "http://x", strings.Repeat("a.", 200)} {
		if Issue(dir, "a", []string{bad}) == nil {
			t.Errorf("host %q is accepted", bad)
		}
	}
	if err := Issue(t.TempDir(), "a", nil); !errors.Is(err, ErrNoCAKey) {
		t.Errorf("no authority: %v", err)
	}
	shown, err := Show(dir)
	if err != nil || len(shown) != 2 || shown[0].Subject != "blue" || shown[0].Node || !shown[1].Node ||
		!slices.Equal(shown[1].Hosts, []string{"a", "localhost", "127.0.0.1", "::1"}) {
		t.Errorf("%+v, %v", shown, err)
	}
}

// joinServer serves JoinHandler as a node does.
func joinServer(t *testing.T, dir string, now func() time.Time) (addr string) {
	t.Helper()
	h := JoinHandler(dir)
	if now != nil {
		h.(*joiner).now = now
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener = tls.NewListener(s.Listener, open(t, dir).Server())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestJoinWithToken(t *testing.T) {
	ca := cluster(t, "blue", "a")
	addr := joinServer(t, ca, nil)
	token, err := NewToken(ca, time.Hour, []string{"127.0.0.1:1", addr}, []string{"a:6222", "c:6222"})
	if err != nil || strings.ContainsAny(token, " \n") {
		t.Fatalf("%q, %v", token, err)
	}
	dir := filepath.Join(t.TempDir(), "new", "certs")
	info, err := Join(t.Context(), "", token+"\n", "b", []string{"b.example.org"}, dir) // the first address does not answer
	if err != nil {
		t.Fatal(err)
	}
	if info.Cluster != "blue" || !slices.Equal(info.Routes, []string{"a:6222", "c:6222"}) {
		t.Errorf("%+v", info)
	}
	b := open(t, dir)
	if x, y := shake(t, b.Peer(), open(t, ca).Peer()); x != nil || y != nil {
		t.Errorf("%v, %v", x, y)
	}
	if b.Node() != "b" || !slices.Contains(b.current().leaf.DNSNames, "b.example.org") || CanIssue(dir) {
		t.Errorf("node %q, names %v", b.Node(), b.current().leaf.DNSNames)
	}
	// The same again does nothing, as when the node is started again; another name is refused.
	if again, err := Join(t.Context(), "127.0.0.1:1", token, "b", nil, dir); err != nil || !slices.Equal(again.Routes, info.Routes) || again.Cluster != "blue" {
		t.Errorf("joined again: %+v, %v", again, err)
	}
	for what, try := range map[string]func() error{
		"another name":    func() error { _, err := Join(t.Context(), addr, token, "c", nil, dir); return err },
		"another cluster": func() error { _, err := Join(t.Context(), addr, token, "a", nil, cluster(t, "blue", "a")); return err },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("%s: %v", what, err)
		}
	}

	// Renewal shows the certificate instead of a token, and keeps the name.
	before := b.current().leaf.SerialNumber
	if err := RenewFrom(t.Context(), addr, dir); err != nil {
		t.Fatal(err)
	}
	after := open(t, dir).current().leaf
	if after.SerialNumber.Cmp(before) == 0 || after.Subject.CommonName != "b" || !slices.Contains(after.DNSNames, "b.example.org") {
		t.Errorf("renewed: %v", after.Subject)
	}
}

func TestJoinRefuses(t *testing.T) {
	ca := cluster(t, "blue", "a")
	now := time.Now()
	addr := joinServer(t, ca, func() time.Time { return now })
	token, err := NewToken(ca, time.Minute, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	try := func(addr, token string) error {
		dir := filepath.Join(t.TempDir(), "x")
		_, err := Join(t.Context(), addr, token, "b", nil, dir)
		if err == nil || exists(dir, NodeCertFile) || exists(dir, NodeKeyFile) {
			t.Errorf("joined, or left files behind: %v", err)
		}
		return err
	}
	want := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v\nwant it to say %q", err, text)
		}
	}
	plain := httptest.NewServer(JoinHandler(ca))
	defer plain.Close()
	want(try(plain.Listener.Addr().String(), token), "does not speak TLS")
	want(try(addr, "hello"), "begins with")
	want(try("", token), "no address")

	// Another cluster's token, its hash exchanged for the right one: it gets as far as the node.
	foreign, err := NewToken(cluster(t, "blue", "z"), time.Hour, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want(try(addr, foreign), "not a node of the cluster that the token is for")
	_, body, _, _ := splitToken(token)
	_, _, mac, _ := splitToken(foreign)
	b64 := base64.RawURLEncoding.EncodeToString
	want(try(addr, tokenPrefix+b64(body)+"."+b64(mac)), "not made with the key of cluster")
	longer := strings.Replace(string(body), `"expires":"2`, `"expires":"3`, 1) // a thousand years more
	_, _, mac, _ = splitToken(token)
	want(try(addr, tokenPrefix+b64([]byte(longer))+"."+b64(mac)), "not made with the key of cluster")

	now = now.Add(2 * time.Minute)
	want(try(addr, token), "has expired at")
	now = now.Add(-2 * time.Minute)

	if err := os.Rename(filepath.Join(ca, CAKeyFile), filepath.Join(ca, "away")); err != nil {
		t.Fatal(err)
	}
	want(try(addr, token), "ask one that has")
	if err := os.Rename(filepath.Join(ca, "away"), filepath.Join(ca, CAKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := NewToken(ca, MaxTokenLife+1, nil, nil); err == nil {
		t.Error("a token for ever")
	}

	for range maxJoinsPerMinute {
		post(t, ca, addr, `{"csr":"x"}`)
	}
	want(try(addr, token), "more than 60 requests")
	now = now.Add(time.Minute)
	if status := post(t, ca, addr, `{"csr":"`+strings.Repeat("x", maxJoinBytes)+`"}`); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large request: %d", status)
	}
}

func TestOnlyTheNodeItselfRenews(t *testing.T) {
	ca := cluster(t, "blue", "a")
	addr := joinServer(t, ca, nil)
	dir := filepath.Join(t.TempDir(), "b")
	if err := IssueTo(ca, dir, "b", nil); err != nil {
		t.Fatal(err)
	}
	conf := open(t, dir).Peer()
	if _, err := obtain(t.Context(), []string{addr}, joinRequest{}, conf, "", "a", nil, dir); err == nil || !strings.Contains(err.Error(), "renews its own only") {
		t.Errorf("b got a's certificate: %v", err)
	}
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	if _, err := obtain(t.Context(), []string{addr}, joinRequest{}, conf, "", "b", nil, dir); err == nil || !strings.Contains(err.Error(), "neither a join token nor") {
		t.Errorf("nobody got b's certificate: %v", err)
	}
}

// post sends a request as a node of the cluster and returns the status.
func post(t *testing.T, dir, addr, body string) int {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: open(t, dir).Peer()}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Post("https://"+addr+JoinPath, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
