package flow

import (
	"bytes"
	"encoding/binary"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// aggExtreme is min, max and any_value, over input that may withdraw. The values of
// a group are an ordered multiset beside the table.
//
// Integers and floats, as words of the same order, have it better: a group's first
// few different values are in its payload. Words: a state, the number of different
// values, the extreme if the state says that it is known, and pairs of a value and
// its weight. Once a group has more values than pairs they are in the multiset,
// until few are left. If rows never go, the extreme alone is kept.
type aggExtreme struct {
	words
	col   int
	max   bool
	word  bool // values are one word
	float bool
	form  int  // bytes at the end of a key that say how the value was written
	only  bool // rows never go
	vals  *state.Ordered
	key   []byte
	best  []byte
}

// States of a group of words.
const (
	extremeFew     = iota // all values are in the payload
	extremeUnknown        // the values are in the multiset
	extremeKnown          // likewise, and the extreme is in the payload
)

const (
	extremePairs = 6 // about as many bytes as the multiset wants for two values
	extremeBack  = 3 // with so many values left they move back to the payload
	pairWord     = 3 // first word of the pairs
)

func newExtreme(mem *state.Memory, t types.Type, col int, max, appendOnly bool) *aggExtreme {
	l := t.Layout()
	form := 0
	if l == types.LayoutDec || l == types.LayoutIvl {
		form = formBytes[l]
	}
	return &aggExtreme{
		col: col, max: max, word: l == types.LayoutInt || l == types.LayoutFloat, float: l == types.LayoutFloat,
		form: form, only: appendOnly, vals: state.NewOrdered(mem),
	}
}

func (a *aggExtreme) place(groups *state.Table, at int) int {
	switch {
	case !a.word:
		return a.set(groups, at, 0)
	case a.only:
		return a.set(groups, at, pairWord)
	}
	return a.set(groups, at, pairWord+2*extremePairs)
}

func (a *aggExtreme) forget(r state.Ref) {
	if !a.word || !a.only && a.of(r)[0] != extremeFew {
		a.vals.Clear(r)
	}
}

func (a *aggExtreme) bytes() int64             { return a.vals.Bytes() }
func (a *aggExtreme) persist(p *state.Persist) { a.vals.Persist(p) }

func (a *aggExtreme) add(in *aggInput) {
	b, col := in.b, &in.b.Cols[a.col]
	if a.word {
		a.addWords(in, col)
		return
	}
	for k, r := range in.refs {
		i := b.Row(k)
		if col.Null(i) {
			continue
		}
		a.key = appendOrdered(a.key[:0], col, i)
		a.flip(a.key)
		if a.only {
			a.improve(r)
		} else {
			a.vals.Add(r, a.key, b.Weight(i))
		}
	}
}

func (a *aggExtreme) addWords(in *aggInput, col *batch.Column) {
	b := in.b
	for k, r := range in.refs {
		i := b.Row(k)
		if col.Null(i) {
			continue
		}
		var v uint64
		if a.float {
			v = a.flipZero(orderedFloat(col.F64[i]))
		} else {
			v = orderedInt(col.I64[i])
		}
		w := a.of(r)
		switch {
		case a.only:
			if w[0] != extremeKnown || v != w[2] && (v > w[2]) == a.max {
				w[0], w[2] = extremeKnown, v
			}
		case w[0] != extremeFew || !addPair(w, v, b.Weight(i)):
			a.addMany(r, w, v, b.Weight(i))
		}
	}
}

// addPair adds weight to v among the pairs. ok is false when v has no place there.
func addPair(w []uint64, v uint64, weight int64) (ok bool) {
	n := int(w[1])
	pairs := w[pairWord : pairWord+2*extremePairs]
	for p := 0; p < 2*n; p += 2 {
		if pairs[p] != v {
			continue
		}
		if pairs[p+1] += uint64(weight); pairs[p+1] == 0 {
			last := 2 * (n - 1)
			pairs[p], pairs[p+1] = pairs[last], pairs[last+1]
			w[1]--
		}
		return true
	}
	if n == extremePairs {
		return false
	}
	pairs[2*n], pairs[2*n+1] = v, uint64(weight)
	w[1]++
	return true
}

// addMany adds weight to v in the multiset, where it moves the pairs first.
func (a *aggExtreme) addMany(r state.Ref, w []uint64, v uint64, weight int64) {
	if w[0] == extremeFew {
		for p := pairWord; p < pairWord+2*extremePairs; p += 2 {
			a.addKey(r, w[p], int64(w[p+1]))
		}
		w[0] = extremeUnknown
	}
	before, after := a.addKey(r, v, weight)
	if before == 0 {
		w[1]++
	}
	if after == 0 {
		w[1]--
	}
	switch {
	case after == 0 && w[1] <= extremeBack:
		a.moveBack(r, w)
	case after > 0 && w[0] == extremeKnown && v != w[2] && (v > w[2]) == a.max:
		w[2] = v
	case after <= 0 && w[0] == extremeKnown && v == w[2]:
		w[0] = extremeUnknown
	}
}

// moveBack moves the values of a group from the multiset to the pairs.
func (a *aggExtreme) moveBack(r state.Ref, w []uint64) {
	p := pairWord
	a.vals.Ascend(r, nil, func(e state.Entry) bool {
		w[p], w[p+1] = binary.BigEndian.Uint64(e.Key), uint64(e.Weight)
		p += 2
		return true
	})
	for q := pairWord; q < p; q += 2 {
		a.addKey(r, w[q], -int64(w[q+1]))
	}
	w[0] = extremeFew
}

func (a *aggExtreme) addKey(r state.Ref, v uint64, weight int64) (before, after int64) {
	a.key = binary.BigEndian.AppendUint64(a.key[:0], v)
	return a.vals.Add(r, a.key, weight)
}

// improve makes a.key the only key of a group if none is better.
func (a *aggExtreme) improve(r state.Ref) {
	if e, ok := a.find(r); ok {
		c := bytes.Compare(a.key, e.Key)
		if c == 0 || (c > 0) != a.max {
			return
		}
		a.best = append(a.best[:0], e.Key...)
		a.vals.Add(r, a.best, -e.Weight)
	}
	a.vals.Add(r, a.key, 1)
}

// flip reverses the order of forms in a key for max, so that of equal values it too
// gives the one written least; flipping twice gives the key back.
func (a *aggExtreme) flip(key []byte) {
	if !a.max {
		return
	}
	for i := len(key) - min(a.form, len(key)); i < len(key); i++ {
		key[i] = ^key[i]
	}
}

// flipZero is flip for 0 and -0, in ordered form.
func (a *aggExtreme) flipZero(v uint64) uint64 {
	if a.max && (v == 1<<63 || v == 1<<63-1) {
		return ^v
	}
	return v
}

func (a *aggExtreme) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	for k, r := range refs {
		switch {
		case !a.word:
			if e, ok := a.find(r); ok {
				a.flip(e.Key)
				takeOrdered(e.Key, dst, n+k)
			} else {
				dst.AppendNull(n + k)
			}
		default:
			v, ok := a.extreme(r)
			switch {
			case !ok:
				dst.AppendNull(n + k)
			case a.float:
				dst.AppendFloat(n+k, unorderedFloat(a.flipZero(v)))
			default:
				dst.AppendInt(n+k, int64(v^1<<63))
			}
		}
	}
	return errs
}

// extreme returns the extreme of a group of words.
func (a *aggExtreme) extreme(r state.Ref) (v uint64, ok bool) {
	w := a.of(r)
	switch w[0] {
	case extremeFew:
		for p := pairWord; p < pairWord+2*int(w[1]); p += 2 {
			if int64(w[p+1]) > 0 && (!ok || (w[p] > v) == a.max) {
				v, ok = w[p], true
			}
		}
		return v, ok
	case extremeUnknown:
		e, ok := a.find(r)
		if !ok {
			return 0, false
		}
		w = a.groups.EditPayload(r)[a.at:]
		w[0], w[2] = extremeKnown, binary.BigEndian.Uint64(e.Key)
	}
	return w[2], true
}

func (a *aggExtreme) find(r state.Ref) (state.Entry, bool) {
	if a.max {
		return a.vals.Max(r)
	}
	return a.vals.Min(r)
}
