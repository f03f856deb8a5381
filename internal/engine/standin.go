package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/worker"
)

// recompute brings the circuits back to the last committed step after one that failed in
// the middle: everything else of the leader is still as that step left it. A stand-in
// comes up from the newest checkpoint as after a restart, and gives its circuits.
func (l *leader) recompute(ctx context.Context) (failed error) {
	start := time.Now()
	base, err := l.settleCheckpoint(ctx)
	if err != nil {
		return err
	}
	lanes := l.work.Lanes()
	l.work.Close()
	last, _ := l.coord.Last()
	st := l.e.standIn()
	st.newLeader(lanes)
	defer st.dismiss()
	defer func() {
		if v := recover(); v != nil {
			failed = faultOf(v)
		}
	}()
	if err := st.lead.follow(ctx, base, last); err != nil {
		return fmt.Errorf("compute up to step %d again: %w", l.coord.CommittedStep(), err)
	}
	l.work, st.lead.work = st.lead.work, worker.New(1)
	l.work.Bound(l.e.cfg.MemoryBytes, func() bool { return l.e.ctx.Err() != nil })
	l.e.cfg.Logger.Info("the views are as of the last step again", "pipeline", l.e.cfg.Name, "step", l.coord.CommittedStep(), "took", time.Since(start))
	return nil
}

// settleCheckpoint waits for the writer of a checkpoint that is under way, whose circuits
// go, and returns the newest that the circuits can come back from, nil if there is none.
func (l *leader) settleCheckpoint(ctx context.Context) (*keptCheckpoint, error) {
	c := &l.ckpt
	if j := c.job; j != nil && !j.through {
		written, err := l.e.awaitWritten(ctx)
		if err != nil {
			return nil, err
		}
		l.checkpointWritten(written)
	}
	if j := c.job; j != nil {
		// Its record is still to come. What it holds is true all the same.
		if j.circuits != nil {
			j.circuits.Done(true)
			j.circuits = nil
		}
		k := keep(j.hash, &j.head)
		return &k, nil
	}
	if len(c.kept) > 0 {
		return &c.kept[0], nil
	}
	return nil, nil
}

// awaitWritten waits until a checkpoint's writer is through.
func (e *Engine) awaitWritten(ctx context.Context) (*ckptJob, error) {
	for m := e.cfg.Manual; m != nil && len(e.written) == 0; {
		if err := m.Wait(); err != nil {
			return nil, err
		}
	}
	select {
	case j := <-e.written:
		return j, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// standIn is an engine over the same logs and disk that computes and never leads.
func (e *Engine) standIn() *Engine {
	return &Engine{
		cfg: e.cfg, logs: e.logs, log: e.log, node: e.node, recovery: &Recovery{}, store: e.store, budget: e.budget,
		ctx: e.ctx, cancel: func() {}, bytes: newSemaphore(MaxPendingBytes),
		submit: make(chan *request), look: make(chan func(*leader)), written: make(chan *ckptJob, 1), arrive: make(chan struct{}, 1), done: make(chan struct{}),
		sources: map[catalog.ID]*source{}, sinks: map[catalog.ID]*sinkState{}, sessions: map[int32]*Session{},
	}
}

// dismiss gives up what the stand-in holds.
func (e *Engine) dismiss() {
	l := e.lead
	for _, r := range l.rels {
		r.release()
	}
	e.forget()
}

// follow applies the log from a checkpoint, or its start, up to the record last.
func (l *leader) follow(ctx context.Context, base *keptCheckpoint, last uint64) error {
	l.replaying = true
	l.work.Bound(0, func() bool { return ctx.Err() != nil })
	l.coord.Step(coord.Clock{Now: l.e.cfg.Clock().UnixMicro()})
	from := uint64(1)
	if base != nil {
		from = base.logSeq + 1
	}
	tail, err := l.e.readTail(ctx, from)
	if err != nil {
		return err
	}
	tail.commands = slices.DeleteFunc(tail.commands, func(c loggedCommand) bool { return c.seq > last })
	if base != nil {
		m, err := l.e.store.ReadManifest(base.hash)
		if err != nil {
			return err
		}
		if err := l.restore(ctx, m, tail); err != nil {
			return err
		}
	} else if err := l.findDropped(tail, 0); err != nil {
		return err
	}
	l.noteRings()
	l.noteTicks()
	l.hashCircuits()
	l.refresh(l.everything())
	err = l.e.log.Read(ctx, l.from, func(r fabric.Record) error {
		if r.Seq > last {
			return errEnough
		}
		return l.replayRecord(ctx, r)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if at, _ := l.coord.Last(); at != last {
		return fmt.Errorf("the log was read up to record %d, the last one is %d", at, last)
	}
	return nil
}
