package connector

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/types"
)

// Names of the members that say which change of a view a record is: the step, its
// place in the step from 0, and its weight.
const (
	StepName   = "_step"
	IndexName  = "_index"
	WeightName = "_weight"
)

// ChangeNames returns the names of cfg's columns. It is an error if one is taken by
// the members of a change.
func ChangeNames(cfg Config) ([]string, error) {
	names := make([]string, len(cfg.Columns))
	for i, c := range cfg.Columns {
		if c.Name == StepName || c.Name == IndexName || c.Name == WeightName {
			return nil, &types.Error{Code: types.CodeDuplicateColumn, Message: fmt.Sprintf("column %q has the name of a member that sinks add", c.Name),
				Hint: "Rename the column in the query of the sink."}
		}
		names[i] = c.Name
	}
	return names, nil
}

// AppendChange appends the change at physical row i of b as one JSON object on one
// line: the step and index and weight, then the columns.
func AppendChange(dst []byte, names []string, b *batch.Batch, i int, step uint64, index int) []byte {
	dst = fmt.Appendf(dst, `{"%s":%d,"%s":%d,"%s":%d`, StepName, step, IndexName, index, WeightName, b.Weight(i))
	for c := range b.Cols {
		dst = format.AppendJSONString(append(dst, ','), names[c])
		dst = format.AppendJSONValue(append(dst, ':'), &b.Cols[c], i, types.Style{})
	}
	return append(dst, '}')
}
