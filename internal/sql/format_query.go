package sql

import (
	"fmt"
	"strconv"
	"strings"
)

func (f *printer) query(q *Query) {
	if q.With != nil {
		f.with(q.With)
	}
	f.body(q.Body)
	f.orderBy(q.OrderBy)
	switch {
	case q.LimitAll:
		f.w(" LIMIT ALL")
	case q.WithTies:
		f.w(" FETCH FIRST ")
		f.rowCount(q.Limit)
		f.w(" ROWS WITH TIES")
	case q.Limit != nil:
		f.w(" LIMIT ")
		f.expr(q.Limit)
	}
	if q.Offset != nil {
		f.w(" OFFSET ")
		f.expr(q.Offset)
	}
	for _, l := range q.Locking {
		f.w(" FOR ", strings.ToUpper(l.Strength))
		if l.Of != nil {
			f.w(" OF ")
			each(f, l.Of, f.name)
		}
		f.opt(l.Wait != "", " "+strings.ToUpper(l.Wait))
	}
	f.w([...]string{EmitDefault: "", EmitChanges: " EMIT CHANGES", EmitOnWindowClose: " EMIT ON WINDOW CLOSE"}[q.Emit])
}

// rowCount writes the count of FETCH FIRST, which is a constant with a sign or a primary expression.
func (f *printer) rowCount(x Expr) {
	if u, ok := x.(*UnaryExpr); ok {
		if _, ok := u.X.(*NumberLit); ok {
			f.expr(x)
			return
		}
	}
	f.operand(x, precPrimary)
}

func (f *printer) with(w *With) {
	f.w("WITH ")
	f.opt(w.Recursive, "RECURSIVE ")
	each(f, w.CTEs, f.cte)
	f.w(" ")
}

func (f *printer) cte(c *CTE) {
	f.ident(c.Name)
	f.columns(c.Columns)
	f.w(" AS ", [...]string{MaterializeDefault: "", MaterializeAlways: "MATERIALIZED ", MaterializeNever: "NOT MATERIALIZED "}[c.Materialized], "(")
	f.stmt(c.Stmt)
	f.w(")")
	if s := c.Search; s != nil {
		if s.Breadth {
			f.w(" SEARCH BREADTH FIRST BY ")
		} else {
			f.w(" SEARCH DEPTH FIRST BY ")
		}
		f.idents(s.By)
		f.w(" SET ")
		f.ident(s.Set)
	}
	if y := c.Cycle; y != nil {
		f.w(" CYCLE ")
		f.idents(y.Columns)
		f.w(" SET ")
		f.ident(y.Mark)
		if y.To != nil {
			f.w(" TO ")
			f.expr(y.To)
			f.w(" DEFAULT ")
			f.expr(y.Default)
		}
		f.w(" USING ")
		f.ident(y.Path)
	}
}

// body writes a query's body.
func (f *printer) body(b QueryBody) {
	switch b := b.(type) {
	case *Select:
		f.selectCore(b)
	case *Values:
		f.w("VALUES ")
		each(f, b.Rows, func(row []Expr) { group(f, row, f.expr) })
	case *TableQuery:
		f.w("TABLE ")
		f.tableRef(b.Table)
	case *Query:
		f.subquery(b)
	case *SetOp:
		f.setOp(b)
	default:
		panic(fmt.Sprintf("sql: Format of %T", b))
	}
}

func setOpLevel(b QueryBody) int {
	if s, ok := b.(*SetOp); ok {
		if s.Kind == Intersect {
			return precIntersect
		}
		return precUnion
	}
	return precIntersect + 1
}

func (f *printer) setOp(s *SetOp) {
	side := func(b QueryBody, min int) {
		if l := setOpLevel(b); l < min || f.parens && l <= precIntersect {
			f.w("(")
			f.body(b)
			f.w(")")
			return
		}
		f.body(b)
	}
	p := setOpLevel(s)
	side(s.L, p)
	f.w([...]string{Union: " UNION ", Intersect: " INTERSECT ", Except: " EXCEPT "}[s.Kind])
	f.opt(s.All, "ALL ")
	side(s.R, p+1)
}

func (f *printer) selectCore(s *Select) {
	f.w("SELECT")
	f.opt(s.AllWord, " ALL")
	f.opt(s.Distinct, " DISTINCT")
	if s.DistinctOn != nil {
		f.w(" ON ")
		group(f, s.DistinctOn, f.expr)
	}
	f.opt(len(s.Items) > 0, " ")
	f.items(s.Items)
	if s.Into != nil {
		f.w(" INTO ")
		f.opt(s.Into.Temp, "TEMPORARY ")
		f.opt(s.Into.Unlogged, "UNLOGGED ")
		f.w("TABLE ")
		f.name(s.Into.Name)
	}
	f.from(" FROM ", s.From)
	f.where(s.Where)
	if s.GroupBy != nil {
		f.w(" GROUP BY ", [...]string{GroupDefault: "", GroupAll: "ALL ", GroupDistinct: "DISTINCT "}[s.GroupMode])
		each(f, s.GroupBy, f.groupItem)
	}
	if s.Having != nil {
		f.w(" HAVING ")
		f.expr(s.Having)
	}
	if s.Windows != nil {
		f.w(" WINDOW ")
		each(f, s.Windows, func(w *WindowSpec) {
			f.ident(w.Name)
			f.w(" AS ")
			f.window(w)
		})
	}
}

func (f *printer) items(items []SelectItem) {
	each(f, items, func(it SelectItem) {
		f.expr(it.X)
		if it.Alias.Text != "" {
			f.w(" AS ")
			f.ident(it.Alias)
		}
	})
}

func (f *printer) from(word string, l []TableExpr) {
	if l != nil {
		f.w(word)
		each(f, l, f.table)
	}
}

func (f *printer) where(x Expr) {
	if x != nil {
		f.w(" WHERE ")
		f.expr(x)
	}
}

func (f *printer) groupItem(g GroupItem) {
	switch g.Kind {
	case GroupExpr:
		f.expr(g.Exprs[0])
	case GroupEmpty:
		f.w("()")
	case GroupCube:
		f.call("CUBE ", g.Exprs...)
	case GroupRollup:
		f.call("ROLLUP ", g.Exprs...)
	case GroupSets:
		f.w("GROUPING SETS ")
		group(f, g.Sets, f.groupItem)
	}
}

func (f *printer) tableRef(t *TableRef) {
	f.opt(t.Only, "ONLY ")
	f.name(t.Name)
	f.opt(t.Star, " *")
	if t.AsOf != nil {
		f.w(" FOR SYSTEM_TIME AS OF ")
		f.operand(t.AsOf, precPrimary) // an alias could follow
	}
	f.alias(t.Alias)
}

func (f *printer) alias(a *Alias) {
	if a == nil {
		return
	}
	f.w(" AS ")
	if a.Name.Text != "" {
		f.ident(a.Name)
	}
	f.columns(a.Columns)
	if a.Defs != nil {
		f.w(" ")
		group(f, a.Defs, f.funcColumn)
	}
}

func (f *printer) funcColumn(c ColumnDef) {
	f.ident(c.Name)
	f.w(" ")
	f.typeName(c.Type)
	if !c.Collation.IsZero() {
		f.w(" COLLATE ")
		f.name(c.Collation)
	}
}

func (f *printer) table(t TableExpr) {
	switch t := t.(type) {
	case *TableRef:
		f.tableRef(t)
	case *SubqueryTable:
		f.opt(t.Lateral, "LATERAL ")
		f.subquery(t.Query)
		f.alias(t.Alias)
	case *FuncTable:
		f.funcTable(t)
	case *Join:
		if t.Alias != nil {
			f.w("(")
			f.join(t)
			f.w(")")
			f.alias(t.Alias)
			return
		}
		f.join(t)
	case *WindowTable:
		f.windowTable(t)
	case *MatchRecognize:
		f.matchRecognize(t)
	default:
		panic(fmt.Sprintf("sql: Format of %T", t))
	}
}

func (f *printer) funcTable(t *FuncTable) {
	f.opt(t.Lateral, "LATERAL ")
	item := func(it FuncItem) {
		f.expr(it.Call)
		if it.Defs != nil {
			f.w(" AS ")
			group(f, it.Defs, f.funcColumn)
		}
	}
	if t.RowsFrom {
		f.w("ROWS FROM ")
		group(f, t.Funcs, item)
	} else if c, ok := t.Funcs[0].Call.(*CastExpr); ok {
		f.w("CAST(")
		f.expr(c.X)
		f.w(" AS ")
		f.typeName(c.Type)
		f.w(")")
	} else {
		item(t.Funcs[0])
	}
	f.opt(t.Ordinality, " WITH ORDINALITY")
	f.alias(t.Alias)
}

func (f *printer) join(j *Join) {
	side := func(t TableExpr, right bool) {
		if sub, ok := t.(*Join); ok && sub.Alias == nil && (right || f.parens) {
			f.w("(")
			f.join(sub)
			f.w(")")
			return
		}
		f.table(t)
	}
	side(j.L, false)
	f.opt(j.Natural, " NATURAL")
	f.opt(j.AsOf, " ASOF")
	f.w([...]string{InnerJoin: "", LeftJoin: " LEFT", RightJoin: " RIGHT", FullJoin: " FULL", CrossJoin: " CROSS"}[j.Kind], " JOIN ")
	side(j.R, true)
	if j.On != nil {
		f.w(" ON ")
		f.expr(j.On)
	}
	if j.Using != nil {
		f.w(" USING ")
		group(f, j.Using, f.ident)
		if j.UsingAlias.Text != "" {
			f.w(" AS ")
			f.ident(j.UsingAlias)
		}
	}
}

func (f *printer) windowTable(t *WindowTable) {
	f.opt(t.Lateral, "LATERAL ")
	f.opt(t.Flink, "TABLE(")
	f.w(windowNames[t.Kind], "(")
	f.opt(t.Flink, "TABLE ")
	f.table(t.Input)
	if t.PartitionBy != nil {
		f.w(" PARTITION BY ")
		group(f, t.PartitionBy, f.expr)
	}
	f.w(", ")
	f.opt(t.Flink, "DESCRIPTOR(")
	f.expr(t.TimeCol)
	f.opt(t.Flink, ")")
	for _, a := range t.Args {
		f.w(", ")
		f.expr(a)
	}
	f.w(")")
	f.opt(t.Flink, ")")
	f.alias(t.Alias)
}

func (f *printer) matchRecognize(m *MatchRecognize) {
	if j, ok := m.Input.(*Join); ok && j.Alias == nil {
		f.w("(")
		f.join(j)
		f.w(")")
	} else {
		f.table(m.Input)
	}
	f.w(" MATCH_RECOGNIZE (")
	if m.PartitionBy != nil {
		f.w(" PARTITION BY ")
		each(f, m.PartitionBy, f.expr)
	}
	f.orderBy(m.OrderBy)
	if m.Measures != nil {
		f.w(" MEASURES ")
		each(f, m.Measures, func(x Measure) { f.expr(x.X); f.w(" AS "); f.ident(x.Name) })
	}
	f.w([...]string{MatchRowsDefault: "", OneRowPerMatch: " ONE ROW PER MATCH", AllRowsPerMatch: " ALL ROWS PER MATCH",
		AllRowsShowEmpty: " ALL ROWS PER MATCH SHOW EMPTY MATCHES", AllRowsOmitEmpty: " ALL ROWS PER MATCH OMIT EMPTY MATCHES",
		AllRowsWithUnmatched: " ALL ROWS PER MATCH WITH UNMATCHED ROWS"}[m.Rows])
	f.w([...]string{SkipDefault: "", SkipPastLastRow: " AFTER MATCH SKIP PAST LAST ROW", SkipToNextRow: " AFTER MATCH SKIP TO NEXT ROW",
		SkipToFirst: " AFTER MATCH SKIP TO FIRST ", SkipToLast: " AFTER MATCH SKIP TO LAST "}[m.Skip])
	if m.Skip == SkipToFirst || m.Skip == SkipToLast {
		f.ident(m.SkipTo)
	}
	f.w(" PATTERN (")
	f.pattern(m.Pattern, true)
	f.w(")")
	if m.Within != nil {
		f.w(" WITHIN ")
		f.expr(m.Within)
	}
	if m.Subsets != nil {
		f.w(" SUBSET ")
		each(f, m.Subsets, func(s Subset) { f.ident(s.Name); f.w(" = "); group(f, s.Vars, f.ident) })
	}
	if m.Define != nil {
		f.w(" DEFINE ")
		each(f, m.Define, func(d Define) { f.ident(d.Name); f.w(" AS "); f.expr(d.Cond) })
	}
	f.w(")")
	f.alias(m.Alias)
}

// pattern writes a row pattern; outer says that nothing stands beside it.
func (f *printer) pattern(x PatternNode, outer bool) {
	seq := func(parts []PatternNode, sep string, wrap bool) {
		f.opt(wrap, "(")
		for i, part := range parts {
			f.opt(i > 0, sep)
			f.pattern(part, false)
		}
		f.opt(wrap, ")")
	}
	switch x := x.(type) {
	case *PatternVar:
		f.ident(x.Name)
	case *PatternAnchor:
		if x.End {
			f.w("$")
		} else {
			f.w("^")
		}
	case *PatternConcat:
		seq(x.Parts, " ", !outer)
	case *PatternAlt:
		seq(x.Parts, " | ", !outer)
	case *PatternPermute:
		f.w("PERMUTE(")
		each(f, x.Parts, func(p PatternNode) { f.pattern(p, true) })
		f.w(")")
	case *PatternExclude:
		f.w("{- ")
		f.pattern(x.X, true)
		f.w(" -}")
	case *PatternRepeat:
		if _, ok := x.X.(*PatternRepeat); ok {
			f.w("(")
			f.pattern(x.X, true)
			f.w(")")
		} else {
			f.pattern(x.X, false)
		}
		f.quantifier(x)
	}
}

func (f *printer) quantifier(x *PatternRepeat) {
	switch {
	case x.Min == 0 && x.Max < 0:
		f.w("*")
	case x.Min == 1 && x.Max < 0:
		f.w("+")
	case x.Min == 0 && x.Max == 1:
		f.w("?")
	default:
		f.w("{", strconv.Itoa(x.Min), ",")
		f.opt(x.Max >= 0, strconv.Itoa(x.Max))
		f.w("}")
	}
	f.opt(x.Reluctant, "?")
}
