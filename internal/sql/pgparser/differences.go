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
	{true, regexp.MustCompile(`(?i)^ALTER DATABASE`), "ALTER DATABASE has no options here"},
}
