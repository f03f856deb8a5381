package types

import (
	"bytes"
	"math/big"
	"strconv"
)

// AppendDecimal appends d as PostgreSQL prints it: all digits, Scale of them after
// the point. A big d has its digits in arena. It does not allocate unless d is big.
func AppendDecimal(dst []byte, d Decimal, arena []byte) []byte {
	switch d.Form {
	case DecNaN:
		return append(dst, "NaN"...)
	case DecPosInf:
		return append(dst, "Infinity"...)
	case DecNegInf:
		return append(dst, "-Infinity"...)
	case DecBig:
		b := d.bigBytes(arena)
		if b[0] != 0 {
			dst = append(dst, '-')
		}
		start := len(dst)
		dst = new(big.Int).SetBytes(b[1:]).Append(dst, 10)
		return pointAt(dst, start, int(d.Scale))
	}
	if d.Hi < 0 {
		dst = append(dst, '-')
	}
	start := len(dst)
	dst = appendUint128(dst, d.Coef().abs())
	if d.Scale > 0 {
		dst = pointAt(dst, start, int(d.Scale))
	}
	return dst
}

// AppendInt128 appends a in decimal.
func AppendInt128(dst []byte, a Int128) []byte {
	if a.Hi < 0 {
		dst = append(dst, '-')
	}
	return appendUint128(dst, a.abs())
}

const tenTo19 = 10000000000000000000

func appendUint128(dst []byte, u uint128) []byte {
	if u.hi == 0 {
		return strconv.AppendUint(dst, u.lo, 10)
	}
	q, r := u.div64(tenTo19)
	dst = appendUint128(dst, q)
	start := len(dst)
	dst = append(dst, "0000000000000000000"...)
	for i := len(dst) - 1; i >= start; i-- {
		dst[i] = byte('0' + r%10)
		r /= 10
	}
	return dst
}

// pointAt puts the decimal point into the digits dst[start:], with zeros before
// them when they are too few.
func pointAt(dst []byte, start, scale int) []byte {
	if scale == 0 {
		return dst
	}
	n := len(dst) - start
	if pad := scale + 1 - n; pad > 0 {
		for range pad {
			dst = append(dst, '0')
		}
		copy(dst[start+pad:], dst[start:start+n])
		for i := range pad {
			dst[start+i] = '0'
		}
	}
	dst = append(dst, 0)
	at := len(dst) - 1 - scale
	copy(dst[at+1:], dst[at:])
	dst[at] = '.'
	return dst
}

// ParseDecimalBytes reads a plain decimal number such as -12.30 that fits 128
// bits. ok is false for anything else, which Parse then judges.
func ParseDecimalBytes(b []byte) (d Decimal, ok bool) {
	i, neg := 0, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		neg = b[0] == '-'
		i = 1
	}
	const fits = 18 // decimal digits that always fit the accumulator
	var acc uint64
	digits, scale, point := 0, 0, false
	for ; i < len(b); i++ {
		c := b[i] - '0'
		if c > 9 {
			if b[i] != '.' || point {
				return Decimal{}, false
			}
			point = true
			continue
		}
		if digits == fits {
			return parseLongDecimal(b)
		}
		acc = acc*10 + uint64(c)
		digits++
		if point {
			scale++
		}
	}
	if digits == 0 {
		return Decimal{}, false
	}
	x := int64(acc)
	if neg {
		x = -x
	}
	return Decimal{Hi: x >> 63, Lo: uint64(x), Scale: int16(scale)}, true
}

// parseLongDecimal is ParseDecimalBytes for more than 18 digits.
func parseLongDecimal(b []byte) (Decimal, bool) {
	i, neg := 0, b[0] == '-'
	if neg || b[0] == '+' {
		i = 1
	}
	var u uint128
	scale, point, over := 0, false, false
	for ; i < len(b); i++ {
		c := b[i] - '0'
		if c > 9 {
			if b[i] != '.' || point {
				return Decimal{}, false
			}
			point = true
			continue
		}
		if u, over = u.mul64(10); over {
			return Decimal{}, false
		}
		u = u.add(uint128{0, uint64(c)})
		if u.hi>>63 != 0 {
			return Decimal{}, false
		}
		if point {
			scale++
		}
	}
	c, ok := u.signed(neg)
	return DecFromInt128(c, int16(scale)), ok && scale <= MaxDecScale
}

func badDecimal(b []byte) *Error {
	return &Error{Code: CodeInvalidText, Message: `invalid input syntax for type numeric: "` + string(b) + `"`}
}

// parseDecimal reads whatever PostgreSQL's numeric_in does; big digits go to *arena.
func parseDecimal(b []byte, arena *[]byte) (Decimal, error) {
	if d, ok := ParseDecimalBytes(b); ok {
		return d, nil
	}
	s := bytes.Trim(b, " \t\n\r\v\f")
	t := s
	neg := false
	if len(t) > 0 && (t[0] == '-' || t[0] == '+') {
		neg = t[0] == '-'
		t = t[1:]
	}
	if len(t) > 0 && t[0] != '.' && (t[0] < '0' || t[0] > '9') {
		switch {
		case equalFold(t, "infinity") || equalFold(t, "inf"):
			if neg {
				return Decimal{Form: DecNegInf}, nil
			}
			return Decimal{Form: DecPosInf}, nil
		case equalFold(s, "nan"):
			return Decimal{Form: DecNaN}, nil
		}
		return Decimal{}, badDecimal(b)
	}
	// Digits with at most one point, then an exponent.
	digits := make([]byte, 0, len(t))
	scale, point := 0, false
	i := 0
	for ; i < len(t); i++ {
		if t[i] == '.' && !point {
			point = true
			continue
		}
		if t[i] < '0' || t[i] > '9' {
			break
		}
		digits = append(digits, t[i])
		if point {
			scale++
		}
	}
	if len(digits) == 0 {
		return Decimal{}, badDecimal(b)
	}
	exp := 0
	if i < len(t) {
		if t[i]|0x20 != 'e' {
			return Decimal{}, badDecimal(b)
		}
		var err error
		if exp, err = strconv.Atoi(string(t[i+1:])); err != nil {
			if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrRange {
				return Decimal{}, errNumericOverflow
			}
			return Decimal{}, badDecimal(b)
		}
		const maxExp = 1<<30 - 1 // PostgreSQL's bound of an exponent as written
		if exp >= maxExp || exp <= -maxExp {
			return Decimal{}, errNumericOverflow
		}
	}
	return decFromDigits(digits, scale, exp, neg, arena)
}

// decFromDigits returns digits / 10^scale * 10^exp with the scale that PostgreSQL gives it.
func decFromDigits(digits []byte, scale, exp int, neg bool, arena *[]byte) (Decimal, error) {
	lead := 0
	for lead < len(digits) && digits[lead] == '0' {
		lead++
	}
	digits = digits[lead:]
	if len(digits) > 0 && len(digits)-scale+exp > MaxDecDigits {
		return Decimal{}, errNumericOverflow
	}
	scale -= exp
	if scale > MaxDecScale {
		return Decimal{}, errNumericOverflow
	}
	z := new(big.Int)
	if len(digits) > 0 {
		z.SetString(string(digits), 10)
	}
	if scale < 0 {
		if len(digits) > 0 {
			z.Mul(z, bigPow10(-scale))
		}
		scale = 0
	}
	if neg {
		z.Neg(z)
	}
	return decOf(z, scale, arena)
}

// equalFold reports whether b is the lower-case ASCII word, in any case.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
