// Package exampletest compares the views of an example with what its test expects.
package exampletest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill"
)

// Stamp writes a time as Ask does: up to milliseconds.
func Stamp(t time.Time) string { return t.Format("2006-01-02 15:04:05.999") }

// Ask returns a query's rows as text, columns between bars.
func Ask(t *testing.T, db *tidemill.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var cells []string
		for _, v := range rows.Values() {
			if at, ok := v.(time.Time); ok {
				v = Stamp(at)
			}
			cells = append(cells, fmt.Sprint(v))
		}
		out = append(out, strings.Join(cells, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return out
}

// Expect fails the test unless a query gives the rows of want, in any order. It sorts
// want, which may not be empty: a test that expects nothing shows nothing.
func Expect(t *testing.T, db *tidemill.DB, query string, want []string) {
	t.Helper()
	got := Ask(t, db, query)
	slices.Sort(got)
	slices.Sort(want)
	if len(want) == 0 {
		t.Fatalf("%s: nothing is expected", query)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\ngives %d rows:\n%s\nwant %d:\n%s", query, len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
	}
}
