package catalog

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/types"
)

// full returns a catalog with objects of every kind, some of them gone again.
func full(t *testing.T, virtuals []Relation) *Catalog {
	t.Helper()
	keyed := rel(Table, "keyed")
	keyed.Relation.PrimaryKey, keyed.Relation.PrimaryKeyName = []int{0}, "keyed_pkey"
	keyed.Relation.Checks = []Check{{"positive", "a > 0"}}
	keyed.Relation.Columns[0].Default, keyed.Relation.Columns[0].NotNull = "7", true
	src := rel(Source, "src")
	src.Relation.Columns = append(src.Relation.Columns, Column{Name: "at", Type: types.Type{Kind: types.Timestamp, Mod: 4}, ProcTime: true, Generated: "PROCTIME()"},
		Column{Name: "l", Type: types.Type{Kind: types.Array, Elem: types.Int8}})
	src.Relation.AppendOnly, src.Relation.Watermark = true, &Watermark{1, "at - INTERVAL '5 s'"}
	src.Relation.Options = []Option{{"connector", "http"}, {"quote", "\"'\\"}}
	src.Relation.Format = &Format{Format: "PLAIN", Encode: "JSON", Options: []Option{{"x", "y"}}}
	fn := Command{Kind: CreateRelation, Relation: &Relation{Schema: "public", Name: "twice", Kind: Function,
		Function: &FunctionDef{Params: []FunctionParam{{"x", types.T(types.Int4)}}, Returns: types.T(types.Int4), Body: "x * 2", Strict: true}}}
	view := rel(MaterializedView, "mv", FirstID, FirstID+2)
	view.Relation.TimeColumns, view.Relation.Growth, view.Relation.Unbounded = []int{0}, 2, []string{"a join"}
	view.Relation.SearchPath, view.Relation.Query = []string{"public", "s"}, "SELECT 'ä€\n'"
	index := rel(Index, "mv_x", FirstID+4)
	index.Relation.Index = &IndexDef{On: FirstID + 4, Keys: []int{-1, 0}, Desc: []bool{true, false}, Exprs: []string{"lower(a)"}}
	sink := rel(Sink, "out", FirstID+4)
	sink.Relation.From = FirstID + 4
	c, _ := must(t, New(virtuals), keyed, src, fn, view, index, sink, rel(View, "v", FirstID),
		Command{Kind: CreateSchema, Schema: "s"}, rel(Table, "gone"), drop(Table, false, "gone"),
		Command{Kind: SetComment, Targets: []Target{{"public", "keyed"}}, Column: "a", Comment: "what it is"})
	return c
}

func TestDecodeGivesWhatWasEncoded(t *testing.T) {
	virtuals := []Relation{{Schema: CatalogSchema, Name: "pg_class"}}
	c := full(t, virtuals)
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data, virtuals)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, c) {
		t.Fatalf("got %+v\nwant %+v", got, c)
	}
	// They go on alike.
	a, effA := must(t, c, rel(Table, "next"))
	b, effB := must(t, got, rel(Table, "next"))
	if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(effA, effB) {
		t.Fatal("the next command has another effect")
	}
}

func TestDecodeRefuses(t *testing.T) {
	data, err := full(t, nil).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, cs := range []struct{ old, with, want string }{
		{`"Format":1`, `"Format":2`, "version 2"},
		{`"NextID":`, `"NextID":1,"X":`, "next object"},
		{`"NextID":`, `"NextID":16386,"X":`, "cannot be"},
		{`"Name":"mv"`, `"Name":"src"`, "two objects"},
		{`"Schema":"public"`, `"Schema":"nowhere"`, "cannot be"},
		{`{`, `[`, "decode catalog"},
	} {
		bad := strings.Replace(string(data), cs.old, cs.with, 1)
		if bad == string(data) {
			t.Fatalf("%s is not in %s", cs.old, data)
		}
		if _, err := Decode([]byte(bad), nil); err == nil || !strings.Contains(err.Error(), cs.want) {
			t.Errorf("%s for %s: %v", cs.with, cs.old, err)
		}
	}
}
