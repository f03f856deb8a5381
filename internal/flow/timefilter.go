package flow

import (
	"fmt"
	"math"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// TimeFilter keeps a row while the time is within the row's own bounds: not before
// any of its columns From, and before all of its columns Until. The time is the
// step's, so rows come and go by time alone, without any change of the input. A row
// with a NULL in a bound is never there.
type TimeFilter struct {
	From, Until []int // columns of microseconds since 2000-01-01 UTC
}

func (*TimeFilter) isOp() {}

// Describe implements Op.
func (op *TimeFilter) Describe() string {
	var parts []string
	for _, c := range op.From {
		parts = append(parts, fmt.Sprintf("#%d <= now", c))
	}
	for _, c := range op.Until {
		parts = append(parts, fmt.Sprintf("now < #%d", c))
	}
	return "TimeFilter " + strings.Join(parts, " and ")
}

func (op *TimeFilter) check(n *Node, in []types.Type) error {
	err := firstError(passes([][]types.Type{in}, n.Out), inRange(op.From, in), inRange(op.Until, in))
	for _, c := range append(op.From[:len(op.From):len(op.From)], op.Until...) {
		if err == nil && in[c].Layout() != types.LayoutInt {
			err = fmt.Errorf("bound #%d is no time", c)
		}
	}
	return err
}

// bound tells how a TimeFilter over content g grows.
func (op *TimeFilter) bound(g Growth) (Growth, Bound) {
	if len(op.Until) == 0 {
		return g, Bound{Fixed, "rows whose time has not come"}
	}
	return Fixed, Bound{Fixed, "rows until their time is over"}
}

// wakeMicros is how exactly the circuit asks for steps when rows come and go by time
// alone: all that is due in the same tenth of a second is done by one step.
const wakeMicros = 100_000

// wakeAt rounds a time up to when a step is asked for.
func wakeAt(t int64) int64 {
	if t > math.MaxInt64-wakeMicros {
		return t
	}
	return -floorDiv(-t, wakeMicros) * wakeMicros
}

// timeFilter is TimeFilter at work. What a row gives depends on the row, its weight
// and the time alone, so it is linear, and a row may be on any worker. Rows whose
// time is to come or will be over are kept, in the calendar under the next of these
// times; those whose day it is are in a heap by their exact times.
type timeFilter struct {
	TimeFilter
	rows  *rowStore
	index *state.Index
	all   []int
	wait  waiting // for the time of the next change
	now   int64
	hash  []uint64
	sel   []uint32
	dead  []uint32 // rows whose weight has come to 0
	gone  []uint32 // rows to forget once they are emitted
	view  batch.Batch
	out   stored
}

// The header words of a row.
const (
	tfWeight = iota
	tfHash
	tfState
	tfWords
)

// The states of a row.
const (
	tfFree    = iota // no row
	tfWaiting        // its time has not come
	tfIn             // in the output
	tfGone           // to be forgotten at the end of the step
)

func newTimeFilter(env Env, op *TimeFilter) *timeFilter {
	f := &timeFilter{
		TimeFilter: *op, rows: newRowStore(env.memory(), env.In[0], tfWords), all: allColumns(env.In[0]),
		wait: newWaiting(env.memory(), 1<<20), now: math.MinInt64, index: state.NewIndex(env.memory()),
		hash: make([]uint64, batch.BlockRows), sel: make([]uint32, 0, batch.BlockRows),
	}
	f.out = newStored(f.rows, env.Out)
	return f
}

// span returns the bounds of row i of b; false if there are none.
func (f *timeFilter) span(b *batch.Batch, i int) (from, until int64, ok bool) {
	from, until = math.MinInt64, math.MaxInt64
	for _, c := range f.From {
		if b.Cols[c].Null(i) {
			return 0, 0, false
		}
		from = max(from, b.Cols[c].I64[i])
	}
	for _, c := range f.Until {
		if b.Cols[c].Null(i) {
			return 0, 0, false
		}
		until = min(until, b.Cols[c].I64[i])
	}
	return from, until, from < until
}

// spanOf is span for a stored row.
func (f *timeFilter) spanOf(w []uint64) (from, until int64) {
	from, until = math.MinInt64, math.MaxInt64
	for _, c := range f.From {
		from = max(from, int64(w[f.rows.fields[c].at]))
	}
	for _, c := range f.Until {
		until = min(until, int64(w[f.rows.fields[c].at]))
	}
	return from, until
}

func (f *timeFilter) Push(st *Step, _ int, b *batch.Batch, out Emitter) {
	f.now = st.Now
	f.hash = batch.HashRows(f.hash[:cap(f.hash)], b, f.all)
	f.sel = f.sel[:0]
	for k, n := 0, b.Len(); k < n; k++ {
		i := b.Row(k)
		from, until, ok := f.span(b, i)
		switch {
		case !ok || until <= st.Now: // what was there of it goes at Flush
		case from <= st.Now && until == math.MaxInt64 && !f.waits(f.hash[k], b, i):
			f.sel = append(f.sel, uint32(i))
		case f.change(f.hash[k], b, i, from, until):
			f.sel = append(f.sel, uint32(i))
		}
	}
	if len(f.sel) > 0 {
		f.view = *b
		f.view.Sel = f.sel
		out.Emit(&f.view)
	}
}

// waits reports whether row i of b is kept although its time has come in this step.
func (f *timeFilter) waits(hash uint64, b *batch.Batch, i int) bool {
	return len(f.From) > 0 && f.find(hash, b, i) != 0
}

func (f *timeFilter) find(hash uint64, b *batch.Batch, i int) uint32 {
	p := f.index.Probe(hash)
	for id := p.Next(); id != 0; id = p.Next() {
		if f.rows.same(f.rows.row(id), b, f.all, i) {
			return id
		}
	}
	return 0
}

// change adds row i of b to what is kept of it, and reports whether the change is one
// of the output right now.
func (f *timeFilter) change(hash uint64, b *batch.Batch, i int, from, until int64) bool {
	id := f.find(hash, b, i)
	if id == 0 {
		id = f.rows.alloc()
		w := f.rows.edit(id)
		f.rows.write(w, b, f.all, i)
		w[tfHash], w[tfState] = hash, tfIn
		due := until
		if from > f.now {
			w[tfState], due = tfWaiting, from
		}
		f.index.Add(hash, id)
		f.wait.add(due, uint64(id))
	}
	w := f.rows.edit(id)
	w[tfWeight] += uint64(b.Weight(i))
	if w[tfWeight] == 0 {
		f.dead = append(f.dead, id)
	}
	return w[tfState] == tfIn
}

func (f *timeFilter) persist(p *state.Persist) {
	f.rows.persist(p)
	f.index.Persist(p)
	f.wait.persist(p)
}

func (f *timeFilter) Flush(st *Step, out Emitter) {
	f.now = st.Now
	f.wait.due(st.Now+1, f.dueAt, func(_ int64, x uint64) {
		if !st.Stopped() {
			f.turn(uint32(x), out)
		}
	})
	f.out.flush(out)
	for _, id := range f.gone {
		f.forget(id)
	}
	for _, id := range f.dead { // which may name a row twice, or one that is gone
		if w := f.rows.row(id); w[tfState] != tfFree && w[tfWeight] == 0 {
			f.forget(id)
		}
	}
	f.gone, f.dead = f.gone[:0], f.dead[:0]
}

// dueAt is dueOf of an entry, false if it is of no row.
func (f *timeFilter) dueAt(x uint64) (int64, bool) {
	w := f.rows.row(uint32(x))
	return f.dueOf(w), w[tfState] != tfFree
}

// dueOf is the time of a row's next change.
func (f *timeFilter) dueOf(w []uint64) int64 {
	from, until := f.spanOf(w)
	if w[tfState] == tfWaiting {
		return from
	}
	return until
}

// turn lets a row in or out whose time has come. Its number may be another row's by
// now, which has an entry of its own.
func (f *timeFilter) turn(id uint32, out Emitter) {
	w := f.rows.edit(id)
	if w[tfState] != tfWaiting && w[tfState] != tfIn || f.dueOf(w) > f.now {
		return
	}
	_, until := f.spanOf(w)
	switch {
	case w[tfState] == tfIn:
		f.out.emit(id, -int64(w[tfWeight]), out)
	case until > f.now:
		f.out.emit(id, int64(w[tfWeight]), out)
		w[tfState] = tfIn
		if until != math.MaxInt64 {
			f.wait.add(until, uint64(id))
			return
		}
	}
	w[tfState] = tfGone
	f.gone = append(f.gone, id)
}

// forget frees a row.
func (f *timeFilter) forget(id uint32) {
	w := f.rows.edit(id)
	if w[tfState] == tfFree {
		return
	}
	f.index.Remove(w[tfHash], id)
	w[tfState] = tfFree
	f.rows.release(id)
}

// nextTime implements timed.
func (f *timeFilter) nextTime() int64 { return wakeAt(f.wait.next()) }

// StateBytes implements Operator.
func (f *timeFilter) StateBytes() int64 {
	return f.rows.bytes() + f.index.Bytes() + f.wait.bytes()
}
