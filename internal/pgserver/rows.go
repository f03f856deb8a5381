package pgserver

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// Format codes of the protocol.
const (
	formatText   = 0
	formatBinary = 1
)

// rowWriter encodes rows as DataRow messages straight from columns. It is the
// message itself: Encode copies what row made.
type rowWriter struct {
	buf   []byte
	since int // bytes since the last flush
}

// Backend implements pgproto3.BackendMessage.
func (w *rowWriter) Backend() {}

// Decode implements pgproto3.BackendMessage; rows are only ever sent.
func (w *rowWriter) Decode([]byte) error { return nil }

// Encode implements pgproto3.BackendMessage.
func (w *rowWriter) Encode(dst []byte) ([]byte, error) { return append(dst, w.buf...), nil }

// row encodes row i of b.
func (w *rowWriter) row(b *batch.Batch, i int, cols []session.Column, formats []int16, st types.Style) *rowWriter {
	buf := append(w.buf[:0], 'D', 0, 0, 0, 0)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(b.Cols)))
	for c := range b.Cols {
		col := &b.Cols[c]
		if col.Null(i) {
			buf = append(buf, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		at := len(buf)
		buf = append(buf, 0, 0, 0, 0)
		if formatOf(formats, c) == formatBinary {
			v := col.Value(i)
			v.T = cols[c].Type
			buf = types.AppendBinary(buf, v)
		} else {
			buf = appendText(buf, col, i, cols[c].Type, st)
		}
		binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-4))
	}
	binary.BigEndian.PutUint32(buf[1:], uint32(len(buf)-1))
	w.buf = buf
	return w
}

// appendText appends a value in text form, without boxing the everyday kinds.
func appendText(dst []byte, c *batch.Column, i int, t types.Type, st types.Style) []byte {
	switch t.Kind {
	case types.Int2, types.Int4, types.Int8, types.Oid:
		return types.AppendInt(dst, c.I64[i])
	case types.Text, types.Varchar, types.Name, types.Char:
		return append(dst, c.StrAt(i)...)
	case types.Bool:
		if c.U8[i] != 0 {
			return append(dst, 't')
		}
		return append(dst, 'f')
	}
	v := c.Value(i)
	v.T = t
	return types.AppendText(dst, v, st)
}

// formatOf returns the format of column c: none given means text, one is for all.
func formatOf(formats []int16, c int) int16 {
	switch len(formats) {
	case 0:
		return formatText
	case 1:
		return formats[0]
	}
	return formats[c]
}

// wireOid is the type's identifier that clients are told: Unknown goes as text.
func wireOid(t types.Type) uint32 {
	if t.Kind == types.Unknown {
		t = types.T(types.Text)
	}
	return types.OID(t)
}

func rowDescription(cols []session.Column, formats []int16) *pgproto3.RowDescription {
	fs := make([]pgproto3.FieldDescription, len(cols))
	for i, c := range cols {
		mod := int32(-1)
		if c.Type.Mod != 0 && (c.Type.Kind == types.Varchar || c.Type.Kind == types.Numeric) {
			mod = c.Type.Mod
		}
		fs[i] = pgproto3.FieldDescription{Name: []byte(c.Name), TableOID: c.Table, TableAttributeNumber: uint16(c.Attnum),
			DataTypeOID: wireOid(c.Type), DataTypeSize: int16(types.TypeLen(c.Type)), TypeModifier: mod, Format: formatOf(formats, i)}
	}
	return &pgproto3.RowDescription{Fields: fs}
}
