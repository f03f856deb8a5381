package pgserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/internal/pgserver"
	"github.com/tidemill/tidemill/internal/security"
	"github.com/tidemill/tidemill/internal/types"
)

// roles is an Authenticator; err is its error.
type roles struct {
	logins map[string]security.Login
	err    error
}

func (r roles) LoginRole(name string) (security.Login, bool, error) {
	l, ok := r.logins[name]
	return l, ok, r.err
}

// people are ann with the password "wönderland", bob without one, and idle, who may not log in.
func people(t *testing.T) roles {
	t.Helper()
	v, err := security.NewVerifier("wönderland")
	if err != nil {
		t.Fatal(err)
	}
	return roles{logins: map[string]security.Login{"ann": {Allowed: true, Verifier: v.String()}, "bob": {Allowed: true}, "idle": {Verifier: v.String()}}}
}

// certs makes certificates of a node and returns their directory.
func certs(t *testing.T) (dir string, conf *tls.Config) {
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
	return dir, c.Server()
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

func (foreigner) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 1} }

// serve serves a fake engine to this machine or, with far, to clients of another, and
// returns the address.
func serve(t *testing.T, cfg pgserver.Config, far bool) string {
	t.Helper()
	cfg.Engine = &fakeEngine{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if far {
		ln = abroad{ln}
	}
	s := pgserver.New(cfg)
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.WithoutCancel(t.Context()), ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return addr
}

// try connects, runs a statement, and returns the error.
func try(t *testing.T, addr, user, password, options string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@%s/tidemill?%s", user, password, addr, options))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	rows, err := c.Query(ctx, "SELECT 2")
	if got := read(t, rows, err); got != "0: 1:x" {
		t.Errorf("got %s", got)
	}
	return nil
}

func refused(t *testing.T, err error, code, text string) {
	t.Helper()
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != code || !strings.Contains(pe.Message, text) {
		t.Errorf("got %v\nwant %s %s", err, code, text)
	}
}

func TestWhoIsOnThisMachineIsTrusted(t *testing.T) {
	addr := serve(t, pgserver.Config{Auth: people(t)}, false)
	for _, user := range []string{"ann", "bob", "stranger"} {
		if err := try(t, addr, user, "nonsense", "sslmode=disable"); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	refused(t, try(t, addr, "idle", "", "sslmode=disable"), "28000", `role "idle" is not permitted to log in`)
	addr = serve(t, pgserver.Config{Auth: people(t), RequirePassword: true}, false)
	refused(t, try(t, addr, "ann", "nonsense", "sslmode=disable"), "28P01", `password authentication failed for user "ann"`)
	if err := try(t, addr, "ann", "wönderland", "sslmode=disable"); err != nil {
		t.Error(err)
	}
	addr = serve(t, pgserver.Config{Auth: roles{err: &types.Error{Code: "57P03", Message: "starting up"}}}, false)
	refused(t, try(t, addr, "ann", "", "sslmode=disable"), "57P03", "starting up")
}

func TestOtherMachinesNeedTLSAndAPassword(t *testing.T) {
	dir, conf := certs(t)
	addr := serve(t, pgserver.Config{Auth: people(t), TLS: conf}, true)
	full := "sslmode=verify-full&sslrootcert=" + filepath.Join(dir, security.CACertFile)
	for _, options := range []string{full, full + "&channel_binding=require", full + "&channel_binding=disable", "sslmode=require", full + "&sslnegotiation=direct"} {
		if err := try(t, addr, "ann", "wönderland", options); err != nil {
			t.Errorf("%s: %v", options, err)
		}
	}
	refused(t, try(t, addr, "ann", "wönderland", "sslmode=disable"), "28000", `host "192.0.2.9", user "ann", database "tidemill", no encryption`)
	for _, user := range []string{"ann", "bob", "nobody"} {
		refused(t, try(t, addr, user, "wonderland", full), "28P01", fmt.Sprintf("password authentication failed for user %q", user))
	}
	refused(t, try(t, addr, "idle", "wönderland", full), "28000", "not permitted to log in")
	// A client that verifies does not talk to another cluster's node.
	_, other := certs(t)
	if err := try(t, serve(t, pgserver.Config{Auth: people(t), TLS: other}, true), "ann", "wönderland", full); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("another cluster's node: %v", err)
	}
	// In the clear only when that is asked for.
	addr = serve(t, pgserver.Config{Auth: people(t), AllowPlaintext: true}, true)
	if err := try(t, addr, "ann", "wönderland", "sslmode=disable"); err != nil {
		t.Error(err)
	}
	refused(t, try(t, addr, "ann", "x", "sslmode=disable"), "28P01", "password authentication failed")
}

func TestGuessingIsBounded(t *testing.T) {
	addr := serve(t, pgserver.Config{Auth: people(t), AllowPlaintext: true}, true)
	for range security.MaxFailures {
		refused(t, try(t, addr, "ann", "x", "sslmode=disable"), "28P01", "password authentication failed")
	}
	refused(t, try(t, addr, "bob", "x", "sslmode=disable"), "28P01", "password authentication failed") // others are not kept out
	refused(t, try(t, addr, "ann", "wönderland", "sslmode=disable"), "28000", `too many failed logins of user "ann" from this address`)
}

// What a client, or someone between, sends before TLS is up is not served.
func TestPlaintextBeforeTLSIsDropped(t *testing.T) {
	_, conf := certs(t)
	addr := serve(t, pgserver.Config{TLS: conf}, false)
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	ask, _ := (&pgproto3.SSLRequest{}).Encode(nil)
	start, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "tidemill"}}).Encode(nil)
	if _, err := nc.Write(append(ask, start...)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(nc, answer); err != nil || answer[0] != 'S' {
		t.Fatalf("%q, %v", answer, err)
	}
	tc := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err == nil {
		_ = tc.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := tc.Read(answer); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the server answers what came before TLS: %q, %v", answer[:n], err)
		}
	}
}

// TestMalformedLogins: nothing that a client sends gets it in, or brings the server down.
func TestMalformedLogins(t *testing.T) {
	addr := serve(t, pgserver.Config{Auth: people(t), RequirePassword: true}, false)
	for _, c := range []struct {
		name string
		send []pgproto3.FrontendMessage
		code string
	}{
		{"a query instead", []pgproto3.FrontendMessage{&pgproto3.Query{String: "SELECT 1"}}, ""},
		{"another mechanism", []pgproto3.FrontendMessage{&pgproto3.SASLInitialResponse{AuthMechanism: "PLAIN", Data: []byte("\x00ann\x00x")}}, "08P01"},
		{"binding without TLS", []pgproto3.FrontendMessage{&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256-PLUS", Data: []byte("p=tls-server-end-point,,n=,r=abc")}}, "08P01"},
		{"nothing", []pgproto3.FrontendMessage{&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256"}}, "08P01"},
		{"no proof", []pgproto3.FrontendMessage{&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("n,,n=,r=abc")},
			&pgproto3.SASLResponse{Data: []byte("c=biws,r=abc")}}, "28P01"},
		{"a large message", []pgproto3.FrontendMessage{&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: make([]byte, 1<<20)}}, ""},
	} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
		f := pgproto3.NewFrontend(nc, nc)
		f.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "ann", "database": "tidemill"}})
		_ = f.Flush()
		code := ""
		for i := 0; ; i++ {
			m, err := f.Receive()
			if err != nil {
				break
			}
			if e, ok := m.(*pgproto3.ErrorResponse); ok {
				code = e.Code
				break
			}
			if _, ok := m.(*pgproto3.AuthenticationOk); ok {
				t.Errorf("%s: let in", c.name)
				break
			}
			if i < len(c.send) {
				f.Send(c.send[i])
				_ = f.Flush()
			}
		}
		if c.code != "" && code != c.code {
			t.Errorf("%s: code %q, want %s", c.name, code, c.code)
		}
		_ = nc.Close()
	}
	if err := try(t, addr, "ann", "wönderland", "sslmode=disable"); err != nil {
		t.Error(err)
	}
}

func TestPsqlLogsIn(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	dir, conf := certs(t)
	addr := serve(t, pgserver.Config{Auth: people(t), TLS: conf}, true)
	host, port, _ := net.SplitHostPort(addr)
	run := func(password, options string) (string, error) {
		cmd := exec.CommandContext(t.Context(), psql, "-XAtq", "-c", "SELECT 2", fmt.Sprintf("host=%s port=%s user=ann dbname=tidemill %s", host, port, options))
		cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	full := "sslmode=verify-full sslrootcert=" + filepath.Join(dir, security.CACertFile)
	for _, options := range []string{full, full + " channel_binding=require", "sslmode=prefer"} {
		if out, err := run("wönderland", options); err != nil || !strings.HasSuffix(out, "0|\n1|x\n") {
			t.Errorf("%s: %v: %s", options, err, out)
		}
	}
	if out, err := run("x", full); err == nil || !strings.Contains(out, `password authentication failed for user "ann"`) {
		t.Errorf("wrong password: %v: %s", err, out)
	}
	if out, err := run("wönderland", "sslmode=disable"); err == nil || !strings.Contains(out, "no encryption") {
		t.Errorf("no TLS: %v: %s", err, out)
	}
}
