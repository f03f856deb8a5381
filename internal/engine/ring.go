package engine

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

const (
	// maxRingMemory bounds the recent changes of one relation where there is no disk for
	// them.
	maxRingMemory = 32 << 20
	// SinkBacklogBytes is how much a sink may be behind before tidemill.storage names it
	// as the reason: nothing of it is dropped, so the disk fills until the sink takes it.
	SinkBacklogBytes = 1 << 30
)

// ring holds the recent changes of a relation, step by step, for those who follow
// it. The leader adds; any goroutine reads.
type ring struct {
	changes *state.Changes
	// maxBytes and MaxRingSteps bound it; 0: nothing is dropped that was not forgotten.
	maxBytes int64
	gone     atomic.Bool // the relation was dropped
	// holds is how many builds are still to read it: it may grow to heldRings times its bounds.
	holds atomic.Int32
}

// newRing returns a ring in memory.
func newRing(maxBytes int64) *ring {
	return &ring{changes: state.NewChanges(0), maxBytes: maxBytes}
}

// newRing returns the ring of a relation, for the changes after a step.
func (l *leader) newRing(def *catalog.Relation, from uint64) *ring {
	return &ring{changes: l.cache.NewChanges(ringOwner(def), from), maxBytes: l.ringBytes(def)}
}

// ringBytes is how much is kept of a relation's changes. Where there is a disk, what a
// sink has not taken stays.
func (l *leader) ringBytes(def *catalog.Relation) int64 {
	switch onDisk := l.cache != nil; {
	case def.Kind == catalog.Sink && onDisk:
		return 0
	case def.Kind == catalog.Sink:
		return maxSinkBytes
	case onDisk:
		return MaxRingBytes
	}
	return maxRingMemory
}

// ringOwner names a relation's recent changes among all records of checkpoints.
func ringOwner(def *catalog.Relation) uint64 { return 1<<63 | uint64(def.ID) }

func (r *ring) add(step uint64, b *batch.Batch) {
	r.changes.Add(step, b)
	if r.maxBytes > 0 {
		times := 1
		if r.holds.Load() > 0 {
			times = heldRings
		}
		r.changes.Trim(int64(times)*r.maxBytes, times*MaxRingSteps)
	}
}

// forget drops everything up to step: nobody will ask for it.
func (r *ring) forget(step uint64) { r.changes.Forget(step) }

// oldest returns the step from which on changes are kept: all of later steps are there.
func (r *ring) oldest() uint64 { return r.changes.Lost() }

// size is how large they are, in memory or on disk.
func (r *ring) size() int64 { return r.changes.Bytes() }

// span returns the first and last step that the ring has changes of, zeros if none.
func (r *ring) span() (first, last uint64) { return r.changes.Span() }

// keptFor says for whom a ring keeps what it has.
func (r *ring) keptFor(def *catalog.Relation) string {
	switch {
	case def.Kind == catalog.Sink && r.maxBytes > 0:
		return fmt.Sprintf("sink %s, which has not confirmed them: up to %d MB", def.Name, r.maxBytes>>20)
	case def.Kind == catalog.Sink && r.size() > SinkBacklogBytes:
		return fmt.Sprintf("sink %s, which has not confirmed them and is over %d MB behind: they stay until it does or is dropped", def.Name, SinkBacklogBytes>>20)
	case def.Kind == catalog.Sink:
		return fmt.Sprintf("sink %s, which has not confirmed them", def.Name)
	}
	return fmt.Sprintf("subscribers that resume: up to %d MB or %d steps", r.maxBytes>>20, MaxRingSteps)
}

// ringEntry is what one step changed.
type ringEntry struct {
	step uint64
	rows *batch.Batch
}

// after returns the first step later than step and not later than until with all its
// changes, in their order. It is an error if changes in between are gone already.
func (r *ring) after(step, until uint64) (ringEntry, bool, error) {
	parts, at, err := r.step(step, until)
	if err != nil || len(parts) == 0 {
		return ringEntry{}, false, err
	}
	if len(parts) == 1 {
		return ringEntry{at, parts[0]}, true, nil
	}
	all := batch.NewBuilder(parts[0].Types())
	for _, b := range parts {
		all.AppendBatch(b)
	}
	return ringEntry{at, all.Seal()}, true, nil
}

// step returns all changes of the first step later than after and not later than
// until, and which step that is.
func (r *ring) step(after, until uint64) ([]*batch.Batch, uint64, error) {
	if err := r.dropped(); err != nil {
		return nil, 0, err
	}
	parts, at, err := r.changes.Step(after, until)
	switch {
	case errors.Is(err, state.ErrForgotten):
		if gone := r.dropped(); gone != nil {
			return nil, 0, gone
		}
		return nil, 0, errLost(after, r.oldest())
	case err != nil:
		return nil, 0, fmt.Errorf("read the changes after step %d: %w", after, err)
	}
	return parts, at, nil
}

// dropped is an error once the relation is gone.
func (r *ring) dropped() error {
	if r.gone.Load() {
		return errDropped()
	}
	return nil
}

func errDropped() error {
	return &types.Error{Code: types.CodeUndefinedTable, Message: "the relation was dropped"}
}

// end tells readers that the relation is gone.
func (r *ring) end() {
	r.gone.Store(true)
	r.changes.Close()
}

func errLost(step, lost uint64) error {
	return &types.Error{Code: "55000", Message: fmt.Sprintf("changes after step %d are no longer kept", step),
		Detail: fmt.Sprintf("The reader was too slow: changes up to step %d were dropped to make room.", lost),
		Hint:   fmt.Sprintf("Subscribe again to begin with the current rows, or AS OF step %d, the oldest there is.", lost)}
}
