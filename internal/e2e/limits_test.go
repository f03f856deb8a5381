package e2e

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestLimits goes past what the operations page lists: a clear error each time, and
// the connection and the node go on.
func TestLimits(t *testing.T) {
	n := dev(t, t.TempDir(), "--query-memory", "16", "--memory", "16MB")
	c := n.connect(t)
	exe(t, c, "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)", "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t")
	for _, x := range []struct{ what, query, code string }{
		{"nesting", "SELECT " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000), "54001"},
		{"nested subqueries", strings.Repeat("SELECT * FROM (", 5000) + "SELECT 1" + strings.Repeat(") AS x", 5000), "54001"},
		{"statement length", "SELECT '" + strings.Repeat("x", 17<<20) + "'", "54000"},
		{"memory of a query", "SELECT g, count(*) FROM generate_series(1, 2000000) AS g GROUP BY g", "53200"},
		{"memory of a sort", "SELECT repeat('x', 1000) || g AS s FROM generate_series(1, 100000) AS g ORDER BY s", "53200"},
		{"memory of the rows that a view begins with", "CREATE MATERIALIZED VIEW p AS SELECT DISTINCT a.g AS x, b.g AS y FROM generate_series(1, 1000) AS a (g), generate_series(1, 1000) AS b (g)", "53200"},
		{"memory of those of a sink", "CREATE SINK p AS SELECT a.g AS x, b.g AS y FROM generate_series(1, 1000) AS a (g), generate_series(1, 1000) AS b (g) " +
			"WITH (connector = 'file', path = '" + filepath.Join(t.TempDir(), "p.ndjson") + "')", "53200"},
		{"rows of a transaction", "INSERT INTO t SELECT g, repeat('x', 10000) FROM generate_series(1, 10000) AS g", "54000"},
	} {
		_, err := c.PgConn().Exec(deadline(t), x.query).ReadAll()
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.Code != x.code {
			t.Errorf("%s: %v, want %s", x.what, err, x.code)
		}
		if c.IsClosed() {
			c = n.connect(t)
			t.Errorf("%s: the connection was closed", x.what)
		}
		want(t, c, "SELECT n FROM m", "0")
	}
	exe(t, c, "INSERT INTO t VALUES (1, 'x')")
	want(t, c, "SELECT n FROM m", "1")
}
