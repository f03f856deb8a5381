package batch_test

import (
	"fmt"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

var rowTypes = []types.Type{types.T(types.Int8), types.T(types.Text), types.T(types.Float8), types.T(types.Bool)}

// genRow draws a row from few values, so that rows repeat and NULLs come up.
func genRow(t *rapid.T) []types.Value {
	row := []types.Value{
		types.IntValue(types.Int8, rapid.Int64Range(-2, 2).Draw(t, "i")),
		types.TextValue(rapid.SampledFrom([]string{"", "a", "ab", "abcdefgh", "abcdefghi"}).Draw(t, "s")),
		types.FloatValue(rapid.SampledFrom([]float64{-1.5, 0, 2.25}).Draw(t, "f")),
		types.BoolValue(rapid.Bool().Draw(t, "b")),
	}
	for i := range row {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			row[i] = types.NullOf(row[i].T)
		}
	}
	return row
}

// genBatch draws a batch with weights and a selection, and the Z-set it stands for.
func genBatch(t *rapid.T) (*batch.Batch, map[string]int64) {
	bu := batch.NewBuilder(rowTypes)
	want := map[string]int64{}
	sel := []uint32{}
	n := rapid.IntRange(0, 200).Draw(t, "rows")
	for i := range n {
		row := genRow(t)
		w := rapid.Int64Range(-2, 2).Draw(t, "w")
		bu.AppendRow(row, w)
		if rapid.IntRange(0, 9).Draw(t, "sel") > 0 {
			sel = append(sel, uint32(i))
			want[fmt.Sprint(row)] += w
		}
	}
	b := bu.Seal()
	if len(sel) < n {
		b.Sel = sel
	}
	for k, w := range want {
		if w == 0 {
			delete(want, k)
		}
	}
	return b, want
}

func contents(bs ...*batch.Batch) map[string]int64 {
	m := map[string]int64{}
	for _, b := range bs {
		for k := range b.Len() {
			i := b.Row(k)
			key := fmt.Sprint(b.RowValues(i))
			if m[key] += b.Weight(i); m[key] == 0 {
				delete(m, key)
			}
		}
	}
	return m
}

func TestConsolidateSumsAndSorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, want := genBatch(t)
		got := batch.Consolidate(b)
		if got.N != len(want) {
			t.Fatalf("%d rows, want %d", got.N, len(want))
		}
		if fmt.Sprint(contents(got)) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", contents(got), want)
		}
		if !sort.SliceIsSorted(make([]int, got.N), func(i, j int) bool { return batch.CompareWhole(got, i, got, j) < 0 }) {
			t.Fatal("not in order")
		}
	})
}

func TestSortByKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, _ := genBatch(t)
		keys := []batch.Key{
			{Col: rapid.IntRange(0, 3).Draw(t, "c0"), Desc: rapid.Bool().Draw(t, "d0"), NullsFirst: rapid.Bool().Draw(t, "n0")},
			{Col: rapid.IntRange(0, 3).Draw(t, "c1"), Desc: rapid.Bool().Draw(t, "d1"), NullsFirst: rapid.Bool().Draw(t, "n1")},
		}
		var s batch.Sorter
		rows := s.Sort(nil, b, keys)
		if len(rows) != b.Len() {
			t.Fatalf("%d rows of %d", len(rows), b.Len())
		}
		for k := 1; k < len(rows); k++ {
			if batch.CompareRows(b, int(rows[k-1]), b, int(rows[k]), keys) > 0 {
				t.Fatalf("rows %d and %d out of order", rows[k-1], rows[k])
			}
		}
	})
}

func TestDigestIgnoresOrderAndCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, want := genBatch(t)
		if d := batch.DigestOf(batch.Consolidate(b)); d != batch.DigestOf(b) {
			t.Fatal("digest changed by consolidation")
		}
		other, otherWant := genBatch(t)
		if fmt.Sprint(want) != fmt.Sprint(otherWant) && batch.DigestOf(b) == batch.DigestOf(other) {
			t.Fatal("two sets with one digest")
		}
		both := batch.NewBuilder(rowTypes)
		both.AppendBatch(other)
		both.AppendBatch(b)
		if batch.DigestOf(both.View()) != batch.DigestOf(b).Add(batch.DigestOf(other)) {
			t.Fatal("digests do not add up")
		}
	})
}

func TestHashRowsAgreesOnEqualRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, _ := genBatch(t)
		cols := []int{0, 1, 2, 3}
		hs := batch.HashRows(make([]uint64, b.Len()), b, cols)
		seen := map[string]uint64{}
		for k, h := range hs {
			key := fmt.Sprint(b.RowValues(b.Row(k)))
			if old, ok := seen[key]; ok && old != h {
				t.Fatalf("row %s hashes to %x and %x", key, old, h)
			}
			seen[key] = h
		}
		back := map[uint64]string{}
		for key, h := range seen {
			if other, ok := back[h]; ok {
				t.Fatalf("%s and %s hash alike", key, other)
			}
			back[h] = key
		}
	})
}

func TestGatherAndSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, _ := genBatch(t)
		var rows []uint32
		for range rapid.IntRange(0, 50).Draw(t, "picks") {
			if b.N > 0 {
				rows = append(rows, uint32(rapid.IntRange(0, b.N-1).Draw(t, "row")))
			}
		}
		var g batch.Batch
		batch.Gather(&g, b, rows)
		for k, i := range rows {
			if fmt.Sprint(g.RowValues(k)) != fmt.Sprint(b.RowValues(int(i))) || g.Weight(k) != b.Weight(int(i)) {
				t.Fatalf("row %d differs", k)
			}
		}
		b.Sel = nil
		if b.N > 64 {
			s := batch.Slice(b, 64, b.N)
			for i := range s.N {
				if fmt.Sprint(s.RowValues(i)) != fmt.Sprint(b.RowValues(i+64)) {
					t.Fatalf("slice row %d differs", i)
				}
			}
		}
		if fmt.Sprint(contents(batch.Copy(b))) != fmt.Sprint(contents(b)) {
			t.Fatal("copy differs")
		}
	})
}

func TestBuilderReuseForgetsNullsAndWeights(t *testing.T) {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int4)})
	bu.AppendRow([]types.Value{types.NullOf(types.T(types.Int4))}, -1)
	bu.Reset()
	bu.AppendRow([]types.Value{types.IntValue(types.Int4, 7)}, 1)
	v := bu.View()
	if v.N != 1 || v.Cols[0].Null(0) || v.Weight(0) != 1 {
		t.Fatalf("got %v with weight %d", v.RowValues(0), v.Weight(0))
	}
}

func BenchmarkConsolidateInts(b *testing.B) {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Int8)})
	x := uint64(1)
	for range batch.BlockRows {
		x = x*6364136223846793005 + 1442695040888963407
		bu.Col(0).AppendInt(bu.Len(), int64(x>>40))
		bu.Col(1).AppendInt(bu.Len(), int64(x>>20&0xff))
		bu.EndRow(1)
	}
	in := bu.Seal()
	var cs batch.Consolidator
	b.ReportAllocs()
	for b.Loop() {
		cs.Consolidate(in, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch.BlockRows, "ns/row")
}

// BenchmarkGatherStrings keeps one row in ten of a block of 40-byte strings, as
// views (what Column does) and as ascending offsets with the bytes copied.
func BenchmarkGatherStrings(b *testing.B) {
	bu := batch.NewBuilder([]types.Type{types.T(types.Text)})
	for i := range batch.BlockRows {
		bu.Col(0).AppendStr(i, []byte(fmt.Sprintf("%040d", i)))
		bu.EndRow(1)
	}
	in := bu.Seal()
	var rows []uint32
	for i := uint32(0); i < batch.BlockRows; i += 10 {
		rows = append(rows, i)
	}
	b.Run("views", func(b *testing.B) {
		var out batch.Column
		for b.Loop() {
			batch.GatherColumn(&out, &in.Cols[0], rows)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
	})
	b.Run("offsets", func(b *testing.B) {
		var off []int32
		var text []byte
		for b.Loop() {
			off, text = append(off[:0], 0), text[:0]
			for _, i := range rows {
				text = append(text, in.Cols[0].StrAt(int(i))...)
				off = append(off, int32(len(text)))
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
	})
}
