package engine

import (
	"strings"
	"testing"
)

// TestReplayMeetsDamageThatBothCheckpointsShare is the next one with steps to replay that
// need the page: the pipeline comes up at once.
func TestReplayMeetsDamageThatBothCheckpointsShare(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (k BIGINT, n BIGINT); CREATE TABLE other (n INT)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS c, sum(n) AS s FROM t GROUP BY k`)
	c.exec(`INSERT INTO t SELECT i, i FROM generate_series(1, 5000) AS i; CHECKPOINT`)
	older := disk.Files()
	c.exec(`INSERT INTO other VALUES (1); CHECKPOINT`)
	b.tidied()
	c.exec(`INSERT INTO t SELECT i, 1 FROM generate_series(1, 5000) AS i`)
	b.stop()
	for _, f := range older {
		if strings.HasPrefix(f.Name, "packs/") {
			damage(t, disk.Flip(f.Name, 8*20_000))
		}
	}
	b = start(t, logs, on(disk))
	b.client().want(`SELECT count(*), sum(c), sum(s) FROM v`, "5000, 10000, 12507500")
}

// TestDamageThatBothCheckpointsShare damages a page of a view that did not change between
// the two checkpoints, when the log's beginning is gone: the view is filled anew.
func TestDamageThatBothCheckpointsShare(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (k BIGINT, n BIGINT); CREATE TABLE other (n INT)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS c, sum(n) AS s FROM t GROUP BY k`)
	c.exec(`CREATE MATERIALIZED VIEW w AS SELECT count(*) AS n, sum(s) AS s FROM v`)
	c.exec(`INSERT INTO t SELECT i, i FROM generate_series(1, 5000) AS i; CHECKPOINT`)
	older := disk.Files()
	c.exec(`INSERT INTO other VALUES (1); CHECKPOINT`)
	b.tidied()
	b.stop()
	for _, f := range older {
		if strings.HasPrefix(f.Name, "packs/") {
			damage(t, disk.Flip(f.Name, 8*20_000)) // in a page of the view: circuits are written first
		}
	}
	tries := 0
	for ; ; tries++ {
		b = start(t, logs, on(disk))
		c = b.client()
		if _, _, err := c.run(`INSERT INTO t SELECT i, 1 FROM generate_series(1, 5000) AS i`); err == nil {
			break
		}
		<-b.e.Done()
		if b.e.Fault() == nil || tries > 5 {
			t.Fatalf("%d: %v", tries, b.e.Err())
		}
		b.stop()
	}
	if tries != 2 {
		t.Errorf("%d starts did not do; one from each checkpoint should not", tries)
	}
	b.rebuilt()
	c.want(`SELECT * FROM w`, "5000, 12507500")
	c.want(`SELECT * FROM v WHERE k = 77`, "77, 2, 78")
	c.exec(`CHECKPOINT; INSERT INTO other VALUES (2); CHECKPOINT`)
	b.tidied()
	for _, f := range disk.Files() {
		if strings.Contains(f.Name, redoMark) {
			t.Errorf("%s is left", f.Name)
		}
	}
	b = b.restart(logs, on(disk))
	b.recovered(b.e.Snapshot().Step, 0)
	b.client().want(`SELECT * FROM w`, "5000, 12507500")
}
