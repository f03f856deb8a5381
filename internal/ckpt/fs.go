// Package ckpt keeps checkpoints: packs of records that are written once and named by
// their content, manifests that say what belongs to which checkpoint, and a scratch
// file for what has to leave memory in between. The format is in
// docs/decisions/0007-checkpoints.md.
package ckpt

import "io"

// FS is the file system that a Store lives in, below its directory. Names are
// slash-separated and relative. What is not synced may be lost when the machine stops:
// content until File.Sync, names (of new, renamed and removed files) until SyncDir.
type FS interface {
	// Create makes a new file for writing; it is an error (fs.ErrExist) if it is there.
	Create(name string) (File, error)
	// Open opens a file for reading; fs.ErrNotExist if it is not there.
	Open(name string) (File, error)
	// Rename moves a file, in place of one that is there.
	Rename(from, to string) error
	// Remove deletes a file; it is no error if it is not there.
	Remove(name string) error
	// List returns the files in a directory in the order of their names; none if the
	// directory is not there.
	List(dir string) ([]Info, error)
	// MkdirAll makes a directory and those above it.
	MkdirAll(dir string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Free returns how many bytes may still be written.
	Free() (int64, error)
}

// Info is a file in a directory.
type Info struct {
	Name      string // within its directory
	SizeBytes int64
}

// File is an open file. Writes go to its end; WriteAt is for the scratch file.
type File interface {
	io.Writer
	io.WriterAt
	io.ReaderAt
	io.Closer
	Sync() error
	Size() (int64, error)
}
