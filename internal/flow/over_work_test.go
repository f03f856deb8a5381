package flow

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// counted is an emitter that counts rows.
type counted struct{ rows int }

func (c *counted) Emit(b *batch.Batch) { c.rows += b.Len() }

// workbench is the operator of one call over rows of a key and a value, in order of key.
type workbench struct {
	t    *testing.T
	o    *over
	step int64
}

const workRows = 100_000

// newWorkbench returns an operator with workRows rows of even keys.
func newWorkbench(t *testing.T, call OverCall) *workbench {
	t.Helper()
	int8T := types.T(types.Int8)
	in := []types.Type{int8T, int8T, int8T, int8T}
	op, err := newOver(Env{In: [][]types.Type{in}, Out: append(in[:4:4], call.Ret)},
		&Over{Order: []SortKey{{Col: 0}}, Calls: []OverCall{call}})
	if err != nil {
		t.Fatal(err)
	}
	w := &workbench{t: t, o: op.(*over)}
	var keys []int64
	for i := range int64(workRows) {
		keys = append(keys, 2*i)
	}
	w.change(1, keys...)
	return w
}

// change gives the operator rows in a step of their own. Columns 2 and 3 are limits of
// ranges: 100 before the key and 100 behind it.
func (w *workbench) change(weight int64, keys ...int64) (computed int64, emitted int) {
	out, before := &counted{}, w.o.eval.rowsDone
	bu := batch.NewBuilder(w.o.m.types)
	w.step++
	st := &Step{N: w.step}
	for k, key := range keys {
		for c, v := range []int64{key, 1, key - 100, key + 100} {
			bu.Col(c).AppendInt(bu.Len(), v)
		}
		bu.EndRow(weight)
		if bu.Len() == batch.BlockRows || k == len(keys)-1 {
			w.o.Push(st, 0, bu.View(), out)
			bu.Reset()
		}
	}
	w.o.Flush(st, out)
	return w.o.eval.rowsDone - before, out.rows
}

// TestWorkIsThatOfTheRowsThatChange puts single rows into a partition of 100,000, takes
// them out again, and counts for how many rows answers are computed.
func TestWorkIsThatOfTheRowsThatChange(t *testing.T) {
	int8T := types.T(types.Int8)
	agg := func(name string, f Frame) OverCall {
		fn, _, ret, err := expr.ResolveAgg(name, []types.Type{int8T})
		if err != nil {
			t.Fatal(err)
		}
		return OverCall{Agg: fn, Args: []int{1}, Ret: ret, NCol: -1, Default: -1, Filter: -1, Frame: f}
	}
	plain := func(fn OverFn, n int64) OverCall {
		return OverCall{Fn: fn, Args: []int{1}, N: n, Ret: int8T, NCol: -1, Default: -1, Filter: -1, Frame: Frame{End: FrameEdge{Kind: AtCurrent}}}
	}
	rows := func(n int64) Frame {
		return Frame{Mode: FrameRows, Start: FrameEdge{Kind: Preceding, N: n}, End: FrameEdge{Kind: AtCurrent}}
	}
	around := Frame{Start: FrameEdge{Kind: Preceding, Limit: 2}, End: FrameEdge{Kind: Following, Limit: 3}}
	groups := Frame{Mode: FrameGroups, Start: FrameEdge{Kind: Preceding, N: 3}, End: FrameEdge{Kind: Following, N: 2}}
	running := Frame{End: FrameEdge{Kind: AtCurrent}}
	for _, c := range []struct {
		name string
		call OverCall
		at   int64 // key of the row
		most int64 // answers computed
	}{
		{"lag in the middle", plain(OverLag, 1), workRows, 4},
		{"lead far in the middle", plain(OverLead, 10), workRows, 14},
		{"lag at the front", plain(OverLag, 1), -1, 4},
		{"row_number near the end", plain(OverRowNumber, 0), 2*workRows - 9, 6},
		{"rank near the end", plain(OverRank, 0), 2*workRows - 9, 6},
		{"rank of a peer near the end", plain(OverRank, 0), 2*workRows - 10, 6},
		{"dense_rank of a peer", plain(OverDenseRank, 0), workRows, 2},
		{"first_value", plain(OverFirst, 0), workRows + 1, 1},
		{"rows", agg("sum", rows(5)), workRows + 1, 9},
		{"range", agg("sum", around), workRows + 1, 104},
		{"groups", agg("max", groups), workRows + 1, 9},
		{"running sum near the end", agg("sum", running), 2*workRows - 9, 6},
		{"running max in the middle", agg("max", running), workRows + 1, 4},
		{"running count up to 3 rows back, at the end", agg("count", Frame{Mode: FrameRows, End: FrameEdge{Kind: Preceding, N: 3}}), 2*workRows + 9, 8},
		{"running min at the end", agg("min", running), 2*workRows + 9, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorkbench(t, c.call)
			in, out := w.change(1, c.at)
			if in > c.most {
				t.Errorf("a row that comes: %d answers computed, want at most %d", in, c.most)
			}
			if out == 0 {
				t.Error("a row came and nothing was emitted")
			}
			if gone, _ := w.change(-1, c.at); gone > c.most {
				t.Errorf("a row that goes: %d answers computed, want at most %d", gone, c.most)
			}
		})
	}
}

// TestManyChangesOfAPartitionAreOneRenewal: however many rows of a partition change in
// a step, an answer is computed and given once.
func TestManyChangesOfAPartitionAreOneRenewal(t *testing.T) {
	w := newWorkbench(t, OverCall{Fn: OverRowNumber, Ret: types.T(types.Int8), NCol: -1, Default: -1, Filter: -1})
	var keys []int64
	for i := range int64(100) {
		keys = append(keys, 2*i+1)
	}
	computed, emitted := w.change(1, keys...)
	if most := int64(workRows + 100); computed > most || emitted > 2*workRows+100 {
		t.Errorf("%d answers computed and %d changes emitted for 100 rows in a step", computed, emitted)
	}
}
