package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// stored emits rows of a store in blocks.
type stored struct {
	rows    *rowStore
	ids     []uint32
	weights []int64
	out     batch.Batch
}

func newStored(rows *rowStore, ts []types.Type) stored {
	return stored{
		rows: rows, out: batch.Batch{Cols: typedColumns(ts)},
		ids: make([]uint32, 0, batch.BlockRows), weights: make([]int64, 0, batch.BlockRows),
	}
}

// emit adds row id with weight w to what is emitted.
func (s *stored) emit(id uint32, w int64, out Emitter) {
	if w == 0 {
		return
	}
	s.ids, s.weights = append(s.ids, id), append(s.weights, w)
	if len(s.ids) == batch.BlockRows {
		s.flush(out)
	}
}

// flush emits the rows that are left.
func (s *stored) flush(out Emitter) {
	if len(s.ids) == 0 {
		return
	}
	for c := range s.out.Cols {
		s.rows.gather(&s.out.Cols[c], c, s.ids)
	}
	s.out.N, s.out.Weights = len(s.ids), s.weights
	out.Emit(&s.out)
	s.ids, s.weights = s.ids[:0], s.weights[:0]
}
