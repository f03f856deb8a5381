package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// A view whose circuit cannot be restored from a checkpoint, because this version of the
// program plans another one or its state is damaged, keeps its old rows: it is frozen. A
// build fills the new circuit beside the steps, and a step makes it part of the view: what
// takes the old rows to the new ones is the view's change in that step, for all that read it.

// frozenView is what is known of one.
type frozenView struct {
	step     uint64 // that its rows are of
	attempts int    // builds that had to begin again
}

// thawError says that a committed step has changed a view which was frozen when the log was
// read: its rows are not those of now.
type thawError struct {
	view catalog.ID
	step uint64
}

func (e *thawError) Error() string {
	return fmt.Sprintf("relation %d was changed in step %d", e.view, e.step)
}

// maxThaws bounds how often a start begins again because of views that were changed.
const maxThaws = 64

// freeze lets a view keep its rows until it is built beside the steps, and reports whether
// it does.
func (r *restorer) freeze(ctx context.Context, rel *relation, spec *flow.Spec, why error) bool {
	l, def := r.l, rel.def
	if l.e.cfg.Follow || def.Kind != catalog.MaterializedView || spec == nil || spec.OneStep() || l.e.thawed[def.ID] {
		return false
	}
	for _, id := range specInputs(spec) {
		if in := l.rels[id]; r.rebuilt[id] || r.whole(ctx, id) != nil || in == nil || in.ring == nil {
			return false
		}
	}
	step := r.m.Step
	if at, was := l.head.Frozen[def.ID]; was {
		step = at
	}
	if l.frozen == nil {
		l.frozen = map[catalog.ID]*frozenView{}
	}
	l.frozen[def.ID] = &frozenView{step: step}
	l.ckpt.changed = true
	l.e.cfg.Logger.Warn("a view keeps its old rows until it is computed anew", "pipeline", l.e.cfg.Name, "relation", def.Describe(), "step", step, "why", why)
	return true
}

// frozenSteps tells of the frozen views which step their rows are of; nil if there is none.
func (l *leader) frozenSteps() map[catalog.ID]uint64 {
	if len(l.frozen) == 0 {
		return nil
	}
	out := map[catalog.ID]uint64{}
	for id, f := range l.frozen {
		out[id] = f.step
	}
	return out
}

// Frozen tells which step the rows of a view are of, if that is not the snapshot's own: it
// is being computed anew, as this version of the program does.
func (s *Snapshot) Frozen(id catalog.ID) (step uint64, is bool) {
	step, is = s.frozen[id]
	return step, is
}

// Old lists the frozen views among relations and what they are made of, by ID.
func (s *Snapshot) Old(ids []catalog.ID) (out []catalog.ID) {
	if len(s.frozen) == 0 {
		return nil
	}
	seen := map[catalog.ID]bool{}
	for len(ids) > 0 {
		id := ids[0]
		ids = ids[1:]
		if seen[id] {
			continue
		}
		seen[id] = true
		if _, is := s.frozen[id]; is {
			out = append(out, id)
		}
		if def := s.Catalog.ByID(id); def != nil {
			ids = append(slices.Clip(ids), def.DependsOn...)
		}
	}
	slices.Sort(out)
	return out
}

// queryInputs lists the relations that a query reads.
func queryInputs(q *plan.Query) (ids []catalog.ID) {
	for _, in := range q.Inputs {
		ids = append(ids, in.ID)
	}
	return ids
}

// warnOld tells that a query reads rows of an earlier step.
func (s *Session) warnOld(snap *Snapshot, ids []catalog.ID) {
	for _, id := range snap.Old(ids) {
		if s.opt.Notice == nil {
			return
		}
		def := snap.Catalog.ByID(id)
		s.opt.Notice(session.Notice{Severity: "WARNING", Error: types.Error{Code: "01000", Message: fmt.Sprintf("the rows of %s are those of step %d", def.Describe(), snap.frozen[id]),
			Detail: "This version of the program computes it in another way, or what was kept of it is damaged. It is being computed anew; what it reads has gone on meanwhile.",
			Hint:   "SELECT * FROM tidemill.builds tells how far that is."}})
	}
}

// nextRebuild begins to build the next frozen view, one at a time, what is read first.
func (l *leader) nextRebuild() {
	if l.replaying || l.rebuilding != nil || l.coord.Role() != coord.Leading {
		return
	}
	for _, id := range sortedKeys(l.frozen) {
		b, err := l.beginRebuild(id)
		if err != nil {
			l.giveUp(id, err)
			continue
		}
		l.rebuilding = b
		l.e.spawn(b.run)
		return
	}
}

// beginRebuild begins to build one frozen view.
func (l *leader) beginRebuild(id catalog.ID) (*build, error) {
	def := l.cat.ByID(id)
	spec, err := l.planView(def, l.cat)
	if err != nil {
		return nil, err
	}
	b := &build{e: l.e, r: &request{kind: coord.Tx, answer: make(chan answer, 1)}, def: def, old: l.rels[id].spine.Snapshot(), step: l.coord.CommittedStep(),
		now: l.now, held: l.work.TotalBytes(), since: l.e.cfg.Clock(), left: maxTurns}
	for _, in := range specInputs(spec) {
		if !b.reads(l, relKey(in)) {
			return nil, fmt.Errorf("relation %d cannot be read", in)
		}
	}
	b.ctx, b.end = l.commandContext(b.r)
	if err := b.prepare(l, spec); err != nil {
		return nil, err
	}
	b.enter(BuildFill)
	l.e.hold(b)
	return b, nil
}

// giveUp makes a frozen view stale: it keeps its old rows for good.
func (l *leader) giveUp(id catalog.ID, err error) {
	delete(l.frozen, id)
	l.stale[id] = err.Error()
	l.ckpt.changed = true
	l.e.cfg.Logger.Error("a view is stale: it could not be computed anew by this version", "pipeline", l.e.cfg.Name, "relation", id, "err", err)
	l.publishSnapshot()
}

// admitRebuild makes a build that is near part of the step s, whose time is now.
func (l *leader) admitRebuild(b *build, s *staged, now int64) error {
	if l.rebuilding != b {
		return errAgain // it is void already
	}
	id := b.def.ID
	f := l.frozen[id]
	step := l.coord.CommittedStep()
	var err error
	switch {
	case f == nil:
		err = errDropped()
	case b.err != nil:
		err = b.err
	case b.circuit == nil || !b.same(l, l.cat.ByID(id), l.cat):
		err = errAgain
	case b.rowsLeft(step) > maxLeft && b.left > 0:
		return errFar
	default:
		err = b.finish(l, step, now)
	}
	if err == nil {
		s.rebuilt = append(s.rebuilt, id)
		return nil
	}
	l.rebuilding = nil
	if errors.Is(err, errAgain) && f != nil {
		if f.attempts++; f.attempts >= maxBuildAttempts {
			l.giveUp(id, fmt.Errorf("it had to begin again %d times", f.attempts))
		}
	} else if f != nil {
		l.giveUp(id, err)
	}
	l.nextRebuild()
	return err
}

// finish brings the new circuit up to the last committed step and makes it part of the
// next one.
func (b *build) finish(l *leader, step uint64, now int64) error {
	b.setMarks(l.work.Marks)
	if err := b.take(step, now, func(push func(string, *batch.Batch) error) error { return b.changes(step, push) }); err != nil {
		return b.failed(err)
	}
	diff, err := b.rows.sum()
	if err != nil {
		return err
	}
	last, _ := l.coord.Last()
	for _, in := range b.inputs {
		if in.source != nil {
			l.historyRead[in.id] = last + 1 // a replay of this step reads it
		}
	}
	l.work.Insert(b.circuit, diff)
	b.circuit = nil
	return nil
}

// replayRebuilt fills the circuits that a committed step has made anew.
func (l *leader) replayRebuilt(ctx context.Context, rec *wire.Step, s *staged) error {
	for _, o := range rec.Outputs {
		if l.frozen[o.View] != nil && !slices.Contains(rec.Rebuilt, o.View) && !l.skip[o.View] {
			return &thawError{o.View, rec.N}
		}
	}
	for _, id := range rec.Rebuilt {
		if l.frozen[id] == nil || l.skip[id] {
			continue // this program has the circuit already
		}
		def := l.cat.ByID(id)
		spec, err := l.planView(def, l.cat)
		if err != nil {
			return err
		}
		c, err := l.work.Build(def.Key(), spec, flow.Options{Owner: l.owner()})
		if err != nil {
			return err
		}
		c.Bound(0, func() bool { return ctx.Err() != nil })
		rows := l.newContent(def)
		defer rows.close()
		if _, err := c.Fill(rec.N-1, rec.Now, l.contents(ctx, c), rows.add); err != nil {
			return err
		}
		diff, err := rows.less(l.rels[id].spine.Snapshot())
		if err != nil {
			return err
		}
		l.work.Insert(c, diff)
		s.rebuilt = append(s.rebuilt, id)
	}
	return nil
}

// thaw notes the views that have new circuits from a step on.
func (l *leader) thaw(ids []catalog.ID) {
	if len(ids) == 0 {
		return
	}
	for _, id := range ids {
		delete(l.frozen, id)
		l.e.cfg.Logger.Warn("a view was computed anew", "pipeline", l.e.cfg.Name, "relation", l.cat.ByID(id).Describe(), "step", l.coord.CommittedStep())
	}
	l.hashCircuits()
	l.noteTicks()
	l.rebuilding = nil
}
