package fabric

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
)

// MaxQueueBytes bounds the messages that wait for one subscription, together with its own bound on their number.
const MaxQueueBytes = 64 << 20

// Msg is a message of the client account.
type Msg struct {
	Subject string
	Reply   string // where the publisher waits for an answer; "" if it does not
	Header  Header // nil if there is none
	Data    []byte // owned by the receiver
}

// Subscription receives messages until it is stopped.
type Subscription struct {
	f      *Fabric
	sub    *nats.Subscription
	closed chan struct{}
}

// Subscribe calls fn for every message that clients publish to subject, which may have wildcards, in the order of
// arrival and from one goroutine. At most queueBound messages, the one that fn has among them, and MaxQueueBytes wait;
// what comes on top is dropped and counted, as core NATS does: a publisher that needs to know asks for an answer. The
// subscription is active when Subscribe returns.
func (f *Fabric) Subscribe(ctx context.Context, subject string, queueBound int, fn func(Msg)) (*Subscription, error) {
	fail := func(err error) (*Subscription, error) {
		return nil, fmt.Errorf("subscribe to %q: %w", subject, f.orClosed(err))
	}
	if queueBound <= 0 {
		return fail(fmt.Errorf("queue bound %d, want at least 1", queueBound))
	}
	if f.closing.Load() {
		return fail(ErrClosed)
	}
	sub, err := f.clients.Subscribe(subject, func(m *nats.Msg) {
		fn(Msg{Subject: m.Subject, Reply: m.Reply, Header: Header(m.Header), Data: m.Data})
	})
	if err != nil {
		return fail(err)
	}
	s := &Subscription{f: f, sub: sub, closed: make(chan struct{})}
	sub.SetClosedHandler(func(string) { close(s.closed) })
	ctx, cancel := f.withTimeout(ctx)
	defer cancel()
	if err = sub.SetPendingLimits(queueBound, MaxQueueBytes); err == nil {
		err = f.clients.FlushWithContext(ctx)
	}
	if err != nil {
		sub.Unsubscribe()
		return fail(err)
	}
	return s, nil
}

// Dropped returns how many messages were dropped because the queue was full.
func (s *Subscription) Dropped() uint64 {
	dropped, err := s.sub.Dropped()
	if err != nil {
		return 0 // the subscription has ended
	}
	return uint64(dropped)
}

// Stop takes no more messages, waits until fn has had those that wait, and ends the subscription. If ctx ends first,
// what still waits is dropped. Not to be called from fn.
func (s *Subscription) Stop(ctx context.Context) error {
	if err := s.sub.Drain(); err != nil && !s.f.closing.Load() && s.sub.IsValid() {
		return fmt.Errorf("stop subscription to %q: %w", s.sub.Subject, err)
	}
	select {
	case <-s.closed:
		return nil
	case <-s.f.done:
		return nil
	case <-ctx.Done():
		s.sub.Unsubscribe()
		return fmt.Errorf("stop subscription to %q: %w", s.sub.Subject, ctx.Err())
	}
}

// Publish sends a message to whoever in the client account listens now, and to the streams that take its subject. It
// does not wait: nobody may have received it. header may be nil; header and data may be reused on return.
func (f *Fabric) Publish(subject string, header Header, data []byte) error {
	if f.closing.Load() {
		return fmt.Errorf("publish to %q: %w", subject, ErrClosed)
	}
	if err := f.clients.PublishMsg(&nats.Msg{Subject: subject, Header: nats.Header(header), Data: data}); err != nil {
		return fmt.Errorf("publish to %q: %w", subject, f.orClosed(err))
	}
	return nil
}

// Respond answers msg. It does nothing if the publisher does not wait for an answer.
func (f *Fabric) Respond(msg Msg, data []byte) error {
	if msg.Reply == "" {
		return nil
	}
	return f.Publish(msg.Reply, nil, data)
}

// PubAck returns what JetStream answers a publisher whose message is stored in stream at seq.
func PubAck(stream string, seq uint64) []byte {
	return fmt.Appendf(nil, `{"stream":%s,"seq":%d}`, jsonText(stream), seq)
}

// PubAckAgain returns what JetStream answers a publisher whose message was stored in
// stream at seq before.
func PubAckAgain(stream string, seq uint64) []byte {
	return fmt.Appendf(nil, `{"stream":%s,"seq":%d,"duplicate":true}`, jsonText(stream), seq)
}

func jsonText(s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return text
}

// PubNak returns what JetStream answers a publisher whose message is refused. code is like an HTTP status, errCode
// JetStream's own number of the error.
func PubNak(code, errCode int, description string) []byte {
	out, err := json.Marshal(map[string]ackError{"error": {Code: code, ErrCode: errCode, Description: description}})
	if err != nil {
		panic(err) // numbers and a string always have a JSON form
	}
	return out
}
