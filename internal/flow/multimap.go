package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
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

	byRow    index // rows of groups with more than fewRows
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

// group is the rows that one multimap has of one key.
type group struct {
	id      uint64 // the key's hash or, with intKey, its value
	weight  int64
	head    uint32 // first row; rows are linked both ways
	touched uint32 // 1 + index in touchedG
	rows    uint32 // how many, up to fewRows; or manyRows or freedGroup; keysOnly does not count
	filter  uint32 // with few rows: the bits of every row that has been here
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

func newMultimap(ts []types.Type, keys []int, header int) *multimap {
	m := &multimap{rowStore: newRowStore(ts, header), keys: keys}
	m.all = allColumns(ts)
	m.found, m.heads = make([]uint32, probeRows), make([]uint32, probeRows)
	newGroupTable(m)
	return m
}

// newKeyCounts returns a multimap that knows only the weight of each key of rows
// of type ts.
func newKeyCounts(ts []types.Type, keys []int) *multimap {
	own := make([]types.Type, len(keys))
	for i, k := range keys {
		own[i] = ts[k]
	}
	m := newMultimap(own, allColumns(own), rowPlain)
	m.keysOnly = true
	return m
}

// bytes includes the groupTable in the first of those that share one.
func (m *multimap) bytes() int64 {
	n := m.rowStore.bytes() + m.byRow.bytes
	if m.side == 0 {
		n += m.t.bytes()
	}
	return n
}

// group returns what m has of the key of group g.
func (m *multimap) group(g uint32) *group { return m.t.group(g, m.side) }

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
	for k, g := range groups {
		heads[k] = 0
		if g != 0 {
			if gr := m.group(g); gr.mayHave(rows[k]) {
				heads[k] = gr.head
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

// mayHave reports whether a row of this hash may be in the list of few rows.
func (gr *group) mayHave(rowHash uint64) bool {
	bits := filterBits(rowHash)
	return gr.filter&bits == bits
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
	if g == 0 || m.group(g).head == 0 {
		row := m.alloc()
		words := m.row(row)
		m.write(words, b, cols, i)
		if g == 0 {
			g = m.t.newGroup(hash, m, words)
		}
		words[rowGroup] = uint64(g) << 32
		m.group(g).head = row
	}
	m.addWeight(g, w)
	if m.group(g).weight == 0 {
		m.deadG = append(m.deadG, g)
	}
}

// add adds weight w to row i of b, whose group is g if that is known. It returns the
// row and whether it is new.
func (m *multimap) add(keyHash, rowHash uint64, b *batch.Batch, i int, w int64, g uint32) (row uint32, fresh bool) {
	if g == 0 {
		g = m.t.find(keyHash, b, m.keys, i)
	}
	if g != 0 {
		row = m.lookUp(m.group(g), rowHash, b, i)
	}
	if row == 0 {
		row, fresh = m.insert(keyHash, rowHash, b, i, g), true
	}
	words := m.row(row)
	if m.trackR {
		m.touch(row)
		m.touchedR[uint32(words[rowGroup])-1].hash = rowHash
	}
	words[rowWeight] += uint64(w)
	m.addWeight(uint32(words[rowGroup]>>32), w)
	if words[rowWeight] == 0 && !m.trackR {
		m.touch(row)
		m.touchedR[uint32(words[rowGroup])-1].hash = rowHash
	}
	return row, fresh
}

// insert enters a new row in group g, or in a new group if g is 0.
func (m *multimap) insert(keyHash, rowHash uint64, b *batch.Batch, i int, g uint32) uint32 {
	row := m.alloc()
	w := m.row(row)
	m.write(w, b, m.all, i)
	if g == 0 {
		g = m.t.newGroup(keyHash, m, w)
	}
	gr := m.group(g)
	w[rowLinks] = uint64(gr.head) << 32
	w[rowGroup] = uint64(g) << 32
	if gr.rows == manyRows {
		m.row(gr.head)[rowLinks] |= uint64(row)
	}
	gr.head = row
	switch {
	case gr.rows < fewRows:
		gr.rows++
		gr.filter |= filterBits(rowHash)
	case gr.rows == fewRows:
		gr.rows = manyRows
		m.indexRows(gr)
	default:
		m.byRow.add(rowHash, row)
	}
	return row
}

// indexRows enters the rows of a group in byRow and links them backwards, once there
// are more than a few.
func (m *multimap) indexRows(gr *group) {
	if m.fewHash == nil {
		m.fewIDs, m.fewHash = make([]uint32, 0, manyRows), make([]uint64, manyRows)
		m.few.Cols = make([]batch.Column, len(m.fields))
	}
	m.fewIDs = m.fewIDs[:0]
	before := uint32(0)
	for r := gr.head; r != 0; {
		w := m.row(r)
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
		m.byRow.add(h, m.fewIDs[k])
	}
}

func (m *multimap) addWeight(g uint32, w int64) {
	gr := m.group(g)
	if m.trackG && gr.touched == 0 {
		m.touchedG = append(m.touchedG, touchedGroup{group: g, old: gr.weight})
		gr.touched = uint32(len(m.touchedG))
	}
	gr.weight += w
}

// oldWeight returns the weight of group g at the start of the step; g may be 0.
func (m *multimap) oldWeight(g uint32) int64 {
	if g == 0 {
		return 0
	}
	gr := m.group(g)
	if gr.touched != 0 {
		return m.touchedG[gr.touched-1].old
	}
	return gr.weight
}

// touch notes row's weight and count before it changes.
func (m *multimap) touch(row uint32) {
	w := m.row(row)
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
	m.touch(row)
	m.row(row)[rowCount] += uint64(n)
}

// next returns the row after the one with words w in its group, or 0.
func next(w []uint64) uint32 { return uint32(w[rowLinks] >> 32) }

// endStep forgets what the step touched and removes what has come to nothing.
func (m *multimap) endStep() {
	for _, t := range m.touchedG {
		m.group(t.group).touched = 0
		m.t.settle(t.group)
	}
	m.touchedG = m.touchedG[:0]
	for _, t := range m.touchedR {
		w := m.row(t.row)
		w[rowGroup] &^= 1<<32 - 1
		if w[rowWeight] == 0 {
			m.remove(t.row, w, t.hash)
		}
	}
	m.touchedR = m.touchedR[:0]
	for _, g := range m.deadG { // which may name a group twice
		if gr := m.group(g); gr.weight == 0 && gr.rows != freedGroup && gr.head != 0 {
			m.releaseRow(gr.head)
			gr.head = 0
			m.t.settle(g)
		}
	}
	m.deadG = m.deadG[:0]
}

// releaseRow frees a row that is in no list any more.
func (m *multimap) releaseRow(row uint32) {
	m.row(row)[rowGroup] = 0
	m.release(row)
}

// remove takes a row with words w and the given hash out. Its group forgets it, but
// not its weight.
func (m *multimap) remove(row uint32, w []uint64, hash uint64) {
	after, before := next(w), uint32(w[rowLinks])
	g := uint32(w[rowGroup] >> 32)
	gr := m.group(g)
	many := gr.rows == manyRows
	if many {
		m.byRow.remove(hash, row)
	} else {
		gr.rows--
		before = m.before(gr, row)
	}
	if before != 0 {
		bw := m.row(before)
		bw[rowLinks] = bw[rowLinks]&(1<<32-1) | uint64(after)<<32
	} else {
		gr.head = after
	}
	if after != 0 && many {
		aw := m.row(after)
		aw[rowLinks] = aw[rowLinks]&^(1<<32-1) | uint64(before)
	}
	m.releaseRow(row)
	if gr.head == 0 {
		gr.rows, gr.filter = 0, 0
		m.t.settle(g)
	}
}

// before returns the row before the given one in a group of few, 0 if it is the first.
func (m *multimap) before(gr *group, row uint32) uint32 {
	before := uint32(0)
	for r := gr.head; r != row; r = next(m.row(r)) {
		before = r
	}
	return before
}
