package state_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
)

// BenchmarkFreeze is the pause of a freeze, and of the end of the checkpoint, when all pages
// were written since the last one: at random, in memory, or with half of them in the
// scratch file.
func BenchmarkFreeze(b *testing.B) {
	const pages, words = 1 << 15, 128
	for _, spilled := range []bool{false, true} {
		name := "in memory"
		var budget *state.Budget
		if spilled {
			name, budget = "half spilled", state.NewBudget(pages*words*8/2)
		}
		b.Run(name, func(b *testing.B) {
			back := statetest.New()
			mem := state.NewMemory(1, back, budget)
			rows := state.NewPages(mem, words) // a few rows a page
			r := rand.New(rand.NewPCG(1, 2))
			rows.Grow(pages * rows.PageRows())
			order := r.Perm(pages)
			var frozen, done time.Duration
			for b.Loop() {
				for k, n := range order {
					rows.Edit(uint32(n * rows.PageRows()))[0]++
					if k%64 == 0 {
						mem.Rest()
					}
				}
				start := time.Now()
				f := state.Freeze(mem, func(p *state.Persist) { p.Pages(rows) })
				frozen += time.Since(start)
				if _, err := f.Write(back); err != nil {
					b.Fatal(err)
				}
				start = time.Now()
				f.Done(true)
				done += time.Since(start)
				back.Complete()
			}
			b.ReportMetric(float64(frozen.Nanoseconds())/float64(b.N)/pages, "freeze-ns/page")
			b.ReportMetric(float64(done.Nanoseconds())/float64(b.N)/pages, "done-ns/page")
		})
	}
}
