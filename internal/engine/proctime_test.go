package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

func TestGeneratedColumns(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE TABLE t (a INT PRIMARY KEY, b INT GENERATED ALWAYS AS (a * 10) STORED, s TEXT, n AS length(s))`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT sum(b) AS b, sum(n) AS n FROM t`)
	c.exec(`INSERT INTO t (a, s) VALUES (1, 'x'), (2, 'yy'); INSERT INTO t VALUES (3, DEFAULT, 'zzz')`)
	c.exec(`INSERT INTO t (s, a) SELECT 'q', 4`)
	c.want(`SELECT * FROM t ORDER BY a`, "1, 10, x, 1", "2, 20, yy, 2", "3, 30, zzz, 3", "4, 40, q, 1")
	c.want(`UPDATE t SET a = 9, s = 'nine' WHERE a = 1 RETURNING b, n`, "90, 4")
	c.want(`INSERT INTO t (a, s) VALUES (2, 'conflict') ON CONFLICT (a) DO UPDATE SET s = excluded.s RETURNING b, n`, "20, 8")
	c.want(`SELECT * FROM v`, "180, 16")
	c.exec(`UPDATE t SET b = DEFAULT`)
	c.want(`SELECT * FROM v`, "180, 16")

	if e := c.fails(`INSERT INTO t VALUES (5, 1)`, "428C9", `cannot insert a non-DEFAULT value into column "b"`); e.Detail != `Column "b" is a generated column.` {
		t.Error(e.Detail)
	}
	c.fails(`INSERT INTO t (a, b) SELECT 1, 2`, "428C9", `cannot insert a non-DEFAULT value into column "b"`)
	c.fails(`UPDATE t SET b = 1`, "428C9", `column "b" can only be updated to DEFAULT`)
	c.fails(`COPY t (a, b) FROM STDIN`, "42P10", `column "b" is a generated column`)
	c.fails(`CREATE TABLE u (a INT, b AS a, c AS b)`, "42P17", `cannot use generated column "b" in column generation expression`)
	c.fails(`CREATE TABLE u (a INT, b TIMESTAMPTZ AS now())`, "42P17", "generation expression is not immutable")
	c.fails(`CREATE TABLE u (a INT, b INT GENERATED ALWAYS AS (a) STORED DEFAULT 1)`, types.CodeSyntax, "both default and generation expression")
	c.fails(`CREATE TABLE u (a INT, p AS PROCTIME())`, types.CodeFeature, "whose rows may change")
	c.fails(`INSERT INTO t (a) VALUES (1000000000)`, "22003", "integer out of range")
	b.stop()
	b = start(t, logs)
	b.client().want(`SELECT * FROM v`, "180, 16")
}

func TestGeneratedColumnsOfSources(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE SOURCE s (k BIGINT, at TIMESTAMP, half AS 100 / k, sec INT GENERATED ALWAYS AS (extract(second FROM at)::int) STORED) WITH (connector = 'pushed')`)
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Timestamp), types.T(types.Int8), types.T(types.Int4)})
	for k := range int64(4) {
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, k), types.IntValue(types.Timestamp, k*second), types.NullOf(types.T(types.Int8)), types.NullOf(types.T(types.Int4))}, 1)
	}
	b.appendBlock("s", connector.Block{Rows: bu.Seal()})
	c.exec(`FLUSH`)
	c.want(`SELECT k, half, sec FROM s ORDER BY k`, "1, 100, 1", "2, 50, 2", "3, 33, 3")
	n := 0
	err := b.e.Quarantine(t.Context(), b.e.Snapshot(), func(q QuarantineRow) error {
		n++
		if q.Reason != "a generated column: division by zero" {
			t.Error(q.Reason)
		}
		return nil
	})
	if err != nil || n != 1 {
		t.Fatalf("%d bad records, %v", n, err)
	}
}

func TestAppendOnlyIsNeverChanged(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (a INT PRIMARY KEY) WITH (append_only = true); INSERT INTO t VALUES (1)`)
	c.fails(`UPDATE t SET a = 2`, types.CodeWrongObject, `cannot update append-only table "t"`)
	c.fails(`DELETE FROM t`, types.CodeWrongObject, `cannot delete from append-only table "t"`)
	c.fails(`TRUNCATE t`, types.CodeWrongObject, `cannot truncate append-only table "t"`)
	c.fails(`INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2`, types.CodeWrongObject, `cannot update append-only table "t"`)
	c.exec(`INSERT INTO t VALUES (1), (2) ON CONFLICT DO NOTHING`)
	c.want(`SELECT a FROM t ORDER BY a`, "1", "2")
	c.fails(`CREATE TABLE u (a INT, at TIMESTAMP, WATERMARK FOR at AS at)`, types.CodeFeature, "whose rows may change")
	c.fails(`ALTER TABLE t ADD WATERMARK FOR a AS a`, types.CodeFeature, "ADD WATERMARK is not supported yet")
	c.fails(`ALTER TABLE t ADD COLUMN x INT`, types.CodeFeature, "this statement (ALTER TABLE) is not supported yet")
	c.fails(`CREATE TABLE u (a INT) WITH (append_only = maybe)`, types.CodeInvalidParameter, "want true or false")
}

// procRow is a row (k, NULL): the engine puts the time in.
func (b *bench) procRow(k int64) {
	b.Helper()
	rows := batch.FromRows([]types.Type{types.T(types.Int8), types.T(types.TimestampTZ)},
		[][]types.Value{{types.IntValue(types.Int8, k), types.NullOf(types.T(types.TimestampTZ))}})
	b.appendBlock("s", connector.Block{Rows: rows})
}

func TestProcTime(t *testing.T) {
	logs, clock := newMemLogs(), newFakeClock()
	b := start(t, logs, clock.set)
	c := b.client()
	c.exec(`CREATE SOURCE s (k BIGINT, p AS PROCTIME()) WITH (connector = 'pushed')`)
	c.exec(`CREATE MATERIALIZED VIEW n AS SELECT window_start, count(*) AS n FROM TUMBLE(s, p, INTERVAL '10 s') GROUP BY window_start EMIT ON WINDOW CLOSE`)
	b.procRow(1)
	clock.pass(3 * time.Second)
	b.procRow(2)
	clock.pass(-time.Second) // a clock that is set back
	b.procRow(3)
	c.exec(`FLUSH`)
	times := []string{"1, 00:00", "2, 00:03", "3, 00:03"}
	c.want(`SELECT k, to_char(p, 'MI:SS') FROM s ORDER BY k`, times...)
	c.want(`SELECT * FROM n`)
	clock.pass(9 * time.Second) // no row comes, but time passes
	b.until(func() bool { rows, _, _ := c.run(`SELECT n FROM n`); return slices.Equal(rows, []string{"3"}) })
	promised := b.mark("s", 1)
	b.stop()

	// After a restart no row is stamped below what was promised, though the clock was
	// set back meanwhile.
	clock.pass(-time.Hour)
	b = start(t, logs, clock.set)
	c = b.client()
	b.wantMark("s", 1, promised)
	c.want(`SELECT n FROM n`, "3")
	b.procRow(4)
	c.exec(`FLUSH`)
	c.want(`SELECT k, to_char(p, 'MI:SS') FROM s ORDER BY k`, append(times, fmt.Sprintf("4, 00:%02d", promised%60))...)
	c.want(`SELECT n FROM n`, "3")
}

func TestProcTimeOfATable(t *testing.T) {
	logs, clock := newMemLogs(), newFakeClock()
	b := start(t, logs, clock.set)
	c := b.client()
	c.exec(`CREATE TABLE s (k INT, p TIMESTAMPTZ AS PROCTIME()) APPEND ONLY`)
	c.exec(`CREATE MATERIALIZED VIEW n AS SELECT window_start, count(*) AS n FROM TUMBLE(s, p, INTERVAL '10 s') GROUP BY window_start EMIT ON WINDOW CLOSE`)
	c.exec(`INSERT INTO s (k) VALUES (1), (2)`)
	clock.pass(4 * time.Second)
	c.exec(`INSERT INTO s (k) VALUES (3)`)
	c.want(`SELECT k, to_char(p, 'MI:SS') FROM s ORDER BY k`, "1, 00:00", "2, 00:00", "3, 00:04")
	clock.pass(7 * time.Second)
	b.until(func() bool { rows, _, _ := c.run(`SELECT n FROM n`); return slices.Equal(rows, []string{"3"}) })
	b.stop()
	b = start(t, logs, clock.set)
	b.client().want(`SELECT n FROM n`, "3")
}

func TestProcTimeOfGeneratedRows(t *testing.T) {
	logs, clock := newMemLogs(), newFakeClock()
	b := start(t, logs, clock.set, withZigzag)
	c := b.client()
	c.exec(`CREATE SOURCE s (n BIGINT, at TIMESTAMP, p AS PROCTIME(), half AS n / 2) WITH (connector = 'zigzag')`)
	const query = `SELECT window_start, count(*) AS n, sum(half) AS h FROM TUMBLE(s, p, INTERVAL '10 s') GROUP BY window_start EMIT ON WINDOW CLOSE`
	c.exec(`CREATE MATERIALIZED VIEW v AS ` + query)
	closed := []string{"9, 16", "10, 65"} // the first row comes after one second
	check := func() {
		t.Helper()
		b.until(func() bool { return slices.Equal(got(c, `SELECT n, h FROM v ORDER BY window_start`), closed) })
		c.want(`SELECT count(*), to_char(max(p), 'MI:SS') FROM s`, "24, 00:24")
	}
	for range 8 {
		clock.pass(3 * time.Second)
		c.exec(`FLUSH`)
	}
	check()
	b.stop()
	b = start(t, logs, clock.set, withZigzag)
	c = b.client()
	check()
	c.exec(`CREATE MATERIALIZED VIEW w AS ` + query)
	c.want(`SELECT n, h FROM w ORDER BY window_start`, closed...)
}

// TestWindowsClose: the same rows at once and one by one, in a view before and after,
// and asked ad hoc, give the same closed windows.
func TestWindowsClose(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(eventSource + `, allowed_lateness = '2 s')`)
	const query = `SELECT extract(epoch FROM window_start)::int % 1000 AS t, count(*) AS n FROM TUMBLE(s, at, INTERVAL '10 s') GROUP BY window_start EMIT ON WINDOW CLOSE`
	c.exec(`CREATE MATERIALIZED VIEW before AS ` + query)
	b.events("s", 0, "1 100", "2 107", "3 111")
	c.exec(`FLUSH`)
	c.want(`SELECT * FROM before`)
	b.events("s", 0, "4 116", "5 109") // the watermark is at 111, less two seconds
	c.exec(`FLUSH`)
	c.want(`SELECT * FROM before`)
	b.events("s", 0, "6 117", "7 108") // the last is late now
	c.exec(`FLUSH; CREATE MATERIALIZED VIEW after AS ` + query)
	check := func() {
		t.Helper()
		want := "100, 3"
		c.want(`SELECT t % 200, n FROM before`, got(c, `SELECT t % 200, n FROM after`)...)
		c.want(strings.Replace(query, ` EMIT`, ` ORDER BY 1 EMIT`, 1), got(c, `SELECT t, n FROM before ORDER BY 1`)...)
		if rows := got(c, `SELECT n FROM before`); !slices.Equal(rows, []string{want[5:]}) {
			t.Fatalf("closed windows have %v rows, want %s", rows, want)
		}
	}
	check()
	b.stop()
	b = start(t, logs)
	c = b.client()
	check()
}

func got(c *client, text string) []string {
	c.Helper()
	rows, _, err := c.run(text)
	if err != nil {
		c.Fatal(err)
	}
	return rows
}
