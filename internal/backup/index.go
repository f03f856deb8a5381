package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
)

// Format is the version of backups.
const Format = 1

// IndexName is the file that makes a backup complete: it is written last, and names
// all others.
const IndexName = "backup.json"

// Index says what a backup has.
type Index struct {
	Format   int       `json:"format"`
	Pipeline string    `json:"pipeline"`
	Step     uint64    `json:"step"`     // all up to it is in the backup
	Manifest string    `json:"manifest"` // file of the checkpoint that it starts from
	Engine   string    `json:"engine"`   // version of the program that wrote it
	Created  time.Time `json:"created"`
	Logs     []LogSpan `json:"logs"`
	Files    []File    `json:"files"`
}

// LogSpan is what a backup has of a log: the records First to Last, in files that are
// named by their first record and their content, so that another backup in the same
// place never writes over them.
type LogSpan struct {
	Name   string   `json:"name"`
	First  uint64   `json:"first"`
	Last   uint64   `json:"last"` // First-1 if it is empty
	Chunks []string `json:"chunks"`
}

// File is a file of a backup.
type File struct {
	Name   string `json:"name"` // slash-separated
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Target is where backups are kept. Names are slash-separated.
type Target interface {
	// Put keeps what r has under name, durably, all of it or nothing.
	Put(ctx context.Context, name string, r io.Reader, size int64) error
	// Get opens a file; the caller closes it. fs.ErrNotExist if it is not there.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List returns the files whose names begin with prefix, and their sizes.
	List(ctx context.Context, prefix string) (map[string]int64, error)
	// Delete removes a file; it is no error if it is not there.
	Delete(ctx context.Context, name string) error
}

// maxIndexBytes bounds an index that is read.
const maxIndexBytes = 64 << 20

// ReadIndex reads the index of a backup.
func ReadIndex(ctx context.Context, t Target) (*Index, error) {
	r, err := t.Get(ctx, IndexName)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxIndexBytes))
	if err != nil {
		return nil, fmt.Errorf("open backup: %s: %w", IndexName, err)
	}
	var x Index
	if err := json.Unmarshal(raw, &x); err != nil {
		return nil, fmt.Errorf("open backup: %s: %w: %w", IndexName, ErrDamaged, err)
	}
	if x.Format != Format {
		return nil, fmt.Errorf("open backup: %s is of format %d, this program knows %d", IndexName, x.Format, Format)
	}
	for _, f := range x.Files {
		if err := checkName(f.Name); err != nil {
			return nil, fmt.Errorf("open backup: %w", err)
		}
	}
	return &x, nil
}

// checkName refuses names that lead out of a directory.
func checkName(name string) error {
	for _, part := range strings.Split(name, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, `\:`) {
			return fmt.Errorf("%w: a file named %q", ErrDamaged, name)
		}
	}
	return nil
}

// file opens a file of the backup. Reading it to its end fails unless it is what the
// index says.
func (x *Index) file(ctx context.Context, t Target, name string) (io.ReadCloser, error) {
	for _, f := range x.Files {
		if f.Name == name {
			r, err := t.Get(ctx, name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return &checkedReader{ReadCloser: r, file: f, sum: sha256.New()}, nil
		}
	}
	return nil, fmt.Errorf("%w: %s is not in the index", ErrDamaged, name)
}

// checkedReader ends in an error unless what was read is the file.
type checkedReader struct {
	io.ReadCloser
	file File
	sum  hash.Hash
	n    int64
}

func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.n += int64(n)
	r.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if r.n != r.file.Bytes {
			return n, fmt.Errorf("%w: %s has %d bytes, should have %d", ErrDamaged, r.file.Name, r.n, r.file.Bytes)
		}
		if got := hex.EncodeToString(r.sum.Sum(nil)); got != r.file.SHA256 {
			return n, fmt.Errorf("%w: %s has SHA-256 %s, should have %s", ErrDamaged, r.file.Name, got, r.file.SHA256)
		}
	}
	return n, err
}
