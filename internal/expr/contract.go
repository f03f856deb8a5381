package expr

import (
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Ctx is what an evaluation may depend on besides its input.
type Ctx struct {
	Now    int64          // logical time, microseconds since 2000-01-01 UTC
	Zone   *time.Location // session time zone; nil means UTC (always so in views)
	Params []types.Value  // values of Param
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

// Volatility says when a function may be computed ahead of time.
type Volatility uint8

// The volatilities, as in PostgreSQL.
const (
	Immutable Volatility = iota // same arguments, same result
	Stable                      // same within a statement (depends on Ctx)
	Volatile                    // may differ at each call; refused in views
)

// Program computes a list of expressions over batches. It owns its scratch
// memory: one goroutine at a time, and results are valid until the next Eval.
//
//	func Compile(es []Expr) (*Program, error)
//
//	// Eval computes every expression for the selected rows of in. out[k] gets
//	// expression k, aligned with in's physical rows: only rows in in.Sel are
//	// defined, and out[k] may alias a column of in. out has len(es) columns.
//	func (p *Program) Eval(ctx *Ctx, in *batch.Batch, out []batch.Column)
//
//	// CompilePredicate compiles a boolean expression for Select.
//	func CompilePredicate(e Expr) (*Predicate, error)
//
//	// Select returns the selected rows of in for which the predicate is true
//	// (neither false nor NULL nor in error), ascending; valid until the next Select.
//	func (p *Predicate) Select(ctx *Ctx, in *batch.Batch) []uint32
//
//	// EvalConst evaluates an expression without columns.
//	func EvalConst(ctx *Ctx, e Expr) (types.Value, error)
//
// Resolution, PostgreSQL's rules for overloads (functions and operators in one
// registry; operators by their symbol, unary ones with one argument):
//
//	// Resolve picks the overload of name for argument types args (Unknown for
//	// untyped literals and parameters) and returns it with the types the
//	// arguments must be cast to and the type of the result.
//	func Resolve(name string, args []types.Type) (fn *Func, cast []types.Type, ret types.Type, err error)
//	// ResolveAgg is the same for aggregates. count(*) has no argument.
//	func ResolveAgg(name string, args []types.Type) (fn *AggFunc, cast []types.Type, ret types.Type, err error)
//	// ResolveSet is the same for set-returning functions (generate_series, unnest).
//	func ResolveSet(name string, args []types.Type) (fn *SetFunc, cast []types.Type, ret types.Type, err error)
//	// UnifyTypes gives the common type of CASE arms, UNION columns, VALUES, COALESCE.
//	func UnifyTypes(what string, ts []types.Type) (types.Type, error)
var _ = batch.BlockRows

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
