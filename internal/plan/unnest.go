package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// Subqueries are removed after Neumann and Kemper, "Unnesting Arbitrary
// Queries", BTW 2015: the outer columns that a subquery uses, each combination
// once, are its domain. The subquery is computed for the whole domain at once,
// carrying the domain's columns along, and joined to the outer rows on them.
// Where the subquery equates all of them with columns of its own, those serve
// instead, and no domain is needed.

// dependsOn reports whether n uses columns that outer gives.
func dependsOn(n, outer node) bool { return setOf(outer.out()).hasAny(free(n)) }

// dependentJoin joins r, which may use columns of l, to l.
func (b *binder) dependentJoin(kind flow.JoinKind, l, r node, on []expr.Expr) node {
	if kind == flow.JoinRight {
		kind, l, r = flow.JoinLeft, r, l
	}
	if kind == flow.JoinInner && isUnit(l) && !dependsOn(r, l) {
		return withFilter(r, on)
	}
	if !dependsOn(r, l) {
		return &join{kind: kind, l: l, r: r, on: on}
	}
	if n := b.rowwise(kind, l, r, on); n != nil {
		return n
	}
	outer := setOf(l.out())
	r, on = b.pull(r, outer, on, kind)
	if !dependsOn(r, l) {
		return &join{kind: kind, l: l, r: r, on: on}
	}
	var need []int
	for _, c := range free(r) {
		if outer.has(c) {
			need = append(need, c)
		}
	}
	body, need := b.identify(l, need)
	d := &domain{b: b, body: share(body), need: need}
	main := b.sameRef(d.body)
	inner, m := d.unnest(r)
	j := &join{kind: kind, l: main, r: inner, on: on}
	for _, c := range need {
		j.same = append(j.same, [2]int{c, m[c]})
	}
	return j
}

// identify adds to the columns of a domain the texts of those whose values may be
// equal and yet not the same, such as 1.0 and 1.00 or 1 mon and 30 days: the domain
// holds one row of equal ones, and what a subquery makes of that row is not what
// it makes of the others.
func (b *binder) identify(l node, need []int) (node, []int) {
	var texts []expr.Expr
	for _, c := range need {
		switch t := b.cols[c].typ; t.Kind {
		case types.Numeric, types.Interval, types.Float4, types.Float8, types.Array, types.Record:
			texts = append(texts, &expr.Cast{Arg: b.colExpr(c), T: types.T(types.Text), Explicit: true})
		}
	}
	if len(texts) == 0 {
		return l, need
	}
	n, ids := b.extend(l, texts, make([]string, len(texts)))
	return n, append(slices.Clone(need), ids...)
}

// rowwise handles right sides that a single left row decides: functions of it,
// and the one row of an aggregate; nil if r is neither.
func (b *binder) rowwise(kind flow.JoinKind, l, r node, on []expr.Expr) node {
	switch x := r.(type) {
	case *setFunc:
		if kind == flow.JoinInner && isUnit(x.in) {
			f := *x
			f.in = l
			return withFilter(&f, on)
		}
	case *values:
		if kind == flow.JoinInner && len(x.rows) == 1 {
			return withFilter(b.append(l, x.cols, x.rows[0]), on)
		}
	}
	if kind == flow.JoinLeft && len(on) == 0 {
		return b.scalarJoin(l, r)
	}
	return nil
}

// append adds columns under given identities.
func (b *binder) append(in node, cols []int, es []expr.Expr) node {
	p := &project{in: in}
	for _, c := range in.out() {
		p.cols, p.exprs = append(p.cols, c), append(p.exprs, b.colExpr(c))
	}
	for i, c := range cols {
		if !slices.Contains(p.cols, c) {
			p.cols, p.exprs = append(p.cols, c), append(p.exprs, es[i])
		}
	}
	return p
}

// scalarJoin joins the one row of an aggregate, perhaps with expressions over
// it, to each row of l: it is grouped by the domain, where l's row finds nothing
// counts are zero, and the expressions are computed above. Nil if r has another form.
func (b *binder) scalarJoin(l, r node) node {
	var above []*project
	for {
		p, ok := r.(*project)
		if !ok {
			break
		}
		above, r = append(above, p), p.in
	}
	if v, ok := r.(*values); ok && len(v.rows) == 1 {
		n := b.append(l, v.cols, v.rows[0])
		for _, p := range slices.Backward(above) {
			n = b.append(n, p.cols, p.exprs)
		}
		return n
	}
	a, ok := r.(*aggregate)
	if !ok || !a.scalar || len(a.keys) > 0 {
		return nil
	}
	outer := setOf(l.out())
	var need []int
	for _, c := range free(a) {
		if outer.has(c) {
			need = append(need, c)
		}
	}
	if len(need) == 0 {
		return nil
	}
	body, need := b.identify(l, need)
	d := &domain{b: b, body: share(body), need: need}
	main := b.sameRef(d.body)
	in, m := d.unnest(a.in)
	g := &aggregate{in: in}
	j := &join{kind: flow.JoinLeft, l: main, r: g}
	for _, c := range need {
		j.same = append(j.same, [2]int{c, m[c]})
		if !slices.Contains(g.keys, m[c]) {
			g.keys = append(g.keys, m[c])
		}
	}
	cols, es := d.emptyAggregates(a, g)
	p := &project{in: j}
	for _, c := range l.out() {
		p.cols, p.exprs = append(p.cols, c), append(p.exprs, b.colExpr(c))
	}
	p.cols, p.exprs = append(p.cols, cols...), append(p.exprs, es...)
	var n node = p
	for _, p := range slices.Backward(above) {
		n = b.append(n, p.cols, p.exprs)
	}
	return n
}

// emptyAggregates gives g the aggregates of a under new identities, and the
// expressions that yield a's columns where g may be missing.
func (d *domain) emptyAggregates(a, g *aggregate) (cols []int, es []expr.Expr) {
	b := d.b
	for _, c := range a.calls {
		n := c
		n.col = b.newCol(b.cols[c.col].name, b.cols[c.col].typ)
		g.calls = append(g.calls, n)
		e := b.colExpr(n.col)
		if n.fn.Op == expr.AggCount || n.fn.Op == expr.AggCountStar {
			e = &expr.Coalesce{Args: []expr.Expr{e, expr.Const{V: types.IntValue(types.Int8, 0)}}, T: types.T(types.Int8)}
		}
		cols, es = append(cols, c.col), append(es, e)
	}
	return cols, es
}

// isUnit reports that n is the relation of one row without columns.
func isUnit(n node) bool {
	v, ok := n.(*values)
	return ok && len(v.rows) == 1 && len(v.cols) == 0
}

func withFilter(n node, preds []expr.Expr) node {
	if len(preds) == 0 {
		return n
	}
	return &filter{in: n, preds: preds}
}

// pull takes filters that use outer columns out of n and into the join's
// condition, as far as what n computes allows.
func (b *binder) pull(n node, outer colSet, on []expr.Expr, kind flow.JoinKind) (node, []expr.Expr) {
	semi := kind == flow.JoinSemi || kind == flow.JoinAnti
	switch x := n.(type) {
	case *filter:
		in, on := b.pull(x.in, outer, on, kind)
		var own []expr.Expr
		for _, p := range x.preds {
			if outer.hasAny(exprCols(p)) {
				on = append(on, p)
			} else {
				own = append(own, p)
			}
		}
		return withFilter(in, own), on
	case *project:
		if outer.hasAny(exprCols(x.exprs...)) {
			if !semi {
				return n, on
			}
			m := map[int]expr.Expr{}
			for i, c := range x.cols {
				m[c] = x.exprs[i]
			}
			on = mapAll(on, func(e expr.Expr) expr.Expr { return substitute(e, m) })
			return b.pull(x.in, outer, on, kind)
		}
		in, on := b.pull(x.in, outer, on, kind)
		if in == x.in {
			return n, on
		}
		p := &project{in: in, cols: slices.Clone(x.cols), exprs: slices.Clone(x.exprs)}
		for _, c := range in.out() {
			if !slices.Contains(p.cols, c) {
				p.cols, p.exprs = append(p.cols, c), append(p.exprs, b.colExpr(c))
			}
		}
		return p, on
	case *distinct:
		if semi {
			return b.pull(x.in, outer, on, kind)
		}
	case *join:
		return b.pullJoin(x, outer, on, kind)
	}
	return n, on
}

func (b *binder) pullJoin(x *join, outer colSet, on []expr.Expr, kind flow.JoinKind) (node, []expr.Expr) {
	j := *x
	switch x.kind {
	case flow.JoinInner:
		j.l, on = b.pull(x.l, outer, on, flow.JoinInner)
		j.r, on = b.pull(x.r, outer, on, flow.JoinInner)
		j.on = nil
		for _, p := range x.on {
			if outer.hasAny(exprCols(p)) {
				on = append(on, p)
			} else {
				j.on = append(j.on, p)
			}
		}
	case flow.JoinLeft, flow.JoinSemi, flow.JoinAnti, flow.JoinAntiNull:
		j.l, on = b.pull(x.l, outer, on, flow.JoinInner)
	default:
		return x, on
	}
	return &j, on
}

// domain is what a subquery is computed for: the outer columns it needs.
type domain struct {
	b    *binder
	body *shared
	need []int
}

// rows gives the domain itself, each combination once, and where its columns are.
func (d *domain) rows() (node, map[int]int) {
	r := d.b.ref(d.body)
	from := d.body.in.out()
	m := map[int]int{}
	cols := make([]int, len(d.need))
	for i, c := range d.need {
		cols[i] = r.cols[indexOf(from, c)]
		m[c] = cols[i]
	}
	return &distinct{in: d.b.keep(r, cols)}, m
}

func (d *domain) uses(n node) bool { return setOf(d.need).hasAny(free(n)) }

// cols are where the needed columns are, in the order of need.
func (d *domain) cols(m map[int]int) []int {
	out := make([]int, len(d.need))
	for i, c := range d.need {
		out[i] = m[c]
	}
	return out
}

func (d *domain) subst(es []expr.Expr, m map[int]int) []expr.Expr {
	to := map[int]expr.Expr{}
	for _, c := range d.need {
		to[c] = d.b.colExpr(m[c])
	}
	return mapAll(es, func(e expr.Expr) expr.Expr { return substitute(e, to) })
}

// unnest rebuilds n so that it gives, beside its columns, the domain's: for each
// combination the rows that n has for it. The map says where they are.
func (d *domain) unnest(n node) (node, map[int]int) {
	if !d.uses(n) {
		rows, m := d.rows()
		if isUnit(n) {
			return rows, m
		}
		return &join{kind: flow.JoinInner, l: rows, r: n}, m
	}
	b := d.b
	switch x := n.(type) {
	case *values:
		return d.values(x)
	case *filter:
		if out, m, ok := d.equated(x); ok {
			return out, m
		}
		in, m := d.unnest(x.in)
		return &filter{in: in, preds: d.subst(x.preds, m)}, m
	case *project:
		in, m := d.unnest(x.in)
		p := &project{in: in, cols: slices.Clone(x.cols), exprs: d.subst(x.exprs, m)}
		for _, c := range d.cols(m) {
			if !slices.Contains(p.cols, c) {
				p.cols, p.exprs = append(p.cols, c), append(p.exprs, b.colExpr(c))
			}
		}
		return p, m
	case *setFunc:
		in, m := d.unnest(x.in)
		f := *x
		f.in, f.args = in, d.subst(x.args, m)
		return &f, m
	case *window:
		in, m := d.unnest(x.in)
		w := *x
		w.in = in
		if x.gap > 0 {
			w.partition = append(slices.Clone(x.partition), d.cols(m)...)
		}
		return &w, m
	case *distinct:
		in, m := d.unnest(x.in)
		return &distinct{in: b.keep(in, append(slices.Clone(x.in.out()), d.cols(m)...))}, m
	case *topN:
		in, m := d.unnest(x.in)
		t := *x
		t.in, t.partition = in, append(slices.Clone(x.partition), d.cols(m)...)
		return &t, m
	case *over:
		in, m := d.unnest(x.in)
		o := *x
		o.in, o.partition = in, append(slices.Clone(x.partition), d.cols(m)...)
		return &o, m
	case *match:
		return d.unnestMatch(x)
	case *setOp:
		return d.setOp(x)
	case *aggregate:
		return d.aggregate(x)
	case *join:
		return d.join(x)
	case *asOf:
		return d.timed(x, x.l, x.r)
	case *lookup:
		return d.timed(x, x.l, x.r)
	case *sharedRef:
		return d.unnest(b.rename(x.body.in, x.body.in.out(), x.cols))
	}
	fail(noPos, types.CodeInternal, "no rule to unnest %T", n)
	panic("unreachable")
}

// equated handles a filter over rows that do not depend on the domain and that
// equates every domain column with something of those rows.
func (d *domain) equated(x *filter) (node, map[int]int, bool) {
	if d.uses(x.in) {
		return nil, nil, false
	}
	inner := setOf(x.in.out())
	found := map[int]expr.Expr{}
	var rest []expr.Expr
	for _, p := range x.preds {
		c, e := d.equation(p, inner)
		if e == nil || found[c] != nil {
			rest = append(rest, p)
			continue
		}
		found[c] = e
	}
	if len(found) < len(d.need) {
		return nil, nil, false
	}
	var es []expr.Expr
	for _, c := range d.need {
		es = append(es, found[c])
	}
	in, ids := d.b.extend(x.in, es, make([]string, len(es)))
	m := map[int]int{}
	var preds []expr.Expr
	for i, c := range d.need {
		m[c] = ids[i]
		preds = append(preds, &expr.IsNull{Arg: d.b.colExpr(ids[i]), Negate: true})
	}
	return &filter{in: in, preds: append(preds, d.subst(rest, m)...)}, m, true
}

// equation reads p as domain column = expression over inner.
func (d *domain) equation(p expr.Expr, inner colSet) (int, expr.Expr) {
	c, ok := p.(*expr.Call)
	if !ok || c.Fn.Name != "=" || len(c.Args) != 2 {
		return 0, nil
	}
	for i := range 2 {
		col, ok := unwiden(c.Args[i]).(expr.Col)
		other := unwiden(c.Args[1-i])
		if ok && slices.Contains(d.need, col.Index) && col.T.Layout() == other.Type().Layout() {
			if used := exprCols(other); len(used) > 0 && inner.hasAll(used) {
				return col.Index, other
			}
		}
	}
	return 0, nil
}

func (d *domain) values(x *values) (node, map[int]int) {
	u := &setOp{kind: unionAll, cols: append(slices.Clone(x.cols), d.b.copyCols(d.need)...)}
	var only *project
	var om map[int]int
	for _, row := range x.rows {
		rows, m := d.rows()
		p := &project{in: rows, cols: d.b.copyCols(x.cols), exprs: d.subst(row, m)}
		for _, c := range d.cols(m) {
			p.cols, p.exprs = append(p.cols, c), append(p.exprs, d.b.colExpr(c))
		}
		u.ins, u.maps = append(u.ins, p), append(u.maps, p.cols)
		only, om = p, m
	}
	if len(x.rows) == 1 {
		copy(only.cols, x.cols)
		return only, om
	}
	m := map[int]int{}
	for i, c := range d.need {
		m[c] = u.cols[len(x.cols)+i]
	}
	return u, m
}

func (d *domain) setOp(x *setOp) (node, map[int]int) {
	u := &setOp{kind: x.kind, cols: append(slices.Clone(x.cols), d.b.copyCols(d.need)...)}
	for i, in := range x.ins {
		n, m := d.unnest(in)
		u.ins = append(u.ins, n)
		u.maps = append(u.maps, append(slices.Clone(x.maps[i]), d.cols(m)...))
	}
	m := map[int]int{}
	for i, c := range d.need {
		m[c] = u.cols[len(x.cols)+i]
	}
	return u, m
}

// aggregate groups by the domain as well. One without groups has a row also
// where its input has none, so it is joined back to the domain, and counts of
// nothing become zero.
func (d *domain) aggregate(x *aggregate) (node, map[int]int) {
	b := d.b
	in, m := d.unnest(x.in)
	keys := slices.Clone(x.keys)
	for _, c := range d.cols(m) {
		if !slices.Contains(keys, c) {
			keys = append(keys, c)
		}
	}
	if !x.scalar || len(x.keys) > 0 {
		return &aggregate{in: in, keys: keys, calls: x.calls}, m
	}
	a := &aggregate{in: in, keys: keys}
	rows, rm := d.rows()
	p := &project{}
	p.cols, p.exprs = d.emptyAggregates(x, a)
	j := &join{kind: flow.JoinLeft, l: rows, r: a}
	for _, c := range d.need {
		j.same = append(j.same, [2]int{rm[c], m[c]})
		p.cols, p.exprs = append(p.cols, rm[c]), append(p.exprs, b.colExpr(rm[c]))
	}
	p.in = j
	return p, rm
}

func (d *domain) join(x *join) (node, map[int]int) {
	j := &join{kind: x.kind, l: x.l, r: x.r, same: slices.Clone(x.same)}
	var ml, mr map[int]int
	left, right := d.uses(x.l), d.uses(x.r)
	if left || !right || x.kind != flow.JoinInner {
		j.l, ml = d.unnest(x.l)
	}
	if right || x.kind == flow.JoinFull {
		j.r, mr = d.unnest(x.r)
	}
	m := ml
	if m == nil {
		m = mr
	}
	j.on = d.subst(x.on, m)
	if ml == nil || mr == nil {
		return j, m
	}
	for _, c := range d.need {
		j.same = append(j.same, [2]int{ml[c], mr[c]})
	}
	if x.kind != flow.JoinFull {
		return j, m
	}
	// Either side of a full join may be missing.
	var es []expr.Expr
	for _, c := range d.need {
		l := d.b.colExpr(ml[c])
		es = append(es, &expr.Coalesce{Args: []expr.Expr{l, d.b.colExpr(mr[c])}, T: l.Type()})
	}
	n, ids := d.b.extend(j, es, make([]string, len(es)))
	out := map[int]int{}
	for i, c := range d.need {
		out[c] = ids[i]
	}
	return n, out
}
