package engine

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/state"
)

// firstTable returns where the payload of the first page table in a pack begins. Circuits
// are written before all else, so it is one's.
func firstTable(t *testing.T, disk *diskmodel.Disk, pack string, size int64) int64 {
	t.Helper()
	f, err := disk.Open(pack)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var frame [ckpt.FrameBytes]byte
	for at := int64(16); at < size; at += ckpt.FrameBytes + int64(binary.LittleEndian.Uint32(frame[4:])) {
		if _, err := f.ReadAt(frame[:], at); err != nil {
			t.Fatal(err)
		}
		if frame[2] == byte(state.RecordTable) {
			return at + ckpt.FrameBytes
		}
	}
	t.Fatalf("%s: no page table", pack)
	return 0
}

// damageTables changes a bit of the first page table in each of the packs.
func damageTables(t *testing.T, disk *diskmodel.Disk, packs []ckpt.Info) (n int) {
	t.Helper()
	for _, f := range packs {
		if strings.HasPrefix(f.Name, "packs/") {
			damage(t, disk.Flip(f.Name, 8*firstTable(t, disk, f.Name, f.SizeBytes)+3))
			n++
		}
	}
	return n
}

// TestDamagedPageTable damages where the pages of a view are, which a restart leaves for
// later: the pipeline comes up, finds it though no step needs it, ends, and goes on from
// the checkpoint before.
func TestDamagedPageTable(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (k BIGINT, n BIGINT)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS c, sum(n) AS s FROM t GROUP BY k`)
	c.exec(`INSERT INTO t SELECT i, i FROM generate_series(1, 5000) AS i; CHECKPOINT`)
	older, had := b.e.Snapshot().Step, map[string]bool{}
	for _, f := range disk.Files() {
		had[f.Name] = true
	}
	c.exec(`INSERT INTO t SELECT i, 1 FROM generate_series(1, 5000) AS i; CHECKPOINT`)
	b.tidied()
	b.stop()
	var fresh []ckpt.Info
	for _, f := range disk.Files() {
		if !had[f.Name] {
			fresh = append(fresh, f)
		}
	}
	if damageTables(t, disk, fresh) != 1 {
		t.Fatalf("%v: not one new pack", fresh)
	}
	b = start(t, logs, on(disk))
	<-b.e.Done() // by itself
	if err := b.e.Fault(); err == nil || !strings.Contains(err.Error(), "page table") {
		t.Fatalf("the pipeline ended with %v, fault %v", b.e.Err(), err)
	}
	b = b.restart(logs, on(disk))
	b.recovered(older, 1)
	c = b.client()
	c.want(`SELECT count(*), sum(c), sum(s) FROM v`, "5000, 10000, 12507500")
	c.exec(`INSERT INTO t SELECT i, 1 FROM generate_series(1, 5000) AS i; CHECKPOINT`)
	b = b.restart(logs, on(disk))
	b.recovered(b.e.Snapshot().Step, 0)
	b.client().want(`SELECT count(*), sum(c), sum(s) FROM v`, "5000, 15000, 12512500")
}

// TestDamagedPageTableThatBothCheckpointsShare is the same when the checkpoint before has
// the same page table, and the log's beginning is gone: the view is filled anew.
func TestDamagedPageTableThatBothCheckpointsShare(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, on(disk))
	c := b.client()
	c.exec(`CREATE TABLE t (k BIGINT, n BIGINT); CREATE TABLE other (n INT)`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS c, sum(n) AS s FROM t GROUP BY k`)
	c.exec(`INSERT INTO t SELECT i, i FROM generate_series(1, 5000) AS i; CHECKPOINT`)
	older := disk.Files()
	c.exec(`INSERT INTO other VALUES (1); CHECKPOINT`)
	b.tidied()
	b.stop()
	if damageTables(t, disk, older) != 1 {
		t.Fatalf("%v: not one pack", older)
	}
	for range 2 { // from each checkpoint
		b = start(t, logs, on(disk))
		<-b.e.Done()
		if err := b.e.Fault(); err == nil || !strings.Contains(err.Error(), "page table") {
			t.Fatalf("the pipeline ended with %v, fault %v", b.e.Err(), err)
		}
		b.stop()
	}
	b = start(t, logs, on(disk))
	b.rebuilt()
	c = b.client()
	c.exec(`INSERT INTO t SELECT i, 1 FROM generate_series(1, 5000) AS i; CHECKPOINT`)
	c.want(`SELECT count(*), sum(c), sum(s) FROM v`, "5000, 10000, 12507500")
	b = b.restart(logs, on(disk))
	b.recovered(b.e.Snapshot().Step, 0)
	b.client().want(`SELECT * FROM v WHERE k = 77`, "77, 2, 78")
}
