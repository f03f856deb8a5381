package flow

import "math"

// rankWalk is where collectRanks is.
type rankWalk struct {
	seen, start int64 // rows before the row, and before its peers
	distinct    int64 // different values so far
	prev        uint32
}

// collectRanks appends to t.next the rows whose rank is in the window. It reports
// whether what comes behind the last of them is outside whatever it is.
func (t *topN) collectRanks(root uint32) (full bool) {
	end := int64(math.MaxInt64)
	if t.Limit >= 0 && t.Limit < end-t.Offset {
		end = t.Offset + t.Limit
	}
	t.ranks = rankWalk{}
	if !t.walkRanks(root, end) {
		return true
	}
	if t.Rank == RankDense {
		return t.ranks.distinct >= end
	}
	return t.ranks.seen >= end
}

// walkRanks goes through a tree in order until a rank is past end; then it is false.
func (t *topN) walkRanks(root uint32, end int64) bool {
	for root != 0 {
		left, right := t.children(root)
		if !t.walkRanks(left, end) {
			return false
		}
		x := &t.ranks
		if x.prev == 0 || compareBy(t.m.rowStore, t.Order, t.m.row(x.prev), t.m.row(root)) != 0 {
			x.distinct++
			x.start = x.seen
		}
		number := x.start + 1
		if t.Rank == RankDense {
			number = x.distinct
		}
		if number > end {
			return false
		}
		own := t.own(root)
		if number > t.Offset {
			t.next = append(t.next, placeIn{root, own, number})
		}
		x.seen += own
		x.prev = root
		root = right
	}
	return true
}
