package flow

import (
	"math"
	"math/bits"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// MaxWindows bounds how many windows of one HOP may hold a row: Size / Slide,
// rounded up.
const MaxWindows = 1 << 16

// window is TUMBLE and HOP: the row with time t belongs to the windows
// [s, s+Size) with s = Offset + k*Slide that hold t. And CUMULATE: it belongs to the
// windows [s, s+j*Step), j from 1 to Size/Step, that hold t.
//
// It is linear: a row's windows depend on the row alone. The j-th window of all
// rows of a block is emitted as one block: the input's columns as they are, and
// the start and end of that window. Nothing is copied.
type window struct {
	node int
	Window
	kind   types.Type
	starts []int64 // by physical row: start of the last window that holds it
	begins []int64 // of the window being emitted
	ends   []int64
	sel    []uint32
	out    batch.Batch
}

func newWindow(env Env, op *Window) *window {
	return &window{node: env.Node, Window: *op, kind: env.In[0][op.Time]}
}

func (w *window) Push(st *Step, _ int, b *batch.Batch, out Emitter) {
	w.fit(b.N)
	w.last(st, b)
	times := b.Cols[w.Time].I64
	n := len(b.Cols)
	w.out = batch.Batch{Cols: append(w.out.Cols[:0], b.Cols...), N: b.N, Sel: w.sel, Weights: b.Weights}
	w.out.Cols = append(w.out.Cols,
		batch.Column{Type: w.kind, I64: w.begins[:b.N]}, batch.Column{Type: w.kind, I64: w.ends[:b.N]})
	if w.Step > 0 {
		w.cumulate(times, out)
		return
	}
	for back := int64(0); len(w.out.Sel) > 0 && back < w.Size; back += w.Slide {
		keep := w.sel[:0]
		begins, ends := w.out.Cols[n].I64, w.out.Cols[n+1].I64
		for _, i := range w.out.Sel {
			start := w.starts[i] - back
			if start <= times[i]-w.Size {
				continue // the rows are in order of nothing: each has its own last window
			}
			begins[i], ends[i] = start, start+w.Size
			keep = append(keep, i)
		}
		w.out.Sel = keep
		if len(keep) > 0 {
			out.Emit(&w.out)
		}
	}
}

// cumulate emits the windows of Step's multiples, the longest first.
func (w *window) cumulate(times []int64, out Emitter) {
	n := len(w.out.Cols) - 2
	begins, ends := w.out.Cols[n].I64, w.out.Cols[n+1].I64
	for _, i := range w.out.Sel {
		begins[i], ends[i] = w.starts[i], w.starts[i]+w.Size
	}
	for len(w.out.Sel) > 0 {
		out.Emit(&w.out)
		keep := w.sel[:0]
		for _, i := range w.out.Sel {
			if ends[i] -= w.Step; ends[i] > times[i] {
				keep = append(keep, i)
			}
		}
		w.out.Sel = keep
	}
}

func (w *window) fit(n int) {
	if len(w.starts) < n {
		n = max(n, batch.BlockRows)
		w.starts, w.begins, w.ends = make([]int64, n), make([]int64, n), make([]int64, n)
		w.sel = make([]uint32, 0, n)
	}
}

// last finds the last window of each row, selects the rows that have one, and
// notes an error for times whose windows leave the range of timestamps.
func (w *window) last(st *Step, b *batch.Batch) {
	c := &b.Cols[w.Time]
	w.sel = w.sel[:0]
	if c.Type.Layout() == types.LayoutNone {
		return
	}
	const room = math.MaxInt64 / 4
	easy := w.Size < room && w.Offset < room && w.Offset > -room
	slide := newDivisor(w.Slide)
	for k, n := 0, b.Len(); k < n; k++ {
		i := b.Row(k)
		if !c.Valid.Get(i) {
			continue
		}
		t := c.I64[i]
		if !easy || t > room || t < -room {
			st.RowError(w.node, b, i, &types.Error{
				Code: types.CodeDatetimeOverflow, Message: "timestamp out of range",
				Detail: "The windows that hold the row's time cannot be written as timestamps.",
			})
			continue
		}
		w.starts[i] = t - slide.mod(t-w.Offset)
		w.sel = append(w.sel, uint32(i))
	}
}

// divisor divides by one number many times, by multiplying with its inverse.
type divisor struct {
	d     int64
	magic uint64 // 2^64 / d, rounded down
}

func newDivisor(d int64) divisor {
	return divisor{d: d, magic: math.MaxUint64 / uint64(d)}
}

// mod returns x modulo d, from 0 to d-1. x is above -2^63.
func (v divisor) mod(x int64) int64 {
	u := uint64(x)
	if x < 0 {
		u = uint64(-x)
	}
	q, _ := bits.Mul64(u, v.magic)
	r := int64(u - q*uint64(v.d)) // the quotient is too small by at most 2
	for r >= v.d {
		r -= v.d
	}
	if x < 0 && r != 0 {
		r = v.d - r
	}
	return r
}

func (w *window) Flush(*Step, Emitter) {}

func (w *window) StateBytes() int64 { return 0 }
