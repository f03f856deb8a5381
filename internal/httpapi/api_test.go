package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/types"
)

// start serves an API of e on loopback. When the test ends, every session and
// cursor must have been closed.
func start(t *testing.T, e *fakeEngine, edit func(*httpapi.Config)) string {
	t.Helper()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "tidemill_steps_total 3\n") })
	cfg := httpapi.Config{Backend: e, Metrics: metrics, User: "tidemill", Database: "tidemill", Version: "1.2.3"}
	if edit != nil {
		edit(&cfg)
	}
	s := httptest.NewUnstartedServer(nil)
	s.Config = httpapi.New(cfg).Server()
	s.Start()
	t.Cleanup(func() {
		s.Close() // waits for requests
		if sessions, cursors := e.open(); sessions != 0 || cursors != 0 {
			t.Errorf("%d sessions and %d cursors were left open", sessions, cursors)
		}
	})
	return s.URL
}

// do sends a request; headers are pairs.
func do(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, strings.TrimSuffix(string(answer), "\n")
}

const (
	jsonType = "application/json"
	lineType = "application/x-ndjson"
	notices  = `,"notices":[{"severity":"NOTICE","code":"00000","message":"counting"}]`
	columns  = `{"columns":[{"name":"i","type":"bigint"},{"name":"t\"x","type":"text"}],"rows":`
)

func TestSQL(t *testing.T) {
	e := &fakeEngine{}
	url := start(t, e, nil) + "/v1/sql"
	for _, c := range []struct {
		name, contentType, accept, body string
		status                          int
		answer, calls                   string
	}{
		{"a document", "text/plain", "", "SELECT 4", 200,
			`{"results":[` + columns + `[[0,""],[1,"x"],[2,null],[3,"xxx"]],"tag":"SELECT 4"}]` + notices + "}", "Begin, SELECT 4, End"},
		{"no rows", "text/plain", "", "SELECT 0", 200, `{"results":[` + columns + `[],"tag":"SELECT 0"}]` + notices + "}", "Begin, SELECT 0, End"},
		{"no columns, several statements", "", "", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", 200,
			`{"results":[{"tag":"INSERT 0 1"},{"tag":"INSERT 0 1"}]}`, "Begin, INSERT INTO t VALUES (1), INSERT INTO t VALUES (2), End"},
		{"nothing", "", "", " ; ", 200, `{"results":[]}`, "Begin, End"},
		{"lines", "text/plain", lineType, "SELECT 4", 200,
			`{"i":0,"t\"x":""}` + "\n" + `{"i":1,"t\"x":"x"}` + "\n" + `{"i":2,"t\"x":null}` + "\n" + `{"i":3,"t\"x":"xxx"}`, "Begin, SELECT 4, End"},
		{"no lines", "", lineType, "INSERT INTO t VALUES (1)", 200, "", "Begin, INSERT INTO t VALUES (1), End"},
		{"parameters", jsonType + "; charset=utf-8", "", `{"query":"SELECT $1, $2","params":[-7,"a\"\u00e4"]}`, 200,
			`{"results":[` + columns + `[[-7,"a\"ä"]],"tag":"SELECT 1"}]}`, "Begin, SELECT $1, $2, End"},
		{"null, and a number as text", jsonType, "", `{"query":"SELECT $1, $2","params":[null,2.50]}`, 200,
			`{"results":[` + columns + `[[null,"2.50"]],"tag":"SELECT 1"}]}`, "Begin, SELECT $1, $2, End"},
		{"a string as number", jsonType, "", `{"query":"SELECT $1, $2","params":["9007199254740993",true]}`, 200,
			`{"results":[` + columns + `[[9007199254740993,"true"]],"tag":"SELECT 1"}]}`, "Begin, SELECT $1, $2, End"},

		{"too few", jsonType, "", `{"query":"SELECT $1, $2","params":[1]}`, 400,
			`{"error":{"code":"42601","message":"wrong number of params","detail":"The statement has 2 parameters, the request 1 parameter."}}`, "Begin, Fail, End"},
		{"not a number", jsonType, "", `{"query":"SELECT $1, $2","params":["abc","x"]}`, 400,
			`{"error":{"code":"22P02","message":"invalid input syntax for type bigint: \"abc\"","detail":"It is the value of $1."}}`, "Begin, Fail, End"},
		{"params of two statements", jsonType, "", `{"query":"SELECT 1; SELECT 2","params":[1]}`, 400,
			`{"error":{"code":"42601","message":"params need exactly one statement"}}`, ""},
		{"syntax", "", "", "SELECT 1; SELEC", 400, `{"error":{"code":"42601","message":"syntax error at or near \"SELEC\"","position":11}}`, ""},
		{"an error of the statement", "", "", "INSERT INTO t VALUES (1); SHOW fail; INSERT INTO t VALUES (2)", 400,
			`{"error":{"code":"42703","message":"no such thing","hint":"try another","position":6}}`, "Begin, INSERT INTO t VALUES (1), SHOW fail, Fail, End"},
		{"an error after rows", "", "", "SHOW late", 400, `{"error":{"code":"22012","message":"division by zero"}}`, "Begin, SHOW late, Fail, End"},
		{"an error among lines", "", lineType, "SHOW late", 200,
			`{"i":0,"t\"x":""}` + "\n" + `{"i":1,"t\"x":"x"}` + "\n" + `{"i":2,"t\"x":null}` + "\n" + `{"error":{"code":"22012","message":"division by zero"}}`, "Begin, SHOW late, Fail, End"},
		{"an error before lines", "", lineType, "SHOW fail", 400,
			`{"error":{"code":"42703","message":"no such thing","hint":"try another","position":6}}`, "Begin, SHOW fail, Fail, End"},
		{"a block", "", "", "BEGIN; COMMIT", 200, `{"results":[{"tag":"BEGIN"},{"tag":"COMMIT"}]}`, "Begin, BEGIN, COMMIT, End"},
		{"a block left open", "", "", "BEGIN; INSERT INTO t VALUES (1)", 400,
			`{"error":{"code":"25000","message":"the request left a transaction block open; it was rolled back","hint":"End it with COMMIT, or leave BEGIN out: a request is one transaction."}}`,
			"Begin, BEGIN, INSERT INTO t VALUES (1), End"},
		{"COPY", "", "", "SELECT 1; COPY t TO STDOUT", 400,
			`{"error":{"code":"0A000","message":"COPY is not available over HTTP","hint":"Use the PostgreSQL protocol, or POST /v1/sources/NAME.","position":11}}`, ""},
		{"prepared SUBSCRIBE", "", "", "PREPARE p AS SUBSCRIBE v; EXECUTE p", 400,
			`{"error":{"code":"42601","message":"syntax error at or near \"SUBSCRIBE\"","position":14}}`, ""},
		{"SUBSCRIBE", "", "", "SUBSCRIBE v", 400,
			`{"error":{"code":"0A000","message":"SUBSCRIBE is not available in POST /v1/sql","hint":"Use GET /v1/subscribe/VIEW.","position":1}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, answer := do(t, "POST", url, c.body, "Content-Type", c.contentType, "Accept", c.accept)
			if resp.StatusCode != c.status || answer != c.answer {
				t.Errorf("got  %d %s\nwant %d %s", resp.StatusCode, answer, c.status, c.answer)
			}
			want := jsonType
			if c.accept == lineType && c.status == 200 {
				want = lineType
			}
			if got := resp.Header.Get("Content-Type"); got != want {
				t.Errorf("content type %q, want %q", got, want)
			}
			if calls := e.log(); calls != c.calls {
				t.Errorf("calls: %s\nwant:  %s", calls, c.calls)
			}
		})
	}
}

func TestSQLThatDoesNotCommit(t *testing.T) {
	e := &fakeEngine{commit: &types.Error{Code: types.CodeUnique, Message: "duplicate key"}}
	url := start(t, e, nil) + "/v1/sql"
	const fail = `{"error":{"code":"23505","message":"duplicate key"}}`
	if resp, answer := do(t, "POST", url, "INSERT INTO t VALUES (1)"); resp.StatusCode != 409 || answer != fail {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
	if resp, answer := do(t, "POST", url, "SELECT 1", "Accept", lineType); resp.StatusCode != 200 || !strings.HasSuffix(answer, "\n"+fail) {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
}

func TestSQLBodies(t *testing.T) {
	url := start(t, &fakeEngine{}, nil) + "/v1/sql"
	for _, c := range []struct {
		body, encoding string
		status         int
		want           string
	}{
		{`{"sql":"SELECT 1"}`, "", 400, `unknown field \"sql\"`},
		{`{"query":"SELECT 1"} {}`, "", 400, "there is more behind the object"},
		{`{"query":`, "", 400, "unexpected EOF"},
		{strings.Repeat(" ", httpapi.MaxSQLBytes+1), "", 413, `"54000"`},
		{"x", "gzip", 415, `Content-Encoding \"gzip\"`},
	} {
		resp, answer := do(t, "POST", url, c.body, "Content-Type", jsonType, "Content-Encoding", c.encoding)
		if resp.StatusCode != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%.40s: %d %s, want %d %s", c.body, resp.StatusCode, answer, c.status, c.want)
		}
	}
}

// A client that goes away ends its statement and its session.
func TestSQLEndsWithTheClient(t *testing.T) {
	e := &fakeEngine{entered: make(chan struct{}, 1)}
	url := start(t, e, nil) + "/v1/sql"
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader("SHOW hang"))
	ended := make(chan error, 1)
	go func() {
		_, err := http.DefaultClient.Do(req)
		ended <- err
	}()
	<-e.entered
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("client: %v", err)
	} // start's cleanup waits for the handler, and then counts
}

func TestTooManyRequests(t *testing.T) {
	const limit = 256
	e := &fakeEngine{entered: make(chan struct{}, limit)}
	url := start(t, e, nil) + "/v1/sql"
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, limit)
	client := &http.Client{Transport: &http.Transport{}}
	for range limit {
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader("SHOW hang"))
			_, err := client.Do(req)
			ended <- err
		}()
	}
	for range limit {
		<-e.entered
	}
	resp, answer := do(t, "POST", url, "SELECT 1")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(answer, "53300") {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, answer)
	}
	cancel()
	for range limit {
		<-ended
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	url := start(t, &fakeEngine{}, nil)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{nil, 200},
		{[]string{"Origin", url}, 200},
		{[]string{"Origin", "http://evil.example"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site"}, 403},
		{[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		{[]string{"Sec-Fetch-Site", "none"}, 200},
		{[]string{"Host", "localhost:" + port}, 200},
		{[]string{"Host", "LocalHost."}, 200},
		{[]string{"Host", "[::1]:" + port}, 200},
		// A name that was made to point at 127.0.0.1.
		{[]string{"Host", "evil.example:" + port, "Origin", "http://evil.example:" + port}, 403},
		{[]string{"Host", "evil.example"}, 403},
		{[]string{"Host", "127.0.0.1.evil.example"}, 403},
	} {
		if resp, answer := do(t, "POST", url+"/v1/sql", "INSERT INTO t VALUES (1)", c.headers...); resp.StatusCode != c.status {
			t.Errorf("%q: %d %s, want %d", c.headers, resp.StatusCode, answer, c.status)
		}
	}
	if resp, _ := do(t, "GET", url+"/v1/subscribe/v", "", "Host", "evil.example"); resp.StatusCode != 403 {
		t.Errorf("subscription under another name: %d", resp.StatusCode)
	}
	if resp, _ := do(t, "GET", url+"/livez", "", "Host", "evil.example"); resp.StatusCode != 200 {
		t.Errorf("livez under another name: %d", resp.StatusCode)
	}
}

func TestHealthAndIndex(t *testing.T) {
	e := &fakeEngine{}
	url := start(t, e, nil)
	for path, want := range map[string]string{"/livez": "ok", "/readyz": "ok", "/metrics": "tidemill_steps_total 3", "/": "tidemill 1.2.3"} {
		if resp, answer := do(t, "GET", url+path, ""); resp.StatusCode != 200 || !strings.HasPrefix(answer, want) {
			t.Errorf("GET %s: %d %s", path, resp.StatusCode, answer)
		}
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/nothing", 404}, {"GET", "/v1/sql", 405}, {"DELETE", "/v1/sources/x", 405}, {"POST", "/livez", 405}} {
		if resp, _ := do(t, c.method, url+c.path, ""); resp.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, resp.StatusCode, c.status)
		}
	}
	e.notReady = errors.New("the log is closed")
	if resp, answer := do(t, "GET", url+"/readyz", ""); resp.StatusCode != 503 || answer != "the log is closed" {
		t.Errorf("readyz: %d %s", resp.StatusCode, answer)
	}
	if resp, _ := do(t, "GET", url+"/livez", ""); resp.StatusCode != 200 {
		t.Errorf("livez of a node that is not ready: %d", resp.StatusCode)
	}
}

func TestSources(t *testing.T) {
	e := &fakeEngine{}
	e.ingest = func(_ context.Context, source string, body []byte, _ httpapi.RequestName) (httpapi.Ingested, error) {
		switch source {
		case "clicks":
			return httpapi.Ingested{Accepted: int64(strings.Count(string(body), "\n")), Quarantined: 1, Position: 9}, nil
		case "none":
			return httpapi.Ingested{}, &types.Error{Code: types.CodeUndefinedTable, Message: `source "none" does not exist`}
		case "broken":
			return httpapi.Ingested{}, fmt.Errorf("disk: %w", io.ErrShortWrite)
		}
		return httpapi.Ingested{}, &types.Error{Code: types.CodeWrongObject, Message: source + " is no http source"}
	}
	url := start(t, e, nil) + "/v1/sources/"
	for _, c := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"clicks", "{}\n{}\n", 200, `{"accepted":2,"quarantined":1,"position":9}`},
		{"none", "{}", 404, `{"error":{"code":"42P01","message":"source \"none\" does not exist"}}`},
		{"broken", "{}", 500, `{"error":{"code":"XX000","message":"disk: short write"}}`},
		{"s.a%20b", "{}", 400, `{"error":{"code":"42809","message":"s.a b is no http source"}}`},
		{"clicks", strings.Repeat("x", httpapi.MaxIngestBytes+1), 413, `{"error":{"code":"54000","message":"body is larger than 33554432 bytes","hint":"Send it in several requests."}}`},
	} {
		if resp, answer := do(t, "POST", url+c.name, c.body); resp.StatusCode != c.status || answer != c.answer {
			t.Errorf("%s: got %d %s\nwant %d %s", c.name, resp.StatusCode, answer, c.status, c.answer)
		}
	}
}
