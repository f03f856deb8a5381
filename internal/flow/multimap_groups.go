package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// groupTable finds the group of a key. The multimaps of two relations that are
// compared by key, such as the sides of a join, share one: then a row is looked up
// once for both, what either has of its key lies side by side in one cache line, and
// nobody searches for the other's group of a key. A key of one integer is kept in
// the group instead of its hash, so that rows need not be looked at.
type groupTable struct {
	sides  [2]*multimap
	pair   uint32 // 1 if there are two, else 0
	intKey bool   // the key is one column of integers

	trackBorn bool // note new groups in born

	chunks   [][]group // of each group, a record for each side
	next     uint32    // lowest group never given out
	free     uint32    // a list through the first records' heads
	byKey    index
	nullHash uint64 // with intKey: the hash of NULL, if nullG is not 0
	nullG    uint32 // with intKey: the group of NULL, which byKey does not have
	rows     []uint32
	born     []uint32 // with trackBorn: groups made in this step, some of which may be gone
	fetched  uint64   // keeps the loads of fetch from being left out
}

const (
	groupChunkBits = 10
	groupBytes     = 32
)

// newGroupTable gives sides, one or two multimaps without rows, a table.
func newGroupTable(sides ...*multimap) {
	t := &groupTable{next: 1, pair: uint32(len(sides) - 1), rows: make([]uint32, probeRows)}
	for p, m := range sides {
		t.sides[p], m.t, m.side = m, t, uint32(p)
		if len(m.keys) == 1 && m.types[m.keys[0]].Layout() == types.LayoutInt {
			t.intKey = true // the other's may be of no type, and always NULL
		}
	}
}

func (t *groupTable) bytes() int64 {
	return t.byKey.bytes + int64(len(t.chunks))<<groupChunkBits*groupBytes
}

// group returns a side's record of group g.
func (t *groupTable) group(g, side uint32) *group {
	at := g<<t.pair | side
	return &t.chunks[at>>groupChunkBits][at&(1<<groupChunkBits-1)]
}

// records returns the records of group g, one for each side.
func (t *groupTable) records(g uint32) []group {
	at := g << t.pair
	in := at & (1<<groupChunkBits - 1)
	return t.chunks[at>>groupChunkBits][in : in+t.pair+1]
}

// newGroup returns a group for the key of a row of m with words w.
func (t *groupTable) newGroup(hash uint64, m *multimap, w []uint64) uint32 {
	g := t.free
	if g != 0 {
		t.free = t.group(g, 0).head
	} else {
		g = t.next
		if g > 1<<31 {
			panic("flow: too many keys in one operator's state")
		}
		t.next++
		if int(g<<t.pair>>groupChunkBits) == len(t.chunks) {
			t.chunks = append(t.chunks, make([]group, 1<<groupChunkBits))
		}
	}
	id, null := hash, false
	if t.intKey {
		if c := m.keys[0]; m.null(w, c) {
			t.nullG, t.nullHash, null = g, hash, true
		} else {
			id = w[m.fields[c].at]
		}
	}
	for p := range t.records(g) {
		t.records(g)[p] = group{id: id}
	}
	if !null {
		t.byKey.add(hash, g)
	}
	if t.trackBorn {
		t.born = append(t.born, g)
	}
	return g
}

// settle frees group g if no side has any of its rows or needs to know what its
// weight was.
func (t *groupTable) settle(g uint32) {
	rs := t.records(g)
	for p := range rs {
		gr := &rs[p]
		if gr.head != 0 || gr.touched != 0 || gr.rows == freedGroup {
			return
		}
	}
	if t.intKey && g == t.nullG {
		t.nullG = 0
	} else {
		t.byKey.remove(t.hashOf(&rs[0]), g)
	}
	for p := range rs {
		rs[p] = group{rows: freedGroup}
	}
	rs[0].head = t.free
	t.free = g
}

// forgetBorn forgets which groups are new.
func (t *groupTable) forgetBorn() { t.born = t.born[:0] }

// hashOf returns the hash of the key of a group.
func (t *groupTable) hashOf(gr *group) uint64 {
	if t.intKey {
		return types.HashInt(int64(gr.id))
	}
	return gr.id
}

// keyRow returns a row with the key of group g, and whose it is; nil if no side has
// one now.
func (t *groupTable) keyRow(g uint32) (*multimap, uint32) {
	rs := t.records(g)
	for p := range rs {
		if rs[p].head != 0 {
			return t.sides[p], rs[p].head
		}
	}
	return nil, 0
}

// find returns the group whose key is columns cols of physical row i of b, or 0.
func (t *groupTable) find(hash uint64, b *batch.Batch, cols []int, i int) uint32 {
	if t.intKey {
		col := &b.Cols[cols[0]]
		if col.Type.Layout() == types.LayoutNone || col.Null(i) {
			return t.nullG
		}
		return t.findInt(hash, col.I64[i])
	}
	p := t.byKey.probe(hash)
	for g := p.next(); g != 0; g = p.next() {
		if t.group(g, 0).id == hash {
			if m, row := t.keyRow(g); m != nil && m.equalKey(m.row(row), b, cols, i) {
				return g
			}
		}
	}
	return 0
}

// probeRows is how many rows are looked up together: the memory that the lookups
// wait for is then fetched for many at once, and stays in the nearest caches.
const probeRows = 512

// findAll is find for the selected rows from..from+len(hashes) of b; it writes to
// groups and returns that.
func (t *groupTable) findAll(groups []uint32, hashes []uint64, b *batch.Batch, cols []int, from int) []uint32 {
	groups = groups[:len(hashes)]
	if len(t.chunks) == 0 {
		clear(groups)
		return groups
	}
	if col := oneInt(b, cols); col != nil && t.intKey {
		t.findInts(groups, hashes, b, col, from)
		return groups
	}
	rows := t.rows[:len(hashes)]
	t.fetched += t.byKey.fetch(hashes)
	for k, h := range hashes {
		p := t.byKey.probe(h)
		groups[k] = p.next()
	}
	for k, g := range groups {
		rows[k] = 0
		if g != 0 && !t.intKey && t.group(g, 0).id == hashes[k] {
			_, rows[k] = t.keyRow(g)
		}
	}
	for k, g := range groups {
		if rows[k] != 0 {
			if m, _ := t.keyRow(g); m.equalKey(m.row(rows[k]), b, cols, b.Row(from+k)) {
				continue
			}
		}
		if g != 0 || t.intKey { // another key with the same tag, or NULL
			groups[k] = t.find(hashes[k], b, cols, b.Row(from+k))
		}
	}
	return groups
}

// findInts is findAll for a key of one integer, whose values are col.
func (t *groupTable) findInts(groups []uint32, hashes []uint64, b *batch.Batch, col []int64, from int) {
	t.fetched += t.byKey.fetch(hashes)
	for k, h := range hashes {
		p := t.byKey.probe(h)
		groups[k] = p.next()
	}
	// Group 0 is of no key. It is read like any other, because a branch on whether
	// there is a group would often be guessed wrong.
	for k, g := range groups {
		v := col[b.Row(from+k)]
		if found := uint64(-int64(g) >> 63); (t.group(g, 0).id^uint64(v))&found != 0 {
			groups[k] = t.findInt(hashes[k], v) // another key with the same tag
		}
	}
}

// findInt is find for a key of one integer.
func (t *groupTable) findInt(hash uint64, v int64) uint32 {
	p := t.byKey.probe(hash)
	for g := p.next(); g != 0; g = p.next() {
		if t.group(g, 0).id == uint64(v) {
			return g
		}
	}
	return 0
}

// oneInt returns the values of the key if it is one integer column without NULLs.
func oneInt(b *batch.Batch, cols []int) []int64 {
	if len(cols) == 1 && b.Cols[cols[0]].Valid == nil && b.Cols[cols[0]].Type.Layout() == types.LayoutInt {
		return b.Cols[cols[0]].I64
	}
	return nil
}
