package state

import (
	"fmt"
	"math/bits"
	"slices"
	"unsafe"
)

// Arena keeps byte strings in pages, each named by a word. What is released is used
// again for strings of like size, so that it does not grow under change.
//
// One goroutine at a time uses an Arena.
type Arena struct {
	pages *Pages               // of words
	free  [arenaClasses]uint64 // 1 + offset of the first free piece of a class, linked by their first words
	at    uint32               // units used of the page that is being filled
	cur   uint32               // 1 + number of that page; 0: none
	runs  []pageRun            // free runs of pages of large strings
	bytes int64                // of strings in use, as allocated
}

// pageRun is pages next to each other.
type pageRun struct{ first, count uint32 }

// A string's word is offset<<28 | length; offsets count units of 8 bytes. Strings of
// more than a quarter of a page have pages of their own, next to each other by number.
const (
	arenaPageLog   = 11 // words of a page
	arenaPageUnits = 1 << arenaPageLog
	arenaLenBits   = 28
	// MaxString is the longest string that an Arena keeps.
	MaxString    = 1<<arenaLenBits - 1
	arenaShared  = arenaPageUnits / 4 // units of the largest string in a shared page
	arenaClasses = 4 * arenaPageLog   // four a doubling
	maxArenaUnit = 1 << (64 - arenaLenBits)
)

// NewArena returns an empty arena that belongs to m.
func NewArena(m *Memory) *Arena {
	return &Arena{pages: newWordPages(m, arenaPageLog)}
}

// newWordPages returns an array of words in pages of 1<<log of them.
func newWordPages(m *Memory, log uint8) *Pages {
	p := &Pages{stride: 1, shift: log, words: 1 << log, line: max(3, log-6)}
	m.adopt(p)
	return p
}

// Bytes returns the size of all pages.
func (a *Arena) Bytes() int64 { return a.pages.Bytes() }

// Persist names the arena's state.
func (a *Arena) Persist(p *Persist) {
	for c := range a.free {
		Num(p, &a.free[c])
	}
	Num(p, &a.at)
	Num(p, &a.cur)
	Num(p, &a.bytes)
	n := len(a.runs)
	Num(p, &n)
	if p.Loading() {
		if n < 0 || n > len(p.buf) {
			p.Fail(fmt.Errorf("%w: %d free runs of pages in %d bytes", ErrDamaged, n, len(p.buf)))
			return
		}
		a.runs = make([]pageRun, n)
	}
	for i := range a.runs {
		Num(p, &a.runs[i].first)
		Num(p, &a.runs[i].count)
	}
	p.Pages(a.pages)
}

// Reset forgets all strings.
func (a *Arena) Reset() {
	if len(a.pages.pages) > 1 {
		a.pages.Reset()
	}
	*a = Arena{pages: a.pages}
	if len(a.pages.pages) == 1 {
		a.cur = 1 // the page is for what comes next
	}
}

// sizeClass returns the class for n units, 1 to arenaShared, and the class's size.
func sizeClass(n uint32) (int, uint32) {
	if n <= 4 {
		return int(n) - 1, n
	}
	top := bits.Len32(n-1) - 1           // n is in (2^top, 2^(top+1)]
	step := uint32(1) << (top - 2)       // four classes between
	k := (n - 1 - uint32(1)<<top) / step // 0..3
	return 4*(top-1) + int(k), uint32(1)<<top + (k+1)*step
}

// Put copies s in and returns its word; that of the empty string is 0.
func (a *Arena) Put(s []byte) uint64 {
	if len(s) == 0 {
		return 0
	}
	if len(s) > MaxString {
		panic(fmt.Sprintf("state: a string of %d bytes, at most %d are possible", len(s), MaxString))
	}
	units := uint32(len(s)+7) / 8
	if units > arenaShared {
		return a.putLarge(s, units)
	}
	off := a.alloc(units)
	n, at := uint32(off>>arenaPageLog), int(off&(arenaPageUnits-1))
	pg := a.pages.EditPage(n, at, at+int(units))
	copy(pageBytes(pg)[at*8:], s)
	return off<<arenaLenBits | uint64(len(s))
}

func pageBytes(pg []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(pg))), len(pg)*8)
}

// alloc returns the offset of a piece of at least so many units.
func (a *Arena) alloc(units uint32) uint64 {
	c, size := sizeClass(units)
	a.bytes += int64(size) * 8
	if head := a.free[c]; head != 0 {
		off := head - 1
		a.free[c] = a.pages.Page(uint32(off >> arenaPageLog))[off&(arenaPageUnits-1)]
		return off
	}
	if a.cur == 0 || a.at+size > arenaPageUnits {
		a.cur, a.at = 1+a.newPages(1), 0
	}
	off := uint64(a.cur-1)<<arenaPageLog | uint64(a.at)
	a.at += size
	return off
}

// newPages returns the first of count pages next to each other.
func (a *Arena) newPages(count uint32) uint32 {
	for i, r := range a.runs {
		if r.count < count {
			continue
		}
		if r.count == count {
			a.runs = slices.Delete(a.runs, i, i+1)
		} else {
			a.runs[i] = pageRun{r.first + count, r.count - count}
		}
		return r.first
	}
	first := uint32(len(a.pages.pages))
	if (uint64(first)+uint64(count))<<arenaPageLog > maxArenaUnit {
		panic("state: the strings of one operator take more than 512 GB")
	}
	a.pages.Grow(int(first+count) << arenaPageLog)
	return first
}

func pagesOf(units uint32) uint32 { return (units + arenaPageUnits - 1) / arenaPageUnits }

func (a *Arena) putLarge(s []byte, units uint32) uint64 {
	first := a.newPages(pagesOf(units))
	word := uint64(first)<<arenaPageLog<<arenaLenBits | uint64(len(s))
	for n := first; len(s) > 0; n++ {
		k := min(len(s), arenaPageUnits*8)
		copy(pageBytes(a.pages.EditPage(n, 0, (k+7)/8)), s[:k])
		s = s[k:]
	}
	a.bytes += int64(pagesOf(units)) * arenaPageUnits * 8
	return word
}

// Get returns the string of a word. It is borrowed until it is released or the owner
// rests; do not write to it.
func (a *Arena) Get(word uint64) []byte {
	n := int(word & MaxString)
	if n == 0 {
		return nil
	}
	off := word >> arenaLenBits
	at := int(off&(arenaPageUnits-1)) * 8
	if at+n <= arenaPageUnits*8 {
		return pageBytes(a.pages.Page(uint32(off >> arenaPageLog)))[at : at+n : at+n]
	}
	out := make([]byte, 0, n)
	for p := uint32(off >> arenaPageLog); len(out) < n; p++ {
		out = append(out, pageBytes(a.pages.Page(p))[:min(n-len(out), arenaPageUnits*8)]...)
	}
	return out
}

// Release frees the string of a word.
func (a *Arena) Release(word uint64) {
	n := uint32(word & MaxString)
	if n == 0 {
		return
	}
	off, units := word>>arenaLenBits, (n+7)/8
	if units > arenaShared {
		count := pagesOf(units)
		a.bytes -= int64(count) * arenaPageUnits * 8
		a.giveRun(pageRun{uint32(off >> arenaPageLog), count})
		return
	}
	c, size := sizeClass(units)
	a.bytes -= int64(size) * 8
	at := int(off & (arenaPageUnits - 1))
	a.pages.EditPage(uint32(off>>arenaPageLog), at, at+1)[at] = a.free[c]
	a.free[c] = off + 1
	if a.bytes == 0 {
		a.Reset()
	}
}

// giveRun puts a run among the free ones, in order, joined with its neighbours.
func (a *Arena) giveRun(r pageRun) {
	i, _ := slices.BinarySearchFunc(a.runs, r.first, func(x pageRun, first uint32) int {
		if x.first < first {
			return -1
		}
		return 1
	})
	a.runs = slices.Insert(a.runs, i, r)
	if i+1 < len(a.runs) && r.first+r.count == a.runs[i+1].first {
		a.runs[i].count += a.runs[i+1].count
		a.runs = slices.Delete(a.runs, i+1, i+2)
	}
	if i > 0 && a.runs[i-1].first+a.runs[i-1].count == r.first {
		a.runs[i-1].count += a.runs[i].count
		a.runs = slices.Delete(a.runs, i, i+1)
	}
	if a.bytes == 0 {
		a.Reset()
	}
}
