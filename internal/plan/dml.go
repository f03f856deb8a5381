package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// Check is a CHECK constraint as an expression over a table's row: a row for
// which it is false is refused.
type Check struct {
	Name string
	Pred expr.Expr
}

// Returning is a RETURNING list over a row whose layout the statement gives.
type Returning struct {
	Exprs   []expr.Expr
	Columns []Column
}

// Target is the table that a statement changes and what its rows must meet.
type Target struct {
	Table   *catalog.Relation
	NotNull []int   // columns that must not be NULL
	Checks  []Check // over the new row
}

// Insert is a planned INSERT.
type Insert struct {
	Target
	Source     *Query      // whole rows, in the table's column order
	OnConflict *OnConflict // nil: a duplicate key is an error
	Returning  *Returning  // over the row that was put in; nil if there is none
	Params     []types.Type
}

// OnConflict says what to do with a row whose primary key exists.
type OnConflict struct {
	// Set is the new row over existing row || excluded row; nil is DO NOTHING.
	Set   []expr.Expr
	Where expr.Expr // over the same; nil if there is none
}

// Update is a planned UPDATE.
type Update struct {
	Target
	// Query gives old row || new row || columns that only Returning uses.
	Query     *Query
	Returning *Returning // over a row of Query
	Params    []types.Type
}

// Delete is a planned DELETE.
type Delete struct {
	Table *catalog.Relation
	// Query gives old row || columns that only Returning uses.
	Query     *Query
	Returning *Returning
	Params    []types.Type
}

// Copy is a planned COPY table FROM.
type Copy struct {
	Target
	Columns []int // the table's column for each field of the input
	// Defaults has, for the columns that are not in the input, a constant expression.
	Defaults []expr.Expr
}

// target finds the table that a statement changes.
func (b *binder) target(n sql.Name, verb string) *catalog.Relation {
	rel := b.relation(n)
	switch rel.Kind {
	case catalog.Table:
		if rel.AppendOnly && verb != "insert into" && verb != "copy to" {
			failHint(n.Pos(), types.CodeWrongObject, "Its rows are never changed.", "cannot %s append-only table %q", verb, rel.Name)
		}
		return rel
	case catalog.Virtual:
		fail(n.Pos(), "42501", "permission denied for table %s", rel.Name)
	case catalog.View, catalog.MaterializedView:
		fail(n.Pos(), types.CodeWrongObject, "cannot %s %s %q", verb, rel.Kind, rel.Name)
	case catalog.Source:
		if verb == "insert into" {
			failHint(n.Pos(), types.CodeWrongObject, "Its rows come from its connector.", "cannot insert into source %q", rel.Name)
		}
		failHint(n.Pos(), types.CodeWrongObject, "Rows of a source are never changed.", "cannot %s source %q", verb, rel.Name)
	}
	fail(n.Pos(), types.CodeWrongObject, "cannot %s %s %q", verb, rel.Kind, rel.Name)
	panic("unreachable")
}

// rowScope makes columns for a row of rel under a name.
func (b *binder) rowScope(rel *catalog.Relation, name string, aliased bool) (*rangeVar, []int) {
	v := &rangeVar{name: name, rel: rel, schema: rel.Schema, aliased: aliased}
	var ids []int
	for i, c := range rel.Columns {
		id := b.newCol(c.Name, c.Type)
		ids = append(ids, id)
		v.cols = append(v.cols, scopeCol{c.Name, id, rel.ID, i + 1})
	}
	return v, ids
}

// placed turns identities into positions in the concatenation of rows.
func (b *binder) placed(e expr.Expr, ids []int) expr.Expr {
	pos := map[int]int{}
	for i, c := range ids {
		pos[c] = i
	}
	return b.emitter().place(e, pos)
}

// constraints binds what rows of rel must meet.
func (b *binder) constraints(rel *catalog.Relation) Target {
	t := Target{Table: rel}
	for i, c := range rel.Columns {
		if c.NotNull || slices.Contains(rel.PrimaryKey, i) {
			t.NotNull = append(t.NotNull, i)
		}
	}
	v, ids := b.rowScope(rel, rel.Name, false)
	sc := &scope{vars: []*rangeVar{v}, cols: v.cols}
	for _, c := range rel.Checks {
		x, err := sql.ParseExpr(c.SQL, sql.Options{})
		if err != nil {
			fail(noPos, types.CodeInternal, "check constraint %q of %s does not read: %v", c.Name, rel.Name, err)
		}
		e := b.boolean(b.expr(&exprCtx{sc: sc, clause: "check constraints"}, x), "CHECK", noPos)
		t.Checks = append(t.Checks, Check{c.Name, b.placed(e, ids)})
	}
	return t
}

// defaultOf is the value of a column that a statement leaves out.
func (b *binder) defaultOf(rel *catalog.Relation, i int) expr.Expr {
	c := rel.Columns[i]
	if c.Default == "" {
		return expr.Const{V: types.NullOf(c.Type)}
	}
	x, err := sql.ParseExpr(c.Default, sql.Options{})
	if err != nil {
		fail(noPos, types.CodeInternal, "default of column %q of %s does not read: %v", c.Name, rel.Name, err)
	}
	return b.assign(b.expr(&exprCtx{sc: &scope{}, clause: "DEFAULT expressions"}, x), c, noPos)
}

// assign converts e to a column's type as an assignment.
func (b *binder) assign(e expr.Expr, c catalog.Column, pos int) expr.Expr {
	if !castable(e.Type(), c.Type, castAssignment) {
		failHint(pos, types.CodeDatatypeMismatch, "You will need to rewrite or cast the expression.",
			"column %q is of type %s but expression is of type %s", c.Name, typeName(c.Type), typeName(e.Type()))
	}
	return b.convert(e, c.Type, castAssignment, pos)
}

// columns resolves a list of target columns; all of them if there is none.
func columns(rel *catalog.Relation, list []sql.Ident) []int {
	var out []int
	if len(list) == 0 {
		for i := range rel.Columns {
			out = append(out, i)
		}
	}
	for _, id := range list {
		i := rel.Column(id.Text)
		if i < 0 {
			fail(id.Pos(), types.CodeUndefinedColumn, "column %q of relation %q does not exist", id.Text, rel.Name)
		}
		if slices.Contains(out, i) {
			fail(id.Pos(), types.CodeDuplicateColumn, "column %q specified more than once", id.Text)
		}
		out = append(out, i)
	}
	return out
}

func targetColumns(rel *catalog.Relation, list []sql.Target) []int {
	var ids []sql.Ident
	for _, t := range list {
		if len(t.Path) > 0 {
			unsupported(t.Pos(), "assignment to a part of a column")
		}
		id := t.Column
		id.At = t.At
		ids = append(ids, id)
	}
	return columns(rel, ids)
}

// PlanInsert plans INSERT.
func (p *Planner) PlanInsert(s *sql.Insert) (out *Insert, err error) {
	defer guard(&err)
	b := p.binder()
	rel := b.target(s.Table, "insert into")
	cols := targetColumns(rel, s.Columns)
	ctes := b.with(s.With, nil, nil)
	r := b.insertSource(s, rel, cols, ctes)
	name, aliased := rel.Name, false
	if s.Alias.Text != "" {
		name, aliased = s.Alias.Text, true
	}
	v, ids := b.rowScope(rel, name, aliased)
	ins := &Insert{Target: b.constraints(rel)}
	if s.OnConflict != nil {
		ins.OnConflict = b.onConflict(s.OnConflict, rel, v, ids)
	}
	if s.Returning != nil {
		rt := b.returning(s.Returning, &scope{vars: []*rangeVar{v}, cols: v.cols})
		ins.Returning = b.placeReturning(rt, ids)
	}
	ins.Source = b.finish(r, "insert")
	ins.Params = ins.Source.Params
	return ins, nil
}

// insertSource gives whole rows: the given columns converted, the others by default.
func (b *binder) insertSource(s *sql.Insert, rel *catalog.Relation, cols []int, ctes *cteEnv) *result {
	var src *result
	given := map[int]expr.Expr{}
	switch {
	case s.Source == nil: // DEFAULT VALUES
		src = &result{node: one()}
	default:
		if v, ok := s.Source.Body.(*sql.Values); ok && s.Source.With == nil && s.Source.OrderBy == nil && s.Source.Limit == nil && s.Source.Offset == nil {
			return b.insertValues(v, s, rel, cols, ctes)
		}
		src = b.insertQuery(s.Source, ctes)
		checkWidth(s, len(src.cols), cols, itemPos(s.Source, min(len(cols), max(len(src.cols)-1, 0))))
		for i := range src.cols {
			noValueFor(rel, cols[i], itemPos(s.Source, i))
			given[cols[i]] = b.assign(b.value(src, i), rel.Columns[cols[i]], itemPos(s.Source, i))
		}
	}
	p := &project{in: src.node}
	out := &result{node: p}
	for i, c := range rel.Columns {
		e := given[i]
		if e == nil {
			e = b.defaultOf(rel, i)
		}
		id := b.newCol(c.Name, c.Type)
		p.cols, p.exprs = append(p.cols, id), append(p.exprs, e)
		out.cols = append(out.cols, scopeCol{name: c.Name, id: id})
	}
	return out
}

// insertQuery binds INSERT's query with untyped literals left open.
func (b *binder) insertQuery(q *sql.Query, ctes *cteEnv) *result {
	sel, ok := q.Body.(*sql.Select)
	if !ok {
		return b.query(q, nil, ctes)
	}
	ctes = b.with(q.With, nil, ctes)
	r := b.selectStmt(sel, q.OrderBy, nil, ctes, false)
	b.limit(r, q, nil, ctes)
	if r.limitX != nil || r.offsetX != nil {
		unsupported(q.Pos(), "a LIMIT or OFFSET of INSERT that is not a constant")
	}
	return r
}

func checkWidth(s *sql.Insert, n int, cols []int, pos int) {
	if n > len(cols) {
		fail(pos, types.CodeSyntax, "INSERT has more expressions than target columns")
	}
	if n < len(cols) && len(s.Columns) > 0 {
		fail(s.Columns[n].Pos(), types.CodeSyntax, "INSERT has more target columns than expressions")
	}
}

// insertValues binds VALUES cell by cell, each as its column's type.
func (b *binder) insertValues(v *sql.Values, s *sql.Insert, rel *catalog.Relation, cols []int, ctes *cteEnv) *result {
	n := &values{}
	out := &result{node: n}
	for _, c := range rel.Columns {
		id := b.newCol(c.Name, c.Type)
		n.cols = append(n.cols, id)
		out.cols = append(out.cols, scopeCol{name: c.Name, id: id})
	}
	var subs applies
	ctx := &exprCtx{sc: &scope{ctes: ctes}, clause: "VALUES", subs: &subs}
	defaults := make([]expr.Expr, len(rel.Columns))
	for _, row := range v.Rows {
		if len(row) != len(v.Rows[0]) {
			fail(row[0].Pos(), types.CodeSyntax, "VALUES lists must all be the same length")
		}
		checkWidth(s, len(row), cols, row[min(len(cols), len(row)-1)].Pos())
		cells := make([]expr.Expr, len(rel.Columns))
		for i, x := range row {
			if _, isDefault := x.(*sql.DefaultExpr); !isDefault {
				noValueFor(rel, cols[i], x.Pos())
				cells[cols[i]] = b.assign(b.expr(ctx, x), rel.Columns[cols[i]], x.Pos())
			}
		}
		for i := range cells {
			if cells[i] == nil {
				if defaults[i] == nil {
					defaults[i] = b.defaultOf(rel, i)
				}
				cells[i] = defaults[i]
			}
		}
		n.rows = append(n.rows, cells)
	}
	if len(subs) > 0 {
		out.node = b.valuesWithSubqueries(n, subs)
	}
	return out
}

// onConflict binds ON CONFLICT; only the primary key can conflict.
func (b *binder) onConflict(oc *sql.OnConflict, rel *catalog.Relation, v *rangeVar, ids []int) *OnConflict {
	b.checkArbiter(oc, rel)
	out := &OnConflict{}
	if !oc.Update {
		return out
	}
	if rel.AppendOnly {
		failHint(oc.Pos(), types.CodeWrongObject, "ON CONFLICT DO NOTHING is possible.", "cannot update append-only table %q", rel.Name)
	}
	if len(oc.Columns) == 0 && oc.Constraint.Text == "" {
		failHint(oc.Pos(), types.CodeSyntax, "For example, ON CONFLICT (column_name).",
			"ON CONFLICT DO UPDATE requires inference specification or constraint name")
	}
	ev, eids := b.rowScope(rel, "excluded", true)
	sc := &scope{vars: []*rangeVar{v, ev}, cols: v.cols}
	set := b.assignments(oc.Set, rel, &exprCtx{sc: sc, clause: "ON CONFLICT DO UPDATE"})
	all := append(slices.Clone(ids), eids...)
	for i := range rel.Columns {
		e := set[i]
		if e == nil {
			e = b.colExpr(ids[i])
		}
		out.Set = append(out.Set, b.placed(e, all))
	}
	if oc.SetWhere != nil {
		e := b.boolean(b.expr(&exprCtx{sc: sc, clause: "WHERE"}, oc.SetWhere), "WHERE", oc.SetWhere.Pos())
		out.Where = b.placed(e, all)
	}
	return out
}

// checkArbiter checks that the conflict named is the primary key's.
func (b *binder) checkArbiter(oc *sql.OnConflict, rel *catalog.Relation) {
	if oc.Where != nil {
		unsupported(oc.Where.Pos(), "an index predicate in ON CONFLICT")
	}
	if c := oc.Constraint; c.Text != "" {
		if rel.PrimaryKey == nil || c.Text != rel.PrimaryKeyName {
			fail(c.Pos(), types.CodeUndefinedObject, "constraint %q for table %q does not exist", c.Text, rel.Name)
		}
		return
	}
	if len(oc.Columns) == 0 {
		return
	}
	var cols []int
	for _, el := range oc.Columns {
		ref, ok := el.X.(*sql.ColumnRef)
		if !ok {
			unsupported(el.Pos(), "an expression in ON CONFLICT")
		}
		name := ref.Parts[len(ref.Parts)-1]
		i := rel.Column(name.Text)
		if i < 0 {
			fail(el.Pos(), types.CodeUndefinedColumn, "column %q does not exist", name.Text)
		}
		if !slices.Contains(cols, i) {
			cols = append(cols, i)
		}
	}
	slices.Sort(cols)
	key := slices.Clone(rel.PrimaryKey)
	slices.Sort(key)
	if !slices.Equal(cols, key) {
		fail(noPos, "42P10", "there is no unique or exclusion constraint matching the ON CONFLICT specification")
	}
}

// assignments binds SET: column index to its new value.
func (b *binder) assignments(list []sql.SetClause, rel *catalog.Relation, ctx *exprCtx) map[int]expr.Expr {
	out := map[int]expr.Expr{}
	for _, s := range list {
		vals := []sql.Expr{s.Value}
		if s.Multi {
			row, ok := s.Value.(*sql.RowExpr)
			switch {
			case ok:
				vals = row.Elems
			case len(s.Targets) > 1:
				unsupported(s.Value.Pos(), "assignment of a subquery to several columns")
			}
		}
		if len(vals) != len(s.Targets) {
			fail(s.Pos(), types.CodeSyntax, "number of columns does not match number of values")
		}
		for i, c := range targetColumns(rel, s.Targets) {
			if out[c] != nil {
				fail(s.Targets[i].Pos(), types.CodeSyntax, "multiple assignments to same column %q", rel.Columns[c].Name)
			}
			if _, isDefault := vals[i].(*sql.DefaultExpr); isDefault {
				out[c] = b.defaultOf(rel, c)
				continue
			}
			if rel.Columns[c].Generated != "" {
				failDetail(s.Targets[i].Pos(), codeGenerated, generatedDetail(rel, c), "column %q can only be updated to DEFAULT", rel.Columns[c].Name)
			}
			out[c] = b.assign(b.expr(ctx, vals[i]), rel.Columns[c], vals[i].Pos())
		}
	}
	return out
}

// returning binds a RETURNING list.
func (b *binder) returning(list []sql.SelectItem, sc *scope) *Returning {
	rt := &Returning{}
	for _, it := range b.expandItems(list, sc) {
		e := it.e
		if it.x != nil {
			e = b.settle(b.expr(&exprCtx{sc: sc, clause: "RETURNING"}, it.x), it.x.Pos())
			if ref, ok := it.x.(*sql.ColumnRef); ok {
				it.col, _ = b.column(sc, ref)
			}
		}
		rt.Exprs = append(rt.Exprs, e)
		rt.Columns = append(rt.Columns, Column{Name: it.name, Type: e.Type(), Relation: it.col.rel, Attr: it.col.att})
	}
	return rt
}

func (b *binder) placeReturning(rt *Returning, ids []int) *Returning {
	for i, e := range rt.Exprs {
		rt.Exprs[i] = b.placed(e, ids)
	}
	return rt
}

// targetScan reads the table that is changed, under its alias.
func (b *binder) targetScan(t *sql.TableRef, rel *catalog.Relation) fromItem {
	item := b.scanRelation(rel)
	out := b.alias(item, rel.Name, t.Alias, t.Pos())
	out.vars[0].rel = rel
	if t.Alias == nil {
		out.vars[0].schema = rel.Schema
	}
	return out
}

// PlanUpdate plans UPDATE.
func (p *Planner) PlanUpdate(s *sql.Update) (out *Update, err error) {
	defer guard(&err)
	b := p.binder()
	rel := b.target(s.Table.Name, "update")
	ctes := b.with(s.With, nil, nil)
	sc := &scope{ctes: ctes}
	tgt := b.targetScan(s.Table, rel)
	old := tgt.node.out()
	n, sc := b.changeScope(tgt, s.From, s.Where, sc)
	var subs applies
	set := b.assignments(s.Set, rel, &exprCtx{sc: sc, clause: "UPDATE", subs: &subs})
	n = b.attach(n, subs)
	if len(s.From) > 0 {
		// Several matches for a row: one of them counts, always the same.
		if rel.PrimaryKey == nil {
			unsupported(s.From[0].Pos(), "UPDATE ... FROM of a table without primary key")
		}
		n = &topN{in: n, partition: old, limit: 1}
	}
	pr := &project{in: n}
	for _, c := range n.out() {
		pr.cols, pr.exprs = append(pr.cols, c), append(pr.exprs, b.colExpr(c))
	}
	nv, ids := b.rowScope(rel, tgt.vars[0].name, tgt.vars[0].aliased)
	for i := range rel.Columns {
		e := set[i]
		if e == nil {
			e = b.colExpr(old[i])
		}
		pr.cols, pr.exprs = append(pr.cols, ids[i]), append(pr.exprs, e)
	}
	up := &Update{Target: b.constraints(rel)}
	all := append(slices.Clone(old), ids...)
	rsc := &scope{vars: append([]*rangeVar{nv}, sc.vars[1:]...), cols: append(slices.Clone(nv.cols), sc.cols[len(nv.cols):]...), ctes: ctes}
	up.Returning, all = b.changeReturning(s.Returning, rsc, all)
	up.Query = b.finish(b.rowsResult(pr, all), "update")
	up.Params = up.Query.Params
	return up, nil
}

// changeScope joins the target to other tables and filters.
func (b *binder) changeScope(tgt fromItem, from []sql.TableExpr, where sql.Expr, sc *scope) (node, *scope) {
	item := tgt
	if len(from) > 0 {
		o := b.from(from, sc)
		b.checkDuplicates(tgt.vars, o.vars, from[0].Pos())
		item = fromItem{node: b.dependentJoin(flow.JoinInner, tgt.node, o.node, nil),
			vars: append(slices.Clone(tgt.vars), o.vars...), cols: append(slices.Clone(tgt.cols), o.cols...)}
	}
	out := &scope{vars: item.vars, cols: item.cols, ctes: sc.ctes}
	n := item.node
	if where != nil {
		if c, ok := where.(*sql.CurrentOf); ok {
			unsupported(c.Pos(), "WHERE CURRENT OF")
		}
		n = b.where(n, out, where, "WHERE")
	}
	return n, out
}

// changeReturning binds RETURNING of a change; columns it needs beside all are
// added to it.
func (b *binder) changeReturning(list []sql.SelectItem, sc *scope, all []int) (*Returning, []int) {
	if list == nil {
		return nil, all
	}
	rt := b.returning(list, sc)
	for _, c := range exprCols(rt.Exprs...) {
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return b.placeReturning(rt, all), all
}

func (b *binder) rowsResult(n node, ids []int) *result {
	r := &result{node: n}
	for _, id := range ids {
		r.cols = append(r.cols, scopeCol{name: b.cols[id].name, id: id})
	}
	return r
}

// PlanDelete plans DELETE.
func (p *Planner) PlanDelete(s *sql.Delete) (out *Delete, err error) {
	defer guard(&err)
	b := p.binder()
	rel := b.target(s.Table.Name, "delete from")
	ctes := b.with(s.With, nil, nil)
	tgt := b.targetScan(s.Table, rel)
	old := slices.Clone(tgt.node.out())
	n, sc := b.changeScope(tgt, s.Using, s.Where, &scope{ctes: ctes})
	d := &Delete{Table: rel}
	all := old
	d.Returning, all = b.changeReturning(s.Returning, sc, all)
	if len(s.Using) > 0 {
		// A row goes once, however many rows it matches.
		if rel.PrimaryKey == nil {
			unsupported(s.Using[0].Pos(), "DELETE ... USING of a table without primary key")
		}
		n = &topN{in: n, partition: old, limit: 1}
	}
	d.Query = b.finish(b.rowsResult(n, all), "delete")
	d.Params = d.Query.Params
	return d, nil
}

// PlanCopyFrom plans COPY table (columns) FROM.
func (p *Planner) PlanCopyFrom(s *sql.Copy) (out *Copy, err error) {
	defer guard(&err)
	b := p.binder()
	if s.Where != nil {
		unsupported(s.Where.Pos(), "COPY ... WHERE")
	}
	rel := b.target(s.Table, "copy to")
	c := &Copy{Target: b.constraints(rel), Columns: copyColumns(rel, s.Columns), Defaults: make([]expr.Expr, len(rel.Columns))}
	for i := range rel.Columns {
		if !slices.Contains(c.Columns, i) {
			c.Defaults[i] = b.defaultOf(rel, i)
		}
	}
	return c, nil
}

// PlanCopyTo plans COPY table (columns) TO as the query that it stands for. For
// COPY (query) TO plan the query itself.
func (p *Planner) PlanCopyTo(s *sql.Copy) (out *Query, err error) {
	defer guard(&err)
	b := p.binder()
	rel := b.relation(s.Table)
	if rel.Kind == catalog.View {
		failHint(s.Table.Pos(), types.CodeWrongObject, "Try the COPY (SELECT ...) TO variant.", "cannot copy from view %q", rel.Name)
	}
	item := b.readRelation(rel, s.Table.Pos())
	r := &result{node: item.node}
	for _, i := range copyColumns(rel, s.Columns) {
		r.cols = append(r.cols, item.cols[i])
	}
	return b.finish(r, "copy"), nil
}
