package engine

import (
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

// TestRowsComeAndGoByTime lets time pass over views with temporal filters: made
// before the rows and after, across a restart, under withdrawals.
func TestRowsComeAndGoByTime(t *testing.T) {
	logs, clock := newMemLogs(), newFakeClock()
	b := start(t, logs, clock.set)
	c := b.client()
	c.exec(`CREATE TABLE ev (k INT, at TIMESTAMPTZ); CREATE TABLE tick (n INT)`)
	const last = ` AS SELECT k FROM ev WHERE at > now() - INTERVAL '10 s' AND at <= now()`
	const many = ` AS SELECT count(*) FROM ev WHERE at BETWEEN now() - INTERVAL '10 s' AND now()`
	c.exec(`CREATE MATERIALIZED VIEW last` + last + `; CREATE MATERIALIZED VIEW many` + many)
	c.exec(`CREATE MATERIALIZED VIEW tomorrow AS SELECT k FROM ev WHERE at::date > CURRENT_DATE`)
	c.exec(`INSERT INTO ev VALUES (1, '2026-01-01 00:00:00'), (2, '2026-01-01 00:00:05'), (3, '2025-12-31 23:59:49'), (4, '2026-01-02 00:00:00'), (5, NULL)`)
	at := func(after time.Duration, rows ...string) {
		t.Helper()
		clock.pass(after)
		c.exec(`INSERT INTO tick VALUES (1)`) // a step
		c.want(`SELECT k FROM last ORDER BY k`, rows...)
		c.want(`SELECT count(*) - (SELECT * FROM many) FROM last`, "0")
	}
	at(0, "1")
	c.want(`SELECT k FROM tomorrow`, "4")
	at(5*time.Second, "1", "2")
	at(4*time.Second, "1", "2")
	c.exec(`DELETE FROM ev WHERE k = 1; INSERT INTO ev VALUES (6, '2026-01-01 00:00:01'), (7, '2026-01-01 00:00:20')`)
	at(0, "2", "6")
	c.exec(`CREATE MATERIALIZED VIEW after` + last)
	c.want(`SELECT k FROM after ORDER BY k`, "2", "6")
	at(time.Second+500*time.Millisecond, "2", "6")
	b.stop()
	b = start(t, logs, clock.set)
	c = b.client()
	c.want(`SELECT k FROM last ORDER BY k`, "2", "6")
	at(time.Second, "2")
	c.want(`SELECT k FROM after ORDER BY k`, "2")
	at(10*time.Second, "7")
	at(time.Hour)
	at(23*time.Hour-20*time.Second, "4")
	c.want(`SELECT k FROM tomorrow`)
}

// TestAStepIsMadeWhenTimeIsUp waits, with the real clock and nothing coming in, until
// a row has left.
func TestAStepIsMadeWhenTimeIsUp(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE ev (k INT, at TIMESTAMPTZ);
		CREATE MATERIALIZED VIEW last AS SELECT k FROM ev WHERE at > now() - INTERVAL '700 ms';
		CREATE MATERIALIZED VIEW kinds WITH (state_ttl = '700 ms') AS SELECT DISTINCT k FROM ev`)
	c.exec(`INSERT INTO ev VALUES (1, now())`)
	for _, view := range []string{"last", "kinds"} {
		b.until(func() bool {
			rows, _, err := c.run(`SELECT k FROM ` + view)
			if err != nil {
				t.Fatal(err)
			}
			return len(rows) == 0
		})
	}
	c.want(`SELECT k FROM ev`, "1")
}

// TestStateTTL shows what a view with state_ttl is: its query over the rows of the
// last so much time.
func TestStateTTL(t *testing.T) {
	logs, clock := newMemLogs(), newFakeClock()
	b := start(t, logs, clock.set)
	c := b.client()
	c.exec(`CREATE TABLE ev (k INT, v INT)`)
	const sums = ` AS SELECT k, sum(v) FROM ev GROUP BY k`
	c.exec(`CREATE MATERIALIZED VIEW day WITH (state_ttl = '1 day')` + sums)
	c.exec(`CREATE MATERIALIZED VIEW linear WITH (state_ttl = '1 day') AS SELECT k + 1 FROM ev`)
	c.exec(`INSERT INTO ev VALUES (1, 10), (2, 20)`)
	clock.pass(15 * time.Hour)
	c.exec(`INSERT INTO ev VALUES (1, 1)`)
	c.exec(`CREATE MATERIALIZED VIEW later WITH (state_ttl = '1 day')` + sums)
	c.want(`SELECT * FROM day ORDER BY k`, "1, 11", "2, 20")
	clock.pass(10 * time.Hour)
	c.exec(`INSERT INTO ev VALUES (3, 3)`)
	c.want(`SELECT * FROM day ORDER BY k`, "1, 1", "3, 3")
	c.want(`SELECT * FROM later ORDER BY k`, "1, 11", "2, 20", "3, 3") // counts from its making
	c.exec(`DELETE FROM ev WHERE v = 10; UPDATE ev SET v = 2 WHERE v = 1`)
	c.want(`SELECT * FROM day ORDER BY k`, "1, 2", "3, 3")
	c.want(`SELECT count(*) FROM linear`, "3")
	b.stop()
	b = start(t, logs, clock.set)
	c = b.client()
	c.want(`SELECT * FROM day ORDER BY k`, "1, 2", "3, 3")
	clock.pass(23 * time.Hour)
	c.exec(`INSERT INTO ev VALUES (4, 4)`)
	c.want(`SELECT * FROM day ORDER BY k`, "1, 2", "3, 3", "4, 4")
	c.want(`SELECT * FROM later ORDER BY k`, "1, 2", "3, 3", "4, 4")
	clock.pass(2 * time.Hour)
	c.exec(`INSERT INTO ev VALUES (4, 1)`)
	c.want(`SELECT * FROM day ORDER BY k`, "4, 5")
	c.want(`SELECT count(*) FROM linear`, "5")
	c.fails(`CREATE MATERIALIZED VIEW bad WITH (state_ttl = '1 month')`+sums, types.CodeInvalidParameter,
		`option state_ttl: "1 month" has months, whose length varies`)
}

// TestLookupsAreNotCorrected joins a stream with a table as it is when a row comes.
func TestLookupsAreNotCorrected(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE TABLE bid (k INT, n INT) APPEND ONLY; CREATE TABLE side (k INT PRIMARY KEY, name TEXT)`)
	c.exec(`INSERT INTO side VALUES (1, 'one'), (2, 'two')`)
	const q = ` AS SELECT b.n, s.name FROM bid b LEFT JOIN side FOR SYSTEM_TIME AS OF PROCTIME() AS s ON b.k = s.k`
	c.exec(`CREATE MATERIALIZED VIEW before` + q)
	c.exec(`INSERT INTO bid VALUES (1, 10), (3, 30)`)
	c.exec(`UPDATE side SET name = 'uno' WHERE k = 1; INSERT INTO side VALUES (3, 'tre')`)
	c.exec(`INSERT INTO bid VALUES (1, 11), (3, 31)`)
	c.exec(`DELETE FROM side WHERE k = 1`)
	c.exec(`BEGIN; INSERT INTO bid VALUES (2, 20); UPDATE side SET name = 'due' WHERE k = 2; COMMIT`)
	want := []string{"10, one", "11, uno", "20, due", "30, null", "31, tre"}
	c.want(`SELECT * FROM before ORDER BY n`, want...)
	c.exec(`CREATE MATERIALIZED VIEW after` + q)
	now := []string{"10, null", "11, null", "20, due", "30, tre", "31, tre"}
	c.want(`SELECT * FROM after ORDER BY n`, now...)
	b.stop()
	b = start(t, logs)
	c = b.client()
	c.want(`SELECT * FROM before ORDER BY n`, want...)
	c.want(`SELECT * FROM after ORDER BY n`, now...)
	c.exec(`CREATE TABLE hit (k INT, p TIMESTAMPTZ AS PROCTIME()) APPEND ONLY;
		CREATE MATERIALIZED VIEW hits AS SELECT h.k, s.name FROM hit h JOIN side FOR SYSTEM_TIME AS OF h.p AS s ON h.k = s.k`)
	c.exec(`INSERT INTO hit VALUES (2), (3); DELETE FROM side; INSERT INTO hit VALUES (2)`)
	c.want(`SELECT * FROM hits ORDER BY k`, "2, due", "3, tre")
	c.fails(`CREATE MATERIALIZED VIEW bad AS SELECT a.name FROM side a JOIN side FOR SYSTEM_TIME AS OF now() b ON a.k = b.k`,
		types.CodeFeature, "the left side of FOR SYSTEM_TIME AS OF PROCTIME() in a view must be append-only, since what was joined once is never taken back")
}

// TestVersionsOfAStream joins with what was valid at a row's time: versions are the
// rows of a stream, and a view that keeps the last of them stands for the stream.
func TestVersionsOfAStream(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE TABLE rate (cur TEXT, r INT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 s') APPEND ONLY`)
	c.exec(`CREATE TABLE pay (n INT, cur TEXT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 s') APPEND ONLY`)
	c.exec(`CREATE VIEW latest AS SELECT cur, r, at FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY cur ORDER BY at DESC) AS rn FROM rate) x WHERE rn = 1`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT p.n, r.r FROM pay p LEFT JOIN rate FOR SYSTEM_TIME AS OF p.at r ON p.cur = r.cur`)
	c.exec(`CREATE MATERIALIZED VIEW w AS SELECT p.n, r.r FROM pay p LEFT JOIN latest FOR SYSTEM_TIME AS OF p.at r ON p.cur = r.cur`)
	check := func(rows ...string) {
		t.Helper()
		c.want(`SELECT * FROM v ORDER BY n`, rows...)
		c.want(`SELECT * FROM w ORDER BY n`, rows...)
		c.want(`SELECT p.n, r.r FROM pay p LEFT JOIN latest FOR SYSTEM_TIME AS OF p.at r ON p.cur = r.cur ORDER BY n`, rows...)
	}
	c.exec(`INSERT INTO pay VALUES (1, 'eur', '2026-01-01 00:00:10'), (2, 'eur', '2026-01-01 00:00:12')`)
	check("1, null", "2, null")
	c.exec(`INSERT INTO rate VALUES ('eur', 5, '2026-01-01 00:00:10'), ('usd', 6, '2026-01-01 00:00:00')`)
	check("1, 5", "2, 5")
	c.exec(`INSERT INTO rate VALUES ('eur', 7, '2026-01-01 00:00:11')`)
	c.exec(`INSERT INTO pay VALUES (3, 'eur', '2026-01-01 00:01:00'), (4, 'usd', '2026-01-01 00:00:58')`)
	check("1, 5", "2, 7", "3, 7", "4, 6")
	c.exec(`INSERT INTO rate VALUES ('usd', 8, '2026-01-01 00:00:57')`)
	check("1, 5", "2, 7", "3, 7", "4, 8")
	c.fails(`SELECT * FROM pay p JOIN latest FOR SYSTEM_TIME AS OF p.at r ON p.n = r.r`, types.CodeFeature,
		"the versions of view latest are told apart by (cur): FOR SYSTEM_TIME AS OF needs an equality with each of these columns and with no other")
}
