package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/types"
)

// question is one view of the demo: what it asks, while the replay runs and at the end.
type question struct {
	name  string
	title string
	ended string // the title at the end, if it is another
	live  string // what the screen shows while rows arrive
	final string // the whole answer, in a fixed order
	brief string // the final answer in text, cut to what fits a screen
}

var questions = []question{
	{
		name: "delay_by_origin", title: "Delay by origin over the last six hours (minutes)",
		ended: "The worst six hours of an airport, with at least ten flights (minutes)",
		live: `SELECT origin, flights, avg_delay, worst_delay, window_start FROM delay_by_origin
			WHERE window_start = (SELECT max(window_start) - INTERVAL '5 hours' FROM delay_by_origin)
			ORDER BY flights DESC, origin LIMIT 8`,
		final: `SELECT * FROM delay_by_origin ORDER BY window_start, origin`,
		brief: `SELECT origin, window_start, flights, avg_delay, worst_delay FROM delay_by_origin
			WHERE flights >= 10 ORDER BY avg_delay DESC, window_start, origin LIMIT 8`,
	},
	{
		name: "worst_routes", title: "The ten worst routes (at least ten flights)",
		live:  `SELECT * FROM worst_routes ORDER BY avg_delay DESC, origin, destination`,
		final: `SELECT * FROM worst_routes ORDER BY avg_delay DESC, origin, destination`,
		brief: `SELECT * FROM worst_routes ORDER BY avg_delay DESC, origin, destination`,
	},
	{
		name: "on_time", title: "On time by airport, the busiest first (percent)",
		live:  `SELECT * FROM on_time ORDER BY flights DESC, origin LIMIT 8`,
		final: `SELECT * FROM on_time ORDER BY origin`,
		brief: `SELECT * FROM on_time ORDER BY flights DESC, origin LIMIT 8`,
	},
}

// table is the result of a query in text form.
type table struct {
	names []string
	oids  []uint32
	rows  [][]string // a NULL is an empty string
}

// query runs one statement.
func (d *demo) query(ctx context.Context, sql string) (table, error) {
	res := d.conn.ExecParams(ctx, sql, nil, nil, nil, nil)
	var t table
	for _, f := range res.FieldDescriptions() {
		t.names = append(t.names, f.Name)
		t.oids = append(t.oids, f.DataTypeOID)
	}
	for res.NextRow() {
		row := make([]string, len(res.Values()))
		for i, v := range res.Values() {
			row[i] = string(v)
		}
		t.rows = append(t.rows, row)
	}
	if _, err := res.Close(); err != nil {
		return t, fmt.Errorf("%s: %w", strings.Join(strings.Fields(sql), " "), err)
	}
	return t, nil
}

// progress is the line that says how far the replay is.
func (d *demo) progress() string {
	const width = 30
	done := width * d.sent / len(d.fs)
	at := d.fs[max(0, d.sent-1)].at
	return fmt.Sprintf("[%s%s] %6d of %d flights   %s   %.1f s", strings.Repeat("#", done), strings.Repeat(".", width-done),
		d.sent, len(d.fs), at.Format("2006-01-02 15:04"), time.Since(d.started).Seconds())
}

// show prints every question's answer: over the old screen while the replay runs
// on a terminal, below what was printed otherwise.
func (d *demo) show(ctx context.Context, final bool) error {
	var b bytes.Buffer
	if d.screen {
		b.WriteString("\x1b[H\x1b[2J")
		fmt.Fprintf(&b, "Tidemill demo: US flights, January to March 2001.  %s\n", psqlLine(d.pg))
	}
	fmt.Fprintf(&b, "%s\n", d.progress())
	for _, q := range questions {
		sql, title := q.live, q.title
		if final {
			sql, title = q.brief, cmp.Or(q.ended, q.title)
		}
		t, err := d.query(ctx, sql)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n%s\n", title)
		t.print(&b)
	}
	_, err := d.out.Write(b.Bytes())
	return err
}

// print writes aligned columns.
func (t table) print(b *bytes.Buffer) {
	width := make([]int, len(t.names))
	for i, n := range t.names {
		width[i] = utf8.RuneCountInString(n)
		for _, r := range t.rows {
			width[i] = max(width[i], utf8.RuneCountInString(r[i]))
		}
	}
	line := func(cells []string) {
		for i, c := range cells {
			fill := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if t.isNumber(i) {
				fmt.Fprintf(b, "  %s%s", fill, c)
			} else {
				fmt.Fprintf(b, "  %s%s", c, fill)
			}
		}
		b.WriteByte('\n')
	}
	line(t.names)
	for _, r := range t.rows {
		line(r)
	}
}

func (t table) isNumber(i int) bool {
	typ, ok := types.FromOID(t.oids[i])
	return ok && types.IsNumeric(typ.Kind)
}

// finalJSON prints the final answers as one JSON document.
func (d *demo) finalJSON(ctx context.Context) error {
	doc := map[string]any{"flights": d.sent}
	for _, q := range questions {
		t, err := d.query(ctx, q.final)
		if err != nil {
			return err
		}
		rows := make([]map[string]any, 0, len(t.rows))
		for _, r := range t.rows {
			row := map[string]any{}
			for i, v := range r {
				row[t.names[i]] = v
				if t.isNumber(i) {
					row[t.names[i]] = json.Number(v)
				}
			}
			rows = append(rows, row)
		}
		doc[q.name] = rows
	}
	return json.NewEncoder(d.out).Encode(doc)
}
