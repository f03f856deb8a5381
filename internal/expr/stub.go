package expr

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

type vecKernel func()
type rowKernel func()
type prepFunc func()
type setKernel func()
type kernels struct {
	vec  vecKernel
	row  rowKernel
	prep prepFunc
}

func hostRow()                       {}
func allKernels() map[string]kernels { return nil }

// Program and Predicate get their bodies next.
type Program struct{}
type Predicate struct{}

func Compile(es []Expr) (*Program, error)                             { panic("expr: not built yet") }
func (p *Program) Eval(ctx *Ctx, in *batch.Batch, out []batch.Column) { panic("expr: not built yet") }
func CompilePredicate(e Expr) (*Predicate, error)                     { panic("expr: not built yet") }
func (p *Predicate) Select(ctx *Ctx, in *batch.Batch) []uint32        { panic("expr: not built yet") }
func EvalConst(ctx *Ctx, e Expr) (types.Value, error)                 { panic("expr: not built yet") }
