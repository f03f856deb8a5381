package types

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// errBinary is the error for bytes that are not a value of the type.
func errBinary(k Kind) *Error {
	return &Error{Code: "22P03", Message: "incorrect binary data format for type " + k.String()}
}

// AppendBinary appends v's binary form of the PostgreSQL protocol, without its
// length. A NULL appends nothing. Columns use the raw forms to avoid boxing.
func AppendBinary(dst []byte, v Value) []byte {
	if v.Null {
		return dst
	}
	switch v.T.Layout() {
	case LayoutBool:
		return append(dst, byte(v.I))
	case LayoutInt:
		return AppendBinaryInt(dst, v.T.Kind, v.I)
	case LayoutFloat:
		return AppendBinaryFloat(dst, v.T.Kind, v.F)
	case LayoutDec:
		return AppendBinaryDecimal(dst, v.D, arenaOf(v))
	case LayoutIvl:
		return AppendBinaryInterval(dst, v.V)
	case LayoutStr:
		switch v.T.Kind {
		case Array:
			return AppendBinaryArray(dst, []byte(v.S))
		case Record:
			return appendBinaryRecord(dst, []byte(v.S))
		}
		return append(dst, v.S...)
	}
	return dst
}

// AppendBinaryInt appends x, a value of the integer-layout kind k.
func AppendBinaryInt(dst []byte, k Kind, x int64) []byte {
	switch k {
	case Int2:
		return binary.BigEndian.AppendUint16(dst, uint16(x))
	case Int4, Date, Oid, Regclass:
		return binary.BigEndian.AppendUint32(dst, uint32(x))
	}
	return binary.BigEndian.AppendUint64(dst, uint64(x))
}

// AppendBinaryFloat appends f, a value of kind Float4 or Float8.
func AppendBinaryFloat(dst []byte, k Kind, f float64) []byte {
	if k == Float4 {
		if f != f {
			return binary.BigEndian.AppendUint32(dst, 0x7fc00000)
		}
		return binary.BigEndian.AppendUint32(dst, math.Float32bits(float32(f)))
	}
	if f != f { // NaN as C has it
		return binary.BigEndian.AppendUint64(dst, 0x7ff8000000000000)
	}
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(f))
}

// AppendBinaryInterval appends an interval.
func AppendBinaryInterval(dst []byte, v IntervalVal) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(v.Micros))
	dst = binary.BigEndian.AppendUint32(dst, uint32(v.Days))
	return binary.BigEndian.AppendUint32(dst, uint32(v.Months))
}

// Signs of a numeric in binary form.
const (
	numericPos  = 0x0000
	numericNeg  = 0x4000
	numericNaN  = 0xc000
	numericPInf = 0xd000
	numericNInf = 0xf000
	infScale    = 0x20 // what PostgreSQL sends as the scale of an infinity
)

// AppendBinaryDecimal appends a number: count of base-10000 digits, weight of the
// first, sign, display scale, digits.
func AppendBinaryDecimal(dst []byte, d Decimal, arena []byte) []byte {
	head := func(n, weight int, sign uint16, scale int) {
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
		dst = binary.BigEndian.AppendUint16(dst, uint16(weight))
		dst = binary.BigEndian.AppendUint16(dst, sign)
		dst = binary.BigEndian.AppendUint16(dst, uint16(scale))
	}
	switch d.Form {
	case DecNaN:
		head(0, 0, numericNaN, 0)
		return dst
	case DecPosInf:
		head(0, 0, numericPInf, infScale)
		return dst
	case DecNegInf:
		head(0, 0, numericNInf, infScale)
		return dst
	}
	// Decimal digits, padded so that the point falls between groups of four.
	var buf [64]byte
	text := append(buf[:0], "000"...)
	if d.Form == DecBig {
		z := d.coefBig(arena)
		text = z.Abs(z).Append(text, 10)
	} else {
		text = appendUint128(text, d.Coef().abs())
	}
	scale := int(d.Scale)
	for pad := (4 - scale%4) % 4; pad > 0; pad-- {
		text = append(text, '0')
	}
	groupsAfter := (scale + 3) / 4
	text = text[len(text)%4:]
	groups := len(text) / 4
	weight := groups - groupsAfter - 1
	for groups > 0 && string(text[:4]) == "0000" {
		text, groups, weight = text[4:], groups-1, weight-1
	}
	for groups > 0 && string(text[len(text)-4:]) == "0000" {
		text, groups = text[:len(text)-4], groups-1
	}
	if groups == 0 {
		head(0, 0, numericPos, scale)
		return dst
	}
	sign := uint16(numericPos)
	if DecSign(d, arena) < 0 {
		sign = numericNeg
	}
	head(groups, weight, sign, scale)
	for ; len(text) > 0; text = text[4:] {
		g := uint16(text[0]-'0')*1000 + uint16(text[1]-'0')*100 + uint16(text[2]-'0')*10 + uint16(text[3]-'0')
		dst = binary.BigEndian.AppendUint16(dst, g)
	}
	return dst
}

// AppendBinaryArray appends an array's bytes in the protocol's form.
func AppendBinaryArray(dst, b []byte) []byte {
	r := ReadArray(b)
	be := binary.BigEndian
	oid := OID(T(r.Elem))
	if r.Len == 0 {
		dst = be.AppendUint32(dst, 0)
		dst = be.AppendUint32(dst, 0)
		return be.AppendUint32(dst, oid)
	}
	dst = be.AppendUint32(dst, 1)
	nulls := len(dst)
	dst = be.AppendUint32(dst, 0)
	dst = be.AppendUint32(dst, oid)
	dst = be.AppendUint32(dst, uint32(r.Len))
	dst = be.AppendUint32(dst, 1)
	for {
		v, ok := r.Next()
		if !ok {
			return dst
		}
		if v.Null {
			dst[nulls+3] = 1
		}
		dst = appendCounted(dst, v)
	}
}

// appendCounted appends v's binary form after its length, -1 for NULL.
func appendCounted(dst []byte, v Value) []byte {
	at := len(dst)
	dst = append(dst, 0xff, 0xff, 0xff, 0xff)
	if v.Null {
		return dst
	}
	dst = AppendBinary(dst, v)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

func appendBinaryRecord(dst, b []byte) []byte {
	fields, _ := RecordFields(b)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(fields)))
	for _, f := range fields {
		dst = binary.BigEndian.AppendUint32(dst, OID(f.T))
		dst = appendCounted(dst, f)
	}
	return dst
}

// ParseBinary reads a value of t in the protocol's binary form and applies t's modifier.
func ParseBinary(t Type, b []byte) (Value, error) {
	v, err := parseBinary(t, b)
	if err != nil || t.Mod == 0 {
		return v, err
	}
	return Coerce(v, t)
}

func parseBinary(t Type, b []byte) (Value, error) {
	v := Value{T: t}
	size := TypeLen(t)
	if layout := t.Layout(); (layout == LayoutInt || layout == LayoutFloat || layout == LayoutIvl || layout == LayoutBool) && len(b) != size {
		return v, errBinary(t.Kind)
	}
	be := binary.BigEndian
	switch t.Kind {
	case Bool:
		if b[0] != 0 {
			v.I = 1
		}
	case Int2:
		v.I = int64(int16(be.Uint16(b)))
	case Int4:
		v.I = int64(int32(be.Uint32(b)))
	case Date:
		v.I = int64(int32(be.Uint32(b)))
		if !ValidDate(v.I) {
			return v, errDateRange
		}
	case Oid, Regclass:
		v.I = int64(be.Uint32(b))
	case Int8:
		v.I = int64(be.Uint64(b))
	case Time:
		if v.I = int64(be.Uint64(b)); v.I < 0 || v.I > MicrosPerDay {
			return v, &Error{Code: CodeDatetimeOverflow, Message: "time out of range"}
		}
	case Timestamp, TimestampTZ:
		if v.I = int64(be.Uint64(b)); !ValidTimestamp(v.I) {
			return v, errTimestampRange
		}
	case Float4:
		v.F = float64(math.Float32frombits(be.Uint32(b)))
	case Float8:
		v.F = math.Float64frombits(be.Uint64(b))
	case Interval:
		v.V = IntervalVal{Micros: int64(be.Uint64(b)), Days: int32(be.Uint32(b[8:])), Months: int32(be.Uint32(b[12:]))}
	case Numeric:
		var arena []byte
		d, err := ParseBinaryDecimal(b, &arena)
		if err != nil {
			return v, err
		}
		v.D, v.S = d, string(arena)
	case Array:
		return parseBinaryArray(t, b)
	case Bytea:
		v.S = string(b)
	case Char:
		if len(b) != 1 {
			return v, errBinary(Char)
		}
		v.S = string(b)
	case Text, Varchar, Unknown, Name:
		if !utf8.Valid(b) {
			return v, &Error{Code: "22021", Message: `invalid byte sequence for encoding "UTF8"`}
		}
		v.S = string(b)
		if t.Kind == Name {
			v.S = cutUTF8(v.S, MaxNameLen)
		}
	case Void:
		v.Null = true
	default:
		return v, &Error{Code: CodeFeature, Message: "no binary input for type " + t.String()}
	}
	return v, nil
}

var (
	errTimestampRange = &Error{Code: CodeDatetimeOverflow, Message: "timestamp out of range"}
	errDateRange      = &Error{Code: CodeDatetimeOverflow, Message: "date out of range"}
	errIntervalRange  = &Error{Code: CodeDatetimeOverflow, Message: "interval out of range"}
)

// ParseBinaryDecimal reads a number in binary form; a big one has its digits
// appended to *arena.
func ParseBinaryDecimal(b []byte, arena *[]byte) (Decimal, error) {
	bad := func(what string) (Decimal, error) {
		return Decimal{}, &Error{Code: "22P03", Message: "invalid " + what + ` in external "numeric" value`}
	}
	be := binary.BigEndian
	if len(b) < 8 {
		return Decimal{}, errBinary(Numeric)
	}
	n, weight, sign, scale := int(be.Uint16(b)), int(int16(be.Uint16(b[2:]))), be.Uint16(b[4:]), int(be.Uint16(b[6:]))
	switch sign {
	case numericNaN:
		return Decimal{Form: DecNaN}, nil
	case numericPInf:
		return Decimal{Form: DecPosInf}, nil
	case numericNInf:
		return Decimal{Form: DecNegInf}, nil
	case numericPos, numericNeg:
	default:
		return bad("sign")
	}
	if scale > MaxDecScale {
		return bad("scale")
	}
	if len(b) != 8+2*n {
		return Decimal{}, errBinary(Numeric)
	}
	digits := make([]byte, 0, 4*n)
	for i := range n {
		g := be.Uint16(b[8+2*i:])
		if g > 9999 {
			return bad("digit")
		}
		digits = append(digits, byte('0'+g/1000), byte('0'+g/100%10), byte('0'+g/10%10), byte('0'+g%10))
	}
	// The groups stand for digits * 10^(4*(weight+1) - 4n); cut or pad to the scale.
	after := 4*n - 4*(weight+1)
	if cut := after - scale; cut > 0 {
		digits = digits[:max(0, len(digits)-cut)]
		after = scale
	}
	if after < 0 && len(digits) > 0 && len(digits)-after > MaxDecDigits {
		return Decimal{}, errNumericOverflow
	}
	for ; after < scale; after++ {
		digits = append(digits, '0')
	}
	return decFromDigits(digits, scale, 0, sign == numericNeg, arena)
}

func parseBinaryArray(t Type, b []byte) (Value, error) {
	be := binary.BigEndian
	if len(b) < 12 {
		return Value{}, errBinary(Array)
	}
	dims := be.Uint32(b)
	elem := t.ElemType()
	if oid := be.Uint32(b[8:]); oid != OID(elem.WithoutMod()) {
		return Value{}, &Error{Code: CodeDatatypeMismatch, Message: "wrong element type"}
	}
	var elems []Value
	switch {
	case dims > 1:
		return Value{}, &Error{Code: CodeFeature, Message: "arrays of more than one dimension are not supported yet"}
	case dims == 1:
		if len(b) < 20 {
			return Value{}, errBinary(Array)
		}
		n := be.Uint32(b[12:])
		b = b[20:]
		if uint64(n)*4 > uint64(len(b)) {
			return Value{}, errBinary(Array)
		}
		elems = make([]Value, 0, n)
		for range n {
			if len(b) < 4 {
				return Value{}, errBinary(Array)
			}
			size := int32(be.Uint32(b))
			b = b[4:]
			if size == -1 {
				elems = append(elems, NullOf(elem))
				continue
			}
			if size < 0 || int(size) > len(b) {
				return Value{}, errBinary(Array)
			}
			v, err := ParseBinary(elem, b[:size])
			if err != nil {
				return Value{}, err
			}
			elems, b = append(elems, v), b[size:]
		}
	}
	v := ArrayValue(t.Elem, elems)
	v.T = t
	return v, nil
}
