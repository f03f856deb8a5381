package format

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// AppendJSONRow appends physical row i of b as a JSON object with the given
// member names, in PostgreSQL's to_json form: numbers and booleans plain (NaN and
// infinities as strings), times in ISO 8601, everything else as text.
func AppendJSONRow(dst []byte, names []string, b *batch.Batch, i int, st types.Style) []byte {
	dst = append(dst, '{')
	for c := range b.Cols {
		if c > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONString(dst, names[c])
		dst = append(dst, ':')
		dst = AppendJSONValue(dst, &b.Cols[c], i, st)
	}
	return append(dst, '}')
}

// AppendJSONArray appends physical row i of b as a JSON array of its values.
func AppendJSONArray(dst []byte, b *batch.Batch, i int, st types.Style) []byte {
	dst = append(dst, '[')
	for c := range b.Cols {
		if c > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONValue(dst, &b.Cols[c], i, st)
	}
	return append(dst, ']')
}

// AppendJSONValue appends the value of c at row i as JSON. It does not allocate but
// for arrays, records and decimals of more than 128 bits.
func AppendJSONValue(dst []byte, c *batch.Column, i int, st types.Style) []byte {
	if c.Null(i) {
		return append(dst, "null"...)
	}
	switch c.Type.Kind {
	case types.Bool:
		if c.U8[i] != 0 {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case types.Int2, types.Int4, types.Int8, types.Oid:
		return types.AppendInt(dst, c.I64[i])
	case types.Float4, types.Float8:
		if f := c.F64[i]; f-f == 0 {
			return types.AppendFloatKind(dst, c.Type.Kind, f, &st)
		}
	case types.Numeric:
		if f := c.Dec[i].Form; f == types.DecFinite || f == types.DecBig {
			return types.AppendDecimal(dst, c.Dec[i], c.Bytes)
		}
	case types.Timestamp, types.TimestampTZ:
		return appendISOTime(dst, c, i, st)
	case types.Text, types.Varchar, types.Name:
		return AppendJSONBytes(dst, c.StrAt(i))
	case types.Date, types.Time, types.Interval:
	default: // its text may need escapes
		return AppendJSONBytes(dst, types.AppendText(nil, c.Value(i), st))
	}
	dst = append(dst, '"')
	return append(appendValue(dst, c, i, st), '"')
}

// appendValue appends the text of the value of c at row i, which is not NULL.
func appendValue(dst []byte, c *batch.Column, i int, st types.Style) []byte {
	switch c.Type.Layout() {
	case types.LayoutBool:
		return types.AppendBool(dst, c.U8[i] != 0)
	case types.LayoutInt:
		return types.AppendIntKind(dst, c.Type.Kind, c.I64[i], &st)
	case types.LayoutFloat:
		return types.AppendFloatKind(dst, c.Type.Kind, c.F64[i], &st)
	case types.LayoutDec:
		return types.AppendDecimal(dst, c.Dec[i], c.Bytes)
	case types.LayoutIvl:
		return types.AppendInterval(dst, c.Ivl[i], st.IntervalStyle)
	case types.LayoutStr:
		if types.IsString(c.Type.Kind) {
			return append(dst, c.StrAt(i)...)
		}
	}
	return types.AppendText(dst, c.Value(i), st)
}

// appendISOTime appends a timestamp in ISO 8601, whatever st's date style is: a T
// between date and time, and the zone's offset in full.
func appendISOTime(dst []byte, c *batch.Column, i int, st types.Style) []byte {
	st.DateStyle = types.DateISO
	dst = append(dst, '"')
	from := len(dst)
	dst = types.AppendIntKind(dst, c.Type.Kind, c.I64[i], &st)
	k := bytes.IndexByte(dst[from:], ' ')
	if k < 0 { // infinity
		return append(dst, '"')
	}
	dst[from+k] = 'T'
	if zone := dst[len(dst)-3]; c.Type.Kind == types.TimestampTZ && (zone == '+' || zone == '-') {
		dst = append(dst, ":00"...)
	}
	return append(dst, '"')
}

// AppendJSONString appends s as a JSON string.
func AppendJSONString(dst []byte, s string) []byte { return appendQuoted(dst, s) }

const hexDigits = "0123456789abcdef"

// AppendJSONBytes appends text as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func AppendJSONBytes(dst, s []byte) []byte {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if w := binary.LittleEndian.Uint64(s[i:]); stringStop(w)|w&highs != 0 {
			return appendQuoted(dst, s)
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return appendQuoted(dst, s)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// appendQuoted is AppendJSONBytes where something may need an escape.

func appendQuoted[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))])); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, "\uFFFD"...)
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// AppendCSVRow appends physical row i of b as a CSV record with a line end: NULL is
// an empty field, an empty string is quoted.
func AppendCSVRow(dst []byte, b *batch.Batch, i int, st types.Style) []byte {
	for c := range b.Cols {
		if c > 0 {
			dst = append(dst, ',')
		}
		col := &b.Cols[c]
		switch {
		case col.Null(i):
		case types.IsString(col.Type.Kind):
			dst = AppendCSVField(dst, col.StrAt(i), ',', '"', '"', false)
		case col.Type.Layout() == types.LayoutStr:
			dst = AppendCSVField(dst, types.AppendText(nil, col.Value(i), st), ',', '"', '"', false)
		default: // never needs quotes
			dst = appendValue(dst, col, i, st)
		}
	}
	return append(dst, '\n')
}

// AppendCSVField appends one field, quoted where its text needs it or force says.
func AppendCSVField(dst, text []byte, delim, quote, escape byte, force bool) []byte {
	if !force && len(text) > 0 && !needsQuotes(text, delim, quote) {
		return append(dst, text...)
	}
	dst = append(dst, quote)
	for _, c := range text {
		if c == quote || c == escape {
			dst = append(dst, escape)
		}
		dst = append(dst, c)
	}
	return append(dst, quote)
}

func needsQuotes(text []byte, delim, quote byte) bool {
	if string(text) == `\.` {
		return true
	}
	for _, c := range text {
		if c == delim || c == quote || c == '\n' || c == '\r' {
			return true
		}
	}
	return text[0] == ' ' || text[len(text)-1] == ' '
}
