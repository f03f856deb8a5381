package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

type (
	// asOf joins each row of l with the row of r that is closest to it in time.
	asOf struct {
		l, r   node
		outer  bool
		lk, rk []int // equal keys
		lt, rt int
		cmp    flow.AsOfCmp
	}
	// lookup joins each row of l when it comes with r as it is then.
	lookup struct {
		l, r  node
		outer bool
		on    []expr.Expr
	}
)

func (n *asOf) out() []int   { return slices.Concat(n.l.out(), n.r.out()) }
func (n *lookup) out() []int { return slices.Concat(n.l.out(), n.r.out()) }

// sides says which columns of its inputs an asOf needs to give need.
func (n *asOf) sideNeeds(need colSet) []colSet {
	out := oneSideEach(n.l, n.r, need)
	out[0].add(n.lk...)
	out[0].add(n.lt)
	out[1].add(n.rk...)
	out[1].add(n.rt)
	return out
}

func (n *lookup) sideNeeds(need colSet) []colSet {
	all := colSet{}
	addAll(all, need)
	all.add(exprCols(n.on...)...)
	return oneSideEach(n.l, n.r, all)
}

// oneSideEach divides columns between two inputs.
func oneSideEach(l, r node, need colSet) []colSet {
	out := []colSet{{}, {}}
	for i, n := range []node{l, r} {
		for _, c := range n.out() {
			if need.has(c) {
				out[i].add(c)
			}
		}
	}
	return out
}

// push moves conditions on the left side's columns below: each left row finds its
// match on its own. The right side stays as it is, since a row less there would let
// another one be the closest.
func (n *asOf) push(b *binder, preds []expr.Expr) node {
	below, above := split(preds, setOf(n.l.out()))
	a := *n
	if a.outer && rejectsNulls(preds, setOf(n.r.out())) {
		a.outer = false
	}
	a.l, a.r = b.push(n.l, below), b.push(n.r, nil)
	return withFilter(&a, above)
}

func (n *lookup) push(b *binder, preds []expr.Expr) node {
	below, above := split(preds, setOf(n.l.out()))
	k := *n
	if k.outer && rejectsNulls(preds, setOf(n.r.out())) {
		k.outer = false
	}
	var right []expr.Expr
	right, k.on = split(n.on, setOf(n.r.out()))
	if !k.outer {
		var more []expr.Expr
		more, above = split(above, setOf(n.r.out()))
		right = append(right, more...)
	}
	k.l, k.r = b.push(n.l, below), b.push(n.r, right)
	return withFilter(&k, above)
}

// unnest carries the domain along on the left side; the right side may not depend on it.
func (d *domain) timed(n, l, r node) (node, map[int]int) {
	if d.uses(r) {
		unsupported(noPos, "a join in time whose right side uses columns of an outer query")
	}
	in, m := d.unnest(l)
	switch x := n.(type) {
	case *asOf:
		a := *x
		a.l = in
		return &a, m
	case *lookup:
		k := *x
		k.l, k.on = in, d.subst(x.on, m)
		return &k, m
	}
	panic("unreachable")
}

// beside gives the types, names and places of left || right.
func (e *emitter) beside(l, r rel) (ts []types.Type, ns []string, out rel) {
	ln, rn := e.at(l.node), e.at(r.node)
	ts, ns = slices.Concat(ln.Out, rn.Out), slices.Concat(ln.Names, rn.Names)
	out = rel{pos: map[int]int{}, width: l.width + r.width}
	for c, p := range l.pos {
		out.pos[c] = p
	}
	for c, p := range r.pos {
		out.pos[c] = l.width + p
	}
	return ts, ns, out
}

func (e *emitter) asOf(x *asOf, ins []rel, needs []colSet) rel {
	l, r := e.narrow(ins[0], x.l.out(), needs[0], nil), e.narrow(ins[1], x.r.out(), needs[1], nil)
	op := &flow.AsOf{Outer: x.outer, Cmp: x.cmp, LeftTime: placeOf(x.lt, l.pos, "time"), RightTime: placeOf(x.rt, r.pos, "time")}
	for i := range x.lk {
		op.LeftKeys = append(op.LeftKeys, placeOf(x.lk[i], l.pos, "key"))
		op.RightKeys = append(op.RightKeys, placeOf(x.rk[i], r.pos, "key"))
	}
	ts, ns, out := e.beside(l, r)
	out.node = e.add(op, []int{l.node, r.node}, ts, ns)
	return out
}

func (e *emitter) lookup(x *lookup, ins []rel, needs []colSet) rel {
	k := e.keysOf(&join{kind: flow.JoinLeft, l: x.l, r: x.r, on: x.on})
	if k.nullSafe { // IS NOT DISTINCT FROM is a condition here
		k = joinKeys{on: x.on}
	}
	l, lk := e.side(ins[0], x.l, needs[0], k.l)
	r, rk := e.side(ins[1], x.r, needs[1], k.r)
	op := &flow.Lookup{Outer: x.outer, LeftKeys: lk, RightKeys: rk}
	ts, ns, out := e.beside(l, r)
	if on := andOf(k.on); on != nil {
		op.On = e.place(on, out.pos)
	}
	out.node = e.add(op, []int{l.node, r.node}, ts, ns)
	return out
}
