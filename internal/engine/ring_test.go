package engine

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
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
