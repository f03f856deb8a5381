package wire

import (
	"encoding/binary"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Bounds of one encoded batch. Columns of equal values take no bytes a row, so the
// input's length alone does not bound what a decoder allocates: these do.
const (
	MaxBatchRows  = 1 << 16
	MaxColumns    = 1 << 12
	MaxBatchCells = 1 << 20  // rows times columns, the weights counted as a column
	MaxTextBytes  = 64 << 20 // text of one column, once decompressed
)

// RowsPerBatch is how many rows of so many columns go into one encoded batch.
func RowsPerBatch(columns int) int {
	return min(MaxBatchRows, MaxBatchCells/(columns+1)) &^ 63
}

// How the weights and the validity of a column are written.
const (
	allOnes  byte = 0 // every weight is +1; no NULLs
	listed   byte = 1 // the weights, packed; a bitmap
	allNulls byte = 2 // every row is NULL, and no values follow
)

// AppendBatch appends b's selected rows: at most RowsPerBatch of them. It panics
// beyond the bounds, which are the caller's to keep.
func AppendBatch(dst []byte, b *batch.Batch) []byte {
	n := b.Len()
	if n > MaxBatchRows || len(b.Cols) > MaxColumns || n*(len(b.Cols)+1) > MaxBatchCells {
		panic("wire: batch is too large to encode")
	}
	if b.Sel != nil {
		var dense batch.Batch
		batch.Gather(&dense, b, b.Sel)
		b = &dense
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Cols)))
	dst = binary.AppendUvarint(dst, uint64(n))
	if b.Weights == nil {
		dst = append(dst, allOnes)
	} else {
		dst = appendInts(append(dst, listed), b.Weights[:n])
	}
	for i := range b.Cols {
		dst = appendColumn(dst, &b.Cols[i], n)
	}
	return dst
}

// DecodeBatch reads a batch that AppendBatch wrote from the front of src and
// returns it, sealed and sharing nothing with src, and what follows it.
func DecodeBatch(src []byte) (*batch.Batch, []byte, error) {
	r := &reader{b: src}
	b := r.batch()
	return b, r.b, r.err
}

func (r *reader) batch() *batch.Batch {
	cols := r.count("number of columns", MaxColumns)
	n := r.count("number of rows", MaxBatchRows)
	if n*(cols+1) > MaxBatchCells {
		r.fail("batch of %d rows and %d columns", n, cols)
	}
	if r.err != nil {
		return nil
	}
	// A column takes at least three bytes, for its type alone.
	if cols*3 > len(r.b) {
		r.fail("%d columns in %d bytes", cols, len(r.b))
		return nil
	}
	b := &batch.Batch{N: n, Cols: make([]batch.Column, cols)}
	switch how := r.byte("weights"); how {
	case allOnes:
	case listed:
		b.Weights = r.ints("weights", n)
		for _, w := range b.Weights {
			if w == 0 {
				r.fail("a row of weight 0")
			}
		}
	default:
		r.fail("weights written in way %d", how)
	}
	for i := range b.Cols {
		r.column(&b.Cols[i], n)
		if r.err != nil {
			return nil
		}
	}
	if r.err != nil {
		return nil
	}
	return b
}

// AppendType appends t.
func AppendType(dst []byte, t types.Type) []byte {
	dst = append(dst, byte(t.Kind), byte(t.Elem))
	return binary.AppendVarint(dst, int64(t.Mod))
}

func (r *reader) typ() types.Type {
	k, e, m := r.byte("type"), r.byte("type"), r.varint("type")
	if k >= byte(types.NumKinds) || e >= byte(types.NumKinds) || m != int64(int32(m)) {
		r.fail("type %d of %d with modifier %d", k, e, m)
		return types.Type{}
	}
	return types.Type{Kind: types.Kind(k), Elem: types.Kind(e), Mod: int32(m)}
}
