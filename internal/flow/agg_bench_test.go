package flow

import (
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

func aggCall(op expr.AggOp, ret types.Kind, args ...int) AggCall {
	return AggCall{Fn: &expr.AggFunc{Name: "f", Op: op}, Args: args, Filter: -1, Ret: types.T(ret)}
}

// bidBlocks makes blocks of (bigint key, bigint value, double value).
func bidBlocks(n, keys int) []*batch.Batch {
	r := rand.New(rand.NewPCG(1, 2))
	bs := make([]*batch.Batch, n)
	for i := range bs {
		b := &batch.Batch{N: batch.BlockRows, Cols: []batch.Column{
			{Type: types.T(types.Int8)}, {Type: types.T(types.Int8)}, {Type: types.T(types.Float8)},
		}}
		for range b.N {
			b.Cols[0].I64 = append(b.Cols[0].I64, r.Int64N(int64(keys)))
			b.Cols[1].I64 = append(b.Cols[1].I64, r.Int64N(1000))
			b.Cols[2].F64 = append(b.Cols[2].F64, r.Float64()*1000)
		}
		bs[i] = b
	}
	return bs
}

var bidTypes = []types.Type{types.T(types.Int8), types.T(types.Int8), types.T(types.Float8)}

// stepBlocks is how many blocks a step of the benchmarks has.
const stepBlocks = 128

// nowhere takes what an operator emits.
type nowhere struct{ rows int }

func (n *nowhere) Emit(b *batch.Batch) { n.rows += b.Len() }

func benchAggregate(b *testing.B, keys int, only bool, calls ...AggCall) {
	blocks := bidBlocks(256, keys)
	out := []types.Type{types.T(types.Int8)}
	for _, c := range calls {
		out = append(out, c.Ret)
	}
	a, err := newAggregate(Env{In: [][]types.Type{bidTypes}, Out: out, AppendOnly: []bool{only}}, &Aggregate{Keys: []int{0}, Calls: calls})
	if err != nil {
		b.Fatal(err)
	}
	var st Step
	sink := &nowhere{}
	run := func() {
		st.N++
		at := int(st.N) * stepBlocks % len(blocks)
		for _, bl := range blocks[at : at+stepBlocks] {
			a.Push(&st, 0, bl, sink)
		}
		a.Flush(&st, sink)
	}
	run()
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(b.N)*stepBlocks*batch.BlockRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkAggregateCountSum(b *testing.B) {
	benchAggregate(b, 100000, false, aggCall(expr.AggCountStar, types.Int8), aggCall(expr.AggSum, types.Int8, 1))
}

func BenchmarkAggregateSumFloat(b *testing.B) {
	benchAggregate(b, 100000, false, aggCall(expr.AggSum, types.Float8, 2))
}

func BenchmarkAggregateMax(b *testing.B) {
	benchAggregate(b, 100000, false, aggCall(expr.AggMax, types.Int8, 1))
}

func BenchmarkAggregateCountDistinct(b *testing.B) {
	c := aggCall(expr.AggCount, types.Int8, 1)
	c.Distinct = true
	benchAggregate(b, 1000, false, c)
}

func BenchmarkAggregateMaxAppendOnly(b *testing.B) {
	benchAggregate(b, 100000, true, aggCall(expr.AggMax, types.Int8, 1))
}

// Every step withdraws the rows of the step before.
func BenchmarkAggregateMaxRetracting(b *testing.B) {
	blocks := bidBlocks(2*stepBlocks, 100000)
	gone := make([]*batch.Batch, len(blocks))
	for i, bl := range blocks {
		x := *bl
		for range x.N {
			x.Weights = append(x.Weights, -1)
		}
		gone[i] = &x
	}
	out := []types.Type{types.T(types.Int8), types.T(types.Int8)}
	a, err := newAggregate(Env{In: [][]types.Type{bidTypes}, Out: out},
		&Aggregate{Keys: []int{0}, Calls: []AggCall{aggCall(expr.AggMax, types.Int8, 1)}})
	if err != nil {
		b.Fatal(err)
	}
	var st Step
	sink := &nowhere{}
	b.ReportAllocs()
	for b.Loop() {
		at := int(st.N) % 2 * stepBlocks
		for i := range stepBlocks {
			a.Push(&st, 0, blocks[at+i], sink)
			if st.N > 0 {
				a.Push(&st, 0, gone[stepBlocks-at+i], sink)
			}
		}
		a.Flush(&st, sink)
		st.N++
	}
	b.ReportMetric(float64(b.N)*2*stepBlocks*batch.BlockRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
