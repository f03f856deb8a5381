package expr

import (
	"os"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/pgtest"
)

// ours are examples whose texts are not PostgreSQL's, with the reason.
var ours = map[string]string{
	"pg_get_expr": "takes the text that our catalogs hold",
}

// TestExamplesPostgres compares the table's texts with PostgreSQL's answers.
// EXPR_WRITE=1 writes them into the table instead.
func TestExamplesPostgres(t *testing.T) {
	conn := pgtest.Connect(t)
	pgtest.Query(t, conn, "SET TimeZone = 'UTC'")
	want := map[string]string{}
	for _, f := range Funcs() {
		if f.host || ours[f.Name] != "" {
			continue
		}
		r := pgtest.Query(t, conn, "SELECT "+f.Example)
		got := "ERROR"
		if r.Err != nil {
			t.Errorf("SELECT %s: %v", f.Example, r.Err)
			continue
		}
		if got = "NULL"; r.Rows[0][0] != nil {
			got = *r.Rows[0][0]
		}
		want[f.Example] = got
		if got != f.Want && os.Getenv("EXPR_WRITE") == "" {
			t.Errorf("PostgreSQL: %s = %s; the table says %s", f.Example, got, f.Want)
		}
	}
	if os.Getenv("EXPR_WRITE") == "" {
		return
	}
	lines := strings.Split(functionTable, "\n")
	for i, l := range lines {
		if f := strings.Split(l, "\t"); len(f) == 6 && want[f[4]] != "" {
			f[5] = want[f[4]]
			lines[i] = strings.Join(f, "\t")
		}
	}
	if err := os.WriteFile("functions.tsv", []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEdgesPostgres asks PostgreSQL for the cases of TestEdges.
func TestEdgesPostgres(t *testing.T) {
	conn := pgtest.Connect(t)
	pgtest.Query(t, conn, "SET TimeZone = 'UTC'")
	for _, c := range edges {
		r := pgtest.Query(t, conn, "SELECT "+c.e)
		want := "NULL"
		if r.Err != nil {
			want = r.Err.Code + " " + r.Err.Message
		} else if r.Rows[0][0] != nil {
			want = *r.Rows[0][0]
		}
		if got := edgeText(bind(t, c.e)); got != want {
			t.Errorf("%s = %s; PostgreSQL: %s", c.e, got, want)
		}
	}
}
