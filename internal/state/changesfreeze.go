package state

import (
	"encoding/binary"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

const (
	// groupSegments is how many segments share a directory. Their blocks' numbers say
	// which: a group is whole once a later block exists.
	groupSegments = 16

	changesVersion = 1
)

// FrozenChanges is a Changes at the boundary between two steps. The owner goes on while
// another goroutine writes it with Write; then the owner calls Done.
type FrozenChanges struct {
	h     *Changes
	types []types.Type
	next  uint64
	lost  uint64
	skip  int
	segs  []*segment
	open  []change
	dirs  map[uint64]Loc // by group, as before
	tail  frozenTail

	// Of Write.
	moved   []movedBlock
	written map[uint64]Loc // as after
}

// frozenTail is the record of an open segment. It is written again when the segment has
// changed.
type frozenTail struct {
	loc     Loc
	version uint64
}

// Freeze takes the changes as they are. The cost is a look at each block.
func (h *Changes) Freeze() *FrozenChanges {
	if h.set == nil {
		panic("state: changes without a cache are frozen")
	}
	if h.frozen != nil {
		panic("state: changes are frozen while a freeze of them is not done")
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	f := &FrozenChanges{h: h, types: h.set.types, next: h.set.next, lost: h.lost, skip: h.skip,
		segs: slices.Clone(h.segs), open: slices.Clone(h.open.list), dirs: h.dirs, tail: frozenTail{version: h.open.version}}
	if h.tail.version == f.tail.version {
		f.tail.loc = h.tail.loc
	}
	h.frozen = f
	return f
}

// Write writes what is in no checkpoint yet, says of the rest that it is kept, and
// returns the image, from which RestoreChanges starts. Any goroutine may call it, once.
func (f *FrozenChanges) Write(to Sink) ([]byte, error) {
	set := f.h.set
	image := binary.AppendUvarint(nil, changesVersion)
	id := (&blockSet{types: f.types}).identity()
	image = binary.AppendUvarint(image, uint64(len(id)))
	image = append(image, id...)
	image = binary.AppendUvarint(image, f.next)
	image = binary.AppendUvarint(image, f.lost)
	image = binary.AppendUvarint(image, uint64(f.skip))
	image = binary.AppendUvarint(image, uint64(set.dirBlocks))
	image = binary.AppendUvarint(image, uint64(len(f.segs)))
	w := blockWriter{set: set, to: to}
	f.written = map[uint64]Loc{}
	if len(f.segs) > 0 {
		image = binary.AppendUvarint(image, f.segs[0].block.num)
	}
	for at := 0; at < len(f.segs); {
		group := f.segs[at].block.num / uint64(set.dirBlocks)
		end := at + 1
		for end < len(f.segs) && f.segs[end].block.num/uint64(set.dirBlocks) == group {
			end++
		}
		var err error
		if image, err = f.group(&w, image, group, f.segs[at:end]); err != nil {
			return nil, err
		}
		at = end
	}
	f.moved = w.moved
	return f.writeTail(&w, image)
}

// group writes the segments of a group, and appends to the image where they are.
func (f *FrozenChanges) group(w *blockWriter, image []byte, group uint64, segs []*segment) ([]byte, error) {
	blocks := make([]*Block, len(segs))
	for i, g := range segs {
		blocks[i] = g.block
	}
	list, changed, err := w.blocks(blocks, false)
	if err != nil {
		return nil, err
	}
	w.move(list, nil)
	whole := (group+1)*uint64(w.set.dirBlocks) <= f.next
	if old := f.dirs[group]; whole && !changed && !old.None() && !w.to.Sparse(old.Pack) {
		w.to.Keep(old)
		f.written[group] = old
		return appendLoc(append(image, 1), old), nil
	}
	body := appendGroup(nil, segs, list)
	if !whole {
		image = binary.AppendUvarint(append(image, 0), uint64(len(body)))
		return append(image, body...), nil
	}
	l, err := w.to.Put(RecordTable, w.set.groupOwner(group), body)
	f.written[group] = l
	return appendLoc(append(image, 1), l), err
}

func (s *blockSet) groupOwner(group uint64) uint64 { return s.recordOwner(group | directoryOwner) }

func appendGroup(dst []byte, segs []*segment, list []written) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(segs)))
	for i, g := range segs {
		dst = binary.AppendUvarint(dst, g.block.num)
		dst = appendLoc(dst, list[i].loc)
		dst = appendParts(dst, g.parts)
	}
	return dst
}

// appendParts appends the boundaries of steps in a block.
func appendParts(dst []byte, parts []part) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(parts)))
	var was part
	for _, p := range parts {
		dst = binary.AppendUvarint(dst, p.step-was.step)
		dst = binary.AppendUvarint(dst, uint64(p.end-was.end))
		dst = binary.AppendUvarint(dst, uint64(p.bytes))
		was = p
	}
	return dst
}

// writeTail writes the open segment, unless it is as it was.
func (f *FrozenChanges) writeTail(w *blockWriter, image []byte) ([]byte, error) {
	if len(f.open) == 0 {
		f.tail.loc = Loc{}
		return append(image, 0), nil
	}
	rows, parts := pack(f.open)
	if l := f.tail.loc; !l.None() && !w.to.Sparse(l.Pack) {
		w.to.Keep(l)
	} else {
		w.buf = w.set.cache.codec.AppendBatch(w.buf[:0], rows)
		var err error
		if f.tail.loc, err = w.to.Put(RecordBlock, w.set.recordOwner(f.next), w.buf); err != nil {
			return nil, err
		}
	}
	image = appendParts(image, parts)
	return appendLoc(image, f.tail.loc), nil
}

// Done tells the owner of the changes what became of the freeze; see FrozenSpine.Done.
func (f *FrozenChanges) Done(complete bool) {
	f.h.frozen = nil
	if !complete {
		return
	}
	for _, m := range f.moved {
		f.h.cache.settle(m.b, m.p)
	}
	f.h.dirs, f.h.tail = f.written, f.tail
}

// Bytes returns about how many bytes Write will write.
func (f *FrozenChanges) Bytes() int64 {
	n := int64(0)
	for _, g := range f.segs {
		if p := g.block.at.Load(); p == nil || p.loc.Pack == ScratchPack {
			for _, p := range g.parts {
				n += int64(p.bytes)
			}
		}
	}
	for _, c := range f.open {
		n += c.bytes
	}
	return n
}

// RestoreChanges returns the changes of an image that FrozenChanges.Write gave. No
// block is read. The error is ErrDamaged if something is not what was written.
func (c *Cache) RestoreChanges(owner uint64, image []byte) (*Changes, error) {
	h := c.NewChanges(owner, 0)
	r := imageReader{b: image}
	if v := r.uvarint(); v != changesVersion && r.err == nil {
		r.fail("an image of changes of version %d, this program knows %d", v, changesVersion)
	}
	h.set.types = readIdentity(&r)
	if h.set.types != nil {
		h.size = blockRows(len(h.set.types))
	}
	h.set.next = r.uvarint()
	h.lost = r.uvarint()
	h.skip = int(r.uvarint())
	h.set.dirBlocks = int(r.uvarint())
	count := int(r.uvarint())
	first := uint64(0)
	if count > 0 {
		first = r.uvarint()
	}
	h.dirs = map[uint64]Loc{}
	if r.err == nil && h.set.dirBlocks == 0 {
		r.fail("directories of no blocks")
	}
	for r.err == nil && len(h.segs) < count {
		h.restoreGroup(&r, first)
	}
	h.restoreTail(&r)
	if r.err == nil && (len(r.b) > 0 || len(h.segs) < count || count == 0 && h.skip > 0 || count > 0 && h.skip >= len(h.segs[0].parts)) {
		r.fail("an image of changes with %d of %d blocks, %d bytes too many", len(h.segs), count, len(r.b))
	}
	if r.err != nil {
		return nil, r.err
	}
	h.count(&r)
	return h, r.err
}

// readIdentity returns the types of an identity.
func readIdentity(r *imageReader) []types.Type {
	in := imageReader{b: r.bytes(r.uvarint())}
	n := in.uvarint()
	if n > uint64(len(in.b)) {
		in.fail("%d columns in %d bytes", n, len(in.b))
	}
	var ts []types.Type
	for range n {
		if in.err != nil {
			break
		}
		t := types.Type{Kind: types.Kind(in.byte()), Elem: types.Kind(in.byte()), Mod: int32(in.varint())}
		if t.Kind >= types.NumKinds || t.Elem >= types.NumKinds {
			in.fail("a column of type %d of %d", t.Kind, t.Elem)
			break
		}
		ts = append(ts, t)
	}
	if r.err == nil {
		r.err = in.err
	}
	return ts
}

// restoreGroup reads the segments of the next group, but not those before first, which
// were forgotten.
func (h *Changes) restoreGroup(r *imageReader, first uint64) {
	var in imageReader
	if r.byte() == 0 {
		in.b = r.bytes(r.uvarint())
	} else {
		l := r.loc()
		group := first / uint64(h.set.dirBlocks)
		if len(h.segs) > 0 {
			group = (h.segs[len(h.segs)-1].block.num + 1) / uint64(h.set.dirBlocks)
		}
		if r.err != nil {
			return
		}
		in.b, r.err = h.cache.back.Read(l, h.set.groupOwner(group), nil)
		h.dirs[group] = l
	}
	if r.err != nil {
		return
	}
	had := len(h.segs)
	for n := in.uvarint(); n > 0 && in.err == nil; n-- {
		b := &Block{set: h.set, num: in.uvarint()}
		p := &place{loc: in.loc()}
		parts := readParts(&in)
		if in.err == nil && (len(parts) == 0 || p.loc.None() || p.loc.Pack == ScratchPack || b.num >= h.set.next ||
			len(h.segs) > 0 && b.num != h.segs[len(h.segs)-1].block.num+1) {
			in.fail("a block %d of %d steps at %+v", b.num, len(parts), p.loc)
		}
		if in.err != nil || b.num < first {
			continue
		}
		b.n = int(parts[len(parts)-1].end)
		b.at.Store(p)
		h.segs = append(h.segs, &segment{b, parts})
	}
	if len(in.b) > 0 || len(h.segs) == had {
		in.fail("a directory of changes with %d blocks, and %d bytes too many", len(h.segs)-had, len(in.b))
	}
	r.err = in.err
}

func readParts(r *imageReader) []part {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail("%d steps in %d bytes", n, len(r.b))
	}
	var parts []part
	var was part
	for range n {
		p := part{step: was.step + r.uvarint()}
		rows, bytes := r.uvarint(), r.uvarint()
		if r.err == nil && (rows == 0 || rows > batch.BlockRows || bytes > 1<<32-1) {
			r.fail("%d rows of %d bytes in a step's part", rows, bytes)
		}
		if r.err != nil {
			return nil
		}
		p.end, p.bytes = was.end+uint32(rows), uint32(bytes)
		parts = append(parts, p)
		was = p
	}
	return parts
}

// restoreTail makes the open segment one of its own.
func (h *Changes) restoreTail(r *imageReader) {
	parts := readParts(r)
	if r.err != nil || len(parts) == 0 {
		return
	}
	b := &Block{set: h.set, num: h.set.next, n: int(parts[len(parts)-1].end)}
	h.set.next++
	p := &place{loc: r.loc()}
	if p.loc.None() || p.loc.Pack == ScratchPack {
		r.fail("a block of %d steps at %+v", len(parts), p.loc)
		return
	}
	b.at.Store(p)
	h.segs = append(h.segs, &segment{b, parts})
}

// count sums up what was restored, and checks that steps ascend.
func (h *Changes) count(r *imageReader) {
	h.last = h.lost
	for i, g := range h.segs {
		for k, p := range g.parts {
			if i == 0 && k < h.skip {
				continue
			}
			if p.step < h.last || p.step <= h.lost {
				r.fail("a step %d after %d, and up to %d they are forgotten", p.step, h.last, h.lost)
				return
			}
			if h.steps == 0 || p.step != h.last {
				h.last = p.step
				h.steps++
			}
			h.bytes += int64(p.bytes)
		}
	}
}
