package flow

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// A step over groups that exist allocates a fixed number of times, whatever rows it has.
func TestAggregateDoesNotAllocateByRow(t *testing.T) {
	distinct := aggCall(expr.AggCount, types.Int8, 1)
	distinct.Distinct = true
	calls := []AggCall{
		aggCall(expr.AggCountStar, types.Int8), aggCall(expr.AggSum, types.Int8, 1), aggCall(expr.AggSum, types.Float8, 2),
		aggCall(expr.AggMax, types.Int8, 1), distinct,
	}
	out := []types.Type{types.T(types.Int8)}
	for _, c := range calls {
		out = append(out, c.Ret)
	}
	a, err := newAggregate(Env{In: [][]types.Type{bidTypes}, Out: out}, &Aggregate{Keys: []int{0}, Calls: calls})
	if err != nil {
		t.Fatal(err)
	}
	come := bidBlocks(1, 50)[0]
	leave := *come
	for range leave.N {
		leave.Weights = append(leave.Weights, -1)
	}
	var st Step
	sink := &nowhere{}
	step := func(bs ...*batch.Batch) {
		st.N++
		for _, b := range bs {
			a.Push(&st, 0, b, sink)
		}
		a.Flush(&st, sink)
	}
	step(come)
	step(come)
	if n := testing.AllocsPerRun(10, func() { step(&leave); step(come) }); n > 20 {
		t.Errorf("%v allocations for 2 steps of %d rows", n, batch.BlockRows)
	}
}
