package plan

import (
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// maxMatchOffset bounds how many rows FIRST, LAST, PREV and NEXT may go.
const maxMatchOffset = 10000

// matchColumn binds a column in MEASURES or DEFINE.
func (b *binder) matchColumn(ctx *exprCtx, x *sql.ColumnRef) expr.Expr {
	c := ctx.match
	vars, own := c.all(), *x
	switch len(x.Parts) {
	case 1:
	case 2:
		if _, ok := c.names[x.Parts[0].Text]; !ok {
			failHint(x.Pos(), types.CodeUndefinedObject, "In MEASURES and DEFINE only variables of the pattern may stand before a column.",
				"row pattern has no variable %q", x.Parts[0].Text)
		}
		vars = c.names[x.Parts[0].Text]
		own.Parts = x.Parts[1:]
	default:
		fail(x.Pos(), types.CodeSyntax, "a column in MEASURES and DEFINE is named by its variable alone: variable.column")
	}
	col, _ := b.column(c.cols, &own)
	if c.agg != nil {
		c.agg.bind(vars, x.Pos())
		return b.colExpr(col.id)
	}
	return b.slot(c, matchSlot{give: flow.GiveColumn, row: c.row(vars, x.Pos()), col: col.id}, col.name, b.cols[col.id].typ)
}

// bind notes the variable of a column inside of a call, which must be one.
func (v *matchVars) bind(vars uint64, pos int) {
	if v.bound && v.vars != vars {
		fail(pos, types.CodeSyntax, "all columns in one %s must be of the same row pattern variable", v.name)
	}
	v.vars, v.bound = vars, true
}

// row is the row that a column of variables vars is of, where it stands. Where that
// is the row being looked at, it is said so.
func (c *matchCtx) row(vars uint64, pos int) flow.MatchRow {
	r := flow.MatchRow{Kind: flow.RowLast, Vars: vars}
	if n := c.nav; n != nil {
		n.bind(vars, pos)
		r = n.row
		r.Vars = vars
	}
	here := vars == c.all()
	if c.define >= 0 {
		here = vars>>c.define&1 != 0
	}
	if here && r.Kind == flow.RowLast && r.Offset == 0 && !r.Final {
		return flow.MatchRow{Kind: flow.RowCurrent, Shift: r.Shift}
	}
	return r
}

// slot gives the column of a slot, which may be there already.
func (b *binder) slot(c *matchCtx, s matchSlot, name string, t types.Type) expr.Expr {
	for _, o := range c.m.slots {
		if s.agg == nil && o.agg == nil && o.give == s.give && o.row == s.row && o.col == s.col {
			return b.colExpr(o.id)
		}
	}
	s.id = b.newCol(name, t)
	c.m.slots = append(c.m.slots, s)
	return b.colExpr(s.id)
}

// matchCall binds the calls that MATCH_RECOGNIZE has of its own, and aggregates; nil
// if f is none.
func (b *binder) matchCall(ctx *exprCtx, f *sql.FuncCall) expr.Expr {
	name, builtin := builtinName(f.Name)
	if !builtin {
		return nil
	}
	c := ctx.match
	if f.Over != nil {
		fail(f.Pos(), "42P20", "window functions are not allowed in %s", ctx.clause)
	}
	if f.Final && c.define >= 0 {
		fail(f.Pos(), types.CodeSyntax, "FINAL cannot be used in DEFINE: the match is not known yet")
	}
	switch name {
	case "first", "last", "prev", "next":
		if c.agg != nil {
			fail(f.Pos(), types.CodeGrouping, "%s cannot be used in an aggregate", name)
		}
		return b.matchNavigation(ctx, f, name)
	case "classifier", "match_number":
		if f.Running || f.Final {
			fail(f.Pos(), types.CodeSyntax, "RUNNING and FINAL cannot be used with %s", name)
		}
		if c.agg != nil {
			unsupported(f.Pos(), "%s in an aggregate", name)
		}
		if name == "classifier" {
			return b.classifier(c, f)
		}
		if len(f.Args) > 0 {
			fail(f.Pos(), types.CodeUndefinedFunction, "match_number takes no argument")
		}
		return b.slot(c, matchSlot{give: flow.GiveNumber}, name, types.T(types.Int8))
	}
	if aggNames[name] {
		return b.matchAggregate(ctx, f, name)
	}
	return nil
}

// classifier binds CLASSIFIER() and CLASSIFIER(variable).
func (b *binder) classifier(c *matchCtx, f *sql.FuncCall) expr.Expr {
	vars := c.all()
	if len(f.Args) > 1 {
		fail(f.Pos(), types.CodeUndefinedFunction, "classifier takes one variable at most")
	}
	if len(f.Args) == 1 {
		ref, ok := f.Args[0].(*sql.ColumnRef)
		if !ok || len(ref.Parts) != 1 {
			fail(f.Args[0].Pos(), types.CodeSyntax, "the argument of classifier must be a variable of the row pattern")
		}
		vars = c.set(ref.Parts[0], ref.Pos())
	}
	return b.slot(c, matchSlot{give: flow.GiveLabel, row: c.row(vars, f.Pos())}, "classifier", types.T(types.Text))
}

// matchNavigation binds FIRST, LAST, PREV and NEXT.
func (b *binder) matchNavigation(ctx *exprCtx, f *sql.FuncCall, name string) expr.Expr {
	c := ctx.match
	if len(f.Args) < 1 || len(f.Args) > 2 || f.Star || f.Distinct {
		fail(f.Pos(), types.CodeUndefinedFunction, "%s takes an expression and a number of rows", name)
	}
	own := *c
	nav := &matchNav{matchVars: matchVars{name: name}, row: flow.MatchRow{Kind: flow.RowLast}}
	if c.nav != nil {
		nav = c.nav // FIRST or LAST inside of PREV or NEXT go together
	}
	own.nav = nav
	switch name {
	case "first", "last":
		if nav.logical {
			fail(f.Pos(), types.CodeSyntax, "%s cannot be nested in FIRST or LAST", name)
		}
		nav.logical = true
		if name == "first" {
			nav.row.Kind = flow.RowFirst
		}
		nav.row.Offset, nav.row.Final = b.matchOffset(f, 0), f.Final
	default:
		if f.Running || f.Final {
			fail(f.Pos(), types.CodeSyntax, "RUNNING and FINAL cannot be used with %s", name)
		}
		if nav.logical || nav.physical {
			fail(f.Pos(), types.CodeSyntax, "%s cannot be nested in another navigation", name)
		}
		nav.physical = true
		nav.row.Shift = b.matchOffset(f, 1)
		if name == "prev" {
			nav.row.Shift = -nav.row.Shift
		}
	}
	inner := *ctx
	inner.match = &own
	e := b.settle(b.expr(&inner, f.Args[0]), f.Args[0].Pos())
	if !nav.bound {
		fail(f.Args[0].Pos(), types.CodeSyntax, "the argument of %s must have a column", name)
	}
	if _, plain := e.(expr.Col); plain || c.nav != nil {
		return e
	}
	// Without such a row the whole is NULL, whatever its expression makes of NULLs.
	row := own.row(nav.vars, f.Pos())
	there := b.slot(c, matchSlot{give: flow.GiveThere, row: row}, "there", types.T(types.Bool))
	return &expr.Case{Whens: []expr.When{{Cond: there, Then: e}}, T: e.Type()}
}

// matchOffset is the number of rows that a navigation is given, or else.
func (b *binder) matchOffset(f *sql.FuncCall, or int) int {
	if len(f.Args) < 2 {
		return or
	}
	pos := f.Args[1].Pos()
	k, ok := b.fold(b.expr(&exprCtx{sc: &scope{}, clause: "the offset of a navigation"}, f.Args[1])).(expr.Const)
	if !ok || k.V.Null || k.V.T.Kind != types.Int4 && k.V.T.Kind != types.Int8 || k.V.I < 0 {
		fail(pos, types.CodeInvalidParameter, "the offset of %s must be a constant integer that is not negative", f.Name.Last())
	}
	if k.V.I > maxMatchOffset {
		fail(pos, types.CodeTooComplex, "the offset of %s must not exceed %d", f.Name.Last(), maxMatchOffset)
	}
	return int(k.V.I)
}

// matchAggregate binds an aggregate of the rows of a match.
func (b *binder) matchAggregate(ctx *exprCtx, f *sql.FuncCall, name string) expr.Expr {
	c := ctx.match
	if c.nav != nil || c.agg != nil {
		fail(f.Pos(), types.CodeGrouping, "aggregate function calls cannot be nested in %s", map[bool]string{true: "a navigation", false: "each other"}[c.nav != nil])
	}
	own := *c
	own.agg = &matchVars{name: name}
	call := *f
	call.Running, call.Final = false, false
	if len(f.Args) == 1 && name == "count" {
		if star, ok := f.Args[0].(*sql.StarExpr); ok && len(star.Qualifier) == 1 {
			own.agg.bind(c.set(star.Qualifier[0], star.Pos()), star.Pos())
			call.Args, call.Star = nil, true
		}
	}
	list := &aggList{}
	inner := &exprCtx{sc: c.cols, clause: ctx.clause, aggs: list, match: &own}
	e := b.aggregate(inner, &call, name)
	a := &matchAgg{vars: c.all(), final: f.Final, call: list.calls[0]}
	if own.agg.bound {
		a.vars = own.agg.vars
	}
	for _, o := range c.m.slots {
		if o.agg != nil && o.agg.vars == a.vars && o.agg.final == a.final && o.agg.call.same(a.call) {
			return b.colExpr(o.id)
		}
	}
	return b.slot(c, matchSlot{give: flow.GiveTotal, agg: a}, name, e.Type())
}
