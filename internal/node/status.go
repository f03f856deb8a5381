package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
)

// ClusterStatus is what a node knows of its cluster. A node that is alone is a cluster of
// one.
type ClusterStatus struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"` // that answers
	// MetaLeader is the node that places streams, empty while there is none.
	MetaLeader string       `json:"meta_leader"`
	Nodes      []NodeStatus `json:"nodes"`
	Problems   []string     `json:"problems"` // in words
}

// NodeStatus is what is known of a node.
type NodeStatus struct {
	Beat
	Online bool      `json:"online"`
	Seen   time.Time `json:"seen"`
}

// Status tells how the cluster does, as far as this node knows.
func (n *Node) Status() ClusterStatus {
	c := n.cluster
	if c == nil {
		b := Beat{Name: "local", Version: n.cfg.Version, PG: n.addrs.PG, HTTP: n.addrs.HTTP, NATS: n.addrs.NATS, Started: n.started, Pipelines: []PipelineBeat{n.pipeline.beat()}}
		b.DiskFree, b.DiskReserve = n.fabric.Space()
		if err := n.fabric.Room(); err != nil {
			b.Problems = append(b.Problems, err.Error())
		}
		b.Problems = append(b.Problems, n.certProblems(time.Now())...)
		st := ClusterStatus{Node: b.Name, Nodes: []NodeStatus{{Beat: b, Online: true, Seen: time.Now()}}}
		st.judge(time.Now())
		return st
	}
	c.members.note(c.self())
	st := ClusterStatus{Cluster: c.cfg.Name, Node: c.cfg.Node, MetaLeader: n.fabric.MetaLeader()}
	known := map[string]bool{}
	for _, x := range c.members.list() {
		st.Nodes = append(st.Nodes, NodeStatus{Beat: x.beat, Online: c.members.here(x), Seen: x.seen})
		known[x.beat.Name] = true
	}
	for _, p := range n.fabric.Peers() {
		if !known[p.Name] && p.Name != "" {
			st.Nodes = append(st.Nodes, NodeStatus{Beat: Beat{Name: p.Name}, Online: p.Online})
		}
	}
	st.judge(time.Now())
	return st
}

// judge finds what is wrong and says it.
func (s *ClusterStatus) judge(now time.Time) {
	say := func(format string, args ...any) { s.Problems = append(s.Problems, fmt.Sprintf(format, args...)) }
	s.Problems = []string{}
	online, versions, leads := 0, map[string]string{}, map[string]string{}
	pipelines := map[string]bool{}
	for i := range s.Nodes {
		x := &s.Nodes[i]
		if x.Problems == nil {
			x.Problems = []string{}
		}
		if !x.Online {
			if x.Seen.IsZero() {
				say("node %s has not been heard of since this node started", x.Name)
			} else {
				say("node %s has not been heard of for %v", x.Name, now.Sub(x.Seen).Round(time.Second))
			}
			continue
		}
		online++
		if x.Version != "" { // else it is known to be there and not heard of yet
			versions[x.Version] = x.Name
		}
		for _, p := range x.Problems {
			say("node %s: %s", x.Name, p)
		}
		if x.Draining {
			say("node %s is drained: it leads nothing", x.Name)
		}
		for _, p := range x.Pipelines {
			pipelines[p.Name] = true
			switch {
			case p.Role == roleLeader:
				leads[p.Name] = x.Name
			case p.Reason != "":
				say("node %s, pipeline %s: %s", x.Name, p.Name, p.Reason)
			case p.Role == roleStandby && p.LagMillis > lagNotice.Milliseconds():
				say("node %s has not been at the end of the log of pipeline %s for %v", x.Name, p.Name, (time.Duration(p.LagMillis) * time.Millisecond).Round(time.Second))
			}
		}
	}
	if 2*online <= len(s.Nodes) && len(s.Nodes) > 1 {
		say("%d of %d nodes are there: nothing can be written without more than half of them", online, len(s.Nodes))
	} else if s.Cluster != "" && s.MetaLeader == "" {
		say("the nodes have not elected one to place streams: nothing can be created")
	}
	for _, name := range sortedNames(pipelines) {
		if leads[name] == "" && s.Cluster != "" {
			say("pipeline %s has no leader: writes wait", name)
		}
	}
	if len(versions) > 1 {
		say("nodes run different versions: %v", sortedNames(versions))
	}
}

// lagNotice is how long a standby may be away from the log's end without a word of it.
const lagNotice = 10 * time.Second

// beat tells how the pipeline stands.
func (p *pipeline) beat() PipelineBeat {
	b := PipelineBeat{Name: Database, Role: roleStarting, LagMillis: -1}
	e := p.running()
	if e == nil {
		s := p.recovery.Status()
		b.LogPosition = s.LogPosition
		return b
	}
	st := e.Standing()
	b.Epoch, b.Step, b.LogPosition, b.Floor, b.Reason = st.Epoch, st.Step, st.LogPosition, st.Floor, st.Mismatch
	if st.Behind >= 0 {
		b.LagMillis = st.Behind.Milliseconds()
	}
	switch st.Role {
	case engine.RoleLeader:
		b.Role = roleLeader
	case engine.RoleClaiming:
		b.Role = roleClaiming
	case engine.RoleStandby:
		b.Role = roleStandby
	default:
		b.Role = roleEnded
	}
	return b
}

// adminRequest is what nodes ask of each other.
type adminRequest struct {
	Drain *bool `json:"drain,omitempty"`
}

// admin answers another node.
func (c *cluster) admin(ctx context.Context, data []byte) ([]byte, error) {
	var req adminRequest
	if err := json.Unmarshal(data, &req); err != nil {
		return nil, fmt.Errorf("request to a node: %w", err)
	}
	if req.Drain != nil {
		return nil, c.drainSelf(ctx, *req.Drain)
	}
	return nil, fmt.Errorf("request to a node: it asks for nothing that is known: %s", data)
}

// Drain makes a node hand over what it leads and lead nothing more; or, with drain false,
// take part again. It returns when that is done.
func (n *Node) Drain(ctx context.Context, node string, drain bool) error {
	c := n.cluster
	if c == nil {
		return fmt.Errorf("drain node %q: this node is in no cluster", node)
	}
	if node == "" || node == c.cfg.Node {
		return c.drainSelf(ctx, drain)
	}
	err := c.ask(ctx, nodeSubject(node, "admin"), adminRequest{Drain: &drain}, nil)
	if errors.Is(err, fabric.ErrNoResponders) {
		return fmt.Errorf("drain node %q: it is not in the cluster, or not reached", node)
	}
	return err
}

func (c *cluster) drainSelf(ctx context.Context, drain bool) error {
	ask := askDrain{drain: drain, done: make(chan error, 1)}
	select {
	case c.asks <- ask:
	case <-ctx.Done():
		return fmt.Errorf("drain node %s: %w", c.cfg.Node, ctx.Err())
	}
	select {
	case err := <-ask.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("drain node %s: %w", c.cfg.Node, ctx.Err())
	}
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// forgetSubject tells the others that a node was removed: its body is the node's name.
const forgetSubject = "forget"

// Remove takes a node that is gone for good out of the cluster, so that it does not count any more when
// the others look whether they are more than half. It is refused while the node is online, and if what it alone
// has, or the rest's majority, would be lost.
func (n *Node) Remove(ctx context.Context, node string) error {
	c := n.cluster
	if c == nil {
		return fmt.Errorf("remove node %q: this node is in no cluster", node)
	}
	if err := n.fabric.RemoveNode(ctx, node); err != nil {
		return err
	}
	c.members.forget(node)
	return n.fabric.Broadcast(forgetSubject, []byte(node))
}
