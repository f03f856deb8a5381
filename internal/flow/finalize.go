package flow

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// Finalize holds the changes of its input until the mark of column Col has passed
// them, and gives what is left of them then: each row once, for good. It makes
// EMIT ON WINDOW CLOSE of any query whose result has a column with a mark. Rows whose
// time is NULL are never given.
type Finalize struct {
	Col int // of integer layout
}

func (*Finalize) isOp() {}

// Describe implements Op.
func (op *Finalize) Describe() string { return "Finalize on close of #" + strconv.Itoa(op.Col) }

func (op *Finalize) check(n *Node, in []types.Type) error {
	if err := firstError(passes([][]types.Type{in}, n.Out), inRange([]int{op.Col}, in)); err != nil {
		return err
	}
	if l := in[op.Col].Layout(); l != types.LayoutInt && l != types.LayoutNone {
		return fmt.Errorf("closes by column %d, which is no time", op.Col)
	}
	return nil
}

// finalize is the running form of Finalize. Rows are grouped by their time, and the
// times are in a list of what is due.
type finalize struct {
	Finalize
	marks *Marks
	m     *multimap
	keys  []uint64
	rows  []uint64
	cal   *dueList
	due   []uint32 // scratch: groups
	drop  dropper
	out   stored
}

func newFinalize(env Env, op *Finalize) *finalize {
	f := &finalize{
		Finalize: *op, marks: env.Marks, m: newMultimap(env.memory(), env.In[0], []int{op.Col}, rowPlain),
		keys: make([]uint64, batch.BlockRows), rows: make([]uint64, batch.BlockRows),
		cal: newDueList(env.memory(), calendarWidth(env.In[0][op.Col], 0)),
	}
	f.m.t.trackBorn = true
	f.out = newStored(f.m.rowStore, env.Out)
	f.drop.m = f.m
	return f
}

func (f *finalize) persist(p *state.Persist) {
	f.m.persist(p)
	f.cal.persist(p)
}

func (f *finalize) Push(_ *Step, _ int, b *batch.Batch, _ Emitter) {
	f.keys = batch.HashRows(f.keys[:cap(f.keys)], b, f.m.keys)
	f.rows = batch.HashRows(f.rows[:cap(f.rows)], b, f.m.all)
	f.m.addAll(f.keys, f.rows, b, nil, nil)
}

// time returns the time of group g, false if it has no rows or none.
func (f *finalize) time(g uint64) (int64, bool) {
	head := f.m.group(uint32(g)).head()
	if head == 0 || f.m.group(uint32(g)).rows() == freedGroup {
		return 0, false
	}
	w := f.m.row(head)
	return int64(w[f.m.fields[f.Col].at]), !f.m.null(w, f.Col)
}

func (f *finalize) Flush(st *Step, out Emitter) {
	for _, g := range f.m.t.born {
		if t, ok := f.time(uint64(g)); ok {
			f.cal.add(t, uint64(g))
		}
	}
	f.m.t.forgetBorn()
	if f.marks != nil {
		f.emitDue(st, out)
	}
	f.m.endStep()
}

// emitDue gives the rows below the mark and drops them.
func (f *finalize) emitDue(st *Step, out Emitter) {
	m := f.marks.In[0][f.Col]
	f.due = f.due[:0]
	f.cal.due(m, f.time, func(x uint64) {
		if t, ok := f.time(x); ok && t < m {
			f.due = append(f.due, uint32(x))
		}
	})
	// A number that came free and was taken again has two entries.
	slices.Sort(f.due)
	f.due = slices.Compact(f.due)
	for _, g := range f.due {
		if st.Stopped() {
			return
		}
		for r := f.m.group(g).head(); r != 0; r = next(f.m.row(r)) {
			if w := int64(f.m.row(r)[rowWeight]); w != 0 {
				f.out.emit(r, w, out)
				f.drop.add(r)
			}
		}
	}
	f.out.flush(out)
	f.drop.flush()
}

func (f *finalize) StateBytes() int64 {
	return f.m.bytes() + f.cal.bytes() + int64(cap(f.due)+cap(f.drop.rows))*4
}

// finalizeMarks: what is given later was not below the mark of Col now. Other columns
// may have waited while their marks rose.
func finalizeMarks(op *Finalize, m *marks) {
	m.final = m.Final[0]
	m.blank()
	m.Out[op.Col] = max(m.Out[op.Col], m.In[0][op.Col])
}
