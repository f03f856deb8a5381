package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// exchange sends each row to the worker that owns the shard of its key's hash. On
// each worker there is one half that sends and one that receives; between the
// stages the senders' buffers are handed over, so that no memory is written by one
// worker while another reads it. Rows that stay are passed on at once.
type exchange struct {
	keys   []int
	worker int
	to     []blocks // rows for each other worker
	from   []*exchange
	hashes []uint64
	sel    [][]uint32 // by worker, of the block being pushed
	owner  [batch.Shards]uint8
	view   batch.Batch
}

func newExchange(env Env, op *Exchange, worker, workers int) *exchange {
	x := &exchange{
		keys: op.Keys, worker: worker, hashes: make([]uint64, batch.BlockRows),
		to: make([]blocks, workers), sel: make([][]uint32, workers),
	}
	for w := range x.to {
		x.to[w].types = env.In[0]
		x.sel[w] = make([]uint32, 0, batch.BlockRows)
	}
	for shard := range x.owner {
		x.owner[shard] = uint8(shard % workers)
	}
	return x
}

func (x *exchange) begin() {
	for w := range x.to {
		x.to[w].reset()
	}
}

func (x *exchange) Push(_ *Step, _ int, b *batch.Batch, out Emitter) {
	hashes := batch.HashRows(x.hashes, b, x.keys)
	for w := range x.sel {
		x.sel[w] = x.sel[w][:0]
	}
	for k, h := range hashes {
		w := x.owner[batch.ShardOf(h)]
		x.sel[w] = append(x.sel[w], uint32(b.Row(k)))
	}
	for w, sel := range x.sel {
		if len(sel) == 0 {
			continue
		}
		x.view = *b
		x.view.Sel = sel
		if w == x.worker {
			out.Emit(&x.view)
		} else {
			x.to[w].add(&x.view)
		}
	}
}

// receive emits what the other workers have for this one, in the order of the workers.
// Between the blocks nobody holds a slice of m's pages.
func (x *exchange) receive(out Emitter, m *state.Memory) {
	for _, s := range x.from {
		s.to[x.worker].each(func(b *batch.Batch) {
			out.Emit(b)
			m.Rest()
		})
	}
}

func (x *exchange) Flush(*Step, Emitter) {}

func (x *exchange) StateBytes() int64 {
	n := int64(0)
	for w := range x.to {
		n += x.to[w].bytes
	}
	return n
}

// blocks collects copies of rows in blocks of at most batch.BlockRows, in memory
// that is used again.
type blocks struct {
	types []types.Type
	full  []*batch.Builder
	n     int   // builders in use
	bytes int64 // held by the builders in use
	last  int64 // of these, by the last one
}

// keepBlocks is how many spent blocks are kept for the next step.
const keepBlocks = 64

func (bs *blocks) reset() {
	for _, bu := range bs.full[:bs.n] {
		bu.Reset()
	}
	if len(bs.full) > keepBlocks {
		clear(bs.full[keepBlocks:])
		bs.full = bs.full[:keepBlocks]
	}
	bs.n, bs.bytes, bs.last = 0, 0, 0
}

// add copies the selected rows of b with their weights.
func (bs *blocks) add(b *batch.Batch) {
	for lo, n := 0, b.Len(); lo < n; {
		bu := bs.builder()
		hi := min(n, lo+batch.BlockRows-bu.Len())
		bu.AppendRange(b, lo, hi)
		lo = hi
	}
	bs.measure()
}

// builder returns the builder that takes the next row.
func (bs *blocks) builder() *batch.Builder {
	if bs.n > 0 && bs.full[bs.n-1].Len() < batch.BlockRows {
		return bs.full[bs.n-1]
	}
	bs.measure()
	bs.last = 0
	if bs.n == len(bs.full) {
		bs.full = append(bs.full, batch.NewBuilder(bs.types))
	}
	bs.n++
	return bs.full[bs.n-1]
}

func (bs *blocks) measure() {
	if bs.n > 0 {
		now := bs.full[bs.n-1].SizeBytes()
		bs.bytes += now - bs.last
		bs.last = now
	}
}

// each hands out the blocks.
func (bs *blocks) each(fn func(*batch.Batch)) {
	for _, bu := range bs.full[:bs.n] {
		fn(bu.View())
	}
}
