package flow_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
)

// Operators over two inputs whose state is more than eight times the budget give what
// they give in memory, also after a restart in the middle, and what is held stays near
// the budget.
func TestJoinsLargerThanMemory(t *testing.T) {
	counted := keyed(flow.JoinFull)
	counted.On = call("<", col(1, int8T), col(3, int8T))
	for _, c := range []struct {
		name    string
		op      flow.Op
		columns int
	}{
		{"inner", keyed(flow.JoinInner), 4},
		{"left", keyed(flow.JoinLeft), 4},
		{"semi", keyed(flow.JoinSemi), 2},
		{"full with a condition", counted, 4},
		{"except all", &flow.SetOp{Except: true, All: true}, 2},
		{"as of", &flow.AsOf{LeftKeys: []int{0}, RightKeys: []int{0}, LeftTime: 1, RightTime: 1, Outer: true}, 4},
		{"lookup", &flow.Lookup{LeftKeys: []int{0}, RightKeys: []int{0}}, 4},
	} {
		t.Run(c.name, func(t *testing.T) { joinLargerThanMemory(t, binary(c.op, c.columns)) })
	}
}

func joinLargerThanMemory(t *testing.T, spec *flow.Spec) {
	const rows, changes, steps = 30_000, 10, 12
	large, err := flow.New(spec, flow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 7))
	// There are two rows of a key on each side, whose numbers are those of the key.
	feeds := func(from, to uint64, weight int64, pick func(i uint64) uint64) []flow.Feed {
		var in []flow.Feed
		for _, rel := range []string{"l", "r"} {
			feed := flow.Feed{Rel: rel}
			for lo := from; lo < to; lo += 256 {
				bu := batch.NewBuilder(repeat(int8T, 2))
				for i := lo; i < min(lo+256, to); i++ {
					k := pick(i)
					bu.Col(0).AppendInt(bu.Len(), int64(k/2))
					bu.Col(1).AppendInt(bu.Len(), int64(mixed(k)%1000))
					bu.EndRow(weight)
				}
				feed.Blocks = append(feed.Blocks, bu.Seal())
			}
			in = append(in, feed)
		}
		return in
	}
	first := feeds(0, rows, 1, func(i uint64) uint64 { return i })
	want, _, err := large.Step(1, 0, first...)
	if err != nil {
		t.Fatal(err)
	}
	limit := large.StateBytes() / 9
	back := &watched{Backing: statetest.New(), budget: state.NewBudget(limit)}
	open := func() *flow.Group {
		g, err := flow.New(spec, flow.Options{Backing: back, Budget: back.budget, CheckWrites: true})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	small := open()
	got, _, err := small.Step(1, 0, first...)
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(2); ; n++ {
		if got[0].Digest != want[0].Digest {
			t.Fatalf("step %d: digest %v, in memory %v", n-1, got[0].Digest, want[0].Digest)
		}
		small.Rest()
		if held := back.budget.Used(); held > limit*5/4 {
			t.Errorf("step %d: %d bytes are held after it, of %d", n-1, held, limit)
		}
		if n > steps {
			break
		}
		if n == steps/2 {
			small = reopened(t, small, back, open)
		}
		in := feeds(0, changes, []int64{1, -1}[n%2], func(uint64) uint64 { return rng.Uint64N(rows) })
		back.most = 0
		if got, _, err = small.Step(n, 0, in...); err != nil {
			t.Fatal(err)
		}
		if want, _, err = large.Step(n, 0, in...); err != nil {
			t.Fatal(err)
		}
		// A step of few rows needs the pages of these.
		if room := limit + 40*changes*8192; back.most > room {
			t.Errorf("step %d: %d bytes were held in it, of %d", n, back.most, limit)
		}
	}
	if back.Spilled() == 0 {
		t.Error("nothing had to leave memory")
	}
}

// reopened writes a checkpoint of g and returns a new group that goes on from it.
func reopened(t *testing.T, g *flow.Group, back *watched, open func() *flow.Group) *flow.Group {
	t.Helper()
	f := g.Freeze()
	image, err := f.Write(back)
	if err != nil {
		t.Fatal(err)
	}
	f.Done(true)
	back.Complete()
	g.Close()
	again := open()
	if err := again.Restore(image); err != nil {
		t.Fatal(err)
	}
	return again
}
