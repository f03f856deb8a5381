package flow

import (
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/types"
)

// matchCond is the condition of one variable in two parts, both of which must be
// true: what looks at the row and its neighbours only is computed for whole blocks
// of rows ahead of the search, the rest for each thread that asks.
type matchCond struct {
	near  *expr.Predicate // nil: true
	far   *expr.Predicate // nil: true
	slots []int           // that far reads
	look  []int           // that near reads
}

// isNear reports whether a slot depends on a row and its neighbours alone.
func (s *MatchSlot) isNear() bool {
	return s.Row.Kind == RowCurrent && (s.Give == GiveColumn || s.Give == GiveThere)
}

// conditions compiles Define.
func (m *matcher) conditions() error {
	m.conds = make([]matchCond, len(m.Vars))
	for v, def := range m.Define {
		if def == nil {
			continue
		}
		var near, far []expr.Expr
		for _, e := range andArgs(def) {
			if slices.ContainsFunc(expr.Columns(e), func(s int) bool { return !m.Slots[s].isNear() }) {
				far = append(far, e)
			} else {
				near = append(near, e)
			}
		}
		c := &m.conds[v]
		var err error
		if c.near, err = predicateOf(near); err != nil {
			return err
		}
		if c.far, err = predicateOf(far); err != nil {
			return err
		}
		c.slots, c.look = expr.Columns(far...), expr.Columns(near...)
		if c.near != nil {
			m.tested |= 1 << v
		}
		if c.far == nil {
			m.settled |= 1 << v
		}
		m.nearSlots = append(m.nearSlots, c.look...)
		for _, s := range expr.Columns(def) {
			if err := m.condSlot(v, s); err != nil {
				return err
			}
		}
	}
	slices.Sort(m.nearSlots)
	m.nearSlots = slices.Compact(m.nearSlots)
	return nil
}

func andArgs(e expr.Expr) []expr.Expr {
	if l, ok := e.(*expr.Logic); ok && !l.Or {
		var out []expr.Expr
		for _, a := range l.Args {
			out = append(out, andArgs(a)...)
		}
		return out
	}
	return []expr.Expr{e}
}

func predicateOf(es []expr.Expr) (*expr.Predicate, error) {
	switch len(es) {
	case 0:
		return nil, nil
	case 1:
		return expr.CompilePredicate(es[0])
	}
	return expr.CompilePredicate(&expr.Logic{Args: es})
}

// condSlot prepares what slot s needs in the condition of variable v.
func (m *matcher) condSlot(v, s int) error {
	slot := &m.Slots[s]
	switch slot.Give {
	case GiveNumber:
		m.numbered = true
		return nil
	case GiveTotal:
		if slot.Agg.Vars != m.all() {
			if m.totals[s] == nil {
				m.tallyAt[s] = m.tallies
				m.tallies++
			}
			m.track(pattern.Track{Kind: pattern.Every, Vars: slot.Agg.Vars, Rows: 1})
		}
		if m.totals[s] == nil {
			var err error
			m.totals[s], err = newTally(m.rows, slot.Agg)
			return err
		}
		return nil
	case GiveLabel:
		if slot.Row.Kind != RowCurrent || slot.Row.Shift != 0 {
			m.track(pattern.Track{Kind: pattern.Every, Vars: m.all(), Rows: 1, Label: true})
		}
	}
	r := &slot.Row
	m.reach(r.Shift, v, r)
	if r.Kind != RowCurrent && r.Vars != m.all() {
		kind := pattern.Firsts
		if r.Kind == RowLast {
			kind = pattern.Lasts
		}
		m.track(pattern.Track{Kind: kind, Vars: r.Vars, Rows: r.Offset + 1})
	}
	return nil
}

// reach notes how far from the rows of a match a slot looks. In a condition v is its
// variable, else -1.
func (m *matcher) reach(shift, v int, r *MatchRow) {
	m.lookahead = max(m.lookahead, int64(shift))
	if shift >= 0 {
		return
	}
	least := 0 // rows of the match that come before the row at least
	if r.Kind != RowCurrent {
		least = m.leastBefore(r.Vars)
	} else if v >= 0 {
		least = max(m.prog.Before(v), 0)
	}
	m.lookback = max(m.lookback, int64(-shift-least))
}

func (m *matcher) leastBefore(vars uint64) int {
	least := -1
	for v := range m.Vars {
		if b := m.prog.Before(v); vars>>v&1 != 0 && b >= 0 && (least < 0 || b < least) {
			least = b
		}
	}
	return max(least, 0)
}

// track adds what threads must remember.
func (m *matcher) track(t pattern.Track) {
	for i := range m.tracks {
		if x := &m.tracks[i]; x.Kind == t.Kind && x.Vars == t.Vars && x.Label == t.Label {
			x.Rows = max(x.Rows, t.Rows)
			return
		}
	}
	m.tracks = append(m.tracks, t)
}

// trackWord returns what a thread remembers of the k-th row of the given kind.
func (m *matcher) trackWord(kind pattern.TrackKind, vars uint64, k int, regs []int64) int64 {
	for i := range m.tracks {
		if t := &m.tracks[i]; t.Kind == kind && t.Vars == vars && !t.Label {
			return regs[m.mach.Offset(i)+k]
		}
	}
	panic("flow: a row of a match is not tracked")
}

// matchAt is a row whose conditions are to be computed.
type matchAt struct {
	part *matchPart
	pos  int64
}

// testRows computes the near conditions of positions from to to of p. What is left
// over of a block is computed by testBlock.
func (m *matcher) testRows(st *Step, p *matchPart, from, to int64) {
	for pos := from; pos < to; pos++ {
		p.bits = p.in.bits.Push(p.bits, ^m.tested)
		if m.tested == 0 {
			continue
		}
		m.blockAt = append(m.blockAt, matchAt{p, pos})
		if len(m.blockAt) == batch.BlockRows {
			m.testBlock(st)
		}
	}
}

// testBlock computes the near conditions of the rows gathered.
func (m *matcher) testBlock(st *Step) {
	n := len(m.blockAt)
	if n == 0 {
		return
	}
	for _, s := range m.nearSlots {
		slot := &m.Slots[s]
		ids := m.ids[:0]
		for _, a := range m.blockAt {
			ids = append(ids, a.part.id(a.pos+int64(slot.Row.Shift)))
		}
		m.ids = ids
		m.fill(&m.block.Cols[s], slot, ids)
	}
	m.block.N = n
	for v := range m.conds {
		c := &m.conds[v]
		if c.near == nil {
			continue
		}
		for _, k := range c.near.Select(&st.Ctx, &m.block) {
			a := &m.blockAt[k]
			a.part.fit(a.pos, v)
		}
		for _, e := range st.Ctx.Errs {
			a := &m.blockAt[e.Row]
			a.part.fault(a.pos, v)
		}
		st.Ctx.Errs = st.Ctx.Errs[:0]
	}
	clear(m.blockAt)
	m.blockAt = m.blockAt[:0]
}

// fill makes dst what slot gives of the rows ids, in which 0 stands for no row.
func (m *matcher) fill(dst *batch.Column, slot *MatchSlot, ids []uint32) {
	if slot.Give == GiveThere {
		dst.Valid, dst.U8 = nil, fit(dst.U8, len(ids))
		for k, id := range ids {
			dst.U8[k] = 0
			if id != 0 {
				dst.U8[k] = 1
			}
		}
		return
	}
	m.rows.gather(dst, slot.Col, ids)
	if dst.Type.Layout() == types.LayoutNone {
		return
	}
	own := dst.Valid != nil
	for k, id := range ids {
		if id != 0 {
			continue
		}
		if !own {
			m.nulls = batch.NewBitmap(m.nulls, len(ids))
			for i := range m.nulls {
				m.nulls[i] = ^uint64(0)
			}
			dst.Valid, own = slices.Clone(m.nulls), true
		}
		dst.Valid.Clear(k)
	}
}

// Test implements pattern.Tester for the row m.pos.
func (m *matcher) Test(v int, hist int32, regs []int64) bool {
	p := m.part
	if p.faults.Len() > 0 && p.faulted(m.pos)>>v&1 != 0 {
		m.faulty(v, hist, regs)
		return false
	}
	if p.fits(m.pos)>>v&1 == 0 {
		return false
	}
	c := &m.conds[v]
	if c.far == nil {
		return true
	}
	if !m.fillOne(c.slots, v, hist, regs) {
		return false
	}
	ctx := &m.st.Ctx
	ok := len(c.far.Select(ctx, &m.one)) > 0
	if len(ctx.Errs) > 0 {
		m.note(ctx.Errs[0].Err)
		ctx.Errs = ctx.Errs[:0]
		ok = false
	}
	return ok
}

// faulty notes the error of the near condition of v, once a search and row.
func (m *matcher) faulty(v int, hist int32, regs []int64) {
	if m.noted>>v&1 != 0 {
		return
	}
	m.noted |= 1 << v
	c := &m.conds[v]
	m.fillOne(c.look, v, hist, regs)
	ctx := &m.st.Ctx
	c.near.Select(ctx, &m.one)
	if len(ctx.Errs) > 0 {
		m.note(ctx.Errs[0].Err)
		ctx.Errs = ctx.Errs[:0]
	}
}

// note keeps an error of the row being looked at.
func (m *matcher) note(err *types.Error) {
	m.failed = append(m.failed, matchFail{id: m.part.id(m.pos), err: err})
}

// fillOne sets the slots of m.one for row m.pos as variable v of a thread. It reports
// false when an aggregate could not be computed.
func (m *matcher) fillOne(slots []int, v int, hist int32, regs []int64) bool {
	for _, s := range slots {
		slot, dst := &m.Slots[s], &m.one.Cols[s]
		switch slot.Give {
		case GiveNumber:
			dst.Truncate()
			dst.AppendInt(0, m.part.number+1)
		case GiveTotal:
			dst.Truncate()
			if err := m.total(s, v, hist); err != nil {
				m.note(err)
				return false
			}
			if err := m.totals[s].value(dst, 0); err != nil {
				m.note(err)
				return false
			}
		case GiveLabel:
			m.labelOf(dst, &slot.Row, v, hist, regs)
		default:
			pos := m.locate(&slot.Row, v, regs)
			m.oneID[0] = 0
			if pos >= 0 {
				m.oneID[0] = m.part.id(pos + int64(slot.Row.Shift))
			}
			m.fill(dst, slot, m.oneID[:])
		}
	}
	return true
}

// locate finds, without its shift, the row that r names in the condition of v for
// row m.pos; -1 if there is none.
func (m *matcher) locate(r *MatchRow, v int, regs []int64) int64 {
	start, k := m.open.start, int64(r.Offset)
	if r.Kind == RowCurrent {
		return m.pos
	}
	if r.Vars == m.all() {
		at := start + k
		if r.Kind == RowLast {
			at = m.pos - k
		}
		if at < start || at > m.pos {
			return -1
		}
		return at
	}
	word := int64(-1)
	in := r.Vars>>v&1 != 0
	switch {
	case r.Kind == RowLast && in && k == 0:
		return m.pos
	case r.Kind == RowLast && in:
		word = m.trackWord(pattern.Lasts, r.Vars, r.Offset-1, regs)
	case r.Kind == RowLast:
		word = m.trackWord(pattern.Lasts, r.Vars, r.Offset, regs)
	default:
		word = m.trackWord(pattern.Firsts, r.Vars, r.Offset, regs)
		if word < 0 && in && (k == 0 || m.trackWord(pattern.Firsts, r.Vars, r.Offset-1, regs) >= 0) {
			return m.pos
		}
	}
	if row, _ := pattern.Row(word); row >= 0 {
		return start + int64(row)
	}
	return -1
}

// labelOf sets dst to the variable of the row that r names.
func (m *matcher) labelOf(dst *batch.Column, r *MatchRow, v int, hist int32, regs []int64) {
	dst.Truncate()
	at := m.locate(r, v, regs)
	if at >= 0 {
		at += int64(r.Shift)
	}
	if at == m.pos {
		dst.AppendStr(0, []byte(m.Vars[v]))
		return
	}
	for h := hist; h >= 0 && at >= m.open.start && at < m.pos; {
		t, before := m.open.Last(h)
		if m.open.start+int64(t.Row) == at {
			dst.AppendStr(0, []byte(m.Vars[t.Var]))
			return
		}
		m.open.Charge(1)
		h = before
	}
	dst.AppendNull(0)
}
