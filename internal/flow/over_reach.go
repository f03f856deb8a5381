package flow

import (
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// overReach finds the places whose answers the events of a step can have changed. It
// may name more than these, never fewer. Places are those after all events.
//
// Answers that count rows from the start, such as row_number, change where more rows
// have come than gone before; those that look a fixed number of rows or groups away, in
// the neighbourhood; frames, where they hold the row that came or went.
type overReach struct {
	o      *over
	p      *overPart
	evs    []overEvent
	n      int64 // rows of the partition
	ranges []overRange
	rows   rowProbe
	limit  limitProbe
}

const farAway = 1 << 40 // more than any partition has rows

// find sets ranges: in order, none touching another.
func (x *overReach) find(o *over, p *overPart, evs []overEvent) {
	x.o, x.p, x.evs, x.n = o, p, evs, o.tree.size(p.root)
	x.ranges = x.ranges[:0]
	for i := range evs {
		x.add(evs[i].at, evs[i].at+evs[i].ins)
	}
	for i := range o.Calls {
		x.call(&o.Calls[i])
	}
	x.merge()
}

func (x *overReach) add(lo, hi int64) {
	lo, hi = max(lo, x.p.final), min(hi, x.n) // what is final may not be known well enough any more
	if lo < hi {
		x.ranges = append(x.ranges, overRange{lo: lo, hi: hi})
	}
}

// addOn is add for answers each of which follows from the one before: those behind hi
// are reached until one is what it was.
func (x *overReach) addOn(lo, hi int64) {
	n := len(x.ranges)
	x.add(lo, max(hi, x.p.final+1))
	if len(x.ranges) > n {
		x.ranges[n].on = true
	}
}

func (x *overReach) addAll() { x.add(0, x.n) }

// merge puts the ranges in order and joins those that touch.
func (x *overReach) merge() {
	slices.SortFunc(x.ranges, compareRanges)
	out := x.ranges[:0]
	for _, r := range x.ranges {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi {
			out[n-1].hi, out[n-1].on = max(out[n-1].hi, r.hi), out[n-1].on || r.on
		} else {
			out = append(out, r)
		}
	}
	x.ranges = out
}

// sizeChanged reports whether there are more or fewer rows than before.
func (x *overReach) sizeChanged() bool {
	more := int64(0)
	for i := range x.evs {
		more += x.evs[i].ins - x.evs[i].del
	}
	return more != 0
}

func (x *overReach) call(c *OverCall) {
	switch c.Fn {
	case OverRowNumber:
		x.numbers()
	case OverRank:
		x.ranks(false)
	case OverDenseRank:
		x.ranks(true)
	case OverNtile:
		if x.sizeChanged() {
			x.addAll()
		} else {
			x.numbers()
		}
	case OverPercentRank:
		if x.sizeChanged() {
			x.addAll()
		} else {
			x.ranks(false)
		}
	case OverCumeDist:
		if x.sizeChanged() {
			x.addAll()
		} else {
			x.ends()
		}
	case OverLag, OverLead:
		x.shifted(c)
	default:
		for i := range x.evs {
			x.frame(c, &x.evs[i])
		}
	}
}

// next is the place of the event after event i, or the end.
func (x *overReach) next(i int, at func(*overEvent) int64) int64 {
	if i+1 < len(x.evs) {
		return at(&x.evs[i+1])
	}
	return x.n
}

// numbers: rows behind which more have come than gone, or fewer.
func (x *overReach) numbers() {
	shift := int64(0)
	for i := range x.evs {
		e := &x.evs[i]
		if shift += e.ins - e.del; shift != 0 {
			x.add(e.at, x.next(i, func(e *overEvent) int64 { return e.at }))
		}
	}
}

// peersFrom and peersTo are the places where the peers of an event's row begin and end.
func (x *overReach) peersFrom(e *overEvent) int64 {
	x.rows = rowProbe{o: x.o, row: e.row, keysOnly: true}
	return x.o.tree.search(x.p.root, &x.rows)
}

func (x *overReach) peersTo(e *overEvent) int64 {
	x.rows = rowProbe{o: x.o, row: e.row, keysOnly: true, after: true}
	return x.o.tree.search(x.p.root, &x.rows)
}

// ranks: rows before whose peers there are more rows, or with dense more peers.
func (x *overReach) ranks(dense bool) {
	shift := int64(0)
	for i := range x.evs {
		e := &x.evs[i]
		if dense {
			shift += e.heads
		} else {
			shift += e.ins - e.del
		}
		if shift != 0 {
			x.add(x.peersTo(e), x.next(i, x.peersTo))
		}
	}
}

// ends: rows up to the end of whose peers there are more rows.
func (x *overReach) ends() {
	shift := int64(0)
	for i := range x.evs {
		e := &x.evs[i]
		shift += e.ins - e.del
		x.add(x.peersFrom(e), x.peersTo(e))
		if shift != 0 {
			x.add(x.peersTo(e), x.next(i, x.peersFrom))
		}
	}
}

func (x *overReach) shifted(c *OverCall) {
	back := c.N
	switch {
	case c.NCol >= 0:
		x.addAll()
		return
	case c.NNull:
		return
	case c.Fn == OverLead:
		back = -back
	}
	back = min(max(back, -farAway), farAway)
	for i := range x.evs {
		e := &x.evs[i]
		if back >= 0 {
			x.add(e.at, e.at+e.ins+back)
		} else {
			x.add(e.at+back, e.at+e.ins)
		}
	}
}

// frame: rows whose frame holds, or held, what came or went.
func (x *overReach) frame(c *OverCall, e *overEvent) {
	f := &c.Frame
	if x.edgeValue(c, e) {
		return
	}
	if c.runs() {
		x.running(f, e)
		return
	}
	switch f.Mode {
	case FrameRows:
		lo, hi := f.offsets()
		x.add(e.at-hi-1, e.at+e.ins-lo+1)
	case FrameGroups:
		lo, hi := f.offsets()
		g := x.o.tree.headsBefore(x.p.root, x.peersFrom(e))
		x.add(x.groupAt(g-hi-1), x.groupAt(g-lo+2))
	default:
		x.add(x.rangeFrom(f, e), x.rangeTo(f, e))
	}
}

// runs reports whether the call's answer for a row follows from that for the row before
// and the rows that its frame has more, whatever else is in it. That is not so where
// the answer is rounded, as for averages.
func (c *OverCall) runs() bool {
	if c.Fn != OverAgg || c.Frame.Start.Kind != FromStart || c.Frame.Exclude != ExcludeNone {
		return false
	}
	switch c.Agg.Op {
	case expr.AggCountStar, expr.AggCount, expr.AggMin, expr.AggMax, expr.AggAnyValue, expr.AggBoolAnd, expr.AggBoolOr:
		return true
	case expr.AggSum:
		return c.Ret.Layout() != types.LayoutFloat
	}
	return false
}

// running: from the first row whose frame has the event's row on.
func (x *overReach) running(f *Frame, e *overEvent) {
	back := -min(f.End.offset(), 0) // how far behind a row its frame ends
	switch f.Mode {
	case FrameRows:
		_, ahead := f.offsets()
		x.addOn(e.at-ahead-1, e.at+e.ins+back+1)
	case FrameGroups:
		_, ahead := f.offsets()
		g := x.o.tree.headsBefore(x.p.root, x.peersFrom(e))
		x.addOn(x.groupAt(g-ahead-1), x.groupAt(g+back+2))
	default:
		from := x.rangeFrom(f, e)
		x.addOn(from, max(from+1, e.at+e.ins))
	}
}

// offsets are how far a frame, together with the way to it, goes before and behind the
// row: at most and at least 0.
func (f *Frame) offsets() (lo, hi int64) {
	return min(f.Start.offset(), 0), max(f.End.offset(), 0)
}

func (e FrameEdge) offset() int64 {
	switch e.Kind {
	case FromStart:
		return -farAway
	case Preceding:
		return -min(e.N, farAway)
	case Following:
		return min(e.N, farAway)
	case ToEnd:
		return farAway
	}
	return 0
}

// groupAt is the place of the g-th peers.
func (x *overReach) groupAt(g int64) int64 {
	if g <= 0 {
		return 0
	}
	return x.o.tree.headAt(x.p.root, g)
}

// rangeFrom is the first place whose frame goes as far as the event's row.
func (x *overReach) rangeFrom(f *Frame, e *overEvent) int64 {
	switch f.End.Kind {
	case ToEnd:
		return 0
	case AtCurrent:
		return x.peersFrom(e)
	}
	x.limit = limitProbe{o: x.o, row: x.o.m.row(e.row), a: f.End.Limit, b: f.Key}
	return x.o.tree.search(x.p.root, &x.limit)
}

// rangeTo is the first place whose frame begins behind the event's row.
func (x *overReach) rangeTo(f *Frame, e *overEvent) int64 {
	switch f.Start.Kind {
	case FromStart:
		return x.n
	case AtCurrent:
		return x.peersTo(e)
	}
	x.limit = limitProbe{o: x.o, row: x.o.m.row(e.row), a: f.Start.Limit, b: f.Key, after: true}
	return x.o.tree.search(x.p.root, &x.limit)
}

// edgeValue handles functions that give a row at a fixed place of a frame that does
// not move: then only events at that place reach far.
func (x *overReach) edgeValue(c *OverCall, e *overEvent) bool {
	f := &c.Frame
	if f.Exclude != ExcludeNone || f.Mode == FrameGroups {
		return false
	}
	switch {
	case (c.Fn == OverFirst || c.Fn == OverNth) && f.Start.Kind == FromStart && f.End.Kind == AtCurrent:
		at := int64(1)
		if c.Fn == OverNth {
			at = c.N
		}
		if e.at < at {
			return false
		}
		x.add(e.at, e.at+e.ins)
		return true
	case c.Fn == OverLast && f.End.Kind == ToEnd && f.Start.Kind == AtCurrent:
		if e.at+e.ins == x.n {
			return false
		}
		x.add(e.at, e.at+e.ins)
		return true
	}
	return false
}
