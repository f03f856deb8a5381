package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// maxRetries bounds how often a statement of its own is run again because another
// transaction changed its rows first.
const maxRetries = 32

// rowBytes is how many bytes of a transaction the coord counts as a row, so that
// steps are bounded in bytes too.
const rowBytes = 512

// change is what a statement does to a table, before it is part of a transaction.
type change struct {
	table *catalog.Relation
	delta *batch.Batch // consolidated
	count int64        // for the tag
	// returned is the input of RETURNING; nil if there is none.
	returned *batch.Batch
}

// insert computes what an INSERT does.
func (env *readEnv) insert(ctx context.Context, p *plan.Insert) (*change, error) {
	if rows := listed(p.Source.Spec); rows != nil {
		return env.putRows(p.Target, rows, p.OnConflict)
	}
	rows, err := env.query(ctx, p.Source)
	if err != nil {
		return nil, err
	}
	return env.putRows(p.Target, rows, p.OnConflict)
}

// listed returns the rows of a VALUES list of constants in the order written, which
// RETURNING keeps and which says what row of several with one key ON CONFLICT DO
// NOTHING takes; nil for any other query.
func listed(spec *flow.Spec) *batch.Batch {
	if len(spec.Nodes) != 2 {
		return nil
	}
	v, ok := spec.Nodes[0].Op.(*flow.Values)
	if _, end := spec.Nodes[1].Op.(*flow.Output); !ok || !end {
		return nil
	}
	return v.Rows
}

// putRows puts whole rows into a table.
func (env *readEnv) putRows(t plan.Target, rows *batch.Batch, oc *plan.OnConflict) (*change, error) {
	ectx := env.exprCtx()
	look := env.lookup(t.Table)
	rows, err := env.fill(t.Table, rows)
	if err != nil {
		return nil, err
	}
	// A row that breaks a constraint is an error even if ON CONFLICT would drop it.
	if err := checkTarget(ectx, t, rows); err != nil {
		return nil, err
	}
	if oc == nil || t.Table.PrimaryKey == nil {
		ch := &change{table: t.Table, delta: batch.Consolidate(rows), returned: rows, count: sumWeights(rows)}
		return ch, checkRows(t.Table, look, ch.delta)
	}
	return env.upsert(ectx, t, rows, oc, look)
}

// upsert puts rows in, or changes those whose key is there.
func (env *readEnv) upsert(ectx *expr.Ctx, t plan.Target, rows *batch.Batch, oc *plan.OnConflict, look *lookup) (*change, error) {
	ts := t.Table.Types()
	delta, fresh := batch.NewBuilder(ts), batch.NewBuilder(ts)
	pairs := batch.NewBuilder(append(append([]types.Type(nil), ts...), ts...)) // existing || excluded
	seen := make(map[string]bool, rows.Len())
	var key []byte
	for k := range rows.Len() {
		i := rows.Row(k)
		key = key[:0]
		for _, c := range t.Table.PrimaryKey {
			key = types.AppendKey(key, rows.Cols[c].Value(i), false, false)
		}
		again := seen[string(key)]
		if (again || rows.Weight(i) > 1) && oc.Set != nil {
			return nil, &types.Error{Code: types.CodeCardinality, Message: "ON CONFLICT DO UPDATE command cannot affect row a second time",
				Hint: "Ensure that no rows proposed for insertion within the same command have duplicate constrained values."}
		}
		if again {
			continue // the first of them is there now
		}
		seen[string(key)] = true
		have := look.find(rows, i)
		if have.Len() == 0 {
			fresh.AppendFrom(rows, i, 1)
			continue
		}
		if oc.Set == nil {
			continue
		}
		for c := range ts {
			pairs.Col(c).AppendFrom(pairs.Len(), &have.Cols[c], have.Row(0))
			pairs.Col(len(ts)+c).AppendFrom(pairs.Len(), &rows.Cols[c], i)
		}
		pairs.EndRow(1)
	}
	if look.err != nil {
		return nil, look.err
	}
	put := fresh.Seal()
	delta.AppendBatch(put)
	ret := batch.NewBuilder(ts)
	ret.AppendBatch(put)
	if pairs.Len() > 0 {
		if err := env.resolve(ectx, t, oc, pairs.Seal(), delta, ret); err != nil {
			return nil, err
		}
	}
	out := &change{table: t.Table, delta: batch.Consolidate(delta.View()), returned: ret.Seal()}
	out.count = int64(out.returned.Len())
	return out, checkRows(t.Table, env.lookup(t.Table), out.delta)
}

// resolve computes DO UPDATE over pairs of existing and excluded rows.
func (env *readEnv) resolve(ectx *expr.Ctx, t plan.Target, oc *plan.OnConflict, pairs *batch.Batch, delta, ret *batch.Builder) error {
	if oc.Where != nil {
		p, err := expr.CompilePredicate(oc.Where)
		if err != nil {
			return err
		}
		sel := p.Select(ectx, pairs)
		if err := firstError(ectx); err != nil {
			return err
		}
		pairs.Sel = append(make([]uint32, 0, len(sel)), sel...)
		pairs = batch.Copy(pairs)
	}
	now, err := project(ectx, oc.Set, t.Table.Types(), pairs)
	if err != nil {
		return err
	}
	if now, err = env.fill(t.Table, now); err != nil {
		return err
	}
	if err := checkTarget(ectx, t, now); err != nil {
		return err
	}
	for i := range pairs.N {
		delta.AppendFrom(sliceColumns(pairs, 0, len(t.Table.Columns)), i, -1)
	}
	delta.AppendBatch(now)
	ret.AppendBatch(now)
	return nil
}

// update computes what an UPDATE does.
func (env *readEnv) update(ctx context.Context, p *plan.Update) (*change, error) {
	rows, err := env.query(ctx, p.Query)
	if err != nil {
		return nil, err
	}
	n := len(p.Table.Columns)
	old, now := sliceColumns(rows, 0, n), sliceColumns(rows, n, 2*n)
	if now, err = env.fill(p.Table, now); err != nil {
		return nil, err
	}
	rows = &batch.Batch{N: rows.N, Cols: append(append(slices.Clone(old.Cols), now.Cols...), rows.Cols[2*n:]...), Weights: rows.Weights}
	if err := checkTarget(env.exprCtx(), p.Target, now); err != nil {
		return nil, err
	}
	delta := batch.NewBuilder(p.Table.Types())
	for i := range rows.N {
		delta.AppendFrom(old, i, -rows.Weight(i))
		delta.AppendFrom(now, i, rows.Weight(i))
	}
	ch := &change{table: p.Table, delta: batch.Consolidate(delta.View()), returned: rows, count: sumWeights(rows)}
	return ch, checkRows(p.Table, env.lookup(p.Table), ch.delta)
}

// remove computes what a DELETE does.
func (env *readEnv) remove(ctx context.Context, p *plan.Delete) (*change, error) {
	rows, err := env.query(ctx, p.Query)
	if err != nil {
		return nil, err
	}
	old := sliceColumns(rows, 0, len(p.Table.Columns))
	delta := batch.NewBuilder(p.Table.Types())
	for i := range rows.N {
		delta.AppendFrom(old, i, -rows.Weight(i))
	}
	return &change{table: p.Table, delta: batch.Consolidate(delta.View()), returned: rows, count: sumWeights(rows)}, nil
}

// truncate computes the removal of all rows of a table.
func (env *readEnv) truncate(ctx context.Context, def *catalog.Relation) (*change, error) {
	delta := batch.NewBuilder(def.Types())
	err := env.content(ctx, def.ID, nil, func(b *batch.Batch) error {
		for k := range b.Len() {
			i := b.Row(k)
			delta.AppendFrom(b, i, -b.Weight(i))
		}
		if delta.SizeBytes() > 2*MaxTxBytes {
			return errTooLarge()
		}
		return nil
	})
	return &change{table: def, delta: batch.Consolidate(delta.View())}, err
}

func (env *readEnv) exprCtx() *expr.Ctx {
	return &expr.Ctx{Now: env.now, Zone: env.zone, Params: env.params, Host: host{env.snap}, Random: random}
}

// lookup finds rows of a table as the transaction sees it.
func (env *readEnv) lookup(def *catalog.Relation) *lookup {
	l := newLookup(def, env.snap.Rows(def.ID))
	if b := env.overlay[def.ID]; b != nil {
		sp := newOverlaySpine(def, b)
		l.also(sp)
	}
	return l
}

func sumWeights(b *batch.Batch) int64 {
	if b.Weights == nil {
		return int64(b.Len())
	}
	n := int64(0)
	for k := range b.Len() {
		n += b.Weight(b.Row(k))
	}
	return n
}

// checkTarget checks NOT NULL and CHECK over new rows.
func checkTarget(ctx *expr.Ctx, t plan.Target, rows *batch.Batch) error {
	for _, c := range t.NotNull {
		for k := range rows.Len() {
			if i := rows.Row(k); rows.Cols[c].Null(i) {
				return &types.Error{Code: types.CodeNotNull,
					Message: fmt.Sprintf("null value in column %q of relation %q violates not-null constraint", t.Table.Columns[c].Name, t.Table.Name),
					Detail:  "Failing row contains " + rowText(rows, i, len(t.Table.Columns)) + "."}
			}
		}
	}
	for _, ck := range t.Checks {
		// A row passes unless the check is false: NULL is good enough.
		p, err := expr.CompilePredicate(&expr.IsBool{Arg: ck.Pred, Want: expr.False})
		if err != nil {
			return err
		}
		for _, part := range cutBlocks(rows) {
			bad := p.Select(ctx, part)
			if err := firstError(ctx); err != nil {
				return err
			}
			if len(bad) > 0 {
				return &types.Error{Code: types.CodeCheck,
					Message: fmt.Sprintf("new row for relation %q violates check constraint %q", t.Table.Name, ck.Name),
					Detail:  "Failing row contains " + rowText(part, int(bad[0]), len(t.Table.Columns)) + "."}
			}
		}
	}
	return nil
}

// cutBlocks cuts a batch without Sel into blocks that expressions take.
func cutBlocks(b *batch.Batch) []*batch.Batch {
	if b.N <= batch.BlockRows || b.Sel != nil {
		return []*batch.Batch{b}
	}
	var out []*batch.Batch
	for lo := 0; lo < b.N; lo += batch.BlockRows {
		out = append(out, batch.Slice(b, lo, min(lo+batch.BlockRows, b.N)))
	}
	return out
}

// firstError returns the first evaluation error and forgets all.
func firstError(ctx *expr.Ctx) error {
	if len(ctx.Errs) == 0 {
		return nil
	}
	err := ctx.Errs[0].Err
	ctx.Errs = ctx.Errs[:0]
	return err
}

// project computes expressions over rows; the result is its own copy, with the
// weights of the rows.
func project(ctx *expr.Ctx, es []expr.Expr, ts []types.Type, rows *batch.Batch) (*batch.Batch, error) {
	p, err := expr.Compile(es)
	if err != nil {
		return nil, err
	}
	bu := batch.NewBuilder(ts)
	cols := make([]batch.Column, len(es))
	for _, part := range cutBlocks(rows) {
		if part.Len() == 0 {
			continue
		}
		p.Eval(ctx, part, cols)
		if err := firstError(ctx); err != nil {
			return nil, err
		}
		for k := range part.Len() {
			i := part.Row(k)
			for c := range cols {
				bu.Col(c).AppendFrom(bu.Len(), &cols[c], i)
			}
			bu.EndRow(part.Weight(i))
		}
	}
	return bu.Seal(), nil
}

// returning computes a RETURNING list over the rows of a change.
func (env *readEnv) returning(r *plan.Returning, ch *change) (*rowsCursor, error) {
	cols := columnsOf(r.Columns)
	ts := make([]types.Type, len(cols))
	for i := range ts {
		ts[i] = cols[i].Type
	}
	b, err := project(env.exprCtx(), r.Exprs, ts, ch.returned)
	if err != nil {
		return nil, err
	}
	c := &rowsCursor{cols: cols, rows: b, left: -1}
	for i := range b.N {
		c.order = append(c.order, uint32(i))
	}
	c.open()
	return c, nil
}

func errTooLarge() error {
	return &types.Error{Code: "54000", Message: fmt.Sprintf("transaction is too large: at most %d MB of changes", MaxTxBytes>>20),
		Hint: "Write the rows in several transactions."}
}

// commit gives a transaction's changes to the leader and waits until they are in a
// step. It returns the position in the log up to which they can be seen.
func (e *Engine) commit(ctx context.Context, changes map[catalog.ID]*batch.Batch) (uint64, error) {
	r, err := newTx(changes)
	if err != nil {
		return 0, err
	}
	if len(r.changes) == 0 {
		return e.Snapshot().Seq, nil
	}
	a, err := e.call(ctx, r)
	return a.seq, err
}

// newTx is the request of a transaction.
func newTx(changes map[catalog.ID]*batch.Batch) (*request, error) {
	r := &request{kind: coord.Tx}
	for id, b := range changes {
		if b.Len() > 0 {
			r.changes = append(r.changes, tableChange{id, b})
			r.bytes += b.SizeBytes()
			r.rows += b.Len()
		}
	}
	for _, c := range r.changes {
		for i := range c.rows.N {
			if n := rowSize(c.rows, i); n > MaxRowBytes {
				return nil, &types.Error{Code: "54000", Message: fmt.Sprintf("row is too large: %d bytes, at most %d", n, MaxRowBytes)}
			}
		}
	}
	if r.bytes > MaxTxBytes {
		return nil, errTooLarge()
	}
	r.rows = max(r.rows, int(r.bytes/rowBytes))
	sortBy(r.changes, func(c tableChange) catalog.ID { return c.table })
	return r, nil
}

var _ session.Cursor = (*rowsCursor)(nil)
