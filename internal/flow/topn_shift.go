package flow

import "math"

// shift brings the output of group g up to date where rows have no numbers in it: then
// only rows at the edges of the window come and go, besides those that changed
// themselves, which fixTouched has seen to. An edge may have moved over rows, which lie
// in one piece next to where it was or where it is; so from both places rows are looked
// at, either way, until one has not changed and is as it should be. The work is that of
// the rows that come and go, times the logarithm of the partition.
func (t *topN) shift(g uint32, out Emitter) {
	win := t.editWindow(g)
	win.set(winStale, false)
	n := t.sum(win.root())
	end := t.end()
	first, last := min(t.Offset, n), max(min(end, n)-1, 0)
	t.fixFrom(win, first, out)
	t.fixFrom(win, last, out)
	if win.first() != 0 {
		t.fixFrom(win, t.placeOf(win.root(), win.first()), out)
		t.fixFrom(win, t.placeOf(win.root(), win.last()), out)
	}
	win.setEnds(0, 0)
	win.set(winFull, t.Limit >= 0 && n >= end)
	if first < min(end, n) {
		from, _ := t.rowAt(win.root(), first)
		to, _ := t.rowAt(win.root(), last)
		win.setEnds(from, to)
	}
	if t.only && win.full() && win.last() != 0 {
		t.trim(win)
	}
}

// end is the first place behind the window.
func (t *topN) end() int64 {
	if t.Limit < 0 || t.Limit > math.MaxInt64-t.Offset {
		return math.MaxInt64
	}
	return t.Offset + t.Limit
}

// fixTouched brings the rows of stale groups that changed in the step up to date.
func (t *topN) fixTouched(out Emitter) {
	for _, r := range t.m.touchedR {
		w := t.m.row(r.row)
		win := t.window(uint32(w[rowGroup] >> 32))
		if !win.stale() {
			continue
		}
		at := int64(0)
		if w[topOwn] != 0 {
			at = t.placeOf(win.root(), r.row)
		}
		t.fix(r.row, at, out)
	}
}

// fix makes a row at a place be in the output as often as it should, and reports
// whether it was.
func (t *topN) fix(row uint32, at int64, out Emitter) bool {
	w := t.m.row(row)
	want := max(min(at+t.own(row), t.end())-max(at, t.Offset), 0)
	if int64(w[rowCount]) == want {
		return true
	}
	t.change(row, t.m.edit(row), want, 0, out)
	return false
}

// fixFrom fixes rows from a place on and before it, each way up to one that was right
// and has not changed.
func (t *topN) fixFrom(win topWindow, place int64, out Emitter) {
	n := t.sum(win.root())
	if place < n {
		_, place = t.rowAt(win.root(), place) // its first place
	}
	for at := place; at < n; {
		row, start := t.rowAt(win.root(), at)
		if t.fix(row, start, out) && uint32(t.m.row(row)[rowGroup]) == 0 {
			break
		}
		at = start + t.own(row)
	}
	for at := min(place, n) - 1; at >= 0; {
		row, start := t.rowAt(win.root(), at)
		if t.fix(row, start, out) && uint32(t.m.row(row)[rowGroup]) == 0 {
			break
		}
		at = start - 1
	}
}

// rowAt returns the row that fills a place and its first place.
func (t *topN) rowAt(root uint32, at int64) (row uint32, start int64) {
	for {
		left, right := t.children(root)
		before := start + t.sum(left)
		switch own := t.own(root); {
		case at < before:
			root = left
		case at < before+own:
			return root, before
		default:
			start = before + own
			root = right
		}
	}
}

// placeOf is the first place of a row of the tree, or where it would be.
func (t *topN) placeOf(root, row uint32) int64 {
	at := int64(0)
	for root != 0 {
		left, right := t.children(root)
		if t.compare(row, root) <= 0 {
			if root == row {
				return at + t.sum(left)
			}
			root = left
			continue
		}
		at += t.sum(left) + t.own(root)
		root = right
	}
	return at
}
