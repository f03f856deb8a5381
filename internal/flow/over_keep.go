package flow

import (
	"math"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// overKeep frees rows that no answer to come depends on. It can where no answer
// depends on rows behind the row's peers and the first sort key rises and has a mark:
// rows below the mark are final. Of them those are kept that the frames of rows to come
// reach, which a frame tells by its edges: the last n rows or groups, or the rows from
// the mark of its limit on. Where frames reach back to the start, what is freed stays as
// one partial aggregate and a count.
//
// A partition is looked at when the mark passes a row that came since the last time.
type overKeep struct {
	marks *Marks
	col   int // first sort key, -1 if nothing can be freed
	rules []keepRule
	base  bool // answers count what is freed
	one   bool // the last row before a frame's end may be further back than its edges tell
	cal   *calendar
	width int64
	last  int64 // mark of the last time
	rows  []uint32
}

// keepRule is what an edge of a frame reaches back to.
type keepRule struct {
	rows, groups int64
	limit, key   int // limit is -1 for the others
}

func newOverKeep(env Env, op *Over) overKeep {
	k := overKeep{marks: env.Marks, col: op.forgets(), last: NoMark}
	if env.Marks == nil {
		k.col = -1
	}
	if k.col < 0 {
		return k
	}
	t := env.In[0][k.col]
	if t.Layout() != types.LayoutInt {
		k.col = -1
		return k
	}
	k.width = calendarWidth(t, 0)
	for i := range op.Calls {
		c := &op.Calls[i]
		switch {
		case c.Fn == OverLag && !c.NNull:
			k.rules = append(k.rules, keepRule{rows: c.N, limit: -1})
		case c.usesFrame():
			k.one = k.one || c.Fn == OverLast && c.Frame.Start.Kind == FromStart
			for _, e := range []FrameEdge{c.Frame.Start, c.Frame.End} {
				k.base = k.base || e.Kind == FromStart
				if e.Kind == Preceding {
					k.rules = append(k.rules, c.Frame.keeps(e))
				}
			}
		case c.Fn != OverLag:
			k.base = true
		}
	}
	return k
}

func (f *Frame) keeps(e FrameEdge) keepRule {
	r := keepRule{limit: -1}
	switch f.Mode {
	case FrameRows:
		r.rows = min(e.N, farAway)
	case FrameGroups:
		r.groups = min(e.N, farAway)
	default:
		r.limit, r.key = e.Limit, f.Key
	}
	return r
}

// forgets returns the column whose mark frees rows, -1 if none does: some answers need
// all rows that ever were.
func (op *Over) forgets() int {
	for i := range op.Calls {
		c := &op.Calls[i]
		fromStart := c.usesFrame() && c.Frame.Start.Kind == FromStart
		if fromStart && (c.Fn == OverFirst || c.Fn == OverNth || c.stringAgg()) {
			return -1
		}
	}
	return op.backward()
}

func (k *overKeep) bytes() int64 {
	if k.cal == nil {
		return 0
	}
	return k.cal.bytes()
}

func (k *overKeep) persist(p *state.Persist, mem *state.Memory) {
	state.Num(p, &k.last)
	persistCalendar(p, mem, &k.cal)
}

// plan puts partition g down for when the mark passes the first of the rows that came.
func (o *over) plan(g uint32, p *overPart, evs []overEvent) {
	k := &o.keep
	if k.cal == nil {
		return
	}
	f := o.m.fields[k.col]
	for i := range evs {
		w := o.m.row(evs[i].row)
		if evs[i].ins == 0 || o.m.null(w, k.col) {
			continue
		}
		if t := int64(w[f.at]); !p.planned || t < p.due {
			p.planned, p.due = true, t
			k.cal.add(t, uint64(g))
		}
		return // the events are in order
	}
}

// forget frees what lies below the marks: whole partitions, and rows that are final.
func (o *over) forget(st *Step) {
	if o.free.begin(o.m.types) {
		for g := range uint32(o.parts.Cap()) {
			if root := o.peek(g).root; root != 0 {
				o.free.add(o.m.rowStore, o.firstRow(root), uint64(g))
			}
			st.RestAfter()
		}
	}
	o.free.due(o.m.rowStore, func(g uint64) []uint64 {
		if root := o.peek(uint32(g)).root; root != 0 {
			return o.firstRow(root)
		}
		return nil
	}, func(g uint64) {
		st.Rest()
		o.freePart(uint32(g))
	})
	if k := &o.keep; k.col >= 0 && k.marks.In[0][k.col] != NoMark {
		o.forgetRows(st, k.marks.In[0][k.col])
	}
	o.drop.flush()
}

// forgetRows frees final rows, given the mark of the first sort key.
func (o *over) forgetRows(st *Step, mark int64) {
	k := &o.keep
	if k.cal == nil {
		k.cal = newCalendar(o.env.memory(), k.width)
		for g := range uint32(o.parts.Cap()) {
			if o.peek(g).root != 0 {
				o.replan(g, o.part(g), mark)
			}
			st.RestAfter()
		}
	}
	k.cal.due(mark, func(x uint64) {
		st.Rest()
		g := uint32(x)
		p := o.part(g)
		p.planned = false
		if p.root != 0 {
			o.trim(g, p, mark)
		}
		if p.root != 0 {
			o.replan(g, p, mark)
		}
	})
	k.last = mark
}

// replan puts a partition down for when the mark passes its next row or, if all are
// final, after an eighth of the time that they span, so that at most so much is kept
// too long and a partition is not looked at all the time.
func (o *over) replan(g uint32, p *overPart, mark int64) {
	k := &o.keep
	t := &o.tree
	var c overCursor
	at := o.from(p, k.col, mark)
	if at == t.size(p.root) {
		if at == 1 && k.base {
			return // nothing but what stands for the partition
		}
		at = -1
	}
	w := o.m.row(c.row(t, p.root, max(at, 0)))
	if o.m.null(w, k.col) {
		return
	}
	due := int64(w[o.m.fields[k.col].at])
	if at < 0 {
		if mark > math.MaxInt64/2 {
			return // final, and with it all of the input
		}
		due = mark + max(k.width, (mark-due)/8)
	}
	p.planned, p.due = true, due
	// The day of the mark itself has not come yet.
	k.cal.add(max(due, mark), uint64(g))
}

// trim frees the final rows of a partition that nothing reaches back to.
func (o *over) trim(g uint32, p *overPart, mark int64) {
	k, t := &o.keep, &o.tree
	final := o.from(p, k.col, mark)
	upTo := final
	for _, r := range k.rules {
		switch {
		case r.limit >= 0:
			low := k.marks.In[0][r.limit]
			if low == NoMark {
				return
			}
			upTo = min(upTo, o.from(p, r.key, low))
		case r.groups > 0:
			upTo = min(upTo, t.headAt(p.root, max(t.headsBefore(p.root, final)-r.groups, 0)))
		default:
			upTo = min(upTo, final-r.rows)
		}
	}
	if k.one {
		upTo--
	}
	if k.base {
		upTo = min(upTo, t.size(p.root)-1)
	}
	p.final = final - max(upTo, 0)
	if upTo <= 0 {
		return
	}
	if k.base {
		o.retire(g, p, upTo)
	}
	var c overCursor
	kept := uint32(0)
	if upTo < t.size(p.root) {
		kept = c.row(t, p.root, upTo)
	}
	p.goneHeads += t.headsBefore(p.root, upTo)
	p.gone += upTo
	last := uint32(0)
	for range upTo {
		id, _ := t.find(p.root, 0, false)
		b := t.block(id)
		if b.ans[0] != 0 {
			o.releaseAnswer(b.ans[0])
		}
		if row := b.rows[0]; row != kept && row != last {
			o.drop.add(row)
			last = row
		}
		p.root = t.remove(p.root, 0)
	}
	if p.root == 0 {
		*p = overPart{}
	}
}

// retire adds the first rows of a partition to the partial aggregates of what is gone.
func (o *over) retire(g uint32, p *overPart, upTo int64) {
	x := o.eval.table
	if len(x.aggs) == 0 {
		return
	}
	if p.base == 0 {
		p.base = uint64(x.ref(-int64(g) - 1))
		for _, a := range x.aggs {
			a.reset(state.Ref(p.base))
		}
	}
	x.groups.EditPayload(state.Ref(p.base))
	var c overCursor
	for at := int64(0); at < upTo; {
		b, _ := c.move(&o.tree, p.root, at)
		n := min(int64(b.n), upTo-at)
		for _, a := range x.aggs {
			if a.call.Frame.Start.Kind == FromStart {
				a.add(state.Ref(p.base), b.rows[:n], 1)
			}
		}
		at += n
	}
}

// from returns the first place whose column is at least v, or NULL.
func (o *over) from(p *overPart, col int, v int64) int64 {
	o.value = valueProbe{o: o, col: col, v: v}
	return o.tree.search(p.root, &o.value)
}

// valueProbe looks for the first row whose column is at least v, or NULL.
type valueProbe struct {
	o   *over
	col int
	v   int64
}

func (p *valueProbe) before(w []uint64) bool {
	m := p.o.m
	return !m.null(w, p.col) && int64(w[m.fields[p.col].at]) < p.v
}

// firstRow returns the words of a row of a tree.
func (o *over) firstRow(root uint32) []uint64 { return o.m.row(o.tree.block(root).rows[0]) }

// freePart frees a partition.
func (o *over) freePart(g uint32) {
	p := o.part(g)
	o.freeTree(p.root)
	if p.base != 0 {
		for _, a := range o.eval.table.aggs {
			a.reset(state.Ref(p.base))
		}
	}
	*p = overPart{}
}

// freeTree frees the blocks of a tree with their answers and rows.
func (o *over) freeTree(root uint32) {
	for root != 0 {
		b := o.tree.block(root)
		o.freeTree(b.left)
		for k, row := range b.rows[:b.n] {
			if b.ans[k] != 0 {
				o.releaseAnswer(b.ans[k])
			}
			if k == 0 || b.rows[k-1] != row {
				o.drop.add(row)
			}
		}
		right := b.right
		o.tree.n -= int64(b.n)
		o.tree.release(root)
		root = right
	}
}
