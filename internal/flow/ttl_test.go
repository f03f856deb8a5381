package flow_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/types"
)

// arrival is rows that came in one step.
type arrival struct {
	at   int64
	rows oracle.Table
}

// TestExpire compares with a list of what came in each step.
func TestExpire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const ttl = 10
		appendOnly := rapid.Bool().Draw(t, "append-only")
		row := []types.Type{bigint, text}
		spec := &flow.Spec{Nodes: []flow.Node{
			{Op: &flow.Input{Rel: "r", AppendOnly: appendOnly}, Out: row},
			{Op: &flow.Expire{TTL: ttl, AppendOnly: appendOnly}, In: []int{0}, Out: row},
			{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: row},
		}}
		runs := []*runner{newRunner(t, spec, 1), newRunner(t, spec, 3)}
		var all oracle.Table // what the relation itself holds
		var came []arrival
		now := int64(0)
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			now += rapid.Int64Range(0, 6).Draw(t, "pass")
			var changes oracle.Table
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				have := oracle.Consolidate(append(append(oracle.Table{}, all...), changes...))
				if !appendOnly && len(have) > 0 && rapid.Bool().Draw(t, "withdraw") {
					r := have[rapid.IntRange(0, len(have)-1).Draw(t, "which")]
					changes = append(changes, oracle.Row{V: r.V, W: -int64(rapid.IntRange(1, int(r.W)).Draw(t, "times"))})
					continue
				}
				changes = append(changes, oracle.Row{V: drawRow(t, row), W: int64(rapid.IntRange(1, 2).Draw(t, "weight"))})
			}
			all = oracle.Consolidate(append(all, changes...))
			for len(came) > 0 && came[0].at+ttl <= now {
				came = came[1:]
			}
			fresh := arrival{at: now}
			for _, c := range oracle.Consolidate(changes) {
				if c.W > 0 {
					fresh.rows = append(fresh.rows, c)
				}
				for i := 0; i < len(came) && c.W < 0; i++ {
					for k := range came[i].rows {
						if r := &came[i].rows[k]; oracle.CompareRows(r.V, c.V) == 0 {
							n := min(r.W, -c.W)
							r.W, c.W = r.W-n, c.W+n
						}
					}
				}
			}
			came = append(came, fresh)
			var want oracle.Table
			for _, a := range came {
				want = append(want, a.rows...)
			}
			want = oracle.Consolidate(want)
			for _, r := range runs {
				r.at(t, now, cutUp(t, row, "r", changes, nil))
				if !sameTable(r.sum["out"], want) {
					t.Fatalf("%d workers, at %d: %s\nwant %s", r.group.Workers(), now, show(r.sum["out"]), show(want))
				}
				if next := r.group.NextTime(); (len(want) > 0) == (next == math.MaxInt64) || next <= now {
					if len(want) > 0 { // places of rows that were withdrawn may still want a step
						t.Fatalf("at %d with %d rows a step is wanted at %d", now, len(want), next)
					}
				}
			}
		}
	})
}

// TestExpireForgets lets rows pass through an hour and looks at the memory.
func TestExpireForgets(t *testing.T) {
	row := []types.Type{timestamp, text}
	for _, only := range []bool{true, false} {
		spec := &flow.Spec{Nodes: []flow.Node{
			{Op: &flow.Input{Rel: "r", AppendOnly: only}, Out: row},
			{Op: &flow.Expire{TTL: 3_600_000_000, AppendOnly: only}, In: []int{0}, Out: row},
			{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: row},
		}}
		steadyState(t, spec, "r", row, func(now int64) types.Value { return types.IntValue(types.Timestamp, now) })
	}
}
