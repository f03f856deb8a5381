package fabric

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// service is one Serve.
type service struct {
	f    *Fabric
	h    func(ctx context.Context, req []byte) ([]byte, error)
	ctx  context.Context // ends with stop or Close
	slot chan struct{}

	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup // Add only under mu with stopped unset
}

// Serve answers requests to subject from any node until stop is called. If several serve a subject, one of them gets
// each request, this node's own first. h is called in goroutines of their own, at most MaxServing at once; its ctx ends
// when whoever asked waits no longer, with stop, and with Close. req is h's; what it returns must not change any more and
// have at most MaxRequestBytes. The text of its error reaches whoever asked. stop waits until h has returned and must not
// be called from it.
func (f *Fabric) Serve(subject string, h func(ctx context.Context, req []byte) ([]byte, error)) (stop func(), err error) {
	fail := func(err error) (func(), error) {
		return nil, fmt.Errorf("serve %q: %w", subject, f.orClosed(err))
	}
	if err := checkSubject(subject); err != nil {
		return fail(err)
	}
	if f.closing.Load() {
		return fail(ErrClosed)
	}
	s := &service{f: f, h: h, slot: make(chan struct{}, MaxServing)}
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithCancel(f.life)
	sub, err := f.internal.QueueSubscribe(rpcSubject+subject, rpcGroup, s.receive)
	if err == nil {
		if err = sub.SetPendingLimits(-1, MaxServingBytes); err == nil {
			err = f.internal.FlushTimeout(f.timeout)
		}
	}
	if err != nil {
		cancel()
		if sub != nil {
			sub.Unsubscribe()
		}
		return fail(err)
	}
	return func() {
		sub.Unsubscribe()
		s.mu.Lock()
		s.stopped = true
		s.mu.Unlock()
		cancel()
		s.running.Wait()
	}, nil
}

// receive must not wait.
func (s *service) receive(msg *nats.Msg) {
	if msg.Reply == "" || len(msg.Data) < 5 {
		return
	}
	select {
	case s.slot <- struct{}{}:
	default:
		s.say(msg.Reply, rpcBusy, nil)
		return
	}
	s.mu.Lock()
	taken := !s.stopped
	if taken {
		s.running.Add(1)
	}
	s.mu.Unlock()
	if taken {
		taken = s.f.goRun(func() {
			defer s.running.Done()
			s.serve(msg)
			<-s.slot
		})
		if !taken {
			s.running.Done()
		}
	}
	if !taken {
		<-s.slot
		s.say(msg.Reply, rpcRefused, []byte("the node is closing"))
	}
}

// say answers; whoever asked finds out by itself if it does not arrive.
func (s *service) say(to string, kind byte, data []byte) {
	s.f.internal.Publish(to, append([]byte{kind}, data...))
}

// serve works on one request.
func (s *service) serve(msg *nats.Msg) {
	ctx := s.ctx
	if millis := binary.LittleEndian.Uint32(msg.Data[1:]); millis > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(millis)*time.Millisecond)
		defer cancel()
	}
	var req []byte
	switch rest := msg.Data[5:]; msg.Data[0] {
	case rpcWhole:
		req = rest[:len(rest):len(rest)]
	case rpcOffer:
		n, _, err := parseSize(rest)
		if err != nil {
			s.say(msg.Reply, rpcRefused, []byte(err.Error()))
			return
		}
		if !s.f.rpc.reserve(n) {
			s.say(msg.Reply, rpcBusy, nil)
			return
		}
		defer s.f.rpc.release(n)
		t := s.f.rpc.talk()
		defer t.end()
		if t.say(msg.Reply, rpcGo, nil) != nil {
			return
		}
		if req, err = t.receiveParts(ctx, msg.Reply, rest); err != nil {
			s.say(msg.Reply, rpcRefused, []byte(err.Error()))
			return
		}
	default:
		s.say(msg.Reply, rpcRefused, fmt.Appendf(nil, "a request of kind %d is not known here", msg.Data[0]))
		return
	}
	answer, err := s.work(ctx, msg.Reply, req)
	s.answer(msg.Reply, answer, err)
}

// work calls h and tells meanwhile that it does.
func (s *service) work(ctx context.Context, reply string, req []byte) ([]byte, error) {
	var alive *time.Timer
	var mu sync.Mutex // alive is set before it fires
	mu.Lock()
	alive = time.AfterFunc(s.f.rpc.alive, func() {
		s.say(reply, rpcStillThere, nil)
		mu.Lock()
		defer mu.Unlock()
		if alive != nil {
			alive.Reset(s.f.rpc.alive)
		}
	})
	mu.Unlock()
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		alive.Stop()
		alive = nil
	}()
	return s.h(ctx, req)
}

// answer sends what h returned.
func (s *service) answer(reply string, answer []byte, err error) {
	if err == nil && len(answer) > MaxRequestBytes {
		err = fmt.Errorf("%w: the answer has %d bytes, at most %d", ErrTooLarge, len(answer), MaxRequestBytes)
	}
	if err != nil {
		text := err.Error()
		s.say(reply, rpcError, []byte(text[:min(len(text), maxRemoteText)]))
		return
	}
	if len(answer) <= rpcPartBytes {
		s.say(reply, rpcAnswer, answer)
		return
	}
	t := s.f.rpc.talk()
	defer t.end()
	if t.say(reply, rpcAnswerOff, appendSize(nil, answer)) != nil {
		return
	}
	// When it fails whoever asked hears nothing more.
	t.sendParts(s.ctx, reply, answer, func(m *nats.Msg) error {
		if len(m.Data) == 0 {
			return ErrNoResponders // it waits no longer
		}
		return nil
	})
}

// Broadcast sends data to all who listen on subject now, on any node, this one too. It does not wait, and what is sent
// may be lost. data may be reused on return.
func (f *Fabric) Broadcast(subject string, data []byte) error {
	fail := func(err error) error { return fmt.Errorf("broadcast on %q: %w", subject, f.orClosed(err)) }
	if err := checkSubject(subject); err != nil {
		return fail(err)
	}
	if f.closing.Load() {
		return fail(ErrClosed)
	}
	if len(data) > rpcPartBytes {
		return fail(fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), rpcPartBytes))
	}
	name := f.name[:min(len(f.name), MaxLogNameBytes)]
	text := append([]byte{byte(len(name))}, name...)
	if err := f.internal.Publish(castSubject+subject, append(text, data...)); err != nil {
		return fail(err)
	}
	return nil
}

// Listen calls fn for every broadcast on subject, with the name of the node it is from, one after another, until stop
// is called. At most MaxListenQueue wait; what comes on top is dropped. data is fn's.
func (f *Fabric) Listen(subject string, fn func(from string, data []byte)) (stop func(), err error) {
	if err = checkSubject(subject); err == nil && f.closing.Load() {
		err = ErrClosed
	}
	var sub *nats.Subscription
	if err == nil {
		sub, err = f.internal.Subscribe(castSubject+subject, func(m *nats.Msg) {
			if len(m.Data) == 0 || len(m.Data) < 1+int(m.Data[0]) {
				return
			}
			n := 1 + int(m.Data[0])
			fn(string(m.Data[1:n]), m.Data[n:])
		})
	}
	if err == nil {
		err = errors.Join(sub.SetPendingLimits(MaxListenQueue, MaxQueueBytes), f.internal.FlushTimeout(f.timeout))
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", subject, f.orClosed(err))
	}
	return func() { sub.Unsubscribe() }, nil
}
