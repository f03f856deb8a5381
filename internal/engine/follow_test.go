package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// group is some engines over the same logs, and how they reach who leads.
type group struct {
	testing.TB
	logs *memLogs
	mu   sync.Mutex
	all  []*bench
	// cut, if set, decides what becomes of a call; nil: it is carried out.
	cut func(call func() ([]byte, error)) ([]byte, error)
	n   atomic.Int64 // calls
}

func newGroup(t testing.TB) *group { return &group{TB: t, logs: newMemLogs()} }

// Call implements Leader.
func (g *group) Call(ctx context.Context, req []byte) ([]byte, error) {
	g.n.Add(1)
	g.mu.Lock()
	var to *Engine
	for _, b := range g.all {
		if b.e.role() == RoleLeader {
			to = b.e
		}
	}
	cut := g.cut
	g.mu.Unlock()
	if to == nil {
		return nil, ErrNoLeader
	}
	call := func() ([]byte, error) {
		resp, err := to.Serve(ctx, req)
		if errors.Is(err, ErrNotLeader) {
			err = fmt.Errorf("%w: %w", ErrNoLeader, err)
		}
		return resp, err
	}
	if cut != nil {
		return cut(call)
	}
	return call()
}

// open starts one more engine; the first one leads.
func (g *group) open(change ...func(*Config)) *bench {
	g.Helper()
	b := start(g.TB, g.logs, append([]func(*Config){func(c *Config) {
		g.mu.Lock()
		defer g.mu.Unlock()
		c.Node = fmt.Sprint("n", len(g.all)+1)
		c.Leader, c.Follow = g, len(g.all) > 0
	}}, change...)...)
	g.mu.Lock()
	g.all = append(g.all, b)
	g.mu.Unlock()
	return b
}

// isolated are the logs as an engine sees them that may be cut off from them: nothing that
// it asks for is answered then.
type isolated struct {
	*memLogs
	cut atomic.Bool
}

type isolatedLog struct {
	Log
	i *isolated
}

func (i *isolated) OpenLog(ctx context.Context, name string) (Log, error) {
	l, err := i.memLogs.OpenLog(ctx, name)
	return isolatedLog{l, i}, err
}

func (l isolatedLog) Append(ctx context.Context, recs [][]byte, expect uint64) (uint64, error) {
	if l.i.cut.Load() {
		return 0, errCrashed
	}
	return l.Log.Append(ctx, recs, expect)
}

// reaches waits until readers of b see a step.
func (b *bench) reaches(step uint64) {
	b.Helper()
	deadline := time.After(20 * time.Second)
	for {
		seen := b.e.published.wait()
		if b.e.Snapshot().Step >= step {
			return
		}
		select {
		case <-seen:
		case <-b.e.Done():
			b.Fatalf("the engine ended at step %d, before step %d: %v", b.e.Snapshot().Step, step, b.e.Err())
		case <-deadline:
			b.Fatalf("step %d, %d does not come", b.e.Snapshot().Step, step)
		}
	}
}

// sameAs holds all rows that two engines show at a step of both against each other.
func (b *bench) sameAs(other *bench) {
	b.Helper()
	for _, w := range [][2]*bench{{b, other}, {other, b}} {
		if seq := w[1].e.Snapshot().Seq; w[0].e.role() == RoleStandby && !w[0].e.waitFor(b.Context(), seq, 20*time.Second) {
			b.Fatalf("record %d does not come, %v", seq, w[0].e.Err())
		}
	}
	x, y := b.e.Snapshot(), other.e.Snapshot()
	if x.Step != y.Step {
		b.Fatalf("steps %d and %d", x.Step, y.Step)
	}
	if x.Catalog.Version() != y.Catalog.Version() {
		b.Fatalf("catalogs %d and %d", x.Catalog.Version(), y.Catalog.Version())
	}
	for _, def := range x.Catalog.Relations() {
		if dx, dy := digestIn(b, x, def.ID), digestIn(b, y, def.ID); dx != dy {
			b.Fatalf("step %d: %s differs: %v and %v", x.Step, def.Describe(), dx, dy)
		}
	}
}

func digestIn(t testing.TB, s *Snapshot, id catalog.ID) batch.Digest {
	var d batch.Digest
	rows := s.Rows(id)
	if rows == nil {
		return d
	}
	if err := rows.Blocks(func(b *batch.Batch) error { d = d.Add(batch.DigestOf(b)); return nil }); err != nil {
		t.Fatal(err)
	}
	return d
}

const followSetup = `CREATE TABLE t (id BIGINT PRIMARY KEY, g TEXT, n INT);
	CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c, sum(n) AS s FROM t GROUP BY g;
	CREATE INDEX v_c ON v (c)`

func TestStandbyShowsEveryStep(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	c := a.client()
	c.exec(followSetup + `; INSERT INTO t VALUES (1, 'a', 10)`)
	b := g.open()
	if s := b.e.Standing(); s.Role != RoleStandby || s.LeaderName != "n1" || s.Epoch != 1 {
		t.Fatalf("%+v", s)
	}
	b.sameAs(a)
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed');
		CREATE MATERIALIZED VIEW w AS SELECT t.g, count(*) AS n FROM t JOIN s ON s.k = t.id GROUP BY t.g`)
	for i := range 50 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, '%c', %d)`, i+2, 'a'+i%3, i))
		a.push("s", int64(i), "x")
		if i%10 == 0 {
			c.exec(`FLUSH`)
			b.sameAs(a)
		}
	}
	c.exec(`DELETE FROM t WHERE id % 4 = 0; FLUSH`)
	b.sameAs(a)
	c.exec(`DROP MATERIALIZED VIEW w; DROP SOURCE s; INSERT INTO t VALUES (1000, 'z', 1)`)
	b.sameAs(a)
	b.client().want(`SELECT c, s FROM v WHERE g = 'z'`, "1, 1")
}

func TestStandbyTakesOver(t *testing.T) {
	g := newGroup(t)
	cut := &isolated{memLogs: g.logs}
	a := g.open(func(c *Config) { c.Logs = cut })
	c := a.client()
	c.exec(followSetup + `; CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed');
		CREATE MATERIALIZED VIEW w AS SELECT k, count(*) AS n FROM s GROUP BY k;
		CREATE SINK k FROM w WITH (connector = 'kept')`)
	b := g.open()
	for i := range 10 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, 'a', 1)`, i))
		a.push("s", int64(i%2), fmt.Sprint(i))
	}
	c.exec(`FLUSH`)
	b.reaches(a.e.Snapshot().Step)
	epoch := a.e.Standing().Epoch
	cut.cut.Store(true) // as if it were dead
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := b.e.Standing(); s.Role != RoleLeader || s.Epoch != epoch+1 || s.LeaderName != "n2" {
		t.Fatalf("%+v", s)
	}
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal("to lead when it leads:", err)
	}
	d := b.client()
	d.want(`SELECT c FROM v`, "10")
	d.exec(`INSERT INTO t VALUES (100, 'a', 1)`)
	b.push("s", 1, "later")
	d.exec(`FLUSH`)
	d.want(`SELECT k, n FROM w ORDER BY k`, "0, 5", "1, 6")

	// The first comes back and is told; then it follows.
	cut.cut.Store(false)
	c.fails(`INSERT INTO t VALUES (101, 'a', 1)`, "57P04", "does not take writes any more")
	<-a.e.Done()
	if !a.e.Fenced() || a.e.Standing().Role != RoleEnded {
		t.Fatalf("fenced %v, %+v", a.e.Fenced(), a.e.Standing())
	}
	again := g.open()
	d.exec(`INSERT INTO t VALUES (102, 'b', 1)`)
	again.sameAs(b)
	again.client().want(`SELECT g, c FROM v ORDER BY g`, "a, 11", "b, 1")
}

func TestLeadIsGivenUpWithItsContext(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	a.client().exec(followSetup)
	b := g.open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.e.Lead(ctx); err == nil {
		t.Fatal("it leads")
	}
	a.client().exec(`INSERT INTO t VALUES (1, 'a', 1)`)
	b.sameAs(a)
}

func TestStandbyMeetsAMismatch(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	c := a.client()
	c.exec(followSetup + `; INSERT INTO t VALUES (1, 'a', 1)`)
	b := g.open()
	b.sameAs(a)
	// What it holds of the view is no longer what it should be.
	if !b.e.inspect(t.Context(), func(l *leader) {
		def, err := l.cat.Resolve([]string{"public"}, "", "t")
		if err != nil {
			t.Error(err)
			return
		}
		row := batch.FromRows(def.Types(), [][]types.Value{{types.IntValue(types.Int8, 7), types.TextValue("a"), types.IntValue(types.Int4, 7)}})
		if _, err := l.work.Step(l.coord.CommittedStep(), l.now, []flow.Feed{{Rel: def.Key(), Blocks: []*batch.Batch{row}}}); err != nil {
			t.Error(err)
		}
	}) {
		t.Fatal("it has ended")
	}
	seen := b.e.Snapshot().Step
	c.exec(`INSERT INTO t VALUES (2, 'a', 1)`)
	<-b.e.Done()
	if !errors.Is(b.e.Err(), ErrMismatch) || b.e.Standing().Mismatch == "" || b.e.Fenced() {
		t.Fatalf("%v, %+v", b.e.Err(), b.e.Standing())
	}
	if b.e.Snapshot().Step != seen {
		t.Fatal("the wrong step was shown")
	}
	b.stop()
	again := g.open()
	again.sameAs(a)
}
