package httpapi_test

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// fakeEngine answers a handful of statements:
//
//	SELECT n        n rows (i bigint, t text) in blocks of 3, with a notice; every third text is NULL
//	SELECT $1, $2   the arguments, as bigint and text
//	SHOW fail       an error at byte 5
//	SHOW late       three rows, then an error
//	SHOW hang       blocks until it is cancelled
//	INSERT ...      no rows
//	BEGIN, COMMIT   a transaction block
//	SUBSCRIBE v     the batches of feed
type fakeEngine struct {
	feed     chan fed
	notReady error
	commit   error // of End
	ingest   func(ctx context.Context, source string, body []byte, name httpapi.RequestName) (httpapi.Ingested, error)
	entered  chan struct{} // a token for each SHOW hang that waits

	mu       sync.Mutex
	calls    []string         // what was called on sessions, in order
	text     string           // last SUBSCRIBE
	cols     []session.Column // of it, if not those of changes of pair
	sessions int              // open
	cursors  int              // open
}

// fed is what Next of a subscription returns next.
type fed struct {
	rows [][]types.Value
	err  error
}

func (e *fakeEngine) call(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, fmt.Sprintf(format, args...))
}

// log returns the calls and forgets them.
func (e *fakeEngine) log() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := strings.Join(e.calls, ", ")
	e.calls = nil
	return s
}

func (e *fakeEngine) count(n *int, by int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	*n += by
	return *n
}

// open returns how many sessions and cursors are not closed.
func (e *fakeEngine) open() (sessions, cursors int) {
	return e.count(&e.sessions, 0), e.count(&e.cursors, 0)
}

func (e *fakeEngine) Ready() error { return e.notReady }

func (e *fakeEngine) Ingest(ctx context.Context, source string, body []byte, name httpapi.RequestName) (httpapi.Ingested, error) {
	return e.ingest(ctx, source, body, name)
}

func (e *fakeEngine) OpenSession(_ context.Context, opt session.Options) (session.Session, error) {
	e.count(&e.sessions, 1)
	return &fakeSession{e: e, notice: opt.Notice, status: 'I'}, nil
}

type fakeSession struct {
	e      *fakeEngine
	notice func(session.Notice)
	status byte
	failed bool
}

var pair = []session.Column{{Name: "i", Type: types.T(types.Int8)}, {Name: `t"x`, Type: types.T(types.Text)}}

func (s *fakeSession) Prepare(_ context.Context, text string, stmt sql.Stmt, _ []types.Type) (*session.Statement, error) {
	st := &session.Statement{Text: strings.TrimSpace(text[stmt.Pos():stmt.End()]), Stmt: stmt}
	if strings.Contains(st.Text, "$2") {
		st.Params = []types.Type{types.T(types.Int8), types.T(types.Text)}
	}
	return st, nil
}

func (s *fakeSession) Execute(ctx context.Context, st *session.Statement, args []types.Value) (session.Cursor, error) {
	s.e.call("%s", st.Text)
	cur := &fakeCursor{e: s.e, cols: pair}
	switch {
	case st.Text == "SHOW hang":
		s.e.entered <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	case st.Text == "SHOW fail":
		return nil, (&types.Error{Code: types.CodeUndefinedColumn, Message: "no such thing", Hint: "try another"}).At(5)
	case st.Text == "BEGIN":
		s.status = 'T'
		cur.cols, cur.tag = nil, "BEGIN"
	case st.Text == "COMMIT":
		s.status = 'I'
		cur.cols, cur.tag = nil, "COMMIT"
	case strings.HasPrefix(st.Text, "INSERT"):
		cur.cols, cur.tag = nil, "INSERT 0 1"
	case strings.HasPrefix(st.Text, "SUBSCRIBE"):
		s.e.text = st.Text
		cur.cols = append([]session.Column{{Name: "step", Type: types.T(types.Int8)}, {Name: "progressed", Type: types.T(types.Bool)},
			{Name: "weight", Type: types.T(types.Int8)}}, pair...)
		if s.e.cols != nil {
			cur.cols = s.e.cols
		}
		cur.feed = s.e.feed
	case len(args) > 0:
		cur.rows, cur.tag = [][]types.Value{args}, "SELECT 1"
	case st.Text == "SHOW late":
		cur.rows, cur.err = rows(3), &types.Error{Code: types.CodeDivisionByZero, Message: "division by zero"}
	default:
		var n int
		if _, err := fmt.Sscanf(st.Text, "SELECT %d", &n); err != nil {
			return nil, &types.Error{Code: types.CodeFeature, Message: "fake: " + st.Text}
		}
		s.notice(session.Notice{Severity: "NOTICE", Error: types.Error{Code: "00000", Message: "counting"}})
		cur.rows, cur.tag = rows(n), fmt.Sprintf("SELECT %d", n)
	}
	s.e.count(&s.e.cursors, 1)
	return cur, nil
}

// rows are n rows of pair.
func rows(n int) [][]types.Value {
	var out [][]types.Value
	for i := range n {
		t := types.TextValue(strings.Repeat("x", i%10))
		if i%3 == 2 {
			t = types.NullOf(t.T)
		}
		out = append(out, []types.Value{types.IntValue(types.Int8, int64(i)), t})
	}
	return out
}

// change is a row of a subscription.
func change(step, weight, i int64, t string) []types.Value {
	return []types.Value{types.IntValue(types.Int8, step), types.BoolValue(false), types.IntValue(types.Int8, weight), types.IntValue(types.Int8, i), types.TextValue(t)}
}

// over says that a step of a subscription is over.
func over(step int64) []types.Value {
	return []types.Value{types.IntValue(types.Int8, step), types.BoolValue(true), types.NullOf(types.T(types.Int8)), types.NullOf(types.T(types.Int8)), types.NullOf(types.T(types.Text))}
}

func (s *fakeSession) CopyIn(context.Context, *session.Statement) (session.CopyIn, error) {
	panic("CopyIn over HTTP")
}
func (s *fakeSession) TxStatus() byte { return s.status }
func (s *fakeSession) Fail()          { s.failed = true; s.e.call("Fail") }
func (s *fakeSession) Begin()         { s.e.call("Begin") }
func (s *fakeSession) End(context.Context) error {
	s.e.call("End")
	if s.failed {
		return nil
	}
	return s.e.commit
}
func (s *fakeSession) Style() types.Style          { return types.Style{} }
func (s *fakeSession) Param(string) (string, bool) { return "", false }
func (s *fakeSession) Close()                      { s.e.count(&s.e.sessions, -1) }

type fakeCursor struct {
	e      *fakeEngine
	cols   []session.Column
	rows   [][]types.Value
	err    error // after the rows
	tag    string
	feed   chan fed
	closed bool
}

func (c *fakeCursor) Columns() []session.Column { return c.cols }

func (c *fakeCursor) Next(ctx context.Context, _ bool) (*batch.Batch, error) {
	if c.feed != nil {
		select {
		case f, ok := <-c.feed:
			if !ok || f.err != nil {
				return nil, f.err
			}
			c.rows = f.rows
		case <-ctx.Done():
			return nil, &types.Error{Code: types.CodeQueryCanceled, Message: "canceling statement"}
		}
	}
	if len(c.rows) == 0 {
		return nil, c.err
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
func (c *fakeCursor) Close() {
	if !c.closed {
		c.closed = true
		c.e.count(&c.e.cursors, -1)
	}
}
