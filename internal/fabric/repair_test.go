package fabric

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// blocksOf returns the files of a stream in a node's directory, in order.
func blocksOf(t *testing.T, dir, stream string) []string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", accountInternal, "streams", stream, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("blocks %v, %v", blocks, err)
	}
	slices.SortFunc(blocks, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	return blocks
}

func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/8] ^= 0x40
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

const bigRecords = 44

func bigRecord(i int) []byte { return randomBytes(int64(i), 500_000) }

// checkBig reads the log through a node and wants every record as it was written.
func checkBig(t *testing.T, log *Log) {
	t.Helper()
	i := 0
	err := log.Read(within(t), 1, func(rec Record) error {
		if !bytes.Equal(rec.Data, bigRecord(i)) || rec.Seq != uint64(i+1) {
			return fmt.Errorf("record %d is another", rec.Seq)
		}
		i++
		return nil
	})
	if err != nil || i != bigRecords {
		t.Fatalf("%d records of %d, %v", i, bigRecords, err)
	}
}

// A block of one of three copies is damaged while its node is away: it is read through that node without a gap,
// wherever the leader is, and the copy is repaired.
func TestDamagedCopyIsRepaired(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 3 x 20 MB")
	}
	c := newCluster(t, 3)
	c.startAll()
	log := c.log(0, "l")
	waitCurrent(t, log, 3)
	for i := range bigRecords {
		waitFor(t, "it is appended", func() bool {
			_, err := log.Append(context.Background(), [][]byte{bigRecord(i)}, uint64(i))
			if err != nil && !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	waitCurrent(t, log, 3)
	for _, hurt := range []struct {
		name  string
		block int // from the first, or from the last if negative
		cut   bool
		index bool // the server's own index stays, so that it does not look at the blocks
		lead  bool // the damaged copy is made the leader's
	}{
		{name: "first block flipped", block: 0},
		{name: "middle block truncated", block: 1, cut: true, lead: true},
		{name: "middle block flipped, unnoticed by the server", block: 1, index: true, lead: true},
		{name: "last block flipped", block: -1},
		{name: "last block truncated", block: -1, cut: true},
	} {
		if !t.Run(hurt.name, func(t *testing.T) {
			before := uint64(0)
			c.nodes[2].Close(context.Background())
			blocks := blocksOf(t, c.dirs[2], log.stream)
			block := blocks[(hurt.block+len(blocks))%len(blocks)]
			if hurt.cut {
				if err := os.Truncate(block, 300_000); err != nil {
					t.Fatal(err)
				}
			} else {
				flip(t, block)
			}
			if !hurt.index {
				os.Remove(filepath.Join(filepath.Dir(block), "index.db"))
			}
			c.start(2)
			c.ready()
			bad := c.log(2, "l")
			if hurt.lead {
				waitCurrent(t, log, 3)
				if err := log.MoveLeader(within(t), "c"); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			checkBig(t, bad)
			checkBig(t, c.log(1, "l"))
			t.Logf("read in %v, %d holes on c", time.Since(began), c.nodes[2].Holes())
			if hurt.index { // only reading the copy tells
				if err := bad.Repair(within(t)); err != nil {
					t.Fatal(err)
				}
			}
			if hurt.block >= 0 {
				waitFor(t, "it has been repaired", func() bool { return c.nodes[2].Repairs() > before })
			}
			waitCurrent(t, log, 3)
			var err error
			waitFor(t, "it is whole", func() bool { err = bad.Check(within(t)); return !errors.Is(err, ErrUnavailable) })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("whole after %v", time.Since(began))
			if err := log.MoveLeader(within(t), "c"); err != nil {
				t.Fatal(err)
			}
			checkBig(t, c.log(0, "l"))
		}) {
			return
		}
	}
}
