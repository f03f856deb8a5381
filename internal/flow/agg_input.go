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
	ids      []int64 // the groups, a column of keyed
	valueRef []state.Ref
	fresh    []uint32
	weights  []int64
	own      []uint64
	cal      *dueList // of values, by the time of their groups; nil until groups are freed
	timeCol  int      // that time, a column of the input

	// For values that may be written in more ways than one; forms is nil otherwise.
	// The value that stands for its equals is the one written least.
	forms   *keyForms
	changes []state.Ref // values that come or go
	written batch.Column
	before  []byte
	canon   []batch.Column // values in the form that seen keeps
	formed  []batch.Column // and as they are written
	every   []uint32
	dense   batch.Batch

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

func newAggInput(mem *state.Memory, in []types.Type, distinct []int, filter int) *aggInput {
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
	}
	x.forms = newKeyForms(mem, keys, x.keyCols)
	if x.forms == nil {
		x.seen = state.New(mem, keys, 1)
	} else {
		x.seen = state.New(mem, keys, 1+x.forms.place(nil, 1))
		x.forms.place(x.seen, 1)
		x.written.Type = types.T(types.Bytea)
	}
	x.keyed.Cols = make([]batch.Column, len(keys))
	x.ids = make([]int64, batch.BlockRows)
	x.keyed.Cols[0].Type = keys[0]
	x.valueRef = make([]state.Ref, batch.BlockRows)
	x.weights = make([]int64, batch.BlockRows)
	x.own = make([]uint64, batch.BlockRows)
	x.canon, x.formed = make([]batch.Column, len(keys)), make([]batch.Column, len(keys))
	for i := range keys {
		x.canon[i].Type, x.formed[i].Type = keys[i], keys[i]
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
	ids := x.ids
	for k, r := range x.refs {
		ids[b.Row(k)] = int64(r)
	}
	x.keyed.Cols[0].I64 = ids[:b.N]
	x.keyed.N, x.keyed.Sel = b.N, b.Sel
	for i, c := range x.distinct {
		x.keyed.Cols[i+1] = b.Cols[c]
	}
	own := batch.HashRows(x.own, &x.keyed, x.keyCols[1:])
	for k, h := range own {
		own[k] = types.CombineHash(hashes[k], h)
	}
	vals := x.valueRef[:len(x.refs)]
	x.fresh = x.seen.FindOrInsert(&x.keyed, x.keyCols, own, vals, x.fresh[:0])
	x.putDown(b, vals, x.fresh)
	if x.forms != nil {
		x.keepWritten(b, vals)
	} else {
		x.keepChanges(b, vals)
	}
}

// keepChanges counts the rows and selects those that made a value come or go.
func (x *aggInput) keepChanges(b *batch.Batch, vals []state.Ref) {
	sel, kept := x.changeSel[:0], x.changeRefs[:0]
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
		sel, kept = append(sel, uint32(i)), append(kept, x.refs[k])
	}
	x.changeSel, x.changeRefs = sel, kept
	x.view = *b
	x.view.Sel, x.view.Weights = sel, x.weights[:b.N]
	x.b, x.refs = &x.view, kept
}

// keepWritten is keepChanges for values that may be written in more ways than one:
// when the least of them changes, it goes as it was and comes as it is.
func (x *aggInput) keepWritten(b *batch.Batch, vals []state.Ref) {
	x.changes, x.changeRefs, x.denseWeights = x.changes[:0], x.changeRefs[:0], x.denseWeights[:0]
	x.written.Truncate()
	note := func(k int, v state.Ref, form []byte, weight int64) {
		x.written.AppendStr(len(x.changes), form)
		x.changes, x.changeRefs = append(x.changes, v), append(x.changeRefs, x.refs[k])
		x.denseWeights = append(x.denseWeights, weight)
	}
	for k, v := range vals {
		i := b.Row(k)
		p, _ := x.seen.TouchPayload(v)
		was := int64(p[0]) > 0
		form, _ := x.forms.least(v)
		x.before = append(x.before[:0], form...)
		p[0] += uint64(b.Weight(i))
		x.forms.read(&x.keyed, i)
		x.forms.count(v, b.Weight(i))
		is := int64(p[0]) > 0
		form, _ = x.forms.least(v)
		if was == is && string(form) == string(x.before) {
			continue
		}
		if was {
			note(k, v, x.before, -1)
		}
		if is {
			note(k, v, form, 1)
		}
	}
	x.refs = x.changeRefs
	if len(x.changes) > 0 {
		x.rewrite(b)
	}
}

// rewrite makes x.b the values that come and go. It has only the columns that are
// distinct; the others of b are not for the aggregates that x feeds.
func (x *aggInput) rewrite(b *batch.Batch) {
	n := len(x.changes)
	for len(x.every) < n {
		x.every = append(x.every, uint32(len(x.every)))
	}
	for i := range x.canon {
		x.canon[i].Truncate()
	}
	x.seen.GatherKeys(x.changes, x.canon, 0)
	x.forms.apply(x.formed, x.canon, &x.written, x.every[:n])
	x.dense = batch.Batch{N: n, Cols: x.dense.Cols[:0], Weights: x.denseWeights}
	for i := range b.Cols {
		x.dense.Cols = append(x.dense.Cols, batch.Column{Type: b.Cols[i].Type})
	}
	for i, c := range x.distinct {
		x.dense.Cols[c] = x.canon[i+1]
	}
	for _, i := range x.forms.keys {
		x.dense.Cols[x.distinct[i-1]] = x.formed[i]
	}
	x.b = &x.dense
}

// end forgets the values that no row has any more.
func (x *aggInput) end(st *Step) {
	if x.seen == nil {
		return
	}
	for _, r := range x.seen.Dirty() {
		if x.seen.Payload(r)[0] == 0 {
			if x.forms != nil {
				x.forms.forget(r)
			}
			x.seen.Delete(r)
		}
		st.RestAfter()
	}
}

func (x *aggInput) persist(p *state.Persist, mem *state.Memory) {
	if x.seen == nil {
		return
	}
	x.seen.Persist(p)
	if x.forms != nil {
		x.forms.persist(p)
	}
	state.Num(p, &x.timeCol)
	persistDueList(p, mem, &x.cal)
}

func (x *aggInput) bytes() int64 {
	if x.seen == nil {
		return 0
	}
	n := x.seen.Bytes()
	if x.forms != nil {
		n += x.forms.bytes()
	}
	if x.cal != nil {
		n += x.cal.bytes()
	}
	return n
}

// reset forgets all values.
func (x *aggInput) reset() {
	if x.seen == nil {
		return
	}
	x.seen.Reset()
	if x.forms != nil {
		x.forms.rest.Reset()
	}
}
