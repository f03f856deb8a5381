package state_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

func benchTable(b *testing.B, blocks []*batch.Batch, cols ...int) {
	var ts []types.Type
	for _, c := range cols {
		ts = append(ts, blocks[0].Cols[c].Type)
	}
	tb := state.New(state.NewMemory(0, nil, nil), ts, 1)
	refs, hashes := make([]state.Ref, batch.BlockRows), make([]uint64, batch.BlockRows)
	var fresh []uint32
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		bl := blocks[n%len(blocks)]
		hashes = batch.HashRows(hashes, bl, cols)
		fresh = tb.FindOrInsert(bl, cols, hashes, refs, fresh[:0])
		for _, r := range refs {
			tb.Payload(r)[0]++
		}
	}
	b.ReportMetric(float64(b.N)*batch.BlockRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkTableIntPair(b *testing.B) { benchTable(b, intBlocks(64, 300), 0, 1) }

func BenchmarkTableText(b *testing.B) {
	blocks := intBlocks(64, 100000)
	for _, bl := range blocks {
		col := batch.Column{Type: types.T(types.Text)}
		for i, v := range bl.Cols[0].I64 {
			col.AppendStr(i, fmt.Appendf(nil, "key number %d", v))
		}
		bl.Cols[0] = col
	}
	benchTable(b, blocks, 0)
}

// The table grows to 2 million keys; the slowest block shows the longest pause.
func BenchmarkTableGrow(b *testing.B) {
	const keys = 2 << 20
	bl := &batch.Batch{N: batch.BlockRows, Cols: []batch.Column{{Type: types.T(types.Int8), I64: make([]int64, batch.BlockRows)}}}
	refs, hashes := make([]state.Ref, batch.BlockRows), make([]uint64, batch.BlockRows)
	var worst time.Duration
	for b.Loop() {
		tb := state.New(state.NewMemory(0, nil, nil), bl.Types(), 2)
		for at := int64(0); at < keys; at += batch.BlockRows {
			for i := range bl.Cols[0].I64 {
				bl.Cols[0].I64[i] = at + int64(i)
			}
			start := time.Now()
			hashes = batch.HashRows(hashes, bl, []int{0})
			tb.FindOrInsert(bl, []int{0}, hashes, refs, nil)
			worst = max(worst, time.Since(start))
		}
		if tb.Len() != keys {
			b.Fatalf("%d keys", tb.Len())
		}
	}
	b.ReportMetric(float64(b.N)*keys/b.Elapsed().Seconds()/1e6, "Mrows/s")
	b.ReportMetric(float64(worst.Microseconds()), "us-longest-block")
}

func TestTableFindsWithoutAllocating(t *testing.T) {
	for _, cols := range [][]int{{0}, {0, 1}} {
		bl := intBlocks(1, 1000)[0]
		tb := state.New(state.NewMemory(0, nil, nil), []types.Type{types.T(types.Int8), types.T(types.Int8)}[:len(cols)], 1)
		refs, hashes := make([]state.Ref, batch.BlockRows), make([]uint64, batch.BlockRows)
		fresh := make([]uint32, 0, batch.BlockRows)
		step := int64(0)
		run := func() {
			step++
			tb.BeginStep(step)
			hashes = batch.HashRows(hashes, bl, cols)
			fresh = tb.FindOrInsert(bl, cols, hashes, refs, fresh[:0])
			for _, r := range refs {
				tb.Touch(r)
			}
		}
		run()
		if n := testing.AllocsPerRun(10, run); n > 1 {
			t.Errorf("%d key columns: %v allocations a block", len(cols), n)
		}
	}
}

// Random updates among 10 million keys, which are in no cache.
func BenchmarkTableBig(b *testing.B) {
	const keys = 10_000_000
	tb := state.New(state.NewMemory(0, nil, nil), []types.Type{types.T(types.Int8)}, 2)
	bl := &batch.Batch{N: batch.BlockRows, Cols: []batch.Column{{Type: types.T(types.Int8), I64: make([]int64, batch.BlockRows)}}}
	refs, hashes := make([]state.Ref, batch.BlockRows), make([]uint64, batch.BlockRows)
	var fresh []uint32
	for at := int64(0); at < keys; at += batch.BlockRows {
		for i := range bl.Cols[0].I64 {
			bl.Cols[0].I64[i] = at + int64(i)
		}
		fresh = tb.FindOrInsert(bl, []int{0}, batch.HashRows(hashes, bl, []int{0}), refs, fresh[:0])
	}
	r := rand.New(rand.NewPCG(5, 6))
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		if n%64 == 0 {
			tb.BeginStep(n / 64)
		}
		for i := range bl.Cols[0].I64 {
			bl.Cols[0].I64[i] = r.Int64N(keys)
		}
		fresh = tb.FindOrInsert(bl, []int{0}, batch.HashRows(hashes, bl, []int{0}), refs, fresh[:0])
		for _, r := range refs {
			p, _ := tb.TouchPayload(r)
			p[0]++
		}
	}
	b.ReportMetric(float64(b.N)*batch.BlockRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
	b.ReportMetric(float64(tb.Bytes())/keys, "B/key")
}
