package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// subscribe serves GET /v1/subscribe/VIEW: first the rows there are, then every
// change, as server-sent events {"step":..,"weight":..,"row":{..}}. The id of an
// event is its step. A comment is sent from time to time to keep the stream alive.
func (a *API) subscribe(w http.ResponseWriter, r *http.Request) {
	if !take(w, a.subs, "subscribers") {
		return
	}
	defer func() { <-a.subs }()
	sess, err := a.open(r, nil)
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	defer sess.Close()
	cur, err := openSubscription(r.Context(), sess, r.PathValue("view"))
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
	s := &events{write: write, keepAlive: a.cfg.KeepAlive, names: namesOf(cur.Columns()), style: sess.Style()}
	if err := s.run(r.Context(), cur); err != nil && r.Context().Err() == nil {
		text, _ := json.Marshal(bodyOf(asError(err))) // strings and a number
		_ = write(fmt.Appendf(nil, "event: error\ndata: %s\n\n", text))
	}
}

func openSubscription(ctx context.Context, sess session.Session, view string) (session.Cursor, error) {
	text := "SUBSCRIBE " + quoteName(view)
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

// quoteName quotes a name, or schema.name, as it stands in a URL.
func quoteName(name string) string {
	schema, rel, two := strings.Cut(name, ".")
	if !two {
		return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	return quoteName(schema) + "." + quoteName(rel)
}

// events writes the rows of a subscription: step, weight and the row's columns.
type events struct {
	write     func([]byte) error
	keepAlive time.Duration
	names     []string // of the cursor: step, weight, ...
	style     types.Style
	buf       []byte
}

func (s *events) run(ctx context.Context, cur session.Cursor) error {
	if err := s.write(nil); err != nil { // the header
		return err
	}
	for {
		wait, cancel := context.WithTimeout(ctx, s.keepAlive)
		b, err := cur.Next(wait, true)
		idle := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err != nil && idle && isTimeout(err):
			s.buf = append(s.buf[:0], ": keep-alive\n\n"...)
		case err != nil:
			return err
		case b == nil:
			return nil
		default:
			s.buf = s.buf[:0]
			for i := range b.N {
				s.event(b, i)
			}
		}
		if err := s.write(s.buf); err != nil {
			return err
		}
	}
}

// isTimeout tells the end of a wait from an error of the subscription.
func isTimeout(err error) bool {
	var te *types.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &te) && te.Code == types.CodeQueryCanceled
}

func (s *events) event(b *batch.Batch, i int) {
	step := b.Cols[0].I64[i]
	s.buf = append(s.buf, "id: "...)
	s.buf = strconv.AppendInt(s.buf, step, 10)
	s.buf = append(s.buf, "\ndata: {\"step\":"...)
	s.buf = strconv.AppendInt(s.buf, step, 10)
	s.buf = append(s.buf, `,"weight":`...)
	s.buf = strconv.AppendInt(s.buf, b.Cols[1].I64[i], 10)
	s.buf = append(s.buf, `,"row":`...)
	row := *b
	row.Cols = b.Cols[2:]
	s.buf = format.AppendJSONRow(s.buf, s.names[2:], &row, i, s.style)
	s.buf = append(s.buf, "}\n\n"...)
}
