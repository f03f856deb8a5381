package plan

import (
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// joinKeys sorts a join's conditions into keys and the rest.
type joinKeys struct {
	l, r     []expr.Expr // pairs of equal keys
	on       []expr.Expr
	nullSafe bool
}

// keysOf finds the keys of a join. NULLs match in all of the keys or in none:
// where some must, equalities stand beside the keys as conditions, too.
func (e *emitter) keysOf(x *join) joinKeys {
	var k joinKeys
	l, r := setOf(x.l.out()), setOf(x.r.out())
	for _, s := range x.same {
		k.l, k.r = append(k.l, e.b.colExpr(s[0])), append(k.r, e.b.colExpr(s[1]))
	}
	k.nullSafe = len(x.same) > 0
	type pair struct{ a, c, p expr.Expr }
	var eqs []pair
	for _, p := range x.on {
		if x.kind == flow.JoinAntiNull {
			c := p.(*expr.Call)
			k.l, k.r = append(k.l, c.Args[0]), append(k.r, c.Args[1])
			continue
		}
		a, c, safe := equalSides(p, l, r)
		switch {
		case a == nil:
			k.on = append(k.on, p)
		case safe:
			k.l, k.r, k.nullSafe = append(k.l, a), append(k.r, c), true
		default:
			eqs = append(eqs, pair{a, c, p})
		}
	}
	for _, q := range eqs {
		k.l, k.r = append(k.l, q.a), append(k.r, q.c)
		if k.nullSafe {
			k.on = append(k.on, q.p)
		}
	}
	return k
}

// equalSides reads p as an equality between the two sides of a join, the left
// side first; safe says that NULLs are equal in it.
func equalSides(p expr.Expr, l, r colSet) (a, c expr.Expr, safe bool) {
	switch x := p.(type) {
	case *expr.Call:
		if x.Fn.Name != "=" || len(x.Args) != 2 {
			return nil, nil, false
		}
		a, c = x.Args[0], x.Args[1]
	case *expr.Distinct:
		if !x.Negate {
			return nil, nil, false
		}
		a, c, safe = x.L, x.R, true
	default:
		return nil, nil, false
	}
	a, c = unwiden(a), unwiden(c)
	if a.Type().Layout() != c.Type().Layout() || hasVolatile(p) {
		return nil, nil, false
	}
	ac, cc := exprCols(a), exprCols(c)
	switch {
	case len(ac) == 0 || len(cc) == 0:
		return nil, nil, false
	case l.hasAll(ac) && r.hasAll(cc):
		return a, c, safe
	case l.hasAll(cc) && r.hasAll(ac):
		return c, a, safe
	}
	return nil, nil, false
}

// unwiden drops a cast between integer types that changes no value: keys of all
// integer types are alike.
func unwiden(e expr.Expr) expr.Expr {
	c, ok := e.(*expr.Cast)
	if ok && types.IsInteger(c.T.Kind) && types.IsInteger(c.Arg.Type().Kind) && castable(c.Arg.Type(), c.T, castImplicit) {
		return unwiden(c.Arg)
	}
	return e
}

// side narrows one input of a join to what is needed and its keys.
func (e *emitter) side(in rel, n node, need colSet, keys []expr.Expr) (rel, []int) {
	var extra []expr.Expr
	at := make([]int, len(keys))
	for i, k := range keys {
		at[i] = -1
		if _, ok := k.(expr.Col); !ok {
			at[i] = len(extra)
			extra = append(extra, k)
		}
	}
	out := e.narrow(in, n.out(), need, extra)
	pos := make([]int, len(keys))
	for i, k := range keys {
		if at[i] >= 0 {
			pos[i] = out.width - len(extra) + at[i]
		} else {
			pos[i] = placeOf(k.(expr.Col).Index, out.pos, "key")
		}
	}
	return out, pos
}

func (e *emitter) join(x *join, ins []rel, needs []colSet) rel {
	k := e.keysOf(x)
	l, lk := e.side(ins[0], x.l, needs[0], k.l)
	r, rk := e.side(ins[1], x.r, needs[1], k.r)
	op := &flow.Join{Kind: x.kind, LeftKeys: lk, RightKeys: rk, NullSafe: k.nullSafe}
	if x.kind != flow.JoinAntiNull {
		op.Between = e.b.timesApart(x.on, setOf(x.l.out()), setOf(x.r.out()))
	}
	if w := op.Between; w != nil {
		w.Left, w.Right = placeOf(w.Left, l.pos, "time"), placeOf(w.Right, r.pos, "time")
		if len(lk) == 0 && bucketed(x.kind, w) {
			var lb, rb int
			width := bucketWidth(w.Lo, w.Hi)
			l, lb = e.bucket(l, w.Left, 0, 0, width)
			r, rb = e.bucket(r, w.Right, w.Lo, w.Hi, width)
			op.LeftKeys, op.RightKeys = []int{lb}, []int{rb}
		}
	}
	both := map[int]int{}
	for c, p := range l.pos {
		both[c] = p
	}
	for c, p := range r.pos {
		both[c] = l.width + p
	}
	if on := andOf(k.on); on != nil {
		op.On = e.place(on, both)
	}
	ln, rn := e.at(l.node), e.at(r.node)
	ts := append([]types.Type{}, ln.Out...)
	ns := append([]string{}, ln.Names...)
	out := rel{pos: both, width: l.width}
	switch x.kind {
	case flow.JoinSemi, flow.JoinAnti, flow.JoinAntiNull:
		out.pos = l.pos
	default:
		ts, ns = append(ts, rn.Out...), append(ns, rn.Names...)
		out.width += r.width
	}
	out.node = e.add(op, []int{l.node, r.node}, ts, ns)
	return out
}
