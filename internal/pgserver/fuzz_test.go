package pgserver_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/internal/pgserver"
)

// oneConn is a listener that hands out one connection.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// FuzzProtocol sends arbitrary bytes after a start-up message: the server answers or
// hangs up, and never panics or waits for ever.
func FuzzProtocol(f *testing.F) {
	message := func(m ...pgproto3.FrontendMessage) []byte {
		var b []byte
		for _, x := range m {
			b, _ = x.Encode(b)
		}
		return b
	}
	f.Add(message(&pgproto3.Query{String: "SELECT 3"}))
	f.Add(message(&pgproto3.Parse{Query: "SELECT $1"}, &pgproto3.Bind{Parameters: [][]byte{[]byte("1")}}, &pgproto3.Describe{ObjectType: 'P'},
		&pgproto3.Execute{MaxRows: 1}, &pgproto3.Sync{}))
	f.Add(message(&pgproto3.Query{String: "COPY t FROM STDIN"}, &pgproto3.CopyData{Data: []byte("1\ta\n")}, &pgproto3.CopyDone{}))
	f.Add(message(&pgproto3.Close{ObjectType: 'S', Name: "x"}, &pgproto3.Flush{}, &pgproto3.Terminate{}))
	f.Add([]byte{'Q', 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		client, server := net.Pipe()
		ln := &oneConn{conns: make(chan net.Conn, 1), done: make(chan struct{})}
		ln.conns <- server
		s := pgserver.New(pgserver.Config{Engine: &fakeEngine{}})
		served := make(chan error, 1)
		go func() { served <- s.Serve(context.WithoutCancel(t.Context()), ln) }()
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.Copy(io.Discard, client)
		}()
		hello, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30,
			Parameters: map[string]string{"user": "tidemill"}}).Encode(nil)
		_, _ = client.Write(append(hello, data...))
		_ = client.Close()
		close(ln.done)
		<-served
		s.Close()
		<-read
	})
}
