package pgserver

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// maxPrepared bounds the prepared statements and portals of one connection.
const maxPrepared = 10_000

// portal is a bound statement and how far its rows were sent.
type portal struct {
	st      *session.Statement // nil for an empty statement
	args    []types.Value
	formats []int16
	cur     session.Cursor // nil until executed
	pending *batch.Batch   // rows of the last block not sent yet, from at on
	at      int
	before  int64 // rows that earlier Executes sent
	done    bool
}

// extended serves one message of the extended protocol.
func (c *conn) extended(ctx context.Context, msg pgproto3.FrontendMessage) error {
	switch m := msg.(type) {
	case *pgproto3.Parse:
		return c.run(ctx, func(ctx context.Context) error { return c.parse(ctx, m) })
	case *pgproto3.Bind:
		return c.bind(m)
	case *pgproto3.Describe:
		return c.describe(m)
	case *pgproto3.Execute:
		return c.run(ctx, func(ctx context.Context) error { return c.execute(ctx, m) })
	case *pgproto3.Close:
		if m.ObjectType == 'S' {
			delete(c.prep, m.Name)
		} else {
			c.closePortal(m.Name)
		}
		c.be.Send(&pgproto3.CloseComplete{})
		return nil
	case *pgproto3.Flush:
		if err := c.be.Flush(); err != nil {
			return errConnection
		}
		return nil
	case *pgproto3.CopyData, *pgproto3.CopyDone, *pgproto3.CopyFail:
		return nil // left over from a COPY that failed
	}
	return protocolError(fmt.Sprintf("message %T is not expected here", msg))
}

// sync ends the implicit transaction and says so.
func (c *conn) sync(ctx context.Context) error {
	c.skip = false
	if err := c.run(ctx, c.sess.End); err != nil {
		c.fail(err)
	}
	if c.sess.TxStatus() == 'I' {
		c.closePortals()
	}
	c.ready()
	return c.be.Flush()
}

// parse prepares one statement under a name.
func (c *conn) parse(ctx context.Context, m *pgproto3.Parse) error {
	if m.Name != "" && c.prep[m.Name] != nil {
		return &types.Error{Code: "42P05", Message: fmt.Sprintf("prepared statement %q already exists", m.Name)}
	}
	if len(c.prep) >= maxPrepared {
		return &types.Error{Code: types.CodeOutOfMemory, Message: fmt.Sprintf("more than %d prepared statements", maxPrepared)}
	}
	delete(c.prep, m.Name)
	stmts, err := sql.Parse(m.Query, sql.Options{})
	if err != nil {
		return &textError{err, m.Query}
	}
	if len(stmts) > 1 {
		return &types.Error{Code: types.CodeSyntax, Message: "cannot insert multiple commands into a prepared statement"}
	}
	if len(stmts) == 0 {
		c.prep[m.Name] = &session.Statement{Text: m.Query}
		c.be.Send(&pgproto3.ParseComplete{})
		return nil
	}
	params := make([]types.Type, len(m.ParameterOIDs))
	for i, oid := range m.ParameterOIDs {
		if oid == 0 {
			continue
		}
		t, ok := types.FromOID(oid)
		if !ok {
			return &types.Error{Code: types.CodeUndefinedObject, Message: fmt.Sprintf("type with OID %d does not exist", oid)}
		}
		params[i] = t
	}
	c.sess.Begin()
	st, err := c.sess.Prepare(ctx, m.Query, stmts[0], params)
	if err != nil {
		return &textError{err, m.Query}
	}
	c.prep[m.Name] = st
	c.be.Send(&pgproto3.ParseComplete{})
	return nil
}

// bind gives a prepared statement its arguments.
func (c *conn) bind(m *pgproto3.Bind) error {
	st := c.prep[m.PreparedStatement]
	if st == nil {
		return &types.Error{Code: "26000", Message: fmt.Sprintf("prepared statement %q does not exist", m.PreparedStatement)}
	}
	if m.DestinationPortal != "" && c.portals[m.DestinationPortal] != nil {
		return &types.Error{Code: "42P03", Message: fmt.Sprintf("cursor %q already exists", m.DestinationPortal)}
	}
	if len(c.portals) >= maxPrepared {
		return &types.Error{Code: types.CodeOutOfMemory, Message: fmt.Sprintf("more than %d portals", maxPrepared)}
	}
	c.closePortal(m.DestinationPortal)
	if len(m.Parameters) != len(st.Params) {
		return protocolError(fmt.Sprintf("bind message supplies %d parameters, but prepared statement %q requires %d",
			len(m.Parameters), m.PreparedStatement, len(st.Params)))
	}
	if n := len(m.ParameterFormatCodes); n > 1 && n != len(m.Parameters) {
		return protocolError(fmt.Sprintf("bind message has %d parameter formats but %d parameters", n, len(m.Parameters)))
	}
	if n := len(m.ResultFormatCodes); n > 1 && n != len(st.Columns) {
		return protocolError(fmt.Sprintf("bind message has %d result formats but query has %d columns", n, len(st.Columns)))
	}
	p := &portal{formats: append([]int16(nil), m.ResultFormatCodes...)}
	if st.Stmt != nil {
		p.st = st
	}
	for i, raw := range m.Parameters {
		v, err := c.argument(raw, st.Params[i], formatOf(m.ParameterFormatCodes, i))
		if err != nil {
			return err
		}
		p.args = append(p.args, v)
	}
	c.portals[m.DestinationPortal] = p
	c.be.Send(&pgproto3.BindComplete{})
	return nil
}

// argument decodes one parameter.
func (c *conn) argument(raw []byte, t types.Type, format int16) (types.Value, error) {
	switch {
	case raw == nil:
		return types.NullOf(t), nil
	case format == formatBinary:
		return types.ParseBinary(t, raw)
	case format == formatText:
		return types.Parse(t, string(raw), c.sess.Style())
	}
	return types.Value{}, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("unsupported format code: %d", format)}
}

func (c *conn) describe(m *pgproto3.Describe) error {
	if m.ObjectType == 'P' {
		p := c.portals[m.Name]
		if p == nil {
			return noPortal(m.Name)
		}
		if p.st == nil || p.st.Columns == nil {
			c.be.Send(&pgproto3.NoData{})
			return nil
		}
		c.be.Send(rowDescription(p.st.Columns, p.formats))
		return nil
	}
	st := c.prep[m.Name]
	if st == nil {
		return &types.Error{Code: "26000", Message: fmt.Sprintf("prepared statement %q does not exist", m.Name)}
	}
	oids := make([]uint32, len(st.Params))
	for i, t := range st.Params {
		oids[i] = wireOid(t)
	}
	c.be.Send(&pgproto3.ParameterDescription{ParameterOIDs: oids})
	if st.Columns == nil {
		c.be.Send(&pgproto3.NoData{})
		return nil
	}
	c.be.Send(rowDescription(st.Columns, nil))
	return nil
}

func noPortal(name string) error {
	return &types.Error{Code: "34000", Message: fmt.Sprintf("portal %q does not exist", name)}
}

// execute runs a portal, or goes on with one that was suspended.
func (c *conn) execute(ctx context.Context, m *pgproto3.Execute) error {
	p := c.portals[m.Portal]
	if p == nil {
		return noPortal(m.Portal)
	}
	if p.st == nil {
		c.be.Send(&pgproto3.EmptyQueryResponse{})
		return nil
	}
	if p.cur == nil {
		c.sess.Begin()
		if done, err := c.copying(ctx, p.st); done || err != nil {
			return p.located(err)
		}
		cur, err := c.sess.Execute(ctx, p.st, p.args)
		if err != nil {
			return p.located(err)
		}
		p.cur = cur
	}
	more, err := c.sendSome(ctx, p, int64(m.MaxRows))
	if err != nil {
		return p.located(err)
	}
	if more {
		p.before += int64(m.MaxRows)
		c.be.Send(&pgproto3.PortalSuspended{})
		return nil
	}
	p.done = true
	c.be.Send(&pgproto3.CommandComplete{CommandTag: []byte(p.tag())})
	return nil
}

// tag is the command tag of the last Execute: SELECT and FETCH count the rows that
// it sent, not those of the Executes before it.
func (p *portal) tag() string {
	tag := p.cur.Tag()
	verb, count, _ := strings.Cut(tag, " ")
	n, err := strconv.ParseInt(count, 10, 64)
	if p.before == 0 || err != nil || verb != "SELECT" && verb != "FETCH" {
		return tag
	}
	return verb + " " + strconv.FormatInt(n-p.before, 10)
}

// located adds the statement's text to err, for its position.
func (p *portal) located(err error) error {
	if err == nil {
		return nil
	}
	return &textError{err, p.st.Text}
}

// sendSome sends at most limit rows, 0 for all, and reports whether the limit ended it.
func (c *conn) sendSome(ctx context.Context, p *portal, limit int64) (more bool, err error) {
	cols := p.cur.Columns()
	for n := int64(0); ; {
		if limit > 0 && n == limit {
			return true, nil
		}
		if p.pending == nil {
			if p.done {
				return false, nil
			}
			b, err := p.cur.Next(ctx, false)
			if err == nil && b != nil && b.N == 0 {
				if err = c.be.Flush(); err != nil {
					return false, errConnection
				}
				b, err = p.cur.Next(ctx, true)
			}
			if err != nil {
				return false, err
			}
			if b == nil {
				p.done = true
				return false, nil
			}
			p.pending, p.at = b, 0
		}
		for ; p.at < p.pending.N; p.at++ {
			if limit > 0 && n == limit {
				return true, nil
			}
			c.be.Send(c.rows.row(p.pending, p.at, cols, p.formats, c.sess.Style()))
			n++
			if c.rows.since += len(c.rows.buf); c.rows.since > flushBytes {
				c.rows.since = 0
				if err := c.be.Flush(); err != nil {
					return false, errConnection
				}
			}
		}
		p.pending = nil
	}
}

func (c *conn) closePortal(name string) {
	p := c.portals[name]
	if p == nil {
		return
	}
	if p.cur != nil {
		p.cur.Close()
	}
	delete(c.portals, name)
}
