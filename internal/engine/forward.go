package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// Bounds of what a standby sends to the leader.
const (
	// writeWait is how long a statement that has no deadline of its own waits for somebody
	// to lead.
	writeWait = 10 * time.Second
	// leaderPause is between two looks for a leader.
	leaderPause = 50 * time.Millisecond
	// resolveWait is how long it is looked in the log for a transaction whose answer was lost,
	// until it is there or another leader has made sure that it never will be.
	resolveWait = 10 * time.Second
	// maxRefused is how often a transaction is sent to the leader that this node knows of
	// before a node that is behind sends it to any.
	maxRefused = 20
	// callWait bounds the wait for the answer to transactions that were sent.
	callWait = 30 * time.Second
	// catchUpWait is how long a standby's session waits, after its write was committed, for
	// its own node to have it. What comes after on the session waits again.
	catchUpWait = 5 * time.Second
	// forwardCalls is how many calls with transactions are under way at once: what comes
	// meanwhile goes together in the next.
	forwardCalls = 2
	// maxCallBytes bounds the transactions of one call; the first is always let in.
	maxCallBytes = 32 << 20
)

// leads reports whether requests are for this engine; if it has ended, they are told so.
func (e *Engine) leads() bool {
	r := e.role()
	return r == RoleLeader || r == RoleEnded
}

// call carries out a request where the pipeline is led, and waits for the answer. A
// standby's own snapshot has what was written when it returns, or will have it soon.
func (e *Engine) call(ctx context.Context, r *request) (answer, error) {
	a, err := e.anywhere(ctx, func() (answer, error) { return e.callHere(ctx, r) }, func() (answer, error) { return e.callThere(ctx, r) })
	if a.seq > 0 && e.role() != RoleLeader {
		e.waitFor(ctx, a.seq, catchUpWait)
	}
	return a, err
}

// anywhere runs here on an engine that leads, and there on a standby, again and again
// while there answers that nothing was done.
func (e *Engine) anywhere(ctx context.Context, here, there func() (answer, error)) (answer, error) {
	until := time.Time{}
	for {
		moved := e.stand.moved.wait()
		if e.leads() {
			return here()
		}
		if e.cfg.Leader != nil {
			a, err := there()
			if err == nil || !a.void {
				return a, err
			}
		}
		now := e.cfg.Clock()
		if until.IsZero() {
			until = now.Add(writeWait)
			if at, ok := ctx.Deadline(); ok {
				until = at
			}
		}
		if !now.Before(until) && ctx.Err() == nil {
			return answer{}, errLeaderless()
		}
		if err := e.pauseFor(ctx, moved, leaderPause); err != nil {
			return answer{}, err
		}
	}
}

// pauseFor waits for a moment, or until something has happened.
func (e *Engine) pauseFor(ctx context.Context, happened <-chan struct{}, d time.Duration) error {
	if m := e.cfg.Manual; m != nil {
		return m.Wait()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-happened:
	case <-timer.C:
	case <-ctx.Done():
		return canceled(ctx)
	}
	return nil
}

func errLeaderless() error {
	return &types.Error{Code: "57P03", Message: "no node leads the pipeline now, and nothing was done",
		Hint: "Try again in a moment. If it stays so, fewer nodes are up or reached than make a majority."}
}

// errOpen is the error of a request whose outcome is open.
func errOpen(err error) error {
	return &types.Error{Code: "08007", Message: "the outcome of the transaction is not known", Detail: fmt.Sprintf("The node that leads gave no answer: %v.", err),
		Hint: "Look whether its rows are there before trying again."}
}

// callThere sends a request to the leader. An answer is void if nothing was done.
func (e *Engine) callThere(ctx context.Context, r *request) (answer, error) {
	if r.kind == coord.Tx && r.retry == nil {
		return e.forward(ctx, r)
	}
	call := r.remote
	switch {
	case call != nil:
	case r.retry != nil:
		call = &wire.Call{Kind: wire.CallRetry, Source: r.retry.source, Position: r.retry.position}
	case r.kind == coord.Flush:
		call = &wire.Call{Kind: wire.CallFlush}
	case r.kind == coord.Checkpoint:
		call = &wire.Call{Kind: wire.CallCheckpoint}
	case r.kind == coord.Barrier:
		call = &wire.Call{Kind: wire.CallBarrier}
	default:
		return answer{}, fmt.Errorf("request of kind %d cannot be sent to the leader", r.kind)
	}
	return e.send(ctx, call)
}

// send carries one call to the leader and back.
func (e *Engine) send(ctx context.Context, call *wire.Call) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, canceled(ctx)
	}
	resp, err := e.cfg.Leader.Call(ctx, call.Encode())
	switch {
	case errors.Is(err, ErrNoLeader) || errors.Is(err, ErrNotLeader):
		return answer{err: err, void: true}, err
	case err != nil && ctx.Err() != nil && (call.Kind == wire.CallBarrier || call.Kind == wire.CallFlush || call.Kind == wire.CallCheckpoint):
		return answer{}, canceled(ctx) // nothing that matters has or has not happened
	case err != nil:
		return answer{}, errOpen(err)
	}
	answers, err := wire.DecodeReply(resp)
	if err == nil && len(answers) != 1 {
		err = fmt.Errorf("%d answers to one question", len(answers))
	}
	if err != nil {
		return answer{}, errOpen(err)
	}
	a := answerOf(&answers[0])
	return a, a.err
}

// answerOf is an answer that came from the leader.
func answerOf(w *wire.CallAnswer) answer {
	a := answer{step: w.Step, seq: w.Seq, void: w.Void, receipt: w.Receipt}
	a.effect.Notices, a.effect.Created = w.Notices, w.Created
	if w.Err != nil {
		a.err = w.Err
	}
	return a
}

// forwarded is a transaction on its way to the leader.
type forwarded struct {
	changes []wire.Change
	bytes   int64
	state   atomic.Int32 // of the constants below
	answer  chan answer  // of capacity 1
	plain   bool         // it is sent without a name
	number  uint64       // its name, once it was sent
	epoch   uint64       // of the leader that it was sent to
}

const (
	txWaits     = iota // for the next call
	txSent             // or about to be: its outcome is waited for
	txWithdrawn        // its client has given up before
)

// forward sends a transaction to the leader, together with those of others.
func (e *Engine) forward(ctx context.Context, r *request) (answer, error) {
	f := &forwarded{bytes: r.bytes, answer: make(chan answer, 1), plain: r.refused >= maxRefused && e.cfg.Clock().Sub(e.stand.atEnd()) > 2*HeartbeatSteps}
	r.refused++
	for _, c := range r.changes {
		for _, part := range wireParts(c.rows) {
			f.changes = append(f.changes, wire.Change{Table: c.table, Rows: part})
		}
	}
	if e.cfg.Manual != nil {
		e.sendTxs([]*forwarded{f})
		a := e.resolved(ctx, f, <-f.answer)
		return a, a.err
	}
	if err := e.bytes.take(ctx, r.bytes); err != nil {
		return answer{}, canceled(ctx)
	}
	defer e.bytes.give(r.bytes)
	select {
	case e.forwards <- f:
	case <-ctx.Done():
		return answer{}, canceled(ctx)
	case <-e.done:
		return answer{}, e.Err()
	}
	leave := ctx.Done()
	for {
		select {
		case a := <-f.answer:
			a = e.resolved(ctx, f, a)
			return a, a.err
		case <-leave:
			if f.state.CompareAndSwap(txWaits, txWithdrawn) {
				return answer{}, canceled(ctx)
			}
			leave = nil // it was sent: its outcome is waited for
		case <-e.done:
			if f.state.CompareAndSwap(txWaits, txWithdrawn) {
				return answer{}, e.Err()
			}
			a := <-f.answer // soon, for its call ends with the engine
			return a, a.err
		}
	}
}

// startForwarding lets transactions be sent.
func (e *Engine) startForwarding() {
	if e.cfg.Leader == nil || e.cfg.Manual != nil {
		return
	}
	for range forwardCalls {
		e.aux.Go(func() {
			for {
				select {
				case f := <-e.forwards:
					e.sendTxs(e.gather(f))
				case <-e.ctx.Done():
					return
				}
			}
		})
	}
}

// gather adds to a transaction those that wait with it.
func (e *Engine) gather(f *forwarded) []*forwarded {
	list, size := []*forwarded{f}, f.bytes
	for len(list) < MaxPendingTx && size < maxCallBytes {
		select {
		case f := <-e.forwards:
			list, size = append(list, f), size+f.bytes
			continue
		default:
		}
		break
	}
	return list
}

// sendTxs sends transactions in one call and gives each its answer.
func (e *Engine) sendTxs(all []*forwarded) {
	var list []*forwarded
	call := &wire.Call{Kind: wire.CallTxs}
	for _, f := range all {
		if f.state.CompareAndSwap(txWaits, txSent) {
			list, call.Txs = append(list, f), append(call.Txs, f.changes)
		}
	}
	if len(list) == 0 {
		return
	}
	e.name(call, list)
	every := func(a answer) {
		for _, f := range list {
			f.answer <- a
		}
	}
	if e.leads() {
		every(answer{err: ErrNoLeader, void: true}) // it became the leader meanwhile: they are for itself
		return
	}
	ctx, cancel := e.within(e.ctx, callWait)
	defer cancel()
	resp, err := e.cfg.Leader.Call(ctx, call.Encode())
	switch {
	case errors.Is(err, ErrNoLeader) || errors.Is(err, ErrNotLeader):
		every(answer{err: err, void: true})
		return
	case err != nil:
		every(answer{err: errOpen(err), open: true})
		return
	}
	answers, err := wire.DecodeReply(resp)
	if err == nil && len(answers) != len(list) {
		err = fmt.Errorf("%d answers to %d transactions", len(answers), len(list))
	}
	if err != nil {
		every(answer{err: errOpen(err), open: true})
		return
	}
	for i, f := range list {
		f.answer <- answerOf(&answers[i])
	}
}

// waitFor waits until readers see the log up to a position, and reports whether they do.
// Zero limit: as long as ctx allows.
func (e *Engine) waitFor(ctx context.Context, seq uint64, limit time.Duration) bool {
	var over <-chan time.Time
	until := e.cfg.Clock().Add(limit)
	if limit > 0 && e.cfg.Manual == nil {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	for {
		seen := e.published.wait()
		if e.Snapshot().Seq >= seq {
			return true
		}
		if m := e.cfg.Manual; m != nil {
			select {
			case <-e.done:
				return false
			default:
			}
			if limit > 0 && !e.cfg.Clock().Before(until) || m.Wait() != nil {
				return false
			}
			continue
		}
		select {
		case <-seen:
		case <-over:
			return false
		case <-ctx.Done():
			return false
		case <-e.done:
			return e.Snapshot().Seq >= seq
		}
	}
}

// joined is the rows of the parts of one table, in their order.
func joined(parts []*batch.Batch) *batch.Batch {
	if len(parts) == 1 {
		return parts[0]
	}
	bu := batch.NewBuilder(parts[0].Types())
	for _, p := range parts {
		bu.AppendBatch(p)
	}
	return bu.Seal()
}
