package expr

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

var boolType = types.T(types.Bool)

// logicNode is AND or OR. An argument is computed only for the rows that earlier
// ones left undecided.
type logicNode struct {
	or   bool
	args []node
	out  vec
	rest []uint32
}

func (n *logicNode) eval(r *run, sel []uint32) *batch.Column {
	n.out.reset(boolType, r.n)
	decided := b2u(n.or) // the value that decides
	res := n.out.U8
	const null = 2
	for k, a := range n.args {
		rows := sel
		if k > 0 {
			if len(n.rest) == 0 {
				break
			}
			rows = n.rest
		}
		c := a.eval(r, rows)
		none := c.Type.Layout() == types.LayoutNone
		w := 0
		if k == 0 {
			n.rest = resize(n.rest, r.n)
		}
		for j, m := 0, rowCount(rows, r.n); j < m; j++ {
			i := rowAt(rows, j)
			if none || !c.Valid.Get(i) {
				res[i] = null
				n.rest[w] = uint32(i)
				w++
				continue
			}
			x := c.U8[i]
			if x == decided || k == 0 || res[i] != null {
				res[i] = x
			}
			n.rest[w] = uint32(i)
			w += int(b2u(x != decided))
		}
		n.rest = n.rest[:w]
	}
	nullMarks(&n.out, sel, null)
	return &n.out.Column
}

// nullMarks turns values null into NULLs.
func nullMarks(v *vec, sel []uint32, null uint8) {
	if sel == nil {
		for i, x := range v.U8 {
			if x == null {
				v.setNull(i)
			}
		}
		return
	}
	for _, i := range sel {
		if v.U8[i] == null {
			v.setNull(int(i))
		}
	}
}

// notNode is NOT.
type notNode struct {
	arg node
	out vec
}

func (n *notNode) eval(r *run, sel []uint32) *batch.Column {
	c := n.arg.eval(r, sel)
	n.out.reset(boolType, r.n)
	if c.Type.Layout() == types.LayoutNone {
		n.out.allNull()
		return &n.out.Column
	}
	n.out.Valid = c.Valid
	if sel == nil {
		for i, x := range c.U8[:r.n] {
			n.out.U8[i] = x ^ 1
		}
	} else {
		for _, i := range sel {
			n.out.U8[i] = c.U8[i] ^ 1
		}
	}
	return &n.out.Column
}

// isNullNode is IS [NOT] NULL.
type isNullNode struct {
	arg    node
	negate bool
	out    vec
}

func (n *isNullNode) eval(r *run, sel []uint32) *batch.Column {
	c := n.arg.eval(r, sel)
	n.out.reset(boolType, r.n)
	neg := b2u(n.negate)
	switch {
	case c.Type.Layout() == types.LayoutNone:
		repeat(n.out.U8, 1^neg)
	case c.Valid == nil:
		repeat(n.out.U8, neg)
	case sel == nil:
		for i := range n.out.U8 {
			n.out.U8[i] = uint8(^c.Valid[i>>6]>>(uint(i)&63)&1) ^ neg
		}
	default:
		for _, i := range sel {
			n.out.U8[i] = uint8(^c.Valid[i>>6]>>(uint(i)&63)&1) ^ neg
		}
	}
	return &n.out.Column
}

// isBoolNode is IS [NOT] TRUE, FALSE, UNKNOWN.
type isBoolNode struct {
	arg    node
	want   Truth
	negate bool
	out    vec
}

func (n *isBoolNode) eval(r *run, sel []uint32) *batch.Column {
	c := n.arg.eval(r, sel)
	n.out.reset(boolType, r.n)
	none := c.Type.Layout() == types.LayoutNone
	neg := b2u(n.negate)
	for k, m := 0, rowCount(sel, r.n); k < m; k++ {
		i := rowAt(sel, k)
		t := UnknownTruth
		if !none && c.Valid.Get(i) {
			t = Truth(1 - c.U8[i])
		}
		n.out.U8[i] = b2u(t == n.want) ^ neg
	}
	return &n.out.Column
}

func rowCount(sel []uint32, n int) int {
	if sel != nil {
		return len(sel)
	}
	return n
}

func rowAt(sel []uint32, k int) int {
	if sel != nil {
		return int(sel[k])
	}
	return k
}

// distinctNode is IS [NOT] DISTINCT FROM.
type distinctNode struct {
	args   []node
	negate bool
	out    vec
}

func (n *distinctNode) eval(r *run, sel []uint32) *batch.Column {
	a, b := n.args[0].eval(r, sel), n.args[1].eval(r, sel)
	n.out.reset(boolType, r.n)
	neg := b2u(n.negate)
	for k, m := 0, rowCount(sel, r.n); k < m; k++ {
		i := rowAt(sel, k)
		an, bn := a.Null(i), b.Null(i)
		d := an != bn
		if !an && !bn {
			d = compareAt(a, b, i) != 0
		}
		n.out.U8[i] = b2u(d) ^ neg
	}
	return &n.out.Column
}

// caseNode is searched CASE.
type caseNode struct {
	conds   []node
	results []node // one more than conds when there is ELSE
	t       types.Type
	out     vec
	all     []uint32
	rest    []uint32
	hit     []uint32
}

func (c *compiler) caseNode(e *Case) (node, error) {
	n := &caseNode{t: e.T}
	for _, w := range e.Whens {
		cond, err := c.node(w.Cond)
		if err != nil {
			return nil, err
		}
		res, err := c.node(w.Then)
		if err != nil {
			return nil, err
		}
		n.conds, n.results = append(n.conds, cond), append(n.results, res)
	}
	if e.Else != nil {
		res, err := c.node(e.Else)
		if err != nil {
			return nil, err
		}
		n.results = append(n.results, res)
	}
	return n, nil
}

// allRows lists the rows of sel, or all n, in buf.
func allRows(buf []uint32, sel []uint32, n int) []uint32 {
	if sel != nil {
		buf = resize(buf, len(sel))
		copy(buf, sel)
		return buf
	}
	buf = resize(buf, n)
	for i := range buf {
		buf[i] = uint32(i)
	}
	return buf
}

func (n *caseNode) eval(r *run, sel []uint32) *batch.Column {
	n.out.reset(n.t, r.n)
	n.rest = allRows(n.rest, sel, r.n)
	n.hit = resize(n.hit, len(n.rest))
	for k, cond := range n.conds {
		if len(n.rest) == 0 {
			break
		}
		c := cond.eval(r, n.rest)
		none := c.Type.Layout() == types.LayoutNone
		hits, left := 0, 0
		n.hit = n.hit[:cap(n.hit)]
		for _, i := range n.rest {
			t := !none && c.U8[i] != 0 && c.Valid.Get(int(i))
			n.hit[hits], n.rest[left] = i, i
			hits += int(b2u(t))
			left += int(b2u(!t))
		}
		n.hit, n.rest = n.hit[:hits], n.rest[:left]
		if hits > 0 {
			n.out.copyRows(n.results[k].eval(r, n.hit), n.hit)
		}
	}
	if len(n.rest) > 0 {
		if len(n.results) > len(n.conds) {
			n.out.copyRows(n.results[len(n.conds)].eval(r, n.rest), n.rest)
		} else {
			for _, i := range n.rest {
				n.out.setNull(int(i))
			}
		}
	}
	n.out.Bytes = n.out.buf
	return &n.out.Column
}

// coalesceNode is COALESCE.
type coalesceNode struct {
	args []node
	t    types.Type
	out  vec
	rest []uint32
	hit  []uint32
}

func (n *coalesceNode) eval(r *run, sel []uint32) *batch.Column {
	first := n.args[0].eval(r, sel)
	if first.Valid == nil && first.Type.Layout() != types.LayoutNone {
		return first
	}
	n.out.reset(n.t, r.n)
	n.rest = allRows(n.rest, sel, r.n)
	n.hit = resize(n.hit, len(n.rest))
	for k, a := range n.args {
		c := first
		if k > 0 {
			if len(n.rest) == 0 {
				break
			}
			c = a.eval(r, n.rest)
		}
		hits, left := 0, 0
		n.hit = n.hit[:cap(n.hit)]
		for _, i := range n.rest {
			t := !c.Null(int(i))
			n.hit[hits], n.rest[left] = i, i
			hits += int(b2u(t))
			left += int(b2u(!t))
		}
		n.hit, n.rest = n.hit[:hits], n.rest[:left]
		n.out.copyRows(c, n.hit)
	}
	for _, i := range n.rest {
		n.out.setNull(int(i))
	}
	n.out.Bytes = n.out.buf
	return &n.out.Column
}
