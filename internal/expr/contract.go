package expr

import (
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

// Ctx is what an evaluation may depend on besides its input.
type Ctx struct {
	Now    int64          // logical time, microseconds since 2000-01-01 UTC
	Zone   *time.Location // session time zone; nil means UTC (always so in views)
	Params []types.Value  // values of Param
	// Host answers the few functions that need the catalog (pg_get_viewdef and the
	// like). Without one they are error 0A000.
	Host Host
	// Random gives numbers from 0 up to 1 for random(); nil makes it error 0A000.
	Random func() float64
	// Errs collects rows whose evaluation went wrong (division by zero, overflow,
	// bad cast), in the order met. Their results are NULL; the caller decides
	// whether the statement fails or the row is withheld.
	Errs []RowError
}

// RowError is an evaluation error of one physical row of the input.
type RowError struct {
	Row int
	Err *types.Error
}

// Host computes functions that read the catalog. It is called once a row, with
// boxed arguments none of which is NULL, and returns a value of the function's type.
type Host interface {
	Call(name string, args []types.Value) (types.Value, *types.Error)
}

// Volatility says when a function may be computed ahead of time.
type Volatility uint8

// The volatilities, as in PostgreSQL.
const (
	Immutable Volatility = iota // same arguments, same result
	Stable                      // same within a statement (depends on Ctx)
	Volatile                    // may differ at each call; refused in views
)

// AggOp names an aggregate's computation; flow's aggregate operator implements it.
type AggOp uint8

// The aggregates. Sum and Avg work by the argument's layout: Int sums in 128
// bits, Float in an exact accumulator, Dec in decimals, Ivl by fields.
const (
	AggCountStar AggOp = iota // rows
	AggCount                  // values that are not NULL
	AggSum
	AggAvg
	AggMin
	AggMax
	AggBoolAnd
	AggBoolOr
	AggStringAgg // sorted by the value when no ORDER BY says otherwise, so that order never shows
	AggStddevSamp
	AggStddevPop
	AggVarSamp
	AggVarPop
	AggAnyValue // the least value, so that it is deterministic
	AggSingle   // the only value of the group; more than one is error 21000 (scalar subqueries)
)

// AggFunc is one overload of an aggregate.
type AggFunc struct {
	Name string
	Op   AggOp
	Args []types.Type
	Ret  types.Type
}
