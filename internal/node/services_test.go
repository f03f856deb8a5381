package node_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

func TestServicesOverHTTP(t *testing.T) {
	n := start(t, config(t.TempDir()))
	conn, err := nats.Connect("nats://" + n.Addrs().NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := micro.AddService(conn, micro.Config{Name: "upper", Version: "0.1.0", Metadata: map[string]string{"node": "here"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]micro.HandlerFunc{
		"text": func(r micro.Request) {
			h := r.Headers()
			r.Respond(bytes.ToUpper(r.Data()), micro.WithHeaders(micro.Headers{"Content-Type": {"text/plain"}, "Saw": {h.Get("X-Mine") + "|" + h.Get("Authorization") + "|" + h.Get("Cookie")},
				"Set-Cookie": {"a=b"}, "Access-Control-Allow-Origin": {"*"}}))
		},
		"fails":   func(r micro.Request) { r.Error("7", "not today", []byte("more")) },
		"silence": func(micro.Request) {},
		"bytes":   func(r micro.Request) { r.Respond(r.Data()) },
	} {
		if err := s.AddEndpoint(name, h, micro.WithEndpointSubject("upper."+name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	post := func(path, body string) (*http.Response, string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+n.Addrs().HTTP+path, strings.NewReader(body))
		req.Header.Set("X-Mine", "m")
		req.Header.Set("Cookie", "secret=1")
		req.SetBasicAuth("u", "secret")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(answer)
	}
	resp, answer := post("/v1/services/upper/text", "hello")
	h := resp.Header
	if resp.StatusCode != 200 || answer != "HELLO" || h.Get("Content-Type") != "text/plain" || h.Get("Saw") != "m||" || h.Get("Set-Cookie") != "" || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("call: %d %q %v", resp.StatusCode, answer, h)
	}
	large := strings.Repeat("x", 1<<20)
	if resp, answer := post("/v1/services/upper/bytes", large); resp.StatusCode != 200 || answer != large {
		t.Errorf("large call: %d, %d bytes", resp.StatusCode, len(answer))
	}
	for _, x := range []struct {
		path, body string
		status     int
		code, says string
	}{
		{"/v1/services/upper/fails", "", 502, "38000", `"service_code":"7"`},
		{"/v1/services/upper/fails", "", 502, "38000", "not today"},
		{"/v1/services/upper/silence?timeout_ms=50", "", 504, "08007", "50ms"},
		{"/v1/services/upper/none", "", 404, "42704", "silence"},
		{"/v1/services/none", "", 404, "42704", "no service"},
		{"/v1/services/upper", "", 400, "22023", "several endpoints"},
		{"/v1/services/upper/text?timeout_ms=0", "", 400, "22023", "timeout"},
		{"/v1/services/upper/text?timeout_ms=60001", "", 400, "22023", "timeout"},
		{"/v1/services/upper/text", large + "x", 413, "54000", "larger"},
	} {
		if resp, answer := post(x.path, x.body); resp.StatusCode != x.status || !strings.Contains(answer, `"code":"`+x.code+`"`) || !strings.Contains(answer, x.says) {
			t.Errorf("%s: %d %s, want %d %s %s", x.path, resp.StatusCode, answer, x.status, x.code, x.says)
		}
	}
	rows := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); { // what is remembered may be a second old
		rows = query(t, n, `SELECT name, version, endpoint, subject, node, requests, errors, average_ms >= 0, started <= now() FROM tidemill.services ORDER BY endpoint`)
		if strings.Count(rows, "|1|1|") == 0 && strings.Contains(rows, "|2|2|") {
			break
		}
	}
	want := "upper|0.1.0|bytes|upper.bytes|here|1|0|t|t\nupper|0.1.0|fails|upper.fails|here|2|2|t|t\nupper|0.1.0|silence|upper.silence|here|1|0|t|t\nupper|0.1.0|text|upper.text|here|1|0|t|t"
	if rows != want {
		t.Errorf("tidemill.services:\n%s\nwant\n%s", rows, want)
	}
	status, list := ask(t, n, "GET", "/v1/services", "")
	if first := fmt.Sprint(list["services"].([]any)[0]); status != 200 || len(list["services"].([]any)) != 4 || !strings.Contains(first, "endpoint:bytes") {
		t.Errorf("list: %d %v", status, list)
	}
}
