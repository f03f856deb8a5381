package flow_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
)

// watched notes the most memory that there was when something was read back.
type watched struct {
	*statetest.Backing
	budget *state.Budget
	most   int64
}

func (w *watched) Read(l state.Loc, owner uint64, dst []byte) ([]byte, error) {
	w.most = max(w.most, w.budget.Used())
	return w.Backing.Read(l, owner, dst)
}

// Groups whose state is more than eight times the budget are made in one step, changed here and
// there, and give what they give in memory; what is held stays near the budget.
func TestAggregateLargerThanMemory(t *testing.T) {
	const keys, budgetBytes, blockRows = 200_000, 2 << 20, 64
	count, sum := countStar(), aggOf(t, "sum", 1)
	most := aggOf(t, "max", 1)
	ts := repeat(int8T, 2)
	spec := aggSpec(ts, []int{0}, count, sum, most)
	back := &watched{Backing: statetest.New(), budget: state.NewBudget(budgetBytes)}
	small, err := flow.New(spec, flow.Options{Backing: back, Budget: back.budget})
	if err != nil {
		t.Fatal(err)
	}
	large, err := flow.New(spec, flow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 9))
	step := func(n int64, rows int, key func(i int) int64, weight int64) {
		t.Helper()
		feed := flow.Feed{Rel: "r"}
		for lo := 0; lo < rows; lo += blockRows {
			bu := batch.NewBuilder(ts)
			for i := lo; i < min(lo+blockRows, rows); i++ {
				k := key(i)
				bu.Col(0).AppendInt(bu.Len(), k)
				bu.Col(1).AppendInt(bu.Len(), k%97)
				bu.EndRow(weight)
			}
			feed.Blocks = append(feed.Blocks, bu.Seal())
		}
		back.most = 0
		got, _, err := small.Step(n, 0, feed)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := large.Step(n, 0, feed)
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Digest != want[0].Digest {
			t.Fatalf("step %d: digest %v, in memory %v", n, got[0].Digest, want[0].Digest)
		}
		small.Rest()
		if held := back.budget.Used(); held > budgetBytes*5/4 {
			t.Errorf("step %d: %d bytes are held after it", n, held)
		}
	}
	step(1, keys, func(i int) int64 { return int64(i) }, 1)
	if size := small.StateBytes(); size < 8*budgetBytes {
		t.Fatalf("the state has %d bytes", size)
	}
	if back.most > 2*budgetBytes {
		t.Errorf("%d bytes were held while the groups were made", back.most)
	}
	for n := range int64(10) {
		step(2+n, 500, func(int) int64 { return rng.Int64N(keys) }, 1)
		// A block of the flush has a page for each of its 500 groups.
		if back.most > 3*budgetBytes {
			t.Errorf("step %d: %d bytes were held", 2+n, back.most)
		}
	}
	gone := rng.Int64N(100)
	step(20, 2000, func(i int) int64 { return gone*1000 + int64(i) }, -1)
	small.Close()
	if back.budget.Used() != 0 || back.Spilled() != 0 {
		t.Errorf("closed, it holds %d bytes and has %d records", back.budget.Used(), back.Spilled())
	}
}

func aggOf(t *testing.T, name string, arg int) flow.AggCall {
	t.Helper()
	fn, _, ret, err := expr.ResolveAgg(name, repeat(int8T, 1))
	if err != nil {
		t.Fatal(err)
	}
	return flow.AggCall{Fn: fn, Args: []int{arg}, Filter: -1, Ret: ret}
}
