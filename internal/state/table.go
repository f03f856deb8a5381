package state

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Table is keyed state: a row of payload words for each key, in 256 shards by the
// top bits of the key's hash. Operators use it a block at a time: find the refs of
// a block's rows, then work on the payloads.
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
	stamp uint64 // of the current step
	dirty []Ref
	slow  []uint32 // scratch
}

// New returns an empty table for keys of the given types, of which each has
// payloadWords 8-byte words, zero at first.
func New(keyTypes []types.Type, payloadWords int) *Table {
	return &Table{store: newStore(newLayout(keyTypes, 0, payloadWords)), stamp: 1}
}

// Len returns the number of keys.
func (t *Table) Len() int { return t.live }

// Bytes returns the memory held. It costs nothing to ask.
func (t *Table) Bytes() int64 { return t.bytes + int64(cap(t.dirty))*8 }

// Payload returns the payload of a key, for reading and writing. It does not move
// until the key is deleted.
func (t *Table) Payload(r Ref) []uint64 { return t.words(r)[t.l.payload:] }

// BeginStep starts step n >= 0: no key is dirty. Stamps rise also when a step's
// number comes again, because it was taken back.
func (t *Table) BeginStep(n int64) {
	t.stamp = max(t.stamp+1, uint64(n)+1)
	t.dirty = t.dirty[:0]
}

// Touch marks a key dirty and reports whether this is its first touch in the step.
func (t *Table) Touch(r Ref) bool {
	w := t.words(r)
	if w[stampWord] == t.stamp {
		return false
	}
	w[stampWord] = t.stamp
	t.dirty = append(t.dirty, r)
	return true
}

// TouchPayload is Touch and Payload in one.
func (t *Table) TouchPayload(r Ref) (payload []uint64, first bool) {
	w := t.words(r)
	if first = w[stampWord] != t.stamp; first {
		w[stampWord] = t.stamp
		t.dirty = append(t.dirty, r)
	}
	return w[t.l.payload:], first
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
	for k, h := range hashes {
		s := &t.shards[h>>56]
		refs[k] = Ref(h>>56<<32 | uint64(s.candidate(tagOf(h))))
	}
	for c := range cols {
		t.verify(c, b, &b.Cols[cols[c]], refs)
	}
	t.slow = t.slow[:0]
	for k, r := range refs {
		if r.row() == 0 {
			t.slow = append(t.slow, uint32(k))
		}
	}
}

// verify clears the refs whose key column c differs from that of the row.
func (t *Table) verify(c int, b *batch.Batch, col *batch.Column, refs []Ref) {
	if b.Sel == nil && col.Valid == nil && c < 32 && col.Type.Layout() == types.LayoutInt {
		o, null := t.l.off[c], uint64(1)<<uint(c)
		for k, v := range col.I64[:len(refs)] {
			if r := refs[k]; r.row() != 0 {
				if w := t.words(r); w[o] != uint64(v) || w[tagWord]&null != 0 {
					refs[k] = NoRef
				}
			}
		}
		return
	}
	for k, r := range refs {
		if r.row() != 0 {
			s := &t.shards[r.Shard()]
			if !s.equal(&t.l, s.words(r.row(), t.l.words), c, col, b.Row(k)) {
				refs[k] = NoRef
			}
		}
	}
}

// findRow looks up the key of physical row i.
func (t *Table) findRow(b *batch.Batch, cols []int, i int, h uint64) Ref {
	s, tag := &t.shards[h>>56], tagOf(h)
	for p := tag & s.mask; s.slots[p] != 0; p = (p + 1) & s.mask {
		if uint32(s.slots[p]>>32) == tag {
			row := uint32(s.slots[p])
			if t.equalKey(s, row, b, cols, i) {
				return makeRef(int(h>>56), row)
			}
		}
	}
	return NoRef
}

func (t *Table) equalKey(s *shard, row uint32, b *batch.Batch, cols []int, i int) bool {
	w := s.words(row, t.l.words)
	for c := range cols {
		if !s.equal(&t.l, w, c, &b.Cols[cols[c]], i) {
			return false
		}
	}
	return true
}

func (t *Table) insert(b *batch.Batch, cols []int, i int, h uint64) Ref {
	sh, tag := int(h>>56), tagOf(h)
	row := t.take(sh, tag)
	s := &t.shards[sh]
	w := s.words(row, t.l.words)
	held := cap(s.arena)
	for c := range cols {
		s.putKey(&t.l, w, c, &b.Cols[cols[c]], i)
	}
	t.bytes += int64(cap(s.arena) - held)
	t.enter(sh, tag, row)
	return makeRef(sh, row)
}

// Delete removes a key. Its Ref may name another key later.
func (t *Table) Delete(r Ref) {
	tag := uint32(t.words(r)[tagWord] >> 32)
	t.shards[r.Shard()].remove(tag, r.row())
	t.give(r.Shard(), r.row())
}

// Holds reports whether r names a row that is in use. The row may be another key's by
// now than when r was given.
func (t *Table) Holds(r Ref) bool {
	s := &t.shards[r.Shard()]
	return r.row() < s.next && s.words(r.row(), t.l.words)[stampWord] != freeStamp
}

// KeyInt returns key column c of r, which has integer layout; false if it is NULL.
func (t *Table) KeyInt(r Ref, c int) (int64, bool) {
	w := t.words(r)
	return int64(w[t.l.off[c]]), !t.l.isNull(w, c)
}

// AppendKey appends the key of r to dst, one column for each key column; each holds
// n values.
func (t *Table) AppendKey(r Ref, dst []batch.Column, n int) {
	s := &t.shards[r.Shard()]
	w := s.words(r.row(), t.l.words)
	for c := range t.l.types {
		s.appendTo(&t.l, w, c, &dst[c], n)
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
		for k, r := range refs {
			w := st.words(r)
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
		s := &st.shards[r.Shard()]
		s.appendTo(&st.l, s.words(r.row(), st.l.words), c, dst, n+k)
	}
}

// Shard hands out the keys of one shard in the order of their rows, until fn
// returns false. Keys may not be added or removed meanwhile.
func (t *Table) Shard(sh int, fn func(Ref) bool) {
	s := &t.shards[sh]
	for row := uint32(firstRows); row < s.next; row++ {
		if s.words(row, t.l.words)[stampWord] != freeStamp && !fn(makeRef(sh, row)) {
			return
		}
	}
}
