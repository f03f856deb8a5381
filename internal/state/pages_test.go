package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
)

// world is an array, an arena and an index beside a model of them.
type world struct {
	mem   *state.Memory
	rows  *state.Pages
	arena *state.Arena
	index *state.Index

	want  [][]uint64
	words map[uint64]string            // of the arena
	hash  map[uint32]uint64            // of numbers in the index
	byTag map[uint32]map[uint32]uint64 // tag -> number -> hash
}

func newWorld(back state.Backing, budget *state.Budget, stride int) *world {
	w := &world{mem: state.NewMemory(7, back, budget), words: map[uint64]string{}, hash: map[uint32]uint64{}, byTag: map[uint32]map[uint32]uint64{}}
	w.mem.Check = true
	w.rows, w.arena, w.index = state.NewPages(w.mem, stride), state.NewArena(w.mem), state.NewIndex(w.mem)
	return w
}

func (w *world) persist(p *state.Persist) {
	p.Pages(w.rows)
	w.arena.Persist(p)
	w.index.Persist(p)
}

func (w *world) clone() *world {
	c := &world{words: map[uint64]string{}, hash: map[uint32]uint64{}, byTag: map[uint32]map[uint32]uint64{}}
	for _, r := range w.want {
		c.want = append(c.want, append([]uint64(nil), r...))
	}
	for k, v := range w.words {
		c.words[k] = v
	}
	for n, h := range w.hash {
		c.enter(h, n)
	}
	return c
}

func (w *world) enter(h uint64, n uint32) {
	w.hash[n] = h
	if w.byTag[uint32(h)] == nil {
		w.byTag[uint32(h)] = map[uint32]uint64{}
	}
	w.byTag[uint32(h)][n] = h
}

// change makes n random changes.
func (w *world) change(r *rand.Rand, n int) {
	for range n {
		switch r.IntN(9) {
		case 0:
			w.rows.Grow(len(w.want) + r.IntN(300))
			for len(w.want) < w.rows.Cap() {
				w.want = append(w.want, make([]uint64, w.rows.Stride()))
			}
		case 1, 2, 3:
			if len(w.want) > 0 {
				i, k, v := r.IntN(len(w.want)), r.IntN(w.rows.Stride()), r.Uint64()
				w.rows.Edit(uint32(i))[k] = v
				w.want[i][k] = v
			}
		case 4, 5:
			s := make([]byte, r.IntN([]int{4, 60, 600, 60000}[r.IntN(4)]))
			for i := range s {
				s[i] = byte(r.Uint32())
			}
			if word := w.arena.Put(s); word != 0 {
				w.words[word] = string(s)
			}
		case 6:
			for word := range w.words {
				w.arena.Release(word)
				delete(w.words, word)
				break
			}
		case 7:
			for range r.IntN(400) {
				h := r.Uint64()
				if r.IntN(3) == 0 {
					h = uint64(r.IntN(8)) // many of one hash
				}
				n := 1 + r.Uint32()>>1
				if _, ok := w.hash[n]; !ok {
					w.index.Add(h, n)
					w.enter(h, n)
				}
			}
		case 8:
			k := r.IntN(500)
			for n, h := range w.hash {
				if k--; k < 0 {
					break
				}
				w.index.Remove(h, n)
				delete(w.hash, n)
				delete(w.byTag[uint32(h)], n)
			}
		}
	}
}

// compare holds what is there against the model.
func (w *world) compare(t *testing.T, real *world) {
	t.Helper()
	for i, row := range w.want {
		for k, v := range real.rows.At(uint32(i)) {
			if v != row[k] {
				t.Fatalf("row %d word %d: %x, want %x", i, k, v, row[k])
			}
		}
	}
	for word, s := range w.words {
		if got := real.arena.Get(word); !bytes.Equal(got, []byte(s)) {
			t.Fatalf("string %x: %d bytes, want %d", word, len(got), len(s))
		}
	}
	if real.index.Len() != len(w.hash) {
		t.Fatalf("index of %d, want %d", real.index.Len(), len(w.hash))
	}
	for tag, numbers := range w.byTag {
		found := 0
		p := real.index.Probe(uint64(tag))
		for n := p.Next(); n != 0; n = p.Next() {
			if _, ok := numbers[n]; !ok {
				t.Fatalf("tag %x: number %d, which is not there", tag, n)
			}
			found++
		}
		if found != len(numbers) {
			t.Fatalf("tag %x: %d numbers, want %d", tag, found, len(numbers))
		}
	}
}

// TestStateThroughCheckpoints changes state at random, with little memory, while
// checkpoints of it are written beside, some of which fail, and restores each.
func TestStateThroughCheckpoints(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			back := statetest.New()
			back.Empty = func(pack uint32) bool { return pack%3 == uint32(seed)%3 }
			var budget *state.Budget
			if seed%4 != 0 {
				budget = state.NewBudget(int64(1 + r.IntN(300_000)))
			}
			stride := 1 + r.IntN(40)
			w := newWorld(back, budget, stride)
			for range 8 {
				w.change(r, r.IntN(120))
				w.mem.Rest()
				then := w.clone()
				f := state.Freeze(w.mem, w.persist)
				images := make(chan []byte)
				go func() {
					image, err := f.Write(back)
					if err != nil {
						image = nil
					}
					images <- image
				}()
				w.change(r, r.IntN(60))
				w.mem.Rest()
				w.change(r, r.IntN(60))
				image := <-images
				if r.IntN(4) == 0 {
					f.Done(false)
				} else {
					f.Done(true)
					back.Complete()
					again := newWorld(back, nil, stride)
					if err := state.Restore(again.mem, image, again.persist); err != nil {
						t.Fatal(err)
					}
					then.compare(t, again)
					if r.IntN(2) == 0 {
						w = w.goBack(t, r, then, back, budget, image)
					}
				}
				w.mem.Rest()
				w.compare(t, w)
			}
			if budget != nil {
				held := budget.Used()
				w.mem.Rest()
				if held == w.mem.Held() && w.mem.Faults() == 0 {
					t.Log("memory was never short")
				}
			}
			w.mem.Close()
			if budget != nil && budget.Used() != 0 || back.Spilled() != 0 {
				t.Fatalf("%d bytes and %d scratch records are left", w.mem.Held(), back.Spilled())
			}
		})
	}
}

// goBack restarts from an image, of the time when the model was then's: nothing of it is
// read yet, or somebody reads beside where its pages are.
func (w *world) goBack(t *testing.T, r *rand.Rand, then *world, back state.Backing, budget *state.Budget, image []byte) *world {
	w.mem.Close()
	next := newWorld(back, budget, w.rows.Stride())
	if err := state.Restore(next.mem, image, next.persist); err != nil {
		t.Fatal(err)
	}
	next.want, next.words, next.hash, next.byTag = then.want, then.words, then.hash, then.byTag
	unread := next.mem.Unread()
	if len(unread) != 3 {
		t.Fatalf("%d page tables are left to be read, want those of 3 arrays", len(unread))
	}
	if r.IntN(2) == 0 {
		var wg sync.WaitGroup
		for _, read := range unread {
			wg.Go(func() {
				if err := read(); err != nil {
					t.Error(err)
				}
			})
		}
		t.Cleanup(wg.Wait)
	}
	return next
}

// TestUnsaidWrites checks that tests find a write that no Edit announced.
func TestUnsaidWrites(t *testing.T) {
	w := newWorld(statetest.New(), nil, 3)
	w.rows.Grow(10)
	w.rows.Edit(4)[1] = 5
	state.Freeze(w.mem, w.persist).Done(false)
	w.rows.At(4)[1] = 6
	state.Freeze(w.mem, w.persist).Done(false)
	w.rows.At(900 % uint32(w.rows.Cap()))[1] = 6
	defer func() {
		if recover() == nil {
			t.Fatal("a write without Edit went unseen")
		}
	}()
	state.Freeze(w.mem, w.persist)
}

// TestDamagedPage checks that a page whose record is wrong panics as a FaultError.
func TestDamagedPage(t *testing.T) {
	back := statetest.New()
	w := newWorld(back, nil, 3)
	w.rows.Grow(10)
	w.rows.Edit(4)[1] = 5
	f := state.Freeze(w.mem, w.persist)
	image, err := f.Write(back)
	if err != nil {
		t.Fatal(err)
	}
	f.Done(true)
	again := newWorld(back, nil, 3)
	if err := state.Restore(again.mem, image, again.persist); err != nil {
		t.Fatal(err)
	}
	back.Complete()
	back.Complete() // nothing is kept
	defer func() {
		var fault *state.FaultError
		if err, ok := recover().(error); !ok || !errors.As(err, &fault) || !errors.Is(err, state.ErrDamaged) {
			t.Fatalf("%v", err)
		}
	}()
	again.rows.At(4)
}

// TestNoRoomToSpill has the disk full while memory is short: nothing is lost, and memory
// shrinks when there is room again; but twice the budget is an error.
func TestNoRoomToSpill(t *testing.T) {
	back, budget := statetest.New(), state.NewBudget(100_000)
	w := newWorld(back, budget, 8)
	full := true
	back.Fail = func() error {
		if full {
			return errors.New("no space left on device")
		}
		return nil
	}
	fill := func(rows int) {
		from := w.rows.Cap()
		w.rows.Grow(from + rows)
		for i := from; i < w.rows.Cap(); i++ {
			w.rows.Edit(uint32(i))[0] = uint64(i + 1)
		}
		w.mem.Rest()
	}
	fill(2500) // 160,000 bytes
	if budget.Over() == 0 || back.Spilled() > 0 {
		t.Fatalf("%d bytes in memory, %d records spilled", budget.Used(), back.Spilled())
	}
	full = false
	w.mem.Rest()
	if budget.Over() > 0 || back.Spilled() == 0 {
		t.Fatalf("%d bytes in memory, %d records spilled when there was room", budget.Used(), back.Spilled())
	}
	for i := range w.rows.Cap() {
		if got := w.rows.At(uint32(i))[0]; got != uint64(i+1) {
			t.Fatalf("row %d is %d", i, got)
		}
	}
	full = true
	defer func() {
		var fault *state.FaultError
		if err, ok := recover().(error); !ok || !errors.As(err, &fault) {
			t.Fatalf("twice the budget without room on the disk: %v", err)
		}
	}()
	fill(4000)
}

// TestFreeRunsAreRestored checks that what an arena has free is used after a restart too.
func TestFreeRunsAreRestored(t *testing.T) {
	back := statetest.New()
	w := newWorld(back, nil, 1)
	w.mem.Check = false
	large := make([]byte, 5000) // a page of its own
	var words []uint64
	for range 6000 {
		words = append(words, w.arena.Put(large))
	}
	for i := 0; i < len(words); i += 2 {
		w.arena.Release(words[i])
	}
	f := state.Freeze(w.mem, w.persist)
	image, err := f.Write(back)
	if err != nil {
		t.Fatal(err)
	}
	f.Done(true)
	again := newWorld(back, nil, 1)
	if err := state.Restore(again.mem, image, again.persist); err != nil {
		t.Fatal(err)
	}
	size := again.arena.Bytes()
	for range 3000 {
		again.arena.Put(large)
	}
	if again.arena.Bytes() != size {
		t.Errorf("free runs were lost: %d bytes became %d", size, again.arena.Bytes())
	}
}
