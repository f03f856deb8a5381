package syscat

import (
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
)

func constraintTables() []Table {
	return []Table{
		pg("pg_index", 2610, `indexrelid oid, indrelid oid, indnatts int2, indnkeyatts int2, indisunique bool, indnullsnotdistinct bool,
			indisprimary bool, indisexclusion bool, indimmediate bool, indisclustered bool, indisvalid bool, indcheckxmin bool,
			indisready bool, indislive bool, indisreplident bool, indkey int2[], indcollation oid[], indclass oid[], indoption int2[],
			indexprs text, indpred text`, fillIndex),
		pg("pg_constraint", 2606, `oid oid, conname name, connamespace oid, contype char, condeferrable bool, condeferred bool, convalidated bool,
			conrelid oid, contypid oid, conindid oid, conparentid oid, confrelid oid, confupdtype char, confdeltype char, confmatchtype char,
			conislocal bool, coninhcount int4, connoinherit bool, conkey int2[], confkey int2[], conpfeqop oid[], conppeqop oid[],
			conffeqop oid[], confdelsetcols int2[], conexclop oid[], conbin text`, fillConstraint),
	}
}

// attnums prints column indexes as attribute numbers; -1 (an expression) is 0.
func attnums(cols []int) []string {
	out := []string{}
	for _, c := range cols {
		out = append(out, itoa(c+1))
	}
	return out
}

func itoa(n int) string {
	if n < 0 {
		return "-" + itoa(-n)
	}
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func fillIndex(e *Env, r *rows) {
	index := func(id, on catalog.ID, keys []int, unique, primary bool) {
		zeros := strings.Fields(strings.Repeat("0 ", len(keys)))
		r.add(id, on, len(keys), len(keys), unique, false, primary, false, true, false, true, false, true, true, false, attnums(keys), zeros, zeros, zeros, nil, nil)
	}
	for _, rel := range e.Catalog.Relations() {
		if rel.Kind == catalog.Index {
			index(rel.ID, rel.Index.On, rel.Index.Keys, rel.Index.Unique, rel.Index.Primary)
		}
		if rel.PrimaryKey != nil && e.primaryIndex(rel) == nil {
			index(indexID(rel), rel.ID, rel.PrimaryKey, true, true)
		}
	}
}

func fillConstraint(e *Env, r *rows) {
	constraint := func(id catalog.ID, rel *catalog.Relation, name, kind string, index catalog.ID, key []int, bin any) {
		r.add(id, name, e.schemaID(rel.Schema), kind, false, false, true, rel.ID, 0, index, 0, 0, "", "", "", true, 0, false,
			attnums(key), nil, nil, nil, nil, nil, nil, bin)
	}
	for _, rel := range e.Catalog.Relations() {
		if rel.PrimaryKey != nil {
			constraint(primaryID(rel), rel, rel.PrimaryKeyName, "p", e.primaryIndexID(rel), rel.PrimaryKey, nil)
		}
		for i, c := range rel.Checks {
			constraint(checkID(rel, i), rel, c.Name, "c", 0, nil, c.SQL)
		}
	}
}

// columnList prints the named columns of rel, quoted where needed.
func columnList(rel *catalog.Relation, cols []int) string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = catalog.QuoteIdent(rel.Columns[c].Name)
	}
	return strings.Join(names, ", ")
}

// ConstraintDef prints a constraint as pg_get_constraintdef does; ok is false for an
// unknown oid.
func (e *Env) ConstraintDef(oid uint32) (def string, ok bool) {
	for _, rel := range e.Catalog.Relations() {
		if rel.PrimaryKey != nil && primaryID(rel) == catalog.ID(oid) {
			return "PRIMARY KEY (" + columnList(rel, rel.PrimaryKey) + ")", true
		}
		for i, c := range rel.Checks {
			if checkID(rel, i) == catalog.ID(oid) {
				return "CHECK ((" + c.SQL + "))", true
			}
		}
	}
	return "", false
}

// IndexDef prints an index as pg_get_indexdef does, or its n-th column for n > 0.
func (e *Env) IndexDef(oid uint32, n int) (def string, ok bool) {
	for _, rel := range e.Catalog.Relations() {
		switch {
		case rel.Kind == catalog.Index && rel.ID == catalog.ID(oid):
			return e.indexDef(rel.Name, e.Catalog.ByID(rel.Index.On), rel.Index, n), true
		case rel.PrimaryKey != nil && indexID(rel) == catalog.ID(oid):
			return e.indexDef(rel.PrimaryKeyName, rel, &catalog.IndexDef{Keys: rel.PrimaryKey, Unique: true}, n), true
		}
	}
	return "", false
}

func (e *Env) indexDef(name string, on *catalog.Relation, x *catalog.IndexDef, n int) string {
	var cols []string
	exprs := x.Exprs
	for i, k := range x.Keys {
		var col string
		if k >= 0 {
			col = catalog.QuoteIdent(on.Columns[k].Name)
		} else {
			col, exprs = "("+exprs[0]+")", exprs[1:]
		}
		if n == 0 && i < len(x.Desc) && x.Desc[i] {
			col += " DESC"
		}
		cols = append(cols, col)
	}
	if n > 0 {
		if n > len(cols) {
			return ""
		}
		return cols[n-1]
	}
	unique := ""
	if x.Unique {
		unique = "UNIQUE "
	}
	return "CREATE " + unique + "INDEX " + catalog.QuoteIdent(name) + " ON " + catalog.QuoteIdent(on.Schema) + "." +
		catalog.QuoteIdent(on.Name) + " USING btree (" + strings.Join(cols, ", ") + ")"
}
