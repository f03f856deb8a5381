package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// overTable keeps the partial aggregates of an overTree's blocks: those of a block's
// own rows and those of the tree below it, made when they are asked for and out of
// date once a row comes or goes there.
type overTable struct {
	tree    *overTree
	aggs    []*overAgg // that have accumulators
	groups  *state.Table
	scratch state.Ref // the frame at work; each aggregate has its own words of it
	mem     *state.Memory
	key     batch.Batch
	refs    [1]state.Ref
}

func newOverTable(tree *overTree) *overTable {
	t := &overTable{tree: tree}
	t.key = batch.Batch{N: 1, Cols: []batch.Column{{Type: types.T(types.Int8), I64: []int64{0}}}}
	return t
}

// build makes the table for aggregates, of which some may be nil.
func (t *overTable) build(mem *state.Memory, aggs []*overAgg) {
	words := countWord + 1
	for _, a := range aggs {
		if a != nil && a.acc != nil {
			t.aggs = append(t.aggs, a)
			a.at, a.words = words, a.acc.place(nil, words)
			words += a.words
		}
	}
	if len(t.aggs) == 0 {
		return
	}
	t.mem = mem
	t.groups = state.New(mem, []types.Type{types.T(types.Int8)}, words)
	for _, a := range t.aggs {
		a.acc.place(t.groups, a.at)
	}
}

// begin makes the frame at work if there is none yet.
func (t *overTable) begin() {
	if t.groups != nil && t.scratch == state.NoRef {
		t.scratch = t.ref(0)
	}
}

func (t *overTable) persist(p *state.Persist) {
	if t.groups == nil {
		return
	}
	t.groups.Persist(p)
	state.Num(p, &t.scratch)
	for _, a := range t.aggs {
		a.acc.persist(p)
	}
}

func (t *overTable) bytes() int64 {
	if t.groups == nil {
		return 0
	}
	return t.groups.Bytes()
}

// ref returns the partial aggregates with a number, which is given out by the caller.
func (t *overTable) ref(n int64) state.Ref {
	t.key.Cols[0].I64[0] = n
	var hash [1]uint64
	t.groups.FindOrInsert(&t.key, []int{0}, batch.HashRows(hash[:], &t.key, []int{0}), t.refs[:], nil)
	return t.refs[0]
}

// part returns partial aggregates of a block: 0 its own, 1 those of its tree.
func (t *overTable) part(id uint32, which int) state.Ref {
	if r := t.tree.block(id).parts[which]; r != 0 {
		return state.Ref(r)
	}
	r := t.ref(int64(id)*2 + int64(which))
	t.tree.editHead(id).parts[which] = uint64(r)
	return r
}

// own returns a block's own partial aggregates, up to date.
func (t *overTable) own(id uint32) state.Ref {
	r := t.part(id, 0)
	if b := t.tree.block(id); b.ownStale {
		t.tree.editHead(id).ownStale = false
		for _, a := range t.aggs {
			a.reset(r)
			a.add(r, b.rows[:b.n], 1)
		}
	}
	return r
}

// whole returns the partial aggregates of the tree below a block, up to date.
func (t *overTable) whole(id uint32) state.Ref {
	r := t.part(id, 1)
	b := t.tree.block(id)
	if !b.treeStale {
		return r
	}
	t.tree.editHead(id).treeStale = false
	own := t.own(id)
	left, right := own, own
	if b.left != 0 {
		left = t.whole(b.left)
	}
	if b.right != 0 {
		right = t.whole(b.right)
	}
	for _, a := range t.aggs {
		if a.merge == nil {
			continue
		}
		a.reset(r)
		a.merge.merge(r, own)
		if b.left != 0 {
			a.merge.merge(r, left)
		}
		if b.right != 0 {
			a.merge.merge(r, right)
		}
	}
	return r
}

// merger is an accumulator that can add up what groups hold that never had a
// withdrawal: src's to dst's. src stays as it is.
type merger interface{ merge(dst, src state.Ref) }

// overAgg is an aggregate over frames.
type overAgg struct {
	o     *over
	call  *OverCall
	table *overTable
	acc   accumulator // nil: the number of rows, or text in order
	merge merger      // nil if it cannot
	adds  bool        // it can add only, not withdraw
	in    *aggInput
	at    int // first word
	words int
	lo    int64 // what the scratch group holds; hi < lo: nothing known
	hi    int64

	cur    overCursor
	block  batch.Batch
	cols   []int // that are read
	refs   [blockRows]state.Ref
	hashes [blockRows]uint64
	minus  [blockRows]int64
	errs   []aggError
	text   []byte
}

func newOverAgg(o *over, c *OverCall, table *overTable) (*overAgg, error) {
	a := &overAgg{o: o, call: c, table: table}
	if c.stringAgg() || c.rowCount() {
		return a, nil
	}
	op := c.Agg.Op
	a.adds = op == expr.AggMin || op == expr.AggMax || op == expr.AggAnyValue
	call := &AggCall{Fn: c.Agg, Args: c.Args, Filter: c.Filter, Ret: c.Ret}
	acc, err := newAccumulator(o.env.memory(), o.env.In[0], call, a.adds)
	if err != nil {
		return nil, err
	}
	a.acc = acc
	a.merge, _ = acc.(merger)
	a.in = newAggInput(o.env.memory(), o.env.In[0], nil, c.Filter)
	a.block.Cols = typedColumns(o.env.In[0])
	a.cols = append(a.cols, c.Args...)
	if c.Filter >= 0 {
		a.cols = append(a.cols, c.Filter)
	}
	for k := range a.minus {
		a.minus[k] = -1
	}
	return a, nil
}

// rowCount reports whether a call counts all rows of the frame.
func (c *OverCall) rowCount() bool {
	return c.Filter < 0 && len(c.Args) == 0 && (c.Agg.Op == expr.AggCountStar || c.Agg.Op == expr.AggCount)
}

// begin forgets the frame at work: the partition is another.
func (a *overAgg) begin() { a.lo, a.hi, a.cur = 0, -1, overCursor{} }

// reset makes a group empty.
func (a *overAgg) reset(r state.Ref) {
	w := a.table.groups.EditPayload(r)
	a.acc.forget(r)
	clear(w[a.at : a.at+a.words])
}

// add adds rows, up to those of a block, to a group or takes them out.
func (a *overAgg) add(r state.Ref, rows []uint32, weight int64) {
	for _, c := range a.cols {
		a.o.m.gather(&a.block.Cols[c], c, rows)
	}
	n := len(rows)
	for k := range n {
		a.refs[k] = r
	}
	a.block.N, a.block.Weights = n, nil
	if weight < 0 {
		a.block.Weights = a.minus[:n]
	}
	a.in.take(&a.block, a.hashes[:n], a.refs[:n])
	if len(a.in.refs) > 0 {
		a.acc.add(a.in)
	}
}

// addSpan adds the rows of places lo to hi to the frame at work or takes them out.
func (a *overAgg) addSpan(x *overEval, lo, hi, weight int64) {
	for lo < hi {
		b, k := a.cur.move(&x.o.tree, x.p.root, lo)
		end := min(int64(b.n), int64(k)+hi-lo)
		a.add(a.table.scratch, b.rows[k:end], weight)
		lo += end - int64(k)
	}
}

// query adds places lo to hi of the tree of id, which begins at a place, to the frame.
func (a *overAgg) query(id uint32, start, lo, hi int64) {
	if id == 0 {
		return
	}
	b := a.table.tree.block(id)
	if lo <= start && hi >= start+int64(b.size) {
		a.merge.merge(a.table.scratch, a.table.whole(id))
		return
	}
	own := start + a.table.tree.size(b.left)
	end := own + int64(b.n)
	if lo < own {
		a.query(b.left, start, lo, hi)
	}
	if from, to := max(lo, own), min(hi, end); from < to {
		if to-from == int64(b.n) {
			a.merge.merge(a.table.scratch, a.table.own(id))
		} else {
			a.add(a.table.scratch, b.rows[from-own:to-own], 1)
		}
	}
	if hi > end {
		a.query(b.right, end, lo, hi)
	}
}

// fewRows is up to how many rows are added one by one rather than from partial
// aggregates.
const overFew = 3 * blockRows

// fill adds places lo to hi.
func (a *overAgg) fill(x *overEval, lo, hi int64) {
	switch {
	case lo >= hi:
	case hi-lo <= blockRows || a.merge == nil:
		a.addSpan(x, lo, hi, 1)
	default:
		a.query(x.p.root, 0, lo, hi)
	}
}

// restart makes the frame at work empty, but for rows before all that are kept.
func (a *overAgg) restart(x *overEval) {
	a.reset(a.table.scratch)
	if x.p.base != 0 && a.call.Frame.Start.Kind == FromStart {
		a.merge.merge(a.table.scratch, state.Ref(x.p.base))
	}
}

// slide makes the frame at work places lo to hi.
func (a *overAgg) slide(x *overEval, lo, hi int64) {
	known := a.lo <= a.hi && lo <= a.hi && hi >= a.lo
	moved := max(lo-a.lo, a.lo-lo) + max(hi-a.hi, a.hi-hi)
	if !known || moved > min(hi-lo, overFew)+1 || a.adds && (lo > a.lo || hi < a.hi) {
		a.restart(x)
		a.fill(x, lo, hi)
		a.lo, a.hi = lo, hi
		return
	}
	if hi > a.hi {
		a.addSpan(x, a.hi, hi, 1)
	}
	if lo < a.lo {
		a.addSpan(x, lo, a.lo, 1)
	}
	if lo > a.lo {
		a.addSpan(x, a.lo, lo, -1)
	}
	if hi < a.hi {
		a.addSpan(x, hi, a.hi, -1)
	}
	a.lo, a.hi = lo, hi
}

// run computes the aggregate for the rows at work.
func (a *overAgg) run(x *overEval, dst *batch.Column) {
	var buf [3]overRange
	for k := range x.rows {
		spans := x.spans(&a.call.Frame, k, buf[:0])
		switch {
		case a.acc != nil && len(spans) == 1:
			a.slide(x, spans[0].lo, spans[0].hi)
		case a.acc != nil:
			a.restart(x)
			a.lo, a.hi = 0, -1
			for _, s := range spans {
				a.fill(x, s.lo, s.hi)
			}
		case a.call.rowCount():
			n := int64(0)
			for _, s := range spans {
				n += max(s.hi-s.lo, 0)
			}
			if a.call.Frame.Start.Kind == FromStart {
				n += x.p.gone
			}
			dst.AppendInt(k, n)
			continue
		default:
			a.join(x, k, spans, dst)
			continue
		}
		a.refs[0] = a.table.scratch
		a.errs = a.acc.final(a.refs[:1], dst, k, a.errs[:0])
		if len(a.errs) > 0 && x.failed[k] == nil {
			x.failed[k] = a.errs[0].err
		}
	}
}

// join is string_agg, in the order of the rows.
func (a *overAgg) join(x *overEval, k int, spans []overRange, dst *batch.Column) {
	s, c := x.o.m.rowStore, a.call
	a.text = a.text[:0]
	first := true
	for _, r := range spans {
		for at := r.lo; at < r.hi; at++ {
			w := s.row(a.cur.row(&x.o.tree, x.p.root, at))
			if c.Filter >= 0 && (s.null(w, c.Filter) || w[s.fields[c.Filter].at] == 0) || s.null(w, c.Args[0]) {
				continue
			}
			if !first && len(c.Args) > 1 && !s.null(w, c.Args[1]) {
				a.text = append(a.text, s.text.Get(w[s.fields[c.Args[1]].at])...)
			}
			first = false
			a.text = append(a.text, s.text.Get(w[s.fields[c.Args[0]].at])...)
		}
	}
	if first {
		dst.AppendNull(k)
	} else {
		dst.AppendStr(k, a.text)
	}
}
