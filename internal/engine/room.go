package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
)

const (
	// roomPoll is how often the leader looks whether the disk has room again, for an
	// append that met a full one.
	roomPoll = 100 * time.Millisecond
	// fullSteps is the least time between two steps that only time calls for while the
	// disk is full: they live on the reserve.
	fullSteps = 10 * time.Second
)

// room returns nil while there is room on the disk for new work, else what its clients
// are to be told.
func (e *Engine) room() error {
	if e.cfg.Room == nil {
		return nil
	}
	if err := e.cfg.Room(); err != nil {
		return diskFull(err)
	}
	return nil
}

// stopped reports whether nothing is stored until the disk has room again.
func (e *Engine) stopped() bool {
	if e.cfg.Room == nil {
		return false
	}
	var full *fabric.NoSpaceError
	return errors.As(e.cfg.Room(), &full) && full.Stopped
}

// diskFull is the error of clients for one that says that the disk is full.
func diskFull(err error) error {
	const hint = "Reads go on. Writes are taken again by themselves when there is room: make some, or set a smaller --disk-reserve."
	var full *fabric.NoSpaceError
	if !errors.As(err, &full) {
		return &types.Error{Code: types.CodeDiskFull, Message: "no space left: " + err.Error(), Hint: hint}
	}
	out := &types.Error{Code: types.CodeDiskFull, Hint: hint,
		Message: fmt.Sprintf("no space left in %s: %d bytes are free, %d are kept in reserve", full.Dir, full.FreeBytes, full.ReserveBytes)}
	if full.Stopped {
		out.Detail = "A write met the full disk; the log is opened again when there is room."
	}
	return out
}

// stall reports whether an append that failed with err is to be tried again only when
// the disk has room. The outcome stays open meanwhile, and is read from the log then.
func (l *leader) stall(expect uint64, err error) bool {
	if l.e.cfg.Manual != nil || !errors.Is(err, fabric.ErrNoSpace) && !l.e.stopped() {
		return false
	}
	if l.stalled == nil {
		l.e.cfg.Logger.Error("an append waits for room on the disk", "pipeline", l.e.cfg.Name, "err", err)
	}
	l.stalled = &expect
	l.unstall = time.After(roomPoll)
	return true
}

// resume tries the append again that stall has put off.
func (l *leader) resume() {
	if l.e.stopped() {
		l.unstall = time.After(roomPoll)
		return
	}
	expect := *l.stalled
	l.stalled, l.unstall = nil, nil
	l.append(expect)
}

// sourceError is the error of who sent rows to a source, for one of its append.
func (e *Engine) sourceError(err error) error {
	var te *types.Error
	switch {
	case err == nil || errors.As(err, &te):
		return err
	case errors.Is(err, fabric.ErrNoSpace):
		return diskFull(err)
	case errors.Is(err, fabric.ErrUnknown):
		return &types.Error{Code: "08007", Message: "it is not known whether the rows are stored: " + err.Error(),
			Hint: "Send the request again if it has a name (Idempotency-Key, or Tidemill-Producer and Tidemill-Sequence); else look for its rows first."}
	case errors.Is(err, fabric.ErrWrongSequence) || errors.Is(err, errMovedOn):
		return &types.Error{Code: "57P03", Message: "another node has written to the source: " + err.Error(), Hint: "Nothing of the request is stored. Send it again."}
	case errors.Is(err, fabric.ErrUnavailable):
		if full := e.room(); full != nil {
			return full
		}
		return &types.Error{Code: "57P03", Message: "the log takes no records now: " + err.Error(), Hint: "Send the request again."}
	}
	return err
}
