package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// config is a node in dir with every front door.
func config(dir string) node.Config {
	return node.Config{DataDir: dir, PG: "127.0.0.1:0", HTTP: "127.0.0.1:0", NATS: "127.0.0.1:0", Version: "1.2.3", Workers: 2}
}

func start(t *testing.T, cfg node.Config) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n) })
	return n
}

func stop(t *testing.T, n *node.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// try runs statements in a session of its own and returns the rows of the last one,
// a line each with | between the values.
func try(ctx context.Context, n *node.Node, text string) (string, error) {
	s, err := n.OpenSession(ctx, session.Options{User: node.User, Database: node.Database})
	if err != nil {
		return "", err
	}
	defer s.Close()
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		return "", err
	}
	var lines []string
	for _, stmt := range stmts {
		lines = nil
		st, err := s.Prepare(ctx, text, stmt, nil)
		if err != nil {
			return "", err
		}
		cur, err := s.Execute(ctx, st, nil)
		if err != nil {
			return "", err
		}
		defer cur.Close()
		for {
			b, err := cur.Next(ctx, true)
			if err != nil {
				return "", err
			}
			if b == nil {
				break
			}
			for i := range b.N {
				var row []string
				for _, v := range b.RowValues(i) {
					row = append(row, string(types.AppendText(nil, v, s.Style())))
				}
				lines = append(lines, strings.Join(row, "|"))
			}
		}
	}
	return strings.Join(lines, "\n"), nil
}

func query(t *testing.T, n *node.Node, text string) string {
	t.Helper()
	got, err := try(t.Context(), n, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return got
}

func expect(t *testing.T, n *node.Node, text, want string) {
	t.Helper()
	if got := query(t, n, text); got != want {
		t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
	}
}

// settled waits until no more goroutines run than before.
func settled(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(time.Millisecond)
	}
}

func TestStartAndStop(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	var before int
	for round := range 3 {
		n, err := node.Start(t.Context(), config(dir))
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			query(t, n, "CREATE TABLE t (id bigint PRIMARY KEY); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
		}
		query(t, n, fmt.Sprintf("INSERT INTO t VALUES (%d)", round))
		expect(t, n, "SELECT n FROM v", fmt.Sprint(round+1))
		stop(t, n)
		stop(t, n) // again: nothing
		if _, err := try(t.Context(), n, "SELECT 1"); err == nil {
			t.Error("a stopped node answers")
		}
		select {
		case err := <-n.Failed():
			t.Errorf("an orderly stop is a failure: %v", err)
		default:
		}
		for _, addr := range []string{n.Addrs().PG, n.Addrs().HTTP, n.Addrs().NATS} {
			if c, err := net.Dial("tcp", addr); err == nil {
				_ = c.Close()
				t.Errorf("%s still answers", addr)
			}
		}
		if round == 0 {
			before = runtime.NumGoroutine() // libraries keep some for the process
		}
	}
	settled(t, before)
}

func TestStartWithoutDirectory(t *testing.T) {
	if n, err := node.Start(t.Context(), node.Config{}); err == nil || n != nil || !strings.Contains(err.Error(), "no data directory") {
		t.Errorf("%v, %v", n, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := node.Start(t.Context(), config(file)); err == nil || n != nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v, %v", n, err)
	}
}

func TestPortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken, dir := ln.Addr().String(), t.TempDir()
	start(t, config(t.TempDir())) // so that what a process keeps is there
	before := runtime.NumGoroutine()
	for name, edit := range map[string]func(*node.Config){
		"SQL port":  func(c *node.Config) { c.PG = taken },
		"HTTP port": func(c *node.Config) { c.HTTP = taken },
		"listening": func(c *node.Config) { c.NATS = taken },
	} {
		cfg := config(dir)
		edit(&cfg)
		n, err := node.Start(t.Context(), cfg)
		if err == nil || n != nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), taken) {
			t.Errorf("%s taken: %v, %v", name, n, err)
		}
	}
	settled(t, before)
	expect(t, start(t, config(dir)), "SELECT 1", "1") // the directory is free
}

func TestInit(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	cfg.InitSQL = "CREATE TABLE t (id bigint PRIMARY KEY);\nCREATE VIEW v AS SELECT id FROM t;\nINSERT INTO t SELECT max(id) + 1 FROM (SELECT 0 AS id UNION ALL SELECT id FROM t) x"
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, n)
	var log []string
	cfg.Logf = func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	n, err = node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, n, "SELECT * FROM v ORDER BY 1", "1\n2")
	stop(t, n)
	if all := strings.Join(log, "\n"); !strings.Contains(all, `"t" already exists, skipping`) || !strings.Contains(all, `"v" already exists, skipping`) {
		t.Errorf("log:\n%s", all)
	}
	// What is wrong says where, and leaves nothing running.
	for text, want := range map[string][]string{
		"SELECT 1;\nCREATE TABLE u (id bigint;\n":                           {"line 2", "syntax error"},
		"CREATE TABLE u (id bigint);\n\n  INSERT INTO nope\nVALUES (1);\n":  {"line 3", "INSERT INTO nope VALUES (1)", `"nope" does not exist`},
		"SELECT 1;\nINSERT INTO t VALUES (1)":                               {"line 2", "INSERT INTO t VALUES (1)", "duplicate key"},
		"SELECT 1; SELECT '" + strings.Repeat("x", 1000) + "' FROM nowhere": {"line 1", "xxx...", "nowhere"},
	} {
		cfg.InitSQL = text
		n, err := node.Start(t.Context(), cfg)
		if err == nil || n != nil {
			t.Fatalf("%q: no error", text)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%.60q: %v\ndoes not name %s", text, err, w)
			}
		}
	}
	cfg.InitSQL = ""
	start(t, cfg)
}

func TestOneNodeADirectory(t *testing.T) {
	dir := t.TempDir()
	one := start(t, config(dir))
	if n, err := node.Start(t.Context(), config(dir)); err == nil || n != nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second node on %s: %v, %v", dir, n, err)
	}
	query(t, one, "CREATE TABLE t (id bigint)")
	two := start(t, config(t.TempDir()))
	if _, err := try(t.Context(), two, "SELECT * FROM t"); err == nil {
		t.Error("one node sees the other's table")
	}
	query(t, two, "CREATE TABLE t (id text); INSERT INTO t VALUES ('two')")
	expect(t, one, "SELECT count(*) FROM t", "0")
	expect(t, two, "SELECT * FROM t", "two")
}

func TestFailed(t *testing.T) {
	n := start(t, config(t.TempDir()))
	n.Fail(errors.New("first"))
	n.Fail(errors.New("second"))
	if err := <-n.Failed(); err.Error() != "first" {
		t.Errorf("failed with %v", err)
	}
}

// get returns the body of a GET.
func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v", url, resp.Status, err)
	}
	return string(body)
}

// traffic makes a source with a bad record, a table, a view and a sink.
func traffic(t *testing.T, n *node.Node) {
	t.Helper()
	query(t, n, `CREATE SOURCE clicks (page text, ms bigint) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON;
		CREATE TABLE accounts (id bigint PRIMARY KEY, owner text);
		CREATE MATERIALIZED VIEW per_page AS SELECT page, count(*) AS n, max(100 / ms) AS top FROM clicks GROUP BY page;
		CREATE SINK out FROM per_page WITH (connector = 'nats', subject = 'out.pages')`)
	resp, err := http.Post("http://"+n.Addrs().HTTP+"/v1/sources/clicks", "application/x-ndjson",
		strings.NewReader(`{"page":"/","ms":2}`+"\n"+`{"page":"/","ms":"x"}`+"\n"+`{"page":"/a","ms":4}`+"\n"+`{"page":"/a","ms":0}`+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(answer), `"accepted":3,"quarantined":1`) {
		t.Fatalf("POST: %s %s", resp.Status, answer)
	}
	query(t, n, "INSERT INTO accounts VALUES (1, 'ann'), (2, 'bob'); FLUSH")
}

func TestSystemTables(t *testing.T) {
	n := start(t, config(t.TempDir()))
	traffic(t, n)
	expect(t, n, "SELECT page, n, top FROM per_page ORDER BY page", "/|1|50\n/a|1|25")
	expect(t, n, "SELECT name, connector, state, lag FROM tidemill.sources", "clicks|http|running|0")
	expect(t, n, "SELECT name, connector, state FROM tidemill.sinks", "out|nats|running")
	expect(t, n, "SELECT name, kind, rows FROM tidemill.relations WHERE kind <> 'source' ORDER BY name", "accounts|table|2\nper_page|materialized view|2")
	expect(t, n, "SELECT source, convert_from(data, 'UTF8') FROM tidemill.quarantine", `clicks|{"page":"/","ms":"x"}`)
	expect(t, n, "SELECT count(*) FROM tidemill.quarantine WHERE reason LIKE '%ms%' AND position > 0", "1")
	expect(t, n, "SELECT view, code, message FROM tidemill.errors", "per_page|22012|division by zero")
	expect(t, n, "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = 2200 AND relkind <> 'i' ORDER BY 1", "accounts\nclicks\nout\nper_page")
	expect(t, n, "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = 'accounts'::regclass AND attnum > 0 ORDER BY attnum", "id\nowner")
	expect(t, n, "SELECT count(*) > 0 FROM pg_catalog.pg_stat_activity", "t")
	expect(t, n, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'", "accounts")
}

func TestMetrics(t *testing.T) {
	n := start(t, config(t.TempDir()))
	traffic(t, n)
	query(t, n, "CREATE TABLE notes (at timestamp, WATERMARK FOR at AS at) APPEND ONLY; INSERT INTO notes VALUES ('2026-01-01'); CHECKPOINT")
	docs, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	text := get(t, "http://"+n.Addrs().HTTP+"/metrics")
	named := 0
	for _, word := range strings.FieldsFunc(string(docs), func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		if strings.HasPrefix(word, "tidemill_") {
			named++
			if !strings.Contains(text, "\n"+word) {
				t.Errorf("docs/operations.md names %s, which is not there", word)
			}
		}
	}
	if named < 6 {
		t.Errorf("docs/operations.md names %d series", named)
	}
	for _, line := range []string{
		"tidemill_quarantined_total 1", "tidemill_row_errors_total 1", "tidemill_transactions_rejected_total 0",
		"tidemill_rows_in_total 6", "tidemill_rows_out_total 4", // two of the view, two of the sink
		`tidemill_relation_rows{relation="public.accounts"} 2`, `tidemill_relation_rows{relation="public.per_page"} 2`,
		`tidemill_source_lag_rows{source="public.clicks"} 0`, "tidemill_sql_connections 0", "go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
	if t.Failed() {
		for _, l := range strings.Split(text, "\n") {
			if strings.HasPrefix(l, "tidemill_") && !strings.Contains(l, "_bucket") {
				t.Log(l)
			}
		}
	}
	if got := get(t, "http://"+n.Addrs().HTTP+"/readyz"); got != "ok\n" {
		t.Errorf("readyz: %s", got)
	}
}
