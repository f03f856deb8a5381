// Package tidemill embeds Tidemill in a Go program: a broker, logs and SQL views
// that stay correct and up to date while the data changes, in a directory of the
// program's own.
//
//	db, err := tidemill.Open(ctx, tidemill.Config{Dir: "data"})
//	...
//	defer db.Close()
//	db.Exec(ctx, `CREATE TABLE t (k TEXT, v BIGINT)`)
//	db.Exec(ctx, `CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS s FROM t GROUP BY k`)
//	sub, err := db.Subscribe(ctx, "sums")
//	for {
//		change, err := sub.Next(ctx)
//		...
//	}
//
// Nothing listens on the network unless Config says so.
package tidemill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// closeTimeout bounds how long Close waits for work under way.
const closeTimeout = 10 * time.Second

// Config says how to open a database. Dir is required.
type Config struct {
	// Dir holds all that is kept; it is created if need be. Only one process may have
	// it open, and only once.
	Dir string
	// Workers is how many goroutines compute the views. Zero: one a processor.
	Workers int
	// PG, HTTP and NATS are addresses to listen on for PostgreSQL clients, HTTP and
	// NATS clients, such as "127.0.0.1:8432"; port 0 picks a free one. Empty: none.
	PG, HTTP, NATS string
	// MemoryBytes is how much memory the views' state and cached rows may take; the rest is
	// on the disk. Zero: half of what the machine has or the control group allows.
	MemoryBytes int64
	// CheckpointInterval is the time between two checkpoints, which make the next Open
	// quick. Zero: 10 seconds; negative: the statement CHECKPOINT alone makes them.
	CheckpointInterval time.Duration
	// Logf receives what is worth a line in a log. Nil: nothing is logged.
	Logf func(format string, args ...any)
}

// DB is an open database. It is safe for concurrent use.
type DB struct{ node *node.Node }

// Error is an error of a statement. Use errors.As to get at its SQLSTATE.
type Error struct {
	Code    string // SQLSTATE
	Message string
	Detail  string
	Hint    string
	// Offset is the byte in the statement that the error is about, -1 if unknown.
	Offset int
	err    error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// wrap turns an error of the engine into an Error.
func wrap(err error) error {
	var te *types.Error
	var se *sql.Error
	switch {
	case errors.As(err, &te):
		return &Error{te.Code, te.Message, te.Detail, te.Hint, te.Pos - 1, err}
	case errors.As(err, &se):
		return &Error{se.Code, se.Message, se.Detail, se.Hint, se.Pos, err}
	}
	return err
}

// Open opens the database in cfg.Dir and returns when its views are as they were
// before. ctx bounds the opening only.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.Dir == "" {
		return nil, errors.New("open tidemill: Config.Dir is empty")
	}
	n, err := node.Start(ctx, node.Config{DataDir: cfg.Dir, Workers: cfg.Workers, MemoryBytes: cfg.MemoryBytes, CheckpointInterval: cfg.CheckpointInterval, PG: cfg.PG, HTTP: cfg.HTTP, NATS: cfg.NATS, Logf: cfg.Logf})
	if err != nil {
		return nil, fmt.Errorf("open tidemill: %w", err)
	}
	return &DB{n}, nil
}

// Addrs returns the addresses that are listened on, with their ports; empty where
// none is.
func (db *DB) Addrs() (pg, http, nats string) {
	a := db.node.Addrs()
	return a.PG, a.HTTP, a.NATS
}

// Close commits what was accepted, stops everything that Open started and waits for it.
func (db *DB) Close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(context.Background()), closeTimeout)
	defer cancel()
	return db.node.Close(ctx)
}

// open starts a session for one call.
func (db *DB) open(ctx context.Context) (session.Session, error) {
	return db.node.OpenSession(ctx, session.Options{User: node.User, Database: node.Database,
		Params: map[string]string{"application_name": "go library"}})
}

// Exec runs the statements of query as one transaction and returns the last one's
// command tag, such as "INSERT 0 3". When it returns without error, what they wrote is
// durable and in every view. Arguments replace $1, $2, ... and need a single statement.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (tag string, err error) {
	s, err := db.open(ctx)
	if err != nil {
		return "", wrap(err)
	}
	defer s.Close()
	stmts, err := sql.Parse(query, sql.Options{})
	if err != nil {
		return "", wrap(err)
	}
	if len(args) > 0 && len(stmts) != 1 {
		return "", errors.New("arguments need exactly one statement")
	}
	s.Begin()
	for _, stmt := range stmts {
		if tag, err = execOne(ctx, s, query, stmt, args); err != nil {
			s.Fail()
			break
		}
	}
	if e := s.End(ctx); err == nil {
		err = e
	}
	if err != nil {
		return "", wrap(err)
	}
	return tag, nil
}

// execOne runs one statement to its end.
func execOne(ctx context.Context, s session.Session, query string, stmt sql.Stmt, args []any) (string, error) {
	cur, err := execute(ctx, s, query, stmt, args)
	if err != nil {
		return "", err
	}
	defer cur.Close()
	for {
		b, err := cur.Next(ctx, true)
		if err != nil {
			return "", err
		}
		if b == nil {
			return cur.Tag(), nil
		}
	}
}

// execute prepares one statement and runs it with its arguments.
func execute(ctx context.Context, s session.Session, query string, stmt sql.Stmt, args []any) (session.Cursor, error) {
	if _, ok := stmt.(*sql.Copy); ok {
		return nil, &types.Error{Code: types.CodeFeature, Message: "COPY is not available in the library", Hint: "Use INSERT, or the PostgreSQL protocol."}
	}
	st, err := s.Prepare(ctx, query, stmt, nil)
	if err != nil {
		return nil, err
	}
	if len(args) != len(st.Params) {
		return nil, fmt.Errorf("statement has %d parameters, got %d arguments", len(st.Params), len(args))
	}
	values := make([]types.Value, len(args))
	for i, a := range args {
		if values[i], err = toValue(a, st.Params[i], s.Style()); err != nil {
			return nil, fmt.Errorf("argument $%d: %w", i+1, err)
		}
	}
	return s.Execute(ctx, st, values)
}

// Query runs one statement and returns its rows. They are of one committed step,
// which holds everything that this process wrote before.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	s, err := db.open(ctx)
	if err != nil {
		return nil, wrap(err)
	}
	stmts, err := sql.Parse(query, sql.Options{})
	if err == nil && len(stmts) != 1 {
		err = fmt.Errorf("query holds %d statements, want 1", len(stmts))
	}
	var cur session.Cursor
	if err == nil {
		s.Begin()
		cur, err = execute(ctx, s, query, stmts[0], args)
	}
	if err != nil {
		s.Close()
		return nil, wrap(err)
	}
	return &Rows{ctx: ctx, s: s, cur: cur, row: -1}, nil
}
