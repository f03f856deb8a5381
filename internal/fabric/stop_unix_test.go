//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package fabric

import (
	"os"
	"syscall"
	"testing"
)

// As TestLeaderIsKilled with a leader that is stopped, so that its connections stay, and goes on later.
func TestLeaderIsStopped(t *testing.T) {
	testLeaderFails(t,
		func(p *os.Process) error { return p.Signal(syscall.SIGSTOP) },
		func(p *os.Process) error { return p.Signal(syscall.SIGCONT) })
}
