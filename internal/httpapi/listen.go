package httpapi

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// The bounds of connections of which nothing is known yet.
const (
	firstByteTimeout = 10 * time.Second
	maxSilent        = 256 // connections without a first byte; with more, any of them is closed
)

// tlsHandshake is the first byte of a client that begins with TLS.
const tlsHandshake = 0x16

// Listener returns a listener on ln whose connections are encrypted if the client begins
// with TLS, and as they are otherwise; the API refuses those that should have been
// encrypted. Without certificates it is ln itself.
func (a *API) Listener(ln net.Listener) net.Listener {
	if a.cfg.TLS == nil {
		return ln
	}
	conf := a.cfg.TLS.Clone()
	conf.NextProtos = []string{"http/1.1"}
	return &either{Listener: ln, conf: conf, out: make(chan net.Conn), done: make(chan struct{}), silent: make(chan struct{}, maxSilent)}
}

// either tells the two kinds of clients apart.
type either struct {
	net.Listener
	conf   *tls.Config
	out    chan net.Conn
	done   chan struct{} // closed when no more come
	silent chan struct{} // a token for each connection without a first byte

	start, stop sync.Once
	wg          sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // silent ones; nil when closed
	err   error             // of Accept
}

// Accept implements net.Listener. The first call starts what Close waits for.
func (e *either) Accept() (net.Conn, error) {
	e.start.Do(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		select {
		case <-e.done: // closed before
		default:
			e.conns = map[net.Conn]bool{}
			e.wg.Add(1)
			go e.accept()
		}
	})
	select {
	case c := <-e.out:
		return c, nil
	case <-e.done:
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.err == nil {
			return nil, net.ErrClosed
		}
		return nil, e.err
	}
}

// accept takes connections until the listener is closed.
func (e *either) accept() {
	defer e.wg.Done()
	for {
		c, err := e.Listener.Accept()
		if err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				continue
			}
			e.mu.Lock()
			e.err = err
			e.mu.Unlock()
			e.end()
			return
		}
		select {
		case e.silent <- struct{}{}:
		default:
			e.evict()
			select {
			case e.silent <- struct{}{}:
			case <-e.done:
				_ = c.Close()
				return
			}
		}
		e.mu.Lock()
		if e.conns == nil {
			e.mu.Unlock()
			_ = c.Close()
			return
		}
		e.conns[c] = true
		e.wg.Add(1)
		e.mu.Unlock()
		go e.look(c)
	}
}

// evict closes any of the silent connections, so that those who keep silent keep nobody
// out for long.
func (e *either) evict() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		_ = c.Close()
		return
	}
}

// look waits for a connection's first byte and hands it out.
func (e *either) look(c net.Conn) {
	defer e.wg.Done()
	_ = c.SetReadDeadline(time.Now().Add(firstByteTimeout))
	r := bufio.NewReader(c)
	b, err := r.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	e.mu.Lock()
	delete(e.conns, c)
	e.mu.Unlock()
	<-e.silent
	if err != nil {
		_ = c.Close()
		return
	}
	var out net.Conn = peeked{c, r}
	if b[0] == tlsHandshake {
		out = tls.Server(out, e.conf)
	}
	select {
	case e.out <- out:
	case <-e.done:
		_ = c.Close()
	}
}

// end tells those who wait that no more come.
func (e *either) end() { e.stop.Do(func() { close(e.done) }) }

// Close implements net.Listener.
func (e *either) Close() error {
	err := e.Listener.Close()
	e.mu.Lock()
	for c := range e.conns {
		_ = c.Close()
	}
	e.conns = nil
	e.end()
	e.mu.Unlock()
	e.wg.Wait()
	return err
}

// peeked is a connection of which some bytes were read ahead.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

// Read implements io.Reader.
func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }
