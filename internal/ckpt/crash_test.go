package ckpt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
)

var crashOptions = ckpt.Options{PackBytes: 4 << 10}

// history is what a run of checkpoints has told its caller.
type history struct {
	states map[uint64]map[uint64][]byte // by step, what a checkpoint of it must lead to
	done   []ckpt.Hash                  // finished, in order
	pruned int                          // how many of done may be gone
}

// finished are those checkpoints that must be there.
func (h *history) finished() []ckpt.Hash { return h.done[h.pruned:] }

// play opens the store and makes checkpoints, of which it keeps two. It goes on after
// errors, as an engine does.
func play(d *diskmodel.Disk, seed uint64, checkpoints int) (*history, error) {
	h := &history{states: map[uint64]map[uint64][]byte{}}
	rng := rand.New(rand.NewPCG(seed, 7))
	op := newToy()
	s, err := ckpt.Open(d, crashOptions)
	if err != nil {
		return h, err
	}
	defer s.Close()
	var failed error
	for range checkpoints {
		op.change(rng, 12, 20)
		h.states[op.version] = clone(op.pages)
		_, hash, err := op.checkpoint(s)
		if err != nil {
			failed = err
			continue
		}
		h.done = append(h.done, hash)
		keep := h.done[max(0, len(h.done)-2):]
		h.pruned = len(h.done) - len(keep) // from now on, whatever comes of it
		if _, err := s.Prune(keep...); err != nil {
			failed = err
		}
	}
	return h, failed
}

// changes returns a hook that calls at when the n-th operation that changes something
// is about to be done.
func changes(n int, at func() error) func(diskmodel.Op) error {
	return func(op diskmodel.Op) error {
		if !op.Changes() {
			return nil
		}
		n--
		if n == 0 {
			return at()
		}
		return nil
	}
}

// countChanges returns how many operations a run has that change something.
func countChanges(t *testing.T, checkpoints int) int {
	d := diskmodel.New(rand.New(rand.NewPCG(0, 0)).IntN)
	n := 0
	d.SetHook(func(op diskmodel.Op) error {
		if op.Changes() {
			n++
		}
		return nil
	})
	if _, err := play(d, 1, checkpoints); err != nil {
		t.Fatal(err)
	}
	return n
}

// survives opens the store again and checks that each manifest there leads to the state of
// its step, whole, and that what was finished is there. It returns the newest ones.
// Where tolerant, manifests that nobody was told of may be damaged.
func survives(d *diskmodel.Disk, h *history, tolerant bool) (*ckpt.Store, []ckpt.Hash, error) {
	s, err := ckpt.Open(d, crashOptions)
	if err != nil {
		return nil, nil, err
	}
	entries, err := s.Manifests()
	if err != nil {
		return nil, nil, err
	}
	var there []ckpt.Hash
	for _, e := range entries {
		if err := complete(s, e, h); err == nil {
			there = append(there, e.Hash)
		} else if !tolerant || !errors.Is(err, ckpt.ErrDamaged) {
			return nil, nil, fmt.Errorf("manifest of step %d: %w", e.Step, err)
		}
	}
	for _, hash := range h.finished() {
		if !contains(there, hash) {
			return nil, nil, fmt.Errorf("checkpoint %s was finished and is lost; there are %v", hash, there)
		}
	}
	return s, there, nil
}

func contains(list []ckpt.Hash, h ckpt.Hash) bool {
	for _, x := range list {
		if x == h {
			return true
		}
	}
	return false
}

// complete checks one manifest and all it leads to.
func complete(s *ckpt.Store, e ckpt.Entry, h *history) error {
	if e.Err != nil {
		return e.Err
	}
	m, err := s.OpenManifest(e.Hash)
	if err != nil {
		return err
	}
	if err := s.Verify(context.Background(), m, nil); err != nil {
		return err
	}
	got, err := load(s, m)
	if err != nil {
		return err
	}
	want := h.states[m.Step]
	if len(got.pages) != len(want) {
		return fmt.Errorf("%d pages, want %d", len(got.pages), len(want))
	}
	for p, b := range want {
		if string(got.pages[p]) != string(b) {
			return fmt.Errorf("page %d is of another step", p)
		}
	}
	return nil
}

// TestCrashAtEveryOperation stops the machine before each operation of a run of
// checkpoints, lets the disk lose what it may, and opens the store again.
func TestCrashAtEveryOperation(t *testing.T) {
	const checkpoints, outcomes = 4, 6
	lost, last := 0, countChanges(t, checkpoints)
	for k := 1; k <= last+1; k++ {
		d := diskmodel.New(rand.New(rand.NewPCG(uint64(k), 1)).IntN)
		d.SetHook(changes(k, func() error { d.Stop(); return nil }))
		h, err := play(d, 1, checkpoints)
		if (err == nil) != (k > last) {
			t.Fatalf("crash at operation %d of %d: %v", k, last, err)
		}
		for range outcomes {
			after := d.Crash()
			s, there, err := survives(after, h, false)
			if err != nil {
				t.Fatalf("crash at operation %d: %v", k, err)
			}
			if len(there) < len(h.states) && len(there) < 2 {
				lost++
			}
			// The newest goes on; pruning, one more checkpoint and one more crash harm nothing.
			there = there[:min(2, len(there))]
			if _, err := s.Prune(there...); err != nil {
				t.Fatalf("crash at operation %d: %v", k, err)
			}
			h2 := &history{states: h.states, done: there}
			if _, _, err := survives(after.AfterCrash(), h2, false); err != nil {
				t.Fatalf("crash at operation %d, then after pruning: %v", k, err)
			}
			if err := goOn(s, there, h2); err != nil {
				t.Fatalf("crash at operation %d, go on: %v", k, err)
			}
			if _, _, err := survives(after.AfterCrash(), h2, false); err != nil {
				t.Fatalf("crash at operation %d, then after one more checkpoint: %v", k, err)
			}
		}
	}
	if lost == 0 {
		t.Error("no crash lost a checkpoint that was not finished: the disk is too kind")
	}
}

// goOn opens the newest of the checkpoints and makes one more.
func goOn(s *ckpt.Store, there []ckpt.Hash, h *history) error {
	op := newToy()
	if len(there) > 0 {
		m, err := s.OpenManifest(there[0])
		if err != nil {
			return err
		}
		if op, err = load(s, m); err != nil {
			return err
		}
	}
	op.version += 100 // steps of its own
	op.change(rand.New(rand.NewPCG(op.version, 1)), 5, 20)
	states := map[uint64]map[uint64][]byte{op.version: clone(op.pages)}
	for step, pages := range h.states {
		states[step] = pages
	}
	_, hash, err := op.checkpoint(s)
	if err != nil {
		return err
	}
	h.states, h.done = states, append([]ckpt.Hash{hash}, there...)
	_, err = s.Prune(h.done...)
	return err
}

// TestErrorAtEveryOperation has each operation of a run fail once, and some more after
// it: what finished stays, what failed leaves no trace, and the run goes on.
func TestErrorAtEveryOperation(t *testing.T) {
	const checkpoints = 4
	last := countChanges(t, checkpoints)
	for k := 1; k <= last; k++ {
		for _, length := range []int{1, 3} {
			d := diskmodel.New(rand.New(rand.NewPCG(uint64(k), 2)).IntN)
			n, cleaned := 0, true
			d.SetHook(func(op diskmodel.Op) error {
				if op.Changes() {
					n++
				}
				if n >= k && n < k+length && op.Changes() {
					cleaned = cleaned && op.Kind != diskmodel.OpRemove
					return syscall.EIO
				}
				return nil
			})
			h, err := play(d, 1, checkpoints)
			if err != nil && !errors.Is(err, syscall.EIO) {
				t.Fatalf("error at operation %d: %v", k, err)
			}
			if len(h.states) > 0 && len(h.done) < checkpoints-length {
				t.Fatalf("error at operation %d: %d checkpoints of %d finished: %v", k, len(h.done), checkpoints, err)
			}
			for _, f := range d.Files() {
				if cleaned && strings.HasSuffix(f.Name, ".tmp") {
					t.Fatalf("error at operation %d: %s is left", k, f.Name)
				}
			}
			d.SetHook(nil)
			s, there, err := survives(d, h, true)
			if err != nil {
				t.Fatalf("error at operation %d: %v", k, err)
			}
			if _, err := s.Prune(there...); err != nil {
				t.Fatalf("error at operation %d: %v", k, err)
			}
			if _, _, err := survives(d.AfterCrash(), h, true); err != nil {
				t.Fatalf("error at operation %d, then a crash: %v", k, err)
			}
		}
	}
}
