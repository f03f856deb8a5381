package flow_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

const (
	benchSecond = 1_000_000
	benchKeys   = 1000
	benchStep   = 65536 // rows of each side
)

// benchRows makes rows (k, t, v) of 10 us each, out of order by up to a second.
func benchRows(rng *rand.Rand, from int64, n int) []*batch.Batch {
	ts := []types.Type{bigint, timestamp, bigint}
	var out []*batch.Batch
	for n > 0 {
		m := min(n, batch.BlockRows)
		b := &batch.Batch{N: m}
		for _, t := range ts {
			b.Cols = append(b.Cols, batch.Column{Type: t, I64: make([]int64, m)})
		}
		for i := range m {
			b.Cols[0].I64[i] = rng.Int64N(benchKeys)
			b.Cols[1].I64[i] = from*10 + rng.Int64N(benchSecond)
			b.Cols[2].I64[i] = from
			from++
		}
		out = append(out, b)
		n -= m
	}
	return out
}

func benchTwo(b *testing.B, op flow.Op, width int) {
	row := []types.Type{bigint, timestamp, bigint}
	out := append(append([]types.Type{}, row...), row...)[:width]
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l", AppendOnly: true}, Out: row},
		{Op: &flow.Input{Rel: "r", AppendOnly: true}, Out: row},
		{Op: op, In: []int{0, 1}, Out: out},
		{Op: &flow.Aggregate{Scalar: true, Calls: []flow.AggCall{countStar()}}, In: []int{2}, Out: []types.Type{bigint}},
		{Op: &flow.Output{Name: "out"}, In: []int{3}, Out: []types.Type{bigint}},
	}}
	if width == 3 {
		spec.Nodes[2].In = []int{0}
	}
	runBench(b, spec)
}

func countStar() flow.AggCall {
	fn, _, ret, err := expr.ResolveAgg("count", nil)
	if err != nil {
		panic(err)
	}
	return flow.AggCall{Fn: fn, Filter: -1, Ret: ret}
}

func runBench(b *testing.B, spec *flow.Spec) {
	g, err := flow.New(spec, flow.Options{})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	rows, at := 0, int64(0)
	b.ReportAllocs()
	for step := int64(1); rows < b.N; step++ {
		b.StopTimer()
		l, r := benchRows(rng, at, benchStep), benchRows(rng, at, benchStep)
		marks := []int64{flow.NoMark, at * 10, flow.NoMark}
		at += benchStep
		b.StartTimer()
		if _, _, err := g.Step(step, at*10, flow.Feed{Rel: "l", Blocks: l, Marks: marks}, flow.Feed{Rel: "r", Blocks: r, Marks: marks}); err != nil {
			b.Fatal(err)
		}
		rows += 2 * benchStep
	}
	b.ReportMetric(float64(g.StateBytes())/(1<<20), "state-MB")
}

// An iteration is one row of either side.
func BenchmarkAsOfBack(b *testing.B) {
	benchTwo(b, &flow.AsOf{LeftKeys: []int{0}, RightKeys: []int{0}, LeftTime: 1, RightTime: 1}, 6)
}

func BenchmarkAsOfAhead(b *testing.B) {
	benchTwo(b, &flow.AsOf{LeftKeys: []int{0}, RightKeys: []int{0}, LeftTime: 1, RightTime: 1, Cmp: flow.AsOfLE}, 6)
}

func BenchmarkLookup(b *testing.B) {
	benchTwo(b, &flow.Lookup{LeftKeys: []int{2}, RightKeys: []int{2}}, 6)
}

// Half of the rows of the next two are not read.
func BenchmarkTimeFilter(b *testing.B) { benchTwo(b, &flow.TimeFilter{Until: []int{1}}, 3) }

func BenchmarkExpire(b *testing.B) {
	benchTwo(b, &flow.Expire{TTL: benchSecond, AppendOnly: true}, 3)
}

func BenchmarkExpireKeyed(b *testing.B) {
	benchTwo(b, &flow.Expire{TTL: benchSecond}, 3)
}
