package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
)

func TestTablesAndViewsSurviveARestart(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g TEXT, n INT)`)
	c.exec(`INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 20), (3, 'a', 30)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c, sum(n) AS s FROM t GROUP BY g`)
	c.exec(`CREATE MATERIALIZED VIEW w AS SELECT max(s) AS m FROM v`)
	c.want(`SELECT * FROM v ORDER BY g`, "a, 2, 40", "b, 1, 20")
	if tag := c.exec(`UPDATE t SET g = 'b' WHERE id = 3`); tag != "UPDATE 1" {
		t.Fatal(tag)
	}
	c.want(`SELECT * FROM v ORDER BY g`, "a, 1, 10", "b, 2, 50")
	c.want(`SELECT * FROM w`, "50")
	c.exec(`DELETE FROM t WHERE n = 20`)
	c.want(`SELECT * FROM v ORDER BY g`, "a, 1, 10", "b, 1, 30")
	step := b.e.Snapshot().Step
	b.stop()

	b = start(t, logs)
	c = b.client()
	if b.e.Snapshot().Step != step {
		t.Fatalf("step %d after the restart, %d before", b.e.Snapshot().Step, step)
	}
	c.want(`SELECT * FROM v ORDER BY g`, "a, 1, 10", "b, 1, 30")
	c.want(`SELECT * FROM w`, "30")
	c.exec(`INSERT INTO t VALUES (4, 'z', 99)`)
	c.want(`SELECT * FROM w`, "99")
}

func TestViewMadeBeforeAndAfterTheDataAgree(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, k INT, v INT)`)
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	view := ` AS SELECT t.k, count(*) AS n, min(s.name) AS a FROM t LEFT JOIN s ON s.k = t.k GROUP BY t.k`
	c.exec(`CREATE MATERIALIZED VIEW before` + view)
	for i := range 20 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, %d, %d)`, i, i%4, i))
		b.push("s", int64(i%3), fmt.Sprint("n", i))
	}
	c.exec(`DELETE FROM t WHERE id % 5 = 0; FLUSH`)
	c.exec(`CREATE MATERIALIZED VIEW after` + view)
	c.want(`SELECT count(*) FROM (SELECT * FROM before EXCEPT ALL SELECT * FROM after) x`, "0")
	c.want(`SELECT count(*) FROM (SELECT * FROM after EXCEPT ALL SELECT * FROM before) x`, "0")
	c.want(`SELECT count(*) FROM s`, "20")
	c.want(`SELECT count(*) > 0 FROM before`, "t")
}

// push appends one row (k, name) to a source.
func (b *bench) push(source string, k int64, name string) {
	b.Helper()
	rows := batch.FromRows([]types.Type{types.T(types.Int4), types.T(types.Text)}, [][]types.Value{{types.IntValue(types.Int4, k), types.TextValue(name)}})
	if _, err := b.src.to(b, source).Append(b.Context(), connector.Block{Rows: rows, Cursor: []byte(name)}); err != nil {
		b.Fatal(err)
	}
}

func TestConstraints(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL CHECK (n > 0), d TEXT DEFAULT 'x')`)
	c.exec(`INSERT INTO t (id, n) VALUES (1, 5)`)
	e := c.fails(`INSERT INTO t VALUES (1, 6)`, types.CodeUnique, `duplicate key value violates unique constraint "t_pkey"`)
	if e.Detail != "Key (id)=(1) already exists." {
		t.Error(e.Detail)
	}
	e = c.fails(`INSERT INTO t VALUES (2, NULL)`, types.CodeNotNull, `null value in column "n" of relation "t" violates not-null constraint`)
	if e.Detail != "Failing row contains (2, null, x)." {
		t.Error(e.Detail)
	}
	c.fails(`INSERT INTO t VALUES (2, -1)`, types.CodeCheck, `violates check constraint "t_n_check"`)
	c.fails(`UPDATE t SET n = 0`, types.CodeCheck, `violates check constraint`)
	c.exec(`INSERT INTO t VALUES (2, 7), (3, 8)`)
	c.fails(`UPDATE t SET id = 3 WHERE id = 2`, types.CodeUnique, `duplicate key`)
	if tag := c.exec(`UPDATE t SET id = id + 1`); tag != "UPDATE 3" { // through keys that are taken and free up
		t.Error(tag)
	}
	c.want(`SELECT id, n, d FROM t ORDER BY id`, "2, 5, x", "3, 7, x", "4, 8, x")
	c.exec(`INSERT INTO t VALUES (2, 1), (9, 9) ON CONFLICT DO NOTHING`)
	c.exec(`INSERT INTO t VALUES (2, 100), (10, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n`)
	c.want(`SELECT id, n FROM t ORDER BY id`, "2, 105", "3, 7", "4, 8", "9, 9", "10, 1")
	c.want(`INSERT INTO t VALUES (11, 1) RETURNING id * 2 AS twice, d`, "22, x")
	c.want(`DELETE FROM t WHERE id > 9 RETURNING id`, "10", "11")
}

func TestTransactions(t *testing.T) {
	b := start(t, newMemLogs())
	c, other := b.client(), b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT); CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS s FROM t; INSERT INTO t VALUES (1, 1)`)
	c.exec(`BEGIN; INSERT INTO t VALUES (2, 10); UPDATE t SET n = n + 1`)
	c.want(`SELECT * FROM t ORDER BY id`, "1, 2", "2, 11")
	c.want(`SELECT * FROM v`, "13") // its own writes, through the view too
	other.want(`SELECT * FROM v`, "1")
	c.exec(`ROLLBACK`)
	c.want(`SELECT * FROM v`, "1")

	c.exec(`BEGIN; UPDATE t SET n = 5 WHERE id = 1`)
	other.exec(`UPDATE t SET n = 7 WHERE id = 1`)
	c.fails(`COMMIT`, types.CodeSerialization, "could not serialize")
	c.want(`SELECT n FROM t`, "7")
	if c.s.TxStatus() != 'I' {
		t.Error("the block is still open")
	}
	c.exec(`BEGIN`)
	c.fails(`SELECT 1/0`, types.CodeDivisionByZero, "division by zero")
	c.fails(`SELECT 1`, types.CodeInFailedTransaction, "aborted")
	if tag := c.exec(`COMMIT`); tag != "ROLLBACK" {
		t.Error(tag)
	}

	// A message of several statements is one transaction.
	c.s.Begin()
	c.exec(`INSERT INTO t VALUES (3, 1)`)
	c.fails(`INSERT INTO t VALUES (3, 2)`, types.CodeUnique, "duplicate key")
	if err := c.s.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.want(`SELECT count(*) FROM t`, "1")
}

func TestConcurrentIncrementsAllCount(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 0); CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS s FROM t`)
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for range writers {
		w := b.client()
		wg.Go(func() {
			for range each {
				for {
					_, _, err := w.run(`UPDATE t SET n = n + 1 WHERE id = 1`)
					if err == nil {
						break
					}
					if !retryable(err) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	c.want(`SELECT s FROM v`, fmt.Sprint(writers*each))
}

func TestUnknownOutcomesAreSettled(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c FROM t`)
	logs.mu.Lock()
	logs.fault = func(log string, n int) fault {
		switch n % 3 {
		case 0:
			return lostAfter
		case 1:
			return lostBefore
		}
		return fine
	}
	logs.mu.Unlock()
	for i := range 10 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, i))
	}
	c.want(`SELECT c FROM v`, "10")
	logs.mu.Lock()
	logs.fault = nil
	logs.mu.Unlock()
	b.stop()
	start(t, logs).client().want(`SELECT c FROM v`, "10")
}

// TestCrashAtEveryAppend crashes at every append in turn, before and after it is
// done: whatever was acknowledged is there once, and nothing else but perhaps the
// write that was under way.
func TestCrashAtEveryAppend(t *testing.T) {
	for _, kind := range []fault{crash, crashEarly} {
		for at := 2; ; at++ {
			if crashAt(t, kind, at) {
				break
			}
		}
	}
}

// crashAt reports whether the run ended before the crash.
func crashAt(t *testing.T, kind fault, at int) bool {
	logs := newMemLogs()
	logs.fault = func(_ string, n int) fault {
		if n >= at {
			if n > at {
				return crashEarly
			}
			return kind
		}
		return fine
	}
	b, err := tryStart(t, logs)
	acked, tried := 0, 0
	if err == nil {
		c := b.client()
		for _, text := range []string{
			`CREATE TABLE t (id INT PRIMARY KEY, n INT)`,
			`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`,
			`CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, sum(n) AS n FROM t`,
			`CREATE MATERIALIZED VIEW u AS SELECT count(*) AS c FROM s`,
		} {
			if _, _, err = c.run(text); err != nil {
				break
			}
		}
		for ; err == nil && tried < 4; tried++ {
			if _, _, err = c.run(fmt.Sprintf(`INSERT INTO t VALUES (%d, 1)`, tried)); err == nil {
				acked++
			}
		}
		b.e.cancel()
		b.stop()
	}
	logs.mu.Lock()
	reached := logs.n >= at
	logs.fault = nil
	logs.mu.Unlock()
	b, err = tryStart(t, logs)
	if err != nil {
		t.Fatalf("crash %d at append %d: open again: %v", kind, at, err)
	}
	defer b.stop()
	c := b.client()
	if rows, _, err := c.run(`SELECT c FROM v`); err == nil {
		if rows[0] != fmt.Sprint(acked) && rows[0] != fmt.Sprint(tried) {
			t.Fatalf("crash %d at append %d: %d of %d rows acknowledged, %s there", kind, at, acked, tried, rows[0])
		}
		c.want(`SELECT count(*) FROM (SELECT count(*) AS c, sum(n) AS n FROM t EXCEPT SELECT * FROM v) x`, "0")
		c.exec(`INSERT INTO t VALUES (99, 1)`)
	} else if acked > 0 {
		t.Fatalf("crash %d at append %d: %v", kind, at, err)
	}
	return !reached
}

func tryStart(t *testing.T, logs Logs) (*bench, error) {
	b := &bench{TB: t, src: &pushed{intake: map[string]connector.Intake{}}, sink: &delivered{got: map[string][]string{}}}
	e, err := Open(t.Context(), Config{Logs: logs, Name: "tidemill", Workers: 1, Connectors: connector.NewRegistry(b.src.system())})
	b.e = e
	return b, err
}

func TestASecondLeaderFencesTheFirst(t *testing.T) {
	logs := newMemLogs()
	first := start(t, logs)
	c := first.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY)`)
	c.exec(`INSERT INTO t VALUES (1)`)
	second := start(t, logs)
	d := second.client()
	d.exec(`INSERT INTO t VALUES (2)`)
	c.fails(`INSERT INTO t VALUES (3)`, "57P04", "")
	<-first.e.Done()
	d.want(`SELECT id FROM t ORDER BY id`, "1", "2")
	c.want(`SELECT id FROM t`, "1") // reads still see the last step that was committed here
}

func TestWorkersDoNotChangeResults(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs, func(c *Config) { c.Workers = 3 })
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, g INT, x DOUBLE PRECISION)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c, avg(x) AS a FROM t GROUP BY g`)
	c.exec(`CREATE MATERIALIZED VIEW w AS SELECT a.g, b.c FROM t a JOIN v b ON a.g = b.g`)
	c.exec(`INSERT INTO t SELECT i, i % 37, i * 0.1 FROM generate_series(1, 6000) AS i`)
	c.exec(`DELETE FROM t WHERE id % 3 = 0`)
	b.stop()
	// The replay compares every fingerprint.
	b = start(t, logs, func(c *Config) { c.Workers = 1 })
	b.client().want(`SELECT count(*), sum(c) FROM v`, "37, 4000")
}

func TestSubscriptions(t *testing.T) {
	b := start(t, newMemLogs())
	c, w := b.client(), b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1), (2, 2)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS s FROM t`)
	first := b.e.Snapshot().Step
	c.exec(`BEGIN; DECLARE a CURSOR FOR SUBSCRIBE v; DECLARE q CURSOR FOR SUBSCRIBE (SELECT n + 1 AS m FROM t WHERE n > 1)`)
	c.want(`FETCH ALL FROM a`, fmt.Sprintf("%d, 1, 3", first))
	c.want(`FETCH ALL FROM a`)
	w.exec(`INSERT INTO t VALUES (3, 3)`)
	w.exec(`UPDATE t SET n = 10 WHERE id = 1`)
	c.want(`FETCH 2 FROM a WITH (timeout = '5s')`, fmt.Sprintf("%d, -1, 3", first+1), fmt.Sprintf("%d, 1, 6", first+1))
	c.want(`FETCH 10 FROM a`, fmt.Sprintf("%d, -1, 6", first+2), fmt.Sprintf("%d, 1, 15", first+2))
	c.want(`FETCH ALL FROM q`, fmt.Sprintf("%d, 1, 3", first), fmt.Sprintf("%d, 1, 4", first+1), fmt.Sprintf("%d, 1, 11", first+2))
	c.exec(`COMMIT`)
	c.fails(`FETCH 1 FROM a`, "34000", "does not exist")
	if tag := c.exec(`SUBSCRIBE v WITH (snapshot = false) AS OF ` + fmt.Sprint(first)); tag != "SUBSCRIBE 4" {
		t.Error(tag)
	}
}

func TestDropFreesEverything(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, g INT)`)
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	b.push("s", 1, "a")
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c FROM t GROUP BY g; CREATE MATERIALIZED VIEW u AS SELECT count(*) AS c FROM s; CREATE INDEX x ON v (c)`)
	c.exec(`INSERT INTO t SELECT i, i FROM generate_series(1, 1000) AS i; FLUSH`)
	c.fails(`DROP SOURCE s`, types.CodeDependent, "because other objects depend on it")
	if b.e.lead.work.TotalBytes() == 0 || len(logs.names()) != 2 {
		t.Fatal("nothing to free", logs.names())
	}
	c.exec(`DROP MATERIALIZED VIEW v`)
	c.exec(`DROP SOURCE s CASCADE`)
	c.exec(`DROP TABLE t`)
	snap := b.e.Snapshot()
	if n := b.e.lead.work.TotalBytes(); n != 0 || len(snap.rels) != 0 || len(snap.held) != 0 {
		t.Errorf("%d bytes, %d relations, %d counted are left", n, len(snap.rels), len(snap.held))
	}
	if names := logs.names(); len(names) != 1 {
		t.Error("streams are left:", names)
	}
	b.stop()
	c = start(t, logs).client() // replays steps whose source is gone
	c.want(`SELECT 1`, "1")
	c.fails(`SELECT * FROM t`, types.CodeUndefinedTable, "does not exist")
}

func TestSourcesResumeAndQuarantine(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT NOT NULL, name TEXT) WITH (connector = 'pushed')`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, max(name) AS m FROM s`)
	for i := range 5 {
		b.push("s", int64(i), fmt.Sprint("r", i))
	}
	rows := batch.FromRows([]types.Type{types.T(types.Int4), types.T(types.Text)},
		[][]types.Value{{types.NullOf(types.T(types.Int4)), types.TextValue("z")}, {types.IntValue(types.Int4, 9), types.TextValue("good")}})
	in := b.src.to(t, "s")
	if _, err := in.Append(t.Context(), connector.Block{Rows: rows, Bad: []connector.Bad{{Data: []byte("{"), Reason: "not JSON"}}, Cursor: []byte("end")}); err != nil {
		t.Fatal(err)
	}
	c.exec(`FLUSH`)
	c.want(`SELECT * FROM v`, "6, r4")
	check := func(b *bench) {
		t.Helper()
		var got []string
		err := b.e.Quarantine(t.Context(), b.e.Snapshot(), func(q QuarantineRow) error {
			got = append(got, fmt.Sprintf("%s %d %s %s", q.Source, q.Position, q.Reason, q.Data))
			return nil
		})
		want := []string{`s 6 not JSON {`, `s 7 null value in column "k" violates not-null constraint (null, z)`}
		if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("quarantine: %q, %v", got, err)
		}
	}
	check(b)
	b.stop()
	b = start(t, logs)
	if cur := b.src.to(t, "s").Cursor(); string(cur) != "end" {
		t.Errorf("cursor %q after the restart", cur)
	}
	check(b)
	b.push("s", 10, "zz")
	c = b.client()
	c.exec(`FLUSH`)
	c.want(`SELECT * FROM v`, "7, zz")
	c.want(`SELECT count(*) FROM s`, "7")
}

func TestAShortenedSourceIsSaidAtOnce(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	b.push("s", 1, "a")
	b.push("s", 2, "b")
	c.exec(`FLUSH`)
	b.stop()
	for name, log := range logs.logs {
		if strings.HasPrefix(name, "SRC_") {
			log.recs = log.recs[:1]
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := &warnings{seen: func(text string) {
		if strings.Contains(text, "ends before what committed steps took") {
			cancel() // rather than wait for what will not come
		}
	}}
	_, err := Open(ctx, Config{Logs: logs, Name: "tidemill", Connectors: connector.NewRegistry(b.src.system()), Logger: slog.New(said)})
	if err == nil || !strings.Contains(err.Error(), `source "s", block 2, which a committed step names`) {
		t.Fatalf("opened without a block that a step names: %v", err)
	}
	if ctx.Err() == nil {
		t.Error("it waited without saying why")
	}
}

// warnings is a log handler that hands on the texts of warnings.
type warnings struct{ seen func(text string) }

func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		w.seen(r.Message)
	}
	return nil
}
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *warnings) WithGroup(string) slog.Handler      { return w }

func TestGeneratedSourcesReplay(t *testing.T) {
	logs := newMemLogs()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func(c *Config) {
		c.Clock = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	}
	b := start(t, logs, clock)
	c := b.client()
	c.exec(`CREATE SOURCE s (n BIGINT, m BIGINT) WITH (connector = 'counting')`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT m, count(*) AS c FROM s GROUP BY m`)
	mu.Lock()
	now = now.Add(100 * time.Millisecond)
	mu.Unlock()
	c.exec(`FLUSH`)
	c.want(`SELECT sum(c) FROM v`, "100")
	c.want(`SELECT count(*), max(n) FROM s`, "100, 99")
	b.stop()
	b = start(t, logs, clock)
	b.client().want(`SELECT sum(c) FROM v`, "100")
}

func TestSinksGetEachChangeOnce(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS s FROM t`)
	c.exec(`CREATE SINK k FROM v WITH (connector = 'kept')`)
	c.exec(`INSERT INTO t VALUES (2, 2)`)
	want := []string{"+1 (1)", "-1 (1)", "+1 (3)"}
	b.delivers("k", want...)
	b.stop()
	got := b.sink.got
	b = start(t, logs)
	b.sink.mu.Lock()
	b.sink.got["k"] = got["k"]
	b.sink.mu.Unlock()
	b.client().exec(`INSERT INTO t VALUES (3, 3)`)
	b.delivers("k", append(want, "-1 (3)", "+1 (6)")...)
}

func (b *bench) delivers(sink string, want ...string) {
	b.Helper()
	timeout := time.After(10 * time.Second)
	for {
		wait := b.sink.more.wait()
		b.sink.mu.Lock()
		got := fmt.Sprint(b.sink.got[sink])
		b.sink.mu.Unlock()
		if got == fmt.Sprint(want) {
			return
		}
		select {
		case <-wait:
		case <-timeout:
			b.Fatalf("sink got %s, want %s", got, want)
		}
	}
}

func TestBackPressure(t *testing.T) {
	sem := newSemaphore(100)
	if err := sem.take(t.Context(), 90); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sem.take(ctx, 20); err == nil {
		t.Fatal("20 were let in over 90 of 100")
	}
	got := make(chan error)
	go func() { got <- sem.take(t.Context(), 20) }()
	sem.give(90)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	// A full queue of the leader holds writers back until ctx ends.
	e := &Engine{submit: make(chan *request), done: make(chan struct{}), bytes: newSemaphore(10)}
	if _, err := e.callHere(ctx, &request{kind: coord.Tx, bytes: 1}); err == nil {
		t.Fatal("a full queue took a request")
	}
}

func TestRealFabric(t *testing.T) {
	dir := t.TempDir()
	open := func() (*fabric.Fabric, *bench) {
		f, err := fabric.Start(t.Context(), fabric.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close(context.Background()) })
		return f, start(t, nil, func(c *Config) { c.Fabric = f })
	}
	f, b := open()
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT); CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c FROM t; CREATE MATERIALIZED VIEW u AS SELECT count(*) AS c FROM s`)
	for i := range 20 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, 1)`, i))
		b.push("s", int64(i), "x")
	}
	c.exec(`FLUSH`)
	c.want(`SELECT v.c, u.c FROM v, u`, "20, 20")
	b.stop()
	f.Close(context.Background())
	_, b = open()
	c = b.client()
	c.want(`SELECT v.c, u.c FROM v, u`, "20, 20")
	c.want(`SELECT count(*) FROM s`, "20")
}

func TestLostAcknowledgementsOverTheRealFabric(t *testing.T) {
	var n atomic.Int64
	faults := &fabric.Faults{
		AfterAppend: func(string, uint64) error {
			if n.Add(1)%3 == 0 {
				return errors.New("the answer is lost")
			}
			return nil
		},
		BeforeAppend: func(string, uint64) error {
			if n.Load()%5 == 1 {
				n.Add(1)
				return errors.New("the request is lost")
			}
			return nil
		},
	}
	f, err := fabric.Start(t.Context(), fabric.Config{Dir: t.TempDir(), Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(context.Background()) })
	b := start(t, nil, func(c *Config) { c.Fabric = f })
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY); CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT (SELECT count(*) FROM t) AS a, (SELECT count(*) FROM s) AS b`)
	for i := range 20 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, i))
		b.push("s", int64(i), "x")
	}
	c.exec(`FLUSH`)
	c.want(`SELECT * FROM v`, "20, 20")
	b.stop()
	b = start(t, nil, func(c *Config) { c.Fabric = f })
	b.client().want(`SELECT * FROM v`, "20, 20")
}

// retryable reports whether running a statement again on newer rows may help.
func retryable(err error) bool {
	var e *types.Error
	return errors.As(err, &e) && e.Code == types.CodeSerialization
}
