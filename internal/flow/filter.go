package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
)

// filter keeps the rows for which a predicate is true.
//
// It is linear: filter(a + b) = filter(a) + filter(b), so it works on changes
// alone, and a withdrawn row takes the way the row took when it came. The block
// goes on as it is, under a narrower selection.
type filter struct {
	node int
	pred *expr.Predicate
	out  batch.Batch
}

func newFilter(env Env, op *Filter) (Operator, error) {
	pred, err := expr.CompilePredicate(op.Pred)
	if err != nil {
		return nil, err
	}
	return &filter{node: env.Node, pred: pred}, nil
}

func (f *filter) Push(st *Step, _ int, b *batch.Batch, out Emitter) {
	sel := f.pred.Select(&st.Ctx, b)
	if len(st.Ctx.Errs) > 0 {
		st.evalErrors(f.node, b) // they are not selected
	}
	if len(sel) == 0 {
		return
	}
	f.out = *b
	f.out.Sel = sel
	out.Emit(&f.out)
}

func (f *filter) Flush(*Step, Emitter) {}

func (f *filter) StateBytes() int64 { return 0 }
