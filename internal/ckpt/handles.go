package ckpt

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/tidemill/tidemill/internal/state"
)

// maxOpenPacks bounds how many pack files are open for reading, but for those that
// are being read right now.
const maxOpenPacks = 128

// handles knows the packs that records may be read from, and keeps the files of those
// read last open.
type handles struct {
	fs FS

	mu    sync.Mutex
	packs map[uint32]*handle
	open  []*handle // those whose file is not nil
	clock uint64    // counts uses
}

type handle struct {
	Pack
	name    string
	file    File // nil if it is not open
	readers int  // how many goroutines are using file
	used    uint64
	gone    bool // it was forgotten: the last reader closes it
}

func (h *handles) init(fsys FS) {
	h.fs = fsys
	h.packs = make(map[uint32]*handle)
}

// add makes packs known. Returns a DamageError if another pack of the same number is;
// nothing is added then.
func (h *handles) add(who string, packs []Pack) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range packs {
		if old := h.packs[p.Number]; old != nil && old.Hash != p.Hash {
			return &DamageError{File: who, Offset: -1, What: fmt.Sprintf("it says that pack %d is %s, which is %s in another manifest", p.Number, p.Hash, old.Hash)}
		}
	}
	for _, p := range packs {
		if h.packs[p.Number] == nil {
			h.packs[p.Number] = &handle{Pack: p, name: p.FileName()}
		}
	}
	return nil
}

// find returns the pack of that number, false if it is not known.
func (h *handles) find(number uint32) (Pack, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.packs[number]; p != nil {
		return p.Pack, true
	}
	return Pack{}, false
}

// retain forgets the packs that needed does not hold.
func (h *handles) retain(needed map[Hash]bool) {
	var files []File
	h.mu.Lock()
	for number, p := range h.packs {
		if needed[p.Hash] {
			continue
		}
		delete(h.packs, number)
		p.gone = true
		if p.file != nil && p.readers == 0 {
			files = append(files, h.shut(p))
		}
	}
	h.mu.Unlock()
	closeAll(files) // they were only read
}

// appendRecord appends the record at l of a pack to dst, and returns the pack's name.
func (h *handles) appendRecord(l state.Loc, dst []byte) ([]byte, string, error) {
	p, err := h.acquire(l)
	if err != nil {
		return nil, "", err
	}
	defer h.release(p)
	out, err := appendAt(p.file, p.name, l, dst)
	if err != nil {
		return nil, p.name, err
	}
	rec := out[len(dst):]
	if what := checkRecord(rec); what != "" {
		return nil, p.name, damagedRecord(p.name, l, rec, what)
	}
	if k := recordKind(rec); !isPackKind(k) {
		return nil, p.name, damagedRecord(p.name, l, rec, "records of this kind are not kept in packs")
	}
	return out, p.name, nil
}

// acquire returns the pack of l with its file open, until release.
func (h *handles) acquire(l state.Loc) (*handle, error) {
	h.mu.Lock()
	p := h.packs[l.Pack]
	if p == nil {
		h.mu.Unlock()
		return nil, &DamageError{File: fmt.Sprintf("pack %d", l.Pack), Offset: int64(l.Off), What: "no open checkpoint has this pack"}
	}
	if what := checkRange(l, p.SizeBytes); what != "" {
		h.mu.Unlock()
		return nil, &DamageError{File: p.name, Offset: int64(l.Off), What: what}
	}
	if p.file != nil {
		h.use(p)
		h.mu.Unlock()
		return p, nil
	}
	h.mu.Unlock()

	f, err := openPack(h.fs, p.Pack)
	if err != nil {
		return nil, err
	}
	var files []File
	h.mu.Lock()
	if p.file == nil {
		p.file = f
		h.open = append(h.open, p)
	} else { // another goroutine was faster
		files = append(files, f)
	}
	h.use(p)
	files = append(files, h.excess()...)
	h.mu.Unlock()
	closeAll(files)
	return p, nil
}

func (h *handles) use(p *handle) {
	h.clock++
	p.used = h.clock
	p.readers++
}

func (h *handles) release(p *handle) {
	var files []File
	h.mu.Lock()
	p.readers--
	if p.gone && p.readers == 0 && p.file != nil {
		files = append(files, h.shut(p))
	}
	if len(h.open) > maxOpenPacks {
		files = append(files, h.excess()...)
	}
	h.mu.Unlock()
	closeAll(files)
}

// excess takes the files that were not used for longest out until no more than
// maxOpenPacks are left, and returns them to be closed.
func (h *handles) excess() []File {
	var files []File
	for len(h.open) > maxOpenPacks {
		var oldest *handle
		for _, p := range h.open {
			if p.readers == 0 && (oldest == nil || p.used < oldest.used) {
				oldest = p
			}
		}
		if oldest == nil {
			break
		}
		files = append(files, h.shut(oldest))
	}
	return files
}

// shut takes the file of p out of the open ones.
func (h *handles) shut(p *handle) File {
	f := p.file
	p.file = nil
	h.open = slices.DeleteFunc(h.open, func(o *handle) bool { return o == p })
	return f
}

func (h *handles) close() error {
	h.mu.Lock()
	var files []File
	for len(h.open) > 0 {
		files = append(files, h.shut(h.open[len(h.open)-1]))
	}
	clear(h.packs)
	h.mu.Unlock()
	return closeAll(files)
}

func closeAll(files []File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// openPack opens the file of a pack and checks its size and its header.
func openPack(fsys FS, p Pack) (File, error) {
	name := p.FileName()
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamageError{File: name, Offset: -1, What: "the file is not there", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open pack %d, %s: %w", p.Number, name, err)
	}
	if err := checkPackFile(f, name, p); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkPackFile(f File, name string, p Pack) error {
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("size of pack %d, %s: %w", p.Number, name, err)
	}
	if size != p.SizeBytes {
		return &DamageError{File: name, Offset: -1, What: fmt.Sprintf("it has %d bytes, should be %d", size, p.SizeBytes)}
	}
	var head [packHeaderBytes]byte
	if n, err := f.ReadAt(head[:], 0); n < len(head) {
		return &DamageError{File: name, Offset: 0, What: "its header cannot be read", Err: err}
	}
	if what := checkPackHeader(head[:], p.Number); what != "" {
		return &DamageError{File: name, Offset: 0, What: what}
	}
	return nil
}
