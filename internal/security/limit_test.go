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
	for range MaxFailures {
		if !l.Allow(addr("192.0.2.1")) {
			t.Fatal("refused too early")
		}
		l.Failed(addr("192.0.2.1"))
		l.Failed(addr(fmt.Sprintf("2001:db8::%x", now.Nanosecond()%7)))
	}
	for ip, want := range map[string]bool{"192.0.2.1": false, "::ffff:192.0.2.1": false, "192.0.2.2": true, "2001:db8::99": false, "2001:db8:0:1::1": true} {
		if l.Allow(addr(ip)) != want {
			t.Errorf("%s: %v", ip, !want)
		}
	}
	now = now.Add(time.Minute)
	if !l.Allow(addr("192.0.2.1")) {
		t.Error("refused for ever")
	}
	for i := range maxAddresses + 1 {
		l.Failed(addr(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)))
	}
	if l.Allow(addr("192.0.2.2")) {
		t.Error("more addresses are remembered than may be")
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
