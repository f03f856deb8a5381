package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/pgserver"
	"github.com/tidemill/tidemill/internal/security"
)

// TestRolesLogIn makes roles by SQL and logs in as them, over TLS and by password, with
// pgx and psql.
func TestRolesLogIn(t *testing.T) {
	n, err := node.Start(t.Context(), node.Config{DataDir: t.TempDir(), PG: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close(context.WithoutCancel(t.Context())) }()
	certs := filepath.Join(t.TempDir(), "certs")
	if err := errors.Join(security.CreateCA(certs, "blue"), security.Issue(certs, "a", nil)); err != nil {
		t.Fatal(err)
	}
	c, err := security.Open(certs)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := pgserver.New(pgserver.Config{Engine: n, Auth: n, TLS: c.Server(), RequirePassword: true})
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.WithoutCancel(t.Context()), ln) }()
	defer func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	url := func(user, password string) string {
		return fmt.Sprintf("postgres://%s:%s@localhost:%s/tidemill?sslmode=verify-full&channel_binding=require&sslrootcert=%s", user, password, port, filepath.Join(certs, security.CACertFile))
	}
	code := func(err error) string {
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			return pe.Code
		}
		return fmt.Sprint(err)
	}

	local, err := pgx.Connect(t.Context(), "postgres://tidemill@"+n.Addrs().PG+"/tidemill?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close(t.Context())
	exec := func(c *pgx.Conn, sql string) string {
		t.Helper()
		_, err := c.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		return code(err)
	}
	for _, q := range []string{"CREATE USER ann PASSWORD 'one'", "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'two'", "CREATE ROLE group1", "CREATE TABLE t (id INT PRIMARY KEY)"} {
		if got := exec(local, q); got != "<nil>" {
			t.Fatalf("%s: %s", q, got)
		}
	}
	if _, err := pgx.Connect(t.Context(), url("ann", "two")); code(err) != "28P01" {
		t.Errorf("the wrong password: %v", err)
	}
	ann, err := pgx.Connect(t.Context(), url("ann", "one"))
	if err != nil {
		t.Fatal(err)
	}
	defer ann.Close(t.Context())
	for q, want := range map[string]string{"INSERT INTO t VALUES (1)": "<nil>", "CREATE ROLE x": "42501", "ALTER USER ann PASSWORD 'three'": "<nil>", "ALTER ROLE boss PASSWORD 'x'": "42501", "DROP ROLE boss": "42501"} {
		if got := exec(ann, q); got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
	if _, err := pgx.Connect(t.Context(), url("ann", "one")); code(err) != "28P01" {
		t.Errorf("the old password: %v", err)
	}
	if again, err := pgx.Connect(t.Context(), url("ann", "three")); err != nil {
		t.Error(err)
	} else {
		_ = again.Close(t.Context())
	}
	var kept string
	if err := local.QueryRow(t.Context(), "SELECT string_agg(rolname || ' ' || coalesce(rolpassword, '-'), ', ' ORDER BY rolname) FROM pg_authid").Scan(&kept); err != nil ||
		kept != "ann ********, boss ********, group1 -, tidemill -" {
		t.Errorf("pg_authid: %s, %v", kept, err)
	}
	psqlRoles(t, "host=localhost port="+port+" user=boss dbname=tidemill sslmode=verify-full sslrootcert="+filepath.Join(certs, security.CACertFile))
}

// psqlRoles lists roles as psql does, and changes a password as its \password does.
func psqlRoles(t *testing.T, dsn string) {
	path, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	cmd := exec.CommandContext(t.Context(), path, "-XAt", dsn)
	cmd.Stdin = strings.NewReader("\\du\nDROP USER ann;\n\\du ann\nSELECT current_user;\nSHOW is_superuser;\n\\conninfo\n")
	cmd.Env = append(os.Environ(), "PGPASSWORD=two", "PAGER=cat", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const all = "Superuser, Create role, Create DB, Replication, Bypass RLS"
	for _, want := range []string{"ann||{}\n", "boss|" + all + "|{}\n", "group1|Cannot login|{}\n", "tidemill|" + all + "|{}\n", "DROP ROLE\n", "boss\non\n", "SSL connection"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("psql does not print %q:\n%s", want, out)
		}
	}
}

// TestPasswordsOnThisMachine: with RequirePassword nobody is trusted, wherever they are.
func TestPasswordsOnThisMachine(t *testing.T) {
	n, err := node.Start(t.Context(), node.Config{DataDir: t.TempDir(), PG: "127.0.0.1:0", HTTP: "127.0.0.1:0", RequirePassword: true,
		InitSQL: "ALTER USER tidemill PASSWORD 'one'"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close(context.WithoutCancel(t.Context())) }()
	for password, want := range map[string]string{"one": "", "two": "28P01"} {
		c, err := pgx.Connect(t.Context(), "postgres://tidemill:"+password+"@"+n.Addrs().PG+"/tidemill?sslmode=disable")
		var pe *pgconn.PgError
		code := ""
		if errors.As(err, &pe) {
			code = pe.Code
		}
		if code != want || (err == nil) != (want == "") {
			t.Errorf("password %s: %v, want %q", password, err, want)
		}
		if err == nil {
			_ = c.Close(t.Context())
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.Addrs().HTTP+"/v1/sql", strings.NewReader("SELECT 1"))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("tidemill", password)
		req.Header.Set("Content-Type", "text/plain")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if (res.StatusCode == http.StatusOK) != (want == "") {
			t.Errorf("password %s: %s", password, res.Status)
		}
	}
}
