package flow

import (
	"cmp"
	"fmt"
	"slices"
	"unsafe"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// over is the running form of Over. The rows of each partition are in an overTree, and
// with each row the answers that were emitted for it. At Flush the rows that came and
// went are put into the trees and taken out; from each of them follows, call by call,
// whose answers it can have changed (over_reach.go); those are computed again, and
// where they differ the old row goes and the new one comes. So the work is in
// proportion to the rows whose answers change, and O(log n) for each row that does.
//
// Aggregates over frames are put together from partial ones of the tree's blocks, and
// where rows that follow each other are computed again, from the frame of the row
// before (over_agg.go). The trees are after Tangwongsan, Hirzel and Schneider, "General
// incremental sliding-window aggregation", VLDB 2015, but for any row, not only the last.
type over struct {
	Over
	env    Env
	m      *multimap
	tree   overTree
	ans    *rowStore
	errs   overErrors
	parts  *state.Pages // overPart by group
	keys   []uint64
	hashes []uint64
	work   []uint32 // groups that the step touched
	events []overEvent
	reach  overReach
	eval   overEval
	out    overOut
	drop   dropper
	free   freer
	gone   []uint32 // answers to be released
	keep   overKeep
	probe  rowProbe   // scratch, as is
	value  valueProbe // this
}

// overPart is a partition. It is the words of a row of pages, seen as what they are.
type overPart struct {
	root   uint32
	events uint32 // 1 + the last event of the step, linked by prev
	// What was before the rows that are kept: their number, that of their different
	// sort keys, and their aggregates' ref.
	gone, goneHeads int64
	base            uint64
	final           int64 // rows at the front that are final
	due             int64 // for when it is in the calendar of rows
	planned         bool
}

// overEvent is a row whose weight has changed in the step.
type overEvent struct {
	row      uint32
	was, is  int64
	prev     uint32
	at       int64 // place of the first of the rows that came, or where some went
	ins, del int64
	heads    int64 // different sort keys more
}

const (
	overPartWords = int(unsafe.Sizeof(overPart{}) / 8)
	overWords     = rowCounted
	ansWords      = 1
	// ansFailed marks an answer that is an error's number.
	ansFailed = 1 << 31
	// maxCopies is how often one row may be there.
	maxCopies = 1 << 24
)

func newOver(env Env, op *Over) (Operator, error) {
	o := &over{
		Over: *op, env: env, m: newMultimap(env.memory(), env.In[0], op.Partition, overWords),
		keys: make([]uint64, batch.BlockRows), hashes: make([]uint64, batch.BlockRows),
	}
	o.m.trackR = true
	o.tree = newOverTree(env.memory(), o.m.rowStore)
	o.parts = state.NewPages(env.memory(), overPartWords)
	o.errs = newOverErrors(env.memory())
	rets := make([]types.Type, len(op.Calls))
	for i := range op.Calls {
		rets[i] = op.Calls[i].Ret
	}
	o.ans = newRowStore(env.memory(), rets, ansWords)
	o.out = newOverOut(o.m.rowStore, o.ans, env.Out)
	o.drop.m = o.m
	o.free = newFreer(env, op.Partition)
	o.keep = newOverKeep(env, op)
	if err := o.eval.init(o); err != nil {
		return nil, err
	}
	for _, a := range o.eval.table.aggs {
		if a.merge == nil && a.call.Frame.Start.Kind == FromStart {
			o.keep.col = -1 // what is gone could not be added up
		}
	}
	return o, nil
}

// Push implements Operator.
func (o *over) Push(_ *Step, _ int, b *batch.Batch, _ Emitter) {
	o.keys = batch.HashRows(o.keys[:cap(o.keys)], b, o.Partition)
	o.hashes = batch.HashRows(o.hashes[:cap(o.hashes)], b, o.m.all)
	o.m.addAll(o.keys, o.hashes, b, nil, nil)
}

// Flush implements Operator.
func (o *over) Flush(st *Step, out Emitter) {
	o.note(st)
	for _, g := range o.work {
		if st.Stopped() {
			return
		}
		p := o.part(g)
		o.renew(st, p, out)
		if p.root != 0 {
			o.plan(g, p, o.eval.events)
		}
		st.Rest()
	}
	o.out.flush(out)
	for _, a := range o.gone {
		o.releaseAnswer(a)
	}
	o.work, o.events, o.gone = o.work[:0], o.events[:0], o.gone[:0]
	o.forget(st)
	o.m.endStep()
}

func (o *over) persist(p *state.Persist) {
	o.m.persist(p)
	o.ans.persist(p)
	o.tree.persist(p)
	o.errs.persist(p)
	p.Pages(o.parts)
	o.eval.table.persist(p)
	o.free.persist(p)
	o.keep.persist(p, o.free.mem)
}

func asPart(w []uint64) *overPart { return (*overPart)(unsafe.Pointer(unsafe.SliceData(w))) }

// part returns the partition of group g, which may be written in this step.
func (o *over) part(g uint32) *overPart {
	o.parts.Grow(int(g) + 1)
	return asPart(o.parts.Edit(g))
}

// peek returns the partition of group g, which has been there, for reading.
func (o *over) peek(g uint32) *overPart { return asPart(o.parts.At(g)) }

// note lists the rows that came and went by partition.
func (o *over) note(st *Step) {
	for _, r := range o.m.touchedR {
		st.RestAfter()
		w := o.m.row(r.row)
		was, is := max(r.old, 0), max(int64(w[rowWeight]), 0)
		if was == is {
			continue
		}
		g := uint32(w[rowGroup] >> 32)
		p := o.part(g)
		if p.events == 0 {
			o.work = append(o.work, g)
			if p.root == 0 {
				o.free.add(o.m.rowStore, w, uint64(g))
			}
		}
		o.events = append(o.events, overEvent{row: r.row, was: was, is: is, prev: p.events})
		p.events = uint32(len(o.events))
	}
}

// compare orders two rows of a partition.
func (o *over) compare(a, b uint32) int {
	if a == b {
		return 0
	}
	v, w := o.m.row(a), o.m.row(b)
	if r := compareBy(o.m.rowStore, o.Order, v, w); r != 0 {
		return r
	}
	return o.m.compareWhole(v, w)
}

// renew puts the events of a partition into its tree and brings answers up to date.
func (o *over) renew(st *Step, p *overPart, out Emitter) {
	evs := o.eval.events[:0]
	for e := p.events; e != 0; e = o.events[e-1].prev {
		evs = append(evs, o.events[e-1])
	}
	p.events = 0
	slices.SortFunc(evs, func(a, b overEvent) int { return o.compare(a.row, b.row) })
	for i := range evs {
		o.apply(st, p, &evs[i], out)
	}
	o.eval.events = evs
	if p.root == 0 {
		return
	}
	o.reach.find(o, p, evs)
	o.eval.begin(p)
	for i, r := range o.reach.ranges {
		o.eval.renew(st, r.lo, r.hi, out)
		if r.on {
			end := o.reach.n
			if i+1 < len(o.reach.ranges) {
				end = o.reach.ranges[i+1].lo
			}
			o.eval.goOn(st, r.hi, end, out)
		}
	}
}

// apply puts one event into the tree, after those that come before it in order.
func (o *over) apply(st *Step, p *overPart, e *overEvent, out Emitter) {
	t := &o.tree
	o.probe = rowProbe{o: o, row: e.row}
	low := t.search(p.root, &o.probe)
	if e.is > e.was {
		if e.is > maxCopies && st.fail == nil {
			st.fail = &types.Error{Code: types.CodeTooComplex,
				Message: fmt.Sprintf("window functions over %d rows that are the same", e.is),
				Hint:    fmt.Sprintf("Each of them has an answer of its own: up to %d are possible.", int64(maxCopies))}
			e.is = e.was
		}
		e.ins, e.at = e.is-e.was, low+e.was
		for k := range e.ins {
			p.root = t.insert(p.root, e.at+k, e.row)
		}
	} else {
		e.del, e.at = e.was-e.is, low+e.is
		for range e.del {
			o.withdraw(st, p.root, e.at, out)
			p.root = t.remove(p.root, e.at)
		}
	}
	o.setHeads(p, e)
}

// withdraw takes back the answers of the row at a place, which is about to go.
func (o *over) withdraw(st *Step, root uint32, at int64, out Emitter) {
	id, start := o.tree.find(root, at, false)
	b := o.tree.block(id)
	row, a := b.rows[at-start], b.ans[at-start]
	switch {
	case a&ansFailed != 0:
		o.rowError(st, row, o.errs.at(a), -1)
	case a != 0:
		o.out.emit(row, a, -1, out)
	}
	if a != 0 {
		o.gone = append(o.gone, a)
	}
}

// setHeads notes which rows are the first of their peers after an event, and how many
// more different sort keys there are.
func (o *over) setHeads(p *overPart, e *overEvent) {
	t := &o.tree
	n := t.size(p.root)
	peers := func(x, y int64) bool {
		if x < 0 || y >= n {
			return false
		}
		var c overCursor
		v := c.row(t, p.root, x)
		w := c.row(t, p.root, y)
		return v == w || compareBy(o.m.rowStore, o.Order, o.m.row(v), o.m.row(w)) == 0
	}
	if e.ins > 0 {
		first, after := !peers(e.at-1, e.at), peers(e.at+e.ins-1, e.at+e.ins)
		if first {
			t.setHead(p.root, e.at, true)
			e.heads = 1
		}
		if after && first {
			t.setHead(p.root, e.at+e.ins, false)
			e.heads = 0
		}
		return
	}
	e.heads = 0
	if e.at < n {
		first := !peers(e.at-1, e.at)
		t.setHead(p.root, e.at, first)
		if first && o.isPeer(e.row, p, e.at) {
			return
		}
	}
	if e.is == 0 && !(e.at > 0 && o.isPeer(e.row, p, e.at-1)) {
		e.heads = -1
	}
}

// isPeer reports whether the row at a place equals another by the sort keys.
func (o *over) isPeer(row uint32, p *overPart, at int64) bool {
	var c overCursor
	return compareBy(o.m.rowStore, o.Order, o.m.row(row), o.m.row(c.row(&o.tree, p.root, at))) == 0
}

// rowProbe looks for the first place of a row; keysOnly: of its peers; after: for the
// first place behind it or them.
type rowProbe struct {
	o               *over
	row             uint32
	keysOnly, after bool
}

func (p *rowProbe) before(w []uint64) bool {
	m := p.o.m
	v := m.row(p.row)
	r := compareBy(m.rowStore, p.o.Order, w, v)
	if r == 0 && !p.keysOnly {
		r = m.compareWhole(w, v)
	}
	return r < 0 || r == 0 && p.after
}

// limitProbe compares rows by column a with column b of another row: it looks for the
// first row for which that is not less, or with after, for which it is greater.
type limitProbe struct {
	o     *over
	row   []uint64
	a, b  int
	after bool
}

func (p *limitProbe) before(w []uint64) bool {
	r := p.o.m.compare(w, p.a, p.o.m.rowStore, p.row, p.b, p.o.Order[0])
	return r < 0 || r == 0 && p.after
}

func (o *over) releaseAnswer(a uint32) {
	if a&ansFailed != 0 {
		o.errs.release(a)
	} else {
		o.ans.release(a)
	}
}

// rowError reports that a row has no answer, or with weight -1 that it is no longer so.
func (o *over) rowError(st *Step, row uint32, err *types.Error, weight int64) {
	bu := batch.NewBuilder(o.m.types)
	v := bu.View()
	for c := range v.Cols {
		o.m.gather(bu.Col(c), c, []uint32{row})
	}
	bu.EndRow(weight)
	st.RowError(o.env.Node, bu.View(), 0, err)
}

// overOut emits rows with their answers in blocks.
type overOut struct {
	rows, ans *rowStore
	ids, aids []uint32
	weights   []int64
	out       batch.Batch
}

func newOverOut(rows, ans *rowStore, ts []types.Type) overOut {
	return overOut{rows: rows, ans: ans, out: batch.Batch{Cols: typedColumns(ts)}}
}

func (s *overOut) emit(row, a uint32, w int64, out Emitter) {
	s.ids, s.aids, s.weights = append(s.ids, row), append(s.aids, a), append(s.weights, w)
	if len(s.ids) == batch.BlockRows {
		s.flush(out)
	}
}

func (s *overOut) flush(out Emitter) {
	if len(s.ids) == 0 {
		return
	}
	n := len(s.rows.fields)
	for c := range n {
		s.rows.gather(&s.out.Cols[c], c, s.ids)
	}
	for c := range s.ans.fields {
		s.ans.gather(&s.out.Cols[n+c], c, s.aids)
	}
	s.out.N, s.out.Weights = len(s.ids), s.weights
	out.Emit(&s.out)
	s.ids, s.aids, s.weights = s.ids[:0], s.aids[:0], s.weights[:0]
}

// StateBytes implements Operator.
func (o *over) StateBytes() int64 {
	return o.m.bytes() + o.ans.bytes() + o.tree.bytes() + o.eval.bytes() + o.free.bytes() + o.keep.bytes() +
		o.errs.bytes() + o.parts.Bytes() + int64(cap(o.events))*64
}

// rowsHeld implements holder.
func (o *over) rowsHeld() int64 { return o.tree.n }

// overRange is places lo to hi of a partition, without hi. With on, what follows is
// reached as well, until an answer is what it was.
type overRange struct {
	lo, hi int64
	on     bool
}

func compareRanges(a, b overRange) int {
	return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.hi, b.hi))
}
