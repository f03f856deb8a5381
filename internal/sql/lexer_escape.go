package sql

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// escapeString reads E'..' with its escapes, over continuation lines.
func (l *lexer) escapeString(start int) (token, *Error) {
	var b []byte
	var high rune // first half of a surrogate pair
	hexSeen := false
	i := start + 2
	for i < len(l.src) {
		c := l.src[i]
		if high != 0 && !(c == '\\' && (l.at(i+1) == 'u' || l.at(i+1) == 'U')) {
			return token{}, l.errAt("invalid Unicode surrogate pair", i, l.runeEnd(i))
		}
		if c == '\'' {
			if l.at(i+1) == '\'' {
				b = append(b, '\'')
				i += 2
				continue
			}
			if next, more := l.continued(i + 1); more {
				i = next
				continue
			}
			l.off = i + 1
			if hexSeen && (!utf8.Valid(b) || strings.IndexByte(string(b), 0) >= 0) {
				return token{}, invalidEncoding(b, start)
			}
			return token{kind: tokString, pos: start, end: l.off, text: string(b)}, nil
		}
		if c != '\\' {
			b = append(b, c)
			i++
			continue
		}
		if i+1 >= len(l.src) {
			break
		}
		e := l.src[i+1]
		switch {
		case e == 'u' || e == 'U':
			r, n, err := l.unicodeEscape(i, e)
			if err != nil {
				return token{}, err
			}
			if b, high, err = l.appendRune(b, high, r, i, i+n); err != nil {
				return token{}, err
			}
			i += n
		case e >= '0' && e <= '7':
			v, n := 0, 1
			for ; n <= 3 && l.at(i+n) >= '0' && l.at(i+n) <= '7'; n++ {
				v = v*8 + int(l.at(i+n)-'0')
			}
			b, hexSeen = append(b, byte(v)), true
			i += n
		case e == 'x' && hexVal(l.at(i+2)) >= 0:
			v, n := hexVal(l.at(i+2)), 3
			if h := hexVal(l.at(i + 3)); h >= 0 {
				v, n = v*16+h, 4
			}
			b, hexSeen = append(b, byte(v)), true
			i += n
		default:
			b = append(b, unescapeByte(e))
			i += 2
		}
	}
	return token{}, l.errAt("unterminated quoted string", start, len(l.src))
}

func unescapeByte(e byte) byte {
	switch e {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	}
	return e
}

// unicodeEscape reads \uXXXX or \UXXXXXXXX at i and returns its value and length.
func (l *lexer) unicodeEscape(i int, e byte) (rune, int, *Error) {
	digits := 4
	if e == 'U' {
		digits = 8
	}
	r, ok := l.hexDigits(i+2, digits)
	if !ok {
		return 0, 0, &Error{Code: "22025", Message: "invalid Unicode escape", Pos: i,
			Hint: `Unicode escapes must be \uXXXX or \UXXXXXXXX.`}
	}
	return r, 2 + digits, nil
}

// hexDigits reads exactly n hexadecimal digits at i.
func (l *lexer) hexDigits(i, n int) (rune, bool) {
	var v uint32
	for k := range n {
		h := hexVal(l.at(i + k))
		if h < 0 {
			return 0, false
		}
		v = v<<4 | uint32(h)
	}
	if v > 0x7fffffff {
		v = 0x7fffffff // not a character either; keeps the sign
	}
	return rune(v), true
}

// appendRune appends an escaped character; high is the pending first half of a surrogate pair, returned anew.
func (l *lexer) appendRune(b []byte, high, r rune, pos, end int) ([]byte, rune, *Error) {
	switch {
	case high != 0 && r >= 0xdc00 && r <= 0xdfff:
		return utf8.AppendRune(b, 0x10000+(high-0xd800)<<10+(r-0xdc00)), 0, nil
	case high != 0 || r >= 0xdc00 && r <= 0xdfff:
		return nil, 0, l.errAt("invalid Unicode surrogate pair", pos, min(end, len(l.src)))
	case r >= 0xd800 && r <= 0xdbff:
		return b, r, nil
	case r == 0 || r > utf8.MaxRune:
		return nil, 0, l.errAt("invalid Unicode escape value", pos, min(end, len(l.src)))
	}
	return utf8.AppendRune(b, r), 0, nil
}

func hexVal(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unicodeString reads U&'..' and a UESCAPE behind it.
func (l *lexer) unicodeString(start int) (token, *Error) {
	text, err := l.rawString(start, start+3, "quoted string")
	if err != nil {
		return token{}, err
	}
	if text, err = l.unescapeUnicode(text, start+3); err != nil {
		return token{}, err
	}
	return token{kind: tokString, pos: start, end: l.off, text: text}, nil
}

// unescapeUnicode resolves \XXXX and \+XXXXXX in a U& string or identifier that was just read, with the escape character of
// a UESCAPE clause if one follows. Positions of errors are body plus the offset in the content.
func (l *lexer) unescapeUnicode(text string, body int) (string, *Error) {
	esc, err := l.uescape()
	if err != nil {
		return "", err
	}
	if strings.IndexByte(text, esc) < 0 {
		return text, nil
	}
	var b []byte
	var high rune
	in := lexer{src: text}
	for i := 0; i < len(text); {
		if text[i] != esc || in.at(i+1) == esc {
			if high != 0 {
				return "", &Error{Code: "42601", Message: "invalid Unicode surrogate pair", Pos: body + i}
			}
			b = append(b, text[i])
			if text[i] == esc {
				i++
			}
			i++
			continue
		}
		r, n := rune(0), 5
		ok := false
		if in.at(i+1) == '+' {
			r, ok = in.hexDigits(i+2, 6)
			n = 8
		} else {
			r, ok = in.hexDigits(i+1, 4)
		}
		if !ok {
			return "", &Error{Code: "42601", Message: "invalid Unicode escape", Pos: body + i,
				Hint: `Unicode escapes must be \XXXX or \+XXXXXX.`}
		}
		if b, high, err = in.appendRune(b, high, r, i, i+n); err != nil {
			err.Pos += body
			return "", err
		}
		i += n
	}
	if high != 0 {
		return "", &Error{Code: "42601", Message: "invalid Unicode surrogate pair", Pos: body + len(text)}
	}
	return string(b), nil
}

// uescape reads a UESCAPE clause if one follows, and returns the escape character.
func (l *lexer) uescape() (byte, *Error) {
	mark := l.off
	if err := l.skipSpace(); err != nil {
		return 0, err
	}
	end := l.off
	for end < len(l.src) && isIdentCont(l.src[end]) {
		end++
	}
	if !strings.EqualFold(l.src[l.off:end], "uescape") {
		l.off = mark
		return '\\', nil
	}
	l.off = end
	if err := l.skipSpace(); err != nil {
		return 0, err
	}
	start := l.off
	if l.at(start) != '\'' {
		return 0, l.errAt("UESCAPE must be followed by a simple string literal", start, min(l.tokenEnd(start), len(l.src)))
	}
	text, err := l.rawString(start, start+1, "quoted string")
	if err != nil {
		return 0, err
	}
	if len(text) != 1 || hexVal(text[0]) >= 0 || text[0] == '+' || text[0] == '\'' || text[0] == '"' || isSpace(text[0]) {
		return 0, l.errAt("invalid Unicode escape character", start, l.off)
	}
	return text[0], nil
}

// tokenEnd returns the end of the token at start, for messages only.
func (l *lexer) tokenEnd(start int) int {
	sub := lexer{src: l.src, off: start}
	if t, err := sub.next(); err == nil {
		return t.end
	}
	return len(l.src)
}

// invalidEncoding is PostgreSQL's message for bytes that are no UTF-8; at is the offset to report.
func invalidEncoding(b []byte, at int) *Error {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == 0 || r == utf8.RuneError && n == 1 {
			break
		}
		b = b[n:]
	}
	return &Error{Code: "22021", Message: fmt.Sprintf(`invalid byte sequence for encoding "UTF8": %#02x`, b[:min(1, len(b))]), Pos: at}
}
