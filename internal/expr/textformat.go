package expr

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/types"
)

// formatText is format(): %s, %I, %L and %%, with positions, widths and the flag -.
func formatText(f *frame, i int) {
	if f.null(0, i) {
		f.setNull(i)
		return
	}
	s, next := f.str(0, i), 1
	f.open(i)
	for k := 0; k < len(s); k++ {
		if s[k] != '%' {
			f.out.buf = append(f.out.buf, s[k])
			continue
		}
		if k++; k >= len(s) {
			f.failf(i, types.CodeInvalidParameter, "unterminated format() type specifier")
			return
		}
		if s[k] == '%' {
			f.out.buf = append(f.out.buf, '%')
			continue
		}
		d, size, msg := formatDirective(s[k:])
		if msg == "" && d.starWidth {
			if next >= len(f.args) {
				msg = "too few arguments for format()"
			} else if !f.null(next, i) {
				w, _ := strconv.Atoi(string(appendTextAt(nil, f.args[next], f.from[next], i, &f.r.style)))
				if d.width = max(-MaxTextBytes, min(w, MaxTextBytes)); w < 0 {
					d.left, d.width = true, -d.width
				}
			}
			next++
		}
		if msg == "" {
			if d.arg > 0 {
				next = d.arg
			}
			if next >= len(f.args) {
				msg = "too few arguments for format()"
			} else {
				msg = f.formatArg(i, next, d)
			}
			next++
		}
		if msg != "" {
			f.failf(i, types.CodeInvalidParameter, msg)
			return
		}
		k += size - 1
	}
	f.close(i)
}

type directive struct {
	arg       int // position given, or 0
	left      bool
	width     int
	starWidth bool
	verb      byte
}

// formatDirective reads what follows a percent sign.
func formatDirective(s []byte) (d directive, size int, msg string) {
	k := 0
	number := func() int {
		n := 0
		for k < len(s) && s[k] >= '0' && s[k] <= '9' {
			n = min(n*10+int(s[k]-'0'), MaxTextBytes)
			k++
		}
		return n
	}
	n := number()
	if k > 0 && k < len(s) && s[k] == '$' {
		if n == 0 {
			return d, 0, "format specifies argument 0, but arguments are numbered from 1"
		}
		d.arg, n = n, 0
		k++
	} else if n > 0 {
		d.width = n
	}
	for k < len(s) && s[k] == '-' {
		d.left = true
		k++
	}
	if k < len(s) && s[k] == '*' {
		d.starWidth = true
		k++
	} else if d.width == 0 {
		d.width = number()
	}
	if k >= len(s) {
		return d, 0, "unterminated format() type specifier"
	}
	d.verb = s[k]
	if d.verb != 's' && d.verb != 'I' && d.verb != 'L' {
		return d, 0, fmt.Sprintf("unrecognized format() type specifier \"%s\"", string(d.verb))
	}
	return d, k + 1, ""
}

func (f *frame) formatArg(i, k int, d directive) string {
	null := f.null(k, i)
	if null && d.verb == 'I' {
		return "null values cannot be formatted as an SQL identifier"
	}
	f.tmp, f.tmp2 = f.tmp[:0], f.tmp2[:0]
	if !null {
		f.tmp = appendTextAt(f.tmp, f.args[k], f.from[k], i, &f.r.style)
	}
	switch {
	case d.verb == 'I':
		f.tmp2 = appendIdent(f.tmp2, f.tmp)
	case d.verb == 'L' && null:
		f.tmp2 = append(f.tmp2, "NULL"...)
	case d.verb == 'L':
		f.tmp2 = appendLiteral(f.tmp2, f.tmp)
	default:
		f.tmp2 = append(f.tmp2, f.tmp...)
	}
	gap := d.width - utf8.RuneCount(f.tmp2)
	if d.left {
		f.out.buf = append(f.out.buf, f.tmp2...)
	}
	for ; gap > 0; gap-- {
		f.out.buf = append(f.out.buf, ' ')
	}
	if !d.left {
		f.out.buf = append(f.out.buf, f.tmp2...)
	}
	return ""
}
