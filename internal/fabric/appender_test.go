package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// collect starts an appender whose results go into a channel.
func collect(t *testing.T, log *Log, cfg AppenderConfig) (*Appender, chan AppendResult) {
	t.Helper()
	results := make(chan AppendResult, 10_000)
	cfg.OnResult = func(r AppendResult) { results <- r }
	a, err := log.StartAppender(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, results
}

// checkAll makes sure that the log holds "0".."n-1" after first, once each and in order.
func checkAll(t *testing.T, log *Log, first uint64, n int) {
	t.Helper()
	i := 0
	err := log.Read(context.Background(), first, func(rec Record) error {
		if want := fmt.Sprint(i); string(rec.Data) != want {
			t.Fatalf("record %d is %q, want %q", rec.Seq, rec.Data, want)
		}
		i++
		return nil
	})
	if err != nil || i != n {
		t.Errorf("read %d records, want %d: %v", i, n, err)
	}
}

func TestAppenderKeepsOrder(t *testing.T) {
	const n = 2000
	ctx, log := context.Background(), openLog(t, start(t), "l")
	last := mustAppend(t, log, 0, "before")
	a, results := collect(t, log, AppenderConfig{ExpectLast: last, Window: 100})
	for i := range n {
		if err := a.Append(ctx, uint64(i), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if len(results) != n {
		t.Fatalf("%d results after flush, want %d", len(results), n)
	}
	for i := range n {
		if r := <-results; r.Err != nil || r.Tag != uint64(i) || r.Seq != last+1+uint64(i) {
			t.Fatalf("result %d: %+v", i, r)
		}
	}
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Append(ctx, 0, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	checkAll(t, log, last+1, n)
}

// Messages and acknowledgements get lost at random; every record must be there once all the same.
func TestAppenderSettlesLostMessages(t *testing.T) {
	const n = 300
	lost := errors.New("lost")
	var calls atomic.Uint64
	f := startIn(t, t.TempDir(), func(cfg *Config) {
		cfg.Faults = &Faults{
			BeforeAppend: func(string, uint64) error {
				if calls.Add(1)%37 == 11 {
					return lost
				}
				return nil
			},
			AfterAppend: func(string, uint64) error {
				if calls.Add(1)%23 == 5 {
					return lost
				}
				return nil
			},
		}
	})
	ctx, log := context.Background(), openLog(t, f, "l")
	a, results := collect(t, log, AppenderConfig{Window: 16})
	for i := range n {
		if err := a.Append(ctx, uint64(i), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if r := <-results; r.Err != nil || r.Tag != uint64(i) || r.Seq != uint64(i+1) {
			t.Fatalf("result %d: %+v", i, r)
		}
	}
	checkAll(t, log, 1, n)
}

// Another writer takes a place in the middle of a window: nothing of the zombie may follow.
func TestAppenderIsFencedAsAWhole(t *testing.T) {
	for round := range 20 {
		ctx, f := context.Background(), start(t)
		log := openLog(t, f, "l")
		a, results := collect(t, log, AppenderConfig{Window: 64})
		heir := make(chan uint64, 1)
		go func() {
			for expect := uint64(0); ; {
				last, err := log.Append(ctx, records("heir", "heir"), expect)
				var wrong *WrongSequenceError
				if errors.As(err, &wrong) {
					expect = wrong.Last
					continue
				}
				if errors.Is(err, ErrUnknown) || errors.Is(err, ErrUnavailable) { // a busy machine: the log tells
					if _, expect, err = log.Bounds(ctx); err == nil && expect > 0 {
						var rec Record
						if rec, err = log.Get(ctx, expect); err == nil && string(rec.Data) == "heir" {
							heir <- expect
							return
						}
					}
					continue
				}
				if err != nil {
					t.Errorf("round %d: heir: %v", round, err)
				}
				heir <- last
				return
			}
		}()
		taken := 0
		for i := range 5000 {
			if a.Append(ctx, uint64(i), []byte("zombie")) != nil {
				break
			}
			taken++
		}
		last := <-heir
		a.Close(ctx)
		acked := uint64(0)
		for range taken {
			r := <-results
			if r.Err == nil {
				acked = r.Seq
			} else if !errors.Is(r.Err, ErrWrongSequence) {
				t.Fatalf("round %d: %v", round, r.Err)
			}
		}
		if acked >= last {
			t.Fatalf("round %d: zombie got %d acknowledged after the heir's %d", round, acked, last)
		}
		first, end, err := log.Bounds(ctx)
		if err != nil || end != last || first != 1 || acked != last-2 {
			t.Fatalf("round %d: log %d..%d, heir's last %d, zombie's last %d, %v", round, first, end, last, acked, err)
		}
		f.Close(ctx)
	}
}

func TestAppenderWrongStart(t *testing.T) {
	ctx, log := context.Background(), openLog(t, start(t), "l")
	mustAppend(t, log, 0, "a")
	for _, expect := range []uint64{0, 2} {
		a, results := collect(t, log, AppenderConfig{ExpectLast: expect})
		a.Append(ctx, 7, []byte("x"))
		var wrong *WrongSequenceError
		if r := <-results; !errors.As(r.Err, &wrong) || wrong.Last != 1 || r.Tag != 7 {
			t.Errorf("start after %d: %+v", expect, r)
		}
		if err := a.Close(ctx); !errors.Is(err, ErrWrongSequence) {
			t.Errorf("close: %v", err)
		}
		if err := a.Append(ctx, 8, []byte("x")); !errors.Is(err, ErrWrongSequence) {
			t.Errorf("append after the end: %v", err)
		}
	}
	if got := contents(t, log); got != "1:a" {
		t.Errorf("log has %q", got)
	}
}

func TestAppenderSurvivesTrim(t *testing.T) {
	ctx, log := context.Background(), openLog(t, start(t), "l")
	a, _ := collect(t, log, AppenderConfig{})
	for i := range 200 {
		if err := a.Append(ctx, 0, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			if err := log.Trim(ctx, uint64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, last, err := log.Bounds(ctx); last != 200 || err != nil {
		t.Errorf("last %d, %v", last, err)
	}
}

func TestAppenderEndsWithFabric(t *testing.T) {
	ctx, f := context.Background(), start(t)
	log := openLog(t, f, "l")
	a, results := collect(t, log, AppenderConfig{})
	if err := a.Append(ctx, 1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	f.Close(ctx)
	if r := <-results; r.Err != nil && !errors.Is(r.Err, ErrUnknown) {
		t.Errorf("result: %+v", r)
	}
	if err := a.Append(ctx, 2, []byte("y")); !errors.Is(err, ErrClosed) {
		t.Errorf("append after the fabric closed: %v", err)
	}
}

// A log that stops answering makes the outcome unknown, within the time-out, and reading tells the truth.
func TestAppenderGivesUpAsUnknown(t *testing.T) {
	var broken atomic.Bool
	f := startIn(t, t.TempDir(), func(cfg *Config) {
		cfg.RequestTimeout = time.Second
		cfg.Faults = &Faults{BeforeAppend: func(string, uint64) error {
			if broken.Load() {
				return errors.New("lost")
			}
			return nil
		}}
	})
	ctx, log := context.Background(), openLog(t, f, "l")
	a, results := collect(t, log, AppenderConfig{})
	a.Append(ctx, 0, []byte("0"))
	if r := <-results; r.Err != nil {
		t.Fatal(r.Err)
	}
	broken.Store(true)
	a.Append(ctx, 1, []byte("1"))
	if r := <-results; !errors.Is(r.Err, ErrUnknown) {
		t.Fatalf("got %+v, want ErrUnknown", r)
	}
	checkAll(t, log, 1, 1)
}
