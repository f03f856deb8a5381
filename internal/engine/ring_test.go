package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

func oneRow(n int64) *batch.Batch {
	return batch.FromRows([]types.Type{types.T(types.Int8)}, [][]types.Value{{types.IntValue(types.Int8, n)}})
}

// TestRingForgets keeps as many steps as it may, tells which one is the oldest, and
// gives each later one in order.
func TestRingForgets(t *testing.T) {
	r := newRing(1 << 40)
	const steps = MaxRingSteps + 5000
	for n := range uint64(steps) {
		r.add(n+1, oneRow(int64(n+1)))
	}
	if r.oldest() != steps-MaxRingSteps {
		t.Fatalf("the oldest step is %d, want %d", r.oldest(), steps-MaxRingSteps)
	}
	if _, _, err := r.step(r.oldest()-1, steps); err == nil {
		t.Error("a step that was dropped is given")
	}
	after := r.oldest()
	for after < steps {
		b, step, err := r.step(after, steps)
		if err != nil || step != after+1 || len(b) != 1 || b[0].Cols[0].I64[0] != int64(step) {
			t.Fatalf("after %d: %v, %d, %v", after, b, step, err)
		}
		after = step
	}
	r.forget(steps - 10)
	if r.oldest() != steps-10 || r.size() != 10*oneRow(1).SizeBytes() {
		t.Errorf("after forgetting: oldest %d, %d bytes", r.oldest(), r.size())
	}
	if _, step, err := r.step(steps-10, steps); err != nil || step != steps-9 {
		t.Errorf("%d, %v", step, err)
	}
}

// BenchmarkRingFull adds steps to a ring that is full.
func BenchmarkRingFull(b *testing.B) {
	r := newRing(1 << 40)
	row := oneRow(1)
	n := uint64(0)
	for range MaxRingSteps {
		n++
		r.add(n, row)
	}
	for b.Loop() {
		n++
		r.add(n, row)
	}
}

// TestWhatASinkHasNotTakenIsKept: a sink that stands still loses nothing, through
// checkpoints and restarts, and with memory for little of it.
func TestWhatASinkHasNotTakenIsKept(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	g := &gated{gate: map[string]chan struct{}{"s": make(chan struct{})}, fail: map[string]int{}, got: map[string][]string{}}
	config := func(c *Config) {
		c.Connectors, c.MemoryBytes = connector.NewRegistry(g.system()), 200_000
	}
	b := start(t, logs, on(disk), config)
	c := b.client()
	c.exec(`CREATE TABLE t (a INT, s TEXT); CREATE SINK s FROM t WITH (connector = 'gated')`)
	rows := 0
	insert := func() {
		for range 8 {
			c.exec(fmt.Sprintf(`INSERT INTO t SELECT i, repeat(i::text, 30) FROM generate_series(%d, %d) AS g (i)`, rows, rows+499))
			rows += 500
		}
	}
	insert()
	c.exec(`CHECKPOINT`)
	insert()
	b = b.restart(logs, on(disk), config)
	c = b.client()
	insert()
	c.exec(`CHECKPOINT`)
	held := func() (bytes int64, why string) {
		list, err := b.e.Storage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Kind == "changes" && r.Name == "s" {
				return r.Bytes, r.KeptFor
			}
		}
		return 0, ""
	}
	if n, why := held(); n < 1_000_000 || !strings.HasPrefix(why, "sink s, ") {
		t.Errorf("%d bytes are kept for %q", n, why)
	}
	if used, limit := b.e.Memory(); used > limit+500_000 {
		t.Errorf("%d bytes are in memory, of %d", used, limit)
	}
	close(g.gate["s"])
	waitUntil(t, "everything is delivered", func() bool { return g.count("s") == rows })
	waitUntil(t, "it is forgotten", func() bool { n, _ := held(); return n == 0 })
	for i, r := range g.got["s"] {
		if want := fmt.Sprintf("(%d, %s)", i, strings.Repeat(fmt.Sprint(i), 30)); !strings.HasSuffix(r, want) {
			t.Fatalf("change %d is %q, want %q", i, r, want)
		}
	}
}
