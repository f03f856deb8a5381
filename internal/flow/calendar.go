package flow

import "math"

// calendar tells which of an operator's rows or groups have a time below a mark,
// without looking at the others. Entries are numbers that mean something to the
// operator; they are put down under their time, coarsely, and come back once. An
// operator that reuses numbers must look at the entry's real time when it comes
// back: it may be another's by then, which has an entry of its own.
//
// Cost: a map access for each day that is not that of the last entry; 8 bytes an entry.
type calendar struct {
	width int64 // of a day, in the units of the times; a power of two would do as well
	days  map[int64][]uint64
	order []int64 // days that have entries, a heap by time
	last  int64   // the day of today
	today []uint64
	open  bool // today is in use and not in days
	bytes int64
}

// newCalendar returns a calendar whose entries come back up to width late.
func newCalendar(width int64) *calendar {
	return &calendar{width: max(width, 1), days: map[int64][]uint64{}}
}

// floorDiv divides rounding down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// add puts entry x down under time t.
func (c *calendar) add(t int64, x uint64) {
	day := floorDiv(t, c.width)
	if !c.open || day != c.last {
		c.turn(day)
	}
	c.today = append(c.today, x)
	c.bytes += 8
}

// turn makes day today.
func (c *calendar) turn(day int64) {
	if c.open {
		c.days[c.last] = c.today
	}
	list, ok := c.days[day]
	if !ok {
		c.push(day)
	}
	c.last, c.today, c.open = day, list, true
}

// due calls fn for the entries of all days that are over at mark m: every time of
// theirs is below m. Entries of one day come in the order they were put down, days
// in the order of time. fn may add entries for later days only.
func (c *calendar) due(m int64, fn func(x uint64)) {
	if m == NoMark {
		return
	}
	end := floorDiv(m, c.width) // the first day that is not over
	if m == FinalMark {
		end = math.MaxInt64
	}
	for len(c.order) > 0 && c.order[0] < end {
		day := c.pop()
		var list []uint64
		if c.open && day == c.last {
			list, c.today, c.open = c.today, nil, false
		} else {
			list = c.days[day]
		}
		delete(c.days, day)
		c.bytes -= int64(len(list)) * 8
		for _, x := range list {
			fn(x)
		}
	}
}

// pending reports whether due(m) would call anything.
func (c *calendar) pending(m int64) bool {
	return m != NoMark && len(c.order) > 0 && (m == FinalMark || c.order[0] < floorDiv(m, c.width))
}

// first returns the time at which the earliest day begins; false if there is none.
func (c *calendar) first() (int64, bool) {
	if len(c.order) == 0 {
		return 0, false
	}
	return c.order[0] * c.width, true
}

func (c *calendar) push(day int64) {
	at := len(c.order)
	c.order = append(c.order, day)
	for at > 0 && c.order[(at-1)/2] > day {
		c.order[at] = c.order[(at-1)/2]
		at = (at - 1) / 2
	}
	c.order[at] = day
}

func (c *calendar) pop() int64 {
	top := c.order[0]
	n := len(c.order) - 1
	x := c.order[n]
	c.order = c.order[:n]
	for at := 0; n > 0; {
		child := 2*at + 1
		if child+1 < n && c.order[child+1] < c.order[child] {
			child++
		}
		if child >= n || c.order[child] >= x {
			c.order[at] = x
			break
		}
		c.order[at] = c.order[child]
		at = child
	}
	return top
}
