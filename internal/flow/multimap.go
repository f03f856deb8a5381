package flow

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// multimap holds the rows of a relation grouped by a key: for each distinct row
// its weight, for each key the sum of the weights. The rows of a group are a list.
// In a small group a row is found by walking it, which a few bits of the rows'
// hashes mostly spare those that are new; the rows of a large group are also in an
// index, so that a withdrawal costs no more there. The keys themselves are in a
// groupTable, which the multimaps of two relations may share.
//
// Rows whose weight has come to 0 stay until endStep, and with them their group:
// within a step the rows of a key may go and come back in any order.
type multimap struct {
	*rowStore
	t        *groupTable
	side     uint32 // in t
	keys     []int  // columns of the key
	all      []int  // every column
	keysOnly bool   // rows are keys, groups have one row, rows have no weight of their own
	trackG   bool   // note groups' weights at the start of the step
	trackR   bool   // note rows' weights and counts at the start of the step

	byRow    *state.Index // rows of groups with more than fewRows
	touchedG []touchedGroup
	touchedR []touchedRow
	deadG    []uint32 // keysOnly: groups whose weight has been 0
	found    []uint32 // scratch: the groups of rows that are looked up together
	heads    []uint32 // scratch: their first rows
	few      batch.Batch
	fewIDs   []uint32
	fewHash  []uint64
	fetched  uint64 // keeps the loads of fetch from being left out
}

const (
	// fewRows is how many rows of a group are searched one by one.
	fewRows = 8
	// manyRows marks a group whose rows are in byRow. It stays so until it is empty.
	manyRows = fewRows + 1
	// freedGroup marks groups on the free list.
	freedGroup = manyRows + 1
)

// filterBits is a row's two bits (or one) in its group's filter.
func filterBits(rowHash uint64) uint32 {
	return 1<<(rowHash>>32&31) | 1<<(rowHash>>37&31)
}

// touchedGroup is a group that changed in this step.
type touchedGroup struct {
	group uint32
	old   int64 // weight before
}

// touchedRow is a row that changed in this step or, without trackR, one whose
// weight came to 0.
type touchedRow struct {
	row   uint32
	hash  uint64 // of the whole row; known once its weight has changed
	old   int64  // weight before
	count int64  // count before
}

// The header words of a row.
const (
	rowWeight  = 0
	rowLinks   = 1 // next<<32 | in a group of many rows, the previous one
	rowGroup   = 2 // group<<32 | 1 + index in touchedR; 0 in freed rows
	rowPlain   = 3 // words of a row without more
	rowCount   = 3 // a signed number for the operator
	rowCounted = 4 // words of a row with a count
)

// newMultimap returns an empty multimap with a groupTable of its own.
func newMultimap(mem *state.Memory, ts []types.Type, keys []int, header int) *multimap {
	m := newSide(mem, ts, keys, header)
	newGroupTable(mem, m)
	return m
}

// newSide returns an empty multimap that is to share a groupTable.
func newSide(mem *state.Memory, ts []types.Type, keys []int, header int) *multimap {
	m := &multimap{rowStore: newRowStore(mem, ts, header), keys: keys, all: allColumns(ts), byRow: state.NewIndex(mem)}
	m.found, m.heads = make([]uint32, probeRows), make([]uint32, probeRows)
	return m
}

// newKeyCounts returns a side that knows only the weight of each key of rows of type ts.
func newKeyCounts(mem *state.Memory, ts []types.Type, keys []int) *multimap {
	own := make([]types.Type, len(keys))
	for i, k := range keys {
		own[i] = ts[k]
	}
	m := newSide(mem, own, allColumns(own), rowPlain)
	m.keysOnly = true
	return m
}

// persist includes the groupTable in the first of those that share one.
func (m *multimap) persist(p *state.Persist) {
	atRest(p, "groups changed", len(m.touchedG))
	atRest(p, "rows changed", len(m.touchedR))
	atRest(p, "keys came to nothing", len(m.deadG))
	m.rowStore.persist(p)
	m.byRow.Persist(p)
	if m.side == 0 {
		m.t.persist(p)
	}
}

// atRest panics in tests if something of a step is left at its end.
func atRest(p *state.Persist, what string, n int) {
	if n != 0 && p.Checks() {
		panic(fmt.Sprintf("flow: %d %s between two steps", n, what))
	}
}

// bytes includes the groupTable in the first of those that share one.
func (m *multimap) bytes() int64 {
	n := m.rowStore.bytes() + m.byRow.Bytes()
	if m.side == 0 {
		n += m.t.bytes()
	}
	return n
}

// group returns what m has of the key of group g, for reading.
func (m *multimap) group(g uint32) *group { return m.t.group(g, m.side) }

// editGroup returns what m has of the key of group g, for reading and writing.
func (m *multimap) editGroup(g uint32) *group { return m.t.edit(g, m.side) }

// addAll adds the selected rows of b with their weights. ids and fresh, if not nil,
// get the row of each and whether it is new.
func (m *multimap) addAll(keys, rows []uint64, b *batch.Batch, ids []uint32, fresh []bool) {
	for from := 0; from < len(keys); from += probeRows {
		to := min(from+probeRows, len(keys))
		groups := m.t.findAll(m.found, keys[from:to], b, m.keys, from)
		if ids != nil {
			m.addFound(groups, keys[from:to], rows[from:to], b, from, ids[from:to], fresh[from:to])
		} else {
			m.addFound(groups, keys[from:to], rows[from:to], b, from, nil, nil)
		}
	}
}

// addFound is addAll for the selected rows from the from-th on, given their groups as
// far as they are known.
func (m *multimap) addFound(groups []uint32, keys, rows []uint64, b *batch.Batch, from int, ids []uint32, fresh []bool) {
	heads := m.heads[:len(groups)]
	v := m.t.groups.View()
	for k, g := range groups {
		heads[k] = 0
		if g != 0 {
			w := v.Row(g)
			if w == nil {
				w = m.t.groups.At(g)
			}
			if gr := groupOf(w, m.side); gr.mayHave(rows[k]) {
				heads[k] = gr.head()
			}
		}
	}
	m.fetch(heads)
	for k, g := range groups {
		i := b.Row(from + k)
		row, isNew := m.add(keys[k], rows[k], b, i, b.Weight(i), g)
		if ids != nil {
			ids[k], fresh[k] = row, isNew
		}
	}
}

// addKeys adds the keys in columns cols of the selected rows of b from the from-th on
// with their weights, in a multimap of keys only, given their groups as far as they
// are known.
func (m *multimap) addKeys(groups []uint32, hashes []uint64, b *batch.Batch, cols []int, from int) {
	for k, g := range groups {
		i := b.Row(from + k)
		m.addKey(hashes[k], b, cols, i, b.Weight(i), g)
	}
}

// addKey adds weight w to the key in columns cols of row i of b, whose group is g if
// that is known.
func (m *multimap) addKey(hash uint64, b *batch.Batch, cols []int, i int, w int64, g uint32) {
	if g == 0 {
		g = m.t.find(hash, b, cols, i)
	}
	var gr *group
	if g != 0 {
		gr = m.editGroup(g)
	}
	if gr == nil || gr.head() == 0 {
		row := m.alloc()
		words := m.edit(row)
		m.write(words, b, cols, i)
		if gr == nil {
			g, gr = m.t.newGroup(hash, m, words)
		}
		words[rowGroup] = uint64(g) << 32
		gr.setHead(row)
	}
	m.addWeight(g, gr, w)
	if gr.weight() == 0 {
		m.deadG = append(m.deadG, g)
	}
}

// add adds weight w to row i of b, whose group is g if that is known. It returns the
// row and whether it is new.
func (m *multimap) add(keyHash, rowHash uint64, b *batch.Batch, i int, w int64, g uint32) (row uint32, fresh bool) {
	if g == 0 {
		g = m.t.find(keyHash, b, m.keys, i)
	}
	var gr *group
	if g != 0 {
		gr = m.editGroup(g)
		row = m.lookUp(gr, rowHash, b, i)
	}
	var words []uint64
	if row != 0 {
		words = m.edit(row)
	} else {
		fresh = true
		row = m.alloc()
		words = m.edit(row)
		m.write(words, b, m.all, i)
		if gr == nil {
			g, gr = m.t.newGroup(keyHash, m, words)
		}
		m.link(row, words, rowHash, g, gr)
	}
	if m.trackR {
		m.touchWords(row, words)
		m.touchedR[uint32(words[rowGroup])-1].hash = rowHash
	}
	words[rowWeight] += uint64(w)
	m.addWeight(g, gr, w)
	if words[rowWeight] == 0 && !m.trackR {
		m.touchWords(row, words)
		m.touchedR[uint32(words[rowGroup])-1].hash = rowHash
	}
	return row, fresh
}

// link enters a new row with words w in group g, whose record is gr.
func (m *multimap) link(row uint32, w []uint64, rowHash uint64, g uint32, gr *group) {
	head, rows := gr.head(), gr.rows()
	w[rowLinks] = uint64(head) << 32
	w[rowGroup] = uint64(g) << 32
	if rows == manyRows {
		m.edit(head)[rowLinks] |= uint64(row)
	}
	gr.setHead(row)
	switch {
	case rows < fewRows:
		gr.setFew(rows+1, gr.filter()|filterBits(rowHash))
	case rows == fewRows:
		gr.setFew(manyRows, gr.filter())
		m.indexRows(row)
	default:
		m.byRow.Add(rowHash, row)
	}
}

// indexRows enters the rows of a group in byRow and links them backwards, once there
// are more than a few; head is the first.
func (m *multimap) indexRows(head uint32) {
	if m.fewHash == nil {
		m.fewIDs, m.fewHash = make([]uint32, 0, manyRows), make([]uint64, manyRows)
		m.few.Cols = make([]batch.Column, len(m.fields))
	}
	m.fewIDs = m.fewIDs[:0]
	before := uint32(0)
	for r := head; r != 0; {
		w := m.edit(r)
		w[rowLinks] = w[rowLinks]&^(1<<32-1) | uint64(before)
		m.fewIDs = append(m.fewIDs, r)
		before, r = r, next(w)
	}
	for c := range m.few.Cols {
		m.few.Cols[c].Type = m.types[c]
		m.gather(&m.few.Cols[c], c, m.fewIDs)
	}
	m.few.N = len(m.fewIDs)
	for k, h := range batch.HashRows(m.fewHash, &m.few, m.all) {
		m.byRow.Add(h, m.fewIDs[k])
	}
}

// addWeight adds to the weight of group g, whose record gr is to be written.
func (m *multimap) addWeight(g uint32, gr *group, w int64) {
	if m.trackG && gr.touched() == 0 {
		m.touchedG = append(m.touchedG, touchedGroup{group: g, old: gr.weight()})
		gr.setTouched(uint32(len(m.touchedG)))
	}
	gr[groupWeight] += uint64(w)
}

// touch notes a row's weight and count before it changes.
func (m *multimap) touch(row uint32) { m.touchWords(row, m.edit(row)) }

// touchWords is touch for a row whose words are to be written.
func (m *multimap) touchWords(row uint32, w []uint64) {
	if uint32(w[rowGroup]) != 0 {
		return
	}
	t := touchedRow{row: row, old: int64(w[rowWeight])}
	if m.trackR {
		t.count = int64(w[rowCount])
	}
	m.touchedR = append(m.touchedR, t)
	w[rowGroup] |= uint64(len(m.touchedR))
}

// addCount adds to the count of a row.
func (m *multimap) addCount(row uint32, n int64) {
	w := m.edit(row)
	m.touchWords(row, w)
	w[rowCount] += uint64(n)
}

// next returns the row after the one with words w in its group, or 0.
func next(w []uint64) uint32 { return uint32(w[rowLinks] >> 32) }

// endStep forgets what the step touched and removes what has come to nothing. The
// caller holds no words of rows or groups of any operator.
func (m *multimap) endStep() {
	for k, t := range m.touchedG {
		m.rest(k)
		words := m.t.groups.Edit(t.group)
		groupOf(words, m.side).setTouched(0)
		m.t.settleWords(t.group, words)
	}
	m.touchedG = m.touchedG[:0]
	for k, t := range m.touchedR {
		m.rest(k)
		w := m.edit(t.row)
		w[rowGroup] &^= 1<<32 - 1
		if w[rowWeight] == 0 {
			m.remove(t.row, t.hash)
		}
	}
	m.touchedR = m.touchedR[:0]
	for k, g := range m.deadG { // which may name a group twice
		m.rest(k)
		if gr := m.group(g); gr.weight() == 0 && gr.rows() != freedGroup && gr.head() != 0 {
			m.releaseRow(gr.head())
			m.editGroup(g).setHead(0)
			m.t.settle(g)
		}
	}
	m.deadG = m.deadG[:0]
}

// restEvery is how many rows or groups are worked on between two times that memory
// may be given back.
const restEvery = batch.BlockRows

// rest lets memory rest before every restEvery-th of many rows.
func (m *multimap) rest(k int) {
	if k%restEvery == restEvery-1 {
		m.mem.Rest()
	}
}

// releaseRow frees a row that is in no list any more.
func (m *multimap) releaseRow(row uint32) {
	m.edit(row)[rowGroup] = 0
	m.release(row)
}

// remove takes a row with the given hash out. Its group forgets it, but not its weight.
func (m *multimap) remove(row uint32, hash uint64) {
	w := m.row(row)
	after, before := next(w), uint32(w[rowLinks])
	g := uint32(w[rowGroup] >> 32)
	gr := m.editGroup(g)
	many := gr.rows() == manyRows
	if many {
		m.byRow.Remove(hash, row)
	} else {
		gr.setFew(gr.rows()-1, gr.filter())
		before = m.before(gr, row)
	}
	if before != 0 {
		bw := m.edit(before)
		bw[rowLinks] = bw[rowLinks]&(1<<32-1) | uint64(after)<<32
	} else {
		gr.setHead(after)
	}
	if after != 0 && many {
		aw := m.edit(after)
		aw[rowLinks] = aw[rowLinks]&^(1<<32-1) | uint64(before)
	}
	m.releaseRow(row)
	if gr.head() == 0 {
		gr.setFew(0, 0)
		m.t.settle(g)
	}
}

// before returns the row before the given one in a group of few, 0 if it is the first.
func (m *multimap) before(gr *group, row uint32) uint32 {
	before := uint32(0)
	for r := gr.head(); r != row; r = next(m.row(r)) {
		before = r
	}
	return before
}
