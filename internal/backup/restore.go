package backup

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/fabric"
)

// Restore makes a data directory of a backup. The directory is new or empty. All that
// is read is checked, and so is the chain of hashes of each log. If it fails, the
// directory is removed again.
func Restore(ctx context.Context, t Target, dataDir string, tell func(what string)) (x *Index, err error) {
	if x, err = ReadIndex(ctx, t); err != nil {
		return nil, err
	}
	if list, err := os.ReadDir(dataDir); err == nil && len(list) > 0 {
		return nil, fmt.Errorf("restore backup: %s is not empty", dataDir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("restore backup: %w", err)
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("restore backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("restore backup: %w", err), os.RemoveAll(dataDir))
		}
	}()
	if err := x.restoreCheckpoint(ctx, t, dataDir, tell); err != nil {
		return nil, err
	}
	f, err := fabric.Start(ctx, fabric.Config{Dir: dataDir})
	if err != nil {
		return nil, err
	}
	for _, l := range x.Logs {
		tell(fmt.Sprintf("log %s, records %d to %d", l.Name, l.First, l.Last))
		if err := x.restoreLog(ctx, t, f, l); err != nil {
			return nil, errors.Join(fmt.Errorf("log %s: %w", l.Name, err), f.Close(context.WithoutCancel(ctx)))
		}
	}
	return x, f.Close(context.WithoutCancel(ctx))
}

// restoreCheckpoint copies the files of the checkpoint and verifies it.
func (x *Index) restoreCheckpoint(ctx context.Context, t Target, dataDir string, tell func(string)) error {
	dir := CheckpointDir(dataDir, x.Pipeline)
	to := Dir(dir)
	for _, f := range x.Files {
		name, ok := strings.CutPrefix(f.Name, CheckpointPrefix)
		if !ok {
			continue
		}
		tell(fmt.Sprintf("checkpoint of step %d, %s, %d bytes", x.Step, path.Base(name), f.Bytes))
		r, err := x.file(ctx, t, f.Name)
		if err != nil {
			return err
		}
		err = to.Put(ctx, name, r, f.Bytes)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	want := filepath.Base(filepath.FromSlash(x.Manifest))
	return withStore(dir, func(s *ckpt.Store) error {
		list, err := s.Manifests()
		if err != nil {
			return err
		}
		for _, e := range list {
			if path.Base(e.Name) != want {
				continue
			}
			if e.Err != nil {
				return e.Err
			}
			return s.Verify(ctx, *e.Manifest, nil)
		}
		return fmt.Errorf("%w: the manifest %s is not there", ErrDamaged, want)
	})
}

// restoreLog makes a log of the backup's records, at the positions they had.
func (x *Index) restoreLog(ctx context.Context, t Target, f *fabric.Fabric, l LogSpan) error {
	log, err := f.OpenLog(ctx, l.Name, fabric.LogConfig{FirstSeq: l.First})
	if err != nil {
		return err
	}
	c := Checked{What: logKind(l.Name), Name: l.Name, First: l.First, Last: l.Last}
	walk := &walker{v: &verifier{said: map[string]map[ckpt.Hash]bool{}}, c: &c, next: l.First, pipeline: x.Pipeline}
	var recs [][]byte
	size := 0
	flush := func() error {
		if len(recs) == 0 {
			return nil
		}
		_, err := log.Append(ctx, recs, walk.next-1-uint64(len(recs)))
		recs, size = recs[:0], 0
		return err
	}
	for _, chunk := range l.Chunks {
		err := x.readChunk(ctx, t, chunk, func(r fabric.Record) error {
			if len(recs) == fabric.MaxBatchRecords || size+len(r.Data) > fabric.MaxBatchBytes {
				if err := flush(); err != nil {
					return err
				}
			}
			if err := walk.record(r); err != nil {
				return err
			}
			recs, size = append(recs, r.Data), size+len(r.Data)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if walk.next != l.Last+1 {
		return fmt.Errorf("%w: it ends before record %d, the last is %d", ErrDamaged, walk.next, l.Last)
	}
	return nil
}

// readChunk hands out the records of a file.
func (x *Index) readChunk(ctx context.Context, t Target, name string, fn func(fabric.Record) error) error {
	f, err := x.file(ctx, t, name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		var head [recordHead]byte
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		n := binary.LittleEndian.Uint32(head[8:])
		if n > fabric.MaxRecordBytes {
			return fmt.Errorf("%w: %s has a record of %d bytes", ErrDamaged, name, n)
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := fn(fabric.Record{Seq: binary.LittleEndian.Uint64(head[:]), Data: data}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

// VerifyBackup reads all of a backup and checks it as Verify does a data directory.
func VerifyBackup(ctx context.Context, t Target, tell func(Checked)) error {
	x, err := ReadIndex(ctx, t)
	if err != nil {
		return err
	}
	v := &verifier{tell: tell, said: map[string]map[ckpt.Hash]bool{}}
	for _, l := range x.Logs {
		if err := v.log(ctx, chunkRecords{x, t, l}, l.Name); err != nil {
			return err
		}
	}
	for _, f := range x.Files {
		if !strings.HasPrefix(f.Name, CheckpointPrefix) {
			continue
		}
		c := Checked{What: "file", Name: strings.TrimPrefix(f.Name, CheckpointPrefix), First: x.Step, Last: x.Step}
		r, err := x.file(ctx, t, f.Name)
		if err == nil {
			c.Bytes, err = io.Copy(io.Discard, r)
			err = errors.Join(err, r.Close())
		}
		c.Err = err
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v.report(c)
	}
	if v.bad > 0 {
		return fmt.Errorf("verify backup: %w: %d of %d things that were read", ErrDamaged, v.bad, v.all)
	}
	return nil
}

// chunkRecords is a log of a backup.
type chunkRecords struct {
	x *Index
	t Target
	l LogSpan
}

func (r chunkRecords) bounds(context.Context) (first, last uint64, err error) {
	return r.l.First, r.l.Last, nil
}

func (r chunkRecords) read(ctx context.Context, _ uint64, fn func(fabric.Record) error) error {
	for _, chunk := range r.l.Chunks {
		if err := r.x.readChunk(ctx, r.t, chunk, fn); err != nil {
			return err
		}
	}
	return nil
}
