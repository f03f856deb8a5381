package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// codeWindowing is the SQLSTATE of window functions where they cannot be, and of
// wrong window definitions.
const codeWindowing = "42P20"

// over appends what window functions give over the rows of each row's partition.
type over struct {
	in        node
	partition []int
	order     []sortKey
	calls     []overCall
}

// overCall is a flow.OverCall over column identities; edges of frames have theirs in
// Limit, and the frame's Key likewise.
type overCall struct {
	flow.OverCall
	col int // what it gives
}

func (n *over) out() []int {
	o := n.in.out()
	o = o[:len(o):len(o)]
	for _, c := range n.calls {
		o = append(o, c.col)
	}
	return o
}

// cols lists the columns of the input that a call reads.
func (c *overCall) cols() []int {
	out := slices.Clone(c.Args)
	for _, x := range []int{c.NCol, c.Default, c.Filter} {
		if x >= 0 {
			out = append(out, x)
		}
	}
	return append(out, limits(&c.Frame)...)
}

// limits are the columns that a frame reads.
func limits(f *flow.Frame) []int {
	var out []int
	for _, e := range []flow.FrameEdge{f.Start, f.End} {
		if f.Mode == flow.FrameRange && (e.Kind == flow.Preceding || e.Kind == flow.Following) {
			out = append(out, f.Key, e.Limit)
		}
	}
	return out
}

// needs are the columns of the input that the operator needs itself, for calls.
func (n *over) needs(calls []overCall) []int {
	out := slices.Clone(n.partition)
	for _, k := range n.order {
		out = append(out, k.col)
	}
	for i := range calls {
		out = append(out, calls[i].cols()...)
	}
	return out
}

// liveCalls are the calls that are needed.
func (n *over) liveCalls(need colSet) []overCall {
	var out []overCall
	for _, c := range n.calls {
		if need.has(c.col) {
			out = append(out, c)
		}
	}
	return out
}

// childNeed is what is needed of the input.
func (n *over) childNeed(need colSet) colSet {
	s := colSet{}
	addAll(s, need)
	for _, c := range n.calls {
		delete(s, c.col)
	}
	if calls := n.liveCalls(need); len(calls) > 0 {
		s.add(n.needs(calls)...)
	}
	return s
}

// push moves conditions on the partition below, and makes conditions on a rank a
// choice of the first rows.
func (n *over) push(b *binder, preds []expr.Expr) node {
	below, above := split(preds, setOf(n.partition))
	if len(n.partition) == 0 {
		below, above = nil, preds
	}
	o := *n
	o.in = b.push(n.in, below)
	if t, rest := o.topN(above); t != nil {
		return withFilter(t, rest)
	}
	return withFilter(&o, above)
}

// over emits the calls that are needed.
func (e *emitter) over(x *over, in rel, inNeed, need colSet) rel {
	calls := x.liveCalls(need)
	if len(calls) == 0 {
		return in
	}
	in = e.narrow(in, x.in.out(), inNeed, nil)
	op := &flow.Over{Partition: places(x.partition, in.pos), Order: sortKeys(x.order, in.pos)}
	var cols []int
	for i := range calls {
		op.Calls = append(op.Calls, placeCall(&calls[i], in.pos))
		cols = append(cols, calls[i].col)
	}
	ts, ns := e.widen(in.node, cols...)
	return in.with(e.add(op, []int{in.node}, ts, ns), cols...)
}

// placeCall gives a call over positions.
func placeCall(c *overCall, pos map[int]int) flow.OverCall {
	out := c.OverCall
	out.Args = nil
	for _, a := range c.Args {
		out.Args = append(out.Args, placeOf(a, pos, "argument"))
	}
	for _, p := range []*int{&out.NCol, &out.Default, &out.Filter} {
		if *p >= 0 {
			*p = placeOf(*p, pos, "argument")
		}
	}
	if len(limits(&c.Frame)) > 0 {
		out.Frame.Key = placeOf(c.Frame.Key, pos, "frame key")
		for _, e := range []*flow.FrameEdge{&out.Frame.Start, &out.Frame.End} {
			if e.Kind == flow.Preceding || e.Kind == flow.Following {
				e.Limit = placeOf(e.Limit, pos, "frame limit")
			}
		}
	}
	return out
}

// winList collects the window functions of one SELECT, by window.
type winList struct {
	defs  []*winDef // the WINDOW clause
	specs []*winSpec
}

// winDef is a window of the WINDOW clause, bound.
type winDef struct {
	name string
	*winSpec
}

// winSpec is a window with the calls over it.
type winSpec struct {
	part  []expr.Expr
	order []expr.Expr
	items []sql.OrderItem // of order
	frame *sql.Frame      // nil: the default
	uses  []colUse
	calls []*pendingWin
}

// pendingWin is a call before its arguments are columns: pre holds its value
// arguments, then number, default, filter, frame key and limits, as far as it has them.
type pendingWin struct {
	overCall
	pre  []expr.Expr
	uses []colUse
}

// put appends e to pre and returns its place there.
func (w *pendingWin) put(e expr.Expr) int {
	w.pre = append(w.pre, e)
	return len(w.pre) - 1
}

// windowCall binds f(...) OVER (...) and gives the column that will hold its value.
func (b *binder) windowCall(ctx *exprCtx, f *sql.FuncCall, name string) expr.Expr {
	if ctx.inAgg {
		fail(f.Pos(), types.CodeGrouping, "aggregate function calls cannot contain window function calls")
	}
	if ctx.inWin {
		fail(f.Pos(), codeWindowing, "window function calls cannot be nested")
	}
	if ctx.wins == nil {
		fail(f.Pos(), codeWindowing, "window functions are not allowed in %s", ctx.clause)
	}
	fn, isWindow := flow.OverFnOf(name)
	switch {
	case !isWindow && !aggNames[name]:
		fail(f.Pos(), types.CodeWrongObject, "OVER specified, but %s is not a window function nor an aggregate function", name)
	case f.Distinct:
		fail(f.Pos(), types.CodeFeature, "DISTINCT is not implemented for window functions")
	case len(f.WithinGroup) > 0:
		fail(f.Pos(), types.CodeFeature, "OVER is not supported for ordered-set aggregate %s", name)
	case len(f.OrderBy) > 0:
		fail(f.Pos(), types.CodeFeature, "aggregate ORDER BY is not implemented for window functions")
	case isWindow && f.Filter != nil:
		fail(f.Pos(), types.CodeFeature, "FILTER is not implemented for non-aggregate window functions")
	}
	uses := ctx.sc.uses
	ctx.sc.uses = nil
	in := *ctx
	in.inWin = true
	w := &pendingWin{overCall: overCall{OverCall: flow.OverCall{Fn: fn, NCol: -1, Default: -1, Filter: -1}}}
	if isWindow {
		b.windowArgs(&in, f, name, w)
	} else {
		b.windowAggregate(&in, f, name, w)
	}
	spec := b.windowSpec(&in, f.Over)
	if w.Fn == flow.OverAgg || w.Fn >= flow.OverFirst {
		b.frame(&in, spec, w)
	} else {
		b.frame(&in, spec, &pendingWin{}) // for its errors
	}
	w.uses = ctx.sc.uses
	ctx.sc.uses = append(uses, w.uses...)
	spec = ctx.wins.shared(spec)
	for _, o := range spec.calls {
		if o.same(w) {
			return b.colExpr(o.col)
		}
	}
	w.col = b.newCol(name, w.Ret)
	spec.calls = append(spec.calls, w)
	return b.colExpr(w.col)
}

// same reports whether two calls over one window give the same.
func (w *pendingWin) same(o *pendingWin) bool {
	return w.OverCall.String() == o.OverCall.String() && w.Agg == o.Agg && w.Ret == o.Ret && sameAll(w.pre, o.pre)
}

// windowAggregate binds an aggregate used as a window function.
func (b *binder) windowAggregate(ctx *exprCtx, f *sql.FuncCall, name string, w *pendingWin) {
	args := b.exprs(ctx, f.Args)
	ts := make([]types.Type, len(args))
	for i, e := range args {
		ts[i] = e.Type()
	}
	if name == "count" && len(args) == 0 && !f.Star {
		fail(f.Pos(), types.CodeWrongObject, "%s(*) must be used to call a parameterless aggregate function", name)
	}
	fn, cast, ret, err := expr.ResolveAgg(name, ts)
	check(f.Pos(), err)
	w.Agg, w.Ret = fn, ret
	for i, e := range args {
		e = b.settle(b.convert(e, cast[i], castImplicit, f.Args[i].Pos()), f.Args[i].Pos())
		w.Args = append(w.Args, w.put(e))
	}
	if f.Filter != nil {
		in := *ctx
		in.clause, in.wins, in.aggs, in.inWin = "FILTER", nil, nil, false
		w.Filter = w.put(b.boolean(b.expr(&in, f.Filter), "FILTER", f.Filter.Pos()))
	}
}

// windowArity is how many arguments the window functions take.
var windowArity = map[flow.OverFn][2]int{
	flow.OverRowNumber: {0, 0}, flow.OverRank: {0, 0}, flow.OverDenseRank: {0, 0}, flow.OverPercentRank: {0, 0},
	flow.OverCumeDist: {0, 0}, flow.OverNtile: {1, 1}, flow.OverLag: {1, 3}, flow.OverLead: {1, 3}, flow.OverFirst: {1, 1},
	flow.OverLast: {1, 1}, flow.OverNth: {2, 2},
}

// windowArgs binds the arguments of a window function that is no aggregate.
func (b *binder) windowArgs(ctx *exprCtx, f *sql.FuncCall, name string, w *pendingWin) {
	if f.Star {
		fail(f.Pos(), types.CodeWrongObject, "%s(*) specified, but %s is not an aggregate function", name, name)
	}
	args := b.exprs(ctx, f.Args)
	bad := func() {
		names := ""
		for i, a := range args {
			if i > 0 {
				names += ", "
			}
			names += typeName(a.Type())
		}
		failHint(f.Pos(), types.CodeUndefinedFunction, "No function matches the given name and argument types. You might need to add explicit type casts.",
			"function %s(%s) does not exist", name, names)
	}
	if n := windowArity[w.Fn]; len(args) < n[0] || len(args) > n[1] {
		bad()
	}
	number := func(i int) expr.Expr {
		t := types.T(types.Int4)
		if !castable(args[i].Type(), t, castImplicit) {
			bad()
		}
		return b.convert(args[i], t, castImplicit, f.Args[i].Pos())
	}
	switch w.Fn {
	case flow.OverPercentRank, flow.OverCumeDist:
		w.Ret = types.T(types.Float8)
	case flow.OverNtile:
		w.Ret = types.T(types.Int4)
		b.windowNumber(w, number(0), f.Args[0].Pos())
	case flow.OverRowNumber, flow.OverRank, flow.OverDenseRank:
		w.Ret = types.T(types.Int8)
	default:
		val := args[0]
		if len(args) == 3 {
			both, _ := b.unify(name, []expr.Expr{args[0], args[2]}, []int{f.Args[0].Pos(), f.Args[2].Pos()})
			val, args[2] = both[0], both[1]
		}
		val = b.settle(val, f.Args[0].Pos())
		w.Ret = val.Type()
		w.Args = []int{w.put(val)}
		w.N = 1
		if len(args) > 1 {
			b.windowNumber(w, number(1), f.Args[1].Pos())
		}
		if len(args) == 3 {
			w.Default = w.put(args[2])
		}
	}
}

// windowNumber notes how many buckets, or how far away.
func (b *binder) windowNumber(w *pendingWin, e expr.Expr, pos int) {
	c, ok := e.(expr.Const)
	switch {
	case !ok && (w.Fn == flow.OverNtile || w.Fn == flow.OverNth):
		unsupported(pos, "a number for %s that is not a constant", flow.OverFnName(w.Fn))
	case !ok:
		w.NCol = w.put(b.convert(e, types.T(types.Int8), castImplicit, pos))
	case c.V.Null:
		w.NNull = true
	case w.Fn == flow.OverNtile && c.V.I <= 0:
		fail(pos, "22014", "argument of ntile must be greater than zero")
	case w.Fn == flow.OverNth && c.V.I <= 0:
		fail(pos, "22016", "argument of nth_value must be greater than zero")
	default:
		w.N = c.V.I
	}
}

// defineWindows binds the WINDOW clause.
func (s *selecter) defineWindows() {
	s.wins = &winList{}
	for _, d := range s.sel.Windows {
		for _, o := range s.wins.defs {
			if o.name == d.Name.Text {
				fail(d.Pos(), codeWindowing, "window %q is already defined", d.Name.Text)
			}
		}
		ctx := s.ctx("window definitions")
		ctx.inWin = false
		uses := s.sc.uses
		s.sc.uses = nil
		spec := s.b.bindWindow(ctx, s.wins, d)
		spec.uses = s.sc.uses
		s.sc.uses = uses
		s.wins.defs = append(s.wins.defs, &winDef{d.Name.Text, spec})
	}
}

// uses reports whether a window or a call over it needs column id.
func (l *winList) uses(id int) bool {
	for _, w := range l.specs {
		es := slices.Concat(w.part, w.order)
		for _, c := range w.calls {
			es = append(es, c.pre...)
		}
		if slices.Contains(exprCols(es...), id) {
			return true
		}
	}
	return false
}

// find returns the window of a name.
func (l *winList) find(id sql.Ident) *winSpec {
	for _, d := range l.defs {
		if d.name == id.Text {
			return d.winSpec
		}
	}
	fail(id.Pos(), types.CodeUndefinedObject, "window %q does not exist", id.Text)
	return nil
}

// windowSpec returns the window of OVER.
func (b *binder) windowSpec(ctx *exprCtx, over *sql.WindowSpec) *winSpec {
	if over.Bare {
		return ctx.wins.find(over.Ref)
	}
	w := b.bindWindow(ctx, ctx.wins, over)
	w.uses = append(w.uses, ctx.sc.uses...)
	return w
}

// shared returns the window that has the calls over windows like w, but for frames.
func (l *winList) shared(w *winSpec) *winSpec {
	for _, o := range l.specs {
		if sameAll(o.part, w.part) && sameAll(o.order, w.order) && sameItems(o.items, w.items) {
			return o
		}
	}
	l.specs = append(l.specs, w)
	return w
}

func sameItems(a, b []sql.OrderItem) bool {
	return slices.EqualFunc(a, b, func(x, y sql.OrderItem) bool { return orderKey(x, 0) == orderKey(y, 0) })
}

// bindWindow binds a window definition; one that names another inherits from it.
func (b *binder) bindWindow(ctx *exprCtx, l *winList, d *sql.WindowSpec) *winSpec {
	in := *ctx
	in.clause, in.wins, in.inWin = "window definitions", nil, false
	w := &winSpec{frame: d.Frame}
	if d.Ref.Text != "" {
		from := l.find(d.Ref)
		if len(d.PartitionBy) > 0 {
			fail(d.Ref.Pos(), codeWindowing, "cannot override PARTITION BY clause of window %q", d.Ref.Text)
		}
		if len(d.OrderBy) > 0 && len(from.order) > 0 {
			fail(d.Ref.Pos(), codeWindowing, "cannot override ORDER BY clause of window %q", d.Ref.Text)
		}
		if from.frame != nil {
			if d.Name.Text != "" || len(d.OrderBy) > 0 || d.Frame != nil {
				fail(d.Ref.Pos(), codeWindowing, "cannot copy window %q because it has a frame clause", d.Ref.Text)
			}
			failHint(d.Ref.Pos(), codeWindowing, "Omit the parentheses in this OVER clause.",
				"cannot copy window %q because it has a frame clause", d.Ref.Text)
		}
		w.part, w.order, w.items = from.part, from.order, from.items
		w.uses = append(w.uses, from.uses...)
	}
	for _, x := range d.PartitionBy {
		w.part = append(slices.Clip(w.part), b.settle(b.expr(&in, x), x.Pos()))
	}
	for _, it := range d.OrderBy {
		w.order = append(slices.Clip(w.order), b.settle(b.expr(&in, it.X), it.X.Pos()))
		w.items = append(slices.Clip(w.items), it)
	}
	if d.Frame != nil {
		checkFrame(d.Frame, w)
	}
	return w
}

// windows builds the operators below the select list, one for each partitioning and
// order, in the order in which they are first used.
func (s *selecter) windows(rewrite func(expr.Expr, []colUse) expr.Expr) {
	for _, w := range s.wins.specs {
		var es []expr.Expr
		for _, e := range slices.Concat(w.part, w.order) {
			es = append(es, rewrite(e, w.uses))
		}
		at := len(es)
		for _, c := range w.calls {
			for _, e := range c.pre {
				es = append(es, rewrite(e, c.uses))
			}
		}
		n, ids := s.b.extend(s.node, es, make([]string, len(es)))
		o := &over{in: n}
		for _, id := range ids[:len(w.part)] {
			if !slices.Contains(o.partition, id) {
				o.partition = append(o.partition, id)
			}
		}
		for k, it := range w.items {
			o.order = append(o.order, orderKey(it, ids[len(w.part)+k]))
		}
		for _, c := range w.calls {
			o.calls = append(o.calls, c.place(ids[at:at+len(c.pre)]))
			at += len(c.pre)
		}
		s.node = o
	}
}

// place makes the call over the columns that pre became.
func (w *pendingWin) place(ids []int) overCall {
	return overCall{placeCall(&w.overCall, identity(ids)), w.col}
}

// identity maps places in a list to what stands there.
func identity(ids []int) map[int]int {
	m := make(map[int]int, len(ids))
	for i, id := range ids {
		m[i] = id
	}
	return m
}
