package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// declared is a cursor of DECLARE.
type declared struct {
	cur     session.Cursor
	hold    bool
	pending *batch.Batch // rows that were taken from cur and not yet fetched, with their next row
	next    int
	ended   bool
}

// cursorStatement runs DECLARE, FETCH, MOVE and CLOSE.
func (s *Session) cursorStatement(ctx context.Context, p *prepared, args []types.Value) (session.Cursor, error) {
	switch st := p.stmt.(type) {
	case *sql.DeclareCursor:
		return s.declare(ctx, p, st, args)
	case *sql.Fetch:
		return s.fetch(ctx, st)
	case *sql.CloseCursor:
		if st.All {
			s.closeCursors(true)
			return done("CLOSE CURSOR ALL"), nil
		}
		c := s.cursors[st.Name.Text]
		if c == nil {
			return nil, noCursor(st.Name)
		}
		c.cur.Close()
		delete(s.cursors, st.Name.Text)
		return done("CLOSE CURSOR"), nil
	}
	return nil, unsupported(p.stmt, "this statement")
}

func noCursor(name sql.Ident) error {
	return &types.Error{Code: "34000", Message: fmt.Sprintf("cursor %q does not exist", name.Text)}
}

func (s *Session) declare(ctx context.Context, p *prepared, st *sql.DeclareCursor, args []types.Value) (session.Cursor, error) {
	hold := st.Hold == sql.Yes
	if !hold && (s.tx == nil || !s.tx.explicit) {
		return nil, &types.Error{Code: "25P01", Message: "DECLARE CURSOR can only be used in transaction blocks"}
	}
	if s.cursors[st.Name.Text] != nil {
		return nil, &types.Error{Code: "42P03", Message: fmt.Sprintf("cursor %q already exists", st.Name.Text)}
	}
	if len(s.cursors) >= maxCursors {
		return nil, &types.Error{Code: "54000", Message: fmt.Sprintf("more than %d open cursors", maxCursors)}
	}
	cur, err := s.execute(ctx, p.inner, args)
	if err != nil {
		return nil, err
	}
	s.cursors[st.Name.Text] = &declared{cur: cur, hold: hold}
	return done("DECLARE CURSOR"), nil
}

// fetch hands out the next rows of a cursor. A subscription gives what there is;
// with a timeout it waits so long for the first row.
func (s *Session) fetch(ctx context.Context, st *sql.Fetch) (session.Cursor, error) {
	c := s.cursors[st.Cursor.Text]
	if c == nil {
		return nil, noCursor(st.Cursor)
	}
	count := st.Count
	if st.All {
		count = math.MaxInt64
	}
	if st.Dir != sql.FetchForward || count < 0 {
		return nil, &types.Error{Code: "55000", Message: "cursor can only scan forward", Hint: "Use FETCH FORWARD, NEXT or ALL."}
	}
	wait := time.Duration(0)
	for _, o := range st.Options {
		v, _ := o.Text()
		ms, err := durationMillis(v)
		if o.Name != "timeout" || err != nil {
			return nil, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid option %q of FETCH", o.Name), Hint: "For example, FETCH 10 FROM c WITH (timeout = '1s')."}
		}
		wait = time.Duration(ms) * time.Millisecond
	}
	out := newFetched(c.cur.Columns())
	if err := c.fill(ctx, out.bu, count, wait); err != nil {
		return nil, err
	}
	return out.finish(st.Move), nil
}

// fill appends up to count rows to bu.
func (c *declared) fill(ctx context.Context, bu *batch.Builder, count int64, wait time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for int64(bu.Len()) < count && !c.ended {
		if c.pending != nil && c.next < c.pending.N {
			bu.AppendFrom(c.pending, c.next, 1)
			c.next++
			continue
		}
		b, err := c.cur.Next(ctx, false)
		if err == nil && b != nil && b.N == 0 {
			if bu.Len() > 0 || wait <= 0 {
				return nil
			}
			if b, err = c.cur.Next(limited, true); err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
				return nil
			}
		}
		if err != nil {
			return err
		}
		c.pending, c.next, c.ended = b, 0, b == nil
	}
	return nil
}

// fetched is the result of FETCH while it is built.
type fetched struct {
	cols []session.Column
	bu   *batch.Builder
}

func newFetched(cols []session.Column) *fetched {
	ts := make([]types.Type, len(cols))
	for i := range cols {
		ts[i] = cols[i].Type
	}
	return &fetched{cols: cols, bu: batch.NewBuilder(ts)}
}

func (f *fetched) finish(move bool) session.Cursor {
	if move {
		return done(fmt.Sprintf("MOVE %d", f.bu.Len()))
	}
	b := f.bu.Seal()
	c := &rowsCursor{cols: f.cols, rows: b, left: -1, verb: "FETCH"}
	for i := range b.N {
		c.order = append(c.order, uint32(i))
	}
	c.open()
	return c
}
