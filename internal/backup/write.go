package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/fabric"
)

// Held is a running pipeline at one step: a checkpoint, and what of its logs is needed
// to go on from it. All of it stays while it is held.
type Held struct {
	Pipeline string
	Engine   string
	Step     uint64
	Files    ckpt.FS       // of the checkpoints
	Manifest ckpt.Manifest // of the checkpoint
	Hash     ckpt.Hash     // of its manifest
	Logs     []HeldLog
}

// HeldLog is the records First to Last of a log; Last is First-1 if there are none.
type HeldLog struct {
	Name        string
	First, Last uint64
	Read        func(ctx context.Context, from uint64, fn func(fabric.Record) error) error
}

// chunkBytes is about how large a file of log records is.
const chunkBytes = 16 << 20

// A chunk is records one after the other: position and length, 8 and 4 bytes
// little-endian, and the record.
const recordHead = 12

// CheckpointPrefix is where a backup has the files of its checkpoint.
const CheckpointPrefix = "checkpoint/"

// Write writes what is held as a tar archive whose last file is the index. Packs that
// are in have, with their size, are left out: whoever reads has them.
func Write(ctx context.Context, h *Held, have map[string]int64, w io.Writer) error {
	b := &writer{tar: tar.NewWriter(w), index: Index{Format: Format, Pipeline: h.Pipeline, Step: h.Step, Engine: h.Engine,
		Manifest: CheckpointPrefix + h.Manifest.FileName(h.Hash), Created: time.Now().UTC().Truncate(time.Second)}}
	for _, l := range h.Logs {
		if err := b.log(ctx, l); err != nil {
			return fmt.Errorf("back up log %s: %w", l.Name, err)
		}
	}
	for _, p := range h.Manifest.Packs {
		name := CheckpointPrefix + p.FileName()
		if have[name] == p.SizeBytes {
			b.index.Files = append(b.index.Files, File{name, p.SizeBytes, p.Hash.String()})
			continue
		}
		if err := b.copy(ctx, h.Files, name, p.FileName()); err != nil {
			return fmt.Errorf("back up checkpoint of step %d: %w", h.Manifest.Step, err)
		}
	}
	if err := b.copy(ctx, h.Files, b.index.Manifest, h.Manifest.FileName(h.Hash)); err != nil {
		return fmt.Errorf("back up checkpoint of step %d: %w", h.Manifest.Step, err)
	}
	raw, err := json.MarshalIndent(&b.index, "", " ")
	if err == nil {
		err = b.put(IndexName, raw)
	}
	return errors.Join(err, b.tar.Close())
}

type writer struct {
	tar   *tar.Writer
	index Index
}

func (b *writer) put(name string, data []byte) error {
	if err := b.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := b.tar.Write(data)
	return err
}

// copy puts a file of the checkpoint.
func (b *writer) copy(ctx context.Context, from ckpt.FS, name, file string) error {
	f, err := from.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if err := b.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size}); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(b.tar, sum), ctxReader{ctx, io.NewSectionReader(f, 0, size)})
	if err == nil && n != size {
		err = fmt.Errorf("%s: %d bytes of %d", file, n, size)
	}
	b.index.Files = append(b.index.Files, File{name, size, hex.EncodeToString(sum.Sum(nil))})
	return err
}

// ctxReader ends when its context does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// errEnd ends a read of a log.
var errEnd = errors.New("end")

func (b *writer) log(ctx context.Context, l HeldLog) error {
	span := LogSpan{Name: l.Name, First: l.First, Last: l.Last}
	var buf bytes.Buffer
	from := l.First // of the chunk
	flush := func() error {
		sum := sha256.Sum256(buf.Bytes())
		name := fmt.Sprintf("logs/%s/%012d-%x.rec", l.Name, from, sum[:8])
		span.Chunks = append(span.Chunks, name)
		b.index.Files = append(b.index.Files, File{name, int64(buf.Len()), hex.EncodeToString(sum[:])})
		err := b.put(name, buf.Bytes())
		buf.Reset()
		return err
	}
	next := l.First
	if l.Last >= l.First {
		err := l.Read(ctx, l.First, func(r fabric.Record) error {
			if r.Seq != next {
				return fmt.Errorf("%w: record %d comes, %d is next", ErrDamaged, r.Seq, next)
			}
			if buf.Len() == 0 {
				from = next
			}
			next++
			var head [recordHead]byte
			binary.LittleEndian.PutUint64(head[:], r.Seq)
			binary.LittleEndian.PutUint32(head[8:], uint32(len(r.Data)))
			buf.Write(head[:])
			buf.Write(r.Data)
			if buf.Len() >= chunkBytes {
				if err := flush(); err != nil {
					return err
				}
			}
			if r.Seq == l.Last {
				return errEnd
			}
			return ctx.Err()
		})
		if err != nil && !errors.Is(err, errEnd) {
			return err
		}
		if next != l.Last+1 {
			return fmt.Errorf("%w: it ends before record %d, the last is %d", ErrDamaged, next, l.Last)
		}
	}
	if buf.Len() > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	b.index.Logs = append(b.index.Logs, span)
	return nil
}

// Receive keeps what Write wrote in a target, and returns its index. What an earlier
// backup has there and this one does not need is removed at the end. Until then the
// earlier one stays whole.
func Receive(ctx context.Context, r io.Reader, t Target) (*Index, error) {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("receive backup: it ends before its index: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, fmt.Errorf("receive backup: %w", err)
		}
		if err := checkName(h.Name); err != nil {
			return nil, fmt.Errorf("receive backup: %w", err)
		}
		if h.Name == IndexName {
			break
		}
		if err := t.Put(ctx, h.Name, in, h.Size); err != nil {
			return nil, fmt.Errorf("receive backup: %w", err)
		}
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxIndexBytes))
	if err != nil {
		return nil, fmt.Errorf("receive backup: %w", err)
	}
	if err := complete(ctx, t, raw); err != nil {
		return nil, fmt.Errorf("receive backup: %w", err)
	}
	if err := t.Put(ctx, IndexName, bytes.NewReader(raw), int64(len(raw))); err != nil {
		return nil, fmt.Errorf("receive backup: %w", err)
	}
	x, err := ReadIndex(ctx, t)
	if err != nil {
		return nil, err
	}
	return x, prune(ctx, t, x)
}

// complete reports whether all files that an index names are there: another backup to
// the same target that ended meanwhile has removed what it does not need itself.
func complete(ctx context.Context, t Target, index []byte) error {
	var x Index
	if err := json.Unmarshal(index, &x); err != nil {
		return fmt.Errorf("%s: %w: %w", IndexName, ErrDamaged, err)
	}
	have, err := t.List(ctx, "")
	if err != nil {
		return err
	}
	for _, f := range x.Files {
		if size, ok := have[f.Name]; !ok || size != f.Bytes {
			return fmt.Errorf("%s is gone: is another backup being made to the same target?", f.Name)
		}
	}
	return nil
}

// prune removes files of earlier backups.
func prune(ctx context.Context, t Target, x *Index) error {
	needed := map[string]bool{}
	for _, f := range x.Files {
		needed[f.Name] = true
	}
	for _, prefix := range []string{"logs/", CheckpointPrefix} {
		list, err := t.List(ctx, prefix)
		if err != nil {
			return fmt.Errorf("tidy up after backup: %w", err)
		}
		for name := range list {
			if !needed[name] {
				if err := t.Delete(ctx, name); err != nil {
					return fmt.Errorf("tidy up after backup: %w", err)
				}
			}
		}
	}
	return nil
}
