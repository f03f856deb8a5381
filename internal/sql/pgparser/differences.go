package pgparser

import "regexp"

// difference is a construct that one of the parsers reads and the other does not, on purpose.
type difference struct {
	pgAccepts bool // PostgreSQL reads it and we do not; otherwise the other way round
	pattern   *regexp.Regexp
	why       string
}

// differences lists what is meant to differ.
var differences = []difference{
	{false, regexp.MustCompile(`(?i)^\s*EXPLAIN\b.*\bCREATE\b`), "EXPLAIN CREATE INDEX | SINK shows a circuit"},
	{true, regexp.MustCompile(`[\w")] \$\d`), "pg_query_go's own extension: a parameter where a constant was, as in INTERVAL $1"},
	{false, regexp.MustCompile(`(?i)^CREATE .*TABLE|^ALTER TABLE`), "computed columns: name type AS expression"},
	{true, regexp.MustCompile(`(?i)\b(WITH|SET)\b.*\(.*=\s*[^\w'"(]`), "operators as the values of storage options"},
	{true, regexp.MustCompile(`(?i)\bDEFERRABLE\b|\bINITIALLY\b`), "clauses given twice, which PostgreSQL refuses after parsing"},
	{true, regexp.MustCompile(`(?i)^(DROP|COMMENT ON) (DOMAIN|TYPE)`), "any type where only a name makes sense"},
	{false, regexp.MustCompile(`(?i)^(DROP|COMMENT ON) (DOMAIN|TYPE)`), "any name, where PostgreSQL wants a type"},
	{true, regexp.MustCompile(`(?i)\bINSERT INTO\b.*\. \*`), "a star in a column's path, which PostgreSQL refuses after parsing"},
	{false, regexp.MustCompile(`(?i)^CREATE (source|sink)\b`), "statements of ours"},
	{true, regexp.MustCompile(`(?i)^ALTER DATABASE`), "ALTER DATABASE has no options here"},
}
