package pgserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// startupTimeout bounds how long a client may take to say who it is, and to prove it.
const startupTimeout = 30 * time.Second

// tlsHandshake is the first byte of a client that begins with TLS.
const tlsHandshake = 0x16

// alpnPostgres names the protocol within TLS.
const alpnPostgres = "postgresql"

// conn is one client. Its goroutine runs serve; only cancelStatement and shutdown
// are called by others.
type conn struct {
	srv    *Server
	nc     net.Conn
	tls    *tls.Conn        // over nc; nil if the connection is not encrypted
	shown  *tls.Certificate // to the client
	rd     *watchedReader
	be     *pgproto3.Backend
	pid    uint32
	secret []byte

	sess    session.Session
	prep    map[string]*session.Statement
	portals map[string]*portal
	skip    bool // after an error in the extended protocol, until Sync
	rows    rowWriter

	mu        sync.Mutex
	cancel    context.CancelFunc // of the statement that runs; nil when none does
	cancelled bool               // the statement was ended by a cancel request
	closing   bool
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, rd: &watchedReader{}, prep: map[string]*session.Statement{}, portals: map[string]*portal{}}
	c.stream(nc)
	c.pid, c.secret = randomKey()
	return c
}

// stream reads and writes messages on rw from now on.
func (c *conn) stream(rw io.ReadWriter) {
	c.rd.r = bufio.NewReaderSize(rw, 16<<10)
	c.be = pgproto3.NewBackend(c.rd, rw)
	c.be.SetMaxBodyLen(MaxMessageBytes)
}

// serve runs the connection until the client goes, ctx ends or the server closes.
func (c *conn) serve(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	unhook := context.AfterFunc(ctx, c.shutdown)
	defer unhook()
	defer c.rd.wait()
	defer c.hangUp()
	c.rd.onClose = stop
	_ = c.nc.SetReadDeadline(time.Now().Add(startupTimeout))
	start, err := c.startup(ctx)
	if err != nil || start == nil {
		return
	}
	opt, err := c.options(start)
	if err == nil {
		err = c.authenticate(&opt)
	}
	if errors.Is(err, errConnection) {
		return
	}
	if err != nil {
		c.fatal(asError(err))
		return
	}
	_ = c.nc.SetReadDeadline(time.Time{})
	n := c.srv.active.Add(1)
	defer c.srv.active.Add(-1)
	c.srv.served.Add(1)
	if int(n) > c.srv.cfg.MaxConnections {
		c.fatal(&types.Error{Code: types.CodeTooManyConnections, Message: "sorry, too many clients already",
			Hint: fmt.Sprintf("The limit is %d connections.", c.srv.cfg.MaxConnections)})
		return
	}
	if err := c.open(ctx, opt); err != nil {
		c.fatal(asError(err))
		return
	}
	defer c.sess.Close()
	defer c.closePortals()
	if err := c.loop(ctx); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrUnexpectedEOF) {
		c.fatal(&types.Error{Code: "08P01", Message: err.Error()})
	}
}

// hangUp ends the connection.
func (c *conn) hangUp() {
	if c.tls != nil && !c.isClosing() {
		_ = c.tls.CloseWrite() // so that the client knows that nothing was cut off
	}
	_ = c.nc.Close()
}

// startup reads the client's first messages: encryption by TLS is agreed to if there are
// certificates, a cancel request is carried out. It returns nil when there is nothing to serve.
func (c *conn) startup(ctx context.Context) (*pgproto3.StartupMessage, error) {
	if c.srv.cfg.TLS != nil {
		if b, err := c.rd.r.Peek(1); err == nil && b[0] == tlsHandshake { // without asking first
			if err := c.encrypt(ctx, alpnPostgres); err != nil {
				return nil, err
			}
			if c.tls.ConnectionState().NegotiatedProtocol != alpnPostgres {
				return nil, errors.New("direct TLS without ALPN")
			}
		}
	}
	const tries = 4 // GSS, TLS, then the real one
	for range tries {
		msg, err := c.be.ReceiveStartupMessage()
		if err != nil {
			return nil, err
		}
		switch m := msg.(type) {
		case *pgproto3.StartupMessage:
			return m, nil
		case *pgproto3.SSLRequest:
			if c.tls != nil || c.srv.cfg.TLS == nil {
				if err := c.decline(); err != nil {
					return nil, err
				}
				continue
			}
			c.rd.r.Reset(c.nc)
			if _, err := c.nc.Write([]byte{'S'}); err != nil {
				return nil, err
			}
			if err := c.encrypt(ctx, alpnPostgres); err != nil {
				return nil, err
			}
		case *pgproto3.GSSEncRequest:
			if err := c.decline(); err != nil {
				return nil, err
			}
		case *pgproto3.CancelRequest:
			c.srv.cancel(m.ProcessID, m.SecretKey)
			return nil, nil
		}
	}
	return nil, errors.New("too many requests before start-up")
}

// decline answers a request for encryption that is not to be had.
func (c *conn) decline() error {
	var err error
	if c.tls != nil {
		_, err = c.tls.Write([]byte{'N'})
	} else {
		_, err = c.nc.Write([]byte{'N'})
	}
	return err
}

// options reads who opens which database, and how.
func (c *conn) options(m *pgproto3.StartupMessage) (session.Options, error) {
	opt := session.Options{Remote: c.nc.RemoteAddr().String(), Params: map[string]string{}}
	for k, v := range m.Parameters {
		switch k {
		case "user":
			opt.User = v
		case "database":
			opt.Database = v
		case "options", "replication":
		default:
			opt.Params[k] = v
		}
	}
	if opt.User == "" {
		return opt, &types.Error{Code: codeAuthorization, Message: "no PostgreSQL user name specified in startup packet"}
	}
	if opt.Database == "" {
		opt.Database = opt.User
	}
	return opt, nil
}

// open opens the session of a client that is let in.
func (c *conn) open(ctx context.Context, opt session.Options) error {
	opt.Notice = c.notice
	opt.ParamChanged = func(name, value string) { c.be.Send(&pgproto3.ParameterStatus{Name: name, Value: value}) }
	c.be.Send(&pgproto3.AuthenticationOk{})
	sess, err := c.srv.cfg.Engine.OpenSession(ctx, opt)
	if err != nil {
		return err
	}
	c.sess = sess
	c.be.Send(&pgproto3.BackendKeyData{ProcessID: c.pid, SecretKey: c.secret})
	c.ready()
	return c.be.Flush()
}

// loop serves messages until Terminate or an error of the connection.
func (c *conn) loop(ctx context.Context) error {
	for {
		msg, err := c.be.Receive()
		if err != nil {
			return err
		}
		if _, ok := msg.(*pgproto3.Terminate); ok {
			return nil
		}
		if err := c.handle(ctx, msg); err != nil {
			return err
		}
	}
}

// handle serves one message. The error it returns ends the connection; errors of
// statements have been sent to the client.
func (c *conn) handle(ctx context.Context, msg pgproto3.FrontendMessage) error {
	if q, ok := msg.(*pgproto3.Query); ok {
		c.skip = false
		c.simple(ctx, q.String)
		return c.be.Flush()
	}
	if _, ok := msg.(*pgproto3.Sync); ok {
		return c.sync(ctx)
	}
	if c.skip {
		return nil
	}
	err := c.extended(ctx, msg)
	if errors.Is(err, errConnection) {
		return err
	}
	if err != nil {
		c.fail(err)
		c.skip = true
		return c.be.Flush()
	}
	return nil
}

// run calls fn with a context that a cancel request, the loss of the client or
// the server's end cancels.
func (c *conn) run(parent context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	c.mu.Lock()
	closing := c.closing
	c.cancel, c.cancelled = cancel, false
	c.mu.Unlock()
	if closing {
		cancel()
	}
	c.rd.watch()
	err := fn(ctx)
	c.mu.Lock()
	c.cancel = nil
	if err != nil && (c.closing || parent.Err() != nil) { // the end may be seen here before shutdown runs
		err = &types.Error{Code: "57P01", Message: "terminating connection due to administrator command"}
	} else if err != nil && c.cancelled {
		err = &types.Error{Code: types.CodeQueryCanceled, Message: "canceling statement due to user request"}
	}
	c.mu.Unlock()
	return err
}

func (c *conn) cancelStatement() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancelled = true
		c.cancel()
	}
}

// shutdown ends the connection as soon as its statement, which is cancelled, is over.
func (c *conn) shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	if c.cancel != nil {
		c.cancel()
	}
	_ = c.nc.SetReadDeadline(time.Now())
}

// ready says that the next statement may come.
func (c *conn) ready() {
	c.be.Send(&pgproto3.ReadyForQuery{TxStatus: c.sess.TxStatus()})
}

// fatal sends a last error.
func (c *conn) fatal(e *types.Error) {
	if c.isClosing() {
		e = &types.Error{Code: "57P01", Message: "terminating connection due to administrator command"}
	}
	m := errorResponse(e, "")
	m.Severity, m.SeverityUnlocalized = "FATAL", "FATAL"
	c.be.Send(m)
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	_ = c.be.Flush()
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

func (c *conn) closePortals() {
	for name := range c.portals {
		c.closePortal(name)
	}
}

// watchedReader reads from the client and, while a statement runs, notices when
// the client goes.
type watchedReader struct {
	r       *bufio.Reader
	onClose func()
	peeked  chan struct{} // closed when the peek under way ends; nil if none is
}

// watch peeks at the connection until the next byte comes or it breaks, in which
// case onClose is called. Reads wait for the peek.
func (w *watchedReader) watch() {
	if w.peeked != nil {
		select {
		case <-w.peeked:
		default:
			return // still peeking
		}
	}
	if w.r.Buffered() > 0 {
		return
	}
	done := make(chan struct{})
	w.peeked = done
	go func() {
		defer close(done)
		if _, err := w.r.Peek(1); err != nil {
			w.onClose()
		}
	}()
}

// wait waits for a peek to end; the connection must be closed or readable.
func (w *watchedReader) wait() {
	if w.peeked != nil {
		<-w.peeked
	}
}

// Read implements io.Reader.
func (w *watchedReader) Read(p []byte) (int, error) {
	w.wait()
	w.peeked = nil
	return w.r.Read(p)
}
