package flow

import (
	"bytes"
	"cmp"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// rowStore keeps rows as words of fixed number in chunks that never move, numbered
// from 1. A row is header words that belong to the store's user, a bit for each
// NULL, and the values: one word each, decimals three, intervals two. Text is in
// an arena. Nothing in it is a Go pointer, so the collector has no work with it.
type rowStore struct {
	types   []types.Type
	fields  []field
	nulls   int // index of the first word of NULL bits
	stride  int
	chunks  [][]uint64
	next    uint32 // lowest number never given out
	free    uint32 // head of a list through the first words of freed rows
	text    arena
	anyNull bool // a row with a NULL has been written
}

// field is where a column's value is in a row.
type field struct {
	layout types.Layout
	at     int // word
}

const (
	rowChunkBits = 10
	rowChunk     = 1 << rowChunkBits
	lineWords    = 8 // words of a cache line, to which chunks are aligned
)

func newRowStore(ts []types.Type, header int) *rowStore {
	s := &rowStore{types: ts, nulls: header, next: 1}
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
	return s
}

func (s *rowStore) bytes() int64 {
	return int64(len(s.chunks))*rowChunk*int64(s.stride)*8 + s.text.bytes
}

// row returns the words of row id.
func (s *rowStore) row(id uint32) []uint64 {
	at := int(id&(rowChunk-1)) * s.stride
	return s.chunks[id>>rowChunkBits][at : at+s.stride : at+s.stride]
}

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
	if int(id>>rowChunkBits) == len(s.chunks) {
		s.chunks = append(s.chunks, make([]uint64, rowChunk*s.stride))
	}
	return id
}

// release frees row id and its text.
func (s *rowStore) release(id uint32) {
	w := s.row(id)
	for c, f := range s.fields {
		if s.null(w, c) {
			continue
		}
		switch {
		case f.layout == types.LayoutStr:
			s.text.release(w[f.at])
		case f.layout == types.LayoutDec && decForm(w[f.at+2]) == types.DecBig:
			s.text.release(w[f.at+1])
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
				w[f.at+1] = s.text.put(bigText(d, col.Bytes))
			}
		case types.LayoutIvl:
			w[f.at], w[f.at+1] = uint64(col.Ivl[i].Micros), ivlWord(col.Ivl[i])
		case types.LayoutStr:
			w[f.at] = s.text.put(col.StrAt(i))
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
	text := s.text.get(d.Lo)
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
			return bytes.Equal(s.text.get(w[f.at+1]), bigText(d, col.Bytes))
		}
		return w[f.at+1] == d.Lo
	case types.LayoutIvl:
		return w[f.at] == uint64(col.Ivl[i].Micros) && w[f.at+1] == ivlWord(col.Ivl[i])
	case types.LayoutStr:
		return bytes.Equal(s.text.get(w[f.at]), col.StrAt(i))
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
		r = bytes.Compare(s.text.get(v[f.at]), t.text.get(w[g.at]))
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

// gather writes column c of the given rows into dst, whose memory is used again.
func (s *rowStore) gather(dst *batch.Column, c int, ids []uint32) {
	f := s.fields[c]
	n := len(ids)
	dst.Valid = nil
	var valid batch.Bitmap
	if s.anyNull {
		for k, id := range ids {
			w := s.row(id)
			if s.null(w, c) {
				if valid == nil {
					valid = ones(n)
				}
				valid.Clear(k)
			}
		}
	}
	dst.Valid = valid
	switch f.layout {
	case types.LayoutBool:
		dst.U8 = fit(dst.U8, n)
		for k, id := range ids {
			dst.U8[k] = uint8(s.row(id)[f.at])
		}
	case types.LayoutInt:
		dst.I64 = fit(dst.I64, n)
		for k, id := range ids {
			dst.I64[k] = int64(s.row(id)[f.at])
		}
	case types.LayoutFloat:
		dst.F64 = fit(dst.F64, n)
		for k, id := range ids {
			dst.F64[k] = math.Float64frombits(s.row(id)[f.at])
		}
	case types.LayoutIvl:
		dst.Ivl = fit(dst.Ivl, n)
		for k, id := range ids {
			dst.Ivl[k] = interval(s.row(id), f)
		}
	case types.LayoutDec, types.LayoutStr:
		s.gatherText(dst, f, ids, valid)
	}
}

// gatherText is gather for values with bytes in the arena. A freed row's word may
// be in the place of a NULL, so NULLs are not looked at.
func (s *rowStore) gatherText(dst *batch.Column, f field, ids []uint32, valid batch.Bitmap) {
	n := len(ids)
	dst.Bytes = dst.Bytes[:0]
	if f.layout == types.LayoutStr {
		dst.Str = fit(dst.Str, n)
		for k, id := range ids {
			dst.Str[k] = batch.Ref{}
			if valid.Get(k) {
				t := s.text.get(s.row(id)[f.at])
				dst.Str[k] = batch.Ref{Off: uint32(len(dst.Bytes)), Len: uint32(len(t))}
				dst.Bytes = append(dst.Bytes, t...)
			}
		}
		return
	}
	dst.Dec = fit(dst.Dec, n)
	for k, id := range ids {
		dst.Dec[k] = types.Decimal{}
		if !valid.Get(k) {
			continue
		}
		d, text := s.decimal(s.row(id), f)
		if d.Form == types.DecBig {
			d.Lo |= uint64(len(dst.Bytes)) << 32
			dst.Bytes = append(dst.Bytes, text...)
		}
		dst.Dec[k] = d
	}
}

func ones(n int) batch.Bitmap {
	m := make(batch.Bitmap, (n+63)>>6)
	for i := range m {
		m[i] = ^uint64(0)
	}
	return m
}

// fit returns s with length n, in its memory if that is large enough.
func fit[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, max(n, batch.BlockRows))
	}
	return s[:n]
}
