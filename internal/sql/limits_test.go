package sql

import (
	"errors"
	"strings"
	"testing"
)

func wantError(t *testing.T, text string, opts Options, code, message string, pos int) {
	t.Helper()
	l, err := Parse(text, opts)
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%.80s: %d statements, error %v; want %s", text, len(l), err, message)
		return
	}
	if l != nil {
		t.Errorf("%.80s: statements besides an error", text)
	}
	if e.Code != code || e.Message != message || pos >= 0 && e.Pos != pos {
		t.Errorf("%.80s\ngot  %s %q at %d\nwant %s %q at %d", text, e.Code, e.Message, e.Pos, code, message, pos)
	}
}

// deepTexts build statements that nest n levels deep in every recursive way that the grammar has.
var deepTexts = map[string]func(n int) string{
	"parentheses": func(n int) string { return "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n) },
	"open only":   func(n int) string { return "SELECT " + strings.Repeat("(", n) },
	"sum":         func(n int) string { return "SELECT 1" + strings.Repeat("+1", n) },
	"concat":      func(n int) string { return "SELECT a" + strings.Repeat("||a", n) },
	"power":       func(n int) string { return "SELECT a" + strings.Repeat("^a", n) },
	"not":         func(n int) string { return "SELECT " + strings.Repeat("NOT ", n) + "a" },
	"minus":       func(n int) string { return "SELECT " + strings.Repeat("- ", n) + "a" },
	"tilde":       func(n int) string { return "SELECT " + strings.Repeat("~ ", n) + "a" },
	"is null":     func(n int) string { return "SELECT a" + strings.Repeat(" IS NULL", n) },
	"cast":        func(n int) string { return "SELECT a" + strings.Repeat("::int", n) },
	"cast function": func(n int) string {
		return "SELECT " + strings.Repeat("CAST(", n) + "a" + strings.Repeat(" AS int)", n)
	},
	"collate":      func(n int) string { return "SELECT a" + strings.Repeat(` COLLATE "C"`, n) },
	"at time zone": func(n int) string { return "SELECT a" + strings.Repeat(" AT TIME ZONE b", n) },
	"subscript":    func(n int) string { return "SELECT a" + strings.Repeat("[1]", n) },
	"subscript in": func(n int) string { return "SELECT " + strings.Repeat("a[", n) + "1" + strings.Repeat("]", n) },
	"field":        func(n int) string { return "SELECT (a)" + strings.Repeat(".b", n) },
	"call":         func(n int) string { return "SELECT " + strings.Repeat("f(", n) + "1" + strings.Repeat(")", n) },
	"named":        func(n int) string { return "SELECT " + strings.Repeat("f(a => ", n) + "1" + strings.Repeat(")", n) },
	"coalesce":     func(n int) string { return "SELECT " + strings.Repeat("coalesce(", n) + "1" + strings.Repeat(")", n) },
	"case":         func(n int) string { return "SELECT " + strings.Repeat("CASE ", n) },
	"case else":    func(n int) string { return "SELECT " + strings.Repeat("CASE WHEN a THEN b ELSE ", n) },
	"array":        func(n int) string { return "SELECT ARRAY" + strings.Repeat("[", n) + strings.Repeat("]", n) },
	"array array":  func(n int) string { return "SELECT " + strings.Repeat("ARRAY[", n) + strings.Repeat("]", n) },
	"row":          func(n int) string { return "SELECT " + strings.Repeat("ROW(", n) + strings.Repeat(")", n) },
	"between":      func(n int) string { return "SELECT " + strings.Repeat("a BETWEEN ", n) },
	"between and":  func(n int) string { return "SELECT " + strings.Repeat("a BETWEEN 1 AND (", n) },
	"in":           func(n int) string { return "SELECT " + strings.Repeat("a IN (", n) },
	"exists":       func(n int) string { return "SELECT " + strings.Repeat("EXISTS (SELECT ", n) },
	"exists (":     func(n int) string { return "SELECT EXISTS " + strings.Repeat("(", n) },
	"scalar":       func(n int) string { return strings.Repeat("SELECT (", n) },
	"any":          func(n int) string { return "SELECT " + strings.Repeat("a = ANY (", n) },
	"or and":       func(n int) string { return "SELECT " + strings.Repeat("a OR (b AND (", n) },
	"union":        func(n int) string { return "SELECT 1" + strings.Repeat(" UNION SELECT 1", n) },
	"intersect":    func(n int) string { return "SELECT 1" + strings.Repeat(" UNION SELECT 1 INTERSECT SELECT 1", n) },
	"query":        func(n int) string { return strings.Repeat("(", n) + "SELECT 1" + strings.Repeat(")", n) },
	"query union":  func(n int) string { return strings.Repeat("(", n) + "SELECT 1" + strings.Repeat(") UNION SELECT 1", n) },
	"from":         func(n int) string { return strings.Repeat("SELECT * FROM (", n) },
	"from (":       func(n int) string { return "SELECT * FROM " + strings.Repeat("(", n) },
	"join":         func(n int) string { return "SELECT * FROM a" + strings.Repeat(" CROSS JOIN b", n) },
	"join right": func(n int) string {
		return "SELECT * FROM a" + strings.Repeat(" JOIN b", n) + strings.Repeat(" ON c", n)
	},
	"join (":      func(n int) string { return "SELECT * FROM " + strings.Repeat("(a JOIN ", n) },
	"lateral":     func(n int) string { return "SELECT * FROM " + strings.Repeat("LATERAL (SELECT * FROM ", n) },
	"with":        func(n int) string { return strings.Repeat("WITH a AS (", n) },
	"with select": func(n int) string { return "SELECT " + strings.Repeat("(WITH a AS (SELECT ", n) },
	"grouping":    func(n int) string { return "SELECT 1 GROUP BY " + strings.Repeat("GROUPING SETS (", n) },
	"over":        func(n int) string { return "SELECT " + strings.Repeat("f() OVER (ORDER BY ", n) },
	"filter":      func(n int) string { return "SELECT " + strings.Repeat("f() FILTER (WHERE ", n) },
	"type":        func(n int) string { return "SELECT " + strings.Repeat("a::t(", n) },
	"explain":     func(n int) string { return strings.Repeat("EXPLAIN ", n) + "SELECT 1" },
	"prepare":     func(n int) string { return strings.Repeat("PREPARE a AS ", n) + "SELECT 1" },
	"function":    func(n int) string { return strings.Repeat("CREATE FUNCTION f() BEGIN ATOMIC ", n) },
	"schema":      func(n int) string { return strings.Repeat("CREATE SCHEMA a ", n) },
	"subscribe":   func(n int) string { return "SUBSCRIBE " + strings.Repeat("(", n) },
	"copy":        func(n int) string { return strings.Repeat("COPY (", n) },
	"option":      func(n int) string { return "CREATE VIEW v WITH (a = " + strings.Repeat("(", n) },
	"pattern":     func(n int) string { return "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (" + strings.Repeat("(", n) },
	"pattern {-":  func(n int) string { return "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (" + strings.Repeat("{-", n) },
	"pattern *": func(n int) string {
		return "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (" + strings.Repeat("PERMUTE(", n)
	},
	"match":           func(n int) string { return "SELECT * FROM t" + strings.Repeat(" MATCH_RECOGNIZE (PATTERN (A))", n) },
	"window":          func(n int) string { return "SELECT * FROM " + strings.Repeat("TUMBLE((SELECT * FROM ", n) },
	"lateral lateral": func(n int) string { return "SELECT * FROM " + strings.Repeat("LATERAL ", n) },
}

// TestDeepInput feeds 100,000 levels: each must be refused cleanly, quickly and with the right code, whatever the way of nesting.
func TestDeepInput(t *testing.T) {
	for name, build := range deepTexts {
		text := build(100_000)
		_, err := Parse(text, Options{MaxStatementBytes: 64 << 20})
		var e *Error
		if !errors.As(err, &e) || e.Code != "54001" && e.Code != "42601" {
			t.Errorf("%s: error %v", name, err)
		}
		if e != nil && e.Code == "42601" && e.Pos > 2000 {
			t.Errorf("%s: read to offset %d before it was refused with %v", name, e.Pos, e)
		}
	}
}

// TestFlatInput has as many elements as TestDeepInput has levels, but side by side.
func TestFlatInput(t *testing.T) {
	const n = 100_000
	for name, text := range map[string]string{
		"and":     "SELECT a" + strings.Repeat(" AND a", n),
		"or":      "SELECT a" + strings.Repeat(" OR a", n),
		"in":      "SELECT a IN (1" + strings.Repeat(",1", n) + ")",
		"values":  "INSERT INTO t VALUES (1)" + strings.Repeat(",(1)", n),
		"items":   "SELECT 1" + strings.Repeat(",a+1", n),
		"many":    strings.Repeat("SELECT 1;", n),
		"when":    "SELECT CASE" + strings.Repeat(" WHEN a THEN b", n) + " END",
		"comment": strings.Repeat("/*", n) + strings.Repeat("*/", n) + "SELECT 1",
		"string":  "SELECT 'a'" + strings.Repeat("\n'a'", n),
		"args":    "SELECT f(1" + strings.Repeat(",(1+1)", n) + ")",
	} {
		if _, err := Parse(text, Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTreeHeight: what passes the limit is never higher than the limit, so a reader of trees may recurse.
func TestTreeHeight(t *testing.T) {
	const depth = 50
	for name, build := range deepTexts {
		for n := 1; n < 2*depth; n++ {
			l, err := Parse(build(n), Options{MaxDepth: depth})
			if err != nil {
				continue
			}
			for _, s := range l {
				if q, ok := s.(*Query); ok {
					if sel, ok := q.Body.(*Select); ok && len(sel.Items) == 1 {
						if h := height(sel.Items[0].X); h > depth {
							t.Fatalf("%s %d: a tree of height %d", name, n, h)
						}
					}
				}
			}
		}
	}
}

func height(x Expr) int {
	h := 0
	for _, c := range Children(x) {
		h = max(h, height(c))
	}
	return h + 1
}

func TestLimits(t *testing.T) {
	wantError(t, "SELECT 1", Options{MaxStatementBytes: 7}, "54000", "statement is too long: 8 bytes, at most 7 are allowed", 0)
	wantError(t, "SELECT 1, 2", Options{MaxTokens: 3}, "54000", "statement is too complex: more than 3 tokens", 10)
	wantError(t, "SELECT ((1))", Options{MaxDepth: 5}, "54001", "stack depth limit exceeded", -1)
	if _, err := Parse("SELECT ((1))", Options{MaxDepth: 12}); err != nil {
		t.Error(err)
	}
}
