package flow_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/types"
)

// at runs a step at a time and adds up the output.
func (r *runner) at(t rapid.TB, now int64, in ...flow.Feed) {
	r.step++
	res, _, err := r.group.Step(r.step, now, in...)
	if err != nil {
		t.Fatalf("step %d: %v", r.step, err)
	}
	for _, o := range res {
		r.sum[o.Name] = oracle.Consolidate(append(r.sum[o.Name], oracle.FromBatch(o.Batch)...))
	}
}

// TestTimeFilterEqualsOracle has rows come, go, and time pass, in steps of any length.
func TestTimeFilterEqualsOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := &flow.TimeFilter{}
		if rapid.IntRange(0, 3).Draw(t, "from") > 0 {
			op.From = []int{1}
		}
		if len(op.From) == 0 || rapid.IntRange(0, 3).Draw(t, "until") > 0 {
			op.Until = []int{2}
			if rapid.Bool().Draw(t, "two ends") {
				op.Until = append(op.Until, 3)
			}
		}
		s := &stream{rel: "r", types: []types.Type{text, timestamp, timestamp, timestamp}, time: 1}
		spec := &flow.Spec{Nodes: []flow.Node{
			{Op: &flow.Input{Rel: "r"}, Out: s.types},
			{Op: op, In: []int{0}, Out: s.types},
			{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: s.types},
		}}
		runs := []*runner{newRunner(t, spec, 1), newRunner(t, spec, 3)}
		unit := rapid.SampledFrom([]int64{1, 60_000, 5 << 22}).Draw(t, "unit")
		now := int64(0)
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			now += rapid.Int64Range(0, 4).Draw(t, "pass") * unit
			var changes oracle.Table
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				have := oracle.Consolidate(append(append(oracle.Table{}, s.rows...), changes...))
				if len(have) > 0 && rapid.IntRange(0, 2).Draw(t, "withdraw") == 0 {
					row := have[rapid.IntRange(0, len(have)-1).Draw(t, "which")]
					changes = append(changes, oracle.Row{V: row.V, W: -int64(rapid.IntRange(1, int(row.W)).Draw(t, "times"))})
					continue
				}
				row := drawRow(t, s.types)
				for c := 1; c <= 3; c++ {
					if !row[c].Null {
						row[c].I = rapid.SampledFrom([]int64{math.MinInt64, 0, 1, 2, 3, 5, 8, 13, math.MaxInt64}).Draw(t, "time")
						if i := row[c].I; i > 0 && i < 100 {
							row[c].I = i*unit + rapid.Int64Range(-1, 1).Draw(t, "off")
						}
					}
				}
				changes = append(changes, oracle.Row{V: row, W: int64(rapid.IntRange(1, 2).Draw(t, "weight"))})
			}
			s.rows = oracle.Consolidate(append(s.rows, changes...))
			for _, r := range runs {
				r.at(t, now, cutUp(t, s.types, "r", changes, nil))
				check := func(at int64, when string) {
					want, err := oracle.Eval(spec, map[string]oracle.Table{"r": s.rows}, &expr.Ctx{Now: at})
					if err != nil {
						t.Fatal(err)
					}
					if !sameTable(r.sum["out"], want.Outputs["out"]) {
						t.Fatalf("%d workers, %s %d: %s\nwant %s\n%s", r.group.Workers(), when, at, show(r.sum["out"]), show(want.Outputs["out"]), op.Describe())
					}
				}
				check(now, "at")
				// Nothing changes until a step is asked for, to a tenth of a second.
				if next := r.group.NextTime(); next <= now {
					t.Fatalf("at %d a step is wanted at %d", now, next)
				} else if quiet := next - 100_000; quiet > now && next != math.MaxInt64 {
					check(quiet, "before")
				} else if next == math.MaxInt64 {
					check(now+1000*unit, "long after")
				}
			}
		}
	})
}

// TestTimeFilterForgets lets rows pass through an hour and looks at the memory.
func TestTimeFilterForgets(t *testing.T) {
	row := []types.Type{timestamp, text}
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "r", AppendOnly: true}, Out: row},
		{Op: &flow.TimeFilter{Until: []int{0}}, In: []int{0}, Out: row},
		{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: row},
	}}
	steadyState(t, spec, "r", row, func(now int64) types.Value { return types.IntValue(types.Timestamp, now+3_600_000_000) })
}

// steadyState feeds rows for ten hours and checks that the state after two is the state after ten.
func steadyState(t *testing.T, spec *flow.Spec, rel string, row []types.Type, first func(now int64) types.Value) {
	t.Helper()
	g, err := flow.New(spec, flow.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	const second = 1_000_000
	early := int64(0)
	for s := int64(1); s <= 3600; s++ {
		now := s * 10 * second
		var rows oracle.Table
		for k := range int64(20) {
			rows = append(rows, oracle.Row{V: []types.Value{first(now), {T: text, S: string(rune('a' + k))}}, W: 1})
		}
		if _, _, err := g.Step(s, now, flow.Feed{Rel: rel, Blocks: oracleBlocks(row, rows)}); err != nil {
			t.Fatal(err)
		}
		if s == 720 {
			early = g.StateBytes()
		}
	}
	if now := g.StateBytes(); now > early*5/4 {
		t.Fatalf("%d bytes after two hours, %d after ten", early, now)
	}
}
