package flow

import (
	"math/big"
	"math/bits"

	"github.com/tidemill/tidemill/internal/types"
)

// wide is a signed integer of 256 bits in two's complement, least significant word
// first. Sums of up to 2^63 products of two 64-bit numbers fit.
type wide = [4]uint64

// addWide adds x*weight to w. ok is false, and w unchanged, if that leaves 256 bits.
func addWide(w *wide, x types.Int128, weight int64) (ok bool) {
	neg := (x.Hi < 0) != (weight < 0)
	hi, lo := uint64(x.Hi), x.Lo
	if x.Hi < 0 {
		var c uint64
		lo, c = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, c)
	}
	u := uint64(weight)
	if weight < 0 {
		u = -u
	}
	p1, p0 := bits.Mul64(lo, u)
	p2, q1 := bits.Mul64(hi, u)
	p1, c := bits.Add64(p1, q1, 0)
	p2 += c
	return addLimbs(w, p0, p1, p2, 0, neg)
}

// addLimbs adds, or subtracts, an unsigned number below 2^255.
func addLimbs(w *wide, x0, x1, x2, x3 uint64, neg bool) (ok bool) {
	var r wide
	var c uint64
	if neg {
		r[0], c = bits.Sub64(w[0], x0, 0)
		r[1], c = bits.Sub64(w[1], x1, c)
		r[2], c = bits.Sub64(w[2], x2, c)
		r[3], _ = bits.Sub64(w[3], x3, c)
		if (w[3]^x3)&(w[3]^r[3])>>63 != 0 {
			return false
		}
	} else {
		r[0], c = bits.Add64(w[0], x0, 0)
		r[1], c = bits.Add64(w[1], x1, c)
		r[2], c = bits.Add64(w[2], x2, c)
		r[3], _ = bits.Add64(w[3], x3, c)
		if (w[3]^r[3])&(x3^r[3])>>63 != 0 {
			return false
		}
	}
	*w = r
	return true
}

// int128 returns w if it fits 128 bits.
func wideInt128(w *wide) (types.Int128, bool) {
	sign := uint64(int64(w[1]) >> 63)
	return types.Int128{Hi: int64(w[1]), Lo: w[0]}, w[2] == sign && w[3] == sign
}

// setWide makes w a number of less than 255 bits.
func setWide(w *wide, z *big.Int) {
	*w = wide{}
	for i, d := range z.Bits() {
		at := uint(i) * bits.UintSize
		w[at/64] |= uint64(d) << (at % 64)
	}
	if z.Sign() < 0 {
		c := uint64(0)
		for i := range w {
			w[i], c = bits.Sub64(0, w[i], c)
		}
	}
}

// wideBig returns w as a big integer of the caller's own.
func wideBig(w *wide) *big.Int { return limbsBig(w[:]) }

// limbsBig returns the two's complement number in limbs.
func limbsBig(limbs []uint64) *big.Int {
	neg := int64(limbs[len(limbs)-1]) < 0
	buf := make([]byte, 0, len(limbs)*8)
	for i := len(limbs) - 1; i >= 0; i-- {
		l := limbs[i]
		if neg {
			l = ^l
		}
		for s := 56; s >= 0; s -= 8 {
			buf = append(buf, byte(l>>uint(s)))
		}
	}
	z := new(big.Int).SetBytes(buf)
	if neg {
		z.Not(z)
	}
	return z
}
