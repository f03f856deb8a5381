package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// fromItem is a bound item of FROM: its rows and the names it brings.
type fromItem struct {
	node node
	vars []*rangeVar
	cols []scopeCol
}

// one is the relation of one row and no column, what SELECT without FROM reads.
func one() *values { return &values{rows: [][]expr.Expr{nil}} }

// from binds a FROM list: items are crossed, later ones see earlier ones if LATERAL.
func (b *binder) from(list []sql.TableExpr, sc *scope) fromItem {
	if len(list) == 0 {
		return fromItem{node: one()}
	}
	acc := b.tableExpr(list[0], sc, nil)
	for _, te := range list[1:] {
		right := b.tableExpr(te, sc, &acc)
		b.checkDuplicates(acc.vars, right.vars, te.Pos())
		acc = fromItem{
			node: b.dependentJoin(flow.JoinInner, acc.node, right.node, nil),
			vars: append(slices.Clone(acc.vars), right.vars...),
			cols: append(slices.Clone(acc.cols), right.cols...),
		}
	}
	return acc
}

func (b *binder) checkDuplicates(l, r []*rangeVar, pos int) {
	for _, x := range l {
		for _, y := range r {
			if x.name == y.name && x.name != "" && (x.aliased || y.aliased || x.schema == y.schema) {
				fail(pos, "42712", "table name %q specified more than once", x.name)
			}
		}
	}
}

// lateralScope is the scope that an item of FROM sees: the outer query and, if
// it may, the items to its left.
func lateralScope(sc *scope, left *fromItem, lateral bool) *scope {
	s := &scope{parent: sc.parent, ctes: sc.ctes}
	if lateral && left != nil {
		return &scope{parent: &scope{parent: sc.parent, vars: left.vars, cols: left.cols, ctes: sc.ctes}, ctes: sc.ctes}
	}
	return s
}

func (b *binder) tableExpr(te sql.TableExpr, sc *scope, left *fromItem) fromItem {
	switch t := te.(type) {
	case *sql.TableRef:
		return b.tableRef(t, sc)
	case *sql.SubqueryTable:
		ls := lateralScope(sc, left, t.Lateral)
		outer := b.siblings
		if left != nil && !t.Lateral {
			for _, v := range left.vars {
				b.siblings = append(b.siblings, v.name)
			}
		}
		r := b.query(t.Query, ls.parent, sc.ctes)
		b.siblings = outer
		return b.alias(fromItem{node: r.node, cols: r.cols}, "", t.Alias, t.Pos())
	case *sql.FuncTable:
		if q, ok := tableFunc(t); ok {
			return b.tableExpr(q, sc, left)
		}
		return b.funcTable(t, sc, left)
	case *sql.Join:
		return b.join(t, sc, left)
	case *sql.WindowTable:
		return b.windowTable(t, sc, left)
	case *sql.MatchRecognize:
		return b.matchRecognize(t, sc, left)
	}
	unsupported(te.Pos(), "this item in FROM")
	panic("unreachable")
}

// alias puts item under one name, with the columns that the alias renames.
func (b *binder) alias(item fromItem, name string, a *sql.Alias, pos int) fromItem {
	v := &rangeVar{name: name, cols: slices.Clone(item.cols)}
	if a != nil {
		if len(a.Defs) > 0 {
			unsupported(a.Pos(), "a column definition list")
		}
		v.aliased = true
		v.name = a.Name.Text
		if len(a.Columns) > len(v.cols) {
			fail(pos, "42P10", "table %q has %d columns available but %d columns specified", v.name, len(v.cols), len(a.Columns))
		}
		for i, c := range a.Columns {
			v.cols[i].name = c.Text
		}
	}
	return fromItem{node: item.node, vars: []*rangeVar{v}, cols: v.cols}
}

func (b *binder) tableRef(t *sql.TableRef, sc *scope) fromItem {
	if t.AsOf != nil {
		failHint(t.AsOf.Pos(), types.CodeFeature, "Join with it: l JOIN r FOR SYSTEM_TIME AS OF l.time ON l.key = r.key.",
			"FOR SYSTEM_TIME AS OF is for the right side of a JOIN")
	}
	if len(t.Name.Parts) == 1 {
		if c := sc.ctes.find(t.Name.Last()); c != nil {
			if c.body == nil {
				unsupported(t.Pos(), "WITH RECURSIVE")
			}
			return b.alias(b.cteItem(c), c.name, t.Alias, t.Pos())
		}
	}
	rel := b.relation(t.Name)
	item := b.readRelation(rel, t.Pos())
	out := b.alias(item, rel.Name, t.Alias, t.Pos())
	out.vars[0].rel = rel
	if t.Alias == nil {
		out.vars[0].schema = rel.Schema
	}
	return out
}

// cteItem reads a common table expression once more.
func (b *binder) cteItem(c *cteEnv) fromItem {
	r := b.ref(c.body)
	from := c.body.in.out()
	item := fromItem{node: r}
	for _, col := range c.cols {
		col.id = r.cols[indexOf(from, col.id)]
		item.cols = append(item.cols, col)
	}
	return item
}

// relation finds a relation to read and notes that the statement depends on it.
func (b *binder) relation(n sql.Name) *catalog.Relation {
	if len(n.Parts) > 3 {
		fail(n.Pos(), types.CodeSyntax, "improper relation name (too many dotted names)")
	}
	if len(n.Parts) == 3 && n.Parts[0].Text != b.p.Session.Database {
		fail(n.Pos(), types.CodeFeature, "cross-database references are not implemented: %q", dottedName(names(n.Parts)))
	}
	rel, err := b.p.Catalog.Resolve(b.path, n.Schema(), n.Last())
	check(n.Pos(), err)
	b.deps[rel.ID] = true
	return rel
}

// readRelation gives rel's rows: a scan, or a view's query in its place.
func (b *binder) readRelation(rel *catalog.Relation, pos int) fromItem {
	if !rel.Readable() {
		fail(pos, types.CodeWrongObject, "%q is %s", rel.Name, articled(rel.Kind.String()))
	}
	if rel.Kind == catalog.View {
		return b.expandView(rel, pos)
	}
	if rel.Kind == catalog.Virtual && b.inView {
		fail(pos, types.CodeFeature, "a view over the system catalog %q is not supported", rel.Name)
	}
	return b.scanRelation(rel)
}

func articled(what string) string {
	if what == "index" {
		return "an index"
	}
	return "a " + what
}

func (b *binder) scanRelation(rel *catalog.Relation) fromItem {
	b.reads[rel.ID] = true
	s := &scan{rel: rel}
	item := fromItem{node: s}
	for i, c := range rel.Columns {
		id := b.newCol(c.Name, c.Type)
		s.cols = append(s.cols, id)
		item.cols = append(item.cols, scopeCol{c.Name, id, rel.ID, i + 1})
	}
	return item
}

// expandView binds a plain view's query, with the search path it was made under.
func (b *binder) expandView(rel *catalog.Relation, pos int) fromItem {
	if b.viewDepth >= maxViewDepth {
		fail(pos, types.CodeTooComplex, "views nest deeper than %d levels at %q", maxViewDepth, rel.Name)
	}
	q := parseQuery(rel.Query, "view "+rel.Name)
	path := b.path
	b.path, b.viewDepth = rel.SearchPath, b.viewDepth+1
	deps := b.deps
	b.deps = map[catalog.ID]bool{} // the view's own dependencies are not the statement's
	r := b.query(q, nil, nil)
	b.path, b.viewDepth, b.deps = path, b.viewDepth-1, deps
	if len(r.cols) < len(rel.Columns) {
		fail(pos, types.CodeInternal, "view %q gives %d columns, %d expected", rel.Name, len(r.cols), len(rel.Columns))
	}
	item := fromItem{node: r.node}
	for i, c := range rel.Columns {
		item.cols = append(item.cols, scopeCol{c.Name, r.cols[i].id, rel.ID, i + 1})
	}
	return item
}

// parseQuery reads a stored text that must be one query.
func parseQuery(text, what string) *sql.Query {
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil || len(stmts) != 1 {
		fail(noPos, types.CodeInternal, "definition of %s does not read: %v", what, err)
	}
	q, ok := stmts[0].(*sql.Query)
	if !ok {
		fail(noPos, types.CodeInternal, "definition of %s is not a query", what)
	}
	return q
}

// join binds an explicit join.
func (b *binder) join(j *sql.Join, sc *scope, outerLeft *fromItem) fromItem {
	if item, ok := b.timeJoin(j, sc, outerLeft); ok {
		return item
	}
	l := b.tableExpr(j.L, sc, outerLeft)
	seen := l
	if outerLeft != nil {
		seen = fromItem{vars: append(slices.Clone(outerLeft.vars), l.vars...), cols: append(slices.Clone(outerLeft.cols), l.cols...)}
	}
	r := b.tableExpr(j.R, sc, &seen)
	b.checkDuplicates(l.vars, r.vars, j.R.Pos())
	kind := joinKinds[j.Kind]
	if dependsOn(r.node, l.node) && (kind == flow.JoinRight || kind == flow.JoinFull) {
		fail(j.R.Pos(), "42P10", "invalid reference to FROM-clause entry: the combining JOIN type must be INNER or LEFT for a LATERAL reference")
	}
	out := fromItem{vars: append(slices.Clone(l.vars), r.vars...)}
	using := j.Using
	if j.Natural {
		using = naturalColumns(l, r)
	}
	if len(using) > 0 {
		return b.finishJoin(b.usingJoin(j, kind, l, r, using, out), j)
	}
	out.cols = append(slices.Clone(l.cols), r.cols...)
	var on []expr.Expr
	var subs applies
	if j.On != nil {
		ctx := &exprCtx{sc: &scope{parent: sc.parent, vars: out.vars, cols: out.cols, ctes: sc.ctes}, clause: "JOIN conditions"}
		if kind == flow.JoinInner {
			ctx.subs = &subs
		}
		on = conjuncts(b.boolean(b.expr(ctx, j.On), "JOIN/ON", j.On.Pos()))
	}
	if len(subs) > 0 {
		out.node = &filter{in: b.attach(b.dependentJoin(kind, l.node, r.node, nil), subs), preds: on}
	} else {
		out.node = b.dependentJoin(kind, l.node, r.node, on)
	}
	return b.finishJoin(out, j)
}

var joinKinds = map[sql.JoinKind]flow.JoinKind{
	sql.InnerJoin: flow.JoinInner, sql.CrossJoin: flow.JoinInner, sql.LeftJoin: flow.JoinLeft,
	sql.RightJoin: flow.JoinRight, sql.FullJoin: flow.JoinFull,
}

// finishJoin puts a join's alias around it, which hides the names inside.
func (b *binder) finishJoin(item fromItem, j *sql.Join) fromItem {
	if j.Alias == nil {
		return item
	}
	return b.alias(item, "", j.Alias, j.Pos())
}

func naturalColumns(l, r fromItem) []sql.Ident {
	var out []sql.Ident
	for _, c := range l.cols {
		if slices.ContainsFunc(r.cols, func(d scopeCol) bool { return d.name == c.name }) {
			out = append(out, sql.Ident{Text: c.name})
		}
	}
	return out
}

// usingJoin joins on equal names; each pair is one column of the result.
func (b *binder) usingJoin(j *sql.Join, kind flow.JoinKind, l, r fromItem, using []sql.Ident, out fromItem) fromItem {
	var on []expr.Expr
	var merged []scopeCol
	var exprs []expr.Expr
	var drop []int
	for _, u := range using {
		pos := u.Pos()
		if j.Natural {
			pos = int(j.Op)
		}
		lc, rc := b.usingColumn(l, u.Text, "left", pos), b.usingColumn(r, u.Text, "right", pos)
		le, re := b.colExpr(lc.id), b.colExpr(rc.id)
		on = append(on, b.operator("=", pos, le, re, pos, pos))
		drop = append(drop, lc.id, rc.id)
		both, t := b.unify("JOIN/USING", []expr.Expr{le, re}, []int{pos, pos})
		m := both[0]
		switch kind {
		case flow.JoinRight:
			m = both[1]
		case flow.JoinFull:
			m = &expr.Coalesce{Args: both, T: t}
		}
		exprs = append(exprs, m)
		merged = append(merged, scopeCol{name: u.Text, rel: lc.rel, att: lc.att})
	}
	n, ids := b.extend(b.dependentJoin(kind, l.node, r.node, on), exprs, namesOf(merged))
	for i := range merged {
		merged[i].id = ids[i]
	}
	out.node, out.cols = n, merged
	for _, c := range append(slices.Clone(l.cols), r.cols...) {
		if !slices.Contains(drop, c.id) {
			out.cols = append(out.cols, c)
		}
	}
	if j.UsingAlias.Text != "" {
		out.vars = append(out.vars, &rangeVar{name: j.UsingAlias.Text, aliased: true, cols: merged})
	}
	return out
}

func namesOf(cols []scopeCol) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.name
	}
	return out
}

func (b *binder) usingColumn(item fromItem, name, side string, pos int) scopeCol {
	var found *scopeCol
	for i := range item.cols {
		if item.cols[i].name == name {
			if found != nil {
				fail(pos, types.CodeAmbiguousColumn, "common column name %q appears more than once in %s table", name, side)
			}
			found = &item.cols[i]
		}
	}
	if found == nil {
		fail(pos, types.CodeUndefinedColumn, "column %q specified in USING clause does not exist in %s table", name, side)
	}
	return *found
}

// funcTable binds functions in FROM; their arguments may use items to the left.
func (b *binder) funcTable(t *sql.FuncTable, sc *scope, left *fromItem) fromItem {
	if t.RowsFrom && len(t.Funcs) > 1 {
		unsupported(t.Pos(), "ROWS FROM with more than one function")
	}
	if len(t.Funcs[0].Defs) > 0 {
		unsupported(t.Pos(), "a column definition list")
	}
	ctx := &exprCtx{sc: lateralScope(sc, left, true), clause: "functions in FROM"}
	call := t.Funcs[0].Call
	name := outputName(call)
	fc, ok := call.(*sql.FuncCall)
	var item fromItem
	if ok && isSetFunction(fc) {
		fn, args := b.setFunction(ctx, fc)
		sf := &setFunc{in: one(), fn: fn, args: args, col: b.newCol(name, fn.Ret), ord: -1}
		sf.col = b.newCol(name, setResult(fn, args))
		item = fromItem{cols: []scopeCol{{name: name, id: sf.col}}}
		if t.Ordinality {
			sf.ord = b.newCol("ordinality", types.T(types.Int8))
			item.cols = append(item.cols, scopeCol{name: "ordinality", id: sf.ord})
		}
		item.node = sf
	} else {
		e := b.settle(b.expr(ctx, call), call.Pos())
		v := &values{cols: []int{b.newCol(name, e.Type())}, rows: [][]expr.Expr{{e}}}
		item = fromItem{node: v, cols: []scopeCol{{name: name, id: v.cols[0]}}}
		if t.Ordinality {
			ord := b.newCol("ordinality", types.T(types.Int8))
			v.cols, v.rows[0] = append(v.cols, ord), append(v.rows[0], expr.Const{V: types.IntValue(types.Int8, 1)})
			item.cols = append(item.cols, scopeCol{name: "ordinality", id: ord})
		}
	}
	// A function's alias names its column, too, unless the alias lists columns.
	if t.Alias != nil && t.Alias.Name.Text != "" && len(t.Alias.Columns) == 0 {
		item.cols[0].name = t.Alias.Name.Text
	}
	return b.alias(item, name, t.Alias, t.Pos())
}

// setResult is the type of a set-returning function's column.
func setResult(fn *expr.SetFunc, args []expr.Expr) types.Type {
	if fn.Ret.Kind == types.Unknown && len(args) > 0 && args[0].Type().Kind == types.Array {
		return types.T(args[0].Type().Elem)
	}
	return fn.Ret
}
