package ckpt_test

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/state"
)

// TestManyAtOnce reads, spills, prunes and writes a checkpoint at the same time, with
// more packs than may be open.
func TestManyAtOnce(t *testing.T) {
	d := diskmodel.New(rand.New(rand.NewPCG(1, 1)).IntN)
	s := must[*ckpt.Store](t)(ckpt.Open(d, ckpt.Options{PackBytes: 256}))
	op := newToy()
	for p := range uint64(300) {
		op.set(p+1, bytes.Repeat([]byte{byte(p)}, 300))
	}
	_, first, err := op.checkpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	at, pages := op.at, clone(op.pages)

	var readers, writer sync.WaitGroup
	stop := make(chan struct{})
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	for g := range 4 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			var buf []byte
			for range 3000 {
				p := uint64(1 + rng.IntN(len(pages)))
				got, err := s.Read(at[p], p, buf[:0])
				fail(err)
				if buf = got; !bytes.Equal(got, pages[p]) {
					t.Errorf("page %d is not as it was", p)
				}
			}
		})
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 2))
			for range 300 {
				var locs []state.Loc
				for range rng.IntN(5) {
					l, err := s.Spill(uint64(g), bytes.Repeat([]byte{byte(g)}, rng.IntN(3000)))
					fail(err)
					locs = append(locs, l)
				}
				for _, l := range locs {
					got, err := s.Read(l, uint64(g), nil)
					fail(err)
					if len(bytes.Trim(got, string([]byte{byte(g)}))) != 0 {
						t.Error("a spilled record is another's")
					}
					s.Unspill(l)
				}
			}
		})
	}
	writer.Go(func() {
		rng := rand.New(rand.NewPCG(9, 1))
		for {
			select {
			case <-stop:
				return
			default:
			}
			op.change(rng, 5, 300)
			_, _, err := op.checkpoint(s)
			fail(err)
		}
	})
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, err := s.Prune(first)
				fail(err)
				_, err = s.Manifests()
				fail(err)
			}
		}
	})
	readers.Wait()
	close(stop)
	writer.Wait()
	entries := must[[]ckpt.Entry](t)(s.Manifests())
	m := must[ckpt.Manifest](t)(s.OpenManifest(entries[0].Hash))
	samePages(t, must[*toy](t)(load(s, m)).pages, op.pages)
}
