package flow_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/types"
)

// Inputs of these tests have a key, a time and a number.
const timeCol = 1

// within is the condition lo <= left time - right time <= hi over both rows.
func within(ts []types.Type, lo, hi int64) expr.Expr {
	d := call("-", col(timeCol, ts[timeCol]), col(len(ts)+timeCol, ts[timeCol]))
	return &expr.Logic{Args: []expr.Expr{
		call(">=", d, expr.Const{V: types.IntValue(types.Int8, lo)}),
		call("<=", d, expr.Const{V: types.IntValue(types.Int8, hi)}),
	}}
}

// joinOf is a circuit of one join of two inputs of row type ts.
func joinOf(op *flow.Join, ts []types.Type) *flow.Spec {
	out := ts
	if op.Kind <= flow.JoinFull {
		out = append(append([]types.Type{}, ts...), ts...)
	}
	return &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: ts},
		{Op: &flow.Input{Rel: "r"}, Out: ts},
		{Op: op, In: []int{0, 1}, Out: out},
		{Op: &flow.Output{Name: "out"}, In: []int{2}, Out: out},
	}}
}

// drawTimedJoin draws a join that can forget, by key, by time or both.
func drawTimedJoin(t *rapid.T, ts []types.Type) *flow.Join {
	op := &flow.Join{
		Kind:     flow.JoinKind(rapid.IntRange(int(flow.JoinInner), int(flow.JoinAnti)).Draw(t, "kind")),
		NullSafe: rapid.IntRange(0, 3).Draw(t, "null-safe") == 0,
	}
	for _, c := range rapid.SampledFrom([][]int{{}, {0}, {timeCol}, {0, timeCol}, {timeCol, 0}}).Draw(t, "keys") {
		op.LeftKeys, op.RightKeys = append(op.LeftKeys, c), append(op.RightKeys, c)
	}
	if rapid.Bool().Draw(t, "between") {
		lo := rapid.Int64Range(-8, 4).Draw(t, "lo")
		hi := lo + rapid.Int64Range(0, 8).Draw(t, "span")
		op.Between = &flow.Between{Left: timeCol, Right: timeCol, Lo: lo, Hi: hi}
		if rapid.IntRange(0, 9).Draw(t, "one-sided") == 0 {
			op.Between.Lo, lo = math.MinInt64, -1<<40
		}
		op.On = within(ts, lo, hi)
	}
	return op
}

// timed is the history of one input whose marks advance.
type timed struct {
	rel  string
	mark int64
	now  oracle.Table
}

// step draws changes at or above the mark, and the mark after them.
func (in *timed) step(t *rapid.T, ts []types.Type) flow.Feed {
	var changes oracle.Table
	for range rapid.IntRange(0, 12).Draw(t, "changes") {
		var free oracle.Table
		for _, r := range oracle.Consolidate(append(append(oracle.Table{}, in.now...), changes...)) {
			if v := r.V[timeCol]; r.W > 0 && (v.Null || v.I >= in.mark) {
				free = append(free, r)
			}
		}
		if len(free) > 0 && rapid.IntRange(0, 2).Draw(t, "withdraw") == 0 {
			row := free[rapid.IntRange(0, len(free)-1).Draw(t, "which")]
			changes = append(changes, oracle.Row{V: row.V, W: -row.W})
			continue
		}
		row := drawRow(t, ts)
		row[timeCol] = types.IntValue(types.Int8, max(in.mark, 0)+rapid.Int64Range(0, 12).Draw(t, "time"))
		if rapid.IntRange(0, 9).Draw(t, "no time") == 0 {
			row[timeCol] = types.NullOf(ts[timeCol])
		}
		changes = append(changes, oracle.Row{V: row, W: int64(rapid.IntRange(1, 2).Draw(t, "weight"))})
	}
	in.now = oracle.Consolidate(append(in.now, changes...))
	if rapid.IntRange(0, 2).Draw(t, "advance") > 0 {
		in.mark = max(in.mark, 0) + rapid.Int64Range(0, 10).Draw(t, "by")
	}
	f := flow.Feed{Rel: in.rel, Marks: []int64{flow.NoMark, in.mark, flow.NoMark}}
	for len(changes) > 0 {
		n := rapid.IntRange(1, len(changes)).Draw(t, "block")
		f.Blocks = append(f.Blocks, oracle.ToBatch(ts, changes[:n]))
		changes = changes[n:]
	}
	return f
}

// A join that forgets below its marks gives in every step what one without marks
// gives, and both what the oracle says.
func TestJoinsThatForgetGiveTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := []types.Type{int8T, int8T, int8T}
		ts[0] = types.T(rapid.SampledFrom([]types.Kind{types.Int8, types.Text, types.Numeric}).Draw(t, "key type"))
		spec := joinOf(drawTimedJoin(t, ts), ts)
		keeps := newRunner(t, spec, 1)
		forgets := []*runner{newRunner(t, spec, 1), newRunner(t, spec, 3)}
		ins := []*timed{{rel: "l", mark: flow.NoMark}, {rel: "r", mark: flow.NoMark}}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			with, without := make([]flow.Feed, 2), make([]flow.Feed, 2)
			for i, in := range ins {
				with[i] = in.step(t, ts)
				without[i] = with[i]
				without[i].Marks = nil
			}
			want := keeps.run(t, without)
			full, err := oracle.Eval(spec, map[string]oracle.Table{"l": ins[0].now, "r": ins[1].now}, &expr.Ctx{})
			if err != nil {
				t.Fatal(err)
			}
			if !sameTable(keeps.sum["out"], full.Outputs["out"]) {
				t.Fatalf("without marks the output is %s\nwant %s", show(keeps.sum["out"]), show(full.Outputs["out"]))
			}
			for _, r := range forgets {
				if got := r.run(t, with); got[0].Digest != want[0].Digest {
					t.Fatalf("%d workers, marks %d and %d: the step's output is %s\nwant %s\ncircuit\n%s", r.group.Workers(), ins[0].mark, ins[1].mark,
						show(oracle.FromBatch(got[0].Batch)), show(oracle.FromBatch(want[0].Batch)), spec.Explain(flow.ExplainOptions{}))
				}
			}
		}
	})
}

// State stays as it is while time goes on, whatever the join and the number of rows a key.
func TestJoinsForgetInBoundedMemory(t *testing.T) {
	const (
		steps, rows = 120, 200
		second      = int64(1e6)
	)
	ts := []types.Type{int8T, tsT, textT}
	near := &flow.Between{Left: timeCol, Right: timeCol, Lo: -3 * second, Hi: 2 * second}
	for _, c := range []struct {
		name    string
		keys    []int
		between *flow.Between
		spread  uint64 // of the keys
	}{
		{"by time", []int{timeCol}, nil, 10},
		{"by key and time", []int{0, timeCol}, nil, 10},
		{"interval, groups of few", []int{0}, near, 1 << 40},
		{"interval, long groups", []int{0}, near, 100},
	} {
		for kind := flow.JoinInner; kind <= flow.JoinAnti; kind++ {
			op := &flow.Join{Kind: kind, LeftKeys: c.keys, RightKeys: c.keys, Between: c.between}
			bytes := func(marked bool, n int) int64 {
				spec := joinOf(op, ts)
				spec.Nodes = spec.Nodes[:3] // nobody reads the output
				g, err := flow.New(spec, flow.Options{})
				if err != nil {
					t.Fatal(err)
				}
				for k := range n {
					now := int64(k) * second
					var in []flow.Feed
					for p, rel := range []string{"l", "r"} {
						f := flow.Feed{Rel: rel, Blocks: []*batch.Batch{timedRows(ts, uint64(k*2+p)*rows, rows, c.spread, now, second)}}
						if marked {
							f.Marks = []int64{flow.NoMark, now, flow.NoMark}
						}
						in = append(in, f)
					}
					if _, _, err := g.Step(int64(k+1), 0, in...); err != nil {
						t.Fatal(err)
					}
				}
				return g.StateBytes()
			}
			early, late := bytes(true, steps/3), bytes(true, steps)
			if late > early*11/10 {
				t.Errorf("%s join, %s: state grows from %d to %d bytes", kind, c.name, early, late)
			}
			if kind != flow.JoinInner {
				continue
			}
			if kept := bytes(false, steps); kept < late*3/2 {
				t.Errorf("%s join, %s: %d bytes of state without marks, %d with them", kind, c.name, kept, late)
			}
		}
	}
}

// timedRows returns n rows from number first on, with times spread over a second.
func timedRows(ts []types.Type, first uint64, n int, keys uint64, from, span int64) *batch.Batch {
	bu := batch.NewBuilder(ts)
	for i := range n {
		x := first + uint64(i)
		bu.AppendRow([]types.Value{
			types.IntValue(types.Int8, int64(mixed(x)%keys)),
			{T: ts[timeCol], I: from + int64(mixed(x+1<<50)%uint64(span))},
			{T: ts[2], S: fmt.Sprintf("the text of row %d", x)},
		}, 1)
	}
	return bu.Seal()
}

// A row without a time matches nothing, so it takes no memory.
func TestRowsWithoutATimeAreNotKept(t *testing.T) {
	ts := []types.Type{int8T, int8T, int8T}
	for kind := flow.JoinInner; kind <= flow.JoinAnti; kind++ {
		op := &flow.Join{Kind: kind, LeftKeys: []int{0}, RightKeys: []int{0}, NullSafe: true,
			Between: &flow.Between{Left: timeCol, Right: timeCol, Lo: -5, Hi: 5}, On: within(ts, -5, 5)}
		r := newRunner(t, joinOf(op, ts), 1)
		held := func() int64 {
			for _, c := range r.group.Counters() {
				if c.Node == 2 { // the join
					return c.StateBytes
				}
			}
			t.Fatal("no join")
			return 0
		}
		empty := held()
		for k := range 20 {
			in := []flow.Feed{{Rel: "l"}, {Rel: "r"}}
			for p := range in {
				bu := batch.NewBuilder(ts)
				for n := range 1000 {
					bu.AppendRow([]types.Value{types.IntValue(types.Int8, 1), types.NullOf(int8T), types.IntValue(types.Int8, int64(k*1000+n))}, 1)
				}
				in[p].Blocks = []*batch.Batch{bu.Seal()}
			}
			if _, _, err := r.group.Step(int64(k+1), 0, in...); err != nil {
				t.Fatal(err)
			}
		}
		if now := held(); now > empty {
			t.Errorf("%s join: %d bytes of state, %d when it was empty", kind, now, empty)
		}
	}
}

// Infinity less a second is infinity: what pairs with it is for the condition to say.
func TestInfiniteTimesPairAsTheConditionSays(t *testing.T) {
	ts := []types.Type{int8T, tsT, int8T}
	const second = int64(1e6)
	shifted := func(by int64) expr.Expr {
		v := types.Value{T: types.T(types.Interval), V: types.IntervalVal{Micros: by}}
		return call("+", col(len(ts)+timeCol, tsT), expr.Const{V: v})
	}
	op := &flow.Join{Kind: flow.JoinInner, LeftKeys: []int{0}, RightKeys: []int{0},
		Between: &flow.Between{Left: timeCol, Right: timeCol, Lo: second, Hi: 10 * second},
		On: &expr.Logic{Args: []expr.Expr{
			call(">=", col(timeCol, tsT), shifted(second)), call("<=", col(timeCol, tsT), shifted(10*second)),
		}}}
	row := func(at, n int64) oracle.Row {
		return oracle.Row{V: []types.Value{types.IntValue(types.Int8, 1), {T: tsT, I: at}, types.IntValue(types.Int8, n)}, W: 1}
	}
	in := map[string]oracle.Table{
		"l": {row(math.MaxInt64, 1), row(math.MinInt64, 2), row(5*second, 3)},
		"r": {row(math.MaxInt64, 4), row(math.MinInt64, 5), row(second, 6)},
	}
	spec := joinOf(op, ts)
	r := newRunner(t, spec, 1)
	r.run(t, []flow.Feed{
		{Rel: "l", Blocks: []*batch.Batch{oracle.ToBatch(ts, in["l"])}},
		{Rel: "r", Blocks: []*batch.Batch{oracle.ToBatch(ts, in["r"])}},
	})
	want, err := oracle.Eval(spec, in, &expr.Ctx{})
	if err != nil {
		t.Fatal(err)
	}
	if !sameTable(r.sum["out"], want.Outputs["out"]) || len(r.sum["out"]) != 3 {
		t.Fatalf("the pairs are %s\nwant %s", show(r.sum["out"]), show(want.Outputs["out"]))
	}
}

// One op is 64 steps of a block into each side of a join of rows at most two seconds
// apart, by 4000 keys, which holds two to three seconds of rows.
func BenchmarkIntervalJoin(b *testing.B) {
	const (
		n      = 64
		second = int64(1e6)
	)
	ts := []types.Type{int8T, tsT}
	spec := joinOf(&flow.Join{Kind: flow.JoinInner, LeftKeys: []int{0}, RightKeys: []int{0},
		Between: &flow.Between{Left: timeCol, Right: timeCol, Lo: -2 * second, Hi: 2 * second}}, ts)
	spec.Nodes = spec.Nodes[:3]
	var blocks [2][]*batch.Batch
	for p := range blocks {
		blocks[p] = intBlocks(n, 4000, uint64(p)<<40)
		for k, x := range blocks[p] {
			x.Cols[timeCol].Type = tsT
			for i := range x.Cols[timeCol].I64 {
				x.Cols[timeCol].I64[i] = int64(k)*second + int64(i)*second/batch.BlockRows
			}
		}
	}
	for b.Loop() {
		g := mustGroup(b, spec)
		for k := range n {
			now := int64(k) * second
			g.SetMarks("l", []int64{flow.NoMark, now})
			g.SetMarks("r", []int64{flow.NoMark, now})
			g.BeginStep(int64(k+1), 0)
			for p, rel := range []string{"l", "r"} {
				if err := g.Push(rel, 0, blocks[p][k]); err != nil {
					b.Fatal(err)
				}
			}
			if err := g.Circuit(0).RunStage(0); err != nil {
				b.Fatal(err)
			}
		}
	}
	reportRows(b, 2*n*batch.BlockRows)
}
