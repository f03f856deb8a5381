package flow

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
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

// expire is Expire at work: the rows that came, in the order of the steps, and how
// far back each step's reach. Logical time never falls, so the oldest are the first
// to go. Changes are added up over the step before they count, so that their order
// does not matter.
type expire struct {
	Expire
	rows    *rowStore
	index   index // rows that may be withdrawn, by hash
	all     []int
	queue   []uint32 // rows in order of arrival, from head on
	head    int
	steps   []expireStep // from first on
	first   int
	in      *batch.Builder
	cons    batch.Consolidator
	hash    []uint64
	gone    []uint32
	sel     []uint32
	weights []int64
	out     stored
}

// expireStep says that the rows of the queue below end go at time at, if not before.
type expireStep struct {
	at  int64
	end int // place in the queue
}

// The header words of a row.
const (
	exWeight = iota
	exHash
	exSeq // place in the queue
	exWords
)

func newExpire(env Env, op *Expire) *expire {
	x := &expire{
		Expire: *op, rows: newRowStore(env.In[0], exWords), all: allColumns(env.In[0]),
		in: batch.NewBuilder(env.In[0]), hash: make([]uint64, batch.BlockRows),
		sel: make([]uint32, 0, batch.BlockRows), weights: make([]int64, 0, batch.BlockRows),
	}
	x.out = newStored(x.rows, env.Out)
	return x
}

func (x *expire) Push(_ *Step, _ int, b *batch.Batch, out Emitter) {
	if x.AppendOnly {
		for k, n := 0, b.Len(); k < n; k++ {
			i := b.Row(k)
			x.arrive(0, b, i, b.Weight(i))
		}
		out.Emit(b)
		return
	}
	x.in.AppendBatch(b)
}

// arrive puts row i of b at the end of the queue.
func (x *expire) arrive(hash uint64, b *batch.Batch, i int, weight int64) {
	id := x.rows.alloc()
	w := x.rows.row(id)
	x.rows.write(w, b, x.all, i)
	w[exWeight], w[exHash], w[exSeq] = uint64(weight), hash, uint64(len(x.queue))
	x.queue = append(x.queue, id)
	if !x.AppendOnly {
		x.index.add(hash, id)
	}
}

func (x *expire) Flush(st *Step, out Emitter) {
	x.expireUntil(st, out)
	if !x.AppendOnly && x.in.Len() > 0 {
		x.changes(out)
	}
	x.out.flush(out)
	for _, id := range x.gone {
		x.rows.release(id)
	}
	x.gone = x.gone[:0]
	if n := len(x.queue); n > x.head && (x.first == len(x.steps) || x.steps[len(x.steps)-1].end < n) {
		at := st.Now + x.TTL
		if at < st.Now {
			at = math.MaxInt64
		}
		x.steps = append(x.steps, expireStep{at, n})
	}
	x.compact()
}

// expireUntil withdraws the rows whose time is over.
func (x *expire) expireUntil(st *Step, out Emitter) {
	for x.first < len(x.steps) && x.steps[x.first].at <= st.Now {
		for ; x.head < x.steps[x.first].end && !st.Stopped(); x.head++ {
			id := x.queue[x.head]
			if id == 0 {
				continue // withdrawn
			}
			w := x.rows.row(id)
			x.out.emit(id, -int64(w[exWeight]), out)
			if !x.AppendOnly {
				x.index.remove(w[exHash], id)
			}
			x.gone = append(x.gone, id)
		}
		x.first++
	}
}

// changes adds up the step's changes; rows that came in sum are put down, those that
// went are taken from the oldest of their kind.
func (x *expire) changes(out Emitter) {
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
				x.arrive(x.hash[i], part, i, w)
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
	}
}

// withdraw takes up to n of row i of b out of what is kept, and returns how many.
func (x *expire) withdraw(hash uint64, b *batch.Batch, i int, n int64) int64 {
	taken := int64(0)
	for taken < n {
		oldest := uint32(0)
		p := x.index.probe(hash)
		for id := p.next(); id != 0; id = p.next() {
			w := x.rows.row(id)
			if w[exHash] == hash && x.rows.same(w, b, x.all, i) && (oldest == 0 || w[exSeq] < x.rows.row(oldest)[exSeq]) {
				oldest = id
			}
		}
		if oldest == 0 {
			break
		}
		w := x.rows.row(oldest)
		take := min(int64(w[exWeight]), n-taken)
		taken += take
		if w[exWeight] -= uint64(take); w[exWeight] == 0 {
			x.queue[int(w[exSeq])] = 0
			x.index.remove(hash, oldest)
			x.rows.release(oldest)
		}
	}
	return taken
}

// compactRows is how many spent places at its front a queue may have beside as many
// that are in use.
const compactRows = 1 << 12

// compact moves the queue to its front when most of it is spent.
func (x *expire) compact() {
	if x.head < compactRows || x.head < len(x.queue)/2 {
		return
	}
	n := x.head
	x.queue = append(x.queue[:0], x.queue[n:]...)
	x.head = 0
	x.steps = append(x.steps[:0], x.steps[x.first:]...)
	x.first = 0
	for i := range x.steps {
		x.steps[i].end -= n
	}
	for _, id := range x.queue {
		if id != 0 {
			x.rows.row(id)[exSeq] -= uint64(n)
		}
	}
	if cap(x.queue) > 4*len(x.queue)+compactRows {
		x.queue = append(make([]uint32, 0, len(x.queue)), x.queue...)
	}
}

// nextTime implements timed.
func (x *expire) nextTime() int64 {
	if x.first == len(x.steps) {
		return math.MaxInt64
	}
	return wakeAt(x.steps[x.first].at)
}

func (x *expire) rowsHeld() int64 { return int64(len(x.queue) - x.head) }

// StateBytes implements Operator.
func (x *expire) StateBytes() int64 {
	return x.rows.bytes() + x.index.bytes + int64(cap(x.queue))*4 + int64(cap(x.steps))*16 + x.in.SizeBytes()
}
