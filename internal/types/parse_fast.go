package types

// ParseDateBytes reads yyyy-mm-dd. ok is false for anything else, which ParseDate
// then judges.
func ParseDateBytes(b []byte) (days int64, ok bool) {
	if len(b) != 10 {
		return 0, false
	}
	return isoDate(b)
}

// isoDate reads the yyyy-mm-dd that b, of ten bytes at least, starts with.
func isoDate(b []byte) (int64, bool) {
	_ = b[9]
	y1, ok1 := twoDigits(b[0], b[1])
	y2, ok2 := twoDigits(b[2], b[3])
	m, ok3 := twoDigits(b[5], b[6])
	d, ok4 := twoDigits(b[8], b[9])
	y := y1*100 + y2
	if !(ok1 && ok2 && ok3 && ok4) || b[4] != '-' || b[7] != '-' || y < 100 || m < 1 || m > 12 || d < 1 {
		return 0, false
	}
	if d > 28 && d > DaysInMonth(int64(y), m) {
		return 0, false
	}
	return daysOf(int64(y), m, d), true
}

func twoDigits(a, b byte) (int, bool) {
	x, y := a-'0', b-'0'
	return int(x)*10 + int(y), x <= 9 && y <= 9
}

var monthDays = [13]int{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// DaysInMonth returns the length of a month (1-12) of an astronomical year.
func DaysInMonth(year int64, month int) int {
	if month == 2 && isLeap(year) {
		return 29
	}
	return monthDays[month]
}

func isLeap(y int64) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

// ParseTimestampBytes reads yyyy-mm-dd hh:mm:ss[.ffffff] with a space or T between
// date and time, and passes over a zone (Z, +hh, -hh:mm) as reading a timestamp
// without zone does. ok is false for anything else, which ParseTimestamp then judges.
func ParseTimestampBytes(b []byte) (ts int64, ok bool) {
	ts, rest, ok := isoStamp(b)
	if !ok {
		return 0, false
	}
	if len(rest) != 0 {
		_, ok = isoZone(rest)
	}
	return ts, ok
}

// ParseTimestampTZBytes reads the same with its zone, which must be there, and
// returns the instant.
func ParseTimestampTZBytes(b []byte) (ts int64, ok bool) {
	ts, rest, ok := isoStamp(b)
	if !ok || len(rest) == 0 {
		return 0, false
	}
	off, ok := isoZone(rest)
	return ts - int64(off)*MicrosPerSecond, ok
}

// isoStamp reads date and time and returns what follows them.
func isoStamp(b []byte) (ts int64, rest []byte, ok bool) {
	if len(b) < 19 || b[10] != ' ' && b[10] != 'T' {
		return 0, nil, false
	}
	days, ok := isoDate(b)
	if !ok {
		return 0, nil, false
	}
	h, ok1 := twoDigits(b[11], b[12])
	m, ok2 := twoDigits(b[14], b[15])
	s, ok3 := twoDigits(b[17], b[18])
	if !(ok1 && ok2 && ok3) || b[13] != ':' || b[16] != ':' || h > 23 || m > 59 || s > 59 {
		return 0, nil, false
	}
	ts = days*MicrosPerDay + int64((h*60+m)*60+s)*MicrosPerSecond
	rest = b[19:]
	if len(rest) == 0 || rest[0] != '.' {
		return ts, rest, true
	}
	us, n := 0, 1
	for ; n < len(rest); n++ {
		c := rest[n] - '0'
		if c > 9 {
			break
		}
		us = us*10 + int(c)
		if n > 6 {
			return 0, nil, false // more than microseconds: to be rounded
		}
	}
	if n == 1 {
		return 0, nil, false
	}
	for i := n; i <= 6; i++ {
		us *= 10
	}
	return ts + int64(us), rest[n:], true
}

// isoZone reads Z, +hh, +hhmm or +hh:mm as seconds east of UTC.
func isoZone(b []byte) (off int, ok bool) {
	if len(b) == 1 && (b[0] == 'Z' || b[0] == 'z') {
		return 0, true
	}
	if len(b) < 3 || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	h, ok := twoDigits(b[1], b[2])
	m := 0
	switch {
	case len(b) == 5 && ok:
		m, ok = twoDigits(b[3], b[4])
	case len(b) == 6 && ok && b[3] == ':':
		m, ok = twoDigits(b[4], b[5])
	case len(b) != 3:
		return 0, false
	}
	off = h*3600 + m*60
	if b[0] == '-' {
		off = -off
	}
	return off, ok && h <= 15 && m <= 59
}
