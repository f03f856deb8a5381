package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"
)

func TestDevStartAndStop(t *testing.T) {
	dir := t.TempDir()
	tidemill(t)
	best := time.Hour
	for range 3 {
		n := dev(t, dir)
		best = min(best, n.took)
		code, took := n.term(t)
		if code != 0 || took > 2*time.Second {
			t.Errorf("SIGTERM: exit code %d after %v", code, took)
		}
		if s := n.stderr.String(); strings.Contains(s, "panic") || strings.Contains(s, "goroutine ") {
			t.Errorf("standard error:\n%s", s)
		}
	}
	t.Logf("ready after %v", best)
	if best > 2*time.Second {
		t.Errorf("ready after %v, 500 ms are wanted on an idle machine", best)
	}
}

func TestDevStopsWhileClientsWait(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	exe(t, c, "CREATE TABLE a (id BIGINT PRIMARY KEY, v TEXT)", "CREATE MATERIALIZED VIEW av AS SELECT v, count(*) AS n FROM a GROUP BY v",
		"INSERT INTO a VALUES (1, 'x')", "BEGIN", "INSERT INTO a VALUES (2, 'y')")

	subscriber := n.connect(t)
	ended := make(chan error, 1)
	first := make(chan struct{})
	seen := sync.OnceFunc(func() { close(first) })
	go func() {
		res := subscriber.PgConn().Exec(context.Background(), "SUBSCRIBE av")
		for res.NextResult() {
			for r := res.ResultReader(); r.NextRow(); {
				seen()
			}
		}
		ended <- res.Close()
	}()
	<-first
	resp, err := http.Get("http://" + n.HTTP + "/v1/subscribe/av")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "id: ") {
		t.Fatalf("first line of the events: %q, %v", line, err)
	}
	idle, err := http.Get("http://" + n.HTTP + "/livez") // its connection stays open
	if err != nil {
		t.Fatal(err)
	}
	_ = idle.Body.Close()
	nc, err := nats.Connect("nats://"+n.NATS, nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if psql, err := exec.LookPath("psql"); err == nil {
		cmd := exec.Command(psql, n.psqlArgs()...)
		in, err := cmd.StdinPipe() // psql waits for a statement
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = env()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Close(); _ = cmd.Wait() }()
	}

	code, took := n.term(t)
	t.Logf("ended after %v", took)
	if code != 0 || took > 2*time.Second {
		t.Errorf("SIGTERM with clients: exit code %d after %v; standard error:\n%s", code, took, n.stderr)
	}
	var pe *pgconn.PgError
	if err := <-ended; !errors.As(err, &pe) || pe.Code != "57P01" {
		t.Errorf("the subscriber was told %v, want 57P01", err)
	}

	n = dev(t, n.dir)
	want(t, n.connect(t), "SELECT * FROM a", "1|x") // the open transaction is gone
}

func TestDevOneProcessPerDirectory(t *testing.T) {
	n := dev(t, t.TempDir())
	second := spawn(t, nil, append([]string{"dev", "--data", n.dir}, anyPorts...)...)
	if code := second.exit(t, startTimeout); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if s := second.stderr.String(); !strings.Contains(s, n.dir) || !strings.Contains(s, "use") {
		t.Errorf("the error does not say that %s is in use: %s", n.dir, s)
	}
	want(t, n.connect(t), "SELECT 1", "1")
}

func TestDevPortTaken(t *testing.T) {
	n := dev(t, t.TempDir())
	for _, flag := range []string{"--pg", "--http", "--nats"} {
		addr := map[string]string{"--pg": n.PG, "--http": n.HTTP, "--nats": n.NATS}[flag]
		args := append([]string{"dev", "--data", t.TempDir()}, anyPorts...)
		second := spawn(t, nil, append(args, flag, addr)...)
		if code := second.exit(t, startTimeout); code != 1 {
			t.Errorf("%s %s: exit code %d, want 1", flag, addr, code)
		}
		if s := second.stderr.String(); !strings.Contains(s, addr) && !strings.Contains(s, addr[strings.LastIndex(addr, ":"):]) {
			t.Errorf("%s %s: the error does not name the address: %s", flag, addr, s)
		}
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		args   []string
		env    []string
		code   int
		stderr string
	}{
		{args: []string{"dev", "--no-such-flag"}, code: 2, stderr: "no-such-flag"},
		{args: []string{"dev", "extra"}, code: 2, stderr: `"extra"`},
		{args: []string{"dev", "-o", "xml"}, code: 2, stderr: `"xml"`},
		{args: []string{"dev", "--workers", "many"}, code: 2, stderr: "many"},
		{args: []string{"dev", "--init", filepath.Join(dir, "none.sql")}, code: 2, stderr: "none.sql"},
		{args: []string{"dev", "--config", filepath.Join(dir, "none.yaml")}, code: 2, stderr: "none.yaml"},
		{args: []string{"dev", "--config", file("bad.yaml", "pgg: 1\n")}, code: 2, stderr: `"pgg"`},
		{args: []string{"dev"}, env: []string{"TIDEMILL_WORKERS=x"}, code: 2, stderr: "TIDEMILL_WORKERS"},
		{args: []string{"nothing"}, code: 2, stderr: "nothing"},
		{args: []string{"sql", "-c", "SELECT 1", "--pg", "127.0.0.1:1"}, code: 3, stderr: "127.0.0.1:1"},
		{args: []string{"sql", "-c", "SELECT 1", "-f", "x"}, code: 2, stderr: "-f"},
		{args: []string{"demo", "--speed", "-1"}, code: 2, stderr: "--speed"},
		{args: []string{"dev", "--data", file("plain", "")}, code: 1, stderr: "plain"},
		{args: append([]string{"dev", "--data", filepath.Join(dir, "d1"), "--init", file("bad.sql", "CREATE TABLE t (a int);\nSELEC 1;")}, anyPorts...), code: 1, stderr: "SELEC"},
	} {
		p := spawn(t, c.env, c.args...)
		if code := p.exit(t, startTimeout); code != c.code {
			t.Errorf("tidemill %v: exit code %d, want %d; %s", c.args, code, c.code, p.stderr)
		}
		if s := p.stderr.String(); !strings.Contains(s, c.stderr) {
			t.Errorf("tidemill %v: standard error %q does not say %q", c.args, s, c.stderr)
		}
	}
	out, err := exec.Command(tidemill(t), "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "tidemill ") {
		t.Errorf("tidemill version: %q, %v", out, err)
	}
}

// TestSettings looks at the order: flags, then the environment, then the file.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "tidemill.yaml")
	text := fmt.Sprintf("data: %s\npg: 127.0.0.1:0\nhttp: 127.0.0.1:0\nnats: 127.0.0.1:0\noutput: json\nmax-connections: 1\n", filepath.Join(dir, "file"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	start := func(env []string, args ...string) *node {
		return spawn(t, env, append([]string{"dev", "--config", config}, args...)...).ready(t, time.Now(), dir)
	}
	n := start(nil)
	if !exists("file") {
		t.Error("the file's data directory was not used")
	}
	_ = n.connect(t)
	_, err := pgconn.Connect(deadline(t), n.url())
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "53300" {
		t.Errorf("a second connection with max-connections 1: %v", err)
	}
	n.term(t)
	start([]string{"TIDEMILL_DATA=" + filepath.Join(dir, "environment")}).term(t)
	if !exists("environment") {
		t.Error("TIDEMILL_DATA does not come before the file")
	}
	start([]string{"TIDEMILL_DATA=" + filepath.Join(dir, "environment2")}, "--data", filepath.Join(dir, "flag")).term(t)
	if !exists("flag") || exists("environment2") {
		t.Error("--data does not come before TIDEMILL_DATA")
	}
}

func TestInit(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "init.sql")
	err := os.WriteFile(file, []byte(`-- what there is at first
CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT DEFAULT 'a;b');
CREATE SOURCE s (id BIGINT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON;
CREATE VIEW w AS SELECT v FROM t;
CREATE MATERIALIZED VIEW mv AS SELECT v, count(*) AS n FROM t GROUP BY v;
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	n := dev(t, data, "--init", file)
	c := n.connect(t)
	exe(t, c, "INSERT INTO t (id) VALUES (1)")
	want(t, c, "SELECT * FROM mv", "a;b|1")
	n.term(t)
	n = dev(t, data, "--init", file)
	want(t, n.connect(t), "SELECT * FROM mv", "a;b|1")
	n.term(t)
}

// psqlArgs are the arguments that connect psql: no start-up file, stop at errors.
func (n *node) psqlArgs(more ...string) []string {
	host, port, _ := strings.Cut(n.PG, ":")
	return append([]string{"-X", "-h", host, "-p", port, "-U", "tidemill", "-d", "tidemill"}, more...)
}

// TestSQLCommand runs the shell without a terminal.
func TestSQLCommand(t *testing.T) {
	n := dev(t, t.TempDir())
	run := func(stdin string, args ...string) (string, string, int) {
		cmd := exec.Command(tidemill(t), append([]string{"sql", "--pg", n.PG}, args...)...)
		var out, errs strings.Builder
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = strings.NewReader(stdin), &out, &errs, env()
		err := cmd.Run()
		var ee *exec.ExitError
		if err != nil && !errors.As(err, &ee) {
			t.Fatal(err)
		}
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}
	file := filepath.Join(t.TempDir(), "s.sql")
	script := "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT);\nINSERT INTO t VALUES (1, 'one'), (2, NULL);\nSELECT * FROM t ORDER BY id;\n"
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := run("", "-f", file)
	compare(t, "-f", out, "CREATE TABLE\nINSERT 0 2\n id |  v\n----+-----\n  1 | one\n  2 |\n(2 rows)")
	if code != 0 {
		t.Errorf("-f: exit code %d: %s", code, errs)
	}
	for _, c := range []struct {
		args []string
		out  string
	}{
		{[]string{"-o", "csv", "-c", "SELECT * FROM t ORDER BY id"}, "id,v\n1,one\n2,\n"},
		{[]string{"-o", "json", "-c", "SELECT * FROM t ORDER BY id"}, `{"id":1,"v":"one"}` + "\n" + `{"id":2,"v":null}` + "\n"},
		{[]string{"-o", "csv", "-c", "SELECT 1 AS a; SELECT 2 AS b"}, "a\n1\nb\n2\n"},
	} {
		if out, errs, code := run("", c.args...); code != 0 || strings.ReplaceAll(out, "\n\n", "\n") != c.out {
			t.Errorf("sql %v: exit code %d\n%q\nwant:\n%q\n%s", c.args, code, out, c.out, errs)
		}
	}
	if out, errs, code := run("SELECT count(*)\nFROM t;\n", "-o", "csv"); code != 0 || out != "count\n2\n" {
		t.Errorf("standard input: exit code %d, %q, %s", code, out, errs)
	}
	out, errs, code = run("", "-c", "SELECT 1 AS a; SELECT nothing; SELECT 2 AS b")
	if code != 1 || strings.Contains(out, " b\n") || !strings.Contains(errs, `column "nothing" does not exist`) || !strings.Contains(errs, "^") {
		t.Errorf("an error: exit code %d, output %q, standard error %q", code, out, errs)
	}
	cmd := exec.CommandContext(deadline(t), tidemill(t), "sql", "--pg", n.PG, "-o", "json", "-c", "SUBSCRIBE t")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for _, id := range []string{`"id":1`, `"id":2`} {
		if !lines.Scan() || !strings.Contains(lines.Text(), id) || !strings.Contains(lines.Text(), `"weight":1`) {
			t.Errorf("SUBSCRIBE: %q, want %s", lines.Text(), id)
		}
	}
	exe(t, n.connect(t), "INSERT INTO t VALUES (3, 'three')")
	if !lines.Scan() || !strings.Contains(lines.Text(), `"three"`) {
		t.Errorf("SUBSCRIBE after an insert: %q", lines.Text())
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
}
