package plan

import (
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

// TestTimesApart says what joins demand of the difference of two columns.
func TestTimesApart(t *testing.T) {
	p := testPlanner(timesCatalog(t))
	const second = 1_000_000
	for _, c := range []struct {
		on     string
		lo, hi int64
		bucket bool
	}{
		{"a.i = b.i AND a.ts BETWEEN b.ts - INTERVAL '2 s' AND b.ts + INTERVAL '5 s'", -2 * second, 5 * second, false},
		{"a.ts BETWEEN b.ts - INTERVAL '2 s' AND b.ts + INTERVAL '5 s'", -2 * second, 5 * second, true},
		{"b.ts BETWEEN a.ts - INTERVAL '2 s' AND a.ts + INTERVAL '5 s'", -5 * second, 2 * second, true},
		{"a.ts > b.ts AND a.ts < b.ts + INTERVAL '4 s'", 1, 4*second - 1, true},
		{"a.ts - b.ts < INTERVAL '1 day 1 s' AND b.ts - a.ts <= INTERVAL '1 min'", -60 * second, 86401*second - 1, true},
		{"a.ts + INTERVAL '1 s' <= b.ts + INTERVAL '3 s' AND INTERVAL '1 s' + a.ts >= b.ts", -second, 2 * second, true},
		{"a.tz BETWEEN b.tz AND b.tz + INTERVAL '1 day'", 0, 86400 * second, true},
		{"a.d - b.d <= 3 AND a.d >= b.d", 0, 3, true},
		{"a.d::timestamp - b.d::timestamp < INTERVAL '36 hours' AND a.d > b.d - 1", 0, 1, true},
		{"a.i - b.i BETWEEN -1 AND 1 AND a.ts - b.ts BETWEEN INTERVAL '0' AND INTERVAL '1 hour'", 0, 3600 * second, true},
		{"a.i - b.i BETWEEN -1 AND 1", -1, 1, true},
		{"a.ts >= b.ts", 0, flow.Unbounded, false},
		{"a.ts BETWEEN b.ts - INTERVAL '1 month' AND b.ts", -flow.Unbounded, 0, false},
		{"b.ts - INTERVAL '1 s' > a.ts", -flow.Unbounded, -second - 1, false},
	} {
		q, err := p.PlanView(parseQuery("SELECT a.i, b.i AS j FROM x a JOIN x b ON "+c.on, "the test"))
		if err != nil {
			t.Fatalf("%s: %v", c.on, err)
		}
		var join *flow.Join
		buckets := 0
		for _, n := range q.Spec.Nodes {
			switch op := n.Op.(type) {
			case *flow.Join:
				join = op
			case *flow.Buckets:
				buckets++
			}
		}
		if join.Between == nil || join.Between.Lo != c.lo || join.Between.Hi != c.hi {
			t.Errorf("%s: between %v, want [%d, %d]", c.on, fmt.Sprintf("%+v", join.Between), c.lo, c.hi)
		}
		if (buckets == 2) != c.bucket || (len(join.LeftKeys) == 0) == (c.bucket || c.lo == -2*second) {
			t.Errorf("%s: %d inputs in buckets, keys %v", c.on, buckets, join.LeftKeys)
		}
	}
	for _, on := range []string{
		"a.ts > b.ts - INTERVAL '1 month'",
		"a.i * 2 >= b.i",
		"a.ts >= a.tz - INTERVAL '1 s' AND a.i + b.i > 0",
		"a.ts >= b.d AND a.ts < b.d + 1", // days and microseconds
		"a.ts > b.ts OR a.i = b.i",
		"a.ts BETWEEN b.ts + INTERVAL '2 s' AND b.ts", // never
		"a.ts::timestamp(0) > b.ts",
	} {
		q, err := p.PlanView(parseQuery("SELECT a.i, b.i AS j FROM x a JOIN x b ON "+on, "the test"))
		if err != nil {
			t.Fatalf("%s: %v", on, err)
		}
		for _, n := range q.Spec.Nodes {
			if j, ok := n.Op.(*flow.Join); ok && j.Between != nil {
				t.Errorf("%s: between %+v", on, j.Between)
			}
		}
	}
}
