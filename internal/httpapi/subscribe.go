package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// subscribe serves GET /v1/subscribe/VIEW: first the rows there are, then every
// change, as server-sent events. A client that comes back with the id of the last
// event it got, in Last-Event-ID, is given what comes behind it. A comment is sent
// from time to time to keep the stream alive.
func (a *API) subscribe(w http.ResponseWriter, r *http.Request) {
	if !take(w, a.subs, "subscribers") {
		return
	}
	defer func() { <-a.subs }()
	want, err := readFollowing(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, asError(err))
		return
	}
	sess, err := a.open(r, nil)
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	defer sess.Close()
	cur, err := openSubscription(r.Context(), sess, want.statement(r.PathValue("view")))
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	defer cur.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	write, done := guarded(w, r)
	defer done()
	s := newEvents(want, cur.Columns(), sess.Style())
	s.write, s.keepAlive = write, a.cfg.KeepAlive
	if err := s.run(r.Context(), cur); err != nil && r.Context().Err() == nil {
		text, _ := json.Marshal(bodyOf(asError(err))) // strings and a number
		_ = write(fmt.Appendf(nil, "event: error\ndata: %s\n\n", text))
	}
}

func openSubscription(ctx context.Context, sess session.Session, text string) (session.Cursor, error) {
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		return nil, err
	}
	st, err := sess.Prepare(ctx, text, stmts[0], nil)
	if err != nil {
		return nil, err
	}
	return sess.Execute(ctx, st, nil)
}

// following says what a client wants to follow, and from where.
type following struct {
	asOf, upTo string // steps; "" for none
	noSnapshot bool
	progress   bool
	envelope   string // "", "upsert", "debezium"
	key        []string
	skip       int64 // how many rows of step skipStep it has
	skipStep   int64
}

// readFollowing reads the parameters of the request and Last-Event-ID, which goes
// before as_of and snapshot: an EventSource that comes back sends both.
func readFollowing(r *http.Request) (*following, error) {
	f := &following{}
	query := r.URL.Query()
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		v := query.Get(name)
		ok := len(query[name]) == 1
		var err error
		switch name {
		case "as_of":
			f.asOf, err = v, checkStep(v)
		case "up_to":
			f.upTo, err = v, checkStep(v)
		case "snapshot":
			var snapshot bool
			snapshot, err = strconv.ParseBool(v)
			f.noSnapshot = !snapshot
		case "progress":
			f.progress, err = strconv.ParseBool(v)
		case "envelope":
			if f.envelope = v; v == "changes" {
				f.envelope = ""
			}
			ok = ok && slices.Contains([]string{"changes", "upsert", "debezium"}, v)
		case "key":
			f.key = strings.Split(v, ",")
		default:
			return nil, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("unknown parameter %q", name),
				Hint: "The parameters are as_of, up_to, snapshot, progress, envelope and key."}
		}
		if err != nil || !ok {
			return nil, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid value %q of parameter %q", v, name),
				Hint: "as_of and up_to are steps; snapshot and progress are true or false; envelope is changes, upsert or debezium."}
		}
	}
	if (f.envelope != "") != (f.key != nil) {
		return nil, &types.Error{Code: types.CodeInvalidParameter, Message: "an envelope upsert or debezium and a key come together",
			Hint: "For example, ?envelope=upsert&key=id."}
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return f, f.resume(id)
	}
	return f, nil
}

func checkStep(s string) error {
	_, err := strconv.ParseUint(s, 10, 63)
	return err
}

// resume goes on behind the event of that id. "7" ends step 7; "7.3" is its third
// row, and "7.3s" the third row of the rows there were at step 7.
func (f *following) resume(id string) error {
	rows, inSnapshot := strings.CutSuffix(id, "s")
	step, rest, inStep := strings.Cut(rows, ".")
	n, err := strconv.ParseUint(step, 10, 63)
	if err == nil && inStep {
		f.skip, err = strconv.ParseInt(rest, 10, 64)
	}
	if err != nil || f.skip < 0 || inSnapshot && !inStep || inStep && !inSnapshot && n == 0 {
		return &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid Last-Event-ID %q", id), Hint: "Send the id of an event as it came."}
	}
	if f.skipStep = int64(n); inStep && !inSnapshot {
		n-- // the step's rows come again, as they came before
	}
	f.asOf, f.noSnapshot = strconv.FormatUint(n, 10), !inSnapshot
	return nil
}

// statement is the SUBSCRIBE that follows the view.
func (f *following) statement(view string) string {
	text := "SUBSCRIBE " + quoteName(view)
	if f.envelope != "" {
		var key []string
		for _, k := range f.key {
			key = append(key, quotePart(k))
		}
		text += " ENVELOPE " + strings.ToUpper(f.envelope) + " (KEY (" + strings.Join(key, ", ") + "))"
	}
	text += " WITH (PROGRESS = true"
	if f.noSnapshot {
		text += ", SNAPSHOT = false"
	}
	text += ")"
	if f.asOf != "" {
		text += " AS OF " + f.asOf
	}
	if f.upTo != "" {
		text += " UP TO " + f.upTo
	}
	return text
}

// quoteName quotes a name, or schema.name, as it stands in a URL.
func quoteName(name string) string {
	schema, rel, two := strings.Cut(name, ".")
	if !two {
		return quotePart(name)
	}
	return quotePart(schema) + "." + quoteName(rel)
}

func quotePart(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// isTimeout tells the end of a wait from an error of the subscription.
func isTimeout(err error) bool {
	var te *types.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &te) && te.Code == types.CodeQueryCanceled
}

// run writes the events of cur until it ends.
func (s *events) run(ctx context.Context, cur session.Cursor) error {
	if err := s.write(nil); err != nil { // the header
		return err
	}
	for {
		wait, cancel := context.WithTimeout(ctx, s.keepAlive)
		b, err := cur.Next(wait, true)
		idle := wait.Err() != nil && ctx.Err() == nil
		cancel()
		s.buf = s.buf[:0]
		switch {
		case err != nil && idle && isTimeout(err):
			s.quiet()
		case err != nil:
			return err
		case b == nil:
			return nil
		default:
			s.block(b)
		}
		if err := s.write(s.buf); err != nil {
			return err
		}
	}
}

// events writes the rows of a subscription: its step, that it progressed, its weight
// or state, and the row's columns.
type events struct {
	want      *following
	write     func([]byte) error
	keepAlive time.Duration
	names     []string // of the cursor's columns
	style     types.Style
	buf       []byte

	step     int64 // of the row sent last
	sent     int64 // rows of that step
	snapshot bool  // these are the rows there were at the beginning
	over     int64 // the last step that is over
	told     int64 // of which the client knows by an id
}
