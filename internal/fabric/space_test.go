package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// eventually waits until fn holds.
func eventually(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !fn(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happened: %s", what)
		}
	}
}

// TestRoom injects what the disk has free.
func TestRoom(t *testing.T) {
	var free atomic.Int64
	var silent atomic.Bool
	free.Store(2000)
	dir := t.TempDir()
	f, err := Start(t.Context(), Config{Dir: dir, ReserveBytes: 1600, FreeBytes: func(d string) (int64, error) {
		if d != dir {
			t.Errorf("asked about %s", d)
		}
		if silent.Load() {
			return 0, errors.New("no answer")
		}
		return free.Load(), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	if err := f.Room(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		free int64
		room bool
	}{{1600, true}, {1599, false}, {1600, false}, {1699, false}, {1700, true}, {1650, true}, {0, false}, {5000, true}} {
		free.Store(c.free)
		eventually(t, fmt.Sprintf("%d bytes are seen", c.free), func() bool { n, _, _ := f.space.look(0); return n == c.free })
		err := f.Room()
		if (err == nil) != c.room {
			t.Errorf("%d bytes: %v", c.free, err)
		}
		var full *NoSpaceError
		if !c.room && (!errors.Is(err, ErrNoSpace) || !errors.As(err, &full) || full.Dir != dir || full.FreeBytes != c.free || full.ReserveBytes != 1600 || full.Stopped) {
			t.Errorf("%d bytes: %+v", c.free, err)
		}
	}
	free.Store(0)
	eventually(t, "it is full", func() bool { return f.Room() != nil })
	silent.Store(true) // a file system that does not tell does not stop us
	eventually(t, "it does not tell", func() bool { return f.Room() == nil })
}

// TestStoreOpensAgain switches storing off below a log in use, as the server does when
// a write meets a full disk: it comes back by itself, with everything, when there is room.
func TestStoreOpensAgain(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 30)
	f, err := Start(t.Context(), Config{Dir: t.TempDir(), RequestTimeout: 300 * time.Millisecond, FreeBytes: func(string) (int64, error) { return free.Load(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	log, err := f.OpenLog(t.Context(), "l", LogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	rec := func(i uint64) [][]byte { return [][]byte{fmt.Appendf(nil, "record %d", i)} }
	for i := range uint64(10) {
		if _, err := log.Append(t.Context(), rec(i+1), i); err != nil {
			t.Fatal(err)
		}
	}
	tail, err := log.Reader(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Stop()
	for range 10 {
		if _, err := tail.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for round := range uint64(2) {
		last := 10 + round
		free.Store(1 << 20)
		eventually(t, "it is full", func() bool { return f.Room() != nil })
		if err := f.server().ShutdownJetStream(); err != nil {
			t.Fatal(err)
		}
		var full *NoSpaceError
		if err := f.Room(); !errors.As(err, &full) || !full.Stopped {
			t.Fatalf("%v", err)
		}
		if _, err := log.Append(t.Context(), rec(last+1), last); !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknown) {
			t.Fatalf("append to a store that is closed: %v", err)
		}
		free.Store(1 << 30)
		eventually(t, "the store is open again", func() bool { return f.Room() == nil })
		if err := f.Health(); err != nil {
			t.Fatal(err)
		}
		if got, err := log.Append(t.Context(), rec(last+1), last); err != nil || got != last+1 {
			t.Fatalf("%d, %v", got, err)
		}
	}
	n := uint64(0)
	if err := log.Read(t.Context(), 1, func(r Record) error {
		if n++; r.Seq != n || string(r.Data) != string(rec(n)[0]) {
			return fmt.Errorf("record %d: %d %s", n, r.Seq, r.Data)
		}
		return nil
	}); err != nil || n != 12 {
		t.Fatalf("%d records, %v", n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for want := uint64(11); want <= 12; want++ { // who was reading reads on
		if r, err := tail.Next(ctx); err != nil || r.Seq != want {
			t.Fatalf("record %d, %v; want %d", r.Seq, err, want)
		}
	}
}
