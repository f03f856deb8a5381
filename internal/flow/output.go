package flow

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// maxOutputBytes bounds one worker's changes to one output in a step, since text
// in a batch is addressed with 32 bits.
const maxOutputBytes = 1 << 31

const (
	// runRows is how many changes an output gathers before it brings them into order,
	// so that equal rows of a large step take little memory.
	runRows = 1 << 18
	// keepOutputBytes is how much memory an output keeps from one step to the next.
	keepOutputBytes = 16 << 20
	// mergeStop is after how many merged rows a merge asks whether to go on.
	mergeStop = 1 << 16
)

// output gathers the changes of a result during a step. At Flush it brings them
// into canonical form: equal rows added up, ordered by the whole row.
type output struct {
	name   string
	types  []types.Type
	rows   *batch.Builder
	cons   batch.Consolidator
	runs   []*batch.Batch // canonical parts of a large step, each at least twice as long as the next
	held   int64          // bytes of runs
	bytes  int64
	result *batch.Batch // sealed; of the last step
}

func newOutput(env Env, op *Output) *output {
	return &output{name: op.Name, types: env.Out, rows: batch.NewBuilder(env.Out)}
}

func (o *output) begin() {
	o.rows.Reset()
	o.result, o.runs, o.held, o.bytes = nil, nil, 0, 0
}

func (o *output) Push(st *Step, _ int, b *batch.Batch, _ Emitter) {
	o.rows.AppendBatch(b)
	if o.rows.Len() >= runRows {
		o.endRun(st)
	}
	own := o.held + o.rows.SizeBytes()
	o.bytes = 2 * own // the rows, and the copy of them that brings them into order
	if own > maxOutputBytes {
		st.fail = &types.Error{
			Code:    types.CodeOutOfMemory,
			Message: fmt.Sprintf("out of memory: step %d gives %d bytes of changes to %q", st.N, own, o.name),
			Detail:  fmt.Sprintf("A step may give up to %d.", int64(maxOutputBytes)),
		}
	}
}

// endRun makes a run of the rows gathered, and merges runs of like length.
func (o *output) endRun(st *Step) {
	o.runs = append(o.runs, o.cons.Consolidate(o.rows.View(), nil))
	o.rows.Reset()
	for n := len(o.runs); n > 1 && o.runs[n-2].N <= 2*o.runs[n-1].N && !st.Stopped(); n = len(o.runs) {
		o.mergeLast(st)
	}
	o.held = 0
	for _, r := range o.runs {
		o.held += r.SizeBytes()
	}
}

// mergeLast merges the last two runs.
func (o *output) mergeLast(st *Step) {
	n := len(o.runs)
	merged := mergeSorted(o.types, o.runs[n-2:], st.stop)
	if merged == nil {
		st.fail = errStopped()
		return
	}
	clear(o.runs[n-2:])
	o.runs = append(o.runs[:n-2], merged)
}

func (o *output) Flush(st *Step, _ Emitter) {
	if len(o.runs) == 0 {
		o.result = o.cons.Consolidate(o.rows.View(), nil)
	} else {
		for o.endRun(st); len(o.runs) > 1 && !st.Stopped(); {
			o.mergeLast(st)
		}
		o.result, o.runs, o.held = o.runs[0], nil, 0
	}
	if o.rows.SizeBytes() > keepOutputBytes || o.result.N > runRows/2 {
		o.rows, o.cons = batch.NewBuilder(o.types), batch.Consolidator{}
	}
	o.rows.Reset()
	o.bytes = o.result.SizeBytes()
}

// take hands out the result and forgets it.
func (o *output) take() *batch.Batch {
	b := o.result
	o.result, o.bytes = nil, 0
	return b
}

func (o *output) StateBytes() int64 { return o.bytes }

// mergeSorted adds up batches that are ordered by the whole row without repeats,
// and returns their sum in the same form. It asks stop, if not nil, now and then
// and returns nil once that says so.
func mergeSorted(ts []types.Type, parts []*batch.Batch, stop func() bool) *batch.Batch {
	if len(parts) == 1 {
		return parts[0]
	}
	bu := batch.NewBuilder(ts)
	at := make([]int, len(parts))
	for n := 1; ; n++ {
		if stop != nil && n%mergeStop == 0 && stop() {
			return nil
		}
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
