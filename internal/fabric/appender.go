package fabric

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// DefaultWindow and MaxWindow bound the records an Appender has sent and not yet heard of.
	DefaultWindow = 64
	MaxWindow     = 1024
	// DefaultWindowBytes and MaxWindowBytes bound their size together.
	DefaultWindowBytes = 16 << 20
	MaxWindowBytes     = 64 << 20
	// MaxAppendAttempts bounds how often an Appender sends one record before it calls the outcome unknown.
	MaxAppendAttempts = 4

	settlePause = 50 * time.Millisecond // before sending again when the server could not be asked
)

// AppendResult tells what became of one record given to an Appender.
type AppendResult struct {
	Tag uint64 // as given to Append
	Seq uint64 // its place in the log, if Err is nil
	Err error  // as of Log.Append; the first error ends the Appender and goes to all records after it
}

// AppenderConfig says how an Appender works.
type AppenderConfig struct {
	// ExpectLast is the log's last sequence: the first record takes the place after it or is refused.
	ExpectLast uint64
	// Window bounds the records under way. Zero: DefaultWindow. A log of a cluster has one under way.
	Window int
	// WindowBytes bounds their size together; one record is always let through. Zero: DefaultWindowBytes.
	WindowBytes int
	// OnResult is called once for every record that Append accepted, in that order, from one goroutine. It must not
	// call the Appender.
	OnResult func(AppendResult)
}

// Appender appends records one after another without waiting for each acknowledgement. Every record is fenced by its
// own place and by the Appender's record before it: if another writer gets in between, that record and all after it are
// refused. A lost acknowledgement is settled by looking at the record's place, never by sending blindly, so no record
// is stored twice.
type Appender struct {
	log    *Log
	cfg    AppenderConfig
	id     string // unlike that of any other Appender; written into every record's header
	inbox  string // acknowledgements come to inbox.<sequence>.<attempt>
	sub    *nats.Subscription
	acks   chan *nats.Msg
	in     chan *pendingAppend
	quit   chan struct{} // closed by Close: take no more, finish what is under way
	abort  context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	endErr error         // why it ended, valid after done

	// The rest belongs to the goroutine.
	queue     []*pendingAppend // in order of Append; the head is not settled yet
	sent      int              // records in queue
	sentBytes int
	next      uint64 // sequence for the next record
	headTimer *time.Timer
}

// pendingAppend is a record under way, or a Flush that waits for those before it.
type pendingAppend struct {
	tag      uint64
	rec      []byte
	flushed  chan struct{} // not nil: a Flush
	seq      uint64
	attempts int
	deadline time.Time
	acked    bool
	refused  *ackError
	lost     error // an injected fault
}

// StartAppender starts an Appender. It ends when ctx ends, by Close, with the Fabric, or with the first error.
func (l *Log) StartAppender(ctx context.Context, cfg AppenderConfig) (*Appender, error) {
	if cfg.OnResult == nil {
		return nil, fmt.Errorf("start appender on log %q: no OnResult", l.name)
	}
	cfg.Window = clampDefault(cfg.Window, DefaultWindow, MaxWindow)
	cfg.WindowBytes = clampDefault(cfg.WindowBytes, DefaultWindowBytes, MaxWindowBytes)
	if l.replicated() {
		cfg.Window = 1 // a replicated stream cannot check a record against one that is still being replicated
	}
	a := &Appender{
		log: l, cfg: cfg, id: l.f.nextID(), inbox: l.f.internal.NewInbox(),
		acks: make(chan *nats.Msg, cfg.Window*MaxAppendAttempts),
		in:   make(chan *pendingAppend), quit: make(chan struct{}, 1), done: make(chan struct{}),
		next: cfg.ExpectLast + 1, headTimer: time.NewTimer(time.Hour),
	}
	a.headTimer.Stop()
	sub, err := l.f.internal.ChanSubscribe(a.inbox+".*.*", a.acks)
	if err != nil {
		return nil, fmt.Errorf("start appender on log %q: %w", l.name, l.f.orClosed(err))
	}
	a.sub = sub
	ctx, a.abort = context.WithCancel(ctx)
	if !l.f.goRun(func() { a.run(ctx) }) {
		a.abort()
		sub.Unsubscribe()
		return nil, fmt.Errorf("start appender on log %q: %w", l.name, ErrClosed)
	}
	return a, nil
}

func clampDefault(v, fallback, most int) int {
	if v <= 0 {
		return fallback
	}
	return min(v, most)
}

// Append hands over one record; it waits while the window is full. rec must not change before its result came. An
// error means that the record was not taken and has no result: ctx ended, the record is too large, or the Appender has
// ended, in which case it is the error that ended it.
func (a *Appender) Append(ctx context.Context, tag uint64, rec []byte) error {
	if len(rec) > MaxRecordBytes {
		return fmt.Errorf("append to log %q: %w: record has %d bytes, at most %d", a.log.name, ErrTooLarge, len(rec), MaxRecordBytes)
	}
	return a.hand(ctx, &pendingAppend{tag: tag, rec: rec})
}

// Flush waits until every record that Append took before has its result.
func (a *Appender) Flush(ctx context.Context) error {
	flushed := make(chan struct{})
	if err := a.hand(ctx, &pendingAppend{flushed: flushed}); err != nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-a.done:
		return a.endErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *Appender) hand(ctx context.Context, p *pendingAppend) error {
	select {
	case <-a.done:
		return a.endErr
	default:
	}
	select {
	case a.in <- p:
		return nil
	case <-a.done:
		return a.endErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close takes no more records, waits until those under way have their results, and ends the Appender. If ctx ends
// first the rest get ErrUnknown. It returns the error that ended the Appender, if one did.
func (a *Appender) Close(ctx context.Context) error {
	select {
	case a.quit <- struct{}{}:
	default:
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		a.abort()
		<-a.done
	}
	if errors.Is(a.endErr, ErrClosed) && !errors.Is(a.endErr, ErrUnknown) {
		return nil
	}
	return a.endErr
}

// run owns the queue until the Appender ends.
func (a *Appender) run(ctx context.Context) {
	err := a.loop(ctx)
	a.sub.Unsubscribe()
	a.headTimer.Stop()
	a.abort()
	for _, p := range a.queue {
		if p.flushed == nil {
			a.cfg.OnResult(AppendResult{Tag: p.tag, Err: err})
		}
	}
	a.queue = nil
	a.endErr = err
	close(a.done)
}

// loop returns the error that every record left in the queue gets.
func (a *Appender) loop(ctx context.Context) error {
	quitting, link, term := false, a.log.f.currentLink(), a.log.f.term(a.log.stream)
	for {
		if err := a.reportHead(ctx); err != nil {
			return fmt.Errorf("append to log %q: %w", a.log.name, err)
		}
		if quitting && len(a.queue) == 0 {
			return fmt.Errorf("append to log %q: %w", a.log.name, ErrClosed)
		}
		in := a.in
		if quitting || a.sent >= a.cfg.Window || a.sentBytes >= a.cfg.WindowBytes {
			in = nil
		}
		select {
		case p := <-in:
			a.accept(p)
		case msg := <-a.acks:
			a.acknowledge(msg)
		case <-a.headTimer.C: // the head waited long enough; reportHead settles it
		case <-link.Done():
			link = a.log.f.currentLink()
			a.loseAll(errRelinked)
		case <-term.Done():
			term = a.log.f.term(a.log.stream)
			a.loseAll(errElected)
		case <-a.quit:
			quitting = true
		case <-a.log.f.closed:
			return fmt.Errorf("append to log %q: %w", a.log.name, a.endedEarly(ErrClosed))
		case <-ctx.Done():
			return fmt.Errorf("append to log %q: %w", a.log.name, a.endedEarly(ctx.Err()))
		}
	}
}

// loseAll notes that the answers under way were lost, with the connection or with a leader.
func (a *Appender) loseAll(cause error) {
	for _, p := range a.queue {
		if !p.acked && p.refused == nil {
			p.lost = cause
		}
	}
}

// endedEarly is the error for records that were sent and not heard of when the Appender had to end.
func (a *Appender) endedEarly(cause error) error {
	if len(a.queue) == 0 {
		return cause
	}
	return unknown(cause)
}

func (a *Appender) accept(p *pendingAppend) {
	a.queue = append(a.queue, p)
	if p.flushed == nil {
		p.seq = a.next
		a.next++
		a.sent++
		a.sentBytes += len(p.rec)
		a.publish(p)
	}
}

// publish sends one record for its place. An error here is a lost message like any other: the time-out settles it.
func (a *Appender) publish(p *pendingAppend) {
	p.attempts++
	p.refused, p.lost = nil, nil
	p.deadline = time.Now().Add(a.log.f.timeout)
	if len(a.queue) > 0 && a.queue[0] == p {
		a.headTimer.Reset(a.log.f.timeout)
	}
	if fault := a.log.f.faults.BeforeAppend; fault != nil {
		if p.lost = fault(a.log.name, p.seq-1); p.lost != nil {
			return
		}
	}
	header := nats.Header{
		writerHeader:                    []string{a.id},
		jetstream.ExpectedLastSeqHeader: []string{formatUint(p.seq - 1)},
	}
	if !a.log.replicated() {
		before := uint64(0)
		if p.seq-1 > a.cfg.ExpectLast {
			before = p.seq - 1
		}
		header[jetstream.ExpectedLastSubjSeqHeader] = []string{formatUint(before)}
	}
	p.lost = a.log.f.internal.PublishMsg(&nats.Msg{
		Subject: a.log.subject + "." + a.id,
		Reply:   a.inbox + "." + formatUint(p.seq) + "." + strconv.Itoa(p.attempts),
		Header:  header,
		Data:    p.rec,
	})
}

// acknowledge notes an answer of the server. A refusal of an attempt that was followed by another says nothing.
func (a *Appender) acknowledge(msg *nats.Msg) {
	seqText, attemptText, ok := strings.Cut(strings.TrimPrefix(msg.Subject, a.inbox+"."), ".")
	seq, err := strconv.ParseUint(seqText, 10, 64)
	if !ok || err != nil {
		return
	}
	p := a.find(seq)
	if p == nil || p.acked {
		return
	}
	ack, err := parseAck(msg.Data)
	switch {
	case msg.Header.Get("Status") == "503":
		if attemptText == strconv.Itoa(p.attempts) {
			p.refused = &ackError{Code: statusTooManyRequests, Description: "no stream takes records for this log"}
		}
	case err != nil:
		p.lost = err
	case ack.Error != nil:
		if attemptText == strconv.Itoa(p.attempts) {
			p.refused = ack.Error
		}
	case ack.Seq == p.seq:
		if fault := a.log.f.faults.AfterAppend; fault != nil {
			if p.lost = fault(a.log.name, ack.Seq); p.lost != nil {
				return
			}
		}
		p.acked = true
	}
}

func (a *Appender) find(seq uint64) *pendingAppend {
	for _, p := range a.queue {
		if p.flushed == nil && p.seq == seq {
			return p
		}
	}
	return nil
}

// reportHead hands out the results that are certain, in order, and settles the first one that is not if it has been
// refused or has waited too long. The error ends the Appender.
func (a *Appender) reportHead(ctx context.Context) error {
	popped := false
	for len(a.queue) > 0 {
		p := a.queue[0]
		switch {
		case p.flushed != nil:
			close(p.flushed)
		case p.acked:
			a.sent--
			a.sentBytes -= len(p.rec)
			a.cfg.OnResult(AppendResult{Tag: p.tag, Seq: p.seq})
		case p.refused != nil || p.lost != nil || !time.Now().Before(p.deadline):
			if err := a.settle(ctx, p); err != nil {
				return err
			}
			continue
		default:
			if popped {
				a.headTimer.Reset(time.Until(p.deadline))
			}
			return nil
		}
		a.queue[0] = nil
		a.queue = a.queue[1:]
		popped = true
	}
	return nil
}

// settle finds out what became of the head: the record at its place decides. It is either ours, or somebody else's, or
// there is none yet, and then everything from the head on is sent again.
func (a *Appender) settle(ctx context.Context, p *pendingAppend) error {
	if p.refused != nil && !isWrongSequence(p.refused) {
		if err := writeRefusal(p.refused); p.attempts == 1 || errors.Is(err, ErrUnknown) {
			return err
		} else {
			return unknown(err) // an earlier attempt may yet arrive
		}
	}
	rec, err := a.log.Get(ctx, p.seq)
	switch {
	case err == nil && rec.writer == a.id:
		p.acked = true
		return nil
	case err == nil, errors.Is(err, ErrNotFound):
		_, last, berr := a.log.Bounds(ctx)
		if berr == nil && last != p.seq-1 {
			return &WrongSequenceError{Expected: p.seq - 1, Last: last}
		}
		err = berr
	}
	if p.attempts >= MaxAppendAttempts || ctx.Err() != nil {
		cause := errors.Join(p.lost, err, ctx.Err())
		if cause == nil {
			cause = fmt.Errorf("no answer after %d attempts of %v", p.attempts, a.log.f.timeout)
		}
		return unknown(cause)
	}
	if err != nil {
		pause(ctx, settlePause*time.Duration(p.attempts))
	}
	for _, q := range a.queue {
		if q.flushed == nil && !q.acked {
			a.publish(q)
		}
	}
	return nil
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
