package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/failpoint"
)

// TestFailpoints has a node die at each moment at which it makes or removes something
// durable, while rows come in over SQL and HTTP, and starts it again: what was answered
// is there once, and the views are what their queries say.
func TestFailpoints(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "tidemill-failpoints")
	if out, err := exec.Command("go", "build", "-tags", "failpoints", "-o", bin, "../../cmd/tidemill").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	visits := []int{1}
	if prove() {
		visits = []int{1, 2, 3, 5, 8}
	}
	for _, point := range failpoint.Points {
		for _, visit := range visits {
			t.Run(fmt.Sprintf("%s:%d", point, visit), func(t *testing.T) { dieAt(t, bin, point, visit) })
		}
	}
}

// dieAt lets a node run until it dies at a point, and looks at what is there after.
func dieAt(t *testing.T, bin string, point failpoint.Point, visit int) {
	dir := t.TempDir()
	args := append([]string{"dev", "--data", dir, "--checkpoint-interval", "50ms"}, anyPorts...)
	n := dev(t, dir, "--checkpoint-interval", "50ms")
	c := n.connect(t)
	exe(t, c, `CREATE TABLE t (id BIGINT PRIMARY KEY, g BIGINT NOT NULL)`,
		`CREATE SOURCE posts (id BIGINT, g BIGINT) WITH (connector = 'http', retention = '1 MB') FORMAT PLAIN ENCODE JSON`,
		`CREATE MATERIALIZED VIEW by_g AS SELECT g, count(*) AS n, sum(id) AS ids FROM t GROUP BY g`,
		`CREATE MATERIALIZED VIEW sent AS SELECT count(*) AS n, sum(id) AS ids FROM posts`,
		`CREATE MATERIALIZED VIEW twins AS SELECT a.id, b.id AS other FROM t a JOIN t b ON a.id = b.id + 1`)
	n.kill()

	start := time.Now()
	p := spawnBinary(t, bin, []string{failpoint.Env + "=" + fmt.Sprintf("%s:%d", point, visit)}, args...)
	n = p.ready(t, start, dir)
	rows, posts := feedUntilDeath(t, n)

	n = dev(t, dir, "--checkpoint-interval", "50ms")
	c = n.connect(t)
	exe(t, c, `FLUSH`) // posts that are durable and in no step yet
	atLeast(t, c, `SELECT count(*) FROM t`, rows)
	atLeast(t, c, `SELECT n FROM sent`, posts)
	for _, q := range []string{
		`SELECT count(*) FROM (SELECT * FROM by_g EXCEPT SELECT g, count(*), sum(id) FROM t GROUP BY g) x`,
		`SELECT count(*) FROM (SELECT id, other FROM twins EXCEPT SELECT a.id, b.id FROM t a JOIN t b ON a.id = b.id + 1) x`,
		`SELECT count(*) - (SELECT count(*) FROM twins) FROM t a JOIN t b ON a.id = b.id + 1`,
		`SELECT CASE WHEN ids = n * (n - 1) / 2 THEN 0 ELSE 1 END FROM sent`, // each once: 0 to n-1
	} {
		want(t, c, q, "0")
	}
	exe(t, c, `INSERT INTO t VALUES (-1, -1)`, `CHECKPOINT`)
	if code, _ := n.term(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out, code := verify(t, dir); code != 0 {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
}

// feedUntilDeath inserts and posts rows 0, 1, 2, ... until the node is gone, and
// returns how many were answered.
func feedUntilDeath(t *testing.T, n *node) (rows, posts int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c := n.connect(t)
	for ctx.Err() == nil {
		if _, err := c.Exec(ctx, fmt.Sprintf(`INSERT INTO t VALUES (%d, %d)`, rows, rows%7)); err != nil {
			break
		}
		rows++
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.HTTP+"/v1/sources/posts",
			strings.NewReader(fmt.Sprintf(`{"id": %d, "g": %d}`, posts, posts%3)))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			break
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			break
		}
		posts++
	}
	select {
	case <-n.done:
	case <-time.After(opTimeout):
		t.Fatalf("the node never came to the point: %d rows, %d posts", rows, posts)
	}
	return rows, posts
}

// atLeast holds a count against what was answered: one more may be there, which was
// under way.
func atLeast(t *testing.T, c querier, query string, answered int) {
	t.Helper()
	var n int
	rows, err := c.Query(deadline(t), query)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if n != answered && n != answered+1 {
		t.Errorf("%s: %d, answered %d", query, n, answered)
	}
}
