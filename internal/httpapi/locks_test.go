package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// fakeLocks has one lock, which is held until free is closed; err is what everything else gives.
type fakeLocks struct {
	free    chan struct{}
	waiting chan struct{} // a token for each that waits
	err     error
}

func (f *fakeLocks) AcquireLock(ctx context.Context, name, owner string, _, wait time.Duration) (session.Lock, bool, error) {
	held := session.Lock{Name: name, Owner: "holder", Token: 7}
	if wait == 0 {
		return held, false, nil
	}
	f.waiting <- struct{}{}
	select {
	case <-f.free:
		return session.Lock{Name: name, Owner: owner, Token: 8}, true, nil
	case <-ctx.Done():
		return session.Lock{}, false, ctx.Err()
	}
}

func (f *fakeLocks) RenewLock(_ context.Context, name string, _ int64, _ time.Duration) (session.Lock, bool, error) {
	return session.Lock{Name: name}, false, f.err
}

func (f *fakeLocks) ReleaseLock(_ context.Context, name string, _ int64) (session.Lock, bool, error) {
	return session.Lock{Name: name}, false, f.err
}

func (f *fakeLocks) GetLock(_ context.Context, name string) (session.Lock, bool, error) {
	return session.Lock{Name: name}, false, f.err
}

func (f *fakeLocks) Locks(context.Context) ([]session.Lock, error) { return nil, f.err }

func status(t *testing.T, method, url, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Those who wait for a lock hold up nobody but more of their kind.
func TestWaitsForLocksHoldUpNobody(t *testing.T) {
	const waits = 512
	f := &fakeLocks{free: make(chan struct{}), waiting: make(chan struct{}, 2*waits)}
	srv := httptest.NewServer(httpapi.New(httpapi.Config{Backend: &fakeEngine{}, Metrics: http.NotFoundHandler(), Locks: f}))
	defer srv.Close()
	const body = `{"owner": "o", "ttl_ms": 1000, "wait_ms": 60000}`
	got := make(chan int, waits)
	var all sync.WaitGroup
	for range waits {
		all.Go(func() { got <- status(t, "POST", srv.URL+"/v1/locks/l", body) })
		<-f.waiting
	}
	if s := status(t, "POST", srv.URL+"/v1/locks/l", body); s != http.StatusServiceUnavailable {
		t.Errorf("one more that waits: %d", s)
	}
	if s := status(t, "POST", srv.URL+"/v1/locks/l", `{"owner": "o", "ttl_ms": 1000}`); s != http.StatusConflict {
		t.Errorf("one that does not wait: %d", s)
	}
	if s := status(t, "GET", srv.URL+"/v1/locks", ""); s != http.StatusOK {
		t.Errorf("list: %d", s)
	}
	close(f.free)
	all.Wait()
	for range waits {
		if s := <-got; s != http.StatusOK {
			t.Fatalf("one that waited: %d", s)
		}
	}
}

func TestErrorsOfLocks(t *testing.T) {
	for code, want := range map[string]int{"08007": 503, "57P03": 503, "53000": 503, "22023": 400, "57P01": 503} {
		f := &fakeLocks{err: &types.Error{Code: code, Message: "m"}}
		srv := httptest.NewServer(httpapi.New(httpapi.Config{Backend: &fakeEngine{}, Metrics: http.NotFoundHandler(), Locks: f}))
		for _, x := range [][3]string{{"GET", "/v1/locks", ""}, {"GET", "/v1/locks/l", ""}, {"PUT", "/v1/locks/l", `{"token": 1, "ttl_ms": 1}`}, {"DELETE", "/v1/locks/l?token=1", ""}} {
			if s := status(t, x[0], srv.URL+x[1], x[2]); s != want {
				t.Errorf("%v with %s: %d, want %d", x, code, s, want)
			}
		}
		srv.Close()
	}
}

// fakeServices answers a call with what call gives.
type fakeServices struct {
	call func(ctx context.Context, c httpapi.ServiceCall) (map[string][]string, []byte, error)
}

func (f fakeServices) Services(context.Context) ([]httpapi.Service, error) { return nil, nil }

func (f fakeServices) Call(ctx context.Context, c httpapi.ServiceCall) (map[string][]string, []byte, error) {
	return f.call(ctx, c)
}

func TestErrorsOfServices(t *testing.T) {
	var err error
	f := fakeServices{func(ctx context.Context, c httpapi.ServiceCall) (map[string][]string, []byte, error) {
		if err == nil {
			<-ctx.Done()
			return nil, nil, ctx.Err()
		}
		return nil, nil, err
	}}
	srv := httptest.NewServer(httpapi.New(httpapi.Config{Backend: &fakeEngine{}, Metrics: http.NotFoundHandler(), Services: f}))
	defer srv.Close()
	for _, x := range []struct {
		err  error
		want int
	}{{nil, 504}, {&httpapi.ServiceError{Code: "1", Text: "t"}, 502}, {fmt.Errorf("%w: x", httpapi.ErrNoService), 404}, {&types.Error{Code: "22023"}, 400}, {&types.Error{Code: "57P03"}, 503}} {
		err = x.err
		if s := status(t, "POST", srv.URL+"/v1/services/s?timeout_ms=20", ""); s != x.want {
			t.Errorf("%v: %d, want %d", x.err, s, x.want)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/v1/services/s", nil)
	req.Header.Set("Tidemill-Timeout-Ms", "20")
	err = nil
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("the time in a header: %v %v", resp, err)
	}
}
