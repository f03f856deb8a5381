package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
	"github.com/tidemill/tidemill/internal/types"
)

// specs are circuits on circuits, in the order of their keys: the rows of t, each as
// often as one, those of the last 30 steps by column 1, and the least three of those.
var specs = map[string]*flow.Spec{
	"a": distinctOf("t"),
	"b": {Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "a"}, Out: ints},
		{Op: &flow.Expire{TTL: 30 * 100_000}, In: []int{0}, Out: ints},
		{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: ints},
	}},
	"c": {Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "b"}, Out: ints},
		{Op: &flow.TopN{Partition: []int{1}, Order: []flow.SortKey{{Col: 0}}, Limit: 3}, In: []int{0}, Out: ints},
		{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: ints},
	}},
}

var keys = []string{"a", "b", "c"}

func addAll(t *testing.T, w *Worker) {
	for _, key := range keys {
		add(t, w, key, specs[key])
	}
}

// sizes of steps: most are fed in the calling goroutine, some in others.
func stepRows(n uint64) int { return []int{0, 3, 50, 4 * smallStep}[n*n%4] }

// restore makes a worker of what was saved.
func restore(t *testing.T, cfg Config, saved Saved) *Worker {
	t.Helper()
	w := Open(cfg)
	if err := w.RestoreMarks(saved.Marks); err != nil {
		t.Fatal(err)
	}
	for _, c := range saved.Circuits {
		if err := w.Restore(c.Key, specs[c.Key], flow.Options{}, c.Data); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// TestWorkersAreRestored runs one worker from beginning to end, and beside it one that
// is frozen at random, written while steps go on, dropped, restored with another number
// of threads, and given the steps since then again.
func TestWorkersAreRestored(t *testing.T) {
	const steps = 60
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			plain := New(1)
			addAll(t, plain)
			want := make([]string, steps)
			for n := range uint64(steps) {
				want[n] = step(t, plain, n+1, rand.New(rand.NewPCG(seed, n)), stepRows(n))
			}
			restarts(t, seed, want)
		})
	}
}

func restarts(t *testing.T, seed uint64, want []string) {
	rng := rand.New(rand.NewPCG(seed, 99))
	back := statetest.New()
	open := func() Config {
		return Config{
			Lanes: 3, Threads: 1 + rng.IntN(4), Backing: back,
			Budget: state.NewBudget(1 + rng.Int64N(300_000)), CheckWrites: true,
		}
	}
	cfg := open()
	w := Open(cfg)
	addAll(t, w)
	var saved Saved
	savedAt, restarted := -1, 0
	var f *Frozen
	frozenAt := 0
	written := make(chan Saved, 1)
	for n := 0; n < len(want); n++ {
		switch rng.IntN(6) {
		case 0:
			if f == nil {
				var err error
				if f, err = w.Freeze(); err != nil {
					t.Fatal(err)
				}
				frozenAt = n
				go func(f *Frozen) {
					s, err := f.Write(back)
					if err != nil {
						t.Error(err)
					}
					written <- s
				}(f)
				break
			}
			s, complete := <-written, rng.IntN(3) > 0
			if f.Done(complete); complete {
				saved, savedAt = s, frozenAt
				back.Complete()
			} else {
				back.Abort()
			}
			f = nil
		case 1:
			if savedAt < 0 {
				break
			}
			if f != nil {
				<-written
				f.Done(false)
				back.Abort()
				f = nil
			}
			w.Close()
			if cfg.Budget.Used() != 0 {
				t.Fatalf("a closed worker holds %d bytes", cfg.Budget.Used())
			}
			cfg = open()
			w = restore(t, cfg, saved)
			n = savedAt
			restarted++
		}
		if got := step(t, w, uint64(n)+1, rand.New(rand.NewPCG(seed, uint64(n))), stepRows(uint64(n))); got != want[n] {
			t.Fatalf("step %d gives\n%s\nwithout restarts it gives\n%s", n+1, got, want[n])
		}
	}
	if f != nil {
		<-written
	}
	if restarted == 0 {
		t.Error("no restart happened")
	}
}

// TestRemovedCircuitsGiveTheirMemoryBack also while they are being written.
func TestRemovedCircuitsGiveTheirMemoryBack(t *testing.T) {
	back := statetest.New()
	cfg := Config{Lanes: 2, Backing: back, Budget: state.NewBudget(1 << 30)}
	w := Open(cfg)
	addAll(t, w)
	step(t, w, 1, rand.New(rand.NewPCG(1, 1)), 5000)
	held := cfg.Budget.Used()
	if held == 0 || w.HeldBytes() != held {
		t.Fatalf("the budget has %d bytes, the worker %d", held, w.HeldBytes())
	}
	f, err := w.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	for k := len(keys) - 1; k >= 0; k-- {
		w.Remove(keys[k])
		if now := cfg.Budget.Used(); now >= held {
			t.Errorf("%d bytes are held after circuit %s was removed, before %d", now, keys[k], held)
		} else {
			held = now
		}
	}
	if held != 0 {
		t.Errorf("%d bytes are held of no circuits", held)
	}
	saved, err := f.Write(back)
	if err != nil {
		t.Fatal(err)
	}
	f.Done(true)
	again := restore(t, Config{Lanes: 2, Backing: back}, saved)
	other := New(1)
	addAll(t, other)
	step(t, other, 1, rand.New(rand.NewPCG(1, 1)), 5000)
	want := step(t, other, 2, rand.New(rand.NewPCG(1, 2)), 50)
	if got := step(t, again, 2, rand.New(rand.NewPCG(1, 2)), 50); got != want {
		t.Errorf("what was frozen before goes on with\n%s\nwant\n%s", got, want)
	}
	c, err := w.Build("d", specs["a"], flow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bad := errors.New("no more")
	_, err = c.Fill(3, 0, func(push func(string, *batch.Batch) error) error {
		if err := push("t", rows(rand.New(rand.NewPCG(1, 1)), 100)); err != nil {
			return err
		}
		return bad
	}, nil)
	if !errors.Is(err, bad) || cfg.Budget.Used() != 0 {
		t.Errorf("after a fill that failed (%v) %d bytes are held", err, cfg.Budget.Used())
	}
}

// damaged is a backing that fails to read once it is told to.
type damaged struct {
	*statetest.Backing
	now atomic.Bool
}

func (d *damaged) Read(l state.Loc, owner uint64, dst []byte) ([]byte, error) {
	if d.now.Load() {
		return dst, state.ErrDamaged
	}
	return d.Backing.Read(l, owner, dst)
}

func TestStateThatCannotBeReadBackSpendsTheWorker(t *testing.T) {
	for _, count := range []int{10, 3 * smallStep} {
		back := &damaged{Backing: statetest.New()}
		w := Open(Config{Lanes: 2, Threads: 2, Backing: back})
		addAll(t, w)
		step(t, w, 1, rand.New(rand.NewPCG(1, 1)), 5000)
		f, err := w.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		saved, err := f.Write(back)
		if err != nil {
			t.Fatal(err)
		}
		f.Done(true)
		w = restore(t, Config{Lanes: 2, Threads: 2, Backing: back}, saved)
		back.now.Store(true)
		feed := func() error {
			_, err := w.Step(2, 200_000, []flow.Feed{{Rel: "t", Blocks: []*batch.Batch{rows(rand.New(rand.NewPCG(1, 3)), count)}}})
			return err
		}
		for range 2 {
			err := feed()
			var fault *state.FaultError
			var ours *FaultError
			if !errors.As(err, &fault) || !errors.As(err, &ours) || ours.Circuit != "a" || !errors.Is(err, state.ErrDamaged) {
				t.Errorf("%d rows: %v", count, err)
			}
			back.now.Store(false) // it stays spent
		}
		if _, err := w.Freeze(); !errors.Is(err, state.ErrDamaged) {
			t.Errorf("%d rows: a spent worker is frozen: %v", count, err)
		}
	}
}

// TestABoundIsForWhatCannotLeaveMemory: with a backing, state grows past the bound and
// what is in memory stays near the budget.
func TestABoundIsForWhatCannotLeaveMemory(t *testing.T) {
	const limit = 1 << 20
	for _, backed := range []bool{true, false} {
		cfg := Config{Lanes: 2, Threads: 2}
		if backed {
			cfg.Backing, cfg.Budget = statetest.New(), state.NewBudget(limit)
		}
		w := Open(cfg)
		w.Bound(8<<20, nil)
		add(t, w, "a", distinctOf("t"))
		var err error
		most := int64(0)
		for n := uint64(1); n <= 40 && err == nil; n++ {
			bu := batch.NewBuilder(ints)
			for i := range 10_000 {
				bu.Col(0).AppendInt(i, int64(n)*10_000+int64(i))
				bu.Col(1).AppendInt(i, 0)
				bu.EndRow(1)
			}
			_, err = w.Step(n, 0, []flow.Feed{{Rel: "t", Blocks: []*batch.Batch{bu.Seal()}}})
			most = max(most, w.HeldBytes())
		}
		var te *types.Error
		switch {
		case backed && (err != nil || w.TotalBytes() < 16<<20):
			t.Errorf("with %d bytes of state: %v", w.TotalBytes(), err)
		case backed && most > 2*limit:
			t.Errorf("%d bytes are in memory, the budget is %d", most, limit)
		case !backed && (!errors.As(err, &te) || te.Code != types.CodeOutOfMemory):
			t.Errorf("without a backing: %v", err)
		}
	}
}
