// Package session is what the front doors (the PostgreSQL protocol, HTTP, the
// library) need from the engine: sessions that prepare and execute statements,
// and cursors over their rows. The engine implements it; tests fake it.
package session

import (
	"context"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// Engine opens sessions. It is safe for concurrent use.
type Engine interface {
	// OpenSession starts a session of a user in a database. An unknown database is
	// a *types.Error with code 3D000.
	OpenSession(ctx context.Context, opt Options) (Session, error)
}

// Options says who opens a session and how it starts.
type Options struct {
	User     string
	Database string
	Remote   string            // client address, for the catalog of sessions
	Params   map[string]string // start-up parameters, as in SET
	// Notice receives notices and warnings while a statement runs, on the
	// goroutine that runs it; nil drops them.
	Notice func(Notice)
	// ParamChanged is told of every change of a reported parameter
	// (client_encoding, DateStyle, TimeZone, ...), also at start-up; nil ignores.
	ParamChanged func(name, value string)
}

// Notice is a message that is not an error.
type Notice struct {
	Severity string // NOTICE, WARNING, INFO
	types.Error
}

// Session runs statements one at a time; it is not safe for concurrent use.
// Every error that a client should see is a *types.Error.
type Session interface {
	// Prepare binds stmt (one of the statements that sql.Parse gave for text) and
	// infers the types of its parameters; params fixes the first ones, Unknown to
	// infer. DDL and utility statements are accepted too.
	Prepare(ctx context.Context, text string, stmt sql.Stmt, params []types.Type) (*Statement, error)
	// Execute runs a prepared statement with its arguments, which have the types of
	// st.Params. A statement that writes is durable when Execute returns without
	// error (or, in a transaction block, when its COMMIT does). Cancelling ctx ends
	// the statement with error 57014.
	Execute(ctx context.Context, st *Statement, args []types.Value) (Cursor, error)
	// CopyIn starts COPY ... FROM STDIN.
	CopyIn(ctx context.Context, st *Statement) (CopyIn, error)
	// TxStatus is 'I' idle, 'T' in a transaction block, 'E' in a failed one.
	TxStatus() byte
	// Fail marks an open transaction block failed, for errors the front door met itself.
	Fail()
	// Begin and End bracket an implicit transaction: the statements of one simple
	// query message. End commits it unless a block was opened or a statement failed.
	Begin()
	End(ctx context.Context) error
	// Style is how values are printed (DateStyle, IntervalStyle, TimeZone, extra_float_digits).
	Style() types.Style
	// Param returns a parameter's current value.
	Param(name string) (string, bool)
	// Close rolls back what is open and frees the session.
	Close()
}

// Statement is one prepared statement. It is immutable and belongs to its session.
type Statement struct {
	Text    string // the statement's own text
	Stmt    sql.Stmt
	Params  []types.Type
	Columns []Column // nil when it returns no rows
	Plan    any      // the engine's own
}

// Column describes one column of a result.
type Column struct {
	Name   string
	Type   types.Type
	Table  uint32 // oid of the relation it comes from, 0 if none
	Attnum int16  // number of the attribute there, from 1
}

// Cursor hands out a result block by block.
type Cursor interface {
	// Columns describes the rows; nil when the statement returns none.
	Columns() []Column
	// Next returns the next block of rows, in order, every weight +1, no Sel; it is
	// the caller's to read until the next call. nil means the end. A cursor of
	// SUBSCRIBE blocks until there is a change or ctx is done; with wait false it
	// returns an empty batch instead of blocking.
	Next(ctx context.Context, wait bool) (*batch.Batch, error)
	// Tag is the command tag (SELECT 3, INSERT 0 1), valid after the end.
	Tag() string
	// Close frees what the cursor holds; it may be called at any time, more than once.
	Close()
}

// CopyIn receives the rows of COPY ... FROM STDIN.
type CopyIn interface {
	// Columns are the target columns in the order given; values are of these types.
	Columns() []Column
	// Write takes a block of rows with these columns; it is borrowed until it returns.
	// It may block to push back.
	Write(ctx context.Context, b *batch.Batch) error
	// Commit makes the rows durable and returns their number.
	Commit(ctx context.Context) (int64, error)
	// Abort drops them.
	Abort()
}

// CopyOptions is the options of COPY as the front door needs them. The engine parses
// them from the statement and puts them into Statement.Plan, which implements
// Copier for COPY statements.
type CopyOptions struct {
	CSV       bool
	Binary    bool
	Header    bool
	Delimiter byte
	Quote     byte
	Escape    byte
	Null      string
	// ForceQuoteAll quotes every value that is not NULL, in CSV only.
	ForceQuoteAll bool
}

// Copier is implemented by Statement.Plan of a COPY statement.
type Copier interface {
	// CopyOptions returns the format; in says FROM STDIN, else TO STDOUT.
	CopyOptions() (opt CopyOptions, in bool)
}
