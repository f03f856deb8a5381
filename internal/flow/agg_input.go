package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// aggInput is a set of rows that one or more aggregates take: those that pass a
// FILTER, and of these, for DISTINCT, one for each value in a group.
type aggInput struct {
	// b is the block with the rows selected; refs[k] is the group of the k-th.
	b    *batch.Batch
	refs []state.Ref

	filter   int   // column that must be true, or -1
	distinct []int // columns that are distinct within a group; nil: no DISTINCT
	in       []types.Type

	view   batch.Batch
	sel    []uint32
	kept   []state.Ref
	hashes []uint64

	// seen counts, for DISTINCT, the rows of each group and value.
	seen     *state.Table
	keyed    batch.Batch // group and values, the key of seen
	keyCols  []int
	valueRef []state.Ref
	fresh    []uint32
	weights  []int64
	own      []uint64
	forms    bool           // some value may be written in more ways than one
	canon    []batch.Column // values in the form that seen keeps
	dense    batch.Batch

	changeSel    []uint32
	changeRefs   []state.Ref
	denseWeights []int64
}

// distinctMatters reports whether an aggregate gives something else with DISTINCT.
func distinctMatters(op expr.AggOp) bool {
	switch op {
	case expr.AggMin, expr.AggMax, expr.AggAnyValue, expr.AggBoolAnd, expr.AggBoolOr:
		return false
	}
	return true
}

func newAggInput(in []types.Type, distinct []int, filter int) *aggInput {
	x := &aggInput{filter: filter, distinct: distinct, in: in}
	if len(distinct) == 0 {
		x.distinct = nil
		return x
	}
	keys := []types.Type{types.T(types.Int8)}
	x.keyCols = []int{0}
	for i, c := range distinct {
		keys = append(keys, in[c])
		x.keyCols = append(x.keyCols, i+1)
		switch in[c].Layout() {
		case types.LayoutFloat, types.LayoutDec, types.LayoutIvl:
			x.forms = true
		}
	}
	x.seen = state.New(keys, 1)
	x.keyed.Cols = make([]batch.Column, len(keys))
	x.keyed.Cols[0] = batch.Column{Type: keys[0], I64: make([]int64, batch.BlockRows)}
	x.valueRef = make([]state.Ref, batch.BlockRows)
	x.weights = make([]int64, batch.BlockRows)
	x.own = make([]uint64, batch.BlockRows)
	x.canon = make([]batch.Column, len(keys))
	for i := range keys {
		x.canon[i].Type = keys[i]
	}
	return x
}

func (x *aggInput) is(distinct []int, filter int) bool {
	if x.filter != filter || len(x.distinct) != len(distinct) {
		return false
	}
	for i, c := range distinct {
		if x.distinct[i] != c {
			return false
		}
	}
	return true
}

func (x *aggInput) begin(n int64) {
	if x.seen != nil {
		x.seen.BeginStep(n)
	}
}

// take makes x the rows of b that it stands for. hashes and refs are those of the
// groups of b's selected rows.
func (x *aggInput) take(b *batch.Batch, hashes []uint64, refs []state.Ref) {
	x.b, x.refs = b, refs
	if x.filter >= 0 {
		hashes = x.pass(b, hashes, refs)
	}
	if x.seen != nil && len(x.refs) > 0 {
		x.takeDistinct(hashes)
	}
}

// pass selects the rows for which the filter is true.
func (x *aggInput) pass(b *batch.Batch, hashes []uint64, refs []state.Ref) []uint64 {
	col := &b.Cols[x.filter]
	x.sel, x.kept, x.hashes = x.sel[:0], x.kept[:0], x.hashes[:0]
	for k, r := range refs {
		if i := b.Row(k); !col.Null(i) && col.U8[i] != 0 {
			x.sel, x.kept, x.hashes = append(x.sel, uint32(i)), append(x.kept, r), append(x.hashes, hashes[k])
		}
	}
	x.view = *b
	x.view.Sel = x.sel
	x.b, x.refs = &x.view, x.kept
	return x.hashes
}

// takeDistinct counts x's rows in seen and leaves one row, of weight +1 or -1, for
// each that made a value come or go.
func (x *aggInput) takeDistinct(hashes []uint64) {
	b := x.b
	ids := x.keyed.Cols[0].I64
	for k, r := range x.refs {
		ids[b.Row(k)] = int64(r)
	}
	x.keyed.Cols[0].I64 = ids[:b.N]
	x.keyed.N, x.keyed.Sel = b.N, b.Sel
	for i, c := range x.distinct {
		x.keyed.Cols[i+1] = b.Cols[c]
	}
	own := batch.HashRows(x.own, &x.keyed, x.keyCols[1:])
	for k, h := range own { // stay in the group's shard
		own[k] = hashes[k]&^(1<<56-1) | types.CombineHash(hashes[k], h)>>8
	}
	vals := x.valueRef[:len(x.refs)]
	x.fresh = x.seen.FindOrInsert(&x.keyed, x.keyCols, own, vals, x.fresh[:0])
	x.keyed.Cols[0].I64 = ids
	x.keepChanges(b, vals)
}

// keepChanges counts the rows and selects those that made a value come or go.
func (x *aggInput) keepChanges(b *batch.Batch, vals []state.Ref) {
	sel, kept := x.changeSel[:0], x.changeRefs[:0]
	changed := vals[:0]
	for k, v := range vals {
		i := b.Row(k)
		p, _ := x.seen.TouchPayload(v)
		was := int64(p[0])
		is := was + b.Weight(i)
		p[0] = uint64(is)
		if (was > 0) == (is > 0) {
			continue
		}
		x.weights[i] = -1
		if is > 0 {
			x.weights[i] = 1
		}
		sel, kept, changed = append(sel, uint32(i)), append(kept, x.refs[k]), append(changed, v)
	}
	x.changeSel, x.changeRefs = sel, kept
	x.view = *b
	x.view.Sel, x.view.Weights = sel, x.weights[:b.N]
	x.b, x.refs = &x.view, kept
	if x.forms && len(kept) > 0 {
		x.useCanonical(changed)
	}
}

// useCanonical replaces the values by the form that seen keeps, so that the value
// that goes is the one that came, whatever it was written like.
func (x *aggInput) useCanonical(vals []state.Ref) {
	for i := range x.canon {
		x.canon[i].Truncate()
	}
	x.seen.GatherKeys(vals, x.canon, 0)
	x.dense = batch.Batch{N: len(vals), Cols: append(x.dense.Cols[:0], x.view.Cols...)}
	for i := range x.dense.Cols {
		x.dense.Cols[i] = batch.Column{Type: x.dense.Cols[i].Type} // not for this call
	}
	for i, c := range x.distinct {
		x.dense.Cols[c] = x.canon[i+1]
	}
	x.dense.Weights = x.denseWeights[:0]
	for _, i := range x.changeSel {
		x.dense.Weights = append(x.dense.Weights, x.weights[i])
	}
	x.denseWeights = x.dense.Weights
	x.b = &x.dense
}

// end forgets the values that no row has any more.
func (x *aggInput) end() {
	if x.seen == nil {
		return
	}
	for _, r := range x.seen.Dirty() {
		if x.seen.Payload(r)[0] == 0 {
			x.seen.Delete(r)
		}
	}
}

func (x *aggInput) bytes() int64 {
	if x.seen == nil {
		return 0
	}
	return x.seen.Bytes()
}
