package fabric

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// cutConnection has the server drop our connection, as a network does.
func cutConnection(t *testing.T, f *Fabric) {
	t.Helper()
	id, err := f.internal.GetClientID()
	if err != nil {
		return // it is being made anew
	}
	if err := f.server().DisconnectClientByID(id); err != nil {
		t.Logf("disconnect %d: %v", id, err) // gone already
	}
}

// The connection breaks again and again: an appender and a reader come through, with every record once and in order.
func TestConnectionBreaksAreSurvived(t *testing.T) {
	const n = 1500
	ctx, f := within(t), start(t)
	log := openLog(t, f, "l")
	read := make(chan error, 1)
	enough := errors.New("enough")
	go func() {
		i := 0
		read <- log.Tail(ctx, 1, func(rec Record) error {
			if string(rec.Data) != fmt.Sprint(i) || rec.Seq != uint64(i+1) {
				return fmt.Errorf("record %d is %q", rec.Seq, rec.Data)
			}
			if i++; i == n {
				return enough
			}
			return nil
		})
	}()
	a, results := collect(t, log, AppenderConfig{Window: 32})
	for i := range n {
		if err := a.Append(ctx, uint64(i), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if i%300 == 150 {
			cutConnection(t, f)
		}
	}
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if r := <-results; r.Err != nil || r.Seq != uint64(i+1) {
			t.Fatalf("result %d: %+v", i, r)
		}
	}
	checkAll(t, log, 1, n)
	if err := <-read; !errors.Is(err, enough) {
		t.Errorf("tail: %v", err)
	}
}

// The server stops under a writer: what was acknowledged is there, and what is unknown is there whole or not at all.
func TestServerStopsUnderWriter(t *testing.T) {
	for round := range 4 {
		dir := t.TempDir()
		f := startIn(t, dir, func(cfg *Config) { cfg.RequestTimeout = 500 * time.Millisecond })
		ctx, log := within(t), openLog(t, f, "l")
		acked := make(chan uint64, 100_000)
		ended := make(chan error, 1)
		go func() {
			for last := uint64(0); ; {
				next, err := log.Append(ctx, records("a", "b", "c"), last)
				if err != nil {
					ended <- err
					return
				}
				last = next
				acked <- last
			}
		}()
		last := uint64(0)
		for range 20 + round*7 {
			last = <-acked
		}
		f.server().Shutdown()
		if err := <-ended; !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrUnavailable) {
			t.Errorf("round %d: %v", round, err)
		}
		close(acked)
		for more := range acked {
			last = more
		}
		f.Close(ctx)
		log = openLog(t, startIn(t, dir, nil), "l")
		_, end, err := log.Bounds(ctx)
		if err != nil || end != last && end != last+3 {
			t.Errorf("round %d: acknowledged %d, log ends at %d, %v", round, last, end, err)
		}
		mustAppend(t, log, end, "next")
	}
}
