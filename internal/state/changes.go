package state

import (
	"errors"
	"sort"
	"sync"

	"github.com/tidemill/tidemill/internal/batch"
)

// ErrForgotten says that changes that were asked for are not kept any more.
var ErrForgotten = errors.New("changes are no longer kept")

// Changes keeps what changed step by step, from some step on: in blocks that can be in
// memory, on disk or both. Small steps share a block, large ones have several.
//
// One goroutine owns Changes: it adds, trims, freezes and closes. Any may read, and
// forget.
type Changes struct {
	cache *Cache // nil: all stays in memory
	size  int    // rows of a block

	mu    sync.RWMutex
	set   *blockSet  // nil without a cache
	segs  []*segment // oldest first
	skip  int        // parts of the first segment that are forgotten
	open  openSegment
	lost  uint64 // all up to this step is forgotten, or was never there
	last  uint64 // the newest step
	steps int
	bytes int64

	// The owner's.
	dirs   map[uint64]Loc // of the last complete checkpoint, by group; see FrozenChanges
	tail   frozenTail
	frozen *FrozenChanges
}

// segment is a block of consecutive changes. It never changes.
type segment struct {
	block *Block
	parts []part
}

// part is one step's rows in a segment, or some of them.
type part struct {
	step  uint64
	end   uint32 // the row after its last; its first is the end of the part before
	bytes uint32
}

func (g *segment) lastStep() uint64 { return g.parts[len(g.parts)-1].step }

// from returns the first row of part i.
func (g *segment) from(i int) int {
	if i == 0 {
		return 0
	}
	return int(g.parts[i-1].end)
}

// openSegment collects small steps, as they came, until they fill a block.
type openSegment struct {
	list    []change
	rows    int
	bytes   int64
	version uint64 // counts what happened to it
}

type change struct {
	step  uint64
	rows  *batch.Batch
	bytes int64
}

const (
	// segmentBytes and segmentSteps bound the steps that share a block.
	segmentBytes = 256 << 10
	segmentSteps = 1024
	// alonePart is which part of a block a step must fill to have blocks of its own.
	alonePart = 4
)

// NewChanges returns changes of the steps after from. They stay in memory and cannot
// be frozen.
func NewChanges(from uint64) *Changes { return &Changes{lost: from, size: batch.BlockRows} }

// NewChanges returns changes of the steps after from, in blocks that c keeps. owner
// names them among all whose records the Backing keeps. A nil Cache gives changes that
// stay in memory.
func (c *Cache) NewChanges(owner, from uint64) *Changes {
	h := NewChanges(from)
	if c != nil {
		h.cache = c
		h.set = &blockSet{cache: c, owner: owner, dirBlocks: groupSegments}
	}
	return h
}

// Add adds the changes of a step, which is not before the newest; several of one step
// follow each other. b is sealed.
func (h *Changes) Add(step uint64, b *batch.Batch) {
	if b.Len() == 0 {
		return
	}
	if b.Sel != nil {
		b = batch.Copy(b)
	}
	h.add(step, b)
	if h.cache != nil {
		h.cache.Rest()
	}
}

func (h *Changes) add(step uint64, b *batch.Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set != nil && h.set.types == nil {
		h.set.types = b.Types()
		h.size = min(h.size, blockRows(len(b.Cols)))
	}
	if h.steps == 0 || step != h.last {
		h.last = step
		h.steps++
	}
	bytes := rowBytes(b, 0, b.N)
	h.bytes += bytes
	alone := b.N >= h.size/alonePart || bytes >= segmentBytes
	if o := &h.open; alone || o.rows+b.N > h.size || len(o.list) == segmentSteps || o.bytes >= segmentBytes {
		h.seal()
	}
	if !alone {
		h.open.list = append(h.open.list, change{step, b, bytes})
		h.open.rows += b.N
		h.grow(bytes)
		return
	}
	h.open.version++
	cutBlocks(b, h.size, func(rows *batch.Batch, bytes int64) {
		h.segs = append(h.segs, &segment{h.set.newBlock(rows, bytes, false), []part{{step, uint32(rows.N), clip(bytes)}}})
		h.bytes += int64(clip(bytes))
	})
	h.bytes -= bytes
}

// clip is n in 32 bits.
func clip(n int64) uint32 { return uint32(min(n, 1<<32-1)) }

// grow notes how the open segment changes.
func (h *Changes) grow(bytes int64) {
	h.open.bytes += bytes
	h.open.version++
	if h.cache != nil {
		h.cache.fix(h.set, bytes)
	}
}

// seal makes a segment of what is open.
func (h *Changes) seal() {
	o := &h.open
	if len(o.list) == 0 {
		return
	}
	rows, parts := pack(o.list)
	h.segs = append(h.segs, &segment{h.set.newBlock(rows, o.bytes, false), parts})
	h.grow(-o.bytes)
	*o = openSegment{version: o.version}
}

// pack makes one batch of several.
func pack(list []change) (*batch.Batch, []part) {
	all := batch.NewBuilder(list[0].rows.Types())
	parts := make([]part, len(list))
	for i, c := range list {
		all.AppendBatch(c.rows)
		parts[i] = part{c.step, uint32(all.Len()), clip(c.bytes)}
	}
	return all.Seal(), parts
}

// Trim forgets the oldest steps while there are more than so many, or of more bytes,
// but never the newest.
func (h *Changes) Trim(bytes int64, steps int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.steps > 1 && (h.bytes > bytes || h.steps > steps) {
		h.drop(h.first())
	}
}

// Forget forgets all up to a step: nobody will ask for it.
func (h *Changes) Forget(step uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.steps > 0 && h.first() <= step {
		h.drop(h.first())
	}
	h.lost = max(h.lost, step)
}

// first is the oldest step. There is one.
func (h *Changes) first() uint64 {
	if len(h.segs) > 0 {
		return h.segs[0].parts[h.skip].step
	}
	return h.open.list[0].step
}

// drop forgets the oldest step.
func (h *Changes) drop(step uint64) {
	h.lost = max(h.lost, step)
	h.steps--
	for len(h.segs) > 0 {
		g := h.segs[0]
		for ; h.skip < len(g.parts) && g.parts[h.skip].step == step; h.skip++ {
			h.bytes -= int64(g.parts[h.skip].bytes)
		}
		if h.skip < len(g.parts) {
			return
		}
		if h.cache != nil {
			h.cache.drop([]*Block{g.block})
		}
		h.segs[0] = nil
		h.segs, h.skip = h.segs[1:], 0
	}
	o := &h.open
	for len(o.list) > 0 && o.list[0].step == step {
		c := o.list[0]
		o.list[0] = change{}
		o.list = o.list[1:]
		o.rows -= c.rows.N
		h.bytes -= c.bytes
		h.grow(-c.bytes)
	}
}

// Lost returns the step up to which nothing is kept: all changes of later steps are
// there.
func (h *Changes) Lost() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.lost
}

// Span returns the oldest and the newest step that is kept, zeros if none is.
func (h *Changes) Span() (first, last uint64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.steps == 0 {
		return 0, 0
	}
	return h.first(), h.last
}

// Bytes returns about how large the changes are, in memory or not.
func (h *Changes) Bytes() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.bytes
}

// HeldBytes returns about how much memory they hold.
func (h *Changes) HeldBytes() int64 {
	if h.cache == nil {
		return h.Bytes()
	}
	return h.set.held.Load()
}

// Step returns all changes of the first step later than after and not later than
// until, and which step that is; nothing if there is none. The batches are sealed and
// dense. The error is ErrForgotten if changes in between are gone, or ErrDamaged.
func (h *Changes) Step(after, until uint64) ([]*batch.Batch, uint64, error) {
	found, step, err := h.find(after, until)
	if err != nil || len(found) == 0 {
		return nil, 0, err
	}
	out := make([]*batch.Batch, len(found))
	for i, f := range found {
		if out[i], err = f.read(); err != nil {
			return nil, 0, err
		}
	}
	return out, step, nil
}

// foundPart is rows lo to hi-1 of a block, or rows.
type foundPart struct {
	rows   *batch.Batch
	block  *Block
	lo, hi int
}

func (f foundPart) read() (*batch.Batch, error) {
	if f.rows != nil {
		return f.rows, nil
	}
	all, err := f.block.get(pointing)
	switch {
	case err != nil:
		return nil, err
	case f.lo == 0 && f.hi == all.N:
		return all, nil
	case f.lo&63 == 0:
		return batch.Slice(all, f.lo, f.hi), nil
	}
	some := *all
	some.Sel = make([]uint32, 0, f.hi-f.lo)
	for i := f.lo; i < f.hi; i++ {
		some.Sel = append(some.Sel, uint32(i))
	}
	return batch.Copy(&some), nil
}

func (h *Changes) find(after, until uint64) (out []foundPart, step uint64, err error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.lost > after {
		return nil, 0, ErrForgotten
	}
	// What is forgotten of the first segment is not later than lost, so not than after.
	at := sort.Search(len(h.segs), func(i int) bool { return h.segs[i].lastStep() > after })
	for _, g := range h.segs[at:] {
		i := sort.Search(len(g.parts), func(i int) bool { return g.parts[i].step > after })
		if step == 0 {
			if step = g.parts[i].step; step > until {
				return nil, 0, nil
			}
		}
		for ; i < len(g.parts) && g.parts[i].step == step; i++ {
			out = append(out, foundPart{block: g.block, lo: g.from(i), hi: int(g.parts[i].end)})
		}
		if i < len(g.parts) {
			return out, step, nil
		}
	}
	list := h.open.list
	i := sort.Search(len(list), func(i int) bool { return list[i].step > after })
	if i < len(list) && step == 0 {
		if step = list[i].step; step > until {
			return nil, 0, nil
		}
	}
	for ; i < len(list) && list[i].step == step; i++ {
		out = append(out, foundPart{rows: list[i].rows})
	}
	return out, step, nil
}

// Close forgets everything.
func (h *Changes) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.steps > 0 {
		h.drop(h.first())
	}
}
