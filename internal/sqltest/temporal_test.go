package sqltest_test

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/pgtest"
)

// joinsInTime are joins as Tidemill and as PostgreSQL write them.
func joinsInTime() [][2]string {
	var out [][2]string
	for _, op := range []string{">=", ">", "<=", "<"} {
		dir := map[bool]string{true: "DESC", false: "ASC"}[op[0] == '>']
		for _, kind := range []string{"", "LEFT "} {
			for _, key := range []string{"l.k = r.k AND ", ""} {
				out = append(out, [2]string{
					fmt.Sprintf(`SELECT l.n, r.k, r.at, r.n FROM l ASOF %sJOIN r ON %sl.at %s r.at`, kind, key, op),
					fmt.Sprintf(`SELECT l.n, r.k, r.at, r.n FROM l %sJOIN LATERAL (SELECT * FROM r WHERE %sl.at %s r.at ORDER BY at %s, k, n LIMIT 1) r ON true`, kind, key, op, dir),
				})
			}
		}
	}
	for _, on := range []string{
		`l.at BETWEEN r.at - INTERVAL '3 s' AND r.at + INTERVAL '2 s'`,
		`l.at > r.at AND l.at < r.at + INTERVAL '4 s'`,
		`l.k = r.k AND r.at - l.at BETWEEN INTERVAL '-2 s' AND INTERVAL '-1 s'`,
		`l.n - r.n BETWEEN -3 AND 5`,
		`l.at + INTERVAL '1 s' = r.at`,
	} {
		for _, kind := range []string{"", "LEFT ", "RIGHT ", "FULL "} {
			if kind == "FULL " && !strings.Contains(on, "l.k = r.k") {
				continue // PostgreSQL cannot
			}
			q := fmt.Sprintf(`SELECT l.n, l.at, r.n FROM l %sJOIN r ON %s`, kind, on)
			out = append(out, [2]string{q, q})
		}
		q := `SELECT l.n, l.at FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE ` + on + `)`
		out = append(out, [2]string{q, q})
	}
	for _, kind := range []string{"", "LEFT "} {
		out = append(out, [2]string{
			`SELECT l.n, v.n FROM l ` + kind + `JOIN v FOR SYSTEM_TIME AS OF l.at ON l.k = v.k`,
			`SELECT l.n, v.n FROM l ` + kind + `JOIN LATERAL (SELECT * FROM v WHERE l.k = v.k AND v.at <= l.at ORDER BY at DESC LIMIT 1) v ON true`,
		})
	}
	return out
}

// TestJoinsInTimeEqualPostgres changes tables at random, and compares views with what
// PostgreSQL answers.
func TestJoinsInTimeEqualPostgres(t *testing.T) {
	pg, mill := connect(t, pgtest.Start(t)), connect(t, startNode(t))
	both := func(text string) {
		t.Helper()
		for _, c := range []*pgconn.PgConn{pg, mill} {
			if _, err := c.Exec(t.Context(), text).ReadAll(); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
	both(`CREATE TABLE l (k INT, at TIMESTAMP, n INT); CREATE TABLE r (k INT, at TIMESTAMP, n INT);
		CREATE TABLE v (k INT, at TIMESTAMP, n INT, PRIMARY KEY (k, at))`)
	queries := joinsInTime()
	for i, q := range queries {
		cols := strings.TrimSuffix(strings.Repeat("c%d, ", strings.Count(q[0][:strings.Index(q[0], " FROM ")], ",")+1), ", ")
		names := make([]any, strings.Count(cols, "%d"))
		for k := range names {
			names[k] = k
		}
		if _, err := mill.Exec(t.Context(), fmt.Sprintf("CREATE MATERIALIZED VIEW q%d (%s) AS %s", i, fmt.Sprintf(cols, names...), q[0])).ReadAll(); err != nil {
			t.Fatalf("%s: %v", q[0], err)
		}
	}
	rng := rand.New(rand.NewPCG(*seed, 7))
	value := func(most int) string {
		if rng.IntN(8) == 0 {
			return "NULL"
		}
		return fmt.Sprint(rng.IntN(most))
	}
	at := func() string {
		switch rng.IntN(16) {
		case 0:
			return "NULL"
		}
		return fmt.Sprintf("'2026-01-01 00:00:%02d'", rng.IntN(20))
	}
	for round := range 12 {
		for range rng.IntN(3) + 1 {
			table := []string{"l", "r"}[rng.IntN(2)]
			switch rng.IntN(4) {
			case 0:
				both(fmt.Sprintf(`DELETE FROM %s WHERE n %% 5 = %d`, table, rng.IntN(5)))
			case 1:
				both(fmt.Sprintf(`UPDATE %s SET at = at + INTERVAL '%d s' WHERE n %% 4 = %d`, table, rng.IntN(5)-2, rng.IntN(4)))
			default:
				var rows []string
				for range rng.IntN(6) + 1 {
					rows = append(rows, fmt.Sprintf("(%s, %s, %s)", value(3), at(), value(12)))
				}
				both(fmt.Sprintf(`INSERT INTO %s VALUES %s`, table, strings.Join(rows, ", ")))
			}
			both(fmt.Sprintf(`DELETE FROM v WHERE n = %d`, rng.IntN(6)))
			both(fmt.Sprintf(`INSERT INTO v VALUES (%d, '2026-01-01 00:00:%02d', %d) ON CONFLICT (k, at) DO UPDATE SET n = excluded.n`, rng.IntN(3), rng.IntN(20), rng.IntN(6)))
		}
		for i, q := range queries {
			want, got := answer(t, pg, q[1]), answer(t, mill, fmt.Sprintf("SELECT * FROM q%d", i))
			if got != want {
				t.Fatalf("round %d: %s\ngives\n%s\nPostgreSQL says\n%s", round, q[0], got, want)
			}
		}
	}
}

// answer prints a query's rows in order.
func answer(t *testing.T, c *pgconn.PgConn, query string) string {
	t.Helper()
	rs, err := c.Exec(t.Context(), query).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var lines []string
	for _, row := range rs[0].Rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = string(cell); cell == nil {
				cells[i] = "NULL"
			}
		}
		lines = append(lines, strings.Join(cells, " | "))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
