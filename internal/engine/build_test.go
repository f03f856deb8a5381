package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// gate stops the circuit of one relation before it takes a block.
type gate struct {
	mu     sync.Mutex
	key    string
	opened chan struct{}
	meets  chan struct{} // something waits at it
}

// beside makes everything beside the steps; circuits wait at the gate.
func (g *gate) config(c *Config) {
	c.Fill = FillConfig{ChunkRows: 10, LargeRows: 1}
	c.Probe = func(circuit, _ string, _ *batch.Batch) {
		g.mu.Lock()
		stop, opened, meets := g.key == circuit, g.opened, g.meets
		g.mu.Unlock()
		if stop {
			select {
			case meets <- struct{}{}:
			default:
			}
			<-opened
		}
	}
}

// shut lets the circuit that gets the next ID wait.
func (g *gate) shut(b *bench) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.key, g.opened, g.meets = relKey(b.e.Snapshot().Catalog.NextID()), make(chan struct{}), make(chan struct{}, 1)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.key != "" {
		close(g.opened)
	}
	g.key = ""
}

// begin runs a command until its circuit waits at the gate, and returns its outcome to come.
func (g *gate) begin(b *bench, ctx context.Context, text string) chan error {
	b.Helper()
	g.shut(b)
	b.Cleanup(g.open)
	c := b.client()
	out := make(chan error, 1)
	go func() {
		_, _, err := (&client{TB: ctxBench{b.TB, ctx}, s: c.s}).run(text)
		out <- err
	}()
	select {
	case <-g.meets:
	case err := <-out:
		b.Fatalf("%s: %v", text, err)
	}
	return out
}

// ctxBench is a test with another context.
type ctxBench struct {
	testing.TB
	ctx context.Context
}

func (c ctxBench) Context() context.Context { return c.ctx }

func (b *bench) ok(out chan error) {
	b.Helper()
	if err := <-out; err != nil {
		b.Fatal(detailed(err))
	}
}

func (b *bench) is(out chan error, code, message string) {
	b.Helper()
	err := <-out
	var te *types.Error
	if !errors.As(err, &te) || te.Code != code || !strings.Contains(te.Message, message) {
		b.Fatalf("got %v, want %s %s", detailed(err), code, message)
	}
}

// TestStepsGoOnWhileAViewIsMade: while a view, a sink and an index are made, steps, commands
// and checkpoints go on; the view has what they changed, and a replay makes the same.
func TestStepsGoOnWhileAViewIsMade(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	g := &gate{}
	b := start(t, logs, on(disk), g.config)
	c := b.client()
	c.crowd(1000)
	out := g.begin(b, t.Context(), `CREATE MATERIALIZED VIEW v AS SELECT v % 10 AS k, count(*) AS n, sum(v) AS s FROM t GROUP BY v % 10`)
	c.exec(`INSERT INTO t VALUES (0, 5); DELETE FROM t WHERE id > 500; UPDATE t SET v = v + 1 WHERE id < 10`)
	c.exec(`CREATE TABLE u (a INT PRIMARY KEY); INSERT INTO u VALUES (1); CHECKPOINT`)
	c.fails(`SELECT * FROM v`, types.CodeUndefinedTable, "does not exist")
	if s := b.e.Builds(); len(s) != 1 || s[0].Name != "v" || s[0].Phase != BuildFill || s[0].Total != 1000 || s[0].Rows >= 1000 {
		t.Fatalf("%+v", s)
	}
	entries, err := b.e.store.Manifests()
	if err != nil || len(entries) == 0 {
		t.Fatal(err)
	}
	for name := range entries[0].Manifest.Objects {
		if strings.HasSuffix(name, fmt.Sprint(b.e.Builds()[0].ID)) {
			t.Errorf("the checkpoint has %s", name)
		}
	}
	g.open()
	b.ok(out)
	if s := b.e.Builds(); len(s) != 0 {
		t.Fatalf("%+v", s)
	}
	check := func() {
		t.Helper()
		c.want(`SELECT count(*) FROM ((TABLE v EXCEPT ALL SELECT v % 10, count(*), sum(v) FROM t GROUP BY v % 10)
			UNION ALL (SELECT v % 10, count(*), sum(v) FROM t GROUP BY v % 10 EXCEPT ALL TABLE v)) x`, "0")
		c.want(`SELECT sum(n) FROM v`, c.rows(`SELECT count(*) FROM t`)...)
	}
	check()
	a, z := b.e.Snapshot().Catalog.Lookup(nil, "public", "v"), b.e.Snapshot().Catalog.Lookup(nil, "public", "u")
	if a.ID >= z.ID {
		t.Errorf("v has ID %d, u, made meanwhile, %d", a.ID, z.ID)
	}

	out = g.begin(b, t.Context(), `CREATE SINK k AS SELECT v % 3 AS k, count(*) AS n FROM t GROUP BY v % 3 WITH (connector = 'kept')`)
	c.exec(`UPDATE t SET v = v + 1 WHERE id < 100`)
	g.open()
	b.ok(out)
	var want []string
	for _, row := range c.rows(`SELECT v % 3, count(*) FROM t GROUP BY v % 3 ORDER BY 1`) {
		want = append(want, "+1 ("+row+")")
	}
	b.delivers("k", want...)
	c.exec(`CREATE INDEX t_v ON t (v); INSERT INTO t VALUES (-1, 77777)`)
	c.want(`SELECT id FROM t WHERE v = 77777`, "-1")
	for range 2 { // from the checkpoint before them, and from the log's start
		b = b.restart(logs, on(disk), g.config)
		c = b.client()
		check()
		c.want(`SELECT id FROM t WHERE v = 77777`, "-1")
		disk = newDisk()
	}
}

// rows returns what a query gives.
func (c *client) rows(text string) []string {
	c.Helper()
	got, _, err := c.run(text)
	if err != nil {
		c.Fatal(detailed(err))
	}
	return got
}

// TestCommandsMeetABuild: what happens to the catalog while a view is made is met in the
// end as if it had been there from the start.
func TestCommandsMeetABuild(t *testing.T) {
	logs := newMemLogs()
	g := &gate{}
	b := start(t, logs, g.config)
	c := b.client()
	c.crowd(100)

	out := g.begin(b, t.Context(), `CREATE MATERIALIZED VIEW v AS SELECT sum(v) AS s FROM t`)
	c.exec(`DROP TABLE t`)
	g.open()
	b.is(out, types.CodeUndefinedTable, `relation "t" does not exist`)

	c.crowd(100)
	out = g.begin(b, t.Context(), `CREATE MATERIALIZED VIEW v AS SELECT sum(v) AS s FROM t`)
	c.exec(`DROP TABLE t`)
	c.crowd(10)
	g.open() // of the first; it begins again with the other table
	b.ok(out)
	c.want(`SELECT s FROM v`, "55")

	out = g.begin(b, t.Context(), `CREATE MATERIALIZED VIEW w AS SELECT max(v) AS s FROM t`)
	c.exec(`CREATE TABLE w (a INT)`)
	g.open()
	b.is(out, types.CodeDuplicateTable, `relation "w" already exists`)
	out = g.begin(b, t.Context(), `CREATE MATERIALIZED VIEW IF NOT EXISTS x AS SELECT max(v) AS s FROM t`)
	c.exec(`CREATE TABLE x (a INT)`)
	g.open()
	b.ok(out)
	c.want(`SELECT * FROM x`)

	c.exec(`CREATE VIEW plain AS SELECT v AS n FROM t`)
	out = g.begin(b, t.Context(), `CREATE MATERIALIZED VIEW y AS SELECT max(n) AS s FROM plain`)
	c.exec(`CREATE OR REPLACE VIEW plain AS SELECT v * 100 AS n FROM t`)
	g.open()
	b.ok(out)
	c.want(`SELECT s FROM y`, "1000")

	out = g.begin(b, t.Context(), `CREATE MATERIALIZED VIEW z AS SELECT min(v) AS s FROM t`)
	c.exec(`CREATE MATERIALIZED VIEW z1 AS SELECT min(v) AS s FROM t; CREATE MATERIALIZED VIEW z2 AS SELECT s FROM z1`)
	g.open()
	b.ok(out)
	c.want(`SELECT z.s, z1.s, z2.s FROM z, z1, z2`, "1, 1, 1")
	b = b.restart(logs)
	c = b.client()
	c.exec(`UPDATE t SET v = v + 1`)
	c.want(`SELECT z.s, z1.s, z2.s, v.s, y.s FROM z, z1, z2, v, y`, "2, 2, 2, 65, 1100")
}

// TestABuildIsGivenUp by its client, by DROP of nothing, and by the end of the engine.
func TestABuildIsGivenUp(t *testing.T) {
	logs := newMemLogs()
	g := &gate{}
	b := start(t, logs, on(newDisk()), g.config)
	c := b.client()
	c.crowd(100)
	const view = `CREATE MATERIALIZED VIEW v AS SELECT sum(v) AS s FROM t`
	ctx, cancel := context.WithCancel(t.Context())
	out := g.begin(b, ctx, view)
	cancel()
	g.open()
	b.is(out, types.CodeQueryCanceled, "user request")
	if s := b.e.Builds(); len(s) != 0 {
		t.Fatalf("%+v", s)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out = g.begin(b, t.Context(), view)
	closed := make(chan struct{})
	go func() {
		b.e.Close(ctx)
		close(closed)
	}()
	<-b.e.Done()
	g.open()
	b.is(out, "57P01", "terminating")
	<-closed
	b = start(t, logs)
	b.client().fails(`SELECT * FROM v`, types.CodeUndefinedTable, "does not exist")
}

// TestBuildsUnderWrites makes views of all kinds while rows come and go, and computes
// everything again from the log: digests included, all is the same.
func TestBuildsUnderWrites(t *testing.T) {
	logs := newMemLogs()
	clock := newFakeClock()
	fill := func(c *Config) {
		clock.set(c)
		c.Fill = FillConfig{ChunkRows: 7, LargeRows: 1}
	}
	b := start(t, logs, on(newDisk()), fill)
	c := b.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g TEXT, n INT, x TEXT); CREATE TABLE u (g TEXT PRIMARY KEY, v INT)`)
	c.exec(`CREATE SOURCE s (k BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '3 s') WITH (connector = 'pushed')`)
	c.exec(`INSERT INTO t SELECT i, 'g' || i % 7, i % 50, 'x' || i % 4 FROM generate_series(1, 200) AS i; INSERT INTO u SELECT 'g' || i, i * 9 FROM generate_series(1, 5) AS i`)
	b.events("s", 0, "1 1", "2 5", "3 9")
	c.exec(`FLUSH`)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		w := b.client()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_, _, err := w.run(fmt.Sprintf(`UPDATE t SET n = n + 1, g = 'g%d' WHERE id %% 20 = %d; DELETE FROM t WHERE id = %d; INSERT INTO t VALUES (%d, 'g1', %d, 'x');
				UPDATE u SET v = v + 1 WHERE g = 'g%d'`, i%9, i%20, i, 1000+i, i%50, i%6))
			if err != nil {
				t.Error(err)
				return
			}
			b.events("s", 0, fmt.Sprintf("%d %d", i%5, 10+i))
			time.Sleep(time.Millisecond) // the steps are not to be all there is
		}
	}()
	queries := slices.Concat(viewsOfAllKinds, closing)
	for i, q := range queries {
		c.exec(fmt.Sprintf(`CREATE MATERIALIZED VIEW v%d AS %s`, i, q))
	}
	close(stop)
	<-stopped
	c.exec(`FLUSH`)
	var first [][]string
	for round := range 2 {
		for i, q := range queries {
			got := c.rows(fmt.Sprintf(`SELECT * FROM v%d`, i))
			slices.Sort(got)
			if round == 0 {
				first = append(first, got)
			} else if !slices.Equal(got, first[i]) {
				t.Errorf("%s\n computed again %q\nit was %q", q, got, first[i])
			}
			if i >= len(viewsOfAllKinds) {
				continue
			}
			want := c.rows(q)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s\n as a view %q\n   ad hoc %q", q, got, want)
			}
		}
		if round == 0 {
			b = b.restart(logs, clock.set) // no checkpoint: all views are made in their turns
			c = b.client()
		}
	}
}

// TestACommandThatComesOutDifferently is replayed by a program that plans the view in
// another way: under the same version that is an error, under another it is not.
func TestACommandThatComesOutDifferently(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.crowd(10)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT v + 1 AS n FROM t`)
	b.stop()
	cfg := b.cfg
	cfg.reads = func(q string) string { return strings.ReplaceAll(q, "v + 1", "v + 2") }
	if e, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "materialized view v differs from what version") {
		t.Errorf("opened: %v", err)
		if err == nil {
			e.Close(t.Context())
		}
	}
	c = start(t, logs, func(c *Config) { c.reads, c.version = cfg.reads, "9.9.9" }).client()
	c.want(`SELECT max(n) FROM v`, "12")
}

// TestRingsWaitForABuild: what a build is still to read is kept.
func TestRingsWaitForABuild(t *testing.T) {
	r := newRing(1000)
	one := batch.FromRows([]types.Type{types.T(types.Int8)}, [][]types.Value{{types.IntValue(types.Int8, 1)}})
	r.holds.Add(1)
	size := int64(0)
	for step := uint64(1); r.size() < 2500; step++ {
		r.add(step, one)
		size = r.size()
	}
	if r.oldest() != 0 {
		t.Errorf("changes up to step %d are gone with %d bytes", r.oldest(), size)
	}
	for step := uint64(1 << 20); step < 1<<20+1000; step++ {
		r.add(step, one)
	}
	if r.size() > heldRings*1000 || r.oldest() == 0 {
		t.Errorf("%d bytes are held", r.size())
	}
	r.holds.Add(-1)
	r.add(1<<21, one)
	if r.size() > 1000 {
		t.Errorf("%d bytes are kept when nobody needs them", r.size())
	}
}

// TestFirstRowsNeedNotFit makes a view whose first rows are several times the memory.
func TestFirstRowsNeedNotFit(t *testing.T) {
	for _, large := range []int64{1, 1 << 40} { // beside the steps, and in the turn
		b := start(t, newMemLogs(), on(newDisk()), func(c *Config) {
			c.MemoryBytes, c.Fill = 1<<20, FillConfig{ChunkRows: 1000, LargeRows: large}
		})
		c := b.client()
		c.exec(`CREATE TABLE t (id INT PRIMARY KEY, x TEXT)`)
		for i := range 20 {
			c.exec(fmt.Sprintf(`INSERT INTO t SELECT i, repeat('x', 200) || i FROM generate_series(%d, %d) AS i`, i*1000, i*1000+999))
		}
		c.exec(`CREATE MATERIALIZED VIEW v AS SELECT id + 1 AS id, x || 'y' AS x FROM t`)
		c.want(`SELECT count(*), min(id), max(id), sum(length(x)) FROM v`, "20000, 1, 20000, 4108890")
		b.stop()
	}
}

// TestASourceIsNotTrimmedUnderABuild: rows that a build is still to read, or a replay of
// its command, do not go by retention.
func TestASourceIsNotTrimmedUnderABuild(t *testing.T) {
	logs := newMemLogs()
	g := &gate{}
	b := start(t, logs, on(newDisk()), g.config)
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed', retention = '1 kB'); CREATE TABLE t (a INT)`)
	for i := range 50 {
		b.push("s", int64(i), strings.Repeat("x", 100))
	}
	c.exec(`FLUSH`)
	out := g.begin(b, t.Context(), `CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM s`)
	first := func() uint64 {
		t.Helper()
		for i := range 2 {
			c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d); CHECKPOINT`, i))
			b.tidied()
		}
		log, _ := logs.OpenLog(t.Context(), b.e.sourceLog(b.e.Snapshot().Catalog.Lookup(nil, "public", "s").ID))
		first, _, err := log.Bounds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	if n := first(); n != 1 {
		t.Errorf("the source begins at block %d while a view is made of it", n)
	}
	b.push("s", 50, "x")
	c.exec(`FLUSH`)
	g.open()
	b.ok(out)
	c.want(`SELECT n FROM v`, "51")
	if n := first(); n == 1 {
		t.Error("the source is never trimmed")
	}
	c.want(`SELECT n FROM v`, "51")
}
