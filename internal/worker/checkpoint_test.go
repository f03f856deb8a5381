package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
)

// passing is a circuit that passes a relation on.
func passing(rel string) *flow.Spec {
	return &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: rel}, Out: ints},
		{Op: &flow.Output{Name: "out"}, In: []int{0}, Out: ints},
	}}
}

// step runs a step over n random rows of t with a mark, and prints what came of it.
func step(t *testing.T, w *Worker, n uint64, rng *rand.Rand, count int) string {
	t.Helper()
	feed := flow.Feed{Rel: "t", Marks: []int64{int64(n), flow.NoMark}}
	if count > 0 {
		feed.Blocks = []*batch.Batch{rows(rng, count)}
	}
	outs, err := w.Step(n, int64(n)*100_000, []flow.Feed{feed})
	if err != nil {
		t.Fatalf("step %d: %v", n, err)
	}
	s := fmt.Sprint(w.NextTime())
	for _, o := range outs {
		s += fmt.Sprintf(" %s:%d:%v:%v", o.Key, o.Batch.Len(), o.Digest, o.Marks)
	}
	for _, key := range append(w.Keys(), "t") {
		s += fmt.Sprintf(" %s:%v", key, w.Marks(key))
	}
	return s
}

func TestRefusesWhatItCannotRestore(t *testing.T) {
	back := statetest.New()
	w := Open(Config{Lanes: 2, Backing: back})
	add(t, w, "a", passing("t"))
	f, err := w.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	saved, err := f.Write(back)
	if err != nil {
		t.Fatal(err)
	}
	f.Done(true)
	image := saved.Circuits[0].Data

	for name, test := range map[string]struct {
		lanes int
		spec  *flow.Spec
		image []byte
		want  error
	}{
		"other spec":     {2, passing("u"), image, ErrOtherSpec},
		"other lanes":    {3, passing("t"), image, state.ErrDamaged},
		"nothing":        {2, passing("t"), nil, state.ErrDamaged},
		"other version":  {2, passing("t"), append([]byte{9}, image[1:]...), state.ErrDamaged},
		"ends too soon":  {2, passing("t"), image[:len(image)-1], state.ErrDamaged},
		"bytes too many": {2, passing("t"), append(image[:len(image):len(image)], 0), state.ErrDamaged},
	} {
		w := Open(Config{Lanes: test.lanes, Backing: back})
		if err := w.Restore("a", test.spec, flow.Options{}, test.image); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if len(w.Keys()) != 0 {
			t.Errorf("%s: the circuit is there", name)
		}
		if err := w.Restore("a", passing("t"), flow.Options{}, image); test.lanes == 2 && err != nil {
			t.Errorf("%s: nor can the right one be restored after it: %v", name, err)
		}
	}
	for n := range saved.Marks {
		if err := w.RestoreMarks(saved.Marks[:n]); !errors.Is(err, state.ErrDamaged) {
			t.Errorf("marks cut at %d: %v", n, err)
		}
	}
}

func TestACircuitMadeAgainHasAnotherOwner(t *testing.T) {
	w := Open(Config{Lanes: 1, Backing: statetest.New()})
	add(t, w, "a", passing("t"))
	was := w.circuits[0].owner
	w.Remove("a")
	step(t, w, 7, rand.New(rand.NewPCG(1, 1)), 1)
	add(t, w, "a", passing("t"))
	if is := w.circuits[0].owner; is == was || is >= 1<<40 {
		t.Errorf("owner %x, after %x", is, was)
	}
}
