package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// selecter binds one SELECT.
type selecter struct {
	b    *binder
	sel  *sql.Select
	sc   *scope
	node node
	// items are the select list with stars expanded.
	items []selectItem
	// groupBy are the bound grouping expressions; keys their columns once grouped.
	groupBy []expr.Expr
	keys    []int
	aggs    *aggList
	before  applies // subqueries needed below the grouping
	after   applies // and above it
	sets    []*setFunc
	setUses []colUse
	fromSet colSet // columns of FROM, which grouping hides
	lifted  []lifted
	wins    *winList
}

// lifted is a column with the value of grouping expression key.
type lifted struct{ key, col int }

// selectItem is one column of a select list.
type selectItem struct {
	name string
	x    sql.Expr // nil for a column of a star
	col  scopeCol
	e    expr.Expr
	uses []colUse
}

func (b *binder) selectBody(sel *sql.Select, orderBy []sql.OrderItem, parent *scope, ctes *cteEnv) *result {
	return b.selectStmt(sel, orderBy, parent, ctes, true)
}

// selectArm binds a SELECT under a set operation, which gives untyped literals their types.
func (b *binder) selectArm(sel *sql.Select, parent *scope, ctes *cteEnv) *result {
	return b.selectStmt(sel, nil, parent, ctes, false)
}

func (b *binder) selectStmt(sel *sql.Select, orderBy []sql.OrderItem, parent *scope, ctes *cteEnv, settle bool) *result {
	if sel.Into != nil {
		unsupported(sel.Into.Pos(), "SELECT INTO")
	}
	s := &selecter{b: b, sel: sel, sc: &scope{parent: parent, ctes: ctes}, aggs: &aggList{}}
	item := b.from(sel.From, s.sc)
	s.sc.vars, s.sc.cols, s.node = item.vars, item.cols, item.node
	if sel.Where != nil {
		s.node = b.where(s.node, s.sc, sel.Where, "WHERE")
	}
	s.expandItems()
	s.bindGroupBy()
	s.defineWindows()
	s.bindItems(settle)
	having := s.bindHaving()
	order := s.bindOrderBy(orderBy)
	on := s.bindDistinctOn()
	if len(s.groupBy) > 0 || len(s.aggs.calls) > 0 || sel.Having != nil || len(sel.GroupBy) > 0 {
		s.group()
		for i := range s.items {
			s.items[i].e = s.grouped(s.items[i].e, s.items[i].uses)
		}
		for i := range order {
			order[i].e = s.grouped(order[i].e, order[i].uses)
		}
		for i := range on {
			on[i].e = s.grouped(on[i].e, on[i].uses)
		}
		for _, f := range s.sets {
			f.args = mapAll(f.args, func(e expr.Expr) expr.Expr { return s.grouped(e, s.setUses) })
		}
		s.checkSubqueries(s.after)
		s.node = b.attach(s.node, s.after)
		if having != nil {
			s.node = having(s)
		}
		s.windows(s.grouped)
	} else {
		s.node = b.attach(b.attach(s.node, s.before), s.after)
		s.windows(func(e expr.Expr, _ []colUse) expr.Expr { return e })
	}
	for _, f := range s.sets {
		f.in = s.node
		s.node = f
	}
	r := s.output(order, on)
	if !settle {
		for _, it := range s.items {
			r.raw = append(r.raw, it.e)
		}
	}
	return r
}

// where filters n by a condition. Conditions on EXISTS and IN become semi and
// anti joins; other subqueries become columns first.
func (b *binder) where(n node, sc *scope, x sql.Expr, clause string) node {
	var subs, joins applies
	var preds []expr.Expr
	if clause == "WHERE" {
		defer func(was bool) { b.nowOK = was }(b.nowOK)
		b.nowOK = true
	}
	for _, c := range sqlConjuncts(x) {
		ctx := &exprCtx{sc: sc, clause: clause, subs: &subs}
		if j := b.subqueryJoin(ctx, c); j != nil {
			joins = append(joins, j)
			continue
		}
		preds = append(preds, conjuncts(b.boolean(b.expr(ctx, c), clause, c.Pos()))...)
	}
	return b.filterBy(n, preds, subs, joins)
}

// filterBy filters by plain conditions first, so that subqueries see fewer rows.
func (b *binder) filterBy(n node, preds []expr.Expr, subs, joins applies) node {
	outer := colSet{}
	for _, s := range subs {
		outer.add(s.gives...)
	}
	var first, later []expr.Expr
	for _, p := range preds {
		if outer.hasAny(exprCols(p)) {
			later = append(later, p)
		} else {
			first = append(first, p)
		}
	}
	if len(first) > 0 {
		n = &filter{in: n, preds: first}
	}
	n = b.attach(n, subs)
	if len(later) > 0 {
		n = &filter{in: n, preds: later}
	}
	return b.attach(n, joins)
}

func sqlConjuncts(x sql.Expr) []sql.Expr {
	if a, ok := x.(*sql.AndExpr); ok {
		var out []sql.Expr
		for _, y := range a.Args {
			out = append(out, sqlConjuncts(y)...)
		}
		return out
	}
	return []sql.Expr{x}
}

// expandItems lists the select list's columns, stars expanded.
func (s *selecter) expandItems() {
	s.items = s.b.expandItems(s.sel.Items, s.sc)
}

func (b *binder) expandItems(list []sql.SelectItem, sc *scope) []selectItem {
	var out []selectItem
	for _, it := range list {
		star, ok := it.X.(*sql.StarExpr)
		if !ok {
			name := it.Alias.Text
			if name == "" {
				name = outputName(it.X)
			}
			out = append(out, selectItem{name: name, x: it.X})
			continue
		}
		cols := sc.cols
		if q := names(star.Qualifier); len(q) > 0 {
			schema := ""
			if len(q) > 1 {
				schema = q[len(q)-2]
			}
			v, _ := b.findVar(sc, schema, q[len(q)-1], star.Pos())
			cols = v.cols
		} else if len(sc.vars) == 0 {
			fail(star.Pos(), types.CodeSyntax, "SELECT * with no tables specified is not valid")
		}
		for _, c := range cols {
			out = append(out, selectItem{name: c.name, col: c, e: b.colExpr(c.id), uses: []colUse{{c.id, star.Pos(), sc.qualify(c)}}})
		}
	}
	if len(out) > maxColumns {
		fail(list[0].Pos(), types.CodeTooComplex, "target lists can have at most %d entries", maxColumns)
	}
	return out
}

// ctx is the context of the select list and what may use it.
func (s *selecter) ctx(clause string) *exprCtx {
	ctx := &exprCtx{sc: s.sc, clause: clause, aggs: s.aggs, subs: &s.after, aggSubs: &s.before, wins: s.wins}
	if len(s.groupBy) > 0 {
		ctx.lift = s.lift
	}
	return ctx
}

// lift replaces grouping expressions in e, which will be compared with a subquery's
// rows above the grouping, by columns that group makes.
func (s *selecter) lift(e expr.Expr) expr.Expr {
	for i, g := range s.groupBy {
		if _, ok := g.(expr.Col); ok || !sameExpr(e, g) {
			continue
		}
		k := slices.IndexFunc(s.lifted, func(l lifted) bool { return l.key == i })
		if k < 0 {
			k = len(s.lifted)
			s.lifted = append(s.lifted, lifted{i, s.b.newCol("", g.Type())})
		}
		return s.b.colExpr(s.lifted[k].col)
	}
	return mapChildren(e, s.lift)
}

// bound binds x and tells which columns it used where.
func (s *selecter) bound(ctx *exprCtx, x sql.Expr) (expr.Expr, []colUse) {
	s.sc.uses = nil
	e := s.b.expr(ctx, x)
	return e, s.sc.uses
}

func (s *selecter) bindItems(settle bool) {
	for i := range s.items {
		it := &s.items[i]
		if it.x == nil {
			continue
		}
		ctx := s.ctx("SELECT")
		ctx.sets = &s.sets
		it.e, it.uses = s.bound(ctx, it.x)
		if len(s.sets) > 0 && s.setUses == nil {
			s.setUses = it.uses
		}
		if settle || s.sel.Distinct {
			it.e = s.b.settle(it.e, it.x.Pos())
		}
		if it.e.Type().Kind == types.Record {
			unsupported(it.x.Pos(), "a row as a column")
		}
		if ref, ok := it.x.(*sql.ColumnRef); ok {
			it.col, _ = s.b.column(s.sc, ref)
		}
	}
}

// bindGroupBy binds GROUP BY: a number or an output name stands for an item,
// but a column of FROM goes before an output name.
func (s *selecter) bindGroupBy() {
	for _, g := range s.sel.GroupBy {
		switch g.Kind {
		case sql.GroupEmpty:
			continue
		case sql.GroupExpr:
		default:
			unsupported(g.Pos(), "GROUPING SETS, ROLLUP and CUBE")
		}
		x := g.Exprs[0]
		if row, ok := x.(*sql.RowExpr); ok && !row.Explicit {
			for _, y := range row.Elems {
				s.addGroup(y)
			}
			continue
		}
		s.addGroup(x)
	}
}

func (s *selecter) addGroup(x sql.Expr) {
	switch v := x.(type) {
	case *sql.NumberLit:
		n, ok := ordinal(x)
		if !ok {
			fail(x.Pos(), types.CodeSyntax, "non-integer constant in GROUP BY")
		}
		if n < 1 || n > len(s.items) {
			fail(x.Pos(), "42P10", "GROUP BY position %d is not in select list", n)
		}
		it := s.items[n-1]
		if it.x == nil {
			s.addKey(it.e)
			return
		}
		x = it.x
	case *sql.StringLit, *sql.NullLit, *sql.BoolLit:
		fail(x.Pos(), types.CodeSyntax, "non-integer constant in GROUP BY")
	case *sql.ColumnRef:
		if len(v.Parts) == 1 && !s.hasColumn(v.Parts[0].Text) {
			for _, it := range s.items {
				if it.name == v.Parts[0].Text && it.x != nil {
					x = it.x
					break
				}
			}
		}
	}
	e, _ := s.bound(&exprCtx{sc: s.sc, clause: "GROUP BY", subs: &s.before}, x)
	s.addKey(s.b.settle(e, x.Pos()))
}

func (s *selecter) hasColumn(name string) bool {
	return slices.ContainsFunc(s.sc.cols, func(c scopeCol) bool { return c.name == name })
}

func (s *selecter) addKey(e expr.Expr) {
	if !slices.ContainsFunc(s.groupBy, func(g expr.Expr) bool { return sameExpr(g, e) }) {
		s.groupBy = append(s.groupBy, e)
	}
}

// bindHaving binds HAVING; what it returns filters the grouped node.
func (s *selecter) bindHaving() func(*selecter) node {
	if s.sel.Having == nil {
		return nil
	}
	type cond struct {
		e    expr.Expr
		uses []colUse
	}
	var conds []cond
	var joins applies
	var own applies
	for _, c := range sqlConjuncts(s.sel.Having) {
		ctx := s.ctx("HAVING")
		ctx.subs, ctx.wins = &own, nil
		s.sc.uses = nil
		if j := s.b.subqueryJoin(ctx, c); j != nil {
			joins = append(joins, j)
			continue
		}
		e, uses := s.bound(ctx, c)
		conds = append(conds, cond{s.b.boolean(e, "HAVING", c.Pos()), uses})
	}
	return func(s *selecter) node {
		var preds []expr.Expr
		for _, c := range conds {
			preds = append(preds, conjuncts(s.grouped(c.e, c.uses))...)
		}
		s.checkSubqueries(own)
		s.checkSubqueries(joins)
		return s.b.filterBy(s.node, preds, own, joins)
	}
}

// orderItem is a bound ORDER BY item: an output column or an expression.
type orderItem struct {
	item sql.OrderItem
	out  int // index of the select item, or -1
	e    expr.Expr
	uses []colUse
}

func (s *selecter) bindOrderBy(items []sql.OrderItem) []orderItem {
	var out []orderItem
	for _, it := range items {
		o := orderItem{item: it, out: s.outputItem(it.X, "ORDER BY")}
		if o.out >= 0 {
			o.e, o.uses = s.items[o.out].e, s.items[o.out].uses
		} else {
			o.e, o.uses = s.bound(s.ctx("ORDER BY"), it.X)
			o.e = s.b.settle(o.e, it.X.Pos())
			o.out = slices.IndexFunc(s.items, func(i selectItem) bool { return sameExpr(i.e, o.e) })
		}
		out = append(out, o)
	}
	return out
}

// outputItem finds the select item that x names by number or alias, or -1.
func (s *selecter) outputItem(x sql.Expr, clause string) int {
	if n, ok := ordinal(x); ok {
		if n < 1 || n > len(s.items) {
			fail(x.Pos(), "42P10", "%s position %d is not in select list", clause, n)
		}
		return n - 1
	}
	switch x.(type) {
	case *sql.StringLit, *sql.NumberLit, *sql.NullLit, *sql.BoolLit:
		fail(x.Pos(), types.CodeSyntax, "non-integer constant in %s", clause)
	}
	ref, ok := x.(*sql.ColumnRef)
	if !ok || len(ref.Parts) != 1 {
		return -1
	}
	found := -1
	for i, it := range s.items {
		if it.name == ref.Parts[0].Text {
			if found >= 0 && !sameExpr(s.items[found].e, it.e) {
				fail(x.Pos(), types.CodeAmbiguousColumn, "%s %q is ambiguous", clause, it.name)
			}
			if found < 0 {
				found = i
			}
		}
	}
	return found
}

func (s *selecter) bindDistinctOn() []orderItem {
	var out []orderItem
	for _, x := range s.sel.DistinctOn {
		o := orderItem{out: s.outputItem(x, "SELECT DISTINCT ON")}
		if o.out >= 0 {
			o.e, o.uses = s.items[o.out].e, s.items[o.out].uses
		} else {
			o.e, o.uses = s.bound(s.ctx("DISTINCT ON"), x)
			o.e = s.b.settle(o.e, x.Pos())
		}
		out = append(out, o)
	}
	return out
}

// output projects the select list, makes it distinct, and resolves the order.
func (s *selecter) output(order, on []orderItem) *result {
	b := s.b
	r := &result{}
	var es []expr.Expr
	var ns []string
	for _, it := range s.items {
		es, ns = append(es, it.e), append(ns, it.name)
	}
	for _, o := range order {
		es, ns = append(es, o.e), append(ns, "")
	}
	for _, o := range on {
		es, ns = append(es, o.e), append(ns, "")
	}
	n, ids := b.extend(s.node, es, ns)
	for i, it := range s.items {
		c := scopeCol{name: it.name, id: ids[i]}
		if it.col.id == ids[i] {
			c.rel, c.att = it.col.rel, it.col.att
		}
		r.cols = append(r.cols, c)
	}
	for i, o := range order {
		id := ids[len(s.items)+i]
		if o.out >= 0 {
			id = ids[o.out]
		}
		r.order = append(r.order, orderKey(o.item, id))
	}
	r.node = n
	switch {
	case len(on) > 0:
		s.distinctOn(r, order, on, ids)
	case s.sel.Distinct:
		for _, o := range order {
			if o.out < 0 {
				fail(o.item.X.Pos(), "42P10", "for SELECT DISTINCT, ORDER BY expressions must appear in select list")
			}
		}
		r.node = &distinct{in: b.keep(n, r.ids())}
	}
	return r
}

// distinctOn keeps the first row of each group of equal ON values.
func (s *selecter) distinctOn(r *result, order, on []orderItem, ids []int) {
	var part []int
	for i := range on {
		id := ids[len(s.items)+len(order)+i]
		if on[i].out >= 0 {
			id = ids[on[i].out]
		}
		if !slices.Contains(part, id) {
			part = append(part, id)
		}
	}
	for i, k := range r.order {
		if i >= len(part) {
			break
		}
		if !slices.Contains(part, k.col) {
			fail(order[i].item.X.Pos(), "42P10", "SELECT DISTINCT ON expressions must match initial ORDER BY expressions")
		}
	}
	cols := r.ids()
	for _, k := range r.order {
		cols = append(cols, k.col)
	}
	r.node = &topN{in: s.b.keep(r.node, append(cols, part...)), partition: part, order: r.order, limit: 1}
}

// group builds the aggregation: keys and arguments are computed first.
func (s *selecter) group() {
	b := s.b
	s.fromSet = setOf(s.node.out())
	n := b.attach(s.node, s.before)
	s.fromSet.add(n.out()...)
	s.addDependentKeys()
	es := slices.Clone(s.groupBy)
	ns := make([]string, len(es))
	for i, e := range es {
		if c, ok := e.(expr.Col); ok {
			ns[i] = c.Name
		}
	}
	for _, c := range s.aggs.calls {
		es = append(es, c.pre...)
	}
	for len(ns) < len(es) {
		ns = append(ns, "")
	}
	// A key that is a column of an outer query is a column here, too.
	n, ids := b.extend(n, es, ns)
	s.keys = ids[:len(s.groupBy)]
	at := len(s.groupBy)
	agg := &aggregate{in: n, scalar: len(s.sel.GroupBy) == 0}
	for _, k := range s.keys {
		if !slices.Contains(agg.keys, k) {
			agg.keys = append(agg.keys, k)
		}
	}
	for _, c := range s.aggs.calls {
		agg.calls = append(agg.calls, c.place(ids[at:at+len(c.pre)]))
		at += len(c.pre)
	}
	if len(agg.keys) == 0 && len(s.sel.GroupBy) > 0 {
		agg.scalar = true // GROUP BY ()
	}
	s.node = agg
	if len(s.lifted) > 0 {
		from, to := slices.Clone(agg.out()), slices.Clone(agg.out())
		for _, l := range s.lifted {
			from, to = append(from, s.keys[l.key]), append(to, l.col)
		}
		s.node = b.rename(agg, from, to)
	}
}

// addDependentKeys lets a table's other columns be used where its primary key is
// grouped by: they are keys as well then.
func (s *selecter) addDependentKeys() {
	keys := colSet{}
	for _, g := range s.groupBy {
		if c, ok := g.(expr.Col); ok {
			keys.add(c.Index)
		}
	}
	for _, v := range s.sc.vars {
		if v.rel == nil || v.rel.Kind != catalog.Table || len(v.rel.PrimaryKey) == 0 {
			continue
		}
		all := true
		for _, k := range v.rel.PrimaryKey {
			all = all && k < len(v.cols) && keys.has(v.cols[k].id)
		}
		if !all {
			continue
		}
		for _, c := range v.cols {
			if !keys.has(c.id) && s.isUsed(c.id) {
				s.groupBy = append(s.groupBy, s.b.colExpr(c.id))
				keys.add(c.id)
			}
		}
	}
}

// isUsed reports whether anything bound so far outside of aggregates may need column id.
func (s *selecter) isUsed(id int) bool {
	for _, it := range s.items {
		if slices.Contains(exprCols(it.e), id) {
			return true
		}
	}
	for _, u := range s.sc.uses {
		if u.id == id {
			return true
		}
	}
	for _, a := range s.after {
		if slices.Contains(a.needs, id) {
			return true
		}
	}
	return s.sel.Having != nil || s.wins.uses(id)
}

// grouped rewrites an expression to read the grouped rows: grouping expressions
// become key columns; any other column of FROM is an error.
func (s *selecter) grouped(e expr.Expr, uses []colUse) expr.Expr {
	for i, g := range s.groupBy {
		if sameExpr(e, g) {
			return s.b.colExpr(s.keys[i])
		}
	}
	if c, ok := e.(expr.Col); ok && s.fromSet.has(c.Index) {
		for _, u := range uses {
			if u.id == c.Index {
				s.ungrouped(u.name, u.pos)
			}
		}
		s.ungrouped(c.Name, noPos)
	}
	return mapChildren(e, func(x expr.Expr) expr.Expr { return s.grouped(x, uses) })
}

func (s *selecter) ungrouped(name string, pos int) {
	fail(pos, types.CodeGrouping, "column %q must appear in the GROUP BY clause or be used in an aggregate function", name)
}

// checkSubqueries refuses subqueries above the grouping that use other columns than keys.
func (s *selecter) checkSubqueries(subs applies) {
	keys := setOf(s.keys)
	for _, a := range subs {
		for _, c := range a.needs {
			if s.fromSet.has(c) && !keys.has(c) {
				fail(a.pos, types.CodeGrouping, "subquery uses ungrouped column %q from outer query", s.sc.qualify(scopeCol{name: s.b.cols[c].name, id: c}))
			}
		}
	}
}
