package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ownAddress is an IP address of this machine that is not loopback.
func ownAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// freeAddress is an address of host that nobody listens on now.
func freeAddress(t *testing.T, host string) string {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// mustRun runs a command of the binary to its end and returns what it prints.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	path := tidemill(t) // built before the time runs
	cmd := exec.CommandContext(deadline(t), path, args...)
	cmd.Env = env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("tidemill %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestClusterOverANetwork makes a cluster of two as a stranger would on two machines, with
// nothing but the addresses of a network: certificates, a token, a role made by SQL; and comes
// to both nodes from outside.
func TestClusterOverANetwork(t *testing.T) {
	ip, dir := ownAddress(t), t.TempDir()
	certsA, certsB := filepath.Join(dir, "certs-a"), filepath.Join(dir, "certs-b")
	mustRun(t, "cert", "init", "--cluster", "blue", "--node", "a", "--host", ip, "--dir", certsA)
	routesA, httpA := freeAddress(t, ip), freeAddress(t, ip)
	start := time.Now()
	ports := []string{"--pg", "0.0.0.0:0", "--nats", "127.0.0.1:0", "-o", "json"}
	a := spawn(t, nil, append([]string{"start", "--name", "a", "--cluster", "blue", "--data", filepath.Join(dir, "a"), "--certs", certsA,
		"--listen-routes", routesA, "--routes", routesA, "--http", httpA}, ports...)...)
	token := mustRun(t, "cert", "token", "--dir", certsA, "--addr", httpA, "--route", routesA)
	if strings.ContainsAny(token, " \n") {
		t.Fatalf("token %q", token)
	}
	waitTCP(t, httpA)
	b := spawn(t, nil, append([]string{"start", "--name", "b", "--join", httpA, "--token", token, "--data", filepath.Join(dir, "b"), "--certs", certsB,
		"--listen-routes", freeAddress(t, ip), "--advertise-routes", "", "--http", net.JoinHostPort(ip, "0")}, ports...)...)
	nodes := []*node{a.ready(t, start, ""), b.ready(t, start, "")}

	// On this machine one is trusted; the role is in the log, so both nodes have it.
	local := nodes[0].connectTo(t, "127.0.0.1", "tidemill", "", "sslmode=disable")
	if err := tryUntil(func() error {
		_, err := local.Exec(deadline(t), "CREATE USER ann PASSWORD 'sésame'", pgx.QueryExecModeSimpleProtocol)
		if pe := (*pgconn.PgError)(nil); errors.As(err, &pe) && pe.Code == "42710" {
			err = nil
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	full := "sslmode=verify-full&channel_binding=require&sslrootcert=" + filepath.Join(certsA, "ca.crt")
	for i, n := range nodes {
		here := n.connectTo(t, "127.0.0.1", "tidemill", "", "sslmode=disable")
		if err := tryUntil(func() error { // failed logins are counted, so it is waited for elsewhere
			known := 0
			err := here.QueryRow(deadline(t), "SELECT count(*) FROM pg_roles WHERE rolname = 'ann'").Scan(&known)
			if err == nil && known == 0 {
				err = errors.New("the role is not there yet")
			}
			return err
		}); err != nil {
			t.Fatalf("node %d: %v", i, err)
		}
		if err := n.login(t, ip, "ann", "sésame", full); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
		for _, c := range []struct{ user, password, options, code string }{
			{"ann", "sésame", "sslmode=disable", "28000"}, {"ann", "sesame", full, "28P01"}, {"tidemill", "", full, "28P01"}, {"nobody", "x", full, "28P01"},
		} {
			var pe *pgconn.PgError
			if err := n.login(t, ip, c.user, c.password, c.options); !errors.As(err, &pe) || pe.Code != c.code {
				t.Errorf("node %d as %s with %s: %v, want %s", i, c.user, c.options, err, c.code)
			}
		}
		_, port, _ := net.SplitHostPort(n.HTTP)
		httpFromOutside(t, net.JoinHostPort(ip, port), filepath.Join(certsB, "ca.crt"))
	}
}

// httpFromOutside asks a node's HTTP port in the ways that are refused, and in the right one.
func httpFromOutside(t *testing.T, addr, caFile string) {
	t.Helper()
	ca, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	for _, c := range []struct {
		scheme, user, password string
		status                 int
	}{{"http", "ann", "sésame", 403}, {"https", "", "", 401}, {"https", "ann", "sesame", 401}, {"https", "ann", "sésame", 200}} {
		req, err := http.NewRequestWithContext(deadline(t), http.MethodPost, c.scheme+"://"+addr+"/v1/sql", strings.NewReader("SELECT 1"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "text/plain")
		if c.user != "" {
			req.SetBasicAuth(c.user, c.password)
		}
		res, err := (&http.Client{Transport: tr}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%s as %q: %d %s, want %d", c.scheme, c.user, res.StatusCode, text, c.status)
		}
	}
}

// dsn is how to connect to the node by an address of its machine.
func (n *node) dsn(host, user, password, options string) string {
	_, port, _ := net.SplitHostPort(n.PG)
	return fmt.Sprintf("postgres://%s:%s@%s/tidemill?%s", user, password, net.JoinHostPort(host, port), options)
}

func (n *node) connectTo(t *testing.T, host, user, password, options string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(deadline(t), n.dsn(host, user, password, options))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(deadline(t)) })
	return c
}

// login connects, asks something and goes.
func (n *node) login(t *testing.T, host, user, password, options string) error {
	t.Helper()
	c, err := pgx.Connect(deadline(t), n.dsn(host, user, password, options))
	if err != nil {
		return err
	}
	defer c.Close(deadline(t))
	var who string
	if err := c.QueryRow(deadline(t), "SELECT current_user").Scan(&who); err != nil || who != user {
		t.Errorf("the session is that of %q: %v", who, err)
	}
	return nil
}

// tryUntil tries again until it works or opTimeout is over.
func tryUntil(try func() error) error {
	end := time.Now().Add(opTimeout)
	for {
		err := try()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// waitTCP waits until somebody listens on addr.
func waitTCP(t *testing.T, addr string) {
	t.Helper()
	err := tryUntil(func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
