package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// apply joins a subquery to the rows of the query around it. needs are the
// outer columns that it uses, gives the columns that it adds.
type apply struct {
	pos   int
	needs []int
	gives []int
	join  func(n node) node
}

type applies []*apply

// attach joins subqueries to n, in order.
func (b *binder) attach(n node, as applies) node {
	for _, a := range as {
		n = a.join(n)
	}
	return n
}

// sub binds a subquery's own query.
func (b *binder) sub(ctx *exprCtx, q *sql.Query) *result {
	if ctx.subs == nil {
		fail(q.Pos(), types.CodeFeature, "cannot use subquery in %s", ctx.clause)
	}
	return b.query(q, ctx.sc, ctx.sc.ctes)
}

func (b *binder) oneColumn(r *result, pos int) expr.Expr {
	if len(r.cols) != 1 {
		fail(pos, types.CodeSyntax, "subquery must return only one column")
	}
	return b.colExpr(r.cols[0].id)
}

// subqueryValue binds a subquery whose value is part of an expression.
func (b *binder) subqueryValue(ctx *exprCtx, x sql.Expr) expr.Expr {
	switch x := x.(type) {
	case *sql.SubqueryExpr:
		r := b.sub(ctx, x.Query)
		b.oneColumn(r, x.Pos())
		return b.scalarApply(ctx, r, x.Pos())
	case *sql.ExistsExpr:
		return b.existsValue(ctx, b.sub(ctx, x.Query), x.Pos())
	case *sql.InQueryExpr:
		return b.negateIf(b.quantified(ctx, "=", x.Pos(), rowOf(x.X), x.Query, false), x.Not)
	case *sql.AnyExpr:
		return b.quantified(ctx, x.Op.Symbol, x.Op.Pos(), rowOf(x.L), x.Query, x.All)
	}
	q := x.(*sql.ArrayQueryExpr)
	return b.arrayQuery(ctx, b.sub(ctx, q.Query), q.Pos())
}

// arrayQuery is ARRAY(query): its values are joined in the text form of an
// array, each quoted, and read back as one.
func (b *binder) arrayQuery(ctx *exprCtx, r *result, pos int) expr.Expr {
	val := b.oneColumn(r, pos)
	t := val.Type()
	if t.Kind == types.Array {
		unsupported(pos, "an array of more than one dimension")
	}
	text := func(s string) expr.Expr { return expr.Const{V: types.TextValue(s)} }
	call := func(name string, args ...expr.Expr) expr.Expr {
		return b.call(name, pos, args, make([]int, len(args)))
	}
	plain := b.convert(val, types.T(types.Text), castExplicit, pos)
	quoted := call("||", call("||", text(`"`), call("replace", call("replace", plain, text(`\`), text(`\\`)), text(`"`), text(`\"`))), text(`"`))
	item := &expr.Coalesce{Args: []expr.Expr{quoted, text("NULL")}, T: types.T(types.Text)}
	n, ids := b.extend(r.node, []expr.Expr{item, text(",")}, []string{"", ""})
	fn, _, ret, err := expr.ResolveAgg("string_agg", []types.Type{types.T(types.Text), types.T(types.Text)})
	check(pos, err)
	out := b.newCol("array", ret)
	agg := &aggregate{in: n, scalar: true, calls: []aggCall{{fn: fn, args: ids, filter: -1, order: r.order, col: out}}}
	*ctx.subs = append(*ctx.subs, &apply{pos: pos, needs: free(agg), gives: []int{out}, join: func(outer node) node {
		return b.dependentJoin(flow.JoinLeft, outer, agg, nil)
	}})
	body := &expr.Coalesce{Args: []expr.Expr{call("||", call("||", text("{"), b.colExpr(out)), text("}")), text("{}")}, T: types.T(types.Text)}
	return &expr.Cast{Arg: body, T: types.ArrayOf(types.T(t.Kind)), Explicit: true}
}

func rowOf(x sql.Expr) []sql.Expr {
	if r, ok := x.(*sql.RowExpr); ok {
		return r.Elems
	}
	return []sql.Expr{x}
}

// scalarApply gives the only value of r, NULL if it has no row.
func (b *binder) scalarApply(ctx *exprCtx, r *result, pos int) expr.Expr {
	if c, ok := b.constantQuery(r); ok {
		return c
	}
	val := r.cols[0].id
	n := r.node
	if !givesOneRow(n) {
		fn, _, ret, err := expr.ResolveAgg("single_value", []types.Type{b.cols[val].typ})
		check(pos, err)
		out := b.newCol(b.cols[val].name, ret)
		n = &aggregate{in: b.keep(n, []int{val}), scalar: true, calls: []aggCall{{fn: fn, args: []int{val}, filter: -1, col: out}}}
		val = out
	} else {
		n = b.keep(n, []int{val})
	}
	*ctx.subs = append(*ctx.subs, &apply{pos: pos, needs: free(n), gives: []int{val}, join: func(outer node) node {
		return b.dependentJoin(flow.JoinLeft, outer, n, nil)
	}})
	return b.colExpr(val)
}

// givesOneRow reports that n has exactly one row whatever the data.
func givesOneRow(n node) bool {
	switch n := n.(type) {
	case *aggregate:
		return n.scalar && len(n.keys) == 0
	case *project:
		return givesOneRow(n.in)
	case *values:
		return len(n.rows) == 1
	case *join:
		// A subquery joined to one row leaves one row.
		return n.kind == flow.JoinLeft && givesOneRow(n.l) && givesOneRow(n.r)
	}
	return false
}

// countOver replaces n by one row with the number of its rows and, of those, how
// many satisfy each of conds.
func (b *binder) countOver(n node, conds ...expr.Expr) (node, []int) {
	star, _, ret, err := expr.ResolveAgg("count", nil)
	check(noPos, err)
	n, ids := b.extend(n, conds, make([]string, len(conds)))
	agg := &aggregate{scalar: true}
	var out []int
	for _, id := range append([]int{-1}, ids...) {
		c := aggCall{fn: star, filter: id, col: b.newCol("count", ret)}
		agg.calls = append(agg.calls, c)
		out = append(out, c.col)
	}
	agg.in = n
	return agg, out
}

func (b *binder) isPositive(col int) expr.Expr {
	return b.operator(">", noPos, b.colExpr(col), expr.Const{V: types.IntValue(types.Int8, 0)}, noPos, noPos)
}

// existsValue is EXISTS as a value: a count that is above zero.
func (b *binder) existsValue(ctx *exprCtx, r *result, pos int) expr.Expr {
	n, counts := b.countOver(r.node)
	*ctx.subs = append(*ctx.subs, &apply{pos: pos, needs: free(n), gives: counts, join: func(outer node) node {
		return b.dependentJoin(flow.JoinLeft, outer, n, nil)
	}})
	return b.isPositive(counts[0])
}

// quantified is l op ANY|ALL (query) as a value with three outcomes: the
// subquery's rows are counted by what the comparison gives.
func (b *binder) quantified(ctx *exprCtx, sym string, pos int, l []sql.Expr, q *sql.Query, all bool) expr.Expr {
	r := b.sub(ctx, q)
	le := b.operands(ctx, l)
	cond := b.quantifiedCond(sym, pos, le, positions(l), r, q.Pos())
	hit, want := cond, expr.True
	if all {
		want = expr.False
	}
	yes := &expr.IsBool{Arg: hit, Want: want}
	open := &expr.IsNull{Arg: hit}
	n, counts := b.countOver(r.node, yes, open)
	*ctx.subs = append(*ctx.subs, &apply{pos: pos, needs: free(n), gives: counts, join: func(outer node) node {
		return b.dependentJoin(flow.JoinLeft, outer, n, nil)
	}})
	return &expr.Case{T: types.T(types.Bool), Whens: []expr.When{
		{Cond: b.isPositive(counts[1]), Then: expr.Const{V: types.BoolValue(!all)}},
		{Cond: b.isPositive(counts[2]), Then: expr.Const{V: types.NullOf(types.T(types.Bool))}},
	}, Else: expr.Const{V: types.BoolValue(all)}}
}

// operands binds the left side of a comparison with a subquery's rows.
func (b *binder) operands(ctx *exprCtx, l []sql.Expr) []expr.Expr {
	le := b.exprs(ctx, l)
	if ctx.lift != nil {
		le = mapAll(le, ctx.lift)
	}
	return le
}

// quantifiedCond compares the left side with a row of the subquery.
func (b *binder) quantifiedCond(sym string, pos int, le []expr.Expr, lp []int, r *result, qpos int) expr.Expr {
	switch {
	case len(r.cols) > len(le):
		fail(qpos, types.CodeSyntax, "subquery has too many columns")
	case len(r.cols) < len(le):
		fail(qpos, types.CodeSyntax, "subquery has too few columns")
	}
	var re []expr.Expr
	rp := make([]int, len(r.cols))
	for i, c := range r.cols {
		re, rp[i] = append(re, b.colExpr(c.id)), qpos
	}
	if len(le) == 1 {
		return b.operator(sym, pos, le[0], re[0], lp[0], rp[0])
	}
	return b.compareRows(sym, pos, le, re, lp, rp)
}

// rowSubquery is (a, b) = (SELECT x, y ...), a row comparison with the only row.
func (b *binder) rowSubquery(ctx *exprCtx, x *sql.BinaryExpr, l *sql.RowExpr, q *sql.SubqueryExpr) expr.Expr {
	r := b.sub(ctx, q.Query)
	if len(r.cols) != len(l.Elems) {
		fail(x.Op.Pos(), types.CodeSyntax, "subquery has too %s columns", map[bool]string{true: "many", false: "few"}[len(r.cols) > len(l.Elems)])
	}
	le, lp := b.exprs(ctx, l.Elems), positions(l.Elems)
	agg := &aggregate{in: b.keep(r.node, r.ids()), scalar: true}
	var re []expr.Expr
	a := &apply{pos: q.Pos()}
	for _, c := range r.cols {
		fn, _, ret, err := expr.ResolveAgg("single_value", []types.Type{b.cols[c.id].typ})
		check(q.Pos(), err)
		out := b.newCol(c.name, ret)
		agg.calls = append(agg.calls, aggCall{fn: fn, args: []int{c.id}, filter: -1, col: out})
		a.gives, re = append(a.gives, out), append(re, b.colExpr(out))
	}
	a.needs = free(agg)
	a.join = func(outer node) node { return b.dependentJoin(flow.JoinLeft, outer, agg, nil) }
	*ctx.subs = append(*ctx.subs, a)
	return b.compareRows(x.Op.Symbol, x.Op.Pos(), le, re, lp, make([]int, len(re)))
}

// subqueryJoin turns a top-level condition on a subquery into a semi or anti
// join; nil if x is not one, or not one that a join can decide.
func (b *binder) subqueryJoin(ctx *exprCtx, x sql.Expr) *apply {
	not := false
	for {
		n, ok := x.(*sql.NotExpr)
		if !ok {
			break
		}
		not, x = !not, n.X
	}
	switch x := x.(type) {
	case *sql.ExistsExpr:
		r := b.sub(ctx, x.Query)
		return b.existsJoin(r.node, nil, not, x.Pos())
	case *sql.InQueryExpr:
		return b.inJoin(ctx, "=", x.Pos(), rowOf(x.X), x.Query, not != x.Not)
	case *sql.AnyExpr:
		if x.Query != nil && !x.All && !not {
			return b.inJoin(ctx, x.Op.Symbol, x.Op.Pos(), rowOf(x.L), x.Query, false)
		}
	}
	return nil
}

// existsJoin keeps rows with (or, for not, without) a row of n that meets on.
func (b *binder) existsJoin(n node, on []expr.Expr, not bool, pos int) *apply {
	kind := flow.JoinSemi
	if not {
		kind = flow.JoinAnti
	}
	needs := free(n)
	given := setOf(n.out())
	for _, c := range exprCols(on...) {
		if !given.has(c) && !slices.Contains(needs, c) {
			needs = append(needs, c)
		}
	}
	return &apply{pos: pos, needs: needs, join: func(outer node) node { return b.dependentJoin(kind, outer, n, on) }}
}

// inJoin is IN as a semi join. NOT IN is an anti join that knows of NULLs, where
// it compares one column and the subquery stands alone; else its value is counted.
func (b *binder) inJoin(ctx *exprCtx, sym string, pos int, l []sql.Expr, q *sql.Query, not bool) *apply {
	var own applies
	lctx := *ctx
	lctx.subs = &own
	r := b.sub(ctx, q)
	if not && (len(l) != 1 || sym != "=" || len(free(r.node)) > 0) {
		return b.notInByCount(ctx, sym, pos, l, q)
	}
	le := b.operands(&lctx, l)
	cond := b.quantifiedCond(sym, pos, le, positions(l), r, q.Pos())
	var a *apply
	if not {
		needs := exprCols(le...)
		a = &apply{pos: pos, needs: needs, join: func(outer node) node {
			return &join{kind: flow.JoinAntiNull, l: outer, r: b.keep(r.node, r.ids()), on: []expr.Expr{cond}}
		}}
	} else {
		a = b.existsJoin(r.node, conjuncts(cond), false, pos)
	}
	if len(own) == 0 {
		return a
	}
	// The left side holds subqueries of its own: they come first.
	join := a.join
	a.join = func(outer node) node { return join(b.attach(outer, own)) }
	return a
}

// notInByCount filters by NOT IN as a value.
func (b *binder) notInByCount(ctx *exprCtx, sym string, pos int, l []sql.Expr, q *sql.Query) *apply {
	var own applies
	vctx := *ctx
	vctx.subs = &own
	e := &expr.Not{Arg: b.quantified(&vctx, sym, pos, l, q, false)}
	a := &apply{pos: pos, join: func(outer node) node {
		return &filter{in: b.attach(outer, own), preds: []expr.Expr{e}}
	}}
	for _, o := range own {
		a.needs = append(a.needs, o.needs...)
	}
	return a
}
