package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// subscription hands out the changes of a relation or query, step by step. What it
// gives for a step, and in which order, follows from the step alone, so that a
// reader who comes back is given the same again.
type subscription struct {
	e      *Engine
	plan   *subscribePlan
	env    *readEnv // of its beginning
	asOf   *uint64  // the step to begin with; nil: the newest
	upTo   *uint64  // the last step; nil: there is none
	begun  bool
	inputs []followed
	group  *flow.Group // nil when a relation is followed as it is
	told   *envelope   // nil without one
	step   uint64      // everything up to it was handed out or is in pending

	pending  *batch.Batch // changes, or what an envelope tells of them
	at       int          // how many of its rows were handed out
	pstep    uint64       // their step
	progress bool         // that step is to be told as the next
	out      *batch.Builder
	count    int64
	ended    bool
}

// followed is an input of a subscription.
type followed struct {
	id    catalog.ID
	key   string
	ring  *ring
	marks []int64 // that the group knows
}

// subscribe begins with the content at a step and follows from there on.
func (s *Session) subscribe(ctx context.Context, p *subscribePlan, args []types.Value) (session.Cursor, error) {
	if s.tx != nil && len(s.tx.changes) > 0 {
		return nil, &types.Error{Code: "25001", Message: "SUBSCRIBE cannot follow writes in the same transaction"}
	}
	sub := &subscription{e: s.e, plan: p, env: s.env(nil), out: batch.NewBuilder(typesOf(p.columns))}
	var err error
	if sub.asOf, err = p.asOf.value(args); err != nil {
		return nil, err
	}
	if sub.upTo, err = p.upTo.value(args); err != nil {
		return nil, err
	}
	if sub.asOf != nil && sub.upTo != nil && *sub.upTo < *sub.asOf {
		return nil, at(errUpTo(*sub.upTo, *sub.asOf), p.upTo.pos)
	}
	return sub, sub.begin(ctx)
}

func errUpTo(upTo, from uint64) error {
	return &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("UP TO step %d is before step %d, with which the subscription begins", upTo, from)}
}

// begin takes what is there at the first step. It does nothing while that step is
// yet to come.
func (sub *subscription) begin(ctx context.Context) error {
	p, env := sub.plan, sub.env
	sub.inputs = nil            // of an attempt that was cancelled
	env.snap = sub.e.Snapshot() // the newest: a pinned one may be older than the changes kept
	sub.step = env.snap.Step
	if sub.asOf != nil {
		if sub.step = *sub.asOf; sub.step > env.snap.Step {
			return nil
		}
	}
	if sub.upTo != nil && *sub.upTo < sub.step {
		return at(errUpTo(*sub.upTo, sub.step), p.upTo.pos)
	}
	for _, in := range p.followed() {
		r := env.snap.rings[in.ID]
		if r == nil {
			return &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("relation %d does not exist", in.ID)}
		}
		sub.inputs = append(sub.inputs, followed{id: in.ID, key: in.Key, ring: r})
	}
	if err := sub.kept(); err != nil {
		return err
	}
	if p.envelope != "" {
		sub.told = newEnvelope(p, sub.e.cfg.QueryBytes)
	}
	first, err := sub.content(ctx)
	if err != nil {
		return err
	}
	if sub.told != nil {
		if first, err = sub.told.tell(first); err != nil {
			return err
		}
	}
	if !p.noSnapshot {
		sub.pending, sub.pstep = first, sub.step
	}
	sub.begun, sub.progress, sub.env = true, p.progress, nil
	return nil
}

// kept checks that all changes after the first step are there.
func (sub *subscription) kept() error {
	oldest := uint64(0)
	for _, in := range sub.inputs {
		oldest = max(oldest, in.ring.oldest())
	}
	if sub.step >= oldest {
		return nil
	}
	err := &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("step %d is no longer kept: the oldest step to begin with is %d", sub.step, oldest),
		Hint: "Subscribe without AS OF to begin with the rows there are now."}
	if sub.plan.asOf != nil {
		return at(err, sub.plan.asOf.pos)
	}
	return err
}

// content returns what is there at the first step, consolidated: what is there now
// without the changes since. It is nil if nobody wants to know.
func (sub *subscription) content(ctx context.Context) (*batch.Batch, error) {
	p := sub.plan
	if p.rel != nil {
		bu := batch.NewBuilder(p.rowTypes())
		if p.noSnapshot && sub.told == nil {
			return bu.Seal(), nil
		}
		err := sub.rowsAt(ctx, 0, func(b *batch.Batch) error {
			bu.AppendBatch(b)
			return sub.fits(bu.SizeBytes())
		})
		if err != nil {
			return nil, err
		}
		return batch.Consolidate(bu.View()), nil
	}
	g, err := flow.New(p.query.Spec, flow.Options{Workers: 1, MaxStateBytes: sub.e.cfg.QueryBytes, Stop: func() bool { return ctx.Err() != nil }})
	if err != nil {
		return nil, err
	}
	sub.group = g
	if sub.step == sub.env.snap.Step {
		sub.timePasses(sub.env.snap)
	}
	g.BeginStep(int64(sub.step), sub.env.snap.Now)
	for i, in := range sub.inputs {
		if err := sub.rowsAt(ctx, i, func(b *batch.Batch) error { return g.Push(in.key, 0, b) }); err != nil {
			return nil, err
		}
	}
	for k := range g.Stages() {
		err := g.Circuit(0).RunStage(k)
		if err == nil {
			err = g.Exchange(k)
		}
		if err != nil {
			return nil, stoppedBy(ctx, err)
		}
	}
	out, _, err := g.EndStep()
	if err != nil {
		return nil, stoppedBy(ctx, err)
	}
	g.Bound(sub.e.cfg.QueryBytes, nil)
	return out[0].Batch, nil
}

// stoppedBy is err, or why ctx has ended.
func stoppedBy(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return canceled(ctx)
	}
	return err
}

// fits checks the memory of rows at the beginning.
func (sub *subscription) fits(bytes int64) error {
	if bytes <= sub.e.cfg.QueryBytes {
		return nil
	}
	return &types.Error{Code: types.CodeOutOfMemory, Message: fmt.Sprintf("out of memory: the rows to begin with are over the limit of %d bytes", sub.e.cfg.QueryBytes),
		Hint: "Subscribe WITH (snapshot = false), or to a query that gives fewer rows."}
}

// rowsAt hands out the rows of input i at the first step: those of the snapshot
// without the changes since.
func (sub *subscription) rowsAt(ctx context.Context, i int, fn func(*batch.Batch) error) error {
	id, snap := sub.plan.followed()[i].ID, sub.env.snap
	var since []*batch.Batch
	rows := 0
	for after := sub.step; ; {
		blocks, step, err := sub.inputs[i].ring.step(after, snap.Step)
		if err != nil {
			return err
		}
		if len(blocks) == 0 {
			break
		}
		after = step
		for _, b := range blocks {
			since, rows = append(since, b), rows+b.Len()
		}
	}
	content := func(fn func(*batch.Batch) error) error {
		err := sub.env.content(ctx, id, nil, func(b *batch.Batch) error {
			if ctx.Err() != nil {
				return canceled(ctx)
			}
			return fn(b)
		})
		return stoppedBy(ctx, err)
	}
	switch {
	case rows == 0:
		return content(fn)
	case snap.sources[id] != nil: // its rows come in the order of the steps
		last := holdBack{most: rows, fn: fn}
		if err := content(last.push); err != nil {
			return err
		}
		return last.end()
	}
	sp := state.NewSpine(since[0].Types(), nil)
	err := content(func(b *batch.Batch) error {
		sp.Append(b)
		return sub.fits(sp.Bytes())
	})
	if err != nil {
		return err
	}
	for _, b := range since {
		sp.Append(withdrawn(b))
	}
	bu := batch.NewBuilder(since[0].Types())
	err = sp.Snapshot().Blocks(func(b *batch.Batch) error {
		bu.AppendBatch(b)
		return nil
	})
	if err != nil {
		return err
	}
	return fn(batch.Consolidate(bu.View()))
}

// holdBack hands rows on except the last ones.
type holdBack struct {
	most int // how many
	fn   func(*batch.Batch) error
	kept []*batch.Batch
	rows int // in kept
}

func (h *holdBack) push(b *batch.Batch) error {
	h.kept, h.rows = append(h.kept, batch.Copy(b)), h.rows+b.Len() // borrowed
	for h.rows-h.kept[0].N >= h.most {
		b := h.kept[0]
		h.kept, h.rows = h.kept[1:], h.rows-b.N
		if err := h.fn(b); err != nil {
			return err
		}
	}
	return nil
}

// end hands out what is more than the rows to hold back.
func (h *holdBack) end() error {
	if h.rows <= h.most {
		return nil
	}
	return h.fn(batch.Slice(h.kept[0], 0, h.rows-h.most))
}

// withdrawn is b with all weights turned round. The columns are shared.
func withdrawn(b *batch.Batch) *batch.Batch {
	out := *b
	out.Weights = make([]int64, b.N)
	for i := range out.Weights {
		out.Weights[i] = -b.Weight(i)
	}
	return &out
}

// Columns implements session.Cursor.
func (sub *subscription) Columns() []session.Column { return sub.plan.columns }

// Next implements session.Cursor.
func (sub *subscription) Next(ctx context.Context, wait bool) (*batch.Batch, error) {
	for {
		sub.out.Reset()
		if sub.emit(); sub.out.Len() > 0 {
			sub.count += int64(sub.out.Len())
			return sub.out.View(), nil
		}
		if sub.ended {
			return nil, nil
		}
		published := sub.e.published.wait()
		more, err := sub.advance(ctx)
		if err != nil {
			return nil, err
		}
		if more {
			continue
		}
		if err := sub.e.Err(); err != nil {
			return nil, err
		}
		if !wait {
			return sub.out.View(), nil
		}
		select {
		case <-published:
		case <-ctx.Done():
			return nil, canceled(ctx)
		}
	}
}

// emit moves pending rows to out, and says that their step is over.
func (sub *subscription) emit() {
	lead := sub.plan.lead()
	if b := sub.pending; b != nil {
		for ; sub.at < b.N && sub.out.Len() < batch.BlockRows; sub.at++ {
			n := sub.out.Len()
			sub.out.Col(0).AppendInt(n, int64(sub.pstep))
			if sub.plan.progress {
				sub.out.Col(1).AppendBool(n, false)
			}
			from := 0
			if sub.told == nil {
				sub.out.Col(lead-1).AppendInt(n, b.Weight(sub.at))
				from = 1
			}
			for c := range b.Cols {
				sub.out.Col(lead-1+from+c).AppendFrom(n, &b.Cols[c], sub.at)
			}
			sub.out.EndRow(1)
		}
		if sub.at < b.N || sub.out.Len() == batch.BlockRows {
			return
		}
		sub.pending, sub.at = nil, 0
	}
	if sub.progress {
		sub.progress = false
		n := sub.out.Len()
		sub.out.Col(0).AppendInt(n, int64(sub.step))
		sub.out.Col(1).AppendBool(n, true)
		for c := 2; c < len(sub.plan.columns); c++ {
			sub.out.Col(c).AppendNull(n)
		}
		sub.out.EndRow(1)
	}
}

// advance takes the changes of the next step that has any. It reports whether there
// is something to hand out, or the end has come.
func (sub *subscription) advance(ctx context.Context) (bool, error) {
	if !sub.begun {
		if err := sub.begin(ctx); err != nil || !sub.begun {
			return false, err
		}
		return true, nil
	}
	snap := sub.e.Snapshot()
	until := snap.Step
	if sub.upTo != nil {
		until = min(until, *sub.upTo)
	}
	was := sub.step
	for sub.step < until {
		next := until
		var feeds []flow.Feed
		for _, in := range sub.inputs {
			entries, step, err := in.ring.step(sub.step, next)
			if err != nil {
				return false, err
			}
			if len(entries) == 0 {
				continue
			}
			if step < next {
				next, feeds = step, nil
			}
			feeds = append(feeds, flow.Feed{Rel: in.key, Blocks: entries})
		}
		sub.step = next
		timed := sub.group != nil && next == snap.Step && sub.timePasses(snap)
		if len(feeds) == 0 && !timed {
			continue
		}
		b, err := sub.result(next, snap.Now, feeds)
		if err != nil {
			return false, err
		}
		if b.Len() > 0 {
			sub.pending, sub.at, sub.pstep, sub.progress = b, 0, next, sub.plan.progress
			return true, nil
		}
	}
	for _, in := range sub.inputs {
		if err := in.ring.dropped(); err != nil {
			return false, err
		}
	}
	sub.progress = sub.plan.progress && sub.step > was
	sub.ended = sub.upTo != nil && sub.step >= *sub.upTo
	return sub.progress || sub.ended, nil
}

// result is what a step changed, or what the envelope tells of it.
func (sub *subscription) result(step uint64, now int64, feeds []flow.Feed) (*batch.Batch, error) {
	b, err := sub.changes(step, now, feeds)
	if err == nil && sub.told != nil {
		b, err = sub.told.tell(b)
	}
	return b, err
}

// timePasses gives a query's circuit the watermarks of a snapshot. It reports whether
// they, or the time, ask for a step of the circuit.
func (sub *subscription) timePasses(snap *Snapshot) bool {
	moved := false
	for i := range sub.inputs {
		in := &sub.inputs[i]
		if m := snap.Marks(in.id); m != nil && !slices.Equal(m, in.marks) {
			in.marks = m
			sub.group.SetMarks(in.key, m)
			moved = true
		}
	}
	return moved || sub.group.NextTime() <= snap.Now
}

func (sub *subscription) changes(step uint64, now int64, feeds []flow.Feed) (*batch.Batch, error) {
	if sub.group == nil {
		if b := feeds[0].Blocks[0]; len(feeds[0].Blocks) == 1 && sub.plan.rel.Kind == catalog.MaterializedView {
			return b, nil // a circuit's result is consolidated
		}
		bu := batch.NewBuilder(sub.plan.rowTypes())
		for _, b := range feeds[0].Blocks {
			bu.AppendBatch(b)
		}
		return batch.Consolidate(bu.View()), nil
	}
	out, _, err := sub.group.Step(int64(step), now, feeds...)
	if err != nil {
		return nil, err
	}
	return out[0].Batch, nil
}

// Tag implements session.Cursor.
func (sub *subscription) Tag() string { return fmt.Sprintf("SUBSCRIBE %d", sub.count) }

// Close implements session.Cursor.
func (sub *subscription) Close() {
	sub.ended, sub.group, sub.pending, sub.inputs, sub.told, sub.progress = true, nil, nil, nil, nil, false
}
