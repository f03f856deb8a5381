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
