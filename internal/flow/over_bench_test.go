package flow_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// One op is a step of 4 blocks of 4096 rows over 1000 keys, behind all rows that are
// there. What lies more than 100 blocks back is freed.
func BenchmarkOver(b *testing.B) {
	rows := flow.Frame{Mode: flow.FrameRows, Start: flow.FrameEdge{Kind: flow.Preceding, N: 10}, End: flow.FrameEdge{Kind: flow.AtCurrent}}
	running := flow.Frame{End: flow.FrameEdge{Kind: flow.AtCurrent}}
	agg := func(name string, f flow.Frame) flow.OverCall {
		fn, _, ret, err := expr.ResolveAgg(name, []types.Type{int8T})
		if err != nil {
			b.Fatal(err)
		}
		return flow.OverCall{Agg: fn, Args: []int{1}, Ret: ret, NCol: -1, Default: -1, Filter: -1, Frame: f}
	}
	for _, c := range []struct {
		name string
		call flow.OverCall
	}{
		{"lag", flow.OverCall{Fn: flow.OverLag, Args: []int{1}, N: 1, Ret: int8T, NCol: -1, Default: -1, Filter: -1}},
		{"row_number", flow.OverCall{Fn: flow.OverRowNumber, Ret: int8T, NCol: -1, Default: -1, Filter: -1}},
		{"avg-of-11-rows", agg("avg", rows)},
		{"running-sum", agg("sum", running)},
	} {
		b.Run(c.name, func(b *testing.B) {
			two := repeat(int8T, 2)
			g := mustGroup(b, inputSpec(&flow.Over{Partition: []int{0}, Order: []flow.SortKey{{Col: 1}}, Calls: []flow.OverCall{c.call}},
				two, append(two[:2:2], c.call.Ret), true))
			blocks := intBlocks(4, 1000, 0)
			step := int64(0)
			start := cpuNanos()
			for b.Loop() {
				step++
				for _, x := range blocks {
					for i := range x.Cols[1].I64 {
						x.Cols[1].I64[i] += 4 * batch.BlockRows
					}
				}
				if _, _, err := g.Step(step, 0, flow.Feed{Rel: "r0", Blocks: blocks, Marks: []int64{flow.NoMark, (step - 25) * 4 * batch.BlockRows}}); err != nil {
					b.Fatal(err)
				}
			}
			reportRows(b, 4*batch.BlockRows)
			b.ReportMetric(float64(cpuNanos()-start)/float64(b.N*4*batch.BlockRows), "cpu-ns/row")
		})
	}
}
