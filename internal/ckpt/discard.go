package ckpt

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
)

// discards removes scratch files. A file system takes seconds to remove one of many
// gigabytes, which neither a start nor the owner of the state should wait for: it gets
// another name at once, and is removed beside.
type discards struct {
	fs      FS
	reserve int64
	beside  func(job func()) // Options.Beside

	mu   sync.Mutex
	last uint64 // number of the last name
}

// discardBeside is from how many bytes on a file is removed beside.
const discardBeside = 16 << 20

func (d *discards) init(fsys FS, opt Options) {
	d.fs, d.reserve, d.beside = fsys, opt.ReserveBytes, opt.Beside
}

// discard removes the file, which has so many bytes and which nobody has open. It is no
// error if it is not there. Its name is free when discard returns.
func (d *discards) discard(name string, size int64) error {
	if d.beside == nil || size < discardBeside {
		return d.fs.Remove(name)
	}
	if free, err := d.fs.Free(); err != nil || free-size < d.reserve {
		return d.fs.Remove(name) // its room may be needed before the job has its turn
	}
	d.mu.Lock()
	d.last++
	to := fmt.Sprintf("%s-%d%s", scratchName, d.last, tempSuffix)
	d.mu.Unlock()
	switch err := d.fs.Rename(name, to); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return d.fs.Remove(name)
	}
	d.later(to)
	return nil
}

// later removes a file beside. If that fails, or the process ends before, the next one
// finds it.
func (d *discards) later(name string) {
	d.beside(func() { d.fs.Remove(name) })
}

// leftovers removes what the last process left of scratch files.
func (d *discards) leftovers() error {
	files, err := d.fs.List(".")
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	var old []string
	size := int64(0)
	for _, f := range files {
		n, is := discardNumber(f.Name)
		if is {
			d.last = max(d.last, n)
			old = append(old, f.Name)
		}
		if f.Name == scratchName {
			size = f.SizeBytes
		}
	}
	for _, name := range old {
		if d.beside != nil {
			d.later(name)
		} else if err := d.fs.Remove(name); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	if err := d.discard(scratchName, size); err != nil {
		return fmt.Errorf("remove %s: %w", scratchName, err)
	}
	return nil
}

// discardNumber returns the number in the name of a file that waits to be removed.
func discardNumber(name string) (uint64, bool) {
	s, ok := strings.CutPrefix(name, scratchName+"-")
	if !ok {
		return 0, false
	}
	if s, ok = strings.CutSuffix(s, tempSuffix); !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
