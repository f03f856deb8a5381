package fabric

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxPublishWindow bounds the messages that PublishDurableAll has under way.
const MaxPublishWindow = 1024

// DurableMsg is a message for PublishDurableAll, with its own fence.
type DurableMsg struct {
	Header  Header // may be nil; it and Data may be reused when the call returns
	Data    []byte
	Options DurableOptions
}

// PublishDurableAll publishes messages to a stream of the client account, in order and
// without waiting for one before the next, and waits until each was answered. It
// returns how many from the first on are stored, and where the last of these is. An
// error is that of the first message that is not stored or not known to be; what
// became of those behind it is not known either, unless their fences say so. Errors
// as of PublishDurable.
func (f *Fabric) PublishDurableAll(ctx context.Context, subject string, msgs []DurableMsg) (stored int, last DurablePub, err error) {
	fail := func(err error) (int, DurablePub, error) {
		return stored, last, fmt.Errorf("publish %d messages to stream subject %q: message %d: %w", len(msgs), subject, stored, err)
	}
	if len(msgs) > MaxPublishWindow {
		return fail(fmt.Errorf("%w: at most %d at once", ErrTooLarge, MaxPublishWindow))
	}
	if len(msgs) == 0 {
		return 0, DurablePub{}, nil
	}
	if f.closing.Load() {
		return fail(ErrClosed)
	}
	ctx, cancel := f.withTimeout(ctx)
	defer cancel()
	inbox := f.clients.NewInbox()
	answers := make(chan *nats.Msg, len(msgs))
	sub, err := f.clients.ChanSubscribe(inbox+".*", answers)
	if err != nil {
		return fail(f.orClosed(fmt.Errorf("%w: %w", ErrUnavailable, err)))
	}
	defer sub.Unsubscribe()
	results := make([]publishResult, len(msgs))
	sent := 0
	for i := range msgs {
		m := &msgs[i]
		header, expected := m.Options.header(m.Header)
		results[i].expected = expected
		if err := f.clients.PublishMsg(&nats.Msg{Subject: subject, Reply: inbox + "." + strconv.Itoa(i), Header: header, Data: m.Data}); err != nil {
			results[i].done, results[i].err = true, f.sendError(err)
			break
		}
		sent++
	}
	for waiting := sent; waiting > 0; {
		select {
		case a := <-answers:
			i, err := strconv.Atoi(strings.TrimPrefix(a.Subject, inbox+"."))
			if err != nil || i < 0 || i >= sent || results[i].done {
				continue
			}
			results[i].take(a)
			waiting--
		case <-ctx.Done():
			for i := range sent {
				if !results[i].done {
					results[i].done, results[i].err = true, f.sendError(ctx.Err())
				}
			}
			waiting = 0
		}
	}
	for ; stored < len(results) && results[stored].done && results[stored].err == nil; stored++ {
		last = results[stored].pub
	}
	if stored == len(msgs) {
		return stored, last, nil
	}
	return fail(results[stored].err)
}

// PublishDurableBatch publishes messages to a stream of the client account that takes
// atomic batches, all or none, and waits until they are stored: one write for all of
// them. It returns where the last one is. Only the first message may have a fence.
// Errors as of PublishDurable, for the whole batch.
func (f *Fabric) PublishDurableBatch(ctx context.Context, subject string, msgs []DurableMsg) (DurablePub, error) {
	fail := func(err error) (DurablePub, error) {
		return DurablePub{}, fmt.Errorf("publish a batch of %d messages to stream subject %q: %w", len(msgs), subject, err)
	}
	if len(msgs) == 0 || len(msgs) > MaxBatchRecords {
		return fail(fmt.Errorf("%w: 1 to %d at once", ErrTooLarge, MaxBatchRecords))
	}
	if f.closing.Load() {
		return fail(ErrClosed)
	}
	ctx, cancel := f.withTimeout(ctx)
	defer cancel()
	id := f.nextID()
	var expected uint64
	for i := range msgs {
		m := &msgs[i]
		header, want := m.Options.header(m.Header)
		if i == 0 {
			expected = want
		}
		for key, values := range batchHeader(id, i+1, i == len(msgs)-1) {
			header[key] = values
		}
		msg := &nats.Msg{Subject: subject, Header: header, Data: m.Data}
		if i < len(msgs)-1 {
			if err := f.clients.PublishMsg(msg); err != nil {
				return fail(f.orClosed(fmt.Errorf("%w: %w", ErrUnavailable, err)))
			}
			continue
		}
		reply, err := f.clients.RequestMsgWithContext(ctx, msg)
		if errors.Is(err, nats.ErrNoResponders) {
			return fail(ErrNoStream)
		}
		if err = f.sendError(err); err != nil {
			return fail(err)
		}
		pub, err := durablePub(reply.Data, expected)
		if err != nil {
			return fail(err)
		}
		return pub, nil
	}
	panic("unreachable: the last message returns")
}

// publishResult is what became of one message.
type publishResult struct {
	done     bool
	pub      DurablePub
	err      error
	expected uint64
}

// take reads the server's answer.
func (r *publishResult) take(a *nats.Msg) {
	r.done = true
	if a.Header.Get("Status") == "503" {
		r.err = ErrNoStream
		return
	}
	r.pub, r.err = durablePub(a.Data, r.expected)
}

// durablePub reads the server's answer to a durable publish.
func durablePub(data []byte, expected uint64) (DurablePub, error) {
	ack, err := parseAck(data)
	if err != nil {
		return DurablePub{}, unknown(err)
	}
	if ack.Error != nil {
		switch {
		case isWrongSequence(ack.Error):
			return DurablePub{}, &WrongSequenceError{Expected: expected, Last: wrongLast(ack.Error)}
		case ack.Error.ErrCode == codeWrongLastID:
			return DurablePub{}, fmt.Errorf("%w: %w", ErrWrongSequence, ack.Error)
		}
		return DurablePub{}, writeRefusal(ack.Error)
	}
	return DurablePub{Stream: ack.Stream, Seq: ack.Seq}, nil
}

// header returns h with what o asks for, and the sequence that it expects.
func (o *DurableOptions) header(h Header) (full nats.Header, expected uint64) {
	full = make(nats.Header, len(h)+5)
	for key, values := range h {
		full[key] = values
	}
	if o.ExpectLast != nil {
		expected = *o.ExpectLast
		full[jetstream.ExpectedLastSeqHeader] = []string{formatUint(expected)}
	}
	if o.ExpectLastSubject != nil {
		expected = *o.ExpectLastSubject
		full[jetstream.ExpectedLastSubjSeqHeader] = []string{formatUint(expected)}
	}
	if o.ExpectStream != "" {
		full[jetstream.ExpectedStreamHeader] = []string{o.ExpectStream}
	}
	if o.ID != "" {
		full[jetstream.MsgIDHeader] = []string{o.ID}
	}
	if o.ExpectLastID != "" {
		full[jetstream.ExpectedLastMsgIDHeader] = []string{o.ExpectLastID}
	}
	return full, expected
}
