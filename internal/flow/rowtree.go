package flow

import "github.com/tidemill/tidemill/internal/types"

// rowTree keeps rows of a store in search trees, any number of them: a tree is its
// root's row, 0 for none, and its links are in the rows' headers. A tree is a treap
// whose priorities are hashes of row numbers, which keeps it flat whatever the order
// of arrival.
//
// Cost: O(log n) comparisons for insert, remove, split and merge.
// Source: Seidel and Aragon, "Randomized search trees", Algorithmica 1996.
type rowTree struct {
	store *rowStore
	links int // header word: left<<32 | right
	// sums and weight are header words: the sum of the weights of a row's subtree, and
	// its own weight. Without sums both are 0.
	sums, weight int
	// order compares two rows of a tree; it is 0 only for a row and itself.
	order func(a, b uint32) int
}

func priority(row uint32) uint64 { return types.HashInt(int64(row)) }

func (t *rowTree) children(row uint32) (left, right uint32) {
	w := t.store.row(row)[t.links]
	return uint32(w >> 32), uint32(w)
}

// own is the weight of a row alone, as the tree knows it.
func (t *rowTree) own(row uint32) int64 { return int64(t.store.row(row)[t.weight]) }

// sum is the weight of a tree.
func (t *rowTree) sum(root uint32) int64 {
	if root == 0 {
		return 0
	}
	return int64(t.store.row(root)[t.sums])
}

// join makes row the parent of left and right. Most of the rows on a way down keep
// theirs, and are not written.
func (t *rowTree) join(row, left, right uint32) uint32 {
	w := t.store.row(row)
	links := uint64(left)<<32 | uint64(right)
	if t.sums == 0 {
		if w[t.links] != links {
			t.store.edit(row)[t.links] = links
		}
		return row
	}
	sum := uint64(int64(w[t.weight]) + t.sum(left) + t.sum(right))
	if w[t.links] != links || w[t.sums] != sum {
		w = t.store.edit(row)
		w[t.links], w[t.sums] = links, sum
	}
	return row
}

// insert adds a row to a tree and returns its root.
func (t *rowTree) insert(root, row uint32) uint32 {
	if root == 0 {
		return t.join(row, 0, 0)
	}
	if priority(row) > priority(root) {
		left, right := t.split(root, row)
		return t.join(row, left, right)
	}
	left, right := t.children(root)
	if t.order(row, root) < 0 {
		return t.join(root, t.insert(left, row), right)
	}
	return t.join(root, left, t.insert(right, row))
}

// split parts a tree into the rows before row and those after it; row itself is among
// the former.
func (t *rowTree) split(root, row uint32) (before, after uint32) {
	if root == 0 {
		return 0, 0
	}
	left, right := t.children(root)
	if t.order(row, root) < 0 {
		before, left = t.split(left, row)
		return before, t.join(root, left, right)
	}
	right, after = t.split(right, row)
	return t.join(root, left, right), after
}

// remove takes a row out of the tree that has it, and returns its root.
func (t *rowTree) remove(root, row uint32) uint32 {
	left, right := t.children(root)
	switch r := t.order(row, root); {
	case r == 0:
		return t.merge(left, right)
	case r < 0:
		return t.join(root, t.remove(left, row), right)
	}
	return t.join(root, left, t.remove(right, row))
}

// merge makes one tree of two, all of whose rows are in this order.
func (t *rowTree) merge(a, b uint32) uint32 {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	if priority(a) > priority(b) {
		left, right := t.children(a)
		return t.join(a, left, t.merge(right, b))
	}
	left, right := t.children(b)
	return t.join(b, t.merge(a, left), right)
}

// adjust adds n to the sums on the way from root to row.
func (t *rowTree) adjust(root, row uint32, n int64) {
	for {
		t.store.edit(root)[t.sums] += uint64(n)
		left, right := t.children(root)
		switch r := t.order(row, root); {
		case r == 0:
			return
		case r < 0:
			root = left
		default:
			root = right
		}
	}
}
