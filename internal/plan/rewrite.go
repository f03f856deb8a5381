package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
)

// optimise moves filters as far down as they go, turns joins whose conditions
// allow it into simpler ones, and merges projections.
func (b *binder) optimise(n node) node {
	refs := map[*shared]int{}
	countRefs(n, refs)
	for s, c := range refs {
		s.refs = c
	}
	return b.push(n, nil)
}

func countRefs(n node, refs map[*shared]int) {
	if r, ok := n.(*sharedRef); ok {
		if refs[r.body]++; refs[r.body] == 1 {
			countRefs(r.body.in, refs)
		}
	}
	for _, in := range inputs(n) {
		countRefs(in, refs)
	}
}

// push gives n filtered by preds, which use n's columns only.
func (b *binder) push(n node, preds []expr.Expr) node {
	switch x := n.(type) {
	case *filter:
		return b.push(x.in, append(conjuncts(x.preds...), preds...)) // a view's filter goes first
	case *project:
		return b.pushProject(x, preds)
	case *setFunc:
		below, above := split(preds, setOf(x.in.out()))
		f := *x
		f.in = b.push(x.in, below)
		return withFilter(&f, above)
	case *window:
		return b.pushWindow(x, preds)
	case *setOp:
		return b.pushSetOp(x, preds)
	case *distinct:
		return &distinct{in: b.push(x.in, preds)}
	case *over:
		return x.push(b, preds)
	case *topN:
		below, above := split(preds, setOf(x.partition))
		if len(x.partition) == 0 {
			below, above = nil, preds
		}
		t := *x
		t.in = b.push(x.in, below)
		return withFilter(&t, above)
	case *match:
		below, above := split(preds, setOf(x.partition))
		m := *x
		m.in = b.push(x.in, below)
		return withFilter(&m, above)
	case *aggregate:
		below, above := split(preds, setOf(x.keys))
		if len(x.keys) == 0 {
			below, above = nil, preds
		}
		a := *x
		a.in = b.push(x.in, below)
		return withFilter(&a, above)
	case *join:
		return b.pushJoin(x, preds)
	case *asOf:
		return x.push(b, preds)
	case *lookup:
		return x.push(b, preds)
	case *sharedRef:
		return b.pushShared(x, preds)
	}
	return withFilter(n, preds)
}

// split divides preds into those that need only cols, and the rest. Conditions
// without columns or with volatile functions stay where they are.
func split(preds []expr.Expr, cols colSet) (in, rest []expr.Expr) {
	for _, p := range preds {
		used := exprCols(p)
		if len(used) > 0 && cols.hasAll(used) && !hasVolatile(p) {
			in = append(in, p)
		} else {
			rest = append(rest, p)
		}
	}
	return in, rest
}

func (b *binder) pushProject(x *project, preds []expr.Expr) node {
	m := map[int]expr.Expr{}
	for i, c := range x.cols {
		m[c] = x.exprs[i]
	}
	var below, above []expr.Expr
	for _, p := range preds {
		q := substitute(p, m)
		if hasVolatile(q) {
			above = append(above, p)
		} else {
			below = append(below, q)
		}
	}
	in := b.push(x.in, below)
	p := &project{in: in, cols: x.cols, exprs: x.exprs}
	if inner, ok := in.(*project); ok && mergeable(x.exprs, inner) {
		im := map[int]expr.Expr{}
		for i, c := range inner.cols {
			im[c] = inner.exprs[i]
		}
		p = &project{in: inner.in, cols: x.cols, exprs: mapAll(x.exprs, func(e expr.Expr) expr.Expr { return substitute(e, im) })}
	}
	return withFilter(p, above)
}

// mergeable reports that no computed column of inner is used twice by es.
func mergeable(es []expr.Expr, inner *project) bool {
	uses := map[int]int{}
	for _, e := range es {
		walkExpr(e, func(x expr.Expr) {
			if c, ok := x.(expr.Col); ok {
				uses[c.Index]++
			}
		})
	}
	for i, c := range inner.cols {
		switch inner.exprs[i].(type) {
		case expr.Col, expr.Const, expr.Param:
			continue
		}
		if uses[c] > 1 || hasVolatile(inner.exprs[i]) {
			return false
		}
	}
	return true
}

func (b *binder) pushSetOp(x *setOp, preds []expr.Expr) node {
	below, above := split(preds, setOf(x.cols))
	s := *x
	s.ins = make([]node, len(x.ins))
	for i, in := range x.ins {
		m := map[int]expr.Expr{}
		for k, c := range x.cols {
			m[c] = b.colExpr(x.maps[i][k])
		}
		s.ins[i] = b.push(in, mapAll(below, func(e expr.Expr) expr.Expr { return substitute(e, m) }))
	}
	return withFilter(&s, above)
}

func (b *binder) pushShared(x *sharedRef, preds []expr.Expr) node {
	from := x.body.in.out()
	if x.body.refs == 1 {
		return b.pushProject(b.rename(x.body.in, from, x.cols).(*project), preds)
	}
	if !x.body.done {
		x.body.done = true
		order := slices.Clone(from)
		x.body.in = b.push(x.body.in, nil)
		if !slices.Equal(order, x.body.in.out()) {
			x.body.in = b.rename(x.body.in, order, order)
		}
	}
	return withFilter(x, preds)
}

func (b *binder) pushJoin(x *join, preds []expr.Expr) node {
	j := *x
	l, r := setOf(x.l.out()), setOf(x.r.out())
	if j.kind == flow.JoinLeft && rejectsNulls(preds, r) {
		j.kind = flow.JoinInner
	}
	on := conjuncts(x.on...)
	var lp, rp, above []expr.Expr
	switch j.kind {
	case flow.JoinInner:
		all := append(slices.Clone(preds), on...)
		lp, all = split(all, l)
		rp, all = split(all, r)
		on, above = nil, nil
		both := setOf(append(slices.Clone(x.l.out()), x.r.out()...))
		for _, p := range all {
			if used := exprCols(p); len(used) > 0 && both.hasAll(used) && !hasVolatile(p) && !hasNow(p) {
				on = append(on, p)
			} else {
				above = append(above, p)
			}
		}
	case flow.JoinLeft:
		lp, above = split(preds, l)
		rp, on = split(on, r)
	case flow.JoinSemi:
		lp, above = split(preds, l)
		var more []expr.Expr
		more, on = split(on, l)
		lp = append(lp, more...)
		rp, on = split(on, r)
	case flow.JoinAnti:
		lp, above = split(preds, l)
		rp, on = split(on, r)
	case flow.JoinAntiNull:
		lp, above = split(preds, l)
	default:
		above = preds
	}
	j.on, j.l, j.r = on, b.push(x.l, lp), b.push(x.r, rp)
	return withFilter(&j, above)
}

// rejectsNulls reports that some pred cannot be true where all of cols are NULL.
func rejectsNulls(preds []expr.Expr, cols colSet) bool {
	for _, p := range preds {
		if nullRejecting(p, cols) {
			return true
		}
	}
	return false
}

func nullRejecting(p expr.Expr, cols colSet) bool {
	switch x := p.(type) {
	case *expr.Call:
		return x.Fn.Strict && slices.ContainsFunc(x.Args, func(a expr.Expr) bool { return strictIn(a, cols) })
	case *expr.InList:
		return strictIn(x.Arg, cols)
	case *expr.IsNull:
		return x.Negate && strictIn(x.Arg, cols)
	case expr.Col:
		return cols.has(x.Index)
	}
	return false
}

// strictIn reports that e is NULL where all of cols are.
func strictIn(e expr.Expr, cols colSet) bool {
	switch x := e.(type) {
	case expr.Col:
		return cols.has(x.Index)
	case *expr.Cast:
		return strictIn(x.Arg, cols)
	case *expr.Call:
		return x.Fn.Strict && slices.ContainsFunc(x.Args, func(a expr.Expr) bool { return strictIn(a, cols) })
	}
	return false
}

// appendOnly reports that n never withdraws a row.
func appendOnly(n node) bool {
	switch x := n.(type) {
	case *scan:
		return x.rel.AppendOnly
	case *values:
		return true
	case *filter:
		return !slices.ContainsFunc(x.preds, hasNow) && appendOnly(x.in)
	case *window:
		return x.gap == 0 && appendOnly(x.in)
	case *project, *setFunc, *distinct:
		return appendOnly(inputs(n)[0])
	case *setOp:
		return x.kind == unionAll && !slices.ContainsFunc(x.ins, func(in node) bool { return !appendOnly(in) })
	case *join:
		return (x.kind == flow.JoinInner || x.kind == flow.JoinSemi) && appendOnly(x.l) && appendOnly(x.r)
	case *match:
		return *x.final
	case *lookup:
		return appendOnly(x.l)
	case *sharedRef:
		return appendOnly(x.body.in)
	}
	return false
}
