package flow

import (
	"encoding/binary"
	"fmt"

	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/state"
)

// matchSearch is a search and where it started.
type matchSearch struct {
	pattern.Search
	start  int64
	serial int64     // no other search of this operator has it in this process
	tallys []tallyAt // by slot, of those that are totals of some variables

	changed bool // since it was saved
}

// tallyAt is where the search left the tally of a slot: see matcher.total.
type tallyAt struct {
	known bool
	gen   int
	hist  int32
}

// searchBytes is about what a search takes besides its lists.
const searchBytes = 300

func (s *matchSearch) size() int64 { return s.Bytes() + searchBytes + int64(cap(s.tallys))*16 }

// openSearches keeps the searches that are open between steps, by partition: as strings,
// many also as they are, in slots. A partition knows its string, which is right unless
// its search has changed, and its slot. A slot that names another partition is not
// its own any more; after a restart all are empty.
type openSearches struct {
	mem   *state.Memory
	parts *partStore
	texts *state.Arena
	slots []hotSearch
	free  []uint32 // empty slots
	hand  int      // the slot that is emptied next
	bytes int64    // of slots
	limit int64
	buf   []byte
}

// hotSearch is a partition and its open search.
type hotSearch struct {
	g      uint32
	search *matchSearch // nil: the slot is empty
}

// hotSearchBytes is how much memory the searches of an operator may have besides their
// strings; where memory is short, 1/hotSearchShare of it.
const (
	hotSearchBytes = 64 << 20
	hotSearchShare = 32
)

func newOpenSearches(mem *state.Memory, parts *partStore) *openSearches {
	return &openSearches{mem: mem, parts: parts, texts: state.NewArena(mem), limit: min(hotSearchBytes, mem.Limit()/hotSearchShare)}
}

func (o *openSearches) persist(p *state.Persist) {
	if !p.Loading() {
		for _, h := range o.slots {
			if h.search != nil {
				o.save(h)
			}
		}
	}
	o.texts.Persist(p)
}

// size is the memory that they take.
func (o *openSearches) size() int64 { return o.bytes + o.texts.Bytes() + int64(cap(o.slots))*16 }

// find returns the search in a slot of partition g, nil if it is not there.
func (o *openSearches) find(g uint32, slot uint64) *matchSearch {
	if slot == 0 || slot > uint64(len(o.slots)) || o.slots[slot-1].g != g {
		return nil
	}
	return o.slots[slot-1].search
}

// take returns the open search of a partition that was loaded, and keeps it as a string
// only.
func (o *openSearches) take(m *matcher, p *matchPart) *matchSearch {
	if s := o.find(p.g, p.slot); s != nil {
		o.empty(uint32(p.slot - 1))
		return s
	}
	s := m.newSearch()
	if err := s.load(m, o.texts.Get(p.saved)); err != nil {
		panic(&state.FaultError{Err: fmt.Errorf("%w: %w", state.ErrDamaged, err)})
	}
	return s
}

// empty takes the search out of a slot.
func (o *openSearches) empty(slot uint32) {
	h := &o.slots[slot]
	o.account(-h.search.size())
	h.search = nil
	o.free = append(o.free, slot)
}

func (o *openSearches) account(bytes int64) {
	o.bytes += bytes
	o.mem.Hold(bytes)
}

// put gives the search of a partition a slot. Shrink is called when no partition is
// loaded any more.
func (o *openSearches) put(p *matchPart) {
	slot := uint32(len(o.slots))
	if n := len(o.free); n > 0 {
		slot, o.free = o.free[n-1], o.free[:n-1]
	} else {
		o.slots = append(o.slots, hotSearch{})
	}
	o.slots[slot] = hotSearch{p.g, p.search}
	o.account(p.search.size())
	p.slot = uint64(slot) + 1
}

// shrink empties slots until what they take is within the limit.
func (o *openSearches) shrink(m *matcher) {
	for o.bytes > o.limit {
		if o.hand++; o.hand >= len(o.slots) {
			o.hand = 0
		}
		if h := o.slots[o.hand]; h.search != nil {
			o.save(h)
			o.empty(uint32(o.hand))
			m.spareSearch(h.search)
		}
	}
}

// over forgets the search of a partition, which is not open any more.
func (o *openSearches) over(p *matchPart) {
	o.texts.Release(p.saved)
	p.saved = 0
}

// save brings the string of a search up to date. No partition is loaded.
func (o *openSearches) save(h hotSearch) {
	if !h.search.changed {
		return
	}
	o.buf = h.search.save(o.buf[:0])
	w := o.parts.edit(h.g)
	o.texts.Release(w[partSaved])
	w[partSaved] = o.texts.Put(o.buf)
	h.search.changed = false
}

// save appends a search.
func (s *matchSearch) save(dst []byte) []byte {
	dst = s.Search.Save(dst)
	dst = binary.AppendVarint(dst, s.start)
	for _, t := range s.tallys {
		known := int64(0)
		if t.known {
			known = 1
		}
		dst = binary.AppendVarint(dst, known)
		dst = binary.AppendVarint(dst, int64(t.gen))
		dst = binary.AppendVarint(dst, int64(t.hist))
	}
	return dst
}

// load makes s the search that was saved. Its tallys are of the right number.
func (s *matchSearch) load(m *matcher, data []byte) error {
	rest, err := m.mach.Load(&s.Search, data)
	if err != nil {
		return err
	}
	number := func() int64 {
		v, n := binary.Varint(rest)
		if n <= 0 {
			err = pattern.ErrSaved
			return 0
		}
		rest = rest[n:]
		return v
	}
	s.start = number()
	for i := range s.tallys {
		s.tallys[i] = tallyAt{number() != 0, int(number()), int32(number())}
	}
	if err == nil && len(rest) > 0 {
		err = pattern.ErrSaved
	}
	return err
}
