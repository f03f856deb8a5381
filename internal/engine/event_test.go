package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// fakeClock is a Config.Clock that tests set.
type fakeClock struct{ micros atomic.Int64 }

func newFakeClock() *fakeClock {
	c := &fakeClock{}
	c.micros.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *fakeClock) set(cfg *Config) {
	cfg.Clock = func() time.Time { return time.UnixMicro(c.micros.Load()).UTC() }
}

func (c *fakeClock) pass(d time.Duration) { c.micros.Add(d.Microseconds()) }

const second = int64(1_000_000)

// events appends rows (k, at) to a source: each is "key second", or "key -" for a
// NULL time.
func (b *bench) events(source string, part uint32, rows ...string) {
	b.Helper()
	b.appendBlock(source, connector.Block{Rows: eventRows(b, rows...), Partition: part})
}

func (b *bench) appendBlock(source string, blk connector.Block) {
	b.Helper()
	if _, err := b.src.to(b, source).Append(b.Context(), blk); err != nil {
		b.Fatal(err)
	}
}

func eventRows(t testing.TB, rows ...string) *batch.Batch {
	t.Helper()
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Timestamp)})
	for _, r := range rows {
		var k, at int64
		v := types.NullOf(types.T(types.Timestamp))
		if _, err := fmt.Sscanf(r, "%d %d", &k, &at); err == nil {
			v = types.IntValue(types.Timestamp, at*second)
		} else if _, err := fmt.Sscanf(r, "%d -", &k); err != nil {
			t.Fatalf("row %q: %v", r, err)
		}
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, k), v}, 1)
	}
	return bu.Seal()
}

// mark returns the committed mark of a relation's column in seconds; -1 if it has none.
func (b *bench) mark(name string, col int) int64 {
	b.Helper()
	snap := b.e.Snapshot()
	def := snap.Catalog.Lookup([]string{catalog.PublicSchema}, "", name)
	if def == nil {
		b.Fatalf("there is no %s", name)
	}
	m := snap.Marks(def.ID)
	if m == nil || m[col] == flow.NoMark {
		return -1
	}
	return m[col] / second
}

func (b *bench) wantMark(name string, col int, want int64) {
	b.Helper()
	if got := b.mark(name, col); got != want {
		b.Fatalf("the mark of %s is %d s, want %d", name, got, want)
	}
}

const eventSource = `CREATE SOURCE s (k BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 s') WITH (connector = 'pushed'`

func TestLateRowsAreNoRows(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(eventSource + `)`)
	const view = ` AS SELECT k, extract(epoch FROM at)::int % 1000 AS t FROM s`
	c.exec(`CREATE MATERIALIZED VIEW before` + view)
	b.events("s", 0, "1 100", "2 -", "3 95", "4 94", "5 110", "6 104", "7 105")
	b.events("s", 0, "8 104", "9 103")
	c.exec(`FLUSH; CREATE MATERIALIZED VIEW after` + view)
	rows := []string{"1", "2", "3", "5", "7"}
	check := func() {
		t.Helper()
		for _, rel := range []string{"s", "before", "after"} {
			c.want(`SELECT k FROM `+rel+` ORDER BY k`, rows...)
		}
		b.wantMark("s", 1, 105)
		b.wantMark("s", 0, -1)
		if st := b.e.Sources()[0]; st.Late != 4 {
			t.Fatalf("%d late rows, want 4", st.Late)
		}
	}
	check()
	b.stop()
	b = start(t, logs)
	c = b.client()
	check()
	b.events("s", 0, "10 104")
	b.events("s", 0, "11 200")
	c.exec(`FLUSH`)
	c.want(`SELECT k FROM before EXCEPT SELECT k FROM after`)
	c.want(`SELECT max(k), count(*) FROM before`, "11, 6")
	b.wantMark("s", 1, 195)
}

func TestLateRowsGoToQuarantine(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(eventSource + `, late_rows = 'quarantine', allowed_lateness = '2 s')`)
	b.events("s", 0, "1 100", "2 93", "3 92")
	c.exec(`FLUSH`)
	c.want(`SELECT k FROM s ORDER BY k`, "1", "2")
	b.wantMark("s", 1, 93) // what is held for late rows is not freed
	var got []string
	err := b.e.Quarantine(t.Context(), b.e.Snapshot(), func(q QuarantineRow) error {
		got = append(got, fmt.Sprint(q.Source, " ", q.Position, " ", q.Reason, " ", string(q.Data)))
		return nil
	})
	want := "s 2 late: at is 2000-01-01 00:01:32, behind the watermark 2000-01-01 00:01:35 by more than 2s (3, 2000-01-01 00:01:32)"
	if err != nil || len(got) != 1 || got[0] != want {
		t.Fatalf("%v, %v\nwant %s", got, err, want)
	}
}

func TestTimesThatMeanNothing(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE SOURCE s (k BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - CASE WHEN k = 0 THEN NULL ELSE INTERVAL '5 s' END) WITH (connector = 'pushed')`)
	far := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Timestamp)})
	far.AppendRow([]types.Value{types.IntValue(types.Int8, 1), types.IntValue(types.Timestamp, flow.FinalMark)}, 1)
	far.AppendRow([]types.Value{types.IntValue(types.Int8, 2), types.IntValue(types.Timestamp, flow.NoMark)}, 1)
	b.appendBlock("s", connector.Block{Rows: far.Seal()})
	b.events("s", 0, "0 100", "3 50")
	c.exec(`FLUSH`)
	b.wantMark("s", 1, 45)
	c.want(`SELECT k FROM s ORDER BY k`, "0", "1", "2", "3")
}

func TestOptionsOfEventTime(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.fails(eventSource+`, late_rows = 'keep')`, types.CodeInvalidParameter, `invalid value "keep" for option "late_rows" of source: want drop, quarantine`)
	c.fails(eventSource+`, allowed_lateness = '-1 s')`, types.CodeInvalidParameter, `option "allowed_lateness"`)
	c.fails(eventSource+`, idle_timeout = '1 ms')`, types.CodeInvalidParameter, `option "idle_timeout" of source: want an interval from 100ms`)
	c.fails(`CREATE SOURCE s (k INT) WITH (connector = 'pushed', idle_timeout = '1 s')`, types.CodeInvalidParameter, "without a watermark")
	c.fails(`CREATE SOURCE s (n BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) WITH (connector = 'counting', idle_timeout = '1 s')`, types.CodeFeature,
		"idle_timeout of a counting source")
}

func TestPartitions(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(eventSource + `)`)
	b.appendBlock("s", connector.Block{Rows: eventRows(t, "1 100"), Partition: 7, Opened: []uint32{7, 8}})
	b.events("s", 7, "2 200", "3 10")
	c.exec(`FLUSH`)
	b.wantMark("s", 1, -1) // partition 8 has said nothing yet
	b.events("s", 8, "4 50")
	c.exec(`FLUSH`)
	b.wantMark("s", 1, 45)
	b.events("s", 8, "5 300", "6 194", "7 196") // 7 is at 195 and 8 at 295
	c.exec(`FLUSH`)
	b.wantMark("s", 1, 195)
	c.want(`SELECT k FROM s ORDER BY k`, "1", "2", "3", "4", "5", "7")
	b.appendBlock("s", connector.Block{Ended: []uint32{7}})
	c.exec(`FLUSH`)
	b.wantMark("s", 1, 295)
	b.events("s", 9, "8 296") // a new one holds the watermark where it is
	b.events("s", 8, "9 400")
	c.exec(`FLUSH`)
	b.wantMark("s", 1, 295)
}

func TestPartitionsOfRows(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE SOURCE s (k BIGINT NOT NULL, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 s') WITH (connector = 'pushed')`)
	rows := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Timestamp)})
	rows.AppendBatch(eventRows(t, "1 100", "2 50"))
	rows.AppendRow([]types.Value{types.NullOf(types.T(types.Int8)), types.IntValue(types.Timestamp, 0)}, 1) // refused, and its partition with it
	rows.AppendBatch(eventRows(t, "3 300", "4 60", "5 44", "6 45"))
	b.appendBlock("s", connector.Block{Rows: rows.Seal(), Parts: []uint32{1, 2, 3, 1, 2, 1, 2}, Opened: []uint32{1, 2}})
	c.exec(`FLUSH`)
	c.want(`SELECT k FROM s ORDER BY k`, "1", "2", "3", "4") // 2 is at 55 when 5 and 6 come
	b.wantMark("s", 1, 55)
	if st := b.e.Sources()[0]; st.Partitions != 2 || st.Late != 2 {
		t.Errorf("%+v", st)
	}
}

func TestSilentPartitionsAreLeftOut(t *testing.T) {
	logs, clock := newMemLogs(), newFakeClock()
	b := start(t, logs, clock.set)
	c := b.client()
	c.exec(eventSource + `, idle_timeout = '10 s')`)
	c.exec(`CREATE MATERIALIZED VIEW n AS SELECT window_start, count(*) FROM TUMBLE(s, at, INTERVAL '10 s') GROUP BY window_start`)
	b.events("s", 1, "1 100")
	b.events("s", 2, "2 150")
	clock.pass(6 * time.Second)
	b.events("s", 2, "3 200")
	c.exec(`FLUSH`)
	b.wantMark("s", 1, 95)
	b.idle("s")
	b.wantMark("s", 1, 95)
	clock.pass(5 * time.Second) // 1 is silent for 11 s, 2 for 5
	b.idle("s")
	b.wantMark("s", 1, 195)
	clock.pass(8 * time.Second) // both are, for 3 s now: the clock goes on
	b.idle("s")
	b.wantMark("s", 1, 195) // one record in 10 s is enough
	clock.pass(2 * time.Second)
	b.idle("s")
	b.wantMark("s", 1, 200)
	b.events("s", 1, "4 199", "5 201") // the first is late
	c.exec(`FLUSH`)
	b.wantMark("s", 1, 200)
	c.want(`SELECT k FROM s ORDER BY k`, "1", "2", "3", "5")
	b.stop()

	clock.pass(time.Hour) // nobody was there to hear
	b = start(t, logs, clock.set)
	b.idle("s")
	b.wantMark("s", 1, 200)
	clock.pass(25 * time.Second)
	b.idle("s")
	b.wantMark("s", 1, 215)
}

// idle does what time does for a source with an idle_timeout, and waits for the step.
func (b *bench) idle(name string) {
	b.Helper()
	for _, s := range b.e.sourceList() {
		if s.def.Name == name {
			if err := s.passTime(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.client().exec(`FLUSH`)
}

func TestWatermarksOfGeneratedRows(t *testing.T) {
	logs, clock := newMemLogs(), newFakeClock()
	b := start(t, logs, clock.set, withZigzag)
	c := b.client()
	c.exec(`CREATE SOURCE s (n BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 s') WITH (connector = 'zigzag')`)
	c.exec(`CREATE MATERIALIZED VIEW before AS SELECT n FROM s`)
	clock.pass(37 * time.Second)
	b.client().exec(`FLUSH`)
	b.until(func() bool { return b.e.Snapshot().Position(catalog.ID(b.e.Sources()[0].ID)) == 37 })
	clock.pass(63 * time.Second)
	b.until(func() bool { return b.e.Snapshot().Position(catalog.ID(b.e.Sources()[0].ID)) == 100 })
	c.exec(`CREATE MATERIALIZED VIEW after AS SELECT n FROM s`)
	check := func() {
		t.Helper()
		c.want(`SELECT count(*), sum(n) FROM s WHERE n % 10 = 9`, "0, null") // seven seconds back each
		for _, rel := range []string{"s", "before", "after"} {
			c.want(`SELECT count(*) FROM `+rel, "90")
		}
		b.wantMark("s", 1, 93)
		if n := b.e.Sources()[0].Late; n != 10 {
			t.Fatalf("%d late rows", n)
		}
	}
	check()
	b.stop()
	b = start(t, logs, clock.set, withZigzag)
	c = b.client()
	check()
}

// zigzag is a replayable source, a row a second: row n is at second n, but every
// tenth is seven seconds back.
type zigzag struct{}

func (zigzag) Available(start, now int64) uint64 { return uint64(max(now-start, 0) / second) }

func (zigzag) Read(from, to uint64, bu *batch.Builder) error {
	for n := from; n < to; n++ {
		at := int64(n)
		if n%10 == 9 {
			at -= 7
		}
		row := []types.Value{types.IntValue(types.Int8, int64(n)), types.IntValue(types.Timestamp, at*second)}
		for _, c := range bu.View().Cols[len(row):] { // those the engine computes
			row = append(row, types.NullOf(c.Type))
		}
		bu.AppendRow(row, 1)
	}
	return nil
}

// Comes implements connector.Timed.
func (zigzag) Comes(start int64, pos uint64) int64 { return start + int64(pos+1)*second }

func withZigzag(cfg *Config) {
	cfg.Connectors = connector.NewRegistry(connector.System{Name: "zigzag", Source: func(connector.Config) (any, error) { return zigzag{}, nil }})
}

// until waits for a published step after which ok holds.
func (b *bench) until(ok func() bool) {
	b.Helper()
	timeout := time.After(20 * time.Second)
	for {
		wait := b.e.published.wait()
		if ok() {
			return
		}
		select {
		case <-wait:
		case <-timeout:
			b.Fatal("it does not come to pass")
		}
	}
}

func TestAppendOnlyTables(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE TABLE s (k INT PRIMARY KEY, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 s') APPEND ONLY`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT k FROM s`)
	c.exec(`INSERT INTO s VALUES (1, '2000-01-01 00:01:40'), (2, '2000-01-01 00:00:10'), (3, NULL)`) // one transaction: neither is late for the other
	b.wantMark("s", 1, 95)
	c.exec(`INSERT INTO s VALUES (4, '2000-01-01 00:01:34'), (5, '2000-01-01 00:01:36')`)
	c.exec(`INSERT INTO s VALUES (6, '2000-01-01 00:00:01')`)
	check := func() {
		t.Helper()
		c.want(`SELECT k FROM s ORDER BY k`, "1", "2", "3", "5")
		c.want(`SELECT k FROM v ORDER BY k`, "1", "2", "3", "5")
		b.wantMark("s", 1, 95)
	}
	check()
	b.stop()
	b = start(t, logs)
	c = b.client()
	check()
	c.exec(`INSERT INTO s VALUES (7, '2000-01-01 00:01:34'), (8, '2000-01-01 01:00:00')`)
	c.want(`SELECT k FROM v ORDER BY k`, "1", "2", "3", "5", "8")
	b.wantMark("s", 1, 3595)
}

// TestLateRowsOfAnyCut: which rows are late does not depend on how they come in blocks.
func TestLateRowsOfAnyCut(t *testing.T) {
	var rows []string
	for i := range 9000 { // more than a block
		rows = append(rows, fmt.Sprint(i, " ", i/10-(i%7)*3))
	}
	var want []string
	for cut := range 3 {
		b := start(t, newMemLogs())
		c := b.client()
		c.exec(eventSource + `)`)
		for lo := 0; lo < len(rows); {
			hi := min(lo+[]int{9000, 1000, 97}[cut], len(rows))
			b.events("s", 0, rows[lo:hi]...)
			lo = hi
		}
		c.exec(`FLUSH`)
		got, _, err := c.run(`SELECT count(*), sum(k), max(at)::text FROM s`)
		if err != nil {
			t.Fatal(err)
		}
		if cut == 0 {
			want = got
			if strings.HasPrefix(got[0], "9000") {
				t.Fatal("no row is late")
			}
		} else if got[0] != want[0] {
			t.Fatalf("cut %d: %v, in one piece %v", cut, got, want)
		}
		b.stop()
	}
}

// TestEventTimeSurvivesCrashes pushes rows of two partitions through appends that
// fail, and processes that die, in every way. Whatever happens, a view made before, one
// made after and the source itself have the same rows, no row is below a mark that was
// shown before it, and closed windows are those of the rows that are there.
func TestEventTimeSurvivesCrashes(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 1))
		logs, clock := newMemLogs(), newFakeClock()
		b := start(t, logs, clock.set)
		c := b.client()
		c.exec(`CREATE SOURCE s (k BIGINT, at TIMESTAMP, p AS PROCTIME(), WATERMARK FOR at AS at - INTERVAL '5 s') WITH (connector = 'pushed', late_rows = 'quarantine', idle_timeout = '1 min')`)
		const closing = `SELECT window_start, count(*) AS n, min(k) AS k FROM TUMBLE(s, at, INTERVAL '10 s') GROUP BY window_start EMIT ON WINDOW CLOSE`
		c.exec(`CREATE MATERIALIZED VIEW before AS SELECT * FROM s; CREATE MATERIALIZED VIEW closed AS ` + closing)
		shown := int64(-1) // the mark last seen, in seconds
		next := int64(0)
		for range 6 {
			logs.mu.Lock()
			at := logs.n + 1 + rng.IntN(25)
			kind := []fault{lostBefore, lostAfter, crash, crashEarly}[rng.IntN(4)]
			logs.fault = func(_ string, n int) fault {
				if n == at || n > at && (kind == crash || kind == crashEarly) {
					return map[bool]fault{true: kind, false: crashEarly}[n == at]
				}
				return fine
			}
			logs.mu.Unlock()
			for range 12 {
				bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Timestamp), types.T(types.TimestampTZ)})
				for range 1 + rng.IntN(4) {
					next++
					bu.AppendRow([]types.Value{types.IntValue(types.Int8, next), types.IntValue(types.Timestamp, (1000+next+rng.Int64N(20)-10)*second), types.NullOf(types.T(types.TimestampTZ))}, 1)
				}
				if _, err := b.src.to(b, "s").Append(b.Context(), connector.Block{Rows: bu.Seal(), Partition: uint32(rng.IntN(2))}); err != nil {
					break
				}
				clock.pass(time.Duration(rng.IntN(5)) * time.Second)
				if m := b.mark("s", 1); m < shown {
					t.Fatalf("seed %d: the mark went back from %d to %d", seed, shown, m)
				} else {
					shown = m
				}
			}
			b.stop()
			logs.mu.Lock()
			logs.fault = nil
			logs.mu.Unlock()
			b = start(t, logs, clock.set)
			c = b.client()
			c.exec(`FLUSH`)
			if m := b.mark("s", 1); m < shown {
				t.Fatalf("seed %d: after a restart the mark is %d, it was %d", seed, m, shown)
			}
		}
		c.exec(`CREATE MATERIALIZED VIEW after AS SELECT * FROM s; CREATE MATERIALIZED VIEW closed_after AS ` + closing)
		for _, pair := range [][2]string{{"before", "after"}, {"before", "s"}, {"closed", "closed_after"}} {
			c.want(fmt.Sprintf(`(SELECT * FROM %[1]s EXCEPT ALL SELECT * FROM %[2]s) UNION ALL (SELECT * FROM %[2]s EXCEPT ALL SELECT * FROM %[1]s)`, pair[0], pair[1]))
		}
		c.want(closing[:len(closing)-len(` EMIT ON WINDOW CLOSE`)]+` ORDER BY 1 EMIT ON WINDOW CLOSE`, got(c, `SELECT * FROM closed ORDER BY 1`)...)
		c.want(`SELECT count(*) FROM (SELECT p < lag(p) OVER (ORDER BY k) AS back FROM s) AS x WHERE back`, "0")
		c.want(`SELECT (SELECT count(*) FROM s) > 50, (SELECT count(*) FROM closed) > 3`, "t, t")
		if b.e.Sources()[0].Late == 0 {
			t.Errorf("seed %d: no row is late", seed)
		}
		b.stop()
	}
}

// TestPlainWatermarks: what is computed without the expression is what it gives.
func TestPlainWatermarks(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	for i, x := range []string{"at", "at - INTERVAL '5 s'", "at + INTERVAL '1.5 s'", "at - INTERVAL '290000 years 1 s'", "at - INTERVAL '1 day'"} {
		name := fmt.Sprint("s", i)
		c.exec(fmt.Sprintf(`CREATE SOURCE %s (k BIGINT, at TIMESTAMP, WATERMARK FOR at AS %s) WITH (connector = 'pushed')`, name, x))
		rules, err := newEventRules(b.e.Snapshot().Catalog.Lookup(nil, catalog.PublicSchema, name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := newLateFilter(rules)
		if err != nil {
			t.Fatal(err)
		}
		if want := i < 3; f.plain != want {
			t.Errorf("%s: plain is %v", x, f.plain)
		}
		bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Timestamp)})
		for _, at := range []int64{0, 1, -1, 12345678, flow.NoMark, flow.FinalMark, 9223371331200*second - 1, -211813488000 * second} {
			bu.AppendRow([]types.Value{types.IntValue(types.Int8, 1), types.IntValue(types.Timestamp, at)}, 1)
		}
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, 1), types.NullOf(types.T(types.Timestamp))}, 1)
		rows := bu.Seal()
		fast := slices.Clone(f.eval(rows))
		f.plain = false
		if slow := f.eval(rows); !slices.Equal(fast, slow) {
			t.Errorf("%s\n%v\n%v", x, fast, slow)
		}
	}
}

func BenchmarkLateFilter(b *testing.B) {
	cat, _, err := catalog.New(nil).With(catalog.Command{Kind: catalog.CreateRelation, Relation: &catalog.Relation{Schema: catalog.PublicSchema, Name: "s",
		Kind: catalog.Source, Columns: []catalog.Column{{Name: "k", Type: types.T(types.Int8)}, {Name: "at", Type: types.T(types.Timestamp)}},
		AppendOnly: true, Watermark: &catalog.Watermark{Column: 1, SQL: "at - INTERVAL '5 s'"}}})
	if err != nil {
		b.Fatal(err)
	}
	rules, err := newEventRules(cat.Lookup(nil, catalog.PublicSchema, "s"))
	if err != nil {
		b.Fatal(err)
	}
	f, err := newLateFilter(rules)
	if err != nil {
		b.Fatal(err)
	}
	var rows []string
	for i := range batch.BlockRows {
		rows = append(rows, fmt.Sprint(i, " ", i/1000)) // four seconds a block
	}
	blk := eventRows(b, rows...)
	b.ReportAllocs()
	for b.Loop() {
		s := newEventState()
		if _, late, err := f.pass(s, 0, nil, 0, blk); err != nil || late != nil {
			b.Fatal(late, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch.BlockRows, "ns/row")
}
