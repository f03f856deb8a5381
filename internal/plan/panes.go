package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// A row of HOP belongs to several windows, and a grouping over it does the work of each.
// Where the aggregates can be put together from parts, the rows are first grouped by
// panes: windows that do not overlap, as long as the greatest common divisor of slide
// and size, of which every window is made. Then the groups of the panes go into the
// windows instead of the rows, and are aggregated once more. CUMULATE is the same with
// its step.
//
// Source: Li, Maier, Tufte, Papadimos and Tucker, "No pane, no gain: efficient evaluation
// of sliding-window aggregates over data streams", SIGMOD Record 2005.
//
// The answer is the same to the last bit: counts, integers and numerics are summed
// exactly in parts, minima and maxima are those of the parts'. Sums of floats are rounded
// once when they are shown, which parts would be too early, so they have no panes.

// minPaneWindows is from how many windows a row on panes are used in queries that are
// answered once with what there is.
const minPaneWindows = 4

// panesPay decides for panes, given how many windows a row is in. Where each answer is
// given once they save all but one of them. While answers are corrected, a pane group
// that changes takes back what it gave to each window before it gives anew: twice the
// work of a row, for all rows of the group in the step. Of a view's steps, which are
// short, many rows are in the same pane, but not many of the same key as well.
func (b *binder) panesPay(a *aggregate, x *windowedKeys, windows int64, onClose bool) bool {
	keyed := len(a.keys) > len(x.starts)+len(x.ends)
	switch {
	case windows < 2:
		return false
	case onClose || !keyed:
		return true
	}
	return !b.inView && windows >= minPaneWindows && !keepsValues(a)
}

// windowKeys rewrites groupings over windows below n: into panes where that pays, and
// without keys that others give. onClose says that answers are given once only.
func (b *binder) windowKeys(n node, onClose bool, done map[*shared]bool) node {
	if r, ok := n.(*sharedRef); ok {
		if !done[r.body] {
			done[r.body] = true
			r.body.in = b.windowKeys(r.body.in, onClose, done)
		}
		return n
	}
	ins := inputs(n)
	if len(ins) == 0 {
		return n
	}
	fresh := make([]node, len(ins))
	same := true
	for i, in := range ins {
		fresh[i] = b.windowKeys(in, onClose, done)
		same = same && fresh[i] == in
	}
	if !same {
		n = withInputs(n, fresh)
	}
	if a, ok := n.(*aggregate); ok {
		if w := findWindowed(a); w != nil {
			return b.windowed(a, w, onClose)
		}
	}
	return n
}

// withInputs is n over other inputs; a node it does not know stays as it is.
func withInputs(n node, ins []node) node {
	switch x := n.(type) {
	case *filter:
		y := *x
		y.in = ins[0]
		return &y
	case *project:
		y := *x
		y.in = ins[0]
		return &y
	case *setFunc:
		y := *x
		y.in = ins[0]
		return &y
	case *window:
		y := *x
		y.in = ins[0]
		return &y
	case *setOp:
		y := *x
		y.ins = ins
		return &y
	case *distinct:
		return &distinct{in: ins[0]}
	case *join:
		y := *x
		y.l, y.r = ins[0], ins[1]
		return &y
	case *aggregate:
		y := *x
		y.in = ins[0]
		return &y
	case *topN:
		y := *x
		y.in = ins[0]
		return &y
	case *over:
		y := *x
		y.in = ins[0]
		return &y
	}
	return n
}

// windowedKeys is what stands below a grouping over windows.
type windowedKeys struct {
	w      *window
	p      *project // between the grouping and the windows; nil if there is none
	starts []int    // keys that are the window's start, and its end
	ends   []int
}

// findWindowed looks for windows below a grouping, with a projection between at most.
func findWindowed(a *aggregate) *windowedKeys {
	x := &windowedKeys{}
	in := a.in
	if p, ok := in.(*project); ok {
		x.p, in = p, p.in
	}
	w, ok := in.(*window)
	if !ok || w.gap > 0 {
		return nil
	}
	x.w = w
	for _, k := range a.keys {
		switch x.source(k) {
		case w.start:
			x.starts = append(x.starts, k)
		case w.end:
			x.ends = append(x.ends, k)
		}
	}
	return x
}

// expr gives what column c of the grouping's input is over the windows.
func (x *windowedKeys) expr(b *binder, c int) expr.Expr {
	if x.p != nil {
		if i := slices.Index(x.p.cols, c); i >= 0 {
			return x.p.exprs[i]
		}
	}
	return b.colExpr(c)
}

// source is the column of the windows that column c of the grouping's input is, or -1.
func (x *windowedKeys) source(c int) int {
	if x.p == nil {
		return c
	}
	if i := slices.Index(x.p.cols, c); i >= 0 {
		if col, ok := x.p.exprs[i].(expr.Col); ok {
			return col.Index
		}
	}
	return -1
}

// windowed rewrites a grouping over windows.
func (b *binder) windowed(a *aggregate, x *windowedKeys, onClose bool) node {
	var n node = a
	if parts := b.panes(a, x, onClose); parts != nil {
		n = parts
	}
	// Of a window of HOP and TUMBLE the end tells the start: one key less to look up.
	if x.w.step > 0 || len(x.ends) == 0 || len(x.starts) == 0 {
		return n
	}
	return b.dropStarts(n, a.out(), x)
}

// dropStarts takes the windows' start out of the keys of the grouping in n, the topmost,
// and computes it above. out are n's columns.
func (b *binder) dropStarts(n node, out []int, x *windowedKeys) node {
	switch y := n.(type) {
	case *project:
		p := *y
		inner := y.in.(*aggregate)
		p.in = b.dropStarts(inner, inner.out(), x)
		return &p
	case *aggregate:
		a := *y
		a.keys = nil
		for _, k := range y.keys {
			if !slices.Contains(x.starts, k) {
				a.keys = append(a.keys, k)
			}
		}
		p := &project{in: &a}
		for _, c := range out {
			e := b.colExpr(c)
			if slices.Contains(x.starts, c) {
				size := expr.Const{V: types.Value{T: types.T(types.Interval), V: types.IntervalVal{Micros: x.w.size}}}
				e = b.operator("-", noPos, b.colExpr(x.ends[0]), size, noPos, noPos)
			}
			p.cols, p.exprs = append(p.cols, c), append(p.exprs, e)
		}
		return p
	}
	return n
}

// panes makes a grouping over overlapping windows one over panes, or gives nil.
func (b *binder) panes(a *aggregate, x *windowedKeys, onClose bool) node {
	pane := gcd(x.w.size, x.w.slide)
	if x.w.step > 0 {
		pane = x.w.step
	}
	windows := x.w.size / x.w.slide
	if x.w.step > 0 {
		windows = (x.w.size/x.w.step + 1) / 2 // of a row, on average
	}
	if len(x.starts)+len(x.ends) == 0 || !b.panesPay(a, x, windows, onClose) {
		return nil
	}
	pw := &window{in: x.w.in, time: x.w.time, slide: pane, size: pane, offset: x.w.offset}
	pw.start, pw.end = b.newCol("pane_start", b.cols[x.w.start].typ), b.newCol("pane_end", b.cols[x.w.end].typ)
	below := &project{in: pw, cols: []int{pw.start}, exprs: []expr.Expr{b.colExpr(pw.start)}}
	partial := &aggregate{in: below, keys: []int{pw.start}}
	ok := true
	pass := func(c int) int { // takes a column of the grouping's input below
		e := x.expr(b, c)
		if used := exprCols(e); slices.Contains(used, x.w.start) || slices.Contains(used, x.w.end) || hasVolatile(e) {
			ok = false
		}
		if !slices.Contains(below.cols, c) {
			below.cols, below.exprs = append(below.cols, c), append(below.exprs, e)
		}
		return c
	}
	windows2 := &window{in: partial, time: pw.start, slide: x.w.slide, size: x.w.size, offset: x.w.offset, step: x.w.step, start: x.w.start, end: x.w.end}
	above := &project{in: windows2}
	for _, k := range a.keys {
		e := b.colExpr(k)
		switch {
		case slices.Contains(x.starts, k):
			e = b.colExpr(x.w.start)
		case slices.Contains(x.ends, k):
			e = b.colExpr(x.w.end)
		default:
			partial.keys = append(partial.keys, pass(k))
		}
		above.cols, above.exprs = append(above.cols, k), append(above.exprs, e)
	}
	final := &aggregate{in: above, keys: a.keys}
	top := &project{in: final}
	for _, k := range a.keys {
		top.cols, top.exprs = append(top.cols, k), append(top.exprs, b.colExpr(k))
	}
	for _, c := range a.calls {
		for _, arg := range c.args {
			pass(arg)
		}
		if c.filter >= 0 {
			pass(c.filter)
		}
		if !b.split(c, partial, final, above, top) {
			return nil
		}
	}
	if !ok {
		return nil
	}
	return top
}

// keepsValues reports that a grouping has minima or maxima, which over panes that are
// corrected need all values, and over rows that only come do not.
func keepsValues(a *aggregate) bool {
	return slices.ContainsFunc(a.calls, func(c aggCall) bool {
		return c.fn.Op == expr.AggMin || c.fn.Op == expr.AggMax || c.fn.Op == expr.AggAnyValue
	})
}

// split puts an aggregate's part into partial and what makes the whole of the parts into
// final and top. It reports false where that is not possible, or not to the last bit.
func (b *binder) split(c aggCall, partial, final *aggregate, above, top *project) bool {
	if c.distinct || len(c.order) > 0 {
		return false
	}
	ret := b.cols[c.col].typ
	part := func(fn *expr.AggFunc, t types.Type) int { // of the pane, passed on to final
		p := c
		p.fn, p.col = fn, b.newCol("", t)
		partial.calls = append(partial.calls, p)
		above.cols, above.exprs = append(above.cols, p.col), append(above.exprs, b.colExpr(p.col))
		return p.col
	}
	whole := func(fn *expr.AggFunc, arg, col int) {
		final.calls = append(final.calls, aggCall{fn: fn, args: []int{arg}, filter: -1, col: col})
	}
	direct := func() { top.cols, top.exprs = append(top.cols, c.col), append(top.exprs, b.colExpr(c.col)) }
	int8, numeric := types.T(types.Int8), types.T(types.Numeric)
	switch c.fn.Op {
	case expr.AggCount, expr.AggCountStar:
		whole(b.aggFunc("sum", int8), part(c.fn, int8), c.col)
		direct()
	case expr.AggMin, expr.AggMax, expr.AggAnyValue, expr.AggBoolAnd, expr.AggBoolOr:
		whole(c.fn, part(c.fn, ret), c.col)
		direct()
	case expr.AggSum:
		if ret.Kind != types.Int8 && ret.Kind != types.Numeric {
			return false
		}
		whole(b.aggFunc("sum", ret), part(c.fn, ret), c.col)
		direct()
	case expr.AggAvg:
		arg := b.cols[c.args[0]].typ
		if ret.Kind != types.Numeric || arg.Layout() != types.LayoutInt && arg.Layout() != types.LayoutDec {
			return false
		}
		sum, count := b.newCol("", numeric), b.newCol("", int8)
		whole(b.aggFunc("sum", numeric), part(b.aggFunc("sum", arg), numeric), sum)
		whole(b.aggFunc("sum", int8), part(b.aggFunc("count", arg), int8), count)
		n := b.convert(b.colExpr(count), numeric, castExplicit, noPos)
		top.cols, top.exprs = append(top.cols, c.col), append(top.exprs, b.operator("/", noPos, b.colExpr(sum), n, noPos, noPos))
	default:
		return false
	}
	return true
}

// aggFunc finds an aggregate of one argument.
func (b *binder) aggFunc(name string, t types.Type) *expr.AggFunc {
	fn, _, _, err := expr.ResolveAgg(name, []types.Type{t})
	check(noPos, err)
	return fn
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
