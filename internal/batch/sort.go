package batch

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"

	"github.com/tidemill/tidemill/internal/types"
)

// Key orders rows by one column. It has the meaning of ORDER BY: NULLs are the
// greatest values unless NullsFirst says where they go; see Order.
type Key struct {
	Col        int
	Desc       bool
	NullsFirst bool
}

// Ascending returns the keys for columns cols in ascending order, NULLs last.
func Ascending(cols ...int) []Key {
	ks := make([]Key, len(cols))
	for i, c := range cols {
		ks[i].Col = c
	}
	return ks
}

// CompareRows orders row i of a and row j of b, of the same types, by keys.
func CompareRows(a *Batch, i int, b *Batch, j int, keys []Key) int {
	for _, k := range keys {
		if c := CompareColumns(&a.Cols[k.Col], i, &b.Cols[k.Col], j, k); c != 0 {
			return c
		}
	}
	return 0
}

// CompareWhole orders whole rows, first by SQL's order and then, where SQL calls
// values equal that print differently (1.0 and 1.00), by their form. It is 0 only
// for identical rows.
func CompareWhole(a *Batch, i int, b *Batch, j int) int {
	for c := range a.Cols {
		if r := CompareColumns(&a.Cols[c], i, &b.Cols[c], j, Key{}); r != 0 {
			return r
		}
	}
	for c := range a.Cols {
		if r := compareForm(&a.Cols[c], i, &b.Cols[c], j); r != 0 {
			return r
		}
	}
	return 0
}

// CompareColumns orders row i of a against row j of b as key k says; k.Col is not used.
func CompareColumns(a *Column, i int, b *Column, j int, k Key) int {
	an, bn := a.Null(i), b.Null(j)
	if an || bn {
		switch {
		case an && bn:
			return 0
		case an == k.NullsFirst:
			return -1
		}
		return 1
	}
	r := compareValue(a, i, b, j)
	if k.Desc {
		return -r
	}
	return r
}

// compareValue orders two values that are not NULL, as SQL does.
func compareValue(a *Column, i int, b *Column, j int) int {
	switch a.Type.Layout() {
	case types.LayoutBool:
		return cmp.Compare(a.U8[i], b.U8[j])
	case types.LayoutInt:
		return cmp.Compare(a.I64[i], b.I64[j])
	case types.LayoutFloat:
		return types.CompareFloat(a.F64[i], b.F64[j])
	case types.LayoutDec:
		return types.CompareDec(a.Dec[i], a.Bytes, b.Dec[j], b.Bytes)
	case types.LayoutIvl:
		return types.CompareIvl(a.Ivl[i], b.Ivl[j])
	case types.LayoutStr:
		return bytes.Compare(a.StrAt(i), b.StrAt(j))
	}
	return 0
}

// compareForm orders two values that SQL calls equal by how they are written.
func compareForm(a *Column, i int, b *Column, j int) int {
	if a.Null(i) || b.Null(j) {
		return 0
	}
	switch a.Type.Layout() {
	case types.LayoutFloat:
		return cmp.Compare(floatForm(a.F64[i]), floatForm(b.F64[j]))
	case types.LayoutDec:
		return cmp.Compare(a.Dec[i].Scale, b.Dec[j].Scale)
	case types.LayoutIvl:
		x, y := a.Ivl[i], b.Ivl[j]
		if c := cmp.Compare(x.Months, y.Months); c != 0 {
			return c
		}
		if c := cmp.Compare(x.Days, y.Days); c != 0 {
			return c
		}
		return cmp.Compare(x.Micros, y.Micros)
	}
	return 0
}

// floatForm is the bits of f, with one form for every NaN.
func floatForm(f float64) uint64 {
	if f != f {
		return ^uint64(0)
	}
	return math.Float64bits(f)
}

// prefixAt is the prefix of the value at row i; see Prefixes.
func prefixAt(c *Column, layout types.Layout, i int, k Key) uint64 {
	if c.Null(i) {
		if k.NullsFirst {
			return 0
		}
		return ^uint64(0)
	}
	var p uint64
	switch layout {
	case types.LayoutBool:
		p = uint64(c.U8[i])
	case types.LayoutInt:
		p = uint64(c.I64[i]) ^ 1<<63
	case types.LayoutFloat:
		p = orderedFloat(c.F64[i])
	case types.LayoutStr:
		p = textPrefix(c.StrAt(i))
	}
	if k.Desc {
		return ^p
	}
	return p
}

// orderedFloat maps a float to an integer of the same order; NaN is the greatest.
func orderedFloat(f float64) uint64 {
	if f != f {
		return ^uint64(0)
	}
	if f == 0 {
		f = 0 // -0 is 0
	}
	u := math.Float64bits(f)
	if u>>63 != 0 {
		return ^u
	}
	return u | 1<<63
}

func textPrefix(s []byte) uint64 {
	if len(s) >= 8 {
		return binary.BigEndian.Uint64(s)
	}
	var p uint64
	for i, b := range s {
		p |= uint64(b) << (56 - 8*uint(i))
	}
	return p
}
