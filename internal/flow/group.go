package flow

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// Options say how a circuit runs. Results do not depend on Workers.
type Options struct {
	// Workers is how many circuits share the work, 1 to batch.Shards. Shard s belongs
	// to worker s % Workers. 0 means 1.
	Workers int
	// MaxStateBytes bounds the memory of all operators together, without what can leave
	// memory by Backing and Budget; past it the step fails with 53200. 0 means no limit.
	MaxStateBytes int64
	Zone          *time.Location // session time zone; nil means UTC
	Params        []types.Value  // values of parameters
	// Clock tells the time in nanoseconds from any moment on, from any worker, to
	// measure how long operators work; nil if that is not to be measured.
	Clock func() int64
	// Host answers functions that need the catalog, from any worker; nil if it may not be asked.
	Host expr.Host
	// Random serves random(), from any worker; nil, as in views, makes it an error.
	Random func() float64
	// Backing keeps state that is not in memory, and Budget bounds that which is; nil:
	// all state is in memory. Owner, of 40 bits, names the circuit among all that share
	// the backing. CheckWrites makes Freeze look for writes that nobody announced, for
	// tests.
	Backing     state.Backing
	Budget      *state.Budget
	Owner       uint64
	CheckWrites bool
	// Stop, if not nil, is asked after every few blocks, by any worker; once it
	// reports true the step fails with 57014.
	Stop func() bool
}

// Group is a circuit on a number of workers. A step is
//
//	BeginStep, Push..., then for each stage k: RunStage(k) on every circuit and
//	Exchange(k), and EndStep.
//
// Push and RunStage for different workers may be called from different goroutines
// at the same time; everything else needs all of them to be at rest. After an
// error the group is spent.
type Group struct {
	spec     *Spec
	opt      Options
	circuits []*Circuit
	stages   int
	now      int64
	marks    map[string][]int64 // set since the last step
	fail     error
}

// Result is what one Output node of the circuit gives in a step.
type Result struct {
	Name string
	// Batch is the step's changes: no row twice, no weight 0, ordered by the whole
	// row, sealed.
	Batch *batch.Batch
	// Digest depends on the changes alone.
	Digest batch.Digest
	// Marks are those of the output's columns from now on. They belong to the group
	// until the next step.
	Marks []int64
}

// StepErrors are the rows that a step could not compute.
type StepErrors struct {
	// Rows are up to MaxRowErrors of them a worker, without those that cancel each
	// other, in order of node, message and row.
	Rows []RowError
	// Total counts all that were met, also those that cancel each other.
	Total int64
}

// New builds a group that runs spec.
func New(spec *Spec, opt Options) (*Group, error) {
	if opt.Workers == 0 {
		opt.Workers = 1
	}
	if opt.Workers < 1 || opt.Workers > batch.Shards {
		return nil, fmt.Errorf("circuit for %d workers: want 1 to %d", opt.Workers, batch.Shards)
	}
	if err := spec.check(); err != nil {
		return nil, err
	}
	nodes := place(spec, opt.Workers)
	g := &Group{spec: spec, opt: opt, marks: map[string][]int64{}}
	for _, n := range nodes {
		g.stages = max(g.stages, n.stage+1)
	}
	for w := range opt.Workers {
		c, err := newCircuit(nodes, w, opt)
		if err != nil {
			return nil, err
		}
		g.circuits = append(g.circuits, c)
	}
	for _, c := range g.circuits {
		c.connect(g.circuits)
	}
	return g, nil
}

// Bound sets the limits of the steps to come; see Options.
func (g *Group) Bound(maxStateBytes int64, stop func() bool) {
	g.opt.MaxStateBytes, g.opt.Stop = maxStateBytes, stop
	for _, c := range g.circuits {
		c.opt.MaxStateBytes, c.opt.Stop = maxStateBytes, stop
	}
}

// Workers returns the number of circuits.
func (g *Group) Workers() int { return len(g.circuits) }

// Stages returns how many stages a step has.
func (g *Group) Stages() int { return g.stages }

// Circuit returns the circuit of worker w.
func (g *Group) Circuit(w int) *Circuit { return g.circuits[w] }

// SetMarks sets the marks of relation rel's columns for the next step and all after
// it: once that step is over, no change of the relation will have a lower value in
// such a column. Marks that would go back stay. The group keeps cols until the next step.
func (g *Group) SetMarks(rel string, cols []int64) { g.marks[rel] = cols }

// NextTime returns the earliest logical time at which the circuit wants a step even
// if no input changes, math.MaxInt64 if time alone changes nothing. It may be called
// between steps.
func (g *Group) NextTime() int64 {
	next := int64(math.MaxInt64)
	for _, c := range g.circuits {
		for _, n := range c.nodes {
			if t, ok := n.op.(timed); ok {
				next = min(next, t.nextTime())
			}
		}
	}
	return next
}

// timed is an operator whose output changes by time passing.
type timed interface {
	// nextTime is the logical time of the next such change, math.MaxInt64 if none.
	nextTime() int64
}

// BeginStep starts step n with logical time now, microseconds since 2000 UTC.
func (g *Group) BeginStep(n, now int64) {
	for _, c := range g.circuits {
		c.begin(Step{
			N: n, Now: now, stop: g.opt.Stop,
			Ctx: expr.Ctx{Now: now, Zone: g.opt.Zone, Params: g.opt.Params, Host: g.opt.Host, Random: g.opt.Random, Errs: c.step.Ctx.Errs[:0]},
		}, g.marks)
	}
	clear(g.marks)
}

// Push gives worker w a block of changes of relation rel. b is borrowed. Which
// worker gets which rows is up to the caller.
func (g *Group) Push(rel string, w int, b *batch.Batch) error {
	return g.circuits[w].push(rel, b)
}

// Exchange hands over what stage k sent to other workers.
func (g *Group) Exchange(k int) error {
	_ = k // The receivers read the senders' buffers, which rest from now on.
	return g.check()
}

// check looks at the circuits' errors and the memory of all of them.
func (g *Group) check() error {
	if g.fail != nil {
		return g.fail
	}
	bytes := int64(0)
	for _, c := range g.circuits {
		if c.step.fail != nil {
			g.fail = c.step.fail
			return g.fail
		}
		bytes += c.fixed()
	}
	if g.opt.MaxStateBytes > 0 && bytes > g.opt.MaxStateBytes {
		g.fail = g.memoryError(bytes)
	}
	return g.fail
}

func (g *Group) memoryError(bytes int64) error {
	most, at := int64(-1), 0
	for i := range g.circuits[0].nodes {
		sum := int64(0)
		for _, c := range g.circuits {
			sum += c.nodes[i].bytes
		}
		if sum > most {
			most, at = sum, i
		}
	}
	return memoryError(g.circuits[0].nodes[at].label(), most, bytes, g.opt.MaxStateBytes)
}

func memoryError(what string, its, all, limit int64) error {
	return &types.Error{
		Code:    types.CodeOutOfMemory,
		Message: fmt.Sprintf("out of memory: the query's state of %d bytes is over its limit of %d", all, limit),
		Detail:  fmt.Sprintf("%s holds %d bytes.", what, its),
	}
}

// EndStep returns the changes of every Output, in the order of the spec's nodes,
// and the rows that could not be computed.
func (g *Group) EndStep() ([]Result, StepErrors, error) {
	if err := g.check(); err != nil {
		return nil, StepErrors{}, err
	}
	var out []Result
	for i, n := range g.circuits[0].nodes {
		if _, ok := n.op.(*output); !ok {
			continue
		}
		parts := make([]*batch.Batch, 0, len(g.circuits))
		size := int64(0) // of the parts
		var digest batch.Digest
		for _, c := range g.circuits {
			if o, ok := c.nodes[i].op.(*output); ok {
				r, d := o.take()
				digest = digest.Add(d)
				if r.N > 0 {
					parts = append(parts, r)
					size += r.SizeBytes()
				}
			}
		}
		// Merging takes twice their size besides.
		if held := g.fixed(); len(parts) > 1 && g.opt.MaxStateBytes > 0 && held+2*size > g.opt.MaxStateBytes {
			g.fail = memoryError(n.label(), 3*size, held+2*size, g.opt.MaxStateBytes)
			return nil, StepErrors{}, g.fail
		}
		for _, c := range g.circuits {
			c.recount(c.nodes[i])
		}
		b := n.op.(*output).merge(parts, g.opt.Stop)
		if b == nil {
			g.fail = errStopped()
			return nil, StepErrors{}, g.fail
		}
		out = append(out, Result{Name: n.op.(*output).name, Batch: b, Digest: digest, Marks: n.marks.Out})
	}
	return out, g.errors(), nil
}

// Step runs a whole step in the calling goroutine: input relations' blocks are
// dealt out to the workers in turn. For tests and ad-hoc queries.
func (g *Group) Step(n, now int64, in ...Feed) ([]Result, StepErrors, error) {
	for _, f := range in {
		if f.Marks != nil {
			g.SetMarks(f.Rel, f.Marks)
		}
	}
	g.BeginStep(n, now)
	k := 0
	for _, f := range in {
		for _, b := range f.Blocks {
			if err := g.Push(f.Rel, k%len(g.circuits), b); err != nil {
				return nil, StepErrors{}, err
			}
			k++
		}
	}
	for s := range g.stages {
		for _, c := range g.circuits {
			if err := c.RunStage(s); err != nil {
				return nil, StepErrors{}, err
			}
		}
		if err := g.Exchange(s); err != nil {
			return nil, StepErrors{}, err
		}
	}
	return g.EndStep()
}

// Feed is changes of one relation.
type Feed struct {
	Rel    string
	Blocks []*batch.Batch
	// Marks, if not nil, are those of the relation's columns from this step on.
	Marks []int64
}

// Counters are what a node has done since the group was built, over all workers.
type Counters struct {
	Node            int    // index in the spec; several running nodes may stand for one
	Label           string // the running operator, as EXPLAIN names it
	RowsIn, RowsOut int64
	StateBytes      int64
	Rows            int64 // rows or groups held, -1 if the operator holds none
	// Nanos is how long the operator has worked, what it emitted to not counted; 0
	// without Options.Clock.
	Nanos int64
	// Marks are those of the columns that it emits.
	Marks []int64
}

// String prints the counters as EXPLAIN ANALYZE does.
func (c Counters) String() string {
	s := fmt.Sprintf("rows in=%d out=%d", c.RowsIn, c.RowsOut)
	if c.Rows >= 0 {
		s += fmt.Sprintf(" held=%d", c.Rows)
	}
	s += fmt.Sprintf(" state=%d B", c.StateBytes)
	if c.Nanos > 0 {
		s += fmt.Sprintf(" time=%.3f ms", float64(c.Nanos)/1e6)
	}
	return s
}

// holder is an operator that can tell how many rows or groups it holds.
type holder interface{ rowsHeld() int64 }

// Counters returns the counters of the running nodes, inputs first. It may be
// called between steps.
func (g *Group) Counters() []Counters {
	out := make([]Counters, len(g.circuits[0].nodes))
	held := make([]int64, len(out))
	for i := range out {
		out[i].Rows = -1
		out[i].Marks = slices.Clone(g.circuits[0].nodes[i].marks.Out)
		for _, c := range g.circuits {
			n := c.nodes[i]
			out[i].Node, out[i].Label = n.node, n.label()
			out[i].Nanos += n.nanos
			if h, ok := n.op.(holder); ok {
				held[i] += h.rowsHeld()
				out[i].Rows = held[i]
			}
			out[i].RowsIn += n.rowsIn
			out[i].RowsOut += n.emit.rows
			out[i].StateBytes += n.bytes
		}
	}
	return out
}

// fixed is how much of all operators' memory cannot leave it.
func (g *Group) fixed() int64 {
	sum := int64(0)
	for _, c := range g.circuits {
		sum += c.fixed()
	}
	return sum
}

// StateBytes returns the size of what all operators hold, in memory or not, as of the
// last step.
func (g *Group) StateBytes() int64 {
	sum := int64(0)
	for _, c := range g.circuits {
		sum += c.bytes
	}
	return sum
}
