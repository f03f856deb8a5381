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
	numbers []int64 // of the column behind the rows' own, if there is one
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

// emitNumbered is emit with a value for the last column.
func (s *stored) emitNumbered(id uint32, number, w int64, out Emitter) {
	if w == 0 {
		return
	}
	s.numbers = append(s.numbers, number)
	s.emit(id, w, out)
}

// flush emits the rows that are left.
func (s *stored) flush(out Emitter) {
	if len(s.ids) == 0 {
		return
	}
	for c := range s.rows.fields {
		s.rows.gather(&s.out.Cols[c], c, s.ids)
	}
	if len(s.out.Cols) > len(s.rows.fields) {
		s.out.Cols[len(s.rows.fields)].I64 = s.numbers
	}
	s.out.N, s.out.Weights = len(s.ids), s.weights
	out.Emit(&s.out)
	s.ids, s.weights, s.numbers = s.ids[:0], s.weights[:0], s.numbers[:0]
}
