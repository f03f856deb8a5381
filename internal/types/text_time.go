package types

import (
	"math"
	"strconv"
	"time"
)

// Infinite dates and timestamps, as PostgreSQL stores them.
const (
	DateNegInf      = math.MinInt32
	DatePosInf      = math.MaxInt32
	TimestampNegInf = math.MinInt64
	TimestampPosInf = math.MaxInt64
)

// Bounds of dates and timestamps, PostgreSQL's.
const (
	unixEpochDays   = 10957                           // days from 1970-01-01 to 2000-01-01
	minDate         = -2451545                        // 4714-11-24 BC
	endDate         = 2147483494 - 2451545            // 5874898-01-01, excluded
	minTimestamp    = -211813488000 * MicrosPerSecond // 4714-11-24 BC
	endTimestamp    = 9223371331200 * MicrosPerSecond // 294277-01-01, excluded
	unixEpochMicros = unixEpochDays * MicrosPerDay
)

// ValidTimestamp reports whether ts lies within PostgreSQL's bounds or is infinite.
func ValidTimestamp(ts int64) bool {
	return ts >= minTimestamp && ts < endTimestamp || ts == TimestampNegInf || ts == TimestampPosInf
}

// ValidDate reports whether d lies within PostgreSQL's bounds or is infinite.
func ValidDate(d int64) bool {
	return d >= minDate && d < endDate || d == DateNegInf || d == DatePosInf
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 {
	r := a % b
	if r != 0 && (r < 0) != (b < 0) {
		r += b
	}
	return r
}

// civil returns the year (astronomical: 0 is 1 BC), month and day of a date.
func civil(days int64) (year int64, month, day int) {
	// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
	z := days + unixEpochDays + 719468
	era := floorDiv(z, 146097)
	doe := uint64(z - era*146097)
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy-(153*mp+2)/5) + 1
	month = int(mp) + 3
	year = int64(yoe) + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

// daysOf returns the date of an astronomical year, month 1-12 and day.
func daysOf(year int64, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	doy := int64(153*(month-3)+2)/5 + int64(day) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468 - unixEpochDays
}

func appendTwo(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// appendYear appends a year of at least four digits; what is before year 1 is
// counted as BC, which the caller marks.
func appendYear(dst []byte, y int64) []byte {
	if y <= 0 {
		y = 1 - y
	}
	if y < 10000 {
		return appendTwo(appendTwo(dst, int(y/100)), int(y%100))
	}
	return strconv.AppendInt(dst, y, 10)
}

// appendInfinite appends the name of an infinite date or timestamp.
func appendInfinite(dst []byte, positive bool) []byte {
	if positive {
		return append(dst, "infinity"...)
	}
	return append(dst, "-infinity"...)
}

// AppendDate appends a date.
func AppendDate(dst []byte, d int64, st *Style) []byte {
	if d == DateNegInf || d == DatePosInf {
		return appendInfinite(dst, d > 0)
	}
	y, m, day := civil(d)
	dst = appendYMD(dst, y, m, day, st, st.DateStyle == DatePostgres)
	if y <= 0 {
		dst = append(dst, " BC"...)
	}
	return dst
}

// appendYMD appends a date's numbers in the order of the style. dashed tells the
// Postgres style of dates, 02-03-2001, from the SQL one.
func appendYMD(dst []byte, y int64, m, d int, st *Style, dashed bool) []byte {
	sep := byte('/')
	switch {
	case st.DateStyle == DateISO:
		dst = append(appendYear(dst, y), '-')
		dst = append(appendTwo(dst, m), '-')
		return appendTwo(dst, d)
	case st.DateStyle == DateGerman:
		sep = '.'
		m, d = d, m
	case dashed:
		sep = '-'
		if st.DateOrder == OrderDMY {
			m, d = d, m
		}
	case st.DateOrder == OrderDMY:
		m, d = d, m
	}
	dst = append(appendTwo(dst, m), sep)
	dst = append(appendTwo(dst, d), sep)
	return appendYear(dst, y)
}

// AppendTime appends a time of day, microseconds since midnight.
func AppendTime(dst []byte, t int64) []byte {
	sec := t / MicrosPerSecond
	dst = append(appendTwo(dst, int(sec/3600)), ':')
	dst = append(appendTwo(dst, int(sec/60%60)), ':')
	dst = appendTwo(dst, int(sec%60))
	return appendFraction(dst, t%MicrosPerSecond)
}

// appendFraction appends .micros without trailing zeros, nothing when 0.
func appendFraction(dst []byte, micros int64) []byte {
	if micros == 0 {
		return dst
	}
	dst = append(dst, '.', 0, 0, 0, 0, 0, 0)
	for i := len(dst) - 1; i >= len(dst)-6; i-- {
		dst[i] = byte('0' + micros%10)
		micros /= 10
	}
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// AppendTimestamp appends a timestamp without zone.
func AppendTimestamp(dst []byte, ts int64, st *Style) []byte {
	if ts == TimestampNegInf || ts == TimestampPosInf {
		return appendInfinite(dst, ts > 0)
	}
	return appendStamp(dst, ts, st, 0, "", false)
}

// AppendTimestampTZ appends a timestamptz in the style's zone, its offset after it.
func AppendTimestampTZ(dst []byte, ts int64, st *Style) []byte {
	if ts == TimestampNegInf || ts == TimestampPosInf {
		return appendInfinite(dst, ts > 0)
	}
	if st.Location == nil || st.Location == time.UTC {
		return appendStamp(dst, ts, st, 0, "UTC", true)
	}
	name, off := ZoneOffset(ts, st.Location)
	return appendStamp(dst, ts+int64(off)*MicrosPerSecond, st, off, name, true)
}

var (
	dayNames   = [7]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
	monthNames = [12]string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}
)

// appendStamp appends local time ts, and when zoned the offset in seconds or its name.
func appendStamp(dst []byte, ts int64, st *Style, off int, name string, zoned bool) []byte {
	days := floorDiv(ts, MicrosPerDay)
	tod := ts - days*MicrosPerDay
	y, m, d := civil(days)
	if st.DateStyle == DatePostgres {
		dst = append(append(dst, dayNames[floorMod(days+6, 7)]...), ' ')
		if st.DateOrder == OrderDMY {
			dst = append(append(appendTwo(dst, d), ' '), monthNames[m-1]...)
		} else {
			dst = appendTwo(append(append(dst, monthNames[m-1]...), ' '), d)
		}
		dst = append(AppendTime(append(dst, ' '), tod), ' ')
		dst = appendYear(dst, y)
	} else {
		dst = appendYMD(dst, y, m, d, st, false)
		dst = AppendTime(append(dst, ' '), tod)
	}
	if zoned {
		dst = appendZone(dst, st, off, name)
	}
	if y <= 0 {
		dst = append(dst, " BC"...)
	}
	return dst
}

// appendZone appends an offset: +hh[:mm[:ss]] in ISO style, else the zone's name
// where it has one of letters.
func appendZone(dst []byte, st *Style, off int, name string) []byte {
	if st.DateStyle != DateISO {
		if name != "" && name[0] != '+' && name[0] != '-' {
			return append(append(dst, ' '), name...)
		}
		if st.DateStyle == DatePostgres {
			dst = append(dst, ' ')
		}
	}
	sign := byte('+')
	if off < 0 {
		sign, off = '-', -off
	}
	dst = appendTwo(append(dst, sign), off/3600)
	if off%3600 != 0 {
		dst = appendTwo(append(dst, ':'), off/60%60)
		if off%60 != 0 {
			dst = appendTwo(append(dst, ':'), off%60)
		}
	}
	return dst
}

// ZoneOffset returns the name and the offset east of UTC, in seconds, that loc
// has at the finite TimestampTZ ts.
func ZoneOffset(ts int64, loc *time.Location) (name string, offset int) {
	sec := floorDiv(ts, MicrosPerSecond) + unixEpochDays*86400
	return time.Unix(sec, 0).In(loc).Zone()
}
