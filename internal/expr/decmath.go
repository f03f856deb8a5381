package expr

import (
	"math"
	"math/big"

	"github.com/tidemill/tidemill/internal/types"
)

// The digits that results of NUMERIC functions have at least, and the most
// decimals, as in PostgreSQL.
const (
	decSigDigits = 16
	decMaxScale  = 1000
	log10e       = 0.434294481903252
)

// MaxExpDigits bounds the digits before the point of exp() and of powers with a
// fraction, whose cost grows faster than their length. Whole powers have the bound
// of NUMERIC itself.
const MaxExpDigits = 4000

var errExpDigits = &types.Error{Code: types.CodeTooComplex, Message: "result of exp() or of a fractional power has more than 4000 digits"}

// resultScale is the scale of a result whose first digit has the given exponent.
func resultScale(weight int, scales ...int16) int {
	s := decSigDigits - weight
	for _, x := range scales {
		s = max(s, int(x))
	}
	return max(0, min(s, decMaxScale))
}

// bitsFor is a precision that makes results right to scale decimals of a number
// whose first digit has the given exponent.
func bitsFor(scale, weight int) uint { return uint(max(0, scale+max(weight, 0)+20))*10/3 + 64 }

// base10000 is the exponent of 10000 of the first digit, as PostgreSQL's numerics have it.
func base10000(weight10 int) int { return int(floorDiv(int64(weight10), 4)) }

func decSqrt(a types.Decimal, aa []byte, arena *[]byte) (types.Decimal, error) {
	switch {
	case a.Form == types.DecNaN || a.Form == types.DecPosInf:
		return a, nil
	case types.DecSign(a, aa) < 0:
		return a, errSqrt
	}
	w := decWeight(a, aa)
	scale := max(decSigDigits-((base10000(w)+1)*4/2-1), int(a.Scale), 0)
	// floor(sqrt(coef * 10^(2*scale - a.Scale) * 100)), then rounded
	z := types.DecBigInt(a, aa)
	z.Mul(z, pow10(int64(2*(scale+1)-int(a.Scale))))
	z.Sqrt(z)
	q, r := z.QuoRem(z, big.NewInt(10), new(big.Int))
	if r.Int64() >= 5 {
		q.Add(q, big.NewInt(1))
	}
	return types.DecFromBig(q, int16(scale), arena)
}

// approx is the nearest float64, however rough.
func approx(a types.Decimal, aa []byte) float64 {
	x, _ := decFloat(a, aa, 64).Float64()
	return x
}

func decExp(a types.Decimal, aa []byte, arena *[]byte) (types.Decimal, error) {
	switch a.Form {
	case types.DecNaN, types.DecPosInf:
		return a, nil
	case types.DecNegInf:
		return types.DecFromInt64(0), nil
	}
	return expScaled(func(prec uint) *big.Float { return decFloat(a, aa, prec) }, arena, a.Scale)
}

// expScaled is e^x at PostgreSQL's scale; arg gives x to so many bits.
func expScaled(arg func(prec uint) *big.Float, arena *[]byte, scales ...int16) (types.Decimal, error) {
	val, _ := arg(128).Float64()
	val *= log10e
	if val > types.MaxDecDigits {
		return types.Decimal{}, errNumRange
	}
	if val > MaxExpDigits {
		return types.Decimal{}, errExpDigits
	}
	val = max(val, -decMaxScale)
	scale := resultScale(int(val), scales...)
	prec := bitsFor(scale, int(val))
	return floatToDec(bigExp(arg(prec+64), prec), scale, arena)
}

// bigExp is e^x to prec bits: x is halved until it is small, the series summed, and
// the result squared as often.
func bigExp(x *big.Float, prec uint) *big.Float {
	halvings := max(0, x.MantExp(nil)) + 16 + int(math.Sqrt(float64(prec)))
	prec += uint(halvings) + 32
	y := new(big.Float).SetPrec(prec).Set(x)
	y.SetMantExp(y, -halvings)
	sum, term := big.NewFloat(1).SetPrec(prec), big.NewFloat(1).SetPrec(prec)
	for k := int64(1); ; k++ {
		term.Mul(term, y)
		term.Quo(term, new(big.Float).SetInt64(k))
		if term.Sign() == 0 || term.MantExp(nil) < -int(prec) {
			break
		}
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLn is ln(x) of a positive x to prec bits: x = m * 2^e with m near 1, by the
// series of 2*atanh((m-1)/(m+1)).
func bigLn(x *big.Float, prec uint) *big.Float {
	prec += 64
	m := new(big.Float).SetPrec(prec)
	e := new(big.Float).SetPrec(prec).Set(x).MantExp(m)
	if m.Cmp(big.NewFloat(0.70710678)) < 0 {
		m.SetMantExp(m, 1)
		e--
	}
	roots := int(math.Sqrt(float64(prec)) / 2)
	prec += uint(roots)
	root := new(big.Float).SetPrec(prec).Set(m)
	for range roots { // closer to 1, where the series is short
		root.Sqrt(root)
	}
	out := atanhLn(root, prec)
	out.SetMantExp(out, roots)
	if e != 0 {
		two := big.NewFloat(2).SetPrec(prec)
		for range roots {
			two.Sqrt(two)
		}
		ln2 := atanhLn(two, prec)
		ln2.SetMantExp(ln2, roots)
		out.Add(out, ln2.Mul(ln2, new(big.Float).SetPrec(prec).SetInt64(int64(e))))
	}
	return out
}

func atanhLn(m *big.Float, prec uint) *big.Float {
	one := big.NewFloat(1).SetPrec(prec)
	t := new(big.Float).SetPrec(prec).Quo(new(big.Float).SetPrec(prec).Sub(m, one), new(big.Float).SetPrec(prec).Add(m, one))
	sq := new(big.Float).SetPrec(prec).Mul(t, t)
	sum := new(big.Float).SetPrec(prec)
	for k := int64(1); ; k += 2 {
		if t.Sign() == 0 || t.MantExp(nil) < sum.MantExp(nil)-int(prec) {
			break
		}
		sum.Add(sum, new(big.Float).SetPrec(prec).Quo(t, new(big.Float).SetInt64(k)))
		t.Mul(t, sq)
	}
	return sum.SetMantExp(sum, 1)
}

// lnWeight estimates the decimal exponent of ln(a)'s first digit as PostgreSQL does.
func lnWeight(a types.Decimal, aa []byte) int {
	x := approx(a, aa)
	if x >= 0.9 && x <= 1.1 {
		d := decFloat(a, aa, 256)
		d.Sub(d, big.NewFloat(1))
		y, _ := d.Float64()
		if y == 0 {
			return 0
		}
		return int(math.Floor(math.Log10(math.Abs(y))))
	}
	ln, _ := bigLn(decFloat(a, aa, 64), 64).Float64()
	return int(math.Log10(math.Abs(ln)))
}

func checkDecLn(a types.Decimal, aa []byte) error {
	switch s := types.DecSign(a, aa); {
	case a.Form == types.DecNaN:
		return nil
	case s == 0:
		return errLnZero
	case s < 0:
		return errLnNegative
	}
	return nil
}

func decLn(a types.Decimal, aa []byte, arena *[]byte) (types.Decimal, error) {
	if err := checkDecLn(a, aa); err != nil || !a.IsFinite() {
		return a, err
	}
	w := lnWeight(a, aa)
	scale := resultScale(w, a.Scale)
	prec := bitsFor(scale, w)
	return floatToDec(bigLn(decFloat(a, aa, prec+64), prec), scale, arena)
}

func decLog(base types.Decimal, ba []byte, a types.Decimal, aa []byte, arena *[]byte) (types.Decimal, error) {
	if base.Form == types.DecNaN || a.Form == types.DecNaN {
		return types.Decimal{Form: types.DecNaN}, nil
	}
	for _, err := range []error{checkDecLn(base, ba), checkDecLn(a, aa)} {
		if err != nil {
			return a, err
		}
	}
	if !base.IsFinite() || !a.IsFinite() {
		if base.IsFinite() && a.Form == types.DecPosInf {
			return a, nil
		}
		return types.Decimal{Form: types.DecNaN}, nil
	}
	w := lnWeight(a, aa) - lnWeight(base, ba)
	scale := resultScale(w, base.Scale, a.Scale)
	prec := bitsFor(scale, w)
	d := bigLn(decFloat(base, ba, prec+64), prec)
	if d.Sign() == 0 {
		return a, types.ErrDivisionByZero
	}
	n := bigLn(decFloat(a, aa, prec+64), prec)
	return floatToDec(n.Quo(n, d), scale, arena)
}

func decPower(a types.Decimal, aa []byte, b types.Decimal, ba []byte, arena *[]byte) (types.Decimal, error) {
	if !a.IsFinite() || !b.IsFinite() {
		return powerSpecial(a, aa, b, ba)
	}
	n, err := types.DecToInt64Exact(b, ba)
	whole := err == nil
	switch s := types.DecSign(a, aa); {
	case s == 0 && types.DecSign(b, ba) < 0:
		return a, errPowZero
	case s < 0 && types.DecMinScale(b, ba) > 0:
		return a, errPowComplex
	case s == 0 && types.DecSign(b, ba) > 0:
		return types.DecRound(types.DecFromInt64(0), nil, resultScale(0, a.Scale, b.Scale), arena)
	}
	if whole && n == int64(int32(n)) {
		return powerInt(a, aa, n, arena)
	}
	neg := types.DecSign(a, aa) < 0
	d, err := expScaled(func(prec uint) *big.Float {
		x := decFloat(a, aa, prec)
		y := bigLn(x.Abs(x), prec)
		return y.Mul(y, decFloat(b, ba, prec))
	}, arena, a.Scale, b.Scale)
	if err == nil && neg && types.DecBigInt(b, ba).Bit(0) == 1 {
		return types.DecNeg(d, *arena, arena)
	}
	return d, err
}

// powerInt raises to a whole power by squaring, to 16 decimals at least.
func powerInt(a types.Decimal, aa []byte, n int64, arena *[]byte) (types.Decimal, error) {
	w := decWeight(a, aa)
	lead := decFloat(a, aa, 64)
	lead.Quo(lead.Abs(lead), new(big.Float).SetInt(pow10(int64(max(0, w)))))
	lead.Mul(lead, new(big.Float).SetInt(pow10(int64(max(0, -w)))))
	l, _ := lead.Float64()
	weight := float64(n) * (math.Log10(l) + float64(w))
	if n == 0 {
		weight = 0
	}
	if weight > types.MaxDecDigits {
		return a, errNumRange
	}
	weight = max(weight, -2*decMaxScale)
	scale := resultScale(0, a.Scale)
	prec := bitsFor(scale, int(weight)) + 64
	x := decFloat(a, aa, prec)
	r := big.NewFloat(1).SetPrec(prec)
	for k := max(n, -n); k > 0; k >>= 1 {
		if k&1 == 1 {
			r.Mul(r, x)
		}
		x.Mul(x, x)
	}
	if n < 0 {
		r.Quo(big.NewFloat(1).SetPrec(prec), r)
	}
	return floatToDec(r, scale, arena)
}

// powerSpecial is power with NaN or infinite arguments, after POSIX's pow.
func powerSpecial(a types.Decimal, aa []byte, b types.Decimal, ba []byte) (types.Decimal, error) {
	num := func(d types.Decimal, da []byte) float64 {
		switch d.Form {
		case types.DecNaN:
			return math.NaN()
		case types.DecPosInf:
			return math.Inf(1)
		case types.DecNegInf:
			return math.Inf(-1)
		}
		return approx(d, da)
	}
	r := math.Pow(num(a, aa), num(b, ba))
	switch {
	case a.Form == types.DecNegInf && b.IsFinite() && types.DecMinScale(b, ba) > 0:
		return a, errPowComplex
	case r != r:
		return types.Decimal{Form: types.DecNaN}, nil
	case math.IsInf(r, 1):
		return types.Decimal{Form: types.DecPosInf}, nil
	case math.IsInf(r, -1):
		return types.Decimal{Form: types.DecNegInf}, nil
	}
	return types.DecFromInt64(int64(r)), nil
}
