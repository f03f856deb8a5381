package state

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

const (
	// directoryBlocks is how many blocks of a run a directory is of.
	directoryBlocks = 256
	// inlineRows is the most rows of a run whose directory is in the image, and which
	// has no filters.
	inlineRows = 1024

	spineVersion = 1

	// What a number of a block is marked with for the records of the directory that
	// begins with it.
	directoryOwner = 1 << 62
	filterOwner    = 1 << 63
)

// directory says where the blocks of a part of a run are. It never changes.
type directory struct {
	loc     Loc
	filters *filters // nil if there are none
}

// FrozenSpine is a Spine at the boundary between two steps. The owner goes on while
// another goroutine writes it with Write; then the owner calls Done.
type FrozenSpine struct {
	s     *Spine
	next  uint64
	rows  int64
	runs  []frozenRun
	moved []movedBlock // by Write
}

type frozenRun struct {
	r    *run
	dirs []*directory // as before, then as after
	was  []*directory
}

// movedBlock is a block that Write has written.
type movedBlock struct {
	b *Block
	p *place
}

// Freeze takes the runs as they are. The cost is a look at each run. A merge under way
// goes on; the checkpoint has the runs that it merges.
func (s *Spine) Freeze() *FrozenSpine {
	if s.set == nil {
		panic("state: a spine without a cache is frozen")
	}
	if s.frozen != nil {
		panic("state: a spine is frozen while a freeze of it is not done")
	}
	f := &FrozenSpine{s: s, next: s.set.next, rows: s.rows, runs: make([]frozenRun, len(s.runs))}
	for i, r := range s.runs {
		f.runs[i] = frozenRun{r: r, dirs: r.dirs, was: r.dirs}
	}
	s.frozen = f
	return f
}

// Bytes returns about how many bytes Write will write.
func (f *FrozenSpine) Bytes() int64 {
	n := int64(0)
	for _, r := range f.runs {
		for _, b := range r.r.blocks {
			if p := b.at.Load(); p == nil || p.loc.Pack == ScratchPack {
				n += r.r.bytes * int64(b.n) / int64(r.r.n)
			}
		}
	}
	return n
}

// Write writes the blocks that are in no checkpoint yet, says of the others that they
// are kept, and returns the image, from which RestoreSpine starts. Any goroutine may
// call it, once.
func (f *FrozenSpine) Write(to Sink) ([]byte, error) {
	set := f.s.set
	id := set.identity()
	image := binary.AppendUvarint(nil, spineVersion)
	image = binary.AppendUvarint(image, uint64(len(id)))
	image = append(image, id...)
	image = binary.AppendUvarint(image, f.next)
	image = binary.AppendVarint(image, f.rows)
	image = binary.AppendUvarint(image, uint64(set.dirBlocks))
	image = binary.AppendUvarint(image, uint64(len(f.runs)))
	w := blockWriter{set: set, to: to}
	for i := range f.runs {
		var err error
		if image, err = w.run(image, &f.runs[i]); err != nil {
			return nil, err
		}
	}
	f.moved = w.moved
	return image, nil
}

// Done tells the owner of the spine what became of the freeze: complete says that the
// checkpoint is, and will be kept; else all that it would have written stays to be
// written. The owner's goroutine calls it, once, after Write if that was called.
func (f *FrozenSpine) Done(complete bool) {
	f.s.frozen = nil
	if !complete {
		return
	}
	cache := f.s.set.cache
	for _, m := range f.moved {
		cache.settle(m.b, m.p)
	}
	live := map[*run]bool{}
	for _, r := range f.s.runs {
		live[r] = true
	}
	for _, r := range f.runs {
		for k, d := range r.was {
			if r.dirs[k].filters != d.filters {
				cache.dropFilters(d.filters)
			}
		}
		if r.r.dirs = r.dirs; live[r.r] {
			continue
		}
		for _, d := range r.dirs { // it was merged meanwhile
			cache.dropFilters(d.filters)
		}
	}
}

// identity says what rows a spine has, and in which order: an image of another one is
// not for it.
func (s *blockSet) identity() []byte {
	out := binary.AppendUvarint(nil, uint64(len(s.types)))
	for _, t := range s.types {
		out = append(out, byte(t.Kind), byte(t.Elem))
		out = binary.AppendVarint(out, int64(t.Mod))
	}
	out = binary.AppendUvarint(out, uint64(len(s.keys)))
	for _, k := range s.keys {
		flags := byte(0)
		if k.Desc {
			flags |= 1
		}
		if k.NullsFirst {
			flags |= 2
		}
		out = append(binary.AppendUvarint(out, uint64(k.Col)), flags)
	}
	return binary.AppendUvarint(out, uint64(s.filter))
}

// blockWriter writes blocks and their directories into a checkpoint.
type blockWriter struct {
	set   *blockSet
	to    Sink
	buf   []byte
	moved []movedBlock
}

// written is what a directory says of a block.
type written struct {
	b      *Block
	loc    Loc
	fence  fence
	filter bloom
	put    bool // into this checkpoint
}

// run writes a run and appends to the image where it is.
func (w *blockWriter) run(image []byte, f *frozenRun) ([]byte, error) {
	blocks := f.r.blocks
	image = binary.AppendUvarint(image, uint64(f.r.n))
	image = binary.AppendUvarint(image, uint64(f.r.bytes))
	image = binary.AppendUvarint(image, uint64(len(blocks)))
	inline := f.r.n <= w.set.inline && len(f.dirs) == 0
	if !inline {
		image = append(image, 0)
	} else {
		image = append(image, 1)
		list, _, err := w.blocks(blocks, false)
		if err != nil {
			return nil, err
		}
		body := w.set.appendDirectory(nil, list)
		w.move(list, nil)
		image = binary.AppendUvarint(image, uint64(len(body)))
		return append(image, body...), nil
	}
	var dirs []*directory
	for lo := 0; lo < len(blocks); lo += w.set.dirBlocks {
		var old *directory
		if len(f.dirs) > 0 {
			old = f.dirs[lo/w.set.dirBlocks]
		}
		d, err := w.directory(blocks[lo:min(lo+w.set.dirBlocks, len(blocks))], old)
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, d)
		image = appendLoc(image, d.loc)
		loc := Loc{}
		if d.filters != nil {
			loc = d.filters.loc
		}
		image = appendLoc(image, loc)
		image = binary.AppendUvarint(image, blocks[lo].num)
	}
	f.dirs = dirs
	return image, nil
}

// directory writes blocks, and where they are. old is how it was in the last
// checkpoint, nil if it was not.
func (w *blockWriter) directory(blocks []*Block, old *directory) (*directory, error) {
	list, changed, err := w.blocks(blocks, old == nil)
	if err != nil {
		return nil, err
	}
	d := &directory{}
	if d.filters, err = w.filters(list, old); err != nil {
		return nil, err
	}
	if old != nil && !changed && !w.to.Sparse(old.loc.Pack) {
		w.to.Keep(old.loc)
		d.loc = old.loc
	} else {
		w.buf = w.set.appendDirectory(w.buf[:0], list)
		if d.loc, err = w.to.Put(RecordTable, w.set.recordOwner(blocks[0].num|directoryOwner), w.buf); err != nil {
			return nil, err
		}
	}
	if old == nil || changed || d.filters != old.filters {
		w.move(list, d.filters)
	}
	return d, nil
}

// blocks writes those of blocks that are not in a checkpoint, or in a sparse pack.
// filters says that their filters are wanted.
func (w *blockWriter) blocks(blocks []*Block, filters bool) (list []written, changed bool, err error) {
	list = make([]written, len(blocks))
	for i, b := range blocks {
		x := &list[i]
		x.b = b
		if p := b.at.Load(); p != nil && p.loc.Pack != ScratchPack && !w.to.Sparse(p.loc.Pack) {
			w.to.Keep(p.loc)
			x.loc, x.fence = p.loc, p.fence
			continue
		}
		changed, x.put = true, true
		if err := w.put(x, filters); err != nil {
			return nil, false, err
		}
	}
	return list, changed, nil
}

// put writes a block.
func (w *blockWriter) put(x *written, filters bool) error {
	b := x.b
	for range maxMoves {
		if rows := b.rows.Load(); rows != nil {
			x.fence = w.set.newFence(rows)
			if filters {
				x.filter = w.set.newFilter(rows)
			}
			w.buf = w.set.cache.codec.AppendBatch(w.buf[:0], rows)
		} else {
			raw, p, ok, err := b.raw(w.buf[:0])
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			w.buf = raw
			x.fence, x.filter = p.fence, p.filter
			if filters && x.filter == nil && w.set.filter > 0 {
				rows, err := w.set.decode(raw, b.n)
				if err != nil {
					return err
				}
				x.filter = w.set.newFilter(rows)
			}
		}
		var err error
		x.loc, err = w.to.Put(RecordBlock, b.owner(), w.buf)
		return err
	}
	return fmt.Errorf("write a block of %d rows: it has come and gone %d times", b.n, maxMoves)
}

// filters writes the filters of a directory, unless they have been.
func (w *blockWriter) filters(list []written, old *directory) (*filters, error) {
	if w.set.filter == 0 {
		return nil, nil
	}
	f := &filters{set: w.set, num: list[0].b.num, n: len(list)}
	w.buf = w.buf[:0]
	switch {
	case old == nil:
		for _, x := range list {
			w.buf = x.filter.append(w.buf)
		}
	case !w.to.Sparse(old.filters.loc.Pack):
		w.to.Keep(old.filters.loc)
		return old.filters, nil
	default:
		var err error
		if w.buf, err = w.set.cache.back.Read(old.filters.loc, f.owner(), w.buf); err != nil {
			return nil, err
		}
	}
	var err error
	f.loc, err = w.to.Put(RecordTable, f.owner(), w.buf)
	return f, err
}

// move notes where blocks are once the checkpoint is complete.
func (w *blockWriter) move(list []written, dir *filters) {
	for i, x := range list {
		if x.put || dir != nil {
			w.moved = append(w.moved, movedBlock{x.b, &place{loc: x.loc, fence: x.fence, dir: dir, index: i}})
		}
	}
}

// appendDirectory appends what a directory says of blocks. The fences of all of them
// become one batch.
func (s *blockSet) appendDirectory(dst []byte, list []written) []byte {
	columns := maxFenceColumns
	for _, x := range list {
		dst = binary.AppendUvarint(dst, x.b.num)
		dst = binary.AppendUvarint(dst, uint64(x.b.n))
		dst = appendLoc(dst, x.loc)
		columns = min(columns, x.fence.columns())
	}
	dst = append(dst, byte(columns))
	if columns == 0 {
		return dst
	}
	ts := make([]types.Type, columns)
	for c := range ts {
		ts[c] = list[0].fence.keys.Cols[c].Type
	}
	all := batch.NewBuilder(ts)
	for i := range list {
		f := &list[i].fence
		for row := f.row; row < f.row+2; row++ {
			for c := range ts {
				all.Col(c).AppendFrom(all.Len(), &f.keys.Cols[c], row)
			}
			all.EndRow(1)
		}
		*f = fence{row: 2 * i}
	}
	keys := all.Seal()
	for i := range list {
		list[i].fence.keys = keys
	}
	return s.cache.codec.AppendBatch(dst, keys)
}

// RestoreSpine returns the spine of an image that FrozenSpine.Write gave; the other
// arguments are as for NewSpine. The directories are read and checked, and no block.
// The error is ErrDamaged if something is not what was written.
func (c *Cache) RestoreSpine(owner uint64, ts []types.Type, keys []batch.Key, filter int, image []byte) (*Spine, error) {
	s := c.NewSpine(owner, ts, keys, filter)
	r := imageReader{b: image}
	if v := r.uvarint(); v != spineVersion && r.err == nil {
		return nil, fmt.Errorf("an image of rows has version %d, this program knows %d", v, spineVersion)
	}
	if id := r.bytes(r.uvarint()); r.err == nil && !bytes.Equal(id, s.set.identity()) {
		return nil, fmt.Errorf("%w: an image of other rows, or in another order", ErrDamaged)
	}
	s.set.next = r.uvarint()
	s.rows = r.varint()
	if s.set.dirBlocks = int(r.uvarint()); s.set.dirBlocks == 0 {
		r.fail("directories of no blocks")
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		s.restoreRun(&r)
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("an image of rows with %d bytes too many", len(r.b))
	}
	return s, r.err
}

func (s *Spine) restoreRun(r *imageReader) {
	out := &run{n: int(r.uvarint()), bytes: int64(r.uvarint())}
	blocks := int(r.uvarint())
	if r.err != nil || blocks <= 0 || blocks > out.n {
		r.fail("a run of %d rows in %d blocks", out.n, blocks)
		return
	}
	if r.byte() == 1 {
		out.blocks = s.set.readDirectory(r, r.bytes(r.uvarint()), blocks, nil)
	} else {
		for lo := 0; lo < blocks && r.err == nil; lo += s.set.dirBlocks {
			s.restoreDirectory(r, out, min(s.set.dirBlocks, blocks-lo))
		}
	}
	rows := 0
	for _, b := range out.blocks {
		rows += b.n
	}
	if r.err == nil && rows != out.n {
		r.fail("a run of %d rows whose blocks have %d", out.n, rows)
	}
	s.bytes += out.bytes
	s.runs = append(s.runs, out)
}

// restoreDirectory reads the directory of the next n blocks of a run.
func (s *Spine) restoreDirectory(r *imageReader, out *run, n int) {
	d := &directory{loc: r.loc()}
	at := r.loc()
	if s.set.filter > 0 {
		d.filters = &filters{set: s.set, n: n, loc: at}
	}
	num := r.uvarint()
	if r.err != nil {
		return
	}
	raw, err := s.set.cache.back.Read(d.loc, s.set.recordOwner(num|directoryOwner), nil)
	if err != nil {
		r.err = err
		return
	}
	if d.filters != nil {
		d.filters.num = num
	}
	blocks := s.set.readDirectory(r, raw, n, d.filters)
	if r.err == nil && blocks[0].num != num {
		r.fail("a directory of block %d where that of %d is", blocks[0].num, num)
	}
	out.blocks = append(out.blocks, blocks...)
	out.dirs = append(out.dirs, d)
}

// readDirectory returns the n blocks of a directory.
func (s *blockSet) readDirectory(r *imageReader, raw []byte, n int, dir *filters) []*Block {
	if r.err != nil {
		return nil
	}
	in := imageReader{b: raw}
	blocks := make([]*Block, 0, min(n, len(raw)/locBytes))
	for i := range n {
		b := &Block{set: s, num: in.uvarint(), n: int(in.uvarint())}
		p := &place{loc: in.loc(), dir: dir, index: i}
		if in.err == nil && (b.n <= 0 || p.loc.None() || p.loc.Pack == ScratchPack) {
			in.fail("a block of %d rows at %+v", b.n, p.loc)
		}
		if in.err != nil {
			r.err = in.err
			return nil
		}
		b.at.Store(p)
		blocks = append(blocks, b)
	}
	columns := int(in.byte())
	if in.err == nil && columns > 0 {
		keys, rest, err := s.cache.codec.DecodeBatch(in.b)
		if err != nil {
			in.fail("the keys of a directory: %v", err)
		} else if in.b = rest; keys.N != 2*n || len(keys.Cols) != columns || columns > len(s.keys) {
			in.fail("a directory of %d blocks with %d keys of %d columns", n, keys.N, len(keys.Cols))
		}
		for c := 0; c < columns && in.err == nil; c++ {
			if keys.Cols[c].Type.Layout() != s.types[s.keys[c].Col].Layout() {
				in.fail("a directory with a key column %d of %s", c, keys.Cols[c].Type)
			}
		}
		for i, b := range blocks {
			b.at.Load().fence = fence{keys, 2 * i} // nobody else has it yet
		}
	}
	if in.err == nil && len(in.b) > 0 {
		in.fail("a directory with %d bytes too many", len(in.b))
	}
	r.err = in.err
	return blocks
}

// imageReader takes an image apart.
type imageReader struct {
	b   []byte
	err error
}

func (r *imageReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

func (r *imageReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<62 {
		r.fail("an image ends too soon")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *imageReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("an image ends too soon")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *imageReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("an image ends too soon")
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *imageReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *imageReader) loc() Loc {
	if b := r.bytes(locBytes); b != nil {
		return readLoc(b)
	}
	return Loc{}
}
