package plan

import "github.com/tidemill/tidemill/internal/sql"

// catalogFuncs are functions without arguments in FROM that clients look things up
// with, each a query.
var catalogFuncs = map[string]string{
	"pg_timezone_names":     "SELECT name, abbrev, utc_offset, is_dst FROM pg_catalog.pg_timezone_names",
	"pg_listening_channels": "SELECT ''::text AS pg_listening_channels WHERE false",
}

// tableFuncs are functions in FROM of several columns, each a query in which NULL
// stands for the one argument.
var tableFuncs = map[string]string{
	"pg_options_to_table": `SELECT split_part(o, '=', 1) AS option_name, substr(o, strpos(o, '=') + 1) AS option_value
		FROM unnest(NULL) AS u(o)`,
}

// tableFunc returns the subquery that t stands for, if its function is one of
// tableFuncs or catalogFuncs.
func tableFunc(t *sql.FuncTable) (*sql.SubqueryTable, bool) {
	call, ok := t.Funcs[0].Call.(*sql.FuncCall)
	if !ok || len(t.Funcs) > 1 || len(call.Args) > 1 {
		return nil, false
	}
	funcs := tableFuncs
	if len(call.Args) == 0 {
		funcs = catalogFuncs
	}
	text, ok := funcs[call.Name.Last()]
	if !ok || call.Name.Schema() != "" && call.Name.Schema() != "pg_catalog" {
		return nil, false
	}
	q := parseQuery(text, "function "+call.Name.Last())
	body := q.Body.(*sql.Select)
	if len(call.Args) == 1 {
		unnest := body.From[0].(*sql.FuncTable).Funcs[0].Call.(*sql.FuncCall)
		unnest.Args[0] = call.Args[0]
	}
	alias := t.Alias
	switch {
	case alias == nil:
		alias = &sql.Alias{At: t.At, Name: sql.Ident{At: t.At, Text: call.Name.Last()}}
	case len(body.Items) == 1 && len(alias.Columns) == 0: // the alias names the column, too
		both := *alias
		both.Columns = []sql.Ident{alias.Name}
		alias = &both
	}
	return &sql.SubqueryTable{At: t.At, Lateral: true, Query: q, Alias: alias}, true
}
