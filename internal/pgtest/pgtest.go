// Package pgtest runs a private PostgreSQL server for differential tests. One
// server is shared by a test binary; it listens on a socket in a temporary
// directory and dies with the binary. Tests are skipped where PostgreSQL is not
// installed, or when TIDEMILL_TEST_PG=0.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// MajorVersion is the PostgreSQL whose behaviour we follow; servers of other
// versions are not used.
const MajorVersion = "15"

// startTimeout bounds initdb and the server's start together.
const startTimeout = 60 * time.Second

var shared struct {
	sync.Once
	dsn    string
	server *exec.Cmd // keeps the pipe that the server's life hangs on
	skip   string
	err    error
}

// Start returns the connection string of the shared server, database postgres,
// time zone UTC. It skips t where there is no PostgreSQL. The server stops when
// the test binary ends, however it ends.
func Start(t testing.TB) string {
	t.Helper()
	shared.Do(func() { shared.dsn, shared.skip, shared.err = start() })
	if shared.skip != "" {
		t.Skip(shared.skip)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.dsn
}

// Connect returns a connection of t's own to the shared server.
func Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), Start(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// Result is what a client sees of a statement: its rows as text (nil for NULL), or the error.
type Result struct {
	Rows [][]*string
	Err  *pgconn.PgError
}

// Query runs sql, one statement, by the simple protocol and returns its rows as text.
func Query(t testing.TB, c *pgx.Conn, sql string) Result {
	t.Helper()
	results, err := c.PgConn().Exec(context.Background(), sql).ReadAll()
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return Result{Err: pgErr}
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var res Result
	if len(results) == 0 {
		return res
	}
	for _, row := range results[len(results)-1].Rows {
		out := make([]*string, len(row))
		for i, v := range row {
			if v != nil {
				text := string(v)
				out[i] = &text
			}
		}
		res.Rows = append(res.Rows, out)
	}
	return res
}

func start() (dsn, skip string, err error) {
	if os.Getenv("TIDEMILL_TEST_PG") == "0" {
		return "", "TIDEMILL_TEST_PG=0", nil
	}
	bin, skip := binDir()
	if skip != "" {
		return "", skip, nil
	}
	dir, err := os.MkdirTemp("", "tidemill-pg")
	if err != nil {
		return "", "", err
	}
	cred, err := unprivileged(dir)
	if err != nil {
		os.RemoveAll(dir)
		return "", "no user to run PostgreSQL as: " + err.Error(), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = dir, cred
	if out, err := initdb.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := serve(bin, dir, data, cred); err != nil {
		return "", "", err
	}
	dsn = "host=" + dir + " port=5432 user=postgres dbname=postgres sslmode=disable"
	return dsn, "", waitReady(ctx, dsn, filepath.Join(dir, "log"))
}

// watcher starts the server, and stops it and removes its directory when its
// standard input ends: when the test binary is gone.
const watcher = `"$1/postgres" -D "$3" -k "$2" -c listen_addresses= -c port=5432 -c fsync=off -c full_page_writes=off \
  -c synchronous_commit=off -c autovacuum=off -c shared_buffers=16MB -c max_connections=20 -c timezone=UTC \
  -c lc_messages=C -c datestyle=ISO,MDY >"$2/log" 2>&1 </dev/null &
pid=$!
read -r _
kill -QUIT $pid
wait $pid
rm -rf "$2"`

func serve(bin, dir, data string, cred *syscall.SysProcAttr) error {
	cmd := exec.Command("/bin/sh", "-c", watcher, "sh", bin, dir, data)
	cmd.Dir, cmd.SysProcAttr = dir, cred
	if _, err := cmd.StdinPipe(); err != nil { // held open for as long as we live
		return err
	}
	shared.server = cmd
	return cmd.Start()
}

// waitReady returns when the server answers.
func waitReady(ctx context.Context, dsn, log string) error {
	for {
		c, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(log)
			return fmt.Errorf("start postgres: %w: %s", err, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// binDir finds the server's programs.
func binDir() (string, string) {
	dirs := []string{"/usr/lib/postgresql/" + MajorVersion + "/bin", "/usr/local/pgsql/bin"}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append([]string{strings.TrimSpace(string(out))}, dirs...)
	}
	for _, d := range dirs {
		out, err := exec.Command(filepath.Join(d, "postgres"), "--version").Output()
		if err != nil || !strings.Contains(string(out), " "+MajorVersion+".") {
			continue
		}
		if _, err := os.Stat(filepath.Join(d, "initdb")); err == nil {
			return d, ""
		}
	}
	return "", "PostgreSQL " + MajorVersion + " is not installed"
}
