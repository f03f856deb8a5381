package plan

import (
	"math"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

var (
	frameModes    = map[sql.FrameMode]flow.FrameMode{sql.FrameRange: flow.FrameRange, sql.FrameRows: flow.FrameRows, sql.FrameGroups: flow.FrameGroups}
	frameWords    = map[sql.FrameMode]string{sql.FrameRange: "RANGE", sql.FrameRows: "ROWS", sql.FrameGroups: "GROUPS"}
	frameEdges    = map[sql.BoundKind]flow.EdgeKind{sql.UnboundedPreceding: flow.FromStart, sql.OffsetPreceding: flow.Preceding, sql.CurrentRow: flow.AtCurrent, sql.OffsetFollowing: flow.Following, sql.UnboundedFollowing: flow.ToEnd}
	frameExcludes = map[sql.FrameExclude]flow.FrameExclude{sql.ExcludeNone: flow.ExcludeNone, sql.ExcludeCurrentRow: flow.ExcludeCurrent, sql.ExcludeGroup: flow.ExcludeGroup, sql.ExcludeTies: flow.ExcludeTies}
)

func hasOffset(k sql.BoundKind) bool {
	return k == sql.OffsetPreceding || k == sql.OffsetFollowing
}

// checkFrame refuses frames that the window's order does not allow.
func checkFrame(f *sql.Frame, w *winSpec) {
	switch {
	case f.Mode == sql.FrameGroups && len(w.order) == 0:
		fail(f.Pos(), codeWindowing, "GROUPS mode requires an ORDER BY clause")
	case f.Mode == sql.FrameRange && (hasOffset(f.Start.Kind) || hasOffset(f.End.Kind)) && len(w.order) != 1:
		fail(f.Pos(), codeWindowing, "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column")
	}
}

// frame binds the frame of a call; without one it is up to the current row's peers.
func (b *binder) frame(ctx *exprCtx, spec *winSpec, w *pendingWin) {
	w.Frame = flow.Frame{Start: flow.FrameEdge{Kind: flow.FromStart}, End: flow.FrameEdge{Kind: flow.AtCurrent}}
	f := spec.frame
	if f == nil {
		return
	}
	w.Frame.Mode, w.Frame.Exclude = frameModes[f.Mode], frameExcludes[f.Exclude]
	w.Frame.Start = b.edge(ctx, spec, w, f.Start, "starting")
	w.Frame.End = b.edge(ctx, spec, w, f.End, "ending")
}

func (b *binder) edge(ctx *exprCtx, spec *winSpec, w *pendingWin, x sql.Bound, which string) flow.FrameEdge {
	e := flow.FrameEdge{Kind: frameEdges[x.Kind]}
	if !hasOffset(x.Kind) {
		return e
	}
	clause := frameWords[spec.frame.Mode]
	in := *ctx
	in.clause, in.aggs, in.wins, in.subs, in.inWin = clause, nil, nil, nil, false
	off := b.expr(&in, x.Offset)
	pos := x.Offset.Pos()
	if len(exprCols(off)) > 0 {
		fail(pos, "42P10", "argument of %s must not contain variables", clause)
	}
	if spec.frame.Mode == sql.FrameRange {
		key, limit := b.rangeLimit(spec, off, x.Kind == sql.OffsetPreceding, which, pos)
		w.Frame.Key, e.Limit = w.put(key), w.put(limit)
		return e
	}
	t := types.T(types.Int8)
	if !castable(off.Type(), t, castAssignment) || isString(off.Type().Kind) {
		fail(pos, types.CodeDatatypeMismatch, "argument of %s must be type bigint, not type %s", clause, typeName(off.Type()))
	}
	v := b.frameOffset(b.convert(off, t, castAssignment, pos), which, pos)
	if v.I < 0 {
		fail(pos, "22013", "frame %s offset must not be negative", which)
	}
	e.N = v.I
	return e
}

// frameOffset is the value of an offset.
func (b *binder) frameOffset(off expr.Expr, which string, pos int) types.Value {
	c, ok := off.(expr.Const)
	if !ok {
		unsupported(pos, "a frame offset that is not a constant")
	}
	if c.V.Null {
		fail(pos, "22004", "frame %s offset must not be null", which)
	}
	return c.V
}

// rangeLimit gives what rows are compared by and up to which value of it a row's
// frame goes.
func (b *binder) rangeLimit(spec *winSpec, off expr.Expr, preceding bool, which string, pos int) (key, limit expr.Expr) {
	key = spec.order[0]
	kt, ot := key.Type(), off.Type()
	to := types.Interval
	switch kt.Kind {
	case types.Int2, types.Int4, types.Int8:
		to = types.Int8
	case types.Float4, types.Float8:
		to = types.Float8
	case types.Numeric:
		to = types.Numeric
	case types.Date, types.Timestamp, types.TimestampTZ, types.Interval:
	default:
		fail(pos, types.CodeFeature, "RANGE with offset PRECEDING/FOLLOWING is not supported for column type %s", typeName(kt))
	}
	t := types.T(to)
	if !castable(ot, t, castImplicit) {
		failHint(pos, types.CodeFeature, "Cast the offset value to an appropriate type.",
			"RANGE with offset PRECEDING/FOLLOWING is not supported for column type %s and offset type %s", typeName(kt), typeName(ot))
	}
	v := b.frameOffset(b.convert(off, t, castImplicit, pos), which, pos)
	zero := b.literal("0", t, castExplicit, pos)
	if less := b.fold(b.operator("<", pos, expr.Const{V: v}, zero, pos, pos)); isTrue(less) || to == types.Float8 && v.F != v.F {
		fail(pos, "22013", "invalid preceding or following size in window function")
	}
	minus := preceding != (orderKey(spec.items[0], 0).desc)
	if to == types.Int8 {
		return key, b.saturating(b.convert(key, t, castImplicit, pos), v.I, minus, pos)
	}
	if kt.Kind == types.Date {
		key = b.convert(key, types.T(types.Timestamp), castImplicit, pos)
	} else if kt.Kind == types.Float4 {
		key = b.convert(key, types.T(types.Float8), castImplicit, pos)
	}
	op := "+"
	if minus {
		op = "-"
	}
	return key, b.operator(op, pos, key, expr.Const{V: v}, pos, pos)
}

// saturating is key plus or minus n, but no further than integers go.
func (b *binder) saturating(key expr.Expr, n int64, minus bool, pos int) expr.Expr {
	num := func(v int64) expr.Expr { return expr.Const{V: types.IntValue(types.Int8, v)} }
	if inner := unwiden(key).Type().Kind; inner == types.Int2 || inner == types.Int4 {
		const past = 1 << 33 // further than any two of them are apart
		return b.operator(map[bool]string{true: "-", false: "+"}[minus], pos, key, num(min(n, past)), pos, pos)
	}
	op, cmp, edge, end := "+", ">", math.MaxInt64-n, int64(math.MaxInt64)
	if minus {
		op, cmp, edge, end = "-", "<", math.MinInt64+n, math.MinInt64
	}
	return &expr.Case{T: types.T(types.Int8), Else: b.operator(op, pos, key, num(n), pos, pos),
		Whens: []expr.When{{Cond: b.operator(cmp, pos, key, num(edge), pos, pos), Then: num(end)}}}
}
