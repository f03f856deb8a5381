package flow

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/state"
)

// TestWindowStartMark compares the mark of window_start with the windows of the
// times from a mark on, by search.
func TestWindowStartMark(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slide := rapid.Int64Range(1, 20).Draw(t, "slide")
		size := slide + rapid.Int64Range(0, 60).Draw(t, "more")
		offset := rapid.Int64Range(-50, 50).Draw(t, "offset")
		w := rapid.Int64Range(-200, 200).Draw(t, "mark")
		start, end := windowStartMark(w, slide, size, offset)
		least := int64(1 << 40)
		for k := int64(-400); k < 400; k++ {
			if s := offset + k*slide; s+size > w {
				least = min(least, s)
			}
		}
		if start != least || end != least+size {
			t.Fatalf("mark %d, slide %d, size %d, offset %d: window [%d, %d), want it to start at %d", w, slide, size, offset, start, end, least)
		}
	})
}

// TestCalendar compares a calendar with a list that is searched.
func TestCalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.Int64Range(1, 10).Draw(t, "width")
		c := newCalendar(state.NewMemory(0, nil, nil), width)
		type entry struct {
			t int64
			x uint64
		}
		var all []entry
		mark := int64(-1000)
		for x := uint64(1); x < 60; x++ {
			if rapid.IntRange(0, 3).Draw(t, "act") > 0 {
				at := rapid.Int64Range(max(mark, -300), 400).Draw(t, "time")
				c.add(at, x)
				all = append(all, entry{at, x})
				continue
			}
			mark = max(mark, rapid.Int64Range(-300, 400).Draw(t, "mark"))
			due := c.pending(mark)
			var got []uint64
			c.due(mark, func(x uint64) { got = append(got, x) })
			if due != (len(got) > 0) {
				t.Fatalf("pending(%d) is %v, %d entries came", mark, due, len(got))
			}
			all = slices.DeleteFunc(all, func(e entry) bool {
				in := slices.Contains(got, e.x)
				if over := floorDiv(e.t, width) < floorDiv(mark, width); in != over {
					t.Fatalf("at mark %d entry %d of time %d came: %v", mark, e.x, e.t, in)
				}
				return in
			})
			if c.n != int64(len(all)) {
				t.Fatalf("%d entries are left, want %d", c.n, len(all))
			}
		}
	})
}
