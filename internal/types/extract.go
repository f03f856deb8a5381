package types

import (
	"strings"
	"time"
)

// Field is a part of a date, time or interval: what extract takes out and
// date_trunc truncates to.
type Field struct{ u unit }

// ParseField returns the field of a name such as "year" or "dow", in any case.
// Whether a type has the field shows when it is used.
func ParseField(name string) (f Field, ok bool) {
	n := strings.ToLower(name)
	tok := unitTokens[cutToken(n)]
	if tok.class != tokUnits {
		tok = dateTokens[cutToken(n)]
	}
	switch {
	case n == "epoch":
		return Field{unitEpoch}, true
	case tok.class == tokUnits:
		return Field{unit(tok.val)}, true
	}
	return Field{}, false
}

// ErrField is the error for a field that does not exist for a kind: unknown
// altogether (22023) or not of that kind (0A000).
func ErrField(name string, k Kind) error {
	n := strings.ToLower(name)
	if _, ok := ParseField(n); ok {
		return &Error{Code: CodeFeature, Message: `unit "` + n + `" not supported for type ` + k.String()}
	}
	return &Error{Code: CodeInvalidParameter, Message: `unit "` + n + `" not recognized for type ` + k.String()}
}

// ErrTruncField is ErrField for date_trunc, which knows fewer names.
func ErrTruncField(name string, k Kind) error {
	n := strings.ToLower(name)
	if unitTokens[cutToken(n)].class == tokUnits {
		return &Error{Code: CodeFeature, Message: `unit "` + n + `" not supported for type ` + k.String()}
	}
	return &Error{Code: CodeInvalidParameter, Message: `unit "` + n + `" not recognized for type ` + k.String()}
}

// civilTime is a local timestamp by its fields.
type civilTime struct {
	days       int64 // the date
	tod        int64 // microseconds since midnight
	year       int64 // astronomical
	month, day int
}

func splitStamp(ts int64) (c civilTime) {
	c.days = floorDiv(ts, MicrosPerDay)
	c.tod = ts - c.days*MicrosPerDay
	c.year, c.month, c.day = civil(c.days)
	return c
}

func decMicros(us int64, scale int16) Decimal { d := DecFromInt64(us); d.Scale = scale; return d }

// ExtractTimestamp returns extract(f FROM ts) of a timestamp. null tells that an
// infinite ts has no such field; ok that timestamps have it.
func ExtractTimestamp(f Field, ts int64) (d Decimal, null, ok bool) {
	if isInfiniteTS(ts) {
		return extractInfinite(f.u, ts > 0)
	}
	if f.u == unitEpoch {
		return epochOf(ts), false, true
	}
	c := splitStamp(ts)
	d, ok = c.extract(f.u)
	return d, false, ok
}

// epochOf is the seconds since 1970 with six decimals.
func epochOf(ts int64) Decimal {
	sum, _ := Int128From(ts).AddInt64(unixEpochMicros)
	return DecFromInt128(sum, 6)
}

// ExtractTimestampTZ is ExtractTimestamp for a timestamptz seen in loc.
func ExtractTimestampTZ(f Field, ts int64, loc *time.Location) (d Decimal, null, ok bool) {
	if isInfiniteTS(ts) {
		return extractInfinite(f.u, ts > 0)
	}
	if f.u == unitEpoch {
		return epochOf(ts), false, true
	}
	_, off := ZoneOffset(ts, loc)
	switch f.u {
	case unitTimezone:
		return DecFromInt64(int64(off)), false, true
	case unitTimezoneHour:
		return DecFromInt64(int64(off / 3600)), false, true
	case unitTimezoneMinute:
		return DecFromInt64(int64(off / 60 % 60)), false, true
	}
	c := splitStamp(ts + int64(off)*MicrosPerSecond)
	d, ok = c.extract(f.u)
	return d, false, ok
}

// extractInfinite is infinite for fields that grow with time and NULL for the others.
func extractInfinite(u unit, positive bool) (Decimal, bool, bool) {
	switch u {
	case unitYear, unitDecade, unitCentury, unitMillennium, unitJulian, unitISOYear, unitEpoch:
		if positive {
			return Decimal{Form: DecPosInf}, false, true
		}
		return Decimal{Form: DecNegInf}, false, true
	case unitMicrosecond, unitMillisecond, unitSecond, unitMinute, unitHour, unitDay, unitMonth, unitQuarter, unitWeek, unitDOW, unitISODOW, unitDOY,
		unitTimezone, unitTimezoneHour, unitTimezoneMinute:
		return Decimal{}, true, true
	}
	return Decimal{}, false, false
}

// ExtractDate is ExtractTimestamp for a date.
func ExtractDate(f Field, days int64) (d Decimal, null, ok bool) {
	switch f.u {
	case unitMicrosecond, unitMillisecond, unitSecond, unitMinute, unitHour, unitTimezone, unitTimezoneHour, unitTimezoneMinute:
		return Decimal{}, false, false
	}
	if days == DateNegInf || days == DatePosInf {
		return extractInfinite(f.u, days > 0)
	}
	switch f.u {
	case unitEpoch:
		return DecFromInt64((days + unixEpochDays) * 86400), false, true
	case unitJulian:
		return DecFromInt64(days - minDate), false, true
	}
	c := civilTime{days: days}
	c.year, c.month, c.day = civil(days)
	d, ok = c.extract(f.u)
	return d, false, ok
}

// ExtractTime is ExtractTimestamp for a time of day.
func ExtractTime(f Field, t int64) (d Decimal, ok bool) {
	switch f.u {
	case unitMicrosecond, unitMillisecond, unitSecond, unitMinute, unitHour:
		c := civilTime{tod: t}
		return c.extract(f.u)
	case unitEpoch:
		return decMicros(t, 6), true
	}
	return Decimal{}, false
}

func (c *civilTime) extract(u unit) (d Decimal, ok bool) {
	n := int64(0)
	switch u {
	case unitMicrosecond:
		n = c.tod % MicrosPerMinute
	case unitMillisecond:
		return decMicros(c.tod%MicrosPerMinute, 3), true
	case unitSecond:
		return decMicros(c.tod%MicrosPerMinute, 6), true
	case unitMinute:
		n = c.tod / MicrosPerMinute % 60
	case unitHour:
		n = c.tod / MicrosPerHour
	case unitDay:
		n = int64(c.day)
	case unitMonth:
		n = int64(c.month)
	case unitQuarter:
		n = int64(c.month-1)/3 + 1
	case unitWeek:
		_, n = isoWeek(c.days)
	case unitYear:
		n = sqlYear(c.year)
	case unitISOYear:
		n, _ = isoWeek(c.days)
		n = sqlYear(n)
	case unitDecade:
		n = floorDiv(c.year, 10)
	case unitCentury:
		n = periodOf(c.year, 100)
	case unitMillennium:
		n = periodOf(c.year, 1000)
	case unitJulian:
		return julianOf(c), true
	case unitDOW:
		n = floorMod(c.days+6, 7)
	case unitISODOW:
		n = floorMod(c.days+5, 7) + 1
	case unitDOY:
		n = c.days - daysOf(c.year, 1, 1) + 1
	default:
		return Decimal{}, false
	}
	return DecFromInt64(n), true
}

// sqlYear turns an astronomical year into SQL's, which has no year 0.
func sqlYear(y int64) int64 {
	if y <= 0 {
		return y - 1
	}
	return y
}

// periodOf numbers centuries and millennia: the first begins with year 1, and the
// one before it is -1.
func periodOf(y, length int64) int64 {
	if y > 0 {
		return (y + length - 1) / length
	}
	return -((length - 1 - (y - 1)) / length)
}

func julianOf(c *civilTime) Decimal {
	var arena []byte
	q, _ := DecDiv(DecFromInt64(c.tod), nil, DecFromInt64(MicrosPerDay), nil, &arena)
	d, _ := DecAdd(DecFromInt64(c.days-minDate), nil, q, arena, &arena)
	return d
}

// isoWeek returns the ISO year (astronomical) and week of a date.
func isoWeek(days int64) (year, week int64) {
	thursday := days - floorMod(days+5, 7) + 3 // the week belongs to the year of its Thursday
	year, _, _ = civil(thursday)
	return year, (thursday-daysOf(year, 1, 1))/7 + 1
}

// ExtractInterval returns extract(f FROM v).
func ExtractInterval(f Field, v IntervalVal) (d Decimal, ok bool) {
	p := splitInterval(v)
	n := int64(0)
	switch f.u {
	case unitMicrosecond:
		n = v.Micros % MicrosPerMinute
	case unitMillisecond:
		return decMicros(v.Micros%MicrosPerMinute, 3), true
	case unitSecond:
		return decMicros(v.Micros%MicrosPerMinute, 6), true
	case unitMinute:
		n = p.min
	case unitHour:
		n = p.hour
	case unitDay:
		n = p.day
	case unitMonth:
		n = p.mon
	case unitQuarter:
		n = p.mon/3 + 1
	case unitYear:
		n = p.year
	case unitDecade:
		n = p.year / 10
	case unitCentury:
		n = p.year / 100
	case unitMillennium:
		n = p.year / 1000
	case unitEpoch:
		// A year has 365.25 days here, a month beyond whole years 30.
		const quarterDay = 86400 / 4
		secs := (1461*p.year + 4*daysPerMonth*p.mon + 4*p.day) * quarterDay
		sum, _ := MulInt64(secs, MicrosPerSecond).AddInt64(v.Micros)
		return DecFromInt128(sum, 6), true
	default:
		return Decimal{}, false
	}
	return DecFromInt64(n), true
}
