package engine

import (
	"context"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/wire"
)

// maxIdlePoll is how long the silence of a source's partitions may go unnoticed.
const maxIdlePoll = time.Second

// watchIdle lets a source's watermark go on while its partitions are silent, until
// ctx ends.
func (s *source) watchIdle(ctx context.Context) {
	every := max(minIdle, min(time.Duration(s.rules.idle)*time.Microsecond/4, maxIdlePoll))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := s.passTime(ctx); err != nil && ctx.Err() == nil {
			s.e.cfg.Logger.Warn("record a source's silence", "source", s.def.Name, "err", err)
		}
	}
}

// passTime appends a block without rows if silence has moved the watermark: because
// a partition is left out, or because all are idle and it goes on with the clock. At
// most one such block comes in an idle time-out.
func (s *source) passTime(ctx context.Context) error {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if err := s.settle(ctx); err != nil {
		return err
	}
	now := s.e.micros()
	s.mu.Lock()
	full := s.bytes >= MaxSourceBytes
	since, first, cursor, proc := s.lastIdle, s.records, s.cursor, s.proc
	before := s.event.mark
	next := s.event.clone()
	all := next.silence(s.rules.idle, now)
	from := max(s.paced, next.idleSince(s.rules.idle))
	s.event.heard(next)
	s.mu.Unlock()
	if all && next.mark != flow.NoMark && now > from {
		next.mark += now - from
	}
	if full || s.e.room() != nil || next.mark == before || now-since < max(s.rules.idle, minIdle.Microseconds()) {
		return nil
	}
	blk := &wire.Source{First: first, Rows: batch.NewBuilder(s.types).Seal(), Cursor: cursor, Event: next.wire(), Proc: proc}
	if _, err := s.appendEncoded(ctx, []*wire.Source{blk}); err != nil {
		return err
	}
	s.mu.Lock()
	s.paced, s.lastIdle = now, now
	s.mu.Unlock()
	return nil
}
