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
	id     string // names it, so that it is taken once; "" if it has none
}

// packed is a block and who waits for it.
type packed struct {
	rows     *batch.Builder
	parts    []uint32 // the partition of each row
	bad      []connector.Bad
	cursor   []byte
	messages []packedMessage
	bytes    int
	// When ids says that a message has one, and their log is asked which are there:
	ids  bool
	sent []connector.Sent // of those that are not
	sel  []uint32         // their rows
}

// packedMessage is one message of a block.
type packedMessage struct {
	reply, id string
	rows, bad int // behind its last one in the block
	// again says that the message was there before, at position before, or, if that is 0,
	// in the same block.
	again  bool
	before uint64
}

func (b *packed) full() bool {
	return len(b.messages) >= blockMessages || b.bytes >= blockBytes || b.rows.Len() >= batch.BlockRows
}

func (b *packed) reset() {
	b.rows.Reset()
	b.parts = b.parts[:0]
	clear(b.messages)
	b.bad, b.cursor, b.messages, b.bytes = nil, nil, b.messages[:0], 0
	b.ids, b.sent, b.sel = false, nil, b.sel[:0]
}

func (b *packed) add(d format.Decoder, m message) {
	b.bytes += len(m.data) + len(m.id)
	b.cursor = m.cursor
	b.ids = b.ids || m.id != ""
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
	b.messages = append(b.messages, packedMessage{reply: m.reply, id: m.id, rows: b.rows.Len(), bad: len(b.bad)})
}

// block is what is appended: all of b, but the messages that are in the log.
func (p *packer) block(ctx context.Context, b *packed, to connector.Intake) (connector.Block, error) {
	blk := connector.Block{Rows: b.rows.View(), Bad: b.bad, Cursor: b.cursor}
	if p.bySubject {
		blk.Parts = b.parts
	}
	if !b.ids {
		return blk, nil
	}
	again, err := b.findAgain(ctx, to)
	blk.Sent = b.sent
	if err != nil || again == 0 {
		return blk, err
	}
	blk.Bad = nil
	parts := b.parts[:0:0]
	if b.sel == nil {
		b.sel = []uint32{} // no rows; nil would be all
	}
	rows, bad := 0, 0
	for _, m := range b.messages {
		for ; rows < m.rows; rows++ {
			if !m.again {
				b.sel, parts = append(b.sel, uint32(rows)), append(parts, b.parts[rows])
			}
		}
		for ; bad < m.bad; bad++ {
			if !m.again {
				blk.Bad = append(blk.Bad, b.bad[bad])
			}
		}
	}
	kept := *blk.Rows
	kept.Sel = b.sel
	blk.Rows = &kept
	if p.bySubject {
		blk.Parts = parts
	}
	return blk, nil
}

// findAgain marks the messages that are in the log, or were in b before, and returns
// their number. The others are in b.sent then.
func (b *packed) findAgain(ctx context.Context, to connector.Intake) (again int, err error) {
	here := map[string]bool{}
	for i := range b.messages {
		m := &b.messages[i]
		if m.id == "" {
			continue
		}
		m.again = here[m.id]
		if !m.again {
			if m.before, m.again, err = to.Known(ctx, m.id); err != nil {
				return 0, err
			}
		}
		if m.again {
			again++
			continue
		}
		here[m.id] = true
		b.sent = append(b.sent, connector.Sent{Key: m.id})
	}
	return again, nil
}

// allAgain reports whether nothing of b is new.
func (b *packed) allAgain() bool {
	for i := range b.messages {
		if !b.messages[i].again {
			return false
		}
	}
	return true
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
// every block that was appended, or needed not be, or was not: err tells.
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
				var blk connector.Block
				if blk, err = p.block(ctx, b, to); err == nil && !b.allAgain() {
					pos, err = to.Append(ctx, blk)
				}
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
	if len(cur.messages) > 0 {
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
		if in.ch == nil && len(cur.messages) == 0 {
			return cur, nil, false
		}
		from, to := in.ch, out
		if cur.full() {
			from = nil
		}
		if len(cur.messages) == 0 {
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
