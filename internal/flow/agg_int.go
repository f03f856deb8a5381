package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// aggSumInt is sum and avg of integers. Words: the number of values, and their sum
// in 128 bits.
type aggSumInt struct {
	words
	col  int
	avg  bool
	dec  bool       // the result is numeric
	kind types.Kind // of the result
}

func (a *aggSumInt) place(groups *state.Table, at int) int { return a.set(groups, at, 3) }

func (a *aggSumInt) add(in *aggInput) {
	b, col := in.b, &in.b.Cols[a.col]
	if b.Sel == nil && b.Weights == nil && col.Valid == nil {
		for k, v := range col.I64[:len(in.refs)] {
			w := a.of(in.refs[k])
			w[0]++
			lo := w[1] + uint64(v)
			carry := (uint64(v)&w[1] | (uint64(v)|w[1])&^lo) >> 63
			w[1] = lo
			w[2] += uint64(v>>63) + carry
		}
		return
	}
	for k, r := range in.refs {
		i := b.Row(k)
		if col.Null(i) {
			continue
		}
		weight, w := b.Weight(i), a.of(r)
		w[0] += uint64(weight)
		// 128 bits hold any sum of 2^63 values; in between it may wrap and come back.
		p := types.MulInt64(col.I64[i], weight)
		lo := w[1] + p.Lo
		carry := (p.Lo&w[1] | (p.Lo|w[1])&^lo) >> 63
		w[1] = lo
		w[2] += uint64(p.Hi) + carry
	}
}

func (a *aggSumInt) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	var arena []byte
	for k, r := range refs {
		w := a.of(r)
		count, sum := int64(w[0]), types.Int128{Hi: int64(w[2]), Lo: w[1]}
		switch {
		case count == 0:
			dst.AppendNull(n + k)
		case a.avg:
			arena = arena[:0]
			d, err := types.DecDiv(types.DecFromInt128(sum, 0), nil, types.DecFromInt64(count), nil, &arena)
			errs = appendDecimal(dst, n+k, d, arena, err, k, errs)
		case a.dec:
			dst.AppendDec(n+k, types.DecFromInt128(sum, 0), nil)
		case sum.Hi != int64(sum.Lo)>>63:
			dst.AppendNull(n + k)
			errs = append(errs, aggError{k, types.ErrIntOutOfRange(a.kind)})
		default:
			dst.AppendInt(n+k, int64(sum.Lo))
		}
	}
	return errs
}

// appendDecimal appends d, or NULL and the error of group k.
func appendDecimal(dst *batch.Column, n int, d types.Decimal, arena []byte, err error, k int, errs []aggError) []aggError {
	if err != nil {
		dst.AppendNull(n)
		return append(errs, aggError{k, asError(err)})
	}
	dst.AppendDec(n, d, arena)
	return errs
}

// asError returns err as an error for SQL clients.
func asError(err error) *types.Error {
	if e, ok := err.(*types.Error); ok {
		return e
	}
	return &types.Error{Code: types.CodeInternal, Message: err.Error()}
}

// aggSumIvl is sum and avg of intervals, field by field. Words: the number of
// values, months, days, and microseconds in 128 bits.
type aggSumIvl struct {
	words
	col int
	avg bool
}

func (a *aggSumIvl) place(groups *state.Table, at int) int { return a.set(groups, at, 5) }

func (a *aggSumIvl) add(in *aggInput) {
	b, col := in.b, &in.b.Cols[a.col]
	for k, r := range in.refs {
		i := b.Row(k)
		if col.Null(i) {
			continue
		}
		v, weight, w := col.Ivl[i], b.Weight(i), a.of(r)
		w[0] += uint64(weight)
		w[1] += uint64(int64(v.Months) * weight)
		w[2] += uint64(int64(v.Days) * weight)
		p := types.MulInt64(v.Micros, weight)
		lo := w[3] + p.Lo
		carry := (p.Lo&w[3] | (p.Lo|w[3])&^lo) >> 63
		w[3] = lo
		w[4] += uint64(p.Hi) + carry
	}
}

// errInterval is PostgreSQL's error for intervals that do not fit.
var errInterval = &types.Error{Code: types.CodeDatetimeOverflow, Message: "interval out of range"}

func (a *aggSumIvl) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	for k, r := range refs {
		w := a.of(r)
		count, months, days := int64(w[0]), int64(w[1]), int64(w[2])
		if count == 0 {
			dst.AppendNull(n + k)
			continue
		}
		v := types.IntervalVal{Months: int32(months), Days: int32(days), Micros: int64(w[3])}
		ok := int64(v.Months) == months && int64(v.Days) == days && int64(w[4]) == v.Micros>>63
		if ok && a.avg {
			v, ok = divideInterval(v, count)
		}
		if !ok {
			dst.AppendNull(n + k)
			errs = append(errs, aggError{k, errInterval})
			continue
		}
		dst.AppendIvl(n+k, v)
	}
	return errs
}
