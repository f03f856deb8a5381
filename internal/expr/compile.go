package expr

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// MaxDepth bounds the nesting of expressions that are compiled.
const MaxDepth = 2000

// Program computes a list of expressions over batches. It owns its scratch
// memory: one goroutine at a time, and results are valid until the next Eval.
type Program struct {
	nodes []node
	ts    []types.Type
	r     run
}

// Compile makes a program of es. The error is for expressions that cannot be run:
// of a cast that does not exist, or nested too deeply.
func Compile(es []Expr) (*Program, error) {
	p := &Program{}
	for _, e := range es {
		n, err := compile(e)
		if err != nil {
			return nil, err
		}
		p.nodes, p.ts = append(p.nodes, n), append(p.ts, e.Type())
	}
	return p, nil
}

// Eval computes every expression for the selected rows of in. out[k] gets
// expression k, aligned with in's physical rows: only rows in in.Sel are
// defined, and out[k] may alias a column of in. out has as many columns as there
// are expressions.
func (p *Program) Eval(ctx *Ctx, in *batch.Batch, out []batch.Column) {
	p.r.start(ctx, in)
	for k, n := range p.nodes {
		out[k] = *n.eval(&p.r, in.Sel)
		out[k].Type = p.ts[k]
	}
	p.r.in = nil
}

// EvalConst evaluates an expression without columns. Its error is a *types.Error.
func EvalConst(ctx *Ctx, e Expr) (types.Value, error) {
	p, err := Compile([]Expr{e})
	if err != nil {
		return types.Value{}, err
	}
	c := *ctx
	c.Errs = nil
	var out [1]batch.Column
	p.Eval(&c, &batch.Batch{N: 1}, out[:])
	if len(c.Errs) > 0 {
		return types.Value{}, c.Errs[0].Err
	}
	return out[0].Value(0), nil
}

func compile(e Expr) (node, error) { return (&compiler{}).node(e) }

// compiler turns expressions into nodes.
type compiler struct{ depth int }

func (c *compiler) node(e Expr) (node, error) {
	if c.depth++; c.depth > MaxDepth {
		return nil, &types.Error{Code: types.CodeTooComplex, Message: fmt.Sprintf("expression is nested more than %d levels deep", MaxDepth)}
	}
	defer func() { c.depth-- }()
	switch e := e.(type) {
	case Col:
		return &colNode{index: e.Index}, nil
	case Const:
		return &constNode{v: e.V}, nil
	case Param:
		return &paramNode{index: e.Index, t: e.T}, nil
	case Now:
		return &nowNode{}, nil
	case *Call:
		return c.call(e)
	case *Cast:
		return c.cast(e)
	case *Logic:
		args, err := c.nodes(e.Args)
		return &logicNode{or: e.Or, args: args}, err
	case *Not:
		arg, err := c.node(e.Arg)
		return &notNode{arg: arg}, err
	case *IsNull:
		arg, err := c.node(e.Arg)
		return &isNullNode{arg: arg, negate: e.Negate}, err
	case *IsBool:
		arg, err := c.node(e.Arg)
		return &isBoolNode{arg: arg, want: e.Want, negate: e.Negate}, err
	case *Distinct:
		args, err := c.nodes([]Expr{e.L, e.R})
		return &distinctNode{args: args, negate: e.Negate}, err
	case *Case:
		return c.caseNode(e)
	case *Coalesce:
		args, err := c.nodes(e.Args)
		return &coalesceNode{args: args, t: e.T}, err
	case *InList:
		arg, err := c.node(e.Arg)
		if err != nil {
			return nil, err
		}
		return newInNode(e, arg), nil
	}
	return nil, &types.Error{Code: types.CodeInternal, Message: fmt.Sprintf("expression %T cannot be run", e)}
}

func (c *compiler) nodes(es []Expr) ([]node, error) {
	out := make([]node, len(es))
	for i, e := range es {
		n, err := c.node(e)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

func (c *compiler) call(e *Call) (node, error) {
	if e.Fn.vec == nil && e.Fn.row == nil {
		return nil, &types.Error{Code: types.CodeInternal, Message: "function " + e.Fn.Name + " has no kernel"}
	}
	args, err := c.nodes(e.Args)
	if err != nil {
		return nil, err
	}
	return fold(newCall(e.Fn, args, typesOf(e.Args), e.T)), nil
}

func typesOf(es []Expr) []types.Type {
	out := make([]types.Type, len(es))
	for i, e := range es {
		out[i] = e.Type()
	}
	return out
}

// fold computes an immutable call of constants once. One that goes wrong stays,
// for it may never be reached.
func fold(n *callNode) node {
	if n.f.fn.Volatility != Immutable {
		return n
	}
	for _, a := range n.args {
		if _, ok := a.(*constNode); !ok {
			return n
		}
	}
	var ctx Ctx
	var r run
	r.start(&ctx, &batch.Batch{N: 1})
	v := n.eval(&r, nil).Value(0)
	if len(ctx.Errs) > 0 {
		return n
	}
	v.T = n.f.t
	return &constNode{v: v}
}

// callNode applies a function to its arguments.
type callNode struct {
	args []node
	f    frame
	out  vec
	none bool // strict, and an argument's type has only NULL
}

func newCall(fn *Func, args []node, from []types.Type, t types.Type) *callNode {
	n := &callNode{args: args}
	n.f = frame{fn: fn, args: make([]*batch.Column, len(args)), konst: make([]bool, len(args)), t: t, from: from}
	for i, a := range args {
		c, ok := a.(*constNode)
		n.f.konst[i] = ok && !c.v.Null
		if fn.Strict && (ok && c.v.Null || from[i].Layout() == types.LayoutNone) {
			n.none = true
		}
	}
	return n
}

func (n *callNode) eval(r *run, sel []uint32) *batch.Column {
	f := &n.f
	f.r, f.sel, f.n, f.out, f.shared = r, sel, r.n, &n.out, false
	n.out.reset(f.t, r.n)
	if n.none {
		n.out.allNull()
		n.out.Bytes = n.out.buf
		return &n.out.Column
	}
	for i, a := range n.args {
		f.args[i] = a.eval(r, sel)
	}
	if f.fn.Strict {
		n.out.meet(f.args)
	}
	if f.fn.vec != nil {
		f.fn.vec(f)
	} else {
		f.each(f.fn.row)
	}
	if !f.shared {
		n.out.Bytes = n.out.buf
	}
	return &n.out.Column
}

// colNode is a column of the input.
type colNode struct{ index int }

func (n *colNode) eval(r *run, _ []uint32) *batch.Column { return &r.in.Cols[n.index] }

// constNode is a value, repeated for as many rows as any block had.
type constNode struct {
	v   types.Value
	out vec
	n   int
}

func (n *constNode) eval(r *run, _ []uint32) *batch.Column {
	if r.n > n.n {
		n.n = max(r.n, 64)
		n.out.fill(n.v, n.n)
	}
	return &n.out.Column
}

// fill makes v n times value x.
func (v *vec) fill(x types.Value, n int) {
	v.reset(x.T, n)
	if x.Null {
		v.allNull()
		return
	}
	switch x.T.Layout() {
	case types.LayoutBool:
		repeat(v.U8, uint8(x.I))
	case types.LayoutInt:
		repeat(v.I64, x.I)
	case types.LayoutFloat:
		repeat(v.F64, x.F)
	case types.LayoutIvl:
		repeat(v.Ivl, x.V)
	case types.LayoutDec:
		v.buf = append(v.buf, x.S...)
		repeat(v.Dec, x.D)
	case types.LayoutStr:
		v.buf = append(v.buf, x.S...)
		repeat(v.Str, batch.Ref{Len: uint32(len(x.S))})
	}
	v.Bytes = v.buf
}

func repeat[T any](s []T, x T) {
	for i := range s {
		s[i] = x
	}
}

// paramNode is a parameter, whose value comes with each evaluation.
type paramNode struct {
	index int
	t     types.Type
	v     types.Value
	out   vec
	n     int
}

func (n *paramNode) eval(r *run, _ []uint32) *batch.Column {
	v := types.NullOf(n.t)
	if n.index < len(r.ctx.Params) && !r.ctx.Params[n.index].Null {
		v = r.ctx.Params[n.index]
		v.T = n.t
	}
	if r.n > n.n || v != n.v {
		n.n, n.v = max(r.n, 64), v
		n.out.fill(v, n.n)
	}
	return &n.out.Column
}

// nowNode is the logical time.
type nowNode struct {
	now int64
	out vec
	n   int
}

func (n *nowNode) eval(r *run, _ []uint32) *batch.Column {
	if r.n > n.n || r.ctx.Now != n.now {
		n.n, n.now = max(r.n, 64), r.ctx.Now
		n.out.fill(types.IntValue(types.TimestampTZ, n.now), n.n)
	}
	return &n.out.Column
}

// hostRow asks Ctx.Host.
func hostRow(f *frame, i int) {
	h := f.r.ctx.Host
	if h == nil {
		f.failf(i, types.CodeFeature, "function "+f.fn.Name+" needs a catalog")
		return
	}
	f.values = f.values[:0]
	for _, a := range f.args {
		f.values = append(f.values, a.Value(i))
	}
	v, err := h.Call(f.fn.Name, f.values)
	if err != nil {
		f.fail(i, err)
		return
	}
	f.setValue(i, v)
}

// setValue stores a boxed value; for functions that are rare.
func (f *frame) setValue(i int, v types.Value) {
	if v.Null {
		f.setNull(i)
		return
	}
	switch f.t.Layout() {
	case types.LayoutBool:
		f.out.U8[i] = uint8(v.I)
	case types.LayoutInt:
		f.out.I64[i] = v.I
	case types.LayoutFloat:
		f.out.F64[i] = v.F
	case types.LayoutIvl:
		f.out.Ivl[i] = v.V
	case types.LayoutDec:
		f.out.Dec[i] = types.DecCopy(v.D, []byte(v.S), &f.out.buf)
	case types.LayoutStr:
		f.setString(i, v.S)
	case types.LayoutNone:
		f.setNull(i)
	}
}
