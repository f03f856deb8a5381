package expr

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// isASCII reports whether every byte is a character.
func isASCII(s []byte) bool {
	for _, c := range s {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// runeAt is the byte offset of character n, at most len(s).
func runeAt(s []byte, n int) int {
	if n <= 0 {
		return 0
	}
	if n >= len(s) {
		n = len(s)
	}
	at := 0
	for ; n > 0 && at < len(s); n-- {
		if s[at] < utf8.RuneSelf {
			at++
			continue
		}
		_, size := utf8.DecodeRune(s[at:])
		at += size
	}
	return at
}

// sharing makes a kernel whose results are parts of argument 0: part gives their bounds.
func sharing(part func(f *frame, i int, s []byte) (lo, hi int)) kernels {
	return kernels{vec: func(f *frame) {
		f.share()
		f.each(func(f *frame, i int) {
			lo, hi := part(f, i, f.str(0, i))
			f.setSub(i, lo, hi)
		})
	}}
}

func textKernels(m map[string]kernels) {
	row := func(sig string, r rowKernel) { m[sig] = kernels{row: r} }
	m["||(text,text)"] = kernels{vec: concatTexts}
	m["||(bytea,bytea)"] = m["||(text,text)"]
	row("||(text,anynonarray)", concatAny)
	row("||(anynonarray,text)", concatAny)
	row("lower", func(f *frame, i int) { f.changeCase(i, false) })
	row("upper", func(f *frame, i int) { f.changeCase(i, true) })
	chars := func(f *frame, i int) { f.setInt(i, int64(utf8.RuneCount(f.str(0, i)))) }
	octets := func(f *frame, i int) { f.setInt(i, int64(len(f.str(0, i)))) }
	row("length(text)", chars)
	row("length(bytea)", octets)
	row("char_length", chars)
	row("character_length", chars)
	row("octet_length", octets)
	row("bit_length", func(f *frame, i int) { f.setInt(i, 8*int64(len(f.str(0, i)))) })
	row("reverse", reverse)
	row("initcap", initcap)
	row("ascii", func(f *frame, i int) {
		if s := f.str(0, i); len(s) > 0 {
			r, _ := utf8.DecodeRune(s)
			f.setInt(i, int64(r))
		} else {
			f.setInt(i, 0)
		}
	})
	row("chr", chr)
	row("md5", func(f *frame, i int) {
		h := md5.Sum(f.str(0, i))
		f.open(i)
		f.out.buf = hex.AppendEncode(f.out.buf, h[:])
		f.close(i)
	})
	row("sha256", func(f *frame, i int) {
		h := sha256.Sum256(f.str(0, i))
		f.setStr(i, h[:])
	})
	row("encode", encode)
	row("decode", decode)
	row("convert_from", func(f *frame, i int) { convert(f, i, "source") })
	row("convert_to", func(f *frame, i int) { convert(f, i, "destination") })
	row("to_hex(int4)", func(f *frame, i int) { f.setString(i, strconv.FormatUint(uint64(uint32(f.int(0, i))), 16)) })
	row("to_hex(int8)", func(f *frame, i int) { f.setString(i, strconv.FormatUint(uint64(f.int(0, i)), 16)) })
	for _, t := range []struct {
		name        string
		left, right bool
	}{{"btrim", true, true}, {"ltrim", true, false}, {"rtrim", false, true}} {
		m[t.name+"(text)"] = sharing(func(_ *frame, _ int, s []byte) (int, int) { return trimSet(s, []byte(" "), t.left, t.right) })
		m[t.name+"(text,text)"] = sharing(func(f *frame, i int, s []byte) (int, int) { return trimSet(s, f.str(1, i), t.left, t.right) })
	}
	m["left"] = sharing(func(f *frame, i int, s []byte) (int, int) {
		n := f.int(1, i)
		if n < 0 {
			n = max(0, int64(utf8.RuneCount(s))+n)
		}
		return 0, runeAt(s, int(min(n, int64(len(s)))))
	})
	m["right"] = sharing(func(f *frame, i int, s []byte) (int, int) {
		n, have := f.int(1, i), int64(utf8.RuneCount(s))
		if n < 0 {
			return runeAt(s, int(min(-n, have))), len(s)
		}
		return runeAt(s, int(max(0, have-n))), len(s)
	})
	for _, n := range []string{"substr", "substring"} {
		m[n+"(text,int4)"] = sharing(func(f *frame, i int, s []byte) (int, int) {
			return runeAt(s, int(max(0, f.int(1, i)-1))), len(s)
		})
		m[n+"(text,int4,int4)"] = kernels{vec: substring}
	}
	m["split_part"] = kernels{vec: splitPart}
	for _, n := range []string{"lpad", "rpad"} {
		right := n == "rpad"
		row(n+"(text,int4)", func(f *frame, i int) { pad(f, i, []byte(" "), right) })
		row(n+"(text,int4,text)", func(f *frame, i int) { pad(f, i, f.str(2, i), right) })
	}
	row("replace", replace)
	row("position", strpos)
	row("strpos", strpos)
	row("repeat", func(f *frame, i int) {
		s, n := f.str(0, i), max(0, f.int(1, i))
		if len(s) > 0 && n > MaxTextBytes/int64(len(s)) {
			f.room(i, MaxTextBytes+1)
			return
		}
		if !f.room(i, len(s)*int(n)) {
			return
		}
		f.open(i)
		for range n {
			f.out.buf = append(f.out.buf, s...)
		}
		f.close(i)
	})
	row("translate", translate)
	starts := func(f *frame, i int) { f.setBool(i, bytes.HasPrefix(f.str(0, i), f.str(1, i))) }
	row("starts_with", starts)
	row("^@", starts)
	row("concat", func(f *frame, i int) { f.join(i, nil, 0) })
	row("concat_ws", func(f *frame, i int) {
		if f.null(0, i) {
			f.setNull(i)
			return
		}
		f.join(i, f.str(0, i), 1)
	})
	row("quote_ident", func(f *frame, i int) {
		f.open(i)
		f.out.buf = appendIdent(f.out.buf, f.str(0, i))
		f.close(i)
	})
	lit := func(f *frame, i int) {
		if f.null(0, i) {
			f.setString(i, "NULL")
			return
		}
		f.tmp = appendTextAt(f.tmp[:0], f.args[0], f.from[0], i, &f.r.style)
		f.open(i)
		f.out.buf = appendLiteral(f.out.buf, f.tmp)
		f.close(i)
	}
	row("quote_literal", lit)
	row("quote_nullable", lit)
	row("overlay(text,text,int4)", func(f *frame, i int) { overlay(f, i, int64(utf8.RuneCount(f.str(1, i)))) })
	row("overlay(text,text,int4,int4)", func(f *frame, i int) { overlay(f, i, f.int(3, i)) })
	row("format", formatText)
	row("pg_size_pretty(int8)", func(f *frame, i int) { f.setString(i, sizePretty(f.int(0, i))) })
	row("pg_size_pretty(numeric)", func(f *frame, i int) {
		d, a := f.dec(0, i)
		x, err := types.DecToInt64(d, a)
		if err != nil {
			f.fail(i, err)
			return
		}
		f.setString(i, sizePretty(x))
	})
}

// concatTexts joins texts in one pass over the block.
func concatTexts(f *frame) {
	a, b, v := f.args[0], f.args[1], f.out
	valid := v.Valid
	for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
		i := rowAt(f.sel, k)
		if !valid.Get(i) {
			v.Str[i] = batch.Ref{}
			continue
		}
		x, y := a.StrAt(i), b.StrAt(i)
		if !f.room(i, len(x)+len(y)) {
			continue
		}
		v.Str[i] = batch.Ref{Off: uint32(len(v.buf)), Len: uint32(len(x) + len(y))}
		v.buf = append(append(v.buf, x...), y...)
	}
}

func concatAny(f *frame, i int) {
	f.open(i)
	for k := range f.args {
		f.out.buf = appendTextAt(f.out.buf, f.args[k], f.from[k], i, &f.r.style)
	}
	f.close(i)
}

// join appends the arguments from first on that are not NULL, sep between them.
func (f *frame) join(i int, sep []byte, first int) {
	f.open(i)
	for k, any := first, false; k < len(f.args); k++ {
		if f.null(k, i) {
			continue
		}
		if any {
			f.out.buf = append(f.out.buf, sep...)
		}
		any = true
		f.out.buf = appendTextAt(f.out.buf, f.args[k], f.from[k], i, &f.r.style)
	}
	f.close(i)
}

func (f *frame) changeCase(i int, up bool) {
	s := f.str(0, i)
	f.open(i)
	if isASCII(s) {
		for _, c := range s {
			if up && c >= 'a' && c <= 'z' {
				c -= 32
			} else if !up && c >= 'A' && c <= 'Z' {
				c += 32
			}
			f.out.buf = append(f.out.buf, c)
		}
		f.close(i)
		return
	}
	conv := unicode.ToLower
	if up {
		conv = unicode.ToUpper
	}
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		f.out.buf = utf8.AppendRune(f.out.buf, conv(r))
		s = s[n:]
	}
	f.close(i)
}

func reverse(f *frame, i int) {
	s := f.str(0, i)
	f.open(i)
	for len(s) > 0 {
		_, n := utf8.DecodeLastRune(s)
		f.out.buf = append(f.out.buf, s[len(s)-n:]...)
		s = s[:len(s)-n]
	}
	f.close(i)
}

func initcap(f *frame, i int) {
	s := f.str(0, i)
	f.open(i)
	for word := false; len(s) > 0; {
		r, n := utf8.DecodeRune(s)
		c := unicode.ToLower(r)
		if !word {
			c = unicode.ToUpper(r)
		}
		f.out.buf = utf8.AppendRune(f.out.buf, c)
		word = unicode.IsLetter(r) || unicode.IsDigit(r)
		s = s[n:]
	}
	f.close(i)
}

func chr(f *frame, i int) {
	x := f.int(0, i)
	switch {
	case x == 0:
		f.failf(i, "54000", "null character not permitted")
	case x < 0:
		f.failf(i, types.CodeInvalidParameter, "character number must be positive")
	case x > unicode.MaxRune || x >= 0xd800 && x <= 0xdfff:
		f.failf(i, "54000", "requested character too large for encoding: "+strconv.FormatInt(x, 10))
	default:
		f.open(i)
		f.out.buf = utf8.AppendRune(f.out.buf, rune(x))
		f.close(i)
	}
}

func trimSet(s, set []byte, left, right bool) (lo, hi int) {
	lo, hi = 0, len(s)
	for left && lo < hi {
		n := runeLen(s[lo:])
		if !bytes.Contains(set, s[lo:lo+n]) {
			break
		}
		lo += n
	}
	for right && hi > lo {
		_, n := utf8.DecodeLastRune(s[lo:hi])
		if !bytes.Contains(set, s[hi-n:hi]) {
			break
		}
		hi -= n
	}
	return lo, hi
}

func runeLen(s []byte) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRune(s)
	return n
}

func substring(f *frame) {
	f.share()
	f.each(func(f *frame, i int) {
		s, start, n := f.str(0, i), f.int(1, i), f.int(2, i)
		if n < 0 {
			f.failf(i, "22011", "negative substring length not allowed")
			return
		}
		end := start + n // exclusive, both count from 1
		start = max(start, 1)
		if end <= start {
			f.setSub(i, 0, 0)
			return
		}
		lo := runeAt(s, int(start-1))
		f.setSub(i, lo, lo+runeAt(s[lo:], int(end-start)))
	})
}

func splitPart(f *frame) {
	f.share()
	f.each(func(f *frame, i int) {
		s, sep, n := f.str(0, i), f.str(1, i), f.int(2, i)
		if n == 0 {
			f.failf(i, types.CodeInvalidParameter, "field position must not be zero")
			return
		}
		if len(sep) == 0 {
			if n == 1 || n == -1 {
				f.setSub(i, 0, len(s))
			} else {
				f.setSub(i, 0, 0)
			}
			return
		}
		if n < 0 {
			n += int64(bytes.Count(s, sep)) + 2
			if n <= 0 {
				f.setSub(i, 0, 0)
				return
			}
		}
		lo := 0
		for ; n > 1; n-- {
			k := bytes.Index(s[lo:], sep)
			if k < 0 {
				f.setSub(i, 0, 0)
				return
			}
			lo += k + len(sep)
		}
		hi := len(s)
		if k := bytes.Index(s[lo:], sep); k >= 0 {
			hi = lo + k
		}
		f.setSub(i, lo, hi)
	})
}

func pad(f *frame, i int, fill []byte, right bool) {
	s, want := f.str(0, i), max(0, f.int(1, i))
	if want > MaxTextBytes {
		f.room(i, MaxTextBytes+1)
		return
	}
	have := int64(utf8.RuneCount(s))
	if have >= want || len(fill) == 0 {
		f.setStr(i, s[:runeAt(s, int(min(want, have)))])
		return
	}
	f.open(i)
	if right {
		f.out.buf = append(f.out.buf, s...)
	}
	for n, at := want-have, 0; n > 0; n-- {
		size := runeLen(fill[at:])
		f.out.buf = append(f.out.buf, fill[at:at+size]...)
		if at += size; at >= len(fill) {
			at = 0
		}
	}
	if !right {
		f.out.buf = append(f.out.buf, s...)
	}
	f.close(i)
}

func replace(f *frame, i int) {
	s, from, to := f.str(0, i), f.str(1, i), f.str(2, i)
	if len(from) == 0 {
		f.setStr(i, s)
		return
	}
	if n := bytes.Count(s, from); !f.room(i, max(0, len(s)+n*(len(to)-len(from)))) {
		return
	}
	f.open(i)
	for {
		k := bytes.Index(s, from)
		if k < 0 {
			break
		}
		f.out.buf = append(append(f.out.buf, s[:k]...), to...)
		s = s[k+len(from):]
	}
	f.out.buf = append(f.out.buf, s...)
	f.close(i)
}

func strpos(f *frame, i int) {
	s := f.str(0, i)
	k := bytes.Index(s, f.str(1, i))
	if k > 0 {
		k = utf8.RuneCount(s[:k])
	}
	f.setInt(i, int64(k+1))
}

func translate(f *frame, i int) {
	s, from, to := f.str(0, i), f.str(1, i), f.str(2, i)
	f.open(i)
	for len(s) > 0 {
		n := runeLen(s)
		k := bytes.Index(from, s[:n])
		if k < 0 {
			f.out.buf = append(f.out.buf, s[:n]...)
		} else if at := runeAt(to, utf8.RuneCount(from[:k])); at < len(to) {
			f.out.buf = append(f.out.buf, to[at:at+runeLen(to[at:])]...)
		}
		s = s[n:]
	}
	f.close(i)
}

func overlay(f *frame, i int, n int64) {
	s, start := f.str(0, i), f.int(2, i)
	if start <= 0 {
		f.failf(i, "22011", "negative substring length not allowed")
		return
	}
	if !fits(types.Int4, start+n) {
		f.fail(i, types.ErrIntOutOfRange(types.Int4))
		return
	}
	lo := runeAt(s, int(min(start-1, int64(len(s)))))
	hi := runeAt(s, int(max(0, min(start-1+n, int64(len(s))))))
	f.open(i)
	f.out.buf = append(f.out.buf, s[:lo]...)
	f.out.buf = append(f.out.buf, f.str(1, i)...)
	f.out.buf = append(f.out.buf, s[hi:]...)
	f.close(i)
}

// convert checks that bytes are text in the encoding named, which can only be the
// one that all text is in.
func convert(f *frame, i int, end string) {
	s, name := f.str(0, i), f.str(1, i)
	switch string(bytes.ToLower(name)) {
	case "utf8", "utf-8", "unicode":
	default:
		f.failf(i, types.CodeInvalidParameter, fmt.Sprintf("invalid %s encoding name \"%s\"", end, name))
		return
	}
	for at := 0; at < len(s); {
		r, size := utf8.DecodeRune(s[at:])
		if r == utf8.RuneError && size < 2 || r == 0 {
			f.failf(i, "22021", fmt.Sprintf("invalid byte sequence for encoding \"UTF8\": 0x%02x", s[at]))
			return
		}
		at += size
	}
	f.setStr(i, s)
}

func encode(f *frame, i int) {
	s := f.str(0, i)
	f.open(i)
	switch string(bytes.ToLower(f.str(1, i))) {
	case "hex":
		f.out.buf = hex.AppendEncode(f.out.buf, s)
	case "base64":
		b := base64.StdEncoding.EncodeToString(s)
		for len(b) > 76 {
			f.out.buf = append(append(f.out.buf, b[:76]...), '\n')
			b = b[76:]
		}
		f.out.buf = append(f.out.buf, b...)
	case "escape":
		for _, c := range s {
			switch {
			case c == 0 || c >= 0x80:
				f.out.buf = fmt.Appendf(f.out.buf, "\\%03o", c)
			case c == '\\':
				f.out.buf = append(f.out.buf, `\\`...)
			default:
				f.out.buf = append(f.out.buf, c)
			}
		}
	default:
		f.failf(i, types.CodeInvalidParameter, fmt.Sprintf("unrecognized encoding: \"%s\"", f.str(1, i)))
		return
	}
	f.close(i)
}

func decode(f *frame, i int) {
	s := f.str(0, i)
	var out []byte
	var err error
	switch string(bytes.ToLower(f.str(1, i))) {
	case "hex":
		out, err = hex.AppendDecode(nil, bytes.Join(bytes.Fields(s), nil))
	case "base64":
		out, err = base64.StdEncoding.AppendDecode(nil, bytes.Join(bytes.Fields(s), nil))
	case "escape":
		v, e := types.Parse(types.T(types.Bytea), string(s), types.Style{})
		out, err = []byte(v.S), e
	default:
		f.failf(i, types.CodeInvalidParameter, fmt.Sprintf("unrecognized encoding: \"%s\"", f.str(1, i)))
		return
	}
	if err != nil {
		f.failf(i, types.CodeInvalidParameter, fmt.Sprintf("invalid %s data", f.str(1, i)))
		return
	}
	f.setStr(i, out)
}

func sizePretty(x int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	x = max(x, -math.MaxInt64)
	abs := func(x int64) int64 { return max(x, -x) }
	if abs(x) < 10*1024 {
		return strconv.FormatInt(x, 10) + " " + units[0]
	}
	x >>= 9 // keep one bit for rounding
	for k := 1; ; k++ {
		if abs(x) < 2*10*1024 || k == len(units)-1 {
			half := int64(1)
			if x < 0 {
				half = -1
			}
			return strconv.FormatInt((x+half)/2, 10) + " " + units[k]
		}
		x >>= 10
	}
}
