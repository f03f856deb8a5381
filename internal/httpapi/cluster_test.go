package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestClusterAndDrain(t *testing.T) {
	var asked []string
	a := New(Config{Metrics: http.NotFoundHandler(), Status: func() any { return map[string]any{"node": "a", "problems": []string{}} },
		Drain: func(_ context.Context, node string, drain bool) error {
			if node == "z" {
				return errors.New("node z is not known")
			}
			asked = append(asked, node)
			if !drain {
				asked = append(asked, "undo")
			}
			return nil
		}})
	a.cfg.Remove = func(_ context.Context, node string) error {
		if node != "gone" {
			return errors.New("node " + node + " is online")
		}
		return nil
	}
	for _, cs := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/v1/cluster", "", 200, `"node":"a"`},
		{"POST", "/v1/drain", "", 200, `"done":true`},
		{"POST", "/v1/drain", `{"node":"b","undo":true}`, 200, `"done":true`},
		{"POST", "/v1/drain", `{"node":"z"}`, 409, "node z is not known"},
		{"POST", "/v1/drain", `{`, 400, "which node to drain"},
		{"DELETE", "/v1/cluster/nodes/gone", "", 200, `"done":true`},
		{"DELETE", "/v1/cluster/nodes/b", "", 409, "node b is online"},
	} {
		w := httptest.NewRecorder()
		a.mux.ServeHTTP(w, httptest.NewRequest(cs.method, cs.path, strings.NewReader(cs.body)))
		if w.Code != cs.status || !strings.Contains(w.Body.String(), cs.answer) {
			t.Errorf("%s %s %s: %d %s", cs.method, cs.path, cs.body, w.Code, w.Body)
		}
	}
	if got := strings.Join(asked, " "); got != " b undo" {
		t.Errorf("asked %q", got)
	}
	alone := New(Config{Metrics: http.NotFoundHandler()})
	for _, path := range []string{"GET /v1/cluster", "POST /v1/drain", "DELETE /v1/cluster/nodes/b"} {
		method, p, _ := strings.Cut(path, " ")
		w := httptest.NewRecorder()
		alone.mux.ServeHTTP(w, httptest.NewRequest(method, p, nil))
		if w.Code != 404 {
			t.Errorf("%s on a node that is alone: %d", path, w.Code)
		}
	}
}
