package engine

import (
	"sync"
	"sync/atomic"
	"time"
)

// The phases of a recovery.
const (
	phaseStart   = "starting"
	phaseScan    = "reading the log"
	phaseRestore = "opening the checkpoint"
	PhaseReplay  = "replaying steps" // the one whose progress is known
	phaseReady   = "ready"
)

// Recovery is how far a pipeline has come on its way up. It is safe for concurrent use;
// the zero value is that of one that is not opened yet.
type Recovery struct {
	log   atomic.Uint64 // position of the last record that was applied
	steps atomic.Int64  // that were computed again

	mu    sync.Mutex
	now   RecoveryStatus
	began time.Time
}

// RecoveryStatus is how far a pipeline has come on its way up.
type RecoveryStatus struct {
	Phase          string
	CheckpointStep uint64 // that it goes on from; 0: from the log's start
	From           uint64 // the first record of the log that is replayed
	LogPosition    uint64 // the last one that was
	Target         uint64 // the last one there is
	Steps          int64  // computed again
	Since          time.Time
	Took           time.Duration // so far, or all of it
}

// Percent is how much of the log that is to be replayed is, 100 when all is.
func (s RecoveryStatus) Percent() float64 {
	switch {
	case s.Phase == phaseReady || s.Target == 0:
		return 100
	case s.LogPosition < s.From || s.Target < s.From:
		return 0
	}
	return 100 * float64(s.LogPosition-s.From+1) / float64(s.Target-s.From+1)
}

// Ready reports whether the pipeline is up.
func (s RecoveryStatus) Ready() bool { return s.Phase == phaseReady }

func (r *Recovery) set(fn func(*RecoveryStatus)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.now)
}

func (r *Recovery) begin(target uint64) {
	r.steps.Store(0)
	r.log.Store(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = time.Now()
	r.now = RecoveryStatus{Phase: phaseStart, Target: target, Since: r.began}
}

func (r *Recovery) phase(p string) { r.set(func(s *RecoveryStatus) { s.Phase = p }) }

func (r *Recovery) checkpoint(step, logSeq uint64) {
	r.set(func(s *RecoveryStatus) { s.CheckpointStep, s.From = step, logSeq+1 })
}

func (r *Recovery) replay(from, target uint64) {
	r.log.Store(from - 1)
	r.steps.Store(0)
	r.set(func(s *RecoveryStatus) {
		s.Phase, s.From, s.Target = PhaseReplay, from, max(s.Target, target)
		if from == 1 {
			s.CheckpointStep = 0
		}
	})
}

func (r *Recovery) at(seq uint64) { r.log.Store(seq) }

func (r *Recovery) ready(step uint64) {
	r.set(func(s *RecoveryStatus) { s.Phase, s.Took = phaseReady, time.Since(r.began) })
}

// Status returns how far it has come.
func (r *Recovery) Status() RecoveryStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.now
	s.LogPosition, s.Steps = r.log.Load(), r.steps.Load()
	switch {
	case r.began.IsZero():
		s.Phase = phaseStart
	case !s.Ready():
		s.Took = time.Since(r.began)
	}
	return s
}

// Recovery returns how the pipeline came up.
func (e *Engine) Recovery() RecoveryStatus { return e.recovery.Status() }
