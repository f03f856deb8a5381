package flow

import "github.com/tidemill/tidemill/internal/types"

// newAggregate and newDistinct stand here until agg.go and distinct.go define them.

func newAggregate(env Env, op *Aggregate) (Operator, error) {
	return nil, &types.Error{Code: types.CodeFeature, Message: "aggregate is not built in yet"}
}

func newDistinct(env Env, op *Distinct) (Operator, error) {
	return nil, &types.Error{Code: types.CodeFeature, Message: "distinct is not built in yet"}
}
