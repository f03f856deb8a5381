package expr

import (
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/pgtest"
	"github.com/tidemill/tidemill/internal/types"
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

// callText writes a call as SQL; ok is false for those that SQL has no plain form for.
func callText(f *Func, vs []types.Value) (string, bool) {
	args := make([]string, len(vs))
	for i, v := range vs {
		t := v.T
		t.Mod = 0
		args[i] = quote(valueText(v)) + "::" + t.String()
		if v.Null {
			args[i] = "NULL::" + t.String()
		}
		if strings.Contains(args[i], `\`) && t.Kind == types.Bytea {
			args[i] = strings.ReplaceAll(args[i], `\\`, `\`)
		}
	}
	name := f.Name
	switch {
	case name == "array" || name == "array_get" || name == "overlaps" || name == "extract" || name == "random" || name == "clock_timestamp" || name == "txid_current":
		return "", false
	case strings.HasSuffix(name, " any") || strings.HasSuffix(name, " all"):
		return "SELECT " + args[0] + " " + name + " (" + args[1] + ")", true
	case isOperator(name) && len(args) == 1:
		return "SELECT " + name + " (" + args[0] + ")", true
	case isOperator(name):
		return "SELECT " + args[0] + " " + name + " " + args[1], true
	}
	if name == "position" {
		return "SELECT position(" + args[1] + " IN " + args[0] + ")", true
	}
	return "SELECT " + name + "(" + strings.Join(args, ", ") + ")", true
}

// inexact are functions whose errors or last digits are the library's own.
var inexact = map[string]string{
	"pg_get_userbyid": "one owner", "pg_typeof": "regtype", "format_type": "types we do not have", "pg_encoding_to_char": "few encodings",
	"obj_description": "catalog", "col_description": "catalog", "shobj_description": "catalog", "pg_relation_is_publishable": "catalog",
	"pg_index_column_has_property": "catalog", "pg_get_expr": "ours",
	"pg_char_to_encoding": "few encodings", "pg_size_pretty": "fractions of bytes",
	"to_char": "pictures of sense only, see edges", "to_date": "as to_char", "to_timestamp": "as to_char", "to_number": "as to_char",
}

// TestFunctionsPostgres compares random calls of every overload with PostgreSQL: the
// text, or the code of the error.
func TestFunctionsPostgres(t *testing.T) {
	conn := pgtest.Connect(t)
	pgtest.Query(t, conn, "SET TimeZone = 'UTC'")
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("EXPR_ROUNDS")); err == nil {
		rounds = n
	}
	for _, f := range Funcs() {
		if f.host || inexact[f.Name] != "" || strings.HasSuffix(f.Name, "_is_visible") {
			continue
		}
		ts := concrete(f)
		if len(ts) == 0 {
			continue
		}
		gen := rapid.Custom(func(rt *rapid.T) []types.Value {
			vs := make([]types.Value, len(ts))
			for i, a := range ts {
				vs[i] = sample(rt, a, "v")
			}
			return vs
		})
		for k := range rounds {
			vs := gen.Example(k*7919 + len(f.Example))
			sql, ok := callText(f, vs)
			if !ok {
				break
			}
			args := make([]Expr, len(vs))
			for i, v := range vs {
				args[i] = Const{V: v}
			}
			_, _, ret, err := Resolve(f.Name, ts)
			if err != nil {
				t.Fatal(err)
			}
			got := edgeText(&Call{Fn: f, Args: args, T: ret})
			r := pgtest.Query(t, conn, sql)
			want := "NULL"
			if strings.HasPrefix(got, types.CodeTooComplex) {
				continue // beyond MaxExpDigits
			}
			if r.Err != nil {
				if !strings.HasPrefix(got, r.Err.Code+" ") {
					t.Errorf("%s = %s; PostgreSQL: %s %s", sql, got, r.Err.Code, r.Err.Message)
				}
				continue
			} else if r.Rows[0][0] != nil {
				want = *r.Rows[0][0]
			}
			if f.Name == "right" && strings.Contains(sql, "-2147483648") || f.Name == "timezone" && strings.HasPrefix(got, types.CodeInvalidParameter) {
				continue // an overflow of PostgreSQL 15; texts that it takes for POSIX zones
			}
			if f.Name == "lower" || f.Name == "upper" || f.Name == "initcap" {
				if !isASCII([]byte(sql)) {
					continue // where PostgreSQL's locale is C
				}
			}
			if f.Name == "regexp_replace" && strings.Contains(got, "option") {
				continue // basic regular expressions
			}
			if f.Name == "make_interval" && strings.HasPrefix(got, types.CodeDatetimeOverflow) {
				continue // PostgreSQL 15 wraps around
			}
			if f.Name == "age" && strings.Contains(sql, "infinity") {
				continue // PostgreSQL 15 takes infinities for the numbers that stand for them
			}
			if !alike(got, want) {
				t.Errorf("%s = %s; PostgreSQL: %s", sql, got, want)
			}
		}
	}
}

// alike allows floats another last digit.
func alike(got, want string) bool {
	if got == want {
		return true
	}
	a, err1 := strconv.ParseFloat(got, 64)
	b, err2 := strconv.ParseFloat(want, 64)
	return err1 == nil && err2 == nil && len(got) < 26 && math.Abs(a-b) <= 1e-14*math.Abs(b)
}
