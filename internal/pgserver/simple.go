package pgserver

import (
	"context"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
)

// flushBytes is how much output is gathered before it goes to the client.
const flushBytes = 64 << 10

// simple runs the statements of one Query message, up to the first error.
func (c *conn) simple(ctx context.Context, text string) {
	defer c.ready()
	c.closePortal("")
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		c.fail(&textError{err, text})
		return
	}
	if len(stmts) == 0 {
		c.be.Send(&pgproto3.EmptyQueryResponse{})
		return
	}
	c.sess.Begin()
	for _, st := range stmts {
		if err := c.run(ctx, func(ctx context.Context) error { return c.statement(ctx, text, st) }); err != nil {
			c.fail(&textError{err, text})
			break
		}
	}
	if err := c.run(ctx, c.sess.End); err != nil {
		c.fail(&textError{err, text})
	}
}

// statement runs one statement and sends its whole result in text form.
func (c *conn) statement(ctx context.Context, text string, stmt sql.Stmt) error {
	st, err := c.sess.Prepare(ctx, text, stmt, nil)
	if err != nil {
		return err
	}
	if len(st.Params) > 0 {
		return protocolError("a simple query has no parameters")
	}
	if done, err := c.copying(ctx, st); done || err != nil {
		return err
	}
	cur, err := c.sess.Execute(ctx, st, nil)
	if err != nil {
		return err
	}
	defer cur.Close()
	if cols := cur.Columns(); cols != nil {
		c.be.Send(rowDescription(cols, nil))
	}
	if err := c.sendRows(ctx, cur, nil); err != nil {
		return err
	}
	c.be.Send(&pgproto3.CommandComplete{CommandTag: []byte(cur.Tag())})
	return nil
}

// sendRows sends every row of cur. Before it waits for more, it sends on what
// there is, so that a subscription's changes arrive at once.
func (c *conn) sendRows(ctx context.Context, cur session.Cursor, formats []int16) error {
	cols := cur.Columns()
	for {
		b, err := cur.Next(ctx, false)
		if err == nil && b != nil && b.N == 0 {
			if err = c.be.Flush(); err != nil {
				return errConnection
			}
			b, err = cur.Next(ctx, true)
		}
		if err != nil || b == nil {
			return err
		}
		for i := range b.N {
			c.be.Send(c.rows.row(b, i, cols, formats, c.sess.Style()))
			if c.rows.since += len(c.rows.buf); c.rows.since > flushBytes {
				c.rows.since = 0
				if err := c.be.Flush(); err != nil {
					return errConnection
				}
			}
		}
	}
}
