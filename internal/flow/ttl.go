package flow

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
)

// Expire withdraws each row TTL after the logical time of the step in which it came,
// unless it was withdrawn before. Of equal rows that came at different times the
// oldest goes first. A withdrawal of a row that has expired already has no effect.
type Expire struct {
	TTL int64 // microseconds, above 0
	// AppendOnly says that the input withdraws nothing.
	AppendOnly bool
}

func (*Expire) isOp() {}

// Describe implements Op.
func (op *Expire) Describe() string {
	s := "Expire after " + micros(op.TTL)
	if op.AppendOnly {
		s += " append-only"
	}
	return s
}

func (op *Expire) check() error {
	if op.TTL <= 0 {
		return fmt.Errorf("time to live is %d us", op.TTL)
	}
	return nil
}

// expire puts equal rows together where some may be withdrawn.
func (p *placer) expire(node int, op *Expire, in []int, n *Node) int {
	if op.AppendOnly {
		return p.add(node, op, in, n.Out, p.dists[in[0]])
	}
	return p.keyed(node, op, in, n.Out, allColumns(n.Out))
}

// expire is Expire at work: the rows that came, in a list by the order of the steps,
// each with the time at which it goes. Logical time never falls, so the oldest are the
// first to go. Changes are added up over the step before they count, so that their
// order does not matter.
type expire struct {
	Expire
	rows    *rowStore
	index   *state.Index // rows that may be withdrawn, by hash
	all     []int
	first   uint32 // of the list
	last    uint32
	held    int64  // rows in the list
	seq     uint64 // of the next row
	in      *batch.Builder
	cons    batch.Consolidator
	hash    []uint64
	gone    []uint32 // of the step
	sel     []uint32
	weights []int64
	out     stored
}

// The header words of a row.
const (
	exWeight = iota
	exHash
	exSeq   // rises from row to row
	exAt    // when it goes, if not before
	exLinks // next<<32 | previous
	exWords
)

func newExpire(env Env, op *Expire) *expire {
	mem := env.memory()
	x := &expire{
		Expire: *op, rows: newRowStore(mem, env.In[0], exWords), index: state.NewIndex(mem), all: allColumns(env.In[0]),
		in: batch.NewBuilder(env.In[0]), hash: make([]uint64, batch.BlockRows),
		sel: make([]uint32, 0, batch.BlockRows), weights: make([]int64, 0, batch.BlockRows),
	}
	x.out = newStored(x.rows, env.Out)
	return x
}

func (x *expire) persist(p *state.Persist) {
	atRest(p, "rows that came", x.in.Len())
	atRest(p, "rows expired", len(x.gone))
	state.Num(p, &x.first)
	state.Num(p, &x.last)
	state.Num(p, &x.held)
	state.Num(p, &x.seq)
	x.rows.persist(p)
	x.index.Persist(p)
	if p.Loading() && p.Err() == nil && (x.first >= x.rows.next || x.last >= x.rows.next) {
		p.Fail(fmt.Errorf("%w: rows %d to %d of %d", state.ErrDamaged, x.first, x.last, x.rows.next))
	}
}

func (x *expire) Push(st *Step, _ int, b *batch.Batch, out Emitter) {
	if x.AppendOnly {
		for k, n := 0, b.Len(); k < n; k++ {
			i := b.Row(k)
			x.arrive(st, 0, b, i, b.Weight(i))
		}
		out.Emit(b)
		return
	}
	x.in.AppendBatch(b)
}

// arrive puts row i of b at the end of the list.
func (x *expire) arrive(st *Step, hash uint64, b *batch.Batch, i int, weight int64) {
	at := st.Now + x.TTL
	if at < st.Now {
		at = math.MaxInt64
	}
	id := x.rows.alloc()
	w := x.rows.edit(id)
	x.rows.write(w, b, x.all, i)
	w[exWeight], w[exHash], w[exSeq], w[exAt], w[exLinks] = uint64(weight), hash, x.seq, uint64(at), uint64(x.last)
	x.seq++
	x.held++
	if x.last == 0 {
		x.first = id
	} else {
		x.rows.edit(x.last)[exLinks] |= uint64(id) << 32
	}
	x.last = id
	if !x.AppendOnly {
		x.index.Add(hash, id)
	}
}

// unlink takes a row out of the list.
func (x *expire) unlink(id uint32) {
	links := x.rows.row(id)[exLinks]
	next, before := uint32(links>>32), uint32(links)
	if before == 0 {
		x.first = next
	} else {
		w := x.rows.edit(before)
		w[exLinks] = w[exLinks]&(1<<32-1) | uint64(next)<<32
	}
	if next == 0 {
		x.last = before
	} else {
		w := x.rows.edit(next)
		w[exLinks] = w[exLinks]&^(1<<32-1) | uint64(before)
	}
	x.held--
}

func (x *expire) Flush(st *Step, out Emitter) {
	x.expireUntil(st, out)
	if !x.AppendOnly && x.in.Len() > 0 {
		x.changes(st, out)
	}
}

// expireUntil withdraws the rows whose time is over.
func (x *expire) expireUntil(st *Step, out Emitter) {
	for x.first != 0 && !st.Stopped() {
		id := x.first
		w := x.rows.row(id)
		if int64(w[exAt]) > st.Now {
			break
		}
		x.out.emit(id, -int64(w[exWeight]), out)
		if !x.AppendOnly {
			x.index.Remove(w[exHash], id)
		}
		x.unlink(id)
		if x.gone = append(x.gone, id); len(x.gone) == restEvery {
			x.release(out)
		}
	}
	x.release(out)
}

// release emits what is left to be and frees the rows that are gone.
func (x *expire) release(out Emitter) {
	x.out.flush(out)
	for _, id := range x.gone {
		x.rows.release(id)
	}
	x.gone = x.gone[:0]
	x.rows.mem.Rest()
}

// changes adds up the step's changes; rows that came in sum are put down, those that
// went are taken from the oldest of their kind.
func (x *expire) changes(st *Step, out Emitter) {
	b := x.cons.Consolidate(x.in.View(), nil)
	if x.in.SizeBytes() > keepOutputBytes {
		x.in, x.cons = batch.NewBuilder(b.Types()), batch.Consolidator{}
	}
	x.in.Reset()
	for lo := 0; lo < b.N; lo += batch.BlockRows {
		part := batch.Slice(b, lo, min(lo+batch.BlockRows, b.N))
		x.hash = batch.HashRows(x.hash[:cap(x.hash)], part, x.all)
		sel, weights := x.sel[:0], x.weights[:0]
		for i := range part.N {
			w := part.Weight(i)
			if w > 0 {
				x.arrive(st, x.hash[i], part, i, w)
			} else {
				w = -x.withdraw(x.hash[i], part, i, -w)
			}
			weights = append(weights, w)
			if w != 0 {
				sel = append(sel, uint32(i))
			}
		}
		if len(sel) > 0 {
			view := *part
			view.Sel, view.Weights = sel, weights
			out.Emit(&view)
		}
		x.rows.mem.Rest()
	}
}

// withdraw takes up to n of row i of b out of what is kept, and returns how many.
func (x *expire) withdraw(hash uint64, b *batch.Batch, i int, n int64) int64 {
	taken := int64(0)
	for taken < n {
		oldest, seq := uint32(0), uint64(0)
		p := x.index.Probe(hash)
		for id := p.Next(); id != 0; id = p.Next() {
			w := x.rows.row(id)
			if w[exHash] == hash && x.rows.same(w, b, x.all, i) && (oldest == 0 || w[exSeq] < seq) {
				oldest, seq = id, w[exSeq]
			}
		}
		if oldest == 0 {
			break
		}
		w := x.rows.edit(oldest)
		take := min(int64(w[exWeight]), n-taken)
		taken += take
		if w[exWeight] -= uint64(take); w[exWeight] == 0 {
			x.unlink(oldest)
			x.index.Remove(hash, oldest)
			x.rows.release(oldest)
		}
	}
	return taken
}

// nextTime implements timed.
func (x *expire) nextTime() int64 {
	if x.first == 0 {
		return math.MaxInt64
	}
	return wakeAt(int64(x.rows.row(x.first)[exAt]))
}

func (x *expire) rowsHeld() int64 { return x.held }

// StateBytes implements Operator.
func (x *expire) StateBytes() int64 {
	return x.rows.bytes() + x.index.Bytes() + x.in.SizeBytes()
}
