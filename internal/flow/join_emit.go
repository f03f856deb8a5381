package flow

import "github.com/tidemill/tidemill/internal/batch"

// pairAll pairs the rows of b from the from-th on each with the rows of a group of
// the other side, whose first rows are given (0 for none). It takes one row of each
// group in turn, because the memory of rows of one group is waited for one by one.
func (j *join) pairAll(st *Step, port int, b *batch.Batch, from int, heads []uint32, out Emitter) {
	other := j.sides[1-port].m
	p := &j.match
	at, rows := p.at[:0], p.rows[:0]
	for k, r := range heads {
		if r != 0 {
			at, rows = append(at, uint32(b.Row(from+k))), append(rows, r)
		}
	}
	for len(rows) > 0 {
		if len(p.mine)+len(rows) > batch.BlockRows {
			j.emitPairs(st, port, b, out)
			if st.Stopped() {
				return
			}
		}
		other.fetch(rows)
		more, view := 0, other.pages.View()
		for x, r := range rows {
			words := view.Row(r)
			if words == nil {
				words = other.row(r)
			}
			if theirs := int64(words[rowWeight]); theirs != 0 {
				p.mine = append(p.mine, at[x])
				p.theirs = append(p.theirs, r)
				p.weights = append(p.weights, b.Weight(int(at[x]))*theirs)
			}
			r = next(words)
			at[more], rows[more] = at[x], r
			more += int(uint64(-int64(r)) >> 63) // 1 if r is a row, without a branch
		}
		at, rows = at[:more], rows[:more]
	}
}

// pairOn is pairAll for a join with a further condition, which wants to know of each
// pair which of the selected rows it is of: only pairs that their times allow are made.
func (j *join) pairOn(st *Step, port int, b *batch.Batch, from int, heads []uint32, out Emitter) {
	side := &j.sides[1-port]
	p := &j.match
	at, rows := p.at[:0], p.rows[:0]
	for k, r := range heads {
		if r != 0 {
			at, rows = append(at, uint32(from+k)), append(rows, r)
		}
	}
	for len(rows) > 0 {
		if len(p.mine)+len(rows) > batch.BlockRows {
			j.emitPairs(st, port, b, out)
			if st.Stopped() {
				return
			}
		}
		side.m.fetch(rows)
		more, view := 0, side.m.pages.View()
		for x, r := range rows {
			words, k := view.Row(r), at[x]
			if words == nil {
				words = side.m.row(r)
			}
			i := b.Row(int(k))
			if j.between == nil || j.inTime(port, b, i, side.timeOf(words)) {
				p.mine, p.theirs = append(p.mine, uint32(i)), append(p.theirs, r)
				p.weights = append(p.weights, b.Weight(i)*int64(words[rowWeight]))
				p.k = append(p.k, k)
			}
			r = next(words)
			at[more], rows[more] = k, r
			more += int(uint64(-int64(r)) >> 63) // 1 if r is a row, without a branch
		}
		at, rows = at[:more], rows[:more]
	}
}

// inTime reports whether row i of b may pair with a row of the other side of the
// given time.
func (j *join) inTime(port int, b *batch.Batch, i int, theirs int64) bool {
	mine := b.Cols[j.sides[port].time].I64[i]
	if port == 0 {
		return j.between.holds(mine, theirs)
	}
	return j.between.holds(theirs, mine)
}

// emitPairs deals with the pairs so far: those that meet the further condition, if
// there is one, are counted for the gates and emitted if pairs are a result.
func (j *join) emitPairs(st *Step, port int, b *batch.Batch, out Emitter) {
	p := &j.match
	if len(p.mine) == 0 {
		return
	}
	me, other := &j.sides[port], &j.sides[1-port]
	o := &j.out[port]
	for c := range me.types {
		batch.GatherColumn(&o.Cols[me.at+c], &b.Cols[c], p.mine)
	}
	other.m.gatherAll(o.Cols[other.at:], p.theirs)
	o.N, o.Sel, o.Weights = len(p.mine), nil, p.weights
	if j.byRow {
		j.selectOn(st, o)
		j.count(port, b)
		j.dropZeros(o)
	}
	if j.pairs {
		out.Emit(o)
	}
	p.mine, p.theirs, p.weights, p.k = p.mine[:0], p.theirs[:0], p.weights[:0], p.k[:0]
}

// selectOn narrows pairs to those that meet the further condition.
func (j *join) selectOn(st *Step, o *batch.Batch) {
	if j.on == nil {
		j.live = j.live[:0]
		for k := range o.N {
			j.live = append(j.live, uint32(k))
		}
		o.Sel = j.live
		return
	}
	o.Sel = j.on.Select(&st.Ctx, o)
	if o.Sel == nil {
		o.Sel = j.match.none
	}
	st.evalErrors(j.node, o)
}

// count adds the selected pairs to the counts of their rows.
func (j *join) count(port int, b *batch.Batch) {
	me, other := &j.sides[port], &j.sides[1-port]
	p := &j.match
	for _, x := range j.out[port].Sel {
		if other.gate != gateNone {
			other.m.addCount(p.theirs[x], b.Weight(int(p.mine[x])))
		}
		if k := p.k[x]; me.gate != gateNone && j.fresh[k] {
			w := other.m.row(p.theirs[x])[rowWeight]
			me.m.addCount(j.ids[k], int64(w))
		}
	}
}

// dropZeros narrows pairs with rows that are withdrawn out of the selection.
func (j *join) dropZeros(o *batch.Batch) {
	sel := j.live[:0]
	for _, x := range o.Sel {
		if o.Weights[x] != 0 {
			sel = append(sel, x)
		}
	}
	j.live, o.Sel = sel, sel
}

// emitLoneOf emits rows of block b alone.
func (j *join) emitLoneOf(port int, b *batch.Batch, rows []uint32, out Emitter) {
	me := &j.sides[port]
	j.view.Cols = j.view.Cols[:0]
	if port == 1 {
		j.view.Cols = append(j.view.Cols, j.sides[0].nulls...)
	}
	j.view.Cols = append(j.view.Cols, b.Cols[:len(me.types)]...)
	if port == 0 && j.pairs {
		j.view.Cols = append(j.view.Cols, j.sides[1].nulls...)
	}
	j.view.N, j.view.Sel, j.view.Weights = b.N, rows, b.Weights
	out.Emit(&j.view)
}

// flushLone emits the stored rows to emit alone.
func (j *join) flushLone(port int, out Emitter) {
	if len(j.loneIDs) == 0 {
		return
	}
	me := &j.sides[port]
	own := j.lone[port]
	me.m.gatherAll(own, j.loneIDs)
	b := batch.Batch{Cols: own, N: len(j.loneIDs), Weights: j.loneW}
	j.emitLoneOf(port, &b, nil, out)
	j.loneIDs, j.loneW = j.loneIDs[:0], j.loneW[:0]
	me.m.mem.Rest()
}
