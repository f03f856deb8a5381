package expr

import (
	"math"

	"github.com/tidemill/tidemill/internal/types"
)

func intervalArith(row func(string, rowKernel)) {
	add := func(sign int64) rowKernel {
		return func(f *frame, i int) {
			a, b := f.ivl(0, i), f.ivl(1, i)
			f.setIvlFields(i, int64(a.Months)+sign*int64(b.Months), int64(a.Days)+sign*int64(b.Days), a.Micros, sign*b.Micros)
		}
	}
	row("+(interval,interval)", add(1))
	row("-(interval,interval)", add(-1))
	row("-(interval)", func(f *frame, i int) {
		a := f.ivl(0, i)
		if a.Micros == math.MinInt64 {
			f.fail(i, errIntervalRange())
			return
		}
		f.setIvlFields(i, -int64(a.Months), -int64(a.Days), -a.Micros, 0)
	})
	row("*(interval,float8)", func(f *frame, i int) { scaleInterval(f, i, f.ivl(0, i), f.float(1, i), false) })
	row("*(float8,interval)", func(f *frame, i int) { scaleInterval(f, i, f.ivl(1, i), f.float(0, i), false) })
	row("/(interval,float8)", func(f *frame, i int) {
		if f.float(1, i) == 0 {
			f.fail(i, types.ErrDivisionByZero)
			return
		}
		scaleInterval(f, i, f.ivl(0, i), f.float(1, i), true)
	})
}

// setIvlFields stores an interval whose fields must be in range.
func (f *frame) setIvlFields(i int, months, days, a, b int64) {
	s := a + b
	if months != int64(int32(months)) || days != int64(int32(days)) || (a^s)&(b^s) < 0 {
		f.fail(i, errIntervalRange())
		return
	}
	f.setIvl(i, types.IntervalVal{Months: int32(months), Days: int32(days), Micros: s})
}

// scaleInterval multiplies or divides each field and hands fractions down, a month
// being 30 days. Products are kept apart from sums, so that no machine fuses them.
func scaleInterval(f *frame, i int, v types.IntervalVal, by float64, div bool) {
	scale := func(x float64) float64 {
		if div {
			return float64(x / by)
		}
		return float64(x * by)
	}
	round := func(x float64) float64 { return float64(math.RoundToEven(float64(x*1e6)) / 1e6) }
	months, days := scale(float64(v.Months)), scale(float64(v.Days))
	micros := scale(float64(v.Micros))
	limit := func(x float64) bool { return x >= math.MinInt32 && x <= math.MaxInt32 }
	if !limit(months) || !limit(days) {
		f.fail(i, errIntervalRange())
		return
	}
	out := types.IntervalVal{Months: int32(months), Days: int32(days)}
	monthRest := round(float64((months - float64(out.Months)) * 30))
	secRest := round(float64((days - float64(out.Days) + monthRest - math.Trunc(monthRest)) * 86400))
	if math.Abs(secRest) >= 86400 {
		out.Days += int32(secRest / 86400)
		secRest -= float64(math.Trunc(secRest/86400) * 86400)
	}
	out.Days += int32(monthRest)
	micros = math.RoundToEven(micros + float64(secRest*1e6))
	if !(micros >= math.MinInt64 && micros < math.MaxInt64) {
		f.fail(i, errIntervalRange())
		return
	}
	out.Micros = int64(micros)
	f.setIvl(i, out)
}

// makeInterval takes years, months, weeks, days, hours, minutes, seconds.
func makeInterval(f *frame, i int) {
	var v [6]int64
	sec := 0.0
	for k := range f.args {
		if k == 6 {
			sec = f.float(k, i)
		} else {
			v[k] = f.int(k, i)
		}
	}
	if math.IsNaN(sec) || math.Abs(sec) > 1e12 {
		f.fail(i, errIntervalRange())
		return
	}
	f.setIvlFields(i, v[0]*12+v[1], v[2]*7+v[3], v[4]*types.MicrosPerHour+v[5]*types.MicrosPerMinute, int64(math.RoundToEven(sec*1e6)))
}

func justifyHours(v types.IntervalVal) types.IntervalVal {
	v.Days += int32(v.Micros / types.MicrosPerDay)
	v.Micros %= types.MicrosPerDay
	if v.Days > 0 && v.Micros < 0 {
		v.Micros += types.MicrosPerDay
		v.Days--
	} else if v.Days < 0 && v.Micros > 0 {
		v.Micros -= types.MicrosPerDay
		v.Days++
	}
	return v
}

func justifyDays(v types.IntervalVal) types.IntervalVal {
	v.Months += v.Days / 30
	v.Days %= 30
	if v.Months > 0 && v.Days < 0 {
		v.Days += 30
		v.Months--
	} else if v.Months < 0 && v.Days > 0 {
		v.Days -= 30
		v.Months++
	}
	return v
}

func justifyInterval(v types.IntervalVal) types.IntervalVal {
	v.Days += int32(v.Micros / types.MicrosPerDay)
	v.Micros %= types.MicrosPerDay
	v.Months += v.Days / 30
	v.Days %= 30
	if v.Months > 0 && (v.Days < 0 || v.Days == 0 && v.Micros < 0) {
		v.Days += 30
		v.Months--
	} else if v.Months < 0 && (v.Days > 0 || v.Days == 0 && v.Micros > 0) {
		v.Days -= 30
		v.Months++
	}
	if v.Days > 0 && v.Micros < 0 {
		v.Micros += types.MicrosPerDay
		v.Days--
	} else if v.Days < 0 && v.Micros > 0 {
		v.Micros -= types.MicrosPerDay
		v.Days++
	}
	return v
}
