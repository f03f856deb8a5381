package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

// lookForStragglers is how often a leader looks whether its sources have rows that it does
// not know of: another node led until a moment ago and may have accepted some since, which
// are durable and wait for a step.
const lookForStragglers = 5 * time.Second

// stragglers looks for rows that came to the streams of sources by way of another node.
func (l *leader) stragglers() {
	now := l.e.cfg.Clock()
	if now.Sub(l.looked) < lookForStragglers {
		return
	}
	l.looked = now
	var list []*source
	for _, s := range l.e.sourceList() {
		if s.log != nil {
			list = append(list, s)
		}
	}
	if len(list) == 0 || l.e.looking.Swap(true) {
		return
	}
	l.e.spawn(func() {
		defer l.e.looking.Store(false)
		for _, s := range list {
			if err := s.lookBehind(); err != nil && l.e.ctx.Err() == nil {
				l.e.cfg.Logger.Warn("look for rows of a source", "pipeline", l.e.cfg.Name, "source", s.def.Name, "err", err)
			}
		}
	})
}

// announceAll makes sure before a FLUSH that the loop knows of all rows that are durable: on a
// leader with standbys also of those that another node accepted before this one led.
func (e *Engine) announceAll(ctx context.Context) error {
	defer e.signalArrival()
	if e.cfg.Leader == nil || e.role() != RoleLeader {
		return nil
	}
	for _, s := range e.sourceList() {
		if s.log == nil {
			continue
		}
		err := s.lookBehind()
		switch {
		case err == nil:
		case e.ctx.Err() != nil:
			return errClosed()
		case ctx.Err() != nil:
			return canceled(ctx)
		default:
			return &types.Error{Code: "57P03", Message: fmt.Sprintf("it is not known now whether source %q has rows of the leader before", s.def.Name), Detail: err.Error(), Hint: "Try again in a moment."}
		}
	}
	return nil
}

// lookBehind takes what the stream has beyond what is known.
func (s *source) lookBehind() error {
	ctx := s.e.ctx
	_, last, err := s.log.Bounds(ctx)
	if err != nil {
		return err
	}
	if err := s.lockAppends(); err != nil {
		return err
	}
	defer s.appendMu.Unlock()
	s.mu.Lock()
	if last > s.lastSeq {
		s.uncertain = true
	}
	s.mu.Unlock()
	return s.settle(ctx)
}

// lockAppends locks appendMu. In an engine that is driven by hand whoever holds it is
// waiting for its turn. An error says that nothing happens any more.
func (s *source) lockAppends() error {
	for m := s.e.cfg.Manual; m != nil; {
		if s.appendMu.TryLock() {
			return nil
		}
		if err := m.Wait(); err != nil {
			return err
		}
	}
	s.appendMu.Lock()
	return nil
}
