package expr

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

// fromTemplate reads argument 0 by the picture in argument 1: a local time.
func (f *frame) fromTemplate(i int) (int64, bool) {
	s := string(f.str(0, i))
	bad := func(code, format string, args ...any) (int64, bool) {
		f.failf(i, code, fmt.Sprintf(format, args...))
		return 0, false
	}
	year, month, day, doy, bc := int64(0), int64(1), int64(1), int64(0), false
	hour, minute, second, micros, julian := int64(0), int64(0), int64(0), int64(0), int64(-1)
	pm, am, hasYear := false, false, false
	parts := f.template(i).parts
	for k, p := range parts {
		if p.key == "" {
			if p.text == " " || strings.ContainsAny(p.text, "-/.,:;") && len(p.text) == 1 {
				s = strings.TrimLeft(s, " ")
				if s != "" && p.text != " " && strings.IndexByte("-/.,:;", s[0]) >= 0 {
					s = s[1:]
				}
			} else {
				s = s[min(len(p.text), len(s)):]
			}
			continue
		}
		s = strings.TrimLeft(s, " ")
		switch p.key {
		case "MONTH", "MON":
			n, m := 0, 0
			for j, name := range monthNames {
				switch {
				case len(s) >= len(name) && strings.EqualFold(s[:len(name)], name) && p.key == "MONTH":
					n, m = len(name), j+1
				case m == 0 && len(s) >= 3 && strings.EqualFold(s[:3], name[:3]) && p.key == "MON":
					n, m = 3, j+1
				}
			}
			if m == 0 {
				return bad(types.CodeInvalidDatetime, "invalid value \"%s\" for \"%s\"", s, p.text)
			}
			month, s = int64(m), s[n:]
			continue
		case "DAY", "DY":
			n := 0
			for n < len(s) && (s[n]|32 >= 'a' && s[n]|32 <= 'z') {
				n++
			}
			s = s[n:]
			continue
		case "AM", "PM", "A.M.", "P.M.", "BC", "AD", "B.C.", "A.D.":
			if len(s) < len(p.key) {
				continue
			}
			switch s[0] | 32 {
			case 'p':
				pm = true
			case 'a':
				am = p.key[0] == 'A' && strings.HasSuffix(strings.ReplaceAll(p.key, ".", ""), "M") || p.key[0] == 'P'
			case 'b':
				bc = true
			}
			s = s[len(p.key):]
			continue
		case "TZ", "OF", "TZH", "TZM":
			return bad(types.CodeFeature, "formatting field \"%s\" is only supported in to_char", p.text)
		}
		width := map[string]int{"YYYY": 4, "YYY": 3, "YY": 2, "Y": 1, "MM": 2, "DD": 2, "DDD": 3, "HH": 2, "HH12": 2, "HH24": 2, "MI": 2, "SS": 2,
			"MS": 3, "US": 6, "J": 7, "FF1": 1, "FF2": 2, "FF3": 3, "FF4": 4, "FF5": 5, "FF6": 6, "SSSS": 5, "SSSSS": 5}[p.key]
		if width == 0 {
			return bad(types.CodeFeature, "date format \"%s\" is not supported yet for reading", p.text)
		}
		if p.fm || k+1 >= len(parts) || parts[k+1].key == "" { // the number ends by itself
			width = max(width, len(s))
		}
		n := 0
		if n < len(s) && (s[n] == '-' || s[n] == '+') && p.key[0] == 'Y' {
			n++
		}
		for n < len(s) && n < width && s[n] >= '0' && s[n] <= '9' && n < 12 {
			n++
		}
		x, err := strconv.ParseInt(s[:n], 10, 64)
		if err != nil {
			return bad(types.CodeInvalidDatetime, "invalid value \"%s\" for \"%s\"", s, p.text)
		}
		fraction := func(full int) int64 { return int64(float64(x) * math.Pow10(full-n)) }
		s = s[n:]
		switch p.key {
		case "YYYY":
			year, hasYear = x, true
		case "YYY", "YY", "Y":
			hasYear = true
			switch {
			case n >= 4:
			case x < 70:
				x += 2000
			case x < 100:
				x += 1900
			case x < 520:
				x += 2000
			case x < 1000:
				x += 1000
			}
			year = x
		case "MM":
			month = x
		case "DD":
			day = x
		case "DDD":
			doy = x
		case "HH", "HH12", "HH24":
			hour = x
			if p.key != "HH24" && (x < 1 || x > 12) {
				return bad(types.CodeInvalidDatetime, "hour \"%d\" is invalid for the 12-hour clock", x)
			}
			if p.key != "HH24" {
				am = true
			}
		case "MI":
			minute = x
		case "SS":
			second = x
		case "SSSS", "SSSSS":
			hour, minute, second = x/3600, x/60%60, x%60
		case "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6":
			micros = fraction(6)
		case "J":
			julian = x
		}
	}
	if pm && hour < 12 {
		hour += 12
	} else if am && !pm && hour == 12 {
		hour = 0
	}
	if bc && hasYear {
		year = -year
	}
	if year == 0 {
		year = -1
	}
	if hour > 23 || minute > 59 || second > 59 || hour < 0 {
		return bad(types.CodeDatetimeOverflow, "date/time field value out of range: \"%s\"", f.str(0, i))
	}
	d, ok := dayOf(year, month, day)
	if doy > 0 && ok {
		y := civilOf(d).year
		d, ok = civil{y, 1, 1}.days()+doy-1, doy <= 366
	}
	if julian >= 0 {
		d, ok = julian-julianOf2000, true
	}
	if !ok || !types.ValidTimestamp(d*types.MicrosPerDay) {
		return bad(types.CodeDatetimeOverflow, "date/time field value out of range: \"%s\"", f.str(0, i))
	}
	return d*types.MicrosPerDay + hour*types.MicrosPerHour + minute*types.MicrosPerMinute + second*types.MicrosPerSecond + micros, true
}
