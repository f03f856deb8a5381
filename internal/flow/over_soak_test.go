package flow_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// TestStateIsFlatUnderMarks feeds rows of (key, time, hour, number), rising in time
// with some disorder, and expects that the state does not grow once it is full.
func TestStateIsFlatUnderMarks(t *testing.T) {
	in := []types.Type{int8T, int8T, int8T, int8T}
	frame := flow.OverCall{Fn: flow.OverAgg, Args: []int{3}, NCol: -1, Default: -1, Filter: -1}
	frame.Agg, _, frame.Ret, _ = expr.ResolveAgg("max", []types.Type{int8T})
	frame.Frame = flow.Frame{Start: flow.FrameEdge{Kind: flow.Preceding, Limit: 4}, End: flow.FrameEdge{Kind: flow.AtCurrent}, Key: 1}
	running := frame
	running.Agg, _, running.Ret, _ = expr.ResolveAgg("sum", []types.Type{int8T})
	running.Frame = flow.Frame{End: flow.FrameEdge{Kind: flow.AtCurrent}}
	limited := append(in[:4:4], int8T)
	limit := flow.Node{Op: &flow.Project{Exprs: []expr.Expr{col(0, int8T), col(1, int8T), col(2, int8T), col(3, int8T),
		call("-", col(1, int8T), expr.Const{V: types.IntValue(types.Int8, 500)})}}, In: []int{0}, Out: limited}
	lag := flow.OverCall{Fn: flow.OverLag, Args: []int{3}, N: 2, Ret: int8T, NCol: -1, Default: -1, Filter: -1}
	byTime := []flow.SortKey{{Col: 1}}
	byKey := []int{0}
	for _, c := range []struct {
		name string
		op   flow.Op
		out  []types.Type
	}{
		{"range", &flow.Over{Partition: byKey, Order: byTime, Calls: []flow.OverCall{frame}}, append(limited[:5:5], frame.Ret)},
		{"running sum", &flow.Over{Partition: byKey, Order: byTime, Calls: []flow.OverCall{running}}, append(limited[:5:5], running.Ret)},
		{"lag", &flow.Over{Order: byTime, Calls: []flow.OverCall{lag}}, append(limited[:5:5], int8T)},
		{"rank in an hour", &flow.Over{Partition: []int{2}, Order: []flow.SortKey{{Col: 3, Desc: true}}, Calls: []flow.OverCall{
			{Fn: flow.OverRank, Ret: int8T, NCol: -1, Default: -1, Filter: -1}}}, append(limited[:5:5], int8T)},
		{"top of an hour", &flow.TopN{Partition: []int{2}, Order: []flow.SortKey{{Col: 3, Desc: true}}, Limit: 10}, limited},
		{"top ranks of an hour", &flow.TopN{Partition: []int{2}, Order: []flow.SortKey{{Col: 3, Desc: true}}, Limit: 10, Rank: flow.RankGaps}, limited},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := &flow.Spec{Nodes: []flow.Node{{Op: &flow.Input{Rel: "r0", AppendOnly: true}, Out: in}, limit,
				{Op: c.op, In: []int{1}, Out: c.out}, {Op: &flow.Output{Name: "out"}, In: []int{2}, Out: c.out}}}
			r := newRunner(t, spec, 1)
			g, again := r.group, newRunner(t, spec, 2).group
			most := int64(0)
			const steps, a = 400, 100
			const shards = 1 << 20 // what the shards of a table may still take at their first use; never freeing takes 8 times that
			for step := range int64(steps) {
				bu := batch.NewBuilder(in)
				for k := range int64(200) {
					x := mixed(uint64(step*200 + k))
					at := step*a + int64(x%(2*a))
					for c, v := range []int64{int64(x >> 10 % 20), at, at / 1000 * 1000, int64(x >> 20 % 1000)} {
						bu.Col(c).AppendInt(bu.Len(), v)
					}
					bu.EndRow(1)
				}
				mark := (step + 1) * a
				feed := flow.Feed{Rel: "r0", Blocks: []*batch.Batch{bu.Seal()},
					Marks: []int64{flow.NoMark, mark, mark / 1000 * 1000, flow.NoMark}}
				res, _, err := g.Step(step+1, 0, feed)
				if err != nil {
					t.Fatal(err)
				}
				if step < steps/4 {
					same, _, err := again.Step(step+1, 0, feed)
					if err != nil {
						t.Fatal(err)
					}
					if res[0].Digest != same[0].Digest {
						t.Fatalf("step %d: digest %v, of one that was restarted %v", step+1, res[0].Digest, same[0].Digest)
					}
				}
				if held := g.StateBytes(); step < steps/4 {
					most = max(most, held)
				} else if held > most*5/4+shards {
					t.Fatalf("step %d: %d bytes are held, the most of the first %d steps was %d", step, held, steps/4, most)
				}
			}
		})
	}
}
