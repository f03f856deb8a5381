package expr

import "github.com/tidemill/tidemill/internal/types"

// Func is one overload of a scalar function or operator.
type Func struct {
	Name       string
	Args       []types.Type
	Ret        types.Type
	Volatility Volatility
	Strict     bool // NULL in, NULL out, without calling the kernel
}

// SetFunc is one overload of a set-returning function.
type SetFunc struct {
	Name string
	Args []types.Type
	Ret  types.Type
}
