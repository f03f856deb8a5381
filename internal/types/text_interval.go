package types

import "strconv"

// AppendInterval appends an interval in the given style.
func AppendInterval(dst []byte, v IntervalVal, style IntervalStyle) []byte {
	f := splitInterval(v)
	switch style {
	case IntervalPostgresVerbose:
		return f.verbose(dst)
	case IntervalSQLStandard:
		return f.sqlStandard(dst)
	case IntervalISO8601:
		return f.iso8601(dst)
	}
	return f.postgres(dst)
}

// ivlFields is an interval by its fields, all of one sign within months and
// within micros.
type ivlFields struct {
	year, mon, day         int64
	hour, min, sec, micros int64
}

func splitInterval(v IntervalVal) ivlFields {
	m := v.Micros
	return ivlFields{
		year: int64(v.Months / monthsPerYear), mon: int64(v.Months % monthsPerYear), day: int64(v.Days),
		hour: m / MicrosPerHour, min: m / MicrosPerMinute % 60, sec: m / MicrosPerSecond % 60, micros: m % MicrosPerSecond,
	}
}

func (f *ivlFields) timeIsZero() bool { return f.hour|f.min|f.sec|f.micros == 0 }

func (f *ivlFields) timeIsNegative() bool {
	return f.hour < 0 || f.min < 0 || f.sec < 0 || f.micros < 0
}

func abs64(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}

// postgres is the style 1 year 2 mons -3 days +04:05:06.
func (f *ivlFields) postgres(dst []byte) []byte {
	start, before := len(dst), false
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		if before && n > 0 {
			dst = append(dst, '+')
		}
		dst = append(append(strconv.AppendInt(dst, n, 10), ' '), unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
		before = n < 0
	}
	part(f.year, "year")
	part(f.mon, "mon")
	part(f.day, "day")
	if len(dst) > start && f.timeIsZero() {
		return dst
	}
	if len(dst) > start {
		dst = append(dst, ' ')
	}
	if f.timeIsNegative() {
		dst = append(dst, '-')
	} else if before {
		dst = append(dst, '+')
	}
	return f.clock(dst, true)
}

// clock appends hh:mm:ss.ffffff without sign.
func (f *ivlFields) clock(dst []byte, padHour bool) []byte {
	if h := abs64(f.hour); h < 10 && padHour {
		dst = append(dst, '0', byte('0'+h))
	} else {
		dst = strconv.AppendInt(dst, h, 10)
	}
	dst = appendTwo(append(dst, ':'), int(abs64(f.min)))
	dst = appendTwo(append(dst, ':'), int(abs64(f.sec)))
	return appendFraction(dst, abs64(f.micros))
}

// verbose is the style @ 1 year 2 mons 3 days 4 hours 5 mins 6 secs ago.
func (f *ivlFields) verbose(dst []byte) []byte {
	dst = append(dst, '@')
	none, ago := true, false
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if none {
			ago = n < 0
			n = abs64(n)
			none = false
		} else if ago {
			n = -n
		}
		dst = append(append(strconv.AppendInt(append(dst, ' '), n, 10), ' '), unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
	}
	part(f.year, "year")
	part(f.mon, "mon")
	part(f.day, "day")
	part(f.hour, "hour")
	part(f.min, "min")
	if f.sec != 0 || f.micros != 0 {
		dst = append(dst, ' ')
		neg := f.sec < 0 || f.micros < 0
		if none {
			ago, none = neg, false
		} else if neg != ago {
			dst = append(dst, '-')
		}
		dst = strconv.AppendInt(dst, abs64(f.sec), 10)
		dst = append(appendFraction(dst, abs64(f.micros)), " sec"...)
		if abs64(f.sec) != 1 || f.micros != 0 {
			dst = append(dst, 's')
		}
	}
	if none {
		dst = append(dst, " 0"...)
	}
	if ago {
		dst = append(dst, " ago"...)
	}
	return dst
}

// iso8601 is the style P1Y2M3DT4H5M6.5S.
func (f *ivlFields) iso8601(dst []byte) []byte {
	if f.year|f.mon|f.day == 0 && f.timeIsZero() {
		return append(dst, "PT0S"...)
	}
	part := func(n int64, unit byte) {
		if n != 0 {
			dst = append(strconv.AppendInt(dst, n, 10), unit)
		}
	}
	dst = append(dst, 'P')
	part(f.year, 'Y')
	part(f.mon, 'M')
	part(f.day, 'D')
	if !f.timeIsZero() {
		dst = append(dst, 'T')
	}
	part(f.hour, 'H')
	part(f.min, 'M')
	if f.sec != 0 || f.micros != 0 {
		if f.sec < 0 || f.micros < 0 {
			dst = append(dst, '-')
		}
		dst = strconv.AppendInt(dst, abs64(f.sec), 10)
		dst = append(appendFraction(dst, abs64(f.micros)), 'S')
	}
	return dst
}

// sqlStandard is the style +1-2 +3 +4:05:06, of which plain forms are used when
// only months, or only days and time of one sign, are there.
func (f *ivlFields) sqlStandard(dst []byte) []byte {
	hasNeg := f.year < 0 || f.mon < 0 || f.day < 0 || f.timeIsNegative()
	hasPos := f.year > 0 || f.mon > 0 || f.day > 0 || f.hour > 0 || f.min > 0 || f.sec > 0 || f.micros > 0
	hasYM := f.year != 0 || f.mon != 0
	hasTime := !f.timeIsZero()
	hasDay := f.day != 0
	plain := !(hasNeg && hasPos) && !(hasYM && (hasDay || hasTime))
	neg := hasNeg && plain
	if neg {
		dst = append(dst, '-')
	}
	sign := func(minus bool) {
		if minus {
			dst = append(dst, '-')
		} else {
			dst = append(dst, '+')
		}
	}
	ym := func() {
		dst = append(strconv.AppendInt(dst, abs64(f.year), 10), '-')
		dst = strconv.AppendInt(dst, abs64(f.mon), 10)
	}
	switch {
	case !hasNeg && !hasPos:
		return append(dst, '0')
	case !plain:
		sign(f.year < 0 || f.mon < 0)
		ym()
		dst = append(dst, ' ')
		sign(f.day < 0)
		dst = append(strconv.AppendInt(dst, abs64(f.day), 10), ' ')
		sign(f.timeIsNegative())
		return f.clock(dst, false)
	case hasYM:
		ym()
		return dst
	case hasDay:
		dst = append(strconv.AppendInt(dst, abs64(f.day), 10), ' ')
		return f.clock(dst, false)
	}
	return f.clock(dst, false)
}
