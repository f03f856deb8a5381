package syscat

import (
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/types"
)

func typeTables() []Table {
	return []Table{
		pg("pg_type", 1247, `oid oid, typname name, typnamespace oid, typowner oid, typlen int2, typbyval bool, typtype char, typcategory char,
			typispreferred bool, typisdefined bool, typdelim char, typrelid oid, typsubscript text, typelem oid, typarray oid, typinput regproc,
			typoutput regproc, typreceive regproc, typsend regproc, typmodin regproc, typmodout regproc, typanalyze regproc, typalign char,
			typstorage char, typnotnull bool, typbasetype oid, typtypmod int4, typndims int4, typcollation oid, typdefaultbin text,
			typdefault text, typacl text[]`, fillType),
		pg("pg_enum", 3501, "oid oid, enumtypid oid, enumsortorder float4, enumlabel name", nil),
		pg("pg_range", 3541, "rngtypid oid, rngsubtype oid, rngmultitypid oid, rngcollation oid, rngsubopc oid, rngcanonical regproc, rngsubdiff regproc", nil),
		pg("pg_collation", 3456, `oid oid, collname name, collnamespace oid, collowner oid, collprovider char, collisdeterministic bool,
			collencoding int4, collcollate text, collctype text, colliculocale text, collversion text`, func(_ *Env, r *rows) {
			r.add(100, "default", catalog.CatalogSchemaID, owner, "d", true, -1, "C", "C", nil, nil)
			r.add(950, "C", catalog.CatalogSchemaID, owner, "c", true, -1, "C", "C", nil, nil)
		}),
	}
}

// typeNames are the names in pg_type of the kinds that clients see, in order.
var typeNames = []struct {
	kind types.Kind
	name string
}{
	{types.Bool, "bool"}, {types.Bytea, "bytea"}, {types.Char, "char"}, {types.Name, "name"}, {types.Int8, "int8"}, {types.Int2, "int2"},
	{types.Int4, "int4"}, {types.Text, "text"}, {types.Oid, "oid"}, {types.Float4, "float4"}, {types.Float8, "float8"},
	{types.Varchar, "varchar"}, {types.Date, "date"}, {types.Time, "time"}, {types.Timestamp, "timestamp"},
	{types.TimestampTZ, "timestamptz"}, {types.Interval, "interval"}, {types.Numeric, "numeric"}, {types.Regclass, "regclass"},
	{types.Record, "record"}, {types.Void, "void"}, {types.Unknown, "unknown"},
}

func fillType(_ *Env, r *rows) {
	add := func(oid uint32, name string, length int, category string, elem, array uint32, kind string, coll int) {
		proc := strings.TrimPrefix(name, "_")
		if elem != 0 {
			proc = "array_"
		}
		r.add(oid, name, catalog.CatalogSchemaID, owner, length, length > 0 && length <= 8, kind, category, false, true, ",", 0, "-", elem, array,
			proc+"in", proc+"out", proc+"recv", proc+"send", "-", "-", "-", "i", "p", false, 0, -1, 0, coll, nil, nil, nil)
	}
	for _, tn := range typeNames {
		t := types.T(tn.kind)
		arr := types.ArrayOID(t.Kind)
		kind := "b"
		if tn.kind == types.Record || tn.kind == types.Void || tn.kind == types.Unknown {
			kind = "p"
		}
		add(types.OID(t), tn.name, int(types.TypeLen(t)), string(types.Category(tn.kind)), 0, arr, kind, collation(t))
		if arr != 0 {
			add(arr, "_"+tn.name, -1, "A", types.OID(t), 0, "b", collation(t))
		}
	}
}
