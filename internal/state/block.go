package state

import (
	"fmt"
	"sync/atomic"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Codec turns the rows of a block into bytes and back.
type Codec interface {
	// AppendBatch appends b's rows to dst.
	AppendBatch(dst []byte, b *batch.Batch) []byte
	// DecodeBatch returns the batch at the front of src, sealed and sharing nothing
	// with src, and what follows it.
	DecodeBatch(src []byte) (*batch.Batch, []byte, error)
}

const (
	// maxBlockCells bounds rows times columns of a block, the weights counted as a
	// column: more a codec need not take.
	maxBlockCells = 1 << 20
	// maxBlockBytes is how large a block may be that has more than one row.
	maxBlockBytes = 4 << 20
	// goodBlockBytes is from which size on a block is not added to.
	goodBlockBytes = 1 << 20
)

// blockRows is the most rows of so many columns in a block.
func blockRows(columns int) int {
	return max(64, min(batch.BlockRows, maxBlockCells/(columns+1))&^63)
}

// blockSet is what the blocks of one owner share.
type blockSet struct {
	cache  *Cache
	owner  uint64
	types  []types.Type
	keys   []batch.Key
	filter int // how many leading columns of keys the filters know; 0: there are none
	// held is the bytes of its blocks in memory.
	held atomic.Int64
	next uint64 // number of the next block
	// dirBlocks and inline are directoryBlocks and inlineRows, but in tests.
	dirBlocks, inline int
}

// Block is a sealed batch that can be in memory, in the Backing, or both. Its rows
// never change, and any goroutine may read them.
type Block struct {
	rows atomic.Pointer[batch.Batch] // nil: not in memory
	// at says where the rows are besides; nil: nowhere. One of both is always there.
	at  atomic.Pointer[place]
	set *blockSet // nil: rows never leaves memory
	num uint64    // in its set, for records
	n   int       // rows
	cached

	// Guarded by the cache's mutex.
	busy  bool // somebody writes it to scratch
	dead  bool // its owner has dropped it; snapshots may still have it
	grave int  // 1 + its index in the cache's list of the dead; 0: not there
}

// place is where a block is outside of memory, and what lookups need to know to do
// without it. It never changes.
type place struct {
	loc Loc
	fence
	filter bloom    // of its own; nil if none or in dir
	dir    *filters // has the filter; nil if none does
	index  int      // in dir
}

// fence has the leading key columns of a block's first and last row: rows row and
// row+1 of keys. nil: nothing is known.
type fence struct {
	keys *batch.Batch
	row  int
}

// newBlock returns a block of sealed rows of so many bytes. set may be nil.
func (s *blockSet) newBlock(rows *batch.Batch, bytes int64, hot bool) *Block {
	b := &Block{set: s, n: rows.N}
	b.rows.Store(rows)
	if s == nil {
		return b
	}
	b.num = s.next
	s.next++
	b.size = bytes
	s.cache.insert(b, hot)
	return b
}

// Rows returns the number of rows.
func (b *Block) Rows() int { return b.n }

// reading says what becomes of rows that were read from the Backing.
type reading int

const (
	passing  reading = iota // they are not needed again
	scanning                // they are, perhaps: keep them if there is room
	pointing                // they are: keep them, others may go
)

// Batch returns the rows. The error is ErrDamaged if they are not what was written.
func (b *Block) Batch() (*batch.Batch, error) { return b.get(pointing) }

func (b *Block) get(how reading) (*batch.Batch, error) {
	if rows := b.rows.Load(); rows != nil {
		if b.set != nil {
			b.touch()
		}
		return rows, nil
	}
	return b.set.cache.load(b, how)
}

// where returns the rows or, if they are not in memory, where they are.
func (b *Block) where() (*batch.Batch, *place) {
	if rows := b.rows.Load(); rows != nil {
		return rows, nil
	}
	if p := b.at.Load(); p != nil {
		return nil, p
	}
	return b.rows.Load(), nil // it came back, and was dropped: it stays in memory
}

// owner names the block in records.
func (b *Block) owner() uint64 { return b.set.recordOwner(b.num) }

func (s *blockSet) recordOwner(num uint64) uint64 {
	return types.CombineHash(types.HashInt(int64(s.owner)), num)
}

// decode returns the rows of a record, after a look at whether they can be a block's.
func (s *blockSet) decode(raw []byte, n int) (*batch.Batch, error) {
	rows, rest, err := s.cache.codec.DecodeBatch(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: a block of %d rows: %v", ErrDamaged, n, err)
	case len(rest) > 0 || rows.N != n || len(rows.Cols) != len(s.types):
		return nil, fmt.Errorf("%w: a block of %d rows and %d columns where %d and %d are", ErrDamaged, rows.N, len(rows.Cols), n, len(s.types))
	}
	for c := range rows.Cols {
		if rows.Cols[c].Type.Layout() != s.types[c].Layout() {
			return nil, fmt.Errorf("%w: a block with a column %d of %s where %s is", ErrDamaged, c, rows.Cols[c].Type, s.types[c])
		}
	}
	return rows, nil
}

// maxMoves bounds how often a block may move while somebody tries to read it.
const maxMoves = 16

// raw appends the record of a block that is not in memory to dst, and says where it
// was. ok is false if the block has come into memory meanwhile.
func (b *Block) raw(dst []byte) (_ []byte, p *place, ok bool, err error) {
	for range maxMoves {
		if p = b.at.Load(); p == nil || b.rows.Load() != nil {
			return dst, nil, false, nil
		}
		out, err := b.set.cache.back.Read(p.loc, b.owner(), dst)
		if err == nil {
			return out, p, true, nil
		}
		if b.at.Load() == p {
			return dst, p, false, err
		}
		// It has moved, and what was there may be something else by now.
	}
	return dst, p, false, fmt.Errorf("read a block of %d rows: it has moved %d times", b.n, maxMoves)
}

// unload lets go of the rows; the cache's mutex is held.
func (b *Block) unload() {
	b.rows.Store(nil)
}

func (b *Block) held() *atomic.Int64 { return &b.set.held }

// cutBlocks cuts sealed rows without Sel into parts that can be blocks, and calls fn
// with each and its share of bytes. What it can it shares with b.
func cutBlocks(b *batch.Batch, rows int, fn func(*batch.Batch, int64)) {
	size := b.SizeBytes()
	if b.N <= rows && size <= maxBlockBytes {
		fn(b, size)
		return
	}
	for lo := 0; lo < b.N; lo += rows {
		cutBytes(b, lo, min(lo+rows, b.N), fn)
	}
}

// cutBytes hands out rows lo to hi-1 in parts of at most maxBlockBytes.
func cutBytes(b *batch.Batch, lo, hi int, fn func(*batch.Batch, int64)) {
	size := rowBytes(b, lo, hi)
	switch {
	case size <= maxBlockBytes || hi-lo == 1 && lo&63 == 0:
		fn(batch.Slice(b, lo, hi), size)
	case hi-lo > 64:
		mid := lo + max(64, (hi-lo)/2&^63)
		cutBytes(b, lo, mid, fn)
		cutBytes(b, mid, hi, fn)
	default: // slices begin at every 64th row only
		part, at := batch.NewBuilder(b.Types()), int64(0)
		for i := lo; i < hi; i++ {
			n := rowBytes(b, i, i+1)
			if part.Len() > 0 && at+n > maxBlockBytes {
				fn(part.Seal(), at)
				at = 0
			}
			part.AppendFrom(b, i, b.Weight(i))
			at += n
		}
		fn(part.Seal(), at)
	}
}

// rowBytes is SizeBytes of rows lo to hi-1 alone.
func rowBytes(b *batch.Batch, lo, hi int) int64 {
	n := int64(hi - lo)
	size := int64(0)
	if b.Weights != nil {
		size += 8 * n
	}
	for c := range b.Cols {
		col := &b.Cols[c]
		switch col.Type.Layout() {
		case types.LayoutBool:
			size += n
		case types.LayoutInt, types.LayoutFloat:
			size += 8 * n
		case types.LayoutIvl:
			size += 16 * n
		case types.LayoutDec:
			size += 24 * n
			if len(col.Bytes) > 0 {
				size += bigDigits(col.Dec[lo:hi])
			}
		case types.LayoutStr:
			size += 8 * n
			for _, r := range col.Str[lo:hi] {
				size += int64(r.Len)
			}
		}
		if col.Valid != nil {
			size += (n + 63) / 64 * 8
		}
	}
	return size
}

// bigDigits is how many bytes the digits of Big decimals take.
func bigDigits(list []types.Decimal) (size int64) {
	for _, d := range list {
		if d.Form == types.DecBig {
			size += int64(d.Lo & 0xffffffff)
		}
	}
	return size
}
