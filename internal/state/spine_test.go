package state_test

import (
	"fmt"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

func spineRow(k, v int64) []types.Value {
	return []types.Value{types.IntValue(types.Int8, k), types.TextValue(fmt.Sprint(v))}
}

// content reads a snapshot as row -> weight.
func content(s *state.Snapshot) map[string]int64 {
	m := map[string]int64{}
	_ = s.Blocks(func(b *batch.Batch) error { add(m, b); return nil })
	return m
}

// merged checks that Merged gives what Blocks does, in order and each row once.
func merged(t rapid.TB, s *state.Snapshot) {
	got, last := map[string]int64{}, (*batch.Batch)(nil)
	if err := s.Merged(func(b *batch.Batch) error {
		b = batch.Copy(b)
		for i := range b.N {
			before, k := b, i-1
			if i == 0 {
				before, k = last, 0
				if last != nil {
					k = last.N - 1
				}
			}
			if before == nil {
				continue
			}
			if r := batch.CompareRows(before, k, b, i, s.Keys()); r > 0 || r == 0 && batch.CompareWhole(before, k, b, i) >= 0 {
				t.Fatalf("row %v comes after %v", b.RowValues(i), before.RowValues(k))
			}
		}
		last = b
		add(got, b)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := content(s); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("merged %v, blocks %v", got, want)
	}
}

func add(m map[string]int64, b *batch.Batch) {
	for k := range b.Len() {
		i := b.Row(k)
		key := fmt.Sprint(b.RowValues(i))
		if m[key] += b.Weight(i); m[key] == 0 {
			delete(m, key)
		}
	}
}

func TestSpineEqualsModelAndSnapshotsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := []types.Type{types.T(types.Int8), types.T(types.Text)}
		s := state.NewSpine(ts, batch.Ascending(0))
		model := map[string]int64{}
		var snaps []*state.Snapshot
		var wants []string
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			bu := batch.NewBuilder(ts)
			for range rapid.IntRange(0, 30).Draw(t, "rows") {
				k, v := rapid.Int64Range(0, 9).Draw(t, "k"), rapid.Int64Range(0, 3).Draw(t, "v")
				bu.AppendRow(spineRow(k, v), rapid.SampledFrom([]int64{1, 1, 2, -1}).Draw(t, "w"))
			}
			b := bu.Seal()
			add(model, b)
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				s.Append(b)
			case 1:
				s.AppendSealed(b)
			case 2:
				s.AppendSealed(batch.Consolidate(b)) // in order already
			}
			snap := s.Snapshot()
			snaps, wants = append(snaps, snap), append(wants, fmt.Sprint(model))
			merged(t, snap)
			var rows int64
			for _, w := range model {
				rows += w
			}
			if snap.Rows() != rows {
				t.Fatalf("%d rows, want %d", snap.Rows(), rows)
			}
			k := rapid.Int64Range(0, 9).Draw(t, "look")
			key := batch.FromRows(ts[:1], [][]types.Value{{types.IntValue(types.Int8, k)}})
			found := map[string]int64{}
			if err := snap.Lookup(key, func(b *batch.Batch) error { add(found, b); return nil }); err != nil {
				t.Fatal(err)
			}
			want := map[string]int64{}
			for v := range int64(4) {
				name := fmt.Sprint(spineRow(k, v))
				if w := model[name]; w != 0 {
					want[name] = w
				}
			}
			if fmt.Sprint(found) != fmt.Sprint(want) {
				t.Fatalf("lookup %d: got %v, want %v", k, found, want)
			}
		}
		for i, snap := range snaps {
			if got := fmt.Sprint(content(snap)); got != wants[i] {
				t.Fatalf("snapshot %d changed: got %s, want %s", i, got, wants[i])
			}
		}
	})
}

func TestSpineStaysSmall(t *testing.T) {
	ts := []types.Type{types.T(types.Int8), types.T(types.Text)}
	s := state.NewSpine(ts, batch.Ascending(0))
	for step := range int64(3000) {
		bu := batch.NewBuilder(ts)
		for k := range int64(50) {
			if step > 0 {
				bu.AppendRow(spineRow(k, step-1), -1)
			}
			bu.AppendRow(spineRow(k, step), 1)
		}
		s.Append(bu.Seal())
	}
	snap := s.Snapshot()
	if snap.Rows() != 50 {
		t.Fatalf("%d rows", snap.Rows())
	}
	// 150,000 rows came and all but 50 went: what is left must not remember them.
	if snap.Changes() > 5000 || s.Bytes() > 1<<20 {
		t.Fatalf("%d changes, %d bytes held for 50 rows", snap.Changes(), s.Bytes())
	}
}

// TestMergedOverBlocks: runs of several blocks, whose rows lie between each other's or
// take them away.
func TestMergedOverBlocks(t *testing.T) {
	ts := []types.Type{types.T(types.Int8), types.T(types.Text)}
	for _, runs := range [][][3]int64{ // from, every, weight
		{{0, 1, 1}},
		{{0, 1, 1}, {0, 1, -1}},
		{{0, 3, 1}, {1, 3, 1}, {3, 6, -1}},
		{{50000, 1, 1}, {0, 1, 1}, {20000, 7, 2}},
	} {
		s := state.NewSpine(ts, batch.Ascending(0))
		for i, r := range runs {
			bu := batch.NewBuilder(ts)
			for k := range int64(20000 >> (2 * i)) {
				bu.AppendRow(spineRow(r[0]+k*r[1], 0), r[2])
			}
			s.AppendSealed(bu.Seal())
		}
		merged(t, s.Snapshot())
	}
}

// TestMergedRunsAreLetGo: what a spine holds is about what it says.
func TestMergedRunsAreLetGo(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	s := state.NewSpine([]types.Type{types.T(types.Int8), types.T(types.Int8)}, batch.Ascending(0))
	benchSpine(s)
	if held := heap() - before; held > 3*s.Bytes() {
		t.Errorf("a spine of %d bytes holds %d", s.Bytes(), held)
	}
	runtime.KeepAlive(s)
}

func BenchmarkSpineAppend(b *testing.B) {
	ts := []types.Type{types.T(types.Int8), types.T(types.Int8)}
	s := state.NewSpine(ts, batch.Ascending(0))
	x := uint64(1)
	for b.Loop() {
		bu := batch.NewBuilder(ts)
		for range 1000 {
			x = x*6364136223846793005 + 1442695040888963407
			bu.Col(0).AppendInt(bu.Len(), int64(x>>30))
			bu.Col(1).AppendInt(bu.Len(), 1)
			bu.EndRow(1)
		}
		s.Append(bu.View())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
}

// One op is 32 steps of 20,480 rows of four numbers and a text.
func BenchmarkSpineBids(b *testing.B) {
	ts := []types.Type{types.T(types.Int8), types.T(types.Int8), types.T(types.Int8), types.T(types.Text)}
	text := []byte("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")
	var steps []*batch.Batch
	x := uint64(1)
	const rows = 20480
	for step := range 32 {
		bu := batch.NewBuilder(ts)
		for i := range rows {
			x = x*6364136223846793005 + 1442695040888963407
			key := x >> 40 % 2000
			if i%2 == 0 {
				key = uint64(step) * 100
			}
			bu.Col(0).AppendInt(i, int64(key))
			bu.Col(1).AppendInt(i, int64(x>>30%3000))
			bu.Col(2).AppendInt(i, int64(x>>20%10_000_000))
			at := x >> 50 % 26
			bu.Col(3).AppendStr(i, text[at:at+30+x>>10%20])
			bu.EndRow(1)
		}
		steps = append(steps, batch.Consolidate(bu.View()))
	}
	for name, keys := range map[string][]batch.Key{"whole": nil, "byKey": batch.Ascending(2)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := state.NewSpine(ts, keys)
				for _, in := range steps {
					s.AppendSealed(in)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows/32, "ns/row")
		})
	}
}

// benchSpine has 400,000 rows that came in steps of 1,000.
func benchSpine(s *state.Spine) {
	x := uint64(1)
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Int8)})
	for range 400 {
		bu.Reset()
		for range 1000 {
			x = x*6364136223846793005 + 1442695040888963407
			bu.Col(0).AppendInt(bu.Len(), int64(x>>30))
			bu.Col(1).AppendInt(bu.Len(), 1)
			bu.EndRow(1)
		}
		s.Append(bu.View())
	}
}

func BenchmarkSpineLookup(b *testing.B) {
	ts := []types.Type{types.T(types.Int8), types.T(types.Int8)}
	s := state.NewSpine(ts, batch.Ascending(0))
	benchSpine(s)
	snap := s.Snapshot()
	key := batch.NewBuilder(ts[:1])
	x, found := uint64(1), 0
	for b.Loop() {
		x = x*6364136223846793005 + 1442695040888963407
		key.Reset()
		key.Col(0).AppendInt(0, int64(x>>30))
		key.EndRow(1)
		_ = snap.Lookup(key.View(), func(b *batch.Batch) error { found += b.Len(); return nil })
	}
}

func BenchmarkSpineScan(b *testing.B) {
	s := state.NewSpine([]types.Type{types.T(types.Int8), types.T(types.Int8)}, batch.Ascending(0))
	benchSpine(s)
	sum := int64(0)
	for b.Loop() {
		_ = s.Snapshot().Blocks(func(b *batch.Batch) error {
			part := int64(0)
			for _, v := range b.Cols[0].I64 {
				part += v
			}
			sum += part
			return nil
		})
	}
}

// One op is a step of one row.
func BenchmarkSpineTinySteps(b *testing.B) {
	ts := []types.Type{types.T(types.Int8), types.T(types.Int8)}
	s := state.NewSpine(ts, batch.Ascending(0))
	bu := batch.NewBuilder(ts)
	x := uint64(1)
	for b.Loop() {
		x = x*6364136223846793005 + 1442695040888963407
		bu.Reset()
		bu.Col(0).AppendInt(0, int64(x>>30))
		bu.Col(1).AppendInt(0, 1)
		bu.EndRow(1)
		s.Append(bu.View())
	}
}
