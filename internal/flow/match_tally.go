package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// tally computes one aggregate over rows that come and go: one group of the kernels
// that Aggregate uses, so that every aggregate is there, and rows can be taken out.
type tally struct {
	rows   *rowStore
	cols   []int // of the input, that the arguments read
	prog   *expr.Program
	acc    accumulator
	in     *aggInput
	table  *state.Table
	refs   []state.Ref
	hashes []uint64
	block  batch.Batch // gathered rows: only cols are there
	args   batch.Batch
	minus  []int64
	steps  int64

	distinct []int
	filter   int
	types    []types.Type // of the arguments

	// In conditions: what the tally holds. See matcher.total.
	serial int64 // of the search
	gen    int
	hist   int32  // of the thread whose rows are in it
	tried  uint32 // the row that was looked at besides, 0: none
	count  int    // of a tally of all rows: how many
}

// newTally returns a tally of rows of s.
func newTally(s *rowStore, a *MatchAgg) (*tally, error) {
	t := &tally{rows: s, cols: expr.Columns(a.Args...)}
	var err error
	if t.prog, err = expr.Compile(a.Args); err != nil {
		return nil, err
	}
	ts := make([]types.Type, len(a.Args))
	for i, x := range a.Args {
		ts[i] = x.Type()
	}
	call := a.Call
	if t.acc, err = newAccumulator(ts, &call, false); err != nil {
		return nil, err
	}
	var distinct []int
	if call.Distinct && distinctMatters(call.Fn.Op) {
		distinct = call.Args
	}
	t.in = newAggInput(ts, distinct, call.Filter)
	words := countWord + 1
	words += t.acc.place(nil, words)
	t.table = state.New(nil, words)
	t.acc.place(t.table, countWord+1)
	t.block.Cols = typedColumns(s.types)
	t.args.Cols = make([]batch.Column, len(ts))
	t.distinct, t.filter, t.types = distinct, call.Filter, ts
	t.hashes = make([]uint64, batch.BlockRows)
	t.refs = make([]state.Ref, batch.BlockRows)
	one := batch.Batch{N: 1}
	t.table.FindOrInsert(&one, nil, t.hashes[:1], t.refs[:1], nil)
	for i := range t.refs {
		t.refs[i] = t.refs[0]
	}
	t.minus = make([]int64, batch.BlockRows)
	for i := range t.minus {
		t.minus[i] = -1
	}
	return t, nil
}

// add takes rows in, or out if w is -1. It returns the first error of an argument.
func (t *tally) add(ctx *expr.Ctx, ids []uint32, w int64) (failed *types.Error) {
	for len(ids) > 0 {
		n := min(len(ids), batch.BlockRows)
		part := ids[:n]
		ids = ids[n:]
		for _, c := range t.cols {
			t.rows.gather(&t.block.Cols[c], c, part)
		}
		t.block.N = n
		t.prog.Eval(ctx, &t.block, t.args.Cols)
		if len(ctx.Errs) > 0 {
			if failed == nil {
				failed = ctx.Errs[0].Err
			}
			ctx.Errs = ctx.Errs[:0]
		}
		t.args.N, t.args.Weights = n, nil
		if w < 0 {
			t.args.Weights = t.minus[:n]
		}
		t.table.Payload(t.refs[0])[countWord] += uint64(w * int64(n))
		// Each call is a step of its own for what counts distinct values.
		t.steps++
		t.in.begin(t.steps)
		t.in.take(&t.args, t.hashes[:n], t.refs[:n])
		if len(t.in.refs) > 0 {
			t.acc.add(t.in)
		}
	}
	return failed
}

// clear takes all rows out at once.
func (t *tally) clear() {
	t.acc.forget(t.refs[0])
	clear(t.table.Payload(t.refs[0]))
	if t.in.seen != nil {
		t.in = newAggInput(t.types, t.distinct, t.filter)
	}
}

// value appends the result to dst, which holds n values.
func (t *tally) value(dst *batch.Column, n int) *types.Error {
	if errs := t.acc.final(t.refs[:1], dst, n, nil); len(errs) > 0 {
		return errs[0].err
	}
	return nil
}

func (t *tally) bytes() int64 { return t.table.Bytes() + t.acc.bytes() + t.in.bytes() }
