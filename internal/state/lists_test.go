package state_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
)

func TestListsAgainstSlices(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			back := statetest.New()
			open := func() (*state.Memory, *state.Lists) {
				m := state.NewMemory(3, back, state.NewBudget(20_000))
				m.Check = true
				return m, state.NewLists(m)
			}
			mem, l := open()
			lists, want := make([]state.List, 20), make([][]uint64, 20)
			for round := range 60 {
				for range 100 {
					k := r.IntN(len(lists))
					changeList(r, l, &lists[k], &want[k], []int{3, 40, 3000}[r.IntN(3)])
				}
				mem.Rest()
				for k, v := range lists {
					if got := l.Read(nil, v, 0, v.Len()); !slices.Equal(got, want[k]) {
						t.Fatalf("round %d, list %d: %d words, want %d", round, k, len(got), len(want[k]))
					}
					if v != state.UnpackList(v.Pack()) {
						t.Fatalf("list %+v comes back as another", v)
					}
				}
				if r.IntN(5) > 0 {
					continue
				}
				f := state.Freeze(mem, l.Persist)
				image, err := f.Write(back)
				if err != nil {
					t.Fatal(err)
				}
				f.Done(true)
				back.Complete()
				if r.IntN(2) == 0 {
					mem.Close()
					mem, l = open()
					if err := state.Restore(mem, image, l.Persist); err != nil {
						t.Fatal(err)
					}
				}
			}
			for k := range lists {
				l.Free(lists[k])
			}
			if l.Bytes() > 8<<10 {
				t.Errorf("%d bytes are left of no lists", l.Bytes())
			}
		})
	}
}

func changeList(r *rand.Rand, l *state.Lists, v *state.List, want *[]uint64, size int) {
	xs := make([]uint64, r.IntN(size))
	for i := range xs {
		xs[i] = r.Uint64()
	}
	n := len(*want)
	switch r.IntN(7) {
	case 0, 1:
		*v, *want = l.Append(*v, xs), append(*want, xs...)
	case 2:
		for _, x := range xs {
			*v = l.Push(*v, x)
		}
		*want = append(*want, xs...)
	case 3:
		k := n - min(n, r.IntN(size))
		*v, *want = l.Truncate(*v, k), (*want)[:k]
	case 4:
		k := min(n, r.IntN(size))
		*v, *want = l.Drop(*v, k), slices.Clone((*want)[k:])
	case 5:
		for range min(n, 20) {
			i := r.IntN(n)
			x := r.Uint64()
			l.Set(*v, i, x)
			(*want)[i] = x
			if got := l.At(*v, i); got != x {
				panic("a word that was set is another")
			}
		}
	case 6:
		if r.IntN(5) == 0 {
			*v, *want = l.Free(*v), nil
		}
	}
}
