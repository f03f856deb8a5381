package nexmark

import (
	"fmt"
	"os"
	"time"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/worker"
)

// CheckpointFigures are what the checkpoints of a run cost.
type CheckpointFigures struct {
	EveryS     float64 `json:"every_s"`
	Count      int     `json:"count"`
	Bytes      int64   `json:"bytes"`       // written by all of them
	LastBytes  int64   `json:"last_bytes"`  // by the last one
	MaxPauseS  float64 `json:"max_pause_s"` // for which steps waited
	WriteS     float64 `json:"write_s"`     // writing, beside the steps
	StoreBytes int64   `json:"store_bytes"` // of the files at the end
}

// imageOwner names images of circuits among all records.
const imageOwner = 1

// checkpointer makes checkpoints of a pipeline while its steps go on.
type checkpointer struct {
	p     *Pipeline
	files *ckpt.OSFS
	store *ckpt.Store
	dir   string
	every time.Duration
	last  time.Time // when the one before began
	job   chan written
	at    *worker.Frozen
	kept  ckpt.Hash
	fig   CheckpointFigures
}

// written is a checkpoint whose writer is through.
type written struct {
	hash  ckpt.Hash
	bytes int64
	took  time.Duration
	err   error
}

// openStore makes a directory for checkpoints below dir, "" for that of temporary files.
func openStore(dir string, every time.Duration) (*checkpointer, error) {
	dir, err := os.MkdirTemp(dir, "nexmark-checkpoints-")
	if err != nil {
		return nil, err
	}
	c := &checkpointer{dir: dir, every: every, fig: CheckpointFigures{EveryS: every.Seconds()}}
	if c.files, err = ckpt.NewOSFS(dir); err == nil {
		c.store, err = ckpt.Open(c.files, ckpt.Options{})
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	return c, nil
}

// config is that of a worker whose state can be written.
func (c *checkpointer) config(workers int) worker.Config {
	return worker.Config{Threads: workers, Backing: c.store, Budget: state.NewBudget(1 << 62)}
}

// step ends a checkpoint that is written, and begins one when it is time. It is called
// between steps.
func (c *checkpointer) step(wait bool) error {
	if c.job != nil {
		select {
		case w := <-c.job:
			if err := c.end(w); err != nil {
				return err
			}
		default:
			if !wait {
				return nil
			}
			if err := c.end(<-c.job); err != nil {
				return err
			}
		}
	}
	now := time.Now()
	if c.last.IsZero() {
		c.last = now
	}
	if wait || now.Sub(c.last) < c.every {
		return nil
	}
	c.last = now
	at, err := c.p.work.Freeze()
	if err != nil {
		return err
	}
	c.at = at
	c.fig.MaxPauseS = max(c.fig.MaxPauseS, time.Since(now).Seconds())
	job := make(chan written, 1)
	c.job = job
	step := c.p.step
	go func() { job <- c.write(at, step) }()
	return nil
}

// end takes a checkpoint over.
func (c *checkpointer) end(w written) error {
	c.at.Done(w.err == nil)
	c.job = nil
	if w.err != nil {
		return w.err
	}
	c.fig.Count++
	c.fig.Bytes += w.bytes
	c.fig.LastBytes = w.bytes
	c.fig.WriteS += w.took.Seconds()
	keep := []ckpt.Hash{w.hash}
	if c.kept != (ckpt.Hash{}) {
		keep = append(keep, c.kept)
	}
	c.kept = w.hash
	_, err := c.store.Prune(keep...)
	return err
}

func (c *checkpointer) write(at *worker.Frozen, step uint64) (out written) {
	began := time.Now()
	defer func() { out.took = time.Since(began) }()
	w, err := c.store.Begin(ckpt.Manifest{Pipeline: "nexmark", Step: step, Lanes: c.p.work.Lanes()})
	if err != nil {
		return written{err: err}
	}
	saved, err := at.Write(w)
	objects := map[string]ckpt.Object{}
	for _, im := range saved.Circuits {
		if err == nil {
			var l state.Loc
			l, err = w.Put(state.RecordImage, imageOwner, im.Data)
			objects["circuit/"+im.Key] = ckpt.Object{Kind: "circuit", Image: l}
		}
	}
	if err != nil {
		w.Abort()
		return written{err: err}
	}
	out.bytes = w.BytesWritten()
	_, out.hash, out.err = w.Finish(objects)
	return out
}

// finish waits for the last checkpoint and returns what all of them cost.
func (c *checkpointer) finish() (*CheckpointFigures, error) {
	if err := c.step(true); err != nil {
		return nil, err
	}
	u, err := c.store.Usage()
	c.fig.StoreBytes = u.PackBytes + u.ManifestBytes
	return &c.fig, err
}

// close removes the directory. Nothing is written any more.
func (c *checkpointer) close() {
	if c.job != nil {
		<-c.job
	}
	if c.store != nil {
		_ = c.store.Close() // all of it goes
	}
	if c.files != nil {
		_ = c.files.Close()
	}
	_ = os.RemoveAll(c.dir)
}
