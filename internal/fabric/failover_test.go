package fabric

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The leader of a log is killed under two writers, readers and a lease: the writers go on within seconds, nothing that
// was acknowledged is lost, no position is given away twice, readers get everything once and in order.
func TestLeaderIsKilled(t *testing.T) { testLeaderFails(t, (*os.Process).Kill, nil) }

// testLeaderFails makes the leader fail by one function and, if there is another, go on by that.
func testLeaderFails(t *testing.T, fail, resume func(*os.Process) error) {
	c := newCluster(t, 3)
	victim := c.startChild(0)
	c.start(1)
	c.start(2)
	c.ready()
	log := c.log(1, "l")
	waitCurrent(t, log, 3)
	lease, err := c.nodes[1].AcquireLease(within(t), "lead", "b", 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.MoveLeader(within(t), "a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	w := &writers{t: t, acked: map[uint64]string{}}
	var done sync.WaitGroup
	for i, node := range []int{1, 2} {
		l := c.log(node, "l")
		done.Go(func() { w.write(ctx, l, nodeName(node), i) })
	}
	read := make(chan error, 2)
	for _, node := range []int{1, 2} {
		l := c.log(node, "l")
		go func() { read <- tailAll(ctx, l, w) }()
	}
	waitFor(t, "both write", func() bool { return w.count.Load() > 100 })
	if err := fail(victim.Process); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if err := lease.Renew(ctx); err != nil {
		t.Errorf("renew: %v", err)
	}
	t.Logf("lease renewed after %v", time.Since(killed))
	before := w.count.Load()
	waitFor(t, "they write again", func() bool { return w.count.Load() > before+2 })
	t.Logf("written again after %v", w.gap())
	if gap := w.gap(); gap > 15*time.Second {
		t.Errorf("nothing was written for %v", gap)
	}
	waitFor(t, "they go on", func() bool { return w.count.Load() > before+100 })
	if resume != nil {
		waitFor(t, "the stopped node is known to be offline", func() bool { return c.nodes[1].online() == 2 })
		if err := resume(victim.Process); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "it is back", func() bool { return c.nodes[1].online() == 3 && c.nodes[2].online() == 3 })
		before := w.count.Load()
		waitFor(t, "they go on", func() bool { return w.count.Load() > before+100 })
	}
	w.stop.Store(true)
	done.Wait()
	for range 2 {
		if err := <-read; err != nil {
			t.Errorf("tail: %v", err)
		}
	}
	w.check(log)
	if resume != nil {
		waitCurrent(t, log, 3)
		return
	}
	waitFor(t, "the dead node is known to be offline", func() bool { return c.nodes[1].online() == 2 })
	t.Logf("seen as offline after %v", time.Since(killed))
	for _, p := range c.nodes[1].Peers() {
		if p.Name == "a" && (p.Online || p.Self) {
			t.Errorf("%+v", p)
		}
	}
}

// writers write to one log, fenced, and remember what was acknowledged.
type writers struct {
	t     *testing.T
	stop  atomic.Bool
	count atomic.Int64

	mu     sync.Mutex
	acked  map[uint64]string
	last   time.Time
	widest time.Duration // between two acknowledgements
	end    uint64        // of the log, when they have stopped
}

func (w *writers) ack(seq uint64, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if was, ok := w.acked[seq]; ok {
		w.t.Errorf("position %d was given to %q and to %q", seq, was, text)
	}
	w.acked[seq] = text
	if now := time.Now(); !w.last.IsZero() {
		w.widest = max(w.widest, now.Sub(w.last))
		w.last = now
	} else {
		w.last = now
	}
	w.count.Add(1)
}

func (w *writers) gap() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.widest
}

// write appends what no other writer does, one record after another, each after the last one that the log has.
func (w *writers) write(ctx context.Context, log *Log, name string, pause_ int) {
	last := uint64(0)
	for i := 0; !w.stop.Load() && ctx.Err() == nil; i++ {
		text := fmt.Sprintf("%s %d", name, i)
		seq, err := log.Append(ctx, records(text), last)
		var wrong *WrongSequenceError
		switch {
		case err == nil:
			last = seq
			w.ack(seq, text)
			pause(ctx, time.Duration(pause_)*time.Millisecond) // so that both have a chance
		case errors.As(err, &wrong):
			if _, now, err := log.Bounds(ctx); err == nil {
				last = now
			}
		case errors.Is(err, ErrUnknown), errors.Is(err, ErrUnavailable):
			if _, now, err := log.Bounds(ctx); err == nil {
				last = now
			}
		default:
			w.t.Errorf("append: %v", err)
			return
		}
	}
}

// tailAll follows the log until it has all that was acknowledged when the writers have stopped.
func tailAll(ctx context.Context, log *Log, w *writers) error {
	next := uint64(1)
	r, err := log.Reader(ctx, 1)
	if err != nil {
		return err
	}
	defer r.Stop()
	for {
		slice, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		rec, err := r.Next(slice)
		cancel()
		switch {
		case err == nil:
			if rec.Seq != next {
				return fmt.Errorf("record %d, want %d", rec.Seq, next)
			}
			next++
		case ctx.Err() != nil:
			return fmt.Errorf("at %d: %w", next, err)
		case errors.Is(err, context.DeadlineExceeded):
			w.mu.Lock()
			most := uint64(0)
			for seq := range w.acked {
				most = max(most, seq)
			}
			w.mu.Unlock()
			if w.stop.Load() && next > most {
				return nil
			}
		default:
			return err
		}
	}
}

// check compares the log with what was acknowledged.
func (w *writers) check(log *Log) {
	w.t.Helper()
	have := map[uint64]string{}
	if err := log.Read(context.Background(), 1, func(rec Record) error {
		have[rec.Seq] = string(rec.Data)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	for seq, text := range w.acked {
		if have[seq] != text {
			w.t.Errorf("position %d has %q, %q was acknowledged", seq, have[seq], text)
		}
	}
	w.t.Logf("%d acknowledged, %d in the log", len(w.acked), len(have))
}

// A log is moved from node to node under two writers: none of them waits for a time-out, nothing is lost.
func TestLogMovesUnderWriters(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	log := c.log(0, "l")
	waitCurrent(t, log, 3)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	w := &writers{t: t, acked: map[uint64]string{}}
	var done sync.WaitGroup
	for node := range 2 {
		l := c.log(node, "l")
		done.Go(func() { w.write(ctx, l, nodeName(node), node) })
	}
	for i := range 9 {
		before := w.count.Load()
		waitFor(t, "they write", func() bool { return w.count.Load() > before+20 })
		if err := log.MoveLeader(ctx, nodeName(i%3)); err != nil {
			t.Fatal(err)
		}
	}
	w.stop.Store(true)
	done.Wait()
	w.check(log)
	if gap := w.gap(); gap > 3*time.Second {
		t.Errorf("nothing was written for %v", gap)
	} else {
		t.Logf("the longest wait was %v", gap)
	}
}

// Without a quorum writes and questions fail in bounded time and say why; when the others are back all goes on.
func TestNoQuorum(t *testing.T) {
	c := newCluster(t, 3)
	c.change = func(_ int, cfg *Config) { cfg.RequestTimeout = time.Second }
	c.startAll()
	log := c.log(0, "l")
	waitCurrent(t, log, 3)
	appendAll(t, log, 0, 10)
	if err := log.MoveLeader(within(t), "a"); err != nil {
		t.Fatal(err)
	}
	c.nodes[1].Close(context.Background())
	c.nodes[2].Close(context.Background())
	began := time.Now()
	_, err := log.Append(context.Background(), records("10"), 10)
	if took := time.Since(began); !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrUnavailable) || took > 3*time.Second {
		t.Errorf("append: %v after %v", err, took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := c.nodes[0].OpenLog(ctx, "other", LogConfig{}); err == nil || !errors.Is(err, ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open: %v", err)
	}
	if _, err := c.nodes[0].AcquireLease(ctx, "x", "a", time.Second); err == nil {
		t.Error("a lease without a quorum")
	}
	c.start(1)
	c.start(2)
	c.ready()
	appendAll(t, log, 10, 20)
	checkNumbers(t, c.log(2, "l"), 20)
}

// A node that is closed gives away what it leads first: nobody waits for an election.
func TestClosingHandsOver(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	var logs []*Log
	for i := range 4 {
		log := c.log(1, fmt.Sprintf("l%d", i))
		waitCurrent(t, log, 3)
		if err := log.MoveLeader(within(t), "a"); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, log)
	}
	began := time.Now()
	c.nodes[0].Close(context.Background())
	t.Logf("closed in %v", time.Since(began))
	began = time.Now()
	for _, log := range logs {
		appendAll(t, log, 0, 1)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("first appends took %v", took)
	} else {
		t.Logf("first appends took %v", took)
	}
	if lead := c.nodes[1].MetaLeader(); lead == "a" {
		t.Error("the closed node leads the cluster")
	}
}

// The store of a node is closed under it, as a full disk does it: it comes back by itself, with its copies, while the
// others go on.
func TestStoreOfNodeOpensAgain(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	log := c.log(1, "l")
	waitCurrent(t, log, 3)
	appendAll(t, log, 0, 20)
	tail, err := c.log(0, "l").Reader(within(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Stop()
	if err := c.nodes[0].server().ShutdownJetStream(); err != nil {
		t.Fatal(err)
	}
	appendAll(t, log, 20, 40)
	waitFor(t, "the store is open again", func() bool { return c.nodes[0].Room() == nil && c.nodes[0].Health() == nil })
	for want := uint64(1); want <= 40; want++ {
		if rec, err := tail.Next(within(t)); err != nil || rec.Seq != want {
			t.Fatalf("record %d, %v; want %d", rec.Seq, err, want)
		}
	}
	waitCurrent(t, log, 3)
	appendAll(t, c.log(0, "l"), 40, 50)
	checkNumbers(t, c.log(2, "l"), 50)
}
