package engine

import (
	"flag"
	"fmt"
	"math"
	"testing"
	"time"
)

var pauseRows = flag.Int("pause", 0, "over how many rows TestPauseOfMaking makes views; 0: it is skipped")

// TestPauseOfMaking measures how long a writer waits at most while a view, a sink and an index
// are made over many rows: in the leader's turn, and beside the steps.
func TestPauseOfMaking(t *testing.T) {
	if *pauseRows == 0 {
		t.Skip("takes a minute; -pause 2000000")
	}
	for _, how := range []struct {
		name  string
		large int64
	}{{"in the leader's turn", math.MaxInt64}, {"beside the steps", 0}} {
		b := start(t, newMemLogs(), on(newDisk()), func(c *Config) { c.Fill.LargeRows, c.Workers = how.large, 2 })
		c := b.client()
		c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g INT, n INT); CREATE TABLE w (id INT PRIMARY KEY)`)
		for from := 0; from < *pauseRows; from += 100_000 {
			c.exec(fmt.Sprintf(`INSERT INTO t SELECT i, i %% 100000, i %% 1000 * 7919 %% 1000 FROM generate_series(%d, %d) AS i`, from, from+99_999))
		}
		for _, what := range []string{
			`CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c, sum(n) AS s, max(n) AS m FROM t GROUP BY g`,
			`CREATE MATERIALIZED VIEW f AS SELECT id, n FROM t WHERE n > 100`,
			`CREATE SINK k AS SELECT id, n FROM t WHERE n > 100 WITH (connector = 'kept')`,
			`CREATE INDEX t_n ON t (n)`,
		} {
			done, longest, writes := make(chan struct{}), time.Duration(0), 0
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				w := b.client()
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					began := time.Now()
					w.exec(fmt.Sprintf(`INSERT INTO w VALUES (%d) ON CONFLICT DO NOTHING; UPDATE t SET n = n + 1 WHERE id = %d`, i, i))
					longest = max(longest, time.Since(began))
					writes++
				}
			}()
			began := time.Now()
			c.exec(what)
			took := time.Since(began)
			close(done)
			<-stopped
			t.Logf("%s, %d rows: %s: took %v; longest pause of a writer %v, %d writes", how.name, *pauseRows, what[:25], took.Round(time.Millisecond), longest.Round(100*time.Microsecond), writes)
		}
		b.stop()
	}
}
