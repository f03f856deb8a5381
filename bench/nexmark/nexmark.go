// Package nexmark holds the Nexmark suite: its queries in Tidemill's SQL, the same
// questions to PostgreSQL, and what runs them over generated events in this process:
// generator, circuits and their workers, without a log, a network or a disk.
package nexmark

import (
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

//go:embed queries/*.sql postgres/*.sql
var files embed.FS

// Queries returns the names of all queries, in the order of their numbers.
func Queries() []string {
	entries, err := files.ReadDir("queries")
	if err != nil {
		panic(err) // they are embedded
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".sql"))
	}
	slices.SortFunc(names, func(a, b string) int {
		ka, na, ra := split(a)
		kb, nb, rb := split(b)
		switch {
		case ka != kb: // q before pattern
			return strings.Compare(kb, ka)
		case na != nb:
			return na - nb
		}
		return strings.Compare(ra, rb)
	})
	return names
}

// split cuts "q5-rank" into "q", 5 and "-rank".
func split(name string) (kind string, n int, rest string) {
	i := strings.IndexAny(name, "0123456789")
	k := i
	for k < len(name) && name[k] >= '0' && name[k] <= '9' {
		k++
	}
	n, _ = strconv.Atoi(name[i:k])
	return name[:i], n, name[k:]
}

// SQL returns the statements of a query. The last one makes the materialized view
// that is its answer.
func SQL(query string) (string, error) {
	b, err := files.ReadFile("queries/" + query + ".sql")
	if err != nil {
		return "", fmt.Errorf("there is no query %q: they are %s", query, strings.Join(Queries(), ", "))
	}
	return string(b), nil
}

// PostgresSQL returns what gives PostgreSQL's answer to a query over tables of the
// same names. Variants that only say when answers come have their query's.
func PostgresSQL(query string) (string, error) {
	variant := strings.TrimSuffix(query, "-close")
	for _, name := range []string{query, variant, strings.TrimSuffix(variant, "-rank")} {
		if b, err := files.ReadFile("postgres/" + name + ".sql"); err == nil {
			return string(b), nil
		}
	}
	return "", fmt.Errorf("there is no PostgreSQL form of query %q", query)
}

// PostgresFunctions returns statements that make the functions that those of
// PostgresSQL call.
func PostgresFunctions() string {
	b, err := files.ReadFile("postgres/functions.sql")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(b)
}

// once reports whether a query gives each row once, when the watermark says so: the
// last rows come when its streams end.
func once(query string) bool {
	return strings.HasSuffix(query, "-close") || strings.HasPrefix(query, "pattern")
}

// LatenessMicros is how much earlier than the latest event so far an event may be:
// the suite's WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds'.
const LatenessMicros = 4_000_000

// Table is a stream that queries read.
type Table struct {
	Name string
	Kind string // nexmark.table.type
	// Columns are all there are, in order.
	Columns []connector.Column
}

const timeColumn, procColumn = "date_time", "p_time"

var tables = []Table{
	{"person", "person", columns("id bigint, name varchar, email_address varchar, credit_card varchar, city varchar, state varchar, date_time timestamp, extra varchar")},
	{"auction", "auction", columns("id bigint, item_name varchar, description varchar, initial_bid bigint, reserve bigint, date_time timestamp, expires timestamp, seller bigint, category bigint, extra varchar")},
	{"bid", "bid", columns(bidColumns)},
	// p_time is PROCTIME() as a generated column: when the event came.
	{"bid_proctime", "bid", columns(bidColumns + ", p_time timestamptz")},
}

const bidColumns = "auction bigint, bidder bigint, price bigint, channel varchar, url varchar, date_time timestamp, extra varchar"

func columns(list string) []connector.Column {
	kinds := map[string]types.Kind{"bigint": types.Int8, "varchar": types.Varchar, "timestamp": types.Timestamp, "timestamptz": types.TimestampTZ}
	var out []connector.Column
	for _, c := range strings.Split(list, ", ") {
		name, kind, _ := strings.Cut(c, " ")
		out = append(out, connector.Column{Name: name, Type: types.T(kinds[kind])})
	}
	return out
}

// create returns the statement that makes the stream with the columns that keep has.
func (t *Table) create(keep func(column string) bool) string {
	var cols []string
	for _, c := range t.Columns {
		if keep(c.Name) {
			cols = append(cols, c.Name+" "+c.Type.String())
		}
	}
	return fmt.Sprintf("CREATE SOURCE %s (%s, WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds') WITH (connector = 'nexmark', nexmark.table.type = '%s')",
		t.Name, strings.Join(cols, ", "), t.Kind)
}
