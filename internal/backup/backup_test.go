package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/wire"
)

// held is a data directory with a checkpoint, a log of n records from first on, and an
// empty source, that a backup is to be made of.
func held(t *testing.T, dir string, first uint64, n int) (*Held, *ckpt.Store) {
	t.Helper()
	ctx := t.Context()
	f, err := fabric.Start(ctx, fabric.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(context.Background()) })
	log, err := f.OpenLog(ctx, "LOG_db", fabric.LogConfig{FirstSeq: first})
	if err != nil {
		t.Fatal(err)
	}
	src, err := f.OpenLog(ctx, "SRC_db_1", fabric.LogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	prev := wire.Hash(sha256.Sum256([]byte("before")))
	if first == 1 {
		prev = wire.Hash{}
	}
	for i := range n {
		body := (&wire.Step{N: first + uint64(i), Engine: strings.Repeat("x", 500)}).Encode()
		rec, h := wire.Seal(wire.Header{Kind: wire.KindStep, Epoch: 1, Prev: prev}, body)
		if _, err := log.Append(ctx, [][]byte{rec}, first+uint64(i)-1); err != nil {
			t.Fatal(err)
		}
		prev = h
	}
	files, err := ckpt.NewOSFS(CheckpointDir(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	store, err := ckpt.Open(files, ckpt.Options{PackBytes: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	h := &Held{Pipeline: "db", Engine: "test", Step: first + uint64(n) - 1, Files: files, Logs: []HeldLog{
		{Name: "LOG_db", First: first, Last: first + uint64(n) - 1, Read: log.Read}, {Name: "SRC_db_1", First: 1, Read: src.Read}}}
	checkpoint(t, store, h, "one")
	return h, store
}

// checkpoint writes another checkpoint and holds it.
func checkpoint(t *testing.T, store *ckpt.Store, h *Held, text string) {
	t.Helper()
	w, err := store.Begin(ckpt.Manifest{Pipeline: "db", Step: h.Step, LogSeq: 0, Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range h.images() {
		w.Keep(l)
	}
	var last state.Loc
	for i := range 50 {
		if last, err = w.Put(state.RecordImage, uint64(i), bytes.Repeat([]byte(text), 300)); err != nil {
			t.Fatal(err)
		}
		w.Keep(last)
	}
	objects := map[string]ckpt.Object{"last": {Image: last}}
	for k, o := range h.Manifest.Objects {
		objects["was "+k] = o
	}
	if h.Manifest, h.Hash, err = w.Finish(objects); err != nil {
		t.Fatal(err)
	}
}

func (h *Held) images() (out []state.Loc) {
	for _, o := range h.Manifest.Objects {
		out = append(out, o.Image)
	}
	return out
}

// send writes a backup and receives it.
func send(t *testing.T, h *Held, to Target) (*Index, int64) {
	t.Helper()
	have, err := to.List(t.Context(), CheckpointPrefix)
	if err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer
	if err := Write(t.Context(), h, have, &sent); err != nil {
		t.Fatal(err)
	}
	size := int64(sent.Len())
	x, err := Receive(t.Context(), &sent, to)
	if err != nil {
		t.Fatal(err)
	}
	return x, size
}

// TestBackup makes backups, of which the second sends only what is new, and restores
// the last.
func TestBackup(t *testing.T) {
	for _, first := range []uint64{1, 700} {
		h, store := held(t, t.TempDir(), first, 1200)
		to := Dir(filepath.Join(t.TempDir(), "backup"))
		_, all := send(t, h, to)
		checkpoint(t, store, h, "two")
		x, more := send(t, h, to)
		if more > all*3/4+700*600 {
			t.Errorf("%d bytes were sent the first time, %d the second", all, more)
		}
		if err := VerifyBackup(t.Context(), to, func(c Checked) {}); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "data")
		if _, err := Restore(t.Context(), to, dir, func(string) {}); err != nil {
			t.Fatal(err)
		}
		seen := ""
		if err := Verify(t.Context(), dir, func(c Checked) { seen += fmt.Sprintf("%s %s %d-%d\n", c.What, c.Name, c.First, c.Last) }); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("log LOG_db %d-%d\nsource SRC_db_1 1-0\ncheckpoint db %d-%d\n", first, first+1199, x.Step, x.Step)
		if seen != want {
			t.Errorf("restored:\n%swant:\n%s", seen, want)
		}
		if _, err := Restore(t.Context(), to, dir, func(string) {}); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("restored over what is there: %v", err)
		}
	}
}

// TestBackupDamaged flips a byte in each file of a backup: verify names it and restore
// leaves nothing behind.
func TestBackupDamaged(t *testing.T) {
	h, _ := held(t, t.TempDir(), 5, 60)
	to := Dir(filepath.Join(t.TempDir(), "backup"))
	x, _ := send(t, h, to)
	for _, f := range x.Files {
		path := filepath.Join(string(to), filepath.FromSlash(f.Name))
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(raw)
		bad[len(bad)/2] ^= 4
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		var named []string
		err = VerifyBackup(t.Context(), to, func(c Checked) {
			if c.Err != nil {
				named = append(named, c.Err.Error())
			}
		})
		if !errors.Is(err, ErrDamaged) || len(named) != 1 || !strings.Contains(named[0], filepath.Base(f.Name)) {
			t.Errorf("%s: %v, %q", f.Name, err, named)
		}
		dir := filepath.Join(t.TempDir(), "data")
		if _, err := Restore(t.Context(), to, dir, func(string) {}); err == nil {
			t.Errorf("%s: damaged, and restored", f.Name)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a failed restore leaves %s: %v", f.Name, dir, err)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackupCutShort ends the transfer at every few bytes: the backup that was there
// stays whole.
func TestBackupCutShort(t *testing.T) {
	h, store := held(t, t.TempDir(), 1, 20)
	to := Dir(filepath.Join(t.TempDir(), "backup"))
	send(t, h, to)
	checkpoint(t, store, h, "two")
	h.Logs[0].Last, h.Step = 15, 15 // another span
	var sent bytes.Buffer
	if err := Write(t.Context(), h, nil, &sent); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < sent.Len()-3000; n += 1 + sent.Len()/17 {
		if _, err := Receive(t.Context(), io.LimitReader(bytes.NewReader(sent.Bytes()), int64(n)), to); err == nil {
			t.Fatalf("%d of %d bytes were enough", n, sent.Len())
		}
		if err := VerifyBackup(t.Context(), to, func(Checked) {}); err != nil {
			t.Fatalf("after %d of %d bytes: %v", n, sent.Len(), err)
		}
	}
}

// TestBackupsAtOnce has another backup to the same target end while one is under way,
// which removes what that one has put there: it fails, and the other stays whole.
func TestBackupsAtOnce(t *testing.T) {
	h, store := held(t, t.TempDir(), 1, 20)
	to := Dir(filepath.Join(t.TempDir(), "backup"))
	var first bytes.Buffer
	if err := Write(t.Context(), h, nil, &first); err != nil {
		t.Fatal(err)
	}
	checkpoint(t, store, h, "two")
	h.Logs[0].Last, h.Step = 15, 15 // another span
	cut := &pausing{r: bytes.NewReader(first.Bytes()), at: first.Len() - 4000, then: func() { send(t, h, to) }}
	if _, err := Receive(t.Context(), cut, to); err == nil || !strings.Contains(err.Error(), "another backup") {
		t.Errorf("the first: %v", err)
	}
	if err := VerifyBackup(t.Context(), to, func(Checked) {}); err != nil {
		t.Error(err)
	}
}

// pausing is a reader that does something else on the way.
type pausing struct {
	r    io.Reader
	at   int
	then func()
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.at <= 0 && p.then != nil {
		p.then()
		p.then = nil
	}
	n, err := p.r.Read(b[:min(len(b), 1000)])
	p.at -= n
	return n, err
}

// TestVerifyOfNothing refuses what is no data directory, and leaves it as it is.
func TestVerifyOfNothing(t *testing.T) {
	dir := t.TempDir()
	if err := Verify(t.Context(), dir, func(Checked) {}); err == nil || !strings.Contains(err.Error(), "no data directory") {
		t.Error(err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("%v: %v", list, err)
	}
}
