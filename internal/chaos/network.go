package chaos

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/devcluster"
)

// network is what is between the nodes. Links have a direction.
type network interface {
	// name says what kind it is.
	name() string
	// launcher starts processes where their network is; nil: anywhere.
	launcher() devcluster.Launcher
	// host is the address by which others reach a node.
	host(node int) string
	// routes are the addresses that a node is told for the others.
	routes(node int, listen []string) []string
	// args are what a node needs to be told.
	args(node int) []string
	// dial reaches an address of a node as a client beside it does, whatever is cut.
	dial(ctx context.Context, node int, addr string) (net.Conn, error)
	// cut loses what is sent on a link from now on, or stops to.
	cut(from, to int, on bool) error
	// slow delays what is sent on a link. Zero: not any more.
	slow(from, to int, delay time.Duration) error
	// space makes the disk of a node full up to free bytes; negative: not any more.
	space(node int, free int64) error
	close()
}

var errNotHere = errors.New("not possible here")

// plain is a network without links: of one node.
type plain struct{}

func (plain) name() string                           { return "none" }
func (plain) launcher() devcluster.Launcher          { return nil }
func (plain) host(int) string                        { return "127.0.0.1" }
func (plain) routes(_ int, listen []string) []string { return listen }
func (plain) args(int) []string                      { return nil }
func (plain) cut(int, int, bool) error               { return errNotHere }
func (plain) slow(int, int, time.Duration) error     { return errNotHere }
func (plain) space(int, int64) error                 { return errNotHere }
func (plain) close()                                 {}
func (plain) dial(ctx context.Context, _ int, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

// links counts by how many faults each link is cut, since faults overlap.
type links struct {
	net network

	mu   sync.Mutex
	cuts map[[2]int]int
}

func newLinks(n network) *links { return &links{net: n, cuts: map[[2]int]int{}} }

// cut loses what is sent on these links until the function that it returns is called.
func (l *links) cut(pairs [][2]int) (heal func() error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, p := range pairs {
		if l.cuts[p]++; l.cuts[p] == 1 {
			errs = append(errs, l.net.cut(p[0], p[1], true))
		}
	}
	return func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		var errs []error
		for _, p := range pairs {
			if l.cuts[p]--; l.cuts[p] == 0 {
				errs = append(errs, l.net.cut(p[0], p[1], false))
			}
		}
		return errors.Join(errs...)
	}, errors.Join(errs...)
}

// linksOf are the links that a way of cutting node off means, among n nodes. pick decides
// which other node Pair means.
func linksOf(how How, node, n int, pick uint32) [][2]int {
	var out [][2]int
	for other := range n {
		if other == node {
			continue
		}
		if how == Pair && other != (node+1+int(pick)%(n-1))%n {
			continue
		}
		if how != Deaf {
			out = append(out, [2]int{node, other})
		}
		if how != Mute {
			out = append(out, [2]int{other, node})
		}
	}
	return out
}
