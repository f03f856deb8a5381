package format

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// CSVReader cuts CSV into records and fields, as RFC 4180 and PostgreSQL's COPY
// read it: a field may be quoted, a quote inside is doubled, and a quoted field
// may hold line ends. It tells quoted from unquoted fields, because an unquoted
// empty field is NULL and a quoted one is the empty string.
type CSVReader struct {
	Delimiter byte // zero means a comma
	Quote     byte // zero means a double quote
	Escape    byte // zero means Quote
	fields    []Field
	text      []byte
	open      bool // the last record ended where the data did, without a line end
}

// Field is one field of a CSV record; Text is valid until the next record.
type Field struct {
	Text   []byte
	Quoted bool
}

var errUnterminated = errors.New("unterminated quoted field")

// Next reads the record that begins at data[pos]: its fields and where the next
// one begins. After an error, next is the start of the line after the one that
// the record began on.
func (r *CSVReader) Next(data []byte, pos int) (fields []Field, next int, err error) {
	delim, quote, escape := r.Delimiter, r.Quote, r.Escape
	if delim == 0 {
		delim = ','
	}
	if quote == 0 {
		quote = '"'
	}
	if escape == 0 {
		escape = quote
	}
	r.fields, r.text, r.open = r.fields[:0], r.text[:0], false
	start := pos
	for {
		f, end, err := r.field(data, pos, delim, quote, escape)
		if err != nil {
			return nil, lineEnd(data, start), fmt.Errorf("field %d: %w", len(r.fields)+1, err)
		}
		r.fields = append(r.fields, f)
		switch {
		case end == len(data):
			r.open = true
			return r.fields, end, nil
		case data[end] == delim:
			pos = end + 1
		case data[end] == '\r' && end+1 < len(data) && data[end+1] == '\n':
			return r.fields, end + 2, nil
		default:
			return r.fields, end + 1, nil
		}
	}
}

// field reads one field at pos and returns the place of what ended it.
func (r *CSVReader) field(data []byte, pos int, delim, quote, escape byte) (Field, int, error) {
	if pos == len(data) || data[pos] != quote {
		for end, c := range data[pos:] {
			switch c {
			case delim, '\n', '\r':
				return Field{Text: data[pos : pos+end]}, pos + end, nil
			case quote:
				return Field{}, 0, errors.New("quote inside an unquoted field")
			}
		}
		return Field{Text: data[pos:]}, len(data), nil
	}
	from := len(r.text)
	// Most quoted fields have no quote inside and need no copy.
	n := bytes.IndexByte(data[pos+1:], quote)
	if n < 0 {
		return Field{}, 0, errUnterminated
	}
	if p := pos + 1 + n + 1; escape == quote {
		if p == len(data) || data[p] == delim || data[p] == '\n' || data[p] == '\r' {
			return Field{Text: data[pos+1 : p-1], Quoted: true}, p, nil
		}
	}
	for p := pos + 1; p < len(data); p++ {
		c := data[p]
		if c == escape && p+1 < len(data) && (data[p+1] == quote || data[p+1] == escape) {
			p++
			r.text = append(r.text, data[p])
			continue
		}
		if c != quote {
			r.text = append(r.text, c)
			continue
		}
		p++
		if p < len(data) && data[p] != delim && data[p] != '\n' && data[p] != '\r' {
			return Field{}, 0, fmt.Errorf("%q after a quoted field", rune(data[p]))
		}
		return Field{Text: r.text[from:len(r.text):len(r.text)], Quoted: true}, p, nil
	}
	return Field{}, 0, errUnterminated
}

// lineEnd returns where the line after the one at pos begins.
func lineEnd(data []byte, pos int) int {
	if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(data)
}

// CSV decodes comma-separated records. With a header (the default), fields are
// matched to columns by the names in the first record, or by name but for letter
// case if there is no exact match; fields of unknown names are skipped and columns
// that the header lacks are NULL. A record that names no column is no header, and
// bad.
type CSV struct {
	cols   []Column
	rd     CSVReader
	header []string
	width  int // fields of a record
	// field[i] is the index of column i's field in a record, or -1; nil before the header.
	field []int
}

// NewCSV returns a decoder of rows with the given columns.
func NewCSV(cols []Column, opt Options) *CSV {
	d := &CSV{cols: cols, rd: CSVReader{Delimiter: opt.Delimiter}}
	if opt.NoHeader {
		d.field = make([]int, len(cols))
		for i, c := range cols {
			d.field[i] = d.width
			if c.Skip {
				d.field[i] = -1
			} else {
				d.width++
			}
		}
	}
	return d
}

// Header returns the names in the header, nil before it is read.
func (d *CSV) Header() []string { return d.header }

// SetHeader gives the header of an input that is read from the middle. It reports
// whether it names at least one column.
func (d *CSV) SetHeader(header []string) bool {
	find := newNames(d.cols)
	field := make([]int, len(d.cols))
	for i := range field {
		field[i] = -1
	}
	exact := make([]bool, len(d.cols))
	found := false
	for k, name := range header {
		col, same := find.find([]byte(name))
		if col >= 0 && (same || !exact[col]) {
			field[col], exact[col], found = k, same, true
		}
	}
	if found {
		d.header, d.field, d.width = header, field, len(header)
	}
	return found
}

// Decode implements Decoder.
func (d *CSV) Decode(data []byte, bu *batch.Builder, bad func(Bad)) {
	d.DecodePart(data, true, math.MaxInt, bu, bad)
}

// DecodePart implements Decoder. A record may span lines.
func (d *CSV) DecodePart(data []byte, last bool, max int, bu *batch.Builder, bad func(Bad)) int {
	pos := 0
	for n := 0; n < max && pos < len(data); {
		if (data[pos] == '\n' || data[pos] == '\r') && d.width != 1 {
			pos++ // of one field, an empty line is a record: NULL
			continue
		}
		fields, next, err := d.rd.Next(data, pos)
		if !last && len(data)-pos <= MaxRecordBytes &&
			(d.rd.open || errors.Is(err, errUnterminated) || err != nil && data[next-1] != '\n' || next == len(data) && data[next-1] == '\r') {
			return pos
		}
		n++
		switch {
		case err != nil:
		case next-pos > MaxRecordBytes:
			err = errTooLong(next - pos)
		default:
			err = d.record(fields, bu)
		}
		if err != nil {
			bad(Bad{Off: pos, Data: bytes.TrimRight(data[pos:next], "\r\n"), Reason: err.Error()})
		}
		pos = next
	}
	return pos
}

func (d *CSV) record(fields []Field, bu *batch.Builder) error {
	if d.field == nil {
		header := make([]string, len(fields))
		for i, f := range fields {
			header[i] = string(bytes.TrimSpace(f.Text))
		}
		if !d.SetHeader(header) {
			return errors.New("the header names none of the columns")
		}
		return nil
	}
	if len(fields) != d.width {
		return fmt.Errorf("record of %d fields, want %d", len(fields), d.width)
	}
	n := bu.Len()
	for i := range d.cols {
		if err := d.convert(&d.cols[i], d.field[i], fields, bu.Col(i), n); err != nil {
			undo(bu, i)
			return fmt.Errorf("column %q: %w", d.cols[i].Name, err)
		}
	}
	bu.EndRow(1)
	return nil
}

// convert appends field at, or NULL if that is -1, as row n of c.
func (d *CSV) convert(col *Column, at int, fields []Field, c *batch.Column, n int) error {
	if at < 0 || len(fields[at].Text) == 0 && !fields[at].Quoted {
		if col.NotNull && !col.Skip {
			return errNull
		}
		c.AppendNull(n)
		return nil
	}
	text := fields[at].Text
	if !utf8.Valid(text) {
		return errors.New("invalid UTF-8")
	}
	if col.Type.Layout() == types.LayoutStr && bytes.IndexByte(text, 0) >= 0 {
		return errors.New("NUL byte in text")
	}
	return appendText(c, n, col.Type, text, false)
}
