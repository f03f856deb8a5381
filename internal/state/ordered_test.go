package state_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/state"
)

// group makes a ref for tests; the row is free to choose.
func group(part, row uint64) state.Ref { return state.Ref(part<<16 | row) }

func TestOrderedEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, model := state.NewOrdered(state.NewMemory(0, nil, nil)), map[state.Ref]map[string]int64{}
		long := rapid.Bool().Draw(t, "long keys")
		many := rapid.SampledFrom([]int64{5, 400, 100000}).Draw(t, "values")
		total := 0
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			remove := r.IntN(10) // tenths of withdrawals
			for range rapid.IntRange(1, 600).Draw(t, "changes") {
				g := group(r.Uint64N(2), 16+r.Uint64N(2))
				w := int64(1)
				key := orderedKey(r, many, long)
				if m := model[g]; len(m) > 0 && r.IntN(10) < remove {
					key = anyKey(r, m)
					w = -m[key]
				}
				if model[g] == nil {
					model[g] = map[string]int64{}
				}
				before, after := o.Put(g, []byte(key), w, uint64(len(key)))
				if before != model[g][key] || after != before+w {
					t.Fatalf("%q: %d to %d, want from %d by %d", key, before, after, model[g][key], w)
				}
				if before == 0 {
					total++
				}
				if model[g][key] = after; after == 0 {
					delete(model[g], key)
					total--
				}
			}
			if o.Len() != total {
				t.Fatalf("%d keys, want %d", o.Len(), total)
			}
			for g, m := range model {
				checkOrdered(t, o, g, m)
			}
		}
		for g := range model {
			o.Clear(g)
		}
		if o.Len() != 0 || o.Bytes() > 100000 {
			t.Fatalf("cleared: %d keys in %d bytes", o.Len(), o.Bytes())
		}
	})
}

func orderedKey(r *rand.Rand, many int64, long bool) string {
	k := binary.BigEndian.AppendUint64(nil, uint64(r.Int64N(many)))
	if long {
		return "a common prefix" + string(k)
	}
	return string(k[8-r.IntN(9):])
}

// anyKey picks a key by the generator alone, not by the order of the map.
func anyKey(r *rand.Rand, m map[string]int64) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys[r.IntN(len(keys))]
}

func checkOrdered(t *rapid.T, o *state.Ordered, g state.Ref, m map[string]int64) {
	var want, got, down []string
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		want = append(want, fmt.Sprintf("%x:%d:%d", k, m[k], len(k)))
	}
	line := func(e state.Entry) string { return fmt.Sprintf("%x:%d:%d", e.Key, e.Weight, e.Value) }
	o.Ascend(g, nil, func(e state.Entry) bool { got = append(got, line(e)); return true })
	o.Descend(g, func(e state.Entry) bool { down = append(down, line(e)); return true })
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("ascending: %v, want %v", got, want)
	}
	for i := range want {
		if down[len(down)-1-i] != want[i] || len(down) != len(want) {
			t.Fatalf("descending: %v, want the reverse of %v", down, want)
		}
	}
	if len(keys) > 0 {
		at := len(keys) / 2
		got = got[:0]
		o.Ascend(g, []byte(keys[at]), func(e state.Entry) bool { got = append(got, line(e)); return true })
		if fmt.Sprint(got) != fmt.Sprint(want[at:]) {
			t.Fatalf("from %x: %v, want %v", keys[at], got, want[at:])
		}
		if e, ok := o.Min(g); !ok || string(e.Key) != keys[0] {
			t.Fatalf("min %x, want %x", e.Key, keys[0])
		}
		if e, ok := o.Max(g); !ok || string(e.Key) != keys[len(keys)-1] {
			t.Fatalf("max %x, want %x", e.Key, keys[len(keys)-1])
		}
	}
}

func TestOrderedMemoryFollowsContent(t *testing.T) {
	o, r := state.NewOrdered(state.NewMemory(0, nil, nil)), rand.New(rand.NewPCG(3, 4))
	g := group(7, 16)
	var live [][]byte
	most := int64(0)
	for i := range 1000000 {
		key := fmt.Appendf(nil, "%09d and a tail of bytes", r.IntN(1e9))
		o.Add(g, key, 1)
		live = append(live, key)
		if len(live) > 2000 {
			j := r.IntN(len(live))
			o.Add(g, live[j], -1)
			live[j] = live[len(live)-1]
			live = live[:len(live)-1]
		}
		if i > 100000 {
			most = max(most, o.Bytes())
		}
	}
	if most > 2000*600 {
		t.Errorf("%d bytes for 2000 keys", most)
	}
	for _, k := range live[100:] {
		o.Add(g, k, -1)
	}
	if o.Bytes() > 100*600+50000 {
		t.Errorf("%d bytes for 100 keys", o.Bytes())
	}
}

// A queue takes from the front and adds to the back; its emptied pages must go.
func TestOrderedQueueStaysFast(t *testing.T) {
	o, g := state.NewOrdered(state.NewMemory(0, nil, nil)), group(0, 16)
	var buf [8]byte
	key := func(i int) []byte { binary.BigEndian.PutUint64(buf[:], uint64(i)); return buf[:] }
	for i := range 400000 {
		o.Add(g, key(i), 1)
		if i >= 1000 {
			e, ok := o.Min(g)
			if !ok || binary.BigEndian.Uint64(e.Key) != uint64(i-1000) {
				t.Fatalf("min %x at %d", e.Key, i)
			}
			o.Add(g, key(i-1000), -1)
		}
	}
	if o.Bytes() > 1000*400 {
		t.Errorf("%d bytes for 1000 keys", o.Bytes())
	}
}

func BenchmarkOrderedMax(b *testing.B) {
	o, r := state.NewOrdered(state.NewMemory(0, nil, nil)), rand.New(rand.NewPCG(3, 4))
	var buf [8]byte
	b.ReportAllocs()
	for b.Loop() {
		g := group(r.Uint64N(256), 16+r.Uint64N(40))
		binary.BigEndian.PutUint64(buf[:], uint64(r.IntN(100)))
		o.Add(g, buf[:], 1)
		if _, ok := o.Max(g); !ok {
			b.Fatal("no max")
		}
	}
}
