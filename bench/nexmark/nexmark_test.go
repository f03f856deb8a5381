package nexmark

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/pgtest"
	"github.com/tidemill/tidemill/internal/types"
)

// each calls fn for each query as a test of its own.
func each(t *testing.T, fn func(t *testing.T, query string)) {
	for _, q := range Queries() {
		t.Run(q, func(t *testing.T) { fn(t, q) })
	}
}

func everything(string, string) bool { return true }

// prove reports whether the long form of the tests was asked for.
func prove() bool { return os.Getenv("TIDEMILL_PROVE") == "1" }

// events returns how many events there are: at 100 a second, so that no two have the
// same time, and orders by time have no ties.
func events(short, long uint64) Options {
	o := Options{Events: short, Rate: 100, Seed: 1, Workers: 1, StepRows: 700}
	if prove() {
		o.Events = long
	}
	return o
}

// tied makes several events have the same time: ties go by the whole row.
func tied(o Options) Options {
	o.Rate = 5000
	return o
}

// build plans a query.
func build(t testing.TB, query string, workers int) *Pipeline {
	t.Helper()
	text, err := SQL(query)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Build(text, workers, everything)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs a query to its end, hands the changes of its answer to take, and returns
// the digest of the answer.
func run(t testing.TB, query string, o Options, take func(b *batch.Batch)) batch.Digest {
	t.Helper()
	return runUntil(t, query, o, true, take)
}

// runUntil is run; unless final, more events might come behind the last one.
func runUntil(t testing.TB, query string, o Options, final bool, take func(b *batch.Batch)) batch.Digest {
	t.Helper()
	p := build(t, query, o.Workers)
	f, err := NewFeeder(p, o, everything)
	if err != nil {
		t.Fatal(err)
	}
	take(p.Start())
	digest := batch.DigestOf(p.Start())
	step := func(feeds []flow.Feed) {
		out, err := p.Step(f.Now(), feeds)
		if err != nil {
			t.Fatal(err)
		}
		if out != nil {
			take(out.Batch)
			digest = digest.Add(out.Digest)
		}
	}
	for !f.Done() {
		feeds, err := f.Next(o.StepRows)
		if err != nil {
			t.Fatal(err)
		}
		step(feeds)
	}
	if final {
		step(f.Final())
	}
	return digest
}

// answer returns the rows of a query at its end.
func answer(t testing.TB, query string, o Options) oracle.Table {
	t.Helper()
	var table oracle.Table
	run(t, query, o, func(b *batch.Batch) {
		rows := oracle.FromBatch(b)
		if i := slices.IndexFunc(rows, func(r oracle.Row) bool { return r.W < 0 }); i >= 0 && once(query) {
			t.Fatalf("a row is taken back: %s", text(rows[i].V))
		}
		table = append(table, rows...)
	})
	return oracle.Consolidate(table)
}

// lines are the rows of a table as PostgreSQL prints them, sorted.
func lines(t *testing.T, table oracle.Table) []string {
	var out []string
	for _, r := range table {
		if r.W < 0 {
			t.Fatalf("a row is there %d times: %s", r.W, text(r.V))
		}
		for range r.W {
			out = append(out, text(r.V))
		}
	}
	slices.Sort(out)
	return out
}

func text(row []types.Value) string {
	var fields []string
	for _, v := range row {
		if v.Null {
			fields = append(fields, `\N`)
		} else {
			fields = append(fields, string(types.AppendText(nil, v, types.Style{})))
		}
	}
	return strings.Join(fields, "|")
}

// TestPostgres: after the last event, every query's answer is PostgreSQL's.
func TestPostgres(t *testing.T) {
	t.Run("apart", func(t *testing.T) { comparePostgres(t, events(5_000, 100_000)) })
	t.Run("tied", func(t *testing.T) { comparePostgres(t, tied(events(2_000, 100_000))) })
}

func comparePostgres(t *testing.T, o Options) {
	conn := pgtest.Connect(t)
	load(t, conn, o)
	var asked string
	var want []string
	each(t, func(t *testing.T, query string) {
		ask, err := PostgresSQL(query)
		if err != nil {
			t.Fatal(err)
		}
		if asked != ask { // variants follow their query
			asked, want = ask, askPostgres(t, conn, ask)
		}
		got := lines(t, answer(t, query, o))
		if len(want) == 0 {
			t.Error("PostgreSQL has no row")
		}
		if diff := difference(got, want); diff != "" {
			t.Errorf("%d rows, PostgreSQL has %d\n%s", len(got), len(want), diff)
		}
		t.Logf("%d rows", len(got))
	})
}

// askPostgres returns the rows of PostgreSQL's answer, sorted.
func askPostgres(t *testing.T, conn *pgx.Conn, ask string) []string {
	t.Helper()
	res := pgtest.Query(t, conn, ask)
	if res.Err != nil {
		t.Fatalf("PostgreSQL: %v", res.Err)
	}
	var rows []string
	for _, r := range res.Rows {
		var fields []string
		for _, v := range r {
			if v == nil {
				fields = append(fields, `\N`)
			} else {
				fields = append(fields, *v)
			}
		}
		rows = append(rows, strings.Join(fields, "|"))
	}
	slices.Sort(rows)
	return rows
}

// difference shows the first few lines that only one side has; both are sorted.
func difference(got, want []string) string {
	var b strings.Builder
	shown := 0
	for i, k := 0, 0; (i < len(got) || k < len(want)) && shown < 10; {
		switch {
		case k == len(want) || i < len(got) && got[i] < want[k]:
			fmt.Fprintf(&b, "only here:  %s\n", got[i])
			i, shown = i+1, shown+1
		case i == len(got) || want[k] < got[i]:
			fmt.Fprintf(&b, "only there: %s\n", want[k])
			k, shown = k+1, shown+1
		default:
			i, k = i+1, k+1
		}
	}
	return b.String()
}

// load makes the tables in a schema of the connection's own and copies the events in.
func load(t *testing.T, conn *pgx.Conn, o Options) {
	t.Helper()
	exec := func(sql string) {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	schema := fmt.Sprintf("rate%d", o.Rate)
	exec("CREATE SCHEMA " + schema)
	exec("SET search_path = " + schema)
	exec("SET TimeZone = 'UTC'")
	for _, tab := range tables {
		var cols []string
		for _, c := range tab.Columns {
			cols = append(cols, c.Name+" "+c.Type.String())
		}
		exec("CREATE TABLE " + tab.Name + " (" + strings.Join(cols, ", ") + ")")
		s, err := newStream(&tab, o, everything)
		if err != nil {
			t.Fatal(err)
		}
		f := &Feeder{rate: o.Rate, events: o.Events, streams: []*stream{s}}
		r, w := io.Pipe()
		go func() {
			var err error
			for err == nil && !f.Done() {
				var feeds []flow.Feed
				if feeds, err = f.Next(4096); err == nil {
					for _, b := range feeds[0].Blocks {
						var buf []byte
						for i := range b.N {
							buf = append(append(buf, strings.ReplaceAll(text(b.RowValues(i)), "|", "\t")...), '\n')
						}
						_, err = w.Write(buf)
					}
				}
			}
			_ = w.CloseWithError(err) // nil is the end of the input
		}()
		if _, err := conn.PgConn().CopyFrom(context.Background(), r, "COPY "+tab.Name+" FROM STDIN"); err != nil {
			t.Fatalf("copy %s: %v", tab.Name, err)
		}
	}
	exec("CREATE INDEX ON bid (auction); CREATE INDEX ON bid (bidder); CREATE INDEX ON bid (date_time); CREATE INDEX ON auction (seller); CREATE INDEX ON auction (id); CREATE INDEX ON person (id)")
	for _, stmt := range strings.SplitAfter(PostgresFunctions(), "\nEND $$;\n") {
		exec(stmt)
	}
	exec("ANALYZE")
}

// TestOracle: after every step the answer is what the definitions of the operators
// give for all rows so far; of queries that give each row once, at the end.
func TestOracle(t *testing.T) {
	o := events(200, 1000)
	o.StepRows = o.Events / 4
	each(t, func(t *testing.T, query string) {
		p := build(t, query, 1)
		if len(p.specs) != 1 {
			t.Fatalf("%d circuits", len(p.specs))
		}
		f, err := NewFeeder(p, o, everything)
		if err != nil {
			t.Fatal(err)
		}
		whole := map[string]oracle.Table{}
		for key, blocks := range p.rows {
			for _, b := range blocks {
				whole[key] = append(whole[key], oracle.FromBatch(b)...)
			}
		}
		got := oracle.FromBatch(p.Start())
		step := func(feeds []flow.Feed) {
			for _, feed := range feeds {
				for _, b := range feed.Blocks {
					whole[feed.Rel] = append(whole[feed.Rel], oracle.FromBatch(b)...)
				}
			}
			out, err := p.Step(f.Now(), feeds)
			if err != nil {
				t.Fatal(err)
			}
			if out != nil {
				got = oracle.Consolidate(append(got, oracle.FromBatch(out.Batch)...))
			}
		}
		compare := func() {
			want, err := oracle.Eval(p.specs[0], whole, &expr.Ctx{Now: f.Now()})
			if err != nil {
				t.Fatal(err)
			}
			name := p.specs[0].Nodes[len(p.specs[0].Nodes)-1].Op.(*flow.Output).Name
			if diff := difference(lines(t, got), lines(t, want.Outputs[name])); diff != "" {
				t.Fatalf("after %d events:\n%s", f.Given(), diff)
			}
		}
		for !f.Done() {
			feeds, err := f.Next(o.StepRows)
			if err != nil {
				t.Fatal(err)
			}
			if step(feeds); !once(query) {
				compare()
			}
		}
		step(f.Final())
		compare()
	})
}

// TestSameDigest: the answer does not depend on the number of workers, the size of
// steps, the order of rows within the time that the watermark allows, or the way
// through JSON.
func TestSameDigest(t *testing.T) {
	t.Run("apart", func(t *testing.T) { sameDigest(t, events(2000, 60_000)) })
	t.Run("tied", func(t *testing.T) { sameDigest(t, tied(events(1000, 60_000))) })
}

func sameDigest(t *testing.T, o Options) {
	each(t, func(t *testing.T, query string) {
		ignore := func(*batch.Batch) {}
		want := run(t, query, o, ignore)
		for _, v := range []struct {
			name string
			set  func(o *Options)
		}{
			{"4 workers, steps of 137", func(o *Options) { o.Workers, o.StepRows = 4, 137 }},
			{"one step", func(o *Options) { o.StepRows = o.Events }},
			{"json, 2 workers", func(o *Options) { o.JSON, o.Workers = true, 2 }},
		} {
			other := o
			v.set(&other)
			if got := run(t, query, other, ignore); got != want {
				t.Errorf("%s: digest %v, want %v", v.name, got, want)
			}
		}
		if got := shuffled(t, query, o); got != want {
			t.Errorf("shuffled: digest %v, want %v", got, want)
		}
	})
}

// shuffled runs a query over rows that are up to LatenessMicros late.
func shuffled(t *testing.T, query string, o Options) batch.Digest {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 0))
	p := build(t, query, 3)
	f, err := NewFeeder(p, o, everything)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		feed int
		at   int64 // when it comes
		vals []types.Value
	}
	feeds, err := f.Next(o.Events)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for k, feed := range feeds {
		for _, b := range feed.Blocks {
			for i := range b.N {
				// A row that comes at its time and up to the lateness after it is never below
				// a watermark of rows that came at theirs or later.
				at := b.Cols[f.streams[k].timeCol].I64[i]
				rows = append(rows, row{k, at + rng.Int64N(LatenessMicros), b.RowValues(i)})
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return int(min(max(a.at-b.at, -1), 1)) })
	digest := batch.DigestOf(p.Start())
	latest := slices.Repeat([]int64{flow.NoMark}, len(feeds))
	for len(rows) > 0 {
		n := min(len(rows), 1+rng.IntN(2*int(o.StepRows)))
		tables := make([]oracle.Table, len(feeds))
		for _, r := range rows[:n] {
			tables[r.feed] = append(tables[r.feed], oracle.Row{V: r.vals, W: 1})
			at := r.vals[f.streams[r.feed].timeCol].I
			if latest[r.feed] != flow.NoMark && at < latest[r.feed]-LatenessMicros {
				t.Fatal("the shuffle made a row late")
			}
			latest[r.feed] = max(latest[r.feed], at)
		}
		rows = rows[n:]
		var in []flow.Feed
		for k, feed := range feeds {
			marks := slices.Repeat([]int64{flow.NoMark}, len(f.streams[k].cols))
			if latest[k] != flow.NoMark {
				marks[f.streams[k].timeCol] = latest[k] - LatenessMicros
			}
			in = append(in, flow.Feed{Rel: feed.Rel, Marks: marks, Blocks: []*batch.Batch{oracle.ToBatch(f.streams[k].types, tables[k])}})
		}
		out, err := p.Step(f.Now(), in)
		if err != nil {
			t.Fatal(err)
		}
		if out != nil {
			digest = digest.Add(out.Digest)
		}
	}
	out, err := p.Step(f.Now(), f.Final())
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		digest = digest.Add(out.Digest)
	}
	return digest
}
