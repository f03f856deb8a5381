package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/fabric"
)

// Headers of a published change.
const (
	headerSink  = "Tidemill-Sink"  // name and number of the sink
	headerStep  = "Tidemill-Step"  // the step
	headerIndex = "Tidemill-Index" // the change's place in the step
	// headerWeight is how many more rows of the kind there are, below zero if they went;
	// not there where the envelope does not tell.
	headerWeight = "Tidemill-Weight"
)

const (
	// maxAttempts bounds how often changes are sent while others write to their subject
	// or their outcome is unknown, and none gets in.
	maxAttempts = 8
	// maxWindow and maxWindowBytes bound the changes on their way to a stream.
	maxWindow      = 256
	maxWindowBytes = 4 << 20
)

const _ = uint(fabric.MaxPublishWindow - maxWindow)

// searchTimeout bounds the search of a stream for our last message.
const searchTimeout = time.Minute

// Sink publishes every change of a view as a message. If a stream takes the subject,
// each change is stored there once: a message is fenced by the one before it on
// the subject, and carries its step and index, where the next run goes on.
type Sink struct {
	cfg      connector.Config
	subject  string
	envelope *connector.Envelope
}

// NewSink returns the sink that cfg describes. Options: subject, envelope, key.
func NewSink(cfg connector.Config) (*Sink, error) {
	o := connector.NewOptions("nats sink", cfg.Options)
	s := &Sink{cfg: cfg, subject: o.Need("subject")}
	if s.subject != "" && !validSubject(s.subject) {
		o.Bad("subject", s.subject, "a subject without wildcards that begins with no $ or _INBOX")
	}
	if cfg.Format != "" && cfg.Format != "PLAIN" || cfg.Encode != "" && cfg.Encode != "JSON" {
		o.Failf("", "nats sink has no FORMAT %s ENCODE %s", cfg.Format, cfg.Encode)
	}
	for name := range cfg.Encoded {
		o.Failf("", "unknown option %q of ENCODE %s", name, cfg.Encode)
	}
	var err error
	s.envelope, err = connector.ReadEnvelope(cfg, o)
	return s, err
}

// target is what a run knows of the place it publishes to.
type target struct {
	stream string // "" if none takes the subject
	last   uint64 // sequence of the last message on the subject
	// step and index are of our last message there, if found.
	found bool
	step  uint64
	index int
	// window is how many changes are sent at once.
	window int
	atomic bool // the stream takes them as one batch
}

// covers reports whether the change is there.
func (t *target) covers(step uint64, index int) bool {
	return t.found && (step < t.step || step == t.step && index <= t.index)
}

// Run implements connector.Sink.
func (s *Sink) Run(ctx context.Context, from connector.Outlet) error {
	if s.cfg.Fabric == nil {
		return errNoFabric
	}
	t, err := s.find(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	after := from.Position()
	if t.found && t.step > after+1 {
		after = t.step - 1
	}
	for {
		step, b, err := from.Next(ctx, after)
		if err != nil {
			return stopped(ctx, err)
		}
		if t.stream == "" && b.Len() > 0 {
			if t, err = s.find(ctx); err != nil {
				return stopped(ctx, err)
			}
		}
		if err := s.publish(ctx, &t, step, b); err != nil {
			return stopped(ctx, err)
		}
		if err := from.Done(ctx, step); err != nil {
			return stopped(ctx, err)
		}
		after = step
	}
}

// change is a record on its way.
type change struct {
	step   uint64
	index  int
	weight int64
	data   []byte
}

// publish sends the changes of one step that are not there yet, a window of them at
// a time.
func (s *Sink) publish(ctx context.Context, t *target, step uint64, b *batch.Batch) error {
	var win []change
	var buf []byte // of win's data
	send := func() error {
		err := s.send(ctx, t, win)
		clear(win)
		win, buf = win[:0], buf[:0]
		if err != nil {
			return fmt.Errorf("sink %q, step %d: %w", s.cfg.Name, step, err)
		}
		return nil
	}
	err := s.envelope.Each(b, func(k int, r connector.Record) error {
		if t.covers(step, k) {
			return nil
		}
		at := len(buf)
		buf = s.envelope.AppendBody(buf, b, r, step, k)
		win = append(win, change{step: step, index: k, weight: r.Weight(), data: buf[at:len(buf):len(buf)]})
		if len(win) < maxWindow && len(buf) < maxWindowBytes {
			return nil
		}
		return send()
	})
	if err != nil || len(win) == 0 {
		return err
	}
	return send()
}

// send publishes changes in order, each once. Each is fenced by the one before it, so
// that none is stored without those before it: the first by the subject's last
// sequence, the others by the ID of the one before. That is the stream's last message
// unless others write to the stream meanwhile; then fewer are sent at once.
func (s *Sink) send(ctx context.Context, t *target, win []change) error {
	var err error
	for tries := 0; len(win) > 0; tries++ {
		if tries == maxAttempts {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if t.stream == "" {
			return s.sendPlain(win)
		}
		n := min(len(win), max(t.window, 1))
		var stored int
		var last fabric.DurablePub
		if stored, last, err = s.sendSome(ctx, t, win[:n]); stored > 0 {
			c := win[stored-1]
			t.last, t.found, t.step, t.index = last.Seq, true, c.step, c.index
			win = win[stored:]
			tries = 0
		}
		switch {
		case err == nil:
			t.window = min(2*max(t.window, 1), maxWindow)
		case errors.Is(err, fabric.ErrUnknown), errors.Is(err, fabric.ErrWrongSequence), errors.Is(err, fabric.ErrNoStream):
			found, ferr := s.find(ctx)
			if ferr != nil {
				return ferr
			}
			found.window = max(n/2, 1)
			*t = found
			for len(win) > 0 && t.covers(win[0].step, win[0].index) {
				win = win[1:]
			}
		default:
			return err
		}
	}
	return nil
}

// sendSome publishes changes at once. It returns how many from the first on are
// stored, and where the last of these is.
func (s *Sink) sendSome(ctx context.Context, t *target, win []change) (stored int, last fabric.DurablePub, err error) {
	msgs := s.messages(t, win)
	if !t.atomic || len(msgs) == 1 {
		return s.cfg.Fabric.PublishDurableAll(ctx, s.subject, msgs)
	}
	for i := range msgs[1:] {
		msgs[i+1].Options.ExpectLastID = "" // the whole batch is stored or nothing of it
	}
	if last, err = s.cfg.Fabric.PublishDurableBatch(ctx, s.subject, msgs); err != nil {
		return 0, last, err
	}
	return len(win), last, nil
}

// messages gives changes their headers and fences.
func (s *Sink) messages(t *target, win []change) []fabric.DurableMsg {
	msgs := make([]fabric.DurableMsg, len(win))
	for i := range win {
		c := &win[i]
		msgs[i] = fabric.DurableMsg{Header: s.header(c), Data: c.data, Options: fabric.DurableOptions{ExpectStream: t.stream, ID: s.id(c)}}
		if i == 0 {
			msgs[i].Options.ExpectLastSubject = &t.last
		} else {
			msgs[i].Options.ExpectLastID = s.id(&win[i-1])
		}
	}
	return msgs
}

// sendPlain publishes to whoever listens.
func (s *Sink) sendPlain(win []change) error {
	for i := range win {
		h := s.header(&win[i])
		h[headerID] = []string{s.id(&win[i])}
		if err := s.cfg.Fabric.Publish(s.subject, h, win[i].data); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) header(c *change) fabric.Header {
	h := fabric.Header{headerSink: {s.identity()}, headerStep: {strconv.FormatUint(c.step, 10)}, headerIndex: {strconv.Itoa(c.index)}}
	if c.weight != 0 {
		h[headerWeight] = []string{strconv.FormatInt(c.weight, 10)}
	}
	return h
}

// id names a change among all that were ever sent: the sink, the step, and the place
// in it.
func (s *Sink) id(c *change) string {
	return fmt.Sprintf("%s/%d/%d", s.identity(), c.step, c.index)
}

func (s *Sink) identity() string { return fmt.Sprintf("%s/%d", s.cfg.Name, s.cfg.ID) }

// find looks at the target: which stream takes the subject, and how far we came there.
func (s *Sink) find(ctx context.Context) (target, error) {
	name, err := s.cfg.Fabric.StreamFor(ctx, s.subject)
	if errors.Is(err, fabric.ErrNotFound) {
		return target{}, nil
	}
	if err != nil {
		return target{}, err
	}
	t := target{stream: name, window: maxWindow}
	ext, err := s.cfg.Fabric.OpenExternal(ctx, name)
	if err != nil {
		return t, err
	}
	t.atomic = ext.Atomic()
	rec, err := ext.LastFor(ctx, s.subject)
	if errors.Is(err, fabric.ErrNotFound) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	t.last = rec.Seq
	if s.own(&t, rec.Header) {
		return t, nil
	}
	return t, s.search(ctx, ext, &t)
}

// own sets t's position from the header if it is of a message of this sink.
func (s *Sink) own(t *target, h fabric.Header) bool {
	if h.Get(headerSink) != s.identity() {
		return false
	}
	step, err1 := strconv.ParseUint(h.Get(headerStep), 10, 64)
	index, err2 := strconv.Atoi(h.Get(headerIndex))
	if err1 != nil || err2 != nil {
		return false
	}
	t.found, t.step, t.index = true, step, index
	return true
}

// search reads the subject from the start for our last message, when somebody else
// wrote behind it.
func (s *Sink) search(ctx context.Context, ext *fabric.ExternalReader, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, searchTimeout) // the last message may be deleted while we read
	defer cancel()
	cur, err := ext.Cursor(ctx, 1, s.subject)
	if err != nil {
		return err
	}
	defer cur.Stop()
	for {
		rec, err := cur.Next(ctx)
		if err != nil {
			return err
		}
		s.own(t, rec.Header)
		if rec.Seq >= t.last {
			t.last = rec.Seq
			return nil
		}
	}
}
