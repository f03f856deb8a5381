// Package flow holds circuits: operators on batches of changes (Z-sets), after
// Budiu et al., "DBSP", VLDB 2023. A Spec says what a circuit computes; a
// Circuit runs it, step by step, on its share of the shards.
package flow

import (
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// Spec is a circuit as data: nodes in topological order (a node's inputs come
// before it). It is immutable once built.
type Spec struct{ Nodes []Node }

// Node is one operator of a circuit.
type Node struct {
	Op  Op
	In  []int        // indexes of the nodes it reads, in port order
	Out []types.Type // the row type it emits
	// Names are the columns' names, for EXPLAIN only; may be nil.
	Names []string
}

// Op is what a node does: one of the structs below.
type Op interface {
	// Describe prints the operator with its parameters for EXPLAIN and for the
	// circuit hash; Names have no part in it.
	Describe() string
	isOp()
}

// Input receives the changes of relation Rel. Source nodes of the circuit.
type Input struct {
	Rel        string // the relation's key, given by the catalog
	AppendOnly bool   // weights are never negative
}

// Values is a constant relation, there from the first step on.
type Values struct{ Rows *batch.Batch }

// Filter keeps the rows for which Pred is true.
type Filter struct{ Pred expr.Expr }

// Project computes a new row from each row.
type Project struct{ Exprs []expr.Expr }

// ProjectSet appends to each row one column with the values of a set-returning
// function of it: a row for each value.
type ProjectSet struct {
	Fn   *expr.SetFunc
	Args []expr.Expr
	// Ordinality appends a bigint column that numbers the values from 1.
	Ordinality bool
}

// Window appends window_start and window_end (same type as column Time, a
// timestamp or timestamptz) to each row, a row for each window that holds it.
// TUMBLE is Slide == Size. Rows whose time is NULL are dropped.
type Window struct {
	Time                int
	Slide, Size, Offset int64 // microseconds; Size >= Slide > 0
	// Step, unless 0, makes it CUMULATE: of each window, which do not overlap, there are
	// those of lengths Step, 2*Step ... up to Size with the same start. Size is a
	// multiple of Step and equal to Slide.
	Step int64
}

// Union adds its inputs: UNION ALL.
type Union struct{}

// Distinct maps every positive weight to 1 and drops the rest.
type Distinct struct{}

// SetOp is INTERSECT or EXCEPT of two inputs; NULLs compare equal.
type SetOp struct {
	Except bool // else INTERSECT
	All    bool
}

// JoinKind says which rows a join gives.
type JoinKind uint8

// The joins. Semi and Anti give left rows only. AntiNull is NOT IN's anti join:
// a left row passes if the right side is empty, or if its key has no NULL,
// equals no right key, and no right key has a NULL (single-column keys after Corr
// leading correlation columns compared normally).
const (
	JoinInner JoinKind = iota
	JoinLeft
	JoinRight
	JoinFull
	JoinSemi
	JoinAnti
	JoinAntiNull
)

// Join combines two inputs on equal keys. The output row is left || right, or
// the left row alone for Semi and Anti kinds. NULL keys match nothing, unless
// NullSafe. No keys at all: cross join, done on one shard.
type Join struct {
	Kind      JoinKind
	LeftKeys  []int
	RightKeys []int
	NullSafe  bool // keys compare with IS NOT DISTINCT FROM
	// On is a further condition over left || right, nil if none. For outer, semi
	// and anti kinds it decides what a match is.
	On expr.Expr
	// Between says what On, or else the join, demands of two times; nil if nothing.
	Between *Between
}

// Between bounds how far the times of the two sides of a join lie apart: a pair
// matches only if Lo <= left - right <= Hi. The condition itself is part of On as
// well; this is what lets the join forget.
type Between struct {
	Left, Right int   // time columns of the left and the right input
	Lo, Hi      int64 // in the units of the columns, microseconds for timestamps
}

// Unbounded is Between.Hi, and -Unbounded is Between.Lo, where there is no such bound.
const Unbounded = math.MaxInt64

// Aggregate groups by Keys and gives Keys || one column a call. With no keys
// and Scalar, it gives exactly one row, also for empty input.
type Aggregate struct {
	Keys   []int
	Calls  []AggCall
	Scalar bool
	// OnClose gives a group's row once, when Keys[CloseKey], of integer layout, lies
	// below its column's mark, and nothing before: EMIT ON WINDOW CLOSE. A group whose
	// key is NULL there is never given.
	OnClose  bool
	CloseKey int
}

// AggCall is one aggregate of an Aggregate.
type AggCall struct {
	Fn       *expr.AggFunc
	Args     []int // input columns; empty for count(*)
	Distinct bool
	Filter   int       // boolean input column that must be true, or -1
	Order    []SortKey // string_agg(x ORDER BY ...); nil if none
	Ret      types.Type
}

// SortKey orders by one column.
type SortKey struct {
	Col        int
	Desc       bool
	NullsFirst bool
}

// TopN keeps, of each partition, rows Offset+1 to Offset+Limit by Order, ties
// broken by the whole row. Limit < 0 means no limit.
type TopN struct {
	Partition     []int
	Order         []SortKey
	Limit, Offset int64
	// Rank says how places are counted. With RankGaps and RankDense rows that are
	// equal by Order share a place.
	Rank RankKind
	// Number appends each row's place as a bigint.
	Number bool
}

// RankKind is a way of counting the rows of a partition.
type RankKind uint8

// The counts: every row has a number of its own, as ROW_NUMBER; a row has one more
// than there are rows ahead of it and its peers, as RANK; or one more than there are
// different values ahead, as DENSE_RANK.
const (
	RankRows RankKind = iota
	RankGaps
	RankDense
)

// Exchange sends each row to the worker that owns the shard of its key. No keys:
// everything to shard 0. The planner does not place exchanges: New does, where
// an operator's key needs one.
type Exchange struct{ Keys []int }

// Output is a result of the circuit: the view's changes, consolidated, once a step.
type Output struct{ Name string }

func (*Input) isOp()      {}
func (*Values) isOp()     {}
func (*Filter) isOp()     {}
func (*Project) isOp()    {}
func (*ProjectSet) isOp() {}
func (*Window) isOp()     {}
func (*Union) isOp()      {}
func (*Distinct) isOp()   {}
func (*SetOp) isOp()      {}
func (*Join) isOp()       {}
func (*Aggregate) isOp()  {}
func (*TopN) isOp()       {}
func (*Exchange) isOp()   {}
func (*Output) isOp()     {}
