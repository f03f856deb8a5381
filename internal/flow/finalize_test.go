package flow_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/types"
)

// chain is a circuit of operators one after the other over input "r".
func chain(ts []types.Type, only bool, ops ...flow.Node) *flow.Spec {
	s := &flow.Spec{Nodes: []flow.Node{{Op: &flow.Input{Rel: "r", AppendOnly: only}, Out: ts}}}
	for _, n := range ops {
		n.In = []int{len(s.Nodes) - 1}
		s.Nodes = append(s.Nodes, n)
	}
	last := len(s.Nodes) - 1
	s.Nodes = append(s.Nodes, flow.Node{Op: &flow.Output{Name: "out"}, In: []int{last}, Out: s.Nodes[last].Out})
	return s
}

// timedTypes are a key of a drawn type, a time and a number.
func timedTypes(t *rapid.T) []types.Type {
	k := rapid.SampledFrom([]types.Kind{types.Int8, types.Text, types.Numeric}).Draw(t, "key type")
	return []types.Type{types.T(k), types.T(types.Int8), types.T(types.Int8)}
}

// drawTimedCalls draws aggregates that keep their state in every way there is.
func drawTimedCalls(t *rapid.T, ts []types.Type) []flow.AggCall {
	var calls []flow.AggCall
	for range rapid.IntRange(1, 3).Draw(t, "calls") {
		name := rapid.SampledFrom([]string{"count", "min", "max", "sum", "string_agg"}).Draw(t, "call")
		arg := rapid.SampledFrom([]int{0, 2}).Draw(t, "argument")
		if name == "sum" {
			arg = 2
		}
		if name == "string_agg" && ts[0].Kind != types.Text {
			name = "max"
		}
		args, argTypes := []int{arg}, []types.Type{ts[arg]}
		if name == "string_agg" {
			args, argTypes = []int{0, 0}, []types.Type{ts[0], ts[0]}
		}
		fn, _, ret, err := expr.ResolveAgg(name, argTypes)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, flow.AggCall{Fn: fn, Args: args, Filter: -1, Ret: ret, Distinct: name != "string_agg" && rapid.Bool().Draw(t, "distinct")})
	}
	return calls
}

func aggNode(ts []types.Type, op *flow.Aggregate) flow.Node {
	var out []types.Type
	for _, k := range op.Keys {
		out = append(out, ts[k])
	}
	for _, c := range op.Calls {
		out = append(out, c.Ret)
	}
	return flow.Node{Op: op, Out: out}
}

// drawTimedChain draws what may stand before the operator under test: nothing, or
// windows. It returns the nodes, their row type and the columns that have marks.
func drawTimedChain(t *rapid.T, ts []types.Type) ([]flow.Node, []types.Type, []int) {
	if rapid.Bool().Draw(t, "no windows") {
		return nil, ts, []int{timeCol}
	}
	w := &flow.Window{Time: timeCol, Slide: rapid.Int64Range(1, 4).Draw(t, "slide"), Offset: rapid.Int64Range(-3, 3).Draw(t, "offset")}
	w.Size = w.Slide + rapid.Int64Range(0, 8).Draw(t, "more")
	out := append(append([]types.Type{}, ts...), ts[timeCol], ts[timeCol])
	return []flow.Node{{Op: w, Out: out}}, out, []int{timeCol, 3, 4}
}

// A grouping that forgets groups below the marks gives in every step what one
// without marks gives, and both what the oracle says.
func TestGroupsThatAreForgottenGiveTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := timedTypes(t)
		nodes, in, marked := drawTimedChain(t, ts)
		if rapid.IntRange(0, 3).Draw(t, "distinct rows") == 0 {
			nodes = append(nodes, flow.Node{Op: &flow.Distinct{}, Out: in})
		} else {
			keys := [][]int{{marked[0]}, {0, marked[len(marked)-1]}, {marked[len(marked)-1], 2, marked[0]}}
			op := &flow.Aggregate{Keys: rapid.SampledFrom(keys).Draw(t, "keys"), Calls: drawTimedCalls(t, ts)}
			nodes = append(nodes, aggNode(in, op))
		}
		spec := chain(ts, false, nodes...)
		keeps := newRunner(t, spec, 1)
		forgets := []*runner{newRunner(t, spec, 1), newRunner(t, spec, 3)}
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
					t.Fatalf("%d workers, mark %d: the step's output is %s\nwant %s\ncircuit\n%s", f.group.Workers(), r.mark,
						show(oracle.FromBatch(got[0].Batch)), show(oracle.FromBatch(want[0].Batch)), spec.Explain(flow.ExplainOptions{}))
				}
			}
		}
	})
}

// below keeps the rows whose column col is below the mark.
func below(tab oracle.Table, col int, mark int64) oracle.Table {
	var out oracle.Table
	for _, r := range tab {
		if !r.V[col].Null && r.V[col].I < mark {
			out = append(out, r)
		}
	}
	return out
}

// With EMIT ON WINDOW CLOSE a row is given in the step in which the mark passes it:
// after every step the output is the query's answer as far as it lies below the mark,
// and no row is ever withdrawn.
func TestOnCloseGivesTheAnswerBelowTheMark(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := timedTypes(t)
		nodes, in, marked := drawTimedChain(t, ts)
		col := rapid.SampledFrom(marked).Draw(t, "closing column")
		at, once := col, false
		switch rapid.IntRange(0, 2).Draw(t, "operator") {
		case 0:
			nodes = append(nodes, flow.Node{Op: &flow.Finalize{Col: col}, Out: in})
		case 1:
			inner := aggNode(in, &flow.Aggregate{Keys: []int{col, 2}, Calls: drawTimedCalls(t, ts)})
			nodes = append(nodes, inner, flow.Node{Op: &flow.Finalize{}, Out: inner.Out})
			at, once = 0, true
		default:
			op := &flow.Aggregate{Calls: drawTimedCalls(t, ts), OnClose: true}
			op.Keys = rapid.SampledFrom([][]int{{col}, {0, col}, {col, 2}}).Draw(t, "keys")
			for op.Keys[op.CloseKey] != col {
				op.CloseKey++
			}
			nodes = append(nodes, aggNode(in, op))
			at, once = op.CloseKey, true
		}
		spec := chain(ts, false, nodes...)
		runs := []*runner{newRunner(t, spec, 1), newRunner(t, spec, 3)}
		r := &timed{rel: "r", mark: flow.NoMark}
		for range rapid.IntRange(1, 14).Draw(t, "steps") {
			feed := r.step(t, ts)
			full, err := oracle.Eval(spec, map[string]oracle.Table{"r": r.now}, &expr.Ctx{})
			if err != nil {
				t.Fatal(err)
			}
			mark := r.mark
			if w, ok := nodes[0].Op.(*flow.Window); ok && col >= 3 && mark != flow.NoMark {
				for mark = mark - w.Size + 1; (mark-w.Offset)%w.Slide != 0; mark++ {
				} // the first window that can still get rows
				mark += int64(col-3) * w.Size
			}
			want := below(full.Outputs["out"], at, mark)
			for _, run := range runs {
				res := run.run(t, []flow.Feed{feed})
				for _, row := range oracle.FromBatch(res[0].Batch) {
					if row.W < 0 || once && row.W != 1 {
						t.Fatalf("the step gives %s", show(oracle.FromBatch(res[0].Batch)))
					}
				}
				if !sameTable(run.sum["out"], want) {
					t.Fatalf("%d workers, mark %d: the output is %s\nwant %s\ncircuit\n%s", run.group.Workers(), mark, show(run.sum["out"]),
						show(want), spec.Explain(flow.ExplainOptions{}))
				}
			}
		}
	})
}

// State stays as it is while time goes on, whatever the groups hold.
func TestGroupsAreForgottenInBoundedMemory(t *testing.T) {
	const (
		steps, rows = 150, 600
		second      = int64(1e6)
	)
	ts := []types.Type{int8T, tsT, textT}
	hop := flow.Node{Op: &flow.Window{Time: timeCol, Slide: 2 * second, Size: 10 * second}, Out: []types.Type{int8T, tsT, textT, tsT, tsT}}
	call := func(name string, arg int, distinct bool) flow.AggCall {
		fn, _, ret, err := expr.ResolveAgg(name, []types.Type{ts[arg]})
		if err != nil {
			t.Fatal(err)
		}
		return flow.AggCall{Fn: fn, Args: []int{arg}, Filter: -1, Ret: ret, Distinct: distinct}
	}
	group := func(close bool, calls ...flow.AggCall) []flow.Node {
		return []flow.Node{hop, aggNode(hop.Out, &flow.Aggregate{Keys: []int{0, 4}, Calls: calls, OnClose: close, CloseKey: 1})}
	}
	for name, nodes := range map[string][]flow.Node{
		"count":                  group(false, call("count", 0, false)),
		"count on close":         group(true, call("count", 0, false)),
		"max of text":            group(false, call("max", 2, false)),
		"distinct text":          group(false, call("count", 2, true)),
		"distinct text on close": group(true, call("count", 2, true)),
		"distinct rows":          {hop, {Op: &flow.Distinct{}, Out: hop.Out}},
		"held rows":              {hop, {Op: &flow.Finalize{Col: 4}, Out: hop.Out}},
	} {
		bytes := func(marked bool, n int) int64 {
			g, err := flow.New(chain(ts, false, nodes...), flow.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for k := range n {
				now := int64(k) * second
				f := flow.Feed{Rel: "r", Blocks: []*batch.Batch{timedRows(ts, uint64(k)*rows, rows, 300, now, second)}}
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
			t.Errorf("%s: state grows from %d to %d bytes", name, early, late)
		}
		if kept < late*3/2 {
			t.Errorf("%s: %d bytes of state without marks, %d with them", name, kept, late)
		}
	}
}

// A group whose result cannot be computed is an error when it closes, and not before.
func TestOnCloseReportsErrorsOnce(t *testing.T) {
	ts := []types.Type{int8T, int8T}
	fn, _, _, err := expr.ResolveAgg("sum", []types.Type{types.T(types.Int4)})
	if err != nil {
		t.Fatal(err)
	}
	op := &flow.Aggregate{Keys: []int{0}, OnClose: true, Calls: []flow.AggCall{{Fn: fn, Args: []int{1}, Filter: -1, Ret: int8T}}}
	g, err := flow.New(chain(ts, true, aggNode(ts, op)), flow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bu := batch.NewBuilder(ts)
	for range 3 {
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, 5), types.IntValue(types.Int8, 1<<62)}, 1)
	}
	for n, c := range []struct {
		mark int64
		errs int
	}{{5, 0}, {6, 1}, {9, 0}} {
		f := flow.Feed{Rel: "r", Marks: []int64{c.mark, flow.NoMark}}
		if n == 0 {
			f.Blocks = []*batch.Batch{bu.Seal()}
		}
		res, rep, err := g.Step(int64(n+1), 0, f)
		if err != nil {
			t.Fatal(err)
		}
		if len(rep.Rows) != c.errs || res[0].Batch.Len() != 0 {
			t.Errorf("at mark %d: %d rows, errors %v; want %d errors", c.mark, res[0].Batch.Len(), fmt.Sprint(rep), c.errs)
		}
	}
}
