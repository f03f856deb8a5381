package flow

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// joinForget frees what a join holds and the marks say cannot matter any more, after
// the step is over.
//
// By key: let k be a key column whose counterparts have marks ml and mr. A change has
// k >= ml on the left and k >= mr on the right. So a group with k < min(ml, mr) is
// neither changed nor paired again: both sides' rows of it go.
//
// By time: a pair needs lo <= l - r <= hi. A left row of time l will not change once
// l < ml. The right rows it pairs with have times up to l - lo, and do not change once
// l - lo < mr. Together: l < min(ml, mr + lo). Likewise for a right row: r < min(mr,
// ml - hi).
//
// Rows and groups are put down in calendars, from the step on in which both sides
// have marks: without marks nothing is noted, and while they rest nothing is done.
//
// Source: Kang, Naughton and Viglas, "Evaluating window joins over unbounded streams",
// ICDE 2003, with marks in place of clocks (Tucker et al., see mark.go).
type joinForget struct {
	j     *join
	marks *Marks
	keys  *calendar    // groups by the key column keyAt; nil until it has marks
	keyAt int          // index in LeftKeys and RightKeys
	rows  [2]*calendar // each side's rows by their time; nil until both times have marks
	due   [2][]uint32  // rows to free
	view  batch.Batch
	hash  []uint64
	many  []uint32
}

// checkBetween checks the time columns of a join of inputs of the given types.
func checkBetween(b *Between, in [][]types.Type) error {
	if b == nil {
		return nil
	}
	for port, c := range []int{b.Left, b.Right} {
		if c < 0 || c >= len(in[port]) {
			return fmt.Errorf("compares times with column %d of input %d, which has %d", c, port, len(in[port]))
		}
		if l := in[port][c].Layout(); l != types.LayoutInt {
			return fmt.Errorf("compares times with column %d of input %d, which has layout %d", c, port, l)
		}
	}
	return nil
}

// holds reports whether the times l and r of a pair are within the bounds. Infinite
// times are left to On, because infinity less a second is infinity.
func (b *Between) holds(l, r int64) bool {
	d := l - r
	if infinite(l) || infinite(r) {
		return true
	}
	return (l >= r) == (d >= 0) && b.Lo <= d && d <= b.Hi // else d does not fit an int64
}

func infinite(t int64) bool { return t == math.MaxInt64 || t == math.MinInt64 }

// mark returns the mark of column c of side port.
func (f *joinForget) mark(port, c int) int64 {
	if f.marks.Final[port] {
		return FinalMark
	}
	return f.marks.In[port][c]
}

// keyMark returns below which value of its keys' k-th column a group can go.
func (f *joinForget) keyMark(k int) int64 {
	return min(f.mark(0, f.j.sides[0].keys[k]), f.mark(1, f.j.sides[1].keys[k]))
}

// rowMarks returns below which time rows of the sides can go.
func (f *joinForget) rowMarks() [2]int64 {
	b := f.j.between
	l, r := f.mark(0, b.Left), f.mark(1, b.Right)
	return [2]int64{min(l, shiftMark(r, b.Lo)), min(r, shiftMark(l, -b.Hi))}
}

// run forgets what it can, at the end of a step.
func (f *joinForget) run() {
	if f.keys != nil {
		for _, g := range f.j.sides[0].m.t.born {
			f.enterGroup(g)
		}
	}
	f.j.sides[0].m.t.forgetBorn()
	if f.marks == nil || !f.marks.Moved {
		return
	}
	f.begin()
	if f.keys != nil {
		mark := f.keyMark(f.keyAt)
		f.keys.due(mark, func(g uint64) { f.group(uint32(g), mark) })
	}
	if f.j.between != nil {
		for port, mark := range f.rowMarks() {
			if cal := f.rows[port]; cal != nil {
				cal.due(mark, func(row uint64) { f.row(port, uint32(row), mark) })
			}
		}
	}
	f.free()
}

// begin makes the calendars of columns that have marks for the first time, with
// what the join holds already.
func (f *joinForget) begin() {
	left, right := &f.j.sides[0], &f.j.sides[1]
	t := left.m.t
	for k := 0; k < len(left.keys) && f.keys == nil; k++ {
		lt, rt := left.types[left.keys[k]], right.types[right.keys[k]]
		if lt.Layout() != types.LayoutInt || rt.Layout() != types.LayoutInt || f.keyMark(k) == NoMark {
			continue
		}
		f.keys, f.keyAt = newCalendar(left.m.mem, calendarWidth(lt, 0)), k
		t.trackBorn = true
		for g := uint32(1); g < t.next; g++ {
			left.m.rest(int(g))
			f.enterGroup(g)
		}
	}
	b := f.j.between
	if b == nil || f.rows[0] != nil {
		return
	}
	if marks := f.rowMarks(); marks[0] == NoMark && marks[1] == NoMark {
		return
	}
	for port := range f.rows {
		s := &f.j.sides[port]
		f.rows[port] = newCalendar(s.m.mem, calendarWidth(s.types[s.time], b.Hi-b.Lo))
		for row := uint32(1); row < s.m.next; row++ {
			s.m.rest(int(row))
			if w := s.m.row(row); w[rowGroup] != 0 {
				f.rows[port].add(s.timeOf(w), uint64(row))
			}
		}
	}
}

// The days of calendars: a small part of what the join must hold anyway, but not so
// small that each row is a day.
const (
	leastWidth  = 100_000       // microseconds
	mostWidth   = 3_600_000_000 // microseconds
	widthsASpan = 16
	keyWidth    = 1_000_000 // microseconds
)

// calendarWidth returns the width of days for times of type t that are held for span.
func calendarWidth(t types.Type, span int64) int64 {
	switch t.Kind {
	case types.Timestamp, types.TimestampTZ, types.Time:
		if span == 0 {
			return keyWidth
		}
		if span < 0 { // beyond an int64
			return mostWidth
		}
		return min(max(span/widthsASpan, leastWidth), mostWidth)
	}
	return min(max(span/widthsASpan, 1), mostWidth)
}

// enterRows puts the new ones of the from-th to to-th selected rows of b into the
// calendar of their side.
func (f *joinForget) enterRows(port int, b *batch.Batch, from, to int) {
	cal := f.rows[port]
	if cal == nil {
		return
	}
	j := f.j
	times := b.Cols[j.sides[port].time].I64
	for k := from; k < to; k++ {
		if j.fresh[k] {
			cal.add(times[b.Row(k)], uint64(j.ids[k]))
		}
	}
}

// timeOf returns the time of a stored row with words w.
func (s *joinSide) timeOf(w []uint64) int64 { return int64(w[s.m.fields[s.time].at]) }

// enterGroup puts a group into the calendar, if it is in use.
func (f *joinForget) enterGroup(g uint32) {
	if v, ok := f.keyValue(g); ok {
		f.keys.add(v, uint64(g))
	}
}

// keyValue returns the value of key column keyAt of group g; false if g is free or
// the value NULL.
func (f *joinForget) keyValue(g uint32) (int64, bool) {
	t := f.j.sides[0].m.t
	gr := t.group(g, 0)
	if gr.rows() == freedGroup {
		return 0, false
	}
	if t.intKey {
		return int64(gr.id()), g != t.nullG
	}
	m, row := t.keyRow(g)
	w, c := m.row(row), m.keys[f.keyAt]
	return int64(w[m.fields[c].at]), !m.null(w, c)
}

// group frees all rows of group g if its key is below mark.
func (f *joinForget) group(g uint32, mark int64) {
	if v, ok := f.keyValue(g); !ok || v >= mark {
		return
	}
	for port := range f.j.sides {
		m := f.j.sides[port].m
		head := m.group(g).head()
		if m.keysOnly && head != 0 {
			m.releaseRow(head)
			gr := m.editGroup(g)
			*gr = group{groupID: gr.id()}
			m.t.settle(g)
			continue
		}
		for r := head; r != 0; r = next(m.row(r)) {
			f.dying(port, r)
		}
	}
	f.freeSome()
}

// row frees a row of side port if its time is below mark.
func (f *joinForget) row(port int, row uint32, mark int64) {
	s := &f.j.sides[port]
	if w := s.m.row(row); w[rowGroup] != 0 && s.timeOf(w) < mark {
		f.dying(port, row)
		f.freeSome()
	}
}

// dying puts a row down to be freed. Calendars may name a row twice, so it is noted
// where touch notes rows during steps.
func (f *joinForget) dying(port int, row uint32) {
	w := f.j.sides[port].m.row(row)
	if uint32(w[rowGroup]) != 0 {
		return
	}
	f.j.sides[port].m.edit(row)[rowGroup] |= 1
	f.due[port] = append(f.due[port], row)
}

// freeSome frees the rows that were put down, once they are worth it.
func (f *joinForget) freeSome() {
	if len(f.due[0]) >= batch.BlockRows || len(f.due[1]) >= batch.BlockRows {
		f.free()
	}
}

// free frees the rows that were put down.
func (f *joinForget) free() {
	for port := range f.due {
		m := f.j.sides[port].m
		for rows := f.due[port]; len(rows) > 0; {
			n := min(len(rows), batch.BlockRows)
			f.freeRows(m, rows[:n])
			rows = rows[n:]
		}
		f.due[port] = f.due[port][:0]
		m.mem.Rest()
	}
}

// freeRows frees rows of m, whose hashes are needed where a group has many of them.
func (f *joinForget) freeRows(m *multimap, rows []uint32) {
	f.many = f.many[:0]
	for _, row := range rows {
		w := m.edit(row)
		w[rowGroup] &^= 1<<32 - 1
		g := uint32(w[rowGroup] >> 32)
		if gr := m.editGroup(g); gr.rows() == manyRows {
			f.many = append(f.many, row)
		} else {
			gr[groupWeight] -= w[rowWeight]
			m.remove(row, 0)
		}
	}
	if len(f.many) == 0 {
		return
	}
	if f.view.Cols == nil {
		f.view.Cols = make([]batch.Column, max(len(f.j.sides[0].types), len(f.j.sides[1].types)))
	}
	f.view.Cols = f.view.Cols[:len(m.fields)]
	for c := range m.fields {
		f.view.Cols[c].Type = m.types[c]
		m.gather(&f.view.Cols[c], c, f.many)
	}
	f.view.N = len(f.many)
	if f.hash == nil {
		f.hash = make([]uint64, batch.BlockRows)
	}
	for k, h := range batch.HashRows(f.hash, &f.view, m.all) {
		w := m.row(f.many[k])
		m.editGroup(uint32(w[rowGroup] >> 32))[groupWeight] -= w[rowWeight]
		m.remove(f.many[k], h)
	}
}

func (f *joinForget) persist(p *state.Persist) {
	atRest(p, "rows to free", len(f.due[0])+len(f.due[1]))
	mem := f.j.sides[0].m.mem
	persistCalendar(p, mem, &f.keys)
	state.Num(p, &f.keyAt)
	for port := range f.rows {
		persistCalendar(p, mem, &f.rows[port])
	}
	if p.Loading() && p.Err() == nil && (f.keyAt < 0 || f.keys != nil && f.keyAt >= len(f.j.sides[0].keys)) {
		p.Fail(fmt.Errorf("%w: a join forgets by key column %d", state.ErrDamaged, f.keyAt))
	}
	f.j.sides[0].m.t.trackBorn = f.keys != nil
}

func (f *joinForget) bytes() int64 {
	n := int64(cap(f.due[0])+cap(f.due[1])) * 4
	for _, c := range []*calendar{f.keys, f.rows[0], f.rows[1]} {
		if c != nil {
			n += c.bytes()
		}
	}
	return n
}
