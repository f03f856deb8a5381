package engine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/worker"
)

// redoMark stands in the names of empty files beside a manifest: what follows it is the
// key of a circuit whose state in that checkpoint is damaged, so that its view is filled
// anew. It is for the last checkpoint there is; of two the older one is taken.
const redoMark = ".redo-"

// redo notes that the circuit that err names is damaged in a checkpoint. It reports
// whether err names one that was not noted before.
func (e *Engine) redo(k keptCheckpoint, err error) (bool, error) {
	var fault *worker.FaultError
	if !errors.As(err, &fault) {
		return false, nil
	}
	name := (&ckpt.Manifest{Step: k.step}).FileName(k.hash)
	known, err := e.damagedCircuits(k.step)
	if err != nil || known[fault.Circuit] {
		return false, err
	}
	fs := e.cfg.Checkpoint.FS
	f, err := fs.Create(name + redoMark + fault.Circuit)
	if err != nil {
		return false, fmt.Errorf("note a damaged circuit: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return false, fmt.Errorf("note a damaged circuit: %w", err)
	}
	return true, fs.SyncDir(path.Dir(name))
}

// maxRedo bounds the circuits of one checkpoint that a start fills anew because steps
// after it need a page that is damaged.
const maxRedo = 64

// recoverAnew tries the checkpoints once more that could not be used because of damage to
// circuits, and fills those anew. It reports whether a leader is up.
func (e *Engine) recoverAnew(ctx context.Context, entries []ckpt.Entry, damaged map[ckpt.Hash]error, tail *logTail, first uint64) (bool, error) {
	for i, c := range entries {
		why := damaged[c.Hash]
		for range maxRedo {
			if c.Manifest == nil || !inCheckpoint(why) {
				break
			}
			noted, err := e.redo(keep(c.Hash, c.Manifest), why)
			if err != nil {
				return false, err
			}
			if !noted {
				break
			}
			if why = e.recoverThawed(ctx, c, tail, first); why == nil {
				e.lead.keepOlder(entries[i+1:], tail)
				return true, nil
			}
			if !older(ctx, why) {
				return false, why
			}
			e.forget()
		}
	}
	return false, nil
}

// damagedCircuits lists the circuits that are noted beside the manifest of that step.
func (e *Engine) damagedCircuits(step uint64) (map[string]bool, error) {
	name := (&ckpt.Manifest{Step: step}).FileName(ckpt.Hash{})
	prefix, _, _ := strings.Cut(path.Base(name), "-")
	files, err := e.cfg.Checkpoint.FS.List(path.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("list damaged circuits: %w", err)
	}
	out := map[string]bool{}
	for _, f := range files {
		if manifest, key, is := strings.Cut(f.Name, redoMark); is && strings.HasPrefix(manifest, prefix+"-") {
			out[key] = true
		}
	}
	return out, nil
}

// forgetRedo removes the notes beside manifests that are not kept.
func (e *Engine) forgetRedo(kept []keptCheckpoint) error {
	fs := e.cfg.Checkpoint.FS
	keep := map[string]bool{}
	dir := ""
	for _, k := range kept {
		name := (&ckpt.Manifest{Step: k.step}).FileName(k.hash)
		keep[path.Base(name)], dir = true, path.Dir(name)
	}
	files, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if manifest, _, is := strings.Cut(f.Name, redoMark); is && !keep[manifest] {
			if err := fs.Remove(dir + "/" + f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
