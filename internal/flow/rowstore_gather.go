package flow

import (
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// gatherRows is how many rows gatherAll looks for once for all columns.
const gatherRows = 128

// gatherAll is gather for all columns; dst begins with theirs.
func (s *rowStore) gatherAll(dst []batch.Column, ids []uint32) {
	words := 0 // columns of one word each
	for c, f := range s.fields {
		switch {
		case s.anyNull || f.layout == types.LayoutNone || f.layout == types.LayoutDec || f.layout == types.LayoutStr || f.layout == types.LayoutIvl:
			s.gather(&dst[c], c, ids)
			continue
		case f.layout == types.LayoutBool:
			dst[c].U8 = fit(dst[c].U8, len(ids))
		case f.layout == types.LayoutInt:
			dst[c].I64 = fit(dst[c].I64, len(ids))
		case f.layout == types.LayoutFloat:
			dst[c].F64 = fit(dst[c].F64, len(ids))
		}
		dst[c].Valid = nil
		words++
	}
	if words == 0 {
		return
	}
	v := s.pages.View()
	var rows [gatherRows][]uint64
	for lo := 0; lo < len(ids); lo += gatherRows {
		part := ids[lo:min(lo+gatherRows, len(ids))]
		for k, id := range part {
			if rows[k] = v.Row(id); rows[k] == nil {
				rows[k] = s.row(id)
			}
		}
		s.gatherWords(dst, rows[:len(part)], lo)
	}
}

// gatherWords writes the columns of one word each, of rows that begin at place lo.
func (s *rowStore) gatherWords(dst []batch.Column, rows [][]uint64, lo int) {
	for c, f := range s.fields {
		switch {
		case s.anyNull:
		case f.layout == types.LayoutBool:
			out := dst[c].U8[lo : lo+len(rows)]
			for k, w := range rows {
				out[k] = uint8(w[f.at])
			}
		case f.layout == types.LayoutInt:
			out := dst[c].I64[lo : lo+len(rows)]
			for k, w := range rows {
				out[k] = int64(w[f.at])
			}
		case f.layout == types.LayoutFloat:
			out := dst[c].F64[lo : lo+len(rows)]
			for k, w := range rows {
				out[k] = math.Float64frombits(w[f.at])
			}
		}
	}
}

// gather writes column c of the given rows into dst, whose memory is used again.
func (s *rowStore) gather(dst *batch.Column, c int, ids []uint32) {
	f := s.fields[c]
	n := len(ids)
	v := s.pages.View()
	valid := s.gatherNulls(&v, c, ids)
	dst.Valid = valid
	switch f.layout {
	case types.LayoutBool:
		dst.U8 = fit(dst.U8, n)
		for k, id := range ids {
			w := v.Row(id)
			if w == nil {
				w = s.row(id)
			}
			dst.U8[k] = uint8(w[f.at])
		}
	case types.LayoutInt:
		dst.I64 = fit(dst.I64, n)
		for k, id := range ids {
			w := v.Row(id)
			if w == nil {
				w = s.row(id)
			}
			dst.I64[k] = int64(w[f.at])
		}
	case types.LayoutFloat:
		dst.F64 = fit(dst.F64, n)
		for k, id := range ids {
			w := v.Row(id)
			if w == nil {
				w = s.row(id)
			}
			dst.F64[k] = math.Float64frombits(w[f.at])
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

// gatherNulls returns which of the rows have a value in column c, nil if all have.
func (s *rowStore) gatherNulls(v *state.View, c int, ids []uint32) (valid batch.Bitmap) {
	if !s.anyNull {
		return nil
	}
	for k, id := range ids {
		w := v.Row(id)
		if w == nil {
			w = s.row(id)
		}
		if s.null(w, c) {
			if valid == nil {
				valid = ones(len(ids))
			}
			valid.Clear(k)
		}
	}
	return valid
}

// gatherText is gather for values with bytes in the arena. A freed row's word may
// be in the place of a NULL, so NULLs are not looked at.
func (s *rowStore) gatherText(dst *batch.Column, f field, ids []uint32, valid batch.Bitmap) {
	n := len(ids)
	v := s.pages.View()
	dst.Bytes = dst.Bytes[:0]
	if f.layout == types.LayoutStr {
		dst.Str = fit(dst.Str, n)
		for k, id := range ids {
			dst.Str[k] = batch.Ref{}
			if valid.Get(k) {
				w := v.Row(id)
				if w == nil {
					w = s.row(id)
				}
				t := s.text.Get(w[f.at])
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
