package batch

import "github.com/tidemill/tidemill/internal/types"

// Consolidator turns any Z-set into its canonical form. It keeps scratch memory
// between calls; one owner.
type Consolidator struct {
	sorter Sorter
	rows   []uint32
}

// Consolidate sums the weights of identical rows and drops zeros.
// In: selected rows in any order. Out: a sealed batch of the rows left, ordered by
// keys and then by the whole row, with fresh memory. A row whose weights all are +1
// needs no Weights. Cost: O(n log n).
// Source: Budiu et al., "DBSP", VLDB 2023, section 2.
func (cs *Consolidator) Consolidate(b *Batch, keys []Key) *Batch {
	cs.rows = cs.sorter.Sort(cs.rows[:0], b, keys)
	bu := NewBuilder(b.Types())
	cs.merge(b, func(i int, w int64) { bu.AppendFrom(b, i, w) })
	return bu.Seal()
}

// merge hands on each distinct row of the sorted rows with its summed weight.
func (cs *Consolidator) merge(b *Batch, keep func(row int, weight int64)) {
	for k := 0; k < len(cs.rows); {
		i := int(cs.rows[k])
		w := b.Weight(i)
		for k++; k < len(cs.rows) && CompareWhole(b, i, b, int(cs.rows[k])) == 0; k++ {
			w += b.Weight(int(cs.rows[k]))
		}
		if w != 0 {
			keep(i, w)
		}
	}
}

// Consolidate is Consolidator.Consolidate without scratch to keep, ordered by the
// whole row.
func Consolidate(b *Batch) *Batch {
	var cs Consolidator
	return cs.Consolidate(b, nil)
}

// Digest is an order-free fingerprint of a Z-set: equal for equal sets however they
// are cut or ordered. Digests of parts add up with Add.
type Digest struct{ Hi, Lo uint64 }

// Add returns the digest of the union of two Z-sets.
func (d Digest) Add(e Digest) Digest { return Digest{d.Hi + e.Hi, d.Lo + e.Lo} }

// DigestOf returns the digest of b's selected rows. It tells apart values that SQL
// calls equal but prints differently.
func DigestOf(b *Batch) Digest {
	var d Digest
	var buf []byte
	for k, n := 0, b.Len(); k < n; k++ {
		i := b.Row(k)
		buf = buf[:0]
		for c := range b.Cols {
			buf = b.Cols[c].appendIdentity(buf, i)
		}
		h := types.HashBytes(buf)
		w := uint64(b.Weight(i))
		d.Lo += h * w
		d.Hi += types.HashInt(int64(h^0x5851f42d4c957f2d)) * w
	}
	return d
}

// appendIdentity appends bytes that are equal exactly for identical values.
func (c *Column) appendIdentity(dst []byte, i int) []byte {
	if c.Null(i) {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch c.Type.Layout() {
	case types.LayoutBool:
		return append(dst, c.U8[i])
	case types.LayoutInt:
		return appendUint64(dst, uint64(c.I64[i]))
	case types.LayoutFloat:
		return appendUint64(dst, floatForm(c.F64[i]))
	case types.LayoutDec:
		d := c.Dec[i]
		dst = append(dst, byte(d.Form), byte(d.Scale), byte(d.Scale>>8))
		if d.Form == types.DecBig {
			off, n := d.Lo>>32, d.Lo&0xffffffff
			dst = appendUint64(dst, n)
			return append(dst, c.Bytes[off:off+n]...)
		}
		return appendUint64(appendUint64(dst, uint64(d.Hi)), d.Lo)
	case types.LayoutIvl:
		v := c.Ivl[i]
		return appendUint64(appendUint64(dst, uint64(v.Micros)), uint64(uint32(v.Days))<<32|uint64(uint32(v.Months)))
	case types.LayoutStr:
		s := c.StrAt(i)
		return append(appendUint64(dst, uint64(len(s))), s...)
	}
	return dst
}

func appendUint64(dst []byte, v uint64) []byte {
	return append(dst, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
}
