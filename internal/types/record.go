package types

import (
	"cmp"
	"encoding/binary"
	"strings"
)

// A record travels as bytes: the number of its fields as a uvarint, and for each
// its kind, the kind of its elements, and an element as in arrays.

// RecordValue boxes the fields as an anonymous row.
func RecordValue(fields []Value) Value {
	b := AppendRecordHeader(nil, len(fields))
	for _, f := range fields {
		b = AppendRecordField(b, f)
	}
	return Value{T: T(Record), S: string(b)}
}

// AppendRecordHeader starts a record of n fields; n calls of AppendRecordField complete it.
func AppendRecordHeader(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)) }

// AppendRecordField appends one field.
func AppendRecordField(dst []byte, v Value) []byte {
	return AppendArrayElem(append(dst, byte(v.T.Kind), byte(v.T.Elem)), v)
}

// RecordFields unboxes a record's bytes.
func RecordFields(b []byte) ([]Value, error) {
	bad := &Error{Code: CodeInternal, Message: "record bytes cut short"}
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)) {
		return nil, bad
	}
	r := ArrayReader{rest: b[k:]}
	out := make([]Value, 0, n)
	for range n {
		h := r.take(2)
		if r.bad || h[0] >= byte(NumKinds) || h[1] >= byte(NumKinds) {
			return nil, bad
		}
		r.Elem, r.Len = Kind(h[0]), 1
		elem := Kind(h[1])
		v, ok := r.Next()
		if !ok {
			return nil, bad
		}
		v.T.Elem = elem
		out = append(out, v)
	}
	return out, nil
}

// CompareRecord orders records by their fields, NULL after all others.
func CompareRecord(a, b []byte) int {
	x, _ := RecordFields(a)
	y, _ := RecordFields(b)
	for i := range min(len(x), len(y)) {
		if c := Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// AppendRecordText appends a record's bytes as (1,"a b",).
func AppendRecordText(dst, b []byte, st *Style) []byte {
	fields, _ := RecordFields(b)
	dst = append(dst, '(')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		if f.Null {
			continue
		}
		start := len(dst)
		dst = AppendText(dst, f, *st)
		quote := len(dst) == start
		for _, c := range dst[start:] {
			quote = quote || isSpace(c) || strings.IndexByte(`"\(),`, c) >= 0
		}
		dst = quoteFrom(dst, start, quote, true)
	}
	return append(dst, ')')
}
