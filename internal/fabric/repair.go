package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// copyCheck is how often a node looks at what its copies of logs lack, firstCopyCheck when it begins to. A copy must
	// lack it twice.
	copyCheck      = 20 * time.Second
	firstCopyCheck = 500 * time.Millisecond
	// repairWait bounds the wait for a copy that is made anew.
	repairWait = 10 * time.Minute
	// repairPause is between looks at it.
	repairPause = 100 * time.Millisecond
	// maxLocalTries bounds how often the server is asked for a consumer before it puts one on this node.
	maxLocalTries = 64
	// maxSuspects bounds the logs whose copies wait to be looked at.
	maxSuspects = 256

	holeSubject = "fabric.hole"
)

// The server drops the messages of a block that it cannot read and goes on without them, as leader too. Our logs have
// no gaps but what Trim took from their beginning, so a gap is damage to this copy: whoever reads notices it by the
// sequences, fetches what is missing from another node, and has the damaged copy made anew from the others'.

// Holes returns how many records were missing in copies that were read and were fetched from another node.
func (f *Fabric) Holes() uint64 { return f.holes.Load() }

// Repairs returns how many copies of logs on this node were made anew because they lacked records.
func (f *Fabric) Repairs() uint64 { return f.repairs.Load() }

// noteHole says that the copy of a log on a node lacks what the log has, and tells that node.
func (f *Fabric) noteHole(stream, node string, hole *HoleError) {
	f.holes.Add(1)
	place := fmt.Sprintf("%s %s %d", node, stream, hole.Got)
	if was := f.lastHole.Swap(&place); was == nil || *was != place { // said once for all that one gap is missing
		f.log(slog.LevelError, fmt.Sprintf("the copy of log %q on node %q lacks records from %d to %d; they are fetched from another node", hole.Log, node, hole.Want, hole.Got-1))
		if err := f.Broadcast(holeSubject, []byte(node+" "+stream)); err != nil {
			f.log(slog.LevelWarn, fmt.Sprintf("tell node %q of its damaged copy: %v", node, err))
		}
	}
}

// hearOfHoles is told of damaged copies by other nodes, and by this one.
func (f *Fabric) hearOfHoles(_ string, data []byte) {
	node, stream, ok := strings.Cut(string(data), " ")
	if !ok || node != f.name || !strings.HasPrefix(stream, streamPrefix) {
		return
	}
	select {
	case f.suspects <- stream:
	default: // those that wait are looked at first; it is heard of again
	}
}

// watchCopies looks after this node's copies of logs.
func (f *Fabric) watchCopies() {
	wait := firstCopyCheck
	timer := time.NewTimer(wait)
	defer timer.Stop()
	seen := map[string]bool{}
	for {
		suspects := map[string]bool{}
		select {
		case <-timer.C:
			if f.ready() {
				now := f.copyLacks()
				for stream := range now {
					suspects[stream] = seen[stream]
				}
				seen = now
				wait = min(2*wait, copyCheck)
			}
			timer.Reset(wait)
		case stream := <-f.suspects:
			suspects[stream] = true
		case <-f.closed:
			return
		}
		for stream, suspect := range suspects {
			if !suspect {
				continue
			}
			delete(seen, stream)
			if err := f.repairStream(f.life, stream); err != nil && f.life.Err() == nil {
				f.log(slog.LevelError, fmt.Sprintf("repair this node's copy of stream %s: %v", stream, err))
			}
		}
	}
}

// localState is a stream as this node has it.
func (f *Fabric) localStates() map[string]server.StreamState {
	info, err := f.server().Jsz(&server.JSzOptions{Account: accountInternal, Streams: true})
	if err != nil {
		return nil
	}
	out := map[string]server.StreamState{}
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			out[s.Name] = s.State
		}
	}
	return out
}

// isLogStream reports whether a stream holds a log, which has no gaps; those of the leases have.
func isLogStream(stream string) bool {
	return strings.HasPrefix(stream, streamPrefix) && stream != leaseStream && stream != userStream
}

// hasGap reports whether records are missing between the first and the last.
func hasGap(s server.StreamState) bool {
	return s.NumDeleted > 0 || s.Msgs > 0 && s.Msgs != s.LastSeq-s.FirstSeq+1
}

// copyLacks returns this node's copies of logs which lack records, by their own count, or by the leader's of those that
// it has before their first.
func (f *Fabric) copyLacks() map[string]bool {
	out := map[string]bool{}
	for stream, state := range f.localStates() {
		if !isLogStream(stream) {
			continue
		}
		lacks := hasGap(state)
		if !lacks && state.Msgs > 0 {
			first := f.firstNow(stream) // asked after the state was taken: what the leader trimmed before is trimmed here later
			lacks = first > 0 && first < state.FirstSeq
		}
		if lacks {
			out[stream] = true
			f.log(slog.LevelWarn, fmt.Sprintf("this node's copy of stream %s seems to lack records: it has %d from %d to %d", stream, state.Msgs, state.FirstSeq, state.LastSeq))
		}
	}
	return out
}

// firstNow is a stream's first sequence by the word of its leader, if that is another node and answers at once, or 0.
func (f *Fabric) firstNow(stream string) uint64 {
	ctx, cancel := context.WithTimeout(f.life, tryTimeout)
	defer cancel()
	s, err := f.js.Stream(ctx, stream)
	if err != nil {
		return 0
	}
	info := s.CachedInfo()
	if info.Cluster == nil || info.Cluster.Leader == f.name {
		return 0
	}
	return info.State.FirstSeq
}

// Check reads this node's copy of the log from the first record to the last that the log has now, and returns a
// *HoleError if one is missing, ErrNotFound if this node has no copy. It reads everything, so it takes its time.
func (l *Log) Check(ctx context.Context) error {
	if err := l.check(ctx); err != nil {
		return fmt.Errorf("check log %q: %w", l.name, err)
	}
	return nil
}

func (l *Log) check(ctx context.Context) error {
	first, last, err := l.Bounds(ctx)
	if err != nil || first > last {
		return err
	}
	if l.f.cluster == nil {
		return l.Read(ctx, first, func(Record) error { return nil })
	}
	if _, ok := l.f.localStates()[l.stream]; !ok {
		return fmt.Errorf("%w: this node has no copy", ErrNotFound)
	}
	if err := l.f.waitCurrent(ctx, l.stream); err != nil {
		return err
	}
	cur, err := openLocalCursor(ctx, l.f, l.stream, first)
	if err != nil {
		return l.f.orClosed(notFound(err))
	}
	defer cur.stop()
	for want := first; want <= last; {
		wait, cancel := context.WithTimeout(ctx, holeWait)
		rec, err := cur.next(wait)
		cancel()
		got := rec.Seq
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			if !l.f.current(l.stream) {
				return fmt.Errorf("%w: this node's copy is being caught up at %d", ErrUnavailable, want)
			}
			got = last + 1 // nothing more comes
		case err != nil:
			return err
		}
		if got > want {
			if first, _, err = l.Bounds(ctx); err != nil {
				return err
			}
			if want = max(want, first); got > want { // else it was trimmed meanwhile
				return &HoleError{Log: l.name, Want: want, Got: got, First: first}
			}
		}
		if got == want {
			want++
		}
	}
	return nil
}

// current reports whether this node's copy of a stream has what the leader has, as far as the node knows.
func (f *Fabric) current(stream string) bool {
	return f.server().JetStreamIsStreamCurrent(accountInternal, stream)
}

// waitCurrent waits until this node's copy of a stream is current, bounded by electionWait.
func (f *Fabric) waitCurrent(ctx context.Context, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	for !f.current(stream) {
		if pause(ctx, repairPause); ctx.Err() != nil {
			return fmt.Errorf("%w: this node's copy is being caught up", ErrUnavailable)
		}
	}
	return nil
}

// Repair makes this node's copy of the log anew if it lacks records that the others have.
func (l *Log) Repair(ctx context.Context) error {
	if l.f.cluster == nil {
		return l.Check(ctx)
	}
	if err := l.f.repairStream(ctx, l.stream); err != nil {
		return fmt.Errorf("repair log %q: %w", l.name, err)
	}
	return nil
}

// repairStream checks this node's copy of a log and has it made anew: the node gives away what it leads, closes its
// store, makes sure that the others have all of the log, removes its copy and opens the store again. The state of the
// consensus stays, so the node keeps what it promised; only the records are fetched again, from the log's leader.
func (f *Fabric) repairStream(ctx context.Context, stream string) error {
	f.reopening.Lock()
	defer f.reopening.Unlock()
	name, ok := unescapeName(strings.TrimPrefix(stream, streamPrefix))
	if !ok {
		return nil
	}
	log, err := f.existingLog(ctx, name)
	if err != nil {
		return err
	}
	err = log.check(ctx)
	if errors.Is(err, ErrNotFound) || err == nil {
		return nil
	}
	if !errors.Is(err, ErrHole) {
		return err
	}
	f.log(slog.LevelError, fmt.Sprintf("this node's copy of log %q is damaged (%v) and is made anew", name, err))
	if err := f.othersHaveAll(ctx, log); err != nil {
		return err
	}
	f.handOver(ctx)
	if err := f.dropCopy(ctx, log); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, repairWait)
	defer cancel()
	if err := f.waitCopy(ctx, log); err != nil {
		return err
	}
	if err := log.check(ctx); err != nil {
		return fmt.Errorf("the copy that was made anew: %w", err)
	}
	f.repairs.Add(1)
	f.log(slog.LevelWarn, fmt.Sprintf("this node's copy of log %q has been made anew", name))
	return nil
}

// existingLog opens a log that is there.
func (f *Fabric) existingLog(ctx context.Context, name string) (*Log, error) {
	log := &Log{f: f, name: name, stream: streamPrefix + escapeName(name), subject: subjectPrefix + escapeName(name)}
	err := f.ask(ctx, func(ctx context.Context) (err error) {
		log.handle, err = f.js.Stream(ctx, log.stream)
		return err
	})
	if err != nil {
		return nil, f.orClosed(notFound(err))
	}
	log.replicas = log.handle.CachedInfo().Config.Replicas
	return log, nil
}

// othersHaveAll makes sure that enough other nodes have a copy without gaps of all that was acknowledged. It is the word
// of the leader; a leader on this node has the gap and is not asked.
func (f *Fabric) othersHaveAll(ctx context.Context, log *Log) error {
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	for {
		info, err := log.info(ctx)
		if err != nil {
			return err
		}
		at := clusterInfo(info)
		var others []string
		for _, r := range at.Replicas {
			if r.Name != f.name && r.Current && !r.Offline && r.Lag == 0 {
				others = append(others, r.Name)
			}
		}
		switch {
		case at.Leader == f.name && len(others) == 0:
			err = fmt.Errorf("%w: no other node has a current copy", ErrUnavailable)
		case at.Leader == f.name:
			err = f.moveStream(ctx, log.stream, others[0])
		case len(others)+1 < len(at.Replicas): // the leader and all others but this node
			err = fmt.Errorf("%w: current copies are on %q (leader) and %q", ErrUnavailable, at.Leader, others)
		case hasGapInfo(info):
			return fmt.Errorf("%w: the copy of the leader %q has gaps too", ErrHole, at.Leader)
		default:
			return nil
		}
		if pause(ctx, repairPause); ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

func hasGapInfo(info *jetstream.StreamInfo) bool {
	s := info.State
	return s.NumDeleted > 0 || s.Msgs > 0 && s.Msgs != s.LastSeq-s.FirstSeq+1
}

// dropCopy removes this node's records of a log while the server is stopped.
func (f *Fabric) dropCopy(ctx context.Context, log *Log) error {
	if err := f.server().ShutdownJetStream(); err != nil {
		return err
	}
	// From here on nothing is acknowledged without the others.
	have := f.othersHaveAll(ctx, log)
	return f.restartServer(func() error {
		if have != nil {
			return have
		}
		dir := filepath.Join(f.internalStreamDir(log.stream), "msgs")
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return os.MkdirAll(dir, 0o755)
	})
}

// waitCopy waits until this node's copy is as the leader's.
func (f *Fabric) waitCopy(ctx context.Context, log *Log) error {
	for {
		first, last, err := log.Bounds(ctx)
		if err == nil {
			if s, ok := f.localStates()[log.stream]; ok && f.current(log.stream) && !hasGap(s) && s.FirstSeq <= first && s.LastSeq >= last {
				return nil
			}
		}
		if pause(ctx, repairPause); ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}
