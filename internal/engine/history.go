package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// replayRange reads again what a committed step took.
func (s *source) replayRange(ctx context.Context, from, to uint64) (taken, error) {
	t := taken{source: s, from: from, to: to}
	if s.replayable != nil {
		s.said = to
		return t, s.generate(&t, to)
	}
	if s.replay == nil {
		r, err := s.log.Reader(ctx, from)
		if err != nil {
			return t, err
		}
		s.replay = r
		if _, s.replayEnd, err = s.log.Bounds(ctx); err != nil {
			return t, err
		}
	}
	if to-1 > s.replayEnd && s.e.cfg.Leader != nil { // what is on its way from another node comes in a moment
		s.replayEnd = to - 1
	}
	if to-1 > s.replayEnd { // whoever waits should know
		s.e.cfg.Logger.Warn("the log of a source ends before what committed steps took from it; waiting for the rest",
			"source", s.def.Name, "ends", s.replayEnd, "taken", to-1, "wait", sourceWait)
		s.replayEnd = to - 1
	}
	ctx, cancel := context.WithTimeout(ctx, sourceWait)
	defer cancel()
	for seq := from; seq < to; seq++ {
		r, err := s.replay.Next(ctx)
		if err != nil {
			return t, fmt.Errorf("source %q, block %d, which a committed step names: %w", s.def.Name, seq, err)
		}
		blk, h, err := s.decode(r, s.lastHash, seq > 1)
		if err == nil && r.Seq != seq {
			err = fmt.Errorf("source %q: block %d came, %d is next", s.def.Name, r.Seq, seq)
		}
		if err != nil {
			return t, err
		}
		s.mu.Lock()
		s.passed(seq, h, blk)
		t.marks = s.moved(blk)
		s.inStep = stateAfter(seq, h, blk)
		s.mu.Unlock()
		t.rows, t.first = append(t.rows, blk.Rows), append(t.first, blk.First)
		t.bad += uint64(len(blk.Bad))
	}
	return t, nil
}

// generate makes the rows [t.from, to) of a replayable source and takes the late ones
// out. Called for one range after the other, by the leader.
func (s *source) generate(t *taken, to uint64) error {
	bu := batch.NewBuilder(s.types)
	if err := s.replayable.Read(t.from, to, bu); err != nil {
		return fmt.Errorf("source %q, rows %d to %d: %w", s.def.Name, t.from, to, err)
	}
	rows, err := s.computedAt(bu.Seal(), t.from)
	if err != nil {
		return err
	}
	t.to = to
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.event != nil {
		kept, err := s.filter.inTime(s.event, rows)
		if err != nil {
			return err
		}
		if kept != rows {
			rows = batch.Copy(kept) // the filter goes on to use it
			t.at = slices.Clone(s.filter.keep)
		}
		t.marks = s.rules.marks(s.event.mark, flow.NoMark)
	} else {
		t.marks = s.rules.marks(flow.NoMark, flow.NoMark)
	}
	t.rows, t.first = []*batch.Batch{rows}, []uint64{t.from}
	s.inStep = blockState{seq: to, proc: s.proc}
	if s.event != nil {
		s.inStep.event = s.event.wire()
	}
	return nil
}

// resumeSources reads what is durable and in no step yet.
func (e *Engine) resumeSources(ctx context.Context, _ map[catalog.ID]uint64) error {
	for _, s := range e.sourceList() {
		if s.replay != nil {
			s.replay.Stop()
			s.replay = nil
		}
		if s.log == nil {
			continue
		}
		if err := s.readTail(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sourceList returns the sources in the order of their IDs.
func (e *Engine) sourceList() []*source {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*source, 0, len(e.sources))
	for _, s := range e.sources {
		out = append(out, s)
	}
	sortBy(out, func(s *source) catalog.ID { return s.id })
	return out
}

// history hands out the rows of all positions below until, but for those that are left
// out, whose positions among all records ascend.
func (s *source) history(ctx context.Context, until uint64, out []uint64, fn func(*batch.Batch) error) error {
	if s.replayable != nil {
		bu := batch.NewBuilder(s.types)
		var filter *lateFilter
		state := newEventState() // of the rows before
		if s.event != nil {
			var err error
			if filter, err = newLateFilter(s.rules); err != nil {
				return err
			}
		}
		for from := uint64(0); from < until; from += replayableRows {
			if err := ctx.Err(); err != nil {
				return err
			}
			bu.Reset()
			if err := s.replayable.Read(from, min(from+replayableRows, until), bu); err != nil {
				return fmt.Errorf("source %q from row %d: %w", s.def.Name, from, err)
			}
			rows, err := s.computedAt(bu.View(), from)
			if err != nil {
				return err
			}
			var at []uint32
			if filter != nil {
				all := rows
				if rows, err = filter.inTime(state, all); err != nil {
					return err
				}
				if rows != all {
					at = filter.keep
				}
			}
			rows, _ = leave(rows, from, at, out)
			if err := fn(rows); err != nil {
				return err
			}
		}
		return nil
	}
	return s.blocks(ctx, until, func(_ uint64, blk *wire.Source) error {
		if blk.Rows.Len() == 0 {
			return nil
		}
		rows, _ := leave(blk.Rows, blk.First, nil, out)
		return fn(rows)
	})
}

// blocks reads the stream's blocks below until, those that are kept.
func (s *source) blocks(ctx context.Context, until uint64, fn func(seq uint64, blk *wire.Source) error) error {
	if until <= 1 {
		return nil
	}
	var prev wire.Hash
	next, fresh := uint64(1), true
	err := s.log.Read(ctx, 1, func(r fabric.Record) error {
		if fresh && r.Seq > 1 && s.trims.Load() {
			if r.Seq >= until {
				return errEnough // all of it is gone
			}
			next = r.Seq
		}
		if r.Seq != next {
			return fmt.Errorf("source %q: block %d came, %d is next", s.def.Name, r.Seq, next)
		}
		blk, h, err := s.decode(r, prev, !fresh)
		fresh = false
		if err != nil {
			return err
		}
		prev = h
		next++
		if err := fn(r.Seq, blk); err != nil {
			return err
		}
		if next >= until {
			return errEnough
		}
		return ctx.Err()
	})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case errors.Is(err, fabric.ErrTrimmed) && s.trims.Load():
		return &types.Error{Code: types.CodeSerialization, Message: fmt.Sprintf("rows of source %q went away by its retention while they were read", s.def.Name), Hint: "Try again."}
	}
	if err == nil && next < until {
		err = fmt.Errorf("source %q: its stream ends at block %d, the step holds %d", s.def.Name, next-1, until-1)
	}
	return err
}
