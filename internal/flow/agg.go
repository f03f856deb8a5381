package flow

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// aggregate is the running form of Aggregate. A group is a row of a keyed table:
// its payload is the number of its rows and then the words of each accumulator.
// When a step touches a group for the first time, what the accumulators give is
// noted, and Flush emits the difference to what they give then.
type aggregate struct {
	env    Env
	op     *Aggregate
	groups *state.Table
	accs   []accumulator // of the calls, then forms
	inputs []*aggInput   // the different row sets that accumulators take
	feeds  []int         // of each accumulator: index in inputs
	forms  *keyForms     // nil when there is one way only to write a key

	freer  groupFreer
	closes bool // OnClose
	only   bool // rows never go

	begun   bool // groups has been told of the step
	scalar  state.Ref
	emitted bool // the scalar group's row is out

	// Of the step: what each dirty group gave before, aligned with groups.Dirty().
	oldAt   []int32 // row in old, or one of the values below
	old     []batch.Column
	oldRows int
	oldErrs []aggError // at is an index of Dirty

	errRow *batch.Builder // an input row that has only its key, for errors
	scratch
}

// scratch is memory kept between blocks.
type scratch struct {
	hashes  []uint64
	refs    []state.Ref
	fresh   []uint32
	before  []state.Ref
	now     []batch.Column
	keys    []batch.Column
	formed  []batch.Column // keys as their rows were written
	cols    []batch.Column
	past    []batch.Column
	rows    []uint32
	minus   []int64
	selOld  []uint32
	selNew  []uint32
	failed  []*types.Error
	errs    []aggError
	changed []bool
}

// Values of oldAt.
const (
	noOldRow  = -1
	oldFailed = -2 // the group's result could not be computed
)

// countWord is the payload word with the sum of the weights of a group's rows.
const countWord = 0

// aggError says that the result of a group could not be computed.
type aggError struct {
	at  int // index of the group in the list it is about
	err *types.Error
}

// accumulator is the kernel of one aggregate. Its words of a group's payload are
// zero before the group has rows.
type accumulator interface {
	// place tells it where its words begin in the payload of which table, and
	// returns how many it wants.
	place(groups *state.Table, at int) int
	// add takes in rows. Sums must not depend on the order of rows, and rows that
	// cancel each other must leave no trace.
	add(in *aggInput)
	// final appends the results of groups to dst, which holds n values. NULL stands
	// for results that go to errs, in the order of groups.
	final(groups []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError
	// forget is told that a group is about to be deleted.
	forget(group state.Ref)
	// bytes is the memory held outside the table.
	bytes() int64
	// persist names what it keeps outside the table.
	persist(p *state.Persist)
}

func newAggregate(env Env, op *Aggregate) (Operator, error) {
	a := &aggregate{env: env, op: op, closes: op.OnClose, only: len(env.AppendOnly) > 0 && env.AppendOnly[0]}
	closeKey := -1
	if op.OnClose {
		closeKey = op.CloseKey
	}
	a.freer = newGroupFreer(env, op.Keys, closeKey)
	for i := range op.Calls {
		call := &op.Calls[i]
		acc, err := newAccumulator(env.memory(), env.In[0], call, a.only)
		if err != nil {
			return nil, fmt.Errorf("aggregate %d, %s: %w", i, call.Fn.Name, err)
		}
		var distinct []int
		if call.Distinct && distinctMatters(call.Fn.Op) {
			distinct = call.Args
		}
		a.accs = append(a.accs, acc)
		a.feeds = append(a.feeds, a.input(distinct, call.Filter))
	}
	if a.forms = newKeyForms(env.memory(), env.In[0], op.Keys); a.forms != nil {
		a.accs = append(a.accs, a.forms)
		a.feeds = append(a.feeds, a.input(nil, -1))
	}
	a.build()
	return a, nil
}

// build makes the table and the columns for an aggregate whose accumulators are set.
func (a *aggregate) build() {
	keyTypes := make([]types.Type, len(a.op.Keys))
	for i, c := range a.op.Keys {
		keyTypes[i] = a.env.In[0][c]
	}
	words := countWord + 1
	for _, acc := range a.accs {
		words += acc.place(nil, words)
	}
	a.groups = state.New(a.env.memory(), keyTypes, words)
	at := countWord + 1
	for _, acc := range a.accs {
		at += acc.place(a.groups, at)
	}
	a.old, a.now = make([]batch.Column, len(a.accs)), make([]batch.Column, len(a.accs))
	a.past = make([]batch.Column, len(a.accs))
	a.keys = make([]batch.Column, len(a.op.Keys))
	for i := range a.keys {
		a.keys[i].Type = a.env.Out[i]
	}
	for i := range a.op.Calls {
		a.setType(i, a.env.Out[len(a.op.Keys)+i])
	}
	if a.forms != nil {
		a.setType(len(a.op.Calls), types.T(types.Bytea))
	}
	a.formed = make([]batch.Column, len(a.keys))
	for i := range a.formed {
		a.formed[i].Type = a.env.Out[i]
	}
	a.hashes = make([]uint64, batch.BlockRows)
	a.refs = make([]state.Ref, batch.BlockRows)
	a.minus = make([]int64, batch.BlockRows)
	for i := range a.minus {
		a.minus[i] = -1
	}
	a.errRow = batch.NewBuilder(a.env.In[0])
}

func (a *aggregate) setType(acc int, t types.Type) {
	a.old[acc].Type, a.now[acc].Type, a.past[acc].Type = t, t, t
}

// input returns the index of the rows that are distinct by columns distinct (nil:
// all) and pass filter.
func (a *aggregate) input(distinct []int, filter int) int {
	for i, in := range a.inputs {
		if in.is(distinct, filter) {
			return i
		}
	}
	a.inputs = append(a.inputs, newAggInput(a.env.memory(), a.env.In[0], distinct, filter))
	return len(a.inputs) - 1
}

func (a *aggregate) begin(st *Step) {
	if a.begun {
		return
	}
	a.begun = true
	a.groups.BeginStep(st.N)
	for _, in := range a.inputs {
		in.begin(st.N)
	}
}

// Push implements Operator.
func (a *aggregate) Push(st *Step, _ int, b *batch.Batch, _ Emitter) {
	a.begin(st)
	n := b.Len()
	if n == 0 {
		return
	}
	hashes := batch.HashRows(a.hashes, b, a.op.Keys)
	refs := a.refs[:n]
	a.fresh = a.groups.FindOrInsert(b, a.op.Keys, hashes, refs, a.fresh[:0])
	a.freer.addRows(b, refs, a.fresh)
	if !a.closes {
		a.note(refs)
	}
	a.count(b, refs)
	for _, in := range a.inputs {
		in.take(b, hashes, refs)
	}
	for i, acc := range a.accs {
		if in := a.inputs[a.feeds[i]]; len(in.refs) > 0 {
			acc.add(in)
		}
	}
}

// count counts the rows of b, whose groups are refs. Whatever accumulators write to the
// groups' payloads in this step is announced by now.
func (a *aggregate) count(b *batch.Batch, refs []state.Ref) {
	switch {
	case a.closes && a.only: // no group is looked for at the end
		for k, r := range refs {
			a.groups.EditPayload(r)[countWord] += uint64(b.Weight(b.Row(k)))
		}
	case a.closes: // those that lose their last row are
		for k, r := range refs {
			p, _ := a.groups.TouchPayload(r)
			p[countWord] += uint64(b.Weight(b.Row(k)))
		}
	case b.Weights == nil:
		for _, r := range refs {
			a.groups.Payload(r)[countWord]++
		}
	default:
		for k, r := range refs {
			a.groups.Payload(r)[countWord] += uint64(b.Weights[b.Row(k)])
		}
	}
}

// note keeps what the groups give that the step has not touched before.
func (a *aggregate) note(refs []state.Ref) {
	a.before = a.before[:0]
	dirty := len(a.groups.Dirty())
	for _, r := range refs {
		p, first := a.groups.TouchPayload(r)
		if !first {
			continue
		}
		if !a.shows(r, p, true) {
			a.oldAt = append(a.oldAt, noOldRow)
			continue
		}
		a.oldAt = append(a.oldAt, int32(a.oldRows+len(a.before)))
		a.before = append(a.before, r)
	}
	if len(a.before) == 0 {
		return
	}
	a.errs = a.results(a.before, a.old, a.oldRows)
	a.oldRows += len(a.before)
	for _, e := range a.errs {
		// The e.at-th noted group is the one of the dirty list with that old row.
		row := int32(a.oldRows - len(a.before) + e.at)
		for j := dirty; j < len(a.oldAt); j++ {
			if a.oldAt[j] == row {
				a.oldAt[j] = oldFailed
				a.oldErrs = append(a.oldErrs, aggError{j, e.err})
			}
		}
	}
}

// shows reports whether a group has a row in the output, before the step or now.
func (a *aggregate) shows(r state.Ref, payload []uint64, before bool) bool {
	if r == a.scalar && a.op.Scalar {
		return !before || a.emitted
	}
	return int64(payload[countWord]) > 0
}

// results appends to dst, which hold n values, what the accumulators give for the
// groups, and returns the first error of each group that has one, by group.
func (a *aggregate) results(groups []state.Ref, dst []batch.Column, n int) []aggError {
	errs := a.errs[:0]
	for i, acc := range a.accs {
		had := len(errs)
		errs = acc.final(groups, &dst[i], n, errs)
		if had > 0 && len(errs) > had {
			errs = mergeErrors(errs)
		}
	}
	a.errs = errs
	return errs
}

// mergeErrors sorts errors by group and keeps each group's first.
func mergeErrors(errs []aggError) []aggError {
	for i := 1; i < len(errs); i++ { // few: insertion, which is stable
		for j := i; j > 0 && errs[j].at < errs[j-1].at; j-- {
			errs[j], errs[j-1] = errs[j-1], errs[j]
		}
	}
	kept := errs[:1]
	for _, e := range errs[1:] {
		if e.at != kept[len(kept)-1].at {
			kept = append(kept, e)
		}
	}
	return kept
}

func (a *aggregate) persist(p *state.Persist) {
	a.groups.Persist(p)
	state.Num(p, &a.scalar)
	p.Bool(&a.emitted)
	for _, acc := range a.accs {
		acc.persist(p)
	}
	for _, in := range a.inputs {
		in.persist(p, a.freer.mem)
	}
	a.freer.persist(p)
}

// StateBytes implements Operator.
func (a *aggregate) StateBytes() int64 {
	n := a.groups.Bytes() + a.freer.bytes() + int64(len(a.oldAt))*4 + int64(a.oldRows*len(a.old))*16
	for _, acc := range a.accs {
		n += acc.bytes()
	}
	for _, in := range a.inputs {
		n += in.bytes()
	}
	return n
}
