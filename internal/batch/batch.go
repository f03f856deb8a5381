// Package batch holds changes in columns: a Batch is a Z-set, that is rows with
// integer weights, in typed slices with no Go pointers inside.
package batch

import "github.com/tidemill/tidemill/internal/types"

// BlockRows is the most rows operators hand on at once. A step is many blocks:
// probing more rows at a time against a large table falls out of the caches.
const BlockRows = 4096

// Ref points at a string's bytes in its column's Bytes.
type Ref struct{ Off, Len uint32 }

// Bitmap holds one bit a row, row i in bit i%64 of word i/64. A nil Bitmap
// stands for all ones.
type Bitmap []uint64

// Get reports bit i; every bit of a nil Bitmap is set.
func (m Bitmap) Get(i int) bool { return m == nil || m[i>>6]&(1<<(uint(i)&63)) != 0 }

// Set sets bit i of a non-nil Bitmap.
func (m Bitmap) Set(i int) { m[i>>6] |= 1 << (uint(i) & 63) }

// Clear clears bit i of a non-nil Bitmap.
func (m Bitmap) Clear(i int) { m[i>>6] &^= 1 << (uint(i) & 63) }

// Column is the values of one attribute, one a physical row. Exactly the slice
// of its type's layout is used: U8 for Bool, I64 for Int, F64 for Float, Dec,
// Ivl, and Str+Bytes for Str. The value at a row whose Valid bit is clear (NULL)
// is undefined but readable. Columns of LayoutNone have no slice: all NULL.
type Column struct {
	Type  types.Type
	Valid Bitmap // nil: no NULLs
	U8    []uint8
	I64   []int64
	F64   []float64
	Dec   []types.Decimal
	Ivl   []types.IntervalVal
	// Str[i] points into Bytes. Several rows may share bytes, in any order, so
	// gathering strings, taking substrings and repeating constants copy no text.
	Str []Ref
	// Bytes is the text of Str, and the arena of Big decimals in Dec.
	Bytes []byte
}

// Null reports whether row i is NULL.
func (c *Column) Null(i int) bool {
	return c.Type.Layout() == types.LayoutNone || !c.Valid.Get(i)
}

// StrAt returns the bytes of row i, borrowed from the column.
func (c *Column) StrAt(i int) []byte {
	r := c.Str[i]
	return c.Bytes[r.Off : r.Off+r.Len : r.Off+r.Len]
}

// Batch is a set of changes: N physical rows in columns of equal length, each
// with a weight. Only the rows named by Sel count, if it is not nil.
//
// Ownership: a batch handed to an operator is borrowed until the call returns;
// whoever keeps rows copies them. A sealed batch never changes and may be read
// by anyone.
type Batch struct {
	Cols []Column
	N    int // physical rows
	// Sel lists the selected physical rows in ascending order; nil selects all, and
	// an empty one that is not nil selects none.
	Sel []uint32
	// Weights is indexed by physical row; nil means every weight is +1.
	Weights []int64
}

// Len returns the number of selected rows.
func (b *Batch) Len() int {
	if b.Sel != nil {
		return len(b.Sel)
	}
	return b.N
}

// Weight returns the weight of physical row i.
func (b *Batch) Weight(i int) int64 {
	if b.Weights == nil {
		return 1
	}
	return b.Weights[i]
}

// Row returns the physical row of the k-th selected row.
func (b *Batch) Row(k int) int {
	if b.Sel != nil {
		return int(b.Sel[k])
	}
	return k
}

// Types returns the columns' types, freshly allocated.
func (b *Batch) Types() []types.Type {
	ts := make([]types.Type, len(b.Cols))
	for i := range b.Cols {
		ts[i] = b.Cols[i].Type
	}
	return ts
}

// Value returns the boxed value at physical row i. For sessions and tests.
func (c *Column) Value(i int) types.Value {
	if c.Null(i) {
		return types.NullOf(c.Type)
	}
	v := types.Value{T: c.Type}
	switch c.Type.Layout() {
	case types.LayoutBool:
		v.I = int64(c.U8[i])
	case types.LayoutInt:
		v.I = c.I64[i]
	case types.LayoutFloat:
		v.F = c.F64[i]
	case types.LayoutDec:
		v.D = c.Dec[i]
		if v.D.Form == types.DecBig {
			off, n := v.D.Lo>>32, v.D.Lo&0xffffffff
			v.S = string(c.Bytes[off : off+n])
			v.D.Lo = n
		}
	case types.LayoutIvl:
		v.V = c.Ivl[i]
	case types.LayoutStr:
		v.S = string(c.StrAt(i))
	}
	return v
}

// RowValues returns physical row i boxed. For sessions and tests.
func (b *Batch) RowValues(i int) []types.Value {
	row := make([]types.Value, len(b.Cols))
	for c := range b.Cols {
		row[c] = b.Cols[c].Value(i)
	}
	return row
}

// SizeBytes returns roughly how much memory b's columns hold.
func (b *Batch) SizeBytes() int64 {
	n := int64(len(b.Sel))*4 + int64(len(b.Weights))*8
	for i := range b.Cols {
		c := &b.Cols[i]
		n += int64(len(c.Valid))*8 + int64(len(c.U8)) + int64(len(c.I64))*8 + int64(len(c.F64))*8 +
			int64(len(c.Dec))*24 + int64(len(c.Ivl))*16 + int64(len(c.Str))*8 + int64(len(c.Bytes))
	}
	return n
}
