package types

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of type modifiers, PostgreSQL's.
const (
	MaxVarcharLen    = 10485760 // largest n of varchar(n)
	MaxPrecision     = 1000     // largest p of numeric(p,s)
	MaxTypmodScale   = 1000     // largest |s| of numeric(p,s)
	MaxTimePrecision = 6        // largest p of timestamp(p)
	MaxNameLen       = 63       // bytes of a name
)

// formatNames gives each kind's name as format_type prints it.
var formatNames = [NumKinds]string{
	Unknown: "unknown", Bool: "boolean", Int2: "smallint", Int4: "integer", Int8: "bigint",
	Float4: "real", Float8: "double precision", Numeric: "numeric", Text: "text", Varchar: "character varying",
	Date: "date", Time: "time without time zone", Timestamp: "timestamp without time zone",
	TimestampTZ: "timestamp with time zone", Interval: "interval", Oid: "oid", Name: "name", Char: `"char"`,
	Regclass: "regclass", Array: "anyarray", Bytea: "bytea", Void: "void", Record: "record",
}

// typNames gives each kind's name as pg_type.typname has it.
var typNames = [NumKinds]string{
	Unknown: "unknown", Bool: "bool", Int2: "int2", Int4: "int4", Int8: "int8", Float4: "float4", Float8: "float8",
	Numeric: "numeric", Text: "text", Varchar: "varchar", Date: "date", Time: "time", Timestamp: "timestamp",
	TimestampTZ: "timestamptz", Interval: "interval", Oid: "oid", Name: "name", Char: "char", Regclass: "regclass",
	Array: "anyarray", Bytea: "bytea", Void: "void", Record: "record",
}

// kindsByName gives the kinds by every name that SQL texts use for them, in lower case.
var kindsByName = map[string]Kind{
	"unknown": Unknown, "bool": Bool, "boolean": Bool, "int2": Int2, "smallint": Int2, "int4": Int4, "int": Int4, "integer": Int4,
	"int8": Int8, "bigint": Int8, "float4": Float4, "real": Float4, "float8": Float8, "float": Float8, "double precision": Float8,
	"numeric": Numeric, "decimal": Numeric, "dec": Numeric, "text": Text, "string": Text,
	"varchar": Varchar, "character varying": Varchar, "char varying": Varchar, "date": Date,
	"time": Time, "time without time zone": Time, "timestamp": Timestamp, "timestamp without time zone": Timestamp,
	"timestamptz": TimestampTZ, "timestamp with time zone": TimestampTZ, "interval": Interval,
	"oid": Oid, "name": Name, `"char"`: Char, "char": Char, "regclass": Regclass, "bytea": Bytea, "void": Void, "record": Record,
}

// unsupportedNames are PostgreSQL types that we know of and do not have.
var unsupportedNames = map[string]bool{
	"bpchar": true, "character": true, "json": true, "jsonb": true, "uuid": true, "timetz": true, "time with time zone": true,
	"bit": true, "varbit": true, "bit varying": true, "money": true, "xml": true, "inet": true, "cidr": true, "macaddr": true,
}

// String is the kind's name as PostgreSQL prints it: "integer", "timestamp with time zone".
func (k Kind) String() string {
	if k >= NumKinds {
		return "kind " + strconv.Itoa(int(k))
	}
	return formatNames[k]
}

// TypName is the kind's name in pg_type: "int4", "timestamptz".
func (k Kind) TypName() string { return typNames[k] }

// TypName is the type's name in pg_type: "int4", "_int4" for its array.
func (t Type) TypName() string {
	if t.Kind == Array {
		return "_" + typNames[t.Elem]
	}
	return typNames[t.Kind]
}

// ArrayOf returns the type of arrays of t, which is not an array itself.
func ArrayOf(t Type) Type { return Type{Kind: Array, Elem: t.Kind, Mod: t.Mod} }

// ElemType returns the type of the elements of an array type, with its modifier.
func (t Type) ElemType() Type { return Type{Kind: t.Elem, Mod: t.Mod} }

// WithoutMod returns t without its modifier.
func (t Type) WithoutMod() Type { t.Mod = 0; return t }

// NumericMod returns the modifier of numeric(precision, scale).
func NumericMod(precision, scale int) int32 { return int32(precision<<16|scale&0x7ff) + 4 }

// NumericPS returns precision and scale of a NUMERIC type; ok is false without a modifier.
func (t Type) NumericPS() (precision, scale int, ok bool) {
	if t.Mod == 0 {
		return 0, 0, false
	}
	m := t.Mod - 4
	return int(m >> 16 & 0xffff), int(m&0x7ff^0x400) - 0x400, true
}

// String is the type as PostgreSQL's format_type prints it.
func (t Type) String() string {
	if t.Kind == Array {
		return t.ElemType().String() + "[]"
	}
	if t.Mod == 0 {
		return t.Kind.String()
	}
	switch t.Kind {
	case Varchar:
		return fmt.Sprintf("character varying(%d)", t.Mod-4)
	case Numeric:
		p, s, _ := t.NumericPS()
		return fmt.Sprintf("numeric(%d,%d)", p, s)
	case Time:
		return fmt.Sprintf("time(%d) without time zone", t.Mod-1)
	case Timestamp:
		return fmt.Sprintf("timestamp(%d) without time zone", t.Mod-1)
	case TimestampTZ:
		return fmt.Sprintf("timestamp(%d) with time zone", t.Mod-1)
	case Interval:
		return fmt.Sprintf("interval(%d)", t.Mod-1)
	}
	return t.Kind.String()
}

// ParseTypeName returns the type of a name in any of PostgreSQL's spellings, in any
// case, with the modifiers written after it and with array for []. The name
// itself holds neither parentheses nor brackets; "_int4" is an array too.
// An unknown name is error 42704, a type that does not exist here yet 0A000.
func ParseTypeName(name string, mods []int32, array bool) (Type, error) {
	n := strings.Join(strings.Fields(strings.ToLower(name)), " ")
	n = strings.TrimPrefix(n, "pg_catalog.")
	if strings.HasPrefix(n, "_") && !array {
		n, array = n[1:], true
	}
	kind, ok := kindsByName[n]
	if !ok {
		if unsupportedNames[n] {
			return Type{}, &Error{Code: CodeFeature, Message: fmt.Sprintf("type %s is not supported yet", n)}
		}
		return Type{}, &Error{Code: CodeUndefinedObject, Message: fmt.Sprintf("type %q does not exist", name)}
	}
	if n == "float" && len(mods) == 1 { // float(p) names real or double precision
		switch p := mods[0]; {
		case p < 1:
			return Type{}, &Error{Code: CodeInvalidParameter, Message: "precision for type float must be at least 1 bit"}
		case p > 53:
			return Type{}, &Error{Code: CodeInvalidParameter, Message: "precision for type float must be less than 54 bits"}
		case p <= 24:
			kind = Float4
		}
		mods = nil
	}
	mod, err := TypeMod(kind, mods)
	if err != nil {
		return Type{}, err
	}
	t := Type{Kind: kind, Mod: mod}
	if array {
		t = ArrayOf(t)
	}
	return t, nil
}

// TypeMod returns the modifier that mods, as written in parentheses, mean for kind.
func TypeMod(kind Kind, mods []int32) (int32, error) {
	bad := func(code, format string, args ...any) (int32, error) {
		return 0, &Error{Code: code, Message: fmt.Sprintf(format, args...)}
	}
	if len(mods) == 0 {
		return 0, nil
	}
	switch kind {
	case Varchar:
		if len(mods) != 1 {
			return bad(CodeInvalidParameter, "invalid type modifier")
		}
		if mods[0] < 1 {
			return bad(CodeInvalidParameter, "length for type varchar must be at least 1")
		}
		if mods[0] > MaxVarcharLen {
			return bad(CodeInvalidParameter, "length for type varchar cannot exceed %d", MaxVarcharLen)
		}
		return mods[0] + 4, nil
	case Numeric:
		if len(mods) > 2 {
			return bad(CodeInvalidParameter, "invalid NUMERIC type modifier")
		}
		scale := int32(0)
		if len(mods) == 2 {
			scale = mods[1]
		}
		if mods[0] < 1 || mods[0] > MaxPrecision {
			return bad(CodeInvalidParameter, "NUMERIC precision %d must be between 1 and %d", mods[0], MaxPrecision)
		}
		if scale < -MaxTypmodScale || scale > MaxTypmodScale {
			return bad(CodeInvalidParameter, "NUMERIC scale %d must be between -%d and %d", scale, MaxTypmodScale, MaxTypmodScale)
		}
		return NumericMod(int(mods[0]), int(scale)), nil
	case Time, Timestamp, TimestampTZ, Interval:
		if len(mods) != 1 {
			return bad(CodeInvalidParameter, "invalid type modifier")
		}
		if mods[0] < 0 {
			up := map[Kind]string{Time: "TIME", Timestamp: "TIMESTAMP", TimestampTZ: "TIMESTAMP", Interval: "INTERVAL"}[kind]
			suffix := ""
			if kind == TimestampTZ {
				suffix = " WITH TIME ZONE"
			}
			return bad(CodeInvalidParameter, "%s(%d)%s precision must not be negative", up, mods[0], suffix)
		}
		return min(mods[0], MaxTimePrecision) + 1, nil
	}
	return bad(CodeSyntax, "type modifier is not allowed for type %q", typNames[kind])
}
