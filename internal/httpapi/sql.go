package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// maxJSONBytes bounds an answer that is not streamed.
const maxJSONBytes = 64 << 20

// request is the body of POST /v1/sql.
type request struct {
	Query  string            `json:"query"`
	Params []json.RawMessage `json:"params"`
}

// sql serves POST /v1/sql: the statements of one text as one implicit transaction.
func (a *API) sql(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r, MaxSQLBytes)
	if !ok {
		return
	}
	req, err := parseRequest(r, body)
	if err != nil {
		writeError(w, http.StatusBadRequest, asError(err))
		return
	}
	stmts, err := sql.Parse(req.Query, sql.Options{})
	if err != nil {
		writeError(w, http.StatusBadRequest, asError(err))
		return
	}
	if len(req.Params) > 0 && len(stmts) != 1 {
		writeError(w, http.StatusBadRequest, &types.Error{Code: types.CodeSyntax, Message: "params need exactly one statement"})
		return
	}
	stream := strings.Contains(r.Header.Get("Accept"), "application/x-ndjson")
	if err := refuse(stmts); err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	var out results = &document{w: w}
	if stream {
		write, done := guarded(w, r)
		defer done()
		out = &lines{w: w, write: write}
	}
	sess, err := a.open(r, out.notice)
	if err != nil {
		writeError(w, statusOf(err), asError(err))
		return
	}
	defer sess.Close()
	out.end(runAll(r.Context(), sess, req, stmts, out))
}

// refuse tells what does not fit into one request.
func refuse(stmts []sql.Stmt) error {
	for _, st := range stmts {
		switch st := st.(type) {
		case *sql.Subscribe:
			return (&types.Error{Code: types.CodeFeature, Message: "SUBSCRIBE is not available in POST /v1/sql",
				Hint: "Use GET /v1/subscribe/VIEW."}).At(st.Pos())
		case *sql.Copy:
			return (&types.Error{Code: types.CodeFeature, Message: "COPY is not available over HTTP",
				Hint: "Use the PostgreSQL protocol, or POST /v1/sources/NAME."}).At(st.Pos())
		}
	}
	return nil
}

// runAll runs the statements as one implicit transaction. A block that they open and
// leave open would be rolled back with the session, so that is an error.
func runAll(ctx context.Context, sess session.Session, req request, stmts []sql.Stmt, out results) (err error) {
	sess.Begin()
	for _, st := range stmts {
		if err = runOne(ctx, sess, req, st, out); err != nil {
			sess.Fail()
			break
		}
	}
	if e := sess.End(ctx); err == nil {
		err = e
	}
	if err == nil && sess.TxStatus() != 'I' {
		err = &types.Error{Code: "25000", Message: "the request left a transaction block open; it was rolled back",
			Hint: "End it with COMMIT, or leave BEGIN out: a request is one transaction."}
	}
	return err
}

// parseRequest reads the body as JSON or, with any other content type, as SQL.
func parseRequest(r *http.Request, body []byte) (request, error) {
	req := request{Query: string(body)}
	if mediaType(r) != "application/json" {
		return req, nil
	}
	req.Query = ""
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(&req)
	if err == nil && d.More() {
		err = errors.New("there is more behind the object")
	}
	if err != nil {
		return req, &types.Error{Code: types.CodeInvalidText, Message: "request body: " + err.Error(),
			Hint: `Send {"query": "...", "params": [...]}, or SQL as text/plain.`}
	}
	return req, nil
}

// runOne runs one statement and hands its rows to out.
func runOne(ctx context.Context, sess session.Session, req request, stmt sql.Stmt, out results) error {
	st, err := sess.Prepare(ctx, req.Query, stmt, nil)
	if err != nil {
		return err
	}
	args, err := arguments(st, req.Params, sess.Style())
	if err != nil {
		return err
	}
	cur, err := sess.Execute(ctx, st, args)
	if err != nil {
		return err
	}
	defer cur.Close()
	if err := out.begin(cur.Columns()); err != nil {
		return err
	}
	for {
		b, err := cur.Next(ctx, true)
		if err != nil {
			return err
		}
		if b == nil {
			return out.done(cur.Tag())
		}
		if err := out.rows(b, sess.Style()); err != nil {
			return err
		}
	}
}

// arguments reads the parameters from JSON: null, or a value whose text form is
// what PostgreSQL's input function of the parameter's type reads.
func arguments(st *session.Statement, params []json.RawMessage, style types.Style) ([]types.Value, error) {
	if len(params) != len(st.Params) {
		return nil, &types.Error{Code: types.CodeSyntax, Message: "wrong number of params",
			Detail: "The statement has " + plural(len(st.Params)) + ", the request " + plural(len(params)) + "."}
	}
	var args []types.Value
	for i, raw := range params {
		if string(raw) == "null" {
			args = append(args, types.NullOf(st.Params[i]))
			continue
		}
		text := string(raw)
		if len(raw) > 0 && raw[0] == '"' {
			if err := json.Unmarshal(raw, &text); err != nil {
				return nil, err
			}
		}
		v, err := types.Parse(st.Params[i], text, style)
		if err != nil {
			e := *asError(err)
			e.Detail = "It is the value of $" + string(types.AppendInt(nil, int64(i+1))) + "."
			return nil, &e
		}
		args = append(args, v)
	}
	return args, nil
}

func plural(n int) string {
	if n == 1 {
		return "1 parameter"
	}
	return string(types.AppendInt(nil, int64(n))) + " parameters"
}

// results receives what statements give, in order.
type results interface {
	notice(session.Notice)
	begin(cols []session.Column) error
	rows(b *batch.Batch, st types.Style) error
	done(tag string) error
	end(err error)
}

func namesOf(cols []session.Column) []string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	return names
}

// document gathers one JSON document:
// {"results":[{"columns":[{"name":..,"type":..}],"rows":[[..]],"tag":".."}]}, and
// "notices":[{"severity":..,"code":..,"message":..}] if there are any.
type document struct {
	w       http.ResponseWriter
	buf     []byte
	any     bool // this result has rows
	n       int  // results
	notices []noticeBody
}

// maxNotices bounds the notices of one answer; more are left out.
const maxNotices = 100

type noticeBody struct {
	Severity string `json:"severity"`
	errorBody
}

func (d *document) notice(n session.Notice) {
	if len(d.notices) < maxNotices {
		d.notices = append(d.notices, noticeBody{n.Severity, bodyOf(&n.Error)})
	}
}

func (d *document) begin(cols []session.Column) error {
	if d.n++; d.n > 1 {
		d.buf = append(d.buf, ',')
	}
	d.buf, d.any = append(d.buf, '{'), false
	if cols == nil {
		return nil
	}
	d.buf = append(d.buf, `"columns":[`...)
	for i, c := range cols {
		if i > 0 {
			d.buf = append(d.buf, ',')
		}
		d.buf = append(d.buf, `{"name":`...)
		d.buf = format.AppendJSONString(d.buf, c.Name)
		d.buf = append(d.buf, `,"type":`...)
		d.buf = format.AppendJSONString(d.buf, c.Type.String())
		d.buf = append(d.buf, '}')
	}
	d.buf = append(d.buf, `],"rows":[`...)
	d.any = true
	return nil
}

func (d *document) rows(b *batch.Batch, st types.Style) error {
	for i := range b.N {
		if d.buf[len(d.buf)-1] == ']' {
			d.buf = append(d.buf, ',')
		}
		d.buf = format.AppendJSONArray(d.buf, b, i, st)
	}
	if len(d.buf) > maxJSONBytes {
		return &types.Error{Code: types.CodeOutOfMemory, Message: "answer is too large for one document",
			Hint: "Ask with Accept: application/x-ndjson to have rows streamed."}
	}
	return nil
}

func (d *document) done(tag string) error {
	if d.any {
		d.buf = append(d.buf, "],"...)
	}
	d.buf = append(d.buf, `"tag":`...)
	d.buf = append(format.AppendJSONString(d.buf, tag), '}')
	return nil
}

func (d *document) end(err error) {
	if err != nil {
		writeError(d.w, statusOf(err), asError(err))
		return
	}
	d.w.Header().Set("Content-Type", "application/json")
	tail := []byte("]}\n")
	if d.notices != nil {
		text, _ := json.Marshal(d.notices) // strings and numbers
		tail = append(append([]byte(`],"notices":`), text...), "}\n"...)
	}
	_, _ = d.w.Write([]byte(`{"results":[`))
	_, _ = d.w.Write(append(d.buf, tail...))
}

// lines streams each row as a JSON object on a line of its own. An error after
// the first row is a last line {"error":{..}}. What a statement gave counts only
// when no error follows. Notices are left out.
type lines struct {
	w       http.ResponseWriter
	write   func([]byte) error
	names   []string
	buf     []byte
	started bool
}

func (l *lines) notice(session.Notice) {}

func (l *lines) begin(cols []session.Column) error {
	l.names = namesOf(cols)
	return nil
}

func (l *lines) rows(b *batch.Batch, st types.Style) error {
	l.buf = l.buf[:0]
	for i := range b.N {
		l.buf = append(format.AppendJSONRow(l.buf, l.names, b, i, st), '\n')
	}
	l.start()
	return l.write(l.buf)
}

func (l *lines) start() {
	if !l.started {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.started = true
	}
}

func (l *lines) done(string) error { return nil }

func (l *lines) end(err error) {
	switch {
	case err == nil:
		l.start()
	case !l.started:
		writeError(l.w, statusOf(err), asError(err))
	default:
		text, _ := json.Marshal(map[string]errorBody{"error": bodyOf(asError(err))}) // strings and a number
		_ = l.write(append(text, '\n'))
	}
}
