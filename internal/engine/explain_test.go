package engine

import (
	"regexp"
	"strings"
	"testing"
)

// EXPLAIN says of every operator how its state grows; EXPLAIN ANALYZE of a view shows
// the running circuit with what it has done.
func TestExplainOfViews(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL);
		CREATE MATERIALIZED VIEW v AS SELECT n, count(*) AS c FROM t GROUP BY n; CREATE VIEW w AS SELECT n FROM t`)
	c.exec(`INSERT INTO t VALUES (1, 1), (2, 1), (3, 2)`)
	explain := func(text string) string {
		t.Helper()
		rows, _, err := c.run(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return strings.Join(rows, "\n")
	}
	if got := explain(`EXPLAIN MATERIALIZED VIEW v`); !strings.Contains(got, "[state: one row a group, bounded by what it reads]") {
		t.Errorf("explain gives\n%s", got)
	}
	got := explain(`EXPLAIN ANALYZE MATERIALIZED VIEW v`)
	for _, want := range []string{`^watched for \d+\.\d s, step \d+`, `Aggregate keys=\[n\].*rows in=3 out=2 held=2 state=\d+ B time=.* ms; now in=0/s out=0/s busy=0\.0%`, `Input table t`} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("explain analyze does not match %q:\n%s", want, got)
		}
	}
	c.fails(`EXPLAIN ANALYZE VIEW w`, "42809", "does not run")
	c.fails(`EXPLAIN ANALYZE VIEW nix`, "42P01", "does not exist")
	found := false
	for _, o := range b.e.Operators(t.Context()) {
		found = found || o.Name == "v" && strings.HasPrefix(o.Operator, "Aggregate keys=[n]") && o.Rows == 2 && o.RowsIn == 3
	}
	if !found {
		t.Errorf("operators are %+v", b.e.Operators(t.Context()))
	}
}
