package engine

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// bounds returns the first and last position of a log.
func (m *memLogs) bounds(name string) (first, last uint64) {
	l, _ := m.OpenLog(nil, name)
	first, last, _ = l.Bounds(nil)
	return first, last
}

// TestTrimmedLogAndSource goes on behind checkpoints when the log and a source have lost
// their beginnings.
func TestTrimmedLogAndSource(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	var later atomic.Int64 // nanoseconds
	logs.clock = func() time.Time {
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(later.Load()))
	}
	timed := func(c *Config) { c.Clock = logs.clock }
	b := start(t, logs, on(disk), timed)
	c := b.client()
	c.exec(`CREATE SOURCE kept (k INT, name TEXT) WITH (connector = 'pushed')`)
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed', retention = '1 hour')`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT k FROM s WHERE k > 0`)
	id := b.e.Snapshot().Catalog.Lookup(nil, "public", "s").ID
	stream := fmt.Sprint("SRC_tidemill_", id)
	step := func(n int) {
		t.Helper()
		for i := range n {
			b.push("s", int64(i+1), "x")
			b.push("kept", int64(i+1), "y")
		}
		c.exec(`FLUSH`)
	}
	checkpoint := func() {
		t.Helper()
		c.exec(`CREATE TABLE IF NOT EXISTS other (n INT); INSERT INTO other VALUES (1); CHECKPOINT`)
		b.tidied()
	}
	step(10)
	checkpoint()
	later.Add(int64(2 * time.Hour))
	step(5)
	c.want(`SELECT count(*) FROM s`, "15")
	checkpoint() // the older of the two holds the first ten, which are too old
	c.want(`SELECT count(*) FROM s`, "5")
	if first, last := logs.bounds(stream); first != 11 || last != 15 {
		t.Fatalf("the source has blocks %d to %d", first, last)
	}
	if first, _ := logs.bounds("LOG_tidemill"); first == 1 {
		t.Fatal("the log begins at 1")
	}
	c.want(`SELECT count(*) FROM v`, "15")
	c.want(`SELECT count(*) FROM kept`, "15")
	c.exec(`CREATE MATERIALIZED VIEW later AS SELECT k + 1 AS n FROM s`)
	c.want(`SELECT count(*) FROM later`, "5")
	later.Add(int64(2 * time.Hour))
	step(1)
	// A replay makes view later again, so that what it was made of stays.
	checkpoint()
	c.want(`SELECT count(*) FROM s`, "6")

	at := b.e.Snapshot().Step
	step(1)
	b = b.restart(logs, on(disk), timed)
	b.recovered(at, int64(b.e.Snapshot().Step-at))
	c = b.client()
	c.want(`SELECT count(*) FROM s`, "7")
	c.want(`SELECT count(*) FROM v`, "17")
	c.want(`SELECT count(*) FROM kept`, "17")
	checkpoint()
	checkpoint()
	checkpoint() // now both are behind that view's making
	c.want(`SELECT count(*) FROM s`, "2")
	c.want(`SELECT count(*) FROM v`, "17")

	// What comes is numbered on, and a subscriber sees it.
	later.Add(int64(2 * time.Hour))
	step(1)
	b = b.restart(logs, on(disk), timed)
	c = b.client()
	c.want(`SELECT count(*) FROM s`, "3")
	checkpoint()
	checkpoint()
	c.want(`SELECT count(*) FROM s`, "1")
	later.Add(int64(2 * time.Hour))
	checkpoint()
	c.want(`SELECT count(*) FROM s`, "1") // the last block of a log stays
	b = b.restart(logs, on(disk), timed)
	b.client().want(`SELECT count(*) FROM v`, "18")
}

func TestRetentionBySize(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed', retention = '1 MB'); CREATE TABLE other (n INT)`)
	text := make([]byte, 100<<10)
	for i := range text {
		text[i] = byte('a' + i*i%26 + i/1000%26)
	}
	for i := range 30 {
		b.push("s", int64(i), fmt.Sprint(i)+string(text))
	}
	for range 2 {
		c.exec(`FLUSH; INSERT INTO other VALUES (1); CHECKPOINT`)
		b.tidied()
	}
	rows, _, err := c.run(`SELECT count(*), max(k) FROM s`)
	if err != nil {
		t.Fatal(err)
	}
	log, _ := logs.OpenLog(t.Context(), fmt.Sprint("SRC_tidemill_", b.e.Snapshot().Catalog.Lookup(nil, "public", "s").ID))
	size, _ := log.(sizer).SizeBytes(t.Context())
	if size > 1<<20 || size < 900<<10 && rows[0] != "30, 29" {
		t.Errorf("%d bytes are left, rows %q", size, rows)
	}
}

func TestRetentionIsChecked(t *testing.T) {
	b := start(t, newMemLogs())
	c := b.client()
	for _, bad := range []string{"soon", "10", "-1 day", "10 XB", "0 kB", "1 second", "1 month", ""} {
		c.fails(fmt.Sprintf(`CREATE SOURCE s (k INT) WITH (connector = 'pushed', retention = '%s')`, bad), "22023", "retention")
	}
	c.fails(`CREATE SOURCE s (k INT, n INT) WITH (connector = 'counting', retention = '1 day')`, "0A000", "retention")
	c.fails(`CREATE TABLE s (k INT) WITH (retention = '1 day')`, "0A000", "retention")
	c.exec(`CREATE SOURCE s (k INT) WITH (connector = 'pushed')`)
	for _, cs := range []struct{ stmt, code, message string }{
		{`ALTER SOURCE s SET (retention = 'x')`, "22023", "retention"},
		{`ALTER SOURCE s SET (connector = 'x')`, "0A000", "changing option"},
		{`ALTER SOURCE none SET (retention = '1 day')`, "42P01", "does not exist"},
		{`ALTER SOURCE s RENAME TO x`, "0A000", "not supported"},
		{`ALTER SOURCE s ADD COLUMN x INT`, "0A000", "not supported"},
	} {
		c.fails(cs.stmt, cs.code, cs.message)
	}
	option := func() string {
		v, _ := b.e.Snapshot().Catalog.Lookup(nil, "public", "s").Option("retention")
		return v
	}
	if tag := c.exec(`ALTER SOURCE s SET (retention = '2 days')`); tag != "ALTER SOURCE" || option() != "2 days" {
		t.Errorf("%s, retention %q", tag, option())
	}
	c.exec(`ALTER SOURCE s SET (retention = '10 GB')`)
	b = b.restart(b.cfg.Logs)
	if option() != "10 GB" {
		t.Errorf("retention %q after a restart", option())
	}
	c = b.client()
	if c.exec(`ALTER SOURCE s RESET (retention)`); option() != "" {
		t.Errorf("retention %q", option())
	}
	c.exec(`DROP SOURCE s`)
	for _, good := range []string{"7 days", "10 GB", "90 minutes", "1h", "5mb"} {
		c.exec(fmt.Sprintf(`CREATE SOURCE s (k INT) WITH (connector = 'pushed', retention = '%s'); DROP SOURCE s`, good))
	}
}

func TestStorage(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed', retention = '7 days'); CREATE TABLE t (n INT); INSERT INTO t VALUES (1)`)
	b.push("s", 1, "x")
	look := func() map[string]StorageRow {
		t.Helper()
		list, err := b.e.Storage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]StorageRow{}
		for _, r := range list {
			out[r.Kind+" "+r.Name] = r
		}
		return out
	}
	rows := look()
	if r := rows["log tidemill"]; r.First != 1 || r.Bytes == 0 || r.KeptFor != "a restart from its beginning, until two checkpoints are complete" {
		t.Errorf("%+v", r)
	}
	if r := rows["source s"]; r.Last != 1 || r.KeptFor != "retention 168h0m0s, and two complete checkpoints" {
		t.Errorf("%+v", r)
	}
	if r := rows["changes t"]; r.First == 0 || r.Bytes == 0 {
		t.Errorf("%+v", r)
	}
	c.exec(`FLUSH; CHECKPOINT; INSERT INTO t VALUES (2); CHECKPOINT`)
	b.tidied()
	rows = look()
	if r := rows["log tidemill"]; r.First == 1 || !strings.HasPrefix(r.KeptFor, "a restart from the checkpoint of step ") {
		t.Errorf("%+v", r)
	}
	ckpts := 0
	for _, r := range rows {
		if r.Kind == "checkpoint" && strings.HasPrefix(r.KeptFor, "a restart") && r.Bytes > 0 {
			ckpts++
		}
	}
	if ckpts != 2 || rows["scratch scratch"].KeptFor == "" {
		t.Errorf("%d checkpoints in %+v", ckpts, rows)
	}
}
