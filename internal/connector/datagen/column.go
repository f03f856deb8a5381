package datagen

import (
	"strconv"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// kind is how a column's values are made.
type kind uint8

const (
	empty    kind = iota // NULL
	sequence             // one more each row
	random               // evenly from a range
	clock                // when the row comes, less a random time
)

// column makes the values of one column: those at position p from mix(seed + p*golden).
type column struct {
	kind  kind
	typ   types.Type
	seed  uint64
	rows  uint64 // how many a sequence has; MaxInt64 without an end
	nulls uint64 // NULL where the random bits are less
	lo    int64  // of integers and the rest that counts; of a decimal, its coefficient
	span  uint64 // how many values there are from lo; 0 for 2^64
	scale int16  // of a decimal
	step  int64  // of a sequence
	// flo and fhi bound floats.
	flo, fhi float64
	length   int    // of text
	past     uint64 // clock: microseconds to go back at most
	unit     int64  // clock: what the value counts, in microseconds
}

// alphabet has 64 characters, six random bits each.
const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// fill appends the values of rows [from, to) as rows n and up of c.
func (g *column) fill(s *Source, c *batch.Column, n int, from, to uint64) {
	for p := from; p < to; p, n = p+1, n+1 {
		r := mix(g.seed + p*golden)
		if g.kind == empty || g.nulls > 0 && r <= g.nulls {
			c.AppendNull(n)
			continue
		}
		if g.nulls > 0 {
			r = mix(r)
		}
		switch c.Type.Layout() {
		case types.LayoutBool:
			c.AppendBool(n, r>>63 != 0)
		case types.LayoutInt:
			c.AppendInt(n, g.integer(s, p, r))
		case types.LayoutFloat:
			c.AppendFloat(n, g.float(p, r))
		case types.LayoutDec:
			d := types.DecFromInt64(g.integer(s, p, r))
			d.Scale = g.scale
			c.AppendDec(n, d, nil)
		case types.LayoutIvl:
			c.AppendIvl(n, types.IntervalVal{Micros: g.integer(s, p, r)})
		case types.LayoutStr:
			g.text(c, n, p, r)
		}
	}
}

// integer is the value at position p, with random bits r.
func (g *column) integer(s *Source, p, r uint64) int64 {
	switch g.kind {
	case sequence:
		return g.lo + int64(p)*g.step
	case clock:
		t := s.at(p) + g.lo
		if g.past > 0 {
			t -= int64(below(r, g.past+1))
		}
		q := t / g.unit
		if t%g.unit < 0 {
			q--
		}
		return q
	}
	return g.lo + int64(below(r, g.span))
}

func (g *column) float(p, r uint64) float64 {
	f := g.flo + float64(p)
	if g.kind == random {
		u := unit(r)
		f = float64(g.flo*(1-u)) + float64(g.fhi*u)
	}
	if g.typ.Kind == types.Float4 {
		f = float64(float32(f))
	}
	return f
}

// text appends the text at position p as row n.
func (g *column) text(c *batch.Column, n int, p, r uint64) {
	if g.kind == sequence {
		var buf [20]byte
		c.AppendStr(n, strconv.AppendInt(buf[:0], g.lo+int64(p), 10))
		return
	}
	var buf [64]byte
	c.AppendStr(n, nil)
	ref := &c.Str[len(c.Str)-1]
	ref.Len = uint32(g.length)
	for left := g.length; left > 0; {
		k := min(left, len(buf))
		for i := 0; i < k; i++ {
			if i%10 == 0 {
				r = mix(r + golden)
			}
			if g.typ.Kind == types.Bytea {
				buf[i] = byte(r)
			} else {
				buf[i] = alphabet[r&63]
			}
			r >>= 6
		}
		c.Bytes = append(c.Bytes, buf[:k]...)
		left -= k
	}
}
