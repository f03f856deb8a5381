package ckpt_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/state"
)

// written is a store with one checkpoint, and where its records are.
type written struct {
	disk     *diskmodel.Disk
	store    *ckpt.Store
	manifest ckpt.Manifest
	hash     ckpt.Hash
	at       map[uint64]state.Loc // by owner
}

const imageOwner = 1000

func write(t *testing.T, packBytes int64, sizes ...int) *written {
	t.Helper()
	w := &written{disk: diskmodel.New(rand.New(rand.NewPCG(1, 1)).IntN), at: map[uint64]state.Loc{}}
	var err error
	if w.store, err = ckpt.Open(w.disk, ckpt.Options{PackBytes: packBytes}); err != nil {
		t.Fatal(err)
	}
	out := must[*ckpt.Writer](t)(w.store.Begin(ckpt.Manifest{Pipeline: "p", Step: 3}))
	for i, n := range sizes {
		owner := uint64(i + 1)
		w.at[owner] = must[state.Loc](t)(out.Put(state.RecordPage, owner, make([]byte, n)))
	}
	w.at[imageOwner] = must[state.Loc](t)(out.Put(state.RecordImage, imageOwner, []byte("image")))
	w.manifest, w.hash, err = out.Finish(map[string]ckpt.Object{"v": {Kind: "view", Image: w.at[imageOwner]}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestEveryBitIsGuarded flips each bit of each file of a checkpoint in turn.
func TestEveryBitIsGuarded(t *testing.T) {
	w := write(t, 200, 40, 0, 300, 60, 5)
	if len(w.manifest.Packs) < 2 {
		t.Fatalf("%d packs", len(w.manifest.Packs))
	}
	for _, f := range w.disk.Files() {
		for bit := range f.SizeBytes * 8 {
			if err := w.disk.Flip(f.Name, bit); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(f.Name, "manifests/") {
				w.manifestIsDamaged(t, f.Name)
			} else {
				w.packIsDamaged(t, f.Name, bit/8)
			}
			if err := w.disk.Flip(f.Name, bit); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.store.Verify(context.Background(), w.manifest, nil); err != nil {
		t.Fatalf("at the end: %v", err)
	}
}

func (w *written) manifestIsDamaged(t *testing.T, name string) {
	t.Helper()
	var d *ckpt.DamageError
	if _, err := w.store.OpenManifest(w.hash); !errors.As(err, &d) || d.File != name {
		t.Fatalf("open a damaged manifest: %v", err)
	}
	entries, err := w.store.Manifests()
	if err != nil || len(entries) != 1 || !errors.Is(entries[0].Err, ckpt.ErrDamaged) || entries[0].Hash != w.hash || entries[0].Step != 3 {
		t.Fatalf("list a damaged manifest: %+v, %v", entries, err)
	}
}

func (w *written) packIsDamaged(t *testing.T, name string, at int64) {
	t.Helper()
	var hit uint64 // the owner of the record that is damaged; 0: the pack's header
	var l state.Loc
	for owner, loc := range w.at {
		if w.pack(loc) == name && uint64(at) >= loc.Off && uint64(at) < loc.Off+uint64(loc.Len) {
			hit, l = owner, loc
		}
	}
	var d *ckpt.DamageError
	err := w.store.Verify(context.Background(), w.manifest, nil)
	if !errors.As(err, &d) || !errors.Is(err, ckpt.ErrDamaged) || d.File != name || d.Offset != int64(l.Off) {
		t.Fatalf("byte %d of %s, in the record at %d: verify says %v", at, name, l.Off, err)
	}
	for owner, loc := range w.at {
		_, err := w.store.Read(loc, owner, nil)
		if owner == hit && !(errors.As(err, &d) && d.File == name && d.Offset == int64(l.Off)) {
			t.Fatalf("byte %d of %s: read says %v", at, name, err)
		}
		if owner != hit && err != nil && hit != 0 {
			t.Fatalf("byte %d of %s: read of another record says %v", at, name, err)
		}
	}
	if hit == imageOwner {
		if _, err := w.store.OpenManifest(w.hash); !errors.As(err, &d) || d.File != name || !strings.Contains(err.Error(), "image of v") {
			t.Fatalf("byte %d of %s: opening says %v", at, name, err)
		}
	}
}

func (w *written) pack(l state.Loc) string {
	for _, p := range w.manifest.Packs {
		if p.Number == l.Pack {
			return p.FileName()
		}
	}
	return ""
}

func TestPacksThatAreShortOrGone(t *testing.T) {
	w := write(t, 200, 40, 300, 60)
	name := w.manifest.Packs[0].FileName()
	cut := w.manifest.Packs[1].FileName()
	if err := w.disk.Truncate(cut, w.manifest.Packs[1].SizeBytes-1); err != nil {
		t.Fatal(err)
	}
	var d *ckpt.DamageError
	if _, err := w.store.OpenManifest(w.hash); !errors.As(err, &d) || d.File != cut {
		t.Errorf("open with a short pack: %v", err)
	}
	if err := w.store.Verify(context.Background(), w.manifest, nil); !errors.As(err, &d) || d.File != cut {
		t.Errorf("verify with a short pack: %v", err)
	}
	if err := w.disk.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.OpenManifest(w.hash); !errors.As(err, &d) || d.File != name || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open with a pack gone: %v", err)
	}
	if _, err := w.store.Read(w.at[1], 1, nil); !errors.As(err, &d) || d.File != name {
		t.Errorf("read of a pack that is gone: %v", err)
	}
}

// TestSwappedPacks puts whole and undamaged packs in the place of others.
func TestSwappedPacks(t *testing.T) {
	w := write(t, 100, 80, 80, 80)
	a, b := w.manifest.Packs[0].FileName(), w.manifest.Packs[1].FileName()
	for _, r := range [][2]string{{a, "packs/x"}, {b, a}, {"packs/x", b}} {
		if err := w.disk.Rename(r[0], r[1]); err != nil {
			t.Fatal(err)
		}
	}
	var d *ckpt.DamageError
	if _, err := w.store.Read(w.at[1], 1, nil); !errors.As(err, &d) || d.File != a {
		t.Errorf("read: %v", err)
	}
	if err := w.store.Verify(context.Background(), w.manifest, nil); !errors.As(err, &d) || d.File != a {
		t.Errorf("verify: %v", err)
	}
}

func TestUnreadableSectors(t *testing.T) {
	w := write(t, 1<<20, 40)
	w.disk.SetHook(func(op diskmodel.Op) error {
		if op.Kind == diskmodel.OpRead {
			return syscall.EIO
		}
		return nil
	})
	if _, err := w.store.Read(w.at[1], 1, nil); !errors.Is(err, ckpt.ErrDamaged) || !errors.Is(err, syscall.EIO) {
		t.Errorf("read: %v", err)
	}
	if err := w.store.Verify(context.Background(), w.manifest, nil); !errors.Is(err, ckpt.ErrDamaged) || !errors.Is(err, syscall.EIO) {
		t.Errorf("verify: %v", err)
	}
}

// TestDamagedCheckpointFallsBack opens the checkpoint before, with the store that found
// the newest one damaged, and goes on from there.
func TestDamagedCheckpointFallsBack(t *testing.T) {
	d := diskmodel.New(rand.New(rand.NewPCG(1, 1)).IntN)
	rng := rand.New(rand.NewPCG(1, 2))
	s := must[*ckpt.Store](t)(ckpt.Open(d, crashOptions))
	op := newToy()
	op.change(rng, 20, 20)
	_, first, err := op.checkpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	before := clone(op.pages)
	op.change(rng, 20, 20)
	m, second, err := op.checkpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	l := m.Objects["toy"].Image
	for _, p := range m.Packs {
		if p.Number == l.Pack {
			if err := d.Flip(p.FileName(), int64(l.Off+uint64(l.Len)-1)*8); err != nil {
				t.Fatal(err)
			}
		}
	}
	s = must[*ckpt.Store](t)(ckpt.Open(d, crashOptions))
	if _, err := s.OpenManifest(second); !errors.Is(err, ckpt.ErrDamaged) {
		t.Fatalf("the damaged one: %v", err)
	}
	m = must[ckpt.Manifest](t)(s.OpenManifest(first))
	op = must[*toy](t)(load(s, m))
	samePages(t, op.pages, before)
	op.change(rng, 20, 20)
	m, third, err := op.checkpoint(s)
	if err != nil || m.Previous != first {
		t.Fatalf("previous %s, %v", m.Previous, err)
	}
	if _, err := s.Prune(first, third); err != nil {
		t.Fatal(err)
	}
	samePages(t, must[*toy](t)(load(s, must[ckpt.Manifest](t)(s.OpenManifest(third)))).pages, op.pages)
	samePages(t, must[*toy](t)(load(s, must[ckpt.Manifest](t)(s.OpenManifest(first)))).pages, before)
	if _, err := s.ReadManifest(second); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the damaged one was not pruned: %v", err)
	}
}

func TestVerifyReportsAndStops(t *testing.T) {
	w := write(t, 1<<20, 3<<20, 40, 1<<20)
	var reports, total, last int64
	err := w.store.Verify(context.Background(), w.manifest, func(done, of int64) {
		if done <= last || of < done {
			t.Errorf("%d of %d after %d", done, of, last)
		}
		last, total = done, of
		reports++
	})
	if err != nil || reports < 4 || last != total {
		t.Fatalf("%d reports, %d of %d: %v", reports, last, total, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = w.store.Verify(ctx, w.manifest, func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
}

// TestPacksOfTheSameNumber brings a checkpoint of another store into the directory of an
// open one.
func TestPacksOfTheSameNumber(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	var hashes []ckpt.Hash
	var want []map[uint64][]byte
	for i, dir := range dirs {
		s := openDir(t, dir, ckpt.Options{})
		op := newToy()
		op.set(1, []byte{byte(i)})
		_, h, err := op.checkpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		hashes, want = append(hashes, h), append(want, op.pages)
	}
	if err := os.CopyFS(dirs[0], os.DirFS(dirs[1])); err != nil {
		t.Fatal(err)
	}
	for first := range hashes {
		s := openDir(t, dirs[0], ckpt.Options{})
		m := must[ckpt.Manifest](t)(s.OpenManifest(hashes[first]))
		if _, err := s.OpenManifest(hashes[1-first]); !errors.Is(err, ckpt.ErrDamaged) || !strings.Contains(err.Error(), "pack 1") {
			t.Errorf("two packs of one number: %v", err)
		}
		samePages(t, must[*toy](t)(load(s, m)).pages, want[first])
	}
}
