package state

import (
	"bytes"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Keyed state keeps rows in a stable format of 8-byte words, so that pages can be
// written out as they are:
//
//	word 0          stamp: at least 1 + the step that last touched the row, rising
//	                from step to step; ^0 when the row is free
//	word 1          tag<<32 | NULL bits of columns 0 to 31 (set: NULL). The tag is
//	                the low half of the key's hash. Free rows: the next free one
//	words 2..       NULL bits of columns 32 and up, 64 a word
//	then            the columns: Bool, Int, Float 1 word; Ivl 2; Dec 3; Str 1, its
//	                word in the arena. NULL is all zeros
//	then            payload words
//
// A Dec is Hi, Lo, scale<<8 | form; a Big one's Lo is the word of its digits.
const (
	stampWord = 0
	tagWord   = 1
	baseHead  = 2 // words before NULL bits and columns
	freeStamp = ^uint64(0)
)

// layoutWords is how many words a value takes.
var layoutWords = [...]int{
	types.LayoutNone: 0, types.LayoutBool: 1, types.LayoutInt: 1, types.LayoutFloat: 1,
	types.LayoutDec: 3, types.LayoutIvl: 2, types.LayoutStr: 1,
}

// rowLayout says where in a row its columns are, in words.
type rowLayout struct {
	types   []types.Type
	off     []int
	nulls   int // first word of further NULL bits
	payload int // first payload word
	words   int
	text    bool // some column keeps bytes in the arena
}

func newLayout(ts []types.Type, payloadWords int) rowLayout {
	l := rowLayout{types: ts, off: make([]int, len(ts)), nulls: baseHead}
	w := l.nulls
	if len(ts) > 32 {
		w += (len(ts) - 32 + 63) / 64
	}
	for c, t := range ts {
		l.off[c] = w
		w += layoutWords[t.Layout()]
		l.text = l.text || t.Layout() == types.LayoutStr || t.Layout() == types.LayoutDec
	}
	l.payload = w
	l.words = w + payloadWords
	return l
}

func (l *rowLayout) isNull(w []uint64, c int) bool {
	if c < 32 {
		return w[tagWord]>>uint(c)&1 != 0
	}
	return w[l.nulls+(c-32)>>6]>>(uint(c-32)&63)&1 != 0
}

func (l *rowLayout) setNull(w []uint64, c int) {
	if c < 32 {
		w[tagWord] |= 1 << uint(c)
		return
	}
	w[l.nulls+(c-32)>>6] |= 1 << (uint(c-32) & 63)
}

// nan is the one form in which NaN is kept.
var nan = math.Float64bits(math.NaN())

// floatBits gives the identity of a float: its bits, one form for all NaNs.
func floatBits(f float64) uint64 {
	if f != f {
		return nan
	}
	return math.Float64bits(f)
}

// keyFloatBits is floatBits with -0 as 0.
func keyFloatBits(f float64) uint64 {
	if f == 0 {
		return 0
	}
	return floatBits(f)
}

func decTail(d types.Decimal) uint64 { return uint64(uint16(d.Scale))<<8 | uint64(d.Form) }

func ivlWord(v types.IntervalVal) uint64 {
	return uint64(uint32(v.Months))<<32 | uint64(uint32(v.Days))
}

// put writes the value of column c of the row w, whose words are zero, as it is.
func (st *store) put(w []uint64, c int, col *batch.Column, i int) {
	if col.Null(i) {
		st.l.setNull(w, c)
		return
	}
	o := st.l.off[c]
	switch st.l.types[c].Layout() {
	case types.LayoutBool:
		w[o] = uint64(col.U8[i])
	case types.LayoutInt:
		w[o] = uint64(col.I64[i])
	case types.LayoutFloat:
		w[o] = floatBits(col.F64[i])
	case types.LayoutDec:
		st.putDec(w[o:o+3], col.Dec[i], col.Bytes)
	case types.LayoutIvl:
		w[o], w[o+1] = uint64(col.Ivl[i].Micros), ivlWord(col.Ivl[i])
	case types.LayoutStr:
		w[o] = st.text.Put(col.StrAt(i))
	}
}

// putKey is put for a key column, in canonical form: see Table.
func (st *store) putKey(w []uint64, c int, col *batch.Column, i int) {
	if col.Null(i) {
		st.l.setNull(w, c)
		return
	}
	o := st.l.off[c]
	switch st.l.types[c].Layout() {
	case types.LayoutFloat:
		w[o] = keyFloatBits(col.F64[i])
	case types.LayoutDec:
		st.putKeyDec(w[o:o+3], st.l.types[c], col.Dec[i], col.Bytes)
	case types.LayoutIvl:
		v := canonicalIvl(col.Ivl[i])
		w[o], w[o+1] = uint64(v.Micros), ivlWord(v)
	default:
		st.put(w, c, col, i)
	}
}

// putKeyDec writes a numeric of type t without trailing zeros, unless t fixes the
// scale.
func (st *store) putKeyDec(w []uint64, t types.Type, d types.Decimal, arena []byte) {
	if t.Mod == 0 {
		var own []byte // only Big numbers get there
		trimmed, err := types.DecTrimScale(d, arena, &own)
		if err != nil {
			panic("state: a numeric has too many digits: " + err.Error()) // trimming never adds any
		}
		d, arena = trimmed, own
	}
	st.putDec(w, d, arena)
}

func (st *store) putDec(w []uint64, d types.Decimal, arena []byte) {
	w[0], w[1], w[2] = uint64(d.Hi), d.Lo, decTail(d)
	if d.Form == types.DecBig {
		w[1] = st.text.Put(bigBytes(d, arena))
	}
}

// bigBytes returns the digits of a Big decimal in their arena.
func bigBytes(d types.Decimal, arena []byte) []byte {
	off, n := d.Lo>>32, d.Lo&0xffffffff
	return arena[off : off+n : off+n]
}

func ivl(w []uint64) types.IntervalVal {
	return types.IntervalVal{Micros: int64(w[0]), Months: int32(w[1] >> 32), Days: int32(w[1])}
}

// same reports whether column c of row w is identical to row i of col.
func (st *store) same(w []uint64, c int, col *batch.Column, i int) bool {
	if null := col.Null(i); null || st.l.isNull(w, c) {
		return null && st.l.isNull(w, c)
	}
	o := st.l.off[c]
	switch st.l.types[c].Layout() {
	case types.LayoutBool:
		return w[o] == uint64(col.U8[i])
	case types.LayoutInt:
		return w[o] == uint64(col.I64[i])
	case types.LayoutFloat:
		return w[o] == floatBits(col.F64[i])
	case types.LayoutDec:
		d := col.Dec[i]
		if w[o+2] != decTail(d) {
			return false
		}
		if d.Form == types.DecBig {
			return w[o] == uint64(d.Hi) && bytes.Equal(st.text.Get(w[o+1]), bigBytes(d, col.Bytes))
		}
		return w[o] == uint64(d.Hi) && w[o+1] == d.Lo
	case types.LayoutIvl:
		return w[o] == uint64(col.Ivl[i].Micros) && w[o+1] == ivlWord(col.Ivl[i])
	case types.LayoutStr:
		return bytes.Equal(st.text.Get(w[o]), col.StrAt(i))
	}
	return true
}

// equal reports whether key column c of row w equals row i of col, as GROUP BY
// compares.
func (st *store) equal(w []uint64, c int, col *batch.Column, i int) bool {
	if null := col.Null(i); null || st.l.isNull(w, c) {
		return null && st.l.isNull(w, c)
	}
	o := st.l.off[c]
	switch st.l.types[c].Layout() {
	case types.LayoutFloat:
		return w[o] == keyFloatBits(col.F64[i])
	case types.LayoutDec:
		return st.same(w, c, col, i) || st.equalDec(w[o:o+3], col, i)
	case types.LayoutIvl:
		return types.CompareIvl(ivl(w[o:o+2]), col.Ivl[i]) == 0
	}
	return st.same(w, c, col, i)
}

func (st *store) equalDec(w []uint64, col *batch.Column, i int) bool {
	d, digits := st.dec(w)
	return types.CompareDec(d, digits, col.Dec[i], col.Bytes) == 0
}

// appendTo appends column c of row w to dst, which holds n values.
func (st *store) appendTo(w []uint64, c int, dst *batch.Column, n int) {
	if st.l.isNull(w, c) {
		dst.AppendNull(n)
		return
	}
	o := st.l.off[c]
	switch st.l.types[c].Layout() {
	case types.LayoutBool:
		dst.AppendBool(n, w[o] != 0)
	case types.LayoutInt:
		dst.AppendInt(n, int64(w[o]))
	case types.LayoutFloat:
		dst.AppendFloat(n, math.Float64frombits(w[o]))
	case types.LayoutDec:
		d, digits := st.dec(w[o : o+3])
		dst.AppendDec(n, d, digits)
	case types.LayoutIvl:
		dst.AppendIvl(n, ivl(w[o:o+2]))
	case types.LayoutStr:
		dst.AppendStr(n, st.text.Get(w[o]))
	}
}
