package batch_test

import (
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// benchRows is how many rows the benchmarks below work on.
const benchRows = 100_000

// draw is a small generator of numbers for benchmarks.
type draw uint64

func (d *draw) below(n uint64) uint64 {
	*d = *d*6364136223846793005 + 1442695040888963407
	return uint64(*d) >> 33 % n
}

// ints returns rows of four integers; the first has few values, as keys do.
func ints(n int, sorted bool) *batch.Batch {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Int8), types.T(types.Int8), types.T(types.Timestamp)})
	d := draw(1)
	for i := range n {
		key := d.below(2000)
		if sorted {
			key = uint64(i)
		}
		bu.Col(0).AppendInt(i, int64(key))
		bu.Col(1).AppendInt(i, int64(d.below(5000)))
		bu.Col(2).AppendInt(i, int64(d.below(100_000_000)))
		bu.Col(3).AppendInt(i, 490_000_000_000_000+int64(i)*100)
		bu.EndRow(1)
	}
	return bu.Seal()
}

// bids returns rows like Nexmark's: every second one is of a hot auction, and the
// last column is text of about 50 bytes.
func bids(n int) *batch.Batch {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Int8), types.T(types.Int8), types.T(types.Timestamp), types.T(types.Text)})
	d := draw(1)
	var text []byte
	for i := range n {
		auction := 1000 + d.below(uint64(100+i/16))
		if d.below(2) == 0 {
			auction = 1000 + uint64(i)/16/100*100
		}
		text = text[:0]
		for range 30 + d.below(40) {
			text = append(text, byte('a'+d.below(26)))
		}
		bu.Col(0).AppendInt(i, int64(auction))
		bu.Col(1).AppendInt(i, int64(1000+d.below(uint64(1000+i/50))))
		bu.Col(2).AppendInt(i, int64(100+d.below(10_000_000)))
		bu.Col(3).AppendInt(i, 490_000_000_000_000+int64(i)*100)
		bu.Col(4).AppendStr(i, text)
		bu.EndRow(1)
	}
	return bu.Seal()
}

// words returns rows of two short texts and a number.
func words(n int) *batch.Batch {
	bu := batch.NewBuilder([]types.Type{types.T(types.Text), types.T(types.Text), types.T(types.Int8)})
	d := draw(1)
	for i := range n {
		bu.Col(0).AppendStr(i, fmt.Appendf(nil, "channel-%d", d.below(1000)))
		bu.Col(1).AppendStr(i, fmt.Appendf(nil, "https://example.org/%d/item", d.below(100_000)))
		bu.Col(2).AppendInt(i, int64(d.below(1000)))
		bu.EndRow(1)
	}
	return bu.Seal()
}

// cancelling returns the rows of b, nine tenths of which are withdrawn by others.
func cancelling(b *batch.Batch) *batch.Batch {
	bu := batch.NewBuilder(b.Types())
	d := draw(1)
	for i := range b.N / 2 {
		bu.AppendFrom(b, i, 1)
		if j := d.below(uint64(i + 1)); i%10 > 0 {
			bu.AppendFrom(b, int(j), -1)
		}
	}
	return bu.Seal()
}

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

func BenchmarkConsolidate(b *testing.B) {
	for _, c := range []struct {
		name string
		in   *batch.Batch
	}{
		{"ints", ints(benchRows, false)}, {"sorted", ints(benchRows, true)}, {"bids", bids(benchRows)},
		{"words", words(benchRows)}, {"cancelling", cancelling(bids(benchRows))}, {"small", ints(100, false)},
	} {
		b.Run(c.name, func(b *testing.B) {
			var cs batch.Consolidator
			b.ReportAllocs()
			for b.Loop() {
				cs.Consolidate(c.in, nil)
			}
			perRow(b, c.in.N)
		})
	}
}

func BenchmarkDigest(b *testing.B) {
	for name, in := range map[string]*batch.Batch{"ints": ints(benchRows, false), "bids": bids(benchRows), "words": words(benchRows)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				batch.DigestOf(in)
			}
			perRow(b, in.N)
		})
	}
}

// BenchmarkAppendBatch copies nine rows in ten.
func BenchmarkAppendBatch(b *testing.B) {
	for name, in := range map[string]*batch.Batch{"ints": ints(benchRows, false), "bids": bids(benchRows)} {
		b.Run(name, func(b *testing.B) {
			for i := range in.N {
				if i%10 > 0 {
					in.Sel = append(in.Sel, uint32(i))
				}
			}
			bu := batch.NewBuilder(in.Types())
			b.ReportAllocs()
			for b.Loop() {
				bu.Reset()
				bu.AppendBatch(in)
			}
			perRow(b, in.Len())
		})
	}
}
