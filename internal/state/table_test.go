package state_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

func TestTableEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := drawTypes(t, 0)
		tb, model := state.New(state.NewMemory(0, nil, nil), ts, 2), map[string]uint64{}
		cols := columns(len(ts))
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			tb.BeginStep(int64(step / 2)) // a step may be done again
			b := drawBatch(t, ts, 40, []int64{1})
			touchRows(t, tb, model, b, cols)
			for _, r := range tb.Dirty() {
				p := tb.Payload(r)
				if p[1] != p[0] {
					t.Fatalf("dirty key's payload is %v", p)
				}
			}
			deleteRows(t, tb, model, drawBatch(t, ts, 20, []int64{1}), cols)
			checkTable(t, tb, model, ts)
		}
	})
}

// touchRows counts each row's key in both payload words.
func touchRows(t *rapid.T, tb *state.Table, model map[string]uint64, b *batch.Batch, cols []int) {
	refs := make([]state.Ref, b.Len())
	fresh := map[uint32]bool{}
	for _, k := range tb.FindOrInsert(b, cols, hashesOf(b, cols), refs, nil) {
		fresh[k] = true
	}
	first := map[state.Ref]bool{}
	for k, r := range refs {
		key := keyText(b.RowValues(b.Row(k)))
		if _, ok := model[key]; ok == fresh[uint32(k)] {
			t.Fatalf("row %d, key %s: fresh is %v", k, key, !ok)
		}
		model[key]++
		if got := tb.Touch(r); got == first[r] {
			t.Fatalf("row %d: Touch says first is %v", k, got)
		}
		first[r] = true
		tb.Payload(r)[0]++
		tb.Payload(r)[1]++
	}
}

func deleteRows(t *rapid.T, tb *state.Table, model map[string]uint64, b *batch.Batch, cols []int) {
	refs, hashes := make([]state.Ref, b.Len()), hashesOf(b, cols)
	tb.Find(b, cols, hashes, refs)
	gone := map[state.Ref]bool{}
	for k, r := range refs {
		key := keyText(b.RowValues(b.Row(k)))
		if n, ok := model[key]; ok != (r != state.NoRef) && !gone[r] || ok && tb.Payload(r)[0] != n {
			t.Fatalf("key %s: ref %x, model has it: %v", key, r, ok)
		}
		if r != state.NoRef && !gone[r] {
			gone[r] = true
			delete(model, key)
			tb.Delete(r)
		}
	}
}

func checkTable(t *rapid.T, tb *state.Table, model map[string]uint64, ts []types.Type) {
	if tb.Len() != len(model) {
		t.Fatalf("%d keys, want %d", tb.Len(), len(model))
	}
	out := batch.NewBuilder(ts)
	var counts []uint64
	var refs []state.Ref
	tb.All(func(r state.Ref) bool {
		cols := make([]batch.Column, len(ts))
		for c := range cols {
			cols[c].Type = ts[c]
		}
		tb.AppendKey(r, cols, 0)
		b := batch.Batch{Cols: cols, N: 1}
		out.AppendFrom(&b, 0, 1)
		counts, refs = append(counts, tb.Payload(r)[0]), append(refs, r)
		return true
	})
	for i, b := 0, out.Seal(); i < b.N; i++ {
		if key := keyText(b.RowValues(i)); model[key] != counts[i] {
			t.Fatalf("key %s counts %d, want %d", key, counts[i], model[key])
		}
	}
	all := make([]batch.Column, len(ts))
	for c := range all {
		all[c].Type = ts[c]
	}
	tb.GatherKeys(refs, all, 0)
	b := batch.Batch{Cols: all, N: len(refs)}
	for i := range b.N {
		if key := keyText(b.RowValues(i)); model[key] != counts[i] {
			t.Fatalf("gathered key %s counts %d, want %d", key, counts[i], model[key])
		}
	}
}

func TestTableKeepsOneFormOfEqualKeys(t *testing.T) {
	ts := []types.Type{types.T(types.Numeric), types.T(types.Float8), types.T(types.Interval)}
	rows := [][]types.Value{
		{{T: ts[0], D: types.Decimal{Lo: 110, Scale: 2}}, {T: ts[1], F: 0}, {T: ts[2], V: types.IntervalVal{Days: 31}}},
		{{T: ts[0], D: types.Decimal{Lo: 11, Scale: 1}}, {T: ts[1], F: negZero()}, {T: ts[2], V: types.IntervalVal{Months: 1, Micros: 86400e6}}},
	}
	print := func(order ...int) string {
		bu := batch.NewBuilder(ts)
		for _, i := range order {
			bu.AppendRow(rows[i], 1)
		}
		b := bu.Seal()
		tb, cols, refs := state.New(state.NewMemory(0, nil, nil), ts, 0), columns(3), make([]state.Ref, 2)
		tb.FindOrInsert(b, cols, hashesOf(b, cols), refs, nil)
		if refs[0] != refs[1] {
			t.Fatalf("equal keys have rows %x and %x", refs[0], refs[1])
		}
		out := batch.NewBuilder(ts).View()
		tb.AppendKey(refs[0], out.Cols, 0)
		return fmt.Sprint(out.RowValues(0))
	}
	if a, b := print(0, 1), print(1, 0); a != b {
		t.Errorf("kept %s or %s, by order of arrival", a, b)
	}
}

func negZero() float64 { z := 0.0; return -1 * z }

func TestTableGivesMemoryBack(t *testing.T) {
	ts := []types.Type{types.T(types.Text)}
	tb := state.New(state.NewMemory(0, nil, nil), ts, 1)
	empty := tb.Bytes()
	bytesAt := func(round int) int64 {
		bu := batch.NewBuilder(ts)
		for i := range 50000 {
			bu.AppendRow([]types.Value{types.TextValue(fmt.Sprintf("round %d, key %d, with some text", round, i))}, 1)
		}
		b := bu.Seal()
		refs := make([]state.Ref, b.N)
		tb.FindOrInsert(b, []int{0}, hashesOf(b, []int{0}), refs, nil)
		full := tb.Bytes()
		for _, r := range refs {
			tb.Delete(r)
		}
		return full
	}
	first, last := bytesAt(0), int64(0)
	for round := range 20 {
		last = bytesAt(round + 1)
	}
	if last > first+first/4 {
		t.Errorf("%d bytes at first and %d after 20 rounds of as many keys", first, last)
	}
	if tb.Len() != 0 || tb.Bytes() > empty+1<<20 {
		t.Errorf("empty table has %d keys, %d bytes", tb.Len(), tb.Bytes())
	}
}

// intBlocks makes blocks of one bigint column with values below keys.
func intBlocks(n, keys int) []*batch.Batch {
	r := rand.New(rand.NewPCG(1, 2))
	bs := make([]*batch.Batch, n)
	for i := range bs {
		b := &batch.Batch{N: batch.BlockRows, Cols: []batch.Column{{Type: types.T(types.Int8)}, {Type: types.T(types.Int8)}}}
		for range b.N {
			b.Cols[0].I64 = append(b.Cols[0].I64, r.Int64N(int64(keys)))
			b.Cols[1].I64 = append(b.Cols[1].I64, r.Int64N(1000))
		}
		bs[i] = b
	}
	return bs
}

func BenchmarkTableInt(b *testing.B) {
	blocks := intBlocks(256, 100000)
	tb := state.New(state.NewMemory(0, nil, nil), []types.Type{types.T(types.Int8)}, 3)
	refs, hashes := make([]state.Ref, batch.BlockRows), make([]uint64, batch.BlockRows)
	cols := []int{0}
	var fresh []uint32
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		bl := blocks[n%len(blocks)]
		if n%64 == 0 {
			tb.BeginStep(int64(n / 64))
		}
		hashes = batch.HashRows(hashes, bl, cols)
		fresh = tb.FindOrInsert(bl, cols, hashes, refs, fresh[:0])
		for k, r := range refs {
			p, _ := tb.TouchPayload(r)
			p[0]++
			p[1] += uint64(bl.Cols[1].I64[k])
		}
	}
	b.ReportMetric(float64(b.N)*batch.BlockRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
