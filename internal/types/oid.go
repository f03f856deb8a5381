package types

// oids are PostgreSQL's object identifiers of the kinds and of their arrays.
var oids = [NumKinds]struct{ elem, array uint32 }{
	Unknown: {705, 0}, Bool: {16, 1000}, Int2: {21, 1005}, Int4: {23, 1007}, Int8: {20, 1016},
	Float4: {700, 1021}, Float8: {701, 1022}, Numeric: {1700, 1231}, Text: {25, 1009}, Varchar: {1043, 1015},
	Date: {1082, 1182}, Time: {1083, 1183}, Timestamp: {1114, 1115}, TimestampTZ: {1184, 1185}, Interval: {1186, 1187},
	Oid: {26, 1028}, Name: {19, 1003}, Char: {18, 1002}, Regclass: {2205, 2210}, Array: {2277, 0}, Bytea: {17, 1001},
	Void: {2278, 0}, Record: {2249, 2287},
}

// typesByOID is the inverse of oids.
var typesByOID = buildTypesByOID()

func buildTypesByOID() map[uint32]Type {
	m := make(map[uint32]Type)
	for k, o := range oids {
		m[o.elem] = T(Kind(k))
		if o.array != 0 {
			m[o.array] = Type{Kind: Array, Elem: Kind(k)}
		}
	}
	return m
}

// OID returns PostgreSQL's identifier of t.
func OID(t Type) uint32 {
	if t.Kind == Array {
		if t.Elem == Unknown {
			return oids[Text].array
		}
		return oids[t.Elem].array
	}
	return oids[t.Kind].elem
}

// ArrayOID returns the identifier of the array type over kind k, or 0 when there is none.
func ArrayOID(k Kind) uint32 { return oids[k].array }

// FromOID returns the type with PostgreSQL's identifier oid.
func FromOID(oid uint32) (Type, bool) {
	t, ok := typesByOID[oid]
	return t, ok
}

// TypeLen returns pg_type.typlen: the size in bytes, -1 for varying, -2 for a C string.
func TypeLen(t Type) int {
	switch t.Kind {
	case Bool, Char:
		return 1
	case Int2:
		return 2
	case Int4, Float4, Date, Oid, Regclass, Void:
		return 4
	case Int8, Float8, Time, Timestamp, TimestampTZ:
		return 8
	case Interval:
		return 16
	case Name:
		return MaxNameLen + 1
	case Unknown:
		return -2
	}
	return -1
}
