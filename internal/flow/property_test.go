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

// kinds are the column types of random tables.
var kinds = []types.Kind{types.Int8, types.Int4, types.Text, types.Float8, types.Bool, types.Timestamp, types.Numeric}

// call builds a call of a function that takes its arguments as they are.
func call(name string, args ...expr.Expr) expr.Expr {
	var ts []types.Type
	for _, a := range args {
		ts = append(ts, a.Type())
	}
	fn, _, ret, err := expr.Resolve(name, ts)
	if err != nil {
		panic(err)
	}
	return &expr.Call{Fn: fn, Args: args, T: ret}
}

func col(i int, t types.Type) expr.Expr { return expr.Col{Index: i, T: t} }

func drawValue(t *rapid.T, ty types.Type) types.Value {
	n := rapid.IntRange(-1, 3).Draw(t, "value")
	if n < 0 {
		return types.NullOf(ty)
	}
	v := types.Value{T: ty}
	switch ty.Layout() {
	case types.LayoutBool:
		v.I = int64(n & 1)
	case types.LayoutInt:
		v.I = int64(n)
	case types.LayoutFloat:
		v.F = float64(n) / 2
	case types.LayoutDec: // 1.0 and 1.00 are equal and print differently
		v.D = []types.Decimal{{Lo: 10, Scale: 1}, {Lo: 100, Scale: 2}, {Lo: 2}, {Hi: -1, Lo: ^uint64(6)}}[n]
	case types.LayoutStr:
		v.S = []string{"", "a", "a longer text than a word holds", "b"}[n]
	}
	return v
}

func drawTypes(t *rapid.T, least int) []types.Type {
	n := rapid.IntRange(least, 3).Draw(t, "columns")
	ts := make([]types.Type, n)
	for i := range ts {
		ts[i] = types.T(rapid.SampledFrom(kinds).Draw(t, "kind"))
	}
	return ts
}

func drawRow(t *rapid.T, ts []types.Type) []types.Value {
	row := make([]types.Value, len(ts))
	for i := range row {
		row[i] = drawValue(t, ts[i])
	}
	return row
}

// circuits draws random specs.
type circuits struct {
	t      *rapid.T
	spec   flow.Spec
	inputs map[string][]types.Type
}

func (c *circuits) add(op flow.Op, out []types.Type, in ...int) int {
	c.spec.Nodes = append(c.spec.Nodes, flow.Node{Op: op, In: in, Out: out})
	return len(c.spec.Nodes) - 1
}

func (c *circuits) out(n int) []types.Type { return c.spec.Nodes[n].Out }

func (c *circuits) input(ts []types.Type) int {
	rel := fmt.Sprintf("r%d", len(c.inputs))
	c.inputs[rel] = ts
	return c.add(&flow.Input{Rel: rel}, ts)
}

// any returns a node with at least one column: one there is, or a new one.
func (c *circuits) any() int {
	if n := len(c.spec.Nodes); n > 0 && rapid.IntRange(0, 3).Draw(c.t, "reuse") > 0 {
		i := rapid.IntRange(0, n-1).Draw(c.t, "node")
		if _, end := c.spec.Nodes[i].Op.(*flow.Output); !end && len(c.out(i)) > 0 && len(c.out(i)) < 8 {
			return i
		}
	}
	return c.input(drawTypes(c.t, 1))
}

// like returns a node with the given row type.
func (c *circuits) like(ts []types.Type) int {
	for i := range c.spec.Nodes {
		if sameTypes(c.out(i), ts) && rapid.Bool().Draw(c.t, "same node") {
			return i
		}
	}
	return c.input(ts)
}

func sameTypes(a, b []types.Type) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (c *circuits) column(ts []types.Type) int {
	return rapid.IntRange(0, len(ts)-1).Draw(c.t, "column")
}

func (c *circuits) columns(ts []types.Type, most int) []int {
	var cols []int
	for range rapid.IntRange(0, most).Draw(c.t, "key columns") {
		cols = append(cols, c.column(ts))
	}
	return cols
}

// predicate draws a comparison of columns or with a constant.
func (c *circuits) predicate(ts []types.Type) expr.Expr {
	i := c.column(ts)
	if ts[i].Kind == types.Numeric {
		return &expr.IsNull{Arg: col(i, ts[i]), Negate: rapid.Bool().Draw(c.t, "not")}
	}
	op := rapid.SampledFrom([]string{"=", "<>", "<", ">="}).Draw(c.t, "comparison")
	for k := range ts {
		if k != i && ts[k] == ts[i] && rapid.Bool().Draw(c.t, "by column") {
			return call(op, col(i, ts[i]), col(k, ts[k]))
		}
	}
	v := drawValue(c.t, ts[i])
	if v.Null {
		return &expr.IsNull{Arg: col(i, ts[i]), Negate: rapid.Bool().Draw(c.t, "not")}
	}
	return call(op, col(i, ts[i]), expr.Const{V: v})
}

// scalar draws an expression; a division may go wrong.
func (c *circuits) scalar(ts []types.Type) expr.Expr {
	i := c.column(ts)
	if k := c.column(ts); ts[i].Kind == types.Int8 && ts[k].Kind == types.Int8 {
		if op := rapid.SampledFrom([]string{"", "+", "*", "/"}).Draw(c.t, "arithmetic"); op != "" {
			return call(op, col(i, ts[i]), col(k, ts[k]))
		}
	}
	return col(i, ts[i])
}

func (c *circuits) order(ts []types.Type) []flow.SortKey {
	var keys []flow.SortKey
	for _, k := range c.columns(ts, 2) {
		keys = append(keys, flow.SortKey{
			Col: k, Desc: rapid.Bool().Draw(c.t, "desc"), NullsFirst: rapid.Bool().Draw(c.t, "nulls first"),
		})
	}
	return keys
}

// node draws one operator.
func (c *circuits) node() int {
	kind := rapid.SampledFrom(operators).Draw(c.t, "operator")
	in := c.any()
	ts := c.out(in)
	switch kind {
	case "filter":
		return c.add(&flow.Filter{Pred: c.predicate(ts)}, ts, in)
	case "project":
		op := &flow.Project{}
		var out []types.Type
		for range rapid.IntRange(1, 3).Draw(c.t, "expressions") {
			e := c.scalar(ts)
			op.Exprs, out = append(op.Exprs, e), append(out, e.Type())
		}
		return c.add(op, out, in)
	case "window":
		return c.window(in, ts)
	case "union":
		return c.add(&flow.Union{}, ts, in, c.like(ts))
	case "setop":
		op := &flow.SetOp{Except: rapid.Bool().Draw(c.t, "except"), All: rapid.Bool().Draw(c.t, "all")}
		return c.add(op, ts, in, c.like(ts))
	case "topn":
		op := &flow.TopN{
			Partition: c.columns(ts, 2), Order: c.order(ts),
			Limit:  int64(rapid.IntRange(-1, 4).Draw(c.t, "limit")),
			Offset: int64(rapid.IntRange(0, 2).Draw(c.t, "offset")),
			Rank:   flow.RankKind(rapid.IntRange(0, 2).Draw(c.t, "rank")),
			Number: rapid.Bool().Draw(c.t, "number"),
		}
		if op.Number {
			ts = append(append([]types.Type{}, ts...), types.T(types.Int8))
		}
		return c.add(op, ts, in)
	case "over":
		return c.over(in, ts)
	case "asof":
		return c.asOf(in, ts)
	case "buckets":
		return c.buckets(in, ts)
	case "distinct":
		return c.add(&flow.Distinct{}, ts, in)
	case "aggregate":
		return c.aggregate(in, ts)
	case "values":
		bu := batch.NewBuilder(ts)
		for range rapid.IntRange(0, 3).Draw(c.t, "constant rows") {
			bu.AppendRow(drawRow(c.t, ts), 1)
		}
		return c.add(&flow.Union{}, ts, in, c.add(&flow.Values{Rows: bu.Seal()}, ts))
	}
	return c.join(in, ts)
}

func (c *circuits) window(in int, ts []types.Type) int {
	for i, t := range ts {
		if t.Kind == types.Timestamp {
			if rapid.IntRange(0, 3).Draw(c.t, "session") == 0 {
				op := &flow.Session{Time: i, Partition: c.columns(ts, 2), Gap: int64(rapid.IntRange(1, 2).Draw(c.t, "gap"))}
				return c.add(op, append(append([]types.Type{}, ts...), t, t), in)
			}
			slide := int64(rapid.IntRange(1, 3).Draw(c.t, "slide"))
			op := &flow.Window{
				Time: i, Slide: slide, Size: slide + int64(rapid.IntRange(0, 3).Draw(c.t, "more")),
				Offset: int64(rapid.IntRange(-4, 4).Draw(c.t, "offset")),
			}
			if rapid.IntRange(0, 3).Draw(c.t, "cumulate") == 0 {
				op.Step = int64(rapid.IntRange(1, 3).Draw(c.t, "step"))
				op.Size = op.Step * int64(rapid.IntRange(1, 4).Draw(c.t, "steps"))
				op.Slide = op.Size
			}
			return c.add(op, append(append([]types.Type{}, ts...), t, t), in)
		}
	}
	return in
}

func (c *circuits) join(in int, ts []types.Type) int {
	right := c.any()
	rs := c.out(right)
	op := &flow.Join{
		Kind:     flow.JoinKind(rapid.IntRange(int(flow.JoinInner), int(flow.JoinAntiNull)).Draw(c.t, "kind")),
		NullSafe: rapid.IntRange(0, 4).Draw(c.t, "null-safe") == 0,
	}
	for range rapid.IntRange(0, 2).Draw(c.t, "keys") {
		l := c.column(ts)
		for r := range rs {
			if rs[r] == ts[l] {
				op.LeftKeys, op.RightKeys = append(op.LeftKeys, l), append(op.RightKeys, r)
				break
			}
		}
	}
	if op.Kind == flow.JoinAntiNull && len(op.LeftKeys) == 0 {
		op.Kind = flow.JoinAnti
	}
	both := append(append([]types.Type{}, ts...), rs...)
	if rapid.IntRange(0, 2).Draw(c.t, "on") == 0 {
		op.On = c.predicate(both)
	}
	out := both
	if op.Kind > flow.JoinFull {
		out = ts
	}
	return c.add(op, out, in, right)
}

func (c *circuits) aggregate(in int, ts []types.Type) int {
	op := &flow.Aggregate{Keys: c.columns(ts, 2)}
	op.Scalar = len(op.Keys) == 0
	var out []types.Type
	for _, k := range op.Keys {
		out = append(out, ts[k])
	}
	for range rapid.IntRange(1, 3).Draw(c.t, "calls") {
		name := rapid.SampledFrom([]string{"count", "min", "max", "sum"}).Draw(c.t, "call")
		arg := c.column(ts)
		args, argTypes := []int{arg}, []types.Type{ts[arg]}
		if name == "sum" && ts[arg].Kind != types.Int4 || ts[arg].Kind == types.Bool {
			name = "count"
		}
		fn, _, ret, err := expr.ResolveAgg(name, argTypes)
		if err != nil {
			panic(err)
		}
		op.Calls = append(op.Calls, flow.AggCall{
			Fn: fn, Args: args, Filter: -1, Ret: ret, Distinct: rapid.Bool().Draw(c.t, "distinct"),
		})
		out = append(out, ret)
	}
	return c.add(op, out, in)
}

// drawSpec draws a circuit of one to four operators with one or two outputs.
func drawSpec(t *rapid.T) *circuits {
	c := &circuits{t: t, inputs: map[string][]types.Type{}}
	last := 0
	for range rapid.IntRange(1, 4).Draw(t, "operators") {
		last = c.node()
	}
	c.add(&flow.Output{Name: "out"}, c.out(last), last)
	if rapid.Bool().Draw(t, "second output") {
		n := c.any()
		c.add(&flow.Output{Name: "also"}, c.out(n), n)
	}
	return c
}

// history is the contents of the inputs as they grow, and the changes of a step.
type history map[string]oracle.Table

// drawStep draws changes: rows that come, and rows that are there and go. In between
// rows may go before they come.
func (c *circuits) drawStep(t *rapid.T, h history) history {
	step := history{}
	for r := range len(c.inputs) {
		rel := fmt.Sprintf("r%d", r)
		var changes oracle.Table
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			now := oracle.Consolidate(append(append(oracle.Table{}, h[rel]...), changes...))
			if len(now) > 0 && rapid.IntRange(0, 2).Draw(t, "withdraw") == 0 {
				row := now[rapid.IntRange(0, len(now)-1).Draw(t, "which")]
				w := int64(rapid.IntRange(1, int(row.W)).Draw(t, "times"))
				changes = append(changes, oracle.Row{V: row.V, W: -w})
				continue
			}
			w := int64(rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "weight"))
			changes = append(changes, oracle.Row{V: drawRow(t, c.inputs[rel]), W: w})
		}
		step[rel] = changes
	}
	return step
}

// feeds cuts a step's changes into blocks at random, in random order.
func (c *circuits) feeds(t *rapid.T, step history) []flow.Feed {
	var out []flow.Feed
	for r := range len(c.inputs) {
		rel := fmt.Sprintf("r%d", r)
		rows := step[rel]
		if len(rows) > 1 && rapid.Bool().Draw(t, "shuffle") {
			rows = rapid.Permutation(rows).Draw(t, "order")
		}
		f := flow.Feed{Rel: rel}
		for len(rows) > 0 {
			n := rapid.IntRange(1, len(rows)).Draw(t, "block")
			f.Blocks = append(f.Blocks, oracle.ToBatch(c.inputs[rel], rows[:n]))
			rows = rows[n:]
		}
		out = append(out, f)
	}
	return out
}

// runner is a group and the outputs that it has accumulated.
type runner struct {
	group stepper
	step  int64
	sum   map[string]oracle.Table
	errs  map[string]int64
	marks []int64 // of the first output, for tests that keep them
}

func newRunner(t rapid.TB, spec *flow.Spec, workers int) *runner {
	return &runner{group: newStepper(t, spec, flow.Options{Workers: workers}), sum: map[string]oracle.Table{}}
}

func (r *runner) run(t rapid.TB, in []flow.Feed) []flow.Result {
	r.step++
	res, _, err := r.group.Step(r.step, 0, in...)
	if err != nil {
		t.Fatalf("step %d: %v", r.step, err)
	}
	for _, o := range res {
		rows := oracle.FromBatch(o.Batch)
		for i, row := range rows {
			if row.W == 0 {
				t.Fatalf("step %d: output %q has a row of weight 0", r.step, o.Name)
			}
			if i > 0 && oracle.CompareRows(rows[i-1].V, row.V) >= 0 {
				t.Fatalf("step %d: output %q: rows %d and %d are not in order", r.step, o.Name, i-1, i)
			}
		}
		r.sum[o.Name] = oracle.Consolidate(append(r.sum[o.Name], rows...))
	}
	return res
}

func show(tab oracle.Table) string {
	s := ""
	for _, r := range tab {
		s += fmt.Sprintf("\n%+d (", r.W)
		for i, v := range r.V {
			if i > 0 {
				s += ", "
			}
			switch {
			case v.Null:
				s += "null"
			case v.T.Layout() == types.LayoutStr:
				s += fmt.Sprintf("%q", v.S)
			case v.T.Layout() == types.LayoutFloat:
				s += fmt.Sprint(v.F)
			case v.T.Layout() == types.LayoutDec:
				s += fmt.Sprintf("%d:%d/%d", v.D.Hi, v.D.Lo, v.D.Scale)
			default:
				s += fmt.Sprint(v.I)
			}
		}
		s += ")"
	}
	return s
}

func sameTable(a, b oracle.Table) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].W != b[i].W || oracle.CompareRows(a[i].V, b[i].V) != 0 {
			return false
		}
	}
	return true
}

// TestCircuitsEqualOracle runs random circuits over random histories on several
// numbers of workers, each with its own cuts, and compares what they have put out
// after every step with what the oracle gives for the whole input.
func TestCircuitsEqualOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawSpec(t)
		var runs []*runner
		for _, w := range []int{1, 2, 3, 7} {
			runs = append(runs, newRunner(t, &c.spec, w))
		}
		all := history{}
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			step := c.drawStep(t, all)
			for rel, rows := range step {
				all[rel] = oracle.Consolidate(append(all[rel], rows...))
			}
			want, err := oracle.Eval(&c.spec, all, &expr.Ctx{})
			if err != nil {
				t.Fatal(err)
			}
			var first []flow.Result
			for i, r := range runs {
				res := r.run(t, c.feeds(t, step))
				for k, o := range res {
					if !sameTable(r.sum[o.Name], want.Outputs[o.Name]) {
						t.Fatalf("%d workers, output %q is %s\nwant %s\ncircuit\n%s", r.group.Workers(), o.Name,
							show(r.sum[o.Name]), show(want.Outputs[o.Name]), c.spec.Explain(flow.ExplainOptions{Workers: r.group.Workers()}))
					}
					if i > 0 && first[k].Digest != o.Digest {
						t.Fatalf("output %q: digest %v on %d workers, %v on one", o.Name, o.Digest, r.group.Workers(), first[k].Digest)
					}
				}
				if i == 0 {
					first = res
				}
			}
		}
	})
}

// operators are the kinds of operators that random circuits are made of.
var operators = []string{"filter", "project", "window", "union", "setop", "topn", "over", "values", "aggregate", "distinct", "asof", "buckets", "join", "join", "join"}
