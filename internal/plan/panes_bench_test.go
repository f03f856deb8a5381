package plan

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// benchBids makes the bids of steps of 100 000, perSecond of them a second of event
// time: half of the bids are for one of a few hot auctions, the others for one of the
// last thousand.
func benchBids(steps int, perSecond int64) [][]*batch.Batch {
	const stepRows = 100000
	r := rand.New(rand.NewPCG(1, 2))
	out := make([][]*batch.Batch, steps)
	n := int64(0)
	for s := range out {
		for left := stepRows; left > 0; {
			b := &batch.Batch{N: min(left, batch.BlockRows), Cols: []batch.Column{{Type: types.T(types.Int8)}, {Type: types.T(types.Timestamp)}}}
			for range b.N {
				auction := n / 15
				if r.IntN(2) == 0 {
					auction = auction / 100 * 100
				} else {
					auction -= r.Int64N(1000)
				}
				b.Cols[0].I64 = append(b.Cols[0].I64, auction)
				b.Cols[1].I64 = append(b.Cols[1].I64, n*1000000/perSecond)
				n++
			}
			left -= b.N
			out[s] = append(out[s], b)
		}
	}
	return out
}

func benchHop(b *testing.B, text string, perSecond int64, rewritten, onClose bool) {
	const ddl = `CREATE SOURCE bid (auction bigint, at timestamp, WATERMARK FOR at AS at - INTERVAL '4 seconds') WITH (connector = 'datagen')`
	cat := catalog.New(nil)
	stmts, err := sql.Parse(ddl, sql.Options{})
	if err != nil {
		b.Fatal(err)
	}
	cat = execDDL(testPlanner(cat), cat, stmts[0], ddl, &strings.Builder{})
	p := testPlanner(cat)
	rel, err := cat.Resolve([]string{"public"}, "", "bid")
	if err != nil {
		b.Fatal(err)
	}
	spec := specOf(b, p, text, rewritten, onClose)
	g, err := flow.New(spec, flow.Options{})
	if err != nil {
		b.Fatal(err)
	}
	const steps = 40
	bids := benchBids(steps, perSecond)
	span := steps * 100000 * 1000000 / perSecond
	shift := int64(0)
	rows := 0
	b.ResetTimer()
	for n := 0; b.Loop(); n++ {
		step := bids[n%steps]
		if n > 0 && n%steps == 0 { // the same bids again, later
			b.StopTimer()
			shift += span
			for _, s := range bids {
				for _, bl := range s {
					for i := range bl.Cols[1].I64 {
						bl.Cols[1].I64[i] += span
						bl.Cols[0].I64[i] += span
					}
				}
			}
			b.StartTimer()
		}
		last := step[len(step)-1]
		mark := last.Cols[1].I64[last.N-1] - 4000000
		res, _, err := g.Step(int64(n+1), 0, flow.Feed{Rel: rel.Key(), Blocks: step, Marks: []int64{flow.NoMark, mark}})
		if err != nil {
			b.Fatal(err)
		}
		rows += res[0].Batch.Len()
	}
	b.ReportMetric(float64(b.N)*100000/b.Elapsed().Seconds()/1e6, "Mevents/s")
	b.ReportMetric(float64(rows)/float64(b.N), "rows/step")
	b.ReportMetric(float64(g.StateBytes())/1e6, "state-MB")
}

// The counts of Nexmark's q5: bids by auction in windows of 10 seconds every 2.
func BenchmarkHopCount(b *testing.B) {
	const text = "SELECT auction, count(*) AS num, window_start, window_end FROM HOP(bid, at, INTERVAL '2 s', INTERVAL '10 s') GROUP BY auction, window_start, window_end"
	for _, rate := range []struct {
		name string
		per  int64
	}{{"10k a second", 10000}, {"100k a second", 100000}} {
		b.Run("on close, panes, "+rate.name, func(b *testing.B) { benchHop(b, text, rate.per, true, true) })
		b.Run("on close, windows, "+rate.name, func(b *testing.B) { benchHop(b, text, rate.per, false, true) })
		b.Run("corrected, panes, "+rate.name, func(b *testing.B) { benchHop(b, text, rate.per, true, false) })
		b.Run("corrected, windows, "+rate.name, func(b *testing.B) { benchHop(b, text, rate.per, false, false) })
	}
}
