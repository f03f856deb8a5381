package syscat

import (
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/types"
)

// relkind is a relation's kind as pg_class has it. A source is a foreign table and
// a sink is shown as one too, so that clients list them.
func relkind(k catalog.Kind) string {
	switch k {
	case catalog.Table, catalog.Virtual:
		return "r"
	case catalog.View:
		return "v"
	case catalog.MaterializedView:
		return "m"
	case catalog.Index:
		return "i"
	}
	return "f"
}

// indexID is the oid of the index behind a table's primary key when the catalog has
// no relation for it: a number of its own range, so that it is never a relation's.
func indexID(r *catalog.Relation) catalog.ID { return r.ID | 1<<30 }

// checkID is the oid of the n-th check constraint of r, and primaryID that of its key.
func checkID(r *catalog.Relation, n int) catalog.ID { return 1<<31 + r.ID<<8 + catalog.ID(n) + 1 }

func primaryID(r *catalog.Relation) catalog.ID { return 1<<31 + r.ID<<8 }

// primaryIndex returns the Index relation behind r's primary key, or nil.
func (e *Env) primaryIndex(r *catalog.Relation) *catalog.Relation {
	for _, x := range e.Catalog.Relations() {
		if x.Kind == catalog.Index && x.Index.On == r.ID && x.Index.Primary {
			return x
		}
	}
	return nil
}

// primaryIndexID is the oid of the index behind r's primary key.
func (e *Env) primaryIndexID(r *catalog.Relation) catalog.ID {
	if x := e.primaryIndex(r); x != nil {
		return x.ID
	}
	return indexID(r)
}

func classTables() []Table {
	return []Table{
		pg("pg_namespace", 2615, "oid oid, nspname name, nspowner oid, nspacl text[]", fillNamespace),
		pg("pg_class", 1259, `oid oid, relname name, relnamespace oid, reltype oid, reloftype oid, relowner oid, relam oid, relfilenode oid,
			reltablespace oid, relpages int4, reltuples float4, relallvisible int4, reltoastrelid oid, relhasindex bool, relisshared bool,
			relpersistence char, relkind char, relnatts int2, relchecks int2, relhasrules bool, relhastriggers bool, relhassubclass bool,
			relrowsecurity bool, relforcerowsecurity bool, relispopulated bool, relreplident char, relispartition bool, relrewrite oid,
			relfrozenxid xid, relminmxid xid, relacl text[], reloptions text[], relpartbound text`, fillClass),
		pg("pg_attribute", 1249, `attrelid oid, attname name, atttypid oid, attstattarget int4, attlen int2, attnum int2, attndims int4,
			attcacheoff int4, atttypmod int4, attbyval bool, attalign char, attstorage char, attcompression char, attnotnull bool,
			atthasdef bool, atthasmissing bool, attidentity char, attgenerated char, attisdropped bool, attislocal bool, attinhcount int4,
			attcollation oid, attacl text[], attoptions text[], attfdwoptions text[], attmissingval text`, fillAttribute),
		pg("pg_attrdef", 2604, "oid oid, adrelid oid, adnum int2, adbin text", fillAttrdef),
		pg("pg_description", 2609, "objoid oid, classoid oid, objsubid int4, description text", fillDescription),
		pg("pg_foreign_table", 3118, "ftrelid oid, ftserver oid, ftoptions text[]", fillForeign),
	}
}

func fillNamespace(e *Env, r *rows) {
	for _, s := range e.Catalog.Schemas() {
		r.add(s.ID, s.Name, owner, nil)
	}
}

func fillClass(e *Env, r *rows) {
	class := func(id catalog.ID, rel *catalog.Relation, name, kind string, am, natts, checks int, hasIndex bool) {
		persistence := "p"
		r.add(id, name, e.schemaID(rel.Schema), 0, 0, owner, am, id, 0, 0, -1, 0, 0, hasIndex, false, persistence, kind,
			natts, checks, kind == "v", false, false, false, false, true, "d", false, 0, 0, 0, nil, nil, nil)
	}
	for _, rel := range e.Catalog.Relations() {
		am := heap
		switch rel.Kind {
		case catalog.Index:
			am = btree
		case catalog.View, catalog.Source, catalog.Sink:
			am = 0
		}
		class(rel.ID, rel, rel.Name, relkind(rel.Kind), am, len(rel.Columns), len(rel.Checks), e.hasIndex(rel))
		if rel.PrimaryKey != nil && e.primaryIndex(rel) == nil {
			class(indexID(rel), rel, rel.PrimaryKeyName, "i", btree, len(rel.PrimaryKey), 0, false)
		}
	}
}

func (e *Env) hasIndex(r *catalog.Relation) bool {
	if r.PrimaryKey != nil {
		return true
	}
	for _, d := range e.Catalog.Dependents(r.ID) {
		if d.Kind == catalog.Index {
			return true
		}
	}
	return false
}

// typmod is a type's modifier as PostgreSQL stores it.
func typmod(t types.Type) int32 {
	switch t.Kind {
	case types.Varchar, types.Numeric:
		if t.Mod != 0 {
			return t.Mod
		}
	case types.Time, types.Timestamp, types.TimestampTZ:
		if t.Mod != 0 {
			return t.Mod - 1
		}
	}
	return -1
}

// collation is the default collation's oid for text types, else 0.
func collation(t types.Type) int {
	switch t.Kind {
	case types.Text, types.Varchar:
		return 100
	case types.Name:
		return 950
	}
	return 0
}

func fillAttribute(e *Env, r *rows) {
	attribute := func(rel catalog.ID, n int, c catalog.Column) {
		def, generated := c.Default != "" || c.Generated != "", ""
		if c.Generated != "" {
			generated = "s"
		}
		r.add(rel, c.Name, types.OID(c.Type), -1, types.TypeLen(c.Type), n, 0, -1, typmod(c.Type), types.TypeLen(c.Type) > 0, "i", "p", "",
			c.NotNull, def, false, "", generated, false, true, 0, collation(c.Type), nil, nil, nil, nil)
	}
	for _, rel := range e.Catalog.Relations() {
		for i, c := range rel.Columns {
			attribute(rel.ID, i+1, c)
		}
		if rel.PrimaryKey != nil && e.primaryIndex(rel) == nil {
			for i, k := range rel.PrimaryKey {
				c := rel.Columns[k]
				c.Default, c.Generated = "", ""
				attribute(indexID(rel), i+1, c)
			}
		}
	}
}

func fillAttrdef(e *Env, r *rows) {
	for _, rel := range e.Catalog.Relations() {
		for i, c := range rel.Columns {
			if c.Default != "" {
				r.add(primaryID(rel)+catalog.ID(i), rel.ID, i+1, c.Default)
			} else if c.Generated != "" {
				r.add(primaryID(rel)+catalog.ID(i), rel.ID, i+1, c.Generated)
			}
		}
	}
}

func fillDescription(e *Env, r *rows) {
	const class = 1259
	for _, rel := range e.Catalog.Relations() {
		if rel.Comment != "" {
			r.add(rel.ID, class, 0, rel.Comment)
		}
		for i, c := range rel.Columns {
			if c.Comment != "" {
				r.add(rel.ID, class, i+1, c.Comment)
			}
		}
	}
}

func fillForeign(e *Env, r *rows) {
	for _, rel := range e.Catalog.Relations() {
		if rel.Kind == catalog.Source || rel.Kind == catalog.Sink {
			r.add(rel.ID, connectorServer, optionsOf(rel))
		}
	}
}

func optionsOf(rel *catalog.Relation) []string {
	out := []string{}
	for _, o := range rel.Options {
		out = append(out, o.Name+"="+o.Value)
	}
	return out
}
