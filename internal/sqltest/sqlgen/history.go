package sqlgen

import (
	"fmt"
	"strings"
)

// table is a table of the schema.
type table struct {
	name string
	cols []column
	key  int // how many of the first columns are the primary key; 0 for none
}

type column struct {
	name    string
	k       kind
	edge    bool // values from the ends of the type
	notNull bool
	typ     string
	extra   string // DEFAULT, CHECK
}

// table draws a table.
func (g *gen) table(name string) *table {
	t := &table{name: name}
	for i := range 2 + g.r.IntN(maxColumns-1) {
		c := column{name: string(rune('a' + i)), k: g.kind(), edge: g.chance(15)}
		c.typ = c.k.String()
		if c.k == numeric && !c.edge {
			c.typ = "numeric(12,2)"
		}
		if c.k == text && g.chance(15) {
			c.typ = "varchar(40)"
		}
		switch {
		case g.chance(12):
			c.notNull = true
		case g.chance(8):
			c.extra = " DEFAULT " + g.cell(c.k, false)
		case c.k == int4 && !c.edge && g.chance(8):
			c.extra = " CHECK (" + c.name + " > -5)"
		}
		t.cols = append(t.cols, c)
	}
	if g.chance(50) {
		t.cols[0] = column{name: "id", k: pick(g, int4, int8, int4, text), notNull: true}
		t.cols[0].typ = t.cols[0].k.String()
		t.key = 1
		if g.chance(20) {
			t.cols[1] = column{name: t.cols[1].name, k: int4, typ: "integer", notNull: true}
			t.key = 2
		}
	}
	return t
}

func (t *table) create() string {
	var parts, key []string
	for i, c := range t.cols {
		s := c.name + " " + c.typ
		if t.key == 1 && i == 0 {
			s += " PRIMARY KEY"
		} else if c.notNull && i >= t.key {
			s += " NOT NULL"
		}
		parts = append(parts, s+c.extra)
		if i < t.key {
			key = append(key, c.name)
		}
	}
	if t.key > 1 {
		parts = append(parts, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	return "CREATE TABLE " + t.name + " (" + strings.Join(parts, ", ") + ")"
}

func (t *table) relation() relation {
	r := relation{name: t.name, rows: tableRows}
	for _, c := range t.cols {
		r.cols = append(r.cols, value{sql: c.name, k: c.k, canon: canonical(c.k, c.edge), size: sizeOf(c.k, c.edge), exact: c.k == float8 && !c.edge, varies: true})
	}
	return r
}

// step draws a statement or a transaction.
func (g *gen) step() []string {
	g.aliases = 0
	if !g.chance(15) {
		return []string{g.write()}
	}
	out := []string{"BEGIN"}
	for range 1 + g.r.IntN(3) {
		out = append(out, g.write())
		if g.chance(40) { // a transaction sees what it wrote
			t := pick(g, g.tables...)
			out = append(out, pick(g, "SELECT * FROM "+t.name, "SELECT count(*) FROM "+t.name))
		}
	}
	return append(out, pick(g, "COMMIT", "COMMIT", "COMMIT", "ROLLBACK"))
}

func (g *gen) write() string {
	t := pick(g, g.tables...)
	switch n := g.r.IntN(20); {
	case n < 12:
		return g.insert(t) + g.returning(t)
	case n < 16:
		return g.update(t) + g.returning(t)
	case n < 19:
		gone := g.remove(t)
		if strings.Contains(gone, " USING ") && g.chance(20) {
			return gone + " RETURNING " + t.name + ".*" // which row of the other table it was is up to the plan
		} else if strings.Contains(gone, " USING ") {
			return gone
		}
		return gone + g.returning(t)
	}
	return g.insertSelect(t) + g.returning(t)
}

func (g *gen) returning(t *table) string {
	if !g.chance(20) {
		return ""
	}
	return " RETURNING " + pick(g, "*", t.cols[0].name, t.name+".*", g.expr(t.scope(0), g.kind(), 2).sql)
}

// cells draws a row; fresh gives it a key that was not there before.
func (g *gen) cells(t *table, fresh bool) string {
	var cells []string
	for i, c := range t.cols {
		switch {
		case i == 0 && t.key > 0 && fresh:
			g.nextID++
			cells = append(cells, g.keyCell(c.k, g.nextID+3))
		case i == 0 && t.key > 0:
			cells = append(cells, g.keyCell(c.k, 1+g.r.IntN(8)))
		case !c.notNull && g.chance(18):
			cells = append(cells, "NULL")
		case c.extra != "" && strings.Contains(c.extra, "DEFAULT") && g.chance(20):
			cells = append(cells, "DEFAULT")
		default:
			cells = append(cells, g.cell(c.k, c.edge))
		}
	}
	return "(" + strings.Join(cells, ", ") + ")"
}

func (g *gen) keyCell(k kind, n int) string {
	if k == text {
		return fmt.Sprintf("'k%d'", n)
	}
	return fmt.Sprint(n)
}

func (g *gen) insert(t *table) string {
	fresh := t.key > 0 && !g.chance(35)
	var rows []string
	for range 1 + g.r.IntN(maxRows) {
		rows = append(rows, g.cells(t, fresh))
	}
	sql := "INSERT INTO " + t.name + " VALUES "
	if t.key > 0 && !fresh && g.chance(25) { // the first of several rows with one key stays
		return sql + strings.Join(rows, ", ") + " ON CONFLICT DO NOTHING"
	}
	if t.key > 0 && !fresh { // keys of one statement must differ, or ON CONFLICT may not update
		rows = rows[:1]
	}
	sql += strings.Join(rows, ", ")
	if t.key > 0 && (!fresh || g.chance(20)) && g.chance(85) {
		sql += g.onConflict(t)
	}
	return sql
}

func (g *gen) onConflict(t *table) string {
	var key []string
	for _, c := range t.cols[:t.key] {
		key = append(key, c.name)
	}
	target := " ON CONFLICT (" + strings.Join(key, ", ") + ")"
	if g.chance(40) || t.key == len(t.cols) {
		return pick(g, target, " ON CONFLICT") + " DO NOTHING"
	}
	c := t.cols[t.key+g.r.IntN(len(t.cols)-t.key)]
	set := c.name + " = " + pick(g, "EXCLUDED."+c.name, t.name+"."+c.name, g.cell(c.k, c.edge), "COALESCE("+t.name+"."+c.name+", EXCLUDED."+c.name+")")
	sql := target + " DO UPDATE SET " + set
	if g.chance(25) {
		sql += " WHERE " + t.name + "." + c.name + pick(g, " IS NULL", " IS NOT NULL", " IS DISTINCT FROM EXCLUDED."+c.name)
	}
	return sql
}

// scope offers t's columns to UPDATE and DELETE.
func (t *table) scope(depth int) *scope {
	r := t.relation()
	var cols []value
	for _, c := range r.cols {
		c.sql, c.plain, c.varies = t.name+"."+c.sql, true, true
		cols = append(cols, c)
	}
	return &scope{cols: cols, depth: depth}
}

func (g *gen) update(t *table) string {
	sc := t.scope(1)
	var sets []string
	for i := range t.cols[t.key:] {
		c := t.cols[t.key+i]
		if len(sets) > 0 && !g.chance(30) {
			continue
		}
		to := g.cell(c.k, c.edge)
		if v := g.expr(sc, c.k, 2); g.chance(50) && v.size <= sizeOf(c.k, c.edge) && (v.canon || !canonical(c.k, c.edge)) &&
			(c.k != float8 || v.exact) && !(c.typ == "varchar(40)" && v.sql != t.name+"."+c.name) {
			to = v.sql
		} else if !c.notNull && g.chance(20) {
			to = "NULL"
		}
		sets = append(sets, c.name+" = "+to)
	}
	if len(sets) == 0 {
		return g.remove(t)
	}
	sql := "UPDATE " + t.name + " SET " + strings.Join(sets, ", ")
	if g.chance(85) {
		sql += " WHERE " + g.pred(sc, 2).sql
	}
	return sql
}

func (g *gen) remove(t *table) string {
	if g.chance(4) {
		return "DELETE FROM " + t.name
	}
	sc := t.scope(1)
	if t.key > 0 && g.chance(20) {
		u := pick(g, g.tables...)
		cols := qualified("u", u.relation().cols)
		on := g.equation(sc.cols, cols)
		if on != "" {
			return "DELETE FROM " + t.name + " USING " + u.name + " AS u WHERE " + on + " AND " + g.pred(&scope{cols: append(cols, sc.cols...)}, 1).sql
		}
	}
	cond := g.pred(sc, 2).sql
	if g.chance(60) {
		c := pick(g, sc.cols...)
		cond += " AND (" + c.sql + " = " + g.literal(c.k).sql + ")"
	}
	return "DELETE FROM " + t.name + " WHERE " + cond
}

// insertSelect fills a table without key from a query.
func (g *gen) insertSelect(t *table) string {
	var names []string
	for _, c := range t.cols {
		if t.key > 0 || !canonical(c.k, c.edge) || c.edge && c.k == float8 { // identical rows only may tie
			return g.insert(t)
		}
		names = append(names, c.name)
	}
	list := strings.Join(names, ", ")
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s ORDER BY %s LIMIT %d", t.name, list, list, t.name, list, 1+g.r.IntN(3))
}
