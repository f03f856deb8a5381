package expr

import (
	"bytes"
	"fmt"
	"math"
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

// Names of the units of time, in lower case, with their abbreviations.
type unit uint8

const (
	unitNone unit = iota
	unitMicros
	unitMillis
	unitSecond
	unitMinute
	unitHour
	unitDay
	unitWeek
	unitMonth
	unitQuarter
	unitYear
	unitDecade
	unitCentury
	unitMillennium
	unitEpoch
	unitDow
	unitIsodow
	unitDoy
	unitIsoyear
	unitJulian
	unitZone
	unitZoneHour
	unitZoneMinute
)

var unitNames = map[string]unit{
	"microseconds": unitMicros, "microsecond": unitMicros, "us": unitMicros, "usec": unitMicros, "usecs": unitMicros,
	"milliseconds": unitMillis, "millisecond": unitMillis, "ms": unitMillis, "msec": unitMillis, "msecs": unitMillis,
	"second": unitSecond, "seconds": unitSecond, "sec": unitSecond, "secs": unitSecond, "s": unitSecond,
	"minute": unitMinute, "minutes": unitMinute, "min": unitMinute, "mins": unitMinute, "m": unitMinute,
	"hour": unitHour, "hours": unitHour, "hr": unitHour, "hrs": unitHour, "h": unitHour,
	"day": unitDay, "days": unitDay, "d": unitDay, "week": unitWeek, "weeks": unitWeek, "w": unitWeek,
	"month": unitMonth, "months": unitMonth, "mon": unitMonth, "mons": unitMonth, "quarter": unitQuarter, "qtr": unitQuarter,
	"year": unitYear, "years": unitYear, "yr": unitYear, "yrs": unitYear, "y": unitYear,
	"decade": unitDecade, "decades": unitDecade, "dec": unitDecade, "decs": unitDecade,
	"century": unitCentury, "centuries": unitCentury, "cent": unitCentury, "c": unitCentury,
	"millennium": unitMillennium, "millennia": unitMillennium, "mil": unitMillennium, "mils": unitMillennium,
	"epoch": unitEpoch, "dow": unitDow, "isodow": unitIsodow, "doy": unitDoy, "isoyear": unitIsoyear, "julian": unitJulian,
	"timezone": unitZone, "timezone_hour": unitZoneHour, "timezone_minute": unitZoneMinute,
}

func (f *frame) unit(k, i int) unit {
	s := f.str(k, i)
	if u, ok := unitNames[string(s)]; ok {
		return u
	}
	return unitNames[string(bytes.ToLower(s))]
}

func (f *frame) badUnit(i int, kind types.Kind, known bool) {
	word, code := "not recognized", types.CodeInvalidParameter
	if known {
		word, code = "not supported", types.CodeFeature
	}
	f.failf(i, code, fmt.Sprintf("unit \"%s\" %s for type %s", lowerASCII(f.str(0, i)), word, kind))
}

func lowerASCII(s []byte) []byte {
	out := append([]byte{}, s...)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] += 32
		}
	}
	return out
}

// isoWeek is the ISO 8601 year and week of a day.
func isoWeek(days int64) (year int64, week int) {
	dow := floorMod(days+5, 7) // Monday is 0; 2000-01-01 was a Saturday
	thursday := civilOf(days - dow + 3)
	first := civil{thursday.year, 1, 1}.days()
	return thursday.year, int((days-dow+3-first)/7) + 1
}

func bcYear(y int64) int64 {
	if y <= 0 {
		return y - 1
	}
	return y
}

// field computes a unit of a day and a time of day: x / 10^scale.
func field(u unit, day, micros int64) (x int64, scale int16, ok bool) {
	c := civilOf(day)
	switch u {
	case unitMicros:
		return micros % types.MicrosPerMinute, 0, true
	case unitMillis:
		return micros % types.MicrosPerMinute, 3, true
	case unitSecond:
		return micros % types.MicrosPerMinute, 6, true
	case unitMinute:
		return micros / types.MicrosPerMinute % 60, 0, true
	case unitHour:
		return micros / types.MicrosPerHour, 0, true
	case unitDay:
		return int64(c.day), 0, true
	case unitMonth:
		return int64(c.month), 0, true
	case unitQuarter:
		return int64(c.month-1)/3 + 1, 0, true
	case unitWeek:
		_, w := isoWeek(day)
		return int64(w), 0, true
	case unitIsoyear:
		y, _ := isoWeek(day)
		return bcYear(y), 0, true
	case unitYear:
		return bcYear(c.year), 0, true
	case unitDecade:
		return floorDiv(c.year, 10), 0, true
	case unitCentury:
		if c.year > 0 {
			return (c.year + 99) / 100, 0, true
		}
		return -((99 - (c.year - 1)) / 100), 0, true
	case unitMillennium:
		if c.year > 0 {
			return (c.year + 999) / 1000, 0, true
		}
		return -((999 - (c.year - 1)) / 1000), 0, true
	case unitDow:
		return floorMod(day+6, 7), 0, true
	case unitIsodow:
		return floorMod(day+5, 7) + 1, 0, true
	case unitDoy:
		return day - civil{c.year, 1, 1}.days() + 1, 0, true
	}
	return 0, 0, false
}

// unixOffset is 1970-01-01 in seconds before 2000-01-01.
const unixOffset = 946684800

// julianOf2000 is the Julian day number of 2000-01-01.
const julianOf2000 = 2451545

// extractStamp is extract for dates and timestamps.
func (f *frame) extractStamp(i int, kind types.Kind, x int64, exact bool) {
	u := f.unit(0, i)
	if u == unitNone {
		f.badUnit(i, kind, false)
		return
	}
	f.extractDate(i, u, kind, x, exact)
}

func extract(f *frame, i int, kind types.Kind, exact bool) {
	if kind != types.Time && kind != types.Interval {
		f.extractStamp(i, kind, f.int(1, i), exact)
		return
	}
	u := f.unit(0, i)
	if u == unitNone {
		f.badUnit(i, kind, false)
		return
	}
	var x int64
	var scale int16
	ok := true
	switch kind {
	case types.Interval:
		x, scale, ok = intervalField(u, f.ivl(1, i))
	case types.Time:
		micros := f.int(1, i)
		switch {
		case u == unitEpoch:
			x, scale = micros, 6
		case u > unitHour:
			ok = false
		default:
			x, scale, ok = field(u, 0, micros)
		}
	}
	if !ok {
		f.badUnit(i, kind, true)
		return
	}
	f.setField(i, x, scale, exact)
}

// setField stores x / 10^scale as numeric or float.
func (f *frame) setField(i int, x int64, scale int16, exact bool) {
	if exact {
		d := types.DecFromInt64(x)
		d.Scale = scale
		f.out.Dec[i] = d
		return
	}
	f.setFloat(i, float64(x)/[...]float64{0: 1, 3: 1e3, 6: 1e6}[scale])
}

func (f *frame) extractDate(i int, u unit, kind types.Kind, x int64, exact bool) {
	day, micros := x, int64(0)
	inf := kind == types.Date && infiniteDate(x) || kind != types.Date && infinite(x)
	if inf {
		f.extractInfinite(i, u, x > 0, exact)
		return
	}
	zoneOff := 0
	ts := x
	if kind != types.Date {
		if kind == types.TimestampTZ && f.r.ctx.Zone != nil {
			_, zoneOff = types.ZoneOffset(ts, f.r.ctx.Zone)
			x += int64(zoneOff) * types.MicrosPerSecond
		}
		day, micros = floorDiv(x, types.MicrosPerDay), floorMod(x, types.MicrosPerDay)
	}
	switch {
	case kind == types.Date && u == unitEpoch:
		f.setField(i, day*86400+unixOffset, 0, exact)
	case u == unitEpoch:
		f.setField(i, ts+unixOffset*types.MicrosPerSecond, 6, exact)
	case u == unitJulian && kind == types.Date:
		f.setField(i, day+julianOf2000, 0, exact)
	case u == unitJulian && !exact:
		f.setFloat(i, float64(day+julianOf2000)+float64(micros)/float64(types.MicrosPerDay))
	case u == unitJulian:
		q, err := types.DecDiv(types.DecFromInt64(micros), nil, types.DecFromInt64(types.MicrosPerDay), nil, f.arena())
		if err == nil {
			q, err = types.DecAdd(types.DecFromInt64(day+julianOf2000), nil, q, *f.arena(), f.arena())
		}
		f.setDec(i, q, err)
	case kind == types.TimestampTZ && u >= unitZone:
		switch u {
		case unitZoneHour:
			zoneOff /= 3600
		case unitZoneMinute:
			zoneOff = zoneOff / 60 % 60
		}
		f.setField(i, int64(zoneOff), 0, exact)
	case kind == types.Date && u <= unitHour:
		f.badUnit(i, kind, true)
	default:
		v, scale, ok := field(u, day, micros)
		if !ok {
			f.badUnit(i, kind, true)
			return
		}
		f.setField(i, v, scale, exact)
	}
}

// extractInfinite is a field of an infinite date: infinite if the field grows with
// time, NULL if it comes again and again.
func (f *frame) extractInfinite(i int, u unit, pos, exact bool) {
	switch u {
	case unitYear, unitDecade, unitCentury, unitMillennium, unitEpoch, unitIsoyear, unitJulian:
	default:
		f.setNull(i)
		return
	}
	if !exact {
		f.setFloat(i, math.Inf(map[bool]int{true: 1, false: -1}[pos]))
		return
	}
	form := types.DecNegInf
	if pos {
		form = types.DecPosInf
	}
	f.out.Dec[i] = types.Decimal{Form: form}
}

func intervalField(u unit, v types.IntervalVal) (x int64, scale int16, ok bool) {
	m := int64(v.Months)
	switch u {
	case unitMicros:
		return v.Micros % types.MicrosPerMinute, 0, true
	case unitMillis:
		return v.Micros % types.MicrosPerMinute, 3, true
	case unitSecond:
		return v.Micros % types.MicrosPerMinute, 6, true
	case unitMinute:
		return v.Micros / types.MicrosPerMinute % 60, 0, true
	case unitHour:
		return v.Micros / types.MicrosPerHour, 0, true
	case unitDay:
		return int64(v.Days), 0, true
	case unitMonth:
		return m % 12, 0, true
	case unitQuarter:
		return m%12/3 + 1, 0, true
	case unitYear:
		return m / 12, 0, true
	case unitDecade:
		return m / 120, 0, true
	case unitCentury:
		return m / 1200, 0, true
	case unitMillennium:
		return m / 12000, 0, true
	case unitEpoch:
		const year = 31557600 // 365.25 days
		return (m/12*year+m%12*30*86400+int64(v.Days)*86400)*types.MicrosPerSecond + v.Micros, 6, true
	}
	return 0, 0, false
}

// truncTo rounds a local time down to a unit.
func truncTo(u unit, local int64) (int64, bool) {
	day := floorDiv(local, types.MicrosPerDay)
	c := civilOf(day)
	to := func(y int64, m int) (int64, bool) { return civil{y, m, 1}.days() * types.MicrosPerDay, true }
	switch u {
	case unitMicros:
		return local, true
	case unitMillis:
		return local - floorMod(local, 1000), true
	case unitSecond:
		return local - floorMod(local, types.MicrosPerSecond), true
	case unitMinute:
		return local - floorMod(local, types.MicrosPerMinute), true
	case unitHour:
		return local - floorMod(local, types.MicrosPerHour), true
	case unitDay:
		return day * types.MicrosPerDay, true
	case unitWeek:
		return (day - floorMod(day+5, 7)) * types.MicrosPerDay, true
	case unitMonth:
		return to(c.year, c.month)
	case unitQuarter:
		return to(c.year, (c.month-1)/3*3+1)
	case unitYear:
		return to(c.year, 1)
	case unitDecade:
		return to(floorDiv(c.year, 10)*10, 1)
	case unitCentury:
		return to(floorDiv(c.year-1, 100)*100+1, 1)
	case unitMillennium:
		return to(floorDiv(c.year-1, 1000)*1000+1, 1)
	}
	return 0, false
}

func truncStamp(f *frame, i int, loc *time.Location, zoned bool) {
	u, ts := f.unit(0, i), f.int(1, i)
	kind := types.Timestamp
	if zoned {
		kind = types.TimestampTZ
	}
	if infinite(ts) {
		f.setInt(i, ts)
		return
	}
	if u == unitNone || u == unitEpoch {
		f.badUnit(i, kind, false)
		return
	}
	local := toLocal(ts, loc)
	r, ok := truncTo(u, local)
	switch {
	case !ok:
		f.badUnit(i, kind, true)
	case u <= unitHour: // the offset stays
		f.setInt(i, ts-(local-r))
	default:
		f.setInt(i, fromLocal(r, loc))
	}
}

func truncInterval(f *frame, i int) {
	u, v := f.unit(0, i), f.ivl(1, i)
	cut := func(n int64) { v.Micros -= v.Micros % n }
	months := func(n int32) { v.Months, v.Days, v.Micros = v.Months/n*n, 0, 0 }
	switch u {
	case unitMicros:
	case unitMillis:
		cut(1000)
	case unitSecond:
		cut(types.MicrosPerSecond)
	case unitMinute:
		cut(types.MicrosPerMinute)
	case unitHour:
		cut(types.MicrosPerHour)
	case unitDay:
		v.Micros = 0
	case unitMonth:
		months(1)
	case unitQuarter:
		months(3)
	case unitYear:
		months(12)
	case unitDecade:
		months(120)
	case unitCentury:
		months(1200)
	case unitMillennium:
		months(12000)
	default:
		f.badUnit(i, types.Interval, u != unitNone && u != unitEpoch)
		return
	}
	f.setIvl(i, v)
}

func dateBin(f *frame, i int) {
	v, ts, origin := f.ivl(0, i), f.int(1, i), f.int(2, i)
	if infinite(ts) {
		f.setInt(i, ts)
		return
	}
	switch {
	case infinite(origin):
		f.failf(i, types.CodeDatetimeOverflow, "origin out of range")
		return
	case v.Months != 0:
		f.failf(i, types.CodeFeature, "timestamps cannot be binned into intervals containing months or years")
		return
	}
	stride := int64(v.Days)*types.MicrosPerDay + v.Micros
	if stride <= 0 {
		f.failf(i, types.CodeDatetimeOverflow, "stride must be greater than zero")
		return
	}
	d := ts - origin
	if (ts^origin)&(ts^d) < 0 {
		f.fail(i, errIntervalRange())
		return
	}
	r := ts - floorMod(d, stride)
	if !types.ValidTimestamp(r) {
		f.fail(i, errTimestampRange())
		return
	}
	f.setInt(i, r)
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

func makeDate(f *frame, i int) {
	y, mo, d := f.int(0, i), f.int(1, i), f.int(2, i)
	day, ok := dayOf(y, mo, d)
	if !ok {
		f.failf(i, types.CodeDatetimeOverflow, fmt.Sprintf("date field value out of range: %d-%02d-%02d", y, mo, d))
		return
	}
	f.setInt(i, day)
}

// dayOf is the day of a year (negative ones BC), month and day; ok is false if there is none.
func dayOf(y, mo, d int64) (int64, bool) {
	if y < 0 {
		y++
	} else if y == 0 {
		return 0, false
	}
	if y > 6000000 || y < -5000 || mo < 1 || mo > 12 || d < 1 || d > int64(daysInMonth(y, int(mo))) {
		return 0, false
	}
	day := civil{y, int(mo), int(d)}.days()
	return day, types.ValidDate(day)
}

func timeOf(h, mi int64, sec float64) (int64, *types.Error) {
	if h < 0 || mi < 0 || mi > 59 || !(sec >= 0) || sec > 60 || h > 24 || h == 24 && (mi > 0 || sec > 0) {
		return 0, &types.Error{Code: types.CodeDatetimeOverflow, Message: fmt.Sprintf("time field value out of range: %d:%02d:%02g", h, mi, sec)}
	}
	return h*types.MicrosPerHour + mi*types.MicrosPerMinute + int64(math.RoundToEven(sec*1e6)), nil
}

func makeStamp(f *frame, i int, loc *time.Location) {
	y, mo, d := f.int(0, i), f.int(1, i), f.int(2, i)
	day, ok := dayOf(y, mo, d)
	if !ok {
		f.failf(i, types.CodeDatetimeOverflow, fmt.Sprintf("date field value out of range: %d-%02d-%02d", y, mo, d))
		return
	}
	t, err := timeOf(f.int(3, i), f.int(4, i), f.float(5, i))
	if err == nil && !types.ValidTimestamp(day*types.MicrosPerDay+t) {
		err = errTimestampRange()
	}
	f.setTime(i, fromLocal(day*types.MicrosPerDay+t, loc), err)
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

// fromEpoch is to_timestamp of seconds since 1970.
func fromEpoch(f *frame, i int) {
	x := f.float(0, i)
	switch {
	case math.IsNaN(x):
		f.failf(i, types.CodeDatetimeOverflow, "timestamp cannot be NaN")
		return
	case math.IsInf(x, 1):
		f.setInt(i, tsPosInf)
		return
	case math.IsInf(x, -1):
		f.setInt(i, tsNegInf)
		return
	}
	r := math.RoundToEven(float64((x - unixOffset) * 1e6))
	if !(math.Abs(r) < math.MaxInt64) || !types.ValidTimestamp(int64(r)) {
		f.failf(i, types.CodeDatetimeOverflow, fmt.Sprintf("timestamp out of range: \"%g\"", x))
		return
	}
	f.setInt(i, int64(r))
}

// overlaps is (s1, e1) OVERLAPS (s2, e2), with SQL's rules for NULL; lengths may
// stand for ends.
func overlaps(f *frame, i int, lengths bool) {
	var p [4]int64
	var null [4]bool
	for k := range p {
		if null[k] = f.null(k, i); null[k] {
			continue
		}
		if k%2 == 0 || !lengths {
			p[k] = f.int(k, i)
			continue
		}
		if null[k] = null[k-1]; null[k] {
			continue
		}
		if f.from[k-1].Kind == types.Time {
			p[k] = floorMod(p[k-1]+f.ivl(k, i).Micros%types.MicrosPerDay, types.MicrosPerDay)
			continue
		}
		var loc *time.Location
		if f.from[k-1].Kind == types.TimestampTZ {
			loc = f.r.ctx.Zone
		}
		end, err := addInterval(p[k-1], f.ivl(k, i), 1, loc)
		if err != nil {
			f.fail(i, err)
			return
		}
		p[k] = end
	}
	for k := 0; k < 4; k += 2 { // put the lesser first; one NULL end is the later one
		switch {
		case null[k] && null[k+1]:
			f.setNull(i)
			return
		case null[k], !null[k+1] && p[k] > p[k+1]:
			p[k], p[k+1], null[k], null[k+1] = p[k+1], p[k], null[k+1], null[k]
		}
	}
	yes, unknown := false, false
	switch {
	case p[0] > p[2]:
		yes, unknown = !null[3] && p[0] < p[3], null[3]
	case p[0] < p[2]:
		yes, unknown = !null[1] && p[2] < p[1], null[1]
	default:
		yes, unknown = !null[1] && !null[3], null[1] || null[3]
	}
	if !yes && unknown {
		f.setNull(i)
		return
	}
	f.setBool(i, yes)
}
