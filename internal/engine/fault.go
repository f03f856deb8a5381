package engine

import (
	"errors"
	"fmt"
	"path"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// badSuffix is what is appended to the name of a manifest whose checkpoint turned out
// damaged: it is not looked at any more.
const badSuffix = ".bad"

// Fault returns why the pipeline has ended, if that is because state could not be read
// back from the disk or be put there; else nil. Opening it again brings it back: from an
// older checkpoint if the newest was damaged. Meant to be called after Done.
func (e *Engine) Fault() error {
	select {
	case <-e.done:
		return e.fault
	default:
		return nil
	}
}

// noteFault looks whether the pipeline ends with err because of its state, and sees to
// it that a damaged checkpoint is not used again. It returns what clients are told.
func (l *leader) noteFault(err error) error {
	var fault *state.FaultError
	if !errors.As(err, &fault) {
		return err
	}
	l.e.fault = err
	te := &types.Error{Code: "57P02", Message: "the pipeline ends and starts again from a checkpoint", Detail: err.Error()}
	if errors.Is(err, ckpt.ErrNoSpace) || errors.Is(err, ckpt.ErrScratchFull) {
		te.Code, te.Message = types.CodeDiskFull, "the pipeline ends: state that does not fit into memory could not be kept on the disk"
		return te
	}
	if l.e.store == nil || len(l.ckpt.kept) == 0 || !inCheckpoint(err) {
		return te
	}
	bad := l.ckpt.kept[0]
	if first, _, lerr := l.e.log.Bounds(l.e.ctx); len(l.ckpt.kept) == 1 && (lerr != nil || first > 1) {
		l.e.cfg.Logger.Error("the checkpoint is damaged, and it is the last", "pipeline", l.e.cfg.Name, "step", bad.step, "manifest", bad.hash, "err", err)
		if _, err := l.e.redo(bad, err); err != nil {
			l.e.cfg.Logger.Error("note what is damaged", "pipeline", l.e.cfg.Name, "err", err)
		}
		return te
	}
	l.e.cfg.Logger.Error("the checkpoint is damaged", "pipeline", l.e.cfg.Name, "step", bad.step, "manifest", bad.hash, "err", err)
	if err := l.e.retire(bad); err != nil {
		l.e.cfg.Logger.Error("mark the damaged checkpoint", "pipeline", l.e.cfg.Name, "step", bad.step, "err", err)
	}
	return te
}

// inCheckpoint reports whether err is damage to a record of a checkpoint, and not that
// of the scratch file, or a disk that did not take or give what it was asked for: the
// checkpoint may be as good as ever, and there are only two.
func inCheckpoint(err error) bool {
	var damage *ckpt.DamageError
	return errors.As(err, &damage) && damage.Err == nil && damage.File != scratchFile
}

// notWritten reports whether err is that state could not leave memory, which is no fault
// of the checkpoint that it came from.
func notWritten(err error) bool {
	var fault *state.FaultError
	var damage *ckpt.DamageError
	return errors.As(err, &fault) && !errors.As(err, &damage)
}

// scratchFile is where state is that left memory since the last checkpoint.
const scratchFile = "scratch"

// retire makes sure that a checkpoint is not used again.
func (e *Engine) retire(k keptCheckpoint) error {
	name := (&ckpt.Manifest{Step: k.step}).FileName(k.hash)
	fs := e.cfg.Checkpoint.FS
	if err := fs.Rename(name, name+badSuffix); err != nil {
		return fmt.Errorf("rename %s: %w", name, err)
	}
	return fs.SyncDir(path.Dir(name))
}
