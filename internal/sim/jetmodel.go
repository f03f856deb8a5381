package sim

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/wire"
)

// store models JetStream: logs that outlive processes and do the worst that they may.
// What is acknowledged is there for good (SyncAlways is set). What was sent and not
// acknowledged may be there, may come later, or never. Reads may show a prefix of what
// is there. Only the sequence that an append expects decides.
//
// A suffix that was written, not synced, and lost when the server stops is not modelled
// apart: since the server syncs before it acknowledges or serves a record, nobody has
// seen it, and it is the same as an append that never arrived.
type store struct {
	d    dice
	logs map[string]*modelLog
	// added is told of every record that a log takes.
	added func(log string, seq uint64, data []byte)
	// sometimes is told of what happened that is rare.
	sometimes func(what string)
	faults    faults
	full      bool // there is no space
	outage    bool // no append is answered
	unfenced  bool // a mutation: what an append expects is not looked at
}

// dice makes the choices.
type dice interface{ IntN(n int) int }

// faults says in how many of 1000 cases something goes wrong.
type faults struct {
	unavailable, never, later, written  int // of an append
	crashBefore, crashAfter, crashLater int // of the process that appends
	duplicate                           int // an append that arrives once more
	stale, readFails                    int // of a read
	crashDisk, flipped, diskIO          int // of the disk
}

// modelLog is one log.
type modelLog struct {
	name     string
	first    uint64   // sequence of recs[0]
	recs     [][]byte // never changed
	deleted  bool
	underway []append_ // sent, and not arrived
}

// append_ is an append on its way.
type append_ struct {
	recs   [][]byte
	expect uint64
}

func newStore(d dice) *store {
	return &store{d: d, logs: map[string]*modelLog{}, added: func(string, uint64, []byte) {}, sometimes: func(string) {}}
}

// in reports whether something happens that does in so many of 1000 cases.
func (s *store) in(rate int) bool { return rate > 0 && s.d.IntN(1000) < rate }

func (l *modelLog) last() uint64 { return l.first + uint64(len(l.recs)) - 1 }

// open returns the log of that name, made if it is not there.
func (s *store) open(name string) *modelLog {
	l := s.logs[name]
	if l == nil {
		l = &modelLog{name: name, first: 1}
		s.logs[name] = l
	}
	return l
}

// apply is what the server does with an append when it arrives.
func (s *store) apply(l *modelLog, a append_) (uint64, error) {
	if l.deleted {
		return 0, fmt.Errorf("%w: nobody takes records for log %q", fabric.ErrUnavailable, l.name)
	}
	if l.last() != a.expect && !s.unfenced {
		return 0, &fabric.WrongSequenceError{Expected: a.expect, Last: l.last()}
	}
	if s.full {
		return 0, fabric.ErrNoSpace
	}
	for _, r := range a.recs {
		l.recs = append(l.recs, r)
		s.added(l.name, l.last(), r)
	}
	return l.last(), nil
}

// deliver lets an append that is under way arrive, and reports whether there was one.
func (s *store) deliver() bool {
	var some []*modelLog
	for _, name := range sortedNames(s.logs) {
		if l := s.logs[name]; len(l.underway) > 0 {
			some = append(some, l)
		}
	}
	if len(some) == 0 {
		return false
	}
	l := some[s.d.IntN(len(some))]
	i := s.d.IntN(len(l.underway))
	a := l.underway[i]
	l.underway = slices.Delete(l.underway, i, i+1)
	if _, err := s.apply(l, a); err != nil {
		s.sometimes("late append refused")
	} else {
		s.sometimes("late append arrived")
	}
	return true
}

// forget lets everything that is under way never arrive.
func (s *store) forget() {
	for _, name := range sortedNames(s.logs) {
		s.logs[name].underway = nil
	}
}

// trim removes the records below a sequence; the last one stays.
func (l *modelLog) trim(below uint64) {
	below = min(below, l.last())
	if below > l.first {
		l.recs = l.recs[below-l.first:]
		l.first = below
	}
}

// logs is the store as one process sees it.
type logs struct {
	s *store
	p *proc
	w *World
}

// OpenLog implements engine.Logs.
func (o logs) OpenLog(ctx context.Context, name string) (engine.Log, error) {
	if o.w.pause(o.p) != nil {
		return nil, fabric.ErrClosed
	}
	return &logHandle{o, o.s.open(name)}, nil
}

// logHandle is a log as one process sees it.
type logHandle struct {
	logs
	l *modelLog
}

// alive lets others run, and tells whether the process still does.
func (h *logHandle) alive(ctx context.Context) error {
	if h.w.pause(h.p) != nil {
		return fabric.ErrClosed
	}
	return ctx.Err()
}

// Append implements engine.Log.
func (h *logHandle) Append(ctx context.Context, recs [][]byte, expect uint64) (uint64, error) {
	if err := h.alive(ctx); err != nil {
		return 0, err
	}
	own := make([][]byte, len(recs))
	for i, r := range recs {
		own[i] = slices.Clone(r)
	}
	a := append_{own, expect}
	last, err, certain := h.send(a)
	if certain {
		h.p.faulty = h.p.faulty || err != nil
		return last, err
	}
	if h.s.in(h.s.faults.duplicate) {
		h.l.underway = append(h.l.underway, a)
		h.s.sometimes("append duplicated")
	}
	if h.w.pause(h.p) != nil { // the answer is on its way
		return 0, fabric.ErrClosed
	}
	return last, err
}

// send decides what becomes of an append. certain says that the answer is err whatever
// else happens.
func (h *logHandle) send(a append_) (last uint64, err error, certain bool) {
	s, f := h.s, &h.s.faults
	lost := fmt.Errorf("%w: the answer is lost", fabric.ErrUnknown)
	if s.outage {
		f = &faults{never: 400, later: 400, written: 1000}
	}
	switch {
	case s.in(f.crashBefore):
		if h.isCheckpoint(a) {
			s.sometimes("crash between a manifest and its record in the log")
		}
		h.w.crash(h.p, "before an append")
		return 0, fabric.ErrClosed, true
	case s.in(f.crashLater):
		h.l.underway = append(h.l.underway, a)
		h.w.crash(h.p, "during an append that is under way")
		return 0, fabric.ErrClosed, true
	case s.in(f.crashAfter):
		if _, err := s.apply(h.l, a); err == nil {
			s.sometimes("crash after an append was written")
		}
		h.w.crash(h.p, "after an append")
		return 0, fabric.ErrClosed, true
	case s.in(f.unavailable):
		return 0, fmt.Errorf("%w: injected", fabric.ErrUnavailable), true
	case s.in(f.never):
		if len(a.recs) > 1 {
			s.sometimes("batch aborted")
		}
		return 0, lost, true
	case s.in(f.later):
		h.l.underway = append(h.l.underway, a)
		return 0, lost, true
	case s.in(f.written):
		if _, err := s.apply(h.l, a); err == nil {
			s.sometimes("unknown outcome that was written")
		}
		return 0, lost, true
	}
	last, err = s.apply(h.l, a)
	if err != nil {
		s.sometimes("append refused")
		h.p.faulty = true
	}
	return last, err, false
}

// isCheckpoint reports whether an append is that of a checkpoint's record.
func (h *logHandle) isCheckpoint(a append_) bool {
	return h.l.name == mainLog && wire.Kind(a.recs[0][3]) == wire.KindCkpt
}

// seen is how far a read sees the log.
func (h *logHandle) seen() uint64 {
	n := h.l.last()
	if len(h.l.recs) > 0 && h.s.in(h.s.faults.stale) {
		h.s.sometimes("stale read")
		h.p.faulty = true
		return n - uint64(h.s.d.IntN(min(len(h.l.recs), maxStale)+1))
	}
	return n
}

// maxStale is how many records a read may lag behind.
const maxStale = 20

// readable looks whether a read is answered at all.
func (h *logHandle) readable(ctx context.Context) error {
	if err := h.alive(ctx); err != nil {
		return err
	}
	if h.l.deleted {
		return fmt.Errorf("read log %q: %w", h.l.name, fabric.ErrNotFound)
	}
	if h.s.in(h.s.faults.readFails) {
		h.p.faulty = true
		return fmt.Errorf("read log %q: %w: injected", h.l.name, fabric.ErrUnavailable)
	}
	return nil
}

// Read implements engine.Log.
func (h *logHandle) Read(ctx context.Context, from uint64, fn func(fabric.Record) error) error {
	if err := h.readable(ctx); err != nil {
		return err
	}
	last := h.seen()
	for seq := max(from, h.l.first); seq <= last; seq++ {
		if h.s.in(pauseInRead) {
			if err := h.alive(ctx); err != nil {
				return err
			}
		}
		if seq < h.l.first {
			return &fabric.HoleError{Log: h.l.name, Want: seq, Got: h.l.first, First: h.l.first}
		}
		if err := fn(fabric.Record{Seq: seq, Data: slices.Clone(h.l.recs[seq-h.l.first])}); err != nil {
			return err
		}
	}
	return nil
}

// pauseInRead is in how many of 1000 cases others run between two records of a read.
const pauseInRead = 30

// Reader implements engine.Log.
func (h *logHandle) Reader(ctx context.Context, from uint64) (engine.Reader, error) {
	if err := h.readable(ctx); err != nil {
		return nil, err
	}
	return &modelReader{h: h, next: max(from, 1), fresh: true}, nil
}

// modelReader reads a log from one record on.
type modelReader struct {
	h     *logHandle
	next  uint64
	until uint64 // the end that was seen last
	fresh bool
}

// readerPatience is how often a reader looks whether the next record is there before
// its context ends.
const readerPatience = 60

// Next implements engine.Reader.
func (r *modelReader) Next(ctx context.Context) (fabric.Record, error) {
	for tries := 0; r.next > r.until; tries++ {
		if err := r.h.readable(ctx); err != nil {
			return fabric.Record{}, err
		}
		if r.fresh {
			r.next = max(r.next, r.h.l.first)
		}
		if r.until = r.h.seen(); r.next <= r.until {
			break
		}
		if tries == readerPatience {
			r.h.p.faulty = true
			return fabric.Record{}, fmt.Errorf("record %d of log %q does not come: %w", r.next, r.h.l.name, context.DeadlineExceeded)
		}
	}
	l := r.h.l
	if r.fresh = false; r.next < l.first {
		return fabric.Record{}, &fabric.HoleError{Log: l.name, Want: r.next, Got: l.first, First: l.first}
	}
	rec := fabric.Record{Seq: r.next, Data: slices.Clone(l.recs[r.next-l.first])}
	r.next++
	return rec, nil
}

// Stop implements engine.Reader.
func (r *modelReader) Stop() {}

// Bounds implements engine.Log.
func (h *logHandle) Bounds(ctx context.Context) (first, last uint64, err error) {
	if err := h.readable(ctx); err != nil {
		return 0, 0, err
	}
	return h.l.first, h.seen(), nil
}

// Trim implements engine.Log.
func (h *logHandle) Trim(ctx context.Context, below uint64) error {
	if err := h.readable(ctx); err != nil {
		return err
	}
	if h.l.trim(below); h.l.first > 1 {
		h.s.sometimes("log trimmed")
	}
	return nil
}

// Delete implements engine.Log.
func (h *logHandle) Delete(ctx context.Context) error {
	if err := h.readable(ctx); err != nil {
		return err
	}
	h.l.deleted = true
	if h.s.logs[h.l.name] == h.l {
		delete(h.s.logs, h.l.name)
	}
	return nil
}
