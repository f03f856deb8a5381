package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// evaluator computes a circuit over whole relations, row by row and without any
// cleverness, so that tests see what plans mean before anything runs them.
type evaluator struct {
	t    *testing.T
	spec *flow.Spec
	rels map[string][][]types.Value
	done map[int][][]types.Value
}

func (v *evaluator) fatal(format string, args ...any) {
	panic(bail{&types.Error{Code: "TEST", Message: fmt.Sprintf(format, args...)}})
}

func (v *evaluator) value(e expr.Expr, row []types.Value) types.Value {
	out, err := expr.EvalConst(&expr.Ctx{}, rewriteExpr(e, func(x expr.Expr) expr.Expr {
		if c, ok := x.(expr.Col); ok {
			k := row[c.Index]
			k.T = c.T
			return expr.Const{V: k}
		}
		return x
	}))
	if err != nil {
		panic(bail{err})
	}
	return out
}

func (v *evaluator) holds(e expr.Expr, row []types.Value) bool {
	if e == nil {
		return true
	}
	x := v.value(e, row)
	return !x.Null && x.I != 0
}

// key prints values so that equal ones print the same: NULLs, too.
func key(row []types.Value, cols []int) string {
	var b strings.Builder
	for _, c := range cols {
		b.WriteString(show(row[c]) + "|")
	}
	return b.String()
}

func show(v types.Value) string {
	if v.Null || v.T.Layout() == types.LayoutNone {
		return "NULL"
	}
	switch v.T.Layout() {
	case types.LayoutFloat:
		return fmt.Sprint(v.F)
	case types.LayoutStr:
		return v.S
	case types.LayoutDec:
		if v.D.Scale == 0 {
			return fmt.Sprint(int64(v.D.Lo))
		}
		return fmt.Sprintf("%d/%d", int64(v.D.Lo), v.D.Scale)
	}
	return fmt.Sprint(v.I)
}

func anyNull(row []types.Value, cols []int) bool {
	return slices.ContainsFunc(cols, func(c int) bool { return row[c].Null })
}

func all(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func (v *evaluator) rows(n int) [][]types.Value {
	if r, ok := v.done[n]; ok {
		return r
	}
	node := v.spec.Nodes[n]
	var ins [][][]types.Value
	for _, in := range node.In {
		ins = append(ins, v.rows(in))
	}
	r := v.op(node, ins)
	v.done[n] = r
	return r
}

func (v *evaluator) op(n flow.Node, ins [][][]types.Value) (out [][]types.Value) {
	switch o := n.Op.(type) {
	case *flow.Input:
		return v.rels[o.Rel]
	case *flow.Values:
		for i := range o.Rows.N {
			out = append(out, o.Rows.RowValues(i))
		}
	case *flow.Filter:
		for _, r := range ins[0] {
			if v.holds(o.Pred, r) {
				out = append(out, r)
			}
		}
	case *flow.Project:
		for _, r := range ins[0] {
			var p []types.Value
			for _, e := range o.Exprs {
				p = append(p, v.value(e, r))
			}
			out = append(out, p)
		}
	case *flow.ProjectSet:
		for _, r := range ins[0] {
			lo, hi := v.value(o.Args[0], r), v.value(o.Args[1], r)
			for i := lo.I; !lo.Null && !hi.Null && i <= hi.I; i++ {
				p := append(slices.Clone(r), types.Value{T: o.Fn.Ret, I: i})
				if o.Ordinality {
					p = append(p, types.IntValue(types.Int8, i-lo.I+1))
				}
				out = append(out, p)
			}
		}
	case *flow.Union:
		return slices.Concat(ins...)
	case *flow.Distinct:
		seen := map[string]bool{}
		for _, r := range ins[0] {
			if k := key(r, all(len(r))); !seen[k] {
				seen[k] = true
				out = append(out, r)
			}
		}
	case *flow.SetOp:
		return setRows(o, ins)
	case *flow.Join:
		return v.join(o, ins, n, len(v.spec.Nodes[n.In[0]].Out), len(v.spec.Nodes[n.In[1]].Out))
	case *flow.Aggregate:
		return v.aggregate(o, ins[0])
	case *flow.TopN:
		return topRows(o, ins[0])
	case *flow.Output:
		return ins[0]
	default:
		v.fatal("no evaluation of %T", n.Op)
	}
	return out
}

func setRows(o *flow.SetOp, ins [][][]types.Value) (out [][]types.Value) {
	count := map[string]int{}
	for _, r := range ins[1] {
		count[key(r, all(len(r)))]++
	}
	seen := map[string]bool{}
	for _, r := range ins[0] {
		k := key(r, all(len(r)))
		in := count[k] > 0
		if o.All {
			count[k]--
		} else if seen[k] {
			continue
		}
		seen[k] = true
		if in != o.Except {
			out = append(out, r)
		}
	}
	return out
}

func (v *evaluator) join(o *flow.Join, ins [][][]types.Value, n flow.Node, lw, rw int) (out [][]types.Value) {
	nulls := func(node int) []types.Value {
		var r []types.Value
		for _, t := range v.spec.Nodes[node].Out {
			r = append(r, types.NullOf(t))
		}
		return r
	}
	usedRight := make([]bool, len(ins[1]))
	for _, l := range ins[0] {
		matched, unsure := false, false
		for i, r := range ins[1] {
			if o.Kind == flow.JoinAntiNull && (anyNull(l, o.LeftKeys) || anyNull(r, o.RightKeys)) {
				unsure = true
				continue
			}
			if !o.NullSafe && (anyNull(l, o.LeftKeys) || anyNull(r, o.RightKeys)) || key(l, o.LeftKeys) != key(r, o.RightKeys) {
				continue
			}
			both := append(slices.Clone(l), r...)
			if !v.holds(o.On, both) {
				continue
			}
			matched, usedRight[i] = true, true
			if o.Kind <= flow.JoinFull {
				out = append(out, both)
			}
		}
		switch o.Kind {
		case flow.JoinLeft, flow.JoinFull:
			if !matched {
				out = append(out, append(slices.Clone(l), nulls(n.In[1])...))
			}
		case flow.JoinSemi:
			if matched {
				out = append(out, l)
			}
		case flow.JoinAnti, flow.JoinAntiNull:
			if !matched && !unsure {
				out = append(out, l)
			}
		}
	}
	for i, r := range ins[1] {
		if (o.Kind == flow.JoinRight || o.Kind == flow.JoinFull) && !usedRight[i] {
			out = append(out, append(nulls(n.In[0]), r...))
		}
	}
	return out
}

func (v *evaluator) aggregate(o *flow.Aggregate, in [][]types.Value) (out [][]types.Value) {
	groups := map[string][][]types.Value{}
	var order []string
	for _, r := range in {
		k := key(r, o.Keys)
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], r)
	}
	if len(order) == 0 && o.Scalar {
		order = append(order, "")
	}
	for _, k := range order {
		var r []types.Value
		for _, c := range o.Keys {
			r = append(r, groups[k][0][c])
		}
		for _, c := range o.Calls {
			r = append(r, v.call(c, groups[k]))
		}
		out = append(out, r)
	}
	return out
}

func (v *evaluator) call(c flow.AggCall, rows [][]types.Value) types.Value {
	n, res := int64(0), types.NullOf(c.Ret)
	seen := map[string]bool{}
	for _, r := range rows {
		if c.Filter >= 0 && (r[c.Filter].Null || r[c.Filter].I == 0) {
			continue
		}
		if len(c.Args) == 0 {
			n++
			continue
		}
		x := r[c.Args[0]]
		if c.Fn.Op == expr.AggSingle {
			if n++; n > 1 {
				panic(bail{&types.Error{Code: types.CodeCardinality, Message: "more than one row returned by a subquery used as an expression"}})
			}
			res = x
			continue
		}
		if x.Null || c.Distinct && seen[show(x)] {
			continue
		}
		seen[show(x)] = true
		n++
		switch {
		case res.Null:
			res = x
		case c.Fn.Op == expr.AggSum:
			res.I += x.I
		case c.Fn.Op == expr.AggMax && x.I > res.I, c.Fn.Op == expr.AggMin && x.I < res.I:
			res = x
		}
	}
	if c.Fn.Op == expr.AggCount || c.Fn.Op == expr.AggCountStar {
		return types.IntValue(types.Int8, n)
	}
	if c.Ret.Kind == types.Numeric && !res.Null && res.T.Kind != types.Numeric { // sum(bigint)
		hi := int64(0)
		if res.I < 0 {
			hi = -1
		}
		res = types.Value{D: types.Decimal{Hi: hi, Lo: uint64(res.I)}}
	}
	res.T = c.Ret
	return res
}

func topRows(o *flow.TopN, in [][]types.Value) (out [][]types.Value) {
	rows := slices.Clone(in)
	slices.SortStableFunc(rows, func(a, b []types.Value) int { return compareRows(a, b, o.Order) })
	count := map[string]int64{}
	for _, r := range rows {
		k := key(r, o.Partition)
		count[k]++
		if count[k] > o.Offset && (o.Limit < 0 || count[k] <= o.Offset+o.Limit) {
			out = append(out, r)
		}
	}
	return out
}

func compareRows(a, b []types.Value, ks []flow.SortKey) int {
	for _, k := range ks {
		x, y := a[k.Col], b[k.Col]
		c := 0
		switch {
		case x.Null && y.Null:
		case x.Null || y.Null:
			if x.Null == k.NullsFirst {
				return -1
			}
			return 1
		case x.T.Layout() == types.LayoutStr:
			c = strings.Compare(x.S, y.S)
		default:
			c = int(x.I - y.I)
		}
		if k.Desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return strings.Compare(key(a, all(len(a))), key(b, all(len(b))))
}

// evaluate gives the rows of q over rels, in order if q has one, else sorted.
func evaluate(t *testing.T, q *Query, rels map[string][][]types.Value) (text string, err error) {
	defer guard(&err)
	v := &evaluator{t: t, spec: q.Spec, rels: rels, done: map[int][][]types.Value{}}
	rows := v.rows(len(q.Spec.Nodes) - 1)
	var lines []string
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b []types.Value) int { return compareRows(a, b, q.OrderBy) })
	for _, r := range rows {
		lines = append(lines, strings.TrimSuffix(key(r, all(len(q.Columns))), "|"))
	}
	if len(q.OrderBy) == 0 {
		slices.Sort(lines)
	}
	return strings.Join(lines, "\n") + "\n", nil
}
