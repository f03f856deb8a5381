package oracle

import (
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// buckets lists the buckets that hold some value from value + Lo to value + Hi.
func buckets(t Table, op *flow.Buckets) Table {
	var out Table
	for _, r := range t {
		v := r.V[op.Col]
		if v.Null {
			out = append(out, Row{append(slices.Clone(r.V), types.NullOf(types.T(types.Int8))), r.W})
			continue
		}
		first, last := op.Range(v.I)
		for k := first; k <= last; k++ {
			out = append(out, Row{append(slices.Clone(r.V), types.IntValue(types.Int8, k)), r.W})
		}
	}
	return out
}

// asOf looks for the closest match of each left row among all right rows.
func (o *eval) asOf(l, r Table, op *flow.AsOf) Table {
	var out Table
	for _, a := range l {
		var best *Row
		for k := range r {
			b := &r[k]
			if b.W > 0 && asOfMatch(a, *b, op) && (best == nil || asOfCloser(*b, *best, op)) {
				best = b
			}
		}
		switch {
		case best != nil:
			out = append(out, Row{slices.Concat(a.V, best.V), a.W})
		case op.Outer:
			out = append(out, Row{slices.Concat(a.V, nulls(o.in[1])), a.W})
		}
	}
	return out
}

func asOfMatch(a, b Row, op *flow.AsOf) bool {
	for i, k := range op.LeftKeys {
		x, y := a.V[k], b.V[op.RightKeys[i]]
		if x.Null || y.Null || Compare(x, y, batch.Key{}) != 0 {
			return false
		}
	}
	x, y := a.V[op.LeftTime], b.V[op.RightTime]
	if x.Null || y.Null {
		return false
	}
	switch op.Cmp {
	case flow.AsOfGE:
		return x.I >= y.I
	case flow.AsOfGT:
		return x.I > y.I
	case flow.AsOfLE:
		return x.I <= y.I
	}
	return x.I < y.I
}

// asOfCloser reports whether b is a better match than c, both of which match.
func asOfCloser(b, c Row, op *flow.AsOf) bool {
	if x, y := b.V[op.RightTime].I, c.V[op.RightTime].I; x != y {
		return (x > y) == (op.Cmp == flow.AsOfGE || op.Cmp == flow.AsOfGT)
	}
	return CompareRows(b.V, c.V) < 0
}

// lookup joins everything in one step. That is what a circuit gives only if it got
// all of its input in one step as well.
func (o *eval) lookup(l, r Table, op *flow.Lookup) Table {
	kind := flow.JoinInner
	if op.Outer {
		kind = flow.JoinLeft
	}
	return o.join(l, r, &flow.Join{Kind: kind, LeftKeys: op.LeftKeys, RightKeys: op.RightKeys, On: op.On})
}

// timeFilter keeps the rows whose bounds the time lies within.
func (o *eval) timeFilter(t Table, op *flow.TimeFilter) Table {
	var out Table
next:
	for _, r := range t {
		for _, c := range op.From {
			if v := r.V[c]; v.Null || o.ctx.Now < v.I {
				continue next
			}
		}
		for _, c := range op.Until {
			if v := r.V[c]; v.Null || o.ctx.Now >= v.I {
				continue next
			}
		}
		out = append(out, r)
	}
	return out
}
