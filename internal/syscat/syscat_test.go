package syscat_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/syscat"
	"github.com/tidemill/tidemill/internal/types"
)

// sample is a catalog with a table, an index and a materialized view.
func sample(t *testing.T) *syscat.Env {
	t.Helper()
	var virtual []catalog.Relation
	for _, table := range syscat.Tables() {
		virtual = append(virtual, table.Relation)
	}
	c := catalog.New(virtual)
	apply := func(rel *catalog.Relation) {
		next, _, err := c.With(catalog.Command{Kind: catalog.CreateRelation, Relation: rel})
		if err != nil {
			t.Fatal(err)
		}
		c = next
	}
	num := types.Type{Kind: types.Numeric, Mod: (10<<16 | 2) + 4}
	apply(&catalog.Relation{Schema: "public", Name: "accounts", Kind: catalog.Table, PrimaryKey: []int{0}, PrimaryKeyName: "accounts_pkey",
		Columns: []catalog.Column{{Name: "id", Type: types.T(types.Int8), NotNull: true}, {Name: "Balance", Type: num, Default: "0"}},
		Checks:  []catalog.Check{{Name: "positive", SQL: `"Balance" >= 0`}}})
	table := c.Lookup(nil, "public", "accounts")
	apply(&catalog.Relation{Schema: "public", Name: "by_balance", Kind: catalog.Index, DependsOn: []catalog.ID{table.ID},
		Columns: table.Columns[1:], Index: &catalog.IndexDef{On: table.ID, Keys: []int{1}, Desc: []bool{true}}})
	return &syscat.Env{Catalog: c, Database: "tidemill", Databases: []string{"tidemill"}}
}

// find returns the text of column want in the only row of a table whose column key has text value.
func find(t *testing.T, e *syscat.Env, table, key, value, want string) string {
	t.Helper()
	for _, tb := range syscat.Tables() {
		if tb.Relation.Name != table {
			continue
		}
		b := tb.Rows(e)
		k, w := tb.Relation.Column(key), tb.Relation.Column(want)
		for i := range b.N {
			if string(types.AppendText(nil, b.Cols[k].Value(i), types.Style{})) == value {
				return string(types.AppendText(nil, b.Cols[w].Value(i), types.Style{}))
			}
		}
		t.Fatalf("%s has no row with %s = %s", table, key, value)
	}
	t.Fatalf("no table %s", table)
	return ""
}

func TestTablesDescribeTheCatalog(t *testing.T) {
	e := sample(t)
	for _, c := range []struct{ table, key, value, want, expect string }{
		{"pg_class", "relname", "accounts", "relkind", "r"},
		{"pg_class", "relname", "accounts", "relhasindex", "t"},
		{"pg_class", "relname", "by_balance", "relkind", "i"},
		{"pg_class", "relname", "pg_type", "relnamespace", "11"},
		{"pg_attribute", "attname", "Balance", "atttypmod", "655366"},
		{"pg_attribute", "attname", "Balance", "atthasdef", "t"},
		{"pg_attrdef", "adnum", "2", "adbin", "0"},
		{"pg_constraint", "conname", "positive", "contype", "c"},
		{"pg_constraint", "conname", "accounts_pkey", "conkey", "{1}"},
		{"pg_type", "typname", "numeric", "oid", "1700"},
		{"pg_type", "typname", "_int4", "typelem", "23"},
		{"columns", "column_name", "Balance", "numeric_scale", "2"},
		{"columns", "table_name", "accounts", "is_nullable", "NO"},
		{"tables", "table_name", "accounts", "table_type", "BASE TABLE"},
	} {
		if got := find(t, e, c.table, c.key, c.value, c.want); got != c.expect {
			t.Errorf("%s: %s of %s is %q, want %q", c.table, c.want, c.value, got, c.expect)
		}
	}
}

func TestDefinitionsPrintAsPostgreSQLDoes(t *testing.T) {
	e := sample(t)
	var index, key uint32
	for _, r := range e.Catalog.Relations() {
		switch r.Name {
		case "by_balance":
			index = uint32(r.ID)
		case "accounts":
			key = uint32(r.ID) | 1<<30
		}
	}
	for _, c := range []struct {
		oid  uint32
		n    int
		want string
	}{
		{index, 0, `CREATE INDEX by_balance ON public.accounts USING btree ("Balance" DESC)`},
		{index, 1, `"Balance"`},
		{key, 0, `CREATE UNIQUE INDEX accounts_pkey ON public.accounts USING btree (id)`},
	} {
		if got, ok := e.IndexDef(c.oid, c.n); !ok || got != c.want {
			t.Errorf("IndexDef(%d, %d) = %q, want %q", c.oid, c.n, got, c.want)
		}
	}
	if got, ok := e.ConstraintDef(1<<31 + (key&^(1<<30))<<8 + 1); !ok || got != `CHECK (("Balance" >= 0))` {
		t.Errorf("ConstraintDef = %q", got)
	}
}

// TestEveryTableFills runs every table over the sample: a row of the wrong length or
// type panics.
func TestEveryTableFills(t *testing.T) {
	e := sample(t)
	e.Sources = []syscat.SourceInfo{{Name: "s"}}
	e.Views = []syscat.ViewInfo{{Name: "v"}}
	e.Sinks = []syscat.SinkInfo{{Name: "k"}}
	e.Quarantine = []syscat.QuarantineRow{{Source: "s", Data: []byte("x")}}
	e.Errors = []syscat.ErrorRow{{View: "v"}}
	e.Storage = []syscat.StorageInfo{{Kind: "log", Bytes: -1}}
	e.Recovery = []syscat.RecoveryInfo{{Phase: "ready", Since: types.IntValue(types.TimestampTZ, 0), Took: types.NullOf(types.T(types.Interval))}}
	at, none := types.IntValue(types.TimestampTZ, 0), types.NullOf(types.T(types.Interval))
	e.Nodes = []syscat.NodeInfo{{Name: "a", Started: at, Seen: at}}
	e.Replicas = []syscat.ReplicaInfo{{Pipeline: "p", Node: "a", Role: "leader", Behind: none}, {Pipeline: "p", Node: "b", Role: "standby", Behind: none}}
	e.Builds = []syscat.BuildInfo{{Name: "v", Since: types.IntValue(types.TimestampTZ, 0)}}
	e.Settings = []syscat.Setting{{Name: "TimeZone", Value: "UTC"}}
	e.Sessions = []syscat.Session{{PID: 1}}
	seen := map[catalog.ID]string{}
	for _, tb := range syscat.Tables() {
		if old := seen[tb.Relation.ID]; old != "" {
			t.Errorf("%s and %s have the same oid %d", old, tb.Relation.Name, tb.Relation.ID)
		}
		seen[tb.Relation.ID] = tb.Relation.Name
		tb.Rows(e)
	}
}
