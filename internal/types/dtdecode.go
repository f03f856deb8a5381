package types

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// fieldMask says which parts of a date and time have been read.
type fieldMask uint32

const (
	maskMonth fieldMask = 1 << iota
	maskYear
	maskDay
	maskTZ
	maskDST
	maskDSTMod
	maskAMPM
	maskHour
	maskMinute
	maskSecond
	maskMilli
	maskMicro
	maskDOY
	maskDOW
	maskADBC
	maskWeek
	maskDecade
	maskCentury
	maskMillennium
	maskDate    = maskYear | maskMonth | maskDay
	maskAllSecs = maskSecond | maskMilli | maskMicro
	maskTime    = maskHour | maskMinute | maskAllSecs
)

// dtDecoder gives fields their meaning. year is as written until validate.
type dtDecoder struct {
	st       *Style
	timeOnly bool
	field    [maxDateFields]dtField
	n        int

	year, mon, day, yday    int
	hour, min, sec, fsec    int
	zone                    *time.Location // named zone
	off                     int            // seconds east of UTC, when maskTZ without zone
	special                 int            // wordEpoch, wordLate, wordEarly, or -1
	have                    fieldMask
	label                   unit // what the field before said this one is
	textMonth, twoDigitYear bool
	julian, bc              bool
	meridian                int
	noNow                   bool // the current time was asked for and is not known
	badZone                 string
}

// run decodes s. It returns dtOK with date and time in d's fields.
func (d *dtDecoder) run(s string) dtError {
	d.special = -1
	n, err := splitFields(s, &d.field)
	if err != dtOK {
		return err
	}
	d.n = n
	for i := range n {
		got, err := d.decode(i)
		if err != dtOK {
			return err
		}
		if got&d.have != 0 {
			return dtBadFormat
		}
		d.have |= got
	}
	if err := d.validate(); err != dtOK {
		return err
	}
	if d.meridian != clock24 && d.hour > 12 {
		return dtFieldOverflow
	}
	if d.meridian == clockAM && d.hour == 12 {
		d.hour = 0
	} else if d.meridian == clockPM && d.hour != 12 {
		d.hour += 12
	}
	if d.timeOnly {
		if timeOverflows(d.hour, d.min, d.sec, d.fsec) {
			return dtFieldOverflow
		}
		if d.have&maskTime != maskTime {
			return dtBadFormat
		}
		return d.nowKnown()
	}
	if d.special < 0 && d.have&maskDate != maskDate {
		return dtBadFormat
	}
	if d.have&maskDSTMod != 0 && (d.zone != nil || d.have&maskTZ == 0) {
		return dtBadFormat
	}
	return d.nowKnown()
}

func (d *dtDecoder) nowKnown() dtError {
	if d.noNow {
		return dtNoNow
	}
	return dtOK
}

func (d *dtDecoder) decode(i int) (fieldMask, dtError) {
	f := d.field[i]
	switch f.typ {
	case fieldDate:
		return d.dateField(i, f.text)
	case fieldTime:
		if d.label != unitNone {
			if d.label != unitTime {
				return 0, dtBadFormat
			}
			d.label = unitNone
		}
		if err := d.clock(f.text); err != dtOK {
			return 0, err
		}
		if timeOverflows(d.hour, d.min, d.sec, d.fsec) {
			return 0, dtFieldOverflow
		}
		return maskTime, dtOK
	case fieldTZ:
		off, err := decodeOffset(f.text)
		d.off = off
		return maskTZ, err
	case fieldNumber:
		if d.label != unitNone {
			return d.labelled(f.text)
		}
		return d.numberField(i, f.text)
	}
	return d.word(i, f.text)
}

// dateField handles a field with embedded punctuation: a date, a zone's name, or
// hhmmss-zz.
func (d *dtDecoder) dateField(i int, s string) (fieldMask, dtError) {
	if d.label == unitJulian {
		val, rest, ok := leadingInt(s, 32)
		if !ok || val < 0 {
			return 0, dtFieldOverflow
		}
		d.setJulian(val)
		off, err := decodeOffset(rest)
		d.off, d.label = off, unitNone
		return maskDate | maskTime | maskTZ, err
	}
	wantsDate := d.label == unitNone && d.have&(maskMonth|maskDay) != maskMonth|maskDay
	if d.timeOnly {
		wantsDate = i == 0 && d.n >= 2 && (d.field[d.n-1].typ == fieldDate || d.field[1].typ == fieldTime)
	}
	if wantsDate {
		return d.date(s)
	}
	if !isDigit(s[0]) && d.label == unitNone {
		return d.namedZone(s, true)
	}
	if d.label != unitNone {
		if d.label != unitTime {
			return 0, dtBadFormat
		}
		d.label = unitNone
	}
	if d.have&maskTime == maskTime {
		return 0, dtBadFormat
	}
	minus := strings.IndexByte(s, '-')
	if minus < 0 {
		return 0, dtBadFormat
	}
	off, err := decodeOffset(s[minus:])
	if err != dtOK {
		return 0, err
	}
	d.off = off
	have := d.have
	if d.timeOnly {
		have |= maskDate
	}
	got, err := d.runTogether(s[:minus], have)
	return got | maskTZ, err
}

func (d *dtDecoder) namedZone(s string, report bool) (fieldMask, dtError) {
	loc, ok := Zone(s)
	if !ok {
		if report {
			d.badZone = s
			return 0, dtUnknownZone
		}
		return 0, dtBadFormat
	}
	d.zone = loc
	return maskTZ, dtOK
}

// date reads a date whose parts are joined by punctuation.
func (d *dtDecoder) date(s string) (fieldMask, dtError) {
	var parts [maxDateFields]string
	n := 0
	for i := 0; i < len(s) && n < len(parts); {
		for i < len(s) && !isAlnum(s[i]) {
			i++
		}
		if i == len(s) {
			return 0, dtBadFormat
		}
		start := i
		if isDigit(s[i]) {
			for i < len(s) && isDigit(s[i]) {
				i++
			}
		} else {
			for i < len(s) && isAlpha(s[i]) {
				i++
			}
		}
		parts[n] = s[start:i]
		n++
		i++ // whatever ended the part is passed over
	}
	have, textMonth := d.have, false
	for i, p := range parts[:n] {
		if !isAlpha(p[0]) {
			continue
		}
		tok := dateTokens[cutToken(p)]
		if tok.class == tokIgnore {
			continue
		}
		if tok.class != tokMonth || have&maskMonth != 0 {
			return 0, dtBadFormat
		}
		d.mon, textMonth = tok.val, true
		have |= maskMonth
		parts[i] = ""
	}
	for _, p := range parts[:n] {
		if p == "" {
			continue
		}
		if !isDigit(p[0]) {
			return 0, dtBadFormat
		}
		got, err := d.number(p, textMonth, have)
		if err != dtOK {
			return 0, err
		}
		if got&have != 0 {
			return 0, dtBadFormat
		}
		have |= got
	}
	if have&^(maskDOY|maskTZ) != maskDate {
		return 0, dtBadFormat
	}
	return have &^ d.have, dtOK
}

// labelled reads a number that the word before it has named.
func (d *dtDecoder) labelled(s string) (fieldMask, dtError) {
	val, rest, ok := leadingInt(s, 32)
	if !ok {
		return 0, dtFieldOverflow
	}
	label := d.label
	d.label = unitNone
	fraction := strings.HasPrefix(rest, ".")
	if rest != "" && !(fraction && (label == unitJulian || label == unitTime || label == unitSecond)) {
		return 0, dtBadFormat
	}
	v := int(val)
	switch label {
	case unitYear:
		d.year = v
		return maskYear, dtOK
	case unitMonth:
		if d.have&maskMonth != 0 && d.have&maskHour != 0 {
			d.min = v
			return maskMinute, dtOK
		}
		d.mon = v
		return maskMonth, dtOK
	case unitDay:
		d.day = v
		return maskDay, dtOK
	case unitHour:
		d.hour = v
		return maskHour, dtOK
	case unitMinute:
		d.min = v
		return maskMinute, dtOK
	case unitSecond:
		d.sec = v
		if fraction {
			return maskAllSecs, d.fraction(rest)
		}
		return maskSecond, dtOK
	case unitJulian:
		if val < 0 {
			return 0, dtFieldOverflow
		}
		d.setJulian(val)
		if !fraction {
			return maskDate, dtOK
		}
		f, err := strconv.ParseFloat("0"+rest, 64)
		if err != nil {
			return 0, dtBadFormat
		}
		us := int64(f * MicrosPerDay)
		d.hour, d.min, d.sec, d.fsec = int(us/MicrosPerHour), int(us/MicrosPerMinute%60), int(us/MicrosPerSecond%60), int(us%MicrosPerSecond)
		return maskDate | maskTime, dtOK
	case unitTime:
		got, err := d.runTogether(s, d.have|maskDate)
		if err == dtOK && got != maskTime {
			err = dtBadFormat
		}
		return got, err
	}
	return 0, dtBadFormat
}

func (d *dtDecoder) setJulian(jd int64) {
	const julianEpoch = 2451545 // Julian day of 2000-01-01
	y, m, day := civil(jd - julianEpoch)
	d.year, d.mon, d.day, d.julian = int(y), m, day, true
}

// numberField reads digits that nothing has named.
func (d *dtDecoder) numberField(i int, s string) (fieldMask, dtError) {
	point := strings.IndexByte(s, '.')
	if d.timeOnly {
		switch {
		case point >= 0 && i == 0 && d.n >= 2 && d.field[d.n-1].typ == fieldDate:
			return d.date(s)
		case point > 2 || point < 0 && len(s) > 4:
			return d.runTogether(s, d.have|maskDate)
		case point >= 0:
			return 0, dtBadFormat
		}
		return d.number(s, false, d.have|maskDate)
	}
	switch {
	case point >= 0 && d.have&maskDate == 0:
		return d.date(s)
	case point > 2:
		return d.runTogether(s, d.have)
	case len(s) >= 6 && (d.have&maskDate == 0 || d.have&maskTime == 0):
		return d.runTogether(s, d.have)
	}
	return d.number(s, d.textMonth, d.have)
}

// number reads one part of a date, by what is already there and the date order.
func (d *dtDecoder) number(s string, textMonth bool, have fieldMask) (got fieldMask, err dtError) {
	val, rest, ok := leadingInt(s, 32)
	if !ok {
		return 0, dtFieldOverflow
	}
	if len(rest) == len(s) {
		return 0, dtBadFormat
	}
	if rest != "" {
		if rest[0] != '.' {
			return 0, dtBadFormat
		}
		if len(s)-len(rest) > 2 {
			return d.runTogether(s, have|maskDate)
		}
		if err := d.fraction(rest); err != dtOK {
			return 0, err
		}
	}
	v, long := int(val), len(s) >= 3
	if len(s) == 3 && have&maskDate == maskYear && v >= 1 && v <= 366 {
		d.yday = v
		return maskDOY | maskMonth | maskDay, dtOK
	}
	ymd := d.st.DateOrder == OrderYMD
	switch have & maskDate {
	case 0:
		switch {
		case long || ymd:
			got = maskYear
		case d.st.DateOrder == OrderDMY:
			got = maskDay
		default:
			got = maskMonth
		}
	case maskYear, maskDay:
		got = maskMonth
	case maskMonth:
		got = maskDay
		if textMonth && (long || ymd) {
			got = maskYear
		}
	case maskYear | maskMonth:
		got = maskDay
		if textMonth && long && d.twoDigitYear {
			d.day, d.year, d.twoDigitYear = d.year, v, false // the first number was the day
			return maskDay, dtOK
		}
	case maskMonth | maskDay:
		got = maskYear
	case maskDate:
		return d.runTogether(s, have)
	default:
		return 0, dtBadFormat
	}
	switch got {
	case maskYear:
		d.year, d.twoDigitYear = v, len(s) <= 2
	case maskMonth:
		d.mon = v
	case maskDay:
		d.day = v
	}
	return got, dtOK
}

// runTogether reads yyyymmdd, yymmdd, hhmmss[.fff] or hhmm.
func (d *dtDecoder) runTogether(s string, have fieldMask) (fieldMask, dtError) {
	if point := strings.IndexByte(s, '.'); point >= 0 {
		end := point + 1
		for end < len(s) && isDigit(s[end]) {
			end++
		}
		f, err := strconv.ParseFloat("0"+s[point:end], 64)
		if err != nil {
			return 0, dtBadFormat
		}
		d.fsec = int(math.RoundToEven(f * MicrosPerSecond))
		s = s[:point]
	} else if have&maskDate != maskDate && len(s) >= 6 {
		n := len(s)
		y, _, ok := leadingInt(s[:n-4], 32)
		if !ok {
			return 0, dtFieldOverflow
		}
		d.year, d.mon, d.day = int(y), pair(s[n-4:]), pair(s[n-2:])
		if n-4 == 2 {
			d.twoDigitYear = true
		}
		return maskDate, dtOK
	}
	if have&maskTime != maskTime {
		switch len(s) {
		case 6:
			d.hour, d.min, d.sec = pair(s), pair(s[2:]), pair(s[4:])
			return maskTime, dtOK
		case 4:
			d.hour, d.min, d.sec = pair(s), pair(s[2:]), 0
			return maskTime, dtOK
		}
	}
	return 0, dtBadFormat
}

func pair(s string) int {
	n, _ := twoDigits(s[0], s[1])
	return n
}
