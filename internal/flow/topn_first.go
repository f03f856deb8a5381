package flow

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// topFirst is topN over rows that never go, for few places: of each partition it
// keeps the rows of the window and those before it, in order, in the payload of a
// keyed table. All others are dropped for good when they come. Most of them are told
// by one word: that of their first sort key comes after the last one's that is kept.
//
// Payload: the number of rows, and of each the word of its first sort key and its
// number in rows.
type topFirst struct {
	TopN
	groups *state.Table
	rows   *rowStore
	slots  int
	all    []int
	hashes []uint64
	refs   []state.Ref
	words  []uint64
	fresh  []uint32
	step   uint64 // of rows that came in this step
	begun  bool
	free   freer
	out    stored
	near   []uint32
	// fetched keeps the loads of fetch from being left out.
	fetched uint64

	// Of the step: what each dirty partition held before, aligned with groups.Dirty().
	oldEnd []int32
	old    []uint32
	gone   []uint32 // rows that were there before the step and are to be released
}

// topSlots is up to how many places topFirst is used for.
const topSlots = 16

const (
	slotCount = iota
	slotFirst
)

// bornWord is a row's header: the step in which it came.
const bornWord = 0

func newTop(env Env, op *TopN) Operator {
	if op.Rank == RankRows && op.Limit > 0 && op.Limit <= topSlots && op.Offset <= topSlots-op.Limit &&
		len(env.AppendOnly) > 0 && env.AppendOnly[0] {
		return newTopFirst(env, op)
	}
	return newTopN(env, op)
}

func newTopFirst(env Env, op *TopN) *topFirst {
	keys := make([]types.Type, len(op.Partition))
	for i, c := range op.Partition {
		keys[i] = env.In[0][c]
	}
	t := &topFirst{
		TopN: *op, slots: int(op.Offset + op.Limit), rows: newRowStore(env.memory(), env.In[0], bornWord+1), all: allColumns(env.In[0]),
		hashes: make([]uint64, batch.BlockRows), refs: make([]state.Ref, batch.BlockRows), words: make([]uint64, batch.BlockRows),
		free: newFreer(env, op.Partition), step: 1, near: make([]uint32, probeRows),
	}
	t.groups = state.New(env.memory(), keys, slotFirst+2*t.slots)
	t.out = newStored(t.rows, env.Out)
	return t
}

func (t *topFirst) persist(p *state.Persist) {
	atRest(p, "rows that were pushed out", len(t.gone))
	t.groups.Persist(p)
	t.rows.persist(p)
	state.Num(p, &t.step)
	t.free.persist(p)
}

// Push implements Operator.
func (t *topFirst) Push(st *Step, _ int, b *batch.Batch, _ Emitter) {
	if !t.begun {
		t.begun = true
		t.groups.BeginStep(st.N)
	}
	n := b.Len()
	if n == 0 {
		return
	}
	refs := t.refs[:n]
	t.fresh = t.groups.FindOrInsert(b, t.Partition, batch.HashRows(t.hashes, b, t.Partition), refs, t.fresh[:0])
	words := t.sortWords(b, n)
	for k, r := range refs {
		if k%probeRows == 0 {
			t.fetch(refs[k:min(k+probeRows, n)])
		}
		p := t.groups.Payload(r)
		if int(p[slotCount]) == t.slots && words[k] > p[len(p)-2] {
			continue
		}
		i := b.Row(k)
		w := b.Weight(i)
		if w < 0 {
			panic(fmt.Sprintf("flow: weight %d in input that is append-only", w))
		}
		for range min(w, int64(t.slots)) {
			if !t.enter(r, p, b, i, words[k]) {
				break
			}
		}
	}
}

// fetch brings the partitions near, and their last rows, all at once: see multimap.fetch.
func (t *topFirst) fetch(refs []state.Ref) {
	ids := t.near[:len(refs)]
	for k, r := range refs {
		p := t.groups.Payload(r)
		ids[k] = uint32(p[slotFirst+2*max(int(p[slotCount])-1, 0)+1])
	}
	if t.rows.next > 1 {
		for _, id := range ids { // row 0 is never in use, but there
			t.fetched += t.rows.row(id)[bornWord]
		}
	}
}

// sortWords returns a word for each selected row that orders rows as the first sort
// key does, as far as it tells them apart.
func (t *topFirst) sortWords(b *batch.Batch, n int) []uint64 {
	words := t.words[:n]
	if len(t.Order) == 0 || !hasWord(b.Cols[t.Order[0].Col].Type.Layout()) {
		clear(words)
		return words
	}
	key := t.Order[0]
	col := &b.Cols[key.Col]
	flip, null := uint64(0), uint64(math.MaxUint64)
	if key.Desc {
		flip = math.MaxUint64
	}
	if key.NullsFirst {
		null = 0
	}
	layout := col.Type.Layout()
	if layout == types.LayoutInt && col.Valid == nil && b.Sel == nil {
		for k, v := range col.I64[:n] {
			words[k] = orderedInt(v) ^ flip
		}
		return words
	}
	for k := range words {
		i := b.Row(k)
		switch {
		case col.Null(i):
			words[k] = null
		case layout == types.LayoutInt:
			words[k] = orderedInt(col.I64[i]) ^ flip
		case layout == types.LayoutFloat:
			words[k] = orderedFloat(col.F64[i]+0) ^ flip
		case layout == types.LayoutStr:
			words[k] = textWord(col.StrAt(i)) ^ flip
		}
	}
	return words
}

// hasWord reports whether values of a layout have sort words; those of others are all
// alike, NULLs too.
func hasWord(l types.Layout) bool {
	return l == types.LayoutInt || l == types.LayoutFloat || l == types.LayoutStr
}

// textWord is the first bytes of a text.
func textWord(s []byte) uint64 {
	if len(s) >= 8 {
		return binary.BigEndian.Uint64(s)
	}
	return headWord(s)
}

// enter puts row i of b into the partition with payload p, if it is among the first.
func (t *topFirst) enter(r state.Ref, p []uint64, b *batch.Batch, i int, word uint64) bool {
	row := t.rows.alloc()
	w := t.rows.edit(row)
	t.rows.write(w, b, t.all, i)
	n := int(p[slotCount])
	slots := p[slotFirst:]
	at := n
	for ; at > 0; at-- {
		if other := slots[2*at-2]; word > other || word == other && !t.less(w, t.rows.row(uint32(slots[2*at-1]))) {
			break
		}
	}
	if at == t.slots {
		t.rows.release(row)
		return false
	}
	w[bornWord] = t.step
	if t.groups.Touch(r) {
		for k := range n {
			t.old = append(t.old, uint32(slots[2*k+1]))
		}
		t.oldEnd = append(t.oldEnd, int32(len(t.old)))
	}
	if n == 0 {
		t.free.add(t.rows, w, uint64(r))
	}
	if n == t.slots {
		n--
		last := uint32(slots[2*n+1])
		if t.rows.row(last)[bornWord] == t.step {
			t.rows.release(last)
		} else {
			t.gone = append(t.gone, last)
		}
	}
	copy(slots[2*at+2:2*n+2], slots[2*at:2*n])
	slots[2*at], slots[2*at+1] = word, uint64(row)
	p[slotCount] = uint64(n + 1)
	return true
}

// less orders rows by keys and then as a whole.
func (t *topFirst) less(v, w []uint64) bool {
	r := compareBy(t.rows, t.Order, v, w)
	if r == 0 {
		r = t.rows.compareWhole(v, w)
	}
	return r < 0
}

// Flush implements Operator: of every partition that changed, what it holds now less
// what it held before. Rows keep their order, and those that were pushed out were the
// last, so one walk along both tells them apart.
func (t *topFirst) Flush(st *Step, out Emitter) {
	if !t.begun {
		t.groups.BeginStep(st.N)
	}
	from := int32(0)
	dirty := t.groups.Dirty()
	for d, r := range dirty {
		if st.Stopped() {
			return
		}
		if d%probeRows == 0 {
			t.fetch(dirty[d:min(d+probeRows, len(dirty))])
		}
		p := t.groups.Payload(r)
		t.renew(t.old[from:t.oldEnd[d]], p[slotFirst:slotFirst+2*p[slotCount]], out)
		from = t.oldEnd[d]
	}
	t.out.flush(out)
	for _, row := range t.gone {
		t.rows.release(row)
	}
	t.forget()
	t.begun, t.old, t.oldEnd, t.gone = false, t.old[:0], t.oldEnd[:0], t.gone[:0]
	t.step++
}

// renew emits what a partition with rows now holds less what it had with old.
func (t *topFirst) renew(old []uint32, now []uint64, out Emitter) {
	first := int(t.Offset)
	i := 0
	for j := range len(now) / 2 {
		row := uint32(now[2*j+1])
		if t.rows.row(row)[bornWord] == t.step {
			if j >= first {
				t.emit(row, j, 1, out)
			}
			continue
		}
		was, is := i >= first, j >= first
		if was && (!is || t.Number && i != j) {
			t.emit(row, i, -1, out)
		}
		if is && (!was || t.Number && i != j) {
			t.emit(row, j, 1, out)
		}
		i++
	}
	for ; i < len(old); i++ {
		if i >= first {
			t.emit(old[i], i, -1, out)
		}
	}
}

func (t *topFirst) emit(row uint32, place int, w int64, out Emitter) {
	if t.Number {
		t.out.emitNumbered(row, int64(place+1), w, out)
	} else {
		t.out.emit(row, w, out)
	}
}

// forget frees the partitions that lie below a mark.
func (t *topFirst) forget() {
	first := func(r state.Ref) []uint64 { return t.rows.row(uint32(t.groups.Payload(r)[slotFirst+1])) }
	if t.free.begin(t.rows.types) {
		t.groups.All(func(r state.Ref) bool {
			t.free.add(t.rows, first(r), uint64(r))
			return true
		})
	}
	t.free.due(t.rows, func(g uint64) []uint64 { return first(state.Ref(g)) }, func(g uint64) {
		r := state.Ref(g)
		p := t.groups.Payload(r)
		for k := range p[slotCount] {
			t.rows.release(uint32(p[slotFirst+2*k+1]))
		}
		t.groups.Delete(r)
	})
}

// StateBytes implements Operator.
func (t *topFirst) StateBytes() int64 {
	return t.groups.Bytes() + t.rows.bytes() + int64(cap(t.old)+cap(t.gone)+cap(t.oldEnd))*4 + t.free.bytes()
}

// rowsHeld implements holder: the partitions.
func (t *topFirst) rowsHeld() int64 { return int64(t.groups.Len()) }
