package flow_test

import (
	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// over draws window functions over in; limits of ranges are columns that a projection
// adds.
func (c *circuits) over(in int, ts []types.Type) int {
	op := &flow.Over{Partition: c.columns(ts, 1), Order: c.order(ts)}
	out := append([]types.Type{}, ts...)
	add := func(k types.Kind, delta int64) int {
		col := op.Order[0].Col
		p := &flow.Project{}
		for i, t := range out {
			p.Exprs = append(p.Exprs, expr.Col{Index: i, T: t})
		}
		fn := "+"
		if op.Order[0].Desc {
			fn = "-"
		}
		e := call(fn, expr.Col{Index: col, T: out[col]}, expr.Const{V: types.IntValue(k, delta)})
		p.Exprs = append(p.Exprs, e)
		out = append(out, e.Type())
		in = c.add(p, out, in)
		return len(out) - 1
	}
	ranged := len(op.Order) == 1 && ts[op.Order[0].Col].Kind == types.Int8
	var calls []flow.OverCall
	for range rapid.IntRange(1, 3).Draw(c.t, "calls") {
		calls = append(calls, c.overCall(ts, op, ranged, add))
	}
	op.Calls = calls
	for i := range calls {
		out = append(out, calls[i].Ret)
	}
	return c.add(op, out, in)
}

func (c *circuits) overCall(ts []types.Type, op *flow.Over, ranged bool, add func(types.Kind, int64) int) flow.OverCall {
	call := flow.OverCall{NCol: -1, Default: -1, Filter: -1, Fn: flow.OverFn(rapid.IntRange(0, int(flow.OverNth)).Draw(c.t, "function"))}
	arg := c.column(ts)
	switch call.Fn {
	case flow.OverAgg:
		c.overAggregate(ts, &call, arg)
	case flow.OverRowNumber, flow.OverRank, flow.OverDenseRank:
		call.Ret = types.T(types.Int8)
		return call
	case flow.OverPercentRank, flow.OverCumeDist:
		call.Ret = types.T(types.Float8)
		return call
	case flow.OverNtile:
		call.Ret = types.T(types.Int4)
		call.N = int64(rapid.IntRange(1, 4).Draw(c.t, "buckets"))
		return call
	case flow.OverLag, flow.OverLead:
		call.Args, call.Ret = []int{arg}, ts[arg]
		call.N = int64(rapid.IntRange(-2, 3).Draw(c.t, "distance"))
		if n := c.column(ts); ts[n].Kind == types.Int8 {
			call.NCol = n
		}
		if d := c.column(ts); ts[d] == ts[arg] {
			call.Default = d
		}
		return call
	default:
		call.Args, call.Ret = []int{arg}, ts[arg]
		call.N = int64(rapid.IntRange(1, 3).Draw(c.t, "which"))
	}
	call.Frame = c.frame(op, ranged, add)
	return call
}

func (c *circuits) overAggregate(ts []types.Type, call *flow.OverCall, arg int) {
	call.Args = []int{arg}
	names := []string{"count"}
	switch ts[arg].Kind {
	case types.Int4, types.Int8, types.Float8, types.Numeric:
		names = append(names, "sum", "avg", "min", "max", "any_value")
	case types.Bool:
		names = append(names, "bool_and", "bool_or")
	case types.Text:
		names = append(names, "min", "max", "string_agg")
	case types.Timestamp:
		names = append(names, "min", "max")
	}
	name := rapid.SampledFrom(names).Draw(c.t, "aggregate")
	argTypes := []types.Type{ts[arg]}
	if name == "string_agg" {
		call.Args, argTypes = []int{arg, arg}, []types.Type{ts[arg], ts[arg]}
	}
	fn, _, ret, err := expr.ResolveAgg(name, argTypes)
	if err != nil {
		panic(err)
	}
	call.Agg, call.Ret = fn, ret
	if f := c.column(ts); ts[f].Kind == types.Bool {
		call.Filter = f
	}
}

func (c *circuits) frame(op *flow.Over, ranged bool, add func(types.Kind, int64) int) flow.Frame {
	f := flow.Frame{Exclude: flow.FrameExclude(rapid.IntRange(0, 3).Draw(c.t, "exclude"))}
	modes := []flow.FrameMode{flow.FrameRange, flow.FrameRows}
	if len(op.Order) > 0 {
		modes = append(modes, flow.FrameGroups)
	}
	f.Mode = rapid.SampledFrom(modes).Draw(c.t, "mode")
	f.Start.Kind = flow.EdgeKind(rapid.IntRange(0, int(flow.Following)).Draw(c.t, "start"))
	least := max(f.Start.Kind, flow.Preceding)
	f.End.Kind = flow.EdgeKind(rapid.IntRange(int(least), int(flow.ToEnd)).Draw(c.t, "end"))
	for _, e := range []*flow.FrameEdge{&f.Start, &f.End} {
		if e.Kind != flow.Preceding && e.Kind != flow.Following {
			continue
		}
		e.N = int64(rapid.IntRange(0, 3).Draw(c.t, "offset"))
		if f.Mode != flow.FrameRange {
			continue
		}
		if !ranged {
			e.Kind = flow.AtCurrent
			continue
		}
		delta := e.N
		if e.Kind == flow.Preceding {
			delta = -delta
		}
		f.Key, e.Limit = op.Order[0].Col, add(types.Int8, delta)
	}
	return f
}
