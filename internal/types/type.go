// Package types holds SQL's types and values: their physical form, order,
// equality, hashing, text and binary forms. It does no I/O and keeps no state.
package types

// Kind names a SQL type without its modifiers.
type Kind uint8

// The kinds, in no meaningful order; the numbers are stored, so new kinds go at the end.
const (
	Unknown     Kind = iota // NULL, or a quoted literal whose type is not resolved yet
	Bool                    // boolean
	Int2                    // smallint
	Int4                    // integer
	Int8                    // bigint
	Float4                  // real; held as float64 values rounded to float32
	Float8                  // double precision
	Numeric                 // numeric[(p,s)]
	Text                    // text
	Varchar                 // varchar[(n)]
	Date                    // days since 2000-01-01
	Time                    // microseconds since midnight
	Timestamp               // microseconds since 2000-01-01 00:00, no zone
	TimestampTZ             // microseconds since 2000-01-01 00:00 UTC
	Interval                // months, days, microseconds
	Oid                     // object identifier, uint32 in an int64
	Name                    // catalog identifier, text of at most 63 bytes
	Char                    // the one-byte catalog type "char"; text
	Regclass                // oid that prints as a relation's name
	Array                   // array of Type.Elem
	Bytea                   // byte string
	Void                    // result of a function called for effect
	Record                  // anonymous row
	NumKinds                // how many there are; not a kind
)

// Layout is the physical form of a kind's values in columns and state.
type Layout uint8

// The layouts. Every kernel is written for a layout, not for a kind.
const (
	LayoutNone  Layout = iota // Unknown and Void: every value is NULL
	LayoutBool                // uint8, 0 or 1
	LayoutInt                 // int64: every integer, date and time kind, oids
	LayoutFloat               // float64
	LayoutDec                 // Decimal
	LayoutIvl                 // IntervalVal
	LayoutStr                 // bytes: text, bytea, arrays and records in their encoded form
)

// Type is a SQL type: a kind, the element kind of an array, and the modifier.
// It is comparable and small; the zero value is Unknown.
type Type struct {
	Kind Kind
	Elem Kind // for Array: the kind of the elements
	// Mod is 0 without a modifier. For Varchar: n+4. For Numeric:
	// (precision<<16 | scale&0x7ff) + 4, as in PostgreSQL. For Time,
	// Timestamp, TimestampTZ and Interval: fractional digits + 1.
	Mod int32
}

// T returns the type of kind k without modifier.
func T(k Kind) Type { return Type{Kind: k} }

// layouts gives each kind's physical form.
var layouts = [NumKinds]Layout{
	Unknown: LayoutNone, Bool: LayoutBool,
	Int2: LayoutInt, Int4: LayoutInt, Int8: LayoutInt,
	Float4: LayoutFloat, Float8: LayoutFloat, Numeric: LayoutDec,
	Text: LayoutStr, Varchar: LayoutStr, Name: LayoutStr, Char: LayoutStr,
	Date: LayoutInt, Time: LayoutInt, Timestamp: LayoutInt, TimestampTZ: LayoutInt,
	Interval: LayoutIvl, Oid: LayoutInt, Regclass: LayoutInt,
	Array: LayoutStr, Bytea: LayoutStr, Void: LayoutNone, Record: LayoutStr,
}

// Layout returns the physical form of t's values.
func (t Type) Layout() Layout { return layouts[t.Kind] }
