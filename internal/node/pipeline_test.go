package node

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// TestStartingUp asks the doors of a node whose pipeline is on its way up.
func TestStartingUp(t *testing.T) {
	p := &pipeline{recovery: &engine.Recovery{}}
	_, err := p.OpenSession(t.Context(), session.Options{})
	var te *types.Error
	if !errors.As(err, &te) || te.Code != "57P03" || te.Message != "the database system is starting up" || !strings.Contains(te.Detail, "starting") {
		t.Errorf("%v", err)
	}
	api := httptest.NewServer(httpapi.New(httpapi.Config{Backend: backend{p}, Metrics: http.NotFoundHandler(), User: User, Database: Database}))
	defer api.Close()
	for _, cs := range []struct{ method, path, body, want string }{
		{"GET", "/readyz", "", `"phase":"starting"`},
		{"POST", "/v1/sql", "SELECT 1", "57P03"},
		{"POST", "/v1/sources/s", "{}", "57P03"},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), cs.method, api.URL+cs.path, strings.NewReader(cs.body))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), cs.want) {
			t.Errorf("%s: %d %s", cs.path, res.StatusCode, body)
		}
	}
}

func TestDefaultMemory(t *testing.T) {
	n := defaultMemory()
	if n < 16<<20 || n > 1<<50 {
		t.Errorf("half of what there is is %d bytes", n)
	}
	if m := machineMemory(); m > 0 && n > m/memoryShare {
		t.Errorf("%d bytes of %d", n, m)
	}
}
