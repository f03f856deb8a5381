package flow

import "math"

// agenda knows of each group when it is due, and so has it in a calendar once at a
// time: an earlier time takes the place of a later one. It has chunks of groups, like
// the multimap whose groups they are.
type agenda [][]int64

// notPlanned is the time of groups that are not due.
const notPlanned = math.MaxInt64

// at is when group g is due.
func (a *agenda) at(g uint32) *int64 {
	for int(g>>groupChunkBits) >= len(*a) {
		c := make([]int64, 1<<groupChunkBits)
		for i := range c {
			c[i] = notPlanned
		}
		*a = append(*a, c)
	}
	return &(*a)[g>>groupChunkBits][g&(1<<groupChunkBits-1)]
}

// bring makes group g due at t and reports true, unless it is due before that.
func (a *agenda) bring(g uint32, t int64) bool {
	p := a.at(g)
	if t >= *p {
		return false
	}
	*p = t
	return true
}

func (a agenda) bytes() int64 { return int64(len(a)) << groupChunkBits * 8 }
