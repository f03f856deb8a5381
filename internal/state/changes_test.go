package state_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
)

// stepRows are n rows that name their step.
func stepRows(step uint64, from, n int) *batch.Batch {
	bu := batch.NewBuilder(spineTypes)
	for i := range n {
		w := int64(1)
		if i%5 == 4 {
			w = -1
		}
		bu.AppendRow(spineRow(int64(step), int64(from+i)), w)
	}
	return bu.Seal()
}

// changesModel lists what each step changed.
type changesModel struct {
	steps []uint64
	rows  map[uint64]int
	lost  uint64
}

func (m *changesModel) clone() *changesModel {
	out := &changesModel{slices.Clone(m.steps), map[uint64]int{}, m.lost}
	for k, v := range m.rows {
		out.rows[k] = v
	}
	return out
}

func (m *changesModel) add(step uint64, n int) {
	if n == 0 {
		return
	}
	if len(m.steps) == 0 || m.steps[len(m.steps)-1] != step {
		m.steps = append(m.steps, step)
	}
	m.rows[step] += n
}

func (m *changesModel) forget(step uint64) {
	for len(m.steps) > 0 && m.steps[0] <= step {
		delete(m.rows, m.steps[0])
		m.steps = m.steps[1:]
	}
	m.lost = max(m.lost, step)
}

// check compares all that can be read.
func (m *changesModel) check(h *state.Changes, until uint64) error {
	if h.Lost() != m.lost {
		return fmt.Errorf("lost %d, want %d", h.Lost(), m.lost)
	}
	if m.lost > 0 {
		if _, _, err := h.Step(m.lost-1, until); !errors.Is(err, state.ErrForgotten) {
			return fmt.Errorf("after %d: %v", m.lost-1, err)
		}
	}
	first, last := h.Span()
	if len(m.steps) == 0 && (first != 0 || last != 0) || len(m.steps) > 0 && (first != m.steps[0] || last != m.steps[len(m.steps)-1]) {
		return fmt.Errorf("span %d to %d, want %v", first, last, m.steps)
	}
	after := m.lost
	for _, step := range m.steps {
		if step > until {
			break
		}
		if err := checkStep(h, after, until, step, m.rows[step]); err != nil {
			return err
		}
		after = step
	}
	if got, step, err := h.Step(after, until); err != nil || len(got) != 0 {
		return fmt.Errorf("after the last step %d: step %d, %v", after, step, err)
	}
	return nil
}

func checkStep(h *state.Changes, after, until, step uint64, rows int) error {
	got, at, err := h.Step(after, until)
	if err != nil || at != step {
		return fmt.Errorf("after %d: step %d, %v; want %d", after, at, err, step)
	}
	all := batch.NewBuilder(spineTypes)
	for _, b := range got {
		if b.Sel != nil {
			return fmt.Errorf("step %d: not dense", step)
		}
		all.AppendBatch(b)
	}
	want := stepRows(step, 0, rows)
	have := all.View()
	if have.N != want.N {
		return fmt.Errorf("step %d: %d rows, want %d", step, have.N, want.N)
	}
	for i := range want.N {
		if batch.CompareWhole(have, i, want, i) != 0 || have.Weight(i) != want.Weight(i) {
			return fmt.Errorf("step %d, row %d: %v, want %v", step, i, have.RowValues(i), want.RowValues(i))
		}
	}
	return nil
}

// TestChangesEqualModel adds, trims, forgets, freezes and restores at random with
// memory for hardly anything.
func TestChangesEqualModel(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		back := statetest.New()
		budget := state.NewBudget(rapid.SampledFrom([]int64{0, 5000, 1 << 40}).Draw(t, "budget"))
		cache := state.NewCache(back, wireCodec{}, budget)
		cache.Collect = runtime.GC
		h := cache.NewChanges(9, 3)
		h.Small(64, 3)
		m := &changesModel{rows: map[uint64]int{}, lost: 3}
		var frozen *state.FrozenChanges
		var frozenModel, saved *changesModel
		var image, written []byte
		step := uint64(3)
		sparse := 0
		asked := 0
		back.Empty = func(uint32) bool { asked++; return sparse > 0 && asked%sparse == 0 }
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 13).Draw(t, "what") {
			default:
				step += rapid.Uint64Range(0, 2).Draw(t, "next")
				if step == 3 || step <= m.lost {
					step = m.lost + 1
				}
				n, from := rapid.SampledFrom([]int{0, 1, 2, 5, 20, 200}).Draw(t, "rows"), m.rows[step]
				from -= from % 5 // whole fives, so that weights repeat
				if m.rows[step]%5 != 0 {
					continue
				}
				h.Add(step, stepRows(step, from, n))
				m.add(step, n)
			case 0:
				f := m.lost + rapid.Uint64Range(0, 5).Draw(t, "forget")
				h.Forget(f)
				m.forget(f)
			case 1:
				most := rapid.IntRange(1, 30).Draw(t, "most")
				h.Trim(1<<40, most)
				for len(m.steps) > most {
					m.forget(m.steps[0])
				}
			case 2, 3:
				if frozen == nil {
					frozen, frozenModel, written = h.Freeze(), m.clone(), nil
				}
			case 4, 5, 6:
				if frozen == nil || written != nil {
					break
				}
				sparse = rapid.IntRange(0, 3).Draw(t, "sparse")
				for _, l := range cache.Dropped() {
					back.Keep(l)
				}
				var err error
				if written, err = frozen.Write(back); err != nil {
					t.Fatal(err)
				}
				sparse = 0
			case 7, 8, 9:
				if written == nil {
					break
				}
				complete := rapid.IntRange(0, 4).Draw(t, "complete") > 0
				frozen.Done(complete)
				if complete {
					back.Complete()
					image, saved = written, frozenModel
				} else {
					back.Abort()
				}
				frozen, written = nil, nil
			case 10:
				if image == nil {
					break
				}
				seen["restarted"]++
				cache.Close()
				back.Restart()
				cache = state.NewCache(back, wireCodec{}, budget)
				cache.Collect = runtime.GC
				var err error
				if h, err = cache.RestoreChanges(9, image); err != nil {
					t.Fatal(err)
				}
				h.Small(64, 3)
				m, frozen, written = saved.clone(), nil, nil
				step = m.lost
				if len(m.steps) > 0 {
					step = m.steps[len(m.steps)-1] + 1
				}
			}
			if err := m.check(h, step); err != nil {
				t.Fatal(err)
			}
			if s := cache.Stats(); s.HeldBytes != h.HeldBytes() || s.HeldBytes != budget.Used() {
				t.Fatalf("%d bytes held by the cache, %d by the changes, %d used", s.HeldBytes, h.HeldBytes(), budget.Used())
			}
		}
		seen["spilled"] += int(cache.Stats().Spilled)
		if h.Close(); h.Bytes() != 0 || budget.Used() != 0 {
			t.Fatalf("%d bytes are left of closed changes, %d in memory", h.Bytes(), budget.Used())
		}
	})
	for _, what := range []string{"restarted", "spilled"} {
		if seen[what] == 0 {
			t.Errorf("nothing was ever %s", what)
		}
	}
}

// TestSmallStepsShareRecords: a checkpoint of thousands of steps has a few records,
// and one after it only what is new.
func TestSmallStepsShareRecords(t *testing.T) {
	back := statetest.New()
	cache := state.NewCache(back, wireCodec{}, state.NewBudget(1<<40))
	h := cache.NewChanges(9, 0)
	checkpoint := func() (image []byte, records int) {
		f := h.Freeze()
		image, err := f.Write(back)
		if err != nil {
			t.Fatal(err)
		}
		records = back.Puts()
		f.Done(true)
		back.Complete()
		return image, records
	}
	step := uint64(0)
	for range 30000 {
		step++
		h.Add(step, stepRows(step, 0, 1))
	}
	image, n := checkpoint()
	if n > 40 {
		t.Errorf("%d records of 30,000 steps", n)
	}
	if len(image) > 100_000 {
		t.Errorf("an image of %d bytes", len(image))
	}
	if _, n = checkpoint(); n != 0 {
		t.Errorf("%d records of changes that stayed as they were", n)
	}
	step++
	h.Add(step, stepRows(step, 0, 3))
	if image, n = checkpoint(); n > 1 {
		t.Errorf("%d records of a step", n)
	}
	h, err := cache.RestoreChanges(9, image)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []uint64{1, 2, 1024, 1025, 29999, 30000} {
		if err := checkStep(h, s-1, step, s, 1); err != nil {
			t.Error(err)
		}
	}
	if err := checkStep(h, 30000, step, 30001, 3); err != nil {
		t.Error(err)
	}
	for n := 0; n < len(image); n += 1 + len(image)/100 {
		if _, err := cache.RestoreChanges(9, image[:n]); !errors.Is(err, state.ErrDamaged) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(image), err)
		}
	}
}

// TestFollowersBesideTheOwner read steps while the owner adds, trims and writes
// checkpoints. What they get is right or a clear error.
func TestFollowersBesideTheOwner(t *testing.T) {
	back := statetest.New()
	back.Two = true
	cache := state.NewCache(back, wireCodec{}, state.NewBudget(6000))
	h := cache.NewChanges(9, 0)
	h.Small(64, 3)
	rows := func(step uint64) int { return int(step*7919%9)*5 + 5*int(step%50/49)*40 }
	const steps = 600
	var followers sync.WaitGroup
	for n := range 3 {
		followers.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			for at, read := uint64(0), 0; at < steps && read < 20*steps; read++ {
				got, step, err := h.Step(at, steps)
				switch {
				case errors.Is(err, state.ErrForgotten):
					at = h.Lost()
				case err != nil:
					t.Error(err)
					return
				case len(got) == 0:
					runtime.Gosched()
				default:
					n := 0
					for _, b := range got {
						n += b.N
						for i := range b.N {
							if b.Cols[0].I64[i] != int64(step) {
								t.Errorf("step %d has a row of step %d", step, b.Cols[0].I64[i])
							}
						}
					}
					if n != rows(step) {
						t.Errorf("step %d: %d rows, want %d", step, n, rows(step))
					}
					if at = step; rng.IntN(100) == 0 && at > 40 {
						at -= 40
					}
				}
			}
		})
	}
	followers.Go(func() {
		for s := uint64(0); s < steps; s = h.Lost() {
			if _, last := h.Span(); last > 400 {
				h.Forget(last - 180)
			}
			if _, last := h.Span(); last >= steps-10 {
				return
			}
			runtime.Gosched()
		}
	})
	for step := uint64(1); step <= steps; step++ {
		h.Add(step, stepRows(step, 0, rows(step)))
		h.Trim(1<<40, 200)
		if step%60 == 0 {
			f := h.Freeze()
			dropped := cache.Dropped()
			var writer sync.WaitGroup
			writer.Go(func() {
				for _, l := range dropped {
					back.Keep(l)
				}
				if _, err := f.Write(back); err != nil {
					t.Error(err)
				}
			})
			if step < steps {
				step++
				h.Add(step, stepRows(step, 0, rows(step)))
			}
			writer.Wait()
			f.Done(true)
			back.Complete()
		}
	}
	followers.Wait()
	if _, last := h.Span(); last == 0 || cache.Stats().Spilled == 0 {
		t.Errorf("the last step is %d; %+v", last, cache.Stats())
	}
}

// One op is a step: of one row, of 500, which share blocks, and of 20,000.
func BenchmarkChangesAdd(b *testing.B) {
	for _, n := range []int{1, 500, 20000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := state.NewCache(statetest.New(), wireCodec{}, state.NewBudget(1<<40)).NewChanges(1, 0)
			rows := stepRows(1, 0, n)
			for step := uint64(1); b.Loop(); step++ {
				h.Add(step, rows)
				h.Trim(32<<20, 100_000)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
		})
	}
}

// One op is a block of 4,096 rows that is written and read back.
func BenchmarkBlockCodec(b *testing.B) {
	rows := batch.Consolidate(stepRows(1, 0, 4096))
	var buf []byte
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			buf = wireCodec{}.AppendBatch(buf[:0], rows)
		}
		b.SetBytes(rows.SizeBytes())
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := (wireCodec{}).DecodeBatch(buf); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(rows.SizeBytes())
	})
}
