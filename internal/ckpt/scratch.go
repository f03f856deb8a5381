package ckpt

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"slices"
	"sync"

	"github.com/tidemill/tidemill/internal/state"
)

const (
	// slotUnit is what sizes and offsets of the scratch file's slots are multiples of.
	slotUnit = 512
	// fineBytes is up to where slots come in all multiples of slotUnit; above, there
	// are 16 sizes for each doubling, so that at most 1/16 is lost.
	fineBytes   = 64 << 10
	fineClasses = fineBytes / slotUnit
	slotClasses = fineClasses + 16*(63-16)

	// scratchKeepBytes is how large a scratch file of which nothing is used any more
	// may stay.
	scratchKeepBytes = 16 << 20

	// growBytes is how often the disk's free space is asked for: once while the file
	// grows by so much.
	growBytes = 1 << 20
)

// scratch is the file for what has to leave memory before a checkpoint. Slots that
// come back are used again: one of the same size first; larger ones are cut, and
// neighbours joined, when the file may not grow or is mostly free.
type scratch struct {
	fs      FS
	max     int64
	reserve int64

	// io is held for reading while file is used and for writing while it is made or
	// removed.
	io   sync.RWMutex
	file File // nil until something is spilled
	gone discards

	mu        sync.Mutex
	end       int64 // how long the file is, or will be once the writes under way are done
	high      int64 // the largest that end was: how long the file is on the disk
	used      int64 // how much of it is in slots that are taken
	unchecked int64 // by how much it grew since the disk's free space was asked for
	freed     int64 // how much came back since neighbours were joined
	free      [slotClasses][]extent

	// frames is of *[]byte: room for one record. The runtime knows of pools that were used
	// lately, so it must not be within what would be garbage but for that.
	frames *sync.Pool
}

// extent is a part of the scratch file that is free.
type extent struct{ off, len int64 }

func (s *scratch) init(fsys FS, opt Options) {
	s.fs, s.max, s.reserve = fsys, opt.MaxScratchBytes, opt.ReserveBytes
	s.unchecked = growBytes
	s.gone.init(fsys, opt)
	s.frames = &sync.Pool{New: func() any { return new([]byte) }}
}

func (s *scratch) spill(owner uint64, payload []byte) (state.Loc, error) {
	if len(payload) > MaxPayloadBytes {
		return state.Loc{}, fmt.Errorf("spill %d bytes of %#x: at most %d are possible", len(payload), owner, MaxPayloadBytes)
	}
	size := slotBytes(FrameBytes + len(payload))
	off, err := s.take(size)
	if err != nil {
		return state.Loc{}, fmt.Errorf("spill %d bytes of %#x: %w", len(payload), owner, err)
	}
	buf := s.frames.Get().(*[]byte)
	defer s.frames.Put(buf)
	*buf = slices.Grow((*buf)[:0], FrameBytes+len(payload))[:FrameBytes]
	putFrame(*buf, kindSpill, owner, payload)
	*buf = append(*buf, payload...)
	if err := s.writeAt(*buf, off); err != nil {
		s.giveBack(off, size)
		return state.Loc{}, fmt.Errorf("spill %d bytes of %#x at offset %d: %w", len(payload), owner, off, noSpace(err))
	}
	return state.Loc{Pack: state.ScratchPack, Len: uint32(len(*buf)), Off: uint64(off)}, nil
}

func (s *scratch) writeAt(rec []byte, off int64) error {
	s.io.RLock()
	for s.file == nil {
		s.io.RUnlock()
		if err := s.create(); err != nil {
			return err
		}
		s.io.RLock()
	}
	defer s.io.RUnlock()
	_, err := s.file.WriteAt(rec, off)
	return err
}

func (s *scratch) create() error {
	s.io.Lock()
	defer s.io.Unlock()
	if s.file != nil {
		return nil
	}
	f, err := s.fs.Create(scratchName)
	if errors.Is(err, fs.ErrExist) { // an earlier remove did not succeed
		if err := s.fs.Remove(scratchName); err != nil {
			return err
		}
		f, err = s.fs.Create(scratchName)
	}
	if err != nil {
		return err
	}
	s.file = f
	return nil
}

func (s *scratch) appendRecord(l state.Loc, dst []byte) ([]byte, error) {
	s.mu.Lock()
	end := s.end
	s.mu.Unlock()
	if l.Len < FrameBytes || l.Off > uint64(end) || uint64(l.Len) > uint64(end)-l.Off {
		return nil, &DamageError{File: scratchName, Offset: int64(l.Off), What: fmt.Sprintf("%d bytes here are not within the file of %d bytes", l.Len, end)}
	}
	s.io.RLock()
	defer s.io.RUnlock()
	if s.file == nil {
		return nil, &DamageError{File: scratchName, Offset: int64(l.Off), What: "nothing is spilled"}
	}
	out, err := appendAt(s.file, scratchName, l, dst)
	if err != nil {
		return nil, err
	}
	rec := out[len(dst):]
	if what := checkRecord(rec); what != "" {
		return nil, damagedRecord(scratchName, l, rec, what)
	}
	if recordKind(rec) != kindSpill {
		return nil, damagedRecord(scratchName, l, rec, "records of this kind are not spilled")
	}
	return out, nil
}

func (s *scratch) unspill(l state.Loc) {
	if l.Pack != state.ScratchPack || l.Len < FrameBytes || l.Off%slotUnit != 0 {
		panic(fmt.Sprintf("unspill %+v: nothing was spilled there", l))
	}
	s.giveBack(int64(l.Off), slotBytes(int(l.Len)))
}

// take returns the offset of a slot of that size.
func (s *scratch) take(size int64) (int64, error) {
	s.mu.Lock()
	off, ok := s.reuse(size)
	if ok {
		s.used += size
		s.mu.Unlock()
		return off, nil
	}
	if s.max > 0 && s.end+size > s.max {
		err := fmt.Errorf("%w: %d bytes of it are in use, %d more do not fit, it may have %d", ErrScratchFull, s.used, size, s.max)
		s.mu.Unlock()
		return 0, err
	}
	off = s.end
	s.end += size
	s.high = max(s.high, s.end)
	s.used += size
	s.unchecked += size
	ask := s.unchecked >= growBytes
	if ask {
		s.unchecked = 0
	}
	s.mu.Unlock()
	if !ask {
		return off, nil
	}
	if err := checkFree(s.fs, s.reserve, size); err != nil {
		s.giveBack(off, size)
		s.mu.Lock()
		s.unchecked = growBytes // ask again the next time
		s.mu.Unlock()
		return 0, err
	}
	return off, nil
}

// reuse takes a slot of that size out of the free ones.
func (s *scratch) reuse(size int64) (int64, bool) {
	class := extentClass(size)
	if off, ok := s.cut(class, size); ok {
		return off, true
	}
	mayGrow := s.max == 0 || s.end+size <= s.max
	if mayGrow && s.end-s.used < s.used {
		return 0, false
	}
	if off, ok := s.cutLarger(class, size); ok {
		return off, true
	}
	// Joining looks at all that is free, so it has to wait until much has come back.
	if s.end-s.used < size || s.freed < s.end/16 {
		return 0, false
	}
	s.join()
	return s.cutLarger(class, size)
}

func (s *scratch) cutLarger(class int, size int64) (int64, bool) {
	for c := class; c < slotClasses; c++ {
		if off, ok := s.cut(c, size); ok {
			return off, true
		}
	}
	return 0, false
}

// cut takes size bytes of an extent of that class, and leaves the rest.
func (s *scratch) cut(class int, size int64) (int64, bool) {
	list := s.free[class]
	if len(list) == 0 {
		return 0, false
	}
	e := list[len(list)-1]
	s.free[class] = list[:len(list)-1]
	if e.len > size {
		s.put(extent{e.off + size, e.len - size})
	}
	return e.off, true
}

func (s *scratch) put(e extent) {
	c := extentClass(e.len)
	s.free[c] = append(s.free[c], e)
}

// join makes one extent of free ones that touch, and shortens the file's length by what
// is free at its end.
func (s *scratch) join() {
	s.freed = 0
	var all []extent
	for c := range s.free {
		all = append(all, s.free[c]...)
		s.free[c] = s.free[c][:0]
	}
	slices.SortFunc(all, func(a, b extent) int { return cmp.Compare(a.off, b.off) })
	for i := 0; i < len(all); {
		e := all[i]
		for i++; i < len(all) && all[i].off == e.off+e.len; i++ {
			e.len += all[i].len
		}
		if e.off+e.len == s.end {
			s.end = e.off
			break
		}
		s.put(e)
	}
}

// giveBack makes a slot free. When none is taken any more the file is used from its
// start again, or removed if it is large.
func (s *scratch) giveBack(off, size int64) {
	s.mu.Lock()
	if off+size > s.end || size > s.used {
		s.mu.Unlock()
		panic(fmt.Sprintf("unspill %d bytes at offset %d: scratch file has %d bytes, %d in use", size, off, s.end, s.used))
	}
	s.used -= size
	s.freed += size
	s.put(extent{off, size})
	if s.used == 0 {
		s.clear()
	}
	remove := s.used == 0 && s.high > scratchKeepBytes
	s.mu.Unlock()
	if remove {
		s.removeIfEmpty()
	}
}

// clear makes one free place of all that is.
func (s *scratch) clear() {
	s.end, s.freed = 0, 0
	for c := range s.free {
		s.free[c] = s.free[c][:0]
	}
}

func (s *scratch) removeIfEmpty() {
	s.io.Lock()
	defer s.io.Unlock()
	s.mu.Lock()
	empty, size := s.used == 0, s.high
	if empty {
		s.high = 0
	}
	s.mu.Unlock()
	if empty && s.file != nil {
		// Nothing is in it, and what fails here shows when it is made again.
		s.file.Close()
		s.file = nil
		s.gone.discard(scratchName, size)
	}
}

func (s *scratch) close() error {
	s.io.Lock()
	defer s.io.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return errors.Join(err, s.fs.Remove(scratchName))
}

// slotBytes is how large a slot a record of n bytes gets.
func slotBytes(n int) int64 {
	unit := int64(slotUnit)
	if n > fineBytes {
		unit = 1 << (bits.Len(uint(n-1)) - 1 - 4)
	}
	return (int64(n) + unit - 1) / unit * unit
}

// extentClass is the class of free extents of n bytes, a multiple of slotUnit: the
// largest whose slots are not longer.
func extentClass(n int64) int {
	if n < fineBytes {
		return int(n / slotUnit)
	}
	exp := bits.Len64(uint64(n)) - 1
	return fineClasses + 16*(exp-16) + int(n>>(exp-4)&15)
}
