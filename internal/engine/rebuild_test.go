package engine

import (
	"strings"
	"testing"
)

// TestAViewWhosePlanChanged opens a pipeline with a version of the program that plans a
// view in another way.
func TestAViewWhosePlanChanged(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, n INT)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT id, n, '0.1.0' AS by FROM t`)
	c.exec(`CREATE INDEX v_n ON v (n)`)
	c.exec(`CREATE MATERIALIZED VIEW w AS SELECT by, sum(n) AS s FROM v GROUP BY by`)
	c.exec(`CREATE MATERIALIZED VIEW other AS SELECT count(*) AS n FROM t`)
	c.exec(`INSERT INTO t SELECT i, i FROM generate_series(1, 10) AS i; CHECKPOINT`)
	c.exec(`INSERT INTO t VALUES (11, 11); DELETE FROM t WHERE id = 1`)
	rows, _, _ := c.run(`SELECT DISTINCT by FROM v`)
	if len(rows) != 1 || !strings.Contains(rows[0], Version) {
		t.Fatal(rows)
	}
	newer := func(cfg *Config) {
		cfg.version = "9.9.9"
		cfg.reads = func(query string) string { return strings.ReplaceAll(query, "0.1.0", "9.9.9") }
	}
	b = b.restart(logs, on(disk), newer)
	c = b.client()
	if s := b.e.Recovery(); s.CheckpointStep == 0 || s.Steps != 2 {
		t.Fatalf("%+v", s)
	}
	by := strings.ReplaceAll(rows[0], Version, "9.9.9")
	check := func(n, sum string) {
		t.Helper()
		c.want(`SELECT DISTINCT by FROM v`, by)
		c.want(`SELECT count(*) FROM v`, n)
		c.want(`SELECT count(*) FROM other`, "1")
		c.want(`SELECT n FROM other`, n)
		c.want(`SELECT by, s FROM w`, by+", "+sum)
		c.want(`SELECT id FROM v WHERE n = 11`, "11")
		c.want(`SELECT id FROM v WHERE n = 1`)
	}
	check("10", "65")
	c.exec(`INSERT INTO t VALUES (20, 5)`)
	check("11", "70")
	// Again behind the same checkpoint, and then behind one of its own.
	b = b.restart(logs, on(disk), newer)
	c = b.client()
	check("11", "70")
	c.exec(`CHECKPOINT; INSERT INTO t VALUES (21, 5)`)
	b = b.restart(logs, on(disk), newer)
	c = b.client()
	b.recovered(b.e.Snapshot().Step-1, 1)
	check("12", "75")
	if why := b.e.Snapshot().Stale(b.e.Snapshot().Catalog.Lookup(nil, "public", "v").ID); why != "" {
		t.Error(why)
	}
}

// TestAStaleView cannot be filled anew, because its source has lost rows.
func TestAStaleView(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed'); CREATE TABLE t (k INT)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT k, '0.1.0' AS by FROM s`)
	c.exec(`CREATE MATERIALIZED VIEW w AS SELECT count(*) AS n FROM v`)
	c.exec(`CREATE MATERIALIZED VIEW fine AS SELECT count(*) AS n FROM s`)
	for i := range 5 {
		b.push("s", int64(i), "x")
	}
	c.exec(`FLUSH; CHECKPOINT; INSERT INTO t VALUES (1); CHECKPOINT`)
	b.stop()
	log, _ := logs.OpenLog(t.Context(), logs.names()[1])
	if err := log.Trim(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	newer := func(cfg *Config) {
		cfg.version = "9.9.9"
		cfg.reads = func(query string) string { return strings.ReplaceAll(query, "0.1.0", "9.9.9") }
	}
	for range 2 {
		b = start(t, logs, on(disk), newer)
		c = b.client()
		c.want(`SELECT count(*) FROM v`, "5")
		c.want(`SELECT n FROM w`, "5")
		cat := b.e.Snapshot().Catalog
		for name, stale := range map[string]bool{"v": true, "fine": false} {
			if why := b.e.Snapshot().Stale(cat.Lookup(nil, "public", name).ID); (why != "") != stale {
				t.Errorf("%s: %q", name, why)
			}
		}
		b.push("s", 9, "x")
		c.exec(`FLUSH; CHECKPOINT`)
		b.stop()
	}
	b = start(t, logs, on(disk), newer)
	c = b.client()
	c.want(`SELECT count(*) FROM v`, "5")
	c.want(`SELECT n FROM fine`, "7")
	c.exec(`DROP MATERIALIZED VIEW w; DROP MATERIALIZED VIEW v`)
	if n := len(b.e.Snapshot().stale); n != 0 {
		t.Errorf("%d stale views are left", n)
	}
}
