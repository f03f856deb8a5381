package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
)

// Manual lets a caller drive an engine step by step, so that all that happens follows
// from the caller's choices: the simulator does. Nothing runs by itself then, no
// goroutine is started, no timer set and no connector run. The caller calls the engine
// from coroutines of which one runs at a time.
type Manual struct {
	// Wait is called wherever the engine would block until something happens, again and
	// again until that has happened. It lets others run meanwhile. An error ends the
	// waiting: nothing will happen any more.
	Wait func() error
	// Spawn takes a background job in place of a goroutine of its own.
	Spawn func(job func())
	// Choose returns a number in [0, n): which of n things that could happen does.
	Choose func(n int) int
}

// Driver turns the leader loop of an engine that was opened by OpenManual.
type Driver struct {
	e    *Engine
	over bool
}

// OpenManual is Open for an engine that its caller drives: cfg.Manual and cfg.Clock are
// required. What the engine needs of time, Clock tells; it does not go on by itself.
func OpenManual(ctx context.Context, cfg Config) (*Engine, *Driver, error) {
	if cfg.Manual == nil || cfg.Clock == nil || cfg.Node == "" {
		return nil, nil, errors.New("open pipeline: driving it by hand takes Config.Manual, Clock and Node")
	}
	e, err := open(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	if e.lead.follows == nil {
		e.lead.begin()
	}
	return e, &Driver{e: e}, nil
}

// Turn lets the leader loop take one event if there is one, and reports whether the
// loop goes on. Once it does not, Engine.Done is closed.
func (d *Driver) Turn() bool {
	if d.over {
		return false
	}
	l := d.e.lead
	if l.stands() {
		l.manualStandby()
		if l.stands() || l.leads() {
			return true
		}
	}
	if l.leads() {
		l.manualEvent()
		l.carryOn()
	}
	if l.leads() {
		return true
	}
	d.over = true
	l.finish()
	close(d.e.done)
	return false
}

// WakeAt returns when, in microseconds of Unix time, the loop has something to do though
// nothing comes; math.MaxInt64: never.
func (d *Driver) WakeAt() int64 { return min(d.e.lead.wakeAt, d.e.lead.ckpt.at) }

// manualEvent takes one of the events that the select of the loop would find ready.
func (l *leader) manualEvent() {
	var ready []func()
	if len(l.e.submit) > 0 {
		ready = append(ready, func() { l.take(<-l.e.submit) })
	}
	if len(l.e.arrive) > 0 {
		ready = append(ready, func() { <-l.e.arrive; l.arrivals() })
	}
	if l.e.polls.Load() {
		ready = append(ready, l.poll)
	}
	if l.wakeAt <= l.e.cfg.Clock().UnixMicro() {
		ready = append(ready, l.wakeUp)
	}
	if l.ckpt.at <= l.e.cfg.Clock().UnixMicro() {
		ready = append(ready, l.checkpointDue)
	}
	if len(l.e.written) > 0 {
		ready = append(ready, func() { l.checkpointWritten(<-l.e.written) })
	}
	if len(l.e.unread) > 0 {
		ready = append(ready, func() { l.unreadDamaged(<-l.e.unread) })
	}
	if l.e.cfg.Leader != nil {
		ready = append(ready, l.beat)
	}
	if len(ready) > 0 {
		ready[l.e.cfg.Manual.Choose(len(ready))]()
	}
}

// manualStandby takes one of the events that the select of standBy would find ready.
func (l *leader) manualStandby() {
	e := l.e
	ready := []func(){l.followSome}
	if len(e.submit) > 0 {
		ready = append(ready, func() { l.taken(<-e.submit) })
	}
	if len(e.promote) > 0 {
		ready = append(ready, func() {
			if l.takeLead(<-e.promote) {
				l.begin()
			}
		})
	}
	if l.ckpt.at <= e.cfg.Clock().UnixMicro() {
		ready = append(ready, l.checkpointDue)
	}
	if len(e.written) > 0 {
		ready = append(ready, func() { l.checkpointWritten(<-e.written) })
	}
	if len(e.unread) > 0 {
		ready = append(ready, func() { l.unreadDamaged(<-e.unread) })
	}
	ready[e.cfg.Manual.Choose(len(ready))]()
}

// followSome reads on in the log, maybe not to its end.
func (l *leader) followSome() {
	at := l.e.cfg.Clock()
	last, _ := l.coord.Last()
	whole := true
	err := l.e.log.Read(l.e.ctx, last+1, func(r fabric.Record) error {
		if l.followed(r, l.e.cfg.Manual.Choose(2) > 0); !l.stands() {
			return errEnough
		}
		if l.e.cfg.Manual.Choose(8) == 0 {
			whole = false
			return errEnough
		}
		return nil
	})
	switch {
	case !l.stands():
	case errors.Is(err, fabric.ErrTrimmed):
		l.fail(stopped(fmt.Errorf("%w: %w", ErrNeedsCheckpoint, err)))
	case err == nil && whole:
		last, _ := l.coord.Last()
		l.e.stand.ends(at, last)
	}
	if l.stands() && l.follows.hidden > 0 {
		l.show()
	}
}

// wakeUp is what the loop does at wakeAt.
func (l *leader) wakeUp() {
	l.wakeAt = math.MaxInt64
	l.clock()
}

// sleep waits for d, or until ctx ends.
func (e *Engine) sleep(ctx context.Context, d time.Duration) {
	m := e.cfg.Manual
	if m == nil {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return
	}
	for end := e.cfg.Clock().Add(d); e.cfg.Clock().Before(end) && ctx.Err() == nil; {
		if m.Wait() != nil {
			return
		}
	}
}

// await waits for the answer to a request that was submitted.
func (e *Engine) await(r *request) (answer, error) {
	for m := e.cfg.Manual; m != nil && len(r.answer) == 0; {
		select {
		case <-e.done:
			return e.late(r)
		default:
		}
		if err := m.Wait(); err != nil {
			return answer{}, err
		}
	}
	var leave <-chan struct{}
	if r.leave != nil {
		leave = r.leave.Done()
	}
	select {
	case a := <-r.answer:
		return a, a.err
	case <-e.done:
		return e.late(r)
	case <-leave:
		return answer{}, canceled(r.leave)
	}
}

// late is the answer to a request when the loop has ended.
func (e *Engine) late(r *request) (answer, error) {
	select {
	case a := <-r.answer:
		return a, a.err
	default:
		err := e.Err() // the loop has not seen it
		return answer{err: err, void: true}, err
	}
}

// leads reports whether the loop goes on.
func (l *leader) leads() bool {
	return l.coord.Role() == coord.Leading && (l.closing == nil || l.coord.Waiting() > 0)
}

// begin does what the loop does first.
func (l *leader) begin() {
	l.arrivals() // what is durable and not yet in a step
	l.carryOn()
}
