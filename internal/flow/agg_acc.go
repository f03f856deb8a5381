package flow

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// newAccumulator returns the kernel of a call over rows of the types in, of which
// none ever goes if appendOnly. What it keeps beside the groups' words is in mem.
func newAccumulator(mem *state.Memory, in []types.Type, call *AggCall, appendOnly bool) (accumulator, error) {
	if call.Fn.Op == expr.AggCountStar || call.Fn.Op == expr.AggCount && len(call.Args) == 0 {
		return &aggCount{col: -1, rows: call.Filter < 0 && !call.Distinct}, nil
	}
	if len(call.Args) == 0 {
		return nil, fmt.Errorf("has no argument")
	}
	col := call.Args[0]
	t := in[col]
	if t.Layout() == types.LayoutNone && call.Fn.Op != expr.AggCount {
		return &aggNull{}, nil
	}
	switch call.Fn.Op {
	case expr.AggCount:
		return &aggCount{col: col}, nil
	case expr.AggSum, expr.AggAvg:
		return newSum(mem, t, call, call.Fn.Op == expr.AggAvg)
	case expr.AggMin, expr.AggAnyValue:
		return newExtreme(mem, t, col, false, appendOnly), nil
	case expr.AggMax:
		return newExtreme(mem, t, col, true, appendOnly), nil
	case expr.AggBoolAnd, expr.AggBoolOr:
		return &aggBool{col: col, or: call.Fn.Op == expr.AggBoolOr}, nil
	case expr.AggSingle:
		return newSingle(mem, t, col), nil
	case expr.AggStringAgg:
		return newStringAgg(mem, in, call), nil
	case expr.AggVarPop, expr.AggVarSamp, expr.AggStddevPop, expr.AggStddevSamp:
		return newVariance(mem, t, call)
	}
	return nil, fmt.Errorf("is not known: operation %d", call.Fn.Op)
}

func newSum(mem *state.Memory, t types.Type, call *AggCall, avg bool) (accumulator, error) {
	col, dec := call.Args[0], call.Ret.Layout() == types.LayoutDec
	switch t.Layout() {
	case types.LayoutInt:
		if dec || !avg && call.Ret.Layout() == types.LayoutInt {
			return &aggSumInt{col: col, avg: avg, dec: dec, kind: call.Ret.Kind}, nil
		}
	case types.LayoutFloat:
		if call.Ret.Layout() == types.LayoutFloat {
			return &aggSumFloat{col: col, avg: avg, single: call.Ret.Kind == types.Float4, exact: newExactSums(mem)}, nil
		}
	case types.LayoutDec:
		if dec {
			return &aggSumDec{col: col, avg: avg, sums: newDecSums(mem)}, nil
		}
	case types.LayoutIvl:
		if call.Ret.Layout() == types.LayoutIvl {
			return &aggSumIvl{col: col, avg: avg}, nil
		}
	}
	return nil, fmt.Errorf("has no kernel from layout %d to layout %d", t.Layout(), call.Ret.Layout())
}

// words is where an accumulator's words are: embedded by most of them.
type words struct {
	groups *state.Table
	at     int
}

func (w *words) set(groups *state.Table, at, n int) int {
	w.groups, w.at = groups, at
	return n
}

// of returns the payload of a group from the accumulator's first word on, for reading
// and, since who calls add and forget has touched the group, there for writing.
func (w *words) of(r state.Ref) []uint64 { return w.groups.Payload(r)[w.at:] }

func (w *words) forget(state.Ref)       {}
func (w *words) bytes() int64           { return 0 }
func (w *words) persist(*state.Persist) {}

// aggNull is an aggregate of values that are all NULL.
type aggNull struct{ words }

func (a *aggNull) place(groups *state.Table, at int) int { return a.set(groups, at, 0) }
func (a *aggNull) add(*aggInput)                         {}
func (a *aggNull) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	for k := range refs {
		dst.AppendNull(n + k)
	}
	return errs
}

// aggCount counts rows, or values that are not NULL.
type aggCount struct {
	words
	col  int  // -1: rows
	rows bool // all rows of the group, which the operator counts anyway
}

func (a *aggCount) place(groups *state.Table, at int) int {
	if a.rows {
		return a.set(groups, countWord, 0)
	}
	return a.set(groups, at, 1)
}

func (a *aggCount) add(in *aggInput) {
	if a.rows {
		return
	}
	var col *batch.Column
	if a.col >= 0 {
		col = &in.b.Cols[a.col]
	}
	for k, r := range in.refs {
		i := in.b.Row(k)
		if col == nil || !col.Null(i) {
			a.of(r)[0] += uint64(in.b.Weight(i))
		}
	}
}

func (a *aggCount) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	if dst.Valid == nil {
		for _, r := range refs {
			dst.I64 = append(dst.I64, int64(a.of(r)[0]))
		}
		return errs
	}
	for k, r := range refs {
		dst.AppendInt(n+k, int64(a.of(r)[0]))
	}
	return errs
}

// aggBool is bool_and and bool_or: words are the numbers of false and of true values.
type aggBool struct {
	words
	col int
	or  bool
}

func (a *aggBool) place(groups *state.Table, at int) int { return a.set(groups, at, 2) }

func (a *aggBool) add(in *aggInput) {
	col := &in.b.Cols[a.col]
	for k, r := range in.refs {
		if i := in.b.Row(k); !col.Null(i) {
			a.of(r)[col.U8[i]&1] += uint64(in.b.Weight(i))
		}
	}
}

func (a *aggBool) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	for k, r := range refs {
		w := a.of(r)
		no, yes := int64(w[0]) > 0, int64(w[1]) > 0
		switch {
		case !no && !yes:
			dst.AppendNull(n + k)
		case a.or:
			dst.AppendBool(n+k, yes)
		default:
			dst.AppendBool(n+k, !no)
		}
	}
	return errs
}
