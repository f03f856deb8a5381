package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// Serve carries out what Leader.Call brought from another node, and returns the answer for
// it. ErrNotLeader: nothing was done. It is safe for concurrent use. ctx ends the wait for
// a place in the queue, and a command.
func (e *Engine) Serve(ctx context.Context, req []byte) ([]byte, error) {
	if e.role() != RoleLeader {
		return nil, ErrNotLeader
	}
	call, err := wire.DecodeCall(req)
	if err != nil {
		return wire.EncodeReply([]wire.CallAnswer{{Void: false, Err: clientType(err)}}), nil
	}
	var answers []answer
	switch call.Kind {
	case wire.CallTxs:
		if call.Epoch != 0 && call.Epoch != e.epoch() {
			return nil, ErrNotLeader
		}
		answers = e.serveTxs(ctx, call)
	case wire.CallDelivery:
		answers = []answer{e.serveDelivery(ctx, call.Delivery)}
	default:
		r, err := e.requestOf(ctx, call)
		if err != nil {
			answers = []answer{{err: err}}
			break
		}
		a, err := e.callHere(ctx, r)
		a.err = err
		answers = []answer{a}
	}
	out := make([]wire.CallAnswer, len(answers))
	for i, a := range answers {
		out[i] = wire.CallAnswer{Step: a.step, Seq: a.seq, Void: a.void, Notices: a.effect.Notices, Created: a.effect.Created, Receipt: a.receipt}
		if a.err != nil {
			out[i].Err = clientType(a.err)
		}
	}
	return wire.EncodeReply(out), nil
}

// clientType is an error as clients see it.
func clientType(err error) *types.Error {
	var te *types.Error
	if err = clientError(err); errors.As(err, &te) {
		return te
	}
	return &types.Error{Code: types.CodeInternal, Message: err.Error()}
}

// requestOf is what a call asks for, of those with one answer.
func (e *Engine) requestOf(ctx context.Context, call *wire.Call) (*request, error) {
	switch call.Kind {
	case wire.CallDDL:
		return e.commandOf(ctx, call.DDL)
	case wire.CallFlush:
		if err := e.announceAll(ctx); err != nil {
			return nil, err
		}
		return &request{kind: coord.Flush}, nil
	case wire.CallCheckpoint:
		return &request{kind: coord.Checkpoint, statement: true, leave: ctx}, nil
	case wire.CallBarrier:
		return &request{kind: coord.Barrier}, nil
	case wire.CallRetry:
		return &request{kind: coord.Tx, retry: &retryRow{call.Source, call.Position}, rows: 1}, nil
	}
	return nil, fmt.Errorf("call of kind %d", call.Kind)
}

// commandOf plans a statement as the session on the other node would have.
func (e *Engine) commandOf(ctx context.Context, d *wire.DDLCall) (*request, error) {
	stmts, err := sql.Parse(d.SQL, sql.Options{})
	if err != nil {
		return nil, err
	}
	if len(stmts) != 1 {
		return nil, fmt.Errorf("a command of %d statements", len(stmts))
	}
	loc, _, err := zone(d.Zone)
	if err != nil {
		return nil, err
	}
	pl := plan.Planner{Options: e.checkOptions, Session: plan.Session{User: d.User, Database: d.Database, SearchPath: d.Path, Zone: loc, BackendPID: d.PID,
		Version: Version}}
	if e.cfg.Virtual != nil {
		pl.Macros = e.cfg.Virtual.Macros()
	}
	p := &prepared{text: d.SQL, stmt: stmts[0]}
	return &request{kind: coord.DDL, ctx: ctx, frees: strings.HasPrefix(tagOf(p), "DROP "), plan: func(cat *catalog.Catalog) (catalog.Command, error) {
		own := pl
		own.Catalog = cat
		return own.PlanDDL(p.stmt, p.text)
	}}, nil
}

// serveTxs submits transactions one after the other, so that they share steps, and then
// waits for all.
func (e *Engine) serveTxs(ctx context.Context, call *wire.Call) []answer {
	out := make([]answer, len(call.Txs))
	waits := make([]*request, len(call.Txs))
	for i, tx := range call.Txs {
		r, err := e.txOf(tx)
		void := false
		if err == nil {
			if call.Numbers != nil {
				r.forwarded = wire.Forwarded{Origin: call.Origin, Number: call.Numbers[i]}
			}
			void, err = e.submitHere(ctx, r)
		}
		if err != nil {
			snap := e.Snapshot()
			out[i] = answer{err: err, step: snap.Step, seq: snap.Seq, void: void}
			continue
		}
		waits[i] = r
	}
	for i, r := range waits {
		if r != nil {
			a, err := e.await(r)
			a.err = err
			out[i] = a
		}
	}
	return out
}

// txOf is a transaction that came from another node.
func (e *Engine) txOf(tx []wire.Change) (*request, error) {
	cat := e.Snapshot().Catalog
	parts := map[catalog.ID][]*batch.Batch{}
	for _, c := range tx {
		def := cat.ByID(c.Table)
		if def == nil || def.Kind != catalog.Table {
			return nil, &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("table %d was dropped", c.Table)}
		}
		if !sameTypes(def.Types(), c.Rows.Types()) {
			return nil, errConflict
		}
		parts[c.Table] = append(parts[c.Table], c.Rows)
	}
	changes := map[catalog.ID]*batch.Batch{}
	for id, list := range parts {
		changes[id] = joined(list)
	}
	return newTx(changes)
}

// sameTypes reports whether rows of one kind can be those of another.
func sameTypes(a, b []types.Type) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Layout() != b[i].Layout() {
			return false
		}
	}
	return true
}

// serveDelivery takes the rows of a request that came to another node.
func (e *Engine) serveDelivery(ctx context.Context, d *wire.DeliveryCall) answer {
	to := Delivery{Schema: d.Schema, Name: d.Name, Body: d.Body}
	if d.Sent != nil {
		to.Sent = &connector.Sent{Key: d.Sent.Key, Producer: d.Sent.Producer, Sequence: d.Sent.Sequence, Digest: d.Sent.Digest}
	}
	r, err := e.receiveHere(ctx, to)
	return answer{err: err, receipt: &wire.CallReceipt{Rows: r.Rows, Bad: r.Bad, Position: r.Position, Duplicate: r.Duplicate, Forgotten: r.Forgotten}}
}

// receiveThere sends a request for a source to the leader.
func (e *Engine) receiveThere(ctx context.Context, d Delivery) (answer, error) {
	call := &wire.DeliveryCall{Schema: d.Schema, Name: d.Name, Body: d.Body}
	if d.Sent != nil {
		call.Sent = &wire.Sent{Key: d.Sent.Key, Producer: d.Sent.Producer, Sequence: d.Sent.Sequence, Digest: d.Sent.Digest}
	}
	return e.send(ctx, &wire.Call{Kind: wire.CallDelivery, Delivery: call})
}
