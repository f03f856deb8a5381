package expr

import (
	"bytes"
	"cmp"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// cmpOp is a comparison.
type cmpOp uint8

const (
	cmpEq cmpOp = iota
	cmpNe
	cmpLt
	cmpLe
	cmpGt
	cmpGe
)

var cmpOps = []struct {
	name string
	op   cmpOp
}{{"=", cmpEq}, {"<>", cmpNe}, {"<", cmpLt}, {"<=", cmpLe}, {">", cmpGt}, {">=", cmpGe}}

// swapped gives the comparison with its sides exchanged.
var swapped = [...]cmpOp{cmpEq: cmpEq, cmpNe: cmpNe, cmpLt: cmpGt, cmpLe: cmpGe, cmpGt: cmpLt, cmpGe: cmpLe}

// truths gives each comparison's truth for less, equal and more.
var truths = [...][3]uint8{cmpEq: {0, 1, 0}, cmpNe: {1, 0, 1}, cmpLt: {1, 0, 0}, cmpLe: {1, 1, 0}, cmpGt: {0, 0, 1}, cmpGe: {0, 1, 1}}

func compareKernels(m map[string]kernels) {
	for _, c := range cmpOps {
		op := c.op
		m[c.name] = kernels{vec: func(f *frame) { compareFrame(op, f) }}
		m[c.name+" any"] = kernels{row: func(f *frame, i int) { anyCompare(f, i, op, true) }}
		m[c.name+" all"] = kernels{row: func(f *frame, i int) { anyCompare(f, i, op, false) }}
	}
}

func compareFrame(op cmpOp, f *frame) {
	a, b := f.args[0], f.args[1]
	kb := f.konst[1]
	if f.konst[0] && !kb {
		a, b, kb, op = b, a, true, swapped[op]
	}
	dst := f.out.U8
	switch f.from[0].Layout() {
	case types.LayoutBool:
		compareTo(op, dst, a.U8, b.U8, kb, f.sel)
	case types.LayoutInt:
		compareTo(op, dst, a.I64, b.I64, kb, f.sel)
	case types.LayoutFloat:
		if !hasNaN(a.F64[:f.n]) && !hasNaN(b.F64[:f.n]) {
			compareTo(op, dst, a.F64, b.F64, kb, f.sel)
			return
		}
		compareSlow(op, f, a, b)
	case types.LayoutStr:
		if f.from[0].Kind == types.Array {
			compareSlow(op, f, a, b)
			return
		}
		compareText(op, f, a, b)
	default:
		compareSlow(op, f, a, b)
	}
}

func compareTo[T ordered](op cmpOp, dst []uint8, a, b []T, konst bool, sel []uint32) {
	if len(dst) == 0 {
		return
	}
	if konst {
		cmpVC(op, dst, a, b[0], sel)
	} else {
		cmpVV(op, dst, a, b, sel)
	}
}

// hasNaN reports whether some value is not a number; the operators of Go are not
// SQL's for those.
func hasNaN(s []float64) bool {
	bad := uint8(0)
	for _, x := range s {
		bad |= b2u(x != x)
	}
	return bad != 0
}

func compareText(op cmpOp, f *frame, a, b *batch.Column) {
	dst := f.out.U8
	if op == cmpEq || op == cmpNe {
		neg := b2u(op == cmpNe)
		for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
			i := rowAt(f.sel, k)
			x, y := a.Str[i], b.Str[i]
			eq := x.Len == y.Len && string(a.Bytes[x.Off:x.Off+x.Len]) == string(b.Bytes[y.Off:y.Off+y.Len])
			dst[i] = b2u(eq) ^ neg
		}
		return
	}
	truth := &truths[op]
	for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
		i := rowAt(f.sel, k)
		dst[i] = truth[bytes.Compare(a.StrAt(i), b.StrAt(i))+1]
	}
}

// compareSlow compares row by row what has no order of its own in Go.
func compareSlow(op cmpOp, f *frame, a, b *batch.Column) {
	truth, dst, valid := &truths[op], f.out.U8, f.out.Valid
	for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
		if i := rowAt(f.sel, k); valid.Get(i) {
			dst[i] = truth[compareAt(a, b, i)+1]
		}
	}
}

// compareAt orders row i of two columns of one layout; neither is NULL.
func compareAt(a, b *batch.Column, i int) int {
	switch a.Type.Layout() {
	case types.LayoutBool:
		return cmp.Compare(a.U8[i], b.U8[i])
	case types.LayoutInt:
		return cmp.Compare(a.I64[i], b.I64[i])
	case types.LayoutFloat:
		return types.CompareFloat(a.F64[i], b.F64[i])
	case types.LayoutDec:
		return types.CompareDec(a.Dec[i], a.Bytes, b.Dec[i], b.Bytes)
	case types.LayoutIvl:
		return types.CompareIvl(a.Ivl[i], b.Ivl[i])
	case types.LayoutStr:
		if a.Type.Kind == types.Array {
			return types.CompareArray(a.StrAt(i), b.StrAt(i))
		}
		return bytes.Compare(a.StrAt(i), b.StrAt(i))
	}
	return 0
}

// anyCompare is x op ANY (array), or ALL.
func anyCompare(f *frame, i int, op cmpOp, any bool) {
	x := f.args[0].Value(i)
	truth := &truths[op]
	anyRow(f, i, 1, any, func(v types.Value) bool { return truth[types.Compare(x, v)+1] != 0 })
}

// anyRow decides ANY or ALL over array argument k with three-valued logic.
func anyRow(f *frame, i, k int, any bool, test func(types.Value) bool) {
	null := false
	for r := types.ReadArray(f.str(k, i)); ; {
		v, ok := r.Next()
		if !ok {
			break
		}
		if v.Null {
			null = true
		} else if test(v) == any {
			f.setBool(i, any)
			return
		}
	}
	if null {
		f.setNull(i)
		return
	}
	f.setBool(i, !any)
}
