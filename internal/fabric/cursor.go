package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// readAheadRecords and readAheadBytes bound what a reader has asked for and not yet handed on.
	readAheadRecords = 500
	readAheadBytes   = 4 * MaxPayloadBytes
	// cursorIdleTimeout is when the server forgets a reader it has not heard of.
	cursorIdleTimeout = 30 * time.Second
	// cursorExpiry is for how long the server is asked at a time.
	cursorExpiry = 30 * time.Second
	// cursorBeat is how often it says that it is there, and clusterBeat in a cluster, where another may go on in its
	// place. After two beats that did not come it is asked anew.
	cursorBeat  = 5 * time.Second
	clusterBeat = time.Second
	// reopenPause is between tries to ask anew, doubled up to maxReopenPause.
	reopenPause    = 20 * time.Millisecond
	maxReopenPause = time.Second
	// idleCheck is how often readers of logs that wait are compared with where the log's leader says that it ends.
	idleCheck = 2 * time.Second
)

// cursor reads a stream in order of sequence, by consumers of its own on the server: when one is gone, or a message was
// lost on the way, it makes another that goes on where the last one was. The Fabric knows all cursors and stops them
// when it closes.
type cursor struct {
	f      *Fabric
	conn   *nats.Conn
	js     jetstream.JetStream
	stream string
	filter string
	local  bool // read this node's copy and no other

	from      uint64        // belongs to whoever calls next: all below was handed on
	delivered uint64        // likewise: messages of this consumer
	handed    atomic.Uint64 // = from, for others to see
	waiting   atomic.Bool   // next waits
	stopped   chan struct{}

	mu       sync.Mutex
	consumer string                    // the name of the one in use
	node     string                    // where it is
	iter     jetstream.MessagesContext // nil: to be made
	isStop   bool
}

// openCursor reads a stream in order of sequence. An empty filter takes every subject.
func openCursor(ctx context.Context, f *Fabric, conn *nats.Conn, stream string, from uint64, filter string) (*cursor, error) {
	c := &cursor{f: f, conn: conn, js: f.js, stream: stream, filter: filter, from: from, stopped: make(chan struct{})}
	if conn == f.clients {
		c.js = f.clientJS
	}
	return c, c.begin(ctx)
}

// openLocalCursor reads this node's copy of a stream of ours.
func openLocalCursor(ctx context.Context, f *Fabric, stream string, from uint64) (*cursor, error) {
	c := &cursor{f: f, conn: f.internal, js: f.js, stream: stream, local: true, from: from, stopped: make(chan struct{})}
	return c, c.begin(ctx)
}

func (c *cursor) begin(ctx context.Context) error {
	f := c.f
	c.handed.Store(c.from)
	f.mu.Lock()
	closing := f.closing.Load()
	if !closing {
		f.cursors[c] = struct{}{} // before it is open: a connection that breaks from here on is seen
	}
	f.mu.Unlock()
	if closing {
		return ErrClosed
	}
	if err := f.settle(ctx, c.open); err != nil {
		c.stop()
		return err
	}
	return nil
}

// open makes a consumer that begins at c.from.
func (c *cursor) open(ctx context.Context) error {
	beat := cursorBeat
	if c.f.cluster != nil {
		beat = clusterBeat
	}
	consumer, err := c.create(ctx)
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	name, node := info.Name, c.f.name
	if info.Cluster != nil {
		node = info.Cluster.Leader
	}
	iter, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(readAheadRecords, readAheadBytes),
		jetstream.PullExpiry(cursorExpiry), jetstream.PullHeartbeat(beat), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.consumer, c.node, c.iter, c.delivered = name, node, iter, 0
	stop := c.isStop
	c.mu.Unlock()
	if stop {
		c.breakOff()
		return ErrClosed
	}
	return nil
}

// create asks the server for a consumer. It chooses the copy; if that must be this node's it is asked until it does.
func (c *cursor) create(ctx context.Context) (jetstream.Consumer, error) {
	for range maxLocalTries {
		consumer, err := c.js.CreateConsumer(ctx, c.stream, jetstream.ConsumerConfig{
			Name: c.f.nextID(), DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: c.from, AckPolicy: jetstream.AckNonePolicy,
			FilterSubject: c.filter, InactiveThreshold: cursorIdleTimeout, Replicas: 1, MemoryStorage: true,
		})
		if err != nil {
			return nil, err
		}
		info := consumer.CachedInfo()
		if !c.local || info.Cluster == nil || info.Cluster.Leader == c.f.name {
			return consumer, nil
		}
		if err := c.js.DeleteConsumer(ctx, c.stream, info.Name); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: the server never read this node's copy in %d tries", ErrUnavailable, maxLocalTries)
}

// at is the node whose copy is read.
func (c *cursor) at() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.node
}

// breakOff gives up the consumer in use, so that another takes its place. Any goroutine may call it.
func (c *cursor) breakOff() {
	c.mu.Lock()
	iter, name := c.iter, c.consumer
	c.iter, c.consumer = nil, ""
	c.mu.Unlock()
	if iter == nil {
		return
	}
	iter.Stop()
	c.conn.Publish("$JS.API.CONSUMER.DELETE."+c.stream+"."+name, nil) // else it idles out by itself
}

// stop ends the cursor, also a next that waits, and tells the server to forget it.
func (c *cursor) stop() {
	c.f.mu.Lock()
	delete(c.f.cursors, c)
	c.f.mu.Unlock()
	c.mu.Lock()
	was := c.isStop
	c.isStop = true
	c.mu.Unlock()
	if !was {
		close(c.stopped)
	}
	c.breakOff()
}

// streamRecord is a record with what only external streams have.
type streamRecord struct {
	Record
	Subject string
	Header  Header
}

// next waits for the next message and takes it apart.
func (c *cursor) next(ctx context.Context) (streamRecord, error) {
	c.waiting.Store(true)
	defer c.waiting.Store(false)
	for {
		c.mu.Lock()
		iter, stop := c.iter, c.isStop
		c.mu.Unlock()
		if stop {
			return streamRecord{}, ErrClosed
		}
		if iter == nil {
			if err := c.reopen(ctx); err != nil {
				return streamRecord{}, err
			}
			continue
		}
		msg, err := iter.Next(jetstream.NextContext(ctx))
		switch {
		case err == nil:
		case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
			return streamRecord{}, err
		default:
			c.breakOff() // whatever it was, another consumer goes on
			continue
		}
		meta, err := msg.Metadata()
		if err != nil {
			return streamRecord{}, fmt.Errorf("metadata of a record: %w", err)
		}
		if c.delivered++; meta.Sequence.Consumer != c.delivered {
			c.breakOff() // one was lost on the way
			continue
		}
		seq := meta.Sequence.Stream
		if seq < c.from {
			continue // a copy that is behind begins where it ends
		}
		c.from = seq + 1
		c.handed.Store(c.from)
		rec := Record{Seq: seq, Time: meta.Timestamp, Data: msg.Data()}
		return streamRecord{Record: rec, Subject: msg.Subject(), Header: Header(msg.Headers())}, nil
	}
}

// reopen makes a consumer in place of one that is gone. It tries until ctx ends, unless the stream is gone too.
func (c *cursor) reopen(ctx context.Context) error {
	for gap := reopenPause; ; gap = min(2*gap, maxReopenPause) {
		try, end := context.WithTimeout(ctx, tryTimeout)
		err := c.open(try)
		end()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err = c.f.orClosed(notFound(err)); errors.Is(err, ErrClosed) || !temporary(err) {
			return err
		}
		timer := time.NewTimer(gap)
		select {
		case <-timer.C:
		case <-c.stopped:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// breakCursors gives up the consumers of a connection that was made anew: what was on its way is lost.
func (f *Fabric) breakCursors(conn *nats.Conn) {
	for _, c := range f.openCursors() {
		if c.conn == conn {
			c.breakOff()
		}
	}
}

func (f *Fabric) openCursors() []*cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	open := make([]*cursor, 0, len(f.cursors))
	for c := range f.cursors {
		open = append(open, c)
	}
	return open
}

// watchCursors looks for readers of logs that wait although there is more: the message was lost between nodes, and
// none came after it that would have shown the gap, or the copy that is read does not go on.
func (f *Fabric) watchCursors() {
	tick := time.NewTicker(idleCheck)
	defer tick.Stop()
	at := map[*cursor]uint64{} // where those were that waited when we last looked
	for {
		select {
		case <-tick.C:
		case <-f.closed:
			return
		}
		now := map[*cursor]uint64{}
		last := map[string]uint64{}
		for _, c := range f.openCursors() {
			next := c.handed.Load()
			if c.conn != f.internal || !c.waiting.Load() {
				continue
			}
			if was, ok := at[c]; !ok || was != next {
				now[c] = next
				continue
			}
			if _, ok := last[c.stream]; !ok {
				last[c.stream] = f.lastNow(c.stream)
			}
			if last[c.stream] >= next && c.handed.Load() == next {
				c.breakOff()
				continue
			}
			now[c] = next
		}
		at = now
	}
}

// lastNow is a stream's last sequence by the word of its leader, or 0 if that does not answer at once.
func (f *Fabric) lastNow(stream string) uint64 {
	ctx, cancel := context.WithTimeout(f.life, tryTimeout)
	defer cancel()
	s, err := f.js.Stream(ctx, stream)
	if err != nil {
		return 0
	}
	return s.CachedInfo().State.LastSeq
}
