package types

import (
	"math"
	"strconv"
	"strings"
)

// ivlDecoder sums up the parts of an interval.
type ivlDecoder struct {
	years, months, days int64
	micros              int64
}

// ParseInterval reads an interval in any of PostgreSQL's forms: '1 day 2 hours
// ago', '1-2', '3 4:05:06', '@ 1 minute', 'P1Y2M3DT4H'.
func ParseInterval(s string, st *Style) (IntervalVal, error) {
	return ParseIntervalFields(s, "", st)
}

// ParseIntervalFields is ParseInterval for INTERVAL 's' fields, such as "day" or
// "hour to second": it decides what a bare number is, and fields finer than the
// last are cut off. No fields mean all.
func ParseIntervalFields(s, fields string, st *Style) (IntervalVal, error) {
	finest := unitNone
	fields = strings.Join(strings.Fields(strings.ToLower(fields)), " ")
	if fields != "" {
		last := fields
		if i := strings.LastIndex(fields, " to "); i >= 0 {
			last = fields[i+4:]
		}
		finest = unit(unitTokens[last].val)
	}
	d := ivlDecoder{}
	err := d.fields(s, st, finest, fields == "minute to second")
	if err == dtBadFormat {
		d = ivlDecoder{}
		err = d.iso8601(s)
	}
	if err != dtOK {
		return IntervalVal{}, dtFail(err, s, "interval", "")
	}
	months := d.years*monthsPerYear + d.months
	if months != int64(int32(months)) {
		return IntervalVal{}, errIntervalRange
	}
	v := IntervalVal{Micros: d.micros, Days: int32(d.days), Months: int32(months)}
	return cutInterval(v, finest), nil
}

// cutInterval drops what is finer than a unit.
func cutInterval(v IntervalVal, finest unit) IntervalVal {
	switch finest {
	case unitYear:
		return IntervalVal{Months: v.Months / monthsPerYear * monthsPerYear}
	case unitMonth:
		return IntervalVal{Months: v.Months}
	case unitDay:
		v.Micros = 0
	case unitHour:
		v.Micros -= v.Micros % MicrosPerHour
	case unitMinute:
		v.Micros -= v.Micros % MicrosPerMinute
	}
	return v
}

func (d *ivlDecoder) fields(s string, st *Style, finest unit, minuteToSecond bool) dtError {
	var field [maxDateFields]dtField
	n, err := splitFields(s, &field)
	if err != dtOK {
		return err
	}
	forceNeg := false
	if st.IntervalStyle == IntervalSQLStandard && n > 0 && field[0].text[0] == '-' {
		forceNeg = true
		for _, f := range field[1:n] {
			if f.text[0] == '-' || f.text[0] == '+' {
				forceNeg = false
			}
		}
	}
	// From the last to the first, so that units come before their numbers.
	var have fieldMask
	next, ago := unitNone, false
	for i := n - 1; i >= 0; i-- {
		var got fieldMask
		f := field[i]
		switch {
		case f.typ == fieldTime, f.typ == fieldTZ && strings.IndexByte(f.text[1:], ':') >= 0 && d.clock(f.text[1:], minuteToSecond, false, &ivlDecoder{}) == dtOK:
			text, neg := f.text, false
			if f.typ == fieldTZ {
				text, neg = f.text[1:], f.text[0] == '-'
			}
			if err := d.clock(text, minuteToSecond, neg || forceNeg, d); err != dtOK {
				return err
			}
			got, next = maskTime, unitDay
		case f.typ <= fieldTZ && f.typ != fieldString:
			if next == unitNone {
				if next = finest; finest == unitNone {
					next = unitSecond
				}
			}
			if got, err = d.number(f.text, &next, forceNeg); err != dtOK {
				return err
			}
		default:
			tok := unitTokens[cutToken(f.text)]
			if tok.class == tokNone {
				tok = dateTokens[cutToken(f.text)]
			}
			switch tok.class {
			case tokIgnore:
				continue
			case tokUnits:
				next = unit(tok.val)
			case tokAgo:
				ago, next = true, unitJulian // a number needs a unit before "ago"
			default:
				return dtBadFormat
			}
		}
		if got&have != 0 {
			return dtBadFormat
		}
		have |= got
	}
	if have == 0 {
		return dtBadFormat
	}
	if ago {
		if d.micros == math.MinInt64 || d.days == math.MinInt32 || d.months == math.MinInt32 || d.years == math.MinInt32 {
			return dtFieldOverflow
		}
		d.micros, d.days, d.months, d.years = -d.micros, -d.days, -d.months, -d.years
	}
	return dtOK
}

// clock adds hh:mm[:ss[.fff]] to out.
func (d *ivlDecoder) clock(s string, minuteToSecond, neg bool, out *ivlDecoder) dtError {
	h, m, sec, fsec, err := decodeClock(s, 64, minuteToSecond)
	if err != dtOK {
		return err
	}
	rest := (int64(m)*60+int64(sec))*MicrosPerSecond + int64(fsec)
	if h > (math.MaxInt64-rest)/MicrosPerHour {
		return dtFieldOverflow
	}
	us := h*MicrosPerHour + rest
	if neg {
		us = -us
	}
	out.micros = us
	return dtOK
}

// number adds a number of the unit, which is that of the field after it.
func (d *ivlDecoder) number(s string, next *unit, forceNeg bool) (fieldMask, dtError) {
	val, rest, ok := leadingInt(s, 64)
	if !ok {
		return 0, dtFieldOverflow
	}
	neg := s[0] == '-'
	frac := 0.0
	switch {
	case rest == "":
	case rest[0] == '-': // years-months
		m, tail, ok := leadingInt(rest[1:], 32)
		if !ok || m < 0 || m >= monthsPerYear {
			return 0, dtFieldOverflow
		}
		if tail != "" {
			return 0, dtBadFormat
		}
		if neg {
			m = -m
		}
		if val > math.MaxInt64/16 || val < math.MinInt64/16 {
			return 0, dtFieldOverflow
		}
		val = val*monthsPerYear + m
		*next = unitMonth
	case rest[0] == '.':
		if len(rest) > 1 {
			var err error
			if frac, err = strconv.ParseFloat("0"+rest, 64); err != nil {
				return 0, dtBadFormat
			}
		}
		if neg {
			frac = -frac
		}
	default:
		return 0, dtBadFormat
	}
	if forceNeg {
		val, frac = -abs64(val), -math.Abs(frac)
	}
	u := *next
	if u == unitHour {
		*next = unitDay
	}
	return d.add(u, val, frac)
}

// add adds val and a fraction of a unit; it returns the unit's bits.
func (d *ivlDecoder) add(u unit, val int64, frac float64) (fieldMask, dtError) {
	var ok bool
	var got fieldMask
	switch u {
	case unitMicrosecond:
		got, ok = maskMicro, d.addMicros(val, frac, 1)
	case unitMillisecond:
		got, ok = maskMilli, d.addMicros(val, frac, MicrosPerMilli)
	case unitSecond:
		got, ok = maskSecond, d.addMicros(val, frac, MicrosPerSecond)
		if frac != 0 {
			got = maskAllSecs
		}
	case unitMinute:
		got, ok = maskMinute, d.addMicros(val, frac, MicrosPerMinute)
	case unitHour:
		got, ok = maskHour, d.addMicros(val, frac, MicrosPerHour)
	case unitDay:
		got, ok = maskDay, addInt32(&d.days, val, 1) && d.fracMicros(frac, MicrosPerDay)
	case unitWeek:
		got, ok = maskWeek, addInt32(&d.days, val, 7) && d.fracDays(frac, 7)
	case unitMonth:
		got, ok = maskMonth, addInt32(&d.months, val, 1) && d.fracDays(frac, daysPerMonth)
	case unitYear:
		got, ok = maskYear, d.addYears(val, frac, 1)
	case unitDecade:
		got, ok = maskDecade, d.addYears(val, frac, 10)
	case unitCentury:
		got, ok = maskCentury, d.addYears(val, frac, 100)
	case unitMillennium:
		got, ok = maskMillennium, d.addYears(val, frac, 1000)
	default:
		return 0, dtBadFormat
	}
	if !ok {
		return 0, dtFieldOverflow
	}
	return got, dtOK
}

func (d *ivlDecoder) addMicros(val int64, frac float64, scale int64) bool {
	us, ok := MulInt64(val, scale).Int64()
	if !ok {
		return false
	}
	sum := d.micros + us
	if (d.micros^sum)&(us^sum) < 0 {
		return false
	}
	d.micros = sum
	return d.fracMicros(frac, scale)
}

// fracMicros adds a fraction of scale microseconds, rounded.
func (d *ivlDecoder) fracMicros(frac float64, scale int64) bool {
	if frac == 0 {
		return true
	}
	frac = float64(frac * float64(scale)) // never fused with the subtraction
	us := int64(frac)
	if frac -= float64(us); frac > 0.5 {
		us++
	} else if frac < -0.5 {
		us--
	}
	sum := d.micros + us
	if (d.micros^sum)&(us^sum) < 0 {
		return false
	}
	d.micros = sum
	return true
}

func (d *ivlDecoder) fracDays(frac float64, scale int) bool {
	if frac == 0 {
		return true
	}
	frac = float64(frac * float64(scale))
	days := int64(frac)
	return addInt32(&d.days, days, 1) && d.fracMicros(frac-float64(days), MicrosPerDay)
}

func (d *ivlDecoder) addYears(val int64, frac float64, scale int64) bool {
	m := int64(math.RoundToEven(frac * float64(scale) * monthsPerYear))
	return addInt32(&d.years, val, scale) && addInt32(&d.months, m, 1)
}

// addInt32 adds val*scale to *x within 32 bits.
func addInt32(x *int64, val, scale int64) bool {
	if val != int64(int32(val)) || val*scale != int64(int32(val*scale)) {
		return false
	}
	*x += val * scale
	return *x == int64(int32(*x))
}

// isoNumber reads the number that s starts with.
func isoNumber(s string) (val int64, frac float64, rest string, err dtError) {
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	start := i
	for i < len(s) && (isDigit(s[i]) || s[i] == '.') {
		i++
	}
	if i == start {
		return 0, 0, s, dtBadFormat
	}
	f, perr := strconv.ParseFloat(s[:i], 64)
	if perr != nil {
		return 0, 0, s, dtBadFormat
	}
	const most = 1e15
	if f < -most || f > most {
		return 0, 0, s, dtFieldOverflow
	}
	val = int64(f)
	return val, f - float64(val), s[i:], dtOK
}

// iso8601 reads P1Y2M3DT4H5M6S and the alternative P0001-02-03T04:05:06.
func (d *ivlDecoder) iso8601(s string) dtError {
	if len(s) < 2 || s[0] != 'P' {
		return dtBadFormat
	}
	s = s[1:]
	date, first := true, true
	for s != "" {
		if s[0] == 'T' {
			date, first, s = false, true, s[1:]
			continue
		}
		val, frac, rest, err := isoNumber(s)
		if err != dtOK {
			return err
		}
		width := len(s) - len(rest)
		if i := strings.IndexByte(s[:width], '.'); i >= 0 {
			width = i
		}
		width -= len(s[:1]) - len(strings.TrimPrefix(s[:1], "-"))
		u, known := isoUnit(rest, date)
		switch {
		case known:
			if _, err := d.add(u, val, frac); err != dtOK {
				return err
			}
			s, first = rest[1:], false
		case !first:
			return dtBadFormat
		case date && width == 8 && (rest == "" || rest[0] == 'T'):
			err = d.addAll([]unit{unitYear, unitMonth, unitDay}, []int64{val / 10000, val / 100 % 100, val % 100}, frac)
			if err != dtOK || rest == "" {
				return err
			}
			s = rest
		case date:
			s, err = d.isoGroup(val, frac, rest, '-', []unit{unitYear, unitMonth, unitDay})
			if err != dtOK || s == "" {
				return err
			}
		case width == 6 && rest == "":
			return d.addAll([]unit{unitHour, unitMinute, unitSecond}, []int64{val / 10000, val / 100 % 100, val % 100}, frac)
		default:
			s, err = d.isoGroup(val, frac, rest, ':', []unit{unitHour, unitMinute, unitSecond})
			if err == dtOK && s != "" {
				err = dtBadFormat
			}
			return err
		}
	}
	return dtOK
}

func isoUnit(rest string, date bool) (unit, bool) {
	if rest == "" {
		return unitNone, false
	}
	switch {
	case date && rest[0] == 'Y':
		return unitYear, true
	case date && rest[0] == 'M':
		return unitMonth, true
	case date && rest[0] == 'W':
		return unitWeek, true
	case date && rest[0] == 'D':
		return unitDay, true
	case !date && rest[0] == 'H':
		return unitHour, true
	case !date && rest[0] == 'M':
		return unitMinute, true
	case !date && rest[0] == 'S':
		return unitSecond, true
	}
	return unitNone, false
}

func (d *ivlDecoder) addAll(units []unit, vals []int64, frac float64) dtError {
	for i, u := range units {
		f := 0.0
		if i == len(units)-1 {
			f = frac
		}
		if _, err := d.add(u, vals[i], f); err != dtOK {
			return err
		}
	}
	return dtOK
}

// isoGroup reads numbers separated by sep, of which the first is read already,
// and returns what follows: nothing, or the T of the time.
func (d *ivlDecoder) isoGroup(val int64, frac float64, rest string, sep byte, units []unit) (string, dtError) {
	for i, u := range units {
		if _, err := d.add(u, val, frac); err != dtOK {
			return "", err
		}
		if rest == "" || rest[0] == 'T' && sep == '-' {
			return rest, dtOK
		}
		if rest[0] != sep || i == len(units)-1 {
			return "", dtBadFormat
		}
		var err dtError
		if val, frac, rest, err = isoNumber(rest[1:]); err != dtOK {
			return "", err
		}
	}
	return rest, dtOK
}
