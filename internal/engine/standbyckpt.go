package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/wire"
)

// A standby makes checkpoints of its own, of what is committed, and writes nothing to the
// log. Such a manifest says that it is a standby's. It is valid iff the log's record at its
// position has the hash that it names.

// checkpointHere begins a standby's checkpoint, or puts it off until the step whose
// transactions have been read is there.
func (l *leader) checkpointHere() {
	c := &l.ckpt
	switch {
	case c.job != nil:
		return // the next one begins when it is there
	case l.follows != nil && l.follows.midway:
		c.late = true
		return
	}
	c.late = false
	if c.store == nil {
		l.answerCheckpoints(&c.next, nil)
		return
	}
	if err := l.beginCheckpoint(); err != nil {
		l.fail(err)
	}
}

// proved is an error unless the log goes on from a standby's checkpoint.
func (e *Engine) proved(ctx context.Context, m *ckpt.Manifest, first uint64) error {
	at := m.LogSeq
	if at == 0 {
		return nil
	}
	ok, seen := false, false
	err := e.log.Read(ctx, max(at, first), func(r fabric.Record) error {
		h, _, hash, err := wire.Open(r.Data)
		if err != nil {
			return fmt.Errorf("log record %d: %w", r.Seq, err)
		}
		seen = true
		ok = r.Seq == at && ckpt.Hash(hash) == m.LogHash || r.Seq == at+1 && ckpt.Hash(h.Prev) == m.LogHash
		return errEnough
	})
	switch {
	case err != nil && !errors.Is(err, errEnough):
		return err
	case !seen:
		return fmt.Errorf("%w: it is of record %d, and the log ends before", errOtherLog, at)
	case !ok:
		return fmt.Errorf("%w: record %d is another one than it was made after", errOtherLog, at)
	}
	return nil
}

// errOtherLog says that a standby's checkpoint is of another history than the log's.
var errOtherLog = errors.New("the log does not go on from it")

// noteKept tells the standing from where on the kept checkpoints need the log.
func (l *leader) noteKept() {
	floor := uint64(0)
	if n := len(l.ckpt.kept); n > 0 {
		floor = l.ckpt.kept[n-1].logSeq + 1
	}
	l.e.stand.set(func(s *Standing) { s.Floor = floor })
}

// leading reports whether the engine leads: what it logs counts.
func (l *leader) leading() bool { return l.coord.Role() == coord.Leading }
