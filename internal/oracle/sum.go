package oracle

import (
	"fmt"
	"math"
	"math/big"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// floatBits holds any sum of doubles without rounding: their exponents span 2,100
// bits, and as many terms as a test has need few more.
const floatBits = 2300

// sum adds up, one value at a time, as a value of type t.
func sum(vals []Row, t types.Type) (types.Value, error) {
	out := types.Value{T: t}
	from := vals[0].V[0].T
	switch {
	case t.Layout() == types.LayoutInt && from.Layout() == types.LayoutInt:
		for _, r := range vals {
			out.I += r.V[0].I * r.W
		}
		return out, nil
	case t.Kind == types.Numeric:
		return sumDecimal(vals)
	case t.Kind == types.Float8 && from.Kind == types.Float8:
		out.F = sumFloat(vals)
		return out, nil
	case t.Kind == types.Interval:
		for _, r := range vals {
			for range r.W {
				v, err := types.AddIntervals(out.V, r.V[0].V)
				if err != nil {
					return out, err
				}
				out.V = v
			}
		}
		return out, nil
	}
	return out, fmt.Errorf("the oracle does not sum %v", from.Kind)
}

func sumDecimal(vals []Row) (types.Value, error) {
	total := types.DecValue(types.DecFromInt64(0), nil)
	for _, r := range vals {
		v := r.V[0]
		if v.T.Layout() == types.LayoutInt {
			v = types.DecValue(types.DecFromInt64(v.I), nil)
		}
		for range r.W {
			var arena []byte
			d, err := types.DecAdd(total.D, []byte(total.S), v.D, []byte(v.S), &arena)
			if err != nil {
				return total, err
			}
			total = types.DecValue(d, arena)
		}
	}
	return total, nil
}

// sumFloat is the exact sum, rounded once.
func sumFloat(vals []Row) float64 {
	total, special, odd := new(big.Float).SetPrec(floatBits), 0.0, false
	for _, r := range vals {
		f := r.V[0].F
		if math.IsNaN(f) || math.IsInf(f, 0) {
			special, odd = special+f, true
			continue
		}
		x := new(big.Float).SetPrec(floatBits).SetFloat64(f)
		total.Add(total, x.Mul(x, new(big.Float).SetInt64(r.W)))
	}
	if odd {
		return special
	}
	f, _ := total.Float64()
	return f
}

// average divides the sum by how many there are.
func average(vals []Row, t types.Type, count int64) (types.Value, error) {
	total, err := sum(vals, t)
	if err != nil {
		return total, err
	}
	switch t.Kind {
	case types.Numeric:
		var arena []byte
		d, err := types.DecDiv(total.D, []byte(total.S), types.DecFromInt64(count), nil, &arena)
		return types.DecValue(d, arena), err
	case types.Float8:
		total.F /= float64(count)
	case types.Interval:
		total.V, err = types.DivInterval(total.V, float64(count))
	}
	return total, err
}

// projectSet is generate_series over integers.
func (o *eval) projectSet(in Table, op *flow.ProjectSet) (Table, error) {
	if op.Fn.Name != "generate_series" || op.Fn.Ret.Layout() != types.LayoutInt {
		return nil, fmt.Errorf("the oracle does not know %s of %v", op.Fn.Name, op.Fn.Ret.Kind)
	}
	var out Table
	for _, r := range in {
		bounds := []types.Value{{}, {}, types.IntValue(types.Int8, 1)}
		null := false
		for i, e := range op.Args {
			v, err := EvalRow(o.ctx, e, r.V)
			if err != nil {
				return nil, err
			}
			bounds[i], null = v, null || v.Null
		}
		by := bounds[2].I
		if null || by == 0 {
			continue
		}
		n := int64(0)
		for x := bounds[0].I; by > 0 && x <= bounds[1].I || by < 0 && x >= bounds[1].I; x += by {
			n++
			v := append(append([]types.Value{}, r.V...), types.Value{T: op.Fn.Ret, I: x})
			if op.Ordinality {
				v = append(v, types.IntValue(types.Int8, n))
			}
			out = append(out, Row{v, r.W})
		}
	}
	return out, nil
}
