package plan

import (
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// aggNames are the functions that aggregate; expr.ResolveAgg knows their types.
var aggNames = map[string]bool{
	"count": true, "sum": true, "avg": true, "min": true, "max": true, "bool_and": true, "bool_or": true, "every": true,
	"string_agg": true, "stddev": true, "stddev_samp": true, "stddev_pop": true, "variance": true, "var_samp": true,
	"var_pop": true, "any_value": true, "array_agg": true, "json_agg": true, "jsonb_agg": true, "mode": true,
	"percentile_cont": true, "percentile_disc": true, "corr": true, "approx_count_distinct": true,
}

// setNames are the functions that return rows; expr.ResolveSet knows their types.
var setFunctionNames = map[string]bool{
	"generate_series": true, "unnest": true, "generate_subscripts": true, "regexp_split_to_table": true,
	"string_to_table": true, "regexp_matches": true, "pg_options_to_table": true,
}

// windowNames are the functions that need OVER.
var windowNames = map[string]bool{
	"row_number": true, "rank": true, "dense_rank": true, "percent_rank": true, "cume_dist": true, "ntile": true,
	"lag": true, "lead": true, "first_value": true, "last_value": true, "nth_value": true,
}

func builtinName(n sql.Name) (string, bool) {
	s := n.Schema()
	return n.Last(), s == "" || s == "pg_catalog"
}

func isSetFunction(f *sql.FuncCall) bool {
	name, ok := builtinName(f.Name)
	return ok && setFunctionNames[name]
}

// aggList collects the aggregates of one SELECT.
type aggList struct{ calls []*pendingAgg }

// pendingAgg is an aggregate before its arguments are columns: pre holds the
// arguments, then the filter if there is one, then the sort keys.
type pendingAgg struct {
	fn       *expr.AggFunc
	pre      []expr.Expr
	nargs    int
	filter   bool
	distinct bool
	order    []sql.OrderItem
	col      int
	ret      types.Type
}

func (a *pendingAgg) same(o *pendingAgg) bool {
	return a.fn == o.fn && a.nargs == o.nargs && a.filter == o.filter && a.distinct == o.distinct && len(a.order) == 0 &&
		len(o.order) == 0 && sameAll(a.pre, o.pre)
}

// place makes the call over the columns that pre became.
func (a *pendingAgg) place(ids []int) aggCall {
	c := aggCall{fn: a.fn, args: ids[:a.nargs:a.nargs], distinct: a.distinct, filter: -1, col: a.col}
	ids = ids[a.nargs:]
	if a.filter {
		c.filter, ids = ids[0], ids[1:]
	}
	for i, it := range a.order {
		c.order = append(c.order, orderKey(it, ids[i]))
	}
	return c
}

// funcCall binds a call: of an aggregate, a set-returning function, a function
// of the session or the catalog, or a plain one.
func (b *binder) funcCall(ctx *exprCtx, f *sql.FuncCall) expr.Expr {
	name, builtin := builtinName(f.Name)
	if !builtin {
		if e := b.userCall(ctx, f); e != nil {
			return e
		}
		lockElsewhere(f)
		fail(f.Pos(), types.CodeUndefinedFunction, "function %s.%s does not exist", f.Name.Schema(), name)
	}
	if f.Over != nil {
		return b.windowCall(ctx, f, name)
	}
	if windowNames[name] {
		fail(f.Pos(), types.CodeWrongObject, "window function %s requires an OVER clause", name)
	}
	if f.Running || f.Final {
		fail(f.Pos(), types.CodeSyntax, "RUNNING and FINAL are for MATCH_RECOGNIZE only")
	}
	for _, a := range f.Args {
		if n, ok := a.(*sql.NamedArg); ok {
			unsupported(n.Pos(), "an argument by name")
		}
	}
	switch {
	case aggNames[name]:
		return b.aggregate(ctx, f, name)
	case f.Star || f.Distinct || f.Filter != nil || len(f.OrderBy) > 0 || len(f.WithinGroup) > 0:
		word := "DISTINCT"
		switch {
		case f.Star:
			fail(f.Pos(), types.CodeWrongObject, "%s(*) specified, but %s is not an aggregate function", name, name)
		case f.Filter != nil:
			word = "FILTER"
		case len(f.WithinGroup) > 0:
			word = "WITHIN GROUP"
		case len(f.OrderBy) > 0:
			word = "ORDER BY"
		}
		fail(f.Pos(), types.CodeWrongObject, "%s specified, but %s is not an aggregate function", word, name)
	case setFunctionNames[name]:
		return b.setInSelect(ctx, f, name)
	}
	if e := b.sessionFunc(f, name); e != nil {
		return e
	}
	if e := b.userCall(ctx, f); e != nil {
		return e
	}
	b.groupWindow(f, name)
	args := b.exprs(ctx, f.Args)
	if _, ok := b.p.Macros[name]; ok {
		return b.macroCall(name, args, ctx, f.Pos())
	}
	if f.Variadic {
		unsupported(f.Pos(), "VARIADIC")
	}
	return b.call(name, f.Pos(), args, positions(f.Args))
}

// aggregate binds an aggregate and gives the column that will hold its value.
func (b *binder) aggregate(ctx *exprCtx, f *sql.FuncCall, name string) expr.Expr {
	if ctx.inAgg {
		fail(f.Pos(), types.CodeGrouping, "aggregate function calls cannot be nested")
	}
	if ctx.aggs == nil {
		fail(f.Pos(), types.CodeGrouping, "aggregate functions are not allowed in %s", ctx.clause)
	}
	if len(f.WithinGroup) > 0 {
		unsupported(f.Pos(), "WITHIN GROUP")
	}
	in := &exprCtx{sc: ctx.sc, clause: ctx.clause, aggs: ctx.aggs, subs: ctx.aggSubs, inAgg: true, match: ctx.match}
	uses := ctx.sc.uses // columns inside of an aggregate need not be grouped
	a := &pendingAgg{distinct: f.Distinct, nargs: len(f.Args), order: f.OrderBy}
	args := b.exprs(in, f.Args)
	ts := make([]types.Type, len(args))
	for i, e := range args {
		ts[i] = e.Type()
	}
	if f.Star && (name != "count" || f.Distinct) || len(args) == 0 && !f.Star {
		fail(f.Pos(), types.CodeWrongObject, "%s(*) must be used to call a parameterless aggregate function", name)
	}
	fn, cast, ret, err := expr.ResolveAgg(name, ts)
	check(f.Pos(), err)
	for i, e := range args {
		e = b.convert(e, cast[i], castImplicit, f.Args[i].Pos())
		a.pre = append(a.pre, b.settle(e, f.Args[i].Pos()))
	}
	a.fn, a.ret = fn, ret
	if f.Filter != nil {
		a.filter = true
		a.pre = append(a.pre, b.boolean(b.expr(in, f.Filter), "FILTER", f.Filter.Pos()))
	}
	for _, o := range f.OrderBy {
		e := b.settle(b.expr(in, o.X), o.X.Pos())
		if f.Distinct && !slices.ContainsFunc(a.pre[:a.nargs], func(p expr.Expr) bool { return sameExpr(p, e) }) {
			fail(o.X.Pos(), "42P10", "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list")
		}
		a.pre = append(a.pre, e)
	}
	ctx.sc.uses = uses
	for _, o := range ctx.aggs.calls {
		if o.same(a) {
			return b.colExpr(o.col)
		}
	}
	a.col = b.newCol(name, ret)
	ctx.aggs.calls = append(ctx.aggs.calls, a)
	return b.colExpr(a.col)
}

// setFunction resolves a set-returning function.
func (b *binder) setFunction(ctx *exprCtx, f *sql.FuncCall) (*expr.SetFunc, []expr.Expr) {
	name := f.Name.Last()
	args := b.exprs(ctx, f.Args)
	ts := make([]types.Type, len(args))
	for i, a := range args {
		ts[i] = a.Type()
	}
	fn, cast, ret, err := expr.ResolveSet(name, ts)
	check(f.Pos(), err)
	for i := range args {
		args[i] = b.settle(b.convert(args[i], cast[i], castImplicit, f.Args[i].Pos()), f.Args[i].Pos())
	}
	if fn.Ret != ret {
		c := *fn
		c.Ret = ret
		fn = &c
	}
	return fn, args
}

// setInSelect binds a set-returning function in a select list.
func (b *binder) setInSelect(ctx *exprCtx, f *sql.FuncCall, name string) expr.Expr {
	if ctx.sets == nil {
		fail(f.Pos(), types.CodeFeature, "set-returning functions are not allowed in %s", ctx.clause)
	}
	if len(*ctx.sets) > 0 {
		unsupported(f.Pos(), "more than one set-returning function in a select list")
	}
	if ctx.aggs != nil && len(ctx.aggs.calls) > 0 {
		unsupported(f.Pos(), "a set-returning function beside aggregates")
	}
	fn, args := b.setFunction(ctx, f)
	sf := &setFunc{fn: fn, args: args, col: b.newCol(name, fn.Ret), ord: -1}
	*ctx.sets = append(*ctx.sets, sf)
	return b.colExpr(sf.col)
}

// sessionFunc binds functions whose value the session decides; nil if name is none.
func (b *binder) sessionFunc(f *sql.FuncCall, name string) expr.Expr {
	text := func(k types.Kind, s string) expr.Expr { return expr.Const{V: types.Value{T: types.T(k), S: s}} }
	if len(f.Args) == 0 {
		switch name {
		case "current_database", "current_schema", "version", "pg_backend_pid", "pg_is_in_recovery":
			b.needSession(name+"()", f.Pos())
		}
		switch name {
		case "now", "transaction_timestamp", "statement_timestamp", "proctime":
			return b.now(name+"()", f.Pos())
		case "current_database":
			return text(types.Name, b.p.Session.Database)
		case "current_schema":
			return b.currentSchema()
		case "version":
			return text(types.Text, b.p.Session.Version)
		case "pg_backend_pid":
			return expr.Const{V: types.IntValue(types.Int4, int64(b.p.Session.BackendPID))}
		case "pg_is_in_recovery":
			return expr.Const{V: types.BoolValue(false)}
		}
		return nil
	}
	switch name {
	case "has_table_privilege", "has_schema_privilege", "has_database_privilege", "has_column_privilege", "has_any_column_privilege",
		"has_function_privilege", "has_sequence_privilege", "pg_has_role":
		return expr.Const{V: types.BoolValue(true)}
	case "set_config", "nextval", "currval", "setval":
		unsupported(f.Pos(), "function %s", name)
	}
	return nil
}

// needSession refuses what only a session knows in a view that is kept up to date.
func (b *binder) needSession(name string, pos int) {
	if b.inView {
		failHint(pos, types.CodeFeature, "A view is the same for every session.", "%s in a view that is kept up to date is not supported", name)
	}
}

// macroCall expands a function over the system catalogs into its query.
func (b *binder) macroCall(name string, args []expr.Expr, ctx *exprCtx, pos int) expr.Expr {
	m, ok := b.p.Macros[name]
	if !ok {
		m, ok = builtinMacros[name]
	}
	if !ok {
		unsupported(pos, "function %s", name)
	}
	if len(args) > len(m.Params) || len(args) < len(m.Params)-m.Optional {
		fail(pos, types.CodeUndefinedFunction, "function %s does not exist with %d arguments", name, len(args))
	}
	if b.inMacro {
		fail(pos, types.CodeInternal, "macro %s is used within a macro", name)
	}
	bound := make([]expr.Expr, len(m.Params))
	for i, t := range m.Params {
		if i >= len(args) {
			bound[i] = expr.Const{V: types.NullOf(t)}
			continue
		}
		if !castable(args[i].Type(), t, castAssignment) {
			fail(pos, types.CodeUndefinedFunction, "function %s does not take %s", name, typeName(args[i].Type()))
		}
		bound[i] = b.convert(args[i], t, castAssignment, pos)
	}
	q := parseQuery(m.SQL, "function "+name)
	path, saved := b.path, b.macroArgs
	b.path, b.macroArgs, b.inMacro = []string{"pg_catalog"}, bound, true
	defer func() { b.path, b.macroArgs, b.inMacro = path, saved, false }()
	r := b.query(q, &scope{parent: ctx.sc}, nil)
	if ctx.subs == nil {
		if c, ok := b.constantQuery(r); ok {
			return c
		}
		unsupported(pos, "function %s in %s", name, ctx.clause)
	}
	return b.scalarApply(ctx, r, pos)
}

// constantQuery is the value of a query that is one row of one expression.
func (b *binder) constantQuery(r *result) (expr.Expr, bool) {
	p, ok := r.node.(*project)
	if !ok {
		return nil, false
	}
	if v, ok := p.in.(*values); !ok || len(v.rows) != 1 || len(v.cols) != 0 {
		return nil, false
	}
	return p.exprs[indexOf(p.cols, r.cols[0].id)], true
}

// outputName is the column name that PostgreSQL gives an unnamed expression.
func outputName(x sql.Expr) string {
	if n := figureName(x); n != "" {
		return n
	}
	return "?column?"
}

func figureName(x sql.Expr) string {
	switch x := x.(type) {
	case *sql.ColumnRef:
		return x.Parts[len(x.Parts)-1].Text
	case *sql.FuncCall:
		return x.Name.Last()
	case *sql.CastExpr:
		if n := figureName(x.X); n != "" {
			return n
		}
		return castName(x.Type)
	case *sql.TypedLit:
		return castName(x.Type)
	case *sql.BoolLit:
		return "bool"
	case *sql.CaseExpr:
		if x.Else != nil {
			if n := figureName(x.Else); n != "" {
				return n
			}
		}
		return "case"
	case *sql.CoalesceExpr:
		return "coalesce"
	case *sql.NullIfExpr:
		return "nullif"
	case *sql.MinMaxExpr:
		if x.Least {
			return "least"
		}
		return "greatest"
	case *sql.ExistsExpr:
		return "exists"
	case *sql.SubqueryExpr:
		return queryName(x.Query.Body)
	case *sql.ArrayExpr, *sql.ArrayQueryExpr:
		return "array"
	case *sql.RowExpr:
		return "row"
	case *sql.ExtractExpr:
		return "extract"
	case *sql.PositionExpr:
		return "position"
	case *sql.SubstringExpr:
		return "substring"
	case *sql.OverlayExpr:
		return "overlay"
	case *sql.TrimExpr:
		return trimNames[x.Side]
	case *sql.AtTimeZoneExpr:
		return "timezone"
	case *sql.ValueFunc:
		return strings.ToLower(x.Name)
	case *sql.CollateExpr:
		return figureName(x.X)
	case *sql.IndexExpr:
		return figureName(x.X)
	case *sql.FieldExpr:
		return x.Field.Text
	case *sql.GroupingExpr:
		return "grouping"
	case *sql.NormalizeExpr:
		return "normalize"
	}
	return ""
}

// castName is the type's catalog name, which names a cast's column.
func castName(t *sql.TypeName) string {
	if rt, err := types.ParseTypeName(t.Name.Last(), nil, false); err == nil {
		return rt.TypName()
	}
	return t.Name.Last()
}

func queryName(body sql.QueryBody) string {
	switch x := body.(type) {
	case *sql.Select:
		if len(x.Items) > 0 {
			if a := x.Items[0].Alias.Text; a != "" {
				return a
			}
			return figureName(x.Items[0].X)
		}
	case *sql.Query:
		return queryName(x.Body)
	case *sql.SetOp:
		return queryName(x.L)
	case *sql.Values:
		return "column1"
	}
	return ""
}
