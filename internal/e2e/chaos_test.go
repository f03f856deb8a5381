package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runTimeout bounds a short run of chaos with its checks.
const runTimeout = 2 * time.Minute

// TestChaos runs `tidemill chaos` on one node that is killed, with the built-in workload and with
// statements of one's own.
func TestChaos(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "own.sql")
	err := os.WriteFile(own, []byte(`CREATE TABLE orders (id BIGINT PRIMARY KEY, customer INT, amount INT);
CREATE MATERIALIZED VIEW spent AS SELECT customer, sum(amount) AS amount FROM orders GROUP BY customer;
-- run:
INSERT INTO orders VALUES ({id}, {random}, {client});
DELETE FROM orders WHERE customer = {random};
-- check: SELECT * FROM spent
`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"built in": nil, "own": {"--workload", own}} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			p := spawn(t, nil, append([]string{"chaos", "--nodes", "1", "--seconds", "10", "--faults", "kill", "--seed", "1", "--data", data, "-o", "json"}, args...)...)
			var line string
			select {
			case line = <-p.lines:
			case <-time.After(runTimeout):
				t.Fatalf("no report after %v; standard error:\n%s", runTimeout, p.stderr)
			}
			if code := p.exit(t, opTimeout); code != 0 {
				t.Errorf("exit code %d\n%s\n%s", code, line, p.stderr)
			}
			var r struct {
				Seed       uint64
				Acked      int64
				Lost       *int
				Duplicated *int
				Wrong      *int
				Recoveries struct{ Count int }
				Faults     []struct{ Kind string }
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if r.Seed != 1 || r.Acked < 100 || r.Lost == nil || r.Duplicated == nil || r.Wrong == nil || *r.Lost+*r.Duplicated+*r.Wrong != 0 {
				t.Errorf("report: %s", line)
			}
			if r.Recoveries.Count != 1 || len(r.Faults) != 1 || r.Faults[0].Kind != "kill" {
				t.Errorf("faults and recoveries: %s", line)
			}
		})
	}
	for _, bad := range [][]string{{"--faults", "flood"}, {"--nodes", "0"}, {"--seconds", "1"}, {"--network", "pigeons"}, {"--workload", "/nowhere"}} {
		if code := spawn(t, nil, append([]string{"chaos"}, bad...)...).exit(t, opTimeout); code != 2 {
			t.Errorf("chaos %v: exit code %d", bad, code)
		}
	}
}

// TestClusterDev runs `tidemill cluster dev` with one node, kills it, and ends it all.
func TestClusterDev(t *testing.T) {
	p := spawn(t, nil, "cluster", "dev", "--nodes", "1", "--data", t.TempDir(), "-o", "json")
	var line string
	select {
	case line = <-p.lines:
	case <-time.After(startTimeout):
		t.Fatalf("not ready after %v; standard error:\n%s", startTimeout, p.stderr)
	}
	var c struct {
		Ready   bool
		Cluster string
		Nodes   []struct {
			Name, PG, HTTP, NATS string
			PID                  int
		}
	}
	if err := json.Unmarshal([]byte(line), &c); err != nil || !c.Ready || c.Cluster != "dev" || len(c.Nodes) != 1 || c.Nodes[0].Name != "a" {
		t.Fatalf("line of a cluster that is ready: %q: %v", line, err)
	}
	n := &node{proc: p, PG: c.Nodes[0].PG}
	exe(t, n.connect(t), "CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (7)")
	if err := syscall.Kill(c.Nodes[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(startTimeout)
	for !strings.Contains(p.stderr.String(), "node a is ready again, process ") {
		if time.Now().After(end) {
			t.Fatalf("the node was not started again; standard error:\n%s", p.stderr)
		}
		time.Sleep(5 * time.Millisecond)
	}
	want(t, n.connect(t), "SELECT a FROM t", "7") // at the same address
	var pid int
	_, text, _ := strings.Cut(p.stderr.String(), "ready again, process ")
	if _, err := fmt.Sscan(text, &pid); err != nil {
		t.Fatal(err)
	}
	if code, _ := n.term(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.stderr)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("process %d of the node is still there", pid)
	}
}
