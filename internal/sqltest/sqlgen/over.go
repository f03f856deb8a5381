package sqlgen

import (
	"fmt"
	"strings"
)

// over makes a window function of kind k over sc whose answer does not depend on the
// order of rows that tie: its frame has all peers of a row or none.
func (g *gen) over(sc *scope, k kind) (value, bool) {
	var part, order []string
	key := func() (value, bool) {
		v := g.canon(g.leaf(sc.local(), g.kind()))
		return v, v.varies && !strings.Contains(v.sql, "SELECT")
	}
	if v, ok := key(); ok && g.chance(50) {
		part = append(part, v.sql)
	}
	ranged := false
	for range g.r.IntN(3) {
		if v, ok := key(); ok {
			order = append(order, v.sql+pick(g, "", " DESC", " NULLS FIRST", " DESC NULLS LAST"))
			ranged = len(order) == 1 && v.k.isInt()
		}
	}
	ranged = ranged && len(order) == 1
	call, frames := g.overCall(sc, k)
	if call.sql == "" || strings.Contains(call.sql, "SELECT") {
		return call, false
	}
	var b strings.Builder
	b.WriteString(call.sql + " OVER (")
	if len(part) > 0 {
		b.WriteString("PARTITION BY " + part[0])
	}
	if len(order) > 0 {
		b.WriteString(" ORDER BY " + strings.Join(order, ", "))
	}
	if frames && g.chance(60) {
		b.WriteString(" " + g.frame(len(order) > 0, ranged))
	}
	b.WriteString(")")
	call.sql, call.plain, call.varies = b.String(), false, true
	return call, true
}

// overCall makes the function; frames says that it looks at one.
func (g *gen) overCall(sc *scope, k kind) (call value, frames bool) {
	out := value{k: k, canon: true, size: sumRows}
	if k == int8 && g.chance(40) {
		out.sql = pick(g, "rank()", "dense_rank()", "count(*)")
		return out, out.sql == "count(*)"
	}
	if k == float8 && g.chance(50) {
		out.sql, out.size = pick(g, "percent_rank()", "cume_dist()"), 1
		return out, false
	}
	arg := func(of kind) value { return g.canon(g.expr(sc.local(), of, 1)) }
	switch {
	case k == boolean:
		out.sql, out.size = pick(g, "bool_and(", "bool_or(")+arg(boolean).sql+")", 1
	case k == int8 && g.chance(50):
		out.sql = "count(" + arg(g.kind()).sql + ")"
	case k == int8:
		a := arg(int4)
		if a.size*sumRows > int8.limit() {
			return value{}, false
		}
		out.sql, out.size = "sum("+a.sql+")", a.size*sumRows
	default:
		a := arg(k)
		out = a
		out.sql = pick(g, "min(", "max(") + a.sql + ")"
	}
	if g.chance(20) {
		out.sql += " FILTER (WHERE " + g.pred(sc.plain(), 1).sql + ")"
	}
	return out, true
}

// plain is a scope of sc's own columns alone, without aggregates of them, which
// FILTER may not have.
func (sc *scope) plain() *scope {
	out := &scope{}
	for _, v := range sc.cols {
		if v.plain {
			out.cols = append(out.cols, v)
		}
	}
	return out
}

// frame draws a frame of whole groups of peers.
func (g *gen) frame(ordered, ranged bool) string {
	mode, edge := "RANGE", func(string) string { return "CURRENT ROW" }
	switch {
	case ranged && g.chance(40):
		edge = func(way string) string { return fmt.Sprintf("%d %s", g.r.IntN(4), way) }
	case ordered && g.chance(50):
		mode = "GROUPS"
		edge = func(way string) string { return fmt.Sprintf("%d %s", g.r.IntN(3), way) }
	}
	from := pick(g, "UNBOUNDED PRECEDING", "CURRENT ROW", edge("PRECEDING"))
	to := pick(g, "UNBOUNDED FOLLOWING", "CURRENT ROW", edge("FOLLOWING"))
	if g.chance(15) {
		from, to = "UNBOUNDED PRECEDING", edge("PRECEDING")
	}
	return mode + " BETWEEN " + from + " AND " + to + pick(g, "", "", " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES", " EXCLUDE NO OTHERS")
}
