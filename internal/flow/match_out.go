package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/types"
)

// matchOut gathers the output rows of matches, as what their slots name, and computes
// their measures a block at a time.
type matchOut struct {
	m      *matcher
	prog   *expr.Program
	slots  []int          // that measures read
	locs   []MatchRow     // the different rows that slots name
	loc    []int          // by slot: index in locs
	at     [][]uint32     // by index in locs: the row for each output row, 0 if none
	cols   []batch.Column // by slot: values of labels, numbers and totals
	tally  []*tally       // by slot
	pass   []uint32       // the row that columns are passed on from
	owner  []matchOwner   // what each output row is of
	gone   []uint32       // rows of no match, to be shown
	goneOf []matchOwner

	shown  []int32 // scratch of match: rows of the match that are shown, -1 for an empty match
	rel    []int32 // scratch of match: row of the match for each of them, -1 if none
	hits   []int32
	ids    []uint32
	in     batch.Batch // what measures are computed from, by slot
	res    []batch.Column
	nulls  []batch.Column // measures of rows of no match
	out    batch.Batch
	sel    []uint32
	broken []int                                     // output rows with an aggregate that could not be computed
	given  func(b *batch.Batch, owners []matchOwner) // takes each block of output rows
}

// matchOwner is what an output row is of: the rec-th record of a partition.
type matchOwner struct {
	part *matchPart
	rec  int32
}

func newMatchOut(m *matcher) (*matchOut, error) {
	o := &matchOut{m: m, slots: expr.Columns(m.Measures...)}
	var err error
	if o.prog, err = expr.Compile(m.Measures); err != nil {
		return nil, err
	}
	o.loc = make([]int, len(m.Slots))
	o.tally = make([]*tally, len(m.Slots))
	ts := make([]types.Type, len(m.Slots))
	for i := range m.Slots {
		ts[i] = m.Slots[i].T
	}
	o.cols, o.in.Cols = typedColumns(ts), typedColumns(ts)
	for _, s := range o.slots {
		slot := &m.Slots[s]
		switch slot.Give {
		case GiveNumber:
			m.numbered = true
		case GiveTotal:
			if o.tally[s], err = newTally(m.rows, slot.Agg); err != nil {
				return nil, err
			}
		default:
			o.loc[s] = o.place(slot.Row)
			m.reach(slot.Row.Shift, -1, &slot.Row)
		}
	}
	o.at = make([][]uint32, len(o.locs))
	o.res = make([]batch.Column, len(m.Measures))
	o.nulls = nullColumns(m.out[len(m.Pass):])
	o.out.Cols = typedColumns(m.out)
	return o, nil
}

// place returns the index of a row in locs.
func (o *matchOut) place(r MatchRow) int {
	for i, x := range o.locs {
		if x == r {
			return i
		}
	}
	o.locs = append(o.locs, r)
	return len(o.locs) - 1
}

// lost shows a row of no match.
func (o *matchOut) lost(p *matchPart, pos int64) {
	o.gone = append(o.gone, p.id(pos))
	o.goneOf = append(o.goneOf, matchOwner{p, int32(p.records())})
}

// match shows a match that begins at position start; one without rows is shown as
// the row there.
func (o *matchOut) match(p *matchPart, start int64, taken []pattern.Taken) {
	m := o.m
	o.shown = o.shown[:0]
	switch {
	case len(taken) == 0:
		o.shown = append(o.shown, -1)
	case !m.AllRows:
		o.shown = append(o.shown, int32(len(taken)-1))
	default:
		for i := range taken {
			if !taken[i].Excluded {
				o.shown = append(o.shown, int32(i))
			}
		}
	}
	if len(o.shown) == 0 {
		return
	}
	had := len(o.pass)
	for _, i := range o.shown {
		at := start
		if m.AllRows && i >= 0 {
			at += int64(i)
		}
		o.pass = append(o.pass, p.id(at))
		o.owner = append(o.owner, matchOwner{p, int32(p.records())})
	}
	for l := range o.locs {
		o.locate(&o.locs[l], taken)
		for k := range o.rel {
			id := uint32(0)
			if o.rel[k] >= 0 {
				id = p.id(start + int64(o.rel[k]) + int64(o.locs[l].Shift))
			}
			o.at[l] = append(o.at[l], id)
		}
	}
	for _, s := range o.slots {
		switch m.Slots[s].Give {
		case GiveNumber:
			for k := range o.shown {
				o.cols[s].AppendInt(had+k, p.number)
			}
		case GiveLabel:
			o.labels(s, had, taken)
		case GiveTotal:
			o.totals(s, had, p, start, taken)
		}
	}
}

// locate sets rel to the row of the match that r names for each shown row, without
// its shift.
func (o *matchOut) locate(r *MatchRow, taken []pattern.Taken) {
	o.rel = o.rel[:0]
	all := r.Vars == o.m.all()
	if r.Kind == RowCurrent || all {
		for _, i := range o.shown {
			upTo := i
			if r.Final {
				upTo = int32(len(taken) - 1)
			}
			switch {
			case r.Kind == RowFirst:
				i = int32(r.Offset)
			case r.Kind == RowLast:
				i = upTo - int32(r.Offset)
			}
			if i > upTo || i < 0 {
				i = -1
			}
			o.rel = append(o.rel, i)
		}
		return
	}
	o.hits = o.hits[:0]
	next := 0
	for _, i := range o.shown {
		upTo := int(i)
		if r.Final {
			upTo = len(taken) - 1
		}
		for ; next <= upTo; next++ {
			if r.Vars>>taken[next].Var&1 != 0 {
				o.hits = append(o.hits, int32(next))
			}
		}
		at := r.Offset
		if r.Kind == RowLast {
			at = len(o.hits) - 1 - r.Offset
		}
		if at < 0 || at >= len(o.hits) {
			o.rel = append(o.rel, -1)
			continue
		}
		o.rel = append(o.rel, o.hits[at])
	}
}

// labels appends the variables of the rows that slot s names.
func (o *matchOut) labels(s, had int, taken []pattern.Taken) {
	r := &o.m.Slots[s].Row
	o.locate(r, taken)
	for k, i := range o.rel {
		at := int(i) + r.Shift
		if i < 0 || at < 0 || at >= len(taken) {
			o.cols[s].AppendNull(had + k)
			continue
		}
		o.cols[s].AppendStr(had+k, []byte(o.m.Vars[taken[at].Var]))
	}
}

// totals appends the aggregate of slot s for each shown row.
func (o *matchOut) totals(s, had int, p *matchPart, start int64, taken []pattern.Taken) {
	a, t, dst := o.m.Slots[s].Agg, o.tally[s], &o.cols[s]
	next := 0
	for k, i := range o.shown {
		upTo := int(i)
		if a.Final {
			upTo = len(taken) - 1
		}
		o.ids = o.ids[:0]
		for ; next <= upTo; next++ {
			if a.Vars>>taken[next].Var&1 != 0 {
				o.ids = append(o.ids, p.id(start+int64(next)))
			}
		}
		err := t.add(&o.m.st.Ctx, o.ids, 1)
		if late := t.value(dst, had+k); err == nil {
			err = late
		}
		if err != nil {
			o.m.failed = append(o.m.failed, matchFail{id: o.pass[had+k], err: err})
			o.broken = append(o.broken, had+k)
		}
	}
	t.clear()
}

// full reports whether there is enough for a block.
func (o *matchOut) full() bool {
	return len(o.pass) >= batch.BlockRows || len(o.gone) >= batch.BlockRows
}

// flush computes and hands out what was gathered.
func (o *matchOut) flush(st *Step) {
	for lo := 0; lo < len(o.pass); lo += batch.BlockRows {
		o.block(st, lo, min(lo+batch.BlockRows, len(o.pass)))
	}
	for lo := 0; lo < len(o.gone); lo += batch.BlockRows {
		o.goneBlock(lo, min(lo+batch.BlockRows, len(o.gone)))
	}
	o.pass, o.owner, o.broken = o.pass[:0], o.owner[:0], o.broken[:0]
	o.gone, o.goneOf = o.gone[:0], o.goneOf[:0]
	for l := range o.at {
		o.at[l] = o.at[l][:0]
	}
	for _, s := range o.slots {
		o.cols[s].Truncate()
	}
}

// block computes output rows lo to hi.
func (o *matchOut) block(st *Step, lo, hi int) {
	m := o.m
	own := batch.Slice(&batch.Batch{N: len(o.pass), Cols: o.written()}, lo, hi)
	for _, s := range o.slots {
		slot := &m.Slots[s]
		switch slot.Give {
		case GiveColumn, GiveThere:
			m.fill(&o.in.Cols[s], slot, o.at[o.loc[s]][lo:hi])
		default:
			o.in.Cols[s] = own.Cols[s]
		}
	}
	o.in.N = hi - lo
	o.prog.Eval(&st.Ctx, &o.in, o.res)
	o.passOn(o.pass[lo:hi])
	copy(o.out.Cols[len(m.Pass):], o.res)
	o.out.N, o.out.Sel = hi-lo, nil
	if len(st.Ctx.Errs)+len(o.broken) > 0 {
		o.withhold(st, lo, hi)
	}
	o.given(&o.out, o.owner[lo:hi])
}

// written returns cols without those that no slot writes to.
func (o *matchOut) written() []batch.Column {
	cols := make([]batch.Column, len(o.cols))
	for _, s := range o.slots {
		switch o.m.Slots[s].Give {
		case GiveNumber, GiveLabel, GiveTotal:
			cols[s] = o.cols[s]
		}
	}
	return cols
}

// passOn fills the first columns of out.
func (o *matchOut) passOn(ids []uint32) {
	for i, c := range o.m.Pass {
		o.m.rows.gather(&o.out.Cols[i], c, ids)
	}
}

// withhold leaves the rows out whose measures could not be computed.
func (o *matchOut) withhold(st *Step, lo, hi int) {
	bad := batch.NewBitmap(nil, hi-lo)
	for _, e := range st.Ctx.Errs {
		if bad.Get(e.Row) {
			continue
		}
		bad.Set(e.Row)
		w := o.owner[lo+e.Row]
		f := matchFail{rec: w.rec, id: o.pass[lo+e.Row], err: e.Err}
		if !o.m.Final {
			w.part.addFail(f)
		}
		o.m.report(st, f, 1)
	}
	st.Ctx.Errs = st.Ctx.Errs[:0]
	for _, i := range o.broken {
		if i >= lo && i < hi {
			bad.Set(i - lo)
		}
	}
	o.sel = o.sel[:0]
	for i := range hi - lo {
		if !bad.Get(i) {
			o.sel = append(o.sel, uint32(i))
		}
	}
	o.out.Sel = o.sel
}

// goneBlock hands out rows of no match, lo to hi.
func (o *matchOut) goneBlock(lo, hi int) {
	o.passOn(o.gone[lo:hi])
	for i := range o.nulls {
		c := o.nulls[i]
		c.Valid = c.Valid[:(hi-lo+63)/64]
		o.out.Cols[len(o.m.Pass)+i] = c
	}
	o.out.N, o.out.Sel = hi-lo, nil
	o.given(&o.out, o.goneOf[lo:hi])
}

func (o *matchOut) bytes() int64 {
	n := int64(cap(o.pass)+cap(o.gone))*4 + int64(cap(o.owner)+cap(o.goneOf))*16
	for l := range o.at {
		n += int64(cap(o.at[l])) * 4
	}
	return n
}
