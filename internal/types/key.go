package types

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
)

// Keys are bytes whose order is that of the values: bytes.Compare of two keys is
// Compare of the values, concatenated keys order rows, and equal values have equal
// keys. A key starts with a byte that tells NULL from values. It cannot be turned
// back into a value where equal values print differently (1.0 and 1.00).

const (
	keyNullFirst = 0x00
	keyValue     = 0x01
	keyNullLast  = 0x02
)

// AppendKey appends v's key. desc inverts the order of the values; nullsFirst
// places NULLs, whatever desc is.
func AppendKey(dst []byte, v Value, desc, nullsFirst bool) []byte {
	if v.Null || v.T.Layout() == LayoutNone {
		return AppendKeyNull(dst, nullsFirst)
	}
	switch v.T.Layout() {
	case LayoutFloat:
		return AppendKeyFloat(dst, v.F, desc)
	case LayoutDec:
		return AppendKeyDec(dst, v.D, arenaOf(v), desc)
	case LayoutIvl:
		return AppendKeyIvl(dst, v.V, desc)
	case LayoutStr:
		switch v.T.Kind {
		case Array:
			return AppendKeyArray(dst, []byte(v.S), desc)
		case Record:
			return appendKeyRecord(dst, []byte(v.S), desc)
		}
		return AppendKeyBytes(dst, []byte(v.S), desc)
	}
	return AppendKeyInt(dst, v.I, desc)
}

// AppendKeyNull appends the key of NULL.
func AppendKeyNull(dst []byte, nullsFirst bool) []byte {
	if nullsFirst {
		return append(dst, keyNullFirst)
	}
	return append(dst, keyNullLast)
}

func flipMask(desc bool) uint64 {
	if desc {
		return math.MaxUint64
	}
	return 0
}

// AppendKeyInt appends the key of a value of integer or boolean layout: 9 bytes.
func AppendKeyInt(dst []byte, x int64, desc bool) []byte {
	return binary.BigEndian.AppendUint64(append(dst, keyValue), uint64(x)^1<<63^flipMask(desc))
}

// AppendKeyFloat appends the key of a float: 9 bytes. -0 is as 0, NaN comes last.
func AppendKeyFloat(dst []byte, f float64, desc bool) []byte {
	u := math.Float64bits(f)
	switch {
	case f == 0:
		u = 1 << 63
	case f != f:
		u = math.MaxUint64
	case u>>63 != 0:
		u = ^u
	default:
		u |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(append(dst, keyValue), u^flipMask(desc))
}

// AppendKeyIvl appends the key of an interval: 11 bytes.
func AppendKeyIvl(dst []byte, v IntervalVal, desc bool) []byte {
	s := v.span() // below 2^75
	m := flipMask(desc)
	dst = binary.BigEndian.AppendUint16(append(dst, keyValue), uint16(s.Hi)^1<<15^uint16(m))
	return binary.BigEndian.AppendUint64(dst, s.Lo^m)
}

// AppendKeyBytes appends the key of a string: its bytes with 0x00 as 0x00 0xff, then 0x00 0x01.
func AppendKeyBytes(dst, b []byte, desc bool) []byte {
	dst = append(dst, keyValue)
	start := len(dst)
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			break
		}
		dst = append(append(dst, b[:i]...), 0x00, 0xff)
		b = b[i+1:]
	}
	dst = append(append(dst, b...), 0x00, 0x01)
	return invertFrom(dst, start, desc)
}

func invertFrom(dst []byte, start int, desc bool) []byte {
	if desc {
		for i := start; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	return dst
}

// Classes of numbers in keys.
const (
	keyDecNegInf = iota + 1
	keyDecNeg
	keyDecZero
	keyDecPos
	keyDecPosInf
	keyDecNaN
)

// AppendKeyDec appends the key of a number: its class, the exponent of its first
// digit and its digits, two a byte, without trailing zeros. Those of a negative
// number are inverted.
func AppendKeyDec(dst []byte, d Decimal, arena []byte, desc bool) []byte {
	dst = append(dst, keyValue)
	start := len(dst)
	sign := DecSign(d, arena)
	switch {
	case d.Form == DecNaN:
		dst = append(dst, keyDecNaN)
	case d.Form == DecPosInf:
		dst = append(dst, keyDecPosInf)
	case d.Form == DecNegInf:
		dst = append(dst, keyDecNegInf)
	case sign == 0:
		dst = append(dst, keyDecZero)
	case sign > 0:
		dst = appendKeyDigits(append(dst, keyDecPos), d, arena)
	default:
		dst = append(dst, keyDecNeg)
		at := len(dst)
		dst = invertFrom(appendKeyDigits(dst, d, arena), at, true)
	}
	return invertFrom(dst, start, desc)
}

func appendKeyDigits(dst []byte, d Decimal, arena []byte) []byte {
	var buf [48]byte
	digits := buf[:0]
	if d.Form == DecBig {
		digits = new(big.Int).SetBytes(d.bigBytes(arena)[1:]).Append(digits, 10)
	} else {
		digits = appendUint128(digits, d.Coef().abs())
	}
	const bias = 1 << 23
	exp := uint32(len(digits) - int(d.Scale) + bias)
	dst = append(dst, byte(exp>>16), byte(exp>>8), byte(exp))
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	for i := 0; i < len(digits); i += 2 {
		p := (digits[i] - '0') * 10
		if i+1 < len(digits) {
			p += digits[i+1] - '0'
		}
		dst = append(dst, p+1)
	}
	return append(dst, 0)
}

// AppendKeyArray appends the key of an array's bytes: its elements' keys, then 0x00.
func AppendKeyArray(dst, b []byte, desc bool) []byte {
	dst = append(dst, keyValue)
	start := len(dst)
	for r := ReadArray(b); ; {
		v, ok := r.Next()
		if !ok {
			break
		}
		dst = AppendKey(dst, v, false, false)
	}
	return invertFrom(append(dst, 0), start, desc)
}

func appendKeyRecord(dst, b []byte, desc bool) []byte {
	fields, _ := RecordFields(b)
	dst = append(dst, keyValue)
	start := len(dst)
	for _, v := range fields {
		dst = AppendKey(dst, v, false, false)
	}
	return invertFrom(append(dst, 0), start, desc)
}
