package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/connector/conntest"
	"github.com/tidemill/tidemill/internal/fabric"
)

// TestSubjectTakesAMessageOnce publishes messages again that have an ID: those whose
// append failed, those whose acknowledgement was lost, and two of one ID at once.
func TestSubjectTakesAMessageOnce(t *testing.T) {
	ctx, f, conn, js := start(t)
	in, l := &conntest.Intake{}, &logs{}
	var refuse, lose atomic.Bool
	in.Before = func(connector.Block) error {
		if refuse.Load() {
			return errors.New("refused")
		}
		return nil
	}
	in.After = func() error {
		if lose.Load() {
			return fmt.Errorf("%w: the answer is lost", fabric.ErrUnknown)
		}
		return nil
	}
	s := source(t, config(f, l, map[string]string{"subject": "bids.>"}))
	var stop func() error
	again := func() { // as the engine does after an error
		stop, _ = run(ctx, func(ctx context.Context) error { return s.Run(ctx, in) })
		listening(ctx, t, conn, "bids.probe")
	}
	again()
	publish := func(id, body string) (*jetstream.PubAck, error) {
		return js.Publish(ctx, "bids.eu", []byte(body), jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
	}
	first, err := publish("m1", `{"a":1}`)
	if err != nil || first.Duplicate {
		t.Fatalf("%+v, %v", first, err)
	}
	for range 2 {
		if ack, err := publish("m1", `{"a":1}`); err != nil || !ack.Duplicate || ack.Sequence != first.Sequence {
			t.Fatalf("%+v, %v", ack, err)
		}
	}
	refuse.Store(true)
	if ack, err := publish("m2", `{"a":2}`); err == nil {
		t.Fatalf("it was not stored and acknowledged: %+v", ack)
	}
	stop()
	refuse.Store(false)
	again()
	lose.Store(true)
	if ack, err := publish("m2", `{"a":2}`); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Fatalf("its outcome is not known: %+v, %v", ack, err)
	}
	stop()
	lose.Store(false)
	again()
	if ack, err := publish("m2", `{"a":2}`); err != nil || !ack.Duplicate {
		t.Fatalf("%+v, %v", ack, err)
	}
	// Many at once, so that some share a block: bad ones, and ones without an ID, too.
	long := strings.Repeat("x", 300)
	var futures []jetstream.PubAckFuture
	for i := range 300 {
		m := &natsgo.Msg{Subject: "bids.eu", Data: fmt.Appendf(nil, `{"a":%d}`, 100+i/3), Header: natsgo.Header{}}
		switch {
		case i%30 == 0:
		case i/3%10 == 1:
			m.Data = fmt.Appendf(nil, `bad %d`, i/3)
			fallthrough
		default:
			m.Header.Set("Nats-Msg-Id", fmt.Sprint(long, i/3))
		}
		fut, err := js.PublishMsgAsync(m)
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, fut)
	}
	duplicates := 0
	for _, fut := range futures {
		select {
		case ack := <-fut.Ok():
			if ack.Duplicate {
				duplicates++
			}
		case err := <-fut.Err():
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatal("no acknowledgement")
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, row := range in.Rows() {
		count[strings.TrimSuffix(row, `|\N`)]++
	}
	for _, b := range in.Bad() {
		count[string(b.Data)]++
	}
	delete(count, "-1") // probes
	want := map[string]int{"1": 1, "2": 1}
	for i := range 100 {
		switch {
		case i%10 == 1:
			want[fmt.Sprint("bad ", i)] = 1
		case i%10 == 0:
			want[fmt.Sprint(100+i)] = 2 // one of the three has no ID
		default:
			want[fmt.Sprint(100+i)] = 1
		}
	}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", count, want)
	}
	if duplicates != 190 {
		t.Errorf("%d acknowledged as duplicates, want 190", duplicates)
	}
}
