package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// maxViewReads bounds views on views when they are read through a transaction's
// own changes.
const maxViewReads = 64

// VirtualTables serves the system catalogs.
type VirtualTables interface {
	// Relations lists them, for catalog.New.
	Relations() []catalog.Relation
	// Rows returns the content of one of them as a session sees it.
	Rows(ctx context.Context, rel *catalog.Relation, v *SystemView) (*batch.Batch, error)
	// Macros are functions over them, by name.
	Macros() map[string]plan.Macro
}

// SystemView is what the content of a system catalog may depend on.
type SystemView struct {
	Engine   *Engine
	Snapshot *Snapshot
	User     string
	Database string
	PID      int32
	// Settings lists the session's parameters, by name in order.
	Settings []Setting
}

// Setting is a parameter of a session.
type Setting struct{ Name, Value, Description string }

// readEnv is what a query reads: a snapshot, and over it the changes of the
// transaction it runs in.
type readEnv struct {
	e       *Engine
	snap    *Snapshot
	overlay map[catalog.ID]*batch.Batch
	params  []types.Value
	zone    *time.Location
	now     int64
	system  func() *SystemView // what the session shows of itself
	depth   int
	ran     *flow.Group // the circuit of the last query
}

// query runs a planned query and returns its rows as changes: consolidated, in the
// order of the whole row, the visible columns first.
func (env *readEnv) query(ctx context.Context, q *plan.Query) (out *batch.Batch, err error) {
	defer func() {
		if v := recover(); v != nil {
			env.e.cfg.Logger.Error("query panicked", "panic", v, "stack", string(debug.Stack()))
			err = &types.Error{Code: types.CodeInternal, Message: fmt.Sprintf("internal error: %v", v)}
		}
		if err != nil && ctx.Err() != nil {
			err = canceled(ctx) // which knows why
		}
	}()
	env.e.metrics.Queries.Add(1)
	start := time.Now()
	defer func() { env.e.metrics.QueryTime.observe(time.Since(start)) }()
	g, err := flow.New(q.Spec, flow.Options{Workers: 1, MaxStateBytes: env.e.cfg.QueryBytes, Zone: env.zone, Params: env.params,
		Host: host{env.snap}, Random: random, Stop: func() bool { return ctx.Err() != nil }})
	if err != nil {
		return nil, err
	}
	env.ran = g
	for _, in := range q.Inputs {
		if m := env.snap.Marks(in.ID); m != nil {
			g.SetMarks(in.Key, m)
		}
	}
	g.BeginStep(int64(env.snap.Step), env.now)
	for _, in := range q.Inputs {
		push := func(b *batch.Batch) error {
			if ctx.Err() != nil {
				return canceled(ctx)
			}
			if b.Len() == 0 {
				return nil
			}
			return g.Push(in.Key, 0, b)
		}
		if err := env.content(ctx, in.ID, env.pointOf(q.Spec, in), push); err != nil {
			return nil, err
		}
	}
	for s := range g.Stages() {
		if err := g.Circuit(0).RunStage(s); err != nil {
			return nil, err
		}
		if err := g.Exchange(s); err != nil {
			return nil, err
		}
	}
	results, errs, err := g.EndStep()
	if err != nil {
		return nil, err
	}
	if len(errs.Rows) > 0 {
		return nil, errs.Rows[0].Err
	}
	return results[0].Batch, nil
}

// content hands out the rows of a relation. With a point, rows other than the
// point's may be left out.
func (env *readEnv) content(ctx context.Context, id catalog.ID, at *point, push func(*batch.Batch) error) error {
	def := env.snap.Catalog.ByID(id)
	if def == nil {
		return &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("relation %d does not exist", id)}
	}
	switch def.Kind {
	case catalog.Virtual:
		if env.e.cfg.Virtual == nil {
			return nil
		}
		b, err := env.e.cfg.Virtual.Rows(ctx, def, env.system())
		if err != nil {
			return err
		}
		return push(b)
	case catalog.Source:
		s := env.snap.sources[id]
		if s == nil {
			return &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("%s was dropped", def.Describe())}
		}
		return s.history(ctx, env.snap.Position(id), env.snap.skipped.out(id), push)
	case catalog.MaterializedView:
		if env.touched(def, 0) {
			return env.recompute(ctx, def, push)
		}
	}
	rows := env.snap.Rows(id)
	if rows == nil {
		return &types.Error{Code: types.CodeInternal, Message: fmt.Sprintf("%s has no rows in step %d", def.Describe(), env.snap.Step)}
	}
	err := error(nil)
	if at != nil {
		err = at.rows.Lookup(at.key, push)
	} else {
		err = rows.Blocks(push)
	}
	if err != nil {
		return err
	}
	if b := env.overlay[id]; b != nil {
		return push(b)
	}
	return nil
}

// touched reports whether the transaction changed anything that a view reads.
func (env *readEnv) touched(def *catalog.Relation, depth int) bool {
	if len(env.overlay) == 0 || depth > maxViewReads {
		return false
	}
	for _, id := range def.DependsOn {
		if b := env.overlay[id]; b != nil && b.Len() > 0 {
			return true
		}
		if r := env.snap.Catalog.ByID(id); r != nil && env.touched(r, depth+1) {
			return true
		}
	}
	return false
}

// recompute answers a view's query from nothing, so that a transaction sees its own
// changes in it.
func (env *readEnv) recompute(ctx context.Context, def *catalog.Relation, push func(*batch.Batch) error) error {
	if env.depth >= maxViewReads {
		return &types.Error{Code: types.CodeTooComplex, Message: fmt.Sprintf("%s reads views %d deep", def.Describe(), env.depth)}
	}
	p := plan.Planner{Catalog: env.snap.Catalog, Session: plan.Session{SearchPath: def.SearchPath, Version: Version}}
	q, err := p.PlanRelation(def)
	if err != nil {
		return err
	}
	inner := *env
	inner.depth++
	inner.params, inner.zone, inner.now = nil, nil, env.snap.Now
	b, err := inner.query(ctx, q)
	if err != nil {
		return err
	}
	return push(b)
}

// point is the one key that a query needs of a relation, and the rows in whose
// order it is found.
type point struct {
	rows *state.Snapshot
	key  *batch.Batch
}

// pointOf looks whether every reader of input in keeps only rows whose leading
// columns, in the order of the relation or of one of its indexes, equal constants.
func (env *readEnv) pointOf(spec *flow.Spec, in plan.Input) *point {
	var eq map[int]types.Value
	readers := 0
	for i := range spec.Nodes {
		input, ok := spec.Nodes[i].Op.(*flow.Input)
		if !ok || input.Rel != in.Key {
			continue
		}
		for k := range spec.Nodes {
			for _, x := range spec.Nodes[k].In {
				if x != i {
					continue
				}
				readers++
				f, ok := spec.Nodes[k].Op.(*flow.Filter)
				if !ok || readers > 1 {
					return nil
				}
				eq = map[int]types.Value{}
				env.equalities(f.Pred, spec.Nodes[i].Out, eq)
			}
		}
	}
	if len(eq) == 0 {
		return nil
	}
	best := pointIn(env.snap.Rows(in.ID), eq)
	for _, d := range env.snap.Catalog.Dependents(in.ID) {
		if d.Kind != catalog.Index || d.Index.On != in.ID {
			continue
		}
		if p := pointIn(env.snap.Rows(d.ID), eq); p != nil && (best == nil || len(p.key.Cols) > len(best.key.Cols)) {
			best = p
		}
	}
	return best
}

// pointIn takes as many leading columns as eq has values for.
func pointIn(rows *state.Snapshot, eq map[int]types.Value) *point {
	if rows == nil {
		return nil
	}
	var ts []types.Type
	var vals []types.Value
	all := rows.Types()
	for _, k := range rows.Keys() {
		v, ok := eq[k.Col]
		if !ok {
			break
		}
		v.T = all[k.Col]
		ts, vals = append(ts, v.T), append(vals, v)
	}
	if len(ts) == 0 {
		return nil
	}
	return &point{rows: rows, key: batch.FromRows(ts, [][]types.Value{vals})}
}

// equalities collects the conjuncts column = constant of e.
func (env *readEnv) equalities(e expr.Expr, ts []types.Type, eq map[int]types.Value) {
	switch e := e.(type) {
	case *expr.Logic:
		if !e.Or {
			for _, a := range e.Args {
				env.equalities(a, ts, eq)
			}
		}
	case *expr.Call:
		if e.Fn.Name != "=" || len(e.Args) != 2 {
			return
		}
		for i := range 2 {
			c, ok := e.Args[i].(expr.Col)
			if !ok {
				continue
			}
			// Only like kinds: then SQL's equality is that of the order.
			if v, ok := env.constant(e.Args[1-i]); ok && v.T.Kind == ts[c.Index].Kind {
				eq[c.Index] = v
			}
		}
	}
}

func (env *readEnv) constant(e expr.Expr) (types.Value, bool) {
	switch e := e.(type) {
	case expr.Const:
		return e.V, !e.V.Null
	case expr.Param:
		if e.Index < len(env.params) {
			v := env.params[e.Index]
			return v, !v.Null
		}
	}
	return types.Value{}, false
}
