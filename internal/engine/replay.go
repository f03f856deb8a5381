package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// sourceWait bounds how long replay waits for a record of a source that a
// committed step names, and which therefore must be there.
const sourceWait = 30 * time.Second

// replay applies the log, from the start or behind a checkpoint, and takes the lead.
func (l *leader) replay(ctx context.Context, tail *logTail) error {
	l.replaying = true
	l.work.Bound(0, func() bool { return ctx.Err() != nil })
	l.coord.Step(coord.Clock{Now: l.e.cfg.Clock().UnixMicro()})
	if l.skip == nil {
		if err := l.findDropped(tail, 0); err != nil {
			return err
		}
	}
	l.noteRings()
	l.noteTicks()
	l.hashCircuits()
	l.refresh(l.everything())
	l.e.recovery.replay(l.from, tail.last)
	err := l.e.log.Read(ctx, l.from, func(r fabric.Record) error {
		if last, _ := l.coord.Last(); r.Seq > last+1 {
			return noWayBack(r.Seq, nil) // another node has trimmed it meanwhile
		}
		return l.replayRecord(ctx, r)
	})
	if err != nil {
		return err
	}
	if l.e.cfg.Follow {
		l.beginStandby()
		return nil
	}
	return l.takeOver(ctx)
}

// takeOver claims the next epoch at the log's end and begins to lead.
func (l *leader) takeOver(ctx context.Context) error {
	l.feed(coord.EndOfLog{})
	for l.coord.Role() != coord.Leading {
		if len(l.queue) == 0 {
			if err := l.pause(ctx); err != nil {
				return err
			}
		}
		l.carryOut()
		if role := l.coord.Role(); role == coord.Fenced || role == coord.Failed {
			return l.notLeading()
		}
		if l.follows != nil && l.follows.overtaken {
			return l.giveWay()
		}
	}
	l.skip, l.replaying, l.follows = nil, false, nil
	l.work.Bound(l.e.cfg.MemoryBytes, func() bool { return l.e.ctx.Err() != nil })
	if held := l.work.TotalBytes(); held > l.e.cfg.MemoryBytes && l.e.budget == nil {
		l.e.cfg.Logger.Warn("the views hold more than their limit", "pipeline", l.e.cfg.Name, "bytes", held, "limit", l.e.cfg.MemoryBytes)
	}
	if err := l.e.resumeSources(ctx, l.positions); err != nil {
		return err
	}
	l.publishSnapshot()
	l.carryOut()
	if l.coord.CommittedStep() == 0 {
		l.feed(coord.Arrived{Rows: 1}) // an empty first step: steps count from 1
		l.carryOut()
	}
	if l.coord.Role() != coord.Leading {
		return l.notLeading()
	}
	l.e.stand.become(RoleLeader)
	l.e.startConnectors(l)
	l.startCheckpoints()
	l.readUnread()
	l.nextRebuild()
	l.e.recovery.ready(l.coord.CommittedStep())
	return nil
}

// errFenced says that another node took the lead.
var errFenced = errors.New("another leader has taken over")

// notLeading is why the leader does not come up.
func (l *leader) notLeading() error {
	switch {
	case l.failure != nil:
		return l.failure
	case l.coord.Role() == coord.Fenced:
		return fmt.Errorf("%w: %s", errFenced, l.coord.Reason())
	}
	return fmt.Errorf("%v: %s", l.coord.Role(), l.coord.Reason())
}

// everything lists all relations that have content or changes.
func (l *leader) everything() map[catalog.ID]bool {
	all := map[catalog.ID]bool{}
	for id := range l.rels {
		all[id] = true
	}
	return all
}

// pause waits until an append of unknown outcome may be tried again.
func (l *leader) pause(ctx context.Context) error {
	if l.wake == nil {
		return errors.New("the leader has nothing to do and does not lead")
	}
	if m := l.e.cfg.Manual; m != nil {
		for l.wakeAt > l.e.cfg.Clock().UnixMicro() {
			if err := m.Wait(); err != nil {
				return err
			}
		}
		l.wakeUp()
		return nil
	}
	select {
	case <-l.wake.C:
		l.wakeUp()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// findDropped learns from the commands after a record which relations are gone by the
// log's end: their rows need not be computed, and the streams of dropped sources are
// not there any more.
func (l *leader) findDropped(tail *logTail, after uint64) error {
	cat := l.cat
	l.skip = map[catalog.ID]bool{}
	for _, c := range tail.commands {
		if c.seq <= after {
			continue
		}
		next, eff, err := cat.With(c.ddl.Command)
		if err != nil {
			return fmt.Errorf("log record %d: %s: %w", c.seq, c.ddl.SQL, err)
		}
		cat = next
		for _, gone := range eff.Dropped {
			l.skip[gone.ID] = true
		}
	}
	return nil
}

// replayRecord applies one record of the log.
func (l *leader) replayRecord(ctx context.Context, r fabric.Record) error {
	ev, body, err := recordEvent(r)
	if err != nil {
		return err
	}
	if l.staged != nil && l.coord.Role() == coord.Claiming && ev.Hash == coord.Hash(l.staged.last) {
		l.feed(ev)
		return errEnough
	}
	l.feed(ev)
	l.e.recovery.at(r.Seq)
	if role := l.coord.Role(); role == coord.Failed || role == coord.Fenced {
		return fmt.Errorf("log record %d: %s", r.Seq, l.coord.Reason())
	}
	switch h := wire.Kind(r.Data[3]); h {
	case wire.KindTx:
		return l.replayTx(r.Seq, body)
	case wire.KindStep:
		s, err := wire.DecodeStep(body)
		if err != nil {
			return fmt.Errorf("log record %d: %w", r.Seq, err)
		}
		l.e.sent.seen(r.Seq, s.Forwarded)
		if err := l.replayStep(ctx, s); err != nil {
			var te *types.Error
			if errors.As(err, &te) && te.Code == types.CodeQueryCanceled && ctx.Err() != nil {
				err = ctx.Err() // which stopped the circuits
			}
			return fmt.Errorf("log record %d, step %d: %w", r.Seq, s.N, err)
		}
	case wire.KindDDL:
		d, err := wire.DecodeDDL(body)
		if err != nil {
			return fmt.Errorf("log record %d: %w", r.Seq, err)
		}
		built, err := l.buildDDL(ctx, d.Command, d.Now)
		if err != nil {
			return fmt.Errorf("log record %d: replay %q: %w", r.Seq, d.SQL, err)
		}
		if err := l.compareMade(d, built); err != nil {
			return fmt.Errorf("log record %d: replay %q: %w", r.Seq, d.SQL, err)
		}
		l.installDDL(ctx, built, false)
		l.ckpt.changed = true
	case wire.KindEpoch, wire.KindCkpt:
		l.pendingTx = nil
		return l.noteRecord(r.Seq, h, body)
	}
	return nil
}

func (l *leader) replayTx(seq uint64, body []byte) error {
	tx, err := wire.DecodeTx(body)
	if err != nil {
		return fmt.Errorf("log record %d: %w", seq, err)
	}
	l.replayChanges(tx.Changes)
	return nil
}

func (l *leader) replayChanges(list []wire.Change) {
	for _, c := range list {
		if r := l.rels[c.Table]; r != nil {
			l.pendingTx = append(l.pendingTx, tableChange{c.Table, c.Rows})
		}
	}
}

// replayStep computes a committed step again and compares what comes out.
func (l *leader) replayStep(ctx context.Context, rec *wire.Step) error {
	l.replayChanges(rec.Changes)
	s := &staged{began: time.Now(), step: &wire.Step{N: rec.N, Now: rec.Now}, tables: l.pendingTx}
	s.recorded = l.recordedProc(rec)
	if err := l.replayEvents(rec, s); err != nil {
		return err
	}
	l.pendingTx = nil
	var out map[catalog.ID][]uint64
	s.skipped, out = recordSkipped(rec)
	for _, g := range rec.Ranges {
		if l.skip[g.Source] {
			continue
		}
		src := l.e.sourceByID(g.Source)
		if src == nil || l.positions[g.Source] != g.From {
			return fmt.Errorf("it takes %d to %d of source %d, of which %d are taken", g.From, g.To, g.Source, l.positions[g.Source])
		}
		t, err := src.replayRange(ctx, g.From, g.To)
		if err != nil && ctx.Err() == nil && l.droppedLater(ctx, g.Source) {
			continue
		}
		if err != nil {
			return err
		}
		t.without(out[g.Source])
		s.taken = append(s.taken, t)
	}
	for _, r := range rec.Retried {
		if !l.skip[r.Source] {
			s.retried = append(s.retried, r)
		}
	}
	if err := l.replayRebuilt(ctx, rec, s); err != nil {
		return err
	}
	if err := l.compute(s); err != nil {
		return l.replayFailed(rec, s, err)
	}
	if err := l.compare(rec, s.step); err != nil {
		return err
	}
	if err := l.compareMarks(rec, s.step); err != nil {
		return err
	}
	l.applyStep(s)
	l.ckpt.changed = true
	l.e.metrics.Steps.Add(1)
	l.e.recovery.steps.Add(1)
	return nil
}

// compare holds the fingerprints of a replayed step against those in the log.
func (l *leader) compare(logged, got *wire.Step) error {
	have := map[catalog.ID]batch.Digest{}
	for _, o := range got.Outputs {
		have[o.View] = o.Digest
	}
	for _, o := range logged.Outputs {
		if l.skip[o.View] || l.exempt[o.View] {
			continue
		}
		if have[o.View] == o.Digest {
			delete(have, o.View)
			continue
		}
		return l.mismatch(logged, o.View)
	}
	for _, o := range got.Outputs {
		if _, extra := have[o.View]; extra && !l.exempt[o.View] {
			return l.mismatch(logged, o.View)
		}
	}
	return nil
}

// mismatch says that a view came out differently than when the step was committed.
func (l *leader) mismatch(logged *wire.Step, view catalog.ID) error {
	name := fmt.Sprint(view)
	if r := l.cat.ByID(view); r != nil {
		name = r.Describe()
	}
	why := "the circuits are the same, so the state or the log is damaged"
	if logged.Circuit != l.circuit {
		why = fmt.Sprintf("the circuits have changed: hash %x then, %x now", logged.Circuit[:8], l.circuit[:8])
	}
	err := fmt.Errorf("%s differs from what was committed by version %s (this is %s): %s", name, logged.Engine, l.e.cfg.version, why)
	if logged.Engine != l.e.cfg.version || logged.Circuit != l.circuit {
		// Another version computed it: it is right by this one's lights.
		l.e.cfg.Logger.Warn("replayed step differs", "pipeline", l.e.cfg.Name, "step", logged.N, "err", err)
		l.noteMismatch(logged.N, err)
		return nil
	}
	l.noteMismatch(logged.N, err)
	return fmt.Errorf("%w: %w", ErrMismatch, err)
}
