package ckpt

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/internal/state"
)

// DefaultPackBytes is where packs are cut if Options does not say.
const DefaultPackBytes = 64 << 20

// Options of a Store. The zero value is usable.
type Options struct {
	// PackBytes is about how long a pack may become; 0: DefaultPackBytes.
	PackBytes int64
	// MaxScratchBytes bounds the scratch file; 0: no bound.
	MaxScratchBytes int64
	// ReserveBytes is what must stay free on the disk: a checkpoint or a spill that
	// would go below it ends in ErrNoSpace. 0: nothing.
	ReserveBytes int64
	// Pace is called by the goroutine that writes a checkpoint, after each write of so
	// many bytes. It may block, so that other writers of the disk get their turn; nil: no
	// pause.
	Pace func(bytes int)
	// Beside runs a job that removes a large file beside its caller, and the process need
	// not wait for it; nil: whoever gives the file up waits until it is gone.
	Beside func(job func())
}

// Store keeps the checkpoints of one pipeline in a directory, and what has to leave
// memory in between. It is a state.Backing. Its methods may be called by several
// goroutines.
type Store struct {
	fs      FS
	opt     Options
	scratch scratch
	handles handles

	// names is held while files get their names or lose them, as Finish and Prune do, so
	// that neither sees half of what the other does. A pack that is left over from a
	// process before may have the content, and so the name, of one being written.
	names sync.Mutex
	temps int // how many temporary names of manifests were given out

	mu      sync.Mutex
	next    uint32  // the number of the next pack; numbers are not used twice
	current []Pack  // of the checkpoint opened or finished last: memory refers to its records
	hash    Hash    // of its manifest
	writer  *Writer // the checkpoint being written, nil if none is
	closed  bool
}

var _ state.Backing = (*Store)(nil)

// Open opens the store in fsys, or makes an empty one. What a checkpoint that did not
// finish and the last process's scratch file left behind is removed. Packs that no
// manifest names stay until Prune.
func Open(fsys FS, opt Options) (*Store, error) {
	if opt.PackBytes <= 0 {
		opt.PackBytes = DefaultPackBytes
	}
	s := &Store{fs: fsys, opt: opt, next: 1}
	s.scratch.init(fsys, opt)
	s.handles.init(fsys)
	for _, dir := range []string{packDir, manifestDir} {
		if err := fsys.MkdirAll(dir); err != nil {
			return nil, fmt.Errorf("open checkpoints: make %s: %w", dir, noSpace(err))
		}
	}
	if err := fsys.SyncDir("."); err != nil {
		return nil, fmt.Errorf("open checkpoints: sync directory: %w", noSpace(err))
	}
	if err := s.scratch.gone.leftovers(); err != nil {
		return nil, fmt.Errorf("open checkpoints: %w", err)
	}
	for _, dir := range []string{packDir, manifestDir} {
		if err := s.removeTemps(dir); err != nil {
			return nil, err
		}
	}
	entries, err := s.Manifests()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Err == nil && len(e.Manifest.Packs) > 0 {
			s.next = max(s.next, e.Manifest.Packs[len(e.Manifest.Packs)-1].Number+1)
		}
	}
	return s, nil
}

func (s *Store) removeTemps(dir string) error {
	files, err := s.fs.List(dir)
	if err != nil {
		return fmt.Errorf("open checkpoints: list %s: %w", dir, err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name, tempSuffix) {
			continue
		}
		if err := s.fs.Remove(dir + "/" + f.Name); err != nil {
			return fmt.Errorf("open checkpoints: remove %s/%s: %w", dir, f.Name, err)
		}
	}
	return nil
}

// Close gives up a checkpoint that is being written, closes all files and removes the
// scratch file. Nothing may use the store or its writer any more.
func (s *Store) Close() error {
	s.mu.Lock()
	w := s.writer
	s.closed = true
	s.mu.Unlock()
	if w != nil {
		w.Abort()
	}
	return errors.Join(s.handles.close(), s.scratch.close())
}

// Read appends the payload of the record at l to dst and returns it. Returns dst as it
// was and a DamageError if what is there is not a record of owner, whole and unchanged.
func (s *Store) Read(l state.Loc, owner uint64, dst []byte) ([]byte, error) {
	out, name, err := s.appendRecord(l, dst)
	if err != nil {
		return dst, err
	}
	rec := out[len(dst):]
	if got := recordOwner(rec); got != owner {
		return dst, damagedRecord(name, l, rec, fmt.Sprintf("record of %#x, should be of %#x", got, owner))
	}
	return append(out[:len(dst)], rec[FrameBytes:]...), nil
}

// appendRecord appends the record at l, its frame included, to dst, and returns the
// name of the file it is from. All but its owner has been checked.
func (s *Store) appendRecord(l state.Loc, dst []byte) ([]byte, string, error) {
	if l.Pack == state.ScratchPack {
		out, err := s.scratch.appendRecord(l, dst)
		return out, scratchName, err
	}
	return s.handles.appendRecord(l, dst)
}

// Spill keeps payload in the scratch file until Unspill or the end of the process.
// Returns ErrScratchFull if the file may not grow any more, ErrNoSpace if the disk is
// full.
func (s *Store) Spill(owner uint64, payload []byte) (state.Loc, error) {
	return s.scratch.spill(owner, payload)
}

// Unspill gives the place of a spilled record back, to be used for another. It panics
// if l is not the place of one.
func (s *Store) Unspill(l state.Loc) { s.scratch.unspill(l) }

// appendAt appends the l.Len bytes at l of f to dst.
func appendAt(f File, name string, l state.Loc, dst []byte) ([]byte, error) {
	old := len(dst)
	dst = slices.Grow(dst, int(l.Len))[:old+int(l.Len)]
	n, err := f.ReadAt(dst[old:], int64(l.Off))
	if n == int(l.Len) {
		return dst, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil, damagedRecord(name, l, dst[old:old+n], fmt.Sprintf("%d bytes are there, should be %d", n, l.Len))
	}
	return nil, &DamageError{File: name, Offset: int64(l.Off), What: fmt.Sprintf("%d bytes cannot be read", l.Len), Err: err}
}

func damagedRecord(name string, l state.Loc, rec []byte, what string) error {
	return &DamageError{File: name, Offset: int64(l.Off), Kind: recordKind(rec), Owner: recordOwner(rec), What: what}
}

// noSpace makes an error of the file system ErrNoSpace if it says that the disk is full.
func noSpace(err error) error {
	if err != nil && isDiskFull(err) && !errors.Is(err, ErrNoSpace) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// checkFree returns ErrNoSpace if less than reserve would be left of the disk once
// want more bytes are written.
func checkFree(fsys FS, reserve, want int64) error {
	if reserve <= 0 {
		return nil
	}
	free, err := fsys.Free()
	if err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	if free-want < reserve {
		return fmt.Errorf("%w: %d bytes are free and %d more are needed, %d must stay free", ErrNoSpace, free, want, reserve)
	}
	return nil
}

// isDiskFull reports whether the file system refused for want of space.
func isDiskFull(err error) bool {
	for _, e := range diskFullErrors {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
