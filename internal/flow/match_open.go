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

	// In openSearches:
	changed bool   // since it was saved
	turn    uint64 // of queue
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
// those used last also as they are.
type openSearches struct {
	parts *partStore
	texts *state.Arena
	hot   map[uint32]*matchSearch // whose partitions have a word of what was saved, which is right unless changed
	queue []hotSearch             // in the order in which they were put; some are gone
	first int                     // of queue that is not over
	turns uint64
	bytes int64 // of hot
	limit int64 // of bytes
	buf   []byte
}

type hotSearch struct {
	g    uint32
	turn uint64
}

// hotSearchBytes is how much memory the searches of an operator may have besides their
// strings; where memory is short, 1/hotSearchShare of it.
const (
	hotSearchBytes = 8 << 20
	hotSearchShare = 64
)

func newOpenSearches(mem *state.Memory, parts *partStore) *openSearches {
	return &openSearches{parts: parts, texts: state.NewArena(mem), hot: map[uint32]*matchSearch{},
		limit: min(hotSearchBytes, mem.Limit()/hotSearchShare)}
}

func (o *openSearches) persist(p *state.Persist) {
	if !p.Loading() {
		for _, q := range o.queue[o.first:] {
			if s := o.hot[q.g]; s != nil && s.turn == q.turn {
				o.save(q.g, s)
			}
		}
	}
	o.texts.Persist(p)
}

// size is the memory that they take.
func (o *openSearches) size() int64 { return o.bytes + o.texts.Bytes() + int64(cap(o.queue))*16 }

// take returns the open search of a partition that was loaded, and keeps it as a string
// only.
func (o *openSearches) take(m *matcher, p *matchPart) *matchSearch {
	s := o.hot[p.g]
	if s != nil {
		delete(o.hot, p.g)
		o.bytes -= s.size()
		return s
	}
	s = m.newSearch()
	if err := s.load(m, o.texts.Get(p.saved)); err != nil {
		panic(&state.FaultError{Err: fmt.Errorf("%w: %w", state.ErrDamaged, err)})
	}
	return s
}

// put keeps the open search of partition g, which is not loaded.
func (o *openSearches) put(m *matcher, g uint32, s *matchSearch) {
	o.turns++
	s.turn = o.turns
	o.hot[g] = s
	o.bytes += s.size()
	o.queue = append(o.queue, hotSearch{g, s.turn})
	for o.bytes > o.limit && len(o.hot) > 1 {
		q := o.queue[o.first]
		o.first++
		if s := o.hot[q.g]; s != nil && s.turn == q.turn {
			o.save(q.g, s)
			delete(o.hot, q.g)
			o.bytes -= s.size()
			m.spareSearch(s)
		}
	}
	if o.first > len(o.queue)/2 || len(o.queue)-o.first > 2*len(o.hot)+1024 {
		o.tidy()
	}
}

// tidy takes those that are gone out of the queue.
func (o *openSearches) tidy() {
	kept := o.queue[:0]
	for _, q := range o.queue[o.first:] {
		if s := o.hot[q.g]; s != nil && s.turn == q.turn {
			kept = append(kept, q)
		}
	}
	o.queue, o.first = kept, 0
}

// over forgets the search of a partition, which is not open any more.
func (o *openSearches) over(p *matchPart) {
	o.texts.Release(p.saved)
	p.saved = 0
}

// save brings the string of the search of partition g up to date. The partition is not
// loaded.
func (o *openSearches) save(g uint32, s *matchSearch) {
	if !s.changed {
		return
	}
	o.buf = s.save(o.buf[:0])
	w := o.parts.edit(g)
	o.texts.Release(w[partSaved])
	w[partSaved] = o.texts.Put(o.buf)
	s.changed = false
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
