package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// A tree is a B+ tree of pages of words. A page is
//
//	word 0      number of entries | leaf flag << 63
//	word 1      leaves: next<<32 | previous page; free pages: next free page
//	words 2..   entries: group, head, tail, then weight and value in leaves, the
//	            child page in inner pages, whose first entry's key counts as -infinity
//
// head is the key's first 8 bytes, big-endian and padded with zeros. tail is
// offset<<32 | length of the whole key; a key of more than 8 bytes has the rest in
// the arena at offset. Inner pages own copies of the keys that they repeat.
const (
	pageHead  = 2
	leafWords = 5
	leafCap   = 50
	innerCap  = 62
	pageWords = pageHead + leafWords*leafCap
	innerSize = 4
	leafFlag  = 1 << 63

	entGroup  = 0
	entHead   = 1
	entTail   = 2
	entWeight = 3
	entValue  = 4
	entChild  = 3

	// maxDepth bounds the depth: every level has at least 2 children when it is made.
	maxDepth = 16
	// treeChunk is the number of pages allocated at once in a tree that has as many.
	treeChunk = 64
	// airPages is the number of pages a tree may have however empty they are.
	airPages = 8
)

type tree struct {
	root    uint32 // 0: empty
	free    uint32
	pages   uint32 // given out so far, free ones included; page numbers start at 1
	nfree   uint32
	n       int // keys
	chunks  [][]uint64
	first   []uint64 // pages 1 to treeChunk, which grows by doubling
	arena   []byte
	garbage int
}

// probeKey is a key to look for.
type probeKey struct {
	group, head uint64
	key         []byte
}

func headOf(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var h uint64
	for i, b := range key {
		h |= uint64(b) << (56 - 8*uint(i))
	}
	return h
}

func (t *tree) size() int64 {
	return int64(len(t.first)+len(t.chunks)*treeChunk*pageWords)*8 + int64(cap(t.arena))
}

func (t *tree) page(p uint32) []uint64 {
	p--
	if p < treeChunk {
		return t.first[p*pageWords : (p+1)*pageWords : (p+1)*pageWords]
	}
	c := t.chunks[p/treeChunk-1]
	p %= treeChunk
	return c[p*pageWords : (p+1)*pageWords : (p+1)*pageWords]
}

func (t *tree) count(p uint32) int   { return int(t.page(p)[0] &^ leafFlag) }
func (t *tree) next(p uint32) uint32 { return uint32(t.page(p)[1] >> 32) }
func (t *tree) prev(p uint32) uint32 { return uint32(t.page(p)[1]) }

func (t *tree) leaf(p uint32, i int) []uint64 {
	w := t.page(p)
	o := pageHead + i*leafWords
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
	n := int(e[entTail] & 0xffffffff)
	if n <= 8 || len(k.key) <= 8 {
		return cmp.Compare(n, len(k.key)) // one is the other's prefix
	}
	return bytes.Compare(t.rest(e[entTail]), k.key[8:])
}

// rest returns the bytes of a key after the first 8.
func (t *tree) rest(tail uint64) []byte {
	n := tail & 0xffffffff
	if n <= 8 {
		return nil
	}
	off := tail >> 32
	return t.arena[off : off+n-8]
}

func (t *tree) appendKey(dst []byte, e []uint64) []byte {
	dst = binary.BigEndian.AppendUint64(dst, e[entHead])
	if n := int(e[entTail] & 0xffffffff); n < 8 {
		return dst[:len(dst)-8+n]
	}
	return append(dst, t.rest(e[entTail])...)
}

// keep stores a key and returns its tail.
func (t *tree) keep(key []byte) uint64 {
	if len(key) <= 8 {
		return uint64(len(key))
	}
	if len(t.arena)+len(key) > maxArena {
		panic("state: a shard's ordered keys exceed 4 GiB")
	}
	off := len(t.arena)
	t.arena = append(t.arena, key[8:]...)
	return uint64(off)<<32 | uint64(len(key))
}

func (t *tree) drop(tail uint64) {
	if n := int(tail & 0xffffffff); n > 8 {
		t.garbage += n - 8
	}
}

// search returns the first of n entries of stride words at w that is not below k.
func (t *tree) search(w []uint64, n, stride int, k *probeKey) (i int, found bool) {
	lo, hi := 0, n
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		e := w[pageHead+m*stride:][:3]
		less := e[entGroup] < k.group
		if e[entGroup] == k.group {
			less = e[entHead] < k.head
			if e[entHead] == k.head {
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

// path is the inner pages from the root to a leaf, with the child taken in each.
type path struct {
	page [maxDepth]uint32
	at   [maxDepth]int
	n    int
}

// descend returns the leaf for k.
func (t *tree) descend(k *probeKey, up *path) uint32 {
	p := t.root
	for {
		w := t.page(p)
		if w[0]&leafFlag != 0 {
			return p
		}
		i, found := t.search(w, int(w[0]), innerSize, k)
		if !found && i > 0 {
			i--
		}
		if up != nil {
			up.page[up.n], up.at[up.n] = p, i
			up.n++
		}
		p = uint32(w[pageHead+i*innerSize+entChild])
	}
}

// seek returns the place of the first entry not below k: an index in a leaf, which
// may be one past its last.
func (t *tree) seek(k probeKey) (page uint32, i int) {
	page = t.descend(&k, nil)
	w := t.page(page)
	i, _ = t.search(w, int(w[0]&^leafFlag), leafWords, &k)
	return page, i
}

func (t *tree) add(k probeKey, weight int64, value uint64, set bool) (before, after int64) {
	if t.root == 0 {
		t.root = t.newPage()
		t.page(t.root)[0] = leafFlag
	}
	var up path
	p := t.descend(&k, &up)
	w := t.page(p)
	i, found := t.search(w, int(w[0]&^leafFlag), leafWords, &k)
	if !found {
		t.insert(p, i, &up, &k, weight, value)
		t.n++
		return 0, weight
	}
	e := t.leaf(p, i)
	before = int64(e[entWeight])
	after = before + weight
	e[entWeight] = uint64(after)
	if set {
		e[entValue] = value
	}
	if after == 0 {
		t.remove(p, i, &up)
	}
	return before, after
}

func (t *tree) insert(p uint32, i int, up *path, k *probeKey, weight int64, value uint64) {
	w := t.page(p)
	n := int(w[0] &^ leafFlag)
	if n == leafCap {
		p, i = t.splitLeaf(p, i, up)
		w = t.page(p)
		n = int(w[0] &^ leafFlag)
	}
	o := pageHead + i*leafWords
	copy(w[o+leafWords:], w[o:pageHead+n*leafWords])
	w[o+entGroup], w[o+entHead], w[o+entTail] = k.group, k.head, t.keep(k.key)
	w[o+entWeight], w[o+entValue] = uint64(weight), value
	w[0]++
}

// splitLeaf moves the upper part of p to a new leaf and returns where index i is
// now. Appending at the very end leaves p full, so that rising keys fill pages.
func (t *tree) splitLeaf(p uint32, i int, up *path) (uint32, int) {
	q := t.newPage()
	w, v := t.page(p), t.page(q)
	cut := leafCap / 2
	next := uint32(w[1] >> 32)
	if i == leafCap && next == 0 {
		cut = leafCap - 1
	}
	copy(v[pageHead:], w[pageHead+cut*leafWords:])
	v[0], w[0] = leafFlag|uint64(leafCap-cut), leafFlag|uint64(cut)
	v[1] = uint64(next)<<32 | uint64(p)
	w[1] = w[1]&0xffffffff | uint64(q)<<32
	if next != 0 {
		x := t.page(next)
		x[1] = x[1]&^0xffffffff | uint64(q)
	}
	t.addChild(up, v[pageHead:pageHead+3], q, p)
	if i > cut || i == cut && cut == leafCap-1 {
		return q, i - cut
	}
	return p, i
}

// addChild enters page q, whose first key is that of e, after its left neighbour in
// the page above.
func (t *tree) addChild(up *path, e []uint64, q, left uint32) {
	key := t.appendKey(nil, e)
	ent := [innerSize]uint64{e[entGroup], e[entHead], t.keep(key), uint64(q)}
	if up.n == 0 {
		r := t.newPage()
		w := t.page(r)
		w[0] = 2
		w[pageHead+entChild] = uint64(left)
		copy(w[pageHead+innerSize:], ent[:])
		t.root = r
		return
	}
	up.n--
	p, i := up.page[up.n], up.at[up.n]+1
	w := t.page(p)
	if int(w[0]) == innerCap {
		p, i = t.splitInner(p, i, up)
		w = t.page(p)
	}
	o := pageHead + i*innerSize
	copy(w[o+innerSize:], w[o:pageHead+int(w[0])*innerSize])
	copy(w[o:], ent[:])
	w[0]++
}

func (t *tree) splitInner(p uint32, i int, up *path) (uint32, int) {
	q := t.newPage()
	w, v := t.page(p), t.page(q)
	cut := innerCap / 2
	if i == innerCap {
		cut = innerCap - 1
	}
	copy(v[pageHead:], w[pageHead+cut*innerSize:pageHead+innerCap*innerSize])
	v[0], w[0] = uint64(innerCap-cut), uint64(cut)
	e := [3]uint64(v[pageHead : pageHead+3])
	t.addChild(up, e[:], q, p)
	if i > cut {
		return q, i - cut
	}
	return p, i
}

// remove deletes entry i of leaf p.
func (t *tree) remove(p uint32, i int, up *path) {
	w := t.page(p)
	n := int(w[0] &^ leafFlag)
	o := pageHead + i*leafWords
	t.drop(w[o+entTail])
	copy(w[o:], w[o+leafWords:pageHead+n*leafWords])
	w[0]--
	t.n--
	if t.n == 0 {
		t.empty()
		return
	}
	if n == 1 {
		t.unlink(p, up)
	}
	used := int(t.pages - t.nfree)
	if used > airPages && t.n*4 < used*leafCap || t.garbage > minArena && t.garbage > len(t.arena)/2 ||
		t.nfree > airPages && int(t.nfree) > 3*used {
		t.pack()
	}
}

// empty forgets everything; a small tree keeps its memory.
func (t *tree) empty() {
	if len(t.first) <= 2*pageWords && cap(t.arena) <= minArena && len(t.chunks) == 0 {
		*t = tree{first: t.first, arena: t.arena[:0]}
		return
	}
	*t = tree{}
}

// unlink takes the empty leaf p out of the list and out of the pages above.
func (t *tree) unlink(p uint32, up *path) {
	w := t.page(p)
	next, prev := uint32(w[1]>>32), uint32(w[1])
	if prev != 0 {
		x := t.page(prev)
		x[1] = x[1]&0xffffffff | uint64(next)<<32
	}
	if next != 0 {
		x := t.page(next)
		x[1] = x[1]&^0xffffffff | uint64(prev)
	}
	t.freePage(p)
	for up.n > 0 {
		up.n--
		q, i := up.page[up.n], up.at[up.n]
		v := t.page(q)
		n := int(v[0])
		o := pageHead + i*innerSize
		t.drop(v[o+entTail])
		copy(v[o:], v[o+innerSize:pageHead+n*innerSize])
		v[0]--
		if n > 1 {
			return
		}
		t.freePage(q)
	}
}

// pack builds the tree anew with full pages and no garbage.
func (t *tree) pack() {
	old := *t
	*t = tree{}
	var key []byte
	p := old.leftmost()
	for ; p != 0; p = old.next(p) {
		for i := range old.count(p) {
			e := old.leaf(p, i)
			key = old.appendKey(key[:0], e)
			t.add(probeKey{e[entGroup], e[entHead], key}, int64(e[entWeight]), e[entValue], true)
		}
	}
	t.arena = slices.Clip(t.arena)
}

func (t *tree) leftmost() uint32 {
	p := t.root
	for t.page(p)[0]&leafFlag == 0 {
		p = uint32(t.page(p)[pageHead+entChild])
	}
	return p
}

func (t *tree) newPage() uint32 {
	if p := t.free; p != 0 {
		w := t.page(p)
		t.free = uint32(w[1])
		t.nfree--
		clear(w)
		return p
	}
	if have := len(t.first)/pageWords + len(t.chunks)*treeChunk; int(t.pages) == have {
		if have < treeChunk {
			grown := make([]uint64, max(1, 2*have)*pageWords)
			copy(grown, t.first)
			t.first = grown
		} else {
			t.chunks = append(t.chunks, make([]uint64, treeChunk*pageWords))
		}
	}
	t.pages++
	return t.pages
}

func (t *tree) freePage(p uint32) {
	w := t.page(p)
	w[0], w[1] = 0, uint64(t.free)
	t.free = p
	t.nfree++
}
