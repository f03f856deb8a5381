package types

import (
	"math"
	"math/big"
	"strconv"

	"github.com/cockroachdb/apd/v3"
)

// The functions below give as many digits as PostgreSQL does. Results are
// computed with guard digits in integer arithmetic, the same on every platform;
// floats only choose the scale.

const (
	guardDigits   = 12
	maxResultExp  = 6000 // exp of more overflows, of less is zero
	codePowerArg  = "2201F"
	codeLogArg    = "2201E"
	log10e        = 0.434294481903252
	maxIntPowerLn = 3 * math.MaxInt16 * 4 // decimal digits that a power surely overflows with
)

func sqlErr(code, msg string) error { return &Error{Code: code, Message: msg} }

// scaleFor is the scale that gives 16 significant digits to a result whose first
// digit has the decimal exponent weight, and no fewer than the arguments have.
func scaleFor(weight int, scales ...int16) int {
	s := minSigDigits - weight
	for _, a := range scales {
		s = max(s, int(a))
	}
	return min(max(s, 0), maxDivScale)
}

// DecSqrt returns the square root; error 2201F for negative numbers.
func DecSqrt(a Decimal, aa []byte, arena *[]byte) (Decimal, error) {
	if a.Form == DecNaN || a.Form == DecPosInf {
		return a, nil
	}
	if DecSign(a, aa) < 0 {
		return Decimal{}, sqlErr(codePowerArg, "cannot take square root of a negative number")
	}
	w, _ := leading(a, aa)
	weight := 0
	if w >= 0 {
		weight = w*2 + 1
	} else {
		weight = 1 - (1-w*4)/2
	}
	scale := scaleFor(weight, a.Scale)
	z := a.coefBig(aa)
	// sqrt(c/10^s) with one more digit than asked for, cut off; then rounded.
	up := 2*(scale+1) - int(a.Scale)
	if up >= 0 {
		z.Mul(z, bigPow10(up))
	} else {
		z.Quo(z, bigPow10(-up))
	}
	return decOf(roundBig(z.Sqrt(z), scale+1, scale), scale, arena)
}

// apdOf turns a finite number into apd's form.
func apdOf(a Decimal, aa []byte) *apd.Decimal {
	d := new(apd.Decimal)
	z := a.coefBig(aa)
	d.Negative = z.Sign() < 0
	d.Coeff.SetMathBigInt(z.Abs(z))
	d.Exponent = -int32(a.Scale)
	return d
}

// apdContext computes with at least digits significant digits.
func apdContext(digits int) *apd.Context {
	c := apd.BaseContext.WithPrecision(uint32(max(digits, 0) + guardDigits))
	c.MaxExponent, c.MinExponent = apd.MaxExponent, apd.MinExponent
	c.Traps = 0
	return c
}

// fromApd rounds d half away from zero to scale.
func fromApd(d *apd.Decimal, scale int, arena *[]byte) (Decimal, error) {
	if d.Form != apd.Finite {
		return Decimal{}, errNumericOverflow
	}
	z := d.Coeff.MathBigInt()
	if d.Negative {
		z.Neg(z)
	}
	switch {
	case d.Exponent >= 0:
		z.Mul(z, bigPow10(int(d.Exponent)+scale))
	default:
		from := -int(d.Exponent)
		z = roundBig(z, from, scale)
	}
	return decOf(z, scale, arena)
}

// DecExp returns e^a; error 22003 when it has too many digits.
func DecExp(a Decimal, aa []byte, arena *[]byte) (Decimal, error) {
	switch a.Form {
	case DecNaN, DecPosInf:
		return a, nil
	case DecNegInf:
		return Decimal{}, nil
	}
	f := lossyFloat(a, aa)
	weight := int(max(min(float64(f*log10e), 2000), -2000))
	return expTo(apdOf(a, aa), f, scaleFor(weight, a.Scale), arena)
}

func expTo(x *apd.Decimal, f float64, scale int, arena *[]byte) (Decimal, error) {
	if math.Abs(f) >= maxResultExp {
		if f > 0 {
			return Decimal{}, errNumericOverflow
		}
		return Decimal{Scale: int16(scale)}, nil
	}
	r := new(apd.Decimal)
	if _, err := apdContext(scale+int(f*log10e)+2).Exp(r, x); err != nil {
		return Decimal{}, sqlErr(CodeOutOfRange, "exp: "+err.Error())
	}
	return fromApd(r, scale, arena)
}

// lossyFloat is a finite number as a float, infinite when it is too large.
func lossyFloat(a Decimal, aa []byte) float64 {
	f, _ := strconv.ParseFloat(string(AppendDecimal(nil, a, aa)), 64)
	return f
}

func checkLog(a Decimal, aa []byte) error {
	switch DecSign(a, aa) {
	case 0:
		return sqlErr(codeLogArg, "cannot take logarithm of zero")
	case -1:
		return sqlErr(codeLogArg, "cannot take logarithm of a negative number")
	}
	return nil
}

// DecLn returns the natural logarithm; error 2201E for what has none.
func DecLn(a Decimal, aa []byte, arena *[]byte) (Decimal, error) {
	if a.Form == DecNaN {
		return a, nil
	}
	if err := checkLog(a, aa); err != nil || a.Form == DecPosInf {
		return a, err
	}
	scale := scaleFor(lnWeight(a, aa), a.Scale)
	r, err := lnApd(a, aa, scale)
	if err != nil {
		return Decimal{}, err
	}
	return fromApd(r, scale, arena)
}

// lnApd is ln(a) with scale correct decimals at least.
func lnApd(a Decimal, aa []byte, scale int) (*apd.Decimal, error) {
	r := new(apd.Decimal)
	if _, err := apdContext(scale+8).Ln(r, apdOf(a, aa)); err != nil {
		return nil, sqlErr(CodeOutOfRange, "ln: "+err.Error())
	}
	return r, nil
}

// lnWeight estimates the decimal exponent of ln(a), as PostgreSQL does.
func lnWeight(a Decimal, aa []byte) int {
	nine, eleven := Decimal{Lo: 9, Scale: 1}, Decimal{Lo: 11, Scale: 1}
	if CompareDec(a, aa, nine, nil) >= 0 && CompareDec(a, aa, eleven, nil) <= 0 {
		var scratch []byte
		x, err := DecSub(a, aa, DecFromInt64(1), nil, &scratch)
		w, first := leading(x, scratch)
		if err != nil || first == 0 {
			return 0
		}
		return w*4 + truncLog10(float64(first))
	}
	digits, exp := leadingDigits(a, aa, 2)
	ln := math.Log(digits) + float64(float64(exp)*2.302585092994046)
	return truncLog10(math.Abs(ln))
}

// leadingDigits returns the first n base-10000 digits of |a| as a number, and the
// power of ten that it is to be multiplied with. It stops where a's digits end.
func leadingDigits(a Decimal, aa []byte, n int) (digits float64, exp int) {
	z := a.coefBig(aa)
	z.Abs(z)
	if z.Sign() == 0 {
		return 0, 0
	}
	w, _ := leading(a, aa)
	z, s := stripBig(z, int(a.Scale))
	have := w + 1 + (s+3)/4 // base-10000 digits down to the last place
	if s <= 0 {
		have = w + 1
		for r := new(big.Int); have > 1; have-- { // zeros at the end of an integer
			q, rem := new(big.Int).QuoRem(z, big.NewInt(10000), r)
			if rem.Sign() != 0 {
				break
			}
			z, s = q, s-4
		}
	}
	exp = (w + 1 - min(n, have)) * 4
	if down := s + exp; down >= 0 {
		z = new(big.Int).Quo(z, bigPow10(down))
	} else {
		z = new(big.Int).Mul(z, bigPow10(-down))
	}
	digits, _ = new(big.Float).SetInt(z).Float64()
	return digits, exp
}

// truncLog10 is log10(f) cut towards zero; f is positive. Powers of ten are exact.
func truncLog10(f float64) int {
	if f == 0 || math.IsInf(f, 0) {
		return 0
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	at := len(s) - 1
	for s[at] != 'e' {
		at--
	}
	exp, _ := strconv.Atoi(s[at+1:])
	if exp < 0 && s[:at] != "1" {
		exp++
	}
	return exp
}

// DecLog returns the logarithm of a to a base; error 2201E, or a division by zero for base 1.
func DecLog(base Decimal, ba []byte, a Decimal, aa []byte, arena *[]byte) (Decimal, error) {
	if base.Form == DecNaN || a.Form == DecNaN {
		return Decimal{Form: DecNaN}, nil
	}
	if !(base.IsFinite() && a.IsFinite()) && (DecSign(base, ba) < 0 || DecSign(a, aa) < 0) {
		return Decimal{}, sqlErr(codeLogArg, "cannot take logarithm of a negative number")
	}
	for _, err := range []error{checkLog(base, ba), checkLog(a, aa)} {
		if err != nil {
			return Decimal{}, err
		}
	}
	switch {
	case base.Form == DecPosInf && a.Form == DecPosInf:
		return Decimal{Form: DecNaN}, nil
	case base.Form == DecPosInf:
		return Decimal{}, nil
	case a.Form == DecPosInf:
		return a, nil
	}
	wb, wa := lnWeight(base, ba), lnWeight(a, aa)
	scale := scaleFor(wa-wb, base.Scale, a.Scale)
	// The quotient's relative error is that of its parts.
	num, err := lnApd(a, aa, max(scale, scale-wb)+absInt(wa))
	if err != nil {
		return Decimal{}, err
	}
	den, err := lnApd(base, ba, max(scale, scale-wb)+absInt(wa))
	if err != nil {
		return Decimal{}, err
	}
	if den.IsZero() {
		return Decimal{}, ErrDivisionByZero
	}
	r := new(apd.Decimal)
	if _, err := apdContext(scale+max(wa-wb, 0)+8).Quo(r, num, den); err != nil {
		return Decimal{}, sqlErr(CodeOutOfRange, "log: "+err.Error())
	}
	return fromApd(r, scale, arena)
}

func absInt(x int) int { return max(x, -x) }
