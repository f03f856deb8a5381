package flow_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
)

// TestFinalMatchesKeepNoState feeds partitions that come and go: what a pattern holds is
// as much after many rows as after few, and a partition without open match is gone.
func TestFinalMatchesKeepNoState(t *testing.T) {
	const steps, blocks = 60, 2
	for _, s := range matchShapes() {
		t.Run(s.name, func(t *testing.T) {
			g := matchGroup(t, s, true, 20000)
			rows, early := int64(0), int64(0)
			for n := range steps {
				in := matchRows(blocks, 500, rows)
				for _, b := range in { // partitions of their own every few steps
					for i := range b.Cols[0].I64 {
						b.Cols[0].I64[i] += int64(n/5) * 500
					}
				}
				rows += blocks * batch.BlockRows
				res, errs, err := g.Step(int64(n), 0, flow.Feed{Rel: "l", Blocks: in, Marks: []int64{flow.NoMark, rows - 5000, flow.NoMark}})
				if err != nil || errs.Total > 0 {
					t.Fatal(err, errs.Total)
				}
				if n > 3 && res[0].Batch.Len() == 0 {
					t.Fatalf("step %d gives nothing", n)
				}
				switch held := flow.StateBytesOf(g); {
				case n == steps/3:
					early = held
				case n > steps/3 && held > early*3/2:
					t.Fatalf("%d bytes after %d rows, %d after a third of them", held, rows, early)
				}
			}
			// With nothing but time passing, every search ends.
			if _, _, err := g.Step(steps, 0, flow.Feed{Rel: "l", Marks: []int64{flow.NoMark, rows + 100000, flow.NoMark}}); err != nil {
				t.Fatal(err)
			}
			if n := flow.PartitionsOf(g); n != 0 {
				t.Fatalf("%d partitions are left", n)
			}
		})
	}
}
