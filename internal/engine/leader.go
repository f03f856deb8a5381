package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
	"github.com/tidemill/tidemill/internal/worker"
)

// pollEvery is how often sources that generate their rows are asked for new ones.
const pollEvery = 10 * time.Millisecond

// leader is what the leader loop owns: the state of everything at the last
// committed step, and what is staged on top of it. One goroutine uses it.
type leader struct {
	e         *Engine
	coord     *coord.Coord
	work      *worker.Worker
	cat       *catalog.Catalog
	rels      map[catalog.ID]*relation
	snaps     map[catalog.ID]*state.Snapshot // of the published step; shared with it, so replaced and not changed
	rings     map[catalog.ID]*ring           // likewise
	held      map[catalog.ID]int64           // likewise
	positions map[catalog.ID]uint64          // what the next step takes from each source
	now       int64                          // logical time of the last step
	events    map[catalog.ID]*tableEvent     // of append-only tables with a watermark
	ticks     bool                           // a view reads a column of PROCTIME()
	circuit   wire.Hash                      // of all circuits
	skipped   *skippedRows                   // rows of sources that steps left out; shared with the snapshot, so replaced and not changed
	// poisonSteps is how many steps in a row have left rows of sources out.
	poisonSteps int
	ckpt        checkpoints
	cache       *state.Cache // of the rows of relations; nil if they stay in memory
	// historyRead says of each source which record of the log last made something of all
	// its rows, if the source is still there: a replay of that record reads them again.
	historyRead map[catalog.ID]uint64
	stale       map[catalog.ID]string // views that change no more, and why
	reserved    catalog.ID            // the greatest ID that was set aside for what is being made; 0: none
	built       uint64                // builds begun
	frozen      map[catalog.ID]*frozenView
	rebuilding  *build // of the frozen view whose turn it is

	requests  map[uint64]*request
	staged    *staged
	pendingTx []tableChange     // during replay: changes for the next step
	outcomes  map[uint64]answer // of the work staged last, where there is more to say than done
	queue     []coord.Effect
	wake      *time.Timer
	wakeAt    int64               // when wake fires, in microseconds of Unix time
	stalled   *uint64             // of an append that waits for room: the sequence it expects
	unstall   <-chan time.Time    // when that is looked for
	failure   error               // why the pipeline fails, in more words than the coord has
	closing   *request            // the request of Close
	replaying bool                // the log is read: its steps and commands meet no limits of memory
	skip      map[catalog.ID]bool // during replay: relations that are dropped later
	from      uint64              // the first record that is replayed
	exempt    map[catalog.ID]bool // during replay: views whose digests are not compared
	head      *checkpointHead     // of the checkpoint that replay begins behind
	follows   *standby            // nil: it leads, or is on its way to
	looked    time.Time           // when stragglers were looked for
}

// request is what sessions ask of the leader.
type request struct {
	id      uint64
	kind    coord.ItemKind
	changes []tableChange // of a transaction, by table
	// given holds, of tables with event time, the rows as they came, late ones too, in case
	// the step is computed again.
	given []*batch.Batch
	// retry, if not nil, is the row that comes back, instead of changes.
	retry *retryRow
	rows  int
	bytes int64 // held of Engine.bytes
	// ctx, of a command, ends when its client gives up; nil: never.
	ctx context.Context
	// frees says of a command that it makes room, so that a full disk does not refuse it.
	frees bool
	// plan gives the command against the leader's catalog.
	plan   func(*catalog.Catalog) (catalog.Command, error)
	answer chan answer // of capacity 1
	last   bool        // nothing comes after it: the engine closes
	yields bool        // of the last: another node goes on

	// build is what the command is to install; attempts is how often one was begun for it.
	build    *build
	attempts int
	rebuild  *build // is to be part of the step, instead of changes

	// Of kind Checkpoint: statement says that a client asked for one, job is what its
	// record is about.
	statement bool
	job       *ckptJob
	// remote says what a standby sends to the leader in its place, of a command.
	remote *wire.Call
	// forwarded names a transaction that another node has sent; zero: it is this one's.
	forwarded wire.Forwarded
	refused   int // how often a standby has sent it, each time for nothing
	// leave, if not nil, ends the wait for the answer, whose outcome may be left open.
	leave context.Context
}

// answer is what became of a request.
type answer struct {
	err    error
	step   uint64 // that holds it
	seq    uint64 // Seq of the snapshot that does, or of that on which an error is true
	effect catalog.Effect
	// void says of an error that the request was not carried out and will not be, because
	// the engine does not lead any more.
	void    bool
	receipt *wire.CallReceipt // of rows that another node brought
	open    bool              // of an error: the answer was lost
}

// run is the leader loop, and before it that of a standby.
func (e *Engine) run() {
	defer close(e.done)
	l := e.lead
	defer l.wake.Stop()
	if l.follows != nil && !l.standBy() {
		l.finish()
		return
	}
	var poll *time.Ticker // once there is a source that generates its rows
	var polls <-chan time.Time
	beats := l.beats()
	defer beats.Stop()
	l.begin()
	for l.leads() {
		if poll == nil && e.polls.Load() {
			poll = time.NewTicker(pollEvery)
			defer poll.Stop()
			polls = poll.C
		}
		select {
		case r := <-e.submit:
			l.take(r)
		case <-e.arrive:
			l.arrivals()
		case fn := <-e.look:
			fn(l)
		case <-polls:
			l.poll()
		case <-beats.C:
			l.beat()
		case <-l.wake.C:
			l.wakeUp()
		case <-l.unstall:
			l.resume()
		case <-l.ckpt.tick():
			l.checkpointDue()
		case j := <-e.written:
			l.checkpointWritten(j)
		case found := <-e.unread:
			l.unreadDamaged(found)
		case <-e.ctx.Done():
			l.fail(errClosed())
		case <-l.onward():
		}
		l.carryOn()
	}
	l.finish()
}

// onward gives at once if there is something to carry out, else never.
func (l *leader) onward() <-chan struct{} {
	if len(l.queue) > 0 {
		return alwaysReady
	}
	return nil
}

// alwaysReady gives at once.
var alwaysReady = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// finish answers everybody who still waits.
func (l *leader) finish() {
	err := l.failure
	switch {
	case err == nil && l.closing != nil && l.closing.yields:
		err = ErrYielded
	case err == nil && (l.closing != nil || l.e.ctx.Err() != nil):
		err = errClosed()
	case err == nil && l.coord.Role() == coord.Fenced:
		err = &types.Error{Code: "57P04", Message: "this node no longer leads the pipeline", Detail: l.coord.Reason()}
	case err == nil:
		err = &types.Error{Code: "58000", Message: "the pipeline has stopped", Detail: l.coord.Reason()}
	}
	l.e.fenced = l.coord.Role() == coord.Fenced
	err = l.noteFault(err)
	l.e.end(err)
	l.e.stand.become(RoleEnded)
	l.e.cancel()
	l.endCheckpoints(err)
	for {
		select {
		case r := <-l.e.submit:
			l.requests[r.id] = r
			continue
		default:
		}
		break
	}
	for _, r := range l.requests {
		l.e.bytes.give(r.bytes)
		r.bytes = 0
		select {
		case r.answer <- answer{err: err, void: true}:
		default:
		}
	}
	clear(l.requests)
	if l.closing != nil {
		l.closing.answer <- answer{}
	} else {
		l.e.cfg.Logger.Error("pipeline has ended", "pipeline", l.e.cfg.Name, "err", err)
	}
}

// take hands r, and what has come since, to the coord: a step holds all that waits.
func (l *leader) take(r *request) {
	l.clock()
	items := l.item(nil, r)
	for range MaxPendingTx {
		select {
		case r := <-l.e.submit:
			items = l.item(items, r)
			continue
		default:
		}
		break
	}
	if len(items) > 0 {
		l.feed(coord.Submitted{Items: items})
	}
}

// item appends what the coord needs to know of r.
func (l *leader) item(items []coord.Item, r *request) []coord.Item {
	if r.last {
		l.closing = r
		return items
	}
	if r.kind == coord.Flush {
		l.arrivals() // what is durable now is what it waits for
	}
	l.requests[r.id] = r
	return append(items, coord.Item{ID: r.id, Kind: r.kind, Rows: r.rows})
}

func (l *leader) clock() { l.feed(coord.Clock{Now: l.e.cfg.Clock().UnixMicro()}) }

// feed gives ev to the coord and queues what it wants.
func (l *leader) feed(ev coord.Event) { l.queue = append(l.queue, l.coord.Step(ev)...) }

// carryOut does what the coord wants until it wants nothing more.
func (l *leader) carryOut() {
	for len(l.queue) > 0 {
		eff := l.queue[0]
		l.queue = l.queue[1:]
		l.effect(eff)
	}
}

// carryOn is carryOut up to the next step: as long as many rows wait there always is one,
// and the loop has to see what else has come.
func (l *leader) carryOn() {
	for first := true; len(l.queue) > 0; first = false {
		eff := l.queue[0]
		if _, step := eff.(coord.Compute); step && !first {
			return
		}
		l.queue = l.queue[1:]
		l.effect(eff)
	}
}

func (l *leader) effect(eff coord.Effect) {
	defer l.catch()
	switch eff := eff.(type) {
	case coord.Claim:
		l.claim(eff.Epoch)
	case coord.Compute:
		if l.coord.Role() != coord.Leading {
			return // it has ended since it was asked for
		}
		l.clock()
		l.stageStep(eff)
	case coord.Execute:
		if r := l.requests[eff.ID]; r.kind == coord.Checkpoint {
			l.stageCheckpoint(r)
		} else {
			l.stageDDL(r)
		}
	case coord.Append:
		l.append(eff.Expect)
	case coord.ReadOn:
		l.readOn(eff.From)
	case coord.Lead:
		l.staged = nil
		l.e.stand.set(func(s *Standing) { s.LeaderName, s.Epoch = l.e.node, eff.Epoch })
		l.e.sent.passed(eff.Epoch)
		l.tellDue()
	case coord.Publish:
		l.publish()
		l.tellDue()
	case coord.Forget:
		l.staged = nil
		l.tellDue()
	case coord.Dropped:
		l.staged = nil
	case coord.Answer:
		l.answers(eff)
	case coord.Wake:
		l.wakeAt = eff.At
		if l.e.cfg.Manual == nil {
			l.wake.Reset(max(0, time.Duration(eff.At-l.e.cfg.Clock().UnixMicro())*time.Microsecond))
		}
	}
}

// catch makes of a state that cannot be read back a failure of the pipeline.
func (l *leader) catch() {
	if v := recover(); v != nil {
		l.fail(faultOf(v))
	}
}

// faultOf is the error of a panic with a state.FaultError. It panics on with others.
func faultOf(v any) error {
	var f *state.FaultError
	if err, ok := v.(error); ok && errors.As(err, &f) {
		return err
	}
	panic(v)
}

// timeSteps is the least time between two steps that only time calls for.
const timeSteps = 10 * time.Millisecond

// tellDue tells the coord when the circuits want a step without input.
func (l *leader) tellDue() {
	at := int64(coord.NotDue)
	if next := l.nextStep(); next != math.MaxInt64 {
		least := timeSteps
		if l.e.room() != nil {
			least = fullSteps
		}
		at = max(next, l.now+least.Microseconds()) + epochMicros
	}
	l.feed(coord.Due{At: at})
}

// fail ends the pipeline with err.
func (l *leader) fail(err error) {
	if l.failure == nil {
		l.failure = err
	}
	l.feed(coord.Broken{Reason: err.Error()})
}

// claim stages the record of a new epoch.
func (l *leader) claim(epoch uint64) {
	body := (&wire.Epoch{Node: l.e.node, At: l.e.micros(), Engine: l.e.cfg.version}).Encode()
	l.staged = &staged{}
	l.staged.seal(l, wire.KindEpoch, epoch, body)
	l.feed(coord.Staged{Records: 1, Hash: coord.Hash(l.staged.last)})
}

// seal appends a record to what is staged.
func (s *staged) seal(l *leader, kind wire.Kind, epoch uint64, body []byte) {
	if len(s.recs) == 0 {
		_, prev := l.coord.Last()
		s.last = hashOf(prev)
	}
	rec, h := wire.Seal(wire.Header{Kind: kind, Epoch: epoch, Prev: s.last}, body)
	s.recs = append(s.recs, rec)
	s.last = h
}

// append sends what is staged.
func (l *leader) append(expect uint64) {
	start, at := time.Now(), l.e.cfg.Clock()
	_, err := l.e.log.Append(l.e.ctx, l.staged.recs, expect)
	if l.staged.ckpt != nil {
		failpoint.Hit(failpoint.CheckpointLogged)
	}
	l.e.metrics.AppendTime.observe(time.Since(start))
	var outcome coord.Outcome
	switch {
	case err == nil:
		outcome = coord.Done
	case errors.Is(err, fabric.ErrWrongSequence):
		outcome = coord.WrongSequence
	case errors.Is(err, fabric.ErrClosed) || l.e.ctx.Err() != nil:
		l.fail(fmt.Errorf("append to the log: %w", err)) // nobody will answer any more
		return
	case errors.Is(err, fabric.ErrTooLarge):
		l.failure = fmt.Errorf("append to the log: %w", err)
		outcome = coord.Refused
	case l.coord.Role() == coord.Leading && l.stall(expect, err):
		return
	case l.givesUp(err):
		l.follows.overtaken = true
		return
	default: // also ErrUnavailable, which may pass
		l.e.cfg.Logger.Warn("append to the log", "pipeline", l.e.cfg.Name, "err", err)
		outcome = coord.Unknown
	}
	l.feed(coord.Appended{Outcome: outcome})
	if outcome == coord.Done {
		last, _ := l.coord.Last()
		l.e.stand.appended(at, last, l.coord.Epoch())
	}
}

// readOn gives the coord the records from from on, to find out what became of an append.
func (l *leader) readOn(from uint64) {
	replaying := l.coord.Role() == coord.Claiming
	err := l.e.log.Read(l.e.ctx, from, func(r fabric.Record) error {
		if replaying && l.follows != nil {
			return l.applied(l.e.ctx, r)
		}
		if replaying {
			return l.replayRecord(l.e.ctx, r)
		}
		ev, _, err := recordEvent(r)
		if err != nil {
			return err
		}
		l.feed(ev)
		if l.staged == nil || l.coord.Role() != coord.Leading || ev.Hash == coord.Hash(l.staged.last) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return
	}
	if err != nil && replaying && (l.follows == nil || !passing(err)) {
		l.fail(err)
		return
	}
	if err != nil {
		l.e.cfg.Logger.Warn("read the log", "pipeline", l.e.cfg.Name, "err", err)
	}
	if replaying && l.follows != nil && l.coord.Role() == coord.Replaying {
		l.follows.overtaken = true // somebody else's record took the place of the claim
		return
	}
	l.feed(coord.EndOfLog{})
}

// passing reports whether the cause of a log's error may pass by itself.
func passing(err error) bool {
	return errors.Is(err, fabric.ErrUnavailable) || errors.Is(err, fabric.ErrUnknown) || errors.Is(err, context.DeadlineExceeded)
}

// errEnough ends a read early.
var errEnough = errors.New("enough")

// recordEvent checks a record's frame and tells the coord's part of it.
func recordEvent(r fabric.Record) (coord.Record, []byte, error) {
	h, body, hash, err := wire.Open(r.Data)
	if err != nil {
		return coord.Record{}, nil, fmt.Errorf("log record %d: %w", r.Seq, err)
	}
	ev := coord.Record{Seq: r.Seq, Epoch: h.Epoch, Prev: coord.Hash(h.Prev), Hash: coord.Hash(hash)}
	switch h.Kind {
	case wire.KindEpoch:
		ev.Kind = coord.RecordEpoch
	case wire.KindDDL:
		ev.Kind = coord.RecordDDL
	case wire.KindCkpt:
		ev.Kind = coord.RecordCheckpoint
	case wire.KindStep:
		ev.Kind = coord.RecordStep
		s, err := wire.DecodeStep(body)
		if err != nil {
			return ev, nil, fmt.Errorf("log record %d: %w", r.Seq, err)
		}
		ev.Step = s.N
	}
	return ev, body, nil
}

// answers tells those who wait.
func (l *leader) answers(a coord.Answer) {
	for _, id := range a.IDs {
		r := l.requests[id]
		if r == nil {
			continue
		}
		delete(l.requests, id)
		l.e.bytes.give(r.bytes)
		r.bytes = 0
		ans := answer{step: l.coord.CommittedStep(), seq: l.e.Snapshot().Seq}
		switch {
		case a.Outcome == coord.Done || a.Outcome == coord.Rejected:
			if known, ok := l.outcomes[id]; ok {
				ans.err, ans.effect = known.err, known.effect
			}
		case a.Outcome == coord.Unknown:
			ans.err = &types.Error{Code: "08007", Message: "the outcome of the transaction is not known", Detail: l.coord.Reason(),
				Hint: "Look whether its rows are there before trying again."}
		case l.e.ctx.Err() != nil:
			ans.err = errClosed()
		default:
			ans.err = &types.Error{Code: "57P04", Message: "the pipeline does not take writes any more", Detail: l.coord.Reason()}
		}
		ans.void = a.Outcome == coord.Refused
		r.answer <- ans
	}
}

// publish makes what is staged the current state.
func (l *leader) publish() {
	s := l.staged
	if s.ckpt != nil {
		l.checkpointComplete(s.ckpt)
		return
	}
	start := time.Now()
	l.ckpt.changed = true
	if s.step != nil {
		l.applyStep(s)
		l.e.metrics.step(s, time.Since(s.began))
	}
	if s.ddl != nil {
		l.installDDL(l.e.ctx, s.ddl, true)
	}
	l.publishSnapshot()
	l.nextRebuild()
	l.e.metrics.PublishTime.observe(time.Since(start))
	l.volumeGrew(s.bytes())
}

// publishSnapshot shows the state to readers.
func (l *leader) publishSnapshot() {
	l.e.mu.Lock()
	sources := maps.Clone(l.e.sources)
	l.e.mu.Unlock()
	marks := map[catalog.ID][]int64{}
	for id, r := range l.rels {
		if m := l.work.Marks(r.def.Key()); m != nil {
			marks[id] = m
		}
	}
	last, _ := l.coord.Last()
	snap := &Snapshot{
		marks: marks, Seq: last,
		Step: l.coord.CommittedStep(), Now: l.now, Catalog: l.cat, rels: l.snaps,
		stale: maps.Clone(l.stale), frozen: l.frozenSteps(), positions: maps.Clone(l.positions), skipped: l.skipped, sources: sources, rings: l.rings, held: l.held,
	}
	l.noteEvents(snap)
	l.e.snap.Store(snap)
	l.e.stand.shows(snap.Seq)
	l.e.published.send()
}

// callHere gives r to the leader of this engine and waits for the answer. ctx ends the
// waiting for a place in the queue; once r is queued its outcome is waited for, unless it
// may be left open.
func (e *Engine) callHere(ctx context.Context, r *request) (answer, error) {
	if void, err := e.submitHere(ctx, r); err != nil {
		return answer{err: err, void: void}, err
	}
	return e.await(r)
}

// submitHere puts r into the leader's queue. If it is not, void says that it may be tried
// elsewhere: the engine has ended, or ctx.
func (e *Engine) submitHere(ctx context.Context, r *request) (void bool, err error) {
	r.id = e.nextReq.Add(1)
	r.answer = make(chan answer, 1)
	if r.kind == coord.Tx || r.kind == coord.DDL && !r.frees {
		if err := e.room(); err != nil {
			return false, err
		}
	}
	if r.bytes > 0 {
		if err := e.bytes.take(ctx, r.bytes); err != nil {
			return false, canceled(ctx)
		}
	}
	refuse := func(void bool, err error) (bool, error) {
		e.bytes.give(r.bytes)
		return void, err
	}
	e.mu.Lock()
	closing, ended, yielding := e.closing, e.ended, e.yielding
	e.mu.Unlock()
	switch {
	case ended != nil:
		return refuse(true, ended)
	case closing:
		return refuse(true, errClosed())
	case yielding:
		return refuse(true, ErrYielded)
	case ctx.Err() != nil:
		return refuse(true, canceled(ctx))
	}
	select {
	case e.submit <- r:
	case <-ctx.Done():
		return refuse(true, canceled(ctx))
	case <-e.done:
		return refuse(true, e.Err())
	}
	return false, nil
}

// canceled is the error of a statement whose context has ended: the cause that its
// front door gave, if that is for clients, else that it was cancelled.
func canceled(ctx context.Context) error {
	var te *types.Error
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &te):
		return te
	case errors.Is(cause, context.DeadlineExceeded):
		return &types.Error{Code: types.CodeQueryCanceled, Message: "canceling statement due to statement timeout"}
	}
	return &types.Error{Code: types.CodeQueryCanceled, Message: "canceling statement due to user request"}
}
