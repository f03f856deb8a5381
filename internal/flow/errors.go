package flow

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// errors gathers the row errors of all workers.
func (g *Group) errors() StepErrors {
	var out StepErrors
	for _, c := range g.circuits {
		out.Rows = append(out.Rows, c.step.errs...)
		out.Total += c.step.errRows
	}
	slices.SortFunc(out.Rows, compareErrors)
	rows := out.Rows[:0]
	for i := 0; i < len(out.Rows); {
		e := out.Rows[i]
		for i++; i < len(out.Rows) && compareErrors(e, out.Rows[i]) == 0; i++ {
			e.Weight += out.Rows[i].Weight
		}
		if e.Weight != 0 {
			rows = append(rows, e)
		}
	}
	out.Rows = rows
	return out
}

func compareErrors(a, b RowError) int {
	if c := cmp.Or(cmp.Compare(a.Node, b.Node), strings.Compare(a.Err.Code, b.Err.Code),
		strings.Compare(a.Err.Message, b.Err.Message), cmp.Compare(len(a.Row), len(b.Row))); c != 0 {
		return c
	}
	if len(a.Row) == 0 {
		return 0
	}
	ab, bb := rowBatch(a.Row), rowBatch(b.Row)
	return batch.CompareWhole(ab, 0, bb, 0)
}

// rowBatch returns a batch of one row.
func rowBatch(row []types.Value) *batch.Batch {
	ts := make([]types.Type, len(row))
	for i := range row {
		ts[i] = row[i].T
	}
	return batch.FromRows(ts, [][]types.Value{row})
}
