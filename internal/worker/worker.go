// Package worker drives the circuits of a pipeline: all of them in every step, in
// the order of their dependencies, each spread over a number of goroutines. It is
// the only place that recovers from a panic.
package worker

import (
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
)

// smallStep is how many rows a circuit is fed in the calling goroutine alone:
// waking others would take longer than the work.
const smallStep = 2048

// Worker runs circuits. One goroutine at a time uses it. After an error it is
// spent: the state of its circuits is somewhere between two steps.
type Worker struct {
	workers  int
	circuits []*circuit         // each after those it reads
	marks    map[string][]int64 // of every relation that has some, as of the last step
	failed   error              // of the step that spent it
	bound    int64              // of each circuit's state in steps; 0: none
	stop     func() bool        // ends a step; nil: nothing does
}

type circuit struct {
	key    string
	spec   *flow.Spec
	group  *flow.Group
	inputs []string // relations it reads, in order of the spec
	next   int64    // the logical time at which it wants a step even without input
	marks  []int64  // of its result after the last step, owned by the group
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

// New returns a worker whose circuits run on so many goroutines each, at least 1.
func New(workers int) *Worker {
	return &Worker{workers: max(workers, 1), marks: map[string][]int64{}}
}

// Circuit is a circuit that is built and filled, but not yet part of the steps.
type Circuit struct{ c *circuit }

// Build makes a circuit. key is the name of what it computes, under which other
// circuits read it.
func (w *Worker) Build(key string, spec *flow.Spec, opt flow.Options) (*Circuit, error) {
	opt.Workers = w.workers
	if opt.Clock == nil {
		start := time.Now()
		opt.Clock = func() int64 { return int64(time.Since(start)) }
	}
	g, err := flow.New(spec, opt)
	if err != nil {
		return nil, fmt.Errorf("build circuit %s: %w", key, err)
	}
	c := &circuit{key: key, spec: spec, group: g, next: g.NextTime()}
	for i := range spec.Nodes {
		if in, ok := spec.Nodes[i].Op.(*flow.Input); ok && !slices.Contains(c.inputs, in.Rel) {
			c.inputs = append(c.inputs, in.Rel)
		}
	}
	for _, rel := range c.inputs {
		if m := w.marks[rel]; m != nil {
			g.SetMarks(rel, m)
		}
	}
	return &Circuit{c}, nil
}

// Inputs lists the relations that the circuit reads.
func (c *Circuit) Inputs() []string { return c.c.inputs }

// Bound limits what the fill may hold to maxBytes, 0 for no limit; past it Fill
// fails with 53200. Once stop, if not nil, reports true, Fill fails with 57014.
func (c *Circuit) Bound(maxBytes int64, stop func() bool) { c.c.group.Bound(maxBytes, stop) }

// Fill runs the circuit's first step: feed pushes all that its inputs hold. The marks
// are those of the last step when the circuit was built. A circuit whose Fill failed
// is dropped; nothing else has changed.
func (c *Circuit) Fill(step uint64, now int64, feed func(push func(rel string, b *batch.Batch) error) error) (Output, error) {
	c.c.group.BeginStep(int64(step), now)
	next := 0
	err := c.c.guard(func() error {
		return feed(func(rel string, b *batch.Batch) error {
			if !slices.Contains(c.c.inputs, rel) || b.Len() == 0 {
				return nil
			}
			next++
			return c.c.group.Push(rel, next%c.c.group.Workers(), b)
		})
	})
	if err != nil {
		return Output{}, err
	}
	return c.c.finish(true)
}

// Bound limits what each circuit may hold in the steps to come to maxBytes, 0 for no
// limit. A step that goes past it fails, and so does one in the middle of which stop,
// if not nil, reports true.
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
	w.circuits = append(w.circuits, c.c)
	w.mark(c.c.key, c.c.marks)
}

// Remove takes a circuit out and frees its state. What reads it went before.
func (w *Worker) Remove(key string) {
	w.circuits = slices.DeleteFunc(w.circuits, func(c *circuit) bool { return c.key == key })
	delete(w.marks, key)
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
	out, err := w.step(n, now, feeds)
	w.failed = err
	return out, err
}

func (w *Worker) step(n uint64, now int64, feeds []flow.Feed) ([]Output, error) {
	changed := make(map[string][]*batch.Batch, len(feeds))
	moved := map[string]bool{} // relations whose marks have
	for _, f := range feeds {
		changed[f.Rel] = append(changed[f.Rel], f.Blocks...)
		moved[f.Rel] = w.mark(f.Rel, f.Marks) || moved[f.Rel]
	}
	var out []Output
	for _, c := range w.circuits {
		rows, due := 0, c.next <= now
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
		c.group.BeginStep(int64(n), now)
		if err := c.feed(changed, rows); err != nil {
			return nil, err
		}
		o, err := c.finish(rows > smallStep)
		if err != nil {
			return nil, err
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
			if err := c.group.Push(s.rel, k, s.b); err != nil {
				return err
			}
		}
		return nil
	})
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
		return nil
	})
	c.next, c.marks = c.group.NextTime(), o.Marks
	return o, err
}

// each calls fn for every worker, in goroutines of their own if large, and waits
// for all. It returns the error of the first worker that has one.
func (c *circuit) each(large bool, fn func(worker int) error) error {
	n := c.group.Workers()
	errs := make([]error, n)
	if !large || n == 1 {
		for k := range n {
			if errs[k] = c.guard(func() error { return fn(k) }); errs[k] != nil {
				return errs[k]
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() { errs[k] = c.guard(func() error { return fn(k) }) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// guard turns a panic into an error.
func (c *circuit) guard(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Circuit: c.key, Value: v, Stack: debug.Stack()}
		}
	}()
	return fn()
}

// StateBytes returns the memory that the circuit of that key holds, 0 if there is none.
func (w *Worker) StateBytes(key string) int64 {
	for _, c := range w.circuits {
		if c.key == key {
			return c.group.StateBytes()
		}
	}
	return 0
}

// TotalBytes returns the memory that all circuits hold.
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
