// Package devcluster runs a cluster of separate node processes on this machine, for
// trying it out and for tests: it gives each node its ports and its directory, starts,
// stops, pauses and kills them, and leaves no process behind.
package devcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// MaxNodes bounds the nodes of a local cluster.
	MaxNodes = 9
	// DefaultReadyTimeout is how long a node may take until it serves.
	DefaultReadyTimeout = 60 * time.Second
	// stopTimeout bounds an orderly stop of a node; then it is killed.
	stopTimeout = 15 * time.Second
)

// Config describes a cluster. Binary, Dir and Nodes are needed.
type Config struct {
	Binary  string // the program; it is run as `Binary start ...`
	Dir     string // each node's data is in Dir/NAME, its log in Dir/NAME.log
	Nodes   int    // 1 to MaxNodes
	Cluster string // the cluster's name. Empty: "dev"

	Args     []string             // more arguments, of every node
	NodeArgs func(i int) []string // and of node i at each start of it; nil: none
	Env      func(i int) []string // more of the environment of node i at each start of it; nil: none
	Log      func(format string, args ...any)

	// ReadyTimeout is how long a node may take until it serves. Zero: DefaultReadyTimeout.
	ReadyTimeout time.Duration
	// Launcher starts the processes. nil: they run as this program does. Close does not
	// close one that is given.
	Launcher Launcher
	// Host is the address by which other nodes reach node i. nil: 127.0.0.1 for all.
	Host func(i int) string
	// Routes are the addresses that node i is told for the others, given where each of
	// them listens. nil: exactly those.
	Routes func(i int, listen []string) []string
	// Exited is called when a process ends that nobody asked to, with its state in words.
	// It may start the node again. nil: nothing is done.
	Exited func(n *Node, state string)
}

// Cluster is a set of running nodes.
type Cluster struct {
	cfg     Config
	nodes   []*Node
	own     *Thread // the launcher, if it is ours
	closing sync.Once
}

// Start starts all nodes and waits until every one of them serves. If one does not, all
// are killed and the error says why, with the end of that node's log.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	c, err := Prepare(cfg)
	if err != nil {
		return nil, err
	}
	if err := c.StartAll(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Prepare makes the cluster and starts no node.
func Prepare(cfg Config) (*Cluster, error) {
	if cfg.Nodes < 1 || cfg.Nodes > MaxNodes {
		return nil, fmt.Errorf("local cluster of %d nodes: want 1 to %d", cfg.Nodes, MaxNodes)
	}
	if cfg.Cluster == "" {
		cfg.Cluster = "dev"
	}
	if cfg.ReadyTimeout == 0 {
		cfg.ReadyTimeout = DefaultReadyTimeout
	}
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if cfg.Host == nil {
		cfg.Host = func(int) string { return "127.0.0.1" }
	}
	if cfg.Routes == nil {
		cfg.Routes = func(_ int, listen []string) []string { return listen }
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	addrs, err := addresses(filepath.Join(cfg.Dir, portsFile), cfg.Nodes)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg}
	if cfg.Launcher == nil {
		c.own = NewThread()
		c.cfg.Launcher = c.own
	}
	listen := make([]string, cfg.Nodes)
	for i := range listen {
		listen[i] = hostPort(cfg.Host(i), addrs[i].routes)
	}
	for i := range cfg.Nodes {
		c.nodes = append(c.nodes, &Node{
			c: c, index: i, name: Name(i),
			pg: hostPort("127.0.0.1", addrs[i].pg), http: hostPort("127.0.0.1", addrs[i].http), nats: hostPort("127.0.0.1", addrs[i].nats),
			listen: listen[i], routes: cfg.Routes(i, listen),
			dir: filepath.Join(cfg.Dir, Name(i)), log: filepath.Join(cfg.Dir, Name(i)+".log"),
		})
	}
	return c, nil
}

// Name is the name of node i: a, b, c and so on.
func Name(i int) string { return string(rune('a' + i)) }

// StartAll starts the nodes that do not run and waits until all of them serve.
func (c *Cluster) StartAll(ctx context.Context) error {
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		wg.Go(func() { errs[i] = n.Start(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Nodes is how many nodes there are.
func (c *Cluster) Nodes() int { return len(c.nodes) }

// Node is node i, from 0.
func (c *Cluster) Node(i int) *Node { return c.nodes[i] }

// Index is the number of the node of that name, or -1.
func (c *Cluster) Index(name string) int {
	for i, n := range c.nodes {
		if n.name == name {
			return i
		}
	}
	return -1
}

// StopAll asks the nodes to stop, one after the other, and waits for them. Those that do not
// within a bounded time are killed, which is an error.
func (c *Cluster) StopAll() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.Stop())
	}
	return errors.Join(errs...)
}

// Close kills what runs and waits for it. It may be called more than once.
func (c *Cluster) Close() {
	for _, n := range c.nodes {
		n.Kill()
	}
	c.closing.Do(func() {
		if c.own != nil {
			c.own.Close()
		}
	})
}

// tailBytes is how much of a node's log an error shows.
const tailBytes = 2000

// Tail is the end of the node's log.
func (n *Node) Tail() string {
	f, err := os.Open(n.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, 2)
	}
	b := make([]byte, tailBytes)
	k, _ := f.Read(b)
	return strings.TrimSpace(string(b[:k]))
}
