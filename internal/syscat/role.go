package syscat

import "github.com/tidemill/tidemill/internal/catalog"

// connectorServer is the oid of the foreign server that sources and sinks belong to.
const connectorServer = 13200

func roleTables() []Table {
	const authid = `oid oid, rolname name, rolsuper bool, rolinherit bool, rolcreaterole bool, rolcreatedb bool, rolcanlogin bool,
		rolreplication bool, rolbypassrls bool, rolconnlimit int4, rolpassword text, rolvaliduntil timestamptz`
	return []Table{
		pg("pg_authid", 1260, authid, fillAuthID),
		pg("pg_roles", 12000, `rolname name, rolsuper bool, rolinherit bool, rolcreaterole bool, rolcreatedb bool, rolcanlogin bool,
			rolreplication bool, rolconnlimit int4, rolpassword text, rolvaliduntil timestamptz, rolbypassrls bool, rolconfig text[], oid oid`,
			fillRoles),
		pg("pg_user", 12001, "usename name, usesysid oid, usecreatedb bool, usesuper bool, userepl bool, usebypassrls bool, passwd text, valuntil timestamptz, useconfig text[]",
			fillUsers),
		pg("pg_auth_members", 1261, "oid oid, roleid oid, member oid, grantor oid, admin_option bool", nil),
		pg("pg_db_role_setting", 2964, "setdatabase oid, setrole oid, setconfig text[]", nil),
		pg("pg_database", 1262, `oid oid, datname name, datdba oid, encoding int4, datlocprovider char, datistemplate bool, datallowconn bool,
			datconnlimit int4, datfrozenxid xid, datminmxid xid, dattablespace oid, datcollate text, datctype text, daticulocale text,
			datcollversion text, datacl text[]`, func(e *Env, r *rows) {
			for i, d := range e.Databases {
				r.add(5+i, d, owner, 6, "c", false, true, -1, 0, 0, 1663, "C", "C", nil, nil, nil)
			}
		}),
		pg("pg_tablespace", 1213, "oid oid, spcname name, spcowner oid, spcacl text[], spcoptions text[]", func(_ *Env, r *rows) {
			r.add(1663, "pg_default", owner, nil, nil)
		}),
		pg("pg_am", 2601, "oid oid, amname name, amhandler regproc, amtype char", func(_ *Env, r *rows) {
			r.add(heap, "heap", "heap_tableam_handler", "t")
			r.add(btree, "btree", "bthandler", "i")
		}),
		pg("pg_language", 2612, "oid oid, lanname name, lanowner oid, lanispl bool, lanpltrusted bool, lanplcallfoid oid, laninline oid, lanvalidator oid, lanacl text[]",
			func(_ *Env, r *rows) { r.add(14, "sql", owner, false, true, 0, 0, 0, nil) }),
		pg("pg_foreign_server", 1417, "oid oid, srvname name, srvowner oid, srvfdw oid, srvtype text, srvversion text, srvacl text[], srvoptions text[]",
			func(_ *Env, r *rows) {
				r.add(connectorServer, "connector", owner, connectorServer+1, nil, nil, nil, nil)
			}),
		pg("pg_foreign_data_wrapper", 2328, "oid oid, fdwname name, fdwowner oid, fdwhandler oid, fdwvalidator oid, fdwacl text[], fdwoptions text[]",
			func(_ *Env, r *rows) { r.add(connectorServer+1, "connector", owner, 0, 0, nil, nil) }),
		pg("pg_settings", 12002, "name text, setting text, unit text, category text, short_desc text, extra_desc text, context text, vartype text, source text, min_val text, max_val text, enumvals text[], boot_val text, reset_val text, sourcefile text, sourceline int4, pending_restart bool",
			func(e *Env, r *rows) {
				for _, s := range e.Settings {
					r.add(s.Name, s.Value, nil, "Client Connection Defaults", s.Description, nil, "user", "string", "default", nil, nil, nil, s.Value, s.Value, nil, nil, false)
				}
			}),
		pg("pg_stat_activity", 12003, "datid oid, datname name, pid int4, usesysid oid, usename name, application_name text, client_addr text, client_hostname text, client_port int4, backend_start timestamptz, state text, query text, backend_type text",
			func(e *Env, r *rows) {
				for _, s := range e.Sessions {
					r.add(5, s.Database, s.PID, e.roleID(s.User), s.User, s.Application, s.Remote, nil, nil, s.StartedAt, s.State, s.Query, "client backend")
				}
			}),
		pg("pg_tables", 12010, "schemaname name, tablename name, tableowner name, tablespace name, hasindexes bool, hasrules bool, hastriggers bool, rowsecurity bool",
			func(e *Env, r *rows) {
				for _, rel := range e.Catalog.Relations() {
					if rel.Kind == catalog.Table || rel.Kind == catalog.Virtual {
						r.add(rel.Schema, rel.Name, Owner, nil, e.hasIndex(rel), false, false, false)
					}
				}
			}),
		pg("pg_views", 12011, "schemaname name, viewname name, viewowner name, definition text", fillViews(catalog.View)),
		pg("pg_matviews", 12012, "schemaname name, matviewname name, matviewowner name, tablespace name, hasindexes bool, ispopulated bool, definition text",
			func(e *Env, r *rows) {
				for _, rel := range e.Catalog.Relations() {
					if rel.Kind == catalog.MaterializedView {
						r.add(rel.Schema, rel.Name, Owner, nil, e.hasIndex(rel), true, rel.Query)
					}
				}
			}),
		pg("pg_indexes", 12013, "schemaname name, tablename name, indexname name, tablespace name, indexdef text", func(e *Env, r *rows) {
			for _, rel := range e.Catalog.Relations() {
				if rel.Kind == catalog.Index {
					def, _ := e.IndexDef(uint32(rel.ID), 0)
					r.add(rel.Schema, e.Catalog.ByID(rel.Index.On).Name, rel.Name, nil, def)
				}
			}
		}),
	}
}

func fillViews(kind catalog.Kind) func(*Env, *rows) {
	return func(e *Env, r *rows) {
		for _, rel := range e.Catalog.Relations() {
			if rel.Kind == kind {
				r.add(rel.Schema, rel.Name, Owner, rel.Query)
			}
		}
	}
}
