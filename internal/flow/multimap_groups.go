package flow

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
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

	groups   *state.Pages // of each group, a record for each side
	next     uint32       // lowest group never given out
	free     uint32       // a list through the first records' heads
	byKey    *state.Index
	nullHash uint64 // with intKey: the hash of NULL, if nullG is not 0
	nullG    uint32 // with intKey: the group of NULL, which byKey does not have
	rows     []uint32
	born     []uint32 // with trackBorn: groups made in this step, some of which may be gone
}

// group is the rows that one multimap has of one key.
type group [groupWords]uint64

// The words of a group.
const (
	groupID     = iota // the key's hash or, with intKey, its value
	groupWeight        // sum of the rows' weights
	groupHead          // first row, which are linked both ways<<32 | 1 + index in touchedG
	groupFew           // rows<<32 | with few rows, the bits of every row that has been here
	groupWords
)

func (gr *group) id() uint64      { return gr[groupID] }
func (gr *group) weight() int64   { return int64(gr[groupWeight]) }
func (gr *group) head() uint32    { return uint32(gr[groupHead] >> 32) }
func (gr *group) touched() uint32 { return uint32(gr[groupHead]) }

// rows is how many there are, up to fewRows; or manyRows or freedGroup; keysOnly does
// not count.
func (gr *group) rows() uint32   { return uint32(gr[groupFew] >> 32) }
func (gr *group) filter() uint32 { return uint32(gr[groupFew]) }

func (gr *group) setHead(row uint32)  { gr[groupHead] = gr[groupHead]&(1<<32-1) | uint64(row)<<32 }
func (gr *group) setTouched(t uint32) { gr[groupHead] = gr[groupHead]&^(1<<32-1) | uint64(t) }
func (gr *group) setFew(rows, filter uint32) {
	gr[groupFew] = uint64(rows)<<32 | uint64(filter)
}

// mayHave reports whether a row of this hash may be in the list of few rows.
func (gr *group) mayHave(rowHash uint64) bool {
	bits := filterBits(rowHash)
	return gr.filter()&bits == bits
}

// groupOf returns a side's record in the words of a group.
func groupOf(w []uint64, side uint32) *group {
	return (*group)(w[side*groupWords:])
}

// groupChunkBits is the size of chunks of what operators keep by group.
const groupChunkBits = 10

// newGroupTable gives sides, one or two multimaps without rows, a table.
func newGroupTable(mem *state.Memory, sides ...*multimap) {
	t := &groupTable{
		next: 1, pair: uint32(len(sides) - 1), rows: make([]uint32, probeRows),
		groups: state.NewPages(mem, len(sides)*groupWords), byKey: state.NewIndex(mem),
	}
	for p, m := range sides {
		t.sides[p], m.t, m.side = m, t, uint32(p)
		if len(m.keys) == 1 && m.types[m.keys[0]].Layout() == types.LayoutInt {
			t.intKey = true // the other's may be of no type, and always NULL
		}
	}
}

func (t *groupTable) persist(p *state.Persist) {
	atRest(p, "groups made", len(t.born))
	state.Num(p, &t.next)
	state.Num(p, &t.free)
	state.Num(p, &t.nullHash)
	state.Num(p, &t.nullG)
	p.Pages(t.groups)
	t.byKey.Persist(p)
	if p.Loading() && p.Err() == nil && (t.next == 0 || t.next > 1 && int64(t.next) > int64(t.groups.Cap()) || t.free >= t.next || t.nullG >= t.next) {
		p.Fail(fmt.Errorf("%w: %d groups in room for %d", state.ErrDamaged, t.next, t.groups.Cap()))
	}
}

func (t *groupTable) bytes() int64 { return t.byKey.Bytes() + t.groups.Bytes() }

// empty reports whether there has never been a group, and so no group 0 to read.
func (t *groupTable) empty() bool { return t.groups.Cap() == 0 }

// group returns a side's record of group g, for reading.
func (t *groupTable) group(g, side uint32) *group { return groupOf(t.groups.At(g), side) }

// edit returns a side's record of group g, for reading and writing.
func (t *groupTable) edit(g, side uint32) *group { return groupOf(t.groups.Edit(g), side) }

// newGroup returns a group for the key of a row of m with words w, and m's record of it.
func (t *groupTable) newGroup(hash uint64, m *multimap, w []uint64) (uint32, *group) {
	g := t.free
	if g != 0 {
		t.free = t.group(g, 0).head()
	} else {
		g = t.next
		if g > 1<<31 {
			panic("flow: too many keys in one operator's state")
		}
		t.next++
		t.groups.Grow(int(g) + 1)
	}
	id, null := hash, false
	if t.intKey {
		if c := m.keys[0]; m.null(w, c) {
			t.nullG, t.nullHash, null = g, hash, true
		} else {
			id = w[m.fields[c].at]
		}
	}
	words := t.groups.Edit(g)
	for p := range t.pair + 1 {
		*groupOf(words, p) = group{groupID: id}
	}
	if !null {
		t.byKey.Add(hash, g)
	}
	if t.trackBorn {
		t.born = append(t.born, g)
	}
	return g, groupOf(words, m.side)
}

// settle frees group g if no side has any of its rows or needs to know what its
// weight was.
func (t *groupTable) settle(g uint32) { t.settleWords(g, t.groups.At(g)) }

// settleWords is settle for a group with the given words.
func (t *groupTable) settleWords(g uint32, words []uint64) {
	for p := range t.pair + 1 {
		if gr := groupOf(words, p); gr[groupHead] != 0 || gr.rows() == freedGroup {
			return
		}
	}
	if t.intKey && g == t.nullG {
		t.nullG = 0
	} else {
		t.byKey.Remove(t.hashOf(groupOf(words, 0)), g)
	}
	words = t.groups.Edit(g)
	for p := range t.pair + 1 {
		*groupOf(words, p) = group{}
		groupOf(words, p).setFew(freedGroup, 0)
	}
	groupOf(words, 0).setHead(t.free)
	t.free = g
}

// forgetBorn forgets which groups are new.
func (t *groupTable) forgetBorn() { t.born = t.born[:0] }

// hashOf returns the hash of the key of a group.
func (t *groupTable) hashOf(gr *group) uint64 {
	if t.intKey {
		return types.HashInt(int64(gr.id()))
	}
	return gr.id()
}

// keyRow returns a row with the key of group g, and whose it is; nil if no side has
// one now.
func (t *groupTable) keyRow(g uint32) (*multimap, uint32) {
	words := t.groups.At(g)
	for p := range t.pair + 1 {
		if head := groupOf(words, p).head(); head != 0 {
			return t.sides[p], head
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
	p := t.byKey.Probe(hash)
	for g := p.Next(); g != 0; g = p.Next() {
		if t.group(g, 0).id() == hash {
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
	if t.empty() {
		clear(groups)
		return groups
	}
	t.byKey.First(groups, hashes)
	if col := oneInt(b, cols); col != nil && t.intKey {
		t.findInts(groups, hashes, b, col, from)
		return groups
	}
	rows := t.rows[:len(hashes)]
	for k, g := range groups {
		rows[k] = 0
		if g != 0 && !t.intKey && t.group(g, 0).id() == hashes[k] {
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

// findInts is findAll for a key of one integer, whose values are col, given the first
// candidates.
func (t *groupTable) findInts(groups []uint32, hashes []uint64, b *batch.Batch, col []int64, from int) {
	// Group 0 is of no key. It is read like any other, because a branch on whether
	// there is a group would often be guessed wrong.
	view := t.groups.View()
	for k, g := range groups {
		v := col[b.Row(from+k)]
		w := view.Row(g)
		if w == nil {
			w = t.groups.At(g)
		}
		if found := uint64(-int64(g) >> 63); (w[groupID]^uint64(v))&found != 0 {
			groups[k] = t.findInt(hashes[k], v) // another key with the same tag
		}
	}
}

// findInt is find for a key of one integer.
func (t *groupTable) findInt(hash uint64, v int64) uint32 {
	p := t.byKey.Probe(hash)
	for g := p.Next(); g != 0; g = p.Next() {
		if t.group(g, 0).id() == uint64(v) {
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
