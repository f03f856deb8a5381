package state_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
	"github.com/tidemill/tidemill/internal/types"
)

// keyed is a table of text keys, with an ordered multiset for each, beside a model.
type keyed struct {
	mem  *state.Memory
	tab  *state.Table
	vals *state.Ordered
	step int64
	want map[string]map[string]int64
}

var keyedTypes = []types.Type{types.T(types.Text)}

func newKeyed(back state.Backing, budget *state.Budget) *keyed {
	k := &keyed{mem: state.NewMemory(9, back, budget), want: map[string]map[string]int64{}}
	k.mem.Check = true
	k.tab, k.vals = state.New(k.mem, keyedTypes, 2), state.NewOrdered(k.mem)
	return k
}

func (k *keyed) persist(p *state.Persist) {
	k.tab.Persist(p)
	k.vals.Persist(p)
	state.Num(p, &k.step)
}

// change makes a step of n changes; with few keys most of what there is goes.
func (k *keyed) change(r *rand.Rand, n int) {
	k.step++
	k.tab.BeginStep(k.step)
	many := []int{5, 300, 5000}[r.IntN(3)]
	for range n {
		key, val := fmt.Sprintf("key %d", r.IntN(many)), binary.BigEndian.AppendUint64([]byte("a value, "[r.IntN(2)*9:]), uint64(r.IntN(50)))
		b := batch.NewBuilder(keyedTypes)
		b.AppendRow([]types.Value{types.TextValue(key)}, 1)
		row := b.Seal()
		var refs [1]state.Ref
		k.tab.FindOrInsert(row, []int{0}, hashesOf(row, []int{0}), refs[:], nil)
		if r.IntN(4) == 0 {
			k.vals.Clear(refs[0])
			k.tab.Delete(refs[0])
			delete(k.want, key)
			continue
		}
		p, _ := k.tab.TouchPayload(refs[0])
		if k.want[key] == nil {
			k.want[key] = map[string]int64{}
		}
		p[1]++
		k.want[key][""]++ // how often
		if _, is := k.vals.Add(refs[0], val, 1); is != k.want[key][string(val)]+1 {
			panic(fmt.Sprintf("%s has %q %d times, want %d", key, val, is, k.want[key][string(val)]+1))
		}
		k.want[key][string(val)]++
	}
}

func (k *keyed) compare(t *testing.T, want map[string]map[string]int64) {
	t.Helper()
	n := 0
	k.tab.All(func(r state.Ref) bool {
		k.mem.Rest()
		cols := []batch.Column{{Type: keyedTypes[0]}}
		k.tab.AppendKey(r, cols, 0)
		w, ok := want[string(cols[0].StrAt(0))]
		if !ok || int64(k.tab.Payload(r)[1]) != w[""] {
			t.Fatalf("%s counts %d, want %d", cols[0].StrAt(0), k.tab.Payload(r)[1], w[""])
		}
		vals := 1
		k.vals.Ascend(r, nil, func(e state.Entry) bool {
			vals++
			if w[string(e.Key)] != e.Weight {
				t.Fatalf("%s has %q %d times, want %d", cols[0].StrAt(0), e.Key, e.Weight, w[string(e.Key)])
			}
			return true
		})
		if vals != len(w) {
			t.Fatalf("%s has %d values, want %d", cols[0].StrAt(0), vals, len(w))
		}
		n++
		return true
	})
	if n != len(want) || k.tab.Len() != n {
		t.Fatalf("%d keys, %d by Len, want %d", n, k.tab.Len(), len(want))
	}
}

func clone(m map[string]map[string]int64) map[string]map[string]int64 {
	out := map[string]map[string]int64{}
	for k, v := range m {
		out[k] = map[string]int64{}
		for x, n := range v {
			out[k][x] = n
		}
	}
	return out
}

// Tables and multisets that grow and shrink are frozen, written while they change, and
// brought back, with little memory.
func TestTablesAreRestored(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 7))
		back := statetest.New()
		k := newKeyed(back, state.NewBudget(1<<18))
		for range 12 {
			k.change(r, r.IntN(2000))
			k.mem.Rest()
			f, then := state.Freeze(k.mem, k.persist), clone(k.want)
			k.change(r, r.IntN(2000))
			k.mem.Rest()
			image, err := f.Write(back)
			if err != nil {
				t.Fatal(err)
			}
			k.change(r, r.IntN(500))
			complete := r.IntN(4) > 0
			f.Done(complete)
			k.compare(t, k.want)
			if !complete {
				continue
			}
			back.Complete()
			old := newKeyed(back, state.NewBudget(1<<18))
			if err := state.Restore(old.mem, image, old.persist); err != nil {
				t.Fatal(err)
			}
			old.compare(t, then)
			if r.IntN(2) == 0 { // go on with it
				old.want = then
				k.mem.Close()
				k = old
			} else {
				old.mem.Close()
			}
		}
		k.mem.Close()
		if n := back.Spilled(); n != 0 {
			t.Fatalf("closed, it has %d records", n)
		}
	}
}
