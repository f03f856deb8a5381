package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// rebuilt waits until no view is frozen.
func (b *bench) rebuilt() {
	b.Helper()
	timeout := time.After(20 * time.Second)
	for {
		wait := b.e.published.wait()
		if len(b.e.Snapshot().frozen) == 0 {
			return
		}
		select {
		case <-wait:
		case <-timeout:
			b.Fatalf("views are still frozen: %v", b.e.Snapshot().frozen)
		}
	}
}

// pretends makes another version of the program, which takes "old" in queries for "new".
func pretends(version, old, new string) func(*Config) {
	return func(c *Config) {
		c.version = version
		c.reads = func(query string) string { return strings.ReplaceAll(query, old, new) }
	}
}

// TestRebuiltBesideTheOldAnswer starts a version of the program that computes a view in another way,
// after a clean stop: the old rows are there at once, with a warning, also in what is made of
// them, and steps go on. Then a step corrects them, for views, indexes, sinks and subscribers.
func TestRebuiltBesideTheOldAnswer(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.crowd(300)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT v % 10 AS k, count(*) AS n, sum(v) + 0 AS s FROM t GROUP BY v % 10; CREATE INDEX v_s ON v (s)`)
	c.exec(`CREATE MATERIALIZED VIEW w AS SELECT sum(s) AS s, sum(n) AS n FROM v; CREATE MATERIALIZED VIEW other AS SELECT count(*) AS n FROM t`)
	c.exec(`CREATE MATERIALIZED VIEW x AS SELECT max(s) + 0 AS m FROM v`) // changes too
	c.exec(`CREATE SINK k AS SELECT k, s FROM v WHERE k = 3 WITH (connector = 'kept')`)
	c.exec(`INSERT INTO t VALUES (1003, 3)`)
	b.delivers("k", "+1 (3, 4440)", "-1 (3, 4440)", "+1 (3, 4443)")
	c.exec(`CHECKPOINT`)
	old := c.rows(`SELECT * FROM v ORDER BY k`)
	at := b.e.Snapshot().Step
	b.stop()

	// The first start goes away in the middle of it; so the second is from a checkpoint that
	// has no circuit of the views.
	g := &gate{}
	newer := pretends("9.9.9", "+ 0 AS", "+ 1000 AS")
	for round := range 2 {
		v := b.e.Snapshot().Catalog.Lookup(nil, "public", "v").ID
		g.key, g.opened, g.meets = relKey(v), make(chan struct{}), make(chan struct{}, 1)
		b = start(t, logs, on(disk), g.config, newer)
		b.Cleanup(g.open)
		<-g.meets
		c = b.client()
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, 3)`, 2000+round))
		c.want(`SELECT n FROM other`, fmt.Sprint(302+round))
		if len(c.notices) != 0 {
			t.Fatal(c.notices)
		}
		c.want(`SELECT * FROM v ORDER BY k`, old...)
		c.want(`SELECT s FROM w`, "45153")
		c.want(`SELECT m FROM x`, "4650")
		want := fmt.Sprintf("WARNING: the rows of materialized view v are those of step %d", at)
		if len(c.notices) != 4 || c.notices[0] != want || c.notices[1] != want || c.notices[2] != want || c.notices[3] != strings.Replace(want, "view v", "view x", 1) {
			t.Fatalf("notices %q, want %q", c.notices, want)
		}
		if s := b.e.Builds(); len(s) != 1 || s[0].Name != "v" {
			t.Fatalf("%+v", s)
		}
		if round == 0 {
			c.exec(`CHECKPOINT`)
			done := make(chan struct{})
			go func() { b.stop(); close(done) }()
			<-b.e.Done()
			g.open()
			<-done
		}
	}
	c.notices = nil
	from := b.e.Snapshot().Step
	g.open()
	b.rebuilt()
	check := func() {
		t.Helper()
		c.want(`SELECT n, s FROM v WHERE k = 3`, "33, 5449")
		c.want(`SELECT k FROM v WHERE s = 5449`, "3")
		c.want(`SELECT count(*) FROM v WHERE s = 4443`, "0")
		c.want(`SELECT s, n FROM w`, "55159, 303")
		c.want(`SELECT m FROM x`, "6650")
	}
	check()
	if len(c.notices) != 0 {
		t.Error(c.notices)
	}
	b.delivers("k", "-1 (3, 4443)", "+1 (3, 5449)")
	to := b.e.Snapshot().Step
	changes := c.there(c.follow(fmt.Sprintf(`SUBSCRIBE v AS OF %d UP TO %d`, from, to)))
	if len(changes) < 20 {
		t.Errorf("subscribers got %q", changes)
	}
	rebuilt := 0
	log, _ := logs.OpenLog(t.Context(), logs.names()[0])
	for _, raw := range log.(*memLog).recs {
		if h, body, _, err := wire.Open(raw); err == nil && h.Kind == wire.KindStep {
			if s, err := wire.DecodeStep(body); err == nil {
				rebuilt += len(s.Rebuilt)
			}
		}
	}
	if rebuilt != 2 {
		t.Errorf("%d views were built anew by steps", rebuilt)
	}
	c.exec(`INSERT INTO t VALUES (3000, 3); DELETE FROM t WHERE id = 3000`)
	for range 2 { // a replay of those steps, and then what they left
		b = b.restart(logs, on(disk), newer)
		if n := len(b.e.Snapshot().frozen); n != 0 {
			t.Fatalf("%d views are frozen again", n)
		}
		c = b.client()
		check()
		c.exec(`CHECKPOINT`)
	}
	// The old version again: the way back is the same.
	b = b.restart(logs, on(disk), pretends("0.0.9", "+ 0 AS", "+ 0 AS"))
	b.rebuilt()
	c = b.client()
	c.want(`SELECT s, n FROM w`, "45159, 303")
}

// TestChangedBehindTheCheckpoint: what a step behind the checkpoint has changed is not frozen.
func TestChangedBehindTheCheckpoint(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.crowd(100)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT v % 10 AS k, sum(v) + 0 AS s FROM t GROUP BY v % 10; CREATE MATERIALIZED VIEW few AS SELECT id + 0 AS id FROM t WHERE v < 0`)
	c.exec(`CHECKPOINT; INSERT INTO t VALUES (200, 200)`)
	b = b.restart(logs, on(disk), pretends("9.9.9", "+ 0 AS", "+ 1 AS"))
	c = b.client()
	cat := b.e.Snapshot().Catalog
	if _, is := b.e.Snapshot().Frozen(cat.Lookup(nil, "public", "v").ID); is {
		t.Error("v is frozen at rows that are not those of now")
	}
	c.want(`SELECT s FROM v WHERE k = 0`, "751")
	b.rebuilt()
	c.want(`SELECT count(*) FROM few`, "0")
	c.exec(`INSERT INTO t VALUES (-5, -5)`)
	c.want(`SELECT id FROM few`, "-4")
	b = b.restart(logs, on(disk), pretends("9.9.9", "+ 0 AS", "+ 1 AS"))
	c = b.client()
	c.want(`SELECT id FROM few`, "-4")
	c.want(`SELECT s FROM v WHERE k = 0`, "751")
}

// TestRebuildingMeetsCommands: a view may be dropped while it is built anew, and one that
// cannot be computed any more is stale.
func TestRebuildingMeetsCommands(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.crowd(100)
	for i := range 3 {
		c.exec(fmt.Sprintf(`CREATE MATERIALIZED VIEW v%d AS SELECT sum(v) + 0 AS s FROM t`, i))
	}
	c.exec(`CHECKPOINT`)
	g := &gate{key: relKey(b.e.Snapshot().Catalog.Lookup(nil, "public", "v0").ID), opened: make(chan struct{}), meets: make(chan struct{}, 1)}
	bad := relKey(b.e.Snapshot().Catalog.Lookup(nil, "public", "v1").ID)
	b.stop()
	b = start(t, logs, on(disk), g.config, pretends("9.9.9", "+ 0 AS", "+ 1 AS"), func(c *Config) {
		probe := c.Probe
		c.Probe = func(circuit, rel string, rows *batch.Batch) {
			if circuit == bad {
				panic("no")
			}
			probe(circuit, rel, rows)
		}
	})
	b.Cleanup(g.open)
	<-g.meets
	c = b.client()
	c.exec(`DROP MATERIALIZED VIEW v0; CREATE MATERIALIZED VIEW z AS SELECT s * 2 AS s FROM v2; UPDATE t SET v = v + 1 WHERE id = 1`)
	g.open()
	b.rebuilt()
	c.want(`SELECT v2.s, z.s, v1.s FROM v2, z, v1`, "5052, 10104, 5050")
	snap := b.e.Snapshot()
	if why := snap.Stale(snap.Catalog.Lookup(nil, "public", "v1").ID); !strings.Contains(why, "panic: no") {
		t.Errorf("v1 is stale: %q", why)
	}
	c.fails(`SELECT * FROM v0`, types.CodeUndefinedTable, "does not exist")
	b = b.restart(logs, on(disk), pretends("9.9.9", "+ 0 AS", "+ 1 AS"))
	b.rebuilt()
	c = b.client()
	c.want(`SELECT v2.s, z.s, v1.s FROM v2, z, v1`, "5052, 10104, 5052")
}

// TestCloseWritesACheckpoint: after a clean stop no step is behind the newest one.
func TestCloseWritesACheckpoint(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	hourly := func(c *Config) { c.Checkpoint.Interval = time.Hour }
	b := start(t, logs, on(disk), hourly)
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed'); CREATE SOURCE g (n BIGINT, d BIGINT) WITH (connector = 'counting')`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT k + 0 AS k FROM s; CREATE MATERIALIZED VIEW w AS SELECT max(n) + 0 AS n FROM g`)
	b.push("s", 1, "x")
	c.exec(`FLUSH`)
	b.push("s", 2, "y")
	if err := b.e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	b = start(t, logs, on(disk), hourly, pretends("9.9.9", "+ 0 AS", "+ 1 AS"))
	if s := b.e.Recovery(); s.Steps != 0 || s.CheckpointStep == 0 {
		t.Fatalf("%+v", s)
	}
	b.rebuilt()
	got := b.client().rows(`SELECT k FROM v ORDER BY k`)
	if !slices.Equal(got, []string{"2", "3"}) {
		t.Error(got)
	}
}
