package plan

import (
	"math"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// rankKinds are the functions whose conditions become a choice of the first rows.
var rankKinds = map[flow.OverFn]flow.RankKind{
	flow.OverRowNumber: flow.RankRows, flow.OverRank: flow.RankGaps, flow.OverDenseRank: flow.RankDense,
}

// topN makes the conditions among preds that bound a rank from above, such as
// r <= 10 or 1 = r, an operator that keeps the first rows only. It returns nil if
// there is none, and the conditions that are left.
func (n *over) topN(preds []expr.Expr) (node, []expr.Expr) {
	for i := range n.calls {
		c := &n.calls[i]
		kind, ok := rankKinds[c.Fn]
		if !ok {
			continue
		}
		lo, hi := int64(1), int64(math.MaxInt64)
		var rest []expr.Expr
		for _, p := range preds {
			l, h, ok := rankBounds(p, c.col)
			if !ok {
				rest = append(rest, p)
				continue
			}
			lo, hi = max(lo, l), min(hi, h)
		}
		if hi == math.MaxInt64 {
			continue
		}
		t := &topN{in: n.in, partition: n.partition, order: n.order, offset: lo - 1, limit: max(hi-lo+1, 0), rank: kind, number: c.col + 1}
		if len(n.calls) > 1 {
			o := *n
			o.calls = append(append([]overCall(nil), n.calls[:i]...), n.calls[i+1:]...)
			t.in = &o
		}
		return t, rest
	}
	return nil, nil
}

// rankBounds reads p as lo <= column <= hi.
func rankBounds(p expr.Expr, col int) (lo, hi int64, ok bool) {
	c, isCall := p.(*expr.Call)
	if !isCall || len(c.Args) != 2 {
		return 0, 0, false
	}
	op, x, y := c.Fn.Name, unwiden(c.Args[0]), c.Args[1]
	if _, first := c.Args[0].(expr.Const); first {
		x, y = unwiden(c.Args[1]), c.Args[0]
		op = map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
	}
	r, isCol := x.(expr.Col)
	k, isConst := y.(expr.Const)
	if !isCol || !isConst || r.Index != col || k.V.Null || !types.IsInteger(k.V.T.Kind) {
		return 0, 0, false
	}
	v := k.V.I
	if v == math.MaxInt64 || v == math.MinInt64 {
		return 0, 0, false
	}
	switch op {
	case "=":
		return v, v, true
	case "<":
		return 1, v - 1, true
	case "<=":
		return 1, v, true
	case ">":
		return v + 1, math.MaxInt64, true
	case ">=":
		return v, math.MaxInt64, true
	}
	return 0, 0, false
}
