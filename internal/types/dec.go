package types

import (
	"cmp"
	"math/big"
	"math/bits"
)

// Limits of NUMERIC, PostgreSQL's.
const (
	MaxDecDigits = 131072 // digits before the decimal point
	MaxDecScale  = 16383  // digits after it
	minSigDigits = 16     // significant digits that a division gives at least
	maxDivScale  = 1000   // most digits after the point that a division gives
)

// errNumericOverflow is what PostgreSQL says when a result has too many digits.
var errNumericOverflow = &Error{Code: CodeOutOfRange, Message: "value overflows numeric format"}

// ErrDivisionByZero is the error of every division by zero.
var ErrDivisionByZero = &Error{Code: CodeDivisionByZero, Message: "division by zero"}

// IsBig reports whether d's coefficient lives in the arena.
func (d Decimal) IsBig() bool { return d.Form == DecBig }

// IsFinite reports whether d is a number, not NaN or an infinity.
func (d Decimal) IsFinite() bool { return d.Form <= DecBig }

// DecFromInt64 returns x with scale 0.
func DecFromInt64(x int64) Decimal { return Decimal{Hi: x >> 63, Lo: uint64(x)} }

// DecFromInt128 returns x / 10^scale.
func DecFromInt128(x Int128, scale int16) Decimal { return Decimal{Hi: x.Hi, Lo: x.Lo, Scale: scale} }

// Coef returns the coefficient of a finite d that is not big.
func (d Decimal) Coef() Int128 { return Int128{d.Hi, d.Lo} }

// bigBytes returns the coefficient's bytes of a big d: a sign byte (1 for minus)
// and the magnitude, most significant byte first.
func (d Decimal) bigBytes(arena []byte) []byte {
	off, n := d.Lo>>32, d.Lo&0xffffffff
	return arena[off : off+n]
}

// coefBig returns the coefficient of a finite d as a big.Int of the caller's own.
func (d Decimal) coefBig(arena []byte) *big.Int {
	z := new(big.Int)
	if d.Form == DecBig {
		b := d.bigBytes(arena)
		z.SetBytes(b[1:])
		if b[0] != 0 {
			z.Neg(z)
		}
		return z
	}
	u := d.Coef().abs()
	setUint128(z, u)
	if d.Hi < 0 {
		z.Neg(z)
	}
	return z
}

func setUint128(z *big.Int, u uint128) {
	z.SetUint64(u.hi)
	z.Lsh(z, 64)
	z.Or(z, new(big.Int).SetUint64(u.lo))
}

// int128Of returns z as an Int128 when it fits.
func int128Of(z *big.Int) (Int128, bool) {
	if z.BitLen() > 127 {
		return Int128{}, false
	}
	m := new(big.Int).Abs(z)
	lo := new(big.Int).And(m, maxUint64).Uint64()
	return uint128{new(big.Int).Rsh(m, 64).Uint64(), lo}.signed(z.Sign() < 0)
}

var maxUint64 = new(big.Int).SetUint64(^uint64(0))

// decOf returns z / 10^scale; what does not fit 128 bits is appended to arena.
func decOf(z *big.Int, scale int, arena *[]byte) (Decimal, error) {
	if c, ok := int128Of(z); ok {
		return Decimal{Hi: c.Hi, Lo: c.Lo, Scale: int16(scale)}, nil
	}
	if z.BitLen() > (MaxDecDigits+scale)*3 && bigDigits(z) > MaxDecDigits+scale {
		return Decimal{}, errNumericOverflow
	}
	sign := byte(0)
	if z.Sign() < 0 {
		sign = 1
	}
	off := len(*arena)
	*arena = append(*arena, sign)
	n := (z.BitLen() + 7) / 8
	*arena = append(*arena, make([]byte, n)...)
	z.FillBytes((*arena)[off+1:])
	return Decimal{Lo: uint64(off)<<32 | uint64(n+1), Scale: int16(scale), Form: DecBig}, nil
}

// bigDigits returns how many decimal digits z has.
func bigDigits(z *big.Int) int {
	if z.Sign() == 0 {
		return 0
	}
	n := int(float64(z.BitLen()-1)*0.30102999566398120) + 1
	if new(big.Int).Abs(z).Cmp(bigPow10(n)) >= 0 {
		n++
	}
	return n
}

func bigPow10(n int) *big.Int {
	if n <= maxPow10 {
		z := new(big.Int)
		setUint128(z, pow10[n])
		return z
	}
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// DecAddFast returns a+b when both are plain numbers of one scale and the sum
// fits 128 bits; else ok is false and DecAdd gives the answer. It is inlined.
func DecAddFast(a, b Decimal) (sum Decimal, ok bool) {
	lo, c := bits.Add64(a.Lo, b.Lo, 0)
	hi := a.Hi + b.Hi + int64(c)
	return Decimal{hi, lo, a.Scale, 0}, a.Scale == b.Scale && a.Form|b.Form == 0 && (a.Hi^hi)&(b.Hi^hi) >= 0
}

// DecAdd returns a+b. Big operands have their digits in aa and ba; a big result
// has them appended to *arena.
func DecAdd(a Decimal, aa []byte, b Decimal, ba []byte, arena *[]byte) (Decimal, error) {
	if d, ok := DecAddFast(a, b); ok {
		return d, nil
	}
	if a.Form|b.Form == DecFinite {
		if x, y, scale, ok := align(a, b); ok {
			if s, ok := x.Add(y); ok {
				return DecFromInt128(s, scale), nil
			}
		}
	}
	if a.Form > DecBig || b.Form > DecBig {
		return addSpecial(a, b), nil
	}
	x, y, scale := alignBig(a, aa, b, ba)
	return decOf(x.Add(x, y), scale, arena)
}

// DecSub returns a-b; see DecAdd.
func DecSub(a Decimal, aa []byte, b Decimal, ba []byte, arena *[]byte) (Decimal, error) {
	if a.Form|b.Form == DecFinite {
		if x, y, scale, ok := align(a, b); ok {
			if s, ok := x.Sub(y); ok {
				return DecFromInt128(s, scale), nil
			}
		}
	}
	if a.Form > DecBig || b.Form > DecBig {
		return addSpecial(a, flip(b)), nil
	}
	x, y, scale := alignBig(a, aa, b, ba)
	return decOf(x.Sub(x, y), scale, arena)
}

// align brings two plain numbers to their larger scale; ok is false when one leaves 128 bits.
func align(a, b Decimal) (x, y Int128, scale int16, ok bool) {
	x, y = a.Coef(), b.Coef()
	if a.Scale == b.Scale {
		return x, y, a.Scale, true
	}
	if a.Scale < b.Scale {
		x, ok = x.scaleUp(int(b.Scale) - int(a.Scale))
		return x, y, b.Scale, ok
	}
	y, ok = y.scaleUp(int(a.Scale) - int(b.Scale))
	return x, y, a.Scale, ok
}

// scaleUp returns a * 10^n; ok is false when that leaves 128 bits.
func (a Int128) scaleUp(n int) (Int128, bool) {
	if a == (Int128{}) {
		return a, true
	}
	if n > maxPow10 {
		return a, false
	}
	p, over := a.abs().mul(pow10[n])
	if over {
		return a, false
	}
	return p.signed(a.Hi < 0)
}

func alignBig(a Decimal, aa []byte, b Decimal, ba []byte) (x, y *big.Int, scale int) {
	x, y = a.coefBig(aa), b.coefBig(ba)
	switch {
	case a.Scale < b.Scale:
		x.Mul(x, bigPow10(int(b.Scale)-int(a.Scale)))
		return x, y, int(b.Scale)
	case a.Scale > b.Scale:
		y.Mul(y, bigPow10(int(a.Scale)-int(b.Scale)))
	}
	return x, y, int(a.Scale)
}

// addSpecial adds when one of a and b at least is NaN or infinite.
func addSpecial(a, b Decimal) Decimal {
	switch {
	case a.Form == DecNaN || b.Form == DecNaN:
		return Decimal{Form: DecNaN}
	case a.IsFinite():
		return b
	case b.IsFinite() || a.Form == b.Form:
		return a
	}
	return Decimal{Form: DecNaN}
}

// flip negates an infinity.
func flip(d Decimal) Decimal {
	switch d.Form {
	case DecPosInf:
		d.Form = DecNegInf
	case DecNegInf:
		d.Form = DecPosInf
	}
	return d
}

// infOf is the infinity of a sign that is not 0.
func infOf(sign int) Decimal {
	if sign < 0 {
		return Decimal{Form: DecNegInf}
	}
	return Decimal{Form: DecPosInf}
}

// DecMul returns a*b; see DecAdd.
func DecMul(a Decimal, aa []byte, b Decimal, ba []byte, arena *[]byte) (Decimal, error) {
	scale := int(a.Scale) + int(b.Scale)
	if a.Form|b.Form == DecFinite && scale <= MaxDecScale {
		x, y := int64(a.Lo), int64(b.Lo)
		if a.Hi == x>>63 && b.Hi == y>>63 {
			return DecFromInt128(MulInt64(x, y), int16(scale)), nil
		}
		if p, over := a.Coef().abs().mul(b.Coef().abs()); !over {
			if c, ok := p.signed(a.Hi^b.Hi < 0); ok {
				return DecFromInt128(c, int16(scale)), nil
			}
		}
	}
	if a.Form > DecBig || b.Form > DecBig {
		if a.Form == DecNaN || b.Form == DecNaN {
			return Decimal{Form: DecNaN}, nil
		}
		s := DecSign(a, aa) * DecSign(b, ba)
		if s == 0 {
			return Decimal{Form: DecNaN}, nil
		}
		return infOf(s), nil
	}
	x := a.coefBig(aa)
	x.Mul(x, b.coefBig(ba))
	if scale > MaxDecScale {
		x, scale = roundBig(x, scale, MaxDecScale), MaxDecScale
	}
	return decOf(x, scale, arena)
}

// DecNeg returns -a; see DecAdd.
func DecNeg(a Decimal, aa []byte, arena *[]byte) (Decimal, error) {
	switch {
	case a.Form == DecFinite && a.Hi != -1<<63:
		c := a.Coef().Neg()
		return DecFromInt128(c, a.Scale), nil
	case a.Form > DecBig:
		return flip(a), nil
	}
	x := a.coefBig(aa)
	return decOf(x.Neg(x), int(a.Scale), arena)
}

// DecAbs returns |a|; see DecAdd.
func DecAbs(a Decimal, aa []byte, arena *[]byte) (Decimal, error) {
	if DecSign(a, aa) < 0 {
		return DecNeg(a, aa, arena)
	}
	return DecCopy(a, aa, arena), nil
}

// DecCopy returns a with its digits, when big, appended to *arena.
func DecCopy(a Decimal, aa []byte, arena *[]byte) Decimal {
	if a.Form == DecBig {
		off := len(*arena)
		b := a.bigBytes(aa)
		*arena = append(*arena, b...)
		a.Lo = uint64(off)<<32 | uint64(len(b))
	}
	return a
}

// DecSign returns -1, 0 or 1 as a is negative, zero or positive; NaN is 1.
func DecSign(a Decimal, aa []byte) int {
	switch a.Form {
	case DecFinite:
		return a.Coef().Sign()
	case DecBig:
		if a.bigBytes(aa)[0] != 0 {
			return -1
		}
		return 1
	case DecNegInf:
		return -1
	}
	return 1
}

// CompareDec returns -1, 0 or 1 as a is less than, equal to or more than b. NaN
// equals itself and is above everything else.
func CompareDec(a Decimal, aa []byte, b Decimal, ba []byte) int {
	if a.Form|b.Form == DecFinite {
		if x, y, _, ok := align(a, b); ok {
			return x.Cmp(y)
		}
	}
	if a.Form > DecBig || b.Form > DecBig {
		return cmp.Compare(decRank(a), decRank(b))
	}
	if sa, sb := DecSign(a, aa), DecSign(b, ba); sa != sb {
		if sa < sb {
			return -1
		}
		return 1
	}
	x, y, _ := alignBig(a, aa, b, ba)
	return x.Cmp(y)
}

// EqualDec reports whether a and b are equal numbers, whatever their scales.
func EqualDec(a Decimal, aa []byte, b Decimal, ba []byte) bool {
	return CompareDec(a, aa, b, ba) == 0
}

// decRank orders the forms: -Infinity, numbers, Infinity, NaN.
func decRank(d Decimal) int {
	switch d.Form {
	case DecNegInf:
		return -1
	case DecPosInf:
		return 1
	case DecNaN:
		return 2
	}
	return 0
}
