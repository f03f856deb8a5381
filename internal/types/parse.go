package types

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

func badText(k Kind, s string) *Error {
	return &Error{Code: CodeInvalidText, Message: `invalid input syntax for type ` + k.String() + `: "` + s + `"`}
}

func textOutOfRange(k Kind, s string) *Error {
	return &Error{Code: CodeOutOfRange, Message: `value "` + s + `" is out of range for type ` + k.String()}
}

const asciiSpace = " \t\n\r\v\f"

// Parse reads s as PostgreSQL's input function of t does, and applies t's
// modifier as an explicit read does: a varchar(n) that is too long is an error.
// Errors are *Error. The result never aliases s's bytes in another form.
func Parse(t Type, s string, st Style) (Value, error) {
	v, err := parse(t, s, &st)
	if err != nil || t.Mod == 0 {
		return v, err
	}
	return Coerce(v, t)
}

func parse(t Type, s string, st *Style) (Value, error) {
	v := Value{T: t}
	var err error
	switch t.Kind {
	case Bool:
		var b, ok bool
		if b, ok = ParseBool(s); !ok {
			return v, badText(Bool, s)
		}
		if b {
			v.I = 1
		}
	case Int2, Int4, Int8:
		v.I, err = parseInt(t.Kind, s)
	case Float4, Float8:
		v.F, err = parseFloat(t.Kind, s)
	case Numeric:
		var arena []byte
		v.D, err = parseDecimal([]byte(s), &arena)
		v.S = string(arena)
	case Unknown, Text, Varchar:
		v.S = s
	case Name:
		v.S = cutUTF8(s, MaxNameLen)
	case Char:
		v.S = s[:min(len(s), 1)]
	case Date:
		v.I, err = ParseDate(s, st)
	case Time:
		v.I, err = ParseTime(s, st)
	case Timestamp:
		v.I, err = ParseTimestamp(s, st)
	case TimestampTZ:
		v.I, err = ParseTimestampTZ(s, st)
	case Interval:
		v.V, err = ParseInterval(s, st)
	case Oid:
		v.I, err = parseOid(s)
	case Regclass:
		if v.I, err = parseOid(s); err != nil {
			if s == "-" {
				return v, nil
			}
			err = &Error{Code: CodeFeature, Message: `cannot look up the relation "` + s + `" here`}
		}
	case Bytea:
		v.S, err = parseBytea(s)
	case Array:
		return parseArray(t, s, st)
	case Void:
		v.Null = true
	case Record:
		return v, &Error{Code: CodeFeature, Message: "input of anonymous composite types is not implemented"}
	}
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// ParseBool reads PostgreSQL's spellings of booleans: any prefix of true, false,
// yes and no, on, off (two letters at least) and 1, 0, in any case.
func ParseBool(s string) (b, ok bool) {
	s = strings.ToLower(strings.Trim(s, asciiSpace))
	if s == "" {
		return false, false
	}
	switch s[0] {
	case 't':
		return true, strings.HasPrefix("true", s)
	case 'f':
		return false, strings.HasPrefix("false", s)
	case 'y':
		return true, strings.HasPrefix("yes", s)
	case 'n':
		return false, strings.HasPrefix("no", s)
	case 'o':
		if s == "on" {
			return true, true
		}
		return false, s == "of" || s == "off"
	case '1':
		return true, len(s) == 1
	case '0':
		return false, len(s) == 1
	}
	return false, false
}

// ParseIntBytes reads a decimal integer with an optional sign and nothing around
// it. ok is false for anything else, which Parse then judges.
func ParseIntBytes(b []byte) (x int64, ok bool) {
	i := 0
	neg := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		neg = b[0] == '-'
		i = 1
	}
	n := len(b) - i
	if n == 0 || n > 19 {
		return 0, false
	}
	var u uint64
	for ; i < len(b); i++ {
		c := b[i] - '0'
		if c > 9 {
			return 0, false
		}
		u = u*10 + uint64(c)
	}
	if neg {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u <= math.MaxInt64
}

func parseInt(k Kind, s string) (int64, error) {
	t := strings.Trim(s, asciiSpace)
	x, ok := ParseIntBytes([]byte(t))
	if !ok {
		var err error
		if x, err = strconv.ParseInt(t, 10, 64); err != nil {
			if ne := err.(*strconv.NumError); ne.Err == strconv.ErrRange {
				return 0, textOutOfRange(k, s)
			}
			return 0, badText(k, s)
		}
	}
	if _, err := CheckInt(k, x); err != nil {
		return 0, textOutOfRange(k, s)
	}
	return x, nil
}

// parseOid reads an oid: unsigned, though a negative one wraps as in PostgreSQL.
func parseOid(s string) (int64, error) {
	t := strings.Trim(s, asciiSpace)
	x, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		if ne := err.(*strconv.NumError); ne.Err == strconv.ErrRange {
			return 0, textOutOfRange(Oid, s)
		}
		return 0, badText(Oid, s)
	}
	if x != int64(uint32(x)) && x != int64(int32(x)) {
		return 0, textOutOfRange(Oid, s)
	}
	return int64(uint32(x)), nil
}

// ParseFloatBytes reads a decimal floating-point number of plain form, correctly
// rounded. ok is false for anything else (NaN, infinities, spaces, overflow).
func ParseFloatBytes(b []byte) (f float64, ok bool) {
	// At most 15 digits and a power of ten up to 22 are exact in float64.
	i, neg := 0, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		neg = b[0] == '-'
		i = 1
	}
	var u uint64
	digits, scale, point := 0, 0, false
	for ; i < len(b); i++ {
		c := b[i] - '0'
		if c > 9 {
			if b[i] == '.' && !point {
				point = true
				continue
			}
			return slowFloat(b)
		}
		u = u*10 + uint64(c)
		if digits++; digits > 15 {
			return slowFloat(b)
		}
		if point {
			scale++
		}
	}
	if digits == 0 {
		return 0, false
	}
	f = float64(u) / float64Pow10[scale]
	if neg {
		f = -f
	}
	return f, true
}

// slowFloat is ParseFloatBytes for long numbers and exponents.
func slowFloat(b []byte) (float64, bool) {
	for _, c := range b {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c|0x20 != 'e' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f == 0 && mantissaNotZero(b) {
		return 0, false
	}
	return f, true
}

// mantissaNotZero reports whether a number's digits before the exponent are not all 0.
func mantissaNotZero(b []byte) bool {
	for _, c := range b {
		if c|0x20 == 'e' {
			return false
		}
		if c >= '1' && c <= '9' {
			return true
		}
	}
	return false
}

func parseFloat(k Kind, s string) (float64, error) {
	t := strings.Trim(s, asciiSpace)
	if k == Float8 {
		if f, ok := ParseFloatBytes([]byte(t)); ok {
			return f, nil
		}
	}
	switch strings.ToLower(t) {
	case "nan":
		return math.NaN(), nil
	case "infinity", "+infinity", "inf", "+inf":
		return math.Inf(1), nil
	case "-infinity", "-inf":
		return math.Inf(-1), nil
	}
	bits := 64
	if k == Float4 {
		bits = 32
	}
	if t == "" || strings.Contains(t, "_") || !isHexFloat(t) && strings.ContainsAny(t, "iInNxXpP") {
		return 0, badText(k, s)
	}
	if isHexFloat(t) && !strings.ContainsAny(t, "pP") {
		t += "p0" // C allows a hexadecimal number without exponent
	}
	f, err := strconv.ParseFloat(t, bits)
	if err != nil {
		if ne := err.(*strconv.NumError); ne.Err == strconv.ErrRange {
			return 0, floatTextOutOfRange(k, t)
		}
		return 0, badText(k, s)
	}
	if f == 0 && mantissaNotZero([]byte(t)) {
		return 0, floatTextOutOfRange(k, t)
	}
	return f, nil
}

func isHexFloat(t string) bool {
	t = strings.TrimLeft(t, "+-")
	return len(t) > 2 && t[0] == '0' && t[1]|0x20 == 'x'
}

func floatTextOutOfRange(k Kind, s string) *Error {
	return &Error{Code: CodeOutOfRange, Message: `"` + s + `" is out of range for type ` + k.String()}
}

// cutUTF8 cuts s to at most n bytes at a rune's boundary.
func cutUTF8(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

func parseBytea(s string) (string, error) {
	if strings.HasPrefix(s, `\x`) {
		return parseHexBytea(s[2:])
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		switch rest := s[i+1:]; {
		case len(rest) >= 1 && rest[0] == '\\':
			b = append(b, '\\')
			i++
		case len(rest) >= 3 && rest[0] >= '0' && rest[0] <= '3' && rest[1] >= '0' && rest[1] <= '7' && rest[2] >= '0' && rest[2] <= '7':
			b = append(b, (rest[0]-'0')<<6|(rest[1]-'0')<<3|(rest[2]-'0'))
			i += 3
		default:
			return "", &Error{Code: CodeInvalidText, Message: "invalid input syntax for type bytea"}
		}
	}
	return string(b), nil
}

// parseHexBytea reads pairs of hexadecimal digits with spaces between the pairs.
func parseHexBytea(s string) (string, error) {
	b := make([]byte, 0, len(s)/2)
	for i := 0; i < len(s); {
		if strings.IndexByte(" \n\t\r", s[i]) >= 0 {
			i++
			continue
		}
		pair := s[i:min(i+2, len(s))]
		for j := range len(pair) {
			if !isDigit(pair[j]) && (pair[j]|0x20 < 'a' || pair[j]|0x20 > 'f') {
				bad := cutUTF8(s[i+j:], utf8.UTFMax)
				_, size := utf8.DecodeRuneInString(bad)
				return "", &Error{Code: CodeInvalidParameter, Message: `invalid hexadecimal digit: "` + bad[:size] + `"`}
			}
		}
		if len(pair) < 2 {
			return "", &Error{Code: CodeInvalidParameter, Message: "invalid hexadecimal data: odd number of digits"}
		}
		b, _ = hex.AppendDecode(b, []byte(pair))
		i += 2
	}
	return string(b), nil
}
