package types

// CastContext says where a conversion stands, which decides what it may convert.
// A later context allows all that an earlier one does.
type CastContext uint8

// The contexts of pg_cast.
const (
	CastImplicit   CastContext = iota // in an expression, unasked
	CastAssignment                    // into a column of INSERT or UPDATE
	CastExplicit                      // CAST or ::
)

const castNever CastContext = 255

// Category is pg_type.typcategory of k.
func Category(k Kind) byte {
	switch k {
	case Bool:
		return 'B'
	case Int2, Int4, Int8, Float4, Float8, Numeric, Oid, Regclass:
		return 'N'
	case Text, Varchar, Name:
		return 'S'
	case Date, Time, Timestamp, TimestampTZ:
		return 'D'
	case Interval:
		return 'T'
	case Array:
		return 'A'
	case Unknown:
		return 'X'
	case Void, Record:
		return 'P'
	case Char:
		return 'Z'
	}
	return 'U'
}

// IsPreferred is pg_type.typispreferred of k: the type to choose within its category.
func IsPreferred(k Kind) bool {
	switch k {
	case Bool, Float8, Oid, Text, TimestampTZ, Interval:
		return true
	}
	return false
}

// IsInteger reports whether k is smallint, integer or bigint.
func IsInteger(k Kind) bool { return k == Int2 || k == Int4 || k == Int8 }

// IsFloat reports whether k is real or double precision.
func IsFloat(k Kind) bool { return k == Float4 || k == Float8 }

// IsNumeric reports whether k is an integer, a float or numeric: what arithmetic works on.
func IsNumeric(k Kind) bool { return IsInteger(k) || IsFloat(k) || k == Numeric }

// IsString reports whether k holds text: text, varchar, name or "char".
func IsString(k Kind) bool { return k == Text || k == Varchar || k == Name || k == Char }

// IsDateTime reports whether k is a point in time: date, time, timestamp or timestamptz.
func IsDateTime(k Kind) bool { return k == Date || k == Time || k == Timestamp || k == TimestampTZ }

// numericRank orders the numeric kinds: a lower one becomes a higher one unasked.
func numericRank(k Kind) int {
	switch k {
	case Int2:
		return 1
	case Int4:
		return 2
	case Int8:
		return 3
	case Numeric:
		return 4
	case Float4:
		return 5
	case Float8:
		return 6
	}
	return 0
}

// CanCast reports whether PostgreSQL's casts take from to to in context ctx,
// with its conversions through text (assignment to strings, explicit from them).
// Arrays are judged by CanCastType.
func CanCast(from, to Kind, ctx CastContext) bool {
	if from == to || from == Unknown {
		return true
	}
	return ctx >= castNeeds(from, to)
}

// CanCastType is CanCast for types, arrays included.
func CanCastType(from, to Type, ctx CastContext) bool {
	if from.Kind == Array && to.Kind == Array {
		return CanCast(from.Elem, to.Elem, ctx)
	}
	return CanCast(from.Kind, to.Kind, ctx)
}

// castNeeds is the least context that allows the cast, or castNever.
func castNeeds(from, to Kind) CastContext {
	if f, t := numericRank(from), numericRank(to); f > 0 && t > 0 {
		if f < t {
			return CastImplicit
		}
		return CastAssignment
	}
	if from == Void || to == Void || to == Unknown {
		return castNever
	}
	if IsString(from) && IsString(to) {
		if from == Name && to == Char {
			return CastExplicit
		}
		if to == Char || from == Name && to == Varchar || from == Char && to == Varchar {
			return CastAssignment
		}
		if from == Char && to == Name {
			return CastAssignment
		}
		return CastImplicit
	}
	switch {
	case to == Regclass && (from == Text || from == Varchar):
		return CastImplicit
	case from == Char && to == Int4, from == Int4 && to == Char, from == Bool && to == Int4, from == Int4 && to == Bool:
		return CastExplicit
	case IsInteger(from) && (to == Oid || to == Regclass), from == Oid && to == Regclass, from == Regclass && to == Oid:
		return CastImplicit
	case (from == Oid || from == Regclass) && (to == Int4 || to == Int8):
		return CastAssignment
	case from == Date && (to == Timestamp || to == TimestampTZ), from == Timestamp && to == TimestampTZ, from == Time && to == Interval:
		return CastImplicit
	case from == TimestampTZ && (to == Timestamp || to == Date || to == Time),
		from == Timestamp && (to == Date || to == Time), from == Interval && to == Time:
		return CastAssignment
	case Category(to) == 'S':
		return CastAssignment
	case Category(from) == 'S':
		return CastExplicit
	}
	return castNever
}
