package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// tally computes one aggregate over rows that come and go: one group of the kernels
// that Aggregate uses, so that every aggregate is there, and rows can be taken out.
type tally struct {
	rows   *rowStore
	cols   []int // of the input, that the arguments read
	prog   *expr.Program
	mem    *state.Memory // of its own: what it holds is found anew in every step
	acc    accumulator
	in     *aggInput
	table  *state.Table
	refs   []state.Ref
	hashes []uint64
	block  batch.Batch // gathered rows: only cols are there
	args   batch.Batch
	minus  []int64
	steps  int64

	// In conditions: what the tally holds. See matcher.total.
	serial int64  // of the search
	hist   int32  // of the thread whose rows are in it
	tried  uint32 // the row that was looked at besides, 0: none
	count  int    // of a tally of all rows: how many
}

// newTally returns a tally of rows of s.
func newTally(s *rowStore, a *MatchAgg) (*tally, error) {
	t := &tally{rows: s, cols: expr.Columns(a.Args...), mem: state.NewMemory(0, nil, nil)}
	var err error
	if t.prog, err = expr.Compile(a.Args); err != nil {
		return nil, err
	}
	ts := make([]types.Type, len(a.Args))
	for i, x := range a.Args {
		ts[i] = x.Type()
	}
	call := a.Call
	if t.acc, err = newAccumulator(t.mem, ts, &call, false); err != nil {
		return nil, err
	}
	var distinct []int
	if call.Distinct && distinctMatters(call.Fn.Op) {
		distinct = call.Args
	}
	t.in = newAggInput(t.mem, ts, distinct, call.Filter)
	words := countWord + 1
	words += t.acc.place(nil, words)
	t.table = state.New(t.mem, nil, words)
	t.acc.place(t.table, countWord+1)
	t.block.Cols = typedColumns(s.types)
	t.args.Cols = make([]batch.Column, len(ts))
	t.hashes = make([]uint64, batch.BlockRows)
	t.refs = make([]state.Ref, batch.BlockRows)
	one := batch.Batch{N: 1}
	t.table.FindOrInsert(&one, nil, t.hashes[:1], t.refs[:1], nil)
	for i := range t.refs {
		t.refs[i] = t.refs[0]
	}
	t.minus = make([]int64, batch.BlockRows)
	for i := range t.minus {
		t.minus[i] = -1
	}
	return t, nil
}

// add takes rows in, or out if w is -1. It returns the first error of an argument.
func (t *tally) add(ctx *expr.Ctx, ids []uint32, w int64) (failed *types.Error) {
	for len(ids) > 0 {
		n := min(len(ids), batch.BlockRows)
		part := ids[:n]
		ids = ids[n:]
		for _, c := range t.cols {
			t.rows.gather(&t.block.Cols[c], c, part)
		}
		t.block.N = n
		t.prog.Eval(ctx, &t.block, t.args.Cols)
		if len(ctx.Errs) > 0 {
			if failed == nil {
				failed = ctx.Errs[0].Err
			}
			ctx.Errs = ctx.Errs[:0]
		}
		t.args.N, t.args.Weights = n, nil
		if w < 0 {
			t.args.Weights = t.minus[:n]
		}
		t.table.Payload(t.refs[0])[countWord] += uint64(w * int64(n))
		// Each call is a step of its own for what counts distinct values.
		t.steps++
		t.in.begin(t.steps)
		t.in.take(&t.args, t.hashes[:n], t.refs[:n])
		if len(t.in.refs) > 0 {
			t.acc.add(t.in)
		}
	}
	return failed
}

// clear takes all rows out at once.
func (t *tally) clear() {
	t.acc.forget(t.refs[0])
	clear(t.table.Payload(t.refs[0]))
	if t.in.seen != nil {
		t.in.reset()
	}
}

// value appends the result to dst, which holds n values.
func (t *tally) value(dst *batch.Column, n int) *types.Error {
	if errs := t.acc.final(t.refs[:1], dst, n, nil); len(errs) > 0 {
		return errs[0].err
	}
	return nil
}

func (t *tally) bytes() int64 { return t.table.Bytes() + t.acc.bytes() + t.in.bytes() }

// total brings the tally of slot s to the rows of a thread and row m.pos as variable
// v. Threads mostly ask one after the other with one row more each, so that the tally
// mostly is there but for that row. Where that is not so the search is charged for
// the rows; whether the tally was with another search meanwhile, or is new since a
// restart, makes no difference to it.
func (m *matcher) total(s, v int, hist int32) *types.Error {
	t, vars := m.totals[s], m.Slots[s].Agg.Vars
	o := m.open
	here := t.serial == o.serial // it holds what this search left
	t.serial = o.serial
	if vars == m.all() {
		return m.totalOfAll(t, !here)
	}
	at := &o.tallys[m.tallyAt[s]]
	near := at.known && at.gen == o.Generation() && o.follows(at.hist, hist)
	if !near || !here || !m.moveTally(t, vars, hist) {
		if err := m.fillTally(t, vars, hist, !near || here); err != nil {
			t.serial, at.known = -1, false
			return err
		}
	}
	*at = tallyAt{true, o.Generation(), hist}
	id := m.part.id(m.pos)
	if vars>>v&1 == 0 {
		id = 0
	}
	err := m.try(t, id)
	at.known = err == nil
	return err
}

// follows reports whether history node hist is node at, or the one after it.
func (s *matchSearch) follows(at, hist int32) bool {
	if hist < 0 || at == hist {
		return at == hist
	}
	_, before := s.Last(hist)
	return before == at
}

// fillTally makes t that of the thread at hist.
func (m *matcher) fillTally(t *tally, vars uint64, hist int32, charge bool) *types.Error {
	o := m.open
	m.taken = o.Path(m.taken[:0], hist)
	m.ids = m.ids[:0]
	for _, x := range m.taken {
		if vars>>x.Var&1 != 0 {
			m.ids = append(m.ids, m.part.id(o.start+int64(x.Row)))
		}
	}
	t.clear()
	t.hist, t.tried = hist, 0
	err := t.add(&m.st.Ctx, m.ids, 1)
	if charge || err != nil {
		o.Charge(len(m.taken))
	}
	return err
}

// try makes row id (0: none) the one that is in t besides those of its thread.
func (m *matcher) try(t *tally, id uint32) (err *types.Error) {
	if t.tried == id {
		return nil
	}
	if t.tried != 0 {
		m.oneID[0] = t.tried
		err = t.add(&m.st.Ctx, m.oneID[:], -1)
	}
	if id != 0 && err == nil {
		m.oneID[0] = id
		err = t.add(&m.st.Ctx, m.oneID[:], 1)
	}
	if t.tried = id; err != nil {
		t.serial = -1
	}
	return err
}

// moveTally makes t that of the thread at hist from that of the same thread, or of the
// thread one row before.
func (m *matcher) moveTally(t *tally, vars uint64, hist int32) bool {
	if t.hist == hist {
		return true
	}
	last, _ := m.open.Last(hist)
	id := uint32(0)
	if vars>>last.Var&1 != 0 {
		id = m.part.id(m.open.start + int64(last.Row))
	}
	if m.try(t, id) != nil {
		return false
	}
	t.tried, t.hist = 0, hist
	return true
}

// totalOfAll brings t to all rows from the search's start to m.pos.
func (m *matcher) totalOfAll(t *tally, fresh bool) *types.Error {
	want := int(m.pos-m.open.start) + 1
	if fresh {
		t.clear()
		t.count = 0
	}
	m.ids = m.ids[:0]
	for ; t.count < want; t.count++ {
		m.ids = append(m.ids, m.part.id(m.open.start+int64(t.count)))
	}
	err := t.add(&m.st.Ctx, m.ids, 1)
	if err != nil {
		t.serial = -1
	}
	return err
}
