package oracle

import (
	"fmt"
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// aggregate groups and computes each call over the group's rows.
func (o *eval) aggregate(t Table, op *flow.Aggregate) (Table, error) {
	groups := group(t, op.Keys)
	if len(op.Keys) == 0 && op.Scalar && len(groups) == 0 {
		groups = [][]Row{nil}
	}
	var out Table
	for _, g := range groups {
		var row []types.Value
		if len(g) > 0 {
			row = leastKey(g, op.Keys)
		}
		failed := false
		for i := range op.Calls {
			v, err := aggregateCall(g, &op.Calls[i])
			if err == errRow {
				failed = true
				break
			}
			if err != nil {
				return nil, err
			}
			v.T = op.Calls[i].Ret
			row = append(row, v)
		}
		if failed {
			o.fail(1)
			continue
		}
		out = append(out, Row{row, 1})
	}
	return out, nil
}

// leastKey returns the first of the group's keys in the order of whole rows: they are
// equal in SQL but may be written differently.
func leastKey(g []Row, keys []int) []types.Value {
	least := pick(g[0].V, keys)
	for _, r := range g[1:] {
		if k := pick(r.V, keys); CompareRows(k, least) < 0 {
			least = k
		}
	}
	return least
}

// errRow says that a group has no result.
var errRow = fmt.Errorf("the aggregate went wrong")

// arguments returns the values of a call's first argument that count, sorted, each
// with how often it is there. count(*) gets one entry for all rows.
func arguments(g []Row, c *flow.AggCall) []Row {
	var vals Table
	for _, r := range g {
		if c.Filter >= 0 && (r.V[c.Filter].Null || r.V[c.Filter].I == 0) {
			continue
		}
		row := pick(r.V, c.Args)
		if len(row) > 0 && row[0].Null {
			continue
		}
		for _, k := range c.Order {
			row = append(row, r.V[k.Col])
		}
		vals = append(vals, Row{row, r.W})
	}
	if c.Distinct && len(c.Args) > 0 {
		var once Table
		for _, same := range group(Consolidate(vals), []int{0}) {
			if r, w := weigh(same); w > 0 {
				once = append(once, Row{r.V, 1})
			}
		}
		vals = once
	}
	vals = Consolidate(vals)
	sort.SliceStable(vals, func(i, j int) bool {
		for x, k := range c.Order {
			at := len(c.Args) + x
			if r := Compare(vals[i].V[at], vals[j].V[at], batch.Key{Desc: k.Desc, NullsFirst: k.NullsFirst}); r != 0 {
				return r < 0
			}
		}
		return false
	})
	return vals
}

// aggregateCall computes one aggregate of a group.
func aggregateCall(g []Row, c *flow.AggCall) (types.Value, error) {
	vals := arguments(g, c)
	count := int64(0)
	for _, r := range vals {
		count += r.W
	}
	switch c.Fn.Op {
	case expr.AggCountStar, expr.AggCount:
		return types.IntValue(types.Int8, count), nil
	}
	if len(vals) == 0 {
		return types.NullOf(c.Ret), nil
	}
	switch c.Fn.Op {
	case expr.AggMin, expr.AggMax, expr.AggAnyValue:
		best := vals[0].V[0]
		for _, r := range vals[1:] {
			if d := Compare(r.V[0], best, batch.Key{}); d > 0 && c.Fn.Op == expr.AggMax || d < 0 && c.Fn.Op != expr.AggMax {
				best = r.V[0]
			}
		}
		return best, nil
	case expr.AggSum:
		return sum(vals, c.Ret)
	case expr.AggAvg:
		return average(vals, c.Ret, count)
	case expr.AggBoolAnd, expr.AggBoolOr:
		all, any := true, false
		for _, r := range vals {
			all, any = all && r.V[0].I != 0, any || r.V[0].I != 0
		}
		return types.BoolValue(c.Fn.Op == expr.AggBoolAnd && all || c.Fn.Op == expr.AggBoolOr && any), nil
	case expr.AggStringAgg:
		s := types.Value{T: c.Ret}
		first := true
		for _, r := range vals {
			for range r.W {
				if !first && len(r.V) > 1 && !r.V[1].Null {
					s.S += r.V[1].S
				}
				first = false
				s.S += r.V[0].S
			}
		}
		return s, nil
	case expr.AggSingle:
		if count > 1 {
			return types.Value{}, errRow
		}
		return vals[0].V[0], nil
	}
	return types.Value{}, fmt.Errorf("the oracle does not know %s", c.Fn.Name)
}
