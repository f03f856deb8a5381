package fabric

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	childDirEnv = "TIDEMILL_FABRIC_CHILD_DIR"
	killRounds  = 6
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDirEnv); dir != "" {
		if err := childMain(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if text := os.Getenv(childNodeEnv); text != "" {
		if err := childNode(text); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// childMain appends until it is killed and tells every acknowledgement on standard output: "batch FIRST LAST" for an
// atomic batch, "one SEQ" for a record of an Appender, "lease TOKEN" for a lease, "ready" once.
func childMain(dir string) error {
	ctx := context.Background()
	f, err := Start(ctx, Config{Dir: dir})
	if err != nil {
		return err
	}
	batches, err := f.OpenLog(ctx, "batches", LogConfig{})
	if err != nil {
		return err
	}
	ones, err := f.OpenLog(ctx, "ones", LogConfig{})
	if err != nil {
		return err
	}
	_, lastOne, err := ones.Bounds(ctx)
	if err != nil {
		return err
	}
	_, last, err := batches.Bounds(ctx)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	lease, err := f.AcquireLease(ctx, "l"+strconv.Itoa(os.Getpid()), "child", time.Minute)
	if err != nil {
		return err
	}
	fmt.Println("lease", lease.Token())
	if err := lease.Release(ctx); err != nil { // the stream of leases is empty when the kill comes
		return err
	}
	a, err := ones.StartAppender(ctx, AppenderConfig{ExpectLast: lastOne, OnResult: func(r AppendResult) {
		if r.Err == nil {
			fmt.Println("one", r.Seq)
		}
	}})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewSource(int64(os.Getpid())))
	for {
		recs := make([][]byte, 2+rng.Intn(40))
		for i := range recs {
			recs[i] = killRecord(last+1, last+uint64(len(recs)), 10+rng.Intn(3000))
		}
		end, err := batches.Append(ctx, recs, last)
		if err != nil {
			return err
		}
		fmt.Println("batch", last+1, end)
		last = end
		for range 20 {
			lastOne++
			if err := a.Append(ctx, 0, killRecord(lastOne, lastOne, 200)); err != nil {
				return err
			}
		}
	}
}

// killRecord holds the first and last sequence of its batch and a filling that follows from them.
func killRecord(first, last uint64, sizeBytes int) []byte {
	rec := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, first), last)
	return append(rec, bytes.Repeat([]byte{byte(first)}, sizeBytes)...)
}

// A process killed at any moment loses nothing that it was told is stored, and leaves no part of a batch.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewSource(time.Now().UnixNano()))
	ackedBatch, ackedOne, token, killed := uint64(0), uint64(0), uint64(0), 0
	for range killRounds {
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), childDirEnv+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines, after := bufio.NewScanner(out), 3+rng.Intn(1500)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			switch fields[0] {
			case "ready":
				if _, err := Start(context.Background(), Config{Dir: dir}); !errors.Is(err, ErrInUse) {
					t.Errorf("second process: %v", err)
				}
			case "batch":
				ackedBatch = parse(t, fields[2])
			case "one":
				ackedOne = parse(t, fields[1])
			case "lease":
				if next := parse(t, fields[1]); next <= token {
					t.Errorf("lease token %d after %d", next, token)
				} else {
					token = next
				}
			default:
				t.Fatalf("child says %q", lines.Text())
			}
			if after--; after == 0 {
				child.Process.Kill()
				killed++
			}
		}
		child.Wait()
		checkKilled(t, dir, ackedBatch, ackedOne)
	}
	if killed != killRounds {
		t.Errorf("killed %d of %d", killed, killRounds)
	}
	t.Logf("%d batched and %d single records acknowledged over %d kills", ackedBatch, ackedOne, killed)
}

func parse(t *testing.T, text string) uint64 {
	t.Helper()
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// checkKilled reads both logs after a kill. Run at once: nobody else has the directory, as the lock died too.
func checkKilled(t *testing.T, dir string, ackedBatch, ackedOne uint64) {
	t.Helper()
	f, err := Start(context.Background(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	for name, acked := range map[string]uint64{"batches": ackedBatch, "ones": ackedOne} {
		log := openLog(t, f, name)
		last, batchEnd := uint64(0), uint64(0)
		err := log.Read(context.Background(), 1, func(rec Record) error {
			first, end := binary.BigEndian.Uint64(rec.Data), binary.BigEndian.Uint64(rec.Data[8:])
			if rec.Seq < first || rec.Seq > end || rec.Seq != last+1 {
				return fmt.Errorf("record %d after %d belongs to %d..%d", rec.Seq, last, first, end)
			}
			for _, b := range rec.Data[16:] {
				if b != byte(first) {
					return fmt.Errorf("record %d has wrong bytes", rec.Seq)
				}
			}
			last, batchEnd = rec.Seq, end
			return nil
		})
		if err != nil {
			t.Errorf("log %s: %v", name, err)
		}
		if last != batchEnd {
			t.Errorf("log %s ends at %d in the middle of a batch that ends at %d", name, last, batchEnd)
		}
		if last < acked {
			t.Errorf("log %s ends at %d, acknowledged %d", name, last, acked)
		}
	}
}
