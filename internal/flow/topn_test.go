package flow_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/types"
)

// inputSpec is one operator over one input.
func inputSpec(op flow.Op, in, out []types.Type, appendOnly bool) *flow.Spec {
	return &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "r0", AppendOnly: appendOnly}, Out: in},
		{Op: op, In: []int{0}, Out: out},
		{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: out},
	}}
}

// TestTopNOfRowsThatNeverGo compares the forms of Top-N for append-only input, of few
// and of many places, with the oracle.
func TestTopNOfRowsThatNeverGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &circuits{t: t, inputs: map[string][]types.Type{}}
		ts := drawTypes(t, 1)
		c.inputs["r0"] = ts
		op := &flow.TopN{
			Partition: c.columns(ts, 1), Order: c.order(ts), Rank: flow.RankKind(rapid.IntRange(0, 2).Draw(t, "rank")),
			Limit:  int64(rapid.SampledFrom([]int{-1, 0, 1, 1, 2, 5, 20}).Draw(t, "limit")),
			Offset: int64(rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "offset")), Number: rapid.Bool().Draw(t, "number"),
		}
		out := ts
		if op.Number {
			out = append(slices.Clone(ts), int8T)
		}
		spec := inputSpec(op, ts, out, true)
		run := newRunner(t, spec, 1)
		var all oracle.Table
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			var rows oracle.Table
			for range rapid.IntRange(0, 8).Draw(t, "rows") {
				rows = append(rows, oracle.Row{V: drawRow(t, ts), W: int64(rapid.IntRange(1, 2).Draw(t, "weight"))})
			}
			all = append(all, rows...)
			run.run(t, c.feeds(t, history{"r0": rows}))
			want, err := oracle.Eval(spec, history{"r0": oracle.Consolidate(all)}, &expr.Ctx{})
			if err != nil {
				t.Fatal(err)
			}
			if got := run.sum["out"]; !sameTable(got, want.Outputs["out"]) {
				t.Fatalf("%s gives %s\nwant %s", op.Describe(), show(got), show(want.Outputs["out"]))
			}
		}
	})
}

// drawMarked draws an operator over rows of a key, a time and a number, with an order
// and partitions that marks may free.
func drawMarked(t *rapid.T, c *circuits, ts []types.Type) (flow.Op, []types.Type, []flow.Node) {
	order := []flow.SortKey{{Col: rapid.SampledFrom([]int{1, 1, 2}).Draw(t, "order"), Desc: rapid.IntRange(0, 3).Draw(t, "desc") == 0}}
	partition := rapid.SampledFrom([][]int{nil, {0}, {1}, {0, 1}}).Draw(t, "partition")
	if rapid.Bool().Draw(t, "topn") {
		return &flow.TopN{Partition: partition, Order: order, Limit: int64(rapid.IntRange(-1, 3).Draw(t, "limit")),
			Rank: flow.RankKind(rapid.IntRange(0, 2).Draw(t, "rank"))}, ts, nil
	}
	op := &flow.Over{Partition: partition, Order: order}
	out := slices.Clone(ts)
	var nodes []flow.Node
	add := func(k types.Kind, delta int64) int {
		p := &flow.Project{}
		for i, x := range out {
			p.Exprs = append(p.Exprs, col(i, x))
		}
		fn := "+"
		if order[0].Desc {
			fn = "-"
		}
		p.Exprs = append(p.Exprs, call(fn, col(order[0].Col, out[order[0].Col]), expr.Const{V: types.IntValue(k, delta)}))
		out = append(out, int8T)
		nodes = append(nodes, flow.Node{Op: p, In: []int{len(nodes)}, Out: slices.Clone(out)})
		return len(out) - 1
	}
	for range rapid.IntRange(1, 2).Draw(t, "calls") {
		op.Calls = append(op.Calls, c.overCall(ts, op, true, add))
	}
	for i := range op.Calls {
		out = append(out, op.Calls[i].Ret)
	}
	return op, out, nodes
}

// TestFreeingChangesNoAnswer runs Top-N and window functions over rows in rising time,
// more or less, with and without marks: the output must be the same, bit for bit.
func TestFreeingChangesNoAnswer(t *testing.T) {
	freed := 0
	rapid.Check(t, func(t *rapid.T) {
		ts := []types.Type{int8T, int8T, int8T}
		c := &circuits{t: t, inputs: map[string][]types.Type{"r0": ts}}
		op, out, between := drawMarked(t, c, ts)
		only := rapid.Bool().Draw(t, "append-only")
		spec := &flow.Spec{Nodes: []flow.Node{{Op: &flow.Input{Rel: "r0", AppendOnly: only}, Out: ts}}}
		spec.Nodes = append(spec.Nodes, between...)
		n := len(spec.Nodes)
		spec.Nodes = append(spec.Nodes, flow.Node{Op: op, In: []int{n - 1}, Out: out},
			flow.Node{Op: &flow.Output{Name: "out"}, In: []int{n}, Out: out})
		with, without := newRunner(t, spec, 1), newRunner(t, spec, 1)
		mark := int64(0)
		var live oracle.Table
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			step := drawMarkedStep(t, &live, mark, only)
			mark += int64(rapid.IntRange(0, 4).Draw(t, "mark"))
			feeds := c.feeds(t, history{"r0": step})
			b := without.run(t, feeds)
			feeds[0].Marks = []int64{flow.NoMark, mark, flow.NoMark}
			// What comes below the new mark comes before the mark does.
			a := with.run(t, feeds)
			if a[0].Digest != b[0].Digest {
				t.Fatalf("%s\nwith marks gives %s\nwithout %s", op.Describe(), show(oracle.FromBatch(a[0].Batch)), show(oracle.FromBatch(b[0].Batch)))
			}
			for k, m := range a[0].Marks {
				for _, r := range oracle.FromBatch(a[0].Batch) {
					if before := with.marks; len(before) > k && !r.V[k].Null && before[k] != flow.NoMark && r.V[k].I < before[k] {
						t.Fatalf("%s: a change of column %d has %d, below the mark %d", op.Describe(), k, r.V[k].I, before[k])
					}
				}
				_ = m
			}
			with.marks = slices.Clone(a[0].Marks)
		}
		if held(with) < held(without) {
			freed++
		}
	})
	if freed == 0 {
		t.Error("no run freed anything")
	}
}

// held is how many rows the operators hold.
func held(r *runner) int64 {
	n := int64(0)
	for _, c := range r.group.Counters() {
		n += max(c.Rows, 0)
	}
	return n
}

// drawMarkedStep draws changes of rows whose time is at least mark, or NULL.
func drawMarkedStep(t *rapid.T, live *oracle.Table, mark int64, only bool) oracle.Table {
	var step oracle.Table
	for range rapid.IntRange(0, 5).Draw(t, "changes") {
		if !only && rapid.IntRange(0, 3).Draw(t, "withdraw") == 0 {
			if k := slices.IndexFunc(*live, func(r oracle.Row) bool { return r.V[1].Null || r.V[1].I >= mark }); k >= 0 {
				step = append(step, oracle.Row{V: (*live)[k].V, W: -1})
				*live = slices.Delete(*live, k, k+1)
				continue
			}
		}
		row := []types.Value{types.IntValue(types.Int8, int64(rapid.IntRange(0, 1).Draw(t, "key"))),
			types.IntValue(types.Int8, mark+int64(rapid.IntRange(0, 5).Draw(t, "time"))),
			types.IntValue(types.Int8, int64(rapid.IntRange(0, 3).Draw(t, "number")))}
		if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
			row[1] = types.NullOf(int8T)
		}
		step = append(step, oracle.Row{V: row, W: 1})
		*live = append(*live, oracle.Row{V: row, W: 1})
	}
	return step
}

// benchTopN pushes blocks of (key, number), 16 a step.
func benchTopN(b *testing.B, op *flow.TopN, keys uint64, rising bool) {
	g := mustGroup(b, inputSpec(op, repeat(int8T, 2), repeat(int8T, 2), true))
	blocks := intBlocks(256, keys, 0)
	if !rising {
		for _, x := range blocks {
			for i, v := range x.Cols[1].I64 {
				x.Cols[1].I64[i] = int64(mixed(uint64(v) + 7))
			}
		}
	}
	step := int64(0)
	next := 0
	start := cpuNanos()
	for b.Loop() {
		step++
		g.BeginStep(step, 0)
		for range 16 {
			if err := g.Push("r0", 0, blocks[next%len(blocks)]); err != nil {
				b.Fatal(err)
			}
			next++
		}
		if err := g.Circuit(0).RunStage(0); err != nil {
			b.Fatal(err)
		}
		if _, _, err := g.EndStep(); err != nil {
			b.Fatal(err)
		}
	}
	reportRows(b, 16*batch.BlockRows)
	b.ReportMetric(float64(cpuNanos()-start)/float64(b.N*16*batch.BlockRows), "cpu-ns/row")
}

// cpuNanos is the processor time of the process, which others on the machine do not add to.
func cpuNanos() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// One op is a step of 16 blocks of 4096 rows that never go.
func BenchmarkTopNAppendOnly(b *testing.B) {
	for _, bm := range []struct {
		name   string
		limit  int64
		desc   bool
		keys   uint64
		rising bool
	}{
		{"keep-first", 1, false, 1 << 16, true}, {"keep-last", 1, true, 1 << 16, true},
		{"keep-last-many-keys", 1, true, 1 << 20, true}, {"top-10", 10, true, 1 << 16, false}, {"top-10-few-keys", 10, true, 1 << 10, false},
	} {
		b.Run(fmt.Sprintf("%s-%d", bm.name, bm.keys), func(b *testing.B) {
			benchTopN(b, &flow.TopN{Partition: []int{0}, Order: []flow.SortKey{{Col: 1, Desc: bm.desc}}, Limit: bm.limit}, bm.keys, bm.rising)
		})
	}
}

// TestTopNWindowMoves lets windows of many rows move far in a step, over rows that
// come and go in numbers.
func TestTopNWindowMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := []types.Type{int8T, int8T}
		c := &circuits{t: t, inputs: map[string][]types.Type{"r0": ts}}
		op := &flow.TopN{Order: []flow.SortKey{{Col: 0, Desc: rapid.Bool().Draw(t, "desc")}}, Limit: int64(rapid.IntRange(-1, 12).Draw(t, "limit")),
			Offset: int64(rapid.SampledFrom([]int{0, 1, 5, 12}).Draw(t, "offset"))}
		spec := inputSpec(op, ts, ts, false)
		run := newRunner(t, spec, 1)
		var all oracle.Table
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			var rows oracle.Table
			come := int64(rapid.IntRange(0, 20).Draw(t, "from"))
			for k := range int64(rapid.IntRange(0, 20).Draw(t, "come")) {
				rows = append(rows, oracle.Row{V: []types.Value{types.IntValue(types.Int8, come+k/2), types.IntValue(types.Int8, k%3)},
					W: int64(rapid.IntRange(1, 2).Draw(t, "weight"))})
			}
			if n := len(all); n > 0 {
				from := rapid.IntRange(0, n-1).Draw(t, "first that goes")
				for _, r := range all[from:min(n, from+rapid.IntRange(0, 20).Draw(t, "go"))] {
					rows = append(rows, oracle.Row{V: r.V, W: -int64(rapid.IntRange(1, int(r.W)).Draw(t, "times"))})
				}
			}
			all = oracle.Consolidate(append(all, rows...))
			run.run(t, c.feeds(t, history{"r0": rows}))
			want, err := oracle.Eval(spec, history{"r0": all}, &expr.Ctx{})
			if err != nil {
				t.Fatal(err)
			}
			if got := run.sum["out"]; !sameTable(got, want.Outputs["out"]) {
				t.Fatalf("%s gives %s\nwant %s", op.Describe(), show(got), show(want.Outputs["out"]))
			}
		}
	})
}
