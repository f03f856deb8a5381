package sqlgen

import (
	"fmt"
	"strings"
)

// from makes a FROM list and what it offers. It may be empty, seldom.
func (g *gen) from(depth int) (sql string, cols []value, rows float64) {
	if g.chance(2) {
		return "", nil, 1
	}
	sql, cols, rows = g.item(depth)
	most := maxFromItems
	if depth < queryDepth {
		most--
	}
	n := g.r.IntN(most)
	for i := range n {
		if depth > 0 && g.chance(6) {
			sql, cols, rows = g.lateral(sql, cols, rows, depth)
			continue
		}
		r, rc, more := g.item(depth)
		if rows*more > maxProduct {
			break
		}
		rows *= more
		last := i == n-1
		if last && g.chance(12) {
			return sql + ", " + r, append(cols, rc...), rows
		}
		if last && g.chance(20) {
			if s, c, ok := g.joinUsing(sql, cols, r, rc); ok {
				return s, c, rows
			}
		}
		sql, cols = g.join(sql, cols, r, rc, depth)
	}
	return sql, cols, rows
}

// lateral joins a query that refers to what stands left of it.
func (g *gen) lateral(l string, lc []value, rows float64, depth int) (string, []value, float64) {
	a := g.alias()
	q := g.query(&scope{cols: lc}, nil, depth-1)
	if rows*q.rows > maxProduct {
		return l, lc, rows
	}
	rows *= q.rows
	cols := append(append([]value{}, lc...), qualified(a, q.cols)...)
	switch g.r.IntN(3) {
	case 0:
		return l + " CROSS JOIN LATERAL (" + q.sql + ") AS " + a, cols, rows
	case 1:
		return l + " LEFT JOIN LATERAL (" + q.sql + ") AS " + a + " ON true", cols, rows
	}
	return l + " JOIN LATERAL (" + q.sql + ") AS " + a + " ON " + g.pred(&scope{cols: cols}, 1).sql, cols, rows
}

// item makes one item of FROM.
func (g *gen) item(depth int) (string, []value, float64) {
	a := g.alias()
	if g.windows && g.chance(15) {
		if sql, cols := g.window(a); sql != "" {
			return sql, cols, 4 * tableRows
		}
	}
	switch n := g.r.IntN(100); {
	case n >= 97:
		hi := g.r.IntN(5)
		return fmt.Sprintf("generate_series(%d, %d) AS %s (n)", g.r.IntN(3)-1, hi, a),
			[]value{{sql: a + ".n", k: int4, canon: true, size: 20, plain: true, varies: true}}, 6
	case n >= 94:
		v := g.valuesTable(a, g.wanted())
		return v.name, v.cols, v.rows
	case n >= 82 && depth > 0:
		q := g.query(nil, nil, depth-1)
		return "(" + q.sql + ") AS " + a, qualified(a, q.cols), q.rows
	}
	rels := append([]relation{}, g.ctes...)
	rels = append(append(rels, g.ctes...), g.ctes...)
	rels = append(rels, g.views...)
	for _, t := range g.tables {
		rels = append(rels, t.relation(), t.relation())
	}
	r := pick(g, rels...)
	return r.name + " AS " + a, qualified(a, r.cols), r.rows
}

// window makes a window table function over a table with a column of times.
func (g *gen) window(a string) (string, []value) {
	t := pick(g, g.tables...)
	for _, c := range t.cols {
		if c.k != timestamp || c.edge {
			continue
		}
		cols := append(qualified(a, t.relation().cols), value{sql: a + ".window_start", k: timestamp, canon: true, size: 20, plain: true, varies: true},
			value{sql: a + ".window_end", k: timestamp, canon: true, size: 20, plain: true, varies: true})
		call := pick(g, "TUMBLE(%s, %s, INTERVAL '1 hour')", "HOP(%s, %s, INTERVAL '6 hours', INTERVAL '1 day')", "HOP(%s, %s, INTERVAL '5 min', INTERVAL '20 min')",
			"TUMBLE(%s, %s, INTERVAL '7 days', INTERVAL '1 day')")
		return fmt.Sprintf(call, t.name, c.name) + " AS " + a, cols
	}
	return "", nil
}

func qualified(alias string, cols []value) []value {
	out := make([]value, len(cols))
	for i, c := range cols {
		c.sql, c.plain, c.varies = alias+"."+c.sql, true, true
		out[i] = c
	}
	return out
}

// join joins r to l.
func (g *gen) join(l string, lc []value, r string, rc []value, depth int) (string, []value) {
	kind := pick(g, "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN")
	cols := append(append([]value{}, lc...), rc...)
	if kind == "CROSS JOIN" {
		return l + " CROSS JOIN " + r, cols
	}
	on := g.equation(lc, rc)
	if on == "" {
		if kind == "FULL JOIN" {
			kind = "LEFT JOIN"
		}
		on = pick(g, "true", "false", g.pred(&scope{cols: cols}, 1).sql)
	} else if g.chance(10) && kind != "FULL JOIN" {
		on = g.pred(&scope{cols: cols}, 1).sql
	} else {
		if g.chance(25) {
			if e := g.equation(lc, rc); e != "" {
				on += " AND " + e
			}
		}
		if g.chance(35) {
			on += " AND " + g.pred(&scope{cols: cols}, 1).sql
		}
	}
	if g.chance(10) && !strings.Contains(r, "JOIN") { // the other way round
		return r + " " + kind + " " + l + " ON " + on, append(append([]value{}, rc...), lc...)
	}
	return l + " " + kind + " " + r + " ON " + on, cols
}

// equation makes an equality of the two sides, or nothing.
func (g *gen) equation(lc, rc []value) string {
	for range 6 {
		a, b := pick(g, lc...), pick(g, rc...)
		if a.k == b.k || a.k.isInt() && b.k.isInt() || a.k.isInt() && b.k == numeric || a.k == date && b.k == timestamp {
			if g.chance(12) {
				a = g.expr(&scope{cols: lc}, a.k, 1)
				if !a.varies {
					continue
				}
			}
			return "(" + a.sql + " = " + b.sql + ")"
		}
	}
	return ""
}

// joinUsing joins by columns of the same name, if there are.
func (g *gen) joinUsing(l string, lc []value, r string, rc []value) (string, []value, bool) {
	tail := func(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }
	count := map[string]int{}
	for _, c := range lc {
		count[tail(c.sql)]++
	}
	for i, a := range lc {
		for k, b := range rc {
			if name := tail(a.sql); name != tail(b.sql) || a.k != b.k || count[name] != 1 {
				continue
			}
			kind := pick(g, "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
			merged := merge(tail(a.sql), a, b)
			cols := []value{merged}
			cols = append(append(cols, lc[:i]...), lc[i+1:]...)
			cols = append(append(cols, rc[:k]...), rc[k+1:]...)
			return l + " " + kind + " " + r + " USING (" + tail(a.sql) + ")", cols, true
		}
	}
	return "", nil, false
}

// scalar makes a query in place of a value.
func (g *gen) scalar(sc *scope, k kind) value {
	inner := g.inner(sc)
	from, where := inner.from, inner.where
	if v, ok := g.aggregate(inner.sc.local(), k); ok && g.chance(75) {
		v.sql = "(SELECT " + v.sql + " FROM " + from + where + ")"
		return v
	}
	v := g.canon(g.expr(inner.sc.local(), k, 1))
	v.sql = "(SELECT " + v.sql + " AS x FROM " + from + where + " ORDER BY 1 " + pick(g, "", "DESC ", "NULLS FIRST ") + "LIMIT 1)"
	v.plain, v.varies = false, true
	return v
}

// body of a subquery in an expression.
type inner struct {
	from, where string
	sc          *scope
}

func (g *gen) inner(sc *scope) inner {
	from, cols, rows := g.item(sc.depth - 1)
	if g.chance(15) {
		if r, rc, more := g.item(0); rows*more <= maxProduct/10 {
			from, cols = g.join(from, cols, r, rc, 0)
		}
	}
	out := inner{from: from, sc: &scope{cols: cols, outer: sc, depth: sc.depth - 1}}
	var plain []value
	for _, v := range sc.visible() {
		if v.plain {
			plain = append(plain, v)
		}
	}
	var conds []string
	if len(plain) > 0 && g.chance(60) {
		if e := g.equation(plain, cols); e != "" {
			conds = append(conds, e)
		}
	}
	switch {
	case g.chance(25):
		conds = append(conds, g.pred(out.sc, 1).sql)
	case g.chance(30):
		conds = append(conds, g.pred(out.sc.local(), 1).sql)
	}
	if len(conds) > 0 {
		out.where = " WHERE " + strings.Join(conds, " AND ")
	}
	return out
}

// subqueryPred makes a condition with a query in it.
func (g *gen) subqueryPred(sc *scope, depth int) value {
	out := value{k: boolean, canon: true, size: 1, varies: true}
	n := g.r.IntN(10)
	in := g.inner(sc)
	if n < 3 {
		out.sql = "(" + pick(g, "EXISTS", "NOT EXISTS") + " (SELECT 1 FROM " + in.from + in.where + "))"
		return out
	}
	k := g.kind()
	if cols := sc.visible(); len(cols) > 0 {
		k = pick(g, cols...).k
	}
	x := g.expr(sc, k, 1)
	if x.sql[0] == '(' && strings.HasPrefix(x.sql, "(SELECT") {
		x = g.leaf(sc, k)
	}
	y := g.expr(in.sc.local(), g.comparable(k), 1)
	q := "(SELECT " + y.sql + " FROM " + in.from + in.where + ")"
	if g.chance(15) {
		if v, ok := g.aggregate(in.sc.local(), k); ok && len(in.sc.cols) > 0 {
			key := pick(g, in.sc.cols...)
			q = "(SELECT " + v.sql + " FROM " + in.from + in.where + " GROUP BY " + key.sql + ")"
		}
	}
	if g.chance(15) {
		q = "(" + g.query(&scope{cols: sc.cols, outer: sc.outer}, []kind{g.comparable(k)}, sc.depth-1).sql + ")"
	}
	switch {
	case n < 6:
		out.sql = "(" + x.sql + " IN " + q + ")"
	case n < 8:
		out.sql = "(" + x.sql + " NOT IN " + q + ")"
	default:
		out.sql = "(" + x.sql + " " + pick(g, comparisons...) + " " + pick(g, "ANY ", "ALL ") + q + ")"
	}
	return out
}
