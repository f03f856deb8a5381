package expr

import "slices"

// Children returns the direct arguments of e, freshly allocated.
func Children(e Expr) []Expr {
	switch e := e.(type) {
	case *Call:
		return slices.Clone(e.Args)
	case *Cast:
		return []Expr{e.Arg}
	case *Logic:
		return slices.Clone(e.Args)
	case *Not:
		return []Expr{e.Arg}
	case *IsNull:
		return []Expr{e.Arg}
	case *IsBool:
		return []Expr{e.Arg}
	case *Distinct:
		return []Expr{e.L, e.R}
	case *Case:
		var out []Expr
		for _, w := range e.Whens {
			out = append(out, w.Cond, w.Then)
		}
		if e.Else != nil {
			out = append(out, e.Else)
		}
		return out
	case *Coalesce:
		return slices.Clone(e.Args)
	case *InList:
		return []Expr{e.Arg}
	}
	return nil
}

// Walk calls f for e and, where f returned true, for everything below it, parents first.
func Walk(e Expr, f func(Expr) bool) {
	if !f(e) {
		return
	}
	for _, c := range Children(e) {
		Walk(c, f)
	}
}

// Transform rebuilds e from the leaves up: f may replace any node, whose
// arguments are already transformed. e itself is not changed.
func Transform(e Expr, f func(Expr) Expr) Expr {
	kids := Children(e)
	for i, c := range kids {
		kids[i] = Transform(c, f)
	}
	return f(withChildren(e, kids))
}

// withChildren returns e with other direct arguments, in the order of Children.
func withChildren(e Expr, kids []Expr) Expr {
	switch e := e.(type) {
	case *Call:
		return &Call{Fn: e.Fn, Args: kids, T: e.T}
	case *Cast:
		return &Cast{Arg: kids[0], T: e.T, Explicit: e.Explicit}
	case *Logic:
		return &Logic{Or: e.Or, Args: kids}
	case *Not:
		return &Not{Arg: kids[0]}
	case *IsNull:
		return &IsNull{Arg: kids[0], Negate: e.Negate}
	case *IsBool:
		return &IsBool{Arg: kids[0], Want: e.Want, Negate: e.Negate}
	case *Distinct:
		return &Distinct{L: kids[0], R: kids[1], Negate: e.Negate}
	case *Case:
		n := &Case{T: e.T, Whens: make([]When, len(e.Whens))}
		for i := range n.Whens {
			n.Whens[i] = When{Cond: kids[2*i], Then: kids[2*i+1]}
		}
		if e.Else != nil {
			n.Else = kids[len(kids)-1]
		}
		return n
	case *Coalesce:
		return &Coalesce{Args: kids, T: e.T}
	case *InList:
		return &InList{Arg: kids[0], List: e.List, HasNull: e.HasNull, Negate: e.Negate}
	}
	return e
}

// Columns returns the columns that es read, ascending, each once.
func Columns(es ...Expr) []int {
	var out []int
	for _, e := range es {
		Walk(e, func(x Expr) bool {
			if c, ok := x.(Col); ok {
				out = append(out, c.Index)
			}
			return true
		})
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// IsConst reports whether e has neither columns nor volatile functions, so that it
// is one value a statement.
func IsConst(e Expr) bool {
	ok := true
	Walk(e, func(x Expr) bool {
		if _, col := x.(Col); col {
			ok = false
		}
		return ok
	})
	return ok && !HasVolatile(e)
}

// HasVolatile reports whether e may differ at each evaluation.
func HasVolatile(e Expr) bool {
	v := false
	Walk(e, func(x Expr) bool {
		if c, ok := x.(*Call); ok && c.Fn.Volatility == Volatile {
			v = true
		}
		return !v
	})
	return v
}

// Equal reports whether a and b print alike: the same computation over the same input.
func Equal(a, b Expr) bool {
	return sameType(a.Type(), b.Type()) && a.Type().Mod == b.Type().Mod && a.String() == b.String()
}
