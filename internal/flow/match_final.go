package flow

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// matchFinal is Match that gives each match once. Rows wait until the mark of the time
// column has passed them, so they come to the search in order; a search is left
// open at the last row there is, and gone on with when more come. What no search can
// reach any more is freed: the rows before it, and partitions without rows.
//
// The output is the same as that of one run over all rows up to the mark, since a
// search depends on rows from its start on only, and on those it looks back to.
type matchFinal struct {
	*matcher
	env    Env
	time   int          // column
	keys   *state.Table // partitions; the word of each is its number
	parts  [][]matchPart
	count  uint32         // of parts in use or free
	unused []uint32       // numbers of parts that are free
	fresh  []matchPending // rows of this step
	wait   []matchPending // rows from before, by time
	spare  []matchPending
	todo   []uint32 // parts to be looked at
	dead   []uint32 // rows to be freed once their columns have been read
	due    *calendar
	held   int64 // bytes of parts
	extra  int64 // bytes of searches and tallies, as of the last step
	out    Emitter
	hash   []uint64
	refs   []state.Ref
	all    []int
	view   batch.Batch
	sel    []uint32
}

// matchPending is a row that waits for the mark.
type matchPending struct {
	time int64
	id   uint32
	part uint32
}

// The header word of a row: how often it is still in a partition.
const (
	matchRefs  = 0
	matchWords = 1
)

// dueParts is into how many parts the time Within is cut: searches end up to one such
// part late when nothing but time passes.
const dueParts = 64

func newMatchFinal(env Env, op *Match) (Operator, error) {
	rows := newRowStore(env.In[0], matchWords)
	m, err := newMatcher(env, op, rows)
	if err != nil {
		return nil, err
	}
	own := make([]types.Type, len(op.Partition))
	for i, c := range op.Partition {
		own[i] = env.In[0][c]
	}
	f := &matchFinal{matcher: m, env: env, time: op.Order[0].Col, keys: state.New(own, 1), count: 1,
		due: newCalendar(op.Within / dueParts), hash: make([]uint64, batch.BlockRows), refs: make([]state.Ref, batch.BlockRows),
		all: allColumns(env.In[0]), sel: make([]uint32, 0, batch.BlockRows)}
	m.sink = f
	m.show.given = func(b *batch.Batch, _ []matchOwner) { f.out.Emit(b) }
	return f, nil
}

// Push implements Operator.
func (f *matchFinal) Push(st *Step, _ int, b *batch.Batch, _ Emitter) {
	times := &b.Cols[f.time]
	if times.Type.Layout() == types.LayoutNone {
		return
	}
	if times.Valid != nil {
		b = f.timed(b)
	}
	hashes := batch.HashRows(f.hash, b, f.Partition)
	refs := f.refs[:len(hashes)]
	f.keys.FindOrInsert(b, f.Partition, hashes, refs, nil)
	for k, ref := range refs {
		i := b.Row(k)
		w := b.Weight(i)
		if w < 0 {
			st.fail = fmt.Errorf("step %d: a change of weight %d comes to a final match, whose input is append-only", st.N, w)
			return
		}
		g := f.partOf(ref)
		f.part(g).count += w
		id := f.rows.alloc()
		row := f.rows.row(id)
		f.rows.write(row, b, f.all, i)
		row[matchRefs] = uint64(w)
		for range w {
			f.fresh = append(f.fresh, matchPending{times.I64[i], id, g})
		}
	}
}

// timed returns b without the rows that have no time.
func (f *matchFinal) timed(b *batch.Batch) *batch.Batch {
	f.sel = f.sel[:0]
	for k, n := 0, b.Len(); k < n; k++ {
		if i := b.Row(k); !b.Cols[f.time].Null(i) {
			f.sel = append(f.sel, uint32(i))
		}
	}
	f.view = *b
	f.view.Sel = f.sel
	return &f.view
}

// partOf returns the number of the partition with a key, which may be new.
func (f *matchFinal) partOf(ref state.Ref) uint32 {
	word := &f.keys.Payload(ref)[0]
	if *word != 0 {
		return uint32(*word)
	}
	g := f.count
	if n := len(f.unused); n > 0 {
		g, f.unused = f.unused[n-1], f.unused[:n-1]
	} else {
		f.count++
	}
	f.part(g).key = ref
	*word = uint64(g)
	return g
}

func (f *matchFinal) part(g uint32) *matchPart {
	for int(g>>groupChunkBits) >= len(f.parts) {
		f.parts = append(f.parts, make([]matchPart, 1<<groupChunkBits))
	}
	return &f.parts[g>>groupChunkBits][g&(1<<groupChunkBits-1)]
}

// Flush implements Operator.
func (f *matchFinal) Flush(st *Step, out Emitter) {
	f.out, f.st = out, st
	mark, final := int64(NoMark), false
	if m := f.env.Marks; m != nil {
		mark, final = m.In[0][f.time], m.Final[0]
	}
	if final {
		mark = FinalMark
	}
	f.order()
	f.take(st, f.ready(mark))
	f.due.due(mark, func(g uint64) {
		if p := f.part(uint32(g)); p.search != 0 && p.due <= mark {
			p.due = 0
			f.todo = append(f.todo, uint32(g))
		}
	})
	if final {
		f.everyPart()
	}
	slices.Sort(f.todo)
	f.todo = slices.Compact(f.todo)
	for _, g := range f.todo {
		if st.Stopped() {
			return
		}
		p := f.part(g)
		f.run(st, p, final, mark)
		f.trim(p, g)
		if f.show.full() {
			f.show.flush(st)
			f.free()
		}
	}
	f.todo = f.todo[:0]
	f.show.flush(st)
	f.free()
	f.extra = f.bytes() + f.show.bytes()
}

// order puts the rows of this step into wait, by time.
func (f *matchFinal) order() {
	if len(f.fresh) == 0 {
		return
	}
	byTime := func(a, b matchPending) int { return cmp.Compare(a.time, b.time) }
	if !slices.IsSortedFunc(f.fresh, byTime) {
		slices.SortFunc(f.fresh, byTime)
	}
	// Only rows of wait that come after the first new one move.
	at, _ := slices.BinarySearchFunc(f.wait, f.fresh[0].time, func(a matchPending, t int64) int {
		if a.time <= t {
			return -1
		}
		return 1
	})
	f.spare = append(f.spare[:0], f.wait[at:]...)
	f.wait = f.wait[:at]
	rest := f.spare
	for _, x := range f.fresh {
		for len(rest) > 0 && rest[0].time <= x.time {
			f.wait, rest = append(f.wait, rest[0]), rest[1:]
		}
		f.wait = append(f.wait, x)
	}
	f.wait = append(f.wait, rest...)
	f.fresh = f.fresh[:0]
}

// ready takes the rows below mark out of wait, ordered by partition and within.
func (f *matchFinal) ready(mark int64) []matchPending {
	n, _ := slices.BinarySearchFunc(f.wait, mark, func(a matchPending, t int64) int {
		if a.time < t || mark == FinalMark {
			return -1
		}
		return 1
	})
	f.spare = append(f.spare[:0], f.wait[:n]...)
	if n >= len(f.wait)-n {
		f.wait = f.wait[:copy(f.wait, f.wait[n:])]
	} else {
		f.wait = f.wait[n:] // few of many: they move when the list must grow anyway
	}
	slices.SortFunc(f.spare, func(a, b matchPending) int {
		if a.part != b.part {
			return cmp.Compare(a.part, b.part)
		}
		if a.time != b.time {
			return cmp.Compare(a.time, b.time)
		}
		return f.compareRows(a.id, b.id)
	})
	return f.spare
}

// take enters rows in their partitions and computes their near conditions. Those
// that look ahead wait for the rows they look at.
func (f *matchFinal) take(st *Step, rows []matchPending) {
	for len(rows) > 0 {
		g := rows[0].part
		p := f.part(g)
		f.held -= p.bytes()
		for len(rows) > 0 && rows[0].part == g {
			p.seq = append(p.seq, rows[0].id)
			rows = rows[1:]
		}
		done := p.bitBase + int64(len(p.bits))
		f.testRows(st, p, done, max(p.end()-f.lookahead, done))
		f.todo = append(f.todo, g)
		f.held += p.bytes()
	}
	f.testBlock(st)
}

// everyPart looks at all partitions, whose rows are all there.
func (f *matchFinal) everyPart() {
	for c := range f.parts {
		for i := range f.parts[c] {
			p := &f.parts[c][i]
			if len(p.seq) == 0 {
				continue
			}
			f.testRows(f.st, p, p.bitBase+int64(len(p.bits)), p.end())
			f.todo = append(f.todo, uint32(c<<groupChunkBits|i))
		}
	}
	f.testBlock(f.st)
}

// concluded implements matchSink.
func (f *matchFinal) concluded(p *matchPart, _ bool) {
	for _, x := range f.failed {
		f.report(f.st, x, 1)
	}
	f.failed = f.failed[:0]
	p.fails = nil
}

// trim frees the rows of p that nothing can look at any more, and notes when its open
// search ends.
func (f *matchFinal) trim(p *matchPart, g uint32) {
	f.held -= p.bytes()
	keep := max(p.next-f.lookback, p.base)
	if p.live < p.base {
		p.live = p.base
	}
	n := min(keep, p.end()) - p.live
	for i := p.live; i < p.live+n; i++ {
		id := p.id(i)
		f.dead = append(f.dead, id)
	}
	if n > 0 {
		p.live += n
		p.count -= n
	}
	switch gone := p.live - p.base; {
	case p.count == 0 && !f.stay:
		f.keys.Delete(p.key)
		p.reset()
		f.unused = append(f.unused, g)
	case gone > 0 && gone*2 >= int64(len(p.seq)):
		p.seq = p.seq[:copy(p.seq, p.seq[gone:])]
		k := min(gone, int64(len(p.bits)))
		p.bits = p.bits[:copy(p.bits, p.bits[k:])]
		if p.faults = p.faults[min(k, int64(len(p.faults))):]; len(p.faults) == 0 {
			p.faults = nil
		}
		p.base += gone
		p.bitBase += k
		if k < gone {
			p.bitBase = p.base
		}
	}
	if p.search != 0 && f.Within > 0 {
		f.open = f.searches[p.search-1]
		if end, ok := f.deadline(p); ok && end != p.due {
			p.due = end
			f.due.add(end, uint64(g))
		}
		f.open = nil
	}
	f.held += p.bytes()
}

// free frees rows that were dropped, once their columns have been read.
func (f *matchFinal) free() {
	for _, id := range f.dead {
		w := f.rows.row(id)
		if w[matchRefs]--; w[matchRefs] == 0 {
			f.rows.release(id)
		}
	}
	f.dead = f.dead[:0]
}

// keepSeq is up to how many rows' memory a partition without rows keeps.
const keepSeq = 64

// reset forgets everything about a partition, whose number may become another's.
func (p *matchPart) reset() {
	seq, bits := p.seq[:0], p.bits[:0]
	if cap(seq) > keepSeq {
		seq, bits = nil, nil
	}
	*p = matchPart{seq: seq, bits: bits}
}

func (p *matchPart) bytes() int64 {
	return int64(cap(p.seq))*4 + int64(cap(p.bits)+cap(p.faults))*8 + int64(cap(p.recs))*48 + int64(cap(p.fails))*16
}

// StateBytes implements Operator.
func (f *matchFinal) StateBytes() int64 {
	const partBytes = 200
	return f.rows.bytes() + f.keys.Bytes() + int64(cap(f.fresh)+cap(f.wait)+cap(f.spare))*16 +
		int64(len(f.parts))<<groupChunkBits*partBytes + f.held + f.extra + f.due.bytes + int64(cap(f.dead)+cap(f.unused)+cap(f.todo))*4
}

// rowsHeld implements holder.
func (f *matchFinal) rowsHeld() int64 {
	n := int64(0)
	for _, chunk := range f.parts {
		for i := range chunk {
			n += chunk[i].count
		}
	}
	return n
}
