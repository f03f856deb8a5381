package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/tidemill/tidemill/internal/types"
)

func rel(k Kind, n string, deps ...ID) Command {
	return Command{Kind: CreateRelation, Relation: &Relation{Schema: "public", Name: n, Kind: k, DependsOn: deps,
		Columns: []Column{{Name: "a", Type: types.T(types.Int4)}}}}
}

func drop(k Kind, cascade bool, names ...string) Command {
	c := Command{Kind: DropRelations, Drops: k, Cascade: cascade}
	for _, n := range names {
		c.Targets = append(c.Targets, Target{"public", n})
	}
	return c
}

func must(t *testing.T, c *Catalog, cmds ...Command) (*Catalog, Effect) {
	t.Helper()
	var eff Effect
	var err error
	for _, cmd := range cmds {
		if c, eff, err = c.With(cmd); err != nil {
			t.Fatalf("%+v: %v", cmd, err)
		}
	}
	return c, eff
}

func fails(t *testing.T, c *Catalog, cmd Command, code, msg, detail string) {
	t.Helper()
	_, _, err := c.With(cmd)
	var e *types.Error
	if !errors.As(err, &e) || e.Code != code || e.Message != msg || e.Detail != detail {
		t.Fatalf("got %#v, want %s %q %q", err, code, msg, detail)
	}
}

func TestVersionsDoNotChange(t *testing.T) {
	c0 := New(nil)
	c1, eff := must(t, c0, rel(Table, "t"))
	if c0.Lookup([]string{"public"}, "", "t") != nil || c1.Lookup([]string{"public"}, "", "t") == nil {
		t.Fatal("t must be in the new version only")
	}
	if eff.Created[0] != FirstID || c1.NextID() != FirstID+1 || c1.Version() != 1 {
		t.Fatalf("ids: %v next %d", eff.Created, c1.NextID())
	}
	c2, _ := must(t, c1, drop(Table, false, "t"))
	if c1.ByID(FirstID) == nil || c2.ByID(FirstID) != nil {
		t.Fatal("drop must not touch the older version")
	}
	c3, eff := must(t, c2, rel(Table, "t"))
	if eff.Created[0] != FirstID+1 || c3.ByID(FirstID+1).Name != "t" {
		t.Fatal("an ID must never be used again")
	}
}

func TestDropDependents(t *testing.T) {
	c, _ := must(t, New(nil), rel(Table, "t"), rel(View, "v", FirstID), rel(MaterializedView, "m", FirstID+1), rel(View, "w", FirstID))
	fails(t, c, drop(Table, false, "t"), "2BP01", "cannot drop table t because other objects depend on it",
		"view v depends on table t\nmaterialized view m depends on view v\nview w depends on table t")
	fails(t, c, drop(View, false, "t"), "42809", `"t" is not a view`, "")
	c2, eff := must(t, c, drop(Table, true, "t"))
	var order []string
	for _, r := range eff.Dropped {
		order = append(order, r.Name)
	}
	if !reflect.DeepEqual(order, []string{"m", "v", "w", "t"}) {
		t.Fatalf("order %v", order)
	}
	if n := eff.Notices[0]; n.Message != "drop cascades to 3 other objects" ||
		n.Detail != "drop cascades to view v\ndrop cascades to materialized view m\ndrop cascades to view w" {
		t.Fatalf("%+v", n)
	}
	if len(c2.Relations()) != 0 {
		t.Fatal("left over")
	}
	// Named together, nothing is a surprise.
	if _, eff = must(t, c, drop(View, true, "w", "v")); len(eff.Notices) != 1 || eff.Notices[0].Message != "drop cascades to materialized view m" {
		t.Fatalf("%+v", eff.Notices)
	}
}

func TestPrimaryKeyIndex(t *testing.T) {
	cmd := rel(Table, "t")
	cmd.Relation.PrimaryKey, cmd.Relation.PrimaryKeyName = []int{0}, "t_pkey"
	c, eff := must(t, New(nil), cmd)
	x := c.ByID(eff.Created[1])
	if x == nil || x.Kind != Index || !x.Index.Primary || x.Index.On != FirstID {
		t.Fatalf("%+v", x)
	}
	fails(t, c, drop(Index, false, "t_pkey"), "2BP01", "cannot drop index t_pkey because constraint t_pkey on table t requires it", "")
	c, eff = must(t, c, drop(Table, false, "t"))
	if len(eff.Notices) != 0 || c.ByID(x.ID) != nil {
		t.Fatal("the index goes with its table, silently")
	}
}

func TestExists(t *testing.T) {
	c, _ := must(t, New(nil), rel(Table, "t"))
	again := rel(View, "t")
	fails(t, c, again, "42P07", `relation "t" already exists`, "")
	again.IfNotExists = true
	c2, eff := must(t, c, again)
	if c2 != c || !eff.Skipped || eff.Notices[0].Message != `relation "t" already exists, skipping` {
		t.Fatalf("%+v", eff)
	}
	fails(t, c, drop(Table, false, "x"), "42P01", `table "x" does not exist`, "")
	d := drop(Table, false, "x")
	d.IfExists = true
	if _, eff = must(t, c, d); !eff.Skipped || eff.Notices[0].Message != `table "x" does not exist, skipping` {
		t.Fatalf("%+v", eff)
	}
	if _, err := c.Resolve([]string{"public"}, "s", "x"); err == nil || err.Error() != `relation "s.x" does not exist` {
		t.Fatal(err)
	}
}

func TestSchemas(t *testing.T) {
	c, _ := must(t, New(nil), Command{Kind: CreateSchema, Schema: "s"})
	in := rel(Table, "t")
	in.Relation.Schema = "s"
	c, _ = must(t, c, in)
	if c.Lookup([]string{"public"}, "", "t") != nil || c.Lookup([]string{"s"}, "", "t") == nil {
		t.Fatal("search path")
	}
	fails(t, c, Command{Kind: DropSchemas, Targets: []Target{{Name: "s"}}}, "2BP01",
		"cannot drop schema s because other objects depend on it", "table s.t depends on schema s")
	c, eff := must(t, c, Command{Kind: DropSchemas, Cascade: true, Targets: []Target{{Name: "s"}}})
	if c.Schema("s") != nil || len(eff.Dropped) != 1 {
		t.Fatal("schema is still there")
	}
	fails(t, c, Command{Kind: CreateSchema, Schema: "public"}, "42P06", `schema "public" already exists`, "")
}

func TestVirtualsComeFirst(t *testing.T) {
	c := New([]Relation{{Schema: "pg_catalog", Name: "pg_class", ID: 1259}, {Schema: "tidemill", Name: "lag"}})
	c, _ = must(t, c, rel(Table, "pg_class"))
	if c.Lookup([]string{"public"}, "", "pg_class").ID != 1259 {
		t.Fatal("pg_catalog is searched first")
	}
	if c.Lookup([]string{"public", "pg_catalog"}, "", "pg_class").ID == 1259 {
		t.Fatal("unless the path says otherwise")
	}
	fails(t, c, Command{Kind: DropRelations, Drops: Table, Targets: []Target{{"tidemill", "lag"}}}, "42501",
		`permission denied: "lag" is a system catalog`, "")
}

func TestReplaceView(t *testing.T) {
	c, _ := must(t, New(nil), rel(View, "v"))
	r := rel(View, "v")
	r.OrReplace = true
	r.Relation.Columns = append(r.Relation.Columns, Column{Name: "b", Type: types.T(types.Text)})
	c2, _ := must(t, c, r)
	if got := c2.ByID(FirstID); len(got.Columns) != 2 {
		t.Fatal("not replaced")
	}
	r = rel(View, "v")
	r.OrReplace = true
	fails(t, c2, r, "42P16", "cannot drop columns from view", "")
}

// TestIDsThatWereSetAside: an object may get an ID below the next one, once.
func TestIDsThatWereSetAside(t *testing.T) {
	c := New(nil)
	aside := c.NextID()
	table := rel(Table, "t")
	table.First = aside + 1
	c, eff := must(t, c, table)
	if eff.Created[0] != aside+1 || c.NextID() <= aside+1 {
		t.Fatalf("created %v, next %d", eff.Created, c.NextID())
	}
	next := c.NextID()
	late := rel(View, "v")
	late.First = aside
	c, eff = must(t, c, late)
	if eff.Created[0] != aside || c.NextID() != next || c.ByID(aside).Name != "v" {
		t.Fatalf("created %v, next %d, then %d", eff.Created, next, c.NextID())
	}
	again := rel(View, "w")
	again.First = aside
	fails(t, c, again, types.CodeInternal, fmt.Sprintf("relation %d is there already", aside), "")
	if _, eff = must(t, c, rel(View, "w")); eff.Created[0] != next {
		t.Fatal(eff.Created)
	}
}

func TestCommandsRoundTrip(t *testing.T) {
	cmd := rel(Table, "t", 1, 2)
	cmd.SQL, cmd.IfNotExists = "create table t (a int)", true
	r := cmd.Relation
	r.PrimaryKey, r.PrimaryKeyName = []int{0}, "t_pkey"
	r.Checks = []Check{{"t_a_check", "a > 0"}}
	r.Options = []Option{{"connector", "nats"}}
	r.Watermark = &Watermark{0, "a - interval '5 s'"}
	r.Format = &Format{"plain", "json", []Option{{"x", "y"}}}
	raw, err := json.Marshal(cmd)
	if err != nil {
		t.Fatal(err)
	}
	var back Command
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(cmd, back) {
		t.Fatalf("%v\n%+v\n%+v", err, cmd, back)
	}
}
