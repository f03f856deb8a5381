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
	env      Env
	time     int          // column
	keys     *state.Table // partitions; the word of each is its number
	parts    *partStore
	searches *openSearches
	count    uint32 // of parts in use or free
	unused   uint32 // a free part's number, which has the next one; 0: none
	held     int64  // rows
	wait     waiting
	due      *calendar

	// Of the step:
	fresh []matchPending // its rows
	ready []matchPending // rows that the mark has passed
	todo  []uint32       // parts to be looked at
	dead  []uint32       // rows to be freed once their columns have been read
	extra int64          // bytes of searches and tallies, as of the last step
	out   Emitter
	hash  []uint64
	refs  []state.Ref
	all   []int
	view  batch.Batch
	sel   []uint32
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
	rows := newRowStore(env.memory(), env.In[0], matchWords)
	m, err := newMatcher(env, op, rows)
	if err != nil {
		return nil, err
	}
	own := make([]types.Type, len(op.Partition))
	for i, c := range op.Partition {
		own[i] = env.In[0][c]
	}
	mem := env.memory()
	f := &matchFinal{matcher: m, env: env, time: op.Order[0].Col, keys: state.New(mem, own, 1), count: 1, parts: newPartStore(mem, false),
		wait: newWaiting(mem, waitDay(env.In[0][op.Order[0].Col])), due: newCalendar(mem, op.Within/dueParts),
		hash: make([]uint64, batch.BlockRows), refs: make([]state.Ref, batch.BlockRows),
		all: allColumns(env.In[0]), sel: make([]uint32, 0, batch.BlockRows)}
	f.searches = newOpenSearches(mem, f.parts)
	m.sink = f
	m.show.given = func(b *batch.Batch, _ []matchOwner) { f.out.Emit(b) }
	return f, nil
}

func (f *matchFinal) persist(p *state.Persist) {
	f.rows.persist(p)
	f.keys.Persist(p)
	f.searches.persist(p) // which writes to parts
	f.parts.persist(p)
	state.Num(p, &f.count)
	state.Num(p, &f.unused)
	state.Num(p, &f.held)
	f.wait.persist(p)
	f.due.persist(p)
}

// waitDay is the width of the days of rows that wait for the mark of times of type t:
// what a step moves the mark by, or less, so that most days are over at once.
func waitDay(t types.Type) int64 {
	if t.Kind == types.Timestamp || t.Kind == types.TimestampTZ {
		return 1 << 12 // about 4 ms
	}
	return asOfDay(t)
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
		f.parts.edit(g)[partCount] += uint64(w)
		f.held += w
		id := f.rows.alloc()
		row := f.rows.edit(id)
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
	if word := f.keys.Payload(ref)[0]; word != 0 {
		return uint32(word)
	}
	g := f.count
	if f.unused != 0 {
		g = f.unused
		f.unused = uint32(f.parts.at(g)[partNext])
	} else {
		f.count++
	}
	w := f.parts.edit(g)
	w[partNext], w[partKey] = 0, uint64(ref)
	f.keys.EditPayload(ref)[0] = uint64(g)
	return g
}

// load returns a partition and its open search.
func (f *matchFinal) load(g uint32) *matchPart {
	p := f.parts.load(g)
	if p.open {
		p.search, p.open = f.searches.take(f.matcher, p), false
	}
	return p
}

// unload puts all loaded partitions back.
func (f *matchFinal) unload() {
	for _, p := range f.parts.loaded {
		if p.search != nil {
			f.searches.put(p)
		}
	}
	f.parts.unload()
	f.searches.shrink(f.matcher)
}

// finalParts is how many partitions are loaded together: their rows are tested in
// common blocks.
const finalParts = 1024

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
	f.passed(mark)
	for k := range f.ready {
		if g := f.ready[k].part; k == 0 || f.ready[k-1].part != g {
			f.todo = append(f.todo, g)
		}
	}
	f.due.due(mark, func(g uint64) {
		if w := f.parts.at(uint32(g)); w[partOpen] != 0 && int64(w[partDue]) <= mark {
			f.parts.edit(uint32(g))[partDue] = 0
			f.todo = append(f.todo, uint32(g))
		}
	})
	if final {
		f.everyPart()
	}
	slices.Sort(f.todo)
	f.todo = slices.Compact(f.todo)
	rows := f.ready
	for todo := f.todo; len(todo) > 0; {
		n := min(len(todo), finalParts)
		rows = f.take(st, todo[:n], rows, final)
		for _, g := range todo[:n] {
			if st.Stopped() {
				return
			}
			f.visit(st, f.parts.load(g), final, mark)
		}
		todo = todo[n:]
		f.show.flush(st)
		f.free()
		f.unload()
	}
	f.todo = f.todo[:0]
	f.extra = f.bytes() + f.show.bytes()
}

// visit goes on with the search in a partition that is loaded.
func (f *matchFinal) visit(st *Step, p *matchPart, final bool, mark int64) {
	f.run(st, p, final, mark)
	f.reportFailed()
	f.trim(p)
	if f.show.full() {
		f.show.flush(st)
		f.free()
	}
}

// passed moves the rows below mark to ready, ordered by partition and within; what is
// left of the step's rows waits.
func (f *matchFinal) passed(mark int64) {
	f.ready = f.ready[:0]
	for _, x := range f.fresh {
		if x.time < mark || mark == FinalMark {
			f.ready = append(f.ready, x)
		} else {
			f.wait.add(x.time, uint64(x.part)<<32|uint64(x.id))
		}
	}
	f.fresh = f.fresh[:0]
	f.wait.due(mark, func(x uint64) (int64, bool) {
		return int64(f.rows.row(uint32(x))[f.rows.fields[f.time].at]), true
	}, func(t int64, x uint64) {
		f.ready = append(f.ready, matchPending{t, uint32(x), uint32(x >> 32)})
	})
	slices.SortFunc(f.ready, func(a, b matchPending) int {
		if a.part != b.part {
			return cmp.Compare(a.part, b.part)
		}
		if a.time != b.time {
			return cmp.Compare(a.time, b.time)
		}
		return f.compareRows(a.id, b.id)
	})
}

// take loads the partitions todo, enters those of rows that are theirs, which come
// first, and computes their near conditions. Rows that look ahead wait for the rows
// they look at, unless all rows are there. It returns the other rows.
func (f *matchFinal) take(st *Step, todo []uint32, rows []matchPending, all bool) []matchPending {
	for _, g := range todo {
		p := f.load(g)
		for len(rows) > 0 && rows[0].part == g {
			p.add(rows[0].id)
			rows = rows[1:]
		}
		end := p.end()
		if !all {
			end -= f.lookahead
		}
		f.testRows(st, p, p.tested(), max(end, p.tested()))
	}
	f.testBlock(st)
	return rows
}

// everyPart looks at all partitions, whose rows are all there.
func (f *matchFinal) everyPart() {
	for g := uint32(1); g < f.count; g++ {
		if w := f.parts.at(g); state.UnpackList(w[partSeq], w[partSeq+1]).Len() > 0 {
			f.todo = append(f.todo, g)
		}
	}
}

// concluded implements matchSink.
func (f *matchFinal) concluded(*matchPart, bool) { f.reportFailed() }

// reportFailed reports the errors there are.
func (f *matchFinal) reportFailed() {
	for _, x := range f.failed {
		f.report(f.st, x, 1)
	}
	f.failed = f.failed[:0]
}

// trim frees the rows of p that nothing can look at any more, and notes when its open
// search ends.
func (f *matchFinal) trim(p *matchPart) {
	if p.search == nil {
		f.searches.over(p)
	}
	keep := max(p.next-f.lookback, p.base)
	p.live = max(p.live, p.base)
	n := min(keep, p.end()) - p.live
	for i := p.live; i < p.live+n; i++ {
		f.dead = append(f.dead, p.id(i))
	}
	if n > 0 {
		p.live += n
		p.count -= n
		f.held -= n
	}
	switch gone := p.live - p.base; {
	case p.count == 0 && !f.stay:
		f.keys.Delete(p.key)
		p.reset()
		p.next, f.unused = int64(f.unused), p.g
		return
	case gone > 0 && gone*2 >= int64(p.seq.Len()):
		p.drop(gone)
	}
	if p.search != nil && f.Within > 0 {
		f.matcher.open = p.search
		if end, ok := f.deadline(p); ok && end != p.due {
			p.due = end
			f.due.add(end, uint64(p.g))
		}
		f.matcher.open = nil
	}
}

// free frees rows that were dropped, once their columns have been read.
func (f *matchFinal) free() {
	for _, id := range f.dead {
		w := f.rows.edit(id)
		if w[matchRefs]--; w[matchRefs] == 0 {
			f.rows.release(id)
		}
	}
	f.dead = f.dead[:0]
}

// StateBytes implements Operator.
func (f *matchFinal) StateBytes() int64 {
	return f.rows.bytes() + f.keys.Bytes() + f.parts.bytes() + f.searches.size() + f.wait.bytes() + f.due.bytes() +
		int64(cap(f.fresh)+cap(f.ready))*16 + f.extra + int64(cap(f.dead)+cap(f.todo))*4
}

// rowsHeld implements holder.
func (f *matchFinal) rowsHeld() int64 { return f.held }
