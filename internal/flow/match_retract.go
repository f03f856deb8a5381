package flow

import (
	"cmp"
	"slices"
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
)

// matchRetract is Match over rows that come and go: its output is always that of one
// run over the rows there are.
//
// Each partition keeps what came of its searches: where they began, what they gave
// and how far they looked. A change at some position leaves all searches standing that
// looked at rows before it only; from there on the partition is searched again, and
// the difference to what was given before is emitted.
type matchRetract struct {
	*matcher
	m     *multimap
	parts *partStore
	keys  []uint64
	hash  []uint64
	outs  *rowStore // what has been emitted; the header word links the rows of a record
	was   []uint32  // rows of outs that no longer hold
	stale []touchedRow
	tail  []uint64
	diff  *batch.Builder
	cons  batch.Consolidator
	given stored
	all   []int
	since int   // searches that left no record
	held  int64 // rows
	extra int64
	now   *matchPart
	out   Emitter
}

// recEvery is after how many searches that gave nothing a record is kept, so that a
// change need not search from the match before.
const recEvery = 64

func newMatchRetract(env Env, op *Match) (Operator, error) {
	mm := newMultimap(env.memory(), env.In[0], op.Partition, rowCounted)
	mm.trackR = true
	m, err := newMatcher(env, op, mm.rowStore)
	if err != nil {
		return nil, err
	}
	r := &matchRetract{matcher: m, m: mm, keys: make([]uint64, batch.BlockRows), hash: make([]uint64, batch.BlockRows),
		outs: newRowStore(env.memory(), env.Out, 1), diff: batch.NewBuilder(env.Out), all: allColumns(env.Out)}
	r.given = newStored(r.outs, env.Out)
	m.sink = r
	m.show.given = r.give
	r.parts = newPartStore(env.memory(), true)
	return r, nil
}

func (r *matchRetract) persist(p *state.Persist) {
	r.m.persist(p)
	r.outs.persist(p)
	r.parts.persist(p)
	state.Num(p, &r.held)
}

// Push implements Operator.
func (r *matchRetract) Push(_ *Step, _ int, b *batch.Batch, _ Emitter) {
	r.keys = batch.HashRows(r.keys[:cap(r.keys)], b, r.Partition)
	r.hash = batch.HashRows(r.hash[:cap(r.hash)], b, r.m.all)
	r.m.addAll(r.keys, r.hash, b, nil, nil)
}

func (r *matchRetract) groupOf(row uint32) uint32 { return uint32(r.m.row(row)[rowGroup] >> 32) }

// Flush implements Operator.
func (r *matchRetract) Flush(st *Step, out Emitter) {
	r.out, r.st = out, st
	r.collect()
	// What no longer holds is known before anything new is given: without any, all
	// that is new can be emitted at once.
	for rest := r.stale; len(rest) > 0; {
		g := r.groupOf(rest[0].row)
		n := sort.Search(len(rest), func(i int) bool { return r.groupOf(rest[i].row) != g })
		p := r.parts.load(g)
		r.held -= int64(p.seq.Len())
		r.rewind(st, p, r.splice(p, rest[:n]))
		r.held += int64(p.seq.Len())
		rest = rest[n:]
	}
	for _, p := range r.parts.loaded {
		if st.Stopped() {
			return
		}
		r.search(st, p)
		if r.show.full() {
			r.show.flush(st)
		}
	}
	r.show.flush(st)
	r.emitDiff(out)
	for _, p := range r.parts.loaded {
		if p.seq.Len() == 0 {
			p.reset()
		}
	}
	r.parts.unload()
	for _, id := range r.was {
		r.outs.release(id)
	}
	r.was = r.was[:0]
	r.m.endStep()
	r.extra = r.bytes() + r.show.bytes()
}

// collect lists the rows whose number changed, by partition and in its order.
func (r *matchRetract) collect() {
	r.stale = r.stale[:0]
	for _, t := range r.m.touchedR {
		if max(t.old, 0) != max(int64(r.m.row(t.row)[rowWeight]), 0) {
			r.stale = append(r.stale, t)
		}
	}
	slices.SortFunc(r.stale, func(a, b touchedRow) int {
		if c := cmp.Compare(r.groupOf(a.row), r.groupOf(b.row)); c != 0 {
			return c
		}
		return r.compareRows(a.row, b.row)
	})
}

// splice brings the rows of p up to date with the changed ones, which are in order, and
// returns the first position that may differ.
func (r *matchRetract) splice(p *matchPart, changed []touchedRow) int64 {
	lists := p.in.lists
	first := sort.Search(p.seq.Len(), func(i int) bool { return r.compareRows(uint32(lists.At(p.seq, i)), changed[0].row) >= 0 })
	r.tail = lists.Read(r.tail[:0], p.seq, first, p.seq.Len())
	p.seq = lists.Truncate(p.seq, first)
	rest := r.tail
	for _, t := range changed {
		if n := sort.Search(len(rest), func(i int) bool { return r.compareRows(uint32(rest[i]), t.row) >= 0 }); n > 0 {
			p.seq, rest = lists.Append(p.seq, rest[:n]), rest[n:]
		}
		for len(rest) > 0 && uint32(rest[0]) == t.row {
			rest = rest[1:]
		}
		for range max(int64(r.m.row(t.row)[rowWeight]), 0) {
			p.add(t.row)
		}
	}
	p.seq = lists.Append(p.seq, rest)
	return int64(first)
}

// rewind forgets the searches of p that looked at position changed or behind it.
func (r *matchRetract) rewind(st *Step, p *matchPart, changed int64) {
	n := sort.Search(p.records(), func(i int) bool { return p.horizon(i) >= changed })
	for i := n; i < p.records(); i++ {
		for id := p.rec(i).out; id != 0; id = uint32(r.outs.row(id)[0]) {
			r.was = append(r.was, id)
		}
	}
	p.cutFails(int32(n), func(x matchFail) { r.report(st, x, -1) })
	p.cutRecs(n)
	last := matchRec{horizon: -1}
	if n > 0 {
		last = p.rec(n - 1)
	}
	p.next, p.number, p.covered = last.next, last.number, last.covered
}

// search searches p from where it was rewound to.
func (r *matchRetract) search(st *Step, p *matchPart) {
	p.bitBase = p.next
	r.testRows(st, p, p.next, p.end())
	r.testBlock(st)
	r.horizon, r.since, r.now = -1, 0, p
	if n := p.records(); n > 0 {
		r.horizon = p.horizon(n - 1)
	}
	r.run(st, p, true, NoMark)
	p.dropBits()
}

// concluded implements matchSink.
func (r *matchRetract) concluded(p *matchPart, shown bool) {
	if r.since++; !shown && r.since < recEvery {
		return
	}
	r.since = 0
	rec := int32(p.records())
	for _, x := range r.failed {
		x.rec = rec
		r.report(r.st, x, 1)
		p.addFail(x)
	}
	r.failed = r.failed[:0]
	p.addRec(matchRec{next: p.next, number: p.number, covered: p.covered, horizon: r.horizon})
}

// give takes a block of output rows: it is stored, so that it can be withdrawn, and
// emitted.
func (r *matchRetract) give(b *batch.Batch, owners []matchOwner) {
	for k, n := 0, b.Len(); k < n; k++ {
		i := b.Row(k)
		id := r.outs.alloc()
		w := r.outs.edit(id)
		r.outs.write(w, b, r.all, i)
		w[0] = uint64(owners[i].part.give(owners[i].rec, id))
	}
	if len(r.was) == 0 {
		r.out.Emit(b)
		return
	}
	r.diff.AppendBatch(b)
}

// emitDiff emits what is new less what no longer holds.
func (r *matchRetract) emitDiff(out Emitter) {
	if len(r.was) == 0 {
		return
	}
	for _, id := range r.was {
		r.given.emit(id, -1, diffEmitter{r.diff})
	}
	r.given.flush(diffEmitter{r.diff})
	all := r.cons.Consolidate(r.diff.View(), nil)
	for lo := 0; lo < all.N; lo += batch.BlockRows {
		out.Emit(batch.Slice(all, lo, min(lo+batch.BlockRows, all.N)))
	}
	r.diff.Reset()
	if r.diff.SizeBytes() > keepOutputBytes {
		r.diff, r.cons = batch.NewBuilder(r.matcher.out), batch.Consolidator{}
	}
}

// diffEmitter gathers blocks in a builder.
type diffEmitter struct{ to *batch.Builder }

func (d diffEmitter) Emit(b *batch.Batch) { d.to.AppendBatch(b) }

// StateBytes implements Operator.
func (r *matchRetract) StateBytes() int64 {
	return r.m.bytes() + r.outs.bytes() + r.parts.bytes() + r.extra +
		int64(cap(r.stale))*32 + int64(cap(r.tail))*8 + int64(cap(r.was))*4 + r.diff.SizeBytes()
}

// rowsHeld implements holder.
func (r *matchRetract) rowsHeld() int64 { return r.held }
