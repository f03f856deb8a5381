// Package sqlgen makes up schemas, histories and queries, for tests that ask two
// systems the same and compare. What it makes is meant to be valid in PostgreSQL
// and to have one answer: no LIMIT without a total order, no sum of floats that
// depends on the order of rows, no error that depends on the plan. Therefore it
// follows, for every expression, the type, a bound of the value, and whether equal
// values print alike. It is for tests only.
package sqlgen

import (
	"fmt"
	"strings"
)

// Rand makes the choices. *rand.Rand of math/rand/v2 is one; so is a draw from
// rapid, which can shrink what was chosen: smaller numbers choose simpler things.
type Rand interface {
	// IntN returns a number in [0, n); n > 0.
	IntN(n int) int
}

// Bounds of what is generated.
const (
	maxTables    = 4
	maxColumns   = 5
	maxViews     = 3
	maxFromItems = 3
	maxItems     = 4 // of a select list
	maxRows      = 6 // of one INSERT
	exprDepth    = 3
	queryDepth   = 2
	tableRows    = 40    // about what a table has at the end
	maxProduct   = 20000 // rows of a FROM list if every join were a cross join
	sumRows      = 1e6   // more than a query of ours ever adds up
)

// Case is a schema, what happens to it, and what is asked.
type Case struct {
	Tables  []string // CREATE TABLE statements
	Views   []View
	Steps   [][]string // each a statement, or a transaction of several from BEGIN to its end
	Queries []Query
	// Names of the tables, in the order of Tables.
	Names []string

	tables []*table
}

// View is a named query. Later views and all queries may read it.
type View struct {
	Name, SQL    string
	Materialized bool // to be made with CREATE MATERIALIZED VIEW where that is kept up to date
}

// Query is a question.
type Query struct {
	SQL     string
	Ordered bool // ORDER BY orders the rows fully, save for identical ones
}

// String prints the case as a script.
func (c *Case) String() string {
	var b strings.Builder
	for _, t := range c.Tables {
		fmt.Fprintf(&b, "%s;\n", t)
	}
	for _, v := range c.Views {
		fmt.Fprintf(&b, "%s;\n", v.Create())
	}
	for _, s := range c.Steps {
		fmt.Fprintf(&b, "%s;\n", strings.Join(s, "; "))
	}
	for _, q := range c.Queries {
		fmt.Fprintf(&b, "%s;\n", q.SQL)
	}
	return b.String()
}

// GoString is String: rapid prints a failing case with %#v.
func (c *Case) GoString() string { return c.String() }

// Create is the statement that makes the view.
func (v View) Create() string {
	if v.Materialized {
		return "CREATE MATERIALIZED VIEW " + v.Name + " AS " + v.SQL
	}
	return "CREATE VIEW " + v.Name + " AS " + v.SQL
}

// Row makes up a row of a table of a case that New made: a text a column, nil for
// NULL. It may break the table's constraints.
func (c *Case) Row(r Rand, table string) []*string {
	g := &gen{r: r}
	for _, t := range c.tables {
		if t.name != table {
			continue
		}
		row := make([]*string, len(t.cols))
		for i, col := range t.cols {
			if s := g.bare(col.k, col.edge); col.notNull || !g.chance(18) {
				row[i] = &s
			}
		}
		return row
	}
	return nil
}

// Size says how much a case holds.
type Size struct {
	Steps, Queries int
	// Windows lets FROM hold TUMBLE and HOP, which PostgreSQL does not know.
	Windows bool
}

// New makes up a case.
func New(r Rand, size Size) *Case {
	g := &gen{r: r, windows: size.Windows}
	c := &Case{}
	for i := range 2 + r.IntN(maxTables-1) {
		t := g.table(fmt.Sprintf("t%d", i+1))
		g.tables = append(g.tables, t)
		c.Tables = append(c.Tables, t.create())
		c.Names = append(c.Names, t.name)
	}
	c.tables = g.tables
	for i := range r.IntN(maxViews + 1) {
		name := fmt.Sprintf("v%d", i+1)
		q := g.query(nil, nil, queryDepth-1)
		c.Views = append(c.Views, View{Name: name, SQL: q.sql, Materialized: g.chance(50)})
		g.views = append(g.views, relation{name, q.cols, q.rows})
	}
	for i := range size.Steps {
		if i < len(g.tables) { // something to work on
			c.Steps = append(c.Steps, []string{g.insert(g.tables[i])})
			continue
		}
		c.Steps = append(c.Steps, g.step())
	}
	for range size.Queries {
		g.aliases = 0
		q := g.query(nil, nil, queryDepth)
		c.Queries = append(c.Queries, Query{SQL: q.sql, Ordered: q.ordered})
	}
	return c
}

// gen is the state of making a case.
type gen struct {
	r       Rand
	tables  []*table
	views   []relation
	ctes    []relation // in force
	aliases int        // handed out in this statement
	nextID  int        // fresh keys
	windows bool
}

// relation is what FROM can name.
type relation struct {
	name string
	cols []value // by the bare name
	rows float64 // at most about so many
}

// chance is true in so many of a hundred.
func (g *gen) chance(percent int) bool { return g.r.IntN(100) >= 100-percent }

func pick[T any](g *gen, of ...T) T { return of[g.r.IntN(len(of))] }

func (g *gen) alias() string {
	g.aliases++
	return fmt.Sprintf("a%d", g.aliases)
}
