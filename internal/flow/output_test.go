package flow_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// product is a cross join of two relations of one integer column each, cut down to
// the left one.
func product(cols int) *flow.Spec {
	ts := []types.Type{types.T(types.Int8)}
	both := append(ts[:1:1], ts...)
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: ts},
		{Op: &flow.Input{Rel: "r"}, Out: ts},
		{Op: &flow.Join{Kind: flow.JoinInner}, In: []int{0, 1}, Out: both},
	}}
	last := 2
	if cols == 1 {
		spec.Nodes = append(spec.Nodes, flow.Node{Op: &flow.Project{Exprs: []expr.Expr{expr.Col{Index: 0, T: ts[0]}}}, In: []int{2}, Out: ts})
		last = 3
	}
	spec.Nodes = append(spec.Nodes, flow.Node{Op: &flow.Output{Name: "o"}, In: []int{last}, Out: spec.Nodes[last].Out})
	return spec
}

// numbers is a feed of the numbers below n.
func numbers(rel string, n int) flow.Feed {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8)})
	for i := range n {
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, int64(i))}, 1)
	}
	return flow.Feed{Rel: rel, Blocks: []*batch.Batch{bu.Seal()}}
}

// TestOutputOfALargeStep gives an output many more changes than it gathers at once:
// equal rows are one, in order, for any number of workers, in little memory.
func TestOutputOfALargeStep(t *testing.T) {
	const left, right = 1000, 1500
	for _, workers := range []int{1, 3} {
		g, err := flow.New(product(1), flow.Options{Workers: workers, MaxStateBytes: 24 << 20})
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := g.Step(1, 0, numbers("l", left), numbers("r", right))
		if err != nil {
			t.Fatal(err)
		}
		b := out[0].Batch
		if b.N != left {
			t.Fatalf("%d workers: %d rows, want %d", workers, b.N, left)
		}
		for i := range b.N {
			if b.Cols[0].I64[i] != int64(i) || b.Weight(i) != right {
				t.Fatalf("%d workers: row %d is %d with weight %d", workers, i, b.Cols[0].I64[i], b.Weight(i))
			}
		}
		if out, _, err = g.Step(2, 0, numbers("r", 1)); err != nil || out[0].Batch.N != left || out[0].Batch.Weight(7) != 1 {
			t.Fatalf("%d workers: the step after: %v, %v", workers, out, err)
		}
	}
}

// TestOutputCountsItsMemory asks for a product that does not fit: the error names
// the output, which holds most of it.
func TestOutputCountsItsMemory(t *testing.T) {
	for _, workers := range []int{1, 3} {
		g, err := flow.New(product(2), flow.Options{Workers: workers, MaxStateBytes: 24 << 20})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = g.Step(1, 0, numbers("l", 1000), numbers("r", 1500))
		var te *types.Error
		if !errors.As(err, &te) || te.Code != types.CodeOutOfMemory || !strings.Contains(te.Detail, "Output o") {
			t.Fatalf("%d workers: got %v", workers, err)
		}
	}
}

// TestJoinStopsWithoutAMatch asks a join to stop whose condition no pair meets, so that
// nothing is emitted.
func TestJoinStopsWithoutAMatch(t *testing.T) {
	spec := product(2)
	never, ok := spec.Nodes[2].Op.(*flow.Join)
	if !ok {
		t.Fatal("no join")
	}
	never.On = &expr.IsNull{Arg: expr.Col{Index: 1, T: types.T(types.Int8)}}
	asked := 0
	g, err := flow.New(spec, flow.Options{Stop: func() bool { asked++; return asked > 3 }})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = g.Step(1, 0, numbers("l", 4000), numbers("r", 4000))
	var te *types.Error
	if !errors.As(err, &te) || te.Code != types.CodeQueryCanceled || asked != 4 {
		t.Fatalf("got %v after %d questions", err, asked)
	}
}

// TestOutputStops asks a circuit to stop while it merges.
func TestOutputStops(t *testing.T) {
	asked := 0
	g, err := flow.New(product(2), flow.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	g.Bound(0, func() bool { asked++; return asked > 30 })
	_, _, err = g.Step(1, 0, numbers("l", 1000), numbers("r", 1500))
	var te *types.Error
	if !errors.As(err, &te) || te.Code != types.CodeQueryCanceled {
		t.Fatalf("got %v", err)
	}
	if asked != 31 {
		t.Errorf("asked %d times, that is on after the answer", asked)
	}
}
