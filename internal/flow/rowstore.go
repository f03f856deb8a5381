package flow

import (
	"bytes"
	"cmp"
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// rowStore keeps rows as words of fixed number in pages, numbered from 1. A row is
// header words that belong to the store's user, a bit for each NULL, and the values:
// one word each, decimals three, intervals two. Text is in an arena. Words that row
// gave are for reading; who writes asks edit for them.
type rowStore struct {
	types   []types.Type
	fields  []field
	nulls   int // index of the first word of NULL bits
	stride  int
	mem     *state.Memory
	pages   *state.Pages
	next    uint32 // lowest number never given out
	free    uint32 // head of a list through the first words of freed rows
	text    *state.Arena
	anyNull bool // a row with a NULL has been written
}

// field is where a column's value is in a row.
type field struct {
	layout types.Layout
	at     int // word
}

// lineWords is the words of a cache line, to which pages are aligned.
const lineWords = 8

func newRowStore(mem *state.Memory, ts []types.Type, header int) *rowStore {
	s := &rowStore{types: ts, nulls: header, next: 1, mem: mem}
	at := header + (len(ts)+63)/64
	for _, t := range ts {
		f := field{layout: t.Layout(), at: at}
		s.fields = append(s.fields, f)
		switch f.layout {
		case types.LayoutNone:
		case types.LayoutDec:
			at += 3
		case types.LayoutIvl:
			at += 2
		default:
			at++
		}
	}
	if at == lineWords-2 || at == lineWords-1 {
		at = lineWords // or half of the rows would lie in two cache lines
	}
	s.stride = at
	s.pages, s.text = state.NewPages(mem, at), state.NewArena(mem)
	return s
}

func (s *rowStore) persist(p *state.Persist) {
	state.Num(p, &s.next)
	state.Num(p, &s.free)
	p.Bool(&s.anyNull)
	p.Pages(s.pages)
	s.text.Persist(p)
	if p.Loading() && p.Err() == nil && (s.next == 0 || s.next > 1 && int64(s.next) > int64(s.pages.Cap()) || s.free >= s.next) {
		p.Fail(fmt.Errorf("%w: %d rows, the first free one is %d, in room for %d", state.ErrDamaged, s.next, s.free, s.pages.Cap()))
	}
}

func (s *rowStore) bytes() int64 { return s.pages.Bytes() + s.text.Bytes() }

// row returns the words of row id for reading.
func (s *rowStore) row(id uint32) []uint64 { return s.pages.At(id) }

// edit returns the words of row id for reading and writing.
func (s *rowStore) edit(id uint32) []uint64 { return s.pages.Edit(id) }

// alloc returns a row of undefined content.
func (s *rowStore) alloc() uint32 {
	if id := s.free; id != 0 {
		s.free = uint32(s.row(id)[0])
		return id
	}
	id := s.next
	if id == math.MaxUint32 {
		panic("flow: too many rows in one operator's state")
	}
	s.next++
	s.pages.Grow(int(s.next))
	return id
}

// release frees row id and its text.
func (s *rowStore) release(id uint32) {
	w := s.edit(id)
	for c, f := range s.fields {
		if s.null(w, c) {
			continue
		}
		switch {
		case f.layout == types.LayoutStr:
			s.text.Release(w[f.at])
		case f.layout == types.LayoutDec && decForm(w[f.at+2]) == types.DecBig:
			s.text.Release(w[f.at+1])
		}
	}
	w[0] = uint64(s.free)
	s.free = id
}

func (s *rowStore) null(w []uint64, c int) bool {
	return w[s.nulls+c>>6]&(1<<(uint(c)&63)) != 0
}

func decForm(w uint64) types.DecimalForm { return types.DecimalForm(w >> 16) }

// floatWord is f's bits, with one form for every NaN.
func floatWord(f float64) uint64 {
	if f != f {
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(f)
}

func ivlWord(v types.IntervalVal) uint64 {
	return uint64(uint32(v.Days))<<32 | uint64(uint32(v.Months))
}

// write copies columns cols of physical row i of b into the words of a row; the
// header is cleared.
func (s *rowStore) write(w []uint64, b *batch.Batch, cols []int, i int) {
	clear(w[:s.nulls+(len(s.fields)+63)/64])
	for c, f := range s.fields {
		col := &b.Cols[cols[c]]
		if f.layout == types.LayoutNone || col.Null(i) {
			w[s.nulls+c>>6] |= 1 << (uint(c) & 63)
			s.anyNull = true
			continue
		}
		switch f.layout {
		case types.LayoutBool:
			w[f.at] = uint64(col.U8[i])
		case types.LayoutInt:
			w[f.at] = uint64(col.I64[i])
		case types.LayoutFloat:
			w[f.at] = floatWord(col.F64[i])
		case types.LayoutDec:
			d := col.Dec[i]
			w[f.at], w[f.at+1], w[f.at+2] = uint64(d.Hi), d.Lo, uint64(d.Form)<<16|uint64(uint16(d.Scale))
			if d.Form == types.DecBig {
				w[f.at+1] = s.text.Put(bigText(d, col.Bytes))
			}
		case types.LayoutIvl:
			w[f.at], w[f.at+1] = uint64(col.Ivl[i].Micros), ivlWord(col.Ivl[i])
		case types.LayoutStr:
			w[f.at] = s.text.Put(col.StrAt(i))
		}
	}
}

func bigText(d types.Decimal, arena []byte) []byte {
	off, n := d.Lo>>32, d.Lo&0xffffffff
	return arena[off : off+n]
}

// decimal returns the decimal at word f.at, and its arena.
func (s *rowStore) decimal(w []uint64, f field) (types.Decimal, []byte) {
	d := types.Decimal{Hi: int64(w[f.at]), Lo: w[f.at+1], Scale: int16(uint16(w[f.at+2])), Form: decForm(w[f.at+2])}
	if d.Form != types.DecBig {
		return d, nil
	}
	text := s.text.Get(d.Lo)
	d.Lo = uint64(len(text))
	return d, text
}

func interval(w []uint64, f field) types.IntervalVal {
	return types.IntervalVal{Micros: int64(w[f.at]), Days: int32(w[f.at+1] >> 32), Months: int32(uint32(w[f.at+1]))}
}

// same reports whether a row is columns cols of row i of b to the last bit.
func (s *rowStore) same(w []uint64, b *batch.Batch, cols []int, i int) bool {
	for c, f := range s.fields {
		col := &b.Cols[cols[c]]
		null := s.null(w, c)
		if null != (f.layout == types.LayoutNone || col.Null(i)) {
			return false
		}
		if !null && !s.sameValue(w, f, col, i) {
			return false
		}
	}
	return true
}

func (s *rowStore) sameValue(w []uint64, f field, col *batch.Column, i int) bool {
	switch f.layout {
	case types.LayoutBool:
		return w[f.at] == uint64(col.U8[i])
	case types.LayoutInt:
		return w[f.at] == uint64(col.I64[i])
	case types.LayoutFloat:
		return w[f.at] == floatWord(col.F64[i])
	case types.LayoutDec:
		d := col.Dec[i]
		if w[f.at] != uint64(d.Hi) || w[f.at+2] != uint64(d.Form)<<16|uint64(uint16(d.Scale)) {
			return false
		}
		if d.Form == types.DecBig {
			return bytes.Equal(s.text.Get(w[f.at+1]), bigText(d, col.Bytes))
		}
		return w[f.at+1] == d.Lo
	case types.LayoutIvl:
		return w[f.at] == uint64(col.Ivl[i].Micros) && w[f.at+1] == ivlWord(col.Ivl[i])
	case types.LayoutStr:
		return bytes.Equal(s.text.Get(w[f.at]), col.StrAt(i))
	}
	return true
}

// equal reports whether SQL calls column c of a row equal to row i of col, or both
// are NULL.
func (s *rowStore) equal(w []uint64, c int, col *batch.Column, i int) bool {
	f := s.fields[c]
	null := s.null(w, c)
	if null != (f.layout == types.LayoutNone || col.Null(i)) {
		return false
	}
	if null {
		return true
	}
	switch f.layout {
	case types.LayoutFloat:
		return types.CompareFloat(math.Float64frombits(w[f.at]), col.F64[i]) == 0
	case types.LayoutDec:
		d, text := s.decimal(w, f)
		return types.CompareDec(d, text, col.Dec[i], col.Bytes) == 0
	case types.LayoutIvl:
		return types.CompareIvl(interval(w, f), col.Ivl[i]) == 0
	}
	return s.sameValue(w, f, col, i)
}

// compare orders column c of row v of s and column d of row w of t, as
// batch.CompareColumns does.
func (s *rowStore) compare(v []uint64, c int, t *rowStore, w []uint64, d int, k SortKey) int {
	vn, wn := s.null(v, c), t.null(w, d)
	if vn || wn {
		switch {
		case vn && wn:
			return 0
		case vn == k.NullsFirst:
			return -1
		}
		return 1
	}
	f, g := s.fields[c], t.fields[d]
	r := 0
	switch f.layout {
	case types.LayoutBool, types.LayoutInt:
		r = cmp.Compare(int64(v[f.at]), int64(w[g.at]))
	case types.LayoutFloat:
		r = types.CompareFloat(math.Float64frombits(v[f.at]), math.Float64frombits(w[g.at]))
	case types.LayoutDec:
		a, at := s.decimal(v, f)
		b, bt := t.decimal(w, g)
		r = types.CompareDec(a, at, b, bt)
	case types.LayoutIvl:
		r = types.CompareIvl(interval(v, f), interval(w, g))
	case types.LayoutStr:
		r = bytes.Compare(s.text.Get(v[f.at]), t.text.Get(w[g.at]))
	}
	if k.Desc {
		return -r
	}
	return r
}

// compareWhole orders two rows of s by all columns, and, where SQL calls values
// equal that print differently, by their form: 0 only for identical rows.
func (s *rowStore) compareWhole(v, w []uint64) int {
	for c := range s.fields {
		if r := s.compare(v, c, s, w, c, SortKey{}); r != 0 {
			return r
		}
	}
	for c, f := range s.fields {
		if s.null(v, c) {
			continue
		}
		r := 0
		switch f.layout {
		case types.LayoutFloat:
			r = cmp.Compare(v[f.at], w[f.at])
		case types.LayoutDec:
			r = cmp.Compare(int16(uint16(v[f.at+2])), int16(uint16(w[f.at+2])))
		case types.LayoutIvl:
			a, b := interval(v, f), interval(w, f)
			r = cmp.Or(cmp.Compare(a.Months, b.Months), cmp.Compare(a.Days, b.Days), cmp.Compare(a.Micros, b.Micros))
		}
		if r != 0 {
			return r
		}
	}
	return 0
}
