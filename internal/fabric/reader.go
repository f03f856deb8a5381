package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// holeWait is how long a record that the log should have may fail to arrive before it counts as missing.
	holeWait     = 2 * time.Second
	writerHeader = "Tm-Writer"
)

// Reader hands out the records of a log in order, each once, and makes sure that none is missing. It acknowledges
// nothing and keeps no position on the server. It goes on by itself when the server it reads from is gone or a leader is
// elected. Used by one goroutine at a time; Stop may be called from any.
type Reader struct {
	log   *Log
	cur   *cursor
	next  uint64        // the sequence that must come
	ahead *streamRecord // what came in its place, until what is missing has been fetched
	fresh bool          // nothing came yet: a start below the log's first record is not a hole
}

// Reader opens a reader whose first record is from, or the log's first if that is later. ctx bounds the opening alone.
func (l *Log) Reader(ctx context.Context, from uint64) (*Reader, error) {
	from = max(from, 1)
	cur, err := openCursor(ctx, l.f, l.f.internal, l.stream, from, "")
	if err != nil {
		return nil, fmt.Errorf("read log %q from %d: %w", l.name, from, l.f.orClosed(notFound(err)))
	}
	return &Reader{log: l, cur: cur, next: from, fresh: true}, nil
}

// Next waits for the next record. What the copy that is read lacks is fetched from the log's leader, if that has it.
// Errors: ctx's own; ErrHole and ErrTrimmed; ErrClosed after Stop or Close.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	if r.ahead == nil {
		rec, err := r.cur.next(ctx)
		if err != nil {
			return Record{}, fmt.Errorf("read log %q at %d: %w", r.log.name, r.next, err)
		}
		if rec.Seq == r.next {
			r.next, r.fresh = rec.Seq+1, false
			return rec.Record, nil
		}
		r.ahead = &rec
	}
	if r.ahead.Seq != r.next {
		rec, err := r.missing(ctx, r.ahead.Seq)
		if err != nil {
			return Record{}, err
		}
		if rec.Seq != 0 {
			r.next, r.fresh = rec.Seq+1, false
			return rec, nil
		}
	}
	rec := r.ahead.Record
	r.ahead, r.next, r.fresh = nil, rec.Seq+1, false
	return rec, nil
}

// missing decides what it means that got came instead of r.next. It returns the record at r.next if the log has it
// elsewhere, and none if got is the log's first.
func (r *Reader) missing(ctx context.Context, got uint64) (Record, error) {
	first, _, err := r.log.Bounds(ctx)
	if err != nil {
		return Record{}, err
	}
	if r.fresh && r.next < first && got >= first {
		if got == first {
			return Record{}, nil
		}
		r.next = first
	}
	hole := &HoleError{Log: r.log.name, Want: r.next, Got: got, First: first}
	if r.next < first || r.log.f.cluster == nil {
		return Record{}, hole
	}
	rec, err := r.log.Get(ctx, r.next)
	if errors.Is(err, ErrNotFound) {
		return r.elsewhere(ctx, hole)
	}
	if err == nil {
		r.log.f.noteHole(r.log.stream, r.cur.at(), hole)
	}
	return rec, err
}

// elsewhere looks for a record that the log's leader lacks: the others lead in turn, until one has it.
func (r *Reader) elsewhere(ctx context.Context, hole *HoleError) (Record, error) {
	info, err := r.log.Info(ctx)
	if err != nil {
		return Record{}, err
	}
	bad := info.Leader
	for _, other := range info.Replicas {
		if other.Offline || r.log.MoveLeader(ctx, other.Name) != nil {
			continue
		}
		rec, err := r.log.Get(ctx, r.next)
		if !errors.Is(err, ErrNotFound) {
			if err == nil {
				r.log.f.noteHole(r.log.stream, bad, hole)
			}
			return rec, err
		}
	}
	return Record{}, hole
}

// Stop ends the reader and frees what the server keeps for it.
func (r *Reader) Stop() { r.cur.stop() }

// Read calls fn for every record from the given sequence up to the last one there is when Read begins, in order, and
// returns the first error of fn. It checks that no record is missing, at the end too.
func (l *Log) Read(ctx context.Context, from uint64, fn func(Record) error) error {
	first, last, err := l.Bounds(ctx)
	if err != nil {
		return err
	}
	if max(from, first) > last {
		return nil
	}
	r, err := l.Reader(ctx, from)
	if err != nil {
		return err
	}
	defer r.Stop()
	for {
		err := r.readUntil(ctx, last, fn)
		if !errors.Is(err, errStalled) || ctx.Err() != nil {
			return err
		}
		if ended, err := r.stalled(ctx); ended || err != nil {
			return err
		}
	}
}

var errStalled = errors.New("no record came")

// readUntil calls fn for the records up to last. errStalled when none comes for holeWait.
func (r *Reader) readUntil(ctx context.Context, last uint64, fn func(Record) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(holeWait, func() { cancel(errStalled) })
	defer watch.Stop()
	for r.next <= last {
		rec, err := r.Next(ctx)
		if err != nil {
			if errors.Is(context.Cause(ctx), errStalled) {
				return errStalled
			}
			return err
		}
		if rec.Seq > last {
			return nil // everything up to last was trimmed meanwhile
		}
		watch.Stop() // fn may take its time
		if err := fn(rec); err != nil {
			return err
		}
		if context.Cause(ctx) != nil {
			return errStalled // the watch fired just before it was stopped: begin again with a new one
		}
		watch.Reset(holeWait)
	}
	return nil
}

// stalled looks why a record that should be there does not come: it is gone, or never was (a batch that was under way
// when Read looked for the end), or it is only late.
func (r *Reader) stalled(ctx context.Context) (ended bool, err error) {
	first, last, err := r.log.Bounds(ctx)
	if err != nil {
		return false, err
	}
	want := r.next
	if r.fresh {
		want = max(want, first)
	}
	if last < want {
		return true, nil
	}
	if _, err := r.log.Get(ctx, want); !errors.Is(err, ErrNotFound) {
		r.cur.breakOff() // it was lost on the way, or the copy that is read is late: ask anew
		return false, err
	}
	return false, &HoleError{Log: r.log.name, Want: want, Got: want + 1, First: first}
}

// Tail calls fn for every record from the given sequence on, in order, waiting for new ones, until ctx ends or fn
// returns an error, which it returns.
func (l *Log) Tail(ctx context.Context, from uint64, fn func(Record) error) error {
	r, err := l.Reader(ctx, from)
	if err != nil {
		return err
	}
	defer r.Stop()
	for {
		rec, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
}
