package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
)

// A tree is a B+ tree of nodes of words, numbered from 1 without a gap. A node is
//
//	word 0      number of entries | leaf flag << 63
//	word 1      leaves: next<<32 | previous node
//	words 2..   entries: group, head, tail, then weight and value in leaves, the
//	            child in inner nodes, whose first entry's key counts as -infinity
//
// head is the key's first 8 bytes, big-endian and padded with zeros. tail is the
// length of a key of up to 8 bytes; of a longer one it is the arena's word for the
// rest, with 8 added to the length. Inner nodes own copies of the keys they repeat.
const (
	nodeHead  = 2
	nodeWords = 512
	leafWords = 5
	leafCap   = (nodeWords - nodeHead) / leafWords
	innerSize = 4
	innerCap  = (nodeWords - nodeHead) / innerSize
	leafFlag  = 1 << 63

	entGroup  = 0
	entHead   = 1
	entTail   = 2
	entWeight = 3
	entValue  = 4
	entChild  = 3

	// maxDepth bounds the depth: every level has at least 2 children when it is made.
	maxDepth = 16
	// headBytes is how many bytes of a key are in its head.
	headBytes = 8
)

type tree struct {
	nodes *Pages
	text  *Arena
	root  uint32 // 0: empty
	count uint32 // nodes
	n     int    // keys
	dead  []uint32
	key   []byte // scratch
}

// probeKey is a key to look for.
type probeKey struct {
	group, head uint64
	key         []byte
}

func headOf(key []byte) uint64 {
	if len(key) >= headBytes {
		return binary.BigEndian.Uint64(key)
	}
	var h uint64
	for i, b := range key {
		h |= uint64(b) << (56 - 8*uint(i))
	}
	return h
}

func newTree(m *Memory) tree { return tree{nodes: NewPages(m, nodeWords), text: NewArena(m)} }

func (t *tree) persist(p *Persist) {
	Num(p, &t.root)
	Num(p, &t.count)
	Num(p, &t.n)
	p.Pages(t.nodes)
	t.text.Persist(p)
	if p.Loading() && p.Err() == nil && (t.root > t.count || int64(t.count) >= max(1, int64(t.nodes.Cap())) || (t.root == 0) != (t.n == 0)) {
		p.Fail(fmt.Errorf("%w: a tree of %d keys in %d nodes, root %d, in room for %d", ErrDamaged, t.n, t.count, t.root, t.nodes.Cap()))
	}
}

// node returns a node for reading.
func (t *tree) node(p uint32) []uint64 {
	n := p >> (t.nodes.shift & 31)
	pg := t.nodes.pages[n]
	if pg == nil {
		pg = t.nodes.fault(n)
	}
	o := int(p&(1<<(t.nodes.shift&31)-1)) * nodeWords
	return pg[o : o+nodeWords : o+nodeWords]
}

// edit returns a node for reading and for writing words from to to-1.
func (t *tree) edit(p uint32, from, to int) []uint64 {
	o := int(p&(1<<(t.nodes.shift&31)-1)) * nodeWords
	pg := t.nodes.EditPage(p>>(t.nodes.shift&31), o+from, o+to)
	return pg[o : o+nodeWords : o+nodeWords]
}

func entries(w []uint64) int { return int(w[0] &^ leafFlag) }

func (t *tree) next(p uint32) uint32 { return uint32(t.node(p)[1] >> 32) }
func (t *tree) prev(p uint32) uint32 { return uint32(t.node(p)[1]) }

func (t *tree) setNext(p, next uint32) {
	if p != 0 {
		w := t.edit(p, 1, 2)
		w[1] = w[1]&0xffffffff | uint64(next)<<32
	}
}

func (t *tree) setPrev(p, prev uint32) {
	if p != 0 {
		w := t.edit(p, 1, 2)
		w[1] = w[1]&^0xffffffff | uint64(prev)
	}
}

// setEntries sets the number of entries of a node.
func (t *tree) setEntries(p uint32, n int) {
	w := t.edit(p, 0, 1)
	w[0] = w[0]&leafFlag | uint64(n)
}

func leafEntry(w []uint64, i int) []uint64 {
	o := nodeHead + i*leafWords
	return w[o : o+leafWords : o+leafWords]
}

// compare orders the entry e against k.
func (t *tree) compare(e []uint64, k *probeKey) int {
	if e[entGroup] != k.group {
		return cmp.Compare(e[entGroup], k.group)
	}
	if e[entHead] != k.head {
		return cmp.Compare(e[entHead], k.head)
	}
	n := int(e[entTail] & MaxString)
	if n <= headBytes || len(k.key) <= headBytes {
		return cmp.Compare(n, len(k.key)) // one is the other's prefix
	}
	return bytes.Compare(t.rest(e[entTail]), k.key[headBytes:])
}

// rest returns the bytes of a key after the first 8.
func (t *tree) rest(tail uint64) []byte {
	if tail <= headBytes {
		return nil
	}
	return t.text.Get(tail - headBytes)
}

func (t *tree) appendKey(dst []byte, e []uint64) []byte {
	dst = binary.BigEndian.AppendUint64(dst, e[entHead])
	if tail := e[entTail]; tail < headBytes {
		return dst[:len(dst)-headBytes+int(tail)]
	}
	return append(dst, t.rest(e[entTail])...)
}

// keep stores a key and returns its tail.
func (t *tree) keep(key []byte) uint64 {
	if len(key) <= headBytes {
		return uint64(len(key))
	}
	if len(key) > MaxString {
		panic(fmt.Sprintf("state: an ordered key of %d bytes, at most %d are possible", len(key), MaxString))
	}
	return t.text.Put(key[headBytes:]) + headBytes
}

func (t *tree) drop(tail uint64) {
	if tail > headBytes {
		t.text.Release(tail - headBytes)
	}
}

// search returns the first of n entries of stride words at w that is not below k. It
// branches: half of the branches are guessed right, which brings in what comes next.
func (t *tree) search(w []uint64, n, stride int, k *probeKey) (i int, found bool) {
	lo, hi := 0, n
	group, head := k.group, k.head
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		e := w[nodeHead+m*stride:][:3]
		less := e[entGroup] < group
		if e[entGroup] == group {
			less = e[entHead] < head
			if e[entHead] == head {
				c := t.compare(e, k)
				if c == 0 {
					return m, true
				}
				less = c < 0
			}
		}
		if less {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo, false
}

// path is the inner nodes from the root to a node, with the child taken in each.
type path struct {
	node [maxDepth]uint32
	at   [maxDepth]int
	n    int
}

// descend returns the leaf for k, or node stop if that is on the way.
func (t *tree) descend(k *probeKey, up *path, stop uint32) uint32 {
	p := t.root
	v := t.nodes.View()
	for p != stop {
		w := v.Row(p)
		if w == nil {
			w = t.node(p)
		}
		if w[0]&leafFlag != 0 {
			break
		}
		i, found := t.search(w, int(w[0]), innerSize, k)
		if !found && i > 0 {
			i--
		}
		if up != nil {
			up.node[up.n], up.at[up.n] = p, i
			up.n++
		}
		p = uint32(w[nodeHead+i*innerSize+entChild])
	}
	return p
}

// seek returns the place of the first entry not below k: an index in a leaf, which
// may be one past its last.
func (t *tree) seek(k probeKey) (p uint32, i int) {
	p = t.descend(&k, nil, 0)
	w := t.node(p)
	i, _ = t.search(w, entries(w), leafWords, &k)
	return p, i
}

func (t *tree) add(k probeKey, weight int64, value uint64, set bool) (before, after int64) {
	if t.root == 0 {
		t.root = t.newNode(true)
	}
	var up path
	p := t.descend(&k, &up, 0)
	w := t.node(p)
	i, found := t.search(w, entries(w), leafWords, &k)
	if !found {
		t.insert(p, i, &up, &k, weight, value)
		t.n++
		return 0, weight
	}
	o := nodeHead + i*leafWords
	before = int64(w[o+entWeight])
	after = before + weight
	if after == 0 {
		t.remove(p, i, &up)
		return before, after
	}
	w = t.edit(p, o+entWeight, o+leafWords)
	w[o+entWeight] = uint64(after)
	if set {
		w[o+entValue] = value
	}
	return before, after
}

func (t *tree) insert(p uint32, i int, up *path, k *probeKey, weight int64, value uint64) {
	n := entries(t.node(p))
	if n == leafCap {
		p, i = t.splitLeaf(p, i, up)
		n = entries(t.node(p))
	}
	o, end := nodeHead+i*leafWords, nodeHead+n*leafWords
	tail := t.keep(k.key)
	w := t.edit(p, o, end+leafWords)
	copy(w[o+leafWords:end+leafWords], w[o:end])
	w[o+entGroup], w[o+entHead], w[o+entTail] = k.group, k.head, tail
	w[o+entWeight], w[o+entValue] = uint64(weight), value
	t.setEntries(p, n+1)
}

// splitLeaf moves the upper part of p to a new leaf and returns where index i is
// now. Appending at the very end leaves p full, so that rising keys fill nodes.
func (t *tree) splitLeaf(p uint32, i int, up *path) (uint32, int) {
	q := t.newNode(true)
	w, v := t.node(p), t.node(q)
	cut := leafCap / 2
	next := uint32(w[1] >> 32)
	if i == leafCap && next == 0 {
		cut = leafCap - 1
	}
	copy(v[nodeHead:], w[nodeHead+cut*leafWords:nodeHead+leafCap*leafWords])
	v[0], v[1] = leafFlag|uint64(leafCap-cut), uint64(next)<<32|uint64(p)
	t.setEntries(p, cut)
	t.setNext(p, q)
	t.setPrev(next, q)
	t.addChild(up, v[nodeHead:nodeHead+3], q, p)
	if i > cut || i == cut && cut == leafCap-1 {
		return q, i - cut
	}
	return p, i
}

// addChild enters node q, whose first key is that of e, after its left neighbour in
// the node above.
func (t *tree) addChild(up *path, e []uint64, q, left uint32) {
	t.key = t.appendKey(t.key[:0], e)
	ent := [innerSize]uint64{e[entGroup], e[entHead], t.keep(t.key), uint64(q)}
	if up.n == 0 {
		r := t.newNode(false)
		w := t.node(r)
		w[0] = 2
		w[nodeHead+entChild] = uint64(left)
		copy(w[nodeHead+innerSize:], ent[:])
		t.root = r
		return
	}
	up.n--
	p, i := up.node[up.n], up.at[up.n]+1
	if int(t.node(p)[0]) == innerCap {
		p, i = t.splitInner(p, i, up)
	}
	n := int(t.node(p)[0])
	o, end := nodeHead+i*innerSize, nodeHead+n*innerSize
	w := t.edit(p, o, end+innerSize)
	copy(w[o+innerSize:end+innerSize], w[o:end])
	copy(w[o:], ent[:])
	t.setEntries(p, n+1)
}

func (t *tree) splitInner(p uint32, i int, up *path) (uint32, int) {
	q := t.newNode(false)
	w, v := t.node(p), t.node(q)
	cut := innerCap / 2
	if i == innerCap {
		cut = innerCap - 1
	}
	copy(v[nodeHead:], w[nodeHead+cut*innerSize:nodeHead+innerCap*innerSize])
	v[0] = uint64(innerCap - cut)
	t.setEntries(p, cut)
	e := [3]uint64(v[nodeHead : nodeHead+3])
	t.addChild(up, e[:], q, p)
	if i > cut {
		return q, i - cut
	}
	return p, i
}

// newNode returns an empty node, which may be written up to the end of the step.
func (t *tree) newNode(leaf bool) uint32 {
	t.count++
	t.nodes.Grow(int(t.count) + 1)
	w := t.edit(t.count, 0, nodeWords)
	clear(w)
	if leaf {
		w[0] = leafFlag
	}
	return t.count
}
