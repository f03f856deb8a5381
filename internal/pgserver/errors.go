package pgserver

import (
	"errors"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// errConnection marks errors that end the connection.
var errConnection = errors.New("connection lost")

// textError is an error in a statement whose text is known, for its position.
type textError struct {
	err  error
	text string
}

func (e *textError) Error() string { return e.err.Error() }
func (e *textError) Unwrap() error { return e.err }

// asError turns any error into one with a SQLSTATE.
func asError(err error) *types.Error {
	return session.AsError(err, "canceling statement due to user request")
}

// errorResponse is the wire form of e, which came up in text.
func errorResponse(e *types.Error, text string) *pgproto3.ErrorResponse {
	m := &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR",
		Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint}
	if e.Pos > 0 && text != "" {
		m.Position = charPosition(text, e.Pos-1)
	}
	return m
}

// charPosition counts characters, as the protocol does, from 1.
func charPosition(text string, off int) int32 {
	return int32(utf8.RuneCountInString(text[:min(off, len(text))])) + 1
}

// fail sends err and marks the transaction block failed.
func (c *conn) fail(err error) {
	text := ""
	var te *textError
	if errors.As(err, &te) {
		text = te.text
	}
	c.sess.Fail()
	c.be.Send(errorResponse(asError(err), text))
}

// notice sends a notice or warning of the statement that runs.
func (c *conn) notice(n session.Notice) {
	m := errorResponse(&n.Error, "")
	m.Severity, m.SeverityUnlocalized = n.Severity, n.Severity
	if m.Code == "" {
		m.Code = "00000"
	}
	c.be.Send((*pgproto3.NoticeResponse)(m))
}

// protocolError is an error of the client's in its use of the protocol.
func protocolError(msg string) error {
	return &types.Error{Code: "08P01", Message: msg}
}
