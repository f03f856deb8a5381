package flow

import "math"

// dueList is a calendar whose entries come in the very step in which the mark passes
// their time. Entries of far times lie in a coarse calendar; those of the day that the
// mark is in, by their exact time.
//
// Cost: that of calendar twice; a map access for each different time of the day.
type dueList struct {
	far, near *calendar
	edge      int64 // entries below it are near
}

func newDueList(width int64) *dueList {
	return &dueList{far: newCalendar(width), near: newCalendar(1), edge: math.MinInt64}
}

// add puts entry x down under time t.
func (d *dueList) add(t int64, x uint64) {
	if t < d.edge {
		d.near.add(t, x)
	} else {
		d.far.add(t, x)
	}
}

// due calls fn for the entries whose times lie below m. time returns the time of an
// entry, false if it means nothing any more; where an operator reuses numbers, fn may
// be called twice for one.
func (d *dueList) due(m int64, time func(x uint64) (int64, bool), fn func(x uint64)) {
	if m == NoMark {
		return
	}
	limit := int64(FinalMark)
	if m < FinalMark-2*d.far.width {
		limit = (floorDiv(m-1, d.far.width) + 1) * d.far.width
	}
	d.far.due(limit, func(x uint64) {
		switch t, ok := time(x); {
		case !ok:
		case t < m:
			fn(x)
		default:
			d.near.add(t, x)
		}
	})
	d.edge = max(d.edge, limit)
	d.near.due(m, fn)
}

func (d *dueList) bytes() int64 { return d.far.bytes + d.near.bytes }
