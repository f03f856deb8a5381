package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestFigures measures what docs/guarantees.md says of checkpoints and restarts, for views of
// so many million rows as TIDEMILL_FIGURES lists: "0.5,5,50". A row is a key of 8 bytes, two
// sums and a text of 24 bytes.
func TestFigures(t *testing.T) {
	sizes := os.Getenv("TIDEMILL_FIGURES")
	if sizes == "" {
		t.Skip("TIDEMILL_FIGURES is not set")
	}
	t.Log("rows | checkpoints | files | pause | last checkpoint | ready | first read | memory after | whole scan")
	for _, s := range strings.Split(sizes, ",") {
		millions, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		measure(t, int64(millions*1e6))
	}
}

var (
	pauseOf = regexp.MustCompile(`checkpoint pipeline=.* bytes=(\d+) took=(\S+) pause=(\S+)`)
	rssOf   = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
)

func measure(t *testing.T, rows int64) {
	dir := t.TempDir()
	flags := []string{"--memory", "4GB"}
	n := dev(t, dir, flags...)
	c := n.connect(t)
	exe(t, c, fmt.Sprintf(`CREATE SOURCE s (k BIGINT, g BIGINT, name TEXT) WITH (connector = 'datagen', rate = '2000000', rows = '%d',
		fields.k.kind = 'sequence', fields.k.start = '1', fields.g.min = '1', fields.g.max = '1000', fields.name.length = '24')`, rows),
		`CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS n, sum(g) AS s, max(name) AS name FROM s GROUP BY k`)
	for len(slowly(t, c, fmt.Sprintf(`SELECT k FROM v WHERE k = %d`, rows))) == 0 {
		time.Sleep(100 * time.Millisecond) // the source has its own pace
	}
	slowly(t, c, `CHECKPOINT`)
	for end := time.Now().Add(opTimeout); !pauseOf.MatchString(n.stderr.String()) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // the line is on its way
	}
	var pause time.Duration
	var written int64
	last := ""
	count := 0
	for _, m := range pauseOf.FindAllStringSubmatch(n.stderr.String(), -1) {
		d, err := time.ParseDuration(m[3])
		if err != nil {
			t.Fatal(err)
		}
		b, _ := strconv.ParseInt(m[1], 10, 64)
		pause, written, last, count = max(pause, d), written+b, m[2], count+1
	}
	n.kill()
	files := sizeOf(t, filepath.Join(dir, "checkpoints"))
	n = dev(t, dir, flags...)
	c = n.connect(t)
	start := time.Now()
	want(t, c, `SELECT n FROM v WHERE k = 777`, "1")
	first := time.Since(start)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	rss := int64(0)
	if m := rssOf.FindSubmatch(status); err == nil && m != nil {
		rss, _ = strconv.ParseInt(string(m[1]), 10, 64)
	}
	start = time.Now()
	if got := slowly(t, c, `SELECT sum(n) FROM v`); len(got) != 1 || got[0] != fmt.Sprint(rows) {
		t.Errorf("%d rows: %v", rows, got)
	}
	t.Logf("%d | %d of %d MB | %d MB | %v | %s | %v | %v | %d MB | %v", rows, count, written>>20, files>>20, pause, last,
		n.took.Round(time.Millisecond), first.Round(time.Millisecond), rss>>10, time.Since(start).Round(time.Millisecond))
	n.kill()
}

// slowly is rows for queries that take their time.
func slowly(t *testing.T, c *pgx.Conn, query string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	got, err := rowsErr(ctx, c, query)
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	return got
}

func sizeOf(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
