package flow_test

import (
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/types"
)

// matchShape is a pattern over rows of partition, time and value.
type matchShape struct {
	name string
	op   func() *flow.Match
}

func patVar(i int) *pattern.Node { return &pattern.Node{Op: pattern.Var, Var: i} }

func patSeq(kids ...*pattern.Node) *pattern.Node {
	return &pattern.Node{Op: pattern.Concat, Kids: kids}
}

func patRep(n *pattern.Node, lo, hi int) *pattern.Node {
	return &pattern.Node{Op: pattern.Repeat, Kids: []*pattern.Node{n}, Min: lo, Max: hi}
}

// matchShapes are patterns as people write them: three ones with a start, falls and
// rises; a far condition; an aggregate of the match so far.
func matchShapes() []matchShape {
	slot := func(k flow.MatchRowKind, vars uint64, shift int) flow.MatchSlot {
		return flow.MatchSlot{T: int8T, Col: 2, Row: flow.MatchRow{Kind: k, Vars: vars, Shift: shift}}
	}
	c := func(i int) expr.Expr { return col(i, int8T) }
	num := func(n int64) expr.Expr { return expr.Const{V: types.IntValue(types.Int8, n)} }
	return []matchShape{
		{"three in a row", func() *flow.Match {
			return &flow.Match{Pattern: patSeq(patVar(0), patVar(1), patVar(2)), Slots: []flow.MatchSlot{slot(0, 0, 0), slot(flow.RowFirst, 7, 0)},
				Define: []expr.Expr{call("<", c(0), num(20)), call("<", c(0), num(50)), call(">=", c(0), num(50))}, Measures: []expr.Expr{c(1), c(0)}}
		}},
		{"v shape", func() *flow.Match {
			return &flow.Match{Pattern: patSeq(patVar(0), patRep(patVar(1), 1, -1), patRep(patVar(2), 1, -1)),
				Slots:  []flow.MatchSlot{slot(0, 0, 0), slot(0, 0, -1), slot(flow.RowFirst, 1, 0), slot(flow.RowLast, 2, 0)},
				Define: []expr.Expr{nil, call("<", c(0), c(1)), call(">", c(0), c(1))}, Measures: []expr.Expr{c(2), c(3), c(0)}}
		}},
		{"far condition", func() *flow.Match {
			return &flow.Match{Pattern: patSeq(patVar(0), patRep(patVar(1), 0, -1), patVar(2)),
				Slots:  []flow.MatchSlot{slot(0, 0, 0), slot(flow.RowLast, 1, 0)},
				Define: []expr.Expr{nil, call(">", c(0), c(1)), call("<=", c(0), c(1))}, Measures: []expr.Expr{c(1), c(0)}}
		}},
		{"sum so far", func() *flow.Match {
			fn, _, ret, err := expr.ResolveAgg("sum", []types.Type{types.T(types.Int4)})
			if err != nil {
				panic(err)
			}
			sum := &flow.MatchAgg{Vars: 1, Args: []expr.Expr{&expr.Cast{Arg: c(2), T: types.T(types.Int4)}},
				Call: flow.AggCall{Fn: fn, Args: []int{0}, Filter: -1, Ret: ret}}
			return &flow.Match{Pattern: patSeq(patRep(patVar(0), 1, -1), patVar(1)),
				Slots:  []flow.MatchSlot{slot(0, 0, 0), {Give: flow.GiveTotal, Agg: sum, T: ret}},
				Define: []expr.Expr{call("<", col(1, ret), num(300)), nil, nil}, Measures: []expr.Expr{col(1, ret), c(0)}}
		}},
	}
}

// matchRows makes blocks of rows in order of time, spread over keys partitions.
func matchRows(blocks, keys int, from int64) []*batch.Batch {
	var out []*batch.Batch
	seed := uint64(from)*2654435761 + 1
	for range blocks {
		bu := batch.NewBuilder(matchIn)
		for range batch.BlockRows {
			seed = seed*6364136223846793005 + 1442695040888963407
			bu.Col(0).AppendInt(bu.Len(), int64(seed>>33)%int64(keys))
			bu.Col(1).AppendInt(bu.Len(), from)
			bu.Col(2).AppendInt(bu.Len(), int64(seed>>40)%100)
			bu.EndRow(1)
			from++
		}
		out = append(out, bu.Seal())
	}
	return out
}

func matchGroup(tb testing.TB, s matchShape, final bool, within int64) *flow.Group {
	op := s.op()
	op.Partition, op.Order, op.Vars, op.Pass = []int{0}, []flow.SortKey{{Col: 1}}, []string{"a", "b", "c"}, []int{0}
	op.Empty, op.Final, op.Within = true, final, within
	out := []types.Type{int8T}
	for _, m := range op.Measures {
		out = append(out, m.Type())
	}
	spec := unary(matchIn, op, out)
	spec.Nodes[0].Op = &flow.Input{Rel: "l", AppendOnly: final}
	g, err := flow.New(spec, flow.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

func BenchmarkMatch(b *testing.B) {
	const blocks = 16
	for _, s := range matchShapes() {
		for _, keys := range []int{1, 1000, 100000} {
			b.Run(fmt.Sprintf("%s/final/%d keys", s.name, keys), func(b *testing.B) {
				g := matchGroup(b, s, true, 0)
				rows, out := int64(0), 0
				for b.Loop() {
					b.StopTimer()
					feed := flow.Feed{Rel: "l", Blocks: matchRows(blocks, keys, rows), Marks: []int64{flow.NoMark, rows - 1000, flow.NoMark}}
					rows += blocks * batch.BlockRows
					b.StartTimer()
					res, _, err := g.Step(rows, 0, feed)
					if err != nil {
						b.Fatal(err)
					}
					out += res[0].Batch.Len()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
				b.ReportMetric(float64(out)/float64(rows), "matches/row")
				b.ReportMetric(float64(flow.StateBytesOf(g)), "state-B")
			})
		}
		b.Run(s.name+"/retracting/1000 keys", func(b *testing.B) {
			g := matchGroup(b, s, false, 0)
			rows := int64(0)
			for b.Loop() {
				b.StopTimer()
				if rows >= 1<<21 {
					g, rows = matchGroup(b, s, false, 0), 0
				}
				feed := flow.Feed{Rel: "l", Blocks: matchRows(blocks, 1000, rows)}
				rows += blocks * batch.BlockRows
				b.StartTimer()
				if _, _, err := g.Step(rows, 0, feed); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(int64(b.N)*blocks*batch.BlockRows), "ns/row")
		})
	}
}
