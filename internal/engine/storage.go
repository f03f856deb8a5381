package engine

import (
	"fmt"
	"sync"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/state"
)

func (c *CheckpointConfig) setDefaults() {
	if c.Interval == 0 {
		c.Interval = DefaultCheckpointInterval
	}
	if c.Bytes <= 0 {
		c.Bytes = DefaultCheckpointBytes
	}
	if c.Rate == 0 {
		c.Rate = DefaultCheckpointRate
	}
	if c.ReserveBytes == 0 {
		c.ReserveBytes = DefaultReserveBytes
	}
}

// openStore opens the directory of checkpoints, if there is to be one.
func (e *Engine) openStore() error {
	c := &e.cfg.Checkpoint
	if c.FS == nil {
		return nil
	}
	s, err := ckpt.Open(c.FS, ckpt.Options{ReserveBytes: max(c.ReserveBytes, 0), Pace: e.pace(), Beside: e.aside.add})
	if err != nil {
		return fmt.Errorf("checkpoints: %w", err)
	}
	e.store, e.budget = s, state.NewBudget(e.cfg.MemoryBytes)
	return nil
}

// aside has jobs that the disk is slow at, such as the removal of large files, wait until
// the pipeline is up, which they would make wait for its own writes.
type aside struct {
	mu   sync.Mutex
	jobs []func()
	run  func(job func()) // nil: not yet
}

func (a *aside) add(job func()) {
	a.mu.Lock()
	run := a.run
	if run == nil {
		a.jobs = append(a.jobs, job)
	}
	a.mu.Unlock()
	if run != nil {
		run(job)
	}
}

// start has run take the jobs that wait and all to come.
func (a *aside) start(run func(job func())) {
	a.mu.Lock()
	jobs := a.jobs
	a.jobs, a.run = nil, run
	a.mu.Unlock()
	for _, job := range jobs {
		run(job)
	}
}

// Memory returns how many bytes of state and cached rows are in memory, of those that
// can leave it, and how many may be; zeros if none can.
func (e *Engine) Memory() (used, limit int64) {
	if e.budget == nil {
		return 0, 0
	}
	return e.budget.Used(), e.budget.Limit()
}

// pressed reports whether more is in memory than should be.
func (e *Engine) pressed() bool { return e.budget != nil && e.budget.Over() > 0 }

// closeStore closes it when nothing uses it any more.
func (e *Engine) closeStore() {
	if e.store == nil {
		return
	}
	if err := e.store.Close(); err != nil {
		e.cfg.Logger.Warn("close checkpoints", "pipeline", e.cfg.Name, "err", err)
	}
}
