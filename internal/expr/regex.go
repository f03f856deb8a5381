package expr

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/types"
)

// MaxPatternBytes bounds the length of a regular expression.
const MaxPatternBytes = 64 << 10

// pattern is a compiled pattern with what it was made of, kept from row to row.
type pattern struct {
	src, flags string
	re         *regexp.Regexp
	like       likePattern
	err        error
}

// regex compiles argument k as a regular expression, once while it stays the same.
func (f *frame) regex(k, i int, flags string) (*regexp.Regexp, error) {
	p, _ := f.memo.(*pattern)
	src := f.str(k, i)
	if p == nil || p.src != string(src) || p.flags != flags {
		p = &pattern{src: string(src), flags: flags}
		p.re, p.err = compileRegex(p.src, flags)
		f.memo = p
	}
	return p.re, p.err
}

// compileRegex takes PostgreSQL's flags: i, c, g, n, m, p, s, w, x, q.
// The syntax is RE2's: no back references, no look-around.
func compileRegex(src, flags string) (*regexp.Regexp, error) {
	if len(src) > MaxPatternBytes {
		return nil, &types.Error{Code: types.CodeTooComplex, Message: fmt.Sprintf("regular expression is longer than %d bytes", MaxPatternBytes)}
	}
	mode := "s"
	for _, c := range flags {
		switch c {
		case 'i':
			mode += "i"
		case 'c':
			mode = strings.ReplaceAll(mode, "i", "")
		case 'g', 'e', 't':
		case 'n', 'm':
			mode = strings.ReplaceAll(mode, "s", "") + "m"
		case 's':
			mode += "s"
		case 'p':
			mode = strings.ReplaceAll(mode, "s", "")
		case 'w':
			mode += "m"
		case 'q':
			src = regexp.QuoteMeta(src)
		default:
			return nil, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid regular expression option: \"%s\"", string(c))}
		}
	}
	src = strings.NewReplacer(`\m`, `\b`, `\M`, `\b`, `\y`, `\b`, `\Y`, `\B`, `\Z`, `\z`, `\\`, `\\`).Replace(src)
	re, err := regexp.Compile("(?" + mode + ")" + src)
	if err != nil {
		return nil, &types.Error{Code: "2201B", Message: "invalid regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")}
	}
	return re, nil
}

func regexKernels(m map[string]kernels) {
	row := func(sig string, r rowKernel) { m[sig] = kernels{row: r} }
	for _, o := range []struct {
		name      string
		fold, neg bool
	}{{"~~", false, false}, {"!~~", false, true}, {"~~*", true, false}, {"!~~*", true, true}} {
		row(o.name, func(f *frame, i int) {
			p, err := f.like(i, o.fold)
			if err != nil {
				f.fail(i, err)
				return
			}
			f.setBool(i, p.match(f.str(0, i), o.fold) != o.neg)
		})
		for _, q := range []bool{true, false} {
			row(o.name+map[bool]string{true: " any", false: " all"}[q], func(f *frame, i int) {
				s, bad := f.str(0, i), error(nil)
				anyRow(f, i, 1, q, func(v types.Value) bool {
					p, err := compileLike(v.S, o.fold)
					if err != nil {
						bad = err
						return false
					}
					return p.match(s, o.fold) != o.neg
				})
				if bad != nil {
					f.fail(i, bad)
				}
			})
		}
	}
	for _, o := range []struct {
		name, flags string
		neg         bool
	}{{"~", "", false}, {"!~", "", true}, {"~*", "i", false}, {"!~*", "i", true}} {
		match := func(f *frame, i int) {
			re, err := f.regex(1, i, o.flags)
			if err != nil {
				f.fail(i, err)
				return
			}
			f.setBool(i, re.Match(f.str(0, i)) != o.neg)
		}
		row(o.name+"(text,text)", match)
		row(o.name+"(name,text)", match)
		for _, q := range []bool{true, false} {
			row(o.name+map[bool]string{true: " any", false: " all"}[q], func(f *frame, i int) {
				s, bad := f.str(0, i), error(nil)
				anyRow(f, i, 1, q, func(v types.Value) bool {
					re, err := compileRegex(v.S, o.flags)
					if err != nil {
						bad = err
						return false
					}
					return re.Match(s) != o.neg
				})
				if bad != nil {
					f.fail(i, bad)
				}
			})
		}
	}
	row("regexp_like(text,text)", func(f *frame, i int) { regexpLike(f, i, "") })
	row("regexp_like(text,text,text)", func(f *frame, i int) { regexpLike(f, i, string(f.str(2, i))) })
	row("regexp_replace(text,text,text)", func(f *frame, i int) { regexpReplace(f, i, "") })
	row("regexp_replace(text,text,text,text)", func(f *frame, i int) { regexpReplace(f, i, string(f.str(3, i))) })
	row("regexp_count", func(f *frame, i int) {
		if re, err := f.regex(1, i, ""); err != nil {
			f.fail(i, err)
		} else {
			f.setInt(i, int64(len(re.FindAllIndex(f.str(0, i), -1))))
		}
	})
	row("regexp_substr", func(f *frame, i int) { regexpFind(f, i, false) })
	row("substring(text,text)", func(f *frame, i int) { regexpFind(f, i, true) })
	row("regexp_match", regexpMatch)
	row("regexp_split_to_array", regexpSplit)
	row("like_escape", likeEscape)
	row("similar_to_escape(text)", func(f *frame, i int) { similarEscape(f, i, '\\', true) })
	row("similar_to_escape(text,text)", func(f *frame, i int) {
		e := f.str(1, i)
		r, n := utf8.DecodeRune(e)
		if n != len(e) {
			f.failf(i, "22025", "invalid escape string")
			return
		}
		similarEscape(f, i, r, len(e) > 0)
	})
}

func regexpLike(f *frame, i int, flags string) {
	if strings.Contains(flags, "g") {
		f.failf(i, types.CodeInvalidParameter, "regexp_like() does not support the \"global\" option")
		return
	}
	re, err := f.regex(1, i, flags)
	if err != nil {
		f.fail(i, err)
		return
	}
	f.setBool(i, re.Match(f.str(0, i)))
}

// regexpReplace replaces the first match, or all with flag g. In the replacement,
// \1 to \9 are groups, \& the match, \\ a backslash.
func regexpReplace(f *frame, i int, flags string) {
	re, err := f.regex(1, i, flags)
	if err != nil {
		f.fail(i, err)
		return
	}
	limit := 1
	if strings.Contains(flags, "g") {
		limit = -1
	}
	s, to := f.str(0, i), f.str(2, i)
	f.open(i)
	at := 0
	for _, loc := range re.FindAllSubmatchIndex(s, limit) {
		f.out.buf = append(f.out.buf, s[at:loc[0]]...)
		for k := 0; k < len(to); k++ {
			if to[k] != '\\' || k+1 >= len(to) {
				f.out.buf = append(f.out.buf, to[k])
				continue
			}
			k++
			group := -1
			switch c := to[k]; {
			case c >= '1' && c <= '9':
				group = int(c - '0')
			case c == '&':
				group = 0
			case c == '\\':
				f.out.buf = append(f.out.buf, '\\')
				continue
			default:
				f.out.buf = append(f.out.buf, '\\', c)
				continue
			}
			if 2*group+1 < len(loc) && loc[2*group] >= 0 {
				f.out.buf = append(f.out.buf, s[loc[2*group]:loc[2*group+1]]...)
			}
		}
		at = loc[1]
	}
	f.out.buf = append(f.out.buf, s[at:]...)
	f.close(i)
}

// regexpFind gives the match, or with group its first group if it has one.
func regexpFind(f *frame, i int, group bool) {
	re, err := f.regex(1, i, "")
	if err != nil {
		f.fail(i, err)
		return
	}
	s := f.str(0, i)
	loc := re.FindSubmatchIndex(s)
	if loc == nil {
		f.setNull(i)
		return
	}
	lo, hi := loc[0], loc[1]
	if group && len(loc) > 2 {
		lo, hi = loc[2], loc[3]
	}
	if lo < 0 {
		f.setNull(i)
		return
	}
	f.setStr(i, s[lo:hi])
}

func regexpMatch(f *frame, i int) {
	re, err := f.regex(1, i, "")
	if err != nil {
		f.fail(i, err)
		return
	}
	s := f.str(0, i)
	loc := re.FindSubmatchIndex(s)
	if loc == nil {
		f.setNull(i)
		return
	}
	if len(loc) > 2 {
		loc = loc[2:]
	}
	m := make([][]byte, 0, len(loc)/2)
	for k := 0; k < len(loc); k += 2 {
		if loc[k] < 0 {
			m = append(m, nil)
		} else {
			m = append(m, append([]byte{}, s[loc[k]:loc[k+1]]...))
		}
	}
	f.setTexts(i, m)
}

// setTexts stores an array of texts; a nil one is NULL.
func (f *frame) setTexts(i int, parts [][]byte) {
	f.open(i)
	f.out.buf = types.AppendArrayHeader(f.out.buf, types.Text, len(parts))
	for _, p := range parts {
		v := types.TextValue(string(p))
		v.Null = p == nil
		f.out.buf = types.AppendArrayElem(f.out.buf, v)
	}
	f.close(i)
}

func regexpSplit(f *frame, i int) {
	re, err := f.regex(1, i, "")
	if err != nil {
		f.fail(i, err)
		return
	}
	var parts [][]byte
	for _, p := range re.Split(string(f.str(0, i)), -1) {
		parts = append(parts, append([]byte{}, p...))
	}
	f.setTexts(i, parts)
}

// likeEscape rewrites a LIKE pattern to use the backslash.
func likeEscape(f *frame, i int) {
	s, e := f.str(0, i), f.str(1, i)
	esc, n := utf8.DecodeRune(e)
	if len(e) > 0 && n != len(e) {
		f.failf(i, "22025", "invalid escape string")
		return
	}
	f.open(i)
	for k := 0; k < len(s); {
		r, n := utf8.DecodeRune(s[k:])
		k += n
		switch {
		case len(e) > 0 && r == esc:
			f.out.buf = append(f.out.buf, '\\')
			if k < len(s) {
				r, n = utf8.DecodeRune(s[k:])
				k += n
				f.out.buf = utf8.AppendRune(f.out.buf, r)
			}
		case r == '\\':
			f.out.buf = append(f.out.buf, `\\`...)
		default:
			f.out.buf = utf8.AppendRune(f.out.buf, r)
		}
	}
	f.close(i)
}

// similarEscape rewrites a SIMILAR TO pattern as a regular expression.
func similarEscape(f *frame, i int, esc rune, hasEsc bool) {
	s := f.str(0, i)
	f.open(i)
	out := append(f.out.buf, "^(?:"...)
	class := false
	for k := 0; k < len(s); {
		r, n := utf8.DecodeRune(s[k:])
		k += n
		switch {
		case hasEsc && r == esc:
			if k < len(s) {
				r, n = utf8.DecodeRune(s[k:])
				k += n
				out = append(append(out, '\\'), string(r)...)
			}
		case class:
			class = r != ']'
			out = utf8.AppendRune(out, r)
		case r == '[':
			class = true
			out = append(out, '[')
		case r == '%':
			out = append(out, ".*"...)
		case r == '_':
			out = append(out, '.')
		case r == '(':
			out = append(out, "(?:"...)
		case r == '\\' || r == '.' || r == '^' || r == '$':
			out = append(out, '\\', byte(r))
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	f.out.buf = append(out, ")$"...)
	f.close(i)
}
