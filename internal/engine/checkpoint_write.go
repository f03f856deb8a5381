package engine

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/wire"
	"github.com/tidemill/tidemill/internal/worker"
)

// The objects of a checkpoint. Those of a relation are named kind/ID.
const (
	objectCatalog = "catalog" // catalog.Catalog.Encode
	objectEngine  = "engine"  // checkpointHead
	objectMarks   = "marks"   // worker.Saved.Marks
	kindCircuit   = "circuit" // a view's or sink's; its identity is the hash of the circuit
	kindRows      = "rows"    // of a table, view or index
	kindRecent    = "recent"  // changes kept for those who follow
	kindSource    = "source"  // where a source's log stands; its identity is the position
)

func objectName(kind string, id catalog.ID) string { return fmt.Sprintf("%s/%d", kind, id) }

// imageOwner names an object's image among all records.
func imageOwner(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// frozen is a part of the state at a step's boundary; see state.Frozen.
type frozen interface {
	Write(to state.Sink) (image []byte, err error)
	Done(complete bool)
}

// frozenPart is one object of a checkpoint.
type frozenPart struct {
	kind  string
	id    catalog.ID
	state frozen
}

// ckptJob is one checkpoint: frozen by the leader, written by another goroutine.
type ckptJob struct {
	head     ckpt.Manifest
	engine   *checkpointHead
	catalog  *catalog.Catalog
	circuits *worker.Frozen
	specs    map[string]string // by circuit: its hash
	parts    []frozenPart
	sources  map[catalog.ID]*wire.SourceState
	dropped  []state.Loc // blocks that only readers of old snapshots have
	began    time.Time
	pause    time.Duration

	through bool // the leader knows that it is written

	// Set by write.
	hash  ckpt.Hash
	bytes int64
	err   error
}

// done tells the state's owners what became of it. The leader calls it between steps.
func (j *ckptJob) done(complete bool) {
	if j.circuits != nil { // else they are gone
		j.circuits.Done(complete)
	}
	for _, p := range j.parts {
		p.state.Done(complete)
	}
}

// freeze takes the whole state as it is after the last committed step.
func (l *leader) freeze() (*ckptJob, error) {
	last, hash := l.coord.Last()
	j := &ckptJob{catalog: l.cat, specs: map[string]string{}, sources: map[catalog.ID]*wire.SourceState{}, head: ckpt.Manifest{
		Pipeline: l.e.cfg.Name, Step: l.coord.CommittedStep(), Now: l.now + epochMicros, LogSeq: last, LogHash: ckpt.Hash(hash),
		Epoch: l.coord.Epoch(), Engine: l.e.cfg.version, Lanes: l.work.Lanes(), Standby: !l.leading()}}
	j.engine = l.saveHead()
	var err error
	if j.circuits, err = l.work.Freeze(); err != nil {
		return nil, err
	}
	for _, key := range l.work.Keys() {
		h := l.work.Spec(key).Hash()
		j.specs[key] = hex.EncodeToString(h[:])
	}
	for _, id := range sortedKeys(l.rels) {
		r := l.rels[id]
		if r.spine != nil {
			j.parts = append(j.parts, frozenPart{kindRows, id, r.spine.Freeze()})
		}
		if r.ring != nil {
			j.parts = append(j.parts, frozenPart{kindRecent, id, r.ring.changes.Freeze()})
		}
		if s := l.e.sourceByID(id); s != nil {
			j.sources[id] = s.save()
		}
	}
	j.dropped = l.cache.Dropped()
	return j, nil
}

// write writes the checkpoint. It runs beside the leader.
func (j *ckptJob) write(ctx context.Context, store *ckpt.Store) {
	defer func() {
		if v := recover(); v != nil {
			j.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	w, err := store.Begin(j.head)
	if err != nil {
		j.err = err
		return
	}
	defer w.Abort() // does nothing when it is finished
	objects, err := j.writeObjects(&ckptSink{ctx: ctx, Writer: w})
	if err == nil {
		j.bytes = w.BytesWritten()
		var m ckpt.Manifest
		if m, j.hash, err = w.Finish(objects); err == nil {
			j.head = m
		}
	}
	j.err = err
}

func (j *ckptJob) writeObjects(to state.Sink) (map[string]ckpt.Object, error) {
	objects := map[string]ckpt.Object{}
	put := func(name, kind, identity string, image []byte) error {
		at, err := to.Put(state.RecordImage, imageOwner(name), image)
		objects[name] = ckpt.Object{Kind: kind, Identity: identity, Image: at}
		return err
	}
	for _, at := range j.dropped {
		to.Keep(at)
	}
	saved, err := j.circuits.Write(to)
	if err != nil {
		return nil, err
	}
	for _, c := range saved.Circuits {
		if err := put(kindCircuit+"/"+c.Key, kindCircuit, j.specs[c.Key], c.Data); err != nil {
			return nil, err
		}
	}
	for _, p := range j.parts {
		image, err := p.state.Write(to)
		if err == nil {
			err = put(objectName(p.kind, p.id), p.kind, "", image)
		}
		if err != nil {
			return nil, fmt.Errorf("%s of relation %d: %w", p.kind, p.id, err)
		}
	}
	for _, id := range sortedKeys(j.sources) {
		if err := put(objectName(kindSource, id), kindSource, strconv.FormatUint(j.engine.Sources[id].Position, 10), j.sources[id].Encode()); err != nil {
			return nil, err
		}
	}
	cat, err := j.catalog.Encode()
	if err != nil {
		return nil, err
	}
	head, err := j.engine.encode()
	if err != nil {
		return nil, err
	}
	for _, o := range []struct {
		name  string
		image []byte
	}{{objectMarks, saved.Marks}, {objectCatalog, cat}, {objectEngine, head}} {
		if err := put(o.name, o.name, "", o.image); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// ckptSink is a checkpoint's writer that stops when the engine does.
type ckptSink struct {
	*ckpt.Writer
	ctx context.Context
}

// Put implements state.Sink.
func (s *ckptSink) Put(kind state.RecordKind, owner uint64, payload []byte) (state.Loc, error) {
	if err := s.ctx.Err(); err != nil {
		return state.Loc{}, err
	}
	return s.Writer.Put(kind, owner, payload)
}

// pace returns what holds the writer of checkpoints to its share of the disk.
func (e *Engine) pace() func(int) {
	rate := e.cfg.Checkpoint.Rate
	if rate < 0 || e.cfg.Manual != nil {
		return nil
	}
	var free time.Time // when what was written so far is paid for
	return func(n int) {
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if e.quiet.Load() {
			return // nothing else is written any more
		}
		free = free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
		if wait := free.Sub(now); wait > time.Millisecond {
			e.sleep(e.ctx, wait)
		}
	}
}
