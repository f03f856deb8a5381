package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// projectSet appends to each row the values of a set-returning function of it, a row
// for each value.
//
// It is linear: a row's values depend on the row alone. The values of many rows are
// gathered in a block; those of one row may fill several. A row whose function
// goes wrong is withheld: what was emitted of it already is taken back.
type projectSet struct {
	ProjectSet
	node    int
	args    *expr.Program
	vals    []batch.Column // of args
	good    rowSet
	rows    []uint32 // of the block being pushed, for each value
	weights []int64
	value   batch.Column
	number  batch.Column
	out     batch.Batch
}

func newProjectSet(env Env, op *ProjectSet) (Operator, error) {
	args, err := expr.Compile(op.Args)
	if err != nil {
		return nil, err
	}
	p := &projectSet{
		ProjectSet: *op, node: env.Node, args: args, vals: make([]batch.Column, len(op.Args)),
		rows: make([]uint32, 0, batch.BlockRows), weights: make([]int64, 0, batch.BlockRows),
		out: batch.Batch{Cols: typedColumns(env.Out)},
	}
	p.value.Type = env.Out[len(env.In[0])]
	p.number.Type = types.T(types.Int8)
	return p, nil
}

func (p *projectSet) Push(st *Step, _ int, b *batch.Batch, out Emitter) {
	p.args.Eval(&st.Ctx, b, p.vals)
	view := *b
	if len(st.Ctx.Errs) > 0 {
		view.Sel = p.good.without(b, st.Ctx.Errs)
		st.evalErrors(p.node, b)
	}
	for k, n := 0, view.Len(); k < n && !st.Stopped(); k++ {
		i := view.Row(k)
		w := b.Weight(i)
		if done, err := p.expand(st, b, i, w, -1, out); err != nil {
			p.expand(st, b, i, -w, done, out)
			st.RowError(p.node, b, i, err)
		}
	}
	p.emit(b, out)
}

// expand adds the values of row i with weight w: all, or the first most if most is
// not negative. It returns how many there were, also when there is an error.
func (p *projectSet) expand(st *Step, b *batch.Batch, i int, w int64, most int, out Emitter) (done int, err *types.Error) {
	for more := true; more && !st.Stopped(); {
		if len(p.rows) == batch.BlockRows {
			p.emit(b, out)
		}
		room := batch.BlockRows - len(p.rows)
		if most >= 0 {
			room = min(room, most-done)
		}
		if room == 0 {
			break
		}
		var n int
		n, more, err = p.Fn.Expand(&st.Ctx, p.vals, i, &p.value, len(p.rows), done, room)
		for range n {
			done++
			p.number.AppendInt(len(p.rows), int64(done))
			p.rows, p.weights = append(p.rows, uint32(i)), append(p.weights, w)
		}
		if err != nil {
			break
		}
	}
	return done, err
}

// emit emits the values so far, each after its row.
func (p *projectSet) emit(b *batch.Batch, out Emitter) {
	if len(p.rows) == 0 {
		return
	}
	n := len(b.Cols)
	for c := range b.Cols {
		batch.GatherColumn(&p.out.Cols[c], &b.Cols[c], p.rows)
	}
	p.out.Cols[n] = p.value
	if p.Ordinality {
		p.out.Cols[n+1] = p.number
	}
	p.out.N, p.out.Weights = len(p.rows), p.weights
	out.Emit(&p.out)
	p.rows, p.weights = p.rows[:0], p.weights[:0]
	p.value.Truncate()
	p.number.Truncate()
}

func (p *projectSet) Flush(*Step, Emitter) {}

func (p *projectSet) StateBytes() int64 { return 0 }
