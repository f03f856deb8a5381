package node_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRestartFromCheckpoint starts a node again behind a checkpoint, and once more when
// that is damaged.
func TestRestartFromCheckpoint(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.CheckpointInterval = -1
	n := start(t, cfg)
	query(t, n, `CREATE TABLE t (id BIGINT PRIMARY KEY, g TEXT);
		CREATE SOURCE s (k INT) WITH (connector = 'http', retention = '7 days') FORMAT PLAIN ENCODE JSON;
		CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS n FROM t GROUP BY g`)
	for i := range 20 {
		query(t, n, fmt.Sprintf("INSERT INTO t VALUES (%d, 'g%d')", i, i%3))
	}
	query(t, n, "CHECKPOINT")
	checkpoint := query(t, n, "SELECT max(last_position) FROM tidemill.storage WHERE kind = 'checkpoint'")
	query(t, n, "INSERT INTO t VALUES (100, 'g0'); CHECKPOINT")
	query(t, n, "INSERT INTO t VALUES (101, 'g0')")
	if got := query(t, n, "SELECT count(*) FROM tidemill.storage WHERE kind IN ('log', 'source', 'checkpoint', 'packs', 'scratch') AND kept_for <> ''"); got != "6" {
		t.Errorf("%s rows of storage:\n%s", got, query(t, n, "SELECT * FROM tidemill.storage"))
	}
	res, err := http.Get("http://" + n.Addrs().HTTP + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	metrics := string(body)
	for _, want := range []string{"tidemill_checkpoints_total 2", "tidemill_checkpoint_failures_total 0", "tidemill_checkpoint_pause_seconds_count 2", "tidemill_memory_limit_bytes"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in /metrics", want)
		}
	}
	stop(t, n)

	n = start(t, cfg)
	expect(t, n, "SELECT phase, steps, percent FROM tidemill.recovery", "ready|1|100")
	expect(t, n, "SELECT * FROM v ORDER BY g", "g0|9\ng1|7\ng2|6")
	stop(t, n)

	// Without the newest manifest the older checkpoint does.
	list, err := filepath.Glob(filepath.Join(cfg.DataDir, "checkpoints", "tidemill", "manifests", "*.json"))
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	if err := os.WriteFile(list[1], []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	n = start(t, cfg)
	expect(t, n, "SELECT checkpoint_step, steps FROM tidemill.recovery", checkpoint+"|2")
	expect(t, n, "SELECT * FROM v ORDER BY g", "g0|9\ng1|7\ng2|6")
}
