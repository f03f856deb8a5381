package plan

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// paneCalls are aggregates that can be put together from those of panes.
var paneCalls = []string{
	"count(*)", "count(i)", "count(d) FILTER (WHERE ok)", "sum(i)", "sum(b)", "sum(d)", "avg(i)", "avg(b)", "avg(d) FILTER (WHERE b > 1)",
	"min(i)", "max(d)", "min(t)", "max(f)", "bool_and(ok)", "sum(i + 1)", "count(*) FILTER (WHERE i = 1)",
}

// specOf plans a query with or without windowKeys.
func specOf(t rapid.TB, p *Planner, text string, rewritten, onClose bool) *flow.Spec {
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := p.binder()
	r := b.query(stmts[0].(*sql.Query), nil, nil)
	n := b.optimise(r.node)
	if rewritten {
		n = b.windowKeys(n, onClose, map[*shared]bool{})
	}
	e := b.emitter()
	e.need(n, setOf(r.ids()))
	spec := e.output(n, r.ids(), "out")
	if onClose {
		spec = b.onClose(spec, noPos)
	}
	return spec
}

// A grouping over windows gives the same to the last bit in every step, with panes and
// without, as rows come and go, and on close.
func TestPanesGiveTheSame(t *testing.T) {
	cat := catalog.New(nil)
	p := testPlanner(cat)
	ddl := `CREATE SOURCE s (k bigint, at timestamp, i int, b bigint, d numeric, f float8, t text, ok bool, WATERMARK FOR at AS at) WITH (connector = 'datagen')`
	stmts, err := sql.Parse(ddl, sql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cat = execDDL(p, cat, stmts[0], ddl, &strings.Builder{})
	p = testPlanner(cat)
	rel, err := cat.Resolve([]string{"public"}, "", "s")
	if err != nil {
		t.Fatal(err)
	}
	ts := rel.Types()
	rapid.Check(t, func(t *rapid.T) {
		var calls []string
		for i := range rapid.IntRange(1, 3).Draw(t, "calls") {
			calls = append(calls, fmt.Sprintf("%s AS c%d", rapid.SampledFrom(paneCalls).Draw(t, "call"), i))
		}
		slide := rapid.IntRange(1, 4).Draw(t, "slide")
		size := slide + rapid.IntRange(0, 20).Draw(t, "more")
		from := fmt.Sprintf("HOP(s, at, INTERVAL '%d us', INTERVAL '%d us', INTERVAL '%d us')", slide, size, rapid.IntRange(-3, 3).Draw(t, "offset"))
		if rapid.IntRange(0, 2).Draw(t, "cumulate") == 0 {
			from = fmt.Sprintf("CUMULATE(s, at, INTERVAL '%d us', INTERVAL '%d us')", slide, slide*rapid.IntRange(1, 8).Draw(t, "steps"))
		}
		keys := rapid.SampledFrom([]string{"window_start, window_end", "k, window_end", "window_start, d", "window_end, k, window_start"}).Draw(t, "keys")
		text := fmt.Sprintf("SELECT %s, %s FROM %s WHERE b IS NULL OR b < 4 GROUP BY %s", keys, strings.Join(calls, ", "), from, keys)
		rel.AppendOnly = rapid.Bool().Draw(t, "append only")
		onClose := rapid.Bool().Draw(t, "on close")
		var groups []*flow.Group
		for _, rewritten := range []bool{false, true} {
			spec := specOf(t, p, text, rewritten, onClose)
			for _, workers := range []int{1, 3} {
				g, err := flow.New(spec, flow.Options{Workers: workers})
				if err != nil {
					t.Fatal(err)
				}
				groups = append(groups, g)
			}
		}
		var held [][]types.Value
		mark := int64(0)
		for step := range rapid.IntRange(1, 8).Draw(t, "steps") {
			bu := batch.NewBuilder(ts)
			for range rapid.IntRange(0, 10).Draw(t, "rows") {
				if !rel.AppendOnly && len(held) > 0 && rapid.IntRange(0, 3).Draw(t, "withdraw") == 0 {
					at := rapid.IntRange(0, len(held)-1).Draw(t, "which")
					if held[at][1].I >= mark {
						bu.AppendRow(held[at], -1)
						held = append(held[:at], held[at+1:]...)
					}
					continue
				}
				row := drawPaneRow(t, ts, mark)
				held = append(held, row)
				bu.AppendRow(row, 1)
			}
			if rapid.Bool().Draw(t, "advance") {
				mark += rapid.Int64Range(0, 12).Draw(t, "by")
			}
			marks := make([]int64, len(ts))
			for c := range marks {
				marks[c] = flow.NoMark
			}
			marks[1] = mark
			b := bu.Seal()
			var want flow.Result
			for i, g := range groups {
				res, _, err := g.Step(int64(step+1), 0, flow.Feed{Rel: rel.Key(), Blocks: []*batch.Batch{b}, Marks: marks})
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					want = res[0]
				} else if res[0].Digest != want.Digest {
					t.Fatalf("%s\nstep %d, mark %d, circuit %d gives %v\nwant %v", text, step, mark, i, rowsText(res[0].Batch), rowsText(want.Batch))
				}
			}
		}
	})
}

func rowsText(b *batch.Batch) []string {
	var out []string
	for k := range b.Len() {
		i := b.Row(k)
		s := fmt.Sprintf("%+d", b.Weight(i))
		for _, v := range b.RowValues(i) {
			s += " " + string(types.AppendText(nil, v, types.Style{}))
		}
		out = append(out, s)
	}
	return out
}

func drawPaneRow(t *rapid.T, ts []types.Type, mark int64) []types.Value {
	row := make([]types.Value, len(ts))
	for c, typ := range ts {
		n := rapid.Int64Range(-1, 4).Draw(t, "value")
		v := types.Value{T: typ}
		switch {
		case c == 1:
			v.I = mark + rapid.Int64Range(0, 30).Draw(t, "time")
		case n < 0:
			v = types.NullOf(typ)
		case typ.Kind == types.Float8:
			v.F = []float64{0.1, -0.5, 1e16, 3, 0}[n]
		case typ.Kind == types.Numeric: // 1.0 and 1.00 are equal and print differently
			v.D = []types.Decimal{{Lo: 10, Scale: 1}, {Lo: 100, Scale: 2}, {Lo: 2}, {Hi: -1, Lo: ^uint64(6)}, {Lo: 12345, Scale: 3}}[n]
		case typ.Kind == types.Text:
			v.S = strings.Repeat("a", int(n)) + "b"
		case typ.Kind == types.Bool:
			v.I = n & 1
		case typ.Kind == types.Int8:
			v.I = []int64{0, 1, 2, 5, -1 << 62}[n]
		default:
			v.I = n - 1
		}
		row[c] = v
	}
	return row
}
