package flow

import (
	"math/big"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// mixedSums keeps sums of numerics of several scales, of NaN, infinities and numbers
// of any size. A sum is a row with the first of its scales and the numbers of NaNs,
// infinities and negative ones; a scale is a row with the next greater one, the number
// of its values, and their sum in 256 bits or, if it is larger, as bytes elsewhere.
type mixedSums struct {
	rows slab
	text *state.Arena
	tmp  big.Int
}

// Words of the rows.
const (
	mixFirst = 0 // of a sum: its least scale
	mixNaN   = 1
	mixPos   = 2
	mixNeg   = 3

	mixNext  = 0 // of a scale: the next one<<32 | mixLarge | the scale
	mixCount = 1
	mixSum   = 2 // four words, or the arena's word of a large sum
	mixWords = mixSum + 4

	mixLarge = 1 << 16
)

func newMixedSums(mem *state.Memory) mixedSums {
	return mixedSums{rows: newSlab(mem, mixWords), text: state.NewArena(mem)}
}

func (x *mixedSums) persist(p *state.Persist) {
	x.rows.persist(p)
	x.text.Persist(p)
}

func (x *mixedSums) bytes() int64 { return x.rows.bytes() + x.text.Bytes() }

// alloc returns a new sum, 0.
func (x *mixedSums) alloc() uint32 {
	id, _ := x.rows.alloc()
	return id
}

// release frees a sum.
func (x *mixedSums) release(id uint32) {
	for s := uint32(x.rows.at(id)[mixFirst]); s != 0; {
		next := uint32(x.rows.at(s)[mixNext] >> 32)
		x.releaseScale(s)
		s = next
	}
	x.rows.release(id)
}

func (x *mixedSums) releaseScale(s uint32) {
	if w := x.rows.at(s); w[mixNext]&mixLarge != 0 {
		x.text.Release(w[mixSum])
	}
	x.rows.release(s)
}

// add adds d*weight to a sum.
func (x *mixedSums) add(id uint32, d types.Decimal, arena []byte, weight int64) {
	switch d.Form {
	case types.DecNaN:
		x.rows.edit(id)[mixNaN] += uint64(weight)
		return
	case types.DecPosInf:
		x.rows.edit(id)[mixPos] += uint64(weight)
		return
	case types.DecNegInf:
		x.rows.edit(id)[mixNeg] += uint64(weight)
		return
	}
	w := x.scale(id, d.Scale)
	w[mixCount] += uint64(weight)
	if d.Form == types.DecFinite && w[mixNext]&mixLarge == 0 && addWide((*wide)(w[mixSum:mixWords]), d.Coef(), weight) {
		return
	}
	v := types.DecBigInt(d, arena)
	v.Mul(v, x.tmp.SetInt64(weight))
	x.set(w, v.Add(v, x.sum(w)))
}

// addSum adds count values of one scale.
func (x *mixedSums) addSum(id uint32, scale int16, count int64, sum *big.Int) {
	w := x.scale(id, scale)
	w[mixCount] += uint64(count)
	z := x.sum(w)
	x.set(w, z.Add(z, sum))
}

// merge adds sum src to sum dst.
func (x *mixedSums) merge(dst, src uint32) {
	w, v := x.rows.edit(dst), x.rows.at(src)
	for i := mixNaN; i <= mixNeg; i++ {
		w[i] += v[i]
	}
	for s := uint32(v[mixFirst]); s != 0; {
		v = x.rows.at(s)
		x.addSum(dst, int16(v[mixNext]), int64(v[mixCount]), x.sum(v))
		s = uint32(v[mixNext] >> 32)
	}
}

// scale returns the words of a scale of a sum, which may be new, for writing.
func (x *mixedSums) scale(id uint32, scale int16) []uint64 {
	last, s := uint32(0), uint32(x.rows.at(id)[mixFirst])
	for s != 0 {
		w := x.rows.at(s)
		if int16(w[mixNext]) == scale {
			return x.rows.edit(s)
		}
		if int16(w[mixNext]) > scale {
			break
		}
		last, s = s, uint32(w[mixNext]>>32)
	}
	fresh, w := x.rows.alloc()
	w[mixNext] = uint64(s)<<32 | uint64(uint16(scale))
	if last == 0 {
		x.rows.edit(id)[mixFirst] = uint64(fresh)
	} else {
		v := x.rows.edit(last)
		v[mixNext] = v[mixNext]&(1<<32-1) | uint64(fresh)<<32
	}
	return w
}

// sum returns the sum of a scale, a number of the caller's own.
func (x *mixedSums) sum(w []uint64) *big.Int {
	if w[mixNext]&mixLarge == 0 {
		return wideBig((*wide)(w[mixSum:mixWords]))
	}
	b := x.text.Get(w[mixSum])
	z := new(big.Int).SetBytes(b[1:])
	if b[0] != 0 {
		z.Neg(z)
	}
	return z
}

// set makes z the sum of a scale.
func (x *mixedSums) set(w []uint64, z *big.Int) {
	if w[mixNext]&mixLarge != 0 {
		x.text.Release(w[mixSum])
		w[mixNext] &^= mixLarge
	}
	clear(w[mixSum:mixWords])
	if z.BitLen() < 255 {
		setWide((*wide)(w[mixSum:mixWords]), z)
		return
	}
	b := make([]byte, 1, 1+(z.BitLen()+7)/8)
	if z.Sign() < 0 {
		b[0] = 1
	}
	w[mixNext] |= mixLarge
	w[mixSum] = x.text.Put(append(b, z.Bytes()...))
}

// special returns NaN or an infinity if the sum is that.
func (x *mixedSums) special(id uint32) (types.Decimal, bool) {
	w := x.rows.at(id)
	pos, neg := int64(w[mixPos]) > 0, int64(w[mixNeg]) > 0
	switch {
	case int64(w[mixNaN]) > 0 || pos && neg:
		return types.Decimal{Form: types.DecNaN}, true
	case pos:
		return types.Decimal{Form: types.DecPosInf}, true
	case neg:
		return types.Decimal{Form: types.DecNegInf}, true
	}
	return types.Decimal{}, false
}

// total returns the sum of the finite values at the largest scale among them.
func (x *mixedSums) total(id uint32) (*big.Int, int16) {
	sum, scale := new(big.Int), int16(0)
	for s := uint32(x.rows.at(id)[mixFirst]); s != 0; {
		w := x.rows.at(s)
		s = uint32(w[mixNext] >> 32)
		if mixGone(w) {
			continue
		}
		at := int16(w[mixNext])
		sum.Mul(sum, pow10(int(at-scale)))
		sum.Add(sum, x.sum(w))
		scale = at
	}
	return sum, scale
}

// mixGone reports whether all values of a scale have gone.
func mixGone(w []uint64) bool {
	return w[mixCount] == 0 && w[mixNext]&mixLarge == 0 && w[mixSum]|w[mixSum+1]|w[mixSum+2]|w[mixSum+3] == 0
}

// settle frees the scales all of whose values have gone, and reports whether nothing
// is left.
func (x *mixedSums) settle(id uint32) (empty bool) {
	last := uint32(0)
	for s := uint32(x.rows.at(id)[mixFirst]); s != 0; {
		w := x.rows.at(s)
		next := uint32(w[mixNext] >> 32)
		switch {
		case !mixGone(w):
			last = s
		case last == 0:
			x.rows.edit(id)[mixFirst] = uint64(next)
			x.rows.release(s)
		default:
			v := x.rows.edit(last)
			v[mixNext] = v[mixNext]&(1<<32-1) | uint64(next)<<32
			x.rows.release(s)
		}
		s = next
	}
	w := x.rows.at(id)
	return w[mixFirst]|w[mixNaN]|w[mixPos]|w[mixNeg] == 0
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
