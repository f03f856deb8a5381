package types

import (
	"math"
	"time"
)

func isInfiniteTS(ts int64) bool { return ts == TimestampNegInf || ts == TimestampPosInf }

// checkTS returns ts, or "timestamp out of range" when it is or ok is false.
func checkTS(ts int64, ok bool) (int64, error) {
	if !ok || ts < minTimestamp || ts >= endTimestamp {
		return 0, errTimestampRange
	}
	return ts, nil
}

func add64(a, b int64) (int64, bool) {
	s := a + b
	return s, (a^s)&(b^s) >= 0
}

func mul64(a, b int64) (int64, bool) { return MulInt64(a, b).Int64() }

// addMonths adds months to a date; a day past the month's end becomes its last.
func addMonths(days int64, months int32) int64 {
	y, m, d := civil(days)
	n := y*monthsPerYear + int64(m-1) + int64(months)
	y, m = floorDiv(n, monthsPerYear), int(floorMod(n, monthsPerYear))+1
	return daysOf(y, m, min(d, DaysInMonth(y, m)))
}

// AddInterval returns the timestamp ts + v: first months, clamped to the month's
// last day, then days, then microseconds. An infinite ts stays as it is.
func AddInterval(ts int64, v IntervalVal) (int64, error) {
	if isInfiniteTS(ts) {
		return ts, nil
	}
	if v.Months != 0 || v.Days != 0 {
		days := floorDiv(ts, MicrosPerDay)
		tod := ts - days*MicrosPerDay
		const endDays = endTimestamp / MicrosPerDay
		if v.Months != 0 {
			if days = addMonths(days, v.Months); days < minDate || days >= endDays {
				return 0, errTimestampRange
			}
		}
		if days += int64(v.Days); days < minDate || days >= endDays {
			return 0, errTimestampRange
		}
		ts = days*MicrosPerDay + tod
	}
	return checkTS(add64(ts, v.Micros))
}

// NegInterval returns -v; error 22008 when a field has no negative.
func NegInterval(v IntervalVal) (IntervalVal, error) {
	if v.Months == math.MinInt32 || v.Days == math.MinInt32 || v.Micros == math.MinInt64 {
		return IntervalVal{}, errIntervalRange
	}
	return IntervalVal{-v.Micros, -v.Days, -v.Months}, nil
}

// SubInterval returns ts - v; see AddInterval.
func SubInterval(ts int64, v IntervalVal) (int64, error) {
	n, err := NegInterval(v)
	if err != nil {
		return 0, err
	}
	return AddInterval(ts, n)
}

// DiffTimestamps returns a - b in days of 24 hours and microseconds.
func DiffTimestamps(a, b int64) (IntervalVal, error) {
	if isInfiniteTS(a) || isInfiniteTS(b) {
		return IntervalVal{}, &Error{Code: CodeDatetimeOverflow, Message: "cannot subtract infinite timestamps"}
	}
	d, ok := add64(a, -b)
	if !ok {
		return IntervalVal{}, errIntervalRange
	}
	return JustifyHours(IntervalVal{Micros: d})
}

// TimestampToDate returns the day of a timestamp.
func TimestampToDate(ts int64) int64 {
	switch ts {
	case TimestampNegInf:
		return DateNegInf
	case TimestampPosInf:
		return DatePosInf
	}
	return floorDiv(ts, MicrosPerDay)
}

// TimestampTimeOfDay returns the time of day of a finite timestamp; the time of an
// infinite one is NULL, which ok tells.
func TimestampTimeOfDay(ts int64) (tod int64, ok bool) {
	if isInfiniteTS(ts) {
		return 0, false
	}
	return floorMod(ts, MicrosPerDay), true
}

// TimestampInZone is ts AT TIME ZONE loc of a TimestampTZ: the local time there.
func TimestampInZone(ts int64, loc *time.Location) (int64, error) {
	if isInfiniteTS(ts) {
		return ts, nil
	}
	_, off := ZoneOffset(ts, loc)
	return checkTS(add64(ts, int64(off)*MicrosPerSecond))
}

// TimestampFromZone is ts AT TIME ZONE loc of a Timestamp: the instant at which
// clocks there show ts.
func TimestampFromZone(ts int64, loc *time.Location) (int64, error) {
	if isInfiniteTS(ts) {
		return ts, nil
	}
	return checkTS(LocalToUTC(ts, loc), true)
}

// FloorToStep returns the latest point origin + n*step that is not after ts, the
// start of a tumbling window. step is positive; the result may underflow only
// where ts does.
func FloorToStep(ts, step, origin int64) int64 {
	d, ok := add64(ts, -origin)
	if !ok {
		return ts - floorMod(floorMod(ts, step)-floorMod(origin, step), step)
	}
	return ts - floorMod(d, step)
}

// MakeDate returns the date of a year (negative: BC), month and day; error 22008.
func MakeDate(year, month, day int64) (int64, error) {
	bad := func(what string, year int64) (int64, error) {
		return 0, &Error{Code: CodeDatetimeOverflow, Message: what + ": " + string(AppendInt(nil, year)) + "-" + two(month) + "-" + two(day)}
	}
	y := year
	if y < 0 {
		y++
	}
	if year == 0 || month < 1 || month > 12 || day < 1 || day > 31 || y != int64(int32(y)) || day > int64(DaysInMonth(y, int(month))) {
		return bad("date field value out of range", year)
	}
	if !validJulian(y, int(month)) {
		return bad("date out of range", y)
	}
	d := daysOf(y, int(month), int(day))
	if !ValidDate(d) {
		return bad("date out of range", y)
	}
	return d, nil
}

func two(n int64) string {
	s := string(AppendInt(nil, n))
	if len(s) < 2 {
		s = "0" + s
	}
	return s
}

// MakeTime returns the time of day; error 22008.
func MakeTime(hour, min int64, sec float64) (int64, error) {
	us := math.RoundToEven(sec * MicrosPerSecond)
	total := float64((hour*60+min)*60*MicrosPerSecond) + us
	if sec != sec || hour < 0 || hour > 24 || min < 0 || min > 59 || sec < 0 || sec > 60 || total > MicrosPerDay {
		text := string(AppendInt(nil, hour)) + ":" + two(min) + ":" + fmtSeconds(sec)
		return 0, &Error{Code: CodeDatetimeOverflow, Message: "time field value out of range: " + text}
	}
	return (hour*60+min)*60*MicrosPerSecond + int64(us), nil
}

func fmtSeconds(sec float64) string {
	s := string(AppendFloat8(nil, sec))
	if len(s) == 1 {
		s = "0" + s
	}
	return s
}
