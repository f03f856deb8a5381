package flow

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/state"
)

// waiting gives entries back in the order of their times once these have come, each by
// its exact time. Those far off lie in a calendar by the day; those whose day has come
// are in a heap.
type waiting struct {
	cal  *calendar
	heap timeHeap
	edge int64 // entries below it are in the heap
}

// newWaiting returns an empty list with days of so many units of time.
func newWaiting(mem *state.Memory, width int64) waiting {
	return waiting{cal: newCalendar(mem, width), heap: newTimeHeap(mem), edge: math.MinInt64}
}

func (w *waiting) persist(p *state.Persist) {
	w.cal.persist(p)
	w.heap.persist(p)
	state.Num(p, &w.edge)
}

func (w *waiting) bytes() int64 { return w.cal.bytes() + w.heap.bytes() }

// add puts entry x down under time t.
func (w *waiting) add(t int64, x uint64) {
	if t < w.edge {
		w.heap.push(t, x)
	} else {
		w.cal.add(t, x)
	}
}

// due calls fn for the entries whose times lie below m, all of them if m is FinalMark,
// with their times. time returns the time of an entry, false if it means nothing any
// more; where an operator reuses numbers fn may be called twice for one. fn may add
// entries.
func (w *waiting) due(m int64, time func(x uint64) (int64, bool), fn func(t int64, x uint64)) {
	if m == NoMark {
		return
	}
	limit := int64(FinalMark)
	if m < FinalMark-2*w.cal.width {
		limit = (floorDiv(m-1, w.cal.width) + 1) * w.cal.width
	}
	w.edge = max(w.edge, limit)
	w.cal.due(limit, func(x uint64) {
		switch t, ok := time(x); {
		case !ok:
		case t < m || m == FinalMark:
			fn(t, x)
		default:
			w.heap.push(t, x)
		}
	})
	for w.heap.n > 0 && (w.heap.top() < m || m == FinalMark) {
		fn(w.heap.pop())
	}
}

// next returns a time before which no entry is due, math.MaxInt64 if there is none.
func (w *waiting) next() int64 {
	t := int64(math.MaxInt64)
	if w.heap.n > 0 {
		t = w.heap.top()
	}
	if day, ok := w.cal.begins(); ok {
		t = min(t, day)
	}
	return t
}

// timeHeap gives numbers in the order of their times.
type timeHeap struct {
	pages *state.Pages // time, number
	n     uint32
}

func newTimeHeap(mem *state.Memory) timeHeap { return timeHeap{pages: state.NewPages(mem, 2)} }

func (h *timeHeap) persist(p *state.Persist) {
	state.Num(p, &h.n)
	p.Pages(h.pages)
	if p.Loading() && p.Err() == nil && int64(h.n) > int64(h.pages.Cap()) {
		p.Fail(fmt.Errorf("%w: a heap of %d entries in room for %d", state.ErrDamaged, h.n, h.pages.Cap()))
	}
}

func (h *timeHeap) bytes() int64 { return h.pages.Bytes() }

// top is the earliest time. There is one.
func (h *timeHeap) top() int64 { return int64(h.pages.At(0)[0]) }

func (h *timeHeap) put(i uint32, t int64, x uint64) {
	w := h.pages.Edit(i)
	w[0], w[1] = uint64(t), x
}

func (h *timeHeap) push(t int64, x uint64) {
	i := h.n
	h.n++
	h.pages.Grow(int(h.n))
	for i > 0 {
		up := h.pages.At((i - 1) / 2)
		if int64(up[0]) <= t {
			break
		}
		h.put(i, int64(up[0]), up[1])
		i = (i - 1) / 2
	}
	h.put(i, t, x)
}

// pop takes the earliest entry out.
func (h *timeHeap) pop() (t int64, x uint64) {
	first := h.pages.At(0)
	t, x = int64(first[0]), first[1]
	h.n--
	if h.n == 0 {
		h.pages.Reset()
		return t, x
	}
	last := h.pages.At(h.n)
	lt, lx := int64(last[0]), last[1]
	i := uint32(0)
	for {
		c := 2*i + 1
		if c >= h.n {
			break
		}
		w := h.pages.At(c)
		if c+1 < h.n {
			if v := h.pages.At(c + 1); int64(v[0]) < int64(w[0]) {
				c, w = c+1, v
			}
		}
		if int64(w[0]) >= lt {
			break
		}
		h.put(i, int64(w[0]), w[1])
		i = c
	}
	h.put(i, lt, lx)
	return t, x
}
