package pgserver_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// fakeEngine answers a handful of statements:
//
//	SELECT n        n rows (i bigint, t text) in blocks of 3; the text is NULL for every third
//	SELECT $1       the argument, as bigint
//	SHOW hang       blocks until it is cancelled
//	SHOW fail       an error at byte 5
//	COPY t ...      rows are kept, or handed out
type fakeEngine struct {
	rows [][]types.Value // of table t
}

func (e *fakeEngine) OpenSession(_ context.Context, opt session.Options) (session.Session, error) {
	if opt.Database != "tidemill" {
		return nil, &types.Error{Code: "3D000", Message: fmt.Sprintf("database %q does not exist", opt.Database)}
	}
	opt.ParamChanged("server_version", "15.0")
	opt.ParamChanged("client_encoding", "UTF8")
	opt.ParamChanged("standard_conforming_strings", "on")
	return &fakeSession{e: e, notice: opt.Notice, status: 'I'}, nil
}

type fakeSession struct {
	e        *fakeEngine
	notice   func(session.Notice)
	status   byte
	implicit bool
}

var pair = []session.Column{{Name: "i", Type: types.T(types.Int8)}, {Name: "t", Type: types.T(types.Text)}}

func (s *fakeSession) Prepare(_ context.Context, text string, stmt sql.Stmt, _ []types.Type) (*session.Statement, error) {
	text = strings.TrimSpace(text[stmt.Pos():stmt.End()])
	st := &session.Statement{Text: text, Stmt: stmt}
	switch stmt := stmt.(type) {
	case *sql.Query:
		st.Columns = pair
		if strings.Contains(text, "$1") {
			st.Columns, st.Params = pair[:1], []types.Type{types.T(types.Int8)}
		}
	case *sql.Copy:
		st.Columns, st.Plan = pair, fakeCopy{stmt}
	}
	return st, nil
}

type fakeCopy struct{ stmt *sql.Copy }

func (c fakeCopy) CopyOptions() (session.CopyOptions, bool) {
	opt := session.CopyOptions{Delimiter: '\t', Null: `\N`, Quote: '"', Escape: '"'}
	for _, o := range c.stmt.Options {
		if text, _ := o.Text(); o.Name == "format" && text == "csv" {
			opt.CSV, opt.Delimiter, opt.Null = true, ',', ""
		} else if o.Name == "format" && text == "binary" {
			opt.Binary = true
		}
	}
	return opt, c.stmt.From
}

func (s *fakeSession) Execute(ctx context.Context, st *session.Statement, args []types.Value) (session.Cursor, error) {
	switch {
	case st.Text == "SHOW hang":
		<-ctx.Done()
		return nil, ctx.Err()
	case st.Text == "SHOW fail":
		return nil, (&types.Error{Code: types.CodeUndefinedColumn, Message: "no such thing", Hint: "try another"}).At(5)
	case st.Text == "BEGIN":
		s.status = 'T'
		return &fakeCursor{tag: "BEGIN"}, nil
	case st.Text == "COMMIT", st.Text == "ROLLBACK":
		s.status = 'I'
		return &fakeCursor{tag: st.Text}, nil
	case strings.HasPrefix(st.Text, "COPY"):
		return &fakeCursor{cols: pair, rows: s.e.rows, tag: "COPY"}, nil
	case len(args) > 0:
		return &fakeCursor{cols: st.Columns, rows: [][]types.Value{args}, tag: "SELECT 1"}, nil
	}
	var n int
	if _, err := fmt.Sscanf(st.Text, "SELECT %d", &n); err != nil {
		return nil, &types.Error{Code: types.CodeFeature, Message: "fake: " + st.Text}
	}
	if s.notice != nil {
		s.notice(session.Notice{Severity: "NOTICE", Error: types.Error{Message: "counting"}})
	}
	var rows [][]types.Value
	for i := range n {
		t := types.TextValue(strings.Repeat("x", i))
		if i%3 == 2 {
			t = types.NullOf(t.T)
		}
		rows = append(rows, []types.Value{types.IntValue(types.Int8, int64(i)), t})
	}
	return &fakeCursor{cols: pair, rows: rows, tag: fmt.Sprintf("SELECT %d", n)}, nil
}

func (s *fakeSession) CopyIn(context.Context, *session.Statement) (session.CopyIn, error) {
	return &fakeCopyIn{e: s.e}, nil
}
func (s *fakeSession) TxStatus() byte { return s.status }
func (s *fakeSession) Fail() {
	if s.status == 'T' {
		s.status = 'E'
	}
}
func (s *fakeSession) Begin()                      { s.implicit = true }
func (s *fakeSession) End(context.Context) error   { s.implicit = false; return nil }
func (s *fakeSession) Style() types.Style          { return types.Style{} }
func (s *fakeSession) Param(string) (string, bool) { return "", false }
func (s *fakeSession) Close()                      {}

type fakeCursor struct {
	cols []session.Column
	rows [][]types.Value
	tag  string
}

func (c *fakeCursor) Columns() []session.Column { return c.cols }

func (c *fakeCursor) Next(context.Context, bool) (*batch.Batch, error) {
	if len(c.rows) == 0 {
		return nil, nil
	}
	n := min(3, len(c.rows))
	ts := make([]types.Type, len(c.cols))
	for i := range c.cols {
		ts[i] = c.cols[i].Type
	}
	b := batch.FromRows(ts, c.rows[:n])
	c.rows = c.rows[n:]
	return b, nil
}

func (c *fakeCursor) Tag() string { return c.tag }
func (c *fakeCursor) Close()      {}

type fakeCopyIn struct {
	e    *fakeEngine
	rows [][]types.Value
}

func (c *fakeCopyIn) Columns() []session.Column { return pair }

func (c *fakeCopyIn) Write(_ context.Context, b *batch.Batch) error {
	for i := range b.N {
		c.rows = append(c.rows, b.RowValues(i))
	}
	return nil
}

func (c *fakeCopyIn) Commit(context.Context) (int64, error) {
	c.e.rows = append(c.e.rows, c.rows...)
	return int64(len(c.rows)), nil
}
func (c *fakeCopyIn) Abort() {}
