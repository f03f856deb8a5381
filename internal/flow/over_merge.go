package flow

import (
	"math/bits"

	"github.com/tidemill/tidemill/internal/state"
)

// merge implements merger, here and below.
func (a *aggNull) merge(_, _ state.Ref) {}

func (a *aggCount) merge(dst, src state.Ref) { a.of(dst)[0] += a.of(src)[0] }

func (a *aggBool) merge(dst, src state.Ref) {
	w, v := a.of(dst), a.of(src)
	w[0] += v[0]
	w[1] += v[1]
}

func (a *aggSumInt) merge(dst, src state.Ref) {
	w, v := a.of(dst), a.of(src)
	w[0] += v[0]
	addWords(w[1:3], v[1:3])
}

func (a *aggSumIvl) merge(dst, src state.Ref) {
	w, v := a.of(dst), a.of(src)
	w[0] += v[0]
	w[1] += v[1]
	w[2] += v[2]
	addWords(w[3:5], v[3:5])
}

// addWords adds numbers in two's complement.
func addWords(w, v []uint64) {
	c := uint64(0)
	for i := range w {
		w[i], c = bits.Add64(w[i], v[i], c)
	}
}

func (a *aggSumFloat) merge(dst, src state.Ref) {
	w, v := a.of(dst), a.of(src)
	w[0] += v[0]
	a.exact.merge(w[1:1+exactWords], v[1:1+exactWords])
}

func (a *aggVarFloat) merge(dst, src state.Ref) {
	w, v := a.of(dst), a.of(src)
	w[0] += v[0]
	a.exact.merge(w[1:1+exactWords], v[1:1+exactWords])
	a.exact.merge(w[1+exactWords:1+2*exactWords], v[1+exactWords:1+2*exactWords])
}

func (a *aggSumDec) merge(dst, src state.Ref) { a.sums.merge(a.of(dst), a.of(src)) }

func (a *aggVarDec) merge(dst, src state.Ref) {
	w, v := a.of(dst), a.of(src)
	a.sums.merge(w, v)
	a.sums.merge(w[decWords:], v[decWords:])
}

func (a *aggExtreme) merge(dst, src state.Ref) {
	if !a.word {
		if e, ok := a.find(src); ok {
			a.key = append(a.key[:0], e.Key...)
			a.improve(dst)
		}
		return
	}
	v, ok := a.extreme(src)
	if w := a.of(dst); ok && (w[0] != extremeKnown || v != w[2] && (v > w[2]) == a.max) {
		w[0], w[2] = extremeKnown, v
	}
}

// merge adds the sum in v to that in w.
func (x *exactSums) merge(w, v []uint64) {
	switch {
	case v[0] == 0:
		return
	case v[0]>>32 != 0:
		acc, src := x.spill(w), x.at(v[0])
		addWords(acc[:fullLimbs], src[:fullLimbs])
		for i := fullNaN; i < fullWords; i++ {
			acc[i] += src[i]
		}
		return
	case w[0] == 0:
		copy(w[:exactWords], v[:exactWords])
		return
	case w[0] == v[0]:
		mag, neg := magnitude(v[1:5])
		if win := (*wide)(w[1:5]); addLimbs(win, mag[0], mag[1], mag[2], mag[3], neg) {
			if win[0]|win[1]|win[2]|win[3] == 0 {
				w[0] = 0
			}
			return
		}
	}
	base := int(v[0]) - 1
	acc := x.spill(w)
	sign := uint64(int64(v[4]) >> 63)
	c := uint64(0)
	for i := base; i < fullLimbs; i++ {
		l := sign
		if i-base < 4 {
			l = v[1+i-base]
		}
		acc[i], c = bits.Add64(acc[i], l, c)
	}
}

// magnitude returns a number in two's complement without its sign. The least number
// there is comes out as it is, which as a number without sign is right.
func magnitude(v []uint64) (mag wide, neg bool) {
	copy(mag[:], v)
	if neg = int64(v[3]) < 0; neg {
		c := uint64(0)
		for i := range mag {
			mag[i], c = bits.Sub64(0, mag[i], c)
		}
	}
	return mag, neg
}

// merge adds the sum in v to that in w.
func (x *decSums) merge(w, v []uint64) {
	id := uint32(v[1] >> 32)
	if v[0] == 0 && id == 0 {
		return
	}
	if id == 0 && (w[1] == 0 || w[1] == v[1]) {
		mag, neg := magnitude(v[2:6])
		if addLimbs((*wide)(w[2:6]), mag[0], mag[1], mag[2], mag[3], neg) {
			w[0] += v[0]
			w[1] = v[1]
			return
		}
	}
	m := x.spill(w, 0)
	w[0] += v[0]
	if id == 0 {
		x.mixed.addSum(m, int16(v[1]), int64(v[0]), wideBig((*wide)(v[2:6])))
		return
	}
	x.mixed.merge(m, id)
}
