package flow_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/types"
)

// sessionNode cuts rows of type ts, by their key if keyed.
func sessionNode(ts []types.Type, keyed bool, gap int64) flow.Node {
	op := &flow.Session{Time: timeCol, Gap: gap}
	if keyed {
		op.Partition = []int{0}
	}
	return flow.Node{Op: op, Out: append(append([]types.Type{}, ts...), ts[timeCol], ts[timeCol])}
}

// Sessions that are over are forgotten, and so are groups of them; the output is in
// every step what it is without marks, and what the oracle says. On close, it is the
// sessions that end at or before the watermark.
func TestSessionsWithMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := timedTypes(t)
		gap := rapid.Int64Range(1, 8).Draw(t, "gap")
		node := sessionNode(ts, rapid.Bool().Draw(t, "keyed"), gap)
		spec := chain(ts, false, node)
		agg := aggNode(node.Out, &flow.Aggregate{Keys: []int{4, 3, 0}, Calls: drawTimedCalls(t, ts)})
		if rapid.Bool().Draw(t, "grouped") {
			spec = chain(ts, false, node, agg)
		}
		held := chain(ts, false, node, flow.Node{Op: &flow.Finalize{Col: 4}, Out: node.Out})
		keeps := newRunner(t, spec, 1)
		forgets := []*runner{newRunner(t, spec, 1), newRunner(t, spec, 3)}
		closes := []*runner{newRunner(t, held, 1), newRunner(t, held, 3)}
		r := &timed{rel: "r", mark: flow.NoMark}
		for range rapid.IntRange(1, 14).Draw(t, "steps") {
			with := r.step(t, ts)
			without := with
			without.Marks = nil
			want := keeps.run(t, []flow.Feed{without})
			full, err := oracle.Eval(spec, map[string]oracle.Table{"r": r.now}, &expr.Ctx{})
			if err != nil {
				t.Fatal(err)
			}
			if !sameTable(keeps.sum["out"], full.Outputs["out"]) {
				t.Fatalf("without marks the output is %s\nwant %s", show(keeps.sum["out"]), show(full.Outputs["out"]))
			}
			for _, f := range forgets {
				if got := f.run(t, []flow.Feed{with}); got[0].Digest != want[0].Digest {
					t.Fatalf("%d workers, mark %d: the step's output is %s\nwant %s", f.group.Workers(), r.mark,
						show(oracle.FromBatch(got[0].Batch)), show(oracle.FromBatch(want[0].Batch)))
				}
			}
			full, err = oracle.Eval(held, map[string]oracle.Table{"r": r.now}, &expr.Ctx{})
			if err != nil {
				t.Fatal(err)
			}
			limit := r.mark
			if limit != flow.NoMark {
				limit++ // a session is over when the watermark is at its end
			}
			for _, c := range closes {
				c.run(t, []flow.Feed{with})
				if want := below(full.Outputs["out"], 4, limit); !sameTable(c.sum["out"], want) {
					t.Fatalf("%d workers, mark %d: closed sessions are %s\nwant %s", c.group.Workers(), r.mark, show(c.sum["out"]), show(want))
				}
			}
		}
	})
}

// State stays as it is while time goes on, and does not without marks.
func TestSessionsInBoundedMemory(t *testing.T) {
	const (
		steps, rows = 150, 400
		second      = int64(1e6)
	)
	ts := []types.Type{int8T, tsT, textT}
	node := sessionNode(ts, true, 3*second)
	count, _, ret, err := expr.ResolveAgg("count", nil)
	if err != nil {
		t.Fatal(err)
	}
	agg := aggNode(node.Out, &flow.Aggregate{Keys: []int{0, 3, 4}, Calls: []flow.AggCall{{Fn: count, Filter: -1, Ret: ret}}})
	bytes := func(marked bool, n int) int64 {
		g, err := flow.New(chain(ts, true, node, agg), flow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for k := range n {
			now := int64(k) * second
			f := flow.Feed{Rel: "r", Blocks: []*batch.Batch{timedRows(ts, uint64(k)*rows, rows, 3000, now, second)}}
			if marked {
				f.Marks = []int64{flow.NoMark, now, flow.NoMark}
			}
			if _, _, err := g.Step(int64(k+1), 0, f); err != nil {
				t.Fatal(err)
			}
		}
		return g.StateBytes()
	}
	early, late, kept := bytes(true, steps/3), bytes(true, steps), bytes(false, steps)
	if late > early*11/10 {
		t.Errorf("state grows from %d to %d bytes", early, late)
	}
	if kept < late*3/2 {
		t.Errorf("%d bytes of state without marks, %d with them", kept, late)
	}
}
