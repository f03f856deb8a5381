package oracle

import (
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// join compares every left row with every right row.
func (o *eval) join(l, r Table, op *flow.Join) Table {
	var out Table
	rightMatched := make([]bool, len(r))
	for _, a := range l {
		matched, unsure := false, false
		for k, b := range r {
			switch o.match(a, b, op) {
			case yes:
				matched, rightMatched[k] = true, true
				if op.Kind <= flow.JoinFull {
					out = append(out, Row{slices.Concat(a.V, b.V), a.W * b.W})
				}
			case unknown:
				unsure = true
			}
		}
		switch op.Kind {
		case flow.JoinLeft, flow.JoinFull:
			if !matched {
				out = append(out, Row{slices.Concat(a.V, nulls(o.in[1])), a.W})
			}
		case flow.JoinSemi:
			if matched {
				out = append(out, a)
			}
		case flow.JoinAnti:
			if !matched {
				out = append(out, a)
			}
		case flow.JoinAntiNull:
			if !matched && !unsure {
				out = append(out, a)
			}
		}
	}
	if op.Kind == flow.JoinRight || op.Kind == flow.JoinFull {
		for k, b := range r {
			if !rightMatched[k] {
				out = append(out, Row{slices.Concat(nulls(o.in[0]), b.V), b.W})
			}
		}
	}
	return out
}

func nulls(ts []types.Type) []types.Value {
	out := make([]types.Value, len(ts))
	for i, t := range ts {
		out[i] = types.NullOf(t)
	}
	return out
}

type answer int

const (
	no answer = iota
	yes
	unknown // NOT IN's: everything agrees but the tested column, which is NULL on a side
)

func (o *eval) match(a, b Row, op *flow.Join) answer {
	res := yes
	for i, k := range op.LeftKeys {
		x, y := a.V[k], b.V[op.RightKeys[i]]
		tested := op.Kind == flow.JoinAntiNull && i == len(op.LeftKeys)-1
		switch {
		case tested && (x.Null || y.Null):
			res = unknown
		case (x.Null || y.Null) && !op.NullSafe, Compare(x, y, batch.Key{}) != 0:
			return no
		}
	}
	if op.On != nil {
		v, err := EvalRow(o.ctx, op.On, slices.Concat(a.V, b.V))
		if err != nil {
			o.fail(a.W * b.W)
			return no
		}
		if v.Null || v.I == 0 {
			return no
		}
	}
	return res
}

// EvalRow evaluates e over one row: its columns are replaced by the row's values,
// and what is left is a constant.
func EvalRow(ctx *expr.Ctx, e expr.Expr, row []types.Value) (types.Value, error) {
	return expr.EvalConst(ctx, bind(e, row))
}

func bind(e expr.Expr, row []types.Value) expr.Expr {
	all := func(es []expr.Expr) []expr.Expr {
		out := make([]expr.Expr, len(es))
		for i := range es {
			out[i] = bind(es[i], row)
		}
		return out
	}
	switch e := e.(type) {
	case expr.Col:
		v := row[e.Index]
		v.T = e.T
		return expr.Const{V: v}
	case *expr.Call:
		return &expr.Call{Fn: e.Fn, Args: all(e.Args), T: e.T}
	case *expr.Cast:
		return &expr.Cast{Arg: bind(e.Arg, row), T: e.T, Explicit: e.Explicit}
	case *expr.Logic:
		return &expr.Logic{Or: e.Or, Args: all(e.Args)}
	case *expr.Not:
		return &expr.Not{Arg: bind(e.Arg, row)}
	case *expr.IsNull:
		return &expr.IsNull{Arg: bind(e.Arg, row), Negate: e.Negate}
	case *expr.IsBool:
		return &expr.IsBool{Arg: bind(e.Arg, row), Want: e.Want, Negate: e.Negate}
	case *expr.Distinct:
		return &expr.Distinct{L: bind(e.L, row), R: bind(e.R, row), Negate: e.Negate}
	case *expr.Case:
		c := &expr.Case{T: e.T}
		for _, w := range e.Whens {
			c.Whens = append(c.Whens, expr.When{Cond: bind(w.Cond, row), Then: bind(w.Then, row)})
		}
		if e.Else != nil {
			c.Else = bind(e.Else, row)
		}
		return c
	case *expr.Coalesce:
		return &expr.Coalesce{Args: all(e.Args), T: e.T}
	case *expr.InList:
		in := *e
		in.Arg = bind(e.Arg, row)
		return &in
	}
	return e // constants, parameters and now()
}
