package flow

import (
	"math/bits"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// groupFreer finds the groups of an aggregate whose key lies below the mark of its
// column. No row of theirs will come or go any more: what they give is final, and
// they can be deleted.
//
// It looks at one key column: the one that closes groups, or else the first that
// turns out to have a mark. Groups are put down under their time when they are made,
// so a step in which none is due costs a comparison.
type groupFreer struct {
	marks *Marks
	mem   *state.Memory
	keys  []int // candidates: positions in the key
	key   int   // position in the key, -1 while no candidate has a mark
	col   int   // its input column
	cal   *dueList
	refs  []state.Ref // scratch of due
	moved []state.Ref // scratch of byRow
	// reused says that groups went by themselves, so that a row number may have two entries.
	reused bool
}

// newGroupFreer returns a freer for an aggregate by the columns keys; close is the
// position of the key that closes groups, or -1.
func newGroupFreer(env Env, keys []int, close int) groupFreer {
	f := groupFreer{marks: env.Marks, mem: env.memory(), key: -1}
	if env.Marks == nil {
		return f
	}
	var seen []int
	for i, c := range keys {
		if env.In[0][c].Layout() == types.LayoutInt && (close < 0 || close == i) && !slices.Contains(seen, c) {
			seen = append(seen, c)
			f.keys = append(f.keys, i)
		}
	}
	return f
}

// choose takes a key column that has a mark by now. It reports whether this is new, so
// that the groups there are must be put down.
func (f *groupFreer) choose(ts []types.Type, keys []int) bool {
	if f.key >= 0 {
		return false
	}
	for _, i := range f.keys {
		if c := keys[i]; f.marks.In[0][c] != NoMark {
			f.key, f.col, f.cal = i, c, newDueList(f.mem, calendarWidth(ts[c], 0))
			return true
		}
	}
	return false
}

// addRows puts down the groups of the rows fresh of b, whose groups are refs.
func (f *groupFreer) addRows(b *batch.Batch, refs []state.Ref, fresh []uint32) {
	if f.key < 0 {
		return
	}
	col := &b.Cols[f.col]
	for _, k := range fresh {
		if i := b.Row(int(k)); !col.Null(i) {
			f.cal.add(col.I64[i], uint64(refs[k]))
		}
	}
}

// addAll puts down every group of a table.
func (f *groupFreer) addAll(st *Step, groups *state.Table, key int) {
	groups.All(func(r state.Ref) bool {
		if v, ok := groups.KeyInt(r, key); ok {
			f.cal.add(v, uint64(r))
		}
		st.RestAfter()
		return true
	})
}

// due lists the groups that lie below the mark, those near each other together. The list is
// valid until the next call.
func (f *groupFreer) due(st *Step, groups *state.Table) []state.Ref {
	f.refs = f.refs[:0]
	if f.key < 0 {
		return nil
	}
	m := f.marks.In[0][f.col]
	time := func(x uint64) (int64, bool) {
		if !groups.Holds(state.Ref(x)) {
			return 0, false // it went by itself
		}
		return groups.KeyInt(state.Ref(x), f.key)
	}
	f.cal.due(m, time, func(x uint64) {
		st.RestAfter()
		if f.reused {
			if v, ok := time(x); !ok || v >= m {
				return
			}
		}
		f.refs = append(f.refs, state.Ref(x))
	})
	if f.reused {
		slices.Sort(f.refs)
		f.refs = slices.Compact(f.refs)
	} else {
		f.byRow()
	}
	return f.refs
}

// rowParts is in how many parts byRow sorts.
const rowParts = 256

// byRow brings the refs about into the order of their rows, so that the memory of one
// part is worked on before that of the next.
func (f *groupFreer) byRow() {
	if len(f.refs) < rowParts {
		return
	}
	shift := max(bits.Len32(uint32(slices.Max(f.refs)))-bits.Len(rowParts-1), 0)
	var at [rowParts + 1]int
	for _, r := range f.refs {
		at[r>>shift+1]++
	}
	for i := range rowParts {
		at[i+1] += at[i]
	}
	f.moved = slices.Grow(f.moved[:0], len(f.refs))[:len(f.refs)]
	for _, r := range f.refs {
		f.moved[at[r>>shift]] = r
		at[r>>shift]++
	}
	f.refs, f.moved = f.moved, f.refs
}

func (f *groupFreer) persist(p *state.Persist) {
	state.Num(p, &f.key)
	state.Num(p, &f.col)
	p.Bool(&f.reused)
	persistDueList(p, f.mem, &f.cal)
}

// persistDueList is persist for a list that there may not be.
func persistDueList(p *state.Persist, mem *state.Memory, d **dueList) {
	is := *d != nil
	p.Bool(&is)
	if !is {
		*d = nil
		return
	}
	if *d == nil {
		*d = newDueList(mem, 1)
	}
	(*d).persist(p)
}

func (f *groupFreer) bytes() int64 {
	if f.cal == nil {
		return 0
	}
	return f.cal.bytes() + int64(cap(f.refs)+cap(f.moved))*4
}

// free deletes the groups due, and what is kept of their values.
func (a *aggregate) free(st *Step, due []state.Ref) {
	if len(due) == 0 {
		return
	}
	for _, in := range a.inputs {
		in.free(st, a.freer.marks.In[0][a.freer.col], a.groups, a.freer.key)
	}
	for _, r := range due {
		a.groups.EditPayload(r)
		for _, acc := range a.accs {
			acc.forget(r)
		}
		a.groups.Delete(r)
		st.RestAfter()
	}
}

// chooseFree begins to put down groups once a key column has a mark.
func (a *aggregate) chooseFree(st *Step) {
	if !a.freer.choose(a.env.In[0], a.op.Keys) {
		return
	}
	a.freer.addAll(st, a.groups, a.freer.key)
	for _, in := range a.inputs {
		in.keepFree(st, a.freer.mem, a.freer.col, a.freer.cal.far.width, a.groups, a.freer.key)
	}
}

// close emits the rows of groups that are closed.
func (a *aggregate) close(st *Step, due []state.Ref, out Emitter) {
	for lo := 0; lo < len(due) && !st.Stopped(); lo += batch.BlockRows {
		refs := due[lo:min(lo+batch.BlockRows, len(due))]
		for i := range a.now {
			a.now[i].Truncate()
		}
		for _, r := range refs {
			a.groups.EditPayload(r) // it goes
		}
		errs := a.results(refs, a.now, 0)
		a.selOld, a.selNew = a.selOld[:0], a.selNew[:0]
		for j, r := range refs {
			if len(errs) > 0 && errs[0].at == j {
				a.report(st, -1, r, errs[0].err)
				errs = errs[1:]
			} else if a.shows(r, a.groups.Payload(r), false) {
				a.selNew = append(a.selNew, uint32(j))
			}
		}
		a.emit(refs, nil, out)
		st.Rest()
	}
}

// keepFree makes x put down its values under the times of their groups, which are
// column col of the input and key column key of groups.
func (x *aggInput) keepFree(st *Step, mem *state.Memory, col int, width int64, groups *state.Table, key int) {
	if x.seen == nil {
		return
	}
	x.timeCol, x.cal = col, newDueList(mem, width)
	x.seen.All(func(r state.Ref) bool {
		if v, ok := x.timeOf(r, groups, key); ok {
			x.cal.add(v, uint64(r))
		}
		st.RestAfter()
		return true
	})
}

// timeOf returns the time of a value's group.
func (x *aggInput) timeOf(r state.Ref, groups *state.Table, key int) (int64, bool) {
	g, _ := x.seen.KeyInt(r, 0)
	if !groups.Holds(state.Ref(g)) {
		return 0, false
	}
	return groups.KeyInt(state.Ref(g), key)
}

// putDown notes the values that the rows fresh of b brought.
func (x *aggInput) putDown(b *batch.Batch, vals []state.Ref, fresh []uint32) {
	if x.cal == nil {
		return
	}
	col := &b.Cols[x.timeCol]
	for _, k := range fresh {
		if i := b.Row(int(k)); !col.Null(i) {
			x.cal.add(col.I64[i], uint64(vals[k]))
		}
	}
}

// free deletes the values of groups that are below mark m of key column key. The
// groups are still there.
func (x *aggInput) free(st *Step, m int64, groups *state.Table, key int) {
	if x.cal == nil {
		return
	}
	time := func(e uint64) (int64, bool) {
		if !x.seen.Holds(state.Ref(e)) {
			return 0, false
		}
		return x.timeOf(state.Ref(e), groups, key)
	}
	x.cal.due(m, time, func(e uint64) {
		st.RestAfter()
		if v, ok := time(e); !ok || v >= m {
			return // it is another group's value by now
		}
		if x.forms != nil {
			x.forms.forget(state.Ref(e))
		}
		x.seen.Delete(state.Ref(e))
	})
}
