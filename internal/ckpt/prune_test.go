package ckpt_test

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/state"
)

// put writes n records of size bytes as a checkpoint on top of keep.
func put(t *testing.T, s *ckpt.Store, step uint64, keep []state.Loc, n, size int) (ckpt.Hash, []state.Loc) {
	t.Helper()
	w := must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: step}))
	for _, l := range keep {
		w.Keep(l)
	}
	var at []state.Loc
	for i := range n {
		at = append(at, must[state.Loc](t)(w.Put(state.RecordPage, uint64(i), make([]byte, size))))
	}
	_, h, err := w.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	return h, at
}

// sparse says what the next checkpoint is told of a pack.
func sparse(t *testing.T, s *ckpt.Store, pack uint32) bool {
	t.Helper()
	w := must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{}))
	defer w.Abort()
	return w.Sparse(pack)
}

func TestSparseIsBelowHalf(t *testing.T) {
	s := openDir(t, t.TempDir(), ckpt.Options{PackBytes: 10000})
	_, at := put(t, s, 1, nil, 10, 1000)
	if sparse(t, s, at[0].Pack) {
		t.Error("a full pack is sparse")
	}
	h, _ := put(t, s, 2, at[:6], 0, 0)
	if sparse(t, s, at[0].Pack) {
		t.Error("a pack with 6 of 10 records is sparse")
	}
	// What the manifest says holds for a process that comes later, too.
	again := must[ckpt.Manifest](t)(s.OpenManifest(h))
	if live := again.Packs[0].LiveBytes; live != 6*int64(at[0].Len) {
		t.Errorf("%d bytes are in use", live)
	}
	put(t, s, 3, at[1:5], 0, 0)
	if !sparse(t, s, at[0].Pack) {
		t.Error("a pack with 4 of 10 records is not sparse")
	}
	h, _ = put(t, s, 4, nil, 1, 1)
	if m := must[ckpt.Manifest](t)(s.OpenManifest(h)); len(m.Packs) != 1 || m.Packs[0].Number == at[0].Pack {
		t.Errorf("a pack of which nothing is kept is in the manifest: %+v", m.Packs)
	}
}

func TestManySmallPacksAreWrittenAsOne(t *testing.T) {
	s := openDir(t, t.TempDir(), ckpt.Options{PackBytes: 10000})
	_, large := put(t, s, 1, nil, 5, 1000)
	keep := large
	var small []state.Loc
	for step := uint64(2); !sparse(t, s, 2); step++ {
		_, at := put(t, s, step, keep, 1, 10)
		keep, small = append(keep, at...), append(small, at...)
		if len(small) > 100 {
			t.Fatal("100 packs of one record are left as they are")
		}
	}
	if len(small) < 10 {
		t.Errorf("only %d packs of one record are too many", len(small))
	}
	for _, l := range small {
		if !sparse(t, s, l.Pack) {
			t.Errorf("pack %d is small and is left", l.Pack)
		}
	}
	if sparse(t, s, large[0].Pack) {
		t.Error("a pack that is not small is written again")
	}
}

// TestPruneAfterFailedPrune lets the sync between the manifests and their packs fail: no
// manifest may come back without its packs.
func TestPruneAfterFailedPrune(t *testing.T) {
	d := diskmodel.New(rand.New(rand.NewPCG(1, 1)).IntN)
	rng := rand.New(rand.NewPCG(1, 2))
	s := must[*ckpt.Store](t)(ckpt.Open(d, crashOptions))
	op := newToy()
	h := &history{states: map[uint64]map[uint64][]byte{}}
	for range 3 {
		op.change(rng, 20, 20)
		h.states[op.version] = clone(op.pages)
		_, hash, err := op.checkpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		h.done = []ckpt.Hash{hash}
	}
	d.SetHook(func(op diskmodel.Op) error {
		if op.Kind == diskmodel.OpSyncDir {
			return syscall.EIO
		}
		return nil
	})
	if p, err := s.Prune(h.done...); !errors.Is(err, syscall.EIO) || p.Packs != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	d.SetHook(nil)
	if p := must[ckpt.Pruned](t)(s.Prune(h.done...)); p.Packs == 0 {
		t.Fatal("no pack was removed")
	}
	for range 20 {
		if _, _, err := survives(d.AfterCrash(), h, false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPruneWhileReading removes a pack while one of its records is read: the read is
// right, and the file is closed after it.
func TestPruneWhileReading(t *testing.T) {
	d := diskmodel.New(rand.New(rand.NewPCG(1, 1)).IntN)
	s := must[*ckpt.Store](t)(ckpt.Open(d, ckpt.Options{}))
	_, at := put(t, s, 1, nil, 1, 100)
	h, _ := put(t, s, 2, nil, 1, 10)
	reads := 0
	d.SetHook(func(op diskmodel.Op) error {
		if op.Kind != diskmodel.OpRead || op.Off != int64(at[0].Off) {
			return nil
		}
		reads++
		_, err := s.Prune(h)
		return err
	})
	if got, err := s.Read(at[0], 0, nil); err != nil || len(got) != 100 || reads != 1 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	var sum int64
	for _, f := range d.Files() {
		sum += f.SizeBytes
	}
	if d.Used() != sum {
		t.Errorf("%d bytes are used, files have %d: a file that was removed is open", d.Used(), sum)
	}
	if _, err := s.Read(at[0], 0, nil); !errors.Is(err, ckpt.ErrDamaged) {
		t.Errorf("read after it is gone: %v", err)
	}
}

// TestLeftoverOfTheSameContent makes a checkpoint whose packs are there already, from a
// process that stopped before it wrote the manifest, while what nobody needs is pruned.
func TestLeftoverOfTheSameContent(t *testing.T) {
	fill := func() *toy {
		op := newToy()
		op.change(rand.New(rand.NewPCG(3, 3)), 40, 40)
		return op
	}
	d := diskmodel.New(rand.New(rand.NewPCG(1, 1)).IntN)
	d.SetHook(func(op diskmodel.Op) error {
		if op.Kind == diskmodel.OpCreate && strings.HasPrefix(op.Name, "manifests/") {
			d.Stop()
		}
		return nil
	})
	s := must[*ckpt.Store](t)(ckpt.Open(d, crashOptions))
	if _, _, err := fill().checkpoint(s); err == nil {
		t.Fatal("the machine did not stop")
	}
	for seed := range uint64(100) {
		left := d.Crash()
		leftPacks := len(left.Files())
		s := must[*ckpt.Store](t)(ckpt.Open(left, crashOptions))
		start := make(chan struct{})
		pruned := make(chan error)
		rng := rand.New(rand.NewPCG(seed, 1))
		begin := sync.OnceFunc(func() { close(start) })
		var ops atomic.Int64
		at := 1 + rng.Int64N(60)
		left.SetHook(func(op diskmodel.Op) error {
			if ops.Add(1) == at {
				begin()
			}
			runtime.Gosched()
			return nil
		})
		go func() {
			<-start
			_, err := s.Prune()
			pruned <- err
		}()
		op := fill()
		m, _, err := op.checkpoint(s)
		begin()
		if err := errors.Join(err, <-pruned); err != nil {
			t.Fatal(err)
		}
		if leftPacks != len(m.Packs) {
			t.Fatalf("%d packs were left, %d are written", leftPacks, len(m.Packs))
		}
		samePages(t, must[*toy](t)(load(s, m)).pages, op.pages)
	}
}
