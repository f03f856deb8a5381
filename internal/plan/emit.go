package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// emitter turns nodes into a circuit: identities into positions, and only the
// columns that are needed.
type emitter struct {
	b      *binder
	spec   *flow.Spec
	scans  map[catalog.ID]int
	bodies map[*shared]rel
	needs  map[*shared]colSet
	unit   int // the node of the one row that constants are computed from, or -1
	twins  map[string]int
}

// rel is an emitted node: its index and where its columns are.
type rel struct {
	node  int
	pos   map[int]int
	width int
}

func (b *binder) emitter() *emitter {
	return &emitter{b: b, spec: &flow.Spec{}, scans: map[catalog.ID]int{}, bodies: map[*shared]rel{}, needs: map[*shared]colSet{}, unit: -1}
}

// inputs lists the relations read, by ID.
func (e *emitter) inputs() []Input {
	var out []Input
	for id := range e.scans {
		out = append(out, Input{ID: id, Key: e.b.p.Catalog.ByID(id).Key()})
	}
	slices.SortFunc(out, func(a, c Input) int { return int(int64(a.ID) - int64(c.ID)) })
	return out
}

func (e *emitter) add(op flow.Op, in []int, out []types.Type, names []string) int {
	if len(e.spec.Nodes) >= maxPlanNodes {
		fail(noPos, types.CodeTooComplex, "statement needs more than %d operators", maxPlanNodes)
	}
	if at := e.same(op, in, out); at >= 0 {
		return at
	}
	e.spec.Nodes = append(e.spec.Nodes, flow.Node{Op: op, In: in, Out: out, Names: names})
	return len(e.spec.Nodes) - 1
}

func (e *emitter) at(n int) *flow.Node { return &e.spec.Nodes[n] }

// output emits n and an Output of exactly cols.
func (e *emitter) output(n node, cols []int, name string) *flow.Spec {
	r := e.emit(n, setOf(cols))
	es := make([]expr.Expr, len(cols))
	for i, c := range cols {
		es[i] = e.b.colExpr(c)
	}
	r = e.project(r, cols, es)
	last := e.at(r.node)
	e.add(&flow.Output{Name: name}, []int{r.node}, last.Out, last.Names)
	return e.spec
}

// childNeeds says which columns of its inputs n needs to give need.
func childNeeds(n node, need colSet) []colSet {
	s := colSet{}
	switch x := n.(type) {
	case *filter:
		addAll(s, need)
		s.add(exprCols(x.preds...)...)
	case *project:
		for i, c := range x.cols {
			if need.has(c) {
				s.add(exprCols(x.exprs[i])...)
			}
		}
	case *setFunc:
		addAll(s, need)
		delete(s, x.col)
		delete(s, x.ord)
		s.add(exprCols(x.args...)...)
	case *window:
		addAll(s, need)
		delete(s, x.start)
		delete(s, x.end)
		s.add(x.time)
		s.add(x.partition...)
	case *distinct:
		s.add(x.in.out()...)
	case *over:
		s = x.childNeed(need)
	case *match:
		addAll(s, x.needs(need))
	case *topN:
		addAll(s, need)
		delete(s, x.number-1)
		s.add(x.partition...)
		for _, k := range x.order {
			s.add(k.col)
		}
	case *aggregate:
		s.add(x.keys...)
		for _, c := range x.liveCalls(need) {
			s.add(c.args...)
			if c.filter >= 0 {
				s.add(c.filter)
			}
			for _, k := range c.order {
				s.add(k.col)
			}
		}
	case *setOp:
		out := make([]colSet, len(x.ins))
		for i := range x.ins {
			out[i] = colSet{}
			for k, c := range x.cols {
				if x.kind != unionAll || need.has(c) {
					out[i].add(x.maps[i][k])
				}
			}
		}
		return out
	case *join:
		return x.sideNeeds(need)
	case *asOf:
		return x.sideNeeds(need)
	case *lookup:
		return x.sideNeeds(need)
	}
	if len(inputs(n)) == 0 {
		return nil
	}
	return []colSet{s}
}

func addAll(to, from colSet) {
	for c := range from {
		to.add(c)
	}
}

func (x *join) sideNeeds(need colSet) []colSet {
	l, r := setOf(x.l.out()), setOf(x.r.out())
	out := []colSet{{}, {}}
	put := func(c int) {
		if l.has(c) {
			out[0].add(c)
		} else if r.has(c) {
			out[1].add(c)
		}
	}
	for c := range need {
		put(c)
	}
	for _, c := range exprCols(x.on...) {
		put(c)
	}
	for _, s := range x.same {
		out[0].add(s[0])
		out[1].add(s[1])
	}
	return out
}

// liveCalls are the aggregates that are needed; one at least, where there is no key.
func (x *aggregate) liveCalls(need colSet) []aggCall {
	var out []aggCall
	for _, c := range x.calls {
		if need.has(c.col) {
			out = append(out, c)
		}
	}
	if len(out) == 0 && len(x.keys) == 0 && len(x.calls) > 0 {
		out = x.calls[:1]
	}
	return out
}

// need notes what all readers together need of shared bodies.
func (e *emitter) need(n node, need colSet) {
	if r, ok := n.(*sharedRef); ok {
		s := e.needs[r.body]
		if s == nil {
			s = colSet{}
			e.needs[r.body] = s
		}
		from, before := r.body.in.out(), len(s)
		for i, c := range r.cols {
			if need.has(c) {
				s.add(from[i])
			}
		}
		if len(s) > before || before == 0 {
			e.need(r.body.in, s)
		}
		return
	}
	for i, s := range childNeeds(n, need) {
		e.need(inputs(n)[i], s)
	}
}

// emit emits n with at least the columns of need.
func (e *emitter) emit(n node, need colSet) rel {
	var ins []rel
	var needs []colSet
	if _, isRef := n.(*sharedRef); !isRef {
		needs = childNeeds(n, need)
		for i, s := range needs {
			ins = append(ins, e.emit(inputs(n)[i], s))
		}
	}
	switch x := n.(type) {
	case *scan:
		return e.scan(x)
	case *values:
		return e.values(x)
	case *filter:
		return e.filter(x, ins[0], need)
	case *project:
		var cols []int
		var es []expr.Expr
		for i, c := range x.cols {
			if need.has(c) {
				cols, es = append(cols, c), append(es, x.exprs[i])
			}
		}
		return e.projectLazily(ins[0], cols, es)
	case *setFunc:
		return e.setFunc(x, ins[0])
	case *window:
		return e.window(x, ins[0], needs[0])
	case *distinct:
		in := e.narrow(ins[0], x.in.out(), needs[0], nil)
		at := e.at(in.node)
		in.node = e.add(&flow.Distinct{}, []int{in.node}, at.Out, at.Names)
		return in
	case *topN:
		in := e.narrow(ins[0], x.in.out(), needs[0], nil)
		at := e.at(in.node)
		t := &flow.TopN{Partition: places(x.partition, in.pos), Order: sortKeys(x.order, in.pos), Limit: x.limit, Offset: x.offset, Rank: x.rank}
		if x.number > 0 && need.has(x.number-1) {
			t.Number = true
			ts, ns := e.widen(in.node, x.number-1)
			return in.with(e.add(t, []int{in.node}, ts, ns), x.number-1)
		}
		in.node = e.add(t, []int{in.node}, at.Out, at.Names)
		return in
	case *over:
		return e.over(x, ins[0], needs[0], need)
	case *aggregate:
		return e.aggregate(x, ins[0], needs[0], need)
	case *match:
		return e.match(x, ins[0], needs[0], need)
	case *setOp:
		return e.setOp(x, ins, need)
	case *join:
		return e.join(x, ins, needs)
	case *asOf:
		return e.asOf(x, ins, needs)
	case *lookup:
		return e.lookup(x, ins, needs)
	case *sharedRef:
		return e.shared(x)
	}
	fail(noPos, types.CodeInternal, "no rule to emit %T", n)
	panic("unreachable")
}

// place gives an expression over positions.
func (e *emitter) place(x expr.Expr, pos map[int]int) expr.Expr {
	if e.b.inView && hasNow(x) {
		failHint(e.b.nowPos, types.CodeFeature, nowHint, "this use of the current time in a view that is kept up to date is not supported")
	}
	return rewriteExpr(x, func(y expr.Expr) expr.Expr {
		if c, ok := y.(expr.Col); ok {
			c.Index = placeOf(c.Index, pos, c.Name)
			return c
		}
		return y
	})
}

func placeOf(c int, pos map[int]int, name string) int {
	p, ok := pos[c]
	if !ok {
		fail(noPos, types.CodeInternal, "column %d (%s) is not there where it is needed", c, name)
	}
	return p
}

func places(cols []int, pos map[int]int) []int {
	var out []int
	for _, c := range cols {
		if p := placeOf(c, pos, ""); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func sortKeys(ks []sortKey, pos map[int]int) []flow.SortKey {
	var out []flow.SortKey
	for _, k := range ks {
		out = append(out, flow.SortKey{Col: placeOf(k.col, pos, ""), Desc: k.desc, NullsFirst: k.nullsFirst})
	}
	return out
}

// projectLazily is project, but columns that are only passed on or renamed cost nothing.
func (e *emitter) projectLazily(in rel, cols []int, es []expr.Expr) rel {
	out := rel{node: in.node, pos: map[int]int{}, width: in.width}
	for i, x := range es {
		c, ok := x.(expr.Col)
		if !ok {
			return e.project(in, cols, es)
		}
		out.pos[cols[i]] = placeOf(c.Index, in.pos, c.Name)
	}
	return out
}

// project emits exactly cols, in order, unless that is what in gives already.
func (e *emitter) project(in rel, cols []int, es []expr.Expr) rel {
	out := rel{pos: map[int]int{}, width: len(cols)}
	p := &flow.Project{}
	var ts []types.Type
	var ns []string
	same := len(cols) == in.width
	for i, x := range es {
		y := e.place(x, in.pos)
		if c, ok := y.(expr.Col); !ok || c.Index != i {
			same = false
		}
		p.Exprs = append(p.Exprs, y)
		ts = append(ts, y.Type())
		ns = append(ns, e.b.cols[cols[i]].name)
		out.pos[cols[i]] = i
	}
	if len(cols) == 0 {
		p.Exprs, ts, ns, out.width = []expr.Expr{expr.Const{V: types.BoolValue(true)}}, []types.Type{types.T(types.Bool)}, []string{""}, 1
	}
	if same && len(cols) > 0 {
		out.node = in.node
		return out
	}
	out.node = e.add(p, []int{in.node}, ts, ns)
	return out
}

// narrow drops what is not needed before state is kept of it, and computes the
// expressions extra, whose positions follow those of the columns.
func (e *emitter) narrow(in rel, order []int, need colSet, extra []expr.Expr) rel {
	var cols []int
	var es []expr.Expr
	for _, c := range order {
		if need.has(c) && !slices.Contains(cols, c) {
			cols, es = append(cols, c), append(es, e.b.colExpr(c))
		}
	}
	for _, x := range extra {
		cols, es = append(cols, e.b.newCol("", x.Type())), append(es, x)
	}
	if len(extra) == 0 && len(cols) == in.width && len(cols) > 0 && len(places(cols, in.pos)) == in.width {
		return in // a different order costs nothing
	}
	return e.project(in, cols, es)
}

func (e *emitter) scan(x *scan) rel {
	out := rel{pos: map[int]int{}, width: len(x.cols)}
	for i, c := range x.cols {
		out.pos[c] = i
	}
	n, ok := e.scans[x.rel.ID]
	if !ok {
		var ns []string
		for _, c := range x.rel.Columns {
			ns = append(ns, c.Name)
		}
		n = e.add(&flow.Input{Rel: x.rel.Key(), AppendOnly: x.rel.AppendOnly}, nil, x.rel.Types(), ns)
		e.scans[x.rel.ID] = n
	}
	out.node = n
	return out
}

// unitNode is one row of one column, from which constants are computed.
func (e *emitter) unitNode() int {
	if e.unit < 0 {
		ts := []types.Type{types.T(types.Bool)}
		bu := batch.NewBuilder(ts)
		bu.AppendRow([]types.Value{types.BoolValue(true)}, 1)
		e.unit = e.add(&flow.Values{Rows: bu.Seal()}, nil, ts, []string{""})
	}
	return e.unit
}

func (e *emitter) values(x *values) rel {
	out := rel{pos: map[int]int{}, width: len(x.cols)}
	var ts []types.Type
	var ns []string
	for i, c := range x.cols {
		out.pos[c] = i
		ts, ns = append(ts, e.b.cols[c].typ), append(ns, e.b.cols[c].name)
	}
	if len(x.cols) == 0 && len(x.rows) == 1 {
		return rel{node: e.unitNode(), pos: out.pos, width: 1}
	}
	bu := batch.NewBuilder(ts)
	var computed []int
	for _, row := range x.rows {
		vals := make([]types.Value, len(row))
		isConst := true
		for i, c := range row {
			k, ok := c.(expr.Const)
			if isConst = isConst && ok; !isConst {
				break
			}
			vals[i] = k.V
		}
		if isConst {
			bu.AppendRow(vals, 1)
			continue
		}
		es := make([]expr.Expr, len(row))
		for i, c := range row {
			es[i] = e.place(c, nil)
		}
		computed = append(computed, e.add(&flow.Project{Exprs: es}, []int{e.unitNode()}, ts, ns))
	}
	if bu.Len() > 0 || len(computed) == 0 {
		computed = append([]int{e.add(&flow.Values{Rows: bu.Seal()}, nil, ts, ns)}, computed...)
	}
	out.node = computed[0]
	if len(computed) > 1 {
		out.node = e.add(&flow.Union{}, computed, ts, ns)
	}
	return out
}

// widen returns in's types and names with more at the end.
func (e *emitter) widen(in int, cols ...int) ([]types.Type, []string) {
	at := e.at(in)
	ts, ns := slices.Clone(at.Out), slices.Clone(at.Names)
	for _, c := range cols {
		ts, ns = append(ts, e.b.cols[c].typ), append(ns, e.b.cols[c].name)
	}
	return ts, ns
}

func (in rel) with(node int, cols ...int) rel {
	out := rel{node: node, pos: map[int]int{}, width: in.width + len(cols)}
	for c, p := range in.pos {
		out.pos[c] = p
	}
	for i, c := range cols {
		out.pos[c] = in.width + i
	}
	return out
}

func (e *emitter) setFunc(x *setFunc, in rel) rel {
	cols := []int{x.col}
	if x.ord >= 0 {
		cols = append(cols, x.ord)
	}
	var args []expr.Expr
	for _, a := range x.args {
		args = append(args, e.place(a, in.pos))
	}
	ts, ns := e.widen(in.node, cols...)
	return in.with(e.add(&flow.ProjectSet{Fn: x.fn, Args: args, Ordinality: x.ord >= 0}, []int{in.node}, ts, ns), cols...)
}

func (e *emitter) window(x *window, in rel, inNeed colSet) rel {
	if x.gap > 0 { // keeps its rows
		in = e.narrow(in, x.in.out(), inNeed, nil)
	}
	ts, ns := e.widen(in.node, x.start, x.end)
	if x.gap > 0 {
		s := &flow.Session{Partition: places(x.partition, in.pos), Time: placeOf(x.time, in.pos, "time"), Gap: x.gap}
		return in.with(e.add(s, []int{in.node}, ts, ns), x.start, x.end)
	}
	w := &flow.Window{Time: placeOf(x.time, in.pos, "time"), Slide: x.slide, Size: x.size, Offset: x.offset, Step: x.step}
	return in.with(e.add(w, []int{in.node}, ts, ns), x.start, x.end)
}

func (e *emitter) aggregate(x *aggregate, in rel, inNeed, need colSet) rel {
	if len(inNeed) > 0 {
		in = e.narrow(in, x.in.out(), inNeed, nil)
	}
	a := &flow.Aggregate{Scalar: x.scalar && len(x.keys) == 0}
	out := rel{pos: map[int]int{}}
	var ts []types.Type
	var ns []string
	put := func(c int) {
		out.pos[c] = out.width
		out.width++
		ts, ns = append(ts, e.b.cols[c].typ), append(ns, e.b.cols[c].name)
	}
	for _, k := range x.keys {
		p := placeOf(k, in.pos, "key")
		if i := slices.Index(a.Keys, p); i >= 0 {
			out.pos[k] = i
			continue
		}
		a.Keys = append(a.Keys, p)
		put(k)
	}
	for _, c := range x.liveCalls(need) {
		f := flow.AggCall{Fn: c.fn, Distinct: c.distinct, Filter: -1, Order: sortKeys(c.order, in.pos), Ret: e.b.cols[c.col].typ}
		for _, arg := range c.args {
			f.Args = append(f.Args, placeOf(arg, in.pos, "argument"))
		}
		if c.filter >= 0 {
			f.Filter = placeOf(c.filter, in.pos, "filter")
		}
		a.Calls = append(a.Calls, f)
		put(c.col)
	}
	out.node = e.add(a, []int{in.node}, ts, ns)
	return out
}

func (e *emitter) setOp(x *setOp, ins []rel, need colSet) rel {
	out := rel{pos: map[int]int{}}
	var ts []types.Type
	var ns []string
	var take []int // positions in x.cols that are given
	for k, c := range x.cols {
		if x.kind == unionAll && !need.has(c) {
			continue
		}
		take = append(take, k)
		out.pos[c] = out.width
		out.width++
		ts, ns = append(ts, e.b.cols[c].typ), append(ns, e.b.cols[c].name)
	}
	var nodes []int
	for i, in := range ins {
		var es []expr.Expr
		var cols []int
		for _, k := range take {
			es, cols = append(es, e.b.colExpr(x.maps[i][k])), append(cols, x.cols[k])
		}
		r := e.project(in, cols, es)
		if len(take) == 0 {
			out.width, ts, ns = 1, e.at(r.node).Out, e.at(r.node).Names
		}
		nodes = append(nodes, r.node)
	}
	if x.kind == unionAll {
		out.node = e.add(&flow.Union{}, nodes, ts, ns)
		return out
	}
	op := &flow.SetOp{Except: x.kind == except || x.kind == exceptAll, All: x.kind == intersectAll || x.kind == exceptAll}
	out.node = e.add(op, nodes, ts, ns)
	return out
}

func (e *emitter) shared(x *sharedRef) rel {
	r, ok := e.bodies[x.body]
	if !ok {
		r = e.emit(x.body.in, e.needs[x.body])
		e.bodies[x.body] = r
	}
	out := rel{node: r.node, pos: map[int]int{}, width: r.width}
	for i, c := range x.body.in.out() {
		if p, ok := r.pos[c]; ok {
			out.pos[x.cols[i]] = p
		}
	}
	return out
}
