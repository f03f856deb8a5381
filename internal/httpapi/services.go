package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

const (
	// MaxServiceBytes bounds the body of POST /v1/services/NAME.
	MaxServiceBytes = 1 << 20
	// DefaultServiceTimeout and MaxServiceTimeout bound the wait for the answer of a service.
	DefaultServiceTimeout = 5 * time.Second
	MaxServiceTimeout     = 60 * time.Second
	// maxServiceCalls bounds the calls of services under way; more get 503.
	maxServiceCalls = 256
	// timeoutHeader says how many milliseconds a call may take, as the parameter timeout_ms does.
	timeoutHeader = "Tidemill-Timeout-Ms"
)

// ErrNoService: there is no such service, or no such endpoint of it.
var ErrNoService = errors.New("no such service")

// Service is an endpoint of an instance of a service that is registered over NATS.
type Service struct {
	Name          string    `json:"name"`
	ID            string    `json:"id"`
	Version       string    `json:"version"`
	Endpoint      string    `json:"endpoint"`
	Subject       string    `json:"subject"`
	Node          string    `json:"node,omitempty"`
	Requests      int64     `json:"requests"`
	Errors        int64     `json:"errors"`
	AverageMillis float64   `json:"average_ms"`
	Started       time.Time `json:"started"`
}

// ServiceCall is a request to a service.
type ServiceCall struct {
	Name, Endpoint, Subject string // Endpoint "": the only one; Subject "": the endpoint's
	Header                  map[string][]string
	Body                    []byte
}

// ServiceError is what a service answered in place of an answer.
type ServiceError struct{ Code, Text string }

// Error implements error.
func (e *ServiceError) Error() string { return fmt.Sprintf("%s (code %s)", e.Text, e.Code) }

// Services knows the services that are registered over NATS. It is safe for concurrent use.
type Services interface {
	// Services lists them in the order of names, endpoints and instances.
	Services(ctx context.Context) ([]Service, error)
	// Call sends a request to one instance and returns its answer. Errors: ErrNoService; *ServiceError; ctx's own, when
	// no answer came in time; a *types.Error.
	Call(ctx context.Context, call ServiceCall) (header map[string][]string, body []byte, err error)
}

func (a *API) serviceList(w http.ResponseWriter, r *http.Request) {
	list, err := a.cfg.Services.Services(r.Context())
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	writeJSON(w, http.StatusOK, map[string][]Service{"services": append([]Service{}, list...)})
}

// serviceCall serves POST /v1/services/NAME and POST /v1/services/NAME/ENDPOINT.
func (a *API) serviceCall(w http.ResponseWriter, r *http.Request) {
	if !take(w, a.calls, "calls of services") {
		return
	}
	defer func() { <-a.calls }()
	timeout, err := serviceTimeout(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, asError(err))
		return
	}
	body, ok := readBody(w, r, MaxServiceBytes)
	if !ok {
		return
	}
	name := r.PathValue("name")
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	header, answer, err := a.cfg.Services.Call(ctx, ServiceCall{Name: name, Endpoint: r.PathValue("endpoint"), Subject: r.URL.Query().Get("subject"),
		Header: passed(r.Header, requestOnly), Body: body})
	var failed *ServiceError
	var te *types.Error
	switch {
	case err == nil:
		for key, values := range passed(header, answerOnly) {
			w.Header()[http.CanonicalHeaderKey(key)] = values
		}
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "application/octet-stream")
		}
		w.Header().Set("X-Content-Type-Options", "nosniff") // what services say is no page of this site
		w.Header().Set("Content-Security-Policy", "sandbox")
		_, _ = w.Write(answer)
	case errors.As(err, &failed):
		writeJSON(w, http.StatusBadGateway, struct {
			Code  string    `json:"service_code"`
			Error errorBody `json:"error"`
		}{failed.Code, bodyOf(&types.Error{Code: "38000", Message: failed.Text})})
	case errors.Is(err, ErrNoService):
		e := &types.Error{Code: types.CodeUndefinedObject, Message: fmt.Sprintf("there is no service %q", name)}
		if errors.As(err, &te) {
			e.Detail = te.Message
		}
		e.Hint = "GET /v1/services, or SELECT * FROM tidemill.services, lists those there are."
		writeError(w, http.StatusNotFound, e)
	case ctx.Err() != nil && r.Context().Err() == nil:
		writeError(w, http.StatusGatewayTimeout, &types.Error{Code: "08007", Message: fmt.Sprintf("service %q did not answer within %v", name, timeout),
			Detail: "Whether it did what was asked is not known.", Hint: "A longer time is asked for by ?timeout_ms=."})
	default:
		writeError(w, statusOf(err), asError(err))
	}
}

// serviceTimeout is how long a call may take.
func serviceTimeout(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("timeout_ms")
	if text == "" {
		text = r.Header.Get(timeoutHeader)
	}
	if text == "" {
		return DefaultServiceTimeout, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 1 || ms > MaxServiceTimeout.Milliseconds() {
		return 0, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid timeout %q", text),
			Hint: fmt.Sprintf("It is a number of milliseconds from 1 to %d.", MaxServiceTimeout.Milliseconds())}
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Headers that belong to a connection, or to this server, and are not passed on.
var (
	neither     = []string{"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "content-encoding", "host", "date", "status", "description"}
	requestOnly = append([]string{"authorization", "cookie", "accept-encoding", "expect", "origin", "referer", strings.ToLower(timeoutHeader)}, neither...)
	answerOnly  = append([]string{"set-cookie", "www-authenticate", "strict-transport-security", "content-security-policy", "location"}, neither...)
)

// passed is h without what is not passed on.
func passed(h map[string][]string, not []string) map[string][]string {
	out := make(map[string][]string, len(h))
next:
	for key, values := range h {
		low := strings.ToLower(key)
		for _, prefix := range []string{"nats-", "proxy-", "sec-", "access-control-"} {
			if strings.HasPrefix(low, prefix) {
				continue next
			}
		}
		for _, name := range not {
			if low == name {
				continue next
			}
		}
		out[key] = values
	}
	return out
}
