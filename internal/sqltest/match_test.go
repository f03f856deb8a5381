package sqltest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/node"
)

// TestMatchModes: which views give matches once and which correct them.
func TestMatchModes(t *testing.T) {
	n, err := node.Start(t.Context(), node.Config{DataDir: t.TempDir(), PG: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close(context.WithoutCancel(t.Context())) }()
	conn := connect(t, "postgres://tidemill@"+n.Addrs().PG+"/tidemill?sslmode=disable")
	exec := func(sql string) string {
		t.Helper()
		rs, err := conn.Exec(t.Context(), sql).ReadAll()
		if err != nil {
			return err.Error()
		}
		var out strings.Builder
		for _, row := range rs[len(rs)-1].Rows {
			for i, c := range row {
				if i > 0 {
					out.WriteString(" ")
				}
				out.Write(c)
			}
			out.WriteString("\n")
		}
		return out.String()
	}
	exec(`CREATE TABLE s (at TIMESTAMP, k INT, x INT, WATERMARK FOR at AS at - INTERVAL '10 s') APPEND ONLY`)
	exec(`CREATE TABLE plain (at TIMESTAMP, k INT, x INT) APPEND ONLY`)
	exec(`CREATE TABLE edited (at TIMESTAMP, k INT, x INT)`)
	pattern := func(from, more string) string {
		return `SELECT * FROM ` + from + ` MATCH_RECOGNIZE (PARTITION BY k ORDER BY at MEASURES FIRST(x) AS f, LAST(x) AS l ` + more +
			` PATTERN (a b+) DEFINE b AS x > PREV(x)) AS m`
	}
	for _, x := range []struct{ query, mode string }{
		{pattern("s", ""), "final"},
		{pattern("(SELECT at, k, x + 1 AS x FROM s WHERE x > 0) AS q", ""), "final"},
		{pattern("plain", ""), "retracting"},
		{pattern("edited", ""), "retracting"},
		{pattern("(SELECT max(at) AS at, k, x FROM s GROUP BY k, x) AS q", ""), "retracting"},
		{strings.Replace(pattern("s", ""), "ORDER BY at", "ORDER BY x", 1), "retracting"},
		{strings.Replace(pattern("s", ""), "ORDER BY at", "ORDER BY at DESC", 1), "retracting"},
	} {
		if plan := exec("EXPLAIN CREATE MATERIALIZED VIEW v AS " + x.query); !strings.Contains(plan, "Match "+x.mode) {
			t.Errorf("%s\nis not %s:\n%s", x.query, x.mode, plan)
		}
		if plan := exec("EXPLAIN " + x.query); !strings.Contains(plan, "Match retracting") {
			t.Errorf("%s\nad hoc:\n%s", x.query, plan)
		}
	}
	if got := exec("CREATE MATERIALIZED VIEW v AS " + strings.Replace(pattern("s", ""), "b+)", "b+ $)", 1)); !strings.Contains(got, "0A000") {
		t.Errorf("$ over a stream: %s", got)
	}
	for _, sql := range []string{
		"CREATE MATERIALIZED VIEW once AS " + pattern("s", ""),
		"CREATE MATERIALIZED VIEW closed AS " + pattern("s", "") + " EMIT ON WINDOW CLOSE",
		"CREATE MATERIALIZED VIEW kept WITH (state_ttl = '1 day') AS " + pattern("s", ""), // rows go: it is corrected
		"CREATE MATERIALIZED VIEW shown AS " + pattern("s", "ALL ROWS PER MATCH WITH UNMATCHED ROWS"),
		"INSERT INTO s VALUES ('2026-01-01 00:00:05', 1, 2), ('2026-01-01 00:00:00', 1, 1), (NULL, 1, 9), ('2026-01-01 00:00:07', 1, 3), ('2026-01-01 00:00:08', 1, 0)",
	} {
		if got := exec(sql); strings.Contains(got, "ERROR") {
			t.Fatal(got)
		}
	}
	want := func(sql, rows string) {
		t.Helper()
		if got := exec(sql); got != rows {
			t.Errorf("%s gives\n%swant\n%s", sql, got, rows)
		}
	}
	want(pattern("s", "")+" ORDER BY f DESC", "1 1 3\n1 0 9\n") // what there is, and the row without a time last
	want("SELECT * FROM kept ORDER BY f DESC", "1 1 3\n1 0 9\n")
	want("SELECT * FROM once", "")
	exec("INSERT INTO s VALUES ('2026-01-01 00:01:00', 2, 0)")
	for range 2 {
		want("SELECT * FROM once", "1 1 3\n")
		want("SELECT * FROM closed", "1 1 3\n")
		want("SELECT k, f, l, x FROM shown ORDER BY at", "1 1 1 1\n1 1 2 2\n1 1 3 3\n")
		exec("INSERT INTO s VALUES ('2026-01-01 00:00:09', 1, 8)") // late: in no view and in no query
	}
	exec("INSERT INTO s VALUES ('2026-01-01 00:02:00', 1, 5), ('2026-01-01 00:02:01', 1, 4), ('2026-01-01 00:03:00', 3, 0)")
	want("SELECT * FROM once ORDER BY f DESC", "1 1 3\n1 0 5\n")
}
