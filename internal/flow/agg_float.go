package flow

import (
	"math"
	"math/big"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// aggSumFloat is sum and avg of floats. Words: the number of values and an exact sum.
type aggSumFloat struct {
	words
	exact  exactSums
	col    int
	avg    bool
	single bool // the result is real
}

func (a *aggSumFloat) place(groups *state.Table, at int) int { return a.set(groups, at, 1+exactWords) }

func (a *aggSumFloat) add(in *aggInput) {
	b, col := in.b, &in.b.Cols[a.col]
	for k, r := range in.refs {
		i := b.Row(k)
		if col.Null(i) {
			continue
		}
		weight, w := b.Weight(i), a.of(r)
		w[0] += uint64(weight)
		a.exact.add(w[1:1+exactWords], col.F64[i], weight)
	}
}

func (a *aggSumFloat) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	prec := 53
	if a.single && !a.avg {
		prec = 24
	}
	for k, r := range refs {
		w := a.of(r)
		count := int64(w[0])
		a.exact.settle(w[1 : 1+exactWords])
		if count == 0 {
			dst.AppendNull(n + k)
			continue
		}
		f, overflow := a.exact.value(w[1:1+exactWords], prec)
		if overflow {
			dst.AppendNull(n + k)
			errs = append(errs, aggError{k, errFloat})
			continue
		}
		if a.avg {
			f = a.exact.mean(w[1:1+exactWords], f, count)
		}
		if a.single {
			f = float64(float32(f))
		}
		dst.AppendFloat(n+k, f)
	}
	return errs
}

// mean returns the sum in w, which rounds to f, divided by count. What rounding lost
// is divided too, so that the mean of equal values is the value.
func (x *exactSums) mean(w []uint64, f float64, count int64) float64 {
	n := float64(count)
	q := f / n
	if count == 1 || math.IsNaN(q) || math.IsInf(q, 0) {
		return q
	}
	x.add(w, f, -1)
	lost, _ := x.value(w, 53)
	x.add(w, f, 1)
	return q + (math.FMA(-q, n, f)+lost)/n
}

func (a *aggSumFloat) forget(r state.Ref) { a.exact.reset(a.of(r)[1 : 1+exactWords]) }
func (a *aggSumFloat) bytes() int64       { return a.exact.bytes() }

func (a *aggSumFloat) persist(p *state.Persist) { a.exact.persist(p) }

// divideInterval divides as PostgreSQL does: what is left of months becomes days,
// what is left of days becomes time.
func divideInterval(v types.IntervalVal, by int64) (types.IntervalVal, bool) {
	f := float64(by)
	months, days := float64(v.Months)/f, float64(v.Days)/f
	out := types.IntervalVal{Months: int32(months), Days: int32(days)}
	restDays := roundMicros((months - float64(out.Months)) * 30)
	restSecs := roundMicros((days - float64(out.Days) + restDays - math.Trunc(restDays)) * 86400)
	if math.Abs(restSecs) >= 86400 {
		out.Days += int32(restSecs / 86400)
		restSecs -= float64(math.Trunc(restSecs/86400) * 86400)
	}
	out.Days += int32(restDays)
	micros := math.RoundToEven(float64(v.Micros)/f + float64(restSecs*1e6))
	if micros >= 1<<63 || micros < -1<<63 {
		return out, false
	}
	out.Micros = int64(micros)
	return out, true
}

func roundMicros(f float64) float64 { return math.RoundToEven(float64(f*1e6)) / 1e6 }

// aggVarFloat is variance and standard deviation of floats. Words: the number of
// values and exact sums of the values and of their squares; a square is two floats,
// the rounded product and what rounding lost.
type aggVarFloat struct {
	words
	exact exactSums
	col   int
	spread
}

func (a *aggVarFloat) place(groups *state.Table, at int) int {
	return a.set(groups, at, 1+2*exactWords)
}

func (a *aggVarFloat) add(in *aggInput) {
	b, col := in.b, &in.b.Cols[a.col]
	for k, r := range in.refs {
		i := b.Row(k)
		if col.Null(i) {
			continue
		}
		weight, w, f := b.Weight(i), a.of(r), col.F64[i]
		w[0] += uint64(weight)
		a.exact.add(w[1:1+exactWords], f, weight)
		square := float64(f * f)
		a.exact.add(w[1+exactWords:1+2*exactWords], square, weight)
		if !math.IsInf(square, 0) {
			a.exact.add(w[1+exactWords:1+2*exactWords], math.FMA(f, f, -square), weight)
		}
	}
}

func (a *aggVarFloat) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	for k, r := range refs {
		w := a.of(r)
		sum, squares := w[1:1+exactWords], w[1+exactWords:1+2*exactWords]
		a.exact.settle(sum)
		a.exact.settle(squares)
		count := int64(w[0])
		if count < 1 || !a.pop && count == 1 {
			dst.AppendNull(n + k)
			continue
		}
		s, ok := a.exact.big(sum)
		if !ok {
			dst.AppendFloat(n+k, math.NaN())
			continue
		}
		q, ok := a.exact.big(squares)
		if !ok {
			dst.AppendNull(n + k)
			errs = append(errs, aggError{k, errFloat})
			continue
		}
		num, den := a.ratio(count, s, q.Lsh(q, bias))
		f := quotient(num, den, -2*bias)
		if a.root {
			f = math.Sqrt(f)
		}
		if math.IsInf(f, 0) {
			dst.AppendNull(n + k)
			errs = append(errs, aggError{k, errFloat})
			continue
		}
		dst.AppendFloat(n+k, f)
	}
	return errs
}

// quotient returns num/den * 2^exp as a float.
func quotient(num, den *big.Int, exp int) float64 {
	x := new(big.Float).SetPrec(256).SetInt(num)
	x.Quo(x, new(big.Float).SetPrec(256).SetInt(den))
	f, _ := x.SetMantExp(x, exp).Float64()
	return f
}

func (a *aggVarFloat) forget(r state.Ref) {
	w := a.of(r)
	a.exact.reset(w[1 : 1+exactWords])
	a.exact.reset(w[1+exactWords : 1+2*exactWords])
}

func (a *aggVarFloat) bytes() int64             { return a.exact.bytes() }
func (a *aggVarFloat) persist(p *state.Persist) { a.exact.persist(p) }

// spread says which of variance and standard deviation, of a population or of a
// sample, is wanted.
type spread struct{ pop, root bool }

// ratio returns the variance as a fraction: count*squares - sum^2 over count^2, or
// count*(count-1) for a sample.
func (s spread) ratio(count int64, sum, squares *big.Int) (num, den *big.Int) {
	n := big.NewInt(count)
	num = new(big.Int).Mul(n, squares)
	num.Sub(num, new(big.Int).Mul(sum, sum))
	if num.Sign() < 0 { // squares of tiny numbers lose bits
		num.SetInt64(0)
	}
	den = new(big.Int).Set(n)
	if !s.pop {
		den.Sub(den, big.NewInt(1))
	}
	return num, den.Mul(den, n)
}
