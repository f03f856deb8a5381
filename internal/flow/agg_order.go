package flow

import (
	"encoding/binary"
	"math"
	"math/big"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// appendOrdered appends row i of col, which is not NULL, as bytes in SQL's order,
// and after them what it takes to read the value back, so that values that are
// equal in SQL but written differently have an order too. Within one column no
// value's bytes are another's beginning, except for text.
func appendOrdered(dst []byte, col *batch.Column, i int) []byte {
	switch col.Type.Layout() {
	case types.LayoutBool:
		return append(dst, col.U8[i])
	case types.LayoutInt:
		return binary.BigEndian.AppendUint64(dst, orderedInt(col.I64[i]))
	case types.LayoutFloat:
		return binary.BigEndian.AppendUint64(dst, orderedFloat(col.F64[i]))
	case types.LayoutDec:
		return appendOrderedDec(dst, col.Dec[i], col.Bytes)
	case types.LayoutIvl:
		return appendOrderedIvl(dst, col.Ivl[i])
	case types.LayoutStr:
		return append(dst, col.StrAt(i)...)
	}
	return dst
}

// takeOrdered appends to dst, which holds n values, the value whose bytes key holds.
func takeOrdered(key []byte, dst *batch.Column, n int) {
	switch dst.Type.Layout() {
	case types.LayoutBool:
		dst.AppendBool(n, key[0] != 0)
	case types.LayoutInt:
		dst.AppendInt(n, int64(binary.BigEndian.Uint64(key)^1<<63))
	case types.LayoutFloat:
		dst.AppendFloat(n, unorderedFloat(binary.BigEndian.Uint64(key)))
	case types.LayoutDec:
		d, digits := takeDec(key)
		dst.AppendDec(n, d, digits)
	case types.LayoutIvl:
		dst.AppendIvl(n, takeIvlForm(key[len(key)-16:]))
	case types.LayoutStr:
		dst.AppendStr(n, key)
	default:
		dst.AppendNull(n)
	}
}

func orderedInt(v int64) uint64 { return uint64(v) ^ 1<<63 }

// orderedFloat maps floats to integers of the same order: NaN last, -0 after 0.
func orderedFloat(f float64) uint64 {
	if f != f {
		return ^uint64(0)
	}
	if f == 0 { // the other way round than their bits
		f = -f
	}
	u := math.Float64bits(f)
	if u>>63 != 0 {
		return ^u
	}
	return u | 1<<63
}

func unorderedFloat(u uint64) float64 {
	switch {
	case u == 1<<63:
		return math.Copysign(0, -1)
	case u == 1<<63-1:
		return 0
	case u == ^uint64(0):
		return math.NaN()
	case u>>63 != 0:
		return math.Float64frombits(u &^ (1 << 63))
	}
	return math.Float64frombits(^u)
}

// appendOrderedIvl: the span in microseconds, 128 bits, then the form.
func appendOrderedIvl(dst []byte, v types.IntervalVal) []byte {
	span := types.MulInt64(30*int64(v.Months)+int64(v.Days), types.MicrosPerDay)
	span, _ = span.AddInt64(v.Micros)
	dst = binary.BigEndian.AppendUint64(dst, orderedInt(span.Hi))
	dst = binary.BigEndian.AppendUint64(dst, span.Lo)
	return appendIvlForm(dst, v)
}

// The first byte of a numeric's key.
const (
	decOrderNegInf = iota
	decOrderNeg
	decOrderZero
	decOrderPos
	decOrderPosInf
	decOrderNaN
)

// appendOrderedDec: a class; for numbers other than 0 the power of ten before which
// the digits stand, the digits without zeros at the end, and an end mark, all
// complemented below 0; then the scale, on which nothing in SQL's order depends.
func appendOrderedDec(dst []byte, d types.Decimal, arena []byte) []byte {
	switch d.Form {
	case types.DecNaN:
		return append(dst, decOrderNaN, 0, 0)
	case types.DecPosInf:
		return append(dst, decOrderPosInf, 0, 0)
	case types.DecNegInf:
		return append(dst, decOrderNegInf, 0, 0)
	}
	scale := d.Scale
	sign := types.DecSign(d, arena)
	switch {
	case sign == 0:
		dst = append(dst, decOrderZero)
		return binary.BigEndian.AppendUint16(dst, uint16(scale))
	case sign < 0:
		dst = append(dst, decOrderNeg)
	default:
		dst = append(dst, decOrderPos)
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if d.Form == types.DecFinite {
		dst = types.AppendInt128(dst, d.Coef())
	} else {
		dst = types.DecBigInt(d, arena).Append(dst, 10)
	}
	if sign < 0 { // without the minus
		dst = append(dst[:start+4], dst[start+5:]...)
	}
	n := len(dst) - start - 4
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(n-int(scale))+1<<31)
	dst = append(dst, 0)
	if sign < 0 {
		for i := start; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	return binary.BigEndian.AppendUint16(dst, uint16(scale))
}

// takeDec reads what appendOrderedDec wrote.
func takeDec(key []byte) (d types.Decimal, digits []byte) {
	switch key[0] {
	case decOrderNaN:
		return types.Decimal{Form: types.DecNaN}, nil
	case decOrderPosInf:
		return types.Decimal{Form: types.DecPosInf}, nil
	case decOrderNegInf:
		return types.Decimal{Form: types.DecNegInf}, nil
	}
	scale := int16(binary.BigEndian.Uint16(key[len(key)-2:]))
	if key[0] == decOrderZero {
		return types.Decimal{Scale: scale}, nil
	}
	flip := byte(0)
	if key[0] == decOrderNeg {
		flip = 0xff
	}
	var power uint32
	for _, c := range key[1:5] {
		power = power<<8 | uint32(c^flip)
	}
	body := key[5 : len(key)-3]
	text := make([]byte, 0, len(body)+8)
	for _, c := range body {
		text = append(text, c^flip)
	}
	for n := int(int32(power-1<<31)) + int(scale); len(text) < n; {
		text = append(text, '0')
	}
	z, _ := new(big.Int).SetString(string(text), 10)
	if flip != 0 {
		z.Neg(z)
	}
	d, err := types.DecFromBig(z, scale, &digits)
	if err != nil {
		panic("flow: a stored numeric has too many digits: " + err.Error())
	}
	return d, digits
}

// appendSortable appends row i of col for a key of several columns: NULLs where the
// order wants them, text escaped so that no value is another's beginning, everything
// complemented for descending order.
func appendSortable(dst []byte, col *batch.Column, i int, desc, nullsFirst bool) []byte {
	null, value := byte(2), byte(1)
	if nullsFirst {
		null = 0
	}
	if col.Null(i) {
		return append(dst, null)
	}
	dst = append(dst, value)
	start := len(dst)
	if col.Type.Layout() != types.LayoutStr {
		dst = appendOrdered(dst, col, i)
	} else {
		for _, c := range col.StrAt(i) {
			if dst = append(dst, c); c == 0 {
				dst = append(dst, 0xff)
			}
		}
		dst = append(dst, 0, 0)
	}
	if desc {
		for j := start; j < len(dst); j++ {
			dst[j] = ^dst[j]
		}
	}
	return dst
}
