package engine

import (
	"context"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
)

// A view whose circuit is another one in this version of the program than in the
// checkpoint's cannot take over the state that is there. It is filled anew from what its
// inputs hold at the checkpoint, and so is all that reads it; its old rows are there until
// then, and what it changes is the difference. Steps after the checkpoint then give what
// the new circuits give, so their digests are not compared.

// rebuild fills a view or sink anew at the checkpoint. If that cannot be, it is stale: it
// keeps its old rows and changes no more.
func (r *restorer) rebuild(ctx context.Context, rel *relation, spec *flow.Spec, why error) error {
	l, def := r.l, rel.def
	var rows *content // of a view; nobody asks what a sink holds
	var emit func(*batch.Batch) error
	if rel.spine != nil {
		rows = l.newContent(def)
		defer rows.close()
		emit = rows.add
	}
	err := r.fill(ctx, def, spec, why, emit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.exempt[def.ID] = true
	l.ckpt.changed = true
	if err != nil {
		l.stale[def.ID] = err.Error()
		l.e.cfg.Logger.Error("a view is stale: it cannot be computed anew by this version", "pipeline", l.e.cfg.Name, "relation", def.Describe(), "err", err)
		return nil
	}
	l.e.cfg.Logger.Warn("computed anew, because its plan is another one in this version", "pipeline", l.e.cfg.Name, "relation", def.Describe(), "why", why)
	r.rebuilt[def.ID] = true
	rel.ring = l.newRing(def, r.m.Step) // who follows it begins again
	if rel.spine == nil {
		return nil
	}
	diff, err := rows.less(rel.spine.Snapshot())
	if err != nil {
		return err
	}
	rel.spine.AppendSealed(diff)
	return nil
}

// fill makes the circuit; emit gets what it holds.
func (r *restorer) fill(ctx context.Context, def *catalog.Relation, spec *flow.Spec, why error, emit func(*batch.Batch) error) error {
	l := r.l
	if spec == nil {
		return why
	}
	c, err := l.work.Build(def.Key(), spec, flow.Options{Owner: r.m.LogSeq + 1})
	if err != nil {
		return err
	}
	for _, key := range c.Inputs() {
		id, _ := catalog.ParseKey(key)
		if err := r.whole(ctx, id); err != nil {
			c.Close()
			return err
		}
	}
	c.Bound(0, func() bool { return ctx.Err() != nil })
	if _, err := c.Fill(r.m.Step, l.now, l.contents(ctx, c), emit); err != nil {
		return err
	}
	l.work.Add(c)
	return nil
}

// whole is an error if an input has lost rows that a view of it may hold.
func (r *restorer) whole(ctx context.Context, id catalog.ID) error {
	if why, is := r.l.stale[id]; is {
		return fmt.Errorf("it reads a relation that is stale: %s", why)
	}
	s := r.l.e.sourceByID(id)
	if s == nil || s.log == nil {
		return nil
	}
	first, _, err := s.log.Bounds(ctx)
	if err == nil && first > 1 && r.l.positions[id] > 1 {
		err = fmt.Errorf("source %q is kept from block %d on only", s.def.Name, first)
	}
	return err
}
