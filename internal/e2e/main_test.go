// Package e2e runs the tidemill binary as a stranger would, and talks to it with
// the clients that strangers use: psql, pgx, lib/pq, a NATS client, HTTP.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
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
)

const (
	// startTimeout bounds the start of a node on a busy machine.
	startTimeout = 30 * time.Second
	// opTimeout bounds any one request of a test.
	opTimeout = 20 * time.Second
)

var binary struct {
	once sync.Once
	path string
	err  error
}

var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tidemill-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// tidemill returns the path of the binary, which is built once.
func tidemill(t testing.TB) string {
	t.Helper()
	binary.once.Do(func() {
		binary.path = filepath.Join(buildDir, "tidemill")
		out, err := exec.Command("go", "build", "-o", binary.path, "../../cmd/tidemill").CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

// prove says whether the long proofs were asked for.
func prove() bool { return os.Getenv("TIDEMILL_PROVE") == "1" }

// env is the environment of processes under test: without anybody's settings.
func env(extra ...string) []string {
	var out []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "TIDEMILL_") && !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "PSQL") {
			out = append(out, kv)
		}
	}
	return append(append(out, "PSQLRC=/dev/null", "PGCONNECT_TIMEOUT=10", "HOME="+buildDir), extra...)
}

// proc is a running process of the binary.
type proc struct {
	cmd    *exec.Cmd
	lines  chan string // of standard output; closed at its end
	stderr *output
	done   chan struct{} // closed when the process has ended
}

// output gathers what a process writes, for many goroutines.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// spawn starts the binary. The process is killed at the end of the test.
func spawn(t testing.TB, extraEnv []string, args ...string) *proc {
	t.Helper()
	return spawnBinary(t, tidemill(t), extraEnv, args...)
}

func spawnBinary(t testing.TB, path string, extraEnv []string, args ...string) *proc {
	t.Helper()
	p := &proc{cmd: exec.Command(path, args...), lines: make(chan string, 1000), stderr: &output{}, done: make(chan struct{})}
	p.cmd.Env = env(extraEnv...)
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s := bufio.NewScanner(out)
		s.Buffer(nil, 16<<20)
		for s.Scan() {
			p.lines <- s.Text()
		}
		close(p.lines)
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() && p.stderr.String() != "" {
			t.Logf("standard error of %v:\n%s", args, lastLines(p.stderr.String(), 40))
		}
	})
	return p
}

func lastLines(s string, n int) string {
	l := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(l[max(0, len(l)-n):], "\n")
}

// kill ends the process as a power cut would end it, and waits for it.
func (p *proc) kill() {
	_ = p.cmd.Process.Kill()
	for range p.lines {
	}
	<-p.done
}

// exit waits for the end and returns the exit code.
func (p *proc) exit(t testing.TB, within time.Duration) int {
	t.Helper()
	timeout := time.After(within)
	lines := p.lines
	for {
		select {
		case _, ok := <-lines:
			if !ok {
				lines = nil
			}
		case <-p.done:
			return p.cmd.ProcessState.ExitCode()
		case <-timeout:
			t.Fatalf("the process did not end within %v; standard error:\n%s", within, p.stderr.String())
		}
	}
}

// node is a running `tidemill dev` that said it is ready.
type node struct {
	*proc
	PG    string        `json:"pg"`
	HTTP  string        `json:"http"`
	NATS  string        `json:"nats"`
	Ready bool          `json:"ready"`
	took  time.Duration // from the start of the process to the line
	dir   string
}

var anyPorts = []string{"--pg", "127.0.0.1:0", "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "-o", "json"}

// dev starts a node on dir and waits until it is ready.
func dev(t testing.TB, dir string, more ...string) *node {
	t.Helper()
	tidemill(t)
	start := time.Now()
	p := spawn(t, nil, append(append([]string{"dev", "--data", dir}, anyPorts...), more...)...)
	return p.ready(t, start, dir)
}

func (p *proc) ready(t testing.TB, start time.Time, dir string) *node {
	t.Helper()
	n := &node{proc: p, dir: dir}
	select {
	case line, ok := <-p.lines:
		if !ok {
			<-p.done
			t.Fatalf("the node ended before it was ready: %v\n%s", p.cmd.ProcessState, p.stderr)
		}
		n.took = time.Since(start)
		if err := json.Unmarshal([]byte(line), n); err != nil || !n.Ready || n.PG == "" || n.HTTP == "" || n.NATS == "" {
			t.Fatalf("line of a ready node: %q: %v", line, err)
		}
	case <-time.After(startTimeout):
		t.Fatalf("not ready after %v; standard error:\n%s", startTimeout, p.stderr)
	}
	return n
}

// term asks the node to stop and returns its exit code and how long it took.
func (n *node) term(t testing.TB) (int, time.Duration) {
	t.Helper()
	start := time.Now()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	code := n.exit(t, 10*time.Second)
	return code, time.Since(start)
}

func (n *node) url() string {
	return "postgres://tidemill@" + n.PG + "/tidemill?sslmode=disable"
}

// deadline returns a context for one request of the test.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	t.Cleanup(cancel)
	return ctx
}

// connect opens a pgx connection that lives as long as the test.
func (n *node) connect(t testing.TB) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(deadline(t), n.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	})
	return c
}

// exec runs statements, each by itself.
func exe(t testing.TB, c *pgx.Conn, stmts ...string) {
	t.Helper()
	for _, s := range stmts {
		if _, err := c.PgConn().Exec(deadline(t), s).ReadAll(); err != nil {
			t.Fatalf("%s\n%v", s, err)
		}
	}
}

// rows runs a query through the simple protocol and returns each row as its text
// values, joined by "|"; a NULL is "∅".
func rows(t testing.TB, c *pgx.Conn, query string) []string {
	t.Helper()
	out, err := rowsErr(deadline(t), c, query)
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	return out
}

func rowsErr(ctx context.Context, c *pgx.Conn, query string) ([]string, error) {
	res, err := c.PgConn().Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, r := range res[len(res)-1].Rows {
		vs := make([]string, len(r))
		for i, v := range r {
			if vs[i] = string(v); v == nil {
				vs[i] = "∅"
			}
		}
		out = append(out, strings.Join(vs, "|"))
	}
	return out, nil
}

// want compares the rows of a query with what is expected, line by line.
func want(t testing.TB, c *pgx.Conn, query string, expected ...string) {
	t.Helper()
	got := rows(t, c, query)
	if strings.Join(got, "\n") != strings.Join(expected, "\n") {
		t.Errorf("%s\ngot:\n  %s\nwant:\n  %s", query, strings.Join(got, "\n  "), strings.Join(expected, "\n  "))
	}
}

// eventually waits until the query gives the rows expected; another transaction's
// or source's work is under way.
func eventually(t testing.TB, c *pgx.Conn, query string, expected ...string) {
	t.Helper()
	end := time.Now().Add(opTimeout)
	for {
		got := rows(t, c, query)
		if strings.Join(got, "\n") == strings.Join(expected, "\n") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s\nstill gives:\n  %s\nwant:\n  %s", query, strings.Join(got, "\n  "), strings.Join(expected, "\n  "))
		}
		time.Sleep(5 * time.Millisecond)
	}
}
