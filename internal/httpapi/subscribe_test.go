package httpapi_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/types"
)

// follow opens an event stream and returns a function that reads its next event.
func follow(t *testing.T, ctx context.Context, url string) func() string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	r := bufio.NewReader(resp.Body)
	return func() string {
		var event []string
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return strings.Join(append(event, err.Error()), "\n")
			}
			if line == "\n" {
				return strings.Join(event, "\n")
			}
			event = append(event, strings.TrimSuffix(line, "\n"))
		}
	}
}

func TestSubscribe(t *testing.T) {
	e := &fakeEngine{feed: make(chan fed)}
	url := start(t, e, nil)
	next := follow(t, t.Context(), url+`/v1/subscribe/Sales%22x.per%20day`)
	if want := `SUBSCRIBE "Sales""x"."per day"`; e.text != want {
		t.Errorf("%s, want %s", e.text, want)
	}
	e.feed <- fed{rows: [][]types.Value{change(7, 1, 1, "a"), change(7, -2, 2, "line\nbreak")}}
	if got, want := next(), "id: 7\ndata: {\"step\":7,\"weight\":1,\"row\":{\"i\":1,\"t\\\"x\":\"a\"}}"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got, want := next(), "id: 7\ndata: {\"step\":7,\"weight\":-2,\"row\":{\"i\":2,\"t\\\"x\":\"line\\nbreak\"}}"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	e.feed <- fed{rows: [][]types.Value{change(9, 1, 3, "b")}}
	if got := next(); !strings.HasPrefix(got, "id: 9\n") {
		t.Errorf("got %q", got)
	}
	e.feed <- fed{err: &types.Error{Code: types.CodeUndefinedTable, Message: "the view\nwas dropped", Hint: "make it again"}}
	if got, want := next(), "event: error\ndata: {\"code\":\"42P01\",\"message\":\"the view\\nwas dropped\",\"hint\":\"make it again\"}"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := next(); got != "EOF" {
		t.Errorf("after the error: %q", got)
	}
}

func TestSubscribeKeepsAlive(t *testing.T) {
	e := &fakeEngine{feed: make(chan fed)}
	url := start(t, e, func(c *httpapi.Config) { c.KeepAlive = time.Millisecond })
	next := follow(t, t.Context(), url+"/v1/subscribe/v")
	for step := range int64(20) {
		if got := next(); got != ": keep-alive" {
			t.Fatalf("got %q", got)
		}
		e.feed <- fed{rows: [][]types.Value{change(step, 1, 1, "a")}}
		got := next()
		for got == ": keep-alive" {
			got = next()
		}
		if !strings.Contains(got, `{"step":`+string(types.AppendInt(nil, step))+`,`) {
			t.Fatalf("step %d: got %q", step, got)
		}
	}
	// A cancelled subscription is not a quiet one.
	e.feed <- fed{err: &types.Error{Code: types.CodeInternal, Message: "stopped"}}
	got := next()
	for got == ": keep-alive" {
		got = next()
	}
	if !strings.HasPrefix(got, "event: error\n") {
		t.Errorf("got %q", got)
	}
}

func TestSubscribeEndsWithTheCursor(t *testing.T) {
	e := &fakeEngine{feed: make(chan fed)}
	next := follow(t, t.Context(), start(t, e, nil)+"/v1/subscribe/v")
	close(e.feed)
	if got := next(); got != "EOF" {
		t.Errorf("got %q", got)
	}
}

// A client that goes away closes its cursor and session: start's cleanup counts.
func TestSubscribeEndsWithTheClient(t *testing.T) {
	e := &fakeEngine{feed: make(chan fed)}
	ctx, cancel := context.WithCancel(t.Context())
	follow(t, ctx, start(t, e, nil)+"/v1/subscribe/v")
	cancel()
}

// A client that does not read does not hold up the end of the node.
func TestSubscribeOfAClientThatDoesNotRead(t *testing.T) {
	e := &fakeEngine{feed: make(chan fed)}
	srv := httpapi.New(httpapi.Config{Backend: e, Metrics: http.NotFoundHandler()}).Server()
	base, stop := context.WithCancel(t.Context())
	srv.BaseContext = func(net.Listener) context.Context { return base }
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /v1/subscribe/v HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	megabyte := fed{rows: [][]types.Value{change(1, 1, 1, strings.Repeat("x", 1<<20))}}
	for stuck := false; !stuck; {
		select {
		case e.feed <- megabyte:
		case <-time.After(300 * time.Millisecond): // all buffers on the way are full
			stuck = true
		}
	}
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	<-served
	if sessions, cursors := e.open(); sessions != 0 || cursors != 0 {
		t.Errorf("%d sessions and %d cursors were left open", sessions, cursors)
	}
}
