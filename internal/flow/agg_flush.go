package flow

import (
	"bytes"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// Flush implements Operator: of every group that the step touched, the old row goes
// and the new one comes, if they differ. With OnClose, the groups that lie below the
// mark give their row. Groups below the mark go.
func (a *aggregate) Flush(st *Step, out Emitter) {
	a.begin(st)
	if a.op.Scalar && !a.emitted {
		a.touchScalar()
	}
	dirty := a.groups.Dirty()
	for lo := 0; !a.closes && lo < len(dirty) && !st.Stopped(); lo += batch.BlockRows {
		a.flushGroups(st, dirty, lo, min(lo+batch.BlockRows, len(dirty)), out)
		st.Rest()
	}
	for _, r := range dirty {
		if int64(a.groups.Payload(r)[countWord]) == 0 && !(a.op.Scalar && r == a.scalar) {
			for _, acc := range a.accs {
				acc.forget(r)
			}
			a.groups.Delete(r)
			a.freer.reused = a.freer.key >= 0
		}
		st.RestAfter()
	}
	for _, in := range a.inputs {
		in.end(st)
	}
	a.chooseFree(st)
	due := a.freer.due(st, a.groups)
	if a.closes {
		a.close(st, due, out)
	}
	a.free(st, due)
	a.begun, a.oldRows, a.oldAt, a.oldErrs = false, 0, a.oldAt[:0], a.oldErrs[:0]
	for i := range a.old {
		a.old[i].Truncate()
	}
}

// touchScalar makes sure that the only group exists and is worked on.
func (a *aggregate) touchScalar() {
	one := batch.Batch{N: 1}
	refs := a.refs[:1]
	a.groups.FindOrInsert(&one, nil, batch.HashRows(a.hashes, &one, nil), refs, nil)
	a.note(refs)
	a.scalar = refs[0]
}

// flushGroups emits the differences of dirty groups lo to hi.
func (a *aggregate) flushGroups(st *Step, dirty []state.Ref, lo, hi int, out Emitter) {
	refs, oldAt := dirty[lo:hi], a.oldAt[lo:hi]
	n := len(refs)
	for i := range a.now {
		a.now[i].Truncate()
	}
	errs := a.results(refs, a.now, 0)
	a.failed = a.failed[:0]
	for range n {
		a.failed = append(a.failed, nil)
	}
	for _, e := range errs {
		a.failed[e.at] = e.err
	}
	a.compare(oldAt)
	a.selOld, a.selNew = a.selOld[:0], a.selNew[:0]
	for j, r := range refs {
		hasNew := a.shows(r, a.groups.Payload(r), false)
		newErr := a.failed[j]
		if !hasNew {
			newErr = nil
		}
		if oldAt[j] == oldFailed || newErr != nil {
			a.report(st, lo+j, r, newErr)
		}
		hasNew = hasNew && newErr == nil
		if hasOld := oldAt[j] >= 0; hasOld && (!hasNew || a.changed[j]) {
			a.selOld = append(a.selOld, uint32(j))
		} else if hasOld {
			continue
		}
		if hasNew {
			a.selNew = append(a.selNew, uint32(j))
		}
	}
	if a.op.Scalar {
		a.emitted = true
	}
	a.emit(refs, oldAt, out)
}

// report notes that the result of a dirty group is in error now, that it no longer
// is, or both when the error is another.
func (a *aggregate) report(st *Step, at int, r state.Ref, now *types.Error) {
	var was *types.Error
	for _, e := range a.oldErrs {
		if e.at == at {
			was = e.err
		}
	}
	if was != nil && now != nil && was.Code == now.Code && was.Message == now.Message {
		return
	}
	key := make([]batch.Column, len(a.op.Keys))
	for i := range key {
		key[i].Type = a.keys[i].Type
	}
	a.groups.AppendKey(r, key, 0)
	for _, e := range []struct {
		err    *types.Error
		weight int64
	}{{was, -1}, {now, 1}} {
		if e.err == nil {
			continue
		}
		a.errRow.Reset()
		row := a.errRow.View()
		for c := range row.Cols {
			from := -1
			for i, k := range a.op.Keys {
				if k == c {
					from = i
				}
			}
			if col := a.errRow.Col(c); from < 0 {
				col.AppendNull(0)
			} else {
				col.AppendFrom(0, &key[from], 0)
			}
		}
		a.errRow.EndRow(e.weight)
		st.RowError(a.env.Node, a.errRow.View(), 0, e.err)
	}
}

// compare sets changed[j] where group j's old row differs from its new one, and
// lines the old rows up with the new ones in past.
func (a *aggregate) compare(oldAt []int32) {
	a.changed, a.rows = a.changed[:0], a.rows[:0]
	any := false
	for _, o := range oldAt {
		a.changed = append(a.changed, false)
		any = any || o >= 0
		a.rows = append(a.rows, uint32(max(o, 0)))
	}
	if !any {
		return
	}
	if a.oldRows == 0 {
		panic("flow: an old row of an aggregate is gone")
	}
	for i := range a.old {
		batch.GatherColumn(&a.past[i], &a.old[i], a.rows)
		differ(a.changed, oldAt, &a.past[i], &a.now[i])
	}
}

// differ sets changed[j] where x and y differ in how they are written.
func differ(changed []bool, oldAt []int32, x, y *batch.Column) {
	if x.Type.Layout() == types.LayoutInt && x.Valid == nil && y.Valid == nil {
		for j := range changed {
			changed[j] = changed[j] || x.I64[j] != y.I64[j]
		}
		return
	}
	for j := range changed {
		if oldAt[j] >= 0 && !changed[j] {
			changed[j] = !identical(x, y, j)
		}
	}
}

func identical(x, y *batch.Column, j int) bool {
	if xn, yn := x.Null(j), y.Null(j); xn || yn {
		return xn && yn
	}
	switch x.Type.Layout() {
	case types.LayoutBool:
		return x.U8[j] == y.U8[j]
	case types.LayoutInt:
		return x.I64[j] == y.I64[j]
	case types.LayoutFloat:
		return math.Float64bits(x.F64[j]) == math.Float64bits(y.F64[j])
	case types.LayoutDec:
		p, q := x.Dec[j], y.Dec[j]
		if p.Form == types.DecBig && q.Form == types.DecBig {
			return p.Scale == q.Scale && bytes.Equal(bigDigits(p, x.Bytes), bigDigits(q, y.Bytes))
		}
		return p == q
	case types.LayoutIvl:
		return x.Ivl[j] == y.Ivl[j]
	case types.LayoutStr:
		return bytes.Equal(x.StrAt(j), y.StrAt(j))
	}
	return true
}

// bigDigits returns the digits of a Big decimal in its arena.
func bigDigits(d types.Decimal, arena []byte) []byte {
	off, n := d.Lo>>32, d.Lo&0xffffffff
	return arena[off : off+n]
}

// emit hands out the old rows of selOld and the new rows of selNew.
func (a *aggregate) emit(refs []state.Ref, oldAt []int32, out Emitter) {
	if len(a.selOld)+len(a.selNew) == 0 {
		return
	}
	for i := range a.keys {
		a.keys[i].Truncate()
	}
	a.groups.GatherKeys(refs, a.keys, 0)
	if len(a.selOld) > 0 {
		b := batch.Batch{N: len(refs), Sel: a.selOld, Weights: a.minus[:len(refs)], Cols: a.columns(a.past, a.selOld)}
		out.Emit(&b)
	}
	if len(a.selNew) > 0 {
		b := batch.Batch{N: len(refs), Sel: a.selNew, Cols: a.columns(a.now, a.selNew)}
		if len(a.selNew) == len(refs) {
			b.Sel = nil
		}
		out.Emit(&b)
	}
}

// columns puts together output columns from the keys and the results res, of which
// the rows sel will be read. They are valid until the next call.
func (a *aggregate) columns(res []batch.Column, sel []uint32) []batch.Column {
	a.cols = append(a.cols[:0], a.keys...)
	if a.forms != nil {
		a.forms.apply(a.formed, a.keys, &res[len(a.op.Calls)], sel)
		for _, i := range a.forms.keys {
			a.cols[i] = a.formed[i]
		}
	}
	a.cols = append(a.cols, res[:len(a.op.Calls)]...)
	return a.cols
}

// rowsHeld implements holder.
func (a *aggregate) rowsHeld() int64 { return int64(a.groups.Len()) }
