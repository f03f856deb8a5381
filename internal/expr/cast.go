package expr

import (
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// cast compiles a conversion: first between kinds, then to the modifier.
func (c *compiler) cast(e *Cast) (node, error) {
	arg, err := c.node(e.Arg)
	if err != nil {
		return nil, err
	}
	from, to := e.Arg.Type(), e.T
	if k, ok := arg.(*constNode); ok && k.v.Null || from.Layout() == types.LayoutNone && !ok {
		return &constNode{v: types.NullOf(to)}, nil
	} else if ok && from.Layout() == types.LayoutNone { // an untyped literal
		from = types.T(types.Text)
		arg = &constNode{v: types.TextValue(k.v.S)}
	}
	k, stable, same := castKernel(from, to)
	if k.row == nil && k.vec == nil && !same {
		return nil, &types.Error{Code: "42846", Message: "cannot cast type " + typeName(from) + " to " + typeName(to)}
	}
	vol := Immutable
	if stable {
		vol = Stable
	}
	n := arg
	if !same {
		fn := &Func{Name: "cast", Strict: true, Volatility: vol, vec: k.vec, row: k.row}
		call := newCall(fn, []node{arg}, []types.Type{from}, to)
		call.f.mod, call.f.expl = to.Mod, e.Explicit
		n = fold(call)
	}
	if m := modKernel(from, to); m.row != nil || m.vec != nil {
		fn := &Func{Name: "cast", Strict: true, vec: m.vec, row: m.row}
		call := newCall(fn, []node{n}, []types.Type{to}, to)
		call.f.mod, call.f.expl = to.Mod, e.Explicit
		n = fold(call)
	}
	if k, ok := n.(*constNode); ok && k.v.T != to {
		v := k.v
		v.T = to
		n = &constNode{v: v}
	}
	return n, nil
}

// modKernel fits values of to's kind to its modifier.
func modKernel(from, to types.Type) kernels {
	if to.Mod == 0 || from.Kind == to.Kind && from.Mod == to.Mod || to.Kind == types.Array {
		return kernels{}
	}
	switch to.Kind {
	case types.Varchar:
		return kernels{vec: castVarchar}
	case types.Numeric:
		return kernels{row: func(f *frame, i int) {
			d, a := f.dec(0, i)
			r, err := types.CoerceDecimal(d, a, f.mod, f.arena())
			f.setDec(i, r, err)
		}}
	case types.Time:
		return kernels{row: func(f *frame, i int) { f.setInt(i, types.RoundMicros(f.int(0, i), f.mod)) }}
	case types.Timestamp, types.TimestampTZ:
		return kernels{row: func(f *frame, i int) { f.setInt(i, types.CoerceTimestamp(f.int(0, i), f.mod)) }}
	case types.Interval:
		return kernels{row: func(f *frame, i int) {
			v := f.ivl(0, i)
			v.Micros = types.RoundMicros(v.Micros, f.mod)
			f.setIvl(i, v)
		}}
	}
	return kernels{}
}

// castVarchar cuts texts to their modifier's length, sharing their bytes.
func castVarchar(f *frame) {
	f.share()
	f.each(func(f *frame, i int) {
		s := f.str(0, i)
		if n := int(f.mod) - 4; len(s) <= n {
			f.setSub(i, 0, len(s))
			return
		}
		t, err := types.CoerceVarchar(string(s), f.mod, f.expl)
		if err != nil {
			f.fail(i, err)
			return
		}
		f.setSub(i, 0, len(t))
	})
}

// share makes the result use argument 0's bytes.
func (f *frame) share() {
	f.shared = true
	f.out.Bytes = f.args[0].Bytes
}

// castKernel converts between kinds. same says that the values are alike already;
// stable, that the result depends on the session.
func castKernel(from, to types.Type) (k kernels, stable, same bool) {
	fk, tk := from.Kind, to.Kind
	if fk == tk && fk != types.Array {
		return k, false, true
	}
	row := func(r rowKernel) kernels { return kernels{row: r} }
	switch {
	case fk == types.Array && tk == types.Array:
		if from.Elem == to.Elem && to.Mod == 0 {
			return k, false, true
		}
		return row(castArray), true, false
	case types.IsString(tk):
		return castToText(fk, tk), fk == types.TimestampTZ || fk == types.Array || types.IsDateTime(fk) || fk == types.Interval || fk == types.Regclass, (fk == types.Text || fk == types.Varchar || fk == types.Name || fk == types.Char) && (tk == types.Text || tk == types.Varchar)
	case types.IsString(fk):
		if fk == types.Char && tk == types.Int4 {
			return row(func(f *frame, i int) {
				if s := f.str(0, i); len(s) > 0 {
					f.setInt(i, int64(int8(s[0])))
				} else {
					f.setInt(i, 0)
				}
			}), false, false
		}
		return castFromText(tk), types.IsDateTime(tk) || tk == types.Array || tk == types.Interval, false
	case types.IsInteger(fk) || fk == types.Oid || fk == types.Regclass:
		return castInt(fk, tk)
	case types.IsFloat(fk):
		return castFloat(fk, tk)
	case fk == types.Numeric:
		return castNumeric(tk), false, false
	case fk == types.Bool && tk == types.Int4:
		return row(func(f *frame, i int) { f.setInt(i, int64(f.args[0].U8[i])) }), false, false
	case types.IsDateTime(fk) || fk == types.Interval:
		return castTime(fk, tk), fk == types.TimestampTZ || tk == types.TimestampTZ, false
	}
	return k, false, false
}

func castInt(fk, tk types.Kind) (k kernels, stable, same bool) {
	rank := func(k types.Kind) int {
		switch k {
		case types.Int2:
			return 1
		case types.Int4:
			return 2
		case types.Int8:
			return 3
		}
		return 0
	}
	id := fk == types.Oid || fk == types.Regclass
	switch {
	case types.IsInteger(fk) && types.IsInteger(tk):
		if rank(fk) <= rank(tk) {
			return k, false, true
		}
		return kernels{vec: func(f *frame) { narrowInts(f, tk) }}, false, false
	case tk == types.Oid || tk == types.Regclass:
		if id {
			return k, false, true
		}
		return kernels{row: func(f *frame, i int) {
			x := f.int(0, i)
			if fk == types.Int8 && (x < 0 || x > math.MaxUint32) {
				f.failf(i, types.CodeOutOfRange, "OID out of range")
				return
			}
			f.setInt(i, int64(uint32(x)))
		}}, false, false
	case id && tk == types.Int8:
		return k, false, true
	case id && tk == types.Int4:
		return kernels{row: func(f *frame, i int) { f.setInt(i, int64(int32(f.int(0, i)))) }}, false, false
	case id:
		return k, false, false
	case tk == types.Float8:
		return kernels{vec: func(f *frame) {
			for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
				i := rowAt(f.sel, k)
				f.out.F64[i] = float64(f.args[0].I64[i])
			}
		}}, false, false
	case tk == types.Float4:
		return kernels{row: func(f *frame, i int) { f.setFloat(i, float64(float32(f.int(0, i)))) }}, false, false
	case tk == types.Numeric:
		return kernels{vec: func(f *frame) {
			for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
				i := rowAt(f.sel, k)
				f.out.Dec[i] = types.DecFromInt64(f.args[0].I64[i])
			}
		}}, false, false
	case tk == types.Bool && fk == types.Int4:
		return kernels{row: func(f *frame, i int) { f.setBool(i, f.int(0, i) != 0) }}, false, false
	case tk == types.Char && fk == types.Int4:
		return kernels{row: func(f *frame, i int) {
			x := f.int(0, i)
			if x < -128 || x > 127 {
				f.failf(i, types.CodeOutOfRange, `"char" out of range`)
				return
			}
			if x == 0 {
				f.setStr(i, nil)
				return
			}
			f.setStr(i, []byte{byte(x)})
		}}, false, false
	}
	return k, false, false
}

func narrowInts(f *frame, to types.Kind) {
	valid := f.out.Valid
	for k, m := 0, rowCount(f.sel, f.n); k < m; k++ {
		i := rowAt(f.sel, k)
		x := f.args[0].I64[i]
		f.out.I64[i] = x
		if !fits(to, x) && valid.Get(i) {
			f.fail(i, types.ErrIntOutOfRange(to))
		}
	}
}

func castFloat(fk, tk types.Kind) (k kernels, stable, same bool) {
	switch {
	case tk == types.Float8:
		return k, false, true
	case tk == types.Float4:
		return kernels{row: func(f *frame, i int) {
			x := f.float(0, i)
			y := float64(float32(x))
			switch {
			case math.IsInf(y, 0) && !math.IsInf(x, 0):
				f.fail(i, errFloatOverflow)
			case y == 0 && x != 0:
				f.fail(i, errFloatUnderflow)
			default:
				f.setFloat(i, y)
			}
		}}, false, false
	case types.IsInteger(tk):
		return kernels{row: func(f *frame, i int) {
			x := math.RoundToEven(f.float(0, i))
			if !(x >= math.MinInt64 && x < math.MaxInt64) || !fits(tk, int64(x)) {
				f.fail(i, types.ErrIntOutOfRange(tk))
				return
			}
			f.setInt(i, int64(x))
		}}, false, false
	case tk == types.Numeric && fk == types.Float4:
		return kernels{row: func(f *frame, i int) {
			d, err := types.DecFromFloat4(f.float(0, i), f.arena())
			f.setDec(i, d, err)
		}}, false, false
	case tk == types.Numeric:
		return kernels{row: func(f *frame, i int) {
			d, err := types.DecFromFloat64(f.float(0, i), f.arena())
			f.setDec(i, d, err)
		}}, false, false
	}
	return k, false, false
}

func castNumeric(tk types.Kind) kernels {
	switch {
	case types.IsInteger(tk):
		return kernels{row: func(f *frame, i int) {
			d, a := f.dec(0, i)
			x, err := types.DecToInt(tk, d, a)
			if err != nil {
				f.fail(i, err)
				return
			}
			f.setInt(i, x)
		}}
	case types.IsFloat(tk):
		conv := types.DecToFloat64
		if tk == types.Float4 {
			conv = types.DecToFloat4
		}
		return kernels{row: func(f *frame, i int) {
			d, a := f.dec(0, i)
			x, err := conv(d, a)
			if err != nil {
				f.fail(i, err)
				return
			}
			f.setFloat(i, x)
		}}
	}
	return kernels{}
}

// castToText prints values; boolean prints in full, unlike its output.
func castToText(fk, tk types.Kind) kernels {
	limit := func(f *frame, i int) {
		r := &f.out.Str[i]
		switch tk {
		case types.Name:
			if r.Len > types.MaxNameLen {
				r.Len = uint32(cutRunes(f.out.buf[r.Off:r.Off+r.Len], types.MaxNameLen))
			}
		case types.Char:
			r.Len = min(r.Len, 1)
		}
	}
	return kernels{row: func(f *frame, i int) {
		f.open(i)
		if fk == types.Bool {
			if f.bool(0, i) {
				f.out.buf = append(f.out.buf, "true"...)
			} else {
				f.out.buf = append(f.out.buf, "false"...)
			}
		} else {
			f.out.buf = appendTextAt(f.out.buf, f.args[0], f.from[0], i, &f.r.style)
		}
		f.close(i)
		limit(f, i)
	}}
}

// cutRunes is the length of the longest prefix of at most n bytes that ends between characters.
func cutRunes(s []byte, n int) int {
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return n
}

// appendTextAt appends row i of c, of type t, as its output function prints it.
func appendTextAt(dst []byte, c *batch.Column, t types.Type, i int, st *types.Style) []byte {
	switch t.Layout() {
	case types.LayoutBool:
		return types.AppendBool(dst, c.U8[i] != 0)
	case types.LayoutInt:
		return types.AppendIntKind(dst, t.Kind, c.I64[i], st)
	case types.LayoutFloat:
		return types.AppendFloatKind(dst, t.Kind, c.F64[i], st)
	case types.LayoutDec:
		return types.AppendDecimal(dst, c.Dec[i], c.Bytes)
	case types.LayoutIvl:
		return types.AppendInterval(dst, c.Ivl[i], st.IntervalStyle)
	case types.LayoutStr:
		switch t.Kind {
		case types.Array:
			return types.AppendArrayText(dst, c.StrAt(i), st)
		case types.Bytea:
			return types.AppendBytea(dst, c.StrAt(i), st.ByteaEscape)
		case types.Record:
			return types.AppendRecordText(dst, c.StrAt(i), st)
		}
		return append(dst, c.StrAt(i)...)
	}
	return dst
}

// castFromText reads values as their input functions do.
func castFromText(tk types.Kind) kernels {
	slow := func(f *frame, i int) {
		v, err := types.Parse(f.t.WithoutMod(), string(f.str(0, i)), f.r.style)
		if err != nil {
			f.fail(i, err)
			return
		}
		f.setValue(i, v)
	}
	switch tk {
	case types.Int2, types.Int4, types.Int8:
		return kernels{row: func(f *frame, i int) {
			if x, ok := types.ParseIntBytes(f.str(0, i)); ok && fits(tk, x) {
				f.setInt(i, x)
				return
			}
			slow(f, i)
		}}
	case types.Float8:
		return kernels{row: func(f *frame, i int) {
			if x, ok := types.ParseFloatBytes(f.str(0, i)); ok {
				f.setFloat(i, x)
				return
			}
			slow(f, i)
		}}
	case types.Numeric:
		return kernels{row: func(f *frame, i int) {
			if d, ok := types.ParseDecimalBytes(f.str(0, i)); ok {
				f.out.Dec[i] = d
				return
			}
			slow(f, i)
		}}
	case types.Timestamp:
		return kernels{row: func(f *frame, i int) {
			if ts, ok := types.ParseTimestampBytes(f.str(0, i)); ok {
				f.setInt(i, ts)
				return
			}
			slow(f, i)
		}}
	case types.Regclass: // names need a catalog; the planner looks up literals
		return kernels{row: func(f *frame, i int) {
			x, ok := types.ParseIntBytes(f.str(0, i))
			if !ok || x < 0 || x > math.MaxUint32 {
				f.failf(i, types.CodeFeature, "a relation's name that is not a literal cannot become a regclass")
				return
			}
			f.setInt(i, x)
		}}
	case types.Void, types.Record, types.Unknown:
		return kernels{}
	}
	return kernels{row: slow}
}

// castArray converts the elements as Cast would one value.
func castArray(f *frame, i int) {
	type inner struct {
		p   *Program
		in  batch.Batch
		out [1]batch.Column
	}
	from, to := f.from[0].ElemType(), f.t.ElemType()
	m, _ := f.memo.(*inner)
	if m == nil {
		p, err := Compile([]Expr{&Cast{Arg: Col{T: from}, T: to, Explicit: f.expl}})
		if err != nil {
			f.fail(i, err)
			return
		}
		m = &inner{p: p, in: batch.Batch{Cols: []batch.Column{{Type: from}}}}
		f.memo = m
	}
	col := &m.in.Cols[0]
	col.Truncate()
	m.in.N = 0
	for r := types.ReadArray(f.str(0, i)); ; m.in.N++ {
		v, ok := r.Next()
		if !ok {
			break
		}
		v.T = from
		col.AppendValue(m.in.N, v)
	}
	ctx := Ctx{Now: f.r.ctx.Now, Zone: f.r.ctx.Zone}
	m.p.Eval(&ctx, &m.in, m.out[:])
	if len(ctx.Errs) > 0 {
		f.fail(i, ctx.Errs[0].Err)
		return
	}
	f.open(i)
	f.out.buf = types.AppendArrayHeader(f.out.buf, to.Kind, m.in.N)
	for k := range m.in.N {
		f.out.buf = types.AppendArrayElem(f.out.buf, m.out[0].Value(k))
	}
	f.close(i)
}
