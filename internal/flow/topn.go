package flow

import (
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
)

// topN keeps, of each partition, places Offset+1 to Offset+Limit in the order of
// keys, ties broken by the whole row. A row of weight 3 fills three places. With a
// rank, rows that are equal by the keys share a place.
//
// Every row is kept, since a withdrawal may bring any of them into the window; of
// input that withdraws nothing only those up to the window's end. The rows of a
// partition form a search tree that also knows the weight of every
// subtree, so that the window's first row is found, and a row comes or goes, in
// O(log n). At Flush the partitions that the step touched at or before the window's
// end emit the new window less the old.
type topN struct {
	TopN
	rowTree
	m     *multimap
	wins  *state.Pages     // of topWindow, by group
	none  [winWords]uint64 // of groups that have none
	held  int64            // weight of all trees
	keys  []uint64
	rows  []uint64
	stale []uint32 // groups whose window may change
	mark  uint64   // number of the window being renewed
	next  []placeIn
	out   stored
	only  bool // rows never go
	drop  dropper
	free  freer
	ranks rankWalk
}

// topWindow is the words of a partition's tree and the rows it has in the output.
type topWindow []uint64

// The words of a topWindow.
const (
	winRoot = iota // flags<<32 | root
	winEnds        // first<<32 | last row in the output, linked by topLink
	winWords
)

// The flags of a topWindow.
const (
	winStale = 1 << 32 // it is in topN.stale
	winFull  = 2 << 32 // what comes after the last row is outside
)

func (w topWindow) root() uint32  { return uint32(w[winRoot]) }
func (w topWindow) first() uint32 { return uint32(w[winEnds] >> 32) }
func (w topWindow) last() uint32  { return uint32(w[winEnds]) }
func (w topWindow) stale() bool   { return w[winRoot]&winStale != 0 }
func (w topWindow) full() bool    { return w[winRoot]&winFull != 0 }

func (w topWindow) setRoot(row uint32) { w[winRoot] = w[winRoot]>>32<<32 | uint64(row) }

func (w topWindow) setEnds(first, last uint32) { w[winEnds] = uint64(first)<<32 | uint64(last) }

func (w topWindow) set(flag uint64, on bool) {
	w[winRoot] &^= flag
	if on {
		w[winRoot] |= flag
	}
}

// placeIn is a row in the new window.
type placeIn struct {
	row    uint32
	times  int64
	number int64 // of its first place
}

// The header words of a row, after rowCount, which is how often it is in the output.
const (
	topTree = rowCounted + iota // left<<32 | right
	topSum                      // weight of the subtree
	topLink                     // next row of the window
	topMark                     // last window that had the row
	topOwn                      // places that the row fills, as the tree knows it: the weight may be ahead
	topNum                      // number of its first place in the output
	topWords
)

func newTopN(env Env, op *TopN) *topN {
	t := &topN{
		TopN: *op, m: newMultimap(env.memory(), env.In[0], op.Partition, topWords),
		keys: make([]uint64, batch.BlockRows), rows: make([]uint64, batch.BlockRows),
	}
	t.m.trackR = true
	t.wins = state.NewPages(env.memory(), winWords)
	t.rowTree = rowTree{store: t.m.rowStore, links: topTree, sums: topSum, weight: topOwn, order: t.compare}
	t.out = newStored(t.m.rowStore, env.Out)
	t.only = len(env.AppendOnly) > 0 && env.AppendOnly[0]
	t.drop.m = t.m
	t.free = newFreer(env, op.Partition)
	return t
}

func (t *topN) persist(p *state.Persist) {
	atRest(p, "stale windows", len(t.stale))
	t.m.persist(p)
	p.Pages(t.wins)
	state.Num(p, &t.held)
	state.Num(p, &t.mark)
	t.free.persist(p)
}

func (t *topN) Push(_ *Step, _ int, b *batch.Batch, _ Emitter) {
	t.keys = batch.HashRows(t.keys[:cap(t.keys)], b, t.Partition)
	t.rows = batch.HashRows(t.rows[:cap(t.rows)], b, t.m.all)
	t.m.addAll(t.keys, t.rows, b, nil, nil)
}

func (t *topN) Flush(st *Step, out Emitter) {
	for _, r := range t.m.touchedR {
		t.settle(r)
	}
	shifts := t.Rank == RankRows && !t.Number
	if shifts {
		t.fixTouched(out)
	}
	for _, g := range t.stale {
		if st.Stopped() {
			return
		}
		if shifts {
			t.shift(g, out)
		} else {
			t.renew(g, out)
		}
	}
	t.stale = t.stale[:0]
	t.out.flush(out)
	t.forget()
	t.m.endStep()
}

// forget frees the partitions that lie below a mark.
func (t *topN) forget() {
	if t.free.begin(t.m.types) {
		for g := range uint32(t.wins.Cap()) {
			if root := t.window(g).root(); root != 0 {
				t.free.add(t.m.rowStore, t.m.row(root), uint64(g))
			}
		}
	}
	t.free.due(t.m.rowStore, func(g uint64) []uint64 {
		if root := t.window(uint32(g)).root(); root != 0 {
			return t.m.row(root)
		}
		return nil
	}, func(g uint64) {
		win := t.editWindow(uint32(g))
		t.held -= t.sum(win.root())
		t.dropTree(win.root())
		clear(win)
	})
	t.drop.flush()
}

// dropTree drops the rows of a tree.
func (t *topN) dropTree(root uint32) {
	for root != 0 {
		left, right := t.children(root)
		t.dropTree(left)
		t.drop.add(root)
		root = right
	}
}

// window returns the window of group g for reading.
func (t *topN) window(g uint32) topWindow {
	if int(g) >= t.wins.Cap() {
		return t.none[:]
	}
	return t.wins.At(g)
}

// editWindow returns the window of group g.
func (t *topN) editWindow(g uint32) topWindow {
	t.wins.Grow(int(g) + 1)
	return t.wins.Edit(g)
}

// settle brings the tree up to date with a row's weight.
func (t *topN) settle(r touchedRow) {
	w := t.m.edit(r.row)
	was, is := max(r.old, 0), max(int64(w[rowWeight]), 0)
	if was == is {
		return
	}
	g := uint32(w[rowGroup] >> 32)
	win := t.editWindow(g)
	if win.root() == 0 {
		t.free.add(t.m.rowStore, w, uint64(g))
	}
	if t.beyond(win, r.row) {
		if t.only && was == 0 {
			t.drop.add(r.row)
			return
		}
	} else if !win.stale() {
		win.set(winStale, true)
		t.stale = append(t.stale, g)
	}
	w[topOwn] = uint64(is)
	t.held += is - was
	switch {
	case was == 0:
		win.setRoot(t.insert(win.root(), r.row))
	case is == 0:
		win.setRoot(t.remove(win.root(), r.row))
	default:
		t.adjust(win.root(), r.row, is-was)
	}
}

// beyond reports whether a row comes after a window that is full.
func (t *topN) beyond(win topWindow, row uint32) bool {
	if !win.full() {
		return false
	}
	if win.last() == 0 { // the peers of one rank may reach over the whole window
		return t.Limit == 0
	}
	if t.Rank == RankRows {
		return t.compare(row, win.last()) > 0
	}
	return compareBy(t.m.rowStore, t.Order, t.m.row(row), t.m.row(win.last())) > 0
}

// compare orders two rows of a partition.
func (t *topN) compare(a, b uint32) int {
	if a == b {
		return 0
	}
	v, w := t.m.row(a), t.m.row(b)
	if r := compareBy(t.m.rowStore, t.Order, v, w); r != 0 {
		return r
	}
	return t.m.compareWhole(v, w)
}

// compareBy orders two rows of s by keys.
func compareBy(s *rowStore, keys []SortKey, v, w []uint64) int {
	for _, k := range keys {
		if r := s.compare(v, k.Col, s, w, k.Col, k); r != 0 {
			return r
		}
	}
	return 0
}

// renew emits what the new window of group g has less what the old one had.
func (t *topN) renew(g uint32, out Emitter) {
	win := t.editWindow(g)
	win.set(winStale, false)
	t.next = t.next[:0]
	if t.Rank == RankRows {
		want := int64(math.MaxInt64)
		if t.Limit >= 0 {
			want = t.Limit
		}
		win.set(winFull, t.collect(win.root(), t.Offset, want) == 0)
	} else {
		win.set(winFull, t.collectRanks(win.root()))
	}
	t.mark++
	for _, p := range t.next {
		t.m.edit(p.row)[topMark] = t.mark
	}
	for r := win.first(); r != 0; {
		w := t.m.row(r)
		if w[topMark] != t.mark {
			t.change(r, t.m.edit(r), 0, 0, out)
		}
		r = uint32(w[topLink])
	}
	first, last := uint32(0), uint32(0)
	number := t.Offset + 1
	for _, p := range t.next {
		w := t.m.edit(p.row)
		if t.Rank != RankRows {
			number = p.number
		}
		t.change(p.row, w, p.times, number, out)
		number += p.times
		w[topLink] = 0
		if last == 0 {
			first = p.row
		} else {
			t.m.edit(last)[topLink] = uint64(p.row)
		}
		last = p.row
	}
	win.setEnds(first, last)
	if t.only && win.full() && last != 0 {
		t.trim(win)
	}
}

// trim drops the rows behind a full window.
func (t *topN) trim(win topWindow) {
	if t.Rank == RankRows && t.sum(win.root()) <= t.Offset+t.Limit {
		return
	}
	root, after := t.split(win.root(), win.last()) // which has the last row itself before it
	win.setRoot(root)
	t.held -= t.sum(after)
	t.dropTree(after)
}

// change makes a row with words w, which are for writing, be in the output times times from a number on.
func (t *topN) change(row uint32, w []uint64, times, number int64, out Emitter) {
	was, from := int64(w[rowCount]), int64(w[topNum])
	w[rowCount], w[topNum] = uint64(times), uint64(number)
	switch {
	case !t.Number:
		t.out.emit(row, times-was, out)
	case t.Rank != RankRows && from == number:
		t.out.emitNumbered(row, number, times-was, out)
	case t.Rank != RankRows:
		t.out.emitNumbered(row, from, -was, out)
		t.out.emitNumbered(row, number, times, out)
	default:
		for n := from; n < from+was; n++ {
			if n < number || n >= number+times {
				t.out.emitNumbered(row, n, -1, out)
			}
		}
		for n := number; n < number+times; n++ {
			if n < from || n >= from+was {
				t.out.emitNumbered(row, n, 1, out)
			}
		}
	}
}

// collect appends to t.next the rows that fill want places after the first skip
// ones of the tree, and returns how many places of want are left.
func (t *topN) collect(root uint32, skip, want int64) int64 {
	for root != 0 && want > 0 && skip < t.sum(root) {
		left, right := t.children(root)
		if skip < t.sum(left) {
			want = t.collect(left, skip, want)
		}
		skip = max(skip-t.sum(left), 0)
		own := t.own(root)
		if n := min(own-skip, want); n > 0 {
			t.next = append(t.next, placeIn{row: root, times: n})
			want -= n
		}
		skip = max(skip-own, 0)
		root = right
	}
	return want
}

// StateBytes implements Operator.
func (t *topN) StateBytes() int64 {
	return t.m.bytes() + t.wins.Bytes() + int64(cap(t.next))*24 + t.free.bytes()
}

// rowsHeld implements holder.
func (t *topN) rowsHeld() int64 { return t.held }
