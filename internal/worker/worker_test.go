package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

var ints = []types.Type{types.T(types.Int8), types.T(types.Int8)}

// distinctOf is a circuit that keeps the distinct rows of a relation.
func distinctOf(rel string) *flow.Spec {
	return &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: rel}, Out: ints},
		{Op: &flow.Distinct{}, In: []int{0}, Out: ints},
		{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: ints},
	}}
}

func rows(rng *rand.Rand, n int) *batch.Batch {
	bu := batch.NewBuilder(ints)
	for i := range n {
		bu.Col(0).AppendInt(i, rng.Int64N(500))
		bu.Col(1).AppendInt(i, rng.Int64N(5))
		bu.EndRow(1)
	}
	return bu.Seal()
}

func add(t *testing.T, w *Worker, key string, spec *flow.Spec) {
	t.Helper()
	c, err := w.Build(key, spec, flow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fill(0, 0, func(func(string, *batch.Batch) error) error { return nil }, nil); err != nil {
		t.Fatal(err)
	}
	w.Add(c)
}

func TestChangesRunThroughCircuitsOnCircuits(t *testing.T) {
	var want [][]string
	for _, workers := range []int{1, 2, 3, 8} {
		rng := rand.New(rand.NewPCG(1, 1))
		w := New(workers)
		add(t, w, "a", distinctOf("t"))
		add(t, w, "b", distinctOf("a"))
		add(t, w, "c", distinctOf("unrelated"))
		var got [][]string
		for step := range uint64(5) {
			outs, err := w.Step(step+1, 0, []flow.Feed{{Rel: "t", Blocks: []*batch.Batch{rows(rng, 3000*int(step))}}})
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, o := range outs {
				keys = append(keys, fmt.Sprint(o.Key, o.Digest, o.Batch.Len()))
			}
			got = append(got, keys)
		}
		if want == nil {
			want = got
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d workers: %v, 1 worker: %v", workers, got, want)
		}
		if len(got[1]) != 2 || w.StateBytes("a") == 0 || w.StateBytes("c") != 0 && len(w.Keys()) != 3 {
			t.Errorf("outputs %v", got[1])
		}
		w.Remove("b")
		w.Remove("a")
		if w.StateBytes("a") != 0 {
			t.Error("a removed circuit still holds memory")
		}
	}
}

func TestAPanicIsAnError(t *testing.T) {
	for _, n := range []int{1, 3 * smallStep} { // in the calling goroutine, and in others
		w := New(2)
		spec := distinctOf("t")
		spec.Nodes[0].Out = []types.Type{types.T(types.Int8), types.T(types.Int8)}
		add(t, w, "a", spec)
		bad := rows(rand.New(rand.NewPCG(1, 1)), n)
		bad.Cols[1].I64 = nil // not what its type says
		_, err := w.Step(1, 0, []flow.Feed{{Rel: "t", Blocks: []*batch.Batch{bad}}})
		var p *PanicError
		if !errors.As(err, &p) || p.Circuit != "a" || len(p.Stack) == 0 {
			t.Fatalf("%d rows: %v", n, err)
		}
		good := rows(rand.New(rand.NewPCG(1, 1)), 1)
		if out, err := w.Step(2, 0, []flow.Feed{{Rel: "t", Blocks: []*batch.Batch{good}}}); out != nil || !errors.As(err, &p) {
			t.Errorf("%d rows: the step after a panic: %v, %v", n, out, err)
		}
	}
}
