package state

// Ordered is an ordered multiset: of each group, keys in the order of their bytes
// (types.AppendKey gives bytes of SQL's order), each with a weight that is not 0
// and a value word for its user. Groups are refs of a Table's rows. It is a B+ tree;
// nodes with few keys are joined, so memory follows the content.
//
// One goroutine owns an Ordered.
type Ordered struct {
	tree
	scan []byte // scratch: key of the entry handed out
}

// NewOrdered returns an empty multiset that belongs to m.
func NewOrdered(m *Memory) *Ordered { return &Ordered{tree: newTree(m)} }

// Len returns the number of keys of all groups.
func (o *Ordered) Len() int { return o.n }

// Bytes returns the size of the multiset, in memory or not. It costs nothing to ask.
func (o *Ordered) Bytes() int64 { return o.nodes.Bytes() + o.text.Bytes() }

// Persist names the multiset's state.
func (o *Ordered) Persist(p *Persist) { o.tree.persist(p) }

// Reset forgets all keys.
func (o *Ordered) Reset() { o.tree.reset() }

// Add adds weight to a key of a group and returns the weights before and after.
// A key whose weight becomes 0 is deleted. key is copied. weight may be negative,
// and so may sums.
func (o *Ordered) Add(group Ref, key []byte, weight int64) (before, after int64) {
	if weight == 0 {
		return 0, 0
	}
	return o.add(probeKey{uint64(group), headOf(key), key}, weight, 0, false)
}

// Put is Add that also sets the key's value.
func (o *Ordered) Put(group Ref, key []byte, weight int64, value uint64) (before, after int64) {
	if weight == 0 {
		return 0, 0
	}
	return o.add(probeKey{uint64(group), headOf(key), key}, weight, value, true)
}

// Entry is a key of a group. Key is borrowed until the next call.
type Entry struct {
	Key    []byte
	Weight int64
	Value  uint64
}

// Min returns the first key of a group whose weight is above 0.
func (o *Ordered) Min(group Ref) (e Entry, ok bool) {
	o.Ascend(group, nil, func(x Entry) bool {
		e, ok = x, x.Weight > 0
		return !ok
	})
	return e, ok
}

// Max returns the last key of a group whose weight is above 0.
func (o *Ordered) Max(group Ref) (e Entry, ok bool) {
	o.Descend(group, func(x Entry) bool {
		e, ok = x, x.Weight > 0
		return !ok
	})
	return e, ok
}

// Ascend hands out the keys of a group in order, from the first that is not below
// from, until fn returns false. fn may not change the multiset.
func (o *Ordered) Ascend(group Ref, from []byte, fn func(Entry) bool) {
	if o.n == 0 {
		return
	}
	p, i := o.seek(probeKey{uint64(group), headOf(from), from})
	for {
		w := o.node(p)
		if i == entries(w) {
			if p = uint32(w[1] >> 32); p == 0 {
				return
			}
			i, w = 0, o.node(p)
		}
		e := leafEntry(w, i)
		if e[entGroup] != uint64(group) || !fn(o.entry(e)) {
			return
		}
		i++
	}
}

// Descend hands out the keys of a group from the last to the first, until fn
// returns false. fn may not change the multiset.
func (o *Ordered) Descend(group Ref, fn func(Entry) bool) {
	if o.n == 0 {
		return
	}
	p, i := o.seek(probeKey{uint64(group) + 1, 0, nil})
	for {
		w := o.node(p)
		if i == 0 {
			if p = uint32(w[1]); p == 0 {
				return
			}
			w = o.node(p)
			i = entries(w)
		}
		i--
		e := leafEntry(w, i)
		if e[entGroup] != uint64(group) || !fn(o.entry(e)) {
			return
		}
	}
}

// Clear deletes all keys of a group.
func (o *Ordered) Clear(group Ref) {
	for {
		var e Entry
		found := false
		o.Ascend(group, nil, func(x Entry) bool { e, found = x, true; return false })
		if !found {
			return
		}
		o.Add(group, e.Key, -e.Weight)
	}
}

func (o *Ordered) entry(e []uint64) Entry {
	o.scan = o.appendKey(o.scan[:0], e)
	return Entry{Key: o.scan, Weight: int64(e[entWeight]), Value: e[entValue]}
}
