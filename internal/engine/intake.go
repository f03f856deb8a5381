package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/wire"
)

// intake is a source as its Runner sees it.
type intake source

// Cursor implements connector.Intake.
func (i *intake) Cursor() []byte {
	s := (*source)(i)
	if s.lockAppends() != nil {
		return nil
	}
	defer s.appendMu.Unlock()
	if err := s.settle(s.e.ctx); err != nil {
		s.e.cfg.Logger.Warn("read a source's stream", "source", s.def.Name, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = s.cursor
	return s.cursor
}

// Append implements connector.Intake.
func (i *intake) Append(ctx context.Context, b connector.Block) (uint64, error) {
	return (*source)(i).append(ctx, b)
}

// waitForRoom waits while too much waits for the leader. A full disk is an error.
func (s *source) waitForRoom(ctx context.Context) error {
	if err := s.e.room(); err != nil {
		return err
	}
	for {
		room := s.room.wait()
		s.mu.Lock()
		full := s.bytes >= MaxSourceBytes
		s.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.e.done:
			return s.e.Err()
		}
	}
}

// append makes a block durable, fenced by the stream's last sequence, and hands it
// to the leader.
func (s *source) append(ctx context.Context, b connector.Block) (uint64, error) {
	if err := s.waitForRoom(ctx); err != nil {
		return 0, err
	}
	if err := s.lockAppends(); err != nil {
		return 0, err
	}
	defer s.appendMu.Unlock()
	if err := s.settle(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	moved := b.Cursor != nil && !bytes.Equal(s.cursor, s.given)
	s.mu.Unlock()
	if moved {
		return 0, fmt.Errorf("append to source %q: %w", s.def.Name, errMovedOn)
	}
	blocks, err := s.encodeBlock(b)
	if err != nil {
		return 0, err
	}
	pos, err := s.appendEncoded(ctx, blocks)
	if err == nil && b.Cursor != nil {
		s.mu.Lock()
		s.given = s.cursor
		s.mu.Unlock()
	}
	return pos, err
}

// encodeBlock is encode with what follows from an error; under appendMu.
func (s *source) encodeBlock(b connector.Block) ([]*wire.Source, error) {
	blocks, err := s.encode(b)
	if err != nil {
		s.mu.Lock()
		s.stamped()
		s.mu.Unlock()
		return nil, fmt.Errorf("append to source %q: %w", s.def.Name, err)
	}
	return blocks, nil
}

// errMovedOn: the log holds rows that were not known to be there when the block was
// read, maybe the same ones. The connector begins again behind them.
var errMovedOn = errors.New("an append whose outcome was not known has succeeded; the connector goes on behind it")

// appendEncoded appends blocks and hands them to the leader; under appendMu.
func (s *source) appendEncoded(ctx context.Context, blocks []*wire.Source) (uint64, error) {
	recs, hashes := make([][]byte, len(blocks)), make([]wire.Hash, len(blocks))
	s.mu.Lock()
	last, hash := s.lastSeq, s.lastHash
	s.mu.Unlock()
	for i, blk := range blocks {
		recs[i], hash = wire.Seal(wire.Header{Kind: wire.KindSource, Prev: hash}, blk.Encode())
		hashes[i] = hash
	}
	if err := s.appendRecords(ctx, recs, last, hash); err != nil {
		s.mu.Lock()
		if !s.uncertain {
			s.stamped()
		}
		s.mu.Unlock()
		return 0, fmt.Errorf("append to source %q: %w", s.def.Name, err)
	}
	s.mu.Lock()
	for i, blk := range blocks {
		s.accept(last+uint64(i)+1, hashes[i], blk)
	}
	s.stamped()
	pos := s.lastSeq
	s.mu.Unlock()
	s.e.signalArrival()
	return pos, nil
}

// accept notes a block that is in the stream; under mu.
func (s *source) accept(seq uint64, hash wire.Hash, blk *wire.Source) {
	n := blk.Rows.SizeBytes() + 256
	s.pending = append(s.pending, sourceBlock{seq: seq, rows: blk.Rows, bad: uint64(len(blk.Bad)), bytes: n, marks: s.moved(blk), after: stateAfter(seq, hash, blk)})
	s.bytes += n
	s.passed(seq, hash, blk)
}

// passed notes that the block is in the stream; under mu.
func (s *source) passed(seq uint64, hash wire.Hash, blk *wire.Source) {
	s.lastSeq, s.lastHash = seq, hash
	s.records = blk.First + blk.Count
	s.cursor = blk.Cursor
	s.sent.add(seq, blk.Sent)
}

// moved takes the state of event time that a block leaves, and returns the marks of
// the columns after it; under mu.
func (s *source) moved(blk *wire.Source) []int64 {
	mark, proc := int64(flow.NoMark), int64(flow.NoMark)
	if s.event != nil {
		s.event.restore(blk.Event, s.e.micros())
		mark = s.event.mark
	}
	if s.proc = max(s.proc, blk.Proc); s.proc > 0 {
		proc = s.proc
	}
	return s.rules.marks(mark, proc)
}

// encode checks rows and cuts them into blocks that fit a record each. The cursor
// goes with the last one, and so does the state of event time: they are appended
// together or not at all.
func (s *source) encode(b connector.Block) ([]*wire.Source, error) {
	proc := s.stamp()
	rows, refused, err := s.split(&b, proc)
	if err != nil {
		return nil, err
	}
	refused = append(slices.Clip(b.Bad), refused...)
	var event *wire.Event
	if s.event != nil {
		if rows, refused, event, err = s.inTime(b, rows, refused); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	first, before := s.records, s.event
	s.mu.Unlock()
	var out []*wire.Source
	for _, part := range wireParts(rows) {
		blk := &wire.Source{First: first, Count: uint64(part.Len()), Rows: part, Proc: proc}
		if before != nil {
			blk.Event = before.wire()
		}
		first += blk.Count
		out = append(out, blk)
	}
	last := out[len(out)-1]
	badBytes := 0
	for _, bad := range refused {
		bad.Data = bad.Data[:min(len(bad.Data), connector.MaxBadBytes)]
		if badBytes += len(bad.Data) + len(bad.Reason) + 32; badBytes > maxBadBytes {
			last = &wire.Source{First: first, Rows: batch.NewBuilder(s.types).Seal(), Event: last.Event, Proc: proc}
			out = append(out, last)
			badBytes = len(bad.Data) + len(bad.Reason) + 32
		}
		first++
		last.Bad = append(last.Bad, wire.BadRecord{Index: last.Count, Reason: bad.Reason, Data: bad.Data})
		last.Count++
	}
	last.Cursor, last.Event = b.Cursor, event
	for _, n := range b.Sent {
		last.Sent = append(last.Sent, wire.Sent{Key: n.Key, Producer: n.Producer, Sequence: n.Sequence, Digest: n.Digest})
	}
	return out, nil
}

// inTime takes the late rows out, and returns where event time stands then. rows are
// the block's that are good otherwise.
func (s *source) inTime(b connector.Block, rows *batch.Batch, refused []connector.Bad) (*batch.Batch, []connector.Bad, *wire.Event, error) {
	now := s.e.micros()
	s.mu.Lock()
	next := s.event.clone()
	s.mu.Unlock()
	next.silence(s.rules.idle, now)
	for _, id := range b.Opened {
		next.makeRoom(id)
		if _, err := next.open(id, now); err != nil {
			return nil, nil, nil, err
		}
	}
	keep, late, err := s.filter.pass(next, b.Partition, b.Parts, now, rows)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(late) > 0 {
		if s.rules.quarantine {
			for k, i := range late {
				refused = append(refused, connector.Bad{Data: []byte(rowText(rows, int(i), len(rows.Cols))), Reason: s.filter.reason(rows, k)})
			}
		}
		rows = pick(rows, keep)
	}
	for _, id := range b.Ended {
		next.end(id)
	}
	event := next.wire()
	s.mu.Lock()
	// What is known of the silence of partitions; the marks follow with the block.
	s.event.heard(next)
	s.mu.Unlock()
	return rows, refused, event, nil
}

// split computes what is to be computed of the rows, and takes those out that have a
// NULL where there may be none. What it returns is a copy, whose partitions are then
// in blk.Parts, if each row has its own.
func (s *source) split(blk *connector.Block, proc int64) (*batch.Batch, []connector.Bad, error) {
	b, given := blk.Rows, blk.Parts
	if b == nil {
		return batch.NewBuilder(s.types).Seal(), nil, nil
	}
	if given != nil {
		if len(given) != b.Len() {
			return nil, nil, fmt.Errorf("partitions of %d rows for a block of %d", len(given), b.Len())
		}
		blk.Parts = make([]uint32, 0, len(given))
	}
	b, failed, err := s.rules.computed(&expr.Ctx{}, b, proc)
	if err != nil {
		return nil, nil, err
	}
	bu := batch.NewBuilder(s.types)
	var bad []connector.Bad
rows:
	for k := range b.Len() {
		i := b.Row(k)
		if err := failed[i]; err != nil {
			bad = append(bad, connector.Bad{Data: []byte(rowText(b, i, len(b.Cols))), Reason: "a generated column: " + err.Error()})
			continue
		}
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
		if given != nil {
			blk.Parts = append(blk.Parts, given[k])
		}
	}
	return bu.Seal(), bad, nil
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
		if attempt == maxSourceAttempts || s.e.stopped() || ctx.Err() != nil || s.e.ctx.Err() != nil {
			s.setUncertain()
			return err
		}
		s.e.sleep(ctx, pause)
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
	s.stamped()
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
		s.accept(r.Seq, h, blk)
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
