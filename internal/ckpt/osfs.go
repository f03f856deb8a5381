package ckpt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// OSFS is a directory of the operating system as an FS. Names that lead out of it are
// refused, links among them.
type OSFS struct {
	root *os.Root
	dir  *os.File // the same directory
}

var _ FS = (*OSFS)(nil)

// NewOSFS returns the file system below dir, which is made if it is not there. It is
// released by Close.
func NewOSFS(dir string) (*OSFS, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	return &OSFS{root: root, dir: d}, nil
}

// makeDir makes a directory and those above it, durably.
func makeDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeDir(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(above)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(f), f.Close())
}

// Close releases the directory. Files that are open stay so.
func (o *OSFS) Close() error { return errors.Join(o.dir.Close(), o.root.Close()) }

// Create makes a new file, open for writing and reading.
func (o *OSFS) Create(name string) (File, error) {
	return o.open("create", name, os.O_CREATE|os.O_EXCL|os.O_RDWR)
}

// Open opens a file for reading.
func (o *OSFS) Open(name string) (File, error) { return o.open("open", name, os.O_RDONLY) }

func (o *OSFS) open(op, name string, flag int) (File, error) {
	if err := checkName(op, name); err != nil {
		return nil, err
	}
	f, err := o.root.OpenFile(filepath.FromSlash(name), flag, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename moves a file, in place of one that is there.
func (o *OSFS) Rename(from, to string) error {
	if err := errors.Join(checkName("rename", from), checkName("rename", to)); err != nil {
		return err
	}
	return o.root.Rename(filepath.FromSlash(from), filepath.FromSlash(to))
}

// Remove deletes a file, if it is there.
func (o *OSFS) Remove(name string) error {
	if err := checkName("remove", name); err != nil {
		return err
	}
	if err := o.root.Remove(filepath.FromSlash(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List returns the regular files in a directory by name.
func (o *OSFS) List(dir string) ([]Info, error) {
	if err := checkName("list", dir); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(o.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []Info
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, Info{Name: e.Name(), SizeBytes: info.Size()})
	}
	return files, nil
}

// MkdirAll makes a directory and those above it.
func (o *OSFS) MkdirAll(dir string) error {
	if err := checkName("mkdir", dir); err != nil {
		return err
	}
	return o.root.MkdirAll(filepath.FromSlash(dir), 0o755)
}

// SyncDir makes the names in a directory durable.
func (o *OSFS) SyncDir(dir string) error {
	if err := checkName("sync", dir); err != nil {
		return err
	}
	f, err := o.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	return errors.Join(syncDir(f), f.Close())
}

// Free returns how many bytes may still be written.
func (o *OSFS) Free() (int64, error) { return freeBytes(o.dir) }

// checkName refuses names that are not slash-separated, relative and plain.
func checkName(op, name string) error {
	if !fs.ValidPath(name) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("%w: not a name below the directory", fs.ErrInvalid)}
	}
	return nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
