package flow

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Texts of all sizes keep their bytes while others come and go, and the memory of
// what went is used again.
func TestArenaKeepsTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a arena
		var words []uint64
		var texts [][]byte
		for n := range rapid.IntRange(1, 60).Draw(t, "operations") {
			if len(words) > 0 && rapid.IntRange(0, 2).Draw(t, "free") == 0 {
				k := rapid.IntRange(0, len(words)-1).Draw(t, "which")
				a.release(words[k])
				words, texts = slices.Delete(words, k, k+1), slices.Delete(texts, k, k+1)
				continue
			}
			size := rapid.SampledFrom([]int{0, 1, 8, 9, 31, 33, 64, 65, 1000, 70_000, 262_144, 262_145, 1_100_000}).Draw(t, "size")
			text := bytes.Repeat([]byte{byte(n + 1)}, size)
			words, texts = append(words, a.put(text)), append(texts, text)
		}
		for k := range words {
			if !bytes.Equal(a.get(words[k]), texts[k]) {
				t.Fatalf("text %d of %d bytes is not what was put", k, len(texts[k]))
			}
		}
	})
}

func TestArenaReusesMemory(t *testing.T) {
	var a arena
	for range 20 {
		var words []uint64
		for size := 1; size < 1<<19; size = size*5/4 + 1 {
			words = append(words, a.put(make([]byte, size)))
		}
		for _, w := range words {
			a.release(w)
		}
	}
	if a.bytes > 8<<20 {
		t.Errorf("arena holds %d bytes after everything was freed again and again", a.bytes)
	}
}

func TestArenaClassesHold(t *testing.T) {
	last := -1
	for n := uint32(1); n <= chunkUnits/4; n++ {
		c, size := class(n)
		if size < n || size > n+n/4+1 {
			t.Fatalf("%d units go to a class of %d", n, size)
		}
		if c < last || c >= arenaClasses {
			t.Fatalf("%d units go to class %d, after class %d", n, c, last)
		}
		if again, same := class(size); again != c || same != size {
			t.Fatalf("a class of %d units is not its own", size)
		}
		last = c
	}
}

// The index agrees with a map under insertions and removals with many like hashes.
func TestIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		model := map[uint64][]uint32{}
		for n := range rapid.IntRange(1, 300).Draw(t, "operations") {
			// Few parts, tags that share their low bits, and equal hashes.
			h := uint64(rapid.IntRange(0, 1).Draw(t, "part"))<<56 | uint64(rapid.IntRange(0, 40).Draw(t, "tag"))*8
			if have := model[h]; len(have) > 0 && rapid.IntRange(0, 2).Draw(t, "remove") > 0 {
				k := rapid.IntRange(0, len(have)-1).Draw(t, "which")
				x.remove(h, have[k])
				model[h] = slices.Delete(slices.Clone(have), k, k+1)
				continue
			}
			x.add(h, uint32(n+1))
			model[h] = append(model[h], uint32(n+1))
		}
		for h, want := range model {
			var got []uint32
			p := x.probe(h)
			for n := p.next(); n != 0; n = p.next() {
				got = append(got, n)
			}
			slices.Sort(got)
			want = slices.Sorted(slices.Values(want))
			if !slices.Equal(got, want) {
				t.Fatalf("hash %x has %v, want %v", h, got, want)
			}
		}
	})
}
