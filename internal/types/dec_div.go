package types

import "math/big"

// leading returns the base-10000 weight of a coefficient's first digit and that
// digit, as PostgreSQL stores it: nd decimal digits, scale of them after the
// point, first their leading digits. Zero has weight 0 and digit 0.
func leading(a Decimal, aa []byte) (weight, first int) {
	var nd int
	var u uint128
	var z *big.Int
	if a.Form == DecBig {
		z = a.coefBig(aa)
		z.Abs(z)
		nd = bigDigits(z)
	} else {
		u = a.Coef().abs()
		nd = u.digits()
	}
	if nd == 0 {
		return 0, 0
	}
	e := nd - 1 - int(a.Scale) // decimal exponent of the first digit
	weight = e >> 2
	keep := e - weight*4 + 1 // decimal digits in the first base-10000 digit
	switch {
	case keep >= nd:
		if z != nil {
			u.lo = z.Uint64()
		}
		return weight, int(u.lo * pow10[keep-nd].lo)
	case z != nil:
		return weight, int(z.Quo(z, bigPow10(nd-keep)).Int64())
	}
	if q := nd - keep; u.hi == 0 {
		return weight, int(u.lo / pow10[q].lo)
	}
	q, _ := u.divmod(pow10[nd-keep])
	return weight, int(q.lo)
}

// divScale is PostgreSQL's choice of the scale of a quotient: at least 16
// significant digits, and no fewer decimals than either operand has.
func divScale(a Decimal, aa []byte, b Decimal, ba []byte) int {
	wa, fa := leading(a, aa)
	wb, fb := leading(b, ba)
	q := wa - wb
	if fa <= fb {
		q--
	}
	return min(max(minSigDigits-q*4, int(a.Scale), int(b.Scale), 0), maxDivScale)
}

// DecDiv returns a/b, rounded half away from zero to PostgreSQL's scale. It
// returns ErrDivisionByZero. See DecAdd for the arenas.
func DecDiv(a Decimal, aa []byte, b Decimal, ba []byte, arena *[]byte) (Decimal, error) {
	if a.Form > DecBig || b.Form > DecBig {
		return divSpecial(a, aa, b, ba)
	}
	if DecSign(b, ba) == 0 {
		return Decimal{}, ErrDivisionByZero
	}
	return divTo(a, aa, b, ba, divScale(a, aa, b, ba), arena)
}

// divTo returns a/b rounded to scale; both are finite and b is not 0.
func divTo(a Decimal, aa []byte, b Decimal, ba []byte, scale int, arena *[]byte) (Decimal, error) {
	up := scale + int(b.Scale) - int(a.Scale) // a.coef * 10^up / b.coef
	if a.Form|b.Form == DecFinite && up >= 0 && up <= maxPow10 {
		if n, over := a.Coef().abs().mul(pow10[up]); !over {
			d := b.Coef().abs()
			q, r := n.divmod(d)
			if !r.less(d.sub(r)) { // r >= d-r: half or more
				q = q.add(uint128{0, 1})
			}
			if c, ok := q.signed(a.Hi^b.Hi < 0); ok {
				return DecFromInt128(c, int16(scale)), nil
			}
		}
	}
	x, y := a.coefBig(aa), b.coefBig(ba)
	if up >= 0 {
		x.Mul(x, bigPow10(up))
	} else {
		y.Mul(y, bigPow10(-up))
	}
	return decOf(quoHalfAway(x, y), scale, arena)
}

// quoHalfAway returns x/y rounded half away from zero. It spoils x and y.
func quoHalfAway(x, y *big.Int) *big.Int {
	neg := x.Sign()*y.Sign() < 0
	x.Abs(x)
	y.Abs(y)
	r := new(big.Int)
	x.QuoRem(x, y, r)
	if r.Lsh(r, 1).Cmp(y) >= 0 {
		x.Add(x, bigOne)
	}
	if neg {
		x.Neg(x)
	}
	return x
}

var bigOne = big.NewInt(1)

func divSpecial(a Decimal, aa []byte, b Decimal, ba []byte) (Decimal, error) {
	if a.Form == DecNaN || b.Form == DecNaN {
		return Decimal{Form: DecNaN}, nil
	}
	if !a.IsFinite() {
		if !b.IsFinite() {
			return Decimal{Form: DecNaN}, nil
		}
		s := DecSign(b, ba)
		if s == 0 {
			return Decimal{}, ErrDivisionByZero
		}
		return infOf(DecSign(a, aa) * s), nil
	}
	return Decimal{}, nil // a number by infinity: 0
}

// DecDivTrunc returns the integer part of a/b, PostgreSQL's div(a, b).
func DecDivTrunc(a Decimal, aa []byte, b Decimal, ba []byte, arena *[]byte) (Decimal, error) {
	if a.Form > DecBig || b.Form > DecBig {
		return divSpecial(a, aa, b, ba)
	}
	if DecSign(b, ba) == 0 {
		return Decimal{}, ErrDivisionByZero
	}
	x, y, _ := alignBig(a, aa, b, ba)
	return decOf(x.Quo(x, y), 0, arena)
}

// DecMod returns a - b*trunc(a/b), which has a's sign. It returns ErrDivisionByZero.
func DecMod(a Decimal, aa []byte, b Decimal, ba []byte, arena *[]byte) (Decimal, error) {
	if a.Form > DecBig || b.Form > DecBig {
		switch {
		case a.Form == DecNaN || b.Form == DecNaN:
			return Decimal{Form: DecNaN}, nil
		case b.IsFinite() && DecSign(b, ba) == 0:
			return Decimal{}, ErrDivisionByZero
		case !a.IsFinite():
			return Decimal{Form: DecNaN}, nil
		}
		return DecCopy(a, aa, arena), nil
	}
	if DecSign(b, ba) == 0 {
		return Decimal{}, ErrDivisionByZero
	}
	if a.Form|b.Form == DecFinite {
		if x, y, scale, ok := align(a, b); ok {
			_, r := x.abs().divmod(y.abs())
			c, _ := r.signed(x.Hi < 0)
			return DecFromInt128(c, scale), nil
		}
	}
	x, y, scale := alignBig(a, aa, b, ba)
	return decOf(x.Rem(x, y), scale, arena)
}

// roundBig returns x, which has from decimals, with to decimals, half away from zero.
func roundBig(x *big.Int, from, to int) *big.Int {
	if to >= from {
		return x.Mul(x, bigPow10(to-from))
	}
	return quoHalfAway(x, bigPow10(from-to))
}

// DecRound returns a rounded half away from zero to scale decimals, as round(a,
// scale) and numeric(p,s) do. A negative scale rounds before the point; the
// result then has scale 0.
func DecRound(a Decimal, aa []byte, scale int, arena *[]byte) (Decimal, error) {
	return reScale(a, aa, scale, true, arena)
}

// DecTrunc is DecRound towards zero.
func DecTrunc(a Decimal, aa []byte, scale int, arena *[]byte) (Decimal, error) {
	return reScale(a, aa, scale, false, arena)
}

func reScale(a Decimal, aa []byte, scale int, round bool, arena *[]byte) (Decimal, error) {
	if a.Form > DecBig || a.Form == DecFinite && int(a.Scale) == scale {
		return a, nil
	}
	scale = max(min(scale, MaxDecScale), -MaxDecDigits)
	if a.Form == DecFinite && scale >= 0 {
		if up := scale - int(a.Scale); up >= 0 {
			if c, ok := a.Coef().scaleUp(up); ok {
				return DecFromInt128(c, int16(scale)), nil
			}
		} else if -up > maxPow10 {
			return Decimal{Scale: int16(scale)}, nil // below half of the last place: |coef| < 10^39/2
		} else {
			q, r := a.Coef().abs().divmod(pow10[-up])
			if round && !r.less(pow10[-up].sub(r)) {
				q = q.add(uint128{0, 1})
			}
			c, _ := q.signed(a.Hi < 0)
			return DecFromInt128(c, int16(scale)), nil
		}
	}
	x := a.coefBig(aa)
	down := int(a.Scale) - scale
	switch {
	case down <= 0:
		x.Mul(x, bigPow10(-down))
	case round:
		quoHalfAway(x, bigPow10(down))
	default:
		x.Quo(x, bigPow10(down))
	}
	if scale < 0 {
		x.Mul(x, bigPow10(-scale))
		scale = 0
	}
	return decOf(x, scale, arena)
}

// DecCeil returns the least integer that is not less than a.
func DecCeil(a Decimal, aa []byte, arena *[]byte) (Decimal, error) { return toward(a, aa, 1, arena) }

// DecFloor returns the greatest integer that is not more than a.
func DecFloor(a Decimal, aa []byte, arena *[]byte) (Decimal, error) { return toward(a, aa, -1, arena) }

// toward rounds to an integer up (sign 1) or down (sign -1).
func toward(a Decimal, aa []byte, sign int, arena *[]byte) (Decimal, error) {
	if !a.IsFinite() {
		return a, nil
	}
	var scratch []byte
	t, err := DecTrunc(a, aa, 0, &scratch)
	if err != nil || DecSign(a, aa) != sign || CompareDec(t, scratch, a, aa) == 0 {
		return DecCopy(t, scratch, arena), err
	}
	return DecAdd(t, scratch, DecFromInt64(int64(sign)), nil, arena)
}

// DecTrimScale returns a without trailing zeros after the point, as trim_scale does.
func DecTrimScale(a Decimal, aa []byte, arena *[]byte) (Decimal, error) {
	return DecRound(a, aa, decMinScale(a, aa), arena)
}

// DecMinScale returns the least scale that represents a exactly; 0 for NaN and infinities.
func DecMinScale(a Decimal, aa []byte) int { return decMinScale(a, aa) }

func decMinScale(a Decimal, aa []byte) int {
	if a.Form == DecBig {
		x := a.coefBig(aa)
		_, s := stripBig(x, int(a.Scale))
		return s
	}
	if a.Form != DecFinite {
		return 0
	}
	_, s := strip(a.Coef().abs(), int(a.Scale))
	return s
}

// strip drops trailing zeros of u while scale is positive.
func strip(u uint128, scale int) (uint128, int) {
	if u.isZero() {
		return u, 0
	}
	for scale > 0 && u.hi != 0 {
		q, r := u.div64(10)
		if r != 0 {
			return u, scale
		}
		u, scale = q, scale-1
	}
	for scale > 0 && u.hi == 0 {
		q := u.lo / 10
		if q*10 != u.lo {
			break
		}
		u.lo, scale = q, scale-1
	}
	return u, scale
}

// stripBig is strip for big numbers. It spoils x.
func stripBig(x *big.Int, scale int) (*big.Int, int) {
	if x.Sign() == 0 {
		return x, 0
	}
	r := new(big.Int)
	q := new(big.Int)
	for step := 4096; step > 0; step /= 16 {
		for p := bigPow10(step); scale >= step; {
			q.QuoRem(x, p, r)
			if r.Sign() != 0 {
				break
			}
			x.Set(q)
			scale -= step
		}
	}
	return x, scale
}
