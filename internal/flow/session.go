package flow

import (
	"cmp"
	"math"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// session is the running form of Session. The rows of a key are a search tree by time,
// and each row knows the session that it was given with. At Flush, the times that the
// step changed are gone through in order: the sessions that hold or held them, which
// are cut where rows lie a gap apart, are walked, and rows whose session is another
// than before are corrected. So work is proportional to the rows of the
// sessions that change, and whatever else the key has does not matter.
//
// A session that ends at or before the mark of the time is over: a row to come is not
// below the mark, and so lies behind its end. Its rows are forgotten.
type session struct {
	Session
	node    int
	marks   *Marks
	s       asOfSide // of the rows: tree by time
	keys    []uint64
	rows    []uint64
	keyed   batch.Batch
	sel     []uint32
	changes []sessionChange
	cal     *dueList // of groups, by the end of their first session or before
	planned agenda   // of the groups' earliest entries in cal
	due     []uint32 // scratch
	ids     []uint32
	begins  []int64
	ends    []int64
	weights []int64
	out     batch.Batch
}

// sessionChange says that group g has other rows at a time than before.
type sessionChange struct {
	g  uint32
	at int64
}

// The header words of a row, after those of asOfSide: the session it was given with.
// rowCount is the weight that it was given with, 0 if it was not.
const (
	sessionStart = asOfWords + iota
	sessionEnd
	sessionWords
)

func newSession(env Env, op *Session) *session {
	x := &session{Session: *op, node: env.Node, marks: env.Marks, planned: newAgenda(env.memory()), cal: newDueList(env.memory(), asOfDay(env.In[0][op.Time]))}
	x.s = asOfSide{types: env.In[0], keys: op.Partition, time: op.Time}
	x.s.open(env.memory(), sessionWords)
	newGroupTable(env.memory(), x.s.m)
	x.keys, x.rows = make([]uint64, batch.BlockRows), make([]uint64, batch.BlockRows)
	x.sel = make([]uint32, 0, batch.BlockRows)
	x.ids, x.weights = make([]uint32, 0, batch.BlockRows), make([]int64, 0, batch.BlockRows)
	x.begins, x.ends = make([]int64, 0, batch.BlockRows), make([]int64, 0, batch.BlockRows)
	x.out.Cols = typedColumns(env.Out)
	return x
}

func (x *session) persist(p *state.Persist) {
	x.s.persist(p)
	x.cal.persist(p)
	x.planned.persist(p)
}

// Push implements Operator.
func (x *session) Push(st *Step, _ int, b *batch.Batch, _ Emitter) {
	col := &b.Cols[x.Time]
	if col.Type.Layout() == types.LayoutNone {
		return
	}
	const room = math.MaxInt64 / 4
	x.sel = x.sel[:0]
	for k, n := 0, b.Len(); k < n; k++ {
		i := b.Row(k)
		switch {
		case col.Null(i):
		case col.I64[i] > room || col.I64[i] < -room || x.Gap > room:
			st.RowError(x.node, b, i, &types.Error{
				Code: types.CodeDatetimeOverflow, Message: "timestamp out of range",
				Detail: "The session of the row's time cannot be written as timestamps.",
			})
		default:
			x.sel = append(x.sel, uint32(i))
		}
	}
	if len(x.sel) == 0 {
		return
	}
	x.keyed = *b
	x.keyed.Sel = x.sel
	x.keys = batch.HashRows(x.keys[:cap(x.keys)], &x.keyed, x.s.keys)
	x.rows = batch.HashRows(x.rows[:cap(x.rows)], &x.keyed, x.s.m.all)
	x.s.m.addAll(x.keys, x.rows, &x.keyed, nil, nil)
}

// Flush implements Operator.
func (x *session) Flush(st *Step, out Emitter) {
	m := x.s.m
	x.changes = x.changes[:0]
	for _, t := range m.touchedR {
		w := m.edit(t.row)
		w[asOfHash] = t.hash
		g := uint32(w[rowGroup] >> 32)
		root := x.s.root(g)
		switch was, is := t.old > 0, int64(w[rowWeight]) > 0; {
		case is && !was:
			x.s.setRoot(g, x.s.insert(root, t.row))
		case was && !is:
			x.s.setRoot(g, x.s.remove(root, t.row))
			x.renew(t.row, 0, 0, out)
		}
		x.changes = append(x.changes, sessionChange{g, x.s.raw(t.row)})
	}
	slices.SortFunc(x.changes, func(a, b sessionChange) int { return cmp.Or(cmp.Compare(a.g, b.g), cmp.Compare(a.at, b.at)) })
	x.changes = slices.Compact(x.changes)
	done := int64(math.MinInt64) // sessions of the group up to here are up to date
	for i, c := range x.changes {
		if st.Stopped() {
			return
		}
		if i == 0 || x.changes[i-1].g != c.g {
			done = math.MinInt64
		}
		done = x.change(c, done, out)
	}
	x.flushRows(out)
	m.endStep()
	x.forget(st)
}

// change walks the sessions that a change concerns: of the last row before it, if that
// is or was linked to it, of its own rows, and of the next ones likewise. It leaves out
// those up to time done and returns up to where all is up to date.
func (x *session) change(c sessionChange, done int64, out Emitter) int64 {
	root := x.s.root(c.g)
	if p := x.s.last(root, c.at, true); p != 0 {
		if t := x.s.raw(p); c.at-t < x.Gap && t > done {
			done = x.walk(c.g, root, p, out)
		}
	}
	for next := x.s.after(root, c.at-1); next != 0; next = x.s.after(root, done) {
		t := x.s.raw(next)
		if t-c.at >= x.Gap {
			break
		}
		if t > done {
			done = x.walk(c.g, root, next, out)
		}
		if t > c.at {
			break
		}
	}
	return done
}

// walk corrects the rows of the session that row is in, and returns its last time.
func (x *session) walk(g, root, row uint32, out Emitter) int64 {
	first := x.s.raw(row)
	for p := x.s.last(root, first, true); p != 0; p = x.s.last(root, first, true) {
		t := x.s.raw(p)
		if first-t >= x.Gap {
			break
		}
		first = t
	}
	last := x.s.raw(row)
	for n := x.s.after(root, last); n != 0; n = x.s.after(root, last) {
		t := x.s.raw(n)
		if t-last >= x.Gap {
			break
		}
		last = t
	}
	x.renewRange(root, first, last, out)
	x.plan(g, last+x.Gap)
	return last
}

// renewRange corrects the rows from first to last, which are one session.
func (x *session) renewRange(root uint32, first, last int64, out Emitter) {
	if root == 0 {
		return
	}
	t := x.s.raw(root)
	left, right := x.s.children(root)
	if t >= first {
		x.renewRange(left, first, last, out)
	}
	if t >= first && t <= last {
		x.renew(root, first, last+x.Gap, out)
	}
	if t <= last {
		x.renewRange(right, first, last, out)
	}
}

// renew emits what a row gives now, with session [start, end), less what it gave.
func (x *session) renew(row uint32, start, end int64, out Emitter) {
	w := x.s.m.edit(row)
	is, was := max(int64(w[rowWeight]), 0), int64(w[rowCount])
	if was != 0 && (is == 0 || int64(w[sessionStart]) != start || int64(w[sessionEnd]) != end) {
		x.give(row, int64(w[sessionStart]), int64(w[sessionEnd]), -was, out)
		was = 0
	}
	if is != was {
		x.give(row, start, end, is-was, out)
	}
	w[rowCount], w[sessionStart], w[sessionEnd] = uint64(is), uint64(start), uint64(end)
}

func (x *session) give(row uint32, start, end, weight int64, out Emitter) {
	x.ids, x.begins, x.ends, x.weights = append(x.ids, row), append(x.begins, start), append(x.ends, end), append(x.weights, weight)
	if len(x.ids) == batch.BlockRows {
		x.flushRows(out)
	}
}

func (x *session) flushRows(out Emitter) {
	if len(x.ids) == 0 {
		return
	}
	n := len(x.s.types)
	for c := range n {
		x.s.m.gather(&x.out.Cols[c], c, x.ids)
	}
	x.out.Cols[n].I64, x.out.Cols[n+1].I64 = x.begins, x.ends
	x.out.N, x.out.Weights = len(x.ids), x.weights
	out.Emit(&x.out)
	x.ids, x.begins, x.ends, x.weights = x.ids[:0], x.begins[:0], x.ends[:0], x.weights[:0]
}

// plan has group g looked at when the mark has passed a session's end.
func (x *session) plan(g uint32, end int64) {
	if x.planned.bring(g, end) {
		x.cal.add(end, uint64(g))
	}
}

// forget drops the sessions that are over.
func (x *session) forget(st *Step) {
	if x.marks == nil || !x.marks.Moved {
		return
	}
	m := x.marks.In[0][x.Time]
	if m == NoMark {
		return
	}
	limit := m // sessions that end at m are over
	if m != FinalMark {
		limit++
	}
	x.due = x.due[:0]
	x.cal.due(limit, func(g uint64) (int64, bool) {
		p := x.planned.at(uint32(g))
		return p, p != notPlanned
	}, func(g uint64) {
		if x.planned.at(uint32(g)) < limit {
			x.planned.set(uint32(g), notPlanned)
			x.due = append(x.due, uint32(g))
		}
	})
	for _, g := range x.due {
		if st.Stopped() {
			return
		}
		x.forgetGroup(g, limit)
	}
}

// forgetGroup drops from group g the sessions that end below limit, and plans the next.
func (x *session) forgetGroup(g uint32, limit int64) {
	for x.s.root(g) != 0 {
		first, _ := x.s.ends(x.s.root(g))
		if end := int64(x.s.m.row(first)[sessionEnd]); end >= limit {
			x.plan(g, end)
			return
		}
		x.s.drop(g, first)
	}
}

// StateBytes implements Operator.
func (x *session) StateBytes() int64 {
	return x.s.m.bytes() + x.cal.bytes() + x.s.roots.bytes() + x.planned.bytes() + int64(cap(x.changes))*16
}
