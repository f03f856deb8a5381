package plan

import (
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// windowKindNames are the window table functions, by sql.WindowKind.
var windowKindNames = [...]string{sql.Tumble: "TUMBLE", sql.Hop: "HOP", sql.Cumulate: "CUMULATE", sql.Session: "SESSION"}

// windowTable binds a window table function. Written as in Flink it has window_time,
// the last instant of the window in Flink's resolution, beside window_start and window_end.
func (b *binder) windowTable(t *sql.WindowTable, sc *scope, left *fromItem) fromItem {
	name := windowKindNames[t.Kind]
	in := b.tableExpr(t.Input, sc, left)
	ws := &scope{vars: in.vars, cols: in.cols}
	c, _ := b.column(ws, t.TimeCol)
	tt := b.cols[c.id].typ
	if tt.Kind != types.Timestamp && tt.Kind != types.TimestampTZ {
		fail(t.TimeCol.Pos(), types.CodeDatatypeMismatch, "the time column of %s must be a timestamp, not %s", name, typeName(tt))
	}
	own := types.T(tt.Kind)
	w := &window{in: in.node, time: c.id, start: b.newCol("window_start", own), end: b.newCol("window_end", own)}
	if len(t.PartitionBy) > 0 && t.Kind != sql.Session {
		failHint(t.PartitionBy[0].Pos(), types.CodeSyntax, "The windows of TUMBLE, HOP and CUMULATE are the same for every key: put the key in GROUP BY.",
			"PARTITION BY is for SESSION only, not %s", name)
	}
	for _, x := range t.PartitionBy {
		ref, ok := x.(*sql.ColumnRef)
		if !ok {
			failHint(x.Pos(), types.CodeFeature, "Compute the expression in a subquery, and partition by its column.", "PARTITION BY of SESSION takes columns")
		}
		p, _ := b.column(ws, ref)
		if !slices.Contains(w.partition, p.id) {
			w.partition = append(w.partition, p.id)
		}
	}
	durs := make([]int64, len(t.Args))
	for i, a := range t.Args {
		durs[i] = b.duration(a, name)
	}
	b.windowDurations(w, t, name, durs)
	item := fromItem{node: w, cols: append(slices.Clone(in.cols),
		scopeCol{name: "window_start", id: w.start}, scopeCol{name: "window_end", id: w.end})}
	if t.Flink {
		item = b.windowTime(item, w.end)
	}
	vname := ""
	if len(in.vars) == 1 {
		vname = in.vars[0].name
	}
	return b.alias(item, vname, t.Alias, t.Pos())
}

// flinkResolution is what lies between window_time and window_end, in microseconds.
const flinkResolution = 1000

// windowTime adds the column window_time.
func (b *binder) windowTime(item fromItem, end int) fromItem {
	ms := expr.Const{V: types.Value{T: types.T(types.Interval), V: types.IntervalVal{Micros: flinkResolution}}}
	e := b.operator("-", noPos, b.colExpr(end), ms, noPos, noPos)
	n, ids := b.extend(item.node, []expr.Expr{e}, []string{"window_time"})
	return fromItem{node: n, cols: append(item.cols, scopeCol{name: "window_time", id: ids[0]})}
}

// windowDurations puts the durations in their places.
func (b *binder) windowDurations(w *window, t *sql.WindowTable, name string, durs []int64) {
	want, offset := 1, 1
	switch t.Kind {
	case sql.Hop, sql.Cumulate:
		want = 2
	case sql.Session:
		offset = 0
	}
	if len(durs) < want || len(durs) > want+offset {
		many := "%s takes %d or %d durations, not %d"
		if offset == 0 {
			fail(t.Pos(), types.CodeSyntax, "%s takes one duration, not %d", name, len(durs))
		}
		fail(t.Pos(), types.CodeSyntax, many, name, want, want+1, len(durs))
	}
	for i, d := range durs[:want] {
		if d <= 0 {
			fail(t.Args[i].Pos(), types.CodeInvalidParameter, "the durations of %s must be positive", name)
		}
	}
	if len(durs) > want {
		w.offset = durs[want]
	}
	at := t.Args[0].Pos()
	switch t.Kind {
	case sql.Session:
		w.gap = durs[0]
	case sql.Cumulate:
		w.step, w.slide, w.size = durs[0], durs[1], durs[1]
		if w.size%w.step != 0 {
			fail(at, types.CodeInvalidParameter, "the size of CUMULATE must be a multiple of its step")
		}
		b.checkWindowCount(at, name, w.size/w.step)
	default:
		w.slide, w.size = durs[0], durs[want-1]
		if w.size < w.slide {
			fail(at, types.CodeInvalidParameter, "the slide of %s must not exceed its size", name)
		}
		b.checkWindowCount(at, name, w.size/w.slide)
	}
	if w.slide > 0 {
		w.offset = unixOffset(w.offset, w.slide)
	}
}

// unixDays is how many days lie between the origins of Unix's time and of ours, 2000.
const unixDays = 10957

// unixOffset turns an offset from 1970, where windows begin in Flink and RisingWave,
// into one from 2000, from 0 to below slide. For durations that divide a day it is the same.
func unixOffset(offset, slide int64) int64 {
	o := offset%slide - unixDays*microsPerDay%slide
	for o < 0 {
		o += slide
	}
	return o
}

// maxWindowsPerRow bounds how many windows one row may be put into.
const maxWindowsPerRow = 10000

func (b *binder) checkWindowCount(pos int, name string, n int64) {
	if n > maxWindowsPerRow {
		fail(pos, types.CodeInvalidParameter, "%s would put each row into more than %d windows", name, maxWindowsPerRow)
	}
}

// Microseconds of the units that durations are made of.
const microsPerDay = 24 * 3600 * 1000000

// duration evaluates a constant interval without months, in microseconds.
func (b *binder) duration(a sql.Expr, name string) int64 {
	e := b.convert(b.expr(&exprCtx{sc: &scope{}, clause: name}, a), types.T(types.Interval), castImplicit, a.Pos())
	c, ok := b.fold(e).(expr.Const)
	if !ok || c.V.Null || c.V.T.Kind != types.Interval {
		fail(a.Pos(), types.CodeInvalidParameter, "the durations of %s must be constant intervals", name)
	}
	if c.V.V.Months != 0 {
		fail(a.Pos(), types.CodeInvalidParameter, "the durations of %s must not contain months: their length varies", name)
	}
	return int64(c.V.V.Days)*microsPerDay + c.V.V.Micros
}

// groupWindow refuses Flink's older group windows, GROUP BY TUMBLE(at, INTERVAL ...),
// and the functions that went with them.
func (b *binder) groupWindow(f *sql.FuncCall, name string) {
	kind, _, _ := strings.Cut(name, "_")
	switch kind {
	case "tumble", "hop", "cumulate", "session":
	default:
		return
	}
	switch strings.TrimPrefix(name, kind) {
	case "", "_start", "_end", "_rowtime", "_proctime":
	default:
		return
	}
	args := map[string]string{"tumble": "size", "hop": "slide, size", "cumulate": "step, size", "session": "gap"}[kind]
	failHint(f.Pos(), types.CodeFeature,
		"Write FROM "+strings.ToUpper(kind)+"(table, column, "+args+") and GROUP BY window_start, window_end.",
		"%s as a function of a row is not supported", strings.ToUpper(name))
}

// pushWindow gives x filtered by preds: those over its input's columns go below, as
// far as they do not part rows of one session.
func (b *binder) pushWindow(x *window, preds []expr.Expr) node {
	cols := setOf(x.in.out())
	if x.gap > 0 {
		cols = setOf(x.partition)
	}
	below, above := split(preds, cols)
	w := *x
	w.in = b.push(x.in, below)
	return withFilter(&w, above)
}
