package format

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// bidColumns are those of a bid of the Nexmark benchmark.
func bidColumns() []Column {
	return []Column{
		{Name: "auction", Type: types.T(types.Int8)}, {Name: "bidder", Type: types.T(types.Int8)},
		{Name: "price", Type: types.T(types.Int8)}, {Name: "channel", Type: types.T(types.Text)},
		{Name: "url", Type: types.T(types.Text)}, {Name: "dateTime", Type: types.T(types.Timestamp)},
		{Name: "extra", Type: types.T(types.Text)},
	}
}

// bids returns n bids of 260 bytes each with the line end.
func bids(n int) []byte {
	var out []byte
	for i := range n {
		line := fmt.Sprintf(`{"auction":%d,"bidder":%d,"price":%d,"channel":"Apple","url":"https://www.nexmark.com/xkqr/item.htm?query=1&channel_id=%d","dateTime":"2026-03-14 15:09:%02d.%03d","extra":"`,
			1000+i%700, 1000+i*7%9000, 100+i*31%1000000, 1<<30+i, i%60, i%1000)
		line += strings.Repeat("^[bcdefgh ", 30)[:257-len(line)] + `"}` + "\n"
		out = append(out, line...)
	}
	return out
}

func typesOf(cols []Column) []types.Type {
	ts := make([]types.Type, len(cols))
	for i, c := range cols {
		ts[i] = c.Type
	}
	return ts
}

func BenchmarkJSONBid(b *testing.B) {
	const rows = batch.BlockRows
	cols, data := bidColumns(), bids(rows)
	if len(data) != rows*260 {
		b.Fatalf("a bid has %d bytes", len(data)/rows)
	}
	d, bu := NewJSON(cols, Options{}), batch.NewBuilder(typesOf(cols))
	d.Decode(data, bu, func(bad Bad) { b.Fatal(bad.Reason) })
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		bu.Reset()
		d.Decode(data, bu, func(bad Bad) { b.Fatal(bad.Reason) })
		if bu.Len() != rows {
			b.Fatalf("%d rows", bu.Len())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkCSVBid(b *testing.B) {
	const rows = batch.BlockRows
	cols := bidColumns()
	bu := batch.NewBuilder(typesOf(cols))
	NewJSON(cols, Options{}).Decode(bids(rows), bu, func(bad Bad) { b.Fatal(bad.Reason) })
	var data []byte
	for i := range bu.Len() {
		data = AppendCSVRow(data, bu.View(), i, types.Style{})
	}
	d := NewCSV(cols, Options{NoHeader: true})
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		bu.Reset()
		d.Decode(data, bu, func(bad Bad) { b.Fatal(bad.Reason) })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}

func BenchmarkAppendJSONRow(b *testing.B) {
	const rows = batch.BlockRows
	cols := bidColumns()
	bu := batch.NewBuilder(typesOf(cols))
	NewJSON(cols, Options{}).Decode(bids(rows), bu, func(bad Bad) { b.Fatal(bad.Reason) })
	var names []string
	for _, c := range cols {
		names = append(names, c.Name)
	}
	v := bu.View()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		for i := range v.N {
			dst = AppendJSONRow(dst, names, v, i, types.Style{})
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}
