package nats

import (
	"bytes"
	"context"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/format"
)

const (
	// blockBytes bounds the messages of a block, but for one that is longer alone.
	blockBytes = 1 << 20
	// blockMessages bounds their number.
	blockMessages = batch.BlockRows
)

// packer makes blocks of messages: while one block is being appended the next is
// gathered, so that a lone message is appended at once and many share an append.
type packer struct {
	cfg connector.Config
	enc *connector.Encoding
	// bySubject makes each subject a partition, with a watermark of its own.
	bySubject bool
}

// input is where messages come from.
type input struct {
	ch   <-chan message
	took func(message) // called for each that was received; may be nil
}

func (in *input) add(b *packed, d format.Decoder, m message) {
	if in.took != nil {
		in.took(m)
	}
	b.add(d, m)
}

// message is one message to pack.
type message struct {
	data   []byte
	reply  string
	cursor []byte // to go on behind it, or nil
	part   uint32 // the partition, if there are several
}

// packed is a block and who waits for it.
type packed struct {
	rows     *batch.Builder
	parts    []uint32 // the partition of each row
	bad      []connector.Bad
	cursor   []byte
	replies  []string
	messages int
	bytes    int
}

func (b *packed) full() bool {
	return b.messages >= blockMessages || b.bytes >= blockBytes || b.rows.Len() >= batch.BlockRows
}

func (b *packed) reset() {
	b.rows.Reset()
	b.parts = b.parts[:0]
	b.bad, b.cursor, b.replies, b.messages, b.bytes = nil, nil, b.replies[:0], 0, 0
}

func (b *packed) add(d format.Decoder, m message) {
	b.messages++
	b.bytes += len(m.data)
	b.cursor = m.cursor
	if m.reply != "" {
		b.replies = append(b.replies, m.reply)
	}
	switch {
	case len(m.data) > format.MaxRecordBytes:
		b.bad = append(b.bad, connector.BadOf(format.Bad{Data: m.data, Reason: tooLong(len(m.data))}))
	case len(bytes.TrimSpace(m.data)) == 0:
		b.bad = append(b.bad, connector.BadOf(format.Bad{Data: m.data, Reason: "empty message"}))
	default:
		d.Decode(m.data, b.rows, func(bad format.Bad) { b.bad = append(b.bad, connector.BadOf(bad)) })
	}
	for len(b.parts) < b.rows.Len() {
		b.parts = append(b.parts, m.part)
	}
}

// part returns the partition of messages of a subject.
func (p *packer) part(subject string) uint32 {
	if !p.bySubject {
		return 0
	}
	return connector.PartitionOf(subject)
}

// run packs what comes from in until ctx ends (nil), in's channel is closed (nil) or an
// append fails. settle is called, from another goroutine but one at a time, for
// every block that was appended or was not: err tells.
func (p *packer) run(ctx context.Context, in input, to connector.Intake, settle func(b *packed, pos uint64, err error)) error {
	out, free := make(chan *packed), make(chan *packed, 2)
	failed := make(chan error, 1) // gets one value when the appender ends
	for range cap(free) {
		free <- &packed{rows: batch.NewBuilder(p.enc.Types())}
	}
	go func() {
		var err error
		for b := range out {
			var pos uint64
			if err == nil {
				blk := connector.Block{Rows: b.rows.View(), Bad: b.bad, Cursor: b.cursor}
				if p.bySubject {
					blk.Parts = b.parts
				}
				pos, err = to.Append(ctx, blk)
			}
			settle(b, pos, err)
			b.reset()
			free <- b
			if err != nil {
				break
			}
		}
		failed <- err
	}()
	cur, err, ended := p.gather(ctx, in, out, free, failed)
	close(out)
	if !ended {
		err = <-failed
	}
	if cur.messages > 0 {
		settle(cur, 0, errStopped)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// gather fills blocks from in and hands them to out. It returns the block at hand,
// and whether the appender ended before, with what.
func (p *packer) gather(ctx context.Context, in input, out chan<- *packed, free <-chan *packed, failed <-chan error) (*packed, error, bool) {
	d := p.enc.Decoder()
	cur := <-free
	for {
		for more := in.ch != nil; more && !cur.full(); {
			select {
			case m, ok := <-in.ch:
				if more = ok; ok {
					in.add(cur, d, m)
				} else {
					in.ch = nil
				}
			default:
				more = false
			}
		}
		if in.ch == nil && cur.messages == 0 {
			return cur, nil, false
		}
		from, to := in.ch, out
		if cur.full() {
			from = nil
		}
		if cur.messages == 0 {
			to = nil
		}
		select {
		case m, ok := <-from:
			if ok {
				in.add(cur, d, m)
			} else {
				in.ch = nil
			}
		case to <- cur:
			cur = <-free
		case err := <-failed:
			return cur, err, true
		case <-ctx.Done():
			return cur, nil, false
		}
	}
}
