package sql

import (
	"strings"
	"testing"
)

// TestPrecedence shows by parentheses how expressions are read.
func TestPrecedence(t *testing.T) {
	for text, want := range map[string]string{
		"1 + 2 * 3 ^ 4 ^ 5":              "1 + (2 * ((3 ^ 4) ^ 5))",
		"-a ^ 2":                         "(-a) ^ 2",
		"-a::int":                        "-(a::integer)",
		"a || b + c":                     "a || (b + c)",
		"NOT a = b AND c OR d":           "((NOT (a = b)) AND c) OR d",
		"a = b IS NULL":                  "(a = b) IS NULL",
		"a < b || c":                     "a < (b || c)",
		"a LIKE b || c ESCAPE d":         "a LIKE (b || c) ESCAPE d",
		"a BETWEEN b + 1 AND c AND d":    "(a BETWEEN (b + 1) AND c) AND d",
		"a IN (1) = b":                   "(a IN (1)) = b",
		"a AT TIME ZONE b || c":          "(a AT TIME ZONE b) || c",
		"a COLLATE x AT TIME ZONE b * c": "((a COLLATE x) AT TIME ZONE b) * c",
		"a OPERATOR(pg_catalog.*) b + c": "a OPERATOR(pg_catalog.*) (b + c)",
		"a != b":                         "a <> b",
		"@ -a + b":                       "@((-a) + b)",
		"a - -1":                         "a - (-1)",
	} {
		x, err := ParseExpr(text, Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := FormatParens(x); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestIdentifiers(t *testing.T) {
	long := strings.Repeat("é", 40) // 80 bytes
	for text, want := range map[string]string{
		`Abc`: "abc", `"Abc"`: "Abc", `ÄB`: "Äb", `"a""b"`: `a"b`, `U&"d\0061t"`: "dat",
		strings.Repeat("X", 70): strings.Repeat("x", 63), long: strings.Repeat("é", 31),
	} {
		x, err := ParseExpr(text, Options{})
		c, ok := x.(*ColumnRef)
		if err != nil || !ok || c.Parts[0].Text != want {
			t.Errorf("%s: %v, %v; want %s", text, x, err, want)
		}
	}
}

// TestStatementRanges: the ranges of statements are what a server logs and what it cuts for prepared statements.
func TestStatementRanges(t *testing.T) {
	text := " ; SELECT 1 -- a\n;;\n/* b */ INSERT INTO t VALUES (';') ; "
	l, err := Parse(text, Options{})
	if err != nil || len(l) != 2 {
		t.Fatal(l, err)
	}
	for i, want := range []string{"SELECT 1", "INSERT INTO t VALUES (';')"} {
		if got := text[l[i].Pos():l[i].End()]; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if l, err := Parse(" -- nothing", Options{}); err != nil || len(l) != 0 {
		t.Error(l, err)
	}
}

func TestPositions(t *testing.T) {
	x, err := ParseExpr("  aa + f(b, 'c') * d::int", Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum := x.(*BinaryExpr)
	mul := sum.R.(*BinaryExpr)
	cast := mul.R.(*CastExpr)
	got := []int{sum.Pos(), sum.Op.Pos(), mul.Pos(), mul.Op.Pos(), cast.Pos(), cast.Op.Pos(), cast.Type.Pos(), mul.L.(*FuncCall).Args[1].Pos()}
	for i, want := range []int{2, 5, 7, 17, 19, 20, 22, 12} {
		if got[i] != want {
			t.Errorf("position %d: got %d, want %d", i, got[i], want)
		}
	}
}

// TestWalk counts the columns that Walk meets, in the order of the text, without those in queries.
func TestWalk(t *testing.T) {
	x, err := ParseExpr(`CASE a WHEN b THEN f(c ORDER BY d) FILTER (WHERE e) OVER (PARTITION BY g ORDER BY h) ELSE i IN (SELECT z) END +
		coalesce(j, k[l]) + (m BETWEEN n AND o)::int + substring(p FROM q FOR r)`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names string
	Walk(x, func(x Expr) bool {
		if c, ok := x.(*ColumnRef); ok {
			names += c.Parts[0].Text
		}
		return true
	})
	if names != "abcdeghijklmnopqr" {
		t.Error(names)
	}
}

func BenchmarkParse(b *testing.B) {
	text := `SELECT count(*) AS c, date_trunc('hour', at) h FROM bids b JOIN auctions a ON a.id = b.auction WHERE price > 100 AND at >= now() - INTERVAL '1 hour' GROUP BY h, b.auction HAVING count(*) > 5 ORDER BY 1 DESC LIMIT 10`
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(text, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
