package oracle

import (
	"math"
	"slices"
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// compareBy orders two rows by sort keys.
func compareBy(keys []flow.SortKey, a, b []types.Value) int {
	for _, k := range keys {
		if c := Compare(a[k.Col], b[k.Col], batch.Key{Desc: k.Desc, NullsFirst: k.NullsFirst}); c != 0 {
			return c
		}
	}
	return 0
}

// ordered expands weights and sorts the rows of a partition, ties by the whole row.
func ordered(g []Row, keys []flow.SortKey) [][]types.Value {
	var rows [][]types.Value
	for _, r := range g {
		for range r.W {
			rows = append(rows, r.V)
		}
	}
	sort.SliceStable(rows, func(i, j int) bool {
		if c := compareBy(keys, rows[i], rows[j]); c != 0 {
			return c < 0
		}
		return CompareRows(rows[i], rows[j]) < 0
	})
	return rows
}

// ranks gives the row_number, rank and dense_rank of row i of sorted rows.
func ranks(rows [][]types.Value, keys []flow.SortKey, i int) (number, rank, dense int64) {
	rank, dense = 1, 1
	for j := range i {
		if compareBy(keys, rows[j], rows[i]) != 0 {
			rank = int64(j) + 2
			if compareBy(keys, rows[j], rows[j+1]) != 0 {
				dense++
			}
		}
	}
	return int64(i) + 1, rank, dense
}

func topN(t Table, op *flow.TopN) Table {
	var out Table
	for _, g := range group(t, op.Partition) {
		rows := ordered(g, op.Order)
		for i, row := range rows {
			number, rank, dense := ranks(rows, op.Order, i)
			n := [...]int64{flow.RankRows: number, flow.RankGaps: rank, flow.RankDense: dense}[op.Rank]
			if n <= op.Offset || op.Limit >= 0 && n-op.Offset > op.Limit {
				continue
			}
			if op.Number {
				row = append(slices.Clone(row), types.IntValue(types.Int8, n))
			}
			out = append(out, Row{row, 1})
		}
	}
	return out
}

// over computes every call for every row from the whole partition.
func (o *eval) over(t Table, op *flow.Over) (Table, error) {
	var out Table
	for _, g := range group(t, op.Partition) {
		rows := ordered(g, op.Order)
		for i := range rows {
			row := slices.Clone(rows[i])
			failed := false
			for k := range op.Calls {
				v, err := overCall(rows, i, op, &op.Calls[k])
				if e, ok := err.(*types.Error); ok && e != nil {
					failed = true
					break
				}
				if err != nil {
					return nil, err
				}
				v.T = op.Calls[k].Ret
				row = append(row, v)
			}
			if failed {
				o.fail(1)
				continue
			}
			out = append(out, Row{row, 1})
		}
	}
	return out, nil
}

func overCall(rows [][]types.Value, i int, op *flow.Over, c *flow.OverCall) (types.Value, error) {
	number, rank, dense := ranks(rows, op.Order, i)
	n := int64(len(rows))
	big := func(v int64) (types.Value, error) { return types.IntValue(types.Int8, v), nil }
	float := func(f float64) (types.Value, error) { return types.Value{T: c.Ret, F: f}, nil }
	switch c.Fn {
	case flow.OverRowNumber:
		return big(number)
	case flow.OverRank:
		return big(rank)
	case flow.OverDenseRank:
		return big(dense)
	case flow.OverPercentRank:
		if n == 1 {
			return float(0)
		}
		return float(float64(rank-1) / float64(n-1))
	case flow.OverCumeDist:
		last := i
		for last+1 < len(rows) && compareBy(op.Order, rows[i], rows[last+1]) == 0 {
			last++
		}
		return float(float64(last+1) / float64(n))
	case flow.OverNtile:
		if c.NNull {
			return types.NullOf(c.Ret), nil
		}
		return types.IntValue(c.Ret.Kind, ntile(number-1, n, c.N)), nil
	case flow.OverLag, flow.OverLead:
		return shifted(rows, i, c), nil
	}
	frame := frameOf(rows, i, op.Order, &c.Frame)
	switch c.Fn {
	case flow.OverFirst, flow.OverNth, flow.OverLast:
		at := int64(1)
		if c.Fn == flow.OverNth {
			at = c.N
		}
		if c.Fn == flow.OverLast {
			at = int64(len(frame))
		}
		if c.Fn == flow.OverNth && c.NNull || at < 1 || at > int64(len(frame)) {
			return types.NullOf(c.Ret), nil
		}
		return rows[frame[at-1]][c.Args[0]], nil
	}
	var g []Row
	for _, j := range frame {
		g = append(g, Row{rows[j], 1})
	}
	return overAggregate(g, c)
}

// overAggregate is an aggregate of rows in their order.
func overAggregate(g []Row, c *flow.OverCall) (types.Value, error) {
	call := &flow.AggCall{Fn: c.Agg, Args: c.Args, Filter: c.Filter, Ret: c.Ret}
	if c.Agg.Op != expr.AggStringAgg {
		return aggregateCall(g, call)
	}
	out, first := types.NullOf(c.Ret), true
	for _, r := range g {
		if c.Filter >= 0 && (r.V[c.Filter].Null || r.V[c.Filter].I == 0) || r.V[c.Args[0]].Null {
			continue
		}
		if sep := r.V[c.Args[1]]; !first && !sep.Null {
			out.S += sep.S
		}
		first, out.Null = false, false
		out.S += r.V[c.Args[0]].S
	}
	return out, nil
}

// ntile gives the bucket of a place: the first n%buckets buckets have one row more.
func ntile(place, n, buckets int64) int64 {
	for b, at := int64(1), int64(0); ; b++ {
		at += n / buckets
		if b <= n%buckets {
			at++
		}
		if place < at {
			return b
		}
	}
}

func shifted(rows [][]types.Value, i int, c *flow.OverCall) types.Value {
	by := c.N
	if c.NCol >= 0 {
		if rows[i][c.NCol].Null {
			return types.NullOf(c.Ret)
		}
		by = rows[i][c.NCol].I
	} else if c.NNull {
		return types.NullOf(c.Ret)
	}
	if c.Fn == flow.OverLag {
		by = -by
	}
	if by <= math.MaxInt32 && by >= math.MinInt32 {
		if j := int64(i) + by; j >= 0 && j < int64(len(rows)) {
			return rows[j][c.Args[0]]
		}
	}
	if c.Default >= 0 {
		return rows[i][c.Default]
	}
	return types.NullOf(c.Ret)
}

// frameOf lists the rows of row i's frame, by asking of each whether it is in it.
func frameOf(rows [][]types.Value, i int, keys []flow.SortKey, f *flow.Frame) []int {
	groups := make([]int64, len(rows))
	for j := range rows {
		_, _, groups[j] = ranks(rows, keys, j)
	}
	var out []int
	for j := range rows {
		peer := groups[j] == groups[i]
		if !within(rows, groups, i, j, keys, f, f.Start, false) || !within(rows, groups, i, j, keys, f, f.End, true) {
			continue
		}
		switch f.Exclude {
		case flow.ExcludeCurrent:
			peer = i == j
		case flow.ExcludeTies:
			peer = peer && i != j
		case flow.ExcludeNone:
			peer = false
		}
		if !peer {
			out = append(out, j)
		}
	}
	return out
}

// within reports whether row j is on the right side of an edge of row i's frame.
func within(rows [][]types.Value, groups []int64, i, j int, keys []flow.SortKey, f *flow.Frame, e flow.FrameEdge, end bool) bool {
	far := int64(j - i)
	if f.Mode != flow.FrameRows {
		far = groups[j] - groups[i]
	}
	to := int64(0)
	switch e.Kind {
	case flow.FromStart, flow.ToEnd:
		return true
	case flow.Preceding:
		to = -e.N
	case flow.Following:
		to = e.N
	}
	if f.Mode == flow.FrameRange && e.Kind != flow.AtCurrent {
		k := batch.Key{Desc: keys[0].Desc, NullsFirst: keys[0].NullsFirst}
		far, to = int64(Compare(rows[j][f.Key], rows[i][e.Limit], k)), 0
	}
	if end {
		return far <= to
	}
	return far >= to
}
