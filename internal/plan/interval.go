package plan

import (
	"math"
	"math/bits"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// An interval join says how far apart two times, or numbers, of its sides may lie:
// a.t BETWEEN b.t - x AND b.t + y. Each of its conditions that is linear in one
// column of either side bounds their difference; what they bound together is
// flow.Join.Between, by which the join forgets rows that nothing can meet any more.
// The conditions themselves stay as they are.

// maxShift bounds the constants in bounds, so that sums of them stay in range.
const maxShift = math.MaxInt64 / 8

// linear is an expression of whole numbers: plus * scale + shift, less minus * scale
// where there is one. Columns are identities, -1 for none.
type linear struct {
	plus, minus int
	scale       int64 // microseconds in a day for dates among timestamps, else 1
	shift       int64
}

// linearOf reads e as a linear expression. Days are 24 hours where the zone is UTC,
// which it is in views, and for times without a zone.
func (b *binder) linearOf(e expr.Expr) (linear, bool) {
	none := linear{plus: -1, minus: -1, scale: 1}
	switch x := e.(type) {
	case expr.Col:
		switch x.T.Kind {
		case types.Int2, types.Int4, types.Int8, types.Date, types.Timestamp, types.TimestampTZ:
			return linear{plus: x.Index, minus: -1, scale: 1}, true
		}
	case expr.Const:
		v, ok := whole(x.V)
		none.shift = v
		return none, ok && v <= maxShift && v >= -maxShift
	case *expr.Cast:
		return b.linearCast(x)
	case *expr.Call:
		if len(x.Args) != 2 || x.Fn.Name != "+" && x.Fn.Name != "-" {
			break
		}
		if x.T.Kind == types.TimestampTZ && !b.inView && (hasDays(x.Args[0]) || hasDays(x.Args[1])) {
			break // days of a zone that changes its clock are not all alike
		}
		l, ok := b.linearOf(x.Args[0])
		r, rok := b.linearOf(x.Args[1])
		if !ok || !rok {
			break
		}
		if x.T.Kind == types.Timestamp || x.T.Kind == types.TimestampTZ || x.T.Kind == types.Interval {
			l, r = l.micros(x.Args[0].Type()), r.micros(x.Args[1].Type())
		}
		if x.Fn.Name == "-" {
			return l.add(r.negated())
		}
		return l.add(r)
	}
	return none, false
}

// micros turns days into microseconds.
func (l linear) micros(t types.Type) linear {
	if t.Kind == types.Date {
		l.scale, l.shift = l.scale*microsPerDay, satMul(l.shift, microsPerDay)
	}
	return l
}

func satMul(a, f int64) int64 {
	if a > maxShift/f || a < -maxShift/f {
		return maxShift + 1 // which add refuses
	}
	return a * f
}

func (b *binder) linearCast(x *expr.Cast) (linear, bool) {
	from, to := x.Arg.Type(), x.T
	l, ok := b.linearOf(x.Arg)
	if !ok || to.Mod != 0 {
		return l, false
	}
	isInt := func(k types.Kind) bool { return types.IsInteger(k) }
	switch {
	case from.Kind == to.Kind, isInt(from.Kind) && isInt(to.Kind):
		return l, true
	case from.Kind == types.Date && to.Kind == types.Timestamp:
		return l.micros(from), true
	case b.inView && from.Kind == types.Date && to.Kind == types.TimestampTZ:
		return l.micros(from), true
	case b.inView && from.Kind == types.Timestamp && to.Kind == types.TimestampTZ:
		return l, true
	}
	return l, false
}

func hasDays(e expr.Expr) bool {
	c, ok := e.(expr.Const)
	return ok && c.V.T.Kind == types.Interval && c.V.V.Days != 0
}

// whole is a constant in the units of its kind, intervals in microseconds.
func whole(v types.Value) (int64, bool) {
	switch {
	case v.Null:
		return 0, false
	case v.T.Kind == types.Interval:
		if v.V.Months != 0 || v.V.Micros > maxShift || v.V.Micros < -maxShift {
			return 0, false
		}
		return int64(v.V.Days)*microsPerDay + v.V.Micros, int64(v.V.Days) < maxShift/microsPerDay/2 && int64(v.V.Days) > -maxShift/microsPerDay/2
	case types.IsInteger(v.T.Kind), v.T.Kind == types.Date, v.T.Kind == types.Timestamp, v.T.Kind == types.TimestampTZ:
		return v.I, true
	}
	return 0, false
}

func (l linear) negated() linear {
	l.plus, l.minus, l.shift = l.minus, l.plus, -l.shift
	return l
}

// add gives l + r, if that has no more than one column on either side.
func (l linear) add(r linear) (linear, bool) {
	out := linear{plus: l.plus, minus: l.minus, scale: l.scale, shift: l.shift + r.shift}
	if !l.hasCols() {
		out.scale = r.scale
	} else if r.hasCols() && l.scale != r.scale {
		return out, false
	}
	if r.plus >= 0 {
		if out.plus >= 0 {
			return out, false
		}
		out.plus = r.plus
	}
	if r.minus >= 0 {
		if out.minus >= 0 {
			return out, false
		}
		out.minus = r.minus
	}
	return out, out.shift <= maxShift && out.shift >= -maxShift
}

func (l linear) hasCols() bool { return l.plus >= 0 || l.minus >= 0 }

// timesApart finds what the conditions of a join demand of the difference of two
// columns, those of l first; nil if nothing. Equal columns are keys of the join, not
// an interval. Of several pairs it takes times before numbers, since times are what
// has watermarks, and then the one whose range is narrowest.
func (b *binder) timesApart(on []expr.Expr, l, r colSet) *flow.Between {
	var all []*flow.Between
	for _, p := range on {
		c, ok := p.(*expr.Call)
		if !ok || len(c.Args) != 2 || hasVolatile(p) {
			continue
		}
		x, xok := b.linearOf(c.Args[0])
		y, yok := b.linearOf(c.Args[1])
		if !xok || !yok {
			continue
		}
		if k := c.Args[0].Type().Kind; k == types.Interval {
			x, y = x.micros(c.Args[0].Type()), y.micros(c.Args[1].Type())
		}
		d, ok := x.add(y.negated()) // d OP 0
		if !ok || d.plus < 0 || d.minus < 0 {
			continue
		}
		one, ok := rangeOf(c.Fn.Name, d, l, r)
		if ok {
			all = merge(all, one)
		}
	}
	var best *flow.Between
	for _, w := range all {
		if w.Lo > w.Hi || w.Lo == 0 && w.Hi == 0 {
			continue // nothing matches, and nothing is to be gained from that; or a key
		}
		if best == nil || b.isTime(w) && !b.isTime(best) || b.isTime(w) == b.isTime(best) && w.Hi/2-w.Lo/2 < best.Hi/2-best.Lo/2 {
			best = w
		}
	}
	return best
}

// isTime reports whether w is about times.
func (b *binder) isTime(w *flow.Between) bool { return !types.IsInteger(b.cols[w.Left].typ.Kind) }

// rangeOf reads left - right from "d op 0".
func rangeOf(op string, d linear, l, r colSet) (*flow.Between, bool) {
	// d is scale * (plus - minus) + shift.
	lo, hi := int64(-flow.Unbounded), int64(flow.Unbounded)
	c := -d.shift // scale * (plus - minus) op c
	switch op {
	case "=":
		lo, hi = ceilDiv(c, d.scale), floorDiv(c, d.scale)
	case ">=":
		lo = ceilDiv(c, d.scale)
	case ">":
		lo = floorDiv(c, d.scale) + 1
	case "<=":
		hi = floorDiv(c, d.scale)
	case "<":
		hi = ceilDiv(c, d.scale) - 1
	default:
		return nil, false
	}
	switch {
	case l.has(d.plus) && r.has(d.minus):
		return &flow.Between{Left: d.plus, Right: d.minus, Lo: lo, Hi: hi}, true
	case l.has(d.minus) && r.has(d.plus):
		return &flow.Between{Left: d.minus, Right: d.plus, Lo: -hi, Hi: -lo}, true
	}
	return nil, false
}

func floorDiv(a, d int64) int64 {
	q := a / d
	if a%d != 0 && a < 0 {
		q--
	}
	return q
}

func ceilDiv(a, d int64) int64 { return -floorDiv(-a, d) }

func merge(all []*flow.Between, w *flow.Between) []*flow.Between {
	for _, o := range all {
		if o.Left == w.Left && o.Right == w.Right {
			o.Lo, o.Hi = max(o.Lo, w.Lo), min(o.Hi, w.Hi)
			return all
		}
	}
	return append(all, w)
}

// bucketWidth is the width of the buckets for a range of values: a power of two, so
// that a value and the range around it lie in no more than two buckets each.
func bucketWidth(lo, hi int64) int64 {
	return 1 << bits.Len64(uint64(hi-lo))
}

// bucketed reports whether a join without equal keys is better made one on buckets
// of time: the side that each of its rows must appear once of is put into one
// bucket, the other into all that a match of its may lie in.
func bucketed(kind flow.JoinKind, w *flow.Between) bool {
	if w == nil || w.Lo == -flow.Unbounded || w.Hi == flow.Unbounded || w.Hi-w.Lo > maxShift {
		return false
	}
	switch kind {
	case flow.JoinInner, flow.JoinLeft, flow.JoinSemi, flow.JoinAnti:
		return true
	}
	return false // a full join has no such side
}

// bucket appends to r the number of the bucket of column at + lo .. column at + hi.
func (e *emitter) bucket(r rel, at int, lo, hi, width int64) (rel, int) {
	in := e.at(r.node)
	ts := append(in.Out[:len(in.Out):len(in.Out)], types.T(types.Int8))
	ns := append(in.Names[:len(in.Names):len(in.Names)], "bucket")
	op := &flow.Buckets{Col: at, Lo: lo, Hi: hi, Width: width, Times: !types.IsInteger(in.Out[at].Kind)}
	out := rel{node: e.add(op, []int{r.node}, ts, ns), pos: r.pos, width: r.width + 1}
	return out, r.width
}
