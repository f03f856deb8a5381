package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
)

// TestAnErrorOfTheDiskIsNoDamage ends the pipeline twice because state that must leave
// memory cannot be written. The checkpoints are as good as before, so they stay: the
// log's beginning is gone, and without them all would be lost.
func TestAnErrorOfTheDiskIsNoDamage(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	small := func(c *Config) { c.MemoryBytes = 256 << 10 }
	b := start(t, logs, on(disk), small)
	c := b.client()
	c.exec(`CREATE TABLE t (id BIGINT, x TEXT); CREATE MATERIALIZED VIEW v AS SELECT id % 5000 AS g, count(*) AS c, max(x) AS m FROM t GROUP BY id % 5000`)
	rows := func() (err error) {
		for i := 0; i < 5000 && err == nil; i += 250 {
			_, _, err = c.run(fmt.Sprintf(`INSERT INTO t SELECT i, md5(i::text) FROM generate_series(%d, %d) AS i`, i+1, i+250))
		}
		return err
	}
	for range 2 {
		if err := rows(); err != nil {
			t.Fatal(detailed(err))
		}
		c.exec(`CHECKPOINT`)
	}
	b.tidied()
	for range 2 {
		disk.SetHook(func(op diskmodel.Op) error {
			if op.Name == scratchFile && op.Changes() {
				return errors.New("input/output error")
			}
			return nil
		})
		for b.e.Err() == nil {
			rows()
		}
		if err := detailed(b.e.Err()); !strings.Contains(err, "input/output error") {
			t.Fatal(err)
		}
		disk.SetHook(nil)
		b = start(t, logs, on(disk), small)
		c = b.client()
	}
	c.want(`SELECT count(*) >= 10000 AND count(*) = (SELECT sum(c) FROM v) FROM t`, "t")
}
