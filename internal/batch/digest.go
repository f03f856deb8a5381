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

// The multipliers and increments of the two hashes of a row.
const (
	digestA     = 0x9e3779b97f4a7c15
	digestB     = 0xd6e8feb86659fd93
	digestC     = 0xa0761d6478bd642f
	digestD     = 0xe7037ed1a0b428db
	digestNullA = 0x8ebc6af09c88c6e3
	digestNullB = 0x589965cc75374cc3
)

// hashes are two independent 64-bit hashes of rows under way. Each column is folded
// into them in turn, which is not commutative, so that positions count.
type hashes struct {
	a, b [digestRows]uint64
	n    int
	word [digestRows]uint64 // the values being folded in
	row  [digestRows]uint32 // physical
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
			h.column(&b.Cols[c])
		}
		d = d.Add(h.sum(b.Weights))
	}
	return d
}

func (h *hashes) start(b *Batch, lo, n int) {
	h.n = n
	for k := range n {
		h.a[k], h.b[k] = digestA, digestB
	}
	if b.Sel != nil {
		copy(h.row[:n], b.Sel[lo:])
		return
	}
	for k := range n {
		h.row[k] = uint32(lo + k)
	}
}

// column folds the rows' values of c in, as words or texts that are equal exactly
// for identical values.
func (h *hashes) column(c *Column) {
	w, rows := h.word[:h.n], h.row[:h.n]
	switch c.Type.Layout() {
	case types.LayoutNone:
		for k := range rows {
			h.null(k)
		}
		return
	case types.LayoutStr:
		h.texts(c)
		return
	case types.LayoutDec:
		h.decimals(c)
		return
	case types.LayoutBool:
		for k, i := range rows {
			w[k] = uint64(c.U8[i])
		}
	case types.LayoutInt:
		for k, i := range rows {
			w[k] = uint64(c.I64[i])
		}
	case types.LayoutFloat:
		for k, i := range rows {
			w[k] = floatForm(c.F64[i])
		}
	case types.LayoutIvl:
		for k, i := range rows {
			w[k] = uint64(c.Ivl[i].Micros)
		}
		h.words(c.Valid)
		for k, i := range rows {
			w[k] = uint64(uint32(c.Ivl[i].Days))<<32 | uint64(uint32(c.Ivl[i].Months))
		}
	}
	h.words(c.Valid)
}

// words folds in a word of each row, NULL where valid says so.
func (h *hashes) words(valid Bitmap) {
	if valid != nil {
		for k, i := range h.row[:h.n] {
			if valid.Get(int(i)) {
				h.a[k], h.b[k] = foldA(h.a[k], h.word[k]), foldB(h.b[k], h.word[k])
			} else {
				h.null(k)
			}
		}
		return
	}
	a, b, w := h.a[:h.n], h.b[:h.n], h.word[:h.n]
	for k := range w {
		v := w[k]
		a[k], b[k] = foldA(a[k], v), foldB(b[k], v)
	}
}

func foldA(a, v uint64) uint64 {
	hi, lo := bits.Mul64(a^v, digestA)
	return hi ^ lo
}

func foldB(b, v uint64) uint64 {
	hi, lo := bits.Mul64(b+v, digestB)
	return hi ^ lo
}

func (h *hashes) null(k int) {
	h.a[k], h.b[k] = foldA(h.a[k]+digestNullA, digestNullB), foldB(h.b[k]^digestNullB, digestNullA)
}

func (h *hashes) texts(c *Column) {
	if c.Valid == nil {
		for k, i := range h.row[:h.n] {
			h.a[k], h.b[k] = foldText(h.a[k], h.b[k], c.StrAt(int(i)))
		}
		return
	}
	for k, i := range h.row[:h.n] {
		if c.Valid.Get(int(i)) {
			h.a[k], h.b[k] = foldText(h.a[k], h.b[k], c.StrAt(int(i)))
		} else {
			h.null(k)
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

func (h *hashes) decimals(c *Column) {
	for k, i := range h.row[:h.n] {
		if !c.Valid.Get(int(i)) {
			h.null(k)
			continue
		}
		d := &c.Dec[i]
		form := uint64(d.Form)<<16 | uint64(uint16(d.Scale))
		a, b := foldA(h.a[k], form), foldB(h.b[k], form)
		if d.Form == types.DecBig {
			off, n := d.Lo>>32, d.Lo&0xffffffff
			a, b = foldText(a, b, c.Bytes[off:off+n])
		} else {
			a, b = foldPair(a, b, uint64(d.Hi), d.Lo)
		}
		h.a[k], h.b[k] = a, b
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
