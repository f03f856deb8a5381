package types

import (
	"strings"
	"time"
)

// word gives a word its meaning within a date.
func (d *dtDecoder) word(i int, s string) (fieldMask, dtError) {
	if a, ok := zoneAbbrevs[cutToken(s)]; ok {
		d.off = int(a.offset)
		if a.dst {
			return maskTZ | maskDST, dtOK
		}
		return maskTZ, dtOK
	}
	tok := dateTokens[cutToken(s)]
	switch tok.class {
	case tokIgnore:
		return 0, dtOK
	case tokReserved:
		return d.reserved(tok.val)
	case tokMonth:
		got := maskMonth
		if d.have&maskMonth != 0 && !d.textMonth && d.have&maskDay == 0 && d.mon >= 1 && d.mon <= 31 {
			d.day = d.mon // what looked like the month was the day
			got = maskDay
		}
		d.textMonth, d.mon = true, tok.val
		return got, dtOK
	case tokDSTMod:
		d.off += tok.val
		return maskDSTMod | maskDST, dtOK
	case tokAMPM:
		d.meridian = tok.val
		return maskAMPM, dtOK
	case tokADBC:
		d.bc = tok.val == 1
		return maskADBC, dtOK
	case tokDOW:
		if d.timeOnly {
			return 0, dtBadFormat
		}
		return maskDOW, dtOK
	case tokUnits:
		d.label = unit(tok.val)
		return 0, dtOK
	case tokISOTime:
		if !d.timeOnly && d.have&maskDate != maskDate || i+1 >= d.n {
			return 0, dtBadFormat
		}
		if t := d.field[i+1].typ; t != fieldNumber && t != fieldTime && t != fieldDate {
			return 0, dtBadFormat
		}
		d.label = unitTime
		return 0, dtOK
	}
	return d.namedZone(s, false)
}

// reserved handles now, today, epoch, infinity and their like.
func (d *dtDecoder) reserved(w int) (fieldMask, dtError) {
	switch w {
	case wordZulu:
		d.hour, d.min, d.sec, d.off = 0, 0, 0, 0
		return maskTime | maskTZ, dtOK
	case wordEpoch, wordLate, wordEarly:
		if d.timeOnly {
			return 0, dtBadFormat
		}
		d.special = w
		return maskDate | maskTime | maskTZ, dtOK
	}
	if d.timeOnly && w != wordNow {
		return 0, dtBadFormat
	}
	if !d.st.HasNow {
		d.noNow = true
	}
	_, off := ZoneOffset(d.st.Now, d.st.zone())
	local := d.st.Now + int64(off)*MicrosPerSecond
	days := floorDiv(local, MicrosPerDay)
	tod := local - days*MicrosPerDay
	got := maskDate
	switch w {
	case wordTomorrow:
		days++
	case wordYesterday:
		days--
	case wordNow:
		d.hour, d.min, d.sec, d.fsec = int(tod/MicrosPerHour), int(tod/MicrosPerMinute%60), int(tod/MicrosPerSecond%60), int(tod%MicrosPerSecond)
		d.off = off
		got = maskDate | maskTime | maskTZ
		if d.timeOnly {
			return maskTime, dtOK
		}
	}
	y, m, day := civil(days)
	d.year, d.mon, d.day, d.julian = int(y), m, day, true // the year is final
	return got, dtOK
}

// validate turns the year as written into an astronomical one and checks the date.
func (d *dtDecoder) validate() dtError {
	if d.have&maskYear != 0 && d.special < 0 {
		switch {
		case d.julian:
		case d.bc:
			if d.year <= 0 {
				return dtFieldOverflow
			}
			d.year = 1 - d.year
		case d.twoDigitYear:
			if d.year < 70 {
				d.year += 2000
			} else if d.year < 100 {
				d.year += 1900
			}
		case d.year <= 0:
			return dtFieldOverflow
		}
	}
	if d.special >= 0 {
		return dtOK
	}
	if d.have&maskDOY != 0 {
		y, m, day := civil(daysOf(int64(d.year), 1, 1) + int64(d.yday) - 1)
		d.year, d.mon, d.day = int(y), m, day
	}
	if d.have&maskMonth != 0 && (d.mon < 1 || d.mon > 12) || d.have&maskDay != 0 && (d.day < 1 || d.day > 31) {
		return dtMonthDayOverflow
	}
	if d.have&maskDate == maskDate && d.day > DaysInMonth(int64(d.year), d.mon) {
		return dtFieldOverflow
	}
	return dtOK
}

// dtFail is PostgreSQL's error for a string that is not a value of the type.
func dtFail(err dtError, s, typ, zone string) *Error {
	switch err {
	case dtFieldOverflow:
		if typ == "interval" {
			return &Error{Code: "22015", Message: `interval field value out of range: "` + s + `"`}
		}
		return &Error{Code: CodeDatetimeOverflow, Message: `date/time field value out of range: "` + s + `"`}
	case dtMonthDayOverflow:
		return &Error{Code: CodeDatetimeOverflow, Message: `date/time field value out of range: "` + s + `"`,
			Hint: `Perhaps you need a different "datestyle" setting.`}
	case dtZoneOverflow:
		return &Error{Code: "22009", Message: `time zone displacement out of range: "` + s + `"`}
	case dtUnknownZone:
		return &Error{Code: CodeInvalidParameter, Message: `time zone "` + zone + `" not recognized`}
	case dtNoNow:
		return &Error{Code: CodeFeature, Message: `the current time is not known here: "` + s + `"`,
			Hint: "Use now() or CURRENT_TIMESTAMP, or write the time."}
	}
	return &Error{Code: CodeInvalidDatetime, Message: `invalid input syntax for type ` + typ + `: "` + s + `"`}
}

// validJulian reports whether a date lies where day numbers can be computed.
func validJulian(y int64, m int) bool {
	return (y > -4713 || y == -4713 && m >= 11) && (y < 5874898 || y == 5874898 && m < 6)
}

// ParseDate reads a date in any of PostgreSQL's forms.
func ParseDate(s string, st *Style) (int64, error) {
	if d, ok := ParseDateBytes([]byte(s)); ok {
		return d, nil
	}
	d := dtDecoder{st: st}
	if err := d.run(s); err != dtOK {
		return 0, dtFail(err, s, "date", d.badZone)
	}
	switch d.special {
	case wordEpoch:
		return -unixEpochDays, nil
	case wordLate:
		return DatePosInf, nil
	case wordEarly:
		return DateNegInf, nil
	}
	if validJulian(int64(d.year), d.mon) {
		if days := daysOf(int64(d.year), d.mon, d.day); ValidDate(days) {
			return days, nil
		}
	}
	return 0, &Error{Code: CodeDatetimeOverflow, Message: `date out of range: "` + s + `"`}
}

// ParseTime reads a time of day in any of PostgreSQL's forms.
func ParseTime(s string, st *Style) (int64, error) {
	d := dtDecoder{st: st, timeOnly: true}
	if err := d.run(s); err != dtOK {
		return 0, dtFail(err, s, "time", d.badZone)
	}
	return d.timeOfDay(), nil
}

func (d *dtDecoder) timeOfDay() int64 {
	return ((int64(d.hour)*60+int64(d.min))*60+int64(d.sec))*MicrosPerSecond + int64(d.fsec)
}

// ParseTimestamp reads a timestamp in any of PostgreSQL's forms; a zone in it is
// passed over.
func ParseTimestamp(s string, st *Style) (int64, error) {
	if ts, ok := ParseTimestampBytes([]byte(s)); ok {
		return ts, nil
	}
	return parseStamp(s, st, "timestamp", false)
}

// ParseTimestampTZ reads a timestamp with a zone, else in the style's zone, and
// returns the instant.
func ParseTimestampTZ(s string, st *Style) (int64, error) {
	if ts, ok := ParseTimestampTZBytes([]byte(s)); ok {
		return ts, nil
	}
	return parseStamp(s, st, "timestamp with time zone", true)
}

func parseStamp(s string, st *Style, typ string, zoned bool) (int64, error) {
	d := dtDecoder{st: st}
	if err := d.run(s); err != dtOK {
		return 0, dtFail(err, s, typ, d.badZone)
	}
	switch d.special {
	case wordEpoch:
		return -unixEpochMicros, nil
	case wordLate:
		return TimestampPosInf, nil
	case wordEarly:
		return TimestampNegInf, nil
	}
	out := &Error{Code: CodeDatetimeOverflow, Message: `timestamp out of range: "` + s + `"`}
	if !validJulian(int64(d.year), d.mon) {
		return 0, out
	}
	days := daysOf(int64(d.year), d.mon, d.day)
	if days < minDate-1 || days > endTimestamp/MicrosPerDay {
		return 0, out
	}
	ts := days*MicrosPerDay + d.timeOfDay()
	if ts < days*MicrosPerDay {
		return 0, out
	}
	if zoned {
		switch {
		case d.zone != nil:
			ts = LocalToUTC(ts, d.zone)
		case d.have&maskTZ != 0:
			ts -= int64(d.off) * MicrosPerSecond
		default:
			ts = LocalToUTC(ts, st.zone())
		}
	}
	if !ValidTimestamp(ts) || ts == TimestampPosInf || ts == TimestampNegInf {
		return 0, out
	}
	return ts, nil
}

// LocalToUTC returns the instant at which clocks in loc show the finite local
// time ts. A time that a change of clocks skips or repeats is taken by the offset
// before the change when skipped and by standard time when repeated, as PostgreSQL does.
func LocalToUTC(ts int64, loc *time.Location) int64 {
	if loc == time.UTC {
		return ts
	}
	// The offsets around the local time: a day before it and a day after it at most
	// one change lies between in practice; both are tried.
	_, before := ZoneOffset(ts-MicrosPerDay, loc)
	_, after := ZoneOffset(ts+MicrosPerDay, loc)
	utcBefore := ts - int64(before)*MicrosPerSecond
	if before == after {
		return utcBefore
	}
	utcAfter := ts - int64(after)*MicrosPerSecond
	_, offBefore := ZoneOffset(utcBefore, loc)
	_, offAfter := ZoneOffset(utcAfter, loc)
	okBefore, okAfter := offBefore == before, offAfter == after
	switch {
	case okBefore && !okAfter:
		return utcBefore
	case okAfter && !okBefore:
		return utcAfter
	case okBefore && okAfter: // repeated: the later offset, standard time in autumn
		return utcAfter
	}
	return utcBefore // skipped: the offset before the change
}

// Zone returns the time zone of a name as SQL texts write it: a name of the time
// zone database in any case, an abbreviation, or a numeric offset. It reads the
// database: call it once for a statement, not for a row.
func Zone(name string) (*time.Location, bool) {
	lower := strings.ToLower(name)
	if lower == "utc" || lower == "z" || lower == "zulu" || lower == "gmt" {
		return time.UTC, true
	}
	if name == "" || lower == "local" || strings.Contains(name, "..") {
		return nil, false
	}
	for _, n := range []string{name, strings.ToUpper(name), zoneTitle(lower)} {
		if loc, err := time.LoadLocation(n); err == nil {
			return loc, true
		}
	}
	return posixZone(name)
}

// posixZone reads GMT+2 or +2:30, hours west of Greenwich as POSIX has it.
func posixZone(s string) (*time.Location, bool) {
	i := 0
	if strings.HasPrefix(s, "<") {
		if i = strings.IndexByte(s, '>') + 1; i == 0 {
			return nil, false
		}
	}
	for i < len(s) && isAlpha(s[i]) {
		i++
	}
	off, err := decodeOffset(s[i:])
	if err != dtOK {
		return nil, false
	}
	return time.FixedZone(strings.ToUpper(strings.Trim(s[:i], "<>")), -off), true
}

// zoneSmall are the words within zone names that are not written with a capital.
var zoneSmall = map[string]bool{"of": true, "es": true, "au": true}

// zoneTitle writes a zone's name with its usual capitals.
func zoneTitle(lower string) string {
	b := []byte(lower)
	start := 0
	for i := 0; i <= len(b); i++ {
		if i < len(b) && isAlpha(b[i]) {
			continue
		}
		if w := string(b[start:i]); w != "" && !zoneSmall[w] {
			b[start] -= 'a' - 'A'
			if w == "gmt" || w == "utc" {
				copy(b[start:], strings.ToUpper(w))
			}
		}
		start = i + 1
	}
	return string(b)
}
