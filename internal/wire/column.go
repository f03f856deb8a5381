package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/klauspost/compress/s2"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// How a column's values are written.
const (
	strPlain byte = 0 // lengths, bytes
	strDict  byte = 1 // number of entries, their lengths and bytes, codes
	decSmall byte = 0 // all finite of one scale and 64 bits: scale, integers
	decAny   byte = 1 // one by one
	rawBytes byte = 0
	s2Bytes  byte = 1
)

// maxDict is how many entries a dictionary may have; beyond it a column has too
// many distinct values for one to pay.
const maxDict = 1 << 12

// appendColumn appends the n rows of c: type, validity, values. What a NULL row
// holds is not written.
func appendColumn(dst []byte, c *batch.Column, n int) []byte {
	dst = AppendType(dst, c.Type)
	if c.Type.Layout() == types.LayoutNone {
		return dst
	}
	nulls := 0
	for i := range n {
		if !c.Valid.Get(i) {
			nulls++
		}
	}
	switch {
	case nulls == 0:
		dst = append(dst, allOnes)
	case nulls == n:
		return append(dst, allNulls)
	default:
		dst = appendBits(append(dst, listed), n, c.Valid.Get)
	}
	switch c.Type.Layout() {
	case types.LayoutBool:
		dst = appendBits(dst, n, func(i int) bool { return c.Valid.Get(i) && c.U8[i] != 0 })
	case types.LayoutInt:
		if nulls == 0 {
			return appendInts(dst, c.I64[:n])
		}
		dst = appendInts(dst, valid(c, n, func(i int) int64 { return c.I64[i] }))
	case types.LayoutFloat:
		raw := make([]byte, 0, 8*n)
		for i := range n {
			u := uint64(0)
			if c.Valid.Get(i) {
				u = math.Float64bits(c.F64[i])
			}
			raw = binary.LittleEndian.AppendUint64(raw, u)
		}
		dst = appendBytes(dst, raw)
	case types.LayoutDec:
		dst = appendDecs(dst, c, n)
	case types.LayoutIvl:
		dst = appendInts(dst, valid(c, n, func(i int) int64 { return c.Ivl[i].Micros }))
		dst = appendInts(dst, valid(c, n, func(i int) int64 { return int64(c.Ivl[i].Days) }))
		dst = appendInts(dst, valid(c, n, func(i int) int64 { return int64(c.Ivl[i].Months) }))
	case types.LayoutStr:
		dst = appendStrs(dst, c, n)
	}
	return dst
}

// valid lists a number for each row; a NULL repeats the one before it, which packs best.
func valid(c *batch.Column, n int, at func(int) int64) []int64 {
	out := make([]int64, n)
	last := int64(0)
	for i := range n { // begin with the first value that there is
		if c.Valid.Get(i) {
			last = at(i)
			break
		}
	}
	for i := range n {
		if c.Valid.Get(i) {
			last = at(i)
		}
		out[i] = last
	}
	return out
}

func appendBits(dst []byte, n int, at func(int) bool) []byte {
	for lo := 0; lo < n; lo += 8 {
		var v byte
		for i := lo; i < min(lo+8, n); i++ {
			if at(i) {
				v |= 1 << (i - lo)
			}
		}
		dst = append(dst, v)
	}
	return dst
}

// appendBytes appends raw, compressed where that saves an eighth.
func appendBytes(dst, raw []byte) []byte {
	if len(raw) >= 64 {
		if packed := s2.Encode(nil, raw); len(packed) < len(raw)-len(raw)/8 {
			return appendBlob(append(dst, s2Bytes), packed)
		}
	}
	return appendBlob(append(dst, rawBytes), raw)
}

func appendDecs(dst []byte, c *batch.Column, n int) []byte {
	small, scale, first := true, int16(0), true
	for i := 0; i < n && small; i++ {
		if !c.Valid.Get(i) {
			continue
		}
		d := c.Dec[i]
		if first {
			scale, first = d.Scale, false
		}
		small = d.Form == types.DecFinite && d.Scale == scale && d.Hi == int64(d.Lo)>>63
	}
	if small {
		dst = binary.AppendVarint(append(dst, decSmall), int64(scale))
		return appendInts(dst, valid(c, n, func(i int) int64 { return int64(c.Dec[i].Lo) }))
	}
	dst = append(dst, decAny)
	for i := range n {
		if !c.Valid.Get(i) {
			continue
		}
		d := c.Dec[i]
		dst = binary.AppendVarint(append(dst, byte(d.Form)), int64(d.Scale))
		dst = binary.AppendVarint(dst, d.Hi)
		if d.Form == types.DecBig {
			off, ln := d.Lo>>32, d.Lo&math.MaxUint32
			dst = appendBlob(dst, c.Bytes[off:off+ln])
		} else {
			dst = binary.LittleEndian.AppendUint64(dst, d.Lo)
		}
	}
	return dst
}

func appendStrs(dst []byte, c *batch.Column, n int) []byte {
	codes := make([]int64, n)
	d := newDictionary(c, min(maxDict, n/2)) // with more it does not pay
	total := 0
	for i := range n {
		if !c.Valid.Get(i) {
			if i > 0 {
				codes[i] = codes[i-1]
			}
			continue
		}
		total += int(c.Str[i].Len)
		code, ok := d.code(i)
		if !ok {
			d = nil
			break
		}
		codes[i] = code
	}
	if d != nil && d.bytes+len(d.rows) < total {
		dst = binary.AppendUvarint(append(dst, strDict), uint64(len(d.rows)))
		dst = appendTexts(dst, c, d.rows)
		return appendInts(dst, codes)
	}
	rows := make([]int, 0, n)
	for i := range n {
		if c.Valid.Get(i) {
			rows = append(rows, i)
		}
	}
	return appendTexts(append(dst, strPlain), c, rows)
}

// dictionary numbers the distinct texts of a column in the order of their first rows.
type dictionary struct {
	c     *batch.Column
	most  int
	slots []int32 // 1 + the entry; linear probing
	rows  []int   // a row that holds each entry
	bytes int     // of the entries
}

func newDictionary(c *batch.Column, most int) *dictionary {
	return &dictionary{c: c, most: most, slots: make([]int32, 2<<bits.Len(uint(most)))}
}

// code returns the number of row i's text, false if that would be one too many.
func (d *dictionary) code(i int) (int64, bool) {
	s := d.c.StrAt(i)
	mask := uint64(len(d.slots) - 1)
	for at := types.HashBytes(s) & mask; ; at = (at + 1) & mask {
		e := d.slots[at]
		if e == 0 {
			if len(d.rows) == d.most {
				return 0, false
			}
			d.rows = append(d.rows, i)
			d.slots[at] = int32(len(d.rows))
			d.bytes += len(s)
			return int64(len(d.rows) - 1), true
		}
		if bytes.Equal(d.c.StrAt(d.rows[e-1]), s) {
			return int64(e - 1), true
		}
	}
}

// appendTexts appends the lengths and bytes of some rows.
func appendTexts(dst []byte, c *batch.Column, rows []int) []byte {
	lens := make([]int64, len(rows))
	sum := 0
	for k, i := range rows {
		lens[k] = int64(c.Str[i].Len)
		sum += int(c.Str[i].Len)
	}
	raw := make([]byte, 0, sum)
	for _, i := range rows {
		raw = append(raw, c.StrAt(i)...)
	}
	return appendBytes(appendInts(dst, lens), raw)
}

func (r *reader) column(c *batch.Column, n int) {
	c.Type = r.typ()
	if r.err != nil || c.Type.Layout() == types.LayoutNone {
		return
	}
	switch how := r.byte("validity"); how {
	case allOnes:
	case listed:
		c.Valid = r.bitmap("validity", n)
	case allNulls:
		nullColumn(c, n)
		return
	default:
		r.fail("validity written in way %d", how)
	}
	if r.err != nil {
		return
	}
	switch c.Type.Layout() {
	case types.LayoutBool:
		m := r.bitmap("booleans", n)
		if r.err == nil {
			c.U8 = make([]uint8, n)
			for i := range c.U8 {
				if m.Get(i) {
					c.U8[i] = 1
				}
			}
		}
	case types.LayoutInt:
		c.I64 = r.intsOrEmpty("integers", n)
	case types.LayoutFloat:
		raw := r.packed("floats", 8*n)
		if r.err == nil && len(raw) != 8*n {
			r.fail("%d bytes of floats for %d rows", len(raw), n)
		}
		if r.err == nil {
			c.F64 = make([]float64, n)
			for i := range c.F64 {
				c.F64[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
			}
		}
	case types.LayoutDec:
		r.decs(c, n)
	case types.LayoutIvl:
		r.intervals(c, n)
	case types.LayoutStr:
		r.strs(c, n)
	}
}

// nullColumn gives c n rows that all are NULL.
func nullColumn(c *batch.Column, n int) {
	c.Valid = batch.NewBitmap(nil, n)
	switch c.Type.Layout() {
	case types.LayoutBool:
		c.U8 = make([]uint8, n)
	case types.LayoutInt:
		c.I64 = make([]int64, n)
	case types.LayoutFloat:
		c.F64 = make([]float64, n)
	case types.LayoutDec:
		c.Dec = make([]types.Decimal, n)
	case types.LayoutIvl:
		c.Ivl = make([]types.IntervalVal, n)
	case types.LayoutStr:
		c.Str = make([]batch.Ref, n)
	}
}

func (r *reader) intsOrEmpty(what string, n int) []int64 {
	if n == 0 {
		return []int64{}
	}
	return r.ints(what, n)
}

func (r *reader) bitmap(what string, n int) batch.Bitmap {
	raw := r.bytes(what, (n+7)/8)
	if r.err != nil {
		return nil
	}
	m := batch.NewBitmap(nil, n)
	for i, v := range raw {
		m[i>>3] |= uint64(v) << (8 * (i & 7))
	}
	if n&63 != 0 {
		m[n>>6] &= 1<<(uint(n)&63) - 1
	}
	return m
}

// packed reads bytes that appendBytes wrote, at most most of them.
func (r *reader) packed(what string, most int) []byte {
	how := r.byte(what)
	raw := r.blob(what)
	if r.err != nil {
		return nil
	}
	switch how {
	case rawBytes:
		if len(raw) > most {
			r.fail("%s of %d bytes, at most %d", what, len(raw), most)
			return nil
		}
		return append([]byte(nil), raw...)
	case s2Bytes:
		n, err := s2.DecodedLen(raw)
		if err != nil || n > most {
			r.fail("%s of %d bytes, at most %d (%v)", what, n, most, err)
			return nil
		}
		out, err := s2.Decode(nil, raw)
		if err != nil {
			r.fail("%s: %v", what, err)
		}
		return out
	}
	r.fail("%s compressed in way %d", what, how)
	return nil
}

func (r *reader) intervals(c *batch.Column, n int) {
	micros, days, months := r.ints("intervals", n), r.ints("intervals", n), r.ints("intervals", n)
	if r.err != nil {
		return
	}
	c.Ivl = make([]types.IntervalVal, n)
	for i := range c.Ivl {
		if days[i] != int64(int32(days[i])) || months[i] != int64(int32(months[i])) {
			r.fail("interval of %d days and %d months", days[i], months[i])
			return
		}
		c.Ivl[i] = types.IntervalVal{Micros: micros[i], Days: int32(days[i]), Months: int32(months[i])}
	}
}

func (r *reader) decs(c *batch.Column, n int) {
	switch how := r.byte("numerics"); how {
	case decSmall:
		scale := r.scale()
		vals := r.ints("numerics", n)
		if r.err != nil {
			return
		}
		c.Dec = make([]types.Decimal, n)
		for i, v := range vals {
			c.Dec[i] = types.Decimal{Hi: v >> 63, Lo: uint64(v), Scale: scale}
		}
	case decAny:
		c.Dec = make([]types.Decimal, n)
		for i := 0; i < n && r.err == nil; i++ {
			if c.Valid.Get(i) {
				r.dec(c, i)
			}
		}
	default:
		r.fail("numerics written in way %d", how)
	}
}

func (r *reader) scale() int16 {
	v := r.varint("scale")
	if v != int64(int16(v)) {
		r.fail("scale %d", v)
	}
	return int16(v)
}

func (r *reader) dec(c *batch.Column, i int) {
	d := types.Decimal{Form: types.DecimalForm(r.byte("numeric"))}
	d.Scale, d.Hi = r.scale(), r.varint("numeric")
	switch d.Form {
	case types.DecBig:
		digits := r.blob("numeric")
		d.Lo = uint64(len(c.Bytes))<<32 | uint64(len(digits))
		c.Bytes = append(c.Bytes, digits...)
	case types.DecFinite, types.DecNaN, types.DecPosInf, types.DecNegInf:
		if raw := r.bytes("numeric", 8); raw != nil {
			d.Lo = binary.LittleEndian.Uint64(raw)
		}
	default:
		r.fail("numeric of form %d", d.Form)
	}
	c.Dec[i] = d
}

func (r *reader) strs(c *batch.Column, n int) {
	switch how := r.byte("text"); how {
	case strPlain:
		rows := 0
		for i := range n {
			if c.Valid.Get(i) {
				rows++
			}
		}
		refs, text := r.texts(rows)
		if r.err != nil {
			return
		}
		c.Bytes = text
		if rows == n {
			c.Str = refs
			return
		}
		c.Str = make([]batch.Ref, n)
		for i, k := 0, 0; i < n; i++ {
			if c.Valid.Get(i) {
				c.Str[i] = refs[k]
				k++
			}
		}
	case strDict:
		entries := r.count("dictionary", min(n, maxDict))
		refs, text := r.texts(entries)
		codes := r.ints("codes", n)
		if r.err != nil {
			return
		}
		c.Bytes, c.Str = text, make([]batch.Ref, n)
		for i, code := range codes {
			if code < 0 || code >= int64(entries) {
				r.fail("code %d of %d", code, entries)
				return
			}
			c.Str[i] = refs[code]
		}
	default:
		r.fail("text written in way %d", how)
	}
}

// texts reads what appendTexts wrote.
func (r *reader) texts(n int) ([]batch.Ref, []byte) {
	lens := r.ints("lengths", n)
	text := r.packed("text", MaxTextBytes)
	if r.err != nil {
		return nil, nil
	}
	refs := make([]batch.Ref, n)
	off := int64(0)
	for i, l := range lens {
		if l < 0 || l > int64(len(text))-off {
			r.fail("text of %d bytes at %d of %d", l, off, len(text))
			return nil, nil
		}
		refs[i] = batch.Ref{Off: uint32(off), Len: uint32(l)}
		off += l
	}
	if off != int64(len(text)) {
		r.fail("%d bytes of text, lengths say %d", len(text), off)
	}
	return refs, text
}
