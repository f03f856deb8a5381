package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// chunks lets circuits be filled with so many rows at a time.
func chunks(rows int) func(*Config) { return func(c *Config) { c.Fill.ChunkRows = rows } }

// TestFillInChunks makes views and sinks over what is there, with chunks of every size:
// also those that close windows by watermarks, whose rows the marks of now would make
// late, and those that depend on the steps, which have one chunk.
func TestFillInChunks(t *testing.T) {
	queries := slices.Concat(viewsOfAllKinds, closing, []string{
		`SELECT s.k, d.v FROM s JOIN u FOR SYSTEM_TIME AS OF PROCTIME() AS d ON d.g = 'g' || s.k`,
		`SELECT a.k, b.at FROM s AS a JOIN s AS b ON a.k = b.k AND b.at BETWEEN a.at AND a.at + INTERVAL '5 s'`,
	})
	var want [][]string
	for _, rows := range []int{1 << 20, 1, 3, 50} {
		b := start(t, newMemLogs(), on(newDisk()), newFakeClock().set, chunks(rows))
		c := b.client()
		c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g TEXT, n INT, x TEXT); CREATE TABLE u (g TEXT PRIMARY KEY, v INT)`)
		c.exec(`CREATE SOURCE s (k BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '3 s') WITH (connector = 'pushed')`)
		c.exec(`INSERT INTO t SELECT i, 'g' || i % 7, i % 50, 'x' || i % 4 FROM generate_series(1, 200) AS i`)
		for i := range 5 { // so that the table's rows are in several runs, some of them gone
			c.exec(fmt.Sprintf(`UPDATE t SET n = n + 1 WHERE id %% 5 = %d; DELETE FROM t WHERE id %% 40 = %d; INSERT INTO u VALUES ('g%d', %d)`, i, i, i, i*9))
			var events []string
			for k := range 20 {
				events = append(events, fmt.Sprintf("%d %d", k%5, i*12+k/2))
			}
			b.events("s", 0, events...)
		}
		c.exec(`FLUSH`)
		for i, q := range queries {
			c.exec(fmt.Sprintf(`CREATE MATERIALIZED VIEW v%d AS %s; CREATE SINK k%d AS %s WITH (connector = 'kept')`, i, q, i, q))
		}
		check := func(when string) {
			t.Helper()
			for i, q := range queries {
				got, _, err := c.run(fmt.Sprintf(`SELECT * FROM v%d`, i))
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(got)
				if rows == 1<<20 {
					want = append(want, got)
					continue
				}
				w := want[0]
				if want = want[1:]; !slices.Equal(got, w) {
					t.Errorf("%s, in chunks of %d rows: %s\n got %q\nwant %q", when, rows, q, got, w)
				}
				want = append(want, w)
			}
		}
		check("at first")
		for i := range queries { // a sink's first change is net, and in order
			var got []string
			if rows, _, _ := c.run(fmt.Sprintf(`SELECT * FROM v%d`, i)); len(rows) == 0 {
				continue
			}
			for len(got) == 0 {
				wait := b.sink.more.wait()
				b.sink.mu.Lock()
				got = slices.Clone(b.sink.got[fmt.Sprintf("k%d", i)])
				b.sink.mu.Unlock()
				if len(got) == 0 {
					<-wait
				}
			}
			if rows == 1<<20 {
				want = append(want, got)
				continue
			}
			w := want[0]
			if want = want[1:]; !slices.Equal(got, w) {
				t.Errorf("in chunks of %d rows: sink of %s\n got %q\nwant %q", rows, queries[i], got, w)
			}
			want = append(want, w)
			for _, line := range got {
				if strings.HasPrefix(line, "-") {
					t.Errorf("sink of %s begins with %s", queries[i], line)
				}
			}
		}
		c.exec(`UPDATE t SET n = n + 1, g = 'g1' WHERE id % 9 = 0; DELETE FROM u WHERE g = 'g2'`)
		b.events("s", 0, "1 70", "2 95")
		c.exec(`FLUSH`)
		check("after more changes")
		b.stop()
	}
}
