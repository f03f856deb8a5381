package flow

import (
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// A mark is a watermark of one column of one node: once the step is over, every
// change that the node will ever emit has a value of at least the mark there, or
// NULL. Marks never go back. They are what lets operators forget: a group, a row of
// a join or an open window whose time lies below the marks cannot change any more.
//
// Marks start at the inputs of the circuit, where the caller sets them for each
// step, and go through the operators by the rules of deriveMarks. A rule looks at the
// marks of the operator's inputs only and never at rows, so every worker has the
// same marks without talking to others, however the input was cut into steps.
//
// Source: Tucker, Maier, Sheard and Fegaras, "Exploiting punctuation semantics in
// continuous data streams", IEEE TKDE 2003: a mark is the punctuation "no more rows
// with column < m", and a rule of deriveMarks is an operator's propagation invariant.

// NoMark is the mark of columns of which nothing is promised. Only columns of
// integer layout (timestamps, dates, integers) have marks, in their own units.
const NoMark = math.MinInt64

// FinalMark is the mark of relations that do not change any more.
const FinalMark = math.MaxInt64

// Marks are what an operator knows of the marks around it. The slices belong to the
// circuit; they change at BeginStep only.
type Marks struct {
	// In holds the marks of each input port's columns as of the end of this step,
	// which Flush may act upon.
	In [][]int64
	// Final says of each input port that it will not change after this step.
	Final []bool
	// Out holds the marks of the columns that the operator emits.
	Out []int64
	// Moved says that a mark of In is not what it was in the step before.
	Moved bool
}

// marks is a node's place in the propagation.
type marks struct {
	Marks
	final  bool
	before []int64 // scratch of redo
	derive func()  // sets Out and final from In and Final; nil if they never change
}

// newMarks returns the place of a node with the given row types.
func newMarks(in [][]types.Type, out []types.Type) *marks {
	m := &marks{Marks: Marks{Out: noMarks(len(out)), Final: make([]bool, len(in))}, before: noMarks(len(out))}
	for _, ts := range in {
		m.In = append(m.In, noMarks(len(ts)))
	}
	return m
}

func noMarks(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = NoMark
	}
	return out
}

// beginMarks brings the marks of a node up to date with those of its inputs, which
// come before it in nodes.
func (n *running) beginMarks(nodes []*running) {
	m := n.marks
	for port, from := range n.in {
		m.follow(port, nodes[from].marks)
	}
	if m.Moved && m.derive != nil {
		m.redo()
	}
}

// follow takes over the marks that an input has now.
func (m *marks) follow(port int, from *marks) {
	if m.Final[port] != from.final {
		m.Final[port], m.Moved = from.final, true
	}
	for c, v := range from.Out {
		if m.In[port][c] != v {
			m.In[port][c], m.Moved = v, true
		}
	}
}

// redo derives the marks of the output. They never go back: what was promised holds.
func (m *marks) redo() {
	copy(m.before, m.Out)
	m.derive()
	for c, v := range m.before {
		m.Out[c] = max(m.Out[c], v)
	}
}

// set is redo for inputs of the circuit. One all of whose columns have FinalMark
// does not change any more.
func (m *marks) set(cols []int64) {
	final := len(cols) > 0
	for c, v := range cols {
		if v > m.Out[c] {
			m.Out[c], m.Moved = v, true
		}
		final = final && m.Out[c] == FinalMark
	}
	if final && !m.final {
		m.final, m.Moved = true, true
	}
}

// derivation returns what sets the marks of a node's output, nil if that never
// changes. It looks at the operator's parameters alone, so that the planner can tell
// which columns have marks before anything runs.
func derivation(op Op, m *marks) (func(), error) {
	switch spec := op.(type) {
	case *Input:
		return nil, nil
	case *Values:
		for c := range m.Out {
			m.Out[c] = FinalMark
		}
		m.final = true
		return nil, nil
	case *Filter, *Distinct, *Exchange, *Output, *ProjectSet:
		return func() { copy(m.Out, m.In[0]); m.final = m.Final[0] }, nil
	case *Project:
		return projectMarks(spec, m)
	case *AsOf:
		return func() { asOfMarks(spec, m) }, nil
	case *Lookup:
		return func() { lookupMarks(m) }, nil
	case *Buckets:
		return func() { bucketMarks(spec, m) }, nil
	case *Window:
		return func() { windowMarks(spec, m) }, nil
	case *Union, *SetOp:
		return func() { unionMarks(m) }, nil
	case *Join:
		return func() { joinMarks(spec, m) }, nil
	case *Aggregate:
		return func() { aggregateMarks(spec, m) }, nil
	case *Session:
		return func() { sessionMarks(spec, m) }, nil
	case *Finalize:
		return func() { finalizeMarks(spec, m) }, nil
	case *TopN:
		return func() { topNMarks(spec, m) }, nil
	case *Match:
		return func() { matchMarks(spec, m) }, nil
	case *Over:
		return func() { overMarks(spec, m) }, nil
	}
	return nil, nil
}

// blank promises nothing of the output's columns, unless it is final.
func (m *marks) blank() {
	none := int64(NoMark)
	if m.final {
		none = FinalMark
	}
	for c := range m.Out {
		m.Out[c] = none
	}
}

// keep gives columns of the output that are the input's of the same place its marks.
func (m *marks) keep(cols []int) {
	for _, c := range cols {
		m.Out[c] = max(m.Out[c], m.In[0][c])
	}
}

// unionMarks: a change of the output is a change of one input with the same values.
// For INTERSECT and EXCEPT it has the values of the change that caused it.
func unionMarks(m *marks) {
	m.final = true
	for c := range m.Out {
		m.Out[c] = FinalMark
	}
	for port, in := range m.In {
		if m.Final[port] {
			continue
		}
		m.final = false
		for c, v := range in {
			m.Out[c] = min(m.Out[c], v)
		}
	}
}

// windowMarks: rows from mark w on belong to windows that end after w.
func windowMarks(op *Window, m *marks) {
	copy(m.Out, m.In[0])
	m.final = m.Final[0]
	start := len(m.In[0])
	m.Out[start], m.Out[start+1] = windowStartMark(m.In[0][op.Time], op.Slide, op.Size, op.Offset)
	if op.Step > 0 {
		_, m.Out[start+1] = windowStartMark(m.In[0][op.Time], op.Step, op.Step, op.Offset)
	}
}

// windowStartMark returns the start and end of the first window [s, s+size) with
// s = offset + k*slide that a time of at least w can belong to.
func windowStartMark(w, slide, size, offset int64) (start, end int64) {
	const room = math.MaxInt64 / 4
	if w == NoMark || w == FinalMark || w > room || w < -room || size > room || offset > room || offset < -room {
		if w == FinalMark {
			return FinalMark, FinalMark
		}
		return NoMark, NoMark
	}
	// The first s > w - size.
	low := w - size + 1 - offset
	k := low / slide
	if low%slide != 0 && low > 0 {
		k++
	}
	start = offset + k*slide
	return start, start + size
}

// joinMarks: a change of the output comes from a change of one side, paired with
// rows of the other side of any age. So a column keeps its mark only if the pairing
// ties it to the other side's: it is an equal key, or bound by Between.
func joinMarks(op *Join, m *marks) {
	nl := len(m.In[0])
	m.final = m.Final[0] && m.Final[1]
	for c := range m.Out {
		port, at := 0, c
		if c >= nl {
			port, at = 1, c-nl
		}
		own := m.In[port][at]
		if m.Final[port] {
			own = FinalMark
		}
		m.Out[c] = min(own, joinOther(op, m, port, at))
	}
}

// joinOther returns below which value of column at of side port no change of the
// other side can reach.
func joinOther(op *Join, m *marks, port, at int) int64 {
	if m.Final[1-port] {
		return FinalMark
	}
	best := int64(NoMark)
	mine, theirs := op.LeftKeys, op.RightKeys
	if port == 1 {
		mine, theirs = theirs, mine
	}
	for k, c := range mine {
		if c == at {
			best = max(best, m.In[1-port][theirs[k]])
		}
	}
	if b := op.Between; b != nil {
		switch {
		case port == 0 && b.Left == at && b.Lo != -Unbounded:
			best = max(best, shiftMark(m.In[1][b.Right], b.Lo))
		case port == 1 && b.Right == at && b.Hi != Unbounded:
			best = max(best, shiftMark(m.In[0][b.Left], -b.Hi))
		}
	}
	return best
}

// shiftMark adds d to a mark, without leaving the range of marks.
func shiftMark(w, d int64) int64 {
	if w == NoMark || w == FinalMark {
		return w
	}
	if s := w + d; (s > w) == (d > 0) {
		return s
	}
	return NoMark
}

// aggregateMarks: a change of a group has the group's keys. A group that is given when
// one key closes may have been waiting for long while the marks of other keys rose.
func aggregateMarks(op *Aggregate, m *marks) {
	m.final = m.Final[0]
	for c := range m.Out {
		m.Out[c] = NoMark
	}
	for i, k := range op.Keys {
		if !op.OnClose || k == op.Keys[op.CloseKey] {
			m.Out[i] = m.In[0][k]
		}
	}
	if m.final {
		for c := range m.Out {
			m.Out[c] = FinalMark
		}
	}
}

// topNMarks: a change in a partition may push any other row of the partition in or
// out that sorts behind it. So the partition's columns keep their marks, and the
// first column of an ascending order.
func topNMarks(op *TopN, m *marks) {
	m.final = m.Final[0]
	m.blank()
	m.keep(op.Partition)
	if len(op.Order) > 0 && !op.Order[0].Desc && !op.Order[0].NullsFirst {
		c := op.Order[0].Col
		m.Out[c] = max(m.Out[c], m.In[0][c])
	}
}

// projectMarks: a column that is passed on keeps its mark; one that never falls when
// its only column rises has the mark that the expression gives for that column's.
func projectMarks(op *Project, m *marks) (func(), error) {
	type derived struct {
		from int
		prog *expr.Program // nil: passed on
	}
	in := make([]types.Type, len(m.In[0]))
	cols := make([]derived, len(op.Exprs))
	for i, e := range op.Exprs {
		cols[i].from = -1
		if c, ok := e.(expr.Col); ok {
			cols[i].from = c.Index
			continue
		}
		c, ok := risesWith(e)
		if !ok || e.Type().Layout() != types.LayoutInt {
			continue
		}
		prog, err := expr.Compile([]expr.Expr{rebase(e, c.Index)})
		if err != nil {
			return nil, err
		}
		cols[i] = derived{c.Index, prog}
		in[c.Index] = c.T
	}
	return func() {
		m.final = m.Final[0]
		for i, d := range cols {
			m.Out[i] = NoMark
			switch {
			case m.final:
				m.Out[i] = FinalMark
			case d.from < 0:
			case d.prog == nil:
				m.Out[i] = m.In[0][d.from]
			default:
				m.Out[i] = evalMark(d.prog, in[d.from], m.In[0][d.from])
			}
		}
	}, nil
}

// evalMark computes prog, whose only column is #0, for mark w.
func evalMark(prog *expr.Program, t types.Type, w int64) int64 {
	if w == NoMark || w == FinalMark {
		return w
	}
	b := batch.Batch{N: 1, Cols: []batch.Column{{Type: t, I64: []int64{w}}}}
	var ctx expr.Ctx
	out := make([]batch.Column, 1)
	prog.Eval(&ctx, &b, out)
	if len(ctx.Errs) > 0 || out[0].Null(0) {
		return NoMark
	}
	return out[0].I64[0]
}

// rebase makes column index of e column 0.
func rebase(e expr.Expr, index int) expr.Expr {
	switch e := e.(type) {
	case expr.Col:
		if e.Index == index {
			e.Index = 0
		}
		return e
	case *expr.Call:
		c := *e
		c.Args = make([]expr.Expr, len(e.Args))
		for i, a := range e.Args {
			c.Args[i] = rebase(a, index)
		}
		return &c
	case *expr.Cast:
		c := *e
		c.Arg = rebase(e.Arg, index)
		return &c
	}
	return e
}

// risesWith finds the only column of e if e never falls when that column rises: time
// plus or minus a constant, its truncation, its date. Types that depend on a time
// zone are left out, since clocks go back there.
func risesWith(e expr.Expr) (expr.Col, bool) {
	switch e := e.(type) {
	case expr.Col:
		return e, e.T.Layout() == types.LayoutInt
	case *expr.Cast:
		from, to := e.Arg.Type().Kind, e.T.Kind
		switch {
		case from == types.Timestamp && to == types.Date, from == types.Date && to == types.Timestamp,
			from == to, isIntKind(from) && isIntKind(to):
			return risesWith(e.Arg)
		}
	case *expr.Call:
		return callRises(e)
	}
	return expr.Col{}, false
}

func isIntKind(k types.Kind) bool { return k == types.Int2 || k == types.Int4 || k == types.Int8 }

func callRises(e *expr.Call) (expr.Col, bool) {
	isConst := func(i int) bool { _, ok := e.Args[i].(expr.Const); return ok }
	switch {
	case e.Fn.Name == "date_trunc" && len(e.Args) == 2 && isConst(0) && e.Args[1].Type().Kind == types.Timestamp:
		return risesWith(e.Args[1])
	case e.Fn.Name == "date_bin" && len(e.Args) == 3 && isConst(0) && isConst(2):
		return risesWith(e.Args[1])
	case (e.Fn.Name == "+" || e.Fn.Name == "-") && len(e.Args) == 2 && isConst(1) && shiftsEvenly(e):
		return risesWith(e.Args[0])
	case e.Fn.Name == "+" && len(e.Args) == 2 && isConst(0) && shiftsEvenly(e):
		return risesWith(e.Args[1])
	}
	return expr.Col{}, false
}

// shiftsEvenly reports whether adding e's constant keeps the order of times. Months
// do: of two days the later one never becomes the earlier, though both may become
// the same. Days of a timestamptz have a zone's changes of clock in them.
func shiftsEvenly(e *expr.Call) bool {
	for _, a := range e.Args {
		switch k := a.Type().Kind; {
		case k == types.Interval:
			x, ok := a.(expr.Const)
			c := x.V
			if !ok || c.Null || e.T.Kind == types.TimestampTZ && (c.V.Days != 0 || c.V.Months != 0) {
				return false
			}
		case k != types.Timestamp && k != types.TimestampTZ && k != types.Date && !isIntKind(k):
			return false
		}
	}
	return true
}

// TimeColumns tells which columns of which nodes have marks, given those that the
// circuit's inputs have: the columns by which operators can forget.
func (s *Spec) TimeColumns(input func(rel string, col int) bool) ([][]bool, error) {
	all := make([]*marks, len(s.Nodes))
	out := make([][]bool, len(s.Nodes))
	for i := range s.Nodes {
		n := &s.Nodes[i]
		var in [][]types.Type
		for _, x := range n.In {
			in = append(in, s.Nodes[x].Out)
		}
		m := newMarks(in, n.Out)
		all[i] = m
		if op, ok := n.Op.(*Input); ok {
			for c := range m.Out {
				if input(op.Rel, c) {
					m.Out[c] = 0
				}
			}
		}
		for port, x := range n.In {
			m.follow(port, all[x])
		}
		derive, err := derivation(n.Op, m)
		if err != nil {
			return nil, err
		}
		if derive != nil {
			derive()
		}
		out[i] = make([]bool, len(m.Out))
		for c, v := range m.Out {
			out[i][c] = v != NoMark
		}
	}
	return out, nil
}
