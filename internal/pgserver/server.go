// Package pgserver speaks PostgreSQL's frontend/backend protocol, version 3:
// simple and extended queries, COPY, cancellation. What statements mean is the
// engine's business, behind the interfaces of package session.
package pgserver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/tidemill/tidemill/internal/security"
	"github.com/tidemill/tidemill/internal/session"
)

// DefaultMaxConnections is how many clients are served at once unless Config says otherwise.
const DefaultMaxConnections = 1000

// maxStarting is how many clients may be starting or being turned away beside those
// that are served; more are closed without a word.
const maxStarting = 100

// MaxMessageBytes bounds one message of a client; a longer one ends the connection.
const MaxMessageBytes = 64 << 20

// Config is what a Server needs.
type Config struct {
	Engine         session.Engine
	MaxConnections int // zero means DefaultMaxConnections
	// TLS, if set, encrypts the connections of clients that ask for it.
	TLS *tls.Config
	// Auth knows the roles. Nil trusts everybody, wherever they are.
	Auth Authenticator
	// RequirePassword asks for a password also on loopback, where clients are trusted
	// otherwise: for machines with several users, or with a proxy in front of the port.
	RequirePassword bool
	// AllowPlaintext lets clients of other machines in without TLS.
	AllowPlaintext bool
	// Logf reports what goes wrong outside of statements; nil is silent.
	Logf func(format string, args ...any)
}

// Server accepts clients. Create it with New, run it with Serve, end it with Close.
type Server struct {
	cfg    Config
	active atomic.Int64
	served atomic.Int64

	limiter security.Limiter
	mock    *security.Mock // for roles that are not there

	mu     sync.Mutex
	conns  map[uint32]*conn // by process id
	lns    map[net.Listener]bool
	closed bool

	wg sync.WaitGroup
}

// New returns a server that is not listening yet.
func New(cfg Config) *Server {
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = DefaultMaxConnections
	}
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	return &Server{cfg: cfg, mock: security.NewMock(), conns: map[uint32]*conn{}, lns: map[net.Listener]bool{}}
}

// Connections returns how many clients are connected now, and how many have been in all.
func (s *Server) Connections() (now, total int64) { return s.active.Load(), s.served.Load() }

// Serve accepts clients on ln until ln or the server is closed; it closes ln. It
// returns nil after Close.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ln.Close()
	}
	s.lns[ln] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.lns, ln)
		s.mu.Unlock()
		_ = ln.Close()
	}()
	for {
		nc, err := ln.Accept()
		if err != nil {
			if s.isClosed() || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		if !s.start(ctx, nc) {
			_ = nc.Close()
		}
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// start serves nc on a goroutine that Close waits for.
func (s *Server) start(ctx context.Context, nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.cfg.MaxConnections+maxStarting {
		return false
	}
	c := newConn(s, nc)
	for s.conns[c.pid] != nil || c.pid == 0 {
		c.pid++
	}
	s.conns[c.pid] = c
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		c.serve(ctx)
		s.mu.Lock()
		delete(s.conns, c.pid)
		s.mu.Unlock()
	}()
	return true
}

// Close stops accepting, tells every client that the server shuts down, ends their
// statements and waits for their goroutines.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for ln := range s.lns {
		_ = ln.Close()
	}
	for _, c := range s.conns {
		c.shutdown()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// cancel ends the statement that runs on the connection with this key, if any.
func (s *Server) cancel(pid uint32, secret []byte) {
	s.mu.Lock()
	c := s.conns[pid]
	s.mu.Unlock()
	if c != nil && string(c.secret) == string(secret) {
		c.cancelStatement()
	}
}

// randomKey returns a process id and a secret for cancel requests.
func randomKey() (uint32, []byte) {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return binary.BigEndian.Uint32(b) & 0x7fffffff, b[4:]
}
