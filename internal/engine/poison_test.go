package engine

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

// poison lets circuits panic on rows whose first column has one of some values.
type poison struct {
	mu   sync.Mutex
	bad  []int64
	hits atomic.Int64
}

func (p *poison) set(values ...int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad = values
}

func (p *poison) on(c *Config) {
	c.Probe = func(_, rel string, b *batch.Batch) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.bad) == 0 || b.Cols[0].Type.Layout() != types.LayoutInt {
			return
		}
		for k := range b.Len() {
			if slices.Contains(p.bad, b.Cols[0].I64[b.Row(k)]) && b.Weight(b.Row(k)) > 0 {
				p.hits.Add(1)
				panic(fmt.Sprintf("no %d, please", b.Cols[0].I64[b.Row(k)]))
			}
		}
	}
}

// fill pushes n rows (k, name) with k from first on, as one block.
func (b *bench) fill(source string, first, n int64) {
	b.Helper()
	bu := batch.NewBuilder([]types.Type{types.T(types.Int4), types.T(types.Text)})
	for k := first; k < first+n; k++ {
		bu.AppendRow([]types.Value{types.IntValue(types.Int4, k), types.TextValue(fmt.Sprint("n", k%7))}, 1)
	}
	if _, err := b.src.to(b, source).Append(b.Context(), connector.Block{Rows: bu.Seal(), Cursor: []byte(fmt.Sprint(first))}); err != nil {
		b.Fatal(err)
	}
}

// quarantine lists what is in quarantine.
func (b *bench) quarantine() []string {
	b.Helper()
	var got []string
	err := b.e.Quarantine(b.Context(), b.e.Snapshot(), func(q QuarantineRow) error {
		got = append(got, fmt.Sprintf("%s %d %s %s", q.Source, q.Position, q.Reason, q.Data))
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return got
}

func (b *bench) wantQuarantine(want ...string) {
	b.Helper()
	if got := b.quarantine(); !slices.Equal(got, want) {
		b.Fatalf("in quarantine are %q, want %q", got, want)
	}
}

const poisonViews = `CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed');
	CREATE MATERIALIZED VIEW sums AS SELECT name, count(*) AS c, sum(k) AS s FROM s GROUP BY name;
	CREATE MATERIALIZED VIEW kept AS SELECT k FROM s WHERE k % 1000 = 0;
	CREATE MATERIALIZED VIEW over_sums AS SELECT max(c) AS m FROM sums`

// held stops the leader, so that what comes meanwhile is in one step.
func (b *bench) held(fn func()) {
	b.Helper()
	free, stopped := make(chan struct{}), make(chan struct{})
	go b.e.inspect(b.Context(), func(*leader) { close(stopped); <-free })
	<-stopped
	fn()
	close(free)
}

// TestPoisonRows makes rows among 60,000 of several blocks panic. They alone are left
// out, by every replay too, and can be put back.
func TestPoisonRows(t *testing.T) {
	for _, bad := range [][]int64{{31_234}, {5, 31_234, 31_235, 59_999}} {
		for _, disk := range []bool{false, true} {
			t.Run(fmt.Sprint(bad, disk), func(t *testing.T) { testPoisonRows(t, bad, disk) })
		}
	}
}

func testPoisonRows(t *testing.T, bad []int64, onDisk bool) {
	logs, disk := newMemLogs(), newDisk()
	p := &poison{}
	config := []func(*Config){p.on, func(c *Config) { c.Workers = 2 }}
	if onDisk {
		config = append(config, on(disk))
	}
	b := start(t, logs, config...)
	c := b.client()
	c.exec(poisonViews)
	b.fill("s", 100_000, 1000)
	c.exec(`FLUSH; CHECKPOINT`)
	if onDisk {
		b.fill("s", 101_000, 1000)
		c.exec(`FLUSH`)
	}
	before := b.e.Snapshot().Step
	p.set(bad...)
	b.held(func() {
		for i := range int64(6) {
			b.fill("s", i*10_000, 10_000)
		}
	})
	c.exec(`FLUSH`)
	if at := b.e.Snapshot().Step; at != before+1 {
		t.Fatalf("%d steps, want one", at-before)
	}
	first := int64(1000)
	if onDisk {
		first = 2000
	}
	var listed []string
	sum := int64(60_000) * 59_999 / 2
	for _, k := range bad {
		sum -= k
		listed = append(listed, fmt.Sprintf(`s %d materialized view sums fails: panic: no %d, please (%d, n%d)`, first+k, k, k, k%7))
	}
	same := func() {
		t.Helper()
		c.want(`SELECT count(*), sum(k) FROM s WHERE k < 100000`, fmt.Sprintf("%d, %d", 60_000-len(bad), sum))
		c.want(`SELECT sum(c), sum(s) - (SELECT sum(k) FROM s WHERE k >= 100000) FROM sums`, fmt.Sprintf("%d, %d", 60_000+first-int64(len(bad)), sum))
		c.want(`SELECT count(*) FROM kept WHERE k < 100000`, "60")
		c.want(`SELECT count(*) FROM (SELECT name, count(*), sum(k) FROM s GROUP BY name EXCEPT SELECT * FROM sums) x`, "0")
		b.wantQuarantine(listed...)
	}
	same()
	again := func() {
		t.Helper()
		b = b.restart(logs, config...)
		c = b.client()
		same()
	}
	again() // with the probe on: the replay does not meet the rows
	if onDisk {
		c.exec(`CREATE TABLE t (n INT); CHECKPOINT`)
		again()
	}
	c.exec(`CREATE MATERIALIZED VIEW later AS SELECT count(*) AS c, sum(k) AS s FROM s WHERE k < 100000`) // does not meet them either
	c.want(`SELECT * FROM later`, fmt.Sprintf("%d, %d", 60_000-len(bad), sum))

	// They fail again, and stay.
	te := c.fails(fmt.Sprintf(`CALL tidemill.retry('s', %d)`, first+bad[0]), "XX000", fmt.Sprintf("panic: no %d, please", bad[0]))
	if !strings.Contains(te.Message, "fails") {
		t.Fatal(te)
	}
	same()
	c.fails(`CALL tidemill.retry('public.s')`, "XX000", "cannot be computed")
	same()
	c.fails(`CALL tidemill.retry('s', 7)`, "22023", "no row at position 7")

	p.set() // it is repaired
	c.exec(fmt.Sprintf(`CALL tidemill.retry('s', %d)`, first+bad[0]))
	listed, sum, bad = listed[1:], sum+bad[0], bad[1:]
	same()
	again()
	if tag := c.exec(`CALL tidemill.retry('s')`); tag != "CALL" {
		t.Fatal(tag)
	}
	for _, k := range bad {
		sum += k
	}
	listed, bad = nil, nil
	same()
	c.want(`SELECT * FROM later`, fmt.Sprintf("60000, %d", sum))
	again()
	c.want(`SELECT * FROM later`, fmt.Sprintf("60000, %d", sum))
}

// TestPoisonTransactions lets some of the transactions of one step panic: their clients
// get an error, and the others are not harmed.
func TestPoisonTransactions(t *testing.T) {
	logs := newMemLogs()
	p := &poison{}
	b := start(t, logs, p.on)
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, x TEXT); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, sum(id) AS s FROM t`)
	c.exec(poisonViews)
	p.set(3, 17, 1000)
	const n = 24
	errs := make([]error, n)
	var wg sync.WaitGroup
	b.held(func() {
		for i := range n {
			own := b.client()
			wg.Go(func() { _, _, errs[i] = own.run(fmt.Sprintf(`INSERT INTO t VALUES (%d, 'x')`, i)) })
		}
		b.fill("s", 990, 20)
		for len(b.e.submit) < n {
			runtime.Gosched()
		}
	})
	wg.Wait()
	sum := 0
	for i, err := range errs {
		if i != 3 && i != 17 {
			sum += i
			if err != nil {
				t.Errorf("%d: %v", i, detailed(err))
			}
			continue
		}
		var te *types.Error
		if !errors.As(err, &te) || te.Code != "XX000" || !strings.Contains(te.Message, `view v fails: panic: no `+fmt.Sprint(i)) {
			t.Errorf("%d: %v", i, detailed(err))
		}
	}
	same := func() {
		t.Helper()
		c.exec(`FLUSH`)
		c.want(`SELECT c, s FROM v`, fmt.Sprintf("%d, %d", n-2, sum))
		c.want(`SELECT count(*) FROM t`, fmt.Sprint(n-2))
		c.want(`SELECT sum(c) FROM sums`, "19")
		if got := b.quarantine(); len(got) != 1 || !strings.HasPrefix(got[0], "s 10 ") {
			t.Fatalf("in quarantine: %q", got)
		}
	}
	same()
	c.fails(`INSERT INTO t VALUES (100, 'x'), (3, 'y')`, "XX000", "cannot be computed")
	c.fails(`INSERT INTO t VALUES (4, 'x')`, "23505", "duplicate key")
	b = b.restart(logs, p.on)
	c = b.client()
	same()
	p.set()
	c.exec(`INSERT INTO t VALUES (3, 'y')`)
	c.want(`SELECT count(*) FROM t`, fmt.Sprint(n-1))
}

// TestPoisonOnce fails once: nothing is left out.
func TestPoisonOnce(t *testing.T) {
	var armed atomic.Bool
	b := start(t, newMemLogs(), func(c *Config) {
		c.Probe = func(string, string, *batch.Batch) {
			if armed.Swap(false) {
				panic("a cosmic ray")
			}
		}
	})
	c := b.client()
	c.exec(poisonViews)
	b.fill("s", 0, 50)
	c.exec(`FLUSH`)
	armed.Store(true)
	b.fill("s", 50, 50)
	c.exec(`FLUSH`)
	if armed.Load() {
		t.Fatal("no step met it")
	}
	c.want(`SELECT sum(c) FROM sums`, "100")
	b.wantQuarantine()
}

// TestViewAtFault panics whatever comes: the pipeline ends rather than leave it all out.
func TestViewAtFault(t *testing.T) {
	var armed atomic.Bool
	b := start(t, newMemLogs(), func(c *Config) {
		c.Probe = func(string, string, *batch.Batch) {
			if armed.Load() {
				panic("never works")
			}
		}
	})
	c := b.client()
	c.exec(poisonViews)
	armed.Store(true)
	b.fill("s", 0, 100)
	<-b.e.Done()
	var te *types.Error
	if err := b.e.Err(); !errors.As(err, &te) || te.Code != "XX000" || !strings.Contains(te.Message, "fails: panic: never works") || te.Hint == "" {
		t.Fatal(detailed(err))
	}
}

// TestPoisonInReplay meets a committed step that this program cannot compute.
func TestPoisonInReplay(t *testing.T) {
	logs := newMemLogs()
	p := &poison{}
	b := start(t, logs, p.on)
	c := b.client()
	c.exec(poisonViews)
	b.fill("s", 0, 10)
	c.exec(`FLUSH`)
	b.stop()
	p.set(4)
	_, err := Open(t.Context(), b.cfg)
	var te *types.Error
	if !errors.As(err, &te) || !strings.Contains(te.Message, `fails: panic: no 4, please, on positions 1 to 2 of source "s", which version `+Version) || te.Hint == "" {
		t.Fatal(detailed(err))
	}
}

// TestPoisonForMemory has one row that does not fit into memory, and no disk.
func TestPoisonForMemory(t *testing.T) {
	logs := newMemLogs()
	small := func(c *Config) { c.MemoryBytes = 8 << 20; c.Checkpoint.Interval = -1 }
	b := start(t, logs, small)
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed'); CREATE TABLE t (id INT PRIMARY KEY, x TEXT);
		CREATE MATERIALIZED VIEW v AS SELECT name, count(*) AS c FROM s GROUP BY name; CREATE MATERIALIZED VIEW w AS SELECT x, count(*) AS c FROM t GROUP BY x`)
	b.fill("s", 0, 100)
	b.push("s", 100, strings.Repeat("x", 6<<20))
	b.fill("s", 101, 100)
	c.exec(`FLUSH`)
	c.want(`SELECT sum(c) FROM v`, "200")
	got := b.quarantine()
	if len(got) != 1 || !strings.HasPrefix(got[0], "s 100 ") || !strings.Contains(got[0][:200], "memory") && !strings.Contains(got[0][:200], "limit") {
		t.Fatalf("%d rows, %.300q", len(got), got)
	}
	c.fails(`INSERT INTO t VALUES (1, repeat('x', 6 << 20))`, "53200", "")
	c.exec(`INSERT INTO t VALUES (1, 'y')`)
	b = b.restart(logs, small)
	c = b.client()
	c.want(`SELECT sum(c) FROM v`, "200")
	c.want(`SELECT * FROM w`, "y, 1")
	c.fails(`CALL tidemill.retry('s')`, "53200", "")
	b = b.restart(logs, func(c *Config) { c.Checkpoint.Interval = -1 })
	c = b.client()
	c.exec(`CALL tidemill.retry('s')`) // it is too large for the record, and comes from the stream
	c.want(`SELECT sum(c), max(length(name)) FROM v`, fmt.Sprint("201, ", 6<<20))
	b.wantQuarantine()
}

// TestTooMuchInOneStep takes rows that fit into memory one by one and not together: none
// of them is left out.
func TestTooMuchInOneStep(t *testing.T) {
	b := start(t, newMemLogs(), func(c *Config) { c.MemoryBytes = 8 << 20; c.Checkpoint.Interval = -1 })
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed'); CREATE MATERIALIZED VIEW v AS SELECT k + 1 AS k, name FROM s`)
	b.held(func() {
		for i := range int64(12) {
			b.push("s", i, strings.Repeat("x", 1<<20))
		}
	})
	<-b.e.Done()
	var te *types.Error
	if err := b.e.Err(); !errors.As(err, &te) || te.Code != types.CodeOutOfMemory || !strings.Contains(te.Detail, "No single row is to blame") {
		t.Fatal(detailed(err))
	}
}

// TestPoisonDuringACheckpoint fails a step while a checkpoint is under way, again and again.
func TestPoisonDuringACheckpoint(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	p := &poison{}
	config := []func(*Config){p.on, on(disk), func(c *Config) { c.Checkpoint.Interval = time.Millisecond }}
	b := start(t, logs, config...)
	c := b.client()
	c.exec(poisonViews)
	p.set(7)
	for i := range int64(30) {
		b.fill("s", i*100+100, 99)
		if i%10 == 3 {
			b.fill("s", 7, 1)
		}
		c.exec(`FLUSH`)
	}
	c.exec(`CHECKPOINT`)
	same := func() {
		t.Helper()
		c.want(`SELECT sum(c) FROM sums`, "2970")
		c.want(`SELECT count(*) FROM (SELECT name, count(*), sum(k) FROM s GROUP BY name EXCEPT SELECT * FROM sums) x`, "0")
		if n := len(b.quarantine()); n != 3 {
			t.Fatalf("%d in quarantine", n)
		}
	}
	same()
	b = b.restart(logs, config...)
	c = b.client()
	same()
}

// TestPoisonInGeneratedRows leaves rows of a source without a log out.
func TestPoisonInGeneratedRows(t *testing.T) {
	logs := newMemLogs()
	p := &poison{}
	p.set(1234, 4001)
	var later atomic.Int64
	clock := func(c *Config) {
		c.Clock = func() time.Time { return time.Unix(1_800_000_000, later.Add(1000)) }
	}
	b := start(t, logs, p.on, clock)
	c := b.client()
	c.exec(`CREATE SOURCE g (n BIGINT, m BIGINT) WITH (connector = 'counting'); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, sum(n) AS s FROM g`)
	later.Add(int64(10 * time.Second))
	for done := false; !done; {
		rows, _, err := c.run(`SELECT c FROM v`)
		if err != nil {
			t.Fatal(err)
		}
		done = slices.Equal(rows, []string{"4998"})
		c.exec(`FLUSH`)
	}
	want := fmt.Sprintf("4998, %d", 5000*4999/2-1234-4001)
	same := func() {
		t.Helper()
		c.want(`SELECT * FROM v`, want)
		c.want(`SELECT count(*), sum(n) FROM g`, want)
		if got := b.quarantine(); len(got) != 2 || !strings.HasPrefix(got[0], "g 1234 ") || !strings.HasSuffix(got[1], "(4001, 1)") {
			t.Fatalf("in quarantine: %q", got)
		}
	}
	same()
	b = b.restart(logs, p.on, clock)
	c = b.client()
	same()
	p.set()
	c.exec(`CALL tidemill.retry('g', 1234)`)
	c.want(`SELECT count(*), sum(n) FROM g`, fmt.Sprintf("4999, %d", 5000*4999/2-4001))
	c.want(`SELECT * FROM v`, fmt.Sprintf("4999, %d", 5000*4999/2-4001))
}
