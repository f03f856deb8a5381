package fabric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// client connects as any NATS client does, over TCP.
func client(t *testing.T, f *Fabric, opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	conn, err := nats.Connect("nats://"+f.Addr().String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, js
}

func startListening(t *testing.T) *Fabric {
	t.Helper()
	return startIn(t, t.TempDir(), func(cfg *Config) { cfg.Listen = "127.0.0.1:0" })
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestSubscribeGetsWhatClientsPublish(t *testing.T) {
	ctx, f := within(t), startListening(t)
	got := make(chan Msg, 10)
	sub, err := f.Subscribe(ctx, "bids.>", 100, func(m Msg) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := client(t, f)
	conn.PublishMsg(&nats.Msg{Subject: "bids.eu", Data: []byte("1"), Header: nats.Header{"Kind": {"a", "b"}}})
	conn.Publish("asks.eu", []byte("no"))
	conn.Publish("bids.us.east", []byte("2"))
	if m := <-got; m.Subject != "bids.eu" || string(m.Data) != "1" || m.Reply != "" || m.Header.Get("Kind") != "a" || len(m.Header["Kind"]) != 2 {
		t.Errorf("got %+v", m)
	}
	if m := <-got; m.Subject != "bids.us.east" || string(m.Data) != "2" {
		t.Errorf("got %+v", m)
	}
	echo, err := conn.SubscribeSync("out.>")
	if err != nil {
		t.Fatal(err)
	}
	conn.Flush()
	if err := f.Publish("out.x", Header{"K": {"v"}}, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if m, err := echo.NextMsgWithContext(ctx); err != nil || string(m.Data) != "hello" || m.Header.Get("K") != "v" {
		t.Errorf("client got %+v, %v", m, err)
	}
	if err := sub.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if sub.Dropped() != 0 {
		t.Errorf("dropped %d", sub.Dropped())
	}
}

func TestSubscribeQueueIsBounded(t *testing.T) {
	ctx, f := within(t), startListening(t)
	hold, entered := make(chan struct{}), make(chan struct{}, 100)
	sub, err := f.Subscribe(ctx, "s", 5, func(Msg) { entered <- struct{}{}; <-hold })
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := client(t, f)
	conn.Publish("s", nil)
	<-entered
	for range 50 {
		conn.Publish("s", nil)
	}
	for sub.Dropped() < 46 {
		if ctx.Err() != nil {
			t.Fatalf("dropped %d, want 46", sub.Dropped())
		}
		time.Sleep(time.Millisecond)
	}
	close(hold)
	if err := sub.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if got := len(entered); got != 4 {
		t.Errorf("%d more were handled, want 4", got)
	}
}

// A JetStream publisher cannot tell our answers from a stream's, though no stream takes the subject.
func TestJetStreamPublishIsAnsweredByUs(t *testing.T) {
	ctx, f := within(t), startListening(t)
	conn, js := client(t, f)
	if _, err := js.Publish(ctx, "orders.1", []byte("x")); !errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.Is(err, nats.ErrNoResponders) {
		t.Fatalf("nobody listens: %v", err)
	}
	seq := uint64(0)
	sub, err := f.Subscribe(ctx, "orders.*", 100, func(m Msg) {
		if string(m.Data) == "bad" {
			f.Respond(m, PubNak(400, 10999, "not a \"row\""))
			return
		}
		seq++
		f.Respond(m, PubAck("orders", seq))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop(ctx)
	for want := uint64(1); want <= 3; want++ {
		ack, err := js.Publish(ctx, "orders.1", []byte("row"))
		if err != nil || ack.Stream != "orders" || ack.Sequence != want {
			t.Fatalf("publish %d: %+v, %v", want, ack, err)
		}
	}
	_, err = js.Publish(ctx, "orders.1", []byte("bad"))
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != 10999 || api.Code != 400 || api.Description != `not a "row"` {
		t.Errorf("refusal: %v", err)
	}
	future, err := js.PublishAsync("orders.2", []byte("row"))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case ack := <-future.Ok():
		if ack.Sequence != 4 {
			t.Errorf("async: %+v", ack)
		}
	case err := <-future.Err():
		t.Errorf("async: %v", err)
	case <-ctx.Done():
		t.Error("async: no answer")
	}
	old, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if ack, err := old.Publish("orders.3", []byte("row")); err != nil || ack.Stream != "orders" || ack.Sequence != 5 {
		t.Errorf("older client library: %+v, %v", ack, err)
	}
}

func TestPubAckIsJSON(t *testing.T) {
	var ack jetstream.PubAck
	if err := json.Unmarshal(PubAck("a\"b\\", 1<<63), &ack); err != nil || ack.Stream != "a\"b\\" || ack.Sequence != 1<<63 {
		t.Errorf("%+v, %v", ack, err)
	}
}

func TestClientsCannotReachTheInternalAccount(t *testing.T) {
	ctx, f := within(t), startListening(t)
	log := openLog(t, f, "LOG_p")
	mustAppend(t, log, 0, "a")
	if _, err := f.PutBlob(ctx, "b", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	lease := acquire(t, f, "p", "me", time.Minute)
	conn, js := client(t, f)
	for _, stream := range []string{log.stream, leaseStream, "OBJ_" + blobBucket} {
		if err := js.DeleteStream(ctx, stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("delete %s: %v", stream, err)
		}
	}
	if _, err := js.Publish(ctx, log.subject, []byte("evil")); err == nil {
		t.Error("published into a log")
	}
	all, err := conn.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	conn.Flush()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: log.stream, Subjects: []string{"_tm.>"}}); err != nil {
		t.Errorf("names in the client account are free: %v", err)
	}
	if _, err := js.Publish(ctx, log.subject, []byte("evil")); err != nil {
		t.Error(err)
	}
	mustAppend(t, log, 1, "b")
	if got := contents(t, log); got != "1:a 2:b" {
		t.Errorf("log has %q", got)
	}
	if err := lease.Renew(ctx); err != nil {
		t.Error(err)
	}
	for {
		m, err := all.NextMsg(50 * time.Millisecond)
		if err != nil {
			break
		}
		if string(m.Data) == "a" || string(m.Data) == "b" {
			t.Errorf("a client overheard %q", m.Subject)
		}
	}
	for _, user := range []string{userInternal, userOwn, userAnonymous} {
		if c, err := nats.Connect("nats://"+f.Addr().String(), nats.UserInfo(user, "")); err == nil {
			c.Close()
			t.Errorf("connected as %s", user)
		}
	}
}

func TestClientUserAndPassword(t *testing.T) {
	f := startIn(t, t.TempDir(), func(cfg *Config) {
		cfg.Listen, cfg.User, cfg.Password = "127.0.0.1:0", "anna", "secret"
	})
	if c, err := nats.Connect("nats://" + f.Addr().String()); err == nil {
		c.Close()
		t.Error("connected without a user")
	}
	client(t, f, nats.UserInfo("anna", "secret"))
}

func TestExternalStream(t *testing.T) {
	ctx, f := within(t), startListening(t)
	_, js := client(t, f)
	if _, err := f.OpenExternal(ctx, "S"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no stream: %v", err)
	}
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: fmt.Sprintf("s.%d", i%2), Data: fmt.Append(nil, i), Header: nats.Header{"I": {fmt.Sprint(i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.DeleteMsg(ctx, 3); err != nil {
		t.Fatal(err)
	}
	ext, err := f.OpenExternal(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	if first, last, err := ext.Bounds(ctx); first != 1 || last != 6 || err != nil || ext.Created().IsZero() {
		t.Errorf("bounds %d %d %v", first, last, err)
	}
	read := func(from uint64, filter string, n int) string {
		cur, err := ext.Cursor(ctx, from, filter)
		if err != nil {
			t.Fatal(err)
		}
		defer cur.Stop()
		var words []string
		for range n {
			rec, err := cur.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			words = append(words, fmt.Sprintf("%d:%s:%s:%s", rec.Seq, rec.Subject, rec.Data, rec.Header.Get("I")))
		}
		return strings.Join(words, " ")
	}
	if got := read(2, "", 4); got != "2:s.1:1:1 4:s.1:3:3 5:s.0:4:4 6:s.1:5:5" {
		t.Errorf("read %q", got)
	}
	if got := read(1, "s.0", 2); got != "1:s.0:0:0 5:s.0:4:4" {
		t.Errorf("filtered: %q", got)
	}
	if rec, err := ext.LastFor(ctx, "s.0"); err != nil || rec.Seq != 5 {
		t.Errorf("last of s.0: %+v, %v", rec, err)
	}
	if _, err := ext.LastFor(ctx, "s.9"); !errors.Is(err, ErrNotFound) {
		t.Errorf("last of s.9: %v", err)
	}
}

func TestPublishDurable(t *testing.T) {
	ctx, f := within(t), startListening(t)
	_, js := client(t, f)
	if _, err := f.PublishDurable(ctx, "o.x", nil, []byte("1"), DurableOptions{}); !errors.Is(err, ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "O", Subjects: []string{"o.>"}}); err != nil {
		t.Fatal(err)
	}
	zero, one := uint64(0), uint64(1)
	pub, err := f.PublishDurable(ctx, "o.x", Header{"Step": {"7"}}, []byte("1"), DurableOptions{ExpectLast: &zero, ExpectStream: "O"})
	if err != nil || pub != (DurablePub{"O", 1}) {
		t.Fatalf("%+v, %v", pub, err)
	}
	var wrong *WrongSequenceError
	if _, err := f.PublishDurable(ctx, "o.x", nil, []byte("1"), DurableOptions{ExpectLast: &zero}); !errors.As(err, &wrong) || wrong.Last != 1 {
		t.Errorf("again: %v", err)
	}
	if _, err := f.PublishDurable(ctx, "o.y", nil, []byte("2"), DurableOptions{ExpectLastSubject: &one}); !errors.Is(err, ErrWrongSequence) {
		t.Errorf("wrong subject sequence: %v", err)
	}
	if pub, err := f.PublishDurable(ctx, "o.y", nil, []byte("2"), DurableOptions{ExpectLastSubject: &zero}); err != nil || pub.Seq != 2 {
		t.Errorf("%+v, %v", pub, err)
	}
	ext, err := f.OpenExternal(ctx, "O")
	if err != nil {
		t.Fatal(err)
	}
	if rec, err := ext.LastFor(ctx, "o.x"); err != nil || rec.Header.Get("Step") != "7" || string(rec.Data) != "1" {
		t.Errorf("%+v, %v", rec, err)
	}
}
