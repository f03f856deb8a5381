package state

import (
	"fmt"
	"slices"
)

// Index finds numbers above 0 by hash: extendible hashing. A directory of the hash's
// high bits names pages of slots; within a page the hash's low bits say where to
// begin, and probing is linear. A page that is full is split, so nothing ever waits
// for the whole to be moved, and it can leave memory by page.
//
// A slot is 8 bytes: the low 32 bits of the hash (its tag) and the number. Two keys
// may share a tag, so the caller looks at each candidate. The directory uses the
// tag's high bits.
//
// One goroutine at a time uses an Index.
//
// Source: Fagin et al., "Extendible hashing", ACM TODS 1979.
type Index struct {
	slots *Pages // of indexSlots words a page
	dir   []uint32
	depth uint8 // len(dir) is 1<<depth
	// of each page:
	local []uint8  // bits of the tag that all in it share
	used  []uint16 // slots in use
	over  []uint32 // 1 + the page that goes on from a full one whose tags cannot be parted; 0: none
	free  []uint32 // pages that are not in use
	n     int
}

const (
	indexLog      = 10
	indexSlots    = 1 << indexLog // of a page
	indexMask     = indexSlots - 1
	indexFull     = indexSlots * 3 / 4 // above it a page is split
	indexJoin     = indexSlots / 4     // two halves with less together become one
	maxIndexDepth = 32 - indexLog      // so that the home slot has bits of its own
)

// NewIndex returns an empty index that belongs to m.
func NewIndex(m *Memory) *Index { return &Index{slots: newWordPages(m, indexLog)} }

// Len returns how many numbers it has.
func (x *Index) Len() int { return x.n }

// Bytes returns the size of all pages and the directory.
func (x *Index) Bytes() int64 { return x.slots.Bytes() + int64(len(x.dir))*4 + int64(len(x.local))*7 }

// Persist names the index's state.
func (x *Index) Persist(p *Persist) {
	Num(p, &x.depth)
	Num(p, &x.n)
	Nums(p, &x.dir)
	Nums(p, &x.local)
	Nums(p, &x.used)
	Nums(p, &x.over)
	Nums(p, &x.free)
	p.Pages(x.slots)
	if p.Loading() && p.Err() == nil {
		x.verify(p)
	}
}

// verify holds what was loaded against what the methods rely on.
func (x *Index) verify(p *Persist) {
	pages := len(x.slots.pages)
	ok := len(x.local) == pages && len(x.used) == pages && len(x.over) == pages &&
		(len(x.dir) == 0 || x.depth <= maxIndexDepth && len(x.dir) == 1<<x.depth)
	for _, n := range x.dir {
		ok = ok && int(n) < pages
	}
	for n := range x.over {
		ok = ok && int(x.over[n]) <= pages
	}
	if !ok {
		p.Fail(fmt.Errorf("%w: an index with a directory of %d for %d pages", ErrDamaged, len(x.dir), pages))
	}
}

// Reset forgets all numbers.
func (x *Index) Reset() {
	if len(x.slots.pages) == 1 && x.n == 0 {
		return // it is all zeros
	}
	x.slots.Reset()
	*x = Index{slots: x.slots}
}

// pageOf returns the page for a tag. The index is not empty.
func (x *Index) pageOf(tag uint32) uint32 { return x.dir[uint64(tag)<<x.depth>>32] }

// Probe walks the candidates for a hash. It ends when the index changes or rests.
type Probe struct {
	x     *Index
	slots []uint64
	page  uint32
	at    uint32
	end   uint32
	tag   uint32
}

// Probe begins to look for a hash.
func (x *Index) Probe(hash uint64) Probe {
	tag := uint32(hash)
	if len(x.dir) == 0 {
		return Probe{}
	}
	n := x.pageOf(tag)
	return Probe{x: x, slots: x.slots.Page(n), page: n, at: tag & indexMask, end: tag&indexMask + indexSlots, tag: tag}
}

// Next returns the next candidate, or 0.
func (p *Probe) Next() uint32 {
	if slots := p.slots; len(slots) == indexSlots {
		for at := p.at; at < p.end; at++ {
			s := slots[at&indexMask]
			if s == 0 {
				p.at = at
				return 0
			}
			if uint32(s>>32) == p.tag {
				p.at = at + 1
				return uint32(s)
			}
		}
	}
	return p.more()
}

// more goes on to the page that holds what did not fit.
func (p *Probe) more() uint32 {
	if p.x == nil || p.x.over[p.page] == 0 {
		return 0
	}
	p.page = p.x.over[p.page] - 1
	p.slots, p.at, p.end = p.x.slots.Page(p.page), p.tag&indexMask, p.tag&indexMask+indexSlots
	return p.Next()
}

// Fetch brings the slots for the hashes near, all at once: the loads depend on nothing.
// The result means nothing.
func (x *Index) Fetch(hashes []uint64) uint64 {
	if len(x.dir) == 0 {
		return 0
	}
	sum := uint64(0)
	for _, h := range hashes {
		sum += x.slots.Page(x.pageOf(uint32(h)))[h&indexMask]
	}
	return sum
}

// none reports whether it is easy to see that nothing is under hash.
func (x *Index) none(hash uint64) bool {
	if len(x.dir) == 0 {
		return true
	}
	tag := uint32(hash)
	pg := x.slots.Page(x.pageOf(tag))
	for at := tag & indexMask; ; at = (at + 1) & indexMask {
		s := pg[at]
		if s == 0 {
			return true
		}
		if uint32(s>>32) == tag || at == (tag-1)&indexMask {
			return false
		}
	}
}

// Add enters number n under hash. It does not look whether it is there.
func (x *Index) Add(hash uint64, n uint32) {
	if n == 0 {
		panic("state: number 0 in an index")
	}
	tag := uint32(hash)
	if len(x.dir) == 0 {
		x.dir = append(x.dir, x.newPage(0))
	}
	x.n++
	slot := uint64(tag)<<32 | uint64(n)
	for {
		pg := x.pageOf(tag)
		if x.used[pg] < indexFull {
			x.put(pg, slot)
			return
		}
		if !x.split(pg, tag) {
			x.putOver(pg, slot)
			return
		}
	}
}

// put enters a slot into page n, which has room.
func (x *Index) put(n uint32, slot uint64) {
	pg := x.slots.Page(n)
	at := home(pg, slot)
	if m := &x.slots.meta[n]; m.mask == 0 {
		x.slots.EditPage(n, int(at), int(at)+1)
	} else {
		m.mask |= 1 << (at >> (x.slots.line & 63))
	}
	pg[at] = slot
	x.used[n]++
}

// home returns where a slot goes in a page that has room.
func home(pg []uint64, slot uint64) uint32 {
	pg = pg[:indexSlots]
	at := uint32(slot>>32) & indexMask
	for pg[at] != 0 {
		at = (at + 1) & indexMask
	}
	return at
}

// putOver enters a slot into page n, which cannot be split, or those that go on from it.
func (x *Index) putOver(n uint32, slot uint64) {
	for x.used[n] >= indexSlots {
		if x.over[n] == 0 {
			more := x.newPage(x.local[n])
			x.over[n] = more + 1
		}
		n = x.over[n] - 1
	}
	x.put(n, slot)
}

func (x *Index) newPage(local uint8) uint32 {
	var n uint32
	if k := len(x.free); k > 0 {
		n = x.free[k-1]
		x.free = x.free[:k-1]
		x.local[n], x.used[n], x.over[n] = local, 0, 0
		return n
	}
	n = uint32(len(x.slots.pages))
	x.slots.Grow(int(n+1) << indexLog)
	x.local, x.used, x.over = append(x.local, local), append(x.used, 0), append(x.over, 0)
	return n
}

// split parts page n, which holds tag's range, by the next bit of the tags. It reports
// false if that cannot be.
func (x *Index) split(n, tag uint32) bool {
	d := x.local[n]
	if d == maxIndexDepth || x.over[n] != 0 {
		return false
	}
	if same(x.slots.Page(n)) {
		return false
	}
	if d == x.depth {
		dir := make([]uint32, 2*len(x.dir))
		for i, p := range x.dir {
			dir[2*i], dir[2*i+1] = p, p
		}
		x.dir, x.depth = dir, x.depth+1
	}
	d++
	other := x.newPage(d)
	x.local[n] = d
	x.part(n, other, d)
	// The upper half of n's part of the directory.
	span := uint32(1) << (x.depth - d)
	first := (uint32(uint64(tag)<<(d-1)>>32)<<1 | 1) << (x.depth - d)
	for i := range span {
		x.dir[first+i] = other
	}
	return true
}

// part moves the slots of page n whose tags have bit d, counted from the top and from
// 1, to page other, which is empty.
func (x *Index) part(n, other uint32, d uint8) {
	low, high := x.slots.EditPage(n, 0, indexSlots), x.slots.EditPage(other, 0, indexSlots)
	var old [indexSlots]uint64
	copy(old[:], low)
	clear(low)
	moved := uint16(0)
	for _, s := range old {
		if s == 0 {
			continue
		}
		to := low
		if s<<(d-1)>>63 != 0 {
			to = high
			moved++
		}
		to[home(to, s)] = s
	}
	x.used[n] -= moved
	x.used[other] = moved
}

// same reports whether all slots have one tag.
func same(pg []uint64) bool {
	first := uint64(0)
	for _, s := range pg {
		if s == 0 {
			continue
		}
		if first == 0 {
			first = s
		} else if first>>32 != s>>32 {
			return false
		}
	}
	return true
}

// Remove takes number n, which is there under hash, out.
func (x *Index) Remove(hash uint64, n uint32) {
	tag := uint32(hash)
	want := uint64(tag)<<32 | uint64(n)
	if len(x.dir) == 0 {
		panic("state: a number is not in its index")
	}
	pg := x.pageOf(tag)
	for {
		if at, ok := find(x.slots.Page(pg), want); ok {
			x.close(pg, at)
			x.refill(pg)
			break
		}
		if x.over[pg] == 0 {
			panic("state: a number is not in its index")
		}
		pg = x.over[pg] - 1
	}
	x.n--
	if x.n == 0 {
		x.Reset()
		return
	}
	if x.used[pg] < indexJoin/2 {
		x.join(tag)
	}
}

// find returns where slot want is.
func find(pg []uint64, want uint64) (uint32, bool) {
	at := uint32(want>>32) & indexMask
	for range indexSlots {
		if pg[at] == want {
			return at, true
		}
		if pg[at] == 0 {
			break
		}
		at = (at + 1) & indexMask
	}
	return 0, false
}

// refill keeps page n full as long as another goes on from it.
func (x *Index) refill(n uint32) {
	for x.over[n] != 0 {
		next := x.over[n] - 1
		at := slices.IndexFunc(x.slots.Page(next), func(s uint64) bool { return s != 0 })
		slot := x.slots.Page(next)[at]
		x.close(next, uint32(at))
		x.put(n, slot)
		if x.used[next] == 0 {
			x.over[n] = 0
			x.free = append(x.free, next)
		}
		n = next
	}
}

// close empties slot at of page n and moves back those that had to give way to it.
func (x *Index) close(n, at uint32) {
	pg := x.slots.Page(n)
	hole := at
	for next, seen := (at+1)&indexMask, 1; seen < indexSlots; next, seen = (next+1)&indexMask, seen+1 {
		s := pg[next]
		if s == 0 {
			break
		}
		home := uint32(s>>32) & indexMask
		if (next-home)&indexMask >= (next-hole)&indexMask {
			x.slots.EditPage(n, int(hole), int(hole)+1)[hole] = s
			hole = next
		}
	}
	x.slots.EditPage(n, int(hole), int(hole)+1)[hole] = 0
	x.used[n]--
}

// join makes one page of tag's and its other half, if they are nearly empty, as often
// as that is so.
func (x *Index) join(tag uint32) {
	for {
		n := x.pageOf(tag)
		d := x.local[n]
		if d == 0 {
			return
		}
		m := x.pageOf(tag ^ 1<<(32-d))
		if x.local[m] != d || x.over[n] != 0 || x.over[m] != 0 || x.used[n]+x.used[m] > indexJoin {
			return
		}
		for _, s := range slices.Clone(x.slots.Page(m)) {
			if s != 0 {
				x.put(n, s)
			}
		}
		clear(x.slots.EditPage(m, 0, indexSlots))
		x.used[m] = 0
		x.free = append(x.free, m)
		x.local[n] = d - 1
		span := uint32(1) << (x.depth - d + 1)
		first := uint32(uint64(tag)<<(d-1)>>32) << (x.depth - d + 1)
		for i := range span {
			x.dir[first+i] = n
		}
	}
}
