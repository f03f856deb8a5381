package state

import (
	"fmt"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/tidemill/tidemill/internal/batch"
)

// Cache owns the blocks of spines and changes: which of them are in memory, and which
// leave it when there is too much. It is safe for concurrent use: readers of snapshots
// bring blocks in while owners add and drop them.
type Cache struct {
	// Collect, if not nil, is called before the cache looks which dropped blocks nobody
	// reads any more. With runtime.GC what it finds does not depend on when garbage was
	// collected last. For tests.
	Collect func()

	back   Backing
	codec  Codec
	budget *Budget
	bufs   *sync.Pool // of *[]byte; not within the cache, which the runtime would keep for it
	misses atomic.Int64

	mu      sync.Mutex
	clean   clock   // can leave memory at once
	dirty   clock   // blocks that have to be spilled first
	dead    []grave // dropped blocks that are not in memory and that somebody may still read
	swept   int     // how many of them lived when they were looked at last
	bytes   int64   // in memory
	spills  int64
	evicted int64
	failed  error // why the last spill failed; nil if it did not
	closed  bool
	fixed   int64 // bytes in memory that are not blocks, and stay
}

// grave is a dropped block that is outside of memory only.
type grave struct {
	block weak.Pointer[Block]
	loc   Loc
}

// cached is what the cache knows of something in memory.
type cached struct {
	used atomic.Bool // since the hand came by
	slot int         // 1 + index in its clock; 0: in none
	size int64       // bytes, in memory
}

func (c *cached) touch() {
	if !c.used.Load() {
		c.used.Store(true)
	}
}

func (c *cached) entry() *cached { return c }

// item is something that can leave memory.
type item interface {
	entry() *cached
	unload()
	held() *atomic.Int64 // where its owner counts bytes in memory
}

// clock is a list of items with a hand that goes round.
type clock struct {
	items []item
	hand  int
}

func (k *clock) add(it item) {
	k.items = append(k.items, it)
	it.entry().slot = len(k.items)
}

func (k *clock) remove(it item) {
	at, last := it.entry().slot-1, len(k.items)-1
	k.items[at] = k.items[last]
	k.items[at].entry().slot = at + 1
	k.items[last] = nil
	k.items = k.items[:last]
	it.entry().slot = 0
}

// next moves the hand on. The clock is not empty.
func (k *clock) next() item {
	if k.hand >= len(k.items) {
		k.hand = 0
	}
	k.hand++
	return k.items[k.hand-1]
}

// NewCache returns a cache over back, whose blocks codec writes, and which shares
// budget.
func NewCache(back Backing, codec Codec, budget *Budget) *Cache {
	bufs := &sync.Pool{New: func() any { return new([]byte) }}
	return &Cache{back: back, codec: codec, budget: budget, bufs: bufs}
}

// CacheStats says how a cache is doing.
type CacheStats struct {
	HeldBytes int64 // in memory
	Blocks    int   // in memory
	Misses    int64 // blocks read from the Backing
	Evicted   int64
	Spilled   int64 // of them those that had to be written first
	Dropped   int   // blocks kept for readers of old snapshots alone
	SpillErr  error // why memory could not be made, nil if it could
}

// Stats returns how the cache is doing.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{HeldBytes: c.bytes + c.fixed, Blocks: len(c.clean.items) + len(c.dirty.items), Misses: c.misses.Load(),
		Evicted: c.evicted, Spilled: c.spills, Dropped: len(c.dead), SpillErr: c.failed}
}

// hold counts bytes in memory; c.mu is held.
func (c *Cache) hold(it item, n int64) {
	c.bytes += n
	c.budget.Add(n)
	it.held().Add(n)
}

// fix counts bytes of a set that stay in memory, fewer if n is negative.
func (c *Cache) fix(s *blockSet, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.fixed += n
		c.budget.Add(n)
		s.held.Add(n)
	}
}

// insert takes a new block, which is nowhere but in memory.
func (c *Cache) insert(b *Block, hot bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	b.used.Store(hot)
	c.dirty.add(b)
	c.hold(b, b.size)
}

// Rest makes room if too much is in memory. Owners of spines call it between steps; it
// costs little if there is enough room, and may write to the Backing if not.
func (c *Cache) Rest() {
	if c != nil {
		c.evict(0, true)
	}
}

// evict lets go of this cache's share of what is too much, and of at least so many
// bytes of it.
func (c *Cache) evict(least int64, spill bool) {
	over := c.budget.Over()
	if over == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	used := max(c.budget.Used(), 1)
	need := int64(float64(over)*float64(c.bytes)/float64(used)) + c.bytes/64
	need = max(need, min(over, least))
	for _, force := range []bool{false, true} {
		need = c.sweep(&c.clean, need, force)
		if spill {
			need = c.sweep(&c.dirty, need, force)
		}
	}
}

// sweep goes round a clock once, until so many bytes have left memory, and returns how
// many are missing. Unless force what was used since stays. c.mu is held, but not while
// a block is written.
func (c *Cache) sweep(k *clock, need int64, force bool) int64 {
	for n := len(k.items); n > 0 && need > 0 && len(k.items) > 0; n-- {
		it := k.next()
		e := it.entry()
		if e.used.Load() && !force {
			e.used.Store(false)
			continue
		}
		if k == &c.clean {
			k.remove(it)
		} else if !c.spill(it.(*Block)) {
			if c.failed != nil {
				return need
			}
			continue
		}
		it.unload()
		c.hold(it, -e.size)
		c.evicted++
		need -= e.size
	}
	return need
}

// spill writes a block to scratch and takes it out of the clock; c.mu is held but for
// the writing. It reports whether the block may leave memory.
func (c *Cache) spill(b *Block) bool {
	c.dirty.remove(b)
	b.busy = true
	rows := b.rows.Load()
	c.mu.Unlock()
	p := &place{fence: b.set.newFence(rows), filter: b.set.newFilter(rows)}
	buf := c.bufs.Get().(*[]byte)
	*buf = c.codec.AppendBatch((*buf)[:0], rows)
	var err error
	p.loc, err = c.back.Spill(b.owner(), *buf)
	c.bufs.Put(buf)
	c.mu.Lock()
	b.busy = false
	if c.failed = err; err != nil {
		c.failed = fmt.Errorf("make room in memory: %w", err)
		if !b.dead && !c.closed {
			c.dirty.add(b)
		}
		return false
	}
	c.spills++
	switch {
	case b.dead || c.closed: // it stays in memory, for those who have it
		c.back.Unspill(p.loc)
		return false
	case b.at.Load() != nil: // a checkpoint was faster
		c.back.Unspill(p.loc)
	default:
		b.at.Store(p)
	}
	return true
}

// load reads a block that is not in memory.
func (c *Cache) load(b *Block, how reading) (*batch.Batch, error) {
	buf := c.bufs.Get().(*[]byte)
	defer c.bufs.Put(buf)
	for range maxMoves {
		raw, _, ok, err := b.raw((*buf)[:0])
		if err != nil {
			return nil, err
		}
		if !ok {
			if rows := b.rows.Load(); rows != nil {
				return rows, nil
			}
			continue
		}
		*buf = raw
		rows, err := b.set.decode(raw, b.n)
		if err != nil {
			return nil, err
		}
		c.misses.Add(1)
		return c.admit(b, rows, how), nil
	}
	return nil, fmt.Errorf("read a block of %d rows: it has come and gone %d times", b.n, maxMoves)
}

// admit keeps rows that were read in memory, unless they are not needed again, and
// returns them or those that somebody else has read meanwhile.
func (c *Cache) admit(b *Block, rows *batch.Batch, how reading) *batch.Batch {
	size := rows.SizeBytes()
	if how == passing || how == scanning && c.budget.Used()+size > c.budget.Limit() {
		return rows
	}
	c.mu.Lock()
	if other := b.rows.Load(); other != nil || b.dead || c.closed {
		c.mu.Unlock()
		if other != nil {
			return other
		}
		return rows
	}
	b.size = size
	b.rows.Store(rows)
	b.used.Store(how == pointing)
	c.clean.add(b)
	c.hold(b, size)
	c.mu.Unlock()
	c.evict(size, false)
	return rows
}

// drop says that nothing but snapshots has blocks any more. Those in memory stay there
// for them, and are not counted; the others stay where they are until nobody has them.
func (c *Cache) drop(blocks []*Block) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range blocks {
		if b.dead || c.closed {
			continue
		}
		b.dead = true
		p := b.at.Load()
		if b.rows.Load() == nil {
			c.dead = append(c.dead, grave{weak.Make(b), p.loc})
			b.grave = len(c.dead)
			continue
		}
		switch {
		case b.busy:
		case p == nil:
			c.dirty.remove(b)
		default:
			c.clean.remove(b)
			if p.loc.Pack == ScratchPack {
				b.at.Store(nil)
				c.back.Unspill(p.loc)
			}
		}
		c.hold(b, -b.size)
	}
	if len(c.dead) > 2*c.swept+minDead {
		c.bury()
	}
}

// minDead is how many dropped blocks there may be without a look at them.
const minDead = 64

// bury forgets the dropped blocks that nobody has any more. c.mu is held.
func (c *Cache) bury() {
	left := c.dead[:0]
	for _, g := range c.dead {
		b := g.block.Value()
		if b == nil {
			if g.loc.Pack == ScratchPack {
				c.back.Unspill(g.loc)
			}
			continue
		}
		left = append(left, g)
		b.grave = len(left)
	}
	clear(c.dead[len(left):])
	c.dead, c.swept = left, len(left)
}

// Dropped returns where the blocks are that only readers of old snapshots still have,
// as of the last complete checkpoint. Whoever freezes the state asks for it then, and
// has the checkpoint keep them.
func (c *Cache) Dropped() []Loc {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	collect := c.Collect != nil && len(c.dead) > 0
	c.mu.Unlock()
	if collect {
		c.Collect()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bury()
	var out []Loc
	for _, g := range c.dead {
		if g.loc.Pack != ScratchPack {
			out = append(out, g.loc)
		}
	}
	return out
}

// settle makes p the place of b, of which a complete checkpoint has a record.
func (c *Cache) settle(b *Block, p *place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := b.at.Load()
	b.at.Store(p)
	if b.grave > 0 && b.rows.Load() == nil {
		c.dead[b.grave-1].loc = p.loc
	}
	if old == nil && !b.dead && !b.busy && !c.closed {
		c.dirty.remove(b)
		c.clean.add(b)
	}
	if old != nil && old.loc.Pack == ScratchPack && !c.closed {
		c.back.Unspill(old.loc)
	}
}

// Close gives the memory back to the budget. The Backing is not used any more but by
// readers of snapshots.
func (c *Cache) Close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range []*clock{&c.clean, &c.dirty} {
		for _, it := range k.items {
			it.entry().slot = 0
		}
		*k = clock{}
	}
	c.closed = true
	c.budget.Add(-c.bytes - c.fixed)
	c.bytes, c.fixed, c.dead = 0, 0, nil
}

// filters are the filters of the blocks of a directory, which are read when a lookup
// first needs one.
type filters struct {
	set  *blockSet
	num  uint64
	n    int // blocks
	loc  Loc
	list atomic.Pointer[[]bloom]
	cached
	dead bool // guarded by the cache's mutex
}

func (f *filters) unload() { f.list.Store(nil) }

func (f *filters) held() *atomic.Int64 { return &f.set.held }

func (f *filters) owner() uint64 { return f.set.recordOwner(f.num | filterOwner) }

// get returns the filter of block i.
func (f *filters) get(i int) (bloom, error) {
	if l := f.list.Load(); l != nil {
		f.touch()
		return (*l)[i], nil
	}
	c := f.set.cache
	raw, err := c.back.Read(f.loc, f.owner(), nil)
	if err != nil {
		return nil, err
	}
	list, size := make([]bloom, f.n), int64(len(raw))
	for k := range list {
		if list[k], raw, err = readBloom(raw); err != nil {
			return nil, err
		}
	}
	if len(raw) > 0 {
		return nil, fmt.Errorf("%w: filters of %d blocks with %d bytes too many", ErrDamaged, f.n, len(raw))
	}
	c.mu.Lock()
	if f.list.Load() == nil && !f.dead && !c.closed {
		f.list.Store(&list)
		f.used.Store(true)
		f.size = size
		c.clean.add(f)
		c.hold(f, size)
	}
	c.mu.Unlock()
	c.evict(size, false)
	return list[i], nil
}

// dropFilters forgets filters that belong to no run any more.
func (c *Cache) dropFilters(f *filters) {
	if c == nil || f == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.dead = true
	if f.slot > 0 {
		c.clean.remove(f)
		c.hold(f, -f.size)
		f.unload()
	}
}

// isDead reports whether only snapshots have b.
func (c *Cache) isDead(b *Block) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return b.dead
}
