package engine

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSubscriberResumesFromBeforeTheCheckpoint comes back after a restart with a step that
// is older than the checkpoint.
func TestSubscriberResumesFromBeforeTheCheckpoint(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, n INT); CREATE MATERIALIZED VIEW v AS SELECT n % 3 AS k, sum(n) AS s FROM t GROUP BY n % 3`)
	c.exec(`CREATE SINK k FROM v WITH (connector = 'kept')`)
	c.exec(`INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)`)
	from := b.e.Snapshot().Step
	for i := range 5 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, %d)`, 10+i, i))
	}
	c.exec(`CHECKPOINT; INSERT INTO t VALUES (20, 7); DELETE FROM t WHERE id = 2; CHECKPOINT; INSERT INTO t VALUES (21, 8)`)
	b.tidied()
	to := b.e.Snapshot().Step
	follow := func() []string {
		return c.there(c.follow(fmt.Sprintf(`SUBSCRIBE v AS OF %d UP TO %d`, from, to)))
	}
	want := follow()
	if len(want) < 10 {
		t.Fatal(want)
	}
	b = b.restart(logs, on(disk))
	b.recovered(to-1, 1)
	c = b.client()
	if got := follow(); !slices.Equal(got, want) {
		t.Errorf("after the restart\n got %q\nwant %q", got, want)
	}
}

var soak = flag.Duration("soak", 0, "how long TestDiskUseStaysFlat runs")

// TestDiskUseStaysFlat feeds an endless stream through views of bounded state: what is on
// the disk does not grow, but for the recent changes that are kept up to their bound. It
// is short unless -soak says otherwise.
func TestDiskUseStaysFlat(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE SOURCE s (k BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 s') WITH (connector = 'pushed', retention = '40 kB')`)
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS n, max(at) AS last FROM s GROUP BY k`)
	c.exec(`CREATE SINK closed AS SELECT window_start, k, count(*) AS n FROM TUMBLE(s, at, INTERVAL '10 s') GROUP BY window_start, k
		EMIT ON WINDOW CLOSE WITH (connector = 'kept')`)
	used := func() int64 {
		t.Helper()
		rows, err := b.e.Storage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		logged, changes := int64(0), int64(0)
		for _, r := range rows {
			switch r.Kind {
			case "log", "source":
				logged += r.Bytes
			case "changes": // kept up to a bound, which is not reached here
				changes += r.Bytes
			}
		}
		if n := disk.Used(); n > 256<<10+changes {
			t.Fatalf("checkpoints take %d bytes, %d of recent changes among them", n, changes)
		}
		return logged
	}
	began := time.Now()
	var sizes []int64
	at := 0
	for round := 0; round < 30 || time.Since(began) < *soak; round++ {
		for range 10 {
			var rows []string
			for range 100 {
				at++
				rows = append(rows, fmt.Sprintf("%d %d", at%7, at/10))
			}
			b.events("s", 0, rows...)
			c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, '%s') ON CONFLICT (id) DO UPDATE SET x = excluded.x`, at%100, strings.Repeat("x", at%50)))
		}
		c.exec(`FLUSH; CHECKPOINT`)
		b.tidied()
		if round%7 == 6 {
			b = b.restart(logs, on(disk))
			c = b.client()
		}
		sizes = append(sizes, used())
	}
	half := len(sizes) / 2
	before, after := slices.Max(sizes[half/2:half]), slices.Max(sizes[half:])
	if after > before+before/4 {
		t.Errorf("%d bytes are used, %d before: %v", after, before, sizes)
	}
	t.Logf("bytes of logs after the last rounds: %v; %d of checkpoints", sizes[max(0, len(sizes)-10):], disk.Used())
}
