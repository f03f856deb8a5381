package flow

import (
	"encoding/binary"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// matchPart is one partition while a step works on it: its rows in order and the
// search in it. Between steps it is words in a partStore.
type matchPart struct {
	in      *partStore
	g       uint32     // its number
	seq     state.List // row numbers, from position base on; a row of weight 2 is there twice
	base    int64
	bits    state.List // by row from position bitBase: variables whose near condition is true
	faults  state.List // likewise, variables whose near condition has an error; may be shorter
	bitBase int64
	next    int64        // where the next search begins, or the open one began
	number  int64        // matches so far
	covered int64        // end of the rows that are in a match
	search  *matchSearch // the open one; nil: none
	open    bool         // final: there is one, in openSearches
	saved   uint64       // final: a search as it was saved, and its slot; see openSearches
	slot    uint64

	key   state.Ref // final
	count int64     // final: rows in seq from live on, and rows that wait for the mark
	live  int64     // final: rows before it are freed
	due   int64     // final: when the open search is in the calendar

	recs  state.List // retracting: what came of the searches, in order, recWords each
	fails state.List // retracting: errors, failWords each
}

// The words of a partition between steps. partSlot is 0 then; in a step, it is 1 + index
// in loaded.
const (
	partSlot = iota
	partOpen // 1: a search is open
	partBase
	partBitBase
	partNext // of a number that is free: the next one
	partNumber
	partCovered
	partSaved
	partHot
	partKey
	partCount
	partLive
	partDue
	partSeq // lists have two words
	_
	partBits
	_
	partFaults
	_
	partRecs
	_
	partFails
	_
	partWords
)

// partStore keeps partitions by number.
type partStore struct {
	words  *state.Pages
	lists  *state.Lists // of seq, recs and fails
	bits   *state.Lists // of bits and faults
	brief  bool         // which do not outlive a step
	texts  *state.Arena // of errors
	loaded []*matchPart // in this step
	spare  []*matchPart
}

// newPartStore returns an empty store. brief says that near conditions do not outlive a
// step.
func newPartStore(mem *state.Memory, brief bool) *partStore {
	ps := &partStore{words: state.NewPages(mem, partWords), lists: state.NewLists(mem), texts: state.NewArena(mem), brief: brief}
	if brief {
		mem = state.NewMemory(0, nil, nil)
	}
	ps.bits = state.NewLists(mem)
	return ps
}

func (ps *partStore) persist(p *state.Persist) {
	p.Pages(ps.words)
	ps.lists.Persist(p)
	if !ps.brief {
		ps.bits.Persist(p)
	}
	ps.texts.Persist(p)
}

func (ps *partStore) bytes() int64 {
	const loaded = 200 // bytes of a matchPart
	return ps.words.Bytes() + ps.lists.Bytes() + ps.bits.Bytes() + ps.texts.Bytes() + int64(len(ps.loaded)+len(ps.spare))*loaded
}

// at returns the words of partition g, for reading.
func (ps *partStore) at(g uint32) []uint64 { return ps.words.At(g) }

// edit returns the words of partition g, which may be new.
func (ps *partStore) edit(g uint32) []uint64 {
	ps.words.Grow(int(g) + 1)
	return ps.words.Edit(g)
}

// load returns partition g, until unload.
func (ps *partStore) load(g uint32) *matchPart {
	w := ps.edit(g)
	if i := w[partSlot]; i != 0 {
		return ps.loaded[i-1]
	}
	p := &matchPart{}
	if n := len(ps.spare); n > 0 {
		p, ps.spare = ps.spare[n-1], ps.spare[:n-1]
	}
	list := func(k int) state.List { return state.UnpackList(w[k], w[k+1]) }
	*p = matchPart{
		in: ps, g: g, open: w[partOpen] != 0, base: int64(w[partBase]), bitBase: int64(w[partBitBase]), next: int64(w[partNext]), number: int64(w[partNumber]),
		covered: int64(w[partCovered]), saved: w[partSaved], slot: w[partHot], key: state.Ref(w[partKey]), count: int64(w[partCount]),
		live: int64(w[partLive]), due: int64(w[partDue]),
		seq: list(partSeq), bits: list(partBits), faults: list(partFaults), recs: list(partRecs), fails: list(partFails),
	}
	ps.loaded = append(ps.loaded, p)
	w[partSlot] = uint64(len(ps.loaded))
	return p
}

// unload puts all loaded partitions back.
func (ps *partStore) unload() {
	for _, p := range ps.loaded {
		w := ps.words.Edit(p.g)
		w[partSlot], w[partOpen] = 0, 0
		if p.search != nil || p.open {
			w[partOpen] = 1
		}
		w[partBase], w[partBitBase], w[partNext], w[partNumber] = uint64(p.base), uint64(p.bitBase), uint64(p.next), uint64(p.number)
		w[partCovered], w[partSaved], w[partHot], w[partKey], w[partCount] = uint64(p.covered), p.saved, p.slot, uint64(p.key), uint64(p.count)
		w[partLive], w[partDue] = uint64(p.live), uint64(p.due)
		w[partSeq], w[partSeq+1] = p.seq.Pack()
		w[partBits], w[partBits+1] = p.bits.Pack()
		w[partFaults], w[partFaults+1] = p.faults.Pack()
		w[partRecs], w[partRecs+1] = p.recs.Pack()
		w[partFails], w[partFails+1] = p.fails.Pack()
		if p.search = nil; len(ps.spare) < maxSpareParts {
			ps.spare = append(ps.spare, p)
		}
	}
	clear(ps.loaded)
	ps.loaded = ps.loaded[:0]
}

// maxSpareParts is how many partitions' memory is kept for the next step.
const maxSpareParts = 4096

// reset forgets all about a partition that has no open search.
func (p *matchPart) reset() {
	ps := p.in
	p.cutFails(0, func(matchFail) {})
	ps.lists.Free(p.seq)
	ps.lists.Free(p.recs)
	p.dropBits()
	*p = matchPart{in: ps, g: p.g}
}

// dropBits forgets the near conditions.
func (p *matchPart) dropBits() {
	p.bits, p.faults = p.in.bits.Free(p.bits), p.in.bits.Free(p.faults)
}

// drop forgets the first n rows.
func (p *matchPart) drop(n int64) {
	ps := p.in
	p.seq = ps.lists.Drop(p.seq, int(n))
	k := int(min(n, int64(p.bits.Len())))
	p.bits = ps.bits.Drop(p.bits, k)
	p.faults = ps.bits.Drop(p.faults, min(k, p.faults.Len()))
	p.base += n
	p.bitBase += int64(k)
	if int64(k) < n {
		p.bitBase = p.base
	}
}

func (p *matchPart) end() int64 { return p.base + int64(p.seq.Len()) }

// tested is the first position whose near conditions are not computed.
func (p *matchPart) tested() int64 { return p.bitBase + int64(p.bits.Len()) }

// id returns the row at a position, 0 if there is none.
func (p *matchPart) id(pos int64) uint32 {
	if i := pos - p.base; i >= 0 && i < int64(p.seq.Len()) {
		return uint32(p.in.lists.At(p.seq, int(i)))
	}
	return 0
}

// add puts a row behind the others.
func (p *matchPart) add(id uint32) { p.seq = p.in.lists.Push(p.seq, uint64(id)) }

// fits returns the variables whose near condition is true of a row.
func (p *matchPart) fits(pos int64) uint64 { return p.in.bits.At(p.bits, int(pos-p.bitBase)) }

// fit notes that the near condition of v is true of a row.
func (p *matchPart) fit(pos int64, v int) {
	i := int(pos - p.bitBase)
	p.in.bits.Set(p.bits, i, p.in.bits.At(p.bits, i)|1<<v)
}

// fault notes that the condition of v cannot be computed for a row.
func (p *matchPart) fault(pos int64, v int) {
	for p.faults.Len() < p.bits.Len() {
		p.faults = p.in.bits.Push(p.faults, 0)
	}
	i := int(pos - p.bitBase)
	p.in.bits.Set(p.faults, i, p.in.bits.At(p.faults, i)|1<<v)
}

// faulted returns the variables whose condition cannot be computed for a row.
func (p *matchPart) faulted(pos int64) uint64 {
	if i := pos - p.bitBase; i < int64(p.faults.Len()) {
		return p.in.bits.At(p.faults, int(i))
	}
	return 0
}

// matchRec is what one search left, or several that gave nothing.
type matchRec struct {
	next, number, covered int64 // of the partition, behind it
	horizon               int64 // highest position that this search and all before it looked at
	out                   uint32
}

const (
	recHorizon = 3
	recOut     = 4
	recWords   = 5
)

// records returns how many records there are.
func (p *matchPart) records() int { return p.recs.Len() / recWords }

func (p *matchPart) rec(i int) matchRec {
	var buf [recWords]uint64
	w := p.in.lists.Read(buf[:0], p.recs, i*recWords, (i+1)*recWords)
	return matchRec{int64(w[0]), int64(w[1]), int64(w[2]), int64(w[recHorizon]), uint32(w[recOut])}
}

// horizon is that of record i.
func (p *matchPart) horizon(i int) int64 {
	return int64(p.in.lists.At(p.recs, i*recWords+recHorizon))
}

func (p *matchPart) addRec(r matchRec) {
	w := [recWords]uint64{uint64(r.next), uint64(r.number), uint64(r.covered), uint64(r.horizon), uint64(r.out)}
	p.recs = p.in.lists.Append(p.recs, w[:])
}

// give makes row id of what was given the first of record i, and returns the one that was.
func (p *matchPart) give(i int32, id uint32) (was uint32) {
	at := int(i)*recWords + recOut
	was = uint32(p.in.lists.At(p.recs, at))
	p.in.lists.Set(p.recs, at, uint64(id))
	return was
}

func (p *matchPart) cutRecs(n int) { p.recs = p.in.lists.Truncate(p.recs, n*recWords) }

const failWords = 2 // rec<<32 | row; the error in texts

func (p *matchPart) addFail(f matchFail) {
	w := [failWords]uint64{uint64(uint32(f.rec))<<32 | uint64(f.id), p.in.texts.Put(appendError(nil, f.err))}
	p.fails = p.in.lists.Append(p.fails, w[:])
}

// cutFails forgets the errors of records from n on and hands them out.
func (p *matchPart) cutFails(n int32, fn func(matchFail)) {
	kept := 0
	for i := 0; i < p.fails.Len(); i += failWords {
		at, text := p.in.lists.At(p.fails, i), p.in.lists.At(p.fails, i+1)
		f := matchFail{rec: int32(at >> 32), id: uint32(at)}
		if f.rec >= n {
			f.err = readError(p.in.texts.Get(text))
			p.in.texts.Release(text)
			fn(f)
			continue
		}
		if kept < i {
			p.in.lists.Set(p.fails, kept, at)
			p.in.lists.Set(p.fails, kept+1, text)
		}
		kept += failWords
	}
	p.fails = p.in.lists.Truncate(p.fails, kept)
}

// appendError appends an error to dst, for readError.
func appendError(dst []byte, e *types.Error) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.Pos))
	for _, s := range [...]string{e.Code, e.Message, e.Detail, e.Hint} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// readError returns the error that appendError appended.
func readError(b []byte) *types.Error {
	number := func() int {
		v, n := binary.Uvarint(b)
		b = b[max(n, 0):]
		return int(v)
	}
	e := &types.Error{Pos: number()}
	for _, s := range [...]*string{&e.Code, &e.Message, &e.Detail, &e.Hint} {
		n := number()
		*s, b = string(b[:n]), b[n:]
	}
	return e
}
