package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
)

// realLog is a log of a fabric as the engine has it.
type realLog struct{ *fabric.Log }

func (l realLog) Reader(ctx context.Context, from uint64) (engine.Reader, error) {
	return l.Log.Reader(ctx, from)
}

func startFabric(t *testing.T, dir string, faults *fabric.Faults) *fabric.Fabric {
	t.Helper()
	f, err := fabric.Start(t.Context(), fabric.Config{Dir: dir, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func closeFabric(t *testing.T, f *fabric.Fabric) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	f.Close(ctx)
}

// kinds of errors that a log gives.
var logErrors = []error{fabric.ErrWrongSequence, fabric.ErrUnknown, fabric.ErrNoSpace, fabric.ErrUnavailable, fabric.ErrNotFound, fabric.ErrTrimmed, fabric.ErrTooLarge}

func kindOf(err error) string {
	if err == nil {
		return "done"
	}
	for _, k := range logErrors {
		if errors.Is(err, k) {
			return k.Error()
		}
	}
	return err.Error()
}

// outcomeOf is what an operation gave, in words that can be compared.
type outcomeOf struct {
	kind        string
	first, last uint64
	recs        [][]byte
}

func (o outcomeOf) String() string {
	return fmt.Sprintf("%s %d..%d %d records", o.kind, o.first, o.last, len(o.recs))
}

func (o outcomeOf) equal(p outcomeOf) bool {
	return o.kind == p.kind && o.first == p.first && o.last == p.last && slices.EqualFunc(o.recs, p.recs, bytes.Equal)
}

// logOp is one operation of a sequence.
type logOp struct {
	name string
	run  func(engine.Log) outcomeOf
}

// randomOp makes up an operation. last is about where the log ends.
func randomOp(r *rand.Rand, last uint64) logOp {
	ctx := context.Background()
	near := func() uint64 { return uint64(max(0, int64(last)-4+r.Int64N(8))) }
	switch r.IntN(10) {
	case 0, 1, 2, 3, 4:
		recs := make([][]byte, 1+r.IntN(3)*r.IntN(3))
		for i := range recs {
			recs[i] = fmt.Appendf(nil, "record %d %d", r.Int64(), i)
		}
		expect := last
		if r.IntN(3) == 0 {
			expect = near()
		}
		return logOp{fmt.Sprintf("append %d after %d", len(recs), expect), func(l engine.Log) outcomeOf {
			last, err := l.Append(ctx, recs, expect)
			return outcomeOf{kind: kindOf(err), last: last}
		}}
	case 5:
		from := near()
		return logOp{fmt.Sprintf("read from %d", from), func(l engine.Log) outcomeOf {
			return readLog(l, from)
		}}
	case 6:
		from := 1 + near()
		return logOp{fmt.Sprintf("a reader from %d", from), func(l engine.Log) (o outcomeOf) {
			rd, err := l.Reader(ctx, from)
			if err != nil {
				return outcomeOf{kind: kindOf(err)}
			}
			defer rd.Stop()
			o.kind = "done"
			for range 2 {
				_, last, _ := l.Bounds(ctx)
				if max(o.last, from-1) >= last {
					break // it would wait
				}
				rec, err := rd.Next(ctx)
				if err != nil {
					o.kind = kindOf(err)
					break
				}
				o.last, o.recs = rec.Seq, append(o.recs, rec.Data)
			}
			return o
		}}
	case 7, 8:
		return logOp{"bounds", func(l engine.Log) outcomeOf {
			first, last, err := l.Bounds(ctx)
			return outcomeOf{kind: kindOf(err), first: first, last: last}
		}}
	}
	below := near()
	return logOp{fmt.Sprintf("trim below %d", below), func(l engine.Log) outcomeOf {
		return outcomeOf{kind: kindOf(l.Trim(ctx, below))}
	}}
}

func readLog(l engine.Log, from uint64) (o outcomeOf) {
	err := l.Read(context.Background(), from, func(r fabric.Record) error {
		if o.first == 0 {
			o.first = r.Seq
		}
		o.last, o.recs = r.Seq, append(o.recs, r.Data)
		return nil
	})
	o.kind = kindOf(err)
	return o
}

// modelLogOf opens a log of the model for a process that never crashes.
func modelLogOf(t *testing.T, w *World, name string) engine.Log {
	t.Helper()
	l, err := logs{w.store, &proc{w: w, name: "only"}, w}.OpenLog(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// quietWorld is a world in which nothing happens but what is asked for.
func quietWorld(seed uint64) *World {
	w := newWorld(seed, Options{})
	w.store.added = func(string, uint64, []byte) {}
	w.store.faults = faults{}
	return w
}

// TestModelIsHonest runs the same operations, one after the other, on logs of a real
// server, which is restarted now and then, and on the model without faults: they give
// the same.
func TestModelIsHonest(t *testing.T) {
	dir := t.TempDir()
	f := startFabric(t, dir, nil)
	defer func() { closeFabric(t, f) }()
	r := rand.New(rand.NewPCG(*seedStart, 4))
	w := quietWorld(1)
	for round := range 8 {
		name := fmt.Sprintf("L%d", round)
		open := func() engine.Log {
			l, err := f.OpenLog(t.Context(), name, fabric.LogConfig{})
			if err != nil {
				t.Fatal(err)
			}
			return realLog{l}
		}
		real, model := open(), modelLogOf(t, w, name)
		for n := range 60 {
			if r.IntN(40) == 0 {
				closeFabric(t, f)
				f = startFabric(t, dir, nil)
				real = open()
			}
			if r.IntN(60) == 0 {
				a, b := real.Delete(t.Context()), model.Delete(t.Context())
				if kindOf(a) != kindOf(b) {
					t.Fatalf("log %s, operation %d: deleted: %v, the model: %v", name, n, a, b)
				}
				real, model = open(), modelLogOf(t, w, name)
			}
			_, last, err := real.Bounds(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			op := randomOp(r, last)
			if a, b := op.run(real), op.run(model); !a.equal(b) {
				t.Fatalf("log %s, operation %d, %s: %v, the model: %v", name, n, op.name, a, b)
			}
		}
	}
}

// TestModelAllowsWhatHappens lets writers race on a real log, whose answers and requests
// are lost at random, and then finds a run of the model with the same outcomes: in the
// order of the log each record that was acknowledged is applied, each refused one is
// not, and of the unknown ones those that are there were under way.
func TestModelAllowsWhatHappens(t *testing.T) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(*seedStart, 5))
	lose := func() error {
		mu.Lock()
		defer mu.Unlock()
		if r.IntN(6) == 0 {
			return errors.New("lost")
		}
		return nil
	}
	f := startFabric(t, t.TempDir(), &fabric.Faults{
		BeforeAppend: func(string, uint64) error { return lose() }, AfterAppend: func(string, uint64) error { return lose() }})
	defer closeFabric(t, f)
	log, err := f.OpenLog(t.Context(), "race", fabric.LogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	type attempt struct {
		append_
		last uint64
		err  error
	}
	var all []attempt
	for range 150 {
		_, last, err := log.Bounds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for k := range 1 + r.IntN(3) {
			a := attempt{append_: append_{expect: last}}
			for i := range 1 + r.IntN(2) {
				a.recs = append(a.recs, fmt.Appendf(nil, "%d %d %d", last, k, i)) // what is sent again is the same
			}
			wg.Go(func() {
				a.last, a.err = log.Append(context.Background(), a.recs, a.expect)
				mu.Lock()
				all = append(all, a)
				mu.Unlock()
			})
		}
		wg.Wait()
	}
	var there [][]byte
	if o := readLog(realLog{log}, 1); o.kind != "done" {
		t.Fatal(o)
	} else {
		there = o.recs
	}
	w := quietWorld(1)
	l := w.store.open("race")
	for len(l.recs) < len(there) {
		wrote := func(a attempt) bool {
			return a.expect == l.last() && len(l.recs)+len(a.recs) <= len(there) && slices.EqualFunc(a.recs, there[len(l.recs):len(l.recs)+len(a.recs)], bytes.Equal) &&
				errors.Is(a.err, fabric.ErrUnknown)
		}
		i := slices.IndexFunc(all, func(a attempt) bool { return a.err == nil && a.last == l.last()+uint64(len(a.recs)) })
		if i < 0 { // nobody was told that it is there
			i = slices.IndexFunc(all, wrote)
		}
		if i < 0 {
			t.Fatalf("record %d of the log, %q, was written by nobody who may have", l.last()+1, there[len(l.recs)])
		}
		a := all[i]
		all = slices.Delete(all, i, i+1)
		last, err := w.store.apply(l, a.append_)
		if err != nil || a.err == nil && a.last != last || !slices.EqualFunc(l.recs, there[:min(len(l.recs), len(there))], bytes.Equal) {
			t.Fatalf("%q gave %d, %v; the model: %d, %v", a.recs, a.last, a.err, last, err)
		}
	}
	kinds := map[string]int{}
	for _, a := range all { // what is left wrote nothing: the model refuses it now, as late ones are
		kinds[kindOf(a.err)]++
		if _, err := w.store.apply(l, a.append_); a.err == nil || kindOf(err) != fabric.ErrWrongSequence.Error() {
			t.Errorf("%q after %d gave %v and is not in the log", a.recs, a.expect, a.err)
		}
	}
	if kinds[fabric.ErrWrongSequence.Error()] == 0 || kinds[fabric.ErrUnknown.Error()] == 0 || len(there) < 50 {
		t.Errorf("the run was too tame: %v, %d records", kinds, len(there))
	}
}
