package pgserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/internal/pgserver"
)

// start serves a fake engine and returns its URL.
func start(t *testing.T, cfg pgserver.Config) string {
	t.Helper()
	if cfg.Engine == nil {
		cfg.Engine = &fakeEngine{}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := pgserver.New(cfg)
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.WithoutCancel(t.Context()), ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return fmt.Sprintf("postgres://tidemill@%s/tidemill?sslmode=prefer", ln.Addr())
}

func dial(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}

// read collects (i, t) rows as text.
func read(t *testing.T, rows pgx.Rows, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for rows.Next() {
		var i int64
		var s *string
		if err := rows.Scan(&i, &s); err != nil {
			t.Fatal(err)
		}
		text := "NULL"
		if s != nil {
			text = *s
		}
		out = append(out, fmt.Sprintf("%d:%s", i, text))
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return strings.Join(out, " ")
}

func TestRowsInBothProtocolsAndFormats(t *testing.T) {
	c := dial(t, start(t, pgserver.Config{}))
	const want = "0: 1:x 2:NULL 3:xxx 4:xxxx"
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec,
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec} {
		rows, err := c.Query(t.Context(), "SELECT 5", mode)
		if got := read(t, rows, err); got != want {
			t.Errorf("mode %v: got %s, want %s", mode, got, want)
		}
	}
}

func TestParametersInTextAndBinary(t *testing.T) {
	c := dial(t, start(t, pgserver.Config{}))
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement} {
		var got int64
		if err := c.QueryRow(t.Context(), "SELECT $1", mode, int64(-42)).Scan(&got); err != nil || got != -42 {
			t.Errorf("mode %v: %d, %v", mode, got, err)
		}
	}
}

func TestErrorCarriesCodePositionAndHintAndTheSessionGoesOn(t *testing.T) {
	c := dial(t, start(t, pgserver.Config{}))
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
		_, err := c.Exec(t.Context(), "SHOW fail", mode)
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.Code != "42703" || pe.Position != 6 || pe.Hint != "try another" {
			t.Fatalf("mode %v: %#v", mode, err)
		}
		rows, err := c.Query(t.Context(), "SELECT 1", mode)
		if got := read(t, rows, err); got != "0:" {
			t.Errorf("after the error: %s", got)
		}
	}
	_, err := c.Exec(t.Context(), "SELEC 1")
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "42601" || pe.Position != 1 {
		t.Fatalf("syntax error: %v", err)
	}
}

func TestCancelEndsTheStatementOnly(t *testing.T) {
	c := dial(t, start(t, pgserver.Config{}))
	done := make(chan error, 1)
	go func() {
		_, err := c.PgConn().Exec(context.WithoutCancel(t.Context()), "SHOW hang").ReadAll()
		done <- err
	}()
	for {
		if err := c.PgConn().CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			var pe *pgconn.PgError
			if !errors.As(err, &pe) || pe.Code != "57014" {
				t.Fatal(err)
			}
			rows, err := c.Query(t.Context(), "SELECT 1")
			read(t, rows, err)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestClientThatGoesEndsItsStatement(t *testing.T) {
	s := start(t, pgserver.Config{MaxConnections: 1})
	c := dial(t, s)
	go func() { _, _ = c.PgConn().Exec(t.Context(), "SHOW hang").ReadAll() }()
	time.Sleep(time.Millisecond) // whichever comes first, the statement or the close, the outcome is the same
	_ = c.PgConn().Conn().Close()
	deadline := time.Now().Add(5 * time.Second)
	for {
		again, err := pgx.Connect(t.Context(), s)
		if err == nil {
			_ = again.Close(t.Context())
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the place is still taken: %v", err)
		}
	}
}

func TestPortalWithRowLimit(t *testing.T) {
	c := dial(t, start(t, pgserver.Config{}))
	f := c.PgConn().Frontend()
	send(t, f, "SELECT 5")
	var got []string
	for {
		msg, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimPrefix(fmt.Sprintf("%T", msg), "*pgproto3."))
		if got[len(got)-1] == "ReadyForQuery" {
			break
		}
	}
	want := "ParseComplete BindComplete NoticeResponse DataRow DataRow PortalSuspended DataRow DataRow PortalSuspended DataRow CommandComplete ReadyForQuery"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

func TestCopyBothWays(t *testing.T) {
	for _, c := range []struct{ options, in string }{
		{"", "1\ta\\tb\\\\\n2\t\\N\n3\t\n"},
		{" CSV", "1,\"a,\"\"b\"\"\nc\"\n2,\n3,\"\"\n"},
	} {
		conn := dial(t, start(t, pgserver.Config{})).PgConn()
		tag, err := conn.CopyFrom(t.Context(), strings.NewReader(c.in), "COPY t FROM STDIN"+c.options)
		if err != nil || tag.RowsAffected() != 3 {
			t.Fatalf("in%s: %v, %v", c.options, tag, err)
		}
		var out bytes.Buffer
		if _, err := conn.CopyTo(t.Context(), &out, "COPY t TO STDOUT"+c.options); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.in {
			t.Errorf("out%s: got %q, want %q", c.options, out.String(), c.in)
		}
	}
}

func TestCopyBinary(t *testing.T) {
	c := dial(t, start(t, pgserver.Config{}))
	rows := [][]any{{int64(1), "a"}, {int64(-2), nil}, {int64(3), ""}}
	n, err := c.CopyFrom(t.Context(), pgx.Identifier{"t"}, []string{"i", "t"}, pgx.CopyFromRows(rows))
	if err != nil || n != 3 {
		t.Fatalf("in: %d, %v", n, err)
	}
	var out bytes.Buffer
	if _, err := c.PgConn().CopyTo(t.Context(), &out, "COPY t TO STDOUT (FORMAT binary)"); err != nil {
		t.Fatal(err)
	}
	again := dial(t, start(t, pgserver.Config{})).PgConn()
	tag, err := again.CopyFrom(t.Context(), iotest.OneByteReader(bytes.NewReader(out.Bytes())), "COPY t FROM STDIN (FORMAT binary)")
	if err != nil || tag.RowsAffected() != 3 {
		t.Fatalf("again: %v, %v", tag, err)
	}
	var text bytes.Buffer
	if _, err := again.CopyTo(t.Context(), &text, "COPY t TO STDOUT"); err != nil || text.String() != "1\ta\n-2\t\\N\n3\t\n" {
		t.Errorf("text: %q, %v", text.String(), err)
	}
	for what, in := range map[string][]byte{"no signature": []byte("1\ta\n"), "cut": out.Bytes()[:out.Len()-5], "fields": append(out.Bytes()[:19:19], 0, 1)} {
		_, err := again.CopyFrom(t.Context(), bytes.NewReader(in), "COPY t FROM STDIN (FORMAT binary)")
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.Code != "22P04" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCopyErrorNamesLineAndColumn(t *testing.T) {
	conn := dial(t, start(t, pgserver.Config{})).PgConn()
	_, err := conn.CopyFrom(t.Context(), strings.NewReader("1\ta\nx\tb\n"), "COPY t FROM STDIN")
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "22P02" || !strings.Contains(pe.Detail, "line 2, column i") {
		t.Fatalf("%#v", err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
		t.Errorf("the session is lost: %v", err)
	}
}

func TestTooManyConnectionsAndWrongDatabase(t *testing.T) {
	url := start(t, pgserver.Config{MaxConnections: 1})
	dial(t, url)
	_, err := pgx.Connect(t.Context(), url)
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "53300" {
		t.Errorf("second client: %v", err)
	}
	_, err = pgx.Connect(t.Context(), strings.Replace(start(t, pgserver.Config{}), "/tidemill?", "/nothing?", 1))
	if !errors.As(err, &pe) || pe.Code != "3D000" {
		t.Errorf("wrong database: %v", err)
	}
}

// send asks for the rows of a statement two at a time.
func send(t *testing.T, f *pgproto3.Frontend, query string) {
	t.Helper()
	f.Send(&pgproto3.Parse{Query: query})
	f.Send(&pgproto3.Bind{})
	for range 3 {
		f.Send(&pgproto3.Execute{MaxRows: 2})
	}
	f.Send(&pgproto3.Sync{})
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
}
