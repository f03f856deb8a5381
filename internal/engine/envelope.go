package engine

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// States of a key in the envelopes of SUBSCRIBE.
const (
	stateUpsert    = "upsert"        // one row has the key now
	stateInsert    = "insert"        // Debezium: likewise, and none had it before
	stateDelete    = "delete"        // no row has it any more
	stateViolation = "key_violation" // more than one row has it
)

// envelope tells the changes of a step by key: what there is of a key after the step
// and, for Debezium, what there was before. It holds the rows that there are, since
// a change alone does not tell whether a row with the same key is there.
type envelope struct {
	debezium  bool
	key, rest []int
	rows      *state.Spine // ordered by key
	order     []batch.Key
	keyTypes  []types.Type
	maxBytes  int64
	sorter    batch.Sorter
	sorted    []uint32
	probe     *batch.Builder // one key
	found     [2]*batch.Builder
}

func newEnvelope(p *subscribePlan, maxBytes int64) *envelope {
	ts := p.rowTypes()
	v := &envelope{debezium: p.envelope == "debezium", key: p.key, rest: p.rest, order: batch.Ascending(p.key...), maxBytes: maxBytes}
	v.rows = state.NewSpine(ts, v.order)
	for _, c := range p.key {
		v.keyTypes = append(v.keyTypes, ts[c])
	}
	v.probe = batch.NewBuilder(v.keyTypes)
	for i := range v.found {
		v.found[i] = batch.NewBuilder(ts)
	}
	return v
}

// types are those of a told change: the state, the key, the other columns.
func (v *envelope) types() []types.Type {
	ts := append([]types.Type{types.T(types.Text)}, v.keyTypes...)
	all := v.rows.Snapshot().Types()
	sides := 1
	if v.debezium {
		sides = 2
	}
	for range sides {
		for _, c := range v.rest {
			ts = append(ts, all[c])
		}
	}
	return ts
}

// tell takes a step's changes and returns what they mean for each key, in order of
// the keys.
func (v *envelope) tell(b *batch.Batch) (*batch.Batch, error) {
	before := v.rows.Snapshot()
	v.rows.Append(b)
	if v.rows.Bytes() > v.maxBytes {
		return nil, &types.Error{Code: types.CodeOutOfMemory, Message: fmt.Sprintf("out of memory: the rows that an envelope compares with are %d bytes, its limit is %d", v.rows.Bytes(), v.maxBytes),
			Hint: "Subscribe to the changes without an envelope."}
	}
	after := v.rows.Snapshot()
	out := batch.NewBuilder(v.types())
	v.sorted = v.sorter.Sort(v.sorted[:0], b, v.order)
	for k, row := range v.sorted {
		i := int(row)
		if k > 0 && batch.CompareRows(b, int(v.sorted[k-1]), b, i, v.order) == 0 {
			continue
		}
		v.probe.Reset()
		for c, col := range v.key {
			v.probe.Col(c).AppendFrom(0, &b.Cols[col], i)
		}
		v.probe.EndRow(1)
		was, err := v.find(before, v.found[0])
		if err != nil {
			return nil, err
		}
		is, err := v.find(after, v.found[1])
		if err != nil {
			return nil, err
		}
		v.add(out, b, i, was, is)
	}
	return out.Seal(), nil
}

// find returns the rows that have the probe's key, consolidated.
func (v *envelope) find(rows *state.Snapshot, bu *batch.Builder) (*batch.Batch, error) {
	bu.Reset()
	err := rows.Lookup(v.probe.View(), func(b *batch.Batch) error {
		bu.AppendBatch(b)
		return nil
	})
	if bu.Len() == 1 {
		return bu.View(), err
	}
	return batch.Consolidate(bu.View()), err
}

// add appends what became of the key of row i of b, unless nothing did.
func (v *envelope) add(out *batch.Builder, b *batch.Batch, i int, was, is *batch.Batch) {
	one := func(x *batch.Batch) bool { return x.N == 1 && x.Weight(0) == 1 }
	st := stateViolation
	switch {
	case is.N == 0 && was.N == 0:
		return
	case is.N == 0:
		st = stateDelete
	case one(is) && one(was) && batch.CompareWhole(is, 0, was, 0) == 0:
		return // changes that cancel each other
	case one(is) && was.N == 0 && v.debezium:
		st = stateInsert
	case one(is):
		st = stateUpsert
	case was.N > 0 && !one(was):
		return // as before
	}
	n := out.Len()
	out.Col(0).AppendStr(n, []byte(st))
	at := 1
	for _, c := range v.key {
		out.Col(at).AppendFrom(n, &b.Cols[c], i)
		at++
	}
	sides := []*batch.Batch{is}
	if v.debezium {
		sides = []*batch.Batch{was, is}
	}
	for _, side := range sides {
		for _, c := range v.rest {
			if one(side) {
				out.Col(at).AppendFrom(n, &side.Cols[c], 0)
			} else {
				out.Col(at).AppendNull(n)
			}
			at++
		}
	}
	out.EndRow(1)
}
