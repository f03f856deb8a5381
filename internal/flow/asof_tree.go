package flow

import (
	"cmp"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// asOfSide is one input of an asOf: its rows by key, those of a key in a search tree
// by time.
type asOfSide struct {
	rowTree
	m     *multimap
	types []types.Type
	keys  []int
	time  int
	down  bool     // later times come first
	right bool     // of equal times, the row that comes first in the order of rows is last
	roots wordList // of the groups' trees
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
func (s *asOfSide) root(g uint32) uint32 { return uint32(s.roots.at(g)) }

func (s *asOfSide) setRoot(g, row uint32) { s.roots.set(g, uint64(row)) }

// raw is a row's time.
func (s *asOfSide) raw(row uint32) int64 { return int64(s.m.row(row)[s.m.fields[s.time].at]) }

// at is a row's time turned so that matches always lie before.
func (s *asOfSide) at(row uint32) int64 {
	if s.down {
		return ^s.raw(row)
	}
	return s.raw(row)
}

// compare orders two rows of a group.
func (s *asOfSide) compare(a, b uint32) int {
	if a == b {
		return 0
	}
	if x, y := s.at(a), s.at(b); x != y {
		return cmp.Compare(x, y)
	}
	r := s.m.compareWhole(s.m.row(a), s.m.row(b))
	if s.right {
		return -r
	}
	return r
}

// open makes the side's store, whose rows have so many header words. It needs a
// groupTable.
func (s *asOfSide) open(mem *state.Memory, words int) {
	s.m = newSide(mem, s.types, s.keys, words)
	s.m.trackR = true
	s.roots = newWordList(mem)
	s.rowTree = rowTree{store: s.m.rowStore, links: asOfTree, order: s.compare}
}

func (s *asOfSide) persist(p *state.Persist) {
	s.m.persist(p)
	s.roots.persist(p)
}

func (s *asOfSide) bytes() int64 { return s.m.bytes() + s.roots.bytes() }

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
	s.setRoot(g, s.remove(s.root(g), row))
	s.m.remove(row, s.m.row(row)[asOfHash])
}
