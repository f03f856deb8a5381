package state

import (
	"slices"
)

// Nodes that are nearly empty are joined with a neighbour, and the last node takes
// the place of one that is gone, so that memory follows the content.
const (
	leafFew  = leafCap / 4
	leafMuch = leafCap * 3 / 4 // the most entries of a joined node
	innerFew = innerCap / 4
	innerMay = innerCap * 3 / 4
)

// remove deletes entry i of leaf p.
func (t *tree) remove(p uint32, i int, up *path) {
	n := entries(t.node(p))
	o, end := nodeHead+i*leafWords, nodeHead+n*leafWords
	t.drop(t.node(p)[o+entTail])
	t.n--
	if t.n == 0 {
		t.reset()
		return
	}
	w := t.edit(p, o, end)
	copy(w[o:], w[o+leafWords:end])
	t.setEntries(p, n-1)
	switch {
	case n == 1:
		t.unlink(p)
		t.dropChild(up)
	case n-1 < leafFew && up.n > 0:
		t.joinLeaf(p, n-1, up)
	}
	t.bury()
}

// reset forgets all keys.
func (t *tree) reset() {
	t.root, t.count, t.n = 0, 0, 0
	t.nodes.Shrink(1)
	t.text.Reset()
}

// unlink takes the leaf p out of the list of leaves.
func (t *tree) unlink(p uint32) {
	next, prev := t.next(p), t.prev(p)
	t.setNext(prev, next)
	t.setPrev(next, prev)
	t.dead = append(t.dead, p)
}

// joinLeaf joins leaf p, of n entries, with a neighbour under the same node, if both
// fit one.
func (t *tree) joinLeaf(p uint32, n int, up *path) {
	v, at := t.node(up.node[up.n-1]), up.at[up.n-1]
	child := func(i int) uint32 { return uint32(v[nodeHead+i*innerSize+entChild]) }
	left, right := p, uint32(0)
	if at+1 < int(v[0]) && n+entries(t.node(child(at+1))) <= leafMuch {
		right = child(at + 1)
		up.at[up.n-1]++
	} else if at > 0 && n+entries(t.node(child(at-1))) <= leafMuch {
		left, right = child(at-1), p
	} else {
		return
	}
	src := t.node(right)
	have, more := entries(t.node(left)), entries(src)
	from := nodeHead + have*leafWords
	copy(t.edit(left, from, from+more*leafWords)[from:], src[nodeHead:nodeHead+more*leafWords])
	t.setEntries(left, have+more)
	t.unlink(right)
	t.dropChild(up)
}

// dropChild takes the child that up ends with out of the node above.
func (t *tree) dropChild(up *path) {
	up.n--
	q, i := up.node[up.n], up.at[up.n]
	n := int(t.node(q)[0])
	o, end := nodeHead+i*innerSize, nodeHead+n*innerSize
	w := t.edit(q, o, end)
	t.drop(w[o+entTail])
	copy(w[o:], w[o+innerSize:end])
	n--
	t.setEntries(q, n)
	switch {
	case up.n == 0:
		t.lowerRoot()
	case n == 0:
		t.dead = append(t.dead, q)
		t.dropChild(up)
	case n < innerFew:
		t.joinInner(q, n, up)
	}
}

// lowerRoot takes away root nodes with one child.
func (t *tree) lowerRoot() {
	for {
		w := t.node(t.root)
		if w[0] != 1 { // a leaf has the flag
			return
		}
		t.drop(w[nodeHead+entTail])
		t.dead = append(t.dead, t.root)
		t.root = uint32(w[nodeHead+entChild])
	}
}

// joinInner is joinLeaf for inner nodes. The key above the right one becomes its first
// entry's.
func (t *tree) joinInner(p uint32, n int, up *path) {
	g, at := up.node[up.n-1], up.at[up.n-1]
	v := t.node(g)
	child := func(i int) uint32 { return uint32(v[nodeHead+i*innerSize+entChild]) }
	left, right := p, uint32(0)
	if at+1 < int(v[0]) && n+int(t.node(child(at + 1))[0]) <= innerMay {
		at++
		right = child(at)
		up.at[up.n-1] = at
	} else if at > 0 && n+int(t.node(child(at - 1))[0]) <= innerMay {
		left, right = child(at-1), p
	} else {
		return
	}
	src := t.node(right)
	t.drop(src[nodeHead+entTail])
	have, more := int(t.node(left)[0]), int(src[0])
	from := nodeHead + have*innerSize
	w := t.edit(left, from, from+more*innerSize)
	copy(w[from:], src[nodeHead:nodeHead+more*innerSize])
	o := nodeHead + at*innerSize
	sep := t.edit(g, o+entTail, o+entTail+1)
	copy(w[from:from+entChild], sep[o:o+entChild])
	sep[o+entTail] = 0 // it has moved
	t.setEntries(left, have+more)
	t.dead = append(t.dead, right)
	t.dropChild(up)
}

// bury gives the nodes in t.dead back: the last ones take their numbers.
func (t *tree) bury() {
	if len(t.dead) == 0 {
		return
	}
	slices.SortFunc(t.dead, func(a, b uint32) int { return int(b) - int(a) })
	for _, p := range t.dead {
		if p != t.count {
			t.move(t.count, p)
		}
		t.count--
	}
	t.dead = t.dead[:0]
	if keep := int(t.count) + 1; t.nodes.Cap()-keep >= 2*t.nodes.PageRows() {
		t.nodes.Shrink(keep)
	}
}

// move makes node from node to, which is nobody's.
func (t *tree) move(from, to uint32) {
	w := t.node(from)
	// A key below it leads to it.
	e := w
	for e[0]&leafFlag == 0 {
		e = t.node(uint32(e[nodeHead+entChild]))
	}
	t.key = t.appendKey(t.key[:0], leafEntry(e, 0))
	k := probeKey{e[nodeHead+entGroup], e[nodeHead+entHead], t.key}
	var up path
	if t.descend(&k, &up, from) != from {
		panic("state: a node of a tree is not below its root")
	}
	copy(t.edit(to, 0, nodeWords), w)
	if w[0]&leafFlag != 0 {
		t.setNext(uint32(w[1]), to)
		t.setPrev(uint32(w[1]>>32), to)
	}
	if up.n == 0 {
		t.root = to
		return
	}
	o := nodeHead + up.at[up.n-1]*innerSize + entChild
	t.edit(up.node[up.n-1], o, o+1)[o] = uint64(to)
}
