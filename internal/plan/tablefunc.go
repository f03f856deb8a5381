package plan

import "github.com/tidemill/tidemill/internal/sql"

// tableFuncs are functions in FROM of several columns, each a query in which NULL
// stands for the one argument.
var tableFuncs = map[string]string{
	"pg_options_to_table": `SELECT split_part(o, '=', 1) AS option_name, substr(o, strpos(o, '=') + 1) AS option_value
		FROM unnest(NULL) AS u(o)`,
}

// tableFunc returns the subquery that t stands for, if its function is one of
// tableFuncs.
func tableFunc(t *sql.FuncTable) (*sql.SubqueryTable, bool) {
	call, ok := t.Funcs[0].Call.(*sql.FuncCall)
	if !ok || len(t.Funcs) > 1 || len(call.Args) != 1 {
		return nil, false
	}
	text, ok := tableFuncs[call.Name.Last()]
	if !ok || call.Name.Schema() != "" && call.Name.Schema() != "pg_catalog" {
		return nil, false
	}
	q := parseQuery(text, "function "+call.Name.Last())
	unnest := q.Body.(*sql.Select).From[0].(*sql.FuncTable).Funcs[0].Call.(*sql.FuncCall)
	unnest.Args[0] = call.Args[0]
	alias := t.Alias
	if alias == nil {
		alias = &sql.Alias{At: t.At, Name: sql.Ident{At: t.At, Text: call.Name.Last()}}
	}
	return &sql.SubqueryTable{At: t.At, Lateral: true, Query: q, Alias: alias}, true
}
