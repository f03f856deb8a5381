package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/coord"
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

	log        Log                  // nil when replayable
	replayable connector.Replayable // nil when there is a log
	runner     connector.Runner
	receiver   connector.Receiver

	stop   context.CancelFunc // of the runner
	replay Reader             // during replay
	readTo uint64             // the last sequence read by replay
	said   uint64             // rows of a replayable source announced so far; the leader's

	appendMu sync.Mutex // one append at a time; above mu
	room     broadcast  // when pending has shrunk

	mu        sync.Mutex
	lastSeq   uint64 // of the last block known to be in the log
	lastHash  wire.Hash
	uncertain bool   // there may be more than lastSeq
	records   uint64 // good and bad, up to lastSeq
	cursor    []byte
	pending   []sourceBlock // durable, not yet in a step
	bytes     int64         // of pending
	announced int           // how many of pending the coord knows
	failure   string        // why the connector does not run; "" if it does
}

// sourceBlock is one block of a source's stream.
type sourceBlock struct {
	seq   uint64
	rows  *batch.Batch
	bad   uint64
	bytes int64
}

// units is how the coord counts a block, so that one without a row counts too.
func (b *sourceBlock) units() uint64 { return max(uint64(b.rows.Len())+b.bad, 1) }

// connectorConfig is what connectors get to know of a source or sink.
func (e *Engine) connectorConfig(def *catalog.Relation) (string, connector.Config) {
	cfg := connector.Config{ID: uint32(def.ID), Name: def.Name, Options: map[string]string{}, Encoded: map[string]string{}, Fabric: e.cfg.Fabric,
		Logf: func(format string, args ...any) {
			e.cfg.Logger.Info(fmt.Sprintf(format, args...), "pipeline", e.cfg.Name, "object", def.Name)
		}}
	name := ""
	for _, o := range def.Options {
		if o.Name == "connector" {
			name = o.Value
		} else {
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
		_, err = sys.Source(cfg)
	default:
		_, err = sys.Sink(cfg)
	}
	return err
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
	s := &source{e: e, id: def.ID, def: def, types: def.Types(), start: now}
	switch c := conn.(type) {
	case connector.Replayable:
		s.replayable = c
		return s, nil
	case connector.Runner:
		s.runner = c
		s.receiver, _ = conn.(connector.Receiver)
	case connector.Receiver:
		s.receiver = c
	default:
		return nil, fmt.Errorf("connector %q gave a %T for a source", name, conn)
	}
	s.log, err = e.logs.OpenLog(ctx, fmt.Sprintf("SRC_%s_%d", e.cfg.Name, def.ID))
	return s, err
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
	if s.runner == nil {
		return
	}
	e.aux.Go(func() {
		defer cancel()
		pause := 100 * time.Millisecond
		for {
			began := time.Now()
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

// intake is a source as its Runner sees it.
type intake source

// Cursor implements connector.Intake.
func (i *intake) Cursor() []byte {
	s := (*source)(i)
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if err := s.settle(s.e.ctx); err != nil {
		s.e.cfg.Logger.Warn("read a source's stream", "source", s.def.Name, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// Append implements connector.Intake.
func (i *intake) Append(ctx context.Context, b connector.Block) (uint64, error) {
	return (*source)(i).append(ctx, b)
}

// append makes a block durable, fenced by the stream's last sequence, and hands it
// to the leader. It waits while too much waits for the leader.
func (s *source) append(ctx context.Context, b connector.Block) (uint64, error) {
	for {
		room := s.room.wait()
		s.mu.Lock()
		full := s.bytes >= MaxSourceBytes
		s.mu.Unlock()
		if !full {
			break
		}
		select {
		case <-room:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-s.e.done:
			return 0, s.e.Err()
		}
	}
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if err := s.settle(ctx); err != nil {
		return 0, err
	}
	return s.appendBlock(ctx, b)
}

// appendBlock encodes and appends; under appendMu.
func (s *source) appendBlock(ctx context.Context, b connector.Block) (uint64, error) {
	blocks := s.encode(b)
	recs := make([][]byte, len(blocks))
	s.mu.Lock()
	last, hash := s.lastSeq, s.lastHash
	s.mu.Unlock()
	for i, blk := range blocks {
		recs[i], hash = wire.Seal(wire.Header{Kind: wire.KindSource, Prev: hash}, blk.Encode())
	}
	if err := s.appendRecords(ctx, recs, last, hash); err != nil {
		return 0, fmt.Errorf("append to source %q: %w", s.def.Name, err)
	}
	s.mu.Lock()
	for i, blk := range blocks {
		s.accept(last+uint64(i)+1, blk)
	}
	s.lastHash = hash
	pos := s.lastSeq
	s.mu.Unlock()
	s.e.signalArrival()
	return pos, nil
}

// accept notes a block that is in the stream; under mu.
func (s *source) accept(seq uint64, blk *wire.Source) {
	n := blk.Rows.SizeBytes() + 256
	s.pending = append(s.pending, sourceBlock{seq: seq, rows: blk.Rows, bad: uint64(len(blk.Bad)), bytes: n})
	s.bytes += n
	s.lastSeq = seq
	s.records = blk.First + blk.Count
	s.cursor = blk.Cursor
}

// encode checks rows and cuts them into blocks that fit a record each. The cursor
// goes with the last one: they are appended together or not at all.
func (s *source) encode(b connector.Block) []*wire.Source {
	rows, nulls := s.split(b.Rows)
	s.mu.Lock()
	first := s.records
	s.mu.Unlock()
	var out []*wire.Source
	for _, part := range wireParts(rows) {
		blk := &wire.Source{First: first, Count: uint64(part.Len()), Rows: part}
		first += blk.Count
		out = append(out, blk)
	}
	last := out[len(out)-1]
	badBytes := 0
	for _, bad := range append(b.Bad, nulls...) {
		bad.Data = bad.Data[:min(len(bad.Data), connector.MaxBadBytes)]
		if badBytes += len(bad.Data) + len(bad.Reason) + 32; badBytes > maxBadBytes {
			last = &wire.Source{First: first, Rows: batch.NewBuilder(s.types).Seal()}
			out = append(out, last)
			badBytes = len(bad.Data) + len(bad.Reason) + 32
		}
		first++
		last.Bad = append(last.Bad, wire.BadRecord{Index: last.Count, Reason: bad.Reason, Data: bad.Data})
		last.Count++
	}
	last.Cursor = b.Cursor
	return out
}

// split takes the rows out that have a NULL where there may be none. What it
// returns is a copy.
func (s *source) split(b *batch.Batch) (*batch.Batch, []connector.Bad) {
	if b == nil {
		return batch.NewBuilder(s.types).Seal(), nil
	}
	bu := batch.NewBuilder(s.types)
	var bad []connector.Bad
rows:
	for k := range b.Len() {
		i := b.Row(k)
		for c, col := range s.def.Columns {
			if col.NotNull && b.Cols[c].Null(i) {
				bad = append(bad, connector.Bad{Data: []byte(rowText(b, i, len(b.Cols))),
					Reason: fmt.Sprintf("null value in column %q violates not-null constraint", col.Name)})
				continue rows
			}
		}
		if n := rowSize(b, i); n > MaxRowBytes {
			bad = append(bad, connector.Bad{Reason: fmt.Sprintf("row is too large: %d bytes, at most %d", n, MaxRowBytes)})
			continue
		}
		bu.AppendFrom(b, i, 1)
	}
	return bu.Seal(), bad
}

// appendRecords appends to the stream and does not return before the outcome is
// certain, or as good as it gets: then the source is uncertain and is settled later.
func (s *source) appendRecords(ctx context.Context, recs [][]byte, last uint64, hash wire.Hash) error {
	pause := firstSourcePause
	for attempt := 1; ; attempt++ {
		_, err := s.log.Append(s.e.ctx, recs, last)
		if err == nil {
			return nil
		}
		if errors.Is(err, fabric.ErrWrongSequence) {
			mine, rerr := s.isThere(last+uint64(len(recs)), hash)
			switch {
			case rerr != nil:
				err = rerr
			case mine:
				return nil
			default:
				s.setUncertain()
				return fmt.Errorf("another writer is at the source's stream: %w", err)
			}
		} else if !errors.Is(err, fabric.ErrUnknown) && !errors.Is(err, fabric.ErrUnavailable) {
			if attempt > 1 {
				s.setUncertain()
			}
			return err
		}
		if attempt == maxSourceAttempts || ctx.Err() != nil || s.e.ctx.Err() != nil {
			s.setUncertain()
			return err
		}
		time.Sleep(pause)
		pause *= 2
	}
}

func (s *source) setUncertain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uncertain = true
}

// isThere reports whether the record at seq is the one of that hash.
func (s *source) isThere(seq uint64, hash wire.Hash) (bool, error) {
	found := false
	err := s.log.Read(s.e.ctx, seq, func(r fabric.Record) error {
		_, _, h, err := wire.Open(r.Data)
		found = err == nil && r.Seq == seq && h == hash
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return false, err
	}
	return found, nil
}

// settle reads what the stream has beyond what is known, after an append whose
// outcome stayed unknown; under appendMu.
func (s *source) settle(ctx context.Context) error {
	s.mu.Lock()
	uncertain := s.uncertain
	s.mu.Unlock()
	if !uncertain {
		return nil
	}
	if err := s.readTail(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.uncertain = false
	s.mu.Unlock()
	s.e.signalArrival()
	return nil
}

// readTail takes the blocks after lastSeq into pending.
func (s *source) readTail(ctx context.Context) error {
	s.mu.Lock()
	from := s.lastSeq + 1
	s.mu.Unlock()
	return s.log.Read(ctx, from, func(r fabric.Record) error {
		blk, h, err := s.decode(r, s.lastHash, true)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.accept(r.Seq, blk)
		s.lastHash = h
		return nil
	})
}

// decode opens a block and checks that it continues the chain.
func (s *source) decode(r fabric.Record, prev wire.Hash, chained bool) (*wire.Source, wire.Hash, error) {
	h, body, hash, err := wire.Open(r.Data)
	if err == nil && h.Kind != wire.KindSource {
		err = fmt.Errorf("%w: it is a %v record", wire.ErrDamaged, h.Kind)
	}
	if err == nil && chained && h.Prev != prev {
		err = fmt.Errorf("%w: it does not continue the chain of hashes", wire.ErrDamaged)
	}
	var blk *wire.Source
	if err == nil {
		blk, err = wire.DecodeSource(body)
	}
	if err == nil && len(blk.Rows.Cols) != len(s.types) {
		err = fmt.Errorf("%w: %d columns, the source has %d", wire.ErrDamaged, len(blk.Rows.Cols), len(s.types))
	}
	if err != nil {
		return nil, wire.Hash{}, fmt.Errorf("source %q, block %d: %w", s.def.Name, r.Seq, err)
	}
	return blk, hash, nil
}

// replayRange reads again what a committed step took.
func (s *source) replayRange(ctx context.Context, from, to uint64) (taken, error) {
	t := taken{source: s, from: from, to: to}
	if s.replayable != nil {
		s.said = to
		bu := batch.NewBuilder(s.types)
		if err := s.replayable.Read(from, to, bu); err != nil {
			return t, fmt.Errorf("source %q, rows %d to %d: %w", s.def.Name, from, to, err)
		}
		t.rows = []*batch.Batch{bu.Seal()}
		return t, nil
	}
	if s.replay == nil {
		r, err := s.log.Reader(ctx, from)
		if err != nil {
			return t, err
		}
		s.replay = r
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
		s.lastSeq, s.lastHash, s.cursor, s.records = seq, h, blk.Cursor, blk.First+blk.Count
		t.rows = append(t.rows, blk.Rows)
		t.bad += uint64(len(blk.Bad))
	}
	return t, nil
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

func (e *Engine) signalArrival() {
	select {
	case e.arrive <- struct{}{}:
	default:
	}
}

// arrivals tells the coord of blocks that came.
func (l *leader) arrivals() {
	units := uint64(0)
	for _, s := range l.e.sourceList() {
		s.mu.Lock()
		for ; s.announced < len(s.pending); s.announced++ {
			units += s.pending[s.announced].units()
		}
		s.mu.Unlock()
	}
	if units > 0 {
		l.clock()
		l.feed(coord.Arrived{Rows: units})
	}
	l.poll()
}

// poll asks the sources that generate their rows for new ones.
func (l *leader) poll() {
	if !l.e.polls.Load() {
		return
	}
	now := l.e.micros()
	units := uint64(0)
	for _, s := range l.e.sourceList() {
		if s.replayable == nil {
			continue
		}
		if n := s.replayable.Available(s.start, now); n > s.said {
			units += n - s.said
			s.said = n
		}
	}
	if units > 0 {
		l.clock()
		l.feed(coord.Arrived{Rows: units})
	}
}

func (s *source) announcedUnits() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replayable != nil {
		return s.said - s.e.lead.positions[s.id]
	}
	n := uint64(0)
	for i := range s.announced {
		n += s.pending[i].units()
	}
	return n
}

// takeSources takes what waits, in the order of source and position, until the
// step is full.
func (l *leader) takeSources(s *staged) (units uint64, err error) {
	list := l.e.sourceList()
	active := 0
	for _, src := range list {
		if src.waits(l.positions[src.id]) {
			active++
		}
	}
	// Each gets a share, so that one that is never empty starves no other.
	share := l.e.cfg.StepRows / max(active, 1)
	for _, src := range list {
		t, err := src.take(l.positions[src.id], max(share, 1))
		if err != nil {
			return 0, err
		}
		if t.from == t.to {
			continue
		}
		units += t.units
		s.taken = append(s.taken, t)
	}
	return units, nil
}

// waits reports whether the coord knows of rows that no step has taken.
func (s *source) waits(position uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.announced > 0 || s.replayable != nil && s.said > position
}

// take takes at least one block, if there is one, and no more than about most rows.
func (s *source) take(from uint64, most int) (taken, error) {
	t := taken{source: s, from: from, to: from}
	if s.replayable != nil {
		to := min(s.said, from+uint64(most))
		if to == from {
			return t, nil
		}
		bu := batch.NewBuilder(s.types)
		if err := s.replayable.Read(from, to, bu); err != nil {
			return t, fmt.Errorf("source %q, rows %d to %d: %w", s.def.Name, from, to, err)
		}
		t.to, t.units, t.rows = to, to-from, []*batch.Batch{bu.Seal()}
		return t, nil
	}
	s.mu.Lock()
	rows, n := 0, 0
	for n < s.announced && (n == 0 || rows < most) {
		b := &s.pending[n]
		if b.seq != t.to {
			s.mu.Unlock()
			return t, fmt.Errorf("source %q: block %d waits, %d is next", s.def.Name, b.seq, t.to)
		}
		t.to++
		t.units += b.units()
		t.bad += b.bad
		t.rows = append(t.rows, b.rows)
		rows += b.rows.Len()
		s.bytes -= b.bytes
		n++
	}
	s.pending = s.pending[n:]
	if len(s.pending) == 0 {
		s.pending = nil
	}
	s.announced -= n
	s.mu.Unlock()
	s.room.send()
	return t, nil
}

// history hands out the rows of all positions below until.
func (s *source) history(ctx context.Context, until uint64, fn func(*batch.Batch) error) error {
	if s.replayable != nil {
		bu := batch.NewBuilder(s.types)
		for from := uint64(0); from < until; from += replayableRows {
			if err := ctx.Err(); err != nil {
				return err
			}
			bu.Reset()
			if err := s.replayable.Read(from, min(from+replayableRows, until), bu); err != nil {
				return fmt.Errorf("source %q from row %d: %w", s.def.Name, from, err)
			}
			if err := fn(bu.View()); err != nil {
				return err
			}
		}
		return nil
	}
	return s.blocks(ctx, until, func(_ uint64, blk *wire.Source) error {
		if blk.Rows.Len() == 0 {
			return nil
		}
		return fn(blk.Rows)
	})
}

// blocks reads the stream's blocks below until.
func (s *source) blocks(ctx context.Context, until uint64, fn func(seq uint64, blk *wire.Source) error) error {
	if until <= 1 {
		return nil
	}
	var prev wire.Hash
	next := uint64(1)
	err := s.log.Read(ctx, 1, func(r fabric.Record) error {
		if r.Seq != next {
			return fmt.Errorf("source %q: block %d came, %d is next", s.def.Name, r.Seq, next)
		}
		blk, h, err := s.decode(r, prev, r.Seq > 1)
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
	if errors.Is(err, errEnough) {
		return nil
	}
	if err == nil && next < until {
		err = fmt.Errorf("source %q: its stream ends at block %d, the step holds %d", s.def.Name, next-1, until-1)
	}
	return err
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

// ErrNoReceiver: the source is not fed by requests.
var ErrNoReceiver = errors.New("the source is not fed by requests")

// Receive gives the body of a request to the source of that name and returns when
// its rows are durable: their number and that of the bad records among them.
func (e *Engine) Receive(ctx context.Context, schema, name string, body []byte) (rows, bad int, err error) {
	snap := e.Snapshot()
	def, err := snap.Catalog.Resolve([]string{catalog.PublicSchema}, schema, name)
	if err != nil {
		return 0, 0, err
	}
	s := e.sourceByID(def.ID)
	if s == nil || s.receiver == nil {
		return 0, 0, fmt.Errorf("%s: %w", def.Describe(), ErrNoReceiver)
	}
	b, err := s.receiver.Decode(body)
	if err != nil {
		return 0, 0, err
	}
	if _, err := s.append(ctx, b); err != nil {
		return 0, 0, err
	}
	if b.Rows != nil {
		rows = b.Rows.Len()
	}
	return rows, len(b.Bad), nil
}
