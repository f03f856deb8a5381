package fabric

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// addService registers one by the library of NATS, as users' programs do.
func addService(t *testing.T, conn *nats.Conn, name string, metadata map[string]string, endpoints map[string]micro.HandlerFunc) micro.Service {
	t.Helper()
	s, err := micro.AddService(conn, micro.Config{Name: name, Version: "1.2.3", Metadata: metadata})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	for subject, h := range endpoints {
		endpoint := strings.NewReplacer(".", "-", "*", "any").Replace(subject)
		if err := s.AddEndpoint(endpoint, h, micro.WithEndpointSubject(subject)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServices(t *testing.T) {
	ctx, f := within(t), startListening(t)
	if list, err := f.Services(ctx); err != nil || len(list) != 0 {
		t.Fatalf("none: %v %v", list, err)
	}
	if _, err := f.CallService(ctx, ServiceCall{Name: "echo"}); !errors.Is(err, ErrNoService) {
		t.Errorf("call of none: %v", err)
	}
	conn, _ := client(t, f)
	var mu sync.Mutex
	by := map[string]int{}
	echo := func(who string) micro.HandlerFunc {
		return func(r micro.Request) {
			mu.Lock()
			by[who]++
			mu.Unlock()
			r.Respond(append([]byte("echo "), r.Data()...), micro.WithHeaders(micro.Headers{"Kind": {r.Headers().Get("Kind")}}))
		}
	}
	one := addService(t, conn, "echo", map[string]string{"node": "n1"}, map[string]micro.HandlerFunc{"echo": echo("one")})
	addService(t, conn, "echo", nil, map[string]micro.HandlerFunc{"echo": echo("two")})
	addService(t, conn, "many", nil, map[string]micro.HandlerFunc{
		"many.a":  func(r micro.Request) { r.Error("418", "no coffee here", nil) },
		"other.*": func(r micro.Request) { r.Respond([]byte(r.Subject())) },
		"silence": func(micro.Request) {},
	})
	for i := range 40 { // those that have just come are found, whatever was known before
		m, err := f.CallService(ctx, ServiceCall{Name: "echo", Header: Header{"Kind": {"k"}}, Data: fmt.Appendf(nil, "%d", i)})
		if err != nil || string(m.Data) != fmt.Sprintf("echo %d", i) || nats.Header(m.Header).Get("Kind") != "k" {
			t.Fatalf("call %d: %q %v %v", i, m.Data, m.Header, err)
		}
	}
	mu.Lock()
	if by["one"]+by["two"] != 40 || by["one"] == 0 || by["two"] == 0 {
		t.Errorf("calls by instance: %v", by)
	}
	mu.Unlock()
	var failed *ServiceError
	if _, err := f.CallService(ctx, ServiceCall{Name: "many", Endpoint: "many-a"}); !errors.As(err, &failed) || failed.Code != "418" || failed.Text != "no coffee here" {
		t.Errorf("error of a service: %v", err)
	}
	if m, err := f.CallService(ctx, ServiceCall{Name: "many", Endpoint: "other-any", Subject: "other.x"}); err != nil || string(m.Data) != "other.x" {
		t.Errorf("with a subject: %q %v", m.Data, err)
	}
	for _, call := range []ServiceCall{{Name: "many"}, {Name: "many", Endpoint: "other-any"}, {Name: "many", Endpoint: "other-any", Subject: "another"},
		{Name: "many", Endpoint: "other-any", Subject: "other.x.y"}, {Name: "many", Endpoint: "other-any", Subject: "other.>"}} {
		if _, err := f.CallService(ctx, call); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", call, err)
		}
	}
	if _, err := f.CallService(ctx, ServiceCall{Name: "many", Endpoint: "none"}); !errors.Is(err, ErrNoService) {
		t.Errorf("no such endpoint: %v", err)
	}
	if _, err := f.CallService(ctx, ServiceCall{Name: "echo", Data: make([]byte, MaxServiceBytes+1)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := f.CallService(short, ServiceCall{Name: "many", Endpoint: "silence"}); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	list, err := f.knownServices(ctx, time.Now())
	if err != nil || len(list) != 5 {
		t.Fatalf("list: %+v %v", list, err)
	}
	requests := int64(0)
	for _, s := range list[:2] {
		requests += s.Requests
		if s.Name != "echo" || s.Version != "1.2.3" || s.Subject != "echo" || s.Started.IsZero() || (s.Node == "n1") != (s.ID == one.Info().ID) {
			t.Errorf("%+v", s)
		}
	}
	if requests != 40 || list[2].Endpoint != "many-a" || list[2].Errors != 1 || list[2].Average < 0 {
		t.Errorf("%d requests; %+v", requests, list[2])
	}
	// A service that has gone is not called for what is remembered of it.
	for _, id := range []string{"gone"} {
		s := addService(t, conn, id, nil, map[string]micro.HandlerFunc{id: echo(id)})
		if _, err := f.CallService(ctx, ServiceCall{Name: id}); err != nil {
			t.Error(err)
		}
		s.Stop()
		conn.Flush()
		if _, err := f.CallService(ctx, ServiceCall{Name: id}); !errors.Is(err, ErrNoService) {
			t.Errorf("after it has stopped: %v", err)
		}
	}
}

// What others say on the subject of the protocol is left out unless it makes sense.
func TestServicesThatMakeNoSense(t *testing.T) {
	const good = `{"type": "io.nats.micro.v1.stats_response", "name": "s", "id": "1", "endpoints": [{"name": "e", "subject": "s"}]}`
	if got := servicesOf([]byte(good)); len(got) != 1 || got[0].Subject != "s" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "null", "[]", strings.Replace(good, "stats", "info", 1), strings.Replace(good, `"s"`, `""`, 1), strings.Replace(good, `"e"`, `"\u0000"`, 1),
		strings.Replace(good, `"1"`, `"`+strings.Repeat("x", 300)+`"`, 1)} {
		if got := servicesOf([]byte(bad)); len(got) != 0 {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}
