package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/fabric"
)

// streamSource reads a JetStream stream of the client account in order of sequence.
// Its cursor says how far it came, so every message is taken once.
type streamSource struct {
	packer
	stream string
	filter string
}

// position is where a streamSource goes on: behind seq in the stream that was made
// at that time.
type position struct {
	created time.Time
	seq     uint64
}

func (p position) append(dst []byte) []byte {
	return fmt.Appendf(dst, "1 %d %d", p.created.UnixNano(), p.seq)
}

func parsePosition(b []byte) (position, error) {
	var version, nanos int64
	var p position
	if _, err := fmt.Sscanf(string(b), "%d %d %d", &version, &nanos, &p.seq); err != nil || version != 1 {
		return p, fmt.Errorf("nats source: unknown cursor %q", b)
	}
	p.created = time.Unix(0, nanos)
	return p, nil
}

// Run implements connector.Runner.
func (s *streamSource) Run(ctx context.Context, to connector.Intake) error {
	if s.cfg.Fabric == nil {
		return errNoFabric
	}
	ext, err := s.cfg.Fabric.OpenExternal(ctx, s.stream)
	if err != nil {
		return stopped(ctx, err)
	}
	at, err := s.start(ctx, ext, to.Cursor())
	if err != nil {
		return stopped(ctx, err)
	}
	cur, err := ext.Cursor(ctx, at.seq+1, s.filter)
	if err != nil {
		return stopped(ctx, err)
	}
	inner, cancel := context.WithCancel(ctx)
	in := make(chan message)
	ended := make(chan error, 1)
	go func() { ended <- s.read(inner, cur, at, in) }()
	err = s.run(ctx, input{ch: in}, to, func(*packed, uint64, error) {})
	cancel()
	cur.Stop()
	if readErr := <-ended; err == nil && ctx.Err() == nil {
		err = readErr
	}
	return err
}

// stopped returns err unless it only says that ctx has ended.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// start finds where to go on.
func (s *streamSource) start(ctx context.Context, ext *fabric.ExternalReader, cursor []byte) (position, error) {
	at := position{created: ext.Created()}
	first, last, err := ext.Bounds(ctx)
	if err != nil || cursor == nil {
		return at, err
	}
	old, err := parsePosition(cursor)
	if err != nil {
		return at, err
	}
	switch {
	case !old.created.Equal(at.created):
		logf(s.cfg, "stream %q was made anew at %s; it is read from its start", s.stream, at.created.Format(time.RFC3339))
		return at, nil
	case old.seq > last:
		return at, fmt.Errorf("stream %q ends at %d, before message %d that was read from it", s.stream, last, old.seq)
	case first > old.seq+1:
		logf(s.cfg, "messages %d to %d of stream %q were removed before they were read", old.seq+1, first-1, s.stream)
	}
	return old, nil
}

// read hands the messages of cur to in until ctx ends, and closes it.
func (s *streamSource) read(ctx context.Context, cur *fabric.ExternalCursor, at position, in chan<- message) error {
	defer close(in)
	for {
		rec, err := cur.Next(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, fabric.ErrClosed) {
				return nil
			}
			return err
		}
		at.seq = rec.Seq
		select {
		case in <- message{data: rec.Data, cursor: at.append(nil), part: s.part(rec.Subject)}:
		case <-ctx.Done():
			return nil
		}
	}
}
