package wire

import (
	"encoding/binary"
	"math/bits"
)

// Integers are packed: each as its distance from the least one (frame of
// reference), or the distances between neighbours so, in as few bits as the
// greatest needs. Arithmetic is modulo 2^64, so every int64 goes there and back.
const (
	intsFrame byte = 0 // least value, bits, n packed distances
	intsDelta byte = 1 // first value, least step, bits, n-1 packed distances
)

// appendInts packs vals.
func appendInts(dst []byte, vals []int64) []byte {
	if len(vals) == 0 {
		return dst
	}
	low, width := frame(len(vals), func(i int) int64 { return vals[i] })
	if len(vals) > 2 {
		step := func(i int) int64 { return vals[i+1] - vals[i] }
		dlow, dwidth := frame(len(vals)-1, step)
		if dwidth < width {
			dst = append(dst, intsDelta)
			dst = binary.AppendVarint(dst, vals[0])
			dst = binary.AppendVarint(dst, dlow)
			return pack(append(dst, byte(dwidth)), len(vals)-1, dwidth, dlow, step)
		}
	}
	dst = append(dst, intsFrame)
	dst = binary.AppendVarint(dst, low)
	return pack(append(dst, byte(width)), len(vals), width, low, func(i int) int64 { return vals[i] })
}

// frame returns the least of n values and the bits that the distances from it need.
func frame(n int, at func(int) int64) (low int64, width int) {
	low = at(0)
	for i := 1; i < n; i++ {
		low = min(low, at(i))
	}
	all := uint64(0)
	for i := range n {
		all |= uint64(at(i) - low)
	}
	return low, bits.Len64(all)
}

func pack(dst []byte, n, width int, low int64, at func(int) int64) []byte {
	var acc uint64
	have := 0 // bits in acc
	for i := range n {
		v := uint64(at(i) - low)
		acc |= v << have
		have += width
		if have >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			have -= 64
			acc = 0
			if have > 0 {
				acc = v >> (width - have)
			}
		}
	}
	for ; have > 0; have -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// ints unpacks n values. n is already bounded by the caller.
func (r *reader) ints(what string, n int) []int64 {
	if n == 0 || r.err != nil {
		return nil
	}
	switch mode := r.byte(what); mode {
	case intsFrame:
		low := r.varint(what)
		out := r.unpack(what, n)
		for i := range out {
			out[i] += low
		}
		return out
	case intsDelta:
		first, low := r.varint(what), r.varint(what)
		steps := r.unpack(what, n-1)
		if r.err != nil {
			return nil
		}
		out := append(make([]int64, 0, n), first)
		for _, s := range steps {
			first += s + low
			out = append(out, first)
		}
		return out
	default:
		r.fail("%s: integers packed in way %d", what, mode)
		return nil
	}
}

func (r *reader) unpack(what string, n int) []int64 {
	width := int(r.byte(what))
	if width > 64 {
		r.fail("%s: integers of %d bits", what, width)
		return nil
	}
	src := r.bytes(what, (n*width+7)/8)
	if r.err != nil {
		return nil
	}
	out := make([]int64, n)
	if width == 0 {
		return out
	}
	mask := ^uint64(0) >> (64 - width)
	for i := range out {
		bit := i * width
		at, shift := bit>>3, bit&7
		v := load64(src, at) >> shift
		if shift+width > 64 {
			v |= uint64(src[at+8]) << (64 - shift)
		}
		out[i] = int64(v & mask)
	}
	return out
}

// load64 reads 8 bytes from at on; what lies past the end is zero.
func load64(b []byte, at int) uint64 {
	if at+8 <= len(b) {
		return binary.LittleEndian.Uint64(b[at:])
	}
	var v uint64
	for i := len(b) - 1; i >= at; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}
