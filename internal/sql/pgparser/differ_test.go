// Package pgparser compares Tidemill's parser with PostgreSQL 15's own, which pg_query_go wraps. It is a module of its own because
// that parser is C code, while the product builds without cgo.
package pgparser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v4"

	"github.com/tidemill/tidemill/internal/sql"
)

// corpus reads the statements of a file, one a line; lines that begin with # are comments.
func corpus(t testing.TB, name string) []string {
	t.Helper()
	file, err := os.Open("../testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var l []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if s := strings.TrimSpace(lines.Text()); s != "" && !strings.HasPrefix(s, "#") {
			l = append(l, s)
		}
	}
	if err := lines.Err(); err != nil || len(l) == 0 {
		t.Fatalf("%s: %d statements, %v", name, len(l), err)
	}
	return l
}

// pgTree is PostgreSQL's tree of text without positions.
func pgTree(text string) (any, error) {
	s, err := pg.ParseToJSON(text)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return nil, err
	}
	return strip(v), nil
}

// strip removes what does not tell trees apart: positions, and the forms of casts.
func strip(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			switch k {
			case "location", "stmt_location", "stmt_len":
				delete(v, k)
			default:
				v[k] = strip(x)
			}
		}
		if e, ok := v["IndexElem"].(map[string]any); ok {
			plainColumn(e)
		}
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
		return lastModes(v)
	}
	return v
}

// plainColumn makes the parenthesised column of an index a plain one, which it equals.
func plainColumn(e map[string]any) {
	x, _ := e["expr"].(map[string]any)
	c, _ := x["ColumnRef"].(map[string]any)
	if f, _ := c["fields"].([]any); len(f) == 1 {
		if s, ok := f[0].(map[string]any)["String"].(map[string]any); ok {
			e["name"] = s["sval"]
			delete(e, "expr")
		}
	}
}

// lastModes keeps of each transaction mode the last, in order of their names: our tree has one place for each.
func lastModes(l []any) []any {
	last := map[string]any{}
	for _, x := range l {
		m, _ := x.(map[string]any)
		e, _ := m["DefElem"].(map[string]any)
		name, _ := e["defname"].(string)
		if !strings.HasPrefix(name, "transaction_") {
			return l
		}
		last[name] = x
	}
	if len(last) == 0 {
		return l
	}
	var out []any
	for _, name := range slices.Sorted(maps.Keys(last)) {
		out = append(out, last[name])
	}
	return out
}

func TestCorpusAgrees(t *testing.T) {
	for _, text := range corpus(t, "postgres.sql") {
		want, err := pgTree(text)
		if err != nil {
			t.Errorf("%s\nPostgreSQL refuses it: %v", text, err)
			continue
		}
		checkTree(t, text, want)
	}
}

// checkTree verifies that we read text and that what we print means the same to PostgreSQL.
func checkTree(t *testing.T, text string, want any) {
	t.Helper()
	l, err := sql.Parse(text, sql.Options{})
	if err != nil {
		t.Errorf("%s\nwe refuse it: %v", text, err)
		return
	}
	if strings.HasPrefix(strings.ToUpper(text), "COPY") {
		return // old options are printed in the new form, which PostgreSQL keeps apart
	}
	for _, format := range []func(sql.Node) string{sql.Format, sql.FormatParens} {
		var parts []string
		for _, s := range l {
			parts = append(parts, format(s))
		}
		out := strings.Join(parts, ";")
		got, err := pgTree(out)
		if err != nil {
			t.Errorf("%s\nprinted: %s\nPostgreSQL refuses that: %v", text, out, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nprinted: %s\nPostgreSQL reads %s\nnot          %s", text, out, diff(got, want), diff(want, got))
		}
	}
}

// diff shows the smallest part of a that differs from b.
func diff(a, b any) string {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok && len(x) == len(y) {
			for k := range x {
				if v, ok := y[k]; ok && !reflect.DeepEqual(x[k], v) {
					return k + "." + diff(x[k], v)
				}
			}
		}
	case []any:
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				if !reflect.DeepEqual(x[i], y[i]) {
					return fmt.Sprintf("[%d]", i) + diff(x[i], y[i])
				}
			}
		}
	}
	s, _ := json.Marshal(a)
	return string(s[:min(len(s), 400)])
}
