package flow

import (
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// overEval computes the answers of rows that follow each other, call by call, in
// blocks, and puts them in the place of those that are different.
type overEval struct {
	o        *over
	p        *overPart
	n        int64
	events   []overEvent
	rowsDone int64 // how many answers were computed so far
	peers    bool  // groups of peers are needed
	aggs     []*overAgg
	table    *overTable

	// Of the rows at work, which begin at place lo.
	lo            int64
	at            []overCursor // block by row: only block and start are used
	rows          []uint32
	from, to, num []int64 // of each row's peers: first place, end, and number from 0
	now           []batch.Column
	view          batch.Batch
	cols          []int
	failed        []*types.Error
	same          bool // the last of them has the answer it had

	cur, edge overCursor
	rowProbe  rowProbe
	limit     limitProbe
}

func (x *overEval) init(o *over) error {
	x.o = o
	x.table = newOverTable(&o.tree)
	for i := range o.Calls {
		c := &o.Calls[i]
		x.now = append(x.now, batch.Column{Type: c.Ret})
		x.cols = append(x.cols, i)
		switch {
		case c.Fn == OverRank, c.Fn == OverDenseRank, c.Fn == OverPercentRank, c.Fn == OverCumeDist:
			x.peers = true
		case c.usesFrame() && (c.Frame.Mode != FrameRows || c.Frame.Exclude > ExcludeCurrent):
			x.peers = true
		}
		var agg *overAgg
		if c.Fn == OverAgg {
			var err error
			if agg, err = newOverAgg(o, c, x.table); err != nil {
				return err
			}
		}
		x.aggs = append(x.aggs, agg)
	}
	x.table.build(o.env.memory(), x.aggs)
	return nil
}

func (x *overEval) bytes() int64 {
	n := x.table.bytes()
	for _, a := range x.aggs {
		if a != nil && a.acc != nil {
			n += a.acc.bytes()
		}
	}
	return n
}

// begin turns to a partition whose tree stays as it is until the next begin.
func (x *overEval) begin(p *overPart) {
	x.p, x.n = p, x.o.tree.size(p.root)
	x.table.begin()
	x.cur, x.edge = overCursor{}, overCursor{}
	for _, a := range x.aggs {
		if a != nil {
			a.begin()
		}
	}
}

// renew computes places lo to hi again.
func (x *overEval) renew(st *Step, lo, hi int64, out Emitter) {
	for ; lo < hi && !st.Stopped(); lo += batch.BlockRows {
		x.block(st, lo, min(lo+batch.BlockRows, hi), out)
	}
}

// goOn computes places from lo on until an answer is what it was, at most to hi.
func (x *overEval) goOn(st *Step, lo, hi int64, out Emitter) {
	for n := int64(1); lo < hi && !x.same && !st.Stopped(); n = min(2*n, batch.BlockRows) {
		end := min(lo+n, hi)
		x.block(st, lo, end, out)
		lo = end
	}
}

func (x *overEval) block(st *Step, lo, hi int64, out Emitter) {
	x.lo, x.at, x.rows, x.failed = lo, x.at[:0], x.rows[:0], x.failed[:0]
	x.from, x.to, x.num = x.from[:0], x.to[:0], x.num[:0]
	var from, to, num int64
	t, root := &x.o.tree, x.p.root
	if x.peers {
		num = t.headsBefore(root, lo+1) - 1
		from, to = t.headAt(root, num), t.headAt(root, num+1)
	}
	for at := lo; at < hi; at++ {
		b, k := x.cur.move(t, root, at)
		x.at, x.rows, x.failed = append(x.at, x.cur), append(x.rows, b.rows[k]), append(x.failed, nil)
		if x.peers {
			if at == to {
				num, from = num+1, to
				to = t.headAt(root, num+1)
			}
			x.from, x.to, x.num = append(x.from, from), append(x.to, to), append(x.num, num)
		}
	}
	x.rowsDone += hi - lo
	for i := range x.o.Calls {
		x.now[i].Truncate()
		x.call(i, &x.o.Calls[i], &x.now[i])
	}
	x.put(st, out)
}

// call computes one call for the rows at work.
func (x *overEval) call(i int, c *OverCall, dst *batch.Column) {
	gone, total := x.p.gone, x.p.gone+x.n
	switch c.Fn {
	case OverRowNumber:
		for k := range x.rows {
			dst.AppendInt(k, gone+x.lo+int64(k)+1)
		}
	case OverRank:
		for k, from := range x.from {
			dst.AppendInt(k, gone+from+1)
		}
	case OverDenseRank:
		for k, num := range x.num {
			dst.AppendInt(k, x.p.goneHeads+num+1)
		}
	case OverPercentRank:
		for k, from := range x.from {
			f := 0.0
			if total > 1 {
				f = float64(gone+from) / float64(total-1)
			}
			dst.AppendFloat(k, f)
		}
	case OverCumeDist:
		for k, to := range x.to {
			dst.AppendFloat(k, float64(gone+to)/float64(total))
		}
	case OverNtile:
		x.ntile(c, dst)
	case OverLag, OverLead:
		x.shifted(c, dst)
	case OverFirst, OverLast, OverNth:
		x.value(c, dst)
	default:
		x.aggs[i].run(x, dst)
	}
}

// ntile: the first n%buckets buckets have one row more than the others.
func (x *overEval) ntile(c *OverCall, dst *batch.Column) {
	least, more := int64(0), int64(0)
	if !c.NNull {
		least, more = x.n/c.N, x.n%c.N
	}
	for k := range x.rows {
		at := x.lo + int64(k)
		switch {
		case c.NNull:
			dst.AppendNull(k)
		case at < more*(least+1):
			dst.AppendInt(k, at/(least+1)+1)
		default:
			dst.AppendInt(k, more+(at-more*(least+1))/least+1)
		}
	}
}

// shifted is lag and lead.
func (x *overEval) shifted(c *OverCall, dst *batch.Column) {
	s := x.o.m.rowStore
	for k, row := range x.rows {
		by, null := c.N, c.NNull
		if c.NCol >= 0 {
			w := s.row(row)
			if null = s.null(w, c.NCol); !null {
				by = int64(w[s.fields[c.NCol].at])
			}
		}
		if c.Fn == OverLag {
			by = -by
		}
		at := x.lo + int64(k) + by
		switch {
		case null:
			dst.AppendNull(k)
		case at >= 0 && at < x.n:
			s.appendTo(dst, k, s.row(x.edge.row(&x.o.tree, x.p.root, at)), c.Args[0])
		case c.Default >= 0:
			s.appendTo(dst, k, s.row(row), c.Default)
		default:
			dst.AppendNull(k)
		}
	}
}

// value is first_value, last_value and nth_value.
func (x *overEval) value(c *OverCall, dst *batch.Column) {
	s := x.o.m.rowStore
	for k := range x.rows {
		at := x.place(c, k)
		if at < 0 {
			dst.AppendNull(k)
			continue
		}
		s.appendTo(dst, k, s.row(x.edge.row(&x.o.tree, x.p.root, at)), c.Args[0])
	}
}

// place is where the row is that a call gives for the k-th row at work, -1 if nowhere.
func (x *overEval) place(c *OverCall, k int) int64 {
	if c.Fn == OverNth && c.NNull {
		return -1
	}
	var spans [3]overRange
	parts := x.spans(&c.Frame, k, spans[:0])
	if c.Fn == OverLast {
		for i := len(parts) - 1; i >= 0; i-- {
			if parts[i].lo < parts[i].hi {
				return parts[i].hi - 1
			}
		}
		return -1
	}
	skip := int64(0)
	if c.Fn == OverNth {
		skip = c.N - 1
	}
	for _, r := range parts {
		if n := r.hi - r.lo; n > skip {
			return r.lo + skip
		} else if n > 0 {
			skip -= n
		}
	}
	return -1
}

// spans appends the places of the frame of the k-th row at work, in order, without
// those that are excluded.
func (x *overEval) spans(f *Frame, k int, out []overRange) []overRange {
	at := x.lo + int64(k)
	lo, hi := x.frame(f, k)
	from, to := at, at+1
	switch f.Exclude {
	case ExcludeNone:
		return append(out, overRange{lo: lo, hi: hi})
	case ExcludeGroup, ExcludeTies:
		from, to = x.from[k], x.to[k]
	}
	out = append(out, overRange{lo: lo, hi: min(hi, max(from, lo))})
	if f.Exclude == ExcludeTies && lo <= at && at < hi {
		out = append(out, overRange{lo: at, hi: at + 1})
	}
	return append(out, overRange{lo: max(lo, min(to, hi)), hi: hi})
}

// frame is where the frame of the k-th row at work begins and ends, before anything is
// excluded.
func (x *overEval) frame(f *Frame, k int) (lo, hi int64) {
	lo, hi = x.frameEdge(f, f.Start, k, false), x.frameEdge(f, f.End, k, true)
	return lo, max(lo, hi)
}

func (x *overEval) frameEdge(f *Frame, e FrameEdge, k int, end bool) int64 {
	switch e.Kind {
	case FromStart:
		return 0
	case ToEnd:
		return x.n
	}
	behind := int64(0)
	if end {
		behind = 1
	}
	switch f.Mode {
	case FrameRows:
		return min(max(x.lo+int64(k)+e.offset()+behind, 0), x.n)
	case FrameGroups:
		g := x.num[k] + e.offset() + behind
		switch {
		case e.Kind == AtCurrent && end:
			return x.to[k]
		case e.Kind == AtCurrent:
			return x.from[k]
		case g < 0:
			return 0
		}
		return x.o.tree.headAt(x.p.root, g)
	}
	if e.Kind == AtCurrent {
		if end {
			return x.to[k]
		}
		return x.from[k]
	}
	x.limit = limitProbe{o: x.o, row: x.o.m.row(x.rows[k]), a: f.Key, b: e.Limit, after: end}
	return x.o.tree.search(x.p.root, &x.limit)
}

// put compares what was computed with what was emitted.
func (x *overEval) put(st *Step, out Emitter) {
	o := x.o
	x.view.N, x.view.Cols = len(x.rows), x.now
	for k, row := range x.rows {
		at := x.lo + int64(k) - x.at[k].start
		was := x.at[k].block.ans[at]
		x.same = false
		if err := x.failed[k]; err != nil {
			if was&ansFailed != 0 && *o.errs.at(was) == *err {
				continue
			}
			x.takeBack(st, row, was, out)
			o.tree.edit(x.at[k].id).ans[at] = o.errs.put(err)
			o.rowError(st, row, err, 1)
			continue
		}
		if was != 0 && was&ansFailed == 0 && o.ans.same(o.ans.row(was), &x.view, x.cols, k) {
			x.same = true
			continue
		}
		x.takeBack(st, row, was, out)
		id := o.ans.alloc()
		if id&ansFailed != 0 {
			panic("flow: too many rows in the state of window functions")
		}
		o.ans.write(o.ans.edit(id), &x.view, x.cols, k)
		o.tree.edit(x.at[k].id).ans[at] = id
		o.out.emit(row, id, 1, out)
	}
}

// takeBack withdraws what was emitted for a row.
func (x *overEval) takeBack(st *Step, row, was uint32, out Emitter) {
	switch {
	case was == 0:
		return
	case was&ansFailed != 0:
		x.o.rowError(st, row, x.o.errs.at(was), -1)
	default:
		x.o.out.emit(row, was, -1, out)
	}
	x.o.gone = append(x.o.gone, was)
}

// appendTo appends column c of a row with words w to dst, which holds n values.
func (s *rowStore) appendTo(dst *batch.Column, n int, w []uint64, c int) {
	if s.null(w, c) {
		dst.AppendNull(n)
		return
	}
	f := s.fields[c]
	switch f.layout {
	case types.LayoutBool:
		dst.AppendBool(n, w[f.at] != 0)
	case types.LayoutInt:
		dst.AppendInt(n, int64(w[f.at]))
	case types.LayoutFloat:
		dst.AppendFloat(n, math.Float64frombits(w[f.at]))
	case types.LayoutDec:
		d, digits := s.decimal(w, f)
		dst.AppendDec(n, d, digits)
	case types.LayoutIvl:
		dst.AppendIvl(n, interval(w, f))
	case types.LayoutStr:
		dst.AppendStr(n, s.text.Get(w[f.at]))
	default:
		dst.AppendNull(n)
	}
}

// stringAgg reports whether a call depends on the order of its rows.
func (c *OverCall) stringAgg() bool { return c.Fn == OverAgg && c.Agg.Op == expr.AggStringAgg }
