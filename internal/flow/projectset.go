package flow

import "github.com/tidemill/tidemill/internal/types"

func newProjectSet(env Env, op *ProjectSet) (Operator, error) {
	return nil, &types.Error{Code: types.CodeFeature, Message: "set-returning functions are not built in yet"}
}
