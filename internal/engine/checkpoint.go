package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// When and how checkpoints are made, unless CheckpointConfig says otherwise.
const (
	// DefaultCheckpointInterval is the time between the beginnings of two checkpoints.
	DefaultCheckpointInterval = 10 * time.Second
	// DefaultCheckpointBytes is how much of the log makes a checkpoint due early.
	DefaultCheckpointBytes = 256 << 20
	// DefaultCheckpointRate is how many bytes a second the writer of a checkpoint may
	// write, so that the log keeps its share of the disk.
	DefaultCheckpointRate = 128 << 20
	// DefaultReserveBytes is what checkpoints leave free on the disk.
	DefaultReserveBytes = 64 << 20
	// keptCheckpoints is how many complete ones stay.
	keptCheckpoints = 2
	// maxPast is of how many it is remembered where the sources were, for nodes that are
	// behind.
	maxPast = 256
	// checkpointRest is how long no checkpoint is written after one: 1/checkpointRest of the
	// time that it took, so that a slow disk has other things to do too.
	checkpointRest = 2
	// maxCheckpointPause bounds the time after a failure before the next attempt.
	maxCheckpointPause = 5 * time.Minute
)

// CheckpointConfig says where checkpoints are kept and when they are made.
type CheckpointConfig struct {
	// FS is where they are kept; nil: there are none, all state stays in memory, and a
	// restart computes everything from the log.
	FS ckpt.FS
	// Interval is the time between two; zero: DefaultCheckpointInterval; negative: they are
	// made by the statement CHECKPOINT alone.
	Interval time.Duration
	// Bytes is how much log makes one due early; zero: DefaultCheckpointBytes.
	Bytes int64
	// Rate is how many bytes a second are written; zero: DefaultCheckpointRate; negative:
	// as many as can be.
	Rate int64
	// ReserveBytes stay free on the disk; zero: DefaultReserveBytes; negative: none.
	ReserveBytes int64
	// CheckWrites makes each checkpoint look for state that changed without a word, at the
	// price of a copy of all of it. For tests.
	CheckWrites bool
}

// checkpoints is what the leader knows of them.
type checkpoints struct {
	store   *ckpt.Store // nil: there are none
	job     *ckptJob    // under way
	asked   bool        // a request to begin one waits for its turn
	late    bool        // a standby's is due as soon as the step that is being read is complete
	changed bool        // there is a step or command since the last freeze
	volume  int64       // bytes of log since then
	at      int64       // when the next is due, microseconds of Unix time; math.MaxInt64: never
	timer   *time.Timer // fires then; nil when driven by hand
	fails   int         // in a row
	waiting []*request  // CHECKPOINT statements that the one under way answers
	next    []*request  // those that came too late for it
	kept    []keptCheckpoint
	past    []keptCheckpoint         // those made lately, the oldest first, whether they are kept or not
	tidying atomic.Bool              // files and logs are being trimmed
	untidy  atomic.Pointer[trimming] // what is to be trimmed next
	holds   atomic.Int32             // of Engine.Hold: nothing is trimmed
}

// keptCheckpoint is one that is complete: its record is in the log.
type keptCheckpoint struct {
	hash   ckpt.Hash
	step   uint64
	logSeq uint64 // the last record that is part of it
	// positions are those of the sources: a replay reads their logs from there on.
	positions map[catalog.ID]uint64
}

// keep is what is remembered of a complete checkpoint.
func keep(h ckpt.Hash, m *ckpt.Manifest) keptCheckpoint {
	k := keptCheckpoint{hash: h, step: m.Step, logSeq: m.LogSeq, positions: map[catalog.ID]uint64{}}
	for name, o := range m.Objects {
		key, is := strings.CutPrefix(name, kindSource+"/")
		if !is {
			continue
		}
		if id, ok := catalog.ParseKey(key); ok {
			k.positions[id], _ = strconv.ParseUint(o.Identity, 10, 64) // 0: nothing may go
		}
	}
	return k
}

// startCheckpoints sets the first one's time. Called when the pipeline is ready.
func (l *leader) startCheckpoints() {
	c := &l.ckpt
	c.at = math.MaxInt64
	if c.store == nil {
		return
	}
	if l.e.cfg.Manual == nil {
		c.timer = time.NewTimer(time.Hour)
	}
	l.scheduleCheckpoint(l.e.cfg.Checkpoint.Interval)
}

// scheduleCheckpoint makes the next one due after d, never if d is negative.
func (l *leader) scheduleCheckpoint(d time.Duration) {
	c := &l.ckpt
	if d < 0 {
		c.at = math.MaxInt64
		return
	}
	c.at = l.e.cfg.Clock().Add(d).UnixMicro()
	if c.timer != nil {
		c.timer.Reset(d)
	}
}

// ticks of the loop: when the next checkpoint is due.
func (c *checkpoints) tick() <-chan time.Time {
	if c.timer == nil {
		return nil
	}
	return c.timer.C
}

// checkpointDue begins a checkpoint if there is anything new.
func (l *leader) checkpointDue() {
	c := &l.ckpt
	c.at = math.MaxInt64
	if c.job != nil { // which schedules the next when it ends
		return
	}
	if !c.changed && len(c.next) == 0 {
		l.scheduleCheckpoint(l.e.cfg.Checkpoint.Interval)
		return
	}
	l.askForCheckpoint(nil)
}

// askForCheckpoint submits the beginning of a checkpoint, or, with a job that is
// written, its record.
func (l *leader) askForCheckpoint(j *ckptJob) {
	if j == nil {
		if !l.leading() {
			l.checkpointHere()
			return
		}
		if l.ckpt.asked {
			return
		}
		l.ckpt.asked = true
	}
	r := &request{id: l.e.nextReq.Add(1), kind: coord.Checkpoint, job: j, answer: make(chan answer, 1)}
	l.requests[r.id] = r
	l.clock()
	l.feed(coord.Submitted{Items: []coord.Item{{ID: r.id, Kind: r.kind}}})
}

// stageCheckpoint is the turn of a checkpoint: it begins, or its record is staged.
func (l *leader) stageCheckpoint(r *request) {
	l.outcomes = map[uint64]answer{}
	if r.job != nil {
		body := (&wire.Checkpoint{Step: r.job.head.Step, Manifest: wire.Hash(r.job.hash), Sinks: l.e.sinkPositions()}).Encode()
		l.staged = &staged{ckpt: r.job}
		l.staged.seal(l, wire.KindCkpt, l.coord.Epoch(), body)
		l.feed(coord.Staged{Records: 1, Hash: coord.Hash(l.staged.last)})
		return
	}
	c := &l.ckpt
	fresh := r.statement
	if fresh {
		delete(l.requests, r.id) // it is answered when the checkpoint is there, and not now
	} else {
		c.asked = false
	}
	switch {
	case c.store == nil:
		if fresh {
			r.answer <- answer{step: l.coord.CommittedStep()} // the log is all there is, and durable
		}
	case c.job != nil && !c.changed:
		if fresh {
			c.waiting = append(c.waiting, r)
		}
	case c.job != nil:
		if fresh {
			c.next = append(c.next, r)
		}
	default:
		if fresh {
			c.next = append(c.next, r)
		}
		if err := l.beginCheckpoint(); err != nil {
			l.fail(err)
			return
		}
	}
	l.feed(coord.Staged{})
}

// beginCheckpoint freezes the state and lets it be written.
func (l *leader) beginCheckpoint() error {
	c := &l.ckpt
	if !c.changed && len(c.kept) > 0 {
		l.answerCheckpoints(&c.next, nil)
		return nil
	}
	start := time.Now()
	j, err := l.freeze()
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.CheckpointFrozen)
	j.began = l.e.cfg.Clock()
	j.pause = time.Since(start)
	l.e.metrics.CheckpointPause.observe(j.pause)
	c.job, c.changed, c.volume = j, false, 0
	c.waiting, c.next = c.next, nil
	l.e.spawn(func() {
		j.write(l.e.ctx, c.store)
		select {
		case l.e.written <- j:
		case <-l.e.ctx.Done():
		}
	})
	return nil
}

// spawn runs a background job that ends soon after the engine's context does.
func (e *Engine) spawn(job func()) {
	if m := e.cfg.Manual; m != nil {
		m.Spawn(job)
		return
	}
	e.aux.Go(job)
}

// checkpointWritten goes on with a checkpoint whose writer is through.
func (l *leader) checkpointWritten(j *ckptJob) {
	if j != l.ckpt.job {
		return // of a state that was given up
	}
	j.through = true
	if j.err != nil {
		l.checkpointFailed(j)
		return
	}
	if j.head.Standby {
		l.checkpointComplete(j)
		return
	}
	l.askForCheckpoint(j)
}

// checkpointFailed forgets a checkpoint that could not be written.
func (l *leader) checkpointFailed(j *ckptJob) {
	c := &l.ckpt
	j.done(false)
	c.job, c.changed = nil, true
	c.fails++
	l.e.metrics.CheckpointFailures.Add(1)
	pause := max(l.e.cfg.Checkpoint.Interval, time.Second) << min(c.fails-1, 20)
	if pause <= 0 || pause > maxCheckpointPause {
		pause = maxCheckpointPause
	}
	l.e.cfg.Logger.Error("checkpoint", "pipeline", l.e.cfg.Name, "step", j.head.Step, "err", j.err, "again", pause)
	l.answerCheckpoints(&c.waiting, checkpointError(j))
	l.answerCheckpoints(&c.next, checkpointError(j))
	if l.e.cfg.Checkpoint.Interval >= 0 {
		l.scheduleCheckpoint(pause)
	}
}

// checkpointError is what the statement CHECKPOINT gets.
func checkpointError(j *ckptJob) error {
	var damage *ckpt.DamageError
	te := &types.Error{Code: "58030", Message: fmt.Sprintf("checkpoint of step %d: %v", j.head.Step, j.err)}
	switch {
	case errors.Is(j.err, ckpt.ErrNoSpace):
		te.Code, te.Hint = types.CodeDiskFull, "It is tried again by itself. Nothing is lost: the log holds all."
	case errors.As(j.err, &damage):
		te.Code = "XX001"
	case errors.Is(j.err, context.Canceled):
		return errClosed()
	}
	return te
}

// checkpointComplete is called when a checkpoint's record is in the log.
func (l *leader) checkpointComplete(j *ckptJob) {
	c := &l.ckpt
	j.done(true)
	c.job, c.fails = nil, 0
	c.kept = append([]keptCheckpoint{keep(j.hash, &j.head)}, c.kept...)
	c.past = append(c.past, c.kept[0])
	c.past = c.past[max(0, len(c.past)-maxPast):]
	c.kept = c.kept[:min(len(c.kept), keptCheckpoints)]
	now := l.e.cfg.Clock()
	took := now.Sub(j.began)
	l.e.metrics.checkpoint(j, now, took)
	l.e.cfg.Logger.Info("checkpoint", "pipeline", l.e.cfg.Name, "step", j.head.Step, "bytes", j.bytes, "took", took, "pause", j.pause)
	l.answerCheckpoints(&c.waiting, nil)
	l.noteKept()
	l.tidy()
	switch interval := l.e.cfg.Checkpoint.Interval; {
	case len(c.next) > 0:
		l.askForCheckpoint(nil)
	case interval >= 0:
		l.scheduleCheckpoint(max(interval-took, took/checkpointRest))
	}
	l.volumeGrew(0)
}

// volumeGrew notes what was logged, and makes a checkpoint due if that is much.
func (l *leader) volumeGrew(bytes int64) {
	c := &l.ckpt
	c.volume += bytes
	if c.store != nil && c.volume >= l.e.cfg.Checkpoint.Bytes && c.job == nil && c.fails == 0 && l.e.cfg.Checkpoint.Interval >= 0 {
		l.askForCheckpoint(nil)
	}
}

// answerCheckpoints answers statements.
func (l *leader) answerCheckpoints(list *[]*request, err error) {
	for _, r := range *list {
		r.answer <- answer{err: err, step: l.coord.CommittedStep()}
	}
	*list = nil
}

// endCheckpoints answers the statements that wait when the loop ends.
func (l *leader) endCheckpoints(err error) {
	l.answerCheckpoints(&l.ckpt.waiting, err)
	l.answerCheckpoints(&l.ckpt.next, err)
	if l.ckpt.timer != nil {
		l.ckpt.timer.Stop()
	}
}

// checkpoint waits until a checkpoint that holds all that is committed is complete.
func (e *Engine) checkpoint(ctx context.Context) error {
	_, err := e.call(ctx, &request{kind: coord.Checkpoint, statement: true, leave: ctx})
	return err
}
