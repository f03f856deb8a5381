// Package httpapi is the HTTP front door: health, metrics, SQL, subscriptions as
// server-sent events, and sources fed by POST.
package httpapi

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/security"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// The bounds of this front door.
const (
	MaxSQLBytes       = 8 << 20  // body of POST /v1/sql
	MaxIngestBytes    = 32 << 20 // body of POST /v1/sources/NAME
	maxConcurrent     = 256      // requests of SQL and ingest served at once; more get 503
	maxSubscribers    = 1000     // event streams at once; more get 503
	maxHeaderBytes    = 64 << 10
	readHeaderTimeout = 10 * time.Second
	readBodyTimeout   = 60 * time.Second // for a whole body
	writeTimeout      = 30 * time.Second // for one piece of a stream; who reads slower is cut off
	idleTimeout       = 2 * time.Minute  // of a connection between two requests
	keepAliveEvery    = 15 * time.Second // default of Config.KeepAlive
)

// Ingested is what became of the records of one POST to a source.
type Ingested struct {
	Accepted    int64  `json:"accepted"`    // rows now durable in the source's log
	Quarantined int64  `json:"quarantined"` // bad records, durable in quarantine
	Position    uint64 `json:"position"`    // position of the block in the source's log
	// Duplicate says that a request of that name was taken before, and this is what it
	// was answered then.
	Duplicate bool `json:"duplicate,omitempty"`
	// Forgotten says of a duplicate that its counts are no longer known, and Position is
	// that of the producer's last request.
	Forgotten bool `json:"-"`
}

// RequestName names a request to a source, so that it is taken once however often it
// comes: by a key, or by its producer and the number of the request there, from 1.
// Zero: the request has no name.
type RequestName struct {
	Key      string
	Producer string
	Sequence uint64
}

// Backend is what the API needs from the node.
type Backend interface {
	session.Engine
	// Ready returns nil when statements can be served, else why not; the error may be a
	// json.Marshaler that tells how far a start has come.
	Ready() error
	// Ingest makes the records in body durable in an http source. It returns when
	// they are. A full queue makes it wait until ctx ends. A request of the same name
	// is taken once.
	Ingest(ctx context.Context, source string, body []byte, name RequestName) (Ingested, error)
}

// Config is what a handler needs.
type Config struct {
	Backend Backend
	Metrics http.Handler // serves /metrics
	// Backup writes a backup of the node, without the files of the given names and sizes;
	// nil: there are none.
	Backup func(ctx context.Context, have map[string]int64, w io.Writer) error
	// Status tells how the cluster does, as something that can be written as JSON, and Drain lets a node
	// of it ("" for this one) hand over what it leads, or take part again; nil: there is none.
	Status func() any
	Drain  func(ctx context.Context, node string, drain bool) error
	// Remove takes a node that is gone for good out of the cluster; nil: there is none.
	Remove   func(ctx context.Context, node string) error
	User     string // the user of requests that need no password
	Database string
	Version  string
	// TLS, if set, is for clients that begin with it; see Listener.
	TLS *tls.Config
	// Auth knows the roles. Nil trusts everybody, wherever they are.
	Auth Authenticator
	// RequirePassword asks for a password also on loopback, where clients are trusted
	// otherwise.
	RequirePassword bool
	// AllowPlaintext serves other machines without TLS.
	AllowPlaintext bool
	// IsNode reports whether a connection is that of a node of the cluster, which needs no
	// password; nil: there are none.
	IsNode func(*tls.ConnectionState) bool
	// Locks keeps locks, Groups members of groups, and Services knows those of NATS clients; nil: there are none.
	Locks    session.Locks
	Groups   Groups
	Services Services
	// Join lets machines join the cluster; nil: none can.
	Join http.Handler
	// KeepAlive is how long an event stream stays silent; zero means 15 seconds.
	KeepAlive time.Duration
}

// API serves HTTP. Create it with New.
type API struct {
	cfg   Config
	mux   *http.ServeMux
	work  chan struct{} // a token for each request being served
	subs  chan struct{} // a token for each event stream
	waits chan struct{} // a token for each request that waits for a lock
	calls chan struct{} // a token for each call of a service
	door  *doorman
}

// New returns the API of cfg.
func New(cfg Config) *API {
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = keepAliveEvery
	}
	a := &API{cfg: cfg, mux: http.NewServeMux(), work: make(chan struct{}, maxConcurrent), subs: make(chan struct{}, maxSubscribers), waits: make(chan struct{}, maxLockWaits), calls: make(chan struct{}, maxServiceCalls), door: newDoorman()}
	a.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	a.mux.HandleFunc("GET /readyz", a.ready)
	a.mux.Handle("GET /metrics", cfg.Metrics)
	a.mux.HandleFunc("POST /v1/sql", a.limited(a.sql))
	a.mux.HandleFunc("POST /v1/sources/{name}", a.limited(a.ingest))
	a.mux.HandleFunc("GET /v1/subscribe/{view}", a.subscribe)
	a.mux.HandleFunc("POST /v1/backup", a.limited(a.backup))
	a.mux.HandleFunc("GET /v1/cluster", a.cluster)
	a.mux.HandleFunc("POST /v1/drain", a.limited(a.drain))
	a.mux.HandleFunc("DELETE /v1/cluster/nodes/{name}", a.limited(a.removeNode))
	a.coordination()
	if cfg.Join != nil {
		a.mux.Handle("POST "+security.JoinPath, cfg.Join)
	}
	a.mux.HandleFunc("GET /{$}", a.index)
	return a
}

// ServeHTTP implements http.Handler. Requests that a browser sends on behalf of
// another site are refused: whoever reaches the port may run SQL.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/v1/") && rebound(r) {
		writeError(w, http.StatusForbidden, &types.Error{Code: "42501", Message: fmt.Sprintf("no such host here: %q", r.Host),
			Hint: "Over loopback, ask for an IP address or localhost."})
		return
	}
	if r.Method != http.MethodGet && crossSite(r) {
		writeError(w, http.StatusForbidden, &types.Error{Code: "42501", Message: "cross-site request refused",
			Hint: "Send no Origin header, or one of this host."})
		return
	}
	if r = a.admit(w, r); r == nil {
		return
	}
	a.mux.ServeHTTP(w, r)
}

// crossSite reports whether r carries the origin of another site.
func crossSite(r *http.Request) bool {
	if s := r.Header.Get("Sec-Fetch-Site"); s != "" {
		return s != "same-origin" && s != "none"
	}
	o := r.Header.Get("Origin")
	return o != "" && o != "http://"+r.Host && o != "https://"+r.Host
}

// rebound reports whether r came over loopback under a name that is not this
// machine's: a site whose name was made to point here (DNS rebinding) is of the same
// origin for a browser, but it keeps its name.
func rebound(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return host != "" && host != "localhost" && !strings.HasSuffix(host, ".localhost") && net.ParseIP(host) == nil
}

// Server returns a server of the API. It has no time-out for whole answers, which
// may be endless; each piece of a stream has one.
func (a *API) Server() *http.Server {
	return &http.Server{Handler: a, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes}
}

// limited refuses a request when too many are being served.
func (a *API) limited(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !take(w, a.work, "requests") {
			return
		}
		defer func() { <-a.work }()
		h(w, r)
	}
}

// take takes a token, or answers that there is none.
func take(w http.ResponseWriter, tokens chan struct{}, what string) bool {
	select {
	case tokens <- struct{}{}:
		return true
	default:
	}
	w.Header().Set("Retry-After", "1")
	writeError(w, http.StatusServiceUnavailable, &types.Error{Code: types.CodeTooManyConnections,
		Message: fmt.Sprintf("more than %d %s at once", cap(tokens), what)})
	return false
}

func (a *API) ready(w http.ResponseWriter, _ *http.Request) {
	if err := a.cfg.Backend.Ready(); err != nil {
		if m, ok := err.(json.Marshaler); ok { // how far it has come
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(m)
			return
		}
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

func (a *API) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, `tidemill %s

POST /v1/sql               {"query": "SELECT 1"} or plain SQL; Accept: application/x-ndjson streams rows
GET  /v1/subscribe/VIEW    changes as server-sent events
POST /v1/sources/NAME      NDJSON or a JSON array, acknowledged when durable
GET  /v1/cluster           who leads, how far the others are, and what is wrong
POST /v1/locks/NAME        {"owner": "me", "ttl_ms": 10000} takes a lock; PUT renews and DELETE releases it
PUT  /v1/groups/G/members/NAME  {"ttl_ms": 10000} says that a member is there; GET /v1/groups/G/watch
POST /v1/services/NAME     calls a service that is registered over NATS; GET /v1/services
POST /v1/drain             {"node": "a"} hands over what a node leads
GET  /metrics  /livez  /readyz
`, a.cfg.Version)
}

// readBody reads the whole body, at most limit bytes; otherwise it has answered.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		writeError(w, http.StatusUnsupportedMediaType, &types.Error{Code: types.CodeFeature,
			Message: fmt.Sprintf("Content-Encoding %q is not supported", e), Hint: "Send the body as it is."})
		return nil, false
	}
	// Who sends slowly, or not at all, gives the token back; so does the end of the node.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(readBodyTimeout))
	stop := context.AfterFunc(r.Context(), func() { _ = rc.SetReadDeadline(time.Unix(1, 0)) })
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if stop() {
		_ = rc.SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeError(w, http.StatusRequestEntityTooLarge, &types.Error{Code: "54000",
			Message: fmt.Sprintf("body is larger than %d bytes", limit), Hint: "Send it in several requests."})
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		writeError(w, http.StatusRequestTimeout, &types.Error{Code: "08P01", Message: "the body did not come in time"})
	case err != nil:
		writeError(w, http.StatusBadRequest, &types.Error{Code: "08P01", Message: "read body: " + err.Error()})
	default:
		return body, true
	}
	return nil, false
}

// guarded bounds each write of a stream by writeTimeout, and ends them when the
// request does: a client that does not read holds nothing up. The deadline is
// taken away by the function it returns.
func guarded(w http.ResponseWriter, r *http.Request) (write func([]byte) error, done func()) {
	rc := http.NewResponseController(w)
	stop := context.AfterFunc(r.Context(), func() { _ = rc.SetWriteDeadline(time.Unix(1, 0)) })
	write = func(p []byte) error {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := r.Context().Err(); err != nil {
			return err
		}
		if _, err := w.Write(p); err != nil {
			return err
		}
		return rc.Flush()
	}
	return write, func() {
		if stop() {
			_ = rc.SetWriteDeadline(time.Time{})
		}
	}
}

// open starts a session for a request.
func (a *API) open(r *http.Request, notice func(session.Notice)) (session.Session, error) {
	return a.cfg.Backend.OpenSession(r.Context(), session.Options{
		User: a.user(r), Database: a.cfg.Database, Remote: r.RemoteAddr, Notice: notice,
		Params: map[string]string{"application_name": "http"},
	})
}

// mediaType is the content type without its parameters.
func mediaType(r *http.Request) string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// asError turns any error into one with a SQLSTATE.
func asError(err error) *types.Error {
	return session.AsError(err, "request ended before the statement did")
}

// statusOf maps the class of a SQLSTATE to a status.
func statusOf(err error) int {
	code := asError(err).Code
	switch code {
	case types.CodeUndefinedTable:
		return http.StatusNotFound
	case types.CodeUnique, types.CodeSerialization, types.CodeSequenceGap:
		return http.StatusConflict
	case types.CodeKeyReused:
		return http.StatusUnprocessableEntity
	case "08007": // the outcome is not known
		return http.StatusServiceUnavailable
	case types.CodeDiskFull:
		return http.StatusInsufficientStorage
	case "42501":
		return http.StatusForbidden
	case types.CodeOutOfMemory:
		return http.StatusBadRequest // over a limit: to come again does not help
	}
	switch code[:min(2, len(code))] {
	case "53", "57":
		return http.StatusServiceUnavailable
	case "XX", "58", "":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// errorBody is the JSON form of an error.
type errorBody struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Detail   string `json:"detail,omitempty"`
	Hint     string `json:"hint,omitempty"`
	Position int    `json:"position,omitempty"` // 1 + byte offset in the query
}

func bodyOf(e *types.Error) errorBody {
	return errorBody{e.Code, e.Message, e.Detail, e.Hint, e.Pos}
}

func writeError(w http.ResponseWriter, status int, e *types.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]errorBody{"error": bodyOf(e)})
}
