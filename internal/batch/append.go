package batch

import (
	"slices"

	"github.com/tidemill/tidemill/internal/types"
)

// AppendBatch appends the selected rows of src, which has the same layouts, with
// their weights.
func (bu *Builder) AppendBatch(src *Batch) { bu.AppendRange(src, 0, src.Len()) }

// AppendRange appends the lo-th to the hi-th selected row of src, without the hi-th,
// with their weights. It works column by column, and copies text that lies together
// in one piece.
func (bu *Builder) AppendRange(src *Batch, lo, hi int) {
	if lo >= hi {
		return
	}
	r := rowRange{lo: lo, hi: hi}
	if src.Sel != nil {
		r.sel = src.Sel[lo:hi]
	}
	bu.replace()
	for c := range bu.b.Cols {
		bu.b.Cols[c].appendRange(bu.b.N, &src.Cols[c], r)
	}
	bu.appendWeights(src, r)
	bu.b.N += hi - lo
}

// replace makes room for as much text as the builder gave away, since the next rows
// may be as many. Growing step by step would copy it again and again.
func (bu *Builder) replace() {
	if bu.given == nil || bu.b.N > 0 {
		return
	}
	for c, n := range bu.given {
		if n > cap(bu.b.Cols[c].Bytes) {
			bu.b.Cols[c].Bytes = make([]byte, 0, n+n/16)
		}
	}
	bu.given = nil
}

// rowRange is physical rows: those of sel, or if that is nil from lo to hi.
type rowRange struct {
	sel    []uint32
	lo, hi int
}

func (r rowRange) len() int { return r.hi - r.lo }

// row returns the k-th physical row.
func (r rowRange) row(k int) int {
	if r.sel != nil {
		return int(r.sel[k])
	}
	return r.lo + k
}

// appendOf appends the rows of src to dst.
func appendOf[T any](dst, src []T, r rowRange) []T {
	if r.sel == nil {
		return append(dst, src[r.lo:r.hi]...)
	}
	n := len(dst)
	dst = extend(dst, len(r.sel))
	gather(dst[n:], src, r.sel)
	return dst
}

// extend returns s with n more elements of any value.
func extend[T any](s []T, n int) []T {
	s = slices.Grow(s, n)
	return s[:len(s)+n]
}

func (bu *Builder) appendWeights(src *Batch, r rowRange) {
	if src.Weights == nil && !bu.weighted {
		return
	}
	if !bu.weighted && allOne(src.Weights, r) {
		return
	}
	bu.startWeights()
	if src.Weights == nil {
		bu.b.Weights = appendOnes(bu.b.Weights, r.len())
		return
	}
	bu.b.Weights = appendOf(bu.b.Weights, src.Weights, r)
}

// startWeights gives the rows so far weights, if they have none.
func (bu *Builder) startWeights() {
	if !bu.weighted {
		bu.weighted = true
		bu.b.Weights = appendOnes(bu.b.Weights[:0], bu.b.N)
	}
}

func appendOnes(ws []int64, n int) []int64 {
	at := len(ws)
	ws = extend(ws, n)
	for i := range ws[at:] {
		ws[at+i] = 1
	}
	return ws
}

func allOne(ws []int64, r rowRange) bool {
	for k := range r.len() {
		if ws[r.row(k)] != 1 {
			return false
		}
	}
	return true
}

// appendRange appends rows of src behind the first n.
func (c *Column) appendRange(n int, src *Column, r rowRange) {
	layout := c.Type.Layout()
	if layout == types.LayoutNone {
		return
	}
	if src.Type.Layout() == types.LayoutNone {
		for k := range r.len() {
			c.AppendNull(n + k)
		}
		return
	}
	nulls := src.Valid != nil && !allValid(src.Valid, r)
	if nulls || c.Valid != nil {
		c.appendValid(n, src.Valid, r)
	}
	switch layout {
	case types.LayoutBool:
		c.U8 = appendOf(c.U8, src.U8, r)
	case types.LayoutInt:
		c.I64 = appendOf(c.I64, src.I64, r)
	case types.LayoutFloat:
		c.F64 = appendOf(c.F64, src.F64, r)
	case types.LayoutIvl:
		c.Ivl = appendOf(c.Ivl, src.Ivl, r)
	case types.LayoutDec:
		c.Dec = appendOf(c.Dec, src.Dec, r)
		if nulls {
			clearNulls(c.Dec[n:], src.Valid, r)
		}
		c.ownDigits(src.Bytes, c.Dec[n:])
	case types.LayoutStr:
		c.Str = appendOf(c.Str, src.Str, r)
		if nulls {
			clearNulls(c.Str[n:], src.Valid, r)
		}
		c.ownText(src.Bytes, c.Str[n:])
	}
}

// clearNulls clears the values appended for NULLs: nothing is known about those.
func clearNulls[T any](appended []T, valid Bitmap, r rowRange) {
	var zero T
	for k := range appended {
		if !valid.Get(r.row(k)) {
			appended[k] = zero
		}
	}
}

func allValid(valid Bitmap, r rowRange) bool {
	if r.sel == nil {
		for i := r.lo; i < r.hi; i++ {
			if !valid.Get(i) {
				return false
			}
		}
		return true
	}
	all := uint64(1)
	for _, i := range r.sel {
		all &= valid[i>>6] >> (i & 63)
	}
	return all&1 != 0
}

// appendValid appends the validity of rows behind the first n.
func (c *Column) appendValid(n int, valid Bitmap, r rowRange) {
	m := r.len()
	if c.Valid == nil {
		c.Valid = make(Bitmap, n>>6+1, (n+max(m, BlockRows))>>6+1)
		for i := range c.Valid {
			c.Valid[i] = ^uint64(0)
		}
	}
	c.grow(n + m - 1)
	for k := range m {
		i := n + k
		if valid.Get(r.row(k)) {
			c.Valid.Set(i)
		} else {
			c.Valid.Clear(i)
		}
	}
}

// ownDigits copies the digits of the big ones of decs from arena.
func (c *Column) ownDigits(arena []byte, decs []types.Decimal) {
	for i := range decs {
		if d := &decs[i]; d.Form == types.DecBig {
			off, n := d.Lo>>32, d.Lo&0xffffffff
			d.Lo = uint64(len(c.Bytes))<<32 | n
			c.Bytes = append(c.Bytes, arena[off:off+n]...)
		}
	}
}

// ownText copies the text of refs from arena. If the part of arena that they lie in
// is hardly larger than all of them together, or even smaller because they share
// text, it is copied as it is, otherwise one by one.
func (c *Column) ownText(arena []byte, refs []Ref) {
	least, end, sum := uint32(1<<32-1), uint32(0), uint64(0)
	for _, r := range refs {
		if r.Len > 0 {
			least, end = min(least, r.Off), max(end, r.Off+r.Len)
			sum += uint64(r.Len)
		}
	}
	if sum == 0 {
		clear(refs)
		return
	}
	if uint64(end-least) > sum+sum/8 {
		c.copyText(arena, refs, sum)
		return
	}
	shift := uint32(len(c.Bytes)) - least // may wrap around; so does adding it
	c.Bytes = append(c.Bytes, arena[least:end]...)
	for i := range refs {
		if refs[i].Len == 0 {
			refs[i] = Ref{}
		} else {
			refs[i].Off += shift
		}
	}
}

// copyText copies sum bytes of text of refs one by one.
func (c *Column) copyText(arena []byte, refs []Ref, sum uint64) {
	at := len(c.Bytes)
	c.Bytes = extend(c.Bytes, int(sum))
	for i, r := range refs {
		copy(c.Bytes[at:], arena[r.Off:r.Off+r.Len])
		refs[i].Off = uint32(at)
		at += int(r.Len)
	}
}
