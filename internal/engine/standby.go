package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// Bounds of following the log.
const (
	// followAhead is how many records are read ahead of the one that is computed.
	followAhead = 16
	// showEvery is after how many steps at the latest a standby that is behind shows readers
	// how far it is.
	showEvery = 64
	// followPause is between two attempts to read on; maxHoleReads is how often a record that
	// should be there is looked for.
	followPause  = 500 * time.Millisecond
	maxHoleReads = 20
	// probeEvery is how often it is asked where the log ends, probeTimeout bounds the answer.
	probeEvery   = time.Second
	probeTimeout = 2 * time.Second
	// pulseEvery is how often it is noted that the process runs. If that was not for
	// stoppedAfter it was stopped, and for wokeFor after it nothing is believed of the log's end.
	pulseEvery   = 250 * time.Millisecond
	stoppedAfter = time.Second
	wokeFor      = 3 * time.Second
)

// standby is what a leader that does not lead yet knows of the log it follows.
type standby struct {
	// muted is the record up to which readers are shown nothing: a command there removes a
	// source whose rows are gone already, so that what is computed until then is not whole.
	muted  uint64
	midway bool // the last record belongs to a step whose own record is still to come
	hidden int  // steps and commands that readers do not see yet
	// overtaken says that while this one claimed the lead another one committed something.
	overtaken bool
	// claim is the context of Lead while it claims; unsure says that an attempt to append the
	// claim may yet succeed.
	claim  context.Context
	unsure bool
}

// errOvertaken says that a claim came to nothing, since somebody else leads.
var errOvertaken = errors.New("another node leads")

// givesUp reports whether a claim whose append has failed with err is to be given up: its
// caller wants no more, and it is certain that it is not in the log.
func (l *leader) givesUp(err error) bool {
	f := l.follows
	if f == nil || f.claim == nil {
		return false
	}
	f.unsure = f.unsure || !errors.Is(err, fabric.ErrUnavailable)
	return !f.unsure && f.claim.Err() != nil
}

// giveWay makes one that claimed the lead a standby again.
func (l *leader) giveWay() error {
	l.follows.overtaken = false
	if l.coord.Role() == coord.Claiming {
		l.feed(coord.Withdrawn{})
	}
	l.staged, l.queue = nil, nil
	if l.follows.hidden > 0 {
		l.show()
	}
	return errOvertaken
}

// reading is a goroutine that reads on in the log.
type reading struct {
	recs   chan fabric.Record
	failed chan error // of capacity 1
	cancel context.CancelFunc
	ended  chan struct{}
}

// stop ends it and waits for it.
func (r *reading) stop() {
	r.cancel()
	<-r.ended
}

// read begins to read the log from a record on.
func (e *Engine) read(from uint64) *reading {
	ctx, cancel := context.WithCancel(e.ctx)
	r := &reading{recs: make(chan fabric.Record, followAhead), failed: make(chan error, 1), cancel: cancel, ended: make(chan struct{})}
	e.aux.Go(func() {
		defer close(r.ended)
		if err := e.readOn(ctx, from, r.recs); err != nil && ctx.Err() == nil {
			r.failed <- err
		}
	})
	e.aux.Go(func() { e.probe(ctx) })
	e.aux.Go(func() { e.pulse(ctx) })
	return r
}

// pulse watches whether the process is stopped.
func (e *Engine) pulse(ctx context.Context) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	defer e.stand.pulse(time.Time{})
	for {
		e.stand.pulse(e.cfg.Clock())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// pulse notes that the process runs; with the zero time, that nobody looks any more.
func (s *stand) pulse(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now.IsZero() {
		s.awake(now)
	}
	s.pulsed = now
}

// awake notes if the process was stopped until now; under mu. What it finds then was sent
// before, and its own broker, stopped as well, may take itself for the leader of a log that
// has another one.
func (s *stand) awake(now time.Time) {
	if !s.pulsed.IsZero() && now.Sub(s.pulsed) > stoppedAfter {
		s.woke, s.pulsed = now, now
	}
}

// readOn hands on all records from one on, until ctx ends. What may pass is waited for.
func (e *Engine) readOn(ctx context.Context, from uint64, to chan<- fabric.Record) error {
	holes := 0
	for {
		at := from
		err := e.readSome(ctx, &from, to)
		if from > at {
			holes = 0
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, fabric.ErrClosed):
			return err
		case errors.Is(err, fabric.ErrTrimmed):
			return fmt.Errorf("%w: %w", ErrNeedsCheckpoint, err)
		case errors.Is(err, fabric.ErrHole) || errors.Is(err, fabric.ErrDamaged):
			if holes++; holes == maxHoleReads {
				return err
			}
		}
		e.cfg.Logger.Warn("follow the log", "pipeline", e.cfg.Name, "record", from, "err", err)
		e.sleep(ctx, followPause)
	}
}

// readSome hands records on until an error; from is moved behind each.
func (e *Engine) readSome(ctx context.Context, from *uint64, to chan<- fabric.Record) error {
	r, err := e.log.Reader(ctx, *from)
	if err != nil {
		return err
	}
	defer r.Stop()
	for {
		rec, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if rec.Seq > *from {
			return &fabric.HoleError{Log: "LOG_" + e.cfg.Name, Want: *from, Got: rec.Seq, First: rec.Seq}
		}
		if rec.Seq < *from {
			continue
		}
		select {
		case to <- rec:
			*from++
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// probe asks again and again where the log ends.
func (e *Engine) probe(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		at := e.cfg.Clock()
		ask, cancel := context.WithTimeout(ctx, probeTimeout)
		_, last, err := e.log.Bounds(ask)
		cancel()
		if err == nil {
			e.stand.ends(at, last)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ends notes that the log ended at a record at some time.
func (s *stand) ends(at time.Time, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awake(at)
	s.asked, s.end = at, last
	s.current()
}

// heard notes that a record is part of the state.
func (s *stand) heard(at time.Time, seq, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awake(at)
	s.now.LogPosition, s.now.Epoch, s.now.Heard = seq, epoch, at
	s.current()
}

// current says since when readers see all that was committed; under mu.
func (s *stand) current() {
	if s.asked.IsZero() || s.shown < s.end || s.asked.Before(s.woke.Add(wokeFor)) {
		return
	}
	at := s.asked
	if s.now.Heard.Before(at) {
		at = s.now.Heard // who asks may be cut off together with who answers; a leader commits something every HeartbeatSteps
	}
	if at.After(s.now.AtEnd) {
		s.now.AtEnd = at
	}
}

// shows notes up to which record readers see the state.
func (s *stand) shows(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = seq
	s.current()
}

// appended notes that a leader's append has succeeded, which proves that it led at some time
// behind at, when it was sent: the process may have been stopped before it heard of it.
func (s *stand) appended(at time.Time, seq, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.LogPosition, s.now.Epoch, s.now.Heard, s.now.AtEnd = seq, epoch, at, at
}

// beginStandby ends the replay of one that is to follow.
func (l *leader) beginStandby() {
	l.skip, l.follows = nil, &standby{}
	l.work.Bound(0, func() bool { return l.e.ctx.Err() != nil })
	l.noteHeard()
	l.publishSnapshot()
	l.startCheckpoints()
	l.readUnread()
	l.e.recovery.ready(l.coord.CommittedStep())
}

// noteHeard tells the standing how far the log is applied.
func (l *leader) noteHeard() {
	last, _ := l.coord.Last()
	l.e.stand.heard(l.e.cfg.Clock(), last, l.coord.Epoch())
}

// standBy is the loop of one that follows. It returns true once it leads, and false when
// it is over.
func (l *leader) standBy() bool {
	last, _ := l.coord.Last()
	r := l.e.read(last + 1)
	defer func() { r.stop() }()
	for l.stands() {
		select {
		case rec := <-r.recs:
			l.followed(rec, len(r.recs) > 0)
		case err := <-r.failed:
			l.fail(stopped(fmt.Errorf("follow the log: %w", err)))
		case fn := <-l.e.look:
			fn(l)
		case req := <-l.e.submit:
			l.taken(req)
		case ask := <-l.e.promote:
			r.stop()
			if l.takeLead(ask) {
				return true
			}
			last, _ := l.coord.Last()
			r = l.e.read(last + 1)
		case <-l.ckpt.tick():
			l.checkpointDue()
		case j := <-l.e.written:
			l.checkpointWritten(j)
		case found := <-l.e.unread:
			l.unreadDamaged(found)
		case <-l.e.ctx.Done():
			l.fail(errClosed())
		}
	}
	return false
}

// stopped is why a standby ends, as clients see it too.
func stopped(err error) error {
	var te *types.Error
	if errors.As(err, &te) {
		return err
	}
	return &shown{&types.Error{Code: "58000", Message: "the pipeline has stopped on this node", Detail: err.Error(), Hint: "Connect again, or to another node."}, err}
}

// shown is an error with what clients see of it.
type shown struct {
	te  *types.Error
	err error
}

func (e *shown) Error() string   { return e.te.Message + ": " + e.err.Error() }
func (e *shown) Unwrap() []error { return []error{e.te, e.err} }

// stands reports whether the loop is that of a standby and goes on.
func (l *leader) stands() bool {
	return l.follows != nil && l.closing == nil && l.coord.Role() != coord.Failed && l.coord.Role() != coord.Fenced
}

// taken takes a request that came to a standby. What is for the leader goes another way;
// it is here only if it was on its way when roles changed.
func (l *leader) taken(r *request) {
	switch {
	case r.last:
		l.closing = r
	case r.kind == coord.Checkpoint && r.statement:
		l.ckpt.next = append(l.ckpt.next, r)
		l.checkpointHere()
	default:
		l.e.bytes.give(r.bytes)
		r.bytes = 0
		r.answer <- answer{err: ErrNotLeader, void: true}
	}
}

// followed applies a record; more says that the next one is there.
func (l *leader) followed(r fabric.Record, more bool) {
	if last, _ := l.coord.Last(); r.Seq <= last {
		return
	}
	if err := l.applied(l.e.ctx, r); err != nil {
		if l.e.ctx.Err() != nil {
			err = errClosed() // which stopped it
		}
		l.fail(stopped(err))
		return
	}
	if l.follows.hidden > 0 && (!more || l.follows.hidden >= showEvery) {
		l.show()
	}
	if l.ckpt.late && !l.follows.midway {
		l.checkpointHere()
	}
}

// applied applies a record and notes what follows for readers.
func (l *leader) applied(ctx context.Context, r fabric.Record) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = faultOf(v)
		}
	}()
	if last, _ := l.coord.Last(); r.Seq > last+1 {
		return fmt.Errorf("%w: the log begins at record %d, the next one to read is %d", ErrNeedsCheckpoint, r.Seq, last+1)
	}
	if err := l.replayRecord(ctx, r); err != nil {
		return err
	}
	l.noteHeard()
	kind := wire.Kind(r.Data[3])
	l.follows.midway = kind == wire.KindTx
	switch {
	case kind == wire.KindStep || kind == wire.KindDDL:
		l.follows.hidden++
		l.volumeGrew(int64(len(r.Data)))
	case l.follows.hidden == 0 && !l.follows.midway:
		l.e.stand.shows(r.Seq) // there is nothing in it to be seen
	}
	return nil
}

// show lets readers see what is applied.
func (l *leader) show() {
	if last, _ := l.coord.Last(); last < l.follows.muted || l.follows.midway {
		return
	}
	l.follows.hidden = 0
	l.publishSnapshot()
}

// promotion is a call of Lead.
type promotion struct {
	ctx    context.Context
	answer chan error // of capacity 1
}

// takeLead makes a standby the leader. False: it goes on to follow, or is over.
func (l *leader) takeLead(ask promotion) bool {
	e := l.e
	e.stand.become(RoleClaiming)
	began := time.Now()
	if err := l.readToEnd(ask.ctx); err != nil {
		if l.coord.Role() != coord.Failed {
			e.stand.become(RoleStandby)
		}
		ask.answer <- err
		return false
	}
	l.follows.claim, l.follows.unsure = ask.ctx, false
	if err := l.takeOverAll(); errors.Is(err, errOvertaken) {
		e.stand.become(RoleStandby)
		ask.answer <- err
		return false
	} else if err != nil {
		if l.coord.Role() != coord.Fenced {
			l.fail(stopped(err))
		}
		ask.answer <- err
		return false
	}
	e.cfg.Logger.Info("this node leads the pipeline", "pipeline", e.cfg.Name, "epoch", l.coord.Epoch(), "step", l.coord.CommittedStep(), "took", time.Since(began))
	ask.answer <- nil
	return true
}

// readToEnd applies what the log has. An error that is not ctx's ends the engine.
func (l *leader) readToEnd(ctx context.Context) error {
	last, _ := l.coord.Last()
	var failed error
	err := l.e.log.Read(ctx, last+1, func(r fabric.Record) error {
		if failed = ctx.Err(); failed == nil {
			if failed = l.applied(l.e.ctx, r); failed != nil {
				l.fail(stopped(failed))
			}
		}
		return failed
	})
	if err == nil {
		err = ctx.Err()
	}
	if l.follows.hidden > 0 && l.coord.Role() != coord.Failed {
		l.show()
	}
	return err
}

// takeOverAll is takeOver, of which state that cannot be read back is an error.
func (l *leader) takeOverAll() (failed error) {
	defer func() {
		if v := recover(); v != nil {
			failed = faultOf(v)
		}
	}()
	return l.takeOver(l.e.ctx)
}

// droppedLater reports whether a command that is in the log already, and not yet applied,
// removes a source. Then what is computed up to that command is not shown.
func (l *leader) droppedLater(ctx context.Context, id catalog.ID) bool {
	if l.follows == nil {
		return false
	}
	last, _ := l.coord.Last()
	tail := &logTail{}
	err := l.e.log.Read(ctx, last+1, func(r fabric.Record) error {
		h, body, _, err := wire.Open(r.Data)
		if err != nil || h.Kind != wire.KindDDL {
			return err
		}
		d, err := wire.DecodeDDL(body)
		if err == nil {
			tail.commands = append(tail.commands, loggedCommand{r.Seq, d})
		}
		return err
	})
	if err != nil || len(tail.commands) == 0 {
		return false
	}
	before := l.skip
	if err := l.findDropped(tail, last); err != nil {
		l.skip = before
		return false
	}
	for known := range before {
		l.skip[known] = true
	}
	if l.skip[id] {
		l.follows.muted = tail.commands[len(tail.commands)-1].seq
	}
	return l.skip[id]
}

// noteRecord takes what EPOCH and CKPT records tell those who do not lead.
func (l *leader) noteRecord(seq uint64, kind wire.Kind, body []byte) error {
	if kind == wire.KindCkpt {
		c, err := wire.DecodeCheckpoint(body)
		if err != nil {
			return fmt.Errorf("log record %d: %w", seq, err)
		}
		for _, s := range c.Sinks {
			if r := l.rels[s.Sink]; r != nil && r.ring != nil && r.def.Kind == catalog.Sink && l.e.cfg.Follow {
				r.ring.forget(s.Step)
			}
		}
		return nil
	}
	ep, err := wire.DecodeEpoch(body)
	if err != nil {
		return fmt.Errorf("log record %d: %w", seq, err)
	}
	l.e.stand.set(func(s *Standing) { s.LeaderName = ep.Node })
	l.e.sent.passed(l.coord.Epoch())
	return nil
}

// noteMismatch counts that a step came out differently here than it was committed. What is
// replayed at a start may be of another version, which is no news.
func (l *leader) noteMismatch(step uint64, err error) {
	l.e.metrics.Mismatches.Add(1)
	if l.follows != nil {
		l.e.stand.set(func(s *Standing) { s.Mismatch = fmt.Sprintf("step %d: %v", step, err) })
	}
}
