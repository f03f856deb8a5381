package flow

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
)

// input passes the changes of a relation into the circuit.
type input struct {
	rel        string
	appendOnly bool
	sel        []uint32
	out        batch.Batch
}

func (in *input) Push(st *Step, _ int, b *batch.Batch, out Emitter) {
	zero := false
	for k, n := 0, b.Len(); k < n && b.Weights != nil; k++ {
		w := b.Weights[b.Row(k)]
		zero = zero || w == 0
		if w < 0 && in.appendOnly {
			st.fail = fmt.Errorf("step %d: a change of weight %d on %q, which is append-only", st.N, w, in.rel)
			return
		}
	}
	if zero {
		in.narrow(b)
		b = &in.out
	}
	out.Emit(b)
}

// narrow makes out b without its rows of weight 0.
func (in *input) narrow(b *batch.Batch) {
	if in.sel == nil {
		in.sel = make([]uint32, 0, batch.BlockRows)
	}
	in.sel = in.sel[:0]
	for k, n := 0, b.Len(); k < n; k++ {
		if i := b.Row(k); b.Weights[i] != 0 {
			in.sel = append(in.sel, uint32(i))
		}
	}
	in.out = *b
	in.out.Sel = in.sel
}

func (in *input) Flush(*Step, Emitter) {}

func (in *input) StateBytes() int64 { return 0 }
