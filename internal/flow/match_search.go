package flow

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/types"
)

// matcher looks for the matches of Match in partitions whose rows are in order: what
// both its modes have in common. See package pattern for how it searches.
type matcher struct {
	*Match
	node    int
	in, out []types.Type
	prog    *pattern.Program
	mach    *pattern.Machine
	tracks  []pattern.Track
	rows    *rowStore
	stay    bool // partitions must be remembered: they have numbers or a beginning

	// Conditions.
	conds     []matchCond
	tested    uint64 // variables with a near condition
	settled   uint64 // variables without a far condition
	nearSlots []int
	totals    []*tally // by slot, of conditions
	lookback  int64    // how many rows before a match are looked at
	lookahead int64    // and how many after it
	numbered  bool

	idle    []*matchSearch // for use
	serials int64
	tallyAt []int // by slot: index in a search's tallys, -1 if it has none
	tallies int   // of a search

	// Of the row being fed.
	st    *Step
	part  *matchPart
	open  *matchSearch
	pos   int64
	noted uint64 // variables whose error is noted

	failed  []matchFail // errors of the search
	horizon int64       // highest position looked at since the partition's start
	sink    matchSink
	show    *matchOut
	work    int64 // steps since a stop was asked for

	block   batch.Batch // columns by slot
	blockAt []matchAt
	one     batch.Batch // one row, columns by slot
	oneID   [1]uint32
	ids     []uint32
	nulls   batch.Bitmap
	taken   []pattern.Taken
}

// matchSink is told of what a search ended with, after the output rows of it were
// added to show. p.next, number and covered are up to date.
type matchSink interface {
	concluded(p *matchPart, shown bool)
}

// matchFail is an error in a row.
type matchFail struct {
	rec int32 // of the partition
	id  uint32
	err *types.Error
}

func newMatcher(env Env, op *Match, rows *rowStore) (*matcher, error) {
	m := &matcher{Match: op, node: env.Node, in: env.In[0], out: env.Out, rows: rows}
	var err error
	if m.prog, err = pattern.Compile(op.Pattern); err != nil {
		return nil, &types.Error{Code: types.CodeTooComplex, Message: err.Error()}
	}
	m.totals, m.tallyAt = make([]*tally, len(op.Slots)), make([]int, len(op.Slots))
	if err := m.conditions(); err != nil {
		return nil, err
	}
	slots := make([]types.Type, len(op.Slots))
	for i := range op.Slots {
		slots[i] = op.Slots[i].T
	}
	m.block.Cols, m.one.Cols, m.one.N = typedColumns(slots), typedColumns(slots), 1
	if m.show, err = newMatchOut(m); err != nil {
		return nil, err
	}
	m.mach = pattern.NewMachine(m.prog, m.tracks)
	if m.steady() {
		m.mach.Remember()
	}
	starts, _ := m.prog.Anchored()
	m.stay = starts || m.numbered
	return m, nil
}

// steady reports whether a row's fitness depends on nothing but the row's place.
func (m *matcher) steady() bool {
	for v := range m.conds {
		if m.conds[v].far != nil {
			return false
		}
	}
	return m.Within == 0
}

// matchStop is after how many steps the caller's wish to stop is looked at.
const matchStop = 1 << 16

// stopped reports whether the step is being abandoned.
func (m *matcher) stopped() bool {
	if m.work > matchStop {
		m.work = 0
		if m.st.stop != nil && m.st.fail == nil && m.st.stop() {
			m.st.fail = errStopped()
		}
	}
	return m.st.Stopped()
}

// run goes on with the searches in p. ended says that no row comes after those
// there are; else rows that are not there yet come, of times from mark on.
func (m *matcher) run(st *Step, p *matchPart, ended bool, mark int64) {
	m.st, m.part = st, p
	m.mach.Forget()
	limit := p.end()
	if !ended {
		limit -= m.lookahead
	}
	for !m.stopped() {
		if p.search == nil && !m.begin(p, limit) {
			break
		}
		m.open = p.search
		before := m.open.Steps()
		over, why := m.feed(p, limit, ended, mark)
		m.work += m.open.Steps() - before
		if !over {
			break
		}
		m.conclude(p, why)
		m.spareSearch(p.search)
		p.search = nil
	}
	m.part, m.open = nil, nil
}

// begin opens the search at the next row that may start a match; false if no such
// row is there.
func (m *matcher) begin(p *matchPart, limit int64) bool {
	if first := m.prog.First(); !m.prog.Nullable() {
		for p.next < limit && p.fits(p.next)&first == 0 && p.faults.Len() == 0 {
			m.work++
			m.horizon = max(m.horizon, p.next+m.lookahead)
			p.next++
			m.sink.concluded(p, m.Unmatched && m.lost(p, p.next-1))
		}
	}
	if p.next >= limit {
		return false
	}
	s := m.newSearch()
	s.start, s.changed, p.search = p.next, true, s
	m.mach.Begin(&s.Search, p.next)
	return true
}

// maxIdleSearches and idleSearchBytes bound the memory kept for searches to come.
const (
	maxIdleSearches = 256
	idleSearchBytes = 64 << 10
)

// newSearch returns a search to begin or load.
func (m *matcher) newSearch() *matchSearch {
	s := &matchSearch{tallys: make([]tallyAt, m.tallies)}
	if n := len(m.idle); n > 0 {
		s, m.idle = m.idle[n-1], m.idle[:n-1]
		clear(s.tallys)
	}
	m.serials++
	s.serial, s.changed = m.serials, false
	return s
}

// spareSearch takes a search that is not needed any more.
func (m *matcher) spareSearch(s *matchSearch) {
	if len(m.idle) < maxIdleSearches && s.size() < idleSearchBytes {
		m.idle = append(m.idle, s)
	}
}

// lost shows a row that is in no match.
func (m *matcher) lost(p *matchPart, pos int64) bool {
	if pos < p.covered {
		return false
	}
	m.show.lost(p, pos)
	return true
}

// feed gives the open search rows until it is over or there are no more.
func (m *matcher) feed(p *matchPart, limit int64, ended bool, mark int64) (over bool, why pattern.Limit) {
	s := m.open
	for s.Open() {
		m.pos = s.start + int64(s.Rows())
		if m.pos >= limit {
			return m.rowsOut(p, limit, ended, mark), pattern.NoLimit
		}
		if m.Within > 0 && s.Rows() > 0 && !m.inTime(p) {
			m.mach.End(&s.Search, false)
			m.horizon = max(m.horizon, m.pos+m.lookahead)
			break
		}
		m.noted, s.changed = 0, true
		if over, why = m.mach.Feed(&s.Search, m); over {
			break
		}
	}
	m.horizon = max(m.horizon, s.start+max(int64(s.Rows())-1, 0)+m.lookahead)
	return true, why
}

// rowsOut decides a search that has had all rows there are; false if more may come.
func (m *matcher) rowsOut(p *matchPart, limit int64, ended bool, mark int64) bool {
	s := &m.open.Search
	if ended {
		m.mach.End(s, true)
		m.horizon = math.MaxInt64
		return true
	}
	if m.Within > 0 && m.pos == p.end() {
		if t, ok := m.deadline(p); ok && t <= mark {
			m.mach.End(s, false)
			return true
		}
	}
	return false
}

// timeOf returns the time of a row; false if it is NULL.
func (m *matcher) timeOf(id uint32) (int64, bool) {
	w, c := m.rows.row(id), m.Order[0].Col
	return int64(w[m.rows.fields[c].at]), !m.rows.null(w, c)
}

// inTime reports whether row m.pos is near enough to the search's start.
func (m *matcher) inTime(p *matchPart) bool {
	t, ok := m.timeOf(p.id(m.pos))
	end, known := m.deadline(p)
	return ok && known && t < end
}

// deadline returns the time from which on rows do not belong to the open search's match.
func (m *matcher) deadline(p *matchPart) (int64, bool) {
	t, ok := m.timeOf(p.id(m.open.start))
	if t > math.MaxInt64-m.Within {
		return math.MaxInt64, ok
	}
	return t + m.Within, ok
}

// conclude ends the open search: it shows the match, if there is one, and says where
// the next search begins.
func (m *matcher) conclude(p *matchPart, why pattern.Limit) {
	s := m.open
	shown := false
	taken, ok := s.Match(m.taken[:0])
	m.taken = taken
	end := s.start + int64(len(taken))
	switch {
	case why != pattern.NoLimit:
		m.pos = s.start
		m.note(&types.Error{Code: types.CodeTooComplex, Message: "row pattern is too complex: " + why.String(),
			Detail: fmt.Sprintf("The search that began at the row gave up after %d rows and goes on behind them.", s.Rows())})
		p.next = s.start + max(int64(s.Rows()), 1)
	case !ok:
		if p.faults.Len() == 0 { // errors are noted by every search
			m.mach.Failed(&s.Search, s.start)
		}
		shown = m.Unmatched && m.lost(p, s.start)
		p.next = s.start + 1
	case len(taken) == 0:
		p.number++
		if m.Empty {
			m.show.match(p, s.start, nil)
			shown = true
		}
		p.next = s.start + 1
	default:
		next, err := m.skip(taken)
		p.covered = max(p.covered, end)
		if err != nil {
			m.pos = s.start
			m.note(err)
			p.next = end
			break
		}
		p.number++
		m.show.match(p, s.start, taken)
		shown = true
		p.next = s.start + next
	}
	m.sink.concluded(p, shown || len(m.failed) > 0)
}

// Errors of AFTER MATCH SKIP, with the standard's codes.
var (
	errSkipNoRow = &types.Error{
		Code: "2202K", Message: "AFTER MATCH SKIP failed: the match has no row of the variable to skip to",
	}
	errSkipFirst = &types.Error{
		Code: "2202L", Message: "AFTER MATCH SKIP failed: cannot skip to the first row of the match",
	}
)

// skip returns how many rows after the match's first the next search begins.
func (m *matcher) skip(taken []pattern.Taken) (int64, *types.Error) {
	at := -1
	switch m.Skip {
	case SkipPastLast:
		return int64(len(taken)), nil
	case SkipToNext:
		return 1, nil
	case SkipToFirst:
		for i := len(taken) - 1; i >= 0; i-- {
			if m.SkipVars>>taken[i].Var&1 != 0 {
				at = i
			}
		}
	case SkipToLast:
		for i := range taken {
			if m.SkipVars>>taken[i].Var&1 != 0 {
				at = i
			}
		}
	}
	switch at {
	case -1:
		return 0, errSkipNoRow
	case 0:
		return 0, errSkipFirst
	}
	return int64(at), nil
}

// compareRows orders two rows of a partition.
func (m *matcher) compareRows(a, b uint32) int {
	if a == b {
		return 0
	}
	v, w := m.rows.row(a), m.rows.row(b)
	for _, k := range m.Order {
		if r := m.rows.compare(v, k.Col, m.rows, w, k.Col, k); r != 0 {
			return r
		}
	}
	return m.rows.compareWhole(v, w)
}

// report gives a row error with a weight.
func (m *matcher) report(st *Step, f matchFail, weight int64) {
	b := batch.Batch{N: 1, Cols: typedColumns(m.in), Weights: []int64{weight}}
	for c := range b.Cols {
		m.rows.gather(&b.Cols[c], c, []uint32{f.id})
	}
	st.RowError(m.node, &b, 0, f.err)
}

// bytes is the memory of the searches and tallies.
func (m *matcher) bytes() int64 {
	n := int64(0)
	for _, s := range m.idle {
		n += s.size()
	}
	for _, t := range m.totals {
		if t != nil {
			n += t.bytes()
		}
	}
	return n
}
