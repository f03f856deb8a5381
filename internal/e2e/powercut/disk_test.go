package powercut

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	cuts      = 4
	cutsProve = 40
	// within bounds how long a node works before the power goes.
	within = 1500 * time.Millisecond
	// startTimeout bounds the start of a node.
	startTimeout = 60 * time.Second
)

// mountOrSkip mounts a disk, or says why the test cannot run here.
func mountOrSkip(t *testing.T) *Disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a FUSE file system needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("there is no FUSE here: %v", err)
	}
	d, err := Mount(t.TempDir())
	if err != nil {
		t.Skipf("a FUSE file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = d.Unmount() })
	return d
}

// all is a choose that keeps as much as it may, none one that keeps nothing.
func all(n int) int  { return n - 1 }
func none(n int) int { return 0 }

// TestDiskForgets checks that the disk itself does what it is for.
func TestDiskForgets(t *testing.T) {
	d := mountOrSkip(t)
	write := func(name, text string, sync bool) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(d.Dir(), name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if sync {
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func() string {
		list, err := os.ReadDir(d.Dir())
		if err != nil {
			t.Fatal(err)
		}
		out := ""
		for _, e := range list {
			b, err := os.ReadFile(filepath.Join(d.Dir(), e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			out += fmt.Sprintf("%s=%s ", e.Name(), b)
		}
		return out
	}
	write("a", "synced", true)
	write("a", "+lost", false)
	write("b", "empty after all", false)
	write("c", "synced", true) // b's name with it
	write("d", "not even its name", false)
	if err := os.Rename(filepath.Join(d.Dir(), "c"), filepath.Join(d.Dir(), "e")); err != nil {
		t.Fatal(err)
	}
	if got, want := read(), "a=synced+lost b=empty after all d=not even its name e=synced "; got != want {
		t.Fatalf("before: %q, want %q", got, want)
	}
	if _, err := d.Cut(none); err != nil {
		t.Fatal(err)
	}
	if got, want := read(), "a=synced b= c=synced "; got != want {
		t.Fatalf("after: %q, want %q", got, want)
	}
	write("f", "by luck", false)
	if _, err := d.Cut(all); err != nil {
		t.Fatal(err)
	}
	if got := read(); !strings.Contains(got, "f=") || strings.Contains(got, "luck") {
		t.Fatalf("after a lucky cut: %q", got)
	}
}

// TestPowerCut cuts the power of a node that takes in rows over SQL and HTTP and makes
// checkpoints: whatever it had answered is there when it comes back, once, and the views
// are what their queries say.
func TestPowerCut(t *testing.T) {
	d := mountOrSkip(t)
	rounds := cuts
	if os.Getenv("TIDEMILL_PROVE") == "1" {
		rounds = cutsProve
	}
	bin := filepath.Join(t.TempDir(), "tidemill")
	build := exec.Command("go", "build", "-o", bin, "./cmd/tidemill")
	build.Dir = "../../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	w := &world{bin: bin, d: d}
	n := w.start(t)
	c := n.connect(t)
	for _, q := range []string{
		`CREATE TABLE t (id BIGINT PRIMARY KEY, g BIGINT NOT NULL)`,
		`CREATE SOURCE posts (id BIGINT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`,
		`CREATE MATERIALIZED VIEW by_g AS SELECT g, count(*) AS n, sum(id) AS ids FROM t GROUP BY g`,
		`CREATE MATERIALIZED VIEW sent AS SELECT count(*) AS n, count(DISTINCT id) AS ids FROM posts`,
	} {
		if _, err := c.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	for round := range rounds {
		w.work(t, n, time.Duration(rng.Int64N(int64(within))))
		lost, err := d.Cut(rng.IntN)
		if err != nil {
			t.Fatal(err)
		}
		n = w.start(t)
		t.Logf("round %d: %d bytes lost; answered so far %d rows, %d posts", round, lost, w.rows, w.posts)
		w.check(t, n)
		if t.Failed() {
			t.FailNow()
		}
	}
	n.kill()
	if w.rows < rounds*5 || w.posts < rounds*5 || d.Syncs() == 0 {
		t.Errorf("too little happened: %d rows, %d posts, %d syncs", w.rows, w.posts, d.Syncs())
	}
}

// world is what is known from outside.
type world struct {
	bin string
	d   *Disk

	rows, posts       int          // answered
	nextRow, nextPost int          // to be written next
	lostRow, lostPost map[int]bool // under way when the power went: may be there
}

type process struct {
	cmd      *exec.Cmd
	stderr   bytes.Buffer
	PG, HTTP string
}

func (w *world) start(t *testing.T) *process {
	t.Helper()
	p := &process{cmd: exec.Command(w.bin, "dev", "--data", filepath.Join(w.d.Dir(), "data"), "--pg", "127.0.0.1:0",
		"--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "-o", "json", "--checkpoint-interval", "200ms")}
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line := make(chan string, 1)
	go func() {
		s := bufio.NewScanner(out)
		s.Scan()
		line <- s.Text()
	}()
	select {
	case text := <-line:
		if err := json.Unmarshal([]byte(text), p); err != nil || p.PG == "" {
			p.kill()
			t.Fatalf("line of a ready node: %q: %v\n%s", text, err, &p.stderr)
		}
	case <-time.After(startTimeout):
		p.kill()
		t.Fatalf("not ready after %v\n%s", startTimeout, &p.stderr)
	}
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := pgx.Connect(ctx, "postgres://tidemill@"+p.PG+"/tidemill?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// work writes until the power goes.
func (w *world) work(t *testing.T, p *process, after time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := p.connect(t)
	var wg sync.WaitGroup
	if w.lostRow == nil {
		w.lostRow, w.lostPost = map[int]bool{}, map[int]bool{}
	}
	wg.Go(func() {
		for {
			id := w.nextRow
			w.nextRow++
			if _, err := c.Exec(ctx, fmt.Sprintf(`INSERT INTO t VALUES (%d, %d)`, id, id%5)); err != nil {
				w.lostRow[id] = true
				return
			}
			w.rows++
		}
	})
	wg.Go(func() {
		for {
			id := w.nextPost
			w.nextPost++
			res, err := http.Post("http://"+p.HTTP+"/v1/sources/posts", "application/json", strings.NewReader(fmt.Sprintf(`{"id": %d}`, id)))
			if err == nil {
				res.Body.Close()
			}
			if err != nil || res.StatusCode != http.StatusOK {
				w.lostPost[id] = true
				return
			}
			w.posts++
		}
	})
	time.Sleep(200*time.Millisecond + after) // the moment is the seed's
	p.kill()
	wg.Wait()
}

// check compares what is there with what was answered.
func (w *world) check(t *testing.T, p *process) {
	t.Helper()
	c := p.connect(t)
	if _, err := c.Exec(t.Context(), `FLUSH`); err != nil { // what is durable waits for a step when a node starts
		t.Fatal(err)
	}
	ids := func(query string) []int {
		rows, err := c.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		out, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	compare := func(what string, got []int, next int, lost map[int]bool) {
		have := map[int]int{}
		for _, id := range got {
			have[id]++
		}
		for id := range next {
			if n := have[id]; n > 1 || n == 0 && !lost[id] {
				t.Errorf("%s %d is there %d times; it was answered: %v", what, id, n, !lost[id])
			}
		}
		if len(have) > next {
			t.Errorf("%d of %s, %d were ever written", len(have), what, next)
		}
	}
	compare("row", ids(`SELECT id FROM t`), w.nextRow, w.lostRow)
	compare("post", ids(`SELECT id FROM posts`), w.nextPost, w.lostPost)
	for _, q := range []string{
		`SELECT count(*) FROM (SELECT * FROM by_g EXCEPT SELECT g, count(*), sum(id) FROM t GROUP BY g) x`,
		`SELECT abs((SELECT n FROM sent) - (SELECT count(*) FROM posts)) + abs((SELECT ids FROM sent) - (SELECT count(*) FROM posts))`,
	} {
		if got := ids(q); len(got) != 1 || got[0] != 0 {
			t.Errorf("%s: %v", q, got)
		}
	}
}
