package state

import (
	"fmt"
	"math/bits"
)

// Lists keeps any number of lists of words that grow and shrink, each in one run of
// words whose length is a power of two. A run that is given back is used again for one
// of its length.
//
// Cost: a word in O(1); growing by one is O(1) on average.
//
// One goroutine at a time uses a Lists.
type Lists struct {
	pages *Pages              // of words
	free  [listClasses]uint32 // 1 + first word of the first free run of a length, linked by their first words
	next  uint32              // words handed out
	used  int64               // of those, in use
}

// List names a list of a Lists. The zero List is empty.
type List struct {
	at    uint32
	n     uint32
	class uint8 // the run has 1<<class words; 0: there is none
}

const (
	listLog      = 10 // words of a page
	listClasses  = 32
	minListClass = 2
)

// NewLists returns lists that belong to m.
func NewLists(m *Memory) *Lists { return &Lists{pages: newWordPages(m, listLog)} }

// Len returns how many words the list has.
func (v List) Len() int { return int(v.n) }

// Pack returns the list's name as two words, for UnpackList.
func (v List) Pack() (uint64, uint64) { return uint64(v.at)<<8 | uint64(v.class), uint64(v.n) }

// UnpackList returns the list that Pack named.
func UnpackList(a, b uint64) List { return List{at: uint32(a >> 8), n: uint32(b), class: uint8(a)} }

// Bytes returns the size of all pages.
func (l *Lists) Bytes() int64 { return l.pages.Bytes() }

// Persist names the lists' state.
func (l *Lists) Persist(p *Persist) {
	for c := range l.free {
		Num(p, &l.free[c])
	}
	Num(p, &l.next)
	Num(p, &l.used)
	p.Pages(l.pages)
	if p.Loading() && p.Err() == nil && int64(l.next) > int64(l.pages.Cap()) {
		p.Fail(fmt.Errorf("%w: %d words of lists in room for %d", ErrDamaged, l.next, l.pages.Cap()))
	}
}

// Reset forgets all lists.
func (l *Lists) Reset() {
	if len(l.pages.pages) > 1 { // one is kept for what comes next
		l.pages.Reset()
	}
	*l = Lists{pages: l.pages}
}

// At returns word i of a list.
func (l *Lists) At(v List, i int) uint64 { return l.pages.At(v.at + uint32(i))[0] }

// Set changes word i of a list.
func (l *Lists) Set(v List, i int, x uint64) { l.pages.Edit(v.at + uint32(i))[0] = x }

// Push returns the list with one more word. The old one is not to be used any more; so
// it is with all methods that return a list.
func (l *Lists) Push(v List, x uint64) List {
	if v.class == 0 || v.n == 1<<v.class {
		v = l.move(v, v.n, int(v.n)+1)
	}
	l.pages.Edit(v.at + v.n)[0] = x
	v.n++
	return v
}

// Append returns the list with more words.
func (l *Lists) Append(v List, xs []uint64) List {
	if len(xs) == 0 {
		return v
	}
	if want := int(v.n) + len(xs); v.class == 0 || want > 1<<v.class {
		v = l.move(v, v.n, want)
	}
	at := v.at + v.n
	v.n += uint32(len(xs))
	for len(xs) > 0 {
		n, from := at>>listLog, int(at&(1<<listLog-1))
		k := min(len(xs), 1<<listLog-from)
		copy(l.pages.EditPage(n, from, from+k)[from:from+k], xs)
		at, xs = at+uint32(k), xs[k:]
	}
	return v
}

// Read appends words from to to-1 of a list to dst.
func (l *Lists) Read(dst []uint64, v List, from, to int) []uint64 {
	at, end := v.at+uint32(from), v.at+uint32(to)
	for at < end {
		from := at & (1<<listLog - 1)
		k := min(end-at, 1<<listLog-from)
		dst = append(dst, l.pages.Page(at >> listLog)[from:from+k]...)
		at += k
	}
	return dst
}

// Truncate returns the first n words of a list.
func (l *Lists) Truncate(v List, n int) List {
	if v.n = uint32(n); n == 0 {
		return l.Free(v)
	}
	return l.fit(v)
}

// Drop returns a list without its first n words. It moves the others.
func (l *Lists) Drop(v List, n int) List {
	if n == int(v.n) {
		return l.Free(v)
	}
	const chunk = 1 << listLog
	var buf [chunk]uint64
	for to, from := 0, n; from < int(v.n); from += chunk {
		part := l.Read(buf[:0], v, from, min(from+chunk, int(v.n)))
		l.Append(List{at: v.at + uint32(to), class: listClasses - 1}, part)
		to += len(part)
	}
	v.n -= uint32(n)
	return l.fit(v)
}

// Free gives the list's run back and returns the empty list.
func (l *Lists) Free(v List) List {
	if v.class != 0 {
		l.give(v.at, v.class)
		if l.used -= 1 << v.class; l.used == 0 {
			l.Reset()
		}
	}
	return List{}
}

// fit moves a list that has become short to a shorter run.
func (l *Lists) fit(v List) List {
	if v.class > minListClass+1 && v.n < 1<<(v.class-2) {
		return l.move(v, v.n, 2*int(v.n))
	}
	return v
}

// move gives the first n words of a list a run for so many.
func (l *Lists) move(v List, n uint32, room int) List {
	class := uint8(max(bits.Len(uint(room-1)), minListClass))
	if class >= listClasses {
		panic(fmt.Sprintf("state: a list of %d words", room))
	}
	to := List{at: l.take(class), class: class}
	at := v.at
	for rest := n; rest > 0; {
		from := at & (1<<listLog - 1)
		k := min(rest, 1<<listLog-from)
		to = l.Append(to, l.pages.Page(at >> listLog)[from:from+k])
		at, rest = at+k, rest-k
	}
	l.Free(v)
	return to
}

// take returns the first word of a run.
func (l *Lists) take(class uint8) uint32 {
	l.used += 1 << class
	if head := l.free[class]; head != 0 {
		l.free[class] = uint32(l.pages.At(head - 1)[0])
		return head - 1
	}
	size := uint32(1) << class
	// A run lies in one page if it fits. What that leaves out are shorter runs.
	for align := min(size, 1<<listLog); l.next&(align-1) != 0; {
		c := uint8(bits.TrailingZeros32(l.next))
		l.give(l.next, c)
		l.next += 1 << c
	}
	if uint64(l.next)+uint64(size) >= 1<<32 {
		panic("state: the lists of one operator take more than 32 GB")
	}
	at := l.next
	l.next += size
	l.pages.Grow(int(l.next))
	return at
}

// give puts a run among the free ones.
func (l *Lists) give(at uint32, class uint8) {
	l.pages.Edit(at)[0] = uint64(l.free[class])
	l.free[class] = at + 1
}
