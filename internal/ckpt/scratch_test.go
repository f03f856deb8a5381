package ckpt_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/state"
)

type spilled struct {
	at      state.Loc
	owner   uint64
	content []byte
}

// TestScratchAgainstModel spills and gives back at random, and compares with memory.
func TestScratchAgainstModel(t *testing.T) {
	const most = 256 << 10
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		d := diskmodel.New(rng.IntN)
		s := must[*ckpt.Store](t)(ckpt.Open(d, ckpt.Options{MaxScratchBytes: most}))
		var there []spilled
		full := 0
		for i := range uint64(1500) {
			if len(there) > 0 && rng.IntN(100) < 48 {
				k := rng.IntN(len(there))
				s.Unspill(there[k].at)
				there[k] = there[len(there)-1]
				there = there[:len(there)-1]
				continue
			}
			p := spilled{owner: i, content: bytes.Repeat([]byte{byte(i)}, rng.IntN(9000))}
			var err error
			if p.at, err = s.Spill(p.owner, p.content); err == nil {
				there = append(there, p)
			} else if errors.Is(err, ckpt.ErrScratchFull) {
				full++
			} else {
				t.Fatal(err)
			}
			if u := must[ckpt.Usage](t)(s.Usage()); u.ScratchBytes > most || u.SpilledBytes > u.ScratchBytes {
				t.Fatalf("%+v", u)
			}
			if len(there) > 0 {
				p := there[rng.IntN(len(there))]
				if got, err := s.Read(p.at, p.owner, nil); err != nil || !bytes.Equal(got, p.content) {
					t.Fatalf("seed %d, spill %d: %v", seed, i, err)
				}
			}
		}
		for _, p := range there {
			if got, err := s.Read(p.at, p.owner, nil); err != nil || !bytes.Equal(got, p.content) {
				t.Fatalf("seed %d, at the end: %v", seed, err)
			}
			s.Unspill(p.at)
		}
		if u := must[ckpt.Usage](t)(s.Usage()); u.SpilledBytes != 0 {
			t.Fatalf("%d bytes are in use when nothing is", u.SpilledBytes)
		}
		if l, err := s.Spill(1, make([]byte, most*15/16)); err != nil {
			t.Fatalf("seed %d: all was given back, and no large record fits: %v", seed, err)
		} else {
			s.Unspill(l)
		}
	}
}

func TestScratchIsUsedAgain(t *testing.T) {
	s := openDir(t, t.TempDir(), ckpt.Options{})
	page := make([]byte, 8200)
	var at []state.Loc
	for range 100 {
		at = append(at, must[state.Loc](t)(s.Spill(1, page)))
	}
	before := must[ckpt.Usage](t)(s.Usage())
	for range 50 {
		for i := range at {
			s.Unspill(at[i])
			at[i] = must[state.Loc](t)(s.Spill(1, page))
		}
	}
	if after := must[ckpt.Usage](t)(s.Usage()); after != before {
		t.Fatalf("%+v, was %+v", after, before)
	}
	if before.ScratchBytes > 100*8704 {
		t.Errorf("%d bytes for 100 records of 8220", before.ScratchBytes)
	}
	// A mix of sizes that moves does not let the file grow without end either.
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		i := rng.IntN(len(at))
		s.Unspill(at[i])
		at[i] = must[state.Loc](t)(s.Spill(1, page[:100+rng.IntN(8000)]))
	}
	if after := must[ckpt.Usage](t)(s.Usage()); after.ScratchBytes > 3*before.ScratchBytes {
		t.Fatalf("%d bytes for at most %d", after.ScratchBytes, before.ScratchBytes)
	}
}

// TestScratchJoinsNeighbours needs room for large records where small ones were.
func TestScratchJoinsNeighbours(t *testing.T) {
	const most = 1 << 20
	s := openDir(t, t.TempDir(), ckpt.Options{MaxScratchBytes: most})
	var at []state.Loc
	for {
		l, err := s.Spill(1, make([]byte, 4000))
		if errors.Is(err, ckpt.ErrScratchFull) {
			break
		}
		at = append(at, must[state.Loc](t)(l, err))
	}
	if len(at) != most/4096 {
		t.Fatalf("%d records of 4096 bytes in %d", len(at), most)
	}
	for _, l := range at[:len(at)/2] {
		s.Unspill(l)
	}
	for range 3 {
		must[state.Loc](t)(s.Spill(2, make([]byte, 128<<10)))
	}
	for _, l := range at[len(at)/2:] {
		if _, err := s.Read(l, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLargeEmptyScratchIsRemoved(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, ckpt.Options{})
	var at []state.Loc
	for range 20 {
		at = append(at, must[state.Loc](t)(s.Spill(1, make([]byte, 1<<20))))
	}
	for _, l := range at {
		s.Unspill(l)
	}
	if _, err := os.Stat(filepath.Join(dir, "scratch")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v", err)
	}
	l := must[state.Loc](t)(s.Spill(1, []byte("again")))
	if got, err := s.Read(l, 1, nil); err != nil || string(got) != "again" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "scratch")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("after closing: %v", err)
	}
}

func TestEveryBitOfTheScratchIsGuarded(t *testing.T) {
	d := diskmodel.New(rand.New(rand.NewPCG(1, 1)).IntN)
	s := must[*ckpt.Store](t)(ckpt.Open(d, ckpt.Options{}))
	l := must[state.Loc](t)(s.Spill(5, []byte("a page")))
	for bit := range int64(l.Len) * 8 {
		if err := d.Flip("scratch", bit); err != nil {
			t.Fatal(err)
		}
		var damage *ckpt.DamageError
		if _, err := s.Read(l, 5, nil); !errors.As(err, &damage) || damage.File != "scratch" || damage.Offset != int64(l.Off) {
			t.Fatalf("bit %d: %v", bit, err)
		}
		if err := d.Flip("scratch", bit); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Read(l, 6, nil); !errors.Is(err, ckpt.ErrDamaged) {
		t.Fatalf("of another owner: %v", err)
	}
	if got, err := s.Read(l, 5, nil); err != nil || string(got) != "a page" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestUnspillOfNothingPanics(t *testing.T) {
	s := openDir(t, t.TempDir(), ckpt.Options{})
	for _, l := range []state.Loc{{}, {Pack: 1, Off: 512, Len: 100}, {Pack: state.ScratchPack, Off: 512, Len: 100}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("unspill %+v", l)
				}
			}()
			s.Unspill(l)
		}()
	}
}

// TestALargeScratchFileIsRemovedBeside leaves a large scratch file behind: the store opens
// and spills without it being gone, which it is when the job has run, or else after the
// next start. With little room on the disk it goes at once.
func TestALargeScratchFileIsRemovedBeside(t *testing.T) {
	dir := t.TempDir()
	leave := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "scratch"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, "scratch"), 17<<20); err != nil {
			t.Fatal(err)
		}
	}
	var jobs []func()
	opt := ckpt.Options{Beside: func(job func()) { jobs = append(jobs, job) }}
	large := func() (n int) {
		t.Helper()
		for _, e := range must[[]os.DirEntry](t)(os.ReadDir(dir)) {
			if info := must[os.FileInfo](t)(e.Info()); strings.HasPrefix(e.Name(), "scratch") && info.Size() > 1<<20 {
				n++
			}
		}
		return n
	}
	run := func() {
		for _, job := range jobs {
			job()
		}
		jobs = nil
	}

	leave()
	s := openDir(t, dir, opt)
	l := must[state.Loc](t)(s.Spill(1, []byte("new")))
	if len(jobs) != 1 || large() != 1 {
		t.Fatalf("%d jobs, %d large files", len(jobs), large())
	}
	run()
	if got, err := s.Read(l, 1, nil); err != nil || string(got) != "new" || large() != 0 {
		t.Fatalf("%q, %v; %d large files", got, err, large())
	}
	s.Unspill(l)
	s.Close()

	leave()
	openDir(t, dir, opt).Close()
	jobs = nil // the process died
	leave()
	s = openDir(t, dir, opt)
	if len(jobs) != 2 || large() != 2 {
		t.Fatalf("%d jobs, %d large files", len(jobs), large())
	}
	run()
	if large() != 0 {
		t.Fatalf("%d large files are left", large())
	}

	var at []state.Loc
	for range 20 { // one that empties while it is open
		at = append(at, must[state.Loc](t)(s.Spill(1, make([]byte, 1<<20))))
	}
	for _, l := range at {
		s.Unspill(l)
	}
	l = must[state.Loc](t)(s.Spill(1, []byte("again")))
	if len(jobs) != 1 || large() != 1 {
		t.Fatalf("%d jobs, %d large files", len(jobs), large())
	}
	run()
	if got, err := s.Read(l, 1, nil); err != nil || string(got) != "again" || large() != 0 {
		t.Fatalf("%q, %v; %d large files", got, err, large())
	}
	s.Close()

	leave()
	opt.ReserveBytes = 1 << 60
	openDir(t, dir, opt)
	if len(jobs) != 0 || large() != 0 {
		t.Fatalf("%d jobs, %d large files on a full disk", len(jobs), large())
	}
}
