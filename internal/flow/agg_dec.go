package flow

import (
	"fmt"
	"math/big"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// decSums keeps sums of numerics, each value at its own scale: the result's scale is
// the largest among the values, also after the others have gone. Words: the number
// of values, a tag, and the sum in 256 bits, which is enough while all values have
// one scale. Otherwise, and for NaN, infinities and numbers beyond 128 bits, the sum
// is in mixed.
type decSums struct{ mixed mixedSums }

const (
	decWords = 6
	decUsed  = 1 << 16 // flag in the tag; below it is the scale
	// above it, from bit 32, the number in mixed
)

func newDecSums(mem *state.Memory) decSums { return decSums{newMixedSums(mem)} }

func (x *decSums) persist(p *state.Persist) { x.mixed.persist(p) }
func (x *decSums) bytes() int64             { return x.mixed.bytes() }

func (x *decSums) add(w []uint64, d types.Decimal, arena []byte, weight int64) {
	w[0] += uint64(weight)
	if d.Form == types.DecFinite && w[1]>>32 == 0 {
		tag := uint64(uint16(d.Scale)) | decUsed
		if w[1] == 0 {
			w[1] = tag
		}
		sum := (*wide)(w[2:6])
		if w[1] == tag && addWide(sum, d.Coef(), weight) {
			if w[0] == 0 && sum[0]|sum[1]|sum[2]|sum[3] == 0 {
				w[1] = 0
			}
			return
		}
	}
	x.mixed.add(x.spill(w, weight), d, arena, weight)
}

// spill returns the mixed sum of w, to which the value of weight is added next.
func (x *decSums) spill(w []uint64, weight int64) uint32 {
	if id := w[1] >> 32; id != 0 {
		return uint32(id)
	}
	id := x.mixed.alloc()
	if w[1] != 0 {
		x.mixed.addSum(id, int16(w[1]), int64(w[0])-weight, wideBig((*wide)(w[2:6])))
		clear(w[2:6])
	}
	w[1] = uint64(id) << 32
	return id
}

// value returns the sum. w[0] is not 0.
func (x *decSums) value(w []uint64, arena *[]byte) (types.Decimal, error) {
	id := uint32(w[1] >> 32)
	if id == 0 {
		sum := (*wide)(w[2:6])
		if s, ok := wideInt128(sum); ok {
			return types.DecFromInt128(s, int16(w[1])), nil
		}
		return types.DecFromBig(wideBig(sum), int16(w[1]), arena)
	}
	if d, ok := x.mixed.special(id); ok {
		return d, nil
	}
	sum, scale := x.mixed.total(id)
	return types.DecFromBig(sum, scale, arena)
}

// settle gives up the mixed sum of values that all have gone.
func (x *decSums) settle(w []uint64) {
	if id := uint32(w[1] >> 32); id != 0 && x.mixed.settle(id) {
		n := w[0]
		x.reset(w)
		w[0] = n
	}
}

func (x *decSums) reset(w []uint64) {
	if id := uint32(w[1] >> 32); id != 0 {
		x.mixed.release(id)
	}
	clear(w[:decWords])
}

// aggSumDec is sum and avg of numerics.
type aggSumDec struct {
	words
	sums decSums
	col  int
	avg  bool
}

func (a *aggSumDec) place(groups *state.Table, at int) int { return a.set(groups, at, decWords) }

func (a *aggSumDec) add(in *aggInput) {
	b, col := in.b, &in.b.Cols[a.col]
	for k, r := range in.refs {
		if i := b.Row(k); !col.Null(i) {
			a.sums.add(a.of(r), col.Dec[i], col.Bytes, b.Weight(i))
		}
	}
}

func (a *aggSumDec) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	var arena []byte
	for k, r := range refs {
		w := a.of(r)
		a.sums.settle(w)
		count := int64(w[0])
		if count == 0 {
			dst.AppendNull(n + k)
			continue
		}
		arena = arena[:0]
		d, err := a.sums.value(w, &arena)
		if err == nil && a.avg {
			d, err = types.DecDiv(d, arena, types.DecFromInt64(count), nil, &arena)
		}
		errs = appendDecimal(dst, n+k, d, arena, err, k, errs)
	}
	return errs
}

func (a *aggSumDec) forget(r state.Ref) { a.sums.reset(a.of(r)) }
func (a *aggSumDec) bytes() int64       { return a.sums.bytes() }

func (a *aggSumDec) persist(p *state.Persist) { a.sums.persist(p) }

// aggVarDec is variance and standard deviation of integers and numerics: two sums of
// numerics, of the values and of their squares.
type aggVarDec struct {
	words
	sums decSums
	col  int
	ints bool
	spread
	arena []byte
}

func newVariance(mem *state.Memory, t types.Type, call *AggCall) (accumulator, error) {
	op := call.Fn.Op
	s := spread{
		pop:  op == expr.AggVarPop || op == expr.AggStddevPop,
		root: op == expr.AggStddevPop || op == expr.AggStddevSamp,
	}
	ret := call.Ret.Layout()
	switch l := t.Layout(); {
	case l == types.LayoutFloat && ret == types.LayoutFloat:
		return &aggVarFloat{col: call.Args[0], spread: s, exact: newExactSums(mem)}, nil
	case (l == types.LayoutDec || l == types.LayoutInt) && ret == types.LayoutDec:
		return &aggVarDec{col: call.Args[0], ints: l == types.LayoutInt, spread: s, sums: newDecSums(mem)}, nil
	}
	return nil, fmt.Errorf("has no kernel from layout %d to layout %d", t.Layout(), ret)
}

func (a *aggVarDec) place(groups *state.Table, at int) int { return a.set(groups, at, 2*decWords) }

func (a *aggVarDec) add(in *aggInput) {
	b, col := in.b, &in.b.Cols[a.col]
	for k, r := range in.refs {
		i := b.Row(k)
		if col.Null(i) {
			continue
		}
		w, weight := a.of(r), b.Weight(i)
		if a.ints {
			v := col.I64[i]
			a.sums.add(w, types.DecFromInt64(v), nil, weight)
			a.sums.add(w[decWords:], types.DecFromInt128(types.MulInt64(v, v), 0), nil, weight)
			continue
		}
		d := col.Dec[i]
		a.sums.add(w, d, col.Bytes, weight)
		a.arena = a.arena[:0]
		square, err := types.DecMul(d, col.Bytes, d, col.Bytes, &a.arena)
		if err != nil { // too many digits: as good as infinite
			square = types.Decimal{Form: types.DecPosInf}
		}
		a.sums.add(w[decWords:], square, a.arena, weight)
	}
}

func (a *aggVarDec) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	for k, r := range refs {
		w := a.of(r)
		a.sums.settle(w)
		a.sums.settle(w[decWords:])
		count := int64(w[0])
		if count < 1 || !a.pop && count == 1 {
			dst.AppendNull(n + k)
			continue
		}
		a.arena = a.arena[:0]
		d, err := a.variance(w, count)
		errs = appendDecimal(dst, n+k, d, a.arena, err, k, errs)
	}
	return errs
}

func (a *aggVarDec) variance(w []uint64, count int64) (types.Decimal, error) {
	sum, err := a.sums.value(w, &a.arena)
	if err != nil {
		return sum, err
	}
	squares, err := a.sums.value(w[decWords:], &a.arena)
	if err != nil || !sum.IsFinite() || !squares.IsFinite() {
		return types.Decimal{Form: types.DecNaN}, err
	}
	s, q := types.DecBigInt(sum, a.arena), types.DecBigInt(squares, a.arena)
	scale := int(squares.Scale)
	if up := 2*int(sum.Scale) - scale; up > 0 { // a scale past the greatest was cut
		q.Mul(q, pow10(up))
		scale += up
	} else {
		s.Mul(s, pow10(-up/2))
	}
	bigNum, bigDen := a.ratio(count, s, q)
	if bigNum.Sign() == 0 {
		return types.Decimal{}, nil
	}
	a.arena = a.arena[:0]
	num, err := types.DecFromBig(bigNum, int16(scale), &a.arena)
	if err != nil {
		return num, err
	}
	den, err := types.DecFromBig(bigDen, 0, &a.arena)
	if err != nil {
		return den, err
	}
	v, err := types.DecDiv(num, a.arena, den, a.arena, &a.arena)
	if err != nil || !a.root {
		return v, err
	}
	return a.sqrt(v)
}

// sqrt returns the square root at v's scale, rounded to nearest.
func (a *aggVarDec) sqrt(v types.Decimal) (types.Decimal, error) {
	x := types.DecBigInt(v, a.arena)
	x.Mul(x, pow10(int(v.Scale)))
	r := new(big.Int).Sqrt(x)
	if rest := new(big.Int).Sub(x, new(big.Int).Mul(r, r)); rest.Cmp(r) > 0 {
		r.Add(r, big.NewInt(1))
	}
	a.arena = a.arena[:0]
	return types.DecFromBig(r, v.Scale, &a.arena)
}

func (a *aggVarDec) forget(r state.Ref) {
	w := a.of(r)
	a.sums.reset(w)
	a.sums.reset(w[decWords:])
}

func (a *aggVarDec) bytes() int64             { return a.sums.bytes() }
func (a *aggVarDec) persist(p *state.Persist) { a.sums.persist(p) }
