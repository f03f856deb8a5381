package sqlgen

import (
	"fmt"
	"math"
	"strings"
)

// scope is what an expression may refer to.
type scope struct {
	cols []value
	// outer is the scope of the query around; its plain columns may be used.
	outer *scope
	// subqueries may stand in it, this deep.
	depth int
}

// visible lists the values to refer to: local ones three times, as they matter more.
func (sc *scope) visible() []value {
	if sc == nil {
		return nil
	}
	vs := sc.cols
	if sc.outer != nil {
		vs = append(append(append([]value{}, vs...), vs...), vs...)
		for _, v := range sc.outer.visible() {
			if v.plain {
				vs = append(vs, v)
			}
		}
	}
	return vs
}

func (sc *scope) local() *scope { return &scope{cols: sc.cols} }

// expr makes an expression of kind k.
func (g *gen) expr(sc *scope, k kind, depth int) value {
	if depth <= 0 || g.chance(35) {
		return g.leaf(sc, k)
	}
	if g.chance(25) {
		return g.anyKind(sc, k, depth-1)
	}
	return g.operation(sc, k, depth-1)
}

func (g *gen) leaf(sc *scope, k kind) value {
	if cols := ofKind(sc.visible(), k, nil); len(cols) > 0 && !g.chance(15) {
		return pick(g, cols...)
	}
	return g.literal(k)
}

// merge is the knowledge of a value that is one of several.
func merge(sql string, vs ...value) value {
	out := value{sql: sql, k: vs[0].k, canon: true, exact: true}
	for _, v := range vs {
		out.canon = out.canon && v.canon
		out.exact = out.exact && v.exact
		out.varies = out.varies || v.varies
		out.size = math.Max(out.size, v.size)
	}
	if out.k == numeric {
		out.canon = false // 0.5 or 0.50
	}
	return out
}

// anyKind makes what exists for all kinds.
func (g *gen) anyKind(sc *scope, k kind, depth int) value {
	a := g.expr(sc, k, depth)
	switch g.r.IntN(7) {
	case 0, 1:
		b, p := g.expr(sc, k, depth), g.pred(sc, depth)
		return merge("CASE WHEN "+p.sql+" THEN "+a.sql+" ELSE "+b.sql+" END", a, b, value{k: k, canon: true, exact: true, varies: p.varies})
	case 2:
		b := g.expr(sc, k, depth)
		return merge("COALESCE("+a.sql+", "+b.sql+")", a, b)
	case 3:
		b := g.expr(sc, k, depth)
		out := a
		out.sql, out.plain, out.varies = "NULLIF("+a.sql+", "+b.sql+")", false, a.varies || b.varies
		return out
	case 4:
		b := g.expr(sc, k, depth)
		return merge(pick(g, "GREATEST", "LEAST")+"("+a.sql+", "+b.sql+")", a, b)
	case 5: // CASE operand WHEN
		by := g.kind()
		x, y, b := g.expr(sc, by, depth), g.literal(by), g.expr(sc, k, depth)
		return merge(fmt.Sprintf("CASE %s WHEN %s THEN %s WHEN %s THEN %s END", x.sql, y.sql, a.sql, g.literal(by).sql, b.sql), a, b,
			value{k: k, canon: true, exact: true, varies: x.varies})
	}
	if sc.depth > 0 {
		return g.scalar(sc, k)
	}
	return a
}

// operation makes an operator or function that gives k.
func (g *gen) operation(sc *scope, k kind, depth int) value {
	switch k {
	case boolean:
		return g.pred(sc, depth)
	case int2, int4, int8, float8, numeric:
		return g.arithmetic(sc, k, depth)
	case text:
		return g.textual(sc, depth)
	case timeOfDay, timestamptz, float4:
		return g.cast(sc, k, depth)
	}
	return g.temporal(sc, k, depth)
}

// narrower returns a kind that becomes k by itself beside one of kind k.
func (g *gen) narrower(k kind) kind {
	switch k {
	case int4:
		return pick(g, int4, int2)
	case int8:
		return pick(g, int8, int4, int2)
	case numeric:
		return pick(g, numeric, numeric, int4, int8)
	case float8:
		return pick(g, float8, float8, int4, numeric)
	}
	return k
}

func (g *gen) arithmetic(sc *scope, k kind, depth int) value {
	if g.chance(40) {
		return g.convert(sc, k, depth)
	}
	a, b := g.expr(sc, k, depth), g.expr(sc, g.narrower(k), depth)
	out := value{k: k, varies: a.varies || b.varies, canon: k.isInt() || k == numeric && a.canon && b.canon && b.k == k,
		exact: a.exact && (b.exact || b.k.isInt())}
	op := pick(g, "+", "-", "*", "/", "%")
	switch op {
	case "+", "-":
		out.size = a.size + b.size
	case "*":
		out.size = a.size * b.size
	case "/", "%":
		if op == "%" && k == float8 {
			op = "/"
		}
		if k == float8 && (math.IsInf(a.size, 0) || math.IsInf(b.size, 0) || b.k != float8 || a.size > 1e6 || !b.exact) {
			return a
		}
		if math.IsInf(a.size, 0) || b.size > b.k.limit() {
			return a
		}
		out.size, out.exact = a.size, false
		if op == "/" && !k.isInt() {
			out.canon, out.size = false, a.size*1e6
		}
		if k == numeric {
			out.canon = false
		}
		b.sql = "NULLIF(" + b.sql + ", 0)"
	}
	if !(out.size <= k.limit()) {
		return a
	}
	out.sql = "(" + a.sql + " " + op + " " + b.sql + ")"
	return out
}

// convert makes a number from something else.
func (g *gen) convert(sc *scope, k kind, depth int) value {
	out := value{k: k, canon: true, exact: k == float8}
	small := func(v value) bool { return v.size <= k.limit() }
	switch n := g.r.IntN(8); {
	case n < 2: // a cast between numbers
		from := pick(g, int2, int4, int8, numeric, float8)
		a := g.expr(sc, from, depth)
		if !small(a) || from == float8 && !a.exact || from == numeric && k == float8 {
			break
		}
		out.canon = k.isInt() || from.isInt() || a.canon && from == k
		if k == numeric && from == float8 {
			out.canon = false
		}
		out.sql, out.size, out.varies = pick(g, a.sql+"::"+k.String(), "CAST("+a.sql+" AS "+k.String()+")"), a.size+1, a.varies
		return out
	case n < 4:
		a := g.expr(sc, k, depth)
		if math.IsInf(a.size, 0) {
			break
		}
		out = a
		out.plain = false
		out.sql = pick(g, "abs("+a.sql+")", "(- "+a.sql+")")
		if k == float8 {
			out.canon = false
		}
		return out
	case n == 4 && (k == numeric || k == float8):
		a := g.expr(sc, k, depth)
		if math.IsInf(a.size, 0) || !a.exact && k == float8 {
			break
		}
		out.sql, out.size, out.varies = pick(g, "round(", "floor(", "ceil(", "trunc(")+a.sql+")", a.size+1, a.varies
		out.canon = k == numeric
		return out
	case n == 5 && k == numeric:
		a := g.expr(sc, timestamp, depth)
		if math.IsInf(a.size, 0) {
			break
		}
		out.sql, out.size, out.varies = "extract("+pick(g, "year", "month", "day", "hour", "dow", "second")+" FROM "+a.sql+")", 1e4, a.varies
		return out
	case n == 6 && k == int4:
		a := g.expr(sc, text, depth)
		out.sql, out.size, out.varies = "length("+a.sql+")", 1e4, a.varies
		return out
	case n == 7 && k == int4:
		a, b := g.expr(sc, date, depth), g.expr(sc, date, depth)
		if math.IsInf(a.size+b.size, 0) {
			break
		}
		out.sql, out.size, out.varies = "("+a.sql+" - "+b.sql+")", 1e5, a.varies || b.varies
		return out
	}
	return g.leaf(sc, k)
}

func (g *gen) textual(sc *scope, depth int) value {
	out := value{k: text, canon: true, size: 20}
	a := g.expr(sc, text, depth)
	out.varies, out.size = a.varies, a.size
	ascii := !math.IsInf(a.size, 0)
	switch g.r.IntN(9) {
	case 0, 1:
		b := g.expr(sc, text, depth)
		out.sql, out.varies, out.size = "("+a.sql+" || "+b.sql+")", a.varies || b.varies, math.Max(a.size, b.size)
	case 2:
		if !ascii {
			return a
		}
		out.sql = pick(g, "upper(", "lower(", "initcap(") + a.sql + ")"
	case 3:
		out.sql = fmt.Sprintf("substr(%s, %d, %d)", a.sql, 1+g.r.IntN(3), g.r.IntN(4))
	case 4:
		out.sql = fmt.Sprintf("%s(%s, %d)", pick(g, "left", "right"), a.sql, g.r.IntN(5)-1)
	case 5:
		out.sql = pick(g, "btrim(", "ltrim(", "rtrim(", "reverse(") + a.sql + ")"
	case 6:
		out.sql = "replace(" + a.sql + ", 'a', " + pick(g, "''", "'xy'") + ")"
	default:
		b := g.expr(sc, pick(g, without(all, text)...), depth)
		out.sql, out.varies, out.size = pick(g, b.sql+"::text", "CAST("+b.sql+" AS text)"), b.varies, 20
	}
	return out
}

func (g *gen) temporal(sc *scope, k kind, depth int) value {
	out := value{k: k, canon: k != interval, size: 20}
	two := func(a, b value, op string, size float64) (value, bool) {
		out.sql, out.varies, out.size = "("+a.sql+" "+op+" "+b.sql+")", a.varies || b.varies, size
		return out, size <= k.limit()
	}
	switch k {
	case date:
		a, b := g.expr(sc, date, depth), g.expr(sc, int4, 0)
		if g.chance(30) {
			if c := g.expr(sc, timestamp, depth); c.size < 1e4 {
				out.sql, out.varies, out.size = c.sql+"::date", c.varies, c.size
				return out
			}
		}
		if v, ok := two(a, b, pick(g, "+", "-"), a.size+b.size); ok {
			return v
		}
		return a
	case timestamp:
		a := g.expr(sc, timestamp, depth)
		switch g.r.IntN(4) {
		case 0:
			out.sql, out.varies, out.size = "date_trunc('"+pick(g, "day", "month", "hour", "year", "week")+"', "+a.sql+")", a.varies, a.size
			return out
		case 1:
			d := g.expr(sc, date, depth)
			out.sql, out.varies, out.size = d.sql+"::timestamp", d.varies, d.size
			return out
		}
		b := g.expr(sc, interval, 0)
		if v, ok := two(a, b, pick(g, "+", "-"), a.size+b.size); ok {
			return v
		}
		return a
	}
	a, b := g.expr(sc, interval, depth), g.expr(sc, interval, depth)
	if g.chance(30) {
		x, y := g.expr(sc, timestamp, depth), g.expr(sc, timestamp, depth)
		if v, ok := two(x, y, "-", (x.size+y.size)*100); ok {
			return v
		}
	}
	if v, ok := two(a, b, pick(g, "+", "-"), a.size+b.size); ok {
		return v
	}
	return a
}

// cast makes one of the kinds that are there to be kept and compared.
func (g *gen) cast(sc *scope, k kind, depth int) value {
	out := value{k: k, canon: true, size: math.Inf(1)}
	from := map[kind][]kind{timeOfDay: {timestamp}, timestamptz: {timestamp, date}, float4: {int2, int4}}[k]
	a := g.expr(sc, pick(g, from...), depth)
	if k == timeOfDay && math.IsInf(a.size, 0) {
		return g.leaf(sc, k)
	}
	out.sql, out.varies = a.sql+"::"+k.String(), a.varies
	return out
}

var comparisons = []string{"=", "=", "<>", "<", "<=", ">", ">="}

// pred makes a condition.
func (g *gen) pred(sc *scope, depth int) value {
	out := value{k: boolean, canon: true, size: 1}
	if depth > 0 && g.chance(30) {
		a, b := g.pred(sc, depth-1), g.pred(sc, depth-1)
		out.varies = a.varies || b.varies
		switch g.r.IntN(5) {
		case 0, 1:
			out.sql = "(" + a.sql + " AND " + b.sql + ")"
		case 2, 3:
			out.sql = "(" + a.sql + " OR " + b.sql + ")"
		default:
			out.sql = "(NOT " + a.sql + ")"
		}
		return out
	}
	if sc.depth > 0 && g.chance(18) {
		return g.subqueryPred(sc, depth)
	}
	k := g.kind()
	if cols := sc.visible(); len(cols) > 0 && g.chance(80) {
		k = pick(g, cols...).k
	}
	a := g.expr(sc, k, depth-1)
	out.varies = a.varies
	switch n := g.r.IntN(12); {
	case n < 5:
		b := g.expr(sc, g.comparable(k), depth-1)
		out.sql, out.varies = "("+a.sql+" "+pick(g, comparisons...)+" "+b.sql+")", a.varies || b.varies
	case n == 5:
		out.sql = "(" + a.sql + pick(g, " IS NULL", " IS NOT NULL") + ")"
	case n == 6:
		b, c := g.expr(sc, k, depth-1), g.literal(k)
		out.sql, out.varies = "("+a.sql+pick(g, " BETWEEN ", " NOT BETWEEN ", " BETWEEN SYMMETRIC ")+b.sql+" AND "+c.sql+")", a.varies || b.varies
	case n == 7 || n == 8:
		list := []string{g.literal(k).sql}
		for range g.r.IntN(4) {
			list = append(list, g.literal(k).sql)
		}
		out.sql = "(" + a.sql + pick(g, " IN ", " IN ", " NOT IN ") + "(" + strings.Join(list, ", ") + "))"
	case n == 9:
		b := g.expr(sc, k, depth-1)
		out.sql, out.varies = "("+a.sql+pick(g, " IS DISTINCT FROM ", " IS NOT DISTINCT FROM ")+b.sql+")", a.varies || b.varies
	case n == 10:
		b := g.expr(sc, text, depth-1)
		op := pick(g, " LIKE ", " NOT LIKE ", " LIKE ", " ILIKE ")
		if math.IsInf(b.size, 0) {
			op = " LIKE "
		}
		out.sql, out.varies = "("+b.sql+op+pick(g, "'a%'", "'%b'", "'a_'", "'%'", "''", "'_%_'", "'a\\%%'", "'%b%c%'")+")", b.varies
	default:
		b := g.expr(sc, boolean, depth-1)
		out.sql, out.varies = "("+b.sql+pick(g, " IS TRUE", " IS NOT TRUE", " IS FALSE", " IS UNKNOWN", " IS NOT UNKNOWN", " = true")+")", b.varies
	}
	return out
}

// comparable returns a kind that compares with k.
func (g *gen) comparable(k kind) kind {
	if g.chance(70) {
		return k
	}
	switch k {
	case int2, int4, int8:
		return pick(g, int2, int4, int8, numeric, float8)
	case numeric:
		return pick(g, numeric, int4, int8)
	case float8:
		return pick(g, float8, int4, float4)
	case date, timestamp, timestamptz:
		return pick(g, date, timestamp, timestamptz)
	case float4:
		return pick(g, float8, int4, numeric)
	}
	return k
}
