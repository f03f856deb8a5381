package security

import (
	"fmt"
	"net"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	now := time.Now()
	l := &Limiter{now: func() time.Time { return now }}
	addr := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	const far, near, net6 = "192.0.2.1", "127.0.0.1", "2001:db8::7"
	for i := range MaxFailures {
		for _, ip := range []string{far, near, net6} {
			if !l.Allow(addr(ip), "ann") {
				t.Fatalf("%s: refused after %d", ip, i)
			}
			l.Failed(addr(ip), "ann")
		}
	}
	for _, c := range []struct {
		ip, role string
		want     bool
	}{{far, "ann", false}, {"::ffff:" + far, "ann", false}, {far, "bob", true}, {"192.0.2.2", "ann", true}, {near, "ann", false}, {near, "bob", true}, {"::1", "ann", true},
		{"2001:db8::99", "ann", false}, {"2001:db8:0:1::1", "ann", true}} {
		if l.Allow(addr(c.ip), c.role) != c.want {
			t.Errorf("%s as %s: %v", c.ip, c.role, !c.want)
		}
	}
	for i := MaxFailures; i < MaxAddressFailures; i++ { // one after the other
		l.Failed(addr(far), fmt.Sprint("guess", i))
		l.Failed(addr(near), fmt.Sprint("guess", i))
	}
	if l.Allow(addr(far), "bob") || !l.Allow(addr(near), "bob") {
		t.Error("the bound of an address does not hold, or holds for this machine")
	}
	now = now.Add(time.Minute)
	if !l.Allow(addr(far), "ann") {
		t.Error("refused for ever")
	}
	for i := range 2 * maxWatched {
		l.Failed(addr(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)), "ann")
	}
	if len(l.failed) > maxWatched || !l.Allow(addr("192.0.2.2"), "ann") {
		t.Errorf("%d are watched; or all others are kept out", len(l.failed))
	}
	for ip, want := range map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "192.0.2.1": false, "::": false, "0.0.0.0": false} {
		if Local(addr(ip)) != want {
			t.Errorf("%s is local: %v", ip, !want)
		}
	}
	if Local(nil) || !Local(&net.UnixAddr{Name: "@", Net: "unix"}) {
		t.Error("sockets")
	}
}
