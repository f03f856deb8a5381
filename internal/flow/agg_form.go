package flow

import (
	"encoding/binary"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// keyForms remembers how the keys of a group's rows were written, where SQL groups
// values that are written differently: 1.1 and 1.10, 0 and -0, 1 month and 30 days.
// A group shows the key of the least of its rows, whatever came first.
//
// Words: a form of up to 8 bytes, the number of rows that have it, and the number
// of other forms; rows with these are in an ordered multiset. Its result is the
// bytes of the form.
type keyForms struct {
	words
	cols  []int // input columns, in the order of keys
	keys  []int // index of each in the key
	kinds []types.Layout
	size  int // bytes of a form
	rest  *state.Ordered
	form  []byte
	// inline is what least returns of a form in the payload.
	inline [8]byte
}

// formBytes is the size of a column's form: the scale of a numeric, whether a float
// is -0, the fields of an interval.
var formBytes = [...]int{types.LayoutDec: 2, types.LayoutFloat: 1, types.LayoutIvl: 16, types.LayoutStr: 0}

// newKeyForms returns nil when no key can be written in more ways than one.
func newKeyForms(mem *state.Memory, in []types.Type, keys []int) *keyForms {
	f := &keyForms{}
	for i, c := range keys {
		l := in[c].Layout()
		if formBytes[l] == 0 || l == types.LayoutDec && in[c].Mod != 0 {
			continue // a typmod gives every value the same scale
		}
		f.cols, f.keys, f.kinds = append(f.cols, c), append(f.keys, i), append(f.kinds, l)
		f.size += formBytes[l]
	}
	if f.size == 0 {
		return nil
	}
	f.rest = state.NewOrdered(mem)
	return f
}

func (f *keyForms) place(groups *state.Table, at int) int { return f.set(groups, at, 3) }
func (f *keyForms) forget(r state.Ref)                    { f.rest.Clear(r) }
func (f *keyForms) bytes() int64                          { return f.rest.Bytes() }
func (f *keyForms) persist(p *state.Persist)              { f.rest.Persist(p) }

func (f *keyForms) add(in *aggInput) {
	b := in.b
	for k, r := range in.refs {
		i := b.Row(k)
		f.read(b, i)
		f.count(r, b.Weight(i))
	}
}

// read sets f.form to that of row i.
func (f *keyForms) read(b *batch.Batch, i int) {
	f.form = f.form[:0]
	for x, c := range f.cols {
		f.form = appendForm(f.form, f.kinds[x], &b.Cols[c], i)
	}
}

// count adds weight to the rows of a group that have the form in f.form.
func (f *keyForms) count(r state.Ref, weight int64) {
	w := f.of(r)
	if f.size <= 8 {
		form := headWord(f.form)
		if w[1] == 0 && w[2] == 0 {
			w[0] = form
		}
		if w[0] == form {
			w[1] += uint64(weight)
			return
		}
	}
	before, after := f.rest.Add(r, f.form, weight)
	if before == 0 {
		w[2]++
	}
	if after == 0 {
		w[2]--
	}
}

func headWord(b []byte) uint64 {
	var u uint64
	for i, c := range b {
		u |= uint64(c) << (56 - 8*uint(i))
	}
	return u
}

// appendForm appends the form of row i, so that bytes have the order of CompareWhole.
func appendForm(dst []byte, l types.Layout, col *batch.Column, i int) []byte {
	null := col.Null(i)
	switch l {
	case types.LayoutDec:
		scale := int16(0)
		if !null {
			scale = col.Dec[i].Scale
		}
		return binary.BigEndian.AppendUint16(dst, uint16(scale)^1<<15)
	case types.LayoutFloat:
		minus := byte(0)
		if !null && col.F64[i] == 0 && math.Signbit(col.F64[i]) {
			minus = 1
		}
		return append(dst, minus)
	}
	var v types.IntervalVal
	if !null {
		v = col.Ivl[i]
	}
	return appendIvlForm(dst, v)
}

func appendIvlForm(dst []byte, v types.IntervalVal) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(v.Months)^1<<31)
	dst = binary.BigEndian.AppendUint32(dst, uint32(v.Days)^1<<31)
	return binary.BigEndian.AppendUint64(dst, orderedInt(v.Micros))
}

func takeIvlForm(b []byte) types.IntervalVal {
	return types.IntervalVal{
		Months: int32(binary.BigEndian.Uint32(b) ^ 1<<31), Days: int32(binary.BigEndian.Uint32(b[4:]) ^ 1<<31),
		Micros: int64(binary.BigEndian.Uint64(b[8:]) ^ 1<<63),
	}
}

func (f *keyForms) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	for k, r := range refs {
		if form, ok := f.least(r); ok {
			dst.AppendStr(n+k, form)
		} else {
			dst.AppendNull(n + k)
		}
	}
	return errs
}

// least returns the least form of a group's rows, valid until the next call.
func (f *keyForms) least(r state.Ref) (form []byte, ok bool) {
	w := f.of(r)
	var e state.Entry
	if w[2] != 0 {
		e, ok = f.rest.Min(r)
	}
	if int64(w[1]) > 0 {
		binary.BigEndian.PutUint64(f.inline[:], w[0])
		if !ok || string(f.inline[:f.size]) < string(e.Key) {
			return f.inline[:f.size], true
		}
	}
	return e.Key, ok
}

// apply writes keys, in the table's form, as the rows sel of forms say. The columns
// in out replace those of keys.
func (f *keyForms) apply(out, keys []batch.Column, forms *batch.Column, sel []uint32) {
	at := 0
	for x, i := range f.keys {
		src, dst := &keys[i], &out[i]
		dst.Truncate()
		next := 0
		for _, row := range sel {
			for ; next < int(row); next++ {
				dst.AppendNull(next) // not selected
			}
			dst.AppendFrom(next, src, next)
			if !src.Null(next) && !forms.Null(next) {
				restore(dst, next, forms.StrAt(next)[at:], f.kinds[x])
			}
			next++
		}
		for ; next < len(forms.Str); next++ {
			dst.AppendNull(next)
		}
		at += formBytes[f.kinds[x]]
	}
}

// restore gives the last value of dst, number n, its form.
func restore(dst *batch.Column, n int, form []byte, l types.Layout) {
	switch l {
	case types.LayoutFloat:
		if form[0] != 0 {
			dst.F64[n] = math.Copysign(0, -1)
		}
	case types.LayoutIvl:
		dst.Ivl[n] = takeIvlForm(form)
	case types.LayoutDec:
		scale := int(int16(binary.BigEndian.Uint16(form) ^ 1<<15))
		d, err := types.DecRound(dst.Dec[n], dst.Bytes, scale, &dst.Bytes)
		if err != nil {
			panic("flow: a stored key has too many digits: " + err.Error())
		}
		dst.Dec[n] = d
	}
}
