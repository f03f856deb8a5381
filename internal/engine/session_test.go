package engine

import (
	"context"
	"errors"
	"fmt"
	"github.com/tidemill/tidemill/internal/fabric"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

func TestParameters(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.want(`SHOW server_version`, "15.0")
	c.exec(`SET TIME ZONE 'Europe/Berlin'`)
	c.want(`SHOW timezone`, "Europe/Berlin")
	c.want(`SELECT TIMESTAMPTZ '2026-07-01 00:00+02' AT TIME ZONE 'UTC'`, "2026-06-30 22:00:00")
	c.exec(`SET DateStyle = 'German'; SET extra_float_digits = 3; SET search_path = a, "B c", public`)
	c.want(`SHOW datestyle`, "German, DMY")
	c.want(`SHOW search_path`, `a, "B c", public`)
	c.exec(`RESET ALL`)
	c.want(`SHOW search_path`, "public")
	c.fails(`SET nonsense = 1`, types.CodeUndefinedObject, `unrecognized configuration parameter "nonsense"`)
	c.fails(`SET server_version = '1'`, "55P02", "cannot be changed")
	c.fails(`SET timezone = 'Nowhere/Land'`, types.CodeInvalidParameter, "invalid value")
	c.exec(`BEGIN; SET LOCAL application_name = 'x'`)
	c.want(`SHOW application_name`, "x")
	c.exec(`COMMIT`)
	c.want(`SHOW application_name`, "")
	c.exec(`BEGIN READ ONLY`)
	c.exec(`COMMIT; CREATE TABLE t (id INT PRIMARY KEY); BEGIN READ ONLY`)
	c.fails(`INSERT INTO t VALUES (1)`, "25006", "read-only")
	c.exec(`ROLLBACK; INSERT INTO t VALUES (1)`)
	c.fails(`SAVEPOINT s`, types.CodeFeature, "savepoints are not supported")
}

func TestPreparedStatements(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT)`)
	c.exec(`PREPARE ins (int, int) AS INSERT INTO t VALUES ($1, $2 * 2)`)
	c.exec(`EXECUTE ins (1, 10); EXECUTE ins (2, 20)`)
	c.exec(`PREPARE q AS SELECT n FROM t WHERE id = $1`)
	c.want(`EXECUTE q (2)`, "40")
	c.exec(`CREATE TABLE other (id INT)`) // another catalog: bound again
	c.want(`EXECUTE q (1)`, "20")
	c.exec(`DEALLOCATE q`)
	c.fails(`EXECUTE q (1)`, "26000", "does not exist")
	if rows, _, err := c.run(`SELECT id + $1 FROM t ORDER BY 1`, types.IntValue(types.Int4, 100)); err != nil || fmt.Sprint(rows) != "[101 102]" {
		t.Error(rows, err)
	}
}

func TestShowAndExplain(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL); CREATE VIEW w AS SELECT n FROM t; CREATE MATERIALIZED VIEW v AS SELECT n, count(*) AS c FROM t GROUP BY n; CREATE INDEX vi ON v (c)`)
	c.want(`SHOW TABLES`, "public, t")
	c.want(`SHOW VIEWS`, "public, w")
	c.want(`SHOW MATERIALIZED VIEWS LIKE 'v%'`, "public, v")
	c.want(`SHOW INDEXES`, "public, t_pkey, t, id", "public, vi, v, c")
	c.want(`SHOW COLUMNS FROM t`, "id, integer, false", "n, integer, false")
	c.want(`SHOW CREATE VIEW w`, "public.w, CREATE VIEW w AS SELECT n FROM t")
	rows, _, err := c.run(`EXPLAIN MATERIALIZED VIEW v`)
	if err != nil || !strings.Contains(strings.Join(rows, "\n"), "  ") {
		t.Errorf("%q, %v", rows, err)
	}
	c.exec(`INSERT INTO t VALUES (1, 1)`)
	rows, _, err = c.run(`EXPLAIN ANALYZE SELECT count(*) FROM t WHERE n > 0`)
	if err != nil || !strings.Contains(strings.Join(rows, "\n"), "in=1") {
		t.Errorf("%q, %v", rows, err)
	}
}

func TestIndexesAndKeysAreLookedUp(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, g INT, s TEXT); INSERT INTO t SELECT i, i % 100, 'x' || i FROM generate_series(1, 5000) AS i`)
	c.exec(`CREATE INDEX gi ON t (g)`)
	c.exec(`UPDATE t SET g = 1000 WHERE id = 7`)
	read := func(text string) int {
		t.Helper()
		rows := 0
		stmts, err := sql.Parse(text, sql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := c.s.(*Session)
		q, err := s.planner(nil).PlanSelect(stmts[0].(*sql.Query))
		if err != nil {
			t.Fatal(err)
		}
		env := s.env(nil)
		for _, in := range q.Inputs {
			env.content(t.Context(), in.ID, env.pointOf(q.Spec, in), func(b *batch.Batch) error { rows += b.Len(); return nil })
		}
		return rows
	}
	if n := read(`SELECT s FROM t WHERE id = 4321`); n > 4 {
		t.Errorf("%d rows read for one by key", n)
	}
	if n := read(`SELECT s FROM t WHERE g = 1000 AND s <> ''`); n > 4 {
		t.Errorf("%d rows read for one by index", n)
	}
	if n := read(`SELECT s FROM t WHERE g = 5 OR id = 1`); n < 5000 {
		t.Errorf("%d rows read where all are needed", n)
	}
	c.want(`SELECT s FROM t WHERE id = 4321`, "x4321")
	c.want(`SELECT id FROM t WHERE g = 1000`, "7")
	c.exec(`BEGIN; DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (9999, 1000, 'new')`)
	c.want(`SELECT id FROM t WHERE g = 1000`, "9999")
	c.exec(`ROLLBACK; DROP INDEX gi`)
	c.want(`SELECT count(*) FROM t WHERE g = 5`, "50")
}

func TestCopy(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT DEFAULT 7, s TEXT)`)
	stmts, err := sql.Parse(`COPY t (s, id) FROM STDIN WITH (FORMAT csv, HEADER)`, sql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.s.Prepare(t.Context(), `COPY t (s, id) FROM STDIN WITH (FORMAT csv, HEADER)`, stmts[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	opt, in := st.Plan.(session.Copier).CopyOptions()
	if !in || !opt.CSV || !opt.Header || opt.Delimiter != ',' {
		t.Errorf("%+v, in %v", opt, in)
	}
	cp, err := c.s.CopyIn(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	rows := batch.FromRows([]types.Type{types.T(types.Text), types.T(types.Int4)}, [][]types.Value{
		{types.TextValue("a"), types.IntValue(types.Int4, 1)}, {types.TextValue("b"), types.IntValue(types.Int4, 2)}})
	if err := cp.Write(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if n, err := cp.Commit(t.Context()); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	c.want(`SELECT * FROM t ORDER BY id`, "1, 7, a", "2, 7, b")
	c.want(`COPY t (id) TO STDOUT`, "1", "2")
	c.want(`COPY (SELECT s FROM t WHERE id = 2) TO STDOUT`, "b")
	stmts, _ = sql.Parse(`SELECT 1`, sql.Options{})
	if st, err = c.s.Prepare(t.Context(), `SELECT 1`, stmts[0], nil); err != nil {
		t.Fatal(err)
	}
	if _, is := st.Plan.(session.Copier); is {
		t.Error("SELECT looks like COPY")
	}
}

func TestARingThatOverflowsTellsItsReaders(t *testing.T) {
	r := newRing(1000)
	row := batch.FromRows([]types.Type{types.T(types.Int8)}, [][]types.Value{{types.IntValue(types.Int8, 1)}})
	for step := uint64(1); step <= 500; step++ {
		r.add(step, row)
	}
	var te *types.Error
	if _, _, err := r.after(1, 500); !errors.As(err, &te) || te.Code != "55000" {
		t.Error(err)
	}
	if e, ok, err := r.after(499, 500); !ok || err != nil || e.step != 500 {
		t.Error(e, ok, err)
	}
	if r.size() > 1000 {
		t.Errorf("%d bytes kept", r.size())
	}
	r.end()
	if _, _, err := r.after(499, 500); !errors.As(err, &te) || te.Code != types.CodeUndefinedTable {
		t.Error(err)
	}
}

func TestLimitsOfMemoryAndTransactions(t *testing.T) {
	b := start(t, newMemLogs(), func(c *Config) { c.QueryBytes = 1 << 20 })
	c := b.client()
	c.exec(`CREATE TABLE t (id INT, s TEXT)`)
	c.fails(`SELECT count(DISTINCT i) FROM generate_series(1, 200000) AS i`, types.CodeOutOfMemory, "out of memory")
	c.want(`SELECT count(*) FROM t`, "0")
	b2 := start(t, newMemLogs())
	c = b2.client()
	c.exec(`CREATE TABLE t (id INT, s TEXT)`)
	c.fails(`INSERT INTO t SELECT i, repeat('0123456789', 1000) FROM generate_series(1, 6000) AS i`, "54000", "too large")
	c.fails(`INSERT INTO t VALUES (1, repeat('x', 8000000))`, "54000", "row is too large")
	// Rows of very different sizes still fit their records.
	c.exec(`INSERT INTO t SELECT i, repeat('x', CASE WHEN i % 100 = 0 THEN 3000000 ELSE 1 END) FROM generate_series(1, 1000) AS i`)
	c.want(`SELECT count(*), sum(length(s)) FROM t`, "1000, 30000990")
}

func TestReplayNoticesAnotherResult(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed'); CREATE MATERIALIZED VIEW v AS SELECT sum(k) AS s FROM s`)
	b.push("s", 5, "a")
	c.exec(`FLUSH`)
	b.stop()
	// Another stream in its place: right in itself, and not what the steps saw.
	logs.mu.Lock()
	var name string
	for n := range logs.logs {
		if strings.HasPrefix(n, "SRC_") {
			name = n
		}
	}
	old := logs.logs[name]
	logs.logs[name] = &memLog{owner: logs, name: name}
	logs.mu.Unlock()
	other := newMemLogs()
	b2 := start(t, other)
	b2.client().exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	b2.push("s", 6, "a")
	logs.logs[name].recs = other.logs[name].recs
	if _, err := Open(t.Context(), Config{Logs: logs, Name: "tidemill", Connectors: connector.NewRegistry(b.src.system())}); err == nil || !strings.Contains(err.Error(), "materialized view v differs") {
		t.Fatalf("opened over other rows: %v", err)
	}
	logs.logs[name] = old
	b = start(t, logs)
	b.client().want(`SELECT s FROM v`, "5")
}

func BenchmarkInsertVisible(b *testing.B) {
	e := start(b, newMemLogs())
	c := e.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g INT); CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c FROM t GROUP BY g`)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, %d)`, n, n%10))
	}
}

func BenchmarkBulkInsert(b *testing.B) {
	e := start(b, newMemLogs())
	c := e.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g INT); CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c FROM t GROUP BY g`)
	n := 0
	for b.Loop() {
		c.exec(fmt.Sprintf(`INSERT INTO t SELECT i, i %% 10 FROM generate_series(%d, %d) AS i`, n+1, n+50000))
		n += 50000
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkPointSelect(b *testing.B) {
	e := start(b, newMemLogs())
	c := e.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g INT); INSERT INTO t SELECT i, i FROM generate_series(1, 100000) AS i`)
	for b.Loop() {
		c.exec(`SELECT g FROM t WHERE id = 4711`)
	}
}

// BenchmarkInsertDurable is one session's INSERTs over the real broker, each synced
// and visible in a view before the next.
func BenchmarkInsertDurable(b *testing.B) {
	f, err := fabric.Start(b.Context(), fabric.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close(context.Background()) })
	e := start(b, nil, func(c *Config) { c.Fabric = f })
	c := e.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g INT); CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c FROM t GROUP BY g`)
	var took []time.Duration
	n := 0
	for b.Loop() {
		n++
		began := time.Now()
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, %d)`, n, n%10))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

// BenchmarkReplay is how many rows of tables a second a restart computes again.
func BenchmarkReplay(b *testing.B) {
	logs := newMemLogs()
	e := start(b, logs)
	c := e.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g INT); CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c FROM t GROUP BY g`)
	const rows = 500_000
	for i := range 10 {
		c.exec(fmt.Sprintf(`INSERT INTO t SELECT i, i %% 10 FROM generate_series(%d, %d) AS i`, i*rows/10+1, (i+1)*rows/10))
	}
	e.stop()
	for b.Loop() {
		start(b, logs).stop()
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
}

func TestCancelledStatements(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY)`)
	prepare := func(text string) *session.Statement {
		t.Helper()
		stmts, err := sql.Parse(text, sql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		st, err := c.s.Prepare(t.Context(), text, stmts[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	cur, err := c.s.Execute(t.Context(), prepare(`SUBSCRIBE t`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cause := range []error{nil, &types.Error{Code: "57P01", Message: "the server goes down"}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Millisecond, func() { cancel(cause) })
		want := types.CodeQueryCanceled
		if cause != nil {
			want = "57P01"
		}
		var te *types.Error
		if _, err := cur.Next(ctx, true); !errors.As(err, &te) || te.Code != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	c.exec(`SET statement_timeout = 50`)
	c.fails(`SELECT sum(a % 7 * b) FROM generate_series(1, 100000) a, generate_series(1, 100000) b`, types.CodeQueryCanceled, "statement timeout")
}

func TestRowsThatCannotBeComputedAreWithheld(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT); CREATE MATERIALIZED VIEW v AS SELECT id, 100 / n AS q FROM t`)
	c.exec(`INSERT INTO t VALUES (1, 5), (2, 0)`)
	c.want(`SELECT * FROM v`, "1, 20")
	errs, all := b.e.RowErrors()
	if all != 1 || len(errs) != 1 || errs[0].View != "v" || errs[0].Code != types.CodeDivisionByZero || errs[0].Row != "(2, 0)" {
		t.Errorf("%+v, %d", errs, all)
	}
	c.exec(`UPDATE t SET n = 4 WHERE id = 2`)
	c.want(`SELECT * FROM v ORDER BY id`, "1, 20", "2, 25")
}
