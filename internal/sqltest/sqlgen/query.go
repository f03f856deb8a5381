package sqlgen

import (
	"fmt"
	"strings"
)

// result is a query and its columns.
type result struct {
	sql     string
	cols    []value // sql is the bare name: c1, c2 ...
	ordered bool
	rows    float64 // at most about so many
}

// named gives a select list its names.
func named(items []value) (list string, cols []value) {
	var b strings.Builder
	for i, it := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		name := fmt.Sprintf("c%d", i+1)
		b.WriteString(it.sql + " AS " + name)
		it.sql, it.plain, it.varies = name, false, true
		cols = append(cols, it)
	}
	return b.String(), cols
}

// wanted draws column kinds.
func (g *gen) wanted() []kind {
	ks := make([]kind, 1+g.r.IntN(maxItems))
	for i := range ks {
		ks[i] = g.kind()
	}
	return ks
}

// query makes a whole query; want are its columns' kinds, nil for any.
func (g *gen) query(outer *scope, want []kind, depth int) result {
	with := ""
	if depth > 0 && g.chance(15) {
		mark := len(g.ctes)
		defer func() { g.ctes = g.ctes[:mark] }()
		var ctes []string
		for range 1 + g.r.IntN(2) {
			q := g.query(nil, nil, depth-1)
			g.aliases++
			name := fmt.Sprintf("w%d", g.aliases)
			ctes = append(ctes, name+" AS "+pick(g, "", "", "MATERIALIZED ", "NOT MATERIALIZED ")+"("+q.sql+")")
			g.ctes = append(g.ctes, relation{name, q.cols, q.rows})
		}
		with = "WITH " + strings.Join(ctes, ", ") + " "
	}
	if want == nil {
		want = g.wanted()
	}
	sorted := g.chance(25)
	r := g.body(outer, want, depth, sorted)
	if sorted && g.chance(12) {
		g.distinctOn(&r)
	} else if sorted {
		g.orderBy(&r)
	}
	r.sql = with + r.sql
	return r
}

// distinctOn keeps the first row for each value of the first column.
func (g *gen) distinctOn(r *result) {
	a := g.alias()
	keys := make([]string, len(r.cols))
	for i, c := range r.cols {
		keys[i] = c.sql + pick(g, "", " DESC", " NULLS FIRST")
	}
	r.sql = "SELECT DISTINCT ON (" + r.cols[0].sql + ") " + a + ".* FROM (" + r.sql + ") AS " + a + " ORDER BY " + strings.Join(keys, ", ")
	r.ordered = true
}

// orderBy adds a total order and perhaps a limit.
func (g *gen) orderBy(r *result) {
	keys := make([]string, len(r.cols))
	for i := range keys {
		keys[i] = fmt.Sprint(i + 1)
		if g.chance(30) {
			keys[i] = r.cols[i].sql
		}
	}
	for i := len(keys) - 1; i > 0; i-- {
		k := g.r.IntN(i + 1)
		keys[i], keys[k] = keys[k], keys[i]
	}
	for i := range keys {
		keys[i] += pick(g, "", "", " ASC", " DESC", " DESC", " NULLS FIRST", " DESC NULLS LAST")
	}
	r.sql += " ORDER BY " + strings.Join(keys, ", ")
	r.ordered = true
	if g.chance(75) {
		r.sql += fmt.Sprintf(" LIMIT %d", g.r.IntN(6))
		r.rows = 6
		if g.chance(30) {
			r.sql += fmt.Sprintf(" OFFSET %d", g.r.IntN(4))
		}
	}
}

// body makes a SELECT, a set operation or VALUES.
func (g *gen) body(outer *scope, want []kind, depth int, canon bool) result {
	switch n := g.r.IntN(100); {
	case n >= 95:
		return g.values(want)
	case n >= 80 && depth > 0:
		return g.setOp(outer, want, depth)
	}
	return g.selects(outer, want, depth, canon)
}

func (g *gen) setOp(outer *scope, want []kind, depth int) result {
	l := g.body(outer, want, depth-1, true)
	r := g.body(outer, want, depth-1, true)
	op := pick(g, "UNION", "UNION ALL", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL")
	out := result{sql: "(" + l.sql + ") " + op + " (" + r.sql + ")", rows: l.rows + r.rows}
	for i := range l.cols {
		c := merge(l.cols[i].sql, l.cols[i], r.cols[i])
		out.cols = append(out.cols, c)
	}
	if op != "UNION ALL" || !anyNumeric(out.cols) {
		for i := range out.cols {
			out.cols[i].canon = l.cols[i].canon && r.cols[i].canon
		}
	}
	// numerics of the two sides may differ in scale: bring them to one
	if anyNumeric(out.cols) {
		out = g.rescale(l, r, op)
	}
	return out
}

func anyNumeric(vs []value) bool { return len(ofKind(vs, numeric, nil)) > 0 }

// rescale is l op r with every numeric rounded to the same scale.
func (g *gen) rescale(l, r result, op string) result {
	side := func(q result) (string, []value) {
		a := g.alias()
		var items []value
		for _, c := range q.cols {
			c.sql = a + "." + c.sql
			if c.k == numeric {
				c.canon = false
			}
			items = append(items, g.canon(c))
		}
		list, cols := named(items)
		return "SELECT " + list + " FROM (" + q.sql + ") AS " + a, cols
	}
	ls, lc := side(l)
	rs, rc := side(r)
	out := result{sql: ls + " " + op + " " + rs, rows: l.rows + r.rows}
	for i := range lc {
		c := merge(lc[i].sql, lc[i], rc[i])
		c.canon = true
		out.cols = append(out.cols, c)
	}
	return out
}

func (g *gen) values(want []kind) result {
	a := g.alias()
	rel := g.valuesTable(a, want)
	var items []value
	for _, c := range rel.cols {
		items = append(items, g.canon(c))
	}
	list, cols := named(items)
	return result{sql: "SELECT " + list + " FROM " + rel.name, cols: cols, rows: rel.rows}
}

// valuesTable is (VALUES ...) AS alias (c1, c2 ...).
func (g *gen) valuesTable(alias string, want []kind) relation {
	var rows, names []string
	out := relation{rows: 3}
	for i, k := range want {
		names = append(names, fmt.Sprintf("c%d", i+1))
		out.cols = append(out.cols, value{sql: alias + "." + names[i], k: k, canon: k != interval, size: sizeOf(k, false), exact: k == float8, plain: true, varies: true})
	}
	for range 1 + g.r.IntN(3) {
		var cells []string
		for _, k := range want {
			cells = append(cells, g.literal(k).sql)
		}
		rows = append(rows, "("+strings.Join(cells, ", ")+")")
	}
	out.name = "(VALUES " + strings.Join(rows, ", ") + ") AS " + alias + " (" + strings.Join(names, ", ") + ")"
	return out
}

// selects makes one SELECT.
func (g *gen) selects(outer *scope, want []kind, depth int, canon bool) result {
	from, cols, rows := g.from(depth)
	sc := &scope{cols: cols, outer: outer, depth: depth}
	var tail strings.Builder
	if from != "" {
		tail.WriteString(" FROM " + from)
	}
	if g.chance(45) {
		tail.WriteString(" WHERE " + g.pred(sc, exprDepth-1).sql)
	}
	grouped := g.chance(40) && from != ""
	distinct := !grouped && g.chance(12)
	item := sc
	if grouped {
		item = g.group(sc, want, &tail)
	}
	var items []value
	for _, k := range want {
		v := g.expr(item, k, exprDepth-1)
		if from != "" && g.chance(12) {
			if w, ok := g.over(item, k); ok {
				v = w
			}
		}
		if canon || distinct {
			v = g.canon(v)
		}
		items = append(items, v)
	}
	list, out := named(items)
	word := "SELECT "
	if distinct {
		word = "SELECT DISTINCT "
	}
	if grouped && !strings.Contains(tail.String(), " GROUP BY ") {
		rows = 1
	}
	return result{sql: word + list + tail.String(), cols: out, rows: rows}
}

// group writes GROUP BY and HAVING and returns what the select list may use.
func (g *gen) group(sc *scope, want []kind, tail *strings.Builder) *scope {
	var keys []string
	out := &scope{outer: sc.outer, depth: sc.depth}
	for range g.r.IntN(3) {
		k := g.kind()
		if len(sc.cols) > 0 && g.chance(70) {
			k = pick(g, sc.cols...).k
		}
		v := g.leaf(sc.local(), k)
		if g.chance(25) {
			v = g.expr(sc.local(), k, 2)
		}
		if !v.varies || strings.Contains(v.sql, "SELECT") {
			continue
		}
		v = g.canon(v)
		keys = append(keys, v.sql)
		out.cols = append(out.cols, v)
	}
	for _, k := range want { // so that most columns have something to say
		if v, ok := g.aggregate(sc.local(), k); ok {
			out.cols = append(out.cols, v)
		}
	}
	if len(keys) > 0 {
		tail.WriteString(" GROUP BY " + strings.Join(keys, ", "))
	} else if len(out.cols) == 0 {
		out.cols = append(out.cols, value{sql: "count(*)", k: int8, canon: true, size: sumRows, varies: true})
		tail.WriteString(" HAVING count(*) >= 0")
		return out
	}
	if len(keys) == 0 || g.chance(25) {
		cond := "count(*) " + pick(g, ">", ">=", "<", "<>") + fmt.Sprintf(" %d", g.r.IntN(4))
		if g.chance(60) {
			cond = g.pred(&scope{cols: out.cols, outer: sc.outer}, 1).sql
		}
		if len(keys) == 0 && g.chance(60) {
			cond = "count(*) >= 0"
		}
		tail.WriteString(" HAVING " + cond)
	}
	return out
}

// aggregate makes an aggregate of kind k over sc.
func (g *gen) aggregate(sc *scope, k kind) (value, bool) {
	out := value{k: k, canon: true, varies: true, exact: k == float8}
	distinct := pick(g, "", "", "", "DISTINCT ")
	arg := func(of kind, canon bool) value {
		v := g.expr(sc, of, 1)
		if canon || distinct != "" {
			v = g.canon(v)
		}
		return v
	}
	switch n := g.r.IntN(10); {
	case k == boolean:
		a := arg(boolean, true)
		out.sql, out.size = pick(g, "bool_and(", "bool_or(", "every(")+a.sql+")", 1
	case k == int8 && n < 5:
		a := arg(g.kind(), false)
		out.sql, out.size = "count("+distinct+a.sql+")", sumRows
		if n == 0 {
			out.sql = "count(*)"
		}
	case k == int8 && n < 8:
		a := arg(pick(g, int2, int4), false)
		if a.size*sumRows > int8.limit() {
			return out, false
		}
		out.sql, out.size = "sum("+distinct+a.sql+")", a.size*sumRows
	case k == numeric && n == 9:
		a := arg(pick(g, int2, int4, numeric), false)
		if a.size > 1e6 {
			return out, false
		}
		fn := pick(g, "stddev(", "variance(", "stddev_pop(", "var_pop(", "stddev_samp(", "var_samp(")
		out.sql, out.size, out.canon = fn+distinct+a.sql+")", a.size*a.size, false
	case (k == numeric || k == float8 || k == interval) && n < 7:
		from := k
		fn := pick(g, "sum(", "avg(")
		if k == numeric {
			from = pick(g, numeric, numeric, int8)
		}
		if k == numeric && fn == "avg(" {
			from = pick(g, numeric, int4, int2, int8)
		}
		a := arg(from, false)
		if k == float8 && !a.exact || a.size > 1e12 {
			return out, false
		}
		out.sql, out.size, out.exact = fn+distinct+a.sql+")", a.size*sumRows, fn == "sum("
		if k == numeric && from == numeric {
			out.canon = a.canon && fn == "sum("
		} else if fn == "avg(" || k == interval {
			out.canon = false
		}
		if fn == "avg(" {
			out.size = a.size
		}
	case k == text && n < 3:
		a := arg(text, true)
		out.sql, out.size = "string_agg("+distinct+a.sql+", ',' ORDER BY "+a.sql+pick(g, "", " DESC")+")", a.size
		if distinct != "" {
			out.sql = "string_agg(" + distinct + a.sql + ", ',')"
			out.sql = "count(" + distinct + a.sql + ")::text"
		}
	default:
		a := arg(k, true)
		out = a
		out.plain, out.varies = false, true
		out.sql = pick(g, "min(", "max(") + distinct + a.sql + ")"
	}
	if strings.Contains(out.sql, "SELECT") {
		return out, false
	}
	if g.chance(20) && !strings.HasSuffix(out.sql, "::text") {
		out.sql += " FILTER (WHERE " + g.pred(sc, 1).sql + ")"
	}
	return out, true
}
