package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// seeds is how many random histories TestViewsOfAllKindsThroughRestarts goes through.
var seeds = flag.Uint64("seeds", 6, "how many random histories are tried")

// viewsOfAllKinds are queries over t, u and s whose operators keep state of every kind.
// Each can be asked ad hoc and as a view.
var viewsOfAllKinds = []string{
	`SELECT id, n * 2 AS m FROM t WHERE n % 3 <> 0`,
	`SELECT g, count(*) AS c, sum(n) AS s, min(n) AS lo, max(n) AS hi, avg(n) AS a FROM t GROUP BY g`,
	`SELECT g, count(DISTINCT n % 7) AS d, string_agg(n::text, '+' ORDER BY n, id) AS l, string_agg(x, ',' ORDER BY id) AS xs FROM t GROUP BY g`,
	`SELECT count(*) AS c, sum(n::float8 / 3) AS s, stddev(n) AS sd FROM t`,
	`SELECT DISTINCT n % 5 AS k, x FROM t`,
	`SELECT t.id, u.v FROM t JOIN u ON t.g = u.g AND t.n > u.v`,
	`SELECT t.id, u.v, t.x FROM t LEFT JOIN u ON t.g = u.g`,
	`SELECT t.g AS a, u.g AS b FROM t FULL JOIN u ON t.n = u.v`,
	`SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.g = t.g)`,
	`SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.g = t.g)`,
	`SELECT g, n FROM t UNION SELECT g, v FROM u`,
	`SELECT g FROM t EXCEPT ALL SELECT g FROM u`,
	`SELECT n % 10 AS k FROM t INTERSECT SELECT v % 10 FROM u`,
	`SELECT id, n FROM t ORDER BY n DESC, id LIMIT 5`,
	`SELECT id, g, r FROM (SELECT id, g, row_number() OVER (PARTITION BY g ORDER BY n, id) AS r FROM t) AS x WHERE r <= 2`,
	`SELECT id, sum(n) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s, lag(n) OVER (PARTITION BY g ORDER BY id) AS p FROM t`,
	`SELECT g, max(s) AS m FROM (SELECT g, n % 4 AS k, sum(n) AS s FROM t GROUP BY g, n % 4) AS x GROUP BY g`,
	`SELECT k, count(*) AS c, max(at) AS last FROM s GROUP BY k`,
	`SELECT window_start, k, count(*) AS c FROM TUMBLE(s, at, INTERVAL '10 s') GROUP BY window_start, k`,
	`SELECT window_start, count(*) AS c, sum(k) AS n FROM HOP(s, at, INTERVAL '5 s', INTERVAL '20 s') GROUP BY window_start`,
	`SELECT t.id, s.k FROM s JOIN t ON s.k = t.n % 10`,
}

// closing are views that have no equal ad hoc, because they say what is final.
var closing = []string{
	`SELECT window_start, k, count(*) AS c FROM TUMBLE(s, at, INTERVAL '10 s') GROUP BY window_start, k EMIT ON WINDOW CLOSE`,
	`SELECT window_start, window_end, k, count(*) AS c FROM SESSION(s PARTITION BY k, at, INTERVAL '4 s') GROUP BY window_start, window_end, k EMIT ON WINDOW CLOSE`,
}

// TestViewsOfAllKindsThroughRestarts changes tables and a source at random, makes
// checkpoints and restarts in between with other numbers of workers, and holds every
// view against the same query asked ad hoc, and against a pipeline that never stopped.
func TestViewsOfAllKindsThroughRestarts(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { restartAtRandom(t, seed) })
	}
}

func restartAtRandom(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	logs, disk := newMemLogs(), newDisk()
	clock := newFakeClock()
	shape := func(c *Config) {
		clock.set(c)
		c.Workers = 1 + rng.IntN(3)
		c.Fill.ChunkRows = []int{0, 1, 3, 20}[rng.IntN(4)]
		if rng.IntN(2) == 0 {
			c.MemoryBytes = 1 << 20 // most state is on the disk
		}
	}
	b := start(t, logs, on(disk), shape)
	other := start(t, newMemLogs(), clock.set, small(1<<30))
	c, d := b.client(), other.client()
	both := func(text string) {
		t.Helper()
		c.exec(text)
		d.exec(text)
	}
	both(`CREATE TABLE t (id BIGINT PRIMARY KEY, g TEXT, n INT, x TEXT); CREATE TABLE u (g TEXT PRIMARY KEY, v INT)`)
	both(`CREATE SOURCE s (k BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '3 s') WITH (connector = 'pushed')`)
	queries := slices.Concat(viewsOfAllKinds, closing)
	made := map[int]bool{}
	makeView := func(i int) {
		if !made[i] {
			both(fmt.Sprintf(`CREATE MATERIALIZED VIEW v%d AS %s`, i, queries[i]))
			made[i] = true
		}
	}
	for i := range queries {
		if rng.IntN(3) > 0 {
			makeView(i)
		}
	}
	at, checkpoint := 10, uint64(0)
	for range 40 {
		switch k := rng.IntN(20); {
		case k < 8:
			for range 1 + rng.IntN(5) {
				id, g, n := rng.IntN(60), rng.IntN(6), rng.IntN(100)
				both(fmt.Sprintf(`INSERT INTO t VALUES (%d, 'g%d', %d, 'x%d') ON CONFLICT (id) DO UPDATE SET g = excluded.g, n = excluded.n`, id, g, n, n%4))
			}
		case k < 10:
			both(fmt.Sprintf(`DELETE FROM t WHERE id %% 7 = %d`, rng.IntN(7)))
		case k < 12:
			both(fmt.Sprintf(`INSERT INTO u VALUES ('g%d', %d) ON CONFLICT (g) DO UPDATE SET v = excluded.v`, rng.IntN(7), rng.IntN(60)))
		case k < 15:
			at += rng.IntN(5)
			row := fmt.Sprintf("%d %d", rng.IntN(5), at-rng.IntN(5)) // some are late
			b.events("s", 0, row)
			other.events("s", 0, row)
			both(`FLUSH`)
		case k < 16:
			makeView(rng.IntN(len(queries)))
		case k < 18:
			c.exec(`CHECKPOINT`)
			checkpoint = b.e.Snapshot().Step
		default:
			b = b.restart(logs, on(disk), shape)
			b.recovered(checkpoint, int64(b.e.Snapshot().Step-checkpoint))
			c = b.client()
		}
	}
	both(`FLUSH`)
	for i, q := range queries {
		if !made[i] {
			continue
		}
		got, _, err := c.run(fmt.Sprintf(`SELECT * FROM v%d`, i))
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := d.run(fmt.Sprintf(`SELECT * FROM v%d`, i))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s\n got %q\nwant %q", q, got, want)
		}
		if i >= len(viewsOfAllKinds) {
			continue
		}
		adhoc, _, err := c.run(q)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(adhoc)
		if !slices.Equal(got, adhoc) {
			t.Errorf("%s\n as a view %q\n   ad hoc %q", q, got, adhoc)
		}
	}
}
