package flow_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// bidBlocks returns blocks of rows of four numbers and a text of about 50 bytes;
// every second one has one of few keys.
func bidBlocks(blocks int) []*batch.Batch {
	ts := []types.Type{int8T, int8T, int8T, tsT, types.T(types.Text)}
	text := []byte("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")
	out := make([]*batch.Batch, blocks)
	for b := range out {
		bu := batch.NewBuilder(ts)
		for i := range uint64(batch.BlockRows) {
			x := uint64(b)*batch.BlockRows + i
			key := mixed(x) % 2000
			if x%2 == 0 {
				key = 1000 + x/4096
			}
			bu.Col(0).AppendInt(int(i), int64(key))
			bu.Col(1).AppendInt(int(i), int64(mixed(x+1)%3000))
			bu.Col(2).AppendInt(int(i), int64(mixed(x+2)%10_000_000))
			bu.Col(3).AppendInt(int(i), int64(x)*100)
			at := mixed(x+3) % 26
			bu.Col(4).AppendStr(int(i), text[at:at+30+x%20])
			bu.EndRow(1)
		}
		out[b] = bu.Seal()
	}
	return out
}

// One op is a step of ten blocks that goes to an output as it is.
func BenchmarkOutput(b *testing.B) {
	blocks := bidBlocks(10)
	ts := blocks[0].Types()
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: ts},
		{Op: &flow.Output{Name: "o"}, In: []int{0}, Out: ts},
	}}
	for name, workers := range map[string]int{"1": 1, "2": 2} {
		b.Run("workers="+name, func(b *testing.B) {
			g, err := flow.New(spec, flow.Options{Workers: workers})
			if err != nil {
				b.Fatal(err)
			}
			n := int64(0)
			for b.Loop() {
				n++
				if _, _, err := g.Step(n, 0, flow.Feed{Rel: "l", Blocks: blocks}); err != nil {
					b.Fatal(err)
				}
			}
			reportRows(b, len(blocks)*batch.BlockRows)
		})
	}
}

// One op is ten blocks dealt out by key to four workers; all rows are then dropped.
func BenchmarkExchange(b *testing.B) {
	blocks := bidBlocks(10)
	ts := blocks[0].Types()
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: ts},
		{Op: &flow.Aggregate{Keys: []int{0}}, In: []int{0}, Out: ts[:1]},
	}}
	g, err := flow.New(spec, flow.Options{Workers: 4})
	if err != nil {
		b.Fatal(err)
	}
	n := int64(0)
	for b.Loop() {
		n++
		if _, _, err := g.Step(n, 0, flow.Feed{Rel: "l", Blocks: blocks}); err != nil {
			b.Fatal(err)
		}
	}
	reportRows(b, len(blocks)*batch.BlockRows)
}
