package format

import (
	"bytes"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// maxGuess bounds the members of a record whose columns are remembered.
const maxGuess = 1024

// maxGuessName bounds the names that are remembered.
const maxGuessName = 256

// JSON decodes newline-delimited JSON objects, or JSON arrays of objects. Members
// are matched to columns by name, or by name but for letter case if the record has
// no exact match; unknown ones are skipped, missing ones are NULL, and of repeated
// ones the last counts.
//
// A record is scanned once into the places of its members, then the values are
// converted column by column; a record in the same member order as the one
// before finds its columns without comparing more than one name each.
type JSON struct {
	cols  []Column
	opt   Options
	names names
	spans []span // of the record at hand, one a column
	// guess[k] is the k-th member of the last record.
	guess   []guess
	other   guess // a member that is not remembered
	scratch []byte
}

// guess is a member's name as it is written, and the column it belongs to, or -1.
type guess struct {
	name  string
	col   int
	exact bool
}

// noGuess is no member's: a quote in a name is escaped.
var noGuess = guess{name: `"`, col: -1}

// span is the place of a member's value in the record.
type span struct {
	num        int64 // the value of an integer
	start, end int32
	kind       kind
	exact      bool // the member's name is the column's to the letter
}

// kind is what a JSON value is.
type kind uint8

const (
	missing kind = iota
	null
	boolean
	number
	integer // a number without fraction and exponent that fits int64
	plain   // string without escapes, the quotes left out
	escaped // string with escapes, the quotes left out
	nested  // object or array
)

// NewJSON returns a decoder of rows with the given columns.
func NewJSON(cols []Column, opt Options) *JSON {
	if opt.EpochMicros == 0 {
		opt.EpochMicros = 1000
	}
	return &JSON{cols: cols, opt: opt, names: newNames(cols), spans: make([]span, len(cols))}
}

// Decode implements Decoder. Besides lines it takes arrays and objects that span
// several lines.
func (d *JSON) Decode(data []byte, bu *batch.Builder, bad func(Bad)) {
	for pos := 0; ; {
		pos = skipSpace(data, pos)
		if pos == len(data) {
			return
		}
		if data[pos] == '[' {
			pos = d.array(data, pos, bu, bad)
			continue
		}
		end := lineEnd(data, pos)
		rec := trimSpace(data[pos:end])
		err := d.record(rec, bu)
		if err != nil && end < len(data) && rec[len(rec)-1] != '}' {
			if long, lerr := skipValue(data, pos, 0); lerr == nil && long > pos+len(rec) {
				end = long
				rec = data[pos:end]
				err = d.record(rec, bu)
			}
		}
		if err != nil {
			bad(Bad{Off: pos, Data: rec, Reason: err.Error()})
		}
		pos = end
	}
}

// DecodePart implements Decoder: a line is a record or an array of records.
func (d *JSON) DecodePart(data []byte, last bool, max int, bu *batch.Builder, bad func(Bad)) int {
	pos := 0
	for n := 0; n < max && pos < len(data); {
		nl := bytes.IndexByte(data[pos:], '\n')
		if nl < 0 && !last {
			return pos
		}
		end := len(data)
		if nl >= 0 {
			end = pos + nl + 1
		}
		start := skipSpace(data[:end], pos)
		if start < end {
			n++
			d.line(data, start, end, bu, bad)
		}
		pos = end
	}
	return pos
}

// line decodes the record or array of records in data[pos:end], which begins
// with something.
func (d *JSON) line(data []byte, pos, end int, bu *batch.Builder, bad func(Bad)) {
	if data[pos] == '[' {
		for pos < end {
			if data[pos] != '[' {
				bad(Bad{Off: pos, Data: trimSpace(data[pos:end]), Reason: syntaxError(data[:end], pos, "end of line").Error()})
				return
			}
			pos = skipSpace(data[:end], d.array(data[:end], pos, bu, bad))
		}
		return
	}
	rec := trimSpace(data[pos:end])
	if err := d.record(rec, bu); err != nil {
		bad(Bad{Off: pos, Data: rec, Reason: err.Error()})
	}
}

// trimSpace cuts white space off the end of b.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// array decodes the objects of a JSON array that begins at pos and returns where
// it ends. What is left after a broken structure is one bad record.
func (d *JSON) array(data []byte, pos int, bu *batch.Builder, bad func(Bad)) int {
	p := skipSpace(data, pos+1)
	if p < len(data) && data[p] == ']' {
		return p + 1
	}
	for {
		end, err := d.object(data, p, bu)
		if err != nil {
			if end = balanced(data, p); end == p {
				bad(Bad{Off: p, Data: data[p:], Reason: err.Error()})
				return len(data)
			}
			bad(Bad{Off: p, Data: trimSpace(data[p:end]), Reason: err.Error()})
		}
		p = skipSpace(data, end)
		switch {
		case p < len(data) && data[p] == ']':
			return p + 1
		case p < len(data) && data[p] == ',':
			p = skipSpace(data, p+1)
		default:
			bad(Bad{Off: p, Data: data[p:], Reason: syntaxError(data, p, "',' or ']' in array").Error()})
			return len(data)
		}
	}
}

// record decodes one object that fills rec.
func (d *JSON) record(rec []byte, bu *batch.Builder) error {
	if len(rec) > MaxRecordBytes {
		return errTooLong(len(rec))
	}
	end, err := d.scan(rec, 0)
	if err != nil {
		return err
	}
	if end != len(rec) {
		if p := skipSpace(rec, end); p != len(rec) {
			return syntaxError(rec, p, "end of record")
		}
	}
	return d.row(rec, bu)
}

// object decodes the object that begins at p and returns where it ends.
func (d *JSON) object(data []byte, p int, bu *batch.Builder) (int, error) {
	rec := data[p:]
	if len(rec) > MaxRecordBytes {
		rec = rec[:MaxRecordBytes]
	}
	end, err := d.scan(rec, 0)
	if err != nil {
		if len(rec) == MaxRecordBytes {
			if n := balanced(data, p) - p; n > MaxRecordBytes {
				err = errTooLong(n)
			}
		}
		return p, err
	}
	return p + end, d.row(rec[:end], bu)
}

func errTooLong(n int) error {
	return fmt.Errorf("record of %d bytes is longer than %d", n, MaxRecordBytes)
}

// row converts the members found by scan and appends the row, or nothing.
func (d *JSON) row(rec []byte, bu *batch.Builder) error {
	n := bu.Len()
	for i := range d.cols {
		if err := d.convert(rec, &d.cols[i], &d.spans[i], bu.Col(i), n); err != nil {
			undo(bu, i)
			return fmt.Errorf("column %q: %w", d.cols[i].Name, err)
		}
	}
	bu.EndRow(1)
	return nil
}

// undo takes back the values of a row that broke at column i.
func undo(bu *batch.Builder, i int) {
	for k := range i {
		bu.Col(k).Shorten(bu.Len())
	}
}

// scan finds the members of the object that begins at p and returns where it ends.
func (d *JSON) scan(rec []byte, p int) (int, error) {
	clear(d.spans)
	p = skipSpace(rec, p)
	if p == len(rec) || rec[p] != '{' {
		return 0, syntaxError(rec, p, "object")
	}
	p = skipSpace(rec, p+1)
	if p < len(rec) && rec[p] == '}' {
		return p + 1, nil
	}
	var other span
	for k := 0; ; k++ {
		if p == len(rec) || rec[p] != '"' {
			return 0, syntaxError(rec, p, "member name")
		}
		g, next := d.guessed(rec, p, k)
		if g == nil {
			var err error
			if g, next, err = d.member(rec, p, k); err != nil {
				return 0, err
			}
		}
		if next < len(rec) && rec[next] <= ' ' {
			next = skipSpace(rec, next)
		}
		s := &other
		if g.col >= 0 && (g.exact || !d.spans[g.col].exact) {
			s = &d.spans[g.col]
			s.exact = g.exact
		}
		var err error
		if p, err = scanValue(rec, next, s); err != nil {
			return 0, err
		}
		if p < len(rec) && rec[p] <= ' ' {
			p = skipSpace(rec, p)
		}
		if p == len(rec) {
			return 0, syntaxError(rec, p, "',' or '}'")
		}
		switch rec[p] {
		case ',':
			if p++; p < len(rec) && rec[p] <= ' ' {
				p = skipSpace(rec, p)
			}
		case '}':
			return p + 1, nil
		default:
			return 0, syntaxError(rec, p, "',' or '}'")
		}
	}
}

// guessed returns the k-th member of the last record if the one at p has the same
// name, and where its value begins; else nil.
func (d *JSON) guessed(rec []byte, p, k int) (*guess, int) {
	if k >= len(d.guess) {
		return nil, 0
	}
	g := &d.guess[k]
	end := p + 1 + len(g.name)
	if end+1 < len(rec) && rec[end] == '"' && rec[end+1] == ':' && string(rec[p+1:end]) == g.name {
		return g, end + 2
	}
	return nil, 0
}

// member reads the k-th member's name and colon at p: which it is, and where the
// value begins.
func (d *JSON) member(rec []byte, p, k int) (*guess, int, error) {
	var s span
	next, err := scanValue(rec, p, &s)
	if err != nil {
		return nil, 0, err
	}
	if next = skipSpace(rec, next); next == len(rec) || rec[next] != ':' {
		return nil, 0, syntaxError(rec, next, "':'")
	}
	name := rec[s.start:s.end]
	if s.kind == escaped {
		// A name that no text can hold, such as one with \u0000, is no column's.
		if text, err := unescape(d.scratch[:0], name); err == nil {
			d.scratch, name = text, text
		}
	}
	g := guess{}
	g.col, g.exact = d.names.find(name)
	if s.kind == plain && k < maxGuess && len(name) <= maxGuessName {
		g.name = string(name)
		for len(d.guess) <= k {
			d.guess = append(d.guess, noGuess)
		}
		d.guess[k] = g
		return &d.guess[k], next + 1, nil
	}
	d.other = g
	return &d.other, next + 1, nil
}

// convert appends the value at s as row n of c.
func (d *JSON) convert(rec []byte, col *Column, s *span, c *batch.Column, n int) error {
	if s.kind <= null {
		if col.NotNull && !col.Skip {
			return errNull
		}
		c.AppendNull(n)
		return nil
	}
	v := rec[s.start:s.end]
	if s.kind == escaped {
		var err error
		if d.scratch, err = unescape(d.scratch[:0], v); err != nil {
			return err
		}
		v = d.scratch
	}
	switch col.Type.Kind {
	case types.Text:
		c.AppendStr(n, v)
		return nil
	case types.Int2, types.Int4, types.Int8:
		if s.kind == integer && inRange(col.Type.Kind, s.num) {
			c.AppendInt(n, s.num)
			return nil
		}
	case types.Bool:
		if s.kind == boolean {
			c.AppendBool(n, v[0] == 't')
			return nil
		}
	case types.Timestamp, types.TimestampTZ:
		if s.kind == integer || s.kind == number {
			return d.epoch(v, s, col.Type, c, n)
		}
	}
	return appendText(c, n, col.Type, v, s.kind == number)
}

// inRange reports whether i fits the integer kind.
func inRange(k types.Kind, i int64) bool {
	switch k {
	case types.Int2:
		return i == int64(int16(i))
	case types.Int4:
		return i == int64(int32(i))
	}
	return true
}

// epoch appends a timestamp given as a number of units since 1970.
func (d *JSON) epoch(v []byte, s *span, t types.Type, c *batch.Column, n int) error {
	if s.kind != integer {
		return fmt.Errorf("invalid input for type %s: %q, want text or a whole number", t, v)
	}
	limit := int64(1<<62) / d.opt.EpochMicros
	i := s.num
	if i > limit || i < -limit || !types.ValidTimestamp(i*d.opt.EpochMicros-epochOffset) {
		return fmt.Errorf("timestamp out of range: %q", v)
	}
	c.AppendInt(n, i*d.opt.EpochMicros-epochOffset)
	return nil
}
