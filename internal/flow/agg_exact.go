package flow

import (
	"math"
	"math/big"
	"math/bits"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// An exact sum of floats is a fixed-point number wide enough for every float, so
// that it does not depend on order and values can be withdrawn again. Its bit 0 is
// worth 2^-1074, the least float; limb i is bits 64i and up.
//
// Most sums need few of these bits: exactWords words of the payload hold a tag and
// a window of four limbs in two's complement. A value that does not fit the window,
// NaN and the infinities move the sum to a full accumulator beside the table.
// Source: Kulisch, "Computer Arithmetic and Validity", 2008; Neal, "Fast exact
// summation using small and large superaccumulators", 2015.
type exactSums struct{ full slab }

const (
	exactWords = 5 // tag, then the window
	// tag: 1 + the window's first limb, 0 when the sum is 0 and has no window;
	// the number of the full accumulator in the upper half, 0 when there is none.

	// fullLimbs is enough for 2^63 times the sum of 2^63 greatest floats.
	fullLimbs = 36
	fullNaN   = fullLimbs // number of NaNs, then of +Inf and of -Inf
	fullPos   = fullLimbs + 1
	fullNeg   = fullLimbs + 2
	fullWords = fullLimbs + 3

	mantBits = 52
	bias     = 1074 // bit 0 is worth 2^-bias
)

func newExactSums(mem *state.Memory) exactSums { return exactSums{newSlab(mem, fullWords)} }

func (x *exactSums) persist(p *state.Persist) { x.full.persist(p) }
func (x *exactSums) bytes() int64             { return x.full.bytes() }

// add adds f*weight to the sum in w.
func (x *exactSums) add(w []uint64, f float64, weight int64) {
	u := math.Float64bits(f)
	exp, mant := int(u>>mantBits&0x7ff), u&(1<<mantBits-1)
	if exp == 0x7ff {
		x.special(w, f, weight)
		return
	}
	if exp == 0 {
		exp = 1
	} else {
		mant |= 1 << mantBits
	}
	if mant == 0 {
		return
	}
	neg := u>>63 != 0
	m := uint64(weight)
	if weight < 0 {
		neg, m = !neg, -m
	}
	hi, lo := bits.Mul64(mant, m)
	limb, s := (exp-1)>>6, uint(exp-1)&63
	v0, v1, v2 := lo<<s, hi<<s|lo>>(64-s), hi>>(64-s)
	tag := w[0]
	if tag == 0 {
		// A limb below the first value's, for smaller ones to come.
		tag = uint64(max(limb-1, 0)) + 1
		w[0] = tag
	}
	if tag>>32 == 0 {
		win := (*wide)(w[1:5])
		ok := false
		switch limb - int(tag) + 1 {
		case 0:
			ok = addLimbs(win, v0, v1, v2, 0, neg)
		case 1:
			ok = v2>>63 == 0 && addLimbs(win, 0, v0, v1, v2, neg)
		case 2:
			ok = v2 == 0 && v1>>63 == 0 && addLimbs(win, 0, 0, v0, v1, neg)
		case 3:
			ok = v1|v2 == 0 && v0>>63 == 0 && addLimbs(win, 0, 0, 0, v0, neg)
		}
		if ok {
			if win[0]|win[1]|win[2]|win[3] == 0 {
				w[0] = 0
			}
			return
		}
	}
	acc := x.spill(w)
	addFull(acc, limb, [3]uint64{v0, v1, v2}, neg)
}

func (x *exactSums) special(w []uint64, f float64, weight int64) {
	acc := x.spill(w)
	switch {
	case f != f:
		acc[fullNaN] += uint64(weight)
	case f > 0:
		acc[fullPos] += uint64(weight)
	default:
		acc[fullNeg] += uint64(weight)
	}
}

// addFull adds or subtracts v at a limb.
func addFull(acc []uint64, limb int, v [3]uint64, neg bool) {
	var c uint64
	for i := limb; i < fullLimbs; i++ {
		a := uint64(0)
		if i-limb < len(v) {
			a = v[i-limb]
		} else if c == 0 {
			return
		}
		if neg {
			acc[i], c = bits.Sub64(acc[i], a, c)
		} else {
			acc[i], c = bits.Add64(acc[i], a, c)
		}
	}
}

// spill returns w's full accumulator for writing, making it if need be.
func (x *exactSums) spill(w []uint64) []uint64 {
	if id := uint32(w[0] >> 32); id != 0 {
		return x.full.edit(id)
	}
	base := int(w[0]) - 1
	id, acc := x.full.alloc()
	w[0] = uint64(id) << 32
	if base >= 0 {
		sign := uint64(int64(w[4]) >> 63)
		for i := base; i < fullLimbs; i++ {
			if i-base < 4 {
				acc[i] = w[1+i-base]
			} else {
				acc[i] = sign
			}
		}
	}
	clear(w[1:5])
	return acc
}

// at returns a full accumulator for reading.
func (x *exactSums) at(tag uint64) []uint64 { return x.full.at(uint32(tag >> 32)) }

// reset gives w's full accumulator back and makes the sum 0.
func (x *exactSums) reset(w []uint64) {
	if id := uint32(w[0] >> 32); id != 0 {
		x.full.release(id)
	}
	clear(w[:exactWords])
}

// settle moves a sum that has become 0 back into its words.
func (x *exactSums) settle(w []uint64) {
	if w[0]>>32 == 0 {
		return
	}
	for _, l := range x.at(w[0]) {
		if l != 0 {
			return
		}
	}
	x.reset(w)
}

// value returns the sum, rounded once to prec bits, to nearest and even: 53 for
// double precision, 24 for real. overflow says that it is too large although no
// infinity went in.
func (x *exactSums) value(w []uint64, prec int) (f float64, overflow bool) {
	if w[0]>>32 == 0 {
		if w[0] == 0 {
			return 0, false
		}
		return roundLimbs(w[1:5], int(w[0])-1, prec)
	}
	acc := x.at(w[0])
	if f, ok := specialValue(acc); ok {
		return f, false
	}
	return roundLimbs(acc[:fullLimbs], 0, prec)
}

// specialValue returns the sum when NaN or an infinity is among the values.
func specialValue(acc []uint64) (float64, bool) {
	pos, neg := int64(acc[fullPos]) > 0, int64(acc[fullNeg]) > 0
	switch {
	case int64(acc[fullNaN]) > 0 || pos && neg:
		return math.NaN(), true
	case pos:
		return math.Inf(1), true
	case neg:
		return math.Inf(-1), true
	}
	return 0, false
}

// big returns the sum times 2^bias as an integer; ok is false when it is special.
func (x *exactSums) big(w []uint64) (z *big.Int, ok bool) {
	switch {
	case w[0] == 0:
		return new(big.Int), true
	case w[0]>>32 == 0:
		z = limbsBig(w[1:5])
		return z.Lsh(z, uint(64*(int(w[0])-1))), true
	}
	acc := x.at(w[0])
	if _, special := specialValue(acc); special {
		return nil, false
	}
	return limbsBig(acc[:fullLimbs]), true
}

// roundLimbs rounds a two's complement number whose first limb is number base.
func roundLimbs(limbs []uint64, base, prec int) (f float64, overflow bool) {
	var mag [fullLimbs]uint64
	n := len(limbs)
	neg := int64(limbs[n-1]) < 0
	c := uint64(0)
	for i, l := range limbs {
		if neg {
			mag[i], c = bits.Sub64(0, l, c)
		} else {
			mag[i] = l
		}
	}
	for n > 0 && mag[n-1] == 0 {
		n--
	}
	if n == 0 {
		return 0, false
	}
	top := 64*(n-1) + bits.Len64(mag[n-1]) - 1 // bit in mag
	// The result's last bit: below it is rounded away. Denormals have a fixed one.
	least := 0
	if prec == 24 {
		least = bias - 149
	}
	last := max(top-prec+1, least-64*base)
	var m uint64
	if last < 0 { // mag ends above the last bit
		m, last = mag[0], 0
	} else {
		m = bitsAt(mag[:n], last)
	}
	if last > 0 {
		half := mag[(last-1)>>6]>>(uint(last-1)&63)&1 != 0
		if half && (m&1 != 0 || anyBelow(mag[:n], last-1)) {
			m++
		}
	}
	f = math.Ldexp(float64(m), last+64*base-bias)
	if neg {
		f = -f
	}
	return f, math.IsInf(f, 0) || prec == 24 && math.Abs(f) > math.MaxFloat32
}

// bitsAt returns the 64 bits of mag from bit i on.
func bitsAt(mag []uint64, i int) uint64 {
	l, s := i>>6, uint(i)&63
	if l >= len(mag) {
		return 0
	}
	m := mag[l] >> s
	if l+1 < len(mag) {
		m |= mag[l+1] << (64 - s)
	}
	return m
}

// anyBelow reports whether a bit below bit i is set.
func anyBelow(mag []uint64, i int) bool {
	for l := range i >> 6 {
		if mag[l] != 0 {
			return true
		}
	}
	return mag[i>>6]&(1<<(uint(i)&63)-1) != 0
}

// errFloat is PostgreSQL's error for floats that do not fit.
var errFloat = &types.Error{Code: types.CodeOutOfRange, Message: "value out of range: overflow"}
