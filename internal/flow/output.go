package flow

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// maxOutputBytes bounds one worker's changes to one output in a step, since text
// in a batch is addressed with 32 bits.
const maxOutputBytes = 1 << 31

// output gathers the changes of a result during a step. At Flush it brings them
// into canonical form: equal rows added up, ordered by the whole row.
type output struct {
	name   string
	rows   *batch.Builder
	cons   batch.Consolidator
	bytes  int64
	result *batch.Batch // sealed; of the last step
}

func newOutput(env Env, op *Output) *output {
	return &output{name: op.Name, rows: batch.NewBuilder(env.Out)}
}

func (o *output) begin() {
	o.rows.Reset()
	o.result = nil
}

func (o *output) Push(st *Step, _ int, b *batch.Batch, _ Emitter) {
	o.rows.AppendBatch(b)
	o.bytes = o.rows.SizeBytes()
	if o.bytes > maxOutputBytes {
		st.fail = &types.Error{
			Code:    types.CodeOutOfMemory,
			Message: fmt.Sprintf("out of memory: step %d gives %d bytes of changes to %q", st.N, o.bytes, o.name),
			Detail:  fmt.Sprintf("A step may give up to %d.", int64(maxOutputBytes)),
		}
	}
}

func (o *output) Flush(*Step, Emitter) {
	o.result = o.cons.Consolidate(o.rows.View(), nil)
	o.rows.Reset()
	o.bytes = 0
}

func (o *output) StateBytes() int64 { return o.bytes }

// mergeSorted adds up batches that are ordered by the whole row without repeats,
// and returns their sum in the same form.
func mergeSorted(ts []types.Type, parts []*batch.Batch) *batch.Batch {
	if len(parts) == 1 {
		return parts[0]
	}
	bu := batch.NewBuilder(ts)
	at := make([]int, len(parts))
	for {
		least := -1
		for p, b := range parts {
			if at[p] < b.N && (least < 0 || batch.CompareWhole(b, at[p], parts[least], at[least]) < 0) {
				least = p
			}
		}
		if least < 0 {
			return bu.Seal()
		}
		from, row := parts[least], at[least]
		w := int64(0)
		for p := least; p < len(parts); p++ {
			if b := parts[p]; at[p] < b.N && batch.CompareWhole(b, at[p], from, row) == 0 {
				w += b.Weight(at[p])
				at[p]++
			}
		}
		if w != 0 {
			bu.AppendFrom(from, row, w)
		}
	}
}
