package shell

import (
	"context"
	"sort"
	"strings"
	"time"
)

// completionTimeout bounds the query for names behind a Tab.
const completionTimeout = 500 * time.Millisecond

// completer knows the words that can be completed. Names are asked for again after
// every statement.
type completer struct {
	shell *Shell
	names []string
	stale bool
	asked bool
}

// complete returns the keywords and names that the last word of line may become,
// in lower or upper case as the word is typed.
func (c *completer) complete(ctx context.Context, line string) []string {
	if c.stale || !c.asked {
		c.refresh(ctx)
	}
	word := line[strings.LastIndexAny(line, " \t\n(,.;=<>+-*/")+1:]
	upper := word != "" && word == strings.ToUpper(word)
	var out []string
	for _, k := range keywords {
		if upper {
			k = strings.ToUpper(k)
		}
		if strings.HasPrefix(k, word) {
			out = append(out, k)
		}
	}
	for _, n := range c.names {
		quoted := `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
		switch {
		case strings.HasPrefix(word, `"`), !plainName(n):
			if strings.HasPrefix(quoted, word) || strings.HasPrefix(n, word) {
				out = append(out, quoted)
			}
		case strings.HasPrefix(n, strings.ToLower(word)):
			out = append(out, n)
		}
	}
	return out
}

// plainName reports whether a name means itself without quotes. Keywords that are
// reserved are not looked at: who names a column select knows it.
func plainName(n string) bool {
	for i := range len(n) {
		digit := n[i] >= '0' && n[i] <= '9'
		if n[i] != '_' && (n[i] < 'a' || n[i] > 'z') && (!digit || i == 0) {
			return false
		}
	}
	return n != ""
}

// refresh asks the server for the names of relations and their columns. When it
// does not answer in time, the old ones stay.
func (c *completer) refresh(ctx context.Context) {
	c.stale, c.asked = false, true
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	res := c.shell.conn.ExecParams(ctx, `SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = 2200 AND relkind <> 'i'
 UNION SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid >= 16384 AND attnum > 0`, nil, nil, nil, nil)
	var names []string
	for res.NextRow() {
		names = append(names, string(res.Values()[0]))
	}
	if _, err := res.Close(); err == nil {
		sort.Strings(names)
		c.names = names
	}
}

// keywords are the words people type; not every word of the grammar.
var keywords = strings.Fields(`select from where group by having order limit offset with as distinct union all
 intersect except join left right full inner outer cross on using and or not null is in exists between like case when
 then else end insert into values update set delete returning create drop table source sink view materialized index
 primary key default check references explain analyze subscribe show sources tables views sinks indexes columns
 begin commit rollback copy stdin stdout csv header flush tumble hop interval timestamp date time boolean smallint
 integer bigint real double precision numeric text varchar count sum avg min max coalesce cast extract generate_series
 if cascade restrict watermark format plain encode json emit window close`)
