package flow_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/types"
)

var (
	int8T = types.T(types.Int8)
	textT = types.T(types.Text)
	tsT   = types.T(types.Timestamp)
)

func repeat(t types.Type, n int) []types.Type {
	ts := make([]types.Type, n)
	for i := range ts {
		ts[i] = t
	}
	return ts
}

// rows parses lines of bigints, "+1 1 2; -1 3 null": weight and values.
func rows(ts []types.Type, s string) oracle.Table {
	var out oracle.Table
	for line := range strings.SplitSeq(s, ";") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		w, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			panic(err)
		}
		r := oracle.Row{W: w}
		for i, x := range f[1:] {
			v := types.Value{T: ts[i]}
			switch {
			case x == "null":
				v.Null = true
			case ts[i].Layout() == types.LayoutStr:
				v.S = x
			default:
				if v.I, err = strconv.ParseInt(x, 10, 64); err != nil {
					panic(err)
				}
			}
			r.V = append(r.V, v)
		}
		out = append(out, r)
	}
	return oracle.Consolidate(out)
}

// steps feeds a circuit of inputs "l" and "r" of bigint columns step by step, and
// checks the changes of output "out" in each step.
type steps struct {
	t    *testing.T
	spec *flow.Spec
	runs []stepper
	n    int64
}

func newSteps(t *testing.T, spec *flow.Spec) *steps {
	t.Helper()
	s := &steps{t: t, spec: spec}
	for _, w := range []int{1, 2, 5} {
		s.runs = append(s.runs, newStepper(t, spec, flow.Options{Workers: w}))
	}
	return s
}

func (s *steps) types(rel string) []types.Type {
	for _, n := range s.spec.Nodes {
		if in, ok := n.Op.(*flow.Input); ok && in.Rel == rel {
			return n.Out
		}
	}
	return nil
}

func (s *steps) step(left, right, want string) {
	s.t.Helper()
	s.n++
	out := s.spec.Nodes[len(s.spec.Nodes)-1].Out
	for _, g := range s.runs {
		var in []flow.Feed
		for rel, text := range map[string]string{"l": left, "r": right} {
			if ts := s.types(rel); ts != nil {
				f := flow.Feed{Rel: rel}
				for _, r := range rows(ts, text) { // a block a row
					f.Blocks = append(f.Blocks, oracle.ToBatch(ts, oracle.Table{r}))
				}
				in = append(in, f)
			}
		}
		res, _, err := g.Step(s.n, 0, in...)
		if err != nil {
			s.t.Fatal(err)
		}
		if got := oracle.FromBatch(res[0].Batch); !sameTable(got, rows(out, want)) {
			s.t.Errorf("step %d on %d workers gives%s\nwant%s", s.n, g.Workers(), show(got), show(rows(out, want)))
		}
	}
}

// unary is a circuit of one operator over input "l".
func unary(in []types.Type, op flow.Op, out []types.Type) *flow.Spec {
	return &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: in},
		{Op: op, In: []int{0}, Out: out},
		{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: out},
	}}
}

// binary is a circuit of one operator over inputs "l" and "r" of two bigints each.
func binary(op flow.Op, columns int) *flow.Spec {
	out := repeat(int8T, columns)
	return &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: repeat(int8T, 2)},
		{Op: &flow.Input{Rel: "r"}, Out: repeat(int8T, 2)},
		{Op: op, In: []int{0, 1}, Out: out},
		{Op: &flow.Output{Name: "out"}, In: []int{2}, Out: out},
	}}
}

func keyed(kind flow.JoinKind) *flow.Join {
	return &flow.Join{Kind: kind, LeftKeys: []int{0}, RightKeys: []int{0}}
}

func TestInnerJoinMultipliesWeights(t *testing.T) {
	s := newSteps(t, binary(keyed(flow.JoinInner), 4))
	s.step("2 1 10; 1 null 5", "3 1 20; 1 null 6", "6 1 10 1 20")
	s.step("-1 1 10", "", "-3 1 10 1 20")
	s.step("-1 1 10; 1 1 11", "-3 1 20; 1 1 21", "-3 1 10 1 20; 1 1 11 1 21")
}

func TestLeftJoinTurnsWithItsMatches(t *testing.T) {
	s := newSteps(t, binary(keyed(flow.JoinLeft), 4))
	s.step("2 1 10; 1 null 5", "", "2 1 10 null null; 1 null 5 null null")
	s.step("", "1 1 20", "-2 1 10 null null; 2 1 10 1 20")
	s.step("", "1 1 21; -1 1 20", "-2 1 10 1 20; 2 1 10 1 21")
	s.step("-1 1 10; 1 1 12", "-1 1 21", "-2 1 10 1 21; 1 1 10 null null; 1 1 12 null null")
	s.step("-1 null 5; -1 1 10; -1 1 12", "", "-1 null 5 null null; -1 1 10 null null; -1 1 12 null null")
}

func TestFullJoinWithCondition(t *testing.T) {
	j := keyed(flow.JoinFull)
	j.On = call("<", col(1, int8T), col(3, int8T))
	s := newSteps(t, binary(j, 4))
	s.step("1 1 10", "1 1 5", "1 1 10 null null; 1 null null 1 5")
	s.step("", "2 1 15", "-1 1 10 null null; 2 1 10 1 15")
	s.step("1 1 1", "", "1 1 1 1 5; 2 1 1 1 15; -1 null null 1 5")
	s.step("-1 1 10; -1 1 1", "", "-2 1 10 1 15; -1 1 1 1 5; -2 1 1 1 15; 1 null null 1 5; 2 null null 1 15")
}

func TestSemiAndAntiJoin(t *testing.T) {
	s := newSteps(t, binary(keyed(flow.JoinSemi), 2))
	s.step("2 1 10; 1 null 5", "", "")
	s.step("", "5 1 20; 1 null 1", "2 1 10")
	s.step("1 1 11", "-4 1 20", "1 1 11")
	s.step("", "-1 1 20", "-2 1 10; -1 1 11")
	s = newSteps(t, binary(keyed(flow.JoinAnti), 2))
	s.step("2 1 10; 1 null 5", "", "2 1 10; 1 null 5")
	s.step("", "5 1 20; 1 null 1", "-2 1 10")
	s.step("1 1 11; 1 2 1", "-5 1 20", "2 1 10; 1 1 11; 1 2 1")
}

func TestNotInKnowsNulls(t *testing.T) {
	s := newSteps(t, binary(keyed(flow.JoinAntiNull), 2))
	s.step("1 1 10; 1 null 5", "", "1 1 10; 1 null 5") // NOT IN the empty set
	s.step("", "1 2 0", "-1 null 5")                   // NULL is not known to differ from 2
	s.step("1 2 7; 1 3 8", "", "1 3 8")
	s.step("", "1 null 0", "-1 1 10; -1 3 8") // nothing is known to differ from NULL
	s.step("", "-1 null 0; -1 2 0", "1 1 10; 1 null 5; 1 2 7; 1 3 8")
	// Correlated: the last key is tested within the rows that agree on the first.
	s = newSteps(t, binary(&flow.Join{Kind: flow.JoinAntiNull, LeftKeys: []int{0, 1}, RightKeys: []int{0, 1}}, 2))
	s.step("1 1 10; 1 1 null; 1 2 10; 1 2 null; 1 null 1", "1 1 11; 1 2 null", "1 1 10; 1 null 1")
}

func TestCrossJoin(t *testing.T) {
	s := newSteps(t, binary(&flow.Join{Kind: flow.JoinInner}, 4))
	s.step("1 1 1; 1 null 2", "2 3 3", "2 1 1 3 3; 2 null 2 3 3")
	s.step("-1 1 1", "1 4 4", "-2 1 1 3 3; 1 null 2 4 4")
}

// Rows that an outer join extends with NULLs are not where their key's hash says.
func TestNullExtendedRowsMoveToTheirKey(t *testing.T) {
	for kind, part := range map[flow.JoinKind]int{flow.JoinRight: 0, flow.JoinFull: 0, flow.JoinLeft: 2} {
		spec := binary(keyed(kind), 4)
		out := spec.Nodes[2].Out
		spec.Nodes[3] = flow.Node{Op: &flow.TopN{Partition: []int{part}, Limit: 1}, In: []int{2}, Out: out}
		spec.Nodes = append(spec.Nodes, flow.Node{Op: &flow.Output{Name: "out"}, In: []int{3}, Out: out})
		s := newSteps(t, spec)
		lone := "1 1 0; 1 2 0; 1 3 0; 1 4 0; 1 5 0"
		if kind == flow.JoinLeft {
			s.step(lone, "", "1 1 0 null null")
		} else {
			s.step("", lone, "1 null null 1 0")
		}
	}
}

func TestSetOps(t *testing.T) {
	for _, c := range []struct {
		op               flow.SetOp
		first, then, end string
	}{
		{flow.SetOp{}, "1 1 1; 1 null 2", "-1 null 2; 1 3 3", "-1 1 1"},
		{flow.SetOp{All: true}, "2 1 1; 1 null 2", "-1 null 2; 1 3 3", "-2 1 1"},
		{flow.SetOp{Except: true}, "1 3 3", "-1 3 3; 1 null 2", "1 1 1"},
		{flow.SetOp{Except: true, All: true}, "1 1 1; 1 3 3", "-1 3 3; 1 null 2", "2 1 1"},
	} {
		s := newSteps(t, binary(&c.op, 2))
		s.step("3 1 1; 1 null 2; 1 3 3", "2 1 1; 1 null 2; 1 4 4", c.first)
		s.step("", "-1 null 2; 1 3 3", c.then)
		s.step("", "-2 1 1", c.end)
	}
}

func TestTopNFillsPlacesByWeight(t *testing.T) {
	two := repeat(int8T, 2)
	s := newSteps(t, unary(two, &flow.TopN{Order: []flow.SortKey{{Col: 0}}, Limit: 3, Offset: 1}, two))
	s.step("3 5 0; 2 7 0", "", "2 5 0; 1 7 0")
	s.step("1 1 0", "", "1 5 0; -1 7 0")
	s.step("-2 5 0", "", "-2 5 0; 2 7 0")
	s.step("-1 1 0; 1 null 1", "", "-1 5 0; 1 null 1") // 5 is first and skipped, NULL is last
}

func TestTopNBreaksTiesByTheWholeRow(t *testing.T) {
	two := repeat(int8T, 2)
	op := &flow.TopN{Partition: []int{0}, Order: []flow.SortKey{{Col: 0, Desc: true}}, Limit: 2}
	s := newSteps(t, unary(two, op, two))
	s.step("1 1 9; 1 1 8; 1 1 7; 1 2 1", "", "1 1 7; 1 1 8; 1 2 1")
	s.step("-1 1 7; -1 2 1", "", "-1 1 7; 1 1 9; -1 2 1")
}

func TestWindows(t *testing.T) {
	in := []types.Type{int8T, tsT}
	out := []types.Type{int8T, tsT, tsT, tsT}
	s := newSteps(t, unary(in, &flow.Window{Time: 1, Slide: 10, Size: 10, Offset: 3}, out))
	s.step("1 1 12; 2 2 13; 1 3 -8; 1 4 null", "", "1 1 12 3 13; 2 2 13 13 23; 1 3 -8 -17 -7")
	s = newSteps(t, unary(in, &flow.Window{Time: 1, Slide: 4, Size: 10}, out))
	s.step("1 1 9; 1 2 -1", "", "1 1 9 0 10; 1 1 9 4 14; 1 1 9 8 18; 1 2 -1 -4 6; 1 2 -1 -8 2")
	s.step("-1 1 9", "", "-1 1 9 0 10; -1 1 9 4 14; -1 1 9 8 18")
}

func TestWindowOutOfRangeIsARowError(t *testing.T) {
	in, out := []types.Type{tsT}, []types.Type{tsT, tsT, tsT}
	g, err := flow.New(unary(in, &flow.Window{Slide: 10, Size: 10}, out), flow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tab := rows(in, fmt.Sprintf("1 %d; 1 5", int64(math.MaxInt64)))
	res, errs, err := g.Step(1, 0, flow.Feed{Rel: "l", Blocks: []*batch.Batch{oracle.ToBatch(in, tab)}})
	if err != nil {
		t.Fatal(err)
	}
	if res[0].Batch.N != 1 || errs.Total != 1 || len(errs.Rows) != 1 || errs.Rows[0].Err.Code != types.CodeDatetimeOverflow {
		t.Fatalf("got %d rows, errors %+v", res[0].Batch.N, errs)
	}
}

func TestValuesComeOnceInTheFirstStep(t *testing.T) {
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Values{Rows: oracle.ToBatch(repeat(int8T, 1), rows(repeat(int8T, 1), "1 1; 2 2"))}, Out: repeat(int8T, 1)},
		{Op: &flow.Output{Name: "out"}, In: []int{0}, Out: repeat(int8T, 1)},
	}}
	s := newSteps(t, spec)
	s.step("", "", "1 1; 2 2")
	s.step("", "", "")
}

func TestRowErrorsWithholdTheRowAndCancel(t *testing.T) {
	two := repeat(int8T, 2)
	g, err := flow.New(unary(two, &flow.Project{Exprs: []expr.Expr{call("/", col(0, int8T), col(1, int8T))}}, two[:1]), flow.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	step := func(n int64, text string) ([]flow.Result, flow.StepErrors) {
		var f flow.Feed
		f.Rel = "l"
		for _, line := range strings.Split(text, ";") {
			f.Blocks = append(f.Blocks, oracle.ToBatch(two, rows(two, line)))
		}
		res, errs, err := g.Step(n, 0, f)
		if err != nil {
			t.Fatal(err)
		}
		return res, errs
	}
	res, errs := step(1, "1 6 3; 1 1 0; 2 1 0; -1 1 0")
	if got := oracle.FromBatch(res[0].Batch); !sameTable(got, rows(two, "1 2")) {
		t.Errorf("output is%s", show(got))
	}
	if errs.Total != 3 || len(errs.Rows) != 1 || errs.Rows[0].Weight != 2 || errs.Rows[0].Err.Code != types.CodeDivisionByZero ||
		errs.Rows[0].Row[0].I != 1 || errs.Rows[0].Node != 1 {
		t.Errorf("errors are %+v", errs)
	}
	if _, errs = step(2, "1 1 1"); errs.Total != 0 {
		t.Errorf("errors of the step before are still there: %+v", errs)
	}
}

// What is withdrawn leaves no memory behind.
func TestStateIsFreed(t *testing.T) {
	two := repeat(int8T, 2)
	full, on := keyed(flow.JoinFull), keyed(flow.JoinFull)
	on.On = call("<", col(1, int8T), col(3, int8T))
	for _, spec := range []*flow.Spec{
		binary(full, 4), binary(on, 4), binary(keyed(flow.JoinSemi), 2), binary(&flow.SetOp{}, 2),
		unary(two, &flow.TopN{Partition: []int{0}, Limit: 2}, two),
	} {
		g, err := flow.New(spec, flow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var after []int64
		for round := range int64(12) {
			bu := batch.NewBuilder(two)
			for i := range int64(batch.BlockRows) {
				bu.AppendRow([]types.Value{types.IntValue(types.Int8, round*batch.BlockRows+i), types.IntValue(types.Int8, i)}, 1)
			}
			come := bu.Seal()
			gone := *come
			gone.Weights = make([]int64, come.N)
			for i := range gone.Weights {
				gone.Weights[i] = -1
			}
			for k, b := range []*batch.Batch{come, &gone} {
				in := []flow.Feed{{Rel: "l", Blocks: []*batch.Batch{b}}, {Rel: "r", Blocks: []*batch.Batch{b}}}
				if len(spec.Nodes) == 3 {
					in = in[:1]
				}
				if _, _, err := g.Step(2*round+int64(k)+1, 0, in...); err != nil {
					t.Fatal(err)
				}
			}
			after = append(after, g.StateBytes())
		}
		if after[11] > after[3]*5/4 {
			t.Errorf("%s: state grows from %d to %d bytes", spec.Nodes[len(spec.Nodes)-2].Op.Describe(), after[3], after[11])
		}
	}
}

func TestStateLimitNamesTheOperator(t *testing.T) {
	for _, workers := range []int{1, 3} {
		g, err := flow.New(binary(&flow.Join{Kind: flow.JoinInner}, 4), flow.Options{Workers: workers, MaxStateBytes: 1 << 22})
		if err != nil {
			t.Fatal(err)
		}
		var tab oracle.Table
		for i := range int64(batch.BlockRows) {
			tab = append(tab, oracle.Row{V: []types.Value{types.IntValue(types.Int8, i), types.IntValue(types.Int8, i)}, W: 1})
		}
		b := oracle.ToBatch(repeat(int8T, 2), tab)
		in := []flow.Feed{{Rel: "l", Blocks: []*batch.Batch{b}}, {Rel: "r", Blocks: []*batch.Batch{b}}}
		_, _, err = g.Step(1, 0, in...)
		var e *types.Error
		if !errors.As(err, &e) || e.Code != types.CodeOutOfMemory || !strings.Contains(e.Detail, "Output out") {
			t.Fatalf("%d workers: error is %v", workers, err)
		}
		if _, _, again := g.Step(2, 0); again == nil {
			t.Fatal("a spent group runs on")
		}
	}
}

func TestStopAbandonsTheStep(t *testing.T) {
	asked := 0
	g, err := flow.New(binary(&flow.Join{Kind: flow.JoinInner}, 4), flow.Options{Stop: func() bool { asked++; return asked > 2 }})
	if err != nil {
		t.Fatal(err)
	}
	var tab oracle.Table
	for i := range int64(2048) {
		tab = append(tab, oracle.Row{V: []types.Value{types.IntValue(types.Int8, i), types.IntValue(types.Int8, i)}, W: 1})
	}
	b := oracle.ToBatch(repeat(int8T, 2), tab)
	in := []flow.Feed{{Rel: "l", Blocks: []*batch.Batch{b}}, {Rel: "r", Blocks: []*batch.Batch{b}}}
	_, _, err = g.Step(1, 0, in...)
	var e *types.Error
	if !errors.As(err, &e) || e.Code != types.CodeQueryCanceled {
		t.Fatalf("error is %v", err)
	}
}

func TestBadInputIsAnError(t *testing.T) {
	two := repeat(int8T, 2)
	spec := unary(two, &flow.Union{}, two)
	spec.Nodes[0].Op = &flow.Input{Rel: "l", AppendOnly: true}
	for name, f := range map[string]flow.Feed{
		"no input":    {Rel: "x", Blocks: []*batch.Batch{oracle.ToBatch(two, nil)}},
		"columns":     {Rel: "l", Blocks: []*batch.Batch{oracle.ToBatch(two[:1], nil)}},
		"layout":      {Rel: "l", Blocks: []*batch.Batch{oracle.ToBatch([]types.Type{int8T, textT}, nil)}},
		"append-only": {Rel: "l", Blocks: []*batch.Batch{oracle.ToBatch(two, rows(two, "-1 1 1"))}},
	} {
		g, err := flow.New(spec, flow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := g.Step(1, 0, f); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	for name, s := range map[string]*flow.Spec{
		"does not come before it": {Nodes: []flow.Node{{Op: &flow.Union{}, In: []int{0}}}},
		"no column 2":             unary(two, &flow.TopN{Partition: []int{2}}, two),
		"emits 2 columns":         binary(keyed(flow.JoinInner), 2),
		"0 < slide":               unary([]types.Type{tsT}, &flow.Window{Slide: 2, Size: 1}, repeat(tsT, 3)),
		"would belong":            unary([]types.Type{tsT}, &flow.Window{Slide: 1, Size: 1 << 40}, repeat(tsT, 3)),
	} {
		if _, err := flow.New(s, flow.Options{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// Keys that are partitioned already are not exchanged again.
func TestExchangesOnlyWhereNeeded(t *testing.T) {
	two := repeat(int8T, 2)
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: two},
		{Op: &flow.TopN{Partition: []int{0}, Limit: 1}, In: []int{0}, Out: two},
		{Op: &flow.Project{Exprs: []expr.Expr{col(1, int8T), col(0, int8T)}}, In: []int{1}, Out: two},
		{Op: keyed(flow.JoinInner), In: []int{2, 0}, Out: repeat(int8T, 4)},
		{Op: &flow.TopN{Partition: []int{3, 1}, Limit: 1}, In: []int{3}, Out: repeat(int8T, 4)},
		{Op: &flow.Output{Name: "out"}, In: []int{4}, Out: repeat(int8T, 4)},
	}}
	spec.Nodes[3].Op = &flow.Join{Kind: flow.JoinInner, LeftKeys: []int{1}, RightKeys: []int{0}}
	got := spec.Explain(flow.ExplainOptions{Workers: 4})
	if n := strings.Count(got, "Exchange"); n != 1 {
		t.Errorf("%d exchanges, want one that both the top-n and the join read:\n%s", n, got)
	}
	if got := spec.Explain(flow.ExplainOptions{Workers: 1, Counters: []flow.Counters{}}); strings.Contains(got, "Exchange") {
		t.Errorf("exchange on one worker:\n%s", got)
	}
}

func TestExplainAndHash(t *testing.T) {
	build := func(name string, limit int64) *flow.Spec {
		two := []types.Type{int8T, tsT}
		out := []types.Type{int8T, tsT, tsT, tsT}
		return &flow.Spec{Nodes: []flow.Node{
			{Op: &flow.Input{Rel: "bids", AppendOnly: true}, Out: two, Names: []string{name, "at"}},
			{Op: &flow.Window{Time: 1, Slide: 2e6, Size: 10e6}, In: []int{0}, Out: out, Names: []string{name, "at", "window_start", "window_end"}},
			{Op: &flow.TopN{Partition: []int{2}, Order: []flow.SortKey{{Col: 0, Desc: true}}, Limit: limit}, In: []int{1}, Out: out},
			{Op: &flow.Join{Kind: flow.JoinLeft, LeftKeys: []int{0}, RightKeys: []int{0}}, In: []int{2, 0}, Out: append(out, two...)},
			{Op: &flow.Output{Name: "hot"}, In: []int{3}, Out: append(out, two...)},
		}}
	}
	got := build("auction", 3).Explain(flow.ExplainOptions{})
	want := `Output hot
  Join left left=[auction] right=[auction]
    TopN partition=[window_start] order=[auction desc] limit=3
      Window hop on at size=10s slide=2s
        [1] Input bids append-only
    [1] as above
`
	if got != want {
		t.Errorf("explain gives\n%s\nwant\n%s", got, want)
	}
	if build("a", 3).Hash() != build("b", 3).Hash() {
		t.Error("names change the hash")
	}
	if build("a", 3).Hash() == build("a", 4).Hash() {
		t.Error("the limit does not change the hash")
	}
}

func TestCounters(t *testing.T) {
	two := repeat(int8T, 2)
	g, err := flow.New(unary(two, &flow.TopN{Limit: 1}, two), flow.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	b := oracle.ToBatch(two, rows(two, "1 1 1; 1 2 2; 1 3 3"))
	if _, _, err := g.Step(1, 0, flow.Feed{Rel: "l", Blocks: []*batch.Batch{b}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range g.Counters() {
		if strings.HasPrefix(c.Label, "TopN") && (c.RowsIn != 3 || c.RowsOut != 1 || c.StateBytes == 0 || c.Node != 1) {
			t.Errorf("counters are %+v", c)
		}
	}
}

// Workers on goroutines of their own give what one worker gives; run with -race, it
// also shows that they share no memory but what the stages hand over.
func TestWorkersInParallel(t *testing.T) {
	two := repeat(int8T, 2)
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "l"}, Out: two},
		{Op: &flow.Input{Rel: "r"}, Out: two},
		{Op: keyed(flow.JoinFull), In: []int{0, 1}, Out: repeat(int8T, 4)},
		{Op: &flow.TopN{Partition: []int{1}, Limit: 2}, In: []int{2}, Out: repeat(int8T, 4)},
		{Op: &flow.TopN{Limit: 50}, In: []int{3}, Out: repeat(int8T, 4)},
		{Op: &flow.Output{Name: "out"}, In: []int{4}, Out: repeat(int8T, 4)},
	}}
	var digests [][]batch.Digest
	for _, workers := range []int{1, 4} {
		g, err := flow.New(spec, flow.Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		var ds []batch.Digest
		for n := range int64(2) {
			g.BeginStep(n+1, 0)
			left, right := intBlocks(3, 10_000, uint64(n)<<20), intBlocks(3, 10_000, uint64(n)<<30)
			each := func(fn func(w int) error) {
				var wg sync.WaitGroup
				for w := range workers {
					wg.Go(func() {
						if err := fn(w); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
			}
			each(func(w int) error {
				for k := w; k < len(left); k += workers {
					if err := errors.Join(g.Push("l", w, left[k]), g.Push("r", w, right[k])); err != nil {
						return err
					}
				}
				return nil
			})
			for k := range g.Stages() {
				each(func(w int) error { return g.Circuit(w).RunStage(k) })
				if err := g.Exchange(k); err != nil {
					t.Fatal(err)
				}
			}
			res, _, err := g.EndStep()
			if err != nil {
				t.Fatal(err)
			}
			ds = append(ds, res[0].Digest)
		}
		digests = append(digests, ds)
	}
	if !slices.Equal(digests[0], digests[1]) {
		t.Errorf("digests on one worker %v, on four %v", digests[0], digests[1])
	}
}

func TestProjectSet(t *testing.T) {
	two := repeat(int8T, 2)
	fn, _, _, err := expr.ResolveSet("generate_series", two)
	if err != nil {
		t.Fatal(err)
	}
	op := &flow.ProjectSet{Fn: fn, Args: []expr.Expr{col(0, int8T), col(1, int8T)}, Ordinality: true}
	s := newSteps(t, unary(two, op, repeat(int8T, 4)))
	s.step("2 1 3; 1 5 4; 1 null 1", "", "2 1 3 1 1; 2 1 3 2 2; 2 1 3 3 3")
	s.step("-1 1 3; 1 7 7", "", "-1 1 3 1 1; -1 1 3 2 2; -1 1 3 3 3; 1 7 7 7 1")
}

// A row may have more values than a block, and one that goes wrong leaves none.
func TestProjectSetOfManyValues(t *testing.T) {
	two := repeat(int8T, 2)
	fn, _, _, err := expr.ResolveSet("generate_series", two)
	if err != nil {
		t.Fatal(err)
	}
	spec := unary(two, &flow.ProjectSet{Fn: fn, Args: []expr.Expr{col(0, int8T), col(1, int8T)}}, repeat(int8T, 3))
	g, err := flow.New(spec, flow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	res, _, err := g.Step(1, 0, flow.Feed{Rel: "l", Blocks: []*batch.Batch{oracle.ToBatch(two, rows(two, "1 5 6; 1 1 10000; 1 9 9"))}})
	if err != nil {
		t.Fatal(err)
	}
	b := res[0].Batch
	if b.N != 10003 || b.Cols[2].I64[0] != 1 || b.Cols[2].I64[9999] != 10000 || b.Cols[2].I64[10002] != 9 {
		t.Errorf("%d rows", b.N)
	}
	spec = unary(two, &flow.ProjectSet{Fn: fn, Args: []expr.Expr{col(0, int8T), call("/", col(0, int8T), col(1, int8T))}}, repeat(int8T, 3))
	if g, err = flow.New(spec, flow.Options{}); err != nil {
		t.Fatal(err)
	}
	res, errs, err := g.Step(1, 0, flow.Feed{Rel: "l", Blocks: []*batch.Batch{oracle.ToBatch(two, rows(two, "1 1 1; 1 1 0"))}})
	if err != nil || res[0].Batch.N != 1 || errs.Total != 1 {
		t.Errorf("%v rows, errors %+v, %v", res, errs, err)
	}
}
