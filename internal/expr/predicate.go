package expr

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Predicate selects the rows for which a boolean expression is true. It owns its
// scratch memory: one goroutine at a time.
type Predicate struct {
	p   picker
	r   run
	buf []uint32
}

// picker finds the rows of in, or all rows when in is nil, for which a condition is
// true, writes them to dst in order, and returns them. dst has room for all of
// them and may be in itself.
type picker interface {
	pick(r *run, in, dst []uint32) []uint32
}

// CompilePredicate compiles a boolean expression for Select.
func CompilePredicate(e Expr) (*Predicate, error) {
	p, err := (&compiler{}).picker(e)
	if err != nil {
		return nil, err
	}
	return &Predicate{p: p}, nil
}

// Select returns the selected rows of in for which the predicate is true
// (neither false nor NULL nor in error), ascending; valid until the next Select.
// The result is never nil.
func (p *Predicate) Select(ctx *Ctx, in *batch.Batch) []uint32 {
	p.r.start(ctx, in)
	p.buf = resize(p.buf, max(in.N, 1))
	out := p.p.pick(&p.r, in.Sel, p.buf)
	p.r.in = nil
	return out
}

func (c *compiler) picker(e Expr) (picker, error) {
	switch x := e.(type) {
	case *Logic:
		var ps []picker
		for _, a := range x.Args {
			if c.depth++; c.depth > MaxDepth {
				_, err := c.node(a)
				return nil, err
			}
			p, err := c.picker(a)
			c.depth--
			if err != nil {
				return nil, err
			}
			ps = append(ps, p)
		}
		if x.Or {
			return &orPicker{ps: ps}, nil
		}
		return &andPicker{ps: ps}, nil
	case *Call:
		if op, ok := comparison(x.Fn); ok {
			switch x.Args[0].Type().Layout() {
			case types.LayoutInt, types.LayoutFloat:
				return c.comparePicker(op, x)
			}
		}
	}
	n, err := c.node(e)
	if err != nil {
		return nil, err
	}
	return &boolPicker{n: n}, nil
}

func comparison(fn *Func) (cmpOp, bool) {
	for _, c := range cmpOps {
		if fn.Name == c.name && len(fn.Args) == 2 {
			return c.op, true
		}
	}
	return 0, false
}

// boolPicker computes a boolean column and picks its true rows.
type boolPicker struct{ n node }

func (p *boolPicker) pick(r *run, in, dst []uint32) []uint32 {
	c := p.n.eval(r, in)
	k := 0
	switch {
	case c.Type.Layout() == types.LayoutNone:
	case in == nil:
		dst = dst[:r.n]
		for i, x := range c.U8[:r.n] {
			dst[k] = uint32(i)
			k += int(x)
		}
	default:
		for _, i := range in {
			dst[k] = i
			k += int(c.U8[i])
		}
	}
	return dst[:dropNulls(dst[:k], c.Valid)]
}

// dropNulls removes the rows whose bit is clear from sel and returns how many are left.
func dropNulls(sel []uint32, valid batch.Bitmap) int {
	if valid == nil {
		return len(sel)
	}
	k := 0
	for _, i := range sel {
		sel[k] = i
		k += int(valid[i>>6] >> (i & 63) & 1)
	}
	return k
}

// comparePicker compares integers or floats without a boolean column.
type comparePicker struct {
	op   cmpOp
	a, b node
	kb   bool
	flt  bool
}

func (c *compiler) comparePicker(op cmpOp, x *Call) (picker, error) {
	args, err := c.nodes(x.Args)
	if err != nil {
		return nil, err
	}
	p := &comparePicker{op: op, a: args[0], b: args[1], flt: x.Args[0].Type().Layout() == types.LayoutFloat}
	isConst := func(n node) bool {
		k, ok := n.(*constNode)
		return ok && !k.v.Null
	}
	if p.kb = isConst(p.b); !p.kb && isConst(p.a) {
		p.a, p.b, p.op, p.kb = p.b, p.a, swapped[op], true
	}
	return p, nil
}

func (p *comparePicker) pick(r *run, in, dst []uint32) []uint32 {
	if r.n == 0 {
		return dst[:0]
	}
	a, b := p.a.eval(r, in), p.b.eval(r, in)
	var k int
	switch {
	case !p.flt:
		k = pickBy(p.op, dst, a.I64, b.I64, p.kb, r.n, in)
	case !hasNaN(a.F64[:r.n]) && !hasNaN(b.F64[:r.n]):
		k = pickBy(p.op, dst, a.F64, b.F64, p.kb, r.n, in)
	default:
		truth := &truths[p.op]
		for j, m := 0, rowCount(in, r.n); j < m; j++ {
			i := rowAt(in, j)
			dst[k] = uint32(i)
			k += int(truth[types.CompareFloat(a.F64[i], b.F64[i])+1])
		}
	}
	k = dropNulls(dst[:k], a.Valid)
	return dst[:dropNulls(dst[:k], b.Valid)]
}

func pickBy[T ordered](op cmpOp, dst []uint32, a, b []T, konst bool, n int, in []uint32) int {
	if konst {
		return selVC(op, dst, a, b[0], n, in)
	}
	return selVV(op, dst, a, b, n, in)
}

// andPicker narrows the selection by one condition after the other.
type andPicker struct{ ps []picker }

func (p *andPicker) pick(r *run, in, dst []uint32) []uint32 {
	out := p.ps[0].pick(r, in, dst)
	for _, q := range p.ps[1:] {
		if len(out) == 0 {
			break
		}
		out = q.pick(r, out, out)
	}
	return out
}

// orPicker asks each condition about the rows that none before was true for.
type orPicker struct {
	ps   []picker
	rest []uint32
	tmp  []uint32
	hit  []uint8
}

func (p *orPicker) pick(r *run, in, dst []uint32) []uint32 {
	p.rest = allRows(p.rest, in, r.n)
	p.tmp = resize(p.tmp, max(len(p.rest), 1))
	p.hit = resize(p.hit, r.n)
	clear(p.hit)
	for k, q := range p.ps {
		rows := p.rest
		if len(rows) == 0 {
			break
		}
		if k == 0 {
			rows = in
		}
		for _, i := range q.pick(r, rows, p.tmp) {
			p.hit[i] = 1
		}
		left := 0
		for _, i := range p.rest {
			p.rest[left] = i
			left += int(1 ^ p.hit[i])
		}
		p.rest = p.rest[:left]
	}
	k := 0
	if in == nil {
		dst = dst[:r.n]
		for i, h := range p.hit {
			dst[k] = uint32(i)
			k += int(h)
		}
		return dst[:k]
	}
	for _, i := range in {
		dst[k] = i
		k += int(p.hit[i])
	}
	return dst[:k]
}
