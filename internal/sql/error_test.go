package sql

import "testing"

// TestErrors holds the wording and the place of errors against PostgreSQL 15's.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		text, code, message string
		pos                 int
	}{
		{"SELEC 1", "42601", `syntax error at or near "SELEC"`, 0},
		{"SELECT 1 1", "42601", `syntax error at or near "1"`, 9},
		{"SELECT", "", "", 0},
		{"SELECT (", "42601", "syntax error at end of input", 8},
		{"SELECT * FROM", "42601", "syntax error at end of input", 13},
		{"SELECT 'abc", "42601", `unterminated quoted string at or near "'abc"`, 7},
		{`SELECT "abc`, "42601", `unterminated quoted identifier at or near ""abc"`, 7},
		{`SELECT ""`, "42601", `zero-length delimited identifier at or near """"`, 7},
		{"SELECT $$abc", "42601", `unterminated dollar-quoted string at or near "$$abc"`, 7},
		{"SELECT /* x", "42601", `unterminated /* comment at or near "/* x"`, 7},
		{"SELECT 1a", "42601", `trailing junk after numeric literal at or near "1a"`, 7},
		{"SELECT 0x1F", "42601", `trailing junk after numeric literal at or near "0x"`, 7},
		{"SELECT 1_000", "42601", `trailing junk after numeric literal at or near "1_"`, 7},
		{"SELECT 1.5e", "42601", `trailing junk after numeric literal at or near "1.5e"`, 7},
		{"SELECT 1e+", "42601", `trailing junk after numeric literal at or near "1e+"`, 7},
		{"SELECT $1a", "42601", `trailing junk after parameter at or near "$1a"`, 7},
		{"SELECT B'01", "42601", `unterminated bit string literal at or near "B'01"`, 7},
		{"SELECT X'0", "42601", `unterminated hexadecimal string literal at or near "X'0"`, 7},
		{`SELECT E'\u12'`, "22025", "invalid Unicode escape", 9},
		{`SELECT E'\ud800x'`, "42601", `invalid Unicode surrogate pair at or near "x"`, 15},
		{`SELECT E'\xff'`, "22021", `invalid byte sequence for encoding "UTF8": 0xff`, 7},
		{"SELECT 1 = 2 = 3", "42601", `syntax error at or near "="`, 13},
		{"SELECT 1 < 2 > 3", "42601", `syntax error at or near ">"`, 13},
		{"SELECT a LIKE b LIKE c", "42601", `syntax error at or near "LIKE"`, 16},
		{"SELECT a BETWEEN 1 AND 2 BETWEEN 3 AND 4", "42601", `syntax error at or near "BETWEEN"`, 25},
		{"SELECT a IS DISTINCT FROM b IS NULL", "42601", `syntax error at or near "IS"`, 28},
		{"SELECT f(x)[1]", "42601", `syntax error at or near "["`, 11},
		{"SELECT * FROM (SELECT 1)", "42601", "subquery in FROM must have an alias", 14},
		{"SELECT * FROM (VALUES (1))", "42601", "VALUES in FROM must have an alias", 14},
		{"SELECT * FROM (a)", "42601", `syntax error at or near ")"`, 16},
		{"SELECT 1 LIMIT 1, 2", "42601", `LIMIT #,# syntax is not supported at or near ","`, 16},
		{"SELECT 1 FETCH FIRST 1 ROW WITH TIES", "42601", "WITH TIES cannot be specified without ORDER BY clause", 9},
		{"(SELECT 1 LIMIT 1) LIMIT 2", "42601", "multiple LIMIT clauses not allowed", 19},
		{"(SELECT 1 ORDER BY 1) ORDER BY 2", "42601", "multiple ORDER BY clauses not allowed", 22},
		{"CREATE TABLE t (a int DEFAULT 1 IN (2))", "42601", `syntax error at or near "IN"`, 32},
		{"CREATE TABLE t (a float(60))", "22023", "precision for type float must be less than 54 bits", 24},
		{"INSERT INTO t (a VALUES (1)", "42601", `syntax error at or near "VALUES"`, 17},
		{"SELECT a FROM t WHERE", "42601", "syntax error at end of input", 21},
		{"DROP TABLE", "42601", "syntax error at end of input", 10},
		{"SELECT 1; SELEC 2", "42601", `syntax error at or near "SELEC"`, 10},
		{`"select" 1`, "42601", `syntax error at or near ""select""`, 0},
		{"SELECT a\x00", "22021", `invalid byte sequence for encoding "UTF8": 0x00`, 8},
		{"SELECT '\xff'", "22021", `invalid byte sequence for encoding "UTF8": 0xff`, 8},
		{"SELECT count(*) OVER (ROWS UNBOUNDED FOLLOWING)", "42P20", "frame start cannot be UNBOUNDED FOLLOWING", 27},
		{"SELECT XMLCONCAT(a)", "0A000", "XML functions are not supported", 7},
		{"SELECT * FROM t TABLESAMPLE SYSTEM (1)", "0A000", "TABLESAMPLE clauses are not supported", 16},
		{"SELECT * FROM HOP(b, at, INTERVAL '1')", "42601", "HOP needs a table, a time column and a slide and a size", 37},
		{"SELECT * FROM HOP(1, at, INTERVAL '1', INTERVAL '2')", "42601", `the first argument of HOP must be a table at or near "1"`, 18},
		{"SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A{3,2}))", "42601", "bounds of a pattern quantifier must be in order and not zero", 44},
	} {
		if c.code == "" {
			if _, err := Parse(c.text, Options{}); err != nil {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		wantError(t, c.text, Options{}, c.code, c.message, c.pos)
	}
}

func TestCharPos(t *testing.T) {
	text := "SELECT 'äöü' 1"
	_, err := Parse(text, Options{})
	if e, ok := err.(*Error); !ok || CharPos(text, e.Pos) != 14 {
		t.Errorf("%v", err)
	}
}
