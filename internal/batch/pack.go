package batch

import (
	"bytes"
	"math/bits"

	"github.com/tidemill/tidemill/internal/types"
)

// pack fills s.packed with a key and the position of each of rows, from the order's
// items from item on. It returns the first item that the key does not hold whole,
// and how many bits of the key are used.
func (s *Sorter) pack(rows []uint32, item int) (next, used int) {
	packed := s.packed[:len(rows)]
	clear(packed)
	rowBits := bits.Len(uint(len(rows) - 1))
	room := 64 - rowBits
	for ; item < len(s.order) && used < room; item++ {
		n, whole := s.packItem(rows, s.order[item], room-used)
		used += n
		if !whole {
			break
		}
	}
	for i := range packed {
		packed[i] = packed[i]<<rowBits | uint64(i)
	}
	return item, used
}

// packItem appends at most room bits of a column to the keys of rows. It returns how
// many, and whether they say all about the order by k.
func (s *Sorter) packItem(rows []uint32, k Key, room int) (used int, whole bool) {
	c := &s.b.Cols[k.Col]
	vals := s.vals[:len(rows)]
	nulls := 0
	if c.Type.Layout() == types.LayoutNone {
		return 0, true
	}
	if c.Valid != nil {
		for _, i := range rows {
			nulls += int(^c.Valid[i>>6] >> (i & 63) & 1)
		}
		if nulls == len(rows) {
			return 0, true
		}
	}
	var valid Bitmap // nil if no row is NULL
	if nulls > 0 {
		valid = c.Valid
	}
	if c.Type.Layout() == types.LayoutInt && valid == nil {
		return s.packInts(rows, c.I64, k.Desc, room)
	}
	whole = orderedValues(vals, c, valid, rows)
	least, most := ^uint64(0), uint64(0)
	if valid == nil {
		for _, v := range vals {
			least, most = min(least, v), max(most, v)
		}
	} else {
		for x, i := range rows {
			if valid.Get(int(i)) {
				least, most = min(least, vals[x]), max(most, vals[x])
			}
		}
	}
	width := bits.Len64(most - least)
	if width == 0 && nulls == 0 {
		return 0, whole
	}
	shift := 0
	if valid == nil {
		if width > room {
			shift, width, whole = width-room, room, false
		}
		s.appendBits(vals, least, most, k.Desc, width, shift)
		return width, whole
	}
	// A bit above tells NULLs from the rest.
	if width+1 > room {
		shift, width, whole = width+1-room, room-1, false
	}
	s.appendNullable(rows, valid, least, most, k, width, shift)
	return width + 1, whole
}

// packInts is packItem for integers without NULLs, the most frequent case.
func (s *Sorter) packInts(rows []uint32, ints []int64, desc bool, room int) (used int, whole bool) {
	least, most := ints[rows[0]], ints[rows[0]]
	if s.whole(rows) {
		ints = ints[:len(rows)]
		for _, v := range ints {
			least, most = min(least, v), max(most, v)
		}
	} else {
		for _, i := range rows {
			v := ints[i]
			least, most = min(least, v), max(most, v)
		}
	}
	width := bits.Len64(uint64(most - least)) // which wraps around as it should
	if width == 0 {
		return 0, true
	}
	shift := max(0, width-room)
	width -= shift
	packed := s.packed[:len(rows)]
	switch {
	case desc:
		for x, i := range rows {
			packed[x] = packed[x]<<width | uint64(most-ints[i])>>shift
		}
	case s.whole(rows):
		for x, v := range ints {
			packed[x] = packed[x]<<width | uint64(v-least)>>shift
		}
	default:
		for x, i := range rows {
			packed[x] = packed[x]<<width | uint64(ints[i]-least)>>shift
		}
	}
	return width, shift == 0
}

// whole reports that rows are all of the batch in its own order: at first, without
// a selection.
func (s *Sorter) whole(rows []uint32) bool {
	return s.b.Sel == nil && len(rows) == s.b.N && !s.stirred
}

// appendBits appends to each key the value's distance from least, or from most in
// descending order, in width bits without the lowest shift.
func (s *Sorter) appendBits(vals []uint64, least, most uint64, desc bool, width, shift int) {
	packed := s.packed[:len(vals)]
	if desc {
		for x, v := range vals {
			packed[x] = packed[x]<<width | (most-v)>>shift
		}
		return
	}
	for x, v := range vals {
		packed[x] = packed[x]<<width | (v-least)>>shift
	}
}

func (s *Sorter) appendNullable(rows []uint32, valid Bitmap, least, most uint64, k Key, width, shift int) {
	vals := s.vals[:len(rows)]
	null, value := uint64(1)<<width, uint64(0)
	if k.NullsFirst {
		null, value = value, null
	}
	for x, i := range rows {
		v := null
		if valid.Get(int(i)) {
			if k.Desc {
				v = value | (most-vals[x])>>shift
			} else {
				v = value | (vals[x]-least)>>shift
			}
		}
		s.packed[x] = s.packed[x]<<(width+1) | v
	}
}

// orderedValues sets vals to numbers whose order agrees with SQL's order of the
// values of rows, and reports whether equal ones mean equal values. The numbers of
// NULLs, which are where valid says so, mean nothing.
func orderedValues(vals []uint64, c *Column, valid Bitmap, rows []uint32) bool {
	switch c.Type.Layout() {
	case types.LayoutBool:
		for x, i := range rows {
			vals[x] = uint64(c.U8[i])
		}
	case types.LayoutInt:
		for x, i := range rows {
			vals[x] = uint64(c.I64[i]) ^ 1<<63
		}
	case types.LayoutFloat:
		for x, i := range rows {
			vals[x] = orderedFloat(c.F64[i])
		}
	case types.LayoutDec:
		return orderedDecimals(vals, c, valid, rows)
	case types.LayoutStr:
		return orderedTexts(vals, c, valid, rows)
	default:
		clear(vals)
		return false
	}
	return true
}

// orderedDecimals does it for numbers of one scale that fit 64 bits, which is most
// of them; for others it says nothing.
func orderedDecimals(vals []uint64, c *Column, valid Bitmap, rows []uint32) bool {
	scale, first := int16(0), true
	for x, i := range rows {
		if !valid.Get(int(i)) {
			continue
		}
		d := &c.Dec[i]
		if first {
			scale, first = d.Scale, false
		}
		if d.Form != types.DecFinite || d.Scale != scale || d.Hi != int64(d.Lo)>>63 {
			clear(vals)
			return false
		}
		vals[x] = d.Lo ^ 1<<63
	}
	return true
}

// orderedTexts does it with eight bytes behind what all texts begin with.
func orderedTexts(vals []uint64, c *Column, valid Bitmap, rows []uint32) bool {
	shared := c.sharedPrefix(valid, rows)
	shortest, longest := ^uint32(0), uint32(0)
	for x, i := range rows {
		if !valid.Get(int(i)) {
			continue
		}
		r := c.Str[i]
		shortest, longest = min(shortest, r.Len), max(longest, r.Len)
		vals[x] = textPrefix(c.Bytes[r.Off+shared : r.Off+r.Len])
	}
	return shortest == longest && longest-shared <= 8
}

// sharedPrefix returns how many bytes the texts of rows have in common at their start.
func (c *Column) sharedPrefix(valid Bitmap, rows []uint32) uint32 {
	var shared []byte
	first := true
	for _, i := range rows {
		if !valid.Get(int(i)) {
			continue
		}
		s := c.StrAt(int(i))
		if first {
			shared, first = s, false
		} else if !bytes.HasPrefix(s, shared) {
			n := 0
			for n < len(s) && n < len(shared) && s[n] == shared[n] {
				n++
			}
			shared = shared[:n]
		}
		if len(shared) == 0 {
			return 0
		}
	}
	return uint32(len(shared))
}
