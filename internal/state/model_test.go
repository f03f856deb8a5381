package state_test

import (
	"fmt"
	"math"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// kinds are the types that tests draw columns from, one for each layout and more.
var kinds = []types.Type{
	types.T(types.Int8), types.T(types.Int8), types.T(types.Text), types.T(types.Float8), types.T(types.Bool),
	types.T(types.Numeric), types.T(types.Interval), types.T(types.Unknown), types.T(types.Timestamp),
}

// drawValue draws from few values, so that equal ones, and ones that are equal only
// in SQL, are common.
func drawValue(t *rapid.T, ty types.Type) types.Value {
	if rapid.IntRange(0, 7).Draw(t, "null") == 0 || ty.Layout() == types.LayoutNone {
		return types.NullOf(ty)
	}
	v := types.Value{T: ty}
	n := rapid.Int64Range(-3, 3).Draw(t, "n")
	switch ty.Layout() {
	case types.LayoutBool:
		v.I = n & 1
	case types.LayoutInt:
		v.I = n
	case types.LayoutFloat:
		v.F = []float64{math.Copysign(0, -1), 0, math.NaN(), math.Inf(1), 1.5, -2, 3}[n+3]
	case types.LayoutDec:
		v.D = []types.Decimal{{Lo: 1}, {Lo: 10, Scale: 1}, {Lo: 100, Scale: 2}, {Lo: 12, Scale: 1}, {Hi: -1, Lo: 1<<64 - 20, Scale: 1},
			{Form: types.DecNaN}, {}}[n+3]
	case types.LayoutIvl:
		v.V = []types.IntervalVal{{Days: 30}, {Months: 1}, {Micros: 86400e6}, {Days: 1}, {Days: -1}, {Micros: -86400e6}, {}}[n+3]
	case types.LayoutStr:
		v.S = []string{"", "a", "ab", "a long text that is not short at all, really", "x", "y", "z"}[n+3]
	}
	return v
}

// keyText prints a key so that keys that GROUP BY calls equal print alike.
func keyText(row []types.Value) string {
	out := ""
	for _, v := range row {
		switch {
		case v.Null:
			out += "NULL,"
			continue
		case v.T.Layout() == types.LayoutFloat && v.F == 0:
			v.F = 0
		case v.T.Layout() == types.LayoutDec && v.D.Form == types.DecFinite:
			f := float64(int64(v.D.Lo)) / math.Pow10(int(v.D.Scale)) // small numbers only
			out += fmt.Sprint(f, ",")
			continue
		case v.T.Layout() == types.LayoutIvl:
			out += fmt.Sprint(v.V.Micros+(int64(v.V.Days)+30*int64(v.V.Months))*86400e6, ",")
			continue
		}
		out += fmt.Sprint(v.I, v.F, v.D, v.V, v.S, ",")
	}
	return out
}

// drawBatch draws rows of the types, sometimes with a selection.
func drawBatch(t *rapid.T, ts []types.Type, maxRows int, weights []int64) *batch.Batch {
	bu := batch.NewBuilder(ts)
	n := rapid.IntRange(0, maxRows).Draw(t, "rows")
	for range n {
		row := make([]types.Value, len(ts))
		for c, ty := range ts {
			row[c] = drawValue(t, ty)
		}
		bu.AppendRow(row, rapid.SampledFrom(weights).Draw(t, "weight"))
	}
	b := bu.Seal()
	if rapid.Bool().Draw(t, "select") {
		b.Sel = []uint32{}
		for i := range n {
			if rapid.IntRange(0, 3).Draw(t, "keep") > 0 {
				b.Sel = append(b.Sel, uint32(i))
			}
		}
	}
	return b
}

func drawTypes(t *rapid.T, least int) []types.Type {
	ts := make([]types.Type, rapid.IntRange(least, 4).Draw(t, "columns"))
	for i := range ts {
		ts[i] = rapid.SampledFrom(kinds).Draw(t, "type")
	}
	return ts
}

func columns(n int) []int {
	cols := make([]int, n)
	for i := range cols {
		cols[i] = i
	}
	return cols
}

func hashesOf(b *batch.Batch, cols []int) []uint64 {
	return batch.HashRows(make([]uint64, b.Len()), b, cols)
}
