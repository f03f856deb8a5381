package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
)

// values is a constant relation: its rows are the changes of the first step, and
// no step after it changes anything.
type values struct {
	rows *batch.Batch // sealed
	done bool
}

func (v *values) persist(p *state.Persist) { p.Bool(&v.done) }

func (v *values) Push(*Step, int, *batch.Batch, Emitter) { panic("flow: values has no input") }

func (v *values) Flush(_ *Step, out Emitter) {
	if v.done {
		return
	}
	v.done = true
	b := v.rows
	if b.Sel != nil && b.N > batch.BlockRows {
		b = batch.Copy(b)
	}
	if b.N <= batch.BlockRows {
		out.Emit(b)
		return
	}
	for lo := 0; lo < b.N; lo += batch.BlockRows {
		out.Emit(batch.Slice(b, lo, min(lo+batch.BlockRows, b.N)))
	}
}

func (v *values) StateBytes() int64 { return 0 }
