package plan

import (
	"slices"
	"strconv"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// exprCtx is where an expression stands and what it may contain.
type exprCtx struct {
	sc     *scope
	clause string // as messages name it
	// aggs collects aggregates; nil where they are not allowed.
	aggs *aggList
	// subs collects subqueries, to be joined in below the expression; nil where
	// they are not allowed. aggSubs is the same for those inside of aggregates.
	subs, aggSubs *applies
	// sets collects set-returning functions; nil where they are not allowed.
	sets *[]*setFunc
	// lift puts columns of the grouped rows in the place of grouping expressions, in
	// what stands above a GROUP BY and is computed inside of a subquery's circuit;
	// nil elsewhere.
	lift  func(expr.Expr) expr.Expr
	inAgg bool
	// match is what names mean in MEASURES and DEFINE; nil elsewhere.
	match *matchCtx
	// wins collects window functions; nil where they are not allowed. inWin: among the
	// arguments of one.
	wins  *winList
	inWin bool
}

// expr binds an expression. What it returns may be of Unknown type: an untyped
// literal, NULL or parameter, which takes its type from its surroundings.
func (b *binder) expr(ctx *exprCtx, x sql.Expr) expr.Expr {
	switch x := x.(type) {
	case *sql.NullLit:
		return expr.Const{V: types.NullOf(types.T(types.Unknown))}
	case *sql.BoolLit:
		return expr.Const{V: types.BoolValue(x.Value)}
	case *sql.NumberLit:
		return b.number(x)
	case *sql.StringLit:
		return expr.Const{V: types.Value{S: x.Value}}
	case *sql.TypedLit:
		return b.typedLiteral(x)
	case *sql.Param:
		return b.param(x)
	case *sql.ColumnRef:
		if ctx.match != nil {
			return b.matchColumn(ctx, x)
		}
		c, _ := b.column(ctx.sc, x)
		return b.colExpr(c.id)
	case *sql.UnaryExpr:
		return b.unary(ctx, x)
	case *sql.BinaryExpr:
		return b.binary(ctx, x)
	case *sql.AndExpr:
		return b.logic(ctx, x.Args, false)
	case *sql.OrExpr:
		return b.logic(ctx, x.Args, true)
	case *sql.NotExpr:
		return b.fold(&expr.Not{Arg: b.boolean(b.expr(ctx, x.X), "NOT", x.X.Pos())})
	case *sql.CastExpr:
		return b.cast(ctx, x)
	case *sql.CaseExpr:
		return b.caseExpr(ctx, x)
	case *sql.CollateExpr:
		return b.collate(ctx, x)
	case *sql.SubqueryExpr, *sql.ExistsExpr, *sql.InQueryExpr, *sql.ArrayQueryExpr:
		return b.subqueryValue(ctx, x)
	case *sql.FuncCall:
		if ctx.match != nil {
			if e := b.matchCall(ctx, x); e != nil {
				return e
			}
		}
		return b.funcCall(ctx, x)
	}
	if e := b.predicate(ctx, x); e != nil {
		return e
	}
	return b.special(ctx, x)
}

// predicate binds IS, BETWEEN, IN, LIKE and the like; nil if x is none of them.
func (b *binder) predicate(ctx *exprCtx, x sql.Expr) expr.Expr {
	switch x := x.(type) {
	case *sql.IsExpr:
		return b.is(ctx, x)
	case *sql.IsDistinctExpr:
		return b.isDistinct(ctx, x)
	case *sql.BetweenExpr:
		return b.between(ctx, x)
	case *sql.InListExpr:
		return b.inList(ctx, x)
	case *sql.LikeExpr:
		return b.like(ctx, x)
	case *sql.AnyExpr:
		if x.Query != nil {
			return b.subqueryValue(ctx, x)
		}
		return b.anyArray(ctx, x)
	}
	return nil
}

// number is an integer if it fits, else a bigint, else numeric.
func (b *binder) number(x *sql.NumberLit) expr.Expr {
	if x.IsInt {
		if v, err := strconv.ParseInt(x.Text, 10, 64); err == nil {
			if v == int64(int32(v)) {
				return expr.Const{V: types.IntValue(types.Int4, v)}
			}
			return expr.Const{V: types.IntValue(types.Int8, v)}
		}
	}
	return b.literal(x.Text, types.T(types.Numeric), castExplicit, x.Pos())
}

// intervalUnits give the unit of a bare number in INTERVAL '5' DAY.
var intervalUnits = map[sql.IntervalFields]string{
	sql.IntervalYear: "year", sql.IntervalMonth: "month", sql.IntervalDay: "day", sql.IntervalHour: "hour",
	sql.IntervalMinute: "minute", sql.IntervalSecond: "second", sql.IntervalDayToHour: "hour",
	sql.IntervalDayToMinute: "minute", sql.IntervalHourToMinute: "minute", sql.IntervalYearToMonth: "month",
	sql.IntervalDayToSecond: "second", sql.IntervalHourToSecond: "second", sql.IntervalMinuteToSecond: "second",
}

func (b *binder) typedLiteral(x *sql.TypedLit) expr.Expr {
	t := resolveType(x.Type)
	text := x.Value
	if unit := intervalUnits[x.Type.Interval]; unit != "" {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			text += " " + unit
		}
	}
	return b.literal(text, t, castExplicit, x.Pos())
}

func (b *binder) param(x *sql.Param) expr.Expr {
	if b.inMacro {
		return b.macroArgs[x.N-1]
	}
	if b.inFunction {
		if x.N < 1 || x.N > len(b.funcArgs) {
			fail(x.Pos(), "42P02", "there is no parameter $%d", x.N)
		}
		return b.funcArgs[x.N-1]
	}
	if b.inView {
		fail(x.Pos(), "42P02", "there is no parameter $%d", x.N)
	}
	if x.N < 1 || x.N > maxParams {
		fail(x.Pos(), "42P02", "there is no parameter $%d", x.N)
	}
	for len(b.params) < x.N {
		b.params = append(b.params, types.Type{})
	}
	return expr.Param{Index: x.N - 1, T: b.params[x.N-1]}
}

// operator applies an operator by its symbol; the error, if there is none for
// these types, is at pos.
func (b *binder) operator(sym string, pos int, l, r expr.Expr, lpos, rpos int) expr.Expr {
	return b.call(sym, pos, []expr.Expr{l, r}, []int{lpos, rpos})
}

// call resolves name for the arguments, converts them, and folds constants.
func (b *binder) call(name string, pos int, args []expr.Expr, poss []int) expr.Expr {
	ts := make([]types.Type, len(args))
	for i, a := range args {
		ts[i] = a.Type()
		if ts[i].Kind == types.Record {
			unsupported(poss[i], "a row as an argument of %s", name)
		}
	}
	fn, cast, ret, err := expr.Resolve(name, ts)
	check(pos, err)
	as := make([]expr.Expr, len(args))
	for i, a := range args {
		as[i] = b.settle(b.convert(a, cast[i], castImplicit, poss[i]), poss[i])
	}
	if fn.Volatility == expr.Volatile && b.inView {
		failHint(pos, types.CodeFeature, "Its value would change without any change of the data. Compute it when the data is written.",
			"function %s is volatile and cannot be used in a view that is kept up to date", name)
	}
	return b.fold(&expr.Call{Fn: fn, Args: as, T: ret})
}

func (b *binder) unary(ctx *exprCtx, x *sql.UnaryExpr) expr.Expr {
	e := b.expr(ctx, x.X)
	if x.Op.Symbol == "+" && types.IsNumeric(e.Type().Kind) {
		return e
	}
	return b.call(x.Op.Symbol, x.Op.Pos(), []expr.Expr{e}, []int{x.X.Pos()})
}

func isComparison(sym string) bool {
	switch sym {
	case "=", "<>", "<", "<=", ">", ">=":
		return true
	}
	return false
}

func (b *binder) binary(ctx *exprCtx, x *sql.BinaryExpr) expr.Expr {
	if isComparison(x.Op.Symbol) {
		l, lok := x.L.(*sql.RowExpr)
		r, rok := x.R.(*sql.RowExpr)
		if lok && rok {
			return b.rowCompare(ctx, x.Op, l.Elems, r.Elems, x.Op.Pos())
		}
		if q, ok := x.R.(*sql.SubqueryExpr); ok && lok {
			return b.rowSubquery(ctx, x, l, q)
		}
	}
	return b.operator(x.Op.Symbol, x.Op.Pos(), b.expr(ctx, x.L), b.expr(ctx, x.R), x.L.Pos(), x.R.Pos())
}

// logic joins conditions and drops those that decide nothing.
func (b *binder) logic(ctx *exprCtx, args []sql.Expr, or bool) expr.Expr {
	word := "AND"
	if or {
		word = "OR"
	}
	var es []expr.Expr
	for _, a := range args {
		es = append(es, b.boolean(b.expr(ctx, a), word, a.Pos()))
	}
	return logicOf(or, es)
}

func logicOf(or bool, es []expr.Expr) expr.Expr {
	var kept []expr.Expr
	for _, e := range es {
		if c, ok := e.(expr.Const); ok && !c.V.Null {
			if (c.V.I != 0) == or {
				return e
			}
			continue
		}
		kept = append(kept, e)
	}
	switch len(kept) {
	case 0:
		return expr.Const{V: types.BoolValue(!or)}
	case 1:
		return kept[0]
	}
	return &expr.Logic{Or: or, Args: kept}
}

// rowCompare compares rows field by field: equality of all, or the first
// difference decides.
func (b *binder) rowCompare(ctx *exprCtx, op sql.Operator, l, r []sql.Expr, pos int) expr.Expr {
	if len(l) != len(r) {
		fail(pos, types.CodeSyntax, "unequal number of entries in row expressions")
	}
	if len(l) == 0 {
		fail(pos, types.CodeFeature, "cannot compare rows of zero length")
	}
	le, re := make([]expr.Expr, len(l)), make([]expr.Expr, len(l))
	lp, rp := make([]int, len(l)), make([]int, len(l))
	for i := range l {
		le[i], re[i], lp[i], rp[i] = b.expr(ctx, l[i]), b.expr(ctx, r[i]), l[i].Pos(), r[i].Pos()
	}
	return b.compareRows(op.Symbol, pos, le, re, lp, rp)
}

func (b *binder) compareRows(sym string, pos int, l, r []expr.Expr, lp, rp []int) expr.Expr {
	if sym == "=" || sym == "<>" {
		var es []expr.Expr
		for i := range l {
			es = append(es, b.operator(sym, pos, l[i], r[i], lp[i], rp[i]))
		}
		return logicOf(sym == "<>", es)
	}
	strict := sym[:1]
	out := b.operator(sym, pos, l[len(l)-1], r[len(l)-1], lp[len(l)-1], rp[len(l)-1])
	for i := len(l) - 2; i >= 0; i-- {
		lt := b.operator(strict, pos, l[i], r[i], lp[i], rp[i])
		eq := b.operator("=", pos, l[i], r[i], lp[i], rp[i])
		out = logicOf(true, []expr.Expr{lt, logicOf(false, []expr.Expr{eq, out})})
	}
	return out
}

func (b *binder) is(ctx *exprCtx, x *sql.IsExpr) expr.Expr {
	if row, ok := x.X.(*sql.RowExpr); ok && x.Kind == sql.IsNull {
		var es []expr.Expr
		for _, f := range row.Elems {
			es = append(es, b.fold(&expr.IsNull{Arg: b.settle(b.expr(ctx, f), f.Pos()), Negate: x.Not}))
		}
		return logicOf(false, es)
	}
	e := b.expr(ctx, x.X)
	switch x.Kind {
	case sql.IsNull:
		return b.fold(&expr.IsNull{Arg: b.settle(e, x.X.Pos()), Negate: x.Not})
	case sql.IsNormalized:
		unsupported(x.Pos(), "IS NORMALIZED")
	}
	want := map[sql.IsKind]expr.Truth{sql.IsTrue: expr.True, sql.IsFalse: expr.False, sql.IsUnknown: expr.UnknownTruth}[x.Kind]
	word := map[sql.IsKind]string{sql.IsTrue: "IS TRUE", sql.IsFalse: "IS FALSE", sql.IsUnknown: "IS UNKNOWN"}[x.Kind]
	if x.Not {
		word = "IS NOT" + word[2:]
	}
	return b.fold(&expr.IsBool{Arg: b.boolean(e, word, x.X.Pos()), Want: want, Negate: x.Not})
}

func (b *binder) isDistinct(ctx *exprCtx, x *sql.IsDistinctExpr) expr.Expr {
	l, r := b.expr(ctx, x.L), b.expr(ctx, x.R)
	l, r = b.comparable("=", l, r, x.L.Pos(), x.R.Pos(), x.R.Pos())
	if isNullConst(r) {
		return b.fold(&expr.IsNull{Arg: l, Negate: !x.Not})
	}
	if isNullConst(l) {
		return b.fold(&expr.IsNull{Arg: r, Negate: !x.Not})
	}
	return b.fold(&expr.Distinct{L: l, R: r, Negate: x.Not})
}

// comparable converts two operands to the one type that the comparison uses.
func (b *binder) comparable(sym string, l, r expr.Expr, lp, rp, pos int) (expr.Expr, expr.Expr) {
	_, cast, _, err := expr.Resolve(sym, []types.Type{l.Type(), r.Type()})
	check(pos, err)
	l, r = b.convert(l, cast[0], castImplicit, lp), b.convert(r, cast[1], castImplicit, rp)
	if l.Type().Kind != r.Type().Kind {
		es, _ := b.unify("IS DISTINCT FROM", []expr.Expr{l, r}, []int{lp, rp})
		l, r = es[0], es[1]
	}
	return l, r
}

func (b *binder) between(ctx *exprCtx, x *sql.BetweenExpr) expr.Expr {
	e, lo, hi := b.expr(ctx, x.X), b.expr(ctx, x.Lo), b.expr(ctx, x.Hi)
	xp, lp, hp := x.X.Pos(), x.Lo.Pos(), x.Hi.Pos()
	within := func(lo, hi expr.Expr, lp, hp int) expr.Expr {
		return logicOf(false, []expr.Expr{b.operator(">=", x.Pos(), e, lo, xp, lp), b.operator("<=", x.Pos(), e, hi, xp, hp)})
	}
	out := within(lo, hi, lp, hp)
	if x.Symmetric {
		out = logicOf(true, []expr.Expr{out, within(hi, lo, hp, lp)})
	}
	if x.Not {
		return b.fold(&expr.Not{Arg: out})
	}
	return out
}

// inList binds x IN (list): a lookup if the list is constant, else a chain of comparisons.
func (b *binder) inList(ctx *exprCtx, x *sql.InListExpr) expr.Expr {
	if row, ok := x.X.(*sql.RowExpr); ok {
		var es []expr.Expr
		for _, y := range x.List {
			r, ok := y.(*sql.RowExpr)
			if !ok {
				fail(y.Pos(), types.CodeSyntax, "unequal number of entries in row expressions")
			}
			es = append(es, b.rowCompare(ctx, sql.Operator{Symbol: "="}, row.Elems, r.Elems, x.Pos()))
		}
		return b.negateIf(logicOf(true, es), x.Not)
	}
	es := []expr.Expr{b.expr(ctx, x.X)}
	poss := []int{x.X.Pos()}
	for _, y := range x.List {
		es, poss = append(es, b.expr(ctx, y)), append(poss, y.Pos())
	}
	return b.inExprs(es, poss, x.Not, x.Pos())
}

// inExprs is es[0] IN (es[1:]).
func (b *binder) inExprs(es []expr.Expr, poss []int, not bool, pos int) expr.Expr {
	consts := !isConst(es[0])
	for _, e := range es[1:] {
		_, ok := e.(expr.Const)
		consts = consts && ok
	}
	if consts {
		ts := make([]types.Type, len(es))
		for i, e := range es {
			ts[i] = e.Type()
		}
		t, err := expr.UnifyTypes("IN", ts)
		if err == nil && t.Kind != types.Unknown && slices.IndexFunc(es, func(e expr.Expr) bool { return !castable(e.Type(), t, castImplicit) }) < 0 {
			return b.inConsts(es, poss, t, not)
		}
	}
	var eqs []expr.Expr
	for i, e := range es[1:] {
		eqs = append(eqs, b.operator("=", pos, es[0], e, poss[0], poss[i+1]))
	}
	return b.negateIf(logicOf(true, eqs), not)
}

func (b *binder) inConsts(es []expr.Expr, poss []int, t types.Type, not bool) expr.Expr {
	in := &expr.InList{Arg: b.convert(es[0], t, castImplicit, poss[0]), Negate: not}
	for i, e := range es[1:] {
		c, ok := b.convert(e, t, castImplicit, poss[i+1]).(expr.Const)
		switch {
		case !ok:
			fail(poss[i+1], types.CodeInternal, "constant in IN did not fold")
		case c.V.Null:
			in.HasNull = true
		default:
			in.List = append(in.List, c.V)
		}
	}
	return b.fold(in)
}

func (b *binder) negateIf(e expr.Expr, not bool) expr.Expr {
	if not {
		return b.fold(&expr.Not{Arg: e})
	}
	return e
}

// likeOps are the operators behind the pattern words, plain and negated.
var likeOps = map[sql.LikeKind][2]string{sql.Like: {"~~", "!~~"}, sql.ILike: {"~~*", "!~~*"}, sql.SimilarTo: {"~", "!~"}}

func (b *binder) like(ctx *exprCtx, x *sql.LikeExpr) expr.Expr {
	e, pat := b.expr(ctx, x.X), b.expr(ctx, x.Pattern)
	pp := x.Pattern.Pos()
	switch {
	case x.Kind == sql.SimilarTo:
		args, poss := []expr.Expr{pat}, []int{pp}
		if x.Escape != nil {
			args, poss = append(args, b.expr(ctx, x.Escape)), append(poss, x.Escape.Pos())
		}
		pat = b.call("similar_to_escape", pp, args, poss)
	case x.Escape != nil:
		pat = b.call("like_escape", x.Escape.Pos(), []expr.Expr{pat, b.expr(ctx, x.Escape)}, []int{pp, x.Escape.Pos()})
	}
	return b.operator(likeOps[x.Kind][btoi(x.Not)], x.Pos(), e, pat, x.X.Pos(), pp)
}

// anyArray binds x op ANY (array). An array written out, or constant, is a list.
func (b *binder) anyArray(ctx *exprCtx, x *sql.AnyExpr) expr.Expr {
	l := b.expr(ctx, x.L)
	if arr, ok := x.Array.(*sql.ArrayExpr); ok {
		return b.anyOf(x, l, b.exprs(ctx, arr.Elems), positions(arr.Elems))
	}
	if c, ok := x.Array.(*sql.CastExpr); ok {
		if arr, ok := c.X.(*sql.ArrayExpr); ok {
			t := resolveType(c.Type)
			es := b.exprs(ctx, arr.Elems)
			for i := range es {
				es[i] = b.coerce(es[i], types.T(t.Elem), castExplicit, arr.Elems[i].Pos())
			}
			return b.anyOf(x, l, es, positions(arr.Elems))
		}
	}
	a := b.expr(ctx, x.Array)
	if a.Type().Kind == types.Unknown {
		elem := l.Type().Kind
		if elem == types.Unknown {
			elem = types.Text
		}
		a = b.convert(a, types.Type{Kind: types.Array, Elem: elem}, castImplicit, x.Array.Pos())
	}
	if a.Type().Kind != types.Array {
		fail(x.Op.Pos(), types.CodeWrongObject, "op ANY/ALL (array) requires array on right side")
	}
	name := "any"
	if x.All {
		name = "all"
	}
	l = b.convert(l, types.T(a.Type().Elem), castImplicit, x.L.Pos())
	return b.call(x.Op.Symbol+" "+name, x.Op.Pos(), []expr.Expr{l, a}, []int{x.L.Pos(), x.Array.Pos()})
}

func (b *binder) anyOf(x *sql.AnyExpr, l expr.Expr, es []expr.Expr, poss []int) expr.Expr {
	if x.Op.Symbol == "=" && !x.All && len(es) > 0 {
		return b.inExprs(append([]expr.Expr{l}, es...), append([]int{x.L.Pos()}, poss...), false, x.Op.Pos())
	}
	var out []expr.Expr
	for i, e := range es {
		out = append(out, b.operator(x.Op.Symbol, x.Op.Pos(), l, e, x.L.Pos(), poss[i]))
	}
	return logicOf(!x.All, out)
}

func (b *binder) exprs(ctx *exprCtx, xs []sql.Expr) []expr.Expr {
	out := make([]expr.Expr, len(xs))
	for i, x := range xs {
		out[i] = b.expr(ctx, x)
	}
	return out
}

func positions(xs []sql.Expr) []int {
	out := make([]int, len(xs))
	for i, x := range xs {
		out[i] = x.Pos()
	}
	return out
}
