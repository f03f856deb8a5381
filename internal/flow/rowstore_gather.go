package flow

import (
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

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
