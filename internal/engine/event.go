package engine

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// Bounds of event time.
const (
	// minIdle is the shortest idle_timeout, and the least time between two blocks that
	// say only that time has passed.
	minIdle     = 100 * time.Millisecond
	maxIdle     = 366 * 24 * time.Hour
	maxLateness = 366 * 24 * time.Hour
)

const _ = uint(wire.MaxPartitions - connector.MaxPartitions)

// The options that say how a source or table treats event time. Connectors do not
// see them.
const (
	optLateRows = "late_rows"
	optLateness = "allowed_lateness"
	optIdle     = "idle_timeout"
)

func isEventOption(name string) bool {
	return name == optLateRows || name == optLateness || name == optIdle || name == optRetention
}

// eventRules say what is computed of the rows of a source or append-only table as
// they come, and which are late. They do not change.
type eventRules struct {
	plan.RowPlan
	def        *catalog.Relation
	column     int   // of the watermark; -1: there is none
	allowed    int64 // allowed_lateness in microseconds
	quarantine bool  // late rows are kept with the bad records
	idle       int64 // idle_timeout in microseconds; 0: partitions are never idle
	proc       []int // columns of PROCTIME()
}

// newEventRules reads a relation's options and binds its expressions.
func newEventRules(def *catalog.Relation) (*eventRules, error) {
	given := map[string]string{}
	for _, o := range def.Options {
		if isEventOption(o.Name) && o.Name != optRetention {
			given[o.Name] = o.Value
		}
	}
	o := connector.NewOptions(def.Kind.String(), given)
	r := &eventRules{def: def, column: -1}
	r.quarantine = o.Word(optLateRows, "drop", "drop", "quarantine") == "quarantine"
	r.allowed = o.Duration(optLateness, 0, 0, maxLateness).Microseconds()
	r.idle = o.Duration(optIdle, 0, minIdle, maxIdle).Microseconds()
	if def.Watermark == nil {
		for _, name := range []string{optLateRows, optLateness, optIdle} {
			if o.Has(name) {
				o.Failf("Add WATERMARK FOR column AS expression to its columns.", "option %q of %s without a watermark", name, def.Describe())
			}
		}
	}
	if def.Kind == catalog.Table {
		if r.quarantine {
			o.Failf("Late rows of a table are dropped and counted.", "late_rows = 'quarantine' of a table is not supported yet")
		}
		if o.Has(optIdle) {
			o.Failf("A table's watermark moves with its rows.", "idle_timeout of a table is not supported yet")
		}
	}
	if err := o.Err(); err != nil {
		return nil, err
	}
	if w := def.Watermark; w != nil {
		r.column = w.Column
	}
	for i, c := range def.Columns {
		if c.ProcTime {
			r.proc = append(r.proc, i)
		}
	}
	p := plan.Planner{Session: plan.Session{SearchPath: def.SearchPath, Version: Version}}
	rp, err := p.PlanRow(def)
	r.RowPlan = rp
	return r, err
}

// marks returns the marks of all columns for a watermark and a time of PROCTIME();
// nil if there are none.
func (r *eventRules) marks(watermark, proc int64) []int64 {
	if r.column < 0 && len(r.proc) == 0 {
		return nil
	}
	out := make([]int64, len(r.def.Columns))
	for i := range out {
		out[i] = flow.NoMark
	}
	if r.column >= 0 {
		out[r.column] = r.limit(watermark)
	}
	for _, c := range r.proc {
		out[c] = proc
	}
	return out
}

// limit returns below which time a row is late.
func (r *eventRules) limit(watermark int64) int64 {
	if watermark == flow.NoMark || watermark < math.MinInt64+1+r.allowed {
		return flow.NoMark
	}
	return watermark - r.allowed
}

// eventState is where event time stands. Rows move it in the order of the log.
type eventState struct {
	mark  int64       // the watermark; flow.NoMark if there is none yet
	late  uint64      // rows that came too late, ever
	parts []partition // in order of id
}

// partition is the watermark of one partition. Those that ended have none.
type partition struct {
	id   uint32
	mark int64
	// Only where rows come in: when the last ones did, and whether that was too long ago.
	seen int64
	idle bool
}

func newEventState() *eventState { return &eventState{mark: flow.NoMark} }

func (s *eventState) clone() *eventState {
	n := *s
	n.parts = slices.Clone(s.parts)
	return &n
}

// wire returns the state for a block of the log.
func (s *eventState) wire() *wire.Event {
	e := &wire.Event{Mark: s.mark, Late: s.late}
	for _, p := range s.parts {
		e.Parts = append(e.Parts, wire.Part{ID: p.id, Mark: p.mark})
	}
	return e
}

// restore takes the state that a block of the log has. Partitions keep what is known
// of their silence; new ones are heard of at now.
func (s *eventState) restore(e *wire.Event, now int64) {
	if e == nil {
		return
	}
	s.mark, s.late = e.Mark, e.Late
	old := s.parts
	s.parts = make([]partition, 0, len(e.Parts))
	for _, p := range e.Parts {
		n := partition{id: p.ID, mark: p.Mark, seen: now}
		if i := find(old, p.ID); i < len(old) && old[i].id == p.ID {
			n.seen, n.idle = old[i].seen, old[i].idle
		}
		s.parts = append(s.parts, n)
	}
}

// heard takes over what later knows of the silence of partitions, but not its marks.
func (s *eventState) heard(later *eventState) {
	for _, p := range later.parts {
		if i := find(s.parts, p.id); i < len(s.parts) && s.parts[i].id == p.id {
			s.parts[i].seen, s.parts[i].idle = p.seen, p.idle
		}
	}
}

// find returns where the partition id is or belongs.
func find(parts []partition, id uint32) int {
	i, _ := slices.BinarySearchFunc(parts, id, func(p partition, id uint32) int {
		return int(int64(p.id) - int64(id))
	})
	return i
}

// open returns the partition of that id, which is active from now on.
func (s *eventState) open(id uint32, now int64) (*partition, error) {
	i := find(s.parts, id)
	if i == len(s.parts) || s.parts[i].id != id {
		if len(s.parts) >= wire.MaxPartitions {
			return nil, &types.Error{Code: types.CodeTooComplex, Message: fmt.Sprintf("more than %d partitions", wire.MaxPartitions),
				Hint: "Set idle_timeout, so that partitions are forgotten when there are too many; or use fewer."}
		}
		s.parts = slices.Insert(s.parts, i, partition{id: id, mark: flow.NoMark})
	}
	p := &s.parts[i]
	p.seen, p.idle = max(p.seen, now), false
	return p, nil
}

// hear notes that a partition has sent something, and returns its place.
func (s *eventState) hear(id uint32, now int64) (int, error) {
	s.makeRoom(id)
	if _, err := s.open(id, now); err != nil {
		return 0, err
	}
	return find(s.parts, id), nil
}

// end forgets a partition that will send nothing more.
func (s *eventState) end(id uint32) {
	if i := find(s.parts, id); i < len(s.parts) && s.parts[i].id == id {
		s.parts = slices.Delete(s.parts, i, i+1)
		s.raise()
	}
}

// makeRoom forgets an idle partition if there are as many as there may be.
func (s *eventState) makeRoom(id uint32) {
	if i := find(s.parts, id); len(s.parts) < wire.MaxPartitions || i < len(s.parts) && s.parts[i].id == id {
		return
	}
	if i := slices.IndexFunc(s.parts, func(p partition) bool { return p.idle }); i >= 0 {
		s.parts = slices.Delete(s.parts, i, i+1)
	}
}

// raise brings the watermark up to the least of the active partitions'.
func (s *eventState) raise() {
	if m := s.least(-1); m != flow.FinalMark {
		s.mark = max(s.mark, m)
	}
}

// least returns the least mark of the active partitions but the one at except,
// flow.FinalMark if there is none.
func (s *eventState) least(except int) int64 {
	m := int64(flow.FinalMark)
	for i := range s.parts {
		if p := &s.parts[i]; i != except && !p.idle {
			m = min(m, p.mark)
		}
	}
	return m
}

// silence marks the partitions that have sent nothing for the time-out and reports
// whether all of them, of at least one, are idle.
func (s *eventState) silence(timeout, now int64) (all bool) {
	if timeout == 0 {
		return false
	}
	all = len(s.parts) > 0
	var last *partition // of those that become idle
	for i := range s.parts {
		p := &s.parts[i]
		if !p.idle && now-p.seen >= timeout {
			p.idle = true
			if last == nil || p.seen > last.seen {
				last = p
			}
		}
		all = all && p.idle
	}
	if all && last != nil {
		s.mark = max(s.mark, last.mark) // it was the only one for a moment
	}
	s.raise()
	return all
}

// idleSince returns when the last partition became idle, given that all are.
func (s *eventState) idleSince(timeout int64) int64 {
	since := int64(math.MinInt64)
	for _, p := range s.parts {
		since = max(since, p.seen+timeout)
	}
	return since
}

// lateFilter runs rows past a state. It has scratch of its own: one goroutine uses it.
type lateFilter struct {
	r    *eventRules
	prog *expr.Program
	// If plain, the watermark is the column's value plus shift microseconds, which is
	// faster than prog and the same.
	plain bool
	shift int64
	marks []int64 // of the rows of a block; flow.NoMark for those that move nothing
	ctx   expr.Ctx
	out   []batch.Column
	keep  []uint32
	late  []uint32
	at    []int64 // the watermark at each late row
	bu    batch.Batch
}

func newLateFilter(r *eventRules) (*lateFilter, error) {
	prog, err := expr.Compile([]expr.Expr{r.Watermark})
	f := &lateFilter{r: r, prog: prog, out: make([]batch.Column, 1)}
	f.shift, f.plain = shiftOf(r.Watermark, r.column)
	return f, err
}

// shiftOf returns how many microseconds e adds to column col, if it does that alone.
func shiftOf(e expr.Expr, col int) (micros int64, ok bool) {
	if c, is := e.(expr.Col); is {
		return 0, c.Index == col
	}
	call, is := e.(*expr.Call)
	if !is || len(call.Args) != 2 || call.Fn.Name != "-" && call.Fn.Name != "+" {
		return 0, false
	}
	c, isCol := call.Args[0].(expr.Col)
	by, isConst := call.Args[1].(expr.Const)
	if !isCol || !isConst || c.Index != col || by.V.Null || by.V.T.Kind != types.Interval ||
		by.V.V.Months != 0 || by.V.V.Days != 0 || by.V.V.Micros == math.MinInt64 {
		return 0, false
	}
	if call.Fn.Name == "-" {
		return -by.V.V.Micros, true
	}
	return by.V.V.Micros, true
}

// eval computes the watermark of each row of a block into marks.
func (f *lateFilter) eval(b *batch.Batch) []int64 {
	if cap(f.marks) < b.N {
		f.marks = make([]int64, b.N)
	}
	marks, times := f.marks[:b.N], &b.Cols[f.r.column]
	if f.plain {
		for i, t := range times.I64[:b.N] {
			m := t + f.shift
			if t == flow.FinalMark || t == flow.NoMark || (t^m)&(f.shift^m) < 0 || !types.ValidTimestamp(m) {
				m = flow.NoMark
			}
			marks[i] = m
		}
	} else {
		f.ctx.Errs = f.ctx.Errs[:0]
		f.prog.Eval(&f.ctx, b, f.out)
		for i := range marks {
			m := int64(flow.NoMark)
			if !f.out[0].Null(i) && f.out[0].I64[i] < flow.FinalMark {
				m = f.out[0].I64[i]
			}
			marks[i] = m
		}
	}
	if times.Valid != nil {
		for i := range marks {
			if times.Null(i) {
				marks[i] = flow.NoMark
			}
		}
	}
	return marks
}

// pass moves s over the rows of b, which has no Sel, all of the partition id or each of
// its own of parts, and returns which are in time and which are late. Without late ones
// both are nil. They are the filter's until its next use.
//
// A row without a time is never late and moves nothing; nor does one whose watermark
// is NULL, infinite or out of range.
func (f *lateFilter) pass(s *eventState, id uint32, parts []uint32, now int64, b *batch.Batch) (keep, late []uint32, err error) {
	if b.N == 0 {
		return nil, nil, nil
	}
	if parts != nil {
		id = parts[0]
	}
	at, err := s.hear(id, now)
	if err != nil {
		return nil, nil, err
	}
	others := s.least(at)
	f.keep, f.late = f.keep[:0], f.late[:0]
	f.at = f.at[:0]
	limit := f.r.limit(s.mark)
	base := 0
	for _, part := range cutBlocks(b) {
		if parts == nil && f.allInTime(s, at, others, part) {
			if limit = f.r.limit(s.mark); len(f.late) > 0 {
				for i := range part.N {
					f.keep = append(f.keep, uint32(base+i))
				}
			}
			base += part.N
			continue
		}
		marks, times := f.eval(part), &part.Cols[f.r.column]
		for i := range part.N {
			if parts != nil && parts[base+i] != id {
				id = parts[base+i]
				if at, err = s.hear(id, now); err != nil {
					return nil, nil, err
				}
				others = s.least(at)
				if m := min(s.parts[at].mark, others); m > s.mark { // one before was forgotten
					s.mark = m
					limit = f.r.limit(m)
				}
			}
			if times.I64[i] < limit && !times.Null(i) {
				if len(f.late) == 0 { // all before were in time
					for k := range base + i {
						f.keep = append(f.keep, uint32(k))
					}
				}
				f.late, f.at = append(f.late, uint32(base+i)), append(f.at, s.mark)
				continue
			}
			if m := marks[i]; m > s.parts[at].mark {
				s.parts[at].mark = m
				if m = min(m, others); m > s.mark {
					s.mark = m
					limit = f.r.limit(m)
				}
			}
			if len(f.late) > 0 {
				f.keep = append(f.keep, uint32(base+i))
			}
		}
		base += part.N
	}
	if len(f.late) == 0 {
		return nil, nil, nil
	}
	s.late += uint64(len(f.late))
	return f.keep, f.late, nil
}

// allInTime moves s over a block whose rows are in time even against the watermark
// after the last of them, which is so of most blocks and quick to see: the least and
// the greatest time tell. Otherwise it does nothing and reports false.
func (f *lateFilter) allInTime(s *eventState, at int, others int64, b *batch.Batch) bool {
	times := &b.Cols[f.r.column]
	if !f.plain || times.Valid != nil {
		return false
	}
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for _, t := range times.I64[:b.N] {
		lo, hi = min(lo, t), max(hi, t)
	}
	low, high := lo+f.shift, hi+f.shift
	if lo == flow.NoMark || hi == flow.FinalMark || (lo^low)&(f.shift^low) < 0 || (hi^high)&(f.shift^high) < 0 ||
		!types.ValidTimestamp(low) || !types.ValidTimestamp(high) {
		return false
	}
	part := max(s.parts[at].mark, high)
	mark := max(s.mark, min(part, others))
	if lo < f.r.limit(mark) {
		return false
	}
	s.parts[at].mark, s.mark = part, mark
	return true
}

// greatest returns the greatest watermark of the rows of a block that have a time,
// flow.NoMark if there is none.
func (f *lateFilter) greatest(b *batch.Batch) int64 {
	if b.N == 0 {
		return flow.NoMark
	}
	return slices.Max(f.eval(b))
}

// inTime moves s over rows of a source without partitions and returns those in time:
// b itself if all are, else a batch that is the filter's until its next use, and
// shares b's text.
func (f *lateFilter) inTime(s *eventState, b *batch.Batch) (*batch.Batch, error) {
	keep, late, err := f.pass(s, 0, nil, 0, b)
	if err != nil || len(late) == 0 {
		return b, err
	}
	batch.Gather(&f.bu, b, keep)
	return &f.bu, nil
}

// pick returns a copy of some rows of b, none if there are none.
func pick(b *batch.Batch, rows []uint32) *batch.Batch {
	if rows == nil {
		rows = []uint32{}
	}
	return batch.Copy(withSel(b, rows))
}

// reason says why the late row number k of the last pass over b is late.
func (f *lateFilter) reason(b *batch.Batch, k int) string {
	col := &b.Cols[f.r.column]
	at := valueText(col, int(f.late[k]))
	mark := boxedText(types.Value{T: col.Type, I: f.at[k]})
	s := fmt.Sprintf("late: %s is %s, behind the watermark %s", f.r.def.Columns[f.r.column].Name, at, mark)
	if f.r.allowed > 0 {
		s += fmt.Sprintf(" by more than %v", time.Duration(f.r.allowed)*time.Microsecond)
	}
	return s
}
