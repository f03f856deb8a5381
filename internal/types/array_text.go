package types

import "strings"

// MaxArrayElems bounds the elements of an array read from text.
const MaxArrayElems = 1 << 24

// AppendArrayText appends an array's bytes as {a,"b c",NULL}.
func AppendArrayText(dst, b []byte, st *Style) []byte {
	r := ReadArray(b)
	dst = append(dst, '{')
	for i := 0; ; i++ {
		v, ok := r.Next()
		if !ok {
			break
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		if v.Null {
			dst = append(dst, "NULL"...)
			continue
		}
		start := len(dst)
		dst = AppendText(dst, v, *st)
		dst = quoteFrom(dst, start, arrayNeedsQuotes(dst[start:]), false)
	}
	return append(dst, '}')
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func arrayNeedsQuotes(s []byte) bool {
	if len(s) == 0 || equalFold(s, "null") {
		return true
	}
	for _, c := range s {
		if isSpace(c) || strings.IndexByte(`"\{},`, c) >= 0 {
			return true
		}
	}
	return false
}

// quoteFrom puts dst[start:] into quotes when asked; doubled says how " and \ are escaped.
func quoteFrom(dst []byte, start int, quote, doubled bool) []byte {
	if !quote {
		return dst
	}
	s := string(dst[start:])
	dst = append(dst[:start], '"')
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' {
			if doubled {
				dst = append(dst, c)
			} else {
				dst = append(dst, '\\')
			}
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func badArray(s, detail string) *Error {
	return &Error{Code: CodeInvalidText, Message: `malformed array literal: "` + s + `"`, Detail: detail}
}

// parseArray reads {a,"b c",NULL} of one dimension into an array of type t.
func parseArray(t Type, s string, st *Style) (Value, error) {
	p := arrayParser{s: s}
	p.spaces()
	if p.done() || p.s[p.i] != '{' {
		return Value{}, badArray(s, `Array value must start with "{" or dimension information.`)
	}
	p.i++
	var elems []Value
	p.spaces()
	if !p.done() && p.s[p.i] == '}' {
		p.i++
	} else {
		for {
			v, err := p.elem(t.ElemType(), st)
			if err != nil {
				return Value{}, err
			}
			if elems = append(elems, v); len(elems) > MaxArrayElems {
				return Value{}, &Error{Code: "54000", Message: "array size exceeds the maximum allowed"}
			}
			if p.done() {
				return Value{}, badArray(s, "Unexpected end of input.")
			}
			p.i++
			if p.s[p.i-1] == '}' {
				break
			}
		}
	}
	p.spaces()
	if !p.done() {
		return Value{}, badArray(s, "Junk after closing right brace.")
	}
	v := ArrayValue(t.Elem, elems)
	v.T = t
	return v, nil
}

type arrayParser struct {
	s string
	i int
}

func (p *arrayParser) done() bool { return p.i >= len(p.s) }

func (p *arrayParser) spaces() {
	for !p.done() && isSpace(p.s[p.i]) {
		p.i++
	}
}

// elem reads one element up to the comma or brace that ends it.
func (p *arrayParser) elem(t Type, st *Style) (Value, error) {
	p.spaces()
	if !p.done() && p.s[p.i] == '{' {
		return Value{}, &Error{Code: CodeFeature, Message: "arrays of more than one dimension are not supported yet"}
	}
	var text []byte
	keep, quoted := 0, false // text up to keep is not trimmed
	for ; ; p.i++ {
		if p.done() {
			return Value{}, badArray(p.s, "Unexpected end of input.")
		}
		c := p.s[p.i]
		if c == ',' || c == '}' {
			break
		}
		switch c {
		case '"':
			if quoted || len(text) > 0 {
				return Value{}, badArray(p.s, "Unexpected array element.")
			}
			quoted = true
			for p.i++; !p.done() && p.s[p.i] != '"'; p.i++ {
				if p.s[p.i] == '\\' {
					p.i++
				}
				if !p.done() {
					text = append(text, p.s[p.i])
				}
			}
			keep = len(text)
			continue
		case '{':
			return Value{}, badArray(p.s, `Unexpected "{" character.`)
		case '\\':
			if p.i++; p.done() {
				return Value{}, badArray(p.s, "Unexpected end of input.")
			}
			text = append(text, p.s[p.i])
			keep = len(text)
			continue
		}
		if quoted {
			if !isSpace(c) {
				return Value{}, badArray(p.s, "Unexpected array element.")
			}
			continue
		}
		text = append(text, c)
	}
	for len(text) > keep && isSpace(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	if !quoted && len(text) == 0 {
		return Value{}, badArray(p.s, `Unexpected "`+string(p.s[p.i])+`" character.`)
	}
	if !quoted && keep == 0 && equalFold(text, "null") {
		return NullOf(t), nil
	}
	return Parse(t, string(text), *st)
}
