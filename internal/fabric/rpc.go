package fabric

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// MaxRequestBytes bounds a request, and an answer.
	MaxRequestBytes = 64 << 20
	// MaxServing bounds the requests that one Serve has under way. One that comes on top is refused and sent again by
	// whoever asked.
	MaxServing = 256
	// MaxServingBytes bounds the requests in parts that a node receives at the same time.
	MaxServingBytes = 4 * MaxRequestBytes
	// MaxListenQueue bounds the broadcasts that wait for one listener; what comes on top is dropped.
	MaxListenQueue = 1024

	// rpcPartBytes is the largest request or answer in one message, and the size of the parts of larger ones.
	rpcPartBytes = 512 << 10
	// rpcWindow is how many parts are under way without an answer of the receiver.
	rpcWindow = 8
	// rpcQueue bounds the messages that wait for one request: its window and some that keep it alive.
	rpcQueue = 4 * rpcWindow
	// rpcAlive is how often whoever works on a request says so, rpcSilence for how long it may fail to.
	rpcAlive   = time.Second
	rpcSilence = 5 * time.Second
	// rpcBusyPause is before a request is sent again that was refused, doubled up to maxBusyPause.
	rpcBusyPause = 2 * time.Millisecond
	maxBusyPause = 200 * time.Millisecond
	// maxRemoteText bounds the text of an error on its way.
	maxRemoteText = rpcPartBytes

	rpcSubject  = "_tm.rpc."
	castSubject = "_tm.all."
	rpcGroup    = "tm"
)

// ErrNoResponders: nobody serves the subject; nothing happened.
var ErrNoResponders = errors.New("nobody serves it")

// RemoteError is the error of whoever served a request.
type RemoteError struct {
	Text string // of the error
}

func (e *RemoteError) Error() string { return e.Text }

// Kinds of messages of a request. All but the first two go to an inbox.
const (
	rpcWhole      byte = iota + 1 // a request: milliseconds it may take u32 (0: no limit), data
	rpcOffer                      // a request in parts: milliseconds u32, size
	rpcGo                         // the parts are wanted, at the inbox that is the reply subject
	rpcPart                       // number u32, data
	rpcAck                        // parts received u32
	rpcAnswer                     // data
	rpcAnswerOff                  // an answer in parts follows: size; acknowledgements go to the reply subject
	rpcError                      // the text of the server's error
	rpcBusy                       // nothing happened: try again
	rpcRefused                    // nothing happened: the text says why
	rpcStillThere                 // it is being worked on
)

// sizeBytes and checksum of what comes in parts.
const rpcSizeLen = 12

func appendSize(out, data []byte) []byte {
	out = binary.LittleEndian.AppendUint64(out, uint64(len(data)))
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(data, castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rpc hands messages to the requests they belong to.
type rpc struct {
	f              *Fabric
	prefix         string // of all inboxes
	alive, silence time.Duration
	sub            *nats.Subscription

	mu        sync.Mutex
	inboxes   map[string]chan *nats.Msg
	receiving int // bytes of requests in parts that are being received
}

func startRPC(f *Fabric) (*rpc, error) {
	r := &rpc{f: f, alive: rpcAlive, silence: rpcSilence, prefix: f.internal.NewInbox() + ".", inboxes: map[string]chan *nats.Msg{}}
	sub, err := f.internal.Subscribe(r.prefix+"*", r.dispatch)
	if err != nil {
		return nil, err
	}
	r.sub = sub
	return r, sub.SetPendingLimits(-1, MaxServingBytes)
}

// dispatch must not wait. A message for which there is no room was sent against the rules, or its receiver has stopped
// listening: it is dropped, and silence or a missing number ends the request.
func (r *rpc) dispatch(msg *nats.Msg) {
	r.mu.Lock()
	ch := r.inboxes[msg.Subject]
	r.mu.Unlock()
	select {
	case ch <- msg: // a nil channel is never ready
	default:
	}
}

// inbox opens an inbox; close ends it.
func (r *rpc) inbox() (subject string, ch chan *nats.Msg) {
	subject, ch = r.prefix+r.f.nextID(), make(chan *nats.Msg, rpcQueue)
	r.mu.Lock()
	r.inboxes[subject] = ch
	r.mu.Unlock()
	return subject, ch
}

func (r *rpc) close(subject string) {
	r.mu.Lock()
	delete(r.inboxes, subject)
	r.mu.Unlock()
}

// reserve takes from what may be received at the same time.
func (r *rpc) reserve(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.receiving+n > MaxServingBytes {
		return false
	}
	r.receiving += n
	return true
}

func (r *rpc) release(n int) {
	r.mu.Lock()
	r.receiving -= n
	r.mu.Unlock()
}

// talk is one side of one request.
type talk struct {
	f     *Fabric
	inbox string
	ch    chan *nats.Msg
	link  *link
	timer *time.Timer
}

func (r *rpc) talk() *talk {
	t := &talk{f: r.f, link: r.f.currentLink(), timer: time.NewTimer(r.silence)}
	t.inbox, t.ch = r.inbox()
	return t
}

func (t *talk) end() {
	t.timer.Stop()
	t.f.rpc.close(t.inbox)
}

var errSilence = errors.New("nothing was heard for too long")

// hear waits for the next message, which has at least one byte unless it is the server's word that nobody listens.
func (t *talk) hear(ctx context.Context) (*nats.Msg, error) {
	t.timer.Reset(t.f.rpc.silence)
	for {
		select {
		case msg := <-t.ch:
			if len(msg.Data) > 0 || msg.Header.Get("Status") == "503" {
				return msg, nil
			}
		case <-t.timer.C:
			return nil, errSilence
		case <-t.link.Done():
			return nil, errRelinked
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.f.closed:
			return nil, ErrClosed
		}
	}
}

func (t *talk) say(to string, kind byte, data []byte) error {
	return t.f.internal.PublishMsg(&nats.Msg{Subject: to, Reply: t.inbox, Data: append([]byte{kind}, data...)})
}

// sendParts sends data in parts, at most rpcWindow ahead of the receiver. other gets what comes and is no
// acknowledgement; it may end the sending.
func (t *talk) sendParts(ctx context.Context, to string, data []byte, other func(*nats.Msg) error) error {
	parts := (len(data) + rpcPartBytes - 1) / rpcPartBytes
	for sent, acked := 0, 0; sent < parts; {
		for ; sent < parts && sent-acked < rpcWindow; sent++ {
			part := binary.LittleEndian.AppendUint32(make([]byte, 0, rpcPartBytes+5), uint32(sent))
			part = append(part, data[sent*rpcPartBytes:min((sent+1)*rpcPartBytes, len(data))]...)
			if err := t.say(to, rpcPart, part); err != nil {
				return err
			}
		}
		if sent == parts {
			break
		}
		msg, err := t.hear(ctx)
		if err != nil {
			return err
		}
		if len(msg.Data) == 5 && msg.Data[0] == rpcAck {
			if n := int(binary.LittleEndian.Uint32(msg.Data[1:])); n > acked && n <= sent {
				acked = n
			}
		} else if err := other(msg); err != nil {
			return err
		}
	}
	return nil
}

// receiveParts receives what size announced.
func (t *talk) receiveParts(ctx context.Context, from string, size []byte) ([]byte, error) {
	n, sum, err := parseSize(size)
	if err != nil {
		return nil, err
	}
	data := make([]byte, 0, n)
	for next := uint32(0); len(data) < n; {
		msg, err := t.hear(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case len(msg.Data) < 5 || msg.Data[0] != rpcPart:
			continue
		case binary.LittleEndian.Uint32(msg.Data[1:]) != next || len(data)+len(msg.Data)-5 > n:
			return nil, fmt.Errorf("%w: part %d was lost", ErrUnavailable, next)
		}
		data = append(data, msg.Data[5:]...)
		next++
		if err := t.say(from, rpcAck, binary.LittleEndian.AppendUint32(nil, next)); err != nil {
			return nil, err
		}
	}
	if crc32.Checksum(data, castagnoli) != sum {
		return nil, fmt.Errorf("%w: the checksum of %d bytes in parts is wrong", ErrDamaged, n)
	}
	return data, nil
}

func parseSize(size []byte) (n int, sum uint32, err error) {
	if len(size) != rpcSizeLen {
		return 0, 0, fmt.Errorf("%w: announcement of %d bytes", ErrDamaged, len(size))
	}
	v := binary.LittleEndian.Uint64(size)
	if v > MaxRequestBytes {
		return 0, 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, v, MaxRequestBytes)
	}
	return int(v), binary.LittleEndian.Uint32(size[8:]), nil
}

// Request sends req to one of those who serve subject on any node and waits for the answer. It stays within this
// node's own account: clients neither see nor reach it. Errors: ErrNoResponders: nobody serves it; ErrUnavailable,
// ErrTooLarge: nothing happened; *RemoteError: the error of whoever served it; ErrUnknown: it may have been served, also
// when ctx ended.
func (f *Fabric) Request(ctx context.Context, subject string, req []byte) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		var remote *RemoteError
		if errors.As(err, &remote) {
			return nil, err // intact
		}
		return nil, fmt.Errorf("request to %q: %w", subject, err)
	}
	if err := checkSubject(subject); err != nil {
		return fail(err)
	}
	if len(req) > MaxRequestBytes {
		return fail(fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(req), MaxRequestBytes))
	}
	for gap := rpcBusyPause; ; gap = min(2*gap, maxBusyPause) {
		if f.closing.Load() {
			return fail(ErrClosed)
		}
		if err := ctx.Err(); err != nil {
			return fail(fmt.Errorf("%w: %w", ErrUnavailable, err))
		}
		answer, err := f.ask1(ctx, rpcSubject+subject, req)
		if !errors.Is(err, errBusy) {
			if err != nil {
				return fail(err)
			}
			return answer, nil
		}
		pause(ctx, gap)
	}
}

var errBusy = errors.New("busy")

// ask1 sends a request once. Until all of it is sent nobody works on it.
func (f *Fabric) ask1(ctx context.Context, subject string, req []byte) ([]byte, error) {
	t := f.rpc.talk()
	defer t.end()
	millis := uint32(0)
	if deadline, ok := ctx.Deadline(); ok {
		millis = uint32(min(max(time.Until(deadline).Milliseconds(), 1), math.MaxUint32))
	}
	head := binary.LittleEndian.AppendUint32(make([]byte, 0, 16), millis)
	if len(req) <= rpcPartBytes {
		if err := t.say(subject, rpcWhole, append(head, req...)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return t.answer(ctx)
	}
	if err := t.say(subject, rpcOffer, appendSize(head, req)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	msg, err := t.hear(ctx)
	for err == nil && (len(msg.Data) == 0 || msg.Data[0] != rpcGo) {
		if _, err = t.take(ctx, msg); err == nil {
			msg, err = t.hear(ctx)
		}
	}
	if err == nil {
		err = t.sendParts(ctx, msg.Reply, req, func(m *nats.Msg) error {
			_, err := t.take(ctx, m)
			return err
		})
	}
	var remote *RemoteError
	switch {
	case err == nil:
		return t.answer(ctx)
	case errors.Is(err, errBusy), errors.Is(err, ErrNoResponders), errors.Is(err, ErrTooLarge), errors.Is(err, ErrUnavailable), errors.As(err, &remote):
		return nil, err
	}
	return nil, fmt.Errorf("%w: the request was not sent to its end: %w", ErrUnavailable, err)
}

// answer waits for the answer to a request that was sent to its end.
func (t *talk) answer(ctx context.Context) ([]byte, error) {
	for {
		msg, err := t.hear(ctx)
		if err != nil {
			return nil, unknown(err)
		}
		if data, err := t.take(ctx, msg); data != nil || err != nil {
			return data, err
		}
	}
}

// take takes apart a message to whoever asked: the answer, an error, or neither.
func (t *talk) take(ctx context.Context, msg *nats.Msg) ([]byte, error) {
	if len(msg.Data) == 0 {
		return nil, ErrNoResponders
	}
	switch rest := msg.Data[1:]; msg.Data[0] {
	case rpcAnswer:
		return rest[:len(rest):len(rest)], nil
	case rpcAnswerOff:
		data, err := t.receiveParts(ctx, msg.Reply, rest)
		if err != nil {
			return nil, unknown(err)
		}
		return data, nil
	case rpcError:
		return nil, &RemoteError{Text: string(rest)}
	case rpcBusy:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, errBusy)
	case rpcRefused:
		return nil, fmt.Errorf("%w: %s", ErrUnavailable, rest)
	}
	return nil, nil
}

// checkSubject accepts words with dots between them.
func checkSubject(subject string) error {
	if subject == "" || len(subject) > 2*MaxLogNameBytes || strings.ContainsAny(subject, " \t\r\n*>") ||
		strings.HasPrefix(subject, ".") || strings.HasSuffix(subject, ".") || strings.Contains(subject, "..") {
		return fmt.Errorf("subject %q: want 1 to %d bytes, words with dots between them", subject, 2*MaxLogNameBytes)
	}
	return nil
}
