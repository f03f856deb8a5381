package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func randomBytes(seed int64, n int) []byte {
	out := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(out)
	return out
}

func serve(t testing.TB, f *Fabric, subject string, h func(ctx context.Context, req []byte) ([]byte, error)) (stop func()) {
	t.Helper()
	stop, err := f.Serve(subject, h)
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

func echo(_ context.Context, req []byte) ([]byte, error) { return req, nil }

// Requests and answers of all sizes, in one message and in parts, come through unchanged.
func TestRequestSizes(t *testing.T) {
	f := start(t)
	serve(t, f, "echo", echo)
	for i, n := range []int{0, 1, 1000, rpcPartBytes, rpcPartBytes + 1, 3*rpcPartBytes + 17, 20 * rpcPartBytes, MaxRequestBytes} {
		req := randomBytes(int64(i), n)
		got, err := f.Request(within(t), "echo", req)
		if err != nil || !bytes.Equal(got, req) {
			t.Fatalf("%d bytes: got %d, %v", n, len(got), err)
		}
	}
	if _, err := f.Request(within(t), "echo", make([]byte, MaxRequestBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func TestRequestErrors(t *testing.T) {
	f := start(t)
	if _, err := f.Request(within(t), "nobody", []byte("x")); !errors.Is(err, ErrNoResponders) {
		t.Errorf("small, nobody: %v", err)
	}
	if _, err := f.Request(within(t), "nobody", make([]byte, 5<<20)); !errors.Is(err, ErrNoResponders) {
		t.Errorf("large, nobody: %v", err)
	}
	for _, subject := range []string{"", "a b", "a.*", ">", "a..b", ".a", "a.", strings.Repeat("a", 300)} {
		if _, err := f.Request(within(t), subject, nil); err == nil || errors.Is(err, ErrNoResponders) {
			t.Errorf("subject %q: %v", subject, err)
		}
		if _, err := f.Serve(subject, echo); err == nil {
			t.Errorf("served %q", subject)
		}
	}
	text := "ошибка 40001: " + strings.Repeat("long ", 1000)
	serve(t, f, "fails", func(context.Context, []byte) ([]byte, error) { return nil, errors.New(text) })
	_, err := f.Request(within(t), "fails", []byte("x"))
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Text != text || err.Error() != text {
		t.Errorf("remote error: %v", err)
	}
	serve(t, f, "huge", func(context.Context, []byte) ([]byte, error) { return make([]byte, MaxRequestBytes+1), nil })
	if _, err := f.Request(within(t), "huge", nil); !errors.As(err, &remote) {
		t.Errorf("answer that is too large: %v", err)
	}
	// A context that ends while it is worked on: the outcome is not known; whoever works is told.
	told, asked := make(chan error, 1), make(chan struct{})
	serve(t, f, "slow", func(ctx context.Context, _ []byte) ([]byte, error) {
		<-ctx.Done()
		told <- ctx.Err()
		<-asked
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.Request(ctx, "slow", nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("context ended: %v", err)
	}
	close(asked)
	if err := <-told; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("handler was told %v", err)
	}
	if _, err := f.Request(ctx, "slow", nil); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) {
		t.Errorf("context had ended: %v", err)
	}
}

// An answer that takes longer than silence may last comes, since the server says that it works; when it says nothing
// more, the outcome is not known.
func TestRequestThatTakesLong(t *testing.T) {
	f := start(t)
	f.rpc.alive, f.rpc.silence = 20*time.Millisecond, 200*time.Millisecond
	serve(t, f, "slow", func(ctx context.Context, req []byte) ([]byte, error) {
		pause(ctx, 2*f.rpc.silence)
		return req, ctx.Err()
	})
	if got, err := f.Request(within(t), "slow", []byte("x")); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
	silent := make(chan struct{})
	defer close(silent)
	if _, err := f.internal.Subscribe(rpcSubject+"dead", func(*nats.Msg) { <-silent }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Request(within(t), "dead", []byte("x")); !errors.Is(err, ErrUnknown) {
		t.Errorf("silence: %v", err)
	}
}

// More requests than may be served at once: all are answered, never more than allowed at the same time.
func TestServeIsBounded(t *testing.T) {
	f := start(t)
	var now, most atomic.Int64
	serve(t, f, "s", func(ctx context.Context, req []byte) ([]byte, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		pause(ctx, 5*time.Millisecond)
		return req, nil
	})
	var wg sync.WaitGroup
	ctx := within(t)
	for i := range 3 * MaxServing {
		wg.Go(func() {
			text := fmt.Sprint(i)
			if got, err := f.Request(ctx, "s", []byte(text)); err != nil || string(got) != text {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if most.Load() > MaxServing || most.Load() < 2 {
		t.Errorf("%d at once", most.Load())
	}
}

// stop ends handlers under way and waits for them; afterwards nobody serves.
func TestStopServing(t *testing.T) {
	f := start(t)
	began, ended := make(chan struct{}), atomic.Bool{}
	stop := serve(t, f, "s", func(ctx context.Context, req []byte) ([]byte, error) {
		close(began)
		<-ctx.Done()
		ended.Store(true)
		return nil, errors.New("stopped")
	})
	result := make(chan error, 1)
	go func() {
		_, err := f.Request(context.Background(), "s", nil)
		result <- err
	}()
	<-began
	stop()
	if !ended.Load() {
		t.Error("stop did not wait")
	}
	if err := <-result; err == nil || err.Error() != "stopped" {
		t.Errorf("%v", err)
	}
	if _, err := f.Request(within(t), "s", nil); !errors.Is(err, ErrNoResponders) {
		t.Errorf("%v", err)
	}
	serve(t, f, "s", func(ctx context.Context, req []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	go func() {
		_, err := f.Request(context.Background(), "s", nil)
		result <- err
	}()
	waitFor(t, "the request is served", func() bool { return len(result) == 0 })
	f.Close(context.Background())
	var remote *RemoteError
	if err := <-result; !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrClosed) && !errors.As(err, &remote) {
		t.Errorf("closed: %v", err)
	}
	if _, err := f.Request(context.Background(), "s", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// The connection breaks under requests: each gets its answer or says that it does not know.
func TestRequestsOverBrokenConnections(t *testing.T) {
	f := start(t)
	serve(t, f, "echo", echo)
	large := randomBytes(1, 3<<20)
	answered, lost := 0, 0
	for i := range 60 {
		if i%10 == 5 {
			go cutConnection(t, f)
		}
		req := large
		if i%2 == 0 {
			req = []byte(fmt.Sprint(i))
		}
		got, err := f.Request(within(t), "echo", req)
		switch {
		case err == nil && bytes.Equal(got, req):
			answered++
		case errors.Is(err, ErrUnknown), errors.Is(err, ErrUnavailable), errors.Is(err, ErrNoResponders):
			lost++
			waitFor(t, "the connection is back", f.internal.IsConnected)
		default:
			t.Fatalf("%d: %d bytes, %v", i, len(got), err)
		}
	}
	if answered < 20 {
		t.Errorf("%d answered, %d lost", answered, lost)
	}
	if f.rpc.receiving != 0 || len(f.rpc.inboxes) != 0 {
		waitFor(t, "what was lost is forgotten", func() bool {
			f.rpc.mu.Lock()
			defer f.rpc.mu.Unlock()
			return f.rpc.receiving == 0 && len(f.rpc.inboxes) == 0
		})
	}
}

func TestRequestsBetweenNodes(t *testing.T) {
	c := newCluster(t, 2)
	c.startAll()
	a, b := c.nodes[0], c.nodes[1]
	stop := serve(t, b, "node.b", func(_ context.Context, req []byte) ([]byte, error) { return append([]byte("b:"), req...), nil })
	waitFor(t, "a hears of it", func() bool {
		_, err := a.Request(within(t), "node.b", nil)
		return err == nil
	})
	req := randomBytes(1, 10<<20)
	got, err := a.Request(within(t), "node.b", req)
	if err != nil || !bytes.Equal(got[2:], req) || string(got[:2]) != "b:" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// Clients neither see nor reach it.
	heard := make(chan Msg, 10)
	if _, err := a.Subscribe(within(t), ">", 10, func(m Msg) { heard <- m }); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Request(within(t), "node.b", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if err := a.Publish("mark", nil, nil); err != nil {
		t.Fatal(err)
	}
	if m := <-heard; m.Subject != "mark" {
		t.Errorf("a client saw %q", m.Subject)
	}
	// Broadcasts reach all nodes, with the sender's name.
	type cast struct{ to, from, text string }
	casts := make(chan cast, 10)
	for i, f := range c.nodes {
		if _, err := f.Listen("news", func(from string, data []byte) { casts <- cast{nodeName(i), from, string(data)} }); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[cast]bool{}
	waitFor(t, "both heard of both", func() bool {
		a.Broadcast("news", []byte("1"))
		b.Broadcast("news", []byte("2"))
		for len(casts) > 0 {
			seen[<-casts] = true
		}
		return seen[cast{"a", "b", "2"}] && seen[cast{"b", "a", "1"}] && seen[cast{"a", "a", "1"}] && seen[cast{"b", "b", "2"}]
	})
	if len(seen) != 4 {
		t.Errorf("heard %v", seen)
	}
	stop()
	waitFor(t, "a hears that it has ended", func() bool {
		_, err := a.Request(within(t), "node.b", nil)
		return errors.Is(err, ErrNoResponders)
	})
}

// BenchmarkRequestBetweenNodes measures small requests and answers of 1 MB between two servers in one process.
func BenchmarkRequestBetweenNodes(b *testing.B) {
	c := newCluster(b, 2)
	c.startAll()
	mega := randomBytes(1, 1<<20)
	serve(b, c.nodes[1], "small", echo)
	serve(b, c.nodes[1], "mega", func(context.Context, []byte) ([]byte, error) { return mega, nil })
	ask := func(subject string, want int) {
		if got, err := c.nodes[0].Request(context.Background(), subject, []byte("x")); err != nil || len(got) != want {
			b.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	waitFor(b, "a hears of it", func() bool {
		_, err := c.nodes[0].Request(context.Background(), "mega", nil)
		return err == nil
	})
	b.Run("small", func(b *testing.B) {
		took := make([]time.Duration, 0, b.N)
		for b.Loop() {
			began := time.Now()
			ask("small", 1)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	})
	b.Run("mega", func(b *testing.B) {
		b.SetBytes(1 << 20)
		for b.Loop() {
			ask("mega", 1<<20)
		}
	})
	b.Run("mega4", func(b *testing.B) {
		b.SetBytes(1 << 20)
		b.SetParallelism(2)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				ask("mega", 1<<20)
			}
		})
	})
}
