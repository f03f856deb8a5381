package expr

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

func formatKernels(m map[string]kernels) {
	row := func(sig string, r rowKernel) { m[sig] = kernels{row: r} }
	row("to_char(timestamp,text)", func(f *frame, i int) { stampToChar(f, i, f.int(0, i), false) })
	row("to_char(timestamptz,text)", func(f *frame, i int) { stampToChar(f, i, f.int(0, i), true) })
	row("to_char(interval,text)", intervalToChar)
	row("to_char(int4,text)", func(f *frame, i int) { numberToChar(f, i, types.DecFromInt64(f.int(0, i)), nil) })
	row("to_char(int8,text)", func(f *frame, i int) { numberToChar(f, i, types.DecFromInt64(f.int(0, i)), nil) })
	row("to_char(numeric,text)", func(f *frame, i int) {
		d, a := f.dec(0, i)
		numberToChar(f, i, d, a)
	})
	row("to_char(float8,text)", floatToChar)
	row("to_char(float4,text)", floatToChar)
	row("to_date", func(f *frame, i int) {
		if ts, ok := f.fromTemplate(i); ok {
			f.setInt(i, floorDiv(ts, types.MicrosPerDay))
		}
	})
	row("to_timestamp(text,text)", func(f *frame, i int) {
		if ts, ok := f.fromTemplate(i); ok {
			f.setInt(i, fromLocal(ts, f.r.ctx.Zone))
		}
	})
	row("to_number", toNumber)
}

// template is a format picture cut into its parts, kept from row to row.
type template struct {
	src   string
	parts []part
	// unit is the finest unit of time that the picture shows, in microseconds, or 0
	// where the text of a timestamp depends on more. Rows tend to follow each other in
	// time, so the text of the last one is kept: last is that of unit number at.
	unit int64
	at   int64
	last []byte
}

// part is a keyword, or literal text.
type part struct {
	key  string // in upper case; "" for literal text
	text string // as written
	fm   bool   // fill mode: no padding
	th   string // th or TH
}

var timeKeys = []string{ // longest first where one begins another
	"SSSSS", "SSSS", "Y,YYY", "YYYY", "YYY", "YY", "IYYY", "IYY", "IY", "IDDD", "ID", "IW", "HH24", "HH12", "HH", "MI", "MONTH", "MON", "MM", "MS", "SS", "US",
	"FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "A.M.", "P.M.", "AM", "PM", "B.C.", "A.D.", "BC", "AD", "DAY", "DDD", "DD", "DY",
	"D", "WW", "W", "CC", "J", "Q", "RM", "TZH", "TZM", "TZ", "OF", "Y", "I",
}

func (f *frame) template(i int) *template {
	t, _ := f.memo.(*template)
	if src := f.str(1, i); t == nil || t.src != string(src) {
		t = parseTemplate(string(src))
		f.memo = t
	}
	return t
}

// unitOf returns template.unit of parts.
func unitOf(parts []part) int64 {
	unit := int64(types.MicrosPerDay)
	for _, p := range parts {
		switch p.key {
		case "HH", "HH12", "HH24", "AM", "PM", "A.M.", "P.M.":
			unit = min(unit, types.MicrosPerHour)
		case "MI":
			unit = min(unit, types.MicrosPerMinute)
		case "SS", "SSSS", "SSSSS":
			unit = min(unit, types.MicrosPerSecond)
		case "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "TZ", "TZH", "TZM", "OF":
			return 0
		}
	}
	return unit
}

func parseTemplate(src string) *template {
	t := &template{src: src}
	fm := false
scan:
	for k := 0; k < len(src); {
		rest := src[k:]
		if len(rest) >= 2 && strings.EqualFold(rest[:2], "FM") {
			fm = true
			k += 2
			continue
		}
		if rest[0] == '"' {
			end := 1
			var b strings.Builder
			for end < len(rest) && rest[end] != '"' {
				if rest[end] == '\\' && end+1 < len(rest) {
					end++
				}
				b.WriteByte(rest[end])
				end++
			}
			t.parts = append(t.parts, part{text: b.String()})
			k += min(end+1, len(rest))
			continue
		}
		for _, key := range timeKeys {
			if len(rest) >= len(key) && strings.EqualFold(rest[:len(key)], key) {
				p := part{key: key, text: rest[:len(key)], fm: fm}
				fm = false
				k += len(key)
				if k+2 <= len(src) && strings.EqualFold(src[k:k+2], "TH") {
					p.th = src[k : k+2]
					k += 2
				}
				t.parts = append(t.parts, p)
				continue scan
			}
		}
		if rest[0] == '\\' && len(rest) > 1 && rest[1] == '"' {
			k++
			rest = rest[1:]
		}
		t.parts = append(t.parts, part{text: rest[:1]})
		k++
	}
	t.unit = unitOf(t.parts)
	return t
}

var monthNames = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
var dayNames = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
var romanMonths = [...]string{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"}

// cased writes a name in the case its keyword was written in.
func cased(name, as string) string {
	switch {
	case as == strings.ToUpper(as):
		return strings.ToUpper(name)
	case as[0] >= 'a' && as[0] <= 'z':
		return strings.ToLower(name)
	}
	return name
}

// clockParts is what a picture can show.
type clockParts struct {
	year           int64
	month, day     int
	hour           int64
	minute, second int64
	micros         int64 // below a second
	days           int64 // since 2000-01-01
	date           bool  // it is a date, not an interval
	zone           string
	offset         int
}

func stampToChar(f *frame, i int, ts int64, zoned bool) {
	if infinite(ts) || len(f.str(1, i)) == 0 {
		f.setNull(i)
		return
	}
	c := clockParts{date: true}
	if zoned {
		c.zone = "UTC"
		if f.r.ctx.Zone != nil {
			c.zone, c.offset = types.ZoneOffset(ts, f.r.ctx.Zone)
		}
		ts += int64(c.offset) * types.MicrosPerSecond
	}
	t := f.template(i)
	f.open(i)
	if t.unit == 0 || t.last == nil || floorDiv(ts, t.unit) != t.at {
		c.days = floorDiv(ts, types.MicrosPerDay)
		day := civilOf(c.days)
		c.year, c.month, c.day = day.year, day.month, day.day
		c.clock(floorMod(ts, types.MicrosPerDay))
		t.last = t.last[:0]
		for _, p := range t.parts {
			t.last = c.append(t.last, p)
		}
		if t.unit > 0 {
			t.at = floorDiv(ts, t.unit)
		}
	}
	f.out.buf = append(f.out.buf, t.last...)
	f.close(i)
}

func (c *clockParts) clock(us int64) {
	c.hour, c.minute = us/types.MicrosPerHour, us/types.MicrosPerMinute%60
	c.second, c.micros = us/types.MicrosPerSecond%60, us%types.MicrosPerSecond
}

func intervalToChar(f *frame, i int) {
	v := f.ivl(0, i)
	c := clockParts{year: int64(v.Months / 12), month: int(v.Months % 12), day: int(v.Days), days: int64(v.Months)*30 + int64(v.Days)}
	c.clock(v.Micros)
	f.open(i)
	for _, p := range f.template(i).parts {
		f.out.buf = c.append(f.out.buf, p)
	}
	f.close(i)
}

// append writes one part of a picture.
func (c *clockParts) append(dst []byte, p part) []byte {
	if p.key == "" {
		return append(dst, p.text...)
	}
	num := func(x int64, width int) []byte {
		if p.fm {
			width = 0
		}
		start := len(dst)
		var buf [20]byte
		digits := strconv.AppendInt(buf[:0], x, 10)
		if x < 0 {
			dst, digits = append(dst, '-'), digits[1:]
		}
		for n := len(digits); n < width; n++ {
			dst = append(dst, '0')
		}
		dst = append(dst, digits...)
		if p.th != "" {
			dst = append(dst, ordinal(string(dst[start:]), p.th)...)
		}
		return dst
	}
	word := func(name string, width int) []byte {
		name = cased(name, p.text)
		dst = append(dst, name...)
		for n := len(name); n < width && !p.fm; n++ {
			dst = append(dst, ' ')
		}
		return dst
	}
	year := c.year
	if c.date && year <= 0 {
		year = 1 - year
	}
	switch p.key {
	case "HH", "HH12":
		h := c.hour % 12
		if h == 0 {
			h = 12
		}
		return num(h, 2)
	case "HH24":
		return num(c.hour, 2)
	case "MI":
		return num(c.minute, 2)
	case "SS":
		return num(c.second, 2)
	case "MS", "FF3":
		return num(c.micros/1000, 3)
	case "US", "FF6":
		return num(c.micros, 6)
	case "FF1", "FF2", "FF4", "FF5":
		n := int(p.key[2] - '0')
		return num(c.micros/int64(math.Pow10(6-n)), n)
	case "SSSS", "SSSSS":
		return num(c.hour*3600+c.minute*60+c.second, 0)
	case "AM", "PM", "A.M.", "P.M.":
		s := "AM"
		if c.hour%24 >= 12 {
			s = "PM"
		}
		if len(p.key) == 4 {
			s = s[:1] + ".M."
		}
		return append(dst, cased(s, p.text)...)
	case "Y,YYY":
		return fmt.Appendf(dst, "%d,%03d", year/1000, year%1000)
	case "YYYY":
		return num(year, 4)
	case "YYY":
		return num(year%1000, 3)
	case "YY":
		return num(year%100, 2)
	case "Y":
		return num(year%10, 1)
	case "MM":
		return num(int64(c.month), 2)
	case "DD":
		return num(int64(c.day), 2)
	case "CC":
		x, _, _ := field(unitCentury, civil{c.year, 1, 1}.days(), 0)
		return num(x, 2)
	case "TZ":
		return append(dst, cased(c.zone, p.text)...)
	case "TZH":
		return fmt.Appendf(dst, "%c%02d", "+-"[b2u(c.offset < 0)], max(c.offset, -c.offset)/3600)
	case "TZM":
		return fmt.Appendf(dst, "%02d", max(c.offset, -c.offset)/60%60)
	case "OF":
		a := max(c.offset, -c.offset)
		dst = fmt.Appendf(dst, "%c%02d", "+-"[b2u(c.offset < 0)], a/3600)
		if a/60%60 != 0 {
			dst = fmt.Appendf(dst, ":%02d", a/60%60)
		}
		return dst
	case "BC", "AD", "B.C.", "A.D.":
		s := "AD"
		if c.year <= 0 {
			s = "BC"
		}
		if len(p.key) == 4 {
			s = s[:1] + "." + s[1:] + "."
		}
		return append(dst, cased(s, p.text)...)
	}
	if !c.date && c.month == 0 && (p.key == "MONTH" || p.key == "MON" || p.key == "RM") {
		return dst
	}
	return c.appendCalendar(dst, p, num, word)
}

// appendCalendar writes the parts that need a date.
func (c *clockParts) appendCalendar(dst []byte, p part, num func(int64, int) []byte, word func(string, int) []byte) []byte {
	dow := floorMod(c.days+6, 7)
	doy := c.days - civil{c.year, 1, 1}.days() + 1
	isoYear, isoW := isoWeek(c.days)
	switch p.key {
	case "MONTH":
		return word(monthNames[c.month-1], 9)
	case "MON":
		return word(monthNames[c.month-1][:3], 0)
	case "DAY":
		return word(dayNames[dow], 9)
	case "DY":
		return word(dayNames[dow][:3], 0)
	case "D":
		return num(dow+1, 1)
	case "ID":
		return num(floorMod(dow+6, 7)+1, 1)
	case "DDD":
		return num(doy, 3)
	case "IDDD":
		first := civil{isoYear, 1, 4}.days()
		return num(c.days-(first-floorMod(first+5, 7))+1, 3)
	case "WW":
		return num((doy-1)/7+1, 2)
	case "W":
		return num(int64(c.day-1)/7+1, 1)
	case "IW":
		return num(int64(isoW), 2)
	case "IYYY":
		return num(isoYear, 4)
	case "IYY":
		return num(isoYear%1000, 3)
	case "IY":
		return num(isoYear%100, 2)
	case "I":
		return num(isoYear%10, 1)
	case "J":
		return num(c.days+julianOf2000, 0)
	case "Q":
		return num(int64(c.month-1)/3+1, 1)
	case "RM":
		return word(romanMonths[c.month-1], 4)
	}
	return append(dst, p.text...)
}

func ordinal(digits, th string) string {
	s := "th"
	if n := len(digits); n < 2 || digits[n-2] != '1' {
		switch digits[n-1] {
		case '1':
			s = "st"
		case '2':
			s = "nd"
		case '3':
			s = "rd"
		}
	}
	return cased(s, th)
}
