package flow

import (
	"cmp"
	"math"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// asOf pairs each left row with the closest right row of its key.
//
// Both sides of a key are search trees by time, and each left row knows its match.
// The match of a left row with time t is the last right row at or before t, so a
// right row that comes or goes at time c concerns the left rows from c up to the next
// right row alone: at Flush these are found by their place in the tree, looked up
// again and, where the match is another, corrected. Looking forward (l.t <= r.t) is
// the same with the direction of time turned round. Work is O(log n) for a change
// and each left row that it concerns.
//
// What the marks say about both times decides what may be forgotten. Looking back,
// left rows below both marks are final, and of the right rows there only the last
// may still be a match. Looking forward, a left row is final once it has a match
// below both marks, and right rows there are of no more use.
type asOf struct {
	AsOf
	marks   *Marks
	sides   [2]asOfSide
	touched [2][]asOfTouched
	changes []int64   // turned times at which the right rows of a group are others than before
	cal     *calendar // of groups in which something can be forgotten at some time
	planned agenda    // of the groups' earliest entries in cal
	keys    []uint64
	rows    []uint64
	keyed   batch.Batch
	sel     []uint32
	lone    []uint32
	nulls   []batch.Column
	out     batch.Batch
	pairs   [2]asOfPairs // without and with a match
}

// asOfPairs are rows to emit.
type asOfPairs struct {
	left, right []uint32
	weights     []int64
	cols        []batch.Column
}

func newAsOf(env Env, op *AsOf) *asOf {
	mem := env.memory()
	a := &asOf{
		AsOf: *op, marks: env.Marks, planned: newAgenda(mem), cal: newCalendar(mem, asOfDay(env.In[0][op.LeftTime])),
	}
	for p := range a.sides {
		s := &a.sides[p]
		*s = asOfSide{types: env.In[p], keys: op.LeftKeys, time: op.LeftTime, down: !op.Cmp.backward()}
		if p == 1 {
			s.keys, s.time, s.right = op.RightKeys, op.RightTime, true
		}
		s.open(mem, asOfWords)
	}
	newGroupTable(mem, a.sides[0].m, a.sides[1].m)
	a.keys, a.rows = make([]uint64, batch.BlockRows), make([]uint64, batch.BlockRows)
	a.sel, a.lone = make([]uint32, 0, batch.BlockRows), make([]uint32, 0, batch.BlockRows)
	a.nulls = nullColumns(env.In[1])
	for p := range a.pairs {
		a.pairs[p] = asOfPairs{
			left: make([]uint32, 0, batch.BlockRows), right: make([]uint32, 0, batch.BlockRows),
			weights: make([]int64, 0, batch.BlockRows), cols: typedColumns(slices.Concat(env.In[0], env.In[1])),
		}
	}
	return a
}

// asOfDay is how long the days of calendars of times of type t are.
func asOfDay(t types.Type) int64 {
	switch t.Kind {
	case types.Timestamp, types.TimestampTZ:
		return 1 << 20 // about a second
	case types.Date:
		return 1
	}
	return 1 << 10
}

func (a *asOf) Push(_ *Step, port int, b *batch.Batch, out Emitter) {
	s := &a.sides[port]
	a.sel, a.lone = a.sel[:0], a.lone[:0]
	for k, n := 0, b.Len(); k < n; k++ {
		i := b.Row(k)
		if b.Cols[s.time].Null(i) || anyNull(b, s.keys, i) {
			a.lone = append(a.lone, uint32(i))
		} else {
			a.sel = append(a.sel, uint32(i))
		}
	}
	if len(a.lone) > 0 && port == 0 && a.Outer {
		a.out = batch.Batch{Cols: append(append(a.out.Cols[:0], b.Cols...), a.nulls...), N: b.N, Sel: a.lone, Weights: b.Weights}
		out.Emit(&a.out)
	}
	if len(a.sel) == 0 {
		return
	}
	a.keyed = *b
	a.keyed.Sel = a.sel
	a.keys = batch.HashRows(a.keys[:cap(a.keys)], &a.keyed, s.keys)
	a.rows = batch.HashRows(a.rows[:cap(a.rows)], &a.keyed, s.m.all)
	s.m.addAll(a.keys, a.rows, &a.keyed, nil, nil)
}

func (a *asOf) Flush(st *Step, out Emitter) {
	l, r := &a.sides[0], &a.sides[1]
	a.touched[0], a.touched[1] = l.byGroup(a.touched[0][:0]), r.byGroup(a.touched[1][:0])
	for ls, rs := a.touched[0], a.touched[1]; len(ls)+len(rs) > 0; {
		if st.Stopped() {
			return
		}
		g := uint32(math.MaxUint32)
		if len(ls) > 0 {
			g = ls[0].g
		}
		if len(rs) > 0 {
			g = min(g, rs[0].g)
		}
		nl, nr := ofGroup(ls, g), ofGroup(rs, g)
		a.flushGroup(g, ls[:nl], rs[:nr], out)
		st.RestAfter()
		ls, rs = ls[nl:], rs[nr:]
	}
	a.flushPairs(out)
	l.m.endStep()
	r.m.endStep()
	for p := range a.touched {
		if cap(a.touched[p]) > keepTouched {
			a.touched[p] = nil
		}
	}
	a.forget(st)
}

// keepTouched is how long a list of changed rows may be that is kept for the next step.
const keepTouched = 1 << 18

// asOfTouched is a row that the step has changed.
type asOfTouched struct {
	g   uint32 // its group
	row uint32
	at  int64 // turned
	old int64 // weight before
}

// byGroup lists the rows that the step has changed, those of a group one after the
// other, so that the memory of its trees is near while it is at work.
func (s *asOfSide) byGroup(list []asOfTouched) []asOfTouched {
	for _, t := range s.m.touchedR {
		w := s.m.edit(t.row)
		w[asOfHash] = t.hash
		list = append(list, asOfTouched{uint32(w[rowGroup] >> 32), t.row, s.at(t.row), t.old})
	}
	slices.SortFunc(list, func(x, y asOfTouched) int {
		if x.g != y.g {
			return cmp.Compare(x.g, y.g)
		}
		return cmp.Compare(x.at, y.at)
	})
	return list
}

func ofGroup(list []asOfTouched, g uint32) int {
	n := 0
	for n < len(list) && list[n].g == g {
		n++
	}
	return n
}

// flushGroup brings the trees of group g up to date with the changes of both sides,
// and corrects the left rows that these concern.
func (a *asOf) flushGroup(g uint32, ls, rs []asOfTouched, out Emitter) {
	l, r := &a.sides[0], &a.sides[1]
	a.changes = a.changes[:0]
	for _, t := range rs {
		was, is := t.old > 0, int64(r.m.row(t.row)[rowWeight]) > 0
		a.settle(r, t, was, is)
		if was != is && (len(a.changes) == 0 || a.changes[len(a.changes)-1] != t.at) {
			a.changes = append(a.changes, t.at)
		}
	}
	for _, t := range ls {
		a.settle(l, t, t.old != 0, l.m.row(t.row)[rowWeight] != 0)
	}
	for i, c := range a.changes {
		end, bound := int64(0), false
		if n := r.after(r.root(g), c); n != 0 {
			end, bound = r.at(n), true
		}
		if i+1 < len(a.changes) && (!bound || a.changes[i+1] < end) {
			end, bound = a.changes[i+1], true
		}
		a.between(g, l.root(g), c, end, bound, out)
	}
	for _, t := range ls {
		a.renew(g, t.row, out)
	}
}

// settle brings a tree up to date with a row, and plans when to look at its group again.
func (a *asOf) settle(s *asOfSide, t asOfTouched, was, is bool) {
	if was == is {
		return
	}
	root := s.root(t.g)
	if is {
		s.setRoot(t.g, s.insert(root, t.row))
		a.plan(t.g, s.raw(t.row))
	} else {
		s.setRoot(t.g, s.remove(root, t.row))
	}
}

// between renews the left rows whose match may be at from, and is before end if that
// is a bound.
func (a *asOf) between(g, root uint32, from, end int64, bound bool, out Emitter) {
	if root == 0 {
		return
	}
	l := &a.sides[0]
	t := l.at(root)
	low, high := a.allows(from, t), !bound || !a.allows(end, t)
	left, right := l.children(root)
	if low {
		a.between(g, left, from, end, bound, out)
	}
	if low && high {
		a.renew(g, root, out)
	}
	if high {
		a.between(g, right, from, end, bound, out)
	}
}

// allows reports whether a right row at (turned) time r may match a left one at l.
func (a *asOf) allows(r, l int64) bool { return r < l || r == l && !a.Cmp.strict() }

// renew emits what a left row gives now less what it gave before.
func (a *asOf) renew(g, row uint32, out Emitter) {
	l, r := &a.sides[0], &a.sides[1]
	w := l.m.row(row)
	is, match := int64(w[rowWeight]), uint32(0)
	if is != 0 {
		match = r.last(r.root(g), l.at(row), a.Cmp.strict())
	}
	if match == 0 && !a.Outer {
		is = 0
	}
	was, before := int64(w[rowCount]), uint32(w[asOfMatch])
	if was != 0 && before != match {
		a.pair(row, before, -was, out)
		was = 0
	}
	if is != was {
		a.pair(row, match, is-was, out)
	}
	if is != int64(w[rowCount]) || match != before {
		w = l.m.edit(row)
		w[rowCount], w[asOfMatch] = uint64(is), uint64(match)
	}
}

func (a *asOf) pair(left, right uint32, w int64, out Emitter) {
	p := &a.pairs[min(right, 1)]
	p.left, p.right, p.weights = append(p.left, left), append(p.right, right), append(p.weights, w)
	if len(p.left) == batch.BlockRows {
		a.flushPairs(out)
	}
}

func (a *asOf) flushPairs(out Emitter) {
	nl := len(a.sides[0].types)
	for k := range a.pairs {
		p := &a.pairs[k]
		if len(p.left) == 0 {
			continue
		}
		for c := range a.sides[0].types {
			a.sides[0].m.gather(&p.cols[c], c, p.left)
		}
		for c := range a.sides[1].types {
			if k == 0 {
				p.cols[nl+c] = a.nulls[c]
			} else {
				a.sides[1].m.gather(&p.cols[nl+c], c, p.right)
			}
		}
		out.Emit(&batch.Batch{Cols: p.cols, N: len(p.left), Weights: p.weights})
		p.left, p.right, p.weights = p.left[:0], p.right[:0], p.weights[:0]
	}
}

// plan has group g looked at when the marks have passed t.
func (a *asOf) plan(g uint32, t int64) {
	if a.planned.bring(g, t) {
		a.cal.add(t, uint64(g))
	}
}

// forget drops the rows that the marks have made final.
func (a *asOf) forget(st *Step) {
	if a.marks == nil || !a.marks.Moved {
		return
	}
	m := min(a.marks.In[0][a.LeftTime], a.marks.In[1][a.RightTime])
	a.cal.due(m, func(x uint64) {
		g := uint32(x)
		if p := a.planned.at(g); p != notPlanned && (m == FinalMark || floorDiv(p, a.cal.width) < floorDiv(m, a.cal.width)) {
			a.planned.set(g, notPlanned)
		}
		if a.Cmp.backward() {
			a.forgetBack(g, m)
		} else {
			a.forgetAhead(g, m)
		}
		st.RestAfter()
	})
}

// forgetBack drops from group g the left rows below m, and the right rows before the
// last one there.
func (a *asOf) forgetBack(g uint32, m int64) {
	l, r := &a.sides[0], &a.sides[1]
	next := int64(notPlanned)
	for l.root(g) != 0 {
		first, _ := l.ends(l.root(g))
		if t := l.raw(first); t >= m {
			next = t
			break
		}
		l.drop(g, first)
	}
	for keep := r.last(r.root(g), m, true); keep != 0; {
		first, _ := r.ends(r.root(g))
		if first == keep {
			break
		}
		r.drop(g, first)
	}
	if n := r.after(r.root(g), m-1); n != 0 {
		next = min(next, r.raw(n))
	}
	if next != notPlanned {
		a.plan(g, next)
	}
}

// forgetAhead drops from group g the right rows below m, and the left rows that have
// one of them as a match. Rows lie from late to early in these trees.
func (a *asOf) forgetAhead(g uint32, m int64) {
	l, r := &a.sides[0], &a.sides[1]
	if p := r.after(r.root(g), ^m); p != 0 { // the latest right row below m
		for l.root(g) != 0 {
			_, earliest := l.ends(l.root(g))
			if !a.allows(r.at(p), l.at(earliest)) {
				break
			}
			l.drop(g, earliest)
		}
	}
	for r.root(g) != 0 {
		_, earliest := r.ends(r.root(g))
		if t := r.raw(earliest); t >= m {
			a.plan(g, t)
			break
		}
		r.drop(g, earliest)
	}
}

func (a *asOf) persist(p *state.Persist) {
	for s := range a.sides {
		a.sides[s].persist(p)
	}
	a.planned.persist(p)
	a.cal.persist(p)
}

// StateBytes implements Operator.
func (a *asOf) StateBytes() int64 {
	return a.sides[0].bytes() + a.sides[1].bytes() + a.cal.bytes() + a.planned.bytes() + int64(cap(a.touched[0])+cap(a.touched[1]))*24
}
