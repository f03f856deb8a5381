package expr

import (
	"errors"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

//go:generate go run gen/main.go

// MaxColumnBytes bounds the text that one expression may make for one block; more
// is error 53200 at the row that passes it.
const MaxColumnBytes = 1 << 30

// MaxTextBytes bounds one text that a function makes; a longer one is error 54000.
const MaxTextBytes = 64 << 20

// run is one evaluation of a program.
type run struct {
	ctx   *Ctx
	in    *batch.Batch
	n     int // physical rows
	style types.Style
}

func (r *run) start(ctx *Ctx, in *batch.Batch) {
	r.ctx, r.in, r.n = ctx, in, in.N
	r.style = types.Style{Location: ctx.Zone, Now: ctx.Now, HasNow: true}
}

// node computes one expression. sel lists the rows to compute; nil means all of
// them. The column is aligned with the physical rows and valid until the next eval.
type node interface {
	eval(r *run, sel []uint32) *batch.Column
}

// vec is a node's result with the memory it reuses.
type vec struct {
	batch.Column
	own   batch.Bitmap // memory for Valid
	owned bool         // Valid is own, so it may be changed
	buf   []byte       // memory for Bytes
	rows  int
}

// reset makes room for n values of type t, none of them NULL. What points into
// buf is zero: a row that is NULL is not written, and must stay readable.
func (v *vec) reset(t types.Type, n int) {
	v.Type, v.Valid, v.owned, v.rows = t, nil, false, n
	v.buf = v.buf[:0]
	switch t.Layout() {
	case types.LayoutBool:
		v.U8 = resize(v.U8, n)
	case types.LayoutInt:
		v.I64 = resize(v.I64, n)
	case types.LayoutFloat:
		v.F64 = resize(v.F64, n)
	case types.LayoutDec:
		v.Dec = resize(v.Dec, n)
		clear(v.Dec)
	case types.LayoutIvl:
		v.Ivl = resize(v.Ivl, n)
	case types.LayoutStr:
		v.Str = resize(v.Str, n)
		clear(v.Str)
	}
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, max(n, batch.BlockRows))
	}
	return s[:n]
}

// ownValid makes Valid changeable.
func (v *vec) ownValid() {
	if v.owned {
		return
	}
	words := (v.rows + 63) >> 6
	v.own = resize(v.own, words)
	if v.Valid == nil {
		for i := range v.own {
			v.own[i] = ^uint64(0)
		}
	} else {
		copy(v.own, v.Valid[:words])
	}
	v.Valid, v.owned = v.own, true
}

// setNull makes row i NULL; its slot keeps a readable value.
func (v *vec) setNull(i int) {
	v.ownValid()
	v.Valid.Clear(i)
	switch v.Type.Layout() {
	case types.LayoutDec:
		v.Dec[i] = types.Decimal{}
	case types.LayoutStr:
		v.Str[i] = batch.Ref{}
	case types.LayoutBool:
		v.U8[i] = 0
	}
}

// allNull makes every row NULL.
func (v *vec) allNull() {
	v.ownValid()
	clear(v.own)
	clear(v.Dec)
	clear(v.Str)
	clear(v.U8)
}

// meet makes Valid the rows where none of cols is NULL.
func (v *vec) meet(cols []*batch.Column) {
	words := (v.rows + 63) >> 6
	for _, c := range cols {
		switch {
		case c.Valid == nil:
		case v.Valid == nil:
			v.Valid = c.Valid[:words]
		default:
			v.ownValid()
			for i, w := range c.Valid[:words] {
				v.own[i] &= w
			}
		}
	}
}

// copyRows copies rows of src to the same rows of v, in v's own memory. v.buf is
// the text so far; the caller sets Bytes at the end.
func (v *vec) copyRows(src *batch.Column, rows []uint32) {
	if src.Type.Layout() == types.LayoutNone {
		for _, i := range rows {
			v.setNull(int(i))
		}
		return
	}
	switch v.Type.Layout() {
	case types.LayoutBool:
		scatter(v.U8, src.U8, rows)
	case types.LayoutInt:
		scatter(v.I64, src.I64, rows)
	case types.LayoutFloat:
		scatter(v.F64, src.F64, rows)
	case types.LayoutIvl:
		scatter(v.Ivl, src.Ivl, rows)
	case types.LayoutDec:
		for _, i := range rows {
			if v.Dec[i] = src.Dec[i]; src.Valid.Get(int(i)) && src.Dec[i].IsBig() {
				v.Dec[i] = types.DecCopy(src.Dec[i], src.Bytes, &v.buf)
			}
		}
	case types.LayoutStr:
		for _, i := range rows {
			if src.Valid.Get(int(i)) {
				s := src.StrAt(int(i))
				v.Str[i] = batch.Ref{Off: uint32(len(v.buf)), Len: uint32(len(s))}
				v.buf = append(v.buf, s...)
			}
		}
	}
	if src.Valid == nil && v.Valid == nil {
		return
	}
	for _, i := range rows {
		if !src.Valid.Get(int(i)) {
			v.setNull(int(i))
		} else if v.Valid != nil {
			v.ownValid()
			v.Valid.Set(int(i))
		}
	}
}

func scatter[T any](dst, src []T, rows []uint32) {
	for _, i := range rows {
		dst[i] = src[i]
	}
}

// b2u is 1 for true, without a branch.
func b2u(b bool) uint8 {
	var u uint8
	if b {
		u = 1
	}
	return u
}

// A vecKernel computes f.out for all rows that f selects. Valid is set already when
// the function is strict; values of NULL rows may be anything readable.
type vecKernel func(f *frame)

// A rowKernel computes row i of f.out. A strict function gets no NULL.
type rowKernel func(f *frame, i int)

type kernels struct {
	vec vecKernel
	row rowKernel
}

// frame is what a kernel works on. It lives as long as its node, so it may keep
// what it prepared, such as a compiled pattern, in memo.
type frame struct {
	r      *run
	fn     *Func
	sel    []uint32
	n      int
	args   []*batch.Column
	konst  []bool // the argument has the same value in every row
	out    *vec
	shared bool // out.Bytes is an argument's
	t      types.Type
	from   []types.Type // the arguments' types
	memo   any
	values []types.Value // scratch for Host
	tmp    []byte
	tmp2   []byte
	mod    int32 // casts: modifier of the target
	expl   bool  // casts: explicit
}

func (f *frame) int(k, i int) int64                   { return f.args[k].I64[i] }
func (f *frame) float(k, i int) float64               { return f.args[k].F64[i] }
func (f *frame) bool(k, i int) bool                   { return f.args[k].U8[i] != 0 }
func (f *frame) str(k, i int) []byte                  { return f.args[k].StrAt(i) }
func (f *frame) ivl(k, i int) types.IntervalVal       { return f.args[k].Ivl[i] }
func (f *frame) dec(k, i int) (types.Decimal, []byte) { return f.args[k].Dec[i], f.args[k].Bytes }
func (f *frame) null(k, i int) bool                   { return f.args[k].Null(i) }

func (f *frame) setInt(i int, x int64)             { f.out.I64[i] = x }
func (f *frame) setFloat(i int, x float64)         { f.out.F64[i] = x }
func (f *frame) setBool(i int, x bool)             { f.out.U8[i] = b2u(x) }
func (f *frame) setIvl(i int, x types.IntervalVal) { f.out.Ivl[i] = x }
func (f *frame) setNull(i int)                     { f.out.setNull(i) }

// arena is where results' big digits go.
func (f *frame) arena() *[]byte { return &f.out.buf }

// setDec stores a decimal whose digits are in the arena, or err.
func (f *frame) setDec(i int, d types.Decimal, err error) {
	if err != nil {
		f.fail(i, err)
		return
	}
	f.out.Dec[i] = d
}

// setStr copies s in as row i.
func (f *frame) setStr(i int, s []byte) {
	v := f.out
	if !f.room(i, len(s)) {
		return
	}
	v.Str[i] = batch.Ref{Off: uint32(len(v.buf)), Len: uint32(len(s))}
	v.buf = append(v.buf, s...)
}

func (f *frame) setString(i int, s string) {
	v := f.out
	if !f.room(i, len(s)) {
		return
	}
	v.Str[i] = batch.Ref{Off: uint32(len(v.buf)), Len: uint32(len(s))}
	v.buf = append(v.buf, s...)
}

// room checks the bounds of texts.
func (f *frame) room(i, n int) bool {
	if n > MaxTextBytes {
		f.fail(i, &types.Error{Code: "54000", Message: "requested length too large"})
		return false
	}
	if len(f.out.buf)+n > MaxColumnBytes {
		f.fail(i, &types.Error{Code: types.CodeOutOfMemory, Message: "the texts that an expression makes for one block are too large"})
		return false
	}
	return true
}

// open starts a text for row i that is appended to f.out.buf; close ends it.
func (f *frame) open(i int) { f.out.Str[i].Off = uint32(len(f.out.buf)) }

func (f *frame) close(i int) {
	r := &f.out.Str[i]
	r.Len = uint32(len(f.out.buf)) - r.Off
	if len(f.out.buf) > MaxColumnBytes || r.Len > MaxTextBytes {
		f.out.buf = f.out.buf[:r.Off]
		f.room(i, MaxTextBytes+1)
	}
}

// setSub stores bytes lo to hi of argument 0's text, which the result shares.
func (f *frame) setSub(i, lo, hi int) {
	f.out.Str[i] = batch.Ref{Off: f.args[0].Str[i].Off + uint32(lo), Len: uint32(hi - lo)}
}

// fail notes an error of row i, whose result is NULL.
func (f *frame) fail(i int, err error) {
	var e *types.Error
	if !errors.As(err, &e) {
		e = &types.Error{Code: types.CodeInternal, Message: err.Error()}
	}
	f.r.ctx.Errs = append(f.r.ctx.Errs, RowError{Row: i, Err: e})
	f.out.setNull(i)
}

func (f *frame) failf(i int, code, msg string) { f.fail(i, &types.Error{Code: code, Message: msg}) }

// each calls fn for the rows selected, leaving out those whose result is NULL.
func (f *frame) each(fn rowKernel) {
	valid := f.out.Valid // rows that fail later clear bits of their own only
	switch {
	case f.sel == nil && valid == nil:
		for i := range f.n {
			fn(f, i)
		}
	case f.sel == nil:
		for i := range f.n {
			if valid.Get(i) {
				fn(f, i)
			}
		}
	default:
		for _, i := range f.sel {
			if valid.Get(int(i)) {
				fn(f, int(i))
			}
		}
	}
}
