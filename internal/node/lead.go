package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
)

const (
	// leaseTTL is for how long a node that wants to lead keeps others from trying.
	leaseTTL = 3 * time.Second
	// leaseWait bounds the asking for a lease.
	leaseWait = 500 * time.Millisecond
	// leadEvery is how often it is looked who leads and whether the lease is to be renewed.
	leadEvery = 500 * time.Millisecond
	// logSilence is how long the log may be silent before a standby tries to lead though
	// the leader is heard of: it commits a step every engine.HeartbeatSteps at least.
	logSilence = 6 * time.Second
	// leaderPatience is how long a leader whose appends get no answer keeps its clients
	// waiting before it ends and follows.
	leaderPatience = 15 * time.Second
	// leadTimeout bounds the reading to the log's end of one that wants to lead.
	leadTimeout = 20 * time.Second
	// cutOffAfter is leaderPatience for a leader that does not hear of most nodes either.
	cutOffAfter = 5 * time.Second
	// maxClusterReopens is how often a pipeline that ended unexpectedly is opened again within
	// reopenSpan: others lead meanwhile, and what ended it may be the state of the network.
	maxClusterReopens = 60
	// moveLogAfter is how long a leader waits before it asks for the log's own leader to be
	// on its node, so that elections are over.
	moveLogAfter = 2 * time.Second
	// yieldTimeout bounds the handing over of the lead.
	yieldTimeout = 5 * time.Second
)

// Roles as nodes tell them.
const (
	roleLeader   = "leader"
	roleClaiming = "claiming"
	roleStandby  = "standby"
	roleStarting = "starting"
	roleEnded    = "ended"
)

// askDrain asks the keeper to hand over what it leads.
type askDrain struct {
	drain bool // false: to take part again
	done  chan error
}

// keep runs the pipeline of a node of a cluster until ctx ends: it follows, leads when it
// is its turn, and is opened again when it ends. e runs.
func (c *cluster) keep(ctx context.Context, e *engine.Engine) {
	pause, count, since := firstReopenPause, 0, time.Now()
	for {
		if time.Since(since) > reopenSpan {
			pause, count, since = firstReopenPause, 0, time.Now()
		}
		c.tend(ctx, e)
		c.n.pipeline.engine.Store(nil)
		end := e.Err()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), yieldTimeout)
		_ = e.Close(stop)
		cancel()
		if c.n.closing.Load() || ctx.Err() != nil {
			return
		}
		expected := end == nil || errors.Is(end, engine.ErrYielded) || e.Fenced() // nil: this node stopped it
		c.n.cfg.Logf("the pipeline has ended and follows again: %v", end)
		if !expected {
			if count++; count > maxClusterReopens {
				c.n.fail(fmt.Errorf("the pipeline has ended %d times in %v: %w", count, time.Since(since).Round(time.Second), end))
				return
			}
			if !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, maxReopenPause)
		}
		next, err := c.open(ctx)
		if err != nil {
			if ctx.Err() == nil {
				c.n.fail(err)
			}
			return
		}
		e = next
		c.n.pipeline.engine.Store(e)
		if c.n.closing.Load() { // Close may have looked before
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), yieldTimeout)
			_ = e.Close(stop)
			cancel()
			return
		}
	}
}

// sleep waits for d and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// tend lets e lead when it is its turn, until it has ended or is to end.
func (c *cluster) tend(ctx context.Context, e *engine.Engine) {
	stop, err := c.n.fabric.Serve(pipelineSubject(c.cfg.Node, e.Name()), func(ctx context.Context, req []byte) ([]byte, error) { return answerCall(ctx, e, req) })
	if err != nil {
		c.n.cfg.Logf("serve the pipeline to other nodes: %v", err)
		sleep(ctx, firstReopenPause)
		return
	}
	defer stop()
	t := &tending{c: c, e: e}
	defer t.end(ctx)
	tick := time.NewTicker(leadEvery)
	defer tick.Stop()
	for {
		t.look(ctx)
		select {
		case <-tick.C:
		case <-c.wake:
			t.called = true
		case err := <-t.led:
			t.settled(ctx, err)
		case ask := <-c.asks:
			ask.done <- t.drain(ctx, ask.drain)
		case <-e.Done():
			return
		case <-ctx.Done():
			return
		}
		if t.over {
			return
		}
	}
}

// tending is the state of one engine's turn.
type tending struct {
	c       *cluster
	e       *engine.Engine
	lease   *fabric.Lease
	led     chan error         // the outcome of Lead; nil: it is not under way
	tried   time.Time          // when Lead began
	unled   bool               // it began because no leader was heard of
	abandon context.CancelFunc // ends Lead before its claim
	since   time.Time          // when it began to lead; zero: it does not
	called  bool               // somebody gave up the lead
	moved   bool               // the log's leader was asked to come here
	over    bool               // the engine is to be closed
	at      uint64             // the log's last record known here
	quiet   time.Time          // since when there is no later one
}

// look does what is to be done now: lead, renew, or give up.
func (t *tending) look(ctx context.Context) {
	st := t.e.Standing()
	if st.LogPosition != t.at || t.quiet.IsZero() {
		t.at, t.quiet = st.LogPosition, time.Now()
	}
	switch {
	case st.Role == engine.RoleLeader:
		if t.since.IsZero() {
			t.since = time.Now()
			t.c.beat() // so that writes find it
		}
		silent := min(st.Behind, time.Since(t.since))
		if silent > leaderPatience || silent > cutOffAfter && !t.c.members.most() {
			t.c.n.cfg.Logf("the log has not answered for %v: this node stops leading", silent.Round(time.Second))
			t.over = true
			return
		}
		t.renew(ctx)
		t.fetchLog(ctx)
	case t.led != nil:
		t.renew(ctx)
		if t.unneeded() {
			t.abandon() // if it has not claimed yet
		}
	case t.c.drained.Load() || st.Role != engine.RoleStandby || st.Mismatch != "":
	case t.vacant():
		t.tryToLead(ctx)
	}
	t.called = false
}

// vacant reports whether nobody seems to lead.
func (t *tending) vacant() bool {
	_, _, there := t.c.members.leader(t.e.Name())
	return t.called || !there || time.Since(t.quiet) > logSilence
}

func (t *tending) tryToLead(ctx context.Context) {
	acquire, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	lease, err := t.c.n.fabric.AcquireLease(acquire, "pipeline."+t.e.Name(), t.c.cfg.Node, leaseTTL)
	switch {
	case err == nil:
	case errors.Is(err, fabric.ErrUnavailable) || errors.Is(err, fabric.ErrUnknown):
		// Leases have a leader of their own, which may have died as well. The log decides;
		// that two try at once is only to be unlikely.
		if !t.c.members.first(t.e.Name(), t.c.cfg.Node) {
			return
		}
	default:
		if ctx.Err() == nil && !errors.Is(err, fabric.ErrLeaseHeld) {
			t.c.n.cfg.Logf("lead pipeline %s: %v", t.e.Name(), err)
		}
		return
	}
	_, _, there := t.c.members.leader(t.e.Name())
	ctx, t.abandon = context.WithCancel(ctx)
	led := make(chan error, 1)
	t.lease, t.led, t.tried, t.unled = lease, led, time.Now(), !there
	t.c.n.wg.Go(func() { led <- t.e.Lead(ctx) })
}

// unneeded reports whether there is a leader after all, or to lead takes too long: then
// this node had better follow on, and try again if need be.
func (t *tending) unneeded() bool {
	name, epoch, there := t.c.members.leader(t.e.Name())
	back := t.unled && there && name != t.c.cfg.Node && epoch >= t.e.Standing().Epoch
	return back || time.Since(t.tried) > leadTimeout
}

// settled notes the outcome of Lead.
func (t *tending) settled(ctx context.Context, err error) {
	t.led = nil
	t.abandon()
	if err == nil {
		return // look sees it
	}
	if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		t.c.n.cfg.Logf("lead pipeline %s: %v", t.e.Name(), err)
	}
	t.release(ctx) // others may try
}

// renew keeps others from trying. That it cannot be renewed says nothing of the log, whose
// appends decide.
func (t *tending) renew(ctx context.Context) {
	if t.lease == nil || time.Until(t.lease.Deadline()) > leaseTTL*2/3 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leadEvery)
	defer cancel()
	if err := t.lease.Renew(ctx); errors.Is(err, fabric.ErrLeaseLost) {
		t.lease = nil
		if again, err := t.c.n.fabric.AcquireLease(ctx, "pipeline."+t.e.Name(), t.c.cfg.Node, leaseTTL); err == nil {
			t.lease = again
		}
	}
}

// fetchLog asks the log's own leader to come to this node, once, which saves a hop for
// each step.
func (t *tending) fetchLog(ctx context.Context) {
	if t.moved || t.since.IsZero() || time.Since(t.since) < moveLogAfter {
		return
	}
	t.moved = true
	t.c.n.wg.Go(func() {
		if err := t.c.moveLog(ctx, "LOG_"+t.e.Name()); err != nil && ctx.Err() == nil {
			t.c.n.cfg.Logf("bring the log of pipeline %s to this node: %v", t.e.Name(), err)
		}
	})
}

// moveLog makes this node the leader of a log's replicas, if it is not.
func (c *cluster) moveLog(ctx context.Context, name string) error {
	log, err := c.n.fabric.OpenLog(ctx, name, fabric.LogConfig{})
	if err != nil {
		return err
	}
	info, err := log.Info(ctx)
	if err != nil || info.Leader == c.cfg.Node {
		return err
	}
	return log.MoveLeader(ctx, c.cfg.Node)
}

// drain hands the lead over, or takes part again.
func (t *tending) drain(ctx context.Context, drain bool) error {
	t.c.drained.Store(drain)
	if !drain {
		return nil
	}
	defer t.c.beat()
	if t.e.Standing().Role == engine.RoleStandby && t.led == nil {
		return nil
	}
	t.over = true
	return t.yield(ctx)
}

// yield ends the engine in order, if it leads, and tells the others.
func (t *tending) yield(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), yieldTimeout)
	defer cancel()
	err := t.e.Yield(ctx)
	if t.lease != nil {
		if lerr := t.lease.Release(ctx); lerr != nil && !errors.Is(lerr, fabric.ErrLeaseLost) {
			err = errors.Join(err, lerr)
		}
		t.lease = nil
	}
	_ = t.c.n.fabric.Broadcast(yieldSubject, []byte(t.e.Name()))
	return err
}

// handOver gives up what the node leads, before it stops.
func (c *cluster) handOver(ctx context.Context) {
	if c.n.pipeline.running() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, yieldTimeout)
	defer cancel()
	if err := c.drainSelf(ctx, true); err != nil {
		c.n.cfg.Logf("hand over before the stop: %v", err)
	}
}

// end gives up what the engine had, in whatever way it ended.
func (t *tending) end(ctx context.Context) {
	if t.abandon != nil {
		t.abandon()
	}
	if t.lease == nil {
		return
	}
	t.release(ctx)
	_ = t.c.n.fabric.Broadcast(yieldSubject, []byte(t.e.Name()))
}

// release gives up the lease. If that does not succeed it runs out.
func (t *tending) release(ctx context.Context) {
	if t.lease == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leadEvery)
	defer cancel()
	_ = t.lease.Release(ctx)
	t.lease = nil
}
