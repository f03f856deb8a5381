package batch

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/types"
)

// Builder makes a dense batch (no Sel) row by row or by gathering. It has one
// owner. Reset reuses its memory, so a batch it handed out by View is valid only
// until then; Seal gives the memory away for good.
type Builder struct {
	b        Batch
	weighted bool  // Weights is in use
	given    []int // bytes of text that Consolidator.Take took, by column; nil if none
}

// NewBuilder returns a builder of rows of the given types.
func NewBuilder(ts []types.Type) *Builder {
	bu := &Builder{b: Batch{Cols: make([]Column, len(ts))}}
	for i, t := range ts {
		bu.b.Cols[i].Type = t
	}
	return bu
}

// Len returns the rows appended so far.
func (bu *Builder) Len() int { return bu.b.N }

// SizeBytes returns roughly how much memory the rows hold.
func (bu *Builder) SizeBytes() int64 { return bu.b.SizeBytes() }

// Reset forgets the rows and keeps the memory.
func (bu *Builder) Reset() {
	bu.b.N = 0
	bu.weighted = false
	bu.b.Weights = bu.b.Weights[:0]
	for i := range bu.b.Cols {
		bu.b.Cols[i].Truncate()
	}
}

// View returns the rows as a batch that is valid until the next Append or Reset.
func (bu *Builder) View() *Batch {
	v := bu.b
	if !bu.weighted {
		v.Weights = nil
	}
	return &v
}

// Seal returns the rows as an immutable batch and empties the builder, which
// starts anew with fresh memory.
func (bu *Builder) Seal() *Batch {
	out := bu.View()
	ts := out.Types()
	*bu = *NewBuilder(ts)
	return out
}

// AppendRow appends boxed values with a weight. For sessions and tests.
func (bu *Builder) AppendRow(row []types.Value, weight int64) {
	if len(row) != len(bu.b.Cols) {
		panic(fmt.Sprintf("batch: row of %d values for %d columns", len(row), len(bu.b.Cols)))
	}
	for i := range row {
		bu.b.Cols[i].AppendValue(bu.b.N, row[i])
	}
	bu.weight(weight)
	bu.b.N++
}

// AppendFrom appends physical row i of src with a weight. src has the same layouts.
func (bu *Builder) AppendFrom(src *Batch, i int, weight int64) {
	for c := range bu.b.Cols {
		bu.b.Cols[c].AppendFrom(bu.b.N, &src.Cols[c], i)
	}
	bu.weight(weight)
	bu.b.N++
}

// Col returns column c for appending to it directly; every column must get the
// same number of values before EndRow or EndRows.
func (bu *Builder) Col(c int) *Column { return &bu.b.Cols[c] }

// EndRow ends a row whose values were appended to the columns directly.
func (bu *Builder) EndRow(weight int64) {
	bu.weight(weight)
	bu.b.N++
}

func (bu *Builder) weight(w int64) {
	if !bu.weighted && w == 1 {
		return
	}
	bu.startWeights()
	bu.b.Weights = append(bu.b.Weights, w)
}

// Truncate empties c and keeps its memory and type.
func (c *Column) Truncate() {
	c.Valid = nil
	c.U8, c.I64, c.F64 = c.U8[:0], c.I64[:0], c.F64[:0]
	c.Dec, c.Ivl = c.Dec[:0], c.Ivl[:0]
	c.Str, c.Bytes = c.Str[:0], c.Bytes[:0]
}

// mark keeps validity while row n (the rows so far) is appended.
func (c *Column) mark(n int, null bool) {
	if !null {
		if c.Valid != nil {
			c.grow(n)
			c.Valid.Set(n)
		}
		return
	}
	if c.Valid == nil {
		c.Valid = make(Bitmap, n>>6+1, (n+BlockRows)>>6+1)
		for i := range c.Valid {
			c.Valid[i] = ^uint64(0)
		}
	}
	c.grow(n)
	c.Valid.Clear(n)
}

func (c *Column) grow(n int) {
	for len(c.Valid) <= n>>6 {
		c.Valid = append(c.Valid, 0)
	}
}

// AppendNull appends NULL as row n; n is the number of values so far.
func (c *Column) AppendNull(n int) {
	if c.Type.Layout() == types.LayoutNone {
		return
	}
	c.mark(n, true)
	switch c.Type.Layout() {
	case types.LayoutBool:
		c.U8 = append(c.U8, 0)
	case types.LayoutInt:
		c.I64 = append(c.I64, 0)
	case types.LayoutFloat:
		c.F64 = append(c.F64, 0)
	case types.LayoutDec:
		c.Dec = append(c.Dec, types.Decimal{})
	case types.LayoutIvl:
		c.Ivl = append(c.Ivl, types.IntervalVal{})
	case types.LayoutStr:
		c.Str = append(c.Str, Ref{})
	}
}

// AppendInt appends v as row n of an Int column.
func (c *Column) AppendInt(n int, v int64) { c.mark(n, false); c.I64 = append(c.I64, v) }

// AppendFloat appends v as row n of a Float column.
func (c *Column) AppendFloat(n int, v float64) { c.mark(n, false); c.F64 = append(c.F64, v) }

// AppendBool appends v as row n of a Bool column.
func (c *Column) AppendBool(n int, v bool) {
	c.mark(n, false)
	u := uint8(0)
	if v {
		u = 1
	}
	c.U8 = append(c.U8, u)
}

// AppendStr copies v in as row n of a Str column.
func (c *Column) AppendStr(n int, v []byte) {
	c.mark(n, false)
	c.Str = append(c.Str, Ref{uint32(len(c.Bytes)), uint32(len(v))})
	c.Bytes = append(c.Bytes, v...)
}

// AppendDec appends d as row n of a Dec column; arena holds its digits when it is Big.
func (c *Column) AppendDec(n int, d types.Decimal, arena []byte) {
	c.mark(n, false)
	if d.Form == types.DecBig {
		off, ln := d.Lo>>32, d.Lo&0xffffffff
		d.Lo = uint64(len(c.Bytes))<<32 | ln
		c.Bytes = append(c.Bytes, arena[off:off+ln]...)
	}
	c.Dec = append(c.Dec, d)
}

// AppendIvl appends v as row n of an Ivl column.
func (c *Column) AppendIvl(n int, v types.IntervalVal) { c.mark(n, false); c.Ivl = append(c.Ivl, v) }

// AppendFrom appends src's physical row i as row n.
func (c *Column) AppendFrom(n int, src *Column, i int) {
	if src.Null(i) {
		c.AppendNull(n)
		return
	}
	switch c.Type.Layout() {
	case types.LayoutBool:
		c.mark(n, false)
		c.U8 = append(c.U8, src.U8[i])
	case types.LayoutInt:
		c.AppendInt(n, src.I64[i])
	case types.LayoutFloat:
		c.AppendFloat(n, src.F64[i])
	case types.LayoutDec:
		c.AppendDec(n, src.Dec[i], src.Bytes)
	case types.LayoutIvl:
		c.AppendIvl(n, src.Ivl[i])
	case types.LayoutStr:
		c.AppendStr(n, src.StrAt(i))
	}
}

// AppendValue appends a boxed value of c's layout as row n. For sessions and tests.
func (c *Column) AppendValue(n int, v types.Value) {
	if v.Null {
		c.AppendNull(n)
		return
	}
	switch c.Type.Layout() {
	case types.LayoutBool:
		c.AppendBool(n, v.I != 0)
	case types.LayoutInt:
		c.AppendInt(n, v.I)
	case types.LayoutFloat:
		c.AppendFloat(n, v.F)
	case types.LayoutDec:
		c.AppendDec(n, v.D, []byte(v.S))
	case types.LayoutIvl:
		c.AppendIvl(n, v.V)
	case types.LayoutStr:
		c.AppendStr(n, []byte(v.S))
	}
}

// Shorten cuts c back to its first n values, when a row could not be completed.
func (c *Column) Shorten(n int) {
	if len(c.Valid) > (n+63)>>6 {
		c.Valid = c.Valid[:(n+63)>>6]
	}
	if n&63 != 0 && len(c.Valid) > n>>6 {
		c.Valid[n>>6] &= 1<<(uint(n)&63) - 1
	}
	c.U8, c.I64, c.F64 = c.U8[:min(n, len(c.U8))], c.I64[:min(n, len(c.I64))], c.F64[:min(n, len(c.F64))]
	c.Dec, c.Ivl, c.Str = c.Dec[:min(n, len(c.Dec))], c.Ivl[:min(n, len(c.Ivl))], c.Str[:min(n, len(c.Str))]
}
