package plan

import (
	"math"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// maxMatchOffset bounds how many rows FIRST, LAST, PREV and NEXT may go.
const maxMatchOffset = 10000

type (
	// match is MATCH_RECOGNIZE. It gives the columns pass of its input, and the measures
	// as cols. Conditions and measures are over the columns of slots, which nothing else
	// gives.
	match struct {
		in               node
		pos              int // in the text
		partition        []int
		order            []sortKey
		pattern          *pattern.Node
		vars             []string
		define           []expr.Expr // by variable, nil: true
		slots            []matchSlot
		pass             []int
		measures         []expr.Expr
		cols             []int
		all              bool
		empty, unmatched bool
		skip             flow.MatchSkip
		skipVars         uint64
		within           int64 // in the units of the first column of order; 0: none
		withinText       string
		final            *bool // set when it is emitted: see emitter.match
	}
	// matchSlot is a value of a match: see flow.MatchSlot.
	matchSlot struct {
		id   int
		give flow.MatchGive
		row  flow.MatchRow
		col  int
		agg  *matchAgg
	}
	// matchAgg is an aggregate of rows of a match.
	matchAgg struct {
		vars  uint64
		final bool
		call  *pendingAgg // over the input
	}
)

func (n *match) out() []int {
	return append(n.pass[:len(n.pass):len(n.pass)], n.cols...)
}

// matchCtx is what expressions in MEASURES and DEFINE are bound with.
type matchCtx struct {
	m      *match
	cols   *scope            // of the input
	names  map[string]uint64 // variables and subsets
	define int               // number of the variable being defined, -1 in MEASURES
	nav    *matchNav         // inside of FIRST, LAST, PREV or NEXT
	agg    *matchVars        // inside of an aggregate
}

// matchVars is the variable that the columns inside of a call belong to.
type matchVars struct {
	name  string // of the call, for messages
	vars  uint64
	bound bool
}

// matchNav is where FIRST, LAST, PREV and NEXT lead.
type matchNav struct {
	matchVars
	row      flow.MatchRow
	logical  bool // FIRST or LAST is there
	physical bool // PREV or NEXT is
}

func (c *matchCtx) all() uint64 { return 1<<len(c.m.vars) - 1 }

// matchRecognize binds MATCH_RECOGNIZE.
func (b *binder) matchRecognize(t *sql.MatchRecognize, sc *scope, left *fromItem) fromItem {
	in := b.tableExpr(t.Input, sc, left)
	c := &matchCtx{m: &match{in: in.node, pos: t.Pos(), final: new(bool)}, define: -1, names: map[string]uint64{},
		cols: &scope{vars: in.vars, cols: in.cols}}
	m := c.m
	shown := b.matchOrder(c, t, in)
	m.pattern = c.pattern(t.Pattern)
	if _, err := pattern.Compile(m.pattern); err != nil {
		fail(t.Pattern.Pos(), types.CodeTooComplex, "%s", err.Error())
	}
	c.subsets(t.Subsets)
	c.rows(t)
	c.skip(t)
	b.matchWithin(m, t)
	b.matchDefine(c, t.Define)
	out := fromItem{node: m, cols: slices.Clone(shown)}
	var measures []scopeCol
	for _, x := range t.Measures {
		e := b.settle(b.expr(&exprCtx{sc: c.cols, clause: "MEASURES", match: c}, x.X), x.X.Pos())
		b.checkMatchExpr(e, x.X.Pos())
		id := b.newCol(x.Name.Text, e.Type())
		m.measures, m.cols = append(m.measures, e), append(m.cols, id)
		measures = append(measures, scopeCol{name: x.Name.Text, id: id})
	}
	out.cols = append(out.cols, measures...)
	if m.all {
		for _, col := range in.cols {
			if !slices.ContainsFunc(shown, func(s scopeCol) bool { return s.id == col.id }) {
				out.cols = append(out.cols, col)
			}
		}
	}
	return b.alias(out, "", t.Alias, t.Pos())
}

// matchOrder binds PARTITION BY and ORDER BY and returns the columns that the output
// begins with. They may be expressions, which are computed below.
func (b *binder) matchOrder(c *matchCtx, t *sql.MatchRecognize, in fromItem) []scopeCol {
	var es []expr.Expr
	var names []string
	bind := func(x sql.Expr, clause string) {
		es = append(es, b.settle(b.expr(&exprCtx{sc: c.cols, clause: clause}, x), x.Pos()))
		names = append(names, outputName(x))
	}
	for _, x := range t.PartitionBy {
		bind(x, "PARTITION BY")
	}
	for _, it := range t.OrderBy {
		bind(it.X, "ORDER BY")
	}
	m := c.m
	var ids []int
	m.in, ids = b.extend(m.in, es, names)
	n := len(t.PartitionBy)
	m.partition = ids[:n:n]
	for i, it := range t.OrderBy {
		m.order = append(m.order, orderKey(it, ids[n+i]))
	}
	all := t.Rows != sql.MatchRowsDefault && t.Rows != sql.OneRowPerMatch
	var shown []scopeCol
	for i, id := range ids {
		col := scopeCol{name: names[i], id: id}
		at := slices.IndexFunc(in.cols, func(s scopeCol) bool { return s.id == id })
		if at >= 0 {
			col = in.cols[at]
		}
		first := !slices.ContainsFunc(shown, func(s scopeCol) bool { return s.id == id })
		if first && (i < n || all && at >= 0) {
			shown = append(shown, col)
		}
	}
	for _, col := range shown {
		m.pass = append(m.pass, col.id)
	}
	if all {
		for _, col := range in.cols {
			if !slices.Contains(m.pass, col.id) {
				m.pass = append(m.pass, col.id)
			}
		}
	}
	return shown
}

// pattern turns the syntax of a pattern into a pattern and numbers its variables.
func (c *matchCtx) pattern(x sql.PatternNode) *pattern.Node {
	kids := func(parts []sql.PatternNode) []*pattern.Node {
		var out []*pattern.Node
		for _, p := range parts {
			out = append(out, c.pattern(p))
		}
		return out
	}
	switch x := x.(type) {
	case *sql.PatternVar:
		return &pattern.Node{Op: pattern.Var, Var: c.variable(x.Name)}
	case *sql.PatternAnchor:
		if x.End {
			return &pattern.Node{Op: pattern.End}
		}
		return &pattern.Node{Op: pattern.Start}
	case *sql.PatternConcat:
		return &pattern.Node{Op: pattern.Concat, Kids: kids(x.Parts)}
	case *sql.PatternAlt:
		return &pattern.Node{Op: pattern.Alt, Kids: kids(x.Parts)}
	case *sql.PatternPermute:
		return &pattern.Node{Op: pattern.Permute, Kids: kids(x.Parts)}
	case *sql.PatternExclude:
		return &pattern.Node{Op: pattern.Exclude, Kids: []*pattern.Node{c.pattern(x.X)}}
	case *sql.PatternRepeat:
		return &pattern.Node{Op: pattern.Repeat, Kids: []*pattern.Node{c.pattern(x.X)}, Min: x.Min, Max: x.Max, Reluctant: x.Reluctant}
	}
	unsupported(x.Pos(), "this part of a row pattern")
	panic("unreachable")
}

// variable returns the number of a variable of the pattern.
func (c *matchCtx) variable(name sql.Ident) int {
	if i := slices.Index(c.m.vars, name.Text); i >= 0 {
		return i
	}
	if len(c.m.vars) == pattern.MaxVars {
		fail(name.Pos(), types.CodeTooComplex, "row pattern has more than %d variables", pattern.MaxVars)
	}
	c.m.vars = append(c.m.vars, name.Text)
	c.names[name.Text] = 1 << (len(c.m.vars) - 1)
	return len(c.m.vars) - 1
}

// set returns what a name of a variable or subset stands for.
func (c *matchCtx) set(name sql.Ident, pos int) uint64 {
	vars, ok := c.names[name.Text]
	if !ok {
		fail(pos, types.CodeUndefinedObject, "row pattern has no variable %q", name.Text)
	}
	return vars
}

func (c *matchCtx) subsets(list []sql.Subset) {
	own := c.m.vars
	for _, s := range list {
		if _, dup := c.names[s.Name.Text]; dup {
			fail(s.Name.Pos(), "42712", "row pattern variable %q specified more than once", s.Name.Text)
		}
		vars := uint64(0)
		for _, v := range s.Vars {
			i := slices.Index(own, v.Text)
			if i < 0 {
				fail(v.Pos(), types.CodeUndefinedObject, "row pattern has no variable %q", v.Text)
			}
			vars |= 1 << i
		}
		c.names[s.Name.Text] = vars
	}
}

// rows reads ONE ROW and ALL ROWS PER MATCH.
func (c *matchCtx) rows(t *sql.MatchRecognize) {
	m := c.m
	m.empty = true
	switch t.Rows {
	case sql.AllRowsPerMatch, sql.AllRowsShowEmpty:
		m.all = true
	case sql.AllRowsOmitEmpty:
		m.all, m.empty = true, false
	case sql.AllRowsWithUnmatched:
		m.all, m.unmatched = true, true
		if at := excluded(t.Pattern); at >= 0 {
			fail(at, types.CodeSyntax, "{- -} cannot be used with ALL ROWS PER MATCH WITH UNMATCHED ROWS")
		}
	}
}

// excluded finds the first {- -} of a pattern; -1 if there is none.
func excluded(x sql.PatternNode) int {
	var parts []sql.PatternNode
	switch x := x.(type) {
	case *sql.PatternExclude:
		return x.Pos()
	case *sql.PatternConcat:
		parts = x.Parts
	case *sql.PatternAlt:
		parts = x.Parts
	case *sql.PatternPermute:
		parts = x.Parts
	case *sql.PatternRepeat:
		parts = []sql.PatternNode{x.X}
	}
	for _, p := range parts {
		if at := excluded(p); at >= 0 {
			return at
		}
	}
	return -1
}

func (c *matchCtx) skip(t *sql.MatchRecognize) {
	switch t.Skip {
	case sql.SkipToNextRow:
		c.m.skip = flow.SkipToNext
	case sql.SkipToFirst:
		c.m.skip, c.m.skipVars = flow.SkipToFirst, c.set(t.SkipTo, t.SkipTo.Pos())
	case sql.SkipToLast:
		c.m.skip, c.m.skipVars = flow.SkipToLast, c.set(t.SkipTo, t.SkipTo.Pos())
	}
}

// matchWithin binds WITHIN, which needs a time to go by.
func (b *binder) matchWithin(m *match, t *sql.MatchRecognize) {
	if t.Within == nil {
		return
	}
	m.within = b.duration(t.Within, "WITHIN")
	m.withinText = (time.Duration(m.within) * time.Microsecond).String()
	if m.within <= 0 || m.within > math.MaxInt64/1000 {
		fail(t.Within.Pos(), types.CodeInvalidParameter, "the interval of WITHIN must be positive and less than 292 years")
	}
	if len(m.order) == 0 || m.order[0].desc {
		fail(t.Within.Pos(), types.CodeSyntax, "WITHIN needs an ORDER BY that begins with a time, ascending")
	}
	switch tt := b.cols[m.order[0].col].typ; tt.Kind {
	case types.Timestamp, types.TimestampTZ:
	case types.Date:
		if m.within%microsPerDay != 0 {
			fail(t.Within.Pos(), types.CodeInvalidParameter, "WITHIN must be in whole days where rows are ordered by date")
		}
		m.within /= microsPerDay
	default:
		fail(t.Within.Pos(), types.CodeDatatypeMismatch, "WITHIN needs rows ordered by a timestamp or date, not %s", typeName(tt))
	}
}

func (b *binder) matchDefine(c *matchCtx, list []sql.Define) {
	m := c.m
	m.define = make([]expr.Expr, len(m.vars))
	for _, d := range list {
		v := slices.Index(m.vars, d.Name.Text)
		if v < 0 {
			if _, subset := c.names[d.Name.Text]; subset {
				fail(d.Name.Pos(), types.CodeSyntax, "%q is a subset: only variables of the pattern can be defined", d.Name.Text)
			}
			fail(d.Name.Pos(), types.CodeUndefinedObject, "row pattern has no variable %q", d.Name.Text)
		}
		if m.define[v] != nil {
			fail(d.Name.Pos(), "42712", "row pattern variable %q defined more than once", d.Name.Text)
		}
		own := *c
		own.define = v
		e := b.boolean(b.expr(&exprCtx{sc: c.cols, clause: "DEFINE", match: &own}, d.Cond), "DEFINE", d.Cond.Pos())
		b.checkMatchExpr(e, d.Cond.Pos())
		m.define[v] = e
	}
}

// checkMatchExpr refuses what would change with time alone.
func (b *binder) checkMatchExpr(e expr.Expr, pos int) {
	walkExpr(e, func(x expr.Expr) {
		if _, now := x.(expr.Now); now && b.inView {
			unsupported(pos, "now() in MATCH_RECOGNIZE of a view")
		}
	})
}

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
