package ckpt

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/state"
)

const (
	// writeBytes is how much is handed to the file system at once.
	writeBytes = 256 << 10
	// syncBytes is how much of a pack may be unsynced. Syncing all of a pack at its end
	// would hold up others that sync on the same disk.
	syncBytes = 8 << 20
)

// Writer writes one checkpoint. It is a state.Sink. One goroutine uses it; it ends with
// Finish or Abort. After an error it is spent: what was written is gone and each
// further call returns that error.
type Writer struct {
	s      *Store
	m      Manifest
	sparse map[uint32]bool // packs of the checkpoint before whose records are to be written again

	live map[uint32]int64 // by pack, how many bytes the checkpoint uses
	last liveCount        // the entry of live that was used last, ahead of the map
	bad  string           // the first Keep that cannot be, "" if there was none

	frame     [FrameBytes]byte // of the record being put
	pack      packFile
	buf       []byte // the end of pack that is not written yet
	done      []packFile
	unchecked int64  // written since the disk's free space was asked for
	moved     int    // how many of done may have their names
	temp      string // the manifest's file while it is being written, or its name
	err       error
}

var _ state.Sink = (*Writer)(nil)

type liveCount struct {
	pack  uint32
	bytes int64
}

// packFile is a pack that has a temporary name yet.
type packFile struct {
	Pack
	temp     string
	file     File // nil when it is closed
	sum      hash.Hash
	unsynced int
}

// Begin starts to write a checkpoint. Of m it takes Pipeline, Step, Now, LogSeq,
// LogHash, Epoch, Engine and Lanes. Returns ErrBusy if another one is being written, and
// ErrNoSpace if the disk has less left than the reserve.
func (s *Store) Begin(m Manifest) (*Writer, error) {
	if err := checkFree(s.fs, s.opt.ReserveBytes, writeBytes); err != nil {
		return nil, fmt.Errorf("begin checkpoint of step %d: %w", m.Step, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("begin checkpoint of step %d: %w: the store is closed", m.Step, ErrAborted)
	}
	if s.writer != nil {
		return nil, fmt.Errorf("begin checkpoint of step %d: %w: that of step %d", m.Step, ErrBusy, s.writer.m.Step)
	}
	m.Major, m.Minor = FormatMajor, FormatMinor
	m.Previous, m.Packs, m.Objects = s.hash, nil, nil
	w := &Writer{s: s, m: m, live: make(map[uint32]int64), buf: make([]byte, 0, writeBytes)}
	w.sparse = rewrites(s.current, s.opt.PackBytes)
	s.writer = w
	return w, nil
}

// Put writes a record and returns where it will be once the checkpoint is complete.
// payload is borrowed. Returns ErrNoSpace if the disk is full.
func (w *Writer) Put(kind state.RecordKind, owner uint64, payload []byte) (state.Loc, error) {
	if w.err != nil {
		return state.Loc{}, w.err
	}
	if !isPackKind(kind) || len(payload) > MaxPayloadBytes {
		return state.Loc{}, w.fail(fmt.Errorf("write %s of %#x: %d bytes of it cannot be kept in packs", kindName(kind), owner, len(payload)))
	}
	if w.pack.file == nil {
		if err := w.openPack(); err != nil {
			return state.Loc{}, w.fail(err)
		}
	}
	l := state.Loc{Pack: w.pack.Number, Off: uint64(w.pack.SizeBytes), Len: uint32(FrameBytes + len(payload))}
	putFrame(w.frame[:], kind, owner, payload)
	if err := w.write(w.frame[:]); err != nil {
		return state.Loc{}, w.fail(err)
	}
	if err := w.write(payload); err != nil {
		return state.Loc{}, w.fail(err)
	}
	w.count(l)
	if w.pack.SizeBytes >= w.s.opt.PackBytes {
		if err := w.closePack(); err != nil {
			return state.Loc{}, w.fail(err)
		}
	}
	return l, nil
}

// Sparse reports whether little of a pack is still in use, so that the records in it
// should be written again; or the pack is one of many small ones, which are better
// written as one.
func (w *Writer) Sparse(pack uint32) bool { return w.sparse[pack] }

// Keep says that the checkpoint goes on to use the record at l. If there can be none,
// Finish fails.
func (w *Writer) Keep(l state.Loc) {
	if l.Pack != w.last.pack && w.bad == "" && w.live[l.Pack] == 0 {
		if _, ok := w.s.handles.find(l.Pack); !ok {
			w.bad = fmt.Sprintf("record kept at offset %d of pack %d, which no open checkpoint has", l.Off, l.Pack)
		}
	}
	w.count(l)
}

func (w *Writer) count(l state.Loc) {
	if l.Pack != w.last.pack {
		w.live[w.last.pack] = w.last.bytes
		w.last = liveCount{l.Pack, w.live[l.Pack]}
	}
	w.last.bytes += int64(l.Len)
}

// BytesWritten is how long the packs are that were written so far, in bytes.
func (w *Writer) BytesWritten() int64 {
	n := w.pack.SizeBytes
	for _, p := range w.done {
		n += p.SizeBytes
	}
	return n
}

func (w *Writer) openPack() error {
	s := w.s
	s.mu.Lock()
	number := s.next
	if number == state.ScratchPack {
		s.mu.Unlock()
		return fmt.Errorf("all numbers of packs up to %d are used", number-1)
	}
	s.next++
	s.mu.Unlock()
	temp := fmt.Sprintf("%s/%d%s", packDir, number, tempSuffix)
	f, err := s.fs.Create(temp)
	if err != nil {
		return fmt.Errorf("create %s: %w", temp, noSpace(err))
	}
	w.pack = packFile{Pack: Pack{Number: number}, temp: temp, file: f, sum: sha256.New()}
	head := packHeader(number)
	return w.write(head[:])
}

// write appends to the pack.
func (w *Writer) write(data []byte) error {
	w.pack.SizeBytes += int64(len(data))
	for len(data) > 0 {
		n := copy(w.buf[len(w.buf):cap(w.buf)], data)
		w.buf = w.buf[:len(w.buf)+n]
		data = data[n:]
		if len(w.buf) == cap(w.buf) {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush hands the end of the pack to the file system.
func (w *Writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	n := len(w.buf)
	if err := checkFree(w.s.fs, w.s.opt.ReserveBytes, int64(n)); err != nil {
		return err
	}
	w.pack.sum.Write(w.buf)
	if _, err := w.pack.file.Write(w.buf); err != nil {
		return fmt.Errorf("write %s: %w", w.pack.temp, noSpace(err))
	}
	w.buf = w.buf[:0]
	if w.pack.unsynced += n; w.pack.unsynced >= syncBytes {
		if err := w.sync(); err != nil {
			return err
		}
	}
	if w.s.opt.Pace != nil {
		w.s.opt.Pace(n)
	}
	return nil
}

func (w *Writer) sync() error {
	failpoint.Hit(failpoint.CheckpointPacks)
	w.pack.unsynced = 0
	if err := w.pack.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", w.pack.temp, noSpace(err))
	}
	return nil
}

// closePack ends the pack: all of it is on the disk then, under its temporary name.
func (w *Writer) closePack() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	f := w.pack.file
	w.pack.file = nil
	w.pack.sum.Sum(w.pack.Hash[:0])
	w.done = append(w.done, w.pack)
	w.pack = packFile{}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close %s: %w", w.done[len(w.done)-1].temp, noSpace(err))
	}
	return nil
}

// Finish completes the checkpoint: when it returns without an error, all of it is on
// the disk and the manifest's hash is what the log's CKPT record has to name. From then
// on records of this checkpoint can be read. objects is borrowed.
func (w *Writer) Finish(objects map[string]Object) (Manifest, Hash, error) {
	if w.err != nil {
		return Manifest{}, Hash{}, w.err
	}
	h, err := w.finish(objects)
	if err != nil {
		return Manifest{}, Hash{}, w.fail(err)
	}
	w.err = fmt.Errorf("checkpoint of step %d is finished", w.m.Step)
	return w.m, h, nil
}

func (w *Writer) finish(objects map[string]Object) (Hash, error) {
	s := w.s
	if w.bad != "" {
		return Hash{}, fmt.Errorf("%s", w.bad)
	}
	if w.pack.file != nil {
		if err := w.closePack(); err != nil {
			return Hash{}, err
		}
	}
	if err := w.fillIn(objects); err != nil {
		return Hash{}, err
	}
	data, h, err := encodeManifest(&w.m)
	if err != nil {
		return Hash{}, err
	}
	s.names.Lock()
	defer s.names.Unlock()
	if err := w.movePacks(); err != nil {
		return Hash{}, err
	}
	if err := w.writeManifest(data, h); err != nil {
		return Hash{}, err
	}
	packs := make([]Pack, len(w.done))
	for i, p := range w.done {
		packs[i] = p.Pack
	}
	if err := s.handles.add(w.m.FileName(h), packs); err != nil {
		return Hash{}, err // cannot be: numbers are not used twice
	}
	s.mu.Lock()
	s.current, s.hash, s.writer = slices.Clone(w.m.Packs), h, nil
	s.mu.Unlock()
	return h, nil
}

// fillIn completes the manifest with the packs in use and the objects.
func (w *Writer) fillIn(objects map[string]Object) error {
	w.live[w.last.pack] = w.last.bytes
	delete(w.live, 0)
	done := make(map[uint32]Pack, len(w.done))
	for _, p := range w.done {
		done[p.Number] = p.Pack
	}
	for number, bytes := range w.live {
		p, ok := done[number]
		if !ok {
			if p, ok = w.s.handles.find(number); !ok {
				return fmt.Errorf("records kept in pack %d, which no open checkpoint has", number)
			}
		}
		p.LiveBytes = min(bytes, p.SizeBytes)
		w.m.Packs = append(w.m.Packs, p)
	}
	slices.SortFunc(w.m.Packs, func(a, b Pack) int { return cmp.Compare(a.Number, b.Number) })
	w.m.Objects = maps.Clone(objects)
	if what := w.m.check(); what != "" {
		return fmt.Errorf("manifest: %s", what)
	}
	return nil
}

// movePacks gives the packs their names.
func (w *Writer) movePacks() error {
	for _, p := range w.done {
		w.moved++
		if err := w.s.fs.Rename(p.temp, p.FileName()); err != nil {
			return fmt.Errorf("rename %s: %w", p.temp, noSpace(err))
		}
	}
	if len(w.done) == 0 {
		return nil
	}
	if err := w.s.fs.SyncDir(packDir); err != nil {
		return fmt.Errorf("sync directory %s: %w", packDir, noSpace(err))
	}
	failpoint.Hit(failpoint.CheckpointSynced)
	return nil
}

func (w *Writer) writeManifest(data []byte, h Hash) error {
	s := w.s
	s.temps++
	temp := fmt.Sprintf("%s/%d-%d%s", manifestDir, w.m.Step, s.temps, tempSuffix)
	f, err := s.fs.Create(temp)
	if err != nil {
		return fmt.Errorf("create %s: %w", temp, noSpace(err))
	}
	w.temp = temp
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", temp, noSpace(err))
	}
	failpoint.Hit(failpoint.CheckpointManifest)
	name := w.m.FileName(h)
	if err := s.fs.Rename(temp, name); err != nil {
		return fmt.Errorf("rename %s: %w", temp, noSpace(err))
	}
	w.temp = name
	if err := s.fs.SyncDir(manifestDir); err != nil {
		return fmt.Errorf("sync directory %s: %w", manifestDir, noSpace(err))
	}
	failpoint.Hit(failpoint.CheckpointComplete)
	return nil
}

// Abort gives the checkpoint up and removes what was written of it. It does nothing
// after Finish or an error.
func (w *Writer) Abort() {
	if w.err == nil {
		w.fail(ErrAborted)
	}
}

// fail makes the writer spent and removes what it wrote. What cannot be removed now is
// when the store is opened again, or by Prune.
func (w *Writer) fail(err error) error {
	s := w.s
	s.names.Lock()
	defer s.names.Unlock()
	w.err = fmt.Errorf("checkpoint of step %d: %w", w.m.Step, err)
	if w.temp != "" {
		s.fs.Remove(w.temp)
	}
	if w.pack.file != nil {
		w.pack.file.Close()
		w.pack.file = nil
		s.fs.Remove(w.pack.temp)
	}
	for i, p := range w.done {
		if i < w.moved {
			s.fs.Remove(p.FileName())
		}
		s.fs.Remove(p.temp)
	}
	s.mu.Lock()
	s.writer = nil
	s.mu.Unlock()
	return w.err
}
