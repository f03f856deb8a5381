package security

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// The bounds of guessing: so many failed logins a minute from one address, and so many
// addresses that are remembered.
const (
	MaxFailures  = 20
	maxAddresses = 10_000
)

// Limiter counts failed logins by where they come from. It is safe for concurrent use; the
// zero value is ready.
type Limiter struct {
	mu     sync.Mutex
	now    func() time.Time // nil means time.Now
	minute time.Time        // when the running minute began
	failed map[netip.Addr]int
}

// Allow reports whether a login from addr may be tried now.
func (l *Limiter) Allow(addr net.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn()
	return l.failed[source(addr)] < MaxFailures && len(l.failed) <= maxAddresses
}

// Failed counts a failed login.
func (l *Limiter) Failed(addr net.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn()
	l.failed[source(addr)]++
}

// turn forgets everything once a minute.
func (l *Limiter) turn() {
	now := time.Now()
	if l.now != nil {
		now = l.now()
	}
	if l.failed == nil || now.Sub(l.minute) >= time.Minute || now.Before(l.minute) {
		l.minute, l.failed = now, map[netip.Addr]int{}
	}
}

// source is the machine, or, of IPv6, the network that addr belongs to.
func source(addr net.Addr) netip.Addr {
	a := AddrOf(addr)
	if a.Is6() {
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
