package plan

import (
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// The contexts of casts, for short.
const (
	castImplicit   = types.CastImplicit
	castAssignment = types.CastAssignment
	castExplicit   = types.CastExplicit
)

type castContext = types.CastContext

func isString(k types.Kind) bool { return types.IsString(k) }

// castable reports whether from may become to where ctx says.
func castable(from, to types.Type, ctx castContext) bool { return types.CanCastType(from, to, ctx) }

// convert makes e a value of type t, which castable allowed. Literals without a
// type are read as t, and parameters without a type become t.
func (b *binder) convert(e expr.Expr, t types.Type, ctx castContext, pos int) expr.Expr {
	from := e.Type()
	if t.Kind == types.Unknown || t == from {
		return e
	}
	if from.Kind == types.Unknown {
		switch x := e.(type) {
		case expr.Param:
			return b.paramOfType(x, t, ctx, pos)
		case expr.Const:
			if x.V.Null {
				return expr.Const{V: types.NullOf(t)}
			}
			return b.literal(x.V.S, t, ctx, pos)
		}
		// A column of an untyped literal in a subquery is text by now.
		fail(pos, types.CodeDatatypeMismatch, "failed to find conversion function from unknown to %s", typeName(t))
	}
	if from.Kind == t.Kind && from.Elem == t.Elem && t.Mod == 0 {
		return e // a modifier is lost without a conversion
	}
	if c, ok := e.(expr.Const); ok && c.V.Null {
		return expr.Const{V: types.NullOf(t)}
	}
	if t.Kind == types.Regclass && isString(from.Kind) {
		c, ok := e.(expr.Const)
		if !ok {
			unsupported(pos, "a cast from %s to regclass of anything but a literal", typeName(from))
		}
		return b.regclass(c.V.S, pos)
	}
	return b.foldAt(&expr.Cast{Arg: e, T: t, Explicit: ctx == castExplicit}, pos)
}

// literal reads an untyped literal as a value of type t; errors point at it.
func (b *binder) literal(s string, t types.Type, ctx castContext, pos int) expr.Expr {
	switch t.Kind {
	case types.Text:
		return expr.Const{V: types.TextValue(s)}
	case types.Regclass:
		return b.regclass(s, pos)
	}
	v, err := expr.EvalConst(b.constCtx(), &expr.Cast{Arg: expr.Const{V: types.TextValue(s)}, T: t, Explicit: ctx == castExplicit})
	check(pos, err)
	return expr.Const{V: v}
}

// coerce is convert with the error of PostgreSQL where no cast exists.
func (b *binder) coerce(e expr.Expr, t types.Type, ctx castContext, pos int) expr.Expr {
	if !castable(e.Type(), t, ctx) {
		fail(pos, "42846", "cannot cast type %s to %s", typeName(e.Type()), typeName(t))
	}
	return b.convert(e, t, ctx, pos)
}

// paramOfType gives a parameter its type at its first use with one.
func (b *binder) paramOfType(x expr.Param, t types.Type, ctx castContext, pos int) expr.Expr {
	have := b.params[x.Index]
	if have.Kind == types.Unknown {
		have = types.Type{Kind: t.Kind, Elem: t.Elem}
		b.params[x.Index] = have
	}
	p := expr.Param{Index: x.Index, T: have}
	if have == t {
		return p
	}
	if !castable(have, t, ctx) {
		fail(pos, "42P08", "inconsistent types deduced for parameter $%d: %s versus %s", x.Index+1, typeName(have), typeName(t))
	}
	return b.convert(p, t, ctx, pos)
}

// settle gives a type to what is still unknown: text.
func (b *binder) settle(e expr.Expr, pos int) expr.Expr {
	if e.Type().Kind == types.Unknown {
		return b.convert(e, types.T(types.Text), castImplicit, pos)
	}
	return e
}

// boolean makes e a condition of the clause.
func (b *binder) boolean(e expr.Expr, clause string, pos int) expr.Expr {
	if k := e.Type().Kind; k != types.Bool && k != types.Unknown {
		fail(pos, types.CodeDatatypeMismatch, "argument of %s must be type boolean, not type %s", clause, typeName(e.Type()))
	}
	return b.convert(e, types.T(types.Bool), castImplicit, pos)
}

// unify converts all of es to their common type, as CASE, UNION and VALUES do.
func (b *binder) unify(what string, es []expr.Expr, poss []int) ([]expr.Expr, types.Type) {
	ts := make([]types.Type, len(es))
	for i, e := range es {
		ts[i] = e.Type()
	}
	t := b.commonType(what, ts, poss)
	out := make([]expr.Expr, len(es))
	for i, e := range es {
		if !castable(e.Type(), t, castImplicit) {
			fail(poss[i], types.CodeDatatypeMismatch, "%s could not convert type %s to %s", what, typeName(e.Type()), typeName(t))
		}
		out[i] = b.convert(e, t, castImplicit, poss[i])
	}
	return out, t
}

// commonType is PostgreSQL's resolution for UNION, CASE and the like; the error
// is at the first that does not fit.
func (b *binder) commonType(what string, ts []types.Type, poss []int) types.Type {
	t, err := expr.UnifyTypes(what, ts)
	if err != nil {
		for n := 2; n < len(ts); n++ {
			_, first := expr.UnifyTypes(what, ts[:n])
			check(poss[n-1], first)
		}
		check(poss[len(poss)-1], err)
	}
	if t.Kind == types.Unknown {
		t = types.T(types.Text)
	}
	return t
}

// constCtx is what constants are computed in: the session's zone, but UTC in a
// view that is kept up to date, which has no session.
func (b *binder) constCtx() *expr.Ctx {
	if b.inView {
		return &expr.Ctx{}
	}
	return &expr.Ctx{Zone: b.p.Session.Zone}
}

// fold computes an expression of constants ahead of time. One that goes wrong
// stays as it is: it may never be reached.
func (b *binder) fold(e expr.Expr) expr.Expr {
	v, err, ok := b.tryFold(e)
	if !ok || err != nil {
		return e
	}
	return expr.Const{V: v}
}

// foldAt is fold for a conversion at pos, whose error is reported at once.
func (b *binder) foldAt(e expr.Expr, pos int) expr.Expr {
	v, err, ok := b.tryFold(e)
	if !ok {
		return e
	}
	check(pos, err)
	return expr.Const{V: v}
}

func (b *binder) tryFold(e expr.Expr) (v types.Value, err error, ok bool) {
	for _, c := range children(e) {
		if _, ok := c.(expr.Const); !ok {
			return v, nil, false
		}
	}
	switch x := e.(type) {
	case expr.Col, expr.Param, expr.Const, expr.Now:
		return v, nil, false
	case *expr.Call:
		if x.Fn.Volatility != expr.Immutable {
			return v, nil, false
		}
	}
	v, err = expr.EvalConst(b.constCtx(), e)
	if err == nil {
		v.T = e.Type()
	}
	return v, err, true
}
