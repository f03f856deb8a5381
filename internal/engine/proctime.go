package engine

import (
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// procTick is how often, in microseconds, a step is made while a view reads a column
// of PROCTIME(), though nothing else calls for one: what closes by the time of the
// clock then closes at whole seconds.
const procTick = 1_000_000

// computed fills in the columns of rows that are computed as they come: expressions
// over the others, and proc for PROCTIME(). The result is b itself if there are none;
// its other columns are b's. What could not be computed is NULL, and failed tells why,
// by row.
func (r *eventRules) computed(ctx *expr.Ctx, b *batch.Batch, proc int64) (out *batch.Batch, failed map[int]error, err error) {
	if len(r.Generated) == 0 && len(r.proc) == 0 || b.Len() == 0 {
		return b, nil, nil
	}
	if b.Sel != nil {
		b = batch.Copy(b)
	}
	out = &batch.Batch{N: b.N, Cols: slices.Clone(b.Cols), Weights: b.Weights}
	if len(r.Generated) > 0 {
		if failed, err = r.generate(ctx, b, out); err != nil {
			return nil, nil, err
		}
	}
	r.setProc(out, func(int) int64 { return proc })
	return out, failed, nil
}

// setProc fills the columns of PROCTIME() with the time of each row.
func (r *eventRules) setProc(b *batch.Batch, at func(row int) int64) {
	if len(r.proc) == 0 || b.N == 0 {
		return
	}
	times := make([]int64, b.N)
	for i := range times {
		times[i] = at(i)
	}
	for _, c := range r.proc {
		b.Cols[c] = batch.Column{Type: b.Cols[c].Type, I64: times}
	}
}

// computedAt fills in what is computed of a replayable source's rows from position
// from on, whose PROCTIME() is when they come. An expression that goes wrong gives NULL.
func (s *source) computedAt(b *batch.Batch, from uint64) (*batch.Batch, error) {
	out, _, err := s.rules.computed(&expr.Ctx{}, b, 0)
	if err == nil && s.timed != nil {
		s.rules.setProc(out, func(i int) int64 { return s.timed.Comes(s.start, from+uint64(i)) })
	}
	return out, err
}

// generate computes the columns that follow from others of b into out.
func (r *eventRules) generate(ctx *expr.Ctx, b, out *batch.Batch) (failed map[int]error, err error) {
	var ts []types.Type
	var es []expr.Expr
	for _, g := range r.Generated {
		ts, es = append(ts, r.def.Columns[g.Column].Type), append(es, g.Expr)
	}
	prog, err := expr.Compile(es)
	if err != nil {
		return nil, err
	}
	bu := batch.NewBuilder(ts)
	cols := make([]batch.Column, len(es))
	for _, part := range cutBlocks(b) {
		base := bu.Len()
		prog.Eval(ctx, part, cols)
		for _, e := range ctx.Errs {
			if failed == nil {
				failed = map[int]error{}
			}
			if failed[base+e.Row] == nil {
				failed[base+e.Row] = e.Err
			}
		}
		ctx.Errs = ctx.Errs[:0]
		for i := range part.N {
			for c := range cols {
				bu.Col(c).AppendFrom(bu.Len(), &cols[c], i)
			}
			bu.EndRow(1)
		}
	}
	made := bu.Seal()
	for k, g := range r.Generated {
		out.Cols[g.Column] = made.Cols[k]
	}
	return failed, nil
}

// fill computes the generated columns of new rows of a table.
func (env *readEnv) fill(def *catalog.Relation, rows *batch.Batch) (*batch.Batch, error) {
	if !slices.ContainsFunc(def.Columns, func(c catalog.Column) bool { return c.Generated != "" }) {
		return rows, nil
	}
	r, err := newEventRules(def)
	if err != nil {
		return nil, err
	}
	out, failed, err := r.computed(env.exprCtx(), rows, env.now)
	if err != nil {
		return nil, err
	}
	for i := range out.N {
		if failed[i] != nil {
			return nil, failed[i]
		}
	}
	return out, nil
}

// stamp begins to append rows whose PROCTIME() is what it returns: the time of the
// clock, never before what was promised; under appendMu.
func (s *source) stamp() int64 {
	if len(s.rules.proc) == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc = max(s.proc, s.e.micros())
	s.stamping = s.proc
	return s.proc
}

// stamped ends it; under mu.
func (s *source) stamped() { s.stamping = 0 }

// procMark returns the time at or above which all rows will be stamped that no step
// has yet, 0 if rows wait whose own marks say it. next is the position that the step
// after this one goes on from.
func (s *source) procMark(now int64, next uint64) int64 {
	if s.timed != nil {
		return min(s.timed.Comes(s.start, next), now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.pending) > 0:
		return 0
	case s.stamping != 0:
		return s.stamping
	}
	s.proc = max(s.proc, now)
	return s.proc
}

// procFeeds moves the marks of PROCTIME() columns of sources: of those that the step
// takes rows from in what was taken, of the others in the feeds that it returns.
func (l *leader) procFeeds(s *staged) []flow.Feed {
	var out []flow.Feed
	for _, src := range l.e.sourceList() {
		if len(src.rules.proc) == 0 || l.rels[src.id] == nil {
			continue
		}
		m := int64(0)
		if l.replaying {
			m = s.recorded[src.id]
			src.mu.Lock()
			src.proc = max(src.proc, m)
			src.mu.Unlock()
		}
		i := slices.IndexFunc(s.taken, func(t taken) bool { return t.source == src })
		if !l.replaying {
			next := l.positions[src.id]
			if i >= 0 {
				next = s.taken[i].to
			}
			m = src.procMark(s.step.Now, next)
		}
		if m == 0 {
			continue
		}
		if i < 0 {
			marks := src.rules.marks(flow.NoMark, m)
			out = append(out, flow.Feed{Rel: relKey(src.id), Marks: marks})
			continue
		}
		for _, c := range src.rules.proc {
			s.taken[i].marks[c] = max(s.taken[i].marks[c], m)
		}
	}
	return out
}

// recordedProc reads the marks of PROCTIME() columns from a step's record: they do
// not follow from what it took.
func (l *leader) recordedProc(rec *wire.Step) map[catalog.ID]int64 {
	out := map[catalog.ID]int64{}
	for _, m := range rec.Marks {
		if src := l.e.sourceByID(m.Relation); src != nil && slices.Contains(src.rules.proc, m.Column) {
			out[m.Relation] = m.Value
		}
	}
	return out
}

// stampTables gives the rows of a transaction the time of the step that they come in.
func (t *tableEvent) stamp(rows *batch.Batch, now int64) *batch.Batch {
	if len(t.rules.proc) == 0 || rows.N == 0 {
		return rows
	}
	out, _, err := (&eventRules{def: t.rules.def, proc: t.rules.proc}).computed(nil, rows, now)
	if err != nil {
		return rows // nothing is computed that could fail
	}
	return batch.Consolidate(out)
}

// nextStep returns the logical time at which a step is due though nothing comes in,
// math.MaxInt64 if never.
func (l *leader) nextStep() int64 {
	next := l.work.NextTime()
	if l.ticks {
		next = min(next, (l.now/procTick+1)*procTick)
	}
	return next
}

// noteTicks looks whether a view reads a column of PROCTIME().
func (l *leader) noteTicks() {
	l.ticks = false
	for _, key := range l.work.Keys() {
		spec := l.work.Spec(key)
		for i := range spec.Nodes {
			in, ok := spec.Nodes[i].Op.(*flow.Input)
			if !ok {
				continue
			}
			id, _ := catalog.ParseKey(in.Rel)
			if r := l.rels[id]; r != nil && slices.ContainsFunc(r.def.Columns, func(c catalog.Column) bool { return c.ProcTime }) {
				l.ticks = true
			}
		}
	}
}
