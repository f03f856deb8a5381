package expr

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

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
