package engine

import (
	"context"

	"github.com/tidemill/tidemill/internal/fabric"
)

// Logs opens and lists logs. A fabric is one; tests bring logs that misbehave.
type Logs interface {
	OpenLog(ctx context.Context, name string) (Log, error)
}

// Log is what a pipeline needs of a log; see fabric.Log for what the methods mean.
type Log interface {
	Append(ctx context.Context, recs [][]byte, expectLast uint64) (last uint64, err error)
	Read(ctx context.Context, from uint64, fn func(fabric.Record) error) error
	Reader(ctx context.Context, from uint64) (Reader, error)
	Bounds(ctx context.Context) (first, last uint64, err error)
	Trim(ctx context.Context, below uint64) error
	Delete(ctx context.Context) error
}

// Reader hands out records in order.
type Reader interface {
	Next(ctx context.Context) (fabric.Record, error)
	Stop()
}

// fabricLogs are the logs of a fabric.
type fabricLogs struct{ f *fabric.Fabric }

func (l fabricLogs) OpenLog(ctx context.Context, name string) (Log, error) {
	log, err := l.f.OpenLog(ctx, name, fabric.LogConfig{})
	if err != nil {
		return nil, err
	}
	return fabricLog{log}, nil
}

type fabricLog struct{ *fabric.Log }

func (l fabricLog) Reader(ctx context.Context, from uint64) (Reader, error) {
	r, err := l.Log.Reader(ctx, from)
	if err != nil {
		return nil, err
	}
	return r, nil
}
