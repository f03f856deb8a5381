package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/security"
)

// ClusterConfig makes a node one of several.
type ClusterConfig struct {
	// Name is the cluster's, the same on all its nodes.
	Name string
	// Node is this node's, unlike any other's.
	Node string
	// Listen is the address for the other nodes; port 0 picks a free one. Advertise is what
	// they are told to reach it by; empty: Listen.
	Listen, Advertise string
	// Routes are the addresses of other nodes; this node's own may be among them.
	Routes []string
	// Join says that the cluster exists: the node waits for it and does not make one.
	Join bool
	// Zone is the failure domain: replicas are spread over different ones.
	Zone string
}

// cluster is a node's part in one. Its methods are safe for concurrent use.
type cluster struct {
	n       *Node
	cfg     ClusterConfig
	run     string // of this process
	started time.Time
	members *members
	wake    chan struct{} // somebody gave up the lead
	asks    chan askDrain
	drained atomic.Bool // it leads nothing and will not

	fetches fetches
	stops   []func()
}

// subjects that nodes talk on.
const (
	yieldSubject = "yield" // somebody gave up the lead: its body is the pipeline
)

// nodeSubject is where a node answers questions of a kind.
func nodeSubject(node, what string) string {
	return "node." + hex.EncodeToString([]byte(node)) + "." + what
}

// newCluster checks the configuration. The broker is not started yet.
func newCluster(n *Node, cfg ClusterConfig) (*cluster, error) {
	if cfg.Name == "" || cfg.Node == "" {
		return nil, errors.New("a cluster needs its name and the node's")
	}
	for _, err := range []error{security.CheckName("cluster", cfg.Name), security.CheckName("node", cfg.Node)} {
		if err != nil {
			return nil, err
		}
	}
	var run [8]byte
	rand.Read(run[:]) // never fails
	c := &cluster{n: n, cfg: cfg, run: hex.EncodeToString(run[:]), started: time.Now(), members: newMembers(time.Now),
		wake: make(chan struct{}, 1), asks: make(chan askDrain)}
	if n.certs != nil {
		if of := n.certs.Node(); of != cfg.Node {
			return nil, fmt.Errorf("certificate in %s: it is of node %q, not of %q", n.cfg.Certs, of, cfg.Node)
		}
		if of := n.certs.Cluster(); of != cfg.Name {
			return nil, fmt.Errorf("certificate in %s: it is of cluster %q, not of %q", n.cfg.Certs, of, cfg.Name)
		}
	}
	return c, nil
}

// fabric is the broker's part of the configuration.
func (c *cluster) fabric() *fabric.Cluster {
	f := &fabric.Cluster{Name: c.cfg.Name, Listen: c.cfg.Listen, Advertise: c.cfg.Advertise, Routes: c.cfg.Routes, Join: c.cfg.Join, Insecure: c.n.cfg.Insecure}
	if c.n.certs != nil {
		f.TLS = c.n.certs.Peer()
	}
	if c.cfg.Zone != "" {
		f.Tags = []string{"zone:" + c.cfg.Zone}
	}
	return f
}

// join makes the node known and waits until there are enough others to work with.
func (c *cluster) join(ctx, base context.Context) error {
	f := c.n.fabric
	stop, err := f.Listen(beatSubject, func(_ string, data []byte) { c.members.hear(data) })
	if err != nil {
		return err
	}
	c.stops = append(c.stops, stop)
	if stop, err = f.Listen(yieldSubject, func(string, []byte) { c.poke() }); err != nil {
		return err
	}
	c.stops = append(c.stops, stop)
	if stop, err = f.Listen(forgetSubject, func(_ string, data []byte) { c.members.forget(string(data)) }); err != nil {
		return err
	}
	c.stops = append(c.stops, stop)
	if stop, err = f.Serve(nodeSubject(c.cfg.Node, "admin"), c.admin); err != nil {
		return err
	}
	c.stops = append(c.stops, stop)
	if stop, err = f.Serve(nodeSubject(c.cfg.Node, "checkpoint."+Database), c.serveCheckpoint); err != nil {
		return err
	}
	c.stops = append(c.stops, stop)
	c.n.wg.Go(func() { c.beats(base) })
	c.n.wg.Go(func() { c.raises(base) })
	waiting := time.AfterFunc(waitNotice, func() {
		c.n.cfg.Logf("waiting for other nodes of cluster %q: more than half of them have to be there", c.cfg.Name)
	})
	defer waiting.Stop()
	if err := f.WaitReady(ctx); err != nil {
		return fmt.Errorf("join cluster %q: %w", c.cfg.Name, err)
	}
	return nil
}

// waitNotice is when a node that waits for others says so.
const waitNotice = 3 * time.Second

func (c *cluster) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// beats tells the others of this node until ctx ends.
func (c *cluster) beats(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		c.beat()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// raiseEvery is how often it is looked whether streams can have more replicas.
const raiseEvery = 10 * time.Second

// raises looks for that until ctx ends. It is apart from the beats, since it waits for elections: a
// leader that is silent meanwhile would be taken for gone.
func (c *cluster) raises(ctx context.Context) {
	for {
		c.raise(ctx)
		if !sleep(ctx, raiseEvery) {
			return
		}
	}
}

// raise gives streams the replicas that the nodes allow. Of all nodes the one that leads
// does it.
func (c *cluster) raise(ctx context.Context) {
	e := c.n.pipeline.running()
	if e == nil || e.Standing().Role != engine.RoleLeader {
		return
	}
	if err := c.n.fabric.RaiseReplicas(ctx); err != nil && ctx.Err() == nil {
		c.n.cfg.Logf("raise the replicas of streams: %v", err)
	}
}

// beat tells the others of this node, and notes it here.
func (c *cluster) beat() {
	b := c.self()
	c.members.note(b)
	data, err := json.Marshal(b)
	if err != nil {
		panic(err) // it has nothing that cannot be written
	}
	_ = c.n.fabric.Broadcast(beatSubject, data) // the next one comes in a second
}

// self is what this node says of itself.
func (c *cluster) self() Beat {
	n := c.n
	b := Beat{Name: c.cfg.Node, Run: c.run, Version: n.cfg.Version, PG: n.addrs.PG, HTTP: n.addrs.HTTP, NATS: n.addrs.NATS, Routes: n.addrs.Routes, Zone: c.cfg.Zone,
		Started: c.started, Draining: c.drained.Load(), Pipelines: []PipelineBeat{n.pipeline.beat()}}
	b.DiskFree, b.DiskReserve = n.fabric.Space()
	if n.pg != nil {
		now, _ := n.pg.Connections()
		b.Connections = int64(now)
	}
	if err := n.fabric.Room(); err != nil {
		b.Problems = append(b.Problems, err.Error())
	}
	b.Problems = append(b.Problems, n.certProblems(time.Now())...)
	return b
}

// leave tells the others that this node is going, before the broker stops.
func (c *cluster) leave() {
	for _, stop := range c.stops {
		stop()
	}
}
