package state

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
)

// ErrDamaged says that what was read is not what was written.
var ErrDamaged = errors.New("damaged")

// Budget bounds the memory of all that shares it. It is safe for concurrent use.
type Budget struct {
	limit atomic.Int64
	used  atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.limit.Store(bytes)
	return b
}

// Limit returns the bytes there may be.
func (b *Budget) Limit() int64 { return b.limit.Load() }

// Used returns the bytes in memory.
func (b *Budget) Used() int64 { return b.used.Load() }

// Add notes n more bytes in memory, fewer if n is negative.
func (b *Budget) Add(n int64) { b.used.Add(n) }

// Over returns how many bytes are too many, 0 if none are.
func (b *Budget) Over() int64 { return max(0, b.used.Load()-b.limit.Load()) }

// Memory owns the arrays of a circuit on one worker: what is in memory of them, what
// has to be written by the next checkpoint, and what may leave.
//
// One goroutine at a time uses a Memory and its arrays; the writer of a checkpoint
// works beside it on a Frozen.
type Memory struct {
	// Check makes every freeze look for what was written without saying so, at the
	// price of a copy of everything. For tests.
	Check bool

	owner  uint64 // its name in records, high bits
	back   Backing
	budget *Budget
	arrays []*Pages
	nextID uint64
	held   int64 // bytes in memory, cooling pages too
	extra  int64 // of these, by Hold
	faults int64
	frozen *Frozen // not complete yet
	buf    []byte  // scratch

	cooling []coolPage // unlinked, oldest first
	first   int        // of cooling that is not over
	cooled  int64      // bytes in it
	hand    struct{ array, page int }
	spare   map[int][][]uint64 // by words: pages to use again
}

// coolPage is a page on its way out of memory.
type coolPage struct {
	p   *Pages
	n   uint32
	buf []uint64 // nil: it came back, or is gone
}

// spillOverdraft is how many times the budget may be used while there is no room on the
// disk for what should leave memory: a full disk is a state that passes.
const spillOverdraft = 2

// maxSpare is how many pages of one size are kept for use.
const maxSpare = 64

// coolShare is the part of memory that is cooling when memory is short: 1/coolShare.
const coolShare = 10

// NewMemory returns a memory. owner names it among all whose records back keeps; it
// uses the high 48 bits. back may be nil: then nothing leaves memory, nor can be
// frozen. budget may be nil: no bound.
func NewMemory(owner uint64, back Backing, budget *Budget) *Memory {
	return &Memory{owner: owner << 16, back: back, budget: budget, spare: map[int][][]uint64{}}
}

// adopt makes p one of m's arrays.
func (m *Memory) adopt(p *Pages) {
	m.nextID++
	p.mem, p.id = m, m.nextID
	m.arrays = append(m.arrays, p)
}

// Release forgets an array that is not used any more.
func (m *Memory) Release(p *Pages) {
	p.Reset()
	if i := slices.Index(m.arrays, p); i >= 0 {
		m.arrays = slices.Delete(m.arrays, i, i+1)
	}
}

// Close gives all memory back. The arrays are not to be used any more.
func (m *Memory) Close() {
	for _, p := range m.arrays {
		p.Reset()
	}
	m.arrays, m.cooling, m.spare = nil, nil, nil
	m.hold(-m.extra)
	m.extra = 0
}

// Held returns the bytes in memory.
func (m *Memory) Held() int64 { return m.held }

// Limit returns how many bytes all that share the budget may have in memory,
// math.MaxInt64 if there is no bound.
func (m *Memory) Limit() int64 {
	if m.budget == nil {
		return math.MaxInt64
	}
	return m.budget.Limit()
}

// Size returns the bytes of all arrays, in memory or not.
func (m *Memory) Size() int64 {
	n := int64(0)
	for _, p := range m.arrays {
		n += p.Bytes()
	}
	return n
}

// Faults returns how many pages have been read back.
func (m *Memory) Faults() int64 { return m.faults }

// Hold notes n more bytes that an operator has in memory beside its arrays, fewer if n
// is negative.
func (m *Memory) Hold(n int64) {
	m.extra += n
	m.hold(n)
}

func (m *Memory) hold(bytes int64) {
	m.held += bytes
	if m.budget != nil {
		m.budget.Add(bytes)
	}
}

// take returns a page of zeros.
func (m *Memory) take(words int) []uint64 {
	m.hold(int64(words) * 8)
	if list := m.spare[words]; len(list) > 0 {
		pg := list[len(list)-1]
		m.spare[words] = list[:len(list)-1]
		clear(pg)
		return pg
	}
	return make([]uint64, words)
}

// roomy reports whether there is plenty of memory, and no page to use again.
func (m *Memory) roomy(words int) bool {
	return len(m.spare[words]) == 0 && (m.budget == nil || m.budget.Used() < m.budget.Limit()/slabPart)
}

// keep takes a page that nobody uses any more, for take.
func (m *Memory) keep(pg []uint64) {
	if list := m.spare[len(pg)]; len(list) < maxSpare && m.spare != nil {
		m.spare[len(pg)] = append(list, pg)
	}
}

// FaultError is what a Pages panics with when a page cannot be read back; whoever
// drives the operators recovers it.
type FaultError struct{ Err error }

func (e *FaultError) Error() string { return "read state back: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FaultError) Unwrap() error { return e.Err }

// load reads the lines of the record at l into page pg of p.
func (m *Memory) load(p *Pages, pg []uint64, l Loc) {
	rec, err := m.back.Read(l, m.owner|p.id, m.buf[:0])
	if err == nil {
		m.buf = rec
		err = p.readLines(pg, rec)
	}
	if err != nil {
		panic(&FaultError{err})
	}
}

func (m *Memory) unspill(l Loc) {
	if !l.None() {
		m.back.Unspill(l)
	}
}

// Rest says that nobody holds a slice of a page: pages may leave memory if there is
// too much of it. It costs little if there is not.
func (m *Memory) Rest() {
	if m.budget == nil || m.back == nil {
		return
	}
	over := m.budget.Over()
	if over == 0 {
		return
	}
	// Each owner gives up its share, and a little more so that it is not asked again
	// at once.
	used := m.budget.Used()
	need := int64(float64(over) * float64(m.held) / float64(max(used, 1)))
	need += m.held / 64
	m.coolDown(max(need, m.held/coolShare))
	m.evict(need)
}

// coolDown unlinks pages until so many bytes are cooling.
func (m *Memory) coolDown(want int64) {
	for _, written := range []bool{false, true} {
		pages := 0
		for _, p := range m.arrays {
			pages += len(p.pages)
		}
		for ; pages > 0 && m.cooled < want; pages-- {
			p, n := m.next()
			if p.pages[n] == nil || p.meta[n].frozen != nil || !written && p.meta[n].mask != 0 {
				continue
			}
			m.cooling = append(m.cooling, coolPage{p, n, p.pages[n]})
			p.outside(n).cool = len(m.cooling)
			p.set(n, nil)
			m.cooled += int64(p.words) * 8
		}
	}
}

// next moves the hand to the next page of all arrays.
func (m *Memory) next() (*Pages, uint32) {
	h := &m.hand
	for {
		if h.array >= len(m.arrays) {
			h.array, h.page = 0, -1
		}
		if h.page++; h.page < len(m.arrays[h.array].pages) {
			return m.arrays[h.array], uint32(h.page)
		}
		h.array, h.page = h.array+1, -1
	}
}

// evict lets the oldest cooling pages go until so many bytes have.
func (m *Memory) evict(need int64) {
	for ; need > 0 && m.first < len(m.cooling); m.first++ {
		c := m.cooling[m.first]
		m.cooling[m.first] = coolPage{}
		if c.buf == nil {
			continue
		}
		bytes := int64(c.p.words) * 8
		if c.p.meta[c.n].mask != 0 {
			m.buf = c.p.appendLines(m.buf[:0], c.buf, c.p.filled(c.buf))
			l, err := m.back.Spill(m.owner|c.p.id, m.buf)
			if err != nil {
				if m.budget.Used() > spillOverdraft*m.budget.Limit() {
					panic(&FaultError{fmt.Errorf("make room in memory: %w", err)})
				}
				c.p.set(c.n, c.buf) // it stays, and is tried again
				c.p.out[c.n].cool = 0
				m.cooled -= bytes
				need -= bytes // or all others would be tried as well
				continue
			}
			c.p.out[c.n].spill = l
		}
		c.p.out[c.n].cool = 0
		m.cooled -= bytes
		m.hold(-bytes)
		m.keep(c.buf)
		need -= bytes
	}
	if m.first > len(m.cooling)/2 {
		n := copy(m.cooling, m.cooling[m.first:])
		m.cooling = m.cooling[:n]
		m.first = 0
		for i, c := range m.cooling {
			if c.buf != nil {
				c.p.out[c.n].cool = i + 1
			}
		}
	}
}
