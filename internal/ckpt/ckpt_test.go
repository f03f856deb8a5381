package ckpt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/state"
)

// toy is state like that of operators: pages by number, of which some change between
// checkpoints. A checkpoint's image is the places of all pages, so that what a manifest
// leads to can be compared with what was there.
type toy struct {
	pages   map[uint64][]byte
	at      map[uint64]state.Loc // as of the last checkpoint that finished
	changed map[uint64]bool
	version uint64
}

func newToy() *toy {
	return &toy{pages: map[uint64][]byte{}, at: map[uint64]state.Loc{}, changed: map[uint64]bool{}}
}

func (t *toy) set(page uint64, content []byte) {
	t.pages[page] = content
	t.changed[page] = true
}

// change writes n pages out of the first of pages.
func (t *toy) change(rng *rand.Rand, n, of int) {
	t.version++
	for range n {
		b := make([]byte, 1+rng.IntN(2000))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		t.set(uint64(1+rng.IntN(of)), b)
	}
}

// checkpoint writes what changed. On an error the toy is as before.
func (t *toy) checkpoint(s *ckpt.Store) (ckpt.Manifest, ckpt.Hash, error) {
	w, err := s.Begin(ckpt.Manifest{Pipeline: "main", Step: t.version, Engine: "1", Lanes: 2})
	if err != nil {
		return ckpt.Manifest{}, ckpt.Hash{}, err
	}
	at := map[uint64]state.Loc{}
	var image []byte
	for _, p := range slices.Sorted(maps.Keys(t.pages)) {
		l := t.at[p]
		if t.changed[p] || l.None() || w.Sparse(l.Pack) {
			if l, err = w.Put(state.RecordPage, p, t.pages[p]); err != nil {
				return ckpt.Manifest{}, ckpt.Hash{}, err
			}
		} else {
			w.Keep(l)
		}
		at[p] = l
		image = appendLoc(binary.LittleEndian.AppendUint64(image, p), l)
	}
	l, err := w.Put(state.RecordImage, 0, image)
	if err != nil {
		return ckpt.Manifest{}, ckpt.Hash{}, err
	}
	m, h, err := w.Finish(map[string]ckpt.Object{"toy": {Kind: "view", Identity: "circuit", Image: l}, "catalog": {Kind: "engine"}})
	if err != nil {
		return m, h, err
	}
	t.at = at
	clear(t.changed)
	return m, h, nil
}

// load returns the state that an open manifest leads to.
func load(s *ckpt.Store, m ckpt.Manifest) (*toy, error) {
	image, err := s.Read(m.Objects["toy"].Image, 0, nil)
	if err != nil {
		return nil, err
	}
	t := newToy()
	t.version = m.Step
	for ; len(image) > 0; image = image[24:] {
		p, l := binary.LittleEndian.Uint64(image), parseLoc(image[8:])
		if t.pages[p], err = s.Read(l, p, nil); err != nil {
			return nil, err
		}
		t.at[p] = l
	}
	return t, nil
}

func appendLoc(b []byte, l state.Loc) []byte {
	b = binary.LittleEndian.AppendUint32(b, l.Pack)
	b = binary.LittleEndian.AppendUint32(b, l.Len)
	return binary.LittleEndian.AppendUint64(b, l.Off)
}

func parseLoc(b []byte) state.Loc {
	return state.Loc{Pack: binary.LittleEndian.Uint32(b), Len: binary.LittleEndian.Uint32(b[4:]), Off: binary.LittleEndian.Uint64(b[8:])}
}

func samePages(t testing.TB, got, want map[uint64][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d pages, want %d", len(got), len(want))
	}
	for p, b := range want {
		if !bytes.Equal(got[p], b) {
			t.Fatalf("page %d is not as it was", p)
		}
	}
}

// clone copies the pages.
func clone(pages map[uint64][]byte) map[uint64][]byte {
	c := make(map[uint64][]byte, len(pages))
	for p, b := range pages {
		c[p] = slices.Clone(b)
	}
	return c
}

func openDir(t testing.TB, dir string, opt ckpt.Options) *ckpt.Store {
	t.Helper()
	o, err := ckpt.NewOSFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ckpt.Open(o, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); o.Close() })
	return s
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestCheckpointsAreReadAfterReopening(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	op := newToy()
	opt := ckpt.Options{PackBytes: 40 << 10}
	s := openDir(t, dir, opt)
	var want []map[uint64][]byte
	var hashes []ckpt.Hash
	for range 12 {
		op.change(rng, 60, 100)
		m, h, err := op.checkpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		if len(hashes) > 0 && m.Previous != hashes[len(hashes)-1] {
			t.Fatalf("step %d: previous %s, want %s", m.Step, m.Previous, hashes[len(hashes)-1])
		}
		want, hashes = append(want, clone(op.pages)), append(hashes, h)
		got, err := load(s, m) // without opening: it is readable once finished
		if err != nil {
			t.Fatal(err)
		}
		samePages(t, got.pages, op.pages)
	}
	s.Close()

	s = openDir(t, dir, opt)
	entries := must[[]ckpt.Entry](t)(s.Manifests())
	if len(entries) != len(hashes) {
		t.Fatalf("%d manifests, want %d", len(entries), len(hashes))
	}
	for i, e := range entries {
		k := len(hashes) - 1 - i
		if e.Err != nil || e.Hash != hashes[k] || e.Manifest.Step != uint64(k+1) {
			t.Fatalf("manifest %d: %+v", i, e)
		}
		m := must[ckpt.Manifest](t)(s.OpenManifest(e.Hash))
		samePages(t, must[*toy](t)(load(s, m)).pages, want[k])
		if err := s.Verify(context.Background(), m, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPruneLeavesWhatIsKept(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(2, 1))
	op := newToy()
	s := openDir(t, dir, ckpt.Options{PackBytes: 20 << 10})
	var hashes []ckpt.Hash
	var want []map[uint64][]byte
	var most int
	for range 60 {
		op.change(rng, 20, 100)
		_, h, err := op.checkpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		hashes, want = append(hashes, h), append(want, clone(op.pages))
		if len(hashes) < 2 {
			continue
		}
		if _, err := s.Prune(hashes[len(hashes)-2:]...); err != nil {
			t.Fatal(err)
		}
		u := must[ckpt.Usage](t)(s.Usage())
		if u.Manifests != 2 {
			t.Fatalf("%d manifests are left", u.Manifests)
		}
		most = max(most, u.Packs)
	}
	u := must[ckpt.Usage](t)(s.Usage())
	// 100 pages of 1 KB on average; half of it may be garbage, and there are two.
	if most > 100 || u.PackBytes > 500<<10 {
		t.Errorf("up to %d packs, %d bytes at the end: garbage is not written anew", most, u.PackBytes)
	}
	for i := len(hashes) - 2; i < len(hashes); i++ {
		m := must[ckpt.Manifest](t)(s.OpenManifest(hashes[i]))
		samePages(t, must[*toy](t)(load(s, m)).pages, want[i])
	}
	if _, err := s.OpenManifest(hashes[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open a pruned manifest: %v", err)
	}
	if _, err := s.Prune(hashes[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("keep a manifest that is gone: %v", err)
	}
	if got := must[ckpt.Usage](t)(s.Usage()); got != u {
		t.Errorf("a refused prune removed something: %+v, was %+v", got, u)
	}
}

func TestLeftoversAreRemovedWhenOpened(t *testing.T) {
	dir := t.TempDir()
	op := newToy()
	op.set(1, []byte("one"))
	s := openDir(t, dir, ckpt.Options{})
	_, h, err := op.checkpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, name := range []string{"packs/9.tmp", "manifests/3-1.tmp", "scratch"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("left"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stray := "packs/" + strings.Repeat("ab", 32) + ".pack"
	if err := os.WriteFile(filepath.Join(dir, stray), []byte("no manifest names it"), 0o644); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, dir, ckpt.Options{})
	names := func() (names []string) {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				rel, _ := filepath.Rel(dir, path)
				names = append(names, filepath.ToSlash(rel))
			}
			return err
		})
		return names
	}
	if got := names(); len(got) != 3 || !slices.Contains(got, stray) {
		t.Fatalf("after opening: %v", got)
	}
	if p := must[ckpt.Pruned](t)(s.Prune(h)); p.Packs != 1 || p.Manifests != 0 {
		t.Fatalf("pruned %+v", p)
	}
	if got := names(); len(got) != 2 || slices.Contains(got, stray) {
		t.Fatalf("after pruning: %v", got)
	}
	m := must[ckpt.Manifest](t)(s.OpenManifest(h))
	samePages(t, must[*toy](t)(load(s, m)).pages, op.pages)
}

func TestOneCheckpointAtATime(t *testing.T) {
	s := openDir(t, t.TempDir(), ckpt.Options{})
	w := must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: 1}))
	if _, err := s.Begin(ckpt.Manifest{Step: 2}); !errors.Is(err, ckpt.ErrBusy) {
		t.Fatalf("second checkpoint: %v", err)
	}
	if _, err := w.Put(state.RecordPage, 1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if u := must[ckpt.Usage](t)(s.Usage()); u != (ckpt.Usage{}) {
		t.Fatalf("an abandoned checkpoint left %+v", u)
	}
	if _, err := w.Put(state.RecordPage, 1, nil); !errors.Is(err, ckpt.ErrAborted) {
		t.Fatalf("write after it: %v", err)
	}
	if _, _, err := w.Finish(nil); !errors.Is(err, ckpt.ErrAborted) {
		t.Fatalf("finish after it: %v", err)
	}
	w = must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: 2}))
	if _, _, err := w.Finish(nil); err != nil {
		t.Fatalf("an empty checkpoint: %v", err)
	}
	w.Abort() // nothing to do
	if got := must[[]ckpt.Entry](t)(s.Manifests()); len(got) != 1 || got[0].Step != 2 {
		t.Fatalf("%+v", got)
	}
}

func TestWhatIsKeptMustBeThere(t *testing.T) {
	s := openDir(t, t.TempDir(), ckpt.Options{})
	w := must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: 1}))
	w.Keep(state.Loc{Pack: 7, Off: 16, Len: 100})
	if _, _, err := w.Finish(nil); err == nil || !strings.Contains(err.Error(), "pack 7") {
		t.Fatalf("a record of no pack was kept: %v", err)
	}
	w = must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: 1}))
	w.Keep(must[state.Loc](t)(s.Spill(1, []byte("page"))))
	if _, _, err := w.Finish(nil); err == nil {
		t.Fatal("a spilled record was kept")
	}
	w = must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: 1}))
	l := must[state.Loc](t)(w.Put(state.RecordImage, 1, []byte("image")))
	l.Len += 1000
	if _, _, err := w.Finish(map[string]ckpt.Object{"v": {Image: l}}); err == nil || !strings.Contains(err.Error(), "image of v") {
		t.Fatalf("an image beyond its pack: %v", err)
	}
	if u := must[ckpt.Usage](t)(s.Usage()); u.Packs+u.Manifests != 0 || u.UnfinishedBytes != 0 {
		t.Fatalf("they left %+v", u)
	}
}

func TestReadChecksOwnerAndPlace(t *testing.T) {
	s := openDir(t, t.TempDir(), ckpt.Options{})
	w := must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: 1}))
	l := must[state.Loc](t)(w.Put(state.RecordPage, 5, []byte("five")))
	empty := must[state.Loc](t)(w.Put(state.RecordBlock, 6, nil))
	if _, err := s.Read(l, 5, nil); !errors.Is(err, ckpt.ErrDamaged) {
		t.Fatalf("read before it is finished: %v", err)
	}
	if _, _, err := w.Finish(nil); err != nil {
		t.Fatal(err)
	}
	got, err := s.Read(l, 5, []byte("before "))
	if err != nil || string(got) != "before five" {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := s.Read(empty, 6, nil); err != nil || len(got) != 0 {
		t.Fatalf("%q, %v", got, err)
	}
	for name, bad := range map[string]state.Loc{
		"another pack": {Pack: 9, Off: l.Off, Len: l.Len},
		"shorter":      {Pack: l.Pack, Off: l.Off, Len: l.Len - 1},
		"longer":       {Pack: l.Pack, Off: l.Off, Len: l.Len + 1},
		"beside":       {Pack: l.Pack, Off: l.Off + 1, Len: l.Len},
		"header":       {Pack: l.Pack, Off: 0, Len: l.Len},
		"beyond":       {Pack: l.Pack, Off: 1 << 60, Len: 1 << 31},
		"spilled":      {Pack: state.ScratchPack, Off: 0, Len: 64},
		"nowhere":      {},
	} {
		if dst, err := s.Read(bad, 5, []byte("before")); !errors.Is(err, ckpt.ErrDamaged) || string(dst) != "before" {
			t.Errorf("%s: %q, %v", name, dst, err)
		}
	}
	var d *ckpt.DamageError
	_, err = s.Read(l, 6, nil)
	if !errors.As(err, &d) || d.Offset != int64(l.Off) || d.Owner != 5 || d.Kind != state.RecordPage || !strings.HasPrefix(d.File, "packs/") {
		t.Errorf("of another owner: %v", err)
	}
}

func ExampleDamageError() {
	fmt.Println(&ckpt.DamageError{File: "packs/ab.pack", Offset: 16, Kind: state.RecordPage, Owner: 5, What: "checksum 1, should be 2"})
	// Output: damaged checkpoint: packs/ab.pack at offset 16 (page of 0x5): checksum 1, should be 2
}
