package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// run runs the binary to its end and returns what it says.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	p := spawn(t, nil, args...)
	var out []string
	for line := range p.lines {
		out = append(out, line)
	}
	code := p.exit(t, time.Minute)
	return strings.Join(out, "\n") + "\n" + p.stderr.String(), code
}

// TestBackupAndRestore backs a node up while rows come in, twice, and starts another one
// on what it restores: it has everything that was answered before the backup began, its
// views are what their queries say, and both nodes go on.
func TestBackupAndRestore(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	sink := filepath.Join(t.TempDir(), "sink.ndjson")
	exe(t, c, `CREATE TABLE t (id BIGINT PRIMARY KEY, g BIGINT NOT NULL)`,
		`CREATE SOURCE posts (id BIGINT, g BIGINT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`,
		`CREATE MATERIALIZED VIEW by_g AS SELECT g, count(*) AS n, sum(id) AS ids FROM t GROUP BY g`,
		`CREATE MATERIALIZED VIEW met AS SELECT t.id, p.g FROM t JOIN posts p ON p.id = t.id`,
		`INSERT INTO t SELECT i, i % 10 FROM generate_series(0, 20000) i`,
		fmt.Sprintf(`CREATE SINK out FROM by_g WITH (connector = 'file', path = '%s')`, sink))
	post := func(id int) {
		res, err := http.Post("http://"+n.HTTP+"/v1/sources/posts", "application/json", strings.NewReader(fmt.Sprintf(`{"id": %d, "g": %d}`, id, id%3)))
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(err, res)
		}
		res.Body.Close()
	}
	for i := range 50 {
		post(i)
	}
	target := filepath.Join(t.TempDir(), "backup")
	stop, done := make(chan struct{}), make(chan int)
	go func() { // rows that come meanwhile: a backup holds some of them
		w, id := n.connect(t), 100_000
		for ; ; id++ {
			select {
			case <-stop:
				done <- id
				return
			default:
			}
			if _, err := w.Exec(deadline(t), fmt.Sprintf(`INSERT INTO t VALUES (%d, 3)`, id)); err != nil {
				t.Error(err)
			}
		}
	}()
	out, code := run(t, "backup", target, "--http", n.HTTP)
	if code != 0 {
		t.Fatalf("backup: %d\n%s", code, out)
	}
	post(50)
	out, code = run(t, "backup", target, "--http", n.HTTP)
	if code != 0 {
		t.Fatalf("the second backup: %d\n%s", code, out)
	}
	t.Log(out)
	close(stop)
	last := <-done
	if out, code := run(t, "verify", target); code != 0 || strings.Contains(out, "DAMAGED") {
		t.Fatalf("verify of the backup: %d\n%s", code, out)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if out, code := run(t, "restore", target, "--data", dir); code != 0 {
		t.Fatalf("restore: %d\n%s", code, out)
	}
	if out, code := run(t, "verify", "--data", dir); code != 0 {
		t.Fatalf("verify of what was restored: %d\n%s", code, out)
	}
	m := dev(t, dir)
	r := m.connect(t)
	want(t, r, `SELECT count(*) FROM t WHERE id <= 20000`, "20001")
	want(t, r, `SELECT count(*), count(DISTINCT id) FROM posts`, "51|51")
	want(t, r, `SELECT count(*), sum(g) FROM met`, "51|51")
	want(t, r, `SELECT count(*) FROM (SELECT * FROM by_g EXCEPT SELECT g, count(*), sum(id) FROM t GROUP BY g) x`, "0")
	want(t, r, `SELECT count(*) - (max(id) - 99999) FROM t WHERE id >= 100000`, "0") // no gap among those that came meanwhile
	exe(t, r, fmt.Sprintf(`INSERT INTO t VALUES (%d, 4)`, last+10), `CHECKPOINT`)
	exe(t, c, fmt.Sprintf(`INSERT INTO t VALUES (%d, 4)`, last+10), `CHECKPOINT`)
	if out, code := run(t, "restore", target, "--data", dir); code != 1 || !strings.Contains(out, "not empty") {
		t.Errorf("restore over a node's data: %d\n%s", code, out)
	}
	for _, args := range [][]string{{"backup"}, {"restore"}, {"backup", "a", "b"}, {"backup", "ftp://x/y"}, {"verify", "a", "b"}} {
		if out, code := run(t, args...); code != 2 {
			t.Errorf("%v: exit code %d\n%s", args, code, out)
		}
	}
	if out, code := run(t, "restore", filepath.Join(t.TempDir(), "none"), "--data", filepath.Join(t.TempDir(), "x")); code != 1 || !strings.Contains(out, "backup.json") {
		t.Errorf("restore of nothing: %d\n%s", code, out)
	}
}
