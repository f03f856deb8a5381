package fabric

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrWrongSequence: the log's last sequence was not the expected one; nothing was appended.
	// errors.As with *WrongSequenceError gives the last sequence.
	ErrWrongSequence = errors.New("wrong last sequence")
	// ErrUnknown: the write was sent and its outcome is not known (time-out, connection lost, storage error). It may
	// be there now, may come a moment later, or never. Resend the same with the same expected sequence, or read.
	ErrUnknown = errors.New("outcome unknown")
	// ErrTooLarge: a record, or a batch of them, is over MaxRecordBytes, MaxBatchBytes or MaxBatchRecords.
	ErrTooLarge = errors.New("too large")
	// ErrNoSpace: the storage limit of the log or the node is reached, or the disk is full.
	ErrNoSpace = errors.New("no space")
	// ErrUnavailable: the server could not take the request now; nothing was written and it may be tried again.
	ErrUnavailable = errors.New("unavailable")
	// ErrClosed: the Fabric, log, reader or appender is closed.
	ErrClosed = errors.New("closed")
	// ErrNotFound: no such record, log, stream or blob.
	ErrNotFound = errors.New("not found")
	// ErrHole: records that should be in the log are missing; errors.As with *HoleError says which.
	ErrHole = errors.New("hole in log")
	// ErrTrimmed: the reader was overtaken by Trim; errors.As with *HoleError says where the log now begins.
	ErrTrimmed = errors.New("log trimmed past reader")
	// ErrDamaged: what is on disk does not fit together.
	ErrDamaged = errors.New("damaged")
	// ErrInUse: another process, or another Fabric in this one, has the data directory open.
	ErrInUse = errors.New("data directory in use")
	// ErrLeaseHeld: another owner holds the lease; errors.As with *LeaseHeldError says who.
	ErrLeaseHeld = errors.New("lease held")
	// ErrLeaseLost: the lease is no longer ours.
	ErrLeaseLost = errors.New("lease lost")
	// ErrNoStream: no stream of the client account takes the subject, so nothing was stored.
	ErrNoStream = errors.New("no stream owns the subject")
)

// WrongSequenceError says how far the log was when a fenced append was refused.
type WrongSequenceError struct {
	Expected uint64 // what the append asked for
	Last     uint64 // the log's last sequence at that moment, or UnknownSequence
}

func (e *WrongSequenceError) Error() string {
	return fmt.Sprintf("%v: expected %d, log is at %d", ErrWrongSequence, e.Expected, e.Last)
}

// Is reports whether target is ErrWrongSequence.
func (e *WrongSequenceError) Is(target error) bool { return target == ErrWrongSequence }

// HoleError says which records are missing from a log.
type HoleError struct {
	Log   string
	Want  uint64 // the sequence that should have come
	Got   uint64 // the sequence that came instead
	First uint64 // the log's first sequence when the gap was seen
}

func (e *HoleError) Error() string {
	if e.First > e.Want {
		return fmt.Sprintf("%v: log %q: want sequence %d, log now begins at %d", ErrTrimmed, e.Log, e.Want, e.First)
	}
	return fmt.Sprintf("%v: log %q: want sequence %d, got %d", ErrHole, e.Log, e.Want, e.Got)
}

// Is reports whether target is ErrTrimmed (the gap lies below the log's first record) or ErrHole (it does not).
func (e *HoleError) Is(target error) bool {
	if e.First > e.Want {
		return target == ErrTrimmed
	}
	return target == ErrHole
}

// unknown wraps cause, the reason why the outcome of a write that was sent is not known.
func unknown(cause error) error { return fmt.Errorf("%w: %w", ErrUnknown, cause) }

// orClosed returns ErrClosed when the Fabric is closing, ErrUnavailable when something is not there because the store
// is closed, else err.
func (f *Fabric) orClosed(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if f.closing.Load() && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	if errors.Is(err, ErrNotFound) && f.storeStopped() {
		return fmt.Errorf("%w: the store is closed: %v", ErrUnavailable, err)
	}
	return err
}
