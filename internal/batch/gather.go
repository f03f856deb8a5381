package batch

import "github.com/tidemill/tidemill/internal/types"

// Gather fills dst with rows of src: row k of dst is physical row rows[k] of src,
// with its weight. Strings are not copied: dst's Bytes are src's, so dst is valid
// only as long as src is. dst's slices are reused. dst may not be src.
func Gather(dst, src *Batch, rows []uint32) {
	if cap(dst.Cols) < len(src.Cols) {
		dst.Cols = make([]Column, len(src.Cols))
	}
	dst.Cols = dst.Cols[:len(src.Cols)]
	for c := range src.Cols {
		GatherColumn(&dst.Cols[c], &src.Cols[c], rows)
	}
	dst.N, dst.Sel = len(rows), nil
	if src.Weights == nil {
		dst.Weights = nil
		return
	}
	dst.Weights = resize(dst.Weights, len(rows))
	gather(dst.Weights, src.Weights, rows)
}

// GatherColumn is Gather for one column.
func GatherColumn(dst, src *Column, rows []uint32) {
	dst.Type = src.Type
	dst.Valid = gatherBits(dst.Valid, src.Valid, rows)
	switch src.Type.Layout() {
	case types.LayoutBool:
		dst.U8 = resize(dst.U8, len(rows))
		gather(dst.U8, src.U8, rows)
	case types.LayoutInt:
		dst.I64 = resize(dst.I64, len(rows))
		gather(dst.I64, src.I64, rows)
	case types.LayoutFloat:
		dst.F64 = resize(dst.F64, len(rows))
		gather(dst.F64, src.F64, rows)
	case types.LayoutDec:
		dst.Dec = resize(dst.Dec, len(rows))
		gather(dst.Dec, src.Dec, rows)
		dst.Bytes = src.Bytes
	case types.LayoutIvl:
		dst.Ivl = resize(dst.Ivl, len(rows))
		gather(dst.Ivl, src.Ivl, rows)
	case types.LayoutStr:
		dst.Str = resize(dst.Str, len(rows))
		gather(dst.Str, src.Str, rows)
		dst.Bytes = src.Bytes
	}
}

func gather[T any](dst, src []T, rows []uint32) {
	for k, i := range rows {
		dst[k] = src[i]
	}
}

// gatherBits returns the validity of the gathered rows, in old's memory if it fits.
func gatherBits(old, src Bitmap, rows []uint32) Bitmap {
	if src == nil {
		return nil
	}
	m := NewBitmap(old, len(rows))
	for k, i := range rows {
		m[k>>6] |= (src[i>>6] >> (i & 63) & 1) << (uint(k) & 63)
	}
	return m
}

// NewBitmap returns an all-zero bitmap for n rows, in old's memory if it fits.
func NewBitmap(old Bitmap, n int) Bitmap {
	words := (n + 63) >> 6
	if cap(old) < words {
		return make(Bitmap, words)
	}
	old = old[:words]
	clear(old)
	return old
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, max(n, BlockRows))
	}
	return s[:n]
}

// Copy returns a sealed, dense copy of b's selected rows that shares no memory
// with it. Strings are compacted.
func Copy(b *Batch) *Batch {
	bu := NewBuilder(b.Types())
	bu.AppendBatch(b)
	return bu.Seal()
}

// Slice returns physical rows lo to hi of a batch without Sel, sharing its memory.
// lo is a multiple of 64, or 0.
func Slice(b *Batch, lo, hi int) *Batch {
	if b.Sel != nil || lo&63 != 0 {
		panic("batch: Slice of selected or unaligned rows")
	}
	out := &Batch{N: hi - lo, Cols: make([]Column, len(b.Cols))}
	if b.Weights != nil {
		out.Weights = b.Weights[lo:hi]
	}
	for i := range b.Cols {
		c, o := &b.Cols[i], &out.Cols[i]
		o.Type, o.Bytes = c.Type, c.Bytes
		if c.Valid != nil {
			o.Valid = c.Valid[lo>>6 : (hi+63)>>6]
		}
		switch c.Type.Layout() {
		case types.LayoutBool:
			o.U8 = c.U8[lo:hi]
		case types.LayoutInt:
			o.I64 = c.I64[lo:hi]
		case types.LayoutFloat:
			o.F64 = c.F64[lo:hi]
		case types.LayoutDec:
			o.Dec = c.Dec[lo:hi]
		case types.LayoutIvl:
			o.Ivl = c.Ivl[lo:hi]
		case types.LayoutStr:
			o.Str = c.Str[lo:hi]
		}
	}
	return out
}

// FromRows returns a sealed batch of boxed rows, each of weight +1. For sessions and tests.
func FromRows(ts []types.Type, rows [][]types.Value) *Batch {
	bu := NewBuilder(ts)
	for _, r := range rows {
		bu.AppendRow(r, 1)
	}
	return bu.Seal()
}
