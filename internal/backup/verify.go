// Package backup looks after data that no node is using: it verifies a data directory
// or a backup, copies the state of a running node at one step to a directory or an
// object store, and makes a data directory of such a copy.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/wire"
)

// Checked is what became of one thing that was verified.
type Checked struct {
	What        string // "log", "source", "sink", "checkpoint"
	Name        string
	First, Last uint64 // positions; of a checkpoint both are its step
	Records     uint64
	Bytes       int64
	Err         error  // the first thing that is wrong; nil: nothing is
	Note        string // what else there is to say
}

// ErrDamaged is returned by Verify when something is not as it was written.
var ErrDamaged = errors.New("damaged")

// CheckpointDir is where a data directory has the checkpoints of a pipeline.
func CheckpointDir(dataDir, pipeline string) string {
	return filepath.Join(dataDir, "checkpoints", pipeline)
}

// Verify reads everything that a data directory keeps, which no node has open, and
// checks every checksum, that positions run on without holes, and the chain of hashes of
// each log. tell is called for each thing when it has been read. The error is
// ErrDamaged if anything was wrong.
func Verify(ctx context.Context, dataDir string, tell func(Checked)) error {
	if _, err := os.Stat(filepath.Join(dataDir, "jetstream")); err != nil {
		return fmt.Errorf("verify %s: it is no data directory: %w", dataDir, err)
	}
	f, err := fabric.Start(ctx, fabric.Config{Dir: dataDir})
	if err != nil {
		return fmt.Errorf("verify %s: %w", dataDir, err)
	}
	defer f.Close(context.WithoutCancel(ctx))
	names, err := f.LogNames(ctx)
	if err != nil {
		return fmt.Errorf("verify %s: %w", dataDir, err)
	}
	v := &verifier{tell: tell, anchors: map[string][]anchor{}, said: map[string]map[ckpt.Hash]bool{}}
	for _, name := range names {
		if pipeline, ok := strings.CutPrefix(name, "LOG_"); ok {
			v.findAnchors(CheckpointDir(dataDir, pipeline), pipeline)
		}
	}
	for _, name := range names {
		log, err := f.OpenLog(ctx, name, fabric.LogConfig{})
		if err == nil {
			err = v.log(ctx, fabricRecords{log}, name)
		}
		if err != nil {
			return fmt.Errorf("verify %s: %w", dataDir, err)
		}
	}
	for _, name := range names {
		if pipeline, ok := strings.CutPrefix(name, "LOG_"); ok {
			if err := v.checkpoints(ctx, CheckpointDir(dataDir, pipeline), pipeline); err != nil {
				return fmt.Errorf("verify %s: %w", dataDir, err)
			}
		}
	}
	if v.bad > 0 {
		return fmt.Errorf("verify %s: %w: %d of %d things that were read", dataDir, ErrDamaged, v.bad, v.all)
	}
	return nil
}

// records is a log to be read.
type records interface {
	bounds(ctx context.Context) (first, last uint64, err error)
	read(ctx context.Context, from uint64, fn func(fabric.Record) error) error
}

type fabricRecords struct{ log *fabric.Log }

func (r fabricRecords) bounds(ctx context.Context) (first, last uint64, err error) {
	return r.log.Bounds(ctx)
}

func (r fabricRecords) read(ctx context.Context, from uint64, fn func(fabric.Record) error) error {
	return r.log.Read(ctx, from, fn)
}

// anchor is a hash that a log must have at a position, because a checkpoint says so.
type anchor struct {
	seq  uint64
	hash wire.Hash
	step uint64
}

type verifier struct {
	tell     func(Checked)
	anchors  map[string][]anchor           // by log
	said     map[string]map[ckpt.Hash]bool // manifests that CKPT records name, by pipeline
	all, bad int
}

func (v *verifier) report(c Checked) {
	v.all++
	if c.Err != nil {
		v.bad++
	}
	v.tell(c)
}

// findAnchors notes where checkpoints hold the log to a hash.
func (v *verifier) findAnchors(dir, pipeline string) {
	_ = withStore(dir, func(s *ckpt.Store) error {
		list, err := s.Manifests()
		for _, e := range list {
			if m := e.Manifest; m != nil {
				v.anchors["LOG_"+pipeline] = append(v.anchors["LOG_"+pipeline], anchor{m.LogSeq, wire.Hash(m.LogHash), m.Step})
			}
		}
		return err
	}) // what is wrong with it comes out later
}

// withStore opens the checkpoints in dir, if there are any.
func withStore(dir string, fn func(*ckpt.Store) error) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	files, err := ckpt.NewOSFS(dir)
	if err != nil {
		return err
	}
	defer files.Close()
	s, err := ckpt.Open(files, ckpt.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	return fn(s)
}

// log reads a log from its first record to its last.
func (v *verifier) log(ctx context.Context, r records, name string) error {
	c := Checked{What: logKind(name), Name: name}
	first, last, err := r.bounds(ctx)
	if err != nil {
		return err
	}
	c.First, c.Last = first, last
	if last >= first && last > 0 {
		walk := &walker{c: &c, next: first, anchors: v.anchors[name], pipeline: strings.TrimPrefix(name, "LOG_"), v: v}
		c.Err = r.read(ctx, first, walk.record)
		if errors.Is(c.Err, fabric.ErrHole) {
			c.Err = fmt.Errorf("%w: record %d is missing: %w", ErrDamaged, walk.next, c.Err)
		}
		if c.Err == nil && walk.next != last+1 {
			c.Err = fmt.Errorf("%w: record %d is missing, the last one is %d", ErrDamaged, walk.next, last)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if first > 1 && c.Note == "" {
		c.Note = fmt.Sprintf("trimmed below %d", first)
	}
	v.report(c)
	return nil
}

// logKind says what a log of that name is for.
func logKind(name string) string {
	switch {
	case strings.HasPrefix(name, "SRC_"):
		return "source"
	case strings.HasPrefix(name, "SINK_"):
		return "sink"
	}
	return "log"
}

// walker checks the records of a log one after the other.
type walker struct {
	v        *verifier
	c        *Checked
	pipeline string
	next     uint64 // position that comes
	prev     wire.Hash
	step     uint64 // the last one seen; 0: none
	epoch    uint64
	blocks   uint64 // of a source: records before the next block; with known
	known    bool
	anchors  []anchor
}

func (w *walker) record(r fabric.Record) error {
	if r.Seq != w.next {
		return fmt.Errorf("%w: record %d is missing, %d comes", ErrDamaged, w.next, r.Seq)
	}
	if err := w.check(r); err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	w.c.Records++
	w.c.Bytes += int64(len(r.Data))
	w.next++
	return nil
}

func (w *walker) check(r fabric.Record) error {
	if w.c.What == "sink" {
		if len(r.Data) != 8 {
			return fmt.Errorf("%w: a position of %d bytes", ErrDamaged, len(r.Data))
		}
		return nil
	}
	h, body, hash, err := wire.Open(r.Data)
	if err != nil {
		return err
	}
	if r.Seq > w.c.First && h.Prev != w.prev || r.Seq == 1 && h.Prev != (wire.Hash{}) {
		return fmt.Errorf("%w: it does not continue the chain of hashes: it names %x, the record before is %x", ErrDamaged, h.Prev[:8], w.prev[:8])
	}
	w.prev = hash
	for _, a := range w.anchors {
		if a.seq == r.Seq && a.hash != hash {
			return fmt.Errorf("%w: its hash is %x, the checkpoint of step %d says %x", ErrDamaged, hash[:8], a.step, a.hash[:8])
		}
	}
	if (h.Kind == wire.KindSource) != (w.c.What == "source") {
		return fmt.Errorf("%w: a record of kind %v", ErrDamaged, h.Kind)
	}
	if w.c.What == "source" {
		return w.block(body)
	}
	if h.Epoch < w.epoch {
		return fmt.Errorf("%w: epoch %d after %d", ErrDamaged, h.Epoch, w.epoch)
	}
	w.epoch = h.Epoch
	return w.body(h.Kind, body)
}

// block checks that the blocks of a source count on.
func (w *walker) block(body []byte) error {
	b, err := wire.DecodeSource(body)
	if err != nil {
		return err
	}
	if w.known && b.First != w.blocks {
		return fmt.Errorf("%w: its first record is the source's %d-th, the %d-th comes", ErrDamaged, b.First, w.blocks)
	}
	w.blocks, w.known = b.First+b.Count, true
	return nil
}

// body decodes a record of a pipeline's log.
func (w *walker) body(kind wire.Kind, body []byte) error {
	switch kind {
	case wire.KindEpoch:
		_, err := wire.DecodeEpoch(body)
		return err
	case wire.KindTx:
		_, err := wire.DecodeTx(body)
		return err
	case wire.KindDDL:
		_, err := wire.DecodeDDL(body)
		return err
	case wire.KindStep:
		s, err := wire.DecodeStep(body)
		if err == nil && w.step != 0 && s.N != w.step+1 {
			err = fmt.Errorf("%w: step %d after step %d", ErrDamaged, s.N, w.step)
		}
		if err == nil {
			w.step = s.N
		}
		return err
	case wire.KindCkpt:
		c, err := wire.DecodeCheckpoint(body)
		if err == nil {
			if w.v.said[w.pipeline] == nil {
				w.v.said[w.pipeline] = map[ckpt.Hash]bool{}
			}
			w.v.said[w.pipeline][ckpt.Hash(c.Manifest)] = true
		}
		return err
	}
	return fmt.Errorf("%w: a record of kind %v", ErrDamaged, kind)
}

// checkpoints reads the checkpoints of a pipeline.
func (v *verifier) checkpoints(ctx context.Context, dir, pipeline string) error {
	return withStore(dir, func(s *ckpt.Store) error {
		list, err := s.Manifests()
		if err != nil {
			return err
		}
		for _, e := range list {
			c := Checked{What: "checkpoint", Name: pipeline, First: e.Step, Last: e.Step, Err: e.Err}
			if !v.said[pipeline][e.Hash] {
				c.Note = "not in the log: it was never completed"
			}
			if c.Err == nil {
				c.Records = uint64(len(e.Manifest.Objects))
				c.Err = s.Verify(ctx, *e.Manifest, func(done, _ int64) { c.Bytes = done })
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			v.report(c)
		}
		return nil
	})
}
