package types

// PROVISIONAL, by the lead, only so that batch builds: the author of types deletes this
// file when the real functions of these names and signatures exist (keep the signatures).

import (
	"cmp"
	"math"
	"math/big"
	"math/bits"
)

func HashInt(x int64) uint64 {
	hi, lo := bits.Mul64(uint64(x)^0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9)
	h := hi ^ lo
	hi, lo = bits.Mul64(h^0x94d049bb133111eb, 0x9e3779b97f4a7c15)
	return hi ^ lo
}
func HashFloat(f float64) uint64 {
	if f == 0 {
		f = 0
	}
	return HashInt(int64(math.Float64bits(f)))
}
func HashBytes(b []byte) uint64 {
	h := uint64(len(b))
	for _, c := range b {
		h = CombineHash(h, uint64(c))
	}
	return h
}
func HashDec(d Decimal, arena []byte) uint64 { f, _ := decRat(d, arena).Float64(); return HashFloat(f) }
func HashIvl(v IntervalVal) uint64 {
	return HashInt(v.Micros + (int64(v.Days)+int64(v.Months)*30)*86400000000)
}
func CombineHash(a, b uint64) uint64 { return HashInt(int64(a*31 + b)) }
func CompareFloat(a, b float64) int {
	if a != a || b != b {
		switch {
		case a != a && b != b:
			return 0
		case a != a:
			return 1
		}
		return -1
	}
	return cmp.Compare(a, b)
}
func CompareDec(a Decimal, aa []byte, b Decimal, ba []byte) int {
	return decRat(a, aa).Cmp(decRat(b, ba))
}
func CompareIvl(a, b IntervalVal) int {
	return cmp.Compare(a.Micros+(int64(a.Days)+int64(a.Months)*30)*86400000000, b.Micros+(int64(b.Days)+int64(b.Months)*30)*86400000000)
}
func decRat(d Decimal, _ []byte) *big.Rat {
	n := new(big.Int).Lsh(big.NewInt(d.Hi), 64)
	n.Add(n, new(big.Int).SetUint64(d.Lo))
	return new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Scale)), nil))
}
