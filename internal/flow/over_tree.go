package flow

import (
	"math/bits"
	"unsafe"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// overTree keeps the rows of partitions in order, so that a row is found by its values
// or by its place, and comes or goes, in O(log n). A partition is a tree of blocks of up
// to blockRows rows each; every block knows how many rows, and how many different sort
// keys, are in the tree below it. The tree is a treap whose priorities are hashes of
// block numbers. Small partitions are one block.
//
// A place is a number from 0, the first row's. A row of weight 3 takes three places.
// Source: Seidel and Aragon, "Randomized search trees", Algorithmica 1996.
type overTree struct {
	rows   *rowStore
	blocks slab // of overBlock
	n      int64
	path   []uint32
}

const (
	blockRows  = 32
	blockHead  = 5 // words of a block before its rows
	blockWords = int(unsafe.Sizeof(overBlock{}) / 8)
)

// overBlock is some rows that follow each other. It is the words of a row of pages,
// seen as what they are.
type overBlock struct {
	left, right uint32
	size        uint32 // rows in the tree
	heads       uint32 // rows in the tree that are the first of their peers
	head        uint32 // bit k: own row k is the first of its peers
	n           uint8
	ownStale    bool      // the block's rows are not those of its partial aggregates
	treeStale   bool      // nor are the tree's
	parts       [2]uint64 // refs of the partial aggregates of the block and of the tree
	rows        [blockRows]uint32
	ans         [blockRows]uint32
}

func newOverTree(mem *state.Memory, rows *rowStore) overTree {
	return overTree{rows: rows, blocks: newSlab(mem, blockWords)}
}

func (t *overTree) persist(p *state.Persist) {
	state.Num(p, &t.n)
	t.blocks.persist(p)
}

func asBlock(w []uint64) *overBlock { return (*overBlock)(unsafe.Pointer(unsafe.SliceData(w))) }

// block returns a block for reading, edit for reading and writing, and editHead for
// writing all but its rows and answers.
func (t *overTree) block(id uint32) *overBlock { return asBlock(t.blocks.at(id)) }
func (t *overTree) edit(id uint32) *overBlock  { return asBlock(t.blocks.edit(id)) }

func (t *overTree) editHead(id uint32) *overBlock {
	return asBlock(t.blocks.pages.EditPart(id, 0, blockHead))
}

func (t *overTree) bytes() int64 { return t.blocks.bytes() }

// alloc returns a new block, which may be written in this step.
func (t *overTree) alloc() (uint32, *overBlock) {
	id, w := t.blocks.alloc()
	b := asBlock(w)
	b.ownStale, b.treeStale = true, true
	return id, b
}

func (t *overTree) release(id uint32) { t.blocks.release(id) }

func (t *overTree) size(id uint32) int64 {
	if id == 0 {
		return 0
	}
	return int64(t.block(id).size)
}

func (t *overTree) heads(id uint32) int64 {
	if id == 0 {
		return 0
	}
	return int64(t.block(id).heads)
}

// pull brings a block's knowledge of its tree up to date.
func (t *overTree) pull(id uint32) uint32 {
	b := t.editHead(id)
	b.size = uint32(b.n) + uint32(t.size(b.left)+t.size(b.right))
	b.heads = uint32(bits.OnesCount32(b.head)) + uint32(t.heads(b.left)+t.heads(b.right))
	b.treeStale = true
	return id
}

func blockPriority(id uint32) uint64 { return types.HashInt(int64(id)) }

// merge makes one tree of two, all of whose rows are in this order.
func (t *overTree) merge(x, y uint32) uint32 {
	switch {
	case x == 0:
		return y
	case y == 0:
		return x
	case blockPriority(x) > blockPriority(y):
		b := t.editHead(x)
		b.right = t.merge(b.right, y)
		return t.pull(x)
	}
	b := t.editHead(y)
	b.left = t.merge(x, b.left)
	return t.pull(y)
}

// split parts a tree before place at, which is that of a block's first row.
func (t *overTree) split(id uint32, at int64) (before, after uint32) {
	if id == 0 {
		return 0, 0
	}
	b := t.editHead(id)
	if left := t.size(b.left); at <= left {
		before, b.left = t.split(b.left, at)
		return before, t.pull(id)
	} else {
		b.right, after = t.split(b.right, at-left-int64(b.n))
	}
	return t.pull(id), after
}

// find returns the block of place at and the place of the block's first row, and
// leaves the way there in path. With gap, at may be behind the last row, and of two
// blocks between which it lies either may be given.
func (t *overTree) find(root uint32, at int64, gap bool) (id uint32, start int64) {
	t.path = t.path[:0]
	for id = root; ; {
		t.path = append(t.path, id)
		b := t.block(id)
		left := t.size(b.left)
		switch {
		case at < start+left:
			id = b.left
		case at < start+left+int64(b.n), gap && (at == start+left+int64(b.n) || b.right == 0):
			return id, start + left
		default:
			start += left + int64(b.n)
			id = b.right
		}
	}
}

// pullPath brings the blocks of path up to date.
func (t *overTree) pullPath() {
	for i := len(t.path) - 1; i >= 0; i-- {
		t.pull(t.path[i])
	}
}

// insert puts a row without an answer in before place at, and returns the root.
func (t *overTree) insert(root uint32, at int64, row uint32) uint32 {
	if root == 0 {
		id, b := t.alloc()
		b.n, b.rows[0] = 1, row
		t.n++
		return t.pull(id)
	}
	id, start := t.find(root, at, true)
	b := t.edit(id)
	if b.n == blockRows {
		// Rows that come in order fill their blocks.
		keep := uint8(blockRows / 2)
		if at == start+blockRows {
			keep = blockRows
		}
		nid, nb := t.alloc()
		if keep < blockRows {
			nb.n = uint8(copy(nb.rows[:], b.rows[keep:]))
			copy(nb.ans[:], b.ans[keep:])
			nb.head = b.head >> keep
			b.head &= 1<<keep - 1
			b.n, b.ownStale = keep, true
			t.pullPath()
		} else {
			nb.n, nb.rows[0] = 1, row
		}
		t.pull(nid)
		x, y := t.split(root, start+int64(keep))
		root = t.merge(t.merge(x, nid), y)
		if keep == blockRows {
			t.n++
			return root
		}
		return t.insert(root, at, row)
	}
	k := uint(at - start)
	copy(b.rows[k+1:], b.rows[k:b.n])
	copy(b.ans[k+1:], b.ans[k:b.n])
	low := uint32(1)<<k - 1
	b.head = b.head&low | b.head&^low<<1
	b.rows[k], b.ans[k] = row, 0
	b.n++
	b.ownStale = true
	t.n++
	t.pullPath()
	return root
}

// remove takes the row at a place out.
func (t *overTree) remove(root uint32, at int64) uint32 {
	id, start := t.find(root, at, false)
	t.n--
	b := t.edit(id)
	if b.n == 1 {
		x, y := t.split(root, start)
		_, z := t.split(y, 1)
		t.release(id)
		return t.merge(x, z)
	}
	k := uint(at - start)
	copy(b.rows[k:], b.rows[k+1:b.n])
	copy(b.ans[k:], b.ans[k+1:b.n])
	low := uint32(1)<<k - 1
	b.head = b.head&low | b.head>>1&^low
	b.n--
	b.ownStale = true
	t.pullPath()
	if b.n < blockRows/4 {
		return t.join(root, id, start)
	}
	return root
}

// join moves the rows of the next block to the one of few rows that starts at a place,
// if there is room.
func (t *overTree) join(root, id uint32, start int64) uint32 {
	b := t.block(id)
	end := start + int64(b.n)
	if end == t.size(root) {
		return root
	}
	nid, _ := t.find(root, end, false)
	nb := t.block(nid)
	if int(b.n)+int(nb.n) > blockRows*3/4 {
		return root
	}
	x, y := t.split(root, end)
	_, z := t.split(y, int64(nb.n))
	b = t.edit(id)
	copy(b.rows[b.n:], nb.rows[:nb.n])
	copy(b.ans[b.n:], nb.ans[:nb.n])
	b.head |= nb.head << b.n
	b.n += nb.n
	b.ownStale = true
	root = t.merge(x, z)
	t.find(root, start, false)
	t.pullPath()
	t.release(nid)
	return root
}

// setHead notes whether the row at a place is the first of its peers.
func (t *overTree) setHead(root uint32, at int64, head bool) {
	id, start := t.find(root, at, false)
	bit := uint32(1) << uint(at-start)
	if (t.block(id).head&bit != 0) == head {
		return
	}
	t.editHead(id).head ^= bit
	for _, id := range t.path {
		if head {
			t.editHead(id).heads++
		} else {
			t.editHead(id).heads--
		}
	}
}

// headsBefore counts the rows before a place that are the first of their peers.
func (t *overTree) headsBefore(root uint32, at int64) int64 {
	n := int64(0)
	for root != 0 {
		b := t.block(root)
		left := t.size(b.left)
		if at < left {
			root = b.left
			continue
		}
		n += t.heads(b.left)
		at -= left
		if at <= int64(b.n) {
			return n + int64(bits.OnesCount32(b.head&(uint32(1<<uint(at)-1))))
		}
		n += int64(bits.OnesCount32(b.head))
		at -= int64(b.n)
		root = b.right
	}
	return n
}

// headAt returns the place of the k-th first of peers, from 0; the number of rows if
// there are not so many.
func (t *overTree) headAt(root uint32, k int64) int64 {
	at := int64(0)
	for root != 0 {
		b := t.block(root)
		left := t.heads(b.left)
		if k < left {
			root = b.left
			continue
		}
		k -= left
		at += t.size(b.left)
		if own := int64(bits.OnesCount32(b.head)); k >= own {
			k -= own
			at += int64(b.n)
			root = b.right
			continue
		}
		h := b.head
		for ; k > 0; k-- {
			h &= h - 1
		}
		return at + int64(bits.TrailingZeros32(h))
	}
	return at
}

// overProbe tells of a row whether it comes before something: before is false from some
// place on.
type overProbe interface{ before(w []uint64) bool }

// search returns the first place whose row is not before what p looks for.
func (t *overTree) search(root uint32, p overProbe) int64 {
	at := int64(0)
	for root != 0 {
		b := t.block(root)
		switch {
		case !p.before(t.rows.row(b.rows[0])):
			root = b.left
		case p.before(t.rows.row(b.rows[b.n-1])):
			at += t.size(b.left) + int64(b.n)
			root = b.right
		default:
			lo, hi := 1, int(b.n)-1 // row hi is not before
			for lo < hi {
				if mid := (lo + hi) / 2; p.before(t.rows.row(b.rows[mid])) {
					lo = mid + 1
				} else {
					hi = mid
				}
			}
			return at + t.size(b.left) + int64(lo)
		}
	}
	return at
}

// overCursor remembers the block of a place, for others near it.
type overCursor struct {
	block      *overBlock
	id         uint32
	start, end int64
}

// move returns the block of a place and the row's number in it. The tree must not have
// changed since the cursor was cleared.
func (c *overCursor) move(t *overTree, root uint32, at int64) (*overBlock, int) {
	if at < c.start || at >= c.end {
		c.id, c.start = t.find(root, at, false)
		c.block = t.block(c.id)
		c.end = c.start + int64(c.block.n)
	}
	return c.block, int(at - c.start)
}

// row returns the row at a place.
func (c *overCursor) row(t *overTree, root uint32, at int64) uint32 {
	b, k := c.move(t, root, at)
	return b.rows[k]
}
