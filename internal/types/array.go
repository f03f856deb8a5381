package types

import (
	"cmp"
	"encoding/binary"
	"math"
)

// An array travels as bytes: the kind of its elements, their number as a
// uvarint, and for each a byte (0 for NULL) and, unless NULL, its value: 1 byte
// for booleans, 8 for integers and floats, 16 for intervals, all little endian;
// decimals as form, scale (2 bytes) and 16 bytes or, when big, length and digits;
// strings as a uvarint length and the bytes.

const errArrayBytes = "array bytes cut short"

// AppendArrayHeader starts an array of n elements of kind elem; n calls of
// AppendArrayElem complete it.
func AppendArrayHeader(dst []byte, elem Kind, n int) []byte {
	return binary.AppendUvarint(append(dst, byte(elem)), uint64(n))
}

// AppendArrayElem appends one element, whose layout is that of the array's elements.
func AppendArrayElem(dst []byte, v Value) []byte {
	if v.Null {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch v.T.Layout() {
	case LayoutBool:
		return append(dst, byte(v.I))
	case LayoutInt:
		return binary.LittleEndian.AppendUint64(dst, uint64(v.I))
	case LayoutFloat:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.F))
	case LayoutIvl:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v.V.Micros))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(v.V.Days))
		return binary.LittleEndian.AppendUint32(dst, uint32(v.V.Months))
	case LayoutDec:
		dst = append(dst, byte(v.D.Form))
		dst = binary.LittleEndian.AppendUint16(dst, uint16(v.D.Scale))
		if v.D.Form == DecBig {
			b := v.D.bigBytes([]byte(v.S))
			return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
		}
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v.D.Hi))
		return binary.LittleEndian.AppendUint64(dst, v.D.Lo)
	}
	return append(binary.AppendUvarint(dst, uint64(len(v.S))), v.S...)
}

// ArrayReader walks the elements of an array's bytes.
type ArrayReader struct {
	Elem Kind // kind of the elements
	Len  int  // how many are left
	rest []byte
	bad  bool
}

// ReadArray starts reading an array; no bytes at all are an empty array.
func ReadArray(b []byte) ArrayReader {
	if len(b) == 0 {
		return ArrayReader{Elem: Text}
	}
	n, k := binary.Uvarint(b[1:])
	if k <= 0 || n > uint64(len(b)) || b[0] >= byte(NumKinds) {
		return ArrayReader{Elem: Text, bad: true}
	}
	return ArrayReader{Elem: Kind(b[0]), Len: int(n), rest: b[1+k:]}
}

// Next returns the next element; ok is false past the last one, and when the
// bytes are damaged (see Bad).
func (r *ArrayReader) Next() (v Value, ok bool) {
	if r.Len == 0 || r.bad {
		return v, false
	}
	r.Len--
	v.T = T(r.Elem)
	tag := r.take(1)
	if r.bad {
		return v, false
	}
	if tag[0] == 0 {
		v.Null = true
		return v, true
	}
	switch v.T.Layout() {
	case LayoutBool:
		if b := r.take(1); !r.bad {
			v.I = int64(b[0] & 1)
		}
	case LayoutInt:
		v.I = int64(r.u64())
	case LayoutFloat:
		v.F = math.Float64frombits(r.u64())
	case LayoutIvl:
		v.V.Micros = int64(r.u64())
		w := r.u64()
		v.V.Days, v.V.Months = int32(w), int32(w>>32)
	case LayoutDec:
		r.decimal(&v)
	default:
		v.S = string(r.counted())
	}
	return v, !r.bad
}

func (r *ArrayReader) decimal(v *Value) {
	b := r.take(3)
	if r.bad {
		return
	}
	v.D.Form = DecimalForm(b[0])
	v.D.Scale = int16(binary.LittleEndian.Uint16(b[1:]))
	if v.D.Form == DecBig {
		v.S = string(r.counted())
		v.D.Lo = uint64(len(v.S))
		r.bad = r.bad || len(v.S) == 0
		return
	}
	v.D.Hi, v.D.Lo = int64(r.u64()), r.u64()
	r.bad = r.bad || v.D.Form > DecNegInf
}

func (r *ArrayReader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *ArrayReader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *ArrayReader) counted() []byte {
	n, k := binary.Uvarint(r.rest)
	if k <= 0 || n > uint64(len(r.rest)-k) {
		r.bad = true
		return nil
	}
	r.rest = r.rest[k:]
	return r.take(int(n))
}

// ArrayValue boxes the elements, all of kind elem, as an array.
func ArrayValue(elem Kind, elems []Value) Value {
	b := AppendArrayHeader(nil, elem, len(elems))
	for _, e := range elems {
		b = AppendArrayElem(b, e)
	}
	return Value{T: Type{Kind: Array, Elem: elem}, S: string(b)}
}

// ArrayElems unboxes an array's bytes.
func ArrayElems(b []byte) ([]Value, error) {
	r := ReadArray(b)
	out := make([]Value, 0, r.Len)
	for {
		v, ok := r.Next()
		if !ok {
			break
		}
		out = append(out, v)
	}
	if r.bad {
		return nil, &Error{Code: CodeInternal, Message: errArrayBytes}
	}
	return out, nil
}

// CompareArray orders arrays of one element kind by their elements, NULL after
// all others, then by length.
func CompareArray(a, b []byte) int {
	x, y := ReadArray(a), ReadArray(b)
	n, m := x.Len, y.Len
	for range min(n, m) {
		u, _ := x.Next()
		v, _ := y.Next()
		if c := Compare(u, v); c != 0 {
			return c
		}
	}
	return cmp.Compare(n, m)
}
