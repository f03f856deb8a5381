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
	out.cancel()
	return out
}

// Add adds the errors of another step of the same circuit. Errors that cancel each other go,
// and beyond MaxRowErrors they are only counted.
func (e *StepErrors) Add(o StepErrors) {
	e.Total += o.Total
	if len(o.Rows) == 0 {
		return
	}
	e.Rows = append(e.Rows, o.Rows...)
	e.cancel()
	if len(e.Rows) > MaxRowErrors {
		e.Rows = e.Rows[:MaxRowErrors]
	}
}

// cancel brings the rows into order and adds up those that are alike.
func (e *StepErrors) cancel() {
	slices.SortFunc(e.Rows, compareErrors)
	rows := e.Rows[:0]
	for i := 0; i < len(e.Rows); {
		x := e.Rows[i]
		for i++; i < len(e.Rows) && compareErrors(x, e.Rows[i]) == 0; i++ {
			x.Weight += e.Rows[i].Weight
		}
		if x.Weight != 0 {
			rows = append(rows, x)
		}
	}
	clear(e.Rows[len(rows):])
	e.Rows = rows
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
