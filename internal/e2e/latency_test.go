package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLatency measures from the start of an INSERT of one row until a view shows it,
// and the memory of a node at rest. What is wanted on an idle machine is 20 ms and
// 60 MB; the bounds here are loose, since tests run beside each other.
func TestLatency(t *testing.T) {
	n := dev(t, t.TempDir())
	rest := n.rss(t)
	c, r := n.connect(t), n.connect(t)
	exe(t, c, "CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)", "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, sum(v) AS v FROM t")
	ctx := context.Background()
	const count = 300
	var inserted, visible []time.Duration
	for i := range count {
		start := time.Now()
		if _, err := c.Exec(ctx, "INSERT INTO t VALUES ($1, $2)", i, 1); err != nil {
			t.Fatal(err)
		}
		inserted = append(inserted, time.Since(start))
		var seen int
		if err := r.QueryRow(ctx, "SELECT n FROM m").Scan(&seen); err != nil {
			t.Fatal(err)
		}
		visible = append(visible, time.Since(start))
		if seen != i+1 {
			t.Fatalf("another session sees %d rows after %d were answered", seen, i+1)
		}
	}
	slices.Sort(inserted)
	slices.Sort(visible)
	at := func(ds []time.Duration, p float64) time.Duration {
		return ds[int(p*float64(len(ds)-1))].Round(10 * time.Microsecond)
	}
	t.Logf("INSERT answered p50 %v p99 %v; visible in a view p50 %v p99 %v; resident at rest %d MB, after %d MB",
		at(inserted, 0.5), at(inserted, 0.99), at(visible, 0.5), at(visible, 0.99), rest>>20, n.rss(t)>>20)
	if p := at(visible, 0.9); p > 100*time.Millisecond {
		t.Errorf("one in ten inserts took longer than %v to be visible", p)
	}
	if rest > 120<<20 {
		t.Errorf("a node at rest holds %d MB", rest>>20)
	}
}

// rss is the resident memory of the node in bytes; 0 where it cannot be known.
func (n *node) rss(t *testing.T) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var kb int64
	_, after, _ := strings.Cut(string(data), "VmRSS:")
	if _, err := fmt.Sscan(after, &kb); err != nil {
		t.Error(err)
	}
	return kb << 10
}
