package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ExternalReader reads a JetStream stream that a client owns. It changes nothing there.
type ExternalReader struct {
	f       *Fabric
	name    string
	created time.Time
	handle  jetstream.Stream
}

// ExternalRecord is one message of a client's stream.
type ExternalRecord struct {
	Seq     uint64
	Time    time.Time
	Subject string
	Header  Header
	Data    []byte // owned by the receiver
}

// OpenExternal opens a stream of the client account. Returns ErrNotFound if there is none of that name.
func (f *Fabric) OpenExternal(ctx context.Context, stream string) (*ExternalReader, error) {
	ctx, cancel := f.withTimeout(ctx)
	defer cancel()
	handle, err := f.clientJS.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("open stream %q: %w", stream, f.orClosed(notFound(err)))
	}
	return &ExternalReader{f: f, name: stream, created: handle.CachedInfo().Created, handle: handle}, nil
}

// Atomic reports whether the stream takes atomic batches.
func (e *ExternalReader) Atomic() bool { return e.handle.CachedInfo().Config.AllowAtomicPublish }

// Created returns when the stream was made. Positions in it mean something only together with this: a client may delete
// a stream and make another of the same name.
func (e *ExternalReader) Created() time.Time { return e.created }

// Bounds returns the first and last sequence; an empty stream has last = first-1. There may be holes between them.
func (e *ExternalReader) Bounds(ctx context.Context) (first, last uint64, err error) {
	ctx, cancel := e.f.withTimeout(ctx)
	defer cancel()
	info, err := e.handle.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of stream %q: %w", e.name, e.f.orClosed(notFound(err)))
	}
	first, last = info.State.FirstSeq, info.State.LastSeq
	if first == 0 {
		first = last + 1
	}
	return first, last, nil
}

// LastFor returns the last message with that subject: where a sink finds how far it came. Returns ErrNotFound if there
// is none.
func (e *ExternalReader) LastFor(ctx context.Context, subject string) (ExternalRecord, error) {
	ctx, cancel := e.f.withTimeout(ctx)
	defer cancel()
	msg, err := e.handle.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return ExternalRecord{}, fmt.Errorf("last of %q in stream %q: %w", subject, e.name, e.f.orClosed(notFound(err)))
	}
	return ExternalRecord{Seq: msg.Sequence, Time: msg.Time, Subject: msg.Subject, Header: Header(msg.Header), Data: msg.Data}, nil
}

// ExternalCursor hands out the messages of a client's stream in order of sequence. Used by one goroutine at a time.
type ExternalCursor struct {
	stream string
	cur    *cursor
	last   uint64
}

// Cursor opens a cursor that begins at the first message from the given sequence on whose subject matches filter; ""
// takes all.
func (e *ExternalReader) Cursor(ctx context.Context, from uint64, filter string) (*ExternalCursor, error) {
	cur, err := openCursor(ctx, e.f, e.f.clients, e.name, max(from, 1), filter)
	if err != nil {
		return nil, fmt.Errorf("read stream %q from %d: %w", e.name, from, e.f.orClosed(notFound(err)))
	}
	return &ExternalCursor{stream: e.name, cur: cur}, nil
}

// Next waits for the next message. Sequences rise, with holes where clients deleted, limits took away or the filter did
// not match. Errors: ctx's own; ErrClosed after Stop; ErrNotFound if the stream was deleted.
func (c *ExternalCursor) Next(ctx context.Context) (ExternalRecord, error) {
	rec, err := c.cur.next(ctx)
	if err == nil && rec.Seq <= c.last {
		err = fmt.Errorf("%w: sequence %d came after %d", ErrDamaged, rec.Seq, c.last)
	}
	if err != nil {
		return ExternalRecord{}, fmt.Errorf("read stream %q after %d: %w", c.stream, c.last, err)
	}
	c.last = rec.Seq
	return ExternalRecord{Seq: rec.Seq, Time: rec.Time, Subject: rec.Subject, Header: rec.Header, Data: rec.Data}, nil
}

// Stop ends the cursor, also a Next that waits.
func (c *ExternalCursor) Stop() { c.cur.stop() }

// DurableOptions fences a durable publish. Nil and "" mean: not fenced so.
type DurableOptions struct {
	ExpectLast        *uint64 // the stream's last sequence
	ExpectLastSubject *uint64 // the sequence of the last message with the same subject, 0 if there is none
	ExpectStream      string  // the stream that must take it
	// ExpectLastID is the ID of the stream's last message. Messages that each name the
	// one before them are stored in order or not at all, whoever else writes there.
	ExpectLastID string
	// ID names the message. One that comes again within the stream's window of time for
	// duplicates is not stored again.
	ID string
}

// DurablePub says where a message was stored.
type DurablePub struct {
	Stream string
	Seq    uint64
}

// PublishDurable publishes to a stream of the client account and waits until it is stored. Errors as of Log.Append;
// ErrNoStream if no stream takes the subject.
func (f *Fabric) PublishDurable(ctx context.Context, subject string, header Header, data []byte, opts DurableOptions) (DurablePub, error) {
	pub, err := f.publishDurable(ctx, subject, header, data, opts)
	if err != nil {
		return DurablePub{}, fmt.Errorf("publish to stream subject %q: %w", subject, err)
	}
	return pub, nil
}

func (f *Fabric) publishDurable(ctx context.Context, subject string, header Header, data []byte, opts DurableOptions) (DurablePub, error) {
	if f.closing.Load() {
		return DurablePub{}, ErrClosed
	}
	full, expected := opts.header(header)
	ctx, cancel := f.withTimeout(ctx)
	defer cancel()
	reply, err := f.clients.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Header: full, Data: data})
	if errors.Is(err, nats.ErrNoResponders) {
		return DurablePub{}, ErrNoStream
	}
	if err = f.sendError(err); err != nil {
		return DurablePub{}, err
	}
	return durablePub(reply.Data, expected)
}
