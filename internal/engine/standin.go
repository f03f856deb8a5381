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
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
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
		return l.notRecomputed(err)
	}
	l.work, st.lead.work = st.lead.work, worker.New(1)
	l.work.Bound(l.e.cfg.MemoryBytes, func() bool { return l.e.ctx.Err() != nil })
	l.readUnread()
	l.e.cfg.Logger.Info("the views are as of the last step again", "pipeline", l.e.cfg.Name, "step", l.coord.CommittedStep(), "took", time.Since(start))
	return nil
}

// notRecomputed is the error if the circuits cannot be brought back. The next start of the
// pipeline tries it again.
func (l *leader) notRecomputed(err error) error {
	var fault *state.FaultError
	var te *types.Error
	if errors.As(err, &fault) || errors.As(err, &te) || l.e.ctx.Err() != nil {
		return fmt.Errorf("compute up to step %d again: %w", l.coord.CommittedStep(), err)
	}
	return &types.Error{Code: "58000", Message: "the pipeline has stopped", Detail: fmt.Sprintf("It could not compute up to step %d again: %v", l.coord.CommittedStep(), err)}
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
		sources: map[catalog.ID]*source{}, sinks: map[catalog.ID]*sinkState{}, sessions: map[int32]*Session{}, thawed: e.thawed,
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
	var tail *logTail
	err := l.e.upTo(ctx, last, func() (at uint64, err error) {
		if tail, err = l.e.readTail(ctx, from); err != nil {
			return 0, err
		}
		return max(tail.last, from-1), nil
	})
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
	return l.e.upTo(ctx, last, func() (uint64, error) {
		at, _ := l.coord.Last()
		var failed error // of a record: it may be applied by half
		err := l.e.log.Read(ctx, at+1, func(r fabric.Record) error {
			if r.Seq > last {
				return errEnough
			}
			failed = l.replayRecord(ctx, r)
			return failed
		})
		switch {
		case failed != nil:
			return 0, fmt.Errorf("%w: %w", errHalf, failed)
		case errors.Is(err, errEnough):
			err = nil
		}
		at, _ = l.coord.Last()
		return at, err
	})
}

const (
	// maxReads is how often the log is read for records that are there for sure.
	maxReads = 20
	// firstReadPause is before the second time; each pause is longer than the one before.
	firstReadPause = 10 * time.Millisecond
)

// errHalf says that a record of the log was read and could not be applied.
var errHalf = errors.New("replay")

// upTo calls read, which reads on in the log and returns how far it has come, until that
// is the record last. A log may give less than it has for a while, or nothing.
func (e *Engine) upTo(ctx context.Context, last uint64, read func() (uint64, error)) error {
	for n := 1; ; n++ {
		at, err := read()
		switch {
		case err == nil && at >= last:
			return nil
		case err == nil:
			err = fmt.Errorf("the log was read up to record %d, the last one is %d", at, last)
		case errors.Is(err, errHalf) || !errors.Is(err, fabric.ErrUnavailable):
			return err
		}
		if n == maxReads || ctx.Err() != nil {
			return err
		}
		e.sleep(ctx, time.Duration(n)*firstReadPause)
	}
}
