package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
)

// project computes a new row from each row.
//
// It is linear. The new block has the selection and the weights of the old one;
// columns that are only passed on alias it. A row one of whose expressions goes
// wrong is withheld, and so will its withdrawal be, since it goes wrong alike.
type project struct {
	node int
	prog *expr.Program
	out  batch.Batch
	good rowSet
}

func newProject(env Env, op *Project) (Operator, error) {
	prog, err := expr.Compile(op.Exprs)
	if err != nil {
		return nil, err
	}
	return &project{node: env.Node, prog: prog, out: batch.Batch{Cols: make([]batch.Column, len(op.Exprs))}}, nil
}

func (p *project) Push(st *Step, _ int, b *batch.Batch, out Emitter) {
	p.prog.Eval(&st.Ctx, b, p.out.Cols)
	p.out.N, p.out.Sel, p.out.Weights = b.N, b.Sel, b.Weights
	if len(st.Ctx.Errs) > 0 {
		p.out.Sel = p.good.without(b, st.Ctx.Errs)
		st.evalErrors(p.node, b)
	}
	out.Emit(&p.out)
}

func (p *project) Flush(*Step, Emitter) {}

func (p *project) StateBytes() int64 { return 0 }

// evalErrors notes the errors of the last evaluation over b, one a row, and
// forgets them in the context.
func (st *Step) evalErrors(node int, b *batch.Batch) {
	for k, e := range st.Ctx.Errs {
		if k > 0 && seen(st.Ctx.Errs[:k], e.Row) {
			continue
		}
		st.RowError(node, b, e.Row, e.Err)
	}
	st.Ctx.Errs = st.Ctx.Errs[:0]
}

// seen reports whether row is among errs. Errors of a block are few, or the
// search is cut short by those of one expression being in order of rows.
func seen(errs []expr.RowError, row int) bool {
	for i := len(errs) - 1; i >= 0; i-- {
		if errs[i].Row == row {
			return true
		}
	}
	return false
}

// rowSet narrows selections.
type rowSet struct {
	bad batch.Bitmap
	sel []uint32
}

// without returns the selected rows of b that no error names; valid until the next call.
func (s *rowSet) without(b *batch.Batch, errs []expr.RowError) []uint32 {
	s.bad = batch.NewBitmap(s.bad, b.N)
	for _, e := range errs {
		s.bad.Set(e.Row)
	}
	if s.sel == nil {
		s.sel = make([]uint32, 0, batch.BlockRows)
	}
	s.sel = s.sel[:0]
	for k, n := 0, b.Len(); k < n; k++ {
		if i := b.Row(k); !s.bad.Get(i) {
			s.sel = append(s.sel, uint32(i))
		}
	}
	return s.sel
}
