package state

import (
	"math/bits"

	"github.com/tidemill/tidemill/internal/batch"
)

// Ref names a stored row: its shard and its number there. It stays the same until
// the row is deleted. The zero Ref names none.
type Ref uint64

// NoRef is the Ref of no row.
const NoRef Ref = 0

func makeRef(shard int, row uint32) Ref { return Ref(uint64(shard)<<32 | uint64(row)) }

// Shard returns the shard that holds the row.
func (r Ref) Shard() int { return int(uint8(r >> 32)) }

func (r Ref) row() uint32 { return uint32(r) }

// firstRows is the number of rows in a shard's first chunk; each further one has
// twice as many as the one before, so that rows never move. Row numbers start at
// firstRows too: the chunk of a row is then given by its highest bit, and no row
// is 0.
const (
	firstRows    = 16
	firstRowsLog = 4
)

// minSlots is the size of a shard's first hash index.
const minSlots = 16

// minArena is how many bytes of garbage an arena may always hold.
const minArena = 4096

// maxArena is the size of an arena that offsets can address.
const maxArena = 1<<32 - 1

// shard is one of the 256 parts of keyed state. It grows on its own.
type shard struct {
	slots   []uint64 // tag<<32 | row; 0 is empty. Linear probing from tag's low bits
	mask    uint32   // len(slots)-1
	live    uint32   // rows in use
	next    uint32   // row number to use next when none is free
	free    uint32   // first of the list of free rows, linked by their word 1; 0: none
	chunks  [][]uint64
	arena   []byte
	garbage int // bytes of arena that no row refers to
}

// noSlots is the index of empty shards; it is never written.
var noSlots = make([]uint64, 1)

// store is 256 shards of rows of one layout.
type store struct {
	l      rowLayout
	shards *[batch.Shards]shard
	live   int
	bytes  int64
}

func newStore(l rowLayout) store {
	st := store{l: l, shards: new([batch.Shards]shard)}
	for i := range st.shards {
		st.shards[i].slots = noSlots
		st.shards[i].next = firstRows
	}
	return st
}

// tagOf is the part of a hash that slots keep; its low bits give the home slot.
func tagOf(h uint64) uint32 { return uint32(h >> 24) }

// words returns the row's words.
func (st *store) words(r Ref) []uint64 {
	return st.shards[r.Shard()].words(r.row(), st.l.words)
}

func (s *shard) words(row uint32, n int) []uint64 {
	c := bits.Len32(row) - 1 - firstRowsLog
	o := int(row&^(firstRows<<uint(c))) * n
	return s.chunks[c][o : o+n : o+n]
}

// candidate returns the first row of tag, or 0. Its key may still differ.
func (s *shard) candidate(tag uint32) uint32 {
	for p := tag & s.mask; ; p = (p + 1) & s.mask {
		e := s.slots[p]
		if e == 0 {
			return 0
		}
		if uint32(e>>32) == tag {
			return uint32(e)
		}
	}
}

// take returns a row for use; its words are zero but for the tag. The caller
// enters it in the index.
func (st *store) take(sh int, tag uint32) uint32 {
	s := &st.shards[sh]
	row := s.free
	if row != 0 {
		w := s.words(row, st.l.words)
		s.free = uint32(w[tagWord])
		clear(w)
	} else {
		row = s.next
		c := bits.Len32(row) - 1 - firstRowsLog
		if c == len(s.chunks) {
			n := (firstRows << uint(c)) * st.l.words
			s.chunks = append(s.chunks, make([]uint64, n))
			st.bytes += int64(n) * 8
		}
		s.next++
	}
	s.words(row, st.l.words)[tagWord] = uint64(tag) << 32
	s.live++
	st.live++
	return row
}

// give returns row to the free list and its arena bytes to garbage. The caller has
// taken it out of the index.
func (st *store) give(sh int, row uint32) {
	s := &st.shards[sh]
	w := s.words(row, st.l.words)
	s.release(&st.l, w)
	w[stampWord], w[tagWord] = freeStamp, uint64(s.free)
	s.free = row
	s.live--
	st.live--
	if s.live == 0 {
		st.reset(sh)
	} else if s.garbage > minArena && s.garbage > len(s.arena)/2 {
		st.compact(s)
	}
}

// reset gives an empty shard's memory back.
func (st *store) reset(sh int) {
	s := &st.shards[sh]
	if len(s.chunks) == 1 && len(s.slots) <= 2*minSlots && cap(s.arena) <= minArena {
		// Small: keep the memory, forget the content.
		s.next, s.free = firstRows, 0
		clear(s.chunks[0])
		s.arena, s.garbage = s.arena[:0], 0
		return
	}
	for _, c := range s.chunks {
		st.bytes -= int64(len(c)) * 8
	}
	if s.mask != 0 {
		st.bytes -= int64(len(s.slots)) * 8
	}
	st.bytes -= int64(cap(s.arena))
	*s = shard{slots: noSlots, next: firstRows}
}

// enter adds row to the index.
func (st *store) enter(sh int, tag, row uint32) {
	s := &st.shards[sh]
	// live already counts row. Linear probing stays short below 3/4.
	if int(s.live)*4 > len(s.slots)*3 || s.mask == 0 {
		st.resize(s, max(minSlots, 2*len(s.slots)))
	}
	s.place(uint64(tag)<<32 | uint64(row))
}

func (s *shard) place(e uint64) {
	p := uint32(e>>32) & s.mask
	for s.slots[p] != 0 {
		p = (p + 1) & s.mask
	}
	s.slots[p] = e
}

func (st *store) resize(s *shard, n int) {
	old := s.slots
	if s.mask != 0 {
		st.bytes -= int64(len(old)) * 8
	}
	s.slots, s.mask = make([]uint64, n), uint32(n-1)
	st.bytes += int64(n) * 8
	for _, e := range old {
		if e != 0 {
			s.place(e)
		}
	}
}

// remove takes row out of the index, closing the gap it leaves.
func (s *shard) remove(tag, row uint32) {
	p := tag & s.mask
	for e := uint64(tag)<<32 | uint64(row); s.slots[p] != e; p = (p + 1) & s.mask {
		if s.slots[p] == 0 {
			panic("state: row is not in its index")
		}
	}
	for q := (p + 1) & s.mask; s.slots[q] != 0; q = (q + 1) & s.mask {
		home := uint32(s.slots[q]>>32) & s.mask
		if (q-home)&s.mask >= (q-p)&s.mask { // may move up to p
			s.slots[p] = s.slots[q]
			p = q
		}
	}
	s.slots[p] = 0
}

// keep copies b into the arena and returns offset<<32 | length.
func (s *shard) keep(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	if len(s.arena)+len(b) > maxArena {
		panic("state: a shard's strings exceed 4 GiB")
	}
	r := uint64(len(s.arena))<<32 | uint64(len(b))
	s.arena = append(s.arena, b...)
	return r
}

// bytes returns what keep stored under r; valid until the arena is compacted.
func (s *shard) bytes(r uint64) []byte {
	off, n := r>>32, r&0xffffffff
	return s.arena[off : off+n : off+n]
}

// compact drops the arena's garbage. Borrowed strings of the shard end.
func (st *store) compact(s *shard) {
	old := s.arena
	s.arena = make([]byte, 0, len(old)-s.garbage+minArena)
	s.garbage = 0
	for row := uint32(firstRows); row < s.next; row++ {
		if w := s.words(row, st.l.words); w[stampWord] != freeStamp {
			s.relocate(&st.l, w, old)
		}
	}
	st.bytes += int64(cap(s.arena) - cap(old))
}
