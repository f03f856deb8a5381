package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// Bounds of a source's appends.
const (
	maxSourceAttempts = 8 // of one append
	firstSourcePause  = 10 * time.Millisecond
	maxRestartPause   = 10 * time.Second // before a failed connector is started again
	// maxBadBytes bounds the bad records of one block, which goes into one record.
	maxBadBytes = 2 << 20
	// replayableRows is how many generated rows are read at once.
	replayableRows = batch.BlockRows
)

// source is the rows of a CREATE SOURCE: a stream of blocks of its own, or a
// function of the position. Positions of a stream are the sequences of its blocks,
// from 1; those of a function count rows, from 0.
type source struct {
	e     *Engine
	id    catalog.ID
	def   *catalog.Relation
	types []types.Type
	start int64 // logical time of its creation

	rules *eventRules // nil if nothing is computed of its rows

	log        Log                  // nil when replayable
	replayable connector.Replayable // nil when there is a log
	timed      connector.Timed      // the same, if it tells when rows come
	runner     connector.Runner
	receiver   connector.Receiver

	stop      context.CancelFunc // of the runner
	replay    Reader             // during replay
	replayEnd uint64             // during replay: the last sequence known to be there
	readTo    uint64             // the last sequence read by replay
	said      uint64             // rows of a replayable source announced so far; the leader's
	filter    *lateFilter        // of a replayable source: the leader's; else under appendMu

	appendMu sync.Mutex // one append at a time; above mu
	room     broadcast  // when pending has shrunk
	// trims says that the stream may begin behind 1: its oldest blocks may go.
	trims atomic.Bool

	mu        sync.Mutex
	lastSeq   uint64 // of the last block known to be in the log
	lastHash  wire.Hash
	uncertain bool   // there may be more than lastSeq
	records   uint64 // good and bad, up to lastSeq
	cursor    []byte
	given     []byte        // the cursor that the connector goes on from
	pending   []sourceBlock // durable, not yet in a step
	bytes     int64         // of pending
	announced int           // how many of pending the coord knows
	failure   string        // why the connector does not run; "" if it does
	event     *eventState   // after the last block, or the last row taken; nil without a watermark
	paced     int64         // up to when the clock has moved the watermark while all were silent
	proc      int64         // the greatest PROCTIME() of a row, or promised to be reached by all to come
	stamping  int64         // that of rows on their way to the log; 0: there are none
	lastIdle  int64         // when the last block without a record was appended
	sent      *sentBook     // up to lastSeq
	inStep    blockState    // behind the last block that a step took
	done      blockState    // behind the last block that a committed step took
}

// sourceBlock is one block of a source's stream.
type sourceBlock struct {
	seq   uint64
	rows  *batch.Batch
	bad   uint64
	bytes int64
	marks []int64 // of its columns from here on; nil if they have none
	after blockState
}

// units is how the coord counts a block, so that one without a row counts too.
func (b *sourceBlock) units() uint64 { return max(uint64(b.rows.Len())+b.bad, 1) }

// connectorConfig is what connectors get to know of a source or sink.
func (e *Engine) connectorConfig(def *catalog.Relation) (string, connector.Config) {
	cfg := connector.Config{ID: uint32(def.ID), Name: def.Name, AppendOnly: def.AppendOnly, Watermark: def.Watermark != nil, Options: map[string]string{}, Encoded: map[string]string{}, Fabric: e.cfg.Fabric,
		Logf: func(format string, args ...any) {
			e.cfg.Logger.Info(fmt.Sprintf(format, args...), "pipeline", e.cfg.Name, "object", def.Name)
		}}
	name := ""
	for _, o := range def.Options {
		if o.Name == "connector" {
			name = o.Value
		} else if !isEventOption(o.Name) {
			cfg.Options[strings.ToLower(o.Name)] = o.Value
		}
	}
	if f := def.Format; f != nil {
		cfg.Format, cfg.Encode = strings.ToUpper(f.Format), strings.ToUpper(f.Encode)
		for _, o := range f.Options {
			cfg.Encoded[strings.ToLower(o.Name)] = o.Value
		}
	}
	for _, c := range def.Columns {
		cfg.Columns = append(cfg.Columns, connector.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Generated: c.Generated != ""})
	}
	return name, cfg
}

// checkOptions lets the connector look at a source's or sink's options.
func (e *Engine) checkOptions(def *catalog.Relation) error {
	name, cfg := e.connectorConfig(def)
	if def.Kind != catalog.Sink {
		if _, err := newEventRules(def); err != nil {
			return err
		}
	}
	if def.Kind != catalog.Source {
		if err := checkRetention(def, nil); err != nil {
			return err
		}
	}
	if def.Kind == catalog.Table {
		if name != "" {
			return &types.Error{Code: types.CodeFeature, Message: "a table with a connector is not supported yet", Hint: "Use CREATE SOURCE."}
		}
		return nil
	}
	sys, err := e.cfg.Connectors.Lookup(name)
	if err != nil {
		return err
	}
	switch {
	case def.Kind == catalog.Source && sys.Source == nil:
		return &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("connector %q cannot be a source", name)}
	case def.Kind == catalog.Sink && sys.Sink == nil:
		return &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("connector %q cannot be a sink", name)}
	case def.Kind == catalog.Source:
		var conn any
		if conn, err = sys.Source(cfg); err == nil {
			err = checkReplayable(def, name, conn)
		}
		if err == nil {
			err = checkRetention(def, conn)
		}
	default:
		_, err = sys.Sink(cfg)
	}
	return err
}

// checkReplayable refuses what needs a log of a source that has none, because its
// rows follow from their positions.
func checkReplayable(def *catalog.Relation, name string, conn any) error {
	_, replayable := conn.(connector.Replayable)
	_, timed := conn.(connector.Timed)
	if !replayable {
		return nil
	}
	r, err := newEventRules(def)
	if err != nil {
		return err
	}
	what := ""
	switch {
	case r.quarantine:
		what = "late_rows = 'quarantine'"
	case r.idle != 0:
		what = "idle_timeout"
	case len(r.proc) > 0 && !timed:
		what = "a column of PROCTIME()"
	default:
		return nil
	}
	return &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("%s of a %s source is not supported", what, name),
		Detail: "Its rows follow from their positions and are in no log, so nothing can be kept with them."}
}

// newSource opens the connector and the stream of a source.
func (e *Engine) newSource(ctx context.Context, def *catalog.Relation, now int64) (*source, error) {
	name, cfg := e.connectorConfig(def)
	sys, err := e.cfg.Connectors.Lookup(name)
	if err != nil {
		return nil, err
	}
	if sys.Source == nil {
		return nil, &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("connector %q cannot be a source", name)}
	}
	conn, err := sys.Source(cfg)
	if err != nil {
		return nil, err
	}
	s := &source{e: e, id: def.ID, def: def, types: def.Types(), start: now, sent: newSentBook()}
	s.noteRetention(def)
	if s.rules, err = newEventRules(def); err != nil {
		return nil, err
	}
	if def.Watermark != nil {
		s.event = newEventState()
		if s.filter, err = newLateFilter(s.rules); err != nil {
			return nil, err
		}
	}
	switch c := conn.(type) {
	case connector.Replayable:
		s.replayable = c
		s.timed, _ = conn.(connector.Timed)
		return s, nil
	case connector.Runner:
		s.runner = c
		s.receiver, _ = conn.(connector.Receiver)
	case connector.Receiver:
		s.receiver = c
	default:
		return nil, fmt.Errorf("connector %q gave a %T for a source", name, conn)
	}
	s.log, err = e.logs.OpenLog(ctx, e.sourceLog(def.ID))
	return s, err
}

// noteRetention notes whether the source's oldest blocks may go.
func (s *source) noteRetention(def *catalog.Relation) {
	if _, ok := def.Option(optRetention); ok {
		s.trims.Store(true)
	}
}

// first is the position where the source begins.
func (s *source) first() uint64 {
	if s.replayable != nil {
		return 0
	}
	return 1
}

func (e *Engine) sourceByID(id catalog.ID) *source {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sources[id]
}

func (e *Engine) addSource(s *source, live bool) {
	e.mu.Lock()
	e.sources[s.id] = s
	e.mu.Unlock()
	if s.replayable != nil {
		e.polls.Store(true)
	}
	if live {
		e.startRunner(s)
	}
}

// dropSource stops a source and deletes its stream.
func (e *Engine) dropSource(ctx context.Context, id catalog.ID, live bool) {
	e.mu.Lock()
	s := e.sources[id]
	delete(e.sources, id)
	e.mu.Unlock()
	if s == nil {
		return
	}
	if s.stop != nil {
		s.stop()
	}
	s.mu.Lock()
	s.pending, s.bytes, s.announced = nil, 0, 0
	s.mu.Unlock()
	s.room.send()
	if s.log != nil && live {
		if err := s.log.Delete(ctx); err != nil && !errors.Is(err, fabric.ErrNotFound) {
			e.cfg.Logger.Warn("delete the stream of a dropped source", "source", s.def.Name, "err", err)
		}
	}
}

// startRunner lets the connector push, again after a pause when it fails.
func (e *Engine) startRunner(s *source) {
	ctx, cancel := context.WithCancel(e.ctx)
	s.stop = cancel
	if e.cfg.Manual != nil {
		return
	}
	if s.rules.idle > 0 {
		e.aux.Go(func() { s.watchIdle(ctx) })
	}
	if s.runner == nil {
		return
	}
	e.aux.Go(func() {
		defer cancel()
		pause := 100 * time.Millisecond
		for {
			began := time.Now()
			s.mu.Lock()
			s.given = s.cursor
			s.mu.Unlock()
			err := s.runner.Run(ctx, (*intake)(s))
			if ctx.Err() != nil || err == nil {
				return
			}
			s.setFailure(err.Error())
			e.cfg.Logger.Warn("source connector", "source", s.def.Name, "err", err)
			if time.Since(began) > maxRestartPause {
				pause = 100 * time.Millisecond
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			pause = min(2*pause, maxRestartPause)
			s.setFailure("")
		}
	})
}

func (s *source) setFailure(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = why
}

// startConnectors lets all sources and sinks run.
func (e *Engine) startConnectors(l *leader) {
	for _, s := range e.sourceList() {
		e.startRunner(s)
	}
	for _, def := range l.cat.Relations() {
		if r := l.rels[def.ID]; r != nil && def.Kind == catalog.Sink {
			e.startSink(r)
		}
	}
}
