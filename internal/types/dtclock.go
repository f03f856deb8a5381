package types

import (
	"math"
	"strconv"
	"strings"
)

// fraction reads .fff as microseconds.
func (d *dtDecoder) fraction(s string) dtError {
	us, err := fractionMicros(s)
	d.fsec = us
	return err
}

func fractionMicros(s string) (int, dtError) {
	if len(s) == 1 {
		return 0, dtOK
	}
	f, err := strconv.ParseFloat("0"+s, 64)
	if err != nil || strings.Count(s, ".") != 1 {
		return 0, dtBadFormat
	}
	return int(math.RoundToEven(f * MicrosPerSecond)), dtOK
}

// clock reads hh:mm[:ss[.fff]] or mm:ss.fff.
func (d *dtDecoder) clock(s string) dtError {
	h, m, sec, fsec, err := decodeClock(s, 32, false)
	d.hour, d.min, d.sec, d.fsec = int(h), m, sec, fsec
	return err
}

func decodeClock(s string, hourBits uint, minuteToSecond bool) (hour int64, min, sec, fsec int, err dtError) {
	hour, rest, ok := leadingInt(s, hourBits)
	if !ok {
		return 0, 0, 0, 0, dtFieldOverflow
	}
	if rest == "" || rest[0] != ':' {
		return 0, 0, 0, 0, dtBadFormat
	}
	m, rest, ok := leadingInt(rest[1:], 32)
	if !ok {
		return 0, 0, 0, 0, dtFieldOverflow
	}
	min = int(m)
	switch {
	case rest == "":
		if minuteToSecond {
			if hour > math.MaxInt32 {
				return 0, 0, 0, 0, dtFieldOverflow
			}
			sec, min, hour = min, int(hour), 0
		}
	case rest[0] == '.':
		if hour > math.MaxInt32 {
			return 0, 0, 0, 0, dtFieldOverflow
		}
		if fsec, err = fractionMicros(rest); err != dtOK {
			return
		}
		sec, min, hour = min, int(hour), 0
	case rest[0] == ':':
		var v int64
		if v, rest, ok = leadingInt(rest[1:], 32); !ok {
			return 0, 0, 0, 0, dtFieldOverflow
		}
		sec = int(v)
		if rest != "" {
			if rest[0] != '.' {
				return 0, 0, 0, 0, dtBadFormat
			}
			if fsec, err = fractionMicros(rest); err != dtOK {
				return
			}
		}
	default:
		return 0, 0, 0, 0, dtBadFormat
	}
	if hour < 0 || min < 0 || min > 59 || sec < 0 || sec > 60 || fsec < 0 || fsec > MicrosPerSecond {
		return 0, 0, 0, 0, dtFieldOverflow
	}
	return hour, min, sec, fsec, dtOK
}

// timeOverflows reports whether a time of day is past 24:00:00.
func timeOverflows(hour, min, sec, fsec int) bool {
	if hour < 0 || hour > 24 || min < 0 || min > 59 || sec < 0 || sec > 60 || fsec < 0 || fsec > MicrosPerSecond {
		return true
	}
	return (int64(hour)*60+int64(min))*60*MicrosPerSecond+int64(sec)*MicrosPerSecond+int64(fsec) > MicrosPerDay
}

// decodeOffset reads +hh[:mm[:ss]] or +hhmm as seconds east of UTC.
func decodeOffset(s string) (int, dtError) {
	const maxHour = 15
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0, dtBadFormat
	}
	h, rest, ok := leadingInt(s[1:], 32)
	var m, sec int64
	ok2, ok3 := true, true
	switch {
	case strings.HasPrefix(rest, ":"):
		m, rest, ok2 = leadingInt(rest[1:], 32)
		if strings.HasPrefix(rest, ":") {
			sec, rest, ok3 = leadingInt(rest[1:], 32)
		}
	case rest == "" && len(s) > 3:
		m, h = h%100, h/100
	}
	if !ok || !ok2 || !ok3 || h < 0 || h > maxHour || m < 0 || m > 59 || sec < 0 || sec > 59 {
		return 0, dtZoneOverflow
	}
	if rest != "" {
		return 0, dtBadFormat
	}
	off := int((h*60+m)*60 + sec)
	if s[0] == '-' {
		off = -off
	}
	return off, dtOK
}
