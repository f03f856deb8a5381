package security

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"time"
)

// The bounds of guessing: so many failed logins a minute of one role from one address, and
// so many of all roles from one address. Clients of this machine may be those of a proxy, so
// for them the latter does not count.
const (
	MaxFailures        = 20
	MaxAddressFailures = 10 * MaxFailures
	// maxWatched is how many addresses and roles are watched at once; what comes beyond is
	// not: so many machines guess faster than any such bound.
	maxWatched = 20_000
)

// Limiter counts failed logins by role and by where they come from. It is safe for
// concurrent use; the zero value is ready.
type Limiter struct {
	mu     sync.Mutex
	now    func() time.Time // nil means time.Now
	minute time.Time        // when the running minute began
	seed   maphash.Seed     // of that minute
	failed map[watched]int
}

// watched is a role at an address; role 0 is all of them.
type watched struct {
	addr netip.Addr
	role uint64
}

// Allow reports whether a login as role from addr may be tried now.
func (l *Limiter) Allow(addr net.Addr, role string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn()
	from := source(addr)
	return l.failed[l.key(from, role)] < MaxFailures && (from.IsLoopback() || l.failed[watched{addr: from}] < MaxAddressFailures)
}

// Failed counts a failed login.
func (l *Limiter) Failed(addr net.Addr, role string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn()
	from := source(addr)
	for _, k := range []watched{l.key(from, role), {addr: from}} {
		if n, ok := l.failed[k]; ok || len(l.failed) < maxWatched {
			l.failed[k] = n + 1
		}
	}
}

func (l *Limiter) key(from netip.Addr, role string) watched {
	return watched{from, maphash.String(l.seed, role) | 1}
}

// turn forgets everything once a minute.
func (l *Limiter) turn() {
	now := time.Now()
	if l.now != nil {
		now = l.now()
	}
	if l.failed == nil || now.Sub(l.minute) >= time.Minute || now.Before(l.minute) {
		l.minute, l.failed, l.seed = now, map[watched]int{}, maphash.MakeSeed()
	}
}

// source is the machine, or, of IPv6, the network that addr belongs to.
func source(addr net.Addr) netip.Addr {
	a := AddrOf(addr)
	if a.Is6() && !a.IsLoopback() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// AddrOf is the IP address of a client; the zero Addr if it has none.
func AddrOf(addr net.Addr) netip.Addr {
	if addr == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// Local reports whether a client is on this machine: it comes over loopback or a socket in
// the file system.
func Local(addr net.Addr) bool {
	if addr != nil && addr.Network() == "unix" {
		return true
	}
	return AddrOf(addr).IsLoopback()
}
