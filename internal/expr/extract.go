package expr

import (
	"bytes"
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/types"
)

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
