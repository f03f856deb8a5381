package batch

import (
	"slices"

	"github.com/tidemill/tidemill/internal/types"
)

// Pick names a row of one of two batches, and the weight it is taken with.
type Pick struct {
	Row    uint32
	Second bool // of the second batch
	Weight int64
}

// AppendPicks appends the picked rows of a and b in order. It is AppendFrom for
// many rows, column by column. a or b may be nil if no pick names it.
func (bu *Builder) AppendPicks(a, b *Batch, picks []Pick) {
	if len(picks) == 0 {
		return
	}
	if a == nil {
		a = b
	} else if b == nil {
		b = a
	}
	for c := range bu.b.Cols {
		bu.b.Cols[c].appendPicks(bu.b.N, &a.Cols[c], &b.Cols[c], picks)
	}
	if bu.weighted || slices.ContainsFunc(picks, func(p Pick) bool { return p.Weight != 1 }) {
		bu.startWeights()
		for _, p := range picks {
			bu.b.Weights = append(bu.b.Weights, p.Weight)
		}
	}
	bu.b.N += len(picks)
}

func (c *Column) appendPicks(n int, a, b *Column, picks []Pick) {
	if c.Type.Layout() == types.LayoutNone {
		return
	}
	if a.Valid != nil || b.Valid != nil || c.Valid != nil {
		c.pickBits(n, a, b, picks)
	}
	switch c.Type.Layout() {
	case types.LayoutBool:
		c.U8 = pick(c.U8, a.U8, b.U8, picks)
	case types.LayoutInt:
		c.I64 = pick(c.I64, a.I64, b.I64, picks)
	case types.LayoutFloat:
		c.F64 = pick(c.F64, a.F64, b.F64, picks)
	case types.LayoutIvl:
		c.Ivl = pick(c.Ivl, a.Ivl, b.Ivl, picks)
	case types.LayoutDec:
		c.pickDecimals(a, b, picks)
	case types.LayoutStr:
		c.pickTexts(n, a, b, picks)
	}
}

// pickTexts appends the picked texts behind the first n rows. If memory is short it
// gets as much as the rows need that there is room for, were they like these.
func (c *Column) pickTexts(n int, a, b *Column, picks []Pick) {
	at, sum := len(c.Bytes), 0
	c.Str = slices.Grow(c.Str, len(picks))
	for _, p := range picks {
		src := a
		if p.Second {
			src = b
		}
		r := src.Str[p.Row]
		c.Str = append(c.Str, r)
		sum += int(r.Len)
	}
	if at+sum > cap(c.Bytes) {
		rows := len(c.Str)
		all := (at + sum) * max(rows, min(cap(c.Str), BlockRows)) / rows
		grown := make([]byte, at, max(at+sum, all+all/16))
		copy(grown, c.Bytes)
		c.Bytes = grown
	}
	c.Bytes = c.Bytes[:at+sum]
	for k, p := range picks {
		src := a.Bytes
		if p.Second {
			src = b.Bytes
		}
		r := &c.Str[n+k]
		copy(c.Bytes[at:], src[r.Off:r.Off+r.Len])
		r.Off = uint32(at)
		at += int(r.Len)
	}
}

func pick[T any](dst, a, b []T, picks []Pick) []T {
	n := len(dst)
	dst = extend(dst, len(picks))
	out := dst[n:]
	for k, p := range picks {
		src := a
		if p.Second {
			src = b
		}
		out[k] = src[p.Row]
	}
	return dst
}

func (c *Column) pickDecimals(a, b *Column, picks []Pick) {
	for _, p := range picks {
		src := a
		if p.Second {
			src = b
		}
		d := src.Dec[p.Row]
		if d.Form == types.DecBig {
			off, n := d.Lo>>32, d.Lo&0xffffffff
			d.Lo = uint64(len(c.Bytes))<<32 | n
			c.Bytes = append(c.Bytes, src.Bytes[off:off+n]...)
		}
		c.Dec = append(c.Dec, d)
	}
}

// pickBits appends the validity of the picked rows behind the first n.
func (c *Column) pickBits(n int, a, b *Column, picks []Pick) {
	for k, p := range picks {
		src := a
		if p.Second {
			src = b
		}
		c.mark(n+k, !src.Valid.Get(int(p.Row)))
	}
}

// Prefixes sets dst[i], for every physical row of a batch without Sel, to a number
// whose order agrees with the order of rows by k: a smaller one means an earlier
// row, equal ones say nothing. It returns dst, grown if need be.
func Prefixes(dst []uint64, b *Batch, k Key) []uint64 {
	if cap(dst) < b.N {
		dst = make([]uint64, b.N, max(b.N, BlockRows))
	}
	dst = dst[:b.N]
	if len(b.Cols) == 0 {
		clear(dst)
		return dst
	}
	c := &b.Cols[k.Col]
	layout := c.Type.Layout()
	for i := range dst {
		dst[i] = prefixAt(c, layout, i, k)
	}
	return dst
}

// Reserve makes room for rows more rows, so that appending them grows no slice
// but that of the strings' bytes.
func (bu *Builder) Reserve(rows int) {
	for i := range bu.b.Cols {
		c := &bu.b.Cols[i]
		switch c.Type.Layout() {
		case types.LayoutBool:
			c.U8 = slices.Grow(c.U8, rows)
		case types.LayoutInt:
			c.I64 = slices.Grow(c.I64, rows)
		case types.LayoutFloat:
			c.F64 = slices.Grow(c.F64, rows)
		case types.LayoutDec:
			c.Dec = slices.Grow(c.Dec, rows)
		case types.LayoutIvl:
			c.Ivl = slices.Grow(c.Ivl, rows)
		case types.LayoutStr:
			c.Str = slices.Grow(c.Str, rows)
		}
	}
}
