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
	c.days = floorDiv(ts, types.MicrosPerDay)
	day := civilOf(c.days)
	c.year, c.month, c.day = day.year, day.month, day.day
	c.clock(floorMod(ts, types.MicrosPerDay))
	f.open(i)
	for _, p := range f.template(i).parts {
		f.out.buf = c.append(f.out.buf, p)
	}
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
		neg := x < 0
		if neg && width > 0 {
			width++
		}
		start := len(dst)
		dst = fmt.Appendf(dst, "%0*d", width, x)
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

// numPicture is a number's picture.
type numPicture struct {
	src           string
	items         []byte // 9, 0, '.', ',', S, M (MI), P (PL), G (SG), or a literal after '"'
	pre, post     int    // digits before and after the point
	zeroAt        int    // position of the first 0 before the point, from the left; -1 if none
	fm, pr        bool
	sign          byte // S, M, P, G of the picture, or 0
	signFirst     bool
	point         bool
	lastFixedZero int // digits after the point that FM keeps
}

func parsePicture(src string) (*numPicture, error) {
	p := &numPicture{src: src, zeroAt: -1}
	bad := func(s string) error {
		return &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("number format \"%s\" is not supported yet", s)}
	}
	for k := 0; k < len(src); k++ {
		up := strings.ToUpper(src[k:])
		switch {
		case strings.HasPrefix(up, "FM"):
			p.fm = true
			k++
		case strings.HasPrefix(up, "MI"), strings.HasPrefix(up, "PL"), strings.HasPrefix(up, "SG"):
			p.sign = map[string]byte{"MI": 'M', "PL": 'P', "SG": 'G'}[up[:2]]
			p.items = append(p.items, p.sign)
			k++
		case strings.HasPrefix(up, "PR"):
			p.pr = true
			k++
		case strings.HasPrefix(up, "EEEE"), strings.HasPrefix(up, "RN"), strings.HasPrefix(up, "TH"), up[0] == 'V', up[0] == 'L':
			return nil, bad(src)
		case up[0] == 'S':
			p.sign, p.signFirst = 'S', p.pre == 0 && !p.point
			p.items = append(p.items, 'S')
		case up[0] == '.' || up[0] == 'D':
			if p.point {
				return nil, &types.Error{Code: types.CodeSyntax, Message: "multiple decimal points"}
			}
			p.point = true
			p.items = append(p.items, '.')
		case up[0] == ',' || up[0] == 'G':
			p.items = append(p.items, ',')
		case up[0] == '9' || up[0] == '0':
			if p.point {
				p.post++
				if up[0] == '0' {
					p.lastFixedZero = p.post
				}
			} else {
				if up[0] == '0' && p.zeroAt < 0 {
					p.zeroAt = p.pre
				}
				p.pre++
			}
			p.items = append(p.items, up[0])
		case up[0] == '"':
			end := strings.IndexByte(src[k+1:], '"')
			if end < 0 {
				end = len(src) - k - 1
			}
			for _, c := range []byte(src[k+1 : k+1+end]) {
				p.items = append(p.items, '"', c)
			}
			k += end + 1
		default:
			p.items = append(p.items, '"', src[k])
		}
	}
	return p, nil
}

func (f *frame) picture(i int) (*numPicture, error) {
	p, _ := f.memo.(*numPicture)
	if src := f.str(1, i); p == nil || p.src != string(src) {
		var err error
		if p, err = parsePicture(string(src)); err != nil {
			return nil, err
		}
		f.memo = p
	}
	return p, nil
}

func floatToChar(f *frame, i int) {
	x := f.float(0, i)
	f.tmp = f.tmp[:0]
	var d types.Decimal
	var err error
	switch {
	case f.from[0].Kind == types.Float4:
		d, err = types.DecFromFloat4(x, &f.tmp)
	default:
		d, err = types.DecFromFloat64(x, &f.tmp)
	}
	if err != nil {
		f.fail(i, err)
		return
	}
	numberToChar(f, i, d, f.tmp)
}

func numberToChar(f *frame, i int, d types.Decimal, arena []byte) {
	p, err := f.picture(i)
	if err != nil {
		f.fail(i, err)
		return
	}
	neg := d.IsFinite() && types.DecSign(d, arena) < 0
	var ints, fracs string
	if d.IsFinite() {
		var tmp []byte
		r, err := types.DecRound(d, arena, p.post, &tmp)
		if err != nil {
			f.fail(i, err)
			return
		}
		src := tmp
		if len(tmp) == 0 {
			src = arena
		}
		text := strings.TrimPrefix(string(types.AppendDecimal(nil, r, src)), "-")
		ints, fracs, _ = strings.Cut(text, ".")
		for len(fracs) < p.post {
			fracs += "0"
		}
		neg = neg && strings.Trim(ints+fracs, "0") != ""
		if ints = strings.TrimLeft(ints, "0"); len(ints) > p.pre {
			ints, fracs = strings.Repeat("#", p.pre), strings.Repeat("#", p.post)
		}
	} else {
		ints, fracs = strings.Repeat("#", p.pre), strings.Repeat("#", p.post)
	}
	f.open(i)
	f.out.buf = p.append(f.out.buf, ints, fracs, neg)
	f.close(i)
}

// append lays the digits out in the picture.
func (p *numPicture) append(dst []byte, ints, fracs string, neg bool) []byte {
	lead := p.pre - len(ints) // positions before the first digit
	if p.zeroAt >= 0 && p.zeroAt < lead {
		ints = strings.Repeat("0", lead-p.zeroAt) + ints
		lead = p.zeroAt
	}
	if ints == "" && p.pre > 0 && p.post == 0 {
		ints, lead = "0", lead-1
	}
	if p.fm {
		keep := max(p.lastFixedZero, len(strings.TrimRight(fracs, "0")))
		fracs = fracs[:keep]
	}
	signDone := p.sign != 0 && p.sign != 'S' || p.pre+p.post == 0
	sign := func() {
		if signDone {
			return
		}
		signDone = true
		switch {
		case p.pr && neg:
			dst = append(dst, '<')
		case p.sign == 'S' && neg, p.sign == 0 && !p.pr && neg:
			dst = append(dst, '-')
		case p.sign == 'S':
			dst = append(dst, '+')
		case !p.fm:
			dst = append(dst, ' ')
		}
	}
	if p.sign == 'S' && !p.signFirst {
		signDone = true
	}
	blank := func() {
		if !p.fm {
			dst = append(dst, ' ')
		}
	}
	pos, frac, started := 0, 0, false
	if p.pre == 0 {
		sign()
	}
	for k := 0; k < len(p.items); k++ {
		switch c := p.items[k]; c {
		case '9', '0':
			switch {
			case frac > 0: // after the point
				if frac-1 < len(fracs) {
					dst = append(dst, fracs[frac-1])
				}
				frac++
			case pos < lead:
				blank()
				pos++
			default:
				if !started {
					sign()
					started = true
				}
				dst = append(dst, ints[pos-lead])
				pos++
			}
			if pos == p.pre && !started && frac == 0 {
				sign()
				started = true
			}
		case ',':
			if started {
				dst = append(dst, ',')
			} else {
				blank()
			}
		case '.':
			if !started {
				sign()
				started = true
			}
			frac = 1
			dst = append(dst, '.')
		case 'S':
			if !p.signFirst {
				dst = append(dst, "+-"[b2u(neg)])
			}
		case 'M':
			if neg {
				dst = append(dst, '-')
			} else {
				blank()
			}
		case 'P':
			if !neg {
				dst = append(dst, '+')
			} else {
				blank()
			}
		case 'G':
			dst = append(dst, "+-"[b2u(neg)])
		case '"':
			k++
			dst = append(dst, p.items[k])
		}
	}
	if p.pr {
		if neg {
			dst = append(dst, '>')
		} else {
			blank()
		}
	}
	return dst
}

// toNumber keeps the digits, the sign and the point of the text.
func toNumber(f *frame, i int) {
	p, err := f.picture(i)
	if err != nil {
		f.fail(i, err)
		return
	}
	var b []byte
	neg := false
	digits, point := 0, false
	for _, c := range f.str(0, i) {
		switch {
		case c >= '0' && c <= '9':
			if !point && digits >= p.pre || point && digits >= p.pre+p.post {
				continue
			}
			digits++
			b = append(b, c)
		case c == '.' && !point && p.point:
			point, digits = true, p.pre
			b = append(b, c)
		case c == '-' || c == '<':
			neg = true
		}
	}
	if neg {
		b = append([]byte{'-'}, b...)
	}
	v, err := types.Parse(types.T(types.Numeric), string(b), types.Style{})
	if err != nil {
		f.fail(i, err)
		return
	}
	f.setValue(i, v)
}

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
