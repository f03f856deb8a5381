// Package expr holds bound scalar expressions, the registry of functions,
// operators and aggregates, and the vectorised kernels that compute them.
package expr

import "github.com/tidemill/tidemill/internal/types"

// Expr is a bound, typed scalar expression over the columns of one row type.
// Expressions are immutable data: compile them with Compile to run them.
type Expr interface {
	// Type is the type of the result.
	Type() types.Type
	// String prints the expression for EXPLAIN and for the circuit hash: equal
	// strings mean equal computations over the same input.
	String() string
	isExpr()
}

// Col is column Index of the input row.
type Col struct {
	Index int
	T     types.Type
	Name  string // for EXPLAIN; not part of the meaning
}

// Const is a literal.
type Const struct{ V types.Value }

// Param is parameter $Index+1 of a prepared statement; its value is in Ctx.Params.
type Param struct {
	Index int
	T     types.Type
}

// Call applies a function or operator to arguments that already have exactly
// the types its kernel wants (see Resolve).
type Call struct {
	Fn   *Func
	Args []Expr
	T    types.Type
}

// Cast converts to T, with PostgreSQL's rules for the context it was written in.
type Cast struct {
	Arg      Expr
	T        types.Type
	Explicit bool // CAST or ::, which truncates varchar(n) silently; else assignment
}

// Logic is AND or OR of two or more booleans, in three-valued logic. An argument
// is not evaluated for rows that earlier arguments decided.
type Logic struct {
	Or   bool
	Args []Expr
}

// Not is boolean NOT.
type Not struct{ Arg Expr }

// IsNull is IS NULL, or IS NOT NULL when Negate.
type IsNull struct {
	Arg    Expr
	Negate bool
}

// IsBool is IS [NOT] TRUE, FALSE or UNKNOWN.
type IsBool struct {
	Arg    Expr
	Want   Truth
	Negate bool
}

// Truth is a value of three-valued logic.
type Truth uint8

// The truth values.
const (
	True Truth = iota
	False
	UnknownTruth
)

// Distinct is IS DISTINCT FROM, or IS NOT DISTINCT FROM when Negate. Both
// arguments have the same type.
type Distinct struct {
	L, R   Expr
	Negate bool
}

// Case is searched CASE: the first arm whose condition is true gives the result.
// Arms and conditions are evaluated only for the rows that reach them.
type Case struct {
	Whens []When
	Else  Expr // nil: NULL
	T     types.Type
}

// When is one arm of a Case.
type When struct{ Cond, Then Expr }

// Coalesce is the first argument that is not NULL, evaluated lazily.
type Coalesce struct {
	Args []Expr
	T    types.Type
}

// InList is Arg IN (list) over constants of Arg's type, none of them NULL unless
// HasNull, with SQL's NULL rules.
type InList struct {
	Arg     Expr
	List    []types.Value
	HasNull bool
	Negate  bool
}

// Now is the logical time of the step, or of the statement outside a view:
// now(), CURRENT_TIMESTAMP as timestamptz.
type Now struct{}

func (Col) isExpr()       {}
func (Const) isExpr()     {}
func (Param) isExpr()     {}
func (*Call) isExpr()     {}
func (*Cast) isExpr()     {}
func (*Logic) isExpr()    {}
func (*Not) isExpr()      {}
func (*IsNull) isExpr()   {}
func (*IsBool) isExpr()   {}
func (*Distinct) isExpr() {}
func (*Case) isExpr()     {}
func (*Coalesce) isExpr() {}
func (*InList) isExpr()   {}
func (Now) isExpr()       {}

// Type implements Expr.
func (e Col) Type() types.Type { return e.T }

// Type implements Expr.
func (e Const) Type() types.Type { return e.V.T }

// Type implements Expr.
func (e Param) Type() types.Type { return e.T }

// Type implements Expr.
func (e *Call) Type() types.Type { return e.T }

// Type implements Expr.
func (e *Cast) Type() types.Type { return e.T }

// Type implements Expr.
func (e *Logic) Type() types.Type { return types.T(types.Bool) }

// Type implements Expr.
func (e *Not) Type() types.Type { return types.T(types.Bool) }

// Type implements Expr.
func (e *IsNull) Type() types.Type { return types.T(types.Bool) }

// Type implements Expr.
func (e *IsBool) Type() types.Type { return types.T(types.Bool) }

// Type implements Expr.
func (e *Distinct) Type() types.Type { return types.T(types.Bool) }

// Type implements Expr.
func (e *Case) Type() types.Type { return e.T }

// Type implements Expr.
func (e *Coalesce) Type() types.Type { return e.T }

// Type implements Expr.
func (e *InList) Type() types.Type { return types.T(types.Bool) }

// Type implements Expr.
func (e Now) Type() types.Type { return types.T(types.TimestampTZ) }
