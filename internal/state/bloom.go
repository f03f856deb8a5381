package state

import (
	"encoding/binary"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// bloom is a filter of hashes: one that was added is always found, of the others
// about one in a hundred. It is split into blocks of 256 bits, of which a hash sets
// eight, one in each word.
//
// Source: Putze et al., "Cache-, hash- and space-efficient Bloom filters", WEA 2007;
// the form is that of Apache Parquet.
type bloom []uint32

// bloomBits is how many bits there are for each hash.
const bloomBits = 10

var bloomSalts = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

// newBloom returns a filter of hashes. Equal ones that follow each other count once.
func newBloom(hashes []uint64) bloom {
	n := 0
	for i, h := range hashes {
		if i == 0 || h != hashes[i-1] {
			n++
		}
	}
	f := make(bloom, 8*((n*bloomBits+255)/256))
	for i, h := range hashes {
		if i == 0 || h != hashes[i-1] {
			f.add(h)
		}
	}
	return f
}

func (f bloom) block(h uint64) []uint32 {
	i := h >> 32 * uint64(len(f)/8) >> 32 * 8
	return f[i : i+8 : i+8]
}

func (f bloom) add(h uint64) {
	b := f.block(h)
	for i, salt := range bloomSalts {
		b[i] |= 1 << (uint32(h) * salt >> 27)
	}
}

// has reports whether h may have been added. An empty filter knows nothing.
func (f bloom) has(h uint64) bool {
	if len(f) == 0 {
		return true
	}
	b := f.block(h)
	for i, salt := range bloomSalts {
		if b[i]>>(uint32(h)*salt>>27)&1 == 0 {
			return false
		}
	}
	return true
}

func (f bloom) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(f)/8))
	for _, w := range f {
		dst = binary.LittleEndian.AppendUint32(dst, w)
	}
	return dst
}

func readBloom(src []byte) (bloom, []byte, error) {
	n, k := binary.Uvarint(src)
	if k <= 0 || n > uint64(len(src)-k)/32 {
		return nil, nil, fmt.Errorf("%w: a filter in %d bytes", ErrDamaged, len(src))
	}
	src = src[k:]
	f := make(bloom, 8*n)
	for i := range f {
		f[i] = binary.LittleEndian.Uint32(src[4*i:])
	}
	return f, src[4*len(f):], nil
}

// newFilter returns the filter of a block's rows, nil if the set has none.
func (s *blockSet) newFilter(rows *batch.Batch) bloom {
	if s.filter == 0 {
		return nil
	}
	return newBloom(batch.HashRows(make([]uint64, rows.N), rows, s.filterColumns()))
}

func (s *blockSet) filterColumns() []int {
	cols := make([]int, s.filter)
	for i := range cols {
		cols[i] = s.keys[i].Col
	}
	return cols
}

const (
	maxFenceColumns = 8
	maxFenceText    = 512 // bytes of text of a column in the two rows of a fence
)

// newFence returns the first and the last row's leading key columns.
func (s *blockSet) newFence(rows *batch.Batch) fence {
	var ts []types.Type
	for _, k := range s.keys[:min(len(s.keys), maxFenceColumns)] {
		col := &rows.Cols[k.Col]
		if len(col.Str) > 0 && col.Str[0].Len+col.Str[rows.N-1].Len > maxFenceText {
			break
		}
		ts = append(ts, col.Type)
	}
	if len(ts) == 0 {
		return fence{}
	}
	out := batch.NewBuilder(ts)
	for _, row := range []int{0, rows.N - 1} {
		for c := range ts {
			out.Col(c).AppendFrom(out.Len(), &rows.Cols[s.keys[c].Col], row)
		}
		out.EndRow(1)
	}
	return fence{keys: out.Seal()}
}

// columns returns how many leading key columns are known.
func (f fence) columns() int {
	if f.keys == nil {
		return 0
	}
	return len(f.keys.Cols)
}

// compareFirst orders the first row against a looked-up key; 0 also if not enough is
// known.
func (f fence) compareFirst(key *batch.Batch, keys []batch.Key) int {
	return f.compare(f.row, key, keys)
}

// compareLast is compareFirst for the last row.
func (f fence) compareLast(key *batch.Batch, keys []batch.Key) int {
	return f.compare(f.row+1, key, keys)
}

func (f fence) compare(row int, key *batch.Batch, keys []batch.Key) int {
	for c := range min(f.columns(), len(key.Cols)) {
		if r := batch.CompareColumns(&f.keys.Cols[c], row, &key.Cols[c], 0, keys[c]); r != 0 {
			return r
		}
	}
	return 0
}
