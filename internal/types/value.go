package types

// Decimal is a NUMERIC value without Go pointers, 24 bytes, so that columns and
// state hold it as it is. The number is (Hi:Lo as a signed 128-bit integer) / 10^Scale.
// A coefficient that does not fit is Big: Lo>>32 is the offset and Lo&0xffffffff
// the length of its bytes in the arena that travels with the value (Column.Bytes,
// Value.S). Scale is also PostgreSQL's display scale: 1.10 and 1.1 are equal, and
// print as written.
type Decimal struct {
	Hi    int64
	Lo    uint64
	Scale int16
	Form  DecimalForm
}

// DecimalForm says which kind of number a Decimal is.
type DecimalForm uint8

// The forms. The zero Decimal is the number 0.
const (
	DecFinite DecimalForm = iota // Hi:Lo / 10^Scale
	DecBig                       // coefficient in the arena
	DecNaN
	DecPosInf
	DecNegInf
)

// IntervalVal is an INTERVAL value: three fields that are added one by one, as in
// PostgreSQL. It is 16 bytes and has no pointers.
type IntervalVal struct {
	Micros int64
	Days   int32
	Months int32
}

// Value is one SQL value, boxed. It is for constants, literals, sessions and
// tests, never for the data path. Which field holds it follows from
// T.Layout(): Bool and Int in I, Float in F, Dec in D (big digits in S), Ivl in V, Str in S.
type Value struct {
	T    Type
	Null bool
	I    int64
	F    float64
	D    Decimal
	V    IntervalVal
	S    string
}

// NullOf returns the NULL of type t.
func NullOf(t Type) Value { return Value{T: t, Null: true} }

// BoolValue returns a boolean.
func BoolValue(b bool) Value {
	v := Value{T: T(Bool)}
	if b {
		v.I = 1
	}
	return v
}

// IntValue returns a value of an integer-layout kind.
func IntValue(k Kind, i int64) Value { return Value{T: T(k), I: i} }

// FloatValue returns a DOUBLE PRECISION value.
func FloatValue(f float64) Value { return Value{T: T(Float8), F: f} }

// TextValue returns a TEXT value.
func TextValue(s string) Value { return Value{T: T(Text), S: s} }
