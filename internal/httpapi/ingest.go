package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

// MaxNameBytes bounds a key, and the name of a producer.
const MaxNameBytes = 255

// Headers that name a request to a source.
const (
	headerKey      = "Idempotency-Key" // as in draft-ietf-httpapi-idempotency-key-header
	headerProducer = "Tidemill-Producer"
	headerSequence = "Tidemill-Sequence"
)

// ingest serves POST /v1/sources/NAME.
func (a *API) ingest(w http.ResponseWriter, r *http.Request) {
	name, err := requestName(r.Header)
	if err != nil {
		writeError(w, http.StatusBadRequest, asError(err))
		return
	}
	body, ok := readBody(w, r, MaxIngestBytes)
	if !ok {
		return
	}
	res, err := a.cfg.Backend.Ingest(r.Context(), r.PathValue("name"), body, name)
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if res.Forgotten {
		_ = json.NewEncoder(w).Encode(map[string]any{"position": res.Position, "duplicate": true})
		return
	}
	_ = json.NewEncoder(w).Encode(res)
}

// requestName reads what a request is called.
func requestName(h http.Header) (RequestName, error) {
	bad := func(header, value, want string) (RequestName, error) {
		return RequestName{}, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("header %s: %q is not %s", header, value, want)}
	}
	for _, name := range []string{headerKey, headerProducer, headerSequence} {
		if n := len(h.Values(name)); n > 1 {
			return bad(name, strings.Join(h.Values(name), ", "), "given once")
		}
	}
	var n RequestName
	_, keyed := h[headerKey]
	_, produced := h[headerProducer]
	_, numbered := h[headerSequence]
	switch {
	case keyed && (produced || numbered):
		return bad(headerKey, h.Get(headerKey), "to be given with "+headerProducer+" and "+headerSequence)
	case produced != numbered:
		return n, &types.Error{Code: types.CodeInvalidParameter, Message: headerProducer + " and " + headerSequence + " go together"}
	case keyed:
		key, ok := unquote(h.Get(headerKey))
		if !ok || !nameable(key) {
			return bad(headerKey, h.Get(headerKey), fmt.Sprintf("a string of 1 to %d printable ASCII characters", MaxNameBytes))
		}
		n.Key = key
	case produced:
		n.Producer = h.Get(headerProducer)
		if !nameable(n.Producer) {
			return bad(headerProducer, n.Producer, fmt.Sprintf("1 to %d printable ASCII characters", MaxNameBytes))
		}
		seq, err := strconv.ParseUint(h.Get(headerSequence), 10, 63)
		if err != nil || seq == 0 {
			return bad(headerSequence, h.Get(headerSequence), "a number from 1")
		}
		n.Sequence = seq
	}
	return n, nil
}

// nameable reports whether s may name a request or a producer.
func nameable(s string) bool {
	if s == "" || len(s) > MaxNameBytes {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// unquote reads a key, which the draft writes as a string of RFC 8941, in quotes;
// without them it is taken as it is.
func unquote(s string) (string, bool) {
	if !strings.HasPrefix(s, `"`) {
		return s, !strings.Contains(s, `"`)
	}
	var out []byte
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return string(out), i == len(s)-1
		case '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
			out = append(out, s[i])
		default:
			out = append(out, c)
		}
	}
	return "", false
}
