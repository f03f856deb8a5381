package httpapi_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// follow opens an event stream and returns a function that reads its next event.
func follow(t *testing.T, ctx context.Context, url string) func() string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return followRequest(t, req)
}

func followRequest(t *testing.T, req *http.Request) func() string {
	t.Helper()
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
	if want := `SUBSCRIBE "Sales""x"."per day" WITH (PROGRESS = true)`; e.text != want {
		t.Errorf("%s, want %s", e.text, want)
	}
	want := func(event string) {
		t.Helper()
		if got := next(); got != event {
			t.Errorf("got %q\nwant %q", got, event)
		}
	}
	// The rows there were, in two blocks.
	e.feed <- fed{rows: [][]types.Value{change(7, 1, 1, "a"), change(7, 2, 2, "line\nbreak")}}
	want("id: 7.1s\ndata: {\"step\":7,\"weight\":1,\"row\":{\"i\":1,\"t\\\"x\":\"a\"}}")
	want("id: 7.2s\ndata: {\"step\":7,\"weight\":2,\"row\":{\"i\":2,\"t\\\"x\":\"line\\nbreak\"}}")
	e.feed <- fed{rows: [][]types.Value{change(7, 1, 3, "c"), over(7), change(9, 1, 3, "b")}}
	e.feed <- fed{rows: [][]types.Value{change(9, -1, 3, "c")}}
	want("id: 7\ndata: {\"step\":7,\"weight\":1,\"row\":{\"i\":3,\"t\\\"x\":\"c\"}}")
	want("id: 9.1\ndata: {\"step\":9,\"weight\":1,\"row\":{\"i\":3,\"t\\\"x\":\"b\"}}")
	want("id: 9.2\ndata: {\"step\":9,\"weight\":-1,\"row\":{\"i\":3,\"t\\\"x\":\"c\"}}")
	e.feed <- fed{rows: [][]types.Value{over(9), over(10)}} // 10 changed nothing
	want("id: 9")
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
		e.feed <- fed{rows: [][]types.Value{change(step, 1, 1, "a"), over(step)}}
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

// TestSubscribeTellsHowFarItIs lets steps pass that change nothing: a client that asked
// for it is told of each, another one now and then.
func TestSubscribeTellsHowFarItIs(t *testing.T) {
	e := &fakeEngine{feed: make(chan fed)}
	url := start(t, e, func(c *httpapi.Config) { c.KeepAlive = time.Millisecond })
	next := follow(t, t.Context(), url+"/v1/subscribe/v?snapshot=false")
	e.feed <- fed{rows: [][]types.Value{over(5)}}
	got := next()
	for got == ": keep-alive" {
		got = next()
	}
	if got != "id: 5" {
		t.Errorf("got %q", got)
	}
	if got := next(); got != ": keep-alive" {
		t.Errorf("got %q", got)
	}
	close(e.feed)
	e2 := &fakeEngine{feed: make(chan fed)}
	next = follow(t, t.Context(), start(t, e2, nil)+"/v1/subscribe/v?progress=true")
	e2.feed <- fed{rows: [][]types.Value{change(6, 1, 1, "a"), over(6), over(7)}}
	for _, want := range []string{"id: 6\ndata: {\"step\":6,\"weight\":1,\"row\":{\"i\":1,\"t\\\"x\":\"a\"}}",
		"id: 6\nevent: progress\ndata: {\"step\":6}", "id: 7\nevent: progress\ndata: {\"step\":7}"} {
		if got := next(); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

func TestSubscribeParameters(t *testing.T) {
	for _, x := range []struct{ query, lastID, want string }{
		{"", "", `SUBSCRIBE "v" WITH (PROGRESS = true)`},
		{"?as_of=5&up_to=9&snapshot=false", "", `SUBSCRIBE "v" WITH (PROGRESS = true, SNAPSHOT = false) AS OF 5 UP TO 9`},
		{"?as_of=5&progress=false&envelope=changes", "", `SUBSCRIBE "v" WITH (PROGRESS = true) AS OF 5`},
		{"?envelope=upsert&key=a,b%22c", "", `SUBSCRIBE "v" ENVELOPE UPSERT (KEY ("a", "b""c")) WITH (PROGRESS = true)`},
		{"?envelope=debezium&key=a", "", `SUBSCRIBE "v" ENVELOPE DEBEZIUM (KEY ("a")) WITH (PROGRESS = true)`},
		{"?as_of=5", "8", `SUBSCRIBE "v" WITH (PROGRESS = true, SNAPSHOT = false) AS OF 8`},
		{"?as_of=5", "8.2", `SUBSCRIBE "v" WITH (PROGRESS = true, SNAPSHOT = false) AS OF 7`},
		{"?snapshot=false", "8.2s", `SUBSCRIBE "v" WITH (PROGRESS = true) AS OF 8`},
		{"?as_of=x", "", ""}, {"?as_of=-1", "", ""}, {"?up_to=", "", ""}, {"?snapshot=2", "", ""}, {"?speed=1", "", ""},
		{"?as_of=1&as_of=2", "", ""}, {"?envelope=upsert", "", ""}, {"?key=a", "", ""}, {"?envelope=avro&key=a", "", ""},
		{"", "x", ""}, {"", "8s", ""}, {"", "8.", ""}, {"", "8.-1", ""}, {"", "0.1", ""}, {"", "8.1x", ""},
	} {
		e := &fakeEngine{feed: make(chan fed)}
		close(e.feed)
		req, err := http.NewRequestWithContext(t.Context(), "GET", start(t, e, nil)+"/v1/subscribe/v"+x.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if x.lastID != "" {
			req.Header.Set("Last-Event-ID", x.lastID)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if status := map[bool]int{true: 200, false: 400}[x.want != ""]; resp.StatusCode != status || e.text != x.want || status == 400 && !strings.Contains(string(body), `"code":"22023"`) {
			t.Errorf("%s %s: %d %s %q", x.query, x.lastID, resp.StatusCode, body, e.text)
		}
	}
}

// TestSubscribeGoesOn leaves out what the client has of the first step.
func TestSubscribeGoesOn(t *testing.T) {
	e := &fakeEngine{feed: make(chan fed)}
	req, err := http.NewRequestWithContext(t.Context(), "GET", start(t, e, nil)+"/v1/subscribe/v", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "8.2")
	next := followRequest(t, req)
	e.feed <- fed{rows: [][]types.Value{over(7), change(8, 1, 1, "a"), change(8, 1, 2, "b")}}
	e.feed <- fed{rows: [][]types.Value{change(8, 1, 3, "c"), over(8)}}
	e.feed <- fed{rows: [][]types.Value{change(9, 1, 1, "d"), over(9)}}
	for _, want := range []string{"id: 8\ndata: {\"step\":8,\"weight\":1,\"row\":{\"i\":3,", "id: 9\ndata: {\"step\":9,\"weight\":1,\"row\":{\"i\":1,"} {
		if got := next(); !strings.HasPrefix(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

func TestSubscribeEnvelopes(t *testing.T) {
	text := types.T(types.Text)
	col := func(name string, ty types.Type) session.Column { return session.Column{Name: name, Type: ty} }
	step := []session.Column{col("step", types.T(types.Int8)), col("progressed", types.T(types.Bool)), col("state", text), col("id", types.T(types.Int8))}
	row := func(n int64, state string, id int64, rest ...string) []types.Value {
		out := []types.Value{types.IntValue(types.Int8, n), types.BoolValue(false), types.TextValue(state), types.IntValue(types.Int8, id)}
		for _, v := range rest {
			if v == "" {
				out = append(out, types.NullOf(text))
			} else {
				out = append(out, types.TextValue(v))
			}
		}
		return out
	}
	e := &fakeEngine{feed: make(chan fed), cols: append(slices.Clone(step), col("n", text))}
	next := follow(t, t.Context(), start(t, e, nil)+"/v1/subscribe/v?envelope=upsert&key=id")
	e.feed <- fed{rows: [][]types.Value{row(3, "upsert", 1, "a"), row(3, "delete", 2, ""), row(3, "key_violation", 3, "")}}
	for _, want := range []string{`{"step":3,"state":"upsert","key":{"id":1},"value":{"n":"a"}}`,
		`{"step":3,"state":"delete","key":{"id":2},"value":null}`, `{"step":3,"state":"key_violation","key":{"id":3},"value":null}`} {
		if _, got, _ := strings.Cut(next(), "\ndata: "); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	e = &fakeEngine{feed: make(chan fed), cols: append(slices.Clone(step), col("before_n", text), col("before_before_", text), col("after_n", text), col("after_before_", text))}
	next = follow(t, t.Context(), start(t, e, nil)+"/v1/subscribe/v?envelope=debezium&key=id")
	e.feed <- fed{rows: [][]types.Value{row(3, "insert", 1, "", "", "a", "b"), row(3, "upsert", 1, "a", "b", "c", ""), row(3, "delete", 2, "a", "b", "", "")}}
	e.feed <- fed{rows: [][]types.Value{row(3, "key_violation", 3, "", "", "", "")}}
	for _, want := range []string{`{"step":3,"state":"insert","key":{"id":1},"before":null,"after":{"n":"a","before_":"b"}}`,
		`{"step":3,"state":"upsert","key":{"id":1},"before":{"n":"a","before_":"b"},"after":{"n":"c","before_":null}}`,
		`{"step":3,"state":"delete","key":{"id":2},"before":{"n":"a","before_":"b"},"after":null}`,
		`{"step":3,"state":"key_violation","key":{"id":3},"before":null,"after":null}`} {
		if _, got, _ := strings.Cut(next(), "\ndata: "); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
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
