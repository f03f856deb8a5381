package expr

import (
	"math"
	"math/bits"

	"github.com/tidemill/tidemill/internal/types"
)

// arithOp is an operator of the vector kernels.
type arithOp uint8

const (
	opAdd arithOp = iota
	opSub
	opMul
)

var intKinds = []struct {
	name string
	kind types.Kind
}{{"int2", types.Int2}, {"int4", types.Int4}, {"int8", types.Int8}}

func arithKernels(m map[string]kernels) {
	for _, o := range []struct {
		sym string
		op  arithOp
	}{{"+", opAdd}, {"-", opSub}, {"*", opMul}} {
		for _, t := range intKinds {
			m[o.sym+"("+t.name+","+t.name+")"] = kernels{vec: func(f *frame) { intArith(f, o.op, t.kind) }}
		}
		for _, args := range []string{"float4,float4", "float4,float8", "float8,float4", "float8,float8"} {
			m[o.sym+"("+args+")"] = kernels{vec: func(f *frame) { floatArith(f, o.sym[0]) }}
		}
	}
	for _, args := range []string{"float4,float4", "float4,float8", "float8,float4", "float8,float8"} {
		m["/("+args+")"] = kernels{vec: func(f *frame) { floatArith(f, '/') }}
	}
	for _, t := range intKinds {
		tt := "(" + t.name + "," + t.name + ")"
		m["/"+tt] = kernels{vec: func(f *frame) { intDivide(f, t.kind, false) }}
		m["%"+tt] = kernels{vec: func(f *frame) { intDivide(f, t.kind, true) }}
		m["mod"+tt] = m["%"+tt]
		m["&"+tt] = kernels{row: func(f *frame, i int) { f.setInt(i, f.int(0, i)&f.int(1, i)) }}
		m["|"+tt] = kernels{row: func(f *frame, i int) { f.setInt(i, f.int(0, i)|f.int(1, i)) }}
		m["#"+tt] = kernels{row: func(f *frame, i int) { f.setInt(i, f.int(0, i)^f.int(1, i)) }}
		width := map[types.Kind]int64{types.Int2: 32, types.Int4: 32, types.Int8: 64}[t.kind]
		cut := func(x int64) int64 {
			switch t.kind {
			case types.Int2:
				return int64(int16(x))
			case types.Int4:
				return int64(int32(x))
			}
			return x
		}
		m["<<("+t.name+",int4)"] = kernels{row: func(f *frame, i int) { f.setInt(i, cut(f.int(0, i)<<uint64(f.int(1, i)&(width-1)))) }}
		m[">>("+t.name+",int4)"] = kernels{row: func(f *frame, i int) { f.setInt(i, f.int(0, i)>>uint64(f.int(1, i)&(width-1))) }}
		m["~("+t.name+")"] = kernels{row: func(f *frame, i int) { f.setInt(i, ^f.int(0, i)) }}
		m["-("+t.name+")"] = kernels{row: func(f *frame, i int) { intNegate(f, i, t.kind) }}
		abs := kernels{row: func(f *frame, i int) {
			if f.int(0, i) < 0 {
				intNegate(f, i, t.kind)
			} else {
				f.setInt(i, f.int(0, i))
			}
		}}
		m["@("+t.name+")"], m["abs("+t.name+")"] = abs, abs
		m["+("+t.name+")"] = kernels{row: func(f *frame, i int) { f.setInt(i, f.int(0, i)) }}
		if t.kind != types.Int2 {
			m["gcd"+tt] = kernels{row: func(f *frame, i int) { intGCD(f, i, t.kind, false) }}
			m["lcm"+tt] = kernels{row: func(f *frame, i int) { intGCD(f, i, t.kind, true) }}
		}
	}
	for _, t := range []string{"float4", "float8"} {
		m["-("+t+")"] = kernels{row: func(f *frame, i int) { f.setFloat(i, -f.float(0, i)) }}
		m["+("+t+")"] = kernels{row: func(f *frame, i int) { f.setFloat(i, f.float(0, i)) }}
		abs := kernels{row: func(f *frame, i int) { f.setFloat(i, math.Abs(f.float(0, i))) }}
		m["@("+t+")"], m["abs("+t+")"] = abs, abs
	}
}

// intArith computes a op b. The loops note with a flag that something may not fit,
// and only then the rows are looked at one by one.
func intArith(f *frame, op arithOp, kind types.Kind) {
	a, b, kb := f.args[0].I64, f.args[1].I64, f.konst[1]
	if f.konst[0] && !kb && op != opSub {
		a, b, kb = b, a, true
	}
	dst := f.out.I64
	if len(dst) == 0 {
		return
	}
	var flag uint64
	if kind == types.Int8 {
		flag = wideArith(dst, a, b, kb, f.sel, op)
	} else {
		bias, shift := int64(1)<<31, uint(32)
		if kind == types.Int2 {
			bias, shift = 1<<15, 16
		}
		switch {
		case op == opAdd && kb:
			flag = addIntVC(dst, a, b[0], f.sel, bias, shift)
		case op == opAdd:
			flag = addIntVV(dst, a, b, f.sel, bias, shift)
		case op == opSub && kb:
			flag = subIntVC(dst, a, b[0], f.sel, bias, shift)
		case op == opSub:
			flag = subIntVV(dst, a, b, f.sel, bias, shift)
		case kb:
			flag = mulIntVC(dst, a, b[0], f.sel, bias, shift)
		default:
			flag = mulIntVV(dst, a, b, f.sel, bias, shift)
		}
	}
	if flag != 0 {
		intArithChecked(f, a, b, op, kind)
	}
}

// wideArith is intArith for bigint; its result is not 0 when a row needs a check.
func wideArith(dst, a, b []int64, kb bool, sel []uint32, op arithOp) uint64 {
	switch {
	case op == opAdd && kb:
		return addWideVC(dst, a, b[0], sel) >> 63
	case op == opAdd:
		return addWideVV(dst, a, b, sel) >> 63
	case op == opSub && kb:
		return subWideVC(dst, a, b[0], sel) >> 63
	case op == opSub:
		return subWideVV(dst, a, b, sel) >> 63
	case kb && b[0] > math.MinInt64/2 && b[0] < math.MaxInt64/2:
		c := b[0]
		return mulWideVC(dst, a, c, sel, uint(63-bits.Len64(uint64(max(c, -c)))))
	}
	return mulWideVV(dst, a, b, sel) >> 63
}

// intArithChecked computes the rows that are not NULL exactly.
func intArithChecked(f *frame, a, b []int64, op arithOp, kind types.Kind) {
	valid := f.out.Valid
	for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
		i := rowAt(f.sel, k)
		if !valid.Get(i) {
			continue
		}
		x, y := a[i], b[i]
		var r int64
		ok := true
		switch op {
		case opAdd:
			r = x + y
			ok = (x^r)&(y^r) >= 0
		case opSub:
			r = x - y
			ok = (x^y)&(x^r) >= 0
		case opMul:
			r, ok = types.MulInt64(x, y).Int64()
		}
		if !ok || !fits(kind, r) {
			f.fail(i, types.ErrIntOutOfRange(kind))
			continue
		}
		f.out.I64[i] = r
	}
}

func fits(k types.Kind, x int64) bool {
	switch k {
	case types.Int2:
		return x == int64(int16(x))
	case types.Int4:
		return x == int64(int32(x))
	}
	return true
}

func intNegate(f *frame, i int, kind types.Kind) {
	x := f.int(0, i)
	if x == math.MinInt64 || !fits(kind, -x) {
		f.fail(i, types.ErrIntOutOfRange(kind))
		return
	}
	f.setInt(i, -x)
}

func intDivide(f *frame, kind types.Kind, mod bool) {
	a, b, dst, valid := f.args[0].I64, f.args[1].I64, f.out.I64, f.out.Valid
	for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
		i := rowAt(f.sel, k)
		x, y := a[i], b[i]
		switch {
		case !valid.Get(i):
		case y == 0:
			f.fail(i, types.ErrDivisionByZero)
		case y == -1 && mod:
			dst[i] = 0
		case y == -1:
			if x == math.MinInt64 || !fits(kind, -x) {
				f.fail(i, types.ErrIntOutOfRange(kind))
				continue
			}
			dst[i] = -x
		case mod:
			dst[i] = x % y
		default:
			dst[i] = x / y
		}
	}
}

func intGCD(f *frame, i int, kind types.Kind, lcm bool) {
	mag := func(x int64) uint64 {
		if x < 0 {
			return -uint64(x)
		}
		return uint64(x)
	}
	a, b := mag(f.int(0, i)), mag(f.int(1, i))
	g, y := a, b
	for y != 0 {
		g, y = y, g%y
	}
	if lcm {
		if a == 0 || b == 0 {
			f.setInt(i, 0)
			return
		}
		hi, lo := bits.Mul64(a/g, b)
		if hi != 0 {
			lo = math.MaxUint64
		}
		g = lo
	}
	if g > math.MaxInt64 || !fits(kind, int64(g)) {
		f.fail(i, types.ErrIntOutOfRange(kind))
		return
	}
	f.setInt(i, int64(g))
}

// floatArith computes a op b; results of real are rounded to it.
func floatArith(f *frame, op byte) {
	a, b := f.args[0].F64, f.args[1].F64
	ka, kb := f.konst[0], f.konst[1]
	dst := f.out.F64
	if len(dst) == 0 {
		return
	}
	if ka && !kb && (op == '+' || op == '*') {
		a, b, kb = b, a, true
	}
	var flag uint64
	switch {
	case op == '+' && kb:
		flag = addFloatVC(dst, a, b[0], f.sel)
	case op == '+':
		flag = addFloatVV(dst, a, b, f.sel)
	case op == '-' && kb:
		flag = subFloatVC(dst, a, b[0], f.sel)
	case op == '-' && ka:
		flag = subFloatCV(dst, b, a[0], f.sel)
	case op == '-':
		flag = subFloatVV(dst, a, b, f.sel)
	case op == '*' && kb:
		flag = mulFloatVC(dst, a, b[0], f.sel)
	case op == '*':
		flag = mulFloatVV(dst, a, b, f.sel)
	case kb:
		flag = divFloatVC(dst, a, b[0], f.sel)
	case ka:
		flag = divFloatCV(dst, b, a[0], f.sel)
	default:
		flag = divFloatVV(dst, a, b, f.sel)
	}
	if flag != 0 || f.t.Kind == types.Float4 {
		floatChecked(f, a, b, op)
	}
}

func floatChecked(f *frame, a, b []float64, op byte) {
	valid, dst := f.out.Valid, f.out.F64
	for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
		i := rowAt(f.sel, k)
		if !valid.Get(i) {
			continue
		}
		x, y := a[i], b[i]
		if op == '/' && y == 0 && x == x {
			f.fail(i, types.ErrDivisionByZero)
			continue
		}
		r := dst[i]
		if f.t.Kind == types.Float4 {
			r = float64(float32(r))
			dst[i] = r
		}
		switch {
		case math.IsInf(r, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0):
			f.fail(i, errFloatOverflow)
		case r == 0 && (op == '*' && x != 0 && y != 0 || op == '/' && x != 0 && !math.IsInf(y, 0)):
			f.fail(i, errFloatUnderflow)
		}
	}
}

var (
	errFloatOverflow  = &types.Error{Code: types.CodeOutOfRange, Message: "value out of range: overflow"}
	errFloatUnderflow = &types.Error{Code: types.CodeOutOfRange, Message: "value out of range: underflow"}
)
