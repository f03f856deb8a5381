package state

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"
)

// Frozen is a Memory, and what its user has said with a Persist, at the boundary
// between two steps. The owner goes on to change its arrays while another goroutine
// writes the Frozen with Write; then the owner calls Done.
type Frozen struct {
	mem    *Memory
	fixed  []byte // what Persist has noted
	arrays []*frozenArray
}

// frozenArray is an array at the boundary.
type frozenArray struct {
	p     *Pages
	era   int // of p
	pages int
	locs  []pageLocs // as before; not changed
	later *pageTable // what locs is, if it was not read yet
	table Loc
	work  []frozenPage
	done  []pageLocs // as after; nil if nothing changed
}

// The states of a frozenPage.
const (
	frozenWaits = iota
	frozenBusy  // somebody reads buf
	frozenDone
)

// frozenPage is a page that has to be written.
type frozenPage struct {
	state atomic.Uint32
	n     uint32
	mask  uint64
	buf   *uint64 // the page itself, until it is written again; nil: spilled
	spill Loc
}

// rescue gives the writer a copy of the page, which has so many words, unless it is
// through with it.
func (f *frozenPage) rescue(words int) {
	for !f.state.CompareAndSwap(frozenWaits, frozenBusy) {
		if f.state.Load() == frozenDone {
			return
		}
		runtime.Gosched() // the writer encodes one page: microseconds
	}
	if f.buf != nil { // else the writer reads what was spilled
		f.buf = unsafe.SliceData(slices.Clone(unsafe.Slice(f.buf, words)))
	}
	f.state.Store(frozenWaits)
}

// freeze takes the lists of written pages of all arrays that Persist has named.
func (m *Memory) freeze(fixed []byte, arrays []*Pages) *Frozen {
	if m.frozen != nil {
		panic("state: a memory is frozen while a freeze of it is not done")
	}
	f := &Frozen{mem: m, fixed: fixed}
	for _, p := range arrays {
		f.arrays = append(f.arrays, p.freeze(m.Check))
	}
	if m.Check && len(arrays) != len(m.arrays) {
		for _, p := range m.arrays {
			if !slices.Contains(arrays, p) {
				panic(fmt.Sprintf("state: an array of %d pages of %d words is not in the checkpoint", len(p.pages), p.words))
			}
		}
	}
	m.frozen = f
	return f
}

func (p *Pages) freeze(check bool) *frozenArray {
	if check {
		p.check()
	}
	f := &frozenArray{p: p, era: p.era, pages: len(p.pages), locs: p.locs, later: p.later, table: p.table}
	p.least = len(p.pages)
	f.work = make([]frozenPage, 0, len(p.dirty))
	if len(p.dirty) < len(p.pages)/manyDirty {
		for _, n := range p.dirty {
			p.freezePage(f, n)
		}
	} else {
		// In the order of pages what is looked at lies side by side, and not all over memory.
		for n := range p.meta {
			if p.meta[n].mask != 0 && len(f.work) < len(p.dirty) {
				p.freezePage(f, uint32(n))
			}
		}
		if len(f.work) < len(p.dirty) {
			panic(fmt.Sprintf("state: %d pages are listed as written, %d are", len(p.dirty), len(f.work)))
		}
	}
	p.dirty = p.dirty[:0]
	return f
}

// manyDirty is from which part of all pages on, 1/manyDirty, those that were written are
// looked for, and not taken in the order in which they were written first.
const manyDirty = 8

// freezePage adds a written page to the work of a freeze, in which there is room.
func (p *Pages) freezePage(f *frozenArray, n uint32) {
	f.work = append(f.work, frozenPage{})
	w := &f.work[len(f.work)-1]
	m := &p.meta[n]
	w.n, w.mask, w.buf = n, m.mask, p.base[n]
	if w.buf == nil {
		if _, cooling := p.cooling(n); cooling {
			w.buf = unsafe.SliceData(p.fault(n))
		} else if w.spill = p.spilled(n); w.spill.None() { // else it stays there until the freeze is done
			panic("state: a written page is nowhere")
		}
	}
	m.mask, m.frozen = 0, w
}

// check panics if a page was written and its mask does not say so.
func (p *Pages) check() {
	for n, pg := range p.pages {
		if len(p.was) <= n && n < p.saved() {
			p.was = append(p.was, nil) // restored: not known
		} else if len(p.was) <= n {
			p.was = append(p.was, make([]uint64, p.words))
		}
		if _, cooling := p.cooling(uint32(n)); pg == nil && cooling {
			pg = p.fault(uint32(n))
		}
		switch {
		case pg == nil && p.meta[n].mask != 0:
			p.was[n] = nil // not known
			continue
		case pg == nil:
			continue // as it was
		case p.was[n] == nil:
			p.was[n] = make([]uint64, p.words)
		default:
			p.compare(n, pg)
		}
		copy(p.was[n], pg)
	}
}

func (p *Pages) compare(n int, pg []uint64) {
	for i, w := range pg {
		if w != p.was[n][i] && p.meta[n].mask>>(uint(i)>>p.line)&1 == 0 {
			panic(fmt.Sprintf("state: word %d of row %d (%d words) was written without Edit", i%p.stride, n<<p.shift+i/p.stride, p.stride))
		}
	}
}

// Bytes returns about how many bytes Write will write.
func (f *Frozen) Bytes() int64 {
	n := int64(len(f.fixed))
	for _, a := range f.arrays {
		for i := range a.work {
			w := &a.work[i]
			n += int64(bits.OnesCount64(w.mask)) << a.p.line * 8
		}
	}
	return n
}

// Write writes what has changed and returns the image, from which Restore starts. The
// caller puts it where it finds it again. Any goroutine may call it, once.
func (f *Frozen) Write(to Sink) ([]byte, error) {
	image := binary.AppendUvarint(nil, uint64(len(f.fixed)))
	image = append(image, f.fixed...)
	image = binary.AppendUvarint(image, uint64(len(f.arrays)))
	var buf []byte
	for _, a := range f.arrays {
		var err error
		if buf, err = a.write(f.mem, to, buf); err != nil {
			return nil, err
		}
		image = binary.AppendUvarint(image, a.p.id)
		image = binary.AppendUvarint(image, uint64(a.p.stride))
		image = binary.AppendUvarint(image, uint64(a.pages))
		image = appendLoc(image, a.table)
	}
	return image, nil
}

// write writes the pages that changed and where all of them are.
func (a *frozenArray) write(m *Memory, to Sink, buf []byte) ([]byte, error) {
	owner := m.owner | a.p.id
	locs, err := a.before()
	if err != nil {
		return buf, err
	}
	next := make([]pageLocs, a.pages)
	copy(next, locs)
	changed := len(locs) != a.pages
	fresh := make([]bool, a.pages) // pages of which a record is put
	for i := range a.work {
		w := &a.work[i]
		for !w.state.CompareAndSwap(frozenWaits, frozenBusy) {
			runtime.Gosched()
		}
		old := next[w.n]
		full := old.base.None() || len(old.deltas) == MaxDeltas || bits.OnesCount64(w.mask) > deltaLines || sparse(to, old)
		pg, err := []uint64(nil), error(nil)
		if w.buf != nil {
			pg = unsafe.Slice(w.buf, a.p.words)
		} else {
			pg, buf, err = a.read(m, buf, w.spill)
		}
		mask := w.mask
		if full && err == nil {
			mask = a.p.filled(pg)
		}
		if err == nil {
			buf = a.p.appendLines(buf[:0], pg, mask)
		}
		w.state.Store(frozenDone)
		if err != nil {
			return buf, err
		}
		l, err := to.Put(RecordPage, owner, buf)
		if err != nil {
			return buf, err
		}
		fresh[w.n] = true
		if full {
			next[w.n] = pageLocs{base: l}
		} else {
			keepPage(to, old)
			next[w.n].deltas = append(slices.Clip(old.deltas), l)
		}
		changed = true
	}
	for n := range next {
		switch {
		case fresh[n]:
		case sparse(to, next[n]):
			l, scratch, err := a.again(m, to, next[n], buf)
			if buf = scratch; err != nil {
				return buf, err
			}
			next[n] = pageLocs{base: l}
			changed = true
		default:
			keepPage(to, next[n])
		}
	}
	if !changed && !a.table.None() && !to.Sparse(a.table.Pack) {
		to.Keep(a.table)
		return buf, nil
	}
	buf = appendTable(buf[:0], next)
	l, err := to.Put(RecordTable, owner, buf)
	if err != nil {
		return buf, err
	}
	a.done, a.table = next, l
	return buf, nil
}

// before returns where the pages were before.
func (a *frozenArray) before() ([]pageLocs, error) {
	if a.later != nil {
		return a.later.read()
	}
	return a.locs, nil
}

// keepPage goes on to use the records of a page.
func keepPage(to Sink, l pageLocs) {
	if !l.base.None() {
		to.Keep(l.base)
	}
	for _, d := range l.deltas {
		to.Keep(d)
	}
}

// sparse reports whether a record of the page is in a pack that should be emptied.
func sparse(to Sink, l pageLocs) bool {
	if !l.base.None() && to.Sparse(l.base.Pack) {
		return true
	}
	return slices.ContainsFunc(l.deltas, func(d Loc) bool { return to.Sparse(d.Pack) })
}

// again writes a page that did not change in one record.
func (a *frozenArray) again(m *Memory, to Sink, l pageLocs, buf []byte) (Loc, []byte, error) {
	pg, buf, err := a.read(m, buf, append([]Loc{l.base}, l.deltas...)...)
	if err != nil {
		return Loc{}, buf, err
	}
	buf = a.p.appendLines(buf[:0], pg, a.p.filled(pg))
	at, err := to.Put(RecordPage, m.owner|a.p.id, buf)
	return at, buf, err
}

// read reads a page from its records into memory of its own.
func (a *frozenArray) read(m *Memory, buf []byte, from ...Loc) (pg []uint64, _ []byte, err error) {
	pg = make([]uint64, a.p.words)
	for _, at := range from {
		rec, err := m.back.Read(at, m.owner|a.p.id, buf[:0])
		if err == nil {
			buf = rec
			err = a.p.readLines(pg, rec)
		}
		if err != nil {
			return nil, buf, err
		}
	}
	return pg, buf, nil
}

// Done tells the owner of the memory what became of the freeze: complete says that
// the checkpoint is, and will be kept; else all that it would have written stays to be
// written. The owner's goroutine calls it, once, after Write if that was called.
func (f *Frozen) Done(complete bool) {
	f.mem.frozen = nil
	for _, a := range f.arrays {
		p := a.p
		for i := range a.work {
			w := &a.work[i]
			if p.era != a.era || int(w.n) >= p.least { // it was forgotten meanwhile
				f.mem.unspill(w.spill)
				continue
			}
			m := &p.meta[w.n]
			if m.frozen == w {
				m.frozen = nil
			}
			p.settle(w, complete)
			if complete {
				continue
			}
			if m.mask == 0 {
				p.dirty = append(p.dirty, w.n)
			}
			m.mask |= w.mask
		}
		if complete && a.done != nil && p.era == a.era {
			p.locs, p.table, p.later = a.done, a.table, nil
			if p.least < len(p.locs) {
				p.locs, p.table = p.locs[:p.least:p.least], Loc{}
			}
		}
	}
}

// settle gives back the scratch space of a frozen page, unless the page still needs it.
func (p *Pages) settle(w *frozenPage, complete bool) {
	if w.spill.None() {
		return
	}
	if p.spilled(w.n) == w.spill {
		if !complete && p.pages[w.n] == nil {
			return // it is where it was
		}
		p.out[w.n].spill = Loc{}
	}
	p.mem.unspill(w.spill)
}

func appendLoc(dst []byte, l Loc) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, l.Pack)
	dst = binary.LittleEndian.AppendUint32(dst, l.Len)
	return binary.LittleEndian.AppendUint64(dst, l.Off)
}

const locBytes = 16

func readLoc(b []byte) Loc {
	return Loc{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint64(b[8:])}
}
