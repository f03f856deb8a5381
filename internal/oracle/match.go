package oracle

import (
	"slices"
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/types"
)

// matchRows looks for the matches of each partition one after the other, trying all ways
// to match in the order of preference, with going back.
func (o *eval) matchRows(t Table, op *flow.Match) (Table, error) {
	var out Table
	for _, g := range group(t, op.Partition) {
		sort.SliceStable(g, func(i, j int) bool {
			for _, k := range op.Order {
				c := Compare(g[i].V[k.Col], g[j].V[k.Col], batch.Key{Desc: k.Desc, NullsFirst: k.NullsFirst})
				if c != 0 {
					return c < 0
				}
			}
			return CompareRows(g[i].V, g[j].V) < 0
		})
		m := &matching{o: o, op: op}
		for _, r := range g {
			if op.Final && r.V[op.Order[0].Col].Null {
				continue
			}
			for range r.W {
				m.rows = append(m.rows, r.V)
			}
		}
		m.run()
		if m.err != nil {
			return nil, m.err
		}
		out = append(out, m.out...)
	}
	return out, nil
}

// matching is the search in one partition.
type matching struct {
	o      *eval
	op     *flow.Match
	rows   [][]types.Value
	start  int
	number int64 // of the match: while one is looked for, already its own
	out    Table
	err    error
}

// taken is a row of a match: rows are taken one after the other.
type taken struct {
	v        int
	excluded bool
}

func (m *matching) run() {
	covered := 0
	for m.start = 0; m.start < len(m.rows); {
		var found []taken
		m.number++
		ok := m.walk(m.op.Pattern, nil, false, func(path []taken) bool {
			found = slices.Clone(path)
			return true
		})
		next := m.start + 1
		switch {
		case !ok:
			m.number--
			if m.op.Unmatched && m.start >= covered {
				m.unmatched()
			}
		case len(found) == 0:
			if m.op.Empty {
				m.show(found, -1)
			}
		default:
			covered = max(covered, m.start+len(found))
			next = m.skip(found)
			if next == m.start { // an error
				m.o.fail(1)
				m.number--
				next = m.start + len(found)
				break
			}
			for i := range found {
				if m.op.AllRows && !found[i].excluded || !m.op.AllRows && i == len(found)-1 {
					m.show(found, i)
				}
			}
		}
		m.start = next
	}
}

// skip returns where the search goes on, m.start if it may not.
func (m *matching) skip(found []taken) int {
	switch m.op.Skip {
	case flow.SkipPastLast:
		return m.start + len(found)
	case flow.SkipToNext:
		return m.start + 1
	}
	at := 0
	for i, x := range found {
		if m.op.SkipVars>>x.v&1 != 0 {
			at = i
			if m.op.Skip == flow.SkipToFirst {
				break
			}
		}
	}
	return m.start + at
}

// walk tries the ways to match n behind path, the preferred first, and goes on with
// next after each, until that says that all is matched.
func (m *matching) walk(n *pattern.Node, path []taken, excl bool, next func([]taken) bool) bool {
	switch n.Op {
	case pattern.Var:
		at := m.start + len(path)
		if at >= len(m.rows) || !m.inTime(at) {
			return false
		}
		path = append(slices.Clone(path), taken{n.Var, excl})
		return m.fits(path) && next(path)
	case pattern.Concat:
		return m.concat(n.Kids, path, excl, next)
	case pattern.Alt:
		return slices.ContainsFunc(n.Kids, func(k *pattern.Node) bool { return m.walk(k, path, excl, next) })
	case pattern.Permute:
		return m.permute(n.Kids, path, excl, next)
	case pattern.Exclude:
		return m.walk(n.Kids[0], path, true, func(p []taken) bool { return next(p) })
	case pattern.Start:
		return m.start+len(path) == 0 && next(path)
	case pattern.End:
		return m.start+len(path) == len(m.rows) && next(path)
	}
	return m.repeat(n, 0, path, excl, next)
}

func (m *matching) concat(kids []*pattern.Node, path []taken, excl bool, next func([]taken) bool) bool {
	if len(kids) == 0 {
		return next(path)
	}
	return m.walk(kids[0], path, excl, func(p []taken) bool { return m.concat(kids[1:], p, excl, next) })
}

func (m *matching) permute(kids []*pattern.Node, path []taken, excl bool, next func([]taken) bool) bool {
	if len(kids) == 0 {
		return next(path)
	}
	for i := range kids {
		rest := slices.Delete(slices.Clone(kids), i, i+1)
		if m.walk(kids[i], path, excl, func(p []taken) bool { return m.permute(rest, p, excl, next) }) {
			return true
		}
	}
	return false
}

// repeat has matched n done times. An iteration that need not be and takes no row is
// not made.
func (m *matching) repeat(n *pattern.Node, done int, path []taken, excl bool, next func([]taken) bool) bool {
	more := func() bool {
		if n.Max >= 0 && done >= n.Max {
			return false
		}
		return m.walk(n.Kids[0], path, excl, func(p []taken) bool {
			if done >= n.Min && len(p) == len(path) {
				return false
			}
			return m.repeat(n, done+1, p, excl, next)
		})
	}
	if done < n.Min {
		return more()
	}
	if n.Reluctant {
		return next(path) || more()
	}
	return more() || next(path)
}

func (m *matching) inTime(at int) bool {
	if m.op.Within == 0 || at == m.start {
		return true
	}
	c := m.op.Order[0].Col
	first, last := m.rows[m.start][c], m.rows[at][c]
	return !first.Null && !last.Null && last.I-first.I < m.op.Within
}

// fits reports whether the last row of path fits its variable.
func (m *matching) fits(path []taken) bool {
	last := len(path) - 1
	def := m.op.Define[path[last].v]
	if def == nil {
		return true
	}
	v, err := EvalRow(m.o.ctx, def, m.slots(path, last, expr.Columns(def)))
	return err == nil && !v.Null && v.I != 0
}

// slots computes the given slots for row i of a match, -1 for an empty one.
func (m *matching) slots(path []taken, i int, which []int) []types.Value {
	out := make([]types.Value, len(m.op.Slots))
	for _, s := range which {
		out[s] = m.slot(&m.op.Slots[s], path, i)
		out[s].T = m.op.Slots[s].T
	}
	return out
}

func (m *matching) slot(s *flow.MatchSlot, path []taken, i int) types.Value {
	if s.Give == flow.GiveNumber {
		return types.IntValue(types.Int8, m.number)
	}
	if s.Give == flow.GiveTotal {
		return m.total(s.Agg, path, i)
	}
	at, ok := m.locate(&s.Row, path, i)
	row := m.start + at + s.Row.Shift
	there := ok && row >= 0 && row < len(m.rows)
	switch s.Give {
	case flow.GiveThere:
		return types.BoolValue(there)
	case flow.GiveLabel:
		if at += s.Row.Shift; !ok || at < 0 || at >= len(path) {
			return types.NullOf(s.T)
		}
		return types.Value{T: s.T, S: m.op.Vars[path[at].v]}
	}
	if !there {
		return types.NullOf(s.T)
	}
	return m.rows[row][s.Col]
}

// locate finds the row of the match that r names, without its shift.
func (m *matching) locate(r *flow.MatchRow, path []taken, i int) (int, bool) {
	if r.Kind == flow.RowCurrent {
		return i, i >= 0
	}
	var hits []int
	for k := range m.seen(r.Final, path, i) {
		if r.Vars>>path[k].v&1 != 0 {
			hits = append(hits, k)
		}
	}
	if r.Kind == flow.RowLast {
		slices.Reverse(hits)
	}
	if r.Offset >= len(hits) {
		return 0, false
	}
	return hits[r.Offset], true
}

// seen is how many rows of the match row i knows of.
func (m *matching) seen(final bool, path []taken, i int) int {
	if final {
		return len(path)
	}
	return i + 1
}

func (m *matching) total(a *flow.MatchAgg, path []taken, i int) types.Value {
	var g []Row
	for k := range m.seen(a.Final, path, i) {
		if a.Vars>>path[k].v&1 == 0 {
			continue
		}
		row := make([]types.Value, len(a.Args))
		for x, e := range a.Args {
			v, err := EvalRow(m.o.ctx, e, m.rows[m.start+k])
			if err != nil {
				m.err = err
			}
			v.T = e.Type()
			row[x] = v
		}
		g = append(g, Row{row, 1})
	}
	v, err := aggregateCall(g, &a.Call)
	if err != nil {
		m.err = err
	}
	return v
}

// show gives the output row of row i of a match, -1 for an empty one.
func (m *matching) show(path []taken, i int) {
	from := m.start
	if m.op.AllRows && i > 0 {
		from += i
	}
	row := pick(m.rows[from], m.op.Pass)
	vals := m.slots(path, i, expr.Columns(m.op.Measures...))
	for k, e := range m.op.Measures {
		v, err := EvalRow(m.o.ctx, e, vals)
		if err != nil {
			m.o.fail(1)
			return
		}
		v.T = m.o.out[len(m.op.Pass)+k]
		row = append(row, v)
	}
	m.out = append(m.out, Row{row, 1})
}

// unmatched gives the row at start, which is in no match.
func (m *matching) unmatched() {
	row := pick(m.rows[m.start], m.op.Pass)
	for k := range m.op.Measures {
		row = append(row, types.NullOf(m.o.out[len(m.op.Pass)+k]))
	}
	m.out = append(m.out, Row{row, 1})
}
