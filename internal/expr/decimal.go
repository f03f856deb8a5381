package expr

import (
	"math"
	"math/big"

	"github.com/tidemill/tidemill/internal/types"
)

type decBinary func(a types.Decimal, aa []byte, b types.Decimal, ba []byte, arena *[]byte) (types.Decimal, error)
type decUnary func(a types.Decimal, aa []byte, arena *[]byte) (types.Decimal, error)

func decKernels(m map[string]kernels) {
	m["+(numeric,numeric)"] = kernels{row: func(f *frame, i int) {
		a, aa := f.dec(0, i)
		b, ba := f.dec(1, i)
		if r, ok := types.DecAddFast(a, b); ok {
			f.out.Dec[i] = r
			return
		}
		d, err := types.DecAdd(a, aa, b, ba, f.arena())
		f.setDec(i, d, err)
	}}
	two := func(name string, fn decBinary) {
		m[name+"(numeric,numeric)"] = kernels{row: func(f *frame, i int) {
			a, aa := f.dec(0, i)
			b, ba := f.dec(1, i)
			d, err := fn(a, aa, b, ba, f.arena())
			f.setDec(i, d, err)
		}}
	}
	one := func(name string, fn decUnary) {
		m[name+"(numeric)"] = kernels{row: func(f *frame, i int) {
			a, aa := f.dec(0, i)
			d, err := fn(a, aa, f.arena())
			f.setDec(i, d, err)
		}}
	}
	two("-", types.DecSub)
	two("*", types.DecMul)
	two("/", types.DecDiv)
	two("%", types.DecMod)
	two("mod", types.DecMod)
	two("div", types.DecDivTrunc)
	two("gcd", decGCD)
	two("lcm", decLCM)
	one("-", types.DecNeg)
	one("+", decSame)
	one("@", types.DecAbs)
	one("abs", types.DecAbs)
	one("ceil", types.DecCeil)
	one("ceiling", types.DecCeil)
	one("floor", types.DecFloor)
	one("trim_scale", types.DecTrimScale)
	one("round", func(a types.Decimal, aa []byte, ar *[]byte) (types.Decimal, error) {
		return types.DecRound(a, aa, 0, ar)
	})
	one("trunc", func(a types.Decimal, aa []byte, ar *[]byte) (types.Decimal, error) {
		return types.DecTrunc(a, aa, 0, ar)
	})
	one("sign", func(a types.Decimal, aa []byte, _ *[]byte) (types.Decimal, error) {
		if a.Form == types.DecNaN {
			return a, nil
		}
		return types.DecFromInt64(int64(types.DecSign(a, aa))), nil
	})
	rounds := func(name string, fn func(types.Decimal, []byte, int, *[]byte) (types.Decimal, error)) {
		m[name+"(numeric,int4)"] = kernels{row: func(f *frame, i int) {
			a, aa := f.dec(0, i)
			d, err := fn(a, aa, int(max(-types.MaxDecDigits, min(types.MaxDecScale, f.int(1, i)))), f.arena())
			f.setDec(i, d, err)
		}}
	}
	rounds("round", types.DecRound)
	rounds("trunc", types.DecTrunc)
	m["scale"] = kernels{row: func(f *frame, i int) {
		a, _ := f.dec(0, i)
		if !a.IsFinite() {
			f.setNull(i)
			return
		}
		f.setInt(i, int64(a.Scale))
	}}
	m["min_scale"] = kernels{row: func(f *frame, i int) {
		a, aa := f.dec(0, i)
		if !a.IsFinite() {
			f.setNull(i)
			return
		}
		f.setInt(i, int64(types.DecMinScale(a, aa)))
	}}
	m["factorial"] = kernels{row: factorial}
}

func decSame(a types.Decimal, aa []byte, arena *[]byte) (types.Decimal, error) {
	return types.DecCopy(a, aa, arena), nil
}

// maxFactorial is the largest argument of factorial, so that the result is in range.
const maxFactorial = 32177

func factorial(f *frame, i int) {
	n := f.int(0, i)
	switch {
	case n < 0:
		f.failf(i, types.CodeOutOfRange, "factorial of a negative number is undefined")
	case n > maxFactorial:
		f.failf(i, types.CodeOutOfRange, "value overflows numeric format")
	default:
		d, err := types.DecFromBig(new(big.Int).MulRange(1, n), 0, f.arena())
		f.setDec(i, d, err)
	}
}

// sameScale gives the coefficients of two finite numbers at the larger scale.
func sameScale(a types.Decimal, aa []byte, b types.Decimal, ba []byte) (x, y *big.Int, scale int16) {
	x, y, scale = types.DecBigInt(a, aa), types.DecBigInt(b, ba), max(a.Scale, b.Scale)
	up := func(z *big.Int, by int16) { z.Mul(z, pow10(int64(by))) }
	up(x, scale-a.Scale)
	up(y, scale-b.Scale)
	return x, y, scale
}

func pow10(n int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil) }

func decGCD(a types.Decimal, aa []byte, b types.Decimal, ba []byte, arena *[]byte) (types.Decimal, error) {
	if !a.IsFinite() || !b.IsFinite() {
		return types.Decimal{Form: types.DecNaN}, nil
	}
	x, y, scale := sameScale(a, aa, b, ba)
	return types.DecFromBig(new(big.Int).GCD(nil, nil, x.Abs(x), y.Abs(y)), scale, arena)
}

func decLCM(a types.Decimal, aa []byte, b types.Decimal, ba []byte, arena *[]byte) (types.Decimal, error) {
	if !a.IsFinite() || !b.IsFinite() {
		return types.Decimal{Form: types.DecNaN}, nil
	}
	x, y, scale := sameScale(a, aa, b, ba)
	x.Abs(x)
	y.Abs(y)
	if x.Sign() == 0 || y.Sign() == 0 {
		return types.DecFromBig(new(big.Int), scale, arena)
	}
	g := new(big.Int).GCD(nil, nil, x, y)
	return types.DecFromBig(x.Mul(x.Div(x, g), y), scale, arena)
}

// decFloat is a finite number as a big float of prec bits.
func decFloat(a types.Decimal, aa []byte, prec uint) *big.Float {
	x := new(big.Float).SetPrec(prec).SetInt(types.DecBigInt(a, aa))
	return x.Quo(x, new(big.Float).SetPrec(prec).SetInt(pow10(int64(a.Scale))))
}

// decWeight is the decimal exponent of a's first digit; 0 for 0.
func decWeight(a types.Decimal, aa []byte) int {
	z := types.DecBigInt(a, aa)
	if z.Sign() == 0 {
		return 0
	}
	return len(z.Abs(z).String()) - 1 - int(a.Scale)
}

// floatToDec rounds x half away from zero to scale decimals.
func floatToDec(x *big.Float, scale int, arena *[]byte) (types.Decimal, error) {
	prec := x.Prec()
	y := new(big.Float).SetPrec(prec).Mul(x, new(big.Float).SetPrec(prec).SetInt(pow10(int64(scale))))
	half := big.NewFloat(math.Copysign(0.5, float64(y.Sign())))
	z, _ := y.Add(y, half).Int(nil)
	return types.DecFromBig(z, int16(scale), arena)
}
