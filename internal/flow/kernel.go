package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// What follows stands for package expr's compiler until that is there.

type program struct{}

func (*program) Eval(*expr.Ctx, *batch.Batch, []batch.Column) {}

type predicate struct{}

func (*predicate) Select(*expr.Ctx, *batch.Batch) []uint32 { return nil }

func compile([]expr.Expr) (*program, error) {
	return nil, &types.Error{Code: types.CodeFeature, Message: "expressions are not built in yet"}
}

func compilePredicate(expr.Expr) (*predicate, error) {
	return nil, &types.Error{Code: types.CodeFeature, Message: "expressions are not built in yet"}
}
