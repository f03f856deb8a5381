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
	// mergeStop is after how many rows a merge asks whether to go on.
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
	digest batch.Digest // of the changes so far
	result *batch.Batch // sealed; of the last step
}

func newOutput(env Env, op *Output) *output {
	return &output{name: op.Name, types: env.Out, rows: batch.NewBuilder(env.Out)}
}

func (o *output) begin() {
	o.rows.Reset()
	o.result, o.runs, o.held, o.bytes, o.digest = nil, nil, 0, 0, batch.Digest{}
}

func (o *output) Push(st *Step, _ int, b *batch.Batch, _ Emitter) {
	o.rows.AppendBatch(b)
	// What cancels out later does so in the digest too, and now b is in the caches.
	o.digest = o.digest.Add(batch.DigestOf(b))
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
	o.runs = append(o.runs, o.cons.Take(o.rows, nil))
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
	merged := o.merge(o.runs[n-2:], st.stop)
	if merged == nil {
		st.fail = errStopped()
		return
	}
	clear(o.runs[n-2:])
	o.runs = append(o.runs[:n-2], merged)
}

func (o *output) Flush(st *Step, _ Emitter) {
	size := o.rows.SizeBytes()
	if len(o.runs) == 0 {
		o.result = o.cons.Take(o.rows, nil)
	} else {
		for o.endRun(st); len(o.runs) > 1 && !st.Stopped(); {
			o.mergeLast(st)
		}
		o.result, o.runs, o.held = o.runs[0], nil, 0
	}
	if size > keepOutputBytes || o.result.N > runRows/2 {
		o.forget()
	}
	o.bytes = o.result.SizeBytes()
}

// forget lets go of the memory for rows.
func (o *output) forget() {
	o.rows, o.cons = batch.NewBuilder(o.types), batch.Consolidator{}
}

// take hands out the result with its digest and forgets it.
func (o *output) take() (*batch.Batch, batch.Digest) {
	b := o.result
	o.result, o.bytes = nil, 0
	return b, o.digest
}

func (o *output) StateBytes() int64 { return o.bytes }

// merge adds up batches in canonical form, when no rows are gathered, and returns
// their sum in the same form. Parts that are in order already cost the sorter little.
// It asks stop, if not nil, now and then and returns nil once that says so. Besides
// the parts it takes up to twice their memory.
func (o *output) merge(parts []*batch.Batch, stop func() bool) *batch.Batch {
	if len(parts) == 1 {
		return parts[0]
	}
	for _, b := range parts {
		for lo := 0; lo < b.N; lo += mergeStop {
			if lo > 0 && stop != nil && stop() {
				o.rows.Reset()
				return nil
			}
			o.rows.AppendRange(b, lo, min(lo+mergeStop, b.N))
		}
	}
	size := o.rows.SizeBytes()
	merged := o.cons.Take(o.rows, nil)
	if size > keepOutputBytes {
		o.forget()
	}
	return merged
}
