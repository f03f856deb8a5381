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
)

// maxAttempts bounds how often one change is sent while others write to its subject
// or its outcome is unknown.
const maxAttempts = 8

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

// publish sends the changes of one step that are not there yet.
func (s *Sink) publish(ctx context.Context, t *target, step uint64, b *batch.Batch) error {
	var buf []byte
	return s.envelope.Each(b, func(k int, r connector.Record) error {
		if t.covers(step, k) {
			return nil
		}
		buf = s.envelope.AppendBody(buf[:0], b, r, step, k)
		if err := s.send(ctx, t, step, k, buf); err != nil {
			return fmt.Errorf("sink %q, step %d, change %d: %w", s.cfg.Name, step, k, err)
		}
		return nil
	})
}

// send publishes one change, once.
func (s *Sink) send(ctx context.Context, t *target, step uint64, index int, data []byte) error {
	header := fabric.Header{headerSink: {s.identity()}, headerStep: {strconv.FormatUint(step, 10)}, headerIndex: {strconv.Itoa(index)}}
	var err error
	for range maxAttempts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if t.stream == "" {
			return s.cfg.Fabric.Publish(s.subject, header, data)
		}
		var pub fabric.DurablePub
		pub, err = s.cfg.Fabric.PublishDurable(ctx, s.subject, header, data, fabric.DurableOptions{ExpectLastSubject: &t.last, ExpectStream: t.stream})
		switch {
		case err == nil:
			*t = target{stream: t.stream, last: pub.Seq, found: true, step: step, index: index}
			return nil
		case errors.Is(err, fabric.ErrUnknown): // the same again: the fence lets one of them in
		case errors.Is(err, fabric.ErrWrongSequence), errors.Is(err, fabric.ErrNoStream):
			found, ferr := s.find(ctx)
			if ferr != nil {
				return ferr
			}
			if *t = found; t.covers(step, index) {
				return nil
			}
		default:
			return err
		}
	}
	return err
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
	t := target{stream: name}
	ext, err := s.cfg.Fabric.OpenExternal(ctx, name)
	if err != nil {
		return t, err
	}
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
