package expr

import (
	"math"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

// The infinities of dates and timestamps.
const (
	tsNegInf   = types.TimestampNegInf
	tsPosInf   = types.TimestampPosInf
	dateNegInf = types.DateNegInf
	datePosInf = types.DatePosInf
)

func errTimestampRange() *types.Error {
	return &types.Error{Code: types.CodeDatetimeOverflow, Message: "timestamp out of range"}
}

func errDateRange() *types.Error {
	return &types.Error{Code: types.CodeDatetimeOverflow, Message: "date out of range"}
}

func errIntervalRange() *types.Error {
	return &types.Error{Code: types.CodeDatetimeOverflow, Message: "interval out of range"}
}

func infinite(ts int64) bool { return ts == tsNegInf || ts == tsPosInf }

func infiniteDate(d int64) bool { return d == dateNegInf || d == datePosInf }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}

// civil is a day of the proleptic Gregorian calendar.
type civil struct {
	year       int64 // astronomical: 0 is 1 BC
	month, day int
}

// civilOf gives the day of days since 2000-01-01.
// Source: Howard Hinnant, "chrono-compatible low-level date algorithms".
func civilOf(days int64) civil {
	z := days + 730425 // since 0000-03-01
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	c := civil{year: yoe + era*400, month: int(mp + 3), day: int(doy - (153*mp+2)/5 + 1)}
	if mp >= 10 {
		c.month -= 12
		c.year++
	}
	return c
}

// days is civilOf's inverse.
func (c civil) days() int64 {
	y, m := c.year, int64(c.month)
	if m <= 2 {
		y--
		m += 12
	}
	era := floorDiv(y, 400)
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + int64(c.day) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 730425
}

func leap(y int64) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

func daysInMonth(y int64, m int) int {
	switch m {
	case 2:
		if leap(y) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// addMonths moves a day by months, to the last day of the month at most.
func addMonths(days, months int64) int64 {
	c := civilOf(days)
	m := c.year*12 + int64(c.month-1) + months
	c.year, c.month = floorDiv(m, 12), int(floorMod(m, 12))+1
	c.day = min(c.day, daysInMonth(c.year, c.month))
	return c.days()
}

// toLocal is the wall clock in loc at ts.
func toLocal(ts int64, loc *time.Location) int64 {
	if loc == nil || loc == time.UTC || infinite(ts) {
		return ts
	}
	_, off := types.ZoneOffset(ts, loc)
	return ts + int64(off)*types.MicrosPerSecond
}

// fromLocal is the instant when the wall clock in loc shows local. A time that is
// skipped is taken in the offset before the change, one that comes twice in the
// offset after it, as in PostgreSQL.
func fromLocal(local int64, loc *time.Location) int64 {
	if loc == nil || loc == time.UTC || infinite(local) {
		return local
	}
	offset := func(ts int64) int64 {
		_, off := types.ZoneOffset(ts, loc)
		return int64(off) * types.MicrosPerSecond
	}
	before, after := offset(local-types.MicrosPerDay), offset(local+types.MicrosPerDay)
	if before == after {
		return local - before
	}
	early, late := local-before, local-after
	switch {
	case offset(late) == after:
		return late
	default:
		return early
	}
}

// addInterval adds v, sign times, to a timestamp: months, then days, then time.
// With a location, months and days move the wall clock there.
func addInterval(ts int64, v types.IntervalVal, sign int64, loc *time.Location) (int64, *types.Error) {
	if infinite(ts) {
		return ts, nil
	}
	if v.Months != 0 || v.Days != 0 {
		local := toLocal(ts, loc)
		day, micros := floorDiv(local, types.MicrosPerDay), floorMod(local, types.MicrosPerDay)
		if v.Months != 0 {
			day = addMonths(day, sign*int64(v.Months))
		}
		day += sign * int64(v.Days)
		if day > 1<<27+1<<26 || day < -(1<<27) {
			return 0, errTimestampRange()
		}
		moved := day*types.MicrosPerDay + micros
		if loc == nil || loc == time.UTC {
			ts = moved
		} else {
			ts = fromLocal(moved, loc)
		}
	}
	d := sign * v.Micros
	r := ts + d
	if (ts^r)&(d^r) < 0 || !types.ValidTimestamp(r) {
		return 0, errTimestampRange()
	}
	return r, nil
}

// dateToTimestamp is midnight of a date.
func dateToTimestamp(d int64) (int64, *types.Error) {
	switch {
	case d == dateNegInf:
		return tsNegInf, nil
	case d == datePosInf:
		return tsPosInf, nil
	case d > math.MaxInt64/types.MicrosPerDay || d < math.MinInt64/types.MicrosPerDay || !types.ValidTimestamp(d*types.MicrosPerDay):
		return 0, &types.Error{Code: types.CodeDatetimeOverflow, Message: "date out of range for timestamp"}
	}
	return d * types.MicrosPerDay, nil
}

func timestampToDate(ts int64) int64 {
	switch ts {
	case tsNegInf:
		return dateNegInf
	case tsPosInf:
		return datePosInf
	}
	return floorDiv(ts, types.MicrosPerDay)
}

// castTime converts between dates, times and intervals.
func castTime(fk, tk types.Kind) kernels {
	setOr := func(f *frame, i int, x int64, err *types.Error) {
		if err != nil {
			f.fail(i, err)
			return
		}
		f.setInt(i, x)
	}
	local := func(f *frame, i int) int64 {
		if fk == types.TimestampTZ {
			return toLocal(f.int(0, i), f.r.ctx.Zone)
		}
		return f.int(0, i)
	}
	var row rowKernel
	switch [2]types.Kind{fk, tk} {
	case [2]types.Kind{types.Date, types.Timestamp}:
		row = func(f *frame, i int) {
			x, err := dateToTimestamp(f.int(0, i))
			setOr(f, i, x, err)
		}
	case [2]types.Kind{types.Date, types.TimestampTZ}:
		row = func(f *frame, i int) {
			x, err := dateToTimestamp(f.int(0, i))
			setOr(f, i, fromLocal(x, f.r.ctx.Zone), err)
		}
	case [2]types.Kind{types.Timestamp, types.TimestampTZ}:
		row = func(f *frame, i int) { f.setInt(i, fromLocal(f.int(0, i), f.r.ctx.Zone)) }
	case [2]types.Kind{types.TimestampTZ, types.Timestamp}:
		row = func(f *frame, i int) { f.setInt(i, local(f, i)) }
	case [2]types.Kind{types.Timestamp, types.Date}, [2]types.Kind{types.TimestampTZ, types.Date}:
		row = func(f *frame, i int) { f.setInt(i, timestampToDate(local(f, i))) }
	case [2]types.Kind{types.Timestamp, types.Time}, [2]types.Kind{types.TimestampTZ, types.Time}:
		row = func(f *frame, i int) {
			x := local(f, i)
			if infinite(x) {
				f.setNull(i)
				return
			}
			f.setInt(i, floorMod(x, types.MicrosPerDay))
		}
	case [2]types.Kind{types.Time, types.Interval}:
		row = func(f *frame, i int) { f.setIvl(i, types.IntervalVal{Micros: f.int(0, i)}) }
	case [2]types.Kind{types.Interval, types.Time}:
		row = func(f *frame, i int) { f.setInt(i, floorMod(f.ivl(0, i).Micros, types.MicrosPerDay)) }
	}
	return kernels{row: row}
}
