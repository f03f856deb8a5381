package syscat

import (
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/types"
)

// viewTables are the statistics views that tools look at first.
func viewTables() []Table {
	return []Table{
		pg("pg_stat_user_tables", 12030, "relid oid, schemaname name, relname name, n_live_tup int8", func(e *Env, r *rows) {
			for _, v := range e.Views {
				rel := e.Catalog.ByID(v.ID)
				if rel != nil && rel.Kind == catalog.Table {
					r.add(rel.ID, rel.Schema, rel.Name, v.Rows)
				}
			}
		}),
	}
}

func info(name string, id catalog.ID, columns string, fill func(*Env, *rows)) Table {
	return define(catalog.InformationSchema, name, id, columns, fill)
}

func informationTables() []Table {
	return []Table{
		info("schemata", 13001, "catalog_name name, schema_name name, schema_owner name, default_character_set_catalog name, default_character_set_schema name, default_character_set_name name, sql_path text",
			func(e *Env, r *rows) {
				for _, s := range e.Catalog.Schemas() {
					r.add(e.Database, s.Name, Owner, nil, nil, nil, nil)
				}
			}),
		info("tables", 13002, "table_catalog name, table_schema name, table_name name, table_type text, self_referencing_column_name name, reference_generation text, user_defined_type_catalog name, user_defined_type_schema name, user_defined_type_name name, is_insertable_into text, is_typed text, commit_action text",
			func(e *Env, r *rows) {
				for _, rel := range e.Catalog.Relations() {
					if kind := tableType(rel.Kind); kind != "" {
						r.add(e.Database, rel.Schema, rel.Name, kind, nil, nil, nil, nil, nil, yesNo(rel.Kind == catalog.Table), "NO", nil)
					}
				}
			}),
		info("columns", 13003, "table_catalog name, table_schema name, table_name name, column_name name, ordinal_position int4, column_default text, is_nullable text, data_type text, character_maximum_length int4, numeric_precision int4, numeric_precision_radix int4, numeric_scale int4, datetime_precision int4, udt_catalog name, udt_schema name, udt_name name, is_identity text, is_generated text, generation_expression text, is_updatable text",
			fillColumns),
		info("views", 13004, "table_catalog name, table_schema name, table_name name, view_definition text, check_option text, is_updatable text, is_insertable_into text",
			func(e *Env, r *rows) {
				for _, rel := range e.Catalog.Relations() {
					if rel.Kind == catalog.View {
						r.add(e.Database, rel.Schema, rel.Name, rel.Query, "NONE", "NO", "NO")
					}
				}
			}),
		info("table_constraints", 13005, "constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, table_schema name, table_name name, constraint_type text, is_deferrable text, initially_deferred text, enforced text",
			func(e *Env, r *rows) {
				for _, rel := range e.Catalog.Relations() {
					add := func(name, kind string) {
						r.add(e.Database, rel.Schema, name, e.Database, rel.Schema, rel.Name, kind, "NO", "NO", "YES")
					}
					if rel.PrimaryKey != nil {
						add(rel.PrimaryKeyName, "PRIMARY KEY")
					}
					for _, c := range rel.Checks {
						add(c.Name, "CHECK")
					}
				}
			}),
		info("key_column_usage", 13006, "constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, table_schema name, table_name name, column_name name, ordinal_position int4, position_in_unique_constraint int4",
			func(e *Env, r *rows) {
				for _, rel := range e.Catalog.Relations() {
					for i, k := range rel.PrimaryKey {
						r.add(e.Database, rel.Schema, rel.PrimaryKeyName, e.Database, rel.Schema, rel.Name, rel.Columns[k].Name, i+1, nil)
					}
				}
			}),
		info("check_constraints", 13007, "constraint_catalog name, constraint_schema name, constraint_name name, check_clause text", func(e *Env, r *rows) {
			for _, rel := range e.Catalog.Relations() {
				for _, c := range rel.Checks {
					r.add(e.Database, rel.Schema, c.Name, c.SQL)
				}
			}
		}),
	}
}

// tableType is a kind as information_schema.tables names it; empty for what is no table there.
func tableType(k catalog.Kind) string {
	switch k {
	case catalog.Table, catalog.Virtual:
		return "BASE TABLE"
	case catalog.View:
		return "VIEW"
	case catalog.MaterializedView:
		return "MATERIALIZED VIEW"
	case catalog.Source:
		return "FOREIGN"
	}
	return ""
}

func yesNo(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

func fillColumns(e *Env, r *rows) {
	for _, rel := range e.Catalog.Relations() {
		if tableType(rel.Kind) == "" {
			continue
		}
		for i, c := range rel.Columns {
			var length, precision, radix, scale, fraction, def, generation any
			switch c.Type.Kind {
			case types.Varchar:
				if c.Type.Mod != 0 {
					length = c.Type.Mod - 4
				}
			case types.Int2:
				precision, radix, scale = 16, 2, 0
			case types.Int4:
				precision, radix, scale = 32, 2, 0
			case types.Int8:
				precision, radix, scale = 64, 2, 0
			case types.Float4:
				precision, radix = 24, 2
			case types.Float8:
				precision, radix = 53, 2
			case types.Numeric:
				radix = 10
				if c.Type.Mod != 0 {
					precision, scale = (c.Type.Mod-4)>>16, (c.Type.Mod-4)&0x7ff
				}
			case types.Time, types.Timestamp, types.TimestampTZ, types.Interval:
				fraction = 6
			case types.Date:
				fraction = 0
			}
			if c.Default != "" {
				def = c.Default
			}
			if c.Generated != "" {
				generation = c.Generated
			}
			base := c.Type
			base.Mod = 0
			generated := "NEVER"
			if c.Generated != "" {
				generated = "ALWAYS"
			}
			r.add(e.Database, rel.Schema, rel.Name, c.Name, i+1, def, yesNo(!c.NotNull), strings.ToLower(base.String()), length, precision, radix, scale,
				fraction, e.Database, catalog.CatalogSchema, udtName(c.Type), "NO", generated, generation, yesNo(rel.Kind == catalog.Table))
		}
	}
}

// udtName is a type's name in pg_type.
func udtName(t types.Type) string {
	prefix := ""
	if t.Kind == types.Array {
		prefix, t = "_", types.T(t.Elem)
	}
	for _, tn := range typeNames {
		if tn.kind == t.Kind {
			return prefix + tn.name
		}
	}
	return prefix + "unknown"
}
