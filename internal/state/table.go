package state

import (
	"unsafe"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Table is keyed state: a row of payload words for each key. Operators use it a block
// at a time: find the refs of a block's rows, then work on the payloads.
//
// Keys compare as in GROUP BY: NULLs are equal, -0 is 0, NaN is NaN, 1.0 is 1.00,
// one month is 30 days. Of such equal values a row keeps one canonical form, so
// that it does not depend on which came first: 0 for -0; a numeric without typmod
// without trailing zeros (with typmod all have the same scale anyway); an interval
// with as many months and days as fit. Whoever must show a form that was in the
// input keeps it in the payload.
//
// One goroutine owns a Table. Nothing in it depends on map order.
type Table struct {
	store
	index *Index
	stamp uint64 // of the current step
	dirty []Ref
	slow  []uint32 // scratch
	near  uint64   // keeps loads from being left out
}

// New returns an empty table that belongs to m, for keys of the given types, of which
// each has payloadWords 8-byte words, zero at first.
func New(m *Memory, keyTypes []types.Type, payloadWords int) *Table {
	return &Table{index: NewIndex(m), store: newStore(m, newLayout(keyTypes, payloadWords)), stamp: 1}
}

// Persist names the table's state. Between steps.
func (t *Table) Persist(p *Persist) {
	Num(p, &t.stamp)
	t.store.persist(p)
	t.index.Persist(p)
	t.dirty = t.dirty[:0]
}

// Len returns the number of keys.
func (t *Table) Len() int { return t.live }

// Bytes returns the size of the table, in memory or not. It costs nothing to ask.
func (t *Table) Bytes() int64 { return t.store.bytes() + t.index.Bytes() + int64(cap(t.dirty))*4 }

// Reset forgets all keys.
func (t *Table) Reset() {
	t.store.reset()
	t.index.Reset()
	t.dirty = t.dirty[:0]
}

// Payload returns the payload of a key for reading, and for writing what was announced
// in this step with TouchPayload or EditPayload. It is good until the key is deleted
// or the owner rests.
func (t *Table) Payload(r Ref) []uint64 { return t.words(r)[t.l.payload:] }

// EditPayload returns the payload of a key for reading and writing, up to the end of
// the step.
func (t *Table) EditPayload(r Ref) []uint64 { return t.rows.Edit(uint32(r))[t.l.payload:] }

// BeginStep starts step n >= 0: no key is dirty. Stamps rise also when a step's
// number comes again, because it was taken back.
func (t *Table) BeginStep(n int64) {
	t.stamp = max(t.stamp+1, uint64(n)+1)
	t.dirty = t.dirty[:0]
}

// Touch marks a key dirty and reports whether this is its first touch in the step. It
// announces that the payload may be written for the rest of the step.
func (t *Table) Touch(r Ref) bool {
	_, first := t.TouchPayload(r)
	return first
}

// TouchPayload is Touch and Payload in one.
func (t *Table) TouchPayload(r Ref) (payload []uint64, first bool) {
	w := t.words(r)
	if w[stampWord] == t.stamp {
		return w[t.l.payload:], false
	}
	w = t.rows.Edit(uint32(r))
	w[stampWord] = t.stamp
	t.dirty = append(t.dirty, r)
	return w[t.l.payload:], true
}

// Dirty returns the keys touched in this step in the order of their first touch.
// A key that was deleted after being touched is still listed: delete only when the
// list has been worked through, or keep account.
func (t *Table) Dirty() []Ref { return t.dirty }

// Find sets refs[k] to the key of the k-th selected row of b, in columns cols, or
// to NoRef. hashes are those of batch.HashRows over the same columns.
func (t *Table) Find(b *batch.Batch, cols []int, hashes []uint64, refs []Ref) {
	t.probe(b, cols, hashes, refs)
	for _, k := range t.slow {
		refs[k] = t.findRow(b, cols, b.Row(int(k)), hashes[k])
	}
}

// FindOrInsert is Find that inserts the keys it does not find, with a payload of
// zeros. It appends to fresh the k of the rows whose key it inserted and returns it.
func (t *Table) FindOrInsert(b *batch.Batch, cols []int, hashes []uint64, refs []Ref, fresh []uint32) []uint32 {
	t.probe(b, cols, hashes, refs)
	for _, k := range t.slow {
		i, h := b.Row(int(k)), hashes[k]
		r := t.findRow(b, cols, i, h)
		if r == NoRef {
			r = t.insert(b, cols, i, h)
			fresh = append(fresh, k)
		}
		refs[k] = r
	}
	return fresh
}

// probe finds, for all rows at once, those whose key is the first of its tag, and
// lists the others in t.slow.
func (t *Table) probe(b *batch.Batch, cols []int, hashes []uint64, refs []Ref) {
	refs = refs[:len(hashes)]
	t.near += t.index.First(unsafe.Slice((*uint32)(unsafe.SliceData(refs)), len(refs)), hashes)
	for c := range cols {
		t.verify(c, b, &b.Cols[cols[c]], refs)
	}
	t.slow = t.slow[:0]
	for k, r := range refs {
		if r == NoRef {
			t.slow = append(t.slow, uint32(k))
		}
	}
}

// verify clears the refs whose key column c differs from that of the row.
func (t *Table) verify(c int, b *batch.Batch, col *batch.Column, refs []Ref) {
	if c < 32 && col.Type.Layout() == types.LayoutInt && t.l.types[c].Layout() == types.LayoutInt {
		if b.Sel == nil && col.Valid == nil {
			t.verifyInts(c, col.I64, refs)
		} else {
			t.verifyInt(c, b, col, refs)
		}
		return
	}
	v := t.rows.View()
	for k, r := range refs {
		if r == NoRef {
			continue
		}
		w := v.Row(uint32(r))
		if w == nil {
			w = t.words(r)
		}
		if !t.equal(w, c, col, b.Row(k)) {
			refs[k] = NoRef
		}
	}
}

// verifyInts is verify for integers without NULLs, all of them selected.
func (t *Table) verifyInts(c int, vals []int64, refs []Ref) {
	v := t.rows.View()
	o, null := t.l.off[c], uint64(1)<<uint(c)
	for k, x := range vals[:len(refs)] {
		r := refs[k]
		if r == NoRef {
			continue
		}
		w := v.Row(uint32(r))
		if w == nil {
			w = t.words(r)
		}
		if w[o] != uint64(x) || w[tagWord]&null != 0 {
			refs[k] = NoRef
		}
	}
}

// verifyInt is verify for integers.
func (t *Table) verifyInt(c int, b *batch.Batch, col *batch.Column, refs []Ref) {
	v := t.rows.View()
	o := t.l.off[c]
	for k, r := range refs {
		if r == NoRef {
			continue
		}
		w := v.Row(uint32(r))
		if w == nil {
			w = t.words(r)
		}
		i, null := b.Row(k), w[tagWord]>>uint(c)&1 != 0
		if isNull := col.Null(i); isNull != null || !isNull && w[o] != uint64(col.I64[i]) {
			refs[k] = NoRef
		}
	}
}

// findRow looks up the key of physical row i.
func (t *Table) findRow(b *batch.Batch, cols []int, i int, h uint64) Ref {
	if t.index.none(h) {
		return NoRef
	}
	p := t.index.Probe(h)
	for {
		r := Ref(p.Next())
		if r == NoRef || t.equalKey(r, b, cols, i) {
			return r
		}
	}
}

func (t *Table) equalKey(r Ref, b *batch.Batch, cols []int, i int) bool {
	w := t.words(r)
	for c := range cols {
		if !t.equal(w, c, &b.Cols[cols[c]], i) {
			return false
		}
	}
	return true
}

func (t *Table) insert(b *batch.Batch, cols []int, i int, h uint64) Ref {
	r := t.take(uint32(h))
	w := t.words(r)
	for c := range cols {
		t.putKey(w, c, &b.Cols[cols[c]], i)
	}
	t.index.Add(h, uint32(r))
	return r
}

// Delete removes a key. Its Ref may name another key later.
func (t *Table) Delete(r Ref) {
	t.index.Remove(t.words(r)[tagWord]>>32, uint32(r))
	t.give(r)
}

// Holds reports whether r names a row that is in use. The row may be another key's by
// now than when r was given.
func (t *Table) Holds(r Ref) bool {
	return uint32(r) < t.next && t.words(r)[stampWord] != freeStamp
}

// KeyInt returns key column c of r, which has integer layout; false if it is NULL.
func (t *Table) KeyInt(r Ref, c int) (int64, bool) {
	w := t.words(r)
	return int64(w[t.l.off[c]]), !t.l.isNull(w, c)
}

// AppendKey appends the key of r to dst, one column for each key column; each holds
// n values.
func (t *Table) AppendKey(r Ref, dst []batch.Column, n int) {
	w := t.words(r)
	for c := range t.l.types {
		t.appendTo(w, c, &dst[c], n)
	}
}

// GatherKeys appends the keys of refs to dst, one column for each key column; each
// holds n values.
func (t *Table) GatherKeys(refs []Ref, dst []batch.Column, n int) {
	for c := range t.l.types {
		t.gather(c, refs, &dst[c], n)
	}
}

// gather appends column c of the rows refs to dst, which holds n values.
func (st *store) gather(c int, refs []Ref, dst *batch.Column, n int) {
	if st.l.types[c].Layout() == types.LayoutInt && dst.Valid == nil && c < 32 {
		o, null := st.l.off[c], uint64(1)<<uint(c)
		v := st.rows.View()
		for k, r := range refs {
			w := v.Row(uint32(r))
			if w == nil {
				w = st.words(r)
			}
			if w[tagWord]&null != 0 {
				refs, n = refs[k:], n+k
				break
			}
			dst.I64 = append(dst.I64, int64(w[o]))
			if k == len(refs)-1 {
				return
			}
		}
	}
	for k, r := range refs {
		st.appendTo(st.words(r), c, dst, n+k)
	}
}

// All hands out the keys in the order of their rows, until fn returns false. Keys may
// not be added or removed meanwhile; fn may let the memory rest.
func (t *Table) All(fn func(Ref) bool) {
	for r := Ref(1); uint32(r) < t.next; r++ {
		if t.words(r)[stampWord] != freeStamp && !fn(r) {
			return
		}
	}
}
