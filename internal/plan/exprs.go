package plan

import (
	"math"
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// children lists the direct arguments of an expression.
func children(e expr.Expr) []expr.Expr {
	switch e := e.(type) {
	case *expr.Call:
		return e.Args
	case *expr.Cast:
		return []expr.Expr{e.Arg}
	case *expr.Logic:
		return e.Args
	case *expr.Not:
		return []expr.Expr{e.Arg}
	case *expr.IsNull:
		return []expr.Expr{e.Arg}
	case *expr.IsBool:
		return []expr.Expr{e.Arg}
	case *expr.Distinct:
		return []expr.Expr{e.L, e.R}
	case *expr.Case:
		var out []expr.Expr
		for _, w := range e.Whens {
			out = append(out, w.Cond, w.Then)
		}
		if e.Else != nil {
			out = append(out, e.Else)
		}
		return out
	case *expr.Coalesce:
		return e.Args
	case *expr.InList:
		return []expr.Expr{e.Arg}
	}
	return nil
}

// walkExpr calls f for e and everything below it, parents first.
func walkExpr(e expr.Expr, f func(expr.Expr)) {
	f(e)
	for _, c := range children(e) {
		walkExpr(c, f)
	}
}

// rewriteExpr rebuilds e from the leaves up: f may replace any node whose
// arguments are already rewritten.
func rewriteExpr(e expr.Expr, f func(expr.Expr) expr.Expr) expr.Expr {
	return f(mapChildren(e, func(c expr.Expr) expr.Expr { return rewriteExpr(c, f) }))
}

func mapAll(es []expr.Expr, f func(expr.Expr) expr.Expr) []expr.Expr {
	out := make([]expr.Expr, len(es))
	for i, e := range es {
		out[i] = f(e)
	}
	return out
}

// mapChildren returns a copy of e with f applied to its direct arguments.
func mapChildren(e expr.Expr, f func(expr.Expr) expr.Expr) expr.Expr {
	switch e := e.(type) {
	case *expr.Call:
		n := *e
		n.Args = mapAll(e.Args, f)
		return &n
	case *expr.Cast:
		n := *e
		n.Arg = f(e.Arg)
		return &n
	case *expr.Logic:
		n := *e
		n.Args = mapAll(e.Args, f)
		return &n
	case *expr.Not:
		return &expr.Not{Arg: f(e.Arg)}
	case *expr.IsNull:
		return &expr.IsNull{Arg: f(e.Arg), Negate: e.Negate}
	case *expr.IsBool:
		n := *e
		n.Arg = f(e.Arg)
		return &n
	case *expr.Distinct:
		return &expr.Distinct{L: f(e.L), R: f(e.R), Negate: e.Negate}
	case *expr.Case:
		n := &expr.Case{T: e.T, Whens: make([]expr.When, len(e.Whens))}
		for i, w := range e.Whens {
			n.Whens[i] = expr.When{Cond: f(w.Cond), Then: f(w.Then)}
		}
		if e.Else != nil {
			n.Else = f(e.Else)
		}
		return n
	case *expr.Coalesce:
		return &expr.Coalesce{Args: mapAll(e.Args, f), T: e.T}
	case *expr.InList:
		n := *e
		n.Arg = f(e.Arg)
		return &n
	}
	return e
}

// substitute replaces columns.
func substitute(e expr.Expr, m map[int]expr.Expr) expr.Expr {
	return rewriteExpr(e, func(x expr.Expr) expr.Expr {
		if c, ok := x.(expr.Col); ok {
			if r, ok := m[c.Index]; ok {
				return r
			}
		}
		return x
	})
}

// exprCols lists the columns of e in order of first use.
func exprCols(es ...expr.Expr) []int {
	var out []int
	for _, e := range es {
		walkExpr(e, func(x expr.Expr) {
			if c, ok := x.(expr.Col); ok && !slices.Contains(out, c.Index) {
				out = append(out, c.Index)
			}
		})
	}
	return out
}

// hasVolatile reports whether e may differ at each evaluation.
func hasVolatile(e expr.Expr) bool {
	v := false
	walkExpr(e, func(x expr.Expr) {
		if c, ok := x.(*expr.Call); ok && c.Fn.Volatility == expr.Volatile {
			v = true
		}
	})
	return v
}

// isConst reports whether e has no columns, so that it is one value a statement.
func isConst(e expr.Expr) bool {
	c := true
	walkExpr(e, func(x expr.Expr) {
		if _, ok := x.(expr.Col); ok {
			c = false
		}
	})
	return c
}

func isNullConst(e expr.Expr) bool {
	c, ok := e.(expr.Const)
	return ok && c.V.Null
}

func isTrue(e expr.Expr) bool {
	c, ok := e.(expr.Const)
	return ok && !c.V.Null && c.V.T.Kind == types.Bool && c.V.I != 0
}

// sameExpr reports whether a and b are the same computation.
func sameExpr(a, b expr.Expr) bool {
	if a.Type() != b.Type() {
		return false
	}
	switch x := a.(type) {
	case expr.Col:
		y, ok := b.(expr.Col)
		return ok && x.Index == y.Index
	case expr.Const:
		y, ok := b.(expr.Const)
		return ok && sameValue(x.V, y.V)
	case expr.Param:
		y, ok := b.(expr.Param)
		return ok && x.Index == y.Index
	case expr.Now:
		_, ok := b.(expr.Now)
		return ok
	case *expr.Call:
		y, ok := b.(*expr.Call)
		return ok && x.Fn == y.Fn && x.Fn.Volatility != expr.Volatile && sameAll(x.Args, y.Args)
	case *expr.Cast:
		y, ok := b.(*expr.Cast)
		return ok && x.Explicit == y.Explicit && sameExpr(x.Arg, y.Arg)
	case *expr.Logic:
		y, ok := b.(*expr.Logic)
		return ok && x.Or == y.Or && sameAll(x.Args, y.Args)
	case *expr.IsNull:
		y, ok := b.(*expr.IsNull)
		return ok && x.Negate == y.Negate && sameExpr(x.Arg, y.Arg)
	case *expr.IsBool:
		y, ok := b.(*expr.IsBool)
		return ok && x.Want == y.Want && x.Negate == y.Negate && sameExpr(x.Arg, y.Arg)
	case *expr.Distinct:
		y, ok := b.(*expr.Distinct)
		return ok && x.Negate == y.Negate && sameExpr(x.L, y.L) && sameExpr(x.R, y.R)
	case *expr.InList:
		y, ok := b.(*expr.InList)
		return ok && x.Negate == y.Negate && x.HasNull == y.HasNull && slices.EqualFunc(x.List, y.List, sameValue) && sameExpr(x.Arg, y.Arg)
	case *expr.Case:
		y, ok := b.(*expr.Case)
		return ok && len(x.Whens) == len(y.Whens) && (x.Else == nil) == (y.Else == nil) && sameAll(children(x), children(y))
	case *expr.Not:
		y, ok := b.(*expr.Not)
		return ok && sameExpr(x.Arg, y.Arg)
	case *expr.Coalesce:
		y, ok := b.(*expr.Coalesce)
		return ok && sameAll(x.Args, y.Args)
	}
	return false
}

// sameValue reports whether a and b are one value: NaN is itself, and 0 is not -0.
func sameValue(a, b types.Value) bool {
	if math.Float64bits(a.F) != math.Float64bits(b.F) {
		return false
	}
	a.F, b.F = 0, 0
	return a == b
}

func sameAll(a, b []expr.Expr) bool { return slices.EqualFunc(a, b, sameExpr) }

// conjuncts splits top-level ANDs and drops constant TRUE.
func conjuncts(es ...expr.Expr) []expr.Expr {
	var out []expr.Expr
	for _, e := range es {
		if l, ok := e.(*expr.Logic); ok && !l.Or {
			out = append(out, conjuncts(l.Args...)...)
		} else if !isTrue(e) {
			out = append(out, e)
		}
	}
	return out
}

// andOf joins conjuncts; nil for none.
func andOf(es []expr.Expr) expr.Expr {
	switch len(es) {
	case 0:
		return nil
	case 1:
		return es[0]
	}
	return &expr.Logic{Args: es}
}
