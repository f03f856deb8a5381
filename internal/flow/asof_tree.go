package flow

import "github.com/tidemill/tidemill/internal/types"

// asOfSide is one input of an asOf: its rows by key, those of a key in a search tree
// by time. The tree is a treap as in topN; its links are in the rows' headers.
type asOfSide struct {
	m     *multimap
	types []types.Type
	keys  []int
	time  int
	down  bool // later times come first
	right bool // of equal times, the row that comes first in the order of rows is last
	roots [][]uint32
}

// The header words of a row, after rowCount, which for a left row is the weight that
// it has in the output.
const (
	asOfTree  = rowCounted + iota // left<<32 | right
	asOfHash                      // of the whole row
	asOfMatch                     // of a left row: the right row that it is paired with, 0 for none
	asOfWords
)

// root is the root of the tree of group g.
func (s *asOfSide) root(g uint32) *uint32 {
	for int(g>>groupChunkBits) >= len(s.roots) {
		s.roots = append(s.roots, make([]uint32, 1<<groupChunkBits))
	}
	return &s.roots[g>>groupChunkBits][g&(1<<groupChunkBits-1)]
}

// raw is a row's time.
func (s *asOfSide) raw(row uint32) int64 { return int64(s.m.row(row)[s.m.fields[s.time].at]) }

// at is a row's time turned so that matches always lie before.
func (s *asOfSide) at(row uint32) int64 {
	if s.down {
		return ^s.raw(row)
	}
	return s.raw(row)
}

func (s *asOfSide) less(a, b uint32) bool {
	if x, y := s.at(a), s.at(b); x != y {
		return x < y
	}
	r := s.m.compareWhole(s.m.row(a), s.m.row(b))
	if s.right {
		return r > 0
	}
	return r < 0
}

func (s *asOfSide) children(row uint32) (left, right uint32) {
	w := s.m.row(row)[asOfTree]
	return uint32(w >> 32), uint32(w)
}

func (s *asOfSide) join(row, left, right uint32) uint32 {
	s.m.row(row)[asOfTree] = uint64(left)<<32 | uint64(right)
	return row
}

func (s *asOfSide) insert(root, row uint32) uint32 {
	if root == 0 {
		return s.join(row, 0, 0)
	}
	if priority(row) > priority(root) {
		left, right := s.split(root, row)
		return s.join(row, left, right)
	}
	left, right := s.children(root)
	if s.less(row, root) {
		return s.join(root, s.insert(left, row), right)
	}
	return s.join(root, left, s.insert(right, row))
}

func (s *asOfSide) split(root, row uint32) (before, after uint32) {
	if root == 0 {
		return 0, 0
	}
	left, right := s.children(root)
	if s.less(row, root) {
		before, left = s.split(left, row)
		return before, s.join(root, left, right)
	}
	right, after = s.split(right, row)
	return s.join(root, left, right), after
}

func (s *asOfSide) remove(root, row uint32) uint32 {
	left, right := s.children(root)
	switch {
	case root == row:
		return s.merge(left, right)
	case s.less(row, root):
		return s.join(root, s.remove(left, row), right)
	}
	return s.join(root, left, s.remove(right, row))
}

func (s *asOfSide) merge(a, b uint32) uint32 {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	if priority(a) > priority(b) {
		left, right := s.children(a)
		return s.join(a, left, s.merge(right, b))
	}
	left, right := s.children(b)
	return s.join(b, s.merge(a, left), right)
}

// last returns the last row whose turned time is below t, or at t unless strict; 0
// if there is none.
func (s *asOfSide) last(root uint32, t int64, strict bool) uint32 {
	best := uint32(0)
	for root != 0 {
		left, right := s.children(root)
		if x := s.at(root); x < t || x == t && !strict {
			best, root = root, right
		} else {
			root = left
		}
	}
	return best
}

// after returns the first row whose turned time is above t, 0 if there is none.
func (s *asOfSide) after(root uint32, t int64) uint32 {
	best := uint32(0)
	for root != 0 {
		left, right := s.children(root)
		if s.at(root) > t {
			best, root = root, left
		} else {
			root = right
		}
	}
	return best
}

// ends returns the first and the last row of a tree that is not empty.
func (s *asOfSide) ends(root uint32) (first, last uint32) {
	first, last = root, root
	for l, _ := s.children(first); l != 0; l, _ = s.children(first) {
		first = l
	}
	for _, r := s.children(last); r != 0; _, r = s.children(last) {
		last = r
	}
	return first, last
}

// drop takes a row out of the tree of group g and forgets it. It may free the group.
func (s *asOfSide) drop(g, row uint32) {
	root := s.root(g)
	*root = s.remove(*root, row)
	w := s.m.row(row)
	s.m.remove(row, w, w[asOfHash])
}
