package expr

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/types"
)

// likePattern is a LIKE pattern cut at its percent signs. Simple shapes need no
// general matching.
type likePattern struct {
	parts  [][]likeItem
	prefix []byte // the pattern is prefix followed by %, when simple
	simple bool
}

// likeItem is a character, or any one.
type likeItem struct {
	any bool
	r   rune
}

// like compiles argument 1, once while it stays the same.
func (f *frame) like(i int, fold bool) (*likePattern, error) {
	p, _ := f.memo.(*pattern)
	src := f.str(1, i)
	if p == nil || p.src != string(src) {
		p = &pattern{src: string(src)}
		p.like, p.err = compileLike(p.src, fold)
		f.memo = p
	}
	return &p.like, p.err
}

func compileLike(src string, fold bool) (likePattern, error) {
	p := likePattern{parts: [][]likeItem{nil}}
	for k := 0; k < len(src); {
		r, n := utf8.DecodeRuneInString(src[k:])
		k += n
		last := len(p.parts) - 1
		switch r {
		case '%':
			p.parts = append(p.parts, nil)
			continue
		case '_':
			p.parts[last] = append(p.parts[last], likeItem{any: true})
			continue
		case '\\':
			if k >= len(src) {
				return p, &types.Error{Code: "22025", Message: "LIKE pattern must not end with escape character"}
			}
			r, n = utf8.DecodeRuneInString(src[k:])
			k += n
		}
		if fold {
			r = foldRune(r)
		}
		p.parts[last] = append(p.parts[last], likeItem{r: r})
	}
	if !fold && len(p.parts) == 2 && len(p.parts[1]) == 0 {
		p.simple = true
		for _, it := range p.parts[0] {
			p.simple = p.simple && !it.any
			p.prefix = utf8.AppendRune(p.prefix, it.r)
		}
	}
	return p, nil
}

func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if r >= 'A' && r <= 'Z' {
			r += 32
		}
		return r
	}
	return []rune(strings.ToLower(string(r)))[0]
}

func (p *likePattern) match(s []byte, fold bool) bool {
	if p.simple {
		return bytes.HasPrefix(s, p.prefix)
	}
	first, last := p.parts[0], p.parts[len(p.parts)-1]
	n, ok := prefixItems(s, first, fold)
	if !ok {
		return false
	}
	s = s[n:]
	if len(p.parts) == 1 {
		return len(s) == 0
	}
	for _, part := range p.parts[1 : len(p.parts)-1] {
		for {
			if n, ok = prefixItems(s, part, fold); ok {
				break
			}
			if len(s) == 0 {
				return false
			}
			s = s[runeLen(s):]
		}
		s = s[n:]
	}
	at := len(s)
	for range last {
		if at == 0 {
			return false
		}
		_, n := utf8.DecodeLastRune(s[:at])
		at -= n
	}
	_, ok = prefixItems(s[at:], last, fold)
	return ok
}

// prefixItems matches items at the start of s and gives the bytes they took.
func prefixItems(s []byte, items []likeItem, fold bool) (int, bool) {
	at := 0
	for _, it := range items {
		if at >= len(s) {
			return 0, false
		}
		r, n := rune(s[at]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(s[at:])
		}
		at += n
		if it.any {
			continue
		}
		if fold {
			r = foldRune(r)
		}
		if r != it.r {
			return 0, false
		}
	}
	return at, true
}
