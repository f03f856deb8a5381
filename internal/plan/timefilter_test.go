package plan

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// timeFilters are conditions that a view may have.
var timeFilters = []string{
	"ts > now() - INTERVAL '1 hour'",
	"tz >= now() - INTERVAL '1 day 3 hours'",
	"now() < tz + INTERVAL '5 min'",
	"now() <= ts",
	"tz BETWEEN now() - INTERVAL '1 day' AND now()",
	"ts >= LOCALTIMESTAMP AND NOT tz <= now()",
	"now() - tz < INTERVAL '90 min'",
	"tz - now() <= INTERVAL '90 min'",
	"d = CURRENT_DATE",
	"d < CURRENT_DATE",
	"d >= CURRENT_DATE - 1",
	"CURRENT_DATE + 1 > d",
	"ts >= CURRENT_DATE",
	"ts < CURRENT_DATE",
	"CURRENT_DATE < ts",
	"CURRENT_DATE >= tz",
	"ts > CURRENT_DATE - INTERVAL '6 hours'",
	"d::timestamp + INTERVAL '12 hours' < LOCALTIMESTAMP",
	"NOT (tz < now() - INTERVAL '1 hour')",
	"tz = now()",
	"now()::timestamp > ts + i * INTERVAL '1 min' AND i > 0",
	"now() > TIMESTAMPTZ '2026-01-02 00:00:00+00'",
	"INTERVAL '1 hour' + now() >= tz AND d IS NOT NULL",
	"d <= (now() - INTERVAL '2 hours')::date",
}

// timeQueries have a temporal filter somewhere inside.
var timeQueries = []string{
	"SELECT i, count(*) FROM x WHERE ts > now() - INTERVAL '1 hour' GROUP BY i",
	"SELECT a.i, b.ts FROM x a JOIN x b ON a.i = b.i WHERE a.tz < now() AND b.ts > now() - INTERVAL '1 day'",
	"SELECT a.i, b.ts FROM x a LEFT JOIN x b ON a.i = b.i WHERE b.ts >= LOCALTIMESTAMP",
	"SELECT a.i, b.ts FROM x a LEFT JOIN (SELECT * FROM x WHERE ts >= now()) b ON a.i = b.i",
	"SELECT a.i FROM x a JOIN x b ON a.i = b.i WHERE a.tz + (b.ts - a.ts) > now() AND isfinite(a.tz)",
	"SELECT i FROM x a WHERE EXISTS (SELECT 1 FROM x b WHERE b.ts > now() - INTERVAL '1 hour' AND b.i = a.i)",
	"SELECT i FROM x a WHERE i NOT IN (SELECT b.i FROM x b WHERE b.d = CURRENT_DATE)",
	"SELECT i, (SELECT count(*) FROM x b WHERE b.ts > now() - INTERVAL '1 hour' AND b.i = a.i) FROM x a",
	"SELECT ts FROM x WHERE ts > now() - INTERVAL '1 hour' UNION ALL SELECT ts FROM x",
	"SELECT * FROM (SELECT i, max(ts) AS last FROM x GROUP BY i) g WHERE last > now() - INTERVAL '1 hour'",
	"SELECT * FROM (SELECT DISTINCT i, d FROM x) g WHERE d < CURRENT_DATE AND i > 0",
	"WITH r AS (SELECT * FROM x WHERE tz <= now()) SELECT a.i, b.d FROM r a JOIN r b ON a.d = b.d",
}

// notTimeFilters are conditions that a view may not have.
var notTimeFilters = []string{
	"ts > now() - INTERVAL '1 month'",
	"tz < now() OR i > 0",
	"now() = tz IS NULL",
	"i > extract(hour FROM now())",
	"ts > now() - i * INTERVAL '1 hour' AND now() <> tz",
	"now() - tz > now() - ts",
	"CURRENT_TIMESTAMP(0) > tz",
}

func timesCatalog(t *testing.T) *catalog.Catalog {
	t.Helper()
	cat := catalog.New(nil)
	for _, text := range []string{
		"CREATE TABLE x (ts TIMESTAMP, tz TIMESTAMPTZ, d DATE, i INT)",
		"CREATE TABLE y (ts TIMESTAMP, tz TIMESTAMPTZ, d DATE, i INT) APPEND ONLY",
	} {
		stmts, err := sql.Parse(text, sql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		cat = execDDL(testPlanner(cat), cat, stmts[0], text, &out)
	}
	return cat
}

// TestTimeFilters evaluates each condition as a view does, by its bounds, and as an
// ordinary query does, at many times.
func TestTimeFilters(t *testing.T) {
	p := testPlanner(timesCatalog(t))
	p.Session.Zone = nil
	day := int64(microsPerDay)
	base := 9497 * day // 2026-01-01
	rng := rand.New(rand.NewPCG(1, 2))
	near := func() int64 {
		at := base + rng.Int64N(3)*day + rng.Int64N(24)*day/24
		return at + []int64{0, 0, 1, -1, rng.Int64N(day)}[rng.IntN(5)]
	}
	var queries []string
	for _, where := range timeFilters {
		queries = append(queries, "SELECT * FROM x WHERE "+where)
	}
	for _, where := range append(queries, timeQueries...) {
		q := parseQuery(where, "the test")
		view, err := p.PlanView(q)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		plain, err := p.PlanSelect(q)
		if err != nil {
			t.Fatal(err)
		}
		timed := false
		for _, n := range view.Spec.Nodes {
			_, is := n.Op.(*flow.TimeFilter)
			timed = timed || is
		}
		if !timed || view.AppendOnly {
			t.Errorf("%s: has a time filter: %v; append-only: %v", where, timed, view.AppendOnly)
		}
		rel := view.Inputs[0].Key
		for range 30 {
			var rows oracle.Table
			for range 8 {
				at := near()
				row := []types.Value{types.IntValue(types.Timestamp, near()), types.IntValue(types.TimestampTZ, at),
					types.IntValue(types.Date, 9497+rng.Int64N(4)-1), types.IntValue(types.Int4, rng.Int64N(3))}
				switch rng.IntN(8) {
				case 0:
					c := rng.IntN(3)
					row[c] = types.NullOf(row[c].T)
				case 1:
					row[1].I = []int64{math.MinInt64, math.MaxInt64}[rng.IntN(2)]
				}
				if strings.Contains(where, "- tz") || strings.Contains(where, "tz -") { // infinite times cannot be subtracted
					row[1].I = at
				}
				rows = append(rows, oracle.Row{V: row, W: 1})
			}
			ctx := &expr.Ctx{Now: near()}
			if rng.IntN(3) == 0 && !rows[0].V[1].Null && rows[0].V[1].I > 0 && rows[0].V[1].I < math.MaxInt64 {
				ctx.Now = rows[0].V[1].I
			}
			in := map[string]oracle.Table{rel: rows}
			a, err := oracle.Eval(view.Spec, in, ctx)
			if err != nil {
				t.Fatal(err)
			}
			b, err := oracle.Eval(plain.Spec, in, ctx)
			if err != nil {
				t.Fatal(err)
			}
			x, y := a.Outputs["view"], b.Outputs["result"]
			same := len(x) == len(y)
			for i := 0; same && i < len(x); i++ {
				same = x[i].W == y[i].W && oracle.CompareRows(x[i].V, y[i].V) == 0
			}
			if !same {
				t.Fatalf("%s at %v: a view gives\n%v\na query gives\n%v", where, types.IntValue(types.Timestamp, ctx.Now), x, y)
			}
		}
	}
	for _, where := range notTimeFilters {
		_, err := p.PlanView(parseQuery("SELECT * FROM x WHERE "+where, "the test"))
		if e, ok := err.(*types.Error); !ok || e.Code != types.CodeFeature || e.Hint != nowHint {
			t.Errorf("%s: %v", where, err)
		}
	}
}

// TestStateTTL looks where rows expire.
func TestStateTTL(t *testing.T) {
	p := testPlanner(timesCatalog(t))
	for _, c := range []struct {
		query string
		want  int
		width int // columns of the rows that are kept
	}{
		{"SELECT i + 1 AS j FROM x WHERE i > 0", 0, 0},
		{"SELECT i, count(*) FROM x GROUP BY i", 1, 4},
		{"SELECT a.i FROM x a JOIN x b ON a.i = b.i", 1, 4},
		{"SELECT i FROM x UNION ALL SELECT 1", 0, 0},
		{"SELECT DISTINCT i FROM x", 1, 4},
		{"SELECT i, count(*) FROM y WHERE d IS NOT NULL GROUP BY i", 1, 1},
		{"SELECT i, count(*) FROM y GROUP BY i UNION ALL SELECT i, 1 FROM y WHERE i > 1", 1, 4},
		{"SELECT y.i, b.d FROM y JOIN x b ON y.i = b.i AND y.d > b.d", 2, 0},
	} {
		text := "CREATE MATERIALIZED VIEW v WITH (state_ttl = '90 min') AS " + c.query
		stmts, err := sql.Parse(text, sql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		cmd, err := p.PlanDDL(stmts[0], text)
		if err != nil {
			t.Fatal(err)
		}
		q, err := p.PlanRelation(cmd.Relation)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, node := range q.Spec.Nodes {
			if x, ok := node.Op.(*flow.Expire); ok {
				n++
				if c.width > 0 && len(node.Out) != c.width {
					t.Errorf("%s: rows of %d columns are kept, want %d", c.query, len(node.Out), c.width)
				}
				if x.TTL != 90*60*1_000_000 {
					t.Errorf("%s: time to live is %d", c.query, x.TTL)
				}
			}
		}
		if n != c.want {
			t.Errorf("%s: %d inputs expire, want %d\n%s", c.query, n, c.want, q.Spec.Explain(flow.ExplainOptions{}))
		}
		if _, err := flow.New(q.Spec, flow.Options{}); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"state_ttl = '1 month'", "state_ttl = 'soon'", "state_ttl = '0 s'", "state_ttl = '-1 day'", "state_tll = '1 day'"} {
		text := "CREATE MATERIALIZED VIEW v WITH (" + bad + ") AS SELECT DISTINCT i FROM x"
		stmts, err := sql.Parse(text, sql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.PlanDDL(stmts[0], text); err == nil || !strings.Contains(err.Error(), "state_t") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
