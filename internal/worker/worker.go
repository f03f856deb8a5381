// Package worker drives the circuits of a pipeline: all of them in every step, in
// the order of their dependencies, each spread over a number of goroutines. It is
// the only place that recovers from a panic.
package worker

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// smallStep is how many rows a circuit is fed in the calling goroutine alone:
// waking others would take longer than the work.
const smallStep = 2048

// Worker runs circuits. One goroutine at a time uses it. After an error it is
// spent: the state of its circuits is somewhere between two steps.
type Worker struct {
	cfg      Config
	step     uint64             // the last one
	circuits []*circuit         // each after those it reads
	marks    map[string][]int64 // of every relation that has some, as of the last step
	failed   error              // of the step that spent it
	bound    int64              // of each circuit's state in steps; 0: none
	stop     func() bool        // ends a step; nil: nothing does
}

// Config says how a worker's circuits run. What they compute does not depend on it.
type Config struct {
	// Lanes is into how many parts each circuit's work and state are cut, 1 to
	// batch.Shards; 0: as many as Threads. State can be restored into as many only.
	Lanes int
	// Threads is how many goroutines run them; 0: 1.
	Threads int
	// Backing keeps state that is not in memory, and Budget bounds that which is. With
	// both, state leaves memory when there is too much of it, and the limit of Bound is
	// for what cannot. nil: all state is in memory.
	Backing state.Backing
	Budget  *state.Budget
	// CheckWrites makes Freeze look for writes that nobody announced; for tests.
	CheckWrites bool
	// FillRows and FillBytes end a chunk of Circuit.Fill; zero: the constants of these names.
	FillRows  int
	FillBytes int64
	// Probe, if not nil, is called with every block before a circuit takes it, where a panic
	// is one of the circuit; for tests. Lanes may call it at the same time.
	Probe func(circuit, rel string, b *batch.Batch)
}

type circuit struct {
	key     string
	spec    *flow.Spec
	probe   func(circuit, rel string, b *batch.Batch)
	owner   uint64
	threads int
	group   *flow.Group
	inputs  []string     // relations it reads, in order of the spec
	next    int64        // the logical time at which it wants a step even without input
	marks   []int64      // of its result after the last step, owned by the group
	carry   *batch.Batch // is part of its result in the next step; nil: there is none
}

// Output is what a step changed in one circuit's result.
type Output struct {
	Key    string
	Batch  *batch.Batch // sealed and consolidated; may be empty
	Digest batch.Digest
	Errors flow.StepErrors
	// Marks are those of the result's columns after the step.
	Marks []int64
}

// PanicError is a broken invariant in a circuit.
type PanicError struct {
	Circuit string
	Value   any
	Stack   []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("circuit %s: panic: %v", e.Circuit, e.Value)
}

// LimitError says that a step would give a circuit more state than it may have.
type LimitError struct {
	Circuit string
	Err     *types.Error
}

func (e *LimitError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *LimitError) Unwrap() error { return e.Err }

// FaultError says that state of a circuit could not be read back from where it was
// kept, or not be put there. The worker is spent; a checkpoint may bring the circuits
// back.
type FaultError struct {
	Circuit string
	Err     *state.FaultError
}

func (e *FaultError) Error() string {
	return fmt.Sprintf("circuit %s: %v", e.Circuit, e.Err)
}

// Unwrap returns the cause.
func (e *FaultError) Unwrap() error { return e.Err }

// New returns a worker whose circuits run on so many goroutines each, at least 1, and
// keep their state in memory.
func New(workers int) *Worker { return Open(Config{Threads: workers}) }

// Open returns a worker without circuits.
func Open(cfg Config) *Worker {
	cfg.Threads = max(cfg.Threads, 1)
	if cfg.Lanes == 0 {
		cfg.Lanes = cfg.Threads
	}
	return &Worker{cfg: cfg, marks: map[string][]int64{}}
}

// Lanes returns into how many parts the circuits are cut.
func (w *Worker) Lanes() int { return w.cfg.Lanes }

// Circuit is a circuit that is built and filled, but not yet part of the steps. One
// goroutine at a time uses it, beside that of the worker.
type Circuit struct {
	c         *circuit
	budget    *state.Budget
	fillRows  int
	fillBytes int64
	marks     map[string][]int64 // of its inputs, not set yet
	ran       bool               // it has been through a step
	filled    Filled
}

// Build makes a circuit. key is the name of what it computes, under which other
// circuits read it. The worker sets what its Config says in opt; of two circuits of
// the same key, one made after the other, opt.Owner tells the records apart, or if it
// is 0 the last step.
func (w *Worker) Build(key string, spec *flow.Spec, opt flow.Options) (*Circuit, error) {
	if opt.Owner == 0 {
		opt.Owner = w.step
	}
	opt.Owner = owner(key, opt.Owner)
	c, err := w.build(key, spec, opt)
	if err != nil {
		return nil, fmt.Errorf("build circuit %s: %w", key, err)
	}
	out := &Circuit{c: c, budget: w.cfg.Budget, fillRows: w.cfg.FillRows, fillBytes: w.cfg.FillBytes, marks: map[string][]int64{}}
	if out.budget == nil {
		out.budget = state.NewBudget(math.MaxInt64)
	}
	if out.fillRows <= 0 {
		out.fillRows = FillRows
	}
	if out.fillBytes <= 0 {
		out.fillBytes = FillBytes
	}
	for _, rel := range c.inputs {
		out.SetMarks(rel, w.marks[rel])
	}
	return out, nil
}

// owner is the name of a circuit's records, of 40 bits.
func owner(key string, made uint64) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", made, key)
	return h.Sum64() >> 24
}

func (w *Worker) build(key string, spec *flow.Spec, opt flow.Options) (*circuit, error) {
	opt.Workers, opt.Backing, opt.Budget, opt.CheckWrites = w.cfg.Lanes, w.cfg.Backing, w.cfg.Budget, w.cfg.CheckWrites
	if opt.Clock == nil {
		start := time.Now()
		opt.Clock = func() int64 { return int64(time.Since(start)) }
	}
	g, err := flow.New(spec, opt)
	if err != nil {
		return nil, err
	}
	c := &circuit{key: key, spec: spec, probe: w.cfg.Probe, owner: opt.Owner, threads: w.cfg.Threads, group: g, next: g.NextTime()}
	for i := range spec.Nodes {
		if in, ok := spec.Nodes[i].Op.(*flow.Input); ok && !slices.Contains(c.inputs, in.Rel) {
			c.inputs = append(c.inputs, in.Rel)
		}
	}
	return c, nil
}

// Close frees the state of a circuit that is not added.
func (c *Circuit) Close() { c.c.group.Close() }

// Inputs lists the relations that the circuit reads.
func (c *Circuit) Inputs() []string { return c.c.inputs }

// Spec returns what the circuit computes.
func (c *Circuit) Spec() *flow.Spec { return c.c.spec }

// Filled tells what has become of the fills so far.
func (c *Circuit) Filled() Filled { return c.filled }

// Threads sets how many goroutines the fills run on, 1 to those of the worker.
func (c *Circuit) Threads(n int) { c.c.threads = n }

// Bound limits what the fill may hold to maxBytes, 0 for no limit; past it Fill
// fails with 53200. Once stop, if not nil, reports true, Fill fails with 57014.
func (c *Circuit) Bound(maxBytes int64, stop func() bool) { c.c.group.Bound(maxBytes, stop) }

// Bound limits what each circuit may hold in the steps to come to maxBytes, 0 for no
// limit; what can leave memory does not count. A step that goes past it fails, and so
// does one in the middle of which stop, if not nil, reports true.
func (w *Worker) Bound(maxBytes int64, stop func() bool) {
	w.bound, w.stop = maxBytes, stop
	for _, c := range w.circuits {
		c.group.Bound(maxBytes, stop)
	}
}

// Add makes a filled circuit part of the steps, after those that are there. The
// bounds of its fill end.
func (w *Worker) Add(c *Circuit) {
	c.c.group.Bound(w.bound, w.stop)
	c.c.threads = w.cfg.Threads
	w.circuits = append(w.circuits, c.c)
	w.mark(c.c.key, c.c.marks)
}

// Insert is Add of a circuit in place of one that others read: it is put before them, and
// the result of its next step has carry besides, which is sealed and consolidated. The
// marks of its result move with that step.
func (w *Worker) Insert(c *Circuit, carry *batch.Batch) {
	c.c.group.Bound(w.bound, w.stop)
	c.c.threads, c.c.carry = w.cfg.Threads, carry
	at := slices.IndexFunc(w.circuits, func(x *circuit) bool { return slices.Contains(x.inputs, c.c.key) })
	if at < 0 {
		at = len(w.circuits)
	}
	w.circuits = slices.Insert(w.circuits, at, c.c)
}

// carried is the output of a step with what was carried into it.
func (c *circuit) carried(o Output) Output {
	if o.Batch.Len() == 0 {
		o.Batch = c.carry
	} else if c.carry.Len() > 0 {
		bu := batch.NewBuilder(c.carry.Types())
		bu.AppendBatch(c.carry)
		bu.AppendBatch(o.Batch)
		o.Batch = batch.Consolidate(bu.View())
	}
	o.Digest = o.Digest.Add(batch.DigestOf(c.carry))
	c.carry = nil
	return o
}

// Remove takes a circuit out and frees its state. What reads it went before.
func (w *Worker) Remove(key string) {
	w.circuits = slices.DeleteFunc(w.circuits, func(c *circuit) bool {
		if c.key == key {
			c.group.Close()
		}
		return c.key == key
	})
	delete(w.marks, key)
}

// Close frees the state of all circuits. The worker is not to be used any more.
func (w *Worker) Close() {
	for _, c := range w.circuits {
		// One that panicked may be in a state that it cannot give up in order.
		_ = c.guard(func() error { c.group.Close(); return nil })
	}
	w.circuits = nil
	w.failed = errors.New("the worker is closed")
}

// Marks returns the marks of relation rel's columns as of the last step, nil if it
// has none. The caller does not change them.
func (w *Worker) Marks(rel string) []int64 { return w.marks[rel] }

// NextTime returns the earliest logical time at which a step is due even if nothing
// comes in, math.MaxInt64 if time alone changes nothing.
func (w *Worker) NextTime() int64 {
	next := int64(math.MaxInt64)
	for _, c := range w.circuits {
		next = min(next, c.next)
	}
	return next
}

// Step runs step n: feeds are the changes of tables and sources. It returns what
// changed in each circuit's result, in the order of the circuits, without those
// that nothing reached.
//
// After an error every later step is refused.
func (w *Worker) Step(n uint64, now int64, feeds []flow.Feed) ([]Output, error) {
	if w.failed != nil {
		return nil, fmt.Errorf("step %d: an earlier step failed: %w", n, w.failed)
	}
	w.step = n
	out, err := w.run(n, now, feeds)
	if err == nil {
		err = w.rest()
	}
	if err != nil {
		w.failed = err
		return nil, err
	}
	return out, nil
}

// Rest lets state leave memory if there is too much of it. The end of a step does so
// too. An error spends the worker.
func (w *Worker) Rest() error {
	if w.failed == nil {
		w.failed = w.rest()
	}
	return w.failed
}

func (w *Worker) rest() error {
	if w.cfg.Budget == nil || w.cfg.Budget.Over() == 0 {
		return nil
	}
	for _, c := range w.circuits {
		if err := c.guard(func() error { c.group.Rest(); return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) run(n uint64, now int64, feeds []flow.Feed) ([]Output, error) {
	changed := make(map[string][]*batch.Batch, len(feeds))
	moved := map[string]bool{} // relations whose marks have
	for _, f := range feeds {
		changed[f.Rel] = append(changed[f.Rel], f.Blocks...)
		moved[f.Rel] = w.mark(f.Rel, f.Marks) || moved[f.Rel]
	}
	var out []Output
	for _, c := range w.circuits {
		rows, due := 0, c.next <= now || c.carry != nil
		for _, rel := range c.inputs {
			for _, b := range changed[rel] {
				rows += b.Len()
			}
			if moved[rel] {
				c.group.SetMarks(rel, w.marks[rel])
				due = true
			}
		}
		if rows == 0 && !due {
			continue
		}
		err := c.guard(func() error { c.group.BeginStep(int64(n), now); return nil })
		if err == nil {
			err = c.feed(changed, rows)
		}
		var o Output
		if err == nil {
			o, err = c.finish(rows > smallStep)
		}
		if err != nil {
			return nil, c.limited(err)
		}
		if c.carry != nil {
			o = c.carried(o)
		}
		moved[c.key] = w.mark(c.key, o.Marks)
		if o.Batch.Len() > 0 || o.Errors.Total > 0 {
			out = append(out, o)
		}
		if o.Batch.Len() > 0 {
			changed[c.key] = []*batch.Batch{o.Batch}
		}
	}
	return out, nil
}

// limited says of which circuit an error of its limit is.
func (c *circuit) limited(err error) error {
	var te *types.Error
	if errors.As(err, &te) && te.Code == types.CodeOutOfMemory {
		return &LimitError{Circuit: c.key, Err: te}
	}
	return err
}

// mark notes the marks of a relation's columns and reports whether one has moved.
func (w *Worker) mark(rel string, marks []int64) bool {
	was, moved := w.marks[rel], false
	for c, m := range marks {
		if m == flow.NoMark || was != nil && was[c] >= m {
			continue
		}
		moved = true
	}
	if !moved {
		return false
	}
	now := slices.Clone(marks)
	for c := range was {
		now[c] = max(now[c], was[c])
	}
	w.marks[rel] = now
	return true
}

// share is a block for one worker.
type share struct {
	rel string
	b   *batch.Batch
}

// feed deals the blocks out to the workers.
func (c *circuit) feed(changed map[string][]*batch.Batch, rows int) error {
	shares := make([][]share, c.group.Workers())
	next := 0
	err := c.guard(func() error {
		for _, rel := range c.inputs {
			for _, b := range changed[rel] {
				for _, part := range blocks(b) {
					k := next % len(shares)
					shares[k] = append(shares[k], share{rel, part})
					next++
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.each(rows > smallStep, func(k int) error {
		for _, s := range shares[k] {
			if err := c.push(s.rel, k, s.b); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *circuit) push(rel string, lane int, b *batch.Batch) error {
	if c.probe != nil {
		c.probe(c.key, rel, b)
	}
	return c.group.Push(rel, lane, b)
}

// blocks cuts b into blocks for the workers.
func blocks(b *batch.Batch) []*batch.Batch {
	if b.N <= batch.BlockRows || b.Sel != nil {
		return []*batch.Batch{b}
	}
	var out []*batch.Batch
	for lo := 0; lo < b.N; lo += batch.BlockRows {
		out = append(out, batch.Slice(b, lo, min(lo+batch.BlockRows, b.N)))
	}
	return out
}

// finish runs the stages of a step whose input has been pushed.
func (c *circuit) finish(large bool) (Output, error) {
	for s := range c.group.Stages() {
		err := c.each(large, func(k int) error { return c.group.Circuit(k).RunStage(s) })
		if err == nil {
			err = c.group.Exchange(s)
		}
		if err != nil {
			return Output{}, err
		}
	}
	var o Output
	err := c.guard(func() error {
		results, errs, err := c.group.EndStep()
		if err != nil {
			return err
		}
		o = Output{Key: c.key, Batch: results[0].Batch, Digest: results[0].Digest, Errors: errs, Marks: results[0].Marks}
		c.next, c.marks = c.group.NextTime(), o.Marks
		return nil
	})
	return o, err
}

// StateBytes returns the size of the state of the circuit of that key, in memory or
// not, 0 if there is none.
func (w *Worker) StateBytes(key string) int64 {
	for _, c := range w.circuits {
		if c.key == key {
			return c.group.StateBytes()
		}
	}
	return 0
}

// HeldBytes returns how much of the circuits' state is in memory.
func (w *Worker) HeldBytes() int64 {
	sum := int64(0)
	for _, c := range w.circuits {
		sum += c.group.HeldBytes()
	}
	return sum
}

// TotalBytes returns the size of the state of all circuits, in memory or not.
func (w *Worker) TotalBytes() int64 {
	sum := int64(0)
	for _, c := range w.circuits {
		sum += c.group.StateBytes()
	}
	return sum
}

// Counters returns what the operators of a circuit have done; nil if there is none.
func (w *Worker) Counters(key string) []flow.Counters {
	for _, c := range w.circuits {
		if c.key == key {
			return c.group.Counters()
		}
	}
	return nil
}

// Spec returns the circuit of that key, nil if there is none.
func (w *Worker) Spec(key string) *flow.Spec {
	for _, c := range w.circuits {
		if c.key == key {
			return c.spec
		}
	}
	return nil
}

// Keys lists the circuits in the order they run.
func (w *Worker) Keys() []string {
	out := make([]string, len(w.circuits))
	for i, c := range w.circuits {
		out[i] = c.key
	}
	return out
}
