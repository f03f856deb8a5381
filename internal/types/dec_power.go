package types

import (
	"math"
	"math/big"
	"strconv"

	"github.com/cockroachdb/apd/v3"
)

// DecPower returns a^b; error 2201F where it is not defined and 22003 on overflow.
func DecPower(a Decimal, aa []byte, b Decimal, ba []byte, arena *[]byte) (Decimal, error) {
	one := DecFromInt64(1)
	if !a.IsFinite() || !b.IsFinite() {
		return powerSpecial(a, aa, b, ba)
	}
	sa, sb := DecSign(a, aa), DecSign(b, ba)
	if sa == 0 && sb < 0 {
		return Decimal{}, sqlErr(codePowerArg, "zero raised to a negative power is undefined")
	}
	whole := decMinScale(b, ba) == 0
	if sa < 0 && !whole {
		return Decimal{}, sqlErr(codePowerArg, "a negative number raised to a non-integer power yields a complex result")
	}
	if n, err := DecToInt(Int4, b, ba); whole && err == nil {
		return powerInt(a, aa, n, arena)
	}
	if sa == 0 {
		return Decimal{Scale: minSigDigits}, nil
	}
	var mag []byte
	base, err := DecAbs(a, aa, &mag)
	if err != nil {
		return Decimal{}, err
	}
	odd := sa < 0 && isOdd(b, ba)
	if CompareDec(base, mag, one, nil) == 0 {
		if odd {
			one = DecFromInt64(-1)
		}
		return DecRound(one, nil, scaleFor(0, a.Scale, b.Scale), arena)
	}
	f, err := roughLnPower(base, mag, b, ba)
	if err != nil {
		return Decimal{}, err
	}
	if math.Abs(f) > 2000*3.01 {
		if f > 0 {
			return Decimal{}, errNumericOverflow
		}
		return Decimal{Scale: maxDivScale}, nil
	}
	weight := int(f * log10e)
	scale := scaleFor(weight, a.Scale, b.Scale)
	// exp's argument must be right to the last digit of the result.
	digits := scale + max(weight, 0) + 8
	ln, err := lnApd(base, mag, digits+bigDigits(b.coefBig(ba)))
	if err != nil {
		return Decimal{}, err
	}
	prod := new(apd.Decimal)
	if _, err := apdContext(2*digits+bigDigits(b.coefBig(ba))).Mul(prod, ln, apdOf(b, ba)); err != nil {
		return Decimal{}, errNumericOverflow
	}
	r, err := expTo(prod, f, scale, arena)
	if err == nil && odd {
		return DecNeg(r, *arena, arena)
	}
	return r, err
}

// roughLnPower is b*ln(a) with the few digits that PostgreSQL chooses a power's scale by.
func roughLnPower(a Decimal, aa []byte, b Decimal, ba []byte) (float64, error) {
	const wanted = 8
	scale := min(max(wanted-lnWeight(a, aa), 0), maxDivScale)
	r, err := lnApd(a, aa, scale)
	if err != nil {
		return 0, err
	}
	var scratch []byte
	ln, err := fromApd(r, scale, &scratch)
	if err != nil {
		return 0, err
	}
	prod, err := DecMul(ln, scratch, b, ba, &scratch)
	if err != nil {
		return 0, err
	}
	if prod, err = DecRound(prod, scratch, scale, &scratch); err != nil {
		return 0, err
	}
	return lossyFloat(prod, scratch), nil
}

func isOdd(b Decimal, ba []byte) bool {
	z, _ := stripBig(b.coefBig(ba), int(b.Scale))
	return z.Bit(0) == 1
}

// powerInt is a^n with the scale that PostgreSQL chooses.
func powerInt(a Decimal, aa []byte, n int64, arena *[]byte) (Decimal, error) {
	digits, exp := leadingDigits(a, aa, 4)
	f := 0.0
	if digits != 0 {
		f = float64(n) * (exactLog10(digits) + float64(exp))
	}
	if f > maxIntPowerLn {
		return Decimal{}, errNumericOverflow
	}
	scale := scaleFor(0, a.Scale)
	if f+1 < -float64(scale) {
		return Decimal{Scale: int16(scale)}, nil
	}
	switch {
	case n == 0:
		return DecRound(DecFromInt64(1), nil, scale, arena)
	case digits == 0:
		return Decimal{Scale: int16(scale)}, nil
	}
	m := max(n, -n)
	z := a.coefBig(aa)
	s := int(a.Scale)
	if total := float64(bigDigits(z)) * float64(m); total < 4*MaxDecDigits && s*int(m) < 4*MaxDecDigits {
		z.Exp(z, big.NewInt(m), nil) // exactly
		s *= int(m)
		if n > 0 {
			return decOf(roundBig(z, s, scale), scale, arena)
		}
		return decOf(quoHalfAway(bigPow10(s+scale), z), scale, arena)
	}
	c := apdContext(scale + max(int(f), 0) + 2*len(strconv.FormatInt(m, 10)) + 8)
	r := apd.New(1, 0)
	sq := apdOf(a, aa)
	for e := m; e > 0; e >>= 1 {
		if e&1 != 0 {
			if _, err := c.Mul(r, r, sq); err != nil {
				return Decimal{}, errNumericOverflow
			}
		}
		if _, err := c.Mul(sq, sq, sq); err != nil {
			return Decimal{}, errNumericOverflow
		}
	}
	if n < 0 {
		if _, err := c.Quo(r, apd.New(1, 0), r); err != nil {
			return Decimal{}, errNumericOverflow
		}
	}
	return fromApd(r, scale, arena)
}

// exactLog10 is log10(f), exact for powers of ten.
func exactLog10(f float64) float64 {
	for i, p := range float64Pow10 {
		if f == p {
			return float64(i)
		}
	}
	return math.Log10(f)
}

// powerSpecial is a^b when one of them at least is NaN or infinite.
func powerSpecial(a Decimal, aa []byte, b Decimal, ba []byte) (Decimal, error) {
	one, nan := DecFromInt64(1), Decimal{Form: DecNaN}
	isOne := a.IsFinite() && CompareDec(a, aa, one, nil) == 0
	switch {
	case a.Form == DecNaN:
		if b.IsFinite() && DecSign(b, ba) == 0 {
			return one, nil
		}
		return nan, nil
	case b.Form == DecNaN:
		if isOne {
			return one, nil
		}
		return nan, nil
	}
	sa, sb := DecSign(a, aa), DecSign(b, ba)
	if sa == 0 && sb < 0 {
		return Decimal{}, sqlErr(codePowerArg, "zero raised to a negative power is undefined")
	}
	if sa < 0 && b.IsFinite() && decMinScale(b, ba) != 0 {
		return Decimal{}, sqlErr(codePowerArg, "a negative number raised to a non-integer power yields a complex result")
	}
	if isOne || sb == 0 {
		return one, nil
	}
	if sa == 0 {
		return Decimal{}, nil
	}
	if !b.IsFinite() {
		mag := a
		if sa < 0 {
			mag = Decimal{Form: DecPosInf}
			if a.IsFinite() {
				var err error
				var scratch []byte
				if mag, err = DecAbs(a, aa, &scratch); err != nil {
					return Decimal{}, err
				}
				aa = scratch
			}
		}
		c := CompareDec(mag, aa, one, nil)
		switch {
		case c == 0:
			return one, nil
		case c > 0 == (sb > 0):
			return infOf(1), nil
		}
		return Decimal{}, nil
	}
	switch {
	case sb < 0:
		return Decimal{}, nil
	case sa > 0:
		return infOf(1), nil
	case isOdd(b, ba):
		return infOf(-1), nil
	}
	return infOf(1), nil
}
