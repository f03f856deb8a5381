package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

const (
	// maxCoordinationBytes bounds the body of a request for a lock or of a member.
	maxCoordinationBytes = 16 << 10
	// maxLockWaits bounds the requests that wait for locks at once; more get 503.
	maxLockWaits = 512
	// maxMillis bounds times in requests, so that they can be computed with; what may be asked for is less.
	maxMillis = int64(366 * 24 * time.Hour / time.Millisecond)
)

// Member is a program that says from time to time that it is there.
type Member struct {
	Group   string          `json:"group"`
	Name    string          `json:"name"`
	Token   int64           `json:"token"` // greater each time it joins
	Since   time.Time       `json:"since"`
	Expires time.Time       `json:"expires"` // unless it says again that it is there
	Data    json.RawMessage `json:"data,omitempty"`
}

// Groups keeps groups of members. It is safe for concurrent use. All errors are a *types.Error but the end of a context.
type Groups interface {
	// Heartbeat says that a member is there; the first time it joins.
	Heartbeat(ctx context.Context, group, name string, ttl time.Duration, data []byte) (Member, error)
	// Leave ends a membership; false if there is none.
	Leave(ctx context.Context, group, name string) (bool, error)
	// Members lists a group in the order of names.
	Members(ctx context.Context, group string) ([]Member, error)
	// Watch returns who is in a group, and tells what happens from then on.
	Watch(ctx context.Context, group string) (GroupWatch, []Member, error)
}

// GroupWatch tells what happens in a group, to one goroutine at a time.
type GroupWatch interface {
	// Next waits for the next event: joined, changed or left.
	Next(ctx context.Context) (event string, m Member, err error)
	Close()
}

// coordination registers locks, groups and services.
func (a *API) coordination() {
	if a.cfg.Locks != nil {
		a.mux.HandleFunc("GET /v1/locks", a.limited(a.lockList))
		a.mux.HandleFunc("GET /v1/locks/{name}", a.limited(a.lockGet))
		a.mux.HandleFunc("POST /v1/locks/{name}", a.lockAcquire)
		a.mux.HandleFunc("PUT /v1/locks/{name}", a.limited(a.lockRenew))
		a.mux.HandleFunc("DELETE /v1/locks/{name}", a.limited(a.lockRelease))
	}
	if a.cfg.Groups != nil {
		a.mux.HandleFunc("PUT /v1/groups/{group}/members/{name}", a.limited(a.memberPut))
		a.mux.HandleFunc("DELETE /v1/groups/{group}/members/{name}", a.limited(a.memberDelete))
		a.mux.HandleFunc("GET /v1/groups/{group}", a.limited(a.groupGet))
		a.mux.HandleFunc("GET /v1/groups/{group}/watch", a.groupWatch)
	}
	if a.cfg.Services != nil {
		a.mux.HandleFunc("GET /v1/services", a.limited(a.serviceList))
		a.mux.HandleFunc("POST /v1/services/{name}", a.serviceCall)
		a.mux.HandleFunc("POST /v1/services/{name}/{endpoint}", a.serviceCall)
	}
}

// lockBody is a lock in an answer.
type lockBody struct {
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`
	Token   int64     `json:"token"`
	Expires time.Time `json:"expires"`
}

func lockBodyOf(l session.Lock) lockBody {
	return lockBody{l.Name, l.Owner, l.Token, l.Expires.UTC()}
}

// lockRefusal answers that a lock is held by somebody else, or by nobody: l has no token then.
func lockRefusal(w http.ResponseWriter, l session.Lock, message string) {
	writeJSON(w, http.StatusConflict, struct {
		Owner string    `json:"owner,omitempty"`
		Token int64     `json:"token,omitempty"`
		Error errorBody `json:"error"`
	}{l.Owner, l.Token, bodyOf(&types.Error{Code: "55P03", Message: message})})
}

func (a *API) lockList(w http.ResponseWriter, r *http.Request) {
	list, err := a.cfg.Locks.Locks(r.Context())
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	out := make([]lockBody, len(list))
	for i := range list {
		out[i] = lockBodyOf(list[i])
	}
	writeJSON(w, http.StatusOK, map[string][]lockBody{"locks": out})
}

func (a *API) lockGet(w http.ResponseWriter, r *http.Request) {
	l, held, err := a.cfg.Locks.GetLock(r.Context(), r.PathValue("name"))
	switch {
	case err != nil:
		writeError(w, statusOf(err), asError(err))
	case !held:
		writeError(w, http.StatusNotFound, &types.Error{Code: types.CodeUndefinedObject, Message: fmt.Sprintf("nobody holds lock %q", r.PathValue("name"))})
	default:
		writeJSON(w, http.StatusOK, lockBodyOf(l))
	}
}

// lockAcquire serves POST /v1/locks/NAME. Those who wait are counted apart: they need nothing but patience.
func (a *API) lockAcquire(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Owner string `json:"owner"`
		TTL   int64  `json:"ttl_ms"`
		Wait  int64  `json:"wait_ms"`
	}
	ok := false
	a.limited(func(w http.ResponseWriter, r *http.Request) { ok = readAsk(w, r, &ask) })(w, r)
	if !ok {
		return
	}
	ttl, ok1 := millis(w, "ttl_ms", ask.TTL)
	if !ok1 {
		return
	}
	wait, ok2 := millis(w, "wait_ms", ask.Wait)
	if !ok2 {
		return
	}
	tokens, what := a.work, "requests"
	if wait > 0 {
		tokens, what = a.waits, "waits for locks"
	}
	if !take(w, tokens, what) {
		return
	}
	defer func() { <-tokens }()
	l, ok, err := a.cfg.Locks.AcquireLock(r.Context(), r.PathValue("name"), ask.Owner, ttl, wait)
	switch {
	case err != nil:
		writeError(w, statusOf(err), asError(err))
	case !ok:
		lockRefusal(w, l, fmt.Sprintf("lock %q is held by %q with token %d", l.Name, l.Owner, l.Token))
	default:
		writeJSON(w, http.StatusOK, lockBodyOf(l))
	}
}

func (a *API) lockRenew(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Token int64 `json:"token"`
		TTL   int64 `json:"ttl_ms"`
	}
	if !readAsk(w, r, &ask) {
		return
	}
	ttl, ok := millis(w, "ttl_ms", ask.TTL)
	if !ok {
		return
	}
	l, ok, err := a.cfg.Locks.RenewLock(r.Context(), r.PathValue("name"), ask.Token, ttl)
	switch {
	case err != nil:
		writeError(w, statusOf(err), asError(err))
	case !ok:
		lockRefusal(w, l, lostMessage(l, ask.Token))
	default:
		writeJSON(w, http.StatusOK, lockBodyOf(l))
	}
}

func (a *API) lockRelease(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("token")
	token, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		writeError(w, http.StatusBadRequest, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid token %q", text),
			Hint: "For example, DELETE /v1/locks/NAME?token=7."})
		return
	}
	l, ok, err := a.cfg.Locks.ReleaseLock(r.Context(), r.PathValue("name"), token)
	switch {
	case err != nil:
		writeError(w, statusOf(err), asError(err))
	case !ok:
		lockRefusal(w, l, lostMessage(l, token))
	default:
		writeJSON(w, http.StatusOK, map[string]bool{"released": true})
	}
}

// lostMessage says that a lock is not held with token.
func lostMessage(l session.Lock, token int64) string {
	if l.Token == 0 {
		return fmt.Sprintf("lock %q is not held with token %d: it was released or has expired", l.Name, token)
	}
	return fmt.Sprintf("lock %q is not held with token %d: %q holds it with token %d", l.Name, token, l.Owner, l.Token)
}

func (a *API) memberPut(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		TTL  int64           `json:"ttl_ms"`
		Data json.RawMessage `json:"data"`
	}
	if !readAsk(w, r, &ask) {
		return
	}
	ttl, ok := millis(w, "ttl_ms", ask.TTL)
	if !ok {
		return
	}
	if bytes.Equal(ask.Data, []byte("null")) {
		ask.Data = nil
	}
	m, err := a.cfg.Groups.Heartbeat(r.Context(), r.PathValue("group"), r.PathValue("name"), ttl, ask.Data)
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	writeJSON(w, http.StatusOK, m)
}

func (a *API) memberDelete(w http.ResponseWriter, r *http.Request) {
	group, name := r.PathValue("group"), r.PathValue("name")
	was, err := a.cfg.Groups.Leave(r.Context(), group, name)
	switch {
	case err != nil:
		writeError(w, statusOf(err), asError(err))
	case !was:
		writeError(w, http.StatusNotFound, &types.Error{Code: types.CodeUndefinedObject, Message: fmt.Sprintf("group %q has no member %q", group, name)})
	default:
		writeJSON(w, http.StatusOK, map[string]bool{"left": true})
	}
}

func (a *API) groupGet(w http.ResponseWriter, r *http.Request) {
	list, err := a.cfg.Groups.Members(r.Context(), r.PathValue("group"))
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	writeJSON(w, http.StatusOK, map[string][]Member{"members": append([]Member{}, list...)})
}

// groupWatch serves GET /v1/groups/GROUP/watch: a joined event for each member there is, an event ready, and then what
// happens, as server-sent events.
func (a *API) groupWatch(w http.ResponseWriter, r *http.Request) {
	if !take(w, a.subs, "subscribers") {
		return
	}
	defer func() { <-a.subs }()
	watch, there, err := a.cfg.Groups.Watch(r.Context(), r.PathValue("group"))
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	defer watch.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	write, done := guarded(w, r)
	defer done()
	var buf []byte
	for _, m := range there {
		buf = appendEvent(buf, "joined", m)
	}
	buf = appendEvent(buf, "ready", map[string]int{"members": len(there)})
	for {
		if err := write(buf); err != nil {
			return
		}
		wait, cancel := context.WithTimeout(r.Context(), a.cfg.KeepAlive)
		event, m, err := watch.Next(wait)
		idle := err != nil && wait.Err() != nil && r.Context().Err() == nil
		cancel()
		switch buf = buf[:0]; {
		case err == nil:
			buf = appendEvent(buf, event, m)
		case idle:
			buf = append(buf, ": still there\n\n"...)
		case r.Context().Err() != nil:
			return
		default:
			_ = write(appendEvent(buf, "error", bodyOf(asError(err))))
			return
		}
	}
}

// appendEvent appends a server-sent event.
func appendEvent(buf []byte, event string, data any) []byte {
	text, err := json.Marshal(data)
	if err != nil { // the data of a member is JSON, and the rest is ours
		text = []byte("null")
	}
	return fmt.Appendf(buf, "event: %s\ndata: %s\n\n", event, text)
}

// readAsk reads a JSON object into ask; otherwise it has answered.
func readAsk(w http.ResponseWriter, r *http.Request, ask any) bool {
	body, ok := readBody(w, r, maxCoordinationBytes)
	if !ok {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(ask)
	if err == nil && d.More() {
		err = fmt.Errorf("there is more behind it")
	}
	if err == io.EOF {
		err = fmt.Errorf("the body is empty")
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("read the request: %v", err),
			Hint: `The body is a JSON object; times are in milliseconds, for example {"ttl_ms": 10000}.`})
	}
	return err == nil
}

// millis is a time of a request; otherwise it has answered.
func millis(w http.ResponseWriter, field string, n int64) (time.Duration, bool) {
	if n < 0 || n > maxMillis {
		writeError(w, http.StatusBadRequest, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("%s is %d: it is out of range", field, n)})
		return 0, false
	}
	return time.Duration(n) * time.Millisecond, true
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
