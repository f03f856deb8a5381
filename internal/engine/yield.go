package engine

import (
	"context"
	"time"

	"github.com/tidemill/tidemill/internal/coord"
)

const (
	// yieldCheckpoint bounds the checkpoint that a leader makes before it hands over. One
	// that is not there by then is left out: its node reads more of the log later.
	yieldCheckpoint = 500 * time.Millisecond
	// beatEvery is how often a leader looks whether its standbys have heard of it lately.
	beatEvery = HeartbeatSteps / 8
)

// Yield ends a leader whose place another one is to take: what was accepted is committed
// and, if that is quick, a checkpoint is made. Then Done is closed and Err is ErrYielded.
// When ctx ends first, the leader ends at once, and what was not committed is answered with
// an error. ErrNotLeader: it does not lead.
func (e *Engine) Yield(ctx context.Context) error {
	if e.role() != RoleLeader {
		return ErrNotLeader
	}
	e.mu.Lock()
	first := !e.yielding && !e.closing
	e.yielding = true
	e.mu.Unlock()
	if first {
		e.handOver(ctx)
	}
	for m := e.cfg.Manual; m != nil; {
		select {
		case <-e.done:
			return nil
		default:
		}
		if err := m.Wait(); err != nil {
			return err
		}
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		e.cancel()
		<-e.done
	}
	return nil
}

// within bounds ctx by a time, but where no time goes by itself.
func (e *Engine) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if e.cfg.Manual != nil {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// handOver lets the loop finish what it has, and end.
func (e *Engine) handOver(ctx context.Context) {
	e.quiet.Store(true) // what came to sources by now is for the next leader
	e.order(ctx, &request{kind: coord.Flush})
	if e.store != nil {
		short, cancel := e.within(ctx, yieldCheckpoint)
		e.order(short, &request{kind: coord.Checkpoint, statement: true, leave: short})
		cancel()
	}
	e.order(ctx, &request{kind: coord.Flush, last: true, yields: true})
}

// order gives the loop a request though nothing new is taken, and waits for the answer.
func (e *Engine) order(ctx context.Context, r *request) {
	r.id, r.answer = e.nextReq.Add(1), make(chan answer, 1)
	if r.leave == nil {
		r.leave = ctx
	}
	select {
	case e.submit <- r:
		_, _ = e.await(r)
	case <-ctx.Done():
	case <-e.done:
	}
}

// beats ticks for beat; never if there are no standbys.
func (l *leader) beats() *time.Ticker {
	t := time.NewTicker(beatEvery)
	if l.e.cfg.Leader == nil {
		t.Stop()
	}
	return t
}

// beat commits an empty step if nothing was for a while.
func (l *leader) beat() {
	l.stragglers()
	now := l.e.cfg.Clock()
	if now.Sub(l.e.stand.last()) < HeartbeatSteps-beatEvery || l.coord.Waiting() > 0 || l.e.room() != nil {
		return
	}
	r := &request{id: l.e.nextReq.Add(1), kind: coord.Barrier, answer: make(chan answer, 1)}
	l.requests[r.id] = r
	l.clock()
	l.feed(coord.Submitted{Items: []coord.Item{{ID: r.id, Kind: r.kind}}})
}

// last is when the last append of a leader succeeded, or a standby's last record came.
func (s *stand) last() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Heard
}
