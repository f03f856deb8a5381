package sim

import (
	"flag"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seeds     = flag.Int("seeds", 300, "how many seeds TestSeeds runs")
	seedStart = flag.Uint64("seed-start", 1, "the first of them")
	flips     = flag.Int("flips", 0, "in how many of 1000 deaths of a process a bit of its disk turns over; 0: the seed says")
	giveUp    = flag.Int("give-up", 3, "after how many failing seeds the others are not run")
)

// TestMain lets garbage pile up: worlds are small and many.
func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}

// TestSeeds runs seeds one after the other, as many at a time as there are processors.
func TestSeeds(t *testing.T) {
	total := runSeeds(t, *seedStart, *seeds, Options{Flips: *flips})
	for _, name := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%8d  %s", total[name], name)
	}
	if *seeds < manySeeds || t.Failed() {
		return
	}
	for _, name := range rarePaths {
		if total[name] == 0 {
			t.Errorf("in %d seeds there was never: %s", *seeds, name)
		}
	}
}

// manySeeds is how many seeds must reach every rare path.
const manySeeds = 1000

// rarePaths must be reached now and then, or the simulator does not test what it should.
var rarePaths = []string{
	"answer of a call lost", "append duplicated", "append refused", "bit flipped in manifests", "bit flipped in packs", "checkpoint logged",
	"client told that the outcome is unknown", "crash after an append was written", "crash at a create of the disk",
	"crash at a remove of the disk", "crash at a rename of the disk", "crash at a sync of the disk", "crash at a syncdir of the disk",
	"crash at a write of the disk", "crash before an append", "crash between a manifest and its record in the log",
	"crash during an append that is under way", "crash while it leads", "crash while it opens the pipeline", "damage found while it led",
	"error of the disk", "fallback to an older checkpoint", "fallback to the log", "feed of unknown outcome is there",
	"late append arrived", "late append refused", "late row dropped", "late row of a source dropped", "log trimmed", "no space",
	"no space for a file", "old rows read", "outage", "pipeline opened again", "power failed", "request known already", "request sent again", "step while a view is made",
	"sink delivered again", "stale read", "step of several transactions", "subscriber resumed",
	"call arrived late", "calls answered", "latest reads", "lead handed over", "standby took the lead", "transaction refused for a conflict", "trimmed log opened", "two processes at once", "unknown outcome that was written", "view keeps old rows",
	"write of unknown outcome is there", "zombie fenced",
}

func runSeeds(t *testing.T, first uint64, n int, opt Options) map[string]int {
	var next atomic.Int64
	var mu sync.Mutex
	total, failed := map[string]int{}, 0
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				k := int(next.Add(1)) - 1
				mu.Lock()
				over := k >= n || failed >= *giveUp
				mu.Unlock()
				if over {
					return
				}
				opt := opt
				opt.Trace = n == 1
				rep, err := Run(first+uint64(k), opt)
				mu.Lock()
				if err != nil {
					failed++
					t.Error(err)
				} else {
					for name, x := range rep.Counts {
						total[name] += x
					}
					total["events"] += rep.Events
					total["steps"] += int(rep.Steps)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return total
}

// TestSeedRepeats runs seeds twice: what a seed does is always the same.
func TestSeedRepeats(t *testing.T) {
	for seed := *seedStart; seed < *seedStart+8; seed++ {
		a, err := Run(seed, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Run(seed, Options{Trace: true})
		if err != nil {
			t.Fatal(err)
		}
		if a.Hash != b.Hash || a.Events != b.Events || !maps.Equal(a.Counts, b.Counts) {
			t.Errorf("seed %d: %d events, hash %x; again: %d events, hash %x", seed, a.Events, a.Hash, b.Events, b.Hash)
		}
	}
}

// TestFindsMissingFence takes the fence away: logs do not look at what an append
// expects, and the simulator must notice.
func TestFindsMissingFence(t *testing.T) { mustFind(t, Options{Unfenced: true}) }

// mutantSeeds is how many seeds may pass before a mutation must have been found.
const mutantSeeds = 1000

func mustFind(t *testing.T, opt Options) {
	t.Helper()
	opt.Trace = true // no second run of the one that fails
	for seed := uint64(1); seed <= mutantSeeds; seed++ {
		if _, err := Run(seed, opt); err != nil {
			t.Logf("found by seed %d: %s", seed, err.(*Failure).Reason)
			return
		}
	}
	t.Errorf("%d seeds did not find it", mutantSeeds)
}
