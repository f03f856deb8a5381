package oracle

import (
	"slices"
	"sort"

	"github.com/tidemill/tidemill/internal/flow"
)

// session cuts the rows of each partition where one comes a gap or more after the one
// before it.
func session(t Table, op *flow.Session) Table {
	var timed, out Table
	for _, r := range t {
		if !r.V[op.Time].Null && r.W > 0 {
			timed = append(timed, r)
		}
	}
	for _, rows := range group(timed, op.Partition) {
		sort.SliceStable(rows, func(i, j int) bool { return rows[i].V[op.Time].I < rows[j].V[op.Time].I })
		for from := 0; from < len(rows); {
			to := from + 1
			for to < len(rows) && rows[to].V[op.Time].I-rows[to-1].V[op.Time].I < op.Gap {
				to++
			}
			start, end := rows[from].V[op.Time], rows[to-1].V[op.Time]
			end.I += op.Gap
			for _, r := range rows[from:to] {
				out = append(out, Row{append(slices.Clone(r.V), start, end), r.W})
			}
			from = to
		}
	}
	return out
}
