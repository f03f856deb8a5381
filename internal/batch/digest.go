package batch

import (
	"encoding/binary"
	"math/bits"

	"github.com/tidemill/tidemill/internal/types"
)

// Digest is an order-free fingerprint of a Z-set: equal for equal sets however they
// are cut or ordered. Digests of parts add up with Add.
type Digest struct{ Hi, Lo uint64 }

// Add returns the digest of the union of two Z-sets.
func (d Digest) Add(e Digest) Digest { return Digest{d.Hi + e.Hi, d.Lo + e.Lo} }

// digestRows is how many rows are hashed at once; their hashes fit the first cache.
const digestRows = 256

// The hashes' first values and the constants they are mixed with.
const (
	digestA = 0x9e3779b97f4a7c15
	digestB = 0xd6e8feb86659fd93
	digestC = 0xa0761d6478bd642f
	digestD = 0xe7037ed1a0b428db
	digestN = 0x8ebc6af09c88c6e3
)

// hashes are two independent 64-bit hashes of rows under way. Each column is folded
// into them in turn, which is not commutative, so that positions count: text as it
// comes, numbers two at a time. Of a NULL only the column's number is folded in.
type hashes struct {
	a, b  [digestRows]uint64
	n     int
	dense bool               // the rows follow on row[0]
	row   [digestRows]uint32 // physical
	// word are values of a column; with half, those that wait for another column's.
	word  [digestRows]uint64
	half  bool
	nulls [digestRows]uint64 // by row, a bit for each of 64 columns that is NULL
	null  bool               // some of nulls is not 0
}

// DigestOf returns the digest of b's selected rows: the sum of each row's 128 bits,
// times its weight. It tells apart values that SQL calls equal but prints
// differently. The hashes have no seed; they find errors, not forgers.
func DigestOf(b *Batch) Digest {
	var d Digest
	var h hashes
	for lo, n := 0, b.Len(); lo < n; lo += digestRows {
		h.start(b, lo, min(digestRows, n-lo))
		for c := range b.Cols {
			if c > 0 && c%64 == 0 {
				h.foldNulls()
			}
			h.column(&b.Cols[c], uint64(1)<<(c%64))
		}
		h.foldNulls()
		if h.half {
			h.fold(nil)
		}
		d = d.Add(h.sum(b.Weights))
	}
	return d
}

func (h *hashes) start(b *Batch, lo, n int) {
	h.n, h.dense, h.half = n, b.Sel == nil, false
	for k := range n {
		h.a[k], h.b[k] = digestA, digestB
	}
	if !h.dense {
		copy(h.row[:n], b.Sel[lo:])
		return
	}
	for k := range n {
		h.row[k] = uint32(lo + k)
	}
}

// column folds the rows' values of c in, as words or texts that are equal exactly
// for identical values.
func (h *hashes) column(c *Column, bit uint64) {
	if c.Type.Layout() == types.LayoutNone {
		h.null = true
		for k := range h.n {
			h.nulls[k] |= bit
		}
		return
	}
	nulls := false
	if c.Valid != nil {
		for k, i := range h.row[:h.n] {
			if !c.Valid.Get(int(i)) {
				h.nulls[k] |= bit
				h.null, nulls = true, true
			}
		}
	}
	switch c.Type.Layout() {
	case types.LayoutStr:
		h.texts(c, nulls)
		return
	case types.LayoutDec:
		h.decimals(c, nulls)
		return
	}
	first, last := int(h.row[0]), int(h.row[0])+h.n
	if c.Type.Layout() == types.LayoutInt && h.dense && !nulls {
		h.add(c.I64[first:last])
		return
	}
	var words [digestRows]int64
	w, rows := words[:h.n], h.row[:h.n]
	switch c.Type.Layout() {
	case types.LayoutBool:
		for k, i := range rows {
			w[k] = int64(c.U8[i])
		}
	case types.LayoutInt:
		gather(w, c.I64, rows)
	case types.LayoutFloat:
		for k, i := range rows {
			w[k] = int64(floatForm(c.F64[i]))
		}
	case types.LayoutIvl:
		for k, i := range rows {
			w[k] = c.Ivl[i].Micros
		}
		h.addValid(w, c.Valid, nulls)
		for k, i := range rows {
			w[k] = int64(c.Ivl[i].Days)<<32 | int64(uint32(c.Ivl[i].Months))
		}
	}
	h.addValid(w, c.Valid, nulls)
}

// addValid is add of 0 for NULLs.
func (h *hashes) addValid(w []int64, valid Bitmap, nulls bool) {
	if nulls {
		for k, i := range h.row[:h.n] {
			if !valid.Get(int(i)) {
				w[k] = 0
			}
		}
	}
	h.add(w)
}

// add takes a word of each row.
func (h *hashes) add(w []int64) {
	if h.half {
		h.fold(w)
		return
	}
	h.half = true
	for k, v := range w {
		h.word[k] = uint64(v)
	}
}

// fold folds in the words that wait, with those of w or zeros.
func (h *hashes) fold(w []int64) {
	h.half = false
	a, b, x := h.a[:h.n], h.b[:h.n], h.word[:h.n]
	if w == nil {
		for k := range x {
			a[k], b[k] = foldPair(a[k], b[k], x[k], 0)
		}
		return
	}
	w = w[:len(x)]
	for k := range x {
		a[k], b[k] = foldPair(a[k], b[k], x[k], uint64(w[k]))
	}
}

// foldNulls folds in which of up to 64 columns are NULL, if any.
func (h *hashes) foldNulls() {
	if !h.null {
		return
	}
	h.null = false
	for k, bits := range h.nulls[:h.n] {
		if bits != 0 {
			h.a[k], h.b[k] = foldPair(h.a[k], h.b[k], bits, digestN)
			h.nulls[k] = 0
		}
	}
}

func (h *hashes) texts(c *Column, nulls bool) {
	for k, i := range h.row[:h.n] {
		if !nulls || c.Valid.Get(int(i)) {
			h.a[k], h.b[k] = foldText(h.a[k], h.b[k], c.StrAt(int(i)))
		}
	}
}

// foldText folds 16 bytes at a time into each hash by one multiplication, as wyhash
// does; the halves have different parts in the two.
func foldText(a, b uint64, s []byte) (uint64, uint64) {
	n := uint64(len(s))
	a, b = a^n, b+n
	var x, y uint64
	switch le := binary.LittleEndian; {
	case len(s) >= 16:
		tail := s[len(s)-16:]
		for len(s) > 16 {
			x, y = le.Uint64(s), le.Uint64(s[8:])
			a, b = foldPair(a, b, x, y)
			s = s[16:]
		}
		x, y = le.Uint64(tail), le.Uint64(tail[8:])
	case len(s) >= 8:
		x, y = le.Uint64(s), le.Uint64(s[len(s)-8:])
	case len(s) >= 4:
		x, y = uint64(le.Uint32(s)), uint64(le.Uint32(s[len(s)-4:]))
	case len(s) > 0:
		x = uint64(s[0])<<16 | uint64(s[len(s)>>1])<<8 | uint64(s[len(s)-1])
	}
	return foldPair(a, b, x, y)
}

func foldPair(a, b, x, y uint64) (uint64, uint64) {
	h0, l0 := bits.Mul64(x^digestC, y^a)
	h1, l1 := bits.Mul64(y^digestD, x^b)
	return h0 ^ l0, h1 ^ l1
}

func (h *hashes) decimals(c *Column, nulls bool) {
	for k, i := range h.row[:h.n] {
		if nulls && !c.Valid.Get(int(i)) {
			continue
		}
		d := &c.Dec[i]
		form := uint64(d.Form)<<16 | uint64(uint16(d.Scale))
		if d.Form == types.DecBig {
			off, n := d.Lo>>32, d.Lo&0xffffffff
			h.a[k], h.b[k] = foldText(h.a[k]+form, h.b[k]^form, c.Bytes[off:off+n])
			continue
		}
		a, b := foldPair(h.a[k], h.b[k], uint64(d.Hi), form)
		h.a[k], h.b[k] = foldPair(a, b, d.Lo, form)
	}
}

// sum adds up the rows' hashes by their weights. Before, every bit is spread over
// the word: sums of products alone would keep what the values have in common.
func (h *hashes) sum(weights []int64) Digest {
	var d Digest
	if weights == nil {
		for k := range h.n {
			d.Lo += spread(h.a[k])
			d.Hi += spread(h.b[k])
		}
		return d
	}
	for k, i := range h.row[:h.n] {
		w := uint64(weights[i])
		d.Lo += spread(h.a[k]) * w
		d.Hi += spread(h.b[k]) * w
	}
	return d
}

// spread is splitmix64's finaliser, a bijection.
func spread(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
