package fabric

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// electionWait bounds how long a request is repeated that the cluster cannot serve now. Electing a leader takes up
	// to 9 seconds.
	electionWait = 15 * time.Second
	// tryTimeout bounds one of these tries: a request to a leader that has died is never answered. The first question,
	// which is cheap to ask again, waits for askTimeout, and each one after it twice as long.
	tryTimeout = 2 * time.Second
	askTimeout = 250 * time.Millisecond
	// tryPause is between them.
	tryPause = 50 * time.Millisecond

	codeClusterNoPeers  = 10005
	codeClusterNoLeader = 10009
	codeStreamOffline   = 10118
	codeReconfiguring   = 10226
	codeMemberChange    = 10202
	codeNameInUse       = 10058
	status503           = 503
)

// settle calls fn, which may be called again without harm, until it gives something else than the error of a cluster
// that is electing, bounded by electionWait and ctx. Alone it is called once, within the request time-out.
func (f *Fabric) settle(ctx context.Context, fn func(ctx context.Context) error) error {
	return f.settleFrom(ctx, tryTimeout, fn)
}

// ask is settle for what only reads.
func (f *Fabric) ask(ctx context.Context, fn func(ctx context.Context) error) error {
	return f.settleFrom(ctx, askTimeout, fn)
}

func (f *Fabric) settleFrom(ctx context.Context, first time.Duration, fn func(ctx context.Context) error) error {
	if f.cluster == nil {
		ctx, cancel := f.withTimeout(ctx)
		defer cancel()
		return fn(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	for wait := first; ; wait = min(2*wait, tryTimeout) {
		try, end := context.WithTimeout(ctx, wait)
		err := fn(try)
		end()
		if err == nil || !temporary(err) || f.closing.Load() {
			return err
		}
		if pause(ctx, tryPause); ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// temporary reports whether a cluster that is electing, or a connection that was just made anew, gives such an error.
func temporary(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch int(api.ErrorCode) {
		case codeClusterNoPeers, codeClusterNoLeader, codeStreamOffline, codeReconfiguring, codeMemberChange,
			codeNameInUse: // another node has just made it, with as many copies as it saw nodes: now it is there
			return true
		}
		return api.Code == status503
	}
	for _, e := range []error{nats.ErrNoResponders, jetstream.ErrNoStreamResponse, nats.ErrTimeout, context.DeadlineExceeded,
		nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, errRelinked, ErrUnavailable} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// streamInfo asks the leader of a stream of ours.
func (f *Fabric) streamInfo(ctx context.Context, stream string) (info *jetstream.StreamInfo, err error) {
	err = f.ask(ctx, func(ctx context.Context) error {
		var s jetstream.Stream
		if s, err = f.js.Stream(ctx, stream); err == nil {
			info = s.CachedInfo()
		}
		return err
	})
	if err != nil {
		return nil, f.orClosed(notFound(err))
	}
	return info, nil
}

// copies is how many nodes should keep a copy of what is made now.
func (f *Fabric) copies() int {
	if f.cluster == nil {
		return 1
	}
	return max(1, min(f.cluster.replicas(), f.online()))
}

// RaiseReplicas gives every log, the leases and the blobs as many copies as the nodes that are online allow, at most
// Cluster.Replicas; what has more keeps them. It returns when the cluster has agreed to that; the copies are made
// behind it, see Log.Info. To be called when a node has come; calling it again does no harm. Streams of clients are
// their own affair.
func (f *Fabric) RaiseReplicas(ctx context.Context) error {
	if f.cluster == nil {
		return nil
	}
	want := f.copies()
	names, err := f.ownStreams(ctx)
	if err != nil {
		return fmt.Errorf("raise replicas to %d: %w", want, err)
	}
	var failed []error
	for _, name := range names {
		err := f.settle(ctx, func(ctx context.Context) error {
			s, err := f.js.Stream(ctx, name)
			if err != nil {
				return err
			}
			cfg := s.CachedInfo().Config
			if cfg.Replicas >= want {
				return nil
			}
			cfg.Replicas = want
			_, err = f.js.UpdateStream(ctx, cfg)
			return err
		})
		if err == nil {
			f.spread(ctx, name)
		}
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			failed = append(failed, fmt.Errorf("stream %s: %w", name, f.orClosed(err)))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("raise replicas to %d: %w", want, errors.Join(failed...))
	}
	return nil
}

// ownStreams returns the names of the streams that hold logs, leases and blobs.
func (f *Fabric) ownStreams(ctx context.Context) ([]string, error) {
	var names []string
	err := f.settle(ctx, func(ctx context.Context) error {
		names = names[:0]
		list := f.js.StreamNames(ctx)
		for name := range list.Name() {
			if strings.HasPrefix(name, streamPrefix) || name == blobStream {
				names = append(names, name)
			}
		}
		return list.Err()
	})
	if err != nil {
		return nil, f.orClosed(err)
	}
	return names, nil
}
