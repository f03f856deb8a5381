package expr

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

// setTime stores an instant, or err.
func (f *frame) setTime(i int, x int64, err *types.Error) {
	if err != nil {
		f.fail(i, err)
		return
	}
	f.setInt(i, x)
}

func timeKernels(m map[string]kernels) {
	row := func(sig string, r rowKernel) { m[sig] = kernels{row: r} }
	dateArith(row)
	stampArith(row)
	intervalArith(row)
	for _, k := range []struct {
		name string
		kind types.Kind
	}{{"date", types.Date}, {"time", types.Time}, {"timestamp", types.Timestamp}, {"timestamptz", types.TimestampTZ}, {"interval", types.Interval}} {
		row("extract(text,"+k.name+")", func(f *frame, i int) { extract(f, i, k.kind, true) })
		if k.kind != types.Date {
			row("date_part(text,"+k.name+")", func(f *frame, i int) { extract(f, i, k.kind, false) })
		}
	}
	row("date_part(text,date)", func(f *frame, i int) { // that of the timestamp
		ts, err := dateToTimestamp(f.int(1, i))
		if err != nil {
			f.fail(i, err)
			return
		}
		f.extractStamp(i, types.Timestamp, ts, false)
	})
	row("date_trunc(text,timestamp)", func(f *frame, i int) { truncStamp(f, i, nil, false) })
	row("date_trunc(text,timestamptz)", func(f *frame, i int) { truncStamp(f, i, f.r.ctx.Zone, true) })
	row("date_trunc(text,timestamptz,text)", func(f *frame, i int) {
		if loc, ok := f.zone(2, i); ok {
			truncStamp(f, i, loc, true)
		}
	})
	row("date_trunc(text,interval)", truncInterval)
	row("date_bin", dateBin)
	row("age(timestamp,timestamp)", func(f *frame, i int) { age(f, i, nil) })
	row("age(timestamptz,timestamptz)", func(f *frame, i int) { age(f, i, f.r.ctx.Zone) })
	row("timezone(text,timestamp)", func(f *frame, i int) {
		if loc, ok := f.zone(0, i); ok {
			f.setInt(i, fromLocal(f.int(1, i), loc))
		}
	})
	row("timezone(text,timestamptz)", func(f *frame, i int) {
		if loc, ok := f.zone(0, i); ok {
			f.setInt(i, toLocal(f.int(1, i), loc))
		}
	})
	shift := func(sign int64) rowKernel {
		return func(f *frame, i int) {
			v, ts := f.ivl(0, i), f.int(1, i)
			if !infinite(ts) && (v.Months != 0 || v.Days != 0) {
				f.failf(i, types.CodeInvalidParameter, fmt.Sprintf("interval time zone \"%s\" must not include months or days",
					types.AppendInterval(nil, v, types.IntervalPostgres)))
				return
			}
			v.Micros -= v.Micros % types.MicrosPerSecond
			r, err := addInterval(ts, v, sign, nil)
			f.setTime(i, r, err)
		}
	}
	row("timezone(interval,timestamp)", shift(-1))
	row("timezone(interval,timestamptz)", shift(1))
	row("isfinite(date)", func(f *frame, i int) { f.setBool(i, !infiniteDate(f.int(0, i))) })
	row("isfinite(timestamp)", func(f *frame, i int) { f.setBool(i, !infinite(f.int(0, i))) })
	row("isfinite(timestamptz)", func(f *frame, i int) { f.setBool(i, !infinite(f.int(0, i))) })
	row("isfinite(interval)", func(f *frame, i int) { f.setBool(i, true) })
	row("make_date", makeDate)
	row("make_time", func(f *frame, i int) {
		t, err := timeOf(f.int(0, i), f.int(1, i), f.float(2, i))
		f.setTime(i, t, err)
	})
	row("make_timestamp", func(f *frame, i int) { makeStamp(f, i, nil) })
	row("make_timestamptz", func(f *frame, i int) { makeStamp(f, i, f.r.ctx.Zone) })
	row("make_interval", makeInterval)
	row("justify_days", func(f *frame, i int) { f.setIvl(i, justifyDays(f.ivl(0, i))) })
	row("justify_hours", func(f *frame, i int) { f.setIvl(i, justifyHours(f.ivl(0, i))) })
	row("justify_interval", func(f *frame, i int) { f.setIvl(i, justifyInterval(f.ivl(0, i))) })
	row("to_timestamp(float8)", fromEpoch)
	for _, t := range []string{"timestamp", "timestamptz", "time"} {
		row("overlaps("+strings.Repeat(t+",", 3)+t+")", func(f *frame, i int) { overlaps(f, i, false) })
		row("overlaps("+t+",interval,"+t+",interval)", func(f *frame, i int) { overlaps(f, i, true) })
	}
}

func dateArith(row func(string, rowKernel)) {
	add := func(d, n int) rowKernel {
		return func(f *frame, i int) { addDays(f, i, f.int(d, i), f.int(n, i)) }
	}
	row("+(date,int4)", add(0, 1))
	row("+(int4,date)", add(1, 0))
	row("-(date,int4)", func(f *frame, i int) { addDays(f, i, f.int(0, i), -f.int(1, i)) })
	row("-(date,date)", func(f *frame, i int) {
		a, b := f.int(0, i), f.int(1, i)
		if infiniteDate(a) || infiniteDate(b) {
			f.failf(i, types.CodeDatetimeOverflow, "cannot subtract infinite dates")
			return
		}
		f.setInt(i, a-b)
	})
	ivl := func(d, v int, sign int64) rowKernel {
		return func(f *frame, i int) {
			ts, err := dateToTimestamp(f.int(d, i))
			if err == nil {
				ts, err = addInterval(ts, f.ivl(v, i), sign, nil)
			}
			f.setTime(i, ts, err)
		}
	}
	row("+(date,interval)", ivl(0, 1, 1))
	row("+(interval,date)", ivl(1, 0, 1))
	row("-(date,interval)", ivl(0, 1, -1))
	withTime := func(d, t int) rowKernel {
		return func(f *frame, i int) {
			ts, err := dateToTimestamp(f.int(d, i))
			if err == nil && !infinite(ts) {
				ts += f.int(t, i)
			}
			f.setTime(i, ts, err)
		}
	}
	row("+(date,time)", withTime(0, 1))
	row("+(time,date)", withTime(1, 0))
}

func addDays(f *frame, i int, d, n int64) {
	if infiniteDate(d) {
		f.setInt(i, d)
		return
	}
	if r := d + n; types.ValidDate(r) && !infiniteDate(r) {
		f.setInt(i, r)
		return
	}
	f.fail(i, errDateRange())
}

func stampArith(row func(string, rowKernel)) {
	for _, t := range []string{"timestamp", "timestamptz"} {
		zoned := t == "timestamptz"
		add := func(a, b int, sign int64) rowKernel {
			return func(f *frame, i int) {
				var loc *time.Location
				if zoned {
					loc = f.r.ctx.Zone
				}
				r, err := addInterval(f.int(a, i), f.ivl(b, i), sign, loc)
				f.setTime(i, r, err)
			}
		}
		row("+("+t+",interval)", add(0, 1, 1))
		row("+(interval,"+t+")", add(1, 0, 1))
		row("-("+t+",interval)", add(0, 1, -1))
		row("-("+t+","+t+")", func(f *frame, i int) {
			a, b := f.int(0, i), f.int(1, i)
			if infinite(a) || infinite(b) {
				f.failf(i, types.CodeDatetimeOverflow, "cannot subtract infinite timestamps")
				return
			}
			f.setIvl(i, justifyHours(types.IntervalVal{Micros: a - b}))
		})
	}
	row("-(time,time)", func(f *frame, i int) { f.setIvl(i, types.IntervalVal{Micros: f.int(0, i) - f.int(1, i)}) })
	clock := func(a, b int, sign int64) rowKernel {
		return func(f *frame, i int) {
			f.setInt(i, floorMod(f.int(a, i)+sign*(f.ivl(b, i).Micros%types.MicrosPerDay), types.MicrosPerDay))
		}
	}
	row("+(time,interval)", clock(0, 1, 1))
	row("+(interval,time)", clock(1, 0, 1))
	row("-(time,interval)", clock(0, 1, -1))
}

// zoneMemo keeps a time zone that was looked up.
type zoneMemo struct {
	name string
	loc  *time.Location
}

// zone is the time zone that argument k names, for the time in argument 1.
func (f *frame) zone(k, i int) (*time.Location, bool) {
	if infinite(f.int(1, i)) {
		return nil, true // the same everywhere
	}
	m, _ := f.memo.(*zoneMemo)
	name := f.str(k, i)
	if m == nil || m.name != string(name) {
		loc, ok := types.Zone(string(name))
		if !ok {
			f.failf(i, types.CodeInvalidParameter, fmt.Sprintf("time zone \"%s\" not recognized", name))
			return nil, false
		}
		m = &zoneMemo{string(name), loc}
		f.memo = m
	}
	return m.loc, true
}

// age subtracts by calendar fields: years, months and days as one counts them.
func age(f *frame, i int, loc *time.Location) {
	x, y := f.int(0, i), f.int(1, i)
	if infinite(x) || infinite(y) {
		f.failf(i, types.CodeDatetimeOverflow, "cannot subtract infinite timestamps")
		return
	}
	neg := x < y
	x, y = toLocal(x, loc), toLocal(y, loc)
	cx, cy := civilOf(floorDiv(x, types.MicrosPerDay)), civilOf(floorDiv(y, types.MicrosPerDay))
	micros := floorMod(x, types.MicrosPerDay) - floorMod(y, types.MicrosPerDay)
	days, months, years := cx.day-cy.day, cx.month-cy.month, cx.year-cy.year
	if neg {
		micros, days, months, years = -micros, -days, -months, -years
	}
	if micros < 0 {
		micros += types.MicrosPerDay
		days--
	}
	for days < 0 {
		if neg {
			days += daysInMonth(cx.year, cx.month)
		} else {
			days += daysInMonth(cy.year, cy.month)
		}
		months--
	}
	for months < 0 {
		months += 12
		years--
	}
	if neg {
		micros, days, months, years = -micros, -days, -months, -years
	}
	f.setIvlFields(i, years*12+int64(months), int64(days), micros, 0)
}
