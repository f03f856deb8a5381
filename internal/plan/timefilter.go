package plan

import (
	"strconv"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// A temporal filter compares the time, now(), with a time of the row in the WHERE of
// a view that is kept up to date. Solved for now(), it says from when, or until
// when, the row is in: that is flow.TimeFilter. What cannot be solved is refused, since
// a view cannot look at all of its rows again with every passing microsecond.

// nowHint says what is possible.
const nowHint = "A view may compare the time with a time of the row in its WHERE: t > now() - INTERVAL '1 hour', now() < t + INTERVAL '5 min', t BETWEEN now() - INTERVAL '1 day' AND now(), d = CURRENT_DATE. Rows then come and go by time alone."

func hasNow(e expr.Expr) bool {
	found := false
	walkExpr(e, func(x expr.Expr) {
		if _, ok := x.(expr.Now); ok {
			found = true
		}
	})
	return found
}

// nowBounds are the times, as timestamptz, from which and until which a row is in.
type nowBounds struct{ from, until []expr.Expr }

// splitNow takes the temporal filters out of conditions, solved.
func (b *binder) splitNow(preds []expr.Expr) (plain []expr.Expr, w nowBounds) {
	for _, p := range preds {
		switch {
		case !b.inView || !hasNow(p):
			plain = append(plain, p)
		case !b.solveNow(p, &w):
			failHint(b.nowPos, types.CodeFeature, nowHint, "this use of the current time in a view that is kept up to date is not supported")
		}
	}
	return plain, w
}

// flips and negations of comparisons.
var (
	flipped = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
	negated = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
)

// solveNow adds to w what p demands of the time; false if it cannot tell.
func (b *binder) solveNow(p expr.Expr, w *nowBounds) bool {
	not := false
	for n, ok := p.(*expr.Not); ok; n, ok = p.(*expr.Not) {
		p, not = n.Arg, !not
	}
	c, ok := p.(*expr.Call)
	if !ok || len(c.Args) != 2 || flipped[c.Fn.Name] == "" || hasVolatile(c) {
		return false
	}
	op, f, e := c.Fn.Name, c.Args[0], c.Args[1]
	if not {
		if op = negated[op]; op == "" {
			return false
		}
	}
	if !hasNow(f) {
		op, f, e = flipped[op], e, f
	}
	if hasNow(e) {
		return false
	}
	return b.solve(f, op, e, w)
}

// solve takes apart "f op e", where only f has now(), until f is now() itself.
func (b *binder) solve(f expr.Expr, op string, e expr.Expr, w *nowBounds) bool {
	switch x := f.(type) {
	case expr.Now:
		b.boundNow(op, e, w)
		return true
	case *expr.Cast:
		return b.solveCast(x, op, e, w)
	case *expr.Call:
		if len(x.Args) != 2 || x.Fn.Name != "+" && x.Fn.Name != "-" {
			return false
		}
		l, r := x.Args[0], x.Args[1]
		switch {
		case x.Fn.Name == "+" && !hasNow(l):
			l, r = r, l
			fallthrough
		case !hasNow(r):
			if x.T.Kind == types.Interval || !evenShift(r) { // now() - t
				return x.Fn.Name == "-" && x.T.Kind == types.Interval && evenShift(e) && b.solve(l, op, b.plus("+", r, e), w)
			}
			back := "-"
			if x.Fn.Name == "-" {
				back = "+"
			}
			if l.Type().Kind == types.Date && x.T.Kind != types.Date {
				l = &expr.Cast{Arg: l, T: x.T}
			}
			return b.solve(l, op, b.plus(back, e, r), w)
		case x.T.Kind == types.Interval && !hasNow(l): // t - now()
			return evenShift(e) && b.solve(r, flipped[op], b.plus("-", l, e), w)
		}
	}
	return false
}

// evenShift reports whether e is a constant that moves all times by the same amount.
func evenShift(e expr.Expr) bool {
	c, ok := e.(expr.Const)
	if !ok || c.V.Null {
		return false
	}
	return types.IsInteger(c.V.T.Kind) || c.V.T.Kind == types.Interval && c.V.V.Months == 0
}

func (b *binder) plus(op string, l, r expr.Expr) expr.Expr {
	return b.call(op, noPos, []expr.Expr{l, r}, []int{noPos, noPos})
}

func castTo(e expr.Expr, k types.Kind) expr.Expr {
	if e.Type().Kind == k {
		return e
	}
	return &expr.Cast{Arg: e, T: types.T(k)}
}

var (
	oneMicro = expr.Const{V: types.Value{T: types.T(types.Interval), V: types.IntervalVal{Micros: 1}}}
	oneDay   = expr.Const{V: types.IntValue(types.Int4, 1)}
)

// solveCast goes through a conversion of now(). Views have the zone UTC, where a
// timestamp and a timestamptz are the same number.
func (b *binder) solveCast(x *expr.Cast, op string, e expr.Expr, w *nowBounds) bool {
	from, to := x.Arg.Type().Kind, x.T.Kind
	isStamp := func(k types.Kind) bool { return k == types.Timestamp || k == types.TimestampTZ }
	switch {
	case x.T.Mod != 0:
		return false // rounded
	case isStamp(from) && isStamp(to):
		return b.solve(x.Arg, op, castTo(e, from), w)
	case isStamp(from) && to == types.Date:
		return b.solveDate(x.Arg, op, castTo(e, types.Date), w)
	case from == types.Date && isStamp(to):
		// Midnight of a day against any time: the day against the time's own.
		day := castTo(e, types.Date)
		before := castTo(b.plus("-", e, oneMicro), types.Date)
		switch op {
		case "<=":
			return b.solve(x.Arg, "<=", day, w)
		case "<":
			return b.solve(x.Arg, "<=", before, w)
		case ">=":
			return b.solve(x.Arg, ">", before, w)
		case ">":
			return b.solve(x.Arg, ">", day, w)
		}
	}
	return false
}

// solveDate solves "the day of f op e".
func (b *binder) solveDate(f expr.Expr, op string, e expr.Expr, w *nowBounds) bool {
	k := f.Type().Kind
	day, next := castTo(e, k), castTo(b.plus("+", e, oneDay), k)
	switch op {
	case ">=":
		return b.solve(f, ">=", day, w)
	case ">":
		return b.solve(f, ">=", next, w)
	case "<=":
		return b.solve(f, "<", next, w)
	case "<":
		return b.solve(f, "<", day, w)
	}
	return b.solve(f, ">=", day, w) && b.solve(f, "<", next, w)
}

// boundNow notes "now() op e" as bounds that count from e on and end before it.
func (b *binder) boundNow(op string, e expr.Expr, w *nowBounds) {
	e = castTo(e, types.TimestampTZ)
	after := func() expr.Expr { return b.plus("+", e, oneMicro) }
	switch op {
	case ">=":
		w.from = append(w.from, e)
	case ">":
		w.from = append(w.from, after())
	case "<":
		w.until = append(w.until, e)
	case "<=":
		w.until = append(w.until, after())
	case "=":
		w.from, w.until = append(w.from, e), append(w.until, after())
	}
}

// filter emits a filter, its temporal part last and over the columns that are needed
// only, so that less is kept.
func (e *emitter) filter(x *filter, in rel, need colSet) rel {
	plain, w := e.b.splitNow(x.preds)
	if pred := andOf(plain); pred != nil {
		at := e.at(in.node)
		in.node = e.add(&flow.Filter{Pred: e.place(pred, in.pos)}, []int{in.node}, at.Out, at.Names)
	}
	bounds := append(w.from[:len(w.from):len(w.from)], w.until...)
	if len(bounds) == 0 {
		return in
	}
	keep := colSet{}
	addAll(keep, need)
	var extra []expr.Expr
	for _, x := range bounds {
		if c, ok := x.(expr.Col); ok {
			keep.add(c.Index)
		} else {
			extra = append(extra, x)
		}
	}
	out := e.narrow(in, x.in.out(), keep, extra)
	f, next := &flow.TimeFilter{}, out.width-len(extra)
	for i, x := range bounds {
		at := next
		if c, ok := x.(expr.Col); ok {
			at = placeOf(c.Index, out.pos, c.Name)
		} else {
			next++
		}
		if i < len(w.from) {
			f.From = append(f.From, at)
		} else {
			f.Until = append(f.Until, at)
		}
	}
	at := e.at(out.node) // of its own if it has columns that were computed
	for k := range extra {
		at.Names[out.width-len(extra)+k] = "bound" + strconv.Itoa(k+1)
	}
	out.node = e.add(f, []int{out.node}, at.Out, at.Names)
	return out
}

// timePlan is what the binder knows of the time in a view.
type timePlan struct {
	nowPos int   // where now() was last written
	ttl    int64 // microseconds after which rows expire; 0: never
}
