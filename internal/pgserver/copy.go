package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// maxCopyLine bounds one line of COPY FROM STDIN.
const maxCopyLine = 16 << 20

// copying runs st if it is a COPY and reports whether it was.
func (c *conn) copying(ctx context.Context, st *session.Statement) (bool, error) {
	cp, ok := st.Plan.(session.Copier)
	if !ok {
		return false, nil
	}
	opt, in := cp.CopyOptions()
	if in {
		return true, c.copyIn(ctx, st, opt)
	}
	return true, c.copyOut(ctx, st, opt)
}

// copyOut sends the rows of a COPY ... TO STDOUT.
func (c *conn) copyOut(ctx context.Context, st *session.Statement, opt session.CopyOptions) error {
	cur, err := c.sess.Execute(ctx, st, nil)
	if err != nil {
		return err
	}
	defer cur.Close()
	cols := cur.Columns()
	overall, formats := copyFormats(opt, len(cols))
	c.be.Send(&pgproto3.CopyOutResponse{OverallFormat: overall, ColumnFormatCodes: formats})
	w := copyWriter{opt: opt, cols: cols, style: c.sess.Style()}
	switch {
	case opt.Binary:
		c.be.Send(&pgproto3.CopyData{Data: binaryHeader()})
	case opt.Header:
		c.be.Send(&pgproto3.CopyData{Data: w.header()})
	}
	var sent int64
	for {
		b, err := cur.Next(ctx, false)
		if err == nil && b != nil && b.N == 0 {
			if err = c.be.Flush(); err != nil {
				return errConnection
			}
			b, err = cur.Next(ctx, true)
		}
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		for i := range b.N {
			c.be.Send(&pgproto3.CopyData{Data: w.row(b, i)})
			if c.rows.since += len(w.buf); c.rows.since > flushBytes {
				c.rows.since = 0
				if err := c.be.Flush(); err != nil {
					return errConnection
				}
			}
		}
		sent += int64(b.N)
	}
	if opt.Binary {
		c.be.Send(&pgproto3.CopyData{Data: []byte{copyTrailer >> 8, copyTrailer & 0xff}})
	}
	c.be.Send(&pgproto3.CopyDone{})
	c.be.Send(&pgproto3.CommandComplete{CommandTag: fmt.Appendf(nil, "COPY %d", sent)})
	return nil
}

// copyFormats is what the responses to COPY say of its format and its columns'.
func copyFormats(opt session.CopyOptions, cols int) (overall byte, formats []uint16) {
	formats = make([]uint16, cols)
	if opt.Binary {
		overall = formatBinary
		for i := range formats {
			formats[i] = formatBinary
		}
	}
	return overall, formats
}

// copyWriter encodes rows as lines of COPY.
type copyWriter struct {
	opt   session.CopyOptions
	cols  []session.Column
	style types.Style
	buf   []byte
	text  []byte
}

func (w *copyWriter) header() []byte {
	w.buf = w.buf[:0]
	for i, col := range w.cols {
		if i > 0 {
			w.buf = append(w.buf, w.opt.Delimiter)
		}
		w.field([]byte(col.Name), false)
	}
	w.buf = append(w.buf, '\n')
	return w.buf
}

func (w *copyWriter) row(b *batch.Batch, i int) []byte {
	if w.opt.Binary {
		return w.binaryRow(b, i)
	}
	w.buf = w.buf[:0]
	for k := range b.Cols {
		if k > 0 {
			w.buf = append(w.buf, w.opt.Delimiter)
		}
		if b.Cols[k].Null(i) {
			w.buf = append(w.buf, w.opt.Null...)
			continue
		}
		w.text = appendText(w.text[:0], &b.Cols[k], i, w.cols[k].Type, w.style)
		w.field(w.text, w.opt.ForceQuoteAll)
	}
	w.buf = append(w.buf, '\n')
	return w.buf
}

func (w *copyWriter) field(text []byte, force bool) {
	if w.opt.CSV {
		force = force || string(text) == w.opt.Null
		w.buf = format.AppendCSVField(w.buf, text, w.opt.Delimiter, w.opt.Quote, w.opt.Escape, force)
		return
	}
	for _, ch := range text {
		switch ch {
		case '\\':
			w.buf = append(w.buf, '\\', '\\')
		case '\n':
			w.buf = append(w.buf, '\\', 'n')
		case '\r':
			w.buf = append(w.buf, '\\', 'r')
		case '\t':
			w.buf = append(w.buf, '\\', 't')
		case '\b':
			w.buf = append(w.buf, '\\', 'b')
		case '\f':
			w.buf = append(w.buf, '\\', 'f')
		case '\v':
			w.buf = append(w.buf, '\\', 'v')
		case w.opt.Delimiter:
			w.buf = append(w.buf, '\\', ch)
		default:
			w.buf = append(w.buf, ch)
		}
	}
}

// copyIn receives the rows of a COPY ... FROM STDIN. After an error, messages of
// the copy are read and dropped up to its end, as the protocol wants.
func (c *conn) copyIn(ctx context.Context, st *session.Statement, opt session.CopyOptions) error {
	in, err := c.sess.CopyIn(ctx, st)
	if err != nil {
		return err
	}
	defer in.Abort()
	cols := in.Columns()
	overall, formats := copyFormats(opt, len(cols))
	c.be.Send(&pgproto3.CopyInResponse{OverallFormat: overall, ColumnFormatCodes: formats})
	if err := c.be.Flush(); err != nil {
		return errConnection
	}
	r := newCopyReader(cols, opt, c.sess.Style())
	for {
		msg, err := c.be.Receive()
		if err != nil {
			return errConnection
		}
		switch m := msg.(type) {
		case *pgproto3.CopyData:
			if err = r.data(m.Data, false); err == nil && r.bu.Len() >= batch.BlockRows {
				err = in.Write(ctx, r.take())
			}
		case *pgproto3.CopyDone:
			return c.copyEnd(ctx, in, r)
		case *pgproto3.CopyFail:
			return &types.Error{Code: types.CodeQueryCanceled, Message: "COPY from stdin failed: " + m.Message}
		case *pgproto3.Flush, *pgproto3.Sync:
		default:
			err = protocolError(fmt.Sprintf("message %T during COPY from stdin", msg))
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return errors.Join(err, c.drainCopy())
		}
	}
}

func (c *conn) copyEnd(ctx context.Context, in session.CopyIn, r *copyReader) error {
	if err := r.data(nil, true); err != nil {
		return err
	}
	if r.bu.Len() > 0 {
		if err := in.Write(ctx, r.take()); err != nil {
			return err
		}
	}
	n, err := in.Commit(ctx)
	if err != nil {
		return err
	}
	c.be.Send(&pgproto3.CommandComplete{CommandTag: fmt.Appendf(nil, "COPY %d", n)})
	return nil
}

// drainCopy drops what the client still sends of a COPY that failed.
func (c *conn) drainCopy() error {
	for {
		msg, err := c.be.Receive()
		if err != nil {
			return errConnection
		}
		switch msg.(type) {
		case *pgproto3.CopyDone, *pgproto3.CopyFail:
			return nil
		}
	}
}

// copyReader cuts COPY data into lines and decodes them.
type copyReader struct {
	cols    []session.Column
	opt     session.CopyOptions
	style   types.Style
	csv     format.CSVReader
	rest    []byte // data whose line is not complete
	line    int    // lines read, for messages
	ended   bool   // saw \., or the trailer of the binary format
	started bool   // saw the header of the binary format
	bu      *batch.Builder
	out     *batch.Batch
	text    []byte
}

func newCopyReader(cols []session.Column, opt session.CopyOptions, st types.Style) *copyReader {
	ts := make([]types.Type, len(cols))
	for i, c := range cols {
		ts[i] = c.Type
	}
	return &copyReader{cols: cols, opt: opt, style: st, bu: batch.NewBuilder(ts),
		csv: format.CSVReader{Delimiter: opt.Delimiter, Quote: opt.Quote, Escape: opt.Escape}}
}

// take returns the rows so far, valid until the next data.
func (r *copyReader) take() *batch.Batch {
	r.out = r.bu.Seal()
	return r.out
}

// data takes more input; last says that there is no more.
func (r *copyReader) data(p []byte, last bool) error {
	if r.opt.Binary {
		return r.binary(p, last)
	}
	r.rest = append(r.rest, p...)
	for pos := 0; !r.ended; {
		end := r.lineEnd(pos, last)
		if end < 0 {
			r.rest = append(r.rest[:0], r.rest[pos:]...)
			if len(r.rest) > maxCopyLine {
				return r.wrap(&types.Error{Code: "54000", Message: fmt.Sprintf("line is longer than %d bytes", maxCopyLine)}, "")
			}
			return nil
		}
		line := bytes.TrimSuffix(bytes.TrimSuffix(r.rest[pos:end], []byte{'\n'}), []byte{'\r'})
		pos = end
		r.line++
		if r.opt.Header && r.line == 1 {
			continue
		}
		if string(line) == `\.` {
			r.ended = true
			break
		}
		if err := r.record(line); err != nil {
			return err
		}
	}
	r.rest = r.rest[:0]
	return nil
}

// lineEnd returns where the line that begins at pos ends, or -1 if more is needed.
func (r *copyReader) lineEnd(pos int, last bool) int {
	if !r.opt.CSV {
		if i := bytes.IndexByte(r.rest[pos:], '\n'); i >= 0 {
			return pos + i + 1
		}
	} else {
		quoted := false
		for i := pos; i < len(r.rest); i++ {
			switch ch := r.rest[i]; {
			case quoted && ch == r.opt.Escape && r.opt.Escape != r.opt.Quote:
				i++
			case ch == r.opt.Quote:
				quoted = !quoted
			case ch == '\n' && !quoted:
				return i + 1
			}
		}
	}
	if last && pos < len(r.rest) {
		return len(r.rest)
	}
	return -1
}

func (r *copyReader) record(line []byte) error {
	if !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0 {
		return r.wrap(&types.Error{Code: "22021", Message: `invalid byte sequence for encoding "UTF8"`}, "")
	}
	if r.opt.CSV {
		return r.csvRecord(line)
	}
	n, rest, more := r.bu.Len(), line, true
	for i := range r.cols {
		if !more {
			return r.wrap(&types.Error{Code: "22P04", Message: fmt.Sprintf("missing data for column %q", r.cols[i].Name)}, "")
		}
		var field []byte
		field, rest, more = cutField(rest, r.opt.Delimiter)
		if string(field) == r.opt.Null {
			r.bu.Col(i).AppendNull(n)
			continue
		}
		r.text = unescapeCopy(r.text[:0], field)
		if err := r.value(i, n, r.text); err != nil {
			return err
		}
	}
	if more && !(len(r.cols) == 0 && len(line) == 0) {
		return r.wrap(&types.Error{Code: "22P04", Message: "extra data after last expected column"}, "")
	}
	r.bu.EndRow(1)
	return nil
}

func (r *copyReader) csvRecord(line []byte) error {
	fields, _, err := r.csv.Next(line, 0)
	if err != nil {
		return r.wrap(&types.Error{Code: "22P04", Message: err.Error()}, "")
	}
	if len(fields) > len(r.cols) {
		return r.wrap(&types.Error{Code: "22P04", Message: "extra data after last expected column"}, "")
	}
	n := r.bu.Len()
	for i := range r.cols {
		if i >= len(fields) {
			return r.wrap(&types.Error{Code: "22P04", Message: fmt.Sprintf("missing data for column %q", r.cols[i].Name)}, "")
		}
		if f := fields[i]; !f.Quoted && string(f.Text) == r.opt.Null {
			r.bu.Col(i).AppendNull(n)
		} else if err := r.value(i, n, f.Text); err != nil {
			return err
		}
	}
	r.bu.EndRow(1)
	return nil
}

// value appends the value that text stands for to column i.
func (r *copyReader) value(i, n int, text []byte) error {
	c, t := r.bu.Col(i), r.cols[i].Type
	switch t.Kind {
	case types.Text:
		c.AppendStr(n, text)
		return nil
	case types.Int8:
		if v, ok := types.ParseIntBytes(text); ok {
			c.AppendInt(n, v)
			return nil
		}
	}
	v, err := types.Parse(t, string(text), r.style)
	if err == nil {
		v, err = types.Coerce(v, t)
	}
	if err != nil {
		return r.wrap(err, r.cols[i].Name)
	}
	c.AppendValue(n, v)
	return nil
}

// wrap adds the line and column to an error, as PostgreSQL's context does.
func (r *copyReader) wrap(err error, column string) error {
	e := *asError(err)
	where := fmt.Sprintf("COPY line %d", r.line)
	if column != "" {
		where += ", column " + column
	}
	if e.Detail != "" {
		where = e.Detail + " (" + where + ")"
	}
	e.Detail = where
	return &e
}

// cutField splits line at the first delimiter that no backslash protects.
func cutField(line []byte, delim byte) (field, rest []byte, more bool) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case delim:
			return line[:i], line[i+1:], true
		}
	}
	return line, nil, false
}

// unescapeCopy appends the text that a field of COPY's text format stands for.
func unescapeCopy(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			dst = append(dst, s[i])
			continue
		}
		i++
		switch ch := s[i]; {
		case ch == 'b':
			dst = append(dst, '\b')
		case ch == 'f':
			dst = append(dst, '\f')
		case ch == 'n':
			dst = append(dst, '\n')
		case ch == 'r':
			dst = append(dst, '\r')
		case ch == 't':
			dst = append(dst, '\t')
		case ch == 'v':
			dst = append(dst, '\v')
		case ch >= '0' && ch <= '7':
			v, n := numeral(s[i:], 8, 3)
			dst = append(dst, byte(v))
			i += n - 1
		case ch == 'x':
			v, n := numeral(s[i+1:], 16, 2)
			if n == 0 {
				dst = append(dst, 'x')
				continue
			}
			dst = append(dst, byte(v))
			i += n
		default:
			dst = append(dst, ch)
		}
	}
	return dst
}

// numeral reads up to most digits of a base and returns the value and how many there were.
func numeral(s []byte, base, most int) (v, n int) {
	for n < len(s) && n < most {
		d := -1
		switch c := s[n]; {
		case c >= '0' && c <= '9':
			d = int(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			d = int(c|0x20-'a') + 10
		}
		if d < 0 || d >= base {
			break
		}
		v, n = v*base+d, n+1
	}
	return v, n
}
