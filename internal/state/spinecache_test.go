package state_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// wireCodec writes blocks as the engine does.
type wireCodec struct{}

func (wireCodec) AppendBatch(dst []byte, b *batch.Batch) []byte { return wire.AppendBatch(dst, b) }

func (wireCodec) DecodeBatch(src []byte) (*batch.Batch, []byte, error) { return wire.DecodeBatch(src) }

var spineTypes = []types.Type{types.T(types.Int8), types.T(types.Text)}

// rowsModel has the weight of each row.
type rowsModel map[spineKey]int64

type spineKey struct {
	k int64
	v string
}

func (m rowsModel) add(b *batch.Batch) {
	for k := range b.Len() {
		i := b.Row(k)
		key := spineKey{b.Cols[0].I64[i], string(b.Cols[1].StrAt(i))}
		if m[key] += b.Weight(i); m[key] == 0 {
			delete(m, key)
		}
	}
}

// spineWorld is a spine in a cache, next to a model of it.
type spineWorld struct {
	back   *statetest.Backing
	budget *state.Budget
	cache  *state.Cache
	spine  *state.Spine
	model  rowsModel
	snaps  []heldSnapshot
	frozen *frozenWorld
	image  []byte // of the last complete checkpoint; nil: there is none
	saved  rowsModel
	next   uint64
}

type heldSnapshot struct {
	snap *state.Snapshot
	want rowsModel
}

type frozenWorld struct {
	f       *state.FrozenSpine
	model   rowsModel
	dropped []state.Loc
	image   []byte
}

func newSpineWorld(limit int64) *spineWorld {
	w := &spineWorld{back: statetest.New(), budget: state.NewBudget(limit), model: rowsModel{}}
	w.open()
	return w
}

func (w *spineWorld) open() {
	w.cache = state.NewCache(w.back, wireCodec{}, w.budget)
	w.cache.Collect = runtime.GC
	w.spine = w.cache.NewSpine(7, spineTypes, batch.Ascending(0, 1), 1)
	w.spine.Small(64, 3, 100)
}

func (w *spineWorld) append(b *batch.Batch, sealed bool) {
	w.model.add(b)
	if sealed {
		w.spine.AppendSealed(b)
	} else {
		w.spine.Append(b)
	}
}

func (w *spineWorld) hold() {
	w.snaps = append(w.snaps, heldSnapshot{w.spine.Snapshot(), maps.Clone(w.model)})
}

func (w *spineWorld) freeze() {
	w.frozen = &frozenWorld{f: w.spine.Freeze(), model: maps.Clone(w.model), dropped: w.cache.Dropped()}
}

func (w *spineWorld) write() error {
	for _, l := range w.frozen.dropped {
		w.back.Keep(l)
	}
	var err error
	w.frozen.image, err = w.frozen.f.Write(w.back)
	return err
}

func (w *spineWorld) done(complete bool) {
	w.frozen.f.Done(complete)
	if complete {
		w.back.Complete()
		w.image, w.saved = w.frozen.image, w.frozen.model
	} else {
		w.back.Abort()
	}
	w.frozen = nil
}

// restart forgets what is in memory.
func (w *spineWorld) restart() error {
	w.snaps, w.frozen = nil, nil
	w.cache.Close()
	w.back.Restart()
	w.open()
	w.model = rowsModel{}
	if w.image == nil {
		return nil
	}
	w.model = maps.Clone(w.saved)
	var err error
	w.spine, err = w.cache.RestoreSpine(7, spineTypes, batch.Ascending(0, 1), 1, w.image)
	if err == nil {
		w.spine.Small(64, 3, 100)
	}
	return err
}

// same compares a snapshot with what it should be, by scanning and by looking up.
func same(snap *state.Snapshot, want rowsModel, keys ...int64) error {
	got, rows := rowsModel{}, int64(0)
	err := snap.Blocks(func(b *batch.Batch) error { got.add(b); return nil })
	if err != nil {
		return err
	}
	if !maps.Equal(got, want) {
		return fmt.Errorf("%d rows: got %v, want %v", len(got), got, want)
	}
	for _, w := range want {
		rows += w
	}
	if snap.Rows() != rows {
		return fmt.Errorf("%d rows, want %d", snap.Rows(), rows)
	}
	for _, k := range keys {
		found := rowsModel{}
		key := batch.FromRows(spineTypes[:1], [][]types.Value{{types.IntValue(types.Int8, k)}})
		if err := snap.Lookup(key, func(b *batch.Batch) error { found.add(b); return nil }); err != nil {
			return err
		}
		expect := rowsModel{}
		for name, w := range want {
			if name.k == k {
				expect[name] = w
			}
		}
		if !maps.Equal(found, expect) {
			return fmt.Errorf("lookup %d: got %v, want %v", k, found, expect)
		}
	}
	return nil
}

// TestSpineInACacheEqualsModel runs a spine through appends, checkpoints, failing
// disks and restarts with memory for hardly anything.
func TestSpineInACacheEqualsModel(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newSpineWorld(rapid.SampledFrom([]int64{0, 3000, 20000, 1 << 40}).Draw(t, "budget"))
		sparse := 0
		asked := 0 // the answer differs from record to record, though packs have many
		w.back.Empty = func(uint32) bool { asked++; return sparse > 0 && asked%sparse == 0 }
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 15).Draw(t, "what") {
			default:
				bu := batch.NewBuilder(spineTypes)
				for range rapid.SampledFrom([]int{0, 1, 5, 150, 700}).Draw(t, "rows") {
					k, v := rapid.Int64Range(0, 300).Draw(t, "k"), rapid.Int64Range(0, 3).Draw(t, "v")
					bu.AppendRow(spineRow(k, v), rapid.SampledFrom([]int64{1, 1, 2, -1}).Draw(t, "w"))
				}
				b := bu.Seal()
				if rapid.Bool().Draw(t, "consolidated") {
					b = batch.Consolidate(b)
				}
				w.append(b, rapid.Bool().Draw(t, "sealed"))
			case 0:
				w.hold()
			case 1:
				w.snaps = nil
			case 2, 3, 4:
				if w.frozen == nil {
					w.freeze()
				}
			case 5, 6, 7:
				if w.frozen == nil || w.frozen.image != nil {
					break
				}
				sparse = rapid.SampledFrom([]int{0, 1, 2, 3, 7, 11}).Draw(t, "sparse")
				if rapid.IntRange(0, 5).Draw(t, "fails") == 0 {
					n := rapid.IntRange(0, 5).Draw(t, "when")
					w.back.Fail = func() error { n--; return map[bool]error{true: errors.New("full")}[n < 0] }
				}
				err := w.write()
				w.back.Fail, sparse = nil, 0
				if err != nil {
					seen["failed"]++
					w.done(false)
				}
			case 8, 9, 10:
				if w.frozen != nil && w.frozen.image != nil {
					w.done(rapid.IntRange(0, 4).Draw(t, "complete") > 0)
				}
			case 11:
				if w.image != nil {
					seen["restarted"]++
				}
				if err := w.restart(); err != nil {
					t.Fatal(err)
				}
			case 12: // a disk that is full for a while
				w.back.Fail = func() error { return errors.New("full") }
				w.append(batch.FromRows(spineTypes, [][]types.Value{spineRow(1, 1), spineRow(2, 1)}), true)
				w.back.Fail = nil
			}
			if err := same(w.spine.Snapshot(), w.model, rapid.Int64Range(-1, 301).Draw(t, "look")); err != nil {
				t.Fatal(err)
			}
			if s := w.cache.Stats(); s.HeldBytes != w.spine.HeldBytes() || s.HeldBytes != w.budget.Used() || s.HeldBytes < 0 {
				t.Fatalf("%d bytes held by the cache, %d by the spine, %d used", s.HeldBytes, w.spine.HeldBytes(), w.budget.Used())
			}
		}
		for i, h := range w.snaps {
			if err := same(h.snap, h.want, 1, 100); err != nil {
				t.Fatalf("snapshot %d: %v", i, err)
			}
		}
		s := w.cache.Stats()
		seen["spilled"] += int(s.Spilled)
		seen["dropped"] += s.Dropped
		if w.frozen != nil {
			w.frozen.f.Done(false)
		}
		w.spine.Close()
		w.snaps, w.frozen = nil, nil
		runtime.GC()
		if w.cache.Dropped(); w.back.Spilled() != 0 || w.budget.Used() != 0 {
			t.Fatalf("%d records and %d bytes are left of a closed spine", w.back.Spilled(), w.budget.Used())
		}
	})
	for _, what := range []string{"failed", "restarted", "spilled", "dropped"} {
		if seen[what] == 0 {
			t.Errorf("nothing was ever %s", what)
		}
	}
}

func randomRows(rng *rand.Rand, n, keys int) *batch.Batch {
	bu := batch.NewBuilder(spineTypes)
	for range n {
		bu.AppendRow(spineRow(rng.Int64N(int64(keys)), rng.Int64N(4)), 1)
	}
	return bu.Seal()
}

// TestAnUnchangedSpineIsNotWrittenAgain and a changed one hardly: the large runs are
// taken over with their directories and filters.
func TestAnUnchangedSpineIsNotWrittenAgain(t *testing.T) {
	w := newSpineWorld(1 << 40)
	rng := rand.New(rand.NewPCG(1, 1))
	w.append(randomRows(rng, 20000, 1<<40), true)
	checkpoint := func() int {
		w.freeze()
		if err := w.write(); err != nil {
			t.Fatal(err)
		}
		n := w.back.Puts()
		w.done(true)
		return n
	}
	if n := checkpoint(); n < 300 {
		t.Fatalf("%d records of 20,000 rows in blocks of 64", n)
	}
	if n := checkpoint(); n != 0 {
		t.Fatalf("%d records of a spine that did not change", n)
	}
	w.append(randomRows(rng, 10, 1<<40), true)
	if n := checkpoint(); n > 2 {
		t.Fatalf("%d records of a spine that 10 rows came to", n)
	}
	if err := w.restart(); err != nil {
		t.Fatal(err)
	}
	if n := checkpoint(); n != 0 {
		t.Fatalf("%d records of a spine that was just restored", n)
	}
	if w.cache.Stats().Misses != 0 {
		t.Errorf("restoring read %d blocks", w.cache.Stats().Misses)
	}
	if err := same(w.spine.Snapshot(), w.model, 5); err != nil {
		t.Fatal(err)
	}
}

// TestLookupsReadFewBlocks once nothing is in memory: those for keys that are not there
// hardly any, as filters say so.
func TestLookupsReadFewBlocks(t *testing.T) {
	w := newSpineWorld(1 << 40)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 6 {
		w.append(randomRows(rng, 4000, 1<<40), true)
	}
	w.freeze()
	if err := w.write(); err != nil {
		t.Fatal(err)
	}
	w.done(true)
	w.image, w.saved = nil, nil
	image := w.imageOf(t)
	w.budget = state.NewBudget(0)
	w.cache = state.NewCache(w.back, wireCodec{}, w.budget)
	sp, err := w.cache.RestoreSpine(7, spineTypes, batch.Ascending(0, 1), 1, image)
	if err != nil {
		t.Fatal(err)
	}
	snap := sp.Snapshot()
	const looks = 2000
	for range looks {
		key := batch.FromRows(spineTypes[:1], [][]types.Value{{types.IntValue(types.Int8, rng.Int64N(1<<40))}})
		if err := snap.Lookup(key, func(*batch.Batch) error { return errors.New("found") }); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.cache.Stats().Misses; n > looks/10 {
		t.Errorf("%d blocks were read to look up %d keys that are not there", n, looks)
	}
}

func (w *spineWorld) imageOf(t *testing.T) []byte {
	w.freeze()
	if err := w.write(); err != nil {
		t.Fatal(err)
	}
	image := w.frozen.image
	w.done(true)
	return image
}

// TestDamagedBlocksAreTold to readers as an error and to the owner as a panic.
func TestDamagedBlocksAreTold(t *testing.T) {
	w := newSpineWorld(0)
	rng := rand.New(rand.NewPCG(1, 3))
	w.append(randomRows(rng, 2000, 1000), true)
	snap := w.spine.Snapshot()
	w.back.Damaged = func(l state.Loc) bool { return true }
	if err := snap.Blocks(func(*batch.Batch) error { return nil }); !errors.Is(err, state.ErrDamaged) {
		t.Errorf("a scan: %v", err)
	}
	if err := same(snap, nil, 1); !errors.Is(err, state.ErrDamaged) {
		t.Errorf("a lookup: %v", err)
	}
	func() {
		defer func() {
			var f *state.FaultError
			if err, ok := recover().(error); !ok || !errors.As(err, &f) || !errors.Is(err, state.ErrDamaged) {
				t.Errorf("a merge: %v", err)
			}
		}()
		w.append(randomRows(rng, 2000, 1000), true)
	}()
}

// TestDamagedImages are refused, whichever byte is wrong or missing, or give no wrong
// rows.
func TestDamagedImages(t *testing.T) {
	w := newSpineWorld(1 << 40)
	w.append(randomRows(rand.New(rand.NewPCG(1, 4)), 500, 1000), true)
	w.append(randomRows(rand.New(rand.NewPCG(1, 5)), 50, 1000), true)
	image := w.imageOf(t)
	restore := func(image []byte) error {
		_, err := w.cache.RestoreSpine(7, spineTypes, batch.Ascending(0, 1), 1, image)
		return err
	}
	if err := restore(image); err != nil {
		t.Fatal(err)
	}
	for n := range image {
		if err := restore(image[:n]); !errors.Is(err, state.ErrDamaged) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(image), err)
		}
		bad := slices.Clone(image)
		bad[n] ^= 0x55
		_ = restore(bad) // which may not panic
	}
	if _, err := w.cache.RestoreSpine(7, spineTypes, batch.Ascending(1), 1, image); err == nil {
		t.Error("an image of another order is taken")
	}
}

// TestReadersBesideTheOwner read snapshots while the owner appends, merges, evicts and
// writes checkpoints that move blocks.
func TestReadersBesideTheOwner(t *testing.T) {
	w := newSpineWorld(30000)
	w.cache.Collect = nil
	w.back.Two = true // what was moved may still be read where it was
	moves := uint32(0)
	w.back.Empty = func(pack uint32) bool { return pack == moves }
	rng := rand.New(rand.NewPCG(1, 6))
	type job struct {
		h   heldSnapshot
		key int64
	}
	jobs := make(chan job, 4)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for j := range jobs {
				if err := same(j.h.snap, j.h.want, j.key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	stop := make(chan struct{})
	readers.Go(func() { // another owner who makes room
		for {
			select {
			case <-stop:
				return
			default:
				w.cache.Rest()
				runtime.Gosched()
			}
		}
	})
	for step := range 150 {
		b := randomRows(rng, 200, 2000)
		w.append(b, true)
		if step%3 == 0 {
			w.append(negated(b), true)
		}
		jobs <- job{heldSnapshot{w.spine.Snapshot(), maps.Clone(w.model)}, rng.Int64N(2000)}
		if step%10 != 9 {
			continue
		}
		w.freeze()
		var writer sync.WaitGroup
		moves++
		writer.Go(func() {
			if err := w.write(); err != nil {
				t.Error(err)
			}
		})
		w.append(randomRows(rng, 700, 2000), true)
		writer.Wait()
		w.frozen.f.Done(true)
		w.frozen = nil
		w.back.Complete()
	}
	close(jobs)
	close(stop)
	readers.Wait()
	if s := w.cache.Stats(); s.Spilled == 0 || s.Misses == 0 {
		t.Errorf("%+v", s)
	}
	w.spine.Close()
	w.cache.Collect = runtime.GC
	if w.cache.Dropped(); w.back.Spilled() != 0 || w.budget.Used() != 0 {
		t.Errorf("%d records and %d bytes are left of a closed spine", w.back.Spilled(), w.budget.Used())
	}
}

// TestLongKeys are in no fence, so that filters alone say where a key is.
func TestLongKeys(t *testing.T) {
	ts := []types.Type{types.T(types.Text)}
	cache := state.NewCache(statetest.New(), wireCodec{}, state.NewBudget(0))
	s := cache.NewSpine(1, ts, batch.Ascending(0), 1)
	s.Small(64, 3, 100)
	name := func(n int) []types.Value {
		return []types.Value{types.TextValue(fmt.Sprintf("%0600d", n))}
	}
	bu := batch.NewBuilder(ts)
	for n := range 2000 {
		bu.AppendRow(name(2*n), 1)
	}
	s.AppendSealed(bu.Seal())
	snap := s.Snapshot()
	for n := 0; n < 4000; n += 37 {
		found := 0
		if err := snap.Lookup(batch.FromRows(ts, [][]types.Value{name(n)}), func(b *batch.Batch) error { found += b.Len(); return nil }); err != nil {
			t.Fatal(err)
		}
		if want := 1 - n%2; found != want {
			t.Fatalf("key %d is found %d times, want %d", n, found, want)
		}
	}
}

func negated(b *batch.Batch) *batch.Batch {
	out := *b
	out.Weights = make([]int64, b.N)
	for i := range out.Weights {
		out.Weights[i] = -b.Weight(i)
	}
	return &out
}

// TestWhatHappensWhileABlockIsSpilled: a checkpoint that has it is completed, or its
// spine is closed. Either way it is not kept in scratch as well.
func TestWhatHappensWhileABlockIsSpilled(t *testing.T) {
	for name, happens := range map[string]func(*spineWorld){
		"complete": func(w *spineWorld) { w.done(true) },
		"closed":   func(w *spineWorld) { w.spine.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSpineWorld(1 << 40)
			w.append(randomRows(rand.New(rand.NewPCG(1, 7)), 1000, 1000), true)
			w.hold()
			w.freeze()
			if err := w.write(); err != nil {
				t.Fatal(err)
			}
			once := false
			w.back.Spilling = func() {
				if !once {
					once = true
					happens(w)
				}
			}
			w.budget.Add(1 << 40) // somebody else needs all
			w.cache.Rest()
			w.budget.Add(-1 << 40)
			if !once || w.back.Spilled() != 0 {
				t.Errorf("%d blocks are spilled", w.back.Spilled())
			}
			if err := same(w.snaps[0].snap, w.model, 1, 2, 3); err != nil {
				t.Error(err)
			}
			if w.cache.Stats().HeldBytes != w.budget.Used() {
				t.Errorf("%d bytes are used, %d held", w.budget.Used(), w.cache.Stats().HeldBytes)
			}
		})
	}
}

// TestFiltersThatMoveAlone are found where they are then.
func TestFiltersThatMoveAlone(t *testing.T) {
	w := newSpineWorld(0)
	w.append(randomRows(rand.New(rand.NewPCG(1, 8)), 6*64, 1<<40), true)
	w.imageOf(t)
	asked := 0
	w.back.Empty = func(uint32) bool { asked++; return asked%5 == 4 } // after three blocks
	w.freeze()
	if err := w.write(); err != nil || w.back.Puts() != 2 {
		t.Fatalf("%d records, %v", w.back.Puts(), err)
	}
	w.done(true)
	if err := same(w.spine.Snapshot(), w.model, 1, 2, 3, 1<<39); err != nil {
		t.Fatal(err)
	}
	for row := range w.model {
		if err := same(w.spine.Snapshot(), w.model, row.k); err != nil {
			t.Fatal(err)
		}
		break
	}
}
