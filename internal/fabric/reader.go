package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// readAheadRecords and readAheadBytes bound what a reader has asked for and not yet handed on.
	readAheadRecords = 500
	readAheadBytes   = 4 * MaxPayloadBytes
	// holeWait is how long a record that the log should have may fail to arrive before it counts as missing.
	holeWait = 2 * time.Second
	// cursorIdleTimeout is when the server forgets a reader it has not heard of.
	cursorIdleTimeout = 30 * time.Second

	writerHeader = "Tm-Writer"
)

// Reader hands out the records of a log in order, each once, and makes sure that none is missing. It acknowledges
// nothing and keeps no position on the server. Used by one goroutine at a time; Stop may be called from any.
type Reader struct {
	log   *Log
	cur   *cursor
	next  uint64 // the sequence that must come
	fresh bool   // nothing came yet: a start below the log's first record is not a hole
}

// Reader opens a reader whose first record is from, or the log's first if that is later. ctx bounds the opening alone.
func (l *Log) Reader(ctx context.Context, from uint64) (*Reader, error) {
	from = max(from, 1)
	cur, err := openCursor(ctx, l.f, l.f.internal, l.handle, from, "")
	if err != nil {
		return nil, fmt.Errorf("read log %q from %d: %w", l.name, from, l.f.orClosed(notFound(err)))
	}
	return &Reader{log: l, cur: cur, next: from, fresh: true}, nil
}

// cursor is an open ordered consumer. The Fabric knows all of them and stops them when it closes.
type cursor struct {
	f        *Fabric
	conn     *nats.Conn
	stream   string
	consumer jetstream.Consumer
	iter     jetstream.MessagesContext
}

// openCursor reads a stream in order of sequence. An empty filter takes every subject.
func openCursor(ctx context.Context, f *Fabric, conn *nats.Conn, s jetstream.Stream, from uint64, filter string) (*cursor, error) {
	cfg := jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, InactiveThreshold: cursorIdleTimeout,
	}
	if filter != "" {
		cfg.FilterSubjects = []string{filter}
	}
	ctx, cancel := f.withTimeout(ctx)
	defer cancel()
	consumer, err := s.OrderedConsumer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	iter, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(readAheadRecords, readAheadBytes))
	if err != nil {
		return nil, err
	}
	c := &cursor{f: f, conn: conn, stream: s.CachedInfo().Config.Name, consumer: consumer, iter: iter}
	f.mu.Lock()
	closing := f.closing.Load()
	if !closing {
		f.cursors[c] = struct{}{}
	}
	f.mu.Unlock()
	if closing {
		iter.Stop()
		return nil, ErrClosed
	}
	return c, nil
}

// stop ends the cursor, also a next that waits, and tells the server to forget it.
func (c *cursor) stop() {
	c.f.mu.Lock()
	_, open := c.f.cursors[c]
	delete(c.f.cursors, c)
	c.f.mu.Unlock()
	if !open {
		return
	}
	c.iter.Stop()
	if info := c.consumer.CachedInfo(); info != nil {
		c.conn.Publish("$JS.API.CONSUMER.DELETE."+c.stream+"."+info.Name, nil) // else it idles out by itself
	}
}

// Next waits for the next record. Errors: ctx's own; ErrHole and ErrTrimmed; ErrClosed after Stop or Close.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	rec, err := r.cur.next(ctx)
	if err != nil {
		return Record{}, fmt.Errorf("read log %q at %d: %w", r.log.name, r.next, err)
	}
	if rec.Seq != r.next {
		if err := r.gap(ctx, rec.Seq); err != nil {
			return Record{}, err
		}
	}
	r.next, r.fresh = rec.Seq+1, false
	return rec.Record, nil
}

// gap decides what it means that got came instead of r.next.
func (r *Reader) gap(ctx context.Context, got uint64) error {
	first, _, err := r.log.Bounds(ctx)
	if err != nil {
		return err
	}
	if r.fresh && r.next < first && got >= first {
		if got == first {
			return nil
		}
		r.next = first
	}
	return &HoleError{Log: r.log.name, Want: r.next, Got: got, First: first}
}

// Stop ends the reader and frees what the server keeps for it.
func (r *Reader) Stop() { r.cur.stop() }

// streamRecord is a record with what only external streams have.
type streamRecord struct {
	Record
	Subject string
	Header  Header
}

// next waits for a message and takes it apart.
func (c *cursor) next(ctx context.Context) (streamRecord, error) {
	msg, err := c.iter.Next(jetstream.NextContext(ctx))
	if err != nil {
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return streamRecord{}, ErrClosed
		}
		return streamRecord{}, c.f.orClosed(notFound(err))
	}
	meta, err := msg.Metadata()
	if err != nil {
		return streamRecord{}, fmt.Errorf("metadata of a record: %w", err)
	}
	rec := Record{Seq: meta.Sequence.Stream, Time: meta.Timestamp, Data: msg.Data()}
	return streamRecord{Record: rec, Subject: msg.Subject(), Header: Header(msg.Headers())}, nil
}

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
