package expr

import (
	"bytes"

	"github.com/tidemill/tidemill/internal/types"
)

// elems unboxes array argument k; NULL gives none.
func (f *frame) elems(k, i int) []types.Value {
	if f.null(k, i) {
		return nil
	}
	vs, err := types.ArrayElems(f.str(k, i))
	if err != nil {
		f.fail(i, err)
	}
	return vs
}

func (f *frame) setArray(i int, vs []types.Value) {
	f.open(i)
	f.out.buf = types.AppendArrayHeader(f.out.buf, f.t.Elem, len(vs))
	for _, v := range vs {
		f.out.buf = types.AppendArrayElem(f.out.buf, v)
	}
	f.close(i)
}

func (f *frame) arrayLen(i int) int64 {
	r := types.ReadArray(f.str(0, i))
	return int64(r.Len)
}

func arrayKernels(m map[string]kernels) {
	row := func(sig string, r rowKernel) { m[sig] = kernels{row: r} }
	row("array", func(f *frame, i int) {
		f.values = f.values[:0]
		for _, a := range f.args {
			f.values = append(f.values, a.Value(i))
		}
		f.setArray(i, f.values)
	})
	row("array_get", func(f *frame, i int) {
		n := f.int(1, i)
		r := types.ReadArray(f.str(0, i))
		if n < 1 || n > int64(r.Len) {
			f.setNull(i)
			return
		}
		var v types.Value
		for range n {
			v, _ = r.Next()
		}
		f.setValue(i, v)
	})
	size := func(f *frame, i int) {
		n := f.arrayLen(i)
		if f.int(1, i) != 1 || n == 0 {
			f.setNull(i)
			return
		}
		f.setInt(i, n)
	}
	row("array_length", size)
	row("array_upper", size)
	row("array_lower", func(f *frame, i int) {
		if f.int(1, i) != 1 || f.arrayLen(i) == 0 {
			f.setNull(i)
			return
		}
		f.setInt(i, 1)
	})
	row("array_ndims", func(f *frame, i int) {
		if f.arrayLen(i) == 0 {
			f.setNull(i)
			return
		}
		f.setInt(i, 1)
	})
	row("cardinality", func(f *frame, i int) { f.setInt(i, f.arrayLen(i)) })
	appendTo := func(f *frame, i int) { f.setArray(i, append(f.elems(0, i), f.args[1].Value(i))) }
	prepend := func(f *frame, i int) { f.setArray(i, append([]types.Value{f.args[0].Value(i)}, f.elems(1, i)...)) }
	cat := func(f *frame, i int) {
		if f.null(0, i) && f.null(1, i) {
			f.setNull(i)
			return
		}
		f.setArray(i, append(f.elems(0, i), f.elems(1, i)...))
	}
	row("||(anyarray,anyelement)", appendTo)
	row("||(anyelement,anyarray)", prepend)
	row("||(anyarray,anyarray)", cat)
	row("array_append", appendTo)
	row("array_prepend", prepend)
	row("array_cat", cat)
	same := func(a, b types.Value) bool { return a.Null && b.Null || !a.Null && !b.Null && types.Equal(a, b) }
	row("array_position", func(f *frame, i int) {
		want := f.args[1].Value(i)
		for k, v := range f.elems(0, i) {
			if same(v, want) {
				f.setInt(i, int64(k+1))
				return
			}
		}
		f.setNull(i)
	})
	row("array_remove", func(f *frame, i int) {
		if f.null(0, i) {
			f.setNull(i)
			return
		}
		want, out := f.args[1].Value(i), []types.Value{}
		for _, v := range f.elems(0, i) {
			if !same(v, want) {
				out = append(out, v)
			}
		}
		f.setArray(i, out)
	})
	contains := func(f *frame, i, outer, inner int) bool {
		have := f.elems(outer, i)
		for _, v := range f.elems(inner, i) {
			ok := false
			for _, h := range have {
				ok = ok || !v.Null && same(h, v)
			}
			if !ok {
				return false
			}
		}
		return true
	}
	row("@>", func(f *frame, i int) { f.setBool(i, contains(f, i, 0, 1)) })
	row("<@", func(f *frame, i int) { f.setBool(i, contains(f, i, 1, 0)) })
	row("&&", func(f *frame, i int) {
		have, any := f.elems(0, i), false
		for _, v := range f.elems(1, i) {
			for _, h := range have {
				any = any || !v.Null && same(h, v)
			}
		}
		f.setBool(i, any)
	})
	row("array_to_string(anyarray,text)", func(f *frame, i int) { arrayToString(f, i, false) })
	row("array_to_string(anyarray,text,text)", func(f *frame, i int) {
		if f.null(0, i) || f.null(1, i) {
			f.setNull(i)
			return
		}
		arrayToString(f, i, !f.null(2, i))
	})
	row("string_to_array", stringToArray)
	row("random", func(f *frame, i int) {
		if f.r.ctx.Random == nil {
			f.failf(i, types.CodeFeature, "random() is not available here")
			return
		}
		f.setFloat(i, f.r.ctx.Random())
	})
}

func arrayToString(f *frame, i int, nulls bool) {
	f.open(i)
	any := false
	for r := types.ReadArray(f.str(0, i)); ; {
		v, ok := r.Next()
		if !ok {
			break
		}
		if v.Null && !nulls {
			continue
		}
		if any {
			f.out.buf = append(f.out.buf, f.str(1, i)...)
		}
		any = true
		if v.Null {
			f.out.buf = append(f.out.buf, f.str(2, i)...)
		} else {
			v.T = f.from[0].ElemType()
			f.out.buf = types.AppendText(f.out.buf, v, f.r.style)
		}
	}
	f.close(i)
}

func stringToArray(f *frame, i int) {
	if f.null(0, i) {
		f.setNull(i)
		return
	}
	s := f.str(0, i)
	var parts [][]byte
	switch {
	case len(s) == 0:
	case f.null(1, i):
		for len(s) > 0 {
			n := runeLen(s)
			parts = append(parts, s[:n])
			s = s[n:]
		}
	case len(f.str(1, i)) == 0:
		parts = [][]byte{append([]byte{}, s...)}
	default:
		parts = bytes.Split(s, f.str(1, i))
	}
	f.setTexts(i, parts)
}
