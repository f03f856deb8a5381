// Package oracle computes what a circuit should give, from nothing: it reads whole
// tables of boxed values and evaluates each operator by its definition, row by
// row, without indexes, state or batches of changes. It is slow and simple on
// purpose; tests compare the circuits of package flow with it.
package oracle

import (
	"fmt"
	"slices"
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// Row is a row and how often it is there.
type Row struct {
	V []types.Value
	W int64
}

// Table is a multiset of rows, in any order; a row may be listed several times.
type Table []Row

// Result is what a circuit gives.
type Result struct {
	Outputs map[string]Table // consolidated, in the order of whole rows
	// Errors counts the rows that could not be computed, by operator.
	Errors map[int]int64
}

// Eval evaluates spec over the relations in. ctx is for expressions.
func Eval(spec *flow.Spec, in map[string]Table, ctx *expr.Ctx) (*Result, error) {
	o := &eval{ctx: ctx, res: &Result{Outputs: map[string]Table{}, Errors: map[int]int64{}}}
	tables := make([]Table, len(spec.Nodes))
	for i := range spec.Nodes {
		n := &spec.Nodes[i]
		o.node, o.out = i, n.Out
		o.in = nil
		args := make([]Table, len(n.In))
		for k, x := range n.In {
			args[k] = tables[x]
			o.in = append(o.in, spec.Nodes[x].Out)
		}
		t, err := o.op(n.Op, args, in)
		if err != nil {
			return nil, fmt.Errorf("oracle node %d, %s: %w", i, n.Op.Describe(), err)
		}
		tables[i] = Consolidate(t)
	}
	return o.res, nil
}

type eval struct {
	ctx  *expr.Ctx
	res  *Result
	node int
	in   [][]types.Type
	out  []types.Type
}

func (o *eval) op(op flow.Op, args []Table, in map[string]Table) (Table, error) {
	switch op := op.(type) {
	case *flow.Input:
		return in[op.Rel], nil
	case *flow.Values:
		return FromBatch(op.Rows), nil
	case *flow.Filter:
		return o.filter(args[0], op.Pred), nil
	case *flow.Project:
		return o.project(args[0], op.Exprs), nil
	case *flow.ProjectSet:
		return o.projectSet(args[0], op)
	case *flow.Window:
		return window(args[0], op), nil
	case *flow.AsOf:
		return o.asOf(args[0], args[1], op), nil
	case *flow.TimeFilter:
		return o.timeFilter(args[0], op), nil
	case *flow.Lookup:
		return o.lookup(args[0], args[1], op), nil
	case *flow.Buckets:
		return buckets(args[0], op), nil
	case *flow.Union:
		return slices.Concat(args...), nil
	case *flow.Exchange:
		return args[0], nil
	case *flow.Distinct:
		return distinct(args[0]), nil
	case *flow.SetOp:
		return setOp(args[0], args[1], op), nil
	case *flow.Join:
		return o.join(args[0], args[1], op), nil
	case *flow.Aggregate:
		return o.aggregate(args[0], op)
	case *flow.Match:
		return o.matchRows(args[0], op)
	case *flow.TopN:
		return topN(args[0], op), nil
	case *flow.Over:
		return o.over(args[0], op)
	case *flow.Session:
		return session(args[0], op), nil
	case *flow.Finalize: // once all marks are final
		return args[0], nil
	case *flow.Output:
		o.res.Outputs[op.Name] = args[0]
		return args[0], nil
	}
	return nil, fmt.Errorf("the oracle does not know %T", op)
}

// FromBatch boxes a batch.
func FromBatch(b *batch.Batch) Table {
	var t Table
	for k := range b.Len() {
		i := b.Row(k)
		t = append(t, Row{b.RowValues(i), b.Weight(i)})
	}
	return t
}

// ToBatch unboxes a table.
func ToBatch(ts []types.Type, t Table) *batch.Batch {
	bu := batch.NewBuilder(ts)
	for _, r := range t {
		bu.AppendRow(r.V, r.W)
	}
	return bu.Seal()
}

// Consolidate adds up identical rows, drops those of weight 0, and sorts.
func Consolidate(t Table) Table {
	t = slices.Clone(t)
	sort.SliceStable(t, func(i, j int) bool { return CompareRows(t[i].V, t[j].V) < 0 })
	var out Table
	for i := 0; i < len(t); {
		r := t[i]
		for i++; i < len(t) && CompareRows(r.V, t[i].V) == 0; i++ {
			r.W += t[i].W
		}
		if r.W != 0 {
			out = append(out, r)
		}
	}
	return out
}

// one boxes v in a column of one row, so that batch's order applies.
func one(v types.Value) *batch.Column {
	c := &batch.Column{Type: v.T}
	c.AppendValue(0, v)
	return c
}

// Compare orders two values of one type as SQL does, with NULLs as k says.
func Compare(a, b types.Value, k batch.Key) int {
	return batch.CompareColumns(one(a), 0, one(b), 0, k)
}

// CompareRows orders whole rows; it is 0 only for rows that also print alike.
func CompareRows(a, b []types.Value) int {
	return batch.CompareWhole(rowBatch(a), 0, rowBatch(b), 0)
}

func rowBatch(row []types.Value) *batch.Batch {
	b := &batch.Batch{N: 1}
	for _, v := range row {
		b.Cols = append(b.Cols, *one(v))
	}
	return b
}

// equal reports whether two rows are equal in SQL, NULLs included.
func equal(a, b []types.Value) bool {
	for i := range a {
		if Compare(a[i], b[i], batch.Key{}) != 0 {
			return false
		}
	}
	return true
}

func (o *eval) fail(w int64) { o.res.Errors[o.node] += w }

func (o *eval) filter(t Table, pred expr.Expr) Table {
	var out Table
	for _, r := range t {
		v, err := EvalRow(o.ctx, pred, r.V)
		switch {
		case err != nil:
			o.fail(r.W)
		case !v.Null && v.I != 0:
			out = append(out, r)
		}
	}
	return out
}

func (o *eval) project(t Table, es []expr.Expr) Table {
	var out Table
next:
	for _, r := range t {
		row := make([]types.Value, len(es))
		for i, e := range es {
			v, err := EvalRow(o.ctx, e, r.V)
			if err != nil {
				o.fail(r.W)
				continue next
			}
			v.T = o.out[i]
			row[i] = v
		}
		out = append(out, Row{row, r.W})
	}
	return out
}

func window(t Table, op *flow.Window) Table {
	var out Table
	for _, r := range t {
		at := r.V[op.Time]
		if at.Null {
			continue
		}
		// Walk down from a window that starts after the time.
		start := op.Offset + ((at.I-op.Offset)/op.Slide+2)*op.Slide
		for ; start > at.I-op.Size; start -= op.Slide {
			for size := op.Size; op.Step > 0 && start <= at.I && start+size > at.I; size -= op.Step {
				b, e := at, at
				b.I, e.I = start, start+size
				out = append(out, Row{append(slices.Clone(r.V), b, e), r.W})
			}
			if start <= at.I && op.Step == 0 {
				b, e := at, at
				b.I, e.I = start, start+op.Size
				out = append(out, Row{append(slices.Clone(r.V), b, e), r.W})
			}
		}
	}
	return out
}

// group collects rows that are equal in the given columns.
func group(t Table, cols []int) [][]Row {
	var groups [][]Row
next:
	for _, r := range t {
		for g := range groups {
			if equal(pick(r.V, cols), pick(groups[g][0].V, cols)) {
				groups[g] = append(groups[g], r)
				continue next
			}
		}
		groups = append(groups, []Row{r})
	}
	return groups
}

func pick(row []types.Value, cols []int) []types.Value {
	out := make([]types.Value, len(cols))
	for i, c := range cols {
		out[i] = row[c]
	}
	return out
}

func allColumns(t Table) []int {
	if len(t) == 0 {
		return nil
	}
	cols := make([]int, len(t[0].V))
	for i := range cols {
		cols[i] = i
	}
	return cols
}

// weigh returns the first of equal rows in the order of whole rows, and the sum of
// their weights. Tables are consolidated, so the rows are in that order.
func weigh(rows []Row) (Row, int64) {
	sum := int64(0)
	for _, r := range rows {
		sum += r.W
	}
	return rows[0], sum
}

func distinct(t Table) Table {
	var out Table
	for _, g := range group(t, allColumns(t)) {
		if r, w := weigh(g); w > 0 {
			out = append(out, Row{r.V, 1})
		}
	}
	return out
}

func setOp(l, r Table, op *flow.SetOp) Table {
	var out Table
	for _, g := range group(l, allColumns(l)) {
		first, lw := weigh(g)
		rw := int64(0)
		for _, x := range r {
			if equal(x.V, first.V) {
				rw += x.W
			}
		}
		n := int64(0)
		switch {
		case op.Except && op.All:
			n = lw - rw
		case op.Except && rw == 0:
			n = 1
		case !op.Except && op.All:
			n = min(lw, rw)
		case !op.Except && rw > 0:
			n = 1
		}
		if n > 0 {
			out = append(out, Row{first.V, n})
		}
	}
	return out
}
