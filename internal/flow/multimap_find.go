package flow

import "github.com/tidemill/tidemill/internal/batch"

// headsOf writes the first rows that m has in groups, 0 for none, to m.heads and
// returns them. Group 0 is of no key and has no rows.
func (m *multimap) headsOf(groups []uint32) []uint32 {
	heads := m.heads[:len(groups)]
	if m.t.empty() {
		clear(heads)
		return heads
	}
	v := m.t.groups.View()
	for k, g := range groups {
		w := v.Row(g)
		if w == nil {
			w = m.t.groups.At(g)
		}
		heads[k] = groupOf(w, m.side).head()
	}
	return heads
}

// oldWeights writes the weights of groups at the start of the step to weights. Group
// 0 is of no key and has none.
func (m *multimap) oldWeights(weights []int64, groups []uint32) []int64 {
	weights = weights[:len(groups)]
	if m.t.empty() {
		clear(weights)
		return weights
	}
	v := m.t.groups.View()
	for k, g := range groups {
		w := v.Row(g)
		if w == nil {
			w = m.t.groups.At(g)
		}
		gr := groupOf(w, m.side)
		weights[k] = gr.weight()
		if t := gr.touched(); t != 0 {
			weights[k] = m.touchedG[t-1].old
		}
	}
	return weights
}

// groupsOf writes the groups of rows to groups.
func (m *multimap) groupsOf(groups, rows []uint32) {
	v := m.pages.View()
	for k, r := range rows {
		w := v.Row(r)
		if w == nil {
			w = m.row(r)
		}
		groups[k] = uint32(w[rowGroup] >> 32)
	}
}

// fetch brings the given rows near, all at once: the loads depend on nothing, so
// the processor need not wait for one before it asks for the next. Row 0 is never
// in use, but there.
func (m *multimap) fetch(rows []uint32) {
	if m.pages.Cap() == 0 {
		return
	}
	v := m.pages.View()
	sum := uint64(0)
	for _, r := range rows {
		w := v.Row(r)
		if w == nil {
			w = m.row(r)
		}
		sum += w[rowLinks]
	}
	m.fetched += sum
}

// fetchTouched is fetch for rows that changed in the step, up to probeRows.
func (m *multimap) fetchTouched(rows []touchedRow) {
	ids := m.heads[:len(rows)]
	for k := range rows {
		ids[k] = rows[k].row
	}
	m.fetch(ids)
}

// equalKey reports whether the key of a row with words w is columns cols of row i of b.
func (m *multimap) equalKey(w []uint64, b *batch.Batch, cols []int, i int) bool {
	for n, k := range m.keys {
		if !m.equal(w, k, &b.Cols[cols[n]], i) {
			return false
		}
	}
	return true
}

// lookUp returns the row of a group that is row i of b, or 0.
func (m *multimap) lookUp(gr *group, rowHash uint64, b *batch.Batch, i int) uint32 {
	if gr.rows() == manyRows {
		p := m.byRow.Probe(rowHash)
		for row := p.Next(); row != 0; row = p.Next() {
			if m.same(m.row(row), b, m.all, i) {
				return row
			}
		}
		return 0
	}
	if !gr.mayHave(rowHash) {
		return 0
	}
	for row := gr.head(); row != 0; {
		w := m.row(row)
		if m.same(w, b, m.all, i) {
			return row
		}
		row = next(w)
	}
	return 0
}
