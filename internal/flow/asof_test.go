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

var (
	bigint    = types.T(types.Int8)
	timestamp = types.T(types.Timestamp)
	text      = types.T(types.Text)
)

// stream is a relation with a time column and a mark on it: what comes or goes has
// the mark or more there.
type stream struct {
	rel   string
	types []types.Type
	time  int
	mark  int64
	rows  oracle.Table
}

// change draws changes of a step, which may move the mark at its end.
func (s *stream) change(t *rapid.T, span int64) (oracle.Table, []int64) {
	var changes oracle.Table
	for range rapid.IntRange(0, 6).Draw(t, "changes") {
		now := oracle.Consolidate(append(append(oracle.Table{}, s.rows...), changes...))
		if len(now) > 0 && rapid.IntRange(0, 2).Draw(t, "withdraw") == 0 {
			row := now[rapid.IntRange(0, len(now)-1).Draw(t, "which")]
			if at := row.V[s.time]; at.Null || at.I >= s.mark {
				changes = append(changes, oracle.Row{V: row.V, W: -int64(rapid.IntRange(1, int(row.W)).Draw(t, "times"))})
			}
			continue
		}
		row := drawRow(t, s.types)
		if !row[s.time].Null {
			row[s.time].I = max(s.mark, 0) + rapid.Int64Range(0, span).Draw(t, "time")
		}
		changes = append(changes, oracle.Row{V: row, W: int64(rapid.SampledFrom([]int{1, 1, 2}).Draw(t, "weight"))})
	}
	s.rows = oracle.Consolidate(append(s.rows, changes...))
	marks := make([]int64, len(s.types))
	for i := range marks {
		marks[i] = flow.NoMark
	}
	if rapid.IntRange(0, 2).Draw(t, "move mark") > 0 {
		s.mark = max(s.mark, 0) + rapid.Int64Range(0, span).Draw(t, "by")
	}
	if s.mark > 0 {
		marks[s.time] = s.mark
	}
	return changes, marks
}

// cutUp cuts changes into blocks at random.
func cutUp(t *rapid.T, ts []types.Type, rel string, rows oracle.Table, marks []int64) flow.Feed {
	f := flow.Feed{Rel: rel, Marks: marks}
	if len(rows) > 1 && rapid.Bool().Draw(t, "shuffle") {
		rows = rapid.Permutation(rows).Draw(t, "order")
	}
	for len(rows) > 0 {
		n := rapid.IntRange(1, len(rows)).Draw(t, "block")
		f.Blocks = append(f.Blocks, oracle.ToBatch(ts, rows[:n]))
		rows = rows[n:]
	}
	return f
}

// checkStreams runs spec over random streams on several numbers of workers, and
// compares what it has put out after each step with the oracle. What has been
// promised by marks must hold.
func checkStreams(t *rapid.T, spec *flow.Spec, span int64, streams ...*stream) []*runner {
	var runs []*runner
	for _, w := range []int{1, 3} {
		runs = append(runs, newRunner(t, spec, w))
	}
	promised := make([][]int64, len(runs))
	for range rapid.IntRange(1, 8).Draw(t, "steps") {
		in := make([][]flow.Feed, len(runs))
		all := map[string]oracle.Table{}
		for _, s := range streams {
			changes, marks := s.change(t, span)
			all[s.rel] = s.rows
			for i := range runs {
				in[i] = append(in[i], cutUp(t, s.types, s.rel, changes, marks))
			}
		}
		want, err := oracle.Eval(spec, all, &expr.Ctx{})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range runs {
			res := r.run(t, in[i])
			for _, row := range oracle.FromBatch(res[0].Batch) {
				for c := range promised[i] {
					if v := row.V[c]; !v.Null && v.T.Layout() == types.LayoutInt && v.I < promised[i][c] {
						t.Fatalf("step %d: column %d is %d in %s, below its mark %d", r.step, c, v.I, show(oracle.Table{row}), promised[i][c])
					}
				}
			}
			promised[i] = append(promised[i][:0], res[0].Marks...)
			if !sameTable(r.sum["out"], want.Outputs["out"]) {
				t.Fatalf("%d workers, step %d: %s\nwant %s\n%s", r.group.Workers(), r.step, show(r.sum["out"]),
					show(want.Outputs["out"]), spec.Explain(flow.ExplainOptions{}))
			}
		}
	}
	return runs
}

func twoStreams(op flow.Op, out []types.Type) (*flow.Spec, []*stream) {
	l := &stream{rel: "l", types: []types.Type{bigint, timestamp, text}, time: 1}
	r := &stream{rel: "r", types: []types.Type{bigint, text, timestamp}, time: 2}
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: l.types, Names: []string{"k", "t", "v"}},
		{Op: &flow.Input{Rel: "r"}, Out: r.types, Names: []string{"k", "v", "t"}},
		{Op: op, In: []int{0, 1}, Out: out},
		{Op: &flow.Output{Name: "out"}, In: []int{2}, Out: out},
	}}
	return spec, []*stream{l, r}
}

var bothSides = []types.Type{bigint, timestamp, text, bigint, text, timestamp}

// TestAsOfEqualsOracle has rows of both sides come and go in any order, with marks.
func TestAsOfEqualsOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := &flow.AsOf{LeftTime: 1, RightTime: 2, Outer: rapid.Bool().Draw(t, "outer"), Cmp: flow.AsOfCmp(rapid.IntRange(0, 3).Draw(t, "cmp"))}
		if rapid.IntRange(0, 3).Draw(t, "keyed") > 0 {
			op.LeftKeys, op.RightKeys = []int{0}, []int{0}
		}
		spec, in := twoStreams(op, bothSides)
		// Times far apart, so that the days of calendars pass.
		span := rapid.SampledFrom([]int64{4, 20 << 20}).Draw(t, "span")
		checkStreams(t, spec, span, in...)
	})
}

// TestBucketsEqualOracle compares a join on buckets with the join of all pairs.
func TestBucketsEqualOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo := rapid.Int64Range(-9, 9).Draw(t, "lo")
		hi := lo + rapid.Int64Range(0, 9).Draw(t, "more")
		width := max(hi-lo, rapid.Int64Range(1, 16).Draw(t, "width"))
		// r.t + lo <= l.t <= r.t + hi
		kind := rapid.SampledFrom([]flow.JoinKind{flow.JoinInner, flow.JoinLeft, flow.JoinSemi, flow.JoinAnti}).Draw(t, "kind")
		lt, rt := []types.Type{bigint, bigint, text}, []types.Type{bigint, text, bigint}
		on := func(left, right int) expr.Expr {
			d := call("-", col(left, bigint), col(right, bigint))
			return &expr.Logic{Args: []expr.Expr{
				call(">=", d, expr.Const{V: types.IntValue(types.Int8, lo)}),
				call("<=", d, expr.Const{V: types.IntValue(types.Int8, hi)}),
			}}
		}
		ls := append(append([]types.Type{}, lt...), bigint)
		rs := append(append([]types.Type{}, rt...), bigint)
		out, keep := append(append([]types.Type{}, ls...), rs...), []int{0, 1, 2, 4, 5, 6}
		plain := append(append([]types.Type{}, lt...), rt...)
		if kind > flow.JoinFull {
			out, keep, plain = ls, []int{0, 1, 2}, lt
		}
		p := &flow.Project{}
		for _, c := range keep {
			p.Exprs = append(p.Exprs, col(c, out[c]))
		}
		spec := &flow.Spec{Nodes: []flow.Node{
			{Op: &flow.Input{Rel: "l"}, Out: lt},
			{Op: &flow.Input{Rel: "r"}, Out: rt},
			{Op: &flow.Buckets{Col: 1, Width: width}, In: []int{0}, Out: ls},
			{Op: &flow.Buckets{Col: 2, Lo: lo, Hi: hi, Width: width}, In: []int{1}, Out: rs},
			{Op: &flow.Join{Kind: kind, LeftKeys: []int{3}, RightKeys: []int{3}, On: on(1, 6)}, In: []int{2, 3}, Out: out},
			{Op: p, In: []int{4}, Out: plain},
			{Op: &flow.Output{Name: "out"}, In: []int{5}, Out: plain},
			{Op: &flow.Join{Kind: kind, On: on(1, 5)}, In: []int{0, 1}, Out: plain},
			{Op: &flow.Output{Name: "pairs"}, In: []int{7}, Out: plain},
		}}
		l1 := &stream{rel: "l", types: lt, time: 1}
		r1 := &stream{rel: "r", types: rt, time: 2}
		for _, run := range checkStreams(t, spec, 30, l1, r1) {
			if !sameTable(run.sum["out"], run.sum["pairs"]) {
				t.Fatalf("buckets give %s\nall pairs %s", show(run.sum["out"]), show(run.sum["pairs"]))
			}
		}
	})
}

// TestAsOfForgets runs many rows through an AsOf with marks and looks at its memory.
func TestAsOfForgets(t *testing.T) {
	for _, cmp := range []flow.AsOfCmp{flow.AsOfGE, flow.AsOfGT, flow.AsOfLE, flow.AsOfLT} {
		t.Run(cmp.String(), func(t *testing.T) {
			op := &flow.AsOf{LeftKeys: []int{0}, RightKeys: []int{0}, LeftTime: 1, RightTime: 2, Cmp: cmp}
			spec, in := twoStreams(op, bothSides)
			g, err := flow.New(spec, flow.Options{Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			const second, perStep = 1_000_000, 200
			var after10 int64
			for step := int64(1); step <= 100; step++ {
				var feeds []flow.Feed
				for p, s := range in {
					var rows oracle.Table
					for k := range int64(perStep) {
						row := make([]types.Value, 3)
						for c, ty := range s.types {
							row[c] = types.NullOf(ty)
						}
						row[0] = types.IntValue(types.Int8, k%7)
						row[s.time] = types.IntValue(types.Timestamp, step*10*second+k*1000+int64(p))
						rows = append(rows, oracle.Row{V: row, W: 1})
					}
					marks := []int64{flow.NoMark, flow.NoMark, flow.NoMark}
					marks[s.time] = step * 10 * second
					feeds = append(feeds, flow.Feed{Rel: s.rel, Blocks: oracleBlocks(s.types, rows), Marks: marks})
				}
				if _, _, err := g.Step(step, 0, feeds...); err != nil {
					t.Fatal(err)
				}
				if step == 10 {
					after10 = g.StateBytes()
				}
			}
			if now := g.StateBytes(); now > after10*5/4 {
				t.Fatalf("%d bytes after 10 steps, %d after 100", after10, now)
			}
		})
	}
}

func oracleBlocks(ts []types.Type, rows oracle.Table) []*batch.Batch {
	return []*batch.Batch{oracle.ToBatch(ts, rows)}
}

// asOf draws an AsOf over in, whose columns are ts, if there are columns for it.
func (c *circuits) asOf(in int, ts []types.Type) int {
	right := c.any()
	rs := c.out(right)
	op := &flow.AsOf{Outer: rapid.Bool().Draw(c.t, "outer"), Cmp: flow.AsOfCmp(rapid.IntRange(0, 3).Draw(c.t, "cmp"))}
	l, r := intColumns(ts), intColumns(rs)
	if len(l) == 0 || len(r) == 0 {
		return in
	}
	op.LeftTime, op.RightTime = rapid.SampledFrom(l).Draw(c.t, "left time"), rapid.SampledFrom(r).Draw(c.t, "right time")
	if rapid.Bool().Draw(c.t, "keyed") {
		k := c.column(ts)
		for i := range rs {
			if rs[i] == ts[k] {
				op.LeftKeys, op.RightKeys = []int{k}, []int{i}
				break
			}
		}
	}
	return c.add(op, append(append([]types.Type{}, ts...), rs...), in, right)
}

// buckets draws a Buckets over in.
func (c *circuits) buckets(in int, ts []types.Type) int {
	cols := intColumns(ts)
	if len(cols) == 0 {
		return in
	}
	lo := rapid.Int64Range(-5, 5).Draw(c.t, "lo")
	hi := lo + rapid.Int64Range(0, 4).Draw(c.t, "span")
	op := &flow.Buckets{Col: rapid.SampledFrom(cols).Draw(c.t, "bucketed"), Lo: lo, Hi: hi, Width: max(hi-lo, 1)}
	return c.add(op, append(append([]types.Type{}, ts...), bigint), in)
}

func intColumns(ts []types.Type) []int {
	var out []int
	for i, t := range ts {
		if t.Layout() == types.LayoutInt {
			out = append(out, i)
		}
	}
	return out
}
