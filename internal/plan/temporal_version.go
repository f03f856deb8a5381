package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// A versioned relation holds a row for each version of what a key stands for, with
// the time from which it is valid. Relations here have no history besides their
// rows, so it is one of these:
//
//   - a source, or an append-only table or view, with a watermark: the time is the
//     watermark's column, the key is what the join says;
//   - a table whose primary key ends with a time, PRIMARY KEY (k, valid_from):
//     versions may be added, corrected and withdrawn at any time;
//   - a view over one of these that keeps the last row of each key, by ROW_NUMBER()
//     OVER (PARTITION BY k ORDER BY t DESC) = 1 or by DISTINCT ON (k) ... ORDER BY k,
//     t DESC: the key is k, the time is t, and the versions are the rows before that
//     choice.

// versions says what a relation's versions are.
type versions struct {
	name string
	keys []int // columns that tell histories apart; nil: those of the join
	time int   // column: valid from
}

const versionHint = "A versioned relation is a source or an append-only table with a WATERMARK, a table with PRIMARY KEY (key, time), or a view that keeps the last row of each key of one of these (ROW_NUMBER() OVER (PARTITION BY key ORDER BY time DESC) = 1)."

// bindVersions binds the versions of the relation that ref names.
func (t *timeJoin) bindVersions(ref *sql.TableRef, sc *scope) fromItem {
	b := t.b
	if len(ref.Name.Parts) == 1 && sc.ctes.find(ref.Name.Last()) != nil {
		failHint(t.pos, types.CodeFeature, "Make it a view.", "FOR SYSTEM_TIME AS OF of a WITH query is not supported")
	}
	rel := b.relation(ref.Name)
	t.name = rel.Describe()
	if rel.Kind == catalog.View || rel.Kind == catalog.MaterializedView && rel.Query != "" {
		q := parseQuery(rel.Query, rel.Describe())
		if cut, ok := withoutLastRow(q); ok {
			return t.bindCut(ref, rel, cut)
		}
	}
	item := b.tableExpr(ref, sc, &t.l)
	cols := item.vars[0].cols
	switch {
	case rel.PrimaryKey != nil:
		last := rel.PrimaryKey[len(rel.PrimaryKey)-1]
		if w := rel.Watermark; w != nil && slices.Contains(rel.PrimaryKey, w.Column) {
			last = w.Column
		}
		if !isTime(rel.Columns[last].Type) {
			failHint(t.pos, types.CodeFeature, "A table keeps one row for each key, so what was valid before is gone. Make the time part of the key: PRIMARY KEY (..., valid_from).",
				"%s has no versions: its primary key does not end with a time", rel.Describe())
		}
		t.time = cols[last].id
		t.versions.keys = []int{}
		for _, k := range rel.PrimaryKey {
			if k != last {
				t.versions.keys = append(t.versions.keys, cols[k].id)
			}
		}
	case rel.AppendOnly && rel.Watermark != nil:
		t.time = cols[rel.Watermark.Column].id
	case rel.AppendOnly && len(rel.TimeColumns) == 1:
		t.time = cols[rel.TimeColumns[0]].id
	default:
		failHint(t.pos, types.CodeFeature, versionHint, "%s has no versions", rel.Describe())
	}
	return item
}

func isTime(t types.Type) bool {
	return t.Kind == types.Timestamp || t.Kind == types.TimestampTZ || t.Kind == types.Date
}

// bindCut binds a view without its choice of the last row of each key.
func (t *timeJoin) bindCut(ref *sql.TableRef, rel *catalog.Relation, cut *lastRow) fromItem {
	b := t.b
	path, deps := b.path, b.deps
	b.path, b.viewDepth = rel.SearchPath, b.viewDepth+1
	b.deps = map[catalog.ID]bool{}
	r := b.query(cut.query, nil, nil)
	b.path, b.viewDepth, b.deps = path, b.viewDepth-1, deps
	if len(r.cols) < len(rel.Columns) {
		fail(t.pos, types.CodeInternal, "%s gives %d columns, %d expected", rel.Describe(), len(r.cols), len(rel.Columns))
	}
	if !appendOnly(r.node) && !hasTimeKey(r, cut.time, b) {
		failHint(t.pos, types.CodeFeature, versionHint, "%s has no versions: the rows that it chooses from may be replaced", rel.Describe())
	}
	find := func(name string) int {
		for i := range rel.Columns {
			if r.cols[i].name == name {
				return r.cols[i].id
			}
		}
		fail(t.pos, types.CodeFeature, "%s does not give column %q, by which its versions are told apart", rel.Describe(), name)
		panic("unreachable")
	}
	t.time = find(cut.time)
	t.versions.keys = []int{}
	for _, k := range cut.keys {
		t.versions.keys = append(t.versions.keys, find(k))
	}
	item := fromItem{node: r.node}
	for i, c := range rel.Columns {
		item.cols = append(item.cols, scopeCol{c.Name, r.cols[i].id, rel.ID, i + 1})
	}
	out := b.alias(item, rel.Name, ref.Alias, ref.Pos())
	out.vars[0].rel = rel
	if ref.Alias == nil {
		out.vars[0].schema = rel.Schema
	}
	return out
}

// hasTimeKey reports whether the rows come from a table whose key has the time in
// it, so that a version that is replaced is one that was wrong.
func hasTimeKey(r *result, time string, b *binder) bool {
	for _, c := range r.cols {
		if c.name != time || c.rel == 0 {
			continue
		}
		rel := b.p.Catalog.ByID(c.rel)
		return rel != nil && slices.Contains(rel.PrimaryKey, c.att-1)
	}
	return false
}

// lastRow is a query that chooses the last row of each key, without that choice.
type lastRow struct {
	query *sql.Query
	keys  []string
	time  string
}

// withoutLastRow recognises the two ways to write such a query.
func withoutLastRow(q *sql.Query) (*lastRow, bool) {
	s, ok := q.Body.(*sql.Select)
	if !ok || q.Limit != nil || q.Offset != nil || len(s.GroupBy) > 0 || s.Having != nil {
		return nil, false
	}
	if len(s.DistinctOn) > 0 {
		return withoutDistinctOn(q, s)
	}
	if s.Distinct || len(s.From) != 1 || s.Where == nil {
		return nil, false
	}
	sub, ok := s.From[0].(*sql.SubqueryTable)
	if !ok || sub.Lateral {
		return nil, false
	}
	number, ok := firstOnly(s.Where)
	if !ok {
		return nil, false
	}
	inner, ok := sub.Query.Body.(*sql.Select)
	if !ok || inner.Distinct || len(inner.GroupBy) > 0 || sub.Query.Limit != nil || sub.Query.Offset != nil {
		return nil, false
	}
	for i, it := range inner.Items {
		call, ok := it.X.(*sql.FuncCall)
		if !ok || it.Alias.Text != number || call.Name.Last() != "row_number" || call.Over == nil {
			continue
		}
		out, ok := orderedLast(call.Over.PartitionBy, call.Over.OrderBy)
		if !ok {
			return nil, false
		}
		// Every row that is chosen has the number 1.
		items := slices.Clone(inner.Items)
		items[i].X = parseQuery("SELECT 1::bigint", "a row's number").Body.(*sql.Select).Items[0].X
		newInner, newSub, newSel, newQ := *inner, *sub, *s, *q
		innerQ := *sub.Query
		newInner.Items, innerQ.Body = items, &newInner
		newSub.Query = &innerQ
		newSel.From, newSel.Where = []sql.TableExpr{&newSub}, nil
		newQ.Body, newQ.OrderBy = &newSel, nil
		out.query = &newQ
		return out, true
	}
	return nil, false
}

func withoutDistinctOn(q *sql.Query, s *sql.Select) (*lastRow, bool) {
	if len(q.OrderBy) != len(s.DistinctOn)+1 {
		return nil, false
	}
	out, ok := orderedLast(s.DistinctOn, q.OrderBy[len(s.DistinctOn):])
	if !ok {
		return nil, false
	}
	for _, o := range q.OrderBy[:len(s.DistinctOn)] {
		if name, ok := columnName(o.X); !ok || !slices.Contains(out.keys, name) {
			return nil, false
		}
	}
	sel, newQ := *s, *q
	sel.Distinct, sel.DistinctOn = false, nil
	newQ.Body, newQ.OrderBy = &sel, nil
	out.query = &newQ
	return out, true
}

// orderedLast reads PARTITION BY columns and ORDER BY time DESC.
func orderedLast(by []sql.Expr, order []sql.OrderItem) (*lastRow, bool) {
	if len(order) != 1 || order[0].Dir != sql.SortDesc {
		return nil, false
	}
	out := &lastRow{}
	var ok bool
	if out.time, ok = columnName(order[0].X); !ok {
		return nil, false
	}
	for _, x := range by {
		name, ok := columnName(x)
		if !ok {
			return nil, false
		}
		out.keys = append(out.keys, name)
	}
	return out, true
}

func columnName(x sql.Expr) (string, bool) {
	if c, ok := x.(*sql.ColumnRef); ok && len(c.Parts) > 0 {
		return c.Parts[len(c.Parts)-1].Text, true
	}
	return "", false
}

// firstOnly reads x as "column = 1" or "column <= 1". Further conditions would be for
// the last row alone.
func firstOnly(x sql.Expr) (column string, ok bool) {
	c, is := x.(*sql.BinaryExpr)
	if !is || c.Op.Symbol != "=" && c.Op.Symbol != "<=" {
		return "", false
	}
	if n, is := c.R.(*sql.NumberLit); !is || n.Text != "1" {
		return "", false
	}
	return columnName(c.L)
}
