package flow_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/state/statetest"
	"github.com/tidemill/tidemill/internal/types"
)

// kind is an operator as the restore test runs it: over inputs "l" and "r" of a key, a
// time and a number.
type kind struct {
	op    flow.Op
	two   bool         // reads both
	only  bool         // the input is append-only
	keeps bool         // something from step to step
	more  []types.Type // columns that it appends; of two inputs, the right ones
	out   []types.Type // if it does not pass the columns on
}

var kindTypes = []types.Type{types.T(types.Int8), types.T(types.Timestamp), types.T(types.Int8)}

// operatorKinds lists every operator, some in several forms, by name; what comes
// behind a blank in the name tells the forms apart.
func operatorKinds(t *testing.T) map[string]kind {
	bigints, stamps := kindTypes[:1], []types.Type{kindTypes[1], kindTypes[1]}
	count := countStar()
	series, _, ret, err := expr.ResolveSet("generate_series", []types.Type{int8T, int8T})
	if err != nil {
		t.Fatal(err)
	}
	values := oracle.ToBatch(kindTypes, oracle.Table{{V: []types.Value{types.IntValue(types.Int8, 7), types.NullOf(kindTypes[1]), types.IntValue(types.Int8, 8)}, W: 1}})
	order := []flow.SortKey{{Col: 2}}
	match := func(final bool) *flow.Match { // a value, greater ones, and a smaller one
		slot := func(k flow.MatchRowKind, vars uint64, shift int) flow.MatchSlot {
			return flow.MatchSlot{T: int8T, Col: 2, Row: flow.MatchRow{Kind: k, Vars: vars, Shift: shift}}
		}
		return &flow.Match{
			Partition: []int{0}, Order: []flow.SortKey{{Col: 1}}, Vars: []string{"a", "b", "c"}, Final: final, Empty: true,
			Pattern:  &pattern.Node{Op: pattern.Concat, Kids: []*pattern.Node{patVar(0), patRep(patVar(1), 0, -1), patVar(2)}},
			Slots:    []flow.MatchSlot{slot(0, 0, 0), slot(flow.RowFirst, 1, 0), slot(flow.RowLast, 7, 0)},
			Define:   []expr.Expr{nil, call(">=", col(0, int8T), col(1, int8T)), call("<", col(0, int8T), col(1, int8T))},
			Measures: []expr.Expr{col(1, int8T), col(2, int8T)}, Pass: []int{0},
		}
	}
	threeBigints := repeat(int8T, 3)
	return map[string]kind{
		"Input":            {op: &flow.Union{}}, // which is alone here, and passes on
		"Output":           {op: &flow.Union{}},
		"Values":           {op: &flow.Values{Rows: values}, keeps: true},
		"Filter":           {op: &flow.Filter{Pred: call("<", col(2, int8T), expr.Const{V: types.IntValue(types.Int8, 5)})}},
		"Project":          {op: &flow.Project{Exprs: []expr.Expr{col(2, int8T)}}, out: bigints},
		"ProjectSet":       {op: &flow.ProjectSet{Fn: series, Args: []expr.Expr{col(0, int8T), col(2, int8T)}}, more: []types.Type{ret}},
		"Window":           {op: &flow.Window{Time: 1, Slide: 5, Size: 10}, more: stamps},
		"Buckets":          {op: &flow.Buckets{Col: 1, Lo: -2, Hi: 2, Width: 7}, more: bigints},
		"Union":            {op: &flow.Union{}, two: true},
		"Exchange":         {op: &flow.Exchange{Keys: []int{0}}},
		"Distinct":         {op: &flow.Distinct{}, keeps: true},
		"SetOp":            {op: &flow.SetOp{Except: true}, two: true, keeps: true},
		"Join inner":       {op: keyed(flow.JoinInner), two: true, keeps: true, more: kindTypes},
		"Join semi":        {op: keyed(flow.JoinSemi), two: true, keeps: true},
		"AsOf":             {op: &flow.AsOf{LeftKeys: []int{0}, RightKeys: []int{0}, LeftTime: 1, RightTime: 1}, two: true, keeps: true, more: kindTypes},
		"Lookup":           {op: &flow.Lookup{LeftKeys: []int{0}, RightKeys: []int{0}}, two: true, keeps: true, more: kindTypes},
		"Aggregate":        {op: &flow.Aggregate{Keys: []int{0}, Calls: []flow.AggCall{count}}, keeps: true, out: repeat(int8T, 2)},
		"Aggregate close":  {op: &flow.Aggregate{Keys: []int{0, 1}, Calls: []flow.AggCall{count}, OnClose: true, CloseKey: 1}, keeps: true, out: []types.Type{int8T, kindTypes[1], int8T}},
		"TopN":             {op: &flow.TopN{Partition: []int{0}, Order: order, Limit: 2}, keeps: true},
		"TopN first":       {op: &flow.TopN{Partition: []int{0}, Order: order, Limit: 16}, only: true, keeps: true},
		"TopN many":        {op: &flow.TopN{Partition: []int{0}, Order: order, Limit: 40, Number: true}, only: true, keeps: true, more: bigints},
		"TopN ranked":      {op: &flow.TopN{Partition: []int{0}, Order: order, Limit: 3, Rank: flow.RankGaps, Number: true}, keeps: true, more: bigints},
		"Over":             {op: &flow.Over{Partition: []int{0}, Order: order, Calls: []flow.OverCall{{Fn: flow.OverRowNumber, NCol: -1, Default: -1, Filter: -1, Ret: int8T}}}, keeps: true, more: bigints},
		"Match retracting": {op: match(false), keeps: true, out: threeBigints},
		"Match final":      {op: match(true), only: true, keeps: true, out: threeBigints},
		"Session":          {op: &flow.Session{Partition: []int{0}, Time: 1, Gap: 4}, keeps: true, more: stamps},
		"Finalize":         {op: &flow.Finalize{Col: 1}, keeps: true},
		"TimeFilter":       {op: &flow.TimeFilter{From: []int{1}}, keeps: true},
		"Expire":           {op: &flow.Expire{TTL: 25}, keeps: true},
	}
}

func (k *kind) spec() *flow.Spec {
	out := k.out
	if out == nil {
		out = append(slices.Clone(kindTypes), k.more...)
	}
	s := &flow.Spec{Nodes: []flow.Node{{Op: &flow.Input{Rel: "l", AppendOnly: k.only}, Out: kindTypes}, {Op: &flow.Input{Rel: "r"}, Out: kindTypes}}}
	in := []int{0}
	if _, source := k.op.(*flow.Values); source {
		in = nil
	} else if k.two {
		in = []int{0, 1}
	}
	s.Nodes = append(s.Nodes, flow.Node{Op: k.op, In: in, Out: out})
	s.Nodes = append(s.Nodes, flow.Node{Op: &flow.Output{Name: "out"}, In: []int{2}, Out: out})
	return s
}

// TestEveryKindOfOperatorIsRestored freezes each operator, restores it into new groups,
// and compares what these give then with the one that went on. An operator that keeps
// nothing gives the same without its image; one that keeps something does not, or the
// test would prove nothing.
func TestEveryKindOfOperatorIsRestored(t *testing.T) {
	kinds := operatorKinds(t)
	for _, name := range operatorNames(t) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(kinds)), func(k string) bool { return strings.Fields(k)[0] == name }) {
			t.Errorf("operator %s is not in the list: does it keep anything from step to step?", name)
		}
	}
	for name, k := range kinds {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d workers", name, workers), func(t *testing.T) {
				alike := true
				for seed := range uint64(6) {
					alike = restoreKind(t, k, workers, seed) && alike
				}
				if alike == k.keeps {
					t.Errorf("it keeps something: %v; a new one gives the same: %v", k.keeps, alike)
				}
			})
		}
	}
}

// restoreKind reports whether a new operator gives the same as the one that went on.
func restoreKind(t *testing.T, k kind, workers int, seed uint64) (alike bool) {
	back := statetest.New()
	opt := flow.Options{Workers: workers, Backing: back, Owner: 5, CheckWrites: true}
	open := func() *flow.Group {
		g, err := flow.New(k.spec(), opt)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	rng := rand.New(rand.NewPCG(seed, 4))
	run, live := open(), oracle.Table{}
	const steps, at = 24, 12
	var image []byte
	for n := range int64(at) {
		in := kindStep(rng, n, &live, k.only)
		if _, _, err := run.Step(n+1, n*10, in...); err != nil {
			t.Fatal(err)
		}
		f := run.Freeze() // after each step, so that it is known what each wrote
		var err error
		if image, err = f.Write(back); err != nil {
			t.Fatal(err)
		}
		f.Done(true)
		back.Complete()
	}
	again, fresh := open(), open()
	if err := again.Restore(image); err != nil {
		t.Fatal(err)
	}
	alike = true
	for n := range int64(steps - at) {
		n += at
		in := kindStep(rng, n, &live, k.only)
		step := func(g *flow.Group) string {
			res, errs, err := g.Step(n+1, n*10, in...)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintln(res[0].Digest, res[0].Batch.Len(), res[0].Marks, errs, g.NextTime())
		}
		want := step(run)
		if got := step(again); got != want {
			t.Fatalf("step %d: restored it gives %s, went on %s", n+1, got, want)
		}
		alike = step(fresh) == want && alike
	}
	return alike
}

// kindStep makes the changes of a step: rows around the time of the step, some of them
// like live ones of "l", of which some go.
func kindStep(rng *rand.Rand, n int64, live *oracle.Table, only bool) []flow.Feed {
	mark := n*10 - 15
	*live = slices.DeleteFunc(*live, func(r oracle.Row) bool { return r.V[1].I < mark })
	feed := func(rel string, count int, keys int64, withdraw bool) flow.Feed {
		var rows oracle.Table
		for range count {
			if withdraw && len(*live) > 0 && rng.IntN(3) == 0 {
				i := rng.IntN(len(*live))
				rows = append(rows, oracle.Row{V: (*live)[i].V, W: -1})
				*live = slices.Delete(*live, i, i+1)
				continue
			}
			r := oracle.Row{V: []types.Value{types.IntValue(types.Int8, rng.Int64N(keys)), types.IntValue(types.Timestamp, max(mark, 0)+rng.Int64N(30)), types.IntValue(types.Int8, rng.Int64N(9))}, W: 1}
			if n := len(*live); n > 0 && rng.IntN(3) == 0 {
				r = (*live)[rng.IntN(n)] // once more
			}
			rows = append(rows, r)
			if withdraw {
				*live = append(*live, r)
			}
		}
		return flow.Feed{Rel: rel, Blocks: []*batch.Batch{oracle.ToBatch(kindTypes, rows)}, Marks: []int64{flow.NoMark, mark, flow.NoMark}}
	}
	return []flow.Feed{feed("l", 6, 4, !only), feed("r", 2, 12, false)}
}

// operatorNames are the types of this package's source with a method isOp.
func operatorNames(t *testing.T) []string {
	var names []string
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		src, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range src.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "isOp" && fn.Recv != nil {
				if star, ok := fn.Recv.List[0].Type.(*ast.StarExpr); ok {
					names = append(names, star.X.(*ast.Ident).Name)
				}
			}
		}
	}
	if len(names) < 20 {
		t.Fatalf("only %d operators found: %v", len(names), names)
	}
	return names
}
