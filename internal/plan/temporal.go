package plan

import (
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// Joins in time: ASOF JOIN, and JOIN ... FOR SYSTEM_TIME AS OF, whose right side is
// a versioned relation, where the version valid at a row's time is what ASOF finds,
// or, with PROCTIME(), whatever it is when the row comes.

// timeJoin binds j if it is a join in time.
func (b *binder) timeJoin(j *sql.Join, sc *scope, outerLeft *fromItem) (fromItem, bool) {
	ref, _ := j.R.(*sql.TableRef)
	if ref != nil && ref.AsOf == nil {
		ref = nil
	}
	if !j.AsOf && ref == nil {
		return fromItem{}, false
	}
	t := &timeJoin{b: b, j: j, what: "ASOF JOIN", pos: int(j.Op)}
	if ref != nil {
		t.what, t.pos = "FOR SYSTEM_TIME AS OF", ref.AsOf.Pos()
		if j.AsOf {
			fail(t.pos, types.CodeSyntax, "ASOF JOIN and FOR SYSTEM_TIME AS OF exclude each other")
		}
	}
	if j.Kind != sql.InnerJoin && j.Kind != sql.LeftJoin {
		failHint(t.pos, types.CodeFeature, "Each left row finds its match: INNER JOIN and LEFT JOIN are possible.", "%s with a join of this kind", t.what)
	}
	if j.On == nil {
		failHint(t.pos, types.CodeSyntax, "Join ON l.key = r.key, and for ASOF JOIN AND l.time >= r.time.", "%s needs a condition after ON", t.what)
	}
	t.l = b.tableExpr(j.L, sc, outerLeft)
	if ref != nil {
		t.right(ref, sc)
	} else {
		t.r = b.tableExpr(j.R, sc, &t.l)
	}
	b.checkDuplicates(t.l.vars, t.r.vars, j.R.Pos())
	if dependsOn(t.r.node, t.l.node) {
		unsupported(j.R.Pos(), "LATERAL on the right of %s", t.what)
	}
	out := fromItem{vars: append(slices.Clone(t.l.vars), t.r.vars...), cols: append(slices.Clone(t.l.cols), t.r.cols...)}
	ctx := &exprCtx{sc: &scope{parent: sc.parent, vars: out.vars, cols: out.cols, ctes: sc.ctes}, clause: "JOIN conditions"}
	on := conjuncts(b.boolean(b.expr(ctx, j.On), "JOIN/ON", j.On.Pos()))
	switch {
	case t.now:
		out.node = t.lookup(on)
	case ref != nil:
		out.node = t.versioned(on)
	default:
		out.node = t.asOf(on)
	}
	return b.finishJoin(out, j), true
}

// timeJoin is a join in time that is being bound.
type timeJoin struct {
	b    *binder
	j    *sql.Join
	what string
	pos  int
	l, r fromItem
	// Of FOR SYSTEM_TIME AS OF: the time of the left row, or that it is the time when
	// the row comes; and the right side's versions.
	at  expr.Expr
	now bool
	versions
}

func (t *timeJoin) outer() bool { return t.j.Kind == sql.LeftJoin }

// keyPair is two expressions that must be equal.
type keyPair struct{ l, r expr.Expr }

// keys takes the equalities between the sides out of on.
func (t *timeJoin) keys(on []expr.Expr) (ks []keyPair, rest []expr.Expr) {
	l, r := setOf(t.l.node.out()), setOf(t.r.node.out())
	for _, p := range on {
		if a, c, safe := equalSides(p, l, r); a != nil && !safe {
			ks = append(ks, keyPair{a, c})
		} else {
			rest = append(rest, p)
		}
	}
	return ks, rest
}

// node makes the join of keys and times. Both times have the same type.
func (t *timeJoin) node(ks []keyPair, lt, rt expr.Expr, cmp flow.AsOfCmp) *asOf {
	b := t.b
	if lt.Type().Layout() != types.LayoutInt || rt.Type().Layout() != types.LayoutInt {
		failHint(t.pos, types.CodeDatatypeMismatch, "Times, dates and integers can be compared.", "%s by %s is not supported", t.what, typeName(lt.Type()))
	}
	var les, res []expr.Expr
	for _, k := range ks {
		les, res = append(les, k.l), append(res, k.r)
	}
	ln, lids := b.extend(t.l.node, append(les, lt), make([]string, len(ks)+1))
	rn, rids := b.extend(t.r.node, append(res, rt), make([]string, len(ks)+1))
	n := len(ks)
	return &asOf{l: ln, r: rn, outer: t.outer(), lk: lids[:n], rk: rids[:n], lt: lids[n], rt: rids[n], cmp: cmp}
}

// asOfCmps are the inequalities of ASOF JOIN, and the same seen from the right.
var asOfCmps = map[string][2]flow.AsOfCmp{
	">=": {flow.AsOfGE, flow.AsOfLE}, ">": {flow.AsOfGT, flow.AsOfLT},
	"<=": {flow.AsOfLE, flow.AsOfGE}, "<": {flow.AsOfLT, flow.AsOfGT},
}

// asOf finds the one inequality of an ASOF JOIN.
func (t *timeJoin) asOf(on []expr.Expr) node {
	const hint = "Write equalities and one inequality, as in ON l.key = r.key AND l.time >= r.time. Filter the right side in a subquery."
	l, r := setOf(t.l.node.out()), setOf(t.r.node.out())
	ks, rest := t.keys(on)
	if len(rest) != 1 {
		failHint(t.j.On.Pos(), types.CodeSyntax, hint, "ASOF JOIN has %d conditions besides equalities, and needs one", len(rest))
	}
	c, ok := rest[0].(*expr.Call)
	if ok {
		if cmps, is := asOfCmps[c.Fn.Name]; is && len(c.Args) == 2 && !hasVolatile(c) {
			x, y := unwiden(c.Args[0]), unwiden(c.Args[1])
			xc, yc := exprCols(x), exprCols(y)
			switch {
			case len(xc) == 0 || len(yc) == 0:
			case l.hasAll(xc) && r.hasAll(yc):
				return t.node(ks, x, y, cmps[0])
			case l.hasAll(yc) && r.hasAll(xc):
				return t.node(ks, y, x, cmps[1])
			}
		}
	}
	failHint(t.j.On.Pos(), types.CodeSyntax, hint, "the condition of ASOF JOIN that is no equality must compare a left time with a right one")
	panic("unreachable")
}

// right binds the right side of FOR SYSTEM_TIME AS OF.
func (t *timeJoin) right(ref *sql.TableRef, sc *scope) {
	b := t.b
	plain := *ref
	plain.AsOf = nil
	ctx := &exprCtx{sc: &scope{parent: sc.parent, vars: t.l.vars, cols: t.l.cols, ctes: sc.ctes}, clause: "FOR SYSTEM_TIME AS OF"}
	ok, uses := b.nowOK, b.usesNow
	b.nowOK = true
	t.at = b.expr(ctx, ref.AsOf)
	b.nowOK, b.usesNow = ok, uses
	if _, t.now = t.at.(expr.Now); t.now || b.isProcTime(ctx.sc, ref.AsOf) {
		t.now = true
		t.r = b.tableExpr(&plain, sc, &t.l)
		if b.inView && !appendOnly(t.l.node) {
			failHint(t.pos, types.CodeFeature, "Use an append-only table or a source there; or join with the table itself, without FOR SYSTEM_TIME AS OF, to have the answer corrected.",
				"the left side of FOR SYSTEM_TIME AS OF PROCTIME() in a view must be append-only, since what was joined once is never taken back")
		}
		return
	}
	if len(exprCols(t.at)) == 0 {
		failHint(t.pos, types.CodeFeature, "Name a time of the left side's rows, or PROCTIME().", "FOR SYSTEM_TIME AS OF a constant time")
	}
	t.r = t.bindVersions(&plain, sc)
}

// isProcTime reports whether x is a column that is generated as PROCTIME().
func (b *binder) isProcTime(sc *scope, x sql.Expr) bool {
	ref, ok := x.(*sql.ColumnRef)
	if !ok {
		return false
	}
	c, _ := b.column(sc, ref)
	rel := b.p.Catalog.ByID(c.rel)
	if rel == nil || c.att < 1 || c.att > len(rel.Columns) {
		return false
	}
	return strings.EqualFold(strings.ReplaceAll(rel.Columns[c.att-1].Generated, " ", ""), "proctime()")
}

// lookup makes the join with the right side as it is when a left row comes.
func (t *timeJoin) lookup(on []expr.Expr) node {
	for _, p := range on {
		if hasVolatile(p) {
			unsupported(t.j.On.Pos(), "a volatile function in a lookup's condition")
		}
	}
	return &lookup{l: t.l.node, r: t.r.node, outer: t.outer(), on: on}
}

// versioned makes the join with the version that is valid at the left row's time.
// Conditions besides the keys are for the version that was found.
func (t *timeJoin) versioned(on []expr.Expr) node {
	b := t.b
	ks, rest := t.keys(on)
	t.checkKeys(ks)
	rt := b.colExpr(t.time)
	if t.at.Type().Kind != rt.Type().Kind {
		ls, _ := b.unify("FOR SYSTEM_TIME AS OF", []expr.Expr{t.at, rt}, []int{t.pos, t.pos})
		t.at, rt = ls[0], ls[1]
	}
	n := t.node(ks, t.at, rt, flow.AsOfGE)
	if len(rest) == 0 {
		return n
	}
	if !n.outer {
		return &filter{in: n, preds: rest}
	}
	// A left row whose version fails the conditions has NULLs in its place, under the
	// columns' own identities.
	right := t.r.node.out()
	p := &project{in: n, cols: slices.Clone(t.l.node.out())}
	for _, c := range p.cols {
		p.exprs = append(p.exprs, b.colExpr(c))
	}
	fresh := b.copyCols(right)
	for i, c := range right {
		e := b.colExpr(c)
		p.cols = append(p.cols, fresh[i])
		p.exprs = append(p.exprs, &expr.Case{Whens: []expr.When{{Cond: andOf(rest), Then: e}}, T: e.Type()})
	}
	return b.rename(p, append(slices.Clone(t.l.node.out()), fresh...), append(slices.Clone(t.l.node.out()), right...))
}

// checkKeys makes sure that the join names one history of versions: that it is by
// the key of the versions, all of it and nothing else.
func (t *timeJoin) checkKeys(ks []keyPair) {
	var have []int
	for _, k := range ks {
		c, ok := k.r.(expr.Col)
		if !ok {
			failHint(t.j.On.Pos(), types.CodeFeature, "Compare with the column itself.", "FOR SYSTEM_TIME AS OF needs columns of the right side as keys, not expressions")
		}
		have = append(have, c.Index)
	}
	if t.versions.keys == nil {
		if len(ks) == 0 {
			failHint(t.j.On.Pos(), types.CodeSyntax, "Join ON l.key = r.key.", "FOR SYSTEM_TIME AS OF needs an equality of keys")
		}
		return
	}
	if want := setOf(t.versions.keys); !want.hasAll(have) || !setOf(have).hasAll(t.versions.keys) {
		var names []string
		for _, c := range t.versions.keys {
			names = append(names, catalog.QuoteIdent(t.b.cols[c].name))
		}
		failHint(t.j.On.Pos(), types.CodeFeature, "Conditions on other columns go into WHERE.",
			"the versions of %s are told apart by (%s): FOR SYSTEM_TIME AS OF needs an equality with each of these columns and with no other", t.name, strings.Join(names, ", "))
	}
}
