package expr

import (
	"math"
	"math/big"

	"github.com/tidemill/tidemill/internal/types"
)

var (
	errInputRange = &types.Error{Code: types.CodeOutOfRange, Message: "input is out of range"}
	errSqrt       = &types.Error{Code: "2201F", Message: "cannot take square root of a negative number"}
	errLnZero     = &types.Error{Code: "2201E", Message: "cannot take logarithm of zero"}
	errLnNegative = &types.Error{Code: "2201E", Message: "cannot take logarithm of a negative number"}
	errPowZero    = &types.Error{Code: "2201F", Message: "zero raised to a negative power is undefined"}
	errPowComplex = &types.Error{Code: "2201F", Message: "a negative number raised to a non-integer power yields a complex result"}
	errNumRange   = &types.Error{Code: types.CodeOutOfRange, Message: "value overflows numeric format"}
)

// floatFunc makes a kernel of one float. check gives an error for an argument.
func floatFunc(fn func(float64) float64, check func(float64) *types.Error) kernels {
	return limitedFunc(fn, check, true)
}

// limitedFunc is floatFunc; with finite, an infinite result of a finite number is an error.
func limitedFunc(fn func(float64) float64, check func(float64) *types.Error, finite bool) kernels {
	return kernels{row: func(f *frame, i int) {
		x := f.float(0, i)
		if check != nil {
			if err := check(x); err != nil {
				f.fail(i, err)
				return
			}
		}
		r := fn(x)
		if finite && math.IsInf(r, 0) && !math.IsInf(x, 0) {
			f.fail(i, errFloatOverflow)
			return
		}
		f.setFloat(i, r)
	}}
}

func checkLn(x float64) *types.Error {
	switch {
	case x == 0:
		return errLnZero
	case x < 0:
		return errLnNegative
	}
	return nil
}

func notInf(x float64) *types.Error {
	if math.IsInf(x, 0) {
		return errInputRange
	}
	return nil
}

func checkUnit(x float64) *types.Error {
	if x < -1 || x > 1 {
		return errInputRange
	}
	return nil
}

func mathKernels(m map[string]kernels) {
	for name, fn := range map[string]func(float64) float64{"ceil": math.Ceil, "ceiling": math.Ceil, "floor": math.Floor,
		"round": math.RoundToEven, "trunc": math.Trunc} {
		m[name+"(float8)"] = floatFunc(fn, nil)
	}
	m["sign(float8)"] = floatFunc(func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	}, nil)
	sqrt := func(x float64) *types.Error {
		if x < 0 {
			return errSqrt
		}
		return nil
	}
	m["sqrt(float8)"] = floatFunc(math.Sqrt, sqrt)
	m["|/"] = m["sqrt(float8)"]
	m["cbrt"] = floatFunc(math.Cbrt, nil)
	m["exp(float8)"] = kernels{row: func(f *frame, i int) {
		x := f.float(0, i)
		r := math.Exp(x)
		switch {
		case math.IsInf(r, 0) && !math.IsInf(x, 0):
			f.fail(i, errFloatOverflow)
		case r == 0 && !math.IsInf(x, 0):
			f.fail(i, errFloatUnderflow)
		default:
			f.setFloat(i, r)
		}
	}}
	m["ln(float8)"] = floatFunc(math.Log, checkLn)
	m["log(float8)"] = floatFunc(math.Log10, checkLn)
	m["log10(float8)"] = m["log(float8)"]
	pow := kernels{row: floatPower}
	m["power(float8,float8)"], m["pow(float8,float8)"], m["^(float8,float8)"] = pow, pow, pow
	m["pi"] = kernels{row: func(f *frame, i int) { f.setFloat(i, math.Pi) }}
	const degree = math.Pi / 180
	m["degrees"] = floatFunc(func(x float64) float64 { return x / degree }, nil)
	m["radians"] = floatFunc(func(x float64) float64 { return x * degree }, nil)
	m["sin"], m["cos"], m["tan"] = floatFunc(math.Sin, notInf), floatFunc(math.Cos, notInf), floatFunc(math.Tan, notInf)
	m["cot"] = limitedFunc(func(x float64) float64 { return 1 / math.Tan(x) }, notInf, false)
	m["asin"], m["acos"], m["atan"] = floatFunc(math.Asin, checkUnit), floatFunc(math.Acos, checkUnit), floatFunc(math.Atan, nil)
	m["sinh"], m["cosh"], m["tanh"] = limitedFunc(math.Sinh, nil, false), limitedFunc(math.Cosh, nil, false), floatFunc(math.Tanh, nil)
	m["atan2"] = kernels{row: func(f *frame, i int) { f.setFloat(i, math.Atan2(f.float(0, i), f.float(1, i))) }}
	m["width_bucket(float8,float8,float8,int4)"] = kernels{row: widthBucketFloat}
	m["width_bucket(numeric,numeric,numeric,int4)"] = kernels{row: widthBucketDec}
	one := func(name string, fn func(a types.Decimal, aa []byte, arena *[]byte) (types.Decimal, error)) {
		m[name+"(numeric)"] = kernels{row: func(f *frame, i int) {
			a, aa := f.dec(0, i)
			d, err := fn(a, aa, f.arena())
			f.setDec(i, d, err)
		}}
	}
	one("sqrt", decSqrt)
	one("exp", decExp)
	one("ln", decLn)
	ten := types.DecFromInt64(10)
	log10 := func(a types.Decimal, aa []byte, arena *[]byte) (types.Decimal, error) {
		return decLog(ten, nil, a, aa, arena)
	}
	one("log", log10)
	one("log10", log10)
	m["log(numeric,numeric)"] = kernels{row: func(f *frame, i int) {
		a, aa := f.dec(0, i)
		b, ba := f.dec(1, i)
		d, err := decLog(a, aa, b, ba, f.arena())
		f.setDec(i, d, err)
	}}
	dpow := kernels{row: func(f *frame, i int) {
		a, aa := f.dec(0, i)
		b, ba := f.dec(1, i)
		d, err := decPower(a, aa, b, ba, f.arena())
		f.setDec(i, d, err)
	}}
	m["power(numeric,numeric)"], m["pow(numeric,numeric)"], m["^(numeric,numeric)"] = dpow, dpow, dpow
	m["greatest"] = kernels{row: func(f *frame, i int) { pickExtreme(f, i, 1) }}
	m["least"] = kernels{row: func(f *frame, i int) { pickExtreme(f, i, -1) }}
}

// pickExtreme gives the greatest (sign 1) or least argument that is not NULL.
func pickExtreme(f *frame, i, sign int) {
	k := 0
	switch a, b := f.null(0, i), f.null(1, i); {
	case a && b:
		f.setNull(i)
		return
	case a:
		k = 1
	case b:
	case sign*compareAt(f.args[0], f.args[1], i) < 0:
		k = 1
	}
	c := f.args[k]
	switch f.t.Layout() {
	case types.LayoutBool:
		f.out.U8[i] = c.U8[i]
	case types.LayoutInt:
		f.out.I64[i] = c.I64[i]
	case types.LayoutFloat:
		f.out.F64[i] = c.F64[i]
	case types.LayoutIvl:
		f.out.Ivl[i] = c.Ivl[i]
	case types.LayoutDec:
		f.out.Dec[i] = types.DecCopy(c.Dec[i], c.Bytes, f.arena())
	case types.LayoutStr:
		f.setStr(i, c.StrAt(i))
	}
}

func floatPower(f *frame, i int) {
	x, y := f.float(0, i), f.float(1, i)
	switch {
	case x == 0 && y < 0:
		f.fail(i, errPowZero)
		return
	case x < 0 && y != math.Trunc(y) && y == y:
		f.fail(i, errPowComplex)
		return
	}
	r := math.Pow(x, y)
	finite := !math.IsInf(x, 0) && !math.IsInf(y, 0)
	switch {
	case math.IsInf(r, 0) && finite:
		f.fail(i, errFloatOverflow)
	case r == 0 && finite && x != 0:
		f.fail(i, errFloatUnderflow)
	default:
		f.setFloat(i, r)
	}
}

const codeBucket = "2201G"

func widthBucketFloat(f *frame, i int) {
	x, lo, hi, n := f.float(0, i), f.float(1, i), f.float(2, i), f.int(3, i)
	switch {
	case n <= 0:
		f.failf(i, codeBucket, "count must be greater than zero")
		return
	case x != x || lo != lo || hi != hi:
		f.failf(i, codeBucket, "operand, lower bound, and upper bound cannot be NaN")
		return
	case math.IsInf(lo, 0) || math.IsInf(hi, 0):
		f.failf(i, codeBucket, "lower and upper bounds must be finite")
		return
	case lo == hi:
		f.failf(i, codeBucket, "lower bound cannot equal upper bound")
		return
	}
	if lo > hi {
		x, lo, hi = -x, -lo, -hi
	}
	switch {
	case x < lo:
		f.setInt(i, 0)
	case x >= hi:
		f.bucket(i, n+1)
	default:
		f.bucket(i, int64(float64(n)*((x-lo)/(hi-lo)))+1)
	}
}

func (f *frame) bucket(i int, n int64) {
	if !fits(types.Int4, n) {
		f.fail(i, types.ErrIntOutOfRange(types.Int4))
		return
	}
	f.setInt(i, n)
}

func widthBucketDec(f *frame, i int) {
	var v [3]*big.Rat
	for k := range v {
		d, a := f.dec(k, i)
		if k == 0 && (d.Form == types.DecPosInf || d.Form == types.DecNegInf) { // beyond any bound
			v[0] = new(big.Rat).SetInt(pow10(types.MaxDecDigits))
			if d.Form == types.DecNegInf {
				v[0].Neg(v[0])
			}
			continue
		}
		if !d.IsFinite() {
			f.failf(i, codeBucket, "operand, lower bound, and upper bound cannot be NaN")
			return
		}
		v[k] = new(big.Rat).SetFrac(types.DecBigInt(d, a), pow10(int64(d.Scale)))
	}
	n := f.int(3, i)
	switch {
	case n <= 0:
		f.failf(i, codeBucket, "count must be greater than zero")
		return
	case v[1].Cmp(v[2]) == 0:
		f.failf(i, codeBucket, "lower bound cannot equal upper bound")
		return
	}
	if v[1].Cmp(v[2]) > 0 {
		for _, r := range v {
			r.Neg(r)
		}
	}
	switch {
	case v[0].Cmp(v[1]) < 0:
		f.setInt(i, 0)
	case v[0].Cmp(v[2]) >= 0:
		f.bucket(i, n+1)
	default:
		x := new(big.Rat).Sub(v[0], v[1])
		x.Mul(x, new(big.Rat).SetInt64(n)).Quo(x, new(big.Rat).Sub(v[2], v[1]))
		f.bucket(i, new(big.Int).Quo(x.Num(), x.Denom()).Int64()+1)
	}
}
