package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/wire"
)

const (
	// maxSinkBytes bounds the changes that wait for a sink where there is no disk for them.
	maxSinkBytes = 256 << 20
	// sinkTrim is how many positions of a sink are kept before all but the last go.
	sinkTrim = 1024
	// sinkRoomPoll is how often a sink looks whether the disk has room again. It waits,
	// since its target may be on the same disk, as streams of the node and files are.
	sinkRoomPoll = time.Second
)

// sinkState is a running sink.
type sinkState struct {
	e    *Engine
	def  *catalog.Relation
	ring *ring
	log  Log // of positions: each record is one
	stop context.CancelFunc
	last uint64 // sequence of the log's last record

	position uint64
	failure  string
}

// startSink opens the sink's connector and lets it run. Its position is kept in a
// log of its own.
func (e *Engine) startSink(r *relation) {
	ctx, cancel := context.WithCancel(e.ctx)
	s := &sinkState{e: e, def: r.def, ring: r.ring, stop: cancel}
	e.mu.Lock()
	e.sinks[r.def.ID] = s
	e.mu.Unlock()
	deliver := func() {
		defer cancel()
		pause := 100 * time.Millisecond
		for ctx.Err() == nil {
			began := time.Now()
			err := s.run(ctx)
			if ctx.Err() != nil {
				return
			}
			e.mu.Lock()
			s.failure = fmt.Sprint(err)
			e.mu.Unlock()
			e.cfg.Logger.Warn("sink connector", "sink", s.def.Name, "err", err)
			if time.Since(began) > maxRestartPause {
				pause = 100 * time.Millisecond
			}
			e.sleep(ctx, pause)
			if m := e.cfg.Manual; m != nil && m.Wait() != nil {
				return
			}
			pause = min(2*pause, maxRestartPause)
		}
	}
	if m := e.cfg.Manual; m != nil {
		m.Spawn(deliver)
		return
	}
	e.aux.Go(deliver)
}

func (s *sinkState) run(ctx context.Context) error {
	name, cfg := s.e.connectorConfig(s.def)
	sys, err := s.e.cfg.Connectors.Lookup(name)
	if err != nil {
		return err
	}
	if sys.Sink == nil {
		return fmt.Errorf("connector %q cannot be a sink", name)
	}
	sink, err := sys.Sink(cfg)
	if err != nil {
		return err
	}
	if s.log == nil {
		log, err := s.e.logs.OpenLog(ctx, s.e.sinkLog(s.def.ID))
		if err != nil {
			return err
		}
		s.log = log
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	s.ring.forget(s.Position()) // which a checkpoint may have brought back
	s.e.mu.Lock()
	s.failure = ""
	s.e.mu.Unlock()
	return sink.Run(ctx, s)
}

func (e *Engine) sinkLog(id catalog.ID) string { return fmt.Sprintf("SINK_%s_%d", e.cfg.Name, id) }

// load reads the last position.
func (s *sinkState) load(ctx context.Context) error {
	_, last, err := s.log.Bounds(ctx)
	if err != nil {
		return err
	}
	s.last = last
	if last == 0 {
		return nil
	}
	return s.log.Read(ctx, last, func(r fabric.Record) error {
		if len(r.Data) != 8 {
			return fmt.Errorf("position of sink %q: %d bytes", s.def.Name, len(r.Data))
		}
		s.last = r.Seq
		s.setPosition(binary.LittleEndian.Uint64(r.Data))
		return nil
	})
}

func (s *sinkState) setPosition(step uint64) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.position = max(s.position, step)
}

// Position implements connector.Outlet.
func (s *sinkState) Position() uint64 {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	return s.position
}

// Next implements connector.Outlet.
func (s *sinkState) Next(ctx context.Context, after uint64) (uint64, *batch.Batch, error) {
	for s.e.room() != nil {
		timer := time.NewTimer(sinkRoomPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, nil, ctx.Err()
		}
	}
	for {
		wait := s.e.published.wait()
		e, ok, err := s.ring.after(after, s.e.Snapshot().Step)
		if err != nil || ok {
			return e.step, e.rows, err
		}
		if m := s.e.cfg.Manual; m != nil {
			if err := errors.Join(m.Wait(), ctx.Err()); err != nil {
				return 0, nil, err
			}
			continue
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

// Done implements connector.Outlet.
func (s *sinkState) Done(ctx context.Context, step uint64) error {
	if step <= s.Position() {
		return nil
	}
	last, err := s.log.Append(ctx, [][]byte{binary.LittleEndian.AppendUint64(nil, step)}, s.last)
	if err != nil {
		// What became of it shows when it is loaded again.
		return errors.Join(fmt.Errorf("position of sink %q: %w", s.def.Name, err), s.load(ctx))
	}
	s.last = last
	s.setPosition(step)
	s.ring.forget(step)
	if last%sinkTrim == 0 {
		if err := s.log.Trim(ctx, last); err != nil && ctx.Err() == nil {
			s.e.cfg.Logger.Warn("trim the positions of a sink", "sink", s.def.Name, "err", err)
		}
	}
	return nil
}

// sinkPositions lists how far the sinks have come that have delivered something.
func (e *Engine) sinkPositions() []wire.SinkPosition {
	var out []wire.SinkPosition
	for _, s := range e.Sinks() {
		if s.Position > 0 {
			out = append(out, wire.SinkPosition{Sink: catalog.ID(s.ID), Step: s.Position})
		}
	}
	return out
}

// dropSink stops a sink and forgets its position.
func (e *Engine) dropSink(ctx context.Context, id catalog.ID, live bool) {
	e.mu.Lock()
	s := e.sinks[id]
	delete(e.sinks, id)
	e.mu.Unlock()
	if s == nil {
		return
	}
	s.stop()
	if log, err := e.logs.OpenLog(ctx, e.sinkLog(id)); err == nil && live {
		if err := log.Delete(ctx); err != nil {
			e.cfg.Logger.Warn("delete the position of a dropped sink", "sink", s.def.Name, "err", err)
		}
	}
}
