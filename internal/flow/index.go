package flow

import "github.com/tidemill/tidemill/internal/batch"

// index finds numbers above 0 by hash: open addressing with linear probing, in
// batch.Shards parts that grow on their own, so that no step waits for the whole to
// be moved. A slot is 8 bytes: the hash's low 32 bits and the number. Two keys may
// share a hash, so the caller looks at each candidate.
type index struct {
	parts [batch.Shards]part
	bytes int64
}

type part struct {
	slots []uint64 // tag<<32 | number; 0 is free; a power of two, or nil
	used  int
}

// minSlots is the size of a part's first table.
const minSlots = 8

// probe walks the candidates for a hash.
type probe struct {
	slots []uint64
	at    uint32
	tag   uint32
}

func (x *index) probe(hash uint64) probe {
	return probe{slots: x.parts[hash>>56].slots, at: uint32(hash), tag: uint32(hash)}
}

// next returns the next candidate, or 0.
func (p *probe) next() uint32 {
	if len(p.slots) == 0 {
		return 0
	}
	mask := uint32(len(p.slots) - 1)
	for {
		s := p.slots[p.at&mask]
		if s == 0 {
			return 0
		}
		p.at++
		if uint32(s>>32) == p.tag {
			return uint32(s)
		}
	}
}

// fetch brings the slots for the hashes near, all at once. The result means nothing.
func (x *index) fetch(hashes []uint64) uint64 {
	sum := uint64(0)
	for _, h := range hashes {
		if slots := x.parts[h>>56].slots; len(slots) > 0 {
			sum += slots[int(uint32(h))&(len(slots)-1)]
		}
	}
	return sum
}

// add enters number n under hash. It does not look whether it is there.
func (x *index) add(hash uint64, n uint32) {
	p := &x.parts[hash>>56]
	if (p.used+1)*4 > len(p.slots)*3 {
		x.bytes -= int64(len(p.slots)) * 8
		p.grow()
		x.bytes += int64(len(p.slots)) * 8
	}
	p.put(uint64(uint32(hash))<<32 | uint64(n))
	p.used++
}

func (p *part) put(slot uint64) {
	mask := uint32(len(p.slots) - 1)
	at := uint32(slot>>32) & mask
	for p.slots[at] != 0 {
		at = (at + 1) & mask
	}
	p.slots[at] = slot
}

func (p *part) grow() {
	old := p.slots
	p.slots = make([]uint64, max(minSlots, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			p.put(s)
		}
	}
}

// remove takes number n, which is there under hash, out. Entries that had to give
// way to it move back, so that no marks of the dead pile up.
func (x *index) remove(hash uint64, n uint32) {
	p := &x.parts[hash>>56]
	mask := uint32(len(p.slots) - 1)
	want := uint64(uint32(hash))<<32 | uint64(n)
	at := uint32(hash) & mask
	for p.slots[at] != want {
		if p.slots[at] == 0 {
			panic("flow: an entry of an index is lost")
		}
		at = (at + 1) & mask
	}
	p.used--
	for hole, next := at, (at+1)&mask; ; next = (next + 1) & mask {
		s := p.slots[next]
		if s == 0 {
			p.slots[hole] = 0
			break
		}
		home := uint32(s>>32) & mask
		if (next-home)&mask >= (next-hole)&mask {
			p.slots[hole] = s
			hole = next
		}
	}
	if len(p.slots) > minSlots && p.used*8 < len(p.slots) {
		p.shrink(x)
	}
}

func (p *part) shrink(x *index) {
	old := p.slots
	x.bytes -= int64(len(old)) * 8
	p.slots = make([]uint64, len(old)/2)
	x.bytes += int64(len(p.slots)) * 8
	for _, s := range old {
		if s != 0 {
			p.put(s)
		}
	}
}
