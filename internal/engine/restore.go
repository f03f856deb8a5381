package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
	"github.com/tidemill/tidemill/internal/worker"
)

// logTail is what a first look at the log tells of its records from one on.
type logTail struct {
	from     uint64
	commands []loggedCommand
	ckpts    map[ckpt.Hash]uint64 // manifests that the log names: the record that does
	last     uint64
}

// loggedCommand is a DDL record.
type loggedCommand struct {
	seq uint64
	ddl *wire.DDL
}

// recover brings up a leader from the newest checkpoint that can be used, or from the
// start of the log.
func (e *Engine) recover(ctx context.Context) error {
	first, last, err := e.log.Bounds(ctx)
	if err != nil {
		return err
	}
	e.recovery.begin(last)
	entries, err := e.manifests()
	if err != nil {
		return err
	}
	var tail *logTail
	if from, ok := oldestNeeded(entries, first); ok {
		if tail, err = e.readTail(ctx, from); err != nil {
			return err
		}
	}
	var failed error // of the newest that could not be used
	damaged := map[ckpt.Hash]error{}
	for i, c := range entries {
		err := e.recoverThawed(ctx, c, tail, first)
		if err == nil {
			e.lead.keepOlder(entries[i+1:], tail)
			return nil
		}
		if !older(ctx, err) {
			return err
		}
		e.cfg.Logger.Error("a checkpoint cannot be used", "pipeline", e.cfg.Name, "step", c.Step, "manifest", c.Name, "err", err)
		if failed == nil {
			failed = fmt.Errorf("checkpoint of step %d: %w", c.Step, err)
		}
		damaged[c.Hash] = err
		e.forget()
	}
	if first > 1 {
		if done, err := e.recoverAnew(ctx, entries, damaged, tail, first); done || err != nil {
			return err
		}
		return noWayBack(first, failed)
	}
	if failed != nil {
		e.cfg.Logger.Warn("no checkpoint can be used: everything is computed from the log again", "pipeline", e.cfg.Name)
	}
	if tail == nil || tail.from > 1 {
		if tail, err = e.readTail(ctx, 1); err != nil {
			return err
		}
	}
	e.newLeader(e.cfg.Workers)
	e.lead.ckpt.changed = true
	return e.lead.replayAll(ctx, tail)
}

// replayAll is replay, of which state that cannot be read back is an error.
func (l *leader) replayAll(ctx context.Context, tail *logTail) (failed error) {
	defer func() {
		if v := recover(); v != nil {
			failed = faultOf(v)
		}
	}()
	return l.replay(ctx, tail)
}

// noWayBack is the error if nothing that is kept is enough to go on.
func noWayBack(first uint64, failed error) error {
	te := &types.Error{Code: "58P01", Message: fmt.Sprintf("the log begins at record %d, and there is no checkpoint to go on from", first),
		Hint: "Restore a backup of the data directory, or bring its directory checkpoints back."}
	if failed != nil {
		te.Detail = fmt.Sprintf("The newest that is there cannot be used: %v", failed)
	}
	return &shown{te, ErrNeedsCheckpoint}
}

// manifests lists the checkpoints that are there, newest first.
func (e *Engine) manifests() ([]ckpt.Entry, error) {
	if e.store == nil {
		return nil, nil
	}
	return e.store.Manifests()
}

// oldestNeeded is the first record that the checkpoints need of the log, false if there
// is none that could be used.
func oldestNeeded(entries []ckpt.Entry, first uint64) (from uint64, ok bool) {
	for _, c := range entries {
		if c.Manifest != nil && c.Manifest.LogSeq+1 >= first && (!ok || c.Manifest.LogSeq+1 < from) {
			from, ok = c.Manifest.LogSeq+1, true
		}
	}
	return from, ok
}

// readTail looks at the records from one on, for what they say of others.
func (e *Engine) readTail(ctx context.Context, from uint64) (*logTail, error) {
	t := &logTail{from: from, ckpts: map[ckpt.Hash]uint64{}}
	e.recovery.phase(phaseScan)
	err := e.log.Read(ctx, from, func(r fabric.Record) error {
		if t.last == 0 && r.Seq > from {
			return noWayBack(r.Seq, nil) // another node has trimmed it meanwhile
		}
		h, body, _, err := wire.Open(r.Data)
		if err != nil {
			return fmt.Errorf("log record %d: %w", r.Seq, err)
		}
		t.last = r.Seq
		switch h.Kind {
		case wire.KindDDL:
			d, err := wire.DecodeDDL(body)
			if err != nil {
				return fmt.Errorf("log record %d: %w", r.Seq, err)
			}
			t.commands = append(t.commands, loggedCommand{r.Seq, d})
		case wire.KindCkpt:
			c, err := wire.DecodeCheckpoint(body)
			if err != nil {
				return fmt.Errorf("log record %d: %w", r.Seq, err)
			}
			t.ckpts[ckpt.Hash(c.Manifest)] = r.Seq
		}
		return nil
	})
	return t, err
}

// usable says why a checkpoint is not one, nil if the log says that it is.
func usable(c ckpt.Entry, pipeline string, tail *logTail, first uint64) error {
	switch m := c.Manifest; {
	case m == nil:
		return c.Err
	case m.Pipeline != pipeline:
		return fmt.Errorf("it is of pipeline %q", m.Pipeline)
	case m.LogSeq+1 < first:
		return fmt.Errorf("it needs the log from record %d, which begins at %d", m.LogSeq+1, first)
	case m.Standby:
		return nil // what proves it is read when it is used
	case tail == nil || tail.ckpts[c.Hash] <= m.LogSeq:
		return errNotComplete
	}
	return nil
}

// errNotComplete says that a checkpoint's record is not in the log: it was not complete
// when the node stopped.
var errNotComplete = errors.New("the log does not name it")

// recoverThawed is recoverFrom, again without freezing what was changed behind the
// checkpoint.
func (e *Engine) recoverThawed(ctx context.Context, c ckpt.Entry, tail *logTail, first uint64) error {
	e.thawed = map[catalog.ID]bool{}
	for n := 1; ; n++ {
		err := e.recoverFrom(ctx, c, tail, first)
		var thaw *thawError
		if !errors.As(err, &thaw) || n == maxThaws || ctx.Err() != nil {
			return err
		}
		e.thawed[thaw.view] = true
		e.forget()
	}
}

// recoverFrom brings up a leader from one checkpoint.
func (e *Engine) recoverFrom(ctx context.Context, c ckpt.Entry, tail *logTail, first uint64) (failed error) {
	if err := usable(c, e.cfg.Name, tail, first); err != nil {
		return err
	}
	m, err := e.store.OpenManifest(c.Hash)
	if err != nil {
		return err
	}
	if m.Standby {
		if err := e.proved(ctx, &m, first); err != nil {
			return err
		}
	}
	e.recovery.checkpoint(m.Step, m.LogSeq)
	e.newLeader(m.Lanes)
	l := e.lead
	defer func() {
		if v := recover(); v != nil {
			failed = faultOf(v)
		}
	}()
	if err := l.restore(ctx, m, tail); err != nil {
		return err
	}
	l.ckpt.kept = []keptCheckpoint{keep(c.Hash, &m)}
	return l.replay(ctx, tail)
}

// keepOlder notes the next older checkpoint that the log names, which is kept too.
func (l *leader) keepOlder(entries []ckpt.Entry, tail *logTail) {
	if tail == nil {
		return
	}
	for _, c := range entries {
		if usable(c, l.e.cfg.Name, tail, tail.from) != nil || len(l.ckpt.kept) >= keptCheckpoints {
			continue
		}
		l.ckpt.kept = append(l.ckpt.kept, keep(c.Hash, c.Manifest))
	}
	l.noteKept()
}

// older reports whether after err an older checkpoint is worth a try.
func older(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !notWritten(err) && !errors.Is(err, ckpt.ErrNoSpace) && !errors.Is(err, fabric.ErrClosed) && !errors.Is(err, fabric.ErrUnavailable) && !errors.Is(err, errFenced)
}

// forget drops what a leader that did not come up has begun.
func (e *Engine) forget() {
	if l := e.lead; l != nil {
		l.work.Close()
		l.cache.Close()
		l.wake.Stop()
	}
	e.lead = nil
	e.mu.Lock()
	list := e.sources
	e.sources = map[catalog.ID]*source{}
	e.mu.Unlock()
	for _, s := range list {
		if s.replay != nil {
			s.replay.Stop()
		}
	}
	e.errors.reset(nil, 0)
}

// restore makes the state what it was at the checkpoint.
func (l *leader) restore(ctx context.Context, m ckpt.Manifest, tail *logTail) error {
	l.e.recovery.phase(phaseRestore)
	redo, err := l.e.damagedCircuits(m.Step)
	if err != nil {
		return err
	}
	r := restorer{l: l, m: m, rebuilt: map[catalog.ID]bool{}, redo: redo}
	cat, err := r.image(objectCatalog)
	if err != nil {
		return err
	}
	if l.cat, err = catalog.Decode(cat, l.e.virtuals()); err != nil {
		return fmt.Errorf("%w: %w", state.ErrDamaged, err)
	}
	head, err := r.image(objectEngine)
	if err != nil {
		return err
	}
	if l.head, err = decodeHead(head); err != nil {
		return fmt.Errorf("%w: %w", state.ErrDamaged, err)
	}
	if err := l.findDropped(tail, m.LogSeq); err != nil {
		return err
	}
	l.now = l.head.Now
	l.feed(coord.Restored{Seq: m.LogSeq, Hash: coord.Hash(m.LogHash), Epoch: m.Epoch, Step: m.Step})
	l.from = m.LogSeq + 1
	marks, err := r.image(objectMarks)
	if err != nil {
		return err
	}
	if err := l.work.RestoreMarks(marks); err != nil {
		return err
	}
	for _, def := range l.cat.Relations() {
		if l.skip[def.ID] {
			continue
		}
		if err := r.relation(ctx, def); err != nil {
			return fmt.Errorf("%s: %w", def.Describe(), err)
		}
	}
	l.skipped = l.head.Skipped
	l.e.errors.reset(l.head.Errors, l.head.ErrorsN)
	return nil
}

// restorer makes relations of a checkpoint's objects.
type restorer struct {
	l       *leader
	m       ckpt.Manifest
	rebuilt map[catalog.ID]bool // views that were filled anew
	redo    map[string]bool     // circuits whose state is damaged
}

// image reads the image of an object.
func (r *restorer) image(name string) ([]byte, error) {
	o, ok := r.m.Objects[name]
	if !ok {
		return nil, fmt.Errorf("%w: the checkpoint has no object %s", state.ErrDamaged, name)
	}
	data, err := r.l.e.store.Read(o.Image, imageOwner(name), nil)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", name, err)
	}
	return data, nil
}

// relation restores one relation and all that is kept of it.
func (r *restorer) relation(ctx context.Context, def *catalog.Relation) error {
	l := r.l
	rel := &relation{def: def}
	var err error
	switch def.Kind {
	case catalog.Table:
		err = r.table(rel)
	case catalog.Source:
		err = r.source(ctx, rel)
	case catalog.MaterializedView, catalog.Sink:
		err = r.view(ctx, rel)
	case catalog.Index:
		if def.Index.Primary {
			return nil
		}
		on := l.rels[def.Index.On]
		if on == nil {
			return fmt.Errorf("%w: relation %d is not there", state.ErrDamaged, def.Index.On)
		}
		on.indexes = append(on.indexes, rel)
		if r.rebuilt[on.def.ID] {
			rel.spine = l.newSpine(def, on.def.Types())
			err = on.spine.Snapshot().Blocks(func(b *batch.Batch) error {
				rel.spine.AppendSealed(b)
				return ctx.Err()
			})
		} else {
			rel.spine, err = r.rows(def, on.def.Types())
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	l.rels[def.ID] = rel
	return nil
}

func (r *restorer) table(rel *relation) (err error) {
	def := rel.def
	if rel.spine, err = r.rows(def, def.Types()); err != nil {
		return err
	}
	if rel.ring, err = r.recent(def); err != nil {
		return err
	}
	ev, err := newTableEvent(def)
	if err != nil || ev == nil {
		return err
	}
	h, ok := r.l.head.Tables[def.ID]
	if !ok {
		return fmt.Errorf("%w: its event time is not there", state.ErrDamaged)
	}
	ev.state.mark, ev.state.late = h.Mark, h.Late
	r.l.events[def.ID] = ev
	return nil
}

func (r *restorer) source(ctx context.Context, rel *relation) error {
	h, ok := r.l.head.Sources[rel.def.ID]
	if !ok {
		return fmt.Errorf("%w: its position is not there", state.ErrDamaged)
	}
	s, err := r.l.e.newSource(ctx, rel.def, h.Start)
	if err != nil {
		return err
	}
	data, err := r.image(objectName(kindSource, rel.def.ID))
	if err != nil {
		return err
	}
	next, err := s.restore(data)
	if err != nil {
		return err
	}
	if next != h.Position {
		return fmt.Errorf("%w: its state ends before position %d, and steps took up to %d", state.ErrDamaged, next, h.Position)
	}
	if marks := r.l.work.Marks(rel.def.Key()); marks != nil {
		for _, c := range s.rules.proc {
			s.proc = max(s.proc, marks[c]) // what was promised of rows to come, besides those that came
		}
	}
	if h.Trims {
		s.trims.Store(true)
	}
	r.l.positions[rel.def.ID] = next
	if h.Read > 0 {
		r.l.historyRead[rel.def.ID] = h.Read
	}
	r.l.e.addSource(s, false)
	rel.ring, err = r.recent(rel.def)
	return err
}

func (r *restorer) view(ctx context.Context, rel *relation) (err error) {
	def, l := rel.def, r.l
	if def.Kind == catalog.MaterializedView {
		if rel.spine, err = r.rows(def, def.Types()); err != nil {
			return err
		}
	}
	if rel.ring, err = r.recent(def); err != nil {
		return err
	}
	spec, why := l.planView(def, l.cat)
	if why == nil {
		for _, in := range specInputs(spec) {
			if r.rebuilt[in] {
				why = fmt.Errorf("it reads relation %d, which is", in)
			}
			if l.exempt[in] {
				l.exempt[def.ID] = true
			}
		}
	}
	if why == nil && r.redo[def.Key()] {
		why = errors.New("its state in the checkpoint is damaged")
	}
	if _, ok := r.m.Objects[objectName(kindCircuit, def.ID)]; why == nil && !ok {
		why = errors.New("the checkpoint has no state of it")
	}
	if why != nil {
		if r.freeze(ctx, rel, spec, why) {
			return nil
		}
		return r.rebuild(ctx, rel, spec, why)
	}
	image, err := r.image(objectName(kindCircuit, def.ID))
	if err != nil {
		return err
	}
	err = l.work.Restore(def.Key(), spec, flow.Options{}, image)
	if errors.Is(err, worker.ErrOtherSpec) && r.freeze(ctx, rel, spec, err) {
		return nil
	}
	if errors.Is(err, worker.ErrOtherSpec) {
		return r.rebuild(ctx, rel, spec, err)
	}
	return err
}

// specInputs lists the relations that a circuit reads.
func specInputs(spec *flow.Spec) []catalog.ID {
	var out []catalog.ID
	for i := range spec.Nodes {
		if in, ok := spec.Nodes[i].Op.(*flow.Input); ok {
			id, _ := catalog.ParseKey(in.Rel)
			out = append(out, id)
		}
	}
	return out
}
