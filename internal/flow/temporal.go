package flow

import (
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// Lookup joins each change of the left side, when it comes, with the right side as
// it is in that step, all of the step's right changes included, and never again: what
// happens to the right side later does not touch what was given. So its output is not
// a function of what its inputs hold but of the steps, and append-only where the left
// side is. The output row is left || right; NULL keys match nothing.
type Lookup struct {
	Outer               bool // left rows without a match are given with NULLs
	LeftKeys, RightKeys []int
	On                  expr.Expr // a further condition of a match, over left || right; nil if none
}

func (*Lookup) isOp() {}

// Describe implements Op. Columns of the right side are numbered on their own.
func (op *Lookup) Describe() string { return op.describe(0) }

func (op *Lookup) describe(left int) string {
	s := "Lookup inner"
	if op.Outer {
		s = "Lookup left"
	}
	if len(op.LeftKeys) == 0 {
		s += " cross"
	} else {
		s += " left=" + columns(op.LeftKeys) + " right=" + columns(shifted(op.RightKeys, left))
	}
	if op.On != nil {
		s += " on=" + op.On.String()
	}
	return s
}

func (op *Lookup) check(n *Node, in [][]types.Type) error {
	return checkJoin(&Join{LeftKeys: op.LeftKeys, RightKeys: op.RightKeys}, n, in)
}

// lookupMarks: only left changes have effects, each in its own step.
func lookupMarks(m *marks) {
	m.final = m.Final[0]
	m.blank()
	if !m.final {
		copy(m.Out, m.In[0])
	}
}

func (p *placer) lookup(node int, op *Lookup, in []int, out []types.Type) int {
	l, r := p.meet(node, in[0], in[1], op.LeftKeys, op.RightKeys)
	ld, rd := p.dists[l], p.dists[r]
	return p.add(node, op, []int{l, r}, out, dist{single: ld.single && rd.single, keys: ld.keys})
}

// lookup is Lookup at work. Right changes are added to an index by key; left ones
// wait until Flush, when the index is what it is in this step.
type lookup struct {
	Lookup
	node  int
	right *multimap
	nl    int
	left  blocks
	on    *expr.Predicate
	keys  []uint64
	rows  []uint64
	keyed batch.Batch
	sel   []uint32
	nulls []batch.Column
	out   batch.Batch
	cols  []batch.Column // of the right rows of pairs
	// Pairs of the left block at work: its rows, right rows, weights.
	mine, theirs []uint32
	weights      []int64
	matched      []bool
}

func newLookup(env Env, op *Lookup) (*lookup, error) {
	x := &lookup{Lookup: *op, node: env.Node, nl: len(env.In[0])}
	if op.On != nil {
		var err error
		if x.on, err = expr.CompilePredicate(op.On); err != nil {
			return nil, err
		}
	}
	x.right = newMultimap(env.memory(), env.In[1], op.RightKeys, rowPlain)
	x.left.types = env.In[0]
	x.keys, x.rows = make([]uint64, batch.BlockRows), make([]uint64, batch.BlockRows)
	x.sel = make([]uint32, 0, batch.BlockRows)
	x.nulls = nullColumns(env.In[1])
	x.cols = typedColumns(slices.Concat(env.In[0], env.In[1]))
	x.mine, x.theirs = make([]uint32, 0, batch.BlockRows), make([]uint32, 0, batch.BlockRows)
	x.weights = make([]int64, 0, batch.BlockRows)
	x.matched = make([]bool, batch.BlockRows)
	return x, nil
}

func (x *lookup) Push(_ *Step, port int, b *batch.Batch, _ Emitter) {
	if port == 0 {
		x.left.add(b)
		return
	}
	x.sel = x.sel[:0]
	for k, n := 0, b.Len(); k < n; k++ {
		if i := b.Row(k); !anyNull(b, x.RightKeys, i) {
			x.sel = append(x.sel, uint32(i))
		}
	}
	if len(x.sel) == 0 {
		return
	}
	x.keyed = *b
	x.keyed.Sel = x.sel
	x.keys = batch.HashRows(x.keys[:cap(x.keys)], &x.keyed, x.RightKeys)
	x.rows = batch.HashRows(x.rows[:cap(x.rows)], &x.keyed, x.right.all)
	x.right.addAll(x.keys, x.rows, &x.keyed, nil, nil)
}

func (x *lookup) Flush(st *Step, out Emitter) {
	x.left.each(func(b *batch.Batch) {
		if !st.Stopped() {
			x.block(st, b, out)
			st.Rest()
		}
	})
	x.left.reset()
	x.right.endStep()
}

// block looks up the rows of one left block.
func (x *lookup) block(st *Step, b *batch.Batch, out Emitter) {
	clear(x.matched)
	x.keys = batch.HashRows(x.keys[:cap(x.keys)], b, x.LeftKeys)
	for from := 0; from < len(x.keys); from += probeRows {
		hashes := x.keys[from:min(from+probeRows, len(x.keys))]
		heads := x.right.headsOf(x.right.t.findAll(x.right.found, hashes, b, x.LeftKeys, from))
		x.right.fetch(heads)
		x.pair(st, b, from, heads, out)
	}
	x.emitPairs(st, b, out)
	if x.Outer {
		x.emitLone(b, out)
	}
}

// pair pairs the rows of b from the from-th on each with the right rows of its key, of
// which the first are given.
func (x *lookup) pair(st *Step, b *batch.Batch, from int, heads []uint32, out Emitter) {
	for k, r := range heads {
		i := b.Row(from + k)
		if r == 0 || anyNull(b, x.LeftKeys, i) {
			continue
		}
		for r != 0 && !st.Stopped() {
			w := x.right.row(r)
			if n := int64(w[rowWeight]); n != 0 {
				x.mine, x.theirs = append(x.mine, uint32(i)), append(x.theirs, r)
				x.weights = append(x.weights, n*b.Weight(i))
				if len(x.mine) == batch.BlockRows {
					x.emitPairs(st, b, out)
				}
			}
			r = next(w)
		}
	}
}

// emitPairs emits those of the pairs that meet the condition.
func (x *lookup) emitPairs(st *Step, b *batch.Batch, out Emitter) {
	if len(x.mine) == 0 {
		return
	}
	for c := range x.cols {
		if c < x.nl {
			t := x.cols[c].Type
			batch.GatherColumn(&x.cols[c], &b.Cols[c], x.mine)
			x.cols[c].Type = t
		} else {
			x.right.gather(&x.cols[c], c-x.nl, x.theirs)
		}
	}
	p := batch.Batch{Cols: x.cols, N: len(x.mine), Weights: x.weights}
	if x.on == nil {
		for _, i := range x.mine {
			x.matched[i] = true
		}
	} else {
		p.Sel = x.on.Select(&st.Ctx, &p)
		if len(st.Ctx.Errs) > 0 {
			st.evalErrors(x.node, &p)
		}
		for _, k := range p.Sel {
			x.matched[x.mine[k]] = true
		}
	}
	if x.on == nil || len(p.Sel) > 0 {
		out.Emit(&p)
	}
	x.mine, x.theirs, x.weights = x.mine[:0], x.theirs[:0], x.weights[:0]
}

// emitLone emits the rows of b that met nothing.
func (x *lookup) emitLone(b *batch.Batch, out Emitter) {
	x.sel = x.sel[:0]
	for k, n := 0, b.Len(); k < n; k++ {
		if i := b.Row(k); !x.matched[i] {
			x.sel = append(x.sel, uint32(i))
		}
	}
	if len(x.sel) == 0 {
		return
	}
	x.out = batch.Batch{Cols: append(append(x.out.Cols[:0], b.Cols...), x.nulls...), N: b.N, Sel: x.sel, Weights: b.Weights}
	out.Emit(&x.out)
}

func (x *lookup) persist(p *state.Persist) {
	atRest(p, "rows to look up", x.left.n)
	x.right.persist(p)
}

// StateBytes implements Operator.
func (x *lookup) StateBytes() int64 { return x.right.bytes() + x.left.bytes }
