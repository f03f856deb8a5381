package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// smallDiskEnv tells the inner test that it has a mount namespace of its own.
const smallDiskEnv = "TIDEMILL_SMALL_DISK"

// onSmallDisk runs the test named inner in a namespace where it may mount, or skips.
func onSmallDisk(t *testing.T, inner string) {
	t.Helper()
	cmd := exec.Command("unshare", "-rm", os.Args[0], "-test.run=^"+inner+"$", "-test.v")
	cmd.Env = append(os.Environ(), smallDiskEnv+"=1")
	out, err := cmd.CombinedOutput()
	switch {
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("a small disk cannot be made here: %s", out)
	case err != nil && !bytes.Contains(out, []byte("--- FAIL")):
		t.Skipf("a namespace cannot be made here: %v: %s", err, out)
	case err != nil || !bytes.Contains(out, []byte("--- PASS")):
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// smallDisk mounts a file system of that many megabytes.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	if os.Getenv(smallDiskEnv) == "" {
		t.Skip("run by the test around it")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestFullDisk(t *testing.T) { onSmallDisk(t, "TestFullDiskInside") }

// TestFullDiskInside fills a real disk to the last byte, makes room, and checks that
// everything acknowledged is there, once, and that appends go on; twice, and after a
// restart.
func TestFullDiskInside(t *testing.T) {
	dir := smallDisk(t, 64)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(dir, "data"), ReserveBytes: -1, RequestTimeout: 500 * time.Millisecond}
	f, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { f.Close(context.Background()) }()
	log, err := f.OpenLog(t.Context(), "l", LogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	rec := func(seq uint64) []byte {
		return append(fmt.Appendf(nil, "%d ", seq), bytes.Repeat([]byte{byte(seq)}, 200_000)...)
	}
	last := uint64(0)    // acknowledged
	unknown := uint64(0) // of the append whose outcome is not known, 0 for none
	for round := range 2 {
		for {
			recs := [][]byte{rec(last + 1)}
			if round == 1 { // all or none
				recs = append(recs, rec(last+2), rec(last+3))
			}
			seq, err := log.Append(t.Context(), recs, last)
			if err == nil {
				if last += uint64(len(recs)); seq != last {
					t.Fatalf("at %d, want %d", seq, last)
				}
				continue
			}
			t.Logf("round %d, after %d records: %v", round, last, err)
			if !errors.Is(err, ErrUnknown) {
				t.Fatal(err)
			}
			unknown = last + uint64(len(recs))
			break
		}
		var full *NoSpaceError
		eventually(t, "the failure is seen", func() bool { return errors.As(f.Room(), &full) })
		if !full.Stopped {
			t.Fatalf("%+v", full)
		}
		if round == 0 {
			err = os.Remove(ballast)
		} else {
			err = os.Remove(filepath.Join(dir, "more"))
		}
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "there is room again", func() bool { return f.Room() == nil })
		check := func() {
			n := uint64(0)
			if err := log.Read(t.Context(), 1, func(r Record) error {
				if n++; r.Seq != n || !bytes.Equal(r.Data, rec(n)) {
					return fmt.Errorf("record %d is at %d with %d bytes", n, r.Seq, len(r.Data))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if n != last && n != unknown {
				t.Fatalf("%d records, %d were acknowledged", n, last)
			}
			last, unknown = n, 0
		}
		check()
		if round == 0 {
			if err := os.WriteFile(filepath.Join(dir, "more"), make([]byte, 18<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := log.Append(t.Context(), [][]byte{rec(last + 1)}, last); err != nil {
			t.Fatal(err)
		}
		last++
		f.Close(context.Background())
		if f, err = Start(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if log, err = f.OpenLog(t.Context(), "l", LogConfig{}); err != nil {
			t.Fatal(err)
		}
		check()
	}
}
