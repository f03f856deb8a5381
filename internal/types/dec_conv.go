package types

import (
	"math"
	"math/big"
	"strconv"
)

// outOfRange is PostgreSQL's error for a value that type k cannot hold.
func outOfRange(k Kind) *Error {
	return &Error{Code: CodeOutOfRange, Message: k.String() + " out of range"}
}

// ErrIntOutOfRange is the error for a number that does not fit the integer kind k:
// "integer out of range".
func ErrIntOutOfRange(k Kind) *Error { return outOfRange(k) }

// CheckInt returns x, or "integer out of range" when kind k cannot hold it.
func CheckInt(k Kind, x int64) (int64, error) {
	switch k {
	case Int2:
		if x != int64(int16(x)) {
			return 0, outOfRange(k)
		}
	case Int4:
		if x != int64(int32(x)) {
			return 0, outOfRange(k)
		}
	case Oid, Regclass:
		if x != int64(uint32(x)) {
			return 0, outOfRange(k)
		}
	}
	return x, nil
}

// DecToInt64 rounds d half away from zero. What does not fit is error 22003.
func DecToInt64(d Decimal, arena []byte) (int64, error) { return DecToInt(Int8, d, arena) }

// DecToInt is DecToInt64 for the integer kind k, as the cast from numeric does.
func DecToInt(k Kind, d Decimal, arena []byte) (int64, error) {
	if d.Form > DecBig {
		what := "infinity"
		if d.Form == DecNaN {
			what = "NaN"
		}
		return 0, &Error{Code: CodeFeature, Message: "cannot convert " + what + " to " + k.String()}
	}
	var scratch []byte
	r, err := DecRound(d, arena, 0, &scratch)
	if err != nil {
		return 0, err
	}
	x, ok := r.Coef().Int64()
	if !ok || r.Form != DecFinite {
		return 0, outOfRange(k)
	}
	return CheckInt(k, x)
}

// DecToInt64Exact returns d as an integer; a fraction that is not zero, or a
// value outside int64, is an error.
func DecToInt64Exact(d Decimal, arena []byte) (int64, error) {
	x, err := DecToInt64(d, arena)
	if err == nil && CompareDec(d, arena, DecFromInt64(x), nil) != 0 {
		err = &Error{Code: CodeInvalidText, Message: "invalid input syntax for type bigint: \"" + string(AppendDecimal(nil, d, arena)) + "\""}
	}
	return x, err
}

// DecToFloat64 returns the nearest float64; error 22003 when there is none.
func DecToFloat64(d Decimal, arena []byte) (float64, error) {
	switch d.Form {
	case DecNaN:
		return math.NaN(), nil
	case DecPosInf:
		return math.Inf(1), nil
	case DecNegInf:
		return math.Inf(-1), nil
	case DecFinite:
		// Exact operands below 2^53 and powers up to 10^22 give a correctly rounded quotient.
		if u := d.Coef().abs(); u.hi == 0 && u.lo < 1<<53 && d.Scale <= 22 {
			f := float64(u.lo) / float64Pow10[d.Scale]
			if d.Hi < 0 {
				f = -f
			}
			return f, nil
		}
	}
	var buf [64]byte
	text := AppendDecimal(buf[:0], d, arena)
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, &Error{Code: CodeOutOfRange, Message: "\"" + string(text) + "\" is out of range for type double precision"}
	}
	return f, nil
}

// DecToFloat4 returns the nearest float32 as a float64; error 22003 when there is none.
func DecToFloat4(d Decimal, arena []byte) (float64, error) {
	switch d.Form {
	case DecNaN, DecPosInf, DecNegInf:
		return DecToFloat64(d, arena)
	}
	text := string(AppendDecimal(nil, d, arena))
	f, err := strconv.ParseFloat(text, 32)
	if err != nil || f == 0 && DecSign(d, arena) != 0 {
		return 0, &Error{Code: CodeOutOfRange, Message: "\"" + text + "\" is out of range for type real"}
	}
	return f, nil
}

// float64Pow10 holds the powers of ten that float64 represents exactly.
var float64Pow10 = [23]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// Significant digits that casts from floats to numeric keep.
const (
	float8Digits = 15
	float4Digits = 6
)

// DecFromFloat64 converts as the cast from double precision does: 15 significant
// digits, without trailing zeros.
func DecFromFloat64(f float64, arena *[]byte) (Decimal, error) {
	return decFromFloat(f, float8Digits, arena)
}

// DecFromFloat4 converts as the cast from real does: 6 significant digits.
func DecFromFloat4(f float64, arena *[]byte) (Decimal, error) {
	return decFromFloat(f, float4Digits, arena)
}

func decFromFloat(f float64, digits int, arena *[]byte) (Decimal, error) {
	switch {
	case f != f:
		return Decimal{Form: DecNaN}, nil
	case math.IsInf(f, 0):
		return infOf(int(math.Copysign(1, f))), nil
	}
	var buf [40]byte
	b := strconv.AppendFloat(buf[:0], f, 'g', digits, 64)
	return parseDecimal(trimFloat(b), arena)
}

// trimFloat drops the zeros that %g would not print after the point of 1.500e+20.
func trimFloat(b []byte) []byte {
	end, dot := len(b), -1
	for i, c := range b {
		if c == '.' {
			dot = i
		}
		if c == 'e' {
			end = i
			break
		}
	}
	if dot < 0 {
		return b
	}
	cut := end
	for cut > dot+1 && b[cut-1] == '0' {
		cut--
	}
	if cut == dot+1 {
		cut = dot
	}
	return append(b[:cut], b[end:]...)
}

// DecFromBig returns z / 10^scale.
func DecFromBig(z *big.Int, scale int16, arena *[]byte) (Decimal, error) {
	return decOf(z, int(scale), arena)
}

// DecBigInt returns the coefficient of a finite d; the number is that / 10^d.Scale.
func DecBigInt(d Decimal, arena []byte) *big.Int { return d.coefBig(arena) }

// DecValue boxes d, whose digits when big are in arena.
func DecValue(d Decimal, arena []byte) Value {
	v := Value{T: T(Numeric), D: d}
	if d.Form == DecBig {
		b := d.bigBytes(arena)
		v.S = string(b)
		v.D.Lo = uint64(len(b))
	}
	return v
}
