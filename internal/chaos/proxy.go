package chaos

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/devcluster"
)

// proxyPiece is how much a proxy takes over at once; what is under way in a link that is cut
// stays in the buffers of the system, as what TCP would send again.
const proxyPiece = 32 << 10

// proxies is a network of TCP proxies on loopback: one in front of each node for each other
// node, so that each knows who speaks.
type proxies struct {
	plain
	all   [][]*proxy // by who dials, and whom
	lobby []*proxy   // the address that each node is known by to those who were not told another one

	mu    sync.Mutex
	links map[[2]int]*link
}

// link is one direction between two nodes.
type link struct {
	mu    sync.Mutex
	open  chan struct{} // closed while it is not cut
	delay time.Duration
}

// newProxies makes the proxies. They know where the nodes listen once routes is called.
func newProxies(nodes int) (*proxies, error) {
	p := &proxies{links: map[[2]int]*link{}}
	for from := range nodes {
		p.all = append(p.all, make([]*proxy, nodes))
		for to := range nodes {
			if from == to {
				continue
			}
			open := make(chan struct{})
			close(open)
			p.links[[2]int{from, to}] = &link{open: open}
		}
	}
	shut := &link{open: make(chan struct{})} // for ever
	for range nodes {
		x, err := newProxy(shut, shut)
		if err != nil {
			p.close()
			return nil, err
		}
		p.lobby = append(p.lobby, x)
	}
	for from := range nodes {
		for to := range nodes {
			if from == to {
				continue
			}
			x, err := newProxy(p.links[[2]int{from, to}], p.links[[2]int{to, from}])
			if err != nil {
				p.close()
				return nil, err
			}
			p.all[from][to] = x
		}
	}
	return p, nil
}

func (p *proxies) name() string { return "proxies" }

// args: nodes tell each other of addresses, by which a connection would go round its proxy. So
// they tell of one behind which nobody answers.
func (p *proxies) args(node int) []string {
	return []string{"--advertise-routes", p.lobby[node].addr()}
}

func (p *proxies) routes(node int, listen []string) []string {
	out := slices.Clone(listen)
	for to, x := range p.all[node] {
		if x != nil {
			x.to(listen[to])
			out[to] = x.addr()
		}
	}
	return out
}

func (p *proxies) cut(from, to int, on bool) error {
	l := p.links[[2]int{from, to}]
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		if on {
			l.open = make(chan struct{})
		}
	default:
		if !on {
			close(l.open)
		}
	}
	return nil
}

func (p *proxies) slow(from, to int, delay time.Duration) error {
	l := p.links[[2]int{from, to}]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
	return nil
}

func (p *proxies) close() {
	for _, x := range p.lobby {
		x.close()
	}
	for _, row := range p.all {
		for _, x := range row {
			if x != nil {
				x.close()
			}
		}
	}
}

func (l *link) state() (open chan struct{}, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.delay
}

// pass waits until the link is not cut, and then as long as it is slow.
func (l *link) pass(ctx context.Context) error {
	for {
		open, delay := l.state()
		select {
		case <-open:
		case <-ctx.Done():
			return ctx.Err()
		}
		if delay == 0 {
			return nil
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
		if again, _ := l.state(); again == open {
			return nil
		}
	}
}

// proxy hands connections on to one address.
type proxy struct {
	listener net.Listener
	there    *link // from who dials
	back     *link
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu     sync.Mutex
	target string
}

// newProxy listens on a free port of loopback.
func newProxy(there, back *link) (*proxy, error) {
	port, err := devcluster.FreePort()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, there: there, back: back}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.work.Go(p.serve)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) to(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *proxy) close() {
	p.cancel()
	_ = p.listener.Close()
	p.work.Wait()
}

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.connection(c) })
	}
}

// connection carries one connection. While a direction is cut nothing of it passes, the end
// of the connection neither.
func (p *proxy) connection(in net.Conn) {
	defer in.Close()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	if p.there.pass(p.ctx) != nil || p.back.pass(p.ctx) != nil {
		return // the answer to a dial has to come back
	}
	out, err := (&net.Dialer{}).DialContext(p.ctx, "tcp", target)
	if err != nil {
		return
	}
	defer out.Close()
	done := make(chan struct{}, 2)
	pipe := func(from, to net.Conn, l *link) {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, proxyPiece)
		for {
			n, err := from.Read(buf)
			if l.pass(p.ctx) != nil {
				return
			}
			if n > 0 {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	p.work.Go(func() { pipe(in, out, p.there) })
	p.work.Go(func() { pipe(out, in, p.back) })
	select {
	case <-done:
	case <-p.ctx.Done():
	}
}
