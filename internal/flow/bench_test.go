package flow_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// mixed is a fixed permutation-like function for benchmark keys.
func mixed(i uint64) uint64 { return types.HashInt(int64(i)) }

// intBlocks returns blocks of rows (key, number), the keys spread over n.
func intBlocks(blocks int, n uint64, seed uint64) []*batch.Batch {
	out := make([]*batch.Batch, blocks)
	for b := range out {
		bu := batch.NewBuilder(repeat(int8T, 2))
		for i := range uint64(batch.BlockRows) {
			x := seed + uint64(b)*batch.BlockRows + i
			bu.Col(0).AppendInt(int(i), int64(mixed(x)%n))
			bu.Col(1).AppendInt(int(i), int64(x))
			bu.EndRow(1)
		}
		out[b] = bu.Seal()
	}
	return out
}

func mustGroup(b *testing.B, spec *flow.Spec) *flow.Group {
	b.Helper()
	g, err := flow.New(spec, flow.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return g
}

func reportRows(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	b.ReportAllocs()
}

// One op is a block of 4096 rows, a third of which passes.
func BenchmarkFilterProject(b *testing.B) {
	two := repeat(int8T, 2)
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: two},
		{Op: &flow.Filter{Pred: call("<", col(0, int8T), expr.Const{V: types.IntValue(types.Int8, 300)})}, In: []int{0}, Out: two},
		{Op: &flow.Project{Exprs: []expr.Expr{col(1, int8T), call("+", col(0, int8T), col(1, int8T))}}, In: []int{1}, Out: two},
	}}
	g := mustGroup(b, spec)
	blocks := intBlocks(16, 1000, 0)
	g.BeginStep(1, 0)
	for b.Loop() {
		for _, x := range blocks {
			if err := g.Push("l", 0, x); err != nil {
				b.Fatal(err)
			}
		}
	}
	reportRows(b, len(blocks)*batch.BlockRows)
}

// One op is 64 blocks into each side of a join of 100k keys, about one match a row.
func BenchmarkJoin(b *testing.B) {
	for name, kind := range map[string]flow.JoinKind{"inner": flow.JoinInner, "left": flow.JoinLeft, "semi": flow.JoinSemi} {
		b.Run(name, func(b *testing.B) {
			const n = 64
			left, right := intBlocks(n, 100_000, 0), intBlocks(n, 100_000, 1<<40)
			columns := 4
			if kind == flow.JoinSemi {
				columns = 2
			}
			spec := binary(keyed(kind), columns)
			spec.Nodes = spec.Nodes[:3]
			for b.Loop() {
				g := mustGroup(b, spec)
				for k := range n {
					g.BeginStep(int64(k+1), 0)
					if err := g.Push("l", 0, left[k]); err != nil {
						b.Fatal(err)
					}
					if err := g.Push("r", 0, right[k]); err != nil {
						b.Fatal(err)
					}
					if err := g.Circuit(0).RunStage(0); err != nil {
						b.Fatal(err)
					}
				}
			}
			reportRows(b, 2*n*batch.BlockRows)
		})
	}
}

// One op is 64 steps of a block, after which the 10 least rows are known.
func BenchmarkTopN(b *testing.B) {
	two := repeat(int8T, 2)
	spec := unary(two, &flow.TopN{Order: []flow.SortKey{{Col: 0}}, Limit: 10}, two)
	blocks := intBlocks(64, 1<<40, 0)
	for b.Loop() {
		g := mustGroup(b, spec)
		for k, x := range blocks {
			if _, _, err := g.Step(int64(k+1), 0, flow.Feed{Rel: "l", Blocks: []*batch.Batch{x}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	reportRows(b, len(blocks)*batch.BlockRows)
}

// windowed is a count by window and key over rows of 1 us each.
func windowed(b *testing.B, slide, size int64) {
	in := []types.Type{int8T, tsT}
	wide := []types.Type{int8T, tsT, tsT, tsT}
	fn, _, ret, err := expr.ResolveAgg("count", nil)
	if err != nil {
		b.Fatal(err)
	}
	out := []types.Type{tsT, int8T, ret}
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l", AppendOnly: true}, Out: in},
		{Op: &flow.Window{Time: 1, Slide: slide, Size: size}, In: []int{0}, Out: wide},
		{Op: &flow.Aggregate{Keys: []int{2, 0}, Calls: []flow.AggCall{{Fn: fn, Filter: -1, Ret: ret}}}, In: []int{1}, Out: out},
	}}
	blocks := intBlocks(64, 1000, 0)
	for _, x := range blocks {
		x.Cols[1].Type = tsT
	}
	for b.Loop() {
		g := mustGroup(b, spec)
		for k, x := range blocks {
			g.BeginStep(int64(k+1), 0)
			if err := g.Push("l", 0, x); err != nil {
				b.Fatal(err)
			}
			if err := g.Circuit(0).RunStage(0); err != nil {
				b.Fatal(err)
			}
		}
	}
	reportRows(b, len(blocks)*batch.BlockRows)
}

func BenchmarkTumbleCount(b *testing.B) { windowed(b, 100_000, 100_000) }

func BenchmarkHopCount(b *testing.B) { windowed(b, 20_000, 100_000) }
