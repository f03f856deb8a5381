package plan

import (
	"math"
	"slices"
	"strconv"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// result is a bound query: its rows, its visible columns, and its order where a
// reader may see it.
type result struct {
	node            node
	cols            []scopeCol
	order           []sortKey
	limitX, offsetX expr.Expr // not constant: for the reader
	onClose         bool
	closeAt         int // where onClose was asked for
	// raw are the select list's expressions while untyped literals among them
	// have no type yet; nil once they have.
	raw []expr.Expr
}

// value is column i to convert: an untyped literal itself, where it still is one.
func (b *binder) value(r *result, i int) expr.Expr {
	if r.raw != nil && r.raw[i].Type().Kind == types.Unknown {
		return r.raw[i]
	}
	return b.colExpr(r.cols[i].id)
}

// ids lists the visible columns' identities.
func (r *result) ids() []int {
	out := make([]int, len(r.cols))
	for i, c := range r.cols {
		out[i] = c.id
	}
	return out
}

// query binds a query with all that surrounds it.
func (b *binder) query(q *sql.Query, parent *scope, ctes *cteEnv) *result {
	if len(q.Locking) > 0 && b.inView {
		fail(q.Locking[0].Pos(), types.CodeFeature, "FOR %s is not allowed in a view", q.Locking[0].Strength)
	}
	ctes = b.with(q.With, parent, ctes)
	r := b.body(q.Body, q.OrderBy, parent, ctes)
	if q.Emit == sql.EmitOnWindowClose {
		if q != b.top {
			fail(q.Pos(), types.CodeFeature, "EMIT ON WINDOW CLOSE is for the whole query, not for a part of it")
		}
		r.onClose, r.closeAt = true, q.Pos()
	}
	b.limit(r, q, parent, ctes)
	return r
}

// body binds what a query orders; orderBy applies to it.
func (b *binder) body(body sql.QueryBody, orderBy []sql.OrderItem, parent *scope, ctes *cteEnv) *result {
	switch x := body.(type) {
	case *sql.Select:
		return b.selectBody(x, orderBy, parent, ctes)
	case *sql.SetOp:
		r := b.setOperation(x, parent, ctes)
		b.orderOutput(r, orderBy)
		return r
	case *sql.Values:
		r := b.values(x, parent, ctes)
		b.orderOutput(r, orderBy)
		return r
	case *sql.TableQuery:
		item := b.tableRef(x.Table, &scope{parent: parent, ctes: ctes})
		r := &result{node: item.node, cols: item.cols}
		b.orderOutput(r, orderBy)
		return r
	case *sql.Query:
		r := b.query(x, parent, ctes)
		if len(orderBy) > 0 {
			r.order = nil
			b.orderOutput(r, orderBy)
		}
		return r
	}
	unsupported(body.Pos(), "this form of query")
	panic("unreachable")
}

// with binds common table expressions and returns the environment they make.
func (b *binder) with(w *sql.With, parent *scope, env *cteEnv) *cteEnv {
	if w == nil {
		return env
	}
	var seen []string
	for _, c := range w.CTEs {
		if slices.Contains(seen, c.Name.Text) {
			fail(c.Pos(), "42712", "WITH query name %q specified more than once", c.Name.Text)
		}
		seen = append(seen, c.Name.Text)
		q, ok := c.Stmt.(*sql.Query)
		if !ok {
			unsupported(c.Stmt.Pos(), "a data-modifying statement in WITH")
		}
		if c.Search != nil || c.Cycle != nil {
			unsupported(c.Pos(), "SEARCH and CYCLE")
		}
		inner := env
		if w.Recursive {
			inner = &cteEnv{parent: env, name: c.Name.Text} // no body: naming itself is refused
		}
		r := b.query(q, parent, inner)
		cols := slices.Clone(r.cols)
		if len(c.Columns) > len(cols) {
			fail(c.Pos(), "42P10", "WITH query %q has %d columns available but %d columns specified", c.Name.Text, len(cols), len(c.Columns))
		}
		for i, n := range c.Columns {
			cols[i].name = n.Text
		}
		env = &cteEnv{parent: env, name: c.Name.Text, cols: cols, body: share(b.keep(r.node, r.ids()))}
	}
	return env
}

// limit applies LIMIT and OFFSET: in the circuit where they are constants.
func (b *binder) limit(r *result, q *sql.Query, parent *scope, ctes *cteEnv) {
	if q.Limit == nil && q.Offset == nil {
		return
	}
	if q.WithTies {
		unsupported(q.Limit.Pos(), "WITH TIES")
	}
	sc := &scope{parent: parent, ctes: ctes}
	limit, lx := b.count(q.Limit, sc, "LIMIT", -1)
	offset, ox := b.count(q.Offset, sc, "OFFSET", 0)
	if lx == nil && ox == nil {
		if limit < 0 && offset == 0 {
			return
		}
		r.node = &topN{in: r.node, order: r.order, limit: limit, offset: offset}
		return
	}
	if parent != nil || r.limitX != nil || r.offsetX != nil {
		unsupported(q.Pos(), "a LIMIT or OFFSET in a subquery that is not a constant")
	}
	// The reader does both, in the order that SQL gives them.
	if lx == nil && limit >= 0 {
		lx = expr.Const{V: types.IntValue(types.Int8, limit)}
	}
	if ox == nil && offset > 0 {
		ox = expr.Const{V: types.IntValue(types.Int8, offset)}
	}
	r.limitX, r.offsetX = lx, ox
}

// count binds a row count. It returns the number, or the expression if it is
// not a constant; none stands for NULL and for nothing written.
func (b *binder) count(x sql.Expr, sc *scope, what string, none int64) (int64, expr.Expr) {
	if x == nil {
		return none, nil
	}
	e := b.expr(&exprCtx{sc: sc, clause: what}, x)
	if len(exprCols(e)) > 0 {
		fail(x.Pos(), "42P10", "argument of %s must not contain variables", what)
	}
	if !castable(e.Type(), types.T(types.Int8), castAssignment) || isString(e.Type().Kind) {
		fail(x.Pos(), types.CodeDatatypeMismatch, "argument of %s must be type bigint, not type %s", what, typeName(e.Type()))
	}
	e = b.convert(e, types.T(types.Int8), castAssignment, x.Pos())
	c, ok := e.(expr.Const)
	if !ok {
		return none, e
	}
	if c.V.Null {
		return none, nil
	}
	if c.V.I < 0 {
		code := "2201W"
		if what == "OFFSET" {
			code = "2201X"
		}
		fail(x.Pos(), code, "%s must not be negative", what)
	}
	return c.V.I, nil
}

// ordinal reports the position that an integer constant names.
func ordinal(x sql.Expr) (int, bool) {
	n, ok := x.(*sql.NumberLit)
	if !ok || !n.IsInt {
		return 0, false
	}
	v, err := strconv.Atoi(n.Text)
	if err != nil {
		v = math.MaxInt32
	}
	return v, true
}

// outputRef finds the output column that an ORDER BY item names by number or
// name. It reports false if the item is an expression over the input instead.
func outputRef(cols []scopeCol, x sql.Expr, clause string) (scopeCol, bool) {
	if n, ok := ordinal(x); ok {
		if n < 1 || n > len(cols) {
			fail(x.Pos(), "42P10", "%s position %d is not in select list", clause, n)
		}
		return cols[n-1], true
	}
	switch x.(type) {
	case *sql.StringLit, *sql.NumberLit, *sql.NullLit, *sql.BoolLit:
		fail(x.Pos(), types.CodeSyntax, "non-integer constant in %s", clause)
	}
	ref, ok := x.(*sql.ColumnRef)
	if !ok || len(ref.Parts) != 1 {
		return scopeCol{}, false
	}
	var found *scopeCol
	for i := range cols {
		if cols[i].name == ref.Parts[0].Text {
			if found != nil && found.id != cols[i].id {
				fail(x.Pos(), types.CodeAmbiguousColumn, "%s %q is ambiguous", clause, ref.Parts[0].Text)
			}
			found = &cols[i]
		}
	}
	if found == nil {
		return scopeCol{}, false
	}
	return *found, true
}

// orderOutput sorts by columns of the result, which is all that set operations
// and VALUES allow.
func (b *binder) orderOutput(r *result, items []sql.OrderItem) {
	for _, it := range items {
		c, ok := outputRef(r.cols, it.X, "ORDER BY")
		if !ok {
			if ref, isRef := it.X.(*sql.ColumnRef); isRef && len(ref.Parts) == 1 {
				fail(it.X.Pos(), types.CodeUndefinedColumn, "column %q does not exist", ref.Parts[0].Text)
			}
			failWith(it.X.Pos(), &types.Error{Code: types.CodeFeature, Message: "invalid UNION/INTERSECT/EXCEPT ORDER BY clause",
				Detail: "Only result column names can be used, not expressions or functions.",
				Hint:   "Add the expression/function to every SELECT, or move the UNION into a FROM clause."})
		}
		r.order = append(r.order, orderKey(it, c.id))
	}
}

// orderKey is the sort key of an ORDER BY item: NULLs are larger than anything.
func orderKey(it sql.OrderItem, col int) sortKey {
	k := sortKey{col: col, desc: it.Dir == sql.SortDesc}
	if it.Using.Symbol != "" {
		switch it.Using.Symbol {
		case "<":
		case ">":
			k.desc = true
		default:
			fail(it.Using.Pos(), types.CodeWrongObject, "operator %s is not a valid ordering operator", it.Using.Symbol)
		}
	}
	k.nullsFirst = k.desc
	if it.Nulls != sql.NullsDefault {
		k.nullsFirst = it.Nulls == sql.NullsFirst
	}
	return k
}

// setNames are the words for messages about set operations.
var setNames = map[sql.SetOpKind]string{sql.Union: "UNION", sql.Intersect: "INTERSECT", sql.Except: "EXCEPT"}

// setOperation binds UNION, INTERSECT and EXCEPT.
func (b *binder) setOperation(s *sql.SetOp, parent *scope, ctes *cteEnv) *result {
	name := setNames[s.Kind]
	l := b.setArm(s.L, parent, ctes)
	r := b.setArm(s.R, parent, ctes)
	if len(l.cols) != len(r.cols) {
		fail(firstItem(s.R), types.CodeSyntax, "each %s query must have the same number of columns", name)
	}
	op := &setOp{ins: []node{l.node, r.node}}
	out := &result{}
	var le, re []expr.Expr
	for i := range l.cols {
		a, c := b.value(l, i), b.value(r, i)
		pos := itemPos(s.R, i)
		t := b.commonType(name, []types.Type{a.Type(), c.Type()}, []int{itemPos(s.L, i), pos})
		if a.Type() == c.Type() && a.Type().Kind != types.Unknown {
			t = a.Type()
		}
		le = append(le, b.convert(a, t, castImplicit, itemPos(s.L, i)))
		re = append(re, b.convert(c, t, castImplicit, pos))
		id := b.newCol(l.cols[i].name, t)
		op.cols = append(op.cols, id)
		out.cols = append(out.cols, scopeCol{name: l.cols[i].name, id: id})
	}
	var lm, rm []int
	op.ins[0], lm = b.extend(l.node, le, namesOf(l.cols))
	op.ins[1], rm = b.extend(r.node, re, namesOf(r.cols))
	op.maps = [][]int{lm, rm}
	op.kind = map[sql.SetOpKind][2]setKind{sql.Union: {unionAll, unionAll}, sql.Intersect: {intersect, intersectAll},
		sql.Except: {except, exceptAll}}[s.Kind][btoi(s.All)]
	out.node = op
	if s.Kind == sql.Union && !s.All {
		out.node = &distinct{in: op}
	}
	return out
}

// setArm binds one side, without the types of untyped literals being settled yet.
func (b *binder) setArm(body sql.QueryBody, parent *scope, ctes *cteEnv) *result {
	if s, ok := body.(*sql.Select); ok {
		return b.selectArm(s, parent, ctes)
	}
	return b.body(body, nil, parent, ctes)
}

func btoi(x bool) int {
	if x {
		return 1
	}
	return 0
}

func firstItem(body sql.QueryBody) int { return itemPos(body, 0) }

// itemPos is where column i of a query's body is written.
func itemPos(body sql.QueryBody, i int) int {
	switch x := body.(type) {
	case *sql.Select:
		if i < len(x.Items) {
			return x.Items[i].X.Pos()
		}
	case *sql.Values:
		if i < len(x.Rows[0]) {
			return x.Rows[0][i].Pos()
		}
	case *sql.SetOp:
		return itemPos(x.L, i)
	case *sql.Query:
		return itemPos(x.Body, i)
	}
	return body.Pos()
}

// values binds VALUES: columns are named column1, column2 ...
func (b *binder) values(v *sql.Values, parent *scope, ctes *cteEnv) *result {
	width := len(v.Rows[0])
	sc := &scope{parent: parent, ctes: ctes}
	var subs applies
	ctx := &exprCtx{sc: sc, clause: "VALUES", subs: &subs}
	cells := make([][]expr.Expr, width) // by column
	poss := make([][]int, width)
	for _, row := range v.Rows {
		if len(row) != width {
			fail(row[0].Pos(), types.CodeSyntax, "VALUES lists must all be the same length")
		}
		for i, x := range row {
			if _, ok := x.(*sql.DefaultExpr); ok {
				fail(x.Pos(), types.CodeSyntax, "DEFAULT is not allowed in this context")
			}
			cells[i] = append(cells[i], b.expr(ctx, x))
			poss[i] = append(poss[i], x.Pos())
		}
	}
	n := &values{rows: make([][]expr.Expr, len(v.Rows))}
	r := &result{node: n}
	for i := range cells {
		es, t := b.unify("VALUES", cells[i], poss[i])
		for k, e := range es {
			n.rows[k] = append(n.rows[k], e)
		}
		name := "column" + strconv.Itoa(i+1)
		id := b.newCol(name, t)
		n.cols = append(n.cols, id)
		r.cols = append(r.cols, scopeCol{name: name, id: id})
	}
	if len(subs) > 0 {
		r.node = b.valuesWithSubqueries(n, subs)
	}
	return r
}

// valuesWithSubqueries makes each row a projection over the subqueries' results.
func (b *binder) valuesWithSubqueries(v *values, subs applies) node {
	body := share(b.attach(one(), subs))
	u := &setOp{kind: unionAll, cols: v.cols}
	for _, row := range v.rows {
		r := b.ref(body)
		m := map[int]expr.Expr{}
		for i, c := range body.in.out() {
			m[c] = b.colExpr(r.cols[i])
		}
		p := &project{in: r, cols: b.copyCols(v.cols)}
		for _, e := range row {
			p.exprs = append(p.exprs, substitute(e, m))
		}
		u.ins = append(u.ins, p)
		u.maps = append(u.maps, p.cols)
	}
	return u
}
