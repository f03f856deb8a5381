package types

import (
	"math"
	"math/bits"
)

// Int128 is a signed 128-bit integer in two's complement, for sums that leave
// int64. The zero value is 0.
type Int128 struct {
	Hi int64
	Lo uint64
}

// Int128From returns x as an Int128.
func Int128From(x int64) Int128 { return Int128{x >> 63, uint64(x)} }

// MulInt64 returns the exact product of x and y.
func MulInt64(x, y int64) Int128 {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	return Int128{int64(hi) - (x>>63)&y - (y>>63)&x, lo}
}

// Add returns a+b; ok is false when the sum leaves 128 bits.
func (a Int128) Add(b Int128) (sum Int128, ok bool) {
	lo, c := bits.Add64(a.Lo, b.Lo, 0)
	hi := a.Hi + b.Hi + int64(c)
	return Int128{hi, lo}, (a.Hi^hi)&(b.Hi^hi) >= 0
}

// AddInt64 returns a+x; ok is false when the sum leaves 128 bits.
func (a Int128) AddInt64(x int64) (sum Int128, ok bool) { return a.Add(Int128From(x)) }

// Sub returns a-b; ok is false when the difference leaves 128 bits.
func (a Int128) Sub(b Int128) (diff Int128, ok bool) {
	lo, c := bits.Sub64(a.Lo, b.Lo, 0)
	hi := a.Hi - b.Hi - int64(c)
	return Int128{hi, lo}, (a.Hi^b.Hi)&(a.Hi^hi) >= 0
}

// Neg returns -a; the least value stays as it is.
func (a Int128) Neg() Int128 {
	lo, c := bits.Sub64(0, a.Lo, 0)
	return Int128{-a.Hi - int64(c), lo}
}

// MulInt64 returns a*y; ok is false when the product leaves 128 bits.
func (a Int128) MulInt64(y int64) (Int128, bool) {
	na, ny := a.Hi < 0, y < 0
	u, m := a.abs(), uint64(y)
	if ny {
		m = -m
	}
	p, over := u.mul64(m)
	if over {
		return Int128{}, false
	}
	return p.signed(na != ny)
}

// Cmp returns -1, 0 or 1 as a is less than, equal to or more than b.
func (a Int128) Cmp(b Int128) int {
	switch {
	case a.Hi < b.Hi, a.Hi == b.Hi && a.Lo < b.Lo:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// Sign returns -1, 0 or 1.
func (a Int128) Sign() int {
	if a.Hi < 0 {
		return -1
	}
	if a.Hi|int64(a.Lo) == 0 {
		return 0
	}
	return 1
}

// Int64 returns a as int64; ok is false when it does not fit.
func (a Int128) Int64() (x int64, ok bool) { return int64(a.Lo), a.Hi == int64(a.Lo)>>63 }

// Float64 returns the nearest float64.
func (a Int128) Float64() float64 {
	u := a.abs()
	f := u.float64()
	if a.Hi < 0 {
		f = -f
	}
	return f
}

// abs returns the magnitude of a.
func (a Int128) abs() uint128 {
	if a.Hi < 0 {
		a = a.Neg()
	}
	return uint128{uint64(a.Hi), a.Lo}
}

// uint128 is the magnitude of an Int128.
type uint128 struct{ hi, lo uint64 }

// signed puts the sign back; ok is false when the magnitude does not fit.
func (u uint128) signed(neg bool) (Int128, bool) {
	a := Int128{int64(u.hi), u.lo}
	if neg {
		return a.Neg(), u.hi>>63 == 0 || u == uint128{1 << 63, 0}
	}
	return a, a.Hi >= 0
}

// mul64 returns u*m and whether it left 128 bits.
func (u uint128) mul64(m uint64) (uint128, bool) {
	hi, lo := bits.Mul64(u.lo, m)
	if u.hi == 0 {
		return uint128{hi, lo}, false
	}
	over, top := bits.Mul64(u.hi, m)
	top, c := bits.Add64(top, hi, 0)
	return uint128{top, lo}, over|c != 0
}

// mul returns u*v and whether it left 128 bits.
func (u uint128) mul(v uint128) (uint128, bool) {
	if v.hi == 0 {
		return u.mul64(v.lo)
	}
	if u.hi == 0 {
		return v.mul64(u.lo)
	}
	return uint128{}, true
}

func (u uint128) add(v uint128) uint128 {
	lo, c := bits.Add64(u.lo, v.lo, 0)
	return uint128{u.hi + v.hi + c, lo}
}

func (u uint128) sub(v uint128) uint128 {
	lo, c := bits.Sub64(u.lo, v.lo, 0)
	return uint128{u.hi - v.hi - c, lo}
}

func (u uint128) less(v uint128) bool { return u.hi < v.hi || u.hi == v.hi && u.lo < v.lo }

func (u uint128) isZero() bool { return u.hi|u.lo == 0 }

func (u uint128) bitLen() int {
	if u.hi != 0 {
		return 64 + bits.Len64(u.hi)
	}
	return bits.Len64(u.lo)
}

// div64 returns quotient and remainder of u by d, which is not 0.
func (u uint128) div64(d uint64) (q uint128, r uint64) {
	if u.hi < d {
		q.lo, r = bits.Div64(u.hi, u.lo, d)
		return q, r
	}
	q.hi, r = u.hi/d, u.hi%d
	q.lo, r = bits.Div64(r, u.lo, d)
	return q, r
}

// divmod returns quotient and remainder of u by d, which is not 0.
func (u uint128) divmod(d uint128) (q, r uint128) {
	if d.hi == 0 {
		q, rem := u.div64(d.lo)
		return q, uint128{0, rem}
	}
	// The quotient fits 64 bits: estimate it from the top bits, which is at most one
	// too large after the division by the normalised divisor (Hacker's Delight, 9-5).
	n := uint(bits.LeadingZeros64(d.hi))
	top := d.shl(n).hi
	half := u.shr(1)
	est, _ := bits.Div64(half.hi, half.lo, top)
	est = uint64(uint128{0, est}.shl(n).shr(63).lo)
	if est != 0 {
		est--
	}
	p, _ := d.mul64(est)
	r = u.sub(p)
	if !r.less(d) {
		est++
		r = r.sub(d)
	}
	return uint128{0, est}, r
}

func (u uint128) shl(n uint) uint128 {
	if n >= 64 {
		return uint128{u.lo << (n - 64), 0}
	}
	if n == 0 {
		return u
	}
	return uint128{u.hi<<n | u.lo>>(64-n), u.lo << n}
}

func (u uint128) shr(n uint) uint128 {
	if n >= 64 {
		return uint128{0, u.hi >> (n - 64)}
	}
	if n == 0 {
		return u
	}
	return uint128{u.hi >> n, u.lo>>n | u.hi<<(64-n)}
}

// float64 returns the nearest float64, ties to even.
func (u uint128) float64() float64 {
	n := u.bitLen()
	if n <= 64 {
		return float64(u.lo)
	}
	sh := uint(n - 64)
	m := u.shr(sh)
	if m.shl(sh) != u {
		m.lo |= 1 // sticky: what was shifted out still breaks a tie
	}
	return math.Ldexp(float64(m.lo), int(sh))
}

// maxPow10 is the largest power of ten that fits a uint128.
const maxPow10 = 38

// pow10 holds the powers of ten that fit a uint128.
var pow10 = buildPow10()

func buildPow10() (p [maxPow10 + 1]uint128) {
	p[0] = uint128{0, 1}
	for i := 1; i < len(p); i++ {
		p[i], _ = p[i-1].mul64(10)
	}
	return p
}

// digits returns how many decimal digits u has; 0 has none.
func (u uint128) digits() int {
	if u.isZero() {
		return 0
	}
	n := u.bitLen() * 1233 >> 12 // log10(2), a little low
	if n <= maxPow10 && !u.less(pow10[n]) {
		n++
	}
	return n
}
