package sqltest_test

import (
	"flag"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/sqltest/sqlgen"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/worker"
)

// draws lets rapid make the choices of sqlgen.
type draws struct{ t *rapid.T }

// IntN puts the number together from bits: IntRange draws small numbers most of the
// time, which here would mean simple queries only.
func (d draws) IntN(n int) int {
	width := bits.Len(uint(n-1)) + 3
	x := 0
	for range width {
		x <<= 1
		if rapid.Bool().Draw(d.t, "bit") {
			x++
		}
	}
	return x * n >> width
}

// question is a query over tables, and the changes of each step.
type question struct {
	c     *sqlgen.Case
	rows  [][]change // by step
	order []uint64   // by step: how blocks are cut
}

// change is a row that comes or, if weight is below zero, goes.
type change struct {
	table  string
	row    []*string
	weight int64
}

func (q *question) GoString() string {
	var b strings.Builder
	b.WriteString(q.c.String())
	for i, step := range q.rows {
		fmt.Fprintf(&b, "-- step %d\n", i+1)
		for _, ch := range step {
			cells := make([]string, len(ch.row))
			for k, c := range ch.row {
				if cells[k] = "NULL"; c != nil {
					cells[k] = *c
				}
			}
			fmt.Fprintf(&b, "--   %s %+d (%s)\n", ch.table, ch.weight, strings.Join(cells, ", "))
		}
	}
	return b.String()
}

var questions = rapid.Custom(func(t *rapid.T) *question {
	r := draws{t}
	q := &question{c: sqlgen.New(r, sqlgen.Size{Queries: 1, Windows: true})}
	var there []change
	for range 1 + r.IntN(4) {
		var step []change
		for range r.IntN(12) {
			if len(there) > 0 && r.IntN(3) == 0 {
				i := r.IntN(len(there))
				gone := there[i]
				gone.weight = -gone.weight
				step = append(step, gone)
				there = slices.Delete(there, i, i+1)
				continue
			}
			name := q.c.Names[r.IntN(len(q.c.Names))]
			ch := change{table: name, row: q.c.Row(r, name), weight: 1 + int64(r.IntN(8)/6)}
			step = append(step, ch)
			there = append(there, ch)
		}
		q.rows = append(q.rows, step)
		q.order = append(q.order, uint64(r.IntN(1000)))
	}
	return q
})

// proveRounds is how many times TestCircuits checks with TIDEMILL_PROVE=1.
const proveRounds = 50

// shortSeed is the seed of the short run, unless -rapid.seed says otherwise.
const shortSeed = "1"

// TestCircuits plans random queries and runs their circuits, cut into steps at
// random, on one worker and on three: after each step the output is what the oracle
// computes from the whole tables, and the digests agree.
func TestCircuits(t *testing.T) {
	asked, skipped, filled := 0, 0, 0
	rounds := 1 // of as many checks as -rapid.checks says
	if os.Getenv("TIDEMILL_PROVE") == "1" {
		rounds = proveRounds
	} else if f := flag.Lookup("rapid.seed"); f != nil && f.Value.String() == "0" {
		if err := flag.Set("rapid.seed", shortSeed); err != nil { // the short run is the same every time
			t.Fatal(err)
		}
	}
	property := func(t *rapid.T) {
		asked++
		checked, rows := checkQuestion(t, questions.Draw(t, "case"))
		if !checked {
			skipped++
		}
		if rows > 0 {
			filled++
		}
	}
	for range rounds {
		rapid.Check(t, property)
	}
	t.Logf("%d of %d queries gave rows, %d could not be checked", filled, asked, skipped)
	if filled*3 < asked {
		t.Errorf("only %d of %d queries gave rows", filled, asked)
	}
	if skipped*20 > asked {
		t.Errorf("%d of %d queries could not be checked", skipped, asked)
	}
}

// checkQuestion reports whether the oracle can answer q, and how many different rows
// there were at the end.
func checkQuestion(t *rapid.T, q *question) (checked bool, rows int) {
	cat, planned := planCase(t, q.c)
	spec := planned.Spec
	one, many := newCircuit(t, spec, 1), newCircuit(t, spec, 3)
	whole := map[string]oracle.Table{}
	for i, step := range q.rows {
		changes := map[string]oracle.Table{}
		for _, ch := range step {
			rel := cat.Lookup([]string{"public"}, "", ch.table)
			changes[rel.Key()] = append(changes[rel.Key()], oracle.Row{V: parseRow(t, rel, ch.row), W: ch.weight})
		}
		for key, rows := range changes {
			whole[key] = oracle.Consolidate(append(whole[key], rows...))
		}
		a := one.step(t, feeds(cat, planned, changes, 0))
		b := many.step(t, feeds(cat, planned, changes, q.order[i]))
		if a != b {
			t.Fatalf("step %d: one worker has digest %v, three have %v", i+1, a, b)
		}
		ctx := &expr.Ctx{}
		want, err := oracle.Eval(spec, whole, ctx)
		if err != nil {
			t.Logf("not checked: %v", err)
			return false, 0 // an operator that the oracle leaves to the comparison with PostgreSQL
		}
		if got := one.sum; !sameRows(got, want.Outputs["result"]) {
			t.Fatalf("step %d: the circuit holds\n%s\nthe oracle\n%s\n%s", i+1, printRows(got), printRows(want.Outputs["result"]),
				spec.Explain(flow.ExplainOptions{}))
		}
		if !sameRows(many.sum, one.sum) {
			t.Fatalf("step %d: three workers hold\n%s\none\n%s", i+1, printRows(many.sum), printRows(one.sum))
		}
	}
	checkFill(t, q, cat, planned, one.sum)
	return true, len(one.sum)
}

// checkFill fills the circuit in chunks, first with what its tables hold after some of the
// steps, and then with what the others changed: that gives what the steps gave, and adds
// up to its digest.
func checkFill(t *rapid.T, q *question, cat *catalog.Catalog, planned *plan.Query, want oracle.Table) {
	order := q.order[0]
	w := worker.Open(worker.Config{Threads: 1, Lanes: 1 + int(order%3), FillRows: 1 + int(order%4)})
	c, err := w.Build("v", planned.Spec, flow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got oracle.Table
	var digest batch.Digest
	fill := func(step int, rows map[string]oracle.Table) {
		filled, err := c.Fill(uint64(step), 0, func(push func(string, *batch.Batch) error) error {
			for _, f := range feeds(cat, planned, rows, order) {
				for _, b := range f.Blocks {
					if err := push(f.Rel, b); err != nil {
						return err
					}
				}
			}
			return nil
		}, func(b *batch.Batch) error {
			got = oracle.Consolidate(append(got, oracle.FromBatch(b)...))
			return nil
		})
		if err != nil {
			t.Fatalf("fill at step %d: %v", step, err)
		}
		digest = filled.Digest
	}
	rows, first := map[string]oracle.Table{}, int(order/12)%(len(q.rows)+1)
	for i, step := range q.rows {
		if i == first {
			fill(i, rows)
		}
		if i >= first {
			clear(rows)
		}
		for _, ch := range step {
			rel := cat.Lookup([]string{"public"}, "", ch.table)
			rows[rel.Key()] = append(rows[rel.Key()], oracle.Row{V: parseRow(t, rel, ch.row), W: ch.weight})
		}
		for key := range rows {
			rows[key] = oracle.Consolidate(rows[key])
		}
		if i >= first {
			fill(i+1, rows)
		}
	}
	if first == len(q.rows) {
		fill(first, rows)
	}
	if !sameRows(got, want) {
		t.Fatalf("filled at step %d in chunks of %d rows it holds\n%s\nwant\n%s\n%s", first, 1+order%4, printRows(got), printRows(want),
			planned.Spec.Explain(flow.ExplainOptions{}))
	}
	all := batch.Digest{}
	if len(want) > 0 {
		all = batch.DigestOf(oracle.ToBatch(planned.Spec.Nodes[len(planned.Spec.Nodes)-1].Out, want))
	}
	if digest != all {
		t.Fatalf("the digests of the chunks add up to %v, that of the content is %v", digest, all)
	}
}

func planCase(t *rapid.T, c *sqlgen.Case) (*catalog.Catalog, *plan.Query) {
	cat := catalog.New(nil)
	planner := func() *plan.Planner {
		return &plan.Planner{Catalog: cat, Session: plan.Session{User: "u", Database: "d", SearchPath: []string{"public"}}}
	}
	parse := func(text string) sql.Stmt {
		stmts, err := sql.Parse(text, sql.Options{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return stmts[0]
	}
	texts := slices.Clone(c.Tables)
	for _, v := range c.Views {
		v.Materialized = false // so that the query's circuit holds it
		texts = append(texts, v.Create())
	}
	for _, text := range texts {
		cmd, err := planner().PlanDDL(parse(text), text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		next, _, err := cat.With(cmd)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		cat = next
	}
	q, err := planner().PlanSelect(parse(c.Queries[0].SQL).(*sql.Query))
	if err != nil {
		t.Fatalf("%s: %v", c.Queries[0].SQL, err)
	}
	return cat, q
}

func parseRow(t *rapid.T, rel *catalog.Relation, row []*string) []types.Value {
	out := make([]types.Value, len(row))
	for i, c := range row {
		ty := rel.Columns[i].Type
		if out[i] = types.NullOf(ty); c == nil {
			continue
		}
		v, err := types.Parse(ty, *c, types.Style{})
		if err != nil {
			t.Fatalf("%s.%s: %v", rel.Name, rel.Columns[i].Name, err)
		}
		out[i] = v
	}
	return out
}

// feeds makes blocks of a step's changes; order decides their cuts.
func feeds(cat *catalog.Catalog, q *plan.Query, changes map[string]oracle.Table, order uint64) []flow.Feed {
	var out []flow.Feed
	for _, in := range q.Inputs {
		rows := slices.Clone(changes[in.Key])
		if order%2 == 1 {
			slices.Reverse(rows)
		}
		var ts []types.Type
		for _, c := range cat.ByID(in.ID).Columns {
			ts = append(ts, c.Type)
		}
		f := flow.Feed{Rel: in.Key}
		for len(rows) > 0 {
			n := len(rows)
			if order > 0 {
				n = 1 + int(order)%n
			}
			f.Blocks = append(f.Blocks, oracle.ToBatch(ts, rows[:n]))
			rows = rows[n:]
		}
		out = append(out, f)
	}
	return out
}

// circuit is a group and the sum of what it gave.
type circuit struct {
	group *flow.Group
	n     int64
	sum   oracle.Table
}

func newCircuit(t *rapid.T, spec *flow.Spec, workers int) *circuit {
	g, err := flow.New(spec, flow.Options{Workers: workers})
	if err != nil {
		t.Fatalf("build circuit: %v\n%s", err, spec.Explain(flow.ExplainOptions{}))
	}
	return &circuit{group: g}
}

// step runs a step and returns its digest.
func (c *circuit) step(t *rapid.T, in []flow.Feed) string {
	c.n++
	res, _, err := c.group.Step(c.n, 0, in...)
	if err != nil {
		t.Fatalf("step %d: %v", c.n, err)
	}
	c.sum = oracle.Consolidate(append(c.sum, oracle.FromBatch(res[0].Batch)...))
	return fmt.Sprint(res[0].Digest)
}

func sameRows(a, b oracle.Table) bool {
	return slices.EqualFunc(a, b, func(x, y oracle.Row) bool { return x.W == y.W && oracle.CompareRows(x.V, y.V) == 0 })
}

func printRows(t oracle.Table) string {
	var b strings.Builder
	for _, r := range t {
		fmt.Fprintf(&b, "%+d", r.W)
		for _, v := range r.V {
			b.WriteString(" | ")
			if v.Null {
				b.WriteString("NULL")
			} else {
				b.Write(types.AppendText(nil, v, types.Style{}))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
