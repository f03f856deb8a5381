package types

// Dates, times and intervals are read as PostgreSQL reads them: a string is cut
// into fields (this file), and the fields are given a meaning one after the other
// (dtdecode.go, ivldecode.go). The rules are those of its datetime.c, because
// people rely on what it accepts.

// fieldType is what a field looks like.
type fieldType uint8

const (
	fieldNumber  fieldType = iota // digits, perhaps with one point
	fieldString                   // letters
	fieldDate                     // digits or letters with - / or . between
	fieldTime                     // digits with : between
	fieldTZ                       // a sign and digits
	fieldSpecial                  // a sign and letters
)

type dtField struct {
	text string // lower case
	typ  fieldType
}

// maxDateFields bounds the fields of one string, as in PostgreSQL.
const maxDateFields = 25

// maxDateTextLen bounds the length of one string; PostgreSQL's work buffer is as long.
const maxDateTextLen = 128 + 25

// dtError says why a string is not a date, time or interval.
type dtError uint8

const (
	dtOK dtError = iota
	dtBadFormat
	dtFieldOverflow
	dtMonthDayOverflow
	dtZoneOverflow
	dtUnknownZone
	dtNoNow
)

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isAlnum(c byte) bool { return isDigit(c) || isAlpha(c) }
func isPunct(c byte) bool { return c > ' ' && c < 0x7f && !isAlnum(c) }

// splitFields cuts s into at most len(out) fields. The texts share one buffer.
func splitFields(s string, out *[maxDateFields]dtField) (n int, err dtError) {
	if len(s) > maxDateTextLen {
		return 0, dtBadFormat
	}
	var buf [maxDateTextLen]byte
	k, i := 0, 0
	at := func(j int) byte {
		if j < len(s) {
			return s[j]
		}
		return 0
	}
	take := func() {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[k] = c
		k++
		i++
	}
	digits := func() {
		for isDigit(at(i)) {
			take()
		}
	}
	for i < len(s) {
		c := s[i]
		if isSpace(c) {
			i++
			continue
		}
		start := k
		var typ fieldType
		switch {
		case isDigit(c):
			digits()
			switch d := at(i); d {
			case ':':
				typ = fieldTime
				for isDigit(at(i)) || at(i) == ':' || at(i) == '.' {
					take()
				}
			case '-', '/', '.':
				typ = fieldDate
				take()
				if isDigit(at(i)) {
					if d == '.' {
						typ = fieldNumber
					}
					digits()
					if at(i) == d {
						typ = fieldDate
						for isDigit(at(i)) || at(i) == d {
							take()
						}
					}
				} else {
					for isAlnum(at(i)) || at(i) == d {
						take()
					}
				}
			}
		case c == '.':
			take()
			digits()
		case isAlpha(c):
			typ = fieldString
			for isAlpha(at(i)) {
				take()
			}
			d := at(i)
			isDate := d == '-' || d == '/' || d == '.'
			if d == '+' || isDigit(d) {
				_, known := dateTokens[cutToken(string(buf[start:k]))]
				isDate = !known
			}
			if isDate {
				typ = fieldDate
				for take(); isAlnum(at(i)) || isZonePunct(at(i)); {
					take()
				}
			}
		case c == '+' || c == '-':
			take()
			for isSpace(at(i)) {
				i++
			}
			switch {
			case isDigit(at(i)):
				typ = fieldTZ
				for isDigit(at(i)) || at(i) == ':' || at(i) == '.' || at(i) == '-' {
					take()
				}
			case isAlpha(at(i)):
				typ = fieldSpecial
				for isAlpha(at(i)) {
					take()
				}
			default:
				return 0, dtBadFormat
			}
		case isPunct(c):
			i++
			continue
		default:
			return 0, dtBadFormat
		}
		if n == maxDateFields {
			return 0, dtBadFormat
		}
		out[n] = dtField{string(buf[start:k]), typ}
		n++
	}
	return n, dtOK
}

func isZonePunct(c byte) bool {
	return c == '+' || c == '-' || c == '/' || c == '_' || c == '.' || c == ':'
}

// maxTokenLen is how many letters of a word count.
const maxTokenLen = 10

func cutToken(s string) string { return s[:min(len(s), maxTokenLen)] }

// leadingInt reads the integer that s starts with; ok is false when it leaves
// the given number of bits. Without digits it is 0 and rest is s.
func leadingInt(s string, bits uint) (x int64, rest string, ok bool) {
	i := 0
	neg := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		neg = s[i] == '-'
		i++
	}
	start := i
	ok = true
	limit := uint64(1)<<(bits-1) - 1
	if neg {
		limit++
	}
	var u uint64
	for ; i < len(s) && isDigit(s[i]); i++ {
		d := uint64(s[i] - '0')
		if u > (limit-d)/10 {
			ok, u = false, limit
			continue
		}
		u = u*10 + d
	}
	if i == start {
		return 0, s, true
	}
	if neg {
		u = -u
	}
	return int64(u), s[i:], ok
}
