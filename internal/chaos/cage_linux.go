package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tidemill/tidemill/internal/devcluster"
)

const (
	// cageNet is the network of the nodes, which no other machine sees.
	cageNet = "10.213.0."
	// nowhere is the hardware address of nobody.
	nowhere = "02:7c:00:00:ff:ff"
	// dialTimeout bounds a connection of a client, which is on the node's own machine.
	dialTimeout = 2 * time.Second
	// diskBytes is the size of each node's disk.
	diskBytes = 2 << 30
	ballast   = "ballast"
)

// cages is a network in which each node has a network namespace, with a cable to a switch
// that is in one of its own, and, if wanted, a small disk that nobody else sees. Both are
// bound to threads of this process: when it ends, they are gone.
type cages struct {
	nodes []*cage
	hub   *devcluster.Thread
	disks bool
}

// cage is where a node lives.
type cage struct {
	start *devcluster.Thread // of its processes
	dials *devcluster.Thread // of its clients
	net   *os.File           // its network namespace
	mac   string
	dir   string
}

// newCages makes them. dirs are the nodes' directories, which get disks of their own if disks is
// set.
func newCages(dirs []string, disks bool) (*cages, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root")
	}
	ip, err := exec.LookPath("ip")
	if err != nil {
		return nil, fmt.Errorf("network namespaces need ip(8): %w", err)
	}
	c := &cages{disks: disks, hub: devcluster.NewThread()}
	if err := c.setUp(ip, dirs); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cages) setUp(ip string, dirs []string) error {
	hub, err := newNamespace(c.hub)
	if err != nil {
		return err
	}
	defer hub.Close()
	if err := run(c.hub, ip, "link add sw type bridge", "link set sw up", "link set lo up"); err != nil {
		return err
	}
	for i, dir := range dirs {
		n := &cage{start: devcluster.NewThread(), dials: devcluster.NewThread(), mac: fmt.Sprintf("02:7c:00:00:00:%02x", i+1), dir: dir}
		c.nodes = append(c.nodes, n)
		if n.net, err = newNamespace(n.start); err != nil {
			return err
		}
		if err := enter(n.dials, n.net); err != nil {
			return err
		}
		err = run(c.hub, ip, fmt.Sprintf("link add v%d type veth peer name eth0 address %s netns /proc/%d/fd/%d", i, n.mac, os.Getpid(), n.net.Fd()),
			fmt.Sprintf("link set v%d master sw", i), fmt.Sprintf("link set v%d up", i))
		if err != nil {
			return err
		}
		if err := run(n.start, ip, "link set lo up", "address add "+c.host(i)+"/24 dev eth0", "link set eth0 up"); err != nil {
			return err
		}
		if c.disks {
			if err := n.mount(); err != nil {
				return err
			}
		}
	}
	for from := range c.nodes {
		for to := range c.nodes {
			if from != to {
				if err := c.cut(from, to, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// newNamespace puts a thread into a network namespace that is new, and opens that.
func newNamespace(t *devcluster.Thread) (f *os.File, err error) {
	t.Do(func() {
		if err = syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			err = os.NewSyscallError("unshare(CLONE_NEWNET)", err)
			return
		}
		f, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", syscall.Gettid()))
	})
	return f, err
}

// enter puts a thread into a namespace that is there.
func enter(t *devcluster.Thread, net *os.File) (err error) {
	t.Do(func() {
		if _, _, no := syscall.RawSyscall(sysSetns, net.Fd(), syscall.CLONE_NEWNET, 0); no != 0 {
			err = os.NewSyscallError("setns", no)
		}
	})
	return err
}

// run carries out commands of ip(8) in the thread's namespace.
func run(t *devcluster.Thread, ip string, commands ...string) (err error) {
	for _, line := range commands {
		t.Do(func() {
			var out []byte
			if out, err = exec.Command(ip, strings.Fields(line)...).CombinedOutput(); err != nil {
				err = fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// mount gives the node's directory a disk in memory that only its own processes see.
func (n *cage) mount() (err error) {
	n.start.Do(func() {
		if err = os.MkdirAll(n.dir, 0o755); err != nil {
			return
		}
		if err = syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_FS); err != nil {
			err = os.NewSyscallError("unshare(CLONE_NEWNS)", err)
			return
		}
		if err = syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			err = os.NewSyscallError("mount /", err)
			return
		}
		if err = syscall.Mount("tidemill", n.dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
			err = os.NewSyscallError("mount "+n.dir, err)
		}
	})
	return err
}

func (c *cages) name() string                  { return "namespaces" }
func (c *cages) launcher() devcluster.Launcher { return c }
func (c *cages) host(node int) string          { return fmt.Sprintf("%s%d", cageNet, node+1) }

func (c *cages) routes(_ int, listen []string) []string { return listen }

// args: the nodes' addresses are not of loopback, though nobody else can reach them.
func (c *cages) args(int) []string {
	if len(c.nodes) == 1 {
		return nil // it has no others
	}
	return []string{"--insecure"}
}

// Launch implements devcluster.Launcher.
func (c *cages) Launch(node int, cmd *exec.Cmd) error { return c.nodes[node].start.Launch(node, cmd) }

// dial makes the socket on a thread that is in the node's namespace; it stays there.
func (c *cages) dial(ctx context.Context, node int, addr string) (conn net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c.nodes[node].dials.Do(func() { conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr) })
	return conn, err
}

// cut tells the sender a wrong hardware address for the receiver, or the right one.
func (c *cages) cut(from, to int, on bool) error {
	mac := c.nodes[to].mac
	if on {
		mac = nowhere
	}
	return run(c.nodes[from].start, "ip", fmt.Sprintf("neighbor replace %s lladdr %s dev eth0 nud permanent", c.host(to), mac))
}

func (c *cages) slow(int, int, time.Duration) error { return errNotHere }

// space fills the node's disk, or frees it.
func (c *cages) space(node int, free int64) (err error) {
	if !c.disks {
		return errNotHere
	}
	n := c.nodes[node]
	n.start.Do(func() {
		path := filepath.Join(n.dir, ballast)
		if free < 0 {
			if err = os.Remove(path); errors.Is(err, os.ErrNotExist) {
				err = nil // of two faults at once
			}
			return
		}
		err = fill(n.dir, path, free)
	})
	return err
}

// fillPiece is how much a disk is filled by at once, at first.
const fillPiece = 64 << 20

// fill writes a file as large as leaves free bytes on the disk. Others write meanwhile.
func fill(dir, path string, free int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var st syscall.Statfs_t
	size := int64(0)
	for piece := int64(fillPiece); piece >= 4096; {
		if err := syscall.Statfs(dir, &st); err != nil {
			return err
		}
		if int64(st.Bavail)*st.Bsize-free < piece {
			piece /= 2
			continue
		}
		err := syscall.Fallocate(int(f.Fd()), 0, size, piece)
		switch {
		case err == nil:
			size += piece
		case errors.Is(err, syscall.ENOSPC):
			piece /= 2
		case !errors.Is(err, syscall.EINTR):
			return os.NewSyscallError("fallocate", err)
		}
	}
	return nil
}

// save copies what is on the nodes' disks to where everybody sees it.
func (c *cages) save(to func(node int) string) error {
	var errs []error
	for i, n := range c.nodes {
		if c.disks {
			n.start.Do(func() { errs = append(errs, os.CopyFS(to(i), os.DirFS(n.dir))) })
		}
	}
	return errors.Join(errs...)
}

func (c *cages) close() {
	c.hub.Close()
	for _, n := range c.nodes {
		n.start.Close()
		n.dials.Close()
		if n.net != nil {
			_ = n.net.Close()
		}
	}
}
