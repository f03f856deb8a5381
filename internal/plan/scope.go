package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// scopeCol is a column that names may find.
type scopeCol struct {
	name string
	id   int
	rel  catalog.ID // relation it comes from unchanged, 0 if none
	att  int        // its number there, from 1
}

// rangeVar is an item of FROM under the name that qualifies its columns.
type rangeVar struct {
	name    string
	schema  string // set for a relation without alias
	rel     *catalog.Relation
	cols    []scopeCol
	aliased bool
}

// scope is what names mean at one query level.
type scope struct {
	parent *scope
	vars   []*rangeVar
	cols   []scopeCol // for names without qualifier and for *, in order
	ctes   *cteEnv
	uses   []colUse          // columns of this level, as they are referred to
	rel    *catalog.Relation // the table of a CHECK, DEFAULT, or RETURNING, for messages
}

// colUse remembers where a column was named, for messages about grouping.
type colUse struct {
	id, pos int
	name    string
}

// cteEnv is the list of common table expressions in force, innermost first.
type cteEnv struct {
	parent *cteEnv
	name   string
	cols   []scopeCol
	body   *shared
	dml    bool
}

func (e *cteEnv) find(name string) *cteEnv {
	for ; e != nil; e = e.parent {
		if e.name == name {
			return e
		}
	}
	return nil
}

func names(ids []sql.Ident) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.Text
	}
	return out
}

// column resolves a reference, innermost level first.
func (b *binder) column(sc *scope, ref *sql.ColumnRef) (scopeCol, *scope) {
	parts := names(ref.Parts)
	switch len(parts) {
	case 1:
		return b.bareColumn(sc, parts[0], ref.Pos())
	case 2:
		return b.qualifiedColumn(sc, "", parts[0], parts[1], ref.Pos())
	case 3:
		return b.qualifiedColumn(sc, parts[0], parts[1], parts[2], ref.Pos())
	}
	if parts[0] != b.p.Session.Database {
		fail(ref.Pos(), types.CodeFeature, "cross-database references are not implemented: %s", dottedName(parts))
	}
	return b.qualifiedColumn(sc, parts[1], parts[2], parts[3], ref.Pos())
}

func dottedName(parts []string) string {
	s := parts[0]
	for _, p := range parts[1:] {
		s += "." + p
	}
	return s
}

func (b *binder) bareColumn(sc *scope, name string, pos int) (scopeCol, *scope) {
	for s := sc; s != nil; s = s.parent {
		var found *scopeCol
		for i := range s.cols {
			c := &s.cols[i]
			if c.name != name {
				continue
			}
			if found != nil && found.id != c.id {
				fail(pos, types.CodeAmbiguousColumn, "column reference %q is ambiguous", name)
			}
			found = c
		}
		if found != nil {
			s.uses = append(s.uses, colUse{found.id, pos, s.qualify(*found)})
			return *found, s
		}
	}
	for s := sc; s != nil; s = s.parent {
		for _, v := range s.vars {
			if v.name == name {
				unsupported(pos, "a whole-row reference (%s)", name)
			}
		}
	}
	fail(pos, types.CodeUndefinedColumn, "column %q does not exist", name)
	panic("unreachable")
}

// qualify is the column's name as messages about grouping give it.
func (s *scope) qualify(c scopeCol) string {
	for _, v := range s.vars {
		for _, vc := range v.cols {
			if vc.id == c.id && v.name != "" {
				return v.name + "." + vc.name
			}
		}
	}
	return c.name
}

func (b *binder) qualifiedColumn(sc *scope, schema, table, name string, pos int) (scopeCol, *scope) {
	v, s := b.findVar(sc, schema, table, pos)
	var found *scopeCol
	for i := range v.cols {
		if v.cols[i].name == name {
			if found != nil {
				fail(pos, types.CodeAmbiguousColumn, "column reference %q is ambiguous", name)
			}
			found = &v.cols[i]
		}
	}
	if found == nil {
		fail(pos, types.CodeUndefinedColumn, "column %s.%s does not exist", table, name)
	}
	s.uses = append(s.uses, colUse{found.id, pos, table + "." + name})
	return *found, s
}

// findVar finds the FROM item that a qualifier names.
func (b *binder) findVar(sc *scope, schema, table string, pos int) (*rangeVar, *scope) {
	for s := sc; s != nil; s = s.parent {
		for _, v := range s.vars {
			if v.name == table && (schema == "" || schema == v.schema) {
				return v, s
			}
		}
	}
	for s := sc; s != nil; s = s.parent {
		for _, v := range s.vars {
			if v.aliased && v.rel != nil && v.rel.Name == table {
				failHint(pos, types.CodeUndefinedTable, "Perhaps you meant to reference the table alias \""+v.name+"\".",
					"invalid reference to FROM-clause entry for table %q", table)
			}
		}
	}
	if slices.Contains(b.siblings, table) {
		failWith(pos, &types.Error{Code: types.CodeUndefinedTable, Message: "invalid reference to FROM-clause entry for table \"" + table + "\"",
			Detail: "There is an entry for table \"" + table + "\", but it cannot be referenced from this part of the query.",
			Hint:   "To reference that table, you must mark this subquery with LATERAL."})
	}
	fail(pos, types.CodeUndefinedTable, "missing FROM-clause entry for table %q", table)
	panic("unreachable")
}

// colExpr is a reference to column id.
func (b *binder) colExpr(id int) expr.Expr {
	m := b.cols[id]
	return expr.Col{Index: id, T: m.typ, Name: m.name}
}

func (b *binder) newCol(name string, t types.Type) int {
	if len(b.cols) >= maxPlanColumns {
		fail(noPos, types.CodeTooComplex, "statement uses more than %d columns", maxPlanColumns)
	}
	b.cols = append(b.cols, colMeta{name, t})
	return len(b.cols) - 1
}

// copyCols makes fresh columns like the given ones.
func (b *binder) copyCols(cols []int) []int {
	out := make([]int, len(cols))
	for i, c := range cols {
		out[i] = b.newCol(b.cols[c].name, b.cols[c].typ)
	}
	return out
}

// extend adds computed columns to in; a plain column needs none.
func (b *binder) extend(in node, es []expr.Expr, names []string) (node, []int) {
	ids := make([]int, len(es))
	p := &project{in: in}
	for _, c := range in.out() {
		p.cols = append(p.cols, c)
		p.exprs = append(p.exprs, b.colExpr(c))
	}
	base := len(p.cols)
	for i, e := range es {
		if c, ok := e.(expr.Col); ok && slices.Contains(p.cols, c.Index) {
			ids[i] = c.Index
			continue
		}
		ids[i] = b.newCol(names[i], e.Type())
		p.cols = append(p.cols, ids[i])
		p.exprs = append(p.exprs, e)
	}
	if len(p.cols) == base {
		return in, ids
	}
	return p, ids
}

// keep narrows in to the given columns, each once.
func (b *binder) keep(in node, cols []int) node {
	p := &project{in: in}
	for _, c := range cols {
		if !slices.Contains(p.cols, c) {
			p.cols = append(p.cols, c)
			p.exprs = append(p.exprs, b.colExpr(c))
		}
	}
	return p
}

// rename gives in's columns from the identities to.
func (b *binder) rename(in node, from, to []int) node {
	p := &project{in: in, cols: to}
	for _, c := range from {
		p.exprs = append(p.exprs, b.colExpr(c))
	}
	return p
}

// share makes in readable from several places; each calls ref.
func share(in node) *shared { return &shared{in: in} }

// ref is one more reader of s, under fresh columns.
func (b *binder) ref(s *shared) *sharedRef {
	s.refs++
	return &sharedRef{body: s, cols: b.copyCols(s.in.out())}
}

// sameRef is a reader of s under the columns of s itself; only one may be in use in a plan level.
func (b *binder) sameRef(s *shared) *sharedRef {
	s.refs++
	return &sharedRef{body: s, cols: s.in.out()}
}
