package flow_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
)

// TestLookupJoinsOnce compares each step's output with the join of the step's left
// changes and the right side as it is then, and says nothing of right changes alone.
func TestLookupJoinsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := &flow.Lookup{Outer: rapid.Bool().Draw(t, "outer")}
		if rapid.IntRange(0, 3).Draw(t, "keyed") > 0 {
			op.LeftKeys, op.RightKeys = []int{0}, []int{0}
		}
		if rapid.Bool().Draw(t, "on") {
			op.On = call("<", col(1, timestamp), col(5, timestamp))
		}
		spec, in := twoStreams(op, bothSides)
		var runs []*runner
		for _, w := range []int{1, 3} {
			runs = append(runs, newRunner(t, spec, w))
		}
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			changes := map[string]oracle.Table{}
			for _, s := range in {
				changes[s.rel], _ = s.change(t, 4)
			}
			want, err := oracle.Eval(spec, map[string]oracle.Table{"l": changes["l"], "r": in[1].rows}, &expr.Ctx{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range runs {
				var feeds []flow.Feed
				for _, s := range in {
					feeds = append(feeds, cutUp(t, s.types, s.rel, changes[s.rel], nil))
				}
				r.sum = map[string]oracle.Table{}
				r.run(t, feeds)
				if !sameTable(r.sum["out"], want.Outputs["out"]) {
					t.Fatalf("%d workers, step %d: %s\nwant %s", r.group.Workers(), r.step, show(r.sum["out"]), show(want.Outputs["out"]))
				}
			}
		}
	})
}
