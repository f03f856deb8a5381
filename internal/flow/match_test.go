package flow_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/types"
)

// matchIn are the columns that random patterns are over: partition, time, value.
var matchIn = []types.Type{int8T, tsT, int8T}

// patterns draws random MATCH_RECOGNIZE operators.
type patterns struct {
	t  *rapid.T
	op *flow.Match
}

func (p *patterns) n(lo, hi int, what string) int { return rapid.IntRange(lo, hi).Draw(p.t, what) }

// node draws a row pattern of at most the given depth.
func (p *patterns) node(depth int) *pattern.Node {
	kind := p.n(0, 9, "pattern")
	if depth == 0 || kind < 3 {
		return &pattern.Node{Op: pattern.Var, Var: p.n(0, len(p.op.Vars)-1, "variable")}
	}
	kids := func(lo, hi int) []*pattern.Node {
		var out []*pattern.Node
		for range p.n(lo, hi, "parts") {
			out = append(out, p.node(depth-1))
		}
		return out
	}
	switch kind {
	case 3:
		return &pattern.Node{Op: pattern.Alt, Kids: kids(2, 3)}
	case 4:
		return &pattern.Node{Op: pattern.Permute, Kids: kids(2, 3)}
	case 5:
		if p.op.Unmatched {
			return p.node(depth - 1)
		}
		return &pattern.Node{Op: pattern.Exclude, Kids: []*pattern.Node{p.node(depth - 1)}}
	case 6:
		if p.n(0, 3, "anchor") == 0 {
			anchor := rapid.SampledFrom([]pattern.Op{pattern.Start, pattern.End}).Draw(p.t, "which anchor")
			if p.op.Final {
				anchor = pattern.Start // the planner refuses $ where no end comes
			}
			return &pattern.Node{Op: anchor}
		}
		return &pattern.Node{Op: pattern.Concat, Kids: kids(0, 3)}
	case 7:
		return &pattern.Node{Op: pattern.Concat, Kids: kids(2, 3)}
	}
	lo := p.n(0, 2, "least")
	hi := -1
	if p.n(0, 1, "bounded") == 0 {
		hi = max(lo+p.n(0, 2, "more"), 1)
	}
	return &pattern.Node{Op: pattern.Repeat, Kids: []*pattern.Node{p.node(depth - 1)}, Min: lo, Max: hi,
		Reluctant: p.n(0, 2, "reluctant") == 0}
}

func (p *patterns) vars() uint64 {
	all := 1<<len(p.op.Vars) - 1
	if p.n(0, 2, "all variables") == 0 {
		return uint64(all)
	}
	return uint64(p.n(1, all, "variables"))
}

// slot draws a value of a match; define is the variable being defined, or -1.
func (p *patterns) slot(define int) int {
	s := flow.MatchSlot{T: int8T, Col: 2}
	row := func() flow.MatchRow {
		r := flow.MatchRow{Kind: flow.MatchRowKind(p.n(0, 2, "row")), Vars: p.vars(), Offset: p.n(0, 2, "offset")}
		if p.n(0, 1, "shifted") == 0 {
			r.Shift = p.n(-2, 2, "shift")
		}
		if r.Kind == flow.RowCurrent {
			r.Vars, r.Offset = 0, 0
		} else if define < 0 {
			r.Final = p.n(0, 1, "final") == 0
		} else if r.Kind == flow.RowLast && r.Offset == 0 && r.Vars>>define&1 != 0 {
			r = flow.MatchRow{Shift: r.Shift}
		}
		return r
	}
	switch p.n(0, 8, "slot") {
	case 0:
		s.Give, s.T, s.Col, s.Row = flow.GiveThere, types.T(types.Bool), 0, row()
	case 1:
		s.Give, s.T, s.Col, s.Row = flow.GiveLabel, textT, 0, row()
		if s.Row.Shift > 0 && define >= 0 {
			s.Row.Shift = 0 // what comes has no variable yet
		}
	case 2:
		s.Give, s.Col = flow.GiveNumber, 0
	case 3, 4:
		name := rapid.SampledFrom([]string{"count", "sum", "min", "max"}).Draw(p.t, "aggregate")
		arg := expr.Expr(&expr.Cast{Arg: col(2, int8T), T: types.T(types.Int4)})
		fn, _, ret, err := expr.ResolveAgg(name, []types.Type{types.T(types.Int4)})
		if err != nil {
			panic(err)
		}
		s.Give, s.T, s.Col = flow.GiveTotal, ret, 0
		s.Agg = &flow.MatchAgg{Vars: p.vars(), Final: define < 0 && p.n(0, 1, "final") == 0, Args: []expr.Expr{arg},
			Call: flow.AggCall{Fn: fn, Args: []int{0}, Filter: -1, Ret: ret, Distinct: p.n(0, 3, "distinct") == 0}}
	default:
		s.Row = row()
	}
	p.op.Slots = append(p.op.Slots, s)
	return len(p.op.Slots) - 1
}

// condition draws what defines variable v.
func (p *patterns) condition(v int) expr.Expr {
	if p.n(0, 4, "undefined") == 0 {
		return nil
	}
	one := func() expr.Expr {
		i := p.slot(v)
		s := p.op.Slots[i]
		c := col(i, s.T)
		op := rapid.SampledFrom([]string{"=", "<>", "<", ">="}).Draw(p.t, "comparison")
		switch s.T.Kind {
		case types.Bool:
			return c
		case types.Text:
			return call("=", c, expr.Const{V: types.Value{T: textT, S: rapid.SampledFrom(p.op.Vars).Draw(p.t, "label")}})
		}
		if s.T == int8T && p.n(0, 1, "by slot") == 0 {
			here := flow.MatchSlot{T: int8T, Col: 2}
			p.op.Slots = append(p.op.Slots, here)
			return call(op, col(len(p.op.Slots)-1, int8T), c)
		}
		return call(op, c, expr.Const{V: types.Value{T: s.T, I: int64(p.n(0, 4, "constant"))}})
	}
	e := one()
	if p.n(0, 2, "two conditions") == 0 {
		e = &expr.Logic{Or: p.n(0, 1, "or") == 0, Args: []expr.Expr{e, one()}}
	}
	return e
}

// draw draws an operator and its row type.
func (p *patterns) draw(final bool) []types.Type {
	p.op = &flow.Match{Order: []flow.SortKey{{Col: 1}}, Vars: []string{"a", "b", "c"}, Empty: true, Final: final}
	op := p.op
	op.AllRows = p.n(0, 1, "all rows") == 0
	if op.AllRows {
		op.Unmatched = p.n(0, 2, "unmatched") == 0
		op.Empty = op.Unmatched || p.n(0, 2, "omit empty") > 0
		op.Pass = []int{0, 1, 2}
	} else {
		op.Pass = []int{0}
	}
	if p.n(0, 3, "partition") > 0 {
		op.Partition = []int{0}
	}
	if p.n(0, 2, "within") == 0 {
		op.Within = int64(p.n(1, 6, "within what"))
	}
	op.Pattern = p.node(3)
	op.Skip = flow.MatchSkip(p.n(0, 3, "skip"))
	op.SkipVars = p.vars()
	for v := range op.Vars {
		op.Define = append(op.Define, p.condition(v))
	}
	out := []types.Type{}
	for _, c := range op.Pass {
		out = append(out, matchIn[c])
	}
	for range p.n(0, 3, "measures") {
		i := p.slot(-1)
		op.Measures = append(op.Measures, col(i, op.Slots[i].T))
		out = append(out, op.Slots[i].T)
	}
	return out
}

func (p *patterns) row() []types.Value {
	row := []types.Value{types.IntValue(types.Int8, int64(p.n(0, 1, "k"))), types.IntValue(types.Timestamp, int64(p.n(0, 12, "time"))),
		types.IntValue(types.Int8, int64(p.n(0, 3, "x")))}
	if p.n(0, 15, "null") == 0 {
		row[1+p.n(0, 1, "which null")].Null = true
	}
	return row
}

// TestMatchesUnderChange compares the matches over rows that come and go with those
// of the oracle after each step.
func TestMatchesUnderChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &patterns{t: t}
		out := p.draw(false)
		spec := unary(matchIn, p.op, out)
		groups := map[int]stepper{}
		held := map[int]oracle.Table{}
		for _, w := range []int{1, 3} {
			groups[w] = newStepper(t, spec, flow.Options{Workers: w})
		}
		var all oracle.Table
		for n := range 4 {
			var changes oracle.Table
			for range p.n(0, 7, "changes") {
				if now := oracle.Consolidate(append(append(oracle.Table{}, all...), changes...)); len(now) > 0 && p.n(0, 2, "withdraw") == 0 {
					r := now[p.n(0, len(now)-1, "which")]
					changes = append(changes, oracle.Row{V: r.V, W: -1})
					continue
				}
				changes = append(changes, oracle.Row{V: p.row(), W: int64(1 + p.n(0, 5, "twice")/5)})
			}
			all = oracle.Consolidate(append(all, changes...))
			want := wantMatches(t, spec, all)
			for _, w := range []int{1, 3} {
				got, _ := stepMatches(t, groups[w], int64(n+1), changes, p.n(1, 4, "block"), nil)
				held[w] = oracle.Consolidate(append(held[w], got...))
				if !sameTable(held[w], want) {
					t.Fatalf("%s\nover%s\nstep %d on %d workers gives%s\nwant%s", p.op.Describe(), show(all), n+1, w, show(held[w]), show(want))
				}
			}
		}
	})
}

func wantMatches(t *rapid.T, spec *flow.Spec, all oracle.Table) oracle.Table {
	res, err := oracle.Eval(spec, map[string]oracle.Table{"l": all}, &expr.Ctx{})
	if err != nil {
		t.Fatal(err)
	}
	return res.Outputs["out"]
}

func stepMatches(t *rapid.T, g stepper, n int64, changes oracle.Table, block int, marks []int64) (oracle.Table, []int64) {
	f := flow.Feed{Rel: "l", Marks: marks}
	for lo := 0; lo < len(changes); lo += block {
		f.Blocks = append(f.Blocks, oracle.ToBatch(matchIn, changes[lo:min(lo+block, len(changes))]))
	}
	res, _, err := g.Step(n, 0, f)
	if err != nil {
		t.Fatal(err)
	}
	return oracle.FromBatch(res[0].Batch), slices.Clone(res[0].Marks)
}

// TestFinalMatches feeds rows out of order below a watermark: what is given, in whatever
// steps, is never taken back, and is in the end what the oracle finds in all rows.
func TestFinalMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &patterns{t: t}
		out := p.draw(true)
		spec := unary(matchIn, p.op, out)
		spec.Nodes[0].Op = &flow.Input{Rel: "l", AppendOnly: true}
		for _, w := range []int{1, 3} {
			g := newStepper(t, spec, flow.Options{Workers: w})
			var all, given oracle.Table
			var promised []int64
			mark := int64(0)
			for n := range 6 {
				if n == 5 {
					finishInputs(g)
				}
				var rows oracle.Table
				for range p.n(0, 5, "rows") {
					r := p.row()
					r[1].I += mark
					rows = append(rows, oracle.Row{V: r, W: int64(1 + p.n(0, 5, "twice")/5)})
				}
				all = append(all, rows...)
				mark += int64(p.n(0, 9, "watermark"))
				got, marks := stepMatches(t, g, int64(n+1), rows, p.n(1, 4, "block"), []int64{flow.NoMark, mark, flow.NoMark})
				for _, r := range got {
					if r.W < 0 {
						t.Fatalf("%s\nstep %d takes back%s", p.op.Describe(), n+1, show(got))
					}
				}
				for _, r := range got {
					for c, m := range promised {
						if !r.V[c].Null && r.V[c].I < m {
							t.Fatalf("%s\nstep %d gives%s\nalthough column %d was at mark %d", p.op.Describe(), n+1, show(got), c, m)
						}
					}
				}
				promised = marks
				given = append(given, got...)
			}
			want := wantMatches(t, spec, oracle.Consolidate(all))
			if given = oracle.Consolidate(given); !sameTable(given, want) {
				t.Fatalf("%s\nover%s\non %d workers gives%s\nwant%s", p.op.Describe(), show(oracle.Consolidate(all)), w, show(given), show(want))
			}
		}
	})
}

// TestMatchLimits has patterns whose ways multiply hit a limit, with an error for the
// row where the search began, and go on behind it.
func TestMatchLimits(t *testing.T) {
	v := func(i int) *pattern.Node { return &pattern.Node{Op: pattern.Var, Var: i} }
	rep := func(n *pattern.Node, lo, hi int) *pattern.Node {
		return &pattern.Node{Op: pattern.Repeat, Kids: []*pattern.Node{n}, Min: lo, Max: hi}
	}
	cat := func(kids ...*pattern.Node) *pattern.Node { return &pattern.Node{Op: pattern.Concat, Kids: kids} }
	alt := func(kids ...*pattern.Node) *pattern.Node { return &pattern.Node{Op: pattern.Alt, Kids: kids} }
	ab := alt(v(0), v(1))
	for name, tc := range map[string]struct {
		p      *pattern.Node
		memory bool // c's condition depends on which rows are a
		limit  bool
	}{
		"nested stars":           {cat(rep(rep(rep(ab, 0, -1), 0, -1), 0, -1), v(2)), false, false},
		"many optional parts":    {cat(rep(v(0), 0, 200), rep(v(0), 0, 200), rep(v(1), 200, 200), v(2)), false, false},
		"nested stars, memory":   {cat(rep(rep(ab, 0, -1), 0, -1), v(2)), true, true},
		"many optional, memory":  {cat(rep(alt(v(0), v(1)), 0, 300), v(2)), true, true},
		"all orders with memory": {cat(rep(&pattern.Node{Op: pattern.Permute, Kids: []*pattern.Node{v(0), v(1)}}, 0, -1), v(2)), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			op := &flow.Match{Order: []flow.SortKey{{Col: 1}}, Vars: []string{"a", "b", "c"}, Empty: true, Pattern: tc.p, Pass: []int{0}}
			op.Define = make([]expr.Expr, 3)
			op.Slots = []flow.MatchSlot{{T: int8T, Col: 2}}
			op.Define[2] = call("=", col(0, int8T), expr.Const{V: types.IntValue(types.Int8, 9)})
			if tc.memory {
				fn, _, ret, err := expr.ResolveAgg("sum", []types.Type{types.T(types.Int4)})
				if err != nil {
					t.Fatal(err)
				}
				arg := &expr.Cast{Arg: col(2, int8T), T: types.T(types.Int4)}
				op.Slots[0] = flow.MatchSlot{Give: flow.GiveTotal, T: ret, Agg: &flow.MatchAgg{Vars: 1, Args: []expr.Expr{arg},
					Call: flow.AggCall{Fn: fn, Args: []int{0}, Filter: -1, Ret: ret}}}
				op.Define[2] = call("=", col(0, ret), expr.Const{V: types.IntValue(types.Int8, -1)})
			}
			g, err := flow.New(unary(matchIn, op, []types.Type{int8T}), flow.Options{})
			if err != nil {
				t.Fatal(err)
			}
			bu := batch.NewBuilder(matchIn)
			for i := range 600 {
				bu.AppendRow([]types.Value{types.IntValue(types.Int8, 1), types.IntValue(types.Timestamp, int64(i)), types.IntValue(types.Int8, int64(i%3))}, 1)
			}
			_, errs, err := g.Step(1, 0, flow.Feed{Rel: "l", Blocks: []*batch.Batch{bu.Seal()}})
			if err != nil {
				t.Fatal(err)
			}
			if hit := errs.Total > 0; hit != tc.limit {
				t.Fatalf("%d errors", errs.Total)
			}
			for _, e := range errs.Rows {
				if e.Err.Code != types.CodeTooComplex {
					t.Fatal(e.Err)
				}
			}
		})
	}
	_, err := pattern.Compile(rep(rep(v(0), 1000, 1000), 1000, 1000))
	if err == nil {
		t.Fatal("a million variables compile")
	}
}

// TestMatchSearchesRowsOnce has a pattern that begins at every row and never ends: all
// the searches together take little longer than one.
func TestMatchSearchesRowsOnce(t *testing.T) {
	op := &flow.Match{Order: []flow.SortKey{{Col: 1}}, Vars: []string{"a", "b"}, Empty: true, Pass: []int{0}, AllRows: true, Unmatched: true,
		Pattern: patSeq(patRep(patVar(0), 0, -1), patVar(1)), Define: make([]expr.Expr, 2), Slots: []flow.MatchSlot{{T: int8T, Col: 2}}}
	op.Define[1] = call("=", col(0, int8T), expr.Const{V: types.IntValue(types.Int8, 1000)})
	g, err := flow.New(unary(matchIn, op, []types.Type{int8T}), flow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const blocks = 50 // of pairs of rows there are 2 * 10^10
	res, errs, err := g.Step(1, 0, flow.Feed{Rel: "l", Blocks: matchRows(blocks, 1, 0)})
	if err != nil || errs.Total != 0 {
		t.Fatal(err, errs.Total)
	}
	n := int64(0)
	for i := range res[0].Batch.N {
		n += res[0].Batch.Weight(i)
	}
	if n != blocks*batch.BlockRows {
		t.Fatalf("%d rows are in no match, want all", n)
	}
}

// TestMatchErrorsGoWithTheirRows: a condition, a measure or a skip that goes wrong withholds
// the match and is reported; when its row goes, so does the report.
func TestMatchErrorsGoWithTheirRows(t *testing.T) {
	ten := expr.Const{V: types.IntValue(types.Int8, 10)}
	here := []flow.MatchSlot{{T: int8T, Col: 2}}
	inverse := call("/", ten, col(0, int8T))
	for name, op := range map[string]*flow.Match{
		"condition": {Pattern: patVar(0), Define: []expr.Expr{call("<", inverse, ten)}, Measures: []expr.Expr{col(0, int8T)}},
		"measure":   {Pattern: patVar(0), Define: []expr.Expr{nil}, Measures: []expr.Expr{inverse}},
		"skip":      {Pattern: patVar(0), Define: []expr.Expr{call("=", col(0, int8T), expr.Const{V: types.IntValue(types.Int8, 0)})}, Skip: flow.SkipToFirst, SkipVars: 1},
	} {
		t.Run(name, func(t *testing.T) {
			op.Order, op.Vars, op.Empty, op.Slots, op.Pass = []flow.SortKey{{Col: 1}}, []string{"a"}, true, here, []int{1}
			out := append([]types.Type{tsT}, repeat(int8T, len(op.Measures))...)
			g := newStepper(t, unary(matchIn, op, out), flow.Options{Workers: 3})
			for n, step := range []struct {
				changes string
				weight  int64
			}{{"1 1 1 5; 1 1 2 0; 1 1 3 6", 1}, {"1 1 4 7", 0}, {"-1 1 2 0", -1}, {"1 1 0 0; 1 1 9 0", 2}} {
				_, errs, err := g.Step(int64(n), 0, flow.Feed{Rel: "l", Blocks: []*batch.Batch{oracle.ToBatch(matchIn, rows(matchIn, step.changes))}})
				if err != nil {
					t.Fatal(err)
				}
				sum := int64(0)
				for _, e := range errs.Rows {
					sum += e.Weight
				}
				if sum != step.weight {
					t.Errorf("after %q errors of weight %d, want %d: %v", step.changes, sum, step.weight, errs.Rows)
				}
			}
		})
	}
}

// TestMatchLimitsDoNotDependOnRestarts has searches in several partitions, which share
// what computes their sums. What they are charged for is the same however often they
// are dropped, saved and restored.
func TestMatchLimitsDoNotDependOnRestarts(t *testing.T) {
	fn, _, ret, err := expr.ResolveAgg("sum", []types.Type{types.T(types.Int4)})
	if err != nil {
		t.Fatal(err)
	}
	sum := &flow.MatchAgg{Vars: 1, Args: []expr.Expr{&expr.Cast{Arg: col(2, int8T), T: types.T(types.Int4)}},
		Call: flow.AggCall{Fn: fn, Args: []int{0}, Filter: -1, Ret: ret}}
	for name, pat := range map[string]*pattern.Node{
		"one thread":   patSeq(patRep(patVar(0), 1, -1), patVar(1)),
		"many threads": patSeq(patRep(patVar(0), 0, -1), patRep(patVar(1), 0, -1), patVar(2)),
	} {
		t.Run(name, func(t *testing.T) {
			op := &flow.Match{
				Partition: []int{0}, Order: []flow.SortKey{{Col: 1}}, Vars: []string{"a", "b", "c"}, Empty: true, Final: true, Pass: []int{0},
				Pattern: pat, Slots: []flow.MatchSlot{{Give: flow.GiveTotal, T: ret, Agg: sum}, {T: int8T, Col: 2}},
				Define: []expr.Expr{call("<", col(0, ret), expr.Const{V: types.IntValue(types.Int8, 1000)}), call("=", col(1, int8T), expr.Const{V: types.IntValue(types.Int8, 3)}),
					call("=", col(0, ret), expr.Const{V: types.IntValue(types.Int8, -1)})},
			}
			spec := unary(matchIn, op, []types.Type{int8T})
			spec.Nodes[0].Op = &flow.Input{Rel: "l", AppendOnly: true}
			again := newRestarted(t, spec, flow.Options{Workers: 1})
			plain, err := flow.New(spec, flow.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for n := range int64(40) {
				var in oracle.Table
				for k := range n % 5 {
					v := []types.Value{types.IntValue(types.Int8, k), types.IntValue(types.Int8, n), types.IntValue(types.Int8, (n+k)%4%3)}
					in = append(in, oracle.Row{V: v, W: 1})
				}
				feed := flow.Feed{Rel: "l", Marks: []int64{flow.NoMark, n + 1, flow.NoMark}, Blocks: []*batch.Batch{oracle.ToBatch(matchIn, in)}}
				for _, g := range []stepper{plain, again} {
					if _, _, err := g.Step(n, 0, feed); err != nil {
						t.Fatal(err)
					}
				}
				want, got := flow.SearchStepsOf(plain), flow.SearchStepsOf(again.Group)
				if got != want || n > 5 && want == 0 {
					t.Fatalf("after step %d searches have taken %d steps, without restarts %d", n, got, want)
				}
			}
		})
	}
}
