package flow_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
)

// restarted is a group that is frozen, and dropped and restored, now and then between
// steps, with little memory. To its user it is one that runs on: after a restart it is
// given the steps since its checkpoint again, and has to do the same in them.
type restarted struct {
	*flow.Group
	t    rapid.TB
	spec *flow.Spec
	opt  flow.Options
	back *statetest.Backing
	rng  *rand.Rand

	image    []byte       // of the last complete checkpoint; nil: none
	log      []loggedStep // since then
	frozen   *flow.Frozen
	frozenAt int  // steps of log that it has
	finish   bool // with the next step
}

// stepper is a group, or one that behaves like one.
type stepper interface {
	Step(n, now int64, in ...flow.Feed) ([]flow.Result, flow.StepErrors, error)
	Workers() int
	NextTime() int64
	Counters() []flow.Counters
	StateBytes() int64
}

// newStepper returns a group; of the numbers of workers that tests compare, those with
// three and five are restarted now and then, the others run on.
func newStepper(t rapid.TB, spec *flow.Spec, opt flow.Options) stepper {
	t.Helper()
	if opt.Workers == 3 || opt.Workers == 5 {
		return newRestarted(t, spec, opt)
	}
	g, err := flow.New(spec, opt)
	if err != nil {
		t.Fatalf("build circuit: %v\n%s", err, spec.Explain(flow.ExplainOptions{}))
	}
	return g
}

// finishInputs makes all inputs of g final with the next step.
func finishInputs(g stepper) {
	switch g := g.(type) {
	case *flow.Group:
		flow.FinishInputs(g)
	case *restarted:
		g.finish = true
	}
}

// loggedStep is a step and what came of it.
type loggedStep struct {
	finish bool
	n, now int64
	in     []flow.Feed
	want   string
}

// newRestarted returns a group. What happens to it depends on the spec alone.
func newRestarted(t rapid.TB, spec *flow.Spec, opt flow.Options) *restarted {
	hash := spec.Hash()
	r := &restarted{t: t, spec: spec, opt: opt, back: statetest.New()}
	r.rng = rand.New(rand.NewPCG(uint64(hash[0])<<8|uint64(hash[1]), uint64(opt.Workers)))
	r.opt.Backing, r.opt.CheckWrites, r.opt.Owner = r.back, true, r.rng.Uint64()>>24
	r.open()
	return r
}

// open makes the group what it was at the checkpoint.
func (r *restarted) open() {
	r.t.Helper()
	r.opt.Budget = state.NewBudget([]int64{1, 100_000, 1 << 30}[r.rng.IntN(3)])
	g, err := flow.New(r.spec, r.opt)
	if err != nil {
		r.t.Fatalf("build circuit: %v\n%s", err, r.spec.Explain(flow.ExplainOptions{}))
	}
	if r.image != nil {
		if err := g.Restore(r.image); err != nil {
			r.t.Fatalf("restore: %v", err)
		}
	}
	r.Group = g
}

// Step is that of a group.
func (r *restarted) Step(n, now int64, in ...flow.Feed) ([]flow.Result, flow.StepErrors, error) {
	r.t.Helper()
	for range 3 {
		r.happen()
	}
	in = slices.Clone(in)
	for i := range in {
		in[i].Marks = slices.Clone(in[i].Marks)
	}
	if r.finish {
		flow.FinishInputs(r.Group)
	}
	res, errs, err := r.Group.Step(n, now, in...)
	if err == nil {
		r.Rest()
		r.log = append(r.log, loggedStep{r.finish, n, now, in, r.outcome(res, errs)})
	}
	r.finish = false
	return res, errs, err
}

// happen does one of the things that may be done between steps, or nothing.
func (r *restarted) happen() {
	r.t.Helper()
	switch r.rng.IntN(5) {
	case 0, 1:
		if r.frozen == nil {
			r.frozen, r.frozenAt = r.Freeze(), len(r.log)
			return
		}
		image, err := r.frozen.Write(r.back)
		if err != nil {
			r.t.Fatalf("write checkpoint: %v", err)
		}
		complete := r.rng.IntN(4) > 0
		r.frozen.Done(complete)
		r.frozen = nil
		if complete {
			r.image, r.log = image, r.log[r.frozenAt:]
			r.back.Complete()
		} else {
			r.back.Abort()
		}
	case 2:
		r.restart()
	}
}

// restart drops the group and brings it back.
func (r *restarted) restart() {
	r.t.Helper()
	if r.frozen != nil {
		r.frozen.Done(false)
		r.frozen = nil
	}
	budget := r.opt.Budget
	r.Close()
	if budget.Used() != 0 {
		r.t.Fatalf("a closed group holds %d bytes", budget.Used())
	}
	if n := r.back.Spilled(); n != 0 {
		r.t.Fatalf("a closed group has spilled %d records", n)
	}
	r.open()
	for _, s := range r.log {
		if s.finish {
			flow.FinishInputs(r.Group)
		}
		res, errs, err := r.Group.Step(s.n, s.now, s.in...)
		if err != nil {
			r.t.Fatalf("step %d again: %v", s.n, err)
		}
		if got := r.outcome(res, errs); got != s.want {
			r.t.Fatalf("after a restart step %d gives\n%s\nbefore it gave\n%s\n%s", s.n, got, s.want,
				r.spec.Explain(flow.ExplainOptions{Workers: r.Workers()}))
		}
		r.Rest()
	}
}

// outcome prints all that can be seen of a step.
func (r *restarted) outcome(res []flow.Result, errs flow.StepErrors) string {
	s := fmt.Sprintf("next %d, %d errors", r.NextTime(), errs.Total)
	for _, e := range errs.Rows {
		s += fmt.Sprintf("\n%+d %d %+v %v", e.Weight, e.Node, *e.Err, e.Row)
	}
	for _, o := range res {
		s += fmt.Sprintf("\n%s: %d rows %v, marks %v", o.Name, o.Batch.Len(), o.Digest, o.Marks)
	}
	for _, c := range r.Counters() {
		s += fmt.Sprintf("\n%s in=%d out=%d held=%d marks %v", c.Label, c.RowsIn, c.RowsOut, c.Rows, c.Marks)
	}
	return s
}
