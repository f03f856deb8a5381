package flow

import (
	"math"

	"github.com/tidemill/tidemill/internal/state"
)

// dueList is a calendar whose entries come in the very step in which the mark passes
// their time. Entries lie by their exact time as long as there are few different ones,
// as with windows. Of many, those far off lie in a coarse calendar until the mark is in
// their day.
//
// Cost: that of calendar, twice for times of which there are many; a map access for
// each different time.
type dueList struct {
	far, near *calendar
	edge      int64 // entries below it are near
}

func newDueList(mem *state.Memory, width int64) *dueList {
	return &dueList{far: newCalendar(mem, width), near: newCalendar(mem, 1), edge: math.MinInt64}
}

func (d *dueList) persist(p *state.Persist) {
	d.far.persist(p)
	d.near.persist(p)
	state.Num(p, &d.edge)
}

// fewTimes is how many different times may lie by their exact time ahead of the mark.
const fewTimes = 1024

// add puts entry x down under time t.
func (d *dueList) add(t int64, x uint64) {
	if t < d.edge || d.near.days() < fewTimes {
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

func (d *dueList) bytes() int64 { return d.far.bytes() + d.near.bytes() }
