package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestAppendIsFenced(t *testing.T) {
	log := openLog(t, start(t), "l")
	if last := mustAppend(t, log, 0, "a"); last != 1 {
		t.Fatalf("first append: last %d", last)
	}
	if last := mustAppend(t, log, 1, "b", "c", "d"); last != 4 {
		t.Fatalf("batch: last %d", last)
	}
	for _, recs := range [][][]byte{records("x"), records("x", "y")} {
		for _, expect := range []uint64{0, 3, 5} {
			_, err := log.Append(context.Background(), recs, expect)
			var wrong *WrongSequenceError
			if !errors.Is(err, ErrWrongSequence) || !errors.As(err, &wrong) || wrong.Last != 4 || wrong.Expected != expect {
				t.Errorf("%d records after %d: got %v, want ErrWrongSequence with last 4", len(recs), expect, err)
			}
			if errors.Is(err, ErrUnknown) {
				t.Errorf("a refusal is not an unknown outcome: %v", err)
			}
		}
	}
	if got := contents(t, log); got != "1:a 2:b 3:c 4:d" {
		t.Errorf("log has %q", got)
	}
}

func TestZombieIsRefused(t *testing.T) {
	f := start(t)
	zombie, heir := openLog(t, f, "l"), openLog(t, f, "l")
	last := mustAppend(t, zombie, 0, "epoch 1")
	mustAppend(t, heir, last, "epoch 2")
	if _, err := zombie.Append(context.Background(), records("step", "step"), last); !errors.Is(err, ErrWrongSequence) {
		t.Fatalf("got %v, want ErrWrongSequence", err)
	}
	if got := contents(t, heir); got != "1:epoch 1 2:epoch 2" {
		t.Errorf("log has %q", got)
	}
}

func TestOneOfManyWritersWinsEachPosition(t *testing.T) {
	const writers, rounds = 4, 30
	f := start(t)
	type win struct {
		first uint64
		text  string
	}
	wins := make(chan win, writers*rounds)
	done := make(chan error, writers)
	for w := range writers {
		log := openLog(t, f, "l")
		go func() {
			expect := uint64(0)
			for i := range rounds {
				text := fmt.Sprintf("w%d-%d", w, i)
				last, err := log.Append(context.Background(), records(text, text), expect)
				var wrong *WrongSequenceError
				switch {
				case err == nil:
					wins <- win{last - 1, text}
					expect = last
				case errors.As(err, &wrong):
					expect = wrong.Last
				default:
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	close(wins)
	won := map[uint64]string{}
	for w := range wins {
		won[w.first] = w.text
	}
	count := 0
	err := openLog(t, f, "l").Read(context.Background(), 1, func(rec Record) error {
		first := rec.Seq - (rec.Seq+1)%2
		if won[first] != string(rec.Data) {
			t.Errorf("record %d is %q, acknowledged %q", rec.Seq, rec.Data, won[first])
		}
		count++
		return nil
	})
	if err != nil || count != 2*len(won) {
		t.Errorf("read %d records of %d batches, %v", count, len(won), err)
	}
}

func TestAppendLimits(t *testing.T) {
	ctx, log := context.Background(), openLog(t, start(t), "l")
	many := make([][]byte, MaxBatchRecords+1)
	for i := range many {
		many[i] = []byte{byte(i)}
	}
	if _, err := log.Append(ctx, many, 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d records: got %v", len(many), err)
	}
	if _, err := log.Append(ctx, nil, 0); err == nil {
		t.Error("no records: accepted")
	}
	if _, err := log.Append(ctx, [][]byte{make([]byte, MaxRecordBytes+1)}, 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long record: got %v", err)
	}
	if _, err := log.Append(ctx, nine(make([]byte, MaxRecordBytes)), 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long batch: got %v", err)
	}
	if first, last, err := log.Bounds(ctx); first != 1 || last != 0 || err != nil {
		t.Errorf("bounds %d %d %v", first, last, err)
	}
	if last, err := log.Append(ctx, many[1:], 0); last != MaxBatchRecords || err != nil {
		t.Errorf("%d records: %d, %v", MaxBatchRecords, last, err)
	}
	big := make([]byte, MaxRecordBytes)
	rand.New(rand.NewSource(1)).Read(big)
	if last, err := log.Append(ctx, [][]byte{big, {}, big}, MaxBatchRecords); last != MaxBatchRecords+3 || err != nil {
		t.Fatalf("big records: %d, %v", last, err)
	}
	rec, err := log.Get(ctx, MaxBatchRecords+3)
	if err != nil || !bytes.Equal(rec.Data, big) {
		t.Errorf("big record came back with %d bytes, %v", len(rec.Data), err)
	}
	count := 0
	err = log.Read(ctx, MaxBatchRecords+1, func(rec Record) error {
		if want := [][]byte{big, {}, big}[count]; !bytes.Equal(rec.Data, want) {
			t.Errorf("record %d has %d bytes, want %d", rec.Seq, len(rec.Data), len(want))
		}
		count++
		return nil
	})
	if err != nil || count != 3 {
		t.Errorf("read %d big records, %v", count, err)
	}
}

func nine(rec []byte) [][]byte {
	recs := make([][]byte, 9)
	for i := range recs {
		recs[i] = rec
	}
	return recs
}

func TestReopenKeepsAll(t *testing.T) {
	dir := t.TempDir()
	f := startIn(t, dir, nil)
	mustAppend(t, openLog(t, f, "LOG_tide.mill/ü"), 0, "a", "b")
	f.Close(context.Background())
	f = startIn(t, dir, nil)
	names, err := f.LogNames(context.Background())
	if err != nil || len(names) != 1 || names[0] != "LOG_tide.mill/ü" {
		t.Errorf("logs %q, %v", names, err)
	}
	log := openLog(t, f, "LOG_tide.mill/ü")
	mustAppend(t, log, 2, "c")
	if got := contents(t, log); got != "1:a 2:b 3:c" {
		t.Errorf("log has %q", got)
	}
}

func TestDamagedLogIsNotReplacedByAnEmptyOne(t *testing.T) {
	dir := t.TempDir()
	f := startIn(t, dir, nil)
	mustAppend(t, openLog(t, f, "l"), 0, "a")
	meta := f.internalStreamDir("TM_l") + "/meta.inf"
	f.Close(context.Background())
	if err := os.Truncate(meta, 10); err != nil {
		t.Fatal(err)
	}
	f = startIn(t, dir, nil)
	if _, err := f.OpenLog(context.Background(), "l", LogConfig{}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v, want ErrDamaged", err)
	}
}

// TestLogThatWasBeingMade has the process die while the server makes a stream, at each
// moment between its directory and its settings: the log is made then.
func TestLogThatWasBeingMade(t *testing.T) {
	for name, die := range map[string]func(dir string) error{
		"no settings": func(dir string) error { return errors.Join(os.Remove(dir+"/meta.inf"), os.Remove(dir+"/meta.sum")) },
		"empty settings": func(dir string) error {
			return errors.Join(os.Truncate(dir+"/meta.inf", 0), os.Remove(dir+"/meta.sum"))
		},
		"no checksum":      func(dir string) error { return os.Remove(dir + "/meta.sum") },
		"only a directory": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := startIn(t, dir, nil)
			openLog(t, f, "l")
			stream := f.internalStreamDir("TM_l")
			f.Close(context.Background())
			if err := die(stream); err != nil {
				t.Fatal(err)
			}
			f = startIn(t, dir, nil)
			log := openLog(t, f, "l")
			mustAppend(t, log, 0, "a")
			if got := contents(t, log); got != "1:a" {
				t.Errorf("log has %q", got)
			}
		})
	}
	dir := t.TempDir()
	f := startIn(t, dir, nil)
	mustAppend(t, openLog(t, f, "l"), 0, "a")
	meta := f.internalStreamDir("TM_l") + "/meta.inf"
	f.Close(context.Background())
	if err := os.Remove(meta); err != nil {
		t.Fatal(err)
	}
	f = startIn(t, dir, nil)
	if _, err := f.OpenLog(context.Background(), "l", LogConfig{}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a log that had a record and has no settings: %v, want ErrDamaged", err)
	}
}

func TestTrimKeepsThePlace(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	f := startIn(t, dir, nil)
	log := openLog(t, f, "l")
	mustAppend(t, log, 0, "a", "b", "c", "d")
	if err := log.Trim(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, log); got != "3:c 4:d" {
		t.Errorf("log has %q", got)
	}
	if _, err := log.Get(ctx, 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("trimmed record: got %v, want ErrNotFound", err)
	}
	if err := log.Trim(ctx, 100); err != nil {
		t.Fatal(err)
	}
	f.Close(ctx)
	log = openLog(t, startIn(t, dir, nil), "l")
	if first, last, err := log.Bounds(ctx); first != 4 || last != 4 || err != nil {
		t.Errorf("bounds %d %d %v, want 4 4", first, last, err)
	}
	mustAppend(t, log, 4, "e")
	if got := contents(t, log); got != "4:d 5:e" {
		t.Errorf("log has %q", got)
	}
}

func TestNoSpaceIsRefusedAndNothingDropped(t *testing.T) {
	ctx, f := context.Background(), start(t)
	log, err := f.OpenLog(ctx, "l", LogConfig{MaxBytes: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log, 0, "a")
	if _, err := log.Append(ctx, [][]byte{make([]byte, 20_000)}, 1); !errors.Is(err, ErrNoSpace) {
		t.Errorf("one: got %v, want ErrNoSpace", err)
	}
	if _, err := log.Append(ctx, [][]byte{make([]byte, 6000), make([]byte, 6000)}, 1); !errors.Is(err, ErrNoSpace) {
		t.Errorf("batch: got %v, want ErrNoSpace", err)
	}
	if got := contents(t, log); got != "1:a" {
		t.Errorf("log has %q", got)
	}
	if log, err = f.OpenLog(ctx, "l", LogConfig{MaxBytes: 5_000}); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(ctx, [][]byte{make([]byte, 7000)}, 1); err != nil {
		t.Errorf("opening with a lower bound weakened the log: %v", err)
	}
	if log, err = f.OpenLog(ctx, "l", LogConfig{}); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(ctx, [][]byte{make([]byte, 20_000)}, 2); err != nil {
		t.Errorf("after raising the bound: %v", err)
	}
}

func TestTailFollows(t *testing.T) {
	f := start(t)
	log := openLog(t, f, "l")
	mustAppend(t, log, 0, "a", "b")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	got := make(chan Record, 10)
	done := make(chan error, 1)
	enough := errors.New("enough")
	go func() {
		done <- log.Tail(ctx, 2, func(rec Record) error {
			got <- rec
			if string(rec.Data) == "end" {
				return enough
			}
			return nil
		})
	}()
	if rec := <-got; rec.Seq != 2 || string(rec.Data) != "b" {
		t.Errorf("got %d %q", rec.Seq, rec.Data)
	}
	mustAppend(t, log, 2, "c")
	if rec := <-got; rec.Seq != 3 || time.Since(rec.Time) > time.Minute {
		t.Errorf("got %d %q %v", rec.Seq, rec.Data, rec.Time)
	}
	mustAppend(t, log, 3, "end")
	if err := <-done; !errors.Is(err, enough) {
		t.Errorf("tail: %v", err)
	}
}

func TestHoleIsSeen(t *testing.T) {
	ctx := context.Background()
	for _, gone := range []uint64{3, 5} {
		t.Run(fmt.Sprint(gone), func(t *testing.T) {
			f := start(t)
			log := openBreakable(t, f, "l")
			mustAppend(t, log, 0, "a", "b", "c", "d", "e")
			if err := log.handle.DeleteMsg(ctx, gone); err != nil {
				t.Fatal(err)
			}
			var seen uint64
			err := log.Read(ctx, 1, func(rec Record) error { seen = rec.Seq; return nil })
			var hole *HoleError
			if !errors.Is(err, ErrHole) || !errors.As(err, &hole) || hole.Want != gone || hole.Got != gone+1 {
				t.Errorf("got %v, want a hole at %d", err, gone)
			}
			if seen != gone-1 {
				t.Errorf("saw up to %d", seen)
			}
		})
	}
}

func TestReaderOvertakenByTrim(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	log := openLog(t, start(t), "l")
	recs := make([][]byte, 1000)
	for i := range recs {
		recs[i] = []byte{1}
	}
	last, err := log.Append(ctx, recs, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := log.Reader(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	if _, err := r.Next(ctx); err != nil {
		t.Fatal(err)
	}
	if err := log.Trim(ctx, last); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		var rec Record
		if rec, err = r.Next(ctx); err == nil && rec.Seq == last {
			t.Fatal("read to the end over a gap")
		}
	}
	if !errors.Is(err, ErrTrimmed) || errors.Is(err, ErrHole) {
		t.Errorf("got %v, want ErrTrimmed", err)
	}
}

func TestDelete(t *testing.T) {
	ctx, f := context.Background(), start(t)
	log := openLog(t, f, "l")
	mustAppend(t, log, 0, "a")
	if err := log.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	if err := log.Delete(ctx); !errors.Is(err, ErrNotFound) {
		t.Errorf("second delete: %v", err)
	}
	if _, err := log.Append(ctx, records("b"), 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("append to a deleted log: %v", err)
	}
	if last := mustAppend(t, openLog(t, f, "l"), 0, "new"); last != 1 {
		t.Errorf("new log starts at %d", last)
	}
}

// openBreakable opens a log whose records can be deleted one by one, as a damaged block loses them.
func openBreakable(t *testing.T, f *Fabric, name string) *Log {
	t.Helper()
	_, err := f.js.CreateStream(context.Background(), jetstream.StreamConfig{
		Name: streamPrefix + name, Subjects: []string{subjectPrefix + name, subjectPrefix + name + ".*"},
		AllowAtomicPublish: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return openLog(t, f, name)
}

func TestUnknownOutcomes(t *testing.T) {
	lost := errors.New("lost")
	var before, after bool
	f := startIn(t, t.TempDir(), func(cfg *Config) {
		cfg.Faults = &Faults{
			BeforeAppend: func(string, uint64) error {
				if before {
					return lost
				}
				return nil
			},
			AfterAppend: func(string, uint64) error {
				if after {
					return lost
				}
				return nil
			},
		}
	})
	ctx, log := context.Background(), openLog(t, f, "l")
	mustAppend(t, log, 0, "a")
	before = true
	if _, err := log.Append(ctx, records("b", "c"), 1); !errors.Is(err, ErrUnknown) || !errors.Is(err, lost) {
		t.Fatalf("lost on the way there: %v", err)
	}
	before, after = false, true
	if got := contents(t, log); got != "1:a" {
		t.Fatalf("log has %q", got)
	}
	if _, err := log.Append(ctx, records("b", "c"), 1); !errors.Is(err, ErrUnknown) {
		t.Fatalf("lost on the way back: %v", err)
	}
	after = false
	// The rule: resend the same with the same expected sequence; if refused, what is there decides.
	if _, err := log.Append(ctx, records("b", "c"), 1); !errors.Is(err, ErrWrongSequence) {
		t.Fatalf("resend: %v", err)
	}
	if got := contents(t, log); got != "1:a 2:b 3:c" {
		t.Fatalf("log has %q", got)
	}
}
