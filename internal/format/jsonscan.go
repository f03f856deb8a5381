package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/types"
)

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// skipSpace returns the place of the first byte from p on that is not white space.
func skipSpace(b []byte, p int) int {
	for p < len(b) && isSpace(b[p]) {
		p++
	}
	return p
}

func syntaxError(b []byte, p int, want string) error {
	switch {
	case p >= len(b):
		return fmt.Errorf("invalid JSON: record ends at byte %d, want %s", p, want)
	case b[p] >= utf8.RuneSelf:
		return fmt.Errorf("invalid JSON: byte 0x%02x at byte %d, want %s", b[p], p, want)
	}
	return fmt.Errorf("invalid JSON: %q at byte %d, want %s", rune(b[p]), p, want)
}

// scanValue finds the value that begins at p, sets s to it and returns where it ends.
func scanValue(b []byte, p int, s *span) (int, error) {
	if p >= len(b) {
		return 0, syntaxError(b, p, "value")
	}
	switch c := b[p]; {
	case c == '"':
		end, esc, err := scanString(b, p+1)
		s.start, s.end, s.kind = int32(p+1), int32(end), plain
		if esc {
			s.kind = escaped
		}
		return end + 1, err
	case c == '-' || c-'0' <= 9:
		return scanNumber(b, p, s)
	case c == '{' || c == '[':
		end, err := skipValue(b, p, 0)
		s.start, s.end, s.kind = int32(p), int32(end), nested
		return end, err
	case c == 't':
		return scanWord(b, p, "true", boolean, s)
	case c == 'f':
		return scanWord(b, p, "false", boolean, s)
	case c == 'n':
		return scanWord(b, p, "null", null, s)
	}
	return 0, syntaxError(b, p, "value")
}

func scanWord(b []byte, p int, word string, k kind, s *span) (int, error) {
	end := p + len(word)
	if end > len(b) || string(b[p:end]) != word {
		return 0, syntaxError(b, p, "value")
	}
	s.start, s.end, s.kind = int32(p), int32(end), k
	return end, nil
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stringStop has the high bit set in the lowest byte of w that is a quote, a
// backslash or a control character; bits above it may be set wrongly.
func stringStop(w uint64) uint64 {
	quote := w ^ lows*'"'
	slash := w ^ lows*'\\'
	return ((quote-lows)&^quote | (slash-lows)&^slash | (w-lows*0x20)&^w) & highs
}

// scanString finds the closing quote of the string whose text begins at start,
// and checks that the text is UTF-8 and its escapes are JSON's.
func scanString(b []byte, start int) (end int, esc bool, err error) {
	p := start
	var seen uint64 // all bytes or-ed, to find out whether one is not ASCII
	for {
		for p+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[p:])
			stop := stringStop(w)
			if stop != 0 {
				low := stop & -stop // the high bit of the byte that stops
				seen |= w & (low - 1)
				p += bits.TrailingZeros64(stop) >> 3
				break
			}
			seen |= w
			p += 8
		}
		if p >= len(b) {
			return 0, false, syntaxError(b, p, "end of string")
		}
		switch c := b[p]; {
		case c == '"':
			if seen&highs != 0 && !utf8.Valid(b[start:p]) {
				return 0, false, fmt.Errorf("invalid UTF-8 in the string at byte %d", start-1)
			}
			return p, esc, nil
		case c == '\\':
			esc = true
			n, err := scanEscape(b, p)
			if err != nil {
				return 0, false, err
			}
			p += n
		case c < 0x20:
			return 0, false, syntaxError(b, p, "no control character in a string")
		default:
			seen |= uint64(c)
			p++
		}
	}
}

// scanEscape checks the escape at p and returns its length.
func scanEscape(b []byte, p int) (int, error) {
	if p+1 >= len(b) {
		return 0, syntaxError(b, len(b), "end of string")
	}
	switch b[p+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		if _, ok := hex4(b, p); ok {
			return 6, nil
		}
		return 0, fmt.Errorf("invalid JSON: \\u at byte %d wants four hexadecimal digits", p)
	}
	return 0, syntaxError(b, p+1, "escape")
}

// maxShortDigits is how many digits fit int64 whatever they are.
const maxShortDigits = 18

// scanNumber sets s to the number at p and returns where it ends.
func scanNumber(b []byte, p int, s *span) (int, error) {
	start := p
	if b[p] == '-' {
		p++
	}
	lead := p
	var num uint64
	for p < len(b) && b[p]-'0' <= 9 {
		num = num*10 + uint64(b[p]-'0')
		p++
	}
	if p == lead || b[lead] == '0' && p > lead+1 {
		return 0, syntaxError(b, start, "number")
	}
	s.kind = number
	switch {
	case p < len(b) && (b[p] == '.' || b[p]|0x20 == 'e'):
		var err error
		if p, err = scanFraction(b, p); err != nil {
			return 0, err
		}
	case p-lead <= maxShortDigits:
		s.kind = integer
		s.num = int64(num)
		if lead > start {
			s.num = -s.num
		}
	default:
		if i, ok := types.ParseIntBytes(b[start:p]); ok {
			s.kind, s.num = integer, i
		}
	}
	s.start, s.end = int32(start), int32(p)
	return p, nil
}

// scanFraction finds the end of a number's fraction and exponent, at p.
func scanFraction(b []byte, p int) (int, error) {
	digits := func() bool {
		from := p
		for p < len(b) && b[p]-'0' <= 9 {
			p++
		}
		return p > from
	}
	if b[p] == '.' {
		p++
		if !digits() {
			return 0, syntaxError(b, p, "digit")
		}
	}
	if p < len(b) && b[p]|0x20 == 'e' {
		p++
		if p < len(b) && (b[p] == '+' || b[p] == '-') {
			p++
		}
		if !digits() {
			return 0, syntaxError(b, p, "digit")
		}
	}
	return p, nil
}

// skipValue checks the value that begins at p and returns where it ends.
func skipValue(b []byte, p, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("invalid JSON: nested more than %d deep at byte %d", maxDepth, p)
	}
	if p >= len(b) || b[p] != '{' && b[p] != '[' {
		var s span
		return scanValue(b, p, &s)
	}
	object := b[p] == '{'
	closing := byte(']')
	if object {
		closing = '}'
	}
	p = skipSpace(b, p+1)
	if p < len(b) && b[p] == closing {
		return p + 1, nil
	}
	for {
		if object {
			if p >= len(b) || b[p] != '"' {
				return 0, syntaxError(b, p, "member name")
			}
			end, _, err := scanString(b, p+1)
			if err != nil {
				return 0, err
			}
			if p = skipSpace(b, end+1); p >= len(b) || b[p] != ':' {
				return 0, syntaxError(b, p, "':'")
			}
			p = skipSpace(b, p+1)
		}
		end, err := skipValue(b, p, depth+1)
		if err != nil {
			return 0, err
		}
		p = skipSpace(b, end)
		switch {
		case p < len(b) && b[p] == ',':
			p = skipSpace(b, p+1)
		case p < len(b) && b[p] == closing:
			return p + 1, nil
		default:
			return 0, syntaxError(b, p, fmt.Sprintf("',' or %q", rune(closing)))
		}
	}
}

// balanced returns where the broken value that begins at p seems to end: behind
// the bracket that closes its first one, or p if there is none.
func balanced(b []byte, p int) int {
	depth := 0
	for i := p; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return p
}

var errNul = errors.New(`invalid JSON: \u0000 cannot be converted to text`)

// unescape appends the text that a JSON string's inside stands for.
func unescape(dst, s []byte) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			continue
		}
		i++
		switch s[i] {
		case '"', '\\', '/':
			dst = append(dst, s[i])
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n, err := escapedRune(s, i-1)
			if err != nil {
				return nil, err
			}
			dst = utf8.AppendRune(dst, r)
			i += n - 2
		default:
			return nil, fmt.Errorf("invalid JSON: escape \\%c in a string", s[i])
		}
	}
	return dst, nil
}

// escapedRune reads \uXXXX at i, or a surrogate pair of them: the rune and the
// bytes it took.
func escapedRune(s []byte, i int) (rune, int, error) {
	r, ok := hex4(s, i)
	switch {
	case !ok:
		return 0, 0, errors.New(`invalid JSON: \u wants four hexadecimal digits`)
	case r == 0:
		return 0, 0, errNul
	case !utf16.IsSurrogate(r):
		return r, 6, nil
	}
	if low, ok := hex4(s, i+6); ok {
		if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
			return full, 12, nil
		}
	}
	return 0, 0, errors.New("invalid JSON: half of a surrogate pair")
}

func hex4(s []byte, i int) (rune, bool) {
	if i+6 > len(s) || s[i] != '\\' || s[i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s[i+2 : i+6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
