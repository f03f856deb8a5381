package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/fabric"
)

// gated is a sink that delivers nothing until its gate opens, and may fail.
type gated struct {
	mu   sync.Mutex
	gate map[string]chan struct{} // by sink; nil: open
	fail map[string]int           // how many deliveries fail behind the target
	got  map[string][]string
	came int // steps that came to a gate
}

func (g *gated) system() connector.System {
	return connector.System{Name: "gated", Sink: func(cfg connector.Config) (connector.Sink, error) { return &gatedSink{g, cfg.Name}, nil }}
}

type gatedSink struct {
	g    *gated
	name string
}

func (s *gatedSink) Run(ctx context.Context, from connector.Outlet) error {
	for at := from.Position(); ; {
		step, b, err := from.Next(ctx, at)
		if err != nil {
			return err
		}
		s.g.mu.Lock()
		gate := s.g.gate[s.name]
		s.g.came++
		s.g.mu.Unlock()
		if gate != nil {
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if s.g.deliver(s.name, step, b) {
			return fmt.Errorf("step %d was delivered and the answer lost", step)
		}
		if err := from.Done(ctx, step); err != nil {
			return err
		}
		at = step
	}
}

// deliver keeps the changes of a step, as a target that knows the step does: once.
func (g *gated) deliver(name string, step uint64, b *batch.Batch) (fails bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range b.N {
		line := fmt.Sprintf("%d/%d %+d %s", step, i, b.Weight(i), rowText(b, i, len(b.Cols)))
		if !slices.Contains(g.got[name], line) {
			g.got[name] = append(g.got[name], line)
		}
	}
	g.fail[name]--
	return g.fail[name] >= 0
}

func (g *gated) count(name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.got[name])
}

func waitUntil(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !fn(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never happened: %s", what)
		}
	}
}

// TestSlowSink blocks one of two sinks: writers, readers and the other sink go on, and
// the blocked one gets every change when its target is there again, also after a
// restart, and although its answers are lost now and then.
func TestSlowSink(t *testing.T) {
	g := &gated{gate: map[string]chan struct{}{"slow": make(chan struct{})}, fail: map[string]int{}, got: map[string][]string{}}
	logs := newMemLogs()
	use := func(cfg *Config) { cfg.Connectors = connector.NewRegistry(g.system()) }
	b := start(t, logs, use)
	c := b.client()
	c.exec(`CREATE TABLE t (a INT); CREATE MATERIALIZED VIEW v AS SELECT a FROM t;
		CREATE SINK slow FROM v WITH (connector = 'gated'); CREATE SINK fast FROM v WITH (connector = 'gated')`)
	const steps = 300
	for i := range steps {
		c.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
	}
	waitUntil(t, "the other sink has everything", func() bool { return g.count("fast") == steps })
	c.want("SELECT count(*) FROM v", fmt.Sprint(steps))
	if n := g.count("slow"); n != 0 {
		t.Fatalf("%d changes passed a closed gate", n)
	}
	b.stop()
	b = start(t, logs, use)
	g.mu.Lock()
	g.fail["slow"] = 3
	close(g.gate["slow"])
	g.mu.Unlock()
	waitUntil(t, "the slow sink has everything", func() bool { return g.count("slow") == steps })
	b.stop()
	if !slices.Equal(g.got["slow"], g.got["fast"]) {
		t.Errorf("%v\nwant %v", g.got["slow"], g.got["fast"])
	}
}

// TestSinkPositionsAreTrimmed lets a sink note more positions than are kept.
func TestSinkPositionsAreTrimmed(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	log, err := logs.OpenLog(t.Context(), "SINK_x")
	if err != nil {
		t.Fatal(err)
	}
	b.client().exec("CREATE TABLE t (a INT); CREATE SINK k FROM t WITH (connector = 'kept')")
	b.e.mu.Lock()
	var s *sinkState
	for _, s = range b.e.sinks {
	}
	b.e.mu.Unlock()
	own := &sinkState{e: b.e, def: s.def, ring: newRing(1), log: log}
	for step := range uint64(2*sinkTrim + 10) {
		if err := own.Done(t.Context(), step+1); err != nil {
			t.Fatal(err)
		}
	}
	first, last, err := log.Bounds(t.Context())
	if err != nil || last != 2*sinkTrim+10 || first != 2*sinkTrim {
		t.Errorf("positions %d to %d, %v", first, last, err)
	}
	again := &sinkState{e: b.e, def: s.def, ring: newRing(1), log: log}
	if err := again.load(t.Context()); err != nil || again.Position() != 2*sinkTrim+10 {
		t.Errorf("position %d, %v", again.Position(), err)
	}
}

// TestSinksWaitForRoom fills the disk: nothing is delivered, and all of it later.
func TestSinksWaitForRoom(t *testing.T) {
	g := &gated{gate: map[string]chan struct{}{"s": make(chan struct{})}, fail: map[string]int{}, got: map[string][]string{}}
	var d disk
	b := start(t, newMemLogs(), func(cfg *Config) { cfg.Connectors, cfg.Room = connector.NewRegistry(g.system()), d.room })
	c := b.client()
	c.exec("CREATE TABLE t (a INT); CREATE SINK s FROM t WITH (connector = 'gated'); INSERT INTO t VALUES (1)")
	waitUntil(t, "the first row is at the gate", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.came == 1 })
	c.exec("INSERT INTO t VALUES (2)")
	d.state.Store(&fabric.NoSpaceError{Dir: "/data"})
	close(g.gate["s"])
	waitUntil(t, "what was under way is delivered", func() bool { return g.count("s") == 1 })
	c.want("SELECT count(*) FROM t", "2")
	if n := g.count("s"); n != 1 {
		t.Errorf("%d changes are delivered to a full disk", n)
	}
	d.state.Store(nil)
	waitUntil(t, "everything is delivered", func() bool { return g.count("s") == 2 })
}
