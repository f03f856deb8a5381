package diskmodel_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
)

func seeded(seed uint64) func(int) int {
	return rand.New(rand.NewPCG(seed, 0)).IntN
}

func create(t *testing.T, d *diskmodel.Disk, name, content string) ckpt.File {
	t.Helper()
	f, err := d.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return f
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// content returns a file's content, false if it is not there.
func content(t *testing.T, d *diskmodel.Disk, name string) (string, bool) {
	t.Helper()
	f, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return string(data), true
}

// outcomes returns all that a crash leaves of one file, over many crashes.
func outcomes(t *testing.T, d *diskmodel.Disk, name string) map[string]int {
	t.Helper()
	seen := make(map[string]int)
	for range 400 {
		s, ok := content(t, d.Crash(), name)
		if !ok {
			s = "-"
		}
		seen[s]++
	}
	return seen
}

func TestSyncedNamesAndContentSurvive(t *testing.T) {
	d := diskmodel.New(seeded(1))
	do(t, d.MkdirAll("a/b"), d.SyncDir("."), d.SyncDir("a"))
	f := create(t, d, "a/b/f", "hello")
	do(t, f.Sync(), d.SyncDir("a/b"))
	if got := outcomes(t, d, "a/b/f"); len(got) != 1 || got["hello"] == 0 {
		t.Fatalf("%v", got)
	}
}

func TestWhatIsNotSyncedMayBeLost(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(d *diskmodel.Disk)
		want []string
	}{
		"content": {func(d *diskmodel.Disk) {
			f := create(t, d, "d/f", "old")
			do(t, f.Sync(), d.SyncDir("d"))
			f.Write([]byte("+"))
		}, []string{"old", "old+", "old\x00"}},
		"name": {func(d *diskmodel.Disk) {
			do(t, create(t, d, "d/f", "new").Sync())
		}, []string{"-", "new"}},
		"directory": {func(d *diskmodel.Disk) {
			do(t, d.MkdirAll("d/e"))
			do(t, create(t, d, "d/e/f", "x").Sync(), d.SyncDir("d/e"), d.Rename("d/e/f", "d/f"), d.SyncDir("d/e"), d.SyncDir("d"))
		}, []string{"x"}},
		"rename": {func(d *diskmodel.Disk) {
			f := create(t, d, "d/f", "old")
			g := create(t, d, "d/g", "new")
			do(t, f.Sync(), g.Sync(), d.SyncDir("d"), d.Rename("d/g", "d/f"))
		}, []string{"old", "new"}},
		"remove": {func(d *diskmodel.Disk) {
			do(t, create(t, d, "d/f", "old").Sync(), d.SyncDir("d"), d.Remove("d/f"))
		}, []string{"old", "-"}},
		"rename, then remove": {func(d *diskmodel.Disk) {
			do(t, create(t, d, "d/f", "old").Sync(), create(t, d, "d/g", "new").Sync(), d.SyncDir("d"))
			do(t, d.Rename("d/g", "d/f"), d.Remove("d/f"))
		}, []string{"old", "new", "-"}},
	} {
		d := diskmodel.New(seeded(2))
		do(t, d.MkdirAll("d"), d.SyncDir("."))
		c.do(d)
		got := outcomes(t, d, "d/f")
		if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, slices.Sorted(slices.Values(c.want))) {
			t.Errorf("%s: a crash leaves %q, want each of %q", name, keys, c.want)
		}
	}
}

func TestNamesAreLostInOrder(t *testing.T) {
	d := diskmodel.New(seeded(3))
	for _, n := range []string{"a", "b", "c"} {
		do(t, create(t, d, n, n).Sync())
	}
	seen := make(map[string]bool)
	for range 200 {
		var names []string
		for _, f := range d.Crash().Files() {
			names = append(names, f.Name)
		}
		seen[strings.Join(names, "")] = true
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"", "a", "ab", "abc"}) {
		t.Fatalf("%q", got)
	}
}

func TestWritesAreTornBetweenSectors(t *testing.T) {
	d := diskmodel.New(seeded(4))
	f, err := d.Create("f")
	do(t, err)
	old := bytes.Repeat([]byte{1}, 4*diskmodel.SectorBytes)
	_, err = f.Write(old)
	do(t, err, f.Sync(), d.SyncDir("."))
	// Two writes, neither of which begins at a sector.
	_, err = f.WriteAt(bytes.Repeat([]byte{2}, 1000), 100)
	do(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{3}, 1000), 900)
	do(t, err)
	mixed := 0
	for range 300 {
		got, _ := content(t, d.Crash(), "f")
		if len(got) != len(old) {
			t.Fatalf("%d bytes", len(got))
		}
		for i := range got {
			mayBe := []byte{1}
			if i >= 100 && i < 1100 {
				mayBe = append(mayBe, 2)
			}
			if i >= 900 && i < 1900 {
				mayBe = append(mayBe, 3)
			}
			if !bytes.Contains(mayBe, []byte{got[i]}) {
				t.Fatalf("byte %d is %d, may be %v", i, got[i], mayBe)
			}
		}
		for s := 0; s < len(got); s += diskmodel.SectorBytes {
			changes := 0
			for i := s + 1; i < s+diskmodel.SectorBytes; i++ {
				if got[i] != got[i-1] {
					changes++
				}
			}
			if changes > 2 {
				t.Fatalf("sector %d is torn within", s/diskmodel.SectorBytes)
			}
		}
		if strings.Contains(got, "\x02") && strings.Contains(got[1536:], "\x01\x01") && !strings.Contains(got[1024:1536], "\x03") {
			mixed++
		}
	}
	if mixed == 0 {
		t.Error("no write was torn")
	}
}

func TestFullDisk(t *testing.T) {
	d := diskmodel.New(seeded(5))
	d.SetCapacity(10)
	f := create(t, d, "f", "123456")
	n, err := f.Write([]byte("7890ab"))
	if n != 4 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if free, _ := d.Free(); free != 0 || d.Used() != 10 {
		t.Fatalf("%d free", free)
	}
	if _, err := f.WriteAt([]byte("xx"), 3); err != nil {
		t.Fatalf("overwriting needs no room: %v", err)
	}
	do(t, d.Remove("f"))
	if d.Used() != 10 {
		t.Fatal("an open file holds no room")
	}
	do(t, f.Close())
	if free, _ := d.Free(); free != 10 {
		t.Fatalf("%d free after the file is gone", free)
	}
	do(t, create(t, d, "g", "1").Sync(), d.SyncDir("."))
	if c := d.Crash(); c.Used() != 1 {
		t.Fatalf("%d used after a crash", c.Used())
	}
}

func TestHookFaultsAndStop(t *testing.T) {
	d := diskmodel.New(seeded(6))
	f := create(t, d, "f", "abc")
	var ops []diskmodel.Op
	d.SetHook(func(op diskmodel.Op) error {
		ops = append(ops, op)
		if op.Kind == diskmodel.OpSync {
			return syscall.EIO
		}
		if op.Kind == diskmodel.OpRename {
			d.Stop()
		}
		return nil
	})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("%v", err)
	}
	if err := d.Rename("f", "g"); !errors.Is(err, diskmodel.ErrCrashed) {
		t.Fatalf("%v", err)
	}
	if _, err := f.Write(nil); !errors.Is(err, diskmodel.ErrCrashed) {
		t.Fatalf("%v", err)
	}
	if len(ops) < 2 || ops[0].N != 2 || ops[0].Name != "f" || !ops[0].Changes() || ops[1].To != "g" || d.Ops() != ops[0].N+3 {
		t.Fatalf("%+v, %d", ops, d.Ops())
	}
}

func TestFlipAndTruncate(t *testing.T) {
	d := diskmodel.New(seeded(7))
	f := create(t, d, "f", "aaaa")
	do(t, f.Sync(), d.SyncDir("."))
	do(t, d.Flip("f", 9))
	if got, _ := content(t, d, "f"); got != "acaa" {
		t.Fatalf("%q", got)
	}
	if got := outcomes(t, d, "f"); len(got) != 1 || got["acaa"] == 0 {
		t.Fatalf("%v", got)
	}
	if err := d.Flip("f", 32); !errors.Is(err, fs.ErrInvalid) {
		t.Fatalf("beyond the end: %v", err)
	}
	do(t, d.Truncate("f", 2))
	if got, _ := content(t, d.Crash(), "f"); got != "ac" {
		t.Fatalf("%q", got)
	}
}

func TestSameSeedSameCrash(t *testing.T) {
	run := func() string {
		d := diskmodel.New(seeded(8))
		for i := range 20 {
			create(t, d, string(rune('a'+i)), strings.Repeat("x", 100*i))
		}
		var b strings.Builder
		c := d.Crash()
		for _, f := range c.Files() {
			s, _ := content(t, c, f.Name)
			b.WriteString(f.Name + s)
		}
		return b.String()
	}
	if a, b := run(), run(); a != b {
		t.Fatal("two runs of one seed differ")
	}
}
