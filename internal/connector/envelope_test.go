package connector_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

var envelopeColumns = []connector.Column{{Name: "id", Type: types.T(types.Int4)}, {Name: "n", Type: types.T(types.Text)}}

func envelope(t *testing.T, options map[string]string) *connector.Envelope {
	t.Helper()
	e, err := readEnvelope(options, envelopeColumns, true)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func readEnvelope(options map[string]string, cols []connector.Column, appendOnly bool) (*connector.Envelope, error) {
	return connector.ReadEnvelope(connector.Config{Name: "s", Columns: cols, AppendOnly: appendOnly}, connector.NewOptions("test sink", options))
}

// row is a change of (id, n); n "" is NULL.
type row struct {
	id     int64
	n      string
	weight int64
}

func changes(rows ...row) *batch.Batch {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int4), types.T(types.Text)})
	for _, r := range rows {
		n := types.TextValue(r.n)
		if r.n == "" {
			n = types.NullOf(n.T)
		}
		bu.AppendRow([]types.Value{types.IntValue(types.Int4, r.id), n}, r.weight)
	}
	return batch.Consolidate(bu.View())
}

// lines are the records of a step.
func lines(t *testing.T, e *connector.Envelope, b *batch.Batch, form func(dst []byte, b *batch.Batch, r connector.Record, step uint64, index int) []byte) []string {
	t.Helper()
	var out []string
	err := e.Each(b, func(index int, r connector.Record) error {
		if index != len(out) {
			t.Errorf("record %d has index %d", len(out), index)
		}
		out = append(out, strings.TrimSuffix(string(form(nil, b, r, 7, index)), "\n"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEnvelopes(t *testing.T) {
	mixed := changes(row{1, "a", -1}, row{1, "b", 1}, row{2, "x", 1}, row{3, "y", -1}, row{4, "p", 1}, row{4, "q", 1}, row{5, "", 2})
	added := changes(row{1, "a,b", 1}, row{2, "", 2})
	for _, x := range []struct {
		options string
		b       *batch.Batch
		json    []string
		csv     []string // nil: none
	}{
		{"", changes(row{1, "a", -2}, row{2, "", 1}), []string{`{"_step":7,"_index":0,"_weight":-2,"id":1,"n":"a"}`, `{"_step":7,"_index":1,"_weight":1,"id":2,"n":null}`},
			[]string{"7,0,-2,1,a", "7,1,1,2,"}},
		{"envelope=upsert key=id", mixed, []string{
			`{"_step":7,"_index":0,"_op":"upsert","id":1,"n":"b"}`, `{"_step":7,"_index":1,"_op":"upsert","id":2,"n":"x"}`,
			`{"_step":7,"_index":2,"_op":"delete","id":3}`, `{"_step":7,"_index":3,"_op":"key_violation","id":4}`,
			`{"_step":7,"_index":4,"_op":"key_violation","id":5}`},
			[]string{"7,0,upsert,1,b", "7,1,upsert,2,x", "7,2,delete,3,", "7,3,key_violation,4,", "7,4,key_violation,5,"}},
		{"envelope=upsert key=n,id", changes(row{1, "b", 1}, row{2, "a", -1}), []string{
			`{"_step":7,"_index":0,"_op":"delete","n":"a","id":2}`, `{"_step":7,"_index":1,"_op":"upsert","id":1,"n":"b"}`},
			[]string{"7,0,delete,2,a", "7,1,upsert,1,b"}},
		{"envelope=debezium key=id", mixed, []string{
			`{"_step":7,"_index":0,"op":"u","key":{"id":1},"before":{"id":1,"n":"a"},"after":{"id":1,"n":"b"}}`,
			`{"_step":7,"_index":1,"op":"c","key":{"id":2},"before":null,"after":{"id":2,"n":"x"}}`,
			`{"_step":7,"_index":2,"op":"d","key":{"id":3},"before":{"id":3,"n":"y"},"after":null}`,
			`{"_step":7,"_index":3,"op":"key_violation","key":{"id":4},"before":null,"after":null}`,
			`{"_step":7,"_index":4,"op":"key_violation","key":{"id":5},"before":null,"after":null}`}, nil},
		{"envelope=append-only", added, []string{`{"_step":7,"_index":0,"id":1,"n":"a,b"}`, `{"_step":7,"_index":1,"id":2,"n":null}`, `{"_step":7,"_index":2,"id":2,"n":null}`},
			[]string{`7,0,1,"a,b"`, "7,1,2,", "7,2,2,"}},
	} {
		options := map[string]string{}
		for _, o := range strings.Fields(x.options) {
			name, value, _ := strings.Cut(o, "=")
			options[name] = value
		}
		e := envelope(t, options)
		got := lines(t, e, x.b, e.AppendJSON)
		if !reflect.DeepEqual(got, x.json) {
			t.Errorf("%s\ngot  %s\nwant %s", x.options, strings.Join(got, "\n     "), strings.Join(x.json, "\n     "))
		}
		for _, l := range got {
			if !json.Valid([]byte(l)) {
				t.Errorf("%s: no JSON: %s", x.options, l)
			}
		}
		if x.csv == nil {
			continue
		}
		if got := lines(t, e, x.b, e.AppendCSV); !reflect.DeepEqual(got, x.csv) {
			t.Errorf("%s\ngot  %q\nwant %q", x.options, got, x.csv)
		}
	}
	e := envelope(t, map[string]string{"envelope": "plain"})
	if got := lines(t, e, added, e.AppendBody); fmt.Sprint(got) != `[{"id":1,"n":"a,b"} {"id":2,"n":null} {"id":2,"n":null}]` {
		t.Errorf("bodies: %q", got)
	}
}

func TestEnvelopeOptions(t *testing.T) {
	for _, x := range []struct {
		options map[string]string
		column  string // name of the second column
		message string
	}{
		{map[string]string{"envelope": "avro"}, "n", `invalid value "avro" for option "envelope" of test sink: want changes, upsert, debezium, append-only, plain`},
		{map[string]string{"envelope": "upsert"}, "n", `test sink needs option "key"`},
		{map[string]string{"envelope": "upsert", "key": "id,x"}, "n", `invalid value "id,x" for option "key" of test sink: want columns with commas, such as 'id,n'`},
		{map[string]string{"envelope": "debezium", "key": "id, id"}, "n", `invalid value "id, id" for option "key"`},
		{map[string]string{"key": "id"}, "n", `envelope "changes" has no key`},
		{map[string]string{"envelope": "append-only"}, "n", `rows of sink "s" may be withdrawn, which envelope append-only cannot tell`},
		{map[string]string{"envelope": "plain"}, "n", `rows of sink "s" may be withdrawn`},
		{map[string]string{}, "_weight", `column "_weight" has the name of a member that sinks add`},
		{map[string]string{"envelope": "upsert", "key": "id"}, "_op", `column "_op" has the name`},
		{map[string]string{"envelope": "upsert", "key": "id"}, "_weight", ""},
		{map[string]string{"envelope": "debezium", "key": "id"}, "_op", ""},
		{map[string]string{"speed": "1"}, "n", `unknown option "speed" of test sink`},
	} {
		cols := []connector.Column{envelopeColumns[0], {Name: x.column, Type: types.T(types.Text)}}
		_, err := readEnvelope(x.options, cols, false)
		if x.message == "" && err != nil || x.message != "" && (err == nil || !strings.Contains(err.Error(), x.message)) {
			t.Errorf("%v, column %s: %v, want %s", x.options, x.column, err, x.message)
		}
	}
}

// TestEnvelopesLeadToTheRows applies the records of random histories of a keyed table: they
// lead to its rows, and each before is what was there.
func TestEnvelopesLeadToTheRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	up := envelope(t, map[string]string{"envelope": "upsert", "key": "id"})
	deb := envelope(t, map[string]string{"envelope": "debezium", "key": "id"})
	table, byUpsert, byDebezium := map[int64]string{}, map[int64]string{}, map[int64]string{}
	for step := range 300 {
		var step1 []row
		for range 1 + rng.IntN(6) {
			id := rng.Int64N(8)
			if old, ok := table[id]; ok {
				step1 = append(step1, row{id, old, -1})
				delete(table, id)
			}
			if rng.IntN(3) > 0 {
				table[id] = fmt.Sprint("v", rng.IntN(4))
				step1 = append(step1, row{id, table[id], 1})
			}
		}
		b := changes(step1...)
		for _, l := range lines(t, up, b, up.AppendJSON) {
			var r struct {
				Op string `json:"_op"`
				ID int64
				N  *string
			}
			if err := json.Unmarshal([]byte(l), &r); err != nil {
				t.Fatal(err)
			}
			if delete(byUpsert, r.ID); r.Op == "upsert" {
				byUpsert[r.ID] = *r.N
			}
		}
		type whole struct {
			ID int64
			N  string
		}
		for _, l := range lines(t, deb, b, deb.AppendJSON) {
			var r struct{ Before, After *whole }
			if err := json.Unmarshal([]byte(l), &r); err != nil {
				t.Fatal(err)
			}
			if r.Before != nil {
				if was, ok := byDebezium[r.Before.ID]; !ok || was != r.Before.N {
					t.Fatalf("step %d: before %+v, there was %q", step, *r.Before, was)
				}
				delete(byDebezium, r.Before.ID)
			}
			if r.After != nil {
				if _, ok := byDebezium[r.After.ID]; ok {
					t.Fatalf("step %d: %+v comes over another row", step, *r.After)
				}
				byDebezium[r.After.ID] = r.After.N
			}
		}
		if !reflect.DeepEqual(byUpsert, table) || !reflect.DeepEqual(byDebezium, table) {
			t.Fatalf("step %d: upsert %v, debezium %v, want %v", step, byUpsert, byDebezium, table)
		}
	}
}
