package engine

import (
	"fmt"
	"sort"
	"sync"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// ring holds the recent changes of a relation, step by step, for those who follow
// it. The leader adds; any goroutine reads.
type ring struct {
	maxBytes int64

	mu      sync.RWMutex
	entries []ringEntry // ascending steps, only those with changes
	bytes   int64
	gone    bool   // the relation was dropped
	lost    uint64 // the last step that was dropped; readers behind it have missed something
}

type ringEntry struct {
	step uint64
	rows *batch.Batch
}

func newRing(maxBytes int64) *ring { return &ring{maxBytes: maxBytes} }

func (r *ring) add(step uint64, b *batch.Batch) {
	if b.Len() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, ringEntry{step, b})
	r.bytes += b.SizeBytes()
	drop := 0
	for drop < len(r.entries)-1 && (r.bytes > r.maxBytes || len(r.entries)-drop > MaxRingSteps) {
		r.bytes -= r.entries[drop].rows.SizeBytes()
		r.lost = r.entries[drop].step
		drop++
	}
	r.cut(drop)
}

// cut takes the first n entries out. What is left moves when the slice is full, and
// not at every step.
func (r *ring) cut(n int) {
	clear(r.entries[:n])
	r.entries = r.entries[n:]
}

// forget drops everything up to step: nobody will ask for it.
func (r *ring) forget(step uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].step > step })
	if n == 0 {
		return
	}
	for _, e := range r.entries[:n] {
		r.bytes -= e.rows.SizeBytes()
	}
	r.cut(n)
	r.lost = max(r.lost, step)
}

// oldest returns the step from which on changes are kept: all of later steps are there.
func (r *ring) oldest() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.lost
}

func (r *ring) size() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.bytes
}

// after returns the first entry of a step later than step and not later than
// until. It is an error if changes in between are gone already.
func (r *ring) after(step, until uint64) (ringEntry, bool, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.gone {
		return ringEntry{}, false, errDropped()
	}
	if r.lost > step {
		return ringEntry{}, false, errLost(step, r.lost)
	}
	i := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].step > step })
	if i == len(r.entries) || r.entries[i].step > until {
		return ringEntry{}, false, nil
	}
	return r.entries[i], true, nil
}

// step returns all changes of the first step later than after and not later than
// until, and which step that is.
func (r *ring) step(after, until uint64) ([]*batch.Batch, uint64, error) {
	first, ok, err := r.after(after, until)
	if err != nil || !ok {
		return nil, 0, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []*batch.Batch
	i := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].step >= first.step })
	for ; i < len(r.entries) && r.entries[i].step == first.step; i++ {
		out = append(out, r.entries[i].rows)
	}
	if len(out) == 0 {
		return nil, 0, errLost(after, r.lost)
	}
	return out, first.step, nil
}

// dropped is an error once the relation is gone.
func (r *ring) dropped() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.gone {
		return errDropped()
	}
	return nil
}

func errDropped() error {
	return &types.Error{Code: types.CodeUndefinedTable, Message: "the relation was dropped"}
}

// end tells readers that the relation is gone.
func (r *ring) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone, r.entries, r.bytes = true, nil, 0
}

func errLost(step, lost uint64) error {
	return &types.Error{Code: "55000", Message: fmt.Sprintf("changes after step %d are no longer kept", step),
		Detail: fmt.Sprintf("The reader was too slow: changes up to step %d were dropped to make room.", lost),
		Hint:   fmt.Sprintf("Subscribe again to begin with the current rows, or AS OF step %d, the oldest there is.", lost)}
}
