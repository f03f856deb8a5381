package types

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Hashes have no seed and are the same on every machine and in every version:
// shards, and with them stored state, depend on them. testdata/hash.golden holds
// the values. All 64 bits are mixed: take the top 8 for the shard, others for slots.

const (
	mixA = 0x9e3779b97f4a7c15
	mixB = 0xbf58476d1ce4e5b9
	mixC = 0x94d049bb133111eb
)

// HashInt hashes any value of integer layout; integers of different kinds hash alike.
func HashInt(x int64) uint64 {
	hi, lo := bits.Mul64(uint64(x)^mixA, mixB)
	hi, lo = bits.Mul64(hi^lo^mixC, mixA)
	return hi ^ lo
}

// CombineHash folds the hash b of the next column into a. It depends on the order.
func CombineHash(a, b uint64) uint64 {
	hi, lo := bits.Mul64(bits.RotateLeft64(a, 29)*5+b^mixC, mixB)
	return hi ^ lo
}

// canonicalNaN is the one NaN that hashes and keys use.
const canonicalNaN = 0x7ff8000000000001

// HashFloat hashes a float: -0 as 0, every NaN alike.
func HashFloat(f float64) uint64 {
	u := math.Float64bits(f)
	if f == 0 {
		u = 0
	} else if f != f {
		u = canonicalNaN
	}
	return HashInt(int64(u))
}

// HashDec hashes a number: equal numbers hash alike whatever their scales, and
// whole numbers that fit int64 as HashInt does.
func HashDec(d Decimal, arena []byte) uint64 {
	var u uint128
	var scale int
	neg := d.Hi < 0
	switch d.Form {
	case DecFinite:
		u, scale = d.Coef().abs(), int(d.Scale)
		if scale != 0 {
			u, scale = strip(u, scale)
		}
	case DecBig:
		z, s := stripBig(d.coefBig(arena), int(d.Scale))
		c, fits := int128Of(z)
		if !fits {
			return CombineHash(HashBytes(z.Bytes()), HashInt(int64(s)*2+int64(z.Sign())))
		}
		u, scale, neg = c.abs(), s, c.Hi < 0
	default:
		return CombineHash(mixA, uint64(d.Form))
	}
	c, _ := u.signed(neg)
	h := HashInt(int64(c.Lo))
	if scale != 0 || c.Hi != int64(c.Lo)>>63 {
		h = CombineHash(h, HashInt(c.Hi)+uint64(scale))
	}
	return h
}

// HashIvl hashes an interval by its span: 1 month and 30 days hash alike, as they are equal.
func HashIvl(v IntervalVal) uint64 {
	s := v.span()
	h := HashInt(int64(s.Lo))
	if s.Hi != int64(s.Lo)>>63 {
		h = CombineHash(h, HashInt(s.Hi))
	}
	return h
}

// HashBytes hashes a string. The construction is wyhash's: 16 bytes at a time are
// folded by a 64x64->128 bit multiplication; three lanes for long inputs.
func HashBytes(b []byte) uint64 {
	n := len(b)
	h := uint64(mixA) ^ mixC
	var x, y uint64
	switch {
	case n > 16:
		if n > 48 {
			h1, h2 := h^mixB, h^mixA
			for len(b) > 48 {
				h = fold(le64(b)^mixA, le64(b[8:])^h)
				h1 = fold(le64(b[16:])^mixB, le64(b[24:])^h1)
				h2 = fold(le64(b[32:])^mixC, le64(b[40:])^h2)
				b = b[48:]
			}
			h ^= h1 ^ bits.RotateLeft64(h2, 17)
		}
		for len(b) > 16 {
			h = fold(le64(b)^mixA, le64(b[8:])^h)
			b = b[16:]
		}
		// 1 to 16 bytes are left; what precedes them fills up the words.
		return hashTail(h, b, n)
	case n >= 8:
		x, y = le64(b), le64(b[n-8:])
	case n >= 4:
		x, y = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		x = uint64(b[0])<<16 | uint64(b[n>>1])<<8 | uint64(b[n-1])
	}
	return finish(h, x, y, n)
}

func hashTail(h uint64, b []byte, n int) uint64 {
	var x, y uint64
	switch k := len(b); {
	case k >= 8:
		x, y = le64(b), le64(b[k-8:])
	case k >= 4:
		x, y = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[k-4:]))
	default:
		x = uint64(b[0])<<16 | uint64(b[k>>1])<<8 | uint64(b[k-1])
	}
	return finish(h, x, y, n)
}

func finish(h, x, y uint64, n int) uint64 {
	hi, lo := bits.Mul64(x^mixB, y^h)
	return fold(lo^mixA^uint64(n), hi^mixC)
}

func fold(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return hi ^ lo
}

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// HashString is HashBytes of a string.
func HashString(s string) uint64 {
	var buf [64]byte
	return HashBytes(append(buf[:0], s...))
}

// HashNull is the hash of NULL where NULLs are alike, as in GROUP BY.
const HashNull uint64 = 0x9ae16a3b2f90404f

// Hash64 hashes a boxed value as the hash functions of its layout do.
func Hash64(v Value) uint64 {
	if v.Null {
		return HashNull
	}
	switch v.T.Layout() {
	case LayoutBool, LayoutInt:
		return HashInt(v.I)
	case LayoutFloat:
		return HashFloat(v.F)
	case LayoutDec:
		return HashDec(v.D, arenaOf(v))
	case LayoutIvl:
		return HashIvl(v.V)
	case LayoutStr:
		return HashString(v.S)
	}
	return HashNull
}

// arenaOf returns the digits of a boxed big decimal.
func arenaOf(v Value) []byte {
	if v.D.Form != DecBig {
		return nil
	}
	return []byte(v.S)
}
