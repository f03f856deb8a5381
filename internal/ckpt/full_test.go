package ckpt_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/state"
)

// small writes n pages of the toy.
func (t *toy) small(rng *rand.Rand, n int) {
	t.version++
	for i := range n {
		b := make([]byte, 30+rng.IntN(60))
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		t.set(uint64(i+1), b)
	}
}

// TestFullDiskAtEveryByte lets the disk have room for one byte more each time, until a
// checkpoint has room.
func TestFullDiskAtEveryByte(t *testing.T) {
	finished := false
	for room := int64(0); !finished; room++ {
		d := diskmodel.New(rand.New(rand.NewPCG(uint64(room), 1)).IntN)
		rng := rand.New(rand.NewPCG(1, 1))
		s := must[*ckpt.Store](t)(ckpt.Open(d, ckpt.Options{PackBytes: 400}))
		op := newToy()
		op.small(rng, 12)
		_, first, err := op.checkpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		states := map[uint64]map[uint64][]byte{1: clone(op.pages)}
		used := d.Used()
		op.small(rng, 8)
		states[2] = clone(op.pages)
		d.SetCapacity(used + room)
		_, second, err := op.checkpoint(s)
		if err == nil {
			finished = true
			if want := d.Used() - used; want != room {
				t.Fatalf("%d bytes were enough, %d were used", room, want)
			}
		} else if !errors.Is(err, ckpt.ErrNoSpace) {
			t.Fatalf("room for %d bytes: %v", room, err)
		} else if got := d.Used(); got != used {
			t.Fatalf("room for %d bytes: a checkpoint that failed holds %d", room, got-used)
		}
		h := &history{states: states, done: []ckpt.Hash{first}}
		if _, _, err := survives(d.AfterCrash(), h, false); err != nil {
			t.Fatalf("room for %d bytes, then a crash: %v", room, err)
		}
		// When there is room, the same store goes on by itself.
		d.SetCapacity(0)
		if !finished {
			if _, second, err = op.checkpoint(s); err != nil {
				t.Fatalf("room for %d bytes, then more: %v", room, err)
			}
		}
		h.done = append(h.done, second)
		if _, err := s.Prune(second); err != nil {
			t.Fatal(err)
		}
		h.pruned = 1
		if _, _, err := survives(d.AfterCrash(), h, false); err != nil {
			t.Fatalf("room for %d bytes, then more: %v", room, err)
		}
	}
}

func TestReserveIsLeftAlone(t *testing.T) {
	d := diskmodel.New(rand.New(rand.NewPCG(1, 1)).IntN)
	s := must[*ckpt.Store](t)(ckpt.Open(d, ckpt.Options{ReserveBytes: 10 << 20, PackBytes: 8 << 20}))
	d.SetCapacity(50 << 20)
	page := make([]byte, 1<<20)
	fill := func() error {
		w, err := s.Begin(ckpt.Manifest{Step: 1})
		for i := uint64(0); err == nil && i < 100; i++ {
			_, err = w.Put(state.RecordPage, i, page)
			if free, _ := d.Free(); free < 10<<20 {
				t.Fatalf("%d bytes are left", free)
			}
		}
		return err
	}
	for range 2 {
		if err := fill(); !errors.Is(err, ckpt.ErrNoSpace) {
			t.Fatalf("%v", err)
		}
		if d.Used() != 0 {
			t.Fatalf("%d bytes are held by a checkpoint that failed", d.Used())
		}
	}
	var at []state.Loc
	for {
		l, err := s.Spill(1, page)
		if err != nil {
			if !errors.Is(err, ckpt.ErrNoSpace) {
				t.Fatalf("spill: %v", err)
			}
			break
		}
		at = append(at, l)
	}
	// The disk is asked once in so many bytes, so it may be a little late.
	if free, _ := d.Free(); free < 0 || len(at) < 20 {
		t.Fatalf("%d bytes are left after %d spills", free, len(at))
	}
	d.SetCapacity(d.Used() + 10<<20)
	if _, err := s.Begin(ckpt.Manifest{Step: 1}); !errors.Is(err, ckpt.ErrNoSpace) {
		t.Fatalf("begin: %v", err)
	}
	d.SetCapacity(50 << 20)
	for _, l := range at {
		s.Unspill(l)
	}
	if d.Used() != 0 {
		t.Fatalf("%d bytes are held by an empty scratch file", d.Used())
	}
	w := must[*ckpt.Writer](t)(s.Begin(ckpt.Manifest{Step: 1}))
	w.Abort()
}

func TestSpillOnFullDisk(t *testing.T) {
	d := diskmodel.New(rand.New(rand.NewPCG(1, 1)).IntN)
	s := must[*ckpt.Store](t)(ckpt.Open(d, ckpt.Options{}))
	d.SetCapacity(3000)
	var at []state.Loc
	for i := uint64(0); ; i++ {
		l, err := s.Spill(i, make([]byte, 900))
		if err != nil {
			if !errors.Is(err, ckpt.ErrNoSpace) {
				t.Fatalf("%v", err)
			}
			break
		}
		at = append(at, l)
	}
	if len(at) != 3 {
		t.Fatalf("%d records in 3000 bytes", len(at))
	}
	for i, l := range at {
		if _, err := s.Read(l, uint64(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	s.Unspill(at[0])
	if _, err := s.Spill(7, make([]byte, 900)); err != nil {
		t.Fatalf("a place that came back: %v", err)
	}
	d.SetCapacity(0)
	if _, err := s.Spill(8, make([]byte, 900)); err != nil {
		t.Fatalf("after there is room: %v", err)
	}
}
