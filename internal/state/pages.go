package state

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"unsafe"
)

// Pages is a growing array of rows of a fixed number of words, numbered from 0, in
// pages without Go pointers. Rows never move while an operator works: a slice that At
// or Edit gave is good until its owner rests (Memory.Rest), though what it shows
// changes when the row is written.
//
// Whoever writes a row says so first: Edit, EditPage. What is written without goes
// missing in the next checkpoint; Memory.Check finds it in tests.
//
// One goroutine at a time uses a Pages.
type Pages struct {
	mem    *Memory
	id     uint64 // in its Memory, for records
	stride int    // words of a row
	shift  uint8  // 1<<shift rows a page
	line   uint8  // 1<<line words a line; a page has at most 64
	words  int    // of a page

	pages [][]uint64 // nil: not in memory
	base  []*uint64  // the first word of each; nil likewise
	meta  []pageMeta // as many
	dirty []uint32   // pages whose mask is not 0

	// locs says where pages were as of the last complete checkpoint; it may be shorter
	// than pages. It is never changed, but replaced.
	locs  []pageLocs
	later *pageTable // after a restart: what locs is, not read yet; see known
	table Loc        // where locs is; nowhere if it has never been written
	out   []outPage  // of pages that are not in memory; it may be shorter than pages
	era   int        // counts resets
	slab  []uint64   // of zeros, for pages to come
	least int        // fewest pages since the last freeze
	was   [][]uint64 // with Memory.Check: the pages at the last freeze
}

// pageMeta is what is known of a page besides its content.
type pageMeta struct {
	mask   uint64      // lines written since the last freeze
	frozen *frozenPage // of the freeze that is being written, unless it has its own copy
}

// pageLocs is where the records of a page are: its last full one, then those of lines
// written since.
type pageLocs struct {
	base   Loc
	deltas []Loc // at most MaxDeltas
}

// MaxDeltas is how many partial records a page may have before it is written in full.
const MaxDeltas = 4

// deltaLines is the most lines of a page that are written as a partial record.
const deltaLines = 24

// pageTarget is the most words of a page whose rows are smaller than that.
const pageTarget = 1024

// NewPages returns an empty array of rows of so many words, at least 1, that belongs to m.
func NewPages(m *Memory, stride int) *Pages {
	p := &Pages{stride: stride, shift: uint8(max(0, bits.Len(uint(pageTarget/stride))-1))}
	p.words = stride << p.shift
	p.line = uint8(max(3, bits.Len(uint((p.words+63)/64-1))))
	m.adopt(p)
	return p
}

// Stride returns the words of a row.
func (p *Pages) Stride() int { return p.stride }

// Cap returns how many rows there is room for.
func (p *Pages) Cap() int { return len(p.pages) << p.shift }

// Bytes returns the size of all pages, in memory or not.
func (p *Pages) Bytes() int64 { return int64(len(p.pages)) * int64(p.words) * 8 }

// PageRows returns the rows of a page.
func (p *Pages) PageRows() int { return 1 << p.shift }

// Grow makes room for rows 0 to n-1. New rows are zero.
func (p *Pages) Grow(n int) {
	for p.Cap() < n {
		pg := p.grow()
		p.pages, p.base = append(p.pages, pg), append(p.base, unsafe.SliceData(pg))
		p.meta = append(p.meta, pageMeta{})
	}
}

// Pages that an array of many gets while there is plenty of memory come from larger
// pieces, which are cheaper to have. They go one by one, so a piece may stay for one
// page; with so little of the memory that does not matter.
const (
	slabPages = 4
	slabAfter = 32 // pages of the array
	slabPart  = 4  // of the memory that there may be, slabs are taken from the first 1/slabPart
)

// grow returns a page of zeros for the end of the array.
func (p *Pages) grow() []uint64 {
	if len(p.slab) == 0 {
		if len(p.pages) < slabAfter || p.words > pageTarget || !p.mem.roomy(p.words) {
			return p.mem.take(p.words)
		}
		p.slab = make([]uint64, slabPages*p.words)
	}
	pg := p.slab[:p.words:p.words]
	p.slab = p.slab[p.words:]
	p.mem.hold(int64(p.words) * 8)
	return pg
}

// Shrink forgets the rows from n on, as far as whole pages are of such, and gives
// their memory back.
func (p *Pages) Shrink(n int) {
	keep := (n + 1<<p.shift - 1) >> p.shift
	if keep >= len(p.pages) {
		return
	}
	for i := keep; i < len(p.pages); i++ {
		p.drop(uint32(i))
	}
	if keep < len(p.out) { // a freeze that wants what was spilled still knows where it is
		clear(p.out[keep:])
		p.out = p.out[:keep]
	}
	clear(p.pages[keep:])
	clear(p.base[keep:])
	clear(p.meta[keep:])
	p.pages, p.base, p.meta = p.pages[:keep], p.base[:keep], p.meta[:keep]
	p.dirty = slices.DeleteFunc(p.dirty, func(n uint32) bool { return int(n) >= keep })
	if keep < p.saved() {
		p.locs, p.table = p.known()[:keep:keep], Loc{}
	}
	p.was = p.was[:min(len(p.was), keep)]
	p.least = min(p.least, keep)
}

// Reset forgets all rows and gives their memory back.
func (p *Pages) Reset() {
	for n := range p.pages {
		p.drop(uint32(n))
	}
	p.pages, p.base, p.meta, p.dirty, p.locs, p.table = nil, nil, nil, nil, nil, Loc{}
	p.out, p.was, p.slab, p.later = nil, nil, nil, nil
	p.era++
}

// drop forgets a page's content wherever it is.
func (p *Pages) drop(n uint32) {
	p.forgetSpill(n)
	if at, ok := p.cooling(n); ok {
		p.mem.cooling[at].buf = nil
		p.mem.cooled -= int64(p.words) * 8
		p.out[n].cool = 0
		p.mem.hold(-int64(p.words) * 8)
	} else if pg := p.pages[n]; pg != nil {
		p.mem.hold(-int64(p.words) * 8)
		if p.meta[n].frozen == nil {
			p.mem.keep(pg)
		}
	}
	p.set(n, nil)
}

// set makes page n be pg, or not in memory.
func (p *Pages) set(n uint32, pg []uint64) {
	p.pages[n] = pg
	p.base[n] = unsafe.SliceData(pg)
}

// Page returns page n for reading.
func (p *Pages) Page(n uint32) []uint64 {
	if pg := p.pages[n]; pg != nil {
		return pg
	}
	return p.fault(n)
}

// At returns the words of row i for reading.
func (p *Pages) At(i uint32) []uint64 {
	n := i >> (p.shift & 31)
	base := p.base[n]
	if base == nil {
		p.fault(n)
		base = p.base[n]
	}
	return rowAt(base, uint(i&(1<<(p.shift&31)-1))*uint(p.stride), p.stride)
}

// rowAt returns n words from word o of the page that begins at base on.
func rowAt(base *uint64, o uint, n int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Add(unsafe.Pointer(base), o*8)), n)
}

// Edit returns the words of row i for reading and writing.
func (p *Pages) Edit(i uint32) []uint64 {
	n := i >> (p.shift & 31)
	m, base := &p.meta[n], p.base[n]
	if m.mask == 0 || base == nil {
		p.edit(n)
		base = p.base[n]
	}
	o := uint(i&(1<<(p.shift&31)-1)) * uint(p.stride)
	m.mask |= p.lines(o, o+uint(p.stride))
	return rowAt(base, o, p.stride)
}

// lines returns the mask of the lines of words from to to-1 of a page.
func (p *Pages) lines(from, to uint) uint64 {
	l := p.line & 63
	return ^uint64(0) >> ((63 - (to-1)>>l) & 63) & (^uint64(0) << (from >> l & 63))
}

// EditPart returns the words of row i for reading and for writing words from to to-1.
func (p *Pages) EditPart(i uint32, from, to int) []uint64 {
	o := int(i&(1<<p.shift-1)) * p.stride
	pg := p.EditPage(i>>p.shift, o+from, o+to)
	return pg[o : o+p.stride : o+p.stride]
}

// EditPage returns page n for reading and for writing words from to to-1.
func (p *Pages) EditPage(n uint32, from, to int) []uint64 {
	m := &p.meta[n]
	if m.mask == 0 || p.pages[n] == nil {
		p.edit(n)
	}
	m.mask |= p.lines(uint(from), uint(to))
	return p.pages[n]
}

// edit prepares page n, which is clean or not in memory, for being written. The
// caller sets its mask.
func (p *Pages) edit(n uint32) {
	if p.pages[n] == nil {
		p.fault(n)
	}
	m := &p.meta[n]
	if m.mask == 0 && !forgetsDirty {
		p.dirty = append(p.dirty, n)
	}
	if f := m.frozen; f != nil {
		f.rescue(p.words)
		m.frozen = nil
		if !f.spill.None() {
			p.out[n].spill = Loc{} // it is the freeze's alone now
		}
	}
}

// fault brings page n into memory.
func (p *Pages) fault(n uint32) []uint64 {
	if at, ok := p.cooling(n); ok {
		c := &p.mem.cooling[at]
		p.set(n, c.buf)
		c.buf = nil
		p.mem.cooled -= int64(p.words) * 8
		p.out[n].cool = 0
		return p.pages[n]
	}
	buf := p.mem.take(p.words)
	if l := p.spilled(n); !l.None() {
		p.mem.load(p, buf, l)
		p.forgetSpill(n)
	} else if locs := p.known(); int(n) < len(locs) && !locs[n].base.None() {
		p.mem.load(p, buf, locs[n].base)
		for _, l := range locs[n].deltas {
			p.mem.load(p, buf, l)
		}
	} // else it has never been written
	p.mem.faults++
	p.set(n, buf)
	return buf
}

// forgetSpill gives page n's scratch space back. What a freeze is to write from there
// stays until that is done.
func (p *Pages) forgetSpill(n uint32) {
	l := p.spilled(n)
	if l.None() {
		return
	}
	if f := p.meta[n].frozen; f != nil && f.spill == l {
		return
	}
	p.out[n].spill = Loc{}
	p.mem.unspill(l)
}

// appendLines appends the record of page pg: the mask of lines, then those lines.
func (p *Pages) appendLines(dst []byte, pg []uint64, mask uint64) []byte {
	dst = slices.Grow(dst, 8+bits.OnesCount64(mask)<<p.line*8)
	dst = binary.LittleEndian.AppendUint64(dst, mask)
	for m := mask; m != 0; m &= m - 1 {
		from := bits.TrailingZeros64(m) << p.line
		to := min(from+1<<p.line, len(pg))
		for _, w := range pg[from:to] {
			dst = binary.LittleEndian.AppendUint64(dst, w)
		}
	}
	return dst
}

// readLines writes the lines of a record into page pg.
func (p *Pages) readLines(pg []uint64, rec []byte) error {
	if len(rec) < 8 {
		return fmt.Errorf("%w: a page record of %d bytes", ErrDamaged, len(rec))
	}
	mask, rest := binary.LittleEndian.Uint64(rec), rec[8:]
	for m := mask; m != 0; m &= m - 1 {
		from := bits.TrailingZeros64(m) << p.line
		to := min(from+1<<p.line, len(pg))
		if from >= to || len(rest) < 8*(to-from) {
			return fmt.Errorf("%w: a page record of %d bytes with lines %x", ErrDamaged, len(rec), mask)
		}
		for i := from; i < to; i++ {
			pg[i] = binary.LittleEndian.Uint64(rest)
			rest = rest[8:]
		}
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: a page record with %d bytes too many", ErrDamaged, len(rest))
	}
	return nil
}

// filled returns the mask of the lines of pg that are not zero.
func (p *Pages) filled(pg []uint64) (mask uint64) {
	for i, w := range pg {
		if w != 0 {
			mask |= 1 << (uint(i) >> p.line)
		}
	}
	return mask
}
