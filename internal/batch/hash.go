package batch

import "github.com/tidemill/tidemill/internal/types"

// nullHash is the hash of NULL in a key.
const nullHash = 0x9ae16a3b2f90404f

// HashRows hashes columns cols of b's selected rows: dst[k] is the hash of the
// k-th selected row. Values that are equal in SQL hash alike, and so do NULLs;
// the bits are the same on every machine and in every version, because shards
// depend on them. dst has room for b.Len() values; it is returned cut to size.
func HashRows(dst []uint64, b *Batch, cols []int) []uint64 {
	n := b.Len()
	dst = dst[:n]
	if len(cols) == 0 {
		clear(dst)
		return dst
	}
	for j, c := range cols {
		hashColumn(dst, b, &b.Cols[c], j > 0)
	}
	return dst
}

// hashColumn writes the hashes of one column, or combines them into dst.
func hashColumn(dst []uint64, b *Batch, c *Column, combine bool) {
	switch c.Type.Layout() {
	case types.LayoutInt:
		if b.Sel == nil && c.Valid == nil && !combine {
			for i, v := range c.I64[:len(dst)] {
				dst[i] = types.HashInt(v)
			}
			return
		}
	case types.LayoutNone:
		for k := range dst {
			dst[k] = mix(dst[k], nullHash, combine)
		}
		return
	}
	for k := range dst {
		i := b.Row(k)
		h := uint64(nullHash)
		if c.Valid.Get(i) {
			h = c.hashAt(i)
		}
		dst[k] = mix(dst[k], h, combine)
	}
}

func mix(old, h uint64, combine bool) uint64 {
	if combine {
		return types.CombineHash(old, h)
	}
	return h
}

// hashAt hashes the value at row i, which is not NULL.
func (c *Column) hashAt(i int) uint64 {
	switch c.Type.Layout() {
	case types.LayoutBool:
		return types.HashInt(int64(c.U8[i]))
	case types.LayoutInt:
		return types.HashInt(c.I64[i])
	case types.LayoutFloat:
		return types.HashFloat(c.F64[i])
	case types.LayoutDec:
		return types.HashDec(c.Dec[i], c.Bytes)
	case types.LayoutIvl:
		return types.HashIvl(c.Ivl[i])
	case types.LayoutStr:
		return types.HashBytes(c.StrAt(i))
	}
	return nullHash
}

// Shards is the number of virtual key ranges that state and work are divided into.
const Shards = 256

// ShardOf returns the shard that owns the keys of hash h.
func ShardOf(h uint64) int { return int(h >> 56) }
