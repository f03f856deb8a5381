package flow

import (
	"cmp"
	"slices"
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
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
	parts [][]matchPart
	keys  []uint64
	hash  []uint64
	outs  *rowStore // what has been emitted; the header word links the rows of a record
	was   []uint32  // rows of outs that no longer hold
	stale []touchedRow
	tail  []uint32
	bits  []uint64
	diff  *batch.Builder
	cons  batch.Consolidator
	given stored
	all   []int
	since int // searches that left no record
	held  int64
	extra int64
	now   *matchPart
	out   Emitter
}

// matchRec is what one search left, or several that gave nothing.
type matchRec struct {
	next, number, covered int64 // of the partition, behind it
	horizon               int64 // highest position that this search and all before it looked at
	out                   uint32
}

// recEvery is after how many searches that gave nothing a record is kept, so that a
// change need not search from the match before.
const recEvery = 64

func newMatchRetract(env Env, op *Match) (Operator, error) {
	mm := newMultimap(env.In[0], op.Partition, rowCounted)
	mm.trackR = true
	m, err := newMatcher(env, op, mm.rowStore)
	if err != nil {
		return nil, err
	}
	r := &matchRetract{matcher: m, m: mm, keys: make([]uint64, batch.BlockRows), hash: make([]uint64, batch.BlockRows),
		outs: newRowStore(env.Out, 1), diff: batch.NewBuilder(env.Out), all: allColumns(env.Out)}
	r.given = newStored(r.outs, env.Out)
	m.sink = r
	m.show.given = r.give
	return r, nil
}

// Push implements Operator.
func (r *matchRetract) Push(_ *Step, _ int, b *batch.Batch, _ Emitter) {
	r.keys = batch.HashRows(r.keys[:cap(r.keys)], b, r.Partition)
	r.hash = batch.HashRows(r.hash[:cap(r.hash)], b, r.m.all)
	r.m.addAll(r.keys, r.hash, b, nil, nil)
}

func (r *matchRetract) part(g uint32) *matchPart {
	for int(g>>groupChunkBits) >= len(r.parts) {
		r.parts = append(r.parts, make([]matchPart, 1<<groupChunkBits))
	}
	return &r.parts[g>>groupChunkBits][g&(1<<groupChunkBits-1)]
}

func (r *matchRetract) groupOf(row uint32) uint32 { return uint32(r.m.row(row)[rowGroup] >> 32) }

// Flush implements Operator.
func (r *matchRetract) Flush(st *Step, out Emitter) {
	r.out, r.st = out, st
	r.collect()
	// What no longer holds is known before anything new is given: without any, all
	// that is new can be emitted at once.
	var dirty []*matchPart
	for rest := r.stale; len(rest) > 0; {
		g := r.groupOf(rest[0].row)
		n := sort.Search(len(rest), func(i int) bool { return r.groupOf(rest[i].row) != g })
		p := r.part(g)
		r.held -= p.bytes()
		r.rewind(st, p, r.splice(p, rest[:n]))
		dirty = append(dirty, p)
		rest = rest[n:]
	}
	for _, p := range dirty {
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
	for _, p := range dirty {
		if len(p.seq) == 0 {
			p.reset()
		}
		r.held += p.bytes()
	}
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
	first := sort.Search(len(p.seq), func(i int) bool { return r.compareRows(p.seq[i], changed[0].row) >= 0 })
	r.tail = append(r.tail[:0], p.seq[first:]...)
	p.seq = p.seq[:first]
	rest := r.tail
	for _, t := range changed {
		if n := sort.Search(len(rest), func(i int) bool { return r.compareRows(rest[i], t.row) >= 0 }); n > 0 {
			p.seq, rest = append(p.seq, rest[:n]...), rest[n:]
		}
		for len(rest) > 0 && rest[0] == t.row {
			rest = rest[1:]
		}
		for range max(int64(r.m.row(t.row)[rowWeight]), 0) {
			p.seq = append(p.seq, t.row)
		}
	}
	p.seq = append(p.seq, rest...)
	return int64(first)
}

// rewind forgets the searches of p that looked at position changed or behind it.
func (r *matchRetract) rewind(st *Step, p *matchPart, changed int64) {
	n := sort.Search(len(p.recs), func(i int) bool { return p.recs[i].horizon >= changed })
	for _, rec := range p.recs[n:] {
		for id := rec.out; id != 0; id = uint32(r.outs.row(id)[0]) {
			r.was = append(r.was, id)
		}
	}
	kept := p.fails[:0]
	for _, x := range p.fails {
		if x.rec < int32(n) {
			kept = append(kept, x)
		} else {
			r.report(st, x, -1)
		}
	}
	p.fails = kept
	p.recs = p.recs[:n]
	last := matchRec{horizon: -1}
	if n > 0 {
		last = p.recs[n-1]
	}
	p.next, p.number, p.covered = last.next, last.number, last.covered
}

// search searches p from where it was rewound to.
func (r *matchRetract) search(st *Step, p *matchPart) {
	p.bits, p.bitBase, p.faults = r.bits[:0], p.next, nil
	r.testRows(st, p, p.next, p.end())
	r.testBlock(st)
	r.horizon, r.since, r.now = -1, 0, p
	if n := len(p.recs); n > 0 {
		r.horizon = p.recs[n-1].horizon
	}
	r.run(st, p, true, NoMark)
	r.bits, p.bits, p.faults = p.bits, nil, nil
}

// concluded implements matchSink.
func (r *matchRetract) concluded(p *matchPart, shown bool) {
	if r.since++; !shown && r.since < recEvery {
		return
	}
	r.since = 0
	rec := int32(len(p.recs))
	for _, x := range r.failed {
		x.rec = rec
		r.report(r.st, x, 1)
		p.fails = append(p.fails, x)
	}
	r.failed = r.failed[:0]
	p.recs = append(p.recs, matchRec{next: p.next, number: p.number, covered: p.covered, horizon: r.horizon})
}

// give takes a block of output rows: it is stored, so that it can be withdrawn, and
// emitted.
func (r *matchRetract) give(b *batch.Batch, owners []matchOwner) {
	for k, n := 0, b.Len(); k < n; k++ {
		i := b.Row(k)
		id := r.outs.alloc()
		w := r.outs.row(id)
		r.outs.write(w, b, r.all, i)
		o := owners[i]
		rec := &o.part.recs[o.rec]
		w[0] = uint64(rec.out)
		rec.out = id
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
	const partBytes = 200
	return r.m.bytes() + r.outs.bytes() + int64(len(r.parts))<<groupChunkBits*partBytes + r.held + r.extra +
		int64(cap(r.stale))*32 + int64(cap(r.tail)+cap(r.was))*4 + int64(cap(r.bits))*8 + r.diff.SizeBytes()
}

// rowsHeld implements holder.
func (r *matchRetract) rowsHeld() int64 {
	n := int64(0)
	for _, chunk := range r.parts {
		for i := range chunk {
			n += int64(len(chunk[i].seq))
		}
	}
	return n
}
