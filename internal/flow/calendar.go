package flow

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// calendar tells which of an operator's rows or groups have a time below a mark,
// without looking at the others. Entries are numbers that mean something to the
// operator; they are put down under their time, coarsely, and come back once. An
// operator that reuses numbers must look at the entry's real time when it comes
// back: it may be another's by then, which has an entry of its own.
//
// The entries of a day are in a list of chunks. Its first one, by which the day is
// known, has the day's number and the last chunk; it is found by the day's hash, and
// in a heap by time.
//
// Cost: a look into an index for each entry whose day is not that of the one before;
// about 10 bytes an entry, at least 64 a day.
type calendar struct {
	width  int64        // of a day, in the units of the times; a power of two would do as well
	chunks *state.Pages // of calWords words
	byDay  *state.Index // first chunks by day
	heap   *state.Pages // day, first chunk: those that have entries, a heap by time
	count  uint32       // of days
	next   uint32       // lowest chunk never given out
	free   uint32       // a list through the chunks' last words
	n      int64        // entries

	// As long as days come in a row, what add needs to know: the day, its first chunk
	// (0: not known), its last one.
	last         int64
	first, chunk uint32
}

// A chunk is the number of the next one and entries, but the first of a day begins
// with that day.
const (
	calNext  = 0 // the next chunk<<32 | in a first chunk, the last one
	calMore  = 1 // the first entry of other chunks
	calCount = 1 // of first chunks: entries of the day
	calDay   = 2
	calHead  = 3 // the first entry
	calWords = 8
)

// Entries in chunks.
const (
	inFirst = calWords - calHead
	inMore  = calWords - calMore
)

// newCalendar returns a calendar whose entries come back up to width late.
func newCalendar(mem *state.Memory, width int64) *calendar {
	return &calendar{
		width: max(width, 1), next: 1,
		chunks: state.NewPages(mem, calWords), byDay: state.NewIndex(mem), heap: state.NewPages(mem, 2),
	}
}

func (c *calendar) persist(p *state.Persist) {
	state.Num(p, &c.width)
	state.Num(p, &c.count)
	state.Num(p, &c.next)
	state.Num(p, &c.free)
	state.Num(p, &c.n)
	p.Pages(c.chunks)
	c.byDay.Persist(p)
	p.Pages(c.heap)
	if p.Loading() && p.Err() == nil && (c.width < 1 || int64(c.count) > int64(c.heap.Cap()) || c.next == 0 || int64(c.next) > int64(max(c.chunks.Cap(), 1)) || c.free >= c.next) {
		p.Fail(fmt.Errorf("%w: a calendar of %d days of %d with %d chunks in room for %d", state.ErrDamaged, c.count, c.width, c.next, c.chunks.Cap()))
	}
}

// persistCalendar names a calendar that may not be there yet.
func persistCalendar(p *state.Persist, mem *state.Memory, c **calendar) {
	is := *c != nil
	p.Bool(&is)
	if !is {
		*c = nil
		return
	}
	if *c == nil {
		*c = newCalendar(mem, 1)
	}
	(*c).persist(p)
}

// bytes is the memory that it takes.
func (c *calendar) bytes() int64 { return c.chunks.Bytes() + c.byDay.Bytes() + c.heap.Bytes() }

// days returns how many days have entries.
func (c *calendar) days() int { return int(c.count) }

// floorDiv divides rounding down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// add puts entry x down under time t.
func (c *calendar) add(t int64, x uint64) {
	day := floorDiv(t, c.width)
	if c.first == 0 || day != c.last {
		c.turn(day)
	}
	head := c.chunks.Edit(c.first)
	k := head[calCount]
	head[calCount]++
	c.n++
	if k < inFirst {
		head[calHead+k] = x
		return
	}
	k = (k - inFirst) % inMore
	if k == 0 {
		id := c.alloc()
		c.chunks.Edit(c.chunk)[calNext] |= uint64(id) << 32
		head[calNext] = head[calNext]&^(1<<32-1) | uint64(id)
		c.chunk = id
	}
	c.chunks.Edit(c.chunk)[calMore+k] = x
}

// turn makes day the one that add adds to.
func (c *calendar) turn(day int64) {
	c.last = day
	hash := types.HashInt(day)
	p := c.byDay.Probe(hash)
	for id := p.Next(); id != 0; id = p.Next() {
		if w := c.chunks.At(id); int64(w[calDay]) == day {
			c.first, c.chunk = id, uint32(w[calNext])
			return
		}
	}
	id := c.alloc()
	w := c.chunks.Edit(id)
	w[calNext], w[calDay] = uint64(id), uint64(day)
	c.byDay.Add(hash, id)
	c.push(day, id)
	c.first, c.chunk = id, id
}

// alloc returns a chunk of zeros.
func (c *calendar) alloc() uint32 {
	id := c.free
	if id == 0 {
		id = c.next
		if id == math.MaxUint32 {
			panic("flow: too many entries in a calendar")
		}
		c.next++
		c.chunks.Grow(int(id) + 1)
		return id
	}
	w := c.chunks.Edit(id)
	c.free = uint32(w[0])
	clear(w)
	return id
}

// due calls fn for the entries of all days that are over at mark m: every time of
// theirs is below m. Entries of one day come in the order they were put down, days
// in the order of time. fn may add entries for later days only. The calendar holds no
// words while fn works.
func (c *calendar) due(m int64, fn func(x uint64)) {
	if m == NoMark {
		return
	}
	end := floorDiv(m, c.width) // the first day that is not over
	if m == FinalMark {
		end = math.MaxInt64
	}
	for c.count > 0 && c.top() < end {
		day, id := c.pop()
		c.byDay.Remove(types.HashInt(day), id)
		if c.first == id {
			c.first = 0
		}
		c.empty(id, fn)
	}
}

// empty calls fn for the entries of the day with first chunk id, which is not in the
// calendar any more, and frees its chunks.
func (c *calendar) empty(id uint32, fn func(x uint64)) {
	n := c.chunks.At(id)[calCount]
	c.n -= int64(n)
	for from := calHead; n > 0; from = calMore {
		var entries [calWords]uint64
		w := c.chunks.Edit(id)
		k := copy(entries[:min(n, uint64(calWords-from))], w[from:])
		next := uint32(w[calNext] >> 32)
		w[0] = uint64(c.free)
		c.free, id = id, next
		n -= uint64(k)
		for _, x := range entries[:k] {
			fn(x)
		}
	}
}

// pending reports whether due(m) would call anything.
func (c *calendar) pending(m int64) bool {
	return m != NoMark && c.count > 0 && (m == FinalMark || c.top() < floorDiv(m, c.width))
}

// begins returns the time at which the earliest day begins; false if there is none.
func (c *calendar) begins() (int64, bool) {
	if c.count == 0 {
		return 0, false
	}
	return c.top() * c.width, true
}

// top returns the first day, if there is one.
func (c *calendar) top() int64 { return int64(c.heap.At(0)[0]) }

func (c *calendar) put(at uint32, day int64, id uint32) {
	w := c.heap.Edit(at)
	w[0], w[1] = uint64(day), uint64(id)
}

// push enters a day with its first chunk into the heap.
func (c *calendar) push(day int64, id uint32) {
	at := c.count
	c.count++
	c.heap.Grow(int(c.count))
	for at > 0 {
		up := c.heap.At((at - 1) / 2)
		if int64(up[0]) <= day {
			break
		}
		c.put(at, int64(up[0]), uint32(up[1]))
		at = (at - 1) / 2
	}
	c.put(at, day, id)
}

// pop takes the first day out of the heap.
func (c *calendar) pop() (int64, uint32) {
	w := c.heap.At(0)
	day, id := int64(w[0]), uint32(w[1])
	c.count--
	n := c.count
	last := c.heap.At(n)
	x, xid := int64(last[0]), uint32(last[1])
	for at := uint32(0); n > 0; {
		child := 2*at + 1
		if child+1 < n && int64(c.heap.At(child + 1)[0]) < int64(c.heap.At(child)[0]) {
			child++
		}
		if child >= n || int64(c.heap.At(child)[0]) >= x {
			c.put(at, x, xid)
			break
		}
		low := c.heap.At(child)
		c.put(at, int64(low[0]), uint32(low[1]))
		at = child
	}
	return day, id
}
