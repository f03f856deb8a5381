package flow_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// aggRow is a row of the tests' input; a nil field is NULL.
type aggRow struct {
	key    int64
	i      *int64
	f      *float64
	d      *types.Decimal
	v      *types.IntervalVal
	s      *string
	filter bool
}

var aggTypes = []types.Type{
	types.T(types.Int8), types.T(types.Int8), types.T(types.Float8), types.T(types.Numeric), types.T(types.Interval),
	types.T(types.Text), types.T(types.Bool), types.T(types.Text),
}

func (r aggRow) values() []types.Value {
	row := []types.Value{types.IntValue(types.Int8, r.key)}
	for _, t := range aggTypes[1:] {
		row = append(row, types.NullOf(t))
	}
	if r.i != nil {
		row[1] = types.IntValue(types.Int8, *r.i)
	}
	if r.f != nil {
		row[2] = types.FloatValue(*r.f)
	}
	if r.d != nil {
		row[3] = types.Value{T: aggTypes[3], D: *r.d}
	}
	if r.v != nil {
		row[4] = types.Value{T: aggTypes[4], V: *r.v}
	}
	if r.s != nil {
		row[5] = types.TextValue(*r.s)
	}
	row[6] = types.BoolValue(r.filter)
	row[7] = types.TextValue("-")
	return row
}

func drawAggRow(t *rapid.T) aggRow {
	r := aggRow{key: rapid.Int64Range(0, 2).Draw(t, "key"), filter: rapid.Bool().Draw(t, "filter")}
	some := func(name string) bool { return rapid.IntRange(0, 4).Draw(t, name) > 0 }
	if some("int") {
		i := rapid.SampledFrom([]int64{0, 1, -7, 41, 5, 6, 7, 8, 9, math.MaxInt64, math.MinInt64}).Draw(t, "i")
		r.i = &i
	}
	if some("float") {
		f := rapid.SampledFrom([]float64{0.1, 0.2, -0.3, 1e16, 3, 1e-9}).Draw(t, "f")
		r.f = &f
	}
	if some("numeric") {
		d := rapid.SampledFrom([]types.Decimal{
			{Lo: 1}, {Lo: 10, Scale: 1}, {Lo: 12345, Scale: 3}, {Hi: -1, Lo: 1<<64 - 25, Scale: 2}, {Hi: math.MaxInt64, Lo: 5}, {},
		}).Draw(t, "d")
		r.d = &d
	}
	if some("interval") {
		v := rapid.SampledFrom([]types.IntervalVal{{Days: 30}, {Months: 1}, {Micros: -5}, {Days: 3, Micros: 7e9}}).Draw(t, "v")
		r.v = &v
	}
	if some("text") {
		s := rapid.SampledFrom([]string{"", "a", "ab", "b", "b\x00c", "a text beyond eight bytes"}).Draw(t, "s")
		r.s = &s
	}
	return r
}

func fnCall(op expr.AggOp, ret types.Kind, args ...int) flow.AggCall {
	return flow.AggCall{Fn: &expr.AggFunc{Name: fmt.Sprint("agg", op), Op: op}, Args: args, Filter: -1, Ret: types.T(ret)}
}

func distinctCall(c flow.AggCall) flow.AggCall { c.Distinct = true; return c }
func filterCall(c flow.AggCall) flow.AggCall   { c.Filter = 6; return c }

// aggCase is a call and what it gives, printed, for the rows of a group.
type aggCase struct {
	call flow.AggCall
	want func(rows []aggRow) string
}

func ratText(sum *big.Rat, scale int) string { return sum.FloatString(scale) }

func decRat(d types.Decimal) *big.Rat {
	n := new(big.Int).Lsh(big.NewInt(d.Hi), 64)
	n.Add(n, new(big.Int).SetUint64(d.Lo))
	return new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Scale)), nil))
}

var aggCases = []aggCase{
	{fnCall(expr.AggCountStar, types.Int8), func(g []aggRow) string { return fmt.Sprint(len(g)) }},
	{filterCall(fnCall(expr.AggCount, types.Int8, 1)), func(g []aggRow) string {
		n := 0
		for _, r := range g {
			if r.filter && r.i != nil {
				n++
			}
		}
		return fmt.Sprint(n)
	}},
	{distinctCall(fnCall(expr.AggCount, types.Int8, 3)), func(g []aggRow) string {
		seen := map[string]bool{}
		for _, r := range g {
			if r.d != nil {
				seen[decRat(*r.d).String()] = true
			}
		}
		return fmt.Sprint(len(seen))
	}},
	{distinctCall(fnCall(expr.AggSum, types.Numeric, 3)), func(g []aggRow) string {
		least := map[string]*types.Decimal{}
		for _, r := range g {
			if r.d == nil {
				continue
			}
			k := decRat(*r.d).String()
			if least[k] == nil || r.d.Scale < least[k].Scale {
				least[k] = r.d
			}
		}
		sum, scale := new(big.Rat), 0
		for _, d := range least {
			sum.Add(sum, decRat(*d))
			scale = max(scale, int(d.Scale))
		}
		return orNull(len(least) == 0, ratText(sum, scale))
	}},
	{distinctCall(filterCall(fnCall(expr.AggSum, types.Numeric, 1))), func(g []aggRow) string {
		seen, sum := map[int64]bool{}, new(big.Int)
		for _, r := range g {
			if r.filter && r.i != nil && !seen[*r.i] {
				seen[*r.i] = true
				sum.Add(sum, big.NewInt(*r.i))
			}
		}
		return orNull(len(seen) == 0, sum.String())
	}},
	{fnCall(expr.AggSum, types.Float8, 2), func(g []aggRow) string {
		sum, n := new(big.Float).SetPrec(3000), 0
		for _, r := range g {
			if r.f != nil {
				n++
				sum.Add(sum, new(big.Float).SetFloat64(*r.f))
			}
		}
		f, _ := sum.Float64()
		return orNull(n == 0, fmt.Sprint(f))
	}},
	{fnCall(expr.AggSum, types.Numeric, 3), func(g []aggRow) string {
		sum, scale, n := new(big.Rat), 0, 0
		for _, r := range g {
			if r.d != nil {
				n++
				scale = max(scale, int(r.d.Scale))
				sum.Add(sum, decRat(*r.d))
			}
		}
		return orNull(n == 0, ratText(sum, scale))
	}},
	{fnCall(expr.AggSum, types.Interval, 4), func(g []aggRow) string {
		var v types.IntervalVal
		n := 0
		for _, r := range g {
			if r.v != nil {
				n++
				v = types.IntervalVal{Months: v.Months + r.v.Months, Days: v.Days + r.v.Days, Micros: v.Micros + r.v.Micros}
			}
		}
		return orNull(n == 0, fmt.Sprint(v))
	}},
	{fnCall(expr.AggMax, types.Int8, 1), func(g []aggRow) string {
		best, any := int64(math.MinInt64), false
		for _, r := range g {
			if r.i != nil {
				best, any = max(best, *r.i), true
			}
		}
		return orNull(!any, fmt.Sprint(best))
	}},
	{fnCall(expr.AggMin, types.Float8, 2), func(g []aggRow) string {
		best, any := math.Inf(1), false
		for _, r := range g {
			if r.f != nil {
				best, any = min(best, *r.f), true
			}
		}
		return orNull(!any, fmt.Sprint(best))
	}},
	{fnCall(expr.AggMax, types.Text, 5), func(g []aggRow) string {
		best, any := "", false
		for _, r := range g {
			if r.s != nil {
				best, any = max(best, *r.s), true
			}
		}
		return orNull(!any, best)
	}},
	{fnCall(expr.AggMin, types.Numeric, 3), func(g []aggRow) string {
		var best *types.Decimal
		for _, r := range g {
			if r.d == nil {
				continue
			}
			c := 1
			if best != nil {
				c = decRat(*best).Cmp(decRat(*r.d))
			}
			if c > 0 || c == 0 && best.Scale > r.d.Scale {
				best = r.d
			}
		}
		if best == nil {
			return "NULL"
		}
		return ratText(decRat(*best), int(best.Scale))
	}},
	{fnCall(expr.AggBoolAnd, types.Bool, 6), func(g []aggRow) string {
		all := true
		for _, r := range g {
			all = all && r.filter
		}
		return fmt.Sprint(all)
	}},
	{orderCall(fnCall(expr.AggStringAgg, types.Text, 5, 7), 1, true), func(g []aggRow) string {
		g = slices.DeleteFunc(slices.Clone(g), func(r aggRow) bool { return r.s == nil })
		sort.SliceStable(g, func(i, j int) bool {
			x, y := g[i], g[j]
			if (x.i == nil) != (y.i == nil) {
				return x.i == nil
			}
			if x.i != nil && *x.i != *y.i {
				return *x.i > *y.i
			}
			return *x.s < *y.s
		})
		var parts []string
		for _, r := range g {
			parts = append(parts, *r.s)
		}
		return orNull(len(parts) == 0, strings.Join(parts, "-"))
	}},
	{fnCall(expr.AggVarPop, types.Float8, 2), func(g []aggRow) string {
		n, s, q := int64(0), new(big.Rat), new(big.Rat)
		for _, r := range g {
			if r.f != nil {
				f := new(big.Rat).SetFloat64(*r.f)
				n++
				s.Add(s, f)
				q.Add(q, f.Mul(f, f))
			}
		}
		if n == 0 {
			return "NULL"
		}
		c := new(big.Rat).SetInt64(n)
		q.Mul(q, c).Sub(q, s.Mul(s, s)).Quo(q, c.Mul(c, c))
		f, _ := q.Float64()
		return fmt.Sprint(f)
	}},
}

func orderCall(c flow.AggCall, col int, desc bool) flow.AggCall {
	c.Order = []flow.SortKey{{Col: col, Desc: desc, NullsFirst: desc}}
	return c
}

func orNull(null bool, s string) string {
	if null {
		return "NULL"
	}
	return s
}

// printed prints a value as the cases do.
func printed(v types.Value) string {
	if v.Null {
		return "NULL"
	}
	switch v.T.Layout() {
	case types.LayoutBool:
		return fmt.Sprint(v.I != 0)
	case types.LayoutInt:
		return fmt.Sprint(v.I)
	case types.LayoutFloat:
		return fmt.Sprint(v.F)
	case types.LayoutDec:
		return string(types.AppendDecimal(nil, v.D, []byte(v.S)))
	case types.LayoutIvl:
		return fmt.Sprint(v.V)
	}
	return v.S
}

// aggSpec groups rows of types ts by keys.
func aggSpec(ts []types.Type, keys []int, calls ...flow.AggCall) *flow.Spec {
	var out []types.Type
	for _, k := range keys {
		out = append(out, ts[k])
	}
	for _, c := range calls {
		out = append(out, c.Ret)
	}
	return &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "r"}, Out: ts},
		{Op: &flow.Aggregate{Keys: keys, Calls: calls, Scalar: len(keys) == 0}, In: []int{0}, Out: out},
		{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: out},
	}}
}

// wantGroups recomputes everything from the rows that are there.
func wantGroups(rows []aggRow, cases []aggCase) string {
	groups := map[int64][]aggRow{}
	for _, r := range rows {
		groups[r.key] = append(groups[r.key], r)
	}
	var lines []string
	for k, g := range groups {
		line := fmt.Sprint(k)
		for _, c := range cases {
			line += "|" + c.want(g)
		}
		lines = append(lines, line)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func TestAggregatesEqualRecomputation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cases := []aggCase{rapid.SampledFrom(aggCases).Draw(t, "a"), rapid.SampledFrom(aggCases).Draw(t, "b"), rapid.SampledFrom(aggCases).Draw(t, "c")}
		var calls []flow.AggCall
		for _, c := range cases {
			calls = append(calls, c.call)
		}
		spec, only := aggSpec(aggTypes, []int{0}, calls...), rapid.IntRange(0, 3).Draw(t, "append-only") == 0
		spec.Nodes[0].Op = &flow.Input{Rel: "r", AppendOnly: only}
		g := newStepper(t, spec, flow.Options{Workers: rapid.IntRange(1, 3).Draw(t, "workers")})
		var rows []aggRow
		sums := map[string]int64{}
		for step := range rapid.IntRange(1, 5).Draw(t, "steps") {
			var feed flow.Feed
			feed, rows = drawAggStep(t, rows, only)
			res, errs, err := g.Step(int64(step+1), 0, feed)
			if err != nil || errs.Total != 0 {
				t.Fatalf("step %d: %v, %d errors: %v", step, err, errs.Total, errs.Rows)
			}
			b := res[0].Batch
			for i := range b.N {
				var line []string
				for _, v := range b.RowValues(i) {
					line = append(line, printed(v))
				}
				key := strings.Join(line, "|")
				if sums[key] += b.Weight(i); sums[key] == 0 {
					delete(sums, key)
				}
			}
			var lines []string
			for l, w := range sums {
				if w != 1 {
					t.Fatalf("step %d: row %s has weight %d", step, l, w)
				}
				lines = append(lines, l)
			}
			sort.Strings(lines)
			if got, want := strings.Join(lines, "\n"), wantGroups(rows, cases); got != want {
				t.Fatalf("step %d: groups are\n%s\nwant\n%s", step, got, want)
			}
		}
	})
}

// drawAggStep draws changes to rows, in blocks in random order, with some rows that
// come and go within the step, the going first.
func drawAggStep(t *rapid.T, rows []aggRow, only bool) (flow.Feed, []aggRow) {
	type change struct {
		row aggRow
		w   int64
	}
	var changes []change
	for range rapid.IntRange(0, 8).Draw(t, "changes") {
		switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
		case kind == 0 && !only:
			r := drawAggRow(t)
			changes = append(changes, change{r, -1}, change{r, 1})
		case kind <= 2 && len(rows) > 0 && !only:
			i := rapid.IntRange(0, len(rows)-1).Draw(t, "which")
			changes = append(changes, change{rows[i], -1})
			rows = append(append([]aggRow{}, rows[:i]...), rows[i+1:]...)
		default:
			r, w := drawAggRow(t), rapid.IntRange(1, 3).Draw(t, "weight")
			changes = append(changes, change{r, int64(w)})
			for range w {
				rows = append(rows, r)
			}
		}
	}
	if len(changes) > 1 {
		changes = rapid.Permutation(changes).Draw(t, "order")
	}
	feed := flow.Feed{Rel: "r"}
	for len(changes) > 0 {
		n := rapid.IntRange(1, len(changes)).Draw(t, "block")
		bu := batch.NewBuilder(aggTypes)
		for _, c := range changes[:n] {
			bu.AppendRow(c.row.values(), c.w)
		}
		feed.Blocks = append(feed.Blocks, bu.Seal())
		changes = changes[n:]
	}
	return feed, rows
}

// aggStep runs a step over rows, given as values with weights, of a group.
func aggStep(t *testing.T, g *flow.Group, step int64, ts []types.Type, rows [][]types.Value, weights ...int64) (string, flow.StepErrors) {
	t.Helper()
	bu := batch.NewBuilder(ts)
	for i, r := range rows {
		bu.AppendRow(r, weights[i])
	}
	res, errs, err := g.Step(step, 0, flow.Feed{Rel: "r", Blocks: []*batch.Batch{bu.Seal()}})
	if err != nil {
		t.Fatalf("step %d: %v", step, err)
	}
	var lines []string
	for i := range res[0].Batch.N {
		line := fmt.Sprintf("%+d", res[0].Batch.Weight(i))
		for _, v := range res[0].Batch.RowValues(i) {
			line += " " + printed(v)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; "), errs
}

// errorLine prints the errors of a step.
func errorLine(errs flow.StepErrors) string {
	var out []string
	for _, e := range errs.Rows {
		out = append(out, fmt.Sprintf("%+d %s %s", e.Weight, e.Err.Code, e.Err.Message))
	}
	return strings.Join(out, "; ")
}

func TestGroupInErrorIsWithheldUntilTheErrorLeaves(t *testing.T) {
	int8s := []types.Type{types.T(types.Int8), types.T(types.Int8)}
	row := func(k, v int64) []types.Value {
		return []types.Value{types.IntValue(types.Int8, k), types.IntValue(types.Int8, v)}
	}
	for _, c := range []struct {
		name       string
		call       flow.AggCall
		bad        int64
		ok, err    string
		afterwards string
	}{
		{
			name: "sum", call: fnCall(expr.AggSum, types.Int8, 1), bad: math.MaxInt64,
			ok: "+1 1 5", err: "22003 bigint out of range", afterwards: "+1 1 5",
		},
		{
			name: "single", call: fnCall(expr.AggSingle, types.Int8, 1), bad: 6,
			ok: "+1 1 5", err: "21000 more than one row returned by a subquery used as an expression", afterwards: "+1 1 5",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := flow.New(aggSpec(int8s, []int{0}, c.call), flow.Options{})
			if err != nil {
				t.Fatal(err)
			}
			check := func(step int64, want, wantErrs string, rows [][]types.Value, weights ...int64) {
				t.Helper()
				got, errs := aggStep(t, g, step, int8s, rows, weights...)
				if got != want || errorLine(errs) != wantErrs {
					t.Errorf("step %d gives %q with errors %q, want %q with %q", step, got, errorLine(errs), want, wantErrs)
				}
			}
			check(1, c.ok, "", [][]types.Value{row(1, 5)}, 1)
			check(2, "-1 1 5", "+1 "+c.err, [][]types.Value{row(1, c.bad)}, 1)
			check(3, "", "", [][]types.Value{row(1, c.bad)}, 1)
			check(4, c.afterwards, "-1 "+c.err, [][]types.Value{row(1, c.bad)}, -2)
			check(5, "", "", [][]types.Value{row(1, c.bad), row(1, c.bad)}, 1, -1)
			check(6, "-1 1 5", "", [][]types.Value{row(1, 5)}, -1)
		})
	}
}

func TestScalarAggregateAlwaysGivesOneRow(t *testing.T) {
	int8s := []types.Type{types.T(types.Int8)}
	for workers := 1; workers <= 3; workers++ {
		g, err := flow.New(aggSpec(int8s, nil, fnCall(expr.AggCountStar, types.Int8), fnCall(expr.AggSum, types.Int8, 0)), flow.Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		five := [][]types.Value{{types.IntValue(types.Int8, 5)}}
		for step, c := range []struct {
			want   string
			weight int64
		}{{"+1 0 NULL", 0}, {"-1 0 NULL; +1 1 5", 1}, {"", 0}, {"+1 0 NULL; -1 1 5", -1}, {"", 0}} {
			rows, weights := five, []int64{c.weight}
			if c.weight == 0 {
				rows, weights = nil, nil
			}
			got, _ := aggStep(t, g, int64(step+1), int8s, rows, weights...)
			if !sameLines(got, c.want) {
				t.Errorf("%d workers, step %d: %q, want %q", workers, step+1, got, c.want)
			}
		}
	}
}

func sameLines(a, b string) bool {
	x, y := strings.Split(a, "; "), strings.Split(b, "; ")
	sort.Strings(x)
	sort.Strings(y)
	return slices.Equal(x, y)
}

// The wanted values are PostgreSQL 15's.
func TestAggregatesPrintAsPostgreSQL(t *testing.T) {
	num := func(s string) types.Value {
		d, ok := types.ParseDecimalBytes([]byte(s))
		if !ok {
			t.Fatalf("numeric %q", s)
		}
		return types.Value{T: types.T(types.Numeric), D: d}
	}
	in := func(n ...int64) (vs []types.Value) {
		for _, i := range n {
			vs = append(vs, types.IntValue(types.Int8, i))
		}
		return vs
	}
	flt := func(fs ...float64) (vs []types.Value) {
		for _, f := range fs {
			vs = append(vs, types.FloatValue(f))
		}
		return vs
	}
	ivl := func(vs ...types.IntervalVal) (out []types.Value) {
		for _, v := range vs {
			out = append(out, types.Value{T: types.T(types.Interval), V: v})
		}
		return out
	}
	for _, c := range []struct {
		op   expr.AggOp
		ret  types.Kind
		vals []types.Value
		want string
	}{
		{expr.AggAvg, types.Numeric, in(1, 2), "1.5000000000000000"},
		{expr.AggAvg, types.Numeric, in(1, 1, 2), "1.3333333333333333"},
		{expr.AggAvg, types.Numeric, []types.Value{num("1.10"), num("2.2")}, "1.6500000000000000"},
		{expr.AggSum, types.Numeric, []types.Value{num("1.10"), num("2.2")}, "3.30"},
		{expr.AggSum, types.Numeric, in(math.MaxInt64, math.MaxInt64), "18446744073709551614"},
		{expr.AggVarSamp, types.Numeric, in(1, 2, 4), "2.3333333333333333"},
		{expr.AggVarPop, types.Numeric, in(1, 2, 4), "1.5555555555555556"},
		{expr.AggStddevSamp, types.Numeric, in(1, 2, 4), "1.5275252316519467"},
		{expr.AggStddevPop, types.Numeric, []types.Value{num("1.5"), num("2.5")}, "0.50000000000000000000"},
		{expr.AggStddevSamp, types.Numeric, in(1), "NULL"},
		{expr.AggVarPop, types.Numeric, in(1), "0"},
		{expr.AggAvg, types.Float8, flt(0.1, 0.2, 0.3), "0.2"},
		{expr.AggStddevSamp, types.Float8, flt(1, 2, 4), "1.5275252316519468"},
		{expr.AggAvg, types.Interval, ivl(types.IntervalVal{Months: 1}, types.IntervalVal{Days: 1}), fmt.Sprint(types.IntervalVal{Days: 15, Micros: 12 * 3600e6})},
		{expr.AggAnyValue, types.Int8, in(3, 2, 9), "2"},
	} {
		ts := []types.Type{c.vals[0].T}
		g, err := flow.New(aggSpec(ts, nil, fnCall(c.op, c.ret, 0)), flow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]types.Value
		var weights []int64
		for _, v := range c.vals {
			rows, weights = append(rows, []types.Value{v}), append(weights, 1)
		}
		if got, errs := aggStep(t, g, 1, ts, rows, weights...); got != "+1 "+c.want {
			t.Errorf("aggregate %d of %v gives %q %s, want %q", c.op, c.vals, got, errorLine(errs), c.want)
		}
	}
}
