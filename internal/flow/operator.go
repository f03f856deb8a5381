package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// Operator is the running form of one node on one worker. It owns its state and
// scratch; one goroutine at a time uses it.
//
// In a step it gets any number of Push calls, on any port in any order, and then
// exactly one Flush. Linear operators emit at Push. Operators whose output is a
// function of the whole step's input update their state at Push and emit at Flush
// the difference to what they emitted before. The sum of what is emitted in a
// step must not depend on how its input was cut into blocks, nor on their order.
type Operator interface {
	// Push takes block b, of at most batch.BlockRows physical rows, on input port.
	// b is borrowed until Push returns: it may not be changed, and what is kept
	// must be copied. Weights may be any integer except 0; the rows of a step may
	// cancel each other.
	Push(st *Step, port int, b *batch.Batch, out Emitter)
	// Flush ends the step. Every input has been pushed.
	Flush(st *Step, out Emitter)
	// StateBytes returns about how much memory the operator's state holds. It is
	// asked for after every block, so it must be cheap.
	StateBytes() int64
}

// Emitter takes what an operator emits: a block of at most batch.BlockRows
// physical rows, borrowed until Emit returns; no row has weight 0. Its columns
// may alias the block being pushed. Blocks without selected rows may be emitted
// and go nowhere.
type Emitter interface{ Emit(b *batch.Batch) }

// Env is what an operator is built for.
type Env struct {
	Node int            // index in the spec, for errors
	In   [][]types.Type // row type of each input port
	Out  []types.Type   // row type emitted
	// AppendOnly says of each input port that its weights are never below 0; nil: no.
	AppendOnly []bool
	// Marks are those of the operator's inputs and output in the step it is in; nil in
	// tests of an operator alone means that there are none.
	Marks *Marks
	// Memory keeps the operator's state; nil in tests of an operator alone.
	Memory *state.Memory
}

// MaxRowErrors is how many row errors a worker keeps of one step; beyond it they
// are only counted.
const MaxRowErrors = 1000

// RowError says that a row could not be computed. The row is withheld from the
// operator's output.
type RowError struct {
	Node   int           // index in the spec of the operator
	Err    *types.Error  // what went wrong
	Row    []types.Value // the operator's input row, boxed
	Weight int64         // of the row: below 0 when a withdrawal met the error
}

// Step is what operators may know about the step they are in. Every worker has
// its own.
type Step struct {
	N   int64    // number of the step
	Now int64    // logical time, microseconds since 2000-01-01 UTC
	Ctx expr.Ctx // for evaluating expressions; Ctx.Errs is empty between evaluations

	errs    []RowError
	errRows int64
	fail    error       // why the step is abandoned
	stop    func() bool // Options.Stop
	asked   int         // how often Stopped was
	memory  *state.Memory
	rows    int // calls of RestAfter since the last rest
}

// Rest lets state leave memory if there is too much of it. An operator that makes much
// output, or goes through much of its state, calls it between blocks: in its own Flush
// and nowhere else, since there nobody above it holds a slice of a page, and while it
// holds none itself.
func (st *Step) Rest() {
	if st.memory != nil {
		st.memory.Rest()
	}
	st.rows = 0
}

// RestAfter is Rest once there have been as many calls as a block has rows.
func (st *Step) RestAfter() {
	if st.rows++; st.rows >= batch.BlockRows {
		st.Rest()
	}
}

// RowError notes that physical row i of b, in the input row type of node, could not
// be computed. It copies the row.
func (st *Step) RowError(node int, b *batch.Batch, i int, err *types.Error) {
	st.errRows++
	if len(st.errs) >= MaxRowErrors {
		return
	}
	st.errs = append(st.errs, RowError{Node: node, Err: err, Row: b.RowValues(i), Weight: b.Weight(i)})
}

// Stopped reports that the step is being abandoned, because of a limit or because
// its caller wants so. Operators that emit many blocks for one, or compute as much
// and emit nothing, look at it.
func (st *Step) Stopped() bool {
	if st.stop != nil && st.fail == nil {
		if st.asked++; st.asked%stopEvery == 0 && st.stop() {
			st.fail = errStopped()
		}
	}
	return st.fail != nil
}
