package engine

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/types"
)

// newDisk is a disk that outlives engines.
func newDisk() *diskmodel.Disk { return diskmodel.New(func(n int) int { return n - 1 }) }

// on keeps checkpoints on a disk, and makes them when asked to.
func on(d ckpt.FS) func(*Config) {
	return func(c *Config) {
		c.Checkpoint = CheckpointConfig{FS: d, Interval: -1, Rate: -1, ReserveBytes: -1, CheckWrites: true}
	}
}

// recovered checks how the engine came up: from which checkpoint, and over how many steps.
func (b *bench) recovered(checkpoint uint64, steps int64) {
	b.Helper()
	s := b.e.Recovery()
	if !s.Ready() || s.CheckpointStep != checkpoint || s.Steps != steps || s.Percent() != 100 {
		b.Fatalf("recovered from the checkpoint of step %d over %d steps (%+v), want step %d and %d steps", s.CheckpointStep, s.Steps, s, checkpoint, steps)
	}
}

// tidied waits until what is not needed any more is gone.
func (b *bench) tidied() {
	b.Helper()
	for busy := true; busy; runtime.Gosched() {
		busy = inLoop(b, b.e.lead.ckpt.tidying.Load)
	}
}

// restart closes the engine and opens another.
func (b *bench) restart(logs Logs, change ...func(*Config)) *bench {
	b.Helper()
	b.stop()
	return start(b.TB, logs, change...)
}

func TestRestartFromACheckpoint(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g TEXT, n INT CHECK (n > 0)); CREATE INDEX t_g ON t (g)`)
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	c.exec(`CREATE VIEW plain AS SELECT g, n FROM t WHERE n > 5`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT g, n * 2 AS m FROM plain`)
	c.exec(`CREATE MATERIALIZED VIEW w AS SELECT name FROM s WHERE k > 1`)
	c.exec(`CREATE FUNCTION twice(x INT) RETURNS INT LANGUAGE SQL AS 'SELECT $1 * 2'`)
	for i := range 20 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, 'g%d', %d)`, i, i%3, i+1))
		b.push("s", int64(i), fmt.Sprint("n", i))
	}
	c.exec(`DELETE FROM t WHERE id = 7; FLUSH; CHECKPOINT`)
	at := b.e.Snapshot().Step
	if m := b.e.Metrics(); m.Checkpoints.Load() != 1 || uint64(m.CheckpointStep.Load()) != at || m.CheckpointBytes.Load() == 0 {
		t.Fatalf("%d checkpoints, the last of step %d and %d bytes", m.Checkpoints.Load(), m.CheckpointStep.Load(), m.CheckpointBytes.Load())
	}
	c.exec(`CHECKPOINT`) // nothing is new
	if n := b.e.Metrics().Checkpoints.Load(); n != 1 {
		t.Fatalf("%d checkpoints of the same state", n)
	}
	b = b.restart(logs, on(disk))
	c = b.client()
	b.recovered(at, 0)
	same := func() {
		t.Helper()
		c.want(`SELECT count(*), sum(n), count(DISTINCT g) FROM t`, "19, 202, 3")
		c.want(`SELECT count(*), sum(m) FROM v`, "14, 374")
		c.want(`SELECT count(*), sum(n) FROM plain`, "14, 187")
		c.want(`SELECT count(*), max(name) FROM w`, "18, n9")
		c.want(`SELECT count(*) FROM s`, "20")
		c.want(`SELECT id FROM t WHERE g = 'g2' ORDER BY id LIMIT 2`, "2", "5")
		c.want(`SELECT twice(4)`, "8")
	}
	same()
	c.fails(`INSERT INTO t VALUES (3, 'x', 1)`, "23505", "duplicate key")
	c.fails(`INSERT INTO t VALUES (50, 'x', 0)`, "23514", "check")

	// It goes on from there, and the steps after it are replayed.
	c.exec(`INSERT INTO t VALUES (7, 'g1', 8)`)
	b.push("s", 100, "nn")
	c.exec(`FLUSH; CREATE MATERIALIZED VIEW x AS SELECT k FROM s`)
	steps := int64(b.e.Snapshot().Step - at)
	b = b.restart(logs, on(disk))
	c = b.client()
	b.recovered(at, steps)
	c.want(`SELECT count(*), sum(n) FROM t`, "20, 210")
	c.want(`SELECT count(*), sum(m) FROM v`, "15, 390")
	c.want(`SELECT count(*), max(name) FROM w`, "19, nn")
	c.want(`SELECT count(*), max(k) FROM x`, "21, 100")
	c.exec(`CHECKPOINT; DROP MATERIALIZED VIEW w; INSERT INTO t VALUES (30, 'z', 9)`)
	b = b.restart(logs, on(disk))
	b.recovered(at+uint64(steps), 1)
	c = b.client()
	c.fails(`SELECT * FROM w`, "42P01", "does not exist")
	c.want(`SELECT m FROM v WHERE g = 'z'`, "18")
}

// TestDamagedCheckpoints damages the newest checkpoint, then both.
func TestDamagedCheckpoints(t *testing.T) {
	for _, cs := range []struct {
		name   string
		damage func(t *testing.T, d *diskmodel.Disk, file string)
	}{
		{"flipped bit in a pack", func(t *testing.T, d *diskmodel.Disk, file string) {
			if strings.HasPrefix(file, "packs/") {
				damage(t, d.Flip(file, 8*200))
			}
		}},
		{"flipped bit in a manifest", func(t *testing.T, d *diskmodel.Disk, file string) {
			if strings.HasPrefix(file, "manifests/") {
				damage(t, d.Flip(file, 8*200))
			}
		}},
		{"short pack", func(t *testing.T, d *diskmodel.Disk, file string) {
			if strings.HasPrefix(file, "packs/") {
				damage(t, d.Truncate(file, 100))
			}
		}},
		{"missing", func(t *testing.T, d *diskmodel.Disk, file string) { damage(t, d.Remove(file)) }},
	} {
		t.Run(cs.name, func(t *testing.T) {
			logs, disk := newMemLogs(), newDisk()
			b := start(t, logs, on(disk))
			c := b.client()
			c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY); CREATE MATERIALIZED VIEW v AS SELECT id + 1 AS n FROM t; INSERT INTO t VALUES (1); CHECKPOINT`)
			first, older := b.e.Snapshot().Step, disk.Files()
			c.exec(`INSERT INTO t VALUES (2); CHECKPOINT; INSERT INTO t VALUES (3)`)
			b.tidied()
			b.stop()
			for _, f := range disk.Files() {
				if !slices.Contains(older, f) {
					cs.damage(t, disk, f.Name)
				}
			}
			b = start(t, logs, on(disk))
			b.recovered(first, 2)
			c = b.client()
			c.want(`SELECT n FROM v ORDER BY n`, "2", "3", "4")
			b.stop()
			for _, f := range older {
				cs.damage(t, disk, f.Name)
			}
			// The log's beginning is gone, since there were two.
			if _, err := Open(t.Context(), b.cfg); err == nil || !strings.Contains(err.Error(), "there is no checkpoint to go on from") {
				t.Fatal(err)
			}
		})
	}
}

// TestTheOnlyCheckpointIsDamaged computes everything again.
func TestTheOnlyCheckpointIsDamaged(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	b.client().exec(`CREATE TABLE t (id BIGINT PRIMARY KEY); INSERT INTO t VALUES (1); CHECKPOINT; INSERT INTO t VALUES (2)`)
	at := b.e.Snapshot().Step
	b.stop()
	for _, f := range disk.Files() {
		if strings.HasPrefix(f.Name, "packs/") {
			damage(t, disk.Flip(f.Name, 8*40))
		}
	}
	b = start(t, logs, on(disk))
	b.recovered(0, int64(at))
	b.client().exec(`INSERT INTO t VALUES (4); CHECKPOINT`)
	b = b.restart(logs, on(disk))
	b.recovered(at+1, 0)
	b.client().want(`SELECT count(*) FROM t`, "3")
}

func damage(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestStateIsDamagedWhileItRuns damages a page or block of the newest checkpoint that is
// read only when it is needed.
func TestStateIsDamagedWhileItRuns(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT); INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 5000) AS i; CHECKPOINT`)
	first, older := b.e.Snapshot().Step, disk.Files()
	c.exec(`UPDATE t SET x = md5(x || 'y'); CHECKPOINT; INSERT INTO t VALUES (5001, 'z')`)
	b.tidied()
	steps := int64(b.e.Snapshot().Step - first)
	b.stop()
	for _, f := range disk.Files() {
		if strings.HasPrefix(f.Name, "packs/") && !slices.Contains(older, f) {
			damage(t, disk.Flip(f.Name, 8*50_000)) // in a block of rows
		}
	}
	b = start(t, logs, on(disk))
	b.recovered(first+uint64(steps)-1, 1)
	c = b.client()
	if _, _, err := c.run(`SELECT count(DISTINCT x) FROM t`); err == nil {
		t.Fatal("damaged rows are read")
	}
	// The merge of runs needs them.
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		_, _, err = c.run(fmt.Sprintf(`INSERT INTO t SELECT i, 'w' FROM generate_series(%d, %d) AS i`, 10_000+i*1000, 10_999+i*1000))
	}
	<-b.e.Done()
	if b.e.Fault() == nil {
		t.Fatalf("%v, then %v", err, b.e.Err())
	}
	var te *types.Error
	if !errors.As(b.e.Err(), &te) || te.Code != "57P02" {
		t.Fatal(b.e.Err())
	}
	b = b.restart(logs, on(disk))
	if s := b.e.Recovery(); s.CheckpointStep != first || s.Steps < steps {
		t.Fatalf("%+v", s)
	}
	b.client().want(`SELECT count(DISTINCT x) FROM t WHERE id <= 5000`, "5000")
}

// TestCheckpointWithoutARecord stops between a checkpoint's manifest and its record.
func TestCheckpointWithoutARecord(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY); INSERT INTO t VALUES (1); CHECKPOINT`)
	first := b.e.Snapshot().Step
	c.exec(`INSERT INTO t VALUES (2)`)
	logs.fault = func(string, int) fault { return crashEarly }
	if _, _, err := c.run(`CHECKPOINT`); err == nil {
		t.Fatal("a checkpoint without a record")
	}
	logs.fault = nil
	n := 0
	for _, f := range disk.Files() {
		if strings.HasPrefix(f.Name, "manifests/") {
			n++
		}
	}
	if n != 2 {
		t.Fatalf("%d manifests are there, want two: %v", n, disk.Files())
	}
	b = b.restart(logs, on(disk))
	b.recovered(first, 1)
	b.client().want(`SELECT count(*) FROM t`, "2")
}

// TestCheckpointOnAFullDisk goes on without, and tries again.
func TestCheckpointOnAFullDisk(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'a'); CHECKPOINT`)
	disk.SetCapacity(disk.Used() + 100)
	c.exec(`INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(2, 100) AS i`)
	c.fails(`CHECKPOINT`, "53100", "checkpoint of step")
	c.exec(`INSERT INTO t VALUES (1000, 'b')`)
	c.want(`SELECT count(*) FROM t`, "101")
	disk.SetCapacity(0)
	c.exec(`CHECKPOINT`)
	at := b.e.Snapshot().Step
	if n := b.e.Metrics().CheckpointFailures.Load(); n != 1 {
		t.Errorf("%d failures", n)
	}
	b = b.restart(logs, on(disk))
	b.recovered(at, 0)
	b.client().want(`SELECT count(*), max(x) FROM t`, "101, "+strings.Repeat("x", 100))
}

// TestViewOnAFullDisk is refused when its state fits neither into memory nor on the disk.
func TestViewOnAFullDisk(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk), func(c *Config) { c.MemoryBytes, c.Checkpoint.Interval = 1<<20, -1 })
	c := b.client()
	c.exec(`CREATE TABLE t (x INT); INSERT INTO t VALUES (1)`)
	disk.SetCapacity(disk.Used() + 100)
	c.fails(`CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM (SELECT DISTINCT repeat('x', 300) || i FROM generate_series(1, 20000) AS i) s`, "53100", "no room for it on the disk")
	c.exec(`INSERT INTO t VALUES (2)`)
	c.want(`SELECT count(*) FROM t`, "2")
	disk.SetCapacity(0)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM (SELECT DISTINCT repeat('x', 300) || i FROM generate_series(1, 20000) AS i) s`)
	c.want(`SELECT * FROM v`, "20000")
}

// TestCheckpointsByThemselves are made when it is time, or much was logged.
func TestCheckpointsByThemselves(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"by time":   func(c *Config) { c.Checkpoint.Interval = time.Millisecond },
		"by volume": func(c *Config) { c.Checkpoint.Interval, c.Checkpoint.Bytes = time.Hour, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			logs, disk := newMemLogs(), newDisk()
			b := start(t, logs, on(disk), set)
			c := b.client()
			c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY)`)
			for i := 0; b.e.Metrics().Checkpoints.Load() < 3; i++ {
				c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, i))
				if i > 10_000 {
					t.Fatal("no checkpoints")
				}
			}
			c.exec(`CHECKPOINT`)
			n, at := b.e.Metrics().Checkpoints.Load(), b.e.Snapshot().Step
			c.exec(`SELECT 1; CHECKPOINT`)
			if now := b.e.Metrics().Checkpoints.Load(); now > n {
				t.Errorf("%d checkpoints of nothing new", now-n)
			}
			b = b.restart(logs, on(disk))
			b.recovered(at, 0)
		})
	}
}
