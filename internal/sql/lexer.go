package sql

import (
	"strings"
	"unicode/utf8"
)

// maxIdentBytes is PostgreSQL's NAMEDATALEN - 1: longer identifiers are cut to it.
const maxIdentBytes = 63

// tokKind is the kind of a token.
type tokKind uint8

const (
	tokEOF tokKind = iota
	tokIdent
	tokKeyword
	tokInt    // digits only
	tokFloat  // with a point or an exponent
	tokString // any string constant
	tokBits   // B'..'
	tokHex    // X'..'
	tokParam  // $1
	tokOp     // an operator or a punctuation sign
)

// token is one lexical element.
type token struct {
	kind   tokKind
	quoted bool    // of tokIdent: written in double quotes
	self   bool    // of tokOp: one of PostgreSQL's own signs, which the generic operator rules do not cover
	kw     keyword // of tokKeyword
	pos    int     // byte range [pos, end) in the text
	end    int
	text   string // folded word, string's value, number as written, operator
}

// lexer cuts a text into tokens, on demand.
type lexer struct {
	src     string
	off     int
	pattern bool // inside a row pattern: operators are single signs, $ is an anchor
}

const (
	selfChars = ",()[].;:+-*/%^<>="
	opChars   = "~!@#^&|`?+-*/%<>="
)

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isIdentStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}
func isIdentCont(c byte) bool { return isIdentStart(c) || isDigit(c) || c == '$' }

// at returns the byte at offset i, or 0 past the end; the text holds no NUL.
func (l *lexer) at(i int) byte {
	if i < len(l.src) {
		return l.src[i]
	}
	return 0
}

// errAt is PostgreSQL's scanner error: the message, and the text from start to end.
func (l *lexer) errAt(msg string, start, end int) *Error {
	if start >= len(l.src) {
		return &Error{Code: "42601", Message: msg + " at end of input", Pos: start}
	}
	return &Error{Code: "42601", Message: msg + ` at or near "` + l.src[start:end] + `"`, Pos: start}
}

// next returns the next token.
func (l *lexer) next() (token, *Error) {
	if err := l.skipSpace(); err != nil {
		return token{}, err
	}
	start := l.off
	if start >= len(l.src) {
		return token{kind: tokEOF, pos: start, end: start}, nil
	}
	c := l.src[start]
	switch {
	case l.pattern && strings.IndexByte(selfChars+opChars+"$", c) >= 0:
		l.off++
		return token{kind: tokOp, self: true, pos: start, end: l.off, text: l.src[start:l.off]}, nil
	case c == '\'':
		return l.quotedString(tokString, start, start+1)
	case c == '"':
		return l.quotedIdent(start, start+1, false)
	case c == '$':
		return l.dollar()
	case isDigit(c) || c == '.' && isDigit(l.at(start+1)):
		return l.number()
	case isIdentStart(c):
		return l.word()
	}
	return l.operator()
}

// skipSpace skips white space and comments.
func (l *lexer) skipSpace() *Error {
	for l.off < len(l.src) {
		c := l.src[l.off]
		switch {
		case isSpace(c):
			l.off++
		case c == '-' && l.at(l.off+1) == '-':
			l.lineComment()
		case c == '/' && l.at(l.off+1) == '*':
			if err := l.blockComment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) lineComment() {
	for l.off < len(l.src) && l.src[l.off] != '\n' && l.src[l.off] != '\r' {
		l.off++
	}
}

// blockComment skips a comment, in which others may nest.
func (l *lexer) blockComment() *Error {
	start, depth := l.off, 0
	for l.off < len(l.src) {
		switch {
		case l.src[l.off] == '/' && l.at(l.off+1) == '*':
			depth++
			l.off += 2
		case l.src[l.off] == '*' && l.at(l.off+1) == '/':
			depth--
			l.off += 2
			if depth == 0 {
				return nil
			}
		default:
			l.off++
		}
	}
	return l.errAt("unterminated /* comment", start, len(l.src))
}

// word reads an identifier or keyword, or a string with a letter in front.
func (l *lexer) word() (token, *Error) {
	start := l.off
	switch q := l.at(start + 1); l.src[start] {
	case 'b', 'B':
		if q == '\'' {
			return l.quotedString(tokBits, start, start+2)
		}
	case 'x', 'X':
		if q == '\'' {
			return l.quotedString(tokHex, start, start+2)
		}
	case 'e', 'E':
		if q == '\'' {
			return l.escapeString(start)
		}
	case 'n', 'N':
		if q == '\'' { // N'..' is the type nchar in front of a string
			l.off++
			return token{kind: tokKeyword, kw: keywords["nchar"], pos: start, end: l.off, text: "nchar"}, nil
		}
	case 'u', 'U':
		if q == '&' && l.at(start+2) == '\'' {
			return l.unicodeString(start)
		}
		if q == '&' && l.at(start+2) == '"' {
			return l.quotedIdent(start, start+3, true)
		}
	}
	end := start + 1
	for end < len(l.src) && isIdentCont(l.src[end]) && !(l.pattern && l.src[end] == '$') {
		end++
	}
	l.off = end
	text := foldIdent(l.src[start:end])
	if kw, ok := keywords[text]; ok {
		return token{kind: tokKeyword, kw: kw, pos: start, end: end, text: text}, nil
	}
	return token{kind: tokIdent, pos: start, end: end, text: cutIdent(text)}, nil
}

// foldIdent folds ASCII letters to lower case, as PostgreSQL does in UTF-8 databases.
func foldIdent(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// cutIdent cuts an identifier to at most maxIdentBytes, between characters.
func cutIdent(s string) string {
	if len(s) <= maxIdentBytes {
		return s
	}
	n := maxIdentBytes
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// quotedIdent reads an identifier in double quotes; its content begins at body.
func (l *lexer) quotedIdent(start, body int, unicode bool) (token, *Error) {
	text, end, ok := l.untilQuote(body, '"')
	if !ok {
		return token{}, l.errAt("unterminated quoted identifier", start, len(l.src))
	}
	l.off = end
	if text == "" {
		return token{}, l.errAt("zero-length delimited identifier", start, end)
	}
	if unicode {
		var err *Error
		if text, err = l.unescapeUnicode(text, body); err != nil {
			return token{}, err
		}
	}
	return token{kind: tokIdent, quoted: true, pos: start, end: l.off, text: cutIdent(text)}, nil
}

// untilQuote reads up to the closing quote; a doubled one stands for itself. It returns the content and the offset past the quote.
func (l *lexer) untilQuote(body int, quote byte) (text string, end int, ok bool) {
	i := strings.IndexByte(l.src[body:], quote)
	if i < 0 {
		return "", 0, false
	}
	if i += body; l.at(i+1) != quote {
		return l.src[body:i], i + 1, true
	}
	var b strings.Builder
	for {
		i++ // keep the first quote of the pair
		b.WriteString(l.src[body:i])
		body = i + 1
		j := strings.IndexByte(l.src[body:], quote)
		if j < 0 {
			return "", 0, false
		}
		if i = body + j; l.at(i+1) != quote {
			b.WriteString(l.src[body:i])
			return b.String(), i + 1, true
		}
	}
}

// continued reports whether, after white space that holds a newline, another quote continues the string that ended at end. It returns
// the offset past that quote.
func (l *lexer) continued(end int) (int, bool) {
	newline := false
	for i := end; i < len(l.src); {
		switch c := l.src[i]; {
		case c == '\n' || c == '\r':
			newline = true
			i++
		case isSpace(c):
			i++
		case c == '-' && l.at(i+1) == '-':
			for i < len(l.src) && l.src[i] != '\n' && l.src[i] != '\r' {
				i++
			}
		case c == '\'' && newline:
			return i + 1, true
		default:
			return 0, false
		}
	}
	return 0, false
}

// rawString reads the content of a string without escapes, over its continuation lines.
func (l *lexer) rawString(start, body int, what string) (string, *Error) {
	text, end, ok := l.untilQuote(body, '\'')
	var parts []string
	for ok {
		l.off = end
		next, more := l.continued(end)
		if !more {
			if parts == nil {
				return text, nil
			}
			return strings.Join(append(parts, text), ""), nil
		}
		parts = append(parts, text)
		text, end, ok = l.untilQuote(next, '\'')
	}
	return "", l.errAt("unterminated "+what, start, len(l.src))
}

// quotedString reads '..', B'..' and X'..'.
func (l *lexer) quotedString(kind tokKind, start, body int) (token, *Error) {
	what := "quoted string"
	switch kind {
	case tokBits:
		what = "bit string literal"
	case tokHex:
		what = "hexadecimal string literal"
	}
	text, err := l.rawString(start, body, what)
	if err != nil {
		return token{}, err
	}
	return token{kind: kind, pos: start, end: l.off, text: text}, nil
}

// dollar reads $1 and $tag$..$tag$.
func (l *lexer) dollar() (token, *Error) {
	start := l.off
	i := start + 1
	if isDigit(l.at(i)) {
		for isDigit(l.at(i)) {
			i++
		}
		if isIdentStart(l.at(i)) {
			return token{}, l.errAt("trailing junk after parameter", start, l.runeEnd(i))
		}
		l.off = i
		return token{kind: tokParam, pos: start, end: i, text: l.src[start+1 : i]}, nil
	}
	if isIdentStart(l.at(i)) {
		for isIdentStart(l.at(i)) || isDigit(l.at(i)) {
			i++
		}
	}
	if l.at(i) != '$' {
		return token{}, l.errAt("syntax error", start, start+1)
	}
	tag := l.src[start : i+1]
	n := strings.Index(l.src[i+1:], tag)
	if n < 0 {
		return token{}, l.errAt("unterminated dollar-quoted string", start, len(l.src))
	}
	l.off = i + 1 + n + len(tag)
	return token{kind: tokString, pos: start, end: l.off, text: l.src[i+1 : i+1+n]}, nil
}

// runeEnd returns the offset past the character that begins at i.
func (l *lexer) runeEnd(i int) int {
	_, n := utf8.DecodeRuneInString(l.src[i:])
	return i + n
}

// number reads a numeric constant by PostgreSQL 15's rules: a letter right behind it is an error.
func (l *lexer) number() (token, *Error) {
	start, kind := l.off, tokInt
	i := start
	for isDigit(l.at(i)) {
		i++
	}
	if l.at(i) == '.' && l.at(i+1) != '.' {
		kind = tokFloat
		for i++; isDigit(l.at(i)); i++ {
		}
	} else if l.at(i) == '.' { // 1..10 is 1, .., 10
		l.off = i
		return token{kind: tokInt, pos: start, end: i, text: l.src[start:i]}, nil
	}
	if c := l.at(i); c == 'e' || c == 'E' {
		j := i + 1
		if s := l.at(j); s == '+' || s == '-' {
			j++
			if !isDigit(l.at(j)) {
				return token{}, l.errAt("trailing junk after numeric literal", start, j)
			}
		}
		if isDigit(l.at(j)) {
			kind = tokFloat
			for i = j; isDigit(l.at(i)); i++ {
			}
		}
	}
	if isIdentStart(l.at(i)) {
		return token{}, l.errAt("trailing junk after numeric literal", start, l.runeEnd(i))
	}
	l.off = i
	return token{kind: kind, pos: start, end: i, text: l.src[start:i]}, nil
}

// operator reads an operator or a punctuation sign, by PostgreSQL's rules for where an operator ends.
func (l *lexer) operator() (token, *Error) {
	start := l.off
	c := l.src[start]
	if two := l.src[start:min(start+2, len(l.src))]; two == "::" || two == ":=" || two == ".." {
		l.off += 2
		return token{kind: tokOp, self: true, pos: start, end: l.off, text: two}, nil
	}
	if strings.IndexByte(opChars, c) < 0 {
		l.off++
		if strings.IndexByte(selfChars, c) < 0 && c != '{' && c != '}' { // braces occur in row patterns
			return token{}, l.errAt("syntax error", start, l.runeEnd(start))
		}
		return token{kind: tokOp, self: true, pos: start, end: l.off, text: l.src[start:l.off]}, nil
	}
	end := start
	for end < len(l.src) && strings.IndexByte(opChars, l.src[end]) >= 0 {
		if s := l.src[end:min(end+2, len(l.src))]; end > start && (s == "--" || s == "/*") {
			break
		}
		end++
	}
	// A longer operator may end in + or - only if it holds one of the signs that SQL's own operators do not have.
	if end-start > 1 && !strings.ContainsAny(l.src[start:end], "~!@#^&|`?%") {
		for end-start > 1 && (l.src[end-1] == '+' || l.src[end-1] == '-') {
			end--
		}
	}
	text := l.src[start:end]
	if len(text) > maxIdentBytes {
		return token{}, &Error{Code: "42601", Message: "operator too long at or near \"" + text + "\"", Pos: start}
	}
	l.off = end
	tok := token{kind: tokOp, pos: start, end: end, text: text}
	switch text {
	case "<=", ">=", "<>", "=>":
		tok.self = true
	case "!=":
		tok.self, tok.text = true, "<>"
	default:
		tok.self = len(text) == 1 && strings.IndexByte(selfChars, c) >= 0
	}
	return tok, nil
}
