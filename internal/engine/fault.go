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
	if l.e.store == nil || len(l.ckpt.kept) == 0 {
		return te
	}
	bad := l.ckpt.kept[0]
	l.e.cfg.Logger.Error("the checkpoint is damaged", "pipeline", l.e.cfg.Name, "step", bad.step, "manifest", bad.hash, "err", err)
	if err := l.e.retire(bad); err != nil {
		l.e.cfg.Logger.Error("mark the damaged checkpoint", "pipeline", l.e.cfg.Name, "step", bad.step, "err", err)
	}
	return te
}

// retire makes sure that a checkpoint is not used again.
func (e *Engine) retire(k keptCheckpoint) error {
	name := (&ckpt.Manifest{Step: k.step}).FileName(k.hash)
	fs := e.cfg.Checkpoint.FS
	if err := fs.Rename(name, name+badSuffix); err != nil {
		return fmt.Errorf("rename %s: %w", name, err)
	}
	return fs.SyncDir(path.Dir(name))
}
