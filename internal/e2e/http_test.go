package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// post sends a request and returns the status and the answer.
func (n *node) post(t testing.TB, path, contentType, accept, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(deadline(t), http.MethodPost, "http://"+n.HTTP+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if accept != "" {
		req.Header.Set("Accept", accept)
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
	return resp.StatusCode, strings.TrimSpace(string(answer))
}

func (n *node) get(t testing.TB, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, "http://"+n.HTTP+path, nil)
	if err != nil {
		t.Fatal(err)
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
	return resp.StatusCode, string(answer)
}

const ndjson = "application/x-ndjson"

func TestHTTPSQL(t *testing.T) {
	n := dev(t, t.TempDir())
	for _, c := range []struct {
		contentType, accept, body string
		status                    int
		answer                    string
	}{
		{"text/plain", "", "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT, n NUMERIC)", 200, `{"results":[{"tag":"CREATE TABLE"}]}`},
		{"application/json", "", `{"query": "INSERT INTO t VALUES ($1, $2, $3), (2, NULL, 0.10)", "params": [1, "a\"b", 9007199254740993.5]}`, 200, `{"results":[{"tag":"INSERT 0 2"}]}`},
		{"application/json", "", `{"query": "SELECT * FROM t WHERE id >= $1 ORDER BY id", "params": [1]}`, 200,
			`{"results":[{"columns":[{"name":"id","type":"bigint"},{"name":"v","type":"text"},{"name":"n","type":"numeric"}],"rows":[[1,"a\"b",9007199254740993.5],[2,null,0.10]],"tag":"SELECT 2"}]}`},
		{"text/plain", ndjson, "SELECT id, v FROM t ORDER BY id", 200, `{"id":1,"v":"a\"b"}` + "\n" + `{"id":2,"v":null}`},
		{"text/plain", "", "SELECT 1 AS a; SELECT 2 AS b", 200,
			`{"results":[{"columns":[{"name":"a","type":"integer"}],"rows":[[1]],"tag":"SELECT 1"},{"columns":[{"name":"b","type":"integer"}],"rows":[[2]],"tag":"SELECT 1"}]}`},
		{"text/plain", "", "SELECT * FROM nowhere", 404, `{"error":{"code":"42P01","message":"relation \"nowhere\" does not exist","position":15}}`},
		{"text/plain", "", "SELEC", 400, `{"error":{"code":"42601","message":"syntax error at or near \"SELEC\"","position":1}}`},
		{"text/plain", "", "INSERT INTO t VALUES (3); INSERT INTO t VALUES (1)", 409,
			`{"error":{"code":"23505","message":"duplicate key value violates unique constraint \"t_pkey\"","detail":"Key (id)=(1) already exists."}}`},
		{"text/plain", "", "SELECT count(*) FROM t", 200, `{"results":[{"columns":[{"name":"count","type":"bigint"}],"rows":[[2]],"tag":"SELECT 1"}]}`},
	} {
		status, answer := n.post(t, "/v1/sql", c.contentType, c.accept, c.body)
		if status != c.status || answer != c.answer {
			t.Errorf("POST /v1/sql %s\ngot  %d %s\nwant %d %s", c.body, status, answer, c.status, c.answer)
		}
	}
	if status, answer := n.post(t, "/v1/sql", "application/json", "", `{"sql": 1}`); status != 400 || !strings.Contains(answer, `"hint"`) {
		t.Errorf("an unknown member: %d %s", status, answer)
	}
	if status, answer := n.post(t, "/v1/sql", "text/plain", "", "SELECT '"+strings.Repeat("x", 9<<20)+"'"); status != 413 || !strings.Contains(answer, "54000") {
		t.Errorf("9 MB of SQL: %d %.200s", status, answer)
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+n.HTTP+"/v1/sql", strings.NewReader("SELECT 1"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "http://elsewhere.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a request of another site: %s", resp.Status)
	}
}

func TestHTTPSourceAndEvents(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	exe(t, c, `CREATE SOURCE s (id BIGINT, at TIMESTAMP, v NUMERIC NOT NULL) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`,
		`CREATE MATERIALIZED VIEW m AS SELECT date_trunc('hour', at) AS hour, sum(v) AS v, count(*) AS n FROM s GROUP BY 1`)

	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP+"/v1/subscribe/m", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" {
		t.Fatalf("subscribe: %s %s", resp.Status, ct)
	}
	events := bufio.NewScanner(resp.Body)
	event := func() (weight int, row string) {
		t.Helper()
		id := ""
		for events.Scan() {
			if v, ok := strings.CutPrefix(events.Text(), "id: "); ok {
				id = v
			}
			data, ok := strings.CutPrefix(events.Text(), "data: ")
			if !ok {
				continue
			}
			var e struct {
				Step   int64
				Weight int
				Row    json.RawMessage
			}
			if err := json.Unmarshal([]byte(data), &e); err != nil || strconv.FormatInt(e.Step, 10) != strings.Split(id, ".")[0] {
				t.Fatalf("event %q with id %q: %v", data, id, err)
			}
			return e.Weight, string(e.Row)
		}
		t.Fatalf("the stream of events ended: %v", events.Err())
		return 0, ""
	}
	post := func(body, wanted string) {
		t.Helper()
		if status, answer := n.post(t, "/v1/sources/s", ndjson, "", body); status != 200 || !strings.HasPrefix(answer, wanted) {
			t.Fatalf("POST %s\ngot  %d %s\nwant %s", body, status, answer, wanted)
		}
	}
	post(`{"id":1,"at":"2001-02-03 04:05:06","v":1.5}`+"\n"+`{"id":2,"at":"2001-02-03T04:59:00Z","v":"2.25","more":[1,2]}`, `{"accepted":2,"quarantined":0,"position":1}`)
	if w, row := event(); w != 1 || row != `{"hour":"2001-02-03T04:00:00","v":3.75,"n":2}` && row != `{"hour":"2001-02-03 04:00:00","v":3.75,"n":2}` {
		t.Errorf("first event: %d %s", w, row)
	}
	post(`[{"id":3,"at":"2001-02-03 04:00:00","v":-3.75}, {"id":4,"at":null,"v":7}]`, `{"accepted":2,"quarantined":0`)
	var got []string
	for range 3 {
		w, row := event()
		got = append(got, fmt.Sprint(w, regexp.MustCompile(`"hour":("[^"]*"|null),`).ReplaceAllString(row, "")))
	}
	if s := strings.Join(sorted(got), " "); s != `-1{"v":3.75,"n":2} 1{"v":0.00,"n":3} 1{"v":7,"n":1}` {
		t.Errorf("events: %s", s)
	}

	// Bad records go to quarantine, their neighbours stay.
	post(`{"id":5,"at":"2001-02-04","v":1}`+"\nnot json\n"+`{"id":"x","v":1}`+"\n"+`{"id":6}`+"\n"+`{"id":7,"at":"2001-02-04","v":2}`, `{"accepted":2,"quarantined":3`)
	eventually(t, c, "SELECT n, v FROM m WHERE hour = '2001-02-04'", "2|3")
	q := rows(t, c, "SELECT source, reason, convert_from(data, 'UTF8') FROM tidemill.quarantine ORDER BY position")
	for i, parts := range [][]string{{"s|", "|not json"}, {"s|", "id", `|{"id":"x","v":1}`}, {"s|", "v", `|{"id":6}`}} {
		for _, p := range parts {
			if i >= len(q) || !strings.Contains(q[i], p) {
				t.Errorf("quarantine, row %d: %q without %q", i, q, p)
			}
		}
	}

	for _, x := range []struct {
		path, body string
		status     int
		code       string
	}{
		{"/v1/sources/nowhere", `{"id":1}`, 404, "42P01"},
		{"/v1/sources/m", `{"id":1}`, 400, "42809"},
		{"/v1/sources/s", "", 400, ""},
		{"/v1/sources/s", strings.Repeat(" ", 33<<20), 413, "54000"},
	} {
		if status, answer := n.post(t, x.path, ndjson, "", x.body); status != x.status || !strings.Contains(answer, `"code":"`+x.code) {
			t.Errorf("POST %s: %d %s, want %d %s", x.path, status, answer, x.status, x.code)
		}
	}
	if status, answer := n.get(t, "/v1/subscribe/nowhere"); status != 404 || !strings.Contains(answer, "42P01") {
		t.Errorf("subscribe to nothing: %d %s", status, answer)
	}

	// A source survives a restart, quarantine and all.
	before := rows(t, c, "SELECT * FROM m ORDER BY hour")
	cancel()
	n.term(t)
	n = dev(t, n.dir)
	c = n.connect(t)
	want(t, c, "SELECT * FROM m ORDER BY hour", before...)
	want(t, c, "SELECT count(*) FROM tidemill.quarantine", "3")
}

func TestHTTPHealthAndMetrics(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	exe(t, c, "CREATE TABLE t (id BIGINT PRIMARY KEY)", "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t",
		"CREATE SOURCE s (id BIGINT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON", "INSERT INTO t VALUES (1), (2), (3)")
	if status, answer := n.post(t, "/v1/sources/s", ndjson, "", `{"id":1}`); status != 200 {
		t.Fatal(status, answer)
	}
	exe(t, c, "FLUSH")
	for _, path := range []string{"/livez", "/readyz"} {
		if status, answer := n.get(t, path); status != 200 || answer != "ok\n" {
			t.Errorf("%s: %d %q", path, status, answer)
		}
	}
	_, text := n.get(t, "/metrics")
	metric := func(name string) float64 {
		m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
		if m == nil {
			t.Errorf("metric %s is missing", name)
			return 0
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Error(err)
		}
		return v
	}
	for name, least := range map[string]float64{
		"tidemill_rows_in_total": 4, "tidemill_rows_out_total": 1, "tidemill_step_seconds_count": 1, "tidemill_step_seconds_sum": 1e-6,
		"tidemill_log_append_seconds_count": 1, `tidemill_state_bytes{relation="public.m"}`: 1, `tidemill_relation_rows{relation="public.t"}`: 3,
		"tidemill_sql_connections": 1, "process_resident_memory_bytes": 1,
	} {
		if v := metric(name); v < least {
			t.Errorf("%s is %g, at least %g is wanted", name, v, least)
		}
	}
	if v := metric(`tidemill_source_lag_rows{source="public.s"}`); v != 0 {
		t.Errorf("lag after FLUSH: %g", v)
	}
}

func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	n := dev(t, t.TempDir())
	exe(t, n.connect(t), "CREATE SOURCE clicks (at TIMESTAMP, page TEXT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON",
		"CREATE MATERIALIZED VIEW per_minute AS SELECT window_start, page, count(*) AS clicks FROM TUMBLE(clicks, at, INTERVAL '1 minute') GROUP BY window_start, page")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(deadline(t), curl, append([]string{"-sS"}, args...)...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("curl %v: %v\n%s", args, err, &errs)
		}
		return strings.TrimSpace(string(out))
	}
	// As in the quickstart: curl's own content type is a form's.
	if out := run("-d", `{"at":"2001-02-03 04:05:06","page":"/"}`, "http://"+n.HTTP+"/v1/sources/clicks"); !strings.HasPrefix(out, `{"accepted":1,"quarantined":0`) {
		t.Errorf("curl -d: %s", out)
	}
	run("http://" + n.HTTP + "/readyz")
	if out := run("-d", "FLUSH; SELECT window_start, page, clicks FROM per_minute", "-H", "Accept: application/x-ndjson", "http://"+n.HTTP+"/v1/sql"); !strings.Contains(out, `"page":"/","clicks":1}`) {
		t.Errorf("curl of SQL: %s", out)
	}
	cmd := exec.CommandContext(deadline(t), curl, "-sSN", "http://"+n.HTTP+"/v1/subscribe/per_minute")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(pipe)
	for s.Scan() && !strings.HasPrefix(s.Text(), "data: ") {
	}
	if !strings.Contains(s.Text(), `"weight":1`) {
		t.Errorf("curl -N: %q", s.Text())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
