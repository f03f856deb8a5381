package node_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/types"
)

const smallDiskEnv = "TIDEMILL_SMALL_DISK"

// TestFullDisk runs a node on a small disk, in a namespace where one may be mounted.
func TestFullDisk(t *testing.T) {
	cmd := exec.Command("unshare", "-rm", os.Args[0], "-test.run=^TestFullDiskInside$", "-test.v", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), smallDiskEnv+"=1")
	out, err := cmd.CombinedOutput()
	switch {
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("a small disk cannot be made here: %s", out)
	case err != nil && !bytes.Contains(out, []byte("--- FAIL")) && !bytes.Contains(out, []byte("panic")):
		t.Skipf("a namespace cannot be made here: %v: %s", err, out)
	case err != nil || !bytes.Contains(out, []byte("--- PASS")):
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestFullDiskInside writes through SQL, HTTP and a sink until the disk is full: with a
// reserve, so that writes are refused before, and without one, so that appends meet
// the full disk. Reads go on; when there is room everything that was acknowledged is
// there once, also after a restart.
func TestFullDiskInside(t *testing.T) {
	if os.Getenv(smallDiskEnv) == "" {
		t.Skip("run by the test around it")
	}
	for _, reserve := range []int64{12, -1} {
		t.Run(fmt.Sprint("reserve=", reserve), func(t *testing.T) { fillDisk(t, reserve) })
	}
}

func fillDisk(t *testing.T, reserveMB int64) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=72m"); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 24<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config(filepath.Join(dir, "data"))
	cfg.DiskReserveMB = reserveMB
	cfg.Logf = func(format string, args ...any) {
		if testing.Verbose() {
			fmt.Fprintf(os.Stderr, format+"\n", args...)
		}
	}
	n := start(t, cfg)
	sink := filepath.Join(t.TempDir(), "out") // on a disk with room
	query(t, n, `CREATE TABLE t (id INT PRIMARY KEY, pad TEXT); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(id) AS s FROM t;
		CREATE SOURCE s (id INT, pad TEXT) WITH (connector = 'http'); CREATE MATERIALIZED VIEW w AS SELECT id, count(*) AS times FROM s GROUP BY id;
		CREATE SINK k FROM v WITH (connector = 'file', path = '`+sink+`')`)

	pad := func(id int) string { // that compresses to no less than half
		b := make([]byte, 40_000)
		rand.NewChaCha8([32]byte{byte(id), byte(id >> 8)}).Read(b)
		return hex.EncodeToString(b)
	}
	post := func(ctx context.Context, id int) error {
		req, err := http.NewRequestWithContext(ctx, "POST", "http://"+n.Addrs().HTTP+"/v1/sources/s", strings.NewReader(fmt.Sprintf(`{"id":%d,"pad":"%s"}`, id, pad(id))))
		if err != nil {
			return err
		}
		req.Header.Set("Idempotency-Key", fmt.Sprint(id))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		switch {
		case resp.StatusCode == 200:
			return nil
		case resp.StatusCode == 507 && bytes.Contains(text, []byte(`"53100"`)):
			return &types.Error{Code: types.CodeDiskFull, Message: string(text)}
		}
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	isFull := func(err error) bool {
		var te *types.Error
		return errors.As(err, &te) && te.Code == types.CodeDiskFull
	}
	var inserted, posted atomic.Int64 // acknowledged, ids from 1
	var refusals atomic.Int64
	var slowly atomic.Bool // so that the disk is not full again at once
	quit := make(chan struct{})
	var writers sync.WaitGroup
	write := func(acked *atomic.Int64, fn func(id int) error) {
		writers.Go(func() {
			for id := 1; ; id++ {
				for {
					select {
					case <-quit:
						return
					default:
					}
					err := fn(id)
					if err == nil {
						break
					}
					if !isFull(err) && !strings.Contains(err.Error(), "503") {
						t.Errorf("id %d: %v", id, err)
						return
					}
					refusals.Add(1)
					time.Sleep(20 * time.Millisecond) // as a client would
				}
				acked.Store(int64(id))
				if slowly.Load() {
					time.Sleep(50 * time.Millisecond)
				}
			}
		})
	}
	write(&inserted, func(id int) error {
		_, err := try(t.Context(), n, fmt.Sprintf("INSERT INTO t VALUES (%d, '%s')", id, pad(id)))
		return err
	})
	write(&posted, func(id int) error { return post(t.Context(), id) })

	wait := func(what string, fn func() bool) {
		t.Helper()
		for deadline := time.Now().Add(40 * time.Second); !fn(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("it never happened: %s (%d inserted, %d posted, %d refused)", what, inserted.Load(), posted.Load(), refusals.Load())
			}
		}
	}
	wait("a write is refused", func() bool { return refusals.Load() > 2 })
	rows := query(t, n, "SELECT n FROM v")
	if rows == "" || rows == "0" {
		t.Errorf("reads on a full disk: %q", rows)
	}
	_, err := try(t.Context(), n, "CREATE TABLE u (a INT)")
	if !isFull(err) || !strings.Contains(err.Error(), filepath.Join(dir, "data")) {
		t.Errorf("DDL: %v", err)
	}
	slowly.Store(true)
	before, beforePosts := inserted.Load(), posted.Load()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	wait("writes go on", func() bool { return inserted.Load() > before && posted.Load() > beforePosts })
	close(quit)
	writers.Wait()
	check := func(n *node.Node) {
		t.Helper()
		query(t, n, "FLUSH")
		k := inserted.Load()
		expect(t, n, "SELECT n, s FROM v", fmt.Sprintf("%d|%d", k, k*(k+1)/2))
		expect(t, n, "SELECT count(*), sum(id), max(times) FROM w", fmt.Sprintf("%d|%d|1", posted.Load(), posted.Load()*(posted.Load()+1)/2))
	}
	check(n)
	wait("the sink has the last change", func() bool {
		text, _ := os.ReadFile(sink)
		k := inserted.Load()
		return bytes.Contains(text, fmt.Appendf(nil, `"n":%d,"s":%d}`, k, k*(k+1)/2))
	})
	stop(t, n)
	check(start(t, cfg))
	t.Logf("%d inserted, %d posted, %d refused", inserted.Load(), posted.Load(), refusals.Load())
}
