// Package shell is the SQL shell behind `tidemill sql`: it sends statements over
// the PostgreSQL protocol and prints what comes back as tables, JSON or CSV.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Format is how rows are printed.
type Format string

// The formats.
const (
	Table Format = "table" // aligned columns with a footer, for people
	JSON  Format = "json"  // one object a row, on a line of its own
	CSV   Format = "csv"   // a header and a record a row
)

// Config is what a Shell needs.
type Config struct {
	URL    string // postgres://user@host:port/database
	Format Format
	Out    io.Writer
	Err    io.Writer
	// HistoryFile keeps the interactive shell's lines; empty keeps none.
	HistoryFile string
}

// ErrConnect marks a connection that could not be made.
var ErrConnect = errors.New("connect")

// ErrStatement marks a statement that failed; its error has been printed.
var ErrStatement = errors.New("statement failed")

// Shell runs statements on one connection.
type Shell struct {
	cfg    Config
	conn   *pgconn.PgConn
	timing bool
}

// Open connects. The error wraps ErrConnect.
func Open(ctx context.Context, cfg Config) (*Shell, error) {
	s := &Shell{cfg: cfg}
	pc, err := pgconn.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnect, err)
	}
	pc.RuntimeParams["application_name"] = "tidemill sql"
	pc.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		fmt.Fprintf(cfg.Err, "%s:  %s\n", n.Severity, n.Message)
		if n.Hint != "" {
			fmt.Fprintf(cfg.Err, "HINT:  %s\n", n.Hint)
		}
	}
	if s.conn, err = pgconn.ConnectConfig(ctx, pc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnect, err)
	}
	return s, nil
}

// closeTimeout bounds the goodbye to the server.
const closeTimeout = time.Second

// Close ends the connection.
func (s *Shell) Close() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(context.Background()), closeTimeout)
	defer cancel()
	_ = s.conn.Close(ctx)
}

// Run runs the statements of text and prints their results. The first error ends
// it: it is printed, and the error returned wraps ErrStatement.
func (s *Shell) Run(ctx context.Context, text string) error {
	start := time.Now()
	res := s.conn.Exec(ctx, text)
	for res.NextResult() {
		if err := s.print(res.ResultReader()); err != nil {
			_ = res.Close()
			return s.report(text, err)
		}
	}
	if err := res.Close(); err != nil {
		return s.report(text, err)
	}
	if s.timing {
		fmt.Fprintf(s.cfg.Out, "Time: %.3f ms\n", float64(time.Since(start).Microseconds())/1000)
	}
	return nil
}

// report prints err as PostgreSQL's clients do, with the place in the statement.
func (s *Shell) report(text string, err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		fmt.Fprintf(s.cfg.Err, "ERROR:  %v\n", err)
		if s.conn.IsClosed() {
			return fmt.Errorf("%w: %w", ErrConnect, err)
		}
		return ErrStatement
	}
	fmt.Fprintf(s.cfg.Err, "%s:  %s\n", pe.Severity, pe.Message)
	if pe.Position > 0 {
		line, col, n := place(text, int(pe.Position))
		prefix := fmt.Sprintf("LINE %d: ", n)
		fmt.Fprintf(s.cfg.Err, "%s%s\n%*s\n", prefix, line, len(prefix)+col, "^")
	}
	if pe.Detail != "" {
		fmt.Fprintf(s.cfg.Err, "DETAIL:  %s\n", pe.Detail)
	}
	if pe.Hint != "" {
		fmt.Fprintf(s.cfg.Err, "HINT:  %s\n", pe.Hint)
	}
	if s.conn.IsClosed() { // the node ended the connection
		return fmt.Errorf("%w: the connection to the node is lost", ErrConnect)
	}
	return ErrStatement
}

// place finds the line of text that holds character pos, counted from 1: the line,
// the column in it from 1, and the line's number.
func place(text string, pos int) (line string, col, number int) {
	rs := []rune(text)
	pos = min(pos, len(rs)+1)
	start, number := 0, 1
	for i := 0; i < pos-1; i++ {
		if rs[i] == '\n' {
			start, number = i+1, number+1
		}
	}
	end := start
	for end < len(rs) && rs[end] != '\n' {
		end++
	}
	return string(rs[start:end]), pos - start, number
}

// RunFile runs the statements of a file, "-" for standard input.
func (s *Shell) RunFile(ctx context.Context, name string) error {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(os.Stdin)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return err
	}
	for _, stmt := range Split(string(text)) {
		if err := s.Run(ctx, stmt); err != nil {
			return err
		}
	}
	return nil
}
