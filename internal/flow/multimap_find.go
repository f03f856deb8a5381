package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// find returns the group whose key is columns cols of physical row i of b, or 0.
func (m *multimap) find(hash uint64, b *batch.Batch, cols []int, i int) uint32 {
	if m.intKey {
		col := &b.Cols[cols[0]]
		if col.Type.Layout() == types.LayoutNone || col.Null(i) {
			return m.nullG
		}
		return m.findInt(hash, col.I64[i])
	}
	p := m.byKey.probe(hash)
	for g := p.next(); g != 0; g = p.next() {
		if gr := m.group(g); gr.id == hash && m.equalKey(m.row(gr.head), b, cols, i) {
			return g
		}
	}
	return 0
}

// probeRows is how many rows are looked up together: the memory that the lookups
// wait for is then fetched for many at once, and stays in the nearest caches.
const probeRows = 512

// findAll is find for the selected rows from..from+len(hashes) of b; the result is
// valid until the next call, as are the groups' first rows in m.heads.
func (m *multimap) findAll(hashes []uint64, b *batch.Batch, cols []int, from int) []uint32 {
	groups := m.found[:len(hashes)]
	if col := oneInt(b, cols); col != nil && m.intKey {
		m.findInts(hashes, b, col, from)
		return groups
	}
	heads := m.heads[:len(hashes)]
	for k, h := range hashes {
		p := m.byKey.probe(h)
		groups[k] = p.next()
	}
	for k, g := range groups {
		heads[k] = 0
		if g == 0 || m.intKey {
			continue
		}
		if gr := m.group(g); gr.id == hashes[k] {
			heads[k] = gr.head
		}
	}
	for k, row := range heads {
		if row != 0 && !m.equalKey(m.row(row), b, cols, b.Row(from+k)) {
			heads[k] = 0
		}
	}
	for k := range groups {
		if heads[k] == 0 && (groups[k] != 0 || m.intKey) { // another key with the same tag, or NULL
			groups[k] = m.find(hashes[k], b, cols, b.Row(from+k))
			heads[k] = m.headOf(groups[k])
		}
	}
	return groups
}

// findInts is findAll for a key of one integer, whose values are col.
func (m *multimap) findInts(hashes []uint64, b *batch.Batch, col []int64, from int) {
	groups, heads := m.found[:len(hashes)], m.heads[:len(hashes)]
	if len(m.groups) == 0 {
		clear(groups)
		clear(heads)
		return
	}
	m.fetched += m.byKey.fetch(hashes)
	for k, h := range hashes {
		p := m.byKey.probe(h)
		groups[k] = p.next()
	}
	// Group 0 is of no key and has no rows. It is read like any other, because a
	// branch on whether there is a group would often be guessed wrong.
	for k, g := range groups {
		gr := m.group(g)
		v := col[b.Row(from+k)]
		heads[k] = gr.head
		if found := uint64(-int64(g) >> 63); (gr.id^uint64(v))&found != 0 {
			groups[k] = m.findInt(hashes[k], v) // another key with the same tag
			heads[k] = m.headOf(groups[k])
		}
	}
}

// findInt is find for a key of one integer.
func (m *multimap) findInt(hash uint64, v int64) uint32 {
	p := m.byKey.probe(hash)
	for g := p.next(); g != 0; g = p.next() {
		if m.group(g).id == uint64(v) {
			return g
		}
	}
	return 0
}

// headOf returns the first row of group g; g may be 0.
func (m *multimap) headOf(g uint32) uint32 {
	if g == 0 {
		return 0
	}
	return m.group(g).head
}

// fetch brings the given rows near, all at once: the loads depend on nothing, so
// the processor need not wait for one before it asks for the next. Row 0 is never
// in use, but there.
func (m *multimap) fetch(rows []uint32) {
	if len(m.chunks) == 0 {
		return
	}
	sum := uint64(0)
	for _, r := range rows {
		sum += m.chunks[r>>rowChunkBits][int(r&(rowChunk-1))*m.stride+rowLinks]
	}
	m.fetched += sum
}

// hashOf returns the hash of the key of group g.
func (m *multimap) hashOf(gr *group) uint64 {
	if m.intKey {
		return types.HashInt(int64(gr.id))
	}
	return gr.id
}

// oneInt returns the values of the key if it is one integer column without NULLs.
func oneInt(b *batch.Batch, cols []int) []int64 {
	if len(cols) == 1 && b.Cols[cols[0]].Valid == nil && b.Cols[cols[0]].Type.Layout() == types.LayoutInt {
		return b.Cols[cols[0]].I64
	}
	return nil
}

func (m *multimap) equalKey(w []uint64, b *batch.Batch, cols []int, i int) bool {
	for n, k := range m.keys {
		if !m.equal(w, k, &b.Cols[cols[n]], i) {
			return false
		}
	}
	return true
}

// findAs returns the group with the key of group g of o, or 0.
func (m *multimap) findAs(o *multimap, g uint32) uint32 {
	og := o.group(g)
	if m.intKey && o.intKey {
		if g == o.nullG {
			return m.nullG
		}
		return m.findInt(o.hashOf(og), int64(og.id))
	}
	if m.intKey { // and the other key is of no type: NULL
		return m.nullG
	}
	if o.intKey && g != o.nullG { // and m's key is NULL
		return 0
	}
	ow, hash := o.row(og.head), og.id
	if o.intKey {
		hash = o.nullHash
	}
	p := m.byKey.probe(hash)
next:
	for g := p.next(); g != 0; g = p.next() {
		gr := m.group(g)
		if gr.id != hash {
			continue
		}
		w := m.row(gr.head)
		for n, k := range m.keys {
			if m.compare(w, k, o.rowStore, ow, o.keys[n], SortKey{}) != 0 {
				continue next
			}
		}
		return g
	}
	return 0
}

// lookUp returns the row of a group that is row i of b, or 0.
func (m *multimap) lookUp(gr *group, rowHash uint64, b *batch.Batch, i int) uint32 {
	if gr.rows == manyRows {
		p := m.byRow.probe(rowHash)
		for row := p.next(); row != 0; row = p.next() {
			if m.same(m.row(row), b, m.all, i) {
				return row
			}
		}
		return 0
	}
	if bits := filterBits(rowHash); gr.filter&bits != bits {
		return 0
	}
	for row := gr.head; row != 0; {
		w := m.row(row)
		if m.same(w, b, m.all, i) {
			return row
		}
		row = next(w)
	}
	return 0
}
