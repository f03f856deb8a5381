package state_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
)

// BenchmarkFreeze is the pause of a freeze when all pages were written since the last
// one: at random, in memory, or with half of them in the scratch file.
func BenchmarkFreeze(b *testing.B) {
	const pages, words = 1 << 15, 128
	for _, spilled := range []bool{false, true} {
		name := "in memory"
		var budget *state.Budget
		if spilled {
			name, budget = "half spilled", state.NewBudget(pages*words*8/2)
		}
		b.Run(name, func(b *testing.B) {
			mem := state.NewMemory(1, statetest.New(), budget)
			rows := state.NewPages(mem, words) // a few rows a page
			r := rand.New(rand.NewPCG(1, 2))
			rows.Grow(pages * rows.PageRows())
			order := r.Perm(pages)
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				for k, n := range order {
					rows.Edit(uint32(n * rows.PageRows()))[0]++
					if k%64 == 0 {
						mem.Rest()
					}
				}
				b.StartTimer()
				f := state.Freeze(mem, func(p *state.Persist) { p.Pages(rows) })
				b.StopTimer()
				f.Done(false)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pages, "ns/page")
		})
	}
}
