package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// refused runs a statement that must fail with that SQLSTATE.
func refused(t *testing.T, n *node.Node, text, code string) *types.Error {
	t.Helper()
	out, err := try(t.Context(), n, text)
	var te *types.Error
	if !errors.As(err, &te) || te.Code != code {
		t.Errorf("%s: got %q, %v, want %s", text, out, err, code)
		return &types.Error{}
	}
	return te
}

func TestLocksInSQL(t *testing.T) {
	n := start(t, config(t.TempDir()))
	token := query(t, n, `SELECT tidemill.acquire_lock('nightly', 'a', INTERVAL '1 min')`)
	if v, err := strconv.ParseInt(token, 10, 64); err != nil || v <= 0 {
		t.Fatalf("token %q", token)
	}
	if got := query(t, n, `SELECT tidemill.acquire_lock('nightly', 'b', INTERVAL '1 min')`); got != "NULL" && got != "" {
		t.Errorf("acquired twice: %q", got)
	}
	if got := query(t, n, `SELECT name, owner, token, expires > now() + INTERVAL '30 s', expires <= now() + INTERVAL '61 s' FROM tidemill.locks`); got != "nightly|a|"+token+"|t|t" {
		t.Errorf("tidemill.locks: %q", got)
	}
	if got := query(t, n, `SELECT tidemill.renew_lock('nightly', `+token+`, INTERVAL '1 day') AS renewed`); got != "t" {
		t.Errorf("renew: %q", got)
	}
	if got := query(t, n, `SELECT tidemill.renew_lock('nightly', `+token+` + 1, INTERVAL '10 s')`); got != "f" {
		t.Errorf("renew with another token: %q", got)
	}
	if got := query(t, n, `SELECT tidemill.release_lock('nightly', 1 + `+token+` - 1)`); got != "t" {
		t.Errorf("release: %q", got)
	}
	if got := query(t, n, `SELECT tidemill.release_lock('nightly', `+token+`)`); got != "f" {
		t.Errorf("release again: %q", got)
	}
	next := query(t, n, `PREPARE l AS SELECT tidemill.acquire_lock($1, $2, $3, INTERVAL '5 s'); EXECUTE l('nightly', 'b', INTERVAL '1 s')`)
	after := query(t, n, `SELECT tidemill.acquire_lock('nightly', 'c', INTERVAL '1 h', INTERVAL '1 min')`) // when it has expired
	v1, _ := strconv.ParseInt(token, 10, 64)
	v2, _ := strconv.ParseInt(next, 10, 64)
	v3, _ := strconv.ParseInt(after, 10, 64)
	if v2 <= v1 || v3 <= v2 {
		t.Errorf("tokens %s, %s, %s", token, next, after)
	}
	refused(t, n, `SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 ms')`, "22023")
	refused(t, n, `SELECT tidemill.acquire_lock('', 'a', INTERVAL '10 s')`, "22023")
	refused(t, n, `SELECT tidemill.acquire_lock('x', 'a', INTERVAL '1 month')`, "22023")
	refused(t, n, `SELECT tidemill.acquire_lock('x', 'a', INTERVAL '2000000000 days')`, "22023")
	refused(t, n, `SELECT tidemill.acquire_lock('x', 'a', -INTERVAL '10 s')`, "22023")
	refused(t, n, `SELECT tidemill.acquire_lock('x', NULL, INTERVAL '10 s')`, "22004")
	refused(t, n, `SELECT tidemill.acquire_lock('x', 'a')`, "42883")
	refused(t, n, `SELECT tidemill.release_lock('x', 'not a token')`, "22P02")
	for _, text := range []string{
		`SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s') + 1`,
		`SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s'), 1`,
		`SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s') FROM tidemill.locks`,
		`SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s') LIMIT 1`,
		`SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s') WHERE false`,
		`SELECT * FROM (SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s')) s`,
		`CREATE VIEW v AS SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s')`,
		`CREATE MATERIALIZED VIEW v AS SELECT tidemill.release_lock('x', 1)`,
		`EXPLAIN SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s')`,
		`EXPLAIN ANALYZE SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s')`,
		`BEGIN; DECLARE c CURSOR FOR SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s')`,
		`COPY (SELECT tidemill.acquire_lock('x', 'a', INTERVAL '10 s')) TO STDOUT`,
	} {
		if e := refused(t, n, text, "0A000"); e.Hint == "" {
			t.Errorf("%s: no hint", text)
		}
	}
	if got := query(t, n, `SELECT count(*) FROM tidemill.locks WHERE name = 'x'`); got != "0" {
		t.Errorf("a statement that was refused took a lock: %s", got)
	}
}

// A statement that waits for a lock ends when it is cancelled.
func TestLockWaitIsCancelled(t *testing.T) {
	n := start(t, config(t.TempDir()))
	query(t, n, `SELECT tidemill.acquire_lock('l', 'a', INTERVAL '1 h')`)
	began := time.Now()
	refused(t, n, `SET statement_timeout = 100; SELECT tidemill.acquire_lock('l', 'b', INTERVAL '1 h', INTERVAL '4 min')`, "57014")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Prepared statements have parameters.
func TestLockParameters(t *testing.T) {
	n := start(t, config(t.TempDir()))
	s, err := n.OpenSession(t.Context(), session.Options{User: node.User, Database: node.Database})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const text = `SELECT tidemill.acquire_lock($1, $2, $3)`
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.Prepare(t.Context(), text, stmts[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Params) != 3 || st.Params[0].Kind != types.Text || st.Params[1].Kind != types.Text || st.Params[2].Kind != types.Interval ||
		len(st.Columns) != 1 || st.Columns[0].Name != "acquire_lock" || st.Columns[0].Type.Kind != types.Int8 {
		t.Errorf("parameters %v, columns %v", st.Params, st.Columns)
	}
	args := []types.Value{types.TextValue("l"), types.TextValue("me"), {T: types.T(types.Interval), V: types.IntervalVal{Micros: 60e6}}}
	for i, null := range []bool{false, true} {
		cur, err := s.Execute(t.Context(), st, args)
		if err != nil {
			t.Fatal(err)
		}
		b, err := cur.Next(t.Context(), true)
		if err != nil || b.N != 1 || b.RowValues(0)[0].Null != null {
			t.Errorf("call %d: %v %v", i, b, err)
		}
		cur.Close()
	}
}

// ask sends a request to a node and returns its status and its answer.
func ask(t *testing.T, n *node.Node, method, path, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.Addrs().HTTP+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%s %s: %d %q", method, path, resp.StatusCode, text)
	}
	return resp.StatusCode, out
}

func codeOf(answer map[string]any) string {
	e, _ := answer["error"].(map[string]any)
	return fmt.Sprint(e["code"])
}

func TestLocksOverHTTP(t *testing.T) {
	n := start(t, config(t.TempDir()))
	status, a := ask(t, n, "POST", "/v1/locks/a%2Fb", `{"owner": "x", "ttl_ms": 60000}`)
	token := fmt.Sprint(a["token"])
	if status != 200 || a["owner"] != "x" || a["name"] != "a/b" {
		t.Fatalf("acquire: %d %v", status, a)
	}
	if expires, err := time.Parse(time.RFC3339, fmt.Sprint(a["expires"])); err != nil || time.Until(expires) > time.Minute || time.Until(expires) < 30*time.Second {
		t.Errorf("expires %v: %v", a["expires"], err)
	}
	status, a = ask(t, n, "POST", "/v1/locks/a%2Fb", `{"owner": "y", "ttl_ms": 60000, "wait_ms": 10}`)
	if status != 409 || a["owner"] != "x" || fmt.Sprint(a["token"]) != token || codeOf(a) != "55P03" {
		t.Errorf("acquire what is held: %d %v", status, a)
	}
	if status, a = ask(t, n, "GET", "/v1/locks/a%2Fb", ""); status != 200 || fmt.Sprint(a["token"]) != token {
		t.Errorf("get: %d %v", status, a)
	}
	if status, a = ask(t, n, "GET", "/v1/locks", ""); status != 200 || len(a["locks"].([]any)) != 1 {
		t.Errorf("list: %d %v", status, a)
	}
	if status, a = ask(t, n, "PUT", "/v1/locks/a%2Fb", `{"token": `+token+`, "ttl_ms": 120000}`); status != 200 || fmt.Sprint(a["token"]) != token {
		t.Errorf("renew: %d %v", status, a)
	}
	got := make(chan string, 1)
	go func() {
		_, a := ask(t, n, "POST", "/v1/locks/a%2Fb", `{"owner": "y", "ttl_ms": 60000, "wait_ms": 60000}`)
		got <- fmt.Sprint(a["token"])
	}()
	if status, a = ask(t, n, "DELETE", "/v1/locks/a%2Fb?token="+token, ""); status != 200 || a["released"] != true {
		t.Errorf("release: %d %v", status, a)
	}
	if next := <-got; next == token || next == "<nil>" {
		t.Errorf("token %s after %s", next, token)
	}
	if status, a = ask(t, n, "PUT", "/v1/locks/a%2Fb", `{"token": `+token+`, "ttl_ms": 60000}`); status != 409 || a["owner"] != "y" || codeOf(a) != "55P03" {
		t.Errorf("renew with an old token: %d %v", status, a)
	}
	if status, a = ask(t, n, "DELETE", "/v1/locks/a%2Fb?token="+token, ""); status != 409 || codeOf(a) != "55P03" {
		t.Errorf("release with an old token: %d %v", status, a)
	}
	if status, a = ask(t, n, "GET", "/v1/locks/none", ""); status != 404 {
		t.Errorf("get what is not there: %d %v", status, a)
	}
	for _, x := range [][3]string{{"POST", "/v1/locks/l", ""}, {"POST", "/v1/locks/l", `{"owner": "x"}`}, {"POST", "/v1/locks/l", `{"ttl_ms": 10000}`},
		{"POST", "/v1/locks/l", `{"owner": "x", "ttl": 10}`}, {"POST", "/v1/locks/l", `{"owner": "x", "ttl_ms": 10000} {}`},
		{"POST", "/v1/locks/l", `{"owner": "x", "ttl_ms": 9223372036854775807}`}, {"POST", "/v1/locks/l", `{"owner": "x", "ttl_ms": 10000, "wait_ms": -1}`},
		{"POST", "/v1/locks/" + strings.Repeat("x", 200), `{"owner": "x", "ttl_ms": 10000}`}, {"DELETE", "/v1/locks/l", ""}, {"DELETE", "/v1/locks/l?token=x", ""}} {
		if status, a = ask(t, n, x[0], x[1], x[2]); status != 400 || codeOf(a) != "22023" {
			t.Errorf("%v: %d %v", x, status, a)
		}
	}
}

func TestGroupsOverHTTP(t *testing.T) {
	n := start(t, config(t.TempDir()))
	status, a := ask(t, n, "PUT", "/v1/groups/workers/members/a", `{"ttl_ms": 60000, "data": {"addr": "10.0.0.1:80"}}`)
	if status != 200 || a["group"] != "workers" || a["name"] != "a" || fmt.Sprint(a["data"]) != "map[addr:10.0.0.1:80]" {
		t.Fatalf("join: %d %v", status, a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+n.Addrs().HTTP+"/v1/groups/workers/watch", nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("watch: %v %v", resp, err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		event := ""
		for lines.Scan() {
			line := lines.Text()
			if e, ok := strings.CutPrefix(line, "event: "); ok {
				event = e
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				var m struct {
					Name    string
					Members int
				}
				if err := json.Unmarshal([]byte(data), &m); err != nil {
					t.Fatal(err)
				}
				if got := strings.TrimSpace(fmt.Sprintf("%s %s", event, m.Name)); got != want {
					t.Fatalf("got %q %s, want %q", got, data, want)
				}
				return
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
	}
	next("joined a")
	next("ready")
	ask(t, n, "PUT", "/v1/groups/workers/members/b", `{"ttl_ms": 1000}`)
	next("joined b")
	next("left b") // was not heard of again
	ask(t, n, "PUT", "/v1/groups/workers/members/a", `{"ttl_ms": 60000, "data": 2}`)
	next("changed a")
	if got := query(t, n, `SELECT group_name, name, data, since <= now(), expires > now() FROM tidemill.members`); got != "workers|a|2|t|t" {
		t.Errorf("tidemill.members: %q", got)
	}
	if status, a = ask(t, n, "DELETE", "/v1/groups/workers/members/a", ""); status != 200 {
		t.Errorf("leave: %d %v", status, a)
	}
	next("left a")
	if status, a = ask(t, n, "DELETE", "/v1/groups/workers/members/a", ""); status != 404 {
		t.Errorf("leave again: %d %v", status, a)
	}
	if status, a = ask(t, n, "GET", "/v1/groups/workers", ""); status != 200 || len(a["members"].([]any)) != 0 {
		t.Errorf("list: %d %v", status, a)
	}
	if status, a = ask(t, n, "PUT", "/v1/groups/workers/members/a", `{"ttl_ms": 1}`); status != 400 {
		t.Errorf("a short time to live: %d %v", status, a)
	}
}
