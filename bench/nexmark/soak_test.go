package nexmark

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// soakEvents is how many events each query of the soak test is fed: in a long run
// (TIDEMILL_SOAK=1) as many as tell whether anything creeps.
const soakEvents, soakEventsShort = 50_000_000, 240_000

// soakQueries are questions whose state the watermarks bound, a view each: every
// kind of window, join, ranking and pattern that forgets.
var soakQueries = []struct{ name, text string }{
	{"tumble", `SELECT window_start, auction, count(*) AS n, max(price) AS most FROM TUMBLE(bid, date_time, INTERVAL '10 s') GROUP BY window_start, auction`},
	{"hop", `SELECT window_start, auction, count(*) AS n FROM HOP(bid, date_time, INTERVAL '2 s', INTERVAL '10 s') GROUP BY window_start, auction`},
	{"hop on close", `SELECT window_start, auction, count(*) AS n FROM HOP(bid, date_time, INTERVAL '2 s', INTERVAL '10 s') GROUP BY window_start, auction EMIT ON WINDOW CLOSE`},
	{"cumulate", `SELECT window_start, window_end, count(*) AS n FROM CUMULATE(bid, date_time, INTERVAL '2 s', INTERVAL '10 s') GROUP BY window_start, window_end`},
	{"session", `SELECT bidder, window_start, window_end, count(*) AS n FROM SESSION(bid PARTITION BY bidder, date_time, INTERVAL '1 s') GROUP BY bidder, window_start, window_end`},
	{"session on close", `SELECT bidder, window_start, window_end, count(*) AS n FROM SESSION(bid PARTITION BY bidder, date_time, INTERVAL '1 s') GROUP BY bidder, window_start, window_end EMIT ON WINDOW CLOSE`},
	{"distinct in windows", `SELECT window_start, count(DISTINCT bidder) AS n FROM TUMBLE(bid, date_time, INTERVAL '10 s') GROUP BY window_start`},
	{"window join", `SELECT p.id, p.window_start FROM TUMBLE(person, date_time, INTERVAL '10 s') AS p JOIN TUMBLE(auction, date_time, INTERVAL '10 s') AS a
		ON a.seller = p.id AND a.window_start = p.window_start AND a.window_end = p.window_end`},
	{"window top-n", `SELECT window_start, auction, price, r FROM (SELECT window_start, auction, price, row_number() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS r
		FROM TUMBLE(bid, date_time, INTERVAL '10 s')) AS x WHERE r <= 3`},
	{"interval join", `SELECT b.auction, b.price FROM bid b JOIN auction a ON a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.date_time + INTERVAL '10 s'`},
	{"interval left join", `SELECT a.id, b.price FROM auction a LEFT JOIN bid b ON a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.date_time + INTERVAL '5 s'`},
	{"over range", `SELECT auction, date_time, sum(price) OVER (PARTITION BY bidder ORDER BY date_time RANGE BETWEEN INTERVAL '5 s' PRECEDING AND CURRENT ROW) AS s FROM bid`},
	{"pattern", `SELECT * FROM bid MATCH_RECOGNIZE (PARTITION BY auction ORDER BY date_time MEASURES first(a.date_time) AS began, last(b.price) AS top
		ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW PATTERN (a b{2,}) WITHIN INTERVAL '5 s' DEFINE b AS b.price > prev(b.price)) AS m`},
}

// TestSoak: state stays flat however long the stream runs. The most that is held in
// the last half of the run is not much more than in the quarter before it: each of
// the 256 parts of a table keeps the size that it once needed, and the largest of
// many random sizes goes up a little, ever more slowly, while one looks on. What
// leaks doubles.
func TestSoak(t *testing.T) {
	o := Options{Events: soakEventsShort, Rate: 2000, Seed: 1, Workers: 1, StepRows: 2000}
	if os.Getenv("TIDEMILL_SOAK") == "1" {
		o.Events, o.Rate, o.StepRows = soakEvents, 10_000, 20_000
	}
	for _, q := range soakQueries {
		t.Run(q.name, func(t *testing.T) { soak(t, "CREATE MATERIALIZED VIEW v AS "+q.text+";", o) })
	}
}

func soak(t *testing.T, text string, o Options) {
	cols, err := needed(text)
	if err != nil {
		t.Fatal(err)
	}
	keep := func(table, col string) bool { return slices.Contains(cols[table], col) || col == timeColumn }
	p, err := Build(text, o.Workers, keep)
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFeeder(p, o, keep)
	if err != nil {
		t.Fatal(err)
	}
	var first, second int64 // the most held in the second quarter, and after it
	changes := 0
	began := time.Now()
	for !f.Done() {
		var feeds []flow.Feed
		if feeds, err = f.Next(o.StepRows); err != nil {
			t.Fatal(err)
		}
		out, err := p.Step(f.Now(), feeds)
		if err != nil {
			t.Fatal(err)
		}
		if out != nil {
			changes += out.Batch.Len()
		}
		switch at := f.Given() * 4 / o.Events; {
		case at == 1:
			first = max(first, p.StateBytes())
		case at >= 2:
			second = max(second, p.StateBytes())
		}
	}
	t.Logf("%d events in %.1f s, %d changes; state at most %d bytes in the second quarter, %d in the last half", o.Events, time.Since(began).Seconds(), changes, first, second)
	if changes == 0 {
		t.Error("no answer came")
	}
	if second > first+first/2+64<<10 {
		t.Errorf("state grows: %d bytes at most in the second quarter, %d in the last half\n%s", first, second, p.counters())
	}
}

// counters are what each operator has done and holds.
func (p *Pipeline) counters() string {
	var out []string
	for _, key := range p.work.Keys() {
		for _, c := range p.work.Counters(key) {
			out = append(out, c.Label+": "+c.String())
		}
	}
	return strings.Join(out, "\n")
}
