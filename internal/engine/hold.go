package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
)

// Held is the pipeline at one step, for a copy of it: a complete checkpoint and what of
// the logs is needed to go on from it to the step. Nothing of it is removed before
// Release.
type Held struct {
	Step     uint64 // all up to it is there
	Files    ckpt.FS
	Manifest ckpt.Manifest
	Hash     ckpt.Hash
	Logs     []HeldLog
	Release  func() // may be called more than once

	trimming *atomic.Bool // something is being removed still
}

// HeldLog is the records First to Last of a log; Last is First-1 if there are none.
type HeldLog struct {
	Name        string
	First, Last uint64
	log         Log
}

// Read hands out the log's records from a position on; see fabric.Log.Read.
func (h *HeldLog) Read(ctx context.Context, from uint64, fn func(fabric.Record) error) error {
	return h.log.Read(ctx, from, fn)
}

// Hold makes a checkpoint and holds the pipeline at the step that is committed then, or
// a later one.
func (e *Engine) Hold(ctx context.Context) (*Held, error) {
	if e.store == nil {
		return nil, &types.Error{Code: types.CodeFeature, Message: "a pipeline without checkpoints cannot be backed up"}
	}
	if _, err := e.callHere(ctx, &request{kind: coord.Checkpoint, statement: true, leave: ctx}); err != nil {
		return nil, err
	}
	h := &Held{Files: e.cfg.Checkpoint.FS}
	var err error
	sources := map[string]Log{}
	sinks := map[string]Log{}
	if !e.inspect(ctx, func(l *leader) { err = l.hold(h, sources, sinks) }) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, e.Err()
	}
	if err == nil {
		h.Manifest, err = e.store.ReadManifest(h.Hash)
	}
	if err == nil {
		err = e.restTrim(ctx, h)
	}
	if err == nil {
		err = h.span(ctx, sources, sinks)
	}
	if err != nil {
		if h.Release != nil {
			h.Release()
		}
		return nil, fmt.Errorf("hold pipeline %q: %w", e.cfg.Name, err)
	}
	return h, nil
}

// trimPoll is how often it is looked whether removing has ended.
const trimPoll = 5 * time.Millisecond

// restTrim waits until nothing is being removed; no more begins while it is held.
func (e *Engine) restTrim(ctx context.Context, h *Held) error {
	for h.trimming.Load() {
		select {
		case <-time.After(trimPoll):
		case <-ctx.Done():
			return ctx.Err()
		case <-e.done:
			return e.Err()
		}
	}
	return nil
}

func (e *Engine) sourceLog(id catalog.ID) string { return fmt.Sprintf("SRC_%s_%d", e.cfg.Name, id) }

// hold notes what there is now. Removing waits from here on.
func (l *leader) hold(h *Held, sources, sinks map[string]Log) error {
	e, c := l.e, &l.ckpt
	if len(c.kept) == 0 {
		return fmt.Errorf("there is no checkpoint at step %d", l.coord.CommittedStep())
	}
	at := c.kept[0]
	c.holds.Add(1)
	h.trimming = &c.tidying
	h.Release = sync.OnceFunc(func() { c.holds.Add(-1) })
	h.Step, h.Hash = l.coord.CommittedStep(), at.hash
	last, _ := l.coord.Last()
	h.Logs = append(h.Logs, HeldLog{Name: "LOG_" + e.cfg.Name, First: at.logSeq + 1, Last: last, log: e.log})
	for _, s := range e.sourceList() {
		if s.log != nil {
			sources[e.sourceLog(s.id)] = s.log
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, s := range e.sinks {
		if s.log != nil {
			sinks[e.sinkLog(id)] = s.log
		}
	}
	return nil
}

// span finds where the logs of sources and sinks begin and end. Of a sink only the last
// position counts.
func (h *Held) span(ctx context.Context, sources, sinks map[string]Log) error {
	for _, name := range sortedKeys(sources) {
		first, last, err := sources[name].Bounds(ctx)
		if err != nil {
			return err
		}
		h.Logs = append(h.Logs, HeldLog{Name: name, First: max(first, 1), Last: last, log: sources[name]})
	}
	for _, name := range sortedKeys(sinks) {
		_, last, err := sinks[name].Bounds(ctx)
		if err != nil {
			return err
		}
		h.Logs = append(h.Logs, HeldLog{Name: name, First: max(last, 1), Last: last, log: sinks[name]})
	}
	return nil
}
