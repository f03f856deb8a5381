package types

import (
	"bytes"
	"encoding/hex"
	"strconv"
)

// AppendText appends v's text form as PostgreSQL prints it in style st. A NULL
// appends nothing: the caller marks it. Columns use the raw forms (AppendInt,
// AppendFloat8, AppendDecimal, AppendTimestamp ...) to avoid boxing.
func AppendText(dst []byte, v Value, st Style) []byte {
	if v.Null {
		return dst
	}
	switch v.T.Layout() {
	case LayoutBool:
		return AppendBool(dst, v.I != 0)
	case LayoutInt:
		return AppendIntKind(dst, v.T.Kind, v.I, &st)
	case LayoutFloat:
		return AppendFloatKind(dst, v.T.Kind, v.F, &st)
	case LayoutDec:
		return AppendDecimal(dst, v.D, arenaOf(v))
	case LayoutIvl:
		return AppendInterval(dst, v.V, st.IntervalStyle)
	case LayoutStr:
		switch v.T.Kind {
		case Bytea:
			return AppendBytea(dst, []byte(v.S), st.ByteaEscape)
		case Array:
			return AppendArrayText(dst, []byte(v.S), &st)
		case Record:
			return AppendRecordText(dst, []byte(v.S), &st)
		}
		return append(dst, v.S...)
	}
	return dst
}

// AppendIntKind appends the text of x, a value of the integer-layout kind k.
func AppendIntKind(dst []byte, k Kind, x int64, st *Style) []byte {
	switch k {
	case Date:
		return AppendDate(dst, x, st)
	case Time:
		return AppendTime(dst, x)
	case Timestamp:
		return AppendTimestamp(dst, x, st)
	case TimestampTZ:
		return AppendTimestampTZ(dst, x, st)
	case Regclass:
		if x == 0 {
			return append(dst, '-')
		}
		if st.RegclassName != nil {
			if name, ok := st.RegclassName(uint32(x)); ok {
				return append(dst, name...)
			}
		}
	}
	return strconv.AppendInt(dst, x, 10)
}

// AppendFloatKind appends the text of f, a value of kind Float4 or Float8.
func AppendFloatKind(dst []byte, k Kind, f float64, st *Style) []byte {
	bits := 64
	if k == Float4 {
		bits = 32
	}
	if st.FewerFloatDigits == 0 {
		return appendFloat(dst, f, -1, bits)
	}
	digits := 16 - int(st.FewerFloatDigits)
	if k == Float4 {
		digits = 7 - int(st.FewerFloatDigits)
	}
	return appendFloat(dst, f, max(digits, 1), bits)
}

// AppendBool appends t or f.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 't')
	}
	return append(dst, 'f')
}

// AppendInt appends x in decimal.
func AppendInt(dst []byte, x int64) []byte { return strconv.AppendInt(dst, x, 10) }

// AppendFloat8 appends a double precision: the shortest digits that read back as
// f, with an exponent below 1e-4 and from 1e+15 on, as PostgreSQL 12 and later print.
func AppendFloat8(dst []byte, f float64) []byte { return appendFloat(dst, f, -1, 64) }

// AppendFloat4 is AppendFloat8 for real; the exponent starts at 1e+06.
func AppendFloat4(dst []byte, f float64) []byte { return appendFloat(dst, f, -1, 32) }

// appendFloat appends f with at most digits significant digits, -1 for the shortest.
func appendFloat(dst []byte, f float64, digits, bits int) []byte {
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case f-f != 0 && f > 0:
		return append(dst, "Infinity"...)
	case f-f != 0:
		return append(dst, "-Infinity"...)
	case f == 0:
		if 1/f < 0 {
			dst = append(dst, '-')
		}
		return append(dst, '0')
	}
	prec := digits
	if digits > 0 {
		prec--
	}
	// From the scientific form take the digits and the exponent.
	var buf [32]byte
	e := strconv.AppendFloat(buf[:0], f, 'e', prec, bits)
	if digits < 0 && (f >= 1<<24 || f <= -1<<24) && (bits == 32 || f >= 1<<53 || f <= -1<<53) {
		e = insideInterval(e, f, bits)
	}
	if e[0] == '-' {
		dst = append(dst, '-')
		e = e[1:]
	}
	at := len(e) - 1
	for e[at] != 'e' {
		at--
	}
	exp := 0
	for _, c := range e[at+2:] {
		exp = exp*10 + int(c-'0')
	}
	if e[at+1] == '-' {
		exp = -exp
	}
	mant := e[:1]
	if at > 2 {
		mant = append(mant, e[2:at]...) // shifts the fraction over the point, in place
	}
	for len(mant) > 1 && mant[len(mant)-1] == '0' {
		mant = mant[:len(mant)-1]
	}
	limit := digits
	if digits < 0 {
		limit = 15
		if bits == 32 {
			limit = 6
		}
	}
	return appendMantissa(dst, mant, exp, limit)
}

// appendMantissa appends d.ddd * 10^exp, without exponent when -4 <= exp < limit.
func appendMantissa(dst, mant []byte, exp, limit int) []byte {
	switch {
	case exp < -4 || exp >= limit:
		dst = append(dst, mant[0])
		if len(mant) > 1 {
			dst = append(append(dst, '.'), mant[1:]...)
		}
		dst = append(dst, 'e')
		if exp < 0 {
			dst, exp = append(dst, '-'), -exp
		} else {
			dst = append(dst, '+')
		}
		if exp < 10 {
			dst = append(dst, '0')
		}
		return strconv.AppendInt(dst, int64(exp), 10)
	case exp < 0:
		dst = append(dst, "0.0000"[:1-exp]...)
		return append(dst, mant...)
	}
	for i := 0; i <= exp || i < len(mant); i++ {
		if i == exp+1 {
			dst = append(dst, '.')
		}
		if i < len(mant) {
			dst = append(dst, mant[i])
		} else {
			dst = append(dst, '0')
		}
	}
	return dst
}

// AppendBytea appends b in hexadecimal (\x6162) or, when escape, in the old escaped form.
func AppendBytea(dst, b []byte, escape bool) []byte {
	if !escape {
		return hex.AppendEncode(append(dst, `\x`...), b)
	}
	for _, c := range b {
		switch {
		case c == '\\':
			dst = append(dst, `\\`...)
		case c < 0x20 || c > 0x7e:
			dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// insideInterval returns e, the shortest digits that read back as f, unless they
// lie on the border of what reads back as f, which strconv takes when the border
// rounds to f and PostgreSQL never does: 1e+23 is 9.999999999999999e+22. Then it
// is the shortest within the borders. Only numbers too large for fractions have such.
func insideInterval(e []byte, f float64, bits int) []byte {
	const maxDigits = 17
	for digits := 1; digits <= maxDigits && !inside(e, f, bits); digits++ {
		e = strconv.AppendFloat(e[:0], f, 'e', digits-1, bits)
	}
	return e
}

// inside reports whether e and its neighbours on both sides read back as f.
func inside(e []byte, f float64, bits int) bool {
	at := bytes.IndexByte(e, 'e')
	var buf [64]byte
	above := append(buf[:0], e[:at]...)
	if bytes.IndexByte(above, '.') < 0 {
		above = append(above, '.')
	}
	digits := len(above)
	above = append(append(above, "000000000000000000001"...), e[at:]...)
	if x, err := strconv.ParseFloat(string(above), bits); err != nil || x != f {
		return false
	}
	below := above
	for i := digits - 1; i >= 0; i-- { // subtract one from the last place
		if !isDigit(below[i]) {
			continue
		}
		if below[i] != '0' {
			below[i]--
			break
		}
		below[i] = '9'
	}
	for i := digits; below[i] != 'e'; i++ {
		below[i] = '9'
	}
	x, err := strconv.ParseFloat(string(below), bits)
	return err == nil && x == f
}
