package datagen

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

const created = 800_000_000 * microsPerS

func source(t *testing.T, cols []connector.Column, options map[string]string) *Source {
	t.Helper()
	s, err := New(connector.Config{Name: "g", Columns: cols, Options: options, Created: created})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, s *Source, cols []connector.Column, from, to uint64) []string {
	t.Helper()
	var ts []types.Type
	for _, c := range cols {
		ts = append(ts, c.Type)
	}
	bu := batch.NewBuilder(ts)
	if err := s.Read(from, to, bu); err != nil {
		t.Fatal(err)
	}
	var rows []string
	b := bu.View()
	if b.N != int(to-from) {
		t.Fatalf("%d rows of [%d, %d)", b.N, from, to)
	}
	for i := range b.N {
		var fields []string
		for _, v := range b.RowValues(i) {
			if v.Null {
				fields = append(fields, `\N`)
			} else {
				fields = append(fields, string(types.AppendText(nil, v, types.Style{})))
			}
		}
		rows = append(rows, strings.Join(fields, "|"))
	}
	return rows
}

var all = func() []connector.Column {
	var cols []connector.Column
	for _, k := range []types.Kind{types.Bool, types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric, types.Text, types.Varchar, types.Date,
		types.Time, types.Timestamp, types.TimestampTZ, types.Interval, types.Bytea} {
		cols = append(cols, connector.Column{Name: strings.ReplaceAll(types.T(k).String(), " ", "_"), Type: types.T(k)})
	}
	return cols
}()

// TestRowsFollowFromPosition cuts the same rows differently.
func TestRowsFollowFromPosition(t *testing.T) {
	opts := map[string]string{"seed": "7", "fields.text.null_rate": "0.3", "fields.bigint.null_rate": "0.5", "fields.date.max_past": "9000h"}
	s := source(t, all, opts)
	whole := read(t, s, all, 0, 500)
	again := source(t, all, opts)
	var cut []string
	for from := uint64(0); from < 500; {
		to := min(500, from+1+from%37)
		cut = append(cut, read(t, again, all, from, to)...)
		from = to
	}
	if strings.Join(whole, "\n") != strings.Join(cut, "\n") {
		t.Error("rows depend on how they are cut")
	}
	if late := read(t, s, all, 490, 500); strings.Join(late, "\n") != strings.Join(whole[490:], "\n") {
		t.Error("rows depend on what was read before")
	}
	opts["seed"] = "8"
	if other := read(t, source(t, all, opts), all, 0, 500); strings.Join(whole, "\n") == strings.Join(other, "\n") {
		t.Error("the seed has no effect")
	}
	distinct := map[string]bool{}
	for _, r := range whole {
		distinct[r] = true
	}
	if len(distinct) != 500 {
		t.Errorf("%d distinct rows of 500", len(distinct))
	}
}

func TestFields(t *testing.T) {
	varchar5 := types.Type{Kind: types.Varchar, Mod: 9}
	num52 := types.Type{Kind: types.Numeric, Mod: types.NumericMod(5, 2)}
	for _, c := range []struct {
		typ  types.Type
		opts string // comma-separated, of column "c D"
		want func(v types.Value, text string, i int) bool
	}{
		{types.T(types.Int4), "kind=sequence,start=5", func(v types.Value, _ string, i int) bool { return v.I == int64(5+i) }},
		{types.T(types.Int8), "min=-3,max=3", func(v types.Value, _ string, i int) bool { return v.I >= -3 && v.I <= 3 }},
		{types.T(types.Int8), "min=-9223372036854775808,max=9223372036854775807", func(v types.Value, _ string, i int) bool { return v.I > 100 || v.I < -100 }},
		{types.T(types.Int2), "min=7,max=7", func(v types.Value, _ string, i int) bool { return v.I == 7 }},
		{types.T(types.Float8), "min=-1.5,max=2.5", func(v types.Value, _ string, i int) bool { return v.F >= -1.5 && v.F <= 2.5 }},
		{types.T(types.Float8), "kind=sequence,start=0.5", func(v types.Value, _ string, i int) bool { return v.F == 0.5+float64(i) }},
		{types.T(types.Numeric), "min=1.50,max=1.75", func(v types.Value, s string, i int) bool { return s >= "1.50" && s <= "1.75" && len(s) == 4 }},
		{num52, "", func(v types.Value, s string, i int) bool { return v.D.Scale == 2 && v.D.Hi == 0 && v.D.Lo <= 99999 }},
		{num52, "kind=sequence,start=3", func(v types.Value, s string, i int) bool {
			return s == []string{"3.00", "4.00", "5.00"}[min(i, 2)] || i > 2
		}},
		{types.T(types.Text), "length=200", func(v types.Value, s string, i int) bool { return len(s) == 200 }},
		{types.T(types.Text), "kind=sequence,start=9", func(v types.Value, s string, i int) bool { return i > 1 || s == []string{"9", "10"}[i] }},
		{varchar5, "", func(v types.Value, s string, i int) bool { return len(s) == 5 }},
		{types.T(types.Timestamp), "", func(v types.Value, s string, i int) bool { return v.I == created+int64(i)*100_000 }},
		{types.T(types.Timestamp), "start=2000-01-02 00:00:00", func(v types.Value, s string, i int) bool { return v.I == 86400*microsPerS+int64(i)*100_000 }},
		{types.T(types.Timestamp), "max_past=10s", func(v types.Value, s string, i int) bool {
			at := created + int64(i)*100_000
			return v.I <= at && v.I >= at-10*microsPerS
		}},
		{types.T(types.Date), "", func(v types.Value, s string, i int) bool { return s == "2025-05-08" }},
		{types.T(types.Time), "min=10:00,max=11:00", func(v types.Value, s string, i int) bool { return s >= "10:00" && s <= "11:00:00" }},
		{types.T(types.Bool), "null_rate=1", func(v types.Value, s string, i int) bool { return v.Null }},
	} {
		opts := map[string]string{}
		for _, kv := range strings.Split(c.opts, ",") {
			if k, v, ok := strings.Cut(kv, "="); ok {
				opts["fields.c d."+k] = v
			}
		}
		cols := []connector.Column{{Name: "c D", Type: c.typ}}
		s, err := New(connector.Config{Name: "g", Columns: cols, Options: opts, Created: created})
		if err != nil {
			t.Errorf("%s %q: %v", c.typ, c.opts, err)
			continue
		}
		bu := batch.NewBuilder([]types.Type{c.typ})
		if err := s.Read(0, 300, bu); err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			v := bu.View().Cols[0].Value(i)
			if text := string(types.AppendText(nil, v, types.Style{})); !c.want(v, text, i) {
				t.Errorf("%s %q: row %d is %q", c.typ, c.opts, i, text)
				break
			}
		}
	}
}

func TestNullRate(t *testing.T) {
	cols := []connector.Column{{Name: "a", Type: types.T(types.Int8)}, {Name: "g", Type: types.T(types.Int8), Generated: true}}
	nulls := 0
	for _, r := range read(t, source(t, cols, map[string]string{"fields.a.null_rate": "0.25"}), cols, 0, 40000) {
		if strings.HasPrefix(r, `\N|`) {
			nulls++
		}
		if !strings.HasSuffix(r, `|\N`) {
			t.Fatal("a generated column has a value")
		}
	}
	if nulls < 9700 || nulls > 10300 {
		t.Errorf("%d of 40000 are NULL", nulls)
	}
}

func TestAvailable(t *testing.T) {
	cols := []connector.Column{{Name: "a", Type: types.T(types.Int8)}}
	s := source(t, cols, map[string]string{"rate": "1000"})
	for _, c := range []struct {
		now  int64
		want uint64
	}{{created, 0}, {created - 5, 0}, {created + 999, 0}, {created + 1000, 1}, {created + microsPerS, 1000}, {created + 3600*microsPerS + 1500, 3600_001}, {math.MaxInt64, 9222572036854775}} {
		if got := s.Available(created, c.now); got != c.want {
			t.Errorf("at %d: %d, want %d", c.now-created, got, c.want)
		}
	}
	if got := s.Available(math.MinInt64, math.MaxInt64); got != 18446744073709551 {
		t.Errorf("whole of time: %d", got)
	}
	fast := source(t, cols, map[string]string{"rate": "100000000", "rows": "12"})
	if got := fast.Available(math.MinInt64, math.MaxInt64); got != 12 {
		t.Errorf("limited: %d", got)
	}
	seq := source(t, cols, map[string]string{"fields.a.kind": "sequence", "fields.a.start": "10", "fields.a.end": "19"})
	if got := seq.Available(0, math.MaxInt64); got != 10 {
		t.Errorf("sequence of 10 gives %d", got)
	}
	if err := seq.Read(5, 11, batch.NewBuilder([]types.Type{types.T(types.Int8)})); err == nil {
		t.Error("rows behind the end can be read")
	}
	// A row is never dated after the moment it is available.
	ts := []connector.Column{{Name: "t", Type: types.T(types.Timestamp)}}
	odd := source(t, ts, map[string]string{"rate": "7"})
	for now := int64(created); now < created+3*microsPerS; now += 12345 {
		if n := odd.Available(created, now); n > 0 && odd.at(n-1) > now {
			t.Fatalf("row %d of %d at %d", n-1, odd.at(n-1), now)
		}
	}
}

func TestBadOptions(t *testing.T) {
	cols := []connector.Column{{Name: "a", Type: types.T(types.Int4)}, {Name: "b", Type: types.T(types.Bool), NotNull: true}, {Name: "s", Type: types.T(types.Text)},
		{Name: "n", Type: types.Type{Kind: types.Numeric, Mod: types.NumericMod(4, 1)}}, {Name: "t", Type: types.T(types.Timestamp)}}
	for _, c := range []struct{ name, value, want string }{
		{"rate", "0", `invalid value "0" for option "rate"`}, {"rate", "fast", "fast"}, {"rows", "-1", `"rows"`}, {"sed", "1", `unknown option "sed" of datagen source`},
		{"fields.a.min", "x", `"fields.a.min"`}, {"fields.a.max", "3000000000", "3000000000"}, {"fields.a.kind", "evenly", "sequence, random"},
		{"fields.a.min", "2147483648", "fields.a.min"}, {"fields.zz.min", "1", `"fields.zz.min"`}, {"fields.a.length", "1", `"fields.a.length"`},
		{"fields.b.kind", "sequence", "no sequence of type boolean"}, {"fields.b.null_rate", "0.5", "NOT NULL"}, {"fields.a.null_rate", "2", "from 0 to 1"},
		{"fields.s.length", "100000", "fields.s.length"}, {"fields.n.min", "1.55", "fields.n.min"}, {"fields.n.max", "1000", "fields.n.max"}, {"fields.n.min", "NaN", "finite"},
		{"fields.t.start", "infinity", "fields.t.start"}, {"fields.t.max_past", "-1s", "fields.t.max_past"},
	} {
		_, err := New(connector.Config{Name: "g", Columns: cols, Options: map[string]string{c.name: c.value}, Created: created})
		var sql *types.Error
		if !errors.As(err, &sql) || sql.Code != types.CodeInvalidParameter || !strings.Contains(sql.Message, c.want) {
			t.Errorf("%s = %q: %v", c.name, c.value, err)
		}
	}
	_, err := New(connector.Config{Columns: []connector.Column{{Name: "x", Type: types.T(types.Record)}}})
	if err == nil || !strings.Contains(err.Error(), `column "x" of type`) {
		t.Errorf("record: %v", err)
	}
	_, err = New(connector.Config{Columns: cols, Options: map[string]string{"fields.a.min": "5", "fields.a.max": "4"}})
	if err == nil || !strings.Contains(err.Error(), `"fields.a.min" is more than option "fields.a.max"`) {
		t.Errorf("min > max: %v", err)
	}
}

func BenchmarkRead(b *testing.B) {
	cols := []connector.Column{{Name: "id", Type: types.T(types.Int8)}, {Name: "price", Type: types.T(types.Int8)}, {Name: "who", Type: types.T(types.Text)}, {Name: "t", Type: types.T(types.Timestamp)}}
	s, err := New(connector.Config{Columns: cols})
	if err != nil {
		b.Fatal(err)
	}
	bu := batch.NewBuilder([]types.Type{cols[0].Type, cols[1].Type, cols[2].Type, cols[3].Type})
	b.ReportAllocs()
	for b.Loop() {
		bu.Reset()
		s.Read(1000, 1000+batch.BlockRows, bu)
	}
	b.ReportMetric(batch.BlockRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func TestComesIsTheInverseOfAvailable(t *testing.T) {
	for _, rate := range []string{"1", "3", "7", "1000", "999983", "100000000"} {
		s, err := New(connector.Config{Name: "d", Options: map[string]string{"rate": rate, "rows": "5000"},
			Columns: []connector.Column{{Name: "a", Type: types.T(types.Int8)}}})
		if err != nil {
			t.Fatal(err)
		}
		const start = 1_000_000
		for pos := range uint64(5000) {
			at := s.Comes(start, pos)
			if s.Available(start, at) <= pos || s.Available(start, at-1) > pos {
				t.Fatalf("rate %s: row %d comes at %d, when %d are there, and %d just before", rate, pos, at-start, s.Available(start, at), s.Available(start, at-1))
			}
		}
		if s.Comes(start, 5000) != math.MaxInt64 {
			t.Error("a row that never comes")
		}
	}
}
