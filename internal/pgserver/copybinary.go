package pgserver

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// copySignature begins a COPY in binary format; flags and the length of an
// extension follow, four bytes each.
const copySignature = "PGCOPY\n\xff\r\n\x00"

// copyHeaderBytes is the length of the header without an extension.
const copyHeaderBytes = len(copySignature) + 8

// copyTrailer ends a COPY in binary format, in place of a row's number of fields.
const copyTrailer = 0xffff

// binaryHeader is what comes before the rows.
func binaryHeader() []byte { return append([]byte(copySignature), make([]byte, 8)...) }

// binaryRow encodes a row: the number of fields, then length and bytes of each.
func (w *copyWriter) binaryRow(b *batch.Batch, i int) []byte {
	w.buf = binary.BigEndian.AppendUint16(w.buf[:0], uint16(len(b.Cols)))
	for k := range b.Cols {
		if b.Cols[k].Null(i) {
			w.buf = append(w.buf, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		v := b.Cols[k].Value(i)
		v.T = w.cols[k].Type
		at := len(w.buf)
		w.buf = types.AppendBinary(append(w.buf, 0, 0, 0, 0), v)
		binary.BigEndian.PutUint32(w.buf[at:], uint32(len(w.buf)-at-4))
	}
	return w.buf
}

// binary takes more input of a COPY in binary format; last says that there is no more.
func (r *copyReader) binary(p []byte, last bool) error {
	r.rest = append(r.rest, p...)
	pos := 0
	if !r.started {
		n, err := r.header()
		if err != nil || n == 0 && !last {
			return err
		}
		if n == 0 {
			return copyFormatError("COPY file signature not recognized")
		}
		pos, r.started = n, true
	}
	for !r.ended {
		n, err := r.tuple(r.rest[pos:])
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		pos += n
	}
	r.rest = append(r.rest[:0], r.rest[pos:]...)
	switch {
	case r.ended:
		r.rest = r.rest[:0]
	case last && len(r.rest) > 0:
		return copyFormatError("unexpected EOF in COPY data")
	case len(r.rest) > maxCopyLine:
		return r.wrap(&types.Error{Code: "54000", Message: fmt.Sprintf("row is longer than %d bytes", maxCopyLine)}, "")
	}
	return nil
}

func copyFormatError(msg string) error { return &types.Error{Code: "22P04", Message: msg} }

// header returns the length of the header, 0 if more input is needed.
func (r *copyReader) header() (int, error) {
	n := min(len(r.rest), len(copySignature))
	if !bytes.Equal(r.rest[:n], []byte(copySignature)[:n]) {
		return 0, copyFormatError("COPY file signature not recognized")
	}
	if len(r.rest) < copyHeaderBytes {
		return 0, nil
	}
	flags := binary.BigEndian.Uint32(r.rest[len(copySignature):])
	if flags>>16 != 0 {
		return 0, copyFormatError("unrecognized critical flags in COPY file header")
	}
	ext := binary.BigEndian.Uint32(r.rest[len(copySignature)+4:])
	if ext > maxCopyLine {
		return 0, copyFormatError("invalid COPY file header (wrong length)")
	}
	if total := copyHeaderBytes + int(ext); len(r.rest) >= total {
		return total, nil
	}
	return 0, nil
}

// tuple appends the row that b begins with and returns its length, 0 if b does not
// hold all of it.
func (r *copyReader) tuple(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, nil
	}
	count := binary.BigEndian.Uint16(b)
	if count == copyTrailer {
		r.ended = true
		return 2, nil
	}
	if int(count) != len(r.cols) {
		r.line++
		return 0, r.wrap(copyFormatError(fmt.Sprintf("row field count is %d, expected %d", count, len(r.cols))), "")
	}
	end := 2
	for range r.cols { // is all of it there?
		if len(b) < end+4 {
			return 0, nil
		}
		n := int32(binary.BigEndian.Uint32(b[end:]))
		if n < -1 {
			return 0, r.wrap(copyFormatError("invalid field size"), "")
		}
		if end += 4 + max(0, int(n)); len(b) < end {
			return 0, nil
		}
	}
	r.line++
	row := r.bu.Len()
	for i, pos := 0, 2; i < len(r.cols); i++ {
		n := int32(binary.BigEndian.Uint32(b[pos:]))
		pos += 4
		if n < 0 {
			r.bu.Col(i).AppendNull(row)
			continue
		}
		t := r.cols[i].Type
		v, err := types.ParseBinary(t, b[pos:pos+int(n)])
		if err == nil {
			v, err = types.Coerce(v, t)
		}
		if err != nil {
			return 0, r.wrap(err, r.cols[i].Name)
		}
		r.bu.Col(i).AppendValue(row, v)
		pos += int(n)
	}
	r.bu.EndRow(1)
	return end, nil
}
