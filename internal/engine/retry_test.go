package engine

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

// TestQuarantineOutlivesTheStream trims the block that a row came in.
func TestQuarantineOutlivesTheStream(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	var later atomic.Int64
	logs.clock = func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(later.Load())) }
	p := &poison{}
	config := []func(*Config){p.on, on(disk), func(c *Config) { c.Clock = logs.clock }}
	b := start(t, logs, config...)
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed', retention = '1 hour'); CREATE TABLE other (n INT)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, sum(k) AS s FROM s`)
	p.set(5)
	b.fill("s", 0, 10)
	c.exec(`FLUSH`)
	c.want(`SELECT * FROM v`, "9, 40")
	later.Store(int64(2 * time.Hour))
	for i := range 4 {
		b.fill("s", int64(100+i), 1)
		c.exec(`FLUSH; INSERT INTO other VALUES (1); CHECKPOINT`)
		b.tidied()
	}
	c.want(`SELECT count(*) FROM s WHERE k < 100`, "0") // they are gone
	b = b.restart(logs, config...)
	c = b.client()
	if got := b.quarantine(); len(got) != 1 || !strings.HasSuffix(got[0], "(5, n5)") {
		t.Fatalf("in quarantine: %q", got)
	}
	p.set()
	c.exec(`CALL tidemill.retry('s', 5)`)
	c.want(`SELECT * FROM v`, "14, 451")
	b.wantQuarantine()
	b = b.restart(logs, config...)
	b.client().want(`SELECT * FROM v`, "14, 451")
	b.wantQuarantine()
}

// TestRetryOfARecordThatWasNoRow cannot be.
func TestRetryOfARecordThatWasNoRow(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed'); CREATE TABLE t (n INT)`)
	if _, err := b.src.to(t, "s").Append(t.Context(), connector.Block{Bad: []connector.Bad{{Data: []byte("{"), Reason: "not JSON"}}}); err != nil {
		t.Fatal(err)
	}
	c.exec(`FLUSH`)
	c.fails(`CALL tidemill.retry('s', 0)`, "0A000", "was never a row")
	c.fails(`CALL tidemill.retry('s', 1)`, "22023", "no row at position 1")
	c.fails(`CALL tidemill.retry('s', -1)`, "22023", "no row")
	c.fails(`CALL tidemill.retry('t', 1)`, "42809", "is not a source")
	c.fails(`CALL tidemill.retry('u', 1)`, "42P01", "does not exist")
	c.fails(`CALL tidemill.retry()`, "42883", "with 0 arguments")
	c.fails(`CALL tidemill.retry(NULL)`, "22004", "null")
	c.fails(`CALL other(1)`, "42883", "procedure other does not exist")
	c.exec(`CALL tidemill.retry('s')`)
	c.exec(`BEGIN`)
	c.fails(`CALL tidemill.retry('s')`, "25001", "transaction block")
}

// TestPoisonAndEventTime computes a step again in which rows are late, and retries rows
// before and after the watermark has passed them.
func TestPoisonAndEventTime(t *testing.T) {
	logs := newMemLogs()
	p := &poison{}
	b := start(t, logs, p.on)
	c := b.client()
	c.exec(`CREATE TABLE ev (k INT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1 second') APPEND ONLY;
		CREATE SOURCE s (k INT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 seconds') WITH (connector = 'pushed');
		CREATE MATERIALIZED VIEW v AS SELECT window_start, count(*) AS c FROM TUMBLE(ev, at, INTERVAL '10 seconds') GROUP BY window_start;
		CREATE MATERIALIZED VIEW w AS SELECT window_start, count(*) AS c FROM TUMBLE(s, at, INTERVAL '10 seconds') GROUP BY window_start EMIT ON WINDOW CLOSE;
		INSERT INTO ev VALUES (1, '2026-01-01 00:01:00')`)
	p.set(7)
	var wg sync.WaitGroup
	b.held(func() {
		for i, text := range []string{`(2, '2026-01-01 00:00:03'), (3, '2026-01-01 00:02:00')`, `(7, '2026-01-01 00:09:00')`, `(4, '2026-01-01 00:01:59')`} {
			own := b.client()
			wg.Go(func() { own.run(`INSERT INTO ev VALUES ` + text) })
			for len(b.e.submit) <= i {
				runtime.Gosched()
			}
		}
	})
	wg.Wait()
	same := func() {
		t.Helper()
		c.want(`SELECT k FROM ev ORDER BY k`, "1", "3", "4")
		c.want(`SELECT sum(c) FROM v`, "3")
		for _, m := range b.e.Watermarks(b.e.Snapshot()) {
			if m.Name == "ev" && m.Late != 1 {
				t.Fatalf("%d rows are late, want one", m.Late)
			}
		}
	}
	same()
	push := func(k, second int64) {
		t.Helper()
		at := int64(26*365+7)*86400 + second // since 2000
		rows := batch.FromRows([]types.Type{types.T(types.Int4), types.T(types.Timestamp)}, [][]types.Value{{types.IntValue(types.Int4, k), types.IntValue(types.Timestamp, at*1e6)}})
		if _, err := b.src.to(t, "s").Append(t.Context(), connector.Block{Rows: rows}); err != nil {
			t.Fatal(err)
		}
		c.exec(`FLUSH`)
	}
	push(7, 101)
	push(1, 102)
	push(7, 103)
	push(2, 104)
	c.want(`SELECT count(*) FROM s`, "2")
	p.set()
	c.exec(`CALL tidemill.retry('s', 0)`)
	push(3, 200)
	c.want(`SELECT c FROM w`, "3")
	c.fails(`CALL tidemill.retry('s', 2)`, "55000", "the row is late by now: at is 2026-01-01 00:01:43")
	if n := len(b.quarantine()); n != 1 {
		t.Fatalf("%d in quarantine", n)
	}
	b = b.restart(logs, p.on)
	c = b.client()
	same()
	c.want(`SELECT c FROM w`, "3")
	c.want(`SELECT count(*) FROM s`, "4")
	c.exec(`DROP SOURCE s CASCADE`)
	b.wantQuarantine()
	b = b.restart(logs, p.on)
	b.wantQuarantine()
}

// TestSkippedRowsAreBounded drops the oldest, and leaves them out all the same.
func TestSkippedRowsAreBounded(t *testing.T) {
	const n = MaxSkippedRows + 5
	many := make([]skippedRow, n)
	for i := range many {
		many[i] = skippedRow{Source: 7, Position: uint64(n - i), Reason: "x"}
	}
	var r *skippedRows
	for _, part := range [][]skippedRow{many[:1], many[1 : n-2], many[n-2:]} {
		r = r.with(part)
	}
	if len(r.Rows) > MaxSkippedRows || r.Dropped == 0 || int(r.Dropped)+len(r.Rows) != r.count() {
		t.Fatalf("%d rows, %d dropped, %d positions", len(r.Rows), r.Dropped, r.count())
	}
	if !slices.IsSorted(r.out(7)) {
		t.Fatal("positions do not ascend")
	}
	oldest := r.out(7)[len(r.out(7))-1]
	if slices.ContainsFunc(r.Rows, func(x skippedRow) bool { return x.Position == oldest }) {
		t.Fatal("the oldest is kept")
	}
	big := (*skippedRows)(nil).with([]skippedRow{{Source: 1, Position: 1, Row: make([]byte, MaxSkippedBytes)}, {Source: 1, Position: 2, Row: make([]byte, 1)}})
	if len(big.Rows) != 1 || big.Rows[0].Position != 2 || !slices.Equal(big.out(1), []uint64{1, 2}) {
		t.Fatalf("%d rows of %v", len(big.Rows), big.out(1))
	}
	if less := big.without(1, 2); len(less.Rows) != 0 || !slices.Equal(less.out(1), []uint64{1}) || !slices.Equal(big.out(1), []uint64{1, 2}) {
		t.Fatal(less, big.out(1))
	}
	if none := big.withoutSource(1); none.count() != 0 || len(none.Rows) != 0 {
		t.Fatal(none)
	}
}
