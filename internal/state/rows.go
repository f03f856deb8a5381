package state

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/types"
)

// Ref names a row of a Table by its number. It stays the same until the row is
// deleted. The zero Ref names none.
type Ref uint32

// NoRef is the Ref of no row.
const NoRef Ref = 0

// store is rows of one layout, numbered from 1. What is freed is used again.
type store struct {
	l    rowLayout
	rows *Pages
	text *Arena // nil if no column keeps bytes
	live int
	next uint32 // lowest number never given out
	free uint32 // first of the list of free rows, linked by their tag words; 0: none
}

func newStore(m *Memory, l rowLayout) store {
	st := store{l: l, rows: NewPages(m, l.words), next: 1}
	if l.text {
		st.text = NewArena(m)
	}
	return st
}

// words returns the row's words for reading.
func (st *store) words(r Ref) []uint64 {
	p := st.rows
	n := uint32(r) >> (p.shift & 31)
	pg := p.pages[n]
	if pg == nil {
		pg = p.fault(n)
	}
	o := int(uint32(r)&(1<<(p.shift&31)-1)) * p.stride
	return pg[o : o+p.stride : o+p.stride]
}

// take returns a row for use; its words are zero but for the tag.
func (st *store) take(tag uint32) Ref {
	row := st.free
	if row == 0 {
		row = st.next
		if row == math.MaxUint32 {
			panic("state: too many keys in one table")
		}
		st.next++
		st.rows.Grow(int(row) + 1)
	}
	w := st.rows.Edit(row)
	if row == st.free {
		st.free = uint32(w[tagWord])
	}
	clear(w)
	w[tagWord] = uint64(tag) << 32
	st.live++
	return Ref(row)
}

// give frees a row and its strings.
func (st *store) give(r Ref) {
	w := st.rows.Edit(uint32(r))
	st.release(w)
	w[stampWord], w[tagWord] = freeStamp, uint64(st.free)
	st.free = uint32(r)
	if st.live--; st.live == 0 {
		st.reset()
	}
}

// reset forgets all rows, and gives memory back unless it is small.
func (st *store) reset() {
	st.rows.Shrink(1)
	st.next, st.free, st.live = 1, 0, 0
	if st.text != nil {
		st.text.Reset()
	}
}

// persist names the rows.
func (st *store) persist(p *Persist) {
	Num(p, &st.live)
	Num(p, &st.next)
	Num(p, &st.free)
	p.Pages(st.rows)
	if st.text != nil {
		st.text.Persist(p)
	}
	if p.Loading() && p.Err() == nil && (st.next == 0 || st.free >= st.next || st.next > 1 && int64(st.next) > int64(st.rows.Cap()) ||
		uint64(st.live) >= uint64(st.next)) {
		p.Fail(fmt.Errorf("%w: %d keys in %d rows, the first free one is %d, in room for %d",
			ErrDamaged, st.live, st.next, st.free, st.rows.Cap()))
	}
}

// bytes is the size of all rows and strings, in memory or not.
func (st *store) bytes() int64 {
	n := st.rows.Bytes()
	if st.text != nil {
		n += st.text.Bytes()
	}
	return n
}

// dec reads a decimal, and the digits of a Big one.
func (st *store) dec(w []uint64) (types.Decimal, []byte) {
	d := types.Decimal{Hi: int64(w[0]), Lo: w[1], Scale: int16(w[2] >> 8), Form: types.DecimalForm(w[2])}
	if d.Form != types.DecBig {
		return d, nil
	}
	digits := st.text.Get(d.Lo)
	d.Lo = uint64(len(digits))
	return d, digits
}

// release frees the strings of a row.
func (st *store) release(w []uint64) {
	if st.text == nil {
		return
	}
	for c, t := range st.l.types {
		o := st.l.off[c]
		switch t.Layout() {
		case types.LayoutStr:
			st.text.Release(w[o])
		case types.LayoutDec:
			if types.DecimalForm(w[o+2]) == types.DecBig {
				st.text.Release(w[o+1])
			}
		}
	}
}
