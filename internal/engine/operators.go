package engine

import (
	"context"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/types"
)

// OperatorStatus is one operator of the circuit of a view or sink: what it is, and
// what it has done since the circuit was built.
type OperatorStatus struct {
	Relation  catalog.ID
	Name      string // of the relation
	Operator  string // as EXPLAIN prints it
	State     string // how its state grows; "" if it has none
	Watermark types.Value
	flow.Counters
}

// inspect runs fn in the leader loop, between two steps. It reports false if the
// pipeline has ended or ctx has before fn could run.
func (e *Engine) inspect(ctx context.Context, fn func(*leader)) bool {
	ran := make(chan struct{})
	select {
	case e.look <- func(l *leader) { fn(l); close(ran) }:
	case <-ctx.Done():
		return false
	case <-e.done:
		return false
	}
	select {
	case <-ran:
		return true
	case <-e.done:
		return false
	}
}

// Operators lists the operators of every circuit, in the order of the relations and
// within each from the inputs to the output. It waits for the step that is being
// computed; nil if ctx ends first or the pipeline has ended.
func (e *Engine) Operators(ctx context.Context) []OperatorStatus {
	var out []OperatorStatus
	if !e.inspect(ctx, func(l *leader) {
		for _, key := range l.work.Keys() {
			out = append(out, l.operators(key)...)
		}
	}) {
		return nil
	}
	return out
}

// operators lists those of the circuit of one relation.
func (l *leader) operators(key string) []OperatorStatus {
	id, _ := catalog.ParseKey(key)
	def, spec := l.cat.ByID(id), l.work.Spec(key)
	if def == nil || spec == nil {
		return nil
	}
	counters := l.work.Counters(key)
	bounds, err := (&plan.Planner{Catalog: l.cat}).Bounds(specQuery(spec))
	if err != nil {
		bounds = nil // it was planned before, so this cannot be; the counters are of use anyway
	}
	lines := spec.Operators(l.e.cfg.Workers, bounds)
	out := make([]OperatorStatus, len(counters))
	for i, c := range counters {
		s := OperatorStatus{Relation: id, Name: def.Name, Counters: c, Watermark: types.NullOf(types.T(types.Timestamp))}
		if i < len(lines) {
			s.Operator, s.State = named(l.cat, lines[i].Text), lines[i].State
		}
		if at, ok := lowestTime(spec.Nodes[c.Node].Out, c.Marks); ok {
			s.Watermark = types.IntValue(types.Timestamp, at)
		}
		out[i] = s
	}
	return out
}

// specQuery is a circuit as the planner gives it.
func specQuery(spec *flow.Spec) *plan.Query { return &plan.Query{Spec: spec} }

// lowestTime is the lowest mark of the columns that are timestamps.
func lowestTime(ts []types.Type, marks []int64) (at int64, ok bool) {
	for c, m := range marks {
		if m == flow.NoMark || m == flow.FinalMark || c >= len(ts) || ts[c].Kind != types.Timestamp && ts[c].Kind != types.TimestampTZ {
			continue
		}
		if !ok || m < at {
			at, ok = m, true
		}
	}
	return at, ok
}
