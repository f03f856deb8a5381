package flow

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/state"
)

// slab hands out rows of words by number, from 1 on, and takes them back.
type slab struct {
	pages *state.Pages
	next  uint32 // lowest number never given out
	free  uint32 // a list through the rows' first words
	n     uint32 // in use
}

func newSlab(mem *state.Memory, words int) slab {
	return slab{pages: state.NewPages(mem, words), next: 1}
}

func (s *slab) persist(p *state.Persist) {
	state.Num(p, &s.next)
	state.Num(p, &s.free)
	state.Num(p, &s.n)
	p.Pages(s.pages)
	if p.Loading() && p.Err() == nil && (s.next == 0 || s.free >= s.next || s.n >= s.next || s.next > 1 && int64(s.next) > int64(s.pages.Cap())) {
		p.Fail(fmt.Errorf("%w: %d of %d rows in use, the first free one is %d, in room for %d", state.ErrDamaged, s.n, s.next, s.free, s.pages.Cap()))
	}
}

func (s *slab) bytes() int64 { return s.pages.Bytes() }

// at returns the words of a row for reading, edit for reading and writing.
func (s *slab) at(id uint32) []uint64   { return s.pages.At(id) }
func (s *slab) edit(id uint32) []uint64 { return s.pages.Edit(id) }

// alloc returns a row of zeros, which may be written in this step.
func (s *slab) alloc() (uint32, []uint64) {
	id := s.free
	if id == 0 {
		if s.next == math.MaxUint32 {
			panic("flow: too many rows in one operator's state")
		}
		id = s.next
		s.next++
		s.pages.Grow(int(id) + 1)
	}
	w := s.pages.Edit(id)
	if id == s.free {
		s.free = uint32(w[0])
	}
	clear(w)
	s.n++
	return id, w
}

func (s *slab) release(id uint32) {
	if s.n--; s.n == 0 {
		s.reset()
		return
	}
	s.pages.Edit(id)[0] = uint64(s.free)
	s.free = id
}

// reset takes all rows back.
func (s *slab) reset() {
	s.next, s.free, s.n = 1, 0, 0
	s.pages.Shrink(1)
}
