package engine

import (
	"context"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// subscribePlan is a bound SUBSCRIBE.
type subscribePlan struct {
	// rel is a table or materialized view that is followed as it is; nil: query.
	rel        *catalog.Relation
	query      *plan.Query
	columns    []session.Column
	noSnapshot bool
	asOf       *uint64 // begin behind this step, without its rows
	upTo       *uint64 // end behind this step
}

func (s *Session) planSubscribe(pl *plan.Planner, st *sql.Subscribe) (*subscribePlan, error) {
	sp := &subscribePlan{}
	q := st.Query
	if q == nil {
		def, err := pl.Catalog.Resolve(s.params.path, st.Name.Schema(), st.Name.Last())
		if err != nil {
			return nil, at(err, st.Name.Pos())
		}
		switch def.Kind {
		case catalog.Table, catalog.MaterializedView:
			sp.rel = def
			for i, c := range def.Columns {
				sp.columns = append(sp.columns, session.Column{Name: c.Name, Type: c.Type, Table: uint32(def.ID), Attnum: int16(i + 1)})
			}
		case catalog.Source, catalog.View:
			q = &sql.Query{Body: &sql.Select{Items: []sql.SelectItem{{X: &sql.StarExpr{}}}, From: []sql.TableExpr{&sql.TableRef{Name: st.Name}}}}
		default:
			return nil, at(&types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("cannot subscribe to %s", def.Describe())}, st.Name.Pos())
		}
	}
	if sp.rel == nil {
		var err error
		if sp.query, err = pl.PlanView(q); err != nil {
			return nil, err
		}
		for _, in := range sp.query.Inputs {
			if r := pl.Catalog.ByID(in.ID); r != nil && r.Kind == catalog.Virtual {
				return nil, &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("cannot subscribe to the system catalog %q", r.Name)}
			}
		}
		sp.columns = columnsOf(sp.query.Columns)
	}
	sp.columns = append([]session.Column{{Name: "step", Type: types.T(types.Int8)}, {Name: "weight", Type: types.T(types.Int8)}}, sp.columns...)
	return sp, sp.options(st)
}

func (sp *subscribePlan) options(st *sql.Subscribe) error {
	for _, o := range st.Options {
		v, _ := o.Text()
		if o.Name != "snapshot" || v != "true" && v != "false" {
			return at(&types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid option %q of SUBSCRIBE", o.Name),
				Hint: "The option is snapshot, true or false."}, o.Pos())
		}
		sp.noSnapshot = v == "false"
	}
	for _, x := range []struct {
		e  sql.Expr
		to **uint64
	}{{st.AsOf, &sp.asOf}, {st.UpTo, &sp.upTo}} {
		if x.e == nil {
			continue
		}
		n, ok := x.e.(*sql.NumberLit)
		var step uint64
		if ok {
			_, err := fmt.Sscan(n.Text, &step)
			ok = err == nil && n.IsInt
		}
		if !ok {
			return at(&types.Error{Code: types.CodeInvalidParameter, Message: "a step is a whole number"}, x.e.Pos())
		}
		*x.to = &step
	}
	return nil
}

// subscription hands out the changes of a relation or query, step by step.
type subscription struct {
	e       *Engine
	plan    *subscribePlan
	inputs  []followed
	group   *flow.Group // nil when a relation is followed as it is
	step    uint64      // everything up to it was handed out or is in pending
	pending *batch.Batch
	at      int
	pstep   uint64
	out     *batch.Builder
	count   int64
	ended   bool
}

// followed is an input of a subscription.
type followed struct {
	key  string
	ring *ring
}

// subscribe begins with what is there in the last step, and follows from it on.
func (s *Session) subscribe(ctx context.Context, p *subscribePlan) (session.Cursor, error) {
	if s.tx != nil && len(s.tx.changes) > 0 {
		return nil, &types.Error{Code: "25001", Message: "SUBSCRIBE cannot follow writes in the same transaction"}
	}
	env := s.env(nil)
	env.snap = s.e.Snapshot() // the newest: a pinned one may be older than the changes kept
	sub := &subscription{e: s.e, plan: p, step: env.snap.Step}
	ts := make([]types.Type, len(p.columns))
	for i := range ts {
		ts[i] = p.columns[i].Type
	}
	sub.out = batch.NewBuilder(ts)
	if err := sub.begin(ctx, env); err != nil {
		return nil, err
	}
	return sub, nil
}

func (sub *subscription) begin(ctx context.Context, env *readEnv) error {
	p := sub.plan
	var ids []plan.Input
	if p.rel != nil {
		ids = []plan.Input{{ID: p.rel.ID, Key: p.rel.Key()}}
	} else {
		ids = p.query.Inputs
	}
	for _, in := range ids {
		r := env.snap.rings[in.ID]
		if r == nil {
			return &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("relation %d does not exist", in.ID)}
		}
		sub.inputs = append(sub.inputs, followed{in.Key, r})
	}
	if p.asOf != nil {
		if p.query != nil {
			return &types.Error{Code: types.CodeFeature, Message: "AS OF of a query is not supported yet", Hint: "Subscribe to a materialized view or a table."}
		}
		sub.step = *p.asOf
		return nil
	}
	first, err := sub.content(ctx, env)
	if err != nil {
		return err
	}
	if !p.noSnapshot {
		sub.pending, sub.pstep = first, sub.step
	}
	return nil
}

// content returns what is there at the beginning, consolidated.
func (sub *subscription) content(ctx context.Context, env *readEnv) (*batch.Batch, error) {
	if rel := sub.plan.rel; rel != nil {
		if sub.plan.noSnapshot {
			return nil, nil
		}
		bu := batch.NewBuilder(rel.Types())
		err := env.content(ctx, rel.ID, nil, func(b *batch.Batch) error {
			bu.AppendBatch(b)
			if bu.SizeBytes() > sub.e.cfg.QueryBytes {
				return &types.Error{Code: types.CodeOutOfMemory, Message: fmt.Sprintf("the rows of %s are over the limit of %d bytes", rel.Describe(), sub.e.cfg.QueryBytes)}
			}
			return nil
		})
		return batch.Consolidate(bu.View()), err
	}
	g, err := flow.New(sub.plan.query.Spec, flow.Options{Workers: 1, MaxStateBytes: sub.e.cfg.QueryBytes})
	if err != nil {
		return nil, err
	}
	sub.group = g
	g.BeginStep(int64(env.snap.Step), env.snap.Now)
	for _, in := range sub.plan.query.Inputs {
		err := env.content(ctx, in.ID, nil, func(b *batch.Batch) error {
			if ctx.Err() != nil {
				return canceled(ctx)
			}
			return g.Push(in.Key, 0, b)
		})
		if err != nil {
			return nil, err
		}
	}
	for k := range g.Stages() {
		if err := g.Circuit(0).RunStage(k); err != nil {
			return nil, err
		}
		if err := g.Exchange(k); err != nil {
			return nil, err
		}
	}
	out, _, err := g.EndStep()
	if err != nil {
		return nil, err
	}
	return out[0].Batch, nil
}

// Columns implements session.Cursor.
func (sub *subscription) Columns() []session.Column { return sub.plan.columns }

// Next implements session.Cursor.
func (sub *subscription) Next(ctx context.Context, wait bool) (*batch.Batch, error) {
	for {
		sub.out.Reset()
		if sub.ended {
			return nil, nil
		}
		if sub.emit(); sub.out.Len() > 0 {
			sub.count += int64(sub.out.Len())
			return sub.out.View(), nil
		}
		published := sub.e.published.wait()
		more, err := sub.advance()
		if err != nil {
			return nil, err
		}
		if more || sub.ended {
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

// emit moves pending rows to out.
func (sub *subscription) emit() {
	b := sub.pending
	if b == nil {
		return
	}
	for ; sub.at < b.N && sub.out.Len() < batch.BlockRows; sub.at++ {
		n := sub.out.Len()
		sub.out.Col(0).AppendInt(n, int64(sub.pstep))
		sub.out.Col(1).AppendInt(n, b.Weight(sub.at))
		for c := range len(sub.plan.columns) - 2 {
			sub.out.Col(c+2).AppendFrom(n, &b.Cols[c], sub.at)
		}
		sub.out.EndRow(1)
	}
	if sub.at >= b.N {
		sub.pending, sub.at = nil, 0
	}
}

// advance takes the changes of the next step, if there is one that has any.
func (sub *subscription) advance() (bool, error) {
	until := sub.e.Snapshot().Step
	if sub.plan.upTo != nil && *sub.plan.upTo < until {
		until = *sub.plan.upTo
	}
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
		if len(feeds) == 0 {
			continue
		}
		b, err := sub.result(next, feeds)
		if err != nil {
			return false, err
		}
		if b.Len() > 0 {
			sub.pending, sub.at, sub.pstep = b, 0, next
			return true, nil
		}
	}
	if sub.plan.upTo != nil && sub.step >= *sub.plan.upTo {
		sub.ended = true
	}
	return false, nil
}

// result is what a step changed.
func (sub *subscription) result(step uint64, feeds []flow.Feed) (*batch.Batch, error) {
	if sub.group == nil {
		bu := batch.NewBuilder(sub.plan.rel.Types())
		for _, b := range feeds[0].Blocks {
			bu.AppendBatch(b)
		}
		return batch.Consolidate(bu.View()), nil
	}
	out, _, err := sub.group.Step(int64(step), sub.e.Snapshot().Now, feeds...)
	if err != nil {
		return nil, err
	}
	return out[0].Batch, nil
}

// Tag implements session.Cursor.
func (sub *subscription) Tag() string { return fmt.Sprintf("SUBSCRIBE %d", sub.count) }

// Close implements session.Cursor.
func (sub *subscription) Close() { sub.ended, sub.group, sub.pending, sub.inputs = true, nil, nil, nil }
