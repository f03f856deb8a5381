package batch_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// This file compares sorting, consolidation, copies and digests with models that
// take one row at a time and compare whole rows, over values of all layouts that
// are hard to tell apart.

// hardValues are values by type; some are equal in SQL but not identical, some have
// long parts in common, some do not fit the keys that rows are sorted by.
var hardValues = func() map[types.Kind][]types.Value {
	dec := func(s string) types.Value {
		v, err := types.Parse(types.T(types.Numeric), s, types.Style{})
		if err != nil {
			panic(err)
		}
		return v
	}
	ivl := func(months, days int32, micros int64) types.Value {
		return types.Value{T: types.T(types.Interval), V: types.IntervalVal{Months: months, Days: days, Micros: micros}}
	}
	m := map[types.Kind][]types.Value{}
	for _, i := range []int64{0, 1, -1, 2, 255, 256, 1 << 40, math.MaxInt64, math.MinInt64} {
		m[types.Int8] = append(m[types.Int8], types.IntValue(types.Int8, i))
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 1, -1, math.NaN(), -math.NaN(), math.Inf(1), math.Inf(-1), 1e-300, 0x1p60} {
		m[types.Float8] = append(m[types.Float8], types.FloatValue(f))
	}
	big := strings.Repeat("9", 60)
	for _, s := range []string{"0", "1.0", "1.00", "1", "-1.0", "12345.67", "NaN", "Infinity", "-Infinity", big, "-" + big, big + ".0", big + "1", "170141183460469231731687303715884105727"} {
		m[types.Numeric] = append(m[types.Numeric], dec(s))
	}
	m[types.Interval] = []types.Value{ivl(0, 0, 0), ivl(1, 0, 0), ivl(0, 30, 0), ivl(0, 29, 86400e6), ivl(-1, 0, 5), ivl(math.MaxInt32, 1, 1)}
	long := strings.Repeat("same ", 20)
	for _, s := range []string{"", "a", "a\x01", "ab", "abcdefgh", "abcdefghi", "abcdefgh\x01", long, long + "a", long + "b", long + "abcdefghijklm", "\xff\xff"} {
		m[types.Text] = append(m[types.Text], types.TextValue(s))
	}
	m[types.Bool] = []types.Value{types.BoolValue(false), types.BoolValue(true)}
	return m
}()

var hardTypes = []types.Kind{types.Int8, types.Float8, types.Numeric, types.Interval, types.Text, types.Bool, types.Unknown}

// hardRows draws a batch of one to four columns of any types.
func hardRows(t *rapid.T) *batch.Batch {
	ts := make([]types.Type, rapid.IntRange(1, 4).Draw(t, "columns"))
	for i := range ts {
		ts[i] = types.T(rapid.SampledFrom(hardTypes).Draw(t, "type"))
	}
	return hardRowsOf(t, ts)
}

// hardRowsOf draws rows of the given types, few or enough for every way of sorting,
// in order or not, with a selection, NULLs and weights or without.
func hardRowsOf(t *rapid.T, ts []types.Type) *batch.Batch {
	n := rapid.SampledFrom([]int{0, 1, 3, 20, 150, 400}).Draw(t, "rows")
	d := draw(rapid.Uint64().Draw(t, "seed"))
	nulls, weights, sel := d.below(2) == 0, d.below(2) == 0, d.below(2) == 0
	few := 1 + d.below(20) // values of a column that come up
	bu := batch.NewBuilder(ts)
	row := make([]types.Value, len(ts))
	for range n {
		for c, ct := range ts {
			vs := hardValues[ct.Kind]
			switch {
			case len(vs) == 0 || nulls && d.below(4) == 0:
				row[c] = types.NullOf(ct)
			case ct.Kind == types.Int8 && few > 15:
				row[c] = types.IntValue(types.Int8, int64(d.below(100)))
			default:
				row[c] = vs[d.below(min(few, uint64(len(vs))))]
			}
		}
		w := int64(1)
		if weights {
			w = int64(d.below(5)) - 2
		}
		bu.AppendRow(row, w)
	}
	b := bu.Seal()
	if sel {
		b.Sel = []uint32{}
		for i := range b.N {
			if d.below(5) > 0 {
				b.Sel = append(b.Sel, uint32(i))
			}
		}
	}
	if d.below(4) == 0 {
		b = batch.Consolidate(b)
	}
	return b
}

func hardKeys(t *rapid.T, b *batch.Batch) []batch.Key {
	keys := make([]batch.Key, rapid.IntRange(0, 2).Draw(t, "keys"))
	for i := range keys {
		keys[i] = batch.Key{Col: rapid.IntRange(0, len(b.Cols)-1).Draw(t, "key"), Desc: rapid.Bool().Draw(t, "desc"), NullsFirst: rapid.Bool().Draw(t, "first")}
	}
	return keys
}

// modelSort sorts by comparing whole rows.
func modelSort(b *batch.Batch, keys []batch.Key) []uint32 {
	var rows []uint32
	for k := range b.Len() {
		rows = append(rows, uint32(b.Row(k)))
	}
	slices.SortStableFunc(rows, func(x, y uint32) int {
		if r := batch.CompareRows(b, int(x), b, int(y), keys); r != 0 {
			return r
		}
		return batch.CompareWhole(b, int(x), b, int(y))
	})
	return rows
}

// modelConsolidate adds up neighbours in order, row by row.
func modelConsolidate(b *batch.Batch, keys []batch.Key) *batch.Batch {
	rows := modelSort(b, keys)
	bu := batch.NewBuilder(b.Types())
	for k := 0; k < len(rows); {
		i, w := int(rows[k]), int64(0)
		for ; k < len(rows) && batch.CompareWhole(b, i, b, int(rows[k])) == 0; k++ {
			w += b.Weight(int(rows[k]))
		}
		if w != 0 {
			bu.AppendFrom(b, i, w)
		}
	}
	return bu.Seal()
}

// mustEqual fails unless two batches without Sel have identical rows in the same order.
func mustEqual(t *rapid.T, what string, got, want *batch.Batch) {
	t.Helper()
	if got.N != want.N || got.Sel != nil {
		t.Fatalf("%s: %d rows, want %d", what, got.N, want.N)
	}
	for i := range got.N {
		if batch.CompareWhole(got, i, want, i) != 0 || got.Weight(i) != want.Weight(i) {
			t.Fatalf("%s: row %d is %v with %d, want %v with %d", what, i, got.RowValues(i), got.Weight(i), want.RowValues(i), want.Weight(i))
		}
	}
}

func TestSortEqualsModel(t *testing.T) {
	var s batch.Sorter
	rapid.Check(t, func(t *rapid.T) {
		b := hardRows(t)
		keys := hardKeys(t, b)
		if got, want := s.Sort(nil, b, keys), modelSort(b, keys); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestConsolidateEqualsModel(t *testing.T) {
	var cs batch.Consolidator
	rapid.Check(t, func(t *rapid.T) {
		b := hardRows(t)
		keys := hardKeys(t, b)
		want := modelConsolidate(b, keys)
		got := cs.Consolidate(b, keys)
		mustEqual(t, "consolidated", got, want)
		sealed := cs.ConsolidateSealed(b, keys)
		mustEqual(t, "sealed", sealed, want)
		if cs.ConsolidateSealed(sealed, keys) != sealed {
			t.Fatal("a canonical batch was copied")
		}
		bu := batch.NewBuilder(b.Types())
		bu.AppendBatch(b)
		taken := cs.Take(bu, keys)
		// What comes into the builder later may not be seen in what it gave away.
		bu.AppendBatch(b)
		mustEqual(t, "taken", taken, want)
		mustEqual(t, "builder used again", cs.Take(bu, keys), want)
		mustEqual(t, "taken, later", taken, want)
		if d := batch.DigestOf(b); d != batch.DigestOf(got) || d != batch.DigestOf(want) {
			t.Fatalf("digest %v, consolidated %v, by the model %v", d, batch.DigestOf(got), batch.DigestOf(want))
		}
	})
}

// TestDigestTellsApart: sets that differ in one value, however little, or in one
// weight, have different digests.
func TestDigestTellsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := []types.Type{types.T(rapid.SampledFrom(hardTypes).Draw(t, "type")), types.T(types.Int8), types.T(types.Text)}
		a, b := batch.Consolidate(hardRowsOf(t, ts)), batch.Consolidate(hardRowsOf(t, ts))
		same := a.N == b.N
		for i := 0; same && i < a.N; i++ {
			same = batch.CompareWhole(a, i, b, i) == 0 && a.Weight(i) == b.Weight(i)
		}
		da, db := batch.DigestOf(a), batch.DigestOf(b)
		if same != (da == db) {
			t.Fatalf("same is %v, digests %v and %v", same, da, db)
		}
		if !same && (da.Hi == db.Hi || da.Lo == db.Lo) {
			t.Fatalf("half of the digests agrees: %v and %v", da, db)
		}
	})
}

// TestDigestOfSums: values whose sums agree do not make sets whose digests do.
func TestDigestOfSums(t *testing.T) {
	seen := map[uint64][2]int64{}
	ts := []types.Type{types.T(types.Int8)}
	for i := range int64(200) {
		for j := i; j < 200; j++ {
			bu := batch.NewBuilder(ts)
			bu.Col(0).AppendInt(0, i)
			bu.EndRow(1)
			bu.Col(0).AppendInt(1, j)
			bu.EndRow(1)
			d := batch.DigestOf(bu.View())
			for _, half := range []uint64{d.Hi, d.Lo} {
				if old, ok := seen[half]; ok {
					t.Fatalf("%d and %d have half a digest in common with %v", i, j, old)
				}
				seen[half] = [2]int64{i, j}
			}
		}
	}
	// Columns change places.
	two := []types.Type{types.T(types.Text), types.T(types.Text)}
	a := batch.FromRows(two, [][]types.Value{{types.TextValue("a"), types.TextValue("")}})
	b := batch.FromRows(two, [][]types.Value{{types.TextValue(""), types.TextValue("a")}})
	c := batch.FromRows(two, [][]types.Value{{types.NullOf(two[0]), types.TextValue("a")}})
	if batch.DigestOf(a) == batch.DigestOf(b) || batch.DigestOf(b) == batch.DigestOf(c) {
		t.Fatal("two rows with one digest")
	}
}

// TestAppendRangeEqualsModel appends parts of batches to builders that hold rows already.
func TestAppendRangeEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := hardRows(t)
		bu, model := batch.NewBuilder(first.Types()), batch.NewBuilder(first.Types())
		for _, b := range []*batch.Batch{first, hardRowsOf(t, first.Types()), hardRowsOf(t, first.Types())} {
			lo := rapid.IntRange(0, b.Len()).Draw(t, "lo")
			hi := rapid.IntRange(lo, b.Len()).Draw(t, "hi")
			bu.AppendRange(b, lo, hi)
			for k := lo; k < hi; k++ {
				model.AppendFrom(b, b.Row(k), b.Weight(b.Row(k)))
			}
		}
		mustEqual(t, "appended", bu.View(), model.View())
		if got, want := bu.SizeBytes(), model.SizeBytes(); got > want+want/4+64 {
			t.Fatalf("%d bytes, row by row %d", got, want)
		}
	})
}

// TestConsolidateLarge: enough rows for wide digits, in ascending parts, and repeated.
func TestConsolidateLarge(t *testing.T) {
	var cs batch.Consolidator
	for name, b := range map[string]*batch.Batch{
		"ints": ints(20_000, false), "bids": bids(20_000), "words": words(20_000), "cancelling": cancelling(bids(20_000)),
	} {
		parts := batch.NewBuilder(b.Types())
		for lo := 0; lo < b.N; lo += 7000 {
			bu := batch.NewBuilder(b.Types())
			bu.AppendRange(b, lo, min(lo+7000, b.N))
			parts.AppendBatch(cs.Take(bu, nil))
		}
		want := modelConsolidate(b, nil)
		for how, got := range map[string]*batch.Batch{"at once": cs.Consolidate(b, nil), "merged": cs.Take(parts, nil)} {
			if got.N != want.N {
				t.Fatalf("%s %s: %d rows, want %d", name, how, got.N, want.N)
			}
			for i := range got.N {
				if batch.CompareWhole(got, i, want, i) != 0 || got.Weight(i) != want.Weight(i) {
					t.Fatalf("%s %s: row %d is %v, want %v", name, how, i, got.RowValues(i), want.RowValues(i))
				}
			}
		}
	}
}
