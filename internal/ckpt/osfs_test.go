package ckpt_test

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
)

func TestOSFSStaysBelowItsDirectory(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "a", "b")
	o, err := ckpt.NewOSFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := os.WriteFile(filepath.Join(base, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../../secret", "/etc/passwd", "d/../../../secret", "", "d//x", "./x"} {
		if f, err := o.Open(name); err == nil {
			f.Close()
			t.Errorf("open %q", name)
		}
		if f, err := o.Create(name); err == nil {
			f.Close()
			t.Errorf("create %q", name)
		}
		if err := o.Rename("d", name); err == nil {
			t.Errorf("rename to %q", name)
		}
		if err := o.Remove(name); err == nil {
			t.Errorf("remove %q", name)
		}
		if _, err := o.List(name); err == nil {
			t.Errorf("list %q", name)
		}
	}
	if runtime.GOOS != "windows" {
		if err := os.Symlink(filepath.Join(base, "secret"), filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if f, err := o.Open("link"); err == nil {
			f.Close()
			t.Error("opened a link that leads out")
		}
	}
}

func TestOSFSKeepsTheContract(t *testing.T) {
	o, err := ckpt.NewOSFS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(o.MkdirAll("d"))
	check(o.MkdirAll("d/sub"))
	check(o.SyncDir("."))
	f, err := o.Create("d/b")
	check(err)
	_, err = f.Write([]byte("hello"))
	check(err)
	_, err = f.WriteAt([]byte("J"), 0)
	check(err)
	_, err = f.Write([]byte("!"))
	check(err)
	check(f.Sync())
	if n, err := f.Size(); n != 6 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	check(f.Close())
	if _, err := o.Create("d/b"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("create again: %v", err)
	}
	if _, err := o.Open("d/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open nothing: %v", err)
	}
	check(o.Remove("d/none"))
	f, err = o.Create("d/a")
	check(err)
	check(f.Close())
	check(o.Rename("d/b", "d/a"))
	check(o.SyncDir("d"))
	files, err := o.List("d")
	if err != nil || len(files) != 1 || files[0] != (ckpt.Info{Name: "a", SizeBytes: 6}) {
		t.Fatalf("%+v, %v", files, err)
	}
	if files, err := o.List("none"); len(files) != 0 || err != nil {
		t.Fatalf("%+v, %v", files, err)
	}
	f, err = o.Open("d/a")
	check(err)
	buf := make([]byte, 6)
	_, err = f.ReadAt(buf, 0)
	check(err)
	if string(buf) != "Jello!" {
		t.Fatalf("%q", buf)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Fatal("wrote to a file open for reading")
	}
	check(f.Close())
	if free, err := o.Free(); err != nil || free <= 0 || (runtime.GOOS == "linux" && free == math.MaxInt64) {
		t.Fatalf("%d bytes free, %v", free, err)
	}
}
