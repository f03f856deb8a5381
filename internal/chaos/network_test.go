package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	// within bounds what has to come, and silence how long a test looks whether something
	// comes that must not.
	within  = 20 * time.Second
	silence = 150 * time.Millisecond
)

// pairConn is a connection from node 0 to node 1.
type pairConn struct {
	t         *testing.T
	near, far net.Conn
	lines     [2]chan string // that came to 0 and to 1
}

func newPair(t *testing.T, near, far net.Conn) *pairConn {
	p := &pairConn{t: t, near: near, far: far}
	for i, c := range []net.Conn{near, far} {
		p.lines[i] = make(chan string, 100)
		go func() {
			defer close(p.lines[i])
			for s := bufio.NewScanner(c); s.Scan(); {
				p.lines[i] <- s.Text()
			}
		}()
	}
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return p
}

// send writes a line from one end.
func (p *pairConn) send(from int, line string) {
	p.t.Helper()
	if _, err := fmt.Fprintln([]net.Conn{p.near, p.far}[from], line); err != nil {
		p.t.Fatal(err)
	}
}

// want waits for a line at an end.
func (p *pairConn) want(at int, line string) {
	p.t.Helper()
	select {
	case got := <-p.lines[at]:
		if got != line {
			p.t.Fatalf("end %d got %q, want %q", at, got, line)
		}
	case <-time.After(within):
		p.t.Fatalf("%q did not come to end %d", line, at)
	}
}

// silent looks whether nothing comes.
func (p *pairConn) silent(at int) {
	p.t.Helper()
	select {
	case got := <-p.lines[at]:
		p.t.Fatalf("end %d got %q through a link that is cut", at, got)
	case <-time.After(silence):
	}
}

// checkCuts tries all ways to cut the links between nodes 0 and 1 of a network.
func checkCuts(t *testing.T, n network, p *pairConn) {
	t.Helper()
	l := newLinks(n)
	p.send(0, "hello")
	p.want(1, "hello")
	p.send(1, "and you")
	p.want(0, "and you")
	cut := func(how How, node int) func() {
		heal, err := l.cut(linksOf(how, node, 2, 0))
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := heal(); err != nil {
				t.Fatal(err)
			}
		}
	}
	heal := cut(Mute, 0)
	p.send(0, "lost for now")
	p.silent(1)
	p.send(1, "still heard")
	p.want(0, "still heard")
	again := cut(Isolate, 0)
	heal()
	p.silent(1) // the other fault still cuts it
	p.send(1, "not heard")
	p.silent(0)
	again()
	p.want(1, "lost for now")
	p.want(0, "not heard")
	p.send(0, "all is well") // and all before it is acknowledged, or TCP would hold new data back
	p.want(1, "all is well")
	p.send(1, "here too")
	p.want(0, "here too")
	heal = cut(Deaf, 0)
	p.send(1, "later")
	p.silent(0)
	p.send(0, "spoken")
	p.want(1, "spoken")
	heal()
	p.want(0, "later")
}

func TestProxies(t *testing.T) {
	n, err := newProxies(2)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	routes := n.routes(0, []string{"127.0.0.1:1", l.Addr().String()})
	if routes[0] != "127.0.0.1:1" || routes[1] == l.Addr().String() {
		t.Fatalf("routes %q", routes)
	}
	near, err := net.Dial("tcp", routes[1])
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPair(t, near, far)
	checkCuts(t, n, p)

	if err := n.slow(0, 1, 2*silence); err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	p.send(0, "slowly")
	p.want(1, "slowly")
	if took := time.Since(sent); took < 2*silence {
		t.Errorf("a slow link took %v, want %v", took, 2*silence)
	}
	if err := n.cut(0, 1, true); err != nil {
		t.Fatal(err)
	}
	_ = near.Close()
	select {
	case _, open := <-p.lines[1]:
		if !open {
			t.Error("the end of a connection went through a link that is cut")
		}
	case <-time.After(silence):
	}
	if err := n.cut(0, 1, false); err != nil {
		t.Fatal(err)
	}
	select {
	case _, open := <-p.lines[1]:
		if open {
			t.Error("something came in place of the end")
		}
	case <-time.After(within):
		t.Error("the end of a connection did not come after the link was healed")
	}
}

func TestNamespaces(t *testing.T) {
	dirs := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	n, err := newCages(dirs, true)
	if err != nil {
		t.Skip(err)
	}
	defer n.close()
	listen := func(node int, addr string) net.Listener {
		var l net.Listener
		n.nodes[node].start.Do(func() { l, err = net.Listen("tcp", addr) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	l := listen(1, n.host(1)+":4000")
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	near, err := n.dial(ctx, 0, n.host(1)+":4000")
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	checkCuts(t, n, newPair(t, near, far))

	// A client reaches a node whatever is cut, over the node's own loopback.
	if _, err := newLinks(n).cut(linksOf(Isolate, 1, 2, 0)); err != nil {
		t.Fatal(err)
	}
	listen(1, "127.0.0.1:4001")
	c, err := n.dial(ctx, 1, "127.0.0.1:4001")
	if err != nil {
		t.Errorf("a client of a node that is cut off: %v", err)
	} else {
		_ = c.Close()
	}
	if c, err := n.dial(ctx, 0, "127.0.0.1:4001"); err == nil {
		_ = c.Close()
		t.Error("node 0 reaches the loopback of node 1")
	}
	checkDisk(t, n, dirs)
}

// checkDisk fills the disk of node 0 and looks at both.
func checkDisk(t *testing.T, n *cages, dirs []string) {
	t.Helper()
	write := func(node int) (err error) {
		n.nodes[node].start.Do(func() { err = os.WriteFile(filepath.Join(dirs[node], "data"), []byte("something"), 0o644) })
		return err
	}
	if err := n.space(0, 0); err != nil {
		t.Fatal(err)
	}
	if write(0) == nil {
		t.Error("a full disk takes more")
	}
	if err := write(1); err != nil {
		t.Errorf("the disk of another node: %v", err)
	}
	if err := n.space(0, -1); err != nil {
		t.Fatal(err)
	}
	if err := write(0); err != nil {
		t.Errorf("a disk that has room again: %v", err)
	}
	if left, err := os.ReadDir(dirs[0]); err != nil || len(left) > 0 {
		t.Errorf("the disk of a node is seen from outside: %v %v", left, err)
	}
	out := t.TempDir()
	if err := n.save(func(node int) string { return filepath.Join(out, []string{"a", "b"}[node]) }); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(out, "a", "data")); err != nil || string(got) != "something" {
		t.Errorf("what was saved of the disk: %q %v", got, err)
	}
}

func TestLinksOf(t *testing.T) {
	for _, c := range []struct {
		how  How
		node int
		pick uint32
		want [][2]int
	}{
		{Isolate, 0, 0, [][2]int{{0, 1}, {1, 0}, {0, 2}, {2, 0}}},
		{Flap, 2, 0, [][2]int{{2, 0}, {0, 2}, {2, 1}, {1, 2}}},
		{Deaf, 1, 0, [][2]int{{0, 1}, {2, 1}}},
		{Mute, 1, 0, [][2]int{{1, 0}, {1, 2}}},
		{Pair, 1, 0, [][2]int{{1, 2}, {2, 1}}},
		{Pair, 1, 3, [][2]int{{1, 0}, {0, 1}}},
	} {
		if got := linksOf(c.how, c.node, 3, c.pick); !slices.Equal(got, c.want) {
			t.Errorf("%s of node %d, pick %d: %v, want %v", c.how, c.node, c.pick, got, c.want)
		}
	}
}
