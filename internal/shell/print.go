package shell

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/types"
)

// The rows of an endless result (SUBSCRIBE) are printed when none came for a while,
// and of a long one when there are many.
const (
	printEvery = 50 * time.Millisecond
	printRows  = 1000
)

// print writes one result.
func (s *Shell) print(r *pgconn.ResultReader) error {
	fields := r.FieldDescriptions()
	w := bufio.NewWriter(s.cfg.Out)
	defer func() { _ = w.Flush() }()
	if fields == nil {
		tag, err := r.Close()
		if err == nil && s.cfg.Format == Table && tag.String() != "" {
			fmt.Fprintln(w, tag)
		}
		return err
	}
	var p printer
	switch s.cfg.Format {
	case JSON:
		p = &jsonPrinter{w: w, fields: fields}
	case CSV:
		p = newCSVPrinter(w, fields)
	default:
		p = newTablePrinter(w, fields)
	}
	return s.stream(r, w, p)
}

// printer writes the rows of one result.
type printer interface {
	rows([][][]byte)
	end(count int)
}

// stream hands the rows of r to p as they come.
func (s *Shell) stream(r *pgconn.ResultReader, w *bufio.Writer, p printer) error {
	rows := make(chan [][]byte, printRows)
	done := make(chan error, 1)
	go func() {
		defer close(rows)
		for r.NextRow() {
			row := make([][]byte, 0, len(r.Values()))
			for _, v := range r.Values() {
				if v != nil {
					v = append([]byte{}, v...)
				}
				row = append(row, v)
			}
			rows <- row
		}
		_, err := r.Close()
		done <- err
	}()
	var block [][][]byte
	count := 0
	flush := func() {
		if len(block) > 0 {
			p.rows(block)
			count += len(block)
			block = block[:0]
			_ = w.Flush()
		}
	}
	idle := time.NewTimer(printEvery)
	defer idle.Stop()
	for {
		select {
		case row, ok := <-rows:
			if !ok {
				flush()
				err := <-done
				if err == nil {
					p.end(count)
				}
				return err
			}
			if block = append(block, row); len(block) == printRows {
				flush()
			}
			idle.Reset(printEvery)
		case <-idle.C:
			flush()
			idle.Reset(printEvery)
		}
	}
}

// numeric reports whether values of the field are right-aligned and plain in JSON.
func numeric(f pgconn.FieldDescription) bool {
	t, ok := types.FromOID(f.DataTypeOID)
	if !ok {
		return false
	}
	switch t.Kind {
	case types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric, types.Oid:
		return true
	}
	return false
}

// tablePrinter aligns columns. The widths follow the first rows; a later, wider
// value pushes its line out.
type tablePrinter struct {
	w      io.Writer
	fields []pgconn.FieldDescription
	width  []int
	head   bool
}

func newTablePrinter(w io.Writer, fields []pgconn.FieldDescription) *tablePrinter {
	p := &tablePrinter{w: w, fields: fields}
	for _, f := range fields {
		p.width = append(p.width, utf8.RuneCountInString(f.Name))
	}
	return p
}

func (p *tablePrinter) rows(block [][][]byte) {
	if !p.head {
		for _, row := range block {
			for i, v := range row {
				p.width[i] = max(p.width[i], utf8.RuneCount(v))
			}
		}
		p.header()
	}
	for _, row := range block {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = pad(string(v), p.width[i], numeric(p.fields[i]))
		}
		fmt.Fprintln(p.w, strings.TrimRight(" "+strings.Join(cells, " | "), " "))
	}
}

func (p *tablePrinter) header() {
	p.head = true
	names := make([]string, len(p.fields))
	rules := make([]string, len(p.fields))
	for i, f := range p.fields {
		left := (p.width[i] - utf8.RuneCountInString(f.Name)) / 2
		names[i] = pad(strings.Repeat(" ", left)+string(f.Name), p.width[i], false)
		rules[i] = strings.Repeat("-", p.width[i]+2)
	}
	fmt.Fprintln(p.w, strings.TrimRight(" "+strings.Join(names, " | "), " "))
	fmt.Fprintln(p.w, strings.Join(rules, "+"))
}

func pad(s string, width int, right bool) string {
	fill := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if right {
		return fill + s
	}
	return s + fill
}

func (p *tablePrinter) end(count int) {
	if !p.head {
		p.header()
	}
	if count == 1 {
		fmt.Fprint(p.w, "(1 row)\n\n")
		return
	}
	fmt.Fprintf(p.w, "(%d rows)\n\n", count)
}

type csvPrinter struct{ w *csv.Writer }

func newCSVPrinter(w io.Writer, fields []pgconn.FieldDescription) *csvPrinter {
	p := &csvPrinter{csv.NewWriter(w)}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = string(f.Name)
	}
	_ = p.w.Write(names)
	return p
}

func (p *csvPrinter) rows(block [][][]byte) {
	for _, row := range block {
		rec := make([]string, len(row))
		for i, v := range row {
			rec[i] = string(v)
		}
		_ = p.w.Write(rec)
	}
	p.w.Flush()
}

func (p *csvPrinter) end(int) { p.w.Flush() }

type jsonPrinter struct {
	w      io.Writer
	fields []pgconn.FieldDescription
}

func (p *jsonPrinter) rows(block [][][]byte) {
	for _, row := range block {
		line := []byte{'{'}
		for i, v := range row {
			if i > 0 {
				line = append(line, ',')
			}
			name, _ := json.Marshal(string(p.fields[i].Name))
			line = append(append(line, name...), ':')
			line = append(line, p.value(i, v)...)
		}
		_, _ = p.w.Write(append(line, '}', '\n'))
	}
}

// boolOid is boolean's object identifier.
const boolOid = 16

func (p *jsonPrinter) value(i int, v []byte) []byte {
	switch {
	case v == nil:
		return []byte("null")
	case p.fields[i].DataTypeOID == boolOid && string(v) == "t":
		return []byte("true")
	case p.fields[i].DataTypeOID == boolOid:
		return []byte("false")
	case numeric(p.fields[i]) && json.Valid(v):
		return v
	}
	text, _ := json.Marshal(string(v))
	return text
}

func (p *jsonPrinter) end(int) {}
