package httpapi_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/types"
)

// TestRequestNames checks how requests are named, and what a name that is none is answered.
func TestRequestNames(t *testing.T) {
	e := &fakeEngine{}
	var got httpapi.RequestName
	e.ingest = func(_ context.Context, _ string, _ []byte, name httpapi.RequestName) (httpapi.Ingested, error) {
		got = name
		return httpapi.Ingested{Accepted: 1}, nil
	}
	url := start(t, e, nil) + "/v1/sources/clicks"
	long := strings.Repeat("k", 255)
	for _, c := range []struct {
		headers string // name=value;...
		want    string // the name, or what the error says
	}{
		{"", "{  0}"},
		{`Idempotency-Key="8e03978e"`, "{8e03978e  0}"},
		{`Idempotency-Key=8e03978e`, "{8e03978e  0}"},
		{`Idempotency-Key="a\"b\\c"`, `{a"b\c  0}`},
		{`Idempotency-Key=` + long, "{" + long + "  0}"},
		{`Idempotency-Key=` + long + "k", `is not a string of 1 to 255 printable ASCII characters`},
		{`Idempotency-Key=""`, `is not a string of 1 to 255`},
		{`Idempotency-Key="a`, `is not a string of 1 to 255`},
		{`Idempotency-Key="a"b`, `is not a string of 1 to 255`},
		{`Idempotency-Key=ä`, `is not a string of 1 to 255`},
		{`Tidemill-Producer=p 1;Tidemill-Sequence=7`, "{ p 1 7}"},
		{`Tidemill-Producer=p`, `Tidemill-Producer and Tidemill-Sequence go together`},
		{`Tidemill-Sequence=7`, `Tidemill-Producer and Tidemill-Sequence go together`},
		{`Tidemill-Producer=p;Tidemill-Sequence=0`, `header Tidemill-Sequence: \"0\" is not a number from 1`},
		{`Tidemill-Producer=p;Tidemill-Sequence=-1`, `header Tidemill-Sequence: \"-1\" is not a number from 1`},
		{`Tidemill-Producer=;Tidemill-Sequence=1`, `header Tidemill-Producer`},
		{`Idempotency-Key=a;Tidemill-Producer=p;Tidemill-Sequence=1`, `header Idempotency-Key`},
	} {
		got = httpapi.RequestName{}
		var headers []string
		for _, h := range strings.Split(c.headers, ";") {
			if name, value, ok := strings.Cut(h, "="); ok {
				headers = append(headers, name, value)
			}
		}
		resp, answer := do(t, "POST", url, "{}", headers...)
		if strings.HasPrefix(c.want, "{") {
			if resp.StatusCode != 200 || fmt.Sprint(got) != c.want {
				t.Errorf("%s: %d %v, want %s", c.headers, resp.StatusCode, got, c.want)
			}
		} else if resp.StatusCode != 400 || !strings.Contains(answer, `"22023"`) || !strings.Contains(answer, c.want) {
			t.Errorf("%s: %d %s, want %s", c.headers, resp.StatusCode, answer, c.want)
		}
	}
}

// TestDuplicates checks what a request is answered that came before, or too early.
func TestDuplicates(t *testing.T) {
	e := &fakeEngine{}
	var res httpapi.Ingested
	var fail error
	e.ingest = func(context.Context, string, []byte, httpapi.RequestName) (httpapi.Ingested, error) { return res, fail }
	url := start(t, e, nil) + "/v1/sources/clicks"
	for _, c := range []struct {
		res    httpapi.Ingested
		code   string
		status int
		answer string
	}{
		{httpapi.Ingested{Accepted: 2, Quarantined: 1, Position: 9, Duplicate: true}, "", 200, `{"accepted":2,"quarantined":1,"position":9,"duplicate":true}`},
		{httpapi.Ingested{Position: 9, Duplicate: true, Forgotten: true}, "", 200, `{"duplicate":true,"position":9}`},
		{httpapi.Ingested{}, types.CodeSequenceGap, 409, `{"error":{"code":"55T01","message":"no"}}`},
		{httpapi.Ingested{}, types.CodeKeyReused, 422, `{"error":{"code":"22T01","message":"no"}}`},
		{httpapi.Ingested{}, types.CodeDiskFull, 507, `{"error":{"code":"53100","message":"no"}}`},
	} {
		res, fail = c.res, nil
		if c.code != "" {
			fail = &types.Error{Code: c.code, Message: "no"}
		}
		if resp, answer := do(t, "POST", url, "{}"); resp.StatusCode != c.status || answer != c.answer {
			t.Errorf("%d %s, want %d %s", resp.StatusCode, answer, c.status, c.answer)
		}
	}
}
