package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
	"github.com/tidemill/tidemill/internal/worker"
)

// stagedDDL is a command that is carried out but for making it visible.
type stagedDDL struct {
	cmd    catalog.Command
	now    int64
	next   *catalog.Catalog
	effect catalog.Effect
	made   []made
}

// made is a new relation with its state.
type made struct {
	rel     *relation
	circuit *worker.Circuit // of a materialized view or sink
	filled  worker.Filled   // of that
	source  *source
	on      *relation   // of an index
	event   *tableEvent // of a table with a watermark
}

// stageDDL carries out a command and puts its record together.
func (l *leader) stageDDL(r *request) {
	l.outcomes = map[uint64]answer{}
	refuse := func(err error) {
		l.outcomes[r.id] = answer{err: err}
		l.feed(coord.Staged{Rejected: []uint64{r.id}})
	}
	ctx, end := l.commandContext(r)
	defer end()
	if ctx.Err() != nil { // its client has given up while it waited for its turn
		refuse(canceled(ctx))
		return
	}
	cmd, err := r.plan(l.cat)
	if err != nil {
		refuse(err)
		return
	}
	if r.build == nil {
		b, err := l.beginBuild(r, cmd)
		if err != nil {
			refuse(err)
			return
		}
		if b != nil {
			delete(l.requests, r.id) // the build answers it
			l.staged = nil
			l.feed(coord.Staged{})
			l.e.spawn(b.run)
			return
		}
	}
	d, err := l.carryOutDDL(ctx, r, cmd)
	if err != nil {
		if ctx.Err() != nil {
			err = canceled(ctx) // which knows why
		}
		refuse(err)
		return
	}
	l.outcomes[r.id] = answer{effect: d.effect}
	if d.effect.Skipped {
		l.staged = nil
		l.feed(coord.Staged{})
		return
	}
	body, err := (&wire.DDL{After: l.coord.CommittedStep(), Now: d.now, SQL: cmd.SQL, Command: d.cmd, Engine: l.e.cfg.version, Made: d.digests()}).Encode()
	if err != nil {
		refuse(err)
		return
	}
	l.staged = &staged{ddl: d}
	l.staged.seal(l, wire.KindDDL, l.coord.Epoch(), body)
	l.feed(coord.Staged{Records: 1, Hash: coord.Hash(l.staged.last), Taken: l.droppedUnits(d.effect.Dropped)})
}

// carryOutDDL does what a command says, or installs what was made for it.
func (l *leader) carryOutDDL(ctx context.Context, r *request, cmd catalog.Command) (*stagedDDL, error) {
	now := max(l.now, l.e.micros())
	if r.build != nil {
		return l.finishBuild(r.build, cmd, now)
	}
	if first := l.nextID(); first != l.cat.NextID() {
		cmd.First = first // IDs in between are set aside
	}
	return l.buildDDL(ctx, cmd, now)
}

// digests are those of what was made, by the order of making.
func (d *stagedDDL) digests() (list []wire.Output) {
	for _, m := range d.made {
		if m.circuit != nil {
			list = append(list, wire.Output{View: m.rel.def.ID, Digest: m.filled.Digest})
		}
	}
	return list
}

// compareMade holds what a replayed command made against what the log says.
func (l *leader) compareMade(logged *wire.DDL, built *stagedDDL) error {
	for _, got := range built.digests() {
		i := slices.IndexFunc(logged.Made, func(o wire.Output) bool { return o.View == got.View })
		if i < 0 || logged.Made[i].Digest == got.Digest {
			continue // of an older record, or the same
		}
		err := fmt.Errorf("%s differs from what version %s made (this is %s)", built.next.ByID(got.View).Describe(), logged.Engine, l.e.cfg.version)
		exempt := slices.ContainsFunc(specInputs(l.specOf(built, got.View)), func(id catalog.ID) bool { return l.exempt[id] })
		if logged.Engine == l.e.cfg.version && !exempt {
			return err
		}
		l.exempt[got.View] = true
		l.e.cfg.Logger.Warn("a replayed command differs", "pipeline", l.e.cfg.Name, "err", err)
	}
	return nil
}

func (l *leader) specOf(d *stagedDDL, id catalog.ID) *flow.Spec {
	for _, m := range d.made {
		if m.rel.def.ID == id {
			return m.circuit.Spec()
		}
	}
	return nil
}

// commandContext ends when the command's client gives it up, or the engine stops.
func (l *leader) commandContext(r *request) (context.Context, func()) {
	if r.ctx == nil {
		return l.e.ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	off := context.AfterFunc(l.e.ctx, func() { cancel(errClosed()) })
	return ctx, func() {
		off()
		cancel(nil)
	}
}

// droppedUnits counts what was announced of sources that go.
func (l *leader) droppedUnits(dropped []*catalog.Relation) uint64 {
	n := uint64(0)
	for _, r := range dropped {
		if s := l.e.sourceByID(r.ID); s != nil {
			n += s.announcedUnits()
		}
	}
	return n
}

// buildDDL applies cmd to the catalog and builds the state of what it makes, from
// what its inputs hold now. Nothing is visible yet, and nothing needs to be undone
// if it comes to nothing.
func (l *leader) buildDDL(ctx context.Context, cmd catalog.Command, now int64) (*stagedDDL, error) {
	next, eff, err := l.cat.With(cmd)
	if err != nil {
		return nil, err
	}
	d := &stagedDDL{cmd: cmd, now: now, next: next, effect: eff}
	for _, id := range eff.Created {
		def := next.ByID(id)
		if def == nil || l.skip[id] {
			continue
		}
		m, err := l.makeRelation(ctx, def, d)
		if err != nil {
			for _, m := range d.made {
				m.rel.release()
			}
			return nil, err
		}
		if m.rel != nil {
			d.made = append(d.made, m)
		}
	}
	return d, nil
}

func (l *leader) makeRelation(ctx context.Context, def *catalog.Relation, d *stagedDDL) (made, error) {
	m := made{rel: &relation{def: def}}
	switch def.Kind {
	case catalog.Table:
		m.rel.spine = l.newSpine(def, def.Types())
		m.rel.ring = l.newRing(def, l.coord.CommittedStep())
		ev, err := newTableEvent(def)
		if err != nil {
			return made{}, err
		}
		m.event = ev
	case catalog.Source:
		s, err := l.e.newSource(ctx, def, d.now)
		if err != nil {
			return made{}, err
		}
		m.source = s
		m.rel.ring = l.newRing(def, l.coord.CommittedStep())
	case catalog.Index:
		return l.makeIndex(ctx, def, d)
	case catalog.MaterializedView, catalog.Sink:
		return l.makeView(ctx, def, d)
	default: // a view is a query in the catalog
		return made{}, nil
	}
	return m, nil
}

// makeIndex orders the rows of its relation anew.
func (l *leader) makeIndex(ctx context.Context, def *catalog.Relation, d *stagedDDL) (made, error) {
	on := l.rels[def.Index.On]
	for _, m := range d.made {
		if m.rel.def.ID == def.Index.On {
			on = m.rel
		}
	}
	if def.Index.Primary {
		return made{}, nil // the table itself is in that order
	}
	if on == nil || on.spine == nil {
		return made{}, &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("relation %d does not exist", def.Index.On)}
	}
	x := &relation{def: def, spine: l.newSpine(def, on.def.Types())}
	err := on.spine.Snapshot().Blocks(func(b *batch.Batch) error {
		x.spine.Append(b)
		return ctx.Err()
	})
	if err != nil {
		x.release()
	}
	return made{rel: x, on: on}, err
}

// makeView builds a view's circuit and runs it over what its inputs hold.
func (l *leader) makeView(ctx context.Context, def *catalog.Relation, d *stagedDDL) (made, error) {
	spec, err := l.planView(def, d.next)
	if err != nil {
		return made{}, err
	}
	c, err := l.work.Build(def.Key(), spec, flow.Options{})
	if err != nil {
		return made{}, err
	}
	room, err := l.room(def)
	if err != nil {
		return made{}, err
	}
	c.Bound(room, func() bool { return ctx.Err() != nil })
	step := l.coord.CommittedStep()
	rows := l.newContent(def)
	m := made{rel: &relation{def: def}, circuit: c}
	m.filled, err = c.Fill(step, d.now, l.contents(ctx, c), rows.add)
	if err != nil {
		rows.close()
		return made{}, fillError(def, err, l.work.TotalBytes(), l.e.cfg.MemoryBytes)
	}
	if err := rows.give(l, m.rel, step); err != nil {
		c.Close()
		return made{}, err
	}
	return m, nil
}

// contents feeds a circuit what its inputs hold.
func (l *leader) contents(ctx context.Context, c *worker.Circuit) func(push func(string, *batch.Batch) error) error {
	return func(push func(string, *batch.Batch) error) error {
		for _, key := range c.Inputs() {
			id, _ := catalog.ParseKey(key)
			err := l.content(ctx, id, func(b *batch.Batch) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return push(key, b)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// planView gives the circuit of a view or sink.
func (l *leader) planView(def *catalog.Relation, cat *catalog.Catalog) (*flow.Spec, error) {
	p := plan.Planner{Catalog: cat, Session: plan.Session{SearchPath: def.SearchPath, Version: l.e.cfg.version}}
	if read := l.e.cfg.reads; read != nil {
		other := *def
		other.Query = read(def.Query)
		def = &other
	}
	q, err := p.PlanRelation(def)
	if err != nil {
		return nil, err
	}
	for _, in := range q.Inputs {
		if r := cat.ByID(in.ID); r != nil && r.Kind == catalog.Virtual {
			return nil, &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("%s cannot read the system catalog %q", def.Describe(), r.Name)}
		}
	}
	return q.Spec, nil
}

// room is how many bytes a new view may hold: what the views that are there leave of
// the limit. During replay there is none: what is in the log was within it. With a disk
// for what does not fit, only what has to be in memory counts.
func (l *leader) room(def *catalog.Relation) (int64, error) {
	if l.replaying {
		return 0, nil
	}
	if l.e.budget != nil {
		return l.e.cfg.MemoryBytes, nil
	}
	held := l.work.TotalBytes()
	room := l.e.cfg.MemoryBytes - held
	if room <= 0 {
		return 0, &types.Error{Code: types.CodeOutOfMemory, Message: fmt.Sprintf("out of memory: no room for %s", def.Describe()),
			Detail: fmt.Sprintf("The views hold %d bytes of at most %d.", held, l.e.cfg.MemoryBytes)}
	}
	return room, nil
}

// fillError tells that a view could not be filled, where others hold so many bytes of at
// most limit.
func fillError(def *catalog.Relation, err error, held, limit int64) error {
	var te *types.Error
	if errors.Is(err, ckpt.ErrNoSpace) || errors.Is(err, ckpt.ErrScratchFull) {
		return &types.Error{Code: types.CodeDiskFull, Message: fmt.Sprintf("%s was not made: its state does not fit into memory, and there is no room for it on the disk", def.Describe()),
			Detail: err.Error()}
	}
	if !errors.As(err, &te) || te.Code != types.CodeOutOfMemory {
		return err
	}
	out := *te
	out.Detail = fmt.Sprintf("%s The views that are there hold %d bytes of at most %d.", te.Detail, held, limit)
	out.Hint = fmt.Sprintf("%s was not made. Look at EXPLAIN for joins without a condition.", def.Describe())
	return &out
}

// content hands out what a relation holds at the last committed step.
func (l *leader) content(ctx context.Context, id catalog.ID, fn func(*batch.Batch) error) error {
	if s := l.e.sourceByID(id); s != nil {
		last, _ := l.coord.Last()
		l.historyRead[id] = last + 1 // the record of the command that reads it
		return s.history(ctx, l.positions[id], l.skipped.out(id), fn)
	}
	r := l.rels[id]
	if r == nil || r.spine == nil {
		return &types.Error{Code: types.CodeInternal, Message: fmt.Sprintf("relation %d has no content", id)}
	}
	return r.spine.Snapshot().Merged(fn)
}

// installDDL makes a committed command the current state. live says that this node
// leads, so that sources and sinks may run.
func (l *leader) installDDL(ctx context.Context, d *stagedDDL, live bool) {
	l.cat = d.next
	changed := map[catalog.ID]bool{}
	for _, r := range d.effect.Dropped {
		l.remove(ctx, r, live)
		changed[r.ID] = true
	}
	for _, m := range d.made {
		id := m.rel.def.ID
		changed[id] = true
		if m.on != nil {
			m.on.indexes = append(m.on.indexes, m.rel)
			changed[m.on.def.ID] = true
		}
		l.rels[id] = m.rel
		if m.circuit != nil {
			l.work.Add(m.circuit)
			l.e.errors.add(l.coord.CommittedStep(), m.rel.def.Name, m.filled.Errors)
		}
		if m.event != nil {
			l.events[id] = m.event
		}
		if m.source != nil {
			l.positions[id] = m.source.first()
			l.e.addSource(m.source, live)
		}
		if m.rel.def.Kind == catalog.Sink && live {
			l.e.startSink(m.rel)
		}
	}
	// Comments and replaced views change definitions in place.
	for id, r := range l.rels {
		if def := l.cat.ByID(id); def != nil {
			r.def = def
			if s := l.e.sourceByID(id); s != nil {
				s.noteRetention(def)
			}
		}
	}
	l.noteRings()
	l.noteTicks()
	l.hashCircuits()
	l.refresh(changed)
}

// noteRings makes the list of rings that snapshots share.
func (l *leader) noteRings() {
	l.rings = map[catalog.ID]*ring{}
	for id, r := range l.rels {
		if r.ring != nil {
			l.rings[id] = r.ring
		}
	}
}

// remove frees what a dropped relation held.
func (l *leader) remove(ctx context.Context, def *catalog.Relation, live bool) {
	switch def.Kind {
	case catalog.MaterializedView, catalog.Sink:
		l.work.Remove(def.Key())
	case catalog.Index:
		if on := l.rels[def.Index.On]; on != nil {
			on.indexes = slices.DeleteFunc(on.indexes, func(x *relation) bool { return x.def.ID == def.ID })
		}
	case catalog.Table:
		delete(l.events, def.ID)
		l.work.Remove(def.Key()) // its marks
	case catalog.Source:
		l.work.Remove(def.Key())
		delete(l.positions, def.ID)
		delete(l.historyRead, def.ID)
		l.skipped = l.skipped.withoutSource(def.ID)
		l.e.dropSource(ctx, def.ID, live)
	}
	if def.Kind == catalog.Sink {
		l.e.dropSink(ctx, def.ID, live)
	}
	if r := l.rels[def.ID]; r != nil {
		r.release()
	}
	delete(l.rels, def.ID)
	delete(l.stale, def.ID)
	delete(l.frozen, def.ID)
}
