package ckpt_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/state"
)

func TestManifestKeepsAllItIsGiven(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, ckpt.Options{})
	head := ckpt.Manifest{Pipeline: "main", Step: math.MaxUint64, Now: -5, LogSeq: 1 << 60, LogHash: ckpt.Hash{1, 2}, Epoch: 7, Engine: "v1.2", Lanes: 4}
	w := must[*ckpt.Writer](t)(s.Begin(head))
	l := must[state.Loc](t)(w.Put(state.RecordImage, 1, []byte("x")))
	objects := map[string]ckpt.Object{
		"catalog":        {Kind: "engine"},
		"view \"Ü\" <&>": {Kind: "view", Identity: "ab", Image: l},
	}
	m, h, err := w.Finish(objects)
	if err != nil {
		t.Fatal(err)
	}
	if got := must[ckpt.Manifest](t)(s.OpenManifest(h)); !reflect.DeepEqual(got, m) {
		t.Fatalf("read back:\n%+v\nwritten:\n%+v", got, m)
	}
	want := head
	want.Major, want.Minor, want.Packs, want.Objects = ckpt.FormatMajor, ckpt.FormatMinor, m.Packs, objects
	if !reflect.DeepEqual(m, want) {
		t.Fatalf("got:\n%+v\nwant:\n%+v", m, want)
	}
	p := m.Packs[0]
	if len(m.Packs) != 1 || p.Number != l.Pack || p.LiveBytes != int64(l.Len) || p.SizeBytes != int64(l.Off)+int64(l.Len) {
		t.Fatalf("%+v", m.Packs)
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(m.FileName(h))))
	if err != nil || ckpt.Hash(sha256.Sum256(data)) != h {
		t.Fatalf("the file has another hash: %v", err)
	}
	pack, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(p.FileName())))
	if err != nil || ckpt.Hash(sha256.Sum256(pack)) != p.Hash {
		t.Fatalf("the pack has another hash: %v", err)
	}
}

func TestSameContentSameManifest(t *testing.T) {
	hash := func() ckpt.Hash {
		s := openDir(t, t.TempDir(), ckpt.Options{})
		w := must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: 1}))
		objects := map[string]ckpt.Object{}
		for i := range 50 {
			l := must[state.Loc](t)(w.Put(state.RecordImage, uint64(i), []byte{byte(i)}))
			objects[fmt.Sprint(i)] = ckpt.Object{Image: l}
		}
		_, h, err := w.Finish(objects)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if a, b := hash(), hash(); a != b {
		t.Fatalf("%s and %s", a, b)
	}
}

func TestNamesMustBeText(t *testing.T) {
	s := openDir(t, t.TempDir(), ckpt.Options{})
	w := must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: 1}))
	if _, _, err := w.Finish(map[string]ckpt.Object{"a\xff": {}}); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Fatalf("%v", err)
	}
}

// TestOtherVersions rewrites a manifest as other versions of the program would have.
func TestOtherVersions(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, ckpt.Options{})
	op := newToy()
	op.set(1, []byte("one"))
	m, h, err := op.checkpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, m.FileName(h)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		old, new string
		want     error
	}{
		"newer minor version": {`"format_minor": 0,`, `"format_minor": 9, "colour": {"a": [1]},`, nil},
		"field of an object":  {`"kind": "view",`, `"kind": "view", "lanes": [1, 2],`, nil},
		"newer major version": {`"format": 1,`, `"format": 2,`, ckpt.ErrVersion},
		"no version":          {`"format": 1,`, ``, ckpt.ErrVersion},
		"not JSON":            {`{`, `[`, ckpt.ErrDamaged},
		"packs out of order":  {`"number": 1,`, `"number": 0,`, ckpt.ErrDamaged},
		"an image nowhere":    {`"pack": 1,`, `"pack": 2,`, ckpt.ErrDamaged},
		"more than a pack":    {`"live": `, `"live": 9`, ckpt.ErrDamaged},
		"another step":        {`"step": 0`, `"step": 1`, ckpt.ErrDamaged},
	} {
		changed := bytes.Replace(data, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(changed, data) {
			t.Fatalf("%s: %q is not in %s", name, c.old, data)
		}
		h := ckpt.Hash(sha256.Sum256(changed))
		if err := os.WriteFile(filepath.Join(dir, m.FileName(h)), changed, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := s.OpenManifest(h)
		if c.want == nil && err == nil {
			var read *toy
			read, err = load(s, got)
			samePages(t, read.pages, op.pages)
		}
		if !errors.Is(err, c.want) || (c.want != nil && !strings.Contains(err.Error(), h.String())) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStrayFilesAreNoManifests(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, ckpt.Options{})
	for _, name := range []string{"x", "1.json", "1-ab.json", "x-" + strings.Repeat("ab", 32) + ".json", "1-" + strings.Repeat("zz", 32) + ".json"} {
		if err := os.WriteFile(filepath.Join(dir, "manifests", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if entries := must[[]ckpt.Entry](t)(s.Manifests()); len(entries) != 0 {
		t.Fatalf("%+v", entries)
	}
	if p := must[ckpt.Pruned](t)(s.Prune()); p != (ckpt.Pruned{}) {
		t.Fatalf("%+v", p)
	}
}
