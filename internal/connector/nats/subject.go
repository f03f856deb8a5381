package nats

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/fabric"
)

const (
	// queueMessages and queueBytes bound the messages that wait for a block.
	queueMessages = 16384
	queueBytes    = 32 << 20
	// stopTimeout bounds the wait for the server when a source stops.
	stopTimeout = time.Second

	statusUnavailable = 503
	statusBadRequest  = 400
	codeNoExpect      = 10003 // JetStream's "bad request"
	codeNotStored     = 10077 // JetStream's "store failed"
)

var errStopped = errors.New("the source stops")

// subjectSource listens to a subject. Publishers who wait for an answer get one as
// from JetStream: the position once the message is durable, or an error.
type subjectSource struct {
	packer
	subject string
}

// inbox takes messages from the subscription, and never blocks it.
type inbox struct {
	s       *subjectSource
	ch      chan message
	bytes   atomic.Int64 // in ch
	dropped atomic.Uint64

	mu     sync.Mutex
	closed bool
}

// Run implements connector.Runner.
func (s *subjectSource) Run(ctx context.Context, to connector.Intake) error {
	f := s.cfg.Fabric
	if f == nil {
		return errNoFabric
	}
	box := &inbox{s: s, ch: make(chan message, queueMessages)}
	sub, err := f.Subscribe(ctx, s.subject, queueMessages, box.put)
	if err != nil {
		return err
	}
	count := dropCount{s: s}
	in := input{ch: box.ch, took: func(m message) { box.bytes.Add(-int64(len(m.data))) }}
	err = s.run(ctx, in, to, func(b *packed, pos uint64, err error) {
		s.answer(b, pos, err)
		count.report(sub.Dropped())
	})
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer done()
	stopErr := sub.Stop(stop)
	box.close()
	if stopErr != nil && err == nil && ctx.Err() == nil {
		err = stopErr
	}
	return err
}

// put takes one message, or refuses it if the queue is full.
func (x *inbox) put(m fabric.Msg) {
	if reserved(m.Subject) {
		return // of the server or somebody's answer: not meant for listeners with a wide wildcard
	}
	if reason := unsupported(m.Header, x.s.cfg.Name); reason != "" {
		x.s.respond(m.Reply, fabric.PubNak(statusBadRequest, codeNoExpect, reason))
		return
	}
	size := int64(len(m.Data))
	x.mu.Lock()
	closed, full := x.closed, x.bytes.Add(size) > queueBytes
	if !closed && !full {
		select {
		case x.ch <- message{data: m.Data, reply: m.Reply, part: x.s.part(m.Subject), id: messageID(m.Header)}:
			x.mu.Unlock()
			return
		default:
		}
	}
	x.mu.Unlock()
	x.bytes.Add(-size)
	if closed {
		x.s.nak(m.Reply, errStopped)
		return
	}
	x.s.respond(m.Reply, fabric.PubNak(statusUnavailable, codeNotStored, "source \""+x.s.cfg.Name+"\": too many messages wait, try again"))
	if n := x.dropped.Add(1); n&(n-1) == 0 {
		logf(x.s.cfg, "the queue is full; %d messages were refused so far", n)
	}
}

// close refuses what waits and whatever comes later.
func (x *inbox) close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	for {
		select {
		case m := <-x.ch:
			x.s.nak(m.reply, errStopped)
		default:
			return
		}
	}
}

// unsupported returns why a message asks for something that a source cannot do: to
// be stored only on a condition.
func unsupported(h fabric.Header, name string) string {
	for key, values := range h {
		if len(key) < len("Nats-Expected-") || !strings.EqualFold(key[:len("Nats-Expected-")], "Nats-Expected-") {
			continue
		}
		if strings.EqualFold(key, "Nats-Expected-Stream") && len(values) == 1 && values[0] == name {
			continue
		}
		return "source \"" + name + "\" takes no messages on condition: header " + key
	}
	return ""
}

// answer tells the publishers of b what became of it.
func (s *subjectSource) answer(b *packed, pos uint64, err error) {
	ack := fabric.PubAck(s.cfg.Name, pos)
	for i := range b.messages {
		m := &b.messages[i]
		switch {
		case m.reply == "":
		case err != nil:
			s.nak(m.reply, err)
		case !m.again:
			s.respond(m.reply, ack)
		case m.before == 0:
			s.respond(m.reply, fabric.PubAckAgain(s.cfg.Name, pos))
		default:
			s.respond(m.reply, fabric.PubAckAgain(s.cfg.Name, m.before))
		}
	}
}

// headerID names a message, as for JetStream: a publisher sends it again with the
// same value when it does not know whether it arrived.
const headerID = "Nats-Msg-Id"

// messageID returns the name of a message, "" if it has none. One that is too long to
// be remembered is known by its hash.
func messageID(h fabric.Header) string {
	id := h.Get(headerID)
	if len(id) > connector.MaxKeyBytes {
		return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(id)))
	}
	return id
}

func (s *subjectSource) nak(reply string, err error) {
	if reply != "" && errors.Is(err, fabric.ErrUnknown) {
		s.respond(reply, fabric.PubNak(statusUnavailable, codeNotStored, "source \""+s.cfg.Name+"\": it is not known whether the message is stored; send it again with the same "+headerID))
	} else if reply != "" {
		s.respond(reply, fabric.PubNak(statusUnavailable, codeNotStored, "source \""+s.cfg.Name+"\": not stored: "+err.Error()))
	}
}

// respond answers one publisher. Who is gone gets nothing, and a publisher without
// an answer knows that it knows nothing.
func (s *subjectSource) respond(reply string, data []byte) {
	if reply == "" {
		return
	}
	if err := s.cfg.Fabric.Respond(fabric.Msg{Reply: reply}, data); err != nil && !errors.Is(err, fabric.ErrClosed) {
		logf(s.cfg, "answer to %q: %v", reply, err)
	}
}

// dropCount logs how many messages the subscription dropped before put saw them.
type dropCount struct {
	s    *subjectSource
	last uint64
}

func (d *dropCount) report(n uint64) {
	if n > d.last {
		logf(d.s.cfg, "the subscription was too slow; %d messages were dropped so far", n)
		d.last = n
	}
}
