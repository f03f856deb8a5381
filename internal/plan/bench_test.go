package plan

import (
	"testing"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/sql"
)

// BenchmarkPlan measures parsing aside: what a statement costs before it runs.
func BenchmarkPlan(b *testing.B) {
	cat := catalog.New(nil)
	for _, s := range []string{"CREATE TABLE l (a int PRIMARY KEY, x int)", "CREATE TABLE r (a int, y int)"} {
		stmts, err := sql.Parse(s, sql.Options{})
		if err != nil {
			b.Fatal(err)
		}
		cmd, err := testPlanner(cat).PlanDDL(stmts[0], s)
		if err != nil {
			b.Fatal(err)
		}
		if cat, _, err = cat.With(cmd); err != nil {
			b.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"point":    "SELECT x FROM l WHERE a = $1",
		"group":    "SELECT x, count(*), max(y) FROM l JOIN r ON l.a = r.a WHERE y > 3 GROUP BY x ORDER BY 2 DESC LIMIT 10",
		"subquery": "SELECT a, (SELECT max(y) FROM r WHERE r.a < l.a) FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.y = l.x)",
	} {
		b.Run(name, func(b *testing.B) {
			stmts, err := sql.Parse(text, sql.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := testPlanner(cat).PlanSelect(stmts[0].(*sql.Query)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
